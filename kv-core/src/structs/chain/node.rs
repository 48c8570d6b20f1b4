//! One node of a chain: items side by side, with room to grow at either end.
//!
//! ```text
//! bytes   | free | item back | item back | ... | free |
//!                ^ start                         ^ end
//! item    as `structs::packed` writes it
//! back    0x00..=0xFE             how many bytes the item in front of it takes
//!         [length: u32 LE] 0xFF   the same of a longer one
//! ```
//!
//! Offsets are places in `bytes`: of the beginning of an item, or `end`. A push moves nothing, but when the free room of
//! its end is used up; then either everything slides to the other end, which is done only if that frees a good part of
//! the node, or the node gets a larger block. So items that go in at one end and out at the other cost O(1) each.

use crate::structs::freezable::Freezable;
use crate::structs::packed::{self, Encoded, Item};

#[derive(Clone, Default)]
pub(super) struct Node {
    bytes: Freezable<Box<[u8]>>,
    start: u32,
    end: u32,
    count: u32,
}

/// What the back length of a longer item ends with.
const LONG: u8 = 0xFF;
const LONG_LEN: usize = 5;

/// The smallest block that is worth having.
const CAPACITY_MIN: usize = 32;

/// Bytes of the back length of an item.
#[inline]
fn back_len(item_len: usize) -> usize {
    if item_len < usize::from(LONG) { 1 } else { LONG_LEN }
}

/// Bytes that an item takes in a node.
#[inline]
pub fn space_of(item: &Encoded<'_>) -> usize {
    item.len() + back_len(item.len())
}

/// Writes an item with its back length over `out`, which has just the room for it.
#[inline]
fn write(item: &Encoded<'_>, out: &mut [u8]) {
    let len = item.len();
    item.write_to(out);
    match &mut out[len..] {
        [short] => *short = len as u8,
        long => {
            long[..4].copy_from_slice(&(len as u32).to_le_bytes());
            long[4] = LONG;
        }
    }
}

/// The offset behind the item at an offset, and behind its back length.
#[inline]
pub(super) fn next(bytes: &[u8], at: usize) -> usize {
    let end = packed::skip(bytes, at);
    end + back_len(end - at)
}

/// The item at an offset, and the offset of the one behind it.
#[inline]
pub(super) fn read(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let (item, end) = packed::read(bytes, at);
    (item, end + back_len(end - at))
}

/// The offset of the item in front of an offset.
#[inline]
pub(super) fn previous(bytes: &[u8], at: usize) -> usize {
    match bytes[at - 1] {
        LONG => {
            let len = bytes[..at - 1].last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
            at - LONG_LEN - len as usize
        }
        short => at - 1 - usize::from(short),
    }
}

/// A block for a node.
fn block(capacity: usize) -> Freezable<Box<[u8]>> {
    Freezable::Own(vec![0; capacity].into())
}

const _: () = assert!(size_of::<Node>() == 32);

impl Node {
    /// A node with the same items, which stay as they are.
    pub fn frozen(&mut self) -> Node {
        Node { bytes: self.bytes.frozen(), ..*self }
    }

    /// An empty node with its room at the end that a push at the tail needs.
    pub fn for_tail(capacity: usize) -> Node {
        Node { bytes: block(capacity), start: 0, end: 0, count: 0 }
    }

    /// An empty node with its room at the end that a push at the head needs.
    pub fn for_head(capacity: usize) -> Node {
        Node { bytes: block(capacity), start: capacity as u32, end: capacity as u32, count: 0 }
    }

