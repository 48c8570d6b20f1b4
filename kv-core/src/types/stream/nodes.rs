//! The entries of a stream: packed nodes, ordered by id.
//!
//! ```text
//! Nodes   chunk chunk chunk ...            deque of deques: 128 nodes a chunk, so that no growth ever moves them all
//! Node    first id | bytes | slots         slots[i]: where entry i begins (30 bits), OWN, DELETED
//! bytes   master entry entry ...
//! master  count  (len field)*count                       the fields of the node's first entry; none if they are long
//! entry   ms seq (len value)*count                       fields as in the master
//!         ms seq count (len field len value)*count       OWN: fields of its own
//! ```
//!
//! Numbers are varints of 7 bits a byte. `ms` is the distance to the node's first id; `seq` is, too, where `ms` is 0, else
//! it stands as it is. The slots make an entry of a node found by bisection and walked in both directions.
//!
//! Invariants: ids ascend over all slots of all nodes, deleted ones included; no node is without a living entry, no chunk
//! without a node. A deleted entry keeps its slot and bytes until its node is more dead than alive, or gone.
//!
//! It does not know what was deleted or trimmed for what reason, nor any counter of the stream but its own bytes.

use super::StreamId;
use crate::structs::freezable::{Freezable, Piece};
use std::collections::VecDeque;

/// Nodes of a chunk: small enough to move half of them at once, large enough that chunks are few.
const CHUNK_NODES: usize = 128;

/// In a slot: the entry is deleted.
const DELETED: u32 = 1 << 31;
/// In a slot: the entry has other fields than the master.
const OWN: u32 = 1 << 30;
/// The rest of a slot: where its entry begins.
const OFFSET: u32 = OWN - 1;
/// No entry is added to a node with more bytes, whatever the limits: offsets are to fit.
const NODE_BYTES_MAX: usize = OFFSET as usize;

/// Fields that are longer together are no master, for its entry is to begin where an offset can tell.
const MASTER_BYTES_MAX: usize = 1 << 20;

/// When a node is full; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    pub bytes: usize,
    pub entries: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    first: StreamId,
    body: Freezable<Body>,
    live: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Body {
    bytes: Vec<u8>,
    slots: Vec<u32>,
}

impl Piece for Body {
    fn copy(&self) -> Body {
        let mut slots = Vec::with_capacity(self.slots.capacity());
        slots.extend_from_slice(&self.slots);
        Body { bytes: self.bytes.copy(), slots }
    }
}

