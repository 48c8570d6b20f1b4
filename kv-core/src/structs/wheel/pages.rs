//! Where the wheel's entries live: chains of pages of 64 entries, 6 bytes an entry, in one arena.
//!
//! A chain is named by its head page, the only one that may be partly filled: entries are pushed to and popped from the
//! head, so a chain has no order. Pages come from chunks of 64, so that the arena grows by 25 KB at a time and never
//! moves what it holds (a vector of 100 million entries would have to copy 600 MB to grow). The lowest chunk with a free
//! page is used first; so the upper ones empty and are given back, all but one of the empty ones.

/// No page: an empty chain, or the end of one.
pub(super) const NONE: u32 = u32::MAX;
/// Entries of a page, and pages of a chunk.
const PAGE: usize = 64;

#[derive(Clone)]
struct Page {
    tokens: [u32; PAGE],
    offsets: [u16; PAGE],
    next: u32,
    len: u32,
}

const EMPTY_PAGE: Page = Page { tokens: [0; PAGE], offsets: [0; PAGE], next: NONE, len: 0 };

/// 64 pages and which of them are free (bit set). A chunk given back holds no pages, and all its bits are set.
struct Chunk {
    pages: Box<[Page]>,
    free: u64,
}

#[derive(Default)]
pub(super) struct Pages {
    chunks: Vec<Chunk>,
    /// Bit set: the chunk has a free page, or was given back.
    open: Vec<u64>,
    /// No word of `open` before this one has a bit.
    open_from: usize,
    /// Chunks in memory without a page in use: 0 or 1.
    idle: usize,
}

impl Pages {
    pub fn push(&mut self, head: &mut u32, token: u32, offset: u16) {
        if *head == NONE || self.page(*head).len as usize == PAGE {
            let page = self.take_page();
            self.page_mut(page).next = *head;
            *head = page;
        }
        let page = self.page_mut(*head);
        let at = page.len as usize;
        page.tokens[at] = token;
        page.offsets[at] = offset;
        page.len += 1;
    }

    pub fn pop(&mut self, head: &mut u32) -> Option<(u32, u16)> {
        if *head == NONE {
            return None;
        }
        let page = self.page_mut(*head);
        page.len -= 1;
        let at = page.len as usize;
        let entry = (page.tokens[at], page.offsets[at]);
        if at == 0 {
            let next = page.next;
            self.free_page(*head);
            *head = next;
        }
        Some(entry)
    }

    /// Moves at most `max` tokens of a chain to `out` and tells how many.
    pub fn pop_tokens(&mut self, head: &mut u32, max: usize, out: &mut Vec<u32>) -> usize {
        let mut taken = 0;
        while *head != NONE && taken < max {
            let page = self.page_mut(*head);
            let len = page.len as usize;
            let rest = len - len.min(max - taken);
            out.extend_from_slice(&page.tokens[rest..len]);
            taken += len - rest;
            page.len = rest as u32;
            if rest == 0 {
                let next = page.next;
                self.free_page(*head);
                *head = next;
            }
        }
        taken
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        let held = self.chunks.iter().filter(|chunk| !chunk.pages.is_empty()).count();
        held * PAGE * size_of::<Page>()
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.open.capacity() * size_of::<u64>()
    }

    fn page(&self, id: u32) -> &Page {
        &self.chunks[id as usize / PAGE].pages[id as usize % PAGE]
    }

    fn page_mut(&mut self, id: u32) -> &mut Page {
        &mut self.chunks[id as usize / PAGE].pages[id as usize % PAGE]
    }

