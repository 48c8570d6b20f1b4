//! Requests that wait for their keys: BLPOP and its like, XREAD and XREADGROUP with BLOCK.
//!
//! *Where they wait.* Such a request always travels by mail, with its connection's [`Claim`]: to the shard of its keys, or to a
//! rendezvous of several. There its handler runs as any; when it finds nothing, the request is copied into a [`Waiter`], which
//! joins the lines of all its keys, on all shards at that one moment. The connection takes no further request until it is
//! answered, as with Redis.
//!
//! *Who serves them.* A write to a key that somebody waits for makes the key ready (`Ctx::wrote`). At the end of the command,
//! or of the transaction, whoever has the shards serves ([`Env::serve`]): ready keys in the order of their writes, the clients
//! of each first come first. A client is served by running its handler again for that one key, which takes the claim before it
//! takes anything else, says what it wrote (and may so make other keys ready), and leaves in the log what it did. Answers go
//! to the worker of the client when the turn is published. It then sees to it that the client leaves the lines of other shards.
//!
//! *Keys on two shards.* BLMOVE waits for its source alone, and needs the shard of its destination to be served. If that is not
//! at hand, a rendezvous of both is asked for, and nobody behind it in its line is served before. What the source has by then
//! may have been taken by a command that does not wait; it goes on waiting then.
//!
//! *Other ends.* A timeout, CLIENT UNBLOCK and the end of the connection take the claim at the worker of the client. Who comes
//! second, there or at a shard, does nothing: an element is never taken for a client that was told otherwise.

use super::super::costs::Words;
use super::super::mail::{Answer, Batch, Dest, Item, Late, Mail, NO_WAIT, Wait, Wake};
use super::super::stats::Figures;
use super::super::transaction::ShardSet;
use super::execute::{Env, answer_error, env_of};
use super::{ConnId, Worker};
use kv_core::command::{
    Args, Ctx, Flags, Group, Handler, Known, Outcome, Row, Stores, Table, Waiting, Wish, awaited_keys, keys_of,
};
use kv_core::resp::{Arg, Reply};
use kv_core::store::{Claim, Key, Kind, Lines, Shard, UnixMs, Waiter};
use std::sync::Arc;

/// A request of a connection that may wait, from when it is sent until it is answered.
pub struct Blocked {
    claim: Arc<Claim>,
    ticket: u32,
    /// Those of its keys.
    shards: ShardSet,
    /// It stands in their lines.
    waits: bool,
    until: Option<UnixMs>,
}

impl Blocked {
    pub fn waits(&self) -> bool {
        self.waits
    }
}

/// An answer to a client that has waited.
pub struct Served {
    worker: usize,
    late: Late,
}

/// What shards have come to that somebody waits for.
#[derive(Default)]
pub struct Service {
    pub served: Vec<Served>,
    /// Keys whose clients need other shards besides.
    pub asked: Vec<(Wake, Vec<usize>)>,
}

/// Whether a request may have to wait: of the streams those with BLOCK, of the others all.
pub(in crate::engine) fn may_wait(row: &Row, data: &[u8], words: &[Arg]) -> bool {
    let has_option = || {
        let mut options = words[1..].iter().map(|w| w.get(data)).take_while(|w| !w.eq_ignore_ascii_case(b"STREAMS"));
        options.any(|w| w.eq_ignore_ascii_case(b"BLOCK"))
    };
    row.spec.flags.has(Flags::BLOCKING) && (!waits_by_option(row) || has_option())
}

/// Whether it waits only if an option says so.
pub(in crate::engine) fn waits_by_option(row: &Row) -> bool {
    row.spec.group == Group::Stream
}

fn kind_of(row: &Row) -> Kind {
    match row.spec.group {
        Group::List => Kind::List,
        Group::SortedSet => Kind::ZSet,
        _ => Kind::Stream,
    }
}

