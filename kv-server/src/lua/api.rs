//! What is called `redis.`: commands, replies, the log, and what is left of debugging and of control over replication.

use super::args::{Raised, number_or_text, to_i64};
use super::{Commands, LogLevel, Shared, Stop, library, reply};
use crate::engine::host::REDIS_VERSION;
use kv_core::resp::{Arg, Proto, number};
use mlua::{Error, Lua, MultiValue, Table, Value};
use sha1::{Digest, Sha1};

/// redis.LOG_*.
const LEVELS: [(&str, LogLevel); 4] = [
    ("LOG_DEBUG", LogLevel::Debug),
    ("LOG_VERBOSE", LogLevel::Verbose),
    ("LOG_NOTICE", LogLevel::Notice),
    ("LOG_WARNING", LogLevel::Warning),
];

/// redis.REPL_*: sets of bits.
const REPL: [(&str, u8); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// The hexadecimal digits of the SHA-1 of a text: what a script is called.
pub fn sha1_hex(text: &[u8]) -> [u8; 40] {
    let mut hex = [0; 40];
    for (at, byte) in Sha1::digest(text).iter().enumerate() {
        for (digit, bits) in [byte >> 4, byte & 15].into_iter().enumerate() {
            hex[2 * at + digit] = b"0123456789abcdef"[usize::from(bits)];
        }
    }
    hex
}

/// What the code of a library finds of it while it runs.
pub(super) fn while_registering<C: Commands>(lua: &Lua, slot: &Shared<C>, all: &Table) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for name in LEVELS.iter().map(|(name, _)| *name).chain(["log", "REDIS_VERSION", "REDIS_VERSION_NUM"]) {
        table.raw_set(name, all.raw_get::<Value>(name)?)?;
    }
    table.raw_set("register_function", library::register_function(lua, slot)?)?;
    Ok(table)
}

pub(super) fn table<C: Commands>(lua: &Lua, slot: &Shared<C>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let shared = slot.clone();
    let call = move |lua: &Lua, args: MultiValue| match command(lua, &shared, &args)? {
        Ok(value) => Ok(value),
        Err(raised) => Err(Error::external(raised)),
    };
    table.raw_set("call", lua.create_function(call)?)?;
    let shared = slot.clone();
    let pcall = move |lua: &Lua, args: MultiValue| match command(lua, &shared, &args)? {
        Ok(value) => Ok(value),
        Err(raised) => raised.into_value(lua),
    };
    table.raw_set("pcall", lua.create_function(pcall)?)?;

    table.raw_set("error_reply", lua.create_function(error_reply)?)?;
    let status_reply = |lua: &Lua, args: MultiValue| match one_string(&args) {
        Some(text) => {
            let table = lua.create_table()?;
            table.raw_set("ok", lua.create_string(text)?)?;
            Ok(Value::Table(table))
        }
        None => Raised::table("ERR wrong number or type of arguments").into_value(lua),
    };
    table.raw_set("status_reply", lua.create_function(status_reply)?)?;
    let sha1hex = |lua: &Lua, args: MultiValue| {
        let Some(value) = args.front().filter(|_| args.len() == 1) else {
            return raise("ERR wrong number of arguments");
        };
        let text = text_of(lua, value)?;
        lua.create_string(sha1_hex(&text.unwrap_or_default()))
    };
    table.raw_set("sha1hex", lua.create_function(sha1hex)?)?;

    let shared = slot.clone();
    let setresp = move |lua: &Lua, args: MultiValue| {
        if args.len() != 1 {
            return raise("ERR redis.setresp() requires one argument.");
        }
        shared.borrow_mut().proto = match number_or_text(lua, args.front())?.map(to_i64) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            _ => return raise("ERR RESP version must be 2 or 3."),
        };
        Ok(())
    };
    table.raw_set("setresp", lua.create_function(setresp)?)?;
    let shared = slot.clone();
    table.raw_set("log", lua.create_function(move |lua, args: MultiValue| log(lua, &shared, &args))?)?;
    for (level, name) in LEVELS.iter().map(|(name, level)| (*level as u8, *name)) {
        table.raw_set(name, level)?;
    }

    // Everything that is written is logged, whatever is set: a log that left something out could not be replayed.
    let set_repl = |lua: &Lua, args: MultiValue| {
        if args.len() != 1 {
            return raise("ERR redis.set_repl() requires two arguments.");
        }
        // What is no number counts as 0.
        match number_or_text(lua, args.front())?.map_or(0, to_i64) {
            0..4 => Ok(()),
            _ => raise("ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."),
        }
    };
    table.raw_set("set_repl", lua.create_function(set_repl)?)?;
    for (name, bits) in REPL {
        table.raw_set(name, bits)?;
    }
    table.raw_set("replicate_commands", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
    // There is no debugger that they would tell something.
    table.raw_set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)?;
    table.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)?;

    let shared = slot.clone();
    let acl_check_cmd = move |_: &Lua, args: MultiValue| {
        let mut slot = shared.borrow_mut();
        let slot = &mut *slot;
        if let Err(text) = collect(&args, &mut slot.data, &mut slot.words) {
            return raise(text);
        }
        match slot.commands.as_mut().map(|commands| commands.is_command(&slot.data, &slot.words)) {
            Some(true) => Ok(true),
            _ => raise("ERR Invalid command passed to redis.acl_check_cmd()"),
        }
    };
    table.raw_set("acl_check_cmd", lua.create_function(acl_check_cmd)?)?;

    table.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    let numbers = REDIS_VERSION.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    table.raw_set("REDIS_VERSION_NUM", numbers.fold(0, |sum, part| sum << 8 | part))?;
    Ok(table)
}

