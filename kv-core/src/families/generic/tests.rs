//! What the commands on keys of any type answer. Replies are those of redis-server 7.0.15.

use crate::families::testing::{World, session};
use std::collections::BTreeSet;

#[test]
fn del_counts_the_keys_that_were_there() {
    session(
        r#"
        > SET a 1
        +OK
        > SET b 2
        +OK
        > DEL a b nokey a
        :2
        > EXISTS a b
        :0
        > DEL a
        :0
        > DEL
        -ERR wrong number of arguments for 'del' command
        > SET a 1
        +OK
        > UNLINK a nokey
        :1
        > GET a
        nil
        "#,
    );
}

#[test]
fn exists_and_touch_count_a_key_as_often_as_it_is_named() {
    session(
        r#"
        > SET a 1
        +OK
        > SET b 2
        +OK
        > EXISTS a a nokey b
        :3
        > TOUCH a a nokey b
        :3
        > EXISTS nokey
        :0
        > TOUCH nokey
        :0
        "#,
    );
}

#[test]
fn expire_sets_a_moment_and_persist_takes_it_away() {
    session(
        r#"
        > EXPIRE k 10
        :0
        > SET k v
        +OK
        > TTL k
        :-1
        > EXPIRE k 10
        :1
        > TTL k
        :10
        > PEXPIRE k 20000
        :1
        > TTL k
        :20
        > EXPIREAT k 99999999999
        :1
        > EXPIRETIME k
        :99999999999
        > PEXPIREAT k 99999999999499
        :1
        > EXPIRETIME k
        :99999999999
        > PEXPIREAT k 99999999999500
        :1
        > EXPIRETIME k
        :100000000000
        > PEXPIRETIME k
        :99999999999500
        > PERSIST k
        :1
        > TTL k
        :-1
        > PERSIST k
        :0
        > PERSIST nokey
        :0
        > EXPIRETIME k
        :-1
        > EXPIRETIME nokey
        :-2
        > PEXPIRETIME nokey
        :-2
        > TTL nokey
        :-2
        > PTTL nokey
        :-2
        > PTTL k
        :-1
        "#,
    );
}

#[test]
fn a_condition_decides_whether_an_expiry_is_set() {
    session(
        r#"
        > SET k v
        +OK
        > EXPIRE k 10 XX
        :0
        > EXPIRE k 10 GT
        :0
        > EXPIRE k 10 xx gt
        :0
        > TTL k
        :-1
        > EXPIRE k 20 LT
        :1
        > EXPIRE k 30 LT
        :0
        > EXPIRE k 30 NX
        :0
        > EXPIRE k 20 GT
        :0
        > EXPIRE k 30 GT
        :1
        > TTL k
        :30
        > EXPIRE k 40 XX GT
        :1
        > EXPIRE k 50 XX LT
        :0
        > EXPIRE k 35 XX LT
        :1
        > TTL k
        :35
        > PERSIST k
        :1
        > EXPIRE k 10 NX
        :1
        > TTL k
        :10
        > EXPIREAT k 99999999999 GT
        :1
        > PEXPIREAT k 99999999999000 GT
        :0
        > PEXPIREAT k 99999999999000 LT
        :0
        > PEXPIREAT k 99999999998999 LT
        :1
        > EXPIRETIME k
        :99999999999
        "#,
    );
}

#[test]
fn a_moment_in_the_past_removes_the_key_at_once() {
    session(
        r#"
        > SET k v
        +OK
        > EXPIRE k 0
        :1
        > EXISTS k
        :0
        > SET k v
        +OK
        > PEXPIRE k -1
        :1
        > EXISTS k
        :0
        > SET k v
        +OK
        > EXPIREAT k 1
        :1
        > EXISTS k
        :0
        > SET k v
        +OK
        > PEXPIREAT k -1
        :1
        > EXISTS k
        :0
        > SET k v
        +OK
        > EXPIRE k -1 XX
        :0
        > EXPIRE k -1 GT
        :0
        > EXISTS k
        :1
        > EXPIRE k -1 LT
        :1
        > EXISTS k
        :0
        "#,
    );
}

