//! Payloads of FUNCTION RESTORE, of any bytes behind a right checksum.
#![no_main]

use kv_core::persist::rdb::fuzz_functions;

libfuzzer_sys::fuzz_target!(|seed: u64| fuzz_functions(seed));
