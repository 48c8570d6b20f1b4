//! What the stream commands write, which events they tell, and where their clock shows; replies are in
//! tests/scripts/stream.kvt.

use crate::families::testing::{World, session};
use crate::resp::Proto;

/// Runs requests; returns the events they told, and how many writes they were.
fn told(w: &mut World, requests: &[&str]) -> (Vec<String>, u64) {
    w.events.clear();
    let before = w.dirty();
    for request in requests {
        let reply = w.run(request);
        assert!(!reply.starts_with('-'), "{request}: {reply}");
    }
    let events = w.events.iter().map(|(_, key, event)| format!("{key} {}", event.as_str())).collect();
    (events, w.dirty() - before)
}

#[test]
fn a_write_says_what_it_did() {
    let mut w = World::new(1);
    let mut says = |request: &str, events: &[&str]| {
        let (told, writes) = told(&mut w, &[request]);
        assert_eq!(told, events, "{request}");
        // What XADD trims is part of its write.
        let own = events.iter().filter(|event| !(request.starts_with("XADD") && event.ends_with("xtrim"))).count();
        assert_eq!(writes, own as u64, "{request}");
    };
    says("XADD s 1-1 a 1", &["s xadd"]);
    says("XADD s MAXLEN 1 2-1 a 1", &["s xadd", "s xtrim"]);
    says("XADD s MAXLEN 5 3-1 a 1", &["s xadd"]);
    says("XADD none NOMKSTREAM 3-1 a 1", &[]);
    says("XTRIM s MAXLEN 5", &[]);
    says("XTRIM s MAXLEN 1", &["s xtrim"]);
    says("XDEL s 2-1", &[]);
    says("XDEL s 3-1", &["s xdel"]);
    says("XSETID s 3-2", &["s xsetid"]);
    says("XGROUP CREATE s g 0", &["s xgroup-create"]);
    says("XGROUP CREATE t g 0 MKSTREAM", &["t xgroup-create"]);
    says("XGROUP SETID s g 0", &["s xgroup-setid"]);
    says("XGROUP CREATECONSUMER s g c", &["s xgroup-createconsumer"]);
    says("XGROUP CREATECONSUMER s g c", &[]);
    says("XREADGROUP GROUP g c STREAMS s >", &[]);
    says("XREADGROUP GROUP g d STREAMS s >", &["s xgroup-createconsumer"]);
    says("XADD s 4-1 a 1", &["s xadd"]);
    // What is pending changes unheard, but not unlogged.
    says("XREADGROUP GROUP g c STREAMS s >", &["s "]);
    says("XREADGROUP GROUP g d STREAMS s 0", &[]);
    says("XREADGROUP GROUP g c STREAMS s 0", &["s "]);
    says("XCLAIM s g d 1000 4-1", &[]);
    says("XCLAIM s g e 0 4-1", &["s xgroup-createconsumer", "s "]);
    says("XAUTOCLAIM s g e 0 0", &["s "]);
    says("XAUTOCLAIM s g e 1000 0", &[]);
    says("XACK s g 1-1", &[]);
    says("XACK s g 4-1", &["s "]);
    says("XGROUP DELCONSUMER s g c", &["s xgroup-delconsumer"]);
    says("XGROUP DELCONSUMER s g c", &[]);
    says("XGROUP DESTROY s g", &["s xgroup-destroy"]);
    says("XGROUP DESTROY s g", &[]);
}

#[test]
fn what_is_refused_writes_nothing_and_makes_no_stream() {
    let mut w = World::new(1);
    w.run("XADD s 5-5 a 1");
    w.run("XGROUP CREATE s g 0");
    w.run("XREADGROUP GROUP g c STREAMS s >");
    let (writes, info) = (w.dirty(), w.run("XINFO STREAM s FULL"));
    for request in [
        "XADD s 5-5 a 1",
        "XADD new 0-0 a 1",
        "XADD new x a 1",
        "XDEL s 5-5 x",
        "XSETID s 5-4",
        "XGROUP CREATE new g 0",
        "XGROUP CREATE new g x MKSTREAM",
        "XGROUP CREATE s g 0",
        "XGROUP SETID s g x",
        "XACK s g 5-5 x",
        "XREADGROUP GROUP g new STREAMS s none > >",
        "XREADGROUP GROUP g new STREAMS s s > x",
        "XCLAIM s g new 0 5-5 FOO",
        "XAUTOCLAIM s g new 0 0 FOO",
        "XREADGROUP GROUP g c BLOCK -1 STREAMS s >",
    ] {
        let reply = w.run(request);
        assert!(reply.starts_with('-'), "{request}: {reply}");
        assert_eq!((w.dirty(), w.run("XINFO STREAM s FULL")), (writes, info.clone()), "{request}");
        assert_eq!(w.run("EXISTS new"), ":0", "{request}");
    }
}

