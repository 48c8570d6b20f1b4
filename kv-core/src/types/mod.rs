//! What values can do, apart from commands and protocol: each module works on bytes and knows neither keys nor replies.
//!
//! Where a form is Redis's own (a HyperLogLog is a string that clients may copy), it is the same byte for byte.

pub mod bits;
pub mod geo;
pub mod hash;
pub mod hll;
pub mod lcs;
pub mod library;
pub mod limits;
pub mod list;
pub mod pattern;
pub mod set;
pub mod stream;
pub mod zset;

pub use hash::{Hash, HashRef};
pub use library::Library;
pub use limits::{Limits, ListNodeLimit};
pub use list::{List, ListRef};
pub use set::{Set, SetRef};
pub use stream::Stream;
pub use zset::{ZSet, ZSetRef};
