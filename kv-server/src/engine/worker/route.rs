//! From bytes to commands: decoding, where each request belongs, and running or sending it.
//!
//! Requests of the whole turn are decoded and planned first (which row, which shard, the key's hash), then run in order,
//! a few buckets and entries being fetched into the cache ahead of the one that runs.

use super::super::admission::{self, Circumstances};
use super::super::connection::{Connection, Life, SEVERAL};
use super::super::costs::Words;
use super::super::mail::{Batch, Dest, Item};
use super::super::script::{self, Asked, Attempt, Ran};
use super::super::session::ReplyMode;
use super::execute::env_of;
use super::wait::may_wait;
use super::{ConnId, Gathering, REQUESTS_ALL, REQUESTS_PER_TURN, Worker};
use kv_core::command::{
    Args, Arity, CommandError, Ctx, Flags, Found, Handler, Join, Known, Outcome, Row, RowId, ScriptRow, Spread, Stores,
    keys_of, may_be_anywhere,
};
use kv_core::resp::{Arg, Decoded, Proto, Reply, number};
use std::sync::Arc;

/// One decoded request of this turn.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) conn: ConnId,
    /// Where it lies in its connection's input.
    start: u32,
    end: u32,
    words_start: u32,
    words_len: u32,
    pub(super) row: RowId,
    /// Position of the first key; 0 when there is none.
    pub(super) key_at: u16,
    key_hash: u64,
    pub(super) plan: Plan,
}

