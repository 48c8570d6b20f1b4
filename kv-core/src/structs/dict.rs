//! A hash table of byte strings, each with bytes that belong to it, which grows and shrinks one bucket at a time.
//!
//! ```text
//! bucket    64 bytes   10 tags of 16 bits | 10 handles of 32 bits | first overflow chunk
//! overflow  32 bytes    4 tags            |  4 handles            | next chunk | chunk or bucket before
//! handle -> record in the slab: [key length: varint] [rest length: varint] [key] [rest]
//! ```
//!
//! It is the table of a collection's elements: a set's members (nothing as rest), a hash's fields with their values, a
//! sorted set's members with their scores. A lookup touches the line of the bucket and the line of the record; tags keep
//! it from touching others. The bookkeeping costs 8 to 9 bytes a record besides the slab.
//!
//! It is linear hashing as in `table`, whose addressing and tags it shares: adding a bucket splits exactly one old one, by
//! the tags alone, except when the address bits reach a multiple of 8: then the records of that bucket are hashed again.
//!
//! **Invariants.** Records of a bucket are packed to the front, line first, then chunk after chunk; no chunk is empty. The
//! overflow chunks are dense (the last one moves into a gap), so that every slot in use is found by its number: that is
//! what makes `random` fair. Keys are different. Handles stay the same until the record is removed, or `replace_rest`
//! says otherwise.
//!
//! **Freezing** needs the slab alone: its blocks are the records.
//!
//! It does not know what the rest of a record means. The hash is XXH3 with a seed, so that nobody outside can choose keys
//! that collide.
//!
//! Source: W. Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980. The walk with a cursor
//! counts the address bits in reverse, as in Redis.

use super::segments::Segments;
pub use super::slab::Handle;
use super::slab::{FrozenSlab, Slab};
use xxhash_rust::xxh3::xxh3_64_with_seed;

mod fuzz;
pub use fuzz::fuzz_dict;

const LINE_SLOTS: usize = 10;
const CHUNK_SLOTS: usize = 4;

/// Records a bucket has on average before the next one is added: with 9, an eighth of the records is in a chunk. One
/// less costs half a byte a record; one more saves a third of a byte and puts a twentieth more into chunks.
const GROW_LOAD: usize = 9;
/// Below this average a bucket is taken away. Far enough from `GROW_LOAD` that a table of steady size does neither.
const SHRINK_LOAD: usize = 3;

/// No chunk.
const NONE: u32 = u32::MAX;
/// In `Chunk::before`: the rest is the number of a bucket, not of a chunk.
const IS_BUCKET: u32 = 1 << 31;
/// At most 2^29 buckets (4.8 G records, which no 31 bits of handles hold).
const LEVEL_MAX: u32 = 28;

/// A bucket: one cache line.
#[derive(Clone)]
#[repr(C, align(64))]
struct Line {
    tags: [u16; LINE_SLOTS],
    handles: [Option<Handle>; LINE_SLOTS],
    next: u32,
}

#[derive(Clone)]
#[repr(C, align(32))]
struct Chunk {
    tags: [u16; CHUNK_SLOTS],
    handles: [Option<Handle>; CHUNK_SLOTS],
    next: u32,
    before: u32,
}

const _: () = assert!(size_of::<Line>() == 64 && size_of::<Chunk>() == 32);

const EMPTY_LINE: Line = Line { tags: [0; LINE_SLOTS], handles: [None; LINE_SLOTS], next: NONE };

/// Where a record's handle stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    bucket: usize,
    /// `NONE`: in the bucket's line.
    chunk: u32,
    slot: usize,
}

/// The lengths at the beginning of a record.
#[derive(Clone, Copy)]
struct Lengths {
    key: usize,
    rest: usize,
    /// Where the key begins.
    head: usize,
}

impl Lengths {
    fn of(key: &[u8], rest: &[u8]) -> Lengths {
        Lengths { key: key.len(), rest: rest.len(), head: varint_len(key.len()) + varint_len(rest.len()) }
    }

    /// Reads the lengths of the record that `tail` begins with.
    #[inline(always)]
    fn read(tail: &[u8]) -> Lengths {
        if tail[0] | tail[1] < 0x80 {
            return Lengths { key: usize::from(tail[0]), rest: usize::from(tail[1]), head: 2 };
        }
        Lengths::read_long(tail)
    }

