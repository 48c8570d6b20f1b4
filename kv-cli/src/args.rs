//! The command line: redis-cli's options, turned into what the rest of the program wants to know.
//!
//! `-h` is the host, as in redis-cli, so help is `--help` only. A `-u` URI fills in what no option of its own says.

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser};
use kv_core::resp::line;

use crate::format::{Format, Style};
use crate::transfer::Transfer;
use crate::transfer::file::Format as FileFormat;
use crate::transfer::import::Settings;

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 6379;

#[derive(Parser, Debug)]
#[command(
    name = "kv-cli",
    version,
    about = "Sends commands to kv-server, or any Redis server, and shows the replies.",
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = "Without a command: a prompt, or commands from the standard input, one a line.\n\
                  Two words are modes of kv-cli instead of commands; the server has none of these names:\n\
                  \x20 kv-cli export [options] > FILE    all keys into a file (kv-cli export --help)\n\
                  \x20 kv-cli import [options] FILE      back into a server; also a dump.rdb (kv-cli import --help)\n\
                  Exit status: 0; 1 if a reply was an error; 2 for wrong options or no connection.\n\
                  The password may also stand in KVCLI_AUTH or REDISCLI_AUTH."
)]
struct CommandLine {
    /// Prints this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Prints the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(flatten)]
    reach: Reach,
    /// Speaks RESP2
    #[arg(short = '2', conflicts_with = "resp3")]
    resp2: bool,
    /// Speaks RESP3
    #[arg(short = '3')]
    resp3: bool,
    /// Sends the command so often; -1: for ever
    #[arg(short, value_name = "TIMES", default_value_t = 1, allow_negative_numbers = true, hide_default_value = true)]
    repeat: i64,
    /// Seconds between two of them (0.1 is possible)
    #[arg(short, value_name = "SECONDS", default_value_t = 0.0, hide_default_value = true)]
    interval: f64,
    /// The last argument comes from the standard input
    #[arg(short = 'x', conflicts_with = "stdin_tag")]
    stdin_last: bool,
    /// The argument that reads TAG is replaced by the standard input
    #[arg(short = 'X', value_name = "TAG")]
    stdin_tag: Option<String>,
    /// Text between the elements of a raw reply [default: a line end]
    #[arg(short, value_name = "TEXT")]
    delimiter: Option<String>,
    /// Text after a raw reply [default: a line end]
    #[arg(short = 'D', value_name = "TEXT")]
    end: Option<String>,
    /// Accepted for redis-cli's sake: the exit status always tells of error replies
    #[arg(short = 'e')]
    error_status: bool,
    /// Shows bare texts (the default where the output is no terminal)
    #[arg(long, group = "style")]
    raw: bool,
    /// Shows types and quotes (the default on a terminal)
    #[arg(long, group = "style")]
    no_raw: bool,
    /// Shows comma-separated values
    #[arg(long, group = "style")]
    csv: bool,
    /// Shows JSON (asks for RESP3 unless -2)
    #[arg(long, group = "style")]
    json: bool,
    /// Shows JSON in ASCII, bytes as \xHH (asks for RESP3 unless -2)
    #[arg(long, group = "style")]
    quoted_json: bool,
    /// Arguments are quoted strings: kv-cli --quoted-input GET '"a\x00b"'
    #[arg(long)]
    quoted_input: bool,
    /// Shows out-of-band messages of RESP3: yes or no [default: yes on a terminal]
    #[arg(long, value_name = "yes|no", value_parser = ["yes", "no", "y", "n"])]
    show_pushes: Option<String>,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How the server is reached: the same for commands, for a prompt and behind the words `export` and `import`.
#[derive(Args, Clone, Debug, Default)]
struct Reach {
    /// Server's name or address [default: 127.0.0.1]
    #[arg(short = 'h', value_name = "HOST")]
    host: Option<String>,
    /// Server's port [default: 6379]
    #[arg(short, value_name = "PORT")]
    port: Option<u16>,
    /// Unix socket of the server, instead of host and port
    #[arg(short, value_name = "PATH", conflicts_with_all = ["host", "port", "uri"])]
    socket: Option<PathBuf>,
    /// Everything at once: redis://user:password@host:port/db
    #[arg(short, value_name = "URI")]
    uri: Option<String>,
    /// Password
    #[arg(short = 'a', long = "pass", value_name = "PASSWORD")]
    password: Option<String>,
    /// User, with the password of -a
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Says nothing about a password on the command line
    #[arg(long)]
    no_auth_warning: bool,
    /// Number of the database
    #[arg(short = 'n', value_name = "DB")]
    db: Option<u32>,
}

/// `kv-cli export`
#[derive(Parser, Debug)]
#[command(
    name = "kv-cli export",
    bin_name = "kv-cli export",
    about = "Writes all keys of a server to the standard output, with their values and expiries.",
    disable_help_flag = true,
    after_help = "The server may be kv-server or any Redis from 6.2 on. Others may write meanwhile: a key is as it was when\n\
                  it was read, not as all were at one moment. A bar is shown where the standard error is a terminal.\n\
                  `export` is a mode of kv-cli, no command of the server: docs/moving-from-redis.md tells the format.\n\
                  Exit status: 0; 1 if something could not be read; 2 for wrong options or no connection.\n\
                  Example: kv-cli export --format msgpack -p 6379 > all.msgpack"
)]
struct ExportLine {
    /// Prints this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// One line of JSON an item, or MessagePack
    #[arg(long, value_enum, value_name = "jsonl|msgpack", hide_possible_values = true, default_value_t = FileFormat::Jsonl)]
    format: FileFormat,
    /// Only keys that match the pattern, as in KEYS
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<OsString>,
    #[command(flatten)]
    reach: Reach,
}

