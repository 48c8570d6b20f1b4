//! Which clients have read which keys of a shard, so that they can be told when one changes (CLIENT TRACKING).
//!
//! What a tracking client reads is remembered in the shard that the read ran on ([`Tracking::remember`]). The first write to a key
//! takes its readers out and leaves them among what the engine tells ([`Tracking::wrote`]): each is told once, and has to read again to
//! be told again. As in Redis a key is its name, in whatever database. Of those who want to hear of all keys with a prefix it is only
//! known that there are some: every key that is written is noted then, with who wrote to it last.
//!
//! The table has a limit: with one key too many, one of chance is given up, as if it had been written. While nothing was read and
//! nobody listens, a write costs one look at one word. A client is a number that is never used twice; what a client has read that is
//! gone goes with the next write to it, and all goes when the engine says that nobody tracks any more.

use super::watch::Map;
use super::{Garbage, Key, Shard};
use crate::structs::random::Random;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Tracking {
    /// Whether a write has something to do here.
    is_on: bool,
    table: Table,
    /// Readers of all keys in the table.
    items: usize,
    /// Most keys in the table; 0: any number.
    keys_max: usize,
    /// Somebody wants to hear of all keys with some prefix.
    notes_writes: bool,
    stale: Vec<Stale>,
    written: Written,
}

/// Keys in order, and who wrote to each last (0: no client).
pub type Written = BTreeMap<Box<[u8]>, u64>;

/// What clients have a copy of that is no longer right.
#[derive(Debug, PartialEq, Eq)]
pub enum Stale {
    Key {
        key: Box<[u8]>,
        /// Whoever has read it.
        readers: Readers,
        /// Whose doing it is; 0 for no client.
        writer: u64,
    },
    /// All keys, on all shards: a database was emptied, or is another one now.
    All,
}

/// The clients that have read a key: hardly ever more than one.
#[derive(Debug, PartialEq, Eq)]
pub enum Readers {
    One(u64),
    /// Ascending.
    Many(Vec<u64>),
}

impl Readers {
    pub fn as_slice(&self) -> &[u64] {
        match self {
            Readers::One(client) => std::slice::from_ref(client),
            Readers::Many(clients) => clients,
        }
    }

    /// Whether it was not there.
    fn add(&mut self, client: u64) -> bool {
        match self {
            Readers::One(only) if *only == client => false,
            Readers::One(only) => {
                *self = Readers::Many(vec![client.min(*only), client.max(*only)]);
                true
            }
            Readers::Many(clients) => match clients.binary_search(&client) {
                Ok(_) => false,
                Err(place) => {
                    clients.insert(place, client);
                    true
                }
            },
        }
    }
}

/// One key that was read.
struct Tracked {
    hash: u64,
    /// Another one with the same hash.
    next: u32,
    key: Box<[u8]>,
    readers: Readers,
}

const NONE: u32 = u32::MAX;

/// The keys that were read. They stand one behind the other, so that one of chance is quickly chosen.
#[derive(Default)]
pub struct Table {
    keys: Vec<Tracked>,
    /// The first key with each hash.
    places: Map<u32>,
}

impl Table {
    fn find(&self, key: Key<'_>) -> Option<usize> {
        let mut at = *self.places.get(&key.hash)?;
        while at != NONE && *self.keys[at as usize].key != *key.bytes {
            at = self.keys[at as usize].next;
        }
        (at != NONE).then_some(at as usize)
    }

    fn add(&mut self, key: Key<'_>, client: u64) {
        let at = self.keys.len() as u32;
        let next = self.places.insert(key.hash, at).unwrap_or(NONE);
        self.keys.push(Tracked { hash: key.hash, next, key: key.bytes.into(), readers: Readers::One(client) });
    }

    fn remove(&mut self, at: usize) -> Tracked {
        let (hash, next) = (self.keys[at].hash, self.keys[at].next);
        self.refer(hash, at as u32, next);
        // The last one moves to its place.
        let last = self.keys.len() - 1;
        if at != last {
            let hash = self.keys[last].hash;
            self.refer(hash, last as u32, at as u32);
        }
        self.keys.swap_remove(at)
    }

