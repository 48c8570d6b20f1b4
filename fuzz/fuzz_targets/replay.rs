//! Sections of the log replayed on a shard, whole and broken.
#![no_main]

use kv_core::command::fuzz_replay;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_replay(seed));
