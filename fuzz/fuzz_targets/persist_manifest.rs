//! A manifest cut and changed.
#![no_main]

use kv_core::persist::fuzz_manifest;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_manifest(seed));