#[test]
fn an_id_is_the_moment_of_the_turn_or_follows_the_last_one() {
    let mut w = World::new(1);
    w.now = 5_000;
    assert_eq!(w.run("XADD s * a 1"), "\"5000-0\"");
    assert_eq!(w.run("XADD s * a 1"), "\"5000-1\"");
    w.now = 4_000;
    assert_eq!(w.run("XADD s * a 1"), "\"5000-2\"");
    assert_eq!(w.run("XADD s 5000-* a 1"), "\"5000-3\"");
    w.now = 6_000;
    assert_eq!(w.run("XADD s NOMKSTREAM * a 1"), "\"6000-0\"");
    w.now = 0;
    assert_eq!(w.run("XADD t * a 1"), "\"0-1\"", "0-0 is no id");
}

#[test]
fn consumers_remember_when_they_asked_and_when_they_got_something() {
    let mut w = World::new(1);
    w.now = 1_000;
    w.run("XADD s 1-1 a 1");
    w.run("XGROUP CREATE s g 0");
    w.run("XGROUP CREATECONSUMER s g c");
    w.now = 1_010;
    let consumer = |w: &mut World| w.run("XINFO CONSUMERS s g").replace('"', "");
    assert_eq!(consumer(&mut w), "[[name c pending :0 idle :10 inactive :-1]]");
    w.run("XREADGROUP GROUP g c STREAMS s >");
    w.now = 1_030;
    assert_eq!(consumer(&mut w), "[[name c pending :1 idle :20 inactive :20]]");
    w.run("XREADGROUP GROUP g c STREAMS s >");
    assert_eq!(consumer(&mut w), "[[name c pending :1 idle :0 inactive :20]]");
    w.run("XREADGROUP GROUP g c STREAMS s 0");
    assert_eq!(w.run("XPENDING s g - + 9"), "[[\"1-1\" \"c\" :0 :2]]");
    w.now = 1_100;
    assert_eq!(w.run("XPENDING s g IDLE 70 - + 9"), "[[\"1-1\" \"c\" :70 :2]]");
    assert_eq!(w.run("XPENDING s g IDLE 71 - + 9"), "[]");
    assert_eq!(w.run("XCLAIM s g c 71 1-1"), "[]");
    assert_eq!(w.run("XCLAIM s g c 70 1-1 TIME 1050 JUSTID"), "[\"1-1\"]");
    assert_eq!(w.run("XPENDING s g - + 9"), "[[\"1-1\" \"c\" :50 :2]]");
    assert_eq!(consumer(&mut w), "[[name c pending :1 idle :0 inactive :0]]");
}

