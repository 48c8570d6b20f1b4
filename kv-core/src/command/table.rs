//! All rows, found by name.

use super::{CommandSpec, Handler};
use crate::families;
use std::collections::HashMap;
use std::sync::OnceLock;

/// A row's place in the table: what messages and counters carry instead of a name.
pub type RowId = u16;

pub struct Table {
    rows: Vec<Row>,
    /// Upper-case name -> row; `CONTAINER SUB` for a subcommand.
    by_name: HashMap<Box<[u8]>, RowId>,
    /// The top-level names of at most 16 bytes again, as numbers in an open-addressing table: a name is looked up for
    /// every request. (0: a free place.)
    short: Box<[(u128, RowId); SHORT_PLACES]>,
    top: Vec<RowId>,
}

/// A row with its place among the others.
pub struct Row {
    pub spec: &'static CommandSpec,
    /// The container, when it is a subcommand.
    pub parent: Option<RowId>,
    pub subs: Vec<RowId>,
    /// As clients see it: lower case, `client|list` for a subcommand.
    pub full_name: String,
    /// Words that name it: 1 or 2.
    pub name_words: usize,
    /// The one key's position when there is exactly one, at a fixed place: the common case, told apart once.
    pub single_key: Option<u16>,
    /// Whether there are requests whose keys may be on any shard (`may_be_anywhere` tells which).
    pub any_shard: bool,
}

/// What a request's first words name.
pub enum Found {
    Row(RowId),
    UnknownCommand,
    /// The container is known, its subcommand is not.
    UnknownSubcommand(RowId),
    /// A container without a second word.
    MissingSubcommand(RowId),
}

const NAME_MAX: usize = 32;
const SHORT_PLACES: usize = 2048;

/// A name of at most 16 bytes, in upper case, as a number; and where its search begins.
///
/// Read by whole words that may overlap, not by a copy into a buffer: a wide load right after narrow stores would wait for
/// them, and this happens for every request.
#[inline]
fn short_name(name: &[u8]) -> Option<(u128, usize)> {
    fn u64_at(name: &[u8], at: usize) -> u64 {
        name.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }
    fn u32_at(name: &[u8], at: usize) -> u64 {
        name.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, |b| u64::from(u32::from_le_bytes(b)))
    }
    let len = name.len();
    let (low, high) = match len {
        0 => (0, 0),
        1..=3 => {
            let byte = |at: usize| u64::from(name[at]) << (8 * at);
            (byte(0) | byte(len / 2) | byte(len - 1), 0)
        }
        4..=7 => (u32_at(name, 0) | u32_at(name, len - 4) << (8 * (len - 4)), 0),
        8 => (u64_at(name, 0), 0),
        9..=16 => (u64_at(name, 0), u64_at(name, len - 8) >> (8 * (16 - len))),
        _ => return None,
    };
    let number = u128::from(upper(low)) | u128::from(upper(high)) << 64;
    let mixed = ((number as u64) ^ ((number >> 64) as u64).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((number, (mixed >> 53) as usize % SHORT_PLACES))
}

/// Eight bytes in upper case at once.
#[inline]
fn upper(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let seven = word & (0x7f * EACH);
    let from_a = seven + (0x80 - u64::from(b'a')) * EACH;
    let past_z = seven + (0x7f - u64::from(b'z')) * EACH;
    let letters = from_a & !past_z & !word & (0x80 * EACH);
    word ^ (letters >> 2)
}

