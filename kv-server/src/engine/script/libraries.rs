//! The libraries of functions are changed: FUNCTION LOAD, DELETE, FLUSH, RESTORE.
//!
//! A change runs on all shards at once, in its place in the order of commands like any write, also within a transaction: it makes a copy
//! of what there is, changes that, and only when nothing is wrong gives it to all shards. The code of a library is run once for that,
//! to know its functions; what is logged is the library with what it says of them, so that no start runs any code.

use super::Scripting;
use super::bench::{Asked, Bench, Ran};
use crate::config::LogLevel;
use crate::engine::host::System;
use crate::engine::worker::Env;
use crate::lua::{Callback, Commands, Desk, Interpreter};
use kv_core::command::{Args, CommandError, Known, RowId, Stores, table};
use kv_core::persist::rdb::Functions;
use kv_core::resp::{Reply, line};
use kv_core::store::Libraries;
use kv_core::types::Library;
use kv_core::types::library::{Function, WRONG_NAME, is_name};
use std::sync::{Arc, OnceLock};

/// How long the code of a library may run before all its functions are registered.
const REGISTER_MS: u64 = 500;

type Change = fn(&mut Changing<'_>, &mut Args<'_>, &mut Reply<'_>) -> Result<(), CommandError>;

/// By full name.
const HANDLERS: &[(&str, Change)] =
    &[("FUNCTION|DELETE", delete), ("FUNCTION|FLUSH", flush), ("FUNCTION|LOAD", load), ("FUNCTION|RESTORE", restore)];

fn handler(row: RowId) -> Change {
    static BY_ROW: OnceLock<Vec<(RowId, Change)>> = OnceLock::new();
    let row_of = |name: &str| table().by_full_name(name.as_bytes()).unwrap_or_else(|| panic!("no row is named {name}"));
    let by_row = BY_ROW.get_or_init(|| HANDLERS.iter().map(|(name, change)| (row_of(name), *change)).collect());
    let known = by_row.iter().find(|(known, _)| *known == row);
    known.expect("every row that changes libraries has its handler here").1
}

/// A change under way.
struct Changing<'a> {
    bench: &'a Bench,
    scripting: &'a Scripting,
    /// What there will be.
    libraries: Libraries,
    registered: Vec<(Function, Callback)>,
}

/// Carries a change out, on all shards.
///
/// Errors: an error reply; nothing has changed.
pub(super) fn change(
    bench: &mut Bench,
    env: &Env<'_>,
    stores: &mut Stores<'_>,
    asked: &Asked<'_>,
    out: &mut Vec<u8>,
) -> Result<(Ran, bool), Vec<u8>> {
    let &Asked { item, data, words, .. } = asked;
    let before = &stores.each().next().expect("all shards are there").libraries;
    let libraries = Libraries::clone(before);
    let mut args = Args::new(data, words, table().row(item.row).name_words, env.hasher, Known::NONE);
    let mut changing = Changing { bench, scripting: env.scripting, libraries, registered: Vec::new() };
    let start = out.len();
    if let Err(error) = handler(item.row)(&mut changing, &mut args, &mut Reply::new(out, item.proto)) {
        out.truncate(start);
        return Err(error.to_string().into_bytes());
    }
    let Changing { libraries, registered, .. } = changing;
    let libraries = Arc::new(libraries);
    stores.each().for_each(|shard| shard.set_libraries(&libraries, env.now));
    bench.see(&libraries);
    bench.add_callbacks(registered);
    env.scripting.net.scripts.set_libraries(&libraries);
    Ok((Ran::Done, false))
}

/// What the code of a library may do while it registers its functions.
struct Registrar {
    system: Arc<dyn System>,
    log_level: LogLevel,
    until_ns: u64,
}

impl Desk for Registrar {
    fn is_over(&mut self) -> bool {
        self.system.ns() >= self.until_ns
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        if level >= self.log_level {
            self.system.log(&String::from_utf8_lossy(text));
        }
    }
}

/// Runs the code of a library, and gives the functions that it registers.
///
/// Errors: an error reply.
pub(super) fn register<C: Commands>(
    lua: &Interpreter<C>,
    scripting: &Scripting,
    code: &[u8],
) -> Result<Vec<(Function, Callback)>, Vec<u8>> {
    let until_ns = scripting.system.ns() + REGISTER_MS * 1_000_000;
    let (system, log_level) = (Arc::clone(&scripting.system), scripting.log_level);
    // The end of the first line stays, so that lines count as the client wrote them.
    let code_at = memchr::memchr(b'\n', code).unwrap_or(code.len());
    lua.register(&code[code_at..], Box::new(Registrar { system, log_level, until_ns }))
}