    /// What refers to the place `from` refers to `to` from now on.
    fn refer(&mut self, hash: u64, from: u32, to: u32) {
        let first = self.places[&hash];
        if first != from {
            let mut before = first as usize;
            while self.keys[before].next != from {
                before = self.keys[before].next as usize;
            }
            self.keys[before].next = to;
        } else if to == NONE {
            self.places.remove(&hash);
        } else {
            self.places.insert(hash, to);
        }
    }
}

impl Tracking {
    /// Whether a write has nobody to tell.
    #[inline]
    pub fn is_idle(&self) -> bool {
        !self.is_on
    }

    /// How many keys are in the table, and how many readers they have.
    pub fn counts(&self) -> (usize, usize) {
        (self.table.keys.len(), self.items)
    }

    /// Whether there are keys in the table.
    pub fn has_keys(&self) -> bool {
        !self.table.keys.is_empty()
    }

    /// Whether written keys are noted.
    pub fn note_writes(&mut self, notes_writes: bool) {
        self.notes_writes = notes_writes;
        self.note_state();
    }

    fn note_state(&mut self) {
        self.is_on = self.notes_writes || self.has_keys();
    }

    /// Most keys in the table; 0: any number. What is too much goes with [`Tracking::shrink`].
    pub fn limit(&mut self, keys_max: usize) {
        self.keys_max = keys_max;
    }

    /// A client has read a key.
    pub fn remember(&mut self, key: Key<'_>, client: u64, random: &mut Random) {
        match self.table.find(key) {
            Some(at) => self.items += usize::from(self.table.keys[at].readers.add(client)),
            None => {
                self.table.add(key, client);
                self.items += 1;
                self.is_on = true;
                self.shrink(1, random);
            }
        }
    }

    /// Whether there are more keys in the table than may be.
    pub fn has_too_many(&self) -> bool {
        self.keys_max > 0 && self.table.keys.len() > self.keys_max
    }

    /// Gives up keys, `budget` at most, until there are not too many.
    pub fn shrink(&mut self, budget: usize, random: &mut Random) {
        for _ in 0..budget {
            if !self.has_too_many() {
                return;
            }
            self.give_up(random.index(self.table.keys.len()), 0);
        }
    }

    fn give_up(&mut self, at: usize, writer: u64) {
        let Tracked { key, readers, .. } = self.table.remove(at);
        self.items -= readers.as_slice().len();
        self.stale.push(Stale::Key { key, readers, writer });
        if !self.has_keys() {
            self.table = Table::default();
            self.note_state();
        }
    }

    /// A key was written, by a client or (0) by time.
    #[cold]
    pub fn wrote(&mut self, key: Key<'_>, writer: u64) {
        if self.notes_writes {
            self.written.insert(key.bytes.into(), writer);
        }
        if let Some(at) = self.table.find(key) {
            self.give_up(at, writer);
        }
    }

    /// All that was read is stale. `told_here`: it is this shard that tells, for all of them.
    fn everything_changed(&mut self, told_here: bool) -> Option<Garbage> {
        if told_here && self.stale.last() != Some(&Stale::All) {
            self.stale.push(Stale::All);
        }
        self.forget_all()
    }

    /// Nobody tracks any more. Gives what is to be freed.
    pub fn forget_all(&mut self) -> Option<Garbage> {
        let table = std::mem::take(&mut self.table);
        self.items = 0;
        self.note_state();
        (!table.keys.is_empty()).then(|| Garbage::Tracked(Box::new(table)))
    }

    /// Whether there is something to tell to who has read it.
    #[inline]
    pub fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    #[inline]
    pub fn has_written(&self) -> bool {
        !self.written.is_empty()
    }

    pub fn take_stale(&mut self) -> Vec<Stale> {
        std::mem::take(&mut self.stale)
    }

    pub fn take_written(&mut self) -> Written {
        std::mem::take(&mut self.written)
    }
}

impl Shard {
    /// A client has read a key that is here.
    #[cold]
    pub fn remember_read(&mut self, key: Key<'_>, client: u64) {
        self.tracking.remember(key, client, &mut self.random);
    }

