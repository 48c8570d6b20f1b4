//! Formats of what outlives the process: bytes <-> meaning, without files.
//!
//! ```text
//! value      a key's value in MessagePack, whole or in parts
//! record     what happened to a key or a database: the lines of log and snapshot, both of which know `put`
//! frame      the log: segments of frames, each the records of all shards in one epoch under one checksum
//! snapshot   the keys of one shard at one moment: records in checksummed blocks, compressed or not
//! manifest   which files belong together
//! ```
//!
//! docs/persistence.md is the specification byte by byte; what is written here and there differ in no byte.
//!
//! **Reading takes any bytes.** Nothing read here panics, allocates for a length that was only announced, or nests without
//! bound; what a type would refuse (a score that is not a number, a member that comes twice, an empty collection, ids out of
//! order) is [`Damage`], with the offset in the file and a sentence that says what was found. Nothing is repaired: what comes
//! out is what was written, or nothing.
//!
//! This layer knows types, but neither entries nor tables of keys, nor where bytes come from: a reader takes slices or an
//! `io::Read`, a writer hands out vectors.

mod msgpack;
pub mod record;
pub mod value;

pub use msgpack::Reader;

use std::fmt;

/// A moment: milliseconds since 1970.
type UnixMs = u64;

/// Bytes that are not what a writer of these formats writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where in the file.
    pub offset: u64,
    /// What was found there: the rest of a sentence that begins with the place.
    pub what: String,
}

impl Damage {
    #[cold]
    pub fn new(offset: u64, what: impl Into<String>) -> Damage {
        Damage { offset, what: what.into() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.what)
    }
}

impl std::error::Error for Damage {}
