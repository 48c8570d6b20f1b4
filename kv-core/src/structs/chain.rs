//! A long sequence of byte strings: a chain of nodes, each of which holds many items side by side.
//!
//! ```text
//! nodes   [node][node][node] ... [node]     a ring, so that both ends are open
//!            |                             what lies in a node: `chain::node`
//!            item item item ...            some KiB, how many is said by a `NodeLimit`
//! ```
//!
//! Pushing and popping at either end is O(1) and moves no item, but now and then those of one node. A place in the middle
//! is found over the nodes' counts, from the nearer end, then within its node. Inserting there splits a node that is full,
//! and neighbours that became small enough are joined again. An item that is larger than a node may be is alone in one.
//!
//! Invariants: no node is empty; a node is within the limit of the call that filled it, or has one item; `len`, `used` and
//! `held` are the sums of the nodes' counts, bytes of items, and blocks. Only the two nodes at the ends have much free
//! room: when another is put before one, it is cut to size.
//!
//! Which limit to use is the caller's matter at each call; a chain whose limit changes stays as it is.

mod fuzz;
mod node;

pub use fuzz::fuzz_chain;
pub use node::space_of;

use super::packed::{Encoded, Item};
use node::Node;
use std::collections::VecDeque;
use std::fmt;

/// How much a node may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimit {
    /// Bytes of the items as they lie in it, with their lengths.
    pub bytes: usize,
    pub items: usize,
}

impl NodeLimit {
    #[inline]
    fn admits(self, node: &Node, more_bytes: usize, more_items: usize) -> bool {
        node.used() + more_bytes <= self.bytes && node.count() + more_items <= self.items
    }

    /// The block of a new node beside one that is full. Where the items are what is counted, its bytes tell how many are
    /// to be expected.
    fn capacity_beside(self, neighbour: Option<&Node>, space: usize) -> usize {
        match neighbour {
            Some(_) if self.items == usize::MAX => self.bytes.max(space),
            Some(node) => node.used().min(self.bytes).max(space),
            None => space,
        }
    }
}

/// A part of an inner node so large may be free.
const FREE_SHARE_INNER: usize = 16;

#[derive(Clone, Default)]
pub struct Chain {
    nodes: VecDeque<Node>,
    len: usize,
    used: usize,
    held: usize,
}

