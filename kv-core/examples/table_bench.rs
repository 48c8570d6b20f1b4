//! Measures the keyspace alone, without sockets and commands:
//!
//!     cargo run --release -p kv-core --example table_bench [keys in millions]
//!
//! - nanoseconds a lookup, one by one, and in groups of 16 whose buckets and entries are prefetched (what a turn does);
//! - bytes of table a key while it grows, and resident bytes a key in all;
//! - the slowest insert while it grows, and the slowest removal while it shrinks.

use kv_core::store::{Db, Expire, Key, KeyHasher, StrValue};
use kv_core::structs::random::Random;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: u64 = 1_700_000_000_000;
const GROUP: usize = 16;

#[allow(clippy::disallowed_methods)] // a measurement needs the clock
fn clock() -> Instant {
    Instant::now()
}

fn name(i: u64) -> [u8; 16] {
    let mut name = *b"key:000000000000";
    let mut rest = i;
    for digit in name[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

fn status(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn resident() -> usize {
    status("VmRSS") * 1024
}

/// The slowest of many steps, those apart during which the system ran somebody else.
struct Slowest {
    last: Instant,
    switches: usize,
    own: Duration,
    interrupted: Duration,
    over_100us: usize,
}

impl Slowest {
    fn new() -> Slowest {
        let switches = status("nonvoluntary_ctxt_switches");
        Slowest { last: clock(), switches, own: Duration::ZERO, interrupted: Duration::ZERO, over_100us: 0 }
    }

    /// Ends a step and begins the next.
    fn step(&mut self) {
        let took = clock() - self.last;
        // Reading the counter is slow, so only steps that might matter are judged.
        if took > Duration::from_micros(20) {
            let switches = status("nonvoluntary_ctxt_switches");
            if switches != self.switches {
                self.interrupted = self.interrupted.max(took);
            } else {
                self.own = self.own.max(took);
                self.over_100us += usize::from(took > Duration::from_micros(100));
            }
            self.switches = switches;
        }
        self.last = clock();
    }
}

fn main() {
    let millions: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    let most = millions * 1_000_000;
    let hasher = Arc::new(KeyHasher::new([9; 16]));
    let mut db = Db::new(Arc::clone(&hasher));
    let at_start = resident();
    println!("growing to {millions} M keys of 16 bytes with values of 32");
    let mut table = (f64::MAX, 0f64);
    let began = clock();
    let mut slowest = Slowest::new();
    for i in 0..most {
        db.set_string(hasher.key(&name(i)), StrValue::Bytes(&[b'v'; 32]), Expire::Clear, NOW);
        slowest.step();
        let keys = i + 1;
        if keys >= 100_000 && keys % 10_000 == 0 {
            let per_key = (db.bytes() as f64 - 64.0 * keys as f64) / keys as f64;
            table = (table.0.min(per_key), table.1.max(per_key));
        }
        if keys == 1_000_000 || keys == 10_000_000 || keys == most {
            let rss = (resident() - at_start) as f64 / keys as f64;
            println!(
                "{:>4} M: {:>5.1} s, table {:.2} bytes/key (since 0.1 M: {:.2} to {:.2}), resident {rss:.1} bytes/key, \
                 slowest insert {:?}, {} over 100 us (interrupted by the system: {:?})",
                keys / 1_000_000,
                began.elapsed().as_secs_f64(),
                (db.bytes() as f64 - 64.0 * keys as f64) / keys as f64,
                table.0,
                table.1,
                slowest.own,
                slowest.over_100us,
                slowest.interrupted,
            );
            lookups(&mut db, &hasher, keys);
            slowest = Slowest { last: clock(), ..slowest };
        }
    }
    let began = clock();
    let mut slowest = Slowest::new();
    for i in 0..most {
        db.remove(hasher.key(&name(i)), NOW);
        slowest.step();
    }
    println!(
        "removing all: {:.0} ns each, slowest {:?} (interrupted: {:?})",
        began.elapsed().as_nanos() as f64 / most as f64,
        slowest.own,
        slowest.interrupted
    );
    println!("left: {} bytes", db.bytes());
}

/// Random lookups, one by one and in groups.
fn lookups(db: &mut Db, hasher: &KeyHasher, keys: u64) {
    const COUNT: usize = 4_000_000;
    let mut random = Random::new(1);
    let names: Vec<[u8; 16]> = (0..COUNT).map(|_| name(random.below(keys))).collect();

    let began = clock();
    let found = names.iter().filter(|name| db.get(hasher.key(*name), NOW).is_some()).count();
    let alone = began.elapsed();
    assert_eq!(found, COUNT);

    let began = clock();
    let mut found = 0;
    for group in names.chunks(GROUP) {
        let mut batch = [Key { bytes: &[], hash: 0 }; GROUP];
        for (key, name) in batch.iter_mut().zip(group) {
            *key = hasher.key(name);
            db.prefetch_bucket(key.hash);
        }
        batch.iter().take(group.len()).for_each(|key| db.prefetch_entry(key.hash));
        found += batch.iter().take(group.len()).filter(|key| db.get(**key, NOW).is_some()).count();
    }
    let together = began.elapsed();
    assert_eq!(found, COUNT);

    let absent: Vec<[u8; 16]> = (0..COUNT as u64).map(|i| name(1_000_000_000 + i)).collect();
    let began = clock();
    assert_eq!(absent.iter().filter(|name| db.get(hasher.key(*name), NOW).is_some()).count(), 0);
    let missing = began.elapsed();

    let each = |took: Duration| took.as_nanos() as f64 / COUNT as f64;
    println!(
        "       lookup {:.0} ns one by one, {:.0} ns in groups of {GROUP}, {:.0} ns of absent keys",
        each(alone),
        each(together),
        each(missing)
    );
}
