//! Refusals: small named checks in order, each reading the row's flags, the session and the state of the server, never a
//! command's name.

use super::durability::Status;
use super::session::Session;
use kv_core::command::{CommandError, Flags, Row};

/// On what it depends besides the command.
pub struct Circumstances<'a> {
    pub session: &'a Session,
    pub status: &'a Status,
    /// The data is not loaded yet.
    pub is_loading: bool,
}

type Check = fn(&Row, &Circumstances<'_>) -> Option<CommandError>;

const CHECKS: &[Check] = &[not_authenticated, not_loaded, not_kept];

fn not_authenticated(row: &Row, now: &Circumstances<'_>) -> Option<CommandError> {
    (!now.session.authenticated && !row.spec.flags.has(Flags::NO_AUTH))
        .then(|| CommandError::Coded("NOAUTH Authentication required.".into()))
}

fn not_loaded(row: &Row, now: &Circumstances<'_>) -> Option<CommandError> {
    (now.is_loading && !row.spec.flags.has(Flags::LOADING))
        .then(|| CommandError::Coded("LOADING Redis is loading the dataset in memory".into()))
}

/// Writes that could not be kept: the disk is in trouble.
fn not_kept(row: &Row, now: &Circumstances<'_>) -> Option<CommandError> {
    (now.status.refuses_writes() && row.spec.flags.has(Flags::WRITE))
        .then(|| CommandError::Coded(now.status.refusal().into()))
}

/// Why the command may not run now, if so.
#[inline]
pub fn refusal(row: &Row, now: &Circumstances<'_>) -> Option<CommandError> {
    CHECKS.iter().find_map(|check| check(row, now))
}
