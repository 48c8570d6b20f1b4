//! Where the requests of a turn go: those for the own shard run in place, the others into the turn's batches.
//!
//! They are all decoded and planned by now, and run in order, a few buckets and entries being fetched into the cache ahead
//! of the one that runs.

use super::super::admission::{self, Circumstances};
use super::super::connection::{Connection, Life, SEVERAL};
use super::super::mail::{Batch, Dest, Item};
use super::super::script::{self, Attempt};
use super::super::session::ReplyMode;
use super::decode::{Plan, Refusal, Request, refusal_text};
use super::wait::may_wait;
use super::{ConnId, Gathering, REQUESTS_PER_TURN, Worker};
use kv_core::command::{CommandError, Flags, Handler, Join, Row, RowId, Spread, keys_of, may_be_anywhere};
use kv_core::resp::{Arg, Proto, Reply};
use std::sync::Arc;

/// How far ahead buckets and entries are fetched.
const BUCKETS_AHEAD: usize = 24;
const ENTRIES_AHEAD: usize = 12;

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has to wait for a later turn, and its connection's others with it.
    Waits,
    /// It was refused or put in line, or monitors have been shown it.
    Done,
    /// It was carried out, or is on its way.
    Ran,
}

impl Worker {
    /// Runs the requests of this turn: those for the own shard in place, the others into the turn's batches.
    pub fn run_local(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        let words = std::mem::take(&mut self.words);
        if !requests.is_empty() {
            self.turn_ns = self.meter.now_ns();
            self.meter.begin(self.id, self.turn_ns);
        }
        // What stands in the mailbox before us runs before us.
        let in_place = !self.is_stalled() && !self.is_monitored_elsewhere();
        let ahead = in_place && requests.len() > 1;
        if ahead {
            requests.iter().take(BUCKETS_AHEAD).for_each(|r| self.fetch_bucket(r));
            requests.iter().take(ENTRIES_AHEAD).for_each(|r| self.fetch_entry(r));
        }
        let mut i = 0;
        while i < requests.len() {
            let conn = requests[i].conn;
            let now = self.now;
            let c = self.connection(conn);
            c.session.last_active = now;
            let data = std::mem::take(&mut c.input.data);
            let first = i;
            let mut stopped = None;
            while i < requests.len() && requests[i].conn == conn {
                if ahead {
                    // The key of the request before is being fetched already.
                    if let Some([before, r]) = requests.get(i + BUCKETS_AHEAD - 1..=i + BUCKETS_AHEAD)
                        && before.key_hash != r.key_hash
                    {
                        self.fetch_bucket(r);
                    }
                    if let Some([before, r]) = requests.get(i + ENTRIES_AHEAD - 1..=i + ENTRIES_AHEAD)
                        && before.key_hash != r.key_hash
                    {
                        self.fetch_entry(r);
                    }
                }
                let request = &requests[i];
                if stopped.is_none() {
                    let mode = self.connection(conn).session.reply_mode;
                    let fate = self.run_request(request, &data, &words, in_place);
                    if fate == Fate::Ran && self.is_monitored() {
                        self.show_request(request, &data, &words);
                    }
                    if fate == Fate::Waits {
                        stopped = Some(i);
                        // It will ask again whether it is to be answered.
                        self.connection(conn).session.reply_mode = mode;
                    } else if self.connection(conn).session.is_caching() {
                        self.caching_is_used(request);
                    }
                }
                i += 1;
            }
            let waiting = &requests[stopped.unwrap_or(i)..i];
            self.figures.commands += (i - first - waiting.len()) as u64;
            self.after_requests(conn, data, waiting, &words);
        }
        self.meter.end();
        self.tell_notices();
        self.tell_news();
        self.requests = requests;
        self.requests.clear();
        self.words = words;
        self.words.clear();
        if self.words.capacity() > 1 << 16 {
            self.words = Vec::new();
        }
    }

