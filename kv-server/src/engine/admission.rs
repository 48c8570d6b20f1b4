//! Refusals: small named checks in order, each reading the row's flags, the session and the state of the server, never a
//! command's name.

use super::durability::Status;
use super::session::Session;
use kv_core::command::{CommandError, Flags};

/// On what it depends besides the command.
pub struct Circumstances<'a> {
    pub session: &'a Session,
    pub status: &'a Status,
    /// The data is not loaded yet.
    pub is_loading: bool,
}

type Check = fn(Flags, &Circumstances<'_>) -> Option<CommandError>;

const CHECKS: &[Check] = &[not_authenticated, not_loaded, not_kept];

fn not_authenticated(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    (!now.session.authenticated && !flags.has(Flags::NO_AUTH))
        .then(|| CommandError::Coded("NOAUTH Authentication required.".into()))
}

fn not_loaded(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    // A watch would be one of the shard that is about to be replaced.
    (now.is_loading && (!flags.has(Flags::LOADING) || flags.has(Flags::WATCHES)))
        .then(|| CommandError::Coded("LOADING Redis is loading the dataset in memory".into()))
}

/// Writes that could not be kept: the disk is in trouble.
fn not_kept(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    (now.status.refuses_writes() && flags.has(Flags::WRITE)).then(|| CommandError::Coded(now.status.refusal().into()))
}

/// Why a command with these flags may not run now, if so.
#[inline]
pub fn refusal(flags: Flags, now: &Circumstances<'_>) -> Option<CommandError> {
    CHECKS.iter().find_map(|check| check(flags, now))
}
