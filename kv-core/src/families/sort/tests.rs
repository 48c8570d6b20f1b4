use crate::families::testing::{World, session};

#[test]
fn numbers_are_sorted_as_numbers_and_texts_as_texts() {
    session(
        "> RPUSH l 3 10 1.5 -2 1e1
        :5
        > SORT l
        [\"-2\" \"1.5\" \"3\" \"10\" \"1e1\"]
        > SORT l DESC
        [\"1e1\" \"10\" \"3\" \"1.5\" \"-2\"]
        > SORT l ALPHA
        [\"-2\" \"1.5\" \"10\" \"1e1\" \"3\"]
        > SORT l LIMIT 1 2
        [\"1.5\" \"3\"]
        > RPUSH l x
        :6
        > SORT l
        -ERR One or more scores can't be converted into double",
    );
}

#[test]
fn other_keys_on_any_shard_decide_the_order_and_are_returned() {
    session(
        "> RPUSH l 1 2 3 4
        :4
        > MSET w_1 9 w_2 7 w_3 8
        +OK
        > HSET h_1 name one
        :1
        > HSET h_2 name 2
        :1
        > SORT l BY w_* GET # GET w_* GET h_*->name
        [\"4\" nil nil \"2\" \"7\" \"2\" \"3\" \"8\" nil \"1\" \"9\" \"one\"]
        > SORT l BY h_*->name ALPHA
        [\"3\" \"4\" \"2\" \"1\"]
        > SORT l BY nosort GET w_* STORE d
        :4
        > LRANGE d 0 -1
        [\"9\" \"7\" \"8\" \"\"]",
    );
}

#[test]
fn what_is_stored_replaces_the_key_or_removes_it() {
    let mut world = World::new(4);
    let mut events = |line: &str| {
        world.events.clear();
        world.run(line);
        world.events.iter().map(|(_, key, event)| format!("{key} {}", event.as_str())).collect::<Vec<_>>()
    };
    events("SET d x EX 100");
    events("RPUSH l 2 1");
    assert_eq!(events("SORT l STORE d"), ["d sortstore"]);
    assert_eq!(events("SORT none STORE d"), ["d del"]);
    assert_eq!(events("SORT none STORE d"), [""; 0]);
    assert_eq!(events("SORT l"), [""; 0]);
    assert_eq!(events("SORT l STORE l"), ["l sortstore"]);
    assert_eq!(world.run("LRANGE l 0 -1"), "[\"1\" \"2\"]");
}

#[test]
fn a_part_of_the_order_is_that_part_of_all_of_it() {
    let mut world = World::new(1);
    let mut expected: Vec<String> = (0..500u64).map(|n| (n * 7919 % 101).to_string()).collect();
    for chunk in expected.chunks(50) {
        world.run(&format!("RPUSH l {}", chunk.join(" ")));
    }
    for alpha in [false, true] {
        if alpha {
            expected.sort();
        } else {
            expected.sort_by_key(|text| text.parse::<u64>().expect("a number"));
        }
        for (offset, count) in [(0, 1), (0, 10), (100, 300), (499, 5), (0, 500), (0, 501), (500, 1), (7, 0)] {
            for descending in [false, true] {
                let mut all = expected.clone();
                if descending {
                    all.reverse();
                }
                let part: Vec<String> = all.into_iter().skip(offset).take(count).map(|n| format!("\"{n}\"")).collect();
                let words = (if alpha { "ALPHA" } else { "ASC" }, if descending { "DESC" } else { "" });
                let reply = world.run(&format!("SORT l LIMIT {offset} {count} {} {}", words.0, words.1));
                assert_eq!(reply, format!("[{}]", part.join(" ")), "{offset} {count} {words:?}");
            }
        }
    }
}

#[test]
fn a_set_is_sorted_as_text_when_it_is_stored_without_an_order() {
    session(
        "> SADD s 10 9 b a
        :4
        > SORT s BY nosort STORE d
        :4
        > LRANGE d 0 -1
        [\"10\" \"9\" \"a\" \"b\"]",
    );
}

#[test]
fn what_compares_equal_keeps_its_order() {
    session(
        "> RPUSH l c a d b
        :4
        > MSET w_a x w_b x
        +OK
        > SORT l BY w_* ALPHA
        [\"c\" \"d\" \"a\" \"b\"]
        > SORT l BY w_* ALPHA DESC
        [\"a\" \"b\" \"c\" \"d\"]
        > SORT l BY w_* ALPHA LIMIT 1 2
        [\"d\" \"a\"]",
    );
}

#[test]
fn a_sorted_set_keeps_the_order_of_its_scores_when_it_is_not_sorted() {
    session(
        "> ZADD z 3 1 2 3 1 2
        :3
        > SORT z
        [\"1\" \"2\" \"3\"]
        > SORT z BY nosort
        [\"2\" \"3\" \"1\"]
        > SORT z BY nosort DESC LIMIT 0 2
        [\"1\" \"3\"]",
    );
}
