//! A hash table of pointers that grows and shrinks one bucket at a time: linear hashing over cache lines.
//!
//! ```text
//! directory -> segment of 1,024 buckets -> bucket: one cache line of 8 slots -> overflow: 4 slots -> ...
//!
//! slot, 64 bits:   | tag: 16 bits of the hash | pointer: 48 bits |      0 = empty
//!                  | 0                        | pointer | 1      |      last slot only: link to the overflow chunk
//! ```
//!
//! With B buckets, 2^L <= B < 2^(L+1), the first B - 2^L buckets are already split: they and their upper halves are
//! addressed by L+1 bits of the hash, the rest by L bits. Adding a bucket splits exactly one old one, so no insert ever
//! costs more than that, and there is never a second table. Removing a bucket is the same backwards.
//!
//! **Tags.** A tag holds the 16 bits of the hash that begin at the largest multiple of 8 not above the number of
//! address bits of its bucket. So at least 8 (mostly more) of its bits tell items of one bucket apart, and the bit that
//! decides about the next split is in the tag, except when the address bits reach a multiple of 8: only then a split
//! has to look at the items and hash them again.
//!
//! **Segments** of large tables lie in slices of huge pages, four side by side, as far as these are ready (`huge`), else each
//! has memory of its own.
//!
//! **Invariants.** Items of a bucket are packed to the front, chunk after chunk; an overflow chunk holds at least two
//! items; `GROW_LOAD` and `SHRINK_LOAD` bound the average number of items a bucket. All but the addresses of the items
//! is a function of the order of operations.
//!
//! It does not know keys: equality, and the hash of an item when needed again, come in as closures. The low 32 bits of
//! the hash address buckets, tags reach up to bit 40: other uses of the hash should take bits above.
//!
//! Source: W. Litwin, "Linear hashing: a new tool for file and table addressing", VLDB 1980. The walk with a cursor
//! counts the address bits in reverse, as in Redis.

#![allow(unsafe_code)]

use super::huge::{self, SLICE, Slice};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error, realloc};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// Items a bucket has on average before the next one is added. Chosen for bytes a key: 64 bytes / 8 items plus the
/// overflow chunks make 10.2 to 10.7 bytes over a whole doubling, with 19 to 25 % of the items in an overflow chunk. With
/// 7 it is half a byte more and 6 % of the items less.
const GROW_LOAD: usize = 8;
/// Below this average a bucket is taken away. Far enough from `GROW_LOAD` that a table of steady size does neither.
const SHRINK_LOAD: usize = 3;

const BUCKET_SLOTS: usize = 8;
/// Half a cache line: a full bucket mostly has only a few items too many.
const OVERFLOW_SLOTS: usize = 4;

/// Buckets a segment: 64 KiB, small enough to be zeroed in a few microseconds, large enough that the directory of a
/// table of 100 M keys stays in the second-level cache.
const SEGMENT_BUCKETS: usize = if cfg!(miri) { 16 } else { 1024 };

/// From so many segments on, further ones lie in huge pages if possible.
const HUGE_FROM: usize = 16;
const SLICE_SEGMENTS: usize = SLICE / (SEGMENT_BUCKETS * BUCKET_SLOTS * size_of::<Slot>());

/// At most 2^31 buckets (15 G items at full load); from there on chains grow instead.
const LEVEL_MAX: u32 = 30;

const POINTER_BITS: u32 = 48;
const POINTER_MASK: usize = (1 << POINTER_BITS) - 1;
const LINK: usize = 1;
/// Set in scratch copies only, while a bucket is split: the item goes to the upper half.
const UPPER: usize = 2;

const _: () = assert!(usize::BITS == 64, "slots pack a tag above a 48-bit pointer");

/// What a table holds: something owned through one pointer.
///
/// # Safety
/// `into_raw` gives a pointer that is aligned to 8 bytes and below 2^48, and leaves ownership with the caller until
/// `from_raw` takes it back; `borrow` and `borrow_mut` give views that stay valid as long as ownership does not move.
pub unsafe trait Item: Sized {
    /// A shared view of an item in the table.
    type Ref<'a>: Copy;
    /// An exclusive view of an item in the table. Changing what its hash is made of loses the item.
    type Mut<'a>;

    fn into_raw(self) -> NonNull<u8>;

    /// # Safety
    /// `raw` came from `into_raw` and is given back once.
    unsafe fn from_raw(raw: NonNull<u8>) -> Self;

