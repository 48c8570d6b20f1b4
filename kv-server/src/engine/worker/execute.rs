//! Running what came by mail: batches, rendezvous, slices of walks; and the server's own commands.

use super::super::costs::{Meter, Words};
use super::super::host::Call;
use super::super::join::{Joining, Piece};
use super::super::mail::{Answer, Batch, Dest, Item, Late, Mail, NO_UNIT, Wake};
use super::super::monitor::{Cursor, Place as LinePlace, UnitLines};
use super::super::net::Faults;
use super::super::pubsub::Message;
use super::super::script::{self, Asked, Attempt, Job, Ran, Scripting};
use super::super::stats::Figures;
use super::super::transaction::{Place, Unit};
use super::wait::Service;
use super::{ConnId, Walk, Worker};
use crate::config::find_row;
use kv_core::command::{
    Args, CommandError, Ctx, Flags, Handler, Join, Known, Outcome, Row, RowId, Settings, Spread, Stores, Table,
};
use kv_core::resp::{Arg, Proto, Reply};
use kv_core::store::{KeyHasher, Shard};
use std::cell::RefCell;
use std::sync::Arc;

/// How far ahead buckets and entries are fetched.
const BUCKETS_AHEAD: usize = 24;
const ENTRIES_AHEAD: usize = 12;
/// Of how many keys of one request; its handler fetches the others itself.
const KEYS_AHEAD: usize = 8;

/// Slices of walks in one turn, each of some 100 us.
const WALK_SLICES: usize = 2;
/// Walks under way from which on the next does not begin where it stands, which would take a slice each, but in its turn.
const WALKS_AT_ONCE: usize = 4;

/// A walk's reply is kept in pieces of about this size.
const PIECE_BYTES: usize = 128 * 1024;

impl Worker {
    /// Runs the oldest batch of the mailbox. False: there is none, or it cannot be run yet.
    pub fn run_mail(&mut self) -> bool {
        let Some(batch) = self.queue.front() else { return false };
        if self.shard.is_none() {
            return false;
        }
        if self.net.published(batch.from) < batch.turn && !self.net.faults().no_published_flag {
            return false;
        }
        let mut batch = self.queue.pop_front().expect("just seen");
        if !batch.has_run {
            self.meter.begin(batch.from, batch.since_ns);
            self.run_batch(&mut batch);
            self.meter.end();
            // Before the replies: who has them finds the slow ones in the log.
            self.tell_slow();
            self.tell_notices();
            self.tell_news();
            self.say();
            batch.shows = self.shows();
            batch.has_run = true;
        }
        if batch.rendezvous.is_some() && self.has_told_later() {
            // Others will write to the shard, and must not tell of it before this worker has told of what was before.
            self.queue.push_front(batch);
            return false;
        }
        if let Some(marker) = batch.marker.take() {
            self.pass(marker);
        }
        if let Some(meeting) = batch.rendezvous.take() {
            let shard = self.shard.take().expect("it is here");
            if let Some((shards, work, now)) = meeting.arrive(shard, self.now) {
                self.set_time(now * 1000);
                self.run_together(shards, work);
            }
        }
        self.give_back(batch);
        true
    }

    /// Sends a batch with its replies to where it came from.
    fn give_back(&mut self, batch: Box<Batch>) {
        if batch.from == self.id {
            self.take_replies(batch);
        } else {
            let to = batch.from;
            if let Some(shard) = &self.shard {
                self.net.stats(self.id).publish_shard(shard);
            }
            self.send_behind_notices(to, Mail::Replies(batch));
        }
    }

