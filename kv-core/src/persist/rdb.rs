//! What dumps of Redis are made of: lengths, strings and the checksum of all; and the payload of FUNCTION DUMP.
//!
//! ```text
//! 00nnnnnn                 length                    11000000 + 1 byte    integers as texts, little-endian
//! 01nnnnnn nnnnnnnn        length, big-endian        11000001 + 2
//! 10000000 + 4 bytes       length, big-endian        11000010 + 4
//! 10000001 + 8 bytes       length, big-endian        11000011 packed, unpacked length, packed bytes (LZF)
//! ```
//!
//! A string is a length and so many bytes, or one of the forms on the right. A payload:
//!
//! ```text
//! 245, string (the code of a library), ...  RDB version (2 bytes)  CRC-64 of all before (8 bytes), little-endian
//! ```

mod lzf;

use super::Damage;
use crate::structs::random::Random;
use crc::{CRC_64_REDIS, Crc, Digest, Table};
use std::io::{BufRead, ErrorKind, Read};

type Crc64 = Crc<u64, Table<16>>;
static CRC: Crc64 = Crc64::new(&CRC_64_REDIS);

/// In front of the code of a library.
pub const FUNCTION: u8 = 245;
/// In a form that only test versions of Redis 7.0 wrote.
pub const FUNCTION_OF_TEST_VERSIONS: u8 = 246;

/// That of Redis 7.0, which all have read since that know functions.
const VERSION: u16 = 10;
/// The latest that is known: that of Redis 8.2.
pub const VERSION_MAX: u16 = 12;
/// Version and checksum.
const FOOTER: usize = 10;

/// Bytes that are read from the front.
pub struct Input<R> {
    bytes: R,
    offset: u64,
    digest: Digest<'static, u64, Table<16>>,
}

enum Length {
    Plain(u64),
    /// A string of another form, by its number.
    Special(u8),
}

/// The checksum of bytes.
pub fn checksum(bytes: &[u8]) -> u64 {
    CRC.checksum(bytes)
}

impl<R: BufRead> Input<R> {
    pub fn new(bytes: R) -> Input<R> {
        Input { bytes, offset: 0, digest: CRC.digest() }
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The checksum of all that was read.
    pub fn checksum(&self) -> u64 {
        self.digest.clone().finalize()
    }

    pub fn damage(&self, what: impl Into<String>) -> Damage {
        Damage::new(self.offset, what)
    }

    pub fn exact<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
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

    pub fn byte(&mut self) -> Result<u8, Damage> {
        self.exact().map(|[byte]| byte)
    }

    /// So many bytes. They are allocated as they come.
    pub fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Damage> {
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
            _ => return Err(Damage::new(offset, format!("no length begins with {first:#04x}"))),
        })
    }

    /// A length, a count or a number without sign.
    pub fn number(&mut self) -> Result<u64, Damage> {
        let offset = self.offset;
        match self.length()? {
            Length::Plain(number) => Ok(number),
            Length::Special(_) => Err(Damage::new(offset, "a number was due, not a string")),
        }
    }

    pub fn string(&mut self) -> Result<Vec<u8>, Damage> {
        let offset = self.offset;
        let bad = |what: String| Damage::new(offset, what);
        Ok(match self.length()? {
            Length::Plain(length) => self.bytes(length)?,
            Length::Special(0) => i8::from_le_bytes(self.exact()?).to_string().into_bytes(),
            Length::Special(1) => i16::from_le_bytes(self.exact()?).to_string().into_bytes(),
            Length::Special(2) => i32::from_le_bytes(self.exact()?).to_string().into_bytes(),
            Length::Special(3) => {
                let (packed, unpacked) = (self.number()?, self.number()?);
                let packed = self.bytes(packed)?;
                let unpacked = lzf::unpack(&packed, unpacked);
                unpacked.map_err(|(at, what)| bad(format!("LZF, byte {at}: {what}")))?
            }
            Length::Special(form) => return Err(bad(format!("a string of the unknown form {form}"))),
        })
    }
}

