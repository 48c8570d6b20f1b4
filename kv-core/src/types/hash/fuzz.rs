//! Random changes to a hash, compared with a plain map of fields to values and moments.

use super::*;
use std::collections::BTreeMap;

/// Plays a random sequence of calls in which time passes.
///
/// Panics: with the seed in the message, when the two disagree.
pub fn fuzz_hash(seed: u64) {
    let mut model = Model::new(seed);
    for step in 0..if cfg!(miri) { 60 } else { 600 } {
        model.step();
        if step % 20 == 0 {
            model.check();
            model.freeze_and_check();
        }
    }
    model.check();
}

struct Model {
    seed: u64,
    random: Random,
    now: UnixMs,
    limits: Limits,
    fields: Vec<Vec<u8>>,
    /// Some hashes never have a TTL.
    timed: bool,
    hash: Hash,
    plain: Plain,
    /// What was frozen, and what was visible at that moment.
    frozen: Option<(FrozenHash, UnixMs, Plain)>,
}

type Plain = BTreeMap<Vec<u8>, (Vec<u8>, Option<UnixMs>)>;

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random::new(seed);
        let limits = Limits {
            hash_packed_entries: [0, 1, 10, 512, usize::MAX][random.index(5)],
            hash_packed_value: [0, 5, 64, usize::MAX][random.index(4)],
            hash_seed: seed,
            ..Limits::default()
        };
        let count = [1, 5, 40, 300][random.index(4)];
        let fields = (0..count).map(|_| text(&mut random)).collect();
        let timed = random.one_in(2);
        Model {
            seed,
            random,
            now: 1_000,
            limits,
            fields,
            timed,
            hash: Hash::new(),
            plain: BTreeMap::new(),
            frozen: None,
        }
    }

    /// Forgets what is due: it is gone, removed or not.
    fn live(&mut self, field: &[u8]) -> Option<(Vec<u8>, Option<UnixMs>)> {
        let now = self.now;
        self.plain.retain(|_, (_, at)| at.is_none_or(|at| at > now));
        self.plain.get(field).cloned()
    }

    fn moment(&mut self) -> UnixMs {
        self.now + 1 + self.random.below(100)
    }

    fn step(&mut self) {
        let field = self.fields[self.random.index(self.fields.len())].clone();
        let (seed, old) = (self.seed, self.live(&field));
        match self.random.below(if self.timed { 12 } else { 8 }) {
            0..3 => {
                let value = text(&mut self.random);
                assert_eq!(self.hash.set(&field, &value, self.now, &self.limits), old.is_none(), "seed {seed}");
                self.plain.insert(field, (value, None));
            }
            3 => {
                let value = text(&mut self.random);
                let (ttl, at) = match self.random.below(3) {
                    0 if self.timed => {
                        let at = self.moment();
                        (Ttl::At(at), Some(at))
                    }
                    1 => (Ttl::Clear, None),
                    _ => (Ttl::Keep, old.as_ref().and_then(|(_, at)| *at)),
                };
                let new = self.hash.set_with(&field, &value, ttl, self.now, &self.limits);
                assert_eq!(new, old.is_none(), "seed {seed}");
                self.plain.insert(field, (value, at));
            }
            4 | 5 => {
                assert_eq!(self.hash.remove(&field, self.now), old.is_some(), "seed {seed}");
                self.plain.remove(&field);
                if self.random.one_in(20) {
                    self.hash = self.hash.clone();
                }
            }
            6 => {
                let count = self.random.index(2 * self.fields.len());
                self.choose(count);
            }
            7 => {
                self.hash.clear_if_gone(self.now);
                assert_eq!(self.hash.is_empty(), self.plain.is_empty(), "seed {seed}");
            }
            8 | 9 => {
                let at = (!self.random.one_in(3)).then(|| self.moment());
                let there = self.hash.set_expire(&field, at, self.now, &self.limits);
                assert_eq!(there, old.is_some(), "seed {seed}");
                if let Some((_, old_at)) = self.plain.get_mut(&field) {
                    *old_at = at;
                }
            }
            10 => self.now += self.random.below(60),
            _ => {
                let all = self.random.one_in(2);
                let mut budget = if all { usize::MAX } else { self.random.index(5) };
                let (fields, before) = (&self.fields, self.hash.len());
                let mut removed = 0;
                self.hash.remove_due(self.now, &mut budget, |field| {
                    assert!(fields.iter().any(|other| other == field), "seed {seed}");
                    removed += 1;
                });
                assert_eq!(self.hash.len() + removed, before, "seed {seed}");
                let due = self.hash.as_ref().next_due().is_some_and(|at| at <= self.now);
                assert!(!due || budget == 0, "seed {seed}: due fields are left");
            }
        }
        self.get();
    }

    fn get(&mut self) {
        let field = self.fields[self.random.index(self.fields.len())].clone();
        let want = self.live(&field);
        let (seed, view, now) = (self.seed, self.hash.as_ref(), self.now);
        let value = view.get(&field, now).map(Item::to_vec);
        assert_eq!(value, want.as_ref().map(|(value, _)| value.clone()), "seed {seed}");
        assert_eq!(view.contains(&field, now), want.is_some(), "seed {seed}");
        assert_eq!(view.expire_at(&field, now), want.map(|(_, at)| at), "seed {seed}");
    }

    fn choose(&mut self, count: usize) {
        self.live(b"");
        let (seed, now, plain) = (self.seed, self.now, &self.plain);
        let known = |field: Item<'_>, value: Item<'_>| {
            assert_eq!(plain.get(&field.to_vec()).map(|(value, _)| value), Some(&value.to_vec()), "seed {seed}");
            field.to_vec()
        };
        let mut chosen = Vec::new();
        self.hash.as_ref().sample(count, &mut self.random, now, |field, value| chosen.push(known(field, value)));
        assert_eq!(chosen.len(), count.min(plain.len()), "seed {seed}");
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), count.min(plain.len()), "seed {seed}: a field twice");
        let mut drawn = 0;
        self.hash.as_ref().draw(count, &mut self.random, now, |field, value| {
            known(field, value);
            drawn += 1;
            true
        });
        assert_eq!(drawn, if plain.is_empty() { 0 } else { count }, "seed {seed}");
        let one = self.hash.as_ref().random(&mut self.random, now);
        assert_eq!(one.map(|(field, value)| known(field, value)).is_some(), !plain.is_empty(), "seed {seed}");
    }

    /// Freezes the hash, after a look at whether what was frozen before has changed.
    fn freeze_and_check(&mut self) {
        self.live(b"");
        let fresh = (self.hash.freeze(), self.now, self.plain.clone());
        let Some((frozen, then, plain)) = self.frozen.replace(fresh) else { return };
        let (seed, mut found, mut due, len) = (self.seed, Plain::new(), 0, frozen.len());
        frozen.for_each(|field, value, at| {
            if at.is_some_and(|at| at <= then) {
                due += 1;
            } else {
                assert!(found.insert(field.to_vec(), (value.to_vec(), at)).is_none(), "seed {seed}: a field twice");
            }
        });
        assert_eq!((found.len() + due, &found), (len, &plain), "seed {seed}: what was frozen has changed");
    }

    /// Compares everything.
    fn check(&mut self) {
        self.live(b"");
        let (seed, view, now) = (self.seed, self.hash.as_ref(), self.now);
        let texts = |(field, value): (Item<'_>, Item<'_>)| (field.to_vec(), value.to_vec());
        let want: Vec<_> = self.plain.iter().map(|(field, (value, _))| (field.clone(), value.clone())).collect();
        let mut found: Vec<_> = view.iter(now).map(texts).collect();
        found.sort_unstable();
        assert_eq!(found, want, "seed {seed}");
        let (mut cursor, mut seen) = (0, BTreeMap::new());
        loop {
            cursor = view.scan(cursor, 1, now, |field, value| {
                seen.insert(field.to_vec(), value.to_vec());
            });
            if cursor == 0 {
                break;
            }
        }
        assert!(seen.iter().eq(want.iter().map(|(field, value)| (field, value))), "seed {seed}");
        assert_eq!((view.live(now), view.is_gone(now)), (want.len(), want.is_empty()), "seed {seed}");
        let timed = view.len() - want.len() + self.plain.values().filter(|(_, at)| at.is_some()).count();
        assert_eq!(view.ttl_fields(), timed, "seed {seed}");
        match &self.hash {
            Hash::Packed(packed) => {
                let longest = self.limits.hash_packed_value;
                assert!(packed.iter().all(|item| item.len() <= longest), "seed {seed}: a value too long");
                assert!(view.len() <= self.limits.hash_packed_entries, "seed {seed}: too many fields");
            }
            Hash::Table(table) => table.check(),
        }
        assert_eq!(self.hash.clone(), self.hash, "seed {seed}");
    }
}

fn text(random: &mut Random) -> Vec<u8> {
    match random.below(5) {
        0 => random.below(1000).to_string().into_bytes(),
        1 => {
            let len = random.index(4);
            random.bytes_of(&[0xFF, 0, 1, b'x'], len)
        }
        2 => {
            let len = [0, 5, 6, 64, 65, 200, 2_000][random.index(7)];
            random.bytes_of(b"ab", len)
        }
        _ => {
            let len = random.index(8);
            random.bytes_of(b"abcdefgh", len)
        }
    }
}
