//! Sends one command and shows what comes back, which is not always one reply.
//!
//! SUBSCRIBE and MONITOR never end; UNSUBSCRIBE answers once a channel; CLIENT REPLY OFF not at all; SHUTDOWN by
//! closing. In RESP3, messages may stand between replies. One-shot mode and the prompt both go through [`exchange`].

use std::fmt;
use std::io::{self, IsTerminal, Write};

use kv_core::resp::client::Value;

use crate::args::Options;
use crate::connection::{Connection, Lost, Step};
use crate::format::{Format, Style};
use crate::shape;

/// Whether a reply was an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    None,
    Some,
}

impl Errors {
    pub fn or(self, other: Errors) -> Errors {
        if self == Errors::Some { self } else { other }
    }
}

/// What ends the program or, at the prompt, the connection.
#[derive(Debug)]
pub enum Failure {
    Lost(Lost),
    /// The standard output cannot be written to.
    Output(io::Error),
    /// Something else, in words.
    Other(String),
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Failure {
        Failure::Lost(lost)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Lost(lost) => lost.fmt(f),
            Failure::Output(error) => write!(f, "kv-cli: standard output: {error}"),
            Failure::Other(text) => f.write_str(text),
        }
    }
}

/// The command given on the command line, as often as it says.
pub fn one_shot(options: &Options, command: &[Vec<u8>]) -> Result<Errors, Failure> {
    let (mut connection, refusals) = Connection::open(&options.target)?;
    for refusal in refusals {
        // Without AUTH the server itself decides; in the wrong database or protocol nothing must be sent.
        match refusal.step {
            Step::Auth => eprintln!("{refusal}"),
            Step::Hello | Step::Select => return Err(Failure::Other(refusal.to_string())),
        }
    }
    let mut errors = Errors::None;
    let mut sent = 0;
    while options.repeat.is_none_or(|times| sent < times) {
        if sent > 0 {
            wait(options);
        }
        sent += 1;
        let last = exchange(&mut connection, options, command, |format, value, _| show(format, value))?;
        errors = errors.or(last.errors);
    }
    Ok(errors)
}

/// The pause of `-i` between two commands.
#[allow(clippy::disallowed_methods)] // a pause is what the user asked for
pub fn wait(options: &Options) {
    if !options.interval.is_zero() {
        std::thread::sleep(options.interval);
    }
}

/// What a command brought.
#[derive(Debug)]
pub struct Exchange {
    pub errors: Errors,
    /// The last reply; `None` if the command has none.
    pub reply: Option<Value>,
    /// The server closed the connection, and that is what the command asks for.
    pub closed: bool,
}

