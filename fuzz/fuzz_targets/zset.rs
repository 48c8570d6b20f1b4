//! Sorted sets of all forms beside plain maps.
#![no_main]

use kv_core::types::zset::fuzz_zset;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_zset(seed));
