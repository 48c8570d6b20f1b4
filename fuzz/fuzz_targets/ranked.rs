//! A tree of scores with ranks beside a sorted list.
#![no_main]

use kv_core::structs::ranked::fuzz_ranked;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_ranked(seed));
