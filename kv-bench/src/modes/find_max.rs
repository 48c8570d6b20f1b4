//! `--find-max p99=2ms`: the highest rate at which a percentile of the latency stays within a limit.
//!
//! First a closed loop tells what the server can do at all. Then rates are tried in an open loop: up a ladder of shares of
//! that until one is too much, and then between the highest that held and the lowest that did not, until these are close
//! together. All that was tried is the curve of latency against load.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::doubts::is_overloaded;
use crate::driver::pace::Arrivals;
use crate::driver::{Limit, Load, Pace};
use crate::report::{Report, Style, json};
use crate::result::{RunResult, rounded};
use crate::server::Server;

/// What is to be kept: `p99=2ms`, `p99.9=500us`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Objective {
    pub percentile: f64,
    pub limit_ms: f64,
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Objective, String> {
        let wrong = || "no objective: a percentile and a time, as p99=2ms or p99.9=500us".to_owned();
        let (percentile, limit) = text.strip_prefix('p').and_then(|rest| rest.split_once('=')).ok_or_else(wrong)?;
        let (number, factor) = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)]
            .iter()
            .find_map(|(unit, factor)| Some((limit.strip_suffix(unit)?, *factor)))
            .ok_or_else(wrong)?;
        match (percentile.parse::<f64>(), number.parse::<f64>()) {
            (Ok(percentile), Ok(limit)) if (0.0..=100.0).contains(&percentile) && limit > 0.0 && limit.is_finite() => {
                Ok(Objective { percentile, limit_ms: limit * factor })
            }
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p{} <= {} ms", self.percentile, self.limit_ms)
    }
}

/// Shares of the closed loop's throughput that are tried upwards.
const LADDER: &[f64] = &[0.1, 0.25, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0];

/// Below this share of the closed loop's throughput nobody looks.
const SHARE_MIN: f64 = 0.005;

/// The search ends when the lowest rate that was too much is not further than this from the highest that held.
const CLOSE: f64 = 1.03;

/// A rate counts as sent when so much of it was answered.
const REACHED: f64 = 0.98;

/// Which rates were tried, and which is to be next.
#[derive(Debug)]
struct Search {
    capacity: f64,
    held: Option<f64>,
    failed: Option<f64>,
    rung: usize,
}

impl Search {
    fn new(capacity: f64) -> Search {
        Search { capacity, held: None, failed: None, rung: 0 }
    }

    fn next(&self) -> Option<f64> {
        match (self.held, self.failed) {
            (_, None) => LADDER.get(self.rung).map(|share| share * self.capacity),
            (None, Some(failed)) => Some(failed / 2.0).filter(|rate| *rate >= self.capacity * SHARE_MIN),
            (Some(held), Some(failed)) => (failed / held > CLOSE).then(|| (held * failed).sqrt()),
        }
    }

    fn tried(&mut self, rate: f64, held: bool) {
        self.rung += 1;
        if held {
            self.held = Some(self.held.map_or(rate, |known| known.max(rate)));
        } else {
            self.failed = Some(self.failed.map_or(rate, |known| known.min(rate)));
        }
    }
}

/// A rate that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    pub rate: f64,
    pub rps: f64,
    /// At the percentile of the objective.
    pub objective_ms: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub service_p99_ms: f64,
    pub server_cores: Option<f64>,
    pub held: bool,
    pub doubts: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub struct MaxResult {
    pub test: String,
    pub server: String,
    pub objective: Objective,
    /// The highest rate that held; none if no rate did.
    pub max_rate: Option<f64>,
    /// What the closed loop answered a second.
    pub closed_rps: f64,
    /// By rate.
    pub curve: Vec<Point>,
}

/// Seconds of a step when --seconds does not say.
const STEP: Duration = Duration::from_secs(5);

/// True if every reply was what it should be.
pub fn run(
    server: &Server,
    preload: Option<&Load>,
    loads: &[Load],
    objective: Objective,
    arrivals: Arrivals,
    mut report: Report,
) -> Result<bool> {
    if let Some(load) = preload {
        report.preload(server, load)?;
    }
    for load in loads {
        let time = load.limit.time.unwrap_or(STEP);
        let step = Load { limit: Limit { requests: None, time: Some(time) }, ..load.clone() };
        let result = search(&step, objective, arrivals, &mut |load| report.run_part(server, load))?;
        tell(&result, &mut report);
    }
    report.finish()
}

fn search(
    step: &Load,
    objective: Objective,
    arrivals: Arrivals,
    run: &mut dyn FnMut(&Load) -> Result<RunResult>,
) -> Result<MaxResult> {
    let closed = run(&Load { pace: Pace::Closed, ..step.clone() })?;
    let mut search = Search::new(closed.rps);
    let mut curve: Vec<Point> = Vec::new();
    while let Some(rate) = search.next().filter(|rate| *rate > 0.0) {
        let result = run(&Load { pace: Pace::Open { rate, arrivals }, ..step.clone() })?;
        let objective_ms = result.latency_at(objective.percentile / 100.0);
        let sent = !is_overloaded(&result) && result.rps >= rate * REACHED;
        let held = sent && objective_ms <= objective.limit_ms && result.is_clean();
        search.tried(rate, held);
        curve.push(Point {
            rate: rounded(rate, 1),
            rps: result.rps,
            objective_ms,
            p50_ms: result.latency_ms.p50,
            p99_ms: result.latency_ms.p99,
            p999_ms: result.latency_ms.p999,
            service_p99_ms: result.service_ms.p99,
            server_cores: result.server.cores,
            held,
            doubts: result.doubts.iter().map(|doubt| doubt.code).collect(),
        });
    }
    curve.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    Ok(MaxResult {
        test: closed.test,
        server: closed.server.name.unwrap_or(closed.server.address),
        objective,
        max_rate: search.held.map(|rate| rounded(rate, 1)),
        closed_rps: closed.rps,
        curve,
    })
}

