use super::*;

#[test]
fn random_calls_agree_with_a_plain_map() {
    (0..if cfg!(miri) { 2 } else { 150 }).for_each(fuzz_zset);
}

#[test]
fn a_score_in_the_packed_form_takes_as_few_bytes_as_it_needs() {
    // Besides the count, and the member with its length.
    let sizes = [(3.0, 2), (-70_000.0, 4), (1.5, 4), (-0.0, 2), (0.0, 2), (0.1, 10), (f64::INFINITY, 4), (1e300, 10)];
    for (score, bytes) in sizes {
        let mut zset = ZSet::new();
        zset.set(b"member", score, &Limits::default());
        let ZSet::Packed(packed) = &zset else { panic!("one member is packed") };
        assert_eq!(packed.bytes().len() - 2 - 7, bytes, "{score}");
        assert_eq!(zset.as_ref().score(b"member"), Some(score));
    }
}

#[test]
fn each_limit_makes_it_ordered_and_for_good() {
    let limits = Limits::default();
    let encoding = |zset: &ZSet| zset.as_ref().encoding();
    let mut zset = ZSet::new();
    (0..128u32).for_each(|i| zset.set(&i.to_string().into_bytes(), f64::from(i), &limits));
    assert_eq!(encoding(&zset), "listpack");
    zset.set(b"5", 6.0, &limits);
    assert_eq!(encoding(&zset), "listpack");
    zset.set(b"one more", 1.0, &limits);
    assert_eq!(encoding(&zset), "skiplist");
    zset.remove_ranks(0..129, |_, _| {});
    assert!(zset.is_empty());
    assert_eq!(encoding(&zset), "skiplist");
    let mut zset = ZSet::new();
    zset.set(&[b'x'; 64], 1.0, &limits);
    assert_eq!(encoding(&zset), "listpack");
    zset.set(&[b'x'; 65], 1.0, &limits);
    assert_eq!(encoding(&zset), "skiplist");
    assert_eq!(encoding(&ZSet::for_members(1, 129, &limits)), "skiplist");
    assert_eq!(encoding(&ZSet::for_members(64, 128, &limits)), "listpack");
}

#[test]
fn a_member_of_a_big_one_takes_less_than_59_bytes() {
    let (limits, n) = (Limits::default(), 100_000);
    let mut random = Random::new(1);
    let mut zset = ZSet::new();
    (0..n).for_each(|i| zset.set(format!("member:{i:010}").as_bytes(), random.below(1 << 40) as f64, &limits));
    let bytes = zset.bytes() as f64 / f64::from(n);
    assert!(bytes < 59.0, "{bytes} bytes a member");
}

#[test]
fn equal_means_the_same_members_and_scores_in_whatever_form() {
    let limits = Limits::default();
    let zset = |pairs: &[(&str, f64)]| {
        let mut zset = ZSet::new();
        pairs.iter().for_each(|(member, score)| zset.set(member.as_bytes(), *score, &limits));
        zset
    };
    let small = zset(&[("a", 1.0), ("7", 2.0)]);
    let mut big = small.clone();
    big.expect(1000, &limits);
    assert_ne!(small.as_ref().encoding(), big.as_ref().encoding());
    assert_eq!(small, big);
    assert_ne!(small, zset(&[("a", 1.0), ("7", 3.0)]));
    assert_ne!(small, zset(&[("a", 1.0)]));
    assert_eq!(format!("{big:?}"), r#"{"a": 1.0, "7": 2.0}"#);
}

#[test]
fn infinities_that_cancel_out_count_as_zero() {
    let limits = Limits::default();
    let one = |score: f64| {
        let mut zset = ZSet::new();
        zset.set(b"m", score, &limits);
        zset
    };
    let (plus, minus) = (one(f64::INFINITY), one(f64::NEG_INFINITY));
    fn input(zset: &ZSet, weight: f64) -> Input<'_> {
        Input { source: Source::ZSet(zset.as_ref()), weight }
    }
    let both = [input(&plus, 1.0), input(&minus, 1.0)];
    assert_eq!(union(&both, Aggregate::Sum, &limits).as_ref().score(b"m"), Some(0.0));
    assert_eq!(intersection(&both, Aggregate::Sum, &limits).as_ref().score(b"m"), Some(0.0));
    assert_eq!(union(&[input(&plus, 0.0)], Aggregate::Sum, &limits).as_ref().score(b"m"), Some(0.0));
    let plus = &mut one(f64::INFINITY);
    let rule = Rule { increment: true, ..Rule::default() };
    assert_eq!(plus.add(b"m", f64::NEG_INFINITY, rule, &limits), Err(NotANumber));
    assert_eq!(plus.as_ref().score(b"m"), Some(f64::INFINITY));
}
