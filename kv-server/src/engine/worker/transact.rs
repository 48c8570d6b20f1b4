//! MULTI, EXEC and watches: commands are put in line, travel as one unit, and what is the session's part is done at the end.

use super::super::mail::{Batch, Dest, Mail};
use super::super::session::ReplyMode;
use super::super::transaction::{Execution, Place, ShardSet, Unit};
use super::decode::{Plan, Request};
use super::route::Fate;
use super::{ConnId, Worker};
use kv_core::command::{Args, CommandError, Flags, Handler, Join, Known, Row, Spread, keys_of, may_be_anywhere};
use kv_core::resp::{Arg, Reply};

/// Units kept for the next transactions.
const KEEP_UNITS: usize = 64;

impl Worker {
    pub(super) fn new_unit(&mut self) -> Box<Unit> {
        self.unit_pool.pop().unwrap_or_default()
    }

    pub(super) fn recycle(&mut self, mut unit: Box<Unit>) {
        if unit.clear() && self.unit_pool.len() < KEEP_UNITS {
            self.unit_pool.push(unit);
        }
    }

    // ---- the session's side: MULTI, DISCARD, UNWATCH, WATCH ----

    /// Errors: there is a transaction already.
    pub(in super::super) fn begin_transaction(&mut self, conn: ConnId) -> Result<(), CommandError> {
        if self.connection(conn).transaction.queued.is_some() {
            return Err(CommandError::err("MULTI calls can not be nested"));
        }
        let unit = self.new_unit();
        self.connection(conn).transaction.queued = Some(unit);
        Ok(())
    }

    /// Drops what is in line, and ends all watches. Says whether there was a transaction.
    pub(in super::super) fn drop_transaction(&mut self, conn: ConnId) -> bool {
        let queued = self.connection(conn).transaction.queued.take();
        let was_there = queued.is_some();
        if let Some(unit) = queued {
            self.recycle(unit);
        }
        self.unwatch(conn);
        was_there
    }

    /// Ends all watches. The client notices nothing of it but at its next EXEC, which stands behind it: nobody waits for it.
    pub(in super::super) fn unwatch(&mut self, conn: ConnId) {
        let Some(shards) = self.take_watches(conn) else { return };
        let in_place = !self.is_stalled();
        let (turn, now) = (self.turn, self.now);
        let c = self.connection(conn);
        let client = c.session.id;
        if c.rendezvous_in == turn {
            // There they were begun, perhaps.
            let mut unit = self.new_unit();
            (unit.watched, unit.mute, unit.shards) = (true, true, shards);
            return self.gather_unit(conn, unit, 0);
        }
        let in_place = in_place && !self.follows(conn);
        for shard in shards.iter() {
            match self.shard.as_mut().filter(|s| in_place && s.index == shard) {
                Some(shard) => _ = shard.watches.release(client, now),
                None => {
                    let mut unit = self.new_unit();
                    (unit.watched, unit.mute) = (true, true);
                    self.send_unit(conn, shard, unit, 0);
                }
            }
        }
    }

    fn take_watches(&mut self, conn: ConnId) -> Option<ShardSet> {
        let watching = self.connection(conn).transaction.watching.take()?;
        self.figures.watching_clients -= 1;
        self.figures.watched_keys -= watching.keys.len() as u64;
        Some(watching.shards)
    }

    /// Remembers which shards know of the session's watches.
    pub(super) fn note_watches(&mut self, conn: ConnId, row: &Row, data: &[u8], words: &[Arg]) {
        let shards = self.outgoing.len();
        let hasher = &*self.hasher;
        let c = self.connections[conn as usize].as_mut().expect("it has requests");
        let figures = &mut self.figures;
        let watching = c.transaction.watching.get_or_insert_with(|| {
            figures.watching_clients += 1;
            Default::default()
        });
        let word = |i: usize| words[i].get(data);
        keys_of(row.spec, words.len(), word, |at| {
            watching.shards.insert(hasher.place(word(at), shards));
            figures.watched_keys += u64::from(watching.keys.insert((c.session.db, word(at).into())));
        });
    }

