//! Bits of a byte string: reading, writing, counting, searching and combining them, and integers of any width among
//! them (`Field`).
//!
//! ```text
//! bit   0 1 2 3 4 5 6 7   8 9 ...          bit 0 is the highest of byte 0, as in Redis; a field begins with its highest
//! byte  |      0      |   |    1 ...       bit; behind the end of the string all bits are 0
//! ```
//!
//! What runs over long strings does so by words of 64 bits, several of them at a time: written so that the compiler
//! makes vector instructions of it, without any that only some processors have. Counting adds up columns of bits with
//! carries (Harley and Seal; see Mula, Kurz, Lemire, "Faster population counts using AVX2 instructions", 2018), so that
//! bits of single words are counted only once in eight words.
//!
//! It does not know how long a string may become: who calls `grow` has checked that.

mod field;
mod fuzz;
#[cfg(test)]
mod tests;

pub use field::{Field, Overflow};
pub use fuzz::fuzz_bits;
use std::ops::Range;

/// Sources are combined block by block, so that what is combined stays in the cache of the first level.
const BLOCK: usize = 8 * 1024;

/// The bit at a position; 0 behind the end.
pub fn get(bytes: &[u8], at: u64) -> bool {
    bytes.get((at / 8) as usize).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
}

/// Sets the bit at a position and returns what it was.
///
/// Panics: behind the end.
pub fn set(bytes: &mut [u8], at: u64, on: bool) -> bool {
    let byte = &mut bytes[(at / 8) as usize];
    let mask = 0x80 >> (at % 8);
    let was = *byte & mask != 0;
    *byte = if on { *byte | mask } else { *byte & !mask };
    was
}

/// Makes a string at least so long, with zero bytes; says whether it grew.
///
/// Cost: a string that grows to many times its length is made anew, in memory that comes as zeros from the system: one
/// that is mostly empty is not even written.
pub fn grow(bytes: &mut Vec<u8>, len: usize) -> bool {
    if len <= bytes.len() {
        return false;
    }
    if len > bytes.capacity() && len / 4 > bytes.len() {
        let mut longer = vec![0; len];
        longer[..bytes.len()].copy_from_slice(bytes);
        *bytes = longer;
    } else {
        bytes.resize(len, 0);
    }
    true
}

/// Vectors of 256 bits, in words.
type Lanes = [u64; 4];

fn lanes(bytes: &[u8; 32]) -> Lanes {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_ne_bytes(words[i]))
}

/// Adds three bits in each column: the sums, and the carries of twice their weight.
#[inline(always)]
fn add3(a: Lanes, b: Lanes, c: Lanes) -> (Lanes, Lanes) {
    let half: Lanes = std::array::from_fn(|i| a[i] ^ b[i]);
    (std::array::from_fn(|i| half[i] ^ c[i]), std::array::from_fn(|i| (a[i] & b[i]) | (half[i] & c[i])))
}

fn ones(lanes: Lanes) -> u64 {
    lanes.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// How many bits are 1.
pub fn count(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<256>();
    let (mut by1, mut by2, mut by4) = ([0; 4], [0; 4], [0; 4]);
    let mut eights = 0;
    for block in blocks {
        let (vectors, _) = block.as_chunks::<32>();
        let at = |i: usize| lanes(&vectors[i]);
        let (sum, carry_a) = add3(by1, at(0), at(1));
        let (sum, carry_b) = add3(sum, at(2), at(3));
        let (sum2, carry_4a) = add3(by2, carry_a, carry_b);
        let (sum, carry_a) = add3(sum, at(4), at(5));
        let (sum, carry_b) = add3(sum, at(6), at(7));
        let (sum2, carry_4b) = add3(sum2, carry_a, carry_b);
        let (sum4, carry_8) = add3(by4, carry_4a, carry_4b);
        (by1, by2, by4) = (sum, sum2, sum4);
        eights += ones(carry_8);
    }
    let (words, tail) = rest.as_chunks::<8>();
    let rest: u64 = words.iter().map(|&word| u64::from(u64::from_ne_bytes(word).count_ones())).sum();
    let tail: u64 = tail.iter().map(|byte| u64::from(byte.count_ones())).sum();
    8 * eights + 4 * ones(by4) + 2 * ones(by2) + ones(by1) + rest + tail
}

/// The part of a string in which the bits of a range lie, and what of its first and last byte lies outside.
struct Cut<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begins, in bytes.
    start: usize,
    /// The bits in front of the range in the first byte, and those behind it in the last.
    front: u8,
    behind: u8,
}

/// Cuts a range of bits, which is not empty and lies within the string.
fn cut(bytes: &[u8], bits: Range<u64>) -> Cut<'_> {
    let (start, end) = ((bits.start / 8) as usize, bits.end.div_ceil(8) as usize);
    let front = !(0xff >> (bits.start % 8));
    let behind = match bits.end % 8 {
        0 => 0,
        inside => 0xff >> inside,
    };
    Cut { bytes: &bytes[start..end], start, front, behind }
}

