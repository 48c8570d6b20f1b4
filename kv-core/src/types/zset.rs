//! Sorted sets: different byte strings, each with a score, in the order of the scores and then of the bytes.
//!
//! ```text
//! Packed    member score member score ...      `pairs`; up to `zset_packed_entries`, `zset_packed_value`
//! Ordered   members: member -> score           structs/dict
//!           order: (score, handle) with ranks  structs/ranked
//! ```
//!
//! A sorted set that passes a limit changes its form and never changes back; only one that is made from others (`algebra`,
//! `from_sorted`) gets the form that its members ask for.
//!
//! Ranks are the language of ranges: bounds by score or by bytes become ranges of ranks (`bounds`), and these are walked
//! in both directions, counted and removed. A score is never NaN. -0.0 stands where 0.0 stands; the packed
//! form keeps it as 0.0, as Redis does.
//!
//! A member that is the canonical text of an integer may come out as an integer or as its text, depending on the form:
//! [`Member`] is one or the other.

use super::Limits;
use crate::structs::dict::{Dict, FrozenDict, Handle};
use crate::structs::packed::{self, Encoded, Packed, PackedRef};
use crate::structs::random::Random;
use crate::structs::ranked::{self, Entry, Ranked};
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

mod algebra;
mod bounds;
mod build;
mod fuzz;
mod pairs;

pub use algebra::{Aggregate, Input, Source, difference, intersection, intersection_len, union};
pub use bounds::{LexBound, LexRange, ScoreBound, ScoreRange};
pub use build::Builder;
pub use fuzz::fuzz_zset;
use pairs::Pairs;

/// A member as its form holds it. `Bytes` of the ordered form may be the text of an integer.
pub type Member<'a> = packed::Item<'a>;

/// A sorted set that can be changed.
#[derive(Clone)]
pub enum ZSet {
    Packed(Packed),
    Ordered(Box<Ordered>),
}

/// A sorted set that is read where it lies.
#[derive(Clone, Copy)]
pub enum ZSetRef<'a> {
    Packed(PackedRef<'a>),
    Ordered(&'a Ordered),
}

/// The form for many members: found by their hash, ordered by a tree.
#[derive(Clone)]
pub struct Ordered {
    /// What belongs to a member is its score, 8 bytes LE.
    members: Dict,
    order: Ranked,
}

/// What `add` may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Only new members.
    pub new_only: bool,
    /// Only members that are there.
    pub existing_only: bool,
    /// A member that is there only gets a greater score.
    pub greater: bool,
    /// A member that is there only gets a smaller score.
    pub less: bool,
    /// The score is added to the one that is there.
    pub increment: bool,
}

/// What `add` did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added {
    /// The member is new.
    New(f64),
    /// The member was there and has another score now.
    Changed(f64),
    /// The member has had this score already.
    Same(f64),
    /// The rule forbids it.
    Refused,
}

/// The sum of an increment and the score, infinities of different signs, is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

impl Rule {
    /// The score that a member with score `old` gets; none if the rule forbids it.
    fn apply(self, old: f64, given: f64) -> Result<Option<f64>, NotANumber> {
        if self.new_only {
            return Ok(None);
        }
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            return Err(NotANumber);
        }
        Ok((!(self.less && new >= old || self.greater && new <= old)).then_some(new))
    }
}

/// Members that are taken out of the tree before they are taken out of the table.
const FEW: usize = 16;

fn handle_of(raw: u32) -> Handle {
    Handle::from_raw(raw).expect("the handle of an entry")
}

fn score_in(rest: &[u8]) -> f64 {
    f64::from_le_bytes(rest.try_into().expect("a score has 8 bytes"))
}

fn sort(entries: &mut [Entry], members: &Dict) {
    let member = member_of(members);
    entries.sort_unstable_by(|a, b| ranked::compare(*a, *b, &member));
}

/// Gives the tree the members of its handles.
#[inline]
fn member_of<'m>(members: &'m Dict) -> impl Fn(u32) -> &'m [u8] {
    |raw| members.key(handle_of(raw))
}

impl Ordered {
    fn new(limits: &Limits) -> Ordered {
        Ordered { members: Dict::new(limits.hash_seed), order: Ranked::new() }
    }

