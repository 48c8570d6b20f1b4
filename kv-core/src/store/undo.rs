//! What a shard was before a script began to change it, so that all of it can be taken back.
//!
//! Before a command writes, each of its keys is remembered as it is: a copy of its value, with its expiry and what else belongs to
//! it. That is cheap for small values, and refused for large ones: who wants to change them cannot take it back. The log is cut
//! back to where it was, counters are set back. Who watches keys is told behind the last command, so that nobody is touched by what
//! may not have been; events are forgotten.
//!
//! What only passes with time stays: keys that were due and were found to be.

use super::log::LogMark;
use super::{Detached, Key, Shard, ShardStats, UnixMs};

/// Larger values, and more bytes in all, are not remembered.
const VALUE_BYTES_MAX: usize = 32 * 1024;
const BYTES_MAX: usize = 256 * 1024;
/// Nor are more keys, which are searched one by one.
const KEYS_MAX: usize = 128;

/// What is needed to take everything back.
#[derive(Default)]
pub struct Undo {
    log: LogMark,
    dirty: u64,
    stats: ShardStats,
    notices: usize,
    keys: Vec<Before>,
    bytes: usize,
}

/// A key as it was.
struct Before {
    db: usize,
    key: Box<[u8]>,
    hash: u64,
    value: Option<Detached>,
}

impl Shard {
    /// Everything from here on can be taken back, or must be kept.
    pub fn begin_undo(&mut self, undo: &mut Undo) {
        debug_assert!(undo.keys.is_empty(), "what was to be taken back is settled");
        undo.log = self.log.mark();
        undo.dirty = self.dirty;
        undo.stats = self.stats;
        undo.notices = self.mark_notices();
        undo.bytes = 0;
        self.watches.hold_back();
    }

    /// Remembers a key that is about to be written. False: it is too large for that.
    pub fn remember(&mut self, undo: &mut Undo, db: usize, key: Key<'_>, now: UnixMs) -> bool {
        if undo.keys.iter().any(|b| b.hash == key.hash && b.db == db && *b.key == *key.bytes) {
            return true;
        }
        let bytes = self.dbs[db].peek(key, now).map_or(0, |entry| entry.bytes());
        if bytes > VALUE_BYTES_MAX || undo.bytes + bytes > BYTES_MAX || undo.keys.len() == KEYS_MAX {
            return false;
        }
        undo.bytes += bytes;
        let value = if bytes == 0 { None } else { self.dbs[db].copy(key, now) };
        undo.keys.push(Before { db, key: key.bytes.into(), hash: key.hash, value });
        true
    }

    /// Keeps what was done.
    pub fn keep(&mut self, undo: &mut Undo) {
        undo.keys.clear();
        self.watches.end_holding_back(true);
    }

    /// Takes back what was done.
    pub fn undo(&mut self, undo: &mut Undo, now: UnixMs) {
        for Before { db, key, hash, value } in undo.keys.drain(..) {
            let key = Key { bytes: &key, hash };
            match value {
                Some(value) => _ = self.dbs[db].insert(key, value, now),
                None => _ = self.dbs[db].remove(key, now),
            }
        }
        self.log.back_to(undo.log);
        self.dirty = undo.dirty;
        (self.stats.hits, self.stats.misses) = (undo.stats.hits, undo.stats.misses);
        self.forget_notices(undo.notices);
        self.watches.end_holding_back(false);
    }
}

#[cfg(test)]
mod tests {
    use crate::families::testing::World;
    use crate::persist::record;
    use crate::store::{Classes, Event, Expire, KeyHasher, Object, Shard, StrValue, Undo, Value};
    use crate::structs::random::Random;
    use std::sync::Arc;

