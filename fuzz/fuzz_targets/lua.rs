//! Decoders of the libraries of scripts on any bytes, and their encoders and back.
#![no_main]

use kv_server::lua::fuzz_libraries;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_libraries(seed));
