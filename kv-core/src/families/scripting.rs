//! Scripts and functions: EVAL EVALSHA EVAL_RO EVALSHA_RO SCRIPT, FCALL FCALL_RO FUNCTION.
//!
//! What runs a script, and which shards it gets, is the host's; so is what it takes to make a library of functions of its code. The
//! commands of a script are rows like all others.

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{
    Args, Arity, Begin, CommandError, CommandSpec, Ctx, Find, Flags, Group, Handler, KeyAccess, KeySpec, Outcome,
    ScriptName, ScriptRow, Spread, StoreFn, row,
};
use crate::persist::rdb;
use crate::resp::Reply;
use crate::types::library::Function;
use crate::types::pattern::matches_ignoring_case;

const SCRIPT: Flags =
    Flags::NOSCRIPT.and(Flags::STALE).and(Flags::SKIP_MONITOR).and(Flags::NO_MANDATORY_KEYS).and(Flags::MOVABLE_KEYS);
const WRITES: Flags = SCRIPT.and(Flags::PAUSED_AS_WRITE);
const READS: Flags = SCRIPT.and(Flags::READONLY);

const fn keys(access: &'static [&'static str]) -> KeySpec {
    KeySpec { begin: Begin::Index(2), find: Find::KeyNum { at: 0, first: 1, step: 1 }, access: KeyAccess(access) }
}

const DECLARED: &[KeySpec] = &[keys(&["RW", "access", "update"])];
const DECLARED_RO: &[KeySpec] = &[keys(&["RO", "access"])];

const fn script(name: &'static str, by: ScriptName, readonly: bool) -> CommandSpec {
    let (keys, flags) = if readonly { (DECLARED_RO, READS) } else { (DECLARED, WRITES) };
    row(name, Handler::Script(ScriptRow::Run { by, readonly }), AtLeast(3), keys, flags)
        .group(Group::Scripting)
        .complexity("that of the script")
}

const fn sub(name: &'static str, arity: Arity, flags: Flags) -> CommandSpec {
    row(name, Handler::Host, arity, &[], flags).group(Group::Scripting).spread(Spread::Session)
}

/// Changes the libraries of functions.
const fn change(name: &'static str, arity: Arity, flags: Flags) -> CommandSpec {
    let flags = Flags::NOSCRIPT.and(Flags::WRITE).and(flags);
    row(name, Handler::Script(ScriptRow::Libraries), arity, &[], flags)
        .group(Group::Scripting)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
}

/// Tells of the libraries, as any shard knows them.
const fn tell(name: &'static str, handler: StoreFn, arity: Arity) -> CommandSpec {
    row(name, Handler::Store(handler), arity, &[], Flags::NOSCRIPT).group(Group::Scripting)
}

