//! One connection as the engine sees it: input bytes, output bytes, and the line its replies stand in.
//!
//! Requests are decoded in place in the input buffer. A reply that is ready while nothing waits before it is written
//! straight to the output; a request that left for another worker keeps a *ticket*, and later replies wait in `stash`
//! until it is served.

use super::pubsub::Subscriptions;
use super::session::Session;
use super::transaction::Transaction;
use super::worker::Blocked;
use kv_core::resp::client::encode_request;
use kv_core::resp::{Arg, DecodeError, Decoder};
use std::collections::VecDeque;
use std::sync::Arc;

/// Size of a fresh input buffer.
pub const INPUT_BYTES: usize = 16 * 1024;
/// Most bytes of one read: the system copies them, and the others wait for that.
const READ_BYTES: usize = 1024 * 1024;
/// Bytes of a request after which the length it announces is believed.
const TRUST_BYTES: usize = 1024 * 1024;
/// Replies of at least this size are moved as they are, not copied behind others.
const CHUNK_BYTES: usize = 64 * 1024;
/// Output buffers above this size are let go once they are empty.
const KEEP_BYTES: usize = 256 * 1024;
/// Replies that wait in line are not moved together before they are so many bytes.
const COMPACT_BYTES: usize = 16 * 1024;

/// Bytes received and not consumed yet.
#[derive(Default)]
pub struct Input {
    /// Always initialised up to its length, which is its capacity.
    pub data: Vec<u8>,
    /// The first byte that is not consumed.
    pub start: usize,
    /// Where the received bytes end.
    pub end: usize,
}

impl Input {
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Room for reading, at most `READ_BYTES`. The buffer grows with what has really arrived; only a request that has
    /// brought `TRUST_BYTES` gets the room it says it needs (`want`, bytes in all) at once, so that it is not copied again
    /// and again. Memory that is never written to is not resident.
    pub fn space(&mut self, pool: &mut Vec<Vec<u8>>, want: usize) -> &mut [u8] {
        if self.data.is_empty() {
            self.data = pool.pop().unwrap_or_else(|| vec![0; INPUT_BYTES]);
            (self.start, self.end) = (0, 0);
        } else if self.data.len() - self.end < INPUT_BYTES / 4
            && self.data.len() - self.start < want.max(self.len() + 1)
        {
            if self.start > self.data.len() / 2 {
                self.data.copy_within(self.start..self.end, 0);
            } else {
                let arrived = self.len();
                let room = if arrived >= TRUST_BYTES { want.max(arrived + arrived / 2) } else { 2 * self.data.len() };
                let mut larger = vec![0; room.max(arrived + INPUT_BYTES)];
                larger[..arrived].copy_from_slice(&self.data[self.start..self.end]);
                self.data = larger;
            }
            (self.start, self.end) = (0, self.end - self.start);
        }
        let end = self.data.len().min(self.end + READ_BYTES);
        &mut self.data[self.end..end]
    }

    /// Writes requests that are decoded, but not run, as arrays in place of what is left of the bytes they came as, which end
    /// at `decoded_to`. A request is its words and where the bytes begin that they are ranges of.
    pub fn rewrite<'a>(&mut self, requests: impl Iterator<Item = (usize, &'a [Arg])>, decoded_to: usize) {
        let mut anew = Vec::new();
        for (start, words) in requests {
            let words: Vec<&[u8]> = words.iter().map(|w| w.get(&self.data[start..])).collect();
            encode_request(&mut anew, &words);
        }
        anew.extend_from_slice(&self.data[decoded_to..self.end]);
        (self.start, self.end) = (0, anew.len());
        anew.resize(anew.len() + INPUT_BYTES, 0);
        self.data = anew;
    }

    /// Gives the buffer back when nothing is in it.
    pub fn release(&mut self, pool: &mut Vec<Vec<u8>>) {
        if self.start == self.end && !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            if data.len() == INPUT_BYTES && pool.len() < 256 {
                pool.push(data);
            }
            (self.start, self.end) = (0, 0);
        }
    }
}