    /// All keys of a world with what they hold, and the log.
    fn state(world: &mut World) -> Vec<String> {
        let now = world.now;
        let mut keys = Vec::new();
        let shard = world.shard(0);
        for (index, db) in shard.dbs.iter().enumerate() {
            let mut cursor = 0;
            loop {
                cursor = db.scan(cursor, now, |entry| {
                    // A copy of a stream takes less room than the stream.
                    let value = match entry.value() {
                        Value::Object(Object::Stream(_)) => {
                            let mut bytes = Vec::new();
                            record::put_state(&mut bytes, 0, entry.key(), None, entry.value().state());
                            format!("{bytes:?}")
                        }
                        value => format!("{value:?}"),
                    };
                    keys.push(format!("{index} {} {:?} {value}", entry.key().escape_ascii(), entry.expire_at()));
                });
                if cursor == 0 {
                    break;
                }
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    #[test]
    fn what_is_taken_back_has_not_been() {
        let seed = 1;
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let writes = [
            "SET a 1",
            "SET b text",
            "APPEND b more",
            "INCR a",
            "DEL a",
            "DEL b h",
            "EXPIRE a 100",
            "PERSIST a",
            "HSET h f v g w",
            "HDEL h f g",
            "HPEXPIRE h 500 FIELDS 1 f",
            "LPUSH l x y z",
            "LPOP l",
            "SADD s 1 2 3",
            "SREM s 1 2 3",
            "ZADD z 1 a 2 b",
            "ZREM z a b",
            "XADD x * f v",
            "RENAME a b",
            "SETEX a 100 v",
            "GETDEL a",
            "MSET a 1 h 2 l 3",
        ];
        let keys = ["a", "b", "h", "l", "s", "z", "x"];
        for round in 0..200 {
            let mut world = World::new(1);
            world.shard(0).log.on = true;
            for _ in 0..random.index(8) {
                world.run(writes[random.index(writes.len())]);
            }
            world.now += random.below(50);
            let before = state(&mut world);
            let (dirty, log) = (world.shard(0).dirty, world.shard(0).log.len());
            let mut undo = Undo::default();
            world.shard(0).begin_undo(&mut undo);
            let hasher = world.shard(0).hasher.clone();
            let now = world.now;
            for key in keys {
                assert!(world.shard(0).remember(&mut undo, 0, hasher.key(key.as_bytes()), now));
            }
            for _ in 0..random.index(8) {
                world.run(writes[random.index(writes.len())]);
            }
            world.shard(0).undo(&mut undo, now);
            assert_eq!(state(&mut world), before, "round {round}");
            assert_eq!((world.shard(0).dirty, world.shard(0).log.len()), (dirty, log));
            // What is due comes all the same.
            world.now += 1_000_000;
            let now = world.now;
            world.shard(0).expire_due(now, &mut 10_000, |_, _, _| {});
            assert!(state(&mut world).iter().all(|key| key.contains("None")), "round {round}");
        }
    }

    #[test]
    fn what_is_large_cannot_be_taken_back() {
        let mut world = World::new(1);
        world.run(&format!("SET big {}", "x".repeat(40_000)));
        let mut undo = Undo::default();
        world.shard(0).begin_undo(&mut undo);
        let hasher = world.shard(0).hasher.clone();
        let now = world.now;
        assert!(!world.shard(0).remember(&mut undo, 0, hasher.key(b"big"), now));
        let fits = (0..1000).take_while(|n: &i32| {
            let key = n.to_string();
            world.shard(0).remember(&mut undo, 0, hasher.key(key.as_bytes()), now)
        });
        assert_eq!(fits.count(), super::KEYS_MAX);
        world.shard(0).keep(&mut undo);
    }

    #[test]
    fn nobody_is_told_of_what_is_taken_back_but_for_what_time_has_done() {
        let hasher = Arc::new(KeyHasher::new([5; 16]));
        let mut shard = Shard::new(0, 16, hasher.clone(), 1);
        shard.want_notices(Classes::from_letters("KEAnm").expect("letters of the option"));
        let set = |shard: &mut Shard, key: &[u8], expire, now| {
            shard.dbs[0].set_string(hasher.key(key), StrValue::Bytes(b"v"), expire, now);
            shard.note(std::iter::empty(), (0, key, Event::Set));
        };
        set(&mut shard, b"due", Expire::At(200), 100);
        set(&mut shard, b"a", Expire::Clear, 100);
        assert_eq!(shard.take_notices().len(), 4);
        set(&mut shard, b"before", Expire::Clear, 100);
        let (mut undo, now) = (Undo::default(), 300);
        shard.begin_undo(&mut undo);
        for key in [b"a", b"b"] {
            assert!(shard.remember(&mut undo, 0, hasher.key(key), now));
        }
        assert!(shard.dbs[0].get(hasher.key(b"due"), now).is_none());
        shard.notices.note_miss(0, b"due");
        set(&mut shard, b"a", Expire::Clear, now);
        set(&mut shard, b"b", Expire::Clear, now);
        shard.undo(&mut undo, now);
        let told = shard.take_notices();
        let told: Vec<(&str, &[u8])> = told.iter().map(|notice| (notice.event.as_str(), &*notice.key)).collect();
        assert_eq!(told, [("new", &b"before"[..]), ("set", b"before"), ("expired", b"due")]);
    }

    #[test]
    fn who_watches_is_touched_by_what_is_kept_alone() {
        for keeps in [false, true] {
            let mut world = World::new(1);
            world.run("WATCH a");
            let mut undo = Undo::default();
            world.shard(0).begin_undo(&mut undo);
            let hasher = world.shard(0).hasher.clone();
            let (now, client) = (world.now, world.client);
            assert!(world.shard(0).remember(&mut undo, 0, hasher.key(b"a"), now));
            world.run("SET a 1");
            if keeps {
                world.shard(0).keep(&mut undo);
            } else {
                world.shard(0).undo(&mut undo, now);
            }
            assert_eq!(world.shard(0).watches.release(client, now), keeps);
        }
    }
}
