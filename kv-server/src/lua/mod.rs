//! Lua 5.1 as scripts find it in Redis: one interpreter, the sandbox around what it runs, and the libraries.
//!
//! ```text
//! Interpreter     compiles scripts, and runs one at a time; belongs to one thread
//!   sandbox.lua   what scripts see: the functions that are left of Lua, and tables that cannot be written to
//!   api           redis.call and all else that is called `redis.`
//!   library       code that registers functions, and calls of these
//!   reply         replies become Lua's values, and these replies
//!   cjson, cmsgpack, pack (struct), bit, math      libraries
//! ```
//!
//! What a script does to the world is [`Commands`], an argument that is handed in for the time of a run and handed back at its
//! end: nothing here knows a shard, a session or a row.
//!
//! **Nothing is left behind.** A script finds no table of an earlier one: it cannot make globals, and tables that all scripts see are
//! faces of others, without elements of their own. (The functions of a library share its local variables, as they do in Redis; but each
//! interpreter has its own.) What libraries remember (formats of cjson) begins anew
//! with each script, so that it does not matter which thread runs it; only chance goes on. What would reach memory that is not Lua's is not there: no
//! bytecode, no debug library, no finalizers.
//!
//! **Errors** raised by Rust travel through Lua as values of mlua's own, which scripts must never see: whatever hands an error
//! to a script (`pcall`, `xpcall`, `coroutine.resume`) turns it into the string or the table that it is in Redis ([`Raised`]).

mod api;
mod args;
mod bit;
mod cjson;
mod cmsgpack;
mod fuzz;
mod library;
mod math;
mod pack;
mod reply;
#[cfg(test)]
mod tests;

pub use api::sha1_hex;
pub use fuzz::{fuzz_libraries, random_text};
pub use library::{Callback, Desk};

use crate::config::LogLevel;
use args::Raised;
use kv_core::resp::{Arg, Proto, Reply};
use mlua::{
    BString, ChunkMode, Either, Error, Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib,
    String as LuaString, Table, Value, VmState,
};
use std::cell::RefCell;
use std::rc::Rc;

/// The run must end, whatever the script would say to it. Who stops it remembers why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// What a script may do.
pub trait Commands: 'static {
    /// Runs a command. Its reply, in `proto`, or the error that it is refused with, goes into `out`.
    fn call(&mut self, data: &[u8], words: &[Arg], proto: Proto, out: &mut Vec<u8>) -> Result<(), Stop>;

    /// Whether there is a command that the words name; none may be forbidden to the script's user.
    fn is_command(&mut self, data: &[u8], words: &[Arg]) -> bool;

    /// Is called again and again while a script runs.
    fn go_on(&mut self) -> Result<(), Stop>;

    fn log(&mut self, level: LogLevel, text: &[u8]);
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The reply is written.
    Replied,
    /// An error is written in place of a reply. `counted`: it was one of a command, and has been counted as such.
    Failed { counted: bool },
    /// It was stopped, and nothing is written; where: source and line, if it was in Lua's code.
    Stopped { at: Option<(String, usize)> },
}

/// What is done with the instructions of a script in between: some tenths of a millisecond's worth.
const INSTRUCTIONS: u32 = 20_000;

/// Nothing of a script is named like this.
const SANDBOX: &str = "=[sandbox]";
pub const USER_SCRIPT: &str = "@user_script";

/// What calls from Lua find: those of the script that runs.
struct Slot<C> {
    commands: Option<C>,
    /// Or those of the code of a library.
    registering: Option<library::Registering>,
    /// What runs is a function: code that it compiles sees what it sees.
    in_library: bool,
    /// In which protocol the script wants replies.
    proto: Proto,
    is_stopped: bool,
    stopped_at: Option<(String, usize)>,
    /// The words and the reply of a call; empty between calls.
    data: Vec<u8>,
    words: Vec<Arg>,
    reply: Vec<u8>,
}

type Shared<C> = Rc<RefCell<Slot<C>>>;

pub struct Interpreter<C> {
    lua: Lua,
    slot: Shared<C>,
    /// What scripts see as their globals.
    sandbox: Table,
    /// What functions see as theirs, and the code of libraries.
    library: Table,
    /// Runs a script with KEYS and ARGV; its result, or the error as a table with its place. Likewise for a function, and for the code
    /// of a library.
    runner: Function,
    caller: Function,
    registrar: Function,
    formats: cjson::Formats,
}

/// A script, compiled.
#[derive(Clone)]
pub struct Compiled(Function);

/// Buffers above this size are let go.
const KEEP_BYTES: usize = 256 * 1024;

