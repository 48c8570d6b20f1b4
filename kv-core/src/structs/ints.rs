//! Different integers in ascending order, in one run of bytes.
//!
//! ```text
//! [width: 2, 4 or 8] [integer: width bytes, LE] [integer] ...        no bytes at all: none
//! ```
//!
//! The width is the smallest that holds all integers there have been since it was empty: an integer that does not fit
//! makes all of them wider, and none makes them narrower again. Like packed sequences, the bytes may lie in foreign
//! memory and be read there ([`IntsRef`]). Searching is O(log n), changing O(n).

use std::fmt;

mod fuzz;
pub use fuzz::fuzz_ints;

const HEADER: usize = 1;

fn width_of(int: i64) -> usize {
    if i16::try_from(int).is_ok() {
        2
    } else if i32::try_from(int).is_ok() {
        4
    } else {
        8
    }
}

/// The integer that begins `bytes`.
#[inline(always)]
fn decode(bytes: &[u8], width: usize) -> i64 {
    match width {
        2 => i64::from(i16::from_le_bytes(*bytes.first_chunk().expect("whole integers"))),
        4 => i64::from(i32::from_le_bytes(*bytes.first_chunk().expect("whole integers"))),
        _ => i64::from_le_bytes(*bytes.first_chunk().expect("whole integers")),
    }
}

/// Integers that are read where they lie.
#[derive(Clone, Copy)]
pub struct IntsRef<'a>(&'a [u8]);

impl<'a> IntsRef<'a> {
    pub const EMPTY: IntsRef<'a> = IntsRef(&[]);

    /// Takes bytes that were written here for what they are.
    #[inline]
    pub fn from_bytes(bytes: &'a [u8]) -> IntsRef<'a> {
        IntsRef(bytes)
    }

    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    #[inline(always)]
    fn width(self) -> usize {
        self.0.first().map_or(2, |&width| usize::from(width))
    }

    #[inline]
    pub fn len(self) -> usize {
        // A power of two: shifting spares a division.
        self.0.len().saturating_sub(HEADER) >> self.width().trailing_zeros()
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.len() <= HEADER
    }

    /// The integer of this rank.
    ///
    /// Panics: when there are not that many.
    #[inline]
    pub fn get(self, rank: usize) -> i64 {
        let width = self.width();
        decode(&self.0[HEADER + rank * width..], width)
    }

    /// The rank of an integer, or the one it would have.
    ///
    /// Errors: it is not there.
    #[inline]
    pub fn find(self, int: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.get(middle).cmp(&int) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    #[inline]
    pub fn contains(self, int: i64) -> bool {
        self.find(int).is_ok()
    }

    pub fn iter(self) -> Iter<'a> {
        Iter { ints: self, next: 0, len: self.len() }
    }
}

impl PartialEq for IntsRef<'_> {
    fn eq(&self, other: &IntsRef<'_>) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for IntsRef<'_> {}

impl fmt::Debug for IntsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The integers in ascending order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    ints: IntsRef<'a>,
    next: usize,
    len: usize,
}

impl Iterator for Iter<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        if self.next == self.len {
            return None;
        }
        self.next += 1;
        Some(self.ints.get(self.next - 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len - self.next, Some(self.len - self.next))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Integers that can be changed.
#[derive(Clone, Default)]
pub struct Ints(Vec<u8>);

impl Ints {
    pub const fn new() -> Ints {
        Ints(Vec::new())
    }

    /// Takes bytes that were written here for what they are.
    #[inline]
    pub fn from_bytes(bytes: Vec<u8>) -> Ints {
        Ints(bytes)
    }

    #[inline]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes of memory held.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    #[inline]
    pub fn as_ref(&self) -> IntsRef<'_> {
        IntsRef(&self.0)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    /// Adds an integer; says whether it was not there before.
    pub fn insert(&mut self, int: i64) -> bool {
        let width = width_of(int);
        if self.0.is_empty() {
            self.0.push(width as u8);
        } else if width > self.as_ref().width() {
            self.widen(width);
        }
        let width = self.as_ref().width();
        // Most integers come in ascending order.
        let len = self.len();
        let rank = if len == 0 || self.as_ref().get(len - 1) < int {
            len
        } else {
            match self.as_ref().find(int) {
                Ok(_) => return false,
                Err(rank) => rank,
            }
        };
        let (at, end) = (HEADER + rank * width, self.0.len());
        self.0.extend_from_slice(&int.to_le_bytes()[..width]);
        if at < end {
            self.0.copy_within(at..end, at + width);
            self.0[at..at + width].copy_from_slice(&int.to_le_bytes()[..width]);
        }
        true
    }

    /// Removes an integer; says whether it was there.
    pub fn remove(&mut self, int: i64) -> bool {
        match self.as_ref().find(int) {
            Ok(rank) => {
                self.remove_at(rank);
                true
            }
            Err(_) => false,
        }
    }

    /// Removes the integer of this rank.
    ///
    /// Panics: when there are not that many.
    pub fn remove_at(&mut self, rank: usize) {
        let width = self.as_ref().width();
        let at = HEADER + rank * width;
        self.0.drain(at..at + width);
        if self.is_empty() {
            // No integers have one form.
            self.0.clear();
        }
    }

    fn widen(&mut self, width: usize) {
        let mut wider = Vec::with_capacity(HEADER + (self.len() + 1) * width);
        wider.push(width as u8);
        self.as_ref().iter().for_each(|int| wider.extend_from_slice(&int.to_le_bytes()[..width]));
        self.0 = wider;
    }
}

impl PartialEq for Ints {
    fn eq(&self, other: &Ints) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Ints {}

impl fmt::Debug for Ints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_changes_agree_with_a_plain_set() {
        (0..if cfg!(miri) { 3 } else { 300 }).for_each(fuzz_ints);
    }

    #[test]
    fn integers_take_the_width_of_the_widest_there_has_been() {
        let mut ints = Ints::new();
        for (int, bytes) in [(1, 3), (-32_768, 5), (32_767, 7), (32_768, 17), (i64::from(i32::MIN), 21), (1 << 31, 49)]
        {
            assert!(ints.insert(int) && !ints.insert(int));
            assert_eq!(ints.bytes().len(), bytes, "{int}");
        }
        assert!(ints.remove(1 << 31) && !ints.remove(1 << 31));
        assert_eq!(ints.bytes().len(), 41);
        assert_eq!(ints.as_ref().iter().collect::<Vec<_>>(), [i64::from(i32::MIN), -32_768, 1, 32_767, 32_768]);
        while !ints.is_empty() {
            ints.remove_at(0);
        }
        assert_eq!(ints.bytes(), b"");
        assert!(ints.insert(i64::MIN) && ints.insert(i64::MAX) && ints.insert(0));
        assert_eq!(ints.as_ref().iter().collect::<Vec<_>>(), [i64::MIN, 0, i64::MAX]);
    }
}
