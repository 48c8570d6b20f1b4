//! Client tracking: clients keep copies of what they read, and are told when these are no longer right.
//!
//! ```text
//! shard of a key     which clients have read it (kv_core::store::tracking), marked by the read itself
//! a write there      takes the readers, and sends a `News` to each worker that has some of them
//! worker of a client puts a push behind all that the client has asked for so far
//! ```
//!
//! **No copy stays wrong.** A read and the mark it leaves are one step on the shard, and so are a write and the taking of marks. So a
//! copy that is older than a write has left a mark before it, and the news of that write is sent. A push may come from another worker
//! than the reply of the read, and sooner; but the request of that read has its ticket in the line of its connection until it is
//! answered, and the push stands behind all tickets there are. So it always comes behind the reply that it follows. It may also
//! come behind a later read, which has seen the write: then a copy is dropped that was right.
//!
//! **News are sent before replies** to the write leave the worker that ran it: who has the reply knows them to be on their way.
//! With `always` a push is held back like any reply until what it tells of is durable.
//!
//! **Broadcasting** (BCAST) leaves no marks. Prefixes are topics of the hub, so the other workers know of them before CLIENT TRACKING
//! is answered; while there are any, shards note all keys that are written, and at the end of a turn or a batch these go to the
//! workers whose prefixes they have.
//!
//! **A flush** is told once, by the worker that runs it on the first shard. A read of another shard that comes before the flush there
//! was asked for before the flush was published, hence before that worker could tell of it, so its ticket is in line.
//!
//! **Redirection**: a client's number tells its worker ([`super::net::Net::worker_of`]), which is asked whether the client is there
//! when tracking begins, and gets the news. If it is gone by then, the worker of the tracking client hears of it.
//!
//! A client that is gone, or tracks no more, stays among the readers of keys until they are written: its number is not used again.

use super::mail::Dest;
use super::worker::ConnId;
use kv_core::store::{Stale, Written};

/// Which reads of a session are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    All,
    /// Those behind CLIENT CACHING YES.
    OptIn,
    /// All but those behind CLIENT CACHING NO.
    OptOut,
    /// None: it is told of all keys with its prefixes.
    Broadcast,
}

/// Tracking as a session has turned it on.
#[derive(Clone, Debug)]
pub struct Tracking {
    pub mode: Mode,
    /// It is not told of its own writes.
    pub noloop: bool,
    /// The client that is told in its place; 0: itself.
    pub redirect: u64,
    /// That client is gone.
    pub is_broken: bool,
    /// CLIENT CACHING was said about the next command.
    pub is_caching: bool,
    /// Of a broadcast: ascending, and none begins with another.
    pub prefixes: Vec<Box<[u8]>>,
}

impl Tracking {
    /// Whether the next command's reads are remembered.
    pub fn remembers(&self) -> bool {
        match self.mode {
            Mode::All => true,
            Mode::OptIn => self.is_caching,
            Mode::OptOut => !self.is_caching,
            Mode::Broadcast => false,
        }
    }
}

/// What a worker's clients are to be told.
#[derive(Debug, Default)]
pub struct News {
    /// Keys with their readers here.
    pub stale: Vec<Stale>,
    /// Keys with prefixes that somebody here wants to hear of.
    pub written: Written,
    /// The epoch of the writes.
    pub shows: u64,
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.stale.is_empty() && self.written.is_empty()
    }
}

/// Mail about tracking.
#[derive(Debug)]
pub enum TrackingMail {
    News(News),
    /// For a client here in place of `tracker`. No keys: all are stale.
    Redirected {
        to: u64,
        tracker: u64,
        keys: Option<Vec<Box<[u8]>>>,
        shows: u64,
    },
    /// The client that news were redirected to is gone.
    Broken {
        tracker: u64,
    },
    /// Is the client here that somebody wants to redirect to?
    Seek {
        from: usize,
        wish: Box<Wish>,
    },
    /// The answer.
    Sought {
        wish: Box<Wish>,
        found: bool,
    },
}

/// A CLIENT TRACKING that waits.
#[derive(Debug)]
pub struct Wish {
    pub conn: ConnId,
    pub dest: Dest,
    /// `None`: tracking ends.
    pub wanted: Option<Tracking>,
    /// The client that is sought.
    pub redirect: u64,
}
