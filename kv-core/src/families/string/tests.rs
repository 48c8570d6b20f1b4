//! What the commands on strings answer. Replies are those of redis-server 7.0.15.
//!
//! Each session runs with one shard and with several: no command may tell the difference.

use crate::families::testing::{World, session};
use crate::resp::Proto;

#[test]
fn get_and_set_work_as_long_as_there_is_a_value() {
    session(
        r#"
        > GET k
        nil
        > SET k "a b"
        +OK
        > GET k
        "a b"
        > SET k ""
        +OK
        > GET k
        ""
        > GET
        -ERR wrong number of arguments for 'get' command
        > SET k
        -ERR wrong number of arguments for 'set' command
        > GET k extra
        -ERR wrong number of arguments for 'get' command
        "#,
    );
}

#[test]
fn a_value_may_hold_any_bytes() {
    session(
        r#"
        > SET k "\x00\r\n\xff"
        +OK
        > GET k
        "\x00\r\n\xff"
        > STRLEN k
        :4
        > SET "\x00\r\n" v
        +OK
        > GET "\x00\r\n"
        "v"
        "#,
    );
}

#[test]
fn set_writes_on_its_condition_only() {
    session(
        r#"
        > SET k v XX
        nil
        > GET k
        nil
        > SET k v NX
        +OK
        > SET k w NX
        nil
        > GET k
        "v"
        > SET k w XX
        +OK
        > GET k
        "w"
        > SET k v NX XX
        -ERR syntax error
        > SET k v XX NX
        -ERR syntax error
        > SET k v nx NX
        nil
        "#,
    );
}

#[test]
fn set_with_get_tells_what_was_there() {
    session(
        r#"
        > SET k v GET
        nil
        > SET k w GET
        "v"
        > SET k x NX GET
        "w"
        > GET k
        "w"
        > SET other x XX GET
        nil
        > GET other
        nil
        > SET other x NX GET
        nil
        > GET other
        "x"
        "#,
    );
}

#[test]
fn set_refuses_expiries_that_are_none() {
    session(
        r#"
        > SET k v EX 0
        -ERR invalid expire time in 'set' command
        > SET k v EX -1
        -ERR invalid expire time in 'set' command
        > SET k v EX abc
        -ERR value is not an integer or out of range
        > SET k v EX 1.5
        -ERR value is not an integer or out of range
        > SET k v EX ""
        -ERR value is not an integer or out of range
        > SET k v EX
        -ERR syntax error
        > SET k v EX EX
        -ERR value is not an integer or out of range
        > SET k v EX 9223372036854775807
        -ERR invalid expire time in 'set' command
        > SET k v EX 9223372036854775
        -ERR invalid expire time in 'set' command
        > SET k v PX 9223372036854775807
        -ERR invalid expire time in 'set' command
        > SET k v EXAT 0
        -ERR invalid expire time in 'set' command
        > SET k v PXAT -5
        -ERR invalid expire time in 'set' command
        > EXISTS k
        :0
        "#,
    );
}

#[test]
fn set_refuses_options_that_exclude_each_other() {
    session(
        r#"
        > SET k v EX 1 PX 1
        -ERR syntax error
        > SET k v EXAT 1 EX 1
        -ERR syntax error
        > SET k v KEEPTTL EX 1
        -ERR syntax error
        > SET k v EX 1 KEEPTTL
        -ERR syntax error
        > SET k v PERSIST
        -ERR syntax error
        > SET k v FOO
        -ERR syntax error
        > SET k v NX FOO
        -ERR syntax error
        > EXISTS k
        :0
        > SET k v EX 1 EX 100
        +OK
        > TTL k
        :100
        "#,
    );
}

#[test]
fn set_clears_the_expiry_unless_told_to_keep_it() {
    session(
        r#"
        > SET k v EX 100
        +OK
        > TTL k
        :100
        > SET k w KEEPTTL
        +OK
        > TTL k
        :100
        > SET k x
        +OK
        > TTL k
        :-1
        > SET k x PX 5000
        +OK
        > TTL k
        :5
        > SET k x EXAT 99999999999
        +OK
        > EXPIRETIME k
        :99999999999
        > SET k x PXAT 99999999999999
        +OK
        > PEXPIRETIME k
        :99999999999999
        > SET k x XX GET EX 100
        "x"
        > TTL k
        :100
        "#,
    );
}

