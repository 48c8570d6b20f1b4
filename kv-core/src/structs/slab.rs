//! Blocks of bytes in pages, addressed by 32-bit handles: the memory of one collection.
//!
//! ```text
//! handle   1 | page: 18 bits | place in the page, in units of 8 bytes: 13 bits        a block of up to 512 bytes
//!          0 | number + 1: 31 bits                                                     a larger block, boxed by itself
//!
//! page     blocks of one size: [used][free -> next free in this page][used] ... room up to 64 KiB
//! large    groups of 256 boxes
//! ```
//!
//! A block's size is a multiple of 8, its class. A page grows from two blocks to 64 KiB, and further pages of a class
//! begin in proportion to those it has, so a small collection holds little more than it stores. Blocks never move. A
//! freed block serves the next one of its class; a page without blocks is given back, so what has become free of one
//! size is not lost for others.
//!
//! **Freezing** (`freeze`) takes O(pages) and O(groups): what comes out walks over the blocks that were in use, whatever
//! becomes of the slab. From then on a write copies the page, or the group and the block, that it touches, once.
//!
//! **Invariants.** A page is in the list of its class if and only if it has a free block or room for one; a page outside
//! of any class holds no memory. The handles of small blocks have their top bit set, so a handle is never 0.
//!
//! It is safe code: a handle that was freed, or that comes from another slab, reads wrong bytes or panics, no more. It does
//! not know how long the contents of a block are: whoever stores them must.

use super::freezable::{Freezable, Piece};
use std::num::NonZeroU32;
use std::sync::Arc;

mod frozen;
mod fuzz;
pub use frozen::FrozenSlab;
pub use fuzz::fuzz_slab;

const UNIT: usize = 8;
/// The largest block that comes from a page.
const SMALL_MAX: usize = 512;
const PAGE: usize = 64 << 10;
/// A page grows by this part of itself: each byte is copied four times until it is full, which is little beside what
/// making a record costs, and an eighth of the room is free on average.
const PAGE_GROWTH: usize = 4;
/// Bits of the place within a page.
const PLACE_BITS: u32 = (PAGE / UNIT).ilog2();
const SMALL: u32 = 1 << 31;
/// 16 GiB; from there on small blocks are boxed, too.
const PAGES_MAX: usize = 1 << (31 - PLACE_BITS);
const LARGE_MAX: usize = SMALL as usize - 1;
/// Large blocks that are frozen together: few enough that counting each of them anew takes microseconds.
const GROUP: usize = 256;
/// Bytes of a large block besides its own: the counts of who reads it.
const LARGE_HEAD: usize = 2 * size_of::<usize>();

/// No page.
const NO_PAGE: u32 = u32::MAX;
/// No block that was freed.
const NO_BLOCK: u16 = u16::MAX;

const _: () = assert!(PAGE / UNIT < NO_BLOCK as usize && PAGES_MAX < NO_PAGE as usize);

/// Where a block is. It stays the same until the block is freed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle(NonZeroU32);

impl Handle {
    /// The handle as a number that is never 0.
    #[inline]
    pub fn raw(self) -> u32 {
        self.0.get()
    }

    /// The reverse of `raw`; none for 0.
    #[inline]
    pub fn from_raw(raw: u32) -> Option<Handle> {
        NonZeroU32::new(raw).map(Handle)
    }

    fn small(page: usize, place: usize) -> Handle {
        let raw = SMALL | (page as u32) << PLACE_BITS | place as u32;
        Handle(NonZeroU32::new(raw).expect("the top bit is set"))
    }

    fn large(number: usize) -> Handle {
        Handle(NonZeroU32::new(number as u32 + 1).expect("one more than a number"))
    }

    #[inline(always)]
    fn place(self) -> Place {
        let raw = self.0.get();
        if raw & SMALL != 0 {
            let place = raw & ((1 << PLACE_BITS) - 1);
            Place::Small { page: ((raw & !SMALL) >> PLACE_BITS) as usize, at: place as usize * UNIT }
        } else {
            Place::Large { number: raw as usize - 1 }
        }
    }
}

