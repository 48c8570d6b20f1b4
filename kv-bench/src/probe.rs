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
use kv_core::resp::client::encode_request;
use serde::Serialize;

use crate::args::Probe;
use crate::driver::{latency_histogram, nanos, now};
use crate::replies::{Errors, Replies};
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
    let (command, schedule) = plan(options);
    let seen = measure(server, &command, schedule)?;
    let result = ProbeResult {
        command: &command.join(" "),
        interval_us: options.interval_us,
        requests: schedule.count,
        latency_ms: Latency::of(&seen.latency),
        from_sending_ms: Latency::of(&seen.from_sending),
        sender_late_ms: Latency::of(&seen.sender_late),
        errors: seen.errors.count,
        first_error: seen.errors.first.as_deref(),
    };
    print!("{}", result.text(style));
    Ok(seen.errors.count == 0)
}

fn plan(options: &Probe) -> (Vec<String>, Schedule) {
    let command = match options.command.as_slice() {
        [] => ["GET", "probe"].map(str::to_owned).to_vec(),
        words => words.to_vec(),
    };
    let interval = Duration::from_micros(options.interval_us);
    let count = (options.seconds / interval.as_secs_f64()).ceil().max(1.0) as u64;
    (command, Schedule { interval, count })
}

fn measure(server: &Server, command: &[String], schedule: Schedule) -> Result<Seen> {
    let mut request = Vec::new();
    encode_request(&mut request, command);
    let receiving = server.connect()?.into_stream();
    receiving.set_read_timeout(Some(SILENCE_MAX))?;
    let sending = receiving.try_clone()?;
    let clock = Clock { start: now() + schedule.interval };
    let (sent, stamps) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || send_all(sending, &request, schedule, clock, &sent));
        receive_all(receiving, schedule, clock, &stamps)
    })
}

/// How many requests are due, and when: the first at the clock's beginning.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    interval: Duration,
    count: u64,
}

impl Schedule {
    fn due_ns(&self, request: u64) -> u64 {
        nanos(self.interval) * request
    }
}

#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
}

impl Clock {
    /// Nanoseconds since the first request was due.
    fn now_ns(&self) -> u64 {
        nanos(now().saturating_duration_since(self.start))
    }
}

/// Sends each request at its moment, or at once if that has passed, and tells when.
fn send_all(mut stream: TcpStream, request: &[u8], schedule: Schedule, clock: Clock, sent: &Sender<u64>) {
    for i in 0..schedule.count {
        let due = clock.start + Duration::from_nanos(schedule.due_ns(i));
        pause(due.saturating_duration_since(now()));
        // The receiver hears of it first, since the reply may be faster. It also finds out if the connection breaks.
        if sent.send(clock.now_ns()).is_err() || stream.write_all(request).is_err() {
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
    errors: Errors,
}

fn receive_all(mut stream: TcpStream, schedule: Schedule, clock: Clock, stamps: &Receiver<u64>) -> Result<Seen> {
    let mut seen = Seen {
        latency: latency_histogram(),
        from_sending: latency_histogram(),
        sender_late: latency_histogram(),
        errors: Errors::default(),
    };
    let mut replies = Replies::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut answered = 0;
    while answered < schedule.count {
        let len = match stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("no reply for {} s", SILENCE_MAX.as_secs())
            }
            Err(error) => return Err(error).context("the connection broke"),
        };
        let now_ns = clock.now_ns();
        for _ in 0..replies.count(&buffer[..len])? {
            let sent_ns = stamps.recv().map_err(|_| anyhow!("a reply without a request"))?;
            let due_ns = schedule.due_ns(answered);
            // A clock read for the reply may lie before a moment that is only a nanosecond away.
            seen.latency.saturating_record(now_ns.saturating_sub(due_ns));
            seen.from_sending.saturating_record(now_ns.saturating_sub(sent_ns));
            seen.sender_late.saturating_record(sent_ns.saturating_sub(due_ns));
            answered += 1;
        }
    }
    seen.errors = replies.errors;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::serve;

    fn options(interval_us: u64, seconds: f64, command: &[&str]) -> Probe {
        Probe { interval_us, seconds, command: command.iter().map(|word| (*word).to_owned()).collect() }
    }

    #[test]
    fn the_schedule_covers_the_time_asked_for() {
        let (command, schedule) = plan(&options(300, 10.0, &[]));
        assert_eq!((command.join(" ").as_str(), schedule.count), ("GET probe", 33_334));
        assert_eq!(schedule.due_ns(3), 900_000);
        assert_eq!(plan(&options(1000, 0.0, &["PING"])).1.count, 1);
    }

    #[test]
    fn every_request_is_sent_and_answered_once() {
        let server = serve(|n, args| {
            assert_eq!(args[0].bytes(), Some(&b"PING"[..]));
            Some(if n % 4 == 0 { b"-ERR no\r\n".to_vec() } else { b"+PONG\r\n".to_vec() })
        });
        let (command, schedule) = plan(&options(10, 0.001, &["PING"]));
        let seen = measure(&server, &command, schedule).unwrap();
        assert_eq!((seen.latency.len(), seen.from_sending.len(), seen.sender_late.len()), (100, 100, 100));
        assert_eq!((seen.errors.count, seen.errors.first.as_deref()), (25, Some("ERR no")));
    }

    #[test]
    fn a_stall_is_felt_by_every_request_that_falls_into_it() {
        // Replies come only when the last request was sent: all waited at least until then.
        let server = serve(|n, _| Some(if n < 99 { Vec::new() } else { b"+PONG\r\n".repeat(100) }));
        let (command, schedule) = plan(&options(100, 0.01, &["PING"]));
        let seen = measure(&server, &command, schedule).unwrap();
        assert_eq!(seen.latency.len(), 100);
        assert!(seen.latency.max() >= schedule.due_ns(99));
        assert!(seen.latency.value_at_quantile(0.5) as f64 >= schedule.due_ns(49) as f64 * 0.99);
    }

    #[test]
    fn a_server_that_hangs_up_is_a_failure() {
        let server = serve(|n, _| (n < 3).then(|| b"+PONG\r\n".to_vec()));
        let (command, schedule) = plan(&options(10, 0.001, &["PING"]));
        assert!(measure(&server, &command, schedule).is_err());
    }
}
