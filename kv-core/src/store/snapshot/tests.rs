use super::*;
use crate::families::testing::World;
use crate::persist::Reader;
use crate::persist::snapshot::{Codec, Header, Reader as FileReader};
use crate::persist::value::{self, Loaded};
use crate::store::Due;
use crate::structs::random::Random;
use crate::types::Limits;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Keys by database and name, with their expiry.
type Keys = BTreeMap<(usize, Vec<u8>), (Option<UnixMs>, Loaded<'static>)>;

fn owned(value: Loaded<'_>) -> Loaded<'static> {
    match value {
        Loaded::Str(text) => Loaded::Str(Cow::Owned(text.into_owned())),
        Loaded::Int(int) => Loaded::Int(int),
        Loaded::Hash(hash) => Loaded::Hash(hash),
        Loaded::List(list) => Loaded::List(list),
        Loaded::Set(set) => Loaded::Set(set),
        Loaded::ZSet(zset) => Loaded::ZSet(zset),
        Loaded::Stream(stream) => Loaded::Stream(stream),
    }
}

/// All that is visible now.
fn state(shard: &Shard, now: UnixMs, limits: &Limits) -> Keys {
    let mut state = Keys::new();
    for (number, db) in shard.dbs.iter().enumerate() {
        let mut cursor = 0;
        loop {
            cursor = db.scan(cursor, now, |entry| {
                let mut bytes = Vec::new();
                value::write(&mut bytes, entry.value().state());
                let value = value::read(&mut Reader::new(&bytes, 0), limits).expect("what was written");
                state.insert((number, entry.key().to_vec()), (entry.expire_at(), owned(value)));
            });
            if cursor == 0 {
                break;
            }
        }
    }
    state
}

/// What the pieces are in a file. Written on another thread, as in a server.
fn decoded(seed: u64, pieces: Vec<Piece>, limits: &Limits) -> Keys {
    let header = Header { number: 1, epoch: 2, shard: 0, shards: 1, time: 3 };
    let file = std::thread::spawn(move || {
        let mut file = Vec::new();
        let mut sink = |bytes: Vec<u8>| file.extend(bytes);
        let mut writer = Writer::new(&header, Codec::Lz4, &mut sink);
        pieces.into_iter().for_each(|piece| piece.write(&mut writer, &mut sink));
        writer.finish(&mut sink);
        file
    });
    let file = file.join().expect("the thread ends well");
    let mut reader = FileReader::new(&file[..]).expect("a header");
    let mut state = Keys::new();
    while let Some(put) = reader.next_key(limits).unwrap_or_else(|error| panic!("seed {seed}: {error}")) {
        let old = state.insert((put.db, put.key.to_vec()), (put.expire_at, owned(put.value)));
        assert!(old.is_none(), "seed {seed}: {:?} comes twice", String::from_utf8_lossy(put.key));
    }
    state
}

fn assert_same(seed: u64, found: &Keys, wanted: &Keys) {
    let name = |(db, key): &(usize, Vec<u8>)| format!("database {db}, {}", String::from_utf8_lossy(key));
    for (key, value) in wanted {
        let found = found.get(key).unwrap_or_else(|| panic!("seed {seed}: {} is missing", name(key)));
        assert_eq!(found, value, "seed {seed}: {}", name(key));
    }
    for key in found.keys() {
        assert!(wanted.contains_key(key), "seed {seed}: {} was not there", name(key));
    }
}

/// A random command on one of a few keys and databases. `big`: how many elements some commands add.
fn command(random: &mut Random, big: usize) -> Vec<Vec<u8>> {
    let key = |random: &mut Random| format!("k{}", random.below(40));
    let (a, b) = (key(random), key(random));
    let n = random.below(30);
    let text = "x".repeat(random.index(4) * random.index(40) * random.index(30));
    let many = |random: &mut Random, f: &mut dyn FnMut(&mut Random) -> Vec<String>| -> Vec<String> {
        let most = if random.one_in(4) { big } else { 3 };
        (0..1 + random.index(most)).flat_map(|_| f(random)).collect()
    };
    let ttl = ["5", "40", "300", "100000"][random.index(4)];
    let db = random.below(4).to_string();
    let line = match random.below(44) {
        0 | 1 => vec!["SET".into(), a, format!("{n}")],
        2 | 3 => vec!["SET".into(), a, text],
        4 => vec!["SET".into(), a, text, "PX".into(), ttl.into()],
        5 => vec!["APPEND".into(), a, text],
        6 => vec!["SETRANGE".into(), a, format!("{}", n * 50), "yy".into()],
        7 => vec!["INCR".into(), a],
        8 => vec!["SETBIT".into(), a, format!("{}", n * 300), "1".into()],
        9 => vec![["DEL", "UNLINK", "GETDEL"][random.index(3)].into(), a],
        10 => vec!["RENAME".into(), a, b],
        11 => vec!["COPY".into(), a, b, "DB".into(), db, "REPLACE".into()],
        12 => vec!["MOVE".into(), a, db],
        13 | 14 => vec!["PEXPIRE".into(), a, ttl.into()],
        15 => vec!["PERSIST".into(), a],
        16 if random.one_in(12) => vec!["FLUSHDB".into()],
        16 if random.one_in(12) => vec!["FLUSHALL".into()],
        16 => vec!["SWAPDB".into(), random.below(4).to_string(), db],
        17 | 18 => {
            let mut line = vec!["HSET".into(), a];
            line.extend(many(random, &mut |r| vec![format!("f{}", r.below(300)), "v".repeat(r.index(60))]));
            line
        }
        19 => vec!["HDEL".into(), a, format!("f{n}")],
        20 | 21 => vec!["HPEXPIRE".into(), a, ttl.into(), "FIELDS".into(), "1".into(), format!("f{n}")],
        22 => vec!["HINCRBY".into(), a, format!("n{n}"), "3".into()],
        23 | 24 => {
            let mut line = vec!["SADD".into(), a];
            line.extend(many(random, &mut |r| vec![format!("{}{}", ["m", ""][r.index(2)], r.below(400))]));
            line
        }
        25 => vec!["SREM".into(), a, format!("m{n}")],
        26 => vec!["SPOP".into(), a, format!("{}", 1 + n / 3)],
        27 => vec!["SUNIONSTORE".into(), a, b, key(random)],
        28 | 29 => {
            let mut line = vec!["ZADD".into(), a];
            line.extend(many(random, &mut |r| {
                vec![format!("{}", r.below(90) as f64 / 4.0), format!("z{}", r.below(400))]
            }));
            line
        }
        30 => vec!["ZREM".into(), a, format!("z{n}")],
        31 => vec!["ZPOPMIN".into(), a, format!("{}", 1 + n / 3)],
        32 => vec!["ZUNIONSTORE".into(), a, "2".into(), b, key(random)],
        33 | 34 => {
            let mut line = vec![["LPUSH", "RPUSH"][random.index(2)].into(), a];
            line.extend(many(random, &mut |r| vec!["e".repeat(r.index(70))]));
            line
        }
        35 => vec!["LPOP".into(), a, format!("{}", 1 + n / 3)],
        36 => vec!["LSET".into(), a, format!("{n}"), text],
        37 => vec!["LMOVE".into(), a, b, "LEFT".into(), "RIGHT".into()],
        38 | 39 => vec!["XADD".into(), a, "*".into(), "f".into(), text, format!("g{n}"), "v".into()],
        40 => vec!["XTRIM".into(), a, "MAXLEN".into(), format!("{n}")],
        41 => vec!["XGROUP".into(), "CREATE".into(), a, "g".into(), "0".into(), "MKSTREAM".into()],
        42 => "XREADGROUP GROUP g c COUNT 3 STREAMS".split(' ').map(String::from).chain([a, ">".into()]).collect(),
        _ => vec!["PFADD".into(), a, format!("{n}")],
    };
    line.into_iter().map(String::into_bytes).collect()
}

struct Model {
    seed: u64,
    random: Random,
    world: World,
    big: usize,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random::new(seed);
        let mut world = World::new(1);
        world.settings.limits = Limits {
            hash_packed_entries: [0, 5, 512][random.index(3)],
            set_packed_entries: [0, 5, 128][random.index(3)],
            set_int_entries: [0, 512][random.index(2)],
            zset_packed_entries: [0, 5, 128][random.index(3)],
            stream_node_entries: [3, 100][random.index(2)],
            hash_seed: seed,
            ..Limits::default()
        };
        world.shard(0).snapshot.freeze_above = [0, 100, 500, FREEZE_ABOVE][random.index(4)];
        let big = [20, 400][random.index(2)];
        Model { seed, random, world, big }
    }

    /// Some commands, in which time passes and what is due is removed, by whoever comes first.
    fn work(&mut self, commands: usize) {
        for _ in 0..commands {
            if self.random.one_in(10) {
                self.world.db = self.random.index(4);
            }
            if self.random.one_in(5) {
                self.world.now += self.random.below(30);
            }
            if self.random.one_in(8) {
                let (now, mut budget) = (self.world.now, self.random.index(6));
                let due = |_, _: Due, _: crate::store::EntryRef<'_>| {};
                self.world.shard(0).expire_due(now, &mut budget, due);
                self.world.shard(0).take_expired(|_, _| {});
            }
            let words = command(&mut self.random, self.big);
            self.world.run_words(&words);
        }
    }

    fn state(&mut self) -> Keys {
        let (now, limits) = (self.world.now, self.world.settings.limits);
        state(self.world.shard(0), now, &limits)
    }

    /// A snapshot with commands meanwhile; possibly aborted. None of it may be noticed by the commands.
    fn snapshot(&mut self) {
        let (seed, wanted, now) = (self.seed, self.state(), self.world.now);
        self.world.shard(0).begin_snapshot(now);
        let mut pieces = Vec::new();
        // In some snapshots the walk does nearly all, in others the commands do.
        let (budget, commands) = ([1, 300, 3_000, 100_000][self.random.index(4)], self.random.index(30));
        let abort = self.random.one_in(3);
        loop {
            let steps = self.random.index(40) / (1 + budget / 300);
            self.work(commands);
            let shard = self.world.shard(0);
            if abort && self.random.one_in(4) {
                shard.abort_snapshot();
                assert!(!shard.is_saving() && shard.take_pieces().is_empty(), "seed {seed}");
                // Sometimes the next begins before all is swept, or before any of it is.
                for _ in 0..self.random.index(3) {
                    let over = self.world.shard(0).step_snapshot(2_000);
                    assert_eq!(over, !self.world.shard(0).wants_step(), "seed {seed}");
                    self.work(3);
                }
                return;
            }
            let over = (0..=steps).any(|_| shard.step_snapshot(budget));
            assert_eq!(shard.is_saving(), !over, "seed {seed}");
            if over || self.random.one_in(2) {
                pieces.append(&mut shard.take_pieces());
            }
            if over {
                break;
            }
        }
        self.work(self.big);
        assert!(self.world.shard(0).take_pieces().is_empty(), "seed {seed}: all was handed over");
        // Any order will do.
        (1..pieces.len()).for_each(|at| pieces.swap(at, self.random.index(at + 1)));
        let limits = self.world.settings.limits;
        assert_same(seed, &decoded(seed, pieces, &limits), &wanted);
    }
}

#[test]
fn a_snapshot_has_what_was_there_when_it_began_whatever_happens_meanwhile() {
    for seed in 0..if cfg!(miri) { 1 } else { 150 } {
        let mut model = Model::new(seed);
        for _ in 0..if cfg!(miri) { 2 } else { 8 } {
            model.work(150);
            model.snapshot();
        }
    }
}
