//! Sections as a shard may have logged them, whole and broken, replayed one after the other.

use super::{Settings, run};
use crate::persist::record;
use crate::persist::value::{Loaded, State};
use crate::persist::{random_library, random_value};
use crate::resp::line;
use crate::store::{KeyHasher, Shard, UnixMs};
use crate::structs::random::Random;
use crate::types::Limits;
use std::sync::Arc;

/// Commands, with a key for `KEY`; most of them succeed on some of the values that the key may have.
const LINES: &[&str] = &[
    "APPEND KEY abc",
    "INCR KEY",
    "INCRBY KEY 9223372036854775807",
    "SETRANGE KEY 5 xyz",
    "SETBIT KEY 100 1",
    "BITFIELD KEY OVERFLOW FAIL INCRBY u8 #3 200 SET i64 7 -1 GET u5 2",
    "PFADD KEY a b c d e f",
    "MOVE KEY 3",
    "HSET KEY a 1 b 2 c 3",
    "HSETNX KEY a x",
    "HINCRBY KEY a 5",
    "HINCRBYFLOAT KEY a 0.5",
    "HDEL KEY a b",
    "HEXPIRE KEY 10 FIELDS 2 a b",
    "HPEXPIREAT KEY 1700000000100 NX FIELDS 1 c",
    "HPERSIST KEY FIELDS 2 a c",
    "HGETEX KEY PX 5 FIELDS 1 a",
    "HGETDEL KEY FIELDS 1 c",
    "HSETEX KEY FNX EX 100 FIELDS 2 x 1 y 2",
    "RPUSH KEY a b c 1 2 3",
    "LPUSHX KEY y",
    "LINSERT KEY BEFORE b x",
    "LSET KEY -1 z",
    "LREM KEY 0 a",
    "LTRIM KEY 1 -2",
    "LPOP KEY 2",
    "RPOP KEY",
    "SADD KEY a b 1 2 3",
    "SREM KEY a 2",
    "ZADD KEY GT CH 1 a 2 b 3.5 c",
    "ZADD KEY INCR inf a",
    "ZINCRBY KEY -inf a",
    "ZREM KEY b",
    "ZPOPMIN KEY 2",
    "ZREMRANGEBYSCORE KEY (1 +inf",
    "ZREMRANGEBYLEX KEY [a (c",
    "GEOADD KEY 13.36 38.11 p 15.08 37.5 q",
    "XADD KEY * f v g w",
    "XADD KEY MAXLEN = 3 5-* f v",
    "XADD KEY NOMKSTREAM MINID ~ 4 LIMIT 100 9-1 f v",
    "XTRIM KEY MAXLEN 1",
    "XDEL KEY 5-0 5-1",
    "XSETID KEY 100-1 ENTRIESADDED 50 MAXDELETEDID 3-0",
    "XGROUP CREATE KEY g 0 MKSTREAM ENTRIESREAD 3",
    "XGROUP SETID KEY g $",
    "XGROUP CREATECONSUMER KEY g c",
    "XGROUP DELCONSUMER KEY g c",
    "XGROUP DESTROY KEY g",
    "XREADGROUP GROUP g c COUNT 2 STREAMS KEY >",
    "XREADGROUP GROUP g d NOACK STREAMS KEY 0",
    "XACK KEY g 5-0",
    "XCLAIM KEY g d 0 5-0 5-1 IDLE 100 RETRYCOUNT 9223372036854775807 FORCE",
    "XAUTOCLAIM KEY g d 0 - COUNT 5",
    "XREADGROUP GROUP g c STREAMS KEY KEY > >",
    "SPOP KEY",
    "SET KEY v",
    "KEYS *",
    "XGROUP",
    "LPUSH KEY",
];

/// Longest string that a command may make: a number that was changed must not take all memory.
const STRING_MAX: usize = 1 << 20;

/// Replays random sections, some of them broken, on a shard.
///
/// Panics: when one of them is more than damage.
pub fn fuzz_replay(seed: u64) {
    let random = &mut Random::new(seed);
    let shards = 1 + random.index(2);
    let mut shard = Box::new(Shard::new(0, 4, Arc::new(KeyHasher::new([7; 16])), 1));
    let settings = Settings { string_max: STRING_MAX, hll_sparse_max: 100, limits: Limits::default() };
    for _ in 0..20 {
        let mut section = section(random, &settings.limits);
        if random.one_in(2) {
            (0..1 + random.below(4)).for_each(|_| change(random, &mut section));
        }
        let _ = run(&mut shard, shards, &section, 0, &settings);
    }
    shard.expire_due(UnixMs::MAX, &mut { usize::MAX }, |_, _, _| {});
}

fn section(random: &mut Random, limits: &Limits) -> Vec<u8> {
    let mut out = Vec::new();
    let mut now = 1_700_000_000_000;
    record::put_time(&mut out, now);
    for _ in 0..random.below(30) {
        let key = [&b"a"[..], b"b", b"c", b"\0"][random.index(4)];
        let dbs = if random.one_in(20) { 6 } else { 3 };
        let db = random.index(dbs);
        let at = random.one_in(3).then(|| now - 5 + random.below(100));
        match random.below(20) {
            0 => {
                now = now + random.below(200) - random.below(50);
                record::put_time(&mut out, now);
            }
            1 | 2 => put(&mut out, db, key, at, &random_value(random, limits)),
            3 => record::put_remove(&mut out, db, key),
            4 => record::put_expire(&mut out, db, key, at),
            5 if random.one_in(3) => record::put_flush(&mut out, random.one_in(3).then_some(db)),
            6 if random.one_in(3) => record::put_swap(&mut out, db, random.index(4)),
            7 => record::put_library(&mut out, &random_library(random)),
            8 => record::put_no_library(&mut out, format!("l{}", random.below(5)).as_bytes()),
            _ => {
                let words = line::split(LINES[random.index(LINES.len())].as_bytes()).expect("no quotes");
                let word = |word: &Vec<u8>| if word == b"KEY" { key.to_vec() } else { word.clone() };
                let words: Vec<Vec<u8>> = words.iter().map(word).collect();
                record::put_command(&mut out, db, words.iter().map(Vec::as_slice));
            }
        }
    }
    out
}

fn put(out: &mut Vec<u8>, db: usize, key: &[u8], expire_at: Option<UnixMs>, value: &Loaded<'_>) {
    let state = match value {
        Loaded::Int(int) => State::Int(*int),
        Loaded::Str(text) => State::Str(text),
        Loaded::Hash(hash) => State::Hash(hash.as_ref()),
        Loaded::List(list) => State::List(list.as_ref()),
        Loaded::Set(set) => State::Set(set.as_ref()),
        Loaded::ZSet(zset) => State::ZSet(zset.as_ref()),
        Loaded::Stream(stream) => State::Stream(stream),
    };
    record::put_state(out, db, key, expire_at, state);
}

/// Another byte, one more, or a stretch less.
fn change(random: &mut Random, section: &mut Vec<u8>) {
    if section.is_empty() {
        return;
    }
    let at = random.index(section.len());
    match random.below(4) {
        0 => section[at] = random.next_u64() as u8,
        1 => section[at] ^= 1 << random.below(8),
        2 => section.insert(at, random.next_u64() as u8),
        _ => drop(section.drain(at..(at + random.index(10)).min(section.len()))),
    }
}
