//! One shard: its databases, its counters, and what waits to be freed in the background.
//!
//! A shard is owned by one thread at a time and may move between threads as a whole. It knows its index but not the
//! other shards.

use super::snapshot::{Piece, Snapshot};
use super::tracking::{Table, Tracking};
use super::{
    Db, Due, EntryRef, Key, KeyHasher, Kind, Libraries, LoneEntry, Notices, Object, ShardLog, UnixMs, Value, Waits,
    Watches,
};
use crate::structs::random::Random;
use std::sync::Arc;

/// Something whose freeing would take too long on the spot. Dropping it frees it.
pub enum Garbage {
    Entry(LoneEntry),
    Object(Box<Object>),
    Db(Box<Db>),
    Pieces(Vec<Piece>),
    /// Of keys that clients have read.
    Tracked(Box<Table>),
}

/// Counters of one shard, for INFO.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct ShardStats {
    /// Lookups for reading that found the key.
    pub hits: u64,
    pub misses: u64,
    /// Keys removed because they were due.
    pub expired: u64,
}

pub struct Shard {
    pub index: usize,
    pub dbs: Vec<Db>,
    pub stats: ShardStats,
    /// Picked up with `take_garbage`.
    pub garbage: Vec<Garbage>,
    /// Writes so far.
    pub dirty: u64,
    pub hasher: Arc<KeyHasher>,
    pub random: Random,
    pub log: ShardLog,
    pub notices: Notices,
    pub watches: Watches,
    pub waits: Waits,
    pub tracking: Tracking,
    /// The same on all shards.
    pub libraries: Arc<Libraries>,
    pub(super) snapshot: Snapshot,
    /// Which database comes first at the next `expire_due`, so that none starves another.
    turn: usize,
}

impl Shard {
    pub fn new(index: usize, databases: usize, hasher: Arc<KeyHasher>, seed: u64) -> Shard {
        let dbs = (0..databases).map(|_| Db::new(Arc::clone(&hasher))).collect();
        let random = Random::new(seed);
        Shard {
            index,
            dbs,
            stats: ShardStats::default(),
            garbage: Vec::new(),
            dirty: 0,
            hasher,
            random,
            log: ShardLog::default(),
            notices: Notices::default(),
            watches: Watches::default(),
            waits: Waits::default(),
            tracking: Tracking::default(),
            libraries: Arc::default(),
            snapshot: Snapshot::default(),
            turn: 0,
        }
    }

    /// A key has another value, by a client's doing (0: by none): who watches it, or has read it, hears of it.
    #[inline]
    pub fn value_changed(&mut self, db: usize, key: Key<'_>, writer: u64) {
        if !self.watches.is_idle() {
            self.watches.touch(db, key);
        }
        if !self.tracking.is_idle() {
            self.tracking.wrote(key, writer);
        }
    }

    /// An empty one, to stand in the place of this one while it is somewhere else.
    pub fn stand_in(&self) -> Shard {
        Shard::new(self.index, 0, Arc::clone(&self.hasher), 1)
    }

    /// A client watches a key from now on.
    pub fn watch(&mut self, client: u64, db: usize, key: Key<'_>, now: UnixMs) {
        let entry = self.dbs[db].peek(key, now);
        let due = entry.and_then(|entry| {
            let field = match entry.value() {
                Value::Object(Object::Hash(hash)) => hash.as_ref().next_due_after(now),
                _ => None,
            };
            entry.expire_at().into_iter().chain(field).min()
        });
        self.watches.watch(client, db, key, entry.is_some(), due);
    }

    /// A key was written: it is ready if it has something for who waits for it.
    #[inline]
    pub fn touch_waits(&mut self, db: usize, key: Key<'_>, now: UnixMs) {
        if !self.waits.is_idle() {
            let Shard { waits, dbs, .. } = self;
            waits.touch(db, key, || dbs[db].peek(key, now).and_then(Kind::of));
        }
    }

    /// As `touch_waits`, for all keys of a database.
    pub fn touch_all_waits(&mut self, db: usize, now: UnixMs) {
        let Shard { waits, dbs, .. } = self;
        waits.touch_all(db, |key| dbs[db].peek(key, now).and_then(Kind::of));
    }

