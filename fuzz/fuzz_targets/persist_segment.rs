//! A segment of the log cut and changed.
#![no_main]

use kv_core::persist::fuzz_segment;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_segment(seed));
