//! The command line: redis-cli's options, turned into what the rest of the program wants to know.
//!
//! `-h` is the host, as in redis-cli, so help is `--help` only. A `-u` URI fills in what no option of its own says.

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser};
use kv_core::resp::line;

use crate::format::{Format, Style};
use crate::modes::keys::{Measure, TOP_OF_TYPE, Walk};
use crate::modes::keystats::TOP_OF_ALL;
use crate::modes::latency::Latency;
use crate::modes::replica::Dump;
use crate::modes::{Mode, Pace};
use crate::transfer::Transfer;
use crate::transfer::file::Format as FileFormat;
use crate::transfer::import::Settings;
use kv_core::resp::client::{TLS_OPTIONS, Uri};

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 6379;

/// What redis-cli has and kv-cli has not, and why.
const ABSENT: [(&[&str], &str); 4] = [
    (&TLS_OPTIONS, "there is no TLS yet; -s reaches a Unix socket"),
    (&["-c", "--cluster", "--verbose"], "there is no cluster: one kv-server uses every core"),
    (&["--ldb", "--ldb-sync-mode"], "there is no debugger of scripts"),
    (&["--vset-recall", "--vset-recall-count", "--vset-recall-ef", "--vset-recall-ele"], "there are no vector sets"),
];

#[derive(Parser, Debug)]
#[command(
    name = "kv-cli",
    version,
    about = "Sends commands to kv-server, or any Redis server, and shows the replies.",
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = "Without a command: a prompt, or commands from the standard input, one a line.\n\
                  Some words are modes of kv-cli instead of commands; the server has none of these names:\n\
                  \x20 kv-cli top [options]              a full screen of what the server does (kv-cli top --help)\n\
                  \x20 kv-cli export [options] > FILE    all keys into a file (kv-cli export --help)\n\
                  \x20 kv-cli import [options] FILE      back into a server; also a dump.rdb (kv-cli import --help)\n\
                  \x20 kv-cli completions SHELL          completions of this command line: bash, zsh, fish ...\n\
                  \x20 kv-cli man                        the manual page\n\
                  Exit status: 0; 1 if a reply was an error; 2 for wrong options or no connection.\n\
                  The password may also stand in KVCLI_AUTH or REDISCLI_AUTH. NO_COLOR switches colours off."
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
    /// Sends the command so often, or shows so many lines of a mode; -1: for ever
    #[arg(short, value_name = "TIMES", allow_negative_numbers = true)]
    repeat: Option<i64>,
    /// Seconds between two of them (0.1 is possible)
    #[arg(short, value_name = "SECONDS")]
    interval: Option<f64>,
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
    /// Sends EVAL with the script in a file: kv-cli --eval FILE KEY ... , ARGUMENT ...
    #[arg(long, value_name = "FILE", help_heading = "Modes", group = "mode")]
    eval: Option<PathBuf>,
    #[command(flatten)]
    modes: ModeOptions,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What is done instead of sending commands.
