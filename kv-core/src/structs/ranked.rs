//! Handles in the order of their scores, with ranks: a B+ tree whose inner nodes count what is below them.
//!
//! ```text
//! inner  | min score, min handle | child | count |  x 51       1,024 bytes
//!             |                      \
//! leaf   | score, handle | x 62  <->  leaf  <->  leaf            760 bytes
//! ```
//!
//! An entry is a score and a 32-bit handle; what the handle stands for (a member of a set) is outside. Entries are ordered
//! by score, and those of the same score by the bytes that `member(handle)` gives; these are asked for only then. No two
//! entries are equal in both. Scores are never NaN; -0.0 and 0.0 are the same place.
//!
//! Everything is told in ranks: bounds are turned into a rank by `partition`, which takes any test that is true up to some
//! entry and false from there on, and ranges of ranks are walked, counted (by subtraction) and removed.
//!
//! Invariants: no node is empty; an inner node knows of each child the first entry and the number of entries; leaves are
//! linked in order; the root has more than one child. A full leaf gives entries to a neighbour before it is split, and one
//! that is full at an end of the tree is not halved, so that leaves are about 80 % full after insertions in random order
//! and 100 % after ascending or descending ones: 15 and 12 bytes an entry, and half a byte for the inner nodes. A node less
//! than a third full is merged with a neighbour or levelled with it.
//!
//! Nodes are in arenas that stay dense (`arena`): a removal that frees a node moves the last one into its place, and finds
//! the one pointer to that by searching for its first entry.

mod arena;
mod fuzz;

use arena::Arena;
pub use fuzz::fuzz_ranked;
use std::cmp::Ordering;
use std::ops::Range;

/// Entries of a leaf: 64 leaves then fill a size class of the allocator, 48 KiB.
const LEAF: usize = 62;

/// Children of an inner node, which then has 1 KiB.
const INNER: usize = 51;

/// Free places below which a neighbour counts as full: moving fewer entries would have to be done too often.
const ROOM_MIN: usize = 8;

/// Entries (children) of a node that is built from sorted input: some insertions later it still need not be split.
const LEAF_BUILT: usize = LEAF - ROOM_MIN;
const INNER_BUILT: usize = INNER - ROOM_MIN;

/// Inner levels. Nodes have at least 17 children, but for those at the right edge: 2^32 entries need 8 levels.
const HEIGHT_MAX: usize = 10;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    pub score: f64,
    pub handle: u32,
}

#[derive(Clone, Debug)]
struct Leaf {
    scores: [f64; LEAF],
    handles: [u32; LEAF],
    len: u32,
    prev: u32,
    next: u32,
}

#[derive(Clone, Debug)]
struct Inner {
    /// The first entry below each child.
    scores: [f64; INNER],
    handles: [u32; INNER],
    children: [u32; INNER],
    counts: [u32; INNER],
    len: u32,
}

/// A child as its parent knows it.
#[derive(Clone, Copy)]
struct Slot {
    first: Entry,
    child: u32,
    count: u32,
}

#[derive(Clone, Copy, Default)]
struct Step {
    inner: u32,
    /// Which child the way leads to.
    at: u32,
}

/// The way from the root to a leaf, and a place in it.
struct Path {
    steps: [Step; HEIGHT_MAX],
    leaf: u32,
    pos: usize,
}

#[derive(Clone, Debug)]
pub struct Ranked {
    leaves: Arena<Leaf>,
    inners: Arena<Inner>,
    /// A leaf when `height` is 0; NONE when there are no entries.
    root: u32,
    /// Levels of inner nodes.
    height: usize,
    len: usize,
}

impl Leaf {
    fn new() -> Leaf {
        Leaf { scores: [0.0; LEAF], handles: [0; LEAF], len: 0, prev: NONE, next: NONE }
    }

