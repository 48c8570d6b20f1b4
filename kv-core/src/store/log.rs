//! What a shard has to tell the log since the last epoch ended.
//!
//! Records (`persist::record`) lie one behind the other, encoded. Whoever carries a command out adds its effects; the engine
//! takes everything when the shard passes a marker. With the log off nothing is added.
//!
//! ```text
//! Time  Put  Command  Command  Time  Remove  Put ...       what `take` gives: a section, which begins with a moment
//! ```
//!
//! A moment stands in front of what happened at it, once for all that follows up to the next. Nothing is said of what
//! expires: at the same moments the same is due again. So as long as a process lives, the moments of a shard must never go
//! back, whoever runs commands on it ([`ShardLog::latest`]): what was due would be there again, but not for a replay.

use super::{Key, Shard, UnixMs};
use crate::persist::record;
use crate::persist::value::State;
use crate::types::Library;

/// Room that a section gets at once, bytes: many are as long as the one before, and growing copies them.
const ROOM_MAX: usize = 1 << 20;

/// The records of one shard that no epoch holds yet.
#[derive(Default)]
pub struct ShardLog {
    /// Whether effects are to be added.
    pub on: bool,
    /// The last epoch that something of this log was taken for; 0 before the first.
    pub written: u64,
    bytes: Vec<u8>,
    /// Bytes of the last section, as far as room is made for as many at once.
    expected: usize,
    /// The moment of the last record of time.
    moment: UnixMs,
}

/// A place in the log of a shard.
#[derive(Clone, Copy, Default, Debug)]
pub struct LogMark {
    len: usize,
    moment: UnixMs,
}

impl ShardLog {
    /// Whether nothing was added since the last `take`.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes added since the last `take`.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All records added since the last call; they belong to `epoch`.
    pub fn take(&mut self, epoch: u64) -> Vec<u8> {
        if !self.is_empty() {
            self.written = epoch;
            self.expected = self.len().min(ROOM_MAX);
        }
        std::mem::take(&mut self.bytes)
    }

    /// How far it has come.
    pub fn mark(&self) -> LogMark {
        LogMark { len: self.bytes.len(), moment: self.moment }
    }

    /// Forgets what was added since; nothing must have been taken since.
    pub fn back_to(&mut self, mark: LogMark) {
        self.bytes.truncate(mark.len);
        self.moment = mark.moment;
    }

    /// The moment of the last record, of whatever section; 0 before the first. Nothing may be done before it.
    pub fn latest(&self) -> UnixMs {
        self.moment
    }

    /// Where a record of this moment is to be written.
    #[inline]
    fn at(&mut self, now: UnixMs) -> &mut Vec<u8> {
        debug_assert!(now >= self.moment, "the moments of a shard go back from {} to {now}", self.moment);
        if self.moment != now || self.bytes.is_empty() {
            if self.bytes.is_empty() {
                self.bytes.reserve(self.expected);
            }
            record::put_time(&mut self.bytes, now);
            self.moment = now;
        }
        &mut self.bytes
    }

    /// The key has this value and this expiry.
    #[inline]
    pub fn put(&mut self, now: UnixMs, db: usize, key: &[u8], expire_at: Option<UnixMs>, state: State<'_>) {
        record::put_state(self.at(now), db, key, expire_at, state);
    }

    /// The key is gone.
    pub fn remove(&mut self, now: UnixMs, db: usize, key: &[u8]) {
        record::put_remove(self.at(now), db, key);
    }

    /// The key has another expiry, or none.
    pub fn expire(&mut self, now: UnixMs, db: usize, key: &[u8], expire_at: Option<UnixMs>) {
        record::put_expire(self.at(now), db, key, expire_at);
    }

