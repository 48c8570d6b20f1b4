//! One thread of a load: its connections, and the turns it takes.
//!
//! A turn sends what is due, waits for the first socket that has something (or the timer: the next request is due), and
//! reads. It is meant to need less of the machine than the server it measures: a write and a read for each burst, few
//! looks at the clock, no allocation, replies found and not built.
//!
//! A connection that has room in the open loop stands in the line `free`, so that requests go round. Requests of a log
//! have a connection of their own, and wait for it in that connection's line.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::pace::Schedule;
use super::recorder::{Answered, Interval, Tally};
use super::{ClientUse, Load, Pace, Shared, Traffic};
#[cfg(target_os = "linux")]
use crate::clock::Timer;
use crate::clock::{nanos, thread_cpu_ns, thread_queued_ns};
use crate::replies::{Replies, Reply};
use crate::server::Server;
use crate::workload::replay::Replay;
use crate::workload::values::{self, WrongValue};
use crate::workload::{Generator, Issued};

/// A server that answers nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Requests that are due are sent in turns of so many, so that replies are read in between.
const DISPATCH_MAX: usize = 512;

/// A buffer that grew over this is let go when it is empty.
const OUT_KEPT_BYTES: usize = 1 << 20;

#[cfg(target_os = "linux")]
const TIMER: Token = Token(usize::MAX - 1);

/// Where requests come from.
enum Source {
    Made(Box<Generator>),
    Logged(Replay),
}

/// When the next request is due, in nanoseconds since the beginning.
enum Due {
    /// Whenever a connection has nothing under way.
    Always,
    Scheduled {
        schedule: Schedule,
        next_ns: u64,
    },
    /// At the moment of the next record; that record, and its connection.
    Logged {
        speed: f64,
        next: Option<(u64, u32, usize)>,
    },
}

pub struct Worker {
    poll: Poll,
    #[cfg(target_os = "linux")]
    timer: Option<Timer>,
    connections: Vec<Connection>,
    source: Source,
    due: Due,
    pipeline: usize,
    /// Measured operations that this thread may still send.
    left: u64,
    /// Connections with room, in the order in which they get requests (open loop).
    free: VecDeque<usize>,
    /// Since when there has been one.
    free_since_ns: u64,
    /// Operations sent and not answered, of all connections.
    under_way: usize,
    /// How a connection begins anew for each burst, unless it is kept.
    renewal: Option<Renewal>,
    /// Connections with bytes to send.
    dirty: Vec<usize>,
    tally: Tally,
    has_follow_ups: bool,
}

struct Renewal {
    server: Server,
    /// What a new connection sends first.
    login: Vec<u8>,
    logins: usize,
}

struct Connection {
    stream: TcpStream,
    /// It has sent a burst.
    used: bool,
    /// Replies to its login that have not come.
    logins: usize,
    out: Vec<u8>,
    /// Bytes of `out` that the socket has taken.
    written: usize,
    under_way: VecDeque<UnderWay>,
    /// Records of a log that are due and wait for room: due when, and which.
    waiting: VecDeque<(u64, u32)>,
    replies: Replies,
    /// The database that what is sent next is for.
    db: u32,
}

/// An operation that was sent.
#[derive(Clone, Copy)]
struct UnderWay {
    due_ns: u64,
    sent_ns: u64,
    issued: Issued,
    /// Any of its replies was a miss.
    missed: bool,
}

