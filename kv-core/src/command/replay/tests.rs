//! What a log may not say, and what it says of commands whose effect is another than their words.

use super::*;
use crate::families::testing::World;
use crate::persist::record;
use crate::persist::value::State;
use crate::store::KeyHasher;
use crate::types::library::{Function, FunctionFlags};
use crate::types::{Library, Limits};
use std::sync::Arc;

const NOW: UnixMs = 1_700_000_000_000;

fn settings() -> Settings {
    Settings { string_max: 1 << 20, hll_sparse_max: 3000, limits: Limits::default() }
}

fn shard() -> Box<Shard> {
    Box::new(Shard::new(0, 16, Arc::new(KeyHasher::new([7; 16])), 1))
}

fn refused(section: &[u8], shards: usize) -> String {
    replay(&mut shard(), shards, section, 1000, &settings()).expect_err("damage").to_string()
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut section = Vec::new();
    record::put_time(&mut section, NOW);
    record::put_command(&mut section, 0, words.iter().map(|word| word.as_bytes()));
    section
}

#[test]
fn what_nobody_has_logged_is_damage_and_no_panic() {
    for (words, what) in [
        (&["NOSUCH", "k"][..], "the command \"NOSUCH\", which there is not"),
        (&["XGROUP", "NOSUCH", "k"], "the command \"XGROUP\", which there is not"),
        (&["XGROUP"], "the command \"XGROUP\", which there is not"),
        (&["PING"], "the command ping, which writes nothing"),
        (&["GET", "k"], "the command get, which is not logged by its words"),
        (&["SET", "k", "v"], "the command set, which is not logged by its words"),
        (&["SPOP", "k"], "the command spop, which is not logged by its words"),
        (&["KEYS", "*"], "the command keys, which is not logged by its words"),
        (&["LPUSH", "k"], "the command lpush with 2 words"),
        (&["INCRBY", "k", "x"], "the command incrby, which fails: ERR value is not an integer or out of range"),
        (
            &["XREADGROUP", "GROUP", "g", "c", "STREAMS", "k", "k2", ">", ">"],
            "the command xreadgroup with several keys",
        ),
        (&["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS"], "the command xreadgroup without a key"),
    ] {
        let offset = 1000 + { record_len(NOW) };
        assert_eq!(refused(&command(words), 1), format!("at byte {offset}: {what}"));
    }
}

/// Bytes of a record of time.
fn record_len(now: UnixMs) -> usize {
    let mut bytes = Vec::new();
    record::put_time(&mut bytes, now);
    bytes.len()
}

#[test]
fn records_of_other_shards_and_databases_are_damage() {
    let hasher = KeyHasher::new([7; 16]);
    let name = (0..).map(|i| format!("k{i}")).find(|name| hasher.place(name.as_bytes(), 2) == 1).expect("one of many");
    let key = name.as_bytes();
    type Write<'w> = &'w dyn Fn(&mut Vec<u8>, usize, &[u8]);
    let writes: [Write<'_>; 4] = [
        &|out, db, key| record::put_state(out, db, key, None, State::Str(b"v")),
        &|out, db, key| record::put_remove(out, db, key),
        &|out, db, key| record::put_expire(out, db, key, None),
        &|out, db, key| record::put_command(out, db, [&b"INCR"[..], key].into_iter()),
    ];
    for write in writes {
        let mut section = Vec::new();
        record::put_time(&mut section, NOW);
        write(&mut section, 0, key);
        assert!(refused(&section, 2).ends_with(&format!("the key \"{name}\" of shard 1, in shard 0")));
        section.clear();
        record::put_time(&mut section, NOW);
        write(&mut section, 16, b"k");
        assert!(refused(&section, 1).ends_with("database 16, where there are 16"));
        section.clear();
        write(&mut section, 0, b"k");
        assert_eq!(refused(&section, 1), "at byte 1000: something that happened at no moment");
    }
    let writes: [fn(&mut Vec<u8>); 3] = [
        |out| record::put_flush(out, Some(16)),
        |out| record::put_swap(out, 0, 16),
        |out| record::put_swap(out, 16, 0),
    ];
    for write in writes {
        let mut section = Vec::new();
        record::put_time(&mut section, NOW);
        write(&mut section);
        assert!(refused(&section, 1).ends_with("database 16, where there are 16"));
    }
    let mut section = Vec::new();
    record::put_time(&mut section, NOW);
    record::put_expire(&mut section, 0, b"k", Some(NOW + 1));
    assert!(refused(&section, 1).ends_with("an expiry of a key that is not there"));
}

