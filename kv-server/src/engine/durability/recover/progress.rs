//! How far a load is, for whoever watches.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Keys are added up in steps of so many, so that threads do not share a number at every key.
pub(super) const KEYS_AT_A_TIME: u64 = 4096;

/// Figures of a load; any thread may read them.
#[derive(Default)]
pub struct Progress {
    total: AtomicU64,
    read: AtomicU64,
    keys: AtomicU64,
}

impl Progress {
    pub(super) fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Relaxed);
    }

    pub(super) fn add_keys(&self, keys: u64) {
        self.keys.fetch_add(keys, Relaxed);
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Bytes that were read.
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Keys of the snapshot that are loaded.
    pub fn keys(&self) -> u64 {
        self.keys.load(Relaxed)
    }

    pub fn percent(&self) -> f64 {
        let total = self.total_bytes();
        if total == 0 { 100.0 } else { (self.read_bytes() as f64 * 100.0 / total as f64).min(100.0) }
    }

    pub(super) fn counted(&self, file: Box<dyn Read + Send>) -> Counted<'_> {
        Counted { file, progress: self }
    }
}

/// A file whose bytes are counted as they are read.
pub(super) struct Counted<'a> {
    file: Box<dyn Read + Send>,
    progress: &'a Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.progress.read.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}