    /// A database was emptied, or is another one now. The first shard tells for all: they all do the same, in one order of commands.
    pub fn everything_changed(&mut self) {
        let garbage = self.tracking.everything_changed(self.index == 0);
        self.garbage.extend(garbage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn key(hash: u64, bytes: &[u8]) -> Key<'_> {
        Key { bytes, hash }
    }

    fn stale(key: &[u8], readers: Readers, writer: u64) -> Stale {
        Stale::Key { key: key.into(), readers, writer }
    }

    #[test]
    fn a_write_takes_the_readers_of_its_key_and_of_no_other() {
        let (mut tracking, mut random) = (Tracking::default(), Random::new(1));
        tracking.remember(key(7, b"a"), 3, &mut random);
        tracking.remember(key(7, b"a"), 1, &mut random);
        tracking.remember(key(7, b"a"), 3, &mut random);
        // Another key with the same hash.
        tracking.remember(key(7, b"b"), 2, &mut random);
        assert_eq!(tracking.counts(), (2, 3));
        tracking.wrote(key(7, b"a"), 9);
        tracking.wrote(key(7, b"a"), 9);
        tracking.wrote(key(8, b"b"), 9);
        assert_eq!(tracking.take_stale(), [stale(b"a", Readers::Many(vec![1, 3]), 9)]);
        assert_eq!(tracking.counts(), (1, 1));
        tracking.wrote(key(7, b"b"), 0);
        assert_eq!(tracking.take_stale(), [stale(b"b", Readers::One(2), 0)]);
        assert!(tracking.is_idle() && !tracking.has_stale());
    }

    #[test]
    fn written_keys_are_noted_while_somebody_listens() {
        let mut tracking = Tracking::default();
        assert!(tracking.is_idle());
        tracking.note_writes(true);
        assert!(!tracking.is_idle());
        for (name, writer) in [(&b"b"[..], 1), (b"a", 2), (b"b", 3)] {
            tracking.wrote(key(7, name), writer);
        }
        let written: Vec<_> = tracking.take_written().into_iter().collect();
        assert_eq!(written, [(b"a"[..].into(), 2), (b"b"[..].into(), 3)]);
        tracking.note_writes(false);
        assert!(tracking.is_idle() && !tracking.has_written());
    }

    #[test]
    fn with_a_key_too_many_one_is_given_up_and_told() {
        let (mut tracking, mut random) = (Tracking::default(), Random::new(2));
        tracking.limit(10);
        let names: Vec<[u8; 1]> = (0..30).map(|name| [name]).collect();
        for name in &names {
            // Few hashes, so that keys with the same one come and go.
            tracking.remember(key(u64::from(name[0] % 3), name), 1, &mut random);
            assert!(tracking.counts().0 <= 10);
        }
        let told = tracking.take_stale();
        assert_eq!(told.len(), 20);
        tracking.limit(4);
        tracking.shrink(3, &mut random);
        assert_eq!(tracking.counts(), (7, 7));
        tracking.shrink(100, &mut random);
        assert_eq!(tracking.counts(), (4, 4));
        names.iter().for_each(|name| tracking.wrote(key(u64::from(name[0] % 3), name), 0));
        let all: BTreeSet<Vec<u8>> = told
            .into_iter()
            .chain(tracking.take_stale())
            .map(|stale| match stale {
                Stale::Key { key, .. } => key.into_vec(),
                Stale::All => unreachable!("nothing was emptied"),
            })
            .collect();
        assert_eq!(all.len(), names.len(), "every key is told once");
        assert!(tracking.is_idle());
    }

    #[test]
    fn one_shard_tells_that_everything_changed_and_all_forget() {
        let mut random = Random::new(3);
        for told_here in [true, false] {
            let mut tracking = Tracking::default();
            tracking.remember(key(7, b"a"), 1, &mut random);
            assert!(tracking.everything_changed(told_here).is_some());
            assert!(tracking.everything_changed(told_here).is_none());
            assert_eq!(tracking.take_stale(), if told_here { vec![Stale::All] } else { vec![] });
            assert!(tracking.is_idle());
        }
    }
}
