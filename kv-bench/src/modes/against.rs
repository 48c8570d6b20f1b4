//! `--against HOST:PORT`: two servers under the same load, by turns.
//!
//! A machine changes its mind about its speed from minute to minute; so the two are measured in rounds, each of both, and the
//! one that is first in a round is the second in the next. What counts is the ratio within a round: the result is the mean of
//! these ratios with its 95 % confidence interval.

use anyhow::Result;
use serde::Serialize;

use crate::doubts::Doubt;
use crate::driver::Load;
use crate::report::{Report, Style, json};
use crate::result::{RunResult, rounded};
use crate::server::Server;
use crate::stats::{Ratio, median};

/// Something measured of both.
#[derive(Clone, Debug, Serialize)]
pub struct Metric {
    pub name: &'static str,
    /// Medians over the rounds.
    pub a: f64,
    pub b: f64,
    /// A by B.
    pub ratio: f64,
    pub interval: Option<(f64, f64)>,
    /// More of it is better.
    pub more_is_better: bool,
    /// Who is better, if that is sure.
    pub better: Option<char>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub test: String,
    pub a: String,
    pub b: String,
    pub rounds: usize,
    pub metrics: Vec<Metric>,
    pub doubts: Vec<Doubt>,
    /// Every run, A and B of each round.
    pub runs: Vec<(RunResult, RunResult)>,
}

/// An interval wider than this to one side says little.
const WIDE: f64 = 0.1;

