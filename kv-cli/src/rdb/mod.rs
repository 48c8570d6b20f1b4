//! Reads a dump.rdb of Redis, as a stream, into the items that an import writes.
//!
//! ```text
//! "REDIS" version(4 digits)
//! aux fields, functions, aux data of modules
//! select db, sizes, [expiry] [idle | freq] type key value, ...      once a database
//! 0xff, CRC-64 of all before (8 bytes; 0: none)
//! ```
//!
//! | file | |
//! |---|---|
//! | `input` | bytes, lengths and strings, with offset and checksum (`kv_core::persist::rdb`) |
//! | `listpack`, `ziplist`, `small` | the packed forms that lie in strings |
//! | `value` | keys' values, type by type, part by part |
//! | `stream` | streams with their groups |
//! | `reader` | the file as a whole |
//!
//! Versions 1 to 12 (Redis up to 8.2). Safe against any bytes: what is wrong is told with its offset, nothing panics, and
//! nothing is allocated for a length that the file only announces: memory grows with the bytes that were read. A large
//! collection comes in parts; what lies in one string (a listpack, a node of a list) is read as a whole.
//!
//! Knows no server and no file. The format is described by nothing but Redis's own files; facts stand where they are read.

mod input;
mod listpack;
mod reader;
mod small;
mod stream;
mod value;
mod ziplist;

#[cfg(test)]
mod tests;

use std::fmt;

pub use reader::{LeftOut, Reader, verify};

use crate::transfer::item::Bytes;

/// What a file begins with.
pub const MAGIC: &[u8; 5] = b"REDIS";

/// What is wrong with a dump, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    pub offset: u64,
    /// The key whose value is read there.
    pub key: Option<Bytes>,
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "offset {}, key {key}: {}", self.offset, self.what),
            None => write!(f, "offset {}: {}", self.offset, self.what),
        }
    }
}

/// What is wrong within a packed form: the place is an offset within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed {
    at: usize,
    what: &'static str,
}

impl Malformed {
    /// The same in a file where the string with the packed form begins at `offset`. Where the string itself is compressed,
    /// no nearer place can be told.
    fn in_file(self, offset: u64) -> Damage {
        let Malformed { at, what } = self;
        Damage { offset, key: None, what: format!("byte {at} of a packed value: {what}") }
    }
}

/// A little-endian number of a few bytes with its sign.
fn signed(bytes: &[u8]) -> i64 {
    let mut wide = [if bytes.last().is_some_and(|&last| last >= 0x80) { 0xff } else { 0 }; 8];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    i64::from_le_bytes(wide)
}

/// Reads `sample`, a dump, after changing it in some places that `seed` tells.
///
/// Panics: when that does harm.
pub fn fuzz_rdb(sample: &[u8], seed: u64) {
    let mut bytes = sample.to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: usize| {
        // xorshift64: any period will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap_or(0) % below.max(1)
    };
    for _ in 0..=next(4) {
        let at = next(bytes.len());
        match next(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, next(256) as u8),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            3 => {
                let from = next(bytes.len());
                let piece: Vec<u8> = bytes[from..].iter().take(next(40)).copied().collect();
                bytes.splice(at..at, piece);
            }
            kind => {
                let edges = [0, 1, 0x7f, 0x80, 0x81, 0xc0, 0xc3, 0xe0, 0xf0, 0xf4, 0xfc, 0xfe, 0xff];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = if kind == 4 { edges[next(edges.len())] } else { *byte ^ (1 << next(8)) };
                }
            }
        }
    }
    let mut input = bytes.as_slice();
    let length = bytes.len() as u64;
    let Ok(mut reader) = Reader::new(&mut input) else { return };
    loop {
        match reader.next_item() {
            Ok(Some((offset, item))) => {
                assert!(offset <= length, "an item begins behind the end");
                // LZF's best: 264 bytes of 3; and an element of a packed form has at least 2 bytes for its 16 or 32 here.
                let size = item.value.size();
                assert!(size <= bytes.len() * 88 * 32 + (1 << 20), "{size} bytes out of {length}");
            }
            Ok(None) => break,
            Err(damage) => {
                assert!(damage.offset <= length && !damage.what.is_empty());
                break;
            }
        }
    }
}