    /// A command of one key was done.
    #[inline]
    pub fn command<'w>(&mut self, now: UnixMs, db: usize, words: impl ExactSizeIterator<Item = &'w [u8]>) {
        record::put_command(self.at(now), db, words);
    }

    /// A database is empty, or each.
    pub fn flush(&mut self, now: UnixMs, db: Option<usize>) {
        record::put_flush(self.at(now), db);
    }

    /// Two databases have changed places.
    pub fn swap(&mut self, now: UnixMs, a: usize, b: usize) {
        record::put_swap(self.at(now), a, b);
    }

    /// Something was done at this moment that another shard's log tells.
    pub fn moment(&mut self, now: UnixMs) {
        self.at(now);
    }

    /// There is this library.
    pub fn library(&mut self, now: UnixMs, library: &Library) {
        record::put_library(self.at(now), library);
    }

    /// The library is gone.
    pub fn no_library(&mut self, now: UnixMs, name: &[u8]) {
        record::put_no_library(self.at(now), name);
    }
}

impl Shard {
    /// Logs the value of a key with its expiry, or that it is gone.
    pub fn log_state(&mut self, now: UnixMs, db: usize, key: Key<'_>) {
        let Shard { dbs, log, .. } = self;
        match dbs[db].peek(key, now) {
            Some(entry) => log.put(now, db, key.bytes, entry.expire_at(), entry.value().state()),
            None => log.remove(now, db, key.bytes),
        }
    }

    /// Logs when a key expires, or that it is gone.
    pub fn log_expiry(&mut self, now: UnixMs, db: usize, key: Key<'_>) {
        let Shard { dbs, log, .. } = self;
        match dbs[db].peek(key, now) {
            Some(entry) => log.expire(now, db, key.bytes, entry.expire_at()),
            None => log.remove(now, db, key.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::record::{Record, Records};
    use crate::persist::value::Loaded;
    use crate::store::{Expire, KeyHasher, StrValue};
    use crate::types::Limits;
    use std::sync::Arc;

    fn shard() -> Shard {
        let mut shard = Shard::new(0, 16, Arc::new(KeyHasher::new([5; 16])), 1);
        shard.log.on = true;
        shard
    }

    fn records(section: &[u8]) -> Vec<String> {
        let show = |record: Record<'_>| match record {
            Record::Time(now) => format!("time {now}"),
            Record::Put { db, key, expire_at, value: Loaded::Str(text) } => {
                format!("put {db} {} {} {expire_at:?}", key.escape_ascii(), text.escape_ascii())
            }
            Record::Remove { db, key } => format!("remove {db} {}", key.escape_ascii()),
            Record::Expire { db, key, expire_at } => format!("expire {db} {} {expire_at:?}", key.escape_ascii()),
            Record::Flush { db } => format!("flush {db:?}"),
            Record::Swap { a, b } => format!("swap {a} {b}"),
            other => panic!("{other:?} was not written"),
        };
        let limits = Limits::default();
        Records::new(section, 0, &limits).map(|record| show(record.expect("what was written"))).collect()
    }

    #[test]
    fn moments_stand_in_front_of_what_happened_and_each_section_begins_with_one() {
        let mut log = shard().log;
        log.put(100, 0, b"a", Some(900), State::Str(b"v"));
        log.remove(100, 1, b"b");
        log.expire(101, 2, b"c", None);
        assert!(!log.is_empty());
        assert_eq!(
            records(&log.take(7)),
            ["time 100", "put 0 a v Some(900)", "remove 1 b", "time 101", "expire 2 c None"]
        );
        assert!(log.is_empty() && log.written == 7);
        log.flush(101, Some(3));
        log.flush(101, None);
        log.swap(101, 3, 4);
        assert_eq!(records(&log.take(8)), ["time 101", "flush Some(3)", "flush None", "swap 3 4"]);
        assert!(log.take(9).is_empty() && log.written == 8);
    }

    #[test]
    fn a_key_is_told_as_it_is_or_gone() {
        let mut shard = shard();
        let hasher = Arc::clone(&shard.hasher);
        let key = hasher.key(b"k");
        shard.dbs[2].set_string(key, StrValue::Bytes(b"v"), Expire::At(200), 100);
        shard.log_state(100, 2, key);
        shard.log_expiry(100, 2, key);
        shard.log_state(200, 2, key);
        shard.log_expiry(200, 2, key);
        let told = ["time 100", "put 2 k v Some(200)", "expire 2 k Some(200)", "time 200", "remove 2 k", "remove 2 k"];
        assert_eq!(records(&shard.log.take(1)), told);
    }
}
