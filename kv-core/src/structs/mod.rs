//! Containers without meaning: they know no command, no key and no clock.

pub mod chain;
pub mod dict;
pub mod freezable;
pub mod heap;
pub mod huge;
pub mod ints;
pub mod packed;
pub mod random;
pub mod ranked;
mod segments;
pub mod slab;
pub mod table;
pub mod wheel;
