//! Random calls to two databases, compared with plain maps of keys to values and deadlines: strings, and hashes whose
//! fields have deadlines of their own.

use super::*;
use crate::store::{Due, Piece};
use crate::structs::heap::BLOCK_MAX;
use crate::types::Limits;
use crate::types::hash::{Hash, Ttl};
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

#[derive(Clone)]
struct Plain {
    content: Content,
    expire_at: Option<UnixMs>,
}

/// Fields with their values and deadlines. Those that are due stay here until the database removes them.
type Fields = BTreeMap<Vec<u8>, (Vec<u8>, Option<UnixMs>)>;

#[derive(Clone)]
enum Content {
    Text(Vec<u8>),
    Hash(Fields),
}

/// What is visible of a value.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Text(Vec<u8>),
    Hash(Fields),
}

impl Content {
    fn seen(&self, now: UnixMs) -> Seen {
        match self {
            Content::Text(text) => Seen::Text(text.to_vec()),
            Content::Hash(fields) => {
                let live = fields.iter().filter(|(_, (_, at))| at.is_none_or(|at| at > now));
                Seen::Hash(live.map(|(field, value)| (field.clone(), value.clone())).collect())
            }
        }
    }

    fn text(&self) -> Option<&[u8]> {
        match self {
            Content::Text(text) => Some(text),
            Content::Hash(_) => None,
        }
    }

    fn has_due(&self, now: UnixMs) -> bool {
        match self {
            Content::Text(_) => false,
            Content::Hash(fields) => fields.values().any(|(_, at)| at.is_some_and(|at| at <= now)),
        }
    }
}

impl Plain {
    /// Whether nothing of it is visible any more.
    fn is_due(&self, now: UnixMs) -> bool {
        let parts_are_due = match &self.content {
            Content::Text(_) => false,
            Content::Hash(fields) => fields.values().all(|(_, at)| at.is_some_and(|at| at <= now)),
        };
        parts_are_due || self.expire_at.is_some_and(|at| at <= now)
    }
}

fn text(text: Vec<u8>, expire_at: Option<UnixMs>) -> Option<Plain> {
    Some(Plain { content: Content::Text(text), expire_at })
}

