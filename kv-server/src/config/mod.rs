//! The options of kv-server: one row each, read by everybody.
//!
//! [`ROWS`] says for every option its name, kind, limits, default, whether it may change while the server runs, and
//! what it does. The file parser, the command line, CONFIG GET, SET and REWRITE, `--help` and docs/configuration.md
//! have no other source, so an option cannot be half there. Names, units and error texts are those of redis.conf.
//!
//! [`Config`] is a plain struct of typed fields, which the server reads; a row reaches its field through function
//! pointers. Each thread may have its own copy.
//!
//! An option of Redis that stands for something kv does not do is refused by name, never read and ignored; where kv
//! does what exactly one value of such an option says (`rdbchecksum yes`), that value is accepted and others are refused.
//!
//! Nothing here touches the machine: files are read through a function that the caller gives, and no path or address
//! is tried out. Applying a changed option (`tcp-keepalive`, say) is up to the server.

mod args;
mod docs;
mod durability;
mod error;
mod file;
mod output_limits;
mod pages;
mod redis_names;
mod rewrite;
mod row;
mod rows;
mod secret;
mod value;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use kv_core::store::Classes;
use kv_core::types::{Limits, pattern};

pub use args::{Start, parse_args};
pub use docs::{help_text, options_markdown};
pub use durability::{Fsync, SavePoint, SavePoints};
pub use error::{SetError, StartError};
pub use file::ReadFile;
pub use output_limits::{OutputLimit, OutputLimits};
pub use row::{Change, Kind, Row, Section};
pub use rows::{ROWS, find_row};
pub use secret::Secret;

/// The values of all options. A field bears the name of its option; the rows say what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub bind: Vec<String>,
    /// See [`Config::tcp_port`] for what 0 means.
    pub port: u16,
    pub unixsocket: Option<PathBuf>,
    /// Mode bits; 0 leaves what the umask gives.
    pub unixsocketperm: u32,
    pub tcp_backlog: u32,
    /// Seconds; 0 is off.
    pub tcp_keepalive: u32,
    pub protected_mode: bool,
    pub requirepass: Secret,
    pub maxclients: u32,
    /// Seconds; 0 is never.
    pub timeout: u32,
    pub client_output_buffer_limit: OutputLimits,
    /// Bytes; at most `u32::MAX`, since arguments are ranges of 32 bits in a request.
    pub client_query_buffer_limit: u64,
    pub proto_max_bulk_len: u64,
    pub proto_max_args: u32,
    pub proto_max_line_len: u64,
    /// 0 is one per core, see [`Config::shard_count`].
    pub shards: u16,
    pub databases: u32,
    pub notify_keyspace_events: Classes,
    pub hll_sparse_max_bytes: u64,
    /// All but the size of list nodes, which is kept as it was given, and the seed.
    pub limits: Limits,
    pub list_max_listpack_size: i32,
    pub dir: PathBuf,
    pub save: SavePoints,
    pub appendonly: bool,
    pub appendfsync: Fsync,
    /// Percent; 0 is never.
    pub auto_aof_rewrite_percentage: u32,
    /// Bytes.
    pub auto_aof_rewrite_min_size: u64,
    pub stop_writes_on_bgsave_error: bool,
    pub rdbcompression: bool,
    /// Microseconds; negative is never.
    pub slowlog_log_slower_than: i32,
    pub tracking_table_max_keys: u64,
    pub slowlog_max_len: u32,
    pub latency_tracking: bool,
    /// Numbers from 0 to 100.
    pub latency_tracking_info_percentiles: Vec<String>,
    /// Milliseconds; 0 is never.
    pub latency_monitor_threshold: u64,
    pub loglevel: LogLevel,
    pub busy_reply_threshold: u64,
    pub script_strict_keys: bool,
    /// None is standard output.
    pub logfile: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            bind: vec!["127.0.0.1".into(), "-::1".into()],
            port: 6379,
            unixsocket: None,
            unixsocketperm: 0,
            tcp_backlog: 511,
            tcp_keepalive: 300,
            protected_mode: true,
            requirepass: Secret::default(),
            maxclients: 10_000,
            timeout: 0,
            client_output_buffer_limit: OutputLimits::default(),
            client_query_buffer_limit: 1 << 30,
            proto_max_bulk_len: 512 << 20,
            proto_max_args: 1 << 20,
            proto_max_line_len: 64 << 10,
            shards: 0,
            databases: 16,
            notify_keyspace_events: Classes::NONE,
            hll_sparse_max_bytes: 3000,
            limits: Limits::default(),
            list_max_listpack_size: -2,
            dir: PathBuf::from("."),
            save: SavePoints::default(),
            appendonly: false,
            appendfsync: Fsync::EverySecond,
            auto_aof_rewrite_percentage: 100,
            auto_aof_rewrite_min_size: 64 << 20,
            stop_writes_on_bgsave_error: true,
            rdbcompression: true,
            slowlog_log_slower_than: 10_000,
            tracking_table_max_keys: 1_000_000,
            slowlog_max_len: 128,
            latency_tracking: true,
            latency_tracking_info_percentiles: ["50", "99", "99.9"].map(String::from).to_vec(),
            latency_monitor_threshold: 0,
            loglevel: LogLevel::Notice,
            busy_reply_threshold: 5000,
            script_strict_keys: false,
            logfile: None,
        }
    }
}