/// Bytes that are sent as they are.
enum Chunk {
    Owned(Vec<u8>),
    /// A message that others get, too.
    Shared(Arc<[u8]>),
}

impl std::ops::Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Chunk::Owned(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }
}

/// Bytes to be sent: whole chunks first, then the tail.
#[derive(Default)]
pub struct Output {
    chunks: VecDeque<Chunk>,
    chunk_bytes: usize,
    pub tail: Vec<u8>,
    /// How much of the front (the first chunk, or the tail) is sent already.
    sent: usize,
    /// Bytes sent in all.
    sent_total: u64,
    /// What may leave only when its epoch is durable: the epoch, and where in the stream of bytes it ends. Both ascend.
    gates: VecDeque<(u64, u64)>,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.sent == self.tail.len()
    }

    /// How many big pieces wait.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Bytes not sent yet.
    pub fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len() - self.sent
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.begin_reply();
        self.tail.extend_from_slice(bytes);
    }

    /// Before something is written to the tail. A large one becomes a chunk as it is: what is sent can then be let go even
    /// if the client always leaves something unread, and nothing large is ever copied to make it larger.
    #[inline]
    pub fn begin_reply(&mut self) {
        if self.tail.len() >= KEEP_BYTES {
            self.chunk_bytes += self.tail.len();
            self.chunks.push_back(Chunk::Owned(std::mem::take(&mut self.tail)));
        }
    }

    /// Appends bytes by moving them when they are many.
    pub fn push_owned(&mut self, bytes: Vec<u8>) {
        if bytes.len() < CHUNK_BYTES {
            return self.push(&bytes);
        }
        self.push_chunk(Chunk::Owned(bytes));
    }

    /// Appends bytes that others get, too, without copying them.
    pub fn push_shared(&mut self, bytes: &Arc<[u8]>) {
        self.push_chunk(Chunk::Shared(bytes.clone()));
    }

    fn push_chunk(&mut self, bytes: Chunk) {
        if self.chunks.is_empty() && self.sent > 0 {
            self.tail.drain(..self.sent);
            self.sent = 0;
        }
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.chunk_bytes += tail.len();
            self.chunks.push_back(Chunk::Owned(tail));
        }
        self.chunk_bytes += bytes.len();
        self.chunks.push_back(bytes);
    }

    /// The next bytes to send, with everything up to `durable` on disk.
    #[inline]
    pub fn front(&self, durable: u64) -> &[u8] {
        let front = match self.chunks.front() {
            Some(chunk) => &chunk[self.sent..],
            None => &self.tail[self.sent..],
        };
        match self.gates.back() {
            Some(last) if last.0 > durable => &front[..front.len().min(self.open_bytes(durable))],
            _ => front,
        }
    }

    /// How many bytes may leave before the first gate that is closed.
    #[cold]
    fn open_bytes(&self, durable: u64) -> usize {
        let open = self.gates.iter().take_while(|gate| gate.0 <= durable).last();
        open.map_or(0, |gate| (gate.1 - self.sent_total) as usize)
    }

    /// What lies in the output now, and is not held back already, leaves only when `epoch` is durable.
    pub fn hold(&mut self, epoch: u64) {
        if self.is_empty() {
            return;
        }
        let end = self.sent_total + self.len() as u64;
        match self.gates.back_mut() {
            // Nothing leaves before what stands in front of it.
            Some(last) if last.0 >= epoch || last.1 == end => last.1 = end,
            _ => self.gates.push_back((epoch, end)),
        }
    }

    /// Whether something is held back.
    pub fn is_held(&self, durable: u64) -> bool {
        self.gates.back().is_some_and(|gate| gate.0 > durable)
    }

    pub fn advance(&mut self, sent: usize) {
        self.sent_total += sent as u64;
        while self.gates.front().is_some_and(|gate| gate.1 <= self.sent_total) {
            self.gates.pop_front();
        }
        self.sent += sent;
        match self.chunks.front() {
            Some(chunk) if self.sent == chunk.len() => {
                self.chunk_bytes -= chunk.len();
                self.chunks.pop_front();
                self.sent = 0;
            }
            None if self.sent == self.tail.len() => {
                self.sent = 0;
                self.tail.clear();
            }
            _ => {}
        }
    }

    /// Gives the buffer back when nothing is in it.
    pub fn release(&mut self, pool: &mut Vec<Vec<u8>>) {
        if self.is_empty() && self.tail.capacity() > 0 {
            let mut tail = std::mem::take(&mut self.tail);
            self.sent = 0;
            if tail.capacity() <= KEEP_BYTES && pool.len() < 256 {
                tail.clear();
                pool.push(tail);
            }
        }
    }
}

