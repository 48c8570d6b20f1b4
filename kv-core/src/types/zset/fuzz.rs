//! Random calls to a few sorted sets, compared with plain ones.

use super::*;
use crate::types::Set;
use std::collections::{BTreeMap, BTreeSet};

type Plain = BTreeMap<Vec<u8>, f64>;

/// Plays a random sequence of calls, with limits that make the form change often.
///
/// Panics: with the seed in the message, when a sorted set and its plain counterpart disagree.
pub fn fuzz_zset(seed: u64) {
    let mut random = Random::new(seed);
    let limits = Limits {
        zset_packed_entries: random.index(20),
        zset_packed_value: random.index(6),
        hash_seed: seed,
        ..Limits::default()
    };
    let mut zsets: [(ZSet, Plain); 3] = Default::default();
    let many = [10, 30, 300][random.index(3)];
    let mut frozen: Option<(FrozenZSet, Plain)> = None;
    for _ in 0..if cfg!(miri) { 60 } else { 400 } {
        let at = random.index(zsets.len());
        let (zset, plain) = &mut zsets[at];
        let member = member(&mut random, many);
        match random.below(12) {
            0..=4 => add(zset, plain, member, &mut random, &limits, seed),
            5 => assert_eq!(zset.remove(&member), plain.remove(&member).is_some(), "seed {seed}"),
            6 => remove_ranks(zset, plain, &mut random, seed),
            7 => bounds(zset.as_ref(), plain, &mut random, seed),
            8 => walk(zset.as_ref(), plain, &mut random, seed),
            9 => zset.expect(random.index(25), &limits),
            10 => {
                *zset = ZSet::from_sorted(zset.clone().as_ref().all(), &limits);
                let longest = plain.keys().map(Vec::len).max().unwrap_or(0);
                let packed = plain.len() <= limits.zset_packed_entries && longest <= limits.zset_packed_value;
                assert_eq!(zset.as_ref().encoding() == "listpack", packed, "seed {seed}");
            }
            _ => combine(&zsets, &mut random, &limits, seed),
        }
        let (zset, plain) = &mut zsets[at];
        check(zset, plain, seed);
        if random.one_in(20)
            && let Some((frozen, then)) = frozen.replace((zset.freeze(), plain.clone()))
        {
            assert_eq!(frozen.len(), then.len(), "seed {seed}");
            let mut found = Plain::new();
            frozen.for_each(|member, score| {
                assert!(found.insert(member.to_vec(), score).is_none(), "seed {seed}: twice");
            });
            assert_eq!(found, then, "seed {seed}: what was frozen has changed");
        }
    }
}

fn member(random: &mut Random, many: u64) -> Vec<u8> {
    let number = random.below(many);
    match number % 3 {
        0 => (number as i64 - 5).to_string(),
        1 => format!("m{number}"),
        _ => ["", "-0", "007", "9223372036854775807", "longer than the limit"][number as usize / 3 % 5].to_string(),
    }
    .into_bytes()
}

fn score(random: &mut Random) -> f64 {
    let scores = [0.0, -0.0, 1.0, 1.5, -3.0, 1e15, 9_007_199_254_740_993.0, 1e300, 0.1, f64::MAX];
    match random.below(4) {
        0 => scores[random.index(scores.len())],
        1 => f64::from(random.below(200) as u8) / 8.0,
        2 if random.one_in(8) => [f64::INFINITY, f64::NEG_INFINITY][random.index(2)],
        _ => random.below(5) as f64,
    }
}

fn sorted(plain: &Plain) -> Vec<(Vec<u8>, f64)> {
    let mut sorted: Vec<_> = plain.iter().map(|(member, &score)| (member.clone(), score)).collect();
    sorted.sort_by(|a, b| a.1.partial_cmp(&b.1).expect("no NaN"));
    sorted
}

fn shown<'a>(pairs: impl Iterator<Item = (Member<'a>, f64)>) -> Vec<(Vec<u8>, f64)> {
    pairs.map(|(member, score)| (member.to_vec(), score)).collect()
}

