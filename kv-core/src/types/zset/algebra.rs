//! Sorted sets made from others, of which some may be plain sets, whose members have score 1.
//!
//! The result is gathered in the table that it will have and ordered at once at the end. Inputs are taken from the smallest
//! to the largest, as in Redis: sums of doubles depend on the order.

use super::{Limits, Member, Ordered, ZSet, ZSetRef, fits, pairs, score_in};
use crate::structs::dict::Dict;
use crate::structs::packed::Packed;
use crate::types::SetRef;
use std::ops::ControlFlow;

/// What scores come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    ZSet(ZSetRef<'a>),
    Set(SetRef<'a>),
}

#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub source: Source<'a>,
    /// What its scores are multiplied by.
    pub weight: f64,
}

/// What becomes of the scores of a member that several inputs have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn apply(self, score: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => number_or_zero(score + other),
            Aggregate::Min if other < score => other,
            Aggregate::Max if other > score => other,
            Aggregate::Min | Aggregate::Max => score,
        }
    }
}

/// Infinities that cancel each other out, or one times 0, count as 0.
fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

impl Source<'_> {
    pub fn len(self) -> usize {
        match self {
            Source::ZSet(zset) => zset.len(),
            Source::Set(set) => set.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::ZSet(zset) => zset.score(member),
            Source::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    /// Calls `f` for every member and its score until it breaks.
    fn each(self, mut f: impl FnMut(&[u8], f64) -> ControlFlow<()>) {
        let mut digits = itoa::Buffer::new();
        let mut step = |member: Member<'_>, score| f(member.text(&mut digits), score);
        let _ = match self {
            Source::ZSet(zset) => zset.all().try_for_each(|(member, score)| step(member, score)),
            Source::Set(set) => set.iter().try_for_each(|member| step(member, 1.0)),
        };
    }
}

fn smallest_first<'a>(inputs: &[Input<'a>]) -> Vec<Input<'a>> {
    let mut inputs = inputs.to_vec();
    inputs.sort_by_key(|input| input.source.len());
    inputs
}

/// The members that any of the inputs has.
pub fn union(inputs: &[Input<'_>], aggregate: Aggregate, limits: &Limits) -> ZSet {
    let mut members = Dict::new(limits.hash_seed);
    for Input { source, weight } in smallest_first(inputs) {
        source.each(|member, score| {
            let score = number_or_zero(score * weight);
            let (handle, new) = members.find_or_insert(member, &score.to_le_bytes());
            if !new {
                let rest = members.rest_mut(handle);
                let score = aggregate.apply(score_in(rest), score);
                rest.copy_from_slice(&score.to_le_bytes());
            }
            ControlFlow::Continue(())
        });
    }
    ZSet::from_members(members, limits)
}

/// The members that all of the inputs have.
pub fn intersection(inputs: &[Input<'_>], aggregate: Aggregate, limits: &Limits) -> ZSet {
    let mut members = Dict::new(limits.hash_seed);
    if let [smallest, others @ ..] = &smallest_first(inputs)[..] {
        smallest.source.each(|member, score| {
            let mut sum = number_or_zero(score * smallest.weight);
            for other in others {
                match other.source.score(member) {
                    Some(score) => sum = aggregate.apply(sum, score * other.weight),
                    None => return ControlFlow::Continue(()),
                }
            }
            members.insert(member, &sum.to_le_bytes());
            ControlFlow::Continue(())
        });
    }
    ZSet::from_members(members, limits)
}

/// How many members all of the sources have, `max` being enough.
pub fn intersection_len(sources: &[Source<'_>], max: usize) -> usize {
    let mut sources = sources.to_vec();
    sources.sort_by_key(|source| source.len());
    let mut count = 0;
    if let [smallest, others @ ..] = &sources[..] {
        smallest.each(|member, _| {
            count += usize::from(others.iter().all(|other| other.score(member).is_some()));
            if count < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }
    count
}

/// The members that the first source has and none of the others.
pub fn difference(sources: &[Source<'_>], limits: &Limits) -> ZSet {
    let mut members = Dict::new(limits.hash_seed);
    if let [first, others @ ..] = sources {
        first.each(|member, score| {
            if others.iter().all(|other| other.score(member).is_none()) {
                members.insert(member, &score.to_le_bytes());
            }
            ControlFlow::Continue(())
        });
    }
    ZSet::from_members(members, limits)
}

impl ZSet {
    /// One of the records of a table, in the form that they ask for.
    fn from_members(members: Dict, limits: &Limits) -> ZSet {
        let longest = || members.iter().map(|handle| members.key(handle).len()).max().unwrap_or(0);
        let packed = fits(0, members.len(), limits) && fits(longest(), members.len(), limits);
        let ordered = Ordered::from_members(members);
        if !packed {
            return ZSet::Ordered(Box::new(ordered));
        }
        let mut packed = Packed::new();
        ZSetRef::Ordered(&ordered).all().for_each(|(member, score)| pairs::push(&mut packed, member, score));
        ZSet::Packed(packed)
    }
}
