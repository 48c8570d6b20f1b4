//! The log of a shard, replayed, gives the shard again: random requests of all commands, over one shard and over four, while
//! the clock moves and what is due is removed now or later. What the shards log is taken in sections of random length and
//! replayed into empty shards; after each section both must show the same.
//!
//! Now and then the server starts again: from then on the replayed shards are the ones in use, and the clock may have been
//! set back. Or it begins with a new base: all keys as they are, in place of the log so far.
//!
//! The replay keeps collections in other forms, as a later version might: what was logged must not hang on the form.
//!
//! A case that shows a difference is made as short as possible. `KV_TESTS_CASES` for more, `KV_TESTS_SEED` for others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kv_core::command::{Flags, Found, Handler, Row, RowId, Settings, replay, table};
use kv_core::families::testing::World;
use kv_core::persist::record;
use kv_core::store::{KeyHasher, Shard, UnixMs};
use kv_core::structs::random::Random;
use kv_core::types::Limits;
use kv_core::types::limits::ListNodeLimit;
use kv_tests::requests::{Grammar, Step, setting, shortest};
use kv_tests::shown::{each, shown};

const CASES: u64 = 2_500;

#[derive(Clone, Debug)]
enum Act {
    Select(usize),
    Request(Vec<Vec<u8>>),
    /// Time passes.
    Pass(UnixMs),
    /// Time passes up to the moment at which something is due, or just not yet.
    PassToDue {
        before: bool,
    },
    /// Some of what is due is removed.
    Expire(usize),
    /// A section ends.
    Cut,
    /// A new base takes the place of all sections so far.
    Base,
    /// The server starts again, with the clock set back by so much.
    Restart(UnixMs),
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Act::Request(words) => write!(f, "{}", Step::Request(words.clone())),
            other => write!(f, "({other:?})"),
        }
    }
}

/// Besides the case: expiries that are near, so that much is due at just the moment of a request, or not yet.
const SOON: &[&str] = &[
    "SETEX a 1 7",
    "PSETEX b 3 text",
    "PEXPIRE {t}c 2",
    "GETEX a PX 5",
    "HSETEX hash PX 4 FIELDS 2 a 1 1 2",
    "HSETEX h\0h PX 2 FIELDS 1 b x",
    "HPEXPIRE {t}hash 3 FIELDS 2 1 a",
    "HPEXPIRE hash 900000 FIELDS 4 a b c 1",
    "HPERSIST hash FIELDS 2 a 1",
    "PEXPIRE hash 6",
    "PEXPIRE list 5",
    "PEXPIRE set 4",
    "PEXPIRE z 3",
    "PEXPIRE x 1000",
    "PEXPIRE h1 7",
];

/// A case, with what happens between the requests.
fn acts(grammar: &Grammar, seed: u64) -> Vec<Act> {
    let random = &mut Random::new(seed ^ 0x5eed);
    let mut acts = Vec::new();
    for step in grammar.case(seed) {
        match random.below(40) {
            0..8 => acts.push(Act::Pass(random.below(4))),
            8 => acts.push(Act::Pass(random.below(1_000_000))),
            9 if random.one_in(4) => acts.push(Act::Pass(random.below(40 * 86_400_000))),
            10 => acts.push(Act::PassToDue { before: random.one_in(3) }),
            11 | 12 => {
                let line = SOON[random.index(SOON.len())];
                acts.push(Act::Request(split(line)));
            }
            17 => approximate_trim(random).into_iter().for_each(|line| acts.push(Act::Request(split(&line)))),
            15 | 16 => acts.push(Act::Expire(random.index(4))),
            13 => acts.push(Act::Cut),
            14 if random.one_in(5) => acts.push(Act::Base),
            14 if random.one_in(5) => {
                let back = if random.one_in(2) { 0 } else { random.below(100_000_000) };
                acts.push(Act::Restart(back));
            }
            _ => {}
        }
        acts.push(match step {
            Step::Select(db) => Act::Select(db),
            Step::Request(words) => Act::Request(likely(words, random)),
            Step::Script(_) => unreachable!("of the store alone"),
            Step::Chance(mut words, key) => {
                words[1] = key;
                Act::Request(words)
            }
        });
    }
    acts.push(Act::Cut);
    acts
}

