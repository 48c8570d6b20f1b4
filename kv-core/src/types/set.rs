//! Sets: different byte strings without order.
//!
//! ```text
//! Ints     all members are integers                  sorted, O(log n)       up to `set_int_entries` members
//! Packed   few and short                             in a row, O(n)         up to `set_packed_entries`, `set_packed_value`
//! Table    everything else                           hashed, O(1)
//! ```
//!
//! A set that passes a limit changes its form and never changes back; only a set that is made from others (`algebra`)
//! gets the form that its members ask for. When which form is taken is what Redis 7.2 does.
//!
//! A member that is the canonical text of an integer may come out as an integer or as its text, depending on the form:
//! [`Member`] is one or the other. Choosing at random, taking out and walking in parts are in `sample`.

use super::Limits;
use crate::resp::number;
use crate::structs::dict::{self, Dict, FrozenDict};
use crate::structs::ints::{self, Ints, IntsRef};
use crate::structs::packed::{self, Encoded, Packed, PackedRef};
use std::fmt;

mod algebra;
mod fuzz;
mod sample;

pub use algebra::{Combined, difference, intersection, union};
pub use fuzz::fuzz_set;

/// A member as its form holds it. `Bytes` of a table may be the text of an integer.
pub type Member<'a> = packed::Item<'a>;

/// A set that can be changed.
#[derive(Clone)]
pub enum Set {
    Ints(Ints),
    Packed(Packed),
    Table(Box<Dict>),
}

/// A set that is read where it lies.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    Ints(IntsRef<'a>),
    Packed(PackedRef<'a>),
    Table(&'a Dict),
}

impl Default for Set {
    fn default() -> Set {
        Set::new()
    }
}

impl Set {
    pub const fn new() -> Set {
        Set::Ints(Ints::new())
    }

    /// An empty set in the form for this number of members of which one is `first`.
    pub fn for_members(first: &[u8], count: usize, limits: &Limits) -> Set {
        if count <= limits.set_int_entries && number::parse_i64(first).is_some() {
            Set::Ints(Ints::new())
        } else if count <= packed_max(limits) {
            Set::Packed(Packed::new())
        } else {
            Set::Table(Box::new(Dict::new(limits.hash_seed)))
        }
    }

    /// One of these members, in the form that they ask for; none when one comes twice.
    pub fn of_members<'m>(members: impl Iterator<Item = Member<'m>> + Clone, limits: &Limits) -> Option<Set> {
        let (mut count, mut bytes, mut longest) = (0, 0, 0);
        let mut ints = true;
        for member in members.clone() {
            count += 1;
            bytes += member.len() + 5;
            longest = longest.max(member.len());
            ints = ints && member.int().is_some();
        }
        if ints && count <= limits.set_int_entries {
            let mut set = Ints::new();
            return members.filter_map(Member::int).all(|int| set.insert(int)).then_some(Set::Ints(set));
        }
        if count <= packed_max(limits) && longest <= limits.set_packed_value {
            let mut packed = Packed::with_capacity(bytes);
            members.for_each(|member| packed.push_encoded(&Encoded::of_item(member)));
            return packed.as_ref().all_different(1).then_some(Set::Packed(packed));
        }
        let mut table = Box::new(Dict::new(limits.hash_seed));
        let fresh = |member: Member<'_>| table.find_or_insert(member.text(&mut itoa::Buffer::new()), b"").1;
        members.into_iter().all(fresh).then_some(Set::Table(table))
    }

    /// Changes the form ahead of so many members being added, whether they turn out to be new or not.
    pub fn expect(&mut self, count: usize, limits: &Limits) {
        let max = match self {
            Set::Ints(_) => limits.set_int_entries,
            Set::Packed(_) => packed_max(limits),
            Set::Table(_) => return,
        };
        if count > max {
            self.table(limits);
        }
    }

    pub fn as_ref(&self) -> SetRef<'_> {
        match self {
            Set::Ints(ints) => SetRef::Ints(ints.as_ref()),
            Set::Packed(packed) => SetRef::Packed(packed.as_ref()),
            Set::Table(table) => SetRef::Table(table),
        }
    }

    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    /// Bytes of memory held behind the set itself; O(1).
    pub fn bytes(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.capacity(),
            Set::Packed(packed) => packed.capacity(),
            Set::Table(table) => size_of::<Dict>() + table.bytes(),
        }
    }

    /// Adds a member; says whether it was not there before.
    pub fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        match self {
            Set::Table(table) => table.find_or_insert(member, b"").1,
            Set::Ints(ints) => match number::parse_i64(member) {
                Some(int) => {
                    let fresh = ints.insert(int);
                    if fresh && ints.len() > limits.set_int_entries {
                        self.table(limits);
                    }
                    fresh
                }
                None => {
                    self.add_text_to_ints(member, limits);
                    true
                }
            },
            Set::Packed(packed) => {
                let encoded = Encoded::of(member);
                if packed.as_ref().find(&encoded, 1).is_some() {
                    return false;
                }
                if packed.len() < packed_max(limits) && member.len() <= limits.set_packed_value {
                    packed.push_encoded(&encoded);
                } else {
                    self.table(limits).insert(member, b"");
                }
                true
            }
        }
    }

    /// Adds a member of another set.
    pub fn add_member(&mut self, member: Member<'_>, limits: &Limits) -> bool {
        self.add(member.text(&mut itoa::Buffer::new()), limits)
    }

    /// A member that is no integer makes integers texts.
    fn add_text_to_ints(&mut self, member: &[u8], limits: &Limits) {
        let Set::Ints(ints) = self else { unreachable!("called for integers only") };
        let ints = ints.as_ref();
        // The first and the last are the longest.
        let ends = if ints.is_empty() { [0, 0] } else { [0, ints.len() - 1].map(|rank| ints.get(rank)) };
        let longest = ends.map(|int| Member::Int(int).len()).into_iter().max().unwrap_or(0);
        if ints.len() < packed_max(limits) && member.len().max(longest) <= limits.set_packed_value {
            let mut packed = Packed::new();
            ints.iter().for_each(|int| packed.push_item(Member::Int(int)));
            packed.push(member);
            *self = Set::Packed(packed);
        } else {
            self.table(limits).insert(member, b"");
        }
    }

    /// The table that this is or is made.
    fn table(&mut self, limits: &Limits) -> &mut Dict {
        if !matches!(self, Set::Table(_)) {
            let mut table = Box::new(Dict::new(limits.hash_seed));
            for member in self.as_ref().iter() {
                table.insert(member.text(&mut itoa::Buffer::new()), b"");
            }
            *self = Set::Table(table);
        }
        match self {
            Set::Table(table) => table,
            _ => unreachable!("it has just been made one"),
        }
    }

    /// The members that there are now, whatever becomes of this set. Cost: O(pages) of a table, as much as one write to
    /// another form.
    pub fn freeze(&mut self) -> FrozenSet {
        match self {
            Set::Table(table) => FrozenSet::Table(table.freeze()),
            small => FrozenSet::Small(small.clone()),
        }
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => number::parse_i64(member).is_some_and(|int| ints.remove(int)),
            Set::Packed(packed) => match packed.as_ref().find(&Encoded::of(member), 1) {
                Some(at) => {
                    packed.remove_at(at, 1);
                    true
                }
                None => false,
            },
            Set::Table(table) => table.remove_key(member),
        }
    }
}