/// A reply's place in line.
enum Slot {
    Waiting {
        mute: bool,
        /// It may take for ever (BLPOP ...), and has no request behind it: what comes behind it are pushes, which pass.
        passable: bool,
    },
    /// In `stash`.
    Ready {
        start: usize,
        end: usize,
    },
    Owned(Vec<Vec<u8>>),
    Shared(Arc<[u8]>),
}

/// The replies of one connection in the order of its requests.
#[derive(Default)]
pub struct Tickets {
    slots: VecDeque<Slot>,
    /// The ticket of `slots[0]`.
    head: u32,
    stash: Vec<u8>,
    /// Bytes of `stash` that some slot refers to; the others are sent.
    stashed: usize,
    /// Bytes of replies in buffers of their own.
    owned: usize,
}

impl Tickets {
    /// Whether nothing stands before a new reply.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of replies that wait for others.
    pub fn bytes(&self) -> usize {
        self.stashed + self.owned
    }

    /// Takes a place in line for a reply to come. `mute`: it is counted but not sent.
    pub fn wait(&mut self, mute: bool) -> u32 {
        let ticket = self.head.wrapping_add(self.slots.len() as u32);
        self.slots.push_back(Slot::Waiting { mute, passable: false });
        ticket
    }

    /// The request of a ticket, the last of its connection, waits for keys: pushes do not wait with it.
    pub fn let_pushes_pass(&mut self, ticket: u32, output: &mut Output) {
        let at = ticket.wrapping_sub(self.head) as usize;
        if let Slot::Waiting { passable, .. } = &mut self.slots[at] {
            *passable = true;
        }
        self.pass(output);
    }

    /// Sends on the pushes behind a request that waits for keys.
    fn pass(&mut self, output: &mut Output) {
        if self.slots.len() > 1 && matches!(self.slots[0], Slot::Waiting { passable: true, .. }) {
            let first = self.slots.pop_front().expect("just seen");
            self.send_ready(output);
            self.slots.push_front(first);
        }
    }

    /// A reply that is ready at once but has to wait for those before it.
    pub fn ready(&mut self, reply: &[u8]) {
        let slot = self.put_by(reply);
        self.slots.push_back(slot);
    }

    /// As `ready`, for a reply or a push. A push passes a request that waits for keys.
    pub fn ready_to_send(&mut self, bytes: &[u8], output: &mut Output) {
        self.ready(bytes);
        self.pass(output);
    }

    /// As `ready_to_send`, for bytes that others get, too.
    pub fn ready_shared(&mut self, bytes: &Arc<[u8]>, output: &mut Output) {
        self.owned += bytes.len();
        self.slots.push_back(Slot::Shared(bytes.clone()));
        self.pass(output);
    }

    /// As `ready`, moving a big reply.
    pub fn ready_owned(&mut self, reply: Vec<u8>) {
        self.owned += reply.len();
        self.slots.push_back(Slot::Owned(vec![reply]));
    }

    fn put_by(&mut self, reply: &[u8]) -> Slot {
        let start = self.stash.len();
        self.stash.extend_from_slice(reply);
        self.stashed += reply.len();
        Slot::Ready { start, end: self.stash.len() }
    }

    /// Serves a ticket, and sends on what stood behind it.
    pub fn serve(&mut self, ticket: u32, reply: &[u8], output: &mut Output) {
        let at = ticket.wrapping_sub(self.head) as usize;
        let mute = self.is_mute(at);
        if at == 0 {
            if !mute {
                output.push(reply);
            }
            self.advance(output);
        } else {
            self.slots[at] = self.put_by(if mute { b"" } else { reply });
        }
    }

