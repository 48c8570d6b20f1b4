//! The server: BGREWRITEAOF BGSAVE COMMAND CONFIG INFO LASTSAVE LATENCY LOLWUT MEMORY MONITOR SAVE SHUTDOWN SLOWLOG TIME. Rows only:
//! options, statistics, the process and its files are the host's. (MEMORY USAGE alone asks the store.)

use super::generic::memory_usage;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Arity, CommandSpec, Flags, Group, Handler, Join, KeySpec, Spread, row};

const HOST: Handler = Handler::Host;
const CONTAINER: Handler = Handler::Container;
const ASK: Flags = Flags::LOADING.and(Flags::STALE);
const ADMIN: Flags = ASK.and(Flags::ADMIN).and(Flags::NOSCRIPT);

const CHANGING_OUTPUT: &[&str] = &["nondeterministic_output"];
const CHANGING_ORDER: &[&str] = &["nondeterministic_output_order"];
const OF_ALL_SHARDS: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// Answered by the worker that is asked.
const fn here(name: &'static str, arity: Arity, flags: Flags) -> CommandSpec {
    row(name, HOST, arity, &[], flags).group(Group::Server).spread(Spread::Session).complexity("O(1)")
}

/// Carried out by every worker.
const fn all(name: &'static str, arity: Arity, flags: Flags) -> CommandSpec {
    here(name, arity, flags).spread(Spread::All { join: Join::First })
}

const fn container(name: &'static str, subs: &'static [CommandSpec]) -> CommandSpec {
    row(name, CONTAINER, AtLeast(2), &[], Flags::NONE)
        .subs(subs)
        .group(Group::Server)
        .syntax("subcommand [argument ...]")
        .complexity("see the subcommands")
}

const fn help(since: &'static str) -> CommandSpec {
    here("HELP", Exactly(2), ASK).summary("Lists the subcommands.").since(since)
}

const fn about_commands(name: &'static str, arity: Arity) -> CommandSpec {
    here(name, arity, ASK).category("connection")
}

/// Looks at what was noted.
const LOOKING: Flags = ASK.and(Flags::ADMIN);

/// A snapshot is asked for.
const SAVING: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING);

pub(crate) const ROWS: &[CommandSpec] = &[
    here("BGREWRITEAOF", Exactly(1), SAVING)
        .summary("Makes the log short: a snapshot is taken, and the log goes on from it.")
        .since("1.0.0")
        .complexity("O(n) in the number of keys, in the background"),
    here("BGSAVE", AtLeast(1), SAVING)
        .syntax("[SCHEDULE]")
        .summary("Takes a snapshot in the background.")
        .since("1.0.0")
        .complexity("O(n) in the number of keys, in the background"),
    about_commands("COMMAND", AtLeast(1))
        .subs(COMMAND_ROWS)
        .syntax("[subcommand [argument ...]]")
        .summary("Describes all commands, or what the subcommand asks for.")
        .since("2.8.13")
        .complexity("O(n) in the number of commands")
        .tips(CHANGING_ORDER),
    container("CONFIG", CONFIG_ROWS).summary("Reads and changes options.").since("2.0.0"),
    here("INFO", AtLeast(1), ASK.and(Flags::DANGEROUS))
        .syntax("[section [section ...]]")
        .summary("Tells about the server: figures by section.")
        .since("1.0.0")
        .tips(OF_ALL_SHARDS),
    here("LASTSAVE", Exactly(1), ASK.and(Flags::FAST).and(Flags::DANGEROUS))
        .category("admin")
        .summary("Tells the second since 1970 of the last snapshot, or of the start.")
        .since("1.0.0")
        .tips(CHANGING_OUTPUT),
    container("LATENCY", LATENCY_ROWS).summary("Tells what took long.").since("2.8.13"),
    here("LOLWUT", AtLeast(1), Flags::READONLY.and(Flags::FAST))
        .syntax("[VERSION version]")
        .summary("Draws a picture, and tells the version.")
        .since("5.0.0"),
    container("MEMORY", MEMORY_ROWS).summary("Tells about memory.").since("4.0.0"),
    here("MONITOR", Exactly(1), ADMIN)
        .summary("Shows from here on all commands that the server carries out, whoever asks for them.")
        .since("1.0.0"),
    here("SAVE", Exactly(1), SAVING.and(Flags::NO_MULTI))
        .summary("Takes a snapshot and answers when it is on disk.")
        .since("1.0.0")
        .complexity("O(n) in the number of keys, in the background"),
    here("SHUTDOWN", AtLeast(1), ADMIN.and(Flags::ALLOW_BUSY).and(Flags::NO_MULTI))
        .syntax("[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]")
        .summary("Ends the server, once everything is on disk that is to be kept.")
        .since("1.0.0"),
    container("SLOWLOG", SLOWLOG_ROWS).summary("Tells which calls took too long.").since("2.2.12"),
    here("TIME", Exactly(1), ASK.and(Flags::FAST))
        .summary("Tells the time: seconds since 1970, and microseconds.")
        .since("2.6.0")
        .tips(CHANGING_OUTPUT),
];