    /// Ends the watches of a connection that is gone and that nothing refers to: all it asked for has run.
    pub(super) fn forget_watches_of(&mut self, conn: ConnId) {
        let Some(shards) = self.take_watches(conn) else { return };
        let client = self.connection(conn).session.id;
        for shard in shards.iter() {
            if shard == self.id {
                self.forgotten.push(client);
            } else {
                self.net.send(shard, Mail::Forget(client));
            }
        }
        self.forget_watches();
    }

    /// Ends the watches of clients that are gone, as soon as the shard is here.
    pub(super) fn forget_watches(&mut self) {
        let now = self.now;
        if let Some(shard) = &mut self.shard {
            self.forgotten.drain(..).for_each(|client| _ = shard.watches.release(client, now));
        }
    }

    // ---- commands are put in line ----

    /// A request between MULTI and EXEC, which has passed all checks.
    pub(super) fn queue(&mut self, request: &Request, row: &Row, data: &[u8], words: &[Arg], mute: bool) {
        let (shards, own) = (self.outgoing.len(), self.id);
        let limit = self.config.client_query_buffer_limit as usize;
        let hasher = &*self.hasher;
        let c = self.connections[request.conn as usize].as_mut().expect("it has requests");
        let item = c.item(request.row, request.key_at, Dest::Element { conn: request.conn });
        let unit = c.transaction.queued.as_mut().expect("it is in a transaction");
        let place = match (row.spec.handler, row.spec.spread, request.plan) {
            (Handler::Script(_), ..) => {
                // What a script touches that it does not declare must be here, too.
                unit.shards.insert_all(shards);
                unit.has_script = true;
                Place::Keys
            }
            (Handler::Store(_), Spread::All { join }, _) => {
                unit.shards.insert_all(shards);
                Place::Each(join)
            }
            (Handler::Store(_), Spread::Cursor { .. }, Plan::Shard(shard)) => {
                unit.shards.insert(usize::from(shard));
                Place::Shard(shard)
            }
            (Handler::Store(_), _, Plan::Shard(shard)) => {
                unit.shards.insert(usize::from(shard));
                Place::Keys
            }
            (Handler::Store(_), ..) => {
                let word = |i: usize| words[i].get(data);
                keys_of(row.spec, words.len(), word, |at| unit.shards.insert(hasher.place(word(at), shards)));
                if row.any_shard && may_be_anywhere(row.spec, words.len(), word) {
                    unit.shards.insert_all(shards);
                }
                if unit.shards.is_empty() {
                    unit.shards.insert(own);
                }
                Place::Keys
            }
            (_, Spread::All { join }, _) => Place::HostEach(join),
            (_, Spread::Channel { .. }, _) => Place::Channel,
            _ => Place::Host,
        };
        unit.note(place, row.spec.flags);
        unit.work.push_item(item, words, data, request.hashes());
        if unit.memory() + c.input.len() > limit {
            self.figures.query_limit_disconnections += 1;
            return self.kill(request.conn);
        }
        if !mute {
            self.scratch.clear();
            Reply::new(&mut self.scratch, c.session.proto).simple("QUEUED");
            c.answer(&self.scratch);
        }
    }

    /// A request that is refused, which also ends a transaction, at EXEC at the latest.
    pub(super) fn reject(&mut self, conn: ConnId, row: &Row, text: &str, mute: bool) -> Fate {
        if row.spec.spread == Spread::Transaction {
            self.drop_transaction(conn);
            let why = text.strip_prefix("ERR ").unwrap_or(text);
            self.refuse(conn, &format!("EXECABORT Transaction discarded because of: {why}"), mute);
            return Fate::Ran;
        }
        if let Some(unit) = &mut self.connection(conn).transaction.queued {
            unit.aborted = true;
        }
        self.refuse(conn, text, mute);
        Fate::Done
    }

    // ---- EXEC ----

