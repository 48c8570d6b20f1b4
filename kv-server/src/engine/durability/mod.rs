//! Nothing is lost: the log, snapshots, and what workers have to do with them.
//!
//! ```text
//! workers    write effects into their shard's log; pass markers; walk their shard for a snapshot
//!   |  \
//!   |   ToSaver: pieces of a snapshot          saver    one thread: serialises, compresses, writes, syncs
//!   |                                            |
//!   ToKeeper: what an epoch holds              keeper   one thread: decides when an epoch ends, when to sync, save, rewrite; writes
//!   ^                                                   the log and the manifest
//!   Mail::Mark, Mail::Late, Status             <- what comes back
//! ```
//!
//! # Epochs
//!
//! Epochs are counted 1, 2, 3 ... and end with a [`Marker`]. A marker is published by worker 0 in one of its turns, under the
//! lock of publishing, to all workers; each passes it at its place in the mailbox. By the rule of order every command lies
//! before or behind it on all shards alike, so the state at a marker is one that the whole server had. What a shard logs
//! after the marker of epoch `e` belongs to epoch `e + 1`.
//!
//! Who logs something while no marker is asked for says [`ToKeeper::Wanted`]; the keeper answers with a marker when it is
//! time for one. An idle server has no epochs.
//!
//! # What leaves the server
//!
//! With `appendfsync always` the output of a connection carries the epoch of the last write on the shards it came from, and
//! leaves when [`Status::durable`] has reached it: nothing is seen that could be lost. No worker waits for a disk.

pub mod check;
mod disk;
mod keeper;
mod load;
pub mod recover;
mod saver;
mod status;
#[cfg(any(test, feature = "faults"))]
pub mod testing;

pub use disk::{Disk, DiskFile};
pub use keeper::{Keeper, KeeperSetup, Loaded, MANIFEST};
pub use load::Load;
pub use saver::{Saver, SaverSetup};
pub use status::{End, Figures, Queued, Status};

use super::mail::Dest;
use crate::config::Config;
use crossbeam_channel::{Receiver, Sender, unbounded};
use kv_core::resp::Proto;
use kv_core::store::{Piece, Shard, UnixMs};
use std::io;
use std::sync::Arc;

/// The end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    pub epoch: u64,
    /// A snapshot of this number begins here.
    pub snapshot: Option<u64>,
    /// Whether shards log from here on.
    pub log: bool,
    /// Whether output waits from here on until what it shows is durable.
    pub hold: bool,
}

impl Marker {
    /// What is "before the first epoch" where nothing is logged.
    pub const NEVER: Marker = Marker { epoch: 0, snapshot: None, log: false, hold: false };
}

/// What a worker gets when everything is loaded.
pub struct LoadedShard {
    pub shard: Box<Shard>,
    /// The marker that ended the last epoch before the start.
    pub last: Marker,
}

/// What the keeper is asked by a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Answered when the snapshot is on disk.
    Save,
    /// Answered when the snapshot has begun. `schedule`: after what is under way, if something is.
    BackgroundSave {
        schedule: bool,
    },
    BackgroundRewrite,
}

/// To the keeper.
pub enum ToKeeper {
    /// Something was logged while no marker was asked for.
    Wanted,
    /// Something was written while that was awaited, see [`Status::await_change`].
    Changed,
    /// A shard has passed a marker.
    Passed {
        epoch: u64,
        shard: usize,
        /// The records of the epoch.
        log: Vec<u8>,
        /// The writes of the shard so far.
        dirty: u64,
        now: UnixMs,
    },
    /// A client asks; the answer goes to worker `from` as [`super::mail::Late`].
    Ask { question: Question, from: usize, dest: Dest, proto: Proto },
    /// Options have changed.
    Options(Box<Config>),
    /// From the saver: all files of a snapshot are whole and safe. Their lengths, by shard, and how many keys they hold.
    Saved { snapshot: u64, bytes: Vec<u64>, keys: u64 },
    /// From the saver: a snapshot could not be written.
    SaveFailed { snapshot: u64, error: String },
    /// The server is to end: everything is to be kept, in a last snapshot if `save`. [`Status::end`] tells the outcome. No
    /// command may be run after it; the workers go on with their turns until there is one.
    Stop { save: bool },
}

/// To the saver.
pub enum ToSaver {
    /// A snapshot of so many shards begins at the end of `epoch`. Pieces of it follow, and of no other.
    Begin { snapshot: u64, epoch: u64, shards: usize, now: UnixMs, compress: bool },
    /// What a shard had to save since the last time. `queued` is what [`Status::queue`] was told of them.
    Pieces { snapshot: u64, shard: usize, pieces: Vec<Piece>, queued: Queued, is_last: bool },
    /// What there is of a snapshot is not wanted any more.
    Abort { snapshot: u64 },
}

/// Is shown each shard at each marker, before anything behind it is done.
#[cfg(feature = "faults")]
pub type Observer = Arc<dyn Fn(Marker, &Shard) + Send + Sync>;

/// What a worker knows of the keeper and the saver.
#[derive(Clone)]
pub struct Link {
    keeper: Sender<ToKeeper>,
    saver: Sender<ToSaver>,
    status: Arc<Status>,
    #[cfg(feature = "faults")]
    pub observer: Option<Observer>,
}

/// The other ends of a [`Link`].
pub struct Inboxes {
    pub keeper: Receiver<ToKeeper>,
    pub saver: Receiver<ToSaver>,
}

impl Link {
    /// A link, and the ends of keeper and saver.
    pub fn new(status: Arc<Status>) -> (Link, Inboxes) {
        let ((keeper, to_keeper), (saver, to_saver)) = (unbounded(), unbounded());
        let link = Link {
            keeper,
            saver,
            status,
            #[cfg(feature = "faults")]
            observer: None,
        };
        (link, Inboxes { keeper: to_keeper, saver: to_saver })
    }

    /// A link to nobody: nothing is kept.
    pub fn to_nobody() -> Link {
        Link::new(Arc::default()).0
    }

    pub fn status(&self) -> &Status {
        &self.status
    }

    pub fn shared_status(&self) -> Arc<Status> {
        self.status.clone()
    }

    pub fn keeper(&self) -> &Sender<ToKeeper> {
        &self.keeper
    }

    pub fn saver(&self) -> &Sender<ToSaver> {
        &self.saver
    }

    /// Hands the saver what a shard had to save.
    pub fn save(&self, snapshot: u64, shard: usize, pieces: Vec<Piece>, is_last: bool) {
        let queued = Queued::of(&pieces);
        self.status.queue(queued);
        let _ = self.saver.send(ToSaver::Pieces { snapshot, shard, pieces, queued, is_last });
    }

    /// Tells the keeper; at the end of the server there may be none any more, and nobody waits for it.
    pub fn tell(&self, message: ToKeeper) {
        let _ = self.keeper.send(message);
    }

    /// Writes were counted: tells the keeper if it waits for that.
    #[inline]
    pub fn changed(&self) {
        if self.status.take_change_awaited() {
            self.tell(ToKeeper::Changed);
        }
    }

    /// Something lies in a shard's log: asks for a marker, unless one is asked for already.
    #[inline]
    pub fn want_marker(&self) {
        if !self.status.is_marker_wanted() && self.status.set_marker_wanted() {
            self.tell(ToKeeper::Wanted);
        }
    }
}

/// The error in the words of the system, without the number that the library adds.
fn words_of(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
