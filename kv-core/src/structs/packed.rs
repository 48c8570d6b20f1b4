//! A short sequence of byte strings in one run of bytes, to be walked from its beginning.
//!
//! ```text
//! [count: u16 LE] item item ...        no bytes at all: no items
//!
//! item   0x00..=0xBF              a string of so many bytes, which follow
//!        0xC0 [length: u32 LE]    a longer string
//!        0xC1..=0xC8              an integer in 1 to 8 bytes, LE, two's complement, as few as hold it
//! ```
//!
//! A text that is the canonical form of a 64-bit integer is kept as that integer, every other one as a string. So each
//! text has exactly one encoding: equal texts are equal bytes, and searching never decodes. Places are byte offsets,
//! which hold until the sequence is changed at or in front of them.
//!
//! The bytes have no place for capacity or for the way back, so that they may lie in foreign memory (the block of a
//! key's entry) and be read there: [`PackedRef`]. Changes are made to the owned form, [`Packed`]. The codec of a single
//! item ([`Encoded`], [`read`], [`skip`]) serves containers that arrange items in another way.
//!
//! Bytes are made here and nowhere else; ones that no encoder wrote are a mistake of the program, and reading them ends
//! in a panic that says so, never beyond their end. All searches are O(n): how long a sequence may become is the
//! matter of whoever fills it, up to `ITEMS_MAX` items.

mod fuzz;

pub use fuzz::fuzz_packed;

use crate::resp::number;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// How many items a sequence can count.
pub const ITEMS_MAX: usize = u16::MAX as usize;

const HEADER: usize = 2;
/// The longest string whose length is the first byte itself.
const SHORT_MAX: usize = 0xBF;
const LONG: u8 = 0xC0;
const INT_MIN: u8 = LONG + 1;
const INT_MAX: u8 = LONG + 8;

/// One item, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// In a sequence: not the canonical form of a 64-bit integer. What is kept elsewhere may be any text.
    Bytes(&'a [u8]),
    Int(i64),
}

impl<'a> Item<'a> {
    /// A text as the item that it would be kept as.
    #[inline]
    pub fn of(text: &'a [u8]) -> Item<'a> {
        number::parse_i64(text).map_or(Item::Bytes(text), Item::Int)
    }

    /// The text; `digits` has room for that of an integer.
    #[inline]
    pub fn text<'b>(self, digits: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Item::Bytes(bytes) => bytes,
            Item::Int(int) => digits.format(int).as_bytes(),
        }
    }

    /// The length of the text.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "an item is not a container; an empty text is one like another")]
    pub fn len(self) -> usize {
        match self {
            Item::Bytes(bytes) => bytes.len(),
            Item::Int(int) => {
                let digits = int.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
                digits + usize::from(int < 0)
            }
        }
    }

    #[inline]
    pub fn append_to(self, out: &mut Vec<u8>) {
        match self {
            Item::Bytes(bytes) => out.extend_from_slice(bytes),
            Item::Int(int) => number::push_i64(out, int),
        }
    }

    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut itoa::Buffer::new()).to_vec()
    }

    /// Whether this is the item of a text.
    #[inline]
    pub fn is(self, text: &[u8]) -> bool {
        match self {
            Item::Bytes(bytes) => bytes == text,
            Item::Int(int) => number::parse_i64(text) == Some(int),
        }
    }

    /// The integer that the text is, if it is one.
    #[inline]
    pub fn int(self) -> Option<i64> {
        match self {
            Item::Bytes(bytes) => number::parse_i64(bytes),
            Item::Int(int) => Some(int),
        }
    }

    /// The order of the two texts as bytes.
    pub fn compare(self, other: Item<'_>) -> Ordering {
        self.text(&mut itoa::Buffer::new()).cmp(other.text(&mut itoa::Buffer::new()))
    }
}

/// One item in its encoding: to be searched for, or to be written.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// All of an integer; the length of a string.
    head: [u8; 9],
    head_len: u8,
    body: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    pub fn of(text: &'a [u8]) -> Encoded<'a> {
        Encoded::from(Item::of(text))
    }

    /// The same of an item whose bytes may be the text of an integer.
    #[inline]
    pub fn of_item(item: Item<'a>) -> Encoded<'a> {
        match item {
            Item::Bytes(text) => Encoded::of(text),
            Item::Int(_) => Encoded::from(item),
        }
    }

    /// Bytes that it takes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no encoding is empty")]
    pub fn len(&self) -> usize {
        usize::from(self.head_len) + self.body.len()
    }

    #[inline]
    fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head());
        out.extend_from_slice(self.body);
    }

    /// Writes it over the beginning of `out`, which has room for it.
    #[inline]
    pub fn write_to(&self, out: &mut [u8]) {
        let (head, body) = out[..self.len()].split_at_mut(self.head().len());
        head.copy_from_slice(self.head());
        body.copy_from_slice(self.body);
    }

    /// Whether `bytes` begin with this item.
    #[inline]
    pub fn begins(&self, bytes: &[u8]) -> bool {
        bytes.strip_prefix(self.head()).is_some_and(|rest| rest.starts_with(self.body))
    }
}

