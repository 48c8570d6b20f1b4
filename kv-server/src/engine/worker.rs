//! One worker: some connections, one shard, and the steps of a turn (see the module above for their order and why).

use super::connection::{Connection, Life};
use super::costs::Meter;
use super::durability::{Link, LoadedShard, Marker};
use super::host::{self, HostTable, System};
use super::join::{Joining, Piece};
use super::mail::{Answer, Batch, Dest, Late, Mail};
use super::net::Net;
use super::pubsub::{Hub, Message};
use super::script::{Outcome, Scripting};
use super::session::Session;
use super::stats::Figures;
use super::transaction::Unit;
use crate::config::Config;
use crossbeam_channel::Receiver;
use kv_core::command::{RowId, Settings, Table};
use kv_core::resp::{Arg, Limits, Proto, Reply};
use kv_core::store::{KeyHasher, Shard, UnixMs};
use kv_core::types::{self, ListNodeLimit};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

mod decode;
mod duties;
mod epochs;
mod execute;
mod in_place;
#[cfg(feature = "faults")]
mod left_over;
mod monitor;
mod notices;
mod pubsub;
mod route;
mod tracking;
mod transact;
mod wait;

use decode::{Recent, Request};
pub use duties::Rest;
pub(super) use execute::{Env, run_gathered};
#[cfg(feature = "faults")]
pub use left_over::LeftOver;
pub use wait::Blocked;
use wait::Served;
pub(super) use wait::{Service, may_wait, waits_by_option};

/// A connection's place at its worker. Given anew only when nothing refers to the old owner any more.
pub type ConnId = u32;

/// How far publishing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// Everything is out; the turn is over.
    Done,
    /// One batch went out, or the lock was taken; call again.
    More,
    /// Another worker holds the lock for the moment; call again.
    Blocked,
}

enum Publishing {
    No,
    /// Batches for workers below `next` are sent.
    Sending {
        next: usize,
        locked: bool,
    },
}

/// A walk that is cut into slices (KEYS). A connection has one at a time.
struct Walk {
    from: usize,
    dest: Dest,
    row: RowId,
    db: usize,
    proto: Proto,
    bytes: Vec<u8>,
    words: Vec<Arg>,
    cursor: u64,
    /// The reply so far: whole pieces, and the one being written.
    pieces: Vec<Vec<u8>>,
    reply: Vec<u8>,
    elements: u64,
}

/// The commands of a turn for which several shards come together.
struct Gathering {
    work: Box<Batch>,
    involved: Vec<bool>,
}

/// What a worker is made of.
pub struct Setup {
    pub net: Arc<Net>,
    /// That of the worker with the number of the shard.
    pub mailbox: Receiver<Mail>,
    pub shard: Box<Shard>,
    pub config: Config,
    pub system: Arc<dyn System>,
    pub link: Link,
    /// The marker that ended the last epoch before the start.
    pub last: Marker,
    /// For its own random numbers.
    pub seed: u64,
    pub now_us: u64,
}

pub struct Worker {
    pub(super) id: usize,
    pub(super) net: Arc<Net>,
    mailbox: Receiver<Mail>,
    /// `None` while it is away at a rendezvous.
    pub(super) shard: Option<Box<Shard>>,
    hasher: Arc<KeyHasher>,
    table: &'static Table,
    host: &'static HostTable,
    pub(super) system: Arc<dyn System>,
    pub(super) link: Link,
    pub(super) scripting: Scripting,
    epochs: epochs::Epochs,
    /// The start is not over: the shard is an empty one.
    is_loading: bool,
    has_loaded: bool,
    pub(super) config: Config,
    settings: Settings,
    limits: Limits,
    pub(super) now_us: u64,
    pub(super) now: UnixMs,

    pub(super) connections: Vec<Option<Box<Connection>>>,
    free: Vec<ConnId>,
    /// Connections with bytes to decode.
    ready: Vec<ConnId>,
    /// Connections held back by CLIENT PAUSE.
    held: Vec<ConnId>,
    /// Connections with bytes to send, or to be closed.
    dirty: Vec<ConnId>,
    pub(super) open: usize,
    input_pool: Vec<Vec<u8>>,
    output_pool: Vec<Vec<u8>>,

