//! The transaction of a connection: what it puts in line, what it watches, and what is left to do of an EXEC.
//!
//! A [`Unit`] is what stands between MULTI and EXEC. It travels in its own allocation, as a whole, to where all its keys and all
//! watched keys are: one shard, in its place in that shard's mailbox, or a rendezvous of several. There its commands of the
//! store run one after the other, and their replies come back in it. Markers stand between the items of batches, so in the log
//! a unit lies in one epoch, on all its shards alike.
//!
//! Commands about the session and the server in a transaction touch no key, and the store touches no session. So they run
//! afterwards, at the worker of the connection ([`Execution`]), and the replies are put in the order of the commands. What of the
//! session decides how commands of the store run is found out before, by a rehearsal (`Flags::SETS_SESSION`).

use super::mail::{Batch, Item};
use super::monitor::UnitLines;
use super::pubsub::Message;
use kv_core::command::{Flags, Join};
use std::collections::HashSet;

/// Some of the shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSet {
    words: Vec<u64>,
}

impl ShardSet {
    #[inline]
    pub fn insert(&mut self, shard: usize) {
        let word = shard / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (shard % 64);
    }

    pub fn insert_all(&mut self, count: usize) {
        (0..count).for_each(|shard| self.insert(shard));
    }

    pub fn extend(&mut self, other: &ShardSet) {
        other.iter().for_each(|shard| self.insert(shard));
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(at, &word)| (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| 64 * at + bit))
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The one shard, if it is one.
    #[inline]
    pub fn only(&self) -> Option<usize> {
        let mut only = None;
        for (at, &word) in self.words.iter().enumerate() {
            match (word, only) {
                (0, _) => {}
                (_, None) if word.is_power_of_two() => only = Some(64 * at + word.trailing_zeros() as usize),
                _ => return None,
            }
        }
        only
    }

    pub fn contains(&self, shard: usize) -> bool {
        self.words.get(shard / 64).is_some_and(|word| word & (1 << (shard % 64)) != 0)
    }

    pub fn clear(&mut self) {
        self.words.clear();
    }
}

/// Where a command of a transaction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the shards of its keys, as one.
    Keys,
    /// On this shard.
    Shard(u16),
    /// On each shard for itself; the answers are joined.
    Each(Join),
    /// At the worker of the connection.
    Host,
    /// At each worker; the answers are joined.
    HostEach(Join),
    /// On the shards of the other commands, which publish it with what these tell of.
    Message,
    /// At the workers that have subscribers of a channel.
    Channel,
}

impl Place {
    pub fn is_host(self) -> bool {
        matches!(self, Place::Host | Place::HostEach(_) | Place::Channel)
    }
}

/// The commands between MULTI and EXEC.
#[derive(Default)]
pub struct Unit {
    /// The commands; once they have run, with the replies of those of the store.
    pub work: Batch,
    /// Where each of them runs.
    pub places: Vec<Place>,
    /// What is true of any of them.
    flags: Flags,
    /// The shards they need, and those of the keys that are watched.
    pub shards: ShardSet,
    /// One of them could not be put in line.
    pub aborted: bool,
    /// Watches have to be looked at and ended.
    pub watched: bool,
    /// A watched key was touched: nothing has run.
    pub touched: bool,
    /// Some of them run at the worker of the connection.
    pub has_host: bool,
    /// One of them is a script.
    pub has_script: bool,
    /// One of them publishes, at the worker of the connection ...
    pub has_channel: bool,
    /// ... or where the unit runs.
    publishes: bool,
    /// For monitors, if it is known only when it runs what of it does.
    pub lines: Option<UnitLines>,
    /// What its scripts have published, each by its place, if it has to stand between what is published at the worker of the connection.
    pub said: Vec<(usize, Message)>,
    /// EXEC itself is not answered (CLIENT REPLY).
    pub mute: bool,
}

/// Units above this size are let go instead of being kept for the next transaction.
const KEEP_COMMANDS: usize = 1024;

impl Unit {
    pub fn len(&self) -> usize {
        self.work.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.work.items.is_empty()
    }