impl Node {
    /// A node that is to take `id`, with the fields of its pairs as the master.
    fn new<'p>(
        id: StreamId,
        count: usize,
        pairs: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone,
        room: (usize, usize),
    ) -> Node {
        let mut body = Body { bytes: Vec::with_capacity(room.0), slots: Vec::with_capacity(room.1) };
        let size: usize = pairs.clone().map(|(field, _)| field.len()).sum();
        let count = if size > MASTER_BYTES_MAX { 0 } else { count };
        put_number(&mut body.bytes, count as u64);
        pairs.take(count).for_each(|(field, _)| put_bytes(&mut body.bytes, field));
        Node { first: id, body: body.into(), live: 0 }
    }

    fn heap_bytes(&self) -> usize {
        self.body.bytes.capacity() + self.body.slots.capacity() * size_of::<u32>()
    }

    /// Whether an entry with these fields may leave them out.
    #[inline]
    fn has_fields<'p>(&self, count: usize, pairs: impl Iterator<Item = (&'p [u8], &'p [u8])>) -> bool {
        let mut master = self.body.bytes.as_slice();
        take_number(&mut master) == count as u64 && pairs.into_iter().all(|(field, _)| take_bytes(&mut master) == field)
    }

    #[inline]
    fn push<'p>(&mut self, id: StreamId, count: usize, pairs: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone) {
        let at = self.body.bytes.len() as u32;
        debug_assert!(at <= OFFSET, "the node is full");
        let same = self.has_fields(count, pairs.clone());
        let ms = id.ms - self.first.ms;
        let Body { bytes, slots } = &mut *self.body;
        put_number(bytes, ms);
        put_number(bytes, if ms == 0 { id.seq - self.first.seq } else { id.seq });
        if same {
            pairs.for_each(|(_, value)| put_bytes(bytes, value));
        } else {
            put_number(bytes, count as u64);
            for (field, value) in pairs {
                put_bytes(bytes, field);
                put_bytes(bytes, value);
            }
        }
        slots.push(if same { at } else { at | OWN });
        self.live += 1;
    }

    /// The id of a slot, and the bytes behind it.
    #[inline]
    fn id_at(&self, slot: u32) -> (StreamId, &[u8]) {
        let mut rest = &self.body.bytes[(slot & OFFSET) as usize..];
        let ms = take_number(&mut rest);
        let seq = take_number(&mut rest);
        let seq = if ms == 0 { self.first.seq + seq } else { seq };
        (StreamId { ms: self.first.ms + ms, seq }, rest)
    }

    fn entry_at(&self, slot: u32) -> Entry<'_> {
        let (id, mut values) = self.id_at(slot);
        let mut names = self.body.bytes.as_slice();
        let own = slot & OWN != 0;
        let count = take_number(if own { &mut values } else { &mut names });
        Entry { id, count: count as usize, names: (!own).then_some(names), values }
    }

    /// The slot from which on ids are `id` or above.
    #[inline]
    fn seek(&self, id: StreamId) -> usize {
        self.body.slots.partition_point(|&slot| self.id_at(slot).0 < id)
    }

    fn last_id(&self) -> StreamId {
        self.body.slots.last().map_or(self.first, |&slot| self.id_at(slot).0)
    }

    /// Gives back the room for more entries.
    fn fit(&mut self) {
        if self.body.bytes.len() < self.body.bytes.capacity() || self.body.slots.len() < self.body.slots.capacity() {
            self.body.bytes.shrink_to_fit();
            self.body.slots.shrink_to_fit();
        }
    }

    /// Writes the living entries anew, without the others.
    fn compact(&mut self) {
        let master_len = (self.body.slots[0] & OFFSET) as usize;
        let mut bytes = self.body.bytes[..master_len].to_vec();
        let mut slots = Vec::with_capacity(self.live as usize);
        for (i, &slot) in self.body.slots.iter().enumerate() {
            if slot & DELETED == 0 {
                let end = self.body.slots.get(i + 1).map_or(self.body.bytes.len(), |next| (next & OFFSET) as usize);
                slots.push(slot & OWN | bytes.len() as u32);
                bytes.extend_from_slice(&self.body.bytes[(slot & OFFSET) as usize..end]);
            }
        }
        bytes.shrink_to_fit();
        self.body = Body { bytes, slots }.into();
    }
}

/// An entry as it stands in its node.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub id: StreamId,
    count: usize,
    /// The master's fields; none when the fields stand with the values.
    names: Option<&'a [u8]>,
    values: &'a [u8],
}

impl<'a> Entry<'a> {
    /// How many pairs of field and value it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never: an entry has a field. (For those who expect it beside `len`.)
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its fields with their values, in the order they were given.
    #[inline]
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs { left: self.count, names: self.names, values: self.values }
    }
}

#[derive(Clone)]
pub struct Pairs<'a> {
    left: usize,
    names: Option<&'a [u8]>,
    values: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let field = match &mut self.names {
            Some(names) => take_bytes(names),
            None => take_bytes(&mut self.values),
        };
        Some((field, take_bytes(&mut self.values)))
    }
}

/// Where an entry stands, or would stand: the slot may be one behind the last of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    chunk: usize,
    node: usize,
    slot: usize,
}

#[derive(Debug, Default)]
pub(super) struct Nodes {
    chunks: VecDeque<VecDeque<Node>>,
    len: usize,
    /// Heap bytes of nodes and of the room for them in chunks.
    bytes: usize,
}

impl Clone for Nodes {
    /// Capacities of a copy are its own, so the bytes are counted anew.
    fn clone(&self) -> Nodes {
        let mut copy = Nodes { chunks: self.chunks.clone(), len: self.len, bytes: 0 };
        copy.bytes = copy.counted_bytes();
        copy
    }
}

