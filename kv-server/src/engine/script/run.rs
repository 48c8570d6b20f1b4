//! One run of a script: the shards that it has, its commands, and how it ends.

use super::cache::{LongCall, Script, Sha};
use super::{Attempt, Scripting, WORKER_US, commands, libraries};
use crate::config::LogLevel;
use crate::engine::costs::{Meter, Words};
use crate::engine::mail::{Dest, Item};
use crate::engine::monitor::write_line;
use crate::engine::net::{Faults, Net};
use crate::engine::pubsub::{Kind, Message};
use crate::engine::stats::Figures;
use crate::engine::transaction::{Place, ShardSet};
use crate::engine::worker::{Env, may_wait, waits_by_option};
use crate::lua::{Callback, Commands, Compiled, Ended, Interpreter, Stop, sha1_hex};
use kv_core::command::{
    Args, CommandError, Flags, Found, Handler, Known, Row, RowId, ScriptName, ScriptRow, Settings, Spread, Stores,
    Table, keys_of, may_be_anywhere, table,
};
use kv_core::resp::{Arg, Proto, Reply, number};
use kv_core::store::{Callable, KeyHasher, Libraries, LogMark, Reach, Shard, Undo};
use kv_core::types::library::{Function, FunctionFlags};
use rustc_hash::FxBuildHasher;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// What a request asks for.
pub(in crate::engine) struct Asked<'a> {
    pub script: ScriptRow,
    pub item: &'a Item,
    pub data: &'a [u8],
    pub words: &'a [Arg],
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Ran {
    /// It is answered.
    Done,
    /// It has to be run anew, as this attempt. Nothing has happened yet.
    Again(Attempt),
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

/// Runs a script on the shards that its request was given, and writes its reply, or an error.
pub(in crate::engine) fn run(
    env: &Env<'_>,
    stores: Stores<'_>,
    asked: &Asked<'_>,
    out: &mut Vec<u8>,
    figures: &mut Figures,
) -> Ran {
    BENCH.with_borrow_mut(|bench| bench.get_or_insert_with(Bench::new).run(env, stores, asked, out, figures))
}

/// Whether what a request asks for is to be run on all shards from the start. `libraries`: those of the own shard, if it is here.
pub(in crate::engine) fn begins_everywhere(
    scripting: &Scripting,
    libraries: Option<&Arc<Libraries>>,
    script: ScriptRow,
    word: &[u8],
) -> bool {
    let ScriptRow::Run { by, .. } = script else { return true };
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(Bench::new);
        if by == ScriptName::Function {
            libraries.into_iter().for_each(|libraries| bench.see(libraries));
            return bench.libraries.find(word).is_some_and(|function| function.reach.is_everywhere());
        }
        let Some(sha) = sha_of(by, word) else { return false };
        // It is made known by its run, if at all.
        let is_known = bench.compiled.contains_key(&sha) || scripting.net.scripts.find(&sha).is_some();
        is_known && bench.find(scripting, by, word).is_ok_and(|ready| ready.script.reach.is_everywhere())
    })
}

/// Makes a script known without running it.
///
/// Errors: what is wrong with it.
pub(in crate::engine) fn load(scripting: &Scripting, code: &[u8]) -> Result<Sha, Vec<u8>> {
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(Bench::new);
        let ready = bench.find(scripting, ScriptName::Code, code)?;
        scripting.net.scripts.add(ready.script.clone(), true);
        Ok(ready.script.sha)
    })
}

/// What a thread has for scripts.
pub(super) struct Bench {
    pub lua: Interpreter<Box<Running>>,
    compiled: HashMap<Sha, Rc<Ready>, FxBuildHasher>,
    /// Whose scripts these are: in tests a thread has several servers, one after the other.
    net: Weak<Net>,
    /// Those that a shard had last.
    libraries: Arc<Libraries>,
    /// Functions of these libraries whose code has been run.
    callbacks: HashMap<*const Callable, Rc<Registered>, FxBuildHasher>,
    /// Kept for the next run.
    running: Option<Box<Running>>,
}

/// A script that this thread has compiled.
struct Ready {
    script: Arc<Script>,
    compiled: Compiled,
}

/// A function whose library this thread has run.
struct Registered {
    callable: Arc<Callable>,
    callback: Callback,
}

/// Buffers above this size are let go.
const KEEP_BYTES: usize = 256 * 1024;

/// With more compiled scripts than this, those that are forgotten are looked for.
const COMPILED_MIN: usize = 1024;

impl Bench {
    fn new() -> Bench {
        Bench {
            lua: Interpreter::default(),
            compiled: HashMap::default(),
            net: Weak::new(),
            libraries: Arc::default(),
            callbacks: HashMap::default(),
            running: None,
        }
    }

    /// These are the libraries of the shards at hand.
    pub fn see(&mut self, libraries: &Arc<Libraries>) {
        if !Arc::ptr_eq(libraries, &self.libraries) {
            self.libraries = Arc::clone(libraries);
            self.callbacks.retain(|_, known| libraries.has(&known.callable));
        }
    }

