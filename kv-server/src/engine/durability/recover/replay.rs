//! The log: segments one after the other. While the shards replay some frames, side by side, the next ones are read.

use super::{Cut, Job, Loading, RecoverError, Source};
use crate::engine::durability::MANIFEST;
use kv_core::command::{Settings, replay};
use kv_core::persist::Damage;
use kv_core::persist::frame::{End, Frame, Header, Scanner};
use kv_core::persist::manifest::{Manifest, Segment, segment_name};
use kv_core::persist::record::{Record, Records};
use kv_core::store::Shard;
use std::ops::Range;

/// Bytes of records that are read before they are replayed, about.
const CHUNK_BYTES: usize = 16 << 20;

/// What the log gave.
#[derive(Default)]
pub(super) struct Log {
    /// The last epoch that was replayed.
    pub last: Option<u64>,
    pub epochs: u64,
    pub cut: Option<Cut>,
}

/// The sections of one shard in some frames.
#[derive(Default)]
struct Work {
    bytes: Vec<u8>,
    sections: Vec<Section>,
}

struct Section {
    /// Where it lies in `bytes`.
    at: Range<usize>,
    /// Where it lies in the file.
    offset: u64,
}

/// Some frames.
struct Chunk {
    by_shard: Vec<Work>,
    /// Nothing that counts is behind.
    is_last: bool,
}

/// A segment being read.
struct Reading<'a> {
    name: String,
    shards: usize,
    /// The first epoch of the segment behind: from there on nothing counts.
    until: u64,
    scanner: Scanner<Source<'a>>,
    /// The last epoch so far, in this segment or in front of it.
    last: Option<u64>,
    base_epoch: u64,
    epochs: u64,
}

impl<'a> Loading<'a> {
    /// Replays all segments.
    pub(super) fn log(&mut self, manifest: &Manifest) -> Result<Log, RecoverError> {
        let base_epoch = manifest.base.as_ref().map_or(0, |base| base.epoch);
        let mut log = Log::default();
        for (i, segment) in manifest.segments.iter().enumerate() {
            let behind = manifest.segments.get(i + 1);
            let until = behind.map_or(u64::MAX, |behind| behind.first_epoch);
            let mut reading = self.segment(segment, base_epoch, log.last, until)?;
            self.reshard(reading.shards);
            self.replay(&mut reading)?;
            log.last = reading.last;
            log.epochs += reading.epochs;
            log.cut = match reading.scanner.end() {
                // With a segment behind it, it was told when that was begun.
                Some(End::Torn { offset, lost_bytes, .. }) if behind.is_none() => {
                    Some(Cut { file: reading.name, offset, bytes: lost_bytes })
                }
                _ => None,
            };
        }
        Ok(log)
    }

    /// Opens a segment.
    fn segment(
        &self,
        segment: &Segment,
        base_epoch: u64,
        last: Option<u64>,
        until: u64,
    ) -> Result<Reading<'a>, RecoverError> {
        let name = segment_name(segment.number);
        let scanner = Scanner::new(self.means.open(&name)?).map_err(|error| RecoverError::read(&name, error))?;
        if *scanner.header() != (Header { id: segment.id, first_epoch: segment.first_epoch }) {
            return Err(RecoverError::at(&name, Damage::new(0, format!("not the segment that {MANIFEST} names"))));
        }
        Ok(Reading { name, shards: segment.shards as usize, until, scanner, last, base_epoch, epochs: 0 })
    }

    /// Replays a segment to its end.
    fn replay(&mut self, reading: &mut Reading<'_>) -> Result<(), RecoverError> {
        let mut chunk = reading.chunk()?;
        loop {
            let name = reading.name.clone();
            let shards = self.shards.len();
            let settings = &self.means.wanted.settings;
            let mut results: Vec<Result<(), RecoverError>> = (0..shards).map(|_| Ok(())).collect();
            let mut next = None;
            let mut jobs: Vec<Job<'_>> = Vec::new();
            if !chunk.is_last {
                jobs.push(Box::new(|| next = Some(reading.chunk())));
            }
            for ((shard, work), result) in self.shards.iter_mut().zip(&chunk.by_shard).zip(&mut results) {
                let name = &name;
                jobs.push(Box::new(move || *result = work.replay(shard, shards, name, settings)));
            }
            self.crew.run(jobs);
            results.into_iter().collect::<Result<(), _>>()?;
            match next {
                Some(next) => chunk = next?,
                None => return Ok(()),
            }
        }
    }
}

impl Reading<'_> {
    /// Reads the next frames.
    fn chunk(&mut self) -> Result<Chunk, RecoverError> {
        let mut by_shard: Vec<Work> = (0..self.shards).map(|_| Work::default()).collect();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES {
            let frame = self.scanner.next_frame().map_err(|error| RecoverError::read(&self.name, error))?;
            let Some(frame) = frame.filter(|frame| frame.epoch < self.until) else {
                return Ok(Chunk { by_shard, is_last: true });
            };
            let (offset, epoch) = (frame.offset, frame.epoch);
            let damage = |what: String| RecoverError::at(&self.name, Damage::new(offset, what));
            follows(&frame, self.last, self.base_epoch).map_err(damage)?;
            for section in frame.sections() {
                let work = by_shard.get_mut(section.shard).ok_or_else(|| {
                    damage(format!("epoch {epoch} has records of shard {}, of {}", section.shard, self.shards))
                })?;
                let start = work.bytes.len();
                work.bytes.extend_from_slice(section.records);
                work.sections.push(Section { at: start..work.bytes.len(), offset: section.offset });
            }
            bytes += frame.len() as usize;
            self.last = Some(epoch);
            self.epochs += 1;
        }
        Ok(Chunk { by_shard, is_last: false })
    }
}

/// Whether a frame is the next one after `last`, the last of the log so far. Errors: what is wrong.
fn follows(frame: &Frame<'_>, last: Option<u64>, base_epoch: u64) -> Result<(), String> {
    let Frame { epoch, before, .. } = *frame;
    let is_next = match last {
        Some(last) => before == last,
        // What is in the base needs no frame.
        None => before <= base_epoch && base_epoch < epoch,
    };
    let reached = last.unwrap_or(base_epoch);
    if is_next {
        Ok(())
    } else {
        Err(format!("epoch {epoch} goes on from epoch {before}, and {reached} stands in front"))
    }
}

impl Work {
    fn replay(&self, shard: &mut Shard, shards: usize, name: &str, settings: &Settings) -> Result<(), RecoverError> {
        for Section { at, offset } in &self.sections {
            let records = &self.bytes[at.clone()];
            replay(shard, shards, records, *offset, settings).map_err(|damage| {
                match database_missing(records, shard.dbs.len(), settings) {
                    Some(db) => RecoverError::databases(db, shard.dbs.len()),
                    None => RecoverError::at(name, damage),
                }
            })?;
        }
        Ok(())
    }
}

/// A database that records are about and that there is not.
fn database_missing(records: &[u8], databases: usize, settings: &Settings) -> Option<usize> {
    let used = |record: Record<'_>| match record {
        Record::Put { db, .. } | Record::Remove { db, .. } | Record::Expire { db, .. } | Record::Command { db, .. } => {
            Some(db)
        }
        Record::Flush { db } => db,
        Record::Swap { a, b } => Some(a.max(b)),
        Record::Time(_) => None,
    };
    let all = Records::new(records, 0, &settings.limits).map_while(Result::ok).filter_map(used);
    all.filter(|db| *db >= databases).max()
}
