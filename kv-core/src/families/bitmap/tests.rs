//! What the bitmap commands answer beyond the script `bitmap.kvt`: events, long strings, limits.

use crate::command::Event;
use crate::families::testing::{World, session};

/// The events since the last call.
fn events(world: &mut World) -> Vec<(String, Event)> {
    std::mem::take(&mut world.events).into_iter().map(|(_, key, event)| (key, event)).collect()
}

fn told(key: &str, event: Event) -> Vec<(String, Event)> {
    vec![(key.to_string(), event)]
}

#[test]
fn setbit_is_told_only_when_something_is_another() {
    let mut world = World::new(1);
    world.run("SETBIT k 9 0");
    assert_eq!(events(&mut world), told("k", Event::SetBit), "the string became longer");
    world.run("SETBIT k 9 0");
    assert_eq!(events(&mut world), []);
    world.run("SETBIT k 9 1");
    assert_eq!(events(&mut world), told("k", Event::SetBit));
    world.run("SETBIT k 9 1");
    assert_eq!(events(&mut world), []);
}

#[test]
fn bitfield_is_told_once_and_only_when_something_is_another() {
    let mut world = World::new(1);
    assert_eq!(world.run("BITFIELD k GET u8 0"), "[:0]");
    assert_eq!(world.run("EXISTS k"), ":0");
    assert_eq!(events(&mut world), []);
    assert_eq!(world.run("BITFIELD k OVERFLOW FAIL INCRBY u2 9 5"), "[nil]");
    assert_eq!(events(&mut world), told("k", Event::Grown), "longer, but of what fails nobody is told");
    assert_eq!(world.run("BITFIELD k SET u8 0 7 INCRBY u8 8 1 GET u16 0"), "[:0 :1 :1793]");
    assert_eq!(events(&mut world), told("k", Event::SetBit));
    assert_eq!(world.run("BITFIELD k SET u8 0 7 OVERFLOW FAIL INCRBY u8 8 255"), "[:7 nil]");
    assert_eq!(events(&mut world), []);
    assert_eq!(world.dirty(), 2);
}

#[test]
fn bitop_is_told_as_set_or_del_and_clears_the_expiry() {
    for shards in [1, 4] {
        let mut world = World::new(shards);
        world.run("SET d x EX 100");
        world.run("SET a abc");
        events(&mut world);
        assert_eq!(world.run("BITOP OR d a d nokey"), ":3");
        assert_eq!(events(&mut world), told("d", Event::Set));
        assert_eq!((world.run("TTL d"), world.run("GET d")), (":-1".into(), "\"ybc\"".into()));
        assert_eq!(world.run("BITOP AND d nokey none"), ":0");
        assert_eq!(events(&mut world), told("d", Event::Del));
        assert_eq!(world.run("BITOP AND d nokey none"), ":0");
        assert_eq!(events(&mut world), []);
    }
}

#[test]
fn bits_of_long_strings_are_changed_in_place() {
    let mut world = World::new(1);
    let last = 8 * 1_000_000 - 1;
    assert_eq!(world.run(&format!("SETBIT k {last} 1")), ":0");
    let key = world.key(b"k");
    let place = |world: &mut World| world.shard(0).dbs[0].peek(key, 0).map(|entry| format!("{:p}", string_of(entry)));
    let before = place(&mut world);
    assert_eq!(world.run("SETBIT k 5 1"), ":0");
    assert_eq!(world.run("BITFIELD k SET i64 #100 -1 INCRBY u8 #3000 5"), "[:0 :5]");
    assert_eq!(place(&mut world), before, "no copy");
    assert_eq!(world.run("STRLEN k"), ":1000000");
    assert_eq!(world.run("BITCOUNT k"), ":68");
    assert_eq!(world.run("BITCOUNT k -1 -1"), ":1");
    assert_eq!(world.run(&format!("BITPOS k 1 {} -1 BIT", last - 5_000_000)), format!(":{last}"));
    assert_eq!(world.run("BITOP NOT n k"), ":1000000");
    assert_eq!(world.run("BITCOUNT n"), format!(":{}", 8_000_000 - 68));
    assert_eq!(world.run("BITOP ONE o n k"), ":1000000");
    assert_eq!(world.run("BITPOS o 0"), ":8000000");
}

fn string_of(entry: crate::store::EntryRef<'_>) -> *const u8 {
    super::text(entry, &mut itoa::Buffer::new()).expect("a string").as_ptr()
}

#[test]
fn no_bit_is_set_behind_the_longest_string() {
    let mut world = World::new(1);
    world.settings.string_max = 2_000;
    assert_eq!(world.run("SETBIT k 15999 1"), ":0");
    for refused in ["SETBIT k 16000 1", "GETBIT k 16000", "BITFIELD k GET u8 16000", "BITFIELD k SET u8 #2000 1"] {
        assert_eq!(world.run(refused), "-ERR bit offset is not an integer or out of range", "{refused}");
    }
    // Only where a field begins is limited.
    assert_eq!(world.run("BITFIELD k SET u16 #999 65535 SET i64 15999 -1"), "[:1 :-9223372036854775808]");
    assert_eq!(world.run("STRLEN k"), ":2008");
    // What is multiplied may not even fit 64 bits.
    assert_eq!(
        world.run("BITFIELD k GET u8 #2305843009213693952"),
        "-ERR bit offset is not an integer or out of range"
    );
}

#[test]
fn the_lowest_number_saturates_at_the_lowest_value_of_a_field() {
    session(
        r#"
        > BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0
        [:0 :-128]
        > BITFIELD k OVERFLOW SAT SET u8 0 -9223372036854775808 GET u8 0
        [:128 :255]
        "#,
    );
}

#[test]
fn words_behind_a_missing_key_are_looked_at() {
    session(
        r#"
        > BITCOUNT nokey x y
        -ERR value is not an integer or out of range
        > BITCOUNT nokey 1
        -ERR syntax error
        > BITCOUNT nokey 0 1 FOO
        -ERR syntax error
        > BITPOS nokey 0 x
        -ERR value is not an integer or out of range
        > BITPOS nokey 1 5 6 FOO
        -ERR syntax error
        "#,
    );
}