    fn run_batch(&mut self, batch: &mut Batch) {
        // Nobody's pipeline may pile up more unread replies than the limit that cuts him anyway.
        let limit = match self.config.client_output_buffer_limit.normal.hard {
            0 => usize::MAX,
            limit => limit as usize,
        };
        self.tells = batch.tells;
        let mut replies = std::mem::take(&mut batch.replies);
        let ahead = batch.items.len() > 1;
        if ahead {
            batch.items.iter().take(BUCKETS_AHEAD).for_each(|item| self.fetch_item_buckets(batch, item));
            batch.items.iter().take(ENTRIES_AHEAD).for_each(|item| self.fetch_item_entries(batch, item));
        }
        for i in 0..batch.items.len() {
            if ahead {
                if let Some(item) = batch.items.get(i + BUCKETS_AHEAD) {
                    self.fetch_item_buckets(batch, item);
                }
                if let Some(item) = batch.items.get(i + ENTRIES_AHEAD) {
                    self.fetch_item_entries(batch, item);
                }
            }
            let item = batch.items[i];
            let before = replies.len();
            batch.items[i].answer = if before > limit && batch.reply_bytes_before(i) > limit {
                Answer::Cut
            } else if item.unit != NO_UNIT {
                let shard = self.shard.as_mut().expect("batches run only while the shard is here");
                let env = env_of!(self);
                let unit = batch.units[item.unit as usize].as_mut().expect("it has not been taken");
                env.run_unit_item(Stores::One(shard), self.table, &item, unit, &mut replies, &mut self.figures)
            } else if item.may_wait() {
                let shard = self.shard.as_mut().expect("batches run only while the shard is here");
                let env = env_of!(self);
                let stores = &mut Stores::One(shard);
                env.run_waiting(stores, self.table, batch, i, &mut replies, &mut self.figures)
            } else if self.run_item(batch, &item, &mut replies) {
                replies.truncate(before);
                Answer::Late
            } else {
                Answer::Here
            };
            batch.items[i].reply_end = replies.len();
            self.serve_ready();
        }
        batch.replies = replies;
        if !batch.lines.is_empty() {
            self.show_here(batch.lines.text(), batch.tells);
        }
    }

    #[inline]
    fn fetch_item_buckets(&self, batch: &Batch, item: &Item) {
        if let Some(shard) = &self.shard {
            let db = &shard.dbs[usize::from(item.db)];
            batch.hashes(item).iter().take(KEYS_AHEAD).for_each(|&hash| db.prefetch_bucket(hash));
        }
    }

    #[inline]
    fn fetch_item_entries(&self, batch: &Batch, item: &Item) {
        if let Some(shard) = &self.shard {
            let db = &shard.dbs[usize::from(item.db)];
            batch.hashes(item).iter().take(KEYS_AHEAD).for_each(|&hash| db.prefetch_entry(hash));
        }
    }

    /// Runs one item; true when its reply comes later.
    #[inline]
    fn run_item(&mut self, batch: &Batch, item: &Item, out: &mut Vec<u8>) -> bool {
        let row = self.table.row(item.row);
        let (data, words) = batch.request(item);
        match row.spec.handler {
            Handler::Store(_) if is_walk(row) && self.walks.len() >= WALKS_AT_ONCE => {
                self.walks.push_back(walk_of(batch, item, data, words));
                true
            }
            Handler::Store(_) => {
                let shard = self.shard.as_mut().expect("batches run only while the shard is here");
                let env = Env { sliced: true, ..env_of!(self) };
                let start = out.len();
                let (outcome, elements) =
                    env.run(Stores::One(shard), row, item, (data, words, batch.hashes(item)), out, &mut self.figures);
                match outcome {
                    Outcome::Done if elements == 0 => false,
                    // Elements without a header: their number has to travel with them.
                    Outcome::Done => {
                        let reply = out.split_off(start);
                        self.send_late(
                            batch.from,
                            Late { dest: item.dest, reply: vec![reply], elements, shows: self.shows() },
                        );
                        true
                    }
                    Outcome::Wait => unreachable!("it may not wait"),
                    Outcome::Again(cursor) => {
                        let reply = out.split_off(start);
                        self.walks.push_back(Walk { cursor, reply, elements, ..walk_of(batch, item, data, words) });
                        true
                    }
                }
            }
            Handler::Script(script) => {
                let shard = self.shard.as_mut().expect("batches run only while the shard is here");
                let env = env_of!(self);
                let asked = Asked { script, item, data, words };
                match script::run(&env, Stores::One(shard), &asked, out, &mut self.figures) {
                    Ran::Done => false,
                    Ran::Again(attempt) => {
                        self.run_again(batch.from, item, data, words, attempt);
                        true
                    }
                }
            }
            _ => {
                let hasher: Arc<KeyHasher> = self.hasher.clone();
                let mut args = Args::new(data, words, row.name_words, &hasher, Known::NONE);
                let start = out.len();
                let mut reply = Vec::new();
                self.meter.call(item.row, item.dest.is_first());
                let result = self.run_host(item.row, None, item.client, &mut args, item.proto, &mut reply);
                self.end_host_call(item.row, item.client, data, words, result.is_err() && item.dest.is_first());
                out.extend_from_slice(&reply);
                if let Err(error) = result {
                    out.truncate(start);
                    answer_error(item, &error, out, &mut self.figures);
                }
                false
            }
        }
    }

