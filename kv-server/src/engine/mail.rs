//! What workers send each other.
//!
//! A [`Batch`] carries all requests of one turn for one destination: their words copied into one buffer, one [`Item`] a
//! request. It is run at the destination, filled with the replies, and goes back in the same allocation.

use super::costs::SlowCall;
use super::durability::{LoadedShard, Marker};
use super::monitor::{Lines, Shown};
use super::pubsub::Interest;
use super::rendezvous::Rendezvous;
use super::script::{Attempt, Outcome};
use super::tracking::TrackingMail;
use super::transaction::Unit;
use kv_core::command::RowId;
use kv_core::resp::{Arg, Proto};
use kv_core::store::{Claim, Shard, UnixMs};
use std::sync::Arc;

pub enum Mail {
    /// Requests for this worker's shard. Runs only once the sender's turn is published.
    Requests(Box<Batch>),
    /// A batch of this worker with its replies.
    Replies(Box<Batch>),
    /// The answer of a long walk, which left its batch behind.
    Late(Box<Late>),
    /// This worker's shard, back from a rendezvous.
    Home(Box<Shard>),
    /// What another worker has subscribers for.
    Interest(Arc<Interest>),
    /// A worker has noted this worker's message of that number, and all before.
    InterestNoted { by: usize, number: u64 },
    /// A client is gone: what it watches on this worker's shard ends.
    Forget(u64),
    /// A client waits no longer: it leaves the lines of this worker's shard.
    Leave(u64),
    /// What shards have come together for, this worker's among them, for its monitors.
    Shown(Box<Shown>),
    /// About client tracking.
    Tracking(Box<TrackingMail>),
    /// A call of one of this worker's clients took too long.
    Slow(Box<SlowCall>),
    /// What shards came together for at this worker's wish has been done, not by a worker.
    Alone(Box<Outcome>),
    /// To worker 0: a marker to publish.
    Mark(Marker),
    /// This worker's shard, with all that was kept: the start is over.
    Loaded(Box<LoadedShard>),
}

#[derive(Default)]
pub struct Batch {
    /// The sender; it gets the replies.
    pub from: usize,
    /// The sender's turn, see [`super::net::Net::published`].
    pub turn: u64,
    /// When the first request was put in, by the clock of `System::ns`.
    pub since_ns: u64,
    pub items: Vec<Item>,
    pub words: Vec<Arg>,
    /// Hashes of keys, so that they are made once and all can be fetched ahead.
    pub hashes: Vec<u64>,
    pub bytes: Vec<u8>,
    /// Transactions among the items. They go back with the batch.
    pub units: Vec<Option<Box<Unit>>>,
    /// The latest epoch that messages among the items, and lines, may tell of (`worker::pubsub::OPEN_EPOCH`: the one open where they are delivered).
    pub tells: u64,
    /// For the monitors of the destination, when the items have run. Of the work of a rendezvous: for those of other workers, too.
    pub lines: Lines,
    /// Of the items that may wait.
    pub waits: Vec<Wait>,
    /// Of the work of a rendezvous: keys whose clients have waited for it.
    pub wakes: Vec<Wake>,
    /// The replies, one after the other; item `i`'s ends at `items[i].reply_end`.
    pub replies: Vec<u8>,
    /// The end of an epoch, after the items.
    pub marker: Option<Marker>,
    /// What all these shards come together for, after the items and the marker.
    pub rendezvous: Option<Arc<Rendezvous>>,
    /// Its items have been run; the rest waits for events of them to be published.
    pub has_run: bool,
    /// Of a batch with replies: the epoch of the last write on the shards they come from.
    pub shows: u64,
}

/// Buffers above this size are let go instead of being kept for the next turn.
const KEEP_BYTES: usize = 256 * 1024;

impl Batch {
    /// Empties the batch for its next use.
    pub fn clear(&mut self) {
        self.items.clear();
        self.words.clear();
        self.hashes.clear();
        self.bytes.clear();
        self.units.clear();
        self.lines.clear();
        self.waits.clear();
        self.wakes.clear();
        self.replies.clear();
        self.marker = None;
        self.rendezvous = None;
        (self.tells, self.shows, self.has_run) = (0, 0, false);
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
        if self.replies.capacity() > KEEP_BYTES {
            self.replies = Vec::new();
        }
        if self.words.capacity() * size_of::<Arg>() > KEEP_BYTES {
            self.words = Vec::new();
            self.hashes = Vec::new();
        }
    }

    /// Adds a word to the item being built; `start` is where the item's bytes begin.
    #[inline]
    pub fn push_word(&mut self, start: usize, word: &[u8]) {
        self.words.push(Arg { start: (self.bytes.len() - start) as u32, len: word.len() as u32 });
        self.bytes.extend_from_slice(word);
    }

    /// Bytes of replies to the client of item `i` before it.
    pub fn reply_bytes_before(&self, i: usize) -> usize {
        let mut start = 0;
        let mut bytes = 0;
        for item in &self.items[..i] {
            if item.client == self.items[i].client {
                bytes += item.reply_end - start;
            }
            start = item.reply_end;
        }
        bytes
    }

