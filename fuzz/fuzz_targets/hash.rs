//! A hash with expiring fields beside a plain map.
#![no_main]

use kv_core::types::hash::fuzz_hash;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_hash(seed));
