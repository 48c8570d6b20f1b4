//! The manifest: which files are the data, in which order, and what is common to them.
//!
//! ```text
//! file   "KVMANIF\0" version:4 length:8 crc:4 body          numbers little-endian
//! body   a map of MessagePack with the names of the fields below; crc: CRC-32C over all in front of it, and the body
//! ```
//!
//! It is small, and replaced as a whole. Names of files follow from numbers (`base_name`, `segment_name`), so that no file is
//! named which does not belong here.

use super::{Damage, FORMAT_VERSION, check_start, u32_at, u64_at};
use crc32c::crc32c_append;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"KVMANIF\0";
pub(super) const HEAD: usize = 24;
const CRC_AT: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What places keys on shards and hashes them.
    pub hash_seed: [u8; 16],
    /// The snapshot that the log goes on from.
    pub base: Option<Base>,
    /// The log, the earliest segment first.
    pub segments: Vec<Segment>,
}

/// A snapshot of all shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub number: u64,
    /// The state is the one after this epoch.
    pub epoch: u64,
    /// The size of each shard's file, in the order of the shards.
    pub bytes: Vec<u64>,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub number: u64,
    /// Random: that of its header.
    pub id: u64,
    pub first_epoch: u64,
    /// How many shards its sections are of.
    pub shards: u32,
}

/// The name of a file of a snapshot.
pub fn base_name(number: u64, shard: usize) -> String {
    format!("base-{number:06}-{shard:04}.kvsnap")
}

/// The name of a file of the log.
pub fn segment_name(number: u64) -> String {
    format!("log-{number:06}.kvlog")
}

impl Manifest {
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = rmp_serde::to_vec_named(self).expect("numbers, arrays and maps of them can be written");
        wrap(&body)
    }

    /// Errors: the bytes are no whole manifest of a version known here, or contradict themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<Manifest, Damage> {
        let Some((head, body)) = bytes.split_at_checked(HEAD) else {
            return Err(Damage::new(bytes.len() as u64, "the file ends within its header"));
        };
        check_start(head, MAGIC, "manifest")?;
        let length = u64_at(head, 12);
        if length != body.len() as u64 {
            return Err(Damage::new(12, format!("{length} bytes are to follow, and {} do", body.len())));
        }
        if crc32c_append(crc32c::crc32c(&head[..CRC_AT]), body) != u32_at(head, CRC_AT) {
            return Err(Damage::new(0, "the checksum does not agree with the file"));
        }
        let manifest: Manifest =
            rmp_serde::from_slice(body).map_err(|error| Damage::new(HEAD as u64, error.to_string()))?;
        manifest.check().map_err(|what| Damage::new(HEAD as u64, what))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), &'static str> {
        let ascend = |pair: &[Segment]| pair[0].number < pair[1].number && pair[0].first_epoch <= pair[1].first_epoch;
        if self.base.as_ref().is_some_and(|base| base.bytes.is_empty()) {
            Err("a snapshot without files")
        } else if !self.segments.windows(2).all(ascend) {
            Err("segments that are not in order")
        } else if self.segments.iter().any(|segment| segment.shards == 0) {
            Err("a segment of no shards")
        } else {
            Ok(())
        }
    }
}

/// A file with this body.
pub(super) fn wrap(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + body.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&(body.len() as u64).to_le_bytes());
    let crc = crc32c_append(crc32c::crc32c(&out), body);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests;
