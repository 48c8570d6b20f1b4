//! The command line. `-h` is the host, as in redis-benchmark, so help is `--help` only.
//!
//! Options are redis-benchmark's where it has them, under the same letter. What they make is told in `workload` and
//! `driver`; this file reads them and knows what does not go together.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use kv_core::resp::client::TLS_OPTIONS;

use crate::clock;
use crate::driver::pace::Arrivals;
use crate::driver::{Limit, Load, Pace, Traffic};
use crate::modes::drill::Drill;
use crate::modes::find_max::Objective;
use crate::report::ReportOptions;
use crate::server::Server;
use crate::workload::catalog::{self, Completion, DEFAULT_TESTS};
use crate::workload::keys::KeyPattern;
use crate::workload::replay::Log;
use crate::workload::values::{VERIFIED_MIN, ValueSize};
use crate::workload::{Shape, Workload};

/// Requests of a test when neither -n nor --seconds says otherwise, as in redis-benchmark.
const DEFAULT_REQUESTS: u64 = 100_000;

/// Bytes of a value, as in redis-benchmark.
const DEFAULT_DATA_BYTES: usize = 3;

#[derive(Parser, Debug)]
#[command(
    name = "kv-bench",
    version,
    about = "Loads kv-server, or any Redis server, and measures throughput and latency.",
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    override_usage = "kv-bench [OPTIONS] [COMMAND [ARGUMENT]...]\n       kv-bench [OPTIONS] MODE [MODE'S OPTIONS]",
    subcommand_value_name = "MODE",
    subcommand_help_heading = "Modes",
    args_conflicts_with_subcommands = false,
    after_help = "A command after the options is sent instead of -t's. In it __key__ becomes key: and 12 digits, the same \
                  wherever it stands, __rand_int__ 12 digits drawn anew, __int:LOW:HIGH__ a number, __data__ a value of -d."
)]
pub struct CommandLine {
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub report: ReportOptions,
    #[command(flatten)]
    pub options: BenchOptions,
    #[command(subcommand)]
    pub mode: Option<Mode>,
    /// Prints this help
    #[arg(long, action = ArgAction::Help, global = true, help_heading = "Output")]
    help: Option<bool>,
    /// Prints the version
    #[arg(short = 'v', long, action = ArgAction::Version, help_heading = "Output")]
    version: Option<bool>,
}

const SENT: &str = "What is sent";
const SEARCHES: &str = "Instead of one run a test";

/// What redis-benchmark has and kv-bench has not, and why.
const ABSENT: [(&[&str], &str); 2] =
    [(&TLS_OPTIONS, "kv-bench speaks no TLS"), (&["--cluster"], "kv-bench knows no cluster: it loads one server")];

impl CommandLine {
    /// Leaves the program for `--help`, `--version` and what is wrong (status 2).
    pub fn of_process() -> CommandLine {
        CommandLine::try_parse().unwrap_or_else(|error| {
            match error.get(ContextKind::InvalidArg).and_then(|option| absent(&option.to_string())) {
                Some(why) if error.kind() == ErrorKind::UnknownArgument => {
                    CommandLine::command().error(ErrorKind::UnknownArgument, why).exit()
                }
                _ => error.exit(),
            }
        })
    }
}

