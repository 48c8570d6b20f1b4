//! What the set commands do beyond what the scripts show: events, effects, chance, big sets. Replies are those of
//! redis-server 7.0.15.

use crate::command::Event;
use crate::families::testing::{World, decode, session};
use crate::resp::Proto;
use crate::resp::client::Value;
use std::collections::{BTreeMap, BTreeSet};

fn members(world: &mut World, words: &[&str]) -> Vec<String> {
    match decode(&world.run_words(words)) {
        Value::Array(values) => values.iter().map(text).collect(),
        other => panic!("{words:?}: {other:?}"),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("a bulk, not {other:?}"),
    }
}

/// Adds `prefix0` to `prefix<count - 1>`, in requests of a thousand at most.
fn fill(world: &mut World, key: &str, prefix: &str, count: usize) {
    let members: Vec<String> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    for part in members.chunks(1_000) {
        let words: Vec<&str> = ["SADD", key].into_iter().chain(part.iter().map(String::as_str)).collect();
        world.run_words(&words);
    }
    assert_eq!(world.run(&format!("SCARD {key}")), format!(":{count}"));
}

#[test]
fn writes_say_what_happened_and_once_a_key() {
    let mut world = World::new(4);
    for (command, reply, events) in [
        ("SADD a 1 2 3", ":3", &[("a", Event::SAdd)][..]),
        ("SADD a 1", ":0", &[]),
        ("SREM a 9", ":0", &[]),
        ("SREM a 1 2", ":2", &[("a", Event::SRem)]),
        ("SREM nokey 1", ":0", &[]),
        ("SMOVE a b 9", ":0", &[]),
        ("SMOVE a a 3", ":1", &[]),
        ("SMOVE a b 3", ":1", &[("a", Event::SRem), ("a", Event::Del), ("b", Event::SAdd)]),
        ("SADD a 3 4", ":2", &[("a", Event::SAdd)]),
        ("SMOVE a b 3", ":1", &[("a", Event::SRem)]),
        ("SREM a 4", ":1", &[("a", Event::SRem), ("a", Event::Del)]),
        ("SPOP b 0", "[]", &[]),
        ("SPOP b", "\"3\"", &[("b", Event::SPop), ("b", Event::Del)]),
        ("SPOP b", "nil", &[]),
        ("SPOP b 5", "[]", &[]),
        ("SADD b 1 2", ":2", &[("b", Event::SAdd)]),
        ("SINTERSTORE d b b", ":2", &[("d", Event::SInterStore)]),
        ("SUNIONSTORE d nokey b", ":2", &[("d", Event::SUnionStore)]),
        ("SDIFFSTORE e b nokey", ":2", &[("e", Event::SDiffStore)]),
        ("SDIFFSTORE d d b", ":0", &[("d", Event::Del)]),
        ("SINTERSTORE d nokey b", ":0", &[]),
        ("SPOP b 2", "[\"1\" \"2\"]", &[("b", Event::SPop), ("b", Event::Del)]),
    ] {
        let before = world.dirty();
        world.events.clear();
        assert_eq!(world.run(command), reply, "{command}");
        let got: Vec<(&str, Event)> = world.events.iter().map(|(_, key, event)| (key.as_str(), *event)).collect();
        assert_eq!(got, events, "{command}");
        let keys: BTreeSet<&str> = events.iter().map(|&(key, _)| key).collect();
        assert_eq!(world.dirty() - before, keys.len() as u64, "{command}");
    }
}

#[test]
fn a_change_keeps_the_expiry_and_a_stored_result_has_none() {
    session(
        r#"
        > SADD s a b c
        :3
        > EXPIRE s 100
        :1
        > SADD s d
        :1
        > SREM s a
        :1
        > TTL s
        :100
        > SUNIONSTORE s s s
        :3
        > TTL s
        :-1
        "#,
    );
}

#[test]
fn an_expired_set_is_an_empty_one() {
    for shards in [1, 4] {
        let mut world = World::new(shards);
        world.session("> SADD s a\n:1\n> SADD t a b\n:2\n> PEXPIRE s 10\n:1\n");
        world.now += 10;
        world.session(
            "> SINTER s t\n[]\n> SUNIONSTORE u s s\n:0\n> SCARD s\n:0\n> SPOP s\nnil\n> SADD s z\n:1\n> TTL s\n:-1\n",
        );
    }
}

#[test]
fn reads_count_hits_and_misses() {
    let mut world = World::new(1);
    world.run("SADD s a b");
    for (command, hits, misses) in [
        ("SCARD s", 1, 0),
        ("SISMEMBER nokey a", 0, 1),
        ("SMEMBERS s", 1, 0),
        ("SINTER s nokey s", 2, 1),
        ("SRANDMEMBER s", 1, 0),
        ("SSCAN s 0", 1, 0),
        ("SADD s a", 0, 0),
    ] {
        let before = world.hits();
        world.run(command);
        assert_eq!(world.hits(), (before.0 + hits, before.1 + misses), "{command}");
    }
}

#[test]
fn resp3_has_sets_where_members_are_different_and_arrays_where_not() {
    let mut world = World::new(1);
    world.proto = Proto::Resp3;
    world.session(
        r#"
        > SADD s a
        :1
        > SMEMBERS s
        set ["a"]
        > SINTER s s
        set ["a"]
        > SUNION nokey
        set []
        > SDIFF s nokey
        set ["a"]
        > SRANDMEMBER s 5
        ["a"]
        > SRANDMEMBER s -2
        ["a" "a"]
        > SRANDMEMBER nokey
        nil
        > SISMEMBER s a
        :1
        > SMISMEMBER s a b
        [:1 :0]
        > SSCAN s 0
        ["0" ["a"]]
        > SPOP s 5
        set ["a"]
        > SPOP s 5
        set []
        > SPOP s
        nil
        "#,
    );
}

