//! Results as text: for people, one line a test, CSV, JSON (docs/kv-bench.md tells the columns and fields).

use std::io::{IsTerminal, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::driver::{Load, Outcome, Progress};
use crate::workload::Numbers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Full,
    Quiet,
    Csv,
    Json,
}

/// The first eight are redis-benchmark's, in its order.
const CSV_HEAD: &str = concat!(
    r#""test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","#,
    r#""max_latency_ms","p90_latency_ms","p99.9_latency_ms","requests","errors""#
);

/// Times in milliseconds, to the microsecond.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub avg: f64,
    pub min: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let ms = |ns: f64| (ns / 1e3).round() / 1e3;
        let at = |quantile| ms(histogram.value_at_quantile(quantile) as f64);
        Latency {
            avg: ms(histogram.mean()),
            min: ms(histogram.min() as f64),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(histogram.max() as f64),
        }
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "avg {:.3}  min {:.3}  p50 {:.3}  p90 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3}",
            self.avg, self.min, self.p50, self.p90, self.p99, self.p999, self.max
        )
    }
}

#[derive(Serialize)]
struct TestResult<'a> {
    test: &'a str,
    connections: u32,
    pipeline: u32,
    threads: u32,
    data_bytes: usize,
    keyspace: Option<u64>,
    seconds: f64,
    requests: u64,
    rps: f64,
    latency_ms: Latency,
    /// Requests answered before the slowest was.
    slowest_at: u64,
    errors: u64,
    first_error: Option<&'a str>,
}

/// Prints each result as it comes.
pub struct Report {
    style: Style,
    any_result: bool,
    any_error: bool,
}

impl Report {
    pub fn new(style: Style) -> Report {
        Report { style, any_result: false, any_error: false }
    }

    /// Keeps one line of the terminal up to date.
    pub fn progress(&self, name: &str) -> impl FnMut(Progress) + use<> {
        let shown = std::io::stderr().is_terminal();
        let name = name.to_owned();
        let mut before = (Duration::ZERO, 0);
        move |progress| {
            if shown {
                eprint!("\r\x1b[K{}", progress_line(&name, progress, before));
                before = (progress.elapsed, progress.requests);
            }
        }
    }

    pub fn add(&mut self, name: &str, load: &Load, outcome: &Outcome) {
        let seconds = outcome.elapsed.as_secs_f64();
        let result = TestResult {
            test: name,
            connections: load.connections,
            pipeline: load.pipeline,
            threads: load.threads,
            data_bytes: load.data_bytes,
            keyspace: match load.numbers {
                Numbers::Zero => None,
                Numbers::Random { keys, .. } | Numbers::Sequence { keys } => Some(keys),
            },
            seconds: (seconds * 1e6).round() / 1e6,
            requests: outcome.requests,
            rps: if seconds > 0.0 { (outcome.requests as f64 / seconds * 100.0).round() / 100.0 } else { 0.0 },
            latency_ms: Latency::of(&outcome.latency),
            slowest_at: outcome.slowest_at,
            errors: outcome.errors.count,
            first_error: outcome.errors.first.as_deref(),
        };
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        if self.style == Style::Csv && !self.any_result {
            println!("{CSV_HEAD}");
        }
        print!("{}", result.text(self.style));
        let _ = std::io::stdout().flush(); // the next println would tell
        if let (Some(error), false) = (result.first_error, self.style == Style::Full) {
            eprintln!("kv-bench: {name}: {} errors, the first: {error}", result.errors);
        }
        self.any_result = true;
        self.any_error |= outcome.errors.count > 0;
    }

    /// True if no reply was an error.
    pub fn finish(self) -> bool {
        !self.any_error
    }
}

fn progress_line(name: &str, progress: Progress, before: (Duration, u64)) -> String {
    let span = progress.elapsed.saturating_sub(before.0).as_secs_f64();
    let rate = (progress.requests - before.1) as f64 / span.max(1e-9);
    let by_count = progress.limit.requests.map(|all| progress.requests as f64 / all as f64);
    let by_time = progress.limit.time.map(|all| progress.elapsed.as_secs_f64() / all.as_secs_f64().max(1e-9));
    // Whichever limit is nearer ends it.
    let done = by_count.into_iter().chain(by_time).fold(0.0, f64::max).min(1.0) * 100.0;
    format!("{name}: {rate:.0} requests/s, {} requests, {done:.0} %", progress.requests)
}

