//! Requests: the bytes of a connection become ranges of arguments.
//!
//! A request is an array of bulk strings, or a *line* as a person types it:
//!
//! ```text
//! *2\r\n$3\r\nGET\r\n$1\r\nk\r\n          SET k "a b"\r\n
//! ```
//!
//! Contract:
//! - Nothing is copied: an argument is a range of the input. The quotes and escapes of a line are resolved in place,
//!   which never makes it longer.
//! - The result depends on the bytes, never on the pieces in which they arrive; each byte is looked at once (a small,
//!   fixed number of times), however small the pieces are.
//! - Nothing is allocated for what is only announced: a count or a length costs nothing until its bytes are here.
//! - After an error the connection has lost its framing: answer with the error's text, then close.
//!
//! Errors, and what is let pass, follow Redis: the byte after a CR is not looked at, nor are the two bytes after a bulk;
//! a negative count is an empty request; a line may end in a bare LF. Where Redis's answer depends on how the bytes
//! were cut (a line over the limit whose end is already there), the limit holds. A NUL is a byte like any other: Redis
//! stops looking for the line's end there and waits.

#[doc(hidden)]
pub mod fuzz;

use std::fmt;

use memchr::memchr;

use super::line::{hex, is_blank, unescape};
use super::number::parse_i64;

/// An argument: a range of the buffer that the request was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Arg {
    pub start: u32,
    pub len: u32,
}

impl Arg {
    /// Panics: when `buf` is not the buffer that the range belongs to and is too short for it.
    #[inline]
    pub fn get(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..][..self.len as usize]
    }
}

/// What a request may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a line, and of the text of a count or length. Taken as at least `LINE_MIN`.
    pub line: usize,
    /// Arguments of an array. Those of a line are bounded by its length.
    pub args: usize,
    /// Bytes of one argument of an array.
    pub bulk: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line: 64 << 10, args: 1 << 20, bulk: 512 << 20 }
    }
}

/// Any count and length fits in this many bytes, so short ones need not be held against the limit of lines.
const LINE_MIN: usize = 32;

/// Arguments of a request before AUTH, where a password is required. Redis's number.
const GUEST_ARGS: usize = 10;

/// Bytes of an argument before AUTH, where a password is required. Redis's number.
const GUEST_BULK: usize = 16 << 10;

/// Ranges of unfinished requests are let go above this many, when the request is complete.
const PARTIAL_KEPT: usize = 1 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A request is complete; its arguments (at least one) were appended. `consumed`: bytes from the start of the input,
    /// empty requests before it included.
    Request { consumed: usize },
    /// The input ends within a request, or before one. `want`: the length of input, from the same start, before which
    /// another call is pointless; more than the input has. For a bulk it is the bulk's end, so that a caller can make
    /// room for it at once.
    NeedMore { want: usize },
}

/// Display is the text of the error reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    MultibulkLength,
    BulkLength,
    ExpectedBulk(u8),
    UnbalancedQuotes,
    LineTooBig,
    MultibulkCountTooBig,
    BulkCountTooBig,
    GuestMultibulkLength,
    GuestBulkLength,
    /// Ranges are 32 bits wide, so a request ends within 4 GiB. Redis's words are missing: it closes silently, far
    /// earlier, by its limit on query buffers.
    RequestTooBig,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        f.write_str(match self {
            DecodeError::MultibulkLength => "invalid multibulk length",
            DecodeError::BulkLength => "invalid bulk length",
            DecodeError::ExpectedBulk(got) => return write!(f, "expected '$', got '{}'", char::from(*got)),
            DecodeError::UnbalancedQuotes => "unbalanced quotes in request",
            DecodeError::LineTooBig => "too big inline request",
            DecodeError::MultibulkCountTooBig => "too big mbulk count string",
            DecodeError::BulkCountTooBig => "too big bulk count string",
            DecodeError::GuestMultibulkLength => "unauthenticated multibulk length",
            DecodeError::GuestBulkLength => "unauthenticated bulk length",
            DecodeError::RequestTooBig => "too big request",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Decodes the requests of one connection, one a call, and remembers how far it came within an unfinished one.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Whether `progress` and `partial` tell of an unfinished request.
    unfinished: bool,
    guest: bool,
    progress: Progress,
    /// The arguments of the unfinished request so far.
    partial: Vec<Arg>,
}

/// How far an unfinished request was understood. Positions count from the start of the input.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Where the request begins: before it lie only empty ones.
    base: usize,
    /// The first byte that is not understood yet; the first one of a bulk while `bulk` is set.
    at: usize,
    /// The end of the line that begins at `at` was looked for up to here; or this lies before `at` and says nothing.
    scanned: usize,
    /// Arguments still to come; 0 before the count was read.
    missing: usize,
    /// Length of the bulk that begins at `at`.
    bulk: Option<usize>,
}