fn add(zset: &mut ZSet, plain: &mut Plain, member: Vec<u8>, random: &mut Random, limits: &Limits, seed: u64) {
    let mut rule = Rule::default();
    if random.one_in(2) {
        rule.increment = random.one_in(3);
        match random.below(4) {
            0 => rule.new_only = true,
            1 => rule.existing_only = true,
            2 => rule.greater = true,
            _ => rule.less = true,
        }
    }
    let given = score(random);
    let expected = match plain.get(&member) {
        None if rule.existing_only => Ok(Added::Refused),
        None => Ok(Added::New(given)),
        Some(_) if rule.new_only => Ok(Added::Refused),
        Some(&old) => {
            let new = if rule.increment { old + given } else { given };
            if new.is_nan() {
                Err(NotANumber)
            } else if (rule.greater && new <= old) || (rule.less && new >= old) {
                Ok(Added::Refused)
            } else if new == old {
                Ok(Added::Same(old))
            } else {
                Ok(Added::Changed(new))
            }
        }
    };
    assert_eq!(zset.add(&member, given, rule, limits), expected, "seed {seed}: {rule:?}");
    if let Ok(Added::New(score) | Added::Changed(score)) = expected {
        plain.insert(member, score);
    }
}

fn remove_ranks(zset: &mut ZSet, plain: &mut Plain, random: &mut Random, seed: u64) {
    // Now and then more than are taken out at once.
    let most = if random.one_in(4) { 40 } else { 6 };
    let (mut sorted, mut gone) = (sorted(plain), Vec::new());
    let len = random.index(plain.len() + 1).min(most);
    let start = random.index(plain.len() - len + 1);
    let each = |member: Member<'_>, score| gone.push((member.to_vec(), score));
    let expected: Vec<_> = match random.below(3) {
        0 => {
            zset.pop_first(len, each);
            sorted.drain(..len).collect()
        }
        1 => {
            zset.pop_last(len, each);
            sorted.drain(sorted.len() - len..).rev().collect()
        }
        _ => {
            zset.remove_ranks(start..start + len, each);
            sorted.drain(start..start + len).collect()
        }
    };
    assert_eq!(gone, expected, "seed {seed}");
    plain.retain(|member, _| !gone.iter().any(|(other, _)| other == member));
}

fn bounds(zset: ZSetRef<'_>, plain: &Plain, random: &mut Random, seed: u64) {
    let sorted = sorted(plain);
    let mut bound = || ScoreBound { score: score(random), exclusive: random.one_in(2) };
    let range = ScoreRange { min: bound(), max: bound() };
    let inside = |score: f64| !range.min.above(score) && range.max.reaches(score);
    let expected: Vec<_> = sorted.iter().filter(|(_, score)| inside(*score)).cloned().collect();
    assert_eq!(shown(zset.iter(zset.ranks_by_score(&range))), expected, "seed {seed}: {range:?}");
    // Ranges of members are told for sets of one score.
    let same = ZSet::from_sorted(
        plain.keys().map(|member| (Member::Bytes(member), 2.5)),
        &Limits { zset_packed_entries: random.index(20), ..Limits::default() },
    );
    let texts = [member(random, 30), member(random, 30)];
    let mut bound = |text| match random.below(6) {
        0 => LexBound::Lowest,
        1 => LexBound::Highest,
        2 | 3 => LexBound::Included(text),
        _ => LexBound::Excluded(text),
    };
    let range = LexRange { min: bound(&texts[0]), max: bound(&texts[1]) };
    let inside = |member: &&Vec<u8>| range.min.allows_above(member) && range.max.allows_below(member);
    let expected: Vec<_> = plain.keys().filter(inside).cloned().collect();
    for back in [false, true] {
        let ranks = same.as_ref().ranks_by_lex(&range, back);
        let found: Vec<_> = same.as_ref().iter(ranks).map(|(member, _)| member.to_vec()).collect();
        assert_eq!(found, expected, "seed {seed}: {range:?}");
    }
}