    /// Puts a connection's input back after its requests of this turn have run, all but `waiting`.
    fn after_requests(&mut self, conn: ConnId, data: Vec<u8>, waiting: &[Request], words: &[Arg]) {
        let c = self.connections[conn as usize].as_mut().expect("it has just run requests");
        c.input.data = data;
        match waiting.first() {
            Some(first) => {
                c.input.start = first.start as usize;
                // They will be decoded again; but of a line the quotes are resolved already, so it is written anew.
                if waiting.iter().any(|r| c.input.data[r.start as usize] != b'*') {
                    c.input.rewrite(waiting.iter().map(|r| r.words(words)), c.decoded_to);
                }
                c.decoder = Default::default();
                c.protocol_error = None;
                c.undecoded = true;
            }
            None => c.input.start = c.decoded_to,
        }
        let failed = c.protocol_error.is_some();
        if c.life == Life::Open && !failed {
            c.input.release(&mut self.input_pool);
            if c.end_of_input && !c.undecoded {
                self.close_after_replies(conn);
            } else if c.undecoded && c.tickets.len() < REQUESTS_PER_TURN && !c.held && !c.awaits_walk {
                self.list(conn);
            }
        } else if failed {
            self.fail(conn);
        }
        let c = self.connections[conn as usize].as_mut().expect("it has just run requests");
        if !c.output.is_empty() && !c.dirty {
            c.dirty = true;
            self.dirty.push(conn);
        }
    }

    #[inline]
    fn fetch_bucket(&self, request: &Request) {
        if request.key_at != 0 && request.plan == Plan::Shard(self.id as u16) {
            let db = self.connections[request.conn as usize].as_ref().map_or(0, |c| c.session.db);
            if let Some(shard) = &self.shard {
                shard.dbs[db].prefetch_bucket(request.key_hash);
            }
        }
    }

    #[inline]
    fn fetch_entry(&self, request: &Request) {
        if request.key_at != 0 && request.plan == Plan::Shard(self.id as u16) {
            let db = self.connections[request.conn as usize].as_ref().map_or(0, |c| c.session.db);
            if let Some(shard) = &self.shard {
                shard.dbs[db].prefetch_entry(request.key_hash);
            }
        }
    }

