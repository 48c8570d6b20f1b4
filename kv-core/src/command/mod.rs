//! What one command is, and what a handler gets to see.
//!
//! A command is one [`CommandSpec`] row: its name, arity, keys, flags, handler and documentation. The dispatcher, the
//! routing between shards, admission, COMMAND, the documentation and the test generators all read the row; nobody asks
//! *which* command it is. A handler is a plain function `(ctx, args, reply)` that runs to its end: no socket, no clock,
//! no suspension. Effects are said once, by [`Ctx::wrote`]; what they leave in the log is in the row
//! ([`LogAs`]) and in `ctx::effects`; `replay` does it again.

mod args;
mod categories;
mod ctx;
mod docs;
mod error;
mod keys;
mod replay;
mod row;
mod syntax;
mod table;

pub use crate::store::Event;
pub use args::{Args, Known};
pub use categories::{CATEGORIES, categories_of};
pub use ctx::{Collected, Ctx, Outcome, Settings, Stores, Waiting, Wish};
pub use docs::commands_markdown;
pub use error::CommandError;
pub use keys::{Begin, Find, KeyAccess, KeySpec, OptionWords, awaited_keys, keys_of, legacy_range, may_be_anywhere};
pub use replay::{fuzz_replay, replay};
pub use row::{Arity, CommandSpec, Flags, Group, Handler, Join, LogAs, ScriptName, ScriptRow, Spread, StoreFn, row};
pub use syntax::{Argument, ArgumentKind, arguments_of};
pub use table::{Found, Row, RowId, Table, table};
