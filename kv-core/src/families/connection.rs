//! The connection: PING ECHO HELLO AUTH SELECT QUIT RESET and CLIENT. Rows only: the sessions are the host's.

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Arity, CommandSpec, Flags, Group, Handler, Join, Spread, row};

const HOST: Handler = Handler::Host;
const CONTAINER: Handler = Handler::Container;
const SESSION: Flags = Flags::NOSCRIPT
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::FAST)
    .and(Flags::ALLOW_BUSY)
    .and(Flags::NEVER_PAUSED);
/// What ends the session, or puts it back to its beginning.
const LEAVING: Flags = SESSION.and(Flags::NO_AUTH).and(Flags::NOT_QUEUED).and(Flags::WHILE_SUBSCRIBED);

const fn session(spec: CommandSpec) -> CommandSpec {
    spec.group(Group::Connection).spread(Spread::Session).complexity("O(1)")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    session(row("AUTH", HOST, AtLeast(2), &[], SESSION.and(Flags::NO_AUTH)))
        .syntax("[username] password")
        .summary("Says who the client is.")
        .since("1.0.0"),
    row("CLIENT", CONTAINER, AtLeast(2), &[], Flags::NONE)
        .subs(CLIENT_ROWS)
        .group(Group::Connection)
        .syntax("subcommand [argument ...]")
        .summary("Asks about connections and changes them.")
        .since("2.4.0")
        .complexity("see the subcommands"),
    session(row("ECHO", HOST, Exactly(2), &[], Flags::LOADING.and(Flags::STALE).and(Flags::FAST)))
        .syntax("message")
        .summary("Gives the message back.")
        .since("1.0.0"),
    session(row("HELLO", HOST, AtLeast(1), &[], SESSION.and(Flags::NO_AUTH).and(Flags::SETS_SESSION)))
        .syntax("[protover [AUTH username password] [SETNAME clientname]]")
        .summary("Chooses the version of the protocol and tells about the server.")
        .since("6.0.0"),
    session(row("PING", HOST, AtLeast(1), &[], Flags::FAST.and(Flags::WHILE_SUBSCRIBED)))
        .syntax("[message]")
        .summary("Answers PONG or the message: a sign of life.")
        .since("1.0.0")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    session(row("QUIT", HOST, AtLeast(1), &[], LEAVING))
        .summary("Closes the connection after the replies before.")
        .since("1.0.0"),
    session(row("RESET", HOST, Exactly(1), &[], LEAVING))
        .summary("Puts the session back to its beginning.")
        .since("6.2.0"),
    session(row(
        "SELECT",
        HOST,
        Exactly(2),
        &[],
        Flags::LOADING.and(Flags::STALE).and(Flags::FAST).and(Flags::SETS_SESSION),
    ))
    .syntax("index")
    .summary("Chooses the database.")
    .since("1.0.0"),
];

/// Never held back by CLIENT PAUSE, so that the pause can be looked at and ended.
const CLIENT: Flags =
    Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::NEVER_PAUSED).and(Flags::KEEPS_CACHING);
const CLIENT_ADMIN: Flags = CLIENT.and(Flags::ADMIN);

/// Of the session that asks.
const fn own(name: &'static str, arity: Arity, flags: Flags) -> CommandSpec {
    session(row(name, HOST, arity, &[], flags))
}

/// Of all connections: every worker looks at its own.
const fn all(name: &'static str, arity: Arity, join: Join) -> CommandSpec {
    row(name, HOST, arity, &[], CLIENT_ADMIN).group(Group::Connection).spread(Spread::All { join })
}

const CLIENT_ROWS: &[CommandSpec] = &[
    own("CACHING", Exactly(3), CLIENT.and(Flags::SETS_SESSION))
        .syntax("<YES | NO>")
        .summary("Says whether the next command's reads are tracked (OPTIN), or are not (OPTOUT).")
        .since("6.0.0"),
    own("GETNAME", Exactly(2), CLIENT).summary("Tells the name of the connection.").since("2.6.9"),
    own("GETREDIR", Exactly(2), CLIENT)
        .summary("Tells which client is told in place of this one: 0 for none, -1 without tracking.")
        .since("6.0.0"),
    own("HELP", Exactly(2), CLIENT.without(Flags::NOSCRIPT)).summary("Lists the subcommands.").since("5.0.0"),
    own("ID", Exactly(2), CLIENT)
        .summary("Tells the number of the connection, which is never used twice.")
        .since("5.0.0"),
    own("INFO", Exactly(2), CLIENT)
        .summary("Tells about the connection, in the form of CLIENT LIST.")
        .since("6.2.0")
        .tips(&["nondeterministic_output"]),
    all("KILL", AtLeast(3), Join::Found)
        .syntax(
            "<ip:port | <ID client-id | TYPE <NORMAL | MASTER | REPLICA | PUBSUB> | USER username | ADDR ip:port | \
             LADDR ip:port | SKIPME <YES | NO> | MAXAGE maxage> [...]>",
        )
        .summary("Closes connections that fit all filters, and counts them.")
        .since("2.4.0")
        .complexity("O(n) in the number of connections"),
    all("LIST", AtLeast(2), Join::Text)
        .syntax("[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]")
        .summary("Tells about all connections, one line each.")
        .since("2.4.0")
        .complexity("O(n) in the number of connections")
        .tips(&["nondeterministic_output"]),
    own("NO-EVICT", Exactly(3), CLIENT_ADMIN)
        .syntax("<ON | OFF>")
        .summary("Keeps the connection when memory for connections runs out.")
        .since("7.0.0"),
    own("NO-TOUCH", Exactly(3), CLIENT.and(Flags::SETS_SESSION))
        .syntax("<ON | OFF>")
        .summary("Lets commands of the connection not count as a use of their keys.")
        .since("7.2.0"),
    all("PAUSE", AtLeast(3), Join::First)
        .syntax("timeout [WRITE | ALL]")
        .summary("Holds back commands, or only writes, for some milliseconds.")
        .since("3.0.0")
        .complexity("O(1)"),
    own("REPLY", Exactly(3), CLIENT)
        .syntax("<ON | OFF | SKIP>")
        .summary("Switches the replies of the connection off, on, or off for one command.")
        .since("3.2.0"),
    own("SETINFO", Exactly(4), CLIENT)
        .syntax("<LIB-NAME libname | LIB-VER libver>")
        .summary("Says which client library the connection belongs to.")
        .since("7.2.0"),
    own("SETNAME", Exactly(3), CLIENT).syntax("connection-name").summary("Gives the connection a name.").since("2.6.9"),
    own("TRACKING", AtLeast(3), CLIENT.and(Flags::SETS_SESSION))
        .syntax("<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]")
        .summary("Lets the client be told when keys change that it has read, or keys with a prefix.")
        .since("6.0.0"),
    own("TRACKINGINFO", Exactly(2), CLIENT)
        .summary("Tells what the client has chosen with CLIENT TRACKING.")
        .since("6.2.0"),
    all("UNBLOCK", AtLeast(3), Join::Sum)
        .syntax("client-id [TIMEOUT | ERROR]")
        .summary("Ends the waiting of a client for keys as if its time was over, or by an error.")
        .since("5.0.0")
        .complexity("O(n) in the number of connections"),
    all("UNPAUSE", Exactly(2), Join::First)
        .summary("Ends CLIENT PAUSE.")
        .since("6.2.0")
        .complexity("O(n) in the number of connections held back"),
];
