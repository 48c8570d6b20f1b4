//! The keys of one shard: entries, lookup, expiry, scan.
//!
//! ```text
//! Shard -> Db (one a database) -> Table<Entry> -> Entry: header, expiry, key, value in one block
//!                              -> Wheel: when which bucket has something due
//! ```
//!
//! Time comes in as an argument. What was removed because it expired, and what is too big to be freed on the spot, is
//! collected and picked up by the engine.

mod collection;
mod db;
pub mod entry;
mod event;
mod key;
mod libraries;
mod load;
mod log;
mod notices;
mod shard;
mod snapshot;
mod timer;
mod tracking;
mod undo;
mod waits;
mod watch;

pub use collection::{Collection, WrongType};
pub use db::{Db, Detached, Due, Expire, Old, StrValue, fuzz_db};
use entry::Entry;
pub use entry::{EntryMut, EntryRef, Form, LoneEntry, Object, Value};
pub use event::Event;
pub use key::{Key, KeyHasher, place_of};
pub use libraries::{Callable, Libraries, Reach, Taken};
pub use log::{LogMark, ShardLog};
pub use notices::{Classes, Notice, Notices};
pub use shard::{Garbage, Shard, ShardStats};
pub use snapshot::{Frozen, Piece};
pub use tracking::{Readers, Stale, Tracking, Written};
pub use undo::Undo;
pub use waits::{Claim, Kind, Lines, Waiter, Waits};
pub use watch::Watches;

/// A moment: milliseconds since 1970.
pub type UnixMs = u64;