    /// The code of a library has been run.
    pub fn add_callbacks(&mut self, callbacks: impl IntoIterator<Item = (Function, Callback)>) {
        for (function, callback) in callbacks {
            if let Some(callable) = self.libraries.find(&function.name) {
                let known = Registered { callable: Arc::clone(callable), callback };
                self.callbacks.insert(Arc::as_ptr(callable), Rc::new(known));
            }
        }
    }

    /// Finds a function, and runs the code of its library unless it has been run.
    ///
    /// Errors: an error reply.
    fn find_function(&mut self, scripting: &Scripting, name: &[u8]) -> Result<Rc<Registered>, Vec<u8>> {
        let callable = self.libraries.find(name).ok_or_else(|| b"ERR Function not found".to_vec())?;
        let at = Arc::as_ptr(callable);
        if let Some(known) = self.callbacks.get(&at) {
            return Ok(known.clone());
        }
        let library = Arc::clone(&callable.library);
        let registered = libraries::register(&self.lua, scripting, library.code())?;
        self.add_callbacks(registered.into_iter().filter(|(function, _)| library.functions().contains(function)));
        let missing = || b"ERR The code of the library does not register the function every time".to_vec();
        self.callbacks.get(&at).cloned().ok_or_else(missing)
    }

    /// Finds a script, and compiles it unless it is compiled.
    ///
    /// Errors: an error reply.
    fn find(&mut self, scripting: &Scripting, by: ScriptName, word: &[u8]) -> Result<Rc<Ready>, Vec<u8>> {
        if !std::ptr::eq(self.net.as_ptr(), Arc::as_ptr(&scripting.net)) {
            self.net = Arc::downgrade(&scripting.net);
            self.compiled.clear();
        }
        // Most name it as it is kept.
        if by == ScriptName::Sha1
            && let Some(ready) = self.ready(word)
        {
            return Ok(ready);
        }
        let sha = sha_of(by, word).ok_or_else(no_script)?;
        if let Some(ready) = self.ready(&sha) {
            return Ok(ready);
        }
        let scripts = &scripting.net.scripts;
        let (script, is_new) = match scripts.find(&sha) {
            Some(script) => (script, false),
            None if by != ScriptName::Code => return Err(no_script()),
            None => (Arc::new(Script::new(word).map_err(|error| error.to_string().into_bytes())?), true),
        };
        let compiled = self
            .lua
            .compile(script.code())
            .map_err(|text| [&b"ERR Error compiling script (new function): "[..], &text].concat())?;
        let script = if is_new { scripts.add(script, false) } else { script };
        let ready = Rc::new(Ready { script, compiled });
        self.compiled.insert(sha, ready.clone());
        if self.compiled.len() > COMPILED_MIN.max(2 * scripts.known().scripts) {
            self.compiled.retain(|_, ready| !ready.script.is_forgotten());
        }
        Ok(ready)
    }

    /// One that is compiled, and not forgotten.
    fn ready(&self, sha: &[u8]) -> Option<Rc<Ready>> {
        let ready = self.compiled.get(sha).filter(|ready| !ready.script.is_forgotten())?;
        ready.script.is_used_now();
        Some(ready.clone())
    }

    fn run(
        &mut self,
        env: &Env<'_>,
        stores: Stores<'_>,
        asked: &Asked<'_>,
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) -> Ran {
        let &Asked { item, data, words, .. } = asked;
        env.meter.call(item.row, true);
        let mut stores = stores;
        let ran = match asked.script {
            ScriptRow::Run { by, readonly } => self.attempt(env, &mut stores, asked, (by, readonly), out, figures),
            ScriptRow::Libraries => libraries::change(self, env, &mut stores, asked, out),
        };
        let (ran, failed) = ran.unwrap_or_else(|text| {
            Reply::new(out, item.proto).error_bytes(&text);
            figures.count_error(&text);
            (Ran::Done, true)
        });
        if failed {
            env.meter.failed(item.row);
        }
        match ran {
            Ran::Done => env.meter.end_call(item.client, || Words::of(data, words)),
            Ran::Again(_) => env.meter.begins_anew(),
        }
        ran
    }

    /// What a request asks for, and how many keys it declares.
    ///
    /// Errors: an error reply.
    fn named(&mut self, scripting: &Scripting, by: ScriptName, asked: &Asked<'_>) -> Result<(Subject, usize), Vec<u8>> {
        let word = |i: usize| asked.words[i].get(asked.data);
        let keys = |unreadable: CommandError| {
            number_of_keys(word(2), asked.words.len() - 3, unreadable).map_err(|error| error.to_string().into_bytes())
        };
        if by == ScriptName::Function {
            let function = self.find_function(scripting, word(1))?;
            return Ok((Subject::Function(function), keys(CommandError::err("Bad number of keys provided"))?));
        }
        let keys = keys(CommandError::NotInteger)?;
        Ok((Subject::Script(self.find(scripting, by, word(1))?), keys))
    }

