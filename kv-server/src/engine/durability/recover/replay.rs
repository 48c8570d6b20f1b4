//! The log: segments one after the other. While the shards replay some frames, side by side, the next ones are read.

use super::{Cut, Job, Loading, RecoverError, Source};
use crate::engine::durability::MANIFEST;
use kv_core::command::{Found, Settings, keys_of, replay, table};
use kv_core::persist::Damage;
use kv_core::persist::frame::{End, Frame, Header, Scanner};
use kv_core::persist::manifest::{Manifest, Segment, segment_name};
use kv_core::persist::record::{Record, Records};
use kv_core::store::{Shard, UnixMs};
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
    behind: Behind,
}

/// What follows some frames.
enum Behind {
    /// More of them, perhaps.
    More,
    /// Nothing that counts.
    Nothing,
    Damage(RecoverError),
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
            // What cannot be read of the log ends it.
            match self.replay_segment(segment, base_epoch, until, &mut log) {
                Ok(end) => log.cut = end.filter(|_| behind.is_none()),
                Err(error) => {
                    self.lose(error)?;
                    break;
                }
            }
        }
        Ok(log)
    }

    /// Replays a segment to its end, which is torn if there is one.
    fn replay_segment(
        &mut self,
        segment: &Segment,
        base_epoch: u64,
        until: u64,
        log: &mut Log,
    ) -> Result<Option<Cut>, RecoverError> {
        let mut reading = self.segment(segment, base_epoch, log.last, until)?;
        self.reshard(reading.shards);
        let replayed = self.replay(&mut reading);
        log.last = reading.last;
        log.epochs += reading.epochs;
        replayed?;
        Ok(match reading.scanner.end() {
            Some(End::Torn { offset, lost_bytes, .. }) => Some(Cut { file: reading.name, offset, bytes: lost_bytes }),
            _ => None,
        })
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

    /// Replays the frames of a segment. Errors: damage; what stands in front of it has been replayed.
    fn replay(&mut self, reading: &mut Reading<'_>) -> Result<(), RecoverError> {
        // A shard without all of its base cannot do everything that its log says.
        let lenient = self.losses.as_ref().is_some_and(|losses| !losses.damage.is_empty());
        let mut chunk = reading.chunk();
        loop {
            let Chunk { by_shard, behind } = chunk;
            let name = reading.name.clone();
            let shards = self.shards.len();
            let settings = &self.means.wanted.settings;
            let mut results: Vec<Result<u64, RecoverError>> = (0..shards).map(|_| Ok(0)).collect();
            let mut next = None;
            let mut jobs: Vec<Job<'_>> = Vec::new();
            if let Behind::More = behind {
                jobs.push(Box::new(|| next = Some(reading.chunk())));
            }
            for ((shard, work), result) in self.shards.iter_mut().zip(&by_shard).zip(&mut results) {
                let name = &name;
                jobs.push(Box::new(move || *result = work.replay(shard, shards, name, settings, lenient)));
            }
            self.crew.run(jobs);
            for result in results {
                let skipped = result?;
                if let Some(losses) = &mut self.losses {
                    losses.records += skipped;
                }
            }
            match (behind, next) {
                (Behind::More, Some(next)) => chunk = next,
                (Behind::Damage(error), _) => return Err(error),
                _ => return Ok(()),
            }
        }
    }
}

