//! What the hash commands do beyond what the scripts show: events, time, chance, big hashes.

use crate::command::Event;
use crate::families::testing::{World, decode, session};
use crate::resp::client::Value;
use std::collections::BTreeMap;

fn texts(world: &mut World, words: &[&str]) -> Vec<String> {
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

/// Sets `f0` to `f<count - 1>`, each to its number.
fn fill(world: &mut World, key: &str, count: usize) {
    let words: Vec<String> = (0..count).flat_map(|n| [format!("f{n}"), n.to_string()]).collect();
    for part in words.chunks(1_000) {
        let words: Vec<&str> = ["HSET", key].into_iter().chain(part.iter().map(String::as_str)).collect();
        world.run_words(&words);
    }
    assert_eq!(world.run(&format!("HLEN {key}")), format!(":{count}"));
}

#[test]
fn writes_say_what_happened_and_once_a_key() {
    use Event::{Del, HDel, HExpire, HIncrBy, HIncrByFloat, HPersist, HSet};
    let steps: &[(&str, &str, &[Event])] = &[
        ("HSET h a 1 b 2", ":2", &[HSet]),
        ("HMSET h a 1", "+OK", &[HSet]),
        ("HSETNX h a 2", ":0", &[]),
        ("HSETNX h c 3", ":1", &[HSet]),
        ("HINCRBY h a x", "-ERR value is not an integer or out of range", &[]),
        ("HINCRBY h a 1", ":2", &[HIncrBy]),
        ("HINCRBYFLOAT h a 1", "\"3\"", &[HIncrByFloat]),
        ("HINCRBYFLOAT h a 1e99999", "-ERR value is not a valid float", &[]),
        ("HDEL h z", ":0", &[]),
        ("HDEL h a z", ":1", &[HDel]),
        ("HEXPIRE h 10 XX FIELDS 1 b", "[:0]", &[]),
        ("HEXPIRE h 10 FIELDS 2 b c", "[:1 :1]", &[HExpire]),
        ("HPERSIST h FIELDS 2 b z", "[:1 :-2]", &[HPersist]),
        ("HPERSIST h FIELDS 1 b", "[:-1]", &[]),
        ("HGETEX h FIELDS 1 b", "[\"2\"]", &[]),
        ("HGETEX h EX 9 FIELDS 2 b b", "[\"2\" \"2\"]", &[HExpire]),
        ("HGETEX h PERSIST FIELDS 2 b z", "[\"2\" nil]", &[HPersist]),
        ("HGETEX h PERSIST FIELDS 1 b", "[\"2\"]", &[]),
        ("HGETEX h EX 0 FIELDS 1 z", "[nil]", &[]),
        ("HGETEX h EX 0 FIELDS 1 b", "[\"2\"]", &[HDel]),
        ("HGETDEL h FIELDS 1 b", "[nil]", &[]),
        ("HGETDEL h FIELDS 1 c", "[\"3\"]", &[HDel, Del]),
        ("HSETEX h FXX FIELDS 1 a 1", ":0", &[]),
        ("HSETEX h FIELDS 1 a 1", ":1", &[HSet]),
        ("HSETEX h PX 5 FIELDS 1 b 1", ":1", &[HSet, HExpire]),
        ("HSETEX h PX 0 FIELDS 1 b 1", ":1", &[HSet, HDel]),
        ("HSETEX h PX 0 FIELDS 1 a 1", ":1", &[HSet, HDel, Del]),
        ("HSET h a 1 b 1", ":2", &[HSet]),
        ("HEXPIRE h 0 FIELDS 1 a", "[:2]", &[HDel]),
        ("HEXPIREAT h 1 FIELDS 2 b b", "[:2 :-2]", &[HDel, Del]),
        ("HSET h a 1", ":1", &[HSet]),
        ("HDEL h a", ":1", &[HDel, Del]),
    ];
    let mut world = World::new(4);
    for (command, reply, events) in steps {
        let dirty = world.dirty();
        assert_eq!(world.run(command), *reply, "{command}");
        let told: Vec<Event> = world.events.drain(..).map(|(_, _, event)| event).collect();
        assert_eq!(told, *events, "{command}");
        assert_eq!(world.dirty() - dirty, u64::from(!events.is_empty()), "{command}");
    }
}

#[test]
fn a_field_is_missing_for_every_command_from_its_millisecond_on() {
    for packed in [true, false] {
        let mut world = World::new(1);
        world.settings.limits.hash_packed_entries = if packed { 512 } else { 1 };
        world.run("HSET h a 1 b 2");
        assert_eq!(world.run("HPEXPIRE h 100 FIELDS 1 a"), "[:1]");
        world.now += 99;
        assert_eq!(world.run("HPTTL h FIELDS 1 a"), "[:1]");
        assert_eq!(world.run("HTTL h FIELDS 1 a"), "[:1]");
        assert_eq!(world.run("HLEN h"), ":2");
        world.now += 1;
        world.session(
            r#"
            > HGET h a
            nil
            > HMGET h a b
            [nil "2"]
            > HGETALL h
            ["b" "2"]
            > HKEYS h
            ["b"]
            > HVALS h
            ["2"]
            > HLEN h
            :1
            > HEXISTS h a
            :0
            > HSTRLEN h a
            :0
            > HRANDFIELD h -3
            ["b" "b" "b"]
            > HRANDFIELD h 2
            ["b"]
            > HRANDFIELD h
            "b"
            > HSCAN h 0
            ["0" ["b" "2"]]
            > HTTL h FIELDS 1 a
            [:-2]
            > HPERSIST h FIELDS 1 a
            [:-2]
            > HEXPIRE h 10 FIELDS 1 a
            [:-2]
            > HGETEX h EX 10 FIELDS 1 a
            [nil]
            > HGETDEL h FIELDS 1 a
            [nil]
            > HSETEX h FXX FIELDS 1 a 1
            :0
            > HDEL h a
            :0
            > HINCRBY h a 5
            :5
            > HTTL h FIELDS 1 a
            [:-1]
            "#,
        );
    }
}

#[test]
fn taking_the_last_visible_field_takes_the_key() {
    for command in ["HDEL h b", "HGETDEL h FIELDS 1 b", "HEXPIRE h 0 FIELDS 1 b", "HSETEX h PX 0 FIELDS 1 b 1"] {
        let mut world = World::new(1);
        world.run("HSET h a 1 b 2");
        world.run("HPEXPIRE h 100 FIELDS 1 a");
        world.now += 100;
        world.run(command);
        assert_eq!(world.run("EXISTS h"), ":0", "{command}");
        assert_eq!(world.events.last().map(|(_, _, event)| *event), Some(Event::Del), "{command}");
    }
}

#[test]
fn hits_and_misses_are_about_the_key() {
    let mut world = World::new(1);
    world.run("HSET h a 1");
    for command in ["HGET h a", "HGET h z", "HLEN h", "HGETALL h", "HTTL h FIELDS 1 z", "HSCAN h 0"] {
        world.run(command);
    }
    assert_eq!(world.hits(), (6, 0));
    world.run("HGET nokey a");
    world.run("HSET h b 1");
    assert_eq!(world.hits(), (6, 1));
}

#[test]
fn a_big_hash_is_walked_in_parts_and_each_field_is_met() {
    let mut world = World::new(1);
    fill(&mut world, "h", 5_000);
    let (mut cursor, mut calls, mut seen) = ("0".to_string(), 0, BTreeMap::new());
    loop {
        let reply = decode(&world.run_words(&["HSCAN", "h", &cursor, "COUNT", "50"]));
        let Value::Array(parts) = reply else { panic!("a cursor and fields") };
        let (Value::Bulk(next), Value::Array(pairs)) = (&parts[0], &parts[1]) else { panic!("{parts:?}") };
        assert!(pairs.len() <= 2 * (50 + 40), "{} fields at once", pairs.len() / 2);
        seen.extend(pairs.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))));
        calls += 1;
        // The hash grows and shrinks meanwhile.
        world.run(&format!("HSET h new{calls} x"));
        world.run(&format!("HDEL h new{}", calls / 2));
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
            break;
        }
    }
    assert!(calls > 40, "{calls} calls");
    assert!((0..5_000).all(|n| seen.get(&format!("f{n}")) == Some(&n.to_string())));
}