#[test]
fn a_moment_in_the_past_makes_a_key_that_nobody_sees() {
    session(
        r#"
        > SET k v
        +OK
        > SET k w PXAT 1
        +OK
        > GET k
        nil
        > EXISTS k
        :0
        > SET k w EXAT 1
        +OK
        > TTL k
        :-2
        "#,
    );
}

#[test]
fn setnx_setex_and_psetex_are_set_with_an_option() {
    session(
        r#"
        > SETNX k v
        :1
        > SETNX k w
        :0
        > GET k
        "v"
        > SETEX k 100 x
        +OK
        > TTL k
        :100
        > PSETEX k 100000 y
        +OK
        > TTL k
        :100
        > GET k
        "y"
        > SETEX k 0 v
        -ERR invalid expire time in 'setex' command
        > SETEX k -1 v
        -ERR invalid expire time in 'setex' command
        > SETEX k abc v
        -ERR value is not an integer or out of range
        > SETEX k 9223372036854775807 v
        -ERR invalid expire time in 'setex' command
        > PSETEX k 0 v
        -ERR invalid expire time in 'psetex' command
        > PSETEX k 9223372036854775807 v
        -ERR invalid expire time in 'psetex' command
        > GET k
        "y"
        > SETNX k
        -ERR wrong number of arguments for 'setnx' command
        > SETEX k 1
        -ERR wrong number of arguments for 'setex' command
        "#,
    );
}

#[test]
fn getset_tells_the_value_before_and_clears_the_expiry() {
    session(
        r#"
        > GETSET k v
        nil
        > SETEX k 100 w
        +OK
        > GETSET k x
        "w"
        > GET k
        "x"
        > TTL k
        :-1
        "#,
    );
}

#[test]
fn getdel_takes_the_key_away() {
    session(
        r#"
        > GETDEL k
        nil
        > SET k v
        +OK
        > GETDEL k
        "v"
        > GETDEL k
        nil
        "#,
    );
}

#[test]
fn getex_sets_moves_and_takes_away_an_expiry() {
    session(
        r#"
        > GETEX k
        nil
        > SET k v
        +OK
        > GETEX k
        "v"
        > TTL k
        :-1
        > GETEX k EX 100
        "v"
        > TTL k
        :100
        > GETEX k PX 50000
        "v"
        > TTL k
        :50
        > GETEX k EXAT 99999999999
        "v"
        > EXPIRETIME k
        :99999999999
        > GETEX k PXAT 99999999999999
        "v"
        > PEXPIRETIME k
        :99999999999999
        > GETEX k
        "v"
        > PEXPIRETIME k
        :99999999999999
        > GETEX k PERSIST
        "v"
        > TTL k
        :-1
        > GETEX k PERSIST
        "v"
        > GETEX k PXAT 1
        "v"
        > EXISTS k
        :0
        "#,
    );
}

#[test]
fn getex_looks_at_the_key_before_it_looks_at_the_number() {
    session(
        r#"
        > SET k v
        +OK
        > GETEX nokey EX abc
        nil
        > GETEX nokey EX 1 FOO
        -ERR syntax error
        > GETEX k EX abc
        -ERR value is not an integer or out of range
        > GETEX k EX 0
        -ERR invalid expire time in 'getex' command
        > GETEX k EX 9223372036854775807
        -ERR invalid expire time in 'getex' command
        > GETEX k EX
        -ERR syntax error
        > GETEX k EX 1 PERSIST
        -ERR syntax error
        > GETEX k PERSIST EX 1
        -ERR syntax error
        > GETEX k KEEPTTL
        -ERR syntax error
        > GETEX k NX
        -ERR syntax error
        > GETEX k GET
        -ERR syntax error
        > TTL k
        :-1
        "#,
    );
}

