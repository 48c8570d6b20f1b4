//! Drives a load and measures it.
//!
//! ```text
//!            workload            pace                 sockets
//!   thread 0 Generator | Replay  when each is due     its connections   -> Tally, one Interval a second
//!   thread 1 ...                                                        -> ...
//!   watch    INFO, once a second, on a connection of its own            -> Look
//!   caller   adds it all up, shows progress                             -> Outcome
//! ```
//!
//! Two loops, one engine (`worker`). In the **closed loop** a connection sends as many requests at once as the pipeline
//! is long, waits for all replies, and sends the next. In the **open loop** every request has a moment at which it is due
//! (`pace`), whatever the server does; it goes to the next connection that has room. Three times are kept of a request:
//!
//! ```text
//!   due ----------- sent ------------------- answered
//!    |               |<--- service time ------->|
//!    |<------------- latency ------------------>|
//!    |<- send lag -->|    only as far as we, and not the server, are the reason
//! ```
//!
//! A closed loop has no due moments: when the server stalls, nobody sends, and the requests that would have waited are
//! not there to be measured (coordinated omission). Its latency is its service time. In an open loop, requests that are
//! due while all connections wait are sent late, and counted from when they were due. Those still unsent when time is up
//! are counted with the time that they had waited until then.
//!
//! Threads share nothing but a flag to stop; each has its own histograms, which are added up at the end.

pub mod pace;
mod recorder;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

use crate::clock::{Clock, nanos};
use crate::replies::Errors;
use crate::server::Server;
use crate::workload::Workload;
use crate::workload::replay::Log;
use pace::Arrivals;
use recorder::Tally;
pub use recorder::{Interval, latency_histogram};
pub use watch::Look;
use worker::Worker;

/// What to send, how, and until when.
#[derive(Clone, Debug)]
pub struct Load {
    pub traffic: Traffic,
    pub connections: u32,
    /// In the closed loop, whether a connection sends more than one burst; else the next one goes over a new connection.
    pub keep_alive: bool,
    /// Requests under way on a connection: sent at once in the closed loop, at most in the open one.
    pub pipeline: u32,
    pub threads: u32,
    pub pace: Pace,
    pub limit: Limit,
    /// Requests due within this time are sent and not measured.
    pub warm_up: Duration,
}

#[derive(Clone, Debug)]
pub enum Traffic {
    Made(Workload),
    Logged(Arc<Log>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    Closed,
    /// Requests a second of all threads together.
    Open {
        rate: f64,
        arrivals: Arrivals,
    },
    /// At the moments of the log, so many times as fast.
    Logged {
        speed: f64,
    },
}

/// Whichever is reached first; the time is counted from the end of the warm-up.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub requests: Option<u64>,
    pub time: Option<Duration>,
}

impl Load {
    pub fn name(&self) -> &str {
        match &self.traffic {
            Traffic::Made(workload) => &workload.name,
            Traffic::Logged(_) => "replay",
        }
    }

    /// What results are told apart by.
    fn classes(&self) -> Vec<String> {
        match &self.traffic {
            Traffic::Made(workload) => workload.operations.iter().map(|operation| operation.name.clone()).collect(),
            Traffic::Logged(log) => log.names.clone(),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// From the end of the warm-up to the last reply.
    pub elapsed: Duration,
    /// Measured operations that were answered.
    pub requests: u64,
    pub classes: Vec<Class>,
    /// Of all classes together; nanoseconds.
    pub latency: Histogram<u64>,
    pub service: Histogram<u64>,
    /// How late requests were sent though a connection had room for them. Nothing in a closed loop.
    pub lag: Histogram<u64>,
    /// How many replies had come when the slowest came.
    pub slowest_at: u64,
    pub errors: Errors,
    /// Replies that were nil or had nothing in them.
    pub misses: u64,
    /// Operations that were due and could not be sent until time was up; in `latency` with the time they had waited.
    pub unsent: u64,
    pub verification: Option<Verification>,
    /// The server before, every second, and after.
    pub looks: Vec<Look>,
    pub client: ClientUse,
}

/// One operation of a workload.
#[derive(Debug)]
pub struct Class {
    pub name: String,
    pub requests: u64,
    pub errors: u64,
    pub misses: u64,
    pub latency: Histogram<u64>,
    pub service: Histogram<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Values that were looked at.
    pub checked: u64,
    pub wrong: u64,
    pub first: Option<String>,
}

/// What our own threads used while they measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientUse {
    pub cpu_ns: u64,
    /// Ready to run, and without a core.
    pub queued_ns: u64,
    /// The busiest thread's share of its time.
    pub busiest: f64,
}

/// What is known after each second.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Since the end of the warm-up.
    pub elapsed: Duration,
    /// Measured so far.
    pub requests: u64,
    pub limit: Limit,
    pub second: &'a Interval,
    pub look: Option<&'a Look>,
}

