//! Refusals: small named checks in order, each reading the row's flags, the session and the state of the server, never a
//! command's name.

use super::durability::Status;
use super::script::Scripts;
use super::session::Session;
use kv_core::command::{CommandError, Flags};

/// On what it depends besides the command.
pub struct Circumstances<'a> {
    pub session: &'a Session,
    pub status: &'a Status,
    /// The data is not loaded yet.
    pub is_loading: bool,
    /// A script keeps the shards for too long.
    pub is_busy: bool,
    pub scripts: &'a Scripts,
}

type Check = fn(Flags, &Circumstances<'_>) -> Option<CommandError>;

const CHECKS: &[Check] =
    &[not_authenticated, not_while_subscribed, not_while_monitoring, not_loaded, not_busy, not_kept];

fn not_authenticated(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    (!now.session.authenticated && !flags.has(Flags::NO_AUTH))
        .then(|| CommandError::Coded("NOAUTH Authentication required.".into()))
}

/// In RESP2 a message looks like a reply.
fn not_while_subscribed(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    (now.session.is_subscribed && !flags.has(Flags::WHILE_SUBSCRIBED)).then(|| {
        let name = now.session.last_command;
        CommandError::err(format!(
            "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context"
        ))
    })
}

/// Who monitors is taken for a replica.
fn not_while_monitoring(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    let touches = [Flags::READONLY, Flags::WRITE, Flags::PAUSED_AS_WRITE];
    (now.session.is_monitor && touches.iter().any(|&flag| flags.has(flag)))
        .then(|| CommandError::err("Replica can't interact with the keyspace"))
}

fn not_loaded(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    // A watch would be one of the shard that is about to be replaced.
    (now.is_loading && (!flags.has(Flags::LOADING) || flags.has(Flags::WATCHES)))
        .then(|| CommandError::Coded("LOADING Redis is loading the dataset in memory".into()))
}

fn not_busy(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    (now.is_busy && !flags.has(Flags::ALLOW_BUSY)).then(|| now.scripts.busy())
}

/// Writes that could not be kept: the disk is in trouble.
fn not_kept(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    (now.status.refuses_writes() && flags.has(Flags::WRITE)).then(|| CommandError::Coded(now.status.refusal().into()))
}

/// Why a command with these flags may not run now, if so.
#[inline]
pub fn refusal(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    // Nothing stands in the way of most commands, whatever they are.
    let Session { authenticated, is_subscribed, is_monitor, .. } = *now.session;
    if authenticated & !is_subscribed & !is_monitor && !now.is_loading && !now.is_busy && !now.status.refuses_writes() {
        return None;
    }
    first_refusal(flags, now)
}

#[cold]
fn first_refusal(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    CHECKS.iter().find_map(|check| check(flags, now))
}
