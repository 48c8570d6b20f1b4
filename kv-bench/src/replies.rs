//! Finds the replies in what a connection receives, without building them, and tells what kind they are.
//!
//! Only when values are verified is a reply kept until it is whole; otherwise what has been looked at is forgotten, and
//! a reply of any length costs no memory.

use anyhow::Result;
use kv_core::resp::client::{Skipped, Skipper};

/// What came back for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Its bytes, when replies are kept whole; else nothing of use.
    Value(&'a [u8]),
    /// Nil, or an aggregate with nothing in it.
    Miss,
    /// Without its marker and line end. Errors within arrays are none: the request itself succeeded.
    Error(&'a [u8]),
}

/// Error replies.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    pub count: u64,
    pub first: Option<String>,
}

impl Errors {
    pub fn add(&mut self, other: Errors) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }

    #[cold]
    pub fn note(&mut self, text: &[u8]) {
        self.count += 1;
        if self.first.is_none() {
            self.first = Some(String::from_utf8_lossy(text).into_owned());
        }
    }
}

#[derive(Debug, Default)]
pub struct Replies {
    skipper: Skipper,
    /// Replies are kept until they are whole.
    whole: bool,
    /// Bytes of an unfinished reply: its last, unfinished line, or all of it when replies are kept whole.
    rest: Vec<u8>,
    /// How many bytes of `rest` the skipper has passed; without `whole` none.
    passed: usize,
    /// Part of a reply was passed. Then this tells whether it is a miss; an error is one line and never cut.
    begun: Option<bool>,
}

impl Replies {
    pub fn new(whole: bool) -> Replies {
        Replies { whole, ..Replies::default() }
    }

    /// Gives every reply that ends in `input`, which follows upon what was given before, to `each`.
    ///
    /// Errors: bytes that are no reply, and those of `each`.
    #[inline]
    pub fn read(&mut self, input: &[u8], mut each: impl FnMut(Reply<'_>) -> Result<()>) -> Result<()> {
        if self.rest.is_empty() {
            let used = self.read_in(input, &mut each)?;
            self.rest.extend_from_slice(&input[used..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(input);
        let used = self.read_in(&joined, &mut each)?;
        joined.drain(..used);
        self.rest = joined;
        Ok(())
    }

    /// How many bytes are done with.
    #[inline]
    fn read_in(&mut self, input: &[u8], each: &mut impl FnMut(Reply<'_>) -> Result<()>) -> Result<usize> {
        let mut start = 0;
        let mut at = std::mem::take(&mut self.passed);
        while at < input.len() {
            match self.skipper.skip(&input[at..])? {
                Skipped::Whole(len) => {
                    let reply = &input[start..at + len];
                    at += len;
                    start = at;
                    each(match (self.begun.take(), reply) {
                        (Some(true), _) => Reply::Miss,
                        (Some(false), _) => Reply::Value(reply),
                        (None, [b'-', text @ ..]) => Reply::Error(text.trim_ascii_end()),
                        (None, _) if is_miss(reply) => Reply::Miss,
                        (None, _) => Reply::Value(reply),
                    })?;
                }
                Skipped::Part(len) => {
                    if len > 0 && self.begun.is_none() {
                        self.begun = Some(is_miss(&input[start..]));
                    }
                    at += len;
                    break;
                }
            }
        }
        if self.whole {
            self.passed = at - start;
            return Ok(start);
        }
        Ok(at)
    }
}

/// Looks at the header of a reply, which lies in one piece.
fn is_miss(reply: &[u8]) -> bool {
    matches!(reply, [b'$' | b'*', b'-', ..] | [b'_', ..] | [b'*' | b'%' | b'~', b'0', b'\r', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"+OK\r\n-ERR one\r\n$7\r\n-x\r\n+y\n\r\n*2\r\n-ERR within\r\n$-1\r\n-ERR two\r\n:5\r\n$-1\r\n*0\r\n_\r\n%0\r\n$0\r\n\r\n*1\r\n$-1\r\n";

    fn read(whole: bool, piece: usize) -> Vec<String> {
        let mut replies = Replies::new(whole);
        let mut seen = Vec::new();
        for part in STREAM.chunks(piece) {
            let each = |reply: Reply<'_>| {
                seen.push(match reply {
                    Reply::Value(bytes) if whole => format!("value {}", bytes.escape_ascii()),
                    Reply::Value(_) => "value".to_owned(),
                    Reply::Miss => "miss".to_owned(),
                    Reply::Error(text) => format!("error {}", text.escape_ascii()),
                });
                Ok(())
            };
            replies.read(part, each).unwrap();
        }
        assert!(replies.rest.is_empty() && replies.begun.is_none() && replies.passed == 0);
        seen
    }

    #[test]
    fn replies_are_found_and_told_apart_however_they_are_cut() {
        let expected = [
            "value",
            "error ERR one",
            "value",
            "value",
            "error ERR two",
            "value",
            "miss",
            "miss",
            "miss",
            "miss",
            "value",
            "value",
        ];
        for piece in 1..=STREAM.len() {
            assert_eq!(read(false, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn replies_kept_whole_are_given_with_all_their_bytes() {
        let all = read(true, STREAM.len());
        assert_eq!(all[2], r"value $7\r\n-x\r\n+y\n\r\n");
        assert_eq!(all[3], r"value *2\r\n-ERR within\r\n$-1\r\n");
        for piece in 1..STREAM.len() {
            assert_eq!(read(true, piece), all, "pieces of {piece}");
        }
    }

    #[test]
    fn the_first_error_stays_the_first() {
        let errors = |first: Option<&str>, count| Errors { count, first: first.map(str::to_owned) };
        let mut sum = errors(None, 0);
        for other in [errors(None, 0), errors(Some("a"), 2), errors(Some("b"), 1)] {
            sum.add(other);
        }
        assert_eq!((sum.count, sum.first.as_deref()), (3, Some("a")));
    }
}
