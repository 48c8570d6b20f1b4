//! What a run came to, in the form in which it is told: every report, and `--json`, is made of this and nothing else.
//!
//! Times are milliseconds, to the microsecond. docs/kv-bench.md tells the fields.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::doubts::{Doubt, doubts};
use crate::driver::{ClientUse, Interval, Load, Look, Outcome, Pace, Progress, Traffic};
use crate::server::Server;
use crate::workload::values::ValueSize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
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

/// To a tenth of a microsecond.
fn ms(ns: f64) -> f64 {
    (ns / 1e2).round() / 1e4
}

pub fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

impl Latency {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latency {
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

/// With three decimals, or as many as the format says.
impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let decimals = f.precision().unwrap_or(3);
        write!(
            f,
            "avg {:.decimals$}  min {:.decimals$}  p50 {:.decimals$}  p90 {:.decimals$}  p99 {:.decimals$}  \
             p99.9 {:.decimals$}  max {:.decimals$}",
            self.avg, self.min, self.p50, self.p90, self.p99, self.p999, self.max
        )
    }
}

/// How a run was asked for, and what it came to.
#[derive(Clone, Debug, Serialize)]
pub struct RunResult {
    pub test: String,
    pub server: ServerResult,
    /// `closed`, `open` or `replay`.
    pub mode: &'static str,
    pub connections: u32,
    pub pipeline: u32,
    pub threads: u32,
    /// Of values of one size.
    pub data_bytes: Option<usize>,
    pub keyspace: Option<u64>,
    /// The requests are those of a log, which has keys and values of its own.
    #[serde(skip)]
    pub logged: bool,
    /// What was asked for in an open loop.
    pub rate: Option<f64>,
    pub seconds: f64,
    pub requests: u64,
    pub rps: f64,
    /// From when a request was due; in a closed loop the same as `service_ms`.
    pub latency_ms: Latency,
    pub service_ms: Latency,
    /// How late we sent what we could have sent; none in a closed loop.
    pub send_lag_ms: Option<Latency>,
    /// Requests answered before the slowest was.
    pub slowest_at: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// Replies that were nil or had nothing in them.
    pub misses: u64,
    /// Requests that were due and not sent until time was up.
    pub unsent: u64,
    pub verified: Option<VerifiedResult>,
    pub classes: Vec<ClassResult>,
    pub client: ClientResult,
    pub percentiles: Percentiles,
    /// The densest part of the latencies, for a small picture: upper bounds in ms, and shares.
    pub distribution: Vec<(f64, f64)>,
    pub timeline: Vec<Second>,
    pub events: Vec<Event>,
    /// Why not to trust it.
    pub doubts: Vec<Doubt>,
    /// All latencies, for percentiles that have no field.
    #[serde(skip)]
    pub histogram: Histogram<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ServerResult {
    pub address: String,
    pub name: Option<String>,
    /// CPU time of an operation, in microseconds, and where it was read: `scheduler` or `info`.
    pub cpu_us_per_op: Option<f64>,
    pub cpu_source: Option<&'static str>,
    /// Cores that it kept busy.
    pub cores: Option<f64>,
    pub used_memory: Option<u64>,
    pub keys: Option<u64>,
    /// What one more key took, of those that were added; none if too few were.
    pub memory_per_key: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct VerifiedResult {
    pub checked: u64,
    pub wrong: u64,
    pub first_wrong: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ClassResult {
    pub name: String,
    pub requests: u64,
    pub rps: f64,
    pub errors: u64,
    pub misses: u64,
    /// Of the replies that were no errors, how many were no misses.
    pub hit_ratio: Option<f64>,
    pub latency_ms: Latency,
    pub service_ms: Latency,
}

#[derive(Clone, Debug, Serialize)]
pub struct ClientResult {
    pub cpu_us_per_op: Option<f64>,
    /// The busiest thread's share of its time.
    pub busiest: f64,
    /// The share of the time in which threads waited for a core.
    pub queued: f64,
}

/// Curves: (percentile, ms).
#[derive(Clone, Debug, Default, Serialize)]
pub struct Percentiles {
    pub latency: Vec<(f64, f64)>,
    pub service: Vec<(f64, f64)>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Second {
    /// When it began.
    pub at: f64,
    pub rps: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub errors: u64,
    /// Shorter than a second.
    pub partial: bool,
    /// Cores that the server kept busy.
    pub server_cores: Option<f64>,
    pub used_memory: Option<u64>,
}

/// Something that the server did beside answering.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    pub at: f64,
    pub what: String,
}

/// Collects the seconds of a run, and hands each to whoever shows it.
pub struct Seconds<'a> {
    pub seconds: Vec<Second>,
    show: &'a mut dyn FnMut(&Interval, &Second, &Progress<'_>),
}

impl<'a> Seconds<'a> {
    pub fn new(show: &'a mut dyn FnMut(&Interval, &Second, &Progress<'_>)) -> Seconds<'a> {
        Seconds { seconds: Vec::new(), show }
    }
}