impl<'a> From<Item<'a>> for Encoded<'a> {
    /// Panics: when a string has 4 GiB or more, or would have been kept as an integer (in debug builds).
    #[inline]
    fn from(item: Item<'a>) -> Encoded<'a> {
        let mut head = [0; 9];
        match item {
            Item::Bytes(body) if body.len() <= SHORT_MAX => {
                debug_assert!(number::parse_i64(body).is_none(), "an integer that is written as a string");
                head[0] = body.len() as u8;
                Encoded { head, head_len: 1, body }
            }
            Item::Bytes(body) => {
                let len = u32::try_from(body.len()).expect("an item has less than 4 GiB");
                head[0] = LONG;
                head[1..5].copy_from_slice(&len.to_le_bytes());
                Encoded { head, head_len: 5, body }
            }
            Item::Int(int) => {
                let bytes = int_bytes(int);
                head[0] = LONG + bytes;
                head[1..].copy_from_slice(&int.to_le_bytes());
                Encoded { head, head_len: 1 + bytes, body: &[] }
            }
        }
    }
}

/// How many bytes hold an integer with its sign.
#[inline]
fn int_bytes(int: i64) -> u8 {
    let magnitude_bits = 64 - (if int < 0 { !int } else { int }).leading_zeros();
    (magnitude_bits / 8 + 1) as u8
}

#[cold]
#[inline(never)]
fn broken() -> ! {
    panic!("packed bytes that were not written by their encoder")
}

/// The item at an offset, and the offset behind it.
///
/// Panics: when no item begins there.
#[inline]
pub fn read(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let (begin, end) = body_of(bytes, at);
    let Some(body) = bytes.get(begin..end) else { broken() };
    let item = match bytes[at] {
        ..=LONG => Item::Bytes(body),
        _ => {
            let mut wide = [0; 8];
            wide[8 - body.len()..].copy_from_slice(body);
            Item::Int(i64::from_le_bytes(wide) >> (64 - 8 * body.len()))
        }
    };
    (item, end)
}

/// The offset behind the item at an offset.
///
/// Panics: when no item begins there.
#[inline]
pub fn skip(bytes: &[u8], at: usize) -> usize {
    body_of(bytes, at).1
}

/// Where the bytes behind an item's head begin and end.
#[inline]
fn body_of(bytes: &[u8], at: usize) -> (usize, usize) {
    let Some(&head) = bytes.get(at) else { broken() };
    match head {
        ..LONG => (at + 1, at + 1 + usize::from(head)),
        LONG => {
            let Some(len) = bytes.get(at + 1..).and_then(|rest| rest.first_chunk()) else { broken() };
            (at + 5, at + 5 + u32::from_le_bytes(*len) as usize)
        }
        INT_MIN..=INT_MAX => (at + 1, at + 1 + usize::from(head - LONG)),
        _ => broken(),
    }
}

/// A sequence that is read where it lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PackedRef<'a>(&'a [u8]);

impl<'a> PackedRef<'a> {
    /// Takes the bytes of a sequence for one.
    #[inline]
    pub const fn from_bytes(bytes: &'a [u8]) -> PackedRef<'a> {
        PackedRef(bytes)
    }

    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// How many items there are.
    #[inline]
    pub fn len(self) -> usize {
        self.0.first_chunk().map_or(0, |count| usize::from(u16::from_le_bytes(*count)))
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The offset of the first item, if there is one.
    #[inline]
    pub fn start(self) -> usize {
        HEADER
    }

    /// The offset behind the last item.
    #[inline]
    pub fn end(self) -> usize {
        self.0.len().max(HEADER)
    }

    /// The item at an offset.
    ///
    /// Panics: when no item begins there.
    #[inline]
    pub fn get(self, at: usize) -> Item<'a> {
        read(self.0, at).0
    }

    /// The offset behind the item at an offset.
    ///
    /// Panics: when no item begins there.
    #[inline]
    pub fn next(self, at: usize) -> usize {
        skip(self.0, at)
    }

    /// The offset of the nth item, counted from 0.
    ///
    /// Panics: when there are fewer. Cost: O(index).
    #[inline]
    pub fn nth(self, index: usize) -> usize {
        assert!(index < self.len(), "the sequence has only {} items", self.len());
        (0..index).fold(HEADER, |at, _| skip(self.0, at))
    }

    #[inline]
    pub fn iter(self) -> Iter<'a> {
        Iter { bytes: self.0, at: HEADER, left: self.len() }
    }

