//! A snapshot file cut and changed.
#![no_main]

use kv_core::persist::fuzz_snapshot;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_snapshot(seed));
