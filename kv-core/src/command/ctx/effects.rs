//! From writes to the log: what each command leaves there, as its row says ([`LogAs`]).
//!
//! A write is logged where it is said (`Ctx::wrote`), in the log of the shard it happened on, so that a command over several
//! shards leaves in each what happened there and nothing else. Three things make replaying exact:
//!
//! - `wrote` comes behind the last change of the key, so its state is the one that the command leaves.
//! - A command that is logged by its words has one key and hangs on nothing but the key's value and the moment. Neither may it
//!   hang on the form in which the value is kept, which a replay does not have (approximate trimming), nor on chance. (PFADD
//!   hangs on an option: `hll-sparse-max-bytes` decides when the form becomes another, which means the same.)
//! - A command that fails has written nothing, or has had its keys logged by their state: a replay takes an error for damage.
//!
//! What is not logged changes nothing that a client could tell: the estimate that PFCOUNT keeps in a HyperLogLog, when a key
//! was used last, when a consumer was seen last without getting anything.

use super::{Ctx, LogAs};
use crate::command::Event;
use crate::persist::value::State;
use crate::resp::Arg;
use crate::store::{Expire, Key, Shard, StrValue};
use std::ops::Range;

impl<'a> Ctx<'a> {
    /// Says how the request is to be logged: what its row says, and its words. Without this, by the state of what it
    /// writes.
    #[inline]
    pub fn log_as(&mut self, log: LogAs, data: &'a [u8], words: &'a [Arg]) {
        self.log = log;
        self.request = (data, words);
    }

    /// Whether what is done to a key is logged, so that it is worth while to collect what there is to be said.
    #[inline]
    pub fn is_logged(&mut self, key: Key<'_>) -> bool {
        self.shard(key).log.on
    }

    /// Logs what is done to a key of the session's database as a command (whose row is `LogAs::Words`), instead of the request:
    /// to be called before `wrote`, and for each key that is written.
    pub fn effect<'w, W>(&mut self, key: Key<'_>, words: W)
    where
        W: IntoIterator<Item = &'w [u8], IntoIter: ExactSizeIterator>,
    {
        self.logged = true;
        let (now, db) = (self.now, self.db_index);
        let log = &mut self.shard(key).log;
        if log.on {
            log.command(now, db, words.into_iter());
        }
    }

    /// Logs the state of a key instead of the request, as `effect`.
    pub fn effect_state(&mut self, key: Key<'_>) {
        self.logged = true;
        let (now, db) = (self.now, self.db_index);
        let shard = self.shard(key);
        if shard.log.on {
            shard.log_state(now, db, key);
        }
    }

    /// A write was said.
    #[inline(never)]
    pub(super) fn log_write(&mut self, db: usize, key: Key<'_>) {
        let now = self.now;
        match self.log {
            LogAs::State => self.shard(key).log_state(now, db, key),
            LogAs::Expiry => self.shard(key).log_expiry(now, db, key),
            LogAs::Words if !self.logged => {
                self.logged = true;
                let (data, words) = self.request;
                let session_db = self.db_index;
                self.shard(key).log.command(now, session_db, words.iter().map(|word| word.get(data)));
            }
            LogAs::Words => {}
            LogAs::Told => debug_assert!(self.logged, "the handler has not said what it did"),
        }
    }

    /// Stores a string and says so: event `set`, and `expire` when it got an expiry. Commands that do this are logged by
    /// their state, which here is at hand.
    #[inline]
    pub fn put_string(&mut self, key: Key<'_>, text: &[u8], expire: Expire) {
        let (now, db, client) = (self.now, self.db_index, self.client);
        let shard = self.shard(key);
        shard.dbs[db].set_string(key, StrValue::Bytes(text), expire, now);
        shard.dirty += 1;
        shard.value_changed(db, key, client);
        shard.touch_waits(db, key, now);
        if shard.log.on {
            match expire {
                Expire::Clear => shard.log.put(now, db, key.bytes, None, State::Str(text)),
                Expire::At(at) => shard.log.put(now, db, key.bytes, Some(at), State::Str(text)),
                Expire::Keep => shard.log_state(now, db, key),
            }
        }
        self.tell(db, key, Event::Set);
        if let Expire::At(_) = expire {
            self.tell(db, key, Event::Expire);
        }
    }

    /// Empties databases, in all shards the command was given, and says so.
    pub fn flush(&mut self, databases: Range<usize>) {
        let (now, all) = (self.now, databases.len() == self.databases());
        for shard in self.each_shard() {
            shard.everything_changed();
            let mut removed = 0;
            for index in databases.clone() {
                if !shard.watches.is_idle() {
                    shard.watches.replace(index, None);
                }
                shard.waits.touch_all(index, |_| None);
                let keys = shard.flush(index);
                removed += keys;
                if shard.log.on && keys > 0 && !all {
                    shard.log.flush(now, Some(index));
                }
            }
            if shard.log.on && removed > 0 && all {
                shard.log.flush(now, None);
            }
            shard.dirty += removed as u64;
        }
    }

    /// Lets two databases change places, in all shards the command was given, and says so.
    pub fn swap(&mut self, first: usize, second: usize) {
        let now = self.now;
        for shard in self.each_shard() {
            if first != second {
                shard.everything_changed();
            }
            if first != second && !shard.watches.is_idle() {
                let Shard { watches, dbs, .. } = shard;
                watches.replace(first, Some((&dbs[second], now)));
                watches.replace(second, Some((&dbs[first], now)));
            }
            shard.swap_dbs(first, second);
            shard.touch_all_waits(first, now);
            shard.touch_all_waits(second, now);
            shard.dirty += 1;
            if shard.log.on && first != second {
                shard.log.swap(now, first, second);
            }
        }
    }
}

/// The words of an effect, put aside while it happens.
#[derive(Default)]
pub struct Collected {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Collected {
    /// `words`: what comes first.
    pub fn new(words: [&[u8]; 2]) -> Collected {
        let mut collected = Collected::default();
        words.into_iter().for_each(|word| collected.push(word));
        collected
    }

    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|i| &self.bytes[if i == 0 { 0 } else { self.ends[i - 1] }..self.ends[i]])
    }
}
