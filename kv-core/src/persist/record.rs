//! What happened: the records of log and snapshot, each an array of MessagePack whose first element says which it is.
//!
//! ```text
//! 0  [0, now]                                 the moment at which what follows was done, as far as the next such record
//! 1  [1, db, key, value]                      the key has this value from here on, whatever it had before
//!    [1, db, key, value, expire_at]           the same, and expires
//! 2  [2, db, key]                             the key is gone
//! 3  [3, db, key, expire_at or nil]           the key expires at another moment, or not
//! 4  [4, db, [word, ...]]                     this command was done, as it was received; it has one key and depends on
//!                                             nothing but the key's value and `now`
//! 5  [5, db or nil]                           the database, or each, is empty
//! 6  [6, db, db]                              two databases have exchanged their keys
//! 7  [7, db, key, type, expire_at or nil]     a key whose value follows in parts
//! 8  [8, elements]                            a part of it: a bin, or an array or map of elements
//! 9  [9]                                      the value is complete
//! ```
//!
//! 7 to 9 are written in snapshots alone (`snapshot`), where parts keep blocks small; there they follow each other with
//! nothing in between. A snapshot has no others but these and 1.
//!
//! Keys that expired leave no record: replaying at the same moments removes them again.

use super::msgpack::{Reader, put_array, put_bytes, put_nil, put_optional, put_uint};
use super::value::{self, Kind, Loaded, State};
use super::{Damage, UnixMs};
use crate::types::library::{Function, FunctionFlags};
use crate::types::{Library, Limits};

const TIME: u64 = 0;
const PUT: u64 = 1;
const REMOVE: u64 = 2;
const EXPIRE: u64 = 3;
const COMMAND: u64 = 4;
const FLUSH: u64 = 5;
const SWAP: u64 = 6;
const BEGIN: u64 = 7;
const PART: u64 = 8;
const END: u64 = 9;
const LIBRARY: u64 = 10;
const NO_LIBRARY: u64 = 11;

#[inline]
fn begin(out: &mut Vec<u8>, len: usize, kind: u64) {
    put_array(out, len);
    put_uint(out, kind);
}

#[inline]
fn begin_key(out: &mut Vec<u8>, len: usize, kind: u64, db: usize, key: &[u8]) {
    begin(out, len, kind);
    put_uint(out, db as u64);
    put_bytes(out, key);
}

/// What follows happens now.
pub fn put_time(out: &mut Vec<u8>, now: UnixMs) {
    begin(out, 2, TIME);
    put_uint(out, now);
}

/// A key has this value and this expiry.
#[inline]
pub fn put_state(out: &mut Vec<u8>, db: usize, key: &[u8], expire_at: Option<UnixMs>, state: State<'_>) {
    begin_key(out, 4 + usize::from(expire_at.is_some()), PUT, db, key);
    value::write(out, state);
    if let Some(at) = expire_at {
        put_uint(out, at);
    }
}

pub fn put_remove(out: &mut Vec<u8>, db: usize, key: &[u8]) {
    begin_key(out, 3, REMOVE, db, key);
}

pub fn put_expire(out: &mut Vec<u8>, db: usize, key: &[u8], expire_at: Option<UnixMs>) {
    begin_key(out, 4, EXPIRE, db, key);
    put_optional(out, expire_at);
}

/// A command was done: its words as received, the name being the first.
pub fn put_command<'w>(out: &mut Vec<u8>, db: usize, words: impl ExactSizeIterator<Item = &'w [u8]>) {
    begin(out, 3, COMMAND);
    put_uint(out, db as u64);
    put_array(out, words.len());
    words.for_each(|word| put_bytes(out, word));
}

/// A database has no keys any more, or none of them has.
pub fn put_flush(out: &mut Vec<u8>, db: Option<usize>) {
    begin(out, 2, FLUSH);
    put_optional(out, db.map(|db| db as u64));
}

pub fn put_swap(out: &mut Vec<u8>, a: usize, b: usize) {
    begin(out, 3, SWAP);
    put_uint(out, a as u64);
    put_uint(out, b as u64);
}