/// Why there is no such option, if somebody who knows redis-benchmark may look for it.
fn absent(option: &str) -> Option<String> {
    let (_, why) = ABSENT.iter().find(|(options, _)| options.contains(&option))?;
    Some(format!("{option}: {why}"))
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub struct BenchOptions {
    /// Requests of each test [default: 100000]
    #[arg(short = 'n', value_name = "REQUESTS", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Ends each test after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    seconds: Option<f64>,
    /// Sends for so many seconds before measuring begins
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    warm_up: f64,
    /// Connections
    #[arg(short = 'c', value_name = "CLIENTS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// Requests that a connection sends at once; with --rate, that it has under way at most
    #[arg(short = 'P', value_name = "PIPELINE", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pipeline: u32,
    /// 0: each burst of requests goes over a connection of its own
    #[arg(short = 'k', value_name = "0|1", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1),
          conflicts_with_all = ["rate", "replay", "find_max", "drill", "idle"])]
    keep_alive: u8,
    /// Threads that drive the connections
    #[arg(long, value_name = "THREADS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Bytes of a value: 64, 10-1000, 64:90,4096:10 (sizes with weights) or lognormal:MEDIAN:DEVIATION [default: 3]
    #[arg(short = 'd', value_name = "BYTES", help_heading = SENT)]
    data: Option<ValueSize>,
    /// Number of keys to choose from; without it all requests name the same key
    #[arg(short = 'r', value_name = "KEYS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000), help_heading = SENT)]
    keyspace: Option<u64>,
    /// How keys are chosen: uniform, zipfian[:EXPONENT], gaussian[:DEVIATION], sequential, hotset[:KEYS/REQUESTS], latest
    #[arg(long, value_name = "PATTERN", requires = "keyspace", help_heading = SENT)]
    key_pattern: Option<KeyPattern>,
    /// Seconds that keys of SET live: 60 or 10-100
    #[arg(long, value_name = "SECONDS", value_parser = span, help_heading = SENT)]
    ttl: Option<(u64, u64)>,
    /// Keys in one MSET or MGET
    #[arg(long, value_name = "KEYS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = SENT)]
    multi_keys: u32,
    /// What chooses keys, values and moments: the same number repeats a run
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Tests, separated by commas [default: ping_mbulk,set,get,incr,mset,mget]
    #[arg(short = 't', value_name = "TESTS", group = "what", help_heading = SENT)]
    tests: Option<String>,
    /// Tests and commands with weights: get:80,set:15,zadd:5
    #[arg(long, value_name = "MIX", group = "what", help_heading = SENT)]
    mix: Option<String>,
    /// A workload of YCSB, A to F, over -r records
    #[arg(long, value_name = "LETTER", group = "what", requires = "keyspace", help_heading = SENT)]
    ycsb: Option<char>,
    /// Reads keys, and sets those that are not found
    #[arg(long, group = "what", requires = "keyspace", help_heading = SENT)]
    cache_aside: bool,
    /// Sends a log of MONITOR again
    #[arg(long, value_name = "FILE", group = "what", conflicts_with_all = ["rate", "verify", "preload"], help_heading = SENT)]
    replay: Option<PathBuf>,
    /// Sends the log at its own moments, so many times as fast; without it as fast as replies come
    #[arg(long, value_name = "TIMES", requires = "replay", value_parser = positive, help_heading = SENT)]
    replay_speed: Option<f64>,
    /// Writes every key of -r once before the tests
    #[arg(long, requires = "keyspace", help_heading = SENT)]
    preload: bool,
    /// Open loop: so many requests a second (50000, 50k, 1.5m), whatever the server does
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<f64>,
    /// How requests of the open loop are spread: fixed, poisson, bursts:SIZE
    #[arg(long, value_name = "KIND", default_value = "poisson")]
    arrivals: Arrivals,
    /// Writes values that tell their key and carry a checksum, and checks what GET returns
    #[arg(long, help_heading = SENT)]
    verify: bool,
    /// Looks for the highest rate that keeps an objective: p99=2ms, p99.9=500us
    #[arg(long, value_name = "OBJECTIVE", conflicts_with_all = ["rate", "requests", "replay", "against"], help_heading = SEARCHES)]
    find_max: Option<Objective>,
    /// Compares with another server, in rounds
    #[arg(long, value_name = "HOST:PORT", value_parser = address, help_heading = SEARCHES)]
    against: Option<(String, u16)>,
    /// Rounds of --against [default: 5] and of --drill [default: 3]
    #[arg(long, value_name = "ROUNDS", value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = SEARCHES)]
    rounds: Option<u32>,
    /// Starts a server by this command, kills it under load, starts it again and counts acknowledged writes that are lost
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["what", "rate", "find_max", "against", "verify", "preload", "requests"], help_heading = SEARCHES)]
    drill: Option<String>,
    /// Runs the tests again and again, until Ctrl-C
    #[arg(short = 'l', conflicts_with_all = ["find_max", "against", "drill"])]
    pub forever: bool,
    /// Only opens the connections, and holds them until Ctrl-C or for --seconds
    #[arg(short = 'I', conflicts_with_all = ["what", "find_max", "against", "drill", "forever"])]
    pub idle: bool,
    /// The last argument of the command comes from the standard input
    #[arg(short = 'x', requires = "command", help_heading = SENT)]
    stdin_last: bool,
    /// A command to send instead of tests
    #[arg(trailing_var_arg = true, value_name = "COMMAND", group = "what", help_heading = SENT)]
    command: Vec<String>,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Mode {
    /// Sends one command at fixed moments, whatever the server does, on one connection
    Probe(Probe),
    /// Sets keys one after the other and looks for the slowest round trip
    Fill(Fill),
    /// Sets keys that expire evenly spread, and measures how late they vanish
    Expiry(Expiry),
    /// Compares two servers case by case; both are emptied before each
    Suite(Suite),
    /// Prints completions of this command line for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man,
}

