//! Memory for very many small blocks, without a header and without rounding to powers of two.
//!
//! ```text
//! chunk: 1 MiB from the global allocator  | page 0: 64 KiB, aligned to its size | page 1 | ... | page 15 |
//!        later 256 KiB of a huge page                                                 | ... page 3 |
//! page:                                   | blocks, up to 4 KiB | head | blocks .. |
//!
//! class of blocks -> pages with room: nearly full ones in front, sparse ones behind -> free blocks (offsets), then untouched ones
//! ```
//!
//! A page holds blocks of one class: multiples of 8 bytes up to 512, then 32 steps a doubling, so that at most 3 % of a
//! block are unused (usual allocators: up to 20 %). Larger blocks than `BLOCK_MAX` come from the global allocator. Blocks
//! are handed out in the order of their addresses, so memory becomes resident only as it is used.
//!
//! **One owner.** A heap and its pages belong to one thread at a time and move as a whole; nothing here is atomic. Every
//! page bears the number of its heap, which is unique in the process: a block given to the wrong heap is noticed. A heap
//! that is dropped before its blocks leaves their chunks behind for ever, so blocks never dangle.
//!
//! **After deletions.** A page without blocks goes back to the pool of all classes, a chunk without pages to the global
//! allocator (one stays as a reserve). New blocks go to pages that are nearly full, and the lowest chunks are used first,
//! so that sparse pages and late chunks get a chance to become empty. Blocks are never moved: if the sizes in use change
//! for good, or most blocks are deleted at random, pages stay partly used until their last block goes.
//!
//! **Page heads** are found from the address of a block alone. Were they all at the beginning of their pages, they would
//! share the same few sets of the caches; so each lies one line further than that of the page before (its colour).
//!
//! **Chunks** are not asked for with an alignment: allocators then reserve twice as much, and where the system uses huge
//! pages on its own that becomes resident. If a chunk happens not to begin at a page, it has one page less.
//!
//! A heap of a few MiB takes further chunks in huge pages, as far as they are ready (`huge`): a lookup then finds the
//! address of a block at once, and nobody waits for memory that is touched for the first time.
//!
//! It knows nothing of what is in a block, and does not remember the size of one: who frees a block tells it.
//!
//! Source: pages of one size each, linked through their free blocks, as in J. Bonwick, "The slab allocator", 1994; heads
//! found from an address and pages preferred while full as in D. Leijen et al., "Mimalloc", 2019.

#![allow(unsafe_code)]

use super::huge::{self, SLICE, Slice};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest block that comes from a page.
pub const BLOCK_MAX: usize = 2048;

/// Up to here classes are 8 bytes apart.
const FINE_MAX: usize = 512;
const FINE_STEP: usize = 8;
/// Classes a doubling, beyond.
const STEPS: usize = 32;
const CLASSES: usize = FINE_MAX / FINE_STEP + 1 + 2 * STEPS;

/// Small enough that many classes with few blocks, and pages with few survivors, cost little; large enough that a
/// page's own costs vanish.
const PAGE: usize = if cfg!(miri) { 8 << 10 } else { 64 << 10 };
const PAGES: usize = 16;
const CHUNK: usize = PAGES * PAGE;
const HEAD: usize = size_of::<Page>();
const COLOURS: usize = if cfg!(miri) { 16 } else { 64 };

/// Pages that stay in the pool when an empty chunk goes.
const RESERVE: u32 = PAGES as u32 / 2;

/// From so many pages on, chunks are slices of huge pages: a small heap has nothing from it.
const HUGE_FROM: u32 = 2 * PAGES as u32;

/// No free block that was used before.
const NONE: u16 = u16::MAX;

/// Pages that the masks of a chunk have bits for.
const MASK_PAGES: usize = u32::BITS as usize;

const _: () = assert!(PAGES < u32::BITS as usize && SLICE / PAGE <= MASK_PAGES && HEAD == 64);
const _: () = assert!(PAGE / 8 < NONE as usize, "offsets within a page, in units of 8 bytes, fit 16 bits");
const _: () = assert!(COLOURS * HEAD + 2 * BLOCK_MAX <= PAGE, "a page holds two blocks at least");

/// The size of the block that a request for so many bytes gets: what the memory really costs.
#[inline]
pub fn block_size(bytes: usize) -> usize {
    if bytes <= FINE_MAX {
        (bytes + FINE_STEP - 1) & !(FINE_STEP - 1)
    } else if bytes <= BLOCK_MAX {
        let step = 1usize << ((bytes - 1).ilog2() - STEPS.ilog2());
        (bytes + step - 1) & !(step - 1)
    } else {
        system_size(bytes)
    }
}