enum Place {
    Small { page: usize, at: usize },
    Large { number: usize },
}

/// What is known of a page beside its bytes.
#[derive(Clone)]
struct Head {
    /// Neighbours in the list of the class; of a page that is out of use, the next such.
    next: u32,
    before: u32,
    /// The first free block, in units; each free block begins with the next.
    free: u16,
    live: u16,
    class: u16,
}

#[derive(Clone, Copy)]
struct Class {
    /// The first page with room.
    open: u32,
    pages: u32,
}

/// Large blocks, each by itself, so that one is copied without its neighbours.
type Group = Vec<Option<Arc<[u8]>>>;

impl Piece for Group {
    fn copy(&self) -> Group {
        let mut copy = Vec::with_capacity(self.capacity());
        copy.extend(self.iter().cloned());
        copy
    }
}

pub struct Slab {
    /// Up to its length, a page was cut into blocks; up to its capacity there is room.
    pages: Vec<Freezable<Vec<u8>>>,
    heads: Vec<Head>,
    /// By block size in units; as long as the largest size so far demands.
    classes: Vec<Class>,
    /// The first page that is out of use.
    spare: u32,
    /// All groups but the last are full.
    large: Vec<Freezable<Group>>,
    free_large: Vec<u32>,
    blocks: usize,
    /// Bytes of pages, groups and large blocks.
    held: usize,
}

impl Default for Slab {
    fn default() -> Slab {
        Slab::new()
    }
}

/// A copy has the same handles.
impl Clone for Slab {
    fn clone(&self) -> Slab {
        let pages = self.pages.clone();
        let large: Vec<Freezable<Group>> = self.large.iter().map(|group| copy_of_blocks(group).into()).collect();
        let held = pages.iter().map(|page| page.capacity()).sum::<usize>()
            + large.iter().map(|group| held_by(group)).sum::<usize>();
        Slab {
            pages,
            heads: self.heads.clone(),
            classes: self.classes.clone(),
            spare: self.spare,
            large,
            free_large: self.free_large.clone(),
            blocks: self.blocks,
            held,
        }
    }
}

impl Slab {
    /// An empty slab; it allocates with the first block.
    pub const fn new() -> Slab {
        Slab {
            pages: Vec::new(),
            heads: Vec::new(),
            classes: Vec::new(),
            spare: NO_PAGE,
            large: Vec::new(),
            free_large: Vec::new(),
            blocks: 0,
            held: 0,
        }
    }

    /// How many blocks are in use.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes of memory held; O(1).
    pub fn bytes(&self) -> usize {
        self.held
            + self.pages.capacity() * size_of::<Freezable<Vec<u8>>>()
            + self.heads.capacity() * size_of::<Head>()
            + self.classes.capacity() * size_of::<Class>()
            + self.large.capacity() * size_of::<Freezable<Group>>()
            + self.free_large.capacity() * size_of::<u32>()
    }

    /// Whether a block made for `old` bytes has the size that one for `new` bytes would have.
    pub fn same_size(old: usize, new: usize) -> bool {
        if old <= SMALL_MAX { new <= SMALL_MAX && class_of(old) == class_of(new) } else { old == new }
    }

    /// A block of at least `len` bytes; what they are is unspecified.
    ///
    /// Panics: when there are 2^31 large blocks already.
    pub fn alloc(&mut self, len: usize) -> Handle {
        let class = class_of(len);
        let size = class * UNIT;
        if len > SMALL_MAX {
            return self.alloc_large(len);
        }
        let Some(page) = self.open_page(class) else { return self.alloc_large(size) };
        let (data, head) = (&mut *self.pages[page], &mut self.heads[page]);
        let at = if head.free != NO_BLOCK {
            let at = usize::from(head.free) * UNIT;
            head.free = u16::from_le_bytes([data[at], data[at + 1]]);
            at
        } else {
            let at = data.len();
            if at + size > data.capacity() {
                let before = data.capacity();
                data.reserve_exact((before + before / PAGE_GROWTH).clamp(at + size, PAGE) - at);
                self.held += data.capacity() - before;
            }
            data.resize(at + size, 0);
            at
        };
        head.live += 1;
        if head.free == NO_BLOCK && data.len() + size > PAGE {
            self.unlink(page);
        }
        self.blocks += 1;
        Handle::small(page, at / UNIT)
    }