impl<C: Commands> Default for Interpreter<C> {
    /// Panics: when there is no memory for it.
    fn default() -> Interpreter<C> {
        Interpreter::make().expect("an interpreter is made of what is in this program")
    }
}

impl<C: Commands> Interpreter<C> {
    fn make() -> mlua::Result<Interpreter<C>> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let slot = Rc::new(RefCell::new(Slot {
            commands: None,
            registering: None,
            in_library: false,
            proto: Proto::Resp2,
            is_stopped: false,
            stopped_at: None,
            data: Vec::new(),
            words: Vec::new(),
            reply: Vec::new(),
        }));
        let formats = cjson::Formats::default();
        let natives = lua.create_table()?;
        let stopped = slot.clone();
        let plain = move |lua: &Lua, error| Ok((args::plain(lua, error)?, stopped.borrow().is_stopped));
        natives.raw_set("plain", lua.create_function(plain)?)?;
        natives.raw_set("locate", lua.create_function(args::locate)?)?;
        natives.raw_set("called_name", lua.create_function(|lua, level| Ok(args::called_name(lua, level)))?)?;
        let redis = api::table(&lua, &slot)?;
        natives.raw_set("registering", api::while_registering(&lua, &slot, &redis)?)?;
        natives.raw_set("redis", redis)?;
        natives.raw_set("cjson", cjson::table(&lua, &formats)?)?;
        natives.raw_set("cmsgpack", cmsgpack::table(&lua)?)?;
        natives.raw_set("struct", pack::table(&lua)?)?;
        natives.raw_set("bit", bit::table(&lua)?)?;
        math::replace(&lua, &math::Seed::default())?;
        let prelude = lua.load(include_str!("sandbox.lua")).set_name(SANDBOX).set_mode(ChunkMode::Text);
        let made: Table = prelude.call(natives)?;
        let (sandbox, library): (Table, Table) = (made.raw_get("sandbox")?, made.raw_get("library")?);
        // Code that is compiled by scripts lives in the sandbox, too.
        let load = {
            let (sandbox, library, slot) = (sandbox.clone(), library.clone(), slot.clone());
            lua.create_function(move |lua, (source, name): (LuaString, Option<LuaString>)| {
                let sandbox = if slot.borrow().in_library { &library } else { &sandbox };
                let name = name.as_ref().unwrap_or(&source).as_bytes().to_vec();
                match compile(lua, &source.as_bytes(), &name, sandbox) {
                    Ok(function) => Ok(values([Value::Function(function)])),
                    Err(text) => Ok(values([Value::Nil, Value::String(lua.create_string(text)?)])),
                }
            })?
        };
        made.raw_get::<Function>("accept")?.call::<()>(load)?;
        let (runner, caller, registrar) = (made.raw_get("run")?, made.raw_get("call")?, made.raw_get("register")?);
        let interpreter = Interpreter { lua, slot, sandbox, library, runner, caller, registrar, formats };
        interpreter.watch(INSTRUCTIONS)?;
        Ok(interpreter)
    }

    /// Looks at the script from time to time.
    fn watch(&self, instructions: u32) -> mlua::Result<()> {
        watch(&self.lua, &self.slot, instructions)
    }

    /// Compiles a script.
    ///
    /// Errors: what is wrong with it.
    pub fn compile(&self, source: &[u8]) -> Result<Compiled, Vec<u8>> {
        compile(&self.lua, source, USER_SCRIPT.as_bytes(), &self.sandbox).map(Compiled)
    }

    /// Runs a script, and writes its reply, or the error that it ended with. `name` is its name in errors.
    pub fn run<'a, 'n>(
        &self,
        script: &Compiled,
        name: impl Fn() -> &'n str,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        argv: impl ExactSizeIterator<Item = &'a [u8]>,
        commands: C,
        reply: &mut Reply<'_>,
    ) -> (C, Ended) {
        self.begin(commands, false);
        let result = (|| self.runner.call((&script.0, self.list(keys)?, self.list(argv)?)))();
        self.end(result, name, reply)
    }

    fn begin(&self, commands: C, in_library: bool) {
        let mut slot = self.slot.borrow_mut();
        slot.commands = Some(commands);
        slot.in_library = in_library;
        slot.proto = Proto::Resp2;
        (slot.is_stopped, slot.stopped_at) = (false, None);
        self.formats.restart();
    }

    /// Writes the reply of what has run, or the error that it ended with.
    fn end<'n>(
        &self,
        result: mlua::Result<(bool, Value)>,
        name: impl Fn() -> &'n str,
        reply: &mut Reply<'_>,
    ) -> (C, Ended) {
        let mut slot = self.slot.borrow_mut();
        let commands = slot.commands.take().expect("it was put there");
        if slot.data.capacity() > KEEP_BYTES || slot.reply.capacity() > KEEP_BYTES {
            (slot.data, slot.words, slot.reply) = (Vec::new(), Vec::new(), Vec::new());
        }
        let (at, proto) = (slot.stopped_at.take(), slot.proto);
        drop(slot);
        if self.end_stopped() {
            return (commands, Ended::Stopped { at });
        }
        let ended = match result {
            Ok((true, value)) => {
                reply::write(&value, proto, reply);
                Ended::Replied
            }
            Ok((false, error)) => self.fail(error, name(), reply),
            Err(error) => {
                reply.error(&format!("ERR Error running script {}, {error}", name()));
                Ended::Failed { counted: false }
            }
        };
        (commands, ended)
    }

    /// Whether what has run was stopped. What it was stopped with hit each of its instructions: that is over.
    fn end_stopped(&self) -> bool {
        let was_stopped = self.slot.borrow().is_stopped;
        if was_stopped {
            self.watch(INSTRUCTIONS).expect("as at the beginning");
        }
        was_stopped
    }

    /// Words as a table; `None` for none.
    fn list<'a>(&self, words: impl ExactSizeIterator<Item = &'a [u8]>) -> mlua::Result<Option<Table>> {
        // What is empty is made in Lua: that is quicker.
        (words.len() > 0).then(|| self.lua.create_sequence_from(words.map(word))).transpose()
    }

    /// The error of a script, with the place where it happened.
    fn fail(&self, error: Value, name: &str, reply: &mut Reply<'_>) -> Ended {
        let Value::Table(error) = error else {
            reply.error(&format!("ERR Error running script {name}, execution failure"));
            return Ended::Failed { counted: false };
        };
        let field = |name: &str| error.raw_get::<Value>(name).unwrap_or(Value::Nil);
        let mut text = match field("err") {
            Value::String(text) => text.as_bytes().to_vec(),
            _ => b"ERR unknown error".to_vec(),
        };
        if let (Value::String(source), Some(line)) = (field("source"), field("line").as_integer()) {
            text.extend_from_slice(format!(" script: {name}, on ").as_bytes());
            text.extend_from_slice(&source.as_bytes());
            text.extend_from_slice(format!(":{line}.").as_bytes());
        }
        reply.error_bytes(&text);
        Ended::Failed { counted: field("ignore_error_stats_update") == Value::Boolean(true) }
    }
}

