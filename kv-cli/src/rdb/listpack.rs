//! Listpacks: the packed form of small collections since Redis 7, and of streams.
//!
//! ```text
//! bytes (4, all) | elements (2; 65535: not told) | element ... | 0xff
//! element: head, string if it is one, length of both backwards (1 to 5 bytes)
//!
//! 0nnnnnnn              0 to 127            11110000 + 4 bytes   length of a string
//! 10nnnnnn              length of a string  11110001 + 2 bytes   integers, little-endian
//! 110nnnnn nnnnnnnn     13 bits, signed     11110010 + 3
//! 1110nnnn nnnnnnnn     length of a string  11110011 + 4
//!                                           11110100 + 8
//! ```

use super::{Malformed, signed};
use crate::transfer::item::Bytes;

/// An element as it is stored: what looks like an integer usually is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    Int(i64),
    Text(&'a [u8]),
}

impl Element<'_> {
    pub(super) fn to_bytes(self) -> Bytes {
        match self {
            Element::Int(number) => Bytes(number.to_string().into_bytes()),
            Element::Text(text) => Bytes(text.to_vec()),
        }
    }

    /// The number, also of one that is stored as its text.
    pub(super) fn to_int(self) -> Option<i64> {
        match self {
            Element::Int(number) => Some(number),
            Element::Text(text) => kv_core::resp::number::parse_i64(text),
        }
    }
}

const HEADER: usize = 6;
const COUNT_UNKNOWN: u16 = u16::MAX;
const END: u8 = 0xff;

/// The elements one behind the other; nothing comes behind an error.
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    place: Place,
    told: Option<usize>,
    done: bool,
}

/// How far a listpack was read.
#[derive(Clone, Copy)]
pub(super) struct Place {
    at: usize,
    seen: usize,
}

/// Goes on where reading of the same bytes came to.
pub(super) fn elements_from(bytes: &[u8], place: Place) -> Result<Elements<'_>, Malformed> {
    Ok(Elements { place, ..elements(bytes)? })
}

pub(super) fn elements(bytes: &[u8]) -> Result<Elements<'_>, Malformed> {
    let bad = |at, what| Malformed { at, what };
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(bad(0, "a listpack without its header"));
    };
    let total = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    if usize::try_from(total) != Ok(bytes.len()) {
        return Err(bad(0, "a listpack of another length than it says"));
    }
    let count = u16::from_le_bytes([header[4], header[5]]);
    let told = (count != COUNT_UNKNOWN).then_some(usize::from(count));
    Ok(Elements { bytes, place: Place { at: HEADER, seen: 0 }, told, done: false })
}

/// Bytes that tell the length of what is before them.
fn backwards_length(length: usize) -> usize {
    match length {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        2_097_152..=268_435_455 => 4,
        _ => 5,
    }
}