    /// Ends what the meter knows of one of the server's own commands.
    pub(super) fn end_host_call(&self, row: RowId, client: u64, data: &[u8], words: &[Arg], failed: bool) {
        if failed {
            self.meter.failed(row);
        }
        if self.meter.is_single() {
            self.meter.end_call(client, || {
                let row = self.table.row(row);
                Words::without_secrets(data, words, |at| is_secret(row, data, words, at))
            });
        }
    }

    /// Runs one of the server's own commands. `conn`: the connection, when the command is about its own session.
    pub(super) fn run_host(
        &mut self,
        row: RowId,
        conn: Option<ConnId>,
        client: u64,
        args: &mut Args<'_>,
        proto: Proto,
        out: &mut Vec<u8>,
    ) -> Result<(), CommandError> {
        let handler = self.host.get(row).expect("every row without a store handler has one here");
        let mut call = Call { worker: self, conn, client, row };
        handler(&mut call, args, &mut Reply::new(out, proto))
    }

    /// The last one to arrive: all involved shards are here, the work is done, the shards go home.
    ///
    /// A panic in here would leave shards in the wrong hands; the server is built so that it ends the process.
    fn run_together(&mut self, mut shards: Vec<Box<Shard>>, mut work: Box<Batch>) {
        self.figures.rendezvous += 1;
        shards.iter_mut().for_each(|shard| shard.tracking.note_writes(self.hub.has_prefixes()));
        self.meter.begin(work.from, work.since_ns);
        if work.items.iter().any(|item| item.attempt == Attempt::Alone) {
            let job = Job {
                shards,
                work,
                settings: self.settings,
                hasher: self.hasher.clone(),
                scripting: self.scripting.clone(),
                now_us: self.now_us,
                metering: self.meter.metering(),
            };
            return self.net.scripts.send(job);
        }
        let is_shown = !work.lines.to().is_empty();
        let env = Env { shown: is_shown.then_some(&self.shown), ..env_of!(self) };
        let mut service = Service::default();
        let again = run_gathered(&env, &mut shards, &mut work, &mut service, &mut self.figures);
        for Again { item, attempt, line } in again {
            let item = work.items[item];
            let (data, words) = work.request(&item);
            self.run_again(work.from, &item, data, words, attempt);
            if is_shown {
                let next = &mut self.gathering().work;
                next.lines.put(LinePlace::before(next.items.len() - 1), &line);
                next.lines.show_at(work.lines.to());
            }
        }
        self.meter.end();
        self.tell_slow();
        self.ran_together(shards, work, service);
    }

    /// What shards have come together for has been done: they go home, and the replies go to who asked.
    pub(super) fn ran_together(&mut self, mut shards: Vec<Box<Shard>>, mut work: Box<Batch>, service: Service) {
        work.shows = shards.iter().map(|shard| self.shown_by(shard)).max().unwrap_or(0);
        if shards[0].notices.are_wanted() {
            let notices = shards.iter_mut().flat_map(|shard| shard.take_notices()).collect();
            self.publish_notices(notices, work.shows);
        }
        self.tell_news_of(&mut shards, work.shows);
        self.say();
        let shown = std::mem::take(self.shown.get_mut());
        self.send_lines(work.lines.to(), &shown, work.shows);
        self.take_service(service, work.shows);
        for shard in shards {
            self.net.stats(shard.index).publish_shard(&shard);
            if shard.index == self.id {
                self.shard = Some(shard);
            } else {
                self.send_behind_notices(shard.index, Mail::Home(shard));
            }
        }
        self.give_back(work);
    }

    /// A script from `from` has to be run anew, on all shards, in the rendezvous of this turn.
    pub(super) fn run_again(&mut self, from: usize, item: &Item, data: &[u8], words: &[Arg], attempt: Attempt) {
        let dest = if from == self.id {
            item.dest
        } else {
            let free = self.relays.iter().position(Option::is_none).unwrap_or_else(|| {
                self.relays.push(None);
                self.relays.len() - 1
            });
            self.relays[free] = Some((from, item.dest));
            Dest::Relay { relay: free as u32 }
        };
        self.needs_lock = true;
        let gathering = self.gathering();
        gathering.involved.fill(true);
        gathering.work.push_item(Item { dest, attempt, ..*item }, words, data, &[]);
    }