impl Worker {
    pub fn new(server: &Server, load: &Load, thread: u32, threads: u32) -> Result<Worker> {
        let poll = Poll::new()?;
        let (verified, seed) = match &load.traffic {
            Traffic::Made(workload) => (workload.shape.verified, workload.shape.seed),
            Traffic::Logged(_) => (false, 0),
        };
        let mut connections = Vec::new();
        // Connections are dealt out like cards.
        for token in 0..(thread..load.connections).step_by(threads as usize).len() {
            let stream = server.connect()?.into_stream();
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            // Edge-triggered: registered once, for good.
            poll.registry().register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
            connections.push(Connection {
                stream,
                used: false,
                logins: 0,
                out: Vec::new(),
                written: 0,
                under_way: VecDeque::new(),
                waiting: VecDeque::new(),
                replies: Replies::new(verified),
                db: server.db,
            });
        }
        let source = match &load.traffic {
            Traffic::Made(workload) => {
                let generator = Generator::new(workload, u64::from(thread), u64::from(threads));
                Source::Made(Box::new(generator.map_err(|problem| anyhow!(problem))?))
            }
            Traffic::Logged(log) => Source::Logged(Replay::new(log.clone(), load.connections, thread, threads)),
        };
        let due = match load.pace {
            Pace::Closed => Due::Always,
            Pace::Open { rate, arrivals } => {
                let mut schedule = Schedule::new(rate, arrivals, thread, threads, seed);
                let next_ns = schedule.next_ns();
                Due::Scheduled { schedule, next_ns }
            }
            Pace::Logged { speed } => Due::Logged { speed, next: None },
        };
        // All threads together send exactly as many as asked for.
        let share = |requests: u64| requests.saturating_sub(u64::from(thread)).div_ceil(u64::from(threads));
        let open = load.pace != Pace::Closed;
        let has_follow_ups = matches!(&source, Source::Made(generator) if generator.has_follow_ups());
        Ok(Worker {
            #[cfg(target_os = "linux")]
            timer: if open { Some(Timer::new(&poll, TIMER)?) } else { None },
            poll,
            free: (0..if open { connections.len() } else { 0 }).collect(),
            connections,
            source,
            due,
            pipeline: load.pipeline as usize,
            left: load.limit.requests.map_or(u64::MAX, share),
            free_since_ns: 0,
            under_way: 0,
            renewal: (!load.keep_alive).then(|| {
                let (login, logins) = server.login();
                Renewal { server: server.clone(), login, logins }
            }),
            dirty: Vec::new(),
            tally: Tally::new(load.classes().len(), open, verified, nanos(load.warm_up)),
            has_follow_ups,
        })
    }

