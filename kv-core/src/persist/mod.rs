//! Formats of what outlives the process: bytes <-> meaning, without files.
//!
//! ```text
//! value      a key's value in MessagePack, whole or in parts
//! record     what happened to a key or a database: the lines of log and snapshot, both of which know `put`
//! frame      the log: segments of frames, each the records of all shards in one epoch under one checksum
//! snapshot   the keys of one shard at one moment: records in checksummed blocks, compressed or not
//! manifest   which files belong together
//! rdb        what dumps of Redis are made of, and libraries of functions in its form
//! ```
//!
//! docs/persistence.md is the specification of kv's own byte by byte; what is written here and there differ in no byte.
//!
//! **Reading takes any bytes.** Nothing read here panics, allocates for a length that was only announced, or nests without
//! bound; what a type would refuse (a score that is not a number, a member that comes twice, an empty collection, ids out of
//! order) is [`Damage`], with the offset in the file and a sentence that says what was found. Nothing is repaired: what comes
//! out is what was written, or nothing.
//!
//! This layer knows types, but neither entries nor tables of keys, nor where bytes come from: a reader takes slices or an
//! `io::Read`, a writer hands out vectors.

pub mod frame;
mod fuzz;
pub mod manifest;
mod msgpack;
pub mod rdb;
pub mod record;
pub mod snapshot;
pub mod value;

pub use fuzz::{
    fuzz_manifest, fuzz_records, fuzz_segment, fuzz_snapshot, fuzz_values, kind_of, random_library, random_value,
    write_in_parts,
};
pub use msgpack::Reader;

use std::fmt;
use std::io::{self, Read};

/// The version of all formats, which is raised with any of them. What is written has this one; older ones stay readable.
pub const FORMAT_VERSION: u32 = 1;

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

/// Why something could not be read.
#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    Damage(Damage),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => error.fmt(f),
            ReadError::Damage(damage) => damage.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> ReadError {
        ReadError::Damage(damage)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the head of a format has its fields"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the head of a format has its fields"))
}

/// Checks the first 12 bytes of a file.
fn check_start(start: &[u8], magic: &[u8; 8], what: &str) -> Result<(), Damage> {
    if start[..8] != magic[..] {
        return Err(Damage::new(0, format!("this is no {what}: it begins with other bytes")));
    }
    match u32_at(start, 8) {
        FORMAT_VERSION => Ok(()),
        version => Err(Damage::new(
            8,
            format!("a {what} of format version {version}, and this program reads version {FORMAT_VERSION}"),
        )),
    }
}

/// What of a buffer is reserved before any byte of it has come, whatever length was announced.
const TRUST_BYTES: u64 = 1 << 20;

/// Appends up to `len` bytes, fewer when the source ends before; tells how many.
fn read_up_to(source: &mut impl Read, len: u64, into: &mut Vec<u8>) -> io::Result<u64> {
    into.reserve(len.min(TRUST_BYTES) as usize);
    source.take(len).read_to_end(into).map(|read| read as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a fuzz function for some seeds.
    fn smoke(fuzz: fn(u64), seeds: u64) {
        (0..if cfg!(miri) { 2 } else { seeds }).for_each(fuzz);
    }

    #[test]
    fn random_values_come_back_and_broken_ones_are_refused_or_whole() {
        smoke(fuzz_values, 1_500);
    }

    #[test]
    fn random_records_come_back_and_broken_ones_are_refused_or_whole() {
        smoke(fuzz_records, 600);
    }

    #[test]
    fn random_segments_lose_no_epoch_that_was_synced() {
        smoke(fuzz_segment, 1_500);
    }

    #[test]
    fn random_snapshots_come_back_and_broken_ones_tell_no_wrong_key() {
        smoke(fuzz_snapshot, 400);
    }

    #[test]
    fn random_manifests_come_back_and_broken_ones_are_refused() {
        smoke(fuzz_manifest, 1_500);
    }
}