    /// # Safety
    /// `raw` came from `into_raw` and is not given back or borrowed mutably during `'a`.
    unsafe fn borrow<'a>(raw: NonNull<u8>) -> Self::Ref<'a>;

    /// # Safety
    /// `raw` came from `into_raw` and is not given back or borrowed otherwise during `'a`.
    unsafe fn borrow_mut<'a>(raw: NonNull<u8>) -> Self::Mut<'a>;
}

/// What to do with an item that a visitor has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Keep,
    Remove,
}

#[derive(Clone, Copy)]
struct Slot(*mut u8);

impl Slot {
    const EMPTY: Slot = Slot(ptr::null_mut());

    fn item(raw: NonNull<u8>, tag: usize) -> Slot {
        let addr = raw.as_ptr().addr();
        assert!(addr & !POINTER_MASK == 0 && addr & 7 == 0, "an item's pointer has 48 bits and is aligned");
        Slot(raw.as_ptr()).tagged(tag)
    }

    fn tagged(self, tag: usize) -> Slot {
        Slot(self.0.map_addr(|a| (a & POINTER_MASK) | (tag << POINTER_BITS)))
    }

    fn link(chunk: *mut Slot) -> Slot {
        Slot(chunk.cast::<u8>().map_addr(|a| a | LINK))
    }

    fn is_empty(self) -> bool {
        self.0.is_null()
    }

    fn is_link(self) -> bool {
        self.0.addr() & LINK != 0
    }

    fn is_item(self) -> bool {
        !self.is_empty() && !self.is_link()
    }

    fn tag(self) -> usize {
        self.0.addr() >> POINTER_BITS
    }

    fn raw(self) -> NonNull<u8> {
        debug_assert!(self.is_item());
        let pointer = self.0.map_addr(|a| a & POINTER_MASK & !UPPER);
        // SAFETY: only called for items, whose pointer was NonNull.
        unsafe { NonNull::new_unchecked(pointer) }
    }

    fn chunk(self) -> *mut Slot {
        debug_assert!(self.is_link());
        self.0.map_addr(|a| a & !LINK).cast()
    }
}

/// A bucket or an overflow chunk: `width` slots from `first`.
#[derive(Clone, Copy)]
struct Chunk {
    first: *mut Slot,
    width: usize,
}

impl Chunk {
    fn overflow(first: *mut Slot) -> Chunk {
        Chunk { first, width: OVERFLOW_SLOTS }
    }

    /// # Safety
    /// The chunk is alive and `at < self.width`.
    unsafe fn get(self, at: usize) -> Slot {
        debug_assert!(at < self.width);
        // SAFETY: within the chunk.
        unsafe { *self.first.add(at) }
    }

    /// # Safety
    /// As `get`; nobody else holds a reference into the chunk.
    unsafe fn set(self, at: usize, slot: Slot) {
        debug_assert!(at < self.width);
        // SAFETY: within the chunk.
        unsafe { *self.first.add(at) = slot }
    }

    /// The next chunk of the chain.
    ///
    /// # Safety
    /// The chunk is alive.
    unsafe fn next(self) -> Option<Chunk> {
        // SAFETY: the last slot is within the chunk; a link's chunk lives as long as the one that holds the link.
        unsafe {
            let last = self.get(self.width - 1);
            last.is_link().then(|| Chunk::overflow(last.chunk()))
        }
    }

    /// Visits the slots of the items of the chain until `f` says true, and returns that slot.
    ///
    /// # Safety
    /// The chain is alive; `f` leaves the slots alone.
    unsafe fn walk(self, mut f: impl FnMut(Slot) -> bool) -> Option<*mut Slot> {
        let mut chunk = self;
        loop {
            for at in 0..chunk.width {
                // SAFETY: at < width.
                let slot = unsafe { chunk.get(at) };
                if slot.is_link() {
                    break;
                }
                if slot.is_empty() {
                    return None;
                }
                if f(slot) {
                    // SAFETY: within the chunk.
                    return Some(unsafe { chunk.first.add(at) });
                }
            }
            // SAFETY: the chain is alive.
            chunk = unsafe { chunk.next() }?;
        }
    }

