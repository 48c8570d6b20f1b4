//! What the commands of sorted sets do beyond what the scripts show: events, chance, big sets, extreme numbers. Replies are
//! those of redis-server 7.0.15 and 8.2.3.

use crate::command::Event;
use crate::families::testing::{World, session};
use crate::structs::random::Random;

#[test]
fn writes_say_what_happened_and_once_a_key() {
    let mut world = World::new(4);
    for (command, reply, events) in [
        ("ZADD a 1 x 2 y 3 z", ":3", &[("a", Event::ZAdd)][..]),
        ("ZADD a 1 x", ":0", &[]),
        ("ZADD a 5 x", ":0", &[("a", Event::ZAdd)]),
        ("ZADD a NX 6 x", ":0", &[]),
        ("ZADD a INCR 1 x", "\"6\"", &[("a", Event::ZIncr)]),
        ("ZADD a INCR 0 x", "\"6\"", &[]),
        ("ZADD a XX INCR 1 nobody", "nil", &[]),
        ("ZADD nokey XX 1 x", ":0", &[]),
        ("ZINCRBY a 1 x", "\"7\"", &[("a", Event::ZIncr)]),
        ("ZREM a nobody", ":0", &[]),
        ("ZREM a x", ":1", &[("a", Event::ZRem)]),
        ("ZPOPMIN a 0", "[]", &[]),
        ("ZPOPMIN nokey", "[]", &[]),
        ("ZPOPMIN a", "[\"y\" \"2\"]", &[("a", Event::ZPopMin)]),
        ("ZPOPMAX a 9", "[\"z\" \"3\"]", &[("a", Event::ZPopMax), ("a", Event::Del)]),
        ("ZADD a 1 x 2 y 3 z 4 w", ":4", &[("a", Event::ZAdd)]),
        ("ZREMRANGEBYRANK a 9 10", ":0", &[]),
        ("ZREMRANGEBYRANK a 0 0", ":1", &[("a", Event::ZRemRangeByRank)]),
        ("ZREMRANGEBYSCORE a 4 5", ":1", &[("a", Event::ZRemRangeByScore)]),
        ("ZRANGESTORE b a 0 -1", ":2", &[("b", Event::ZRangeStore)]),
        ("ZUNIONSTORE c 2 a b", ":2", &[("c", Event::ZUnionStore)]),
        ("ZINTERSTORE c 2 a b", ":2", &[("c", Event::ZInterStore)]),
        ("ZDIFFSTORE d 2 a nokey", ":2", &[("d", Event::ZDiffStore)]),
        ("ZDIFFSTORE c 2 a b", ":0", &[("c", Event::Del)]),
        ("ZDIFFSTORE c 2 a b", ":0", &[]),
        ("ZRANGESTORE d nokey 0 -1", ":0", &[("d", Event::Del)]),
        ("ZREMRANGEBYLEX a - +", ":2", &[("a", Event::ZRemRangeByLex), ("a", Event::Del)]),
        (
            "ZMPOP 2 a b MIN COUNT 9",
            "[\"b\" [[\"y\" \"2\"] [\"z\" \"3\"]]]",
            &[("b", Event::ZPopMin), ("b", Event::Del)],
        ),
    ] {
        world.events.clear();
        assert_eq!(world.run(command), reply, "{command}");
        let told: Vec<_> = world.events.iter().map(|(_, key, event)| (key.as_str(), *event)).collect();
        assert_eq!(told, events, "{command}");
    }
}

#[test]
fn a_request_with_one_wrong_score_changes_nothing() {
    session(
        r#"
        > ZADD z 1 a
        :1
        > ZADD z 2 a 3 b x c
        -ERR value is not a valid float
        > ZRANGE z 0 -1 WITHSCORES
        ["a" "1"]
        > ZADD new 3 b x c
        -ERR value is not a valid float
        > EXISTS new
        :0
        > ZADD z INCR inf a
        "inf"
        > ZADD z INCR -inf a
        -ERR resulting score is not a number (NaN)
        > ZSCORE z a
        "inf"
        "#,
    );
}

