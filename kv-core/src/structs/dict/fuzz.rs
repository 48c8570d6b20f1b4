//! Random calls to a table and its slab, compared with a plain map.

use super::*;
use crate::structs::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// Plays a random sequence of calls against a map, and checks the table's invariants and accounts.
///
/// Panics: with the seed in the message, when they disagree.
pub fn fuzz_dict(seed: u64) {
    let mut model = Model::new(seed);
    for _ in 0..6 {
        model.phase();
        model.check();
    }
    while let Some(key) = model.plain.keys().next().cloned() {
        assert!(model.dict.remove_key(&key), "seed {seed}");
        model.plain.remove(&key);
    }
    model.check();
    assert_eq!(model.dict.bytes(), 0, "seed {seed}: an empty table holds memory");
    model.freeze_or_check();
}

struct Model {
    seed: u64,
    random: Random,
    dict: Dict,
    /// Each key's rest and handle.
    plain: BTreeMap<Vec<u8>, (Vec<u8>, Handle)>,
    /// How long keys and rests are: of a few bytes, around the limits of the lengths' own bytes and of small blocks.
    lengths: &'static [usize],
    /// How many different keys there are.
    keys: u64,
    /// What was frozen, and the records at that moment.
    frozen: Option<(FrozenDict, Records)>,
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

const SHORT: &[usize] = &[0, 1, 2, 5, 6, 7, 8];
const MIXED: &[usize] = &[0, 1, 3, 8, 17, 40, 126, 127, 128, 129, 250];
const LONG: &[usize] = &[0, 10, 100, 254, 255, 508, 509, 510, 511, 512, 513, 600, 16_383, 16_384, 70_000];

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random::new(seed);
        let lengths = [SHORT, SHORT, MIXED, MIXED, LONG][random.index(5)];
        let keys = if lengths == LONG { 60 } else { [20, 300, 3_000, 6_000][random.index(4)] };
        Model { seed, random, dict: Dict::new(seed), plain: BTreeMap::new(), lengths, keys, frozen: None }
    }

    /// A key of a fixed set: its number, and a length that follows from it.
    fn key(&mut self) -> Vec<u8> {
        let number = self.random.below(self.keys);
        let len = self.lengths[number as usize % self.lengths.len()];
        let mut key = number.to_string().into_bytes();
        key.resize(key.len() + len, b'k');
        key
    }

    fn rest(&mut self) -> Vec<u8> {
        let len = self.lengths[self.random.index(self.lengths.len())];
        let byte = self.random.next_u64() as u8;
        (0..len).map(|at| byte.wrapping_add(at as u8)).collect()
    }

    /// Mostly adds, mostly removes, or both alike.
    fn phase(&mut self) {
        let removes = [1, 5, 9][self.random.index(3)];
        for _ in 0..(self.keys * 2).min(8_000) {
            match self.random.below(16) {
                at if at < removes => self.remove(),
                10..=12 => self.replace(),
                13 => self.get(),
                14 if self.random.one_in(1 + self.keys / 20) => self.freeze_or_check(),
                _ => self.insert(),
            }
        }
        if self.random.one_in(4) {
            // A copy goes on with the same handles.
            self.dict = self.dict.clone();
        }
    }

    fn insert(&mut self) {
        let (seed, key, rest) = (self.seed, self.key(), self.rest());
        match self.plain.get(&key) {
            None if self.random.one_in(2) => {
                let handle = self.dict.insert(&key, &rest);
                self.plain.insert(key, (rest, handle));
            }
            known => {
                let want = known.map(|&(_, handle)| handle);
                let (handle, fresh) = self.dict.find_or_insert(&key, &rest);
                assert_eq!(fresh, want.is_none(), "seed {seed}");
                assert!(fresh || want == Some(handle), "seed {seed}");
                if fresh {
                    self.plain.insert(key, (rest, handle));
                }
            }
        }
    }

    fn remove(&mut self) {
        let key = self.key();
        let known = self.plain.remove(&key);
        match known {
            Some((_, handle)) if self.random.one_in(2) => self.dict.remove(handle),
            known => assert_eq!(self.dict.remove_key(&key), known.is_some(), "seed {}", self.seed),
        }
        assert_eq!(self.dict.find(&key), None, "seed {}", self.seed);
    }

    fn replace(&mut self) {
        let (key, rest) = (self.key(), self.rest());
        let Some((old, handle)) = self.plain.get_mut(&key) else { return };
        if rest.len() == old.len() && self.random.one_in(2) {
            self.dict.rest_mut(*handle).copy_from_slice(&rest);
        } else {
            *handle = self.dict.replace_rest(*handle, &rest);
        }
        *old = rest;
    }

    /// Freezes the table, or looks whether what is frozen is still what there was then; possibly with the first one still
    /// frozen while the next is.
    fn freeze_or_check(&mut self) {
        let old = self.frozen.take();
        if old.is_none() || self.random.one_in(2) {
            let plain = self.plain.iter().map(|(key, (rest, _))| (key.clone(), rest.clone())).collect();
            self.frozen = Some((self.dict.freeze(), plain));
        }
        if let Some((frozen, plain)) = old {
            assert_eq!(frozen.len(), plain.len(), "seed {}", self.seed);
            let mut found = BTreeMap::new();
            frozen.for_each(|key, rest| {
                assert!(found.insert(key.to_vec(), rest.to_vec()).is_none(), "seed {}: a key twice", self.seed);
            });
            assert!(found == plain, "seed {}: what was frozen has changed", self.seed);
        }
    }

    fn get(&mut self) {
        let (seed, key) = (self.seed, self.key());
        let found = self.dict.find(&key);
        assert_eq!(found, self.plain.get(&key).map(|&(_, handle)| handle), "seed {seed}");
        if let (Some(handle), Some((rest, _))) = (found, self.plain.get(&key)) {
            assert_eq!(self.dict.record(handle), (&key[..], &rest[..]), "seed {seed}");
            assert_eq!((self.dict.key(handle), self.dict.rest(handle)), (&key[..], &rest[..]), "seed {seed}");
        }
    }

    fn check(&mut self) {
        let seed = self.seed;
        self.dict.check();
        assert_eq!(self.dict.len(), self.plain.len(), "seed {seed}");
        for (key, (rest, handle)) in &self.plain {
            assert_eq!(self.dict.find(key), Some(*handle), "seed {seed}");
            assert_eq!(self.dict.record(*handle), (&key[..], &rest[..]), "seed {seed}");
        }
        let listed: BTreeSet<Handle> = self.dict.iter().collect();
        let want: BTreeSet<Handle> = self.plain.values().map(|&(_, handle)| handle).collect();
        assert_eq!((self.dict.iter().count(), &listed), (want.len(), &want), "seed {seed}");
        let chosen = self.dict.random(|| self.random.next_u64());
        assert_eq!(chosen.is_some(), !want.is_empty(), "seed {seed}");
        assert!(chosen.is_none_or(|handle| want.contains(&handle)), "seed {seed}");
        self.walk();
    }

    /// A walk with changes meanwhile sees all that is there from its beginning to its end.
    fn walk(&mut self) {
        let mut stay: BTreeSet<Vec<u8>> = self.plain.keys().cloned().collect();
        let mut seen = BTreeSet::new();
        let changes = self.random.below(3) * 20;
        let (mut cursor, mut steps) = (0, 0);
        loop {
            let dict = &self.dict;
            cursor = dict.scan(cursor, |handle| {
                seen.insert(dict.key(handle).to_vec());
            });
            if cursor == 0 {
                break;
            }
            steps += 1;
            assert!(steps < 100_000, "seed {}: a walk without end", self.seed);
            for _ in 0..if steps < 50 { changes } else { 0 } {
                if self.random.one_in(2) {
                    let key = self.key();
                    stay.remove(&key);
                    if self.plain.remove(&key).is_some() {
                        assert!(self.dict.remove_key(&key), "seed {}", self.seed);
                    }
                } else {
                    self.insert();
                }
            }
        }
        assert!(stay.is_subset(&seen), "seed {}: the walk missed a record", self.seed);
    }
}