#[derive(Args, Debug)]
#[command(next_help_heading = "Modes")]
struct ModeOptions {
    /// A line of figures every second, or every -i
    #[arg(long, group = "mode")]
    stat: bool,
    /// Round trips of PING, until Ctrl-C; with --raw, --csv, --json or in a pipe for one second, or for -i
    #[arg(long, group = "mode")]
    latency: bool,
    /// The same, a line every 15 seconds, or every -i
    #[arg(long, group = "mode")]
    latency_history: bool,
    /// The same as a spectrum, a line every second, or every -i
    #[arg(long, group = "mode")]
    latency_dist: bool,
    /// How long this machine itself lets a busy process wait; no server is asked
    #[arg(long, value_name = "SECONDS", group = "mode", value_parser = positive_seconds)]
    intrinsic_latency: Option<f64>,
    /// The keys with the most elements of each type
    #[arg(long, group = "mode")]
    bigkeys: bool,
    /// The keys that take the most memory, of each type
    #[arg(long, group = "mode")]
    memkeys: bool,
    /// The same; elements of a collection that are looked at, 0 for all [default: the server's]
    #[arg(long, value_name = "NUMBER", group = "mode")]
    memkeys_samples: Option<u64>,
    /// Memory and lengths together: the largest keys, a table of types, how sizes are spread
    #[arg(long, group = "mode")]
    keystats: bool,
    /// The same; elements of a collection that are looked at, 0 for all [default: the server's]
    #[arg(long, value_name = "NUMBER", group = "mode")]
    keystats_samples: Option<u64>,
    /// The keys used most often (the server's maxmemory-policy must be an LFU)
    #[arg(long, group = "mode")]
    hotkeys: bool,
    /// All keys, by SCAN
    #[arg(long, group = "mode")]
    scan: bool,
    /// Only keys that match, with modes that walk over keys: --scan, --bigkeys, --memkeys, --keystats, --hotkeys
    #[arg(long, value_name = "PATTERN", requires = "mode", conflicts_with = "quoted_pattern")]
    pattern: Option<OsString>,
    /// The same as a quoted string
    #[arg(long, value_name = "PATTERN", requires = "mode")]
    quoted_pattern: Option<OsString>,
    /// Keys that each SCAN is asked for [default: 1000]
    #[arg(long, value_name = "KEYS", requires = "mode", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Where the walk begins: what an interrupted one has told
    #[arg(long, value_name = "CURSOR", requires = "mode")]
    cursor: Option<u64>,
    /// Keys that are shown: with --keystats in all [default: 10], with its kin of each type [default: 5]
    #[arg(long, value_name = "NUMBER", requires = "mode", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    top: Option<u32>,
    /// Sends what the standard input has, which is protocol already, and counts replies and errors
    #[arg(long, group = "mode")]
    pipe: bool,
    /// Seconds without a reply after which --pipe gives up; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, requires = "pipe", hide_default_value = true)]
    pipe_timeout: f64,
    /// All commands that the server gets, as MONITOR shows them
    #[arg(long, group = "mode")]
    monitor: bool,
    /// Keeps the dump that a Redis server sends to its replicas; `-` is the standard output
    #[arg(long, value_name = "FILE", group = "mode")]
    rdb: Option<PathBuf>,
    /// The same of functions alone (Redis 7.0 and later)
    #[arg(long, value_name = "FILE", group = "mode")]
    functions_rdb: Option<PathBuf>,
    /// Shows the writes that a Redis server sends to its replicas
    #[arg(long, alias = "slave", group = "mode")]
    replica: bool,
    /// Hits and misses of a cache of so many keys, four of five requests for a fifth of them; overwrites the keys lru:*
    #[arg(long, value_name = "KEYS", group = "mode", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    lru_test: Option<u64>,
}

/// `kv-cli top`
#[derive(Parser, Debug)]
#[command(
    name = "kv-cli top",
    bin_name = "kv-cli top",
    about = "A full screen of what a server does: requests, latencies, memory, shards, commands, clients, slow log.",
    disable_help_flag = true,
    after_help = "Works with any Redis server; what it does not tell is left out. Keys: q ends, p pauses, + and - change the\n\
                  interval, c and s show clients or the slow log alone, ? tells the keys.\n\
                  Figures are of the last interval. Latencies are round trips of kv-cli's own PING; times of commands are\n\
                  the server's."
)]
struct TopLine {
    /// Prints this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Seconds between two looks
    #[arg(short, value_name = "SECONDS", default_value_t = 1.0, value_parser = positive_seconds)]
    interval: f64,
    #[command(flatten)]
    reach: Reach,
}

/// `kv-cli completions`
#[derive(Parser, Debug)]
#[command(name = "kv-cli completions", bin_name = "kv-cli completions", about = "Prints completions for a shell.")]
struct CompletionsLine {
    /// bash, zsh, fish, elvish or powershell
    shell: clap_complete::Shell,
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
    #[arg(short, value_name = "URI", value_parser = Uri::parse)]
    uri: Option<Uri>,
    /// Password
    #[arg(short = 'a', long = "pass", value_name = "PASSWORD")]
    password: Option<String>,
    /// User, with the password of -a
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Asks for the password at the terminal
    #[arg(long, conflicts_with = "password")]
    askpass: bool,
    /// Says nothing about a password on the command line
    #[arg(long)]
    no_auth_warning: bool,
    /// Number of the database
    #[arg(short = 'n', value_name = "DB")]
    db: Option<u32>,
    /// Seconds that connecting may take [default: the system's]
    #[arg(short = 't', value_name = "SECONDS", value_parser = positive_seconds)]
    timeout: Option<f64>,
    /// Tries a name's IPv4 addresses first
    #[arg(short = '4', conflicts_with = "ipv6")]
    ipv4: bool,
    /// Tries a name's IPv6 addresses first
    #[arg(short = '6')]
    ipv6: bool,
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
    /// How long connecting may take; none: as long as the system tries.
    pub timeout: Option<Duration>,
    /// Which of a name's addresses are tried first; none: in the system's order.
    pub family: Option<Family>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
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
    pub task: Task,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Task {
    Command(Vec<Vec<u8>>),
    /// Commands come from a terminal or the standard input.
    Prompt,
    Mode(Mode),
    Transfer(Transfer),
    /// Only a text is printed.
    Print(Vec<u8>),
}

impl Options {
    /// Leaves the program for `--help`, `--version` and what clap refuses (status 2).
    pub fn from_command_line() -> Result<Options, String> {
        Options::resolve(CommandLine::parse(), &Environment::of_process())
    }

