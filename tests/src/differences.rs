//! Random cases on kv-server and on redis-server: where they differ, told by the shortest case that shows it.

use crate::process::Server;
use crate::redis::Redis;
use crate::requests::{Grammar, Step, setting, shortest};

/// Cases with a difference that are told.
const FOUND_MAX: usize = 6;

/// Tries cases (`KV_TESTS_CASES`, from `KV_TESTS_SEED` on) on servers with so many shards, each case on one of them, and on
/// redis-server, if there is one. `begin` makes ready what is asked on such a server; `differ` runs steps from the beginning, for the
/// case of that seed, and tells where the two differ first, if they do.
///
/// Panics: when they do.
pub fn none_differs<S>(
    grammar: &Grammar,
    cases: u64,
    shards: &[&str],
    begin: impl Fn(&Server, &Redis, &str) -> S,
    differ: impl Fn(&mut S, u64, &[Step]) -> Option<String>,
) {
    let Some(redis) = Redis::start() else { return };
    let first = setting("KV_TESTS_SEED", 1);
    let cases = setting("KV_TESTS_CASES", cases);
    let mut found = Vec::new();
    for (at, shards_of_it) in shards.iter().enumerate() {
        let server = Server::start(&["--shards", shards_of_it]);
        let mut sides = begin(&server, &redis, shards_of_it);
        for seed in (first..first + cases).filter(|seed| *seed as usize % shards.len() == at) {
            let mut differ = |steps: &[Step]| differ(&mut sides, seed, steps);
            let steps = grammar.case(seed);
            if differ(&steps).is_none() {
                continue;
            }
            let steps = shortest(steps, |steps| differ(steps).is_some());
            let difference = differ(&steps).unwrap_or_default();
            let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
            found.push(format!("seed {seed}, {shards_of_it} shards: {difference}\n{}", lines.join("\n")));
            if found.len() == FOUND_MAX {
                break;
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