impl crate::driver::Observer for Seconds<'_> {
    fn second(&mut self, _: u64, progress: &Progress<'_>) {
        let interval = progress.second;
        let length = interval.length_ns as f64 / 1e9;
        let at = |quantile| ms(interval.latency.value_at_quantile(quantile) as f64);
        let second = Second {
            at: rounded(interval.start_ns as f64 / 1e9, 3),
            rps: rounded(interval.latency.len() as f64 / length, 1),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: ms(interval.latency.max() as f64),
            errors: interval.errors,
            partial: length < 0.999,
            server_cores: None,
            used_memory: progress.look.and_then(|look| look.info.number("used_memory")),
        };
        (self.show)(interval, &second, progress);
        self.seconds.push(second);
    }
}

impl RunResult {
    pub fn new(server: &Server, load: &Load, outcome: &Outcome, mut timeline: Vec<Second>) -> RunResult {
        let seconds = outcome.elapsed.as_secs_f64();
        let per_second = |requests: u64| if seconds > 0.0 { rounded(requests as f64 / seconds, 2) } else { 0.0 };
        let (data_bytes, keyspace) = match &load.traffic {
            Traffic::Made(workload) => {
                let bytes = if let ValueSize::Fixed(bytes) = workload.shape.values { Some(bytes) } else { None };
                (bytes, workload.shape.keys)
            }
            Traffic::Logged(_) => (None, None),
        };
        let (mode, rate) = match load.pace {
            Pace::Closed => ("closed", None),
            Pace::Open { rate, .. } => ("open", Some(rate)),
            Pace::Logged { .. } => ("replay", None),
        };
        let classes = outcome.classes.iter().map(|class| {
            let answered = class.requests.saturating_sub(class.errors);
            ClassResult {
                name: class.name.clone(),
                requests: class.requests,
                rps: per_second(class.requests),
                errors: class.errors,
                misses: class.misses,
                hit_ratio: (answered > 0).then(|| rounded(1.0 - class.misses as f64 / answered as f64, 4).max(0.0)),
                latency_ms: Latency::of(&class.latency),
                service_ms: Latency::of(&class.service),
            }
        });
        fill_in(&mut timeline, &outcome.looks);
        let mut result = RunResult {
            test: load.name().to_owned(),
            server: ServerResult::new(server, outcome),
            mode,
            connections: load.connections,
            pipeline: load.pipeline,
            threads: load.threads.min(load.connections),
            data_bytes,
            keyspace,
            logged: matches!(load.traffic, Traffic::Logged(_)),
            rate,
            seconds: rounded(seconds, 6),
            requests: outcome.requests,
            rps: per_second(outcome.requests),
            latency_ms: Latency::of(&outcome.latency),
            service_ms: Latency::of(&outcome.service),
            send_lag_ms: (!outcome.lag.is_empty()).then(|| Latency::of(&outcome.lag)),
            slowest_at: outcome.slowest_at,
            errors: outcome.errors.count,
            first_error: outcome.errors.first.clone(),
            misses: outcome.misses,
            unsent: outcome.unsent,
            verified: outcome.verification.as_ref().map(|verification| VerifiedResult {
                checked: verification.checked,
                wrong: verification.wrong,
                first_wrong: verification.first.clone(),
            }),
            classes: classes.filter(|class| class.requests > 0).collect(),
            client: ClientResult::new(&outcome.client, outcome.requests, seconds, load.threads.min(load.connections)),
            percentiles: Percentiles { latency: curve(&outcome.latency), service: curve(&outcome.service) },
            distribution: distribution(&outcome.latency),
            timeline,
            events: events(&outcome.looks),
            doubts: Vec::new(),
            histogram: outcome.latency.clone(),
        };
        result.doubts = doubts(&result);
        result
    }

    /// The latency that such a share of the requests did not exceed, in ms.
    pub fn latency_at(&self, quantile: f64) -> f64 {
        ms(self.histogram.value_at_quantile(quantile) as f64)
    }

    /// Whether every reply was what it should be.
    pub fn is_clean(&self) -> bool {
        self.errors == 0 && self.verified.as_ref().is_none_or(|verified| verified.wrong == 0)
    }
}