    fn resolve(mut line: CommandLine, environment: &Environment) -> Result<Options, String> {
        // Everything behind the first word belongs to the command, whatever it looks like; no command begins with '-'.
        if let Some(option) = line.command.first().filter(|word| word.as_encoded_bytes().starts_with(b"-")) {
            return Err(unknown(&option.to_string_lossy()));
        }
        let mut reach = std::mem::take(&mut line.reach);
        let word = Word::of(&line.command).unwrap_or_else(|error| error.exit());
        if let Some(word) = &word {
            if let Some(option) = line.of_commands_alone() {
                return Err(format!("{option} is for commands, not for {}", word.name()));
            }
            reach = word.reach().cloned().unwrap_or_default().or(reach);
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
        let interval = line.interval.map(Duration::try_from_secs_f64).transpose();
        let interval = interval.map_err(|_| "-i: not a span of time".to_owned())?;
        let mut format = Format { colours: environment.terminal && environment.colours, ..Format::new(style) };
        if let Some(delimiter) = &line.delimiter {
            format.delimiter = unescape_option("-d", delimiter)?;
        }
        if let Some(end) = &line.end {
            format.end = unescape_option("-D", end)?;
        }
        let show_pushes = match &line.show_pushes {
            Some(answer) => answer.starts_with('y'),
            None => environment.terminal,
        };
        let (target, db) = reach.target(resp3, environment)?;
        let pace = Pace { interval, lines: line.repeat.and_then(|times| u64::try_from(times).ok()) };
        let repeat = u64::try_from(line.repeat.unwrap_or(1)).ok();
        let task = match word {
            Some(word) => word.task(db),
            None => line.task(&format, pace)?,
        };
        Ok(Options { target, format, repeat, interval: interval.unwrap_or_default(), show_pushes, task })
    }
}

fn unknown(option: &str) -> String {
    match ABSENT.iter().find(|(options, _)| options.contains(&option)) {
        Some((_, why)) => format!("{option}: {why} (see --help)"),
        None => format!("unknown option {option} (see --help)"),
    }
}

impl CommandLine {
    /// An option that has a meaning for commands only.
    fn of_commands_alone(&self) -> Option<&'static str> {
        let given = [
            (self.resp2, "-2"),
            (self.resp3, "-3"),
            (self.repeat.is_some(), "-r"),
            (self.interval.is_some(), "-i"),
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
            (self.eval.is_some(), "--eval"),
            (self.modes.is_given(), "an option of a mode"),
        ];
        given.into_iter().find_map(|(given, option)| given.then_some(option))
    }

    fn task(self, format: &Format, pace: Pace) -> Result<Task, String> {
        let mut command: Vec<Vec<u8>> = self.command.into_iter().map(OsString::into_vec).collect();
        let styled = self.raw || self.no_raw || self.csv || self.json || self.quoted_json;
        if self.modes.is_given() {
            let foreign = [
                (self.stdin_last, "-x"),
                (self.stdin_tag.is_some(), "-X"),
                (self.quoted_input, "--quoted-input"),
                (pace.lines.is_some() && !self.modes.has_lines(), "-r"),
                (pace.interval.is_some() && !self.modes.has_interval(), "-i"),
                (styled && !self.modes.has_style(), "a style of replies"),
            ];
            if let Some((_, option)) = foreign.into_iter().find(|(given, _)| *given) {
                return Err(format!("{option} has no meaning for this mode"));
            }
            return match command.first() {
                Some(word) => Err(format!("'{}': a mode takes no command", word.escape_ascii())),
                None if self.modes.monitor => Ok(Task::Command(vec![b"MONITOR".to_vec()])),
                None => self.modes.mode(format, pace).map(Task::Mode),
            };
        }
        if self.quoted_input {
            command = command.into_iter().map(unquote_argument).collect::<Result<_, _>>()?;
        }
        if let Some(path) = self.eval {
            let script = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            command = eval_request(script, command);
        }
        if self.stdin_last {
            command.push(read_standard_input()?);
        } else if let Some(tag) = self.stdin_tag {
            let place = command.iter_mut().find(|arg| **arg == *tag.as_bytes());
            *place.ok_or_else(|| format!("-X: no argument reads '{tag}'"))? = read_standard_input()?;
        }
        Ok(if command.is_empty() { Task::Prompt } else { Task::Command(command) })
    }
}

impl ModeOptions {
    fn is_given(&self) -> bool {
        self.stat
            || self.latency
            || self.latency_history
            || self.latency_dist
            || self.intrinsic_latency.is_some()
            || self.is_walk()
            || self.pipe
            || self.monitor
            || self.rdb.is_some()
            || self.functions_rdb.is_some()
            || self.replica
            || self.lru_test.is_some()
    }

