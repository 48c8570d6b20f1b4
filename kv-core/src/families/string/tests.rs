//! Each test runs with one shard and with several: no command may tell the difference.

use crate::families::testing::World;

/// Runs a session of `> line` and the expected reply in short form below it, with 1 and 4 shards.
fn session(text: &str) {
    for shards in [1, 4] {
        World::new(shards).session(text);
    }
}

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
        "#,
    );
}