    /// Runs or sends one request.
    fn run_request(&mut self, request: &Request, data: &[u8], words: &[Arg], in_place: bool) -> Fate {
        let row = self.table.row(request.row);
        let words = &words[request.words_start as usize..][..request.words_len as usize];
        let data = &data[request.start as usize..request.end as usize];
        let turn = self.turn;
        let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
        if c.life != Life::Open {
            return Fate::Done; // QUIT or CLIENT KILL stood before: the rest is not run
        }
        if c.awaits_walk && !c.tickets.is_empty() {
            return Fate::Waits; // a walk goes on turn by turn, and what stands behind it must not be seen by it
        }
        c.awaits_walk = false;
        let mute = c.next_is_mute();
        if let Plan::Refuse(refusal) = request.plan {
            let text = refusal_text(refusal, row, data, words);
            if refusal == Refusal::Arity {
                self.net.costs(self.id).rejected(request.row);
            }
            return self.reject(request.conn, row, &text, mute);
        }
        c.session.last_command = &row.full_name;
        let is_exec = row.spec.spread == Spread::Transaction;
        let queues = c.transaction.queued.is_some();
        let mut flags = row.spec.flags;
        if let Some(unit) = c.transaction.queued.as_ref().filter(|_| is_exec) {
            flags = flags.and(unit.flags().common(Flags::OF_ANY));
        }
        if queues && flags.has(Flags::NO_MULTI) {
            self.net.costs(self.id).rejected(request.row);
            return self.reject(request.conn, row, "ERR Command not allowed inside a transaction", mute);
        }
        let now = Circumstances {
            session: &c.session,
            status: self.link.status(),
            is_loading: self.is_loading,
            is_busy: self.net.scripts.is_busy(self.now, self.config.busy_reply_threshold),
            scripts: &self.net.scripts,
        };
        if let Some(error) = admission::refusal(flags, &now) {
            self.net.costs(self.id).rejected(request.row);
            return self.reject(request.conn, row, &error.to_string(), mute);
        }
        if self.pause.holds(flags, self.now) && !c.session.is_monitor {
            if !std::mem::replace(&mut c.held, true) {
                self.held.push(request.conn);
            }
            return Fate::Waits;
        }
        if queues && !flags.has(Flags::NOT_QUEUED) {
            self.queue(request, row, data, words, mute);
            return Fate::Done;
        }
        if is_exec {
            return self.exec(request, data, words, mute, in_place);
        }
        if flags.has(Flags::WATCHES) {
            if queues {
                self.refuse(request.conn, "ERR WATCH inside MULTI is not allowed", mute);
                return Fate::Ran;
            }
            self.note_watches(request.conn, row, data, words);
        }
        let follows = self.follows(request.conn);
        let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
        let in_rendezvous = c.rendezvous_in == turn;
        if let Handler::Script(script) = row.spec.handler {
            let libraries = self.shard.as_ref().map(|shard| &shard.libraries);
            let everywhere = self.outgoing.len() > 1
                && script::begins_everywhere(&self.scripting, libraries, script, words[1].get(data));
            let own = request.plan == Plan::Shard(self.id as u16);
            if !everywhere && own && in_place && !follows {
                self.run_script_in_place(script, request, data, words, mute);
                return Fate::Ran;
            }
            // What follows must see all that it does, and where it will be done is not certain yet.
            self.connection(request.conn).awaits_walk = true;
            if everywhere || self.is_monitored() {
                self.gather(request, row, data, words, mute, false);
                if everywhere {
                    let gathering = self.gathering();
                    gathering.involved.fill(true);
                    gathering.work.items.last_mut().expect("just put there").attempt = Attempt::Everywhere;
                }
                return Fate::Ran;
            }
        }
        let may_wait = may_wait(row, data, words);
        match request.plan {
            Plan::Here => self.run_host_here(request, row, data, words),
            Plan::Shard(shard) if usize::from(shard) == self.id && in_place && !follows && !may_wait => {
                self.run_in_place(request, row, data, words, mute);
            }
            // What runs on shards one by one cannot stand behind a rendezvous in one turn: it waits for the next.
            _ if in_rendezvous && !matches!(row.spec.spread, Spread::Keys | Spread::Parts { .. }) => {
                return Fate::Waits;
            }
            Plan::Shard(_) | Plan::Parts | Plan::Together if in_rendezvous || request.plan == Plan::Together => {
                self.gather(request, row, data, words, mute, may_wait);
            }
            Plan::Shard(shard) => {
                let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
                self.needs_lock |= follows && c.queued_to != shard;
                (c.queued_in, c.queued_to) = (turn, shard);
                c.in_flight_bytes += data.len();
                let ticket = c.tickets.wait(mute);
                let mut item = c.item(request.row, request.key_at, Dest::Ticket { conn: request.conn, ticket });
                if may_wait {
                    let wait = self.begin_blocking(request.conn, row, data, words, ticket);
                    item.wait = self.batch_for(usize::from(shard)).push_wait(wait);
                }
                self.batch_for(usize::from(shard)).push_item(item, words, data, request.hashes());
                if usize::from(shard) != self.id {
                    self.figures.remote_requests += 1;
                }
            }
            Plan::Parts => self.send_parts(request, row, data, words, mute),
            Plan::All => {
                self.send_to_all(request, row, data, words, mute);
                self.connection(request.conn).awaits_walk = row.spec.spread == Spread::All { join: Join::Concat };
            }
            Plan::Channel => {
                self.tell_notices();
                // What was told in this turn may be in the own mailbox.
                let here = in_place && !follows && self.outgoing[self.id].is_none();
                self.publish_message(request, row, data, words, mute, here);
            }
            Plan::Together | Plan::Refuse(_) => unreachable!("handled above"),
        }
        Fate::Ran
    }

    /// Behind a command for which CLIENT CACHING may have been said: it is about one command, or one transaction.
    #[cold]
    fn caching_is_used(&mut self, request: &Request) {
        let is_refused = matches!(request.plan, Plan::Refuse(_));
        let keeps = !is_refused && self.table.row(request.row).spec.flags.has(Flags::KEEPS_CACHING);
        if !keeps && self.connection(request.conn).transaction.queued.is_none() {
            self.end_caching(request.conn);
        }
    }

