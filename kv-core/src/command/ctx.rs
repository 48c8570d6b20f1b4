//! What a handler sees of the world: the shards of its keys, the time, its session's database.

use super::Event;
use crate::store::{Db, Key, Shard, UnixMs};

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The reply is complete.
    Done,
    /// A long walk: the reply so far is kept, and the handler is called again in a later turn with this in `ctx.cursor`.
    Again(u64),
}

/// The shards a command may touch. A handler cannot tell one from many.
pub enum Stores<'a> {
    One(&'a mut Shard),
    /// The involved shards, ascending by index.
    Many(&'a mut [Box<Shard>]),
}

/// Limits from the options that handlers need.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest string a command may make, bytes (`proto-max-bulk-len`).
    pub string_max: usize,
    /// Largest sparse HyperLogLog, bytes (`hll-sparse-max-bytes`).
    pub hll_sparse_max: usize,
}

pub struct Ctx<'a> {
    stores: Stores<'a>,
    /// How many shards there are in all.
    pub shards: usize,
    /// The moment of this turn.
    pub now: UnixMs,
    /// The session's selected database.
    pub db_index: usize,
    /// Where a walk goes on; 0 at its start.
    pub cursor: u64,
    /// Whether a walk may be cut into slices (not inside a transaction).
    pub sliced: bool,
    /// Whether an access counts as a use of the key (CLIENT NO-TOUCH, rows with NO_TOUCH).
    pub touch: bool,
    pub settings: &'a Settings,
}

impl<'a> Ctx<'a> {
    pub fn new(stores: Stores<'a>, shards: usize, now: UnixMs, db_index: usize, settings: &'a Settings) -> Ctx<'a> {
        Ctx { stores, shards, now, db_index, cursor: 0, sliced: true, touch: true, settings }
    }

    /// The shard of a key.
    ///
    /// Panics: when the shard is not among those the command was given, a mistake of the routing.
    #[inline]
    pub fn shard(&mut self, key: Key<'_>) -> &mut Shard {
        match &mut self.stores {
            Stores::One(shard) => shard,
            Stores::Many(shards) => {
                let index = shards[0].hasher.place_key(key, self.shards);
                let at = shards.binary_search_by_key(&index, |s| s.index).expect("the key's shard takes part");
                &mut shards[at]
            }
        }
    }

    /// The shard that a keyless command runs on (each shard in its turn).
    pub fn this_shard(&mut self) -> &mut Shard {
        match &mut self.stores {
            Stores::One(shard) => shard,
            Stores::Many(shards) => &mut shards[0],
        }
    }

    /// All shards the command was given.
    pub fn each_shard(&mut self) -> impl Iterator<Item = &mut Shard> {
        let (one, many) = match &mut self.stores {
            Stores::One(shard) => (Some(&mut **shard), None),
            Stores::Many(shards) => (None, Some(shards.iter_mut().map(|s| &mut **s))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The session's database, in the shard of the key.
    #[inline]
    pub fn db(&mut self, key: Key<'_>) -> &mut Db {
        let index = self.db_index;
        &mut self.shard(key).dbs[index]
    }

    /// Says once that a key was written: what follows from it (log, watchers, waiting clients, notifications, counters)
    /// follows from this call alone.
    #[inline]
    pub fn wrote(&mut self, key: Key<'_>, event: Event) {
        let db = self.db_index;
        self.wrote_in(db, key, event);
    }

    /// As `wrote`, for a key of another database than the session's.
    #[inline]
    pub fn wrote_in(&mut self, _db: usize, key: Key<'_>, _event: Event) {
        self.shard(key).dirty += 1;
    }
}
