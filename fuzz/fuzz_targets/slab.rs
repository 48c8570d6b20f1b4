//! Blocks of a collection beside copies of them.
#![no_main]

use kv_core::structs::slab::fuzz_slab;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_slab(seed));
