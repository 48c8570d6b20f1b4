//! A log of MONITOR lines, to be sent again.
//!
//! ```text
//! 1339518083.107412 [0 127.0.0.1:60866] "SET" "k" "a\r\n"
//! ```
//!
//! What one client sent stays in order: each client of the log is put on one of our connections. Commands that would
//! change what kind of conversation a connection has (SUBSCRIBE, MONITOR, HELLO ...), end it or the server are left out,
//! and counted; so are those that scripts have called, since their scripts call them again. A SELECT is sent where the database
//! changes.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use kv_core::resp::client::encode_request;
use kv_core::resp::line;

use super::Issued;

/// Commands that are not sent again.
const LEFT_OUT: &[&str] = &[
    "AUTH",
    "HELLO",
    "RESET",
    "QUIT",
    "SELECT",
    "MONITOR",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "PSYNC",
    "REPLCONF",
    "REPLICAOF",
    "SLAVEOF",
    "SHUTDOWN",
    "DEBUG",
    "CLIENT",
    "FAILOVER",
];

/// A command of the log, encoded.
#[derive(Debug)]
pub struct Record {
    /// Nanoseconds since the first command.
    pub at_ns: u64,
    /// Which of the log's clients sent it, counted from 0.
    client: u32,
    /// Index into the log's names.
    pub operation: u16,
    db: u32,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Log {
    pub records: Vec<Record>,
    /// Names of the commands, as classes of results.
    pub names: Vec<String>,
    /// Commands that are not sent again.
    pub left_out: u64,
}

impl Log {
    /// Errors: a line that is none of MONITOR's, with its number; nothing to send.
    pub fn read(input: impl BufRead) -> Result<Log> {
        let mut log = Log::default();
        let mut clients: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut first_us = None;
        for (number, line) in input.split(b'\n').enumerate() {
            let line = line?;
            let line = line.trim_ascii();
            // MONITOR itself answers OK first.
            if line.is_empty() || line == b"OK" {
                continue;
            }
            let bad = || format!("line {}: not a line of MONITOR", number + 1);
            let Parts { at_us, db, client, command } = parts(line).with_context(bad)?;
            let args = line::split(command).with_context(bad)?;
            let Some(name) = args.first() else { bail!(bad()) };
            let name = String::from_utf8_lossy(name).to_ascii_uppercase();
            if client == b"lua" || LEFT_OUT.contains(&name.as_str()) {
                log.left_out += 1;
                continue;
            }
            let known = clients.len() as u32;
            let client = *clients.entry(client.to_vec()).or_insert(known);
            let mut bytes = Vec::new();
            encode_request(&mut bytes, &args);
            let first_us = *first_us.get_or_insert(at_us);
            let record = Record {
                at_ns: at_us.saturating_sub(first_us).saturating_mul(1000),
                client,
                operation: log.operation(name),
                db,
                bytes,
            };
            log.records.push(record);
        }
        if log.records.is_empty() {
            bail!("no command to send");
        }
        Ok(log)
    }

    fn operation(&mut self, name: String) -> u16 {
        // Names are few; what is beyond the last index counts as the last.
        let at = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// The connection, of so many, on which a record goes.
    fn connection(&self, record: &Record, connections: u32) -> u32 {
        record.client % connections
    }
}

struct Parts<'a> {
    at_us: u64,
    db: u32,
    client: &'a [u8],
    command: &'a [u8],
}

fn parts(line: &[u8]) -> Option<Parts<'_>> {
    let (time, rest) = line.split_once_at(b" [")?;
    let (source, command) = rest.split_once_at(b"] ")?;
    let (db, client) = source.split_once_at(b" ")?;
    let (seconds, fraction) = std::str::from_utf8(time).ok()?.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)?;
    let db = std::str::from_utf8(db).ok()?.parse().ok()?;
    if fraction.len() != 6 {
        return None;
    }
    Some(Parts { at_us, db, client, command })
}

trait SplitOnceAt {
    fn split_once_at(&self, separator: &[u8]) -> Option<(&[u8], &[u8])>;
}

impl SplitOnceAt for [u8] {
    fn split_once_at(&self, separator: &[u8]) -> Option<(&[u8], &[u8])> {
        let at = self.windows(separator.len()).position(|window| window == separator)?;
        Some((&self[..at], &self[at + separator.len()..]))
    }
}

/// The records of one thread's connections.
#[derive(Debug)]
pub struct Replay {
    log: Arc<Log>,
    /// The thread's own records, by their moments, and for each the connection's place in the thread.
    own: Vec<(u32, u32)>,
    next: usize,
}

