//! A packed sequence beside a plain vector of texts.
#![no_main]

use kv_core::structs::packed::fuzz_packed;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_packed(seed));
