//! Requests built from a seed and then damaged: deeper into the protocol than arbitrary bytes come.
#![no_main]

use kv_core::resp::decode::fuzz::fuzz_decoder;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_decoder(seed));
