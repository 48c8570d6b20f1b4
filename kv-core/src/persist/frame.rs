//! A segment of the log: frames, each all that happened in one epoch on all shards.
//!
//! ```text
//! segment  header frame frame ...                          numbers little-endian
//! header   "KVLOG\0\0\0" version:4 id:8 first epoch:8 crc:4                                   32 bytes
//! frame    length:8 epoch:8 before:8 synced:8 sections:4 head crc:4 body crc:4                44 bytes
//!          then `length` bytes: for each section shard:4 length:8, then the sections one behind the other
//! ```
//!
//! `before` is the epoch of the frame in front (of the whole log: for a segment's first frame, one of the segment before),
//! `synced` the last epoch that was known to be on the disk when the frame was written. A section holds the records
//! (`record`) of one shard; shards ascend. Checksums are CRC-32C: the header's over the bytes in front of it; a frame's
//! head's over the segment's id and the head in front of it; its body's goes on from that over the body. The id is random: a
//! frame of another segment in reused space is none of this one, and nobody who writes values can make one up.
//!
//! An epoch is whole exactly when its frame is. Where the first frame ends that is not, there the log ends, and one of two
//! things is true. **Torn**: what follows was never known to be synced, and nobody was told it were; it is cut off, even with
//! whole frames behind it, for a disk may write later bytes before earlier ones. **Damaged**: a frame further behind says that
//! an epoch was synced which is lost. This is found by looking at every byte behind for the head of a frame.
//!
//! Of other segments a scanner knows nothing: whoever reads a log checks that each begins where the one before ended, and
//! that no `synced` of a later one is above the epoch with which an earlier one was torn.

use super::{Damage, FORMAT_VERSION, ReadError, check_start, read_up_to, u32_at, u64_at};
use crc32c::crc32c_append;
use std::io::Read;

const MAGIC: &[u8; 8] = b"KVLOG\0\0\0";
/// Bytes of a segment's header.
pub const HEADER: usize = 32;
/// Bytes of a frame's head.
pub const FRAME_HEAD: usize = 44;
const HEAD_CRC_AT: usize = 36;
const BODY_CRC_AT: usize = 40;
const SECTION_HEAD: usize = 12;
/// How much is read at a time in the search for frames behind damage.
const SEARCH_BYTES: u64 = 1 << 20;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Random.
    pub id: u64,
    /// No frame of the segment has an earlier epoch.
    pub first_epoch: u64,
}

pub fn write_header(out: &mut Vec<u8>, header: &Header) {
    let at = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&header.id.to_le_bytes());
    out.extend_from_slice(&header.first_epoch.to_le_bytes());
    let crc = crc32c::crc32c(&out[at..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Appends a frame. `sections`: shards, ascending, with the records of each.
pub fn write_frame(out: &mut Vec<u8>, id: u64, epoch: u64, before: u64, synced: u64, sections: &[(usize, &[u8])]) {
    debug_assert!(synced <= before && before < epoch, "epochs {synced} <= {before} < {epoch}");
    debug_assert!(sections.is_sorted_by(|(a, _), (b, _)| a < b), "shards ascend");
    let length: usize = sections.iter().map(|(_, records)| SECTION_HEAD + records.len()).sum();
    out.reserve(FRAME_HEAD + length);
    let at = out.len();
    for number in [length as u64, epoch, before, synced] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    let head_crc = head_crc(id, &out[at..]);
    out.extend_from_slice(&head_crc.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for (shard, records) in sections {
        out.extend_from_slice(&(*shard as u32).to_le_bytes());
        out.extend_from_slice(&(records.len() as u64).to_le_bytes());
    }
    sections.iter().for_each(|(_, records)| out.extend_from_slice(records));
    let body_crc = crc32c_append(head_crc, &out[at + FRAME_HEAD..]);
    out[at + BODY_CRC_AT..at + FRAME_HEAD].copy_from_slice(&body_crc.to_le_bytes());
}

fn head_crc(id: u64, head: &[u8]) -> u32 {
    crc32c_append(crc32c::crc32c(&id.to_le_bytes()), &head[..HEAD_CRC_AT])
}

/// The head of a frame, whose checksum agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    length: u64,
    epoch: u64,
    before: u64,
    synced: u64,
    sections: u32,
    crc: u32,
    body_crc: u32,
}

impl Head {
    /// Reads the first `FRAME_HEAD` bytes.
    fn read(id: u64, bytes: &[u8]) -> Option<Head> {
        let head = Head {
            length: u64_at(bytes, 0),
            epoch: u64_at(bytes, 8),
            before: u64_at(bytes, 16),
            synced: u64_at(bytes, 24),
            sections: u32_at(bytes, 32),
            crc: u32_at(bytes, HEAD_CRC_AT),
            body_crc: u32_at(bytes, BODY_CRC_AT),
        };
        (head.synced <= head.before && head.before < head.epoch && head.crc == head_crc(id, bytes)).then_some(head)
    }
}

/// A frame that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub epoch: u64,
    /// The epoch of the frame in front.
    pub before: u64,
    /// The last epoch known to be synced when this one was written.
    pub synced: u64,
    /// Where in the file it begins.
    pub offset: u64,
    count: usize,
    body: &'a [u8],
}

/// The records of one shard in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    pub shard: usize,
    pub records: &'a [u8],
    /// Where in the file they begin.
    pub offset: u64,
}

