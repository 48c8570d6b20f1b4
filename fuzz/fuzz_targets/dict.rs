//! A collection's table of byte strings beside a plain map.
#![no_main]

use kv_core::structs::dict::fuzz_dict;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_dict(seed));