    pub(super) fn exec(&mut self, request: &Request, data: &[u8], words: &[Arg], mute: bool, in_place: bool) -> Fate {
        let conn = request.conn;
        let Some(mut unit) = self.connection(conn).transaction.queued.take() else {
            self.refuse(conn, "ERR EXEC without MULTI", mute);
            return Fate::Ran;
        };
        if unit.aborted {
            self.recycle(unit);
            self.unwatch(conn);
            self.refuse(conn, "EXECABORT Transaction discarded because of previous errors.", mute);
            return Fate::Ran;
        }
        unit.mute = mute;
        if let Some(shards) = self.take_watches(conn) {
            unit.watched = true;
            unit.shards.extend(&shards);
        }
        if unit.has_host && unit.flags().has(Flags::SETS_SESSION) {
            self.rehearse(conn, &mut unit);
        }
        unit.choose_where_to_publish();
        // What follows may hang on what it does to the session, and is not to be published before.
        self.connection(conn).awaits_walk = unit.has_host || unit.may_publish();
        let bytes = request.bytes() + unit.work.bytes.len();
        let in_rendezvous = self.connection(conn).rendezvous_in == self.turn;
        let mut shown = Vec::new();
        if self.is_monitored() {
            let lines = self.lines_of_unit(&unit, request, data, words);
            if unit.is_certain() {
                shown = lines.into_text();
            } else {
                unit.lines = Some(lines);
            }
        }
        match unit.shards.only() {
            _ if unit.shards.is_empty() => self.end_unit_here(conn, unit),
            Some(shard) if shard == self.id && in_place && !in_rendezvous && !self.follows(conn) => {
                self.run_unit_in_place(conn, unit);
            }
            Some(shard) if !in_rendezvous && unit.lines.is_none() => self.send_unit(conn, shard, unit, bytes),
            #[cfg(feature = "faults")]
            _ if self.net.faults().transaction_in_pieces && !unit.watched && self.can_be_cut(&unit) => {
                self.send_in_pieces(conn, unit);
            }
            _ => self.gather_unit(conn, unit, bytes),
        }
        shown.append(self.shown.get_mut());
        if !shown.is_empty() {
            self.show_lines(conn, &shown, false);
        }
        Fate::Done
    }

    /// Finds out with which database, protocol and so on each command of the store runs, by carrying out on the session what
    /// changes that, and taking it back.
    fn rehearse(&mut self, conn: ConnId, unit: &mut Unit) {
        let before = self.connection(conn).session.clone();
        self.is_rehearsing = true;
        for i in 0..unit.len() {
            if self.table.row(unit.work.items[i].row).spec.flags.has(Flags::SETS_SESSION) {
                // Its reply, or error, is told when it is carried out.
                self.run_host_of_unit(conn, unit, i, &mut Vec::new());
            }
            let s = &self.connection(conn).session;
            let (db, proto, no_touch, tracks) = (s.db as u16, s.proto, s.no_touch, s.tracks());
            let item = &mut unit.work.items[i];
            (item.db, item.proto, item.no_touch, item.tracks) = (db, proto, no_touch, tracks);
        }
        self.is_rehearsing = false;
        self.connection(conn).session = before;
    }

    /// The rest of a unit whose commands of the store have run here, or that has none.
    pub(super) fn end_unit_here(&mut self, conn: ConnId, unit: Box<Unit>) {
        let ticket = self.connection(conn).tickets.wait(false);
        self.begin_execution(conn, ticket, unit);
    }

    fn unit_item(&mut self, conn: ConnId, unit: &Unit, bytes: usize, to: u16) -> super::super::mail::Item {
        let turn = self.turn;
        let c = self.connection(conn);
        (c.queued_in, c.queued_to) = (turn, to);
        c.in_flight_bytes += bytes;
        // What is done at home decides itself what is to be seen.
        let ticket = c.tickets.wait(unit.mute && !unit.has_host);
        c.item(0, 0, Dest::Ticket { conn, ticket })
    }

