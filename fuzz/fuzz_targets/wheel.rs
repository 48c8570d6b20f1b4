//! The timing wheel beside a sorted map.
#![no_main]

use kv_core::structs::wheel::fuzz_wheel;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_wheel(seed));