impl ServerResult {
    fn new(server: &Server, outcome: &Outcome) -> ServerResult {
        let mut result = ServerResult {
            address: server.address(),
            name: None,
            cpu_us_per_op: None,
            cpu_source: None,
            cores: None,
            used_memory: None,
            keys: None,
            memory_per_key: None,
        };
        let (Some(first), Some(last)) = (outcome.looks.first(), outcome.looks.last()) else { return result };
        result.name = last.info.server_name();
        result.used_memory = last.info.number("used_memory");
        result.keys = Some(last.info.keys());
        if let Some(cpu_ns) = used_between(first, last) {
            let span = (last.at_ns - first.at_ns) as f64;
            if outcome.requests > 0 {
                result.cpu_us_per_op = Some(rounded(cpu_ns as f64 / 1e3 / outcome.requests as f64, 4));
            }
            result.cpu_source = Some(if last.cpu_exact { "scheduler" } else { "info" });
            result.cores = (span > 0.0).then(|| rounded(cpu_ns as f64 / span, 3));
        }
        // A thousand keys outweigh what else changes in a server's memory.
        let added = last.info.keys().saturating_sub(first.info.keys());
        if let (1000.., Some(before), Some(after)) = (added, first.info.number("used_memory"), result.used_memory) {
            result.memory_per_key = Some(rounded(after.saturating_sub(before) as f64 / added as f64, 1));
        }
        result
    }
}

impl ClientResult {
    fn new(client: &ClientUse, requests: u64, seconds: f64, threads: u32) -> ClientResult {
        let all = seconds * 1e9 * f64::from(threads);
        ClientResult {
            cpu_us_per_op: (requests > 0).then(|| rounded(client.cpu_ns as f64 / 1e3 / requests as f64, 4)),
            busiest: rounded(client.busiest, 3),
            queued: if all > 0.0 { rounded(client.queued_ns as f64 / all, 3) } else { 0.0 },
        }
    }
}

/// None when the server was another one in between, or did not tell.
fn used_between(first: &Look, last: &Look) -> Option<u64> {
    if first.cpu_exact != last.cpu_exact || last.at_ns <= first.at_ns {
        return None;
    }
    last.cpu_ns?.checked_sub(first.cpu_ns?)
}

/// Adds what was seen of the server to the seconds in which it was seen.
fn fill_in(timeline: &mut [Second], looks: &[Look]) {
    for pair in looks.windows(2) {
        let [before, after] = pair else { continue };
        let middle = (before.at_ns + after.at_ns) as f64 / 2e9;
        if let Some(second) = timeline.iter_mut().find(|second| (second.at..second.at + 1.0).contains(&middle)) {
            let span = (after.at_ns - before.at_ns).max(1) as f64;
            second.server_cores = used_between(before, after).map(|used| rounded(used as f64 / span, 2));
            second.used_memory = after.info.number("used_memory");
        }
    }
}

/// Fields of INFO that are 1 while something goes on, and what that is called.
const GOING_ON: &[(&str, &str)] = &[
    ("rdb_bgsave_in_progress", "snapshot"),
    ("aof_rewrite_in_progress", "rewrite of the log"),
    ("loading", "loading"),
    ("master_sync_in_progress", "synchronisation"),
];

/// Fields of INFO that count, and what is told when they grow.
const COUNTED: &[(&str, &str)] = &[
    ("evicted_keys", "keys evicted"),
    ("rejected_connections", "connections rejected"),
    ("rdb_saves", "snapshots saved"),
    ("total_forks", "forks"),
];

/// What changed from one look to the next.
fn events(looks: &[Look]) -> Vec<Event> {
    let mut events = Vec::new();
    for pair in looks.windows(2) {
        let [before, after] = pair else { continue };
        let mut tell = |what: String| events.push(Event { at: rounded(after.at_ns as f64 / 1e9, 3), what });
        if before.info.text("run_id") != after.info.text("run_id") {
            tell("the server was restarted".to_owned());
        }
        for (field, name) in GOING_ON {
            match (before.info.number(field), after.info.number(field)) {
                (Some(0), Some(1)) => tell(format!("{name} begins")),
                (Some(1), Some(0)) => tell(format!("{name} ends")),
                _ => {}
            }
        }
        for (field, name) in COUNTED {
            match (before.info.number(field), after.info.number(field)) {
                (Some(before), Some(after)) if after > before => tell(format!("{} {name}", after - before)),
                _ => {}
            }
        }
    }
    events
}

/// Points at percentiles that come ever closer to 100, as far as there are samples.
pub fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    if histogram.is_empty() {
        return points;
    }
    let mut left: f64 = 1.0;
    while left * histogram.len() as f64 >= 1.0 && left > 1e-7 {
        points.push((rounded((1.0 - left) * 100.0, 6), ms(histogram.value_at_quantile(1.0 - left) as f64)));
        left *= 0.75;
    }
    points.push((100.0, ms(histogram.max() as f64)));
    points
}

/// Steps of a small picture.
const DISTRIBUTION_STEPS: usize = 24;