impl Env<'_> {
    /// Runs a request that may wait.
    pub fn run_waiting(
        &self,
        stores: &mut Stores<'_>,
        table: &Table,
        batch: &mut Batch,
        i: usize,
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) -> Answer {
        let item = batch.items[i];
        let row = table.row(item.row);
        let (data, words) = batch.request(&item);
        let claim = Arc::clone(&batch.waits[item.wait as usize].claim);
        if claim.is_taken() && !self.faults.claims_late {
            return Answer::Dropped;
        }
        let before = out.len();
        let waiting = Waiting { claim: Some(&claim), ready: None };
        match self.try_to_answer(stores.again(), row, &item, (data, words), waiting, out, figures) {
            None => {
                out.truncate(before);
                Answer::Dropped
            }
            Some(Ok(())) => Answer::Here,
            Some(Err(wish)) => {
                let waiter = self.waiter(row, &item, (data, words), &claim, batch.from, &wish);
                self.join_lines(stores, row, &waiter);
                batch.waits[item.wait as usize].until = wish.until;
                Answer::Waits
            }
        }
    }

    /// Runs the handler of a request that may wait. `Some(Ok)`: the answer is written. `Some(Err)`: it waits. None: it needs no
    /// answer any more.
    #[allow(clippy::too_many_arguments)] // what any run needs, and how it waits
    fn try_to_answer(
        &self,
        stores: Stores<'_>,
        row: &Row,
        item: &Item,
        (data, words): (&[u8], &[Arg]),
        waiting: Waiting<'_>,
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) -> Option<Result<(), Wish>> {
        let Handler::Store(handler) = row.spec.handler else { unreachable!("only store commands wait") };
        let mut args = Args::new(data, words, row.name_words, self.hasher, Known::NONE);
        let mut ctx = Ctx::new(stores, self.shards, self.now, usize::from(item.db), self.settings);
        ctx.log_as(row.spec.log, data, words);
        ctx.client = item.client;
        ctx.touch = !item.no_touch && !row.spec.flags.has(Flags::NO_TOUCH);
        ctx.waiting = Some(Waiting { claim: waiting.claim.filter(|_| !self.faults.claims_late), ..waiting });
        let before = out.len();
        // A request that waits is called once; what serving it takes is added to that.
        self.meter.call(item.row, waiting.ready.is_none());
        let result = handler(&mut ctx, &mut args, &mut Reply::new(out, item.proto));
        if self.meter.is_single() {
            self.meter.end_call(item.client, || Words::of(data, words));
        }
        if item.tracks && row.spec.flags.has(Flags::READONLY) {
            ctx.remember_reads(row.spec, data, words);
        }
        if matches!(result, Ok(Outcome::Wait)) {
            let is_taken = waiting.claim.is_some_and(Claim::is_taken);
            return (!is_taken).then(|| Err(std::mem::take(&mut ctx.wish)));
        }
        // Who only reads has not asked yet.
        ctx.waiting = Some(waiting);
        if !ctx.may_answer() {
            return None;
        }
        if let Err(error) = result {
            out.truncate(before);
            answer_error(item, &error, out, figures);
            self.meter.failed(item.row);
        }
        Some(Ok(()))
    }

    fn waiter(
        &self,
        row: &Row,
        item: &Item,
        (data, words): (&[u8], &[Arg]),
        claim: &Arc<Claim>,
        worker: usize,
        wish: &Wish,
    ) -> Arc<Waiter> {
        let Dest::Ticket { conn, ticket } = item.dest else { unreachable!("what may wait has a ticket") };
        let mut bytes = Vec::new();
        let mut copies = Vec::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            let word = match wish.words.iter().find(|(changed, _)| *changed == at) {
                Some((_, changed)) => changed,
                None => word.get(data),
            };
            copies.push(Arg { start: bytes.len() as u32, len: word.len() as u32 });
            bytes.extend_from_slice(word);
        }
        let mut others = Vec::new();
        awaited_keys(
            row.spec,
            words.len(),
            |i| words[i].get(data),
            |at, waits| {
                if !waits {
                    others.push(self.hasher.place(words[at].get(data), self.shards));
                }
            },
        );
        Arc::new(Waiter {
            claim: Arc::clone(claim),
            client: item.client,
            kind: kind_of(row),
            worker,
            conn,
            ticket,
            row: item.row,
            db: usize::from(item.db),
            proto: item.proto,
            no_touch: item.no_touch,
            data: bytes,
            words: copies,
            others,
        })
    }

    fn join_lines(&self, stores: &mut Stores<'_>, row: &Row, waiter: &Arc<Waiter>) {
        let word = |i: usize| waiter.words[i].get(&waiter.data);
        awaited_keys(row.spec, waiter.words.len(), word, |at, waits| {
            if waits {
                let key = self.hasher.key(word(at));
                self.store_of(stores, key).waits.join(key, waiter);
            }
        });
    }

    fn store_of<'s>(&self, stores: &'s mut Stores<'_>, key: Key<'_>) -> &'s mut Shard {
        let index = self.hasher.place_key(key, self.shards);
        stores.each().find(|shard| shard.index == index).expect("the key's shard takes part")
    }

    /// Serves whoever waits for keys that were written, as far as there is something for them.
    pub fn serve(&self, stores: &mut Stores<'_>, table: &Table, service: &mut Service, figures: &mut Figures) {
        let first = |stores: &mut Stores<'_>| {
            stores.each().filter_map(|shard| Some((shard.waits.first_step()?, shard.index))).min()
        };
        // What somebody who is served moves on is ready behind all that was ready before.
        let mut step = stores.each().map(|shard| shard.waits.step()).max().unwrap_or(0);
        while let Some((_, index)) = first(stores) {
            step += 1;
            stores.each().for_each(|shard| shard.waits.at_step(step));
            let Some(mut lines) = stores.only(index).each().next().and_then(|shard| shard.waits.take_ready()) else {
                continue;
            };
            self.serve_lines(stores, table, index, &mut lines, service, figures);
            stores.only(index).each().for_each(|shard| shard.waits.put_back(std::mem::take(&mut lines)));
        }
        stores.each().for_each(|shard| shard.waits.at_step(0));
    }

    /// Of one key, on the shard `index`.
    fn serve_lines(
        &self,
        stores: &mut Stores<'_>,
        table: &Table,
        index: usize,
        lines: &mut Lines,
        service: &mut Service,
        figures: &mut Figures,
    ) {
        let name = lines.key.clone();
        let key = Key { bytes: &name, hash: lines.hash };
        for kind in Kind::ALL {
            // From a list and from a sorted set the first takes what there is; a stream is for all to read.
            let is_for_all = kind == Kind::Stream;
            let mut at = if self.faults.last_first { lines.of(kind).len().saturating_sub(1) } else { 0 };
            while let Some(waiter) = lines.of(kind).get(at).map(Arc::clone) {
                let holds = self.store_of(stores, key).dbs[lines.db].peek(key, self.now).and_then(Kind::of);
                if !is_for_all && (holds != Some(kind) || *lines.asked(kind)) {
                    break;
                }
                if waiter.others.iter().any(|&other| stores.each().all(|shard| shard.index != other)) {
                    if !waiter.claim.is_taken() {
                        *lines.asked(kind) = true;
                        let shards = waiter.others.iter().copied().chain([index]).collect();
                        service.asked.push((Wake { db: lines.db, key: name.clone() }, shards));
                        break;
                    }
                } else if let Some(reply) = self.serve_one(stores.again(), table, &waiter, key, figures) {
                    let dest = Dest::Ticket { conn: waiter.conn, ticket: waiter.ticket };
                    let late = Late { dest, reply: vec![reply], elements: 0, shows: 0 };
                    service.served.push(Served { worker: waiter.worker, late });
                }
                if waiter.claim.is_taken() {
                    lines.of(kind).remove(at);
                    stores.each().for_each(|shard| shard.waits.leave(waiter.client));
                } else if is_for_all {
                    at += 1;
                } else {
                    break;
                }
            }
        }
    }

    /// The answer to a client for whose key there may be something now.
    fn serve_one(
        &self,
        mut stores: Stores<'_>,
        table: &Table,
        waiter: &Waiter,
        key: Key<'_>,
        figures: &mut Figures,
    ) -> Option<Vec<u8>> {
        if waiter.claim.is_taken() && !self.faults.claims_late {
            return None;
        }
        // How long it has waited for its keys says nothing of the shard.
        let from = self.meter.set_from((waiter.worker, u64::MAX));
        let mut reply = Vec::new();
        let dest = Dest::Ticket { conn: waiter.conn, ticket: waiter.ticket };
        let item = Item {
            db: waiter.db as u16,
            proto: waiter.proto,
            no_touch: waiter.no_touch,
            client: waiter.client,
            ..Item::new(waiter.row, dest)
        };
        let waiting = Waiting { claim: Some(&waiter.claim), ready: Some(key) };
        let (row, request) = (table.row(waiter.row), (&waiter.data[..], &waiter.words[..]));
        let is_logged = stores.each().any(|shard| shard.log.on);
        if self.faults.serves_unlogged {
            stores.each().for_each(|shard| shard.log.on = false);
        }
        let answer = self.try_to_answer(stores.again(), row, &item, request, waiting, &mut reply, figures);
        if self.faults.serves_unlogged {
            stores.each().for_each(|shard| shard.log.on = is_logged);
        }
        self.meter.set_from(from);
        match answer {
            Some(Ok(())) => Some(reply),
            Some(Err(_)) | None => None,
        }
    }
}

