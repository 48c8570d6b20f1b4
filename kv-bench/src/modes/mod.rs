//! What the program can be asked to do, in terms of loads and results.

pub mod bench;
pub mod expiry;