/// Whoever follows a run while it goes on.
pub trait Observer {
    /// A second of the measurement is over; `number` counts from 0.
    fn second(&mut self, number: u64, progress: &Progress<'_>);
}

impl Observer for () {
    fn second(&mut self, _: u64, _: &Progress<'_>) {}
}

enum Message {
    Interval(Interval),
    Look(Look),
    Done(Box<Result<Tally>>),
}

/// What all threads have in common.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    /// When measuring begins and when sending ends, in nanoseconds.
    measure_ns: u64,
    end_ns: u64,
    /// A thread failed, or all are done: the others stop too.
    stop: AtomicBool,
}

/// Runs a load.
///
/// Errors: a connection fails, or what comes back is no reply. Error replies are counted, and are no failure.
pub fn run(server: &Server, load: &Load, observer: &mut dyn Observer) -> Result<Outcome> {
    let threads = load.threads.min(load.connections).max(1);
    let mut workers = Vec::new();
    for thread in 0..threads {
        workers.push(Worker::new(server, load, thread, threads)?);
    }
    let watched = watch::Watched::new(server);
    let measure_ns = nanos(load.warm_up);
    let shared = Shared {
        clock: Clock::begin(),
        measure_ns,
        end_ns: load.limit.time.map_or(u64::MAX, |time| measure_ns.saturating_add(nanos(time))),
        stop: AtomicBool::new(false),
    };
    let (sender, messages) = mpsc::channel();
    std::thread::scope(|scope| {
        let shared = &shared;
        for worker in workers {
            let sender = sender.clone();
            scope.spawn(move || {
                let result = worker.run(shared, &|interval| drop(sender.send(Message::Interval(interval))));
                if result.is_err() {
                    shared.stop.store(true, Ordering::Relaxed);
                }
                drop(sender.send(Message::Done(Box::new(result)))); // the receiver outlives us unless another failed
            });
        }
        let (finished, finish) = mpsc::channel::<()>();
        scope.spawn(move || watched.watch(shared, &finish, &|look| drop(sender.send(Message::Look(look)))));
        let result = collect(load, threads, shared, &messages, finished, observer);
        shared.stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Adds up what the threads send.
fn collect(
    load: &Load,
    threads: u32,
    shared: &Shared,
    messages: &mpsc::Receiver<Message>,
    finished: mpsc::Sender<()>,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let mut seconds: BTreeMap<u64, (u32, Interval)> = BTreeMap::new();
    let mut sum: Option<Tally> = None;
    let mut looks = Vec::new();
    let mut requests = 0;
    let mut missing = threads;
    let mut finished = Some(finished);
    let mut show = |number: u64, interval: &Interval, looks: &[Look]| {
        requests += interval.latency.len();
        let elapsed = Duration::from_nanos(interval.start_ns + interval.length_ns);
        observer
            .second(number, &Progress { elapsed, requests, limit: load.limit, second: interval, look: looks.last() });
    };
    // The watcher takes its last look when it hears that the threads are done, and ends the conversation.
    while let Ok(message) = messages.recv() {
        match message {
            Message::Look(look) => looks.push(look),
            Message::Interval(interval) => {
                let number = interval.number;
                match seconds.get_mut(&number) {
                    Some((count, known)) => {
                        *count += 1;
                        known.add(&interval);
                    }
                    None => drop(seconds.insert(number, (1, interval))),
                }
                while let Some(first) = seconds.first_entry().filter(|first| first.get().0 == threads) {
                    let (number, (_, interval)) = first.remove_entry();
                    show(number, &interval, &looks);
                }
            }
            Message::Done(result) => {
                let tally = (*result)?;
                match &mut sum {
                    Some(sum) => sum.add(tally),
                    None => sum = Some(tally),
                }
                missing -= 1;
                if missing == 0 {
                    finished = None;
                }
            }
        }
    }
    drop(finished);
    // Threads may end in different seconds.
    for (number, (_, interval)) in seconds {
        show(number, &interval, &looks);
    }
    let tally = sum.ok_or_else(|| anyhow!("no thread ran"))?;
    Ok(tally.into_outcome(load.classes(), load.pace == Pace::Closed, shared, looks))
}

#[cfg(test)]
mod tests;