    /// Whether an earlier request of the connection is not settled, so that what follows it must not run in place.
    #[inline]
    pub(super) fn follows(&mut self, conn: ConnId) -> bool {
        let (settled, ordered) = (self.settled, !self.net.faults().no_connection_order);
        let c = self.connection(conn);
        settled <= c.queued_in && !c.tickets.is_empty() && ordered
    }

    /// An error in place of a reply.
    pub(super) fn refuse(&mut self, conn: ConnId, text: &str, mute: bool) {
        self.figures.count_error(text.as_bytes());
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let c = self.connection(conn);
        Reply::new(&mut scratch, c.session.proto).error(text);
        if !mute {
            c.answer(&scratch);
        }
        self.scratch = scratch;
    }

    /// Begins a join for a request.
    pub(super) fn join_request(&mut self, request: &Request, join: Join, parts: usize, mute: bool) -> u32 {
        let turn = self.turn;
        let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
        (c.queued_in, c.queued_to) = (turn, SEVERAL);
        c.in_flight_bytes += request.bytes();
        let (ticket, proto) = (c.tickets.wait(mute), c.session.proto);
        self.begin_join(request.conn, Some(ticket), proto, join, parts)
    }

    /// `ticket`: none when the answer is an element of the reply of an EXEC.
    pub(super) fn begin_join(
        &mut self,
        conn: ConnId,
        ticket: Option<u32>,
        proto: Proto,
        join: Join,
        parts: usize,
    ) -> u32 {
        let id = self.free_joins.pop().unwrap_or_else(|| {
            self.joins.push(Default::default());
            (self.joins.len() - 1) as u32
        });
        self.joins[id as usize].begin(conn, ticket, proto, join, parts);
        self.needs_lock = true;
        id
    }

    /// Each involved shard gets the command with its own keys.
    fn send_parts(&mut self, request: &Request, row: &'static Row, data: &[u8], words: &[Arg], mute: bool) {
        let Spread::Parts { unit, join } = row.spec.spread else { unreachable!("planned as parts") };
        let (first, unit) = (usize::from(request.key_at), usize::from(unit));
        if !(words.len() - first).is_multiple_of(unit) {
            let text = CommandError::WrongArity(row.full_name.clone()).to_string();
            return self.refuse(request.conn, &text, mute);
        }
        let shards = self.outgoing.len();
        let mut keys = std::mem::take(&mut self.key_shards);
        keys.clear();
        let mut parts = 0;
        for at in (first..words.len()).step_by(unit) {
            let key = self.hasher.key(words[at].get(data));
            let shard = self.hasher.place_key(key, shards);
            if self.part_of[shard] == u16::MAX {
                self.part_of[shard] = parts;
                parts += 1;
            }
            keys.push((shard as u16, key.hash));
        }
        let id = self.join_request(request, join, usize::from(parts), mute);
        let c = self.connections[request.conn as usize].as_ref().expect("it has requests");
        let template = c.item(request.row, request.key_at, Dest::Join { join: id, part: 0 });
        for (i, &(shard, key_hash)) in keys.iter().enumerate() {
            let part = self.part_of[usize::from(shard)];
            self.joins[id as usize].key_goes_to(part);
            let dest = Dest::Join { join: id, part };
            let batch = self.batch_for(usize::from(shard));
            let begun =
                batch.items.last().is_some_and(|item| matches!(item.dest, Dest::Join { join, .. } if join == id));
            if !begun {
                batch.push_item(Item { dest, key_step: unit as u16, ..template }, &words[..first], data, &[]);
            }
            batch.hashes.push(key_hash);
            let item = batch.items.last_mut().expect("just begun");
            item.hashes_len += 1;
            item.words_len += unit as u32;
            let bytes_start = item.bytes_start;
            let at = first + i * unit;
            words[at..at + unit].iter().for_each(|w| batch.push_word(bytes_start, w.get(data)));
        }
        for &(shard, _) in &keys {
            self.part_of[usize::from(shard)] = u16::MAX;
        }
        self.key_shards = keys;
    }

