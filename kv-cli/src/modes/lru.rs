//! `--lru-test KEYS`: the hit ratio of a cache of so many keys under the server's `maxmemory` and its policy, a line a second.
//!
//! Four of five requests go to a fifth of the keys, and within each of the two so again: 250 SETs, then 250 GETs, by turns. Keys
//! are `lru:0` and on; what they held is overwritten. (`kv-bench --cache-aside` sets only what was not found, as caches do.)

use std::time::Duration;

use kv_core::resp::client::Value;
use kv_core::structs::random::Random;

use super::{Pace, Stop, now, print};
use crate::args::Target;
use crate::info::grouped;
use crate::wire::{Problem, Wire, error_text};

const PIPELINE: u64 = 250;

/// Bytes of a value.
const VALUE: &[u8] = b"val:5";

pub fn run(target: &Target, keys: u64, pace: Pace) -> Result<(), Problem> {
    let mut wire = Wire::open(target)?;
    let stop = Stop::listen()?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| Problem::failed(error.to_string()))?;
    let mut random = Random::new(u64::from_ne_bytes(seed));
    let interval = pace.interval.unwrap_or(Duration::from_secs(1));
    let mut lines = 0;
    while pace.lines.is_none_or(|wanted| lines < wanted) && !stop.is_asked() {
        let begin = now();
        let (mut gets, mut hits) = (0, 0);
        while begin.elapsed() < interval && !stop.is_asked() {
            send(&mut wire, |wire| wire.push(&[b"SET", &key(&mut random, keys)[..], VALUE]), |_| {})?;
            let count = |reply: &Value| hits += u64::from(reply.bytes().is_some());
            send(&mut wire, |wire| wire.push(&[b"GET", &key(&mut random, keys)[..]]), count)?;
            gets += PIPELINE;
        }
        print(&line(gets, hits, begin.elapsed()))?;
        lines += 1;
    }
    Ok(())
}

/// A pipeline of requests. The first error ends it: a server that is out of memory refuses every SET.
fn send(wire: &mut Wire, mut push: impl FnMut(&mut Wire), mut each: impl FnMut(&Value)) -> Result<(), Problem> {
    (0..PIPELINE).for_each(|_| push(wire));
    wire.send()?;
    for _ in 0..PIPELINE {
        let reply = wire.read()?;
        if let Some(text) = error_text(&reply) {
            return Err(Problem::failed(text));
        }
        each(&reply);
    }
    Ok(())
}

fn key(random: &mut Random, keys: u64) -> Vec<u8> {
    // 0.8 to this power is 0.2.
    let skew = 0.2_f64.ln() / 0.8_f64.ln();
    let uniform = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    format!("lru:{}", (keys as f64 * uniform.powf(skew)) as u64).into_bytes()
}

fn line(gets: u64, hits: u64, span: Duration) -> String {
    let share = |count: u64| 100.0 * count as f64 / gets.max(1) as f64;
    let rate = grouped((gets as f64 / span.as_secs_f64().max(1e-9)) as u64);
    format!(
        "{rate:>9} GET/s  hits {hits:>9} ({:.2} %)  misses {:>9} ({:.2} %)\n",
        share(hits),
        gets - hits,
        share(gets - hits)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_keys_gets_four_fifths_of_the_requests() {
        let mut random = Random::new(7);
        let numbers = (0..100_000).map(|_| {
            let key = String::from_utf8(key(&mut random, 1000)).unwrap();
            key.strip_prefix("lru:").unwrap().parse::<u64>().unwrap()
        });
        let (low, all) = numbers.fold((0, 0), |(low, all), number| {
            assert!(number < 1000);
            (low + u32::from(number < 200), all + 1)
        });
        assert!((79_000..81_000).contains(&low), "{low} of {all}");
    }

    #[test]
    fn a_line_tells_hits_and_misses() {
        let line = line(1000, 750, Duration::from_millis(500));
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>().join(" "),
            "2,000 GET/s hits 750 (75.00 %) misses 250 (25.00 %)"
        );
    }
}
