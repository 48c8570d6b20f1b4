//! What the workers share: mailboxes, who has published what, the lock of publishing, who sleeps, statistics.
//!
//! Nothing here is data of the store. The lock is held only while the batches of one turn are sent, and only by turns
//! whose batches have to be seen in one order by several shards: with a command over several shards, or with requests of
//! one connection for several shards.

use super::costs::{Cost, Costs, Events, Histogram, SlowLog};
use super::mail::Mail;
use super::pubsub::{Audience, Kind};
use super::script::Scripts;
use super::signals::{Published, Sleep, Turnstile};
use super::stats::WorkerStats;
use crossbeam_channel::{Receiver, Sender, unbounded};
use kv_core::command::RowId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Wakes a worker that sleeps in its poll.
pub trait Wake: Send + Sync {
    fn wake(&self);
}

/// For workers that never sleep (the simulation).
pub struct NeverAsleep;

impl Wake for NeverAsleep {
    fn wake(&self) {}
}

/// Parts of the rule of order left out on purpose, to prove that the simulation would notice. All false in a server;
/// they can be set only with the feature `faults`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Publish turns over several shards without the lock.
    pub no_lock: bool,
    /// Run batches whose turn is not published everywhere yet.
    pub no_published_flag: bool,
    /// Run local requests in place although the connection sent some away before them.
    pub no_connection_order: bool,
    /// Do not look at the watches on the last of the shards of a transaction.
    pub watch_unchecked: bool,
    /// Run a transaction shard by shard.
    pub transaction_in_pieces: bool,
    /// Take elements for who waits before the right to answer.
    pub claims_late: bool,
    /// Serve nobody at the end of what several shards have come together for.
    pub no_wake_up: bool,
    /// Of those who wait for a key, serve who came last.
    pub last_first: bool,
    /// Leave out of the log what is done for those who wait.
    pub serves_unlogged: bool,
    /// Give news of keys to clients in front of replies that are on their way.
    pub news_overtake: bool,
    /// Keep what the first attempt of a script has done.
    pub script_not_taken_back: bool,
    /// Show commands to monitors as soon as they are sent, and run them in place all the same.
    pub lines_overtake: bool,
}

impl Faults {
    pub const NONE: Faults = Faults {
        no_lock: false,
        no_published_flag: false,
        no_connection_order: false,
        watch_unchecked: false,
        transaction_in_pieces: false,
        claims_late: false,
        no_wake_up: false,
        last_first: false,
        serves_unlogged: false,
        news_overtake: false,
        script_not_taken_back: false,
        lines_overtake: false,
    };
}

/// One worker's share; aligned so that two workers never write to one cache line.
#[repr(align(128))]
struct Port {
    mailbox: Sender<Mail>,
    published: Published,
    sleep: Sleep,
    wake: Box<dyn Wake>,
    connections: AtomicUsize,
    stats: WorkerStats,
    costs: Costs,
    audience: Audience,
}

pub struct Net {
    ports: Box<[Port]>,
    turnstile: Turnstile,
    next_client: AtomicU64,
    /// Clients with tracking.
    tracking: AtomicUsize,
    /// Connections refused because the server was full.
    rejected: AtomicU64,
    slow_log: SlowLog,
    events: Events,
    /// What was carried out by no worker.
    costs_alone: Costs,
    faults: Faults,
    /// What is known of scripts.
    pub scripts: Scripts,
}

impl Net {
    /// A net for as many workers as there are wakers; with each worker's mailbox.
    pub fn new(wakers: Vec<Box<dyn Wake>>, databases: usize) -> (Arc<Net>, Vec<Receiver<Mail>>) {
        Net::build(wakers, databases, Faults::default())
    }

    /// A net that breaks the rule of order.
    #[cfg(feature = "faults")]
    pub fn with_faults(
        wakers: Vec<Box<dyn Wake>>,
        databases: usize,
        faults: Faults,
    ) -> (Arc<Net>, Vec<Receiver<Mail>>) {
        Net::build(wakers, databases, faults)
    }

    fn build(wakers: Vec<Box<dyn Wake>>, databases: usize, faults: Faults) -> (Arc<Net>, Vec<Receiver<Mail>>) {
        let mut mailboxes = Vec::new();
        let ports = wakers
            .into_iter()
            .map(|wake| {
                let (sender, receiver) = unbounded();
                mailboxes.push(receiver);
                Port {
                    mailbox: sender,
                    published: Published::default(),
                    sleep: Sleep::default(),
                    wake,
                    connections: AtomicUsize::new(0),
                    stats: WorkerStats::new(databases),
                    costs: Costs::default(),
                    audience: Audience::default(),
                }
            })
            .collect();
        let net = Net {
            ports,
            turnstile: Turnstile::default(),
            next_client: AtomicU64::new(0),
            tracking: AtomicUsize::new(0),
            rejected: AtomicU64::new(0),
            slow_log: SlowLog::default(),
            events: Events::default(),
            costs_alone: Costs::default(),
            faults,
            scripts: Scripts::default(),
        };
        (Arc::new(net), mailboxes)
    }

    /// How many workers, and shards, there are.
    pub fn workers(&self) -> usize {
        self.ports.len()
    }

    #[inline]
    pub(super) fn faults(&self) -> Faults {
        if cfg!(feature = "faults") { self.faults } else { Faults::NONE }
    }

    /// Puts mail into a mailbox and wakes its worker if it sleeps.
    pub fn send(&self, to: usize, mail: Mail) {
        self.post(to, mail);
        self.wake(to);
    }