struct Model {
    seed: u64,
    random: Random,
    now: UnixMs,
    hasher: Arc<KeyHasher>,
    keys: Vec<Vec<u8>>,
    limits: Limits,
    dbs: [Db; 2],
    /// Entries that are due stay here until the database has told that they expired.
    plain: [BTreeMap<Vec<u8>, Plain>; 2],
    /// What snapshots have and nobody has written yet.
    pieces: Vec<Piece>,
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
        // Small ones, so that hashes are of each form.
        let limits = Limits { hash_packed_entries: 5, hash_packed_value: 40, hash_seed: seed, ..Limits::default() };
        Model {
            seed,
            random,
            now: 1_700_000_000_000,
            hasher,
            keys,
            limits,
            dbs,
            plain: Default::default(),
            pieces: Vec::new(),
        }
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
        match self.random.below(16) {
            15 => self.save(db),
            12..15 => self.edit_hash(db, key),
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

    /// Snapshots come and go, and change nothing: what they have is looked at in `store::snapshot`.
    fn save(&mut self, db: usize) {
        let (random, db) = (&mut self.random, &mut self.dbs[db]);
        if !db.is_saving() {
            db.begin_saving(0, self.now, [0, 300, 2_000, 70_000][random.index(4)]);
        } else if random.one_in(8) {
            drop(db.abort_saving());
        } else {
            let over = db.step_saving(&mut random.index(3_000));
            db.take_saved(over, &mut self.pieces);
        }
        db.step_sweep(&mut random.index(1_000));
        if random.one_in(4) {
            self.pieces.clear();
        }
    }

    /// The model's entry, if it is visible.
    fn live(&self, db: usize, key: Key<'_>) -> Option<&Plain> {
        self.plain[db].get(key.bytes).filter(|plain| !plain.is_due(self.now))
    }

    /// Compares one key, and lets the database find it expired.
    fn get(&mut self, db: usize, key: Key<'_>) {
        let seed = self.seed;
        let peeked = self.dbs[db].peek(key, self.now).map(|entry| (seen(entry.value(), self.now), entry.expire_at()));
        let expire_at = self.dbs[db].expire_at(key, self.now);
        let got = self.dbs[db].get(key, self.now).map(|entry| {
            assert_eq!(entry.key(), key.bytes);
            assert_eq!(entry.access(), access_at(self.now));
            (seen(entry.value(), self.now), entry.expire_at())
        });
        let want = self.live(db, key).map(|plain| (plain.content.seen(self.now), plain.expire_at));
        assert_eq!(got, want, "seed {seed}");
        assert_eq!(peeked, want, "seed {seed}");
        assert_eq!(expire_at, want.map(|(_, at)| at), "seed {seed}");
        self.take_expired();
    }

    fn take_expired(&mut self) {
        for (db, plain) in self.dbs.iter_mut().zip(&mut self.plain) {
            db.take_expired(|entry| {
                let gone = plain.remove(entry.key()).expect("expired keys were there");
                assert_eq!(seen(entry.value(), self.now), gone.content.seen(self.now));
                assert!(gone.is_due(self.now), "seed {}", self.seed);
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
        self.wrote(db, key, self::text(text, expire_at));
    }

    fn set_int(&mut self, db: usize, key: Key<'_>) {
        let n = self.random.next_u64() as i64;
        let expire_at = self.live(db, key).and_then(|plain| plain.expire_at);
        self.dbs[db].set_int(key, n, self.now);
        self.wrote(db, key, text(n.to_string().into_bytes(), expire_at));
    }

    fn append(&mut self, db: usize, key: Key<'_>) {
        let more = self.text();
        let (mut text, expire_at) = match self.live(db, key) {
            None => Default::default(),
            Some(plain) => match plain.content.text() {
                Some(text) => (text.to_vec(), plain.expire_at),
                None => return,
            },
        };
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
        self.wrote(db, key, self::text(text, expire_at));
    }

    /// Changes one or a few fields.
    fn edit_hash(&mut self, db: usize, key: Key<'_>) {
        let (seed, now, limits) = (self.seed, self.now, self.limits);
        let (mut fields, expire_at) = match self.live(db, key).cloned() {
            None => Default::default(),
            Some(Plain { content: Content::Hash(fields), expire_at }) => (fields, expire_at),
            Some(_) => {
                let refused = self.dbs[db].edit(key, true, now, |_: &mut Hash| ());
                assert_eq!(refused, Err(WrongType), "seed {seed}");
                return self.get(db, key);
            }
        };
        let changes: Vec<_> = (0..1 + self.random.below(3))
            .map(|_| {
                let field = format!("f{}", self.random.below(10)).into_bytes();
                let at = self.random.one_in(2).then(|| self.moment());
                let len = if self.random.one_in(20) { 200 } else { self.random.index(12) };
                (self.random.below(4), field, self.random.bytes_of(b"0123456789", len), at)
            })
            .collect();
        self.dbs[db]
            .edit(key, true, now, |hash: &mut Hash| {
                for (action, field, value, at) in &changes {
                    let old = fields.get(field).map(|(_, at)| *at).filter(|at| at.is_none_or(|at| at > now));
                    match action {
                        0 => {
                            assert_eq!(hash.remove(field, now), old.is_some(), "seed {seed}");
                            fields.remove(field);
                        }
                        1 => {
                            assert_eq!(hash.set_expire(field, *at, now, &limits), old.is_some(), "seed {seed}");
                            if old.is_some() {
                                fields.get_mut(field).expect("it is there").1 = *at;
                            }
                        }
                        _ => {
                            let ttl = at.map_or(if *action == 2 { Ttl::Keep } else { Ttl::Clear }, Ttl::At);
                            let kept = old.flatten().filter(|_| *action == 2);
                            let new = hash.set_with(field, value, ttl, now, &limits);
                            assert_eq!(new, old.is_none(), "seed {seed}");
                            fields.insert(field.clone(), (value.clone(), at.or(kept)));
                        }
                    }
                }
                hash.clear_if_gone(now);
            })
            .expect("a hash, or nothing");
        let gone = fields.values().all(|(_, at)| at.is_some_and(|at| at <= now));
        if gone && self.live(db, key).is_none() {
            // Nothing was stored over an entry that may be due.
            return self.get(db, key);
        }
        self.wrote(db, key, (!gone).then_some(Plain { content: Content::Hash(fields), expire_at }));
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
        let (now, was) = (self.now, self.live(db, key).cloned());
        let value = if copies { self.dbs[db].copy(key, self.now) } else { self.dbs[db].take(key, self.now) };
        let moved = value.as_ref().map(|v| (seen(v.value(), now), v.expire_at));
        assert_eq!(moved, was.as_ref().map(|p| (p.content.seen(now), p.expire_at)), "seed {}", self.seed);
        if !copies {
            self.wrote(db, key, None);
        }
        self.take_expired();
        if let (Some(mut value), Some(Plain { content, mut expire_at })) = (value, was) {
            if self.random.one_in(3) {
                expire_at = self.random.one_in(2).then(|| self.moment());
                value.expire_at = expire_at;
            }
            let existed = self.live(to_db, to).is_some();
            assert_eq!(self.dbs[to_db].insert(to, value, self.now), Old { existed }, "seed {}", self.seed);
            self.wrote(to_db, to, Some(Plain { content, expire_at }));
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
                db.expire_due(self.now, &mut budget, &mut |due, entry| {
                    let was = plain.get_mut(entry.key()).expect("what expires was there");
                    assert_eq!(seen(entry.value(), self.now), was.content.seen(self.now), "seed {}", self.seed);
                    match due {
                        Due::Key => assert!(was.expire_at.is_some_and(|at| at <= self.now), "seed {}", self.seed),
                        Due::Fields | Due::LastFields => {
                            assert!(was.content.has_due(self.now), "seed {}: no field was due", self.seed);
                            forget_removed(entry, &mut was.content);
                        }
                    }
                    let gone = matches!(&was.content, Content::Hash(fields) if fields.is_empty());
                    assert_eq!(gone, due == Due::LastFields, "seed {}", self.seed);
                    if due != Due::Fields {
                        plain.remove(entry.key());
                    }
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
                let late = plain.values().filter(|p| p.content.has_due(self.now)).count();
                assert_eq!(late, 0, "seed {}: due fields are left", self.seed);
            }
        }
    }

    /// Compares everything, accounts included.
    fn check(&mut self) {
        let seed = self.seed;
        self.take_expired();
        for (db, plain) in self.dbs.iter_mut().zip(&self.plain) {
            let (mut bytes, mut in_heap, mut ttl_keys, mut timed, mut keys) = (0, 0, 0, 0, BTreeSet::new());
            db.table.for_each(|entry| {
                let want = plain.get(entry.key()).unwrap_or_else(|| panic!("seed {seed}: a key that should be gone"));
                assert_eq!(seen(entry.value(), self.now), want.content.seen(self.now), "seed {seed}");
                assert_eq!(entry.expire_at(), want.expire_at, "seed {seed}");
                if let Value::Object(Object::Hash(hash)) = entry.value()
                    && let Some(at) = hash.as_ref().next_due()
                {
                    assert!(entry.filed().is_some_and(|filed| filed.at <= at), "seed {seed}: fields nobody waits for");
                }
                timed += usize::from(entry.filed().is_some());
                bytes += entry.bytes();
                in_heap += usize::from(entry.alloc_bytes() <= BLOCK_MAX);
                ttl_keys += usize::from(entry.expire_at().is_some());
                assert!(keys.insert(entry.key().to_vec()), "seed {seed}: a key twice");
            });
            assert_eq!((keys.len(), db.len(), db.ttl_keys()), (plain.len(), plain.len(), ttl_keys), "seed {seed}");
            assert_eq!((db.counts.bytes, db.counts.timed), (bytes, timed), "seed {seed}");
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
            let live = plain.iter().filter(|(_, p)| !p.is_due(self.now));
            let want: BTreeSet<_> = live.map(|(key, _)| key.clone()).collect();
            assert_eq!(seen, want, "seed {seed}");
            if let Some(entry) = db.random(&mut self.random, self.now) {
                assert!(want.contains(entry.key()), "seed {seed}");
            }
            let mut garbage = Vec::new();
            db.take_garbage(&mut garbage);
        }
    }
}

/// What is visible of a stored value.
fn seen(value: Value<'_>, now: UnixMs) -> Seen {
    match value {
        Value::Int(n) => Seen::Text(n.to_string().into_bytes()),
        Value::Bytes(bytes) => Seen::Text(bytes.to_vec()),
        Value::Object(Object::Str(text)) => Seen::Text(text.to_vec()),
        Value::Packed(..) | Value::Object(_) => {
            let hash = Hash::view(value).expect("strings and hashes are stored here");
            let fields = hash.iter(now).map(|(field, value)| {
                let field = field.to_vec();
                let at = hash.expire_at(&field, now).expect("it is there");
                (field, (value.to_vec(), at))
            });
            Seen::Hash(fields.collect())
        }
    }
}

/// Fields were removed: takes them out of the plain ones, too.
fn forget_removed(entry: EntryRef<'_>, content: &mut Content) {
    if let (Content::Hash(fields), Some(hash)) = (content, Hash::view(entry.value())) {
        // At moment 0 no field is due.
        fields.retain(|field, _| hash.contains(field, 0));
        assert_eq!(fields.len(), hash.len());
    }
}
