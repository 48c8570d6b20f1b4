//! Why a result is not to be trusted: said by the program itself, so that nobody has to know what to look for.
//!
//! Limits are rules of thumb, told with what was found.

use serde::Serialize;

use crate::result::RunResult;
use crate::stats::{mean, variation};

/// A reason not to trust a result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Doubt {
    /// A word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub text: String,
}

impl Doubt {
    pub fn new(code: &'static str, text: String) -> Doubt {
        Doubt { code, text }
    }
}

/// From this share of its time on, a thread of ours may be what limits the load.
const BUSY_MAX: f64 = 0.9;

/// A share of the time in which we waited for a core, of which latencies may be made.
const QUEUED_MAX: f64 = 0.05;

/// Samples beyond a percentile that make it more than an anecdote.
const SAMPLES_BEYOND: f64 = 10.0;

/// The shortest measurement that sees more than the beginning.
const SECONDS_MIN: f64 = 2.0;

/// How much less than the asked rate is still that rate.
const RATE_SHORT_MAX: f64 = 0.01;

/// Deviation of the seconds' throughput, relative to the mean, that makes one number for it doubtful.
const NOISE_MAX: f64 = 0.1;

/// So many reads that find nothing are not what was to be measured.
const MISSES_MAX: f64 = 0.5;