    #[inline]
    fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    fn entry(&self, at: usize) -> Entry {
        Entry { score: self.scores[at], handle: self.handles[at] }
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        let len = self.len();
        self.scores.copy_within(at..len, at + 1);
        self.handles.copy_within(at..len, at + 1);
        (self.scores[at], self.handles[at]) = (entry.score, entry.handle);
        self.len += 1;
    }

    fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        self.scores.copy_within(range.end..len, range.start);
        self.handles.copy_within(range.end..len, range.start);
        self.len -= range.len() as u32;
    }

    /// Takes the first `n` entries of its right neighbour.
    fn take_front(&mut self, right: &mut Leaf, n: usize) {
        let len = self.len();
        self.scores[len..len + n].copy_from_slice(&right.scores[..n]);
        self.handles[len..len + n].copy_from_slice(&right.handles[..n]);
        self.len += n as u32;
        right.remove(0..n);
    }

    /// Takes the last `n` entries of its left neighbour.
    fn take_back(&mut self, left: &mut Leaf, n: usize) {
        let (len, from) = (self.len(), left.len() - n);
        self.scores.copy_within(..len, n);
        self.handles.copy_within(..len, n);
        self.scores[..n].copy_from_slice(&left.scores[from..from + n]);
        self.handles[..n].copy_from_slice(&left.handles[from..from + n]);
        self.len += n as u32;
        left.len -= n as u32;
    }
}

impl Inner {
    fn new() -> Inner {
        Inner { scores: [0.0; INNER], handles: [0; INNER], children: [0; INNER], counts: [0; INNER], len: 0 }
    }

    #[inline]
    fn len(&self) -> usize {
        self.len as usize
    }

    fn count(&self) -> u32 {
        self.counts[..self.len()].iter().sum()
    }

    fn first(&self) -> Entry {
        Entry { score: self.scores[0], handle: self.handles[0] }
    }

    fn set_first_of(&mut self, at: usize, first: Entry) {
        (self.scores[at], self.handles[at]) = (first.score, first.handle);
    }

    fn insert(&mut self, at: usize, slot: Slot) {
        let len = self.len();
        self.scores.copy_within(at..len, at + 1);
        self.handles.copy_within(at..len, at + 1);
        self.children.copy_within(at..len, at + 1);
        self.counts.copy_within(at..len, at + 1);
        self.set_first_of(at, slot.first);
        (self.children[at], self.counts[at]) = (slot.child, slot.count);
        self.len += 1;
    }

    fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        self.scores.copy_within(range.end..len, range.start);
        self.handles.copy_within(range.end..len, range.start);
        self.children.copy_within(range.end..len, range.start);
        self.counts.copy_within(range.end..len, range.start);
        self.len -= range.len() as u32;
    }

    /// The child whose entries begin with this one or before it, and its place.
    fn child_towards<'m>(&self, entry: Entry, member: &impl Fn(u32) -> &'m [u8]) -> (usize, u32) {
        let firsts = 1..self.len();
        let at = partition(&self.scores[firsts.clone()], &self.handles[firsts], &mut |other| {
            compare(other, entry, member).is_le()
        });
        (at, self.children[at])
    }

    fn slot(&self, at: usize) -> Slot {
        let first = Entry { score: self.scores[at], handle: self.handles[at] };
        Slot { first, child: self.children[at], count: self.counts[at] }
    }

    /// Takes the first `n` children of its right neighbour. Rare, so one by one.
    fn take_front(&mut self, right: &mut Inner, n: usize) {
        (0..n).for_each(|i| self.insert(self.len(), right.slot(i)));
        right.remove(0..n);
    }

    /// Takes the last `n` children of its left neighbour.
    fn take_back(&mut self, left: &mut Inner, n: usize) {
        (0..n).for_each(|_| {
            left.len -= 1;
            self.insert(0, left.slot(left.len()));
        });
    }
}

