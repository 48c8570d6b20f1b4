//! Refusals: small named checks in order, each reading the row's flags, the session and the state of the server, never a
//! command's name.

use super::durability::Status;
use super::session::Session;
use kv_core::command::{CommandError, Flags, Row};

type Check = fn(&Row, &Session, &Status) -> Option<CommandError>;

const CHECKS: &[Check] = &[not_authenticated, not_kept];

fn not_authenticated(row: &Row, session: &Session, _: &Status) -> Option<CommandError> {
    (!session.authenticated && !row.spec.flags.has(Flags::NO_AUTH))
        .then(|| CommandError::Coded("NOAUTH Authentication required.".into()))
}

/// Writes that could not be kept: the disk is in trouble.
fn not_kept(row: &Row, _: &Session, status: &Status) -> Option<CommandError> {
    (status.refuses_writes() && row.spec.flags.has(Flags::WRITE)).then(|| CommandError::Coded(status.refusal().into()))
}

/// Why the command may not run now, if so.
#[inline]
pub fn refusal(row: &Row, session: &Session, status: &Status) -> Option<CommandError> {
    CHECKS.iter().find_map(|check| check(row, session, status))
}