/// `kv-cli import`
#[derive(Parser, Debug)]
#[command(
    name = "kv-cli import",
    bin_name = "kv-cli import",
    about = "Writes the keys of a file to a server: a file of `kv-cli export`, or a dump.rdb of Redis.",
    disable_help_flag = true,
    after_help = "What kind of file it is shows in its first bytes. Keys that exist stay as they are, unless --replace.\n\
                  With -n all keys go to that database; without, to those they were in. Keys whose time is over are left\n\
                  out. The first error ends it, and tells the place in the file and the key; after mending it, run it\n\
                  again with --replace. A bar is shown where the standard error is a terminal.\n\
                  `import` is a mode of kv-cli, no command of the server.\n\
                  Exit status: 0; 1 if the file or a reply was wrong; 2 for wrong options or no connection.\n\
                  Example: kv-cli import --rdb /var/lib/redis/dump.rdb"
)]
struct ImportLine {
    /// Prints this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Replaces keys that exist; without it they stay as they are
    #[arg(long)]
    replace: bool,
    /// The file must be a dump of Redis, of RDB version 9 to 12 (older ones are read as well)
    #[arg(long)]
    rdb: bool,
    #[command(flatten)]
    reach: Reach,
    /// The file; `-` is the standard input
    file: PathBuf,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// What a new connection needs to become usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: Address,
    pub user: Option<String>,
    pub password: Option<String>,
    pub db: u32,
    /// Asks for RESP3; connections begin in RESP2.
    pub resp3: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Everything the command line says.
#[derive(Debug)]
pub struct Options {
    pub target: Target,
    pub format: Format,
    /// `None`: for ever.
    pub repeat: Option<u64>,
    pub interval: Duration,
    pub show_pushes: bool,
    /// Empty: commands come from a prompt or the standard input.
    pub command: Vec<Vec<u8>>,
    /// Keys are exported or imported instead of sending commands.
    pub transfer: Option<Transfer>,
}

impl Options {
    /// Leaves the program for `--help`, `--version` and what clap refuses (status 2).
    pub fn from_command_line() -> Result<Options, String> {
        Options::resolve(CommandLine::parse(), &Environment::of_process())
    }