    requests: Vec<Request>,
    recent: Recent,
    words: Vec<Arg>,
    scratch: Vec<u8>,
    /// The shard of each key of the request at hand.
    key_shards: Vec<(u16, u64)>,

    /// Mail for the shard that has not been run, in order.
    queue: VecDeque<Box<Batch>>,
    /// This turn's batches, by destination.
    outgoing: Vec<Option<Box<Batch>>>,
    gathering: Option<Gathering>,
    /// The turn holds a command over several shards, or requests of one connection for several shards.
    needs_lock: bool,
    /// What was published in turns before this one is settled: no turn of another worker is half published around it, so
    /// that nobody can see a later command of the same connection without it.
    settled: u64,
    publishing: Publishing,
    /// Who has got a batch of the turn being published.
    posted: Vec<usize>,
    /// Counts the turns of this worker.
    turn: u64,
    /// Counts the turns that published something.
    published: u64,
    batch_pool: Vec<Box<Batch>>,
    joins: Vec<Joining>,
    free_joins: Vec<u32>,
    unit_pool: Vec<Box<Unit>>,
    pub(super) hub: Hub,
    telling: notices::Telling,
    /// The workers with monitors, ascending.
    monitors: Vec<u16>,
    /// What scripts and transactions have shown, and is to be shown behind the request at hand, or by the rendezvous.
    shown: RefCell<Vec<u8>>,
    /// Connections that may be told of keys (CLIENT TRACKING), by their clients' numbers.
    told: BTreeMap<u64, ConnId>,
    /// Commands that set the session are tried out.
    is_rehearsing: bool,
    /// The epoch of what messages in the batch at hand may tell of.
    tells: u64,
    /// What scripts and transactions have published, and nobody was told yet.
    said: RefCell<Vec<Message>>,
    /// The workers that the message at hand goes to.
    targets: Vec<u16>,
    /// The message at hand as it is sent, in both protocols.
    push_forms: [Vec<u8>; 2],
    /// Connections that the message at hand has brought above their limit of output.
    over_limit: Vec<ConnId>,
    /// Replies that other workers wait for: who, and for what.
    relays: Vec<Option<(usize, Dest)>>,
    /// Clients that are gone, and may still watch something on the shard.
    forgotten: Vec<u64>,
    /// For each shard, the part of the command at hand that it runs.
    part_of: Vec<u16>,
    /// Clients that wait no longer, and may still stand in lines of the shard.
    leavers: Vec<u64>,
    /// When the requests that wait here for a time are to be answered otherwise.
    deadlines: BTreeSet<(UnixMs, ConnId)>,
    /// Answers to those who have waited, to be sent when the turn is published.
    to_serve: Vec<Served>,
    walks: VecDeque<Walk>,
    seed: u64,

    pub(super) pause: host::Pause,
    pub(super) figures: Figures,
    pub(super) meter: Meter,
    /// When the requests of this turn began to be run, by the clock of spans.
    turn_ns: u64,
    /// A connection was above its soft output limit when last looked at.
    over_soft_limit: bool,
    next_second: UnixMs,
    sample: duties::Sample,
}

/// What handlers are told of the options.
pub fn settings(config: &Config, hasher: &KeyHasher) -> Settings {
    Settings {
        string_max: config.proto_max_bulk_len as usize,
        hll_sparse_max: config.hll_sparse_max_bytes as usize,
        limits: types::Limits {
            list_node: ListNodeLimit::from_option(config.list_max_listpack_size.into()),
            hash_seed: hasher.member_seed(),
            ..config.limits
        },
    }
}

/// Most requests of one connection in one turn, so that one deep pipeline does not hold up the others; also what it may
/// have in flight before it is read from again.
const REQUESTS_PER_TURN: usize = 1024;
/// Likewise for the bytes of requests that are at other workers.
const IN_FLIGHT_BYTES: usize = 1024 * 1024;
/// No more connections are decoded in a turn that has so many requests: about a millisecond's worth.
const REQUESTS_ALL: usize = 4096;
/// A scratch buffer above this size is let go.
const KEEP_BYTES: usize = 256 * 1024;