    /// The members come in order.
    fn from_sorted<'m>(sorted: impl Iterator<Item = (Member<'m>, f64)>, limits: &Limits) -> Ordered {
        let mut members = Dict::new(limits.hash_seed);
        let order = Ranked::from_sorted(sorted.map(|(member, score)| {
            let handle = members.insert(member.text(&mut itoa::Buffer::new()), &score.to_le_bytes());
            Entry { score, handle: handle.raw() }
        }));
        Ordered { members, order }
    }

    fn from_members(members: Dict) -> Ordered {
        let entry = |handle: Handle| Entry { score: score_in(members.rest(handle)), handle: handle.raw() };
        let mut entries: Vec<Entry> = members.iter().map(entry).collect();
        sort(&mut entries, &members);
        let order = Ranked::from_sorted(entries);
        Ordered { members, order }
    }

    fn entry(&self, member: &[u8]) -> Option<Entry> {
        let handle = self.members.find(member)?;
        Some(Entry { score: score_in(self.members.rest(handle)), handle: handle.raw() })
    }

    fn add(&mut self, member: &[u8], given: f64, rule: Rule) -> Result<Added, NotANumber> {
        let (handle, new) = if rule.existing_only {
            match self.members.find(member) {
                Some(handle) => (handle, false),
                None => return Ok(Added::Refused),
            }
        } else {
            self.members.find_or_insert(member, &given.to_le_bytes())
        };
        if new {
            self.order.insert(Entry { score: given, handle: handle.raw() }, member_of(&self.members));
            return Ok(Added::New(given));
        }
        let old = score_in(self.members.rest(handle));
        let Some(score) = rule.apply(old, given)? else { return Ok(Added::Refused) };
        if score == old {
            return Ok(Added::Same(old));
        }
        self.order.remove(Entry { score: old, handle: handle.raw() }, member_of(&self.members));
        self.members.rest_mut(handle).copy_from_slice(&score.to_le_bytes());
        self.order.insert(Entry { score, handle: handle.raw() }, member_of(&self.members));
        Ok(Added::Changed(score))
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        let Some(entry) = self.entry(member) else { return false };
        self.order.remove(entry, member_of(&self.members));
        self.members.remove(handle_of(entry.handle));
        true
    }

    /// Removes a few members, of the ranks `ranks`, and shows them to `f`; `back`: in descending order.
    fn remove_few(&mut self, ranks: Range<usize>, back: bool, f: &mut impl FnMut(Member<'_>, f64)) {
        let (mut gone, mut len) = ([Entry { score: 0.0, handle: 0 }; FEW], 0);
        self.order.remove_range(ranks, member_of(&self.members), |entry| {
            gone[len] = entry;
            len += 1;
        });
        let gone = &mut gone[..len];
        if back {
            gone.reverse();
        }
        for &Entry { score, handle } in &*gone {
            let handle = handle_of(handle);
            f(Member::Bytes(self.members.key(handle)), score);
            self.members.remove(handle);
        }
    }

    fn remove_ranks(&mut self, ranks: Range<usize>, mut f: impl FnMut(Member<'_>, f64)) {
        let mut left = ranks.len();
        while left > 0 {
            let few = left.min(FEW);
            self.remove_few(ranks.start..ranks.start + few, false, &mut f);
            left -= few;
        }
    }

    /// The same, in descending order.
    fn remove_ranks_back(&mut self, ranks: Range<usize>, mut f: impl FnMut(Member<'_>, f64)) {
        let mut end = ranks.end;
        while end > ranks.start {
            let start = end.saturating_sub(FEW).max(ranks.start);
            self.remove_few(start..end, true, &mut f);
            end = start;
        }
    }
}

impl Default for ZSet {
    fn default() -> ZSet {
        ZSet::new()
    }
}

impl ZSet {
    pub const fn new() -> ZSet {
        ZSet::Packed(Packed::new())
    }

    /// An empty one in the form for so many members, of which the longest known has `longest` bytes.
    pub fn for_members(longest: usize, count: usize, limits: &Limits) -> ZSet {
        if fits(longest, count, limits) { ZSet::new() } else { ZSet::Ordered(Box::new(Ordered::new(limits))) }
    }

    /// One of members that come in order and are different.
    pub fn from_sorted<'m>(sorted: impl ExactSizeIterator<Item = (Member<'m>, f64)> + Clone, limits: &Limits) -> ZSet {
        let count = sorted.len();
        let fits = |longest| fits(longest, count, limits);
        if !fits(0) || !fits(sorted.clone().map(|(member, _)| member.len()).max().unwrap_or(0)) {
            return ZSet::Ordered(Box::new(Ordered::from_sorted(sorted, limits)));
        }
        let mut packed = Packed::new();
        sorted.for_each(|(member, score)| pairs::push(&mut packed, member, score));
        ZSet::Packed(packed)
    }

    /// Changes the form ahead of so many members being added, whether they turn out to be new or not.
    pub fn expect(&mut self, count: usize, limits: &Limits) {
        if matches!(self, ZSet::Packed(_)) && count > entries_max(limits) {
            self.order(limits);
        }
    }

    #[inline]
    pub fn as_ref(&self) -> ZSetRef<'_> {
        match self {
            ZSet::Packed(packed) => ZSetRef::Packed(packed.as_ref()),
            ZSet::Ordered(ordered) => ZSetRef::Ordered(ordered),
        }
    }

    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    /// Bytes of memory held behind the value itself; O(1).
    pub fn bytes(&self) -> usize {
        match self {
            ZSet::Packed(packed) => packed.capacity(),
            ZSet::Ordered(ordered) => size_of::<Ordered>() + ordered.members.bytes() + ordered.order.bytes(),
        }
    }

    /// Adds a member or changes its score, as the rule allows.
    ///
    /// Errors: the sum is no number; nothing is changed then.
    pub fn add(&mut self, member: &[u8], score: f64, rule: Rule, limits: &Limits) -> Result<Added, NotANumber> {
        debug_assert!(!score.is_nan(), "a score is a number");
        let packed = match self {
            ZSet::Packed(packed) => packed,
            ZSet::Ordered(ordered) => return ordered.add(member, score, rule),
        };
        let encoded = Encoded::of(member);
        if let Some(at) = packed.as_ref().find(&encoded, pairs::STRIDE) {
            let old = pairs::score_at(packed.as_ref(), at);
            return match rule.apply(old, score)? {
                None => Ok(Added::Refused),
                Some(score) if score == old => Ok(Added::Same(old)),
                Some(score) => {
                    packed.remove_at(at, pairs::STRIDE);
                    pairs::insert(packed, member, score);
                    Ok(Added::Changed(score))
                }
            };
        }
        if rule.existing_only {
            return Ok(Added::Refused);
        }
        if fits(member.len(), packed.len() / pairs::STRIDE + 1, limits) {
            pairs::insert(packed, member, score);
            return Ok(Added::New(score));
        }
        self.order(limits).add(member, score, rule)
    }

    /// Adds a member, or gives the one that is there this score.
    pub fn set(&mut self, member: &[u8], score: f64, limits: &Limits) {
        self.add(member, score, Rule::default(), limits).expect("nothing is added up");
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            ZSet::Packed(packed) => {
                let found = packed.as_ref().find(&Encoded::of(member), pairs::STRIDE);
                if let Some(at) = found {
                    packed.remove_at(at, pairs::STRIDE);
                }
                found.is_some()
            }
            ZSet::Ordered(ordered) => ordered.remove(member),
        }
    }

    /// Removes the members of the ranks `ranks`, which exist, and shows them to `f`, ascending.
    pub fn remove_ranks(&mut self, ranks: Range<usize>, mut f: impl FnMut(Member<'_>, f64)) {
        match self {
            _ if ranks.is_empty() => {}
            ZSet::Packed(packed) => {
                let at = packed.as_ref().nth(ranks.start * pairs::STRIDE);
                Pairs::new(packed.as_ref(), ranks.clone()).for_each(|(member, score)| f(member, score));
                packed.remove_at(at, ranks.len() * pairs::STRIDE);
            }
            ZSet::Ordered(ordered) => ordered.remove_ranks(ranks, f),
        }
    }

    /// Removes up to `count` members from the lower end and shows them to `f`, ascending.
    pub fn pop_first(&mut self, count: usize, f: impl FnMut(Member<'_>, f64)) {
        self.remove_ranks(0..count.min(self.len()), f);
    }

    /// Removes up to `count` members from the upper end and shows them to `f`, descending.
    pub fn pop_last(&mut self, count: usize, mut f: impl FnMut(Member<'_>, f64)) {
        let len = self.len();
        let ranks = len - count.min(len)..len;
        match self {
            ZSet::Packed(_) => {
                self.as_ref().iter_back(ranks.clone()).for_each(|(member, score)| f(member, score));
                self.remove_ranks(ranks, |_, _| {});
            }
            ZSet::Ordered(ordered) => ordered.remove_ranks_back(ranks, f),
        }
    }

    /// The members that there are now with their scores, whatever becomes of this one. Cost: O(pages) of the ordered form,
    /// as much as one write to the packed one.
    pub fn freeze(&mut self) -> FrozenZSet {
        match self {
            ZSet::Packed(packed) => FrozenZSet::Packed(packed.clone()),
            ZSet::Ordered(ordered) => FrozenZSet::Ordered(ordered.members.freeze()),
        }
    }

    fn order(&mut self, limits: &Limits) -> &mut Ordered {
        if let ZSet::Packed(packed) = self {
            let view = packed.as_ref();
            let ordered = Ordered::from_sorted(Pairs::new(view, 0..usize::MAX), limits);
            *self = ZSet::Ordered(Box::new(ordered));
        }
        match self {
            ZSet::Ordered(ordered) => ordered,
            ZSet::Packed(_) => unreachable!("just made ordered"),
        }
    }
}

/// Members that the packed form may have at most, whatever the options allow.
fn entries_max(limits: &Limits) -> usize {
    limits.zset_packed_entries.min(packed::ITEMS_MAX / pairs::STRIDE)
}

fn fits(longest: usize, count: usize, limits: &Limits) -> bool {
    count <= entries_max(limits) && longest <= limits.zset_packed_value.min(1 << 30)
}

impl<'a> ZSetRef<'a> {
    #[inline]
    pub fn len(self) -> usize {
        match self {
            ZSetRef::Packed(packed) => packed.len() / pairs::STRIDE,
            ZSetRef::Ordered(ordered) => ordered.order.len(),
        }
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The form, in the words of OBJECT ENCODING.
    pub fn encoding(self) -> &'static str {
        match self {
            ZSetRef::Packed(_) => "listpack",
            ZSetRef::Ordered(_) => "skiplist",
        }
    }

    #[inline]
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            ZSetRef::Packed(packed) => {
                packed.find(&Encoded::of(member), pairs::STRIDE).map(|at| pairs::score_at(packed, at))
            }
            ZSetRef::Ordered(ordered) => {
                ordered.members.find(member).map(|handle| score_in(ordered.members.rest(handle)))
            }
        }
    }

    /// How many members come before this one, and its score.
    pub fn rank(self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            ZSetRef::Packed(packed) => pairs::rank(packed, member),
            ZSetRef::Ordered(ordered) => {
                let entry = ordered.entry(member)?;
                Some((ordered.order.rank(entry, member_of(&ordered.members)), entry.score))
            }
        }
    }

    /// The members of the ranks `ranks` with their scores, ascending. The range is cut to what there is.
    #[inline]
    pub fn iter(self, ranks: Range<usize>) -> Iter<'a> {
        match self {
            ZSetRef::Packed(packed) => Iter::Pairs(Pairs::new(packed, ranks)),
            ZSetRef::Ordered(ordered) => Iter::Ordered(&ordered.members, ordered.order.iter(ranks)),
        }
    }

    /// The same members, descending.
    pub fn iter_back(self, ranks: Range<usize>) -> Iter<'a> {
        match self {
            ZSetRef::Packed(packed) => {
                let pairs: Vec<_> = Pairs::new(packed, ranks).collect();
                Iter::PairsBack(pairs.into_iter().rev())
            }
            ZSetRef::Ordered(ordered) => Iter::Ordered(&ordered.members, ordered.order.iter_back(ranks)),
        }
    }

    /// All members, ascending.
    pub fn all(self) -> Iter<'a> {
        self.iter(0..usize::MAX)
    }

    /// A member chosen at random, all with the same chance, and its score.
    pub fn random(self, random: &mut Random) -> Option<(Member<'a>, f64)> {
        if self.is_empty() {
            return None;
        }
        let rank = random.index(self.len());
        self.iter(rank..rank + 1).next()
    }

    /// The ranks of `count` different members, or of all, chosen at random.
    pub fn sample(self, count: usize, random: &mut Random) -> Vec<usize> {
        let len = self.len();
        if count >= len {
            return (0..len).collect();
        }
        if count > len / 3 {
            // The first of a shuffled row.
            let mut ranks: Vec<usize> = (0..len).collect();
            for at in 0..count {
                ranks.swap(at, at + random.index(len - at));
            }
            ranks.truncate(count);
            return ranks;
        }
        let (mut chosen, mut ranks) = (HashSet::with_capacity(count), Vec::with_capacity(count));
        while ranks.len() < count {
            let rank = random.index(len);
            if chosen.insert(rank) {
                ranks.push(rank);
            }
        }
        ranks
    }

    /// Calls `f` for a part of the members and returns the cursor of the next part: begin with 0, end when 0 comes back.
    /// About `count` are shown at a time, but all at once in the packed form.
    ///
    /// A member that is there during the whole walk is shown at least once.
    pub fn scan(self, mut cursor: u64, count: usize, mut f: impl FnMut(Member<'a>, f64)) -> u64 {
        let ordered = match self {
            ZSetRef::Packed(packed) => {
                Pairs::new(packed, 0..usize::MAX).for_each(|(member, score)| f(member, score));
                return 0;
            }
            ZSetRef::Ordered(ordered) => ordered,
        };
        let members = &ordered.members;
        let mut seen = 0;
        for _ in 0..count.saturating_mul(10).max(1) {
            cursor = members.scan(cursor, |handle| {
                let (member, rest) = members.record(handle);
                f(Member::Bytes(member), score_in(rest));
                seen += 1;
            });
            if cursor == 0 || seen >= count {
                break;
            }
        }
        cursor
    }
}