/// The name that the first line of a library's code tells.
///
/// Errors: the line is not as it should be.
fn name_of(code: &[u8]) -> Result<Vec<u8>, CommandError> {
    if !code.starts_with(b"#!") {
        return Err(CommandError::err("Missing library metadata"));
    }
    let invalid = || CommandError::err("Invalid library metadata");
    let end = memchr::memchr(b'\n', code).ok_or_else(invalid)?;
    let words = line::split(&code[..end]).map_err(|_| invalid())?;
    let (engine, options) = words.split_first().ok_or_else(invalid)?;
    let mut name = None;
    for option in options {
        match option.split_at_checked(5) {
            Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => {
                if name.replace(value).is_some() {
                    let text = "Invalid metadata value, name argument was given multiple times";
                    return Err(CommandError::err(text));
                }
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(CommandError::err(format!("Invalid metadata value given: {option}")));
            }
        }
    }
    let name = name.ok_or_else(|| CommandError::err("Library name was not given"))?;
    if !is_name(name) {
        return Err(CommandError::err(WRONG_NAME));
    }
    let engine = &engine[2..];
    if !engine.eq_ignore_ascii_case(b"lua") {
        let engine = String::from_utf8_lossy(engine);
        return Err(CommandError::err(format!("Engine '{engine}' not found")));
    }
    Ok(name.to_vec())
}

impl Changing<'_> {
    /// Makes a library of its code, and adds it to others.
    ///
    /// Errors: what is wrong with it; it is not added.
    fn make(&mut self, code: &[u8], to: &mut Libraries, replace: bool) -> Result<Vec<u8>, CommandError> {
        let name = name_of(code)?;
        if !replace && to.has_library(&name) {
            let name = String::from_utf8_lossy(&name);
            return Err(CommandError::err(format!("Library '{name}' already exists")));
        }
        let registered = register(&self.bench.lua, self.scripting, code)
            .map_err(|text| CommandError::Coded(String::from_utf8_lossy(&text).into_owned().into()))?;
        let functions = registered.iter().map(|(function, _)| function.clone()).collect();
        let library = Library::new(&name, code, functions).map_err(CommandError::err)?;
        to.add(Arc::new(library), replace).map_err(|taken| CommandError::err(taken.to_string()))?;
        self.registered.extend(registered);
        Ok(name)
    }
}

/// Reply: the name of the library.
/// Errors: what is wrong with its code; it is there, and is not to be replaced; a function is another library's.
fn load(changing: &mut Changing<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut replace = false;
    while args.left() > 1 {
        if !args.keyword("REPLACE") {
            let option = String::from_utf8_lossy(args.next()?);
            return Err(CommandError::err(format!("Unknown option given: {option}")));
        }
        replace = true;
    }
    let mut libraries = std::mem::take(&mut changing.libraries);
    let name = changing.make(args.next()?, &mut libraries, replace)?;
    changing.libraries = libraries;
    reply.bulk(&name);
    Ok(())
}

fn delete(changing: &mut Changing<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if !changing.libraries.remove(args.next()?) {
        return Err(CommandError::err("Library not found"));
    }
    reply.ok();
    Ok(())
}

/// What becomes of libraries that are there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// None of the payload's may have a name of theirs.
    Append,
    /// Those of such names make room.
    Replace,
    Flush,
}

/// Errors: no payload; what is wrong with the code of a library; it is there and is not to be replaced; a function is another library's.
fn restore(changing: &mut Changing<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let payload = args.next()?;
    if args.left() > 1 {
        return Err(words_of("RESTORE"));
    }
    let policy = match args.left() {
        0 => Policy::Append,
        _ if args.keyword("APPEND") => Policy::Append,
        _ if args.keyword("REPLACE") => Policy::Replace,
        _ if args.keyword("FLUSH") => Policy::Flush,
        _ => {
            let text = "Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
            return Err(CommandError::err(text));
        }
    };
    let mut restored = Libraries::default();
    for code in Functions::new(payload).map_err(CommandError::err)? {
        changing.make(&code.map_err(CommandError::err)?, &mut restored, false)?;
    }
    if policy == Policy::Flush {
        changing.libraries = restored;
    } else {
        // First all of them make room: a function may have moved from one to another.
        for library in restored.iter() {
            if changing.libraries.remove(library.name()) && policy == Policy::Append {
                let name = String::from_utf8_lossy(library.name());
                return Err(CommandError::err(format!("Library {name} already exists")));
            }
        }
        for library in restored.iter() {
            let added = changing.libraries.add(Arc::clone(library), false);
            added.map_err(|taken| CommandError::err(taken.to_string()))?;
        }
    }
    reply.ok();
    Ok(())
}

/// A subcommand has more words than it knows.
fn words_of(name: &str) -> CommandError {
    CommandError::err(format!("unknown subcommand or wrong number of arguments for '{name}'. Try FUNCTION HELP."))
}

/// Both ways are the same: what is left of a library is freed by the threads that have run it.
fn flush(changing: &mut Changing<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if args.left() > 1 {
        return Err(words_of("FLUSH"));
    }
    if args.left() == 1 && !args.keyword("ASYNC") && !args.keyword("SYNC") {
        return Err(CommandError::err("FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    changing.libraries = Libraries::default();
    reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests;
