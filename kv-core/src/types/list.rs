//! Lists: sequences that grow and shrink at both ends.
//!
//! A list of a few short elements is packed, a longer one a chain of nodes (`structs::chain`). What OBJECT ENCODING tells
//! does not follow these forms but Redis's: `listpack` as long as all elements are within the limit of one node, then
//! `quicklist`, and `listpack` again once half a node would do. Where the packed form ends is our own matter: where moving
//! its bytes at every push would cost more than a block of nodes takes.
//!
//! Which of the two ends is meant is an argument everywhere (`End`), so that commands of the left and of the right are one.

mod fuzz;

pub use fuzz::fuzz_list;

use super::{Limits, ListNodeLimit};
use crate::structs::chain::{self, Chain, NodeLimit};
use crate::structs::packed::{self, Encoded, Item, Packed, PackedRef};

/// Bytes and elements of the longest packed list.
const PACKED_BYTES: usize = 512;
const PACKED_ITEMS: usize = 128;

/// Also where elements are counted, a node holds no more bytes.
const COUNTED_NODE_BYTES: usize = 8192;

/// Bytes of a listpack besides its elements, which Redis counts, too.
const LISTPACK_FRAME: usize = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The beginning: left.
    Head,
    /// The end: right.
    Tail,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// Up to `PACKED_BYTES`.
    Packed(Packed),
    Chain(Box<Nodes>),
}

/// The elements of a longer list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    chain: Chain,
    /// Whether it has once been more than a node may hold, and not half of that since.
    quick: bool,
}

