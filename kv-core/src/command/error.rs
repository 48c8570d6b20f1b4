//! Why a command was refused. The `Display` form is the error reply, word for word Redis's.

use crate::resp::number::DecimalError;
use crate::types::{hll, lcs};
use std::borrow::Cow;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    WrongType,
    Syntax,
    NotInteger,
    NotFloat,
    OutOfRange,
    NoSuchKey,
    /// The increment or the result does not fit.
    Overflow,
    NanOrInfinity,
    StringTooLong,
    DbIndex,
    /// `invalid expire time in 'set' command`; the name in lower case.
    InvalidExpire(&'static str),
    /// The name as Redis prints it: lower case, a subcommand as `client|list`.
    WrongArity(String),
    /// The whole text after `ERR `.
    Err(Cow<'static, str>),
    /// The whole text with its code, such as `INVALIDOBJ Corrupted HLL object detected`.
    Coded(Cow<'static, str>),
}

impl CommandError {
    pub fn err(text: impl Into<Cow<'static, str>>) -> Self {
        CommandError::Err(text.into())
    }

    /// Whether it says what the value of a key is: a client may keep it like a value.
    pub fn tells_of_value(&self) -> bool {
        matches!(self, CommandError::WrongType | CommandError::NoSuchKey)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::WrongType => f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value"),
            CommandError::Syntax => f.write_str("ERR syntax error"),
            CommandError::NotInteger => f.write_str("ERR value is not an integer or out of range"),
            CommandError::NotFloat => f.write_str("ERR value is not a valid float"),
            CommandError::OutOfRange => f.write_str("ERR index out of range"),
            CommandError::NoSuchKey => f.write_str("ERR no such key"),
            CommandError::Overflow => f.write_str("ERR increment or decrement would overflow"),
            CommandError::NanOrInfinity => f.write_str("ERR increment would produce NaN or Infinity"),
            CommandError::StringTooLong => f.write_str("ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
            CommandError::DbIndex => f.write_str("ERR DB index is out of range"),
            CommandError::InvalidExpire(name) => write!(f, "ERR invalid expire time in '{name}' command"),
            CommandError::WrongArity(name) => write!(f, "ERR wrong number of arguments for '{name}' command"),
            CommandError::Err(text) => write!(f, "ERR {text}"),
            CommandError::Coded(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<DecimalError> for CommandError {
    fn from(error: DecimalError) -> CommandError {
        match error {
            DecimalError::NotAFloat => CommandError::NotFloat,
            DecimalError::NotFinite => CommandError::NanOrInfinity,
        }
    }
}

impl From<lcs::Refused> for CommandError {
    fn from(refused: lcs::Refused) -> CommandError {
        CommandError::err(match refused {
            lcs::Refused::TableTooBig => "Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            lcs::Refused::OutOfMemory => "Insufficient memory, failed allocating transient memory for LCS",
        })
    }
}

impl From<hll::Corrupt> for CommandError {
    fn from(hll::Corrupt: hll::Corrupt) -> CommandError {
        CommandError::Coded("INVALIDOBJ Corrupted HLL object detected".into())
    }
}