impl Replay {
    pub fn new(log: Arc<Log>, connections: u32, thread: u32, threads: u32) -> Replay {
        let all = log.records.iter().enumerate().map(|(at, record)| (at as u32, log.connection(record, connections)));
        // Connections are dealt out to the threads like cards.
        let own = all.filter(|(_, c)| c % threads == thread).map(|(at, c)| (at, c / threads)).collect();
        Replay { log, own, next: 0 }
    }

    /// The next record of the thread and the place of its connection.
    pub fn next(&mut self) -> Option<(u32, usize)> {
        let &(record, connection) = self.own.get(self.next)?;
        self.next += 1;
        Some((record, connection as usize))
    }

    /// When a record was sent, in nanoseconds since the first of the log.
    pub fn at_ns(&self, record: u32) -> u64 {
        self.log.records[record as usize].at_ns
    }

    /// Appends a record's request to those of a connection, which is in the database `db` and will be in the record's.
    pub fn append(&self, record: u32, db: &mut u32, out: &mut Vec<u8>) -> Issued {
        let record = &self.log.records[record as usize];
        let mut replies = 1;
        if record.db != *db {
            *db = record.db;
            encode_request(out, &["SELECT".to_owned(), db.to_string()]);
            replies += 1;
        }
        out.extend_from_slice(&record.bytes);
        Issued { operation: record.operation, replies, key: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "OK\n\
        1700000000.000100 [0 127.0.0.1:5000] \"SET\" \"k 1\" \"a\\x00\\\"b\"\n\
        1700000000.000300 [2 127.0.0.1:5001] \"get\" \"k\"\n\
        1700000000.000400 [0 127.0.0.1:5000] \"SUBSCRIBE\" \"x\"\n\
        1700000001.000100 [2 127.0.0.1:5001] \"GET\" \"k2\"\n\
        1700000001.000200 [0 unix:/tmp/kv.sock] \"INCR\" \"n\"\n\
        1700000001.000300 [0 127.0.0.1:5000] \"EVALSHA\" \"x\" \"0\"\n\
        1700000001.000300 [0 lua] \"INCR\" \"n\"\n";

    #[test]
    fn lines_are_read_with_their_moments_databases_and_bytes() {
        let log = Log::read(LOG.as_bytes()).unwrap();
        assert_eq!(log.left_out, 2);
        assert_eq!(log.names, ["SET", "GET", "INCR", "EVALSHA"]);
        let all: Vec<_> = log.records.iter().map(|r| (r.at_ns, r.client, r.operation, r.db)).collect();
        let first = [(0, 0, 0, 0), (200_000, 1, 1, 2), (1_000_000_000, 1, 1, 2), (1_000_100_000, 2, 2, 0)];
        assert_eq!((&all[..4], all[4]), (&first[..], (1_000_200_000, 0, 3, 0)));
        assert!(log.records[0].bytes.ends_with(b"$3\r\nk 1\r\n$4\r\na\0\"b\r\n"));
    }

    #[test]
    fn a_connection_changes_its_database_where_the_log_does() {
        let log = Arc::new(Log::read(LOG.as_bytes()).unwrap());
        let replay = Replay::new(log, 1, 0, 1);
        let mut db = 0;
        let mut sent = |record| {
            let mut out = Vec::new();
            let issued = replay.append(record, &mut db, &mut out);
            (issued.replies, String::from_utf8_lossy(&out).contains("SELECT"))
        };
        assert_eq!([0, 1, 2, 3, 4].map(&mut sent), [(1, false), (2, true), (1, false), (2, true), (1, false)]);
    }

    #[test]
    fn a_client_of_the_log_stays_on_one_connection() {
        let log = Arc::new(Log::read(LOG.as_bytes()).unwrap());
        let all = |connections, threads| -> Vec<Vec<(u32, usize)>> {
            (0..threads)
                .map(|thread| {
                    let mut replay = Replay::new(log.clone(), connections, thread, threads);
                    std::iter::from_fn(|| replay.next()).collect()
                })
                .collect()
        };
        assert_eq!(all(2, 1), [vec![(0, 0), (1, 1), (2, 1), (3, 0), (4, 0)]]);
        assert_eq!(all(3, 2), [vec![(0, 0), (3, 1), (4, 0)], vec![(1, 0), (2, 0)]]);
    }

    #[test]
    fn what_is_no_log_is_told_with_its_line() {
        let error = |text: &str| format!("{:#}", Log::read(text.as_bytes()).unwrap_err());
        assert_eq!(error("OK\nGET k\n"), "line 2: not a line of MONITOR");
        assert!(error("1.000000 [0 a] \"open\n").starts_with("line 1: not a line of MONITOR"));
        assert!(error("1.000000 [x a] \"GET\"\n").starts_with("line 1"));
        assert_eq!(error("OK\n\n"), "no command to send");
    }
}