    pub(super) fn send_late(&mut self, to: usize, late: Late) {
        if to == self.id {
            self.take_late(late);
        } else {
            self.send_behind_notices(to, Mail::Late(Box::new(late)));
        }
    }

    /// Some slices of the walks under way.
    pub(super) fn run_walks(&mut self) {
        for _ in 0..WALK_SLICES {
            let Some(shard) = self.shard.as_mut() else { return };
            let Some(mut walk) = self.walks.pop_front() else { return };
            let row = self.table.row(walk.row);
            let Handler::Store(handler) = row.spec.handler else { unreachable!("only the store is walked") };
            let mut args = Args::new(&walk.bytes, &walk.words, row.name_words, &self.hasher, Known::NONE);
            let mut ctx = Ctx::new(Stores::One(shard), self.outgoing.len(), self.now, walk.db, &self.settings);
            ctx.cursor = walk.cursor;
            let mut reply = Reply::new(&mut walk.reply, walk.proto);
            self.meter.call(walk.row, false);
            let result = handler(&mut ctx, &mut args, &mut reply);
            self.meter.end();
            walk.elements += reply.elements();
            match result {
                Ok(Outcome::Again(cursor)) => {
                    walk.cursor = cursor;
                    if walk.reply.len() >= PIECE_BYTES {
                        let next = Vec::with_capacity(walk.reply.len() + walk.reply.len() / 4);
                        walk.pieces.push(std::mem::replace(&mut walk.reply, next));
                    }
                    self.walks.push_back(walk);
                }
                Ok(Outcome::Wait) => unreachable!("walks do not wait"),
                Ok(Outcome::Done) => {
                    walk.pieces.push(walk.reply);
                    self.send_late(
                        walk.from,
                        Late { dest: walk.dest, reply: walk.pieces, elements: walk.elements, shows: self.shows() },
                    );
                }
                Err(error) => {
                    let mut reply = Vec::new();
                    Reply::new(&mut reply, walk.proto).error(&error.to_string());
                    self.send_late(
                        walk.from,
                        Late { dest: walk.dest, reply: vec![reply], elements: 0, shows: self.shows() },
                    );
                }
            }
        }
    }
}

/// Whether a command may take several turns: its answers can then be put together from runs of elements.
fn is_walk(row: &Row) -> bool {
    matches!(row.spec.spread, Spread::All { join: Join::Concat })
}

/// Whether a word, not the first, is told to say who one is: behind AUTH.
pub(super) fn is_password(row: &Row, data: &[u8], words: &[Arg], at: usize) -> bool {
    let is_auth = |at: usize| words[at].get(data).eq_ignore_ascii_case(b"AUTH");
    row.spec.flags.has(Flags::NO_AUTH) && (is_auth(0) || (1..=2).any(|back| at > back && is_auth(at - back)))
}

/// Whether a word of one of the server's own commands may be a secret: a password, or the value of a secret option.
fn is_secret(row: &Row, data: &[u8], words: &[Arg], at: usize) -> bool {
    let name = std::str::from_utf8(words[at - 1].get(data)).ok();
    is_password(row, data, words, at) || name.and_then(find_row).is_some_and(|option| option.secret)
}

/// A walk that has not begun.
fn walk_of(batch: &Batch, item: &Item, data: &[u8], words: &[Arg]) -> Walk {
    Walk {
        from: batch.from,
        dest: item.dest,
        row: item.row,
        db: usize::from(item.db),
        proto: item.proto,
        bytes: data[..words.last().map_or(0, |w| (w.start + w.len) as usize)].to_vec(),
        words: words.to_vec(),
        cursor: 0,
        pieces: Vec::new(),
        reply: Vec::new(),
        elements: 0,
    }
}

/// Writes an error as the reply of an item. A part's error is counted where the parts are joined.
pub(super) fn answer_error(item: &Item, error: &CommandError, out: &mut Vec<u8>, figures: &mut Figures) {
    let text = error.to_string();
    Reply::new(out, item.proto).error(&text);
    if !matches!(item.dest, Dest::Join { .. }) {
        figures.count_error(text.as_bytes());
    }
}

