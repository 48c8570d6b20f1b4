//! The protocol: bytes <-> values, in both directions. Knows no command.
//!
//! A server reads requests with `decode` and writes replies with `reply`; a client does the reverse with `client`, and
//! reads what a person types with `line`. `number` holds the text forms of numbers, which are part of the protocol and
//! of what a stored value may look like. No other module writes a CRLF.

pub mod client;
pub mod decode;
pub mod encoded;
pub mod line;
pub mod number;
pub mod reply;

pub use decode::{Arg, DecodeError, Decoded, Decoder, Limits};
pub use reply::{Proto, Reply};