    /// Runs it; also says whether it has ended with an error of its own.
    ///
    /// Errors: an error reply; it has not run.
    fn attempt(
        &mut self,
        env: &Env<'_>,
        stores: &mut Stores<'_>,
        asked: &Asked<'_>,
        (by, readonly): (ScriptName, bool),
        out: &mut Vec<u8>,
        figures: &mut Figures,
    ) -> Result<(Ran, bool), Vec<u8>> {
        let &Asked { item, data, words, .. } = asked;
        if by == ScriptName::Function {
            self.see(&stores.each().next().expect("it has a shard").libraries);
        }
        let (subject, keys) = self.named(env.scripting, by, asked)?;
        if subject.declares_writes() {
            if readonly {
                return Err(b"ERR Can not execute a script with write flag using *_ro command.".to_vec());
            }
            if !env.is_admitted && env.scripting.status.refuses_writes() {
                return Err(env.scripting.status.refusal().into_bytes());
            }
        }
        let mut now = self.running.take().unwrap_or_else(|| Box::new(Running::new(env)));
        let (name, reach) = (|| subject.name(), subject.reach());
        let readonly = readonly || subject.is_readonly();
        now.begin(env, stores, item, readonly, words[3..3 + keys].iter().map(|w| w.get(data)));
        if by == ScriptName::Function {
            now.note_call(data, words);
        }
        let before = out.len();
        let mut reply = Reply::new(out, item.proto);
        let (keys, argv) = words[3..].split_at(keys);
        let (keys, argv) = (keys.iter().map(|w| w.get(data)), argv.iter().map(|w| w.get(data)));
        let (mut now, ended) = match &subject {
            Subject::Script(ready) => self.lua.run(&ready.compiled, name, keys, argv, now, &mut reply),
            Subject::Function(known) => self.lua.call_function(&known.callback, name, keys, argv, now, &mut reply),
        };
        let failed = !matches!(ended, Ended::Replied);
        let ran = match ended {
            Ended::Replied | Ended::Failed { counted: true } => Ran::Done,
            Ended::Failed { counted: false } => {
                let text = out[before + 1..].trim_ascii_end().to_vec();
                now.figures.count_error(&text);
                Ran::Done
            }
            Ended::Stopped { at } => {
                out.truncate(before);
                now.stopped(name(), reach, at, out, item.proto)
            }
        };
        if ran == Ran::Done {
            now.keep();
            env.said.borrow_mut().append(&mut now.said);
            if let Some(shown) = env.shown {
                shown.borrow_mut().extend(now.shown.take().into_iter().flatten());
            }
            if item.attempt == Attempt::Everywhere && !now.strayed {
                reach.needed_no_more();
            }
        }
        now.end(env, stores, figures);
        self.running = Some(now);
        Ok((ran, failed && ran == Ran::Done))
    }
}

/// What is run.
enum Subject {
    Script(Rc<Ready>),
    Function(Rc<Registered>),
}

impl Subject {
    fn name(&self) -> &str {
        match self {
            Subject::Script(ready) => ready.script.name(),
            Subject::Function(known) => {
                std::str::from_utf8(&known.callable.function().name).expect("letters, digits and underscores")
            }
        }
    }

    fn reach(&self) -> &Reach {
        match self {
            Subject::Script(ready) => &ready.script.reach,
            Subject::Function(known) => &known.callable.reach,
        }
    }

    /// It says that it may write nothing.
    fn is_readonly(&self) -> bool {
        match self {
            Subject::Script(ready) => ready.script.no_writes,
            Subject::Function(known) => known.callable.function().flags.has(FunctionFlags::NO_WRITES),
        }
    }

    /// It says what it does, and does not say that it writes nothing.
    fn declares_writes(&self) -> bool {
        !self.is_readonly() && !matches!(self, Subject::Script(ready) if !ready.script.declares)
    }
}

/// Under which name a script is known; `None`: under this one there can be none.
fn sha_of(by: ScriptName, word: &[u8]) -> Option<Sha> {
    if by == ScriptName::Code {
        return Some(sha1_hex(word));
    }
    let mut sha = Sha::try_from(word).ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

fn no_script() -> Vec<u8> {
    b"NOSCRIPT No matching script. Please use EVAL.".to_vec()
}

/// How many of `words` are keys. Errors: too many, less than none, or `unreadable`.
fn number_of_keys(text: &[u8], words: usize, unreadable: CommandError) -> Result<usize, CommandError> {
    let keys = number::parse_i64(text).ok_or(unreadable)?;
    match usize::try_from(keys) {
        Err(_) => Err(CommandError::err("Number of keys can't be negative")),
        Ok(keys) if keys > words => Err(CommandError::err("Number of keys can't be greater than number of args")),
        Ok(keys) => Ok(keys),
    }
}

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
    fn new(env: &Env<'_>) -> Running {
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

    fn begin<'a>(
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
    fn note_call(&mut self, data: &[u8], words: &[Arg]) {
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

    fn end(&mut self, env: &Env<'_>, stores: &mut Stores<'_>, figures: &mut Figures) {
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

    /// What was done stays.
    fn keep(&mut self) {
        if std::mem::take(&mut self.is_open) {
            let shards = self.shards[..self.held].iter_mut().zip(&mut self.undo);
            shards.for_each(|(shard, undo)| shard.keep(undo));
        }
    }

    /// It was stopped: what now?
    fn stopped(
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
