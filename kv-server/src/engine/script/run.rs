//! One run of a script or a function: the shards that it has, its commands, and how it ends.

use super::bench::Ran;
use super::cache::LongCall;
use super::{Attempt, Scripting, WORKER_US, commands};
use crate::config::LogLevel;
use crate::engine::costs::Meter;
use crate::engine::mail::{Dest, Item};
use crate::engine::monitor::write_line;
use crate::engine::net::Faults;
use crate::engine::pubsub::{Kind, Message};
use crate::engine::stats::Figures;
use crate::engine::transaction::{Place, ShardSet};
use crate::engine::worker::{Env, may_wait, waits_by_option};
use crate::lua::{Commands, Stop};
use kv_core::command::{
    Args, Flags, Found, Handler, Known, Row, RowId, Settings, Spread, Stores, Table, keys_of, may_be_anywhere, table,
};
use kv_core::resp::{Arg, Proto, Reply, number};
use kv_core::store::{KeyHasher, LogMark, Reach, Shard, Undo};
use std::cell::RefCell;
use std::sync::Arc;

/// Buffers above this size are let go.
const KEEP_BYTES: usize = 256 * 1024;

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It needs a shard that it does not have.
    Undeclared,
    /// It changes what cannot be taken back, and might yet need another shard.
    Heavy,
    /// It takes long.
    Long,
    Killed,
    ServerEnds,
}

/// What a script's commands run on.
pub(super) struct Running {
    scripting: Scripting,
    table: &'static Table,
    hasher: Arc<KeyHasher>,
    settings: Settings,
    /// The shards it has, ascending by index, and behind them, and between runs, such as stand in their place.
    shards: Vec<Box<Shard>>,
    held: usize,
    /// Of each of them.
    undo: Vec<Undo>,
    marks: Vec<LogMark>,
    /// What is done can still be taken back.
    is_open: bool,
    /// It may be run anew somewhere else.
    leaves: bool,
    attempt: Attempt,
    /// How many shards there are.
    count: usize,
    now: u64,
    pub now_us: u64,
    pub db: usize,
    client: u64,
    no_touch: bool,
    tracks: bool,
    readonly: bool,
    has_written: bool,
    /// It was not let in as a write, and writes are refused, all of them.
    is_refused: bool,
    /// The keys it declared, if it matters, and their shards.
    declared: Vec<Box<[u8]>>,
    declared_shards: ShardSet,
    /// It needed a shard that it did not declare.
    pub strayed: bool,
    why: Option<Why>,
    /// When it was looked at first.
    since_ns: Option<u64>,
    /// It is the one that the server knows to take long.
    is_known: bool,
    /// The request, if it calls a function; else empty.
    call: (Vec<u8>, Vec<Arg>),
    /// What it has published.
    said: Vec<Message>,
    /// Its commands, for monitors, if there are some.
    shown: Option<Vec<u8>>,
    meter: Meter,
    pub figures: Figures,
    faults: Faults,
}

impl Running {
    pub(super) fn new(env: &Env<'_>) -> Running {
        Running {
            scripting: env.scripting.clone(),
            table: table(),
            hasher: Arc::clone(env.hasher),
            settings: *env.settings,
            shards: Vec::new(),
            held: 0,
            undo: Vec::new(),
            marks: Vec::new(),
            is_open: false,
            leaves: false,
            attempt: Attempt::Declared,
            count: env.shards,
            now: 0,
            now_us: 0,
            db: 0,
            client: 0,
            no_touch: false,
            tracks: false,
            readonly: false,
            has_written: false,
            is_refused: false,
            declared: Vec::new(),
            declared_shards: ShardSet::default(),
            strayed: false,
            why: None,
            since_ns: None,
            is_known: false,
            call: Default::default(),
            said: Vec::new(),
            shown: None,
            meter: env.meter.inner(),
            figures: Figures::default(),
            faults: Faults::NONE,
        }
    }

    pub fn databases(&self) -> usize {
        self.scripting.databases
    }