impl Decoder {
    /// Takes the next request from `input` and appends its arguments to `args`, as ranges of `input`.
    ///
    /// `input` begins with the first byte that was not consumed: with the same byte, and all those shown before, until a
    /// request is returned. Without a request `args` is as it was.
    ///
    /// Cost: O(bytes not shown before); no allocation for a request that is there as a whole (but for `args` growing).
    #[inline]
    pub fn decode(&mut self, input: &mut [u8], limits: &Limits, args: &mut Vec<Arg>) -> Result<Decoded, DecodeError> {
        if self.unfinished {
            return self.resume(input, limits, args);
        }
        if let Some(consumed) = short_request(input, limits, args) {
            return Ok(Decoded::Request { consumed });
        }
        let held = args.len();
        let mut progress = Progress::default();
        let decoded = advance(input, &mut progress, self.guest, limits, args);
        if !matches!(decoded, Ok(Decoded::Request { .. })) {
            if decoded.is_ok() {
                self.unfinished = true;
                self.progress = progress;
                self.partial.extend_from_slice(&args[held..]);
            }
            args.truncate(held);
        }
        decoded
    }

    #[cold]
    fn resume(&mut self, input: &mut [u8], limits: &Limits, args: &mut Vec<Arg>) -> Result<Decoded, DecodeError> {
        let decoded = advance(input, &mut self.progress, self.guest, limits, &mut self.partial);
        if let Ok(Decoded::NeedMore { .. }) = decoded {
            return decoded;
        }
        if decoded.is_ok() {
            args.extend_from_slice(&self.partial);
        }
        self.unfinished = false;
        self.progress = Progress::default();
        self.partial.clear();
        self.partial.shrink_to(PARTIAL_KEPT);
        decoded
    }

    /// After `NeedMore`: how many bytes at the start of the input are empty requests, to be dropped by the caller; from
    /// then on the input begins after them (and `want` is that much less). A caller may leave them, at the price
    /// that a client that sends nothing but empty lines fills its buffer.
    pub fn take_skipped(&mut self) -> usize {
        let skipped = std::mem::take(&mut self.progress.base);
        self.progress.at -= skipped;
        self.progress.scanned = self.progress.scanned.saturating_sub(skipped);
        for arg in &mut self.partial {
            // Lossless: an argument lies behind the base, and both ends lie within 32 bits.
            arg.start -= skipped as u32;
        }
        skipped
    }

    /// Whether the client has still to authenticate: then arrays are held to 10 arguments of 16 KiB, as in Redis.
    ///
    /// Redis runs each request before it reads the next. Who decodes ahead must stop after a request that may
    /// authenticate, or hold what was sent together with it to the small limits.
    pub fn set_guest(&mut self, guest: bool) {
        self.guest = guest;
    }
}

/// Most requests are arrays of few and short arguments, and are there as a whole: reads one and returns its length. `None`
/// if it is anything else, good or bad; `args` is as it was then.
#[inline(always)]
fn short_request(input: &[u8], limits: &Limits, args: &mut Vec<Arg>) -> Option<usize> {
    const ARGS: usize = 8;
    const BULK: usize = 99;
    let [b'*', count @ b'1'..=b'8', b'\r', _, ..] = *input else { return None };
    if limits.args < ARGS || limits.bulk < BULK {
        return None;
    }
    let mut found = [Arg { start: 0, len: 0 }; ARGS];
    let found = &mut found[..usize::from(count - b'0')];
    let mut at = 4;
    for arg in &mut *found {
        let (len, start) = match *input.get(at..at + 5)? {
            [b'$', ones @ b'0'..=b'9', b'\r', _, _] => (ones - b'0', at + 4),
            [b'$', tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _] => ((tens - b'0') * 10 + (ones - b'0'), at + 5),
            _ => return None,
        };
        *arg = Arg { start: start as u32, len: u32::from(len) };
        at = start + usize::from(len) + 2;
    }
    if at > input.len() {
        return None;
    }
    args.extend_from_slice(found);
    Some(at)
}

