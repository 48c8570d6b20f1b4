//! The client's side of the protocol: requests out, replies in. kv-cli, kv-bench and the tests share it.
//!
//! Three readers of the same bytes:
//!
//! - [`ReplyDecoder`] builds [`Value`]s. It owns its buffer and keeps a stack of unfinished aggregates, so that every
//!   byte is looked at once, however the network cuts a reply.
//! - [`Skipper`] only finds where replies end. It keeps two counters instead of a stack: how many values are still to
//!   come, how many bytes of the current bulk. A load generator counts replies with it.
//! - [`skip_value`] is the skipper for a slice that begins with a reply.
//!
//! A reply is not trusted: lengths are bounded by [`ReplyLimits`], memory grows with the bytes that arrived and never
//! with a number that was announced, and nesting has a limit (values are dropped and printed recursively).
//!
//! RESP3's streamed forms (`$?`, `*?`) are refused, since no Redis server sends them. Attributes (`|`) are read and
//! dropped: they decorate the value behind them.

mod uri;

use std::fmt;

use memchr::memchr;

pub use uri::{TLS_OPTIONS, Uri};

#[cfg(test)]
mod tests;

/// One reply, or one part of it, in either protocol.
///
/// Texts are bytes: a server may send anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Simple(Vec<u8>),
    /// `-ERR ...` or RESP3's blob error, without the marker.
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// `$-1` or RESP3's `_`.
    Nil,
    /// `*-1`: RESP2 tells it from an empty array and from `$-1`.
    NilArray,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    /// Out of band: a published message, an invalidation.
    Push(Vec<Value>),
    /// As it was sent (`inf`, `-inf`, `nan` or a number, checked), so that it can be shown and compared exactly.
    Double(Vec<u8>),
    Boolean(bool),
    /// A text with a three-letter format: `txt`, `mkd`.
    Verbatim([u8; 3], Vec<u8>),
    /// Decimal digits with an optional sign, checked.
    BigNumber(Vec<u8>),
}

impl Value {
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }

    /// The bytes of a simple string, error, bulk, verbatim text, double or big number.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(text)
            | Value::Error(text)
            | Value::Bulk(text)
            | Value::Verbatim(_, text)
            | Value::Double(text)
            | Value::BigNumber(text) => Some(text),
            Value::Int(_)
            | Value::Nil
            | Value::NilArray
            | Value::Array(_)
            | Value::Map(_)
            | Value::Set(_)
            | Value::Push(_)
            | Value::Boolean(_) => None,
        }
    }
}