#[test]
fn append_makes_a_string_or_makes_it_longer() {
    session(
        r#"
        > APPEND k ab
        :2
        > APPEND k cd
        :4
        > GET k
        "abcd"
        > APPEND k ""
        :4
        > EXPIRE k 100
        :1
        > APPEND k ef
        :6
        > TTL k
        :100
        > APPEND empty ""
        :0
        > EXISTS empty
        :1
        > APPEND n 12
        :2
        > APPEND n 34
        :4
        > GET n
        "1234"
        > INCR n
        :1235
        "#,
    );
}

#[test]
fn setrange_fills_what_lies_between_with_zero_bytes() {
    session(
        r#"
        > SETRANGE k 3 abc
        :6
        > GET k
        "\x00\x00\x00abc"
        > SETRANGE k 0 xyz
        :6
        > GET k
        "xyzabc"
        > SETRANGE k 5 longer
        :11
        > GET k
        "xyzablonger"
        > SETRANGE k 0 ""
        :11
        > SETRANGE nokey 5 ""
        :0
        > EXISTS nokey
        :0
        > SET n 12345 EX 100
        +OK
        > SETRANGE n 1 99
        :5
        > GET n
        "19945"
        > TTL n
        :100
        > SETRANGE k abc x
        -ERR value is not an integer or out of range
        > SETRANGE k -1 x
        -ERR offset is out of range
        "#,
    );
}

#[test]
fn a_string_longer_than_a_bulk_may_be_is_refused() {
    session(
        r#"
        > SETRANGE k 536870912 a
        -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > SETRANGE k 536870911 ab
        -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > SETRANGE k 9223372036854775807 a
        -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > SETRANGE k 536870912 ""
        :0
        > EXISTS k
        :0
        "#,
    );
}

#[test]
fn getrange_cuts_positions_to_the_string() {
    session(
        r#"
        > SET k "Hello, world"
        +OK
        > GETRANGE k 0 -1
        "Hello, world"
        > GETRANGE k 7 11
        "world"
        > GETRANGE k -5 -1
        "world"
        > GETRANGE k -100 4
        "Hello"
        > GETRANGE k 7 100
        "world"
        > GETRANGE k 5 2
        ""
        > GETRANGE k 100 200
        ""
        > GETRANGE k -1 -3
        ""
        > GETRANGE k -200 -100
        "H"
        > GETRANGE k -100 -200
        ""
        > GETRANGE k -9223372036854775808 9223372036854775807
        "Hello, world"
        > GETRANGE k 9223372036854775807 -9223372036854775808
        ""
        > GETRANGE nokey 0 -1
        ""
        > GETRANGE k a 1
        -ERR value is not an integer or out of range
        > GETRANGE k 0 b
        -ERR value is not an integer or out of range
        > GETRANGE nokey 0 b
        -ERR value is not an integer or out of range
        > SUBSTR k 0 4
        "Hello"
        > SET k ""
        +OK
        > GETRANGE k 0 -1
        ""
        > GETRANGE k 0 0
        ""
        > SET k 12345
        +OK
        > GETRANGE k 1 2
        "23"
        "#,
    );
}

#[test]
fn strlen_counts_bytes() {
    session(
        r#"
        > STRLEN k
        :0
        > SET k -12345
        +OK
        > STRLEN k
        :6
        > SET k "a\x00b"
        +OK
        > STRLEN k
        :3
        "#,
    );
}

#[test]
fn incr_and_its_kin_count_from_zero() {
    session(
        r#"
        > INCR k
        :1
        > INCRBY k 10
        :11
        > DECR k
        :10
        > DECRBY k 4
        :6
        > GET k
        "6"
        > DECR d
        :-1
        > DECRBY e 5
        :-5
        > INCRBY f -7
        :-7
        > EXPIRE k 100
        :1
        > INCR k
        :7
        > TTL k
        :100
        "#,
    );
}