#[test]
fn numbers_at_the_edge_of_a_double_come_back() {
    session(
        r#"
        > ZADD z 9007199254740993 a -9007199254740991 b 1.7976931348623157e308 c 5e-324 d 0.1 e 123456789012 f
        :6
        > ZRANGE z 0 -1 WITHSCORES
        ["b" "-9007199254740991" "d" "5e-324" "e" "0.1" "f" "123456789012" "a" "9007199254740992" "c" "1.7976931348623157e+308"]
        > ZADD z 1e999 a
        -ERR value is not a valid float
        > ZRANGEBYSCORE z (123456789012 1e999
        ["a" "c"]
        > ZRANGEBYSCORE z 1e-999 0.1
        ["d" "e"]
        "#,
    );
}

/// Fills a sorted set with `m0` to `m<n - 1>`, in requests of a thousand members.
fn fill(world: &mut World, key: &str, n: usize, score: impl Fn(usize) -> f64) {
    for start in (0..n).step_by(1_000) {
        let mut words = vec!["ZADD".to_string(), key.to_string()];
        for at in start..n.min(start + 1_000) {
            words.extend([score(at).to_string(), format!("m{at}")]);
        }
        world.run_words(&words);
    }
    assert_eq!(world.run(&format!("ZCARD {key}")), format!(":{n}"));
}

#[test]
fn ten_thousand_members_are_ranked_ranged_and_combined() {
    let mut world = World::new(1);
    // Scores 0 to 9999, each once, far from the order of insertion.
    fill(&mut world, "{k}a", 10_000, |at| (at * 7919 % 10_000) as f64);
    fill(&mut world, "{k}b", 10_000, |at| (at % 10) as f64);
    assert_eq!(world.run("OBJECT ENCODING {k}a"), "\"skiplist\"");
    assert_eq!(world.run("ZRANK {k}a m1"), ":7919");
    assert_eq!(world.run("ZREVRANK {k}a m1"), ":2080");
    assert_eq!(world.run("ZCOUNT {k}a (10 20"), ":10");
    assert_eq!(world.run("ZRANGE {k}a 7919 7919"), "[\"m1\"]");
    assert_eq!(world.run("ZREVRANGEBYSCORE {k}a 7919 0 LIMIT 0 1"), "[\"m1\"]");
    assert_eq!(world.run("ZUNIONSTORE {k}c 2 {k}a {k}b"), ":10000");
    assert_eq!(world.run("ZSCORE {k}c m1"), "\"7920\"");
    assert_eq!(world.run("ZINTERSTORE {k}c 2 {k}a {k}b WEIGHTS 1 10000 AGGREGATE MAX"), ":10000");
    assert_eq!(world.run("ZREVRANGE {k}c 0 0 WITHSCORES"), "[\"m9999\" \"90000\"]");
    assert_eq!(world.run("ZREMRANGEBYSCORE {k}a 100 9899"), ":9800");
    assert_eq!(world.run("ZDIFFSTORE {k}c 2 {k}b {k}a"), ":9800");
    assert_eq!(world.run("ZINTERCARD 2 {k}b {k}a LIMIT 150"), ":150");
    // All members of one score stand in the order of their bytes.
    assert_eq!(world.run("ZRANGEBYSCORE {k}b 9 9 LIMIT 1 2"), "[\"m1019\" \"m1029\"]");
    assert_eq!(world.run("ZREMRANGEBYRANK {k}a 0 -1"), ":200");
    assert_eq!(world.run("EXISTS {k}a"), ":0");
}

#[test]
fn members_are_chosen_with_the_same_chance() {
    let mut world = World::new(1);
    for n in [5, 300] {
        fill(&mut world, "z", n, |at| at as f64);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..20 * n {
            *seen.entry(world.run("ZRANDMEMBER z")).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), n, "each member is chosen at some time");
        for count in [n / 4, n / 2, n] {
            let reply = world.run(&format!("ZRANDMEMBER z {count}"));
            let words: std::collections::BTreeSet<&str> = reply.trim_matches(['[', ']']).split(' ').collect();
            assert_eq!(words.len(), count, "different members: {reply}");
        }
        world.run("DEL z");
    }
}

#[test]
fn zscan_finds_every_member_with_any_count() {
    let mut world = World::new(4);
    fill(&mut world, "z", 1_000, |at| at as f64 / 10.0);
    for count in [1, 10, 5_000] {
        let (mut cursor, mut seen) = ("0".to_string(), std::collections::BTreeMap::new());
        loop {
            let reply = world.run(&format!("ZSCAN z {cursor} COUNT {count}"));
            let words: Vec<&str> = reply.split(['[', ']', ' ', '"']).filter(|word| !word.is_empty()).collect();
            cursor = words[0].to_string();
            words[1..].chunks(2).for_each(|pair| drop(seen.insert(pair[0].to_string(), pair[1].to_string())));
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), 1_000);
        assert_eq!(seen["m7"], "0.7");
    }
}

#[test]
fn random_ranges_are_the_same_packed_and_ordered() {
    let mut random = Random::new(11);
    let (mut packed, mut ordered) = (World::new(1), World::new(1));
    ordered.settings.limits.zset_packed_entries = 0;
    for _ in 0..1_500 {
        let number = |random: &mut Random| random.below(12) as i64 - 3;
        let (a, b, member) = (number(&mut random), number(&mut random), random.below(15));
        let command = match random.below(14) {
            0..=4 => format!("ZADD z {a} m{member}"),
            5 => format!("ZREM z m{member}"),
            6 => format!("ZRANGE z {a} {b} REV WITHSCORES"),
            7 => format!("ZRANGE z ({a} {b} BYSCORE LIMIT {} {}", member % 3, b),
            8 => format!("ZREVRANGEBYSCORE z {a} ({b} WITHSCORES LIMIT {} 2", member % 3),
            9 => format!("ZCOUNT z {a} {b}"),
            10 => format!("ZREVRANK z m{member}"),
            11 if random.one_in(4) => format!("ZREMRANGEBYRANK z {a} {b}"),
            12 => format!("ZUNION 2 z z WEIGHTS {a} {b} AGGREGATE MAX WITHSCORES"),
            13 if random.one_in(4) => format!("ZPOPMAX z {member}"),
            _ => format!("ZMSCORE z m{member} m1"),
        };
        assert_eq!(packed.run(&command), ordered.run(&command), "{command}");
        if packed.run("EXISTS z") == ":1" {
            assert_eq!(packed.run("OBJECT ENCODING z"), "\"listpack\"");
            assert_eq!(ordered.run("OBJECT ENCODING z"), "\"skiplist\"");
        }
    }
}
