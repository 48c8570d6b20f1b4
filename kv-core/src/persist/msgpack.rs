//! The part of MessagePack that the formats use: integers, doubles, nil, bin, array, map. Writing is `rmp`'s.
//!
//! Strings of the server are `bin`: they are bytes in no particular encoding. `str`, booleans, 32-bit floats and extensions are
//! not written and refused, so that each thing has one form.

use super::Damage;
use crate::structs::packed::Item;
use rmp::Marker;
use rmp::encode as rmp_encode;
use std::ops::RangeInclusive;

/// Up to here every integer is a double, and a score that is one is written as such.
pub(super) const EXACT_MAX: u64 = 1 << 53;
const EXACT_MIN: i64 = -(EXACT_MAX as i64);

const BIN_8: u8 = 0xc4;
const SMALL_INTS: RangeInclusive<u8> = 0..=0x7f;
const SHORT_ARRAYS: RangeInclusive<u8> = 0x90..=0x9f;
const PAIR: u8 = 0x92;

/// Why writing cannot fail, for the compiler.
const INFALLIBLE: &str = "a vector takes what it is given";

#[inline]
pub(super) fn put_uint(out: &mut Vec<u8>, number: u64) {
    if number < 0x80 {
        return out.push(number as u8);
    }
    rmp_encode::write_uint(out, number).expect(INFALLIBLE);
}

#[inline]
pub(super) fn put_int(out: &mut Vec<u8>, number: i64) {
    rmp_encode::write_sint(out, number).expect(INFALLIBLE);
}

#[inline]
pub(super) fn put_f64(out: &mut Vec<u8>, number: f64) {
    rmp_encode::write_f64(out, number).expect(INFALLIBLE);
}

#[inline]
pub(super) fn put_nil(out: &mut Vec<u8>) {
    out.push(Marker::Null.to_u8());
}

#[inline]
pub(super) fn put_optional(out: &mut Vec<u8>, number: Option<u64>) {
    match number {
        Some(number) => put_uint(out, number),
        None => put_nil(out),
    }
}

#[inline]
fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("no string has 4 GiB and no collection 2^32 elements")
}

#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Ok(len) = u8::try_from(bytes.len()) {
        out.extend_from_slice(&[Marker::Bin8.to_u8(), len]);
    } else {
        rmp_encode::write_bin_len(out, len_u32(bytes.len())).expect(INFALLIBLE);
    }
    out.extend_from_slice(bytes);
}

#[inline]
pub(super) fn put_array(out: &mut Vec<u8>, len: usize) {
    rmp_encode::write_array_len(out, len_u32(len)).expect(INFALLIBLE);
}

#[inline]
pub(super) fn put_map(out: &mut Vec<u8>, len: usize) {
    rmp_encode::write_map_len(out, len_u32(len)).expect(INFALLIBLE);
}

/// An element of a collection: the text of an integer may be written as that integer.
#[inline]
pub(super) fn put_item(out: &mut Vec<u8>, item: Item<'_>) {
    match item {
        Item::Int(int) => put_int(out, int),
        Item::Bytes(bytes) => put_bytes(out, bytes),
    }
}

/// What begins at a place, with what belongs to its head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    /// Zero and above.
    Uint(u64),
    /// Below zero.
    Negative(i64),
    Double(f64),
    Bytes(&'a [u8]),
    Array(usize),
    Map(usize),
}

impl Token<'_> {
    fn name(self) -> &'static str {
        match self {
            Token::Nil => "nil",
            Token::Uint(_) | Token::Negative(_) => "an integer",
            Token::Double(_) => "a double",
            Token::Bytes(_) => "a string",
            Token::Array(_) => "an array",
            Token::Map(_) => "a map",
        }
    }
}

/// Bytes that are read from the front.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where in the file `bytes` begin.
    offset: u64,
}