    /// As `serve`, moving a big reply.
    pub fn serve_owned(&mut self, ticket: u32, reply: Vec<u8>, output: &mut Output) {
        self.serve_pieces(ticket, vec![reply], output);
    }

    /// As `serve`, for a reply in several buffers.
    pub fn serve_pieces(&mut self, ticket: u32, mut pieces: Vec<Vec<u8>>, output: &mut Output) {
        let at = ticket.wrapping_sub(self.head) as usize;
        if self.is_mute(at) {
            pieces.clear();
        }
        if at == 0 {
            pieces.into_iter().for_each(|p| output.push_owned(p));
            self.advance(output);
        } else {
            self.owned += pieces.iter().map(Vec::len).sum::<usize>();
            self.slots[at] = Slot::Owned(pieces);
        }
    }

    fn is_mute(&self, at: usize) -> bool {
        match &self.slots[at] {
            Slot::Waiting { mute, .. } => *mute,
            _ => unreachable!("a ticket is served once"),
        }
    }

    /// Drops the served front and sends what is ready behind it.
    fn advance(&mut self, output: &mut Output) {
        self.slots.pop_front();
        self.head = self.head.wrapping_add(1 + self.send_ready(output));
        self.pass(output);
    }

    /// Sends what is ready up to the first that waits; says how many these were.
    fn send_ready(&mut self, output: &mut Output) -> u32 {
        let before = self.slots.len();
        while let Some(slot) = self.slots.front_mut() {
            match slot {
                Slot::Waiting { .. } => {
                    self.compact();
                    return (before - self.slots.len()) as u32;
                }
                Slot::Ready { start, end } => {
                    output.push(&self.stash[*start..*end]);
                    self.stashed -= *end - *start;
                }
                Slot::Owned(pieces) => pieces.drain(..).for_each(|p| {
                    self.owned -= p.len();
                    output.push_owned(p);
                }),
                Slot::Shared(bytes) => {
                    self.owned -= bytes.len();
                    output.push_shared(bytes);
                }
            }
            self.slots.pop_front();
        }
        self.stash.clear();
        if self.stash.capacity() > KEEP_BYTES {
            self.stash = Vec::new();
        }
        before as u32
    }

    /// Lets go of replies that are sent, once they are the greater part: a client that always has something in flight
    /// never empties the line.
    fn compact(&mut self) {
        if self.stash.len() < COMPACT_BYTES || self.stashed > self.stash.len() / 2 {
            return;
        }
        let mut stash = Vec::with_capacity(self.stashed);
        for slot in &mut self.slots {
            if let Slot::Ready { start, end } = slot {
                let to = stash.len();
                stash.extend_from_slice(&self.stash[*start..*end]);
                (*start, *end) = (to, stash.len());
            }
        }
        self.stash = stash;
    }
}

/// In place of a shard's number: more than one.
pub const SEVERAL: u16 = u16::MAX;

/// Why a connection takes no more requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Open,
    /// Closed by us once all replies before are sent (QUIT, a protocol error).
    Closing,
    /// To be closed at once (CLIENT KILL, a limit); nothing more is sent.
    Killed,
    /// The socket is gone. The number is kept while replies are on their way to it.
    Gone,
}

