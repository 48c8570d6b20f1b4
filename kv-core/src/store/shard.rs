//! One shard: its databases, its counters, and what waits to be freed in the background.
//!
//! A shard is owned by one thread at a time and may move between threads as a whole. It knows its index but not the
//! other shards.

use super::{Db, Entry, EntryRef, KeyHasher, Object, UnixMs};
use crate::structs::random::Random;
use std::sync::Arc;

/// Something whose freeing would take too long on the spot. Dropping it frees it.
pub enum Garbage {
    Entry(Entry),
    Object(Box<Object>),
    Db(Box<Db>),
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
    /// Which database comes first at the next `expire_due`, so that none starves another.
    turn: usize,
}

impl Shard {
    pub fn new(index: usize, databases: usize, hasher: Arc<KeyHasher>, seed: u64) -> Shard {
        let dbs = (0..databases).map(|_| Db::new(Arc::clone(&hasher))).collect();
        let random = Random::new(seed);
        Shard { index, dbs, stats: ShardStats::default(), garbage: Vec::new(), dirty: 0, hasher, random, turn: 0 }
    }

    /// Removes what is due in all databases, telling `on_expired` the database and the entry before it is freed. Each
    /// token that fires or moves takes 1 from `budget`.
    pub fn expire_due(&mut self, now: UnixMs, budget: &mut usize, mut on_expired: impl FnMut(usize, EntryRef<'_>)) {
        let count = self.dbs.len();
        for at in 0..count {
            let index = (self.turn + at) % count;
            if *budget == 0 {
                self.turn = index;
                return;
            }
            let expired = &mut self.stats.expired;
            self.dbs[index].expire_due(now, budget, &mut |entry| {
                *expired += 1;
                on_expired(index, entry);
            });
        }
    }

    /// The moment from which `expire_due` has something to do.
    pub fn next_due(&self) -> Option<UnixMs> {
        self.dbs.iter().filter_map(Db::next_due).min()
    }

    /// Tells `f` what was found expired by lookups since the last call, before each is freed.
    pub fn take_expired(&mut self, mut f: impl FnMut(usize, EntryRef<'_>)) {
        for (index, db) in self.dbs.iter_mut().enumerate() {
            self.stats.expired += db.take_expired(|entry| f(index, entry)) as u64;
        }
    }

    /// Everything that waits to be freed.
    pub fn take_garbage(&mut self) -> Vec<Garbage> {
        let mut all = std::mem::take(&mut self.garbage);
        self.dbs.iter_mut().for_each(|db| db.take_garbage(&mut all));
        all
    }

    /// Empties a database in O(1); what was in it becomes garbage. Returns how many keys it had.
    pub fn flush(&mut self, db: usize) -> usize {
        let old = self.dbs[db].take_all();
        let count = old.len();
        if count > 0 {
            self.garbage.push(Garbage::Db(Box::new(old)));
        }
        count
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