/// How many of the entries `before` is true for; those come first.
#[inline]
fn partition(scores: &[f64], handles: &[u32], before: &mut impl FnMut(Entry) -> bool) -> usize {
    let (mut low, mut high) = (0, scores.len().min(handles.len()));
    while low < high {
        let middle = (low + high) / 2;
        if before(Entry { score: scores[middle], handle: handles[middle] }) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The order of entries.
#[inline]
pub fn compare<'m>(a: Entry, b: Entry, member: &impl Fn(u32) -> &'m [u8]) -> Ordering {
    match a.score.partial_cmp(&b.score) {
        Some(Ordering::Equal) if a.handle == b.handle => Ordering::Equal,
        Some(Ordering::Equal) | None => member(a.handle).cmp(member(b.handle)),
        Some(order) => order,
    }
}

impl Default for Ranked {
    fn default() -> Self {
        Self::new()
    }
}

impl Ranked {
    pub const fn new() -> Ranked {
        Ranked { leaves: Arena::new(), inners: Arena::new(), root: NONE, height: 0, len: 0 }
    }

    /// Builds a tree at once. The entries come in order.
    pub fn from_sorted(entries: impl IntoIterator<Item = Entry>) -> Ranked {
        let mut tree = Ranked::new();
        let mut slots: Vec<Slot> = Vec::new();
        let mut leaf = Leaf::new();
        for entry in entries {
            if leaf.len() == LEAF_BUILT {
                slots.push(tree.built(std::mem::replace(&mut leaf, Leaf::new())));
            }
            let at = leaf.len();
            (leaf.scores[at], leaf.handles[at]) = (entry.score, entry.handle);
            leaf.len += 1;
        }
        if leaf.len > 0 {
            slots.push(tree.built(leaf));
        }
        while slots.len() > 1 {
            tree.height += 1;
            slots = slots
                .chunks(INNER_BUILT)
                .map(|children| {
                    let mut inner = Inner::new();
                    children.iter().for_each(|&slot| inner.insert(inner.len(), slot));
                    let (first, count) = (inner.first(), inner.count());
                    Slot { first, child: tree.inners.push(inner), count }
                })
                .collect();
        }
        if let [root] = slots[..] {
            tree.root = root.child;
        }
        tree
    }

    /// Appends a leaf behind the last one, not yet known to any inner node.
    fn built(&mut self, mut leaf: Leaf) -> Slot {
        let child = self.leaves.len() as u32;
        if child > 0 {
            leaf.prev = child - 1;
            self.leaves.get_mut(child - 1).next = child;
        }
        let slot = Slot { first: leaf.entry(0), child, count: leaf.len };
        self.len += leaf.len();
        self.leaves.push(leaf);
        slot
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory held, in O(1).
    pub fn bytes(&self) -> usize {
        self.leaves.bytes() + self.inners.bytes()
    }

    /// The way to where `before` becomes false: the last leaf that has an entry for which it is true, or the first leaf.
    ///
    /// Panics: when there are no entries.
    #[inline]
    fn descend(&self, before: &mut impl FnMut(Entry) -> bool) -> Path {
        let mut path = Path { steps: Default::default(), leaf: self.root, pos: 0 };
        for step in &mut path.steps[..self.height] {
            let inner = self.inners.get(path.leaf);
            // Where all the firsts are behind, the place is in the first child all the same.
            let at = partition(&inner.scores[1..inner.len()], &inner.handles[1..inner.len()], before);
            *step = Step { inner: path.leaf, at: at as u32 };
            path.leaf = inner.children[at];
        }
        let leaf = self.leaves.get(path.leaf);
        path.pos = partition(&leaf.scores[..leaf.len()], &leaf.handles[..leaf.len()], before);
        path
    }

    /// The way to the entry of a rank, which must exist.
    fn descend_to(&self, rank: usize) -> Path {
        let mut path = Path { steps: Default::default(), leaf: self.root, pos: rank };
        for step in &mut path.steps[..self.height] {
            let inner = self.inners.get(path.leaf);
            let mut at = 0;
            while path.pos >= inner.counts[at] as usize {
                path.pos -= inner.counts[at] as usize;
                at += 1;
            }
            *step = Step { inner: path.leaf, at: at as u32 };
            path.leaf = inner.children[at];
        }
        path
    }

    /// How many entries `before` is true for. It is true for all entries up to some place and false for those behind it.
    #[inline]
    pub fn partition(&self, mut before: impl FnMut(Entry) -> bool) -> usize {
        if self.is_empty() {
            return 0;
        }
        let path = self.descend(&mut before);
        let below = |step: &Step| self.inners.get(step.inner).counts[..step.at as usize].iter().sum::<u32>() as usize;
        path.steps[..self.height].iter().map(below).sum::<usize>() + path.pos
    }

    /// How many entries come before this one, which need not be there.
    #[inline]
    pub fn rank<'m>(&self, entry: Entry, member: impl Fn(u32) -> &'m [u8]) -> usize {
        self.partition(|other| compare(other, entry, &member).is_lt())
    }

    /// The entry of a rank.
    pub fn nth(&self, rank: usize) -> Option<Entry> {
        (rank < self.len).then(|| {
            let path = self.descend_to(rank);
            self.leaves.get(path.leaf).entry(path.pos)
        })
    }

    /// The entries of the ranks `range`, ascending. It is cut to what there is.
    pub fn iter(&self, range: Range<usize>) -> Iter<'_> {
        self.walk(range, false)
    }

    /// The entries of the ranks `range`, descending. It is cut to what there is.
    pub fn iter_back(&self, range: Range<usize>) -> Iter<'_> {
        self.walk(range, true)
    }

    fn walk(&self, range: Range<usize>, back: bool) -> Iter<'_> {
        let end = range.end.min(self.len);
        let left = end.saturating_sub(range.start);
        let (mut leaf, mut pos) = (NONE, 0);
        if left > 0 {
            let path = self.descend_to(if back { end - 1 } else { range.start });
            (leaf, pos) = (path.leaf, path.pos);
        }
        Iter { leaves: &self.leaves, leaf, pos, left, back }
    }

    /// Adds an entry that is not there yet.
    pub fn insert<'m>(&mut self, entry: Entry, member: impl Fn(u32) -> &'m [u8]) {
        self.len += 1;
        if self.root == NONE {
            let mut leaf = Leaf::new();
            leaf.insert(0, entry);
            self.root = self.leaves.push(leaf);
            return;
        }
        let path = self.descend(&mut |other| compare(other, entry, &member).is_lt());
        for step in &path.steps[..self.height] {
            let inner = self.inners.get_mut(step.inner);
            inner.counts[step.at as usize] += 1;
            if path.pos == 0 {
                // Only before all others an entry comes first in its leaf.
                inner.set_first_of(0, entry);
            }
        }
        let leaf = self.leaves.get_mut(path.leaf);
        if leaf.len() < LEAF {
            leaf.insert(path.pos, entry);
        } else if !self.give_to_neighbour(&path, entry) {
            self.split_leaf(&path, entry);
        }
    }

    /// Inserts into a full leaf by moving entries to a neighbour that has room. Says whether there was one.
    fn give_to_neighbour(&mut self, path: &Path, entry: Entry) -> bool {
        let Some(&Step { inner, at }) = path.steps[..self.height].last() else { return false };
        let (at, pos) = (at as usize, path.pos);
        let parent = self.inners.get(inner);
        let room = |at: usize| LEAF - parent.counts[at] as usize;
        if at > 0 && room(at - 1) >= ROOM_MIN {
            let n = room(at - 1).div_ceil(2);
            let (left, full) = self.leaves.pair_mut(parent.children[at - 1], path.leaf);
            left.take_front(full, n);
            if pos < n {
                left.insert(left.len() - n + pos, entry);
            } else {
                full.insert(pos - n, entry);
            }
            self.refresh_leaf(inner, at - 1);
        } else if at + 1 < parent.len() && room(at + 1) >= ROOM_MIN {
            let n = room(at + 1).div_ceil(2);
            let (right, full) = self.leaves.pair_mut(parent.children[at + 1], path.leaf);
            right.take_back(full, n);
            if pos > full.len() {
                right.insert(pos - full.len(), entry);
            } else {
                full.insert(pos, entry);
            }
            self.refresh_leaf(inner, at + 1);
        } else {
            return false;
        }
        self.refresh_leaf(inner, at);
        true
    }

    fn split_leaf(&mut self, path: &Path, entry: Entry) {
        let pos = path.pos;
        let new = self.leaves.len() as u32;
        let left = self.leaves.get_mut(path.leaf);
        let mut right = Leaf { prev: path.leaf, next: left.next, ..Leaf::new() };
        let keep = match pos {
            LEAF if left.next == NONE => LEAF,
            0 if left.prev == NONE => 0,
            _ => LEAF / 2,
        };
        right.take_back(left, LEAF - keep);
        if pos < keep || keep == 0 || (pos == keep && keep < LEAF) {
            left.insert(pos, entry);
        } else {
            right.insert(pos - keep, entry);
        }
        left.next = new;
        if right.next != NONE {
            self.leaves.get_mut(right.next).prev = new;
        }
        let slot = Slot { first: right.entry(0), child: new, count: right.len };
        self.leaves.push(right);
        if let Some(step) = path.steps[..self.height].last() {
            self.refresh_leaf(step.inner, step.at as usize);
        }
        self.add_child(path, self.height, slot);
    }

    /// Adds a node of level `level` (0: the root's; `height`: leaves) behind the one on the path.
    fn add_child(&mut self, path: &Path, level: usize, slot: Slot) {
        if level == 0 {
            let mut root = Inner::new();
            root.insert(0, self.slot_of(self.root, self.height));
            root.insert(1, slot);
            self.root = self.inners.push(root);
            self.height += 1;
            assert!(self.height <= HEIGHT_MAX, "more levels than 2^32 entries need");
            return;
        }
        let Step { inner, at } = path.steps[level - 1];
        let at = at as usize + 1;
        let left = self.inners.get_mut(inner);
        if left.len() < INNER {
            left.insert(at, slot);
            return;
        }
        let keep = if at == INNER { INNER } else { INNER / 2 };
        let mut right = Inner::new();
        right.take_back(left, INNER - keep);
        if at <= keep && keep < INNER {
            left.insert(at, slot);
        } else {
            right.insert(at - keep, slot);
        }
        let slot = Slot { first: right.first(), child: self.inners.len() as u32, count: right.count() };
        self.inners.push(right);
        if level > 1 {
            self.refresh(path, level - 1);
        }
        self.add_child(path, level - 1, slot);
    }

    /// How a parent knows a node that has `height` levels of inner nodes below or at it.
    fn slot_of(&self, child: u32, height: usize) -> Slot {
        if height == 0 {
            let leaf = self.leaves.get(child);
            Slot { first: leaf.entry(0), child, count: leaf.len }
        } else {
            let inner = self.inners.get(child);
            Slot { first: inner.first(), child, count: inner.count() }
        }
    }

    /// Tells a parent anew what it knows of one of its leaves.
    fn refresh_leaf(&mut self, inner: u32, at: usize) {
        self.refresh_child(inner, at, 0);
    }

    /// The same for the node of level `level` on the path.
    fn refresh(&mut self, path: &Path, level: usize) {
        let step = path.steps[level - 1];
        self.refresh_child(step.inner, step.at as usize, self.height - level);
    }

    fn refresh_child(&mut self, inner: u32, at: usize, height: usize) {
        let slot = self.slot_of(self.inners.get(inner).children[at], height);
        let parent = self.inners.get_mut(inner);
        parent.set_first_of(at, slot.first);
        parent.counts[at] = slot.count;
    }

    /// Removes an entry.
    ///
    /// Panics: when it is not there.
    pub fn remove<'m>(&mut self, entry: Entry, member: impl Fn(u32) -> &'m [u8]) {
        assert!(!self.is_empty(), "the entry is there");
        let path = self.descend(&mut |other| compare(other, entry, &member).is_le());
        let at = path.pos.checked_sub(1).expect("the entry is there");
        assert_eq!(self.leaves.get(path.leaf).entry(at), entry, "the entry is there");
        self.cut(&path, at..at + 1, &member);
    }

    /// Removes the entries of the ranks `range`, which exist, and shows them to `each`, ascending. They must stay known to
    /// `member` until this returns.
    pub fn remove_range<'m>(
        &mut self,
        range: Range<usize>,
        member: impl Fn(u32) -> &'m [u8],
        mut each: impl FnMut(Entry),
    ) {
        let mut left = range.len();
        while left > 0 {
            let path = self.descend_to(range.start);
            let leaf = self.leaves.get(path.leaf);
            let end = leaf.len().min(path.pos + left);
            (path.pos..end).for_each(|at| each(leaf.entry(at)));
            left -= end - path.pos;
            self.cut(&path, path.pos..end, &member);
        }
    }

    /// Removes a part of a leaf and puts the tree in order again.
    fn cut<'m>(&mut self, path: &Path, part: Range<usize>, member: &impl Fn(u32) -> &'m [u8]) {
        let n = part.len();
        self.len -= n;
        if self.len == 0 {
            *self = Ranked::new();
            return;
        }
        self.leaves.get_mut(path.leaf).remove(part);
        for step in &path.steps[..self.height] {
            self.inners.get_mut(step.inner).counts[step.at as usize] -= n as u32;
        }
        let mut freed_leaf = None;
        // At most one node of each level, and the old roots.
        let mut freed_inners: Vec<u32> = Vec::new();
        for level in (1..=self.height).rev() {
            let freed = self.mend(path, level);
            if level == self.height {
                freed_leaf = freed;
            } else {
                freed_inners.extend(freed);
            }
        }
        while self.height > 0 && self.inners.get(self.root).len == 1 {
            freed_inners.push(self.root);
            self.root = self.inners.get(self.root).children[0];
            self.height -= 1;
        }
        if let Some(leaf) = freed_leaf {
            self.free_leaf(leaf, member);
        }
        // The highest first, so that the node that moves is never one that is to be freed as well.
        freed_inners.sort_unstable_by(|a, b| b.cmp(a));
        freed_inners.into_iter().for_each(|inner| self.free_inner(inner, member));
    }

    /// Puts the node of level `level` on the path in order after something below it was removed: takes it out if it is
    /// empty, merges or levels it with a neighbour if it has little. Returns the node that is no longer in the tree.
    fn mend(&mut self, path: &Path, level: usize) -> Option<u32> {
        let Step { inner, at } = path.steps[level - 1];
        let (at, height) = (at as usize, self.height - level);
        let parent = self.inners.get(inner);
        let siblings = parent.len();
        let node = parent.children[at];
        let len = |id: u32| if height == 0 { self.leaves.get(id).len() } else { self.inners.get(id).len() };
        let capacity = if height == 0 { LEAF } else { INNER };
        if len(node) == 0 {
            self.inners.get_mut(inner).remove(at..at + 1);
            if height == 0 {
                self.unlink(node);
            }
            return Some(node);
        }
        if len(node) >= capacity / 3 || siblings == 1 {
            let first = self.slot_of(node, height).first;
            self.inners.get_mut(inner).set_first_of(at, first);
            return None;
        }
        let left_at = if at > 0 { at - 1 } else { at };
        let (left, right) = (parent.children[left_at], parent.children[left_at + 1]);
        let (left_len, right_len) = (len(left), len(right));
        let merge = left_len + right_len <= capacity;
        // How many go from right to left, or the other way.
        let (to_left, to_right) = if merge {
            (right_len, 0)
        } else {
            let half = (left_len + right_len) / 2;
            (half.saturating_sub(left_len), left_len.saturating_sub(half))
        };
        if height == 0 {
            let (left, right) = self.leaves.pair_mut(left, right);
            if to_left > 0 {
                left.take_front(right, to_left);
            } else {
                right.take_back(left, to_right);
            }
        } else {
            let (left, right) = self.inners.pair_mut(left, right);
            if to_left > 0 {
                left.take_front(right, to_left);
            } else {
                right.take_back(left, to_right);
            }
        }
        self.refresh_child(inner, left_at, height);
        if !merge {
            self.refresh_child(inner, left_at + 1, height);
            return None;
        }
        self.inners.get_mut(inner).remove(left_at + 1..left_at + 2);
        if height == 0 {
            self.unlink(right);
        }
        Some(right)
    }

    /// Takes a leaf out of the line of leaves.
    fn unlink(&mut self, leaf: u32) {
        let Leaf { prev, next, .. } = *self.leaves.get(leaf);
        if prev != NONE {
            self.leaves.get_mut(prev).next = next;
        }
        if next != NONE {
            self.leaves.get_mut(next).prev = prev;
        }
    }

    /// Frees a leaf that nothing points to any more.
    fn free_leaf<'m>(&mut self, id: u32, member: &impl Fn(u32) -> &'m [u8]) {
        let moved = self.leaves.swap_remove(id);
        if moved == id {
            return;
        }
        let leaf = self.leaves.get(id);
        let (prev, next, first) = (leaf.prev, leaf.next, leaf.entry(0));
        if prev != NONE {
            self.leaves.get_mut(prev).next = id;
        }
        if next != NONE {
            self.leaves.get_mut(next).prev = id;
        }
        if self.height == 0 {
            self.root = id;
            return;
        }
        let mut inner = self.root;
        for _ in 1..self.height {
            inner = self.inners.get(inner).child_towards(first, member).1;
        }
        let parent = self.inners.get_mut(inner);
        let at = parent.child_towards(first, member).0;
        debug_assert_eq!(parent.children[at], moved, "the way to the first entry of a leaf leads to the leaf");
        parent.children[at] = id;
    }

    /// Frees an inner node that nothing points to any more.
    fn free_inner<'m>(&mut self, id: u32, member: &impl Fn(u32) -> &'m [u8]) {
        let moved = self.inners.swap_remove(id);
        if moved == id {
            return;
        }
        if self.root == moved {
            self.root = id;
            return;
        }
        let first = self.inners.get(id).first();
        let mut inner = self.root;
        for _ in 1..self.height {
            let (at, child) = self.inners.get(inner).child_towards(first, member);
            if child == moved {
                self.inners.get_mut(inner).children[at] = id;
                return;
            }
            inner = child;
        }
        unreachable!("the way to the first entry below a node leads over the node");
    }
}

/// A walk over entries by rank.
#[derive(Clone)]
pub struct Iter<'a> {
    leaves: &'a Arena<Leaf>,
    leaf: u32,
    pos: usize,
    left: usize,
    back: bool,
}

impl Iterator for Iter<'_> {
    type Item = Entry;

    #[inline]
    fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        let leaf = self.leaves.get(self.leaf);
        let entry = leaf.entry(self.pos);
        if self.back {
            if self.pos > 0 {
                self.pos -= 1;
            } else if self.left > 0 {
                self.leaf = leaf.prev;
                self.pos = self.leaves.get(leaf.prev).len() - 1;
            }
        } else {
            self.pos += 1;
            if self.pos == leaf.len() {
                (self.leaf, self.pos) = (leaf.next, 0);
            }
        }
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests;