#[test]
fn expire_refuses_what_it_cannot_read_or_reach() {
    session(
        r#"
        > SET k v
        +OK
        > EXPIRE k abc
        -ERR value is not an integer or out of range
        > EXPIRE k 1.5
        -ERR value is not an integer or out of range
        > EXPIRE k 10 FOO
        -ERR Unsupported option FOO
        > EXPIRE k abc FOO
        -ERR Unsupported option FOO
        > EXPIRE k 10 NX XX
        -ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE k 10 NX GT
        -ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE k 10 LT NX
        -ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE k 10 GT LT
        -ERR GT and LT options at the same time are not compatible
        > EXPIRE k 10 NX GT LT
        -ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE k 9223372036854775807
        -ERR invalid expire time in 'expire' command
        > EXPIRE k -9223372036854775808
        -ERR invalid expire time in 'expire' command
        > EXPIRE k 9223372036854775
        -ERR invalid expire time in 'expire' command
        > PEXPIRE k 9223372036854775807
        -ERR invalid expire time in 'pexpire' command
        > EXPIREAT k 9223372036854775807
        -ERR invalid expire time in 'expireat' command
        > EXPIREAT nokey 9223372036854775807
        -ERR invalid expire time in 'expireat' command
        > PEXPIREAT k 9223372036854775807
        :1
        > PEXPIRETIME k
        :9223372036854775807
        > EXPIRE k
        -ERR wrong number of arguments for 'expire' command
        "#,
    );
}

#[test]
fn type_is_string_or_none() {
    session(
        r#"
        > TYPE k
        +none
        > SET k v
        +OK
        > TYPE k
        +string
        > SET k 1
        +OK
        > TYPE k
        +string
        "#,
    );
}

#[test]
fn rename_moves_value_and_expiry() {
    session(
        r#"
        > RENAME nokey other
        -ERR no such key
        > RENAME nokey nokey
        -ERR no such key
        > SET a 1
        +OK
        > EXPIRE a 100
        :1
        > SET b 2
        +OK
        > RENAME a b
        +OK
        > EXISTS a
        :0
        > GET b
        "1"
        > TTL b
        :100
        > RENAME b b
        +OK
        > TTL b
        :100
        > SET c 3
        +OK
        > RENAME c b
        +OK
        > TTL b
        :-1
        > GET b
        "3"
        > RENAMENX nokey x
        -ERR no such key
        > RENAMENX b b
        :0
        > SET d 4
        +OK
        > RENAMENX b d
        :0
        > MGET b d
        ["3" "4"]
        > RENAMENX b e
        :1
        > MGET b e
        [nil "3"]
        "#,
    );
}

#[test]
fn a_renamed_key_may_be_long_and_its_value_large() {
    session(
        r#"
        > SET a 0123456789012345678901234567890123456789012345678901234567890123456789
        +OK
        > RENAME a aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        +OK
        > GET aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        > SETRANGE a 2000 x
        :2001
        > RENAME a b
        +OK
        > STRLEN b
        :2001
        > COPY b c
        :1
        > APPEND b y
        :2002
        > STRLEN b
        :2002
        > STRLEN c
        :2001
        "#,
    );
}

#[test]
fn copy_leaves_the_source_as_it_was() {
    session(
        r#"
        > COPY nokey x
        :0
        > SET a 1
        +OK
        > EXPIRE a 100
        :1
        > COPY a b
        :1
        > MGET a b
        ["1" "1"]
        > TTL b
        :100
        > SET c 3
        +OK
        > COPY a c
        :0
        > GET c
        "3"
        > COPY a c REPLACE
        :1
        > GET c
        "1"
        > TTL c
        :100
        > COPY a a
        -ERR source and destination objects are the same
        > COPY nokey nokey
        -ERR source and destination objects are the same
        > COPY a a DB 0
        -ERR source and destination objects are the same
        > COPY a b DB 1
        :1
        > COPY a a DB 1
        :1
        > COPY a b DB 1
        :0
        > COPY a b DB 1 REPLACE
        :1
        > COPY a b REPLACE REPLACE
        :1
        > COPY a b FOO
        -ERR syntax error
        > COPY a b DB
        -ERR syntax error
        > COPY a b DB x
        -ERR value is not an integer or out of range
        > COPY a b DB 16
        -ERR DB index is out of range
        > COPY a b DB -1
        -ERR DB index is out of range
        > COPY a b DB 2147483648
        -ERR value is out of range, value must between -2147483648 and 2147483647
        > COPY a b DB 16 FOO
        -ERR DB index is out of range
        "#,
    );
}