impl Mode {
    /// What is printed instead of loading a server.
    pub fn text(&self) -> Option<Vec<u8>> {
        let mut command = CommandLine::command();
        let mut text = Vec::new();
        match self {
            Mode::Completions { shell } => clap_complete::generate(*shell, &mut command, "kv-bench", &mut text),
            Mode::Man => clap_mangen::Man::new(command).render(&mut text).expect("memory takes everything"),
            Mode::Probe(_) | Mode::Fill(_) | Mode::Expiry(_) | Mode::Suite(_) => return None,
        }
        Some(text)
    }
}

#[derive(Args, Clone, Debug)]
pub struct Probe {
    /// Time between two requests
    #[arg(long, value_name = "US", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    interval_us: u64,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// The command [default: GET probe]
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub struct Fill {
    /// Keys to set: key:000000000000 and on
    #[arg(long, value_name = "KEYS", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    keys: u64,
    /// Connections
    #[arg(short = 'c', value_name = "CLIENTS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// Requests that a connection sends at once
    #[arg(short = 'P', value_name = "PIPELINE", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pipeline: u32,
    /// Bytes of a value
    #[arg(short = 'd', value_name = "BYTES", default_value = "64")]
    data: ValueSize,
}

#[derive(Args, Clone, Debug)]
pub struct Expiry {
    /// Keys to set
    #[arg(long, value_name = "KEYS", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub keys: u64,
    /// Time over which they expire
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub spread_ms: u64,
    /// Time for setting them, before the first expires [default: 1000, and 1 for each 100 keys]
    #[arg(long, value_name = "MS")]
    pub lead_ms: Option<u64>,
    /// Gives up so long after the last should have vanished
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub patience_ms: u64,
    /// Bytes of a value
    #[arg(short = 'd', value_name = "BYTES", default_value_t = 64)]
    pub data_bytes: usize,
}

#[derive(Args, Clone, Debug)]
pub struct Suite {
    /// The suite: types
    #[arg(value_enum)]
    pub name: crate::modes::suite::Name,
    /// The server to compare with
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub against: (String, u16),
    /// Rounds, each of both servers
    #[arg(long, value_name = "ROUNDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
    /// Only cases whose names have one of these parts: zset,lpush
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Of the numbers of requests
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = positive)]
    pub scale: f64,
    /// Requests that a connection sends at once
    #[arg(short = 'P', value_name = "PIPELINE", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub pipeline: u32,
    /// Connections
    #[arg(short = 'c', value_name = "CLIENTS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: u32,
    /// Bytes of a value
    #[arg(short = 'd', value_name = "BYTES", default_value_t = DEFAULT_DATA_BYTES)]
    pub data: usize,
    /// Empties servers that have keys
    #[arg(long)]
    pub flush: bool,
}

/// The most requests a second that can be asked for: more is due than a clock tells apart.
const RATE_MAX: f64 = 1e9;