    /// Notes where the command runs that is added to `work`.
    #[inline]
    pub fn note(&mut self, place: Place, flags: Flags) {
        self.places.push(place);
        self.flags = self.flags.and(flags);
        self.has_host |= place.is_host();
        self.has_channel |= place == Place::Channel;
    }

    /// Lets it publish what it has to where it runs, so that messages leave in the order of transactions: unless there is no such place,
    /// or it changes itself what its client has subscribed to, which is done at the worker of the connection.
    pub fn choose_where_to_publish(&mut self) {
        if self.has_channel && !self.shards.is_empty() && !self.flags.has(Flags::PUSHES) {
            (self.has_channel, self.publishes) = (false, true);
            self.places.iter_mut().filter(|place| **place == Place::Channel).for_each(|place| *place = Place::Message);
            self.has_host = self.places.iter().any(|place| place.is_host());
        }
    }

    /// Whether it may publish something where it runs.
    pub fn may_publish(&self) -> bool {
        self.has_script || self.publishes
    }

    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Whether its commands are all that is run.
    pub fn is_certain(&self) -> bool {
        !self.watched && !self.has_script
    }

    /// Bytes of memory that its commands take.
    pub fn memory(&self) -> usize {
        let Batch { items, words, bytes, .. } = &self.work;
        bytes.len() + size_of_val(&words[..]) + items.len() * (size_of::<Item>() + size_of::<Place>())
    }

    /// Empties it for the next transaction. False: it is too large to be kept.
    pub fn clear(&mut self) -> bool {
        let keep = self.places.capacity() <= KEEP_COMMANDS && self.work.items.capacity() <= KEEP_COMMANDS;
        self.work.clear();
        self.places.clear();
        self.flags = Flags::NONE;
        self.shards.clear();
        self.said.clear();
        self.lines = None;
        (self.aborted, self.watched, self.touched, self.mute) = (false, false, false, false);
        (self.has_host, self.has_script, self.has_channel, self.publishes) = (false, false, false, false);
        keep
    }
}

/// What a connection watches.
#[derive(Default)]
pub struct Watching {
    pub shards: ShardSet,
    /// Databases and keys.
    pub keys: HashSet<(usize, Box<[u8]>)>,
}

/// A transaction whose commands of the store have run.
pub struct Execution {
    pub unit: Box<Unit>,
    /// The place in line of EXEC's reply.
    pub ticket: u32,
    /// The next command whose reply is put together.
    pub at: usize,
    /// The reply so far.
    pub out: Vec<u8>,
}

/// What a connection has to do with transactions.
#[derive(Default)]
pub struct Transaction {
    /// The commands in line since MULTI.
    pub queued: Option<Box<Unit>>,
    pub watching: Option<Box<Watching>>,
    pub execution: Option<Box<Execution>>,
    /// How many commands an EXEC has whose rest is being carried out.
    pub executing: Option<usize>,
    /// The answer of the command at hand comes by itself.
    pub awaits_element: bool,
}

impl Transaction {
    /// How many commands are in line; `None` outside a transaction.
    pub fn commands(&self) -> Option<usize> {
        self.queued.as_ref().map(|unit| unit.len()).or(self.executing)
    }

    pub fn watched_keys(&self) -> usize {
        self.watching.as_ref().map_or(0, |watching| watching.keys.len())
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let units = self.queued.iter().chain(self.execution.iter().map(|execution| &execution.unit));
        units.map(|unit| unit.memory()).sum::<usize>()
            + self
                .watching
                .iter()
                .flat_map(|w| &w.keys)
                .map(|(_, key)| key.len() + size_of::<(usize, Box<[u8]>)>())
                .sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_shards_knows_its_members_and_when_it_has_only_one() {
        let mut set = ShardSet::default();
        assert!(set.is_empty() && set.only().is_none());
        set.insert(70);
        assert_eq!((set.only(), set.is_empty()), (Some(70), false));
        set.insert(3);
        assert_eq!((set.only(), set.iter().collect::<Vec<_>>()), (None, vec![3, 70]));
        let mut other = ShardSet::default();
        other.insert_all(2);
        other.extend(&set);
        assert_eq!(other.iter().collect::<Vec<_>>(), [0, 1, 3, 70]);
    }
}