    /// The offset of the first item that is this one, among each `stride`th from the first on.
    #[inline]
    pub fn find(self, wanted: &Encoded<'_>, stride: usize) -> Option<usize> {
        let bytes = self.0;
        let mut at = HEADER;
        while at < bytes.len() {
            if wanted.begins(&bytes[at..]) {
                return Some(at);
            }
            for _ in 0..stride {
                at = skip(bytes, at);
            }
        }
        None
    }

    /// Whether no two are the same, among each `stride`th from the first on. Cost: O(n log n).
    pub fn all_different(self, stride: usize) -> bool {
        let mut hashes = Vec::with_capacity(self.len() / stride);
        let mut items = Walk { packed: self, at: HEADER, stride };
        hashes.extend(items.clone().map(xxh3_64));
        hashes.sort_unstable();
        if hashes.windows(2).all(|pair| pair[0] != pair[1]) {
            return true;
        }
        // Two are the same, or their hashes are.
        let mut seen = HashSet::with_capacity(hashes.len());
        items.all(|item| seen.insert(item))
    }
}

/// The encodings of each `stride`th item.
#[derive(Clone)]
struct Walk<'a> {
    packed: PackedRef<'a>,
    at: usize,
    stride: usize,
}

impl<'a> Iterator for Walk<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let bytes = self.packed.0;
        if self.at >= bytes.len() {
            return None;
        }
        let item = &bytes[self.at..skip(bytes, self.at)];
        for _ in 0..self.stride {
            self.at = skip(bytes, self.at);
        }
        Some(item)
    }
}

impl<'a> IntoIterator for PackedRef<'a> {
    type Item = Item<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for PackedRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The items in order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
}

impl Iter<'_> {
    /// The offset of the item that comes next, or the end.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (item, next) = read(self.bytes, self.at);
        self.at = next;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// A sequence that can be changed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

impl Packed {
    pub const fn new() -> Packed {
        Packed(Vec::new())
    }

    /// An empty one with room for so many bytes of items.
    pub fn with_capacity(bytes: usize) -> Packed {
        Packed(Vec::with_capacity(HEADER + bytes))
    }

    /// Takes the bytes of a sequence for one.
    #[inline]
    pub fn from_bytes(bytes: Vec<u8>) -> Packed {
        Packed(bytes)
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

    /// Gives back memory that is not used.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    #[inline]
    pub fn as_ref(&self) -> PackedRef<'_> {
        PackedRef(&self.0)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        self.as_ref().iter()
    }

    /// Appends an item.
    ///
    /// Panics: when there are `ITEMS_MAX`.
    #[inline]
    pub fn push(&mut self, text: &[u8]) {
        self.push_encoded(&Encoded::of(text));
    }

    #[inline]
    pub fn push_item(&mut self, item: Item<'_>) {
        self.push_encoded(&Encoded::from(item));
    }

    #[inline]
    pub fn push_encoded(&mut self, item: &Encoded<'_>) {
        self.count(1);
        item.append_to(&mut self.0);
    }

    /// Puts an item in front of the one at an offset, or at the end.
    ///
    /// Panics: when there are `ITEMS_MAX`.
    pub fn insert_at(&mut self, at: usize, text: &[u8]) {
        self.insert_encoded(at, &Encoded::of(text));
    }

    pub fn insert_encoded(&mut self, at: usize, item: &Encoded<'_>) {
        self.count(1);
        item.write_to(self.gap(at, 0, item.len()));
    }

    /// Puts another item in the place of the one at an offset.
    ///
    /// Panics: when no item begins there.
    pub fn replace_at(&mut self, at: usize, text: &[u8]) {
        self.replace_encoded(at, &Encoded::of(text));
    }

    pub fn replace_encoded(&mut self, at: usize, item: &Encoded<'_>) {
        let old = skip(&self.0, at) - at;
        item.write_to(self.gap(at, old, item.len()));
    }

