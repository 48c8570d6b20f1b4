//! Requests that run at once on the worker of their connection: on its own shard, or on none.
//!
//! A reply is written straight into the connection's output, or, behind replies that are still on their way, into a buffer
//! from which it takes its place in line ([`open_reply`], [`Worker::end_reply`]).

use super::super::connection::{Output, SEVERAL, Tickets};
use super::super::costs::Words;
use super::super::mail::{Dest, Item};
use super::super::script::{self, Asked, Ran};
use super::super::session::ReplyMode;
use super::super::transaction::Unit;
use super::decode::Request;
use super::execute::{Env, env_of};
use super::{ConnId, Worker};
use kv_core::command::{Args, CommandError, Ctx, Flags, Handler, Known, Outcome, Row, ScriptRow, Stores};
use kv_core::resp::{Arg, Reply};

/// From this size on a reply is looked at by itself against the limit of unread output.
const BIG_REPLY_BYTES: usize = 64 * 1024;

/// Where a reply is being written.
struct Place {
    /// Into the connection's output.
    direct: bool,
    begins: usize,
}

/// Where to write the reply of what runs now.
#[inline]
fn open_reply<'a>(
    tickets: &Tickets,
    output: &'a mut Output,
    scratch: &'a mut Vec<u8>,
    pool: &mut Vec<Vec<u8>>,
) -> (&'a mut Vec<u8>, Place) {
    if !tickets.is_empty() {
        scratch.clear();
        return (scratch, Place { direct: false, begins: 0 });
    }
    output.begin_reply();
    if output.tail.capacity() == 0 {
        output.tail = pool.pop().unwrap_or_default();
    }
    let begins = output.tail.len();
    (&mut output.tail, Place { direct: true, begins })
}

impl Worker {
    /// Behind a reply of `bytes`: its place in line, those whom the command has served, and news of what it wrote.
    #[inline]
    fn end_reply(&mut self, conn: ConnId, place: Place, bytes: usize) {
        if !place.direct {
            let c = self.connections[conn as usize].as_mut().expect("it has requests");
            if bytes >= BIG_REPLY_BYTES {
                c.tickets.ready_owned(std::mem::take(&mut self.scratch));
            } else {
                c.tickets.ready(&self.scratch);
            }
        }
        if bytes >= BIG_REPLY_BYTES {
            // A turn of big values must not pass the limit by far before the turn's end looks at it.
            self.check_output_limit(conn);
        }
        self.serve_ready();
        self.tell_stale();
    }

    /// The common case: the handler writes straight into the connection's output.
    #[inline]
    pub(super) fn run_in_place(
        &mut self,
        request: &Request,
        row: &'static Row,
        data: &[u8],
        words: &[Arg],
        mute: bool,
    ) {
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
        let (out, place) = open_reply(&c.tickets, &mut c.output, &mut self.scratch, &mut self.output_pool);
        let mut reply = Reply::new(out, c.session.proto);
        self.meter.call(request.row, true);
        let mut remembers = c.session.tracks() && row.spec.flags.has(Flags::READONLY);
        match handler(&mut ctx, &mut args, &mut reply) {
            Ok(outcome) => debug_assert!(outcome == Outcome::Done, "walks are cut only where they may go on"),
            Err(error) => {
                out.truncate(place.begins);
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
            out.truncate(place.begins);
        }
        let bytes = out.len() - place.begins;
        self.end_reply(request.conn, place, bytes);
    }

    /// Runs a script on the own shard. If that is not enough, on all of them in this turn's rendezvous.
    pub(super) fn run_script_in_place(
        &mut self,
        script: ScriptRow,
        request: &Request,
        data: &[u8],
        words: &[Arg],
        mute: bool,
    ) {
        let conn = request.conn;
        let is_monitored = self.is_monitored();
        let shard = self.shard.as_mut().expect("requests run in place only while the shard is here");
        let env = Env { shown: is_monitored.then_some(&self.shown), ..env_of!(self) };
        let c = self.connections[conn as usize].as_mut().expect("it has requests");
        let item = c.item(request.row, request.key_at, Dest::Ticket { conn, ticket: 0 });
        let (out, place) = open_reply(&c.tickets, &mut c.output, &mut self.scratch, &mut self.output_pool);
        let asked = Asked { script, item: &item, data, words };
        let ran = script::run(&env, Stores::One(shard), &asked, out, &mut self.figures);
        c.saw_shard = true;
        if mute || ran != Ran::Done {
            out.truncate(place.begins);
        }
        let bytes = out.len() - place.begins;
        if let Ran::Again(attempt) = ran {
            let turn = self.turn;
            (c.queued_in, c.queued_to, c.rendezvous_in, c.awaits_walk) = (turn, SEVERAL, turn, true);
            c.in_flight_bytes += data.len();
            let ticket = c.tickets.wait(mute);
            let item = Item { dest: Dest::Ticket { conn, ticket }, ..item };
            return self.run_again(self.id, &item, data, words, attempt);
        }
        self.end_reply(conn, place, bytes);
        // Behind the reply: the connection may be a subscriber itself.
        self.say();
    }

    /// A command of the session or the server, on this worker, now.
    pub(super) fn run_host_here(&mut self, request: &Request, row: &'static Row, data: &[u8], words: &[Arg]) {
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

    /// Runs a unit on the own shard, as it does any command in place: straight into the connection's output.
    pub(super) fn run_unit_in_place(&mut self, conn: ConnId, mut unit: Box<Unit>) {
        let shard = self.shard.as_mut().expect("requests run in place only while the shard is here");
        let env = Env { shown: unit.lines.is_some().then_some(&self.shown), ..env_of!(self) };
        let c = self.connections[conn as usize].as_mut().expect("it has requests");
        let (client, proto) = (c.session.id, c.session.proto);
        c.saw_shard = true;
        if unit.has_host {
            env.run_unit(Stores::One(shard), self.table, client, &mut unit, &mut self.figures);
            self.serve_ready();
            // Its place in line comes before news of what it wrote.
            self.end_unit_here(conn, unit);
            self.tell_stale();
            return self.say();
        }
        let (out, place) = open_reply(&c.tickets, &mut c.output, &mut self.scratch, &mut self.output_pool);
        env.run_whole_unit(Stores::One(shard), self.table, (client, proto), &mut unit, out, &mut self.figures);
        if unit.mute {
            out.truncate(place.begins);
        }
        let bytes = out.len() - place.begins;
        self.recycle(unit);
        self.end_reply(conn, place, bytes);
        self.say();
    }
}
