//! What a thread has for scripts and functions: the interpreter, what is compiled, and the way from a request to its run.

use super::cache::{Script, Sha};
use super::run::Running;
use super::{Attempt, Scripting, libraries};
use crate::engine::costs::Words;
use crate::engine::mail::Item;
use crate::engine::net::Net;
use crate::engine::stats::Figures;
use crate::engine::worker::Env;
use crate::lua::{Callback, Compiled, Ended, Interpreter, sha1_hex};
use kv_core::command::{CommandError, ScriptName, ScriptRow, Stores};
use kv_core::resp::{Arg, Reply, number};
use kv_core::store::{Callable, Libraries, Reach};
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
            now.succeed(env);
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
