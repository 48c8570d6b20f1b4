//! Two databases of a shard beside plain maps: table, entries, expiry.
#![no_main]

use kv_core::store::fuzz_db;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_db(seed));