impl Dict {
    /// The record of this rank in a bucket.
    fn nth(&self, bucket: usize, rank: usize) -> Option<(Place, Handle)> {
        let (mut slot, mut slots, mut chunk, mut next) = (rank, LINE_SLOTS, NONE, self.lines[bucket].next);
        while slot >= slots {
            if next == NONE {
                return None;
            }
            slot -= slots;
            (slots, chunk, next) = (CHUNK_SLOTS, next, self.chunks[next as usize].next);
        }
        let place = Place { bucket, chunk, slot };
        self.handle_at(place).map(|handle| (place, handle))
    }

    /// Checks what must always hold.
    ///
    /// Panics: when it does not.
    fn check(&self) {
        assert_eq!(self.slab.blocks(), self.len, "as many blocks as records");
        self.slab.check();
        if self.len == 0 {
            assert_eq!((self.lines.len(), self.chunks.len()), (0, 0));
            return;
        }
        assert_eq!(self.lines.len(), (1 << self.level) + self.split);
        assert!(self.split < 1 << self.level && self.len <= self.lines.len() * GROW_LOAD);
        let (mut records, mut chunks) = (0, 0);
        for bucket in 0..self.lines.len() {
            let (mut before, mut next) = (IS_BUCKET | bucket as u32, self.lines[bucket].next);
            while next != NONE {
                let chunk = &self.chunks[next as usize];
                assert_eq!(chunk.before, before);
                assert!(chunk.handles[0].is_some(), "no chunk is empty");
                chunks += 1;
                (before, next) = (next, chunk.next);
            }
            let mut rank = 0;
            while let Some((place, handle)) = self.nth(bucket, rank) {
                let hash = self.hash(self.key(handle));
                let (home, shift) = self.locate(hash);
                let tag = match place.chunk {
                    NONE => self.lines[bucket].tags[place.slot],
                    chunk => self.chunks[chunk as usize].tags[place.slot],
                };
                assert_eq!((home, tag_of(hash, shift)), (bucket, tag));
                rank += 1;
            }
            let mut listed = 0;
            self.each_of(bucket, &mut |_| listed += 1);
            assert_eq!(listed, rank, "packed to the front");
            records += rank;
        }
        assert_eq!((records, chunks), (self.len, self.chunks.len()));
    }
}