/// A list that is read where it lies.
#[derive(Clone, Copy, Debug)]
pub enum ListRef<'a> {
    Packed(PackedRef<'a>),
    Chain(&'a Nodes),
}

impl From<ListNodeLimit> for NodeLimit {
    fn from(limit: ListNodeLimit) -> NodeLimit {
        match limit {
            ListNodeLimit::Bytes(bytes) => NodeLimit { bytes, items: usize::MAX },
            ListNodeLimit::Elements(items) => NodeLimit { bytes: COUNTED_NODE_BYTES, items },
        }
    }
}

impl Default for List {
    fn default() -> List {
        List::new()
    }
}

impl List {
    pub const fn new() -> List {
        List::Packed(Packed::new())
    }

    #[inline]
    pub fn as_ref(&self) -> ListRef<'_> {
        match self {
            List::Packed(packed) => ListRef::Packed(packed.as_ref()),
            List::Chain(nodes) => ListRef::Chain(nodes),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    /// Bytes of memory held, apart from the list itself.
    pub fn bytes(&self) -> usize {
        match self {
            List::Packed(packed) => packed.capacity(),
            List::Chain(nodes) => size_of::<Nodes>() + nodes.chain.bytes(),
        }
    }

    /// The list as it is now, whatever becomes of this one. Cost: O(nodes) of a chain, as much as one write to a packed one.
    pub fn freeze(&mut self) -> List {
        match self {
            List::Packed(packed) => List::Packed(packed.clone()),
            List::Chain(nodes) => List::Chain(Box::new(Nodes { chain: nodes.chain.freeze(), quick: nodes.quick })),
        }
    }

    /// Adds an element at an end. Cost: O(1).
    #[inline]
    pub fn push(&mut self, end: End, text: &[u8], limits: &Limits) {
        self.push_encoded(end, &Encoded::of(text), limits);
    }

    /// Adds an element that may already be known to be an integer.
    #[inline]
    pub fn push_item(&mut self, end: End, item: Item<'_>, limits: &Limits) {
        self.push_encoded(end, &Encoded::of_item(item), limits);
    }

    #[inline]
    fn push_encoded(&mut self, end: End, item: &Encoded<'_>, limits: &Limits) {
        match (self.room_for(item, limits), end) {
            (List::Packed(packed), End::Head) => packed.insert_encoded(packed.as_ref().start(), item),
            (List::Packed(packed), End::Tail) => packed.push_encoded(item),
            (List::Chain(nodes), End::Head) => nodes.chain.push_front(item, limits.list_node.into()),
            (List::Chain(nodes), End::Tail) => nodes.chain.push_back(item, limits.list_node.into()),
        }
    }

    /// Removes `count` elements at an end, or all there are. Cost: O(1) an element at most.
    #[inline]
    pub fn remove(&mut self, end: End, count: usize, limits: &Limits) {
        match (&mut *self, end) {
            (List::Packed(packed), end) => {
                let view = packed.as_ref();
                let count = count.min(view.len());
                if count > 0 {
                    let first = if end == End::Head { 0 } else { view.len() - count };
                    packed.remove_at(view.nth(first), count);
                }
                return;
            }
            (List::Chain(nodes), End::Head) => nodes.chain.remove_front(count),
            (List::Chain(nodes), End::Tail) => nodes.chain.remove_back(count),
        }
        self.settle(limits);
    }

    /// Puts an element in front of element `index`, or at the end when that is the length.
    ///
    /// Panics: when `index` is beyond.
    pub fn insert(&mut self, index: usize, text: &[u8], limits: &Limits) {
        let item = &Encoded::of(text);
        match self.room_for(item, limits) {
            List::Packed(packed) => {
                let view = packed.as_ref();
                packed.insert_encoded(if index == view.len() { view.end() } else { view.nth(index) }, item);
            }
            List::Chain(nodes) => nodes.chain.insert(index, item, limits.list_node.into()),
        }
    }

    /// Puts another element in the place of element `index`. False: there is none.
    pub fn set(&mut self, index: usize, text: &[u8], limits: &Limits) -> bool {
        if index >= self.len() {
            return false;
        }
        let item = &Encoded::of(text);
        match self.room_for(item, limits) {
            List::Packed(packed) => packed.replace_encoded(packed.as_ref().nth(index), item),
            List::Chain(nodes) => {
                nodes.chain.set(index, item, limits.list_node.into());
            }
        }
        self.settle(limits);
        true
    }

    /// Removes elements that are this text, `most` of them, those nearest to an end. Tells how many.
    pub fn remove_equal(&mut self, text: &[u8], most: usize, end: End, limits: &Limits) -> usize {
        let item = &Encoded::of(text);
        let removed = match self {
            List::Packed(packed) => {
                let mut places = Vec::new();
                let mut at = packed.as_ref().start();
                while at < packed.bytes().len() {
                    if item.begins(&packed.bytes()[at..]) {
                        places.push(at);
                    }
                    at = packed.as_ref().next(at);
                }
                let removed = places.len().min(most);
                let first = if end == End::Head { 0 } else { places.len() - removed };
                // Backwards: the places in front stay what they are.
                places[first..first + removed].iter().rev().for_each(|&at| packed.remove_at(at, 1));
                removed
            }
            List::Chain(nodes) => nodes.chain.remove_equal(item, most, end == End::Tail, limits.list_node.into()),
        };
        self.settle(limits);
        removed
    }

    /// The list, in the form in which it can take one more element.
    #[inline]
    fn room_for(&mut self, item: &Encoded<'_>, limits: &Limits) -> &mut List {
        match self {
            List::Packed(packed) => {
                let limit = NodeLimit::from(limits.list_node);
                let items = packed.len() + 1;
                let bytes = packed.bytes().len() + item.len();
                if bytes > PACKED_BYTES || items > PACKED_ITEMS.min(limit.items) {
                    self.unpack(limit);
                    return self.room_for(item, limits);
                }
            }
            List::Chain(nodes) if !nodes.quick => {
                let limit = NodeLimit::from(limits.list_node);
                nodes.quick = nodes.chain.len() + 1 > limit.items
                    || nodes.chain.used() + chain::space_of(item) + LISTPACK_FRAME > limit.bytes;
            }
            List::Chain(_) => {}
        }
        self
    }

    #[cold]
    fn unpack(&mut self, limit: NodeLimit) {
        if let List::Packed(packed) = self {
            let mut chain = Chain::new();
            packed.iter().for_each(|item| chain.push_back(&Encoded::from(item), limit));
            *self = List::Chain(Box::new(Nodes { chain, quick: false }));
        }
    }

    /// After removals: the form for what is left.
    #[inline]
    fn settle(&mut self, limits: &Limits) {
        let List::Chain(nodes) = self else { return };
        let (len, used) = (nodes.chain.len(), nodes.chain.used());
        if nodes.quick {
            let limit = NodeLimit::from(limits.list_node);
            nodes.quick = used + LISTPACK_FRAME > limit.bytes / 2 || len > limit.items / 2;
        }
        // Half of what made it a chain, so that it does not go to and fro.
        if !nodes.quick && used <= PACKED_BYTES / 2 && len <= PACKED_ITEMS / 2 {
            self.pack();
        }
    }

    #[cold]
    fn pack(&mut self) {
        if let List::Chain(nodes) = self {
            let mut packed = Packed::new();
            nodes.chain.iter().for_each(|item| packed.push_item(item));
            *self = List::Packed(packed);
        }
    }
}

impl<'a> ListRef<'a> {
    #[inline]
    pub fn len(self) -> usize {
        match self {
            ListRef::Packed(packed) => packed.len(),
            ListRef::Chain(nodes) => nodes.chain.len(),
        }
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// In the words of OBJECT ENCODING.
    pub fn encoding(self) -> &'static str {
        match self {
            ListRef::Chain(nodes) if nodes.quick => "quicklist",
            _ => "listpack",
        }
    }

    /// The element at an end.
    #[inline]
    pub fn end(self, end: End) -> Option<Item<'a>> {
        match (self, end) {
            (ListRef::Packed(packed), _) if packed.is_empty() => None,
            (ListRef::Packed(packed), End::Head) => Some(packed.get(packed.start())),
            (ListRef::Packed(packed), End::Tail) => Some(packed.get(packed.nth(packed.len() - 1))),
            (ListRef::Chain(nodes), End::Head) => nodes.chain.front(),
            (ListRef::Chain(nodes), End::Tail) => nodes.chain.back(),
        }
    }

    /// Element `index`, counted from 0. Cost: O(nodes).
    pub fn get(self, index: usize) -> Option<Item<'a>> {
        match self {
            ListRef::Packed(packed) => (index < packed.len()).then(|| packed.get(packed.nth(index))),
            ListRef::Chain(nodes) => nodes.chain.get(index),
        }
    }

    /// Calls `each` for `count` elements from `index` on, or as many as there are.
    #[inline]
    pub fn for_range(self, index: usize, count: usize, each: impl FnMut(Item<'a>)) {
        match self {
            ListRef::Packed(packed) => packed.iter().skip(index).take(count).for_each(each),
            ListRef::Chain(nodes) => nodes.chain.iter_from(index).take(count).for_each(each),
        }
    }

    /// The elements in order.
    pub fn iter(self) -> Iter<'a> {
        match self {
            ListRef::Packed(packed) => Iter::Packed(packed.iter()),
            ListRef::Chain(nodes) => Iter::Chain(nodes.chain.iter()),
        }
    }

    /// The elements, the last one first.
    pub fn iter_back(self) -> IterBack<'a> {
        match self {
            ListRef::Packed(packed) => {
                let mut iter = packed.iter();
                let mut places = Vec::with_capacity(packed.len());
                while iter.len() > 0 {
                    places.push(iter.at());
                    iter.next();
                }
                IterBack::Packed(packed, places)
            }
            ListRef::Chain(nodes) => IterBack::Chain(nodes.chain.iter_back_from(nodes.chain.len().saturating_sub(1))),
        }
    }

    /// The index of the first element that is this text.
    pub fn find(self, text: &[u8]) -> Option<usize> {
        let wanted = Item::of(text);
        self.iter().position(|item| item == wanted)
    }
}

pub enum Iter<'a> {
    Packed(packed::Iter<'a>),
    Chain(chain::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            Iter::Packed(iter) => iter.next(),
            Iter::Chain(iter) => iter.next(),
        }
    }
}

pub enum IterBack<'a> {
    /// The places of the elements that are still to come.
    Packed(PackedRef<'a>, Vec<usize>),
    Chain(chain::IterBack<'a>),
}

impl<'a> Iterator for IterBack<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            IterBack::Packed(packed, places) => places.pop().map(|at| packed.get(at)),
            IterBack::Chain(iter) => iter.next(),
        }
    }
}

#[cfg(test)]
mod tests;