/// What the global allocator takes for a request: multiples of 16 up to 128, then four sizes a doubling, and whole pages
/// where even these are wider.
#[inline]
pub fn system_size(bytes: usize) -> usize {
    let step = if bytes <= 128 { 16 } else { (bytes.next_power_of_two() / 8).min(4096) };
    (bytes + step - 1) & !(step - 1)
}

#[inline]
fn class_of(bytes: usize) -> usize {
    debug_assert!(0 < bytes && bytes <= BLOCK_MAX);
    if bytes <= FINE_MAX {
        bytes.div_ceil(FINE_STEP)
    } else {
        let last = bytes - 1;
        let doubling = last.ilog2() - FINE_MAX.ilog2();
        let step = (last >> (last.ilog2() - STEPS.ilog2())) % STEPS;
        FINE_MAX / FINE_STEP + 1 + doubling as usize * STEPS + step
    }
}

fn large_layout(bytes: usize) -> Layout {
    Layout::from_size_align(system_size(bytes), 8).expect("blocks are far smaller than memory")
}

fn chunk_layout() -> Layout {
    Layout::from_size_align(CHUNK, 16).expect("a power of two")
}

/// The head of a page. All offsets are in units of 8 bytes from the beginning of the page.
#[repr(C, align(64))]
struct Page {
    /// Number of the heap. Not written while a block is in use, so that it may be read by whoever has one.
    heap: u64,
    /// The ring of pages of this class with room.
    next: *mut Page,
    prev: *mut Page,
    /// Index into `Heap::chunks`.
    chunk: u32,
    class: u16,
    /// Blocks in use.
    used: u16,
    capacity: u16,
    /// At so few blocks the page moves to the end of the ring.
    sparse: u16,
    /// First of the free blocks that were used before; each begins with the offset of the next.
    free: u16,
    /// What begins here was never used.
    fresh: u16,
    /// Size of a block.
    step: u16,
}

struct Chunk {
    /// Null if given back.
    memory: *mut u8,
    /// Whether it is a `Slice`.
    huge: bool,
    /// One bit a page: all of them, and those in the pool.
    all: u32,
    spare: u32,
}

impl Chunk {
    const GONE: Chunk = Chunk { memory: ptr::null_mut(), huge: false, all: 0, spare: 0 };

    fn new() -> Chunk {
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(chunk_layout()) };
        if memory.is_null() {
            handle_alloc_error(chunk_layout())
        }
        Chunk::of(memory, if memory.addr().is_multiple_of(PAGE) { PAGES } else { PAGES - 1 }, false)
    }

    fn of(memory: *mut u8, pages: usize, huge: bool) -> Chunk {
        let all = u32::MAX >> (MASK_PAGES - pages);
        Chunk { memory, huge, all, spare: all }
    }

    fn pages(&self) -> u32 {
        self.all.count_ones()
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// None of its pages is in use or will be.
    unsafe fn free(&mut self) {
        if let Some(memory) = NonNull::new(self.memory) {
            // SAFETY: it came from where `huge` says.
            unsafe {
                if self.huge {
                    drop(Slice::from_raw(memory));
                } else {
                    dealloc(self.memory, chunk_layout());
                }
            }
        }
        *self = Chunk::GONE;
    }

    /// Where its first page begins.
    fn begin(&self) -> *mut u8 {
        self.memory.map_addr(|a| a.next_multiple_of(PAGE))
    }
}

/// A source of blocks, and their only way home.
pub struct Heap {
    /// 0 until the first page is needed.
    number: u64,
    /// By class: first page of the ring, or null. Empty until the first page is needed.
    open: Vec<*mut Page>,
    chunks: Vec<Chunk>,
    /// Indices of chunks given back.
    vacant: Vec<u32>,
    /// No chunk before this one has pages in the pool.
    lowest: usize,
    /// Pages of all chunks, and those of them in the pool.
    pages: u32,
    spare: u32,
}

