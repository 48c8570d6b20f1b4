//! Many shards as one server: sessions, routing, the order of commands and replies, commands over several shards.
//!
//! A state machine without socket, thread or clock: `io` (or the simulation of the tests) feeds it bytes, calls the steps
//! of a turn, and takes bytes away. Each worker owns some connections and one shard; nothing is shared but mailboxes and
//! a few atomic numbers ([`net`]).
//!
//! # The one rule of order
//!
//! *A command takes effect at the moment its turn is published; a turn is published in all mailboxes at one moment.*
//! The steps of a turn, each a method of [`Worker`]:
//!
//! ```text
//! received, decode    bytes of the ready sockets become requests
//! take_mail           the mailbox as it is now ...
//! run_mail            ... is run in order; a batch whose turn is not published everywhere yet holds up what follows
//! run_local           requests for the own shard run in place, the others go into one batch per destination
//! publish             the batches go out, one by one; then `published` says so
//! duties              expiry, slices of long walks, within a budget
//! ```
//!
//! A request for the own shard goes through the own mailbox, too, when something stands before it: an earlier request of
//! its connection that is not settled, mail that could not be run yet, or the shard being away at a rendezvous.
//!
//! Turns that hold a command over several shards are published one at a time ([`net::Net::lock`]), so that all shards see
//! all such commands in one order. So are turns that hold requests of *one connection* for several shards: an MGET
//! published between the two sends of a pipeline `SET x`, `SET y` would find the new `y` and the old `x`. The same goes for
//! a pipeline that is cut into two turns, until the first is *settled*: until there was a moment after it at which nobody
//! held the lock. Any MGET then stands wholly before or wholly behind it.
//!
//! With this every command is strictly serializable and a pipeline keeps its order for whoever watches, except for the
//! walks (KEYS, SCAN, RANDOMKEY, INFO, CLIENT LIST), which see each shard in its turn, for CLIENT UNBLOCK, which sees who waits
//! when it is run, and for who waits for keys on several shards (BLPOP): of commands that make such keys while others of them
//! are under way, any may serve it.

pub mod admission;
pub mod connection;
pub mod costs;
pub mod durability;
pub mod host;
pub mod join;
pub mod mail;
pub mod monitor;
pub mod net;
pub mod pubsub;
pub mod rendezvous;
pub mod script;
pub mod session;
pub mod signals;
pub mod stats;
#[cfg(test)]
mod testing;
pub mod tracking;
pub mod transaction;
pub mod worker;

pub use net::{Faults, Net, Wake};
pub use session::Session;
pub use worker::{ConnId, Publish, Setup, Worker};
