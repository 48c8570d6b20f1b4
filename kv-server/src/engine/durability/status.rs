//! What keeper, saver and workers let each other know without a message.

use super::Load;
use kv_core::store::{Piece, UnixMs};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a snapshot that may wait for the disk: a shard walks no further while there are more.
const QUEUE_BYTES: usize = 32 << 20;
/// Bytes that a shard's log may have grown to at the end of a turn; while one is longer, nobody is read from.
const LOG_BYTES: usize = 64 << 20;

/// What pieces of a snapshot count while they wait to be written. The table of a flushed database counts nothing: it is
/// memory that the shard has had anyway, and nobody could wait until it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// What was serialised, and lies in memory besides the values themselves.
    copied: usize,
    all: usize,
}

impl Queued {
    pub fn of(pieces: &[Piece]) -> Queued {
        let mut queued = Queued::default();
        for piece in pieces {
            match piece {
                Piece::Records { .. } => {
                    queued.copied += piece.bytes();
                    queued.all += piece.bytes();
                }
                Piece::Value { .. } => queued.all += piece.bytes(),
                Piece::Table(_) => {}
            }
        }
        queued
    }
}

#[derive(Default)]
pub struct Status {
    durable: AtomicU64,
    marker_wanted: AtomicBool,
    change_awaited: AtomicBool,
    queue_bytes: AtomicUsize,
    copied_bytes: AtomicUsize,
    /// Shards whose log is too long.
    long_logs: AtomicUsize,
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
    pub fn queue_bytes(&self) -> usize {
        self.queue_bytes.load(Ordering::Relaxed)
    }

    /// Whether shards should walk no further for the moment.
    #[inline]
    pub fn is_queue_full(&self) -> bool {
        self.queue_bytes() >= QUEUE_BYTES
    }

    /// Whether nothing more should be read for the moment: what writes would leave behind comes faster than it can be written.
    /// While writes are refused, they leave nothing.
    #[inline]
    pub fn is_overfull(&self) -> bool {
        (self.copied_bytes.load(Ordering::Relaxed) >= 2 * QUEUE_BYTES || self.long_logs.load(Ordering::Relaxed) > 0)
            && !self.refuses_writes()
    }

    /// Pieces are on their way to the saver.
    pub(super) fn queue(&self, queued: Queued) {
        self.queue_bytes.fetch_add(queued.all, Ordering::Relaxed);
        self.copied_bytes.fetch_add(queued.copied, Ordering::Relaxed);
    }

    /// Only the saver: they have been written, or are not wanted any more. Whether workers may have waited for that; they are to
    /// be woken then.
    pub(super) fn unqueue(&self, queued: Queued) -> bool {
        let all = self.queue_bytes.fetch_sub(queued.all, Ordering::SeqCst);
        let copied = self.copied_bytes.fetch_sub(queued.copied, Ordering::SeqCst);
        let drains = |before: usize, by: usize, limit: usize| before >= limit && before - by < limit;
        drains(all, queued.all, QUEUE_BYTES) || drains(copied, queued.copied, 2 * QUEUE_BYTES)
    }

    /// Whether a shard's log of so many bytes holds up everybody.
    pub(in super::super) fn is_too_long(bytes: usize) -> bool {
        bytes >= LOG_BYTES
    }

    pub(in super::super) fn log_is_long(&self) {
        self.long_logs.fetch_add(1, Ordering::SeqCst);
    }

    /// A log that was too long has been taken. Whether there is none left, and workers are to be woken.
    pub(in super::super) fn long_log_is_taken(&self) -> bool {
        self.long_logs.fetch_sub(1, Ordering::SeqCst) == 1
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
