//! What keeper, saver and workers let each other know without a message.

use super::Load;
use kv_core::store::UnixMs;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a snapshot that may wait for the disk: a shard walks no further while there are more.
const SAVER_QUEUE_BYTES: usize = 32 << 20;

#[derive(Default)]
pub struct Status {
    durable: AtomicU64,
    marker_wanted: AtomicBool,
    change_awaited: AtomicBool,
    saver_bytes: AtomicUsize,
    aborted: AtomicU64,
    writes_refused: AtomicBool,
    refusal: Mutex<String>,
    figures: Mutex<Figures>,
    end: Mutex<End>,
    /// Of the start.
    pub load: Load,
}

/// Figures for INFO and LASTSAVE, as of the keeper's last step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// A snapshot is being written: since when, and whether it was asked for as one, or to make the log shorter.
    pub saving_since: Option<UnixMs>,
    pub is_save: bool,
    pub is_rewrite: bool,
    /// Another one begins when this one is over.
    pub is_rewrite_scheduled: bool,
    pub is_save_scheduled: bool,
    /// The writes of all shards up to the last snapshot.
    pub dirty_at_last_save: u64,
    /// When the last snapshot was whole; the start of the server before the first.
    pub last_save: UnixMs,
    pub saves: u64,
    pub rewrites: u64,
    pub last_save_failed: bool,
    pub last_rewrite_failed: bool,
    /// How long the last one took.
    pub last_save_ms: Option<u64>,
    pub last_rewrite_ms: Option<u64>,
    /// Keys in the last snapshot.
    pub last_save_keys: u64,
    /// Effects are logged.
    pub is_log_on: bool,
    pub last_log_write_failed: bool,
    /// Bytes of the snapshot that the log goes on from.
    pub base_bytes: u64,
    /// Bytes of all segments of the log.
    pub log_bytes: u64,
    /// Bytes of records that are in no file yet.
    pub unwritten_bytes: u64,
    /// Bytes of records that are not known to be safe.
    pub unsynced_bytes: u64,
    /// Syncs that came more than a second too late.
    pub delayed_syncs: u64,
    pub syncs: u64,
}

/// How far the end of the server is, for its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Nobody has asked, or it is not over.
    #[default]
    Open,
    /// Everything is on disk.
    Kept,
    /// It could not be kept, for this reason. The keeper goes on.
    Failed(String),
}

impl Status {
    /// Everything up to the end of this epoch is on disk.
    #[inline]
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Only the keeper; it wakes the workers after.
    pub fn set_durable(&self, epoch: u64) {
        self.durable.fetch_max(epoch, Ordering::AcqRel);
    }

    #[inline]
    pub(super) fn is_marker_wanted(&self) -> bool {
        self.marker_wanted.load(Ordering::SeqCst)
    }

    /// Whether nobody wanted one before.
    pub(super) fn set_marker_wanted(&self) -> bool {
        !self.marker_wanted.swap(true, Ordering::SeqCst)
    }

    /// The marker is about to be published: what is logged after it wants another.
    pub fn marker_comes(&self) {
        self.marker_wanted.store(false, Ordering::SeqCst);
    }

    /// After a write was counted: whether this call is the one to tell the keeper of it.
    #[inline]
    pub(super) fn take_change_awaited(&self) -> bool {
        // The count stands before the look at the flag, and in `await_change` the flag before the look at the count.
        fence(Ordering::SeqCst);
        self.change_awaited.load(Ordering::Relaxed) && self.change_awaited.swap(false, Ordering::Relaxed)
    }

    /// Only the keeper: the next write is to be told with [`super::ToKeeper::Changed`]. Writes may have been counted shortly
    /// before that nobody tells: the count has to be looked at after this.
    pub fn await_change(&self) {
        self.change_awaited.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Snapshots up to this number are not wanted any more.
    #[inline]
    pub fn aborted(&self) -> u64 {
        self.aborted.load(Ordering::Acquire)
    }

    /// Only the keeper; it wakes the workers after.
    pub fn abort(&self, snapshot: u64) {
        self.aborted.fetch_max(snapshot, Ordering::AcqRel);
    }

    pub fn figures(&self) -> Figures {
        lock(&self.figures).clone()
    }

    /// Only the keeper.
    pub fn set_figures(&self, figures: Figures) {
        *lock(&self.figures) = figures;
    }

    pub fn end(&self) -> End {
        lock(&self.end).clone()
    }

    /// Only the keeper.
    pub fn set_end(&self, end: End) {
        *lock(&self.end) = end;
    }

    /// Bytes of a snapshot that were handed to the saver and are not written yet.
    pub fn saver_bytes(&self) -> usize {
        self.saver_bytes.load(Ordering::Relaxed)
    }

    /// Whether shards should walk no further for the moment.
    pub fn is_saver_full(&self) -> bool {
        self.saver_bytes() >= SAVER_QUEUE_BYTES
    }

    pub fn add_saver_bytes(&self, bytes: usize) {
        self.saver_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Only the saver; it wakes the workers after.
    pub fn sub_saver_bytes(&self, bytes: usize) {
        self.saver_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether writes are refused, since they could not be kept.
    #[inline]
    pub fn refuses_writes(&self) -> bool {
        self.writes_refused.load(Ordering::Relaxed)
    }

    /// The whole text of the error that refused writes get.
    pub fn refusal(&self) -> String {
        lock(&self.refusal).clone()
    }

    /// Refuses writes with this text, or no longer.
    pub fn refuse_writes(&self, text: Option<String>) {
        let refused = text.is_some();
        if let Some(text) = text {
            *lock(&self.refusal) = text;
        }
        self.writes_refused.store(refused, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