#[test]
fn move_needs_another_database_that_has_no_such_key() {
    session(
        r#"
        > SET a 1
        +OK
        > EXPIRE a 100
        :1
        > MOVE a 0
        -ERR source and destination objects are the same
        > MOVE nokey 0
        -ERR source and destination objects are the same
        > MOVE a x
        -ERR value is not an integer or out of range
        > MOVE a 16
        -ERR DB index is out of range
        > MOVE a -1
        -ERR DB index is out of range
        > MOVE a 2147483648
        -ERR value is out of range, value must between -2147483648 and 2147483647
        > MOVE nokey 1
        :0
        > MOVE a 1
        :1
        > EXISTS a
        :0
        > SET a 2
        +OK
        > MOVE a 1
        :0
        > GET a
        "2"
        "#,
    );
}

#[test]
fn databases_are_flushed_and_counted_one_by_one() {
    session(
        r#"
        > DBSIZE
        :0
        > SET a 1
        +OK
        > SET b 2
        +OK
        > SET c 3
        +OK
        > DBSIZE
        :3
        > MOVE c 1
        :1
        > FLUSHDB
        +OK
        > DBSIZE
        :0
        > SET a 1
        +OK
        > FLUSHDB ASYNC
        +OK
        > FLUSHDB sync
        +OK
        > FLUSHDB FOO
        -ERR syntax error
        > FLUSHDB ASYNC SYNC
        -ERR syntax error
        > FLUSHALL FOO
        -ERR syntax error
        > FLUSHALL SYNC ASYNC
        -ERR syntax error
        > FLUSHALL
        +OK
        > SWAPDB 0 1
        +OK
        > DBSIZE
        :0
        "#,
    );
}

#[test]
fn swapdb_lets_databases_change_places() {
    session(
        r#"
        > SET a 1
        +OK
        > SWAPDB 0 1
        +OK
        > DBSIZE
        :0
        > SWAPDB 1 0
        +OK
        > GET a
        "1"
        > SWAPDB 0 0
        +OK
        > SWAPDB x 1
        -ERR invalid first DB index
        > SWAPDB 0 x
        -ERR invalid second DB index
        > SWAPDB x x
        -ERR invalid first DB index
        > SWAPDB 99999999999 0
        -ERR invalid first DB index
        > SWAPDB 0 99999999999
        -ERR invalid second DB index
        > SWAPDB 0 16
        -ERR DB index is out of range
        > SWAPDB 16 0
        -ERR DB index is out of range
        > SWAPDB -1 0
        -ERR DB index is out of range
        "#,
    );
}

#[test]
fn object_encoding_follows_the_rules_of_redis() {
    session(
        r#"
        > SET k 123
        +OK
        > OBJECT ENCODING k
        "int"
        > SET k 9223372036854775807
        +OK
        > OBJECT ENCODING k
        "int"
        > SET k 9223372036854775808
        +OK
        > OBJECT ENCODING k
        "embstr"
        > SET k " 1"
        +OK
        > OBJECT ENCODING k
        "embstr"
        > SET k ""
        +OK
        > OBJECT ENCODING k
        "embstr"
        > SET k 12345678901234567890123456789012345678901234
        +OK
        > OBJECT ENCODING k
        "embstr"
        > SET k 123456789012345678901234567890123456789012345
        +OK
        > OBJECT ENCODING k
        "raw"
        > SET k 12
        +OK
        > APPEND k 3
        :3
        > OBJECT ENCODING k
        "raw"
        > COPY k copy
        :1
        > INCR k
        :124
        > OBJECT ENCODING k
        "int"
        > SETRANGE k 0 9
        :3
        > OBJECT ENCODING k
        "raw"
        > GETSET k abc
        "924"
        > OBJECT ENCODING k
        "embstr"
        > APPEND new 12
        :2
        > OBJECT ENCODING new
        "int"
        > EXPIRE new 100
        :1
        > OBJECT ENCODING new
        "int"
        > SETRANGE fresh 0 12
        :2
        > OBJECT ENCODING fresh
        "raw"
        > EXPIRE fresh 100
        :1
        > OBJECT ENCODING fresh
        "raw"
        > RENAME fresh renamed
        +OK
        > OBJECT ENCODING renamed
        "raw"
        > OBJECT ENCODING nokey
        nil
        "#,
    );
}