    pub(super) fn begin<'a>(
        &mut self,
        env: &Env<'_>,
        stores: &mut Stores<'_>,
        item: &Item,
        readonly: bool,
        keys: impl Iterator<Item = &'a [u8]>,
    ) {
        if !self.scripting.is_same(env.scripting) {
            self.scripting = env.scripting.clone();
            self.meter = env.meter.inner();
        }
        self.meter.begin_within(env.meter);
        if !Arc::ptr_eq(&self.hasher, env.hasher) {
            self.hasher = Arc::clone(env.hasher);
        }
        self.settings = *env.settings;
        self.faults = env.faults;
        (self.count, self.now, self.now_us) = (env.shards, env.now, env.now_us);
        (self.db, self.client, self.no_touch) = (usize::from(item.db), item.client, item.no_touch);
        (self.readonly, self.has_written, self.strayed) = (readonly, false, false);
        (self.why, self.since_ns, self.is_known) = (None, None, false);
        self.is_refused = !env.is_admitted && env.scripting.status.refuses_writes();
        self.tracks = item.tracks;
        self.attempt = item.attempt;
        self.shown = env.shown.map(|_| Vec::new());
        self.leaves = env.leaves && item.attempt != Attempt::Alone;
        self.swap(stores);
        self.declared.clear();
        let everywhere = item.attempt == Attempt::Everywhere && self.count > 1;
        if everywhere || self.scripting.strict_keys {
            self.declared_shards.clear();
            for key in keys {
                self.declared_shards.insert(self.hasher.place(key, self.count));
                if self.scripting.strict_keys {
                    self.declared.push(key.into());
                }
            }
        }
        self.marks.clear();
        self.is_open = self.leaves && !readonly;
        if self.undo.len() < self.held {
            self.undo.resize_with(self.held, Undo::default);
        }
        for (shard, undo) in self.shards[..self.held].iter_mut().zip(&mut self.undo) {
            self.marks.push(shard.log.mark());
            if self.is_open {
                shard.begin_undo(undo);
            }
        }
    }

    /// It calls a function, by these words.
    pub(super) fn note_call(&mut self, data: &[u8], words: &[Arg]) {
        let (to, ranges) = &mut self.call;
        for word in words {
            ranges.push(Arg { start: to.len() as u32, len: word.len });
            to.extend_from_slice(word.get(data));
        }
    }

    /// What is known of the call while it takes long.
    fn long_call(&self) -> Option<LongCall> {
        let (data, words) = self.call.clone();
        let function = String::from_utf8_lossy(words.get(1)?.get(&data)).into_owned();
        Some(LongCall { function, data, words, since: self.now })
    }

    /// Lets the shards of the request and those here change places.
    fn swap(&mut self, stores: &mut Stores<'_>) {
        let shards = stores.boxes();
        for (at, shard) in shards.iter_mut().enumerate() {
            if self.shards.len() == at {
                self.shards.push(Box::new(shard.stand_in()));
            }
            std::mem::swap(shard, &mut self.shards[at]);
        }
        self.held = shards.len();
    }

    pub(super) fn end(&mut self, env: &Env<'_>, stores: &mut Stores<'_>, figures: &mut Figures) {
        self.swap(stores);
        self.meter.end_within(env.meter);
        self.said.clear();
        self.shown = None;
        self.call.0.clear();
        self.call.1.clear();
        if self.call.0.capacity() > KEEP_BYTES {
            self.call = Default::default();
        }
        if self.is_known {
            self.scripting.net.scripts.ends();
        }
        figures.add_errors(&mut self.figures);
    }

    /// What it has done, said and shown is to be seen.
    pub(super) fn succeed(&mut self, env: &Env<'_>) {
        self.keep();
        env.said.borrow_mut().append(&mut self.said);
        if let Some(shown) = env.shown {
            shown.borrow_mut().extend(self.shown.take().into_iter().flatten());
        }
    }

    /// What was done stays.
    fn keep(&mut self) {
        if std::mem::take(&mut self.is_open) {
            let shards = self.shards[..self.held].iter_mut().zip(&mut self.undo);
            shards.for_each(|(shard, undo)| shard.keep(undo));
        }
    }

    /// It was stopped: what now?
    pub(super) fn stopped(
        &mut self,
        name: &str,
        reach: &Reach,
        at: Option<(String, usize)>,
        out: &mut Vec<u8>,
        proto: Proto,
    ) -> Ran {
        let why = self.why.expect("who stops a script says why");
        let text = match why {
            Why::Undeclared | Why::Heavy | Why::Long => {
                debug_assert!(self.leaves, "it has somewhere to go");
                self.take_back();
                if why == Why::Long {
                    return Ran::Again(Attempt::Alone);
                }
                reach.needed_all();
                return Ran::Again(Attempt::Everywhere);
            }
            Why::Killed => "ERR Script killed by user with SCRIPT KILL...",
            Why::ServerEnds => {
                self.take_back();
                "ERR The server ends, and the script with it..."
            }
        };
        let place = at.map(|(source, line)| format!(", on {source}:{line}.")).unwrap_or_default();
        let text = format!("{text} script: {name}{place}");
        Reply::new(out, proto).error(&text);
        self.figures.count_error(text.as_bytes());
        Ran::Done
    }

    /// Takes everything back; what cannot be, at least does not get into the log.
    fn take_back(&mut self) {
        if self.faults.script_not_taken_back {
            return self.keep();
        }
        let is_open = std::mem::take(&mut self.is_open);
        for (at, shard) in self.shards[..self.held].iter_mut().enumerate() {
            if is_open {
                shard.undo(&mut self.undo[at], self.now);
            } else {
                shard.log.back_to(self.marks[at]);
            }
        }
    }

    fn stop<T>(&mut self, why: Why) -> Result<T, Stop> {
        self.why = Some(why);
        Err(Stop)
    }

    fn has_all(&self) -> bool {
        self.held == self.count
    }

    fn has(&self, shard: usize) -> bool {
        self.has_all() || self.shards[..self.held].binary_search_by_key(&shard, |s| s.index).is_ok()
    }

    /// The row that words name.
    ///
    /// Errors: there is none, or it takes another number of words; with the row, if it is known.
    fn find(&self, data: &[u8], words: &[Arg]) -> Result<RowId, (Option<RowId>, &'static str)> {
        const ARITY: &str = "ERR Wrong number of args calling Redis command from script";
        match self.table.find(words[0].get(data), words.get(1).map(|word| word.get(data))) {
            Found::Row(id) if self.table.row(id).spec.arity.accepts(words.len()) => Ok(id),
            Found::Row(id) | Found::MissingSubcommand(id) => Err((Some(id), ARITY)),
            Found::UnknownCommand | Found::UnknownSubcommand(_) => {
                Err((None, "ERR Unknown Redis command called from script"))
            }
        }
    }

    /// Why a command may not be called, whatever its keys.
    fn refusal(&self, row: &Row) -> Option<String> {
        let flags = row.spec.flags;
        if flags.has(Flags::NOSCRIPT) {
            return Some("ERR This Redis command is not allowed from script".into());
        }
        if self.readonly && (flags.has(Flags::WRITE) || flags.has(Flags::PAUSED_AS_WRITE)) {
            return Some("ERR Write commands are not allowed from read-only scripts.".into());
        }
        (self.is_refused && flags.has(Flags::WRITE)).then(|| self.scripting.status.refusal())
    }

    /// Where a command of the store runs.
    ///
    /// Errors: not on what the script has (`Ok(None)`: that is said in the reply).
    fn place(&mut self, row: &Row, data: &[u8], words: &[Arg]) -> Result<Result<Place, &'static str>, Stop> {
        const STRICT: &str = "ERR Script attempted to access a key it did not declare (script-strict-keys is on)";
        let word = |i: usize| words[i].get(data);
        let (mut needs_all, mut is_declared, mut missing, mut strays) = (false, true, false, false);
        let place = match row.spec.spread {
            Spread::All { join } => {
                needs_all = true;
                Place::Each(join)
            }
            Spread::Cursor { at } => {
                let cursor = number::parse_i64(word(usize::from(at))).unwrap_or(0).max(0) as usize;
                needs_all = !self.has(cursor % self.count);
                is_declared = false;
                Place::Shard((cursor % self.count) as u16)
            }
            _ => Place::Keys,
        };
        needs_all |= row.any_shard && may_be_anywhere(row.spec, words.len(), word);
        let strict = self.scripting.strict_keys;
        if place == Place::Keys && (strict || self.count > 1) {
            keys_of(row.spec, words.len(), word, |at| {
                let shard = self.hasher.place(word(at), self.count);
                missing |= !self.has(shard);
                strays |= self.attempt == Attempt::Everywhere && !self.declared_shards.contains(shard);
                is_declared &= !strict || self.declared.iter().any(|key| **key == *word(at));
            });
        }
        if strict && (needs_all || !is_declared) {
            return Ok(Err(STRICT));
        }
        self.strayed |= strays || needs_all;
        if missing || needs_all && !self.has_all() {
            return self.stop(Why::Undeclared);
        }
        Ok(Ok(place))
    }

    /// A command is about to write: what it changes must be known, as long as it may have to be taken back.
    fn prepare(&mut self, row: &Row, place: Place, data: &[u8], words: &[Arg]) -> Result<(), Stop> {
        if !std::mem::replace(&mut self.has_written, true) && self.is_known {
            self.scripting.net.scripts.has_written();
        }
        if !self.is_open {
            return Ok(());
        }
        let mut is_light = place == Place::Keys && !row.spec.flags.has(Flags::WRITES_ELSEWHERE);
        if is_light {
            let Running { shards, held, undo, hasher, count, db, now, .. } = self;
            let word = |i: usize| words[i].get(data);
            keys_of(row.spec, words.len(), word, |at| {
                let key = hasher.key(word(at));
                let index = hasher.place_key(key, *count);
                let shards = &mut shards[..*held];
                let at = if shards.len() == 1 { 0 } else { shards.partition_point(|shard| shard.index < index) };
                is_light &= shards[at].remember(&mut undo[at], *db, key, *now);
            });
        }
        if is_light {
            return Ok(());
        }
        if self.has_all() {
            // It can need nothing else, and goes on here to its end.
            self.strayed |= self.count > 1;
            self.keep();
            return Ok(());
        }
        self.stop(Why::Heavy)
    }

    /// Shows a command that has run to monitors, if there are some. (No script may call what is not shown.)
    #[inline]
    fn show(&mut self, data: &[u8], words: &[Arg]) {
        if let Some(shown) = &mut self.shown {
            write_line(shown, self.now_us, self.db, "lua", words.iter().map(|word| word.get(data)));
        }
    }

    fn refuse(&mut self, text: &str, proto: Proto, out: &mut Vec<u8>) {
        Reply::new(out, proto).error(text);
        self.figures.count_error(text.as_bytes());
    }
}