// SAFETY: the heap owns its chunks. What others may have of them are blocks, of which nobody else reads or writes more
// than the block itself, and the number in the head of its page, which does not change meanwhile.
unsafe impl Send for Heap {}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// An empty heap holds no memory.
    pub const fn new() -> Heap {
        Heap { number: 0, open: Vec::new(), chunks: Vec::new(), vacant: Vec::new(), lowest: 0, pages: 0, spare: 0 }
    }

    /// Bytes of all pages that are not in the pool: an upper bound of what the blocks up to `BLOCK_MAX` keep resident.
    pub fn page_bytes(&self) -> usize {
        (self.pages - self.spare) as usize * PAGE
    }

    /// Blocks in use, but for those larger than `BLOCK_MAX`. Cost: O(pages).
    pub fn blocks(&self) -> usize {
        let pages = self.chunks.iter().flat_map(|chunk| {
            let taken = (0..MASK_PAGES).filter(|&index| chunk.all & !chunk.spare & (1 << index) != 0);
            // SAFETY: the chunk is alive, and the heads of pages that are not in the pool are ours to read.
            taken.map(|index| usize::from(unsafe { (*head_of(chunk.begin().add(index * PAGE))).used }))
        });
        pages.sum()
    }

    /// A block of at least so many bytes, at least one, aligned to 8.
    #[inline]
    pub fn alloc(&mut self, bytes: usize) -> NonNull<u8> {
        if bytes > BLOCK_MAX {
            return alloc_large(bytes);
        }
        let class = class_of(bytes);
        let page = match self.open.get(class) {
            Some(&page) if !page.is_null() => page,
            _ => self.open_page(class),
        };
        // SAFETY: the page is one of ours and has room: a free block, or else an untouched one. A free block is owned by
        // the page and begins with an offset.
        unsafe {
            let base = base_of(page);
            let free = (*page).free;
            let block = if free != NONE {
                let block = base.add(usize::from(free) * 8);
                (*page).free = block.cast::<u16>().read();
                block
            } else {
                let block = base.add(usize::from((*page).fresh) * 8);
                (*page).fresh += (*page).step;
                block
            };
            (*page).used += 1;
            if (*page).used == (*page).capacity {
                self.unlink(page);
            }
            NonNull::new_unchecked(block)
        }
    }

    /// Takes a block back.
    ///
    /// Panics: when the block came from another heap (up to `BLOCK_MAX`; larger ones are all the same).
    ///
    /// # Safety
    /// The block came from `alloc` of some heap, asked for a size with the same `block_size`, and is not used again.
    #[inline]
    pub unsafe fn free(&mut self, block: NonNull<u8>, bytes: usize) {
        if bytes > BLOCK_MAX {
            // SAFETY: as promised.
            return unsafe { free_large(block, bytes) };
        }
        let page = head_of(block.as_ptr());
        // SAFETY: a block in use keeps its page alive, and the number in it unchanged. If it is ours, the page is, and
        // nobody else looks at it. The block is aligned and has at least 8 bytes.
        unsafe {
            assert!((*page).heap == self.number, "a block goes back to its own heap");
            debug_assert!((*page).class as usize == class_of(bytes) && (*page).used > 0);
            if cfg!(debug_assertions) {
                // So that whoever reads it nevertheless notices.
                ptr::write_bytes(block.as_ptr(), 0xdd, block_size(bytes));
            }
            block.as_ptr().cast::<u16>().write((*page).free);
            (*page).free = ((block.as_ptr().addr() % PAGE) / 8) as u16;
            let used = (*page).used - 1;
            (*page).used = used;
            if used == 0 || used == (*page).sparse || used + 1 == (*page).capacity {
                self.settle(page);
            }
        }
    }

    /// A page that has become empty, sparse, or has room again.
    ///
    /// # Safety
    /// The page is one of ours, in use, and a block was freed in it just now.
    #[cold]
    unsafe fn settle(&mut self, page: *mut Page) {
        // SAFETY: a page is in its ring exactly if it has room; a page has at least two blocks, so that it was in the
        // ring if it is empty now, and a sparse one was if it was not full.
        unsafe {
            let (used, capacity) = ((*page).used, (*page).capacity);
            if used == 0 {
                self.unlink(page);
                self.release_page(page);
            } else if used + 1 == capacity {
                self.link(page);
                self.open[(*page).class as usize] = page;
            } else {
                self.unlink(page);
                self.link(page);
            }
        }
    }

    /// Adds a page at the end of its ring.
    ///
    /// # Safety
    /// The page is one of ours, in use, and in no ring.
    unsafe fn link(&mut self, page: *mut Page) {
        // SAFETY: all pages of a ring are ours and alive.
        unsafe {
            let first = &mut self.open[(*page).class as usize];
            if first.is_null() {
                (*page).next = page;
                (*page).prev = page;
                *first = page;
            } else {
                let last = (**first).prev;
                (*page).next = *first;
                (*page).prev = last;
                (*last).next = page;
                (**first).prev = page;
            }
        }
    }

    /// Takes a page out of its ring.
    ///
    /// # Safety
    /// The page is one of ours, and in the ring.
    #[inline]
    unsafe fn unlink(&mut self, page: *mut Page) {
        // SAFETY: all pages of a ring are ours and alive.
        unsafe {
            let (next, prev) = ((*page).next, (*page).prev);
            let first = &mut self.open[(*page).class as usize];
            if next == page {
                *first = ptr::null_mut();
                return;
            }
            (*next).prev = prev;
            (*prev).next = next;
            if *first == page {
                *first = next;
            }
        }
    }

    /// Makes a page of the pool the first and only one with room in its class.
    #[cold]
    fn open_page(&mut self, class: usize) -> *mut Page {
        if self.number == 0 {
            static NUMBERS: AtomicU64 = AtomicU64::new(1);
            self.number = NUMBERS.fetch_add(1, Ordering::Relaxed);
            self.open = vec![ptr::null_mut(); CLASSES];
        }
        if self.spare == 0 {
            self.add_chunk();
        }
        while self.chunks[self.lowest].spare == 0 {
            self.lowest += 1;
        }
        let chunk = &mut self.chunks[self.lowest];
        let index = chunk.spare.trailing_zeros() as usize;
        chunk.spare &= chunk.spare - 1;
        self.spare -= 1;
        // SAFETY: within the chunk, and nobody else's as long as it was in the pool.
        let base = unsafe { chunk.begin().add(index * PAGE) };
        let page = head_of(base);
        let (size, head_at) = (size_of_class(class), page.addr() % PAGE);
        let (before, behind) = (head_at / size, (PAGE - head_at - HEAD) / size);
        let capacity = (before + behind) as u16;
        let head = Page {
            heap: self.number,
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            chunk: self.lowest as u32,
            class: class as u16,
            used: 0,
            capacity,
            sparse: capacity / 4,
            free: NONE,
            fresh: ((head_at + HEAD) / 8) as u16,
            step: (size / 8) as u16,
        };
        // SAFETY: head and blocks are within the page; the page is in no ring.
        unsafe {
            page.write(head);
            for at in (0..before).rev().map(|nth| nth * size) {
                base.add(at).cast::<u16>().write((*page).free);
                (*page).free = (at / 8) as u16;
            }
            self.link(page);
        }
        page
    }

    /// Puts an empty page into the pool, and gives its chunk back if that is empty and not needed as a reserve.
    ///
    /// # Safety
    /// The page is one of ours, has no block in use and is in no ring.
    unsafe fn release_page(&mut self, page: *mut Page) {
        // SAFETY: the page is alive.
        let at = unsafe { (*page).chunk } as usize;
        let chunk = &mut self.chunks[at];
        chunk.spare |= 1 << ((page.addr() - chunk.begin().addr()) / PAGE);
        self.spare += 1;
        self.lowest = self.lowest.min(at);
        let pages = chunk.pages();
        if chunk.spare == chunk.all && self.spare >= pages + RESERVE {
            // SAFETY: none of its pages is in use.
            unsafe { chunk.free() }
            self.pages -= pages;
            self.spare -= pages;
            self.vacant.push(at as u32);
        }
    }

    fn add_chunk(&mut self) {
        let slice = if self.pages >= HUGE_FROM { huge::take() } else { None };
        let chunk = match slice {
            Some(slice) => Chunk::of(slice.into_raw().as_ptr(), SLICE / PAGE, true),
            None => Chunk::new(),
        };
        self.pages += chunk.pages();
        self.spare += chunk.pages();
        let at = match self.vacant.pop() {
            Some(at) => {
                self.chunks[at as usize] = chunk;
                at as usize
            }
            None => {
                self.chunks.push(chunk);
                self.chunks.len() - 1
            }
        };
        self.lowest = self.lowest.min(at);
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        for chunk in &mut self.chunks {
            // Pages of which blocks are in use are left to them.
            if chunk.spare == chunk.all {
                // SAFETY: none of its pages is in use.
                unsafe { chunk.free() }
            }
        }
    }
}

