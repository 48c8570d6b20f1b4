//! Two samples of a server, and what happened between them.

use std::collections::VecDeque;

use super::sample::Sample;
use crate::info::Info;

/// Values of a curve that are kept: more than a terminal has columns.
const KEPT: usize = 600;

/// The newest sample, what it tells together with the one before, and curves.
#[derive(Default)]
pub struct History {
    last: Option<Sample>,
    pub figures: Option<Figures>,
    pub ops: Curve,
    /// The p99 of round trips, in us.
    pub trips: Curve,
    pub memory: Curve,
}

/// The newest value comes last.
#[derive(Default)]
pub struct Curve(VecDeque<u64>);

impl Curve {
    fn add(&mut self, value: u64) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The newest values, so many at most.
    pub fn newest(&self, count: usize) -> Vec<u64> {
        self.0.iter().skip(self.0.len().saturating_sub(count)).copied().collect()
    }
}

impl History {
    pub fn add(&mut self, sample: Sample) {
        // A server that was started anew has counted nothing yet.
        let same = self.last.as_ref().filter(|last| last.info.text("run_id") == sample.info.text("run_id"));
        let figures = same.and_then(|last| Figures::between(last, &sample));
        if let Some(figures) = &figures {
            self.ops.add(figures.ops as u64);
        }
        if sample.trips.count() > 0 {
            self.trips.add((sample.trips.percentile_ms(0.99) * 1000.0) as u64);
        }
        self.memory.add(sample.info.count("used_memory"));
        self.figures = figures;
        self.last = Some(sample);
    }

    pub fn last(&self) -> Option<&Sample> {
        self.last.as_ref()
    }
}

/// What happened in one interval, a second.
#[derive(Debug)]
pub struct Figures {
    pub ops: f64,
    pub input_bytes: f64,
    pub output_bytes: f64,
    /// Of one core.
    pub cpu_percent: f64,
    /// Of all reads, those that found their key; none: nothing was read.
    pub hit_percent: Option<f64>,
    pub expired: f64,
    pub evicted: f64,
    pub connections: f64,
    /// The busiest first.
    pub commands: Vec<Command>,
    pub shards: Vec<Shard>,
}

#[derive(Debug, PartialEq)]
pub struct Command {
    pub name: String,
    pub calls: f64,
    pub us_per_call: f64,
    /// Of the time of all commands.
    pub share_percent: f64,
    /// Since the server's start, in us.
    pub p99_us: Option<f64>,
}

#[derive(Debug, PartialEq)]
pub struct Shard {
    pub name: String,
    pub keys: u64,
    pub memory: u64,
    pub clients: u64,
    pub ops: f64,
}

impl Figures {
    /// None: no time has passed.
    fn between(old: &Sample, new: &Sample) -> Option<Figures> {
        let span = new.at.checked_duration_since(old.at)?.as_secs_f64();
        (span > 0.0).then(|| Figures::over(span, &old.info, &new.info))
    }

    fn over(span: f64, old: &Info, new: &Info) -> Figures {
        let rate = |name: &str| new.count(name).saturating_sub(old.count(name)) as f64 / span;
        let cpu =
            |info: &Info| ["used_cpu_sys", "used_cpu_user"].iter().filter_map(|name| info.number(name)).sum::<f64>();
        let (hits, misses) = (rate("keyspace_hits"), rate("keyspace_misses"));
        Figures {
            ops: rate("total_commands_processed"),
            input_bytes: rate("total_net_input_bytes"),
            output_bytes: rate("total_net_output_bytes"),
            cpu_percent: ((cpu(new) - cpu(old)) / span * 100.0).max(0.0),
            hit_percent: (hits + misses > 0.0).then(|| hits / (hits + misses) * 100.0),
            expired: rate("expired_keys"),
            evicted: rate("evicted_keys"),
            connections: rate("total_connections_received"),
            commands: commands(span, old, new),
            shards: shards(span, old, new),
        }
    }
}

