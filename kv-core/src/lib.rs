//! One shard of kv: protocol, data types, commands, keyspace. No socket, no thread, no clock, no file.
//!
//! Layers, each using only those below it (a test reads the `use` lines):
//!
//! ```text
//! families   one file per command family: rows on top, handlers under them
//! command    what one command is: row, table, Args, Ctx, errors
//! store      the keys of one shard: entries, lookup, expiry, scan
//! persist    bytes <-> meaning of what is kept on disk: values, records, log, snapshot, manifest
//! types      what a value can do; knows no command and no protocol
//! structs    containers without meaning: table, timing wheel
//! resp       bytes <-> values; knows no command
//! ```

pub mod command;
pub mod families;
pub mod persist;
pub mod resp;
pub mod store;
pub mod structs;
pub mod types;