impl Request {
    /// Its words, and the bytes they are ranges of begin at `start`.
    fn words<'a>(&self, words: &'a [Arg]) -> (usize, &'a [Arg]) {
        (self.start as usize, &words[self.words_start as usize..][..self.words_len as usize])
    }

    /// How many bytes it came as.
    pub(super) fn bytes(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// The hash of its first key, if it has one.
    #[inline]
    pub(super) fn hashes(&self) -> &[u64] {
        if self.key_at == 0 { &[] } else { std::slice::from_ref(&self.key_hash) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// No row, or the wrong number of words: an error.
    Refuse(Refusal),
    /// By the worker of the connection, at once.
    Here,
    /// By one shard.
    Shard(u16),
    /// Each shard its part.
    Parts,
    /// By all shards, each for itself.
    All,
    /// Several shards come together.
    Together,
    /// By the workers that have subscribers of a channel.
    Channel,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownCommand,
    UnknownSubcommand,
    Arity,
}

/// The command that was named last, in the letters it was named with: most requests name the same as the one before.
#[derive(Default)]
pub(super) struct Recent {
    name: [u8; 16],
    /// 0 when there is none.
    len: usize,
    row: RowId,
}

impl Recent {
    #[inline]
    fn find(&self, name: &[u8]) -> Option<RowId> {
        (name.len() == self.len && self.name[..self.len] == *name && self.len > 0).then_some(self.row)
    }

    #[inline]
    fn note(&mut self, name: &[u8], id: RowId, row: &Row) {
        // A name that another word belongs to says too little.
        if row.parent.is_none() && row.subs.is_empty() && name.len() <= self.name.len() {
            self.name[..name.len()].copy_from_slice(name);
            (self.len, self.row) = (name.len(), id);
        }
    }
}

/// From this size on a reply is looked at by itself against the limit of unread output.
pub(super) const BIG_REPLY_BYTES: usize = 64 * 1024;

/// How far ahead buckets and entries are fetched.
const BUCKETS_AHEAD: usize = 24;
const ENTRIES_AHEAD: usize = 12;

impl Worker {
    /// Turns the bytes of ready connections into requests; when there are very many, the rest waits for the next turn.
    pub fn decode(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        let mut looked_at = 0;
        for &id in &ready {
            if self.requests.len() >= REQUESTS_ALL {
                break;
            }
            looked_at += 1;
            let c = self.connections[id as usize].as_mut().expect("listed connections stay");
            c.listed = false;
            if c.life != Life::Open {
                self.retire(id);
            } else {
                self.decode_one(id);
            }
        }
        // Those not looked at come first next time; what was listed meanwhile stays listed.
        ready.drain(..looked_at);
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    fn decode_one(&mut self, id: ConnId) {
        let c = self.connections[id as usize].as_mut().expect("listed connections stay");
        c.undecoded = false;
        let mut data = std::mem::take(&mut c.input.data);
        let mut decoder = std::mem::take(&mut c.decoder);
        let (mut at, end) = (c.input.start, c.input.end);
        // Who has still to say who he is gets small limits, and his requests one by one: the next may come after AUTH.
        let guest = !c.session.authenticated;
        decoder.set_guest(guest);
        let room = if guest { 1 } else { REQUESTS_PER_TURN };
        let room = room.saturating_sub(c.tickets.len());
        let mut count = 0;
        let mut failure = None;
        let mut want = 0;
        while at < end {
            if count == room {
                self.connection(id).undecoded = true;
                break;
            }
            let words_start = self.words.len();
            match decoder.decode(&mut data[at..end], &self.limits, &mut self.words) {
                Ok(Decoded::Request { consumed }) => {
                    if self.words.len() > words_start {
                        let request = Request {
                            conn: id,
                            start: at as u32,
                            end: (at + consumed) as u32,
                            words_start: words_start as u32,
                            words_len: (self.words.len() - words_start) as u32,
                            row: 0,
                            key_at: 0,
                            key_hash: 0,
                            plan: Plan::Here,
                        };
                        let request = self.plan(request, &data[at..at + consumed]);
                        self.requests.push(request);
                        count += 1;
                    }
                    at += consumed;
                }
                Ok(Decoded::NeedMore { want: total }) => {
                    want = total;
                    self.words.truncate(words_start);
                    at += decoder.take_skipped();
                    break;
                }
                Err(error) => {
                    self.words.truncate(words_start);
                    failure = Some(error);
                    break;
                }
            }
        }
        let limit = self.config.client_query_buffer_limit as usize;
        let c = self.connections[id as usize].as_mut().expect("listed connections stay");
        c.input.data = data;
        c.decoder = decoder;
        c.decoded_to = at;
        c.want = want;
        if count == 0 {
            c.input.start = at;
        }
        if let Some(error) = failure {
            c.protocol_error = Some((at, error));
            if count == 0 {
                self.fail(id);
            }
        } else if c.input.len() > limit {
            self.figures.query_limit_disconnections += 1;
            self.kill(id);
        } else if count == 0 {
            c.input.release(&mut self.input_pool);
            if c.end_of_input && !c.undecoded {
                self.close_after_replies(id);
            }
        }
    }

    /// Answers a protocol error that stands first in the input, and closes.
    fn fail(&mut self, id: ConnId) {
        let Some((_, error)) = self.connection(id).protocol_error.take() else { return };
        let text = error.to_string();
        self.figures.count_error(text.as_bytes());
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let c = self.connection(id);
        Reply::new(&mut scratch, c.session.proto).error(&text);
        c.answer(&scratch);
        c.input.start = c.input.end;
        self.scratch = scratch;
        self.mark_dirty(id);
        self.close_after_replies(id);
    }

    /// Finds the row and the place of a request.
    #[inline]
    fn plan(&mut self, mut request: Request, data: &[u8]) -> Request {
        let words = &self.words[request.words_start as usize..];
        let word = |i: usize| words[i].get(data);
        let total = words.len();
        let recent = self.recent.find(word(0));
        let found = match recent {
            Some(row) => Found::Row(row),
            None => self.table.find(word(0), words.get(1).map(|w| w.get(data))),
        };
        let row = match found {
            Found::Row(row) => row,
            Found::UnknownCommand => {
                request.plan = Plan::Refuse(Refusal::UnknownCommand);
                return request;
            }
            Found::MissingSubcommand(row) => {
                request.row = row;
                request.plan = Plan::Refuse(Refusal::Arity);
                return request;
            }
            Found::UnknownSubcommand(row) => {
                request.row = row;
                request.plan = Plan::Refuse(Refusal::UnknownSubcommand);
                return request;
            }
        };
        request.row = row;
        let row = self.table.row(row);
        if recent.is_none() {
            self.recent.note(word(0), request.row, row);
        }
        let fits = match row.spec.arity {
            Arity::Exactly(n) => total == usize::from(n),
            Arity::AtLeast(n) => total >= usize::from(n),
        };
        if !fits {
            request.plan = Plan::Refuse(Refusal::Arity);
            return request;
        }
        let shards = self.outgoing.len();
        match row.spec.spread {
            Spread::Session | Spread::Transaction => request.plan = Plan::Here,
            Spread::All { .. } => request.plan = Plan::All,
            Spread::Channel { .. } => request.plan = Plan::Channel,
            Spread::Cursor { at } => {
                let cursor = number::parse_i64(word(usize::from(at))).unwrap_or(0).max(0) as usize;
                request.plan = Plan::Shard((cursor % shards) as u16);
            }
            Spread::Keys | Spread::Parts { .. } => {
                let hasher = &*self.hasher;
                let mut first: Option<(usize, u64, usize)> = None;
                let mut several = false;
                let mut look = |at: usize| {
                    if first.is_some() && shards == 1 {
                        return;
                    }
                    let key = hasher.key(word(at));
                    let shard = if shards == 1 { 0 } else { hasher.place_key(key, shards) };
                    match first {
                        None => first = Some((at, key.hash, shard)),
                        Some((_, _, other)) => several |= other != shard,
                    }
                };
                match row.single_key {
                    Some(at) if usize::from(at) < total => look(usize::from(at)),
                    _ => keys_of(row.spec, total, word, look),
                }
                several |= row.any_shard && shards > 1 && may_be_anywhere(row.spec, total, word);
                request.plan = match first {
                    None => Plan::Shard(self.id as u16),
                    Some((at, hash, shard)) => {
                        request.key_at = at.min(usize::from(u16::MAX)) as u16;
                        request.key_hash = hash;
                        if !several {
                            Plan::Shard(shard as u16)
                        } else if matches!(row.spec.spread, Spread::Parts { .. }) {
                            Plan::Parts
                        } else {
                            Plan::Together
                        }
                    }
                };
            }
        }
        request
    }

    /// Runs the requests of this turn: those for the own shard in place, the others into the turn's batches.
    pub fn run_local(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        let words = std::mem::take(&mut self.words);
        if !requests.is_empty() {
            self.turn_ns = self.meter.now_ns();
            self.meter.begin(self.id, self.turn_ns);
        }
        // What stands in the mailbox before us runs before us.
        let in_place = !self.is_stalled();
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
                    if !self.run_request(request, &data, &words, in_place) {
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

    /// Runs or sends one request. False: it has to wait for a later turn, and its connection's others with it.
    fn run_request(&mut self, request: &Request, data: &[u8], words: &[Arg], in_place: bool) -> bool {
        let row = self.table.row(request.row);
        let words = &words[request.words_start as usize..][..request.words_len as usize];
        let data = &data[request.start as usize..request.end as usize];
        let turn = self.turn;
        let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
        if c.life != Life::Open {
            return true; // QUIT or CLIENT KILL stood before: the rest is not run
        }
        if c.awaits_walk && !c.tickets.is_empty() {
            return false; // a walk goes on turn by turn, and what stands behind it must not be seen by it
        }
        c.awaits_walk = false;
        let mute = c.next_is_mute();
        if let Plan::Refuse(refusal) = request.plan {
            let text = refusal_text(refusal, row, data, words);
            if refusal == Refusal::Arity {
                self.net.costs(self.id).rejected(request.row);
            }
            self.reject(request.conn, row, &text, mute);
            return true;
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
            self.reject(request.conn, row, "ERR Command not allowed inside a transaction", mute);
            return true;
        }
        let now = Circumstances {
            session: &c.session,
            status: self.link.status(),
            is_loading: self.is_loading,
            is_busy: self.net.scripts.is_busy(self.now, self.config.busy_reply_threshold),
        };
        if let Some(error) = admission::refusal(flags, &now) {
            self.net.costs(self.id).rejected(request.row);
            self.reject(request.conn, row, &error.to_string(), mute);
            return true;
        }
        if self.pause.holds(flags, self.now) {
            if !std::mem::replace(&mut c.held, true) {
                self.held.push(request.conn);
            }
            return false;
        }
        if queues && !flags.has(Flags::NOT_QUEUED) {
            self.queue(request, row, data, words, mute);
            return true;
        }
        if is_exec {
            self.exec(request, mute, in_place);
            return true;
        }
        if flags.has(Flags::WATCHES) {
            if queues {
                self.refuse(request.conn, "ERR WATCH inside MULTI is not allowed", mute);
                return true;
            }
            self.note_watches(request.conn, row, data, words);
        }
        let follows = self.follows(request.conn);
        let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
        let in_rendezvous = c.rendezvous_in == turn;
        if let Handler::Script(script) = row.spec.handler {
            let everywhere = self.outgoing.len() > 1
                && script::begins_everywhere(&self.scripting, script.by_code, words[1].get(data));
            let own = request.plan == Plan::Shard(self.id as u16);
            if !everywhere && own && in_place && !follows {
                self.run_script_in_place(script, request, data, words, mute);
                return true;
            }
            // What follows must see all that it does, and where it will be done is not certain yet.
            self.connection(request.conn).awaits_walk = true;
            if everywhere {
                self.gather(request, row, data, words, mute, false);
                let gathering = self.gathering();
                gathering.involved.fill(true);
                gathering.work.items.last_mut().expect("just put there").attempt = Attempt::Everywhere;
                return true;
            }
        }
        let may_wait = may_wait(row, data, words);
        match request.plan {
            Plan::Here => self.run_host_here(request, row, data, words),
            Plan::Shard(shard) if usize::from(shard) == self.id && in_place && !follows && !may_wait => {
                self.run_in_place(request, row, data, words, mute);
            }
            // What runs on shards one by one cannot stand behind a rendezvous in one turn: it waits for the next.
            _ if in_rendezvous && !matches!(row.spec.spread, Spread::Keys | Spread::Parts { .. }) => return false,
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
        true
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

    /// The common case: the handler writes straight into the connection's output.
    #[inline]
    fn run_in_place(&mut self, request: &Request, row: &'static Row, data: &[u8], words: &[Arg], mute: bool) {
        let Handler::Store(handler) = row.spec.handler else {
            return self.run_host_here(request, row, data, words);
        };
        let shards = self.outgoing.len();
        let shard = self.shard.as_mut().expect("requests run in place only while the shard is here");
        let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
        let known = Known::new(usize::from(request.key_at), 1, request.hashes());
        let mut args = Args::new(data, words, row.name_words, &self.hasher, known);
        let mut ctx = Ctx::new(Stores::One(shard), shards, self.now, c.session.db, &self.settings);
        ctx.log_as(row.spec.log, data, words);
        ctx.client = c.session.id;
        ctx.touch = !c.session.no_touch && !row.spec.flags.has(Flags::NO_TOUCH);
        ctx.sliced = false;
        c.saw_shard = true;
        let direct = c.tickets.is_empty();
        if direct {
            c.output.begin_reply();
            if c.output.tail.capacity() == 0 {
                c.output.tail = self.output_pool.pop().unwrap_or_default();
            }
        }
        let out = if direct {
            &mut c.output.tail
        } else {
            self.scratch.clear();
            &mut self.scratch
        };
        let before = out.len();
        let mut reply = Reply::new(out, c.session.proto);
        self.meter.call(request.row, true);
        let mut remembers = c.session.tracks() && row.spec.flags.has(Flags::READONLY);
        match handler(&mut ctx, &mut args, &mut reply) {
            Ok(outcome) => debug_assert!(outcome == Outcome::Done, "walks are cut only where they may go on"),
            Err(error) => {
                out.truncate(before);
                let text = error.to_string();
                Reply::new(out, c.session.proto).error(&text);
                self.figures.count_error(text.as_bytes());
                self.meter.failed(request.row);
                remembers &= error.tells_of_value();
            }
        }
        if self.meter.is_single() {
            self.meter.end_call(c.session.id, || Words::of(data, words));
        }
        if remembers {
            ctx.remember_reads(row.spec, data, words);
        }
        if mute {
            out.truncate(before);
        }
        let bytes = out.len() - before;
        if !direct {
            if bytes >= BIG_REPLY_BYTES {
                c.tickets.ready_owned(std::mem::take(&mut self.scratch));
            } else {
                c.tickets.ready(&self.scratch);
            }
        }
        if bytes >= BIG_REPLY_BYTES {
            // A turn of big values must not pass the limit by far before the turn's end looks at it.
            self.check_output_limit(request.conn);
        }
        self.serve_ready();
        self.tell_stale();
    }

    /// Runs a script on the own shard. If that is not enough, on all of them in this turn's rendezvous.
    fn run_script_in_place(&mut self, script: ScriptRow, request: &Request, data: &[u8], words: &[Arg], mute: bool) {
        let conn = request.conn;
        let shard = self.shard.as_mut().expect("requests run in place only while the shard is here");
        let env = env_of!(self);
        let c = self.connections[conn as usize].as_mut().expect("it has requests");
        let item = c.item(request.row, request.key_at, Dest::Ticket { conn, ticket: 0 });
        let direct = c.tickets.is_empty();
        if direct {
            c.output.begin_reply();
            if c.output.tail.capacity() == 0 {
                c.output.tail = self.output_pool.pop().unwrap_or_default();
            }
        }
        let out = if direct {
            &mut c.output.tail
        } else {
            self.scratch.clear();
            &mut self.scratch
        };
        let before = out.len();
        let asked = Asked { script, item: &item, data, words };
        let ran = script::run(&env, Stores::One(shard), &asked, out, &mut self.figures);
        c.saw_shard = true;
        if mute || ran != Ran::Done {
            out.truncate(before);
        }
        let bytes = out.len() - before;
        if let Ran::Again(attempt) = ran {
            let turn = self.turn;
            (c.queued_in, c.queued_to, c.rendezvous_in, c.awaits_walk) = (turn, SEVERAL, turn, true);
            c.in_flight_bytes += data.len();
            let ticket = c.tickets.wait(mute);
            let item = Item { dest: Dest::Ticket { conn, ticket }, ..item };
            return self.run_again(self.id, &item, data, words, attempt);
        }
        if !direct {
            c.tickets.ready(&self.scratch);
        }
        if bytes >= BIG_REPLY_BYTES {
            self.check_output_limit(conn);
        }
        self.serve_ready();
        self.tell_stale();
        // Behind the reply: the connection may be a subscriber itself.
        self.say();
    }

    /// A command of the session or the server, on this worker, now.
    fn run_host_here(&mut self, request: &Request, row: &'static Row, data: &[u8], words: &[Arg]) {
        let mut out = Vec::new();
        let (proto, client) = {
            let c = self.connection(request.conn);
            (c.session.proto, c.session.id)
        };
        let hasher = self.hasher.clone();
        let mut args = Args::new(data, words, row.name_words, &hasher, Known::NONE);
        self.meter.call(request.row, true);
        let result = match row.spec.handler {
            Handler::Store(handler) => {
                // Keyless and harmless (WAIT): needs no shard of its own, but a context wants one.
                match self.shard.as_mut() {
                    Some(shard) => {
                        let shards = self.outgoing.len();
                        let mut ctx = Ctx::new(Stores::One(shard), shards, self.now, 0, &self.settings);
                        handler(&mut ctx, &mut args, &mut Reply::new(&mut out, proto)).map(|_| ())
                    }
                    None => Err(CommandError::err("the shard is busy, try again")),
                }
            }
            _ => self.run_host(request.row, Some(request.conn), client, &mut args, proto, &mut out),
        };
        self.end_host_call(request.row, client, data, words, result.is_err());
        let c = self.connection(request.conn);
        let proto = c.session.proto; // HELLO answers in the protocol it chose
        if let Err(error) = result {
            out.clear();
            let text = error.to_string();
            Reply::new(&mut out, proto).error(&text);
            self.figures.count_error(text.as_bytes());
        }
        let c = self.connection(request.conn);
        if c.awaits_walk {
            return; // answered later, by the keeper
        }
        // Also after CLIENT REPLY itself, which decides about its own reply.
        if c.session.reply_mode == ReplyMode::On || row.spec.flags.has(Flags::PUSHES) {
            c.answer(&out);
        }
        self.mark_dirty(request.conn);
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

/// The words of Redis for a request that names no command, or has the wrong number of words.
fn refusal_text(refusal: Refusal, row: &Row, data: &[u8], words: &[Arg]) -> String {
    /// At most so many bytes of the client's words are repeated to it.
    const ECHO_BYTES: usize = 128;
    let text = |w: &Arg, most: usize| {
        let bytes = w.get(data);
        String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned()
    };
    match refusal {
        Refusal::Arity => CommandError::WrongArity(row.full_name.clone()).to_string(),
        Refusal::UnknownSubcommand => {
            format!("ERR unknown subcommand '{}'. Try {} HELP.", text(&words[1], ECHO_BYTES), row.spec.name)
        }
        Refusal::UnknownCommand => {
            let mut args = String::new();
            for word in &words[1..] {
                if args.len() >= ECHO_BYTES {
                    break;
                }
                args.push_str(&format!("'{}' ", text(word, ECHO_BYTES - args.len())));
            }
            format!("ERR unknown command '{}', with args beginning with: {args}", text(&words[0], ECHO_BYTES))
        }
    }
}
