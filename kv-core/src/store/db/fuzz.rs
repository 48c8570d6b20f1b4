//! Random calls to two databases, compared with plain maps of keys to values and deadlines.

use super::*;
use crate::structs::heap::BLOCK_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// Plays a random sequence of calls against a map and the database's own accounts.
///
/// Panics: with the seed in the message, when they disagree.
pub fn fuzz_db(seed: u64) {
    let mut model = Model::new(seed);
    let steps = if cfg!(miri) { 300 } else { 2_000 };
    for step in 0..steps {
        model.step();
        if step % 50 == 0 {
            model.check();
        }
    }
    model.check();
}

struct Plain {
    text: Vec<u8>,
    expire_at: Option<UnixMs>,
}

struct Model {
    seed: u64,
    random: Random,
    now: UnixMs,
    hasher: Arc<KeyHasher>,
    keys: Vec<Vec<u8>>,
    dbs: [Db; 2],
    /// Entries that are due stay here until the database has told that they expired.
    plain: [BTreeMap<Vec<u8>, Plain>; 2],
}

/// Around every limit of the entry: what an integer may be, what is embedded, what the header's fields hold.
const LENGTHS: [usize; 22] =
    [0, 1, 2, 7, 8, 16, 19, 20, 21, 32, 33, 44, 45, 128, 255, 256, 1000, 1023, 1024, 1025, 2000, 65_536];

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random::new(seed);
        let hasher = Arc::new(KeyHasher::new([seed as u8; 16]));
        let few = random.one_in(2);
        let keys = (0..if few { 10 } else { 300 })
            .map(|_| {
                let len =
                    [1, 3, 8, 16, 16, 16, 40, 254, 255, 256, 300, 70_000][random.index(if few { 12 } else { 11 })];
                random.bytes_of(b"abcdefghij", len)
            })
            .collect();
        let dbs = [Db::new(Arc::clone(&hasher)), Db::new(Arc::clone(&hasher))];
        Model { seed, random, now: 1_700_000_000_000, hasher, keys, dbs, plain: Default::default() }
    }

    fn text(&mut self) -> Vec<u8> {
        let text = match self.random.below(10) {
            0 => i64::MIN.to_string(),
            1 => i64::MAX.to_string(),
            2 => "9223372036854775808".into(),
            3 => ["-0", "+1", "007", " 1", "1 ", "-", "1.0", "0", "-1"][self.random.index(9)].into(),
            4 | 5 => ((self.random.next_u64() as i64) >> self.random.below(63)).to_string(),
            _ => {
                let len = LENGTHS[self.random.index(LENGTHS.len() - usize::from(!self.random.clone().one_in(8)))];
                return self.random.bytes_of(b"0123456789xyz", len);
            }
        };
        text.into_bytes()
    }

    /// A moment, mostly soon, sometimes past, sometimes years ahead.
    fn moment(&mut self) -> UnixMs {
        let span = [10, 1000, 100_000, 1 << 25, 1 << 34][self.random.index(5)];
        self.now - 5 + self.random.below(span)
    }

    fn step(&mut self) {
        let (at, db) = (self.random.index(self.keys.len()), self.random.index(2));
        let name = self.keys[at].clone();
        let hasher = Arc::clone(&self.hasher);
        let key = hasher.key(&name);
        match self.random.below(12) {
            0 | 1 => self.set(db, key),
            2 => self.append(db, key),
            3 => self.remove(db, key),
            4 => self.rename(db, key),
            5 | 6 => self.set_expire(db, key),
            7 => self.set_int(db, key),
            8 | 9 => self.get(db, key),
            10 => self.pass_time(),
            _ => self.expire(),
        }
    }

    /// The model's entry, if it is visible.
    fn live(&self, db: usize, key: Key<'_>) -> Option<&Plain> {
        self.plain[db].get(key.bytes).filter(|plain| plain.expire_at.is_none_or(|at| at > self.now))
    }

    /// Compares one key, and lets the database find it expired.
    fn get(&mut self, db: usize, key: Key<'_>) {
        let seed = self.seed;
        let peeked = self.dbs[db].peek(key, self.now).map(|entry| (text_of(entry.value()), entry.expire_at()));
        let expire_at = self.dbs[db].expire_at(key, self.now);
        let got = self.dbs[db].get(key, self.now).map(|entry| {
            assert_eq!(entry.key(), key.bytes);
            assert_eq!(entry.access(), access_at(self.now));
            (text_of(entry.value()), entry.expire_at())
        });
        let want = self.live(db, key).map(|plain| (plain.text.clone(), plain.expire_at));
        assert_eq!(got, want, "seed {seed}");
        assert_eq!(peeked, want, "seed {seed}");
        assert_eq!(expire_at, want.map(|(_, at)| at), "seed {seed}");
        self.take_expired();
    }

    fn take_expired(&mut self) {
        for (db, plain) in self.dbs.iter_mut().zip(&mut self.plain) {
            db.take_expired(|entry| {
                let gone = plain.remove(entry.key()).expect("expired keys were there");
                assert_eq!(text_of(entry.value()), gone.text);
                assert!(gone.expire_at.is_some_and(|at| at <= self.now), "seed {}", self.seed);
            });
        }
    }

    /// What every write ends with: what it met expired is gone before the new value counts.
    fn wrote(&mut self, db: usize, key: Key<'_>, plain: Option<Plain>) {
        self.take_expired();
        match plain {
            Some(plain) => self.plain[db].insert(key.bytes.to_vec(), plain),
            None => self.plain[db].remove(key.bytes),
        };
        self.get(db, key);
    }

    fn set(&mut self, db: usize, key: Key<'_>) {
        let text = self.text();
        let (expire, old) = match self.random.below(3) {
            0 => (Expire::Clear, None),
            1 => (Expire::At(self.moment()), None),
            _ => (Expire::Keep, self.live(db, key).and_then(|plain| plain.expire_at)),
        };
        let expire_at = if let Expire::At(at) = expire { Some(at) } else { old };
        let value = if self.random.one_in(3) { StrValue::Owned(text.clone()) } else { StrValue::Bytes(&text) };
        let existed = self.live(db, key).is_some();
        assert_eq!(self.dbs[db].set_string(key, value, expire, self.now), Old { existed }, "seed {}", self.seed);
        let stored = self.dbs[db].peek(key, self.now).map(|entry| matches!(entry.value(), Value::Int(_)));
        let canonical =
            std::str::from_utf8(&text).ok().and_then(|t| t.parse::<i64>().ok().filter(|n| n.to_string() == t));
        assert!(stored.is_none_or(|int| int == canonical.is_some()), "seed {}", self.seed);
        self.wrote(db, key, Some(Plain { text, expire_at }));
    }

    fn set_int(&mut self, db: usize, key: Key<'_>) {
        let n = self.random.next_u64() as i64;
        let expire_at = self.live(db, key).and_then(|plain| plain.expire_at);
        self.dbs[db].set_int(key, n, self.now);
        self.wrote(db, key, Some(Plain { text: n.to_string().into_bytes(), expire_at }));
    }

    fn append(&mut self, db: usize, key: Key<'_>) {
        let more = self.text();
        let (mut text, expire_at) =
            self.live(db, key).map(|plain| (plain.text.clone(), plain.expire_at)).unwrap_or_default();
        text.extend_from_slice(&more);
        if text.len() > 200_000 {
            text.truncate(3);
        }
        let len = text.len();
        let now = self.now;
        let got = self.dbs[db].edit_string(key, now, |value| {
            value.extend_from_slice(&more);
            value.truncate(len);
            value.len()
        });
        assert_eq!(got, len, "seed {}", self.seed);
        if let Some(entry) = self.dbs[db].peek(key, now) {
            assert!(entry.is_raw() || matches!(entry.value(), Value::Object(_)), "seed {}", self.seed);
        }
        self.wrote(db, key, Some(Plain { text, expire_at }));
    }

    fn remove(&mut self, db: usize, key: Key<'_>) {
        let there = self.live(db, key).is_some();
        assert_eq!(self.dbs[db].remove(key, self.now), there, "seed {}", self.seed);
        self.wrote(db, key, None);
    }

    /// Takes or copies a value and stores it under another key, in the same database or the other.
    fn rename(&mut self, db: usize, key: Key<'_>) {
        let hasher = Arc::clone(&self.hasher);
        let name = if self.random.one_in(3) {
            key.bytes.to_vec()
        } else {
            self.keys[self.random.index(self.keys.len())].clone()
        };
        let (to_db, to) = (self.random.index(2), hasher.key(&name));
        let copies = self.random.one_in(2);
        let was = self.live(db, key).map(|plain| (plain.text.clone(), plain.expire_at));
        let value = if copies { self.dbs[db].copy(key, self.now) } else { self.dbs[db].take(key, self.now) };
        assert_eq!(value.as_ref().map(|v| (text_of(v.value()), v.expire_at)), was, "seed {}", self.seed);
        if !copies {
            self.wrote(db, key, None);
        }
        self.take_expired();
        if let (Some(mut value), Some((text, mut expire_at))) = (value, was) {
            if self.random.one_in(3) {
                expire_at = self.random.one_in(2).then(|| self.moment());
                value.expire_at = expire_at;
            }
            let existed = self.live(to_db, to).is_some();
            assert_eq!(self.dbs[to_db].insert(to, value, self.now), Old { existed }, "seed {}", self.seed);
            self.wrote(to_db, to, Some(Plain { text, expire_at }));
        }
    }

    fn set_expire(&mut self, db: usize, key: Key<'_>) {
        let expire_at = (!self.random.one_in(4)).then(|| self.moment());
        let there = self.live(db, key).is_some();
        assert_eq!(self.dbs[db].set_expire(key, expire_at, self.now), there, "seed {}", self.seed);
        self.take_expired();
        if there {
            self.plain[db].get_mut(key.bytes).expect("it is there").expire_at = expire_at;
        }
        self.get(db, key);
    }

    fn pass_time(&mut self) {
        match self.random.below(20) {
            0 => self.now -= self.random.below(5_000),
            1 => self.now += self.random.below(1 << 30),
            2 => {
                // A flush: what was there is never heard of again.
                let db = self.random.index(2);
                self.take_expired();
                drop(self.dbs[db].take_all());
                self.plain[db].clear();
            }
            _ => self.now += self.random.below(2_000),
        }
    }

    /// Expires with a small budget, or with enough: then nothing due is left, touched or not.
    fn expire(&mut self) {
        let enough = self.random.one_in(2);
        for (db, plain) in self.dbs.iter_mut().zip(&mut self.plain) {
            let mut budget = if enough { usize::MAX } else { self.random.index(20) };
            let mut rounds = 0;
            loop {
                db.expire_due(self.now, &mut budget, &mut |entry| {
                    let gone = plain.remove(entry.key()).expect("expired keys were there");
                    assert_eq!(text_of(entry.value()), gone.text, "seed {}", self.seed);
                    assert!(gone.expire_at.is_some_and(|at| at <= self.now), "seed {}", self.seed);
                });
                rounds += 1;
                if !enough || db.next_due().is_none_or(|at| at > self.now) {
                    break;
                }
                assert!(rounds < 1_000, "seed {}: work without end", self.seed);
            }
            if enough {
                let late = plain.values().filter(|p| p.expire_at.is_some_and(|at| at <= self.now)).count();
                assert_eq!(late, 0, "seed {}: due keys are left", self.seed);
            }
        }
    }

    /// Compares everything, accounts included.
    fn check(&mut self) {
        let seed = self.seed;
        self.take_expired();
        for (db, plain) in self.dbs.iter_mut().zip(&self.plain) {
            let (mut bytes, mut in_heap, mut ttl_keys, mut keys) = (0, 0, 0, BTreeSet::new());
            db.table.for_each(|entry| {
                let want = plain.get(entry.key()).unwrap_or_else(|| panic!("seed {seed}: a key that should be gone"));
                assert_eq!((text_of(entry.value()), entry.expire_at()), (want.text.clone(), want.expire_at));
                bytes += entry.bytes();
                in_heap += usize::from(entry.alloc_bytes() <= BLOCK_MAX);
                ttl_keys += usize::from(entry.expire_at().is_some());
                assert!(keys.insert(entry.key().to_vec()), "seed {seed}: a key twice");
            });
            assert_eq!((keys.len(), db.len(), db.ttl_keys()), (plain.len(), plain.len(), ttl_keys), "seed {seed}");
            assert_eq!(db.counts.bytes, bytes, "seed {seed}");
            assert_eq!(db.heap.blocks(), in_heap, "seed {seed}: an entry was not given back");
            let (mut cursor, mut seen) = (0, BTreeSet::new());
            loop {
                cursor = db.scan(cursor, self.now, |entry| {
                    seen.insert(entry.key().to_vec());
                });
                if cursor == 0 {
                    break;
                }
            }
            let live = |p: &Plain| p.expire_at.is_none_or(|at| at > self.now);
            let want: BTreeSet<_> = plain.iter().filter(|(_, p)| live(p)).map(|(key, _)| key.clone()).collect();
            assert_eq!(seen, want, "seed {seed}");
            if let Some(entry) = db.random(&mut self.random, self.now) {
                assert!(want.contains(entry.key()), "seed {seed}");
            }
            let mut garbage = Vec::new();
            db.take_garbage(&mut garbage);
        }
    }
}

fn text_of(value: Value<'_>) -> Vec<u8> {
    match value {
        Value::Int(n) => n.to_string().into_bytes(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Object(Object::Str(text)) => text.clone(),
        Value::Packed(..) | Value::Object(_) => unreachable!("only strings are stored here"),
    }
}
