use super::*;
use crate::structs::random::Random;
use std::collections::HashMap;

fn set_of(members: &[&str], limits: &Limits) -> Set {
    let mut set = Set::new();
    members.iter().for_each(|member| assert!(set.add(member.as_bytes(), limits), "{member} twice"));
    set
}

fn numbered(prefix: &str, members: usize) -> Set {
    let mut set = Set::new();
    (0..members).for_each(|n| assert!(set.add(format!("{prefix}{n}").as_bytes(), &Limits::default())));
    set
}

#[test]
fn random_calls_agree_with_plain_sets() {
    (0..if cfg!(miri) { 2 } else { 400 }).for_each(fuzz_set);
}

#[test]
fn the_form_changes_when_a_limit_is_passed() {
    let limits = Limits::default();
    let encoding = |set: &Set| set.as_ref().encoding();
    assert_eq!([encoding(&numbered("", 512)), encoding(&numbered("", 513))], ["intset", "hashtable"]);
    assert_eq!([encoding(&numbered("m", 128)), encoding(&numbered("m", 129))], ["listpack", "hashtable"]);

    let mut set = numbered("", 127);
    set.add(b"text", &limits);
    assert_eq!(encoding(&set), "listpack");
    let mut set = numbered("", 128);
    set.add(b"text", &limits);
    assert_eq!(encoding(&set), "hashtable");

    for (len, form) in [(64, "listpack"), (65, "hashtable")] {
        assert_eq!(encoding(&set_of(&["7", &"x".repeat(len)], &limits)), form);
        assert_eq!(encoding(&set_of(&["a", &"x".repeat(len)], &limits)), form);
    }
    let narrow = Limits { set_packed_value: 3, ..limits };
    assert_eq!(encoding(&set_of(&["-999", "5", "a"], &narrow)), "hashtable");
    assert_eq!(encoding(&set_of(&["-99", "5", "a"], &narrow)), "listpack");
    assert_eq!(encoding(&set_of(&["12", "5000"], &narrow)), "intset");
}

#[test]
fn a_form_is_chosen_for_the_members_to_come() {
    let limits = Limits::default();
    for (first, count, form) in [
        ("1", 512, "intset"),
        ("1", 513, "hashtable"),
        ("a", 128, "listpack"),
        ("a", 129, "hashtable"),
        ("01", 1, "listpack"),
    ] {
        let mut set = Set::for_members(first.as_bytes(), count, &limits);
        assert_eq!(set.as_ref().encoding(), form, "{count}");
        assert!(set.add(first.as_bytes(), &limits) && set.len() == 1);
        set.expect(count, &limits);
        assert_eq!(set.as_ref().encoding(), form);
    }
    let mut set = set_of(&["a"], &limits);
    set.expect(129, &limits);
    assert_eq!(set.as_ref().encoding(), "hashtable");
}

#[test]
fn a_member_is_its_text_whatever_the_form() {
    let limits = Limits::default();
    for filler in [&["1"][..], &["x"], &["a long member that passes the limit, so that the set becomes a table...."]] {
        let mut set = set_of(filler, &limits);
        for member in ["12", "-9223372036854775808"] {
            assert!(set.add(member.as_bytes(), &limits) && !set.add(member.as_bytes(), &limits));
            assert!(set.as_ref().contains(member.as_bytes()));
        }
        for other in ["012", "+12", "12 ", "-0", ""] {
            assert!(!set.as_ref().contains(other.as_bytes()) && !set.remove(other.as_bytes()));
        }
        assert!(set.remove(b"12") && !set.remove(b"12"));
    }
}

#[test]
fn sets_are_equal_by_their_members() {
    let (limits, tiny) = (Limits::default(), Limits { set_int_entries: 0, ..Limits::default() });
    assert_eq!(set_of(&["1", "2"], &limits), set_of(&["2", "1"], &tiny));
    assert_ne!(set_of(&["1", "2"], &limits), set_of(&["1", "3"], &limits));
    assert_ne!(set_of(&["1", "2"], &limits), set_of(&["1"], &limits));
}

#[test]
fn every_sample_and_every_pop_is_equally_likely() {
    for set in [numbered("", 20), numbered("m", 20), numbered("m", 200)] {
        let mut random = Random::new(set.len() as u64);
        let (mut sampled, mut popped, mut drawn) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (rounds, part) = (4_000, set.len() / 5);
        for _ in 0..rounds {
            set.as_ref().sample(part, &mut random, |member| *sampled.entry(member.to_vec()).or_insert(0) += 1);
            set.as_ref().draw(part as u64, &mut random, |member| {
                *drawn.entry(member.to_vec()).or_insert(0) += 1;
                true
            });
            let mut rest = set.clone();
            rest.pop_many(part - 1, &mut random, |member| *popped.entry(member.to_vec()).or_insert(0) += 1);
            rest.pop(&mut random, |member| *popped.entry(member.to_vec()).or_insert(0) += 1);
        }
        for counts in [sampled, popped, drawn] {
            assert_eq!(counts.len(), set.len());
            // Mean 800, standard deviation 25 to 28.
            assert!(counts.values().all(|&n: &i32| (640..960).contains(&n)), "{counts:?}");
        }
    }
}

#[test]
fn a_walk_over_a_table_goes_in_parts_of_about_the_size_asked_for() {
    let set = numbered("m", 10_000);
    let (mut cursor, mut parts, mut seen) = (0, 0, 0);
    loop {
        let mut part = 0;
        cursor = set.as_ref().scan(cursor, 100, |_| part += 1);
        assert!(part <= 150, "{part}");
        (parts, seen) = (parts + 1, seen + part);
        if cursor == 0 {
            break;
        }
    }
    assert!(seen == 10_000 && parts >= 70, "{parts} parts, {seen} members");
}

#[test]
fn a_result_has_the_form_that_its_members_ask_for() {
    let limits = Limits::default();
    let (ints, mixed) = (numbered("", 1_000), numbered("m", 1_000));
    let few = set_of(&["1", "m2", "7"], &limits);
    let collect = |how: Combined, sets: &[&Set]| {
        let views: Vec<SetRef<'_>> = sets.iter().map(|set| set.as_ref()).collect();
        let result = how.collect(&views, &limits);
        (result.len(), result.as_ref().encoding())
    };
    assert_eq!(collect(Combined::Intersection, &[&ints, &few]), (2, "intset"));
    assert_eq!(collect(Combined::Intersection, &[&mixed, &few]), (1, "listpack"));
    assert_eq!(collect(Combined::Intersection, &[&ints, &mixed]), (0, "intset"));
    assert_eq!(collect(Combined::Union, &[&few, &ints, &mixed]), (2_000, "hashtable"));
    assert_eq!(collect(Combined::Difference, &[&ints, &mixed]), (1_000, "hashtable"));
    assert_eq!(collect(Combined::Difference, &[&few, &ints]), (1, "listpack"));
}