impl Worker {
    // ---- the connection's side ----

    /// Makes the request that takes the next ticket one that may wait.
    pub(super) fn begin_blocking(&mut self, conn: ConnId, row: &Row, data: &[u8], words: &[Arg], ticket: u32) -> Wait {
        let claim = Arc::new(Claim::default());
        let mut shards = ShardSet::default();
        let (hasher, count) = (&self.hasher, self.outgoing.len());
        let word = |i: usize| words[i].get(data);
        keys_of(row.spec, words.len(), word, |at| shards.insert(hasher.place(word(at), count)));
        let c = self.connections[conn as usize].as_mut().expect("it has requests");
        c.awaits_walk = true;
        c.blocked = Some(Box::new(Blocked { claim: Arc::clone(&claim), ticket, shards, waits: false, until: None }));
        Wait { claim, until: None }
    }

    /// The request stands in the lines of its keys, or did so for a moment: it may have been answered meanwhile, and its connection
    /// may be another one. `shows`: the epoch of what it has not found, which is told when its time is over.
    pub(super) fn begin_wait(&mut self, dest: Dest, wait: &Wait, shows: u64) {
        let Dest::Ticket { conn, ticket } = dest else { unreachable!("what may wait has a ticket") };
        let Some(c) = self.connections[conn as usize].as_mut() else { return };
        let Some(blocked) = c.blocked.as_mut().filter(|blocked| Arc::ptr_eq(&blocked.claim, &wait.claim)) else {
            return;
        };
        let until = wait.until;
        (blocked.waits, blocked.until) = (true, until);
        c.shows = c.shows.max(shows);
        c.tickets.let_pushes_pass(ticket, &mut c.output);
        self.figures.blocked_clients += 1;
        self.deadlines.extend(until.map(|until| (until, conn)));
        self.mark_dirty(conn);
    }