impl Worker {
    /// A worker for the mailbox `mailbox` of `net`.
    pub fn new(setup: Setup) -> Worker {
        let Setup { net, mailbox, mut shard, config, system, link, last, seed, now_us } = setup;
        let table = kv_core::command::table();
        let shards = net.workers();
        let (id, hasher) = (shard.index, shard.hasher.clone());
        shard.log.on = last.log;
        let meter = Meter::new(net.clone(), system.clone(), id);
        let mut worker = Worker {
            id,
            mailbox,
            shard: Some(shard),
            hasher,
            table,
            host: host::table(),
            system: system.clone(),
            is_loading: link.status().load.is_active(),
            scripting: Scripting {
                net: net.clone(),
                system: system.clone(),
                status: link.shared_status(),
                strict_keys: config.script_strict_keys,
                databases: config.databases as usize,
                log_level: config.loglevel,
            },
            has_loaded: false,
            link,
            epochs: epochs::Epochs::after(last),
            settings: Settings { string_max: 0, hll_sparse_max: 0, limits: types::Limits::default() },
            limits: Limits { line: 0, args: 0, bulk: 0 },
            config,
            now_us,
            now: now_us / 1000,
            connections: Vec::new(),
            free: Vec::new(),
            ready: Vec::new(),
            held: Vec::new(),
            dirty: Vec::new(),
            open: 0,
            input_pool: Vec::new(),
            output_pool: Vec::new(),
            requests: Vec::new(),
            words: Vec::new(),
            scratch: Vec::new(),
            recent: Recent::default(),
            key_shards: Vec::new(),
            queue: VecDeque::new(),
            outgoing: (0..shards).map(|_| None).collect(),
            gathering: None,
            needs_lock: false,
            settled: 0,
            publishing: Publishing::No,
            posted: Vec::new(),
            turn: 1,
            published: 0,
            batch_pool: Vec::new(),
            joins: Vec::new(),
            free_joins: Vec::new(),
            unit_pool: Vec::new(),
            hub: Hub::new(id, shards),
            telling: notices::Telling::new(),
            monitors: Vec::new(),
            shown: RefCell::default(),
            told: BTreeMap::new(),
            is_rehearsing: false,
            tells: 0,
            said: RefCell::default(),
            targets: Vec::new(),
            push_forms: Default::default(),
            over_limit: Vec::new(),
            relays: Vec::new(),
            forgotten: Vec::new(),
            part_of: vec![u16::MAX; shards],
            leavers: Vec::new(),
            deadlines: BTreeSet::new(),
            to_serve: Vec::new(),
            walks: VecDeque::new(),
            seed: seed | 1,
            pause: host::Pause::default(),
            figures: Figures::default(),
            meter,
            turn_ns: 0,
            over_soft_limit: false,
            next_second: 0,
            sample: Default::default(),
            net,
        };
        worker.options_changed();
        worker
    }

    #[cfg(test)]
    pub(super) fn shard_mut(&mut self) -> &mut Shard {
        self.shard.as_mut().expect("it is at home between turns")
    }

    pub fn id(&self) -> usize {
        self.id
    }

