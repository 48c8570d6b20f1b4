//! Bounds of ranges, by score and by bytes, and the ranks between them.

use super::{Member, ZSetRef, handle_of, pairs};
use std::ops::Range;

/// An end of a range of scores. Infinities are ends like others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    pub score: f64,
    pub exclusive: bool,
}

impl ScoreBound {
    /// As a lower bound: whether it lies above a score, which then is not in the range.
    #[inline]
    pub fn above(self, score: f64) -> bool {
        score < self.score || (self.exclusive && score == self.score)
    }

    /// As an upper bound: whether a score is not beyond it.
    #[inline]
    pub fn reaches(self, score: f64) -> bool {
        score < self.score || (!self.exclusive && score == self.score)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    pub min: ScoreBound,
    pub max: ScoreBound,
}

/// An end of a range of members, by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before all members.
    Lowest,
    /// Behind all members.
    Highest,
    Included(&'a [u8]),
    Excluded(&'a [u8]),
}

impl LexBound<'_> {
    /// As a lower bound: whether a member is not below it.
    #[inline]
    pub fn allows_above(self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Included(bound) => member >= bound,
            LexBound::Excluded(bound) => member > bound,
        }
    }

    /// As an upper bound: whether a member is not beyond it.
    #[inline]
    pub fn allows_below(self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Included(bound) => member <= bound,
            LexBound::Excluded(bound) => member < bound,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    pub min: LexBound<'a>,
    pub max: LexBound<'a>,
}

impl<'a> ZSetRef<'a> {
    /// The ranks of the members whose scores are in a range.
    pub fn ranks_by_score(self, range: &ScoreRange) -> Range<usize> {
        match self {
            ZSetRef::Packed(packed) => pairs::ranks_by_score(packed, range),
            ZSetRef::Ordered(ordered) => {
                let start = ordered.order.partition(|entry| range.min.above(entry.score));
                let end = ordered.order.partition(|entry| range.max.reaches(entry.score));
                start..end.max(start)
            }
        }
    }

    /// The ranks of the members whose bytes are in a range, if all scores are the same. If they are not, some range of
    /// ranks; which one depends on the form, and in the packed one on the direction, as in Redis.
    pub fn ranks_by_lex(self, range: &LexRange<'_>, back: bool) -> Range<usize> {
        match self {
            ZSetRef::Packed(packed) => pairs::ranks_by_lex(packed, range, back),
            ZSetRef::Ordered(ordered) => {
                let member = |handle| ordered.members.key(handle_of(handle));
                let start = ordered.order.partition(|entry| !range.min.allows_above(member(entry.handle)));
                let end = ordered.order.partition(|entry| range.max.allows_below(member(entry.handle)));
                start..end.max(start)
            }
        }
    }

    /// The member of a rank, with its score.
    pub fn nth(self, rank: usize) -> Option<(Member<'a>, f64)> {
        self.iter(rank..rank.saturating_add(1)).next()
    }
}
