//! Refusals: small named checks in order, each reading the row's flags and the session, never a command's name.

use super::session::Session;
use kv_core::command::{CommandError, Flags, Row};

type Check = fn(&Row, &Session) -> Option<CommandError>;

const CHECKS: &[Check] = &[not_authenticated];

fn not_authenticated(row: &Row, session: &Session) -> Option<CommandError> {
    (!session.authenticated && !row.spec.flags.has(Flags::NO_AUTH))
        .then(|| CommandError::Coded("NOAUTH Authentication required.".into()))
}

/// Why the command may not run now, if so.
#[inline]
pub fn refusal(row: &Row, session: &Session) -> Option<CommandError> {
    CHECKS.iter().find_map(|check| check(row, session))
}
