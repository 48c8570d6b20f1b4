//! What several families have in common.

use super::testing::World;

/// A negative count draws again and again: a small value, and a reply of any size.
#[test]
fn no_negative_count_makes_a_reply_that_is_larger_than_a_limit() {
    const REFUSED: &str = "-ERR value is out of range";
    let mut world = World::new(1);
    let long = "x".repeat(1 << 16);
    for (add, draw, with) in [
        (["HSET", "h", &long, "v"], "HRANDFIELD h", " WITHVALUES"),
        (["SADD", "s", &long, &long], "SRANDMEMBER s", ""),
        (["ZADD", "z", "1", &long], "ZRANDMEMBER z", " WITHSCORES"),
    ] {
        world.run_words(&add);
        for with in ["", with] {
            for count in ["-4611686018427387903", "-9223372036854775807", "-16777217"] {
                let refused = world.run(&format!("{draw} {count}{with}"));
                assert!(refused.starts_with(REFUSED), "{draw} {count}{with}: {refused}");
            }
        }
        // Few, but long ones.
        let enough = world.run(&format!("{draw} -15{with}"));
        assert!(!enough.starts_with('-'), "{draw}: {enough:.80}");
        assert_eq!(world.run(&format!("{draw} -20{with}")), REFUSED, "{draw}");
        let nobody = draw.split(' ').next().expect("a name");
        assert_eq!(world.run(&format!("{nobody} nokey -9223372036854775807")), "[]");
    }
}
