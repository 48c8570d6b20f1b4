//! Random calls to a slab, compared with blocks kept apart.

use super::*;
use crate::structs::random::Random;

/// Plays a random sequence of calls, and checks the slab's invariants and accounts.
///
/// Panics: with the seed in the message, when a block's bytes have changed.
pub fn fuzz_slab(seed: u64) {
    let mut random = Random::new(seed);
    let mut slab = Slab::new();
    let mut blocks: Vec<(Handle, Vec<u8>)> = Vec::new();
    for step in 0..if cfg!(miri) { 500 } else { 6_000 } {
        // Waves of more and of less.
        if blocks.is_empty() || random.below(10) < if step / 1_000 % 2 == 0 { 7 } else { 3 } {
            let len = [1, 8, 9, 24, 40, 100, 511, 512, 513, 3_000][random.index(10)];
            let bytes = vec![random.next_u64() as u8; len];
            let handle = slab.alloc(len);
            assert_eq!(Handle::from_raw(handle.raw()), Some(handle));
            slab.tail_mut(handle)[..len].copy_from_slice(&bytes);
            blocks.push((handle, bytes));
        } else if random.one_in(10) && blocks.len() > 1 {
            let (from, to) = (random.index(blocks.len()), random.index(blocks.len()));
            let len = blocks[from].1.len().min(blocks[to].1.len());
            if from != to {
                slab.copy(blocks[from].0, 0, blocks[to].0, 0, len);
                let bytes = blocks[from].1[..len].to_vec();
                blocks[to].1[..len].copy_from_slice(&bytes);
            }
        } else {
            let (handle, bytes) = blocks.swap_remove(random.index(blocks.len()));
            assert_eq!(slab.tail(handle)[..bytes.len()], bytes[..], "seed {seed}");
            slab.free(handle);
        }
        if step % 500 == 0 {
            slab.check();
            slab = slab.clone();
            slab.check();
        }
    }
    assert_eq!(slab.blocks(), blocks.len(), "seed {seed}");
    for (handle, bytes) in blocks {
        assert_eq!(slab.tail(handle)[..bytes.len()], bytes[..], "seed {seed}");
        slab.free(handle);
    }
    assert_eq!((slab.blocks(), slab.bytes()), (0, 0), "seed {seed}");
}

impl Slab {
    /// Checks what must always hold.
    ///
    /// Panics: when it does not.
    pub(in crate::structs) fn check(&self) {
        let (mut blocks, mut linked) =
            (self.large.iter().map(|group| group.iter().flatten().count()).sum::<usize>(), 0);
        assert_eq!(self.large.iter().map(|group| group.len()).sum::<usize>(), blocks + self.free_large.len());
        for (class, &Class { open, .. }) in self.classes.iter().enumerate() {
            let (mut at, mut before) = (open, NO_PAGE);
            while at != NO_PAGE {
                let head = &self.heads[at as usize];
                let room = self.pages[at as usize].len() + class * UNIT <= PAGE;
                assert_eq!((usize::from(head.class), head.before), (class, before));
                assert!(head.free != NO_BLOCK || room, "an open page has room");
                (before, at) = (at, head.next);
                linked += 1;
            }
        }
        let mut open = 0;
        for (page, head) in self.pages.iter().zip(&self.heads).filter(|(page, _)| page.capacity() > 0) {
            let size = usize::from(head.class) * UNIT;
            let (mut free, mut at) = (0, head.free);
            while at != NO_BLOCK {
                let place = usize::from(at) * UNIT;
                at = u16::from_le_bytes([page[place], page[place + 1]]);
                free += 1;
            }
            assert!(head.live > 0, "a page without blocks holds no memory");
            assert_eq!(page.len(), (usize::from(head.live) + free) * size, "every block is in use or free");
            open += usize::from(free > 0 || page.len() + size <= PAGE);
            blocks += usize::from(head.live);
        }
        assert_eq!((blocks, linked), (self.blocks, open));
        let pages = self.pages.iter().map(|page| page.capacity()).sum::<usize>();
        assert_eq!(self.held, pages + self.large.iter().map(|group| held_by(group)).sum::<usize>());
    }
}
