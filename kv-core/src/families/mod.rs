//! The commands, one file per family: rows on top, handlers under them, tests last.

use crate::command::CommandSpec;

pub mod connection;
pub mod generic;
pub mod hyperloglog;
pub mod server;
pub mod string;

/// All rows, family by family.
pub const ALL: &[&[CommandSpec]] =
    &[string::ROWS, generic::ROWS, hyperloglog::ROWS, connection::ROWS, server::ROWS];
