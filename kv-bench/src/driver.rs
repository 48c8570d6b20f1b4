//! The closed loop: every connection sends a burst, waits for all its replies, and sends the next.
//!
//! A thread drives its connections with one poll, and is meant to need less of the machine than the server it
//! measures: per burst one write, one read, two looks at the clock, no allocation, replies counted and not built.
//!
//! Latency is that of a request within its burst: from the moment the burst was handed to the socket until its reply
//! was read. A closed loop hides waiting that it causes itself (when the server stalls, nobody sends): `probe` does not.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::replies::{Errors, Replies};
use crate::server::Server;
use crate::workload::{Burst, Numbers, Template};

/// A server that answers nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// What to send, how, and until when.
#[derive(Debug)]
pub struct Load {
    pub template: Template,
    pub numbers: Numbers,
    pub connections: u32,
    pub pipeline: u32,
    pub threads: u32,
    pub limit: Limit,
    /// For the report; the template holds the values.
    pub data_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub requests: Option<u64>,
    pub time: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub elapsed: Duration,
    pub requests: u64,
    /// Nanoseconds.
    pub latency: Histogram<u64>,
    /// How many replies had come when the slowest came.
    pub slowest_at: u64,
    pub errors: Errors,
}

/// What is known while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub elapsed: Duration,
    pub requests: u64,
    pub limit: Limit,
}

/// A histogram for times from 1 ns to an hour, exact to three digits.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are good")
}

/// Runs a load; `progress` is called about once a second.
pub fn run(server: &Server, load: &Load, mut progress: impl FnMut(Progress)) -> Result<Outcome> {
    let mut workers = Vec::new();
    for thread in 0..load.threads {
        // Connections are dealt out like cards.
        let own = (thread..load.connections).step_by(load.threads as usize);
        workers.push(Worker::new(server, load, own)?);
    }
    let shared = Shared {
        started: now(),
        requests: load.limit.requests.unwrap_or(u64::MAX),
        time_ns: load.limit.time.map_or(u64::MAX, nanos),
        claimed: AtomicU64::new(0),
        done: AtomicU64::new(0),
        failed: AtomicBool::new(false),
    };
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for worker in workers {
            let (sender, shared) = (sender.clone(), &shared);
            scope.spawn(move || {
                let result = worker.run(shared);
                if result.is_err() {
                    shared.failed.store(true, Ordering::Relaxed);
                }
                let _ = sender.send(result); // the receiver outlives us unless another thread failed
            });
        }
        drop(sender);
        let mut outcome = Outcome {
            elapsed: Duration::ZERO,
            requests: 0,
            latency: latency_histogram(),
            slowest_at: 0,
            errors: Errors::default(),
        };
        loop {
            match results.recv_timeout(Duration::from_secs(1)) {
                Ok(result) => outcome.join(result?),
                Err(RecvTimeoutError::Timeout) => progress(Progress {
                    elapsed: shared.started.elapsed(),
                    requests: shared.done.load(Ordering::Relaxed),
                    limit: load.limit,
                }),
                Err(RecvTimeoutError::Disconnected) => return Ok(outcome),
            }
        }
    })
}

#[allow(clippy::disallowed_methods)] // measuring time is what this program is for
pub fn now() -> Instant {
    Instant::now()
}

pub fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Outcome {
    fn join(&mut self, tally: Tally) {
        self.elapsed = self.elapsed.max(Duration::from_nanos(tally.last_ns));
        self.requests += tally.requests;
        if tally.slowest_ns > self.latency.max() {
            self.slowest_at = tally.slowest_at;
        }
        self.latency.add(tally.latency).expect("both have the same bounds");
        self.errors.add(tally.errors);
    }
}

/// What the threads have in common.
struct Shared {
    started: Instant,
    requests: u64,
    time_ns: u64,
    claimed: AtomicU64,
    done: AtomicU64,
    /// A thread failed: the others stop too.
    failed: AtomicBool,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        nanos(self.started.elapsed())
    }

    /// Up to `wanted` requests that nobody else sends: how many were claimed before, and how many these are.
    fn claim(&self, wanted: u32, now_ns: u64) -> (u64, u32) {
        if now_ns >= self.time_ns || self.failed.load(Ordering::Relaxed) {
            return (0, 0);
        }
        let first = self.claimed.fetch_add(u64::from(wanted), Ordering::Relaxed);
        (first, self.requests.saturating_sub(first).min(u64::from(wanted)) as u32)
    }
}

/// What one thread counted.
struct Tally {
    requests: u64,
    latency: Histogram<u64>,
    slowest_ns: u64,
    slowest_at: u64,
    last_ns: u64,
    errors: Errors,
}

struct Worker {
    poll: Poll,
    connections: Vec<Connection>,
    pipeline: u32,
    tally: Tally,
}