    fn resolve(mut line: CommandLine, environment: &Environment) -> Result<Options, String> {
        // Everything behind the first word belongs to the command, whatever it looks like; no command begins with '-'.
        if let Some(option) = line.command.first().filter(|word| word.as_encoded_bytes().starts_with(b"-")) {
            return Err(format!("unknown option {} (see --help)", option.display()));
        }
        let mut reach = std::mem::take(&mut line.reach);
        let mode = Mode::of(&line.command).unwrap_or_else(|error| error.exit());
        if let Some(mode) = &mode {
            if let Some(option) = line.of_commands_alone() {
                return Err(format!("{option} is for commands, not for export and import"));
            }
            line.command.clear();
            reach = mode.reach().clone().or(reach);
        }
        let style = if line.csv {
            Style::Csv
        } else if line.json {
            Style::Json
        } else if line.quoted_json {
            Style::QuotedJson
        } else if line.raw || !(line.no_raw || environment.terminal) {
            Style::Raw
        } else {
            Style::Typed
        };
        let resp3 = line.resp3 || (matches!(style, Style::Json | Style::QuotedJson) && !line.resp2);
        let interval = Duration::try_from_secs_f64(line.interval).map_err(|_| "-i: not a span of time".to_owned())?;
        let mut format = Format::new(style);
        if let Some(delimiter) = line.delimiter {
            format.delimiter = unescape_option("-d", &delimiter)?;
        }
        if let Some(end) = line.end {
            format.end = unescape_option("-D", &end)?;
        }
        let mut command: Vec<Vec<u8>> = line.command.into_iter().map(OsString::into_vec).collect();
        if line.quoted_input {
            command = command.into_iter().map(unquote_argument).collect::<Result<_, _>>()?;
        }
        if line.stdin_last {
            command.push(read_standard_input()?);
        } else if let Some(tag) = line.stdin_tag {
            let place = command.iter_mut().find(|arg| **arg == *tag.as_bytes());
            *place.ok_or_else(|| format!("-X: no argument reads '{tag}'"))? = read_standard_input()?;
        }
        let (target, db) = reach.target(resp3, environment)?;
        Ok(Options {
            target,
            format,
            repeat: u64::try_from(line.repeat).ok(),
            interval,
            show_pushes: match line.show_pushes {
                Some(answer) => answer.starts_with('y'),
                None => environment.terminal,
            },
            command,
            transfer: mode.map(|mode| mode.transfer(db)),
        })
    }
}

impl CommandLine {
    /// An option that has a meaning for commands only.
    fn of_commands_alone(&self) -> Option<&'static str> {
        let given = [
            (self.resp2, "-2"),
            (self.resp3, "-3"),
            (self.repeat != 1, "-r"),
            (self.interval != 0.0, "-i"),
            (self.stdin_last, "-x"),
            (self.stdin_tag.is_some(), "-X"),
            (self.delimiter.is_some(), "-d"),
            (self.end.is_some(), "-D"),
            (self.raw, "--raw"),
            (self.no_raw, "--no-raw"),
            (self.csv, "--csv"),
            (self.json, "--json"),
            (self.quoted_json, "--quoted-json"),
            (self.quoted_input, "--quoted-input"),
            (self.show_pushes.is_some(), "--show-pushes"),
        ];
        given.into_iter().find_map(|(given, option)| given.then_some(option))
    }
}

/// What stands in the place of a command.
enum Mode {
    Export(ExportLine),
    Import(ImportLine),
}

impl Mode {
    fn of(command: &[OsString]) -> Result<Option<Mode>, clap::Error> {
        Ok(match command.first().and_then(|word| word.to_str()) {
            Some("export") => Some(Mode::Export(ExportLine::try_parse_from(command)?)),
            Some("import") => Some(Mode::Import(ImportLine::try_parse_from(command)?)),
            _ => None,
        })
    }

    fn reach(&self) -> &Reach {
        match self {
            Mode::Export(line) => &line.reach,
            Mode::Import(line) => &line.reach,
        }
    }

    fn transfer(self, db: Option<u32>) -> Transfer {
        match self {
            Mode::Export(ExportLine { format, pattern, .. }) => {
                Transfer::Export { format, pattern: pattern.map(OsString::into_vec), db }
            }
            Mode::Import(ImportLine { file, replace, rdb, .. }) => {
                let file = Some(file).filter(|file| file.as_os_str() != "-");
                Transfer::Import { file, settings: Settings { replace, db }, rdb }
            }
        }
    }
}

impl Reach {
    /// What is missing here is taken from `other`. A socket and an address exclude each other.
    fn or(self, other: Reach) -> Reach {
        let (by_socket, by_address) =
            (self.socket.is_some(), self.host.is_some() || self.port.is_some() || self.uri.is_some());
        Reach {
            host: self.host.or(other.host.filter(|_| !by_socket)),
            port: self.port.or(other.port.filter(|_| !by_socket)),
            uri: self.uri.or(other.uri.filter(|_| !by_socket)),
            socket: self.socket.or(other.socket.filter(|_| !by_address)),
            password: self.password.or(other.password),
            user: self.user.or(other.user),
            no_auth_warning: self.no_auth_warning || other.no_auth_warning,
            db: self.db.or(other.db),
        }
    }