fn split(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// Entries for a stream of their own, and one of the trims that hang on where its nodes end.
fn approximate_trim(random: &mut Random) -> Vec<String> {
    let mut lines = vec!["XADD long * f v".to_string(); random.index(12)];
    let max = random.below(8);
    lines.push(match random.below(3) {
        0 => format!("XTRIM long MAXLEN ~ {max}"),
        1 => format!("XADD long MAXLEN ~ {max} LIMIT {max} * f v"),
        _ => format!("XTRIM long MINID ~ 1700000000002-{max}"),
    });
    lines
}

/// Ids of the present moment leave no room for the small ones of all other requests.
fn likely(mut words: Vec<Vec<u8>>, random: &mut Random) -> Vec<Vec<u8>> {
    if words[0].eq_ignore_ascii_case(b"xadd")
        && !random.one_in(20)
        && let Some(at) = words.iter().position(|word| word == b"*")
    {
        words[at] = format!("{}-*", 1 + random.below(400)).into_bytes();
    }
    words
}

/// The shards in use, and those that their logs give.
struct Pair {
    world: World,
    hasher: Arc<KeyHasher>,
    replica: Vec<Box<Shard>>,
    replica_settings: Settings,
    /// All sections since the base, shard by shard.
    sections: Vec<Vec<Vec<u8>>>,
}

impl Pair {
    fn new(shards: usize) -> Pair {
        let mut world = World::new(shards);
        let hasher = Arc::clone(&world.shard(0).hasher);
        // Small forms, so that requests meet all of them.
        world.settings.limits = Limits {
            hash_packed_entries: 4,
            hash_packed_value: 20,
            set_int_entries: 5,
            set_packed_entries: 8,
            set_packed_value: 20,
            zset_packed_entries: 6,
            zset_packed_value: 20,
            list_node: ListNodeLimit::Elements(5),
            stream_node_bytes: 200,
            stream_node_entries: 3,
            hash_seed: 77,
        };
        let replica_settings = Settings { limits: Limits::default(), string_max: 1, ..world.settings };
        let mut pair =
            Pair { world, replica: Vec::new(), replica_settings, sections: vec![Vec::new(); shards], hasher };
        pair.replica = pair.fresh();
        pair.each_live(|shard| shard.log.on = true);
        pair
    }

    fn each_live(&mut self, mut f: impl FnMut(&mut Shard)) {
        (0..self.world.shard_count()).for_each(|index| f(self.world.shard(index)));
    }

    fn fresh(&self) -> Vec<Box<Shard>> {
        let shard = |index| Box::new(Shard::new(index, 16, Arc::clone(&self.hasher), 1));
        (0..self.sections.len()).map(shard).collect()
    }

    fn act(&mut self, act: &Act, logged: &mut BTreeMap<RowId, u64>) -> Result<(), String> {
        match act {
            Act::Select(db) => self.world.db = *db,
            Act::Request(words) => self.request(words, logged),
            Act::Pass(ms) => self.world.now += ms,
            Act::PassToDue { before } => {
                let due = (0..self.world.shard_count()).filter_map(|index| self.world.shard(index).next_due()).min();
                if let Some(due) = due {
                    self.world.now = self.world.now.max(due - u64::from(*before && due > 0));
                }
            }
            Act::Expire(budget) => {
                let (now, mut budget) = (self.world.now, [0, 1, 3, usize::MAX][*budget]);
                self.each_live(|shard| {
                    shard.expire_due(now, &mut budget, |_, _, _| {});
                    shard.take_expired(|_, _| {});
                    shard.take_garbage();
                });
            }
            Act::Cut => return self.cut(),
            Act::Base => {
                self.cut()?;
                self.rebase();
                self.replica = self.replayed()?;
                return self.compare();
            }
            Act::Restart(back) => {
                self.cut()?;
                let next = self.replayed()?;
                for (index, mut shard) in std::mem::replace(&mut self.replica, next).into_iter().enumerate() {
                    shard.log.on = true;
                    *self.world.shard(index) = shard;
                }
                self.world.now -= back;
                return self.compare();
            }
        }
        Ok(())
    }

    fn request(&mut self, words: &[Vec<u8>], logged: &mut BTreeMap<RowId, u64>) {
        let second = words.get(1).map(Vec::as_slice);
        let row = words.first().map(|name| table().find(name, second));
        let Some(Found::Row(id)) = row else { return };
        if !matches!(table().row(id).spec.handler, Handler::Store(_)) {
            return;
        }
        let before: usize = self.log_bytes();
        self.world.run_words(words);
        if self.log_bytes() > before {
            *logged.entry(id).or_default() += 1;
        } else if words[0].eq_ignore_ascii_case(b"pfcount") && words.len() == 2 {
            // It keeps its estimate in the value, and does not log that. All else is to be the same byte by byte.
            let (now, db, key) = (self.world.now, self.world.db, self.hasher.key(&words[1]));
            self.world.shard(self.hasher.place_key(key, self.sections.len())).log_state(now, db, key);
        }
    }

    fn log_bytes(&mut self) -> usize {
        let mut bytes = 0;
        self.each_live(|shard| bytes += shard.log.len());
        bytes
    }

    /// Replays what was logged since the last time, and compares.
    fn cut(&mut self) -> Result<(), String> {
        for index in 0..self.replica.len() {
            let section = self.world.shard(index).log.take(1);
            self.replay(index, &section, None)?;
            self.sections[index].push(section);
        }
        self.compare()
    }

    fn replay(&mut self, index: usize, section: &[u8], into: Option<&mut Box<Shard>>) -> Result<(), String> {
        let shards = self.replica.len();
        let shard = into.unwrap_or(&mut self.replica[index]);
        replay(shard, shards, section, 0, &self.replica_settings).map_err(|damage| format!("shard {index}: {damage}"))
    }

    /// What the log gives from its beginning.
    fn replayed(&mut self) -> Result<Vec<Box<Shard>>, String> {
        let mut fresh = self.fresh();
        for (index, shard) in fresh.iter_mut().enumerate() {
            for section in self.sections[index].clone() {
                self.replay(index, &section, Some(shard))?;
            }
        }
        Ok(fresh)
    }

    /// Puts all keys as they are in place of the sections.
    fn rebase(&mut self) {
        let now = self.world.now;
        for index in 0..self.sections.len() {
            let mut section = Vec::new();
            record::put_time(&mut section, now);
            for (number, db) in self.world.shard(index).dbs.iter().enumerate() {
                // At moment 0 nothing is due: that must not matter.
                each(db, 0, |key, expire_at, state| record::put_state(&mut section, number, key, expire_at, state));
            }
            self.sections[index] = vec![section];
        }
    }

    fn compare(&mut self) -> Result<(), String> {
        let now = self.world.now;
        for index in 0..self.replica.len() {
            let (live, replayed) = (shown(self.world.shard(index), now), shown(&self.replica[index], now));
            if live == replayed {
                continue;
            }
            let names: BTreeSet<_> = live.keys().chain(replayed.keys()).collect();
            let different = names.into_iter().find(|name| live.get(*name) != replayed.get(*name));
            let (db, key) = different.expect("they differ");
            let name = format!("{db}:{}", key.escape_ascii());
            let (live, replayed) = (live.get(&(*db, key.clone())), replayed.get(&(*db, key.clone())));
            return Err(format!("{name} is\n  {live:?}, replayed\n  {replayed:?}"));
        }
        Ok(())
    }
}

/// Plays a case; tells where the replay shows something else.
fn difference(acts: &[Act], shards: usize, logged: &mut BTreeMap<RowId, u64>) -> Option<String> {
    let mut pair = Pair::new(shards);
    acts.iter().find_map(|act| pair.act(act, logged).err())
}

#[test]
fn a_replayed_log_gives_what_the_shards_had() {
    let grammar = Grammar::of_all_of_store();
    let first = setting("KV_TESTS_SEED", 1);
    let mut logged = BTreeMap::new();
    let cases = setting("KV_TESTS_CASES", CASES);
    for seed in first..first + cases {
        let shards = [1, 4][seed as usize % 2];
        let acts = acts(&grammar, seed);
        if difference(&acts, shards, &mut logged).is_none() {
            continue;
        }
        let short = shortest([acts, vec![Act::Cut]].concat(), |acts| {
            let cut = matches!(acts.last(), Some(Act::Cut));
            cut && difference(acts, shards, &mut BTreeMap::new()).is_some()
        });
        let what = difference(&short, shards, &mut BTreeMap::new()).unwrap_or_default();
        let lines: Vec<String> = short.iter().map(Act::to_string).collect();
        panic!("seed {seed}, {shards} shards: {what}\n{}", lines.join("\n"));
    }
    let is_write = |row: &&Row| matches!(row.spec.handler, Handler::Store(_)) && row.spec.flags.has(Flags::WRITE);
    let rows = (0..table().len() as RowId).map(|id| table().row(id)).filter(is_write);
    let times = |row: &Row| table().by_full_name(row.full_name.as_bytes()).and_then(|id| logged.get(&id)).copied();
    let seldom: Vec<_> = rows.filter(|row| times(row).unwrap_or(0) < 10).map(|row| &row.full_name).collect();
    println!("seeds {first} to {}: {} requests were logged", first + cases - 1, logged.values().sum::<u64>());
    assert!(cases < CASES || seldom.is_empty(), "these have logged hardly anything: {seldom:?}");
}