    /// Puts mail into a mailbox; the caller wakes the worker.
    pub(super) fn post(&self, to: usize, mail: Mail) {
        // A worker that has ended (at the server's stop) has no mailbox any more, and nobody waits for the answer.
        let _ = self.ports[to].mailbox.send(mail);
    }

    /// Wakes a worker if it sleeps. What it is woken for must be there before.
    pub fn wake(&self, worker: usize) {
        let port = &self.ports[worker];
        if port.sleep.must_be_ended() {
            port.wake.wake();
        }
    }

    /// Says that the worker is about to sleep. It must look at its mailbox once more after this call, and not sleep if
    /// something lies there.
    pub fn falls_asleep(&self, worker: usize) {
        self.ports[worker].sleep.begins();
    }

    /// How many workers do not sleep.
    pub fn awake(&self) -> usize {
        self.ports.iter().filter(|port| !port.sleep.is_on()).count()
    }

    pub fn is_awake(&self, worker: usize) {
        self.ports[worker].sleep.ends();
    }

    /// Up to which turn all of a worker's batches lie in their mailboxes.
    #[inline]
    pub fn published(&self, worker: usize) -> u64 {
        self.ports[worker].published.turn()
    }

    pub(super) fn set_published(&self, worker: usize, turn: u64) {
        self.ports[worker].published.set(turn);
    }

    /// Takes the lock of publishing if it is free. Never waits.
    pub(super) fn lock(&self) -> bool {
        self.faults().no_lock || self.turnstile.lock()
    }

    /// Whether some worker holds the lock just now. If not, each turn published under it stands wholly behind all that
    /// was sent before, or wholly before all that is sent, and taken from a mailbox, after.
    pub(super) fn is_locked(&self) -> bool {
        self.turnstile.is_locked()
    }

    pub(super) fn unlock(&self) {
        self.turnstile.unlock();
    }

    /// A number for a new client of a worker, above all that were given before. It tells the worker.
    pub fn next_client(&self, worker: usize) -> u64 {
        let (workers, worker) = (self.workers() as u64, worker as u64);
        let after = |last: u64| last + 1 + (worker + workers - (last + 1) % workers) % workers;
        let last = self.next_client.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        after(last.expect("there is always another"))
    }

    /// The worker of a client.
    pub(super) fn worker_of(&self, client: u64) -> usize {
        (client % self.workers() as u64) as usize
    }

    /// Counts clients that begin or end tracking. It is counted before any read that is remembered is sent.
    pub(super) fn count_tracking(&self, change: isize) {
        self.tracking.fetch_add(change as usize, Ordering::Relaxed);
    }

    pub fn tracking_clients(&self) -> usize {
        self.tracking.load(Ordering::Relaxed)
    }

    pub fn connections(&self, worker: usize) -> usize {
        self.ports[worker].connections.load(Ordering::Relaxed)
    }

    /// Counts a connection that is on its way to a worker.
    pub fn add_connection(&self, worker: usize) {
        self.ports[worker].connections.fetch_add(1, Ordering::Relaxed);
    }

    pub fn remove_connection(&self, worker: usize) {
        self.ports[worker].connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection that was refused.
    pub fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(super) fn reset_rejected(&self) {
        self.rejected.store(0, Ordering::Relaxed);
    }

    pub fn stats(&self, worker: usize) -> &WorkerStats {
        &self.ports[worker].stats
    }

    /// What commands have cost at a worker; behind the last one: what was carried out by none.
    pub fn costs(&self, worker: usize) -> &Costs {
        self.ports.get(worker).map_or(&self.costs_alone, |p| &p.costs)
    }

    fn all_costs(&self) -> impl Iterator<Item = &Costs> {
        (0..=self.ports.len()).map(|worker| self.costs(worker))
    }

    /// Who listens at a worker.
    pub(super) fn audience(&self, worker: usize) -> &Audience {
        &self.ports[worker].audience
    }

    /// How many connections, at all workers, would get a message now.
    pub(super) fn listeners(&self, kind: Kind, hash: u64, channel: &[u8]) -> usize {
        self.ports.iter().map(|p| p.audience.of(kind, hash, channel)).sum()
    }

    /// The sum of all.
    pub fn cost(&self, row: RowId) -> Cost {
        self.all_costs().map(|costs| costs.cost(row)).fold(Cost::default(), Cost::and)
    }

    /// How long calls of a command took, wherever.
    pub fn histogram(&self, row: RowId) -> Histogram {
        let mut histogram = Histogram::default();
        self.all_costs().for_each(|costs| costs.add_spread(row, &mut histogram));
        histogram
    }

    pub fn slow_log(&self) -> &SlowLog {
        &self.slow_log
    }

    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The sum of one figure over all workers.
    pub fn total(&self, figure: impl Fn(&WorkerStats) -> u64) -> u64 {
        self.ports.iter().map(|p| figure(&p.stats)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_clients_grow_and_tell_their_worker() {
        for workers in 1..5 {
            let wakers = (0..workers).map(|_| Box::new(NeverAsleep) as Box<dyn Wake>).collect();
            let (net, _) = Net::new(wakers, 1);
            let mut last = 0;
            for worker in (0..workers).chain((0..workers).rev()).chain([0, 0, workers - 1]) {
                let client = net.next_client(worker);
                assert!(last < client && client <= last + workers as u64);
                assert_eq!(net.worker_of(client), worker);
                last = client;
            }
        }
    }
}
