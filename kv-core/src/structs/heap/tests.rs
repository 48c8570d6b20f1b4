use super::*;
use crate::structs::random::Random;
use std::collections::BTreeSet;

/// A block with what was written into it.
struct Held {
    block: NonNull<u8>,
    len: usize,
    fill: u8,
}

// SAFETY: whoever has it has the block alone.
unsafe impl Send for Held {}

impl Held {
    fn new(heap: &mut Heap, len: usize, fill: u8) -> Held {
        let block = heap.alloc(len);
        assert!(block.as_ptr().addr().is_multiple_of(8));
        // SAFETY: the block has at least so many bytes.
        unsafe { ptr::write_bytes(block.as_ptr(), fill, len) }
        Held { block, len, fill }
    }

    fn check(&self) {
        // SAFETY: the block is in use and all of it was written.
        let bytes = unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.len) };
        assert!(bytes.iter().all(|&byte| byte == self.fill), "a block of {} was written by somebody else", self.len);
    }

    fn free(self, heap: &mut Heap) {
        self.check();
        // SAFETY: it came from `alloc` with this size and is not used again.
        unsafe { heap.free(self.block, self.len) }
    }
}

/// Compares what the pages say with the blocks that are out.
fn check(heap: &Heap, held: &[Held]) {
    let mut ranges: Vec<_> = held.iter().map(|h| (h.block.as_ptr().addr(), block_size(h.len))).collect();
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "blocks overlap");
    let small: Vec<_> = held.iter().filter(|h| h.len <= BLOCK_MAX).collect();
    assert_eq!(heap.blocks(), small.len());
    let mut pages = BTreeSet::new();
    for h in &small {
        let page = head_of(h.block.as_ptr());
        pages.insert(page.addr());
        let (base, at) = (base_of(page).addr(), h.block.as_ptr().addr());
        assert!(base <= at && at + block_size(h.len) <= base + PAGE, "a block lies within its page");
        let head = page.addr();
        assert!(at >= head + HEAD || at + block_size(h.len) <= head, "a block lies beside the head");
    }
    assert_eq!(heap.page_bytes(), pages.len() * PAGE, "pages without blocks are in the pool");
    assert_eq!(heap.spare, heap.chunks.iter().map(|c| c.spare.count_ones()).sum::<u32>());
    assert!(heap.chunks.iter().take(heap.lowest).all(|chunk| chunk.spare == 0));
    // A page is in its ring exactly if it has room.
    let mut open = BTreeSet::new();
    for (class, &first) in heap.open.iter().enumerate() {
        let mut page = first;
        while !page.is_null() {
            // SAFETY: pages of a ring are alive.
            unsafe {
                assert_eq!(((*page).class as usize, (*(*page).next).prev), (class, page));
                assert!((*page).used < (*page).capacity);
                open.insert(page.addr());
                page = if (*page).next == first { ptr::null_mut() } else { (*page).next };
            }
        }
    }
    for &page in &pages {
        let of = small.iter().find(|h| head_of(h.block.as_ptr()).addr() == page).expect("it has blocks");
        // SAFETY: the page has a block in use.
        let room = unsafe { (*head_of(of.block.as_ptr())).used < (*head_of(of.block.as_ptr())).capacity };
        assert_eq!(open.contains(&page), room);
    }
}

#[test]
fn each_size_has_the_class_of_the_smallest_block_that_holds_it() {
    let mut last = 0;
    for bytes in 1..=BLOCK_MAX {
        let (class, size) = (class_of(bytes), block_size(bytes));
        assert_eq!(size_of_class(class), size, "{bytes}");
        assert!(bytes <= size && size.is_multiple_of(8), "{bytes}");
        assert!(size_of_class(class - 1) < bytes, "{bytes}");
        assert!(class == last || class == last + 1, "{bytes}: no class is left out");
        assert!(bytes <= FINE_MAX || size - bytes <= bytes / 31, "{bytes} in {size}");
        last = class;
    }
    assert_eq!((last, block_size(0)), (CLASSES - 1, 0));
    assert_eq!([1, 8, 9, 56, 57, 280, 512, 513, 1296].map(block_size), [8, 8, 16, 56, 64, 280, 512, 528, 1312]);
}

