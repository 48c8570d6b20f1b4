//! One worker's thread: sockets in, a turn of the engine, sockets out.
//!
//! Readiness is edge-triggered: a socket whose last read filled the space offered is read again in the next turn without
//! asking; a shorter read has emptied it. One read and one write per connection and turn.

use super::Shared;
use super::socket::Stream;
use super::stop::Stage;
use crate::engine::worker::Rest;
use crate::engine::{ConnId, Publish, Session, Worker};
use crossbeam_channel::{Receiver, Sender};
use kv_core::store::{Garbage, UnixMs};
use mio::{Events, Poll, Token};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

pub const WAKE: Token = Token(usize::MAX);
const EVENTS: usize = 1024;
/// How often to look again for what another worker is about to do: about two microseconds, less than giving up the core
/// and getting it back costs.
const SPINS_MAX: u32 = 100;
/// How long replies may wait for those behind them, and how many bytes of them.
const HELD_US: u64 = 500;
const HELD_BYTES: usize = 16 * 1024;
/// Most bytes written to one socket in a turn: the system copies them, and the others wait for that.
const WRITE_BYTES: usize = 512 * 1024;

/// A connection on its way from the acceptor.
pub struct NewConnection {
    pub stream: Stream,
    pub peer: String,
    pub local: String,
    pub unix_socket: bool,
}

/// Waits a few nanoseconds for another worker that is about to be ready; false when that has been enough of it.
fn pause(spins: &mut u32) -> bool {
    *spins += 1;
    std::hint::spin_loop();
    *spins < SPINS_MAX
}

struct Socket {
    stream: Stream,
    /// In the list of sockets to read.
    readable: bool,
    /// The peer has closed its side: reading goes on until it says so.
    read_closed: bool,
    /// The last write did not take everything; an event will tell when to go on.
    blocked: bool,
}

/// How long to sleep until a moment, which may lie beyond the end of all clocks. (The system counts milliseconds of a
/// sleep in 31 bits, so a long one is cut.)
fn span_until(moment: UnixMs, now_us: u64) -> Duration {
    const SLEEP_MAX: Duration = Duration::from_secs(3600);
    Duration::from_micros(moment.saturating_mul(1000).saturating_sub(now_us)).min(SLEEP_MAX)
}

pub struct EventLoop {
    worker: Worker,
    poll: Poll,
    incoming: Receiver<NewConnection>,
    shared: Arc<Shared>,
    trash: Sender<Vec<Garbage>>,
    sockets: Vec<Option<Socket>>,
    readable: Vec<ConnId>,
    dirty: Vec<ConnId>,
    /// Connections whose output waits for the rest of their pipeline's replies, and since when.
    held: VecDeque<(ConnId, u64)>,
    garbage: Vec<Garbage>,
}

impl EventLoop {
    pub fn new(
        worker: Worker,
        poll: Poll,
        incoming: Receiver<NewConnection>,
        shared: Arc<Shared>,
        trash: Sender<Vec<Garbage>>,
    ) -> EventLoop {
        EventLoop {
            worker,
            poll,
            incoming,
            shared,
            trash,
            sockets: Vec::new(),
            readable: Vec::new(),
            dirty: Vec::new(),
            held: VecDeque::new(),
            garbage: Vec::new(),
        }
    }