/// There is this library.
pub fn put_library(out: &mut Vec<u8>, library: &Library) {
    begin(out, 4, LIBRARY);
    put_bytes(out, library.name());
    put_bytes(out, library.code());
    put_array(out, library.functions().len());
    for Function { name, description, flags } in library.functions() {
        put_array(out, 3);
        put_bytes(out, name);
        match description {
            Some(text) => put_bytes(out, text),
            None => put_nil(out),
        }
        put_uint(out, flags.bits().into());
    }
}

pub fn put_no_library(out: &mut Vec<u8>, name: &[u8]) {
    begin(out, 2, NO_LIBRARY);
    put_bytes(out, name);
}

/// A key follows, its value in parts.
pub(super) fn put_begin(out: &mut Vec<u8>, db: usize, key: &[u8], kind: Kind, expire_at: Option<UnixMs>) {
    begin_key(out, 5, BEGIN, db, key);
    put_uint(out, kind as u64);
    put_optional(out, expire_at);
}

/// The head of a part; what follows is one element of MessagePack.
pub(super) fn put_part(out: &mut Vec<u8>) {
    begin(out, 2, PART);
}

pub(super) fn put_end(out: &mut Vec<u8>) {
    begin(out, 1, END);
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    Time(UnixMs),
    Put { db: usize, key: &'a [u8], expire_at: Option<UnixMs>, value: Loaded<'a> },
    Remove { db: usize, key: &'a [u8] },
    Expire { db: usize, key: &'a [u8], expire_at: Option<UnixMs> },
    Command { db: usize, words: Words<'a> },
    Flush { db: Option<usize> },
    Swap { a: usize, b: usize },
    Library(Box<Library>),
    NoLibrary { name: &'a [u8] },
}

/// A key with all that belongs to it.
#[derive(Debug, PartialEq)]
pub struct Put<'a> {
    pub db: usize,
    pub key: &'a [u8],
    pub expire_at: Option<UnixMs>,
    pub value: Loaded<'a>,
}

/// What a snapshot's block holds.
pub(super) enum Line<'a> {
    Record(Record<'a>),
    Begin {
        db: usize,
        key: &'a [u8],
        kind: Kind,
        expire_at: Option<UnixMs>,
    },
    /// The part stands where the reader is.
    Part,
    End,
}

/// The words of a command, at least one.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    input: Reader<'a>,
    left: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        // They were all read once before.
        self.input.string("a word").ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Words<'_> {}

impl PartialEq for Words<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

/// The records of a section, in order. After damage there are none.
pub struct Records<'a> {
    input: Reader<'a>,
    limits: &'a Limits,
    over: bool,
}

impl<'a> Records<'a> {
    /// `offset`: where in the file the section begins, for reports of damage.
    pub fn new(section: &'a [u8], offset: u64, limits: &'a Limits) -> Records<'a> {
        Records { input: Reader::new(section, offset), limits, over: false }
    }

    /// Where in the file the next record begins.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Damage>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.over || self.input.is_empty() {
            return None;
        }
        let at = self.input.at();
        let record = match read(&mut self.input, self.limits) {
            Ok(Line::Record(record)) => Ok(record),
            Ok(_) => Err(self.input.damage_at(at, "a part of a value, which only snapshots have")),
            Err(damage) => Err(damage),
        };
        self.over = record.is_err();
        Some(record)
    }
}

/// Whether a key with its whole value begins here. (If not, something else does, or nothing. The head of a record is not
/// written longer than necessary.)
#[inline]
pub(super) fn is_put(bytes: &[u8]) -> bool {
    matches!(bytes, [0x94 | 0x95, kind, ..] if u64::from(*kind) == PUT)
}

/// Whether a library begins here.
pub(super) fn is_library(bytes: &[u8]) -> bool {
    matches!(bytes, [0x94, kind, ..] if u64::from(*kind) == LIBRARY)
}

/// Reads a record where `is_put` said yes.
#[inline]
pub(super) fn read_put<'a>(input: &mut Reader<'a>, limits: &Limits) -> Result<Put<'a>, Damage> {
    let len = input.array("a record")?;
    input.uint("the kind of a record")?;
    let (db, key) = db_and_key(input)?;
    let value = value::read(input, limits)?;
    let expire_at = if len == 5 { Some(expiry(input)?) } else { None };
    Ok(Put { db, key, expire_at, value })
}

