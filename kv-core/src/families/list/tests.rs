use crate::command::Event;
use crate::families::testing::{World, session};

/// The events of what runs, as `key event`.
fn events(world: &mut World, line: &str) -> Vec<String> {
    world.events.clear();
    world.run(line);
    world.events.iter().map(|(_, key, event): &(usize, String, Event)| format!("{key} {}", event.as_str())).collect()
}

#[test]
fn both_ends_push_and_pop_in_their_order() {
    session(
        "> RPUSH l a b c
        :3
        > LPUSH l x y
        :5
        > LRANGE l 0 -1
        [\"y\" \"x\" \"a\" \"b\" \"c\"]
        > LPOP l
        \"y\"
        > RPOP l 2
        [\"c\" \"b\"]
        > LLEN l
        :2
        > LPOP l 9
        [\"x\" \"a\"]
        > EXISTS l
        :0",
    );
}

#[test]
fn a_list_moves_its_elements_to_another_shard_and_to_itself() {
    session(
        "> RPUSH a 1 2 3
        :3
        > LMOVE a b LEFT RIGHT
        \"1\"
        > RPOPLPUSH a b
        \"3\"
        > LRANGE b 0 -1
        [\"3\" \"1\"]
        > LMOVE b b LEFT LEFT
        \"3\"
        > LMOVE b b LEFT RIGHT
        \"3\"
        > LRANGE b 0 -1
        [\"1\" \"3\"]
        > LMOVE a b LEFT LEFT
        \"2\"
        > EXISTS a
        :0
        > LMOVE a b LEFT LEFT
        nil",
    );
}

#[test]
fn a_move_that_is_refused_leaves_the_source_as_it_was() {
    session(
        "> RPUSH l a
        :1
        > SET s x
        +OK
        > LMOVE l s LEFT LEFT
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > LMOVE s l LEFT LEFT
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > LRANGE l 0 -1
        [\"a\"]",
    );
}

#[test]
fn the_only_element_moved_within_its_list_keeps_the_expiry_of_the_key() {
    session(
        "> RPUSH l a
        :1
        > EXPIRE l 100
        :1
        > RPOPLPUSH l l
        \"a\"
        > TTL l
        :100",
    );
}

#[test]
fn the_first_list_that_has_elements_is_popped_from() {
    session(
        "> RPUSH b 1 2 3
        :3
        > LMPOP 3 a b c RIGHT COUNT 2
        [\"b\" [\"3\" \"2\"]]
        > LMPOP 1 a LEFT
        nil array",
    );
}

#[test]
fn each_write_says_what_happened_once() {
    let mut world = World::new(4);
    assert_eq!(events(&mut world, "RPUSH l a b c d e"), ["l rpush"]);
    assert_eq!(events(&mut world, "LPUSH l x"), ["l lpush"]);
    assert_eq!(events(&mut world, "LPUSHX no x"), [""; 0]);
    assert_eq!(events(&mut world, "RPUSHX l x"), ["l rpush"]);
    assert_eq!(events(&mut world, "LPOP l"), ["l lpop"]);
    assert_eq!(events(&mut world, "LPOP l 0"), [""; 0]);
    assert_eq!(events(&mut world, "RPOP l 1"), ["l rpop"]);
    assert_eq!(events(&mut world, "LSET l 0 z"), ["l lset"]);
    assert_eq!(events(&mut world, "LSET l 50 z"), [""; 0]);
    assert_eq!(events(&mut world, "LINSERT l BEFORE z y"), ["l linsert"]);
    assert_eq!(events(&mut world, "LINSERT l BEFORE none y"), [""; 0]);
    assert_eq!(events(&mut world, "LREM l 1 y"), ["l lrem"]);
    assert_eq!(events(&mut world, "LREM l 1 y"), [""; 0]);
    assert_eq!(events(&mut world, "LTRIM l 0 0"), ["l ltrim"]);
    assert_eq!(events(&mut world, "LMOVE l m LEFT RIGHT"), ["m rpush", "l lpop", "l del"]);
    assert_eq!(events(&mut world, "LMPOP 1 m RIGHT"), ["m rpop", "m del"]);
    world.run("RPUSH l a a");
    assert_eq!(events(&mut world, "LREM l 0 a"), ["l lrem", "l del"]);
    world.run("RPUSH l a a");
    assert_eq!(events(&mut world, "LTRIM l 5 9"), ["l ltrim", "l del"]);
}

#[test]
fn all_forms_of_a_list_answer_alike() {
    // Packed, a node, many nodes; the same questions in each.
    for count in [10, 100, 5000] {
        let mut world = World::new(1);
        for n in 0..count {
            world.run(&format!("RPUSH l element:{n:010}"));
        }
        let element = |n: usize| format!("\"element:{n:010}\"");
        for index in [0, 1, count / 2, count - 1] {
            assert_eq!(world.run(&format!("LINDEX l {index}")), element(index));
            let from_end = index as i64 - count as i64;
            assert_eq!(world.run(&format!("LINDEX l {from_end}")), element(index));
            assert_eq!(world.run(&format!("LRANGE l {from_end} {index}")), format!("[{}]", element(index)));
            assert_eq!(world.run(&format!("LPOS l {} RANK -1", element(index))), format!(":{index}"));
            assert_eq!(world.run(&format!("LPOS l {} COUNT 0", element(index))), format!("[:{index}]"));
        }
        assert_eq!(world.run(&format!("LINDEX l {count}")), "nil");
        assert_eq!(world.run("LRANGE l 2 3"), format!("[{} {}]", element(2), element(3)));
        assert_eq!(world.run(&format!("LINSERT l AFTER {} 7", element(4))), format!(":{}", count + 1));
        assert_eq!(world.run("LRANGE l 4 6"), format!("[{} \"7\" {}]", element(4), element(5)));
        assert_eq!(world.run("LSET l 5 8"), "+OK");
        assert_eq!(world.run("LREM l -1 8"), ":1");
        assert_eq!(world.run(&format!("RPOP l {}", count - 3)).matches("element").count(), count - 3);
        assert_eq!(world.run("LRANGE l 0 -1"), format!("[{} {} {}]", element(0), element(1), element(2)));
    }
}

#[test]
fn the_memory_of_a_list_is_counted_as_it_grows_and_shrinks() {
    let mut world = World::new(1);
    world.run("SET other x");
    let used = |world: &mut World| world.shard(0).dbs[0].bytes();
    let empty = used(&mut world);
    for n in 0..5000 {
        world.run(&format!("RPUSH l element:{n:010}"));
    }
    let full = used(&mut world) - empty;
    assert!((100_000..108_000).contains(&full), "{full} bytes");
    world.run("LPOP l 4990");
    assert!(used(&mut world) - empty < 2000, "{}", used(&mut world) - empty);
    world.run("DEL l");
    assert_eq!(used(&mut world), empty);
}