    /// The server, and the database if one was named.
    fn target(self, resp3: bool, environment: &Environment) -> Result<(Target, Option<u32>), String> {
        let uri = self.uri.as_deref().map(Uri::parse).transpose()?.unwrap_or_default();
        if (self.password.is_some() || uri.password.is_some()) && !self.no_auth_warning {
            eprintln!("Warning: others can see a password on the command line; KVCLI_AUTH hides it.");
        }
        let address = match self.socket {
            Some(path) => Address::Unix(path),
            None => Address::Tcp {
                host: self.host.or(uri.host).unwrap_or_else(|| DEFAULT_HOST.to_owned()),
                port: self.port.or(uri.port).unwrap_or(DEFAULT_PORT),
            },
        };
        let db = self.db.or(uri.db);
        let target = Target {
            address,
            user: self.user.or(uri.user),
            password: self.password.or(uri.password).or_else(|| environment.password.clone()),
            db: db.unwrap_or(0),
            resp3,
        };
        Ok((target, db))
    }
}

/// What the options' defaults depend on.
struct Environment {
    /// The output is a terminal.
    terminal: bool,
    password: Option<String>,
}

impl Environment {
    fn of_process() -> Environment {
        let password = ["KVCLI_AUTH", "REDISCLI_AUTH"].iter().find_map(|name| std::env::var(name).ok());
        Environment { terminal: std::io::stdout().is_terminal(), password }
    }
}

fn read_standard_input() -> Result<Vec<u8>, String> {
    let mut input = Vec::new();
    match std::io::stdin().read_to_end(&mut input) {
        Ok(_) => Ok(input),
        Err(error) => Err(format!("standard input: {error}")),
    }
}

/// An argument of `--quoted-input`: quoted as a whole, or plain.
fn unquote_argument(arg: Vec<u8>) -> Result<Vec<u8>, String> {
    if !matches!(arg.first(), Some(b'"' | b'\'')) {
        return Ok(arg);
    }
    match line::split(&arg).as_deref() {
        Ok([inner]) => Ok(inner.clone()),
        _ => Err(format!("--quoted-input: {} is not one quoted string", arg.escape_ascii())),
    }
}

/// `\n` and the like work in delimiters, since a shell makes them hard to type.
fn unescape_option(option: &str, text: &str) -> Result<Vec<u8>, String> {
    let quoted = format!("\"{}\"", text.replace('"', "\\\""));
    match line::split(quoted.as_bytes()).as_deref() {
        Ok([inner]) => Ok(inner.clone()),
        _ => Err(format!("{option}: bad escape in '{text}'")),
    }
}

/// The parts of `redis://user:password@host:port/db`; all may be missing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Uri {
    user: Option<String>,
    password: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    db: Option<u32>,
}

impl Uri {
    fn parse(text: &str) -> Result<Uri, String> {
        let bad = |what: &str| format!("-u {text}: {what}");
        let Some(rest) = text.strip_prefix("redis://") else {
            return Err(bad("only redis:// is known"));
        };
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            // One word alone is the password, as in redis-cli.
            Some((password, "")) => (None, Some(password)),
            Some((user, password)) => (Some(user), Some(password)),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or_else(|| bad("'[' without ']'"))?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(digits.parse().map_err(|_| bad("not a port"))?),
            None if port.is_empty() => None,
            None => return Err(bad("not a port")),
        };
        let db = match path {
            "" => None,
            digits => Some(digits.parse().map_err(|_| bad("the path is the number of a database"))?),
        };
        let decode = |part: Option<&str>| match part {
            None | Some("") => Ok(None),
            Some(part) => percent_decode(part).map(Some).ok_or_else(|| bad("bad %-escape")),
        };
        Ok(Uri { user: decode(user)?, password: decode(password)?, host: decode(Some(host))?, port, db })
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_options(line: &[&str]) -> Result<Options, String> {
        let line = CommandLine::try_parse_from([&["kv-cli"], line].concat()).unwrap();
        Options::resolve(line, &Environment { terminal: true, password: Some("env".into()) })
    }

