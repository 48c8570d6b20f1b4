//! Walks over the keys of one database by SCAN: `--scan` shows them; `--bigkeys`, `--memkeys` and `--hotkeys` look for the
//! largest ones (`--keystats` is in `keystats`). Others go on meanwhile: a key that changes or goes while it is looked at is no error.

use std::collections::HashMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use kv_core::resp::client::Value;

use super::{Stop, now, print, wait_until};
use crate::args::Target;
use crate::format::Format;
use crate::info::{bytes_text, grouped};
use crate::progress::Progress;
use crate::wire::{Problem, Wire, error_text, number, unexpected};

/// Which keys, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    pub pattern: Option<Vec<u8>>,
    /// Keys that each SCAN is asked for.
    pub count: Option<u64>,
    /// Between two SCANs.
    pub pause: Option<Duration>,
    /// Where it begins.
    pub cursor: u64,
}

/// What makes a key large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Its bytes or elements.
    Length,
    /// Its memory, by MEMORY USAGE.
    Memory { samples: Option<u64> },
    /// How often it is used, by OBJECT FREQ.
    Frequency,
}

const COUNT_DEFAULT: u64 = 1000;

impl Walk {
    /// Calls `each` with the keys of every SCAN, until the end or Ctrl-C; then it tells the cursor of what is left. A key
    /// may come more than once.
    pub(super) fn run(
        &self,
        wire: &mut Wire,
        stop: &Stop,
        mut each: impl FnMut(&mut Wire, &[Vec<u8>]) -> Result<(), Problem>,
    ) -> Result<Option<String>, Problem> {
        let count = self.count.unwrap_or(COUNT_DEFAULT).to_string();
        let mut cursor = self.cursor.to_string().into_bytes();
        while !stop.is_asked() {
            let mut request: Vec<&[u8]> = vec![b"SCAN", &cursor, b"COUNT", count.as_bytes()];
            if let Some(pattern) = &self.pattern {
                request.extend([&b"MATCH"[..], pattern]);
            }
            let reply = wire.ask(&request)?;
            let (next, keys) = scanned(&reply).ok_or_else(|| match error_text(&reply) {
                Some(text) => Problem::failed(format!("SCAN: {text}")),
                None => unexpected("SCAN", &reply),
            })?;
            each(wire, &keys)?;
            if next == b"0" {
                return Ok(None);
            }
            cursor = next;
            if let Some(pause) = self.pause {
                wait_until(now() + pause, stop);
            }
        }
        Ok(Some(String::from_utf8_lossy(&cursor).into_owned()))
    }
}

/// The cursor and the keys of a reply to SCAN.
pub fn scanned(reply: &Value) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let Value::Array(parts) = reply else { return None };
    let [cursor, Value::Array(keys)] = &parts[..] else { return None };
    let keys: Option<Vec<Vec<u8>>> = keys.iter().map(|key| key.bytes().map(<[u8]>::to_vec)).collect();
    Some((cursor.bytes()?.to_vec(), keys?))
}

/// `--scan`: a key a line, each once unless the store changes meanwhile.
pub fn scan(target: &Target, walk: &Walk, format: &Format) -> Result<(), Problem> {
    let mut wire = Wire::open(target)?;
    let stop = Stop::listen()?;
    let left = walk.run(&mut wire, &stop, |_, keys| {
        let mut text = Vec::new();
        for key in keys {
            format.write(&mut text, &Value::Bulk(key.clone()));
        }
        super::print_bytes(&text)
    })?;
    if let Some(cursor) = left {
        eprintln!("kv-cli: --cursor {cursor} goes on from here");
    }
    Ok(())
}

/// The largest of many keys, the largest first, with what else is to be told of each.
#[derive(Debug)]
pub(super) struct Ranking<T = ()> {
    most: usize,
    pub items: Vec<(u64, Vec<u8>, T)>,
}

impl<T> Ranking<T> {
    pub fn of(most: usize) -> Ranking<T> {
        Ranking { most, items: Vec::new() }
    }