/// Appends `args` as a RESP array of bulk strings.
pub fn encode_request<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    let mut number = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(number.format(args.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for arg in args {
        let arg = arg.as_ref();
        out.push(b'$');
        out.extend_from_slice(number.format(arg.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// What a reply may ask of the reader.
#[derive(Clone, Copy, Debug)]
pub struct ReplyLimits {
    /// Bytes of a line (simple string, error, number, header), without its marker and line end.
    pub line: usize,
    /// Bytes of a bulk.
    pub bulk: u64,
    /// Elements of an array, set or push; pairs of a map.
    pub elements: u64,
    /// Aggregates within each other.
    pub depth: usize,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        ReplyLimits {
            line: 1 << 20, // simple strings can be made by scripts; everything long is a bulk
            bulk: u32::MAX as u64,
            elements: u32::MAX as u64,
            depth: 256, // scripts nest up to about 200; printing and dropping recurse
        }
    }
}

/// Why bytes are no reply. Nothing can be read from the connection afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// No reply begins with this byte.
    Marker(u8),
    /// A line that does not say what its marker promises, or does not end in CR LF.
    Line {
        marker: u8,
        text: Vec<u8>,
    },
    /// A bulk that is not followed by CR LF, or a verbatim text without its format.
    Bulk,
    LineTooLong,
    BulkTooLong(u64),
    TooManyElements(u64),
    TooDeep,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a reply: ")?;
        match self {
            ReplyError::Marker(byte) => write!(f, "'{}' begins no value", byte.escape_ascii()),
            ReplyError::Line { marker, text } => {
                let shown = &text[..text.len().min(64)];
                write!(f, "bad line '{}{}'", marker.escape_ascii(), shown.escape_ascii())
            }
            ReplyError::Bulk => f.write_str("bulk without its end"),
            ReplyError::LineTooLong => f.write_str("line too long"),
            ReplyError::BulkTooLong(len) => write!(f, "bulk of {len} bytes"),
            ReplyError::TooManyElements(n) => write!(f, "aggregate of {n} elements"),
            ReplyError::TooDeep => f.write_str("nested too deeply"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// A marker with its line, which needs no further bytes or tells what is to follow.
enum Head {
    Whole(Value),
    /// A bulk, blob error or verbatim text of so many bytes.
    Text {
        marker: u8,
        len: usize,
    },
    /// An aggregate of so many values (a map's pairs count two), which may be none.
    Aggregate {
        marker: u8,
        values: u64,
    },
}

/// Where the line that starts at `input[0]` (a marker) ends: the index of its LF.
///
/// `seen` tells how many bytes are known to hold no LF, and is moved on.
fn line_end(input: &[u8], seen: &mut usize, limits: &ReplyLimits) -> Result<Option<usize>, ReplyError> {
    // Marker, text, CR, LF: the limit is told by bytes seen, so that it does not depend on how they were cut.
    let line_max = limits.line.saturating_add(3);
    let within = &input[..input.len().min(line_max)];
    match memchr(b'\n', &within[(*seen).min(within.len())..]) {
        Some(at) => Ok(Some(*seen + at)),
        None if within.len() == line_max => Err(ReplyError::LineTooLong),
        None => {
            *seen = within.len();
            Ok(None)
        }
    }
}

/// The marker and the text of a line whose LF is at `end`.
fn line_parts(input: &[u8], end: usize) -> Result<(u8, &[u8]), ReplyError> {
    let marker = input[0];
    check_marker(marker)?;
    match input[1..end].split_last() {
        Some((b'\r', text)) => Ok((marker, text)),
        _ => Err(bad_line(marker, &input[1..end])),
    }
}

fn check_marker(marker: u8) -> Result<(), ReplyError> {
    match marker {
        b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b',' | b'#' | b'!' | b'=' | b'(' | b'%' | b'~' | b'>' | b'|' => {
            Ok(())
        }
        other => Err(ReplyError::Marker(other)),
    }
}

#[cold]
fn bad_line(marker: u8, text: &[u8]) -> ReplyError {
    ReplyError::Line { marker, text: text[..text.len().min(256)].to_vec() }
}

/// The length in a header line: `None` for -1, RESP2's nil.
fn length(marker: u8, text: &[u8]) -> Result<Option<u64>, ReplyError> {
    if text == b"-1" && matches!(marker, b'$' | b'*') {
        return Ok(None);
    }
    // 18 digits cannot overflow, and no limit is near them.
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return Err(bad_line(marker, text));
    }
    Ok(Some(text.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'))))
}

fn text_length(marker: u8, text: &[u8], limits: &ReplyLimits) -> Result<Option<usize>, ReplyError> {
    match length(marker, text)? {
        None => Ok(None),
        Some(len) if len > limits.bulk => Err(ReplyError::BulkTooLong(len)),
        Some(len) => usize::try_from(len).map(Some).map_err(|_| ReplyError::BulkTooLong(len)),
    }
}

fn aggregate_length(marker: u8, text: &[u8], limits: &ReplyLimits) -> Result<Option<u64>, ReplyError> {
    match length(marker, text)? {
        None => Ok(None),
        Some(n) if n > limits.elements => Err(ReplyError::TooManyElements(n)),
        Some(n) if matches!(marker, b'%' | b'|') => Ok(Some(n * 2)),
        Some(n) => Ok(Some(n)),
    }
}

fn read_head(marker: u8, text: &[u8], limits: &ReplyLimits) -> Result<Head, ReplyError> {
    let bad = || bad_line(marker, text);
    let value = match marker {
        b'+' => Value::Simple(text.to_vec()),
        b'-' => Value::Error(text.to_vec()),
        b':' => Value::Int(std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or_else(bad)?),
        b'_' if text.is_empty() => Value::Nil,
        b'#' if text == b"t" => Value::Boolean(true),
        b'#' if text == b"f" => Value::Boolean(false),
        b',' if is_double(text) => Value::Double(text.to_vec()),
        b'(' if is_big_number(text) => Value::BigNumber(text.to_vec()),
        b'$' | b'!' | b'=' => match text_length(marker, text, limits)? {
            Some(len) => return Ok(Head::Text { marker, len }),
            None => Value::Nil,
        },
        b'*' | b'%' | b'~' | b'>' | b'|' => match aggregate_length(marker, text, limits)? {
            Some(values) => return Ok(Head::Aggregate { marker, values }),
            None => Value::NilArray,
        },
        _ => return Err(bad()),
    };
    Ok(Head::Whole(value))
}

fn is_double(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok())
}

fn is_big_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// An aggregate whose elements are still arriving.
#[derive(Debug)]
struct Frame {
    marker: u8,
    /// Values still to come; never 0 on the stack.
    missing: u64,
    items: Vec<Value>,
}

impl Frame {
    /// The finished aggregate; `None` for an attribute.
    fn finish(self) -> Option<Value> {
        Some(match self.marker {
            b'*' => Value::Array(self.items),
            b'~' => Value::Set(self.items),
            b'>' => Value::Push(self.items),
            b'%' => {
                let mut items = self.items.into_iter();
                let mut pairs = Vec::with_capacity(items.len() / 2);
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Value::Map(pairs)
            }
            _ => return None,
        })
    }
}

/// Turns bytes, as they arrive, into values.
///
/// ```
/// use kv_core::resp::client::{ReplyDecoder, Value};
///
/// let mut replies = ReplyDecoder::default();
/// replies.feed(b"*2\r\n:1\r\n$1");
/// assert_eq!(replies.next_value(), Ok(None));
/// replies.feed(b"\r\nx\r\n");
/// assert_eq!(replies.next_value(), Ok(Some(Value::Array(vec![Value::Int(1), Value::Bulk(b"x".to_vec())]))));
/// ```
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    limits: ReplyLimits,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are consumed.
    start: usize,
    /// Bytes behind `start` known to hold no line end.
    seen: usize,
    /// The bulk whose header is consumed and whose bytes are not all here.
    text: Option<(u8, usize)>,
    stack: Vec<Frame>,
}

/// A buffer that grew over this for one huge reply is let go afterwards.
const BUFFER_KEPT_BYTES: usize = 1 << 20;

/// Room reserved for the elements of an aggregate, whatever it announces.
const ITEMS_RESERVED_MAX: u64 = 16;

impl ReplyDecoder {
    pub fn new(limits: ReplyLimits) -> Self {
        ReplyDecoder { limits, ..ReplyDecoder::default() }
    }

    /// Appends bytes from the connection.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > BUFFER_KEPT_BYTES {
                self.buffer = Vec::new();
            }
        } else if self.start > self.buffer.len() / 2 {
            // More is dropped than moved, so the moving is paid for by what was consumed.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// True while a reply has begun and not ended, or bytes wait to be decoded.
    pub fn is_within_value(&self) -> bool {
        self.start < self.buffer.len() || !self.stack.is_empty() || self.text.is_some()
    }

    /// The next whole value, or `None` until more bytes are fed.
    ///
    /// Errors: the connection is out of step and must be closed; later calls have no meaning.
    pub fn next_value(&mut self) -> Result<Option<Value>, ReplyError> {
        loop {
            let Some(head) = self.next_head()? else { return Ok(None) };
            let mut value = match head {
                Head::Whole(value) => value,
                Head::Text { marker, len } => match self.take_text(marker, len)? {
                    Some(value) => value,
                    None => {
                        self.text = Some((marker, len));
                        return Ok(None);
                    }
                },
                Head::Aggregate { marker, values } => {
                    let items = Vec::with_capacity(values.min(ITEMS_RESERVED_MAX) as usize);
                    let frame = Frame { marker, missing: values, items };
                    if values > 0 {
                        if self.stack.len() == self.limits.depth {
                            return Err(ReplyError::TooDeep);
                        }
                        self.stack.push(frame);
                        continue;
                    }
                    match frame.finish() {
                        Some(value) => value,
                        None => continue,
                    }
                }
            };
            // Hand the value to the innermost aggregate, which may end with it and be the last of the next one.
            loop {
                let Some(mut frame) = self.stack.pop() else { return Ok(Some(value)) };
                frame.items.push(value);
                frame.missing -= 1;
                if frame.missing > 0 {
                    self.stack.push(frame);
                    break;
                }
                match frame.finish() {
                    Some(outer) => value = outer,
                    None => break,
                }
            }
        }
    }

    fn next_head(&mut self) -> Result<Option<Head>, ReplyError> {
        if let Some((marker, len)) = self.text.take() {
            return Ok(Some(Head::Text { marker, len }));
        }
        let input = &self.buffer[self.start..];
        let Some(&marker) = input.first() else { return Ok(None) };
        check_marker(marker)?;
        let Some(end) = line_end(input, &mut self.seen, &self.limits)? else { return Ok(None) };
        let (marker, text) = line_parts(input, end)?;
        let head = read_head(marker, text, &self.limits)?;
        self.start += end + 1;
        self.seen = 0;
        Ok(Some(head))
    }

    fn take_text(&mut self, marker: u8, len: usize) -> Result<Option<Value>, ReplyError> {
        let input = &self.buffer[self.start..];
        if input.len() < len + 2 {
            return Ok(None);
        }
        if &input[len..len + 2] != b"\r\n" {
            return Err(ReplyError::Bulk);
        }
        let text = &input[..len];
        let value = match (marker, text) {
            (b'!', _) => Value::Error(text.to_vec()),
            (b'=', [a, b, c, b':', text @ ..]) => Value::Verbatim([*a, *b, *c], text.to_vec()),
            (b'=', _) => return Err(ReplyError::Bulk),
            _ => Value::Bulk(text.to_vec()),
        };
        self.start += len + 2;
        Ok(Some(value))
    }
}

/// How far a [`Skipper`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// A reply ends after so many bytes of the input.
    Whole(usize),
    /// So many bytes are done with; the reply goes on behind them. What is left over must be given again with more.
    Part(usize),
}

/// Finds the ends of replies without building them. Keeps its place within a reply.
///
/// It checks headers and lengths, not the contents of lines. What it leaves over is at most one unfinished line, so an
/// error reply (which is a line) lies in one piece in the input of the call that ends it.
#[derive(Debug, Default)]
pub struct Skipper {
    /// Bytes of the current bulk and its line end still to come.
    bytes: u64,
    /// Values of the current reply still to come besides the one being read; nesting needs no stack for this.
    values: u64,
    limits: ReplyLimits,
}

impl Skipper {
    pub fn skip(&mut self, input: &[u8]) -> Result<Skipped, ReplyError> {
        let mut at = 0;
        loop {
            if self.bytes > 0 {
                let here = self.bytes.min((input.len() - at) as u64);
                self.bytes -= here;
                at += here as usize;
                if self.bytes > 0 {
                    return Ok(Skipped::Part(at));
                }
            } else {
                let rest = &input[at..];
                let Some(&marker) = rest.first() else { return Ok(Skipped::Part(at)) };
                check_marker(marker)?;
                let Some(end) = line_end(rest, &mut 0, &self.limits)? else { return Ok(Skipped::Part(at)) };
                let (marker, text) = line_parts(rest, end)?;
                match marker {
                    b'$' | b'!' | b'=' => {
                        if let Some(len) = text_length(marker, text, &self.limits)? {
                            self.bytes = len as u64 + 2;
                        }
                    }
                    b'*' | b'%' | b'~' | b'>' | b'|' => {
                        let values = aggregate_length(marker, text, &self.limits)?.unwrap_or(0);
                        // An attribute stands before its value and is none itself.
                        let more = values + u64::from(marker == b'|');
                        self.values = self.values.checked_add(more).ok_or(ReplyError::TooManyElements(values))?;
                    }
                    _ => {}
                }
                at += end + 1;
                if self.bytes > 0 {
                    continue;
                }
            }
            // One value ended here, or an aggregate's header, which its elements replace.
            if self.values == 0 {
                return Ok(Skipped::Whole(at));
            }
            self.values -= 1;
        }
    }
}

/// The length of the value that `input` begins with, or `None` while it is not whole.
pub fn skip_value(input: &[u8]) -> Result<Option<usize>, ReplyError> {
    match Skipper::default().skip(input)? {
        Skipped::Whole(len) => Ok(Some(len)),
        Skipped::Part(_) => Ok(None),
    }
}

/// Decodes `bytes` whole and in pieces, and skips them: all must agree. For fuzzing; panics if they do not.
#[doc(hidden)]
pub fn fuzz_replies(bytes: &[u8], piece: usize) {
    let limits = ReplyLimits { line: 200, bulk: 1 << 20, elements: 1 << 20, depth: 20 };
    let read = |piece: usize| {
        let mut decoder = ReplyDecoder::new(limits);
        let mut values = Vec::new();
        for part in bytes.chunks(piece.max(1)) {
            decoder.feed(part);
            loop {
                match decoder.next_value() {
                    Ok(Some(value)) => values.push(value),
                    Ok(None) => break,
                    Err(error) => return (values, Some(error)),
                }
            }
        }
        (values, None)
    };
    let (values, error) = read(bytes.len());
    assert_eq!(read(piece), (values.clone(), error.clone()), "in pieces of {piece}");

    let mut ends = Vec::new();
    let mut skipper = Skipper { limits, ..Skipper::default() };
    let (mut at, mut arrived) = (0, 0);
    while arrived < bytes.len() && ends.len() < values.len() {
        arrived = bytes.len().min(arrived + piece.max(1));
        while let Ok(skipped) = skipper.skip(&bytes[at..arrived]) {
            match skipped {
                Skipped::Whole(len) => {
                    at += len;
                    ends.push(at);
                }
                Skipped::Part(len) => {
                    at += len;
                    break;
                }
            }
        }
    }
    assert!(ends.len() >= values.len(), "the skipper found {} ends of {} values", ends.len(), values.len());
    let mut start = 0;
    for (value, end) in values.iter().zip(ends) {
        assert_eq!(skip_value(&bytes[start..]), Ok(Some(end - start)));
        let mut decoder = ReplyDecoder::new(limits);
        decoder.feed(&bytes[start..end]);
        assert_eq!(decoder.next_value().as_ref(), Ok(&Some(value.clone())));
        start = end;
    }
}