    /// Every worker gets the command.
    fn send_to_all(&mut self, request: &Request, row: &'static Row, data: &[u8], words: &[Arg], mute: bool) {
        let Spread::All { join } = row.spec.spread else { unreachable!("planned for all") };
        let shards = self.outgoing.len();
        let id = self.join_request(request, join, shards, mute);
        for shard in 0..shards {
            let c = self.connections[request.conn as usize].as_ref().expect("it has requests");
            let item = c.item(request.row, request.key_at, Dest::Join { join: id, part: shard as u16 });
            self.batch_for(shard).push_item(item, words, data, request.hashes());
        }
    }

    /// What comes together in this turn.
    pub(super) fn gathering(&mut self) -> &mut Gathering {
        let (pool, shards) = (&mut self.batch_pool, self.outgoing.len());
        self.gathering
            .get_or_insert_with(|| Gathering { work: pool.pop().unwrap_or_default(), involved: vec![false; shards] })
    }

    /// Into the turn's rendezvous: a command over several shards, and what follows it on its connection.
    fn gather(&mut self, request: &Request, row: &'static Row, data: &[u8], words: &[Arg], mute: bool, may_wait: bool) {
        let shards = self.outgoing.len();
        let turn = self.turn;
        let hasher = self.hasher.clone();
        let gathering = self.gathering();
        if let Plan::Shard(shard) = request.plan {
            gathering.involved[usize::from(shard)] = true;
        }
        keys_of(
            row.spec,
            words.len(),
            |i| words[i].get(data),
            |at| gathering.involved[hasher.place_key(hasher.key(words[at].get(data)), shards)] = true,
        );
        if row.any_shard && may_be_anywhere(row.spec, words.len(), |i| words[i].get(data)) {
            gathering.involved.fill(true);
        }
        let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
        (c.queued_in, c.queued_to) = (turn, SEVERAL);
        c.rendezvous_in = turn;
        c.in_flight_bytes += data.len();
        let ticket = c.tickets.wait(mute);
        let mut item = c.item(request.row, request.key_at, Dest::Ticket { conn: request.conn, ticket });
        if may_wait {
            let wait = self.begin_blocking(request.conn, row, data, words, ticket);
            item.wait = self.gathering().work.push_wait(wait);
        }
        self.gathering().work.push_item(item, words, data, request.hashes());
        self.needs_lock = true;
    }
}

impl Connection {
    /// As `answer`, for bytes that others get, too.
    pub fn answer_shared(&mut self, bytes: &Arc<[u8]>) {
        if self.tickets.is_empty() {
            self.output.push_shared(bytes);
        } else {
            self.tickets.ready_shared(bytes, &mut self.output);
        }
    }

    /// A reply, or a push, that is ready now.
    pub fn answer(&mut self, reply: &[u8]) {
        if self.tickets.is_empty() {
            self.output.push(reply);
        } else {
            self.tickets.ready_to_send(reply, &mut self.output);
        }
    }

    /// A request as it travels, still without its words.
    pub(super) fn item(&self, row: RowId, key_at: u16, dest: Dest) -> Item {
        Item {
            db: self.session.db as u16,
            proto: self.session.proto,
            no_touch: self.session.no_touch,
            tracks: self.session.tracks(),
            key_at,
            client: self.session.id,
            ..Item::new(row, dest)
        }
    }

    /// Whether the reply of the command at hand is not to be sent (CLIENT REPLY).
    #[inline]
    fn next_is_mute(&mut self) -> bool {
        match self.session.reply_mode {
            ReplyMode::On => false,
            ReplyMode::Off => true,
            ReplyMode::SkipNext => {
                self.session.reply_mode = ReplyMode::Skipping;
                true
            }
            ReplyMode::Skipping => {
                self.session.reply_mode = ReplyMode::On;
                false
            }
        }
    }
}

impl Batch {
    /// Adds a request with its words.
    pub(super) fn push_item(&mut self, mut item: Item, words: &[Arg], data: &[u8], hashes: &[u64]) {
        item.hashes_start = self.hashes.len() as u32;
        item.hashes_len = hashes.len() as u32;
        self.hashes.extend_from_slice(hashes);
        item.bytes_start = self.bytes.len();
        item.words_start = self.words.len() as u32;
        item.words_len = words.len() as u32;
        words.iter().for_each(|w| self.push_word(item.bytes_start, w.get(data)));
        self.items.push(item);
    }
}