/// `50000`, `50k`, `1.5m`.
fn rate(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        _ => (text, 1.0),
    };
    match number.parse::<f64>().map(|number| number * factor) {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(rate),
        _ => Err("no rate: a number of requests a second, as 50000, 50k or 1.5m".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite()).ok_or("no positive number".to_owned())
}

/// `HOST:PORT`.
fn address(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("no address: HOST:PORT")?;
    let port = port.parse().map_err(|_| format!("'{port}' is no port"))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

/// `60` or `10-100`, in seconds.
fn span(text: &str) -> Result<(u64, u64), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) if 0 < low && low <= high && high <= 10_000_000_000 => Ok((low, high)),
        _ => Err("no span of seconds: 60 or 10-100".to_owned()),
    }
}

impl BenchOptions {
    fn completion(&self) -> Completion {
        Completion { multi_keys: self.multi_keys, ttl: self.ttl }
    }

    fn shape(&self) -> Shape {
        let least = if self.verify { VERIFIED_MIN } else { DEFAULT_DATA_BYTES };
        let usual = if self.ycsb.is_some() { catalog::YCSB_FIELD_BYTES } else { least };
        Shape {
            keys: self.keyspace,
            pattern: self.key_pattern.unwrap_or(KeyPattern::Uniform),
            values: self.data.clone().unwrap_or(ValueSize::Fixed(usual)),
            verified: self.verify,
            seed: self.seed,
        }
    }

    /// What is to be sent: one run each, in this order.
    ///
    /// Errors: names and commands that are none, options that do not go together, a log that cannot be read.
    pub fn traffic(&self) -> Result<Vec<Traffic>, String> {
        let (shape, completion) = (self.shape(), self.completion());
        if shape.verified && shape.values.least() < VERIFIED_MIN {
            return Err(format!("--verify: values need {VERIFIED_MIN} bytes for their key and check: raise -d"));
        }
        let workloads = if !self.command.is_empty() {
            let mut words = self.command.clone();
            if self.stdin_last {
                let input = std::io::read_to_string(std::io::stdin());
                words.push(input.map_err(|problem| format!("-x: the standard input: {problem}"))?);
            }
            vec![catalog::command(&words, &shape)]
        } else if let Some(text) = &self.mix {
            vec![catalog::mix(text, &completion, &shape).map_err(|problem| format!("--mix: {problem}"))?]
        } else if let Some(letter) = self.ycsb {
            vec![catalog::ycsb(letter, self.key_pattern, &shape).map_err(|problem| format!("--ycsb: {problem}"))?]
        } else if self.cache_aside {
            vec![catalog::cache_aside(&completion, &shape)]
        } else if let Some(path) = &self.replay {
            let file =
                std::fs::File::open(path).map_err(|problem| format!("--replay {}: {problem}", path.display()))?;
            let log = Log::read(std::io::BufReader::new(file));
            let log = log.map_err(|problem| format!("--replay {}: {problem:#}", path.display()))?;
            return Ok(vec![Traffic::Logged(log.into())]);
        } else {
            let names = self.tests.as_deref().unwrap_or(DEFAULT_TESTS);
            catalog::tests(names, &completion, &shape).map_err(|problem| format!("-t: {problem}"))?
        };
        workloads.iter().try_for_each(Workload::check)?;
        Ok(workloads.into_iter().map(Traffic::Made).collect())
    }

    pub fn load(&self, traffic: Traffic) -> Load {
        let time = self.seconds.map(clock::seconds);
        let all_of_it = time.is_none() && !matches!(traffic, Traffic::Logged(_));
        Load {
            limit: Limit { requests: self.requests.or(all_of_it.then_some(DEFAULT_REQUESTS)), time },
            connections: self.clients,
            keep_alive: self.keep_alive != 0,
            pipeline: self.pipeline,
            threads: self.threads,
            pace: match (&traffic, self.rate, self.replay_speed) {
                (Traffic::Made(_), Some(rate), _) => Pace::Open { rate, arrivals: self.arrivals },
                (Traffic::Logged(_), _, Some(speed)) => Pace::Logged { speed },
                _ => Pace::Closed,
            },
            traffic,
            warm_up: clock::seconds(self.warm_up),
        }
    }

