//! The command line. `-h` is the host, as in redis-benchmark, so help is `--help` only.

use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::driver::{Limit, Load};
use crate::report::Style;
use crate::server::Server;
use crate::workload::{DEFAULT_TESTS, Numbers, Shape, TESTS, Template, Test};

/// Requests of a test when neither -n nor --seconds says otherwise, as in redis-benchmark.
const DEFAULT_REQUESTS: u64 = 100_000;

#[derive(Parser, Debug)]
#[command(
    name = "kv-bench",
    version,
    about = "Loads kv-server, or any Redis server, and measures throughput and latency.",
    disable_help_flag = true,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = false,
    after_help = "A command after the options is sent instead of -t's; in it __rand_int__ becomes 12 random digits and \
                  __data__ the value of -d."
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
    #[arg(long, action = ArgAction::Help, global = true)]
    help: Option<bool>,
}

#[derive(Args, Debug)]
pub struct BenchOptions {
    /// Requests of each test [default: 100000]
    #[arg(short = 'n', value_name = "REQUESTS", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Ends each test after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Connections
    #[arg(short = 'c', value_name = "CLIENTS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// Requests that a connection sends at once
    #[arg(short = 'P', value_name = "PIPELINE", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pipeline: u32,
    /// Threads that drive the connections
    #[arg(long, value_name = "THREADS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Bytes of a value
    #[arg(short = 'd', value_name = "BYTES", default_value_t = 3)]
    data_bytes: usize,
    /// Number of keys to choose from at random; without it all requests name the same key
    #[arg(short = 'r', value_name = "KEYS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    keyspace: Option<u64>,
    /// Keys in one MSET or MGET
    #[arg(long, value_name = "KEYS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    multi_keys: u32,
    /// What chooses the keys
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Tests, separated by commas [default: ping,set,get,incr,mset,mget]
    #[arg(short = 't', value_name = "TESTS")]
    tests: Option<String>,
    /// A command to send instead of tests
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Args, Debug)]
pub struct ReportOptions {
    /// One line a test
    #[arg(short = 'q', global = true, group = "style")]
    quiet: bool,
    /// Comma-separated values, columns as redis-benchmark's and more
    #[arg(long, global = true, group = "style")]
    csv: bool,
    /// One JSON object a test
    #[arg(long, global = true, group = "style")]
    json: bool,
}

#[derive(Subcommand, Debug)]
pub enum Mode {
    /// Sends one command at fixed moments, whatever the server does, and measures from those moments
    Probe(Probe),
    /// Sets keys one after the other and looks for the slowest round trip
    Fill(Fill),
    /// Sets keys that expire evenly spread, and measures how late they vanish
    Expiry(Expiry),
}

#[derive(Args, Debug)]
pub struct Probe {
    /// Time between two requests
    #[arg(long, value_name = "US", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub interval_us: u64,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub seconds: f64,
    /// The command [default: GET probe]
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Args, Debug)]
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
    #[arg(short = 'd', value_name = "BYTES", default_value_t = 64)]
    data_bytes: usize,
}

#[derive(Args, Debug)]
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

impl CommandLine {
    /// The tests to run, in the order given.
    pub fn tests(&self) -> Result<Vec<Test>, String> {
        if !self.options.command.is_empty() {
            return Ok(vec![Test::of_command(&self.options.command)]);
        }
        let names = self.options.tests.as_deref().unwrap_or(DEFAULT_TESTS);
        let shape = Shape { multi_keys: self.options.multi_keys };
        names
            .split(',')
            .map(|name| {
                let known = || TESTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(",");
                Test::named(name, &shape).ok_or_else(|| format!("-t: no test '{name}'; there are {}", known()))
            })
            .collect()
    }

    pub fn load(&self, test: &Test) -> Load {
        let options = &self.options;
        let seconds = options.seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        let requests = options.requests.or(seconds.is_none().then_some(DEFAULT_REQUESTS));
        Load {
            template: Template::new(&test.args, options.data_bytes),
            numbers: match options.keyspace {
                Some(keys) => Numbers::Random { keys, seed: options.seed },
                None => Numbers::Zero,
            },
            connections: options.clients,
            pipeline: options.pipeline,
            threads: options.threads.min(options.clients),
            limit: Limit { requests, time: seconds },
            data_bytes: options.data_bytes,
        }
    }
}

impl Fill {
    pub fn load(&self) -> Load {
        let args = ["SET", "key:__rand_int__", "__data__"].map(str::to_owned);
        Load {
            template: Template::new(&args, self.data_bytes),
            numbers: Numbers::Sequence { keys: self.keys },
            connections: self.clients,
            pipeline: self.pipeline,
            threads: 1,
            limit: Limit { requests: Some(self.keys), time: None },
            data_bytes: self.data_bytes,
        }
    }
}

impl ReportOptions {
    pub fn style(&self) -> Style {
        match self {
            ReportOptions { csv: true, .. } => Style::Csv,
            ReportOptions { json: true, .. } => Style::Json,
            ReportOptions { quiet: true, .. } => Style::Quiet,
            ReportOptions { .. } => Style::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> CommandLine {
        CommandLine::try_parse_from(["kv-bench"].into_iter().chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
    }

    #[test]
    fn tests_come_in_the_order_given_and_unknown_ones_are_named() {
        let names = |line: &str| parse(line).tests().map(|tests| tests.into_iter().map(|t| t.name).collect::<Vec<_>>());
        assert_eq!(names("-t get,set").unwrap(), ["GET", "SET"]);
        assert_eq!(names("-t mset --multi-keys 8").unwrap(), ["MSET (8 keys)"]);
        assert_eq!(names("-c 2 set x __rand_int__").unwrap(), ["set x __rand_int__"]);
        assert!(names("-t get,nope").unwrap_err().starts_with("-t: no test 'nope'; there are ping,set,"));
        assert_eq!(names("").unwrap().len(), DEFAULT_TESTS.split(',').count());
    }

    #[test]
    fn seconds_alone_put_no_limit_on_requests() {
        let limit = |line: &str| parse(line).load(&Test::named("get", &Shape { multi_keys: 1 }).unwrap()).limit;
        assert_eq!(limit("").requests, Some(DEFAULT_REQUESTS));
        assert_eq!(limit("--seconds 2").requests, None);
        assert_eq!(limit("--seconds 2 -n 5").requests, Some(5));
        assert_eq!(limit("--seconds 0.5").time, Some(Duration::from_millis(500)));
    }

    #[test]
    fn modes_take_the_server_before_or_after_their_name() {
        for line in ["-p 7000 probe --seconds 1 GET x", "probe --seconds 1 -p 7000 -- GET x"] {
            let line = parse(line);
            assert_eq!(line.server.port, 7000);
            assert!(matches!(line.mode, Some(Mode::Probe(Probe { command, .. })) if command == ["GET", "x"]));
        }
        assert!(matches!(parse("fill --keys 20 --json").mode, Some(Mode::Fill(Fill { keys: 20, .. }))));
        assert!(matches!(parse("expiry --spread-ms 5").mode, Some(Mode::Expiry(Expiry { spread_ms: 5, .. }))));
    }
}
