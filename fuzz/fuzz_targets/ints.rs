//! Sorted integers beside a plain set.
#![no_main]

use kv_core::structs::ints::fuzz_ints;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_ints(seed));