impl<'a> Reader<'a> {
    /// `offset`: where in the file the bytes stand, for reports of damage.
    pub fn new(bytes: &'a [u8], offset: u64) -> Reader<'a> {
        Reader { bytes, at: 0, offset }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// What has not been read.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Where in the file the next byte stands.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset + self.at as u64
    }

    /// Errors: there are bytes left.
    pub fn end(&self) -> Result<(), Damage> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(self.damage(format!("{left} bytes too many"))),
        }
    }

    #[cold]
    pub(super) fn damage(&self, what: impl Into<String>) -> Damage {
        Damage::new(self.offset(), what)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let rest = &self.bytes[self.at..];
        if len > rest.len() {
            return Err(self.damage(format!("{len} bytes are announced, and {} left", rest.len())));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let rest = &self.bytes[self.at..];
        let Some(chunk) = rest.first_chunk() else { return Err(self.damage("the data ends within a number")) };
        self.at += N;
        Ok(*chunk)
    }

    /// The next token. Afterwards the place is behind it: for an array or a map, at its first element.
    pub(super) fn token(&mut self) -> Result<Token<'a>, Damage> {
        let Some(&first) = self.bytes.get(self.at) else { return Err(self.damage("the data ends within a record")) };
        self.at += 1;
        Ok(match Marker::from_u8(first) {
            Marker::FixPos(number) => Token::Uint(number.into()),
            Marker::FixNeg(number) => Token::Negative(number.into()),
            Marker::Null => Token::Nil,
            Marker::U8 => Token::Uint(u8::from_be_bytes(self.take_array()?).into()),
            Marker::U16 => Token::Uint(u16::from_be_bytes(self.take_array()?).into()),
            Marker::U32 => Token::Uint(u32::from_be_bytes(self.take_array()?).into()),
            Marker::U64 => Token::Uint(u64::from_be_bytes(self.take_array()?)),
            Marker::I8 => signed(i8::from_be_bytes(self.take_array()?).into()),
            Marker::I16 => signed(i16::from_be_bytes(self.take_array()?).into()),
            Marker::I32 => signed(i32::from_be_bytes(self.take_array()?).into()),
            Marker::I64 => signed(i64::from_be_bytes(self.take_array()?)),
            Marker::F64 => Token::Double(f64::from_be_bytes(self.take_array()?)),
            Marker::Bin8 => self.bytes(u8::from_be_bytes)?,
            Marker::Bin16 => self.bytes(u16::from_be_bytes)?,
            Marker::Bin32 => self.bytes(u32::from_be_bytes)?,
            Marker::FixArray(len) => Token::Array(len.into()),
            Marker::Array16 => Token::Array(u16::from_be_bytes(self.take_array()?).into()),
            Marker::Array32 => Token::Array(u32::from_be_bytes(self.take_array()?) as usize),
            Marker::FixMap(len) => Token::Map(len.into()),
            Marker::Map16 => Token::Map(u16::from_be_bytes(self.take_array()?).into()),
            Marker::Map32 => Token::Map(u32::from_be_bytes(self.take_array()?) as usize),
            _ => {
                self.at -= 1;
                return Err(self.damage(format!("byte {first:#04x} begins nothing that belongs here")));
            }
        })
    }

    // What records mostly consist of is seen by its first byte, without making a token of it.

    /// A string whose length is one byte, if one stands here.
    #[inline]
    fn short(&mut self) -> Option<&'a [u8]> {
        match self.bytes.get(self.at..)? {
            [BIN_8, len, rest @ ..] => {
                let text = rest.get(..usize::from(*len))?;
                self.at += 2 + text.len();
                Some(text)
            }
            _ => None,
        }
    }

    /// A byte of a range, if one stands here.
    #[inline]
    fn small(&mut self, range: RangeInclusive<u8>) -> Option<u8> {
        let byte = *self.bytes.get(self.at).filter(|byte| range.contains(byte))?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn bytes<const N: usize, L: Into<u64>>(&mut self, len: fn([u8; N]) -> L) -> Result<Token<'a>, Damage> {
        let len: u64 = len(self.take_array()?).into();
        Ok(Token::Bytes(self.take(usize::try_from(len).unwrap_or(usize::MAX))?))
    }

    #[cold]
    fn unexpected<T>(&self, at: usize, token: Token<'_>, wanted: &str) -> Result<T, Damage> {
        Err(Damage::new(self.offset + at as u64, format!("{} where {wanted} belongs", token.name())))
    }

    #[inline]
    pub(super) fn uint(&mut self, what: &str) -> Result<u64, Damage> {
        match self.small(SMALL_INTS) {
            Some(number) => Ok(number.into()),
            None => self.long_uint(what),
        }
    }

    fn long_uint(&mut self, what: &str) -> Result<u64, Damage> {
        let at = self.at;
        match self.token()? {
            Token::Uint(number) => Ok(number),
            token => self.unexpected(at, token, what),
        }
    }

    pub(super) fn optional(&mut self, what: &str) -> Result<Option<u64>, Damage> {
        let at = self.at;
        match self.token()? {
            Token::Uint(number) => Ok(Some(number)),
            Token::Nil => Ok(None),
            token => self.unexpected(at, token, what),
        }
    }

    #[inline]
    pub(super) fn index(&mut self, what: &str) -> Result<usize, Damage> {
        let at = self.at;
        let number = self.uint(what)?;
        usize::try_from(number).map_err(|_| self.damage_at(at, format!("{number} is too large for {what}")))
    }

    #[inline]
    pub(super) fn string(&mut self, what: &str) -> Result<&'a [u8], Damage> {
        match self.short() {
            Some(text) => Ok(text),
            None => self.long_string(what),
        }
    }

    fn long_string(&mut self, what: &str) -> Result<&'a [u8], Damage> {
        let at = self.at;
        match self.token()? {
            Token::Bytes(bytes) => Ok(bytes),
            token => self.unexpected(at, token, what),
        }
    }

    pub(super) fn optional_string(&mut self, what: &str) -> Result<Option<&'a [u8]>, Damage> {
        let at = self.at;
        match self.token()? {
            Token::Bytes(bytes) => Ok(Some(bytes)),
            Token::Nil => Ok(None),
            token => self.unexpected(at, token, what),
        }
    }

    /// An element of a collection: a string, or the integer whose text it is.
    #[inline]
    pub(super) fn item(&mut self) -> Result<Item<'a>, Damage> {
        if let Some(text) = self.short() {
            return Ok(Item::Bytes(text));
        }
        match self.small(SMALL_INTS) {
            Some(int) => Ok(Item::Int(int.into())),
            None => self.long_item(),
        }
    }

    fn long_item(&mut self) -> Result<Item<'a>, Damage> {
        let at = self.at;
        match self.token()? {
            Token::Bytes(bytes) => Ok(Item::Bytes(bytes)),
            Token::Negative(int) => Ok(Item::Int(int)),
            Token::Uint(number) if i64::try_from(number).is_ok() => Ok(Item::Int(number as i64)),
            token => self.unexpected(at, token, "a string"),
        }
    }

    /// A score.
    #[inline]
    pub(super) fn score(&mut self) -> Result<f64, Damage> {
        match self.small(SMALL_INTS) {
            Some(score) => Ok(score.into()),
            None => self.long_score(),
        }
    }

    fn long_score(&mut self) -> Result<f64, Damage> {
        let at = self.at;
        match self.token()? {
            Token::Double(number) if !number.is_nan() => Ok(number),
            Token::Double(_) => Err(self.damage_at(at, "a score that is not a number")),
            Token::Uint(number @ 0..=EXACT_MAX) => Ok(number as f64),
            Token::Negative(number @ EXACT_MIN..) => Ok(number as f64),
            Token::Uint(_) | Token::Negative(_) => Err(self.damage_at(at, "a score that is no double")),
            token => self.unexpected(at, token, "a score"),
        }
    }

    #[inline]
    pub(super) fn array(&mut self, what: &str) -> Result<usize, Damage> {
        match self.small(SHORT_ARRAYS) {
            Some(byte) => Ok(usize::from(byte - SHORT_ARRAYS.start())),
            None => self.long_array(what),
        }
    }

    /// Whether an array of two elements begins here, which is then behind.
    #[inline]
    pub(super) fn is_pair(&mut self) -> bool {
        self.small(PAIR..=PAIR).is_some()
    }

    fn long_array(&mut self, what: &str) -> Result<usize, Damage> {
        let at = self.at;
        match self.token()? {
            Token::Array(len) => Ok(len),
            token => self.unexpected(at, token, what),
        }
    }

    pub(super) fn map(&mut self, what: &str) -> Result<usize, Damage> {
        let at = self.at;
        match self.token()? {
            Token::Map(len) => Ok(len),
            token => self.unexpected(at, token, what),
        }
    }

    /// The place within the bytes, for a report on what was read since.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes on at a place where another reader of the same bytes has come to.
    #[inline]
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    #[cold]
    pub(super) fn damage_at(&self, at: usize, what: impl Into<String>) -> Damage {
        Damage::new(self.offset + at as u64, what)
    }
}

#[inline]
fn signed<'a>(number: i64) -> Token<'a> {
    u64::try_from(number).map_or(Token::Negative(number), Token::Uint)
}
