//! A list in all its forms beside a plain deque of texts.
#![no_main]

use kv_core::types::list::fuzz_list;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_list(seed));
