//! Many shards of `kv_core` behind sockets.
//!
//! `engine` is a state machine fed with bytes, messages and the time; `io` is the machine around it; `config` the options.

pub mod config;
pub mod engine;
pub mod io;
pub mod lua;
