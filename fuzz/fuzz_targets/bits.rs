//! Counting, searching and combining bits by words, beside one bit after the other.
#![no_main]

use kv_core::types::bits::fuzz_bits;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_bits(seed));