/// A length, as short as it can be.
fn put_length(out: &mut Vec<u8>, length: usize) {
    match length {
        0..0x40 => out.push(length as u8),
        0x40..0x4000 => out.extend_from_slice(&(0x4000 | length as u16).to_be_bytes()),
        _ => match u32::try_from(length) {
            Ok(length) => {
                out.push(0x80);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
}

/// The payload of libraries with these codes. They are not packed, so that any reader takes them.
pub fn dump_functions<'c>(codes: impl Iterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        out.push(FUNCTION);
        put_length(&mut out, code.len());
        out.extend_from_slice(code);
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&checksum(&out).to_le_bytes());
    out
}

/// The codes of the libraries in a payload, one after the other. After an error there are none.
pub struct Functions<'p> {
    left: &'p [u8],
}

impl<'p> Functions<'p> {
    /// Errors, here and from the iterator: what is wrong, in Redis's words.
    pub fn new(payload: &'p [u8]) -> Result<Functions<'p>, &'static str> {
        const WRONG: &str = "DUMP payload version or checksum are wrong";
        let (left, footer) = payload.split_at_checked(payload.len().wrapping_sub(FOOTER)).ok_or(WRONG)?;
        let (version, told) = footer.split_first_chunk().ok_or(WRONG)?;
        let is_whole = checksum(&payload[..payload.len() - 8]).to_le_bytes() == told;
        if u16::from_le_bytes(*version) > VERSION_MAX || !is_whole {
            return Err(WRONG);
        }
        Ok(Functions { left })
    }
}

impl Iterator for Functions<'_> {
    type Item = Result<Vec<u8>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = std::mem::take(&mut self.left);
        let (&kind, left) = left.split_first()?;
        let mut input = Input::new(left);
        Some(match kind {
            FUNCTION => match input.string() {
                Ok(code) => {
                    self.left = &left[input.offset() as usize..];
                    Ok(code)
                }
                Err(_) => Err("Failed loading library data"),
            },
            FUNCTION_OF_TEST_VERSIONS => Err("Pre-GA function format not supported"),
            _ => Err("given type is not a function"),
        })
    }
}

