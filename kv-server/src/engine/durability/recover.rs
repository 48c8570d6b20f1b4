//! Recovery: what the files of a folder say becomes shards again.
//!
//! ```text
//! manifest -> base: one file a shard, side by side
//!          -> segments of the log, in order: frames are read ahead, and each shard replays its sections, side by side
//!          -> other shards than before: each key moves to where it belongs now
//! ```
//!
//! **What is taken.** The longest run of whole epochs. A segment counts up to the first epoch of the one behind it: what it
//! holds besides was written again there, after a write or a sync had failed. A segment may end torn when it is the last one,
//! or when the next goes on from its last whole epoch; the first is the cut that [`Recovered::cut`] tells of. Nothing is
//! changed in a file for that: the next epoch goes into a new segment.
//!
//! **What is refused.** Everything else that a crash cannot have left: [`RecoverError`] says which file, where, and what.
//!
//! **What is mended.** [`salvage`] loads what can be: the keys in front of damage in a file of the base, and the log up to its
//! first damage. Where the base is damaged, what the log says of keys that are not there is left out: a key is as it was at
//! some moment, or missing, and never something that it was not.
//!
//! Threads are an argument ([`Crew`]), as is the disk. The keeper removes files that the manifest does not name.

mod progress;
mod replay;
mod reshard;

pub use progress::Progress;

use super::Disk;
use super::keeper::{MANIFEST, parse, write_manifest};
use kv_core::command::Settings;
use kv_core::persist::manifest::{Base, Manifest, base_name, segment_name};
use kv_core::persist::snapshot;
use kv_core::persist::{Damage, ReadError};
use kv_core::store::{KeyHasher, Shard, UnixMs};
use std::fmt;
use std::io::{self, BufReader, ErrorKind, Read};
use std::sync::Arc;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// A part of the work that needs nothing of the others.
pub type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Who does the work.
pub trait Crew: Sync {
    /// Carries out all of them, side by side or one after the other, and returns when all are done.
    fn run<'a>(&self, jobs: Vec<Job<'a>>);
}

/// One after the other.
pub struct Alone;

impl Crew for Alone {
    fn run<'a>(&self, jobs: Vec<Job<'a>>) {
        jobs.into_iter().for_each(|job| job());
    }
}

/// Why data cannot be loaded.
#[derive(Debug)]
pub struct RecoverError {
    /// `None`: the folder.
    pub file: Option<String>,
    pub offset: Option<u64>,
    pub what: String,
    /// The files are well, and need so many databases.
    pub databases_needed: Option<usize>,
}

impl RecoverError {
    fn at(file: &str, damage: Damage) -> RecoverError {
        RecoverError { file: Some(file.into()), offset: Some(damage.offset), what: damage.what, databases_needed: None }
    }

    fn of(file: &str, what: impl Into<String>) -> RecoverError {
        RecoverError { file: Some(file.into()), offset: None, what: what.into(), databases_needed: None }
    }

    fn io(file: &str, error: io::Error) -> RecoverError {
        match error.kind() {
            ErrorKind::NotFound => RecoverError::of(file, format!("the file is missing, and {MANIFEST} names it")),
            _ => RecoverError::of(file, format!("cannot be read: {error}")),
        }
    }

    pub(super) fn read(file: &str, error: ReadError) -> RecoverError {
        match error {
            ReadError::Io(error) => RecoverError::io(file, error),
            ReadError::Damage(damage) => RecoverError::at(file, damage),
        }
    }

    fn databases(needed: usize, databases: usize) -> RecoverError {
        let what = format!("the data uses database {needed}, and the option 'databases' is {databases}");
        RecoverError { file: None, offset: None, what, databases_needed: Some(needed + 1) }
    }
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}")?;
            if let Some(offset) = self.offset {
                write!(f, ", at byte {offset}")?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.what)
    }
}

impl std::error::Error for RecoverError {}

/// What is wanted.
pub struct Wanted {
    /// How many shards there are to be.
    pub shards: usize,
    pub databases: usize,
    pub settings: Settings,
    /// For the shards' random choices.
    pub seed: u64,
    /// What is due by now need not be kept.
    pub now: UnixMs,
}

/// A torn end that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    pub bytes: u64,
}