#[test]
fn fields_are_chosen_with_the_same_chance() {
    for count in [10, 2_000] {
        let mut world = World::new(1);
        fill(&mut world, "h", count);
        for command in [&["HRANDFIELD", "h", "-20000"][..], &["HRANDFIELD", "h", "3"], &["HRANDFIELD", "h", "1900"]] {
            let mut chosen: BTreeMap<String, usize> = BTreeMap::new();
            let mut drawn = 0;
            while drawn < 20_000 {
                let fields = texts(&mut world, command);
                drawn += fields.len();
                fields.into_iter().for_each(|field| *chosen.entry(field).or_default() += 1);
            }
            let most = chosen.values().max().copied().unwrap_or(0);
            assert!(chosen.len() >= count * 99 / 100, "{command:?} of {count}: only {}", chosen.len());
            assert!(most <= 5 * drawn / count + 20, "{command:?} of {count}: one of them {most} times");
        }
        let different = texts(&mut world, &["HRANDFIELD", "h", "5"]);
        assert_eq!(different.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
    }
}

#[test]
fn values_of_any_size_come_back() {
    let mut world = World::new(1);
    let (long, longer) = ("x".repeat(100_000), "y".repeat(2 << 20));
    world.run_words(&["HSET", "h", "a", &long, &longer, "b"]);
    assert_eq!(texts(&mut world, &["HMGET", "h", "a", &longer]), [long.as_str(), "b"]);
    assert_eq!(world.run("HSTRLEN h a"), ":100000");
    assert_eq!(world.run("HEXPIRE h 100 FIELDS 1 a"), "[:1]");
    assert_eq!(texts(&mut world, &["HGETDEL", "h", "FIELDS", "1", "a"]), [long.as_str()]);
}

#[test]
fn keys_of_another_type_are_told_before_options() {
    session(
        r#"
        > SET s 1
        +OK
        > HSETEX s FOO FIELDS 1 a 1
        -ERR unknown argument: FOO
        > HGETEX s FOO FIELDS 1 a
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > HEXPIRE s x FOO 1 a
        -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn a_hash_whose_last_field_is_due_is_gone_removed_or_not() {
    for shards in [1, 4] {
        let mut world = World::new(shards);
        world.session(
            r#"
            > HSETEX h PX 10 FIELDS 1 f v
            :1
            > EXPIRE h 1000
            :1
            "#,
        );
        world.now += 10;
        // Nobody has removed it so far; another type may take the name, and the expiry is that of nothing.
        world.session(
            r#"
            > EXISTS h
            :0
            > TYPE h
            +none
            > KEYS *
            []
            > RPUSH h x
            :1
            > TTL h
            :-1
            "#,
        );
    }
}
