//! Subscribing, publishing, delivering: what a worker does with its [`Hub`](super::super::pubsub::Hub).

use super::super::connection::{Connection, Life};
use super::super::mail::{Dest, Mail};
use super::super::pubsub::{Awaited, Awaiting, Kind, Message, TopicId};
use super::decode::Request;
use super::{ConnId, Worker};
use kv_core::command::{Join, Row, Spread};
use kv_core::resp::{Arg, Proto, Reply};
use kv_core::types::pattern::matches;
use std::sync::Arc;

/// In place of an epoch: the one that is open where the message is delivered.
pub(in super::super) const OPEN_EPOCH: u64 = u64::MAX;

/// Messages of at least so many bytes, as sent, are shared by the outputs of their receivers instead of being copied.
pub(super) const SHARED_BYTES: usize = 16 * 1024;

/// How the pushes of a kind begin.
struct Words {
    begins: &'static [u8],
    ends: &'static [u8],
    message: &'static [u8],
}

impl Words {
    const fn of(kind: Kind) -> Words {
        match kind {
            Kind::Channel => Words { begins: b"subscribe", ends: b"unsubscribe", message: b"message" },
            Kind::Shard => Words { begins: b"ssubscribe", ends: b"sunsubscribe", message: b"smessage" },
            Kind::Pattern => Words { begins: b"psubscribe", ends: b"punsubscribe", message: b"pmessage" },
            Kind::Prefix | Kind::Monitor => panic!("these have no messages"),
        }
    }
}

impl Worker {
    // ---- subscribing ----

    /// Subscribes a connection, and answers; or gives the topics, and the number of the message that the other workers must have
    /// noted before.
    pub(in super::super) fn subscribe(
        &mut self,
        conn: ConnId,
        kind: Kind,
        names: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Option<(Vec<TopicId>, u64)> {
        let topics: Vec<TopicId> =
            names.iter().map(|name| self.hub.await_topic(kind, self.hasher.hash(name), name)).collect();
        match self.hub.must_await(&topics) {
            Some(number) => Some((topics, number)),
            None => {
                self.begin_subscriptions(conn, &topics, out);
                None
            }
        }
    }

    fn begin_subscriptions(&mut self, conn: ConnId, topics: &[TopicId], out: &mut Vec<u8>) {
        let c = self.connections[conn as usize].as_mut().expect("kept while a ticket is out");
        for &id in topics {
            if c.life == Life::Open {
                let topic = self.hub.topic_mut(id);
                let figures = &mut self.figures;
                let own = c.subscriptions.get_or_insert_with(|| {
                    figures.pubsub_clients += 1;
                    Box::default()
                });
                if !own.has(id) {
                    own.begin(topic.kind, id, topic.subscribers.len());
                    topic.subscribers.push(conn);
                    self.net.audience(self.id).count(topic, 1);
                }
                let mut reply = Reply::new(out, c.session.proto);
                reply.push(3);
                reply.bulk(Words::of(topic.kind).begins);
                reply.bulk(&topic.name);
                reply.int(own.told_count(topic.kind) as i64);
            }
            self.hub.subscribed(id);
        }
        self.note_mode(conn);
    }

    /// Ends subscriptions of one kind, all of them when there are no names.
    pub(in super::super) fn unsubscribe<'a>(
        &mut self,
        conn: ConnId,
        kind: Kind,
        names: impl ExactSizeIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) {
        let tell = |worker: &mut Worker, name: Option<&[u8]>, out: &mut Vec<u8>| {
            let c = worker.connection(conn);
            let count = c.subscriptions.as_ref().map_or(0, |own| own.told_count(kind));
            let mut reply = Reply::new(out, c.session.proto);
            reply.push(3);
            reply.bulk(Words::of(kind).ends);
            match name {
                Some(name) => reply.bulk(name),
                None => reply.nil(),
            }
            reply.int(count as i64);
        };
        if names.len() > 0 {
            for name in names {
                if let Some(id) = self.hub.find(kind, self.hasher.hash(name), name) {
                    self.end_subscription(conn, id);
                }
                tell(self, Some(name), out);
            }
        } else {
            let mut all: Vec<TopicId> = self.connection(conn).subscriptions.iter().flat_map(|s| s.topics()).collect();
            all.retain(|&id| self.hub.topic(id).kind == kind);
            all.sort_unstable_by(|&a, &b| self.hub.topic(a).name.cmp(&self.hub.topic(b).name));
            for &id in &all {
                let name = self.hub.topic(id).name.clone();
                self.end_subscription(conn, id);
                tell(self, Some(&name), out);
            }
            if all.is_empty() {
                tell(self, None, out);
            }
        }
        self.note_mode(conn);
    }

