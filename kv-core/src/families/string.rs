//! string

use crate::command::CommandSpec;

pub(crate) const ROWS: &[CommandSpec] = &[];