    fn options(line: &[&str]) -> Options {
        try_options(line).unwrap()
    }

    #[test]
    fn an_unknown_option_is_no_command() {
        assert_eq!(try_options(&["--bogus"]).unwrap_err(), "unknown option --bogus (see --help)");
        assert_eq!(try_options(&["-p", "1", "-y", "get", "k"]).unwrap_err(), "unknown option -y (see --help)");
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
        ExportLine::command().debug_assert();
        ImportLine::command().debug_assert();
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let options = options(&["-h", "db1", "-p", "7000", "-n", "3", "-r", "-1", "set", "k", "-5", "-p", "--raw"]);
        assert_eq!(options.target.address, Address::Tcp { host: "db1".into(), port: 7000 });
        assert_eq!(options.target.db, 3);
        assert_eq!(options.repeat, None);
        assert_eq!(options.command, ["set", "k", "-5", "-p", "--raw"].map(|arg| arg.as_bytes().to_vec()));
        assert_eq!(options.format.style, Style::Typed);
        assert!(!options.target.resp3);
    }

    #[test]
    fn options_win_over_the_uri_and_the_uri_over_the_environment() {
        let by_uri = options(&["-u", "redis://ann:s%40c@[::1]:7/2", "get", "k"]).target;
        assert_eq!(by_uri.address, Address::Tcp { host: "::1".into(), port: 7 });
        assert_eq!((by_uri.user.as_deref(), by_uri.password.as_deref(), by_uri.db), (Some("ann"), Some("s@c"), 2));
        let both = options(&["-u", "redis://ann:x@h:7/2", "-p", "8", "-n", "1", "-a", "y", "get", "k"]).target;
        assert_eq!(both.address, Address::Tcp { host: "h".into(), port: 8 });
        assert_eq!((both.password.as_deref(), both.db), (Some("y"), 1));
        assert_eq!(options(&["get", "k"]).target.password.as_deref(), Some("env"));
    }

    #[test]
    fn a_uri_may_leave_parts_out() {
        assert_eq!(Uri::parse("redis://"), Ok(Uri::default()));
        assert_eq!(Uri::parse("redis://h"), Ok(Uri { host: Some("h".into()), ..Uri::default() }));
        assert_eq!(Uri::parse("redis://:pw@/1?x=1").unwrap().password.as_deref(), Some("pw"));
        assert_eq!(Uri::parse("redis://pw@h").unwrap().password.as_deref(), Some("pw"));
        for bad in ["http://h", "redis://h:x", "redis://h/x", "redis://[::1", "redis://h:99999", "redis://%zz@h"] {
            assert!(Uri::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn export_and_import_are_modes_and_take_the_options_of_the_connection_on_either_side() {
        let Options { target, transfer, command, .. } =
            options(&["-h", "a", "-p", "1", "export", "--format", "msgpack", "-p", "2", "--match", "x*"]);
        assert_eq!(target.address, Address::Tcp { host: "a".into(), port: 2 });
        let wanted = Transfer::Export { format: FileFormat::Msgpack, pattern: Some(b"x*".to_vec()), db: None };
        assert_eq!((transfer, command), (Some(wanted), vec![]));
        let options = options(&["-s", "/sock", "import", "-h", "b", "--replace", "-n", "4", "-"]);
        assert_eq!(options.target.address, Address::Tcp { host: "b".into(), port: 6379 });
        let settings = Settings { replace: true, db: Some(4) };
        assert_eq!(options.transfer, Some(Transfer::Import { file: None, settings, rdb: false }));
        assert_eq!(try_options(&["-x", "import", "f"]).unwrap_err(), "-x is for commands, not for export and import");
    }

    #[test]
    fn json_asks_for_resp3() {
        assert!(options(&["--json", "get", "k"]).target.resp3);
        assert!(!options(&["--json", "-2", "get", "k"]).target.resp3);
    }

    #[test]
    fn quoted_input_and_delimiters_are_unescaped() {
        let options = options(&["--quoted-input", "-d", "\\t", "-D", "\"", "get", r#""a\x00 b""#, "plain"]);
        assert_eq!(options.command, [b"get".to_vec(), b"a\0 b".to_vec(), b"plain".to_vec()]);
        assert_eq!(options.format.delimiter, b"\t");
        assert_eq!(options.format.end, b"\"");
    }
}