impl Chain {
    pub fn new() -> Chain {
        Chain::default()
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the items as they lie in nodes, with their lengths.
    #[inline]
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes of memory held, apart from the chain itself.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.held + self.nodes.capacity() * size_of::<Node>()
    }

    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The first item.
    #[inline]
    pub fn front(&self) -> Option<Item<'_>> {
        self.nodes.front().map(|node| node::read(node.bytes(), node.start()).0)
    }

    /// The last item.
    #[inline]
    pub fn back(&self) -> Option<Item<'_>> {
        self.nodes.back().map(|node| node::read(node.bytes(), node::previous(node.bytes(), node.end())).0)
    }

    #[inline]
    pub fn push_back(&mut self, item: &Encoded<'_>, limit: NodeLimit) {
        let space = space_of(item);
        self.len += 1;
        self.used += space;
        if let Some(node) = self.nodes.back_mut()
            && limit.admits(node, space, 1)
        {
            let before = node.capacity();
            let pushed = node.push_back(item, limit.bytes);
            self.held += node.capacity() - before;
            if pushed {
                return;
            }
        }
        let mut node = Node::for_tail(limit.capacity_beside(self.nodes.back(), space));
        node.push_back(item, limit.bytes);
        self.fit(self.nodes.len().wrapping_sub(1));
        self.held += node.capacity();
        self.nodes.push_back(node);
    }

    #[inline]
    pub fn push_front(&mut self, item: &Encoded<'_>, limit: NodeLimit) {
        let space = space_of(item);
        self.len += 1;
        self.used += space;
        if let Some(node) = self.nodes.front_mut()
            && limit.admits(node, space, 1)
        {
            let before = node.capacity();
            let pushed = node.push_front(item, limit.bytes);
            self.held += node.capacity() - before;
            if pushed {
                return;
            }
        }
        let mut node = Node::for_head(limit.capacity_beside(self.nodes.front(), space));
        node.push_front(item, limit.bytes);
        self.fit(0);
        self.held += node.capacity();
        self.nodes.push_front(node);
    }

    /// Removes the first `count` items, or all there are. Cost: O(1) a node, and for the items of one.
    #[inline]
    pub fn remove_front(&mut self, mut count: usize) {
        while count > 0
            && let Some(node) = self.nodes.front_mut()
        {
            if count < node.count() {
                let before = node.used();
                node.remove_front(count);
                self.used -= before - node.used();
                self.len -= count;
                return;
            }
            count -= node.count();
            self.drop_node(0);
        }
    }

    /// As `remove_front`, at the other end.
    #[inline]
    pub fn remove_back(&mut self, mut count: usize) {
        while count > 0
            && let Some(node) = self.nodes.back_mut()
        {
            if count < node.count() {
                let before = node.used();
                node.remove_back(count);
                self.used -= before - node.used();
                self.len -= count;
                return;
            }
            count -= node.count();
            self.drop_node(self.nodes.len() - 1);
        }
    }

    /// Item `index`, counted from 0. Cost: O(nodes) to the nearer end, and O(items of a node).
    pub fn get(&self, index: usize) -> Option<Item<'_>> {
        let (node, within) = self.place(index)?;
        let node = &self.nodes[node];
        Some(node::read(node.bytes(), node.offset(within)).0)
    }

    /// Puts another item in the place of item `index`. False: there is none.
    pub fn set(&mut self, index: usize, item: &Encoded<'_>, limit: NodeLimit) -> bool {
        let Some((at, within)) = self.place(index) else { return false };
        let node = &mut self.nodes[at];
        if node.overwrite(node.offset(within), item) {
            return true;
        }
        if node.count() > 1 {
            self.remove_in(at, within);
            self.insert_in(at, within, item, limit);
        } else {
            (self.len, self.used, self.held) = (self.len - 1, self.used - node.used(), self.held - node.capacity());
            *node = Node::default();
            self.insert_at(at, 0, item, limit);
        }
        true
    }

    /// Puts an item in front of item `index`, or at the end when that is `len`.
    ///
    /// Panics: when `index` is beyond. Cost: as `get`.
    pub fn insert(&mut self, index: usize, item: &Encoded<'_>, limit: NodeLimit) {
        assert!(index <= self.len, "item {index} of {}", self.len);
        match self.place(index) {
            Some((0, 0)) => self.push_front(item, limit),
            Some((node, within)) => self.insert_in(node, within, item, limit),
            None => self.push_back(item, limit),
        }
    }

    /// Removes items that are this one: at most `most` of them, the first of the chain, or the last ones. Tells how many.
    pub fn remove_equal(&mut self, wanted: &Encoded<'_>, most: usize, last_ones: bool, limit: NodeLimit) -> usize {
        let space = space_of(wanted);
        let nodes = self.nodes.len();
        let mut left = most;
        for nth in 0..nodes {
            if left == 0 {
                break;
            }
            let node = &mut self.nodes[if last_ones { nodes - 1 - nth } else { nth }];
            let found = node.count_of(wanted);
            let gone = found.min(left);
            if gone > 0 {
                let before = node.capacity();
                node.remove_equal(wanted, if last_ones { found - gone } else { 0 }, gone);
                node.fit(2);
                self.held -= before - node.capacity();
                left -= gone;
            }
        }
        let removed = most - left;
        self.len -= removed;
        self.used -= removed * space;
        if removed > 0 {
            self.tidy(limit);
        }
        removed
    }

    /// The items from `index` on.
    pub fn iter_from(&self, index: usize) -> Iter<'_> {
        let mut iter = Iter { nodes: &self.nodes, node: self.nodes.len(), bytes: &[], at: 0, left: 0 };
        if let Some((node, within)) = self.place(index) {
            iter.bytes = self.nodes[node].bytes();
            iter.at = self.nodes[node].offset(within);
            iter.node = node + 1;
            iter.left = self.len - index;
        }
        iter
    }

    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The items from `index` on, back to the first.
    pub fn iter_back_from(&self, index: usize) -> IterBack<'_> {
        let mut iter = IterBack { nodes: &self.nodes, node: 0, bytes: &[], start: 0, at: 0, left: 0 };
        if let Some((node, within)) = self.place(index) {
            iter.bytes = self.nodes[node].bytes();
            iter.start = self.nodes[node].start();
            iter.at = self.nodes[node].offset(within + 1);
            iter.node = node;
            iter.left = index + 1;
        }
        iter
    }

    /// A chain of the items that there are now, which stay as they are. Cost: O(nodes); from then on each node is copied
    /// before it is written to, once, unless nobody reads it any more.
    pub fn freeze(&mut self) -> Chain {
        let Chain { len, used, held, .. } = *self;
        Chain { nodes: self.nodes.iter_mut().map(Node::frozen).collect(), len, used, held }
    }

    /// The node of an item, and its index there.
    fn place(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut within = index;
            for (at, node) in self.nodes.iter().enumerate() {
                if within < node.count() {
                    return Some((at, within));
                }
                within -= node.count();
            }
        } else {
            let mut behind = self.len - index;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                if behind <= node.count() {
                    return Some((at, node.count() - behind));
                }
                behind -= node.count();
            }
        }
        unreachable!("len is the sum of the nodes' counts")
    }

    fn insert_in(&mut self, at: usize, within: usize, item: &Encoded<'_>, limit: NodeLimit) {
        let space = space_of(item);
        if limit.admits(&self.nodes[at], space, 1) {
            return self.insert_at(at, within, item, limit);
        }
        if within == 0 && at > 0 && limit.admits(&self.nodes[at - 1], space, 1) {
            return self.insert_at(at - 1, self.nodes[at - 1].count(), item, limit);
        }
        let count = self.nodes[at].count();
        if within == count && at + 1 < self.nodes.len() && limit.admits(&self.nodes[at + 1], space, 1) {
            return self.insert_at(at + 1, 0, item, limit);
        }
        // The index of the node that will be behind the new item.
        let behind = match within {
            0 => at,
            _ if within == count => at + 1,
            _ => {
                self.split(at, within);
                at + 1
            }
        };
        if behind > at && limit.admits(&self.nodes[at], space, 1) {
            self.insert_at(at, self.nodes[at].count(), item, limit);
        } else if behind < self.nodes.len() && limit.admits(&self.nodes[behind], space, 1) {
            self.insert_at(behind, 0, item, limit);
        } else {
            self.nodes.insert(behind, Node::default());
            self.insert_at(behind, 0, item, limit);
        }
        if within > 0 && within < count {
            // From the far end, so that the indices in front stay.
            self.join(at + 1, limit);
            if at > 0 {
                self.join(at - 1, limit);
            }
        }
    }

    fn insert_at(&mut self, at: usize, within: usize, item: &Encoded<'_>, limit: NodeLimit) {
        let node = &mut self.nodes[at];
        let before = node.capacity();
        node.insert(node.offset(within), item, limit.bytes);
        self.held = self.held - before + node.capacity();
        self.len += 1;
        self.used += space_of(item);
    }

    /// Removes an item of a node that has others.
    fn remove_in(&mut self, at: usize, within: usize) {
        let node = &mut self.nodes[at];
        let from = node.offset(within);
        let to = node::next(node.bytes(), from);
        node.remove(from, to);
        self.len -= 1;
        self.used -= to - from;
    }

    /// Makes two nodes of one: the first `within` items, and the others.
    fn split(&mut self, at: usize, within: usize) {
        let node = &mut self.nodes[at];
        let before = node.capacity();
        let behind = node.split_off(node.offset(within), node.count() - within);
        node.fit(FREE_SHARE_INNER);
        self.held = self.held - before + node.capacity() + behind.capacity();
        self.nodes.insert(at + 1, behind);
    }

    /// Makes one node of this one and the next, if there is a next one and the limit allows it.
    fn join(&mut self, at: usize, limit: NodeLimit) {
        let (Some(node), Some(next)) = (self.nodes.get(at), self.nodes.get(at + 1)) else { return };
        if limit.admits(node, next.used(), next.count()) {
            let next = self.nodes.remove(at + 1).expect("it was just there");
            let node = &mut self.nodes[at];
            self.held -= node.capacity() + next.capacity();
            node.append(&next);
            self.held += node.capacity();
        }
    }

    /// Cuts a node to size that will be an inner one; `at` may be none.
    fn fit(&mut self, at: usize) {
        if let Some(node) = self.nodes.get_mut(at) {
            let before = node.capacity();
            node.fit(FREE_SHARE_INNER);
            self.held -= before - node.capacity();
        }
    }

    /// After removals all over: no node is empty, and nodes that have lost most of their items are joined.
    fn tidy(&mut self, limit: NodeLimit) {
        let sparse = self.used < self.nodes.len().saturating_sub(1) * limit.bytes / 4;
        if !sparse && self.nodes.iter().all(|node| node.count() > 0) {
            return;
        }
        let mut kept: VecDeque<Node> = VecDeque::new();
        for node in std::mem::take(&mut self.nodes) {
            match kept.back_mut() {
                _ if node.count() == 0 => self.held -= node.capacity(),
                Some(last) if sparse && limit.admits(last, node.used(), node.count()) => {
                    self.held -= last.capacity() + node.capacity();
                    last.append(&node);
                    self.held += last.capacity();
                }
                _ => kept.push_back(node),
            }
        }
        kept.shrink_to_fit();
        self.nodes = kept;
    }

    #[inline(never)]
    fn drop_node(&mut self, at: usize) {
        let node = self.nodes.remove(at).expect("a node");
        self.len -= node.count();
        self.used -= node.used();
        self.held -= node.capacity();
        if self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(2 * self.nodes.len());
        }
    }
}