impl Commands for Box<Running> {
    fn call(&mut self, data: &[u8], words: &[Arg], proto: Proto, out: &mut Vec<u8>) -> Result<(), Stop> {
        let id = match self.find(data, words) {
            Ok(id) => id,
            Err((row, text)) => {
                row.into_iter().for_each(|row| self.meter.rejected(row));
                self.refuse(text, proto, out);
                return Ok(());
            }
        };
        let table = self.table;
        let row = table.row(id);
        if let Some(text) = self.refusal(row) {
            self.meter.rejected(id);
            self.refuse(&text, proto, out);
            return Ok(());
        }
        if let Handler::Store(_) = row.spec.handler {
            // What would wait without a word for it, and is allowed, takes what is there or nothing.
            if waits_by_option(row) && may_wait(row, data, words) {
                self.meter.rejected(id);
                let name = String::from_utf8_lossy(words[0].get(data));
                self.refuse(&format!("ERR {name} command is not allowed with BLOCK option from scripts"), proto, out);
                return Ok(());
            }
            let place = match self.place(row, data, words)? {
                Ok(place) => place,
                Err(text) => {
                    self.meter.rejected(id);
                    self.refuse(text, proto, out);
                    return Ok(());
                }
            };
            if row.spec.flags.has(Flags::WRITE) {
                self.prepare(row, place, data, words)?;
            }
            let item = Item {
                db: self.db as u16,
                proto,
                no_touch: self.no_touch,
                tracks: self.tracks,
                words_len: words.len() as u32,
                client: self.client,
                ..Item::new(id, Dest::Ticket { conn: 0, ticket: 0 })
            };
            let Running { scripting, hasher, settings, shards, held, count, now, now_us, figures, meter, .. } =
                &mut **self;
            let env = Env {
                shards: *count,
                sliced: false,
                now: *now,
                now_us: *now_us,
                settings,
                hasher,
                faults: Faults::NONE,
                meter,
                scripting,
                // No script is run by a script.
                said: &RefCell::default(),
                shown: None,
                is_admitted: true,
                leaves: false,
            };
            if let many @ [_, _, ..] = &mut shards[..*held] {
                // What comes later is ready later, whichever shard it is on.
                many.iter_mut().for_each(|shard| shard.waits.at_step(shard.waits.step() + 1));
            }
            let mut stores = match &mut shards[..*held] {
                [one] => Stores::One(one),
                many => Stores::Many(many),
            };
            env.run_at(&mut stores, table, place, &item, (data, words, &[]), out, figures);
            meter.end();
            self.show(data, words);
            return Ok(());
        }
        if let Spread::Channel { shard } = row.spec.spread {
            self.meter.call(id, true);
            let listeners = self.scripting.publish(&self.hasher, (id, shard), data, words, &mut self.said);
            Reply::new(out, proto).int(listeners as i64);
            self.meter.end();
            self.show(data, words);
            return Ok(());
        }
        let Some(handler) = commands::find(id) else {
            self.refuse("ERR This Redis command is not allowed from script", proto, out);
            return Ok(());
        };
        self.meter.call(id, true);
        let hasher = Arc::clone(&self.hasher);
        let mut args = Args::new(data, words, row.name_words, &hasher, Known::NONE);
        if let Err(error) = handler(self, &mut args, &mut Reply::new(out, proto)) {
            out.clear();
            self.meter.failed(id);
            self.refuse(&error.to_string(), proto, out);
        }
        self.meter.end();
        self.show(data, words);
        Ok(())
    }