#[test]
fn object_tells_nothing_of_what_is_not_there() {
    session(
        r#"
        > OBJECT FREQ nokey
        nil
        > OBJECT IDLETIME nokey
        nil
        > OBJECT REFCOUNT nokey
        nil
        > SET k abc
        +OK
        > OBJECT REFCOUNT k
        :1
        > OBJECT IDLETIME k
        :0
        > OBJECT FREQ k
        -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        > OBJECT ENCODING
        -ERR wrong number of arguments for 'object|encoding' command
        > OBJECT REFCOUNT k k
        -ERR wrong number of arguments for 'object|refcount' command
        "#,
    );
}

#[test]
fn randomkey_picks_one_that_is_there() {
    session(
        r#"
        > RANDOMKEY
        nil
        > SET k v
        +OK
        > RANDOMKEY
        "k"
        > RANDOMKEY x
        -ERR wrong number of arguments for 'randomkey' command
        "#,
    );
}

#[test]
fn keys_lists_what_a_pattern_matches() {
    session(
        r#"
        > KEYS *
        []
        > SET only 1
        +OK
        > KEYS *
        ["only"]
        > KEYS o*
        ["only"]
        > KEYS x*
        []
        > KEYS o[nm]?y
        ["only"]
        > KEYS *y
        ["only"]
        > KEYS
        -ERR wrong number of arguments for 'keys' command
        "#,
    );
}

#[test]
fn scan_refuses_cursors_and_options_that_it_cannot_read() {
    session(
        r#"
        > SCAN a
        -ERR invalid cursor
        > SCAN 1a
        -ERR invalid cursor
        > SCAN " 1"
        -ERR invalid cursor
        > SCAN -
        -ERR invalid cursor
        > SCAN 18446744073709551616
        -ERR invalid cursor
        > SCAN 0 COUNT 0
        -ERR syntax error
        > SCAN 0 COUNT -5
        -ERR syntax error
        > SCAN 0 COUNT a
        -ERR value is not an integer or out of range
        > SCAN 0 COUNT
        -ERR syntax error
        > SCAN 0 MATCH
        -ERR syntax error
        > SCAN 0 TYPE
        -ERR syntax error
        > SCAN 0 FOO bar
        -ERR syntax error
        > SCAN 0 COUNT 5 FOO
        -ERR syntax error
        > SCAN
        -ERR wrong number of arguments for 'scan' command
        "#,
    );
}

#[test]
fn wait_answers_that_there_are_no_replicas() {
    session(
        r#"
        > WAIT 0 0
        :0
        > WAIT 1 1
        :0
        > WAIT a 0
        -ERR value is not an integer or out of range
        > WAIT 0 a
        -ERR timeout is not an integer or out of range
        > WAIT a a
        -ERR value is not an integer or out of range
        > WAIT 1 -1
        -ERR timeout is negative
        > WAIT -1 0
        :0
        > WAIT 0
        -ERR wrong number of arguments for 'wait' command
        "#,
    );
}

fn words(reply: &str) -> Vec<String> {
    let inside = reply.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).expect("an array");
    inside.split_ascii_whitespace().map(|word| word.trim_matches('"').to_string()).collect()
}

/// Keys `key:0` and so on; returns their names.
fn fill(world: &mut World, count: usize) -> BTreeSet<String> {
    let keys: Vec<String> = (0..count).map(|i| format!("key:{i}")).collect();
    for key in &keys {
        world.run_words(&["SET", key, "v"]);
    }
    keys.into_iter().collect()
}

#[test]
fn keys_lists_each_key_once_and_lets_others_in_between() {
    for shards in [1, 4] {
        let mut w = World::new(shards);
        let all = fill(&mut w, 20_000);
        let listed = words(&w.run("KEYS *"));
        assert_eq!(listed.len(), 20_000);
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), all);
        assert!(w.slices >= 8, "only {} cuts with {shards} shards", w.slices);
        let matching = words(&w.run("KEYS key:1999?"));
        let expected: BTreeSet<String> = (19_990..20_000).map(|i| format!("key:{i}")).collect();
        assert_eq!(matching.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(w.run("KEYS nothing*"), "[]");
    }
}