#[test]
fn incr_refuses_what_is_no_integer() {
    session(
        r#"
        > SET k abc
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > SET k " 1"
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > SET k 01
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > SET k +1
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > SET k -0
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > SET k ""
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > SET k 1.0
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > SET k 9223372036854775808
        +OK
        > INCR k
        -ERR value is not an integer or out of range
        > GET k
        "9223372036854775808"
        > INCRBY k abc
        -ERR value is not an integer or out of range
        > INCRBY n 1.5
        -ERR value is not an integer or out of range
        > INCRBY n ""
        -ERR value is not an integer or out of range
        > INCRBY n " 1"
        -ERR value is not an integer or out of range
        > EXISTS n
        :0
        "#,
    );
}

#[test]
fn incr_and_decr_stop_at_the_ends_of_64_bits() {
    session(
        r#"
        > SET k 9223372036854775807
        +OK
        > INCR k
        -ERR increment or decrement would overflow
        > INCRBY k 1
        -ERR increment or decrement would overflow
        > DECR k
        :9223372036854775806
        > INCRBY k 2
        -ERR increment or decrement would overflow
        > GET k
        "9223372036854775806"
        > SET k -9223372036854775808
        +OK
        > DECR k
        -ERR increment or decrement would overflow
        > DECRBY k 1
        -ERR increment or decrement would overflow
        > INCRBY k -1
        -ERR increment or decrement would overflow
        > DECRBY k -9223372036854775808
        -ERR decrement would overflow
        > INCRBY k 9223372036854775807
        :-1
        > INCRBY k -9223372036854775808
        -ERR increment or decrement would overflow
        > DECRBY k -1
        :0
        "#,
    );
}

#[test]
fn incrbyfloat_adds_decimals_without_noise() {
    session(
        r#"
        > INCRBYFLOAT k 1.5
        "1.5"
        > INCRBYFLOAT k 0.1
        "1.6"
        > INCRBYFLOAT k 0.2
        "1.8"
        > INCRBYFLOAT k -1.8
        "0"
        > SET k 10.50
        +OK
        > INCRBYFLOAT k 0.1
        "10.6"
        > SET k 5.0e3
        +OK
        > INCRBYFLOAT k 2.0e2
        "5200"
        > INCRBYFLOAT k -5200
        "0"
        > EXPIRE k 100
        :1
        > INCRBYFLOAT k 3
        "3"
        > TTL k
        :100
        > GET k
        "3"
        > INCR k
        :4
        "#,
    );
}

#[test]
fn incrbyfloat_refuses_what_is_no_finite_number() {
    session(
        r#"
        > INCRBYFLOAT k abc
        -ERR value is not a valid float
        > INCRBYFLOAT k inf
        -ERR increment would produce NaN or Infinity
        > INCRBYFLOAT k -inf
        -ERR increment would produce NaN or Infinity
        > INCRBYFLOAT k nan
        -ERR value is not a valid float
        > INCRBYFLOAT k ""
        -ERR value is not a valid float
        > INCRBYFLOAT k " 1"
        -ERR value is not a valid float
        > INCRBYFLOAT k "1 "
        -ERR value is not a valid float
        > EXISTS k
        :0
        > SET k abc
        +OK
        > INCRBYFLOAT k 1
        -ERR value is not a valid float
        > INCRBYFLOAT k xyz
        -ERR value is not a valid float
        "#,
    );
}

#[test]
fn mset_and_mget_take_many_keys() {
    session(
        r#"
        > MSET a 1 b 2 c 3 a 4
        +OK
        > MGET a b c nokey a
        ["4" "2" "3" nil "4"]
        > MSET a
        -ERR wrong number of arguments for 'mset' command
        > MSET a 1 b
        -ERR wrong number of arguments for 'mset' command
        > MGET
        -ERR wrong number of arguments for 'mget' command
        > SETEX t 100 v
        +OK
        > MSET t w
        +OK
        > TTL t
        :-1
        > MGET m1 m2 m3 m4 m5 m6 m7 m8 m9 m10 m11 m12 m13 m14 m15 m16 a b c m17 m18
        [nil nil nil nil nil nil nil nil nil nil nil nil nil nil nil nil "4" "2" "3" nil nil]
        "#,
    );
}