pub struct Connection {
    pub session: Session,
    pub transaction: Transaction,
    pub input: Input,
    pub decoder: Decoder,
    /// Its next request waits for the end of CLIENT PAUSE; it is in the list of those that do.
    pub held: bool,
    /// Its last request is a walk over all shards, may wait for keys, or is an EXEC with more to do than the shards': what follows
    /// waits until it is answered.
    pub awaits_walk: bool,
    /// Its last request may wait for keys.
    pub blocked: Option<Box<Blocked>>,
    /// It has asked the server to end; the ticket is served if that fails.
    pub asks_to_end: Option<u32>,
    /// How many bytes the unfinished request at the start of the input needs in all, as far as it has said.
    pub want: usize,
    /// Where the input begins once the requests decoded in this turn have run.
    pub decoded_to: usize,
    /// What is wrong with the bytes at this place of the input; answered when the requests before it have run.
    pub protocol_error: Option<(usize, DecodeError)>,
    pub output: Output,
    pub tickets: Tickets,
    pub subscriptions: Option<Box<Subscriptions>>,
    pub life: Life,
    /// Bytes of requests that are at other workers.
    pub in_flight_bytes: usize,
    /// The turn in which its last request went to a mailbox, and the shard of that mailbox; what follows before that is
    /// settled (see [`super::worker::Worker`]) goes to a mailbox, too.
    pub queued_in: u64,
    pub queued_to: u16,
    /// The turn in which its last request went into the turn's rendezvous.
    pub rendezvous_in: u64,
    /// In the list of connections that have something to decode.
    pub listed: bool,
    /// In the list of connections that have something to send.
    pub dirty: bool,
    /// The peer sends no more; the connection is closed when what it sent is answered.
    pub end_of_input: bool,
    /// Bytes arrived since the last decoding, or requests were left over.
    pub undecoded: bool,
    /// The latest epoch that its replies show something of.
    pub shows: u64,
    /// Commands of it have run on the shard here since its output was last looked at.
    pub saw_shard: bool,
    /// In the list of connections whose output is held back.
    pub in_held: bool,
    /// Since when the output is above its soft limit, in ms.
    pub over_soft_limit_since: Option<u64>,
}

impl Connection {
    /// Bytes of memory it takes, buffers included.
    pub fn memory(&self) -> usize {
        let s = &self.session;
        size_of::<Connection>()
            + self.input.data.len()
            + self.output.tail.capacity()
            + self.output.chunk_bytes
            + self.tickets.bytes()
            + self.subscriptions.as_ref().map_or(0, |own| own.memory())
            + self.transaction.memory()
            + [&s.name, &s.lib_name, &s.lib_version].map(Vec::capacity).iter().sum::<usize>()
            + s.peer.capacity()
            + s.local.capacity()
    }

    /// How many requests are to be answered by themselves: who waits for keys, or for the end of the server, may do so for ever.
    pub fn requests_left(&self) -> usize {
        let waits = self.blocked.as_ref().is_some_and(|blocked| blocked.waits());
        self.tickets.len() - usize::from(self.asks_to_end.is_some()) - usize::from(waits)
    }

