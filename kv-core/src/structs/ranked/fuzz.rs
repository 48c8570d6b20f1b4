//! Random calls to a tree, compared with a sorted list.

use super::*;
use crate::structs::random::Random;

/// Plays a random sequence of calls against a sorted list, and checks what the tree promises about its nodes.
///
/// Panics: with the seed in the message, when they disagree.
pub fn fuzz_ranked(seed: u64) {
    let mut model = Model::new(seed);
    let steps = if cfg!(miri) { 200 } else { 3_000 };
    for step in 0..steps {
        model.step();
        if step % 200 == 0 {
            model.check();
        }
    }
    model.check();
    model.drain();
}

struct Model {
    seed: u64,
    random: Random,
    /// Scores that are drawn from: few of them for many ties.
    scores: u64,
    /// A member's handle is its index.
    members: Vec<Vec<u8>>,
    tree: Ranked,
    sorted: Vec<Entry>,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random::new(seed);
        let scores = [1, 3, 100, 1 << 40][random.index(4)];
        // Lengths differ so that members are prefixes of each other.
        let members = (0..20_000u32)
            .map(|i| {
                let mut member = format!("{:x}", i.reverse_bits() >> 12).into_bytes();
                member.extend_from_slice(&i.to_be_bytes());
                member
            })
            .collect();
        let mut model = Model { seed, random, scores, members, tree: Ranked::new(), sorted: Vec::new() };
        if model.random.one_in(2) {
            model.build();
        }
        model
    }

    fn entry(&mut self) -> Entry {
        let score = self.random.below(self.scores) as f64 - 1.0;
        let score = if score == 0.0 && self.random.one_in(2) { -0.0 } else { score };
        Entry { score, handle: self.random.index(self.members.len()) as u32 }
    }

    /// Where the entry is in the list, or would be.
    fn find(&self, entry: Entry) -> Result<usize, usize> {
        let member = |handle: u32| self.members[handle as usize].as_slice();
        self.sorted.binary_search_by(|other| compare(*other, entry, &member))
    }

    fn build(&mut self) {
        let n = self.random.index(6_000);
        let mut entries: Vec<Entry> = (0..n).map(|_| self.entry()).collect();
        let members = &self.members;
        let member = |handle: u32| members[handle as usize].as_slice();
        entries.sort_by(|a, b| compare(*a, *b, &member));
        entries.dedup_by(|a, b| compare(*a, *b, &member).is_eq());
        self.tree = Ranked::from_sorted(entries.iter().copied());
        self.sorted = entries;
    }

    fn insert(&mut self, entry: Entry) {
        let Err(at) = self.find(entry) else { return };
        let members = &self.members;
        self.tree.insert(entry, |handle| &members[handle as usize]);
        self.sorted.insert(at, entry);
    }

    fn remove(&mut self, at: usize) {
        let entry = self.sorted.remove(at);
        let members = &self.members;
        self.tree.remove(entry, |handle| &members[handle as usize]);
    }

    fn remove_range(&mut self, range: Range<usize>) {
        let (members, mut gone) = (&self.members, Vec::new());
        self.tree.remove_range(range.clone(), |handle| &members[handle as usize], |entry| gone.push(entry));
        let expected: Vec<Entry> = self.sorted.drain(range).collect();
        assert_eq!(gone, expected, "seed {}", self.seed);
    }

    fn range(&mut self, len_max: usize) -> Range<usize> {
        let start = self.random.index(self.sorted.len() + 1);
        let len = self.random.index(len_max + 1).min(self.sorted.len() - start);
        start..start + len
    }

    fn step(&mut self) {
        let len = self.sorted.len();
        match self.random.below(20) {
            // Growth by the thousand and shrinking by the thousand, so that all levels come and go.
            0 if self.random.one_in(10) => (0..4_000).for_each(|_| {
                let entry = self.entry();
                self.insert(entry);
            }),
            1 if self.random.one_in(10) && len > 0 => {
                for _ in 0..len.min(3_000) {
                    let at = self.random.index(self.sorted.len());
                    self.remove(at);
                }
            }
            2 if self.random.one_in(20) => {
                let range = self.range(4_000);
                self.remove_range(range);
            }
            // Ascending and descending runs.
            3 if self.random.one_in(10) => {
                let score = 1e15 + self.random.below(1 << 30) as f64;
                (0..1_000).for_each(|i| self.insert(Entry { score: score + f64::from(i), handle: i }));
            }
            4 if self.random.one_in(10) => {
                let score = -1e15 - self.random.below(1 << 30) as f64;
                (0..1_000).for_each(|i| self.insert(Entry { score: score - f64::from(i), handle: i }));
            }
            5 if self.random.one_in(100) => self.build(),
            6 => {
                let range = self.range(70);
                self.remove_range(range);
            }
            7 | 8 if len > 0 => {
                let at = self.random.index(len);
                self.remove(at);
            }
            9 => self.look(),
            _ => {
                let entry = self.entry();
                self.insert(entry);
            }
        }
        assert_eq!((self.tree.len(), self.tree.is_empty()), (self.sorted.len(), self.sorted.is_empty()));
    }

    /// Ranks, bounds, walks.
    fn look(&mut self) {
        let (seed, entry, range) = (self.seed, self.entry(), self.range(300));
        let rank = self.find(entry).unwrap_or_else(|at| at);
        let member = |handle: u32| self.members[handle as usize].as_slice();
        assert_eq!(self.tree.rank(entry, member), rank, "seed {seed}");
        let below = self.sorted.partition_point(|other| other.score < entry.score);
        assert_eq!(self.tree.partition(|other| other.score < entry.score), below, "seed {seed}");
        let upto = self.sorted.partition_point(|other| other.score <= entry.score);
        assert_eq!(self.tree.partition(|other| other.score <= entry.score), upto, "seed {seed}");
        assert_eq!(self.tree.nth(rank), self.sorted.get(rank).copied(), "seed {seed}");
        assert!(self.tree.iter(range.clone()).eq(self.sorted[range.clone()].iter().copied()), "seed {seed}");
        assert!(self.tree.iter_back(range.clone()).eq(self.sorted[range].iter().rev().copied()), "seed {seed}");
    }

    fn check(&mut self) {
        self.tree.check();
        assert!(self.tree.iter(0..usize::MAX).eq(self.sorted.iter().copied()), "seed {}", self.seed);
        self.look();
    }

    /// Everything goes again, and all memory with it.
    fn drain(&mut self) {
        while !self.sorted.is_empty() {
            let (len, n) = (self.sorted.len(), 1 + self.random.index(50));
            match self.random.below(3) {
                0 => self.remove_range(0..n.min(len)),
                1 => self.remove_range(len - n.min(len)..len),
                _ => {
                    let at = self.random.index(len);
                    self.remove(at);
                }
            }
            if self.random.one_in(20) {
                self.tree.check();
            }
        }
        assert_eq!(self.tree.bytes(), 0, "seed {}", self.seed);
    }
}