/// Goes on from `progress` to the end of a request or of the input.
#[inline(always)]
fn advance(
    input: &mut [u8],
    progress: &mut Progress,
    guest: bool,
    limits: &Limits,
    args: &mut Vec<Arg>,
) -> Result<Decoded, DecodeError> {
    let unfinished = Ok(Decoded::NeedMore { want: input.len() + 1 });
    while progress.missing == 0 {
        match input.get(progress.at) {
            None => return unfinished,
            Some(b'*') => match number_line(input, progress, limits) {
                NumberLine::Number(count @ 1..) => {
                    let count = usize::try_from(count).unwrap_or(usize::MAX);
                    if count > limits.args {
                        return Err(DecodeError::MultibulkLength);
                    }
                    if guest && count > GUEST_ARGS {
                        return Err(DecodeError::GuestMultibulkLength);
                    }
                    progress.missing = count;
                }
                NumberLine::Number(_) => progress.base = progress.at,
                NumberLine::NoNumber => return Err(DecodeError::MultibulkLength),
                NumberLine::Unfinished => return unfinished,
                NumberLine::TooBig => return Err(DecodeError::MultibulkCountTooBig),
            },
            Some(_) => {
                let held = args.len();
                if !line(input, progress, limits, args)? {
                    return unfinished;
                }
                if args.len() > held {
                    return Ok(Decoded::Request { consumed: progress.at });
                }
                progress.base = progress.at;
            }
        }
    }
    loop {
        let len = match progress.bulk {
            Some(len) => len,
            None => {
                let Some(&marker) = input.get(progress.at) else { return unfinished };
                let line = number_line(input, progress, limits);
                // Redis, too, judges the marker only when the line is complete.
                if marker != b'$' && matches!(line, NumberLine::Number(_) | NumberLine::NoNumber) {
                    return Err(DecodeError::ExpectedBulk(marker));
                }
                match line {
                    NumberLine::Number(len) => bulk_len(len, guest, limits)?,
                    NumberLine::NoNumber => return Err(DecodeError::BulkLength),
                    NumberLine::Unfinished => return unfinished,
                    NumberLine::TooBig => return Err(DecodeError::BulkCountTooBig),
                }
            }
        };
        let end = progress.at.saturating_add(len).saturating_add(2);
        let (Ok(start), Ok(_)) = (u32::try_from(progress.at), u32::try_from(end)) else {
            return Err(DecodeError::RequestTooBig);
        };
        if input.len() < end {
            progress.bulk = Some(len);
            return Ok(Decoded::NeedMore { want: end });
        }
        args.push(Arg { start, len: len as u32 });
        progress.at = end;
        progress.bulk = None;
        progress.missing -= 1;
        if progress.missing == 0 {
            return Ok(Decoded::Request { consumed: end });
        }
    }
}

#[inline(always)]
fn bulk_len(len: i64, guest: bool, limits: &Limits) -> Result<usize, DecodeError> {
    match usize::try_from(len) {
        Ok(len) if len <= limits.bulk => {
            if guest && len > GUEST_BULK {
                Err(DecodeError::GuestBulkLength)
            } else {
                Ok(len)
            }
        }
        _ => Err(DecodeError::BulkLength),
    }
}

/// What stands between a marker (`*`, `$`) and the CR.
enum NumberLine {
    Number(i64),
    NoNumber,
    Unfinished,
    TooBig,
}

