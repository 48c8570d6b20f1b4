//! Scripts: where they run, what they have of the shards, and what becomes of one that turns out to need more.
//!
//! A script is routed by the keys that it declares, like any command: on one shard it runs in its place, on several in the turn's
//! rendezvous. Its commands are carried out by the same rows and handlers as others ([`Running`](run::Running)); what they leave in the log are effects
//! on single keys, all in one epoch, since markers stand between requests.
//!
//! ```text
//!                          needs a shard that it     takes long        changes what cannot
//!                          does not have                               be taken back
//! Attempt::Declared        Everywhere                Alone             Everywhere
//! Attempt::Everywhere      (has all)                 Alone             goes on, for better or worse
//! Attempt::Alone           (has all)                 goes on           goes on
//! ```
//!
//! What an attempt has done when it ends like this is taken back before anybody can see it (`kv_core::store::Undo`), and the next
//! one begins anew. *Everywhere* is a rendezvous of all shards. *Alone* is one, too, but it is carried out by the thread `scripts`
//! ([`Job`]): so workers are never away from their sockets for long, whatever a script does; while it runs they refuse what needs
//! a shard with BUSY, as soon as `busy-reply-threshold` is over, and SCRIPT KILL reaches it.
//!
//! The commands of a connection behind such a script must see what it has done. So a connection waits for the reply of each script
//! that is not run in its place at once.
//!
//! A script that has needed more is expected to need it again, and begins Everywhere ([`Script::begins_everywhere`]); each run that
//! would have been content with the declared shards counts against that. One that writes large values, on a server of several shards, is such.
//!
//! Inside a transaction there is no next attempt: the whole of it runs on all shards, and its scripts to their end.
//!
//! **Functions** are found in the libraries that all shards know (`kv_core::store::Libraries`), and run as scripts do. What changes the
//! libraries ([`libraries`]) runs on all shards at once. A thread runs the code of a library when it first meets one of its functions.
//!
//! **The interpreter** belongs to the thread, not to the worker: it holds no state that matters, only compiled code. What is known by
//! its SHA-1 is known to the server ([`Scripts`]).

mod bench;
mod cache;
mod commands;
mod libraries;
mod run;
#[cfg(test)]
mod tests;

pub(super) use bench::{Asked, Ran, begins_everywhere, load, run};
pub use cache::{Known, LongCall, Script, Scripts, Sha};

use super::costs::{Meter, Metering, SlowCall};
use super::durability::Status;
use super::host::System;
use super::mail::{Batch, Mail};
use super::net::Net;
use super::pubsub::Message;
use super::stats::Figures;
use super::worker::{Env, Service, run_gathered};
use crate::config::LogLevel;
use kv_core::command::Settings;
use kv_core::store::{KeyHasher, Shard};
use std::cell::RefCell;
use std::sync::Arc;

/// Which attempt a script is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attempt {
    /// On the shards of the keys that it declares.
    #[default]
    Declared,
    /// On all shards.
    Everywhere,
    /// On all shards, not on a worker.
    Alone,
}

/// What scripts need of the server.
#[derive(Clone)]
pub struct Scripting {
    pub net: Arc<Net>,
    pub system: Arc<dyn System>,
    pub status: Arc<Status>,
    /// `script-strict-keys`: a key that was not declared is an error.
    pub strict_keys: bool,
    pub databases: usize,
    /// What is less than this is not logged.
    pub log_level: LogLevel,
}

/// How long a script runs on a worker at most, if it can be run anew: what clients of the same worker may have to wait.
const WORKER_US: u64 = 20_000;

/// A rendezvous with a script in it that runs alone.
pub struct Job {
    pub(super) shards: Vec<Box<Shard>>,
    pub(super) work: Box<Batch>,
    pub(super) settings: Settings,
    pub(super) hasher: Arc<KeyHasher>,
    pub(super) scripting: Scripting,
    pub(super) now_us: u64,
    pub(super) metering: Metering,
}

/// What became of it; for the worker that wished for it.
pub struct Outcome {
    pub(super) shards: Vec<Box<Shard>>,
    pub(super) work: Box<Batch>,
    pub(super) said: Vec<Message>,
    /// For monitors.
    pub(super) shown: Vec<u8>,
    pub(super) service: Service,
    pub(super) slow: Vec<SlowCall>,
    pub(super) figures: Figures,
}

impl Job {
    /// Carries out what would keep a worker for too long, and sends everything home.
    pub fn run(self) {
        let Job { mut shards, mut work, settings, hasher, scripting, now_us, metering } = self;
        let net = scripting.net.clone();
        let meter = Meter::new(net.clone(), scripting.system.clone(), net.workers());
        meter.set_metering(metering);
        meter.set_time(now_us / 1000);
        meter.begin(work.from, work.since_ns);
        let (said, shown) = (RefCell::default(), RefCell::default());
        let env = Env {
            shards: net.workers(),
            sliced: false,
            now: now_us / 1000,
            now_us,
            settings: &settings,
            hasher: &hasher,
            faults: net.faults(),
            meter: &meter,
            scripting: &scripting,
            said: &said,
            shown: (!work.lines.to().is_empty()).then_some(&shown),
            is_admitted: false,
            leaves: false,
        };
        let mut figures = Figures::default();
        let mut service = Service::default();
        run_gathered(&env, &mut shards, &mut work, &mut service, &mut figures);
        meter.end();
        let slow = std::iter::from_fn(|| meter.next_slow()).collect();
        let outcome = Outcome { shards, said: said.take(), shown: shown.take(), service, slow, figures, work };
        net.send(outcome.work.from, Mail::Alone(Box::new(outcome)));
    }
}