    fn end_subscription(&mut self, conn: ConnId, id: TopicId) {
        let topic = self.hub.topic_mut(id);
        let c = self.connections[conn as usize].as_mut().expect("the connection is there");
        let Some(own) = c.subscriptions.as_mut() else { return };
        let Some(position) = own.end(topic.kind, id) else { return };
        if own.is_empty() {
            c.subscriptions = None;
            self.figures.pubsub_clients -= 1;
        }
        topic.subscribers.swap_remove(position);
        self.net.audience(self.id).count(topic, -1);
        if let Some(&moved) = topic.subscribers.get(position) {
            let c = self.connections[moved as usize].as_mut().expect("subscribers are there");
            c.subscriptions.as_mut().expect("it has this one").move_to(id, position);
        }
        self.hub.drop_if_idle(id);
    }

    /// How many connections here have subscribed to a name.
    pub(in super::super) fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        let topic = self.hub.find(kind, self.hasher.hash(name), name);
        topic.map_or(0, |id| self.hub.topic(id).subscribers.len())
    }

    /// Ends all subscriptions of a connection, and tells it nothing.
    pub(in super::super) fn end_subscriptions(&mut self, conn: ConnId) {
        let Some(own) = &self.connection(conn).subscriptions else { return };
        let mut all: Vec<TopicId> = own.topics().collect();
        all.sort_unstable();
        all.into_iter().for_each(|id| self.end_subscription(conn, id));
        self.note_mode(conn);
    }

    /// After subscriptions or the protocol have changed: in RESP2 only some commands are allowed while there are any.
    pub(in super::super) fn note_mode(&mut self, conn: ConnId) {
        let c = self.connection(conn);
        c.session.is_subscribed = c.subscriptions.is_some() && c.session.proto == Proto::Resp2;
    }

    /// Other workers have noted what this one is interested in.
    pub(super) fn interest_is_noted(&mut self, by: usize, number: u64) {
        self.hub.confirmed(by, number);
        while let Some(Awaiting { conn, dest, what, .. }) = self.hub.next_noted() {
            let mut out = Vec::new();
            match what {
                Awaited::Subscriptions(topics) => self.begin_subscriptions(conn, &topics, &mut out),
                Awaited::Ok => Reply::new(&mut out, Proto::Resp2).ok(),
            }
            self.take_reply(dest, &out, 0);
        }
    }

    /// When a turn is published: what other workers must know of subscriptions.
    pub(super) fn tell_interest(&mut self) {
        if !self.hub.has_news() {
            return;
        }
        if let Some(interest) = self.hub.take_changes() {
            let interest = Arc::new(interest);
            let others = (0..self.outgoing.len()).filter(|&worker| worker != self.id);
            others.for_each(|worker| self.net.send(worker, Mail::Interest(interest.clone())));
        }
        for (worker, number) in self.hub.take_to_confirm() {
            self.net.send(worker, Mail::InterestNoted { by: self.id, number });
        }
    }

    // ---- publishing ----

    /// A PUBLISH. `here`: messages for the own subscribers may be delivered on the spot.
    pub(super) fn publish_message(
        &mut self,
        request: &Request,
        row: &Row,
        data: &[u8],
        words: &[Arg],
        mute: bool,
        here: bool,
    ) {
        let conn = request.conn;
        let (kind, channel) = channel_of(row, data, words);
        let mut targets = std::mem::take(&mut self.targets);
        self.hub.targets(kind, self.hasher.hash(channel), channel, &mut targets);
        let (turn, own) = (self.turn, self.id);
        match targets[..] {
            [] => {
                let c = self.connections[conn as usize].as_mut().expect("it has requests");
                if !mute {
                    self.scratch.clear();
                    Reply::new(&mut self.scratch, c.session.proto).int(0);
                    c.answer(&self.scratch);
                }
            }
            [only] if usize::from(only) == own && here => {
                let tells = self.told_by(conn);
                // The connection may be a subscriber itself: it gets the message behind the answer.
                let ticket = self.connection(conn).tickets.wait(mute);
                let count = self.deliver(kind, channel, words[2].get(data), tells);
                let mut answer = Vec::new();
                Reply::new(&mut answer, Proto::Resp2).int(count as i64);
                self.take_reply(Dest::Ticket { conn, ticket }, &answer, 0);
            }
            [only] => {
                self.needs_lock |= self.follows(conn) && self.connection(conn).queued_to != only;
                let tells = self.told_by(conn);
                let c = self.connection(conn);
                (c.queued_in, c.queued_to) = (turn, only);
                c.in_flight_bytes += request.bytes();
                let ticket = c.tickets.wait(mute);
                let item = c.item(request.row, 0, Dest::Ticket { conn, ticket });
                let batch = self.batch_for(usize::from(only));
                batch.tells = batch.tells.max(tells);
                batch.push_item(item, words, data, &[]);
                self.figures.remote_requests += u64::from(usize::from(only) != own);
            }
            [..] => {
                let tells = self.told_by(conn);
                let id = self.join_request(request, Join::Sum, targets.len(), mute);
                for (part, &worker) in targets.iter().enumerate() {
                    let c = self.connections[conn as usize].as_ref().expect("it has requests");
                    let item = c.item(request.row, 0, Dest::Join { join: id, part: part as u16 });
                    let batch = self.batch_for(usize::from(worker));
                    batch.tells = batch.tells.max(tells);
                    batch.push_item(item, words, data, &[]);
                }
            }
        }
        self.targets = targets;
    }

    /// A PUBLISH within a transaction that publishes here, whose answer is an element of the reply. True: it is in `out` already.
    pub(super) fn publish_element(&mut self, conn: ConnId, work: &super::Batch, i: usize, out: &mut Vec<u8>) -> bool {
        self.tell_notices();
        let item = work.items[i];
        let (data, words) = work.request(&item);
        let (kind, channel) = channel_of(self.table.row(item.row), data, words);
        let mut targets = std::mem::take(&mut self.targets);
        self.hub.targets(kind, self.hasher.hash(channel), channel, &mut targets);
        let is_here = targets.is_empty()
            || (targets == [self.id as u16]
                && !self.is_stalled()
                && !self.follows(conn)
                && self.outgoing[self.id].is_none());
        if is_here {
            let tells = self.told_by(conn);
            let count = self.deliver(kind, channel, words[2].get(data), tells);
            Reply::new(out, Proto::Resp2).int(count as i64);
        } else {
            let proto = self.connection(conn).session.proto;
            let id = self.begin_join(conn, None, proto, Join::Sum, targets.len());
            for (part, &worker) in targets.iter().enumerate() {
                let dest = Dest::Join { join: id, part: part as u16 };
                let batch = self.batch_for(usize::from(worker));
                batch.tells = OPEN_EPOCH;
                batch.push_item(super::super::mail::Item { dest, ..item }, words, data, &[]);
            }
        }
        self.targets = targets;
        is_here
    }

    /// Publishes what scripts and transactions have published, like events (`worker::notices`).
    pub(super) fn say(&mut self) {
        if !self.said.get_mut().is_empty() {
            // Events of what they wrote come first.
            self.tell_notices();
        }
        for Message { row, channel, text } in std::mem::take(self.said.get_mut()) {
            let kind = kind_of(self.table.row(row));
            self.publish_behind(kind, row, &channel, &text, OPEN_EPOCH);
        }
    }

    /// The epoch of what messages in the batch at hand may tell of.
    pub(in super::super) fn tells(&self) -> u64 {
        self.tells
    }

    /// The epoch of what a connection may tell of in a message: of what it has written, and of what it was shown.
    pub(super) fn told_by(&mut self, conn: ConnId) -> u64 {
        let shows = self.shows();
        let c = self.connection(conn);
        match (c.tickets.is_empty(), c.saw_shard) {
            // What is under way is in the open epoch at the latest, wherever: it was published before, and so were all markers
            // in front of it.
            (false, _) => OPEN_EPOCH,
            (true, true) => c.shows.max(shows),
            (true, false) => c.shows,
        }
    }

    /// Gives a message to the subscribers here; says how many they are. `tells`: the epoch of what it may tell of.
    pub(in super::super) fn deliver(&mut self, kind: Kind, channel: &[u8], text: &[u8], tells: u64) -> usize {
        let shows = if tells == OPEN_EPOCH { self.open_epoch() } else { tells };
        let limit = match self.config.client_output_buffer_limit.pubsub.hard {
            0 => usize::MAX,
            limit => limit as usize,
        };
        let mut count = 0;
        if let Some(id) = self.hub.find(kind, self.hasher.hash(channel), channel) {
            count += self.push_to_all(id, &[Words::of(kind).message, channel, text], shows, limit);
        }
        if kind == Kind::Channel {
            for at in 0..self.hub.patterns().len() {
                let id = self.hub.patterns()[at];
                if matches(&self.hub.topic(id).name, channel) {
                    let pattern = self.hub.topic(id).name.clone();
                    let words = [Words::of(Kind::Pattern).message, &pattern, channel, text];
                    count += self.push_to_all(id, &words, shows, limit);
                }
            }
        }
        count
    }

    fn push_to_all(&mut self, id: TopicId, words: &[&[u8]], shows: u64, limit: usize) -> usize {
        let subscribers = &self.hub.topic(id).subscribers;
        let mut count = 0;
        let mut push = Push { words, forms: std::mem::take(&mut self.push_forms), shared: [None, None] };
        for &conn in subscribers {
            let c = self.connections[conn as usize].as_mut().expect("subscribers are there");
            // One that is being closed gets no more.
            if c.life != Life::Open {
                continue;
            }
            count += 1;
            if c.output.tail.capacity() == 0 && c.tickets.is_empty() {
                c.output.tail = self.output_pool.pop().unwrap_or_default();
            }
            push.put(c);
            c.shows = c.shows.max(shows);
            if !c.dirty {
                c.dirty = true;
                self.dirty.push(conn);
            }
            if c.output.len() + c.tickets.bytes() >= limit {
                self.over_limit.push(conn);
            }
        }
        self.push_forms = push.forms;
        self.push_forms.iter_mut().for_each(|form| {
            form.clear();
            form.shrink_to(super::KEEP_BYTES);
        });
        while let Some(conn) = self.over_limit.pop() {
            self.check_output_limit(conn);
        }
        count
    }
}