    pub fn new(session: Session) -> Connection {
        Connection {
            session,
            transaction: Transaction::default(),
            input: Input::default(),
            decoder: Decoder::default(),
            held: false,
            awaits_walk: false,
            blocked: None,
            asks_to_end: None,
            want: 0,
            decoded_to: 0,
            protocol_error: None,
            output: Output::default(),
            tickets: Tickets::default(),
            subscriptions: None,
            life: Life::Open,
            in_flight_bytes: 0,
            queued_in: 0,
            queued_to: SEVERAL,
            rendezvous_in: 0,
            listed: false,
            dirty: false,
            end_of_input: false,
            undecoded: false,
            shows: 0,
            saw_shard: false,
            in_held: false,
            over_soft_limit_since: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(output: &mut Output) -> Vec<u8> {
        let mut all = Vec::new();
        while !output.is_empty() {
            let n = output.front(0).len().min(7);
            all.extend_from_slice(&output.front(0)[..n]);
            output.advance(n);
        }
        all
    }

    #[test]
    fn replies_leave_in_the_order_of_their_tickets() {
        let (mut tickets, mut output) = (Tickets::default(), Output::default());
        let a = tickets.wait(false);
        let b = tickets.wait(false);
        tickets.ready(b"c");
        let d = tickets.wait(true);
        let e = tickets.wait(false);
        tickets.serve(e, b"e", &mut output);
        tickets.serve(b, b"b", &mut output);
        assert!(output.is_empty());
        tickets.serve(a, b"a", &mut output);
        assert_eq!(sent(&mut output), b"abc");
        tickets.serve_owned(d, vec![b'd'; 100_000], &mut output);
        assert_eq!(sent(&mut output), b"e");
        assert!(tickets.is_empty());
    }

    #[test]
    fn pushes_pass_a_request_that_waits_for_keys_but_no_reply_before_it() {
        let (mut tickets, mut output) = (Tickets::default(), Output::default());
        let before = tickets.wait(false);
        let waits = tickets.wait(false);
        tickets.ready_to_send(b"1", &mut output);
        tickets.let_pushes_pass(waits, &mut output);
        tickets.ready_shared(&Arc::from(*b"2"), &mut output);
        assert!(output.is_empty());
        tickets.serve(before, b"before", &mut output);
        assert_eq!(sent(&mut output), b"before12");
        tickets.ready_to_send(b"3", &mut output);
        assert_eq!((sent(&mut output), tickets.len(), tickets.bytes()), (b"3".to_vec(), 1, 0));
        tickets.serve(waits, b"served", &mut output);
        assert_eq!(sent(&mut output), b"served");
        assert!(tickets.is_empty());
        let next = tickets.wait(false);
        tickets.ready_to_send(b"4", &mut output);
        assert!(output.is_empty());
        tickets.serve(next, b"next", &mut output);
        assert_eq!(sent(&mut output), b"next4");
    }

    #[test]
    fn a_line_that_never_empties_keeps_only_replies_that_wait() {
        let (mut tickets, mut output) = (Tickets::default(), Output::default());
        let mut expected = Vec::new();
        let mut front = tickets.wait(false);
        for i in 0..2000u32 {
            // Always one that waits, behind it a reply that is ready, and the next that waits.
            let reply = [i as u8; 100];
            tickets.ready(&reply);
            let next = tickets.wait(false);
            tickets.serve(front, b"x", &mut output);
            front = next;
            expected.push(b'x');
            expected.extend(reply);
            assert!(tickets.stash.len() <= COMPACT_BYTES + 100);
        }
        assert_eq!(sent(&mut output), expected);
        let behind = tickets.wait(false);
        tickets.serve_owned(behind, vec![b'y'; 100_000], &mut output);
        tickets.ready_owned(vec![b'z'; 100_000]);
        assert_eq!(tickets.bytes(), 200_000);
        tickets.serve(front, b"x", &mut output);
        assert_eq!(tickets.bytes(), 0);
        assert_eq!(sent(&mut output), [b"x".to_vec(), vec![b'y'; 100_000], vec![b'z'; 100_000]].concat());
    }

    #[test]
    fn output_that_is_never_read_to_its_end_keeps_only_what_is_unread() {
        let mut output = Output::default();
        let reply = [b'x'; 1000];
        (0..1000).for_each(|_| output.push(&reply));
        for _ in 0..5000 {
            output.push(&reply);
            while output.len() > 1_000_000 {
                output.advance(output.front(0).len().min(output.len() - 1_000_000));
            }
            let kept = output.chunk_bytes + output.tail.len();
            assert!(kept <= 1_000_000 + KEEP_BYTES + reply.len(), "{kept} bytes are kept");
        }
        assert_eq!(sent(&mut output), vec![b'x'; 1_000_000]);
    }

    #[test]
    fn big_replies_are_moved_and_keep_their_place() {
        let mut output = Output::default();
        output.push(b"before");
        output.advance(3);
        output.push_owned(vec![b'x'; CHUNK_BYTES]);
        output.push(b"after");
        let mut expected = b"ore".to_vec();
        expected.extend(vec![b'x'; CHUNK_BYTES]);
        expected.extend(b"after");
        assert_eq!(output.len(), expected.len());
        assert_eq!(sent(&mut output), expected);
    }

    #[test]
    fn the_input_grows_only_with_what_arrived() {
        let (mut input, mut pool) = (Input::default(), Vec::new());
        for _ in 0..10 {
            let space = input.space(&mut pool, 500 << 20).len();
            assert!(space <= INPUT_BYTES.max(2 * input.len()));
            input.end += space;
        }
        input.start = input.end;
        input.release(&mut pool);
        assert_eq!((input.data.capacity(), pool.len()), (0, 0));
    }
}
