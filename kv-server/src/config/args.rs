//! The command line, in Redis's forms.
//!
//! ```text
//! kv-server [FILE] [-] [--NAME VALUE [VALUE ...]] ... [-]
//! kv-server check DIR [--repair]
//! kv-server completions SHELL
//! kv-server man
//! ```
//!
//! A file that bears one of these words as its name is written `./check`.
//!
//! `-` is standard input. The file is read first, then standard input, then the options; later beats earlier. An option
//! is a line of the file with dashes before it, so it takes as many values as follow until the next `--`. Details that
//! Redis has too: the argument after a bare `--NAME` is a value even if it begins with `--` (so a password may), save
//! for `--save`, which may go without; name and value may be one argument (`"--port 7000"`).
//!
//! No parser of command lines that we know takes options with any number of values that are also lines of a file, so
//! this one is written by hand.

use std::path::PathBuf;

use super::file::{ReadFile, Reader, split};
use super::{Config, StartError, pages};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Start so; `file` is what CONFIG REWRITE writes to.
    Run {
        config: Box<Config>,
        file: Option<PathBuf>,
    },
    /// `kv-server check DIR [--repair]`.
    Check {
        dir: PathBuf,
        repair: bool,
    },
    /// Completions or the manual.
    Print(Vec<u8>),
    Help,
    Version,
}

/// Reads the command line, without the program's name, and the files that it names.
///
/// Errors: the first thing wrong, in one line.
pub fn parse_args(args: impl Iterator<Item = String>, read_file: &mut ReadFile) -> Result<Start, StartError> {
    let args: Vec<String> = args.collect();
    match args.first().map(String::as_str) {
        Some("-h") => return Ok(Start::Help),
        Some("-v") => return Ok(Start::Version),
        _ => {}
    }
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["man"] => return Ok(Start::Print(pages::manual())),
        ["completions", shell] => {
            let script = pages::completions(shell);
            let problem = || StartError::other("completions are there for bash, zsh, fish, elvish and powershell");
            return script.map(Start::Print).ok_or_else(problem);
        }
        ["completions"] => return Err(StartError::other("write 'kv-server completions bash', or another shell")),
        _ => {}
    }
    if let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == "check") {
        return check(rest);
    }
    let mut rest = &args[..];
    let file = rest.first().filter(|first| !first.starts_with('-')).cloned();
    if file.is_some() {
        rest = &rest[1..];
    }
    let mut stdin = false;
    if let [dash, after @ ..] = rest
        && dash == "-"
    {
        (stdin, rest) = (true, after);
    }
    if let [before @ .., dash] = rest
        && dash == "-"
    {
        (stdin, rest) = (true, before);
    }
    let directives = match group(rest)? {
        Asked::Set(directives) => directives,
        Asked::Help => return Ok(Start::Help),
        Asked::Version => return Ok(Start::Version),
    };

    let mut config = Box::<Config>::default();
    let mut reader = Reader::new(&mut config, read_file);
    if let Some(file) = &file {
        reader.file(file)?;
    }
    if stdin {
        reader.file("-")?;
    }
    for Directive { name, values } in &directives {
        reader.directive(name, &values.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    if config.tcp_port().is_none() && config.unixsocket.is_none() {
        return Err(StartError::option("bind", "no address to listen on, and no unixsocket"));
    }
    Ok(Start::Run { config, file: file.map(PathBuf::from) })
}

fn check(args: &[String]) -> Result<Start, StartError> {
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    let before = args.len();
    args.retain(|arg| *arg != "--repair");
    match args[..] {
        ["--help" | "-h"] => Ok(Start::Help),
        [dir] if !dir.starts_with('-') && !dir.is_empty() => {
            Ok(Start::Check { dir: PathBuf::from(dir), repair: before > 1 })
        }
        _ => Err(StartError::other("write 'kv-server check DIR' or 'kv-server check DIR --repair'")),
    }
}

struct Directive {
    name: String,
    values: Vec<String>,
}

enum Asked {
    Set(Vec<Directive>),
    Help,
    Version,
}

/// The options with their values.
fn group(args: &[String]) -> Result<Asked, StartError> {
    let mut directives: Vec<Directive> = Vec::new();
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        let Some(text) = arg.strip_prefix("--") else {
            match directives.last_mut() {
                Some(last) => last.values.push(arg.clone()),
                None => return Err(stray(arg)),
            }
            continue;
        };
        match text {
            "help" => return Ok(Asked::Help),
            "version" => return Ok(Asked::Version),
            _ => {}
        }
        let Some((name, mut values)) = split(text)? else {
            return Err(StartError::other("an option's name is missing after '--'"));
        };
        if let Some((name, _)) = name.split_once('=') {
            return Err(StartError::option(
                name,
                format!("write '--{} VALUE', without '='", super::error::printable(name)),
            ));
        }
        if values.is_empty() {
            let next_is_option = args.peek().is_none_or(|next| next.starts_with("--"));
            if name.eq_ignore_ascii_case("save") && next_is_option {
                values.push(String::new());
            } else {
                values.extend(args.next().cloned());
            }
        }
        directives.push(Directive { name, values });
    }
    Ok(Asked::Set(directives))
}

