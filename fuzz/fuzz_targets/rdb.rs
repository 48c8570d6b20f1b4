//! A dump of Redis, damaged in some places; `kv-cli/tests/fixtures` is the corpus to begin with.
#![no_main]

use kv_cli::rdb::fuzz_rdb;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_rdb(input, input.len() as u64));