    /// Into the mailbox of one shard.
    fn send_unit(&mut self, conn: ConnId, shard: usize, unit: Box<Unit>, bytes: usize) {
        self.needs_lock |= self.follows(conn) && self.connection(conn).queued_to != shard as u16;
        let item = self.unit_item(conn, &unit, bytes, shard as u16);
        self.batch_for(shard).push_unit(item, unit);
        if shard != self.id {
            self.figures.remote_requests += 1;
        }
    }

    /// Into the turn's rendezvous.
    fn gather_unit(&mut self, conn: ConnId, unit: Box<Unit>, bytes: usize) {
        let turn = self.turn;
        let item = self.unit_item(conn, &unit, bytes, super::super::connection::SEVERAL);
        self.connection(conn).rendezvous_in = turn;
        self.needs_lock = true;
        if unit.lines.is_some() {
            self.gather_monitors();
        }
        let gathering = self.gathering();
        unit.shards.iter().for_each(|shard| gathering.involved[shard] = true);
        gathering.work.push_unit(item, unit);
    }

    /// Whether all of its commands are about one key and answer with one value.
    #[cfg(feature = "faults")]
    fn can_be_cut(&self, unit: &Unit) -> bool {
        unit.work.items.iter().all(|item| self.table.row(item.row).single_key.is_some())
    }

    /// How EXEC must not be: each command is sent to its shard by itself, and nothing keeps others out of between.
    #[cfg(feature = "faults")]
    fn send_in_pieces(&mut self, conn: ConnId, whole: Box<Unit>) {
        let (shards, needs_lock, proto) = (self.outgoing.len(), self.needs_lock, self.connection(conn).session.proto);
        let ticket = self.connection(conn).tickets.wait(whole.mute);
        let id = self.begin_join(conn, Some(ticket), proto, Join::InOrder, whole.len());
        self.needs_lock = needs_lock;
        for (i, item) in whole.work.items.iter().enumerate() {
            let (data, words) = whole.work.request(item);
            let shard = self.hasher.place(words[usize::from(item.key_at)].get(data), shards);
            self.joins[id as usize].key_goes_to(i as u16);
            let mut piece = self.new_unit();
            piece.work.push_item(*item, words, data, whole.work.hashes(item));
            piece.note(whole.places[i], Flags::NONE);
            let dest = Dest::Join { join: id, part: i as u16 };
            let item = self.connection(conn).item(0, 0, dest);
            self.batch_for(shard).push_unit(item, piece);
        }
        self.recycle(whole);
    }

    // ---- the session's part of a unit ----