    pub fn add(&mut self, size: u64, key: &[u8], more: T) {
        let place = self.items.partition_point(|(known, ..)| *known >= size);
        // SCAN may tell a key twice.
        if place == self.most || self.items.iter().any(|(_, known, _)| known == key) {
            return;
        }
        self.items.insert(place, (size, key.to_vec(), more));
        self.items.truncate(self.most);
    }
}

/// What is known of the keys of one type.
#[derive(Debug)]
struct OfType {
    keys: u64,
    total: u64,
    largest: Ranking,
}

/// Keys of a type that are shown unless `--top` says otherwise.
pub const TOP_OF_TYPE: usize = 5;

impl OfType {
    fn new(most: usize) -> OfType {
        OfType { keys: 0, total: 0, largest: Ranking::of(most) }
    }

    fn add(&mut self, key: &[u8], size: u64) {
        self.keys += 1;
        self.total = self.total.saturating_add(size);
        self.largest.add(size, key, ());
    }
}

/// `--bigkeys`, `--memkeys`, `--hotkeys`.
pub fn measure(target: &Target, measure: Measure, walk: &Walk, top: usize, format: &Format) -> Result<(), Problem> {
    let mut wire = Wire::open(target)?;
    let stop = Stop::listen()?;
    let total = number(&wire.demand(&["DBSIZE"])?).unwrap_or(0);
    let progress = Progress::of_keys(total);
    let mut found = Found { measure, top, keys: 0, key_bytes: 0, types: HashMap::new() };
    let left = walk.run(&mut wire, &stop, |wire, keys| {
        found.look(wire, keys)?;
        progress.at_least(found.keys);
        Ok(())
    })?;
    drop(progress);
    print(&found.text(total, left, format.colours && std::io::stdout().is_terminal()))
}

