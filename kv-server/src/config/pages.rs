//! Completions for shells and the manual page, made from the rows by way of a clap command.
//!
//! clap only describes here: the command line itself is read by [`super::args`], since it has forms that clap has not.

use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;

use super::{Kind, ROWS, Row, Section};

/// The script that completes kv-server's command line in a shell; none: there is no such shell.
pub fn completions(shell: &str) -> Option<Vec<u8>> {
    let shell: Shell = shell.parse().ok()?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "kv-server", &mut script);
    Some(script)
}

/// The manual page, in troff.
pub fn manual() -> Vec<u8> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command()).render(&mut page).expect("memory takes everything");
    page
}

fn command() -> Command {
    let check = Command::new("check")
        .about("Says what is in a data folder, and whether it is damaged.")
        .arg(Arg::new("dir").value_name("DIR").value_hint(ValueHint::DirPath).required(true))
        .arg(
            Arg::new("repair")
                .long("repair")
                .action(ArgAction::SetTrue)
                .help("Keeps what can be read, and a copy of the rest"),
        );
    let shells = Arg::new("shell").value_parser(clap::value_parser!(Shell)).required(true);
    Command::new("kv-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An in-memory key-value store that any Redis client can talk to.")
        .after_help("Sizes take the units k, m, g (powers of 1000) and kb, mb, gb (powers of 1024).")
        .disable_help_subcommand(true)
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .value_hint(ValueHint::FilePath)
                .help("A configuration file; - reads one from the standard input. Options beat it"),
        )
        .args(Section::ALL.iter().flat_map(|section| ROWS.iter().filter(|row| row.section == *section)).map(option))
        .subcommand(check)
        .subcommand(Command::new("completions").about("Prints completions for a shell.").arg(shells))
        .subcommand(Command::new("man").about("Prints the manual page."))
}

fn option(row: &'static Row) -> Arg {
    let values: &[&str] = match row.kind {
        Kind::YesNo { .. } => &["yes", "no"],
        Kind::Choice { names, .. } => names,
        _ => &[],
    };
    let arg = Arg::new(row.name)
        .long(row.name)
        .value_name(row.value_form())
        .help_heading(row.section.title())
        .help(format!("{} [default: {}]", row.summary, row.default_form()));
    if values.is_empty() { arg } else { arg.value_parser(values.to_vec()).hide_possible_values(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_completed_and_in_the_manual() {
        command().debug_assert();
        let manual = String::from_utf8(manual()).unwrap().replace("\\-", "-");
        let script = |shell| String::from_utf8(completions(shell).unwrap()).unwrap();
        let (bash, zsh, fish) = (script("bash"), script("zsh"), script("fish"));
        for row in ROWS {
            assert!(manual.contains(&format!("--{}", row.name)), "{}", row.name);
            for script in [&bash, &zsh, &fish] {
                assert!(script.contains(row.name), "{}", row.name);
            }
        }
        assert!(fish.contains("appendfsync") && fish.contains("everysec"), "values are completed too");
        assert_eq!(completions("cmd.exe"), None);
    }
}