impl PartialEq for Nodes {
    /// The same entries in the same nodes; how much room there is makes no difference.
    fn eq(&self, other: &Nodes) -> bool {
        self.chunks == other.chunks
    }
}

impl Nodes {
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Heap bytes held. Cost: O(1).
    pub fn bytes(&self) -> usize {
        self.bytes + self.chunks.capacity() * size_of::<VecDeque<Node>>()
    }

    /// The same entries in nodes that stay as they are. Cost: O(nodes); from then on each node is copied before it is
    /// written to, once, unless nobody reads it any more.
    pub fn freeze(&mut self) -> Nodes {
        let frozen = |node: &mut Node| Node { first: node.first, body: node.body.frozen(), live: node.live };
        let mut chunks = VecDeque::with_capacity(self.chunks.len());
        for chunk in &mut self.chunks {
            // As much room, for `bytes` to be the same.
            let mut copy = VecDeque::with_capacity(chunk.capacity());
            copy.extend(chunk.iter_mut().map(frozen));
            chunks.push_back(copy);
        }
        Nodes { chunks, len: self.len, bytes: self.bytes }
    }

    /// What `bytes` keeps account of, counted one by one.
    fn counted_bytes(&self) -> usize {
        let chunk = |chunk: &VecDeque<Node>| {
            chunk.capacity() * size_of::<Node>() + chunk.iter().map(Node::heap_bytes).sum::<usize>()
        };
        self.chunks.iter().map(chunk).sum()
    }