    /// Adds how the next item may wait; gives what that item refers to it by.
    pub fn push_wait(&mut self, wait: Wait) -> u32 {
        self.waits.push(wait);
        self.waits.len() as u32 - 1
    }

    /// The reply of item `i`.
    pub fn reply_of(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.items[i - 1].reply_end };
        &self.replies[start..self.items[i].reply_end]
    }

    /// Adds a transaction.
    pub fn push_unit(&mut self, item: Item, unit: Box<Unit>) {
        let unit_at = self.units.len() as u32;
        self.units.push(Some(unit));
        self.items.push(Item {
            unit: unit_at,
            hashes_start: self.hashes.len() as u32,
            bytes_start: self.bytes.len(),
            words_start: self.words.len() as u32,
            ..item
        });
    }

    /// The hashes of an item's keys.
    #[inline]
    pub fn hashes(&self, item: &Item) -> &[u64] {
        &self.hashes[item.hashes_start as usize..][..item.hashes_len as usize]
    }

    /// The words of an item and the buffer they lie in.
    #[inline]
    pub fn request(&self, item: &Item) -> (&[u8], &[Arg]) {
        (&self.bytes[item.bytes_start..], &self.words[item.words_start as usize..][..item.words_len as usize])
    }
}

/// How a request may wait.
pub struct Wait {
    pub claim: Arc<Claim>,
    /// On the way back: until when it does.
    pub until: Option<UnixMs>,
}

/// A key that was written.
pub struct Wake {
    pub db: usize,
    pub key: Box<[u8]>,
}

/// One request (or a shard's part of one) in a batch.
#[derive(Clone, Copy)]
pub struct Item {
    /// Of a transaction: its place in `units`; else [`NO_UNIT`].
    pub unit: u32,
    /// Of one that may wait: its place in `waits`; else [`NO_WAIT`].
    pub wait: u32,
    /// Of a script.
    pub attempt: Attempt,
    pub row: RowId,
    pub db: u16,
    pub proto: Proto,
    /// The session does not count its accesses (CLIENT NO-TOUCH).
    pub no_touch: bool,
    /// What it reads is remembered for its client (CLIENT TRACKING).
    pub tracks: bool,
    /// Position of the first key; 0 when there is none.
    pub key_at: u16,
    /// From one key to the next.
    pub key_step: u16,
    /// The hashes of the keys (or of the first one), in the batch.
    pub hashes_start: u32,
    pub hashes_len: u32,
    pub bytes_start: usize,
    pub words_start: u32,
    pub words_len: u32,
    pub dest: Dest,
    /// Number of the connection the request came from (0: none).
    pub client: u64,
    /// Where the reply ends in `replies`; it begins where the item's before ends.
    pub reply_end: usize,
    pub answer: Answer,
}

pub const NO_UNIT: u32 = u32::MAX;
pub const NO_WAIT: u32 = u32::MAX;

impl Item {
    /// One without words yet, of no client.
    pub fn new(row: RowId, dest: Dest) -> Item {
        Item {
            unit: NO_UNIT,
            wait: NO_WAIT,
            attempt: Attempt::Declared,
            row,
            db: 0,
            proto: Proto::Resp2,
            no_touch: false,
            tracks: false,
            key_at: 0,
            key_step: 1,
            hashes_start: 0,
            hashes_len: 0,
            bytes_start: 0,
            words_start: 0,
            words_len: 0,
            dest,
            client: 0,
            reply_end: 0,
            answer: Answer::Here,
        }
    }
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply is in the batch.
    Here,
    /// The reply comes later, by itself.
    Late,
    /// It is a transaction whose rest is done by the worker of the connection.
    Unit,
    /// Not run: the replies to its client have passed the limit of unread output, and the client is cut.
    Cut,
    /// It waits; the reply comes later, by itself.
    Waits,
    /// Not run, or not answered: it needs no answer any more.
    Dropped,
}

/// Where a reply belongs, at the worker that sent the request.
#[derive(Clone, Copy, Debug)]
pub enum Dest {
    Ticket {
        conn: u32,
        ticket: u32,
    },
    Join {
        join: u32,
        part: u16,
    },
    /// The next element of the reply of the EXEC that is being carried out.
    Element {
        conn: u32,
    },
    /// Another worker, which waits for it: its number in `Worker::relays`.
    Relay {
        relay: u32,
    },
    /// It was no client that asked, or a script, which has its answer.
    Nobody,
}

impl Dest {
    /// Whether it is the answer to a request, or the first part of one.
    #[inline]
    pub fn is_first(&self) -> bool {
        !matches!(self, Dest::Join { part: 1.., .. } | Dest::Nobody)
    }
}

pub struct Late {
    pub dest: Dest,
    /// In pieces, so that nobody copies or grows a buffer of many megabytes at once.
    pub reply: Vec<Vec<u8>>,
    pub elements: u64,
    /// As `Batch::shows`.
    pub shows: u64,
}