impl<'a> Frame<'a> {
    /// The sections, their shards ascending.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        let (table, mut rest) = self.body.split_at(self.count * SECTION_HEAD);
        let mut offset = self.offset + (FRAME_HEAD + table.len()) as u64;
        table.chunks_exact(SECTION_HEAD).map(move |entry| {
            let (records, behind) = rest.split_at(u64_at(entry, 4) as usize);
            let section = Section { shard: u32_at(entry, 0) as usize, records, offset };
            (rest, offset) = (behind, offset + records.len() as u64);
            section
        })
    }

    /// Bytes of the frame in the file.
    pub fn len(&self) -> u64 {
        (FRAME_HEAD + self.body.len()) as u64
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// How a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a whole frame, or with its header.
    Whole,
    /// With bytes that are no whole frame.
    Torn {
        /// Where they begin.
        offset: u64,
        lost_bytes: u64,
        /// The last whole epoch of this segment; `None` when it has none.
        after_epoch: Option<u64>,
    },
}

/// Reads a segment frame by frame.
pub struct Scanner<R> {
    source: R,
    header: Header,
    /// Where in the file the next frame begins.
    offset: u64,
    epoch: Option<u64>,
    synced: u64,
    end: Option<End>,
    body: Vec<u8>,
}

impl<R: Read> Scanner<R> {
    /// Reads the header, which is on the disk before anybody refers to the segment.
    pub fn new(mut source: R) -> Result<Scanner<R>, ReadError> {
        let mut bytes = Vec::new();
        if read_up_to(&mut source, HEADER as u64, &mut bytes)? < HEADER as u64 {
            return Err(Damage::new(bytes.len() as u64, "the file ends within its header").into());
        }
        check_start(&bytes, MAGIC, "segment of a log")?;
        if crc32c::crc32c(&bytes[..HEADER - 4]) != u32_at(&bytes, HEADER - 4) {
            return Err(Damage::new(0, "the checksum of the header does not agree with it").into());
        }
        let header = Header { id: u64_at(&bytes, 12), first_epoch: u64_at(&bytes, 20) };
        Ok(Scanner { source, header, offset: HEADER as u64, epoch: None, synced: 0, end: None, body: Vec::new() })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The last whole epoch so far.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// The last epoch that a frame so far tells to be synced.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Where the last whole frame ends.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How the segment ended; none as long as there may be more frames.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The next frame; none at the end, of which `end` tells.
    ///
    /// Errors: damage in front of an epoch that was synced. What was read until then is right.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(FRAME_HEAD);
        let read = read_up_to(&mut self.source, FRAME_HEAD as u64, &mut bytes)?;
        if read == 0 {
            self.end = Some(End::Whole);
            return Ok(None);
        }
        let head = if read < FRAME_HEAD as u64 { None } else { Head::read(self.header.id, &bytes) };
        self.body.clear();
        let Some(head) = head else {
            return self.torn(&bytes).map(|()| None);
        };
        self.check_order(&head)?;
        let read = read_up_to(&mut self.source, head.length, &mut self.body)?;
        if read < head.length || crc32c_append(head.crc, &self.body) != head.body_crc {
            return self.torn(&bytes).map(|()| None);
        }
        let offset = self.offset;
        let count = self.check_sections(&head)?;
        self.offset += FRAME_HEAD as u64 + head.length;
        self.epoch = Some(head.epoch);
        self.synced = self.synced.max(head.synced);
        let Head { epoch, before, synced, .. } = head;
        Ok(Some(Frame { epoch, before, synced, offset, count, body: &self.body }))
    }