    /// Connections that are only held, and for how long.
    pub fn idle(&self) -> Option<(u32, Option<Duration>)> {
        self.idle.then(|| (self.clients, self.seconds.map(clock::seconds)))
    }

    pub fn find_max(&self) -> Option<(Objective, Arrivals)> {
        Some((self.find_max?, self.arrivals))
    }

    /// The other server, with the login of the first, and the number of rounds.
    pub fn against(&self, server: &Server) -> Option<(Server, usize)> {
        let (host, port) = self.against.clone()?;
        Some((Server { host, port, socket: None, ..server.clone() }, self.rounds.unwrap_or(AGAINST_ROUNDS) as usize))
    }

    pub fn drill(&self) -> Option<Drill> {
        Some(Drill {
            command: self.drill.clone()?,
            connections: self.clients,
            pipeline: self.pipeline,
            rounds: self.rounds.unwrap_or(DRILL_ROUNDS),
            load: clock::seconds(self.seconds.unwrap_or(DRILL_SECONDS)),
            seed: self.seed,
        })
    }

    /// What writes the keys before the tests, if that was asked for.
    pub fn preload(&self) -> Option<Load> {
        let keys = self.keyspace.filter(|_| self.preload)?;
        let workload = catalog::preload(self.ycsb.is_some(), &self.completion(), &self.shape());
        Some(fast(workload, keys, self.clients, self.pipeline.max(PRELOAD_PIPELINE), self.threads))
    }
}

const AGAINST_ROUNDS: u32 = 5;
const DRILL_ROUNDS: u32 = 3;
const DRILL_SECONDS: f64 = 5.0;

/// Preloading is not measured, and may be fast.
const PRELOAD_PIPELINE: u32 = 32;

/// A closed loop over a whole key space.
fn fast(workload: Workload, keys: u64, connections: u32, pipeline: u32, threads: u32) -> Load {
    Load {
        traffic: Traffic::Made(workload),
        connections,
        keep_alive: true,
        pipeline,
        threads,
        pace: Pace::Closed,
        limit: Limit { requests: Some(keys), time: None },
        warm_up: Duration::ZERO,
    }
}

impl Fill {
    pub fn load(&self) -> Load {
        let shape = Shape {
            keys: Some(self.keys),
            pattern: KeyPattern::Sequential,
            values: self.data.clone(),
            verified: false,
            seed: 1,
        };
        let mut workload = catalog::preload(false, &Completion { multi_keys: 1, ttl: None }, &shape);
        workload.name = "FILL".to_owned();
        fast(workload, self.keys, self.clients, self.pipeline, 1)
    }
}

impl Probe {
    /// One connection that never waits for a reply before it sends.
    pub fn load(&self) -> Result<Load, String> {
        let usual = ["GET", "probe"].map(str::to_owned);
        let command = if self.command.is_empty() { &usual[..] } else { &self.command };
        let shape = Shape {
            keys: None,
            pattern: KeyPattern::Uniform,
            values: ValueSize::Fixed(DEFAULT_DATA_BYTES),
            verified: false,
            seed: 1,
        };
        let workload = catalog::command(command, &shape);
        workload.check()?;
        let requests = (self.seconds * 1e6 / self.interval_us as f64).ceil().max(1.0) as u64;
        Ok(Load {
            traffic: Traffic::Made(workload),
            connections: 1,
            keep_alive: true,
            pipeline: u32::MAX,
            threads: 1,
            pace: Pace::Open { rate: 1e6 / self.interval_us as f64, arrivals: Arrivals::Fixed },
            limit: Limit { requests: Some(requests), time: None },
            warm_up: Duration::ZERO,
        })
    }
}

/// The first load that a command line asks for.
#[cfg(test)]
pub fn tests_load(line: &str) -> Load {
    let words = ["kv-bench"].into_iter().chain(line.split_whitespace());
    let options = CommandLine::try_parse_from(words).expect("the line is right").options;
    options.load(options.traffic().expect("there is something to send").remove(0))
}

#[cfg(test)]
mod tests;