    /// A request that may wait is answered, by whomever: its client leaves all lines.
    fn end_blocking(&mut self, conn: ConnId) {
        let c = self.connection(conn);
        let client = c.session.id;
        let Some(blocked) = c.blocked.take() else { return };
        if blocked.waits {
            self.figures.blocked_clients -= 1;
            blocked.until.into_iter().for_each(|until| _ = self.deadlines.remove(&(until, conn)));
        }
        for shard in blocked.shards.iter() {
            if shard == self.id {
                self.leavers.push(client);
            } else {
                self.net.send(shard, Mail::Leave(client));
            }
        }
        self.let_leave();
    }

    /// After a ticket was served.
    #[inline]
    pub(super) fn blocking_ends_with(&mut self, conn: ConnId, ticket: u32) {
        if self.connection(conn).blocked.as_ref().is_some_and(|blocked| blocked.ticket == ticket) {
            self.end_blocking(conn);
        }
    }

    /// Clients that wait no longer leave the lines of the shard, as soon as it is here.
    pub(super) fn let_leave(&mut self) {
        if let Some(shard) = &mut self.shard {
            self.leavers.drain(..).for_each(|client| shard.waits.leave(client));
        }
    }

    /// Takes the right to answer the request of a connection that may wait, and answers. False: there is none, or a shard has
    /// it, and its answer is on its way.
    pub(in super::super) fn answer_blocked(&mut self, conn: ConnId, answer: fn(&mut Reply)) -> bool {
        let c = self.connections[conn as usize].as_mut().expect("the connection is there");
        let Some(blocked) = c.blocked.as_ref().filter(|blocked| blocked.claim.take()) else { return false };
        let ticket = blocked.ticket;
        let mut reply = Vec::new();
        answer(&mut Reply::new(&mut reply, c.session.proto));
        self.end_blocking(conn);
        let c = self.connection(conn);
        c.tickets.serve(ticket, &reply, &mut c.output);
        self.served(conn);
        true
    }

