//! Random calls to a few sets, compared with plain ones.

use super::*;
use crate::structs::random::Random;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

type Plain = BTreeSet<Vec<u8>>;

/// Plays a random sequence of calls, with limits that make the form change often.
///
/// Panics: with the seed in the message, when a set and its plain counterpart disagree.
pub fn fuzz_set(seed: u64) {
    let mut random = Random::new(seed);
    let limits = Limits {
        set_int_entries: random.index(12),
        set_packed_entries: random.index(12),
        set_packed_value: random.index(6),
        hash_seed: seed,
        ..Limits::default()
    };
    let mut sets: [(Set, Plain); 4] = Default::default();
    let many = [10, 30, 200][random.index(3)];
    let mut frozen: Option<(FrozenSet, Plain)> = None;
    for _ in 0..400 {
        let at = random.index(sets.len());
        let (set, plain) = &mut sets[at];
        let member = member(&mut random, many);
        match random.below(12) {
            0..=4 => assert_eq!(set.add(&member, &limits), plain.insert(member), "seed {seed}"),
            5 => assert_eq!(set.remove(&member), plain.remove(&member), "seed {seed}"),
            6 => pop(set, plain, &mut random, seed),
            7 => sample(set.as_ref(), plain, &mut random, seed),
            8 => walk(set, plain, &limits, &mut random, seed),
            9 => set.expect(random.index(14), &limits),
            10 => {
                // Made anew from its members, the first of them known ahead.
                let first = plain.first().cloned().unwrap_or_default();
                let mut made = Set::for_members(&first, plain.len(), &limits);
                plain.iter().for_each(|member| assert!(made.add(member, &limits), "seed {seed}"));
                assert_eq!(&made, set, "seed {seed}");
                *set = made;
            }
            _ => combine(&sets, &limits, &mut random, seed),
        }
        let (set, plain) = &mut sets[at];
        check(set, plain, &limits, seed);
        if random.one_in(20)
            && let Some((frozen, then)) = frozen.replace((set.freeze(), plain.clone()))
        {
            assert_eq!(frozen.len(), then.len(), "seed {seed}");
            let mut found = Plain::new();
            frozen.for_each(|member| assert!(found.insert(member.to_vec()), "seed {seed}: twice"));
            assert_eq!(found, then, "seed {seed}: what was frozen has changed");
        }
    }
}

fn member(random: &mut Random, many: u64) -> Vec<u8> {
    let number = random.below(many);
    match number % 5 {
        0..=2 => (number as i64 - 5).to_string(),
        3 => format!("m{number}"),
        _ => ["", "-0", "007", "9223372036854775807", "-9223372036854775808", "70000", "longer than the limit"]
            [number as usize / 5 % 7]
            .to_string(),
    }
    .into_bytes()
}

fn texts<'a>(members: impl Iterator<Item = Member<'a>>) -> Vec<Vec<u8>> {
    members.map(Member::to_vec).collect()
}

fn check(set: &Set, plain: &Plain, limits: &Limits, seed: u64) {
    let listed = texts(set.as_ref().iter());
    assert_eq!((set.len(), listed.len(), set.as_ref().iter().len()), (plain.len(), plain.len(), plain.len()));
    assert_eq!(&listed.into_iter().collect::<Plain>(), plain, "seed {seed}");
    assert!(plain.iter().all(|member| set.as_ref().contains(member)), "seed {seed}");
    match set {
        Set::Ints(ints) => assert!(ints.len() <= limits.set_int_entries, "seed {seed}"),
        Set::Packed(packed) => {
            assert!(packed.len() <= limits.set_packed_entries, "seed {seed}");
            assert!(plain.iter().all(|member| member.len() <= limits.set_packed_value), "seed {seed}");
        }
        Set::Table(_) => {}
    }
}

fn pop(set: &mut Set, plain: &mut Plain, random: &mut Random, seed: u64) {
    if random.one_in(2) {
        let mut gone = None;
        let some = set.pop(random, |member| gone = Some(member.to_vec()));
        assert_eq!((some, gone.is_some()), (!plain.is_empty(), !plain.is_empty()), "seed {seed}");
        assert!(gone.is_none_or(|gone| plain.remove(&gone)), "seed {seed}");
    } else {
        let (count, before) = (random.index(plain.len() + 3), plain.len());
        set.pop_many(count, random, |member| assert!(plain.remove(&member.to_vec()), "seed {seed}"));
        assert_eq!(plain.len(), before - count.min(before), "seed {seed}");
    }
}

fn sample(set: SetRef<'_>, plain: &Plain, random: &mut Random, seed: u64) {
    let count = random.index(plain.len() + 3);
    let mut seen = Plain::new();
    set.sample(count, random, |member| assert!(seen.insert(member.to_vec()), "seed {seed}: twice"));
    assert!(seen.len() == count.min(plain.len()) && seen.is_subset(plain), "seed {seed}");
    let mut drawn = 0;
    set.draw(count as u64, random, |member| {
        assert!(plain.contains(&member.to_vec()), "seed {seed}");
        drawn += 1;
        true
    });
    assert_eq!(drawn, if plain.is_empty() { 0 } else { count }, "seed {seed}");
    let one = set.random(random).map(Member::to_vec);
    assert_eq!(one.is_some(), !plain.is_empty(), "seed {seed}");
    assert!(one.is_none_or(|one| plain.contains(&one)), "seed {seed}");
}

/// A walk during which members come and go, and the form may change.
fn walk(set: &mut Set, plain: &mut Plain, limits: &Limits, random: &mut Random, seed: u64) {
    let mut stay = plain.clone();
    let mut seen = Plain::new();
    let mut cursor = 0;
    for step in 0.. {
        cursor = set.as_ref().scan(cursor, 1 + random.index(10), |member| {
            seen.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
        assert!(step < 10_000, "seed {seed}: a walk without end");
        let member = member(random, 200);
        if random.one_in(2) {
            assert_eq!(set.remove(&member), plain.remove(&member), "seed {seed}");
            stay.remove(&member);
        } else {
            assert_eq!(set.add(&member, limits), plain.insert(member), "seed {seed}");
        }
    }
    assert!(stay.is_subset(&seen), "seed {seed}: the walk missed a member");
}

/// All ways to combine some of the sets, one of them perhaps twice.
fn combine(sets: &[(Set, Plain)], limits: &Limits, random: &mut Random, seed: u64) {
    let some: Vec<&(Set, Plain)> = (0..1 + random.index(5)).map(|_| &sets[random.index(sets.len())]).collect();
    let views: Vec<SetRef<'_>> = some.iter().map(|(set, _)| set.as_ref()).collect();
    for how in [Combined::Intersection, Combined::Union, Combined::Difference] {
        let mut want = some[0].1.clone();
        for (_, other) in &some[1..] {
            want = match how {
                Combined::Intersection => &want & other,
                Combined::Union => &want | other,
                Combined::Difference => &want - other,
            };
        }
        let mut got = Vec::new();
        how.each(&views, limits, |member| got.push(member.to_vec()));
        assert!(got.len() == want.len() && got.len() <= how.len_max(&views), "seed {seed}: {how:?}");
        assert_eq!(got.into_iter().collect::<Plain>(), want, "seed {seed}: {how:?}");
        check(&how.collect(&views, limits), &want, limits, seed);
        if how == Combined::Intersection {
            let (limit, mut found) = (1 + random.index(4), 0);
            intersection(&views, |_| {
                found += 1;
                if found == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert_eq!(found, limit.min(want.len()), "seed {seed}");
        }
    }
}
