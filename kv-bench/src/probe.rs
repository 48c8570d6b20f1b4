//! One client's waiting times: a command at fixed moments, whether or not the one before is answered.
//!
//! Every latency counts from the moment at which the request *should* have been sent, so that a stall is felt by all
//! requests that fall into it, as real clients would feel it. One thread sends, one receives; so the other end of the
//! truth is told too: how late the sender itself was (the machine was busy, not the server), and the latency from the
//! moment of sending.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use hdrhistogram::Histogram;
use kv_core::resp::client::{Skipped, Skipper, encode_request};
use serde::Serialize;

use crate::args::Probe;
use crate::driver::{latency_histogram, nanos, now};
use crate::report::{Latency, Style, json};
use crate::server::Server;

/// A server that answers nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct ProbeResult<'a> {
    command: &'a str,
    interval_us: u64,
    requests: u64,
    latency_ms: Latency,
    from_sending_ms: Latency,
    sender_late_ms: Latency,
    errors: u64,
    first_error: Option<&'a str>,
}

pub fn run(server: &Server, options: &Probe, style: Style) -> Result<bool> {
    let command =
        if options.command.is_empty() { vec!["GET".to_owned(), "probe".to_owned()] } else { options.command.clone() };
    let mut request = Vec::new();
    encode_request(&mut request, &command);
    let interval = Duration::from_micros(options.interval_us);
    let count = (options.seconds / interval.as_secs_f64()).ceil().max(1.0) as u64;

    let receiving = server.connect()?.into_stream();
    receiving.set_read_timeout(Some(SILENCE_MAX))?;
    let sending = receiving.try_clone()?;
    let schedule = Schedule { start: now() + interval, interval, count };
    let (sent, stamps) = mpsc::channel();
    let seen = std::thread::scope(|scope| {
        scope.spawn(move || send_all(sending, &request, schedule, &sent));
        receive_all(receiving, schedule, &stamps)
    })?;

    let result = ProbeResult {
        command: &command.join(" "),
        interval_us: options.interval_us,
        requests: count,
        latency_ms: Latency::of(&seen.latency),
        from_sending_ms: Latency::of(&seen.from_sending),
        sender_late_ms: Latency::of(&seen.sender_late),
        errors: seen.errors,
        first_error: seen.first_error.as_deref(),
    };
    print!("{}", result.text(style));
    Ok(seen.errors == 0)
}

/// When requests are due.
#[derive(Clone, Copy)]
struct Schedule {
    start: Instant,
    interval: Duration,
    count: u64,
}

impl Schedule {
    fn due_ns(&self, request: u64) -> u64 {
        nanos(self.interval) * request
    }

    /// Nanoseconds since the first request was due.
    fn now_ns(&self) -> u64 {
        nanos(now().saturating_duration_since(self.start))
    }
}

/// Sends each request at its moment, or at once if that has passed, and tells when.
fn send_all(mut stream: TcpStream, request: &[u8], schedule: Schedule, sent: &Sender<u64>) {
    for i in 0..schedule.count {
        let due = schedule.start + Duration::from_nanos(schedule.due_ns(i));
        pause(due.saturating_duration_since(now()));
        // The receiver hears of it first, since the reply may be faster. It also finds out if the connection breaks.
        if sent.send(schedule.now_ns()).is_err() || stream.write_all(request).is_err() {
            return;
        }
    }
}

#[allow(clippy::disallowed_methods)] // keeping time is what this program is for
pub fn pause(span: Duration) {
    if !span.is_zero() {
        std::thread::sleep(span);
    }
}

struct Seen {
    latency: Histogram<u64>,
    from_sending: Histogram<u64>,
    sender_late: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
}

fn receive_all(mut stream: TcpStream, schedule: Schedule, stamps: &Receiver<u64>) -> Result<Seen> {
    let mut seen = Seen {
        latency: latency_histogram(),
        from_sending: latency_histogram(),
        sender_late: latency_histogram(),
        errors: 0,
        first_error: None,
    };
    let mut skipper = Skipper::default();
    let mut buffer = vec![0; 64 * 1024];
    let (mut rest, mut within) = (Vec::new(), false);
    let mut replies = 0;
    while replies < schedule.count {
        let len = match stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("no reply for {} s", SILENCE_MAX.as_secs())
            }
            Err(error) => return Err(error).context("the connection broke"),
        };
        let now_ns = schedule.now_ns();
        rest.extend_from_slice(&buffer[..len]);
        let mut at = 0;
        while at < rest.len() {
            let is_error = !within && rest[at] == b'-';
            match skipper.skip(&rest[at..])? {
                Skipped::Part(len) => {
                    within |= len > 0;
                    at += len;
                    break;
                }
                Skipped::Whole(len) => {
                    if is_error {
                        seen.errors += 1;
                        let text = || String::from_utf8_lossy(rest[at + 1..at + len].trim_ascii_end()).into_owned();
                        seen.first_error.get_or_insert_with(text);
                    }
                    let sent_ns = stamps.recv().map_err(|_| anyhow!("a reply without a request"))?;
                    let due_ns = schedule.due_ns(replies);
                    // A clock read for the reply may lie before a moment that is only a nanosecond away.
                    seen.latency.saturating_record(now_ns.saturating_sub(due_ns));
                    seen.from_sending.saturating_record(now_ns.saturating_sub(sent_ns));
                    seen.sender_late.saturating_record(sent_ns.saturating_sub(due_ns));
                    replies += 1;
                    at += len;
                    within = false;
                }
            }
        }
        rest.drain(..at);
    }
    Ok(seen)
}

impl ProbeResult<'_> {
    fn text(&self, style: Style) -> String {
        match style {
            Style::Json => json(self),
            Style::Csv => {
                let row = |latency: &Latency| {
                    let Latency { avg, min, p50, p90, p95, p99, p999, max } = latency;
                    format!("{avg:.3},{min:.3},{p50:.3},{p90:.3},{p95:.3},{p99:.3},{p999:.3},{max:.3}\n")
                };
                "\"measured_from\",\"avg_ms\",\"min_ms\",\"p50_ms\",\"p90_ms\",\"p95_ms\",\"p99_ms\",\"p99.9_ms\",\"max_ms\"\n"
                    .to_owned()
                    + "\"intended\","
                    + &row(&self.latency_ms)
                    + "\"sending\","
                    + &row(&self.from_sending_ms)
            }
            Style::Full | Style::Quiet => {
                let mut text = format!(
                    "{}: {} requests, one every {} us\n  latency ms:      {}\n  from sending ms: {}\n  sender late ms:  {}\n",
                    self.command,
                    self.requests,
                    self.interval_us,
                    self.latency_ms,
                    self.from_sending_ms,
                    self.sender_late_ms
                );
                if let Some(error) = self.first_error {
                    text += &format!("  ERRORS: {}, the first: {error}\n", self.errors);
                }
                text
            }
        }
    }
}
