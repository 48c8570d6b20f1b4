//! `--keystats`: memory and lengths of all keys in one walk: the largest keys, a table of types, and how the sizes are spread.

use std::collections::BTreeMap;
use std::fmt::Write;

use hdrhistogram::Histogram;

use super::keys::{Measure, Ranking, Walk, coverage, kinds};
use super::{Stop, print};
use crate::args::Target;
use crate::format::{Format, quote_text};
use crate::info::{bytes_text, grouped};
use crate::progress::Progress;
use crate::wire::{Problem, Wire, number};

/// Keys that are shown unless `--top` says otherwise.
pub const TOP_OF_ALL: usize = 10;

/// Bytes: more than any machine has.
const SIZE_MAX: u64 = 1 << 50;

pub fn run(target: &Target, samples: Option<u64>, walk: &Walk, top: usize, format: &Format) -> Result<(), Problem> {
    let mut wire = Wire::open(target)?;
    let stop = Stop::listen()?;
    let total = number(&wire.demand(&["DBSIZE"])?).unwrap_or(0);
    let progress = Progress::of_keys(total);
    let mut found = Found::new(top);
    let left = walk.run(&mut wire, &stop, |wire, keys| {
        found.look(wire, keys, Measure::Memory { samples })?;
        progress.at_least(found.memory.len());
        Ok(())
    })?;
    drop(progress);
    print(&found.text(format.colours, &coverage(found.memory.len(), total, left)))
}

/// How long a value is, and its type; none for types that tell no length.
#[derive(Clone, Debug)]
struct Extent {
    kind: String,
    length: Option<u64>,
}

impl Extent {
    fn text(&self) -> String {
        self.length.map_or(String::new(), |length| format!("{} {}", grouped(length), Measure::Length.unit(&self.kind)))
    }
}

#[derive(Debug, Default)]
struct OfType {
    keys: u64,
    memory: u64,
    length: u64,
    memory_most: u64,
    length_most: u64,
}

#[derive(Debug)]
struct Found {
    largest: Ranking<Extent>,
    types: BTreeMap<String, OfType>,
    memory: Histogram<u64>,
    names: Histogram<u64>,
}

impl Found {
    fn new(top: usize) -> Found {
        let histogram = || Histogram::new_with_max(SIZE_MAX, 3).expect("the bounds make sense");
        Found { largest: Ranking::of(top), types: BTreeMap::new(), memory: histogram(), names: histogram() }
    }

    fn look(&mut self, wire: &mut Wire, keys: &[Vec<u8>], memory: Measure) -> Result<(), Problem> {
        let kinds = kinds(wire, keys)?;
        let there: Vec<(&Vec<u8>, Vec<u8>)> = keys.iter().zip(kinds).filter(|(_, kind)| memory.asks(kind)).collect();
        for (key, kind) in &there {
            memory.ask(wire, key, kind);
            if Measure::Length.asks(kind) {
                Measure::Length.ask(wire, key, kind);
            }
        }
        wire.send()?;
        for (key, kind) in there {
            let reply = wire.read()?;
            let length = if Measure::Length.asks(&kind) { number(&wire.read()?) } else { None };
            if let Some(problem) = memory.ends_at(&reply) {
                return Err(problem);
            }
            if let Some(bytes) = number(&reply) {
                self.add(key, Extent { kind: String::from_utf8_lossy(&kind).into_owned(), length }, bytes);
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &[u8], extent: Extent, memory: u64) {
        let length = extent.length.unwrap_or(0);
        let of = self.types.entry(extent.kind.clone()).or_default();
        of.keys += 1;
        of.memory = of.memory.saturating_add(memory);
        of.length = of.length.saturating_add(length);
        of.memory_most = of.memory_most.max(memory);
        of.length_most = of.length_most.max(length);
        self.memory.saturating_record(memory);
        self.names.saturating_record(key.len() as u64);
        self.largest.add(memory, key, extent);
    }

    fn text(&self, colours: bool, coverage: &str) -> String {
        let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let mut text = format!("{bold}{:>10}  {:<10}{:>20}  largest keys{plain}\n", "memory", "type", "length");
        for (memory, key, extent) in &self.largest.items {
            let (memory, kind, length) = (bytes_text(*memory), &extent.kind, extent.text());
            let _ = writeln!(text, "{memory:>10}  {kind:<10}{length:>20}  {}", quote_text(key));
        }
        let head = ["keys", "memory", "average", "most", "length", "average", "most"];
        let line = |name: &str, cells: [String; 7]| {
            cells.into_iter().fold(format!("{name:<12}"), |line, cell| line + &format!("{cell:>14}"))
        };
        let _ = writeln!(text, "\n{bold}{}{plain}", line("type", head.map(str::to_owned)));
        for (kind, of) in &self.types {
            let average = |sum: u64| sum as f64 / of.keys as f64;
            let cells = [
                grouped(of.keys),
                bytes_text(of.memory),
                bytes_text(average(of.memory) as u64),
                bytes_text(of.memory_most),
                grouped(of.length),
                format!("{:.1}", average(of.length)),
                grouped(of.length_most),
            ];
            text += &(line(kind, cells) + "\n");
        }
        if !self.memory.is_empty() {
            let _ = writeln!(text, "\n{bold}{:<16}{:>12}{:>12}{plain}", "share of keys", "memory to", "name to");
            for share in [50.0, 90.0, 99.0, 99.9, 100.0] {
                let at = |histogram: &Histogram<u64>| bytes_text(histogram.value_at_percentile(share));
                let _ = writeln!(text, "{share:<14} %{:>12}{:>12}", at(&self.memory), at(&self.names));
            }
        }
        text + &format!("\n{coverage}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_shares_are_told_with_the_largest_keys_first() {
        let mut found = Found::new(2);
        let extent = |kind: &str, length| Extent { kind: kind.to_owned(), length };
        found.add(b"small", extent("string", Some(3)), 56);
        found.add(b"long", extent("list", Some(1234)), 2000);
        found.add(b"other", extent("list", Some(6)), 72);
        found.add(b"module", extent("ReJSON-RL", None), 5000);
        let text = found.text(false, "4 of 4 keys looked at");
        let words = |part: &str| {
            let line = text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words("\"module\""), "4.9K ReJSON-RL \"module\"");
        assert_eq!(words("\"long\""), "2.0K list 1,234 elements \"long\"");
        assert!(!text.contains("\"other\""), "{text}");
        assert_eq!(words("list  "), "2.0K list 1,234 elements \"long\"");
        assert!(text.contains("list                     2"), "{text}");
        assert_eq!(words("50 "), "50 % 72B 5B");
        assert_eq!(words("100 "), "100 % 4.9K 6B");
        assert!(text.ends_with("\n4 of 4 keys looked at\n"), "{text}");
    }

    #[test]
    fn an_empty_store_has_no_shares() {
        assert!(!Found::new(2).text(false, "0 of 0 keys looked at").contains('%'));
    }
}
