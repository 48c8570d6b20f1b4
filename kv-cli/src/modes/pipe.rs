//! `--pipe`: bytes of protocol from the standard input to the server, as fast as it takes them, and its replies counted.
//!
//! One thread writes and one reads, so that neither side waits for the other's buffer. The end is told by the reply to an
//! ECHO of random bytes behind everything else: the input may have any number of requests.

use std::io::{self, Read};
use std::sync::mpsc;
use std::time::Duration;

use kv_core::resp::client::{Value, encode_request};

use crate::args::Target;
use crate::connection::{Connection, Lost};
use crate::wire::Problem;

/// Errors that are shown; the others are counted only.
const SHOWN_MAX: u64 = 100;

/// Whether all replies were fine.
pub fn run(target: &Target, patience: Option<Duration>) -> Result<bool, Problem> {
    let (connection, refusals) = Connection::open(target)?;
    if let Some(refusal) = refusals.first() {
        return Err(Problem::Unreachable(refusal.to_string()));
    }
    let system = |error: io::Error| Problem::failed(error.to_string());
    let mut reader = connection;
    let mut writer = reader.try_clone().map_err(system)?;
    let mut last = [0; 20];
    getrandom::fill(&mut last).map_err(|error| Problem::failed(error.to_string()))?;
    let (sent, all_sent) = mpsc::channel();
    // Whatever ends the reader ends the program, and the writer with it.
    std::thread::spawn(move || {
        let _ = sent.send(write_all(&mut writer, &last));
    });
    let mut counted = Counted::default();
    let mut writing = true;
    // While there is input, the server may be silent: an input that trickles is none of its faults.
    reader.set_patience(Some(LOOK)).map_err(system)?;
    loop {
        match reader.read() {
            Ok(value) if value.bytes() == Some(&last[..]) && !value.is_error() => break,
            Ok(value) => counted.add(&value),
            Err(Lost::Io(error)) if writing && is_late(&error) => {}
            Err(Lost::Io(error)) if is_late(&error) => {
                let seconds = patience.unwrap_or_default().as_secs_f64();
                return Err(Problem::Unreachable(format!("no reply for {seconds} s; {}", counted.text())));
            }
            Err(lost) => return Err(Problem::Unreachable(format!("{lost}; {}", counted.text()))),
        }
        if writing && let Ok(outcome) = all_sent.try_recv() {
            outcome?;
            eprintln!("kv-cli: all is sent, waiting for the last replies");
            writing = false;
            reader.set_patience(patience).map_err(system)?;
        }
    }
    super::print(&format!("{}\n", counted.text()))?;
    Ok(counted.errors == 0)
}

/// How often the reader looks whether the writer has ended.
const LOOK: Duration = Duration::from_millis(200);

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn write_all(connection: &mut Connection, last: &[u8]) -> Result<(), Problem> {
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => connection.send_bytes(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Problem::failed(format!("standard input: {error}"))),
        }
    }
    // A line end, so that an inline command that lacks one does not swallow it; an empty line is no request.
    let mut end = b"\r\n".to_vec();
    encode_request(&mut end, &[b"ECHO", last]);
    Ok(connection.send_bytes(&end)?)
}

#[derive(Default)]
struct Counted {
    replies: u64,
    errors: u64,
}

impl Counted {
    fn add(&mut self, reply: &Value) {
        if matches!(reply, Value::Push(_)) {
            return;
        }
        self.replies += 1;
        if let Value::Error(text) = reply {
            self.errors += 1;
            if self.errors <= SHOWN_MAX {
                eprintln!("{}", String::from_utf8_lossy(text));
            }
        }
    }

    fn text(&self) -> String {
        format!("errors: {}, replies: {}", self.errors, self.replies)
    }
}
