//! What the HyperLogLog commands answer. Replies and values are those of redis-server 7.0.15.

use crate::families::testing::{World, session};

#[test]
fn pfadd_tells_whether_the_count_changed() {
    session(
        r#"
        > PFADD h
        :1
        > PFADD h
        :0
        > PFADD h a b c
        :1
        > PFADD h a b c
        :0
        > PFADD h d
        :1
        > PFCOUNT h
        :4
        > EXPIRE h 100
        :1
        > PFADD h e
        :1
        > TTL h
        :100
        > PFADD
        -ERR wrong number of arguments for 'pfadd' command
        "#,
    );
}

#[test]
fn the_bytes_of_a_value_are_those_of_redis() {
    session(
        r#"
        > PFADD h a b c d e f g
        :1
        > GET h
        "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80Fm\x80V\x0c\x80D<\x848\x80P\xb1\x84I\x8c\x80Bm\x80BZ"
        > PFCOUNT h
        :7
        > GET h
        "HYLL\x01\x00\x00\x00\a\x00\x00\x00\x00\x00\x00\x00Fm\x80V\x0c\x80D<\x848\x80P\xb1\x84I\x8c\x80Bm\x80BZ"
        > PFADD h i
        :1
        > GET h
        "HYLL\x01\x00\x00\x00\a\x00\x00\x00\x00\x00\x00\x80Fm\x80I\xe8\x80L\"\x80D<\x848\x80P\xb1\x84I\x8c\x80Bm\x80BZ"
        > PFMERGE m h
        +OK
        > GET m
        "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80Fm\x80I\xe8\x80L\"\x80D<\x848\x80P\xb1\x84I\x8c\x80Bm\x80BZ"
        > PFMERGE m
        +OK
        > GET m
        "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80Fm\x80I\xe8\x80L\"\x80D<\x848\x80P\xb1\x84I\x8c\x80Bm\x80BZ"
        > PFMERGE new
        +OK
        > GET new
        "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
        "#,
    );
}

#[test]
fn pfcount_of_several_keys_counts_what_any_of_them_has_seen() {
    session(
        r#"
        > PFADD x 1 2 3 4
        :1
        > PFADD y 3 4 5
        :1
        > PFCOUNT x
        :4
        > PFCOUNT y
        :3
        > PFCOUNT x y
        :5
        > PFCOUNT x y nokey x
        :5
        > PFCOUNT nokey
        :0
        > PFCOUNT nokey nokey
        :0
        > PFCOUNT
        -ERR wrong number of arguments for 'pfcount' command
        "#,
    );
}

#[test]
fn pfmerge_makes_or_extends_its_destination() {
    session(
        r#"
        > PFADD x 1 2 3 4
        :1
        > PFADD y 3 4 5
        :1
        > PFMERGE z x y
        +OK
        > PFCOUNT z
        :5
        > PFADD z 6 7
        :1
        > PFMERGE z x nokey
        +OK
        > PFCOUNT z
        :7
        > PFMERGE x y
        +OK
        > PFCOUNT x
        :5
        > EXPIRE z 100
        :1
        > PFMERGE z y
        +OK
        > TTL z
        :100
        > PFMERGE
        -ERR wrong number of arguments for 'pfmerge' command
        "#,
    );
}

#[test]
fn a_string_that_is_no_hyperloglog_is_of_the_wrong_type() {
    session(
        r#"
        > SET s abc
        +OK
        > PFADD s x
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > PFCOUNT s
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > PFCOUNT h s
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > PFMERGE h s
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > PFMERGE s h
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > SET s 5
        +OK
        > PFADD s x
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > SET s HYLL
        +OK
        > PFCOUNT s
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > SET s "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        +OK
        > PFCOUNT s
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > SET s "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        +OK
        > PFCOUNT s
        -WRONGTYPE Key is not a valid HyperLogLog string value.
        > EXISTS h
        :0
        "#,
    );
}

#[test]
fn a_damaged_hyperloglog_is_refused_and_kept_as_it_is() {
    session(
        r#"
        > SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f"
        +OK
        > PFCOUNT s
        -INVALIDOBJ Corrupted HLL object detected
        > PFADD s x
        -INVALIDOBJ Corrupted HLL object detected
        > PFMERGE s
        -INVALIDOBJ Corrupted HLL object detected
        > PFADD h a
        :1
        > PFMERGE h s
        -INVALIDOBJ Corrupted HLL object detected
        > PFCOUNT h s
        -INVALIDOBJ Corrupted HLL object detected
        > GET s
        "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f"
        > PFCOUNT h
        :1
        "#,
    );
}

#[test]
fn a_value_becomes_dense_when_it_outgrows_the_option() {
    let mut w = World::new(1);
    w.settings.hll_sparse_max = 100;
    for i in 0..200 {
        w.run(&format!("PFADD h {i}"));
    }
    assert_eq!(w.run("STRLEN h"), ":12304");
    assert_eq!(w.run("OBJECT ENCODING h"), "\"raw\"");
    let mut sparse = World::new(1);
    for i in 0..200 {
        sparse.run(&format!("PFADD h {i}"));
    }
    let len: usize = sparse.run("STRLEN h")[1..].parse().expect("a number");
    assert!((101..3000).contains(&len), "{len} bytes");
    assert_eq!(w.run("PFCOUNT h"), sparse.run("PFCOUNT h"), "both forms say the same");
    // Merging with a dense one makes dense.
    w.run("PFADD small a");
    w.run("PFMERGE small h");
    assert_eq!(w.run("STRLEN small"), ":12304");
}

#[test]
fn an_estimate_is_within_its_error_over_shards() {
    let mut w = World::new(4);
    for i in 0..30_000 {
        w.run(&format!("PFADD h:{} {i} {}", i % 4, i + 1));
    }
    // Four times the standard error of 0.81 %.
    let estimate: f64 = w.run("PFCOUNT h:0 h:1 h:2 h:3")[1..].parse().expect("a number");
    assert!((estimate / 30_001.0 - 1.0).abs() < 0.0325, "{estimate}");
    w.run("PFMERGE all h:0 h:1 h:2 h:3");
    assert_eq!(w.run("PFCOUNT all"), format!(":{estimate}"));
}

#[test]
fn counting_is_no_write() {
    let mut w = World::new(1);
    w.run("PFADD h a b c EX");
    w.run("EXPIRE h 100");
    let before = w.dirty();
    w.events.clear();
    w.run("PFCOUNT h");
    w.run("PFCOUNT h h");
    w.run("PFADD h a");
    assert_eq!((w.dirty(), w.events.len()), (before, 0));
    assert_eq!(w.run("TTL h"), ":100");
    w.run("PFADD h new");
    w.run("PFMERGE h h");
    w.run("PFADD made");
    let said: Vec<String> = w.events.iter().map(|(_, key, event)| format!("{key} {}", event.as_str())).collect();
    assert_eq!(said, ["h pfadd", "h pfadd", "made pfadd"]);
}
