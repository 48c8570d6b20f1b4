//! Damaged HyperLogLogs: an error, never a panic.
#![no_main]

use kv_core::types::hll::fuzz_hll;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_hll(seed));