    /// Runs until the server stops and nothing is left to answer.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut stage = Stage::Running;
        // The attempt to end in which this worker has said that it has nothing left to answer.
        let mut drained_in = 0;
        loop {
            let is_drained = drained_in == self.shared.stop.attempt();
            self.wait(&mut events, stage, is_drained);
            let before = std::mem::replace(&mut stage, self.shared.stop.stage());
            if stage == Stage::Running && before != Stage::Running {
                self.worker.cannot_end("ERR Errors trying to SHUTDOWN. Check logs.");
            }
            for event in &events {
                if event.token() == WAKE {
                    continue;
                }
                let id = event.token().0 as ConnId;
                // An event of a socket closed earlier in this round may still be in the list.
                let Some(Some(socket)) = self.sockets.get_mut(id as usize) else { continue };
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    socket.read_closed |= event.is_read_closed() || event.is_error();
                    if !socket.readable {
                        socket.readable = true;
                        self.readable.push(id);
                    }
                }
                if event.is_writable() && socket.blocked {
                    socket.blocked = false;
                    self.flush(id);
                }
            }
            while let Ok(new) = self.incoming.try_recv() {
                self.accept(new);
            }
            let begun = self.shared.clock.now_us();
            if stage == Stage::Running {
                self.read();
                self.worker.decode();
            }
            self.turn();
            self.worker.turn_took(self.shared.clock.now_us().saturating_sub(begun));
            match stage {
                Stage::Running => {}
                Stage::Draining => {
                    let attempt = self.shared.stop.attempt();
                    if drained_in != attempt && self.worker.is_drained() {
                        drained_in = attempt;
                        self.shared.stop.one_is_drained();
                    }
                }
                // What has become durable with the last epoch is sent.
                Stage::Ending { all_is_kept } => {
                    if !all_is_kept || self.worker.holds_nothing() {
                        return;
                    }
                }
            }
        }
    }

    /// Sleeps until something happens, if nothing is left to do.
    fn wait(&mut self, events: &mut Events, stage: Stage, is_drained: bool) {
        let id = self.worker.id();
        let rest = match stage {
            Stage::Running => self.worker.rest(),
            Stage::Draining if is_drained && self.worker.rest() != Rest::None => self.worker.rest(),
            Stage::Draining | Stage::Ending { .. } => Rest::Yield,
        };
        let mut timeout = match rest {
            Rest::None => Some(Duration::ZERO),
            Rest::Yield => {
                std::thread::yield_now();
                Some(Duration::ZERO)
            }
            Rest::Until(moment) => Some(span_until(moment, self.shared.clock.now_us())),
            Rest::Forever => None,
        };
        // Sockets known to be readable are not waited for; those of connections that may not be read from now are.
        if timeout != Some(Duration::ZERO) && stage == Stage::Running {
            let (worker, sockets) = (&mut self.worker, &self.sockets);
            let is_due = |worker: &mut Worker, c: ConnId, socket: &Socket| {
                worker.wants_input(c) || socket.read_closed && worker.is_blocked(c)
            };
            if self.readable.iter().any(|&c| sockets[c as usize].as_ref().is_some_and(|s| is_due(worker, c, s))) {
                timeout = Some(Duration::ZERO);
            }
        }
        if !self.held.is_empty() {
            timeout = Some(timeout.map_or(Duration::from_millis(1), |t| t.min(Duration::from_millis(1))));
        }
        if timeout != Some(Duration::ZERO) {
            if !self.worker.holds_nothing() && self.look_around(events, stage) {
                return;
            }
            self.shared.net.falls_asleep(id);
            if self.has_something_to_do(stage) {
                timeout = Some(Duration::ZERO);
            }
        }
        self.poll(events, timeout);
        self.shared.net.is_awake(id);
    }

    fn has_something_to_do(&self, stage: Stage) -> bool {
        self.worker.has_news() || !self.incoming.is_empty() || self.shared.stop.stage() != stage
    }

    /// For a worker whose output waits for the disk: stays awake a little. Whether there is something to do.
    fn look_around(&mut self, events: &mut Events, stage: Stage) -> bool {
        let shared = self.shared.clone();
        shared.look_around(|| {
            self.poll(events, Some(Duration::ZERO));
            !events.is_empty() || self.has_something_to_do(stage)
        })
    }

    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) {
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            panic!("an event loop cannot wait for its sockets: {error}");
        }
    }

    /// The steps of a turn after decoding, in the order that the engine's rule demands.
    fn turn(&mut self) {
        self.exchange();
        if self.worker.has_published_marker() {
            // This worker's shard passes it now and not in the next turn: the disk has something to do while replies are written.
            self.exchange();
        }
        self.worker.duties(&mut self.garbage);
        if !self.garbage.is_empty() {
            // The reclaimer lives as long as the workers.
            let _ = self.trash.send(std::mem::take(&mut self.garbage));
        }
        self.flush_dirty();
    }

    /// What came by mail, what can be done here, and what goes to other workers.
    fn exchange(&mut self) {
        self.worker.take_mail();
        self.worker.set_time(self.shared.clock.now_us());
        let mut spins = 0;
        while self.worker.run_mail() || self.worker.awaits_publishing() && pause(&mut spins) {}
        self.worker.run_local();
        let mut spins = 0;
        loop {
            match self.worker.publish() {
                Publish::Done => break,
                Publish::More => {}
                // The holder only sends a few batches; if it lost its core, this gives it back.
                Publish::Blocked => {
                    if !pause(&mut spins) {
                        std::thread::yield_now();
                    }
                }
            }
        }
    }

    fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.worker.take_dirty(&mut dirty);
        let now_us = self.shared.clock.now_us();
        for &id in &dirty {
            // The rest of a pipeline is on its way from other workers: one write for all of it, if it does not take long.
            if self.worker.expects_more(id, HELD_BYTES) {
                self.held.push_back((id, now_us));
            } else {
                self.flush(id);
            }
        }
        self.dirty = dirty;
        while let Some(&(id, since)) = self.held.front() {
            if since + HELD_US > now_us && self.worker.expects_more(id, HELD_BYTES) {
                break;
            }
            self.held.pop_front();
            self.flush(id);
        }
    }

    fn accept(&mut self, mut new: NewConnection) {
        let now_us = self.shared.clock.now_us();
        self.worker.set_time(now_us);
        let number = self.shared.net.next_client(self.worker.id());
        let authenticated = !self.worker.config().requirepass.is_set();
        let mut session = Session::new(number, new.peer, new.local, now_us / 1000, authenticated);
        session.unix_socket = new.unix_socket;
        session.fd = new.stream.fd();
        let id = self.worker.connect(session);
        if let Err(error) = new.stream.register(self.poll.registry(), Token(id as usize)) {
            super::machine::log(&format!("a connection could not be watched: {error}"));
            self.worker.disconnected(id);
            return self.shared.net.remove_connection(self.worker.id());
        }
        if self.sockets.len() <= id as usize {
            self.sockets.resize_with(id as usize + 1, || None);
        }
        let socket = Socket { stream: new.stream, readable: true, read_closed: false, blocked: false };
        self.sockets[id as usize] = Some(socket);
        self.readable.push(id);
    }

    /// One read of each socket that has something.
    fn read(&mut self) {
        let mut kept = 0;
        for i in 0..self.readable.len() {
            let id = self.readable[i];
            if self.read_one(id) {
                self.readable[kept] = id;
                kept += 1;
            }
        }
        self.readable.truncate(kept);
    }

    /// Whether there may be more to read.
    fn read_one(&mut self, id: ConnId) -> bool {
        let Some(Some(socket)) = self.sockets.get_mut(id as usize) else { return false };
        if !self.worker.wants_input(id) {
            if socket.read_closed {
                self.worker.hung_up(id);
            }
            return true;
        }
        let space = self.worker.input_space(id);
        let len = space.len();
        let more = match socket.stream.read(space) {
            Ok(0) => {
                self.worker.end_of_input(id);
                false
            }
            Ok(n) => {
                self.worker.received(id, n);
                n == len || socket.read_closed
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.worker.nothing_received(id);
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(_) => {
                self.close(id);
                return false;
            }
        };
        if let Some(Some(socket)) = self.sockets.get_mut(id as usize) {
            socket.readable = more;
        }
        more
    }

    /// Writes what there is to write, up to a limit a turn; closes what is to be closed.
    fn flush(&mut self, id: ConnId) {
        let Some(Some(socket)) = self.sockets.get_mut(id as usize) else { return };
        let mut left = WRITE_BYTES;
        while !socket.blocked && !self.worker.should_close(id) {
            let bytes = self.worker.output(id);
            if bytes.is_empty() {
                break;
            }
            if left == 0 {
                self.worker.send_later(id);
                break;
            }
            let bytes = &bytes[..bytes.len().min(left)];
            left -= bytes.len();
            let len = bytes.len();
            match socket.stream.write(bytes) {
                Ok(n) => {
                    self.worker.sent(id, n);
                    // A short write has filled the socket: the next would only be refused.
                    socket.blocked = n < len;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.close(id),
            }
        }
        if self.worker.should_close(id) {
            self.close(id);
        }
    }

    fn close(&mut self, id: ConnId) {
        if let Some(socket) = self.sockets.get_mut(id as usize).and_then(Option::take) {
            drop(socket);
            self.worker.disconnected(id);
            self.shared.net.remove_connection(self.worker.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_at_its_moment_and_never_takes_longer_than_the_system_can_count() {
        let now_us = 1_700_000_000_000_500;
        assert_eq!(span_until(1_700_000_000_003, now_us), Duration::from_micros(2500));
        assert_eq!(span_until(1_600_000_000_000, now_us), Duration::ZERO);
        // CLIENT PAUSE and PEXPIREAT take any number that fits a signed one.
        for far in [1_700_000_000_000 + (1 << 31), i64::MAX as UnixMs, UnixMs::MAX] {
            let ms = span_until(far, now_us).as_millis();
            assert!(ms > 0 && i32::try_from(ms).is_ok(), "{far}: {ms} ms");
        }
    }
}