    #[cold]
    fn read_long(tail: &[u8]) -> Lengths {
        let (key, first) = read_varint(tail);
        let (rest, second) = read_varint(&tail[first..]);
        Lengths { key, rest, head: first + second }
    }

    fn write(self, out: &mut [u8]) {
        let at = write_varint(self.key, out);
        write_varint(self.rest, &mut out[at..]);
    }

    fn total(self) -> usize {
        self.head + self.key + self.rest
    }

    #[inline(always)]
    fn key_range(self) -> std::ops::Range<usize> {
        self.head..self.head + self.key
    }

    #[inline(always)]
    fn rest_range(self) -> std::ops::Range<usize> {
        self.head + self.key..self.head + self.key + self.rest
    }
}

fn varint_len(n: usize) -> usize {
    (n.max(1).ilog2() / 7 + 1) as usize
}

fn write_varint(mut n: usize, out: &mut [u8]) -> usize {
    let mut at = 0;
    while n >= 0x80 {
        out[at] = n as u8 | 0x80;
        n >>= 7;
        at += 1;
    }
    out[at] = n as u8;
    at + 1
}

fn read_varint(bytes: &[u8]) -> (usize, usize) {
    let (mut n, mut at) = (0, 0);
    while bytes[at] >= 0x80 {
        n |= usize::from(bytes[at] & 0x7f) << (7 * at);
        at += 1;
    }
    (n | usize::from(bytes[at]) << (7 * at), at + 1)
}

/// Where a tag begins in the hash for a bucket with this many address bits.
#[inline(always)]
fn tag_shift(address_bits: u32) -> u32 {
    address_bits & !7
}

#[inline(always)]
fn tag_of(hash: u64, shift: u32) -> u16 {
    (hash >> shift) as u16
}

/// The slot among these that has the tag and that `eq` accepts.
#[inline(always)]
fn find_slot<const N: usize>(
    tags: &[u16; N],
    handles: &[Option<Handle>; N],
    tag: u16,
    mut eq: impl FnMut(Handle) -> bool,
) -> Option<usize> {
    // All comparisons first, without a branch each: mostly one of them is true or none.
    let mut hits = 0u32;
    for (slot, &other) in tags.iter().enumerate() {
        hits |= u32::from(other == tag) << slot;
    }
    while hits != 0 {
        let slot = hits.trailing_zeros() as usize;
        if handles[slot].is_some_and(&mut eq) {
            return Some(slot);
        }
        hits &= hits - 1;
    }
    None
}

/// Slots that a chain has almost never more of: the average is at most twice the load.
const CHAIN: usize = 48;

/// The slots of a bucket, copied while it is split or merged.
struct Chain {
    slots: [Slot; CHAIN],
    len: usize,
    /// What `slots` has no room for.
    more: Vec<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    handle: Option<Handle>,
    tag: u16,
    goes_up: bool,
}

impl Slot {
    #[inline]
    fn handle(self) -> Handle {
        self.handle.expect("only slots in use are copied")
    }
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { slots: [Slot { handle: None, tag: 0, goes_up: false }; CHAIN], len: 0, more: Vec::new() }
    }
}

impl Chain {
    #[inline]
    fn extend(&mut self, tags: &[u16], handles: &[Option<Handle>]) {
        for (&tag, &handle) in tags.iter().zip(handles) {
            if handle.is_none() {
                break;
            }
            let slot = Slot { handle, tag, goes_up: false };
            match self.slots.get_mut(self.len) {
                Some(free) => *free = slot,
                None => self.more.push(slot),
            }
            self.len += 1;
        }
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots[..self.len.min(CHAIN)].iter().chain(&self.more)
    }

    #[inline]
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots[..self.len.min(CHAIN)].iter_mut().chain(&mut self.more)
    }

    /// The line of a bucket that these slots, or those that go up, are put into.
    #[inline]
    fn fill(&self, goes_up: bool) -> Line {
        let mut line = EMPTY_LINE;
        for (at, slot) in self.iter().filter(|slot| slot.goes_up == goes_up).take(LINE_SLOTS).enumerate() {
            (line.tags[at], line.handles[at]) = (slot.tag, slot.handle);
        }
        line
    }

    /// Those that `fill` had no place for.
    #[inline]
    fn beyond_line(&self, goes_up: bool, f: impl FnMut(&Slot)) {
        if self.len > LINE_SLOTS {
            self.iter().filter(|slot| slot.goes_up == goes_up).skip(LINE_SLOTS).for_each(f);
        }
    }
}