    /// A frame is the next one of this segment, or something in between has been taken out.
    fn check_order(&self, head: &Head) -> Result<(), Damage> {
        let (Head { epoch, before, .. }, first) = (*head, self.header.first_epoch);
        let what = match self.epoch {
            Some(last) if before != last => format!("epoch {epoch} follows epoch {before}, and {last} stands in front"),
            None if epoch < first => format!("epoch {epoch} in a segment that begins with {first}"),
            None if before >= first => format!("epoch {epoch} follows epoch {before}, which is missing"),
            _ => return Ok(()),
        };
        Err(Damage::new(self.offset, what))
    }

    /// Checks that the sections are what the body consists of; returns how many there are.
    fn check_sections(&self, head: &Head) -> Result<usize, Damage> {
        let damage = |what: &str| Damage::new(self.offset, format!("the frame of epoch {}: {what}", head.epoch));
        let count = head.sections as usize;
        let Some((table, records)) = count.checked_mul(SECTION_HEAD).and_then(|len| self.body.split_at_checked(len))
        else {
            return Err(damage("more sections than it has room for"));
        };
        let (mut left, mut last) = (records.len() as u64, None);
        for entry in table.chunks_exact(SECTION_HEAD) {
            let shard = u32_at(entry, 0);
            if last.is_some_and(|last| last >= shard) {
                return Err(damage("its shards do not ascend"));
            }
            last = Some(shard);
            left = left.checked_sub(u64_at(entry, 4)).ok_or_else(|| damage("its sections are longer than itself"))?;
        }
        if left == 0 { Ok(count) } else { Err(damage("its sections are shorter than itself")) }
    }

    /// The frame at `offset`, of which `head` and the body have been read as far as they go, is not whole. Looks for one
    /// behind that makes it damage.
    fn torn(&mut self, head: &[u8]) -> Result<(), ReadError> {
        let after = self.epoch.unwrap_or(self.header.first_epoch.saturating_sub(1));
        let mut rest = head.chain(&*self.body).chain(&mut self.source);
        let mut lost_bytes = 0;
        let mut window = Vec::new();
        loop {
            let read = read_up_to(&mut rest, SEARCH_BYTES, &mut window)?;
            if read == 0 {
                break;
            }
            lost_bytes += read;
            let begin = self.offset + lost_bytes - window.len() as u64;
            for place in 0..(window.len() + 1).saturating_sub(FRAME_HEAD) {
                // The cheap question first: hardly any bytes answer it with yes.
                let bytes = &window[place..];
                let (before, synced) = (u64_at(bytes, 16), u64_at(bytes, 24));
                if after < synced && synced <= before && Head::read(self.header.id, bytes).is_some() {
                    let place = begin + place as u64;
                    let told = format!("the frame at byte {place} says that epoch {synced} was on the disk");
                    let what = format!("no whole frame follows epoch {after}, but {told}");
                    return Err(Damage::new(self.offset, what).into());
                }
            }
            window.drain(..(window.len() + 1).saturating_sub(FRAME_HEAD));
        }
        self.end = Some(End::Torn { offset: self.offset, lost_bytes, after_epoch: self.epoch });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
