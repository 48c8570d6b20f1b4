//! Glob patterns beside a matcher that tries everything.
#![no_main]

use kv_core::types::pattern::fuzz_pattern;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_pattern(seed));