#[test]
fn large_blocks_are_sized_as_allocators_do_it() {
    let sizes = [1, 16, 17, 128, 129, 160, 161, 192, 256, 257, 320, 321, 512, 513, 640, 1024, 1025, 1280, 65_537];
    let want = [16, 16, 32, 128, 160, 160, 192, 192, 256, 320, 320, 384, 512, 640, 640, 1024, 1280, 1280, 69_632];
    assert_eq!(sizes.map(system_size), want);
    assert_eq!((system_size(0), block_size(65_537)), (0, 69_632));
}

#[test]
fn blocks_keep_their_content_whatever_happens_around_them() {
    for seed in 0..if cfg!(miri) { 3 } else { 40 } {
        let random = &mut Random::new(seed);
        let (mut heap, mut held) = (Heap::new(), Vec::<Held>::new());
        // Few sizes fill pages, many sizes fill classes; large blocks are in between.
        let (count, most) = ([2, 10, 200][random.index(3)], [100, 600, 3000][random.index(3)]);
        let sizes: Vec<usize> = (0..count).map(|_| 1 + random.index(most)).collect();
        for _phase in 0..if cfg!(miri) { 3 } else { 8 } {
            let grow = random.one_in(2);
            for _ in 0..random.below(if cfg!(miri) { 60 } else { 4_000 }) {
                if !held.is_empty() && random.one_in(4) == grow {
                    held.swap_remove(random.index(held.len())).free(&mut heap);
                } else {
                    let fill = random.next_u64() as u8;
                    held.push(Held::new(&mut heap, sizes[random.index(count)], fill));
                }
            }
            println!("seed {seed}: {} blocks", held.len());
            check(&heap, &held);
            held.iter().for_each(Held::check);
        }
        held.drain(..).for_each(|h| h.free(&mut heap));
        check(&heap, &held);
        assert!(heap.spare < RESERVE + 2 * PAGES as u32, "an empty heap keeps a reserve only");
    }
}

#[test]
fn an_untouched_heap_holds_nothing_and_one_block_a_page() {
    let mut heap = Heap::new();
    assert_eq!((heap.page_bytes(), heap.chunks.capacity(), heap.open.capacity()), (0, 0, 0));
    let block = Held::new(&mut heap, 56, 1);
    assert_eq!((heap.page_bytes(), heap.chunks.len()), (PAGE, 1));
    block.free(&mut heap);
    assert_eq!(heap.page_bytes(), 0);
}

#[test]
fn blocks_of_a_page_lie_side_by_side() {
    let mut heap = Heap::new();
    let first = Held::new(&mut heap, 56, 7);
    // SAFETY: the page has a block in use.
    let capacity = usize::from(unsafe { (*head_of(first.block.as_ptr())).capacity });
    assert!(capacity >= (PAGE - HEAD) / 56 - 1);
    let mut held = vec![first];
    held.extend((1..capacity).map(|_| Held::new(&mut heap, 56, 7)));
    let at = |h: &Held| h.block.as_ptr().addr();
    let (side_by_side, apart): (Vec<_>, Vec<_>) = held.windows(2).partition(|pair| at(&pair[1]) - at(&pair[0]) == 56);
    assert!(side_by_side.len() >= capacity - 2 && apart.len() <= 1, "but for the head between them");
    assert_eq!(heap.page_bytes(), PAGE);
    held.into_iter().for_each(|h| h.free(&mut heap));
}

