//! Helpers shared by the tests.

pub mod redis;