#[test]
fn libraries_are_the_first_shards_and_each_function_is_one_librarys() {
    let library = |name: &str, function: &str| {
        let (name, flags) = (name.as_bytes(), FunctionFlags::default());
        let function = Function { name: function.as_bytes().into(), description: None, flags };
        Library::new(name, b"code", vec![function]).expect("a library")
    };
    let mut section = Vec::new();
    record::put_time(&mut section, NOW);
    record::put_library(&mut section, &library("a", "f"));
    let mut other = Box::new(Shard::new(1, 16, Arc::new(KeyHasher::new([7; 16])), 1));
    let error = replay(&mut other, 2, &section, 0, &settings()).expect_err("damage").to_string();
    assert!(error.ends_with("a library of functions in shard 1"), "{error}");

    record::put_library(&mut section, &library("a", "g"));
    record::put_library(&mut section, &library("b", "f"));
    record::put_no_library(&mut section, b"a");
    record::put_library(&mut section, &library("c", "g"));
    let mut shard = shard();
    replay(&mut shard, 1, &section, 0, &settings()).expect("whole records");
    let names: Vec<_> = shard.libraries.iter().map(|library| library.name().to_vec()).collect();
    assert_eq!(names, [b"b", b"c"]);

    let with = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut section = section.clone();
        write(&mut section);
        refused(&section, 1)
    };
    assert!(with(&|out| record::put_library(out, &library("d", "F"))).ends_with("Function F already exists"));
    assert!(with(&|out| record::put_no_library(out, b"a")).ends_with("of a library of functions that is not there"));
}

#[test]
fn a_replay_leaves_no_trace_in_counters_and_in_the_log() {
    let mut shard = shard();
    shard.log.on = true;
    shard.dirty = 7;
    shard.stats.hits = 3;
    let mut section = command(&["RPUSH", "l", "a"]);
    record::put_state(&mut section, 0, b"k", Some(NOW + 1), State::Str(b"v"));
    record::put_time(&mut section, NOW + 1);
    record::put_command(&mut section, 0, [&b"HSET"[..], b"h", b"f", b"v"].into_iter());
    replay(&mut shard, 1, &section, 0, &settings()).expect("what may be in a log");
    assert!(shard.log.on && shard.log.is_empty());
    assert_eq!((shard.dirty, shard.stats.hits, shard.stats.misses, shard.stats.expired), (7, 3, 0, 0));
    assert_eq!(shard.dbs[0].len(), 2, "what was due is gone");
}

#[test]
fn limits_of_the_present_do_not_hold_for_what_was_done() {
    let mut shard = shard();
    let word = "x".repeat(600 << 10);
    replay(&mut shard, 1, &command(&["APPEND", "k", &word]), 0, &settings()).expect("a log");
    replay(&mut shard, 1, &command(&["APPEND", "k", &word]), 0, &settings()).expect("a log");
    let hasher = Arc::clone(&shard.hasher);
    assert!(shard.dbs[0].peek(hasher.key(b"k"), NOW).is_some_and(|entry| entry.bytes() > 1200 << 10));
}

#[test]
fn broken_sections_are_damage_and_nothing_worse() {
    for seed in 0..300 {
        let played = std::panic::catch_unwind(|| fuzz_replay(seed));
        assert!(played.is_ok(), "seed {seed}");
    }
}

/// The commands in a section, and other records by their kind.
fn told(section: &[u8]) -> Vec<String> {
    let limits = Limits::default();
    let mut told = Vec::new();
    for record in Records::new(section, 0, &limits) {
        told.push(match record.expect("what was written") {
            Record::Time(_) => continue,
            Record::Put { key, expire_at, .. } => format!("put {} {expire_at:?}", shown(key)),
            Record::Remove { key, .. } => format!("remove {}", shown(key)),
            Record::Expire { key, expire_at, .. } => format!("expire {} {expire_at:?}", shown(key)),
            Record::Command { words, .. } => words.map(shown).collect::<Vec<_>>().join(" "),
            Record::Flush { db } => format!("flush {db:?}"),
            Record::Swap { a, b } => format!("swap {a} {b}"),
            Record::Library(library) => format!("{library:?}"),
            Record::NoLibrary { name } => format!("no library {}", shown(name)),
        });
    }
    told
}

