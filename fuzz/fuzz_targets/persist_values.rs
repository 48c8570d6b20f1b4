//! Values of keys written and read, whole and broken.
#![no_main]

use kv_core::persist::fuzz_values;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_values(seed));