/// Reads the line that begins with the marker at `progress.at` and, when it is complete, steps over it.
#[inline(always)]
fn number_line(input: &[u8], progress: &mut Progress, limits: &Limits) -> NumberLine {
    // Nearly all counts and lengths have few digits: no search for the line's end.
    match input[progress.at..] {
        [_, ones @ b'0'..=b'9', b'\r', _, ..] => {
            progress.at += 4;
            NumberLine::Number(i64::from(ones - b'0'))
        }
        [_, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] => {
            progress.at += 5;
            NumberLine::Number(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        [_, hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] => {
            progress.at += 6;
            let tens = i64::from(hundreds - b'0') * 10 + i64::from(tens - b'0');
            NumberLine::Number(tens * 10 + i64::from(ones - b'0'))
        }
        _ => long_number_line(input, progress, limits),
    }
}

#[inline(never)]
fn long_number_line(input: &[u8], progress: &mut Progress, limits: &Limits) -> NumberLine {
    match find_end(b'\r', input, progress, limits) {
        // The byte after the CR belongs to the line.
        Ok(cr) if cr + 1 < input.len() => {
            // Where the marker itself is the CR there is no number.
            let text = input.get(progress.at + 1..cr).unwrap_or_default();
            progress.at = cr + 2;
            parse_i64(text).map_or(NumberLine::NoNumber, NumberLine::Number)
        }
        Ok(cr) => {
            progress.scanned = cr;
            NumberLine::Unfinished
        }
        Err(NoEnd::Unfinished) => NumberLine::Unfinished,
        Err(NoEnd::TooBig) => NumberLine::TooBig,
    }
}

enum NoEnd {
    Unfinished,
    TooBig,
}

/// Finds where the line that begins at `progress.at` ends, if within the limit; else remembers how far it looked.
fn find_end(end: u8, input: &[u8], progress: &mut Progress, limits: &Limits) -> Result<usize, NoEnd> {
    let line_max = limits.line.max(LINE_MIN);
    let from = progress.scanned.max(progress.at);
    let until = input.len().min(progress.at.saturating_add(line_max).saturating_add(1));
    match input.get(from..until).and_then(|unseen| memchr(end, unseen)) {
        Some(offset) => Ok(from + offset),
        None if input.len() - progress.at > line_max => Err(NoEnd::TooBig),
        None => {
            progress.scanned = until;
            Err(NoEnd::Unfinished)
        }
    }
}

/// Reads the line at `progress.at`, appends its arguments and steps over it. False: its end is not here yet.
#[inline(never)]
fn line(input: &mut [u8], progress: &mut Progress, limits: &Limits, args: &mut Vec<Arg>) -> Result<bool, DecodeError> {
    let lf = match find_end(b'\n', input, progress, limits) {
        Ok(lf) => lf,
        Err(NoEnd::Unfinished) => return Ok(false),
        Err(NoEnd::TooBig) => return Err(DecodeError::LineTooBig),
    };
    let start = progress.at;
    let end = if lf > start && input[lf - 1] == b'\r' { lf - 1 } else { lf };
    if u32::try_from(end).is_err() {
        return Err(DecodeError::RequestTooBig);
    }
    split_in_place(&mut input[..end], start, args)?;
    progress.at = lf + 1;
    Ok(true)
}

/// Splits `line[start..]` into arguments and resolves their quotes and escapes where they stand.
///
/// The rules are those of Redis: a quote may open in the middle of a word, but after the closing one must come a blank.
fn split_in_place(line: &mut [u8], start: usize, args: &mut Vec<Arg>) -> Result<(), DecodeError> {
    let mut read = start;
    loop {
        while line.get(read).is_some_and(|&byte| is_blank(byte)) {
            read += 1;
        }
        if read == line.len() {
            return Ok(());
        }
        let word = read;
        // Never ahead of `read`: an escape is longer than what it stands for, and a quote stands for nothing.
        let mut write = read;
        loop {
            match line.get(read) {
                None | Some(b' ' | b'\n' | b'\r' | b'\t') => break,
                Some(b'"') => {
                    (read, write) = unquote_double(line, read + 1, write)?;
                    break;
                }
                Some(b'\'') => {
                    (read, write) = unquote_single(line, read + 1, write)?;
                    break;
                }
                Some(&byte) => {
                    line[write] = byte;
                    write += 1;
                    read += 1;
                }
            }
        }
        args.push(Arg { start: word as u32, len: (write - word) as u32 });
    }
}

/// From after the opening quote to after the closing one. Returns the positions to go on from: read, write.
fn unquote_double(line: &mut [u8], mut read: usize, mut write: usize) -> Result<(usize, usize), DecodeError> {
    loop {
        let (byte, width) = match line[read..] {
            [] => return Err(DecodeError::UnbalancedQuotes),
            [b'"', ..] => return closed(line, read + 1, write),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(high) << 4 | hex(low), 4)
            }
            [b'\\', escaped, ..] => (unescape(escaped), 2),
            [byte, ..] => (byte, 1),
        };
        line[write] = byte;
        write += 1;
        read += width;
    }
}

/// Like `unquote_double`; the only escape is that of the quote.
fn unquote_single(line: &mut [u8], mut read: usize, mut write: usize) -> Result<(usize, usize), DecodeError> {
    loop {
        let (byte, width) = match line[read..] {
            [] => return Err(DecodeError::UnbalancedQuotes),
            [b'\'', ..] => return closed(line, read + 1, write),
            [b'\\', b'\'', ..] => (b'\'', 2),
            [byte, ..] => (byte, 1),
        };
        line[write] = byte;
        write += 1;
        read += width;
    }
}

fn closed(line: &[u8], read: usize, write: usize) -> Result<(usize, usize), DecodeError> {
    match line.get(read) {
        Some(&byte) if !is_blank(byte) => Err(DecodeError::UnbalancedQuotes),
        _ => Ok((read, write)),
    }
}

#[cfg(test)]
mod tests;
