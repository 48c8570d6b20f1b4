//! Files of exported keys: one line of JSON, or one map of MessagePack, for the header, for each item, and for the end.
//!
//! ```text
//! {"kv_export":1,"server":"redis 7.0.15"}
//! {"db":0,"key":"greeting","value":{"string":"hello"}}
//! {"db":0,"key":"h","expire_at":1767225600000,"value":{"hash":[["f","v"],["g","w",1767225600000]]}}
//! {"db":0,"key":"big","more":true,"value":{"list":["a","b"]}}
//! {"db":0,"key":"big","continued":true,"value":{"list":["c"]}}
//! {"end":3}
//! ```
//!
//! A file that has a header must have its end, with the number of keys: one that was cut off is noticed. A file without
//! a header, made by hand or by a script, ends where it ends.
//!
//! Whatever the bytes are, reading gives items or says where and what is wrong; nothing is allocated for a length that a
//! file only announces.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::item::{Bytes, Item, Value};

/// The number of this format, in the header.
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One line of JSON an item
    Jsonl,
    /// MessagePack, one map an item
    Msgpack,
}

impl Format {
    /// Which one begins with this byte; `None`: neither.
    pub fn of_first_byte(byte: u8) -> Option<Format> {
        match byte {
            b'{' | b' ' | b'\t' | b'\r' | b'\n' => Some(Format::Jsonl),
            // Maps: of up to 15 pairs, with 16 and 32 bits of length.
            0x80..=0x8f | 0xde | 0xdf => Some(Format::Msgpack),
            _ => None,
        }
    }
}

/// Where something stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The number of the line, from 1.
    Line(u64),
    /// Bytes before it.
    Offset(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(number) => write!(f, "line {number}"),
            Place::Offset(bytes) => write!(f, "offset {bytes}"),
        }
    }
}

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct BadFile {
    pub place: Place,
    pub what: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// An item, the header or the end, as written.
#[derive(Default, Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kv_export: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    db: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_at: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continued: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Value>,
}

/// The same, as read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read1 {
    kv_export: Option<u32>,
    #[serde(rename = "server")]
    _server: Option<String>,
    end: Option<u64>,
    db: Option<u32>,
    key: Option<Bytes>,
    expire_at: Option<u64>,
    #[serde(default)]
    continued: bool,
    #[serde(default)]
    more: bool,
    value: Option<Value>,
}

#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    format: Format,
    line: Vec<u8>,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file: the header. `server` says what is exported from.
    pub fn new(out: W, format: Format, server: &str) -> io::Result<Writer<W>> {
        let mut writer = Writer { out, format, line: Vec::new(), bytes: 0 };
        writer.write(&Written { kv_export: Some(VERSION), server: Some(server), ..Written::default() })?;
        Ok(writer)
    }

    pub fn item(&mut self, item: &Item) -> io::Result<()> {
        self.write(&Written {
            db: Some(item.db),
            key: Some(&item.key),
            expire_at: item.expire_at,
            continued: item.continued,
            more: item.more,
            value: Some(&item.value),
            ..Written::default()
        })
    }

    /// Ends the file, and makes sure that it is written.
    pub fn end(mut self, keys: u64) -> io::Result<()> {
        self.write(&Written { end: Some(keys), ..Written::default() })?;
        self.out.flush()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write(&mut self, what: &Written<'_>) -> io::Result<()> {
        self.line.clear();
        match self.format {
            Format::Jsonl => {
                serde_json::to_writer(&mut self.line, what)?;
                self.line.push(b'\n');
            }
            Format::Msgpack => {
                let mut serializer = rmp_serde::Serializer::new(&mut self.line).with_struct_map();
                what.serialize(&mut serializer).map_err(io::Error::other)?;
            }
        }
        self.bytes += self.line.len() as u64;
        self.out.write_all(&self.line)
    }
}