/// What a store handler needs besides its shards.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Env<'a> {
    pub shards: usize,
    /// Whether a walk may be cut into slices.
    pub sliced: bool,
    pub now: u64,
    pub now_us: u64,
    pub settings: &'a Settings,
    pub hasher: &'a Arc<KeyHasher>,
    pub faults: Faults,
    pub meter: &'a Meter,
    pub scripting: &'a Scripting,
    /// Where what scripts and transactions publish is put.
    pub said: &'a RefCell<Vec<Message>>,
    /// Where lines for monitors are put, if there are some.
    pub shown: Option<&'a RefCell<Vec<u8>>>,
    /// It was let in as a write: its scripts may write, too, whatever the disk says by now.
    pub is_admitted: bool,
    /// Whether a script may be run anew somewhere else.
    pub leaves: bool,
}

/// A script that has to be run anew.
pub(in crate::engine) struct Again {
    item: usize,
    attempt: Attempt,
    /// Its own line, if there are monitors.
    line: Vec<u8>,
}

/// Runs what shards have come together for, and leaves the replies in it. Gives the scripts that have to be run anew.
pub(in crate::engine) fn run_gathered(
    env: &Env<'_>,
    shards: &mut [Box<Shard>],
    work: &mut Batch,
    service: &mut Service,
    figures: &mut Figures,
) -> Vec<Again> {
    let table = kv_core::command::table();
    let mut again = Vec::new();
    let mut replies = std::mem::take(&mut work.replies);
    let (lines, mut cursor) = (std::mem::take(&mut work.lines), Cursor::default());
    for Wake { db, key } in std::mem::take(&mut work.wakes) {
        let key = env.hasher.key(&key);
        let index = env.hasher.place_key(key, env.shards);
        shards.iter_mut().filter(|shard| shard.index == index).for_each(|shard| shard.waits.end_asking(db, key));
    }
    for i in 0..=work.items.len() {
        if shards.iter().any(|shard| shard.waits.has_ready()) && !env.faults.no_wake_up {
            env.serve(&mut Stores::Many(shards), table, service, figures);
        }
        let Some(&item) = work.items.get(i) else { break };
        let stores = Stores::Many(shards);
        let row = table.row(item.row);
        let (data, words) = work.request(&item);
        let line = lines.up_to(&mut cursor, LinePlace::before(i));
        env.show(line);
        work.items[i].answer = if item.may_wait() {
            env.run_waiting(&mut Stores::Many(shards), table, work, i, &mut replies, figures)
        } else if item.unit != NO_UNIT {
            let unit = work.units[item.unit as usize].as_mut().expect("it has not been taken");
            env.run_unit_item(stores, table, &item, unit, &mut replies, figures)
        } else if let Handler::Script(script) = row.spec.handler {
            let asked = Asked { script, item: &item, data, words };
            match script::run(env, stores, &asked, &mut replies, figures) {
                Ran::Done => Answer::Here,
                Ran::Again(attempt) => {
                    let line = env.show_no_more(line);
                    again.push(Again { item: i, attempt, line });
                    Answer::Late
                }
            }
        } else {
            let request = (data, words, work.hashes(&item));
            let (outcome, _) = env.run(stores, row, &item, request, &mut replies, figures);
            debug_assert!(outcome == Outcome::Done, "walks do not take part in a rendezvous");
            Answer::Here
        };
        work.items[i].reply_end = replies.len();
        env.show(lines.up_to(&mut cursor, LinePlace::behind(i)));
    }
    (work.replies, work.lines) = (replies, lines);
    again
}

/// The worker's own. A macro, as a method would borrow the whole worker, and its shard and figures are needed beside it.
macro_rules! env_of {
    ($worker:expr) => {
        super::execute::Env {
            shards: $worker.outgoing.len(),
            sliced: false,
            now: $worker.now,
            now_us: $worker.now_us,
            settings: &$worker.settings,
            hasher: &$worker.hasher,
            faults: $worker.net.faults(),
            meter: &$worker.meter,
            scripting: &$worker.scripting,
            said: &$worker.said,
            shown: None,
            is_admitted: false,
            leaves: true,
        }
    };
}
pub(super) use env_of;