/// What was found.
pub struct Recovered {
    pub shards: Vec<Box<Shard>>,
    /// The last epoch that is in the shards; 0 when there was none.
    pub epoch: u64,
    pub cut: Option<Cut>,
    /// Keys in the base.
    pub base_keys: u64,
    /// Epochs of the log that were replayed.
    pub epochs: u64,
}

/// Reads the manifest. `None`: the folder has no data yet.
///
/// Errors: it cannot be read, or is missing where files are that it should name.
pub fn read_manifest(disk: &dyn Disk) -> Result<Option<Manifest>, RecoverError> {
    let mut bytes = Vec::new();
    match disk.open(MANIFEST).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Manifest::from_bytes(&bytes).map(Some).map_err(|damage| RecoverError::at(MANIFEST, damage)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let names = disk.list().map_err(|error| RecoverError::of(MANIFEST, error.to_string()))?;
            match names.iter().filter(|name| parse(name).is_some()).min() {
                Some(name) => Err(RecoverError::of(MANIFEST, format!("the file is missing, and there is {name}"))),
                None => Ok(None),
            }
        }
        Err(error) => Err(RecoverError::of(MANIFEST, format!("cannot be read: {error}"))),
    }
}

/// Writes the manifest of a folder without data, so that files which follow are never without one.
pub fn begin(disk: &dyn Disk, hash_seed: [u8; 16]) -> io::Result<Manifest> {
    let manifest = Manifest { hash_seed, base: None, segments: Vec::new() };
    write_manifest(disk, &manifest)?;
    Ok(manifest)
}

/// Loads what a manifest names.
pub fn recover(
    disk: &dyn Disk,
    manifest: &Manifest,
    wanted: &Wanted,
    crew: &dyn Crew,
    progress: &Progress,
) -> Result<Recovered, RecoverError> {
    load(disk, manifest, wanted, crew, progress, None)
}

/// What was left out.
#[derive(Debug, Default)]
pub struct Losses {
    pub damage: Vec<RecoverError>,
    /// Records of the log that could not be done.
    pub records: u64,
}

/// Loads what can be of what a manifest names. Errors: the options do not fit.
pub fn salvage(
    disk: &dyn Disk,
    manifest: &Manifest,
    wanted: &Wanted,
    crew: &dyn Crew,
    progress: &Progress,
) -> Result<(Recovered, Losses), RecoverError> {
    let mut losses = Losses::default();
    let recovered = load(disk, manifest, wanted, crew, progress, Some(&mut losses))?;
    Ok((recovered, losses))
}

fn load(
    disk: &dyn Disk,
    manifest: &Manifest,
    wanted: &Wanted,
    crew: &dyn Crew,
    progress: &Progress,
    losses: Option<&mut Losses>,
) -> Result<Recovered, RecoverError> {
    let hasher = Arc::new(KeyHasher::new(manifest.hash_seed));
    progress.set_total(bytes_of(disk, manifest));
    let first = manifest.base.as_ref().map(|base| base.bytes.len());
    let first = first.or(manifest.segments.first().map(|segment| segment.shards as usize)).unwrap_or(wanted.shards);
    let means = Means { disk, wanted, progress };
    let mut loading = Loading { means, crew, shards: new_shards(first, wanted, &hasher), losses };
    let base_keys = match &manifest.base {
        Some(base) => loading.base(base)?,
        None => 0,
    };
    let log = loading.log(manifest)?;
    loading.reshard(wanted.shards);
    let base_epoch = manifest.base.as_ref().map_or(0, |base| base.epoch);
    let mut shards = loading.shards;
    let libraries = shards[0].libraries.clone();
    for shard in &mut shards {
        shard.take_garbage();
        shard.libraries = libraries.clone();
    }
    Ok(Recovered { shards, epoch: log.last.unwrap_or(0).max(base_epoch), cut: log.cut, base_keys, epochs: log.epochs })
}

fn new_shards(count: usize, wanted: &Wanted, hasher: &Arc<KeyHasher>) -> Vec<Box<Shard>> {
    let seed = |index: usize| wanted.seed.wrapping_add(index as u64);
    (0..count).map(|index| Box::new(Shard::new(index, wanted.databases, hasher.clone(), seed(index)))).collect()
}