    /// Adds an entry whose id is above all others. `size`: bytes of all its fields and values.
    #[inline]
    pub fn append<'p>(
        &mut self,
        id: StreamId,
        count: usize,
        size: usize,
        pairs: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone,
        limits: NodeLimits,
    ) {
        let bytes_max = if limits.bytes == 0 { NODE_BYTES_MAX } else { limits.bytes.min(NODE_BYTES_MAX) };
        if let Some(node) = self.chunks.back_mut().and_then(VecDeque::back_mut) {
            let has_room = node.body.bytes.len().saturating_add(size) < bytes_max
                && (limits.entries == 0 || node.body.slots.len() < limits.entries);
            if has_room {
                let before = node.heap_bytes();
                node.push(id, count, pairs);
                self.bytes += node.heap_bytes() - before;
                return;
            }
        }
        self.append_node(id, count, pairs);
    }

    #[cold]
    fn append_node<'p>(
        &mut self,
        id: StreamId,
        count: usize,
        pairs: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone,
    ) {
        // What follows a full node is likely to become like it. The full one keeps no room.
        let mut room = (0, 0);
        if let Some(full) = self.chunks.back_mut().and_then(VecDeque::back_mut) {
            room = (full.body.bytes.len(), full.body.slots.len());
            let before = full.heap_bytes();
            full.fit();
            self.bytes -= before - full.heap_bytes();
        }
        let mut node = Node::new(id, count, pairs.clone(), room);
        node.push(id, count, pairs);
        self.bytes += node.heap_bytes();
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK_NODES) {
            // Most streams have one node, and need no room for others.
            let first = self.chunks.is_empty();
            let chunk = VecDeque::with_capacity(if first { 1 } else { CHUNK_NODES });
            self.bytes += chunk.capacity() * size_of::<Node>();
            self.chunks.reserve_exact(usize::from(first));
            self.chunks.push_back(chunk);
        }
        let chunk = self.chunks.back_mut().expect("there is one now");
        let before = chunk.capacity();
        chunk.push_back(node);
        self.bytes += (chunk.capacity() - before) * size_of::<Node>();
        self.len += 1;
    }

    /// Deletes an entry; says whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let place = self.seek(id);
        let Some(node) = self.node_mut(place) else { return false };
        match node.body.slots.get(place.slot) {
            Some(&slot) if slot & DELETED == 0 && node.id_at(slot).0 == id => {}
            _ => return false,
        }
        node.body.slots[place.slot] |= DELETED;
        node.live -= 1;
        if node.live == 0 {
            self.remove_node(place);
        } else {
            self.compact_if_worth(place);
        }
        true
    }

    /// Deletes entries of the first node from its front on, as long as `doomed` says so. Returns how many.
    pub fn delete_in_first(&mut self, mut doomed: impl FnMut(StreamId) -> bool) -> u64 {
        let place = Place { chunk: 0, node: 0, slot: 0 };
        let Some(node) = self.node_mut(place) else { return 0 };
        let before = node.live;
        for i in 0..node.body.slots.len() {
            let slot = node.body.slots[i];
            if slot & DELETED == 0 {
                if !doomed(node.id_at(slot).0) {
                    break;
                }
                node.body.slots[i] |= DELETED;
                node.live -= 1;
            }
        }
        let left = node.live;
        if left == 0 {
            self.remove_node(place);
        } else {
            self.compact_if_worth(place);
        }
        u64::from(before - left)
    }

    /// Makes ids above `id` possible again, when deleted entries at the end have such ones and no living one has.
    pub fn forget_dead_behind(&mut self, id: StreamId) {
        let Some(node) = self.chunks.back_mut().and_then(VecDeque::back_mut) else { return };
        if node.last_id() > id {
            let before = node.heap_bytes();
            node.compact();
            self.bytes = self.bytes + node.heap_bytes() - before;
        }
    }

    /// Living entries of the first node, and its last id, deleted or not.
    pub fn first_node(&self) -> Option<(u64, StreamId)> {
        self.chunks.front()?.front().map(|node| (u64::from(node.live), node.last_id()))
    }

    /// Drops the first node with all its entries.
    pub fn drop_first_node(&mut self) {
        self.remove_node(Place { chunk: 0, node: 0, slot: 0 });
    }

    /// A node that has more dead entries than living ones, and enough to be worth the work, is written anew. The work is
    /// paid for by the deletions since the last time.
    fn compact_if_worth(&mut self, place: Place) {
        const DEAD_MIN: usize = 16;
        let Some(node) = self.node_mut(place) else { return };
        let dead = node.body.slots.len() - node.live as usize;
        if dead < DEAD_MIN || dead <= node.live as usize {
            return;
        }
        let before = node.heap_bytes();
        node.compact();
        let after = node.heap_bytes();
        self.bytes = self.bytes + after - before;
    }

    fn remove_node(&mut self, place: Place) {
        let chunk = &mut self.chunks[place.chunk];
        let node = chunk.remove(place.node).expect("the node is there");
        self.bytes -= node.heap_bytes();
        self.len -= 1;
        if chunk.is_empty() {
            self.bytes -= chunk.capacity() * size_of::<Node>();
            self.chunks.remove(place.chunk);
        }
    }

    fn node(&self, place: Place) -> Option<&Node> {
        self.chunks.get(place.chunk)?.get(place.node)
    }

    fn node_mut(&mut self, place: Place) -> Option<&mut Node> {
        self.chunks.get_mut(place.chunk)?.get_mut(place.node)
    }

    /// The first place whose id is `id` or above, were there one.
    fn seek(&self, id: StreamId) -> Place {
        let chunk = self.chunks.partition_point(|chunk| chunk[0].first <= id);
        let Some(chunk) = chunk.checked_sub(1) else { return Place { chunk: 0, node: 0, slot: 0 } };
        let nodes = &self.chunks[chunk];
        let node = nodes.partition_point(|node| node.first <= id) - 1;
        Place { chunk, node, slot: nodes[node].seek(id) }
    }

    /// Behind the last entry.
    fn end(&self) -> Place {
        match self.chunks.back() {
            Some(chunk) => Place {
                chunk: self.chunks.len() - 1,
                node: chunk.len() - 1,
                slot: chunk[chunk.len() - 1].body.slots.len(),
            },
            None => Place { chunk: 0, node: 0, slot: 0 },
        }
    }

    /// The living entries from one id to another, both included.
    pub fn range(&self, from: StreamId, to: StreamId) -> Entries<'_> {
        let start = Place { chunk: 0, node: 0, slot: 0 };
        let front = if from == StreamId::MIN { start } else { self.seek(from) };
        let back = if from > to { front } else { to.next().map_or_else(|| self.end(), |above| self.seek(above)) };
        Entries { nodes: self, front, back }
    }

    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        let place = self.seek(id);
        let node = self.node(place)?;
        let &slot = node.body.slots.get(place.slot)?;
        (slot & DELETED == 0 && node.id_at(slot).0 == id).then(|| node.entry_at(slot))
    }

    /// Panics: when an invariant does not hold. For tests.
    pub fn check(&self) {
        let mut last = None;
        for chunk in &self.chunks {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK_NODES);
            for node in chunk {
                assert_eq!(node.live as usize, node.body.slots.iter().filter(|&slot| slot & DELETED == 0).count());
                assert!(node.live > 0);
                for &slot in &node.body.slots {
                    let (id, _) = node.id_at(slot);
                    assert!(Some(id) > last, "{id} behind {last:?}");
                    last = Some(id);
                }
            }
        }
        assert_eq!(self.chunks.iter().map(VecDeque::len).sum::<usize>(), self.len);
        assert_eq!(self.counted_bytes(), self.bytes);
    }
}