    #[inline]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub fn start(&self) -> usize {
        self.start as usize
    }

    #[inline]
    pub fn end(&self) -> usize {
        self.end as usize
    }

    /// Bytes of the items.
    #[inline]
    pub fn used(&self) -> usize {
        self.end() - self.start()
    }

    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// All bytes up to the end, to be read from `start` on.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end()]
    }

    /// The offset of the nth item, from the nearer end; `count` is the end.
    pub fn offset(&self, index: usize) -> usize {
        let bytes = self.bytes();
        if index <= self.count() / 2 {
            (0..index).fold(self.start(), |at, _| next(bytes, at))
        } else {
            (index..self.count()).fold(self.end(), |at, _| previous(bytes, at))
        }
    }

    /// Appends an item. False: there is no room, and it is not worth making any; nothing has changed then. The block does
    /// not become larger than `capacity_max`, but for the first item.
    #[inline]
    pub fn push_back(&mut self, item: &Encoded<'_>, capacity_max: usize) -> bool {
        let space = space_of(item);
        if self.capacity() - self.end() < space && !self.make_room_back(space, capacity_max) {
            return false;
        }
        let end = self.end();
        write(item, &mut self.bytes[end..end + space]);
        self.end += space as u32;
        self.count += 1;
        true
    }

    /// As `push_back`, in front of the first item.
    #[inline]
    pub fn push_front(&mut self, item: &Encoded<'_>, capacity_max: usize) -> bool {
        let space = space_of(item);
        if self.start() < space && !self.make_room_front(space, capacity_max) {
            return false;
        }
        let start = self.start();
        write(item, &mut self.bytes[start - space..start]);
        self.start -= space as u32;
        self.count += 1;
        true
    }

    fn make_room_back(&mut self, space: usize, capacity_max: usize) -> bool {
        if self.slides(space) {
            self.bytes.copy_within(self.start as usize..self.end as usize, 0);
        } else {
            let Some(capacity) = self.larger(space, capacity_max) else { return false };
            let mut bytes = vec![0; capacity];
            bytes[..self.used()].copy_from_slice(&self.bytes[self.start()..self.end()]);
            self.bytes = Freezable::Own(bytes.into());
        }
        (self.start, self.end) = (0, self.used() as u32);
        true
    }

    fn make_room_front(&mut self, space: usize, capacity_max: usize) -> bool {
        if self.slides(space) {
            let to = self.capacity() - self.used();
            self.bytes.copy_within(self.start as usize..self.end as usize, to);
        } else {
            let Some(capacity) = self.larger(space, capacity_max) else { return false };
            let mut bytes = vec![0; capacity];
            bytes[capacity - self.used()..].copy_from_slice(&self.bytes[self.start()..self.end()]);
            self.bytes = Freezable::Own(bytes.into());
        }
        (self.start, self.end) = ((self.capacity() - self.used()) as u32, self.capacity() as u32);
        true
    }

    /// Whether the other end has enough free room that moving all items is paid for by the pushes it makes possible.
    fn slides(&self, space: usize) -> bool {
        let free = self.capacity() - self.used();
        free >= space && free >= self.capacity() / 4
    }

    /// The next size of the block that holds `space` bytes more.
    fn larger(&self, space: usize, capacity_max: usize) -> Option<usize> {
        let needed = self.used() + space;
        let capacity = (2 * self.capacity()).max(CAPACITY_MIN).min(capacity_max).max(needed);
        (needed <= capacity_max || self.count == 0).then_some(capacity).filter(|&to| to > self.capacity())
    }

    /// Puts an item in front of the one at an offset, or at the end; there is always room.
    pub fn insert(&mut self, at: usize, item: &Encoded<'_>, capacity_max: usize) {
        let space = space_of(item);
        let (start, end) = (self.start(), self.end());
        let in_front = at - start;
        let at = if start >= space && (in_front <= end - at || self.capacity() - end < space) {
            self.bytes.copy_within(start..at, start - space);
            self.start -= space as u32;
            at - space
        } else if self.capacity() - end >= space {
            self.bytes.copy_within(at..end, at + space);
            self.end += space as u32;
            at
        } else {
            let capacity = self.larger(space, capacity_max).unwrap_or(self.capacity().max(self.used() + space));
            let mut bytes = vec![0; capacity];
            bytes[..in_front].copy_from_slice(&self.bytes[start..at]);
            bytes[in_front + space..self.used() + space].copy_from_slice(&self.bytes[at..end]);
            self.bytes = Freezable::Own(bytes.into());
            (self.start, self.end) = (0, (end - start + space) as u32);
            in_front
        };
        write(item, &mut self.bytes[at..at + space]);
        self.count += 1;
    }

    /// Puts an item in the place of one that takes as many bytes. False: it takes others, nothing has changed.
    pub fn overwrite(&mut self, at: usize, item: &Encoded<'_>) -> bool {
        let to = next(self.bytes(), at);
        let same = to - at == space_of(item);
        if same {
            write(item, &mut self.bytes[at..to]);
        }
        same
    }

    /// Removes the item from one offset to another, by moving those of the shorter side.
    pub fn remove(&mut self, from: usize, to: usize) {
        let (start, end) = (self.start(), self.end());
        if from - start <= end - to {
            self.bytes.copy_within(start..from, start + (to - from));
            self.start += (to - from) as u32;
        } else {
            self.bytes.copy_within(to..end, from);
            self.end -= (to - from) as u32;
        }
        self.count -= 1;
    }

    /// Removes the first `count` items.
    #[inline]
    pub fn remove_front(&mut self, count: usize) {
        self.start = match count {
            1 => next(self.bytes(), self.start()),
            _ => self.offset(count),
        } as u32;
        self.count -= count as u32;
    }

    /// Removes the last `count` items.
    #[inline]
    pub fn remove_back(&mut self, count: usize) {
        self.end = match count {
            1 => previous(self.bytes(), self.end()),
            _ => self.offset(self.count() - count),
        } as u32;
        self.count -= count as u32;
    }

    /// How many items are this one.
    pub fn count_of(&self, wanted: &Encoded<'_>) -> usize {
        let bytes = self.bytes();
        let mut at = self.start();
        let mut found = 0;
        while at < bytes.len() {
            found += usize::from(wanted.begins(&bytes[at..]));
            at = next(bytes, at);
        }
        found
    }

    /// Removes items that are this one: `most` of them, after the first `spared`. The others move together in one pass.
    pub fn remove_equal(&mut self, wanted: &Encoded<'_>, spared: usize, most: usize) {
        let (mut from, mut to) = (self.start(), self.start());
        let (mut found, mut removed) = (0, 0);
        let end = self.end();
        while from < end && removed < most {
            let behind = next(&self.bytes, from);
            let equal = wanted.begins(&self.bytes[from..behind]);
            found += usize::from(equal);
            if equal && found > spared {
                removed += 1;
            } else {
                if to < from {
                    self.bytes.copy_within(from..behind, to);
                }
                to += behind - from;
            }
            from = behind;
        }
        self.bytes.copy_within(from..end, to);
        self.end = (to + (end - from)) as u32;
        self.count -= removed as u32;
    }

    /// Takes the items from an offset on, `count` of them, into a node of their own.
    pub fn split_off(&mut self, at: usize, count: usize) -> Node {
        let bytes: Box<[u8]> = self.bytes[at..self.end()].into();
        self.end = at as u32;
        self.count -= count as u32;
        Node { start: 0, end: bytes.len() as u32, count: count as u32, bytes: bytes.into() }
    }

    /// Appends all items of another node.
    pub fn append(&mut self, other: &Node) {
        let (used, more) = (self.used(), other.used());
        let mut bytes = Vec::with_capacity(used + more);
        bytes.extend_from_slice(&self.bytes[self.start()..self.end()]);
        bytes.extend_from_slice(&other.bytes[other.start()..other.end()]);
        self.bytes = Freezable::Own(bytes.into());
        (self.start, self.end) = (0, (used + more) as u32);
        self.count += other.count;
    }

    /// Gives the block back for a smaller one when more than a part of 1/`share` is free.
    pub fn fit(&mut self, share: usize) {
        if self.capacity() - self.used() > self.capacity() / share {
            let bytes: Box<[u8]> = self.bytes[self.start()..self.end()].into();
            self.bytes = bytes.into();
            (self.start, self.end) = (0, self.bytes.len() as u32);
        }
    }
}