pub(crate) const ROWS: &[CommandSpec] = &[
    script("EVAL", ScriptName::Code, false)
        .syntax("script numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Runs a script in Lua.")
        .since("2.6.0"),
    script("EVALSHA", ScriptName::Sha1, false)
        .syntax("sha1 numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Runs a script that is known by its SHA-1.")
        .since("2.6.0"),
    script("EVALSHA_RO", ScriptName::Sha1, true)
        .syntax("sha1 numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Runs a script that is known by its SHA-1, and lets it write nothing.")
        .since("7.0.0"),
    script("EVAL_RO", ScriptName::Code, true)
        .syntax("script numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Runs a script in Lua, and lets it write nothing.")
        .since("7.0.0"),
    script("FCALL", ScriptName::Function, false)
        .syntax("function numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Calls a function of a library.")
        .since("7.0.0")
        .complexity("that of the function"),
    script("FCALL_RO", ScriptName::Function, true)
        .syntax("function numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Calls a function of a library that writes nothing.")
        .since("7.0.0")
        .complexity("that of the function"),
    row("FUNCTION", Handler::Container, AtLeast(2), &[], Flags::NONE)
        .group(Group::Scripting)
        .syntax("subcommand [argument ...]")
        .summary("Tells of the libraries of functions, and changes them.")
        .since("7.0.0")
        .complexity("that of the subcommand")
        .subs(&[
            change("DELETE", Exactly(3), Flags::NONE)
                .syntax("library-name")
                .summary("Deletes a library with its functions.")
                .since("7.0.0")
                .complexity("O(n) in the number of libraries"),
            tell("DUMP", dump, Exactly(2))
                .summary("Gives all libraries as bytes that FUNCTION RESTORE takes, here and in Redis.")
                .since("7.0.0")
                .complexity("O(n) in the bytes of code"),
            change("FLUSH", AtLeast(2), Flags::NONE)
                .syntax("[ASYNC | SYNC]")
                .summary("Deletes all libraries.")
                .since("7.0.0")
                .complexity("O(n) in the number of libraries"),
            sub("HELP", Exactly(2), Flags::LOADING.and(Flags::STALE))
                .summary("Lists the subcommands.")
                .since("7.0.0")
                .complexity("O(1)"),
            sub("KILL", Exactly(2), Flags::NOSCRIPT.and(Flags::ALLOW_BUSY))
                .summary("Ends the function that runs, if it has not written yet.")
                .since("7.0.0")
                .complexity("O(1)")
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
            tell("LIST", list, AtLeast(2))
                .syntax("[LIBRARYNAME library-name-pattern] [WITHCODE]")
                .summary("Lists libraries with what they say of their functions.")
                .since("7.0.0")
                .complexity("O(n) in the number of functions")
                .tips(&["nondeterministic_output_order"]),
            change("LOAD", AtLeast(3), Flags::DENYOOM)
                .syntax("[REPLACE] function-code")
                .summary("Makes a library of its code.")
                .since("7.0.0")
                .complexity("that of the code, which runs once, and O(n) in the number of libraries"),
            change("RESTORE", AtLeast(3), Flags::DENYOOM)
                .syntax("serialized-value [FLUSH | APPEND | REPLACE]")
                .summary("Makes libraries of what FUNCTION DUMP has given, here or in Redis.")
                .since("7.0.0")
                .complexity("that of the code, which runs once, and O(n) in the number of libraries"),
            sub("STATS", Exactly(2), Flags::NOSCRIPT.and(Flags::ALLOW_BUSY))
                .summary("Tells what function runs, and how many there are.")
                .since("7.0.0")
                .complexity("O(1)")
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
        ]),
    row("SCRIPT", Handler::Container, AtLeast(2), &[], Flags::NONE)
        .group(Group::Scripting)
        .syntax("subcommand [argument ...]")
        .summary("Tells of the scripts that are known by their SHA-1, and changes them.")
        .since("2.6.0")
        .complexity("that of the subcommand")
        .subs(&[
            sub("EXISTS", AtLeast(3), Flags::NOSCRIPT)
                .syntax("sha1 [sha1 ...]")
                .summary("Tells which scripts are known.")
                .since("2.6.0")
                .complexity("O(n) in the number of scripts asked for")
                .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]),
            sub("FLUSH", AtLeast(2), Flags::NOSCRIPT)
                .syntax("[ASYNC | SYNC]")
                .summary("Forgets all scripts.")
                .since("2.6.0")
                .complexity("O(n) in the number of scripts")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
            sub("HELP", Exactly(2), Flags::LOADING.and(Flags::STALE))
                .summary("Lists the subcommands.")
                .since("5.0.0")
                .complexity("O(1)"),
            sub("KILL", Exactly(2), Flags::NOSCRIPT.and(Flags::ALLOW_BUSY))
                .summary("Ends the script that runs, if it has not written yet.")
                .since("2.6.0")
                .complexity("O(1)")
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
            sub("LOAD", Exactly(3), Flags::NOSCRIPT.and(Flags::STALE))
                .syntax("script")
                .summary("Makes a script known without running it.")
                .since("2.6.0")
                .complexity("O(n) in the length of the script")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        ]),
];

/// Reply: the bytes, in Redis's form.
fn dump(ctx: &mut Ctx, _: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let libraries = &ctx.this_shard().libraries;
    reply.bulk(&rdb::dump_functions(libraries.iter().map(|library| library.code())));
    Ok(Outcome::Done)
}

/// Reply: an array of maps, by the names of libraries.
/// Errors: an option that there is not, or twice.
fn list(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (mut pattern, mut with_code) = (None, false);
    while args.left() > 0 {
        if !with_code && args.keyword("WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && args.keyword("LIBRARYNAME") {
            let no_name = |_| CommandError::err("library name argument was not given");
            pattern = Some(args.next().map_err(no_name)?);
        } else {
            let word = String::from_utf8_lossy(args.next()?);
            return Err(CommandError::err(format!("Unknown argument {word}")));
        }
    }
    let libraries = &ctx.this_shard().libraries;
    let is_asked = |name: &[u8]| pattern.is_none_or(|pattern| matches_ignoring_case(pattern, name));
    let asked: Vec<_> = libraries.iter().filter(|library| is_asked(library.name())).collect();
    reply.array(asked.len());
    for library in asked {
        reply.map(3 + usize::from(with_code));
        reply.bulk(b"library_name");
        reply.bulk(library.name());
        reply.bulk(b"engine");
        reply.bulk(b"LUA");
        reply.bulk(b"functions");
        reply.array(library.functions().len());
        for Function { name, description, flags } in library.functions() {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(name);
            reply.bulk(b"description");
            match description {
                Some(text) => reply.bulk(text),
                None => reply.nil(),
            }
            reply.bulk(b"flags");
            reply.set(flags.names().count());
            flags.names().for_each(|name| reply.simple(name));
        }
        if with_code {
            reply.bulk(b"library_code");
            reply.bulk(library.code());
        }
    }
    Ok(Outcome::Done)
}