    /// Appends an item; the result says whether a chunk was allocated for it.
    ///
    /// # Safety
    /// The chain is alive and nobody else refers into it.
    unsafe fn push(self, slot: Slot) -> bool {
        let mut chunk = self;
        // SAFETY: all accesses are within living chunks of the chain; a fresh chunk is OVERFLOW_SLOTS long and zeroed,
        // and all-zero slots are EMPTY.
        unsafe {
            while let Some(next) = chunk.next() {
                chunk = next;
            }
            for at in 0..chunk.width {
                if chunk.get(at).is_empty() {
                    chunk.set(at, slot);
                    return false;
                }
            }
            let fresh = Chunk::overflow(allocate(overflow_layout()));
            fresh.set(0, chunk.get(chunk.width - 1));
            fresh.set(1, slot);
            chunk.set(chunk.width - 1, Slot::link(fresh.first));
            true
        }
    }

    /// Takes the item at `place` out and fills the hole with the last one of the chain; the result says whether a
    /// chunk was given back.
    ///
    /// # Safety
    /// The chain is alive, nobody else refers into it, and `place` is the slot of an item of it.
    unsafe fn cut(self, place: *mut Slot) -> (Slot, bool) {
        // SAFETY: all accesses are within living chunks; the emptied chunk is freed after its last use, and `place`
        // (which may lie in it) is written before.
        unsafe {
            let (mut before, mut chunk) = (None, self);
            while let Some(next) = chunk.next() {
                before = Some(chunk);
                chunk = next;
            }
            let mut count = chunk.width;
            while chunk.get(count - 1).is_empty() {
                count -= 1;
            }
            let removed = *place;
            *place = chunk.get(count - 1);
            chunk.set(count - 1, Slot::EMPTY);
            match before {
                Some(before) if count == 2 => {
                    before.set(before.width - 1, chunk.get(0));
                    release(chunk.first, overflow_layout());
                    (removed, true)
                }
                _ => (removed, false),
            }
        }
    }

    /// Forgets all items and gives the overflow chunks back; returns how many.
    ///
    /// # Safety
    /// As `push`; the items are owned by somebody else by now.
    unsafe fn clear(self) -> usize {
        // SAFETY: each overflow chunk is read before it is freed, and freed once.
        unsafe {
            let (mut freed, mut next) = (0, self.next());
            while let Some(chunk) = next {
                next = chunk.next();
                release(chunk.first, overflow_layout());
                freed += 1;
            }
            for at in 0..self.width {
                self.set(at, Slot::EMPTY);
            }
            freed
        }
    }
}

fn overflow_layout() -> Layout {
    const SIZE: usize = OVERFLOW_SLOTS * size_of::<Slot>();
    Layout::from_size_align(SIZE, SIZE).expect("a power of two")
}

fn buckets_layout(buckets: usize) -> Layout {
    let line = BUCKET_SLOTS * size_of::<Slot>();
    Layout::from_size_align(buckets * line, line).expect("a segment is small")
}

fn allocate(layout: Layout) -> *mut Slot {
    debug_assert!(layout.size() > 0);
    // SAFETY: no layout here has size zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout)
    }
    memory.cast()
}

/// # Safety
/// `memory` came from `allocate(layout)` and is not used again.
unsafe fn release(memory: *mut Slot, layout: Layout) {
    // SAFETY: as promised by the caller.
    unsafe { dealloc(memory.cast(), layout) }
}

#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch(address.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Where a tag begins in the hash for a bucket with this many address bits.
#[inline(always)]
fn tag_shift(address_bits: u32) -> u32 {
    address_bits & !7
}

#[inline(always)]
fn tag_of(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize & 0xffff
}

/// The table. It owns its items; dropping it drops them (O(n): do it in the background).
pub struct Table<T: Item> {
    segments: Vec<*mut Slot>,
    /// Slices of huge pages, with the index of the first segment in each.
    slices: Vec<(usize, NonNull<u8>)>,
    /// Buckets that the first segment has room for: a power of two, `SEGMENT_BUCKETS` once there is a second segment.
    first_room: usize,
    /// 0 as long as nothing was ever inserted, then at least 1.
    buckets: usize,
    /// 2^level <= buckets < 2^(level + 1)
    level: u32,
    /// buckets - 2^level: the next bucket to split.
    split: usize,
    len: usize,
    overflows: usize,
    scratch: Vec<Slot>,
    items: PhantomData<T>,
}

// SAFETY: the table owns its items and chunks and shares nothing.
unsafe impl<T: Item + Send> Send for Table<T> {}