impl Reading<'_> {
    /// Reads the next frames.
    fn chunk(&mut self) -> Chunk {
        let mut by_shard: Vec<Work> = (0..self.shards).map(|_| Work::default()).collect();
        let mut bytes = 0;
        let behind = loop {
            if bytes >= CHUNK_BYTES {
                break Behind::More;
            }
            match self.frame(&mut by_shard) {
                Ok(Some(more)) => bytes += more,
                Ok(None) => break Behind::Nothing,
                Err(error) => break Behind::Damage(error),
            }
        };
        Chunk { by_shard, behind }
    }

    /// Adds the next frame; its bytes, or none at the end of what counts.
    fn frame(&mut self, by_shard: &mut [Work]) -> Result<Option<usize>, RecoverError> {
        let frame = self.scanner.next_frame().map_err(|error| RecoverError::read(&self.name, error))?;
        let Some(frame) = frame.filter(|frame| frame.epoch < self.until) else { return Ok(None) };
        let (offset, epoch) = (frame.offset, frame.epoch);
        let damage = |what: String| RecoverError::at(&self.name, Damage::new(offset, what));
        follows(&frame, self.last, self.base_epoch).map_err(damage)?;
        if let Some(section) = frame.sections().find(|section| section.shard >= by_shard.len()) {
            let what = format!("epoch {epoch} has records of shard {}, of {}", section.shard, by_shard.len());
            return Err(damage(what));
        }
        for section in frame.sections() {
            let work = &mut by_shard[section.shard];
            let start = work.bytes.len();
            work.bytes.extend_from_slice(section.records);
            work.sections.push(Section { at: start..work.bytes.len(), offset: section.offset });
        }
        self.last = Some(epoch);
        self.epochs += 1;
        Ok(Some(frame.len() as usize))
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
    /// Replays all sections. With `lenient` what cannot be done is left out; returns how many records that was.
    fn replay(
        &self,
        shard: &mut Box<Shard>,
        shards: usize,
        name: &str,
        settings: &Settings,
        lenient: bool,
    ) -> Result<u64, RecoverError> {
        let mut skipped = 0;
        for Section { at, offset } in &self.sections {
            let records = &self.bytes[at.clone()];
            if lenient {
                skipped += salvage(shard, shards, records, *offset, settings);
                continue;
            }
            replay(shard, shards, records, *offset, settings).map_err(|damage| {
                match database_missing(records, shard.dbs.len(), settings) {
                    Some(db) => RecoverError::databases(db, shard.dbs.len()),
                    None => RecoverError::at(name, damage),
                }
            })?;
        }
        Ok(skipped)
    }
}

/// Replays records one by one, on a shard that may lack keys; returns how many were left out. A command for a key that is
/// not there is one of them: the key may be missing since the base is damaged, and would become what it never was.
fn salvage(shard: &mut Box<Shard>, shards: usize, section: &[u8], offset: u64, settings: &Settings) -> u64 {
    let mut skipped = 0;
    let mut records = Records::new(section, 0, &settings.limits);
    let mut one: Vec<u8> = Vec::new();
    let mut moment = 0..0;
    let mut now = 0;
    loop {
        let start = records.offset() as usize;
        let Some(record) = records.next() else { return skipped };
        let end = records.offset() as usize;
        let is_possible = match record {
            Ok(Record::Time(at)) => {
                (moment, now) = (start..end, at);
                continue;
            }
            Ok(Record::Command { db, words }) => has_key(shard, db, words, now),
            Ok(_) => true,
            Err(_) => false,
        };
        one.clear();
        one.extend_from_slice(&section[moment.clone()]);
        one.extend_from_slice(&section[start..end]);
        if !is_possible || replay(shard, shards, &one, offset + start as u64, settings).is_err() {
            skipped += 1;
        }
    }
}

/// Whether the key of a command is there.
fn has_key<'a>(shard: &Shard, db: usize, words: impl Iterator<Item = &'a [u8]>, now: UnixMs) -> bool {
    let words: Vec<&[u8]> = words.collect();
    let Found::Row(row) = table().find(words[0], words.get(1).copied()) else { return false };
    let mut found = false;
    keys_of(
        table().row(row).spec,
        words.len(),
        |i| words[i],
        |at| {
            let key = shard.hasher.key(words[at]);
            found |= shard.dbs.get(db).is_some_and(|db| db.peek(key, now).is_some());
        },
    );
    found
}

/// A database that records are about and that there is not.
fn database_missing(records: &[u8], databases: usize, settings: &Settings) -> Option<usize> {
    let used = |record: Record<'_>| match record {
        Record::Put { db, .. } | Record::Remove { db, .. } | Record::Expire { db, .. } | Record::Command { db, .. } => {
            Some(db)
        }
        Record::Flush { db } => db,
        Record::Swap { a, b } => Some(a.max(b)),
        Record::Time(_) | Record::Library(_) | Record::NoLibrary { .. } => None,
    };
    let all = Records::new(records, 0, &settings.limits).map_while(Result::ok).filter_map(used);
    all.filter(|db| *db >= databases).max()
}
