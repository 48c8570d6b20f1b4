//! Containers without meaning: they know no command, no key and no clock.

pub mod heap;
pub mod packed;
pub mod random;
pub mod table;
pub mod wheel;
