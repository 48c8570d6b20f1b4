//! Any two texts as numbers.
#![no_main]

use kv_core::resp::number::fuzz_numbers;

libfuzzer_sys::fuzz_target!(|texts: (&[u8], &[u8])| fuzz_numbers(texts.0, texts.1));
