//! Two more packed forms: sets of integers, and the hashes of Redis before 2.6.
//!
//! ```text
//! intset: bytes of a number (4: 2, 4 or 8) | how many (4) | numbers, all little-endian
//! zipmap: how many (1; 254: not told) | length, field, length, unused (1), value, unused bytes ... | 0xff
//!         a length is 1 byte up to 253, or 254 and 4 bytes, little-endian
//! ```

use super::{Malformed, signed};
use crate::transfer::item::{Bytes, Field};

pub(super) fn intset(bytes: &[u8]) -> Result<Vec<Bytes>, Malformed> {
    let bad = |what| Malformed { at: 0, what };
    let Some((header, numbers)) = bytes.split_first_chunk::<8>() else {
        return Err(bad("an intset without its header"));
    };
    let width = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if !matches!(width, 2 | 4 | 8) {
        return Err(bad("an intset of numbers of an unknown size"));
    }
    let count = u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
    if count * width as u64 != numbers.len() as u64 {
        return Err(bad("an intset of another length than it says"));
    }
    Ok(numbers.chunks_exact(width).map(|number| Bytes(signed(number).to_string().into_bytes())).collect())
}

pub(super) fn zipmap(bytes: &[u8]) -> Result<Vec<Field>, Malformed> {
    const LONG: u8 = 254;
    const END: u8 = 255;
    let mut at = 1;
    let take = |at: &mut usize, length: usize| {
        let beyond = Malformed { at: *at, what: "a zipmap ends too early" };
        let end = at.checked_add(length).ok_or(beyond)?;
        let taken = bytes.get(*at..end).ok_or(beyond)?;
        *at = end;
        Ok::<_, Malformed>(taken)
    };
    let length = |at: &mut usize| match take(at, 1)?[0] {
        LONG => {
            let long = take(at, 4)?;
            Ok(u32::from_le_bytes([long[0], long[1], long[2], long[3]]) as usize)
        }
        END => Err(Malformed { at: *at, what: "a zipmap with a field and no value" }),
        short => Ok(usize::from(short)),
    };
    let mut fields = Vec::new();
    loop {
        match bytes.get(at) {
            Some(&END) if at + 1 == bytes.len() => return Ok(fields),
            Some(&END) => return Err(Malformed { at, what: "bytes behind the end of a zipmap" }),
            _ => {}
        }
        let name_length = length(&mut at)?;
        let name = Bytes::from(take(&mut at, name_length)?);
        let value_length = length(&mut at)?;
        let unused = usize::from(take(&mut at, 1)?[0]);
        let value = Bytes::from(take(&mut at, value_length)?);
        take(&mut at, unused)?;
        fields.push(Field { name, value, expire_at: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_are_read() {
        let texts = |bytes: &[u8]| intset(bytes).map(|all| all.into_iter().map(|number| number.0).collect::<Vec<_>>());
        assert_eq!(texts(&[2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 5, 0]).unwrap(), [&b"-1"[..], b"5"]);
        assert_eq!(texts(&[4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80]).unwrap(), [b"-2147483648"]);
        let wide = [&[8, 0, 0, 0, 1, 0, 0, 0][..], &i64::MIN.to_le_bytes()].concat();
        assert_eq!(texts(&wide).unwrap(), [i64::MIN.to_string().into_bytes()]);
        assert!(texts(&[3, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(texts(&[2, 0, 0, 0, 9, 0, 0, 0]).is_err());
        assert!(texts(&[2, 0, 0]).is_err());
    }

    #[test]
    fn a_zipmap_may_have_unused_bytes_and_long_values() {
        let mut bytes = vec![2, 1, b'f', 2, 3, b'v', b'w', 0, 0, 0, 1, b'g', 254];
        bytes.extend(300u32.to_le_bytes());
        bytes.push(0);
        bytes.extend([b'q'; 300]);
        bytes.push(255);
        let fields = zipmap(&bytes).unwrap();
        assert_eq!((&fields[0].name.0[..], &fields[0].value.0[..]), (&b"f"[..], &b"vw"[..]));
        assert_eq!((&fields[1].name.0[..], fields[1].value.0.len()), (&b"g"[..], 300));
        for end in 0..bytes.len() {
            assert!(zipmap(&bytes[..end]).is_err(), "{end}");
        }
        assert_eq!(zipmap(&[0, 255]).unwrap(), []);
        assert!(zipmap(&[0, 255, 0]).is_err() && zipmap(&[1, 1, b'f', 255]).is_err());
    }
}