/// A world of one shard that logs, after some requests which were not logged.
fn world(lines: &[&str]) -> World {
    let mut world = World::new(1);
    for line in lines {
        let reply = world.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    world.shard(0).log.on = true;
    world
}

/// What a request leaves in the log.
fn effects(world: &mut World, line: &str) -> Vec<String> {
    world.run(line);
    told(&world.shard(0).log.take(1))
}

/// What was logged so far.
fn told_all(world: &mut World) -> Vec<String> {
    told(&world.shard(0).log.take(1))
}

/// Throws away what was logged so far.
fn forget(world: &mut World) {
    world.shard(0).log.take(1);
}

const NOTHING: [&str; 0] = [];

#[test]
fn strings_are_told_by_their_state_with_moments() {
    let mut world = world(&[]);
    let now = world.now;
    assert_eq!(effects(&mut world, "SET k v"), ["put k None"]);
    assert_eq!(effects(&mut world, "SET k v EX 10"), [format!("put k Some({})", now + 10_000)]);
    assert_eq!(effects(&mut world, "SET k w KEEPTTL"), [format!("put k Some({})", now + 10_000)]);
    assert_eq!(effects(&mut world, "SET k w NX"), NOTHING);
    assert_eq!(effects(&mut world, "SETNX k v"), NOTHING);
    assert_eq!(effects(&mut world, "PSETEX k 7 v"), [format!("put k Some({})", now + 7)]);
    assert_eq!(effects(&mut world, "GETSET k v"), ["put k None"]);
    assert_eq!(effects(&mut world, "MSET k 1 l 2"), ["put k None", "put l None"]);
    assert_eq!(effects(&mut world, "MSETNX k 1 m 2"), NOTHING);
    assert_eq!(effects(&mut world, "INCR k"), ["INCR k"]);
    assert_eq!(effects(&mut world, "INCR k 1"), NOTHING);
    assert_eq!(effects(&mut world, "INCRBYFLOAT k 1.5"), ["put k None"]);
    assert_eq!(effects(&mut world, "append k x"), ["append k x"]);
    assert_eq!(effects(&mut world, "INCR k"), NOTHING);
    assert_eq!(effects(&mut world, "GETDEL k"), ["remove k"]);
    assert_eq!(effects(&mut world, "DEL k l m"), ["remove l"]);
}

#[test]
fn expiries_are_told_without_the_value() {
    let mut world = world(&["SADD s a b c"]);
    let now = world.now;
    assert_eq!(effects(&mut world, "EXPIRE s 10"), [format!("expire s Some({})", now + 10_000)]);
    assert_eq!(effects(&mut world, "PERSIST s"), ["expire s None"]);
    assert_eq!(effects(&mut world, "PERSIST s"), NOTHING);
    assert_eq!(effects(&mut world, "PEXPIREAT s 5"), ["remove s"]);
    world.run("SET k v");
    forget(&mut world);
    assert_eq!(effects(&mut world, "GETEX k PX 10"), [format!("expire k Some({})", now + 10)]);
    assert_eq!(effects(&mut world, "GETEX k"), NOTHING);
    assert_eq!(effects(&mut world, "GETEX k PXAT 1"), ["remove k"]);
}

#[test]
fn what_chance_or_several_keys_decide_is_told_key_by_key() {
    let mut world = world(&[
        "SADD one a",
        "SADD s a b c",
        "SADD t a",
        "RPUSH l a b",
        "ZADD z 1 a 2 b",
        "XADD x 1 f v",
        "XADD y 1 f v",
        "XADD y 2 f v",
        "XGROUP CREATE x g 0",
        "XGROUP CREATE y g 0",
    ]);
    let popped = world.run("SPOP s").trim_matches('"').to_string();
    assert_eq!(told(&world.shard(0).log.take(1)), [format!("SREM s {popped}")]);
    assert_eq!(effects(&mut world, "SPOP one"), ["remove one"]);
    assert_eq!(effects(&mut world, "SPOP s 2"), ["remove s"]);
    assert_eq!(effects(&mut world, "SPOP s 2"), NOTHING);
    world.run("SADD s a b");
    forget(&mut world);
    assert_eq!(effects(&mut world, "SMOVE s t a"), ["SREM s a"]);
    assert_eq!(effects(&mut world, "SMOVE s t b"), ["SREM s b", "SADD t b"]);
    assert_eq!(effects(&mut world, "SMOVE t t b"), NOTHING);
    assert_eq!(effects(&mut world, "LMOVE l l LEFT RIGHT"), ["RPUSH l a", "LPOP l"]);
    assert_eq!(effects(&mut world, "RPOPLPUSH l m"), ["LPUSH m a", "RPOP l"]);
    assert_eq!(effects(&mut world, "LMPOP 3 none l m RIGHT COUNT 5"), ["RPOP l 5"]);
    assert_eq!(effects(&mut world, "LMPOP 2 none l LEFT"), NOTHING);
    assert_eq!(effects(&mut world, "ZMPOP 2 none z MAX"), ["ZPOPMAX z 1"]);
    assert_eq!(
        effects(&mut world, "XREADGROUP GROUP g c COUNT 1 NOACK STREAMS x y > >"),
        ["XREADGROUP GROUP g c COUNT 1 NOACK STREAMS x >", "XREADGROUP GROUP g c COUNT 1 NOACK STREAMS y >"]
    );
    assert_eq!(effects(&mut world, "XREADGROUP GROUP g c STREAMS x y > >"), ["XREADGROUP GROUP g c STREAMS y >"]);
    assert_eq!(effects(&mut world, "XREADGROUP GROUP g c STREAMS y 0"), ["XREADGROUP GROUP g c STREAMS y 0"]);
    assert_eq!(effects(&mut world, "RENAME l k"), NOTHING);
    assert_eq!(effects(&mut world, "RENAME m k"), ["remove m", "put k None"]);
    assert_eq!(effects(&mut world, "MOVE k 1"), ["MOVE k 1"]);
    assert_eq!(effects(&mut world, "SINTERSTORE d t t"), ["put d None"]);
}

#[test]
fn approximate_trims_are_told_by_what_is_left() {
    let mut world = world(&[]);
    for i in 1..=250 {
        world.run(&format!("XADD x {i}-0 f v"));
    }
    forget(&mut world);
    assert_eq!(effects(&mut world, "XADD x MAXLEN = 249 251-0 f v"), ["XADD x MAXLEN = 249 251-0 f v"]);
    assert_eq!(effects(&mut world, "XADD x MAXLEN ~ 248 252-* f v"), ["XADD x 252-0 f v"]);
    assert_eq!(
        effects(&mut world, "XADD x NOMKSTREAM MINID ~ 150 253-* f v"),
        ["XADD x 253-0 f v", "XTRIM x MAXLEN = 153"]
    );
    assert_eq!(effects(&mut world, "XTRIM x MAXLEN ~ 10"), ["XTRIM x MAXLEN = 53"]);
    assert_eq!(effects(&mut world, "XTRIM x MAXLEN ~ 10"), NOTHING);
}

#[test]
fn databases_are_flushed_and_swapped_where_there_is_something() {
    let mut world = world(&[]);
    assert_eq!(effects(&mut world, "FLUSHALL"), NOTHING);
    world.run("SET k v");
    forget(&mut world);
    assert_eq!(effects(&mut world, "FLUSHDB"), ["flush Some(0)"]);
    world.run("SET k v");
    forget(&mut world);
    assert_eq!(effects(&mut world, "SWAPDB 0 3"), ["swap 0 3"]);
    assert_eq!(effects(&mut world, "SWAPDB 3 3"), NOTHING);
    assert_eq!(effects(&mut world, "FLUSHALL"), ["flush None"]);
}

#[test]
fn a_hyperloglog_that_fails_half_way_is_told_by_its_state() {
    let mut world = world(&["PFADD h a b c", "PFADD g x"]);
    assert_eq!(effects(&mut world, "PFADD h d"), ["PFADD h d"]);
    assert_eq!(effects(&mut world, "PFADD h d"), NOTHING);
    assert_eq!(effects(&mut world, "PFCOUNT h"), NOTHING);
    assert_eq!(effects(&mut world, "PFMERGE h g"), ["put h None"]);
    // A sparse one whose last register is missing: what is added is refused when it comes there.
    let text: String = (0..40).map(|i| format!("e{i} ")).collect();
    world.run(&format!("PFADD broken {text}"));
    let length: usize = world.run("STRLEN broken").trim_start_matches(':').parse().expect("a number");
    let kept = world.run(&format!("GETRANGE broken 0 {}", length - 2));
    world.run(&format!("SET broken {kept}"));
    forget(&mut world);
    let replies: Vec<_> =
        (0..60).map(|i| (world.run(&format!("PFADD broken x{i} y{i} z{i}")), told_all(&mut world))).collect();
    assert!(replies.iter().any(|(reply, told)| reply.starts_with("-INVALIDOBJ") && told == &["put broken None"]));
    assert!(replies.iter().all(|(reply, told)| reply == ":1" || told.is_empty() || told == &["put broken None"]));
}

#[test]
fn an_estimate_that_is_kept_changes_nothing_else() {
    let mut world = world(&[]);
    let mut section = Vec::new();
    for line in ["PFADD h a b c", "PFCOUNT h", "PFADD h c", "PFADD h d e", "PFCOUNT h", "PFADD h f"] {
        world.run(line);
        section.append(&mut world.shard(0).log.take(1));
    }
    let count = world.run("PFCOUNT h");
    *world.shard(0) = shard();
    replay(world.shard(0), 1, &section, 0, &settings()).expect("a log");
    assert_eq!(world.run("PFCOUNT h"), count);
}

#[test]
fn a_small_write_to_a_big_collection_logs_few_bytes() {
    let mut world = world(&[]);
    world.shard(0).log.on = false;
    for i in 0..20 {
        let some = |what: &str| (0..500).map(|j| format!("{what}{}", i * 500 + j)).collect::<Vec<_>>().join(" ");
        world.run(&format!("SADD s {}", some("member")));
        world.run(&format!("RPUSH l {}", some("element")));
        world.run(&format!("ZADD z {}", some("1 member")));
        world.run(&format!("HSET h {} v", some("field").replace(' ', " v ")));
        world.run(&format!("XADD x * {}", some("f v")));
    }
    world.run("SETRANGE string 100000 x");
    world.run("XGROUP CREATE x g 0");
    world.shard(0).log.on = true;
    let mut quiet = Vec::new();
    for line in [
        "SPOP s",
        "SPOP s 3",
        "SMOVE s s2 member5",
        "SREM s member7",
        "SADD s new",
        "LMOVE l l LEFT RIGHT",
        "RPOPLPUSH l l2",
        "LMPOP 2 none l LEFT COUNT 4",
        "LSET l 5000 x",
        "LINSERT l BEFORE x y",
        "LREM l 1 x",
        "LPOP l 2",
        "LTRIM l 1 -2",
        "ZMPOP 1 z MIN",
        "ZADD z 5 member9",
        "ZINCRBY z 2 member9",
        "ZPOPMAX z",
        "ZREMRANGEBYRANK z 0 2",
        "ZREM z member11",
        "HSET h f v",
        "HINCRBY h n 1",
        "HDEL h field3",
        "HEXPIRE h 100 FIELDS 1 field4",
        "HGETDEL h FIELDS 1 field5",
        "XADD x * a b",
        "XDEL x 1-1",
        "XREADGROUP GROUP g c COUNT 1 STREAMS x >",
        "XTRIM x MAXLEN 15",
        "XCLAIM x g c2 0 1-1 FORCE",
        "XAUTOCLAIM x g c3 0 0",
        "EXPIRE s 100",
        "PERSIST s",
        "MOVE h 1",
        "APPEND string x",
        "SETBIT string 7 1",
        "SETRANGE string 5 abc",
        "BITFIELD string SET u8 0 5",
        "EXPIRE string 100",
        "GETEX string PERSIST",
        "UNLINK l z s",
    ] {
        let reply = world.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
        let bytes = world.shard(0).log.take(1).len();
        assert!(bytes < 200, "{line}: {bytes} bytes");
        if bytes == 0 {
            quiet.push(line);
        }
    }
    assert_eq!(quiet, ["XDEL x 1-1"], "these wrote nothing");
}
