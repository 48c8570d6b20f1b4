//! Helpers shared by the tests.

pub mod client;
pub mod process;
pub mod redis;
pub mod requests;
pub mod script;