impl Env<'_> {
    /// Shows lines to monitors, if there are any.
    #[inline]
    fn show(&self, lines: &[u8]) {
        if let Some(shown) = self.shown {
            shown.borrow_mut().extend_from_slice(lines);
        }
    }

    /// Takes back what was shown last.
    fn show_no_more(&self, line: &[u8]) -> Vec<u8> {
        let take = |shown: &RefCell<Vec<u8>>| {
            let mut shown = shown.borrow_mut();
            let before = shown.len() - line.len();
            shown.split_off(before)
        };
        self.shown.map(take).unwrap_or_default()
    }

    /// Shows a part of a transaction.
    #[inline]
    fn show_of(&self, unit: &Unit, part: impl FnOnce(&UnitLines) -> &[u8]) {
        if let Some(lines) = &unit.lines {
            self.show(part(lines));
        }
    }

    /// Runs a store handler; an error becomes its reply. Gives the outcome and how many loose elements were written.
    #[inline]
    fn run(
        &self,
        stores: Stores<'_>,
        row: &Row,
        item: &Item,
        (data, words, hashes): (&[u8], &[kv_core::resp::Arg], &[u64]),
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) -> (Outcome, u64) {
        let handler = match row.spec.handler {
            Handler::Store(handler) => handler,
            Handler::Script(script) => {
                // In a transaction, which has all shards.
                let env = Env { leaves: false, ..*self };
                let ran = script::run(&env, stores, &Asked { script, item, data, words }, out, figures);
                debug_assert!(ran == Ran::Done, "it has nowhere to go");
                return (Outcome::Done, 0);
            }
            _ => unreachable!("only commands of the store travel to shards"),
        };
        let known = Known::new(usize::from(item.key_at), usize::from(item.key_step), hashes);
        let mut args = Args::new(data, words, row.name_words, self.hasher, known);
        let mut ctx = Ctx::new(stores, self.shards, self.now, usize::from(item.db), self.settings);
        ctx.log_as(row.spec.log, data, words);
        ctx.client = item.client;
        ctx.touch = !item.no_touch && !row.spec.flags.has(Flags::NO_TOUCH);
        ctx.sliced = self.sliced;
        let before = out.len();
        let mut reply = Reply::new(out, item.proto);
        self.meter.call(item.row, item.dest.is_first());
        let mut remembers = item.tracks && row.spec.flags.has(Flags::READONLY);
        let done = match handler(&mut ctx, &mut args, &mut reply) {
            Ok(outcome) => {
                let elements = reply.elements();
                (outcome, elements)
            }
            Err(error) => {
                out.truncate(before);
                answer_error(item, &error, out, figures);
                remembers &= error.tells_of_value();
                if item.dest.is_first() {
                    self.meter.failed(item.row);
                }
                (Outcome::Done, 0)
            }
        };
        if self.meter.is_single() {
            self.meter.end_call(item.client, || Words::of(data, words));
        }
        if remembers {
            ctx.remember_reads(row.spec, data, words);
        }
        done
    }

    /// Runs a transaction that came by mail.
    fn run_unit_item(
        &self,
        stores: Stores<'_>,
        table: &Table,
        item: &Item,
        unit: &mut Unit,
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) -> Answer {
        if unit.has_host {
            self.run_unit(stores, table, item.client, unit, figures);
            return Answer::Unit;
        }
        self.run_whole_unit(stores, table, (item.client, item.proto), unit, out, figures);
        Answer::Here
    }

    /// Runs a transaction that is about the store alone, and writes its reply.
    pub fn run_whole_unit(
        &self,
        stores: Stores<'_>,
        table: &Table,
        (client, proto): (u64, Proto),
        unit: &mut Unit,
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) {
        let mut stores = stores;
        if self.is_touched(&mut stores, client, unit) {
            self.show_of(unit, |lines| lines.of_exec(false));
            return Reply::new(out, proto).nil_array();
        }
        Reply::new(out, proto).array(unit.len());
        let env = self.within(unit);
        for i in 0..unit.len() {
            self.at_step(&mut stores, i);
            self.show_of(unit, |lines| lines.of_command(i));
            env.run_command_of(&mut stores, table, unit, i, out, figures);
        }
        self.show_of(unit, |lines| lines.of_exec(true));
    }

    /// Runs what a transaction has of commands of the store, and leaves their replies in it.
    pub fn run_unit(&self, stores: Stores<'_>, table: &Table, client: u64, unit: &mut Unit, figures: &mut Figures) {
        let mut stores = stores;
        if self.is_touched(&mut stores, client, unit) {
            return self.show_of(unit, |lines| lines.of_exec(false));
        }
        let mut replies = std::mem::take(&mut unit.work.replies);
        let env = self.within(unit);
        for i in 0..unit.len() {
            self.show_of(unit, |lines| lines.of_command(i));
            if !unit.places[i].is_host() {
                self.at_step(&mut stores, i);
                let before = self.said.borrow().len();
                env.run_command_of(&mut stores, table, unit, i, &mut replies, figures);
                if unit.has_channel {
                    unit.said.extend(self.said.borrow_mut().drain(before..).map(|message| (i, message)));
                }
            }
            unit.work.items[i].reply_end = replies.len();
        }
        self.show_of(unit, |lines| lines.of_exec(true));
        unit.work.replies = replies;
    }

    /// Keys that are written from here on are ready behind those of the commands before, on whichever shards these are. (Scripts
    /// have steps of their own in between.)
    #[inline]
    fn at_step(&self, stores: &mut Stores<'_>, step: usize) {
        if let Stores::Many(shards) = stores {
            shards.iter_mut().for_each(|shard| shard.waits.at_step(step << 32));
        }
    }

    /// For the commands of a unit.
    fn within(&self, unit: &Unit) -> Self {
        Env { is_admitted: unit.flags().has(Flags::WRITE) || !self.scripting.status.refuses_writes(), ..*self }
    }

    /// Ends the client's watches on all these shards, and says whether something of them was touched.
    fn is_touched(&self, stores: &mut Stores<'_>, client: u64, unit: &mut Unit) -> bool {
        if unit.watched {
            for shard in stores.each() {
                let unchecked = self.faults.watch_unchecked && shard.index + 1 == self.shards;
                unit.touched |= shard.watches.release(client, self.now) && !unchecked;
            }
        }
        unit.touched
    }

    /// Runs one command of a transaction as if it stood alone, but not in slices.
    fn run_command_of(
        &self,
        stores: &mut Stores<'_>,
        table: &Table,
        unit: &Unit,
        i: usize,
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) {
        let item = unit.work.items[i];
        let (data, words) = unit.work.request(&item);
        self.run_at(stores, table, unit.places[i], &item, (data, words, unit.work.hashes(&item)), out, figures);
    }

    /// Runs one command of several, on those of the shards that `place` says.
    #[allow(clippy::too_many_arguments)] // they are what a command is run with
    pub fn run_at(
        &self,
        stores: &mut Stores<'_>,
        table: &Table,
        place: Place,
        item: &Item,
        request: (&[u8], &[Arg], &[u64]),
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) {
        let row = table.row(item.row);
        let join = match place {
            Place::Host | Place::HostEach(_) | Place::Channel => unreachable!("not the store's"),
            Place::Keys => {
                self.run(stores.again(), row, item, request, out, figures);
                return;
            }
            Place::Shard(shard) => {
                self.run(stores.only(usize::from(shard)), row, item, request, out, figures);
                return;
            }
            Place::Message => {
                let Spread::Channel { shard } = row.spec.spread else { unreachable!("it publishes") };
                let (data, words, _) = request;
                self.meter.call(item.row, true);
                let said = &mut self.said.borrow_mut();
                let listeners = self.scripting.publish(self.hasher, (item.row, shard), data, words, said);
                Reply::new(out, item.proto).int(listeners as i64);
                return self.meter.end();
            }
            Place::Each(join) => join,
        };
        let item = Item { dest: Dest::Join { join: 0, part: 0 }, ..*item };
        let before = out.len();
        let mut joining = Joining::default();
        joining.begin(0, None, item.proto, join, self.shards);
        let mut part = Vec::new();
        for shard in 0..self.shards {
            part.clear();
            let (_, elements) = self.run(stores.only(shard), row, &item, request, &mut part, figures);
            joining.answer(shard as u16, &part, elements);
        }
        let random = stores.each().next().map_or(0, |shard| shard.random.next_u64());
        joining.finish(
            |n| (random % n as u64) as usize,
            |piece| match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Owned(bytes) => out.extend_from_slice(&bytes),
            },
        );
        if let [b'-', text @ ..] = out[before..].trim_ascii_end() {
            figures.count_error(text);
        }
    }
}
