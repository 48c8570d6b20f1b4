//! Several shards in one hand, for commands whose keys lie on several of them.
//!
//! All shards reach the rendezvous in the same order of commands, so nobody can wait for a worker that waits for him.
//! A worker that arrives deposits its shard and goes on with its sockets; the last one to arrive owns them all and runs
//! the commands. Ownership moves, so there is nothing to lock while they run; the mutex here guards the handing over.

use super::mail::Batch;
use kv_core::store::Shard;
use std::sync::{Mutex, PoisonError};

pub struct Rendezvous {
    /// How many shards come.
    expected: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    shards: Vec<Box<Shard>>,
    work: Option<Box<Batch>>,
}

impl Rendezvous {
    pub fn new(expected: usize, work: Box<Batch>) -> Rendezvous {
        Rendezvous { expected, inner: Mutex::new(Inner { shards: Vec::with_capacity(expected), work: Some(work) }) }
    }

    /// Hands a shard in. The last one to arrive gets them all, ascending by index, and the work.
    pub fn arrive(&self, shard: Box<Shard>) -> Option<(Vec<Box<Shard>>, Box<Batch>)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.shards.push(shard);
        if inner.shards.len() < self.expected {
            return None;
        }
        let mut shards = std::mem::take(&mut inner.shards);
        shards.sort_by_key(|s| s.index);
        Some((shards, inner.work.take().expect("a rendezvous happens once")))
    }
}