    fn take_page(&mut self) -> u32 {
        while self.open.get(self.open_from) == Some(&0) {
            self.open_from += 1;
        }
        let chunk_at = match self.open.get(self.open_from) {
            Some(word) => self.open_from * 64 + word.trailing_zeros() as usize,
            None => self.chunks.len(),
        };
        if chunk_at == self.chunks.len() {
            self.chunks.push(Chunk { pages: Box::default(), free: u64::MAX });
            self.open.resize(self.chunks.len().div_ceil(64), 0);
            self.open[chunk_at / 64] |= 1 << (chunk_at % 64);
            self.open_from = self.open_from.min(chunk_at / 64);
        }
        let chunk = &mut self.chunks[chunk_at];
        if chunk.pages.is_empty() {
            chunk.pages = vec![EMPTY_PAGE; PAGE].into_boxed_slice();
        } else if chunk.free == u64::MAX {
            self.idle -= 1;
        }
        let page_at = chunk.free.trailing_zeros() as usize;
        chunk.free &= !(1 << page_at);
        if chunk.free == 0 {
            self.open[chunk_at / 64] &= !(1 << (chunk_at % 64));
        }
        (chunk_at * PAGE + page_at) as u32
    }

    fn free_page(&mut self, id: u32) {
        let chunk_at = id as usize / PAGE;
        let chunk = &mut self.chunks[chunk_at];
        chunk.free |= 1 << (id as usize % PAGE);
        self.open[chunk_at / 64] |= 1 << (chunk_at % 64);
        self.open_from = self.open_from.min(chunk_at / 64);
        if chunk.free != u64::MAX {
            return;
        }
        if self.idle == 0 {
            self.idle = 1; // kept, so that a chain that grows and shrinks by one page does not allocate each time
            return;
        }
        chunk.pages = Box::default();
        while self.chunks.last().is_some_and(|chunk| chunk.pages.is_empty()) {
            self.chunks.pop();
            let at = self.chunks.len();
            self.open[at / 64] &= !(1 << (at % 64));
        }
        self.open.truncate(self.chunks.len().div_ceil(64));
        if self.chunks.capacity() > 64 + 4 * self.chunks.len() {
            self.chunks.shrink_to(2 * self.chunks.len());
        }
    }

    /// The entries of a chain, after checking that all its pages but the first are full.
    pub fn check_chain(&self, head: u32) -> Vec<(u32, u16)> {
        let mut entries = Vec::new();
        let mut id = head;
        while id != NONE {
            let page = self.page(id);
            let len = page.len as usize;
            assert!(if id == head { len > 0 } else { len == PAGE }, "page {id} of chain {head} holds {len}");
            assert_eq!(self.chunks[id as usize / PAGE].free >> (id as usize % PAGE) & 1, 0, "page {id} is free");
            entries.extend(page.tokens[..len].iter().copied().zip(page.offsets[..len].iter().copied()));
            id = page.next;
        }
        entries
    }

    /// Pages of a chain.
    pub fn check_pages(&self, head: u32) -> usize {
        std::iter::successors((head != NONE).then_some(head), |&id| {
            Some(self.page(id).next).filter(|&next| next != NONE)
        })
        .count()
    }

    /// Pages in use, after checking that the bitmaps agree with the chunks.
    pub fn check_arena(&self) -> usize {
        let idle = self.chunks.iter().filter(|chunk| !chunk.pages.is_empty() && chunk.free == u64::MAX).count();
        assert_eq!(idle, self.idle);
        assert!(idle <= 1);
        for (at, chunk) in self.chunks.iter().enumerate() {
            assert_eq!(self.open[at / 64] >> (at % 64) & 1 == 1, chunk.free != 0, "chunk {at}");
            assert!(!chunk.pages.is_empty() || chunk.free == u64::MAX, "chunk {at} was given back while in use");
        }
        let open: u32 = self.open.iter().map(|word| word.count_ones()).sum();
        assert_eq!(open as usize, self.chunks.iter().filter(|chunk| chunk.free != 0).count());
        assert!(self.open.iter().take(self.open_from).all(|&word| word == 0));
        self.chunks.iter().map(|chunk| chunk.free.count_zeros() as usize).sum()
    }
}