/// What is compared: name, whether more is better, and where it is found.
type Reading = (&'static str, bool, fn(&RunResult) -> Option<f64>);

const READINGS: &[Reading] = &[
    ("requests/s", true, |run| Some(run.rps)),
    ("p50 ms", false, |run| Some(run.latency_ms.p50)),
    ("p99 ms", false, |run| Some(run.latency_ms.p99)),
    ("p99.9 ms", false, |run| Some(run.latency_ms.p999)),
    ("server us/op", false, |run| run.server.cpu_us_per_op),
    ("bytes/key", false, |run| run.server.memory_per_key),
];

/// True if every reply was what it should be.
pub fn run(
    servers: [&Server; 2],
    preload: Option<&Load>,
    loads: &[Load],
    rounds: usize,
    mut report: Report,
) -> Result<bool> {
    if let Some(load) = preload {
        servers.iter().try_for_each(|server| report.preload(server, load))?;
    }
    for load in loads {
        let comparison = compare(servers, load, rounds, &mut |server, load| report.run_part(server, load))?;
        tell(&comparison, &mut report);
    }
    report.finish()
}

/// Measures both in rounds.
pub fn compare(
    servers: [&Server; 2],
    load: &Load,
    rounds: usize,
    run: &mut dyn FnMut(&Server, &Load) -> Result<RunResult>,
) -> Result<Comparison> {
    let mut runs = Vec::new();
    for round in 0..rounds {
        runs.push(if round % 2 == 0 {
            let a = run(servers[0], load)?;
            (a, run(servers[1], load)?)
        } else {
            let b = run(servers[1], load)?;
            (run(servers[0], load)?, b)
        });
    }
    Ok(Comparison::new(load.name(), servers, runs))
}

impl Comparison {
    fn new(test: &str, servers: [&Server; 2], runs: Vec<(RunResult, RunResult)>) -> Comparison {
        let name = |run: Option<&RunResult>, server: &Server| {
            let known = run.and_then(|run| run.server.name.clone());
            known.map_or(server.address(), |name| format!("{name} at {}", server.address()))
        };
        let metrics: Vec<Metric> = READINGS.iter().filter_map(|reading| metric(reading, &runs)).collect();
        let mut doubts = Vec::new();
        for metric in metrics.iter().filter(|metric| matches!(metric.name, "requests/s" | "server us/op")) {
            match metric.interval {
                None => doubts
                    .push(Doubt::new("one_round", format!("{}: one round tells nothing about noise", metric.name))),
                Some((low, high)) if high / low > (1.0 + WIDE).powi(2) => {
                    let text = format!(
                        "{}: rounds differ so much that the ratio may be from {low:.2} to {high:.2}",
                        metric.name
                    );
                    doubts.push(Doubt::new("noisy_rounds", text));
                }
                Some(_) => {}
            }
        }
        // What speaks against most runs speaks against the comparison.
        let all: Vec<&Doubt> = runs.iter().flat_map(|(a, b)| a.doubts.iter().chain(&b.doubts)).collect();
        for doubt in &all {
            let often = all.iter().filter(|other| other.code == doubt.code).count() > runs.len();
            if often && doubts.iter().all(|known| known.code != doubt.code) {
                doubts.push(Doubt::new(doubt.code, format!("in most runs: {}", doubt.text)));
            }
        }
        let first = runs.first();
        Comparison {
            test: test.to_owned(),
            a: name(first.map(|(a, _)| a), servers[0]),
            b: name(first.map(|(_, b)| b), servers[1]),
            rounds: runs.len(),
            metrics,
            doubts,
            runs,
        }
    }
}

fn metric(&(name, more_is_better, read): &Reading, runs: &[(RunResult, RunResult)]) -> Option<Metric> {
    let pairs: Vec<(f64, f64)> = runs.iter().filter_map(|(a, b)| Some((read(a)?, read(b)?))).collect();
    let ratio = Ratio::of_pairs(&pairs)?;
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    Some(Metric {
        name,
        a: median(&a)?,
        b: median(&b)?,
        ratio: rounded(ratio.ratio, 4),
        interval: ratio.interval.map(|(low, high)| (rounded(low, 4), rounded(high, 4))),
        more_is_better,
        better: ratio.differs().then_some(if (ratio.ratio > 1.0) == more_is_better { 'A' } else { 'B' }),
    })
}

/// Prints it, and keeps it for the page.
pub fn tell(comparison: &Comparison, report: &mut Report) {
    let text = match report.style() {
        Style::Json => json(comparison),
        Style::Csv => csv(comparison),
        Style::Quiet => quiet(comparison),
        Style::Full => full(comparison),
    };
    report.print(&text);
    report.keep_comparison(comparison);
}

fn interval(metric: &Metric) -> String {
    metric.interval.map_or("one round".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"))
}

fn quiet(comparison: &Comparison) -> String {
    let parts: Vec<String> =
        comparison.metrics.iter().map(|m| format!("{} A/B {:.3} ({})", m.name, m.ratio, interval(m))).collect();
    format!("{}: {}\n", comparison.test, parts.join(", "))
}

fn csv(comparison: &Comparison) -> String {
    let mut text = "\"test\",\"metric\",\"a\",\"b\",\"ratio\",\"low\",\"high\",\"rounds\"\n".to_owned();
    for m in &comparison.metrics {
        let (low, high) = m.interval.map_or_else(Default::default, |(low, high)| (low.to_string(), high.to_string()));
        let test = comparison.test.replace('"', "\"\"");
        text += &format!("\"{test}\",\"{}\",{},{},{},{low},{high},{}\n", m.name, m.a, m.b, m.ratio, comparison.rounds);
    }
    text
}

fn full(comparison: &Comparison) -> String {
    let Comparison { test, a, b, rounds, .. } = comparison;
    let mut text = format!("====== {test}: A against B, {rounds} rounds ======\n  A: {a}\n  B: {b}\n\n");
    text += &format!("  {:12} {:>12} {:>12} {:>8}  {}\n", "median", "A", "B", "A/B", "95 % confidence");
    for m in &comparison.metrics {
        let better = m.better.map_or(String::new(), |better| format!("  {better} is better"));
        text += &format!("  {:12} {:>12.3} {:>12.3} {:>8.3}  {}{better}\n", m.name, m.a, m.b, m.ratio, interval(m));
    }
    let errors: u64 = comparison.runs.iter().map(|(a, b)| a.errors + b.errors).sum();
    if errors > 0 {
        text += &format!("  ERRORS: {errors}\n");
    }
    for doubt in &comparison.doubts {
        text += &format!("  do not trust: {}\n", doubt.text);
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    /// Rounds in which A answers `a` and B `b` requests a second.
    fn comparison(rounds: &[(f64, f64)]) -> (Comparison, Vec<u16>) {
        let servers = [&Server::local(1), &Server::local(2)];
        let mut order = Vec::new();
        let mut counts = [0, 0];
        let load = crate::args::tests_load("-t get -n 10");
        let mut run = |server: &Server, _: &Load| {
            let which = usize::from(server.port) - 1;
            let (a, b) = rounds[counts[which]];
            counts[which] += 1;
            order.push(server.port);
            let mut result = sample();
            result.rps = if which == 0 { a } else { b };
            Ok(result)
        };
        let comparison = compare(servers, &load, rounds.len(), &mut run).unwrap();
        (comparison, order)
    }

    #[test]
    fn the_first_of_a_round_is_the_second_of_the_next() {
        assert_eq!(comparison(&[(1.0, 1.0); 3]).1, [1, 2, 2, 1, 1, 2]);
    }

    #[test]
    fn a_difference_that_is_sure_is_told_and_noise_is_doubted() {
        let (sure, _) = comparison(&[(1000.0, 500.0), (1100.0, 549.0), (900.0, 451.0)]);
        let rate = &sure.metrics[0];
        assert_eq!((rate.name, rate.better), ("requests/s", Some('A')));
        assert!((1.98..2.02).contains(&rate.ratio), "the machine's speed is no part of it: {}", rate.ratio);
        assert!(sure.doubts.is_empty(), "{:?}", sure.doubts);
        assert!(full(&sure).contains("A is better"));

        let (noisy, _) = comparison(&[(1000.0, 500.0), (500.0, 1000.0), (900.0, 700.0)]);
        assert_eq!(noisy.metrics[0].better, None);
        assert_eq!(noisy.doubts[0].code, "noisy_rounds");

        let (one, _) = comparison(&[(1000.0, 500.0)]);
        assert_eq!((one.metrics[0].interval, one.doubts[0].code), (None, "one_round"));
        assert_eq!(csv(&sure).lines().count(), 1 + sure.metrics.len());
        assert!(quiet(&one).contains("requests/s A/B 2.000 (one round)"));
    }

    #[test]
    fn less_is_better_where_it_is() {
        let servers = [&Server::local(1), &Server::local(2)];
        let with = |cpu: f64| {
            let mut result = sample();
            result.server.cpu_us_per_op = Some(cpu);
            result
        };
        let runs = vec![(with(0.5), with(1.0)), (with(0.5), with(1.01))];
        let comparison = Comparison::new("x", servers, runs);
        let cpu = comparison.metrics.iter().find(|metric| metric.name == "server us/op").unwrap();
        assert_eq!(cpu.better, Some('A'));
    }
}
