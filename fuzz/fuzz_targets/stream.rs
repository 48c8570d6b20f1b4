//! A stream beside plain maps: entries, trimming, groups.
#![no_main]

use kv_core::types::stream::fuzz_stream;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_stream(seed));