/// The latencies from the least to the 99.5th percentile in steps of equal ratio, with the share of each; the last one
/// takes the rest.
fn distribution(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let low = (histogram.min().max(1)) as f64;
    let high = (histogram.value_at_quantile(0.995) as f64).max(low * 1.1);
    let ratio = (high / low).powf(1.0 / DISTRIBUTION_STEPS as f64);
    let mut bounds: Vec<f64> = (1..=DISTRIBUTION_STEPS).map(|step| low * ratio.powi(step as i32)).collect();
    bounds.push(histogram.max() as f64);
    let mut before = 0;
    let mut steps = Vec::new();
    for bound in bounds {
        let until = histogram.count_between(0, bound as u64).max(before);
        steps.push((ms(bound), rounded((until - before) as f64 / histogram.len() as f64, 5)));
        before = until;
    }
    steps
}

/// A result with something in every part, for the tests of reports.
#[cfg(test)]
pub fn sample() -> RunResult {
    use crate::driver::latency_histogram;
    let mut histogram = latency_histogram();
    histogram.record(1_500_000).unwrap();
    let latency = Latency::of(&histogram);
    RunResult {
        test: "SET".to_owned(),
        server: ServerResult {
            address: "127.0.0.1:1".to_owned(),
            name: Some("kv 1".to_owned()),
            cpu_us_per_op: Some(1.25),
            cpu_source: Some("scheduler"),
            cores: Some(0.5),
            used_memory: Some(1 << 20),
            keys: Some(10),
            memory_per_key: None,
        },
        mode: "closed",
        connections: 1,
        pipeline: 2,
        threads: 1,
        data_bytes: Some(3),
        keyspace: None,
        logged: false,
        rate: None,
        seconds: 20.0,
        requests: 10_000,
        rps: 500.0,
        latency_ms: latency,
        service_ms: latency,
        send_lag_ms: None,
        slowest_at: 7,
        errors: 0,
        first_error: None,
        misses: 0,
        unsent: 0,
        verified: None,
        classes: Vec::new(),
        client: ClientResult { cpu_us_per_op: Some(0.5), busiest: 0.2, queued: 0.0 },
        percentiles: Percentiles { latency: curve(&histogram), service: curve(&histogram) },
        distribution: distribution(&histogram),
        timeline: Vec::new(),
        events: Vec::new(),
        doubts: Vec::new(),
        histogram,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::latency_histogram;
    use crate::server::Info;

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
        let curve = curve(&histogram);
        assert_eq!((curve[0].0, curve.last().unwrap().0), (0.0, 100.0));
        assert!(curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{curve:?}");
        let shares: f64 = distribution(&histogram).iter().map(|(_, share)| share).sum();
        assert!((shares - 1.0).abs() < 0.001, "{shares}");
    }

    fn look(at_ms: u64, cpu_ms: u64, fields: &str) -> Look {
        let info = Info::parse(&fields.replace(' ', "\n"));
        Look { at_ns: at_ms * 1_000_000, cpu_ns: Some(cpu_ms * 1_000_000), cpu_exact: true, info }
    }

    #[test]
    fn what_the_server_does_beside_answering_is_told_when_it_was_seen() {
        let looks = [
            look(0, 0, "run_id:a rdb_bgsave_in_progress:0 evicted_keys:5"),
            look(1000, 0, "run_id:a rdb_bgsave_in_progress:1 evicted_keys:5"),
            look(2000, 0, "run_id:a rdb_bgsave_in_progress:0 evicted_keys:12"),
            look(3000, 0, "run_id:b rdb_bgsave_in_progress:0"),
        ];
        let told: Vec<_> = events(&looks).into_iter().map(|event| (event.at, event.what)).collect();
        let expected = [
            (1.0, "snapshot begins"),
            (2.0, "snapshot ends"),
            (2.0, "7 keys evicted"),
            (3.0, "the server was restarted"),
        ];
        assert_eq!(told, expected.map(|(at, what)| (at, what.to_owned())));
    }

    #[test]
    fn cpu_between_two_looks_is_spread_over_the_seconds() {
        let second = |at| Second {
            at,
            rps: 0.0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            max_ms: 0.0,
            errors: 0,
            partial: false,
            server_cores: None,
            used_memory: None,
        };
        let mut timeline = [second(0.0), second(1.0)];
        fill_in(&mut timeline, &[look(0, 0, ""), look(1000, 900, "used_memory:7"), look(2000, 2400, "")]);
        assert_eq!(timeline.each_ref().map(|second| second.server_cores), [Some(0.9), Some(1.5)]);
        assert_eq!(timeline[0].used_memory, Some(7));
        assert_eq!(used_between(&look(0, 10, ""), &look(1000, 5, "")), None, "a restarted server has used less");
    }
}