/// How much the log tells: a line is written if its level is at least the one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

impl LogLevel {
    const NAMES: &[&str] = &["debug", "verbose", "notice", "warning"];

    fn name(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Verbose => "verbose",
            LogLevel::Notice => "notice",
            LogLevel::Warning => "warning",
        }
    }

    fn from_name(name: &str) -> Option<LogLevel> {
        [LogLevel::Debug, LogLevel::Verbose, LogLevel::Notice, LogLevel::Warning]
            .into_iter()
            .find(|level| level.name() == name)
    }
}

/// One address of `bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress<'a> {
    /// A host name or address, with `0.0.0.0` and `::` for the wildcards `*` and `::*`.
    pub host: &'a str,
    /// Written with a leading `-`: the server starts even if this machine does not have the address.
    pub optional: bool,
}

impl Config {
    /// CONFIG GET: the options whose name matches the pattern (glob, letters of either case), in the order of the rows.
    pub fn get(&self, pattern: &[u8]) -> Vec<(&'static str, String)> {
        self.get_matching(&[pattern])
    }

    /// As [`Config::get`] for several patterns; an option that matches more than one is given once.
    pub fn get_matching(&self, patterns: &[&[u8]]) -> Vec<(&'static str, String)> {
        let wanted = |name: &str| patterns.iter().any(|p| pattern::matches_ignoring_case(p, name.as_bytes()));
        let names =
            |row: &'static Row| [Some(row.name), row.older_name].into_iter().flatten().map(move |name| (name, row));
        let found = ROWS.iter().flat_map(names).filter(|(name, _)| wanted(name));
        found.map(|(name, row)| (name, row.show(self))).collect()
    }

    /// CONFIG SET: all pairs of name and value, or, after an error, none.
    pub fn set(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), SetError> {
        let mut rows: Vec<&Row> = Vec::with_capacity(pairs.len());
        for &(name, _) in pairs {
            let row = find_row_for_set(name)?;
            if row.change == Change::AtStart {
                return Err(SetError::failed(row.name, "can't set immutable config"));
            }
            if rows.iter().any(|other| other.name == row.name) {
                return Err(SetError::failed(row.name, "duplicate parameter"));
            }
            rows.push(row);
        }
        let mut changed = self.clone();
        for (row, &(_, value)) in rows.iter().zip(pairs) {
            let value = std::str::from_utf8(value).map_err(|_| SetError::failed(row.name, "argument must be UTF-8"))?;
            row.set(&mut changed, &[value]).map_err(|why| SetError::failed(row.name, why))?;
        }
        *self = changed;
        Ok(())
    }

    /// The number of shards on a machine with so many cores.
    pub fn shard_count(&self, cores: usize) -> usize {
        if self.shards == 0 { cores.clamp(1, rows::SHARDS_MAX as usize) } else { usize::from(self.shards) }
    }

    /// The port to listen on over TCP, 0 for any free one; None for no TCP at all.
    ///
    /// `port 0` beside a `unixsocket` is no TCP, as in Redis. Alone, which Redis refuses, it is any free port.
    pub fn tcp_port(&self) -> Option<u16> {
        let off = self.bind.is_empty() || (self.port == 0 && self.unixsocket.is_some());
        (!off).then_some(self.port)
    }

    /// The addresses of `bind`, taken apart.
    pub fn listen_addresses(&self) -> impl Iterator<Item = ListenAddress<'_>> {
        self.bind.iter().map(|text| {
            let (host, optional) = match text.strip_prefix('-') {
                Some(host) => (host, true),
                None => (text.as_str(), false),
            };
            let host = match host {
                "*" => "0.0.0.0",
                "::*" => "::",
                host => host,
            };
            ListenAddress { host, optional }
        })
    }
}

fn find_row_for_set(name: &[u8]) -> Result<&'static Row, SetError> {
    let name = String::from_utf8_lossy(name);
    match find_row(&name) {
        Some(row) => Ok(row),
        None => match redis_names::find(&name) {
            Some(known) => Err(SetError::failed(known, redis_names::why_refused(known))),
            None => Err(SetError::Unknown { name: error::printable(&name) }),
        },
    }
}
