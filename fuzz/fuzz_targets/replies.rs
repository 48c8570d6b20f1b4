//! Any bytes, as a client reads them, whole and in pieces.
#![no_main]

use kv_core::resp::client::fuzz_replies;

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| fuzz_replies(input.1, usize::from(input.0)));