impl Worker {
    fn new(server: &Server, load: &Load, own: impl Iterator<Item = u32>) -> Result<Worker> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for (token, connection) in own.enumerate() {
            let stream = server.connect()?.into_stream();
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            // Edge-triggered: registered once, for good.
            poll.registry().register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
            connections.push(Connection {
                stream,
                burst: Burst::new(&load.template, load.pipeline, load.numbers, u64::from(connection)),
                count: 0,
                written: 0,
                missing: 0,
                sent_ns: 0,
                replies: Replies::default(),
            });
        }
        let tally = Tally {
            requests: 0,
            latency: latency_histogram(),
            slowest_ns: 0,
            slowest_at: 0,
            last_ns: 0,
            errors: Errors::default(),
        };
        Ok(Worker { poll, connections, pipeline: load.pipeline, tally })
    }

    fn run(mut self, shared: &Shared) -> Result<Tally> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        let mut busy = 0;
        for connection in &mut self.connections {
            busy += usize::from(connection.send_next(shared, self.pipeline, shared.now_ns())?);
        }
        let mut last_event = shared.now_ns();
        while busy > 0 {
            match self.poll.poll(&mut events, Some(Duration::from_secs(1))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            if events.is_empty() {
                if shared.failed.load(Ordering::Relaxed) {
                    break;
                }
                if shared.now_ns() - last_event > nanos(SILENCE_MAX) {
                    bail!("no reply for {} s", SILENCE_MAX.as_secs());
                }
                continue;
            }
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if event.is_writable() {
                    connection.flush()?;
                }
                if event.is_readable() || event.is_read_closed() {
                    let all = event.is_read_closed();
                    busy -=
                        usize::from(connection.receive(shared, self.pipeline, &mut self.tally, &mut buffer, all)?);
                }
            }
            last_event = self.tally.last_ns.max(last_event);
        }
        for connection in self.connections {
            self.tally.errors.add(connection.replies.errors);
        }
        Ok(self.tally)
    }
}

struct Connection {
    stream: TcpStream,
    burst: Burst,
    /// Requests of the burst under way.
    count: u32,
    /// Its bytes that the socket has taken.
    written: usize,
    /// Replies still to come.
    missing: u32,
    sent_ns: u64,
    replies: Replies,
}

impl Connection {
    /// Begins a burst; false if there is nothing left to send.
    fn send_next(&mut self, shared: &Shared, pipeline: u32, now_ns: u64) -> Result<bool> {
        let (first, count) = shared.claim(pipeline, now_ns);
        if count == 0 {
            return Ok(false);
        }
        self.burst.prepare(first, count);
        self.count = count;
        self.missing = count;
        self.written = 0;
        self.sent_ns = shared.now_ns();
        self.flush()?;
        Ok(true)
    }

    /// Writes what the socket takes; it tells when it takes more.
    fn flush(&mut self) -> Result<()> {
        let bytes = self.burst.bytes(self.count);
        while self.written < bytes.len() {
            match self.stream.write(&bytes[self.written..]) {
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the connection broke"),
            }
        }
        Ok(())
    }

    /// Reads replies, and sends the next burst after the last of them. True if that was the end of the load.
    ///
    /// A read that does not fill the buffer has emptied the socket, and the next bytes come with an event of their own,
    /// so that asking again is not needed. Only the end of the stream comes without one: `all` looks for it.
    fn receive(
        &mut self,
        shared: &Shared,
        pipeline: u32,
        tally: &mut Tally,
        buffer: &mut [u8],
        all: bool,
    ) -> Result<bool> {
        loop {
            let len = match self.stream.read(buffer) {
                Ok(0) if self.missing == 0 => return Ok(false),
                Ok(0) => bail!("the server closed the connection"),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("the connection broke"),
            };
            let now_ns = shared.now_ns();
            let counted = self.replies.count(&buffer[..len])?;
            if counted > self.missing {
                bail!("the server sent more replies than there were requests");
            }
            if counted > 0 {
                tally.record(now_ns, now_ns - self.sent_ns, counted, shared);
                self.missing -= counted;
                if self.missing == 0 && !self.send_next(shared, pipeline, now_ns)? {
                    return Ok(true);
                }
            }
            if len < buffer.len() && !all {
                return Ok(false);
            }
        }
    }
}

impl Tally {
    fn record(&mut self, now_ns: u64, latency_ns: u64, replies: u32, shared: &Shared) {
        self.requests += u64::from(replies);
        self.latency.saturating_record_n(latency_ns, u64::from(replies));
        self.last_ns = now_ns;
        let done = shared.done.fetch_add(u64::from(replies), Ordering::Relaxed);
        if latency_ns > self.slowest_ns {
            self.slowest_ns = latency_ns;
            self.slowest_at = done;
        }
    }
}

#[cfg(test)]
mod tests;
