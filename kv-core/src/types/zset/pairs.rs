//! The packed form: members and scores in turn, ascending.
//!
//! ```text
//! score   an integer below 2^53 in magnitude     that integer
//!         any other                              0x00, then the bytes of the double from the highest on, as far as they
//!                                                are not 0: 1.5 is 00 3F F8
//! ```
//!
//! The zero in front keeps the bytes from being the text of an integer. Everything here is O(n).

use super::Member;
use super::bounds::{LexRange, ScoreRange};
use crate::structs::packed::{self, Encoded, Item, Packed, PackedRef};
use std::cmp::Ordering;
use std::ops::Range;

/// Items to a member.
pub(super) const STRIDE: usize = 2;

/// Below this magnitude every integer is a double.
const EXACT_MAX: f64 = (1u64 << 53) as f64;

/// Room for a score that is no integer.
type ScoreBytes = [u8; 9];

fn encode(score: f64, room: &mut ScoreBytes) -> Encoded<'_> {
    // -0.0, too, becomes the integer, as in Redis.
    if score.abs() < EXACT_MAX && score.fract() == 0.0 {
        return Encoded::from(Item::Int(score as i64));
    }
    room[1..].copy_from_slice(&score.to_bits().to_be_bytes());
    let len = room.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
    Encoded::from(Item::Bytes(&room[..len]))
}

fn decode(item: Item<'_>) -> f64 {
    match item {
        Item::Int(int) => int as f64,
        Item::Bytes(bytes) => {
            let mut bits = [0; 8];
            let bytes = &bytes[1..];
            bits[..bytes.len()].copy_from_slice(bytes);
            f64::from_bits(u64::from_be_bytes(bits))
        }
    }
}

/// The score of the member at an offset.
pub(super) fn score_at(packed: PackedRef<'_>, at: usize) -> f64 {
    decode(packed.get(packed.next(at)))
}

/// Some of the pairs, in order.
#[derive(Clone)]
pub struct Pairs<'a> {
    items: packed::Iter<'a>,
    left: usize,
}

impl<'a> Pairs<'a> {
    /// The pairs of the ranks `ranks`, as far as there are any.
    pub(super) fn new(packed: PackedRef<'a>, ranks: Range<usize>) -> Pairs<'a> {
        let end = ranks.end.min(packed.len() / STRIDE);
        let left = end.saturating_sub(ranks.start);
        let mut items = packed.iter();
        if left > 0 && ranks.start > 0 {
            items.nth(ranks.start * STRIDE - 1);
        }
        Pairs { items, left }
    }

    /// The offset of the pair that comes next, or the end.
    fn at(&self) -> usize {
        self.items.at()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Member<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Member<'a>, f64)> {
        self.left = self.left.checked_sub(1)?;
        let member = self.items.next()?;
        Some((member, decode(self.items.next()?)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pairs<'_> {}

fn all(packed: PackedRef<'_>) -> Pairs<'_> {
    Pairs::new(packed, 0..usize::MAX)
}

/// Appends a pair that comes behind all others.
pub(super) fn push(packed: &mut Packed, member: Member<'_>, score: f64) {
    packed.push(member.text(&mut itoa::Buffer::new()));
    packed.push_encoded(&encode(score, &mut [0; 9]));
}

/// Puts a new pair in its place.
pub(super) fn insert(packed: &mut Packed, member: &[u8], score: f64) {
    let text = Item::of(member);
    let mut pairs = all(packed.as_ref());
    let at = loop {
        let at = pairs.at();
        let Some((other, other_score)) = pairs.next() else { break at };
        match other_score.total_order(score) {
            Ordering::Less => {}
            Ordering::Equal if other.compare(text).is_lt() => {}
            _ => break at,
        }
    };
    packed.insert_encoded(at, &encode(score, &mut [0; 9]));
    packed.insert_encoded(at, &Encoded::from(text));
}

trait TotalOrder {
    /// The order of numbers that are not NaN.
    fn total_order(self, other: Self) -> Ordering;
}

impl TotalOrder for f64 {
    fn total_order(self, other: f64) -> Ordering {
        self.partial_cmp(&other).expect("a score is a number")
    }
}

pub(super) fn rank(packed: PackedRef<'_>, member: &[u8]) -> Option<(usize, f64)> {
    let member = Item::of(member);
    all(packed).enumerate().find(|(_, (other, _))| *other == member).map(|(rank, (_, score))| (rank, score))
}

pub(super) fn ranks_by_score(packed: PackedRef<'_>, range: &ScoreRange) -> Range<usize> {
    let start = all(packed).take_while(|&(_, score)| range.min.above(score)).count();
    let end = start + all(packed).skip(start).take_while(|&(_, score)| range.max.reaches(score)).count();
    start..end
}

/// The range of ranks that a walk from the lower bound (`back`: from the upper one) finds. Where scores differ there may be
/// several, and the walk decides as in Redis: it ends where it first leaves the bounds.
pub(super) fn ranks_by_lex(packed: PackedRef<'_>, range: &LexRange<'_>, back: bool) -> Range<usize> {
    let mut digits = itoa::Buffer::new();
    let mut inside = Vec::with_capacity(packed.len() / STRIDE);
    for (member, _) in all(packed) {
        let text = member.text(&mut digits);
        inside.push((range.min.allows_above(text), range.max.allows_below(text)));
    }
    let (Some(&(_, first)), Some(&(last, _))) = (inside.first(), inside.last()) else { return 0..0 };
    if !first || !last {
        return 0..0;
    }
    if back {
        let end = inside.iter().rposition(|&(_, below)| below).map_or(0, |at| at + 1);
        let len = inside[..end].iter().rev().take_while(|&&(above, _)| above).count();
        end - len..end
    } else {
        let start = inside.iter().position(|&(above, _)| above).unwrap_or(inside.len());
        start..start + inside[start..].iter().take_while(|&&(_, below)| below).count()
    }
}
