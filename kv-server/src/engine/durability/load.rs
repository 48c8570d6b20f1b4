//! Loading, as workers see it: until it is over they have empty shards, and refuse what is not allowed while loading.
//!
//! Each worker gets its shard as mail ([`super::LoadedShard`]); after all have been sent, [`Load::end`] is called. A worker lets
//! requests in when it has its shard *and* loading is over: what it sends to others then lies behind their shards in their
//! mailboxes.

use super::recover::Progress;
use kv_core::store::UnixMs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Default)]
pub struct Load {
    is_active: AtomicBool,
    since: AtomicU64,
    pub progress: Progress,
}

impl Load {
    /// Before any worker is made.
    pub fn begin(&self, now: UnixMs) {
        self.since.store(now, Ordering::Relaxed);
        self.is_active.store(true, Ordering::SeqCst);
    }

    /// After all workers have been sent their shards.
    pub fn end(&self) {
        self.is_active.store(false, Ordering::SeqCst);
    }

    pub fn is_active(&self) -> bool {
        self.is_active.load(Ordering::SeqCst)
    }

    pub fn since(&self) -> UnixMs {
        self.since.load(Ordering::Relaxed)
    }
}
