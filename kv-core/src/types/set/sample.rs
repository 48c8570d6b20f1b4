//! Members chosen at random, taken out at random, and the walk over a set in parts.

use super::{Member, Set, SetRef};
use crate::structs::dict::Handle;
use crate::structs::ints::Ints;
use crate::structs::packed::Packed;
use crate::structs::random::Random;
use std::collections::HashSet;

/// A sample of less than a table's length divided by this is drawn member by member, and what comes twice is drawn again;
/// a larger one is chosen in one walk over all.
const DRAWN_PART: usize = 3;

/// How many buckets a step of a walk looks at for each member it was asked for.
const WALK_MAX: usize = 10;

impl<'a> SetRef<'a> {
    /// A member chosen at random, all with the same chance; none of an empty set.
    pub fn random(self, random: &mut Random) -> Option<Member<'a>> {
        if self.is_empty() {
            return None;
        }
        Some(match self {
            SetRef::Ints(ints) => Member::Int(ints.get(random.index(ints.len()))),
            SetRef::Packed(packed) => packed.get(packed.nth(random.index(packed.len()))),
            SetRef::Table(table) => Member::Bytes(table.key(table.random(|| random.next_u64())?)),
        })
    }

    /// Calls `f` for so many different members chosen at random, or for all if there are not more.
    ///
    /// Cost: O(count) for a table, O(n) else.
    pub fn sample(self, count: usize, random: &mut Random, mut f: impl FnMut(Member<'a>)) {
        match self {
            SetRef::Table(table) if count < table.len() / DRAWN_PART => {
                let mut drawn: HashSet<Handle> = HashSet::with_capacity(count);
                while drawn.len() < count {
                    let handle = table.random(|| random.next_u64()).expect("it is not empty");
                    if drawn.insert(handle) {
                        f(Member::Bytes(table.key(handle)));
                    }
                }
            }
            _ => {
                let mut chosen = Selection::new(count, self.len());
                self.iter().filter(|_| chosen.next(random)).for_each(f);
            }
        }
    }

    /// Calls `f` so many times for a member chosen at random, the same ones again and again, as long as it wants more; not at
    /// all for an empty set.
    ///
    /// Cost: O(count), and O(n) if the set is packed.
    pub fn draw(self, count: u64, random: &mut Random, mut f: impl FnMut(Member<'a>) -> bool) {
        if self.is_empty() {
            return;
        }
        if let SetRef::Packed(packed) = self {
            let members: Vec<Member<'a>> = packed.iter().collect();
            (0..count).all(|_| f(members[random.index(members.len())]));
        } else {
            (0..count).all(|_| f(self.random(random).expect("it is not empty")));
        }
    }

    /// Calls `f` for a part of the members and returns the cursor of the next part: begin with 0, end when 0 comes back.
    ///
    /// A member that is there during the whole walk is visited at least once, whatever is added and removed meanwhile,
    /// also when the form changes. Sets that are no table are visited as a whole; a part of a table has about `count`.
    pub fn scan(self, cursor: u64, count: usize, mut f: impl FnMut(Member<'a>)) -> u64 {
        let SetRef::Table(table) = self else {
            self.iter().for_each(f);
            return 0;
        };
        let (mut cursor, mut seen) = (cursor, 0);
        for _ in 0..count.saturating_mul(WALK_MAX) {
            cursor = table.scan(cursor, |handle| {
                seen += 1;
                f(Member::Bytes(table.key(handle)));
            });
            if cursor == 0 || seen >= count {
                break;
            }
        }
        cursor
    }
}

impl Set {
    /// Takes a member out that is chosen at random, all with the same chance, after `f` has seen it; says whether there
    /// was one.
    pub fn pop(&mut self, random: &mut Random, f: impl FnOnce(Member<'_>)) -> bool {
        if self.is_empty() {
            return false;
        }
        match self {
            Set::Ints(ints) => {
                let rank = random.index(ints.len());
                f(Member::Int(ints.as_ref().get(rank)));
                ints.remove_at(rank);
            }
            Set::Packed(packed) => {
                let at = packed.as_ref().nth(random.index(packed.len()));
                f(packed.as_ref().get(at));
                packed.remove_at(at, 1);
            }
            Set::Table(table) => {
                let handle = table.random(|| random.next_u64()).expect("it is not empty");
                f(Member::Bytes(table.key(handle)));
                table.remove(handle);
            }
        }
        true
    }

    /// Takes so many members out that are chosen at random, or all if there are not more, after `f` has seen each.
    ///
    /// Cost: O(count) for a table, O(n) else.
    pub fn pop_many(&mut self, count: usize, random: &mut Random, mut f: impl FnMut(Member<'_>)) {
        if count >= self.len() {
            self.as_ref().iter().for_each(f);
            *self = Set::new();
            return;
        }
        let mut chosen = Selection::new(count, self.len());
        match self {
            Set::Ints(ints) => {
                let mut left = Ints::new();
                for int in ints.as_ref().iter() {
                    if chosen.next(random) {
                        f(Member::Int(int));
                    } else {
                        left.insert(int);
                    }
                }
                *ints = left;
            }
            Set::Packed(packed) => {
                let mut left = Packed::new();
                for member in packed.iter() {
                    if chosen.next(random) {
                        f(member);
                    } else {
                        left.push_item(member);
                    }
                }
                *packed = left;
            }
            Set::Table(_) => {
                for _ in 0..count {
                    self.pop(random, &mut f);
                }
            }
        }
    }
}

/// Chooses some of a row of things that are met one after the other, each choice being equally likely.
///
/// Source: Knuth, "The Art of Computer Programming" 2, 3.4.2, algorithm S.
struct Selection {
    wanted: usize,
    left: usize,
}

impl Selection {
    fn new(wanted: usize, all: usize) -> Selection {
        Selection { wanted, left: all }
    }

    /// Whether the next one is chosen.
    fn next(&mut self, random: &mut Random) -> bool {
        let chosen = self.wanted > 0 && random.index(self.left) < self.wanted;
        self.left -= 1;
        self.wanted -= usize::from(chosen);
        chosen
    }
}