/// Counts the bytes that were read.
#[derive(Debug)]
struct Counted<R> {
    input: R,
    bytes: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buffer)?;
        self.bytes += len as u64;
        Ok(len)
    }
}

#[derive(Debug)]
pub struct Reader<R> {
    input: Counted<R>,
    format: Format,
    line: Vec<u8>,
    lines: u64,
    /// A header was read, and no end yet.
    open: bool,
    ended: bool,
    keys: u64,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, format: Format) -> Reader<R> {
        let input = Counted { input, bytes: 0 };
        Reader { input, format, line: Vec::new(), lines: 0, open: false, ended: false, keys: 0 }
    }

    /// How far the file is read.
    pub fn bytes(&self) -> u64 {
        self.input.bytes
    }

    /// The next item and where it stands; `None` at the end.
    pub fn next_item(&mut self) -> Result<Option<(Place, Item)>, BadFile> {
        loop {
            let (place, read) = self.next_read()?;
            let bad = |what: String| BadFile { place, what };
            let Some(read) = read else {
                return match self.open {
                    true => Err(bad("the file is cut off: its end is missing".to_owned())),
                    false => Ok(None),
                };
            };
            if self.ended {
                return Err(bad("something follows the end".to_owned()));
            }
            match read {
                Read1 { kv_export: Some(VERSION), end: None, db: None, key: None, value: None, .. } => {
                    if self.open || self.keys > 0 {
                        return Err(bad("a second header".to_owned()));
                    }
                    self.open = true;
                }
                Read1 { kv_export: Some(version), .. } if version != VERSION => {
                    return Err(bad(format!("version {version} of the format; this kv-cli knows {VERSION}")));
                }
                Read1 { end: Some(keys), kv_export: None, db: None, key: None, value: None, .. } => {
                    if keys != self.keys {
                        return Err(bad(format!("the end tells of {keys} keys, but there are {}", self.keys)));
                    }
                    (self.open, self.ended) = (false, true);
                }
                Read1 {
                    db,
                    key: Some(key),
                    value: Some(value),
                    expire_at,
                    continued,
                    more,
                    kv_export: None,
                    end: None,
                    ..
                } => {
                    self.keys += u64::from(!continued);
                    let db = db.unwrap_or(0);
                    return Ok(Some((place, Item { db, key, expire_at, continued, more, value })));
                }
                _ => return Err(bad("an item has a key and a value".to_owned())),
            }
        }
    }

    fn next_read(&mut self) -> Result<(Place, Option<Read1>), BadFile> {
        match self.format {
            Format::Jsonl => self.next_line(),
            Format::Msgpack => self.next_map(),
        }
    }

    fn next_line(&mut self) -> Result<(Place, Option<Read1>), BadFile> {
        loop {
            self.lines += 1;
            let place = Place::Line(self.lines);
            self.line.clear();
            let len = self.input.input.read_until(b'\n', &mut self.line);
            let len = len.map_err(|error| BadFile { place, what: error.to_string() })?;
            self.input.bytes += len as u64;
            if len == 0 {
                return Ok((place, None));
            }
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return match serde_json::from_slice(&self.line) {
                Ok(read) => Ok((place, Some(read))),
                Err(error) => Err(BadFile { place, what: json_reason(&error) }),
            };
        }
    }

    fn next_map(&mut self) -> Result<(Place, Option<Read1>), BadFile> {
        let place = Place::Offset(self.input.bytes);
        let bad = |what: String| BadFile { place, what };
        let rest = self.input.input.fill_buf().map_err(|error| bad(error.to_string()))?;
        if rest.is_empty() {
            return Ok((place, None));
        }
        let mut deserializer = rmp_serde::Deserializer::new(&mut self.input);
        match Read1::deserialize(&mut deserializer) {
            Ok(read) => Ok((place, Some(read))),
            Err(error) => Err(bad(error.to_string())),
        }
    }
}

/// serde_json counts lines within the text it got, which is always the first; the column helps.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => format!("{reason} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