#[test]
fn combining_big_sets_of_every_form_agrees_with_plain_ones() {
    let mut world = World::new(4);
    let mut plain: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (key, prefix, count) in
        [("big", "", 3_000), ("ints", "", 400), ("text", "m", 3_000), ("few", "m", 100), ("none", "", 0)]
    {
        fill(&mut world, key, prefix, count);
        plain.insert(key, (0..count).map(|n| format!("{prefix}{n}")).collect());
    }
    world.run("SADD few 7 399 2999 x");
    plain.get_mut("few").expect("filled").extend(["7", "399", "2999", "x"].map(String::from));
    let keys: Vec<&str> = plain.keys().copied().collect();
    for (at, &first) in keys.iter().enumerate() {
        for skip in 0..keys.len() {
            let sources = [first, keys[(at + skip) % keys.len()], keys[(at + 2 * skip) % keys.len()], keys[skip]];
            for len in [2, 4] {
                let sources = &sources[..len];
                for (how, store) in [("SINTER", "SINTERSTORE"), ("SUNION", "SUNIONSTORE"), ("SDIFF", "SDIFFSTORE")] {
                    let mut want = plain[sources[0]].clone();
                    for &other in &sources[1..] {
                        want = match how {
                            "SINTER" => &want & &plain[other],
                            "SUNION" => &want | &plain[other],
                            _ => &want - &plain[other],
                        };
                    }
                    let words: Vec<&str> = [how].into_iter().chain(sources.iter().copied()).collect();
                    let got = members(&mut world, &words);
                    assert_eq!(got.len(), want.len(), "{words:?}");
                    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), want, "{words:?}");
                    let reply = world.run(&format!("{store} out {}", sources.join(" ")));
                    assert_eq!(reply, format!(":{}", want.len()), "{words:?}");
                    let stored: BTreeSet<String> = members(&mut world, &["SMEMBERS", "out"]).into_iter().collect();
                    assert_eq!(stored, want, "{words:?}");
                    if how == "SINTER" {
                        let count = format!("SINTERCARD {len} {}", sources.join(" "));
                        assert_eq!(world.run(&count), format!(":{}", want.len()));
                        assert_eq!(world.run(&format!("{count} LIMIT 50")), format!(":{}", want.len().min(50)));
                    }
                }
            }
        }
    }
}

#[test]
fn members_taken_at_random_are_different_and_gone() {
    for (prefix, count) in [("", 100), ("m", 100), ("m", 2_000)] {
        let mut world = World::new(1);
        fill(&mut world, "s", prefix, count);
        let mut left: BTreeSet<String> = members(&mut world, &["SMEMBERS", "s"]).into_iter().collect();
        for take in [1, 7, 20, 60] {
            let sample = members(&mut world, &["SRANDMEMBER", "s", &take.to_string()]);
            let different: BTreeSet<&String> = sample.iter().collect();
            assert!(different.len() == take && different.iter().all(|&member| left.contains(member)));
            let drawn = members(&mut world, &["SRANDMEMBER", "s", &format!("-{}", 3 * count)]);
            assert!(drawn.len() == 3 * count && drawn.iter().all(|member| left.contains(member)));
            let popped = members(&mut world, &["SPOP", "s", &take.to_string()]);
            assert_eq!(popped.len(), take);
            assert!(popped.iter().all(|member| left.remove(member)), "{popped:?}");
        }
        let all = members(&mut world, &["SRANDMEMBER", "s", &count.to_string()]);
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), left);
        let rest = members(&mut world, &["SPOP", "s", &count.to_string()]);
        assert_eq!(rest.into_iter().collect::<BTreeSet<_>>(), left);
        assert_eq!(world.run("EXISTS s"), ":0");
    }
}

#[test]
fn a_walk_finds_all_that_stays_while_members_come_and_go() {
    let mut world = World::new(1);
    fill(&mut world, "s", "m", 5_000);
    let (mut cursor, mut seen, mut calls) = (String::from("0"), BTreeSet::new(), 0);
    loop {
        let reply = decode(&world.run_words(&["SSCAN", "s", &cursor, "COUNT", "50"]));
        let Value::Array(parts) = reply else { panic!("{reply:?}") };
        let Value::Array(found) = &parts[1] else { panic!("{parts:?}") };
        assert!(found.len() <= 100);
        seen.extend(found.iter().map(text));
        cursor = text(&parts[0]);
        calls += 1;
        if cursor == "0" {
            break;
        }
        // Odd numbers go, others come.
        for n in 0..50 {
            world.run(&format!("SREM s m{}", (calls * 50 + n) % 2_500 * 2 + 1));
            world.run(&format!("SADD s x{}", calls * 50 + n));
        }
    }
    assert!(calls >= 30);
    assert!((0..2_500).all(|n| seen.contains(&format!("m{}", 2 * n))));
}

#[test]
fn no_part_of_a_walk_is_longer_than_a_slice() {
    let mut world = World::new(1);
    fill(&mut world, "s", "m", 40_000);
    let Value::Array(parts) = decode(&world.run_words(&["SSCAN", "s", "0", "COUNT", "1000000"])) else { panic!() };
    let Value::Array(found) = &parts[1] else { panic!("{parts:?}") };
    assert!((16_384..17_000).contains(&found.len()) && text(&parts[0]) != "0", "{}", found.len());
}