    /// Removes what is due in all databases, telling `on_due` the database and the entry: before it is freed, or after
    /// fields of it are gone. Each token that fires or moves and each field takes 1 from `budget`.
    pub fn expire_due(&mut self, now: UnixMs, budget: &mut usize, mut on_due: impl FnMut(usize, Due, EntryRef<'_>)) {
        let count = self.dbs.len();
        for at in 0..count {
            let index = (self.turn + at) % count;
            if *budget == 0 {
                self.turn = index;
                return;
            }
            let Shard { dbs, stats, waits, tracking, hasher, .. } = self;
            dbs[index].expire_due(now, budget, &mut |due, entry| {
                stats.expired += u64::from(due == Due::Key);
                if !waits.is_idle() {
                    waits.touch(index, hasher.key(entry.key()), || None);
                }
                if !tracking.is_idle() {
                    tracking.wrote(hasher.key(entry.key()), 0);
                }
                on_due(index, due, entry);
            });
        }
    }

    /// The moment from which `expire_due` has something to do.
    pub fn next_due(&self) -> Option<UnixMs> {
        self.dbs.iter().filter_map(Db::next_due).min()
    }

    /// Tells `f` what was found expired by lookups since the last call, before each is freed.
    pub fn take_expired(&mut self, mut f: impl FnMut(usize, EntryRef<'_>)) {
        let Shard { dbs, stats, waits, tracking, hasher, .. } = self;
        for (index, db) in dbs.iter_mut().enumerate() {
            stats.expired += db.take_expired(|entry| {
                if !waits.is_idle() {
                    waits.touch(index, hasher.key(entry.key()), || None);
                }
                if !tracking.is_idle() {
                    tracking.wrote(hasher.key(entry.key()), 0);
                }
                f(index, entry);
            }) as u64;
        }
    }

    /// Everything that waits to be freed.
    pub fn take_garbage(&mut self) -> Vec<Garbage> {
        let mut all = std::mem::take(&mut self.garbage);
        self.dbs.iter_mut().for_each(|db| db.take_garbage(&mut all));
        all
    }

    /// Bytes of memory held by all databases.
    pub fn used_memory(&self) -> usize {
        self.dbs.iter().map(Db::bytes).sum()
    }

    /// SWAPDB, for this shard's part.
    pub fn swap_dbs(&mut self, a: usize, b: usize) {
        self.dbs.swap(a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Expire, StrValue};

    fn shard() -> Shard {
        Shard::new(0, 16, Arc::new(KeyHasher::new([5; 16])), 1)
    }

    fn set(shard: &mut Shard, db: usize, key: &str, expire: Expire) {
        let hasher = Arc::clone(&shard.hasher);
        shard.dbs[db].set_string(hasher.key(key.as_bytes()), StrValue::Bytes(b"v"), expire, 100);
    }

    #[test]
    fn databases_expire_side_by_side_and_none_starves() {
        let mut shard = shard();
        for i in 0..100 {
            set(&mut shard, 3, &format!("k{i}"), Expire::At(200));
            set(&mut shard, 9, &format!("k{i}"), Expire::At(200));
        }
        assert!(shard.next_due().is_some_and(|due| due <= 200));
        let mut expired = [0; 16];
        for _ in 0..2 {
            shard.expire_due(200, &mut 100, |db, _, _| expired[db] += 1);
        }
        assert_eq!((expired[3], expired[9], shard.stats.expired), (100, 100, 200));
        assert_eq!(shard.next_due(), None);
    }

    #[test]
    fn what_lookups_found_expired_is_told_with_its_database() {
        let mut shard = shard();
        set(&mut shard, 7, "k", Expire::At(200));
        let hasher = Arc::clone(&shard.hasher);
        assert!(shard.dbs[7].get(hasher.key(b"k"), 200).is_none());
        let mut told = Vec::new();
        shard.take_expired(|db, entry| told.push((db, entry.key().to_vec())));
        assert_eq!((told, shard.stats.expired), (vec![(7, b"k".to_vec())], 1));
    }

    #[test]
    fn a_flushed_database_is_garbage_and_databases_swap() {
        let mut shard = shard();
        set(&mut shard, 0, "a", Expire::Clear);
        set(&mut shard, 1, "b", Expire::Clear);
        set(&mut shard, 1, "c", Expire::Clear);
        shard.swap_dbs(0, 1);
        assert_eq!((shard.dbs[0].len(), shard.dbs[1].len()), (2, 1));
        assert!(shard.used_memory() > 0);
        assert_eq!((shard.flush(0), shard.flush(1), shard.flush(2)), (2, 1, 0));
        assert_eq!(shard.take_garbage().len(), 2);
        assert_eq!((shard.used_memory(), shard.take_garbage().len()), (0, 0));
    }
}