impl<'a> Elements<'a> {
    /// An element that must be there.
    pub(super) fn need(&mut self) -> Result<Element<'a>, Malformed> {
        let at = self.place.at;
        self.next().unwrap_or(Err(Malformed { at, what: "the listpack ends too early" }))
    }

    /// An integer that must be there.
    pub(super) fn need_int(&mut self) -> Result<i64, Malformed> {
        let at = self.place.at;
        self.need()?.to_int().ok_or(Malformed { at, what: "an integer was due" })
    }

    pub(super) fn offset(&self) -> usize {
        self.place.at
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    fn step(&mut self) -> Result<Option<Element<'a>>, Malformed> {
        let bad = |what| Malformed { at: self.place.at, what };
        let rest = self.bytes.get(self.place.at..).unwrap_or_default();
        let (&head, tail) = rest.split_first().ok_or(bad("a listpack without its end"))?;
        if head == END {
            if !tail.is_empty() {
                return Err(bad("the listpack ends too early"));
            }
            if self.told.is_some_and(|told| told != self.place.seen) {
                return Err(bad("another number of elements than the listpack says"));
            }
            return Ok(None);
        }
        let beyond = bad("an element goes beyond the listpack");
        let int = |bytes: usize| Ok((1 + bytes, Element::Int(signed(tail.get(..bytes).ok_or(beyond)?))));
        let text = |head: usize, length: usize| {
            let end = head.checked_add(length).ok_or(beyond)?;
            Ok((end, Element::Text(rest.get(head..end).ok_or(beyond)?)))
        };
        let second = || tail.first().map(|&byte| usize::from(byte)).ok_or(beyond);
        let low = |bits: u32| usize::from(head) & ((1 << bits) - 1);
        let (length, element) = match head {
            0..=0x7f => (1, Element::Int(i64::from(head))),
            0x80..=0xbf => text(1, low(6))?,
            0xc0..=0xdf => {
                let number = ((low(5) << 8) | second()?) as i64;
                (2, Element::Int(if number >= 1 << 12 { number - (1 << 13) } else { number }))
            }
            0xe0..=0xef => text(2, (low(4) << 8) | second()?)?,
            0xf0 => {
                let length = tail.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(beyond)?;
                text(5, usize::try_from(length).map_err(|_| beyond)?)?
            }
            0xf1 => int(2)?,
            0xf2 => int(3)?,
            0xf3 => int(4)?,
            0xf4 => int(8)?,
            _ => return Err(bad("an element of an unknown kind")),
        };
        self.place.at += length + backwards_length(length);
        self.place.seen += 1;
        Ok(Some(element))
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

    fn listpack(count: u16, body: &[u8]) -> Vec<u8> {
        let total = (HEADER + body.len() + 1) as u32;
        [&total.to_le_bytes()[..], &count.to_le_bytes(), body, &[END]].concat()
    }

    fn all(bytes: &[u8]) -> Result<Vec<Element<'_>>, Malformed> {
        elements(bytes)?.collect()
    }

    #[test]
    fn every_kind_of_element_is_read() {
        let body = [
            &[0x00, 1, 0x7f, 1][..],
            &[0x83, b'a', b'b', b'c', 4],
            &[0xdf, 0xff, 2, 0xd0, 0x00, 2, 0xcf, 0xff, 2],
            &[0xe0, 2, b'x', b'y', 4],
            &[0xf0, 1, 0, 0, 0, b'z', 6],
            &[0xf1, 0x00, 0x80, 3, 0xf2, 0xff, 0xff, 0x7f, 4, 0xf3, 0xff, 0xff, 0xff, 0xff, 5],
            &[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9],
        ]
        .concat();
        let wanted = [
            Element::Int(0),
            Element::Int(127),
            Element::Text(b"abc"),
            Element::Int(-1),
            Element::Int(-4096),
            Element::Int(4095),
            Element::Text(b"xy"),
            Element::Text(b"z"),
            Element::Int(-32768),
            Element::Int(8388607),
            Element::Int(-1),
            Element::Int(i64::MIN),
        ];
        assert_eq!(all(&listpack(12, &body)).unwrap(), wanted);
        assert_eq!(all(&listpack(COUNT_UNKNOWN, &body)).unwrap(), wanted);
        assert_eq!(all(&listpack(0, &[])).unwrap(), []);
    }

    #[test]
    fn a_long_element_has_a_longer_way_back() {
        for (length, back) in [(126, 1), (200, 2), (20_000, 3), (2_100_000, 4)] {
            let text = vec![b'q'; length];
            let mut body = vec![0xf0];
            body.extend((length as u32).to_le_bytes());
            body.extend(&text);
            let back = if length == 126 { 2 } else { back };
            body.extend(vec![0; back]);
            assert_eq!(all(&listpack(1, &body)).unwrap(), [Element::Text(&text)]);
        }
    }

    #[test]
    fn what_is_no_listpack_is_refused() {
        let whats = |bytes: &[u8]| all(bytes).unwrap_err().what;
        assert_eq!(whats(&[]), "a listpack without its header");
        assert_eq!(whats(&[9, 0, 0, 0, 0, 0, END]), "a listpack of another length than it says");
        assert_eq!(whats(&listpack(2, &[1, 1])), "another number of elements than the listpack says");
        assert_eq!(whats(&listpack(1, &[END, 1])), "the listpack ends too early");
        assert_eq!(whats(&listpack(1, &[0x85, b'a', 1])), "an element goes beyond the listpack");
        assert_eq!(whats(&listpack(1, &[0xf0, 255, 255, 255, 255])), "an element goes beyond the listpack");
        assert_eq!(whats(&listpack(1, &[0xf5, 1])), "an element of an unknown kind");
        assert_eq!(whats(&listpack(1, &[0xf4])), "an element goes beyond the listpack");
        assert_eq!(whats(&[6, 0, 0, 0, 0, 0]), "a listpack without its end");
    }
}