/// The types of keys; empty for one that is gone.
pub(super) fn kinds(wire: &mut Wire, keys: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Problem> {
    keys.iter().for_each(|key| wire.push(&[&b"TYPE"[..], key]));
    wire.send()?;
    keys.iter().map(|_| Ok(wire.read()?.bytes().unwrap_or_default().to_vec())).collect()
}

/// How much of the store was looked at, and how to go on after Ctrl-C.
pub(super) fn coverage(keys: u64, total: u64, left: Option<String>) -> String {
    let left = left.map(|cursor| format!(" until Ctrl-C, --cursor {cursor} goes on from there"));
    format!("{} of {} keys looked at{}", grouped(keys), grouped(total), left.unwrap_or_default())
}

struct Found {
    measure: Measure,
    /// Keys of a type that are shown.
    top: usize,
    keys: u64,
    key_bytes: u64,
    types: HashMap<Vec<u8>, OfType>,
}

impl Found {
    fn look(&mut self, wire: &mut Wire, keys: &[Vec<u8>]) -> Result<(), Problem> {
        let kinds = kinds(wire, keys)?;
        // Keys that are gone, and types whose size nobody can ask for.
        let asked: Vec<(&Vec<u8>, Vec<u8>)> =
            keys.iter().zip(kinds).filter(|(_, kind)| self.measure.asks(kind)).collect();
        for (key, kind) in &asked {
            self.measure.ask(wire, key, kind);
        }
        wire.send()?;
        for (key, kind) in asked {
            let reply = wire.read()?;
            if let Some(problem) = self.measure.ends_at(&reply) {
                return Err(problem);
            }
            if let Some(size) = number(&reply) {
                self.keys += 1;
                self.key_bytes += key.len() as u64;
                let of = self.types.entry(kind).or_insert_with(|| OfType::new(self.top));
                of.add(key, size);
            }
        }
        Ok(())
    }

    fn text(&self, total: u64, left: Option<String>, colours: bool) -> String {
        let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let mut types: Vec<(&Vec<u8>, &OfType)> = self.types.iter().collect();
        types.sort_by_key(|(kind, _)| *kind);
        let mut text = String::new();
        for (kind, of) in &types {
            let kind = String::from_utf8_lossy(kind);
            let average = of.total as f64 / of.keys.max(1) as f64;
            let _ = writeln!(
                text,
                "{bold}{kind}{plain}: {} keys, {} {}, {average:.1} on average",
                grouped(of.keys),
                grouped(of.total),
                self.measure.unit(&kind)
            );
            for (size, key, ()) in &of.largest.items {
                let _ = writeln!(text, "  {:>14}  {}", self.measure.shown(*size), crate::format::quote_text(key));
            }
        }
        let _ = writeln!(
            text,
            "{}, their names have {} bytes on average",
            coverage(self.keys, total, left),
            self.key_bytes.checked_div(self.keys).unwrap_or(0)
        );
        text
    }
}

impl Measure {
    /// Whether there is a command that tells the size of such a value.
    pub(super) fn asks(self, kind: &[u8]) -> bool {
        match self {
            Measure::Length => length_command(kind).is_some(),
            Measure::Memory { .. } | Measure::Frequency => kind != b"none",
        }
    }

    pub(super) fn ask(self, wire: &mut Wire, key: &[u8], kind: &[u8]) {
        match self {
            Measure::Length => {
                let command = length_command(kind).expect("it was asked before");
                wire.push(&[command.as_bytes(), key]);
            }
            Measure::Memory { samples: None } => wire.push(&[&b"MEMORY"[..], b"USAGE", key]),
            Measure::Memory { samples: Some(samples) } => {
                wire.push(&[&b"MEMORY"[..], b"USAGE", key, b"SAMPLES", samples.to_string().as_bytes()]);
            }
            Measure::Frequency => wire.push(&[&b"OBJECT"[..], b"FREQ", key]),
        }
    }

    /// Errors that all keys would give. A key whose type changed is none of them.
    pub(super) fn ends_at(self, reply: &Value) -> Option<Problem> {
        let text = error_text(reply)?;
        let of_one_key = text.starts_with("WRONGTYPE") || text.contains("no such key");
        (!of_one_key).then(|| Problem::failed(text))
    }

    pub(super) fn unit(self, kind: &str) -> &'static str {
        match self {
            Measure::Memory { .. } => "bytes",
            Measure::Frequency => "counted",
            Measure::Length => match kind {
                "string" => "bytes",
                "hash" => "fields",
                "stream" => "entries",
                "list" => "elements",
                _ => "members",
            },
        }
    }

    fn shown(self, size: u64) -> String {
        match self {
            Measure::Memory { .. } => bytes_text(size),
            Measure::Length | Measure::Frequency => grouped(size),
        }
    }
}

/// The command that tells how long a value of this type is.
pub fn length_command(kind: &[u8]) -> Option<&'static str> {
    Some(match kind {
        b"string" => "STRLEN",
        b"list" => "LLEN",
        b"hash" => "HLEN",
        b"set" => "SCARD",
        b"zset" => "ZCARD",
        b"stream" => "XLEN",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_keys_come_first_and_once() {
        let mut of = OfType::new(5);
        for (key, size) in [("a", 5), ("b", 50), ("b", 50), ("c", 1), ("d", 7), ("e", 6), ("f", 2), ("g", 51)] {
            of.add(key.as_bytes(), size);
        }
        let sizes: Vec<u64> = of.largest.items.iter().map(|(size, ..)| *size).collect();
        assert_eq!((sizes, of.keys), (vec![51, 50, 7, 6, 5], 8));
    }

    #[test]
    fn a_reply_to_scan_has_a_cursor_and_keys() {
        let text = |text: &str| Value::Bulk(text.into());
        let reply = Value::Array(vec![text("17"), Value::Array(vec![text("a"), text("b")])]);
        assert_eq!(scanned(&reply), Some((b"17".to_vec(), vec![b"a".to_vec(), b"b".to_vec()])));
        assert_eq!(scanned(&Value::Array(vec![text("17")])), None);
        assert_eq!(scanned(&Value::Error(b"ERR".to_vec())), None);
    }
}
