//! Another number of shards than before: every key moves to the shard that it belongs to now, libraries of functions to the first.

use super::{Job, Loading, new_shards};
use kv_core::store::{Detached, Shard};

/// Keys that a shard gives away at a time.
const KEYS_AT_A_TIME: usize = 16 * 1024;

/// At this moment nothing is due: what is due is moved as well, and removed where it comes to.
const NEVER_DUE: u64 = 0;

/// A key on its way.
struct Moving {
    db: usize,
    key: Vec<u8>,
    value: Detached,
}

/// Where a shard stands that gives its keys away.
#[derive(Clone, Copy, Default)]
struct Place {
    db: usize,
    cursor: u64,
    /// The walk of the database has met something since it began.
    met: bool,
}

impl Loading<'_> {
    /// Makes so many shards of what there are.
    pub(super) fn reshard(&mut self, count: usize) {
        if self.shards.len() == count {
            return;
        }
        let hasher = self.shards[0].hasher.clone();
        let mut to = new_shards(count, self.means.wanted, &hasher);
        let mut from = std::mem::take(&mut self.shards);
        to[0].libraries = std::mem::take(&mut from[0].libraries);
        let mut places = vec![Place::default(); from.len()];
        loop {
            let mut given: Vec<Vec<Vec<Moving>>> = from.iter().map(|_| Vec::new()).collect();
            let jobs = from
                .iter_mut()
                .zip(&mut places)
                .zip(&mut given)
                .map(|((shard, place), given)| -> Job<'_> { Box::new(move || *given = give(shard, place, count)) });
            self.crew.run(jobs.collect());
            if given.iter().flatten().all(Vec::is_empty) {
                break;
            }
            let mut taken: Vec<Vec<Moving>> = to.iter().map(|_| Vec::new()).collect();
            for by_shard in given {
                taken.iter_mut().zip(by_shard).for_each(|(all, some)| all.extend(some));
            }
            let now = self.means.wanted.now;
            let jobs = to.iter_mut().zip(taken).map(|(shard, keys)| -> Job<'_> {
                Box::new(move || keys.into_iter().for_each(|moving| take(shard, moving, now)))
            });
            self.crew.run(jobs.collect());
        }
        self.shards = to;
    }
}

/// Takes some keys out of a shard, by the shard that they belong to. None at all: it is empty.
fn give(shard: &mut Shard, place: &mut Place, shards: usize) -> Vec<Vec<Moving>> {
    let mut given: Vec<Vec<Moving>> = (0..shards).map(|_| Vec::new()).collect();
    let mut count = 0;
    let hasher = shard.hasher.clone();
    while place.db < shard.dbs.len() && count < KEYS_AT_A_TIME {
        let db = &mut shard.dbs[place.db];
        let mut keys: Vec<Vec<u8>> = Vec::new();
        place.cursor = db.scan(place.cursor, NEVER_DUE, |entry| keys.push(entry.key().to_vec()));
        place.met |= !keys.is_empty();
        for bytes in keys {
            let key = hasher.key(&bytes);
            // A walk may meet a key twice.
            let Some(value) = db.take(key, NEVER_DUE) else { continue };
            let to = hasher.place_key(key, shards);
            given[to].push(Moving { db: place.db, key: bytes, value });
            count += 1;
        }
        if place.cursor == 0 {
            // Once more, as long as there is something: the table has shrunk under the walk.
            *place = Place { db: place.db + usize::from(!place.met), cursor: 0, met: false };
        }
    }
    given
}

fn take(shard: &mut Shard, moving: Moving, now: u64) {
    let Moving { db, key, value } = moving;
    let hasher = shard.hasher.clone();
    shard.dbs[db].insert(hasher.key(&key), value, now);
}