    pub fn run(mut self, shared: &Shared, give: &dyn Fn(Interval)) -> Result<Tally> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        let mut used: Option<(u64, u64, u64)> = None;
        let mut heard_ns = shared.clock.now_ns();
        self.begin(shared)?;
        loop {
            let now_ns = shared.clock.now_ns();
            if now_ns >= shared.measure_ns {
                used.get_or_insert_with(|| (now_ns, thread_cpu_ns(), thread_queued_ns()));
                self.tally.tick(now_ns, give);
            }
            let wait = self.send_due(shared)?;
            if self.under_way == 0 && wait.is_none() || shared.stop.load(Ordering::Relaxed) {
                break;
            }
            // Seconds are given away even while nothing comes back.
            let timeout = self.tally.until_tick(now_ns).clamp(Duration::from_millis(1), Duration::from_secs(1));
            self.wait(&mut events, wait, timeout)?;
            let mut heard = false;
            for event in &events {
                let Token(at) = event.token();
                let Some(connection) = self.connections.get_mut(at) else { continue };
                if event.is_writable() {
                    connection.flush()?;
                }
                if event.is_readable() || event.is_read_closed() {
                    heard = true;
                    self.receive(at, shared, &mut buffer, event.is_read_closed())?;
                }
            }
            if heard || self.under_way == 0 {
                heard_ns = shared.clock.now_ns();
            } else if shared.clock.now_ns() - heard_ns > nanos(SILENCE_MAX) {
                bail!("no reply for {} s", SILENCE_MAX.as_secs());
            }
        }
        let now_ns = shared.clock.now_ns();
        self.tally.finish(now_ns, give);
        if let Some((since_ns, cpu_ns, queued_ns)) = used {
            let cpu_ns = thread_cpu_ns() - cpu_ns;
            let busiest = cpu_ns as f64 / (now_ns - since_ns).max(1) as f64;
            self.tally.client = ClientUse { cpu_ns, queued_ns: thread_queued_ns() - queued_ns, busiest };
        }
        Ok(self.tally)
    }

    /// In the closed loop every connection begins; afterwards each sends when its replies are there.
    fn begin(&mut self, shared: &Shared) -> Result<()> {
        if matches!(self.due, Due::Always) {
            if let Source::Logged(replay) = &mut self.source {
                // All of the log is due at once; each connection takes its own.
                while let Some((record, at)) = replay.next() {
                    self.connections[at].waiting.push_back((0, record));
                }
            }
            for at in 0..self.connections.len() {
                self.refill(at, shared)?;
            }
        } else if let Due::Logged { .. } = self.due {
            self.next_record();
        }
        Ok(())
    }

    fn next_record(&mut self) {
        if let (Due::Logged { speed, next }, Source::Logged(replay)) = (&mut self.due, &mut self.source) {
            *next = replay.next().map(|(record, at)| {
                let at_ns = (replay.at_ns(record) as f64 / *speed) as u64;
                (at_ns, record, at)
            });
        }
    }

    /// Closed loop: sends as many operations at once as the pipeline is long, unless time is up.
    fn refill(&mut self, at: usize, shared: &Shared) -> Result<()> {
        let now_ns = shared.clock.now_ns();
        if now_ns >= shared.end_ns || shared.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let connection = &mut self.connections[at];
        if let Some(renewal) = self.renewal.as_ref().filter(|_| self.left > 0) {
            if connection.used {
                connection.renew(renewal, &self.poll, Token(at))?;
            }
            connection.used = true;
        }
        for _ in 0..self.pipeline {
            if self.left == 0 {
                break;
            }
            let issued = match &mut self.source {
                Source::Made(generator) => generator.next(&mut connection.out),
                Source::Logged(replay) => match connection.waiting.pop_front() {
                    Some((_, record)) => replay.append(record, &mut connection.db, &mut connection.out),
                    None => break,
                },
            };
            self.left -= u64::from(self.tally.measures(now_ns));
            self.under_way += 1;
            connection.under_way.push_back(UnderWay { due_ns: now_ns, sent_ns: now_ns, issued, missed: false });
        }
        connection.flush()
    }

    /// Open loop: sends what is due as far as there is room. How long until the next is due, or none when nothing will
    /// ever be sent again but by replies.
    fn send_due(&mut self, shared: &Shared) -> Result<Option<Duration>> {
        let wait = match &mut self.due {
            Due::Always => return Ok(None),
            Due::Scheduled { .. } => self.send_scheduled(shared)?,
            Due::Logged { .. } => self.send_logged(shared)?,
        };
        while let Some(at) = self.dirty.pop() {
            self.connections[at].flush()?;
        }
        Ok(wait)
    }

    fn send_scheduled(&mut self, shared: &Shared) -> Result<Option<Duration>> {
        let (Due::Scheduled { schedule, next_ns }, Source::Made(generator)) = (&mut self.due, &mut self.source) else {
            bail!("a log has its own moments");
        };
        for _ in 0..DISPATCH_MAX {
            let now_ns = shared.clock.now_ns();
            if self.left == 0 {
                return Ok(None);
            }
            if now_ns >= shared.end_ns {
                // What nobody could send has waited until now, and those requests would be missed by users too.
                while *next_ns < shared.end_ns && self.left > 0 {
                    self.tally.not_sent(*next_ns, shared.end_ns);
                    *next_ns = schedule.next_ns();
                    self.left -= 1;
                }
                self.left = 0;
                return Ok(None);
            }
            if *next_ns > now_ns {
                return Ok(Some(Duration::from_nanos(*next_ns - now_ns)));
            }
            let Some(at) = self.free.pop_front() else {
                // Replies make room; the end comes by itself.
                return Ok(Some(
                    Duration::from_nanos(shared.end_ns.saturating_sub(now_ns)).min(Duration::from_secs(1)),
                ));
            };
            let due_ns = *next_ns;
            *next_ns = schedule.next_ns();
            self.left -= u64::from(self.tally.measures(due_ns));
            let connection = &mut self.connections[at];
            if connection.out.is_empty() {
                self.dirty.push(at);
            }
            let issued = generator.next(&mut connection.out);
            connection.under_way.push_back(UnderWay { due_ns, sent_ns: now_ns, issued, missed: false });
            self.under_way += 1;
            if connection.under_way.len() < self.pipeline {
                self.free.push_back(at);
            }
            if self.tally.measures(due_ns) {
                self.tally.lag.saturating_record(now_ns - due_ns.max(self.free_since_ns));
            }
        }
        Ok(Some(Duration::ZERO))
    }

    fn send_logged(&mut self, shared: &Shared) -> Result<Option<Duration>> {
        for _ in 0..DISPATCH_MAX {
            let Due::Logged { next: Some((due_ns, record, at)), .. } = self.due else { return Ok(None) };
            let now_ns = shared.clock.now_ns();
            if self.left == 0 || now_ns >= shared.end_ns {
                self.due = Due::Logged { speed: 1.0, next: None };
                return Ok(None);
            }
            if due_ns > now_ns {
                return Ok(Some(Duration::from_nanos(due_ns - now_ns)));
            }
            self.left -= u64::from(self.tally.measures(due_ns));
            let connection = &mut self.connections[at];
            let has_room = connection.under_way.len() < self.pipeline;
            connection.waiting.push_back((due_ns, record));
            // It counts as under way from now on: the end waits for it.
            self.under_way += 1;
            if has_room {
                if self.tally.measures(due_ns) {
                    self.tally.lag.saturating_record(now_ns - due_ns);
                }
                self.send_waiting(at, now_ns);
                self.dirty.push(at);
            }
            self.next_record();
        }
        Ok(Some(Duration::ZERO))
    }

    /// Sends records that waited for room on their connection. The caller flushes.
    fn send_waiting(&mut self, at: usize, now_ns: u64) {
        let Source::Logged(replay) = &mut self.source else { return };
        let connection = &mut self.connections[at];
        while connection.under_way.len() < self.pipeline {
            let Some((due_ns, record)) = connection.waiting.pop_front() else { return };
            let issued = replay.append(record, &mut connection.db, &mut connection.out);
            connection.under_way.push_back(UnderWay { due_ns, sent_ns: now_ns, issued, missed: false });
        }
    }

    /// Waits for sockets, or until a request is due.
    fn wait(&mut self, events: &mut Events, until_due: Option<Duration>, timeout: Duration) -> Result<()> {
        let mut timeout = timeout;
        if let Some(until_due) = until_due {
            #[cfg(target_os = "linux")]
            if until_due.is_zero() {
                timeout = Duration::ZERO;
            } else if let Some(timer) = self.timer.as_ref().filter(|_| until_due < timeout) {
                timer.ring_after(until_due)?;
            }
            #[cfg(not(target_os = "linux"))]
            {
                timeout = timeout.min(until_due);
            }
        }
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            other => Ok(other?),
        }
    }

    /// Reads replies, and sends what they make room for.
    ///
    /// A read that does not fill the buffer has emptied the socket, and the next bytes come with an event of their own,
    /// so that asking again is not needed. Only the end of the stream comes without one: `all` looks for it.
    fn receive(&mut self, at: usize, shared: &Shared, buffer: &mut [u8], all: bool) -> Result<()> {
        loop {
            let connection = &mut self.connections[at];
            let len = match connection.stream.read(buffer) {
                Ok(0) if connection.under_way.is_empty() && self.left == 0 => return Ok(()),
                Ok(0) => bail!("the server closed the connection"),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("the connection broke"),
            };
            self.take_replies(at, &buffer[..len], shared)?;
            if len < buffer.len() && !all {
                return Ok(());
            }
        }
    }

    fn take_replies(&mut self, at: usize, bytes: &[u8], shared: &Shared) -> Result<()> {
        let now_ns = shared.clock.now_ns();
        let Worker { connections, tally, source, under_way: all_under_way, has_follow_ups, .. } = self;
        let Connection { replies, under_way, out, logins, .. } = &mut connections[at];
        let had = under_way.len();
        // Operations of one kind that were sent together are counted together.
        let mut run: Option<(Answered, u64)> = None;
        replies.read(bytes, |reply| {
            if *logins > 0 {
                *logins -= 1;
                if let Reply::Error(text) = reply {
                    bail!("{}", String::from_utf8_lossy(text));
                }
                return Ok(());
            }
            let Some(first) = under_way.front_mut() else {
                bail!("the server sent more replies than there were requests")
            };
            let UnderWay { due_ns, sent_ns, issued, .. } = *first;
            match reply {
                Reply::Value(bytes) => {
                    if let (Some(found), Source::Made(generator)) = (&mut tally.verification, &*source)
                        && let Some(key) = generator.expects_value(issued)
                    {
                        verify(found, bytes, key);
                    }
                }
                Reply::Miss => {
                    first.missed = true;
                    tally.missed(issued.operation, due_ns);
                }
                Reply::Error(text) => tally.failed(issued.operation, due_ns, text),
            }
            first.issued.replies -= 1;
            if first.issued.replies > 0 {
                return Ok(());
            }
            let missed = first.missed;
            under_way.pop_front();
            *all_under_way -= 1;
            let answered = Answered { class: issued.operation, due_ns, sent_ns };
            match &mut run {
                Some((same, count)) if *same == answered => *count += 1,
                _ => {
                    if let Some((before, count)) = run.replace((answered, 1)) {
                        tally.answered(before, now_ns, count);
                    }
                }
            }
            if *has_follow_ups
                && let Source::Made(generator) = source
                && let Some(issued) = generator.follow_up(issued, missed, out)
            {
                // It is due as soon as what it follows is known.
                under_way.push_back(UnderWay { due_ns: now_ns, sent_ns: now_ns, issued, missed: false });
                *all_under_way += 1;
            }
            Ok(())
        })?;
        if let Some((last, count)) = run {
            tally.answered(last, now_ns, count);
        }
        let has = under_way.len();
        match self.due {
            Due::Always if has == 0 => return self.refill(at, shared),
            Due::Always => {}
            Due::Scheduled { .. } => {
                if had >= self.pipeline && has < self.pipeline {
                    if self.free.is_empty() {
                        self.free_since_ns = now_ns;
                    }
                    self.free.push_back(at);
                }
            }
            Due::Logged { .. } => self.send_waiting(at, now_ns),
        }
        self.connections[at].flush()
    }
}