/// Members of a packed set at most.
fn packed_max(limits: &Limits) -> usize {
    limits.set_packed_entries.min(packed::ITEMS_MAX)
}

impl<'a> SetRef<'a> {
    #[inline]
    pub fn len(self) -> usize {
        match self {
            SetRef::Ints(ints) => ints.len(),
            SetRef::Packed(packed) => packed.len(),
            SetRef::Table(table) => table.len(),
        }
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The form, as OBJECT ENCODING tells it.
    pub fn encoding(self) -> &'static str {
        match self {
            SetRef::Ints(_) => "intset",
            SetRef::Packed(_) => "listpack",
            SetRef::Table(_) => "hashtable",
        }
    }

    #[inline]
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            SetRef::Ints(ints) => number::parse_i64(member).is_some_and(|int| ints.contains(int)),
            SetRef::Packed(packed) => packed.find(&Encoded::of(member), 1).is_some(),
            SetRef::Table(table) => table.contains(member),
        }
    }

    /// The members, each once: integers ascending, packed ones in the order of their coming.
    #[inline]
    pub fn iter(self) -> Members<'a> {
        match self {
            SetRef::Ints(ints) => Members::Ints(ints.iter()),
            SetRef::Packed(packed) => Members::Packed(packed.iter()),
            SetRef::Table(table) => Members::Table(table, table.iter()),
        }
    }
}

impl<'a> IntoIterator for SetRef<'a> {
    type Item = Member<'a>;
    type IntoIter = Members<'a>;

    fn into_iter(self) -> Members<'a> {
        self.iter()
    }
}

/// The members of a set. Made by `SetRef::iter`.
#[derive(Clone)]
pub enum Members<'a> {
    Ints(ints::Iter<'a>),
    Packed(packed::Iter<'a>),
    Table(&'a Dict, dict::Iter<'a>),
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        match self {
            Members::Ints(ints) => ints.next().map(Member::Int),
            Members::Packed(packed) => packed.next(),
            Members::Table(table, handles) => handles.next().map(|handle| Member::Bytes(table.key(handle))),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Members::Ints(ints) => ints.size_hint(),
            Members::Packed(packed) => packed.size_hint(),
            Members::Table(_, handles) => handles.size_hint(),
        }
    }
}

impl ExactSizeIterator for Members<'_> {}

/// A set as it was when it was frozen. It may be read on any thread.
pub enum FrozenSet {
    /// No table.
    Small(Set),
    Table(FrozenDict),
}

impl FrozenSet {
    pub fn len(&self) -> usize {
        match self {
            FrozenSet::Small(set) => set.len(),
            FrozenSet::Table(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that are kept from being freed, at most.
    pub fn bytes(&self) -> usize {
        match self {
            FrozenSet::Small(set) => set.bytes(),
            FrozenSet::Table(table) => table.bytes(),
        }
    }

    /// Calls `f` with each member, and lets go of the memory meanwhile.
    pub fn for_each(self, mut f: impl FnMut(Member<'_>)) {
        match self {
            FrozenSet::Small(set) => set.as_ref().iter().for_each(f),
            FrozenSet::Table(table) => table.for_each(|member, _| f(Member::Bytes(member))),
        }
    }
}

/// The same members, whatever the forms.
impl PartialEq for SetRef<'_> {
    fn eq(&self, other: &SetRef<'_>) -> bool {
        self.len() == other.len() && self.iter().all(|member| other.contains(member.text(&mut itoa::Buffer::new())))
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Set) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl fmt::Debug for SetRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests;