/// Raises an error whose place is told by whoever reports it.
pub(super) fn raise<T>(text: &str) -> mlua::Result<T> {
    Err(Error::external(Raised::table(text)))
}

/// The only argument, when it is a string.
fn one_string(args: &MultiValue) -> Option<Vec<u8>> {
    match args.front() {
        Some(Value::String(text)) if args.len() == 1 => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

/// A string, or a number as Lua writes it.
pub(super) fn text_of(lua: &Lua, value: &Value) -> mlua::Result<Option<Vec<u8>>> {
    Ok(match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(_) | Value::Number(_) => lua.coerce_string(value.clone())?.map(|text| text.as_bytes().to_vec()),
        _ => None,
    })
}

/// Reply: a table that is an error as a result. What has no code gets `ERR`.
fn error_reply(lua: &Lua, args: MultiValue) -> mlua::Result<Value> {
    let Some(text) = one_string(&args) else {
        return Raised::table("ERR wrong number or type of arguments").into_value(lua);
    };
    let text = text.strip_prefix(b"-").unwrap_or(&text);
    let (code, rest) = match memchr::memchr(b' ', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (&b"ERR"[..], text),
    };
    let trimmed = |text: &[u8]| -> Vec<u8> {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = text.iter().position(|b| !is_end(b)).unwrap_or(text.len());
        let end = text.iter().rposition(|b| !is_end(b)).map_or(start, |at| at + 1);
        text[start..end].to_vec()
    };
    Raised::table([trimmed(code), trimmed(rest)].join(&b' ')).into_value(lua)
}

fn log<C: Commands>(lua: &Lua, slot: &Shared<C>, args: &MultiValue) -> mlua::Result<()> {
    if args.len() < 2 {
        return raise("ERR redis.log() requires two arguments or more.");
    }
    let Some(level) = number_or_text(lua, args.front())?.map(to_i64) else {
        return raise("ERR First argument must be a number (log level).");
    };
    let Some((_, level)) = LEVELS.iter().find(|(_, known)| *known as i64 == level) else {
        return raise("ERR Invalid debug level.");
    };
    let mut words = Vec::new();
    for value in args.iter().skip(1) {
        words.extend(text_of(lua, value)?);
    }
    let slot = &mut *slot.borrow_mut();
    match (&mut slot.commands, &mut slot.registering) {
        (Some(commands), _) => commands.log(*level, &words.join(&b' ')),
        (None, Some(library)) => library.desk.log(*level, &words.join(&b' ')),
        (None, None) => {}
    }
    Ok(())
}

/// The words of a command.
///
/// Errors: there are none, or one is neither a string nor a number.
fn collect(args: &MultiValue, data: &mut Vec<u8>, words: &mut Vec<Arg>) -> Result<(), &'static str> {
    data.clear();
    words.clear();
    if args.is_empty() {
        return Err("ERR Please specify at least one argument for this redis lib call");
    }
    for value in args {
        let start = data.len();
        match value {
            Value::String(text) => data.extend_from_slice(&text.as_bytes()),
            Value::Integer(n) => number::push_i64(data, *n),
            Value::Number(0.0) => data.push(b'0'),
            Value::Number(n) => number::push_f64(data, *n),
            _ => return Err("ERR Lua redis lib command arguments must be strings or integers"),
        }
        words.push(Arg { start: start as u32, len: (data.len() - start) as u32 });
    }
    if u32::try_from(data.len()).is_err() {
        return Err("ERR The arguments of a command are too long");
    }
    Ok(())
}

/// Runs a command; the error that it is refused with is for the caller to raise, or to return.
fn command<C: Commands>(lua: &Lua, shared: &Shared<C>, args: &MultiValue) -> mlua::Result<Result<Value, Raised>> {
    let mut slot = shared.borrow_mut();
    let slot = &mut *slot;
    if let Err(text) = collect(args, &mut slot.data, &mut slot.words) {
        return Ok(Err(Raised::table(text)));
    }
    let Some(commands) = slot.commands.as_mut().filter(|_| !slot.is_stopped) else {
        return raise("ERR redis.call outside of a script");
    };
    slot.reply.clear();
    if let Err(Stop) = commands.call(&slot.data, &slot.words, slot.proto, &mut slot.reply) {
        slot.is_stopped = true;
        // From now on nothing goes on, whatever the script makes of this error.
        super::watch(lua, shared, 1)?;
        return raise("ERR the script was stopped");
    }
    let mut reader = reply::Reader::new(&slot.reply);
    if let Some(text) = reader.error() {
        return Ok(Err(Raised::counted(text)));
    }
    reader.value(lua).map(Ok)
}