/// A sorted set as it was when it was frozen. It may be read on any thread.
pub enum FrozenZSet {
    Packed(Packed),
    /// Records tell members and scores, the order follows from these.
    Ordered(FrozenDict),
}

impl FrozenZSet {
    pub fn len(&self) -> usize {
        match self {
            FrozenZSet::Packed(packed) => packed.len() / pairs::STRIDE,
            FrozenZSet::Ordered(members) => members.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that are kept from being freed, at most.
    pub fn bytes(&self) -> usize {
        match self {
            FrozenZSet::Packed(packed) => packed.capacity(),
            FrozenZSet::Ordered(members) => members.bytes(),
        }
    }

    /// Calls `f` with each member and its score, in no order, and lets go of the memory meanwhile.
    pub fn for_each(self, mut f: impl FnMut(Member<'_>, f64)) {
        match self {
            FrozenZSet::Packed(packed) => {
                Pairs::new(packed.as_ref(), 0..usize::MAX).for_each(|(member, score)| f(member, score));
            }
            FrozenZSet::Ordered(members) => {
                members.for_each(|member, rest| f(Member::Bytes(member), score_in(rest)));
            }
        }
    }
}

/// A walk over members with their scores.
#[derive(Clone)]
pub enum Iter<'a> {
    Pairs(Pairs<'a>),
    PairsBack(std::iter::Rev<std::vec::IntoIter<(Member<'a>, f64)>>),
    Ordered(&'a Dict, ranked::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Member<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Member<'a>, f64)> {
        match self {
            Iter::Ordered(members, entries) => {
                entries.next().map(|Entry { score, handle }| (Member::Bytes(members.key(handle_of(handle))), score))
            }
            Iter::Pairs(pairs) => pairs.next(),
            Iter::PairsBack(pairs) => pairs.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Iter::Pairs(pairs) => pairs.size_hint(),
            Iter::PairsBack(pairs) => pairs.size_hint(),
            Iter::Ordered(_, entries) => entries.size_hint(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl PartialEq for ZSet {
    fn eq(&self, other: &ZSet) -> bool {
        let same = |((a, x), (b, y)): ((Member, f64), (Member, f64))| x == y && a.compare(b).is_eq();
        self.len() == other.len() && self.as_ref().all().zip(other.as_ref().all()).all(same)
    }
}

impl fmt::Debug for ZSetRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |member: Member| String::from_utf8_lossy(&member.to_vec()).into_owned();
        f.debug_map().entries(self.all().map(|(member, score)| (text(member), score))).finish()
    }
}

impl fmt::Debug for ZSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests;