/// Reads payloads whose checksum agrees, but whose bytes are anything.
///
/// Panics: when that does harm, or gives more than the bytes can stand for.
pub fn fuzz_functions(seed: u64) {
    let random = &mut Random::new(seed);
    let mut body = Vec::new();
    for _ in 0..random.below(4) {
        match random.below(4) {
            0 => body.extend((0..random.index(20)).map(|_| random.next_u64() as u8)),
            1 => body.extend_from_slice(&[FUNCTION, 0xc3, 4, 5, 0, b'a', 0x40, 0]),
            2 => body.extend_from_slice(&[FUNCTION, 0xc0 + random.below(4) as u8, random.next_u64() as u8]),
            _ => {
                let length = random.index(100);
                body.push(FUNCTION);
                put_length(&mut body, length);
                body.extend(random.bytes_of(b"ab\n", length));
            }
        }
    }
    for _ in 0..random.below(3) {
        if !body.is_empty() {
            let at = random.index(body.len());
            body[at] ^= 1 << random.below(8);
        }
    }
    body.extend_from_slice(&(random.below(14) as u16).to_le_bytes());
    let crc = checksum(&body) ^ u64::from(random.one_in(20));
    body.extend_from_slice(&crc.to_le_bytes());
    if let Ok(functions) = Functions::new(&body) {
        let bytes: usize = functions.map_while(Result::ok).map(|code| code.len()).sum();
        assert!(bytes <= 100 * body.len(), "seed {seed}: {bytes} bytes out of {}", body.len());
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
        assert_eq!(all.number().unwrap_err().to_string(), "at byte 19: the file is cut off");
        assert_eq!(input(&[0x82]).number().unwrap_err().to_string(), "at byte 0: no length begins with 0x82");
        assert!(input(&[0xc0, 1]).number().is_err());
    }

    #[test]
    fn strings_may_be_integers_or_packed() {
        let mut all = input(&[
            2, b'h', b'i', 0, 0xc0, 0x80, 0xc1, 0x00, 0x80, 0xc2, 0xff, 0xff, 0xff, 0x7f, 0xc3, 4, 5, 0, b'a', 0x40, 0,
        ]);
        for wanted in ["hi", "", "-128", "-32768", "2147483647", "aaaaa"] {
            assert_eq!(all.string().unwrap(), wanted.as_bytes());
        }
        assert!(input(&[0xc4]).string().is_err());
    }

    #[test]
    fn an_announced_length_is_not_allocated() {
        let mut huge = vec![0x81];
        huge.extend(u64::MAX.to_be_bytes());
        huge.extend(b"few");
        assert_eq!(input(&huge).string().unwrap_err().to_string(), "at byte 9: the file is cut off");
        let mut packed = vec![0xc3, 2, 0x81];
        packed.extend(u64::MAX.to_be_bytes());
        packed.extend([0, b'a']);
        let error = input(&packed).string().unwrap_err().to_string();
        assert_eq!(error, "at byte 0: LZF, byte 0: compressed bytes cannot stand for so many");
    }

    #[test]
    fn the_checksum_is_that_of_redis() {
        let mut digits = input(b"123456789");
        digits.bytes(4).unwrap();
        digits.exact::<5>().unwrap();
        assert_eq!(digits.checksum(), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(checksum(b"123456789"), digits.checksum());
    }

    /// What Redis 7.0.15 dumps of `#!lua name=s` with one function.
    const OF_REDIS: &[u8] =
        b"\xf58#!lua name=s\nredis.register_function(\"h\",function() end)\n\x00\xaa\x1a\x10\x81\xa6\xc2\x00P";

    fn codes(payload: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
        Functions::new(payload)?.collect()
    }

    fn with_checksum(body: &[u8], version: u16) -> Vec<u8> {
        let bytes = [body, &version.to_le_bytes()].concat();
        let crc = checksum(&bytes).to_le_bytes();
        [&bytes[..], &crc].concat()
    }

    #[test]
    fn a_payload_is_that_of_redis() {
        let code = b"#!lua name=s\nredis.register_function(\"h\",function() end)";
        assert_eq!(codes(OF_REDIS), Ok(vec![code.to_vec()]));
        assert_eq!(dump_functions([&code[..]].into_iter()), OF_REDIS);
    }

    #[test]
    fn payloads_of_any_length_come_back() {
        for lengths in [&[][..], &[0], &[63, 64], &[16_383, 16_384, 1], &[70_000]] {
            let written: Vec<Vec<u8>> = lengths.iter().map(|length| vec![b'x'; *length]).collect();
            assert_eq!(codes(&dump_functions(written.iter().map(Vec::as_slice))), Ok(written));
        }
    }

    #[test]
    fn what_is_no_payload_is_told() {
        const WRONG: Result<Vec<Vec<u8>>, &str> = Err("DUMP payload version or checksum are wrong");
        assert_eq!((codes(b""), codes(b"123456789"), codes(&[1; 10])), (WRONG, WRONG, WRONG));
        assert_eq!((codes(&with_checksum(b"", 13)), codes(&with_checksum(b"", 12))), (WRONG, Ok(vec![])));
        for at in 0..OF_REDIS.len() {
            let mut broken = OF_REDIS.to_vec();
            broken[at] ^= 1;
            assert_eq!(codes(&broken), WRONG, "{at}");
        }
        assert_eq!(codes(&with_checksum(&[245, 5, b'a'], 10)), Err("Failed loading library data"));
        assert_eq!(codes(&with_checksum(&[245, 1, b'a', 0], 10)), Err("given type is not a function"));
        assert_eq!(codes(&with_checksum(&[246], 10)), Err("Pre-GA function format not supported"));
        assert_eq!(
            codes(&with_checksum(&[245, 0xc0, 7, 245, 0xc3, 4, 5, 0, b'a', 0x40, 0], 9)),
            Ok(vec![b"7".to_vec(), b"aaaaa".to_vec()])
        );
    }

    #[test]
    fn payloads_of_any_bytes_are_read_or_refused() {
        (0..2_000).for_each(fuzz_functions);
    }
}