impl Ranked {
    /// Compares all that the tree knows about itself.
    pub(super) fn check(&self) {
        let mut leaves = Vec::new();
        let mut inners = 0;
        if self.root != NONE {
            let count = self.check_node(self.root, self.height, &mut leaves, &mut inners).count;
            assert_eq!(count as usize, self.len, "the root counts all entries");
            assert!(self.height == 0 || self.inners.get(self.root).len > 1, "a root has more than one child");
        }
        assert_eq!((leaves.len(), inners), (self.leaves.len(), self.inners.len()), "no node is lost");
        for (at, &id) in leaves.iter().enumerate() {
            let leaf = self.leaves.get(id);
            let prev = if at == 0 { NONE } else { leaves[at - 1] };
            assert_eq!((leaf.prev, leaf.next), (prev, leaves.get(at + 1).copied().unwrap_or(NONE)));
        }
    }

    fn check_node(&self, id: u32, height: usize, leaves: &mut Vec<u32>, inners: &mut usize) -> Slot {
        let slot = self.slot_of(id, height);
        assert!(slot.count > 0, "no node is empty");
        if height == 0 {
            leaves.push(id);
            return slot;
        }
        *inners += 1;
        let inner = self.inners.get(id);
        for at in 0..inner.len() {
            let child = self.check_node(inner.children[at], height - 1, leaves, inners);
            assert_eq!((inner.slot(at).first, inner.counts[at]), (child.first, child.count), "what a parent knows");
        }
        slot
    }
}