fn tell(result: &MaxResult, report: &mut Report) {
    let text = match report.style() {
        Style::Json => json(result),
        Style::Csv => csv(result),
        Style::Quiet => verdict(result),
        Style::Full => full(result),
    };
    report.print(&text);
    report.keep_max(result);
}

fn verdict(result: &MaxResult) -> String {
    match result.max_rate {
        Some(rate) => format!("{}: {rate:.0} requests per second keep {}\n", result.test, result.objective),
        None => format!("{}: no rate keeps {}\n", result.test, result.objective),
    }
}

fn csv(result: &MaxResult) -> String {
    let mut text =
        "\"test\",\"rate\",\"rps\",\"objective_ms\",\"p50_ms\",\"p99_ms\",\"p99.9_ms\",\"p99_service_ms\",\"held\"\n"
            .to_owned();
    for p in &result.curve {
        text += &format!(
            "\"{}\",{},{},{},{},{},{},{},{}\n",
            result.test.replace('"', "\"\""),
            p.rate,
            p.rps,
            p.objective_ms,
            p.p50_ms,
            p.p99_ms,
            p.p999_ms,
            p.service_p99_ms,
            p.held
        );
    }
    text
}

fn full(result: &MaxResult) -> String {
    let mut text = format!(
        "====== {}: the highest rate with {} ======\n  {}, closed loop: {:.0} requests/s\n\n  {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        result.test,
        result.objective,
        result.server,
        result.closed_rps,
        "rate/s",
        "answered/s",
        "p50 ms",
        "p99",
        "p99.9",
        "service",
        "cores"
    );
    for p in &result.curve {
        let cores = p.server_cores.map_or("-".to_owned(), |cores| format!("{cores:.2}"));
        text += &format!(
            "  {:>10.0} {:>10.0} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {cores:>9}  {} {}\n",
            p.rate,
            p.rps,
            p.p50_ms,
            p.p99_ms,
            p.p999_ms,
            p.service_p99_ms,
            if p.held { "held" } else { "too much" },
            p.doubts.join(" ")
        );
    }
    text + "\n  " + &verdict(result) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All rates tried until the search ends, against a server that bears so much.
    fn tried(capacity: f64, bears: f64) -> (Vec<f64>, Search) {
        let mut search = Search::new(capacity);
        let mut all = Vec::new();
        while let Some(rate) = search.next() {
            all.push(rate);
            search.tried(rate, rate <= bears);
            assert!(all.len() < 40, "{all:?}");
        }
        (all, search)
    }

    #[test]
    fn the_search_ends_close_below_what_the_server_bears() {
        for bears in [7.0, 30.0, 99.0, 333.0, 845.0, 1000.0, 1700.0] {
            let (all, search) = tried(1000.0, bears);
            let held = search.held.unwrap();
            assert!(held <= bears && bears / held <= CLOSE, "{bears}: {held} of {all:?}");
        }
    }

    #[test]
    fn a_server_that_bears_everything_or_nothing_ends_the_search_too() {
        assert_eq!(tried(1000.0, f64::INFINITY).1.held, Some(2000.0));
        let (all, search) = tried(1000.0, 0.0);
        assert_eq!(search.held, None);
        assert!(all.len() < 10, "{all:?}");
    }

    #[test]
    fn objectives_are_read_and_wrong_ones_told() {
        let read = |text: &str| text.parse::<Objective>();
        assert_eq!(read("p99=2ms"), Ok(Objective { percentile: 99.0, limit_ms: 2.0 }));
        assert_eq!(read("p99.9=500us"), Ok(Objective { percentile: 99.9, limit_ms: 0.5 }));
        assert_eq!(read("p50=1s").unwrap().to_string(), "p50 <= 1000 ms");
        for wrong in ["", "p99", "99=2ms", "p99=2", "p101=2ms", "p99=0ms", "p99=-1ms", "pxx=1ms"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_step_that_loses_requests_or_is_too_slow_has_not_held() {
        use crate::result::sample;
        let load = crate::args::tests_load("-t get --seconds 1");
        let objective = "p99=2ms".parse().unwrap();
        // Latencies of the sample are 1.5 ms; above 600 a second requests stay unsent, and below one in a thousand, which proves nothing.
        let mut run = |load: &Load| {
            let mut result = sample();
            match load.pace {
                Pace::Open { rate, .. } => {
                    result.rps = rate;
                    result.unsent = result.requests / if rate > 600.0 { 50 } else { 1000 };
                }
                _ => result.rps = 1000.0,
            }
            Ok(result)
        };
        let found = search(&load, objective, Arrivals::Fixed, &mut run).unwrap();
        assert!((580.0..=600.0).contains(&found.max_rate.unwrap()), "{:?}", found.max_rate);
        assert!(found.curve.is_sorted_by(|a, b| a.rate < b.rate));
        let strict = search(&load, "p99=1ms".parse().unwrap(), Arrivals::Fixed, &mut run).unwrap();
        assert_eq!(strict.max_rate, None);
        assert!(full(&found).contains("requests per second keep p99 <= 2 ms"));
        assert!(full(&strict).contains("no rate keeps p99 <= 1 ms"));
        assert_eq!(csv(&found).lines().count(), found.curve.len() + 1);
    }
}
