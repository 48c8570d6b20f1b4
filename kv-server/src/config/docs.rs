//! Help and documentation of the options, made from the rows.

use std::fmt::Write;

use super::redis_names::KNOWN_TO_REDIS;
use super::{Change, ROWS, Row, Section};

const HELP_HEAD: &str = "\
Usage: kv-server [FILE] [-] [--OPTION VALUE [VALUE ...]] ...
       kv-server check DIR [--repair]
       kv-server completions SHELL | man

FILE is a configuration file with a line `option value ...` each; `-` reads such lines from
standard input. Options of the command line have the same names and beat the file's.

  kv-server                                  listen on 127.0.0.1:6379, one shard per core
  kv-server --port 7000 --bind 127.0.0.1 ::1
  kv-server /etc/kv.conf --loglevel warning
  echo 'maxclients 100' | kv-server -
  kv-server check /var/lib/kv               say what is in a data folder, and whether it is damaged;
                                             --repair keeps what can be read, and a copy of the rest

  -h, --help       this text
  -v, --version    the version

Sizes take the units k, m, g (1000, 1000^2, 1000^3) and kb, mb, gb (1024, 1024^2, 1024^3).
In brackets: the default.
";

/// Columns of a line of help.
const HELP_WIDTH: usize = 92;

/// What `kv-server --help` prints.
pub fn help_text() -> String {
    let mut out = String::from(HELP_HEAD);
    for section in Section::ALL {
        out.push_str(&format!("\n{}\n", section.title()));
        for row in rows_of(section) {
            let (option, default) = (format!("  --{} {}", row.name, row.value_form()), row.default_form());
            let gap = if option.len() + default.len() > HELP_WIDTH { "\n      " } else { "  " };
            let _ = writeln!(out, "{option}{gap}[{default}]");
            wrap(&mut out, "      ", row.summary);
        }
    }
    out
}

const DOCS_HEAD: &str = "\
# Configuration

<!-- Made from the rows in kv-server/src/config/rows.rs; a test compares. To renew it:
     KV_UPDATE_DOCS=1 cargo test -p kv-server config -->

Options are given in a file, on the command line, or, where the table says so, while the server runs:

    kv-server /etc/kv.conf --port 7000 --bind 127.0.0.1 ::1
    kv-cli CONFIG SET maxclients 500
    kv-cli CONFIG REWRITE

The file has a line `option value ...` each, as redis.conf; `#` begins a comment line, quotes hold a value together,
`include other.conf` reads another file at that place. `-` on the command line reads such lines from standard input. The
order is file, standard input, options of the command line; the last to speak holds. Sizes take the units `k`, `m`, `g`
(powers of 1000) and `kb`, `mb`, `gb` (powers of 1024).

CONFIG SET with several options sets all or none. CONFIG REWRITE changes only the lines that must change, and adds what
is missing at the end.
";

const DOCS_REFUSED: &str = "
## Options of Redis that kv does not have

No option is read and ignored: these are refused, in the file, on the command line and by CONFIG SET, with an error that
names the option.
";

/// The text of docs/configuration.md.
pub fn options_markdown() -> String {
    let mut out = String::from(DOCS_HEAD);
    for section in Section::ALL {
        out.push_str(&format!("\n## {}\n\n", section.title()));
        out.push_str("| Option | Value | Default | CONFIG SET | |\n|---|---|---|---|---|\n");
        for row in rows_of(section) {
            let (value, default) = (cell(&row.value_form()), cell(&row.default_form()));
            let set = if row.change == Change::AtRunTime { "yes" } else { "no" };
            let _ = writeln!(out, "| `{}` | {value} | {default} | {set} | {} |", row.name, escape(row.summary));
        }
    }
    out.push_str(DOCS_REFUSED);
    out.push('\n');
    let names: Vec<String> = KNOWN_TO_REDIS.iter().map(|name| format!("`{name}`")).collect();
    wrap(&mut out, "", &names.join(", "));
    out
}

fn rows_of(section: Section) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| row.section == section)
}

fn cell(value: &str) -> String {
    format!("`{}`", escape(value))
}

/// A bar would end the cell of a table, even within backticks.
fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Appends the words of `text` in lines that begin with `indent`.
fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column != 0 && column + 1 + width > HELP_WIDTH {
            out.push('\n');
            column = 0;
        }
        let before = if column == 0 { indent } else { " " };
        out.push_str(before);
        out.push_str(word);
        column += before.len() + width;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_configuration_md_is_what_the_rows_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let wanted = options_markdown();
        if std::env::var_os("KV_UPDATE_DOCS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == wanted,
            "docs/configuration.md is out of date: KV_UPDATE_DOCS=1 cargo test -p kv-server config"
        );
    }

    #[test]
    fn help_names_every_option_and_fits_a_terminal() {
        let help = help_text();
        for row in ROWS {
            assert!(help.contains(&format!("\n  --{} ", row.name)), "{} is missing", row.name);
        }
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(long.is_empty(), "{long:#?}");
    }

    #[test]
    fn long_text_is_broken_between_words() {
        let mut out = String::new();
        wrap(&mut out, "  ", &"word ".repeat(40));
        assert_eq!(out.split_whitespace().count(), 40);
        assert!(out.lines().all(|line| line.starts_with("  word") && line.len() <= HELP_WIDTH), "{out}");
        assert_eq!(out.lines().count(), 3, "as many words a line as fit:\n{out}");
    }
}