pub fn doubts(result: &RunResult) -> Vec<Doubt> {
    let checks = [saturated, queued, lagging, too_few, too_short, behind, noisy, missing];
    checks.iter().filter_map(|check| check(result)).collect()
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn saturated(result: &RunResult) -> Option<Doubt> {
    let busiest = result.client.busiest;
    (busiest > BUSY_MAX).then(|| {
        let text = format!(
            "a thread of kv-bench was busy for {} of the time and may be the limit: raise --threads",
            percent(busiest)
        );
        Doubt::new("client_saturated", text)
    })
}

fn queued(result: &RunResult) -> Option<Doubt> {
    let queued = result.client.queued;
    (queued > QUEUED_MAX).then(|| {
        let text = format!(
            "kv-bench waited for a core for {} of the time: the machine is too small or too busy",
            percent(queued)
        );
        Doubt::new("client_without_core", text)
    })
}

fn lagging(result: &RunResult) -> Option<Doubt> {
    let lag = result.send_lag_ms?;
    // The clock's steps and a wake-up are always there.
    let allowed = (result.latency_ms.p99 * 0.25).max(0.1);
    (lag.p99 > allowed).then(|| {
        let text = format!(
            "requests were sent late by {:.3} ms (p99) though a connection was free: that much of the latency is ours",
            lag.p99
        );
        Doubt::new("send_lag", text)
    })
}

fn too_few(result: &RunResult) -> Option<Doubt> {
    let beyond = |share: f64| result.requests as f64 * share >= SAMPLES_BEYOND;
    let percentile = match (beyond(0.01), beyond(0.001)) {
        (true, true) => return None,
        (true, false) => "p99.9",
        (false, _) => "p99 and p99.9",
    };
    Some(Doubt::new("too_few_samples", format!("{} requests are too few for {percentile}", result.requests)))
}

fn too_short(result: &RunResult) -> Option<Doubt> {
    (result.seconds < SECONDS_MIN).then(|| {
        Doubt::new("too_short", format!("{:.2} s are too short to see what comes now and then", result.seconds))
    })
}

/// Whether more requests stayed unsent than those that were due just before the end, when the client or its core was busy for a
/// moment. A rate that is too high leaves its excess behind.
pub fn is_overloaded(result: &RunResult) -> bool {
    result.unsent as f64 > (result.requests + result.unsent) as f64 * RATE_SHORT_MAX
}

fn behind(result: &RunResult) -> Option<Doubt> {
    let rate = result.rate?;
    if is_overloaded(result) {
        let text = format!(
            "{} requests that were due could not be sent: the server, or this machine, is slower than the rate",
            result.unsent
        );
        return Some(Doubt::new("rate_not_reached", text));
    }
    let timed: Vec<f64> = result.timeline.iter().filter(|second| !second.partial).map(|second| second.rps).collect();
    let reached = mean(&timed)?;
    (timed.len() >= 2 && reached < rate * (1.0 - RATE_SHORT_MAX))
        .then(|| Doubt::new("rate_not_reached", format!("{reached:.0} requests/s came of {rate:.0} asked for")))
}

fn noisy(result: &RunResult) -> Option<Doubt> {
    let timed: Vec<f64> = result.timeline.iter().filter(|second| !second.partial).map(|second| second.rps).collect();
    let noise = variation(&timed).filter(|_| timed.len() >= 5)?;
    (noise > NOISE_MAX)
        .then(|| Doubt::new("noisy", format!("throughput varied by {} from second to second", percent(noise))))
}

fn missing(result: &RunResult) -> Option<Doubt> {
    let reads = result.classes.iter().filter(|class| class.misses > 0);
    let worst = reads.min_by(|a, b| a.hit_ratio.unwrap_or(1.0).total_cmp(&b.hit_ratio.unwrap_or(1.0)))?;
    // A cache is filled after a miss; there it is no surprise.
    let filled = result.classes.len() > 1 && result.classes.iter().any(|class| class.name.ends_with("after a miss"));
    (worst.hit_ratio? < MISSES_MAX && !filled).then(|| {
        let text = format!(
            "{} of the replies to {} had nothing in them: --preload writes the keys first",
            percent(1.0 - worst.hit_ratio.unwrap_or(0.0)),
            worst.name
        );
        Doubt::new("misses", text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{ClassResult, Latency, Second, sample};

    fn codes(change: impl FnOnce(&mut RunResult)) -> Vec<&'static str> {
        let mut result = sample();
        change(&mut result);
        doubts(&result).into_iter().map(|doubt| doubt.code).collect()
    }

    fn seconds(rates: &[f64]) -> Vec<Second> {
        let second = |(at, rps): (usize, &f64)| Second {
            at: at as f64,
            rps: *rps,
            p50_ms: 0.1,
            p99_ms: 0.2,
            max_ms: 0.3,
            errors: 0,
            partial: false,
            server_cores: None,
            used_memory: None,
        };
        rates.iter().enumerate().map(second).collect()
    }

    #[test]
    fn a_good_result_raises_no_doubt() {
        assert_eq!(codes(|result| result.timeline = seconds(&[500.0; 20])), [""; 0]);
    }

    #[test]
    fn our_own_limits_are_told() {
        assert_eq!(codes(|result| result.client.busiest = 0.95), ["client_saturated"]);
        assert_eq!(codes(|result| result.client.queued = 0.2), ["client_without_core"]);
        let lag = |p99| Some(Latency { p99, ..Latency::default() });
        assert_eq!(codes(|result| result.send_lag_ms = lag(1.0)), ["send_lag"]);
        assert_eq!(codes(|result| result.send_lag_ms = lag(0.05)), [""; 0]);
    }

    #[test]
    fn too_little_is_told() {
        assert_eq!(codes(|result| result.requests = 9_999), ["too_few_samples"]);
        assert_eq!(codes(|result| result.seconds = 0.5), ["too_short"]);
        let text = |requests| {
            let mut result = sample();
            result.requests = requests;
            doubts(&result).remove(0).text
        };
        assert!(text(5000).ends_with("for p99.9") && text(500).ends_with("for p99 and p99.9"));
    }

    #[test]
    fn a_rate_that_was_not_reached_and_noise_are_told() {
        let unsent = |share: u64| codes(|result| (result.rate, result.unsent) = (Some(900.0), result.requests / share));
        assert_eq!((unsent(50), unsent(200)), (vec!["rate_not_reached"], vec![]));
        let slow = |result: &mut RunResult| (result.rate, result.timeline) = (Some(900.0), seconds(&[800.0, 805.0]));
        assert_eq!(codes(slow), ["rate_not_reached"]);
        assert_eq!(codes(|result| result.timeline = seconds(&[500.0, 900.0, 500.0, 900.0, 500.0])), ["noisy"]);
    }

    #[test]
    fn reads_that_find_nothing_are_told_unless_a_cache_is_filled() {
        let class = |name: &str, misses| ClassResult {
            name: name.to_owned(),
            requests: 100,
            rps: 1.0,
            errors: 0,
            misses,
            hit_ratio: Some(1.0 - misses as f64 / 100.0),
            latency_ms: Latency::default(),
            service_ms: Latency::default(),
        };
        assert_eq!(codes(|result| result.classes = vec![class("GET", 90)]), ["misses"]);
        assert_eq!(codes(|result| result.classes = vec![class("GET", 20)]), [""; 0]);
        assert_eq!(codes(|result| result.classes = vec![class("GET", 90), class("SET after a miss", 0)]), [""; 0]);
    }
}