fn commands(span: f64, old: &Info, new: &Info) -> Vec<Command> {
    const FAMILY: &str = "cmdstat_";
    let before = old.family(FAMILY);
    let percentiles = new.family("latency_percentiles_usec_");
    let mut found = Vec::new();
    let mut all_us = 0.0;
    for (name, parts) in new.family(FAMILY) {
        let then = before.iter().find(|(known, _)| *known == name).map(|(_, parts)| parts);
        let grown = |field: &str| parts.count(field).saturating_sub(then.map_or(0, |parts| parts.count(field))) as f64;
        let (calls, us) = (grown("calls"), grown("usec"));
        if calls > 0.0 {
            all_us += us;
            let p99_us = percentiles.iter().find(|(of, _)| *of == name).and_then(|(_, parts)| parts.number("p99"));
            let name = name.replace('|', " ");
            found.push(Command { name, calls: calls / span, us_per_call: us / calls, share_percent: us, p99_us });
        }
    }
    for command in &mut found {
        command.share_percent *= if all_us > 0.0 { 100.0 / all_us } else { 0.0 };
    }
    found.sort_by(|a, b| b.calls.total_cmp(&a.calls).then_with(|| a.name.cmp(&b.name)));
    found
}

/// Only kv-server has them.
fn shards(span: f64, old: &Info, new: &Info) -> Vec<Shard> {
    const FAMILY: &str = "shard";
    let before = old.family(FAMILY);
    let shard = |(name, parts): (&str, crate::info::Parts<'_>)| {
        let then = before.iter().find(|(known, _)| *known == name).map_or(0, |(_, parts)| parts.count("commands"));
        Shard {
            name: name.to_owned(),
            keys: parts.count("keys"),
            memory: parts.count("used_memory"),
            clients: parts.count("clients"),
            ops: parts.count("commands").saturating_sub(then) as f64 / span,
        }
    };
    new.family(FAMILY).into_iter().map(shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between_two_samples() {
        let old = Info::parse("total_commands_processed:100\nkeyspace_hits:5\nused_cpu_sys:1.0\nused_cpu_user:1.0\n");
        let new = Info::parse(
            "total_commands_processed:300\nkeyspace_hits:8\nkeyspace_misses:1\nused_cpu_sys:1.5\nused_cpu_user:1.5\n",
        );
        let figures = Figures::over(2.0, &old, &new);
        assert_eq!((figures.ops, figures.cpu_percent, figures.hit_percent), (100.0, 50.0, Some(75.0)));
        assert_eq!(Figures::over(2.0, &new, &new).hit_percent, None);
        // A counter that was set back (CONFIG RESETSTAT) is no rate below 0.
        assert_eq!(Figures::over(2.0, &new, &old).ops, 0.0);
    }

    #[test]
    fn the_busiest_commands_come_first_with_their_share_of_the_time() {
        let old = Info::parse("cmdstat_get:calls=10,usec=100\ncmdstat_set:calls=5,usec=5\n");
        let new = Info::parse(
            "cmdstat_get:calls=20,usec=400\ncmdstat_set:calls=5,usec=5\ncmdstat_client|list:calls=30,usec=100\n\
             latency_percentiles_usec_get:p50=1.003,p99=7.007,p99.9=9\n",
        );
        let command = |name: &str, calls, us_per_call, share_percent, p99_us| Command {
            name: name.into(),
            calls,
            us_per_call,
            share_percent,
            p99_us,
        };
        let wanted =
            [command("client list", 30.0, 100.0 / 30.0, 25.0, None), command("get", 10.0, 30.0, 75.0, Some(7.007))];
        assert_eq!(commands(1.0, &old, &new), wanted);
    }

    #[test]
    fn shards_are_told_where_there_are_some() {
        let info =
            |commands| Info::parse(&format!("shards:1\nshard0:keys=3,used_memory=64,clients=2,commands={commands}\n"));
        let wanted = Shard { name: "0".into(), keys: 3, memory: 64, clients: 2, ops: 5.0 };
        assert_eq!(shards(2.0, &info(10), &info(20)), [wanted]);
        assert_eq!(shards(2.0, &Info::default(), &Info::default()), []);
    }

    #[test]
    fn a_curve_forgets_its_oldest_values() {
        let mut curve = Curve::default();
        (0..KEPT as u64 + 5).for_each(|value| curve.add(value));
        assert_eq!(curve.newest(2), [KEPT as u64 + 3, KEPT as u64 + 4]);
        assert_eq!(curve.newest(usize::MAX).len(), KEPT);
    }
}
