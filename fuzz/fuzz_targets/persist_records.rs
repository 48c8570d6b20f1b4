//! Records of the log written and read, whole and broken.
#![no_main]

use kv_core::persist::fuzz_records;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_records(seed));
