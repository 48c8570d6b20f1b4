//! What several sets have together: intersection, union, difference.
//!
//! The members of the result come one after the other, each once. Where it can be told from the sets alone whether a
//! member is one of the result, nothing is built; otherwise a set is, and let go afterwards. The sets may be the same one
//! several times.

use super::{Member, Set, SetRef, packed_max};
use crate::resp::number;
use crate::structs::packed::Encoded;
use crate::types::Limits;
use std::cmp::Reverse;
use std::ops::ControlFlow;

/// For so few sets each member of a union is looked for in the others; for more a set of those seen is kept.
const UNION_PROBED: usize = 3;

/// A member that is looked for in several sets: what has been computed for one is not computed again for the next.
struct Probe<'a> {
    member: Member<'a>,
    /// The hash of its text, and the seed it was made with.
    hash: Option<(u64, u64)>,
}

impl<'a> Probe<'a> {
    #[inline]
    fn new(member: Member<'a>) -> Probe<'a> {
        Probe { member, hash: None }
    }

    #[inline]
    fn is_in(&mut self, set: SetRef<'_>) -> bool {
        match set {
            SetRef::Table(table) => {
                let mut digits = itoa::Buffer::new();
                let text = self.member.text(&mut digits);
                let hash = match self.hash {
                    Some((seed, hash)) if seed == table.seed() => hash,
                    _ => table.hash(text),
                };
                self.hash = Some((table.seed(), hash));
                table.find_hashed(hash, text).is_some()
            }
            SetRef::Ints(ints) => match self.member {
                Member::Int(int) => ints.contains(int),
                Member::Bytes(text) => number::parse_i64(text).is_some_and(|int| ints.contains(int)),
            },
            SetRef::Packed(packed) => {
                let encoded = match self.member {
                    Member::Int(_) => Encoded::from(self.member),
                    Member::Bytes(text) => Encoded::of(text),
                };
                packed.find(&encoded, 1).is_some()
            }
        }
    }
}

/// A way to combine sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Combined {
    Intersection,
    Union,
    Difference,
}

impl Combined {
    /// How many members the result has at most.
    pub fn len_max(self, sets: &[SetRef<'_>]) -> usize {
        let lens = || sets.iter().map(|set| set.len());
        match self {
            Combined::Intersection => lens().min().unwrap_or(0),
            Combined::Union => lens().sum(),
            Combined::Difference => lens().next().unwrap_or(0),
        }
    }

    /// Calls `f` for each member of the result.
    pub fn each(self, sets: &[SetRef<'_>], limits: &Limits, mut f: impl FnMut(Member<'_>)) {
        match self {
            Combined::Intersection => intersection(sets, |member| {
                f(member);
                ControlFlow::Continue(())
            }),
            Combined::Union => union(sets, limits, f),
            Combined::Difference => difference(sets, limits, f),
        }
    }

    /// The result as a set of its own, in the form that its members ask for.
    pub fn collect(self, sets: &[SetRef<'_>], limits: &Limits) -> Set {
        let mut result = Set::new();
        if self == Combined::Union {
            let mut order = sets.to_vec();
            order.sort_by_key(|set| Reverse(set.len()));
            if let Some((SetRef::Table(largest), rest)) = order.split_first()
                && largest.len() > packed_max(limits).max(limits.set_int_entries)
                && largest.seed() == limits.hash_seed
            {
                // Copying a table is much faster than making one.
                result = Set::Table(Box::new((*largest).clone()));
                order = rest.to_vec();
            }
            order.iter().flat_map(|set| set.iter()).for_each(|member| {
                result.add_member(member, limits);
            });
        } else {
            self.each(sets, limits, |member| {
                result.add_member(member, limits);
            });
        }
        result
    }
}

/// Calls `f` for each member that all sets have, until it says to stop.
///
/// Cost: O(n) lookups a set, n being the length of the smallest.
pub fn intersection(sets: &[SetRef<'_>], mut f: impl FnMut(Member<'_>) -> ControlFlow<()>) {
    let mut order = sets.to_vec();
    order.sort_by_key(|set| set.len());
    let Some((smallest, rest)) = order.split_first() else { return };
    for member in smallest.iter() {
        let mut probe = Probe::new(member);
        if rest.iter().all(|&set| probe.is_in(set)) && f(member).is_break() {
            break;
        }
    }
}

/// Calls `f` for each member that one of the sets has.
///
/// Cost: O(n) in the sum of the lengths.
pub fn union(sets: &[SetRef<'_>], limits: &Limits, mut f: impl FnMut(Member<'_>)) {
    if sets.len() > UNION_PROBED {
        return Combined::Union.collect(sets, limits).as_ref().iter().for_each(f);
    }
    // The largest first: its members are not looked for anywhere.
    let mut order = sets.to_vec();
    order.sort_by_key(|set| Reverse(set.len()));
    for (at, set) in order.iter().enumerate() {
        for member in set.iter() {
            let mut probe = Probe::new(member);
            if !order[..at].iter().any(|&before| probe.is_in(before)) {
                f(member);
            }
        }
    }
}

/// Calls `f` for each member of the first set that no other one has.
///
/// Cost: O(n) in the sum of the lengths, or in the length of the first times the number of sets if that is less.
pub fn difference(sets: &[SetRef<'_>], limits: &Limits, mut f: impl FnMut(Member<'_>)) {
    let Some((&first, rest)) = sets.split_first() else { return };
    // As Redis weighs it: a lookup for each of the first's members in each set, half of which may be spared, or one for
    // each member of all of them.
    let probing = first.len().saturating_mul(sets.len()) / 2;
    let removing = sets.iter().map(|set| set.len()).sum();
    if probing <= removing {
        let mut order = rest.to_vec();
        order.sort_by_key(|set| Reverse(set.len()));
        for member in first.iter() {
            let mut probe = Probe::new(member);
            if !order.iter().any(|&set| probe.is_in(set)) {
                f(member);
            }
        }
    } else {
        let mut left = Combined::Union.collect(&[first], limits);
        for set in rest {
            for member in set.iter() {
                left.remove(member.text(&mut itoa::Buffer::new()));
            }
        }
        left.as_ref().iter().for_each(f);
    }
}