impl PartialEq for Chain {
    /// Whether the items are the same; how they are spread over nodes does not matter.
    fn eq(&self, other: &Chain) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for Chain {}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Items in order.
#[derive(Clone)]
pub struct Iter<'a> {
    nodes: &'a VecDeque<Node>,
    /// The node that comes next.
    node: usize,
    bytes: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        if self.at == self.bytes.len() {
            let node = &self.nodes[self.node];
            (self.bytes, self.at) = (node.bytes(), node.start());
            self.node += 1;
        }
        let (item, next) = node::read(self.bytes, self.at);
        self.at = next;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Items from one on, back to the first.
#[derive(Clone)]
pub struct IterBack<'a> {
    nodes: &'a VecDeque<Node>,
    /// The node that it is in.
    node: usize,
    bytes: &'a [u8],
    start: usize,
    /// Behind the item that comes next.
    at: usize,
    left: usize,
}

impl<'a> Iterator for IterBack<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        if self.at == self.start {
            self.node -= 1;
            let node = &self.nodes[self.node];
            (self.bytes, self.start, self.at) = (node.bytes(), node.start(), node.end());
        }
        self.at = node::previous(self.bytes, self.at);
        Some(node::read(self.bytes, self.at).0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for IterBack<'_> {}

#[cfg(test)]
mod tests;
