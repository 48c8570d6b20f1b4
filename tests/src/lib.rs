//! Helpers shared by the tests.

pub mod client;
pub mod contents;
pub mod process;
pub mod redis;
pub mod requests;
pub mod samples;
pub mod script;
