//! The bytes of a dump: where they are read, what their checksum is, and the two things that all else is made of,
//! lengths and strings.
//!
//! ```text
//! 00nnnnnn                 length                    11000000 + 1 byte    integers as texts, little-endian
//! 01nnnnnn nnnnnnnn        length, big-endian        11000001 + 2
//! 10000000 + 4 bytes       length, big-endian        11000010 + 4
//! 10000001 + 8 bytes       length, big-endian        11000011 packed, unpacked length, packed bytes (LZF)
//! ```
//!
//! A string is a length and so many bytes, or one of the forms on the right.

use std::io::{BufRead, ErrorKind, Read};

use crc::{CRC_64_REDIS, Crc, Digest, Table};

use super::{Damage, Malformed, lzf, signed};
use crate::transfer::item::Bytes;

type Crc64 = Crc<u64, Table<16>>;
static CRC: Crc64 = Crc64::new(&CRC_64_REDIS);

pub(super) struct Input<R> {
    bytes: R,
    offset: u64,
    digest: Digest<'static, u64, Table<16>>,
}

enum Length {
    Plain(u64),
    /// A string of another form, by its number.
    Special(u8),
}

/// The checksum of `bytes` as of a whole file.
#[cfg(test)]
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    CRC.checksum(bytes)
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(bytes: R) -> Input<R> {
        Input { bytes, offset: 0, digest: CRC.digest() }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The checksum of all that was read.
    pub(super) fn checksum(&self) -> u64 {
        self.digest.clone().finalize()
    }

    pub(super) fn damage(&self, what: impl Into<String>) -> Damage {
        Damage { offset: self.offset, key: None, what: what.into() }
    }

    pub(super) fn exact<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let mut bytes = [0; N];
        match self.bytes.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(self.cut_off()),
            Err(error) => return Err(self.damage(error.to_string())),
        }
        self.digest.update(&bytes);
        self.offset += N as u64;
        Ok(bytes)
    }

    fn cut_off(&self) -> Damage {
        self.damage("the file is cut off")
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        self.exact().map(|[byte]| byte)
    }

    /// So many bytes. They are allocated as they come.
    pub(super) fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Damage> {
        let mut bytes = Vec::new();
        let read = (&mut self.bytes).take(length).read_to_end(&mut bytes);
        read.map_err(|error| self.damage(error.to_string()))?;
        if bytes.len() as u64 != length {
            return Err(self.cut_off());
        }
        self.digest.update(&bytes);
        self.offset += length;
        Ok(bytes)
    }

    fn length(&mut self) -> Result<Length, Damage> {
        let offset = self.offset;
        let first = self.byte()?;
        let low = u64::from(first & 0x3f);
        Ok(match (first >> 6, first) {
            (0, _) => Length::Plain(low),
            (1, _) => Length::Plain((low << 8) | u64::from(self.byte()?)),
            (3, _) => Length::Special(first & 0x3f),
            (_, 0x80) => Length::Plain(u64::from(u32::from_be_bytes(self.exact()?))),
            (_, 0x81) => Length::Plain(u64::from_be_bytes(self.exact()?)),
            _ => return Err(Damage { offset, key: None, what: format!("no length begins with {first:#04x}") }),
        })
    }

    /// A length, a count or a number without sign.
    pub(super) fn number(&mut self) -> Result<u64, Damage> {
        let offset = self.offset;
        match self.length()? {
            Length::Plain(number) => Ok(number),
            Length::Special(_) => Err(Damage { offset, key: None, what: "a number was due, not a string".to_owned() }),
        }
    }

    pub(super) fn string(&mut self) -> Result<Bytes, Damage> {
        let offset = self.offset;
        let bad = |what: String| Damage { offset, key: None, what };
        Ok(Bytes(match self.length()? {
            Length::Plain(length) => self.bytes(length)?,
            Length::Special(0) => signed(&self.exact::<1>()?).to_string().into_bytes(),
            Length::Special(1) => signed(&self.exact::<2>()?).to_string().into_bytes(),
            Length::Special(2) => signed(&self.exact::<4>()?).to_string().into_bytes(),
            Length::Special(3) => {
                let (packed, unpacked) = (self.number()?, self.number()?);
                let packed = self.bytes(packed)?;
                let unpacked = lzf::unpack(&packed, unpacked);
                unpacked.map_err(|Malformed { at, what }| bad(format!("LZF, byte {at}: {what}")))?
            }
            Length::Special(form) => return Err(bad(format!("a string of the unknown form {form}"))),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> Input<&[u8]> {
        Input::new(bytes)
    }

    #[test]
    fn lengths_have_four_forms() {
        let mut all = input(&[0x3f, 0x40, 0x40, 0x7f, 0xff, 0x80, 0, 1, 0, 0, 0x81, 0, 0, 0, 1, 0, 0, 0, 0]);
        let numbers: Vec<u64> = (0..5).map(|_| all.number().unwrap()).collect();
        assert_eq!(numbers, [63, 64, 16383, 65536, 1 << 32]);
        assert_eq!(all.offset(), 19);
        assert_eq!(all.number().unwrap_err().to_string(), "offset 19: the file is cut off");
        assert_eq!(input(&[0x82]).number().unwrap_err().to_string(), "offset 0: no length begins with 0x82");
        assert!(input(&[0xc0, 1]).number().is_err());
    }

    #[test]
    fn strings_may_be_integers_or_packed() {
        let mut all = input(&[
            2, b'h', b'i', 0, 0xc0, 0x80, 0xc1, 0x00, 0x80, 0xc2, 0xff, 0xff, 0xff, 0x7f, 0xc3, 4, 5, 0, b'a', 0x40, 0,
        ]);
        for wanted in ["hi", "", "-128", "-32768", "2147483647", "aaaaa"] {
            assert_eq!(all.string().unwrap().0, wanted.as_bytes());
        }
        assert!(input(&[0xc4]).string().is_err());
    }

    #[test]
    fn an_announced_length_is_not_allocated() {
        let mut huge = vec![0x81];
        huge.extend(u64::MAX.to_be_bytes());
        huge.extend(b"few");
        assert_eq!(input(&huge).string().unwrap_err().to_string(), "offset 9: the file is cut off");
        let mut packed = vec![0xc3, 2, 0x81];
        packed.extend(u64::MAX.to_be_bytes());
        packed.extend([0, b'a']);
        let error = input(&packed).string().unwrap_err().to_string();
        assert_eq!(error, "offset 0: LZF, byte 0: compressed bytes cannot stand for so many");
    }

    #[test]
    fn the_checksum_is_that_of_redis() {
        let mut digits = input(b"123456789");
        digits.bytes(4).unwrap();
        digits.exact::<5>().unwrap();
        assert_eq!(digits.checksum(), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(checksum(b"123456789"), digits.checksum());
    }
}
