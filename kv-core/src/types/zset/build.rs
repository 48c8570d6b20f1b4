//! Making a sorted set of members that come in any order, much faster than adding one by one: the tree is built at once.

use super::{Limits, Member, Ordered, ZSet, entries_max, fits, member_of, pairs, sort};
use crate::structs::dict::Dict;
use crate::structs::packed::Packed;
use crate::structs::ranked::{self, Entry, Ranked};
use std::cmp::Ordering;

/// A sorted set to be.
pub struct Builder {
    members: Dict,
    entries: Vec<Entry>,
    longest: usize,
}

impl Builder {
    pub fn new(limits: &Limits) -> Builder {
        Builder { members: Dict::new(limits.hash_seed), entries: Vec::new(), longest: 0 }
    }

    /// Adds a member with its score, which is a number; false when it is there already.
    #[inline]
    pub fn add(&mut self, member: Member<'_>, score: f64) -> bool {
        let mut digits = itoa::Buffer::new();
        let member = member.text(&mut digits);
        let (handle, fresh) = self.members.find_or_insert(member, &score.to_le_bytes());
        if fresh {
            self.entries.push(Entry { score, handle: handle.raw() });
            self.longest = self.longest.max(member.len());
        }
        fresh
    }

    pub fn finish(self, limits: &Limits) -> ZSet {
        let Builder { members, mut entries, longest } = self;
        let before = |a: Entry, b: Entry| ranked::compare(a, b, &member_of(&members)) == Ordering::Less;
        if !entries.is_sorted_by(|&a, &b| before(a, b)) {
            sort(&mut entries, &members);
        }
        if fits(longest, entries.len(), limits) {
            let mut packed = Packed::new();
            let member = member_of(&members);
            entries.iter().for_each(|entry| pairs::push(&mut packed, Member::Bytes(member(entry.handle)), entry.score));
            return ZSet::Packed(packed);
        }
        ZSet::Ordered(Box::new(Ordered { order: Ranked::from_sorted(entries), members }))
    }
}

impl ZSet {
    /// One of members with scores, which are numbers, in the form that they ask for; none when one comes twice. In ascending
    /// order they take the least time.
    pub fn of_members<'m>(members: impl Iterator<Item = (Member<'m>, f64)> + Clone, limits: &Limits) -> Option<ZSet> {
        let mut last: Option<(Member<'_>, f64)> = None;
        let (mut bytes, mut longest, mut ascending) = (0, 0, true);
        // One more than fit will do to tell.
        let count = members
            .clone()
            .take(entries_max(limits) + 1)
            .inspect(|&(member, score)| {
                bytes += member.len() + 14;
                longest = longest.max(member.len());
                ascending &= last.is_none_or(|(before, least)| {
                    least < score || least == score && before.compare(member) == Ordering::Less
                });
                last = Some((member, score));
            })
            .count();
        if ascending && fits(longest, count, limits) {
            let mut packed = Packed::with_capacity(bytes);
            members.for_each(|(member, score)| pairs::push(&mut packed, member, score));
            return packed.as_ref().all_different(pairs::STRIDE).then_some(ZSet::Packed(packed));
        }
        let mut builder = Builder::new(limits);
        members.into_iter().all(|(member, score)| builder.add(member, score)).then(|| builder.finish(limits))
    }
}