/// The kind of the channel that a PUBLISH is to, and its name.
fn channel_of<'a>(row: &Row, data: &'a [u8], words: &[Arg]) -> (Kind, &'a [u8]) {
    (kind_of(row), words[1].get(data))
}

fn kind_of(row: &Row) -> Kind {
    let Spread::Channel { shard } = row.spec.spread else { unreachable!("it is to a channel") };
    if shard { Kind::Shard } else { Kind::Channel }
}

/// A push to many: encoded at most once for each protocol.
struct Push<'a> {
    words: &'a [&'a [u8]],
    forms: [Vec<u8>; 2],
    shared: [Option<Arc<[u8]>>; 2],
}

impl Push<'_> {
    #[inline]
    fn put(&mut self, c: &mut Connection) {
        let proto = c.session.proto;
        let at = proto as usize;
        if self.forms[at].is_empty() {
            let mut reply = Reply::new(&mut self.forms[at], proto);
            reply.push(self.words.len());
            self.words.iter().for_each(|word| reply.bulk(word));
            if self.forms[at].len() >= SHARED_BYTES {
                self.shared[at] = Some(self.forms[at].as_slice().into());
            }
        }
        match &self.shared[at] {
            Some(shared) => c.answer_shared(shared),
            None => c.answer(&self.forms[at]),
        }
    }
}