    /// Removes `items` items from an offset on.
    ///
    /// Panics: when there are fewer.
    pub fn remove_at(&mut self, at: usize, items: usize) {
        let end = (0..items).fold(at, |at, _| skip(&self.0, at));
        if items > 0 {
            self.count(-(items as isize));
            self.0.drain(at..end);
        }
        if self.is_empty() {
            // An empty sequence has one form.
            self.0.clear();
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn count(&mut self, more: isize) {
        if self.0.is_empty() {
            self.0.extend_from_slice(&[0; HEADER]);
        }
        let count = self.len().checked_add_signed(more).and_then(|count| u16::try_from(count).ok());
        let Some(count) = count else { panic!("{} items and {more} more", self.len()) };
        self.0[..HEADER].copy_from_slice(&count.to_le_bytes());
    }

    /// Makes room for `new` bytes where there are `old` ones.
    fn gap(&mut self, at: usize, old: usize, new: usize) -> &mut [u8] {
        let len = self.0.len();
        assert!((HEADER..=len).contains(&at) && old <= len - at, "no place in the sequence");
        if new > old {
            self.0.resize(len + (new - old), 0);
        }
        if new != old {
            self.0.copy_within(at + old..len, at + new);
            self.0.truncate(len - old + new);
        }
        &mut self.0[at..at + new]
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_changes_agree_with_a_vector_of_texts() {
        (0..if cfg!(miri) { 3 } else { 300 }).for_each(fuzz_packed);
    }

    #[test]
    fn integers_take_as_few_bytes_as_hold_them() {
        let sizes = [
            (0, 1),
            (127, 1),
            (-128, 1),
            (128, 2),
            (-129, 2),
            (32_767, 2),
            (32_768, 3),
            (-8_388_608, 3),
            (8_388_608, 4),
            (i64::from(i32::MIN), 4),
            (i64::from(u32::MAX), 5),
            (1 << 47, 7),
            ((1 << 47) - 1, 6),
            (i64::MAX, 8),
            (i64::MIN, 8),
        ];
        for (int, bytes) in sizes {
            let mut packed = Packed::new();
            packed.push(int.to_string().as_bytes());
            assert_eq!((packed.bytes().len(), packed.as_ref().get(2)), (2 + 1 + bytes, Item::Int(int)));
            assert_eq!(packed.as_ref().get(2).len(), int.to_string().len());
        }
    }

    #[test]
    fn texts_that_only_look_like_integers_stay_as_they_are() {
        for text in ["-0", "+1", "01", " 1", "1 ", "", "-", "9223372036854775808", "1e3"] {
            let mut packed = Packed::new();
            packed.push(text.as_bytes());
            assert_eq!(packed.as_ref().get(2), Item::Bytes(text.as_bytes()));
        }
    }

    #[test]
    fn a_string_of_any_length_comes_back() {
        for len in [0, 1, SHORT_MAX, SHORT_MAX + 1, 255, 256, 70_000] {
            let text = vec![b'x'; len];
            let mut packed = Packed::new();
            packed.push(&text);
            packed.push(b"behind");
            assert_eq!(packed.iter().map(Item::to_vec).collect::<Vec<_>>(), [&text[..], b"behind"]);
        }
    }

    #[test]
    fn only_each_stride_th_item_is_found() {
        let mut packed = Packed::new();
        ["a", "b", "b", "a", "7", "c"].iter().for_each(|text| packed.push(text.as_bytes()));
        let view = packed.as_ref();
        assert_eq!(view.find(&Encoded::of(b"b"), 2), Some(view.nth(2)));
        assert_eq!(view.find(&Encoded::of(b"b"), 1), Some(view.nth(1)));
        assert_eq!(view.find(&Encoded::of(b"7"), 2), Some(view.nth(4)));
        assert_eq!(view.find(&Encoded::of(b"c"), 2), None);
        assert_eq!(PackedRef::from_bytes(&[]).find(&Encoded::of(b"c"), 1), None);
    }

    #[test]
    #[should_panic(expected = "65535 items and 1 more")]
    fn more_items_than_can_be_counted_are_refused() {
        let mut packed = Packed::new();
        (0..=ITEMS_MAX).for_each(|_| packed.push(b"1"));
    }

    #[test]
    fn bytes_of_another_origin_end_in_a_clear_panic() {
        let broken: [&[u8]; 7] = [
            &[1, 0],
            &[1, 0, 5, b'x'],
            &[1, 0, 0xC0, 1, 0, 0],
            &[1, 0, 0xC0, 255, 255, 255, 255, 1],
            &[1, 0, 0xC3, 1, 2],
            &[1, 0, 0xC9, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 1, b'x'],
        ];
        for bytes in broken {
            let panic = std::panic::catch_unwind(|| PackedRef::from_bytes(bytes).iter().count()).expect_err("a panic");
            assert_eq!(panic.downcast_ref(), Some(&"packed bytes that were not written by their encoder"));
        }
    }
}