/// Looks at a reply to GET.
fn verify(found: &mut super::Verification, reply: &[u8], key: u64) {
    found.checked += 1;
    let value = kv_core::resp::encoded::bulk_of(reply).unwrap_or_default();
    if let Err(wrong) = values::verify(value, Some(key)) {
        found.wrong += 1;
        found.first.get_or_insert_with(|| match wrong {
            WrongValue::OfKey(other) => format!("key {key} had the value of key {other}"),
            WrongValue::Damaged => {
                let shown = &value[..value.len().min(48)];
                format!("key {key} had {} bytes that nobody wrote: {}", value.len(), shown.escape_ascii())
            }
        });
    }
}

impl Connection {
    /// Begins anew with another connection. The time that it takes counts for the requests that wait for it.
    fn renew(&mut self, renewal: &Renewal, poll: &Poll, token: Token) -> Result<()> {
        let stream = renewal.server.reconnect(&self.stream);
        self.stream = stream.with_context(|| format!("could not connect to {}", renewal.server.address()))?;
        poll.registry().register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.out.extend_from_slice(&renewal.login);
        self.logins = renewal.logins;
        Ok(())
    }

    /// Writes what the socket takes; it tells when it takes more.
    fn flush(&mut self) -> Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the connection broke"),
            }
        }
        self.out.clear();
        self.out.shrink_to(OUT_KEPT_BYTES);
        self.written = 0;
        Ok(())
    }
}