    /// The bytes from the beginning of a block on: at least its own.
    #[inline(always)]
    pub fn tail(&self, handle: Handle) -> &[u8] {
        match handle.place() {
            Place::Small { page, at } => &self.pages[page][at..],
            Place::Large { number } => self.large_block(number),
        }
    }

    #[inline]
    fn large_block(&self, number: usize) -> &[u8] {
        self.large[number / GROUP][number % GROUP].as_deref().expect(IN_USE)
    }

    fn large_block_mut(&mut self, number: usize) -> &mut [u8] {
        Arc::make_mut(self.large[number / GROUP][number % GROUP].as_mut().expect(IN_USE))
    }

    /// As `tail`, for writing: to its own bytes only.
    #[inline]
    pub fn tail_mut(&mut self, handle: Handle) -> &mut [u8] {
        match handle.place() {
            Place::Small { page, at } => &mut self.pages[page][at..],
            Place::Large { number } => self.large_block_mut(number),
        }
    }

    /// Copies bytes from one block to another.
    pub fn copy(&mut self, from: Handle, from_at: usize, to: Handle, to_at: usize, len: usize) {
        debug_assert_ne!(from, to);
        if let (Place::Small { page, at }, Place::Small { page: to_page, at: to_base }) = (from.place(), to.place())
            && page == to_page
        {
            let from = at + from_at;
            self.pages[page].copy_within(from..from + len, to_base + to_at);
            return;
        }
        // Two different pieces of memory: one is taken out for as long as it is read.
        match from.place() {
            Place::Small { page, at } => {
                let data = std::mem::take(&mut self.pages[page]);
                self.tail_mut(to)[to_at..to_at + len].copy_from_slice(&data[at + from_at..at + from_at + len]);
                self.pages[page] = data;
            }
            Place::Large { number } => {
                let block = self.large[number / GROUP][number % GROUP].clone().expect(IN_USE);
                self.tail_mut(to)[to_at..to_at + len].copy_from_slice(&block[from_at..from_at + len]);
            }
        }
    }

    /// Gives a block back.
    pub fn free(&mut self, handle: Handle) {
        self.blocks -= 1;
        match handle.place() {
            Place::Small { page, at } => self.free_small(page, at),
            Place::Large { number } => {
                let block = self.large[number / GROUP][number % GROUP].take().expect(IN_USE);
                self.held -= LARGE_HEAD + block.len();
                self.free_large.push(number as u32);
            }
        }
        if self.blocks == 0 {
            *self = Slab::new();
        }
    }

    fn free_small(&mut self, page: usize, at: usize) {
        let (data, head) = (&mut self.pages[page], &mut self.heads[page]);
        let size = usize::from(head.class) * UNIT;
        let was_open = head.free != NO_BLOCK || data.len() + size <= PAGE;
        debug_assert!(head.live > 0 && at.is_multiple_of(size), "a block in use");
        head.live -= 1;
        if head.live == 0 {
            if was_open {
                self.unlink(page);
            }
            self.held -= std::mem::take(&mut self.pages[page]).capacity();
            let head = &mut self.heads[page];
            self.classes[usize::from(head.class)].pages -= 1;
            head.next = self.spare;
            self.spare = page as u32;
            return;
        }
        data[at..at + 2].copy_from_slice(&head.free.to_le_bytes());
        head.free = (at / UNIT) as u16;
        if !was_open {
            self.link(page);
        }
    }