/// A whole walk: the keys of every step, and how many steps it took.
fn scan_all(world: &mut World, options: &str, mut between: impl FnMut(&mut World)) -> (Vec<String>, usize) {
    let (mut found, mut cursor, mut steps) = (Vec::new(), "0".to_string(), 0);
    loop {
        let reply = world.run(&format!("SCAN {cursor} {options}"));
        let (next, keys) = reply[1..reply.len() - 1].split_once(' ').expect("a cursor and keys");
        cursor = next.trim_matches('"').to_string();
        found.extend(words(keys));
        steps += 1;
        if cursor == "0" {
            return (found, steps);
        }
        between(world);
    }
}

#[test]
fn scan_finds_every_key_with_any_count() {
    for shards in [1, 2, 4] {
        let mut w = World::new(shards);
        let all = fill(&mut w, 3000);
        let mut steps_before = usize::MAX;
        for count in [1, 10, 100, 1000, 1_000_000] {
            let (found, steps) = scan_all(&mut w, &format!("COUNT {count}"), |_| {});
            assert_eq!(found.len(), 3000, "COUNT {count}: a keyspace at rest repeats nothing");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all, "COUNT {count}");
            assert!(steps <= steps_before && steps >= shards, "COUNT {count}: {steps} steps");
            steps_before = steps;
        }
        assert_eq!(steps_before, shards, "one step a shard with a large count");
        let (found, _) = scan_all(&mut w, "MATCH key:29?? COUNT 100 TYPE string", |_| {});
        assert_eq!(found.len(), 100);
        assert_eq!(scan_all(&mut w, "TYPE hash COUNT 100", |_| {}).0, Vec::<String>::new());
        assert_eq!(scan_all(&mut w, "TYPE STRING COUNT 1000", |_| {}).0.len(), 3000);
        assert_eq!(scan_all(&mut w, "MATCH * COUNT 1000", |_| {}).0.len(), 3000);
    }
}

#[test]
fn scan_finds_what_is_there_all_the_time_while_the_keyspace_grows_and_shrinks() {
    for shards in [1, 3] {
        let mut w = World::new(shards);
        let all = fill(&mut w, 1000);
        let mut step = 0;
        let (found, _) = scan_all(&mut w, "COUNT 10", |w| {
            // Grows tenfold in the first half of the walk and shrinks again.
            for i in 0..200 {
                let name = format!("passing:{}", if step < 50 { step * 200 + i } else { (step - 50) * 200 + i });
                w.run_words(&[if step < 50 { "SET" } else { "DEL" }, &name, "v"][..if step < 50 { 3 } else { 2 }]);
            }
            step += 1;
        });
        let found: BTreeSet<String> = found.into_iter().collect();
        let missed: Vec<_> = all.difference(&found).collect();
        assert!(missed.is_empty(), "{missed:?} with {shards} shards");
    }
}

#[test]
fn no_scan_does_more_work_than_a_slice_whatever_its_count() {
    let mut w = World::new(1);
    fill(&mut w, 40_000);
    let reply = w.run("SCAN 0 COUNT 1000000 MATCH nothing");
    assert_ne!(reply, "[\"0\" []]", "40,000 keys are more than one call may look at");
    let (found, steps) = scan_all(&mut w, "COUNT 1000000", |_| {});
    assert_eq!(found.len(), 40_000);
    assert!((2..=8).contains(&steps), "{steps} steps");
}

#[test]
fn a_cursor_of_anybodys_making_does_no_harm() {
    for shards in [1, 3] {
        let mut w = World::new(shards);
        fill(&mut w, 100);
        for cursor in
            ["1", "2", "12345678", "281474976710655", "18446744073709551615", "-1", "-9223372036854775808", "+7"]
        {
            let reply = w.run(&format!("SCAN {cursor}"));
            assert!(reply.starts_with("[\""), "{cursor}: {reply}");
        }
        assert_eq!(w.run("SCAN \"\"").chars().next(), Some('['));
    }
}

