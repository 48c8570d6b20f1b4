//! What rows of many families say of their commands: the usual flags, and what is done with the key at word 1.
//!
//! Named for what a command does: it looks at a value without telling its content (`LOOK`), tells of it (`ACCESS`), takes
//! something out and tells it (`TAKE`) and so on; the words within are those of COMMAND.

use crate::command::{Flags, KeySpec};

pub(super) const FAST: Flags = Flags::FAST;
pub(super) const READ: Flags = Flags::READONLY;
pub(super) const READ_FAST: Flags = READ.and(FAST);
pub(super) const WRITE: Flags = Flags::WRITE;
pub(super) const WRITE_FAST: Flags = WRITE.and(FAST);
/// Needs memory.
pub(super) const GROW: Flags = WRITE.and(Flags::DENYOOM);
pub(super) const GROW_FAST: Flags = GROW.and(FAST);

pub(super) const LOOK: &[KeySpec] = &[KeySpec::one(1, &["RO"])];
pub(super) const ACCESS: &[KeySpec] = &[KeySpec::one(1, &["RO", "access"])];
pub(super) const UPDATE: &[KeySpec] = &[KeySpec::one(1, &["RW", "update"])];
pub(super) const INSERT: &[KeySpec] = &[KeySpec::one(1, &["RW", "insert"])];
pub(super) const DELETE: &[KeySpec] = &[KeySpec::one(1, &["RW", "delete"])];
/// Tells of what it changes.
pub(super) const CHANGE: &[KeySpec] = &[KeySpec::one(1, &["RW", "access", "update"])];
pub(super) const TAKE: &[KeySpec] = &[KeySpec::one(1, &["RW", "access", "delete"])];

/// Tips for clients: the reply, or its order, may be another one although nothing was written.
pub(super) const CHANGING_OUTPUT: &[&str] = &["nondeterministic_output"];
pub(super) const CHANGING_ORDER: &[&str] = &["nondeterministic_output_order"];