/// Living entries of a range, from both ends.
#[derive(Clone)]
pub struct Entries<'a> {
    nodes: &'a Nodes,
    front: Place,
    back: Place,
}

impl Entries<'_> {
    /// How many entries there are, but no more than `max`.
    ///
    /// Cost: O(1) a node, besides the two at the ends.
    pub fn count_up_to(&self, max: usize) -> usize {
        let mut count = 0;
        let mut place = self.front;
        while place < self.back && count < max {
            let Some(node) = self.nodes.node(place) else { break };
            let last = (place.chunk, place.node) == (self.back.chunk, self.back.node);
            let end = if last { self.back.slot } else { node.body.slots.len() };
            count += if place.slot == 0 && !last {
                node.live as usize
            } else if node.live as usize == node.body.slots.len() {
                end - place.slot
            } else {
                node.body.slots[place.slot..end].iter().filter(|&slot| slot & DELETED == 0).count()
            };
            place = self.behind(place);
        }
        count.min(max)
    }

    /// The beginning of the node behind the one of a place.
    fn behind(&self, place: Place) -> Place {
        if place.node + 1 < self.nodes.chunks[place.chunk].len() {
            Place { chunk: place.chunk, node: place.node + 1, slot: 0 }
        } else {
            Place { chunk: place.chunk + 1, node: 0, slot: 0 }
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        while self.front < self.back {
            let node = self.nodes.node(self.front)?;
            match node.body.slots.get(self.front.slot) {
                Some(&slot) => {
                    self.front.slot += 1;
                    if slot & DELETED == 0 {
                        return Some(node.entry_at(slot));
                    }
                }
                None => self.front = self.behind(self.front),
            }
        }
        None
    }
}

impl DoubleEndedIterator for Entries<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        while self.front < self.back {
            if self.back.slot > 0 {
                self.back.slot -= 1;
                let node = self.nodes.node(self.back)?;
                let slot = node.body.slots[self.back.slot];
                if slot & DELETED == 0 {
                    return Some(node.entry_at(slot));
                }
                continue;
            }
            if self.back.node > 0 {
                self.back.node -= 1;
            } else {
                self.back.chunk -= 1;
                self.back.node = self.nodes.chunks[self.back.chunk].len() - 1;
            }
            self.back.slot = self.nodes.chunks[self.back.chunk][self.back.node].body.slots.len();
        }
        None
    }
}

#[inline]
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes a number from the front. The bytes are our own, so there is one.
#[inline]
fn take_number(bytes: &mut &[u8]) -> u64 {
    if let [byte @ 0..0x80, rest @ ..] = bytes {
        *bytes = rest;
        return u64::from(*byte);
    }
    let (mut number, mut shift) = (0, 0);
    while let [byte, rest @ ..] = bytes {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
        shift += 7;
    }
    number
}

#[inline]
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let len = take_number(bytes) as usize;
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    taken
}