#[test]
fn what_has_expired_is_neither_listed_nor_picked() {
    for shards in [1, 4] {
        let mut w = World::new(shards);
        for i in 0..50 {
            w.run(&format!("SET gone:{i} v PX 100"));
        }
        w.run("SET here v");
        w.now += 100;
        assert_eq!(w.run("KEYS *"), "[\"here\"]");
        assert_eq!(scan_all(&mut w, "COUNT 100", |_| {}).0, ["here"]);
        for _ in 0..20 {
            assert_eq!(w.run("RANDOMKEY"), "\"here\"");
        }
        assert_eq!(w.run("EXISTS gone:0 gone:1 here"), ":1");
        assert_eq!(w.run("DEL gone:2 here"), ":1");
        assert_eq!(w.run("RENAME gone:3 x"), "-ERR no such key");
        assert_eq!(w.run("TTL gone:4"), ":-2");
        assert_eq!(w.run("EXPIRE gone:5 100"), ":0");
        assert_eq!(w.run("PERSIST gone:6"), ":0");
        assert_eq!(w.run("COPY gone:7 x"), ":0");
        assert_eq!(w.run("MOVE gone:8 1"), ":0");
        assert_eq!(w.run("TYPE gone:9"), "+none");
        // A place whose key has expired is free.
        w.run("SET source v");
        assert_eq!(w.run("COPY source gone:10"), ":1");
        assert_eq!(w.run("RENAMENX source gone:11"), ":1");
        assert_eq!(w.run("TTL gone:11"), ":-1");
    }
}

#[test]
fn randomkey_picks_every_key_sooner_or_later() {
    let mut w = World::new(1);
    let all = fill(&mut w, 20);
    let mut picked = BTreeSet::new();
    // The chance to miss one of 20 keys 2,000 times is below 10^-40, if each gets a fair share.
    for _ in 0..2000 {
        picked.insert(w.run("RANDOMKEY").trim_matches('"').to_string());
    }
    assert_eq!(picked, all);
}