/// Reads a record; of a part, its head.
#[inline]
pub(super) fn read<'a>(input: &mut Reader<'a>, limits: &Limits) -> Result<Line<'a>, Damage> {
    if is_put(input.rest()) {
        let Put { db, key, expire_at, value } = read_put(input, limits)?;
        return Ok(Line::Record(Record::Put { db, key, expire_at, value }));
    }
    let at = input.at();
    let len = input.array("a record")?;
    let kind = input.uint("the kind of a record")?;
    read_other(input, at, kind, len)
}

fn read_other<'a>(input: &mut Reader<'a>, at: usize, kind: u64, len: usize) -> Result<Line<'a>, Damage> {
    Ok(Line::Record(match (kind, len) {
        (TIME, 2) => Record::Time(value::moment(input, "the moment of what follows")?),
        (REMOVE, 3) => {
            let (db, key) = db_and_key(input)?;
            Record::Remove { db, key }
        }
        (EXPIRE, 4) => {
            let (db, key) = db_and_key(input)?;
            Record::Expire { db, key, expire_at: optional_expiry(input)? }
        }
        (COMMAND, 3) => Record::Command { db: db(input)?, words: words(input)? },
        (FLUSH, 2) => {
            let db = input.optional("a database")?;
            let too_large = |_| input.damage_at(at, "a database whose number is too large");
            Record::Flush { db: db.map(usize::try_from).transpose().map_err(too_large)? }
        }
        (SWAP, 3) => Record::Swap { a: db(input)?, b: db(input)? },
        (LIBRARY, 4) => Record::Library(Box::new(library(input, at)?)),
        (NO_LIBRARY, 2) => Record::NoLibrary { name: input.string("a library")? },
        (BEGIN, 5) => {
            let (db, key) = db_and_key(input)?;
            let number = input.uint("the type of a value")?;
            let Some(kind) = Kind::from_number(number) else {
                return Err(input.damage_at(at, format!("there is no type {number}")));
            };
            return Ok(Line::Begin { db, key, kind, expire_at: optional_expiry(input)? });
        }
        (PART, 2) => return Ok(Line::Part),
        (END, 1) => return Ok(Line::End),
        _ => return Err(input.damage_at(at, format!("there is no record of kind {kind} with {len} elements"))),
    }))
}

#[inline]
fn db(input: &mut Reader<'_>) -> Result<usize, Damage> {
    input.index("a database")
}

#[inline]
fn db_and_key<'a>(input: &mut Reader<'a>) -> Result<(usize, &'a [u8]), Damage> {
    Ok((db(input)?, input.string("a key")?))
}

fn expiry(input: &mut Reader<'_>) -> Result<UnixMs, Damage> {
    value::moment(input, "when a key expires")
}

fn optional_expiry(input: &mut Reader<'_>) -> Result<Option<UnixMs>, Damage> {
    value::optional_moment(input, "when a key expires")
}

fn words<'a>(input: &mut Reader<'a>) -> Result<Words<'a>, Damage> {
    let at = input.at();
    let left = input.array("the words of a command")?;
    let words = Words { input: input.clone(), left };
    for _ in 0..left {
        input.string("a word")?;
    }
    if left == 0 { Err(input.damage_at(at, "a command without words")) } else { Ok(words) }
}

fn library(input: &mut Reader<'_>, at: usize) -> Result<Library, Damage> {
    let (name, code) = (input.string("a library")?, input.string("its code")?);
    let count = input.array("its functions")?;
    let mut functions = Vec::new();
    for _ in 0..count {
        let at = input.at();
        if input.array("a function")? != 3 {
            return Err(input.damage_at(at, "a function that is not a name, a description and flags"));
        }
        let name = input.string("a function")?.into();
        let description = input.optional_string("what a function does")?.map(Into::into);
        let Some(flags) = FunctionFlags::from_bits(input.uint("flags of a function")?) else {
            return Err(input.damage_at(at, "a function with flags that there are not"));
        };
        functions.push(Function { name, description, flags });
    }
    Library::new(name, code, functions).map_err(|what| input.damage_at(at, format!("no library: {what}")))
}

#[cfg(test)]
mod tests;