#[test]
fn empty_chunks_go_back_and_are_taken_again() {
    let mut heap = Heap::new();
    let blocks = 4 * CHUNK / 2048;
    for round in 0..2 {
        let mut held: Vec<_> = (0..blocks).map(|_| Held::new(&mut heap, 2048, 9)).collect();
        let pages = heap.pages as usize;
        assert!((4 * PAGES + 1..=6 * PAGES).contains(&pages), "round {round}: {pages}");
        check(&heap, &held);
        let keep = held.split_off(blocks - 1);
        held.drain(..).for_each(|h| h.free(&mut heap));
        check(&heap, &keep);
        // A chunk with the last block, and a reserve; either may be a huge page.
        let pages = heap.pages as usize;
        assert!(pages <= 4 * PAGES, "round {round}: {pages}");
        keep.into_iter().for_each(|h| h.free(&mut heap));
    }
    assert!(heap.chunks.len() <= 6, "places of chunks are used again");
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn a_large_heap_takes_huge_pages_while_some_are_ready_and_gives_them_back() {
    huge::tests::with_slices(8, || {
        let mut heap = Heap::new();
        let held: Vec<_> = (0..16 * CHUNK / 2048).map(|i| Held::new(&mut heap, 2048, i as u8)).collect();
        let of = |heap: &Heap, huge: bool| {
            heap.chunks.iter().filter(|c| !c.memory.is_null() && c.huge == huge).map(Chunk::pages).sum::<u32>()
        };
        assert!(of(&heap, true) >= 8 * 4 && of(&heap, false) >= HUGE_FROM);
        check(&heap, &held);
        held.into_iter().for_each(|h| h.free(&mut heap));
        check(&heap, &[]);
        assert!(of(&heap, true) + of(&heap, false) < RESERVE + 2 * PAGES as u32);
    });
}

#[test]
fn nearly_full_pages_are_filled_before_sparse_ones() {
    let mut heap = Heap::new();
    let first = Held::new(&mut heap, 2048, 1);
    // SAFETY: the page has a block in use.
    let capacity = |h: &Held| usize::from(unsafe { (*head_of(h.block.as_ptr())).capacity });
    let mut held = vec![first];
    for _ in 0..3 * PAGE / 2048 + capacity(&held[0]) {
        held.push(Held::new(&mut heap, 2048, 1));
    }
    let page = |h: &Held| head_of(h.block.as_ptr()).addr();
    let pages: Vec<usize> = held.iter().map(page).collect::<BTreeSet<_>>().into_iter().collect();
    // The first page loses all but one block, then the second loses one.
    let (mut one, rest): (Vec<_>, Vec<_>) = held.into_iter().partition(|h| page(h) == pages[0]);
    let (mut two, mut rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|h| page(h) == pages[1]);
    one.drain(1..).for_each(|h| h.free(&mut heap));
    two.pop().expect("it is full").free(&mut heap);
    let next = Held::new(&mut heap, 2048, 2);
    assert_eq!(page(&next), pages[1]);
    rest.extend(one.into_iter().chain(two).chain([next]));
    check(&heap, &rest);
    rest.into_iter().for_each(|h| h.free(&mut heap));
}

#[test]
fn a_block_does_not_go_back_to_another_heap() {
    let (mut a, mut b) = (Heap::new(), Heap::new());
    let (of_a, of_b) = (Held::new(&mut a, 64, 1), Held::new(&mut b, 64, 2));
    let mistake = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: the block is in use; that the heap is the wrong one is what is tested.
        unsafe { b.free(of_a.block, 64) }
    }));
    assert!(mistake.is_err());
    assert_eq!((a.blocks(), b.blocks()), (1, 1), "nothing has changed");
    of_a.free(&mut a);
    of_b.free(&mut b);
}

#[test]
fn a_heap_moves_to_another_thread_with_its_blocks() {
    let mut heap = Heap::new();
    let held: Vec<_> =
        (0..if cfg!(miri) { 50 } else { 5_000 }).map(|i| Held::new(&mut heap, 1 + i % 300, i as u8)).collect();
    let thread = std::thread::spawn(move || {
        held.into_iter().for_each(|h| h.free(&mut heap));
        let more = Held::new(&mut heap, 56, 3);
        (heap, more)
    });
    let (mut heap, more) = thread.join().expect("the thread ends well");
    more.free(&mut heap);
    assert_eq!(heap.blocks(), 0);
}