    fn is_command(&mut self, data: &[u8], words: &[Arg]) -> bool {
        self.find(data, words).is_ok()
    }

    fn go_on(&mut self) -> Result<(), Stop> {
        let scripting = &self.scripting;
        if scripting.net.scripts.must_end(self.has_written) {
            return self.stop(Why::ServerEnds);
        }
        let now_ns = scripting.system.ns();
        let took_us = now_ns.saturating_sub(*self.since_ns.get_or_insert(now_ns)) / 1000;
        if took_us > WORKER_US || self.attempt == Attempt::Alone {
            if self.leaves && (self.is_open || self.readonly) {
                return self.stop(Why::Long);
            }
            let scripts = &scripting.net.scripts;
            if !self.is_known {
                self.is_known = scripts.begins(self.now, self.has_written, self.long_call());
            }
            if self.is_known && scripts.is_killed() && !self.has_written {
                return self.stop(Why::Killed);
            }
        }
        Ok(())
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        if level >= self.scripting.log_level {
            self.scripting.system.log(&String::from_utf8_lossy(text));
        }
    }
}

impl Scripting {
    /// Publishes something when what is being run is over. Gives how many would get it now. `shard`: to a shard channel.
    pub(in crate::engine) fn publish(
        &self,
        hasher: &KeyHasher,
        (row, shard): (RowId, bool),
        data: &[u8],
        words: &[Arg],
        said: &mut Vec<Message>,
    ) -> usize {
        let kind = if shard { Kind::Shard } else { Kind::Channel };
        let (channel, text) = (words[1].get(data), words[2].get(data));
        said.push(Message { row, channel: channel.into(), text: text.into() });
        self.net.listeners(kind, hasher.hash(channel), channel)
    }

    fn is_same(&self, other: &Scripting) -> bool {
        Arc::ptr_eq(&self.net, &other.net)
            && Arc::ptr_eq(&self.status, &other.status)
            && Arc::ptr_eq(&self.system, &other.system)
            && self.strict_keys == other.strict_keys
            && self.databases == other.databases
            && self.log_level == other.log_level
    }
}
