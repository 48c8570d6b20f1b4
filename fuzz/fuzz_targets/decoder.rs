//! Any bytes, as a server reads them: whole, byte by byte and in pieces they mean what the model says.
#![no_main]

use kv_core::resp::decode::fuzz::check_decoder;

libfuzzer_sys::fuzz_target!(|input: (u64, &[u8])| check_decoder(input.1, input.0));