    /// Takes over what depends on options.
    pub(super) fn options_changed(&mut self) {
        self.settings = settings(&self.config, &self.hasher);
        self.scripting.strict_keys = self.config.script_strict_keys;
        self.scripting.log_level = self.config.loglevel;
        self.limits = Limits {
            line: self.config.proto_max_line_len as usize,
            args: self.config.proto_max_args as usize,
            bulk: self.config.proto_max_bulk_len as usize,
        };
        self.meter.options_changed(&self.config);
        self.want_notices();
        self.limit_tracking();
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    // ---- connections: what `io` calls ----

    /// Takes a new connection. The session's number comes from [`Net::next_client`].
    pub fn connect(&mut self, session: Session) -> ConnId {
        let connection = Box::new(Connection::new(session));
        self.open += 1;
        self.figures.connections_received += 1;
        match self.free.pop() {
            Some(id) => {
                self.connections[id as usize] = Some(connection);
                id
            }
            None => {
                self.connections.push(Some(connection));
                (self.connections.len() - 1) as ConnId
            }
        }
    }

    #[inline]
    pub(super) fn connection(&mut self, id: ConnId) -> &mut Connection {
        self.connections[id as usize].as_mut().expect("the connection is there")
    }

    /// Whether the connection should be read from: not while it has too much in flight, its requests wait for something, or
    /// it is being closed.
    pub fn wants_input(&mut self, id: ConnId) -> bool {
        if self.holds_input() {
            return false;
        }
        let c = self.connection(id);
        c.life == Life::Open
            && !c.held
            && (!c.awaits_walk || c.tickets.is_empty())
            && c.tickets.len() < REQUESTS_PER_TURN
            && c.in_flight_bytes < IN_FLIGHT_BYTES
    }

    /// Where to read to.
    pub fn input_space(&mut self, id: ConnId) -> &mut [u8] {
        let limit = self.config.client_query_buffer_limit as usize;
        let pool = &mut self.input_pool;
        let c = self.connections[id as usize].as_mut().expect("the connection is there");
        // What is longer than the limit will be cut: no room is made for it.
        c.input.space(pool, c.want.min(limit))
    }

    /// `n` bytes have been read.
    pub fn received(&mut self, id: ConnId, n: usize) {
        self.figures.net_input_bytes += n as u64;
        let c = self.connection(id);
        c.input.end += n;
        c.undecoded = true;
        self.list(id);
    }

    fn list(&mut self, id: ConnId) {
        let c = self.connection(id);
        if !c.listed {
            c.listed = true;
            self.ready.push(id);
        }
    }

    /// A read brought nothing.
    pub fn nothing_received(&mut self, id: ConnId) {
        let pool = &mut self.input_pool;
        self.connections[id as usize].as_mut().expect("the connection is there").input.release(pool);
    }

    /// The peer will send no more; what it sent is still answered.
    pub fn end_of_input(&mut self, id: ConnId) {
        let c = self.connection(id);
        c.end_of_input = true;
        self.list(id);
    }

    /// The socket is gone.
    pub fn disconnected(&mut self, id: ConnId) {
        let Some(c) = self.connections[id as usize].as_mut() else { return };
        if c.life != Life::Gone {
            c.life = Life::Gone;
            self.open -= 1;
            self.end_subscriptions(id);
            self.tell_no_more(id);
            self.end_monitoring(id);
            // There may be no turn after this one that would tell.
            self.publish_figures();
        }
        if !self.answer_blocked(id, |_| {}) {
            self.retire(id);
        }
    }

    /// Frees the place of a connection that is gone and that nothing refers to.
    fn retire(&mut self, id: ConnId) {
        let c = self.connection(id);
        if c.life == Life::Gone && c.tickets.is_empty() && !c.listed && !c.dirty {
            self.forget_watches_of(id);
            self.connections[id as usize] = None;
            self.free.push(id);
        }
    }

    /// Moves the list of connections that have bytes to send or are to be closed into `to` (emptied first).
    pub fn take_dirty(&mut self, to: &mut Vec<ConnId>) {
        to.clear();
        std::mem::swap(to, &mut self.dirty);
        for &id in to.iter() {
            self.connection(id).dirty = false;
            self.retire(id);
        }
        to.retain(|&id| self.connections[id as usize].is_some());
    }

    /// The next bytes to send; empty when there is nothing.
    pub fn output(&self, id: ConnId) -> &[u8] {
        let durable = self.durable();
        self.connections[id as usize].as_ref().map_or(b"", |c| c.output.front(durable))
    }

    pub fn sent(&mut self, id: ConnId, n: usize) {
        self.figures.net_output_bytes += n as u64;
        let pool = &mut self.output_pool;
        let c = self.connections[id as usize].as_mut().expect("the connection is there");
        c.output.advance(n);
        c.output.release(pool);
    }

    /// Whether replies of the connection are on their way from other workers and should be here in a moment; not when it
    /// has `most` bytes to send already, or is being closed.
    pub fn expects_more(&self, id: ConnId, most: usize) -> bool {
        self.connections[id as usize]
            .as_ref()
            .is_some_and(|c| c.life == Life::Open && !c.tickets.is_empty() && !c.awaits_walk && c.output.len() < most)
    }

    /// Not everything was offered to the socket in this turn.
    pub fn send_later(&mut self, id: ConnId) {
        self.mark_dirty(id);
    }

    /// Whether the socket should be closed now: at once when killed, after the last reply when closing.
    pub fn should_close(&self, id: ConnId) -> bool {
        self.connections[id as usize].as_ref().is_some_and(|c| match c.life {
            Life::Open => false,
            Life::Closing => c.output.is_empty() && c.tickets.is_empty(),
            Life::Killed | Life::Gone => true,
        })
    }

    pub(super) fn mark_dirty(&mut self, id: ConnId) {
        let c = self.connection(id);
        if !c.dirty {
            c.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Cuts a connection; `io` closes it at the end of the turn.
    pub(super) fn kill(&mut self, id: ConnId) {
        let c = self.connection(id);
        if matches!(c.life, Life::Open | Life::Closing) {
            c.life = Life::Killed;
            self.answer_blocked(id, |_| {});
            self.mark_dirty(id);
        }
    }

    /// Closes a connection after the replies that are still to come.
    pub(super) fn close_after_replies(&mut self, id: ConnId) {
        let c = self.connection(id);
        if c.life == Life::Open {
            c.life = Life::Closing;
            self.mark_dirty(id);
        }
    }

    // ---- the mailbox ----

    /// The moment of this turn; read after the bytes and the mail have arrived.
    pub fn set_time(&mut self, now_us: u64) {
        self.now_us = self.now_us.max(now_us);
        self.now = self.now_us / 1000;
        self.meter.set_time(self.now);
    }

    /// How long a turn took, for the figures.
    pub fn turn_took(&mut self, us: u64) {
        self.figures.longest_turn_us = self.figures.longest_turn_us.max(us);
    }

    /// Whether others have left something for this worker: what it is woken for.
    pub fn has_news(&self) -> bool {
        !self.mailbox.is_empty() || self.may_release() || self.may_take_input()
    }

    /// Takes the mailbox as it is now. Replies are served at once, requests wait in order for `run_mail`.
    pub fn take_mail(&mut self) {
        // Before the mailbox: a turn that is published from here on stands behind all that this worker has published.
        if !self.net.is_locked() {
            self.settled = self.turn;
        }
        for _ in 0..self.mailbox.len() {
            let Ok(mail) = self.mailbox.try_recv() else { break };
            match mail {
                Mail::Requests(batch) => self.queue.push_back(batch),
                Mail::Replies(batch) => self.take_replies(batch),
                Mail::Late(late) => self.take_late(*late),
                Mail::Interest(interest) => {
                    self.hub.note(&interest);
                    self.note_prefixes();
                    self.note_monitors();
                }
                Mail::InterestNoted { by, number } => self.interest_is_noted(by, number),
                Mail::Forget(client) => self.forgotten.push(client),
                Mail::Leave(client) => self.leavers.push(client),
                Mail::Home(shard) => {
                    // Whoever had it may have read the clock later than this worker.
                    self.set_time(shard.log.latest() * 1000);
                    self.shard = Some(shard);
                    self.note_prefixes();
                }
                Mail::Shown(shown) => self.show_here(&shown.text, shown.shows),
                Mail::Tracking(mail) => self.take_tracking(*mail),
                Mail::Slow(call) => self.log_slow(*call),
                Mail::Alone(outcome) => {
                    let Outcome { shards, work, said, shown, service, slow, mut figures } = *outcome;
                    slow.into_iter().for_each(|call| self.log_slow(call));
                    self.figures.add_errors(&mut figures);
                    self.said.get_mut().extend(said);
                    *self.shown.get_mut() = shown;
                    self.ran_together(shards, work, service);
                }
                Mail::Mark(marker) => self.mark(marker),
                Mail::Loaded(loaded) => self.take_loaded(*loaded),
            }
        }
        if self.is_loading {
            self.is_loading = !self.has_loaded || self.link.status().load.is_active();
        }
        if !self.forgotten.is_empty() {
            self.forget_watches();
        }
        if !self.leavers.is_empty() {
            self.let_leave();
        }
    }

    /// Whether commands that need the data are refused.
    pub(super) fn is_loading(&self) -> bool {
        self.is_loading
    }

    /// The shard with all that was kept, in place of the empty one.
    fn take_loaded(&mut self, loaded: LoadedShard) {
        let LoadedShard { mut shard, last } = loaded;
        shard.log.on = last.log;
        self.net.scripts.set_libraries(&shard.libraries);
        self.shard = Some(shard);
        self.epochs = epochs::Epochs::after(last);
        self.has_loaded = true;
        self.want_notices();
        self.limit_tracking();
        self.note_prefixes();
    }

    /// After `run_mail` has said no: whether it waits for a turn that another worker is publishing now.
    pub fn awaits_publishing(&self) -> bool {
        self.shard.is_some() && self.queue.front().is_some_and(|batch| !batch.has_run)
    }

    /// Whether mail for the shard waits that cannot be run yet.
    fn is_stalled(&self) -> bool {
        self.shard.is_none() || !self.queue.is_empty()
    }

    fn take_replies(&mut self, mut batch: Box<Batch>) {
        let mut start = 0;
        for i in 0..batch.items.len() {
            let item = batch.items[i];
            if let Dest::Nobody = item.dest {
                start = item.reply_end;
                continue;
            }
            match item.answer {
                Answer::Here => {}
                Answer::Late => continue,
                Answer::Unit => {
                    let unit = batch.units[item.unit as usize].take().expect("it comes back once");
                    let Dest::Ticket { conn, ticket } = item.dest else { unreachable!("EXEC has a ticket") };
                    self.show(item.dest, batch.shows);
                    self.begin_execution(conn, ticket, unit);
                    continue;
                }
                Answer::Cut => self.cut(item.dest),
                Answer::Waits => {
                    self.begin_wait(item.dest, &batch.waits[item.wait as usize], batch.shows);
                    continue;
                }
                Answer::Dropped => continue,
            }
            let reply = &batch.replies[start..item.reply_end];
            start = item.reply_end;
            if let Dest::Relay { relay } = item.dest {
                self.pass_on(relay, reply, batch.shows);
                continue;
            }
            if batch.shows > 0 {
                self.show(item.dest, batch.shows);
            }
            self.take_reply(item.dest, reply, 0);
        }
        for unit in batch.units.drain(..).flatten() {
            self.recycle(unit);
        }
        batch.clear();
        if self.batch_pool.len() < 64 {
            self.batch_pool.push(batch);
        }
    }

    /// The connection that a reply is for.
    fn connection_of(&self, dest: Dest) -> ConnId {
        match dest {
            Dest::Ticket { conn, .. } | Dest::Element { conn } => conn,
            Dest::Join { join, .. } => self.joins[join as usize].conn,
            Dest::Relay { .. } | Dest::Nobody => unreachable!("not for a connection here"),
        }
    }

    /// A reply for `dest` shows the state at an epoch.
    fn show(&mut self, dest: Dest, epoch: u64) {
        let conn = self.connection_of(dest);
        let c = self.connection(conn);
        c.shows = c.shows.max(epoch);
    }

    /// Cuts the connection that a reply was for: it does not read what it asks for.
    fn cut(&mut self, dest: Dest) {
        let conn = self.connection_of(dest);
        if matches!(self.connection(conn).life, Life::Open | Life::Closing) {
            self.figures.output_limit_disconnections += 1;
            self.kill(conn);
        }
    }

    fn take_late(&mut self, late: Late) {
        if let Dest::Relay { relay } = late.dest {
            // It was run anew twice, by two workers.
            let (to, dest) = self.relays[relay as usize].take().expect("it is passed on once");
            return self.net.send(to, Mail::Late(Box::new(Late { dest, ..late })));
        }
        self.show(late.dest, late.shows);
        match late.dest {
            Dest::Ticket { conn, ticket } => {
                let c = self.connections[conn as usize].as_mut().expect("kept while a ticket is out");
                c.tickets.serve_pieces(ticket, late.reply, &mut c.output);
                self.blocking_ends_with(conn, ticket);
                self.served(conn);
            }
            Dest::Join { join, part } => {
                if self.joins[join as usize].answer_pieces(part, late.reply, late.elements) {
                    self.finish_join(join);
                }
            }
            Dest::Element { conn } => {
                let pieces: Vec<&[u8]> = late.reply.iter().map(Vec::as_slice).collect();
                self.take_element(conn, &pieces);
            }
            Dest::Nobody => {}
            Dest::Relay { .. } => unreachable!("replies for others are passed on"),
        }
    }

    #[inline]
    fn take_reply(&mut self, dest: Dest, reply: &[u8], elements: u64) {
        match dest {
            Dest::Ticket { conn, ticket } => {
                let c = self.connections[conn as usize].as_mut().expect("kept while a ticket is out");
                if c.output.tail.capacity() == 0 {
                    c.output.tail = self.output_pool.pop().unwrap_or_default();
                }
                c.tickets.serve(ticket, reply, &mut c.output);
                self.blocking_ends_with(conn, ticket);
                self.served(conn);
            }
            Dest::Join { join, part } => {
                if self.joins[join as usize].answer(part, reply, elements) {
                    self.finish_join(join);
                }
            }
            Dest::Element { conn } => self.take_element(conn, &[reply]),
            Dest::Nobody => {}
            Dest::Relay { .. } => unreachable!("replies for others are passed on"),
        }
    }

    /// Sends a reply on to the worker that waits for it.
    fn pass_on(&mut self, relay: u32, reply: &[u8], shows: u64) {
        let (to, dest) = self.relays[relay as usize].take().expect("it is passed on once");
        self.net.send(to, Mail::Late(Box::new(Late { dest, reply: vec![reply.to_vec()], elements: 0, shows })));
    }

    fn finish_join(&mut self, join: u32) {
        let mut joining = std::mem::take(&mut self.joins[join as usize]);
        let (conn, ticket) = (joining.conn, joining.ticket);
        let mut whole = std::mem::take(&mut self.scratch);
        whole.clear();
        let mut big: Vec<Vec<u8>> = Vec::new();
        let random = self.random();
        joining.finish(
            |n| (random % n as u64) as usize,
            |piece| match piece {
                Piece::Bytes(bytes) => match big.last_mut() {
                    Some(last) => last.extend_from_slice(bytes),
                    None => whole.extend_from_slice(bytes),
                },
                Piece::Owned(bytes) => {
                    if big.is_empty() {
                        big.push(std::mem::take(&mut whole));
                    }
                    big.push(bytes);
                }
            },
        );
        if let [b'-', text @ ..] = whole.trim_ascii_end() {
            self.figures.count_error(text);
        }
        joining.end();
        self.joins[join as usize] = joining;
        self.free_joins.push(join);
        let Some(ticket) = ticket else {
            let pieces: Vec<&[u8]> = big.iter().chain([&whole]).map(Vec::as_slice).collect();
            return self.take_element(conn, &pieces);
        };
        let c = self.connections[conn as usize].as_mut().expect("kept while a ticket is out");
        if big.is_empty() {
            c.tickets.serve(ticket, &whole, &mut c.output);
        } else {
            c.tickets.serve_pieces(ticket, big, &mut c.output);
        }
        if whole.capacity() <= KEEP_BYTES {
            self.scratch = whole;
        }
        self.served(conn);
    }

    /// After a ticket was served: there may be something to send, or to read again, or nobody left.
    #[inline]
    fn served(&mut self, conn: ConnId) {
        let c = self.connections[conn as usize].as_mut().expect("the connection is there");
        if c.tickets.is_empty() {
            c.in_flight_bytes = 0;
        }
        if c.life == Life::Gone {
            c.output = Default::default();
            return self.retire(conn);
        }
        if !c.dirty {
            c.dirty = true;
            self.dirty.push(conn);
        }
        if c.undecoded && !c.listed {
            self.list(conn);
        }
    }

    /// A number from the worker's own generator (xorshift64*).
    pub(super) fn random(&mut self) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The server could not end: who asked for it is told.
    pub fn cannot_end(&mut self, error: &str) {
        self.net.scripts.server_goes_on();
        for conn in 0..self.connections.len() as ConnId {
            let Some(c) = self.connections[conn as usize].as_mut() else { continue };
            if let Some(ticket) = c.asks_to_end.take() {
                let mut reply = Vec::new();
                Reply::new(&mut reply, c.session.proto).error(error);
                c.tickets.serve(ticket, &reply, &mut c.output);
                self.served(conn);
            }
        }
    }

    /// Whether nothing is left to answer, but to who asked the server to end, or waits for keys: no request anywhere.
    pub fn is_drained(&self) -> bool {
        self.queue.is_empty()
            && self.shard.is_some()
            && self.walks.is_empty()
            && self.mailbox.is_empty()
            && self.gathering.is_none()
            && self.to_serve.is_empty()
            && self.connections.iter().flatten().all(|c| c.requests_left() == 0)
    }

    // ---- publishing ----

    /// Sends the next batch of this turn. To be called until `Done`; in between, other workers may see a part of the turn
    /// in their mailboxes but run nothing of it.
    pub fn publish(&mut self) -> Publish {
        let (next, locked) = match self.publishing {
            Publishing::Sending { next, locked } => (next, locked),
            Publishing::No => {
                if self.has_marker_to_publish() {
                    self.publish_marker();
                }
                if self.gathering.is_none() && self.outgoing.iter().all(Option::is_none) {
                    self.turn += 1;
                    self.notices_are_told();
                    self.tell_interest();
                    return Publish::Done;
                }
                if self.needs_lock && !self.net.lock() {
                    return Publish::Blocked;
                }
                self.close_gathering();
                self.published += 1;
                self.publishing = Publishing::Sending { next: 0, locked: self.needs_lock };
                return Publish::More;
            }
        };
        if let Some(to) = (next..self.outgoing.len()).find(|&to| self.outgoing[to].is_some()) {
            let mut batch = self.outgoing[to].take().expect("just seen");
            batch.from = self.id;
            batch.turn = self.published;
            batch.since_ns = self.turn_ns;
            self.figures.batches += 1;
            self.net.post(to, Mail::Requests(batch));
            self.posted.push(to);
            self.publishing = Publishing::Sending { next: to + 1, locked };
            return Publish::More;
        }
        self.net.set_published(self.id, self.published);
        self.turn += 1;
        if locked {
            self.net.unlock();
            self.settled = self.turn;
        }
        // Only now: before, the woken could do nothing but wait, and the lock would be held longer.
        self.posted.drain(..).for_each(|to| self.net.wake(to));
        self.figures.turns += 1;
        self.publishing = Publishing::No;
        self.needs_lock = false;
        self.notices_are_told();
        self.tell_interest();
        Publish::Done
    }

    fn close_gathering(&mut self) {
        let Some(mut gathering) = self.gathering.take() else { return };
        gathering.work.from = self.id;
        gathering.work.since_ns = self.turn_ns;
        let involved: Vec<usize> = (0..gathering.involved.len()).filter(|&s| gathering.involved[s]).collect();
        let meeting = Arc::new(super::rendezvous::Rendezvous::new(involved.len(), gathering.work));
        for shard in involved {
            self.batch_for(shard).rendezvous = Some(meeting.clone());
        }
    }

    fn batch_for(&mut self, shard: usize) -> &mut Batch {
        let pool = &mut self.batch_pool;
        self.outgoing[shard].get_or_insert_with(|| pool.pop().unwrap_or_default())
    }
}