    fn has_lines(&self) -> bool {
        self.stat || self.latency_history || self.latency_dist || self.lru_test.is_some()
    }

    fn has_interval(&self) -> bool {
        self.has_lines() || self.latency || self.is_walk()
    }

    fn has_style(&self) -> bool {
        self.latency || self.scan || self.monitor
    }

    fn is_walk(&self) -> bool {
        self.scan || self.has_ranking()
    }

    fn has_ranking(&self) -> bool {
        self.measure().is_some() || self.keystats || self.keystats_samples.is_some()
    }

    fn measure(&self) -> Option<Measure> {
        if self.bigkeys {
            Some(Measure::Length)
        } else if self.memkeys || self.memkeys_samples.is_some() {
            Some(Measure::Memory { samples: self.memkeys_samples })
        } else if self.hotkeys {
            Some(Measure::Frequency)
        } else {
            None
        }
    }

    /// The mode that one of the options names. (MONITOR is a command.)
    fn mode(self, format: &Format, pace: Pace) -> Result<Mode, String> {
        let of_walks = self.pattern.is_some() || self.quoted_pattern.is_some() || self.count.or(self.cursor).is_some();
        if !self.is_walk() && of_walks {
            return Err("--pattern, --count and --cursor are for modes that walk over keys".to_owned());
        }
        if !self.has_ranking() && self.top.is_some() {
            return Err("--top is for --keystats, --bigkeys, --memkeys and --hotkeys".to_owned());
        }
        if let Some(seconds) = self.intrinsic_latency {
            return Ok(Mode::Intrinsic(Duration::from_secs_f64(seconds)));
        }
        if self.latency || self.latency_history || self.latency_dist {
            let kind = match (self.latency_history, self.latency_dist) {
                (true, _) => Latency::History,
                (_, true) => Latency::Spectrum,
                _ if format.style == Style::Typed => Latency::Live,
                _ => Latency::Once,
            };
            return Ok(Mode::Latency(kind, pace));
        }
        if self.pipe {
            let timeout =
                Duration::try_from_secs_f64(self.pipe_timeout).map_err(|_| "--pipe-timeout: no span of time")?;
            return Ok(Mode::Pipe { patience: Some(timeout).filter(|timeout| !timeout.is_zero()) });
        }
        if self.stat {
            return Ok(Mode::Stat(pace));
        }
        if let Some(keys) = self.lru_test {
            return Ok(Mode::Lru(keys, pace));
        }
        if self.replica {
            return Ok(Mode::Replica);
        }
        let file = |path: PathBuf| Some(path).filter(|path| path.as_os_str() != "-");
        if let Some(path) = self.rdb {
            return Ok(Mode::Dump(Dump::All, file(path)));
        }
        if let Some(path) = self.functions_rdb {
            return Ok(Mode::Dump(Dump::Functions, file(path)));
        }
        let measure = self.measure();
        let pattern = match (self.pattern, self.quoted_pattern) {
            (Some(plain), _) => Some(plain.into_vec()),
            (None, quoted) => quoted.map(|quoted| unquote_argument(quoted.into_vec())).transpose()?,
        };
        let walk = Walk { pattern, count: self.count, pause: pace.interval, cursor: self.cursor.unwrap_or(0) };
        let top = self.top.map(|top| top as usize);
        Ok(match measure {
            Some(measure) => Mode::Measure(measure, walk, top.unwrap_or(TOP_OF_TYPE)),
            None if self.scan => Mode::Scan(walk),
            None => Mode::KeyStats { samples: self.keystats_samples, walk, top: top.unwrap_or(TOP_OF_ALL) },
        })
    }
}

/// `EVAL script numkeys key ... argument ...`, of the words on both sides of a comma.
fn eval_request(script: Vec<u8>, words: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let comma = words.iter().position(|word| word == b",");
    let keys = comma.unwrap_or(words.len());
    let mut request = vec![b"EVAL".to_vec(), script, keys.to_string().into_bytes()];
    request.extend(words.into_iter().enumerate().filter(|(at, _)| Some(*at) != comma).map(|(_, word)| word));
    request
}

/// A word that stands in the place of a command.
enum Word {
    Export(ExportLine),
    Import(ImportLine),
    Top(TopLine),
    Completions(CompletionsLine),
    Man,
}

impl Word {
    fn of(command: &[OsString]) -> Result<Option<Word>, clap::Error> {
        Ok(match command.first().and_then(|word| word.to_str()) {
            Some("export") => Some(Word::Export(ExportLine::try_parse_from(command)?)),
            Some("import") => Some(Word::Import(ImportLine::try_parse_from(command)?)),
            Some("top") => Some(Word::Top(TopLine::try_parse_from(command)?)),
            Some("completions") => Some(Word::Completions(CompletionsLine::try_parse_from(command)?)),
            Some("man") if command.len() == 1 => Some(Word::Man),
            _ => None,
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Word::Export(_) | Word::Import(_) => "export and import",
            Word::Top(_) => "top",
            Word::Completions(_) => "completions",
            Word::Man => "man",
        }
    }

    fn reach(&self) -> Option<&Reach> {
        match self {
            Word::Export(line) => Some(&line.reach),
            Word::Import(line) => Some(&line.reach),
            Word::Top(line) => Some(&line.reach),
            Word::Completions(_) | Word::Man => None,
        }
    }

    fn task(self, db: Option<u32>) -> Task {
        match self {
            Word::Export(ExportLine { format, pattern, .. }) => {
                Task::Transfer(Transfer::Export { format, pattern: pattern.map(OsString::into_vec), db })
            }
            Word::Import(ImportLine { file, replace, rdb, .. }) => {
                let file = Some(file).filter(|file| file.as_os_str() != "-");
                Task::Transfer(Transfer::Import { file, settings: Settings { replace, db }, rdb })
            }
            Word::Top(TopLine { interval, .. }) => {
                Task::Mode(Mode::Top { interval: Duration::from_secs_f64(interval) })
            }
            Word::Completions(CompletionsLine { shell }) => {
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut documented(), "kv-cli", &mut text);
                Task::Print(text)
            }
            Word::Man => {
                let mut text = Vec::new();
                let done = clap_mangen::Man::new(documented()).render(&mut text);
                done.expect("memory takes everything");
                Task::Print(text)
            }
        }
    }
}

/// The command line with the words of [`Word`] as subcommands, for completions and the manual.
fn documented() -> clap::Command {
    CommandLine::command().mut_arg("command", |arg| arg.hide(true)).disable_help_subcommand(true).subcommands([
        ExportLine::command().name("export"),
        ImportLine::command().name("import"),
        TopLine::command().name("top"),
        CompletionsLine::command().name("completions"),
        clap::Command::new("man").about("Prints the manual page."),
    ])
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
            askpass: self.askpass || other.askpass,
            no_auth_warning: self.no_auth_warning || other.no_auth_warning,
            db: self.db.or(other.db),
            timeout: self.timeout.or(other.timeout),
            ipv4: self.ipv4 || (other.ipv4 && !self.ipv6),
            ipv6: self.ipv6 || (other.ipv6 && !self.ipv4),
        }
    }

    /// The server, and the database if one was named.
    fn target(self, resp3: bool, environment: &Environment) -> Result<(Target, Option<u32>), String> {
        let uri = self.uri.unwrap_or_default();
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
        let asked = if self.askpass { Some(ask_password()?) } else { None };
        let target = Target {
            address,
            user: self.user.or(uri.user),
            password: asked.or(self.password).or(uri.password).or_else(|| environment.password.clone()),
            db: db.unwrap_or(0),
            resp3,
            timeout: self.timeout.map(Duration::from_secs_f64),
            family: match (self.ipv4, self.ipv6) {
                (true, _) => Some(Family::V4),
                (_, true) => Some(Family::V6),
                _ => None,
            },
        };
        Ok((target, db))
    }
}

/// What the options' defaults depend on.
struct Environment {
    /// The output is a terminal.
    terminal: bool,
    /// Nobody asked for a life without them.
    colours: bool,
    password: Option<String>,
}

impl Environment {
    fn of_process() -> Environment {
        let password = ["KVCLI_AUTH", "REDISCLI_AUTH"].iter().find_map(|name| std::env::var(name).ok());
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let colours = !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|kind| kind != "dumb");
        Environment { terminal: std::io::stdout().is_terminal(), colours, password }
    }
}

fn ask_password() -> Result<String, String> {
    crate::prompt::ask_secret("Password: ").map_err(|error| format!("--askpass: {error}"))
}

/// A span that a [`Duration`] can hold.
fn positive_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0 && *seconds <= 1e9);
    seconds.ok_or_else(|| "no number of seconds".to_owned())
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

#[cfg(test)]
mod tests;
