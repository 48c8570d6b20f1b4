//! Ziplists: the packed form of small collections before Redis 7.
//!
//! ```text
//! bytes (4, all) | where the last element begins (4) | elements (2; 65535: not told) | element ... | 0xff
//! element: length of the one before (1 byte, or 0xfe and 4), head, string if it is one
//!
//! 00nnnnnn              length of a string          11000000 + 2 bytes   integers, little-endian
//! 01nnnnnn nnnnnnnn     the same, big-endian        11010000 + 4
//! 10000000 + 4 bytes    the same, big-endian        11100000 + 8
//! 1111nnnn              n - 1, n being 1 to 13      11110000 + 3
//!                                                   11111110 + 1
//! ```

use super::listpack::Element;
use super::{Malformed, signed};

const HEADER: usize = 10;
const COUNT_UNKNOWN: u16 = u16::MAX;
const END: u8 = 0xff;

/// The elements one behind the other; nothing comes behind an error.
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    seen: usize,
    told: Option<usize>,
    done: bool,
}

pub(super) fn elements(bytes: &[u8]) -> Result<Elements<'_>, Malformed> {
    let bad = |at, what| Malformed { at, what };
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(bad(0, "a ziplist without its header"));
    };
    let total = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    if usize::try_from(total) != Ok(bytes.len()) {
        return Err(bad(0, "a ziplist of another length than it says"));
    }
    let count = u16::from_le_bytes([header[8], header[9]]);
    let told = (count != COUNT_UNKNOWN).then_some(usize::from(count));
    Ok(Elements { bytes, at: HEADER, seen: 0, told, done: false })
}

impl<'a> Elements<'a> {
    fn step(&mut self) -> Result<Option<Element<'a>>, Malformed> {
        let bad = |what| Malformed { at: self.at, what };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let beyond = bad("an element goes beyond the ziplist");
        let before = match rest {
            [] => return Err(bad("a ziplist without its end")),
            [END] if self.told.is_some_and(|told| told != self.seen) => {
                return Err(bad("another number of elements than the ziplist says"));
            }
            [END] => return Ok(None),
            [END, ..] => return Err(bad("the ziplist ends too early")),
            [0xfe, ..] => 5,
            _ => 1,
        };
        let element = rest.get(before..).unwrap_or_default();
        let (&head, tail) = element.split_first().ok_or(beyond)?;
        let int = |bytes: usize| Ok((1 + bytes, Element::Int(signed(tail.get(..bytes).ok_or(beyond)?))));
        let text = |head: usize, length: usize| {
            let end = head.checked_add(length).ok_or(beyond)?;
            Ok((end, Element::Text(element.get(head..end).ok_or(beyond)?)))
        };
        let low = usize::from(head & 0x3f);
        let (length, found) = match head {
            0..=0x3f => text(1, low)?,
            0x40..=0x7f => text(2, (low << 8) | usize::from(*tail.first().ok_or(beyond)?))?,
            0x80 => {
                let length = tail.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or(beyond)?;
                text(5, usize::try_from(length).map_err(|_| beyond)?)?
            }
            0xc0 => int(2)?,
            0xd0 => int(4)?,
            0xe0 => int(8)?,
            0xf0 => int(3)?,
            0xfe => int(1)?,
            0xf1..=0xfd => (1, Element::Int(i64::from(head & 0x0f) - 1)),
            _ => return Err(bad("an element of an unknown kind")),
        };
        self.at += before + length;
        self.seen += 1;
        Ok(Some(found))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ziplist(count: u16, body: &[u8]) -> Vec<u8> {
        let total = (HEADER + body.len() + 1) as u32;
        [&total.to_le_bytes()[..], &[0; 4], &count.to_le_bytes(), body, &[END]].concat()
    }

    fn all(bytes: &[u8]) -> Result<Vec<Element<'_>>, Malformed> {
        elements(bytes)?.collect()
    }

    #[test]
    fn every_kind_of_element_is_read() {
        let body = [
            &[0, 0x02, b'a', b'b'][..],
            &[4, 0x40, 1, b'c'],
            &[0xfe, 4, 0, 0, 0, 0x80, 0, 0, 0, 1, b'd'],
            &[11, 0xc0, 0x00, 0x80, 4, 0xd0, 0, 0, 0, 0x80, 6, 0xe0, 1, 0, 0, 0, 0, 0, 0, 0],
            &[10, 0xf0, 0xff, 0xff, 0xff, 5, 0xfe, 0x80, 3, 0xf1, 2, 0xfd],
        ]
        .concat();
        let ints = [i64::from(i16::MIN), i64::from(i32::MIN), 1, -1, -128, 0, 12].map(Element::Int);
        let texts = [&b"ab"[..], b"c", b"d"].map(Element::Text);
        assert_eq!(all(&ziplist(10, &body)).unwrap(), [&texts[..], &ints].concat());
        assert_eq!(all(&ziplist(COUNT_UNKNOWN, &body)).unwrap().len(), 10);
    }

    #[test]
    fn what_is_no_ziplist_is_refused() {
        let whats = |bytes: &[u8]| all(bytes).unwrap_err().what;
        assert_eq!(whats(&[1, 2, 3]), "a ziplist without its header");
        assert_eq!(whats(&[&ziplist(0, &[])[..], &[0]].concat()), "a ziplist of another length than it says");
        assert_eq!(whats(&ziplist(1, &[])), "another number of elements than the ziplist says");
        assert_eq!(whats(&ziplist(1, &[END, 0])), "the ziplist ends too early");
        assert_eq!(whats(&ziplist(1, &[0, 0x05, b'a'])), "an element goes beyond the ziplist");
        assert_eq!(whats(&ziplist(1, &[0xfe, 0, 0])), "an element goes beyond the ziplist");
        assert_eq!(whats(&ziplist(1, &[0, 0x80, 0xff, 0xff, 0xff, 0xff])), "an element goes beyond the ziplist");
        assert_eq!(whats(&ziplist(1, &[0, 0x81, 0])), "an element of an unknown kind");
    }
}