    /// Answers those whose time is over.
    pub(super) fn time_out_blocked(&mut self) {
        while let Some(&(until, conn)) = self.deadlines.first()
            && until <= self.now
        {
            self.deadlines.pop_first();
            self.answer_blocked(conn, |reply| reply.nil_array());
        }
    }

    /// The peer has closed its side, while its request may wait: then there is nobody to answer.
    pub fn hung_up(&mut self, conn: ConnId) {
        if self.connections[conn as usize].as_ref().is_some_and(|c| c.blocked.as_ref().is_some_and(|b| b.waits)) {
            self.kill(conn);
        }
    }

    /// Whether a connection waits for its keys.
    pub fn is_blocked(&self, conn: ConnId) -> bool {
        self.connections[conn as usize].as_ref().is_some_and(|c| c.blocked.as_ref().is_some_and(|b| b.waits))
    }

    // ---- the shard's side ----

    /// Serves who waits for keys of the own shard that were written.
    #[inline]
    pub(super) fn serve_ready(&mut self) {
        if self.shard.as_ref().is_some_and(|shard| shard.waits.has_ready()) {
            self.serve_own();
        }
    }

    #[cold]
    fn serve_own(&mut self) {
        let shard = self.shard.as_mut().expect("just seen");
        let env = env_of!(self);
        let mut service = Service::default();
        env.serve(&mut Stores::One(shard), self.table, &mut service, &mut self.figures);
        let shows = self.shows();
        self.take_service(service, shows);
    }

    /// Keeps answers until the turn is published, and asks for shards.
    pub(super) fn take_service(&mut self, service: Service, shows: u64) {
        self.to_serve.extend(service.served.into_iter().map(|served| {
            let late = Late { shows, ..served.late };
            Served { late, ..served }
        }));
        for (wake, shards) in service.asked {
            let gathering = self.gathering();
            shards.into_iter().for_each(|shard| gathering.involved[shard] = true);
            gathering.work.wakes.push(wake);
            self.needs_lock = true;
        }
    }

    /// Sends the answers of the turn.
    pub(super) fn send_served(&mut self) {
        for Served { worker, late } in std::mem::take(&mut self.to_serve) {
            self.send_late(worker, late);
        }
    }
}

impl Item {
    /// Whether it may wait.
    pub(in crate::engine) fn may_wait(&self) -> bool {
        self.wait != NO_WAIT
    }
}

#[cfg(test)]
mod tests;
