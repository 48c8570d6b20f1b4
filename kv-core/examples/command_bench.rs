//! What a command costs from its row's name to its reply, without sockets: nanoseconds on 1 M keys, chosen at random.
//!
//! `cargo run --release -p kv-core --example command_bench`. As in a server, the memory of 64 requests is fetched ahead
//! of the first; MGET and MSET fetch their own.

#![allow(clippy::disallowed_methods)] // a clock is what it is for

use kv_core::command::{Args, Ctx, Found, Handler, Known, Settings, Stores, table};
use kv_core::resp::{Arg, Proto, Reply};
use kv_core::store::{KeyHasher, Shard};
use kv_core::structs::random::Random;
use std::sync::Arc;
use std::time::Instant;

const KEYS: u64 = 1_000_000;
const PIPELINE: usize = 64;
const REQUESTS: usize = 4_000_000;

/// Requests in one buffer, as they come off a socket.
#[derive(Default)]
struct Requests {
    bytes: Vec<u8>,
    words: Vec<Arg>,
    ends: Vec<usize>,
}

impl Requests {
    fn push(&mut self, words: &[&[u8]]) {
        for word in words {
            self.words.push(Arg { start: self.bytes.len() as u32, len: word.len() as u32 });
            self.bytes.extend_from_slice(word);
        }
        self.ends.push(self.words.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.words.clear();
        self.ends.clear();
    }
}

struct Bench {
    shard: Box<Shard>,
    hasher: Arc<KeyHasher>,
    settings: Settings,
    out: Vec<u8>,
    hashes: Vec<u64>,
}

impl Bench {
    fn run(&mut self, requests: &Requests) {
        let start_of = |i: usize| if i == 0 { 0 } else { requests.ends[i - 1] };
        self.hashes.clear();
        for i in 0..requests.ends.len() {
            let key = requests.words[start_of(i) + 1].get(&requests.bytes);
            self.hashes.push(self.hasher.hash(key));
        }
        self.hashes.iter().for_each(|&hash| self.shard.dbs[0].prefetch_bucket(hash));
        self.hashes.iter().for_each(|&hash| self.shard.dbs[0].prefetch_entry(hash));
        self.out.clear();
        for (i, &hash) in self.hashes.iter().enumerate() {
            let words = &requests.words[start_of(i)..requests.ends[i]];
            let Found::Row(id) = table().find(words[0].get(&requests.bytes), None) else { panic!("a command") };
            let row = table().row(id);
            let Handler::Store(handler) = row.spec.handler else { panic!("a command of the store") };
            let hashes = [hash];
            let known = Known::new(1, 1, &hashes);
            let mut args = Args::new(&requests.bytes, words, row.name_words, &self.hasher, known);
            let mut ctx = Ctx::new(Stores::One(&mut self.shard), 1, 1_700_000_000_000, 0, &self.settings);
            let mut reply = Reply::new(&mut self.out, Proto::Resp2);
            handler(&mut ctx, &mut args, &mut reply).expect("a reply");
        }
    }
}

fn main() {
    let hasher = Arc::new(KeyHasher::new([1; 16]));
    let mut bench = Bench {
        shard: Box::new(Shard::new(0, 16, Arc::clone(&hasher), 1)),
        hasher,
        settings: Settings { string_max: 512 << 20, hll_sparse_max: 3000, limits: kv_core::types::Limits::default() },
        out: Vec::new(),
        hashes: Vec::new(),
    };
    let value = [b'v'; 64];
    let random = &mut Random::new(7);
    let mut requests = Requests::default();
    for i in 0..KEYS {
        requests.push(&[b"SET", format!("key:{i:012}").as_bytes(), &value]);
        requests.push(&[b"SET", format!("num:{i:012}").as_bytes(), b"1"]);
        bench.run(&requests);
        requests.clear();
    }
    for (name, prefix, keys, rest) in [
        ("GET", "key", 1, &[][..]),
        ("SET", "key", 1, &[&value[..]][..]),
        ("INCR", "num", 1, &[]),
        ("TTL", "key", 1, &[]),
        ("MGET", "key", 8, &[]),
        ("MSET", "key", 8, &[&value[..]]),
        ("EXISTS", "key", 8, &[]),
    ] {
        let rounds = REQUESTS / PIPELINE / keys;
        let mut nanos = Vec::new();
        for _ in 0..rounds {
            requests.clear();
            for _ in 0..PIPELINE {
                let names: Vec<String> = (0..keys).map(|_| format!("{prefix}:{:012}", random.below(KEYS))).collect();
                let mut words: Vec<&[u8]> = vec![name.as_bytes()];
                for name in &names {
                    words.push(name.as_bytes());
                    words.extend_from_slice(rest);
                }
                requests.push(&words);
            }
            let start = Instant::now();
            bench.run(&requests);
            nanos.push(start.elapsed().as_nanos() as f64 / (PIPELINE * keys) as f64);
        }
        nanos.sort_by(f64::total_cmp);
        println!("{name:6} of {keys}: {:6.1} ns a key (median of {rounds} pipelines)", nanos[nanos.len() / 2]);
    }
}