/// How many bits of a range are 1.
///
/// Panics: when the range ends behind the string.
pub fn count_in(bytes: &[u8], bits: Range<u64>) -> u64 {
    if bits.is_empty() {
        return 0;
    }
    let cut = cut(bytes, bits);
    let outside = |byte: Option<&u8>, mask: u8| byte.map_or(0, |byte| u64::from((byte & mask).count_ones()));
    count(cut.bytes) - outside(cut.bytes.first(), cut.front) - outside(cut.bytes.last(), cut.behind)
}

/// The first bit of a range that is 1, or 0; its position in the string.
///
/// Panics: when the range ends behind the string.
pub fn find(bytes: &[u8], on: bool, bits: Range<u64>) -> Option<u64> {
    if bits.is_empty() {
        return None;
    }
    let cut = cut(bytes, bits.clone());
    // A search for 0 is one for 1 in the opposite.
    let flip = if on { 0 } else { 0xff };
    let (&first, rest) = cut.bytes.split_first()?;
    let bit_in = |at: usize, byte: u8| (cut.start + at) as u64 * 8 + u64::from(byte.leading_zeros());
    let first = (first ^ flip) & !cut.front;
    let found =
        if first != 0 { bit_in(0, first) } else { bit_in_rest(rest, flip).map(|(at, byte)| bit_in(1 + at, byte))? };
    // In the last byte it may lie behind the range.
    (found < bits.end).then_some(found)
}

/// The first byte that differs from `skip`, and in which bits.
fn bit_in_rest(bytes: &[u8], skip: u8) -> Option<(usize, u8)> {
    /// Looked at together: nothing in them is asked until something in all of them is found.
    const WORDS: usize = 8;
    let word = u64::from_ne_bytes([skip; 8]);
    let (blocks, _) = bytes.as_chunks::<{ WORDS * 8 }>();
    let differs = |block: &&[u8; WORDS * 8]| {
        let (words, _) = block.as_chunks::<8>();
        words.iter().fold(0, |all, &bytes| all | (u64::from_ne_bytes(bytes) ^ word)) == 0
    };
    let skipped = blocks.iter().take_while(differs).count() * WORDS * 8;
    bytes[skipped..].iter().position(|&byte| byte != skip).map(|at| (skipped + at, bytes[skipped + at] ^ skip))
}

/// How bits at the same place of several strings become one. X is the first string, Y any of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    And,
    Or,
    Xor,
    /// Of one string: the opposite.
    Not,
    /// In X and in no Y.
    Diff,
    /// In a Y and not in X.
    Diff1,
    /// In X and in a Y.
    AndOr,
    /// In exactly one of all.
    One,
}

/// Combines strings; the result is as long as the longest, and shorter ones go on with zeros.
///
/// Panics: without a string.
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().expect("something to combine");
    let mut result = vec![0; len];
    let mut more = [0; BLOCK];
    for (index, block) in result.chunks_mut(BLOCK).enumerate() {
        let (start, end) = (index * BLOCK, index * BLOCK + block.len());
        let mut parts = sources.iter().map(|source| &source[source.len().min(start)..source.len().min(end)]);
        let first = parts.next().unwrap_or_default();
        combine_block(operation, first, parts, block, &mut more);
    }
    result
}

/// Combines a block of each source into `block`, which is zero. `more`: room for as many bytes.
fn combine_block<'a>(
    operation: Operation,
    first: &[u8],
    others: impl Iterator<Item = &'a [u8]>,
    block: &mut [u8],
    more: &mut [u8; BLOCK],
) {
    match operation {
        Operation::And => {
            or(block, first);
            others.for_each(|other| and(block, other));
        }
        Operation::Or => {
            or(block, first);
            others.for_each(|other| or(block, other));
        }
        Operation::Xor => {
            or(block, first);
            others.for_each(|other| xor(block, other));
        }
        Operation::Not => {
            block.fill(0xff);
            xor(block, first);
        }
        Operation::Diff => {
            or(block, first);
            others.for_each(|other| and_not(block, other));
        }
        Operation::Diff1 => {
            others.for_each(|other| or(block, other));
            and_not(block, first);
        }
        Operation::AndOr => {
            others.for_each(|other| or(block, other));
            and(block, first);
        }
        Operation::One => {
            let more = &mut more[..block.len()];
            more.fill(0);
            or(block, first);
            for other in others {
                // What has been there an odd number of times and is there again has been there more than once.
                for ((more, &odd), &bits) in more.iter_mut().zip(&*block).zip(other) {
                    *more |= odd & bits;
                }
                xor(block, other);
            }
            and_not(block, more);
        }
    }
}

fn and(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to &= from);
    to[from.len()..].fill(0);
}

fn or(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to |= from);
}

fn xor(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
}

fn and_not(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to &= !from);
}
