//! The connection: PING ECHO HELLO AUTH SELECT QUIT RESET and CLIENT. Rows only: the sessions are the host's.

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{CommandSpec, Flags, Group, Handler, Spread, row};

const HOST: Handler = Handler::Host;
const SESSION: Flags = Flags::NOSCRIPT
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::FAST)
    .and(Flags::ALLOW_BUSY)
    .and(Flags::NEVER_PAUSED);

const fn session(spec: CommandSpec) -> CommandSpec {
    spec.group(Group::Connection).spread(Spread::Session).complexity("O(1)")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    session(row("AUTH", HOST, AtLeast(2), &[], SESSION.and(Flags::NO_AUTH)))
        .syntax("[username] password")
        .summary("Says who the client is.")
        .since("1.0.0"),
    session(row("ECHO", HOST, Exactly(2), &[], Flags::LOADING.and(Flags::STALE).and(Flags::FAST)))
        .syntax("message")
        .summary("Gives the message back.")
        .since("1.0.0"),
    session(row("HELLO", HOST, AtLeast(1), &[], SESSION.and(Flags::NO_AUTH)))
        .syntax("[protover [AUTH username password] [SETNAME clientname]]")
        .summary("Chooses the version of the protocol and tells about the server.")
        .since("6.0.0"),
    session(row("PING", HOST, AtLeast(1), &[], Flags::FAST))
        .syntax("[message]")
        .summary("Answers PONG or the message: a sign of life.")
        .since("1.0.0")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    session(row("QUIT", HOST, AtLeast(1), &[], SESSION.and(Flags::NO_AUTH)))
        .summary("Closes the connection after the replies before.")
        .since("1.0.0"),
    session(row("RESET", HOST, Exactly(1), &[], SESSION.and(Flags::NO_AUTH)))
        .summary("Puts the session back to its beginning.")
        .since("6.2.0"),
    session(row("SELECT", HOST, Exactly(2), &[], Flags::LOADING.and(Flags::STALE).and(Flags::FAST)))
        .syntax("index")
        .summary("Chooses the database.")
        .since("1.0.0"),
];
