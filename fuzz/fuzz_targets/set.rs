//! Sets of every form beside plain ones.
#![no_main]

use kv_core::types::set::fuzz_set;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_set(seed));
