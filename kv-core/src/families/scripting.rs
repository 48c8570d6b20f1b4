//! Scripts: EVAL EVALSHA EVAL_RO EVALSHA_RO SCRIPT.
//!
//! What runs a script, and which shards it gets, is the host's. The commands of a script are rows like all others.

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{
    Arity, Begin, CommandSpec, Find, Flags, Group, Handler, KeyAccess, KeySpec, ScriptRow, Spread, row,
};

const SCRIPT: Flags =
    Flags::NOSCRIPT.and(Flags::STALE).and(Flags::SKIP_MONITOR).and(Flags::NO_MANDATORY_KEYS).and(Flags::MOVABLE_KEYS);
const WRITES: Flags = SCRIPT.and(Flags::PAUSED_AS_WRITE);
const READS: Flags = SCRIPT.and(Flags::READONLY);

const fn keys(access: &'static [&'static str]) -> KeySpec {
    KeySpec { begin: Begin::Index(2), find: Find::KeyNum { at: 0, first: 1, step: 1 }, access: KeyAccess(access) }
}

const DECLARED: &[KeySpec] = &[keys(&["RW", "access", "update"])];
const DECLARED_RO: &[KeySpec] = &[keys(&["RO", "access"])];

const fn script(
    name: &'static str,
    by_code: bool,
    readonly: bool,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Script(ScriptRow { by_code, readonly }), AtLeast(3), keys, flags)
        .group(Group::Scripting)
        .complexity("that of the script")
}

const fn sub(name: &'static str, arity: Arity, flags: Flags) -> CommandSpec {
    row(name, Handler::Host, arity, &[], flags).group(Group::Scripting).spread(Spread::Session)
}

pub(crate) const ROWS: &[CommandSpec] = &[
    script("EVAL", true, false, DECLARED, WRITES)
        .syntax("script numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Runs a script in Lua.")
        .since("2.6.0"),
    script("EVALSHA", false, false, DECLARED, WRITES)
        .syntax("sha1 numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Runs a script that is known by its SHA-1.")
        .since("2.6.0"),
    script("EVALSHA_RO", false, true, DECLARED_RO, READS)
        .syntax("sha1 numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Runs a script that is known by its SHA-1, and lets it write nothing.")
        .since("7.0.0"),
    script("EVAL_RO", true, true, DECLARED_RO, READS)
        .syntax("script numkeys [key [key ...]] [arg [arg ...]]")
        .summary("Runs a script in Lua, and lets it write nothing.")
        .since("7.0.0"),
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