#[test]
fn streams_on_several_shards_are_read_together() {
    session(
        r#"
        > XADD a 1-1 f 1
        "1-1"
        > XADD b 2-1 f 2
        "2-1"
        > XADD c 3-1 f 3
        "3-1"
        > XREAD COUNT 1 STREAMS a b c d 0 0 $ 0
        [["a" [["1-1" ["f" "1"]]]] ["b" [["2-1" ["f" "2"]]]]]
        > XGROUP CREATE a g 0
        +OK
        > XGROUP CREATE b g $
        +OK
        > XGROUP CREATE c g 0
        +OK
        > XREADGROUP GROUP g me STREAMS a b c > > >
        [["a" [["1-1" ["f" "1"]]]] ["c" [["3-1" ["f" "3"]]]]]
        > XREADGROUP COUNT 1 GROUP streams me STREAMS a b > >
        -ERR a group or consumer named 'streams' must stand in front of other options: XREADGROUP GROUP group consumer ...
        > XREADGROUP NOACK GROUP g Streams STREAMS a b > >
        -ERR a group or consumer named 'streams' must stand in front of other options: XREADGROUP GROUP group consumer ...
        > XREADGROUP GROUP streams streams COUNT 1 STREAMS a b > >
        -NOGROUP No such key 'a' or consumer group 'streams' in XREADGROUP with GROUP option
        > XREAD COUNT STREAMS STREAMS a b 0 0
        -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn in_resp3_streams_are_the_keys_of_a_map() {
    let mut w = World::new(4);
    w.proto = Proto::Resp3;
    w.run("XADD a 1-1 f 1");
    w.run("XADD b 2-1 f 2");
    assert_eq!(w.run("XREAD STREAMS a b 0 0"), r#"{"a": [["1-1" ["f" "1"]]], "b": [["2-1" ["f" "2"]]]}"#);
    w.run("XGROUP CREATE a g 0");
    w.run("XGROUP CREATE b g $");
    // Two are asked, one has something.
    assert_eq!(w.run("XREADGROUP GROUP g c STREAMS a b > >"), r#"{"a": [["1-1" ["f" "1"]]]}"#);
    assert_eq!(w.run("XREADGROUP GROUP g c STREAMS a b > >"), "nil");
}

#[test]
fn a_stream_of_many_nodes_is_read_from_anywhere() {
    let mut w = World::new(1);
    for i in 1..=1_000 {
        w.run(&format!("XADD s {i}-0 n {i}"));
    }
    assert_eq!(w.run("XRANGE s 500 502"), r#"[["500-0" ["n" "500"]] ["501-0" ["n" "501"]] ["502-0" ["n" "502"]]]"#);
    assert_eq!(w.run("XREVRANGE s 101 99 COUNT 2"), r#"[["101-0" ["n" "101"]] ["100-0" ["n" "100"]]]"#);
    assert_eq!(w.run("XREAD COUNT 1 STREAMS s 999"), r#"[["s" [["1000-0" ["n" "1000"]]]]]"#);
    // Without LIMIT an approximate trim takes a hundred nodes at most, here all but one.
    assert_eq!(w.run("XTRIM s MAXLEN ~ 150"), ":800");
    assert_eq!(w.run("XTRIM s MINID ~ 950 LIMIT 99"), ":0");
    assert_eq!(w.run("XTRIM s MINID ~ 950 LIMIT 100"), ":100");
    assert_eq!(w.run("XLEN s"), ":100");
}

#[test]
fn xautoclaim_looks_at_a_bounded_number_of_entries_and_says_where_it_stopped() {
    let mut w = World::new(1);
    for i in 1..=100 {
        w.run(&format!("XADD s {i}-0 n {i}"));
    }
    w.run("XGROUP CREATE s g 0");
    w.run("XREADGROUP GROUP g c STREAMS s >");
    assert_eq!(w.run("XAUTOCLAIM s g d 1000 0 COUNT 2"), r#"["21-0" [] []]"#);
    assert_eq!(w.run("XAUTOCLAIM s g d 0 99 COUNT 2 JUSTID"), r#"["0-0" ["99-0" "100-0"] []]"#);
    w.run("XDEL s 1-0 2-0 3-0");
    assert_eq!(w.run("XAUTOCLAIM s g d 0 0 COUNT 2 JUSTID"), r#"["3-0" [] ["1-0" "2-0"]]"#);
    assert_eq!(w.run("XAUTOCLAIM s g d 0 3-0 COUNT 2 JUSTID"), r#"["5-0" ["4-0"] ["3-0"]]"#);
}

#[test]
fn the_memory_of_a_stream_is_counted_and_given_back() {
    let mut w = World::new(1);
    let bytes = |w: &mut World| w.shard(0).dbs[0].bytes();
    // What the table keeps for its next key.
    w.run("SET k v");
    w.run("DEL k");
    let empty = bytes(&mut w);
    for i in 1..=1_000 {
        w.run(&format!("XADD s {i}-0 field some-value-{i}"));
    }
    let full = bytes(&mut w);
    assert!((20_000..40_000).contains(&(full - empty)), "{} bytes", full - empty);
    w.run("XGROUP CREATE s g 0");
    w.run("XREADGROUP GROUP g c STREAMS s >");
    assert!(bytes(&mut w) > full + 40_000);
    w.run("XGROUP DESTROY s g");
    assert_eq!(bytes(&mut w), full);
    w.run("XTRIM s MAXLEN 0");
    assert!(bytes(&mut w) < empty + 1_000);
    w.run("DEL s");
    assert_eq!(bytes(&mut w), empty);
}
