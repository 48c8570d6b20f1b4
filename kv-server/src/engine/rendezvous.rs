//! Several shards in one hand, for commands whose keys lie on several of them.
//!
//! All shards reach the rendezvous in the same order of commands, so nobody can wait for a worker that waits for him.
//! A worker that arrives deposits its shard and goes on with its sockets; the last one to arrive owns them all and runs
//! the commands. Ownership moves, so there is nothing to lock while they run; the mutex here guards the handing over.

use super::mail::Batch;
use kv_core::store::{Shard, UnixMs};
use std::sync::{Mutex, PoisonError};

pub struct Rendezvous {
    /// How many shards come.
    expected: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    shards: Vec<Box<Shard>>,
    /// The latest moment at which one of the shards was used.
    now: UnixMs,
    work: Option<Box<Batch>>,
}

impl Rendezvous {
    pub fn new(expected: usize, work: Box<Batch>) -> Rendezvous {
        Rendezvous {
            expected,
            inner: Mutex::new(Inner { shards: Vec::with_capacity(expected), now: 0, work: Some(work) }),
        }
    }

    /// Hands a shard in, last used at `now`. The last one to arrive gets them all, ascending by index, the work, and the
    /// moment to run it at: his own clock may have been read before that of another, for whose shard time would go back.
    pub fn arrive(&self, shard: Box<Shard>, now: UnixMs) -> Option<(Vec<Box<Shard>>, Box<Batch>, UnixMs)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.shards.push(shard);
        inner.now = inner.now.max(now);
        if inner.shards.len() < self.expected {
            return None;
        }
        let mut shards = std::mem::take(&mut inner.shards);
        shards.sort_by_key(|s| s.index);
        Some((shards, inner.work.take().expect("a rendezvous happens once"), inner.now))
    }
}