    /// Its commands of the store have run, or a watched key was touched.
    pub(super) fn begin_execution(&mut self, conn: ConnId, ticket: u32, unit: Box<Unit>) {
        let c = self.connections[conn as usize].as_mut().expect("kept while a ticket is out");
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, c.session.proto);
        match (unit.mute, unit.touched) {
            (true, _) => {}
            (false, true) => reply.nil_array(),
            (false, false) => reply.array(unit.len()),
        }
        let at = if unit.touched { unit.len() } else { 0 };
        c.transaction.executing = Some(unit.len());
        c.transaction.execution = Some(Box::new(Execution { unit, ticket, at, out }));
        self.go_on_with_execution(conn);
    }

    /// The answer of a command at all workers, or of the keeper, has come.
    pub(super) fn take_element(&mut self, conn: ConnId, pieces: &[&[u8]]) {
        let c = self.connections[conn as usize].as_mut().expect("kept while a ticket is out");
        let audible = c.is_audible();
        c.transaction.awaits_element = false;
        let execution = c.transaction.execution.as_mut().expect("only its elements come by themselves");
        let row = self.table.row(execution.unit.work.items[execution.at - 1].row);
        if audible || row.spec.flags.has(Flags::PUSHES) {
            pieces.iter().for_each(|piece| execution.out.extend_from_slice(piece));
        }
        self.go_on_with_execution(conn);
    }

    fn go_on_with_execution(&mut self, conn: ConnId) {
        loop {
            let c = self.connections[conn as usize].as_mut().expect("kept while a ticket is out");
            let audible = c.is_audible();
            let Some(mut execution) = c.transaction.execution.take() else { return };
            let i = execution.at;
            if i == execution.unit.len() {
                c.transaction.executing = None;
                c.awaits_walk = false;
                if let Some(tracking) = &mut c.session.tracking {
                    tracking.is_caching = false;
                }
                c.tickets.serve_owned(execution.ticket, execution.out, &mut c.output);
                self.recycle(execution.unit);
                return self.served(conn);
            }
            execution.at += 1;
            match execution.unit.places[i] {
                Place::Keys | Place::Shard(_) | Place::Each(_) | Place::Message => {
                    if audible {
                        let reply = execution.unit.work.reply_of(i);
                        execution.out.extend_from_slice(reply);
                    }
                    let said = execution.unit.said.extract_if(.., |(at, _)| *at == i).map(|(_, message)| message);
                    self.said.get_mut().extend(said);
                    self.say();
                    let c = self.connection(conn);
                    c.transaction.execution = Some(execution);
                }
                Place::Host => {
                    let mut out = Vec::new();
                    self.run_host_of_unit(conn, &execution.unit, i, &mut out);
                    let pushes = self.pushes(&execution, i);
                    let c = self.connection(conn);
                    // Also after CLIENT REPLY itself, which decides about its own reply.
                    if (c.is_audible() || pushes) && !c.transaction.awaits_element {
                        execution.out.extend_from_slice(&out);
                    }
                    c.transaction.execution = Some(execution);
                    if c.transaction.awaits_element {
                        return;
                    }
                }
                Place::Channel => {
                    let mut out = Vec::new();
                    let is_done = self.publish_element(conn, &execution.unit.work, i, &mut out);
                    if is_done && audible {
                        execution.out.extend_from_slice(&out);
                    }
                    self.connection(conn).transaction.execution = Some(execution);
                    if !is_done {
                        return;
                    }
                }
                Place::HostEach(join) => {
                    self.send_element_to_all(conn, &execution.unit.work, i, join);
                    self.connection(conn).transaction.execution = Some(execution);
                    return;
                }
            }
        }
    }

    /// Whether the answer of a command in a unit is sent whatever CLIENT REPLY says.
    fn pushes(&self, execution: &Execution, i: usize) -> bool {
        self.table.row(execution.unit.work.items[i].row).spec.flags.has(Flags::PUSHES)
    }

    /// Runs a command of the session or the server that stands in a unit.
    fn run_host_of_unit(&mut self, conn: ConnId, unit: &Unit, i: usize, out: &mut Vec<u8>) {
        let item = unit.work.items[i];
        let row = self.table.row(item.row);
        let (data, words) = unit.work.request(&item);
        let hasher = self.hasher.clone();
        let mut args = Args::new(data, words, row.name_words, &hasher, Known::NONE);
        let proto = self.connection(conn).session.proto;
        self.meter.call(item.row, true);
        let result = self.run_host(item.row, Some(conn), item.client, &mut args, proto, out);
        self.end_host_call(item.row, item.client, data, words, result.is_err());
        if let Err(error) = result {
            out.clear();
            let text = error.to_string();
            let proto = self.connection(conn).session.proto;
            Reply::new(out, proto).error(&text);
            self.figures.count_error(text.as_bytes());
        }
    }

    /// Every worker gets a command of a transaction, whose answer comes as an element.
    fn send_element_to_all(&mut self, conn: ConnId, work: &Batch, i: usize, join: Join) {
        let item = work.items[i];
        let (data, words) = work.request(&item);
        let (shards, proto) = (self.outgoing.len(), self.connection(conn).session.proto);
        let id = self.begin_join(conn, None, proto, join, shards);
        for shard in 0..shards {
            let dest = Dest::Join { join: id, part: shard as u16 };
            let item = super::super::mail::Item { dest, proto, ..item };
            self.batch_for(shard).push_item(item, words, data, &[]);
        }
    }
}

impl super::super::connection::Connection {
    /// Whether a reply within a transaction is sent.
    fn is_audible(&self) -> bool {
        matches!(self.session.reply_mode, ReplyMode::On | ReplyMode::SkipNext)
    }
}