impl Table {
    fn new(families: &[&'static [CommandSpec]]) -> Table {
        let mut table = Table {
            rows: Vec::new(),
            by_name: HashMap::new(),
            short: Box::new([(0, 0); SHORT_PLACES]),
            top: Vec::new(),
        };
        for spec in families.iter().flat_map(|rows| rows.iter()) {
            let id = table.add(spec, None);
            table.top.push(id);
            if let Some((number, mut at)) = short_name(spec.name.as_bytes()) {
                while table.short[at].0 != 0 {
                    at = (at + 1) % SHORT_PLACES;
                }
                table.short[at] = (number, id);
            }
            for sub in spec.subs {
                let sub = table.add(sub, Some(id));
                table.rows[usize::from(id)].subs.push(sub);
            }
        }
        table
    }

    fn add(&mut self, spec: &'static CommandSpec, parent: Option<RowId>) -> RowId {
        let id = RowId::try_from(self.rows.len()).expect("fewer than 65,536 rows");
        let (name, full_name) = match parent.map(|p| self.rows[usize::from(p)].spec.name) {
            Some(p) => (format!("{p} {}", spec.name), format!("{p}|{}", spec.name).to_lowercase()),
            None => (spec.name.to_string(), spec.name.to_lowercase()),
        };
        let single_key = match spec.keys {
            [key] => match (key.begin, key.find) {
                (super::Begin::Index(at), super::Find::Range { last: 0, .. }) => Some(at),
                _ => None,
            },
            _ => None,
        };
        let any_shard = spec.keys.iter().any(|key| matches!(key.find, super::Find::Patterns(_)));
        let name_words = 1 + usize::from(parent.is_some());
        self.rows.push(Row { spec, parent, subs: Vec::new(), full_name, name_words, single_key, any_shard });
        let before = self.by_name.insert(name.into_bytes().into(), id);
        assert!(before.is_none(), "two rows are named {}", spec.name);
        id
    }

    pub fn row(&self, id: RowId) -> &Row {
        &self.rows[usize::from(id)]
    }

    /// Ids run from 0 to here.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The commands that are no subcommands.
    pub fn top(&self) -> &[RowId] {
        &self.top
    }

    /// A command by its name, or a subcommand by `container|sub`; in any case.
    pub fn by_full_name(&self, name: &[u8]) -> Option<RowId> {
        let mut upper = name.to_ascii_uppercase();
        if let Some(bar) = upper.iter().position(|&b| b == b'|') {
            upper[bar] = b' ';
        }
        self.by_name.get(upper.as_slice()).copied()
    }

    /// The row that a request's words name. `second` is the word behind the name, if there is one.
    #[inline]
    pub fn find(&self, name: &[u8], second: Option<&[u8]>) -> Found {
        let Some(id) = self.find_top(name) else { return Found::UnknownCommand };
        let row = self.row(id);
        if row.subs.is_empty() {
            return Found::Row(id);
        }
        let Some(second) = second else {
            // COMMAND means something by itself, too.
            let is_container = matches!(row.spec.handler, Handler::Container);
            return if is_container { Found::MissingSubcommand(id) } else { Found::Row(id) };
        };
        let mut buf = [0; 2 * NAME_MAX + 1];
        buf[..name.len()].copy_from_slice(name);
        buf[..name.len()].make_ascii_uppercase();
        buf[name.len()] = b' ';
        match self.find_upper(&mut buf, name.len() + 1, second) {
            Some(sub) => Found::Row(sub),
            None => Found::UnknownSubcommand(id),
        }
    }

    #[inline]
    fn find_top(&self, name: &[u8]) -> Option<RowId> {
        let Some((number, mut at)) = short_name(name) else {
            return self.find_upper(&mut [0; 2 * NAME_MAX + 1], 0, name);
        };
        // A name with NUL bytes at its end would look like the shorter one.
        if number == 0 || name.last() == Some(&0) {
            return None;
        }
        loop {
            match self.short[at] {
                (0, _) => return None,
                (found, id) if found == number => return Some(id),
                _ => at = (at + 1) % SHORT_PLACES,
            }
        }
    }

    fn find_upper(&self, buf: &mut [u8; 2 * NAME_MAX + 1], from: usize, word: &[u8]) -> Option<RowId> {
        if word.len() > NAME_MAX {
            return None;
        }
        let whole = &mut buf[..from + word.len()];
        whole[from..].copy_from_slice(word);
        whole[from..].make_ascii_uppercase();
        self.by_name.get(&*whole).copied()
    }
}

/// The table of all commands, made once.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Table::new(families::ALL))
}

#[cfg(test)]
mod tests;