impl<T: Item> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Item> Table<T> {
    /// An empty table; it allocates at the first insert.
    pub const fn new() -> Self {
        Table {
            segments: Vec::new(),
            slices: Vec::new(),
            first_room: 0,
            buckets: 0,
            level: 0,
            split: 0,
            len: 0,
            overflows: 0,
            scratch: Vec::new(),
            items: PhantomData,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Buckets now in use.
    pub fn buckets(&self) -> usize {
        self.buckets
    }

    /// Bytes of memory that the table itself holds, without the items.
    pub fn bytes(&self) -> usize {
        let rooms = self.first_room + self.segments.len().saturating_sub(1) * SEGMENT_BUCKETS;
        rooms * buckets_layout(1).size()
            + self.overflows * overflow_layout().size()
            + self.segments.capacity() * size_of::<*mut Slot>()
    }

    /// The bucket of a hash, and where tags begin there.
    #[inline(always)]
    fn locate(&self, hash: u64) -> (usize, u32) {
        let hash = hash as u32 as usize;
        let low = (1usize << self.level) - 1;
        let upper = usize::from(hash & low < self.split);
        (hash & (low | (upper << self.level)), tag_shift(self.level + upper as u32))
    }

    /// The chunk of a bucket's own cache line.
    #[inline(always)]
    fn bucket(&self, index: usize) -> Chunk {
        debug_assert!(index < self.buckets);
        // SAFETY: index < buckets, for all of which segments exist, each long enough.
        let first =
            unsafe { self.segments.get_unchecked(index / SEGMENT_BUCKETS).add(index % SEGMENT_BUCKETS * BUCKET_SLOTS) };
        Chunk { first, width: BUCKET_SLOTS }
    }

    #[inline(always)]
    fn position(&self, hash: u64, mut eq: impl FnMut(T::Ref<'_>) -> bool) -> Option<(usize, *mut Slot)> {
        if self.len == 0 {
            return None;
        }
        let (index, shift) = self.locate(hash);
        let tag = tag_of(hash, shift);
        let mut chunk = self.bucket(index);
        loop {
            // All slots first, without branches; then the few candidates (one in most cases).
            let mut candidates = 0u32;
            for at in 0..chunk.width {
                // SAFETY: at < width of a living chunk.
                candidates |= u32::from(unsafe { chunk.get(at) }.tag() == tag) << at;
            }
            while candidates != 0 {
                let at = candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                // SAFETY: at < width; the item is borrowed for the call only, and `self` is borrowed meanwhile.
                unsafe {
                    let slot = chunk.get(at);
                    if slot.is_item() && eq(T::borrow(slot.raw())) {
                        return Some((index, chunk.first.add(at)));
                    }
                }
            }
            // SAFETY: the chunk is alive.
            chunk = unsafe { chunk.next() }?;
        }
    }

    /// Starts loading the cache line of the bucket.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if self.len != 0 {
            prefetch(self.bucket(self.locate(hash).0).first.cast());
        }
    }

    /// Starts loading the first two lines of the item (most keys with their values lie within), or the overflow chunk where it might be. Reads the bucket: prefetch
    /// that before.
    #[inline]
    pub fn prefetch_item(&self, hash: u64) {
        if self.len == 0 {
            return;
        }
        let (index, shift) = self.locate(hash);
        let (tag, chunk) = (tag_of(hash, shift), self.bucket(index));
        let mut found = false;
        for at in 0..BUCKET_SLOTS {
            // SAFETY: within the bucket.
            let slot = unsafe { chunk.get(at) };
            if slot.tag() == tag && slot.is_item() {
                prefetch(slot.raw().as_ptr());
                prefetch(slot.raw().as_ptr().wrapping_add(64));
                found = true;
            }
        }
        // SAFETY: the bucket is alive.
        if let (false, Some(next)) = (found, unsafe { chunk.next() }) {
            prefetch(next.first.cast());
        }
    }

    /// Starts loading all items that `visit_low` would look at. Reads the bucket: prefetch that before.
    pub fn prefetch_low(&self, low: u32) {
        if self.len == 0 {
            return;
        }
        let (index, shift) = self.locate(u64::from(low));
        let (tag, mask) = (tag_of(u64::from(low), shift), low_tag_mask(shift));
        // SAFETY: the chain is alive.
        unsafe {
            self.bucket(index).walk(|slot| {
                if slot.tag() & mask == tag {
                    prefetch(slot.raw().as_ptr());
                }
                false
            });
        }
    }

    /// The item with this hash for which `eq` holds.
    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(T::Ref<'_>) -> bool) -> Option<T::Ref<'_>> {
        // SAFETY: the slot holds an item, and the table stays borrowed as long as the view.
        self.position(hash, eq).map(|(_, place)| unsafe { T::borrow((*place).raw()) })
    }

    /// As `find`, for changing, replacing or removing it.
    #[inline]
    pub fn find_mut(&mut self, hash: u64, eq: impl FnMut(T::Ref<'_>) -> bool) -> Option<Occupied<'_, T>> {
        let (bucket, place) = self.position(hash, eq)?;
        Some(Occupied { table: self, bucket, place })
    }

    /// Adds an item that is not there yet (this is not checked), and splits a bucket if it is time to.
    ///
    /// `rehash` gives the hash of an item as it was given to `insert_unique`.
    pub fn insert_unique(&mut self, hash: u64, item: T, rehash: impl Fn(T::Ref<'_>) -> u64) {
        if self.buckets == 0 {
            self.segments.push(allocate(buckets_layout(1)));
            (self.first_room, self.buckets) = (1, 1);
        } else if self.len >= self.buckets * GROW_LOAD && self.level <= LEVEL_MAX {
            self.split_one(&rehash);
        }
        let (index, shift) = self.locate(hash);
        let slot = Slot::item(item.into_raw(), tag_of(hash, shift));
        // SAFETY: the chain is alive and `self` is borrowed exclusively.
        self.overflows += usize::from(unsafe { self.bucket(index).push(slot) });
        self.len += 1;
    }

    /// Visits the items whose hash has these low 32 bits, and possibly others of the same bucket (so `f` must check);
    /// removes those for which it says so and hands them to `removed`.
    pub fn visit_low(
        &mut self,
        low: u32,
        rehash: impl Fn(T::Ref<'_>) -> u64,
        mut f: impl FnMut(T::Mut<'_>) -> Verdict,
        mut removed: impl FnMut(T),
    ) {
        if self.len == 0 {
            return;
        }
        let (index, shift) = self.locate(u64::from(low));
        let (tag, mask) = (tag_of(u64::from(low), shift), low_tag_mask(shift));
        let bucket = self.bucket(index);
        let mut skip = 0;
        loop {
            // A removal moves the chain's last item into the hole: walk again, past what was already judged.
            let mut at = 0;
            // SAFETY: the chain is alive; the view given to `f` is the only one and ends with the call.
            let place = unsafe {
                bucket.walk(|slot| {
                    at += 1;
                    at > skip && slot.tag() & mask == tag && f(T::borrow_mut(slot.raw())) == Verdict::Remove
                })
            };
            let Some(place) = place else { break };
            skip = at - 1;
            // SAFETY: `place` was just found in this chain.
            let item = unsafe { self.cut(index, place) };
            removed(item);
        }
        self.shrink_if_sparse(&rehash);
    }

    /// Whether `f` holds for one of the items whose hash has these low 32 bits, or possibly for another one of the same
    /// bucket (so `f` must check).
    pub fn any_low(&self, low: u32, mut f: impl FnMut(T::Ref<'_>) -> bool) -> bool {
        if self.len == 0 {
            return false;
        }
        let (index, shift) = self.locate(u64::from(low));
        let (tag, mask) = (tag_of(u64::from(low), shift), low_tag_mask(shift));
        // SAFETY: the chain is alive and borrowed; the views end with the calls.
        unsafe { self.bucket(index).walk(|slot| slot.tag() & mask == tag && f(T::borrow(slot.raw()))).is_some() }
    }

    /// Calls `f` for a part of the items and returns the cursor of the next part: begin with 0, end when 0 comes back.
    ///
    /// An item that is in the table during the whole walk is visited at least once, whatever is added and removed
    /// meanwhile, at the price that some are visited twice. A cursor is below 2^32.
    pub fn scan(&self, cursor: u64, mut f: impl FnMut(T::Ref<'_>)) -> u64 {
        if self.buckets == 0 {
            return 0;
        }
        let low = (1usize << self.level) - 1;
        let index = cursor as usize & low;
        self.each_of(index, &mut f);
        if index < self.split {
            self.each_of(index | (1 << self.level), &mut f);
        }
        self.behind(cursor)
    }

    /// As `scan`, with items that may be changed, as long as `f` says so: `None` when it said no, and the same part is to
    /// come again. Meanwhile the items of the next part are loaded.
    pub fn scan_mut(&mut self, cursor: u64, mut f: impl FnMut(T::Mut<'_>) -> bool) -> Option<u64> {
        if self.buckets == 0 {
            return Some(0);
        }
        let next = self.behind(cursor);
        self.parts(next).for_each(|index| self.prefetch_items(index));
        self.parts(self.behind(self.behind(next))).for_each(|index| prefetch(self.bucket(index).first.cast()));
        for index in self.parts(cursor) {
            // SAFETY: the chain is alive; the view given to `f` is the only one and ends with the call.
            if unsafe { self.bucket(index).walk(|slot| !f(T::borrow_mut(slot.raw()))) }.is_some() {
                return None;
            }
        }
        Some(next)
    }

    /// The buckets that a part of a walk consists of.
    fn parts(&self, cursor: u64) -> impl Iterator<Item = usize> + use<T> {
        let index = cursor as usize & ((1 << self.level) - 1);
        let upper = (index < self.split).then_some(index | (1 << self.level));
        std::iter::once(index).chain(upper)
    }

    /// The cursor behind a part of a walk.
    fn behind(&self, cursor: u64) -> u64 {
        // Add one to the reversed address bits: what is visited stays visited when the number of bits changes.
        let low = (1u64 << self.level) - 1;
        (cursor | !low).reverse_bits().wrapping_add(1).reverse_bits()
    }

    /// Calls `f` for all items.
    pub fn for_each(&self, mut f: impl FnMut(T::Ref<'_>)) {
        (0..self.buckets).for_each(|index| self.each_of(index, &mut f));
    }

    /// Takes all items out. The buckets stay.
    pub fn drain(&mut self, mut f: impl FnMut(T)) {
        for index in 0..self.buckets {
            if index + 1 < self.buckets {
                self.prefetch_items(index + 1);
            }
            // SAFETY: the chain is alive; `place` was just found in it. The table is whole whenever `f` runs.
            while let Some(place) = unsafe { self.bucket(index).walk(|_| true) } {
                // SAFETY: as above.
                let item = unsafe { self.cut(index, place) };
                f(item);
            }
        }
    }

    fn each_of(&self, index: usize, f: &mut impl FnMut(T::Ref<'_>)) {
        // SAFETY: the chain is alive and borrowed; the views end with the calls.
        unsafe {
            self.bucket(index).walk(|slot| {
                f(T::borrow(slot.raw()));
                false
            });
        }
    }

    /// An item chosen at random, all with the same chance (but for those beyond the 32nd of one bucket).
    ///
    /// Cost: about five buckets are looked at.
    pub fn random(&self, mut next: impl FnMut() -> u64) -> Option<T::Ref<'_>> {
        const CHAIN: usize = 32;
        if self.len == 0 {
            return None;
        }
        // A bucket and a rank in it, until an item has that rank. A table that was not allowed to shrink may be nearly
        // empty, so after a while the first item from some place on must do.
        for attempt in 0u32.. {
            let random = next();
            let index = ((random >> 32) as usize * self.buckets) >> 32;
            let rank = if attempt < 1000 { random as usize % CHAIN } else { 0 };
            let mut at = 0;
            // SAFETY: the chain is alive and borrowed as long as the view that is returned.
            unsafe {
                let place = self.bucket(index).walk(|_| {
                    at += 1;
                    at > rank
                });
                if let Some(place) = place {
                    return Some(T::borrow((*place).raw()));
                }
            }
        }
        None
    }

    /// # Safety
    /// `place` is the slot of an item in the chain of the bucket `index`.
    unsafe fn cut(&mut self, index: usize, place: *mut Slot) -> T {
        // SAFETY: `self` is borrowed exclusively; the item leaves the chain, so it is given back once.
        unsafe {
            let (slot, freed) = self.bucket(index).cut(place);
            self.overflows -= usize::from(freed);
            self.len -= 1;
            T::from_raw(slot.raw())
        }
    }

    /// Copies the slots of a chain into the scratch list.
    fn collect(&mut self, index: usize) {
        let (bucket, scratch) = (self.bucket(index), &mut self.scratch);
        // SAFETY: the chain is alive and not changed meanwhile.
        unsafe {
            bucket.walk(|slot| {
                scratch.push(slot);
                false
            });
        }
    }

    fn prefetch_items(&self, index: usize) {
        // SAFETY: the chain is alive.
        unsafe {
            self.bucket(index).walk(|slot| {
                prefetch(slot.raw().as_ptr());
                false
            });
        }
    }

    /// Adds one bucket and moves there its share of the one it is split from.
    fn split_one(&mut self, rehash: &impl Fn(T::Ref<'_>) -> u64) {
        let (from, to, level) = (self.split, self.buckets, self.level);
        let (old, new) = (tag_shift(level), tag_shift(level + 1));
        self.scratch.clear();
        self.collect(from);
        for slot in &mut self.scratch {
            let upper = if old == new {
                slot.tag() >> (level - old) & 1
            } else {
                // SAFETY: the item is borrowed for the call only.
                let hash = rehash(unsafe { T::borrow(slot.raw()) });
                *slot = slot.tagged(tag_of(hash, new));
                (hash >> level) as usize & 1
            };
            slot.0 = slot.0.map_addr(|a| a | (upper * UPPER));
        }
        // Nothing has changed up to here, so a panic of `rehash` is harmless; from here on nothing panics.
        self.make_room(to + 1);
        self.buckets += 1;
        let (lower, upper) = (self.bucket(from), self.bucket(to));
        // SAFETY: both chains are alive and nobody else refers into them; each slot of the old chain goes to one of
        // them. The new bucket is zeroed, hence empty.
        unsafe {
            self.overflows -= lower.clear();
            for slot in &self.scratch {
                let bare = Slot(slot.0.map_addr(|a| a & !UPPER));
                let chain = if slot.0.addr() & UPPER == 0 { lower } else { upper };
                self.overflows += usize::from(chain.push(bare));
            }
        }
        self.split += 1;
        if self.split == 1 << self.level {
            (self.level, self.split) = (self.level + 1, 0);
        }
        if tag_shift(self.level) != tag_shift(self.level + 1) {
            self.prefetch_items(self.split);
        }
    }

    fn shrink_if_sparse(&mut self, rehash: &impl Fn(T::Ref<'_>) -> u64) {
        if self.buckets > 1 && self.len < self.buckets * SHRINK_LOAD {
            self.merge_one(rehash);
        }
    }

    /// Takes the last bucket away and moves its items back to the one it was split from.
    fn merge_one(&mut self, rehash: &impl Fn(T::Ref<'_>) -> u64) {
        let from = self.buckets - 1;
        let level = from.ilog2();
        let into = from - (1 << level);
        self.scratch.clear();
        self.collect(into);
        self.collect(from);
        let shift = tag_shift(level);
        if shift != tag_shift(level + 1) {
            for slot in &mut self.scratch {
                // SAFETY: the item is borrowed for the call only.
                let hash = rehash(unsafe { T::borrow(slot.raw()) });
                *slot = slot.tagged(tag_of(hash, shift));
            }
        }
        // SAFETY: both chains are alive and nobody else refers into them; all their slots are pushed again.
        unsafe {
            self.overflows -= self.bucket(from).clear() + self.bucket(into).clear();
            for &slot in &self.scratch {
                self.overflows += usize::from(self.bucket(into).push(slot));
            }
        }
        (self.buckets, self.level, self.split) = (from, level, into);
        self.drop_room();
    }

    /// Room for this many buckets, one more than before. New buckets are empty.
    fn make_room(&mut self, buckets: usize) {
        if buckets > SEGMENT_BUCKETS {
            if (buckets - 1).is_multiple_of(SEGMENT_BUCKETS) {
                self.add_segment();
            }
        } else if buckets > self.first_room {
            self.resize_first(self.first_room * 2);
        }
    }

    /// After a bucket was taken away.
    fn drop_room(&mut self) {
        if self.buckets >= SEGMENT_BUCKETS {
            if self.buckets.is_multiple_of(SEGMENT_BUCKETS) {
                // SAFETY: its last bucket was just taken away.
                unsafe { self.drop_segment() }
            }
        } else if self.buckets <= self.first_room / 4 {
            self.resize_first(self.first_room / 2);
        }
    }

    fn add_segment(&mut self) {
        let index = self.segments.len();
        let mut slice = self.slices.last().copied().filter(|&(first, _)| index < first + SLICE_SEGMENTS);
        if slice.is_none() && index >= HUGE_FROM {
            slice = huge::take().map(|slice| (index, slice.into_zeroed()));
            self.slices.extend(slice);
        }
        self.segments.push(match slice {
            // SAFETY: within the slice. It was zeroed, and is again where buckets have been taken away.
            Some((first, memory)) => unsafe {
                memory.as_ptr().cast::<Slot>().add((index - first) * SEGMENT_BUCKETS * BUCKET_SLOTS)
            },
            None => allocate(buckets_layout(SEGMENT_BUCKETS)),
        });
    }

    /// # Safety
    /// There is a segment besides the first, and the last one is out of use.
    unsafe fn drop_segment(&mut self) {
        let Some(segment) = self.segments.pop() else { return };
        let index = self.segments.len();
        match self.slices.last() {
            Some(&(first, memory)) if (first..first + SLICE_SEGMENTS).contains(&index) => {
                if index == first {
                    self.slices.pop();
                    // SAFETY: this was the last segment in it.
                    drop(unsafe { Slice::from_raw(memory) });
                }
            }
            // SAFETY: it was allocated with this layout.
            _ => unsafe { release(segment, buckets_layout(SEGMENT_BUCKETS)) },
        }
    }

    /// Gives the first and only segment room for this many buckets.
    fn resize_first(&mut self, room: usize) {
        let (old, new) = (buckets_layout(self.first_room), buckets_layout(room));
        // SAFETY: the segment was allocated with `old`; the added part is zeroed before it is used.
        let memory = unsafe {
            let memory = realloc(self.segments[0].cast(), old, new.size());
            if memory.is_null() {
                handle_alloc_error(new)
            }
            if new.size() > old.size() {
                ptr::write_bytes(memory.add(old.size()), 0, new.size() - old.size());
            }
            memory
        };
        self.segments[0] = memory.cast();
        self.first_room = room;
    }
}

/// The bits of a tag that come from the low 32 bits of the hash.
fn low_tag_mask(shift: u32) -> usize {
    (u32::MAX >> shift) as usize & 0xffff
}

impl<T: Item> Drop for Table<T> {
    fn drop(&mut self) {
        self.drain(drop);
        while self.segments.len() > 1 {
            // SAFETY: all is out of use.
            unsafe { self.drop_segment() }
        }
        if let Some(first) = self.segments.pop() {
            // SAFETY: allocated with this layout, and not used again.
            unsafe { release(first, buckets_layout(self.first_room)) }
        }
    }
}

/// An item found in the table.
pub struct Occupied<'a, T: Item> {
    table: &'a mut Table<T>,
    bucket: usize,
    place: *mut Slot,
}

impl<'a, T: Item> Occupied<'a, T> {
    fn raw(&self) -> NonNull<u8> {
        // SAFETY: `place` is the slot of an item as long as the table is borrowed here.
        unsafe { (*self.place).raw() }
    }

    pub fn get(&self) -> T::Ref<'_> {
        // SAFETY: the view borrows `self`, which borrows the table.
        unsafe { T::borrow(self.raw()) }
    }

    pub fn get_mut(&mut self) -> T::Mut<'_> {
        // SAFETY: the view borrows `self` exclusively.
        unsafe { T::borrow_mut(self.raw()) }
    }

    pub fn into_ref(self) -> T::Ref<'a> {
        // SAFETY: the table stays borrowed for 'a.
        unsafe { T::borrow(self.raw()) }
    }

    pub fn into_mut(self) -> T::Mut<'a> {
        // SAFETY: the table stays borrowed exclusively for 'a.
        unsafe { T::borrow_mut(self.raw()) }
    }

    /// Puts another item with the same hash in its place.
    pub fn replace(&mut self, item: T) -> T {
        // SAFETY: the slot is ours; the old item leaves it and is given back once.
        unsafe {
            let old = *self.place;
            *self.place = Slot::item(item.into_raw(), old.tag());
            T::from_raw(old.raw())
        }
    }

    /// Takes it out, and a bucket away if the table has become sparse.
    pub fn remove(self, rehash: impl Fn(T::Ref<'_>) -> u64) -> T {
        // SAFETY: `place` is in the chain of `bucket`.
        let item = unsafe { self.table.cut(self.bucket, self.place) };
        self.table.shrink_if_sparse(&rehash);
        item
    }
}

#[cfg(test)]
mod tests;