#[test]
fn msetnx_sets_all_or_nothing() {
    session(
        r#"
        > MSETNX a 1 b 2
        :1
        > MSETNX b 3 c 4
        :0
        > MGET a b c
        ["1" "2" nil]
        > MSETNX c 1 d 2 c 3
        :1
        > MGET c d
        ["3" "2"]
        > MSETNX a
        -ERR wrong number of arguments for 'msetnx' command
        > MSETNX x 1 y
        -ERR wrong number of arguments for 'msetnx' command
        > EXISTS x
        :0
        "#,
    );
}

#[test]
fn lcs_finds_what_two_strings_have_in_common() {
    session(
        r#"
        > SET a ohmytext
        +OK
        > SET b mynewtext
        +OK
        > LCS a b
        "mytext"
        > LCS a b LEN
        :6
        > LCS a b IDX
        ["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]
        > LCS a b IDX MINMATCHLEN 4
        ["matches" [[[:4 :7] [:5 :8]]] "len" :6]
        > LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
        ["matches" [[[:4 :7] [:5 :8] :4]] "len" :6]
        > LCS a b IDX MINMATCHLEN -1
        ["matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6]
        > LCS a nokey
        ""
        > LCS a nokey LEN
        :0
        > LCS a nokey IDX
        ["matches" [] "len" :0]
        > LCS nokey nokey
        ""
        > SET n 12345
        +OK
        > SET m 23745
        +OK
        > LCS n m IDX
        ["matches" [[[:3 :4] [:3 :4]] [[:1 :2] [:0 :1]]] "len" :4]
        > LCS a a IDX
        ["matches" [[[:0 :7] [:0 :7]]] "len" :8]
        "#,
    );
}

#[test]
fn lcs_refuses_what_it_cannot_read() {
    session(
        r#"
        > SET a x
        +OK
        > LCS a
        -ERR wrong number of arguments for 'lcs' command
        > LCS a b FOO
        -ERR syntax error
        > LCS a b LEN IDX
        -ERR If you want both the length and indexes, please just use IDX.
        > LCS a b MINMATCHLEN
        -ERR syntax error
        > LCS a b MINMATCHLEN a
        -ERR value is not an integer or out of range
        > LCS a b MINMATCHLEN 1.5 FOO
        -ERR value is not an integer or out of range
        "#,
    );
}

/// The events of a line: `key event`, in order.
fn events(world: &mut World, line: &str) -> Vec<String> {
    world.events.clear();
    world.run(line);
    world.events.iter().map(|(_, key, event)| format!("{key} {}", event.as_str())).collect()
}

#[test]
fn every_write_says_what_it_did_and_nothing_else_says_anything() {
    let mut w = World::new(4);
    for (line, expected) in [
        ("GET k", &[][..]),
        ("SET k v", &["k set"]),
        ("SET k v EX 100", &["k set", "k expire"]),
        ("SET k v KEEPTTL", &["k set"]),
        ("SET k v NX", &[]),
        ("SET nokey v XX", &[]),
        ("SET k v EX 0", &[]),
        ("SET k w XX GET", &["k set"]),
        ("SETNX k v", &[]),
        ("SETNX new v", &["new set"]),
        ("SETEX k 10 v", &["k set", "k expire"]),
        ("PSETEX k 10000 v", &["k set", "k expire"]),
        ("GETEX k", &[]),
        ("GETEX k EX 20", &["k expire"]),
        ("GETEX k PERSIST", &["k persist"]),
        ("GETEX k PERSIST", &[]),
        ("GETEX k PXAT 1", &["k del"]),
        ("GETEX k PXAT 1", &[]),
        ("GETSET k v", &["k set"]),
        ("GETDEL k", &["k del"]),
        ("GETDEL k", &[]),
        ("APPEND a x", &["a append"]),
        ("APPEND a \"\"", &["a append"]),
        ("SETRANGE a 5 x", &["a setrange"]),
        ("SETRANGE a 5 \"\"", &[]),
        ("SETRANGE a -1 x", &[]),
        ("INCR a", &[]),
        ("INCR n", &["n incrby"]),
        ("DECRBY n 5", &["n incrby"]),
        ("INCRBYFLOAT n 1.5", &["n incrbyfloat"]),
        ("INCRBYFLOAT n x", &[]),
        ("MSET p 1 q 2", &["p set", "q set"]),
        ("MSETNX p 1 r 2", &[]),
        ("MSETNX r 1 s 2 r 3", &["r set", "s set", "r set"]),
        ("STRLEN a", &[]),
        ("GETRANGE a 0 -1", &[]),
        ("MGET p q", &[]),
        ("LCS p q", &[]),
    ] {
        let mut expected: Vec<String> = expected.iter().map(|event| event.to_string()).collect();
        let mut said = events(&mut w, line);
        if line.starts_with("MSET ") {
            // In parts: the order among shards is free.
            expected.sort();
            said.sort();
        }
        assert_eq!(said, expected, "{line}");
    }
}

#[test]
fn a_write_counts_once_however_many_events_it_has() {
    let mut w = World::new(1);
    for (line, count) in [("SET k v EX 100", 1), ("MSET a 1 b 2", 2), ("GET k", 0), ("SET k v NX", 0), ("GETDEL k", 1)]
    {
        let before = w.dirty();
        w.run(line);
        assert_eq!(w.dirty() - before, count, "{line}");
    }
}

#[test]
fn reads_count_as_hits_and_misses_and_writes_do_not() {
    let mut w = World::new(4);
    w.run("MSET a 1 b 2");
    for (line, hits, misses) in [
        ("GET a", 1, 0),
        ("GET nokey", 0, 1),
        ("MGET a b nokey", 2, 1),
        ("STRLEN a", 1, 0),
        ("GETRANGE nokey 0 1", 0, 1),
        ("SET a 1", 0, 0),
        ("SET a 1 GET", 1, 0),
        ("SETNX a 1", 0, 0),
        ("INCR a", 0, 0),
        ("APPEND nokey x", 0, 0),
        ("GETEX a", 1, 0),
        ("GETDEL gone", 0, 1),
    ] {
        let before = w.hits();
        w.run(line);
        let after = w.hits();
        assert_eq!((after.0 - before.0, after.1 - before.1), (hits, misses), "{line}");
    }
}

#[test]
fn resp3_has_its_own_nil_and_maps() {
    let mut w = World::new(1);
    w.run("MSET a ohmytext b mynewtext");
    assert_eq!(w.wire("GET nokey"), "$-1\r\n");
    assert_eq!(w.wire("MGET a nokey"), "*2\r\n$8\r\nohmytext\r\n$-1\r\n");
    assert_eq!(w.wire("SET a 1 XX NX"), "-ERR syntax error\r\n");
    assert!(w.wire("LCS a b IDX").starts_with("*4\r\n$7\r\nmatches\r\n*2\r\n"));
    w.proto = Proto::Resp3;
    assert_eq!(w.wire("GET nokey"), "_\r\n");
    assert_eq!(w.wire("MGET a nokey"), "*2\r\n$8\r\nohmytext\r\n_\r\n");
    assert_eq!(w.wire("SET nokey v XX"), "_\r\n");
    assert_eq!(w.wire("GETDEL nokey"), "_\r\n");
    assert!(w.wire("LCS a b IDX").starts_with("%2\r\n$7\r\nmatches\r\n*2\r\n"));
}

#[test]
fn a_key_is_invisible_from_its_millisecond_on() {
    let mut w = World::new(1);
    w.run("SET k v PX 100");
    w.run("SET c v PX 100");
    w.now += 99;
    assert_eq!(w.run("PTTL k"), ":1");
    assert_eq!(w.run("GET k"), "\"v\"");
    w.now += 1;
    assert_eq!(w.run("GET k"), "nil");
    assert_eq!(w.run("SET k new XX"), "nil");
    assert_eq!(w.run("APPEND k new"), ":3");
    assert_eq!(w.run("TTL k"), ":-1");
    // What has expired has no expiry to keep.
    assert_eq!(w.run("SET c w KEEPTTL"), "+OK");
    assert_eq!(w.run("TTL c"), ":-1");
    w.run("SET n 41 PX 100");
    w.run("SET m v PX 100");
    w.now += 100;
    assert_eq!(w.run("INCR n"), ":1");
    assert_eq!(w.run("MSETNX m 1 o 2"), ":1");
}

#[test]
fn values_of_any_size_come_back_as_they_were() {
    let mut w = World::new(4);
    let mut long = Vec::new();
    // Around the limits of embedded strings, of 16-bit lengths and of what is freed in the background.
    for len in [0, 1, 44, 45, 255, 256, 1023, 1024, 1025, 65_535, 65_536, 65_537, 200_000] {
        let value: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        w.run_words(&[&b"SET"[..], b"k", &value]);
        let mut expected = format!("${len}\r\n").into_bytes();
        expected.extend_from_slice(&value);
        expected.extend_from_slice(b"\r\n");
        assert_eq!(w.run_words(&[&b"GET"[..], b"k"]), expected, "{len} bytes");
        assert_eq!(w.run("STRLEN k"), format!(":{len}"));
        long.extend_from_slice(&value);
        assert_eq!(w.run_words(&[&b"APPEND"[..], b"long", &value]), format!(":{}\r\n", long.len()).into_bytes());
        assert_eq!(w.run("GETRANGE long -3 -1"), crate::resp::line::quote(&long[long.len().saturating_sub(3)..]));
    }
}

#[test]
fn many_keys_in_one_request_are_all_set_and_found_in_their_order() {
    for shards in [1, 4] {
        let mut w = World::new(shards);
        // More than one group of prefetched keys, and one key in the last group.
        let keys: Vec<String> = (0..65).map(|i| format!("key:{i}")).collect();
        let pairs: Vec<&str> = keys.iter().flat_map(|key| [key.as_str(), &key[4..]]).collect();
        assert_eq!(w.run(&format!("MSET {}", pairs.join(" "))), "+OK");
        let values: Vec<String> = keys.iter().map(|key| format!("\"{}\"", &key[4..])).collect();
        assert_eq!(w.run(&format!("MGET {}", keys.join(" "))), format!("[{}]", values.join(" ")));
        assert_eq!(w.run(&format!("EXISTS {} nokey", keys.join(" "))), ":65");
        assert_eq!(w.run(&format!("DEL nokey {}", keys.join(" "))), ":65");
        assert_eq!(w.run("DBSIZE"), ":0");
    }
}

#[test]
fn lcs_refuses_strings_whose_comparison_would_take_too_much() {
    let mut w = World::new(1);
    w.settings.string_max = 1 << 20;
    w.run("SETRANGE a 999 x");
    w.run("SETRANGE b 999 x");
    let refusal = "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
    assert_eq!(w.run("LCS a b LEN"), refusal);
    assert_eq!(w.run("LCS a b"), refusal);
    assert_eq!(w.run("LCS a b IDX"), refusal);
    w.settings.string_max = 8 << 20;
    assert_eq!(w.run("LCS a b LEN"), ":1000");
}

#[test]
fn the_longest_string_is_an_option() {
    let mut w = World::new(1);
    w.settings.string_max = 10;
    let refusal = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    assert_eq!(w.run("SETRANGE k 9 x"), ":10");
    assert_eq!(w.run("SETRANGE k 10 x"), refusal);
    assert_eq!(w.run("APPEND k x"), refusal);
    assert_eq!(w.run("APPEND k \"\""), ":10");
    assert_eq!(w.run("STRLEN k"), ":10");
}

#[test]
fn a_whole_sum_of_incrbyfloat_is_kept_as_an_integer() {
    session(
        r#"> INCRBYFLOAT k 2.5
         "2.5"
         > OBJECT ENCODING k
         "embstr"
         > INCRBYFLOAT k 0.5
         "3"
         > OBJECT ENCODING k
         "int"
         > INCR k
         :4"#,
    );
}