fn size_of_class(class: usize) -> usize {
    match class.checked_sub(FINE_MAX / FINE_STEP + 1) {
        None => class * FINE_STEP,
        Some(above) => {
            let size = FINE_MAX << (above / STEPS);
            size + size / STEPS * (above % STEPS + 1)
        }
    }
}

/// The head of the page in which an address lies. It may be read only if a block in use lies there.
#[inline]
fn head_of(within: *mut u8) -> *mut Page {
    within.map_addr(|a| (a & !(PAGE - 1)) + a / PAGE % COLOURS * HEAD).cast()
}

/// Where a page begins.
#[inline]
fn base_of(page: *mut Page) -> *mut u8 {
    page.cast::<u8>().map_addr(|a| a & !(PAGE - 1))
}

#[cold]
fn alloc_large(bytes: usize) -> NonNull<u8> {
    let layout = large_layout(bytes);
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// # Safety
/// As `Heap::free`, with more than `BLOCK_MAX` bytes.
#[cold]
unsafe fn free_large(block: NonNull<u8>, bytes: usize) {
    // SAFETY: allocated with this layout.
    unsafe { dealloc(block.as_ptr(), large_layout(bytes)) }
}

/// Frees a block that needs no heap.
///
/// # Safety
/// As `Heap::free`, with more than `BLOCK_MAX` bytes.
pub unsafe fn free_without_heap(block: NonNull<u8>, bytes: usize) {
    assert!(bytes > BLOCK_MAX, "a block of a page has a heap");
    // SAFETY: as promised.
    unsafe { free_large(block, bytes) }
}

#[cfg(test)]
mod tests;