fn bytes_of(disk: &dyn Disk, manifest: &Manifest) -> u64 {
    let base: u64 = manifest.base.iter().flat_map(|base| &base.bytes).sum();
    let length = |number| disk.len(&segment_name(number)).unwrap_or(0);
    let log: u64 = manifest.segments.iter().map(|segment| length(segment.number)).sum();
    base + log
}

/// A load under way.
struct Loading<'a> {
    means: Means<'a>,
    crew: &'a dyn Crew,
    shards: Vec<Box<Shard>>,
    /// What may be left out is noted here. `None`: nothing may.
    losses: Option<&'a mut Losses>,
}

/// What each job needs.
#[derive(Clone, Copy)]
struct Means<'a> {
    disk: &'a dyn Disk,
    wanted: &'a Wanted,
    progress: &'a Progress,
}

/// A file that is read from its beginning, and counted.
type Source<'a> = BufReader<progress::Counted<'a>>;

impl<'a> Means<'a> {
    fn open(&self, name: &str) -> Result<Source<'a>, RecoverError> {
        let file = self.disk.open(name).map_err(|error| RecoverError::io(name, error))?;
        Ok(BufReader::with_capacity(READ_BYTES, self.progress.counted(file)))
    }

    fn base_file(&self, base: &Base, shard: &mut Shard) -> Result<u64, RecoverError> {
        let name = base_name(base.number, shard.index);
        let length = self.disk.len(&name).map_err(|error| RecoverError::io(&name, error))?;
        if length != base.bytes[shard.index] {
            let named = base.bytes[shard.index];
            return Err(RecoverError::of(&name, format!("the file has {length} bytes, and {MANIFEST} says {named}")));
        }
        let failed = |error| RecoverError::read(&name, error);
        let mut reader = snapshot::Reader::new(self.open(&name)?).map_err(failed)?;
        let header = *reader.header();
        let expected = (base.number, base.epoch, shard.index as u32, base.bytes.len() as u32);
        if (header.number, header.epoch, header.shard, header.shards) != expected {
            return Err(RecoverError::of(&name, "the file is another one than its name says"));
        }
        let damaged = |offset, what| RecoverError::at(&name, Damage::new(offset, what));
        let (shards, databases) = (base.bytes.len(), self.wanted.databases);
        let mut counted = 0;
        loop {
            let offset = reader.bytes();
            // What stands in front of damage counts, as the keys there do.
            let put = reader.next_key(&self.wanted.settings.limits).map_err(failed);
            let is_over = match put {
                Ok(Some(put)) if put.db >= databases => return Err(RecoverError::databases(put.db, databases)),
                Ok(Some(put)) => {
                    let loaded = shard.load(header.time, shards, put.db, put.key, put.expire_at, put.value);
                    loaded.map(|()| None).map_err(|what| damaged(offset, what))?
                }
                Ok(None) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            };
            for library in reader.take_libraries() {
                shard.load_library(library).map_err(|what| damaged(offset, what))?;
            }
            if let Some(end) = is_over {
                self.progress.add_keys(reader.keys() - counted);
                return end.map(|()| reader.keys());
            }
            if reader.keys() - counted >= progress::KEYS_AT_A_TIME {
                self.progress.add_keys(reader.keys() - counted);
                counted = reader.keys();
            }
        }
    }
}

impl Loading<'_> {
    /// Loads the base, each shard's file on its own. Returns how many keys it has.
    fn base(&mut self, base: &Base) -> Result<u64, RecoverError> {
        let means = self.means;
        let mut results: Vec<Result<u64, RecoverError>> = self.shards.iter().map(|_| Ok(0)).collect();
        let jobs = self
            .shards
            .iter_mut()
            .zip(&mut results)
            .map(|(shard, result)| -> Job<'_> { Box::new(move || *result = means.base_file(base, shard)) });
        self.crew.run(jobs.collect());
        let mut keys = 0;
        for result in results {
            match result {
                Ok(more) => keys += more,
                Err(error) => self.lose(error)?,
            }
        }
        Ok(keys)
    }

    /// Notes damage; an error if there may be none.
    fn lose(&mut self, error: RecoverError) -> Result<(), RecoverError> {
        match &mut self.losses {
            Some(losses) if error.databases_needed.is_none() => {
                losses.damage.push(error);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
