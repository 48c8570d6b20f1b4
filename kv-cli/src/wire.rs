//! A connection that carries many requests at once, in RESP2, and the words for what goes wrong on it.

use std::fmt;
use std::io;

use kv_core::resp::client::{Value, encode_request};

use crate::args::Target;
use crate::connection::{Connection, Lost};

/// Why an export or import ended early.
#[derive(Debug)]
pub enum Problem {
    /// The server cannot be reached, or does not let us in.
    Unreachable(String),
    /// Anything else, in words.
    Failed(String),
}

impl Problem {
    pub fn failed(text: impl Into<String>) -> Problem {
        Problem::Failed(text.into())
    }

    /// The standard output cannot be written to. A reader who has enough is told nothing.
    pub fn output(error: io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::BrokenPipe => std::process::exit(2),
            _ => Problem::Failed(format!("standard output: {error}")),
        }
    }

    /// The exit status that says so.
    pub fn status(&self) -> u8 {
        match self {
            Problem::Failed(_) => 1,
            Problem::Unreachable(_) => 2,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unreachable(text) | Problem::Failed(text) => f.write_str(text),
        }
    }
}

impl From<Lost> for Problem {
    fn from(lost: Lost) -> Problem {
        Problem::Unreachable(lost.to_string())
    }
}

/// The text of a reply, empty for those that have none.
pub fn text_of(reply: &Value) -> String {
    String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned()
}

/// An error reply in the server's words.
pub fn error_text(value: &Value) -> Option<String> {
    match value {
        Value::Error(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

#[derive(Debug)]
pub struct Wire {
    connection: Connection,
    /// Requests that are not sent yet.
    out: Vec<u8>,
}

impl Wire {
    /// Connects. Unlike at a prompt, a refused password ends it: what follows could only fail.
    pub fn open(target: &Target) -> Result<Wire, Problem> {
        let target = Target { resp3: false, ..target.clone() };
        let (connection, refusals) = Connection::open(&target)?;
        match refusals.first() {
            Some(refusal) => Err(Problem::Unreachable(refusal.to_string())),
            None => Ok(Wire { connection, out: Vec::new() }),
        }
    }

    /// Adds a request to those to be sent.
    pub fn push<A: AsRef<[u8]>>(&mut self, request: &[A]) {
        encode_request(&mut self.out, request);
    }

    /// Bytes of requests that wait to be sent.
    pub fn waiting_bytes(&self) -> usize {
        self.out.len()
    }

    /// Sends what waits. Servers read on while nobody reads their replies, so this ends.
    pub fn send(&mut self) -> Result<(), Lost> {
        /// A buffer that grew over this is let go.
        const KEPT_BYTES: usize = 4 << 20;
        self.connection.send_bytes(&self.out)?;
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
        Ok(())
    }

    /// From now on, reading fails when nothing comes for so long.
    pub fn set_patience(&mut self, patience: Option<std::time::Duration>) -> Result<(), Lost> {
        Ok(self.connection.set_patience(patience)?)
    }

    /// The next reply.
    pub fn read(&mut self) -> Result<Value, Lost> {
        self.connection.read()
    }

    /// Sends a request and waits for its reply. No other reply may be due.
    pub fn ask<A: AsRef<[u8]>>(&mut self, request: &[A]) -> Result<Value, Lost> {
        self.push(request);
        self.send()?;
        self.read()
    }

    /// The same; an error reply is a problem.
    pub fn demand(&mut self, request: &[&str]) -> Result<Value, Problem> {
        let value = self.ask(request)?;
        match error_text(&value) {
            Some(text) => Err(Problem::failed(format!("{}: {text}", request.join(" ")))),
            None => Ok(value),
        }
    }

    /// What INFO tells of the server; empty where it may not be asked.
    pub fn server_info(&mut self) -> Result<String, Problem> {
        let reply = self.ask(&["INFO", "server"])?;
        Ok(if reply.is_error() { String::new() } else { text_of(&reply) })
    }

    /// The first number of the version of Redis that the server is, or says it is like.
    pub fn redis_version(&mut self) -> Result<Option<u32>, Problem> {
        let text = self.server_info()?;
        Ok(info_field(&text, "redis_version").and_then(|version| version.split('.').next()?.parse().ok()))
    }

    /// The server's clock, in milliseconds of Unix time.
    pub fn time_ms(&mut self) -> Result<u64, Problem> {
        let reply = self.demand(&["TIME"])?;
        time_of(&reply).ok_or_else(|| unexpected("TIME", &reply))
    }
}

/// A field of INFO's reply.
pub fn info_field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The moment in a reply to TIME.
pub fn time_of(reply: &Value) -> Option<u64> {
    let Value::Array(parts) = reply else { return None };
    let [seconds, micros] = parts.as_slice() else { return None };
    number(seconds)?.checked_mul(1000)?.checked_add(number(micros)? / 1000)
}

/// A number without sign, as an integer or as text.
pub fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => std::str::from_utf8(other.bytes()?).ok()?.parse().ok(),
    }
}

/// A reply that no server should give.
pub fn unexpected(command: &str, reply: &Value) -> Problem {
    let mut shown = format!("{reply:?}");
    if shown.len() > 200 {
        let end = (0..=200).rev().find(|&at| shown.is_char_boundary(at)).unwrap_or(0);
        shown.truncate(end);
    }
    Problem::failed(format!("{command}: an unexpected reply: {shown}"))
}