/// Sends `command` and shows all its replies and the messages between them, by `show`, which is also told whether they go
/// on until Ctrl-C.
pub fn exchange(
    connection: &mut Connection,
    options: &Options,
    command: &[Vec<u8>],
    mut show: impl FnMut(&Format, &Value, bool) -> io::Result<()>,
) -> Result<Exchange, Failure> {
    let words: Vec<String> = command.iter().take(3).map(|arg| upper(arg)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let format = format_for(&options.format, &words);
    let mut expected = Expected::of(&words, command.len());
    let mut done = Exchange { errors: Errors::None, reply: None, closed: false };
    connection.send(command)?;
    while expected != Expected::Replies(0) {
        let value = match connection.read() {
            Err(Lost::Closed) if words.first() == Some(&"SHUTDOWN") => {
                done.closed = true;
                break;
            }
            other => other?,
        };
        let is_reply = !is_message(&value) || answers(&value, &words);
        if is_reply || options.show_pushes || expected == Expected::Stream {
            let streams = expected == Expected::Stream;
            if matches!(format.style, Style::Json | Style::QuotedJson) && is_reply {
                show(&format, &shape::of_reply(&words, value.clone()), streams)
            } else {
                show(&format, &value, streams)
            }
            .map_err(Failure::Output)?;
        }
        if value.is_error() {
            done.errors = Errors::Some;
        }
        // Refused, or put into a transaction: then that is the only reply.
        if done.reply.is_none() && (value.is_error() || value == Value::Simple(b"QUEUED".to_vec())) {
            expected = Expected::Replies(0);
        } else if is_reply {
            expected.count();
        }
        if expected == Expected::Stream && done.reply.is_none() && io::stdin().is_terminal() {
            eprintln!("(messages follow; Ctrl-C ends them)");
        }
        done.reply = Some(value);
    }
    Ok(done)
}

/// Writes a value at once: a reader of our output should not wait for the next one.
pub fn show(format: &Format, value: &Value) -> io::Result<()> {
    let mut text = Vec::new();
    format.write(&mut text, value);
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()
}

fn upper(arg: &[u8]) -> String {
    String::from_utf8_lossy(arg).to_ascii_uppercase()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Replies(usize),
    /// Until the connection ends.
    Stream,
}

impl Expected {
    fn of(words: &[&str], args: usize) -> Expected {
        match words {
            ["SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "MONITOR", ..] => Expected::Stream,
            ["UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE", ..] => Expected::Replies((args - 1).max(1)),
            ["CLIENT", "REPLY", "OFF" | "SKIP"] => Expected::Replies(0),
            _ => Expected::Replies(1),
        }
    }

    fn count(&mut self) {
        if let Expected::Replies(missing) = self {
            *missing -= 1;
        }
    }
}

fn is_message(value: &Value) -> bool {
    matches!(value, Value::Push(_))
}

/// In RESP3, UNSUBSCRIBE answers with messages that bear its name.
fn answers(message: &Value, words: &[&str]) -> bool {
    let (Value::Push(items), [name, ..]) = (message, words) else { return false };
    name.ends_with("UNSUBSCRIBE")
        && items.first().and_then(Value::bytes).is_some_and(|kind| kind.eq_ignore_ascii_case(name.as_bytes()))
}

/// Reports made for people are shown as they are on a terminal too.
fn format_for(format: &Format, words: &[&str]) -> Format {
    let is_report = matches!(
        words,
        ["INFO" | "LOLWUT", ..]
            | ["MEMORY", "DOCTOR" | "MALLOC-STATS", ..]
            | ["LATENCY", "DOCTOR" | "GRAPH", ..]
            | ["CLIENT", "LIST" | "INFO", ..]
            | ["CLUSTER", "NODES" | "INFO", ..]
            | ["DEBUG", "HTSTATS" | "HTSTATS-KEY", ..]
    );
    match format.style {
        Style::Typed if is_report => Format { style: Style::Report, ..format.clone() },
        _ => format.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_differ_in_how_many_replies_they_have() {
        assert_eq!(Expected::of(&["GET", "K"], 2), Expected::Replies(1));
        assert_eq!(Expected::of(&["SUBSCRIBE", "A", "B"], 3), Expected::Stream);
        assert_eq!(Expected::of(&["PUNSUBSCRIBE"], 1), Expected::Replies(1));
        assert_eq!(Expected::of(&["UNSUBSCRIBE", "A", "B"], 3), Expected::Replies(2));
        assert_eq!(Expected::of(&["CLIENT", "REPLY", "SKIP"], 3), Expected::Replies(0));
        assert_eq!(Expected::of(&["CLIENT", "REPLY", "ON"], 3), Expected::Replies(1));
    }

    #[test]
    fn reports_are_bare_on_a_terminal_and_follow_the_style_elsewhere() {
        assert_eq!(format_for(&Format::new(Style::Typed), &["CLIENT", "LIST"]).style, Style::Report);
        assert_eq!(format_for(&Format::new(Style::Typed), &["CLIENT", "ID"]).style, Style::Typed);
        assert_eq!(format_for(&Format::new(Style::Json), &["INFO"]).style, Style::Json);
    }
}