impl TestResult<'_> {
    fn text(&self, style: Style) -> String {
        let latency = &self.latency_ms;
        match style {
            Style::Full => {
                let plural = |n: u32, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
                let keyspace = self.keyspace.map_or("one key".to_owned(), |keys| format!("{keys} keys"));
                let mut text = format!(
                    "====== {} ======\n  {} requests in {:.2} s: {}, pipeline {}, {}, values of {} bytes, {keyspace}\n  \
                     throughput: {:.0} requests/s\n  latency ms: {latency}\n",
                    self.test,
                    self.requests,
                    self.seconds,
                    plural(self.connections, "connection"),
                    self.pipeline,
                    plural(self.threads, "thread"),
                    self.data_bytes,
                    self.rps,
                );
                text += &format!("  slowest after {} requests\n", self.slowest_at);
                if let Some(error) = self.first_error {
                    text += &format!("  ERRORS: {}, the first: {error}\n", self.errors);
                }
                text + "\n"
            }
            Style::Quiet => format!("{}: {:.2} requests per second, {latency} ms\n", self.test, self.rps),
            Style::Csv => format!(
                "\"{}\",\"{:.2}\",\"{:.3}\",\"{:.3}\",\"{:.3}\",\"{:.3}\",\"{:.3}\",\"{:.3}\",\"{:.3}\",\"{:.3}\",\"{}\",\"{}\"\n",
                self.test.replace('"', "\"\""),
                self.rps,
                latency.avg,
                latency.min,
                latency.p50,
                latency.p95,
                latency.p99,
                latency.max,
                latency.p90,
                latency.p999,
                self.requests,
                self.errors,
            ),
            Style::Json => json(self),
        }
    }
}

/// A result as one line of JSON.
pub fn json(result: &impl Serialize) -> String {
    serde_json::to_string(result).expect("plain fields always serialize") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Limit, latency_histogram};

    fn result(histogram: &Histogram<u64>) -> TestResult<'static> {
        TestResult {
            test: "SET",
            connections: 1,
            pipeline: 2,
            threads: 1,
            data_bytes: 3,
            keyspace: None,
            seconds: 2.0,
            requests: 1000,
            rps: 500.0,
            latency_ms: Latency::of(histogram),
            slowest_at: 7,
            errors: 1,
            first_error: Some("ERR x"),
        }
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut histogram = latency_histogram();
        for us in 1..=1000 {
            histogram.record(us * 1000).unwrap();
        }
        let latency = Latency::of(&histogram);
        let near =
            |value: f64, expected: f64| assert!((value / expected - 1.0).abs() < 0.002, "{value} for {expected}");
        near(latency.min, 0.001);
        near(latency.p50, 0.5);
        near(latency.p90, 0.9);
        near(latency.p99, 0.99);
        near(latency.p999, 0.999);
        near(latency.max, 1.0);
        near(latency.avg, 0.5005);
    }

    #[test]
    fn every_style_tells_throughput_and_errors() {
        let mut histogram = latency_histogram();
        histogram.record(1_500_000).unwrap();
        let result = result(&histogram);
        let full = result.text(Style::Full);
        assert!(full.contains("throughput: 500 requests/s") && full.contains("ERRORS: 1, the first: ERR x"), "{full}");
        assert!(full.contains("1 connection, pipeline 2, 1 thread, values of 3 bytes, one key"), "{full}");
        assert!(result.text(Style::Quiet).starts_with("SET: 500.00 requests per second, avg 1.5"));
        let csv = result.text(Style::Csv);
        assert_eq!(csv.matches(',').count(), CSV_HEAD.matches(',').count());
        assert!(csv.starts_with("\"SET\",\"500.00\",\"1.5"), "{csv}");
        let json: serde_json::Value = serde_json::from_str(&result.text(Style::Json)).unwrap();
        assert_eq!(json["rps"], 500.0);
        assert_eq!(json["errors"], 1);
        assert!(json["latency_ms"]["p99.9"].is_number());
    }

    #[test]
    fn progress_follows_the_nearer_limit() {
        let progress = Progress {
            elapsed: Duration::from_secs(2),
            requests: 300,
            limit: Limit { requests: Some(1000), time: Some(Duration::from_secs(4)) },
        };
        let line = progress_line("SET", progress, (Duration::from_secs(1), 100));
        assert_eq!(line, "SET: 200 requests/s, 300 requests, 50 %");
    }
}
