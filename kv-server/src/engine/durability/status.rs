//! What keeper, saver and workers let each other know without a message.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes of a snapshot that may wait for the disk: a shard walks no further while there are more.
const SAVER_QUEUE_BYTES: usize = 32 << 20;

#[derive(Default)]
pub struct Status {
    durable: AtomicU64,
    marker_wanted: AtomicBool,
    saver_bytes: AtomicUsize,
    writes_refused: AtomicBool,
    refusal: Mutex<String>,
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
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses writes with this text, or no longer.
    pub fn refuse_writes(&self, text: Option<String>) {
        let refused = text.is_some();
        if let Some(text) = text {
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
        self.writes_refused.store(refused, Ordering::Relaxed);
    }
}