/// The table.
#[derive(Clone)]
pub struct Dict {
    lines: Segments<Line>,
    chunks: Segments<Chunk>,
    slab: Slab,
    len: usize,
    /// 2^level <= buckets < 2^(level + 1)
    level: u32,
    /// buckets - 2^level: the next bucket to split.
    split: usize,
    seed: u64,
}

impl Dict {
    /// An empty table; it allocates at the first insert. The seed belongs to the hash.
    pub const fn new(seed: u64) -> Dict {
        Dict { lines: Segments::new(), chunks: Segments::new(), slab: Slab::new(), len: 0, level: 0, split: 0, seed }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of memory held, the records' included; O(1).
    pub fn bytes(&self) -> usize {
        self.lines.bytes() + self.chunks.bytes() + self.slab.bytes()
    }

    /// The hash of a key, for `find_hashed` in this and other tables of the same seed.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }

    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<Handle> {
        self.find_hashed(self.hash(key), key)
    }

    /// As `find`, with the key's hash from `hash`.
    #[inline]
    pub fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<Handle> {
        self.position(hash, |handle| self.key(handle) == key).and_then(|place| self.handle_at(place))
    }

    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// The key of a record.
    #[inline(always)]
    pub fn key(&self, handle: Handle) -> &[u8] {
        let tail = self.slab.tail(handle);
        &tail[Lengths::read(tail).key_range()]
    }

    /// What belongs to the key of a record.
    #[inline(always)]
    pub fn rest(&self, handle: Handle) -> &[u8] {
        let tail = self.slab.tail(handle);
        &tail[Lengths::read(tail).rest_range()]
    }

    /// Key and rest of a record.
    #[inline(always)]
    pub fn record(&self, handle: Handle) -> (&[u8], &[u8]) {
        let tail = self.slab.tail(handle);
        let lengths = Lengths::read(tail);
        (&tail[lengths.key_range()], &tail[lengths.rest_range()])
    }

    #[inline]
    pub fn rest_mut(&mut self, handle: Handle) -> &mut [u8] {
        let tail = self.slab.tail_mut(handle);
        let range = Lengths::read(tail).rest_range();
        &mut tail[range]
    }

    /// Adds a record whose key is not there yet, and splits a bucket if it is time to.
    pub fn insert(&mut self, key: &[u8], rest: &[u8]) -> Handle {
        self.insert_hashed(self.hash(key), key, rest)
    }

    /// The record of a key, and whether it is new: then it has this rest.
    #[inline]
    pub fn find_or_insert(&mut self, key: &[u8], rest: &[u8]) -> (Handle, bool) {
        let hash = self.hash(key);
        match self.find_hashed(hash, key) {
            Some(handle) => (handle, false),
            None => (self.insert_hashed(hash, key, rest), true),
        }
    }

    fn insert_hashed(&mut self, hash: u64, key: &[u8], rest: &[u8]) -> Handle {
        debug_assert!(self.find_hashed(hash, key).is_none(), "keys are different");
        if self.lines.len() == 0 {
            self.lines.push(EMPTY_LINE);
        } else if self.len >= self.lines.len() * GROW_LOAD && self.level <= LEVEL_MAX {
            self.split_one();
        }
        let lengths = Lengths::of(key, rest);
        let handle = self.slab.alloc(lengths.total());
        let out = self.slab.tail_mut(handle);
        lengths.write(out);
        out[lengths.key_range()].copy_from_slice(key);
        out[lengths.rest_range()].copy_from_slice(rest);
        let (bucket, shift) = self.locate(hash);
        self.push(bucket, tag_of(hash, shift), handle);
        self.len += 1;
        handle
    }

    /// Replaces what belongs to a key. The record moves when its size changes: from then on only the handle returned is
    /// its own.
    pub fn replace_rest(&mut self, handle: Handle, rest: &[u8]) -> Handle {
        let tail = self.slab.tail_mut(handle);
        let old = Lengths::read(tail);
        let new = Lengths { rest: rest.len(), head: varint_len(old.key) + varint_len(rest.len()), ..old };
        if Slab::same_size(old.total(), new.total()) {
            if new.head != old.head {
                tail.copy_within(old.key_range(), new.head);
            }
            new.write(tail);
            tail[new.rest_range()].copy_from_slice(rest);
            return handle;
        }
        let place = self.place_of(handle);
        let moved = self.slab.alloc(new.total());
        self.slab.copy(handle, old.head, moved, new.head, new.key);
        let tail = self.slab.tail_mut(moved);
        new.write(tail);
        tail[new.rest_range()].copy_from_slice(rest);
        self.slab.free(handle);
        *self.slot_mut(place).1 = Some(moved);
        moved
    }

    /// Takes a record out.
    pub fn remove(&mut self, handle: Handle) {
        let place = self.place_of(handle);
        self.remove_at(place);
    }

    /// Takes the record of a key out; says whether there was one.
    pub fn remove_key(&mut self, key: &[u8]) -> bool {
        match self.position(self.hash(key), |handle| self.key(handle) == key) {
            Some(place) => {
                self.remove_at(place);
                true
            }
            None => false,
        }
    }

    /// Calls `f` for a part of the records and returns the cursor of the next part: begin with 0, end when 0 comes back.
    ///
    /// A record that is there during the whole walk is visited at least once, whatever is added and removed meanwhile,
    /// at the price that some are visited twice. A cursor is below 2^32.
    pub fn scan(&self, cursor: u64, mut f: impl FnMut(Handle)) -> u64 {
        if self.len == 0 {
            return 0;
        }
        let low = (1usize << self.level) - 1;
        let bucket = cursor as usize & low;
        self.each_of(bucket, &mut f);
        if bucket < self.split {
            self.each_of(bucket | (1 << self.level), &mut f);
        }
        // Add one to the reversed address bits: what is visited stays visited when the number of bits changes.
        let next = (cursor | !(low as u64)).reverse_bits().wrapping_add(1);
        next.reverse_bits()
    }

    /// A record chosen at random, all with the same chance; none if there are none.
    ///
    /// Cost: one to four slots are looked at, mostly.
    pub fn random(&self, mut next: impl FnMut() -> u64) -> Option<Handle> {
        if self.len == 0 {
            return None;
        }
        let in_lines = self.lines.len() * LINE_SLOTS;
        let slots = in_lines + self.chunks.len() * CHUNK_SLOTS;
        loop {
            let slot = ((u128::from(next()) * slots as u128) >> 64) as usize;
            let found = if slot < in_lines {
                self.lines[slot / LINE_SLOTS].handles[slot % LINE_SLOTS]
            } else {
                let slot = slot - in_lines;
                self.chunks[slot / CHUNK_SLOTS].handles[slot % CHUNK_SLOTS]
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// All records, in no order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { dict: self, bucket: 0, chunk: NONE, slot: 0, left: self.len }
    }

    /// The records that are in the table now. Cost: that of `Slab::freeze`; the buckets are of no concern.
    pub fn freeze(&mut self) -> FrozenDict {
        FrozenDict { slab: self.slab.freeze() }
    }

    /// Takes all records out and gives the memory back.
    pub fn clear(&mut self) {
        *self = Dict::new(self.seed);
    }

    /// The bucket of a hash, and where tags begin there.
    #[inline(always)]
    fn locate(&self, hash: u64) -> (usize, u32) {
        let hash = hash as u32 as usize;
        let low = (1usize << self.level) - 1;
        let upper = usize::from(hash & low < self.split);
        (hash & (low | (upper << self.level)), tag_shift(self.level + upper as u32))
    }

    /// Where the record is whose tag is that of `hash` and whose handle `eq` accepts.
    #[inline(always)]
    fn position(&self, hash: u64, mut eq: impl FnMut(Handle) -> bool) -> Option<Place> {
        if self.len == 0 {
            return None;
        }
        let (bucket, shift) = self.locate(hash);
        let tag = tag_of(hash, shift);
        let line = &self.lines[bucket];
        if let Some(slot) = find_slot(&line.tags, &line.handles, tag, &mut eq) {
            return Some(Place { bucket, chunk: NONE, slot });
        }
        let mut at = line.next;
        while at != NONE {
            let chunk = &self.chunks[at as usize];
            if let Some(slot) = find_slot(&chunk.tags, &chunk.handles, tag, &mut eq) {
                return Some(Place { bucket, chunk: at, slot });
            }
            at = chunk.next;
        }
        None
    }

    /// Where the handle of a record stands.
    ///
    /// Panics: when there is no such record.
    fn place_of(&self, handle: Handle) -> Place {
        let hash = self.hash(self.key(handle));
        self.position(hash, |other| other == handle).expect("a handle of this table")
    }

    #[inline(always)]
    fn handle_at(&self, place: Place) -> Option<Handle> {
        match place.chunk {
            NONE => self.lines[place.bucket].handles[place.slot],
            chunk => self.chunks[chunk as usize].handles[place.slot],
        }
    }

    fn slot_mut(&mut self, place: Place) -> (&mut u16, &mut Option<Handle>) {
        match place.chunk {
            NONE => {
                let line = &mut self.lines[place.bucket];
                (&mut line.tags[place.slot], &mut line.handles[place.slot])
            }
            chunk => {
                let chunk = &mut self.chunks[chunk as usize];
                (&mut chunk.tags[place.slot], &mut chunk.handles[place.slot])
            }
        }
    }

    fn each_of(&self, bucket: usize, f: &mut impl FnMut(Handle)) {
        let line = &self.lines[bucket];
        line.handles.iter().map_while(|&handle| handle).for_each(&mut *f);
        let mut at = line.next;
        while at != NONE {
            let chunk = &self.chunks[at as usize];
            chunk.handles.iter().map_while(|&handle| handle).for_each(&mut *f);
            at = chunk.next;
        }
    }

    /// The last chunk of a bucket; `NONE` if it has only its line.
    fn last_chunk(&self, bucket: usize) -> u32 {
        let mut last = NONE;
        let mut at = self.lines[bucket].next;
        while at != NONE {
            (last, at) = (at, self.chunks[at as usize].next);
        }
        last
    }

    /// Appends a handle to a bucket.
    fn push(&mut self, bucket: usize, tag: u16, handle: Handle) {
        let last = self.last_chunk(bucket);
        let handles: &[_] = match last {
            NONE => &self.lines[bucket].handles,
            chunk => &self.chunks[chunk as usize].handles,
        };
        let place = match handles.iter().position(Option::is_none) {
            Some(slot) => Place { bucket, chunk: last, slot },
            None => {
                let fresh = self.chunks.len() as u32;
                let before = if last == NONE { IS_BUCKET | bucket as u32 } else { last };
                self.chunks.push(Chunk { tags: [0; CHUNK_SLOTS], handles: [None; CHUNK_SLOTS], next: NONE, before });
                self.set_next(before, fresh);
                Place { bucket, chunk: fresh, slot: 0 }
            }
        };
        let (tag_slot, handle_slot) = self.slot_mut(place);
        (*tag_slot, *handle_slot) = (tag, Some(handle));
    }

    /// Takes a handle out of its bucket and fills the hole with the bucket's last.
    fn cut(&mut self, place: Place) -> (u16, Handle) {
        let chunk = self.last_chunk(place.bucket);
        let handles: &[_] = match chunk {
            NONE => &self.lines[place.bucket].handles,
            chunk => &self.chunks[chunk as usize].handles,
        };
        let last = handles.iter().rposition(Option::is_some).expect("a bucket that holds a record");
        let (tag, handle) = self.slot_mut(Place { chunk, slot: last, ..place });
        let (tag, handle) = (*tag, handle.take());
        let (hole_tag, hole) = self.slot_mut(place);
        // The hole may be the last itself, which is empty by now.
        let cut = match *hole {
            None => (tag, handle),
            Some(_) => (std::mem::replace(hole_tag, tag), std::mem::replace(hole, handle)),
        };
        if last == 0 && chunk != NONE {
            self.drop_chunk(chunk);
        }
        (cut.0, cut.1.expect("a record to cut"))
    }

    /// Lets the chain go on with `next` behind a chunk or a bucket.
    fn set_next(&mut self, before: u32, next: u32) {
        if before & IS_BUCKET != 0 {
            self.lines[(before & !IS_BUCKET) as usize].next = next;
        } else {
            self.chunks[before as usize].next = next;
        }
    }

    /// Takes away the last chunk of a bucket with what is in it; the last chunk of all moves into the gap.
    fn drop_chunk(&mut self, at: u32) {
        self.set_next(self.chunks[at as usize].before, NONE);
        let moved = self.chunks.pop().expect("a chunk to take away");
        if at as usize != self.chunks.len() {
            self.set_next(moved.before, at);
            if moved.next != NONE {
                self.chunks[moved.next as usize].before = at;
            }
            self.chunks[at as usize] = moved;
        }
    }

    fn remove_at(&mut self, place: Place) {
        let (_, handle) = self.cut(place);
        self.slab.free(handle);
        self.len -= 1;
        if self.len == 0 {
            self.clear();
        } else if self.lines.len() > 1 && self.len < self.lines.len() * SHRINK_LOAD {
            self.merge_one();
        }
    }

    /// Adds one bucket and moves there its share of the one it is split from.
    fn split_one(&mut self) {
        let (from, to, level) = (self.split, self.lines.len(), self.level);
        let (old, new) = (tag_shift(level), tag_shift(level + 1));
        let mut chain = Chain::default();
        self.collect(from, &mut chain);
        for slot in chain.iter_mut() {
            slot.goes_up = if old == new {
                slot.tag >> (level - old) & 1 == 1
            } else {
                let hash = self.hash(self.key(slot.handle()));
                slot.tag = tag_of(hash, new);
                hash >> level & 1 == 1
            };
        }
        self.drop_chunks(from);
        let lower = chain.fill(false);
        self.lines[from] = lower;
        let upper = chain.fill(true);
        self.lines.push(upper);
        chain.beyond_line(false, |slot| self.push(from, slot.tag, slot.handle()));
        chain.beyond_line(true, |slot| self.push(to, slot.tag, slot.handle()));
        self.split += 1;
        if self.split == 1 << self.level {
            (self.level, self.split) = (self.level + 1, 0);
        }
    }

    /// Takes the last bucket away and moves its records back to the one it was split from.
    fn merge_one(&mut self) {
        let from = self.lines.len() - 1;
        let level = from.ilog2();
        let into = from - (1 << level);
        let (old, new) = (tag_shift(level + 1), tag_shift(level));
        let mut chain = Chain::default();
        self.collect(into, &mut chain);
        self.collect(from, &mut chain);
        if old != new {
            chain.iter_mut().for_each(|slot| slot.tag = tag_of(self.hash(self.key(slot.handle())), new));
        }
        self.drop_chunks(from);
        self.drop_chunks(into);
        self.lines.pop();
        self.lines[into] = chain.fill(false);
        chain.beyond_line(false, |slot| self.push(into, slot.tag, slot.handle()));
        (self.level, self.split) = (level, into);
    }

    /// Copies the slots of a bucket.
    fn collect(&self, bucket: usize, chain: &mut Chain) {
        let line = &self.lines[bucket];
        chain.extend(&line.tags, &line.handles);
        let mut at = line.next;
        while at != NONE {
            let chunk = &self.chunks[at as usize];
            chain.extend(&chunk.tags, &chunk.handles);
            at = chunk.next;
        }
    }

    /// Gives the chunks of a bucket back, with what is in them.
    fn drop_chunks(&mut self, bucket: usize) {
        loop {
            match self.last_chunk(bucket) {
                NONE => break,
                last => self.drop_chunk(last),
            }
        }
    }
}

/// The records of a table as they were when it was frozen. It may be read on any thread.
pub struct FrozenDict {
    slab: FrozenSlab,
}

impl FrozenDict {
    pub fn len(&self) -> usize {
        self.slab.blocks()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that are kept from being freed, at most.
    pub fn bytes(&self) -> usize {
        self.slab.bytes()
    }

    /// Calls `f` with key and rest of each record, in no order, and lets go of the memory meanwhile.
    pub fn for_each(self, mut f: impl FnMut(&[u8], &[u8])) {
        self.slab.for_each(|tail| {
            let lengths = Lengths::read(tail);
            f(&tail[lengths.key_range()], &tail[lengths.rest_range()]);
        });
    }
}

/// The records of a table. Made by `Dict::iter`.
#[derive(Clone)]
pub struct Iter<'a> {
    dict: &'a Dict,
    /// Where the next slot is.
    bucket: usize,
    chunk: u32,
    slot: usize,
    left: usize,
}

impl Iterator for Iter<'_> {
    type Item = Handle;

    #[inline]
    fn next(&mut self) -> Option<Handle> {
        if self.left == 0 {
            return None;
        }
        loop {
            let (handles, next): (&[_], u32) = match self.chunk {
                NONE => (&self.dict.lines[self.bucket].handles, self.dict.lines[self.bucket].next),
                chunk => (&self.dict.chunks[chunk as usize].handles, self.dict.chunks[chunk as usize].next),
            };
            if let Some(&Some(handle)) = handles.get(self.slot) {
                self.slot += 1;
                self.left -= 1;
                return Some(handle);
            }
            (self.chunk, self.slot) = (next, 0);
            self.bucket += usize::from(next == NONE);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests;
