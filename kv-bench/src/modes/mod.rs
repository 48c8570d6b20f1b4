//! What the program can be asked to do, in terms of loads and results.

pub mod against;
pub mod bench;
pub mod drill;
pub mod expiry;
pub mod find_max;
pub mod suite;