    fn alloc_large(&mut self, len: usize) -> Handle {
        self.held += LARGE_HEAD + len;
        self.blocks += 1;
        let block = Some(std::iter::repeat_n(0, len).collect());
        if let Some(number) = self.free_large.pop() {
            self.large[number as usize / GROUP][number as usize % GROUP] = block;
            return Handle::large(number as usize);
        }
        if self.large.last().is_none_or(|group| group.len() == GROUP) {
            assert!(self.large.len() < LARGE_MAX / GROUP, "handles of large blocks have 31 bits");
            grow_by_half(&mut self.large);
            self.large.push(Freezable::default());
        }
        let last = self.large.len() - 1;
        let group = &mut *self.large[last];
        let before = group.capacity();
        grow_by_half(group);
        self.held += (group.capacity() - before) * size_of::<Option<Arc<[u8]>>>();
        group.push(block);
        Handle::large(last * GROUP + group.len() - 1)
    }

    /// A page with room for a block of this class; none if there can be no more pages.
    fn open_page(&mut self, class: usize) -> Option<usize> {
        if self.classes.len() <= class {
            self.classes.reserve_exact(class + 1 - self.classes.len());
            self.classes.resize(class + 1, Class { open: NO_PAGE, pages: 0 });
        }
        let Class { open, pages } = self.classes[class];
        if open != NO_PAGE {
            return Some(open as usize);
        }
        let page = if self.spare != NO_PAGE {
            let page = self.spare as usize;
            self.spare = self.heads[page].next;
            page
        } else if self.pages.len() < PAGES_MAX {
            grow_by_half(&mut self.pages);
            grow_by_half(&mut self.heads);
            self.pages.push(Freezable::default());
            self.heads.push(Head { next: NO_PAGE, before: NO_PAGE, free: NO_BLOCK, live: 0, class: 0 });
            self.pages.len() - 1
        } else {
            return None;
        };
        let size = class * UNIT;
        let data = Vec::with_capacity((pages as usize * PAGE / 4).clamp(2 * size, PAGE));
        self.held += data.capacity();
        self.pages[page] = data.into();
        self.heads[page] = Head { next: NO_PAGE, before: NO_PAGE, free: NO_BLOCK, live: 0, class: class as u16 };
        self.classes[class].pages += 1;
        self.link(page);
        Some(page)
    }

    /// Puts a page to the front of the list of its class.
    fn link(&mut self, page: usize) {
        let class = &mut self.classes[usize::from(self.heads[page].class)];
        let next = std::mem::replace(&mut class.open, page as u32);
        (self.heads[page].next, self.heads[page].before) = (next, NO_PAGE);
        if next != NO_PAGE {
            self.heads[next as usize].before = page as u32;
        }
    }

    fn unlink(&mut self, page: usize) {
        let Head { next, before, class, .. } = self.heads[page];
        match before {
            NO_PAGE => self.classes[usize::from(class)].open = next,
            before => self.heads[before as usize].next = next,
        }
        if next != NO_PAGE {
            self.heads[next as usize].before = before;
        }
    }
}

/// What a handle whose block was not given back stands for.
const IN_USE: &str = "the handle of a block in use";

/// Copies of large blocks.
fn copy_of_blocks(group: &Group) -> Group {
    group.iter().map(|block| block.as_deref().map(Arc::from)).collect()
}

/// Bytes of a group and its blocks.
fn held_by(group: &Group) -> usize {
    let blocks = group.iter().flatten().map(|block| LARGE_HEAD + block.len()).sum::<usize>();
    group.capacity() * size_of::<Option<Arc<[u8]>>>() + blocks
}

fn class_of(len: usize) -> usize {
    len.div_ceil(UNIT).max(1)
}

/// Room for one more, a half more at most: `Vec` would double, from four on.
fn grow_by_half<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 2).max(1));
    }
}

#[cfg(test)]
mod tests;
