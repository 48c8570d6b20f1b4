//! A growing array in pieces of equal length: growth never copies more than one piece.
//!
//! ```text
//! segments -> [1,024 elements] [1,024 elements] ... [the last, up to 1,024]
//! ```
//!
//! A piece that is not full grows by half of itself, so that few elements cost little.

use std::ops::{Index, IndexMut};

/// Elements a segment: of cache lines 64 KiB.
const SEGMENT: usize = 1024;

#[derive(Clone)]
pub(super) struct Segments<T> {
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T> Segments<T> {
    pub const fn new() -> Segments<T> {
        Segments { segments: Vec::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, element: T) {
        if self.len.is_multiple_of(SEGMENT) {
            // Room in proportion to what there is, so that a second segment does not double the memory.
            let room = (self.segments.len() * SEGMENT / 4).min(SEGMENT);
            self.segments.push(Vec::with_capacity(room));
        }
        let last = self.segments.last_mut().expect("just made if it was missing");
        if last.len() == last.capacity() {
            last.reserve_exact((last.len() / 2).clamp(1, SEGMENT - last.len()));
        }
        last.push(element);
        self.len += 1;
    }

    pub fn pop(&mut self) -> Option<T> {
        let last = self.segments.last_mut()?;
        let element = last.pop();
        self.len -= 1;
        if last.is_empty() {
            self.segments.pop();
        } else if self.segments.len() == 1 {
            let first = &mut self.segments[0];
            if first.len() <= first.capacity() / 4 {
                first.shrink_to(first.capacity() / 2);
            }
        }
        element
    }

    /// Bytes of memory held; O(1).
    pub fn bytes(&self) -> usize {
        let room = match self.segments.as_slice() {
            [] => 0,
            [only] => only.capacity(),
            [first, .., last] => first.capacity() + last.capacity() + (self.segments.len() - 2) * SEGMENT,
        };
        room * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }
}

impl<T> Index<usize> for Segments<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, at: usize) -> &T {
        &self.segments[at / SEGMENT][at % SEGMENT]
    }
}

impl<T> IndexMut<usize> for Segments<T> {
    #[inline(always)]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.segments[at / SEGMENT][at % SEGMENT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_in_order_over_several_segments() {
        let mut segments = Segments::new();
        for n in 0..5_000 {
            segments.push(n);
            assert_eq!((segments[0], segments[n], segments.len()), (0, n, n + 1));
        }
        segments[4_321] = 7;
        for n in (0..5_000).rev() {
            assert_eq!(segments.pop(), Some(if n == 4_321 { 7 } else { n }));
        }
        assert_eq!((segments.pop(), segments.len()), (None, 0));
    }

    #[test]
    fn memory_follows_the_length_up_and_down() {
        let mut segments = Segments::new();
        for n in 0..10_000u64 {
            segments.push(n);
            assert!(segments.bytes() <= 12 * (n as usize + 1) + 512, "{n}: {}", segments.bytes());
        }
        assert!(segments.clone().bytes() <= segments.bytes());
        while segments.len() > 20 {
            segments.pop();
        }
        assert!(segments.bytes() < 100 * 8 + 512, "{}", segments.bytes());
    }
}