const COMMAND_ROWS: &[CommandSpec] = &[
    about_commands("COUNT", Exactly(2)).summary("Counts the commands.").since("2.8.13"),
    about_commands("DOCS", AtLeast(2))
        .syntax("[command-name [command-name ...]]")
        .summary("Tells the documentation of commands.")
        .since("7.0.0")
        .complexity("O(n) in the number of commands")
        .tips(CHANGING_ORDER),
    about_commands("GETKEYS", AtLeast(4))
        .syntax("command [arg [arg ...]]")
        .summary("Tells which words of a command are keys.")
        .since("2.8.13")
        .complexity("O(n) in the number of words"),
    about_commands("GETKEYSANDFLAGS", AtLeast(4))
        .syntax("command [arg [arg ...]]")
        .summary("Tells which words of a command are keys, and what it does with each.")
        .since("7.0.0")
        .complexity("O(n) in the number of words"),
    help("5.0.0").category("connection"),
    about_commands("INFO", AtLeast(2))
        .syntax("[command-name [command-name ...]]")
        .summary("Describes commands for clients and proxies.")
        .since("2.8.13")
        .complexity("O(n) in the number of commands")
        .tips(CHANGING_ORDER),
    about_commands("LIST", AtLeast(2))
        .syntax("[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]")
        .summary("Lists the names of commands.")
        .since("7.0.0")
        .complexity("O(n) in the number of commands")
        .tips(CHANGING_ORDER),
];

const CONFIG_ROWS: &[CommandSpec] = &[
    here("GET", AtLeast(3), ADMIN)
        .syntax("parameter [parameter ...]")
        .summary("Tells the values of the options that match one of the patterns.")
        .since("2.0.0")
        .complexity("O(n) in the number of options"),
    help("5.0.0"),
    all("RESETSTAT", Exactly(2), ADMIN).summary("Puts the counters of INFO back to zero.").since("2.0.0"),
    here("REWRITE", Exactly(2), ADMIN)
        .summary("Writes the present options into the configuration file.")
        .since("2.8.0"),
    all("SET", AtLeast(4), ADMIN)
        .syntax("parameter value [parameter value ...]")
        .summary("Changes options, all of them or, after an error, none.")
        .since("2.0.0")
        .complexity("O(n) in the number of options")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

/// The nodes of a cluster each know their own.
const OF_ALL_NODES: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

const LATENCY_ROWS: &[CommandSpec] = &[
    here("DOCTOR", Exactly(2), ADMIN)
        .summary("Says in words what took long, and what may help.")
        .since("2.8.13")
        .tips(OF_ALL_NODES),
    here("GRAPH", Exactly(3), ADMIN)
        .syntax("event")
        .summary("Draws the last events of a kind.")
        .since("2.8.13")
        .tips(OF_ALL_NODES),
    help("2.8.13"),
    here("HISTOGRAM", AtLeast(2), ADMIN)
        .syntax("[command [command ...]]")
        .summary("Tells how many calls of commands took how long.")
        .since("7.0.0")
        .complexity("O(n) in the number of commands")
        .tips(OF_ALL_NODES),
    here("HISTORY", Exactly(3), ADMIN)
        .syntax("event")
        .summary("Tells the last events of a kind.")
        .since("2.8.13")
        .tips(OF_ALL_NODES),
    here("LATEST", Exactly(2), ADMIN).summary("Tells the last event of each kind.").since("2.8.13").tips(OF_ALL_NODES),
    here("RESET", AtLeast(2), ADMIN)
        .syntax("[event [event ...]]")
        .summary("Forgets events.")
        .since("2.8.13")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

const SLOWLOG_ROWS: &[CommandSpec] = &[
    here("DETAILS", AtLeast(2), LOOKING)
        .syntax("[count]")
        .summary("Tells the last slow calls, with the shard that each ran on and how long it had waited for it.")
        .since("7.4.0")
        .complexity("O(n) in the number of entries")
        .tips(CHANGING_OUTPUT),
    here("GET", AtLeast(2), LOOKING)
        .syntax("[count]")
        .summary("Tells the last slow calls.")
        .since("2.2.12")
        .complexity("O(n) in the number of entries")
        .tips(&["nondeterministic_output", "request_policy:all_nodes"]),
    help("6.2.0"),
    here("LEN", Exactly(2), LOOKING).summary("Counts the entries of the slow log.").since("2.2.12").tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:agg_sum",
    ]),
    here("RESET", Exactly(2), LOOKING)
        .summary("Empties the slow log.")
        .since("2.2.12")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

const MEMORY_ROWS: &[CommandSpec] = &[
    here("DOCTOR", Exactly(2), Flags::NONE)
        .summary("Says in words whether something is wrong with memory.")
        .since("4.0.0")
        .tips(OF_ALL_SHARDS),
    help("4.0.0"),
    here("MALLOC-STATS", Exactly(2), Flags::NONE)
        .summary("Would tell figures of the allocator; the one in use has none.")
        .since("4.0.0")
        .tips(OF_ALL_SHARDS),
    here("PURGE", Exactly(2), Flags::NONE)
        .summary("Does nothing: the allocator in use gives free memory back by itself.")
        .since("4.0.0")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    here("STATS", Exactly(2), Flags::NONE).summary("Tells what memory is used for.").since("4.0.0").tips(OF_ALL_SHARDS),
    row(
        "USAGE",
        Handler::Store(memory_usage),
        AtLeast(3),
        &[KeySpec::one(2, &["RO"])],
        Flags::READONLY.and(Flags::NO_TOUCH),
    )
    .group(Group::Server)
    .syntax("key [SAMPLES count]")
    .summary("Tells how many bytes a key and its value take.")
    .since("4.0.0")
    .complexity("O(1)"),
];
