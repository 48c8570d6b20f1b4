//! A chain of nodes beside a plain deque of texts.
#![no_main]

use kv_core::structs::chain::fuzz_chain;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_chain(seed));