fn walk(zset: ZSetRef<'_>, plain: &Plain, random: &mut Random, seed: u64) {
    let (mut cursor, mut seen) = (0, BTreeMap::new());
    loop {
        cursor = zset.scan(cursor, random.index(4), |member, score| {
            seen.insert(member.to_vec(), score);
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&seen, plain, "seed {seed}");
    let count = random.index(plain.len() + 3);
    let ranks: BTreeSet<usize> = zset.sample(count, random).into_iter().collect();
    assert_eq!(ranks.len(), count.min(plain.len()), "seed {seed}: different ranks");
    assert!(ranks.last().is_none_or(|&rank| rank < plain.len()), "seed {seed}");
    match zset.random(random) {
        Some((member, score)) => assert_eq!(plain.get(&member.to_vec()), Some(&score), "seed {seed}"),
        None => assert!(plain.is_empty(), "seed {seed}"),
    }
}

fn combine(zsets: &[(ZSet, Plain)], random: &mut Random, limits: &Limits, seed: u64) {
    let mut set = Set::new();
    let mut plains: Vec<Plain> = zsets.iter().map(|(_, plain)| plain.clone()).collect();
    plains.push(Plain::new());
    for _ in 0..random.index(30) {
        let member = member(random, 30);
        set.add(&member, limits);
        plains[zsets.len()].insert(member, 1.0);
    }
    let mut sources: Vec<Source> = zsets.iter().map(|(zset, _)| Source::ZSet(zset.as_ref())).collect();
    sources.push(Source::Set(set.as_ref()));
    let aggregate = [Aggregate::Min, Aggregate::Max][random.index(2)];
    let weights: Vec<f64> = sources.iter().map(|_| [-1.0, 1.0, 2.5][random.index(3)]).collect();
    let inputs: Vec<Input> = sources.iter().zip(&weights).map(|(&source, &weight)| Input { source, weight }).collect();
    let every: BTreeSet<&Vec<u8>> = plains.iter().flat_map(|plain| plain.keys()).collect();
    let (mut any, mut all) = (Plain::new(), Plain::new());
    for member in every {
        let scores = plains.iter().enumerate().filter_map(|(at, plain)| Some(weights[at] * plain.get(member)?));
        let scores: Vec<f64> = scores.collect();
        let pick = if aggregate == Aggregate::Min { f64::min } else { f64::max };
        let score = scores.iter().copied().reduce(pick).expect("some input has it");
        any.insert(member.clone(), score);
        if scores.len() == plains.len() {
            all.insert(member.clone(), score);
        }
    }
    check(&union(&inputs, aggregate, limits), &any, seed);
    check(&intersection(&inputs, aggregate, limits), &all, seed);
    assert_eq!(intersection_len(&sources, usize::MAX), all.len(), "seed {seed}");
    let max = 1 + random.index(4);
    assert_eq!(intersection_len(&sources, max), all.len().min(max), "seed {seed}");
    let mut first = plains[0].clone();
    first.retain(|member, _| plains[1..].iter().all(|plain| !plain.contains_key(member)));
    check(&difference(&sources, limits), &first, seed);
}

fn check(zset: &ZSet, plain: &Plain, seed: u64) {
    let sorted = sorted(plain);
    let view = zset.as_ref();
    assert_eq!((view.len(), view.is_empty()), (plain.len(), plain.is_empty()), "seed {seed}");
    assert_eq!(shown(view.all()), sorted, "seed {seed}");
    assert_eq!(shown(view.iter_back(0..usize::MAX)), sorted.iter().rev().cloned().collect::<Vec<_>>(), "seed {seed}");
    for (rank, (member, score)) in sorted.iter().enumerate() {
        assert_eq!((view.rank(member), view.score(member)), (Some((rank, *score)), Some(*score)), "seed {seed}");
    }
    assert_eq!((view.score(b"nobody"), view.rank(b"nobody")), (None, None));
    if let ZSet::Ordered(ordered) = zset {
        assert_eq!(ordered.members.len(), ordered.order.len(), "seed {seed}: both know all members");
    }
}