#[test]
fn other_databases_hold_what_was_copied_or_moved_there() {
    for shards in [1, 4] {
        let mut w = World::new(shards);
        w.session(
            "> SET a 1 EX 100
             +OK
             > COPY a b DB 1
             :1
             > MOVE a 1
             :1
             > DBSIZE
             :0",
        );
        w.db = 1;
        w.session(
            r#"> DBSIZE
             :2
             > MGET a b
             ["1" "1"]
             > TTL a
             :100
             > TTL b
             :100
             > SWAPDB 0 1
             +OK
             > DBSIZE
             :0"#,
        );
        w.db = 0;
        assert_eq!(w.run("MGET a b"), r#"["1" "1"]"#);
        w.run("SET c 1");
        w.run("MOVE c 15");
        assert_eq!(w.run("FLUSHDB"), "+OK");
        w.db = 15;
        assert_eq!(w.run("DBSIZE"), ":1", "another database is not flushed");
        w.db = 0;
        assert_eq!(w.run("FLUSHALL"), "+OK");
        w.db = 15;
        assert_eq!(w.run("DBSIZE"), ":0");
    }
}

#[test]
fn an_expiry_travels_with_its_key_and_stays_exact() {
    for shards in [1, 4] {
        let mut w = World::new(shards);
        w.run("SET a v PX 1000");
        w.run("RENAME a b");
        w.run("COPY b c");
        w.run("MOVE c 3");
        w.now += 999;
        assert_eq!(w.run("PTTL b"), ":1");
        w.now += 1;
        assert_eq!(w.run("GET b"), "nil");
        w.db = 3;
        assert_eq!(w.run("GET c"), "nil");
    }
}

#[test]
fn ttl_rounds_to_the_nearest_second() {
    let mut w = World::new(1);
    for (ms, seconds) in [(1, 0), (499, 0), (500, 1), (1499, 1), (1500, 2)] {
        w.run(&format!("SET k v PX {ms}"));
        assert_eq!(w.run("TTL k"), format!(":{seconds}"), "{ms} ms");
        assert_eq!(w.run("PTTL k"), format!(":{ms}"));
        assert_eq!(w.run("PEXPIRETIME k"), format!(":{}", w.now + ms));
    }
}

#[test]
fn idle_time_counts_from_the_last_use_that_counts() {
    let mut w = World::new(1);
    w.run("SET k v");
    w.now += 10_000;
    for line in
        ["TTL k", "TYPE k", "EXISTS k", "OBJECT ENCODING k", "OBJECT IDLETIME k", "KEYS *", "SCAN 0", "RANDOMKEY"]
    {
        w.run(line);
        assert_eq!(w.run("OBJECT IDLETIME k"), ":10", "{line} is no use");
    }
    w.no_touch = true;
    w.run("GET k");
    assert_eq!(w.run("OBJECT IDLETIME k"), ":10", "under NO-TOUCH");
    w.run("TOUCH k");
    assert_eq!(w.run("OBJECT IDLETIME k"), ":0", "TOUCH means it");
    w.no_touch = false;
    for line in ["GET k", "APPEND k x", "STRLEN k", "GETRANGE k 0 1", "SET k v"] {
        w.now += 5000;
        w.run(line);
        assert_eq!(w.run("OBJECT IDLETIME k"), ":0", "{line}");
    }
    // 24 bits of seconds wrap around after 194 days.
    w.now += 1000 * ((1 << 24) + 7);
    assert_eq!(w.run("OBJECT IDLETIME k"), ":7");
}

#[test]
fn every_write_says_what_it_did_to_which_key_of_which_database() {
    let mut w = World::new(4);
    for (line, expected) in [
        ("SET a 1", &["0 a set"][..]),
        ("EXPIRE nokey 10", &[]),
        ("EXPIRE a 10", &["0 a expire"]),
        ("EXPIRE a 5 GT", &[]),
        ("PERSIST a", &["0 a persist"]),
        ("PERSIST a", &[]),
        ("RENAME a a", &[]),
        ("RENAME a b", &["0 a rename_from", "0 b rename_to"]),
        ("COPY b c", &["0 c copy_to"]),
        ("COPY b c", &[]),
        ("COPY b c DB 2 REPLACE", &["2 c copy_to"]),
        ("MOVE b 1", &["0 b move_from", "1 b move_to"]),
        ("DEL c nokey c", &["0 c del"]),
        ("SET d 1", &["0 d set"]),
        ("EXPIREAT d 1", &["0 d del"]),
        ("SET d 1", &["0 d set"]),
        ("UNLINK d", &["0 d del"]),
        ("TOUCH c", &[]),
        ("FLUSHALL", &[]),
    ] {
        w.events.clear();
        w.run(line);
        let said: Vec<String> =
            w.events.iter().map(|(db, key, event)| format!("{db} {key} {}", event.as_str())).collect();
        assert_eq!(said, expected, "{line}");
    }
}

#[test]
fn flushing_counts_as_a_write_of_every_key() {
    let mut w = World::new(4);
    fill(&mut w, 100);
    let before = w.dirty();
    w.run("FLUSHDB");
    assert_eq!(w.dirty() - before, 100);
}

#[test]
fn what_is_large_is_left_to_be_freed_elsewhere() {
    let mut w = World::new(1);
    for line in [
        "DEL k",
        "UNLINK k",
        "SET k small",
        "GETDEL k",
        "RENAME other k",
        "EXPIRE k -1",
        "FLUSHDB",
        "COPY other k REPLACE",
    ] {
        w.run("SETRANGE k 100000 x");
        w.run("SET other v");
        assert!(w.shard(0).take_garbage().is_empty());
        w.run(line);
        assert_eq!(w.shard(0).take_garbage().len(), 1, "{line}");
        w.run("FLUSHALL");
        w.shard(0).take_garbage();
    }
    w.run("MSET k small other v");
    w.run("DEL k");
    assert!(w.shard(0).take_garbage().is_empty(), "small values are freed on the spot");
}

#[test]
fn object_help_names_every_subcommand() {
    let mut w = World::new(1);
    let help = w.wire("OBJECT HELP");
    for name in ["ENCODING <key>", "FREQ <key>", "HELP", "IDLETIME <key>", "REFCOUNT <key>"] {
        assert!(help.contains(&format!("+{name}\r\n")), "{name}: {help}");
    }
}

#[test]
fn object_refcount_is_always_one() {
    session(
        "> MSET small 5 text abc
         +OK
         > OBJECT REFCOUNT small
         :1
         > OBJECT REFCOUNT text
         :1",
    );
}