fn watch<C: Commands>(lua: &Lua, slot: &Shared<C>, instructions: u32) -> mlua::Result<()> {
    let slot = slot.clone();
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(instructions), move |lua, debug| {
        {
            let slot = &mut *slot.borrow_mut();
            let is_over = match (&mut slot.commands, &mut slot.registering) {
                _ if slot.is_stopped => false,
                (Some(commands), _) => commands.go_on().is_err(),
                (None, Some(library)) => library.desk.is_over(),
                (None, None) => false,
            };
            if is_over {
                slot.is_stopped = true;
                let source = debug.source().source.map(|source| source.into_owned());
                slot.stopped_at = source.zip(debug.current_line());
            }
            let is_idle = slot.commands.is_none() && slot.registering.is_none();
            if !slot.is_stopped || is_idle {
                return Ok(VmState::Continue);
            }
        }
        // A script may catch this one, and each that follows.
        watch(lua, &slot, 1)?;
        Err(Error::external(Raised::text("the script was stopped")))
    })
}

/// Compiles code that sees `sandbox` as its globals.
///
/// Errors: what is wrong with it.
fn compile(lua: &Lua, source: &[u8], name: &[u8], sandbox: &Table) -> Result<Function, Vec<u8>> {
    // Lua's parser counts in signed 32 bits.
    if source.len() > i32::MAX as usize / 2 {
        return Err(b"the code is too long".to_vec());
    }
    let name: String = String::from_utf8_lossy(name).split('\0').next().unwrap_or_default().into();
    let chunk = lua.load(source).set_name(name).set_mode(ChunkMode::Text).set_environment(sandbox.clone());
    chunk.into_function().map_err(|error| match error {
        Error::SyntaxError { message, .. } => message.into_bytes(),
        other => other.to_string().into_bytes(),
    })
}

/// A string on its way into Lua. Text needs no handle for that, which is quicker.
fn word(bytes: &[u8]) -> Either<&str, BString> {
    std::str::from_utf8(bytes).map_or_else(|_| Either::Right(BString::from(bytes)), Either::Left)
}

/// Values to be returned to Lua.
fn values(values: impl IntoIterator<Item = Value>) -> MultiValue {
    values.into_iter().collect()
}
