//! Random commands, said to one of our stores and to a real redis-server: the replies must be the same.
//!
//! A case is a sequence of requests (`kv_tests::requests`) on an empty store; one that shows a difference is made as short
//! as possible first. Here only the handlers run, without a server around them: `differential.rs` has one.

#![allow(clippy::disallowed_methods)] // the store's clock has to be Redis's

use std::time::{SystemTime, UNIX_EPOCH};

use kv_core::families::testing::{World, decode, show};
use kv_core::resp::Proto;
use kv_tests::client::Client;
use kv_tests::redis::Redis;
use kv_tests::requests::{Grammar, Step, agree, setting, shortest};

const CASES: u64 = 400;
/// Cases with a difference that are told, for each protocol.
const FOUND_MAX: usize = 8;

/// Runs the steps on empty stores; tells where they differ first.
fn differ(steps: &[Step], proto: Proto, shards: usize, redis: &mut Client) -> Option<String> {
    redis.ask(&["FLUSHALL"]);
    redis.ask(&["SELECT", "0"]);
    let mut world = World::new(shards);
    world.proto = proto;
    for step in steps {
        if let Step::Select(db) = step {
            world.db = *db;
            redis.ask(&["SELECT", &db.to_string()]);
            continue;
        }
        for words in step.requests() {
            let theirs = redis.ask(&words);
            world.now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
            let ours = decode(&world.run_words(&words));
            if !agree(&words, &ours, &theirs) {
                let said = Step::Request(words);
                return Some(format!("{said}: we say {}, Redis says {}", show(&ours), show(&theirs)));
            }
        }
    }
    None
}

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start() else { return };
    let grammar = Grammar::of_store();
    let first = setting("KV_TESTS_SEED", 1);
    let mut found = Vec::new();
    let cases = setting("KV_TESTS_CASES", CASES);
    for proto in [Proto::Resp2, Proto::Resp3] {
        let mut session = redis.client();
        session.ask(&["HELLO", if proto == Proto::Resp2 { "2" } else { "3" }]);
        for seed in (first..first + cases).filter(|seed| (seed % 2 == 0) == (proto == Proto::Resp2)) {
            let shards = [1, 3][seed as usize / 2 % 2];
            let steps = grammar.case(seed);
            if differ(&steps, proto, shards, &mut session).is_none() {
                continue;
            }
            let steps = shortest(steps, |steps| differ(steps, proto, shards, &mut session).is_some());
            let difference = differ(&steps, proto, shards, &mut session).unwrap_or_default();
            let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
            found.push(format!("seed {seed}, {proto:?}, {shards} shards: {difference}\n{}", lines.join("\n")));
            if found.len() == FOUND_MAX {
                break;
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
