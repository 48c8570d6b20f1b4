//! Scripts: text that reads like a session, `tests/scripts/*.kvt`.
//!
//! ```text
//! # A line like this is a comment.
//! == SET with GET tells what was there
//! > SET k v GET
//! nil
//! > SET k w GET
//! "v"
//! ```
//!
//! A section begins with `==` and its title. It gets an empty server and fresh connections. In it:
//!
//! | line | meaning |
//! |---|---|
//! | `> WORDS` | sends a request, quoted as in redis-cli; the lines below are the replies expected |
//! | `a> WORDS` | the same on the connection `a`, which is opened when it is first named |
//! | `until> WORDS` | asks again and again until the reply is the one expected |
//! | `raw> "BYTES"` | sends bytes as they are; as many lines below as there are replies |
//! | `a<` | sends nothing; the lines below are what comes now |
//! | `@resp 3` | this section in this protocol only |
//! | `@options --name value ...` | this section with a server of its own, started like this; a folder is `$DIR` |
//! | `@unlike-redis REASON` | this section is not tried with redis-server, whose answers differ |
//!
//! A reply is written as in the table at [`Pattern`]; a line that begins with a space continues the one before. Instead of
//! a reply: `silent` (none comes), `later` (it comes further below, after `a<`), `closed` (the connection ends). In a
//! request `$name` stands for what a pattern has caught, and `$PAD:n` for n bytes `x`.
//!
//! The expected text is the same for both protocols where a client library would show the same: a map is an array of
//! twice as many elements in RESP2, and so on.

mod parse;
mod pattern;
mod player;

pub use parse::{Expected, Script, Section, Step};
pub use pattern::{Bindings, Pattern};
pub use player::{Host, play};