fn stray(arg: &str) -> StartError {
    let arg = super::error::printable(arg);
    if arg.starts_with('-') {
        StartError::other(format!("unknown argument '{arg}': options begin with two dashes, see --help"))
    } else {
        StartError::other(format!("unexpected argument '{arg}': only one file can be given, before the options"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// Parses with these files at hand; the paths that were read come along.
    fn parse_with(files: &[(&str, &str)], args: &[&str]) -> (Result<Start, String>, Vec<String>) {
        let mut seen = Vec::new();
        let mut read = |path: &str| {
            seen.push(path.to_owned());
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let start = parse_args(args.iter().map(|arg| (*arg).to_owned()), &mut read);
        (start.map_err(|error| error.to_string()), seen)
    }

    fn config(args: &[&str]) -> Config {
        match parse_with(&[], args).0 {
            Ok(Start::Run { config, file: None }) => *config,
            other => panic!("{args:?} gave {other:?}"),
        }
    }

    fn error(args: &[&str]) -> String {
        parse_with(&[], args).0.expect_err(&format!("{args:?}"))
    }

    #[test]
    fn nothing_at_all_is_the_default() {
        assert_eq!(config(&[]), Config::default());
    }

    #[test]
    fn options_take_the_values_up_to_the_next_option() {
        let line =
            "--port 7000 --bind 127.0.0.1 ::1 --appendonly yes --shards 2 --client-output-buffer-limit normal 1 2 3";
        let config = config(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(config.port, 7000);
        assert_eq!(config.bind, ["127.0.0.1", "::1"]);
        assert_eq!(config.shards, 2);
        assert_eq!(config.client_output_buffer_limit.normal.hard, 1);
    }

    #[test]
    fn letters_may_be_of_either_case_and_the_last_holds() {
        assert_eq!(config(&["--PORT", "1", "--port", "2"]).port, 2);
    }

    #[test]
    fn save_may_go_with_an_empty_value_or_none() {
        for args in [&["--save", "", "--port", "7"][..], &["--save", "--port", "7"], &["--port", "7", "--save"]] {
            let config = config(args);
            assert_eq!((config.port, config.save.0.len()), (7, 0), "{args:?}");
        }
        assert_eq!(config(&["--save", "60", "1", "30", "2", "--save", "5", "6"]).save.0.len(), 3);
        assert_eq!(config(&["--save", "60 1 30 2", "--save"]).save.0.len(), 0);
    }

    #[test]
    fn name_and_value_may_be_one_argument() {
        let config = config(&["--port 7000", "--requirepass \"a b\"", "--timeout 3"]);
        assert_eq!((config.port, config.timeout), (7000, 3));
        assert!(config.requirepass.matches(b"a b"));
    }

    #[test]
    fn the_first_value_may_look_like_an_option() {
        let config = config(&["--requirepass", "--port", "--port", "7"]);
        assert!(config.requirepass.matches(b"--port"));
        assert_eq!(config.port, 7);
    }

    #[test]
    fn quotes_in_a_value_are_part_of_it() {
        assert!(config(&["--requirepass", "a\"b"]).requirepass.matches(b"a\"b"));
    }

    #[test]
    fn file_then_standard_input_then_options() {
        let files = [("a.conf", "port 1\ntimeout 1\nmaxclients 1"), ("-", "timeout 2\nmaxclients 2")];
        for args in [&["a.conf", "-", "--maxclients", "3"][..], &["a.conf", "--maxclients", "3", "-"]] {
            let (start, seen) = parse_with(&files, args);
            let Ok(Start::Run { config, file }) = start else { panic!("{args:?} gave {start:?}") };
            assert_eq!((config.port, config.timeout, config.maxclients), (1, 2, 3), "{args:?}");
            assert_eq!(file, Some(PathBuf::from("a.conf")));
            assert_eq!(seen, ["a.conf", "-"]);
        }
        let (start, seen) = parse_with(&files, &["-"]);
        assert!(matches!(start, Ok(Start::Run { file: None, .. })));
        assert_eq!(seen, ["-"]);
    }

    #[test]
    fn an_option_may_include_a_file() {
        let (start, _) = parse_with(&[("b.conf", "port 9")], &["--include", "b.conf"]);
        assert!(matches!(start, Ok(Start::Run { config, .. }) if config.port == 9));
    }

    #[test]
    fn help_and_version_are_seen_where_an_option_may_stand() {
        for (args, wanted) in [
            (&["--help"][..], Start::Help),
            (&["-h"], Start::Help),
            (&["--port", "1", "--help"], Start::Help),
            (&["--version"], Start::Version),
            (&["-v"], Start::Version),
            (&["none.conf", "--help"], Start::Help),
        ] {
            let (start, seen) = parse_with(&[], args);
            assert_eq!(start, Ok(wanted), "{args:?}");
            assert!(seen.is_empty(), "no file is read for {args:?}");
        }
        assert!(config(&["--requirepass", "--help"]).requirepass.matches(b"--help"));
    }

    #[test]
    fn errors_are_one_line_that_names_the_option() {
        for (args, text) in [
            (&["--nosuch", "1"][..], "option 'nosuch': unknown option"),
            (&["--no\nsuch", "1"], "option 'no': unknown option"),
            (&["--hz", "10"], "option 'hz': known to Redis but not supported by kv yet"),
            (&["--port"], "option 'port': wrong number of arguments"),
            (&["--port", "1", "2"], "option 'port': wrong number of arguments"),
            (&["--port", "abc"], "option 'port': argument couldn't be parsed into an integer"),
            (&["--port", "65536"], "option 'port': argument must be between 0 and 65535 inclusive"),
            (&["--port=7000"], "option 'port': write '--port VALUE', without '='"),
            (&["--requirepass=hunter2"], "option 'requirepass': write '--requirepass VALUE', without '='"),
            (&["--"], "an option's name is missing after '--'"),
            (&["-p", "7000"], "unknown argument '-p': options begin with two dashes, see --help"),
            (&["--bind", ""], "option 'bind': no address to listen on, and no unixsocket"),
            (&["--dir", ""], "option 'dir': argument must be the path of a folder"),
            (&["--daemonize", "yes"], "option 'daemonize': kv-server stays in the foreground: only no is accepted"),
        ] {
            assert_eq!(error(args), text, "{args:?}");
        }
        let two = parse_with(&[("a", ""), ("b", "")], &["a", "b"]).0.unwrap_err();
        assert_eq!(two, "unexpected argument 'b': only one file can be given, before the options");
        let missing = error(&["none.conf"]);
        assert!(missing.starts_with("cannot read configuration from 'none.conf': "), "{missing}");
    }

    #[test]
    fn check_takes_a_folder() {
        for (args, repair) in
            [(&["check", "a"][..], false), (&["check", "a", "--repair"], true), (&["check", "--repair", "a"], true)]
        {
            assert_eq!(parse_with(&[], args).0, Ok(Start::Check { dir: PathBuf::from("a"), repair }), "{args:?}");
        }
        assert_eq!(parse_with(&[], &["check", "--help"]).0, Ok(Start::Help));
        for args in
            [&["check"][..], &["check", "--repair"], &["check", "a", "b"], &["check", "--port", "1"], &["check", ""]]
        {
            assert_eq!(error(args), "write 'kv-server check DIR' or 'kv-server check DIR --repair'", "{args:?}");
        }
    }

    #[test]
    fn port_0_is_no_tcp_only_beside_a_unix_socket() {
        assert_eq!(config(&["--port", "0"]).tcp_port(), Some(0));
        assert_eq!(config(&["--port", "0", "--unixsocket", "/s"]).tcp_port(), None);
        assert_eq!(config(&["--bind", "", "--unixsocket", "/s"]).tcp_port(), None);
        assert_eq!(config(&["--unixsocket", "/s"]).tcp_port(), Some(6379));
    }
}
