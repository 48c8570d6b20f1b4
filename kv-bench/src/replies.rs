//! Counts the replies in what a connection receives, without building them, and notes the errors among them.

use anyhow::Result;
use kv_core::resp::client::{Skipped, Skipper};

/// Error replies. Errors within arrays are not counted: the request itself succeeded.
#[derive(Debug, Default)]
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
    fn note(&mut self, line: &[u8]) {
        self.count += 1;
        if self.first.is_none() {
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            self.first = Some(text.trim_start_matches('-').to_owned());
        }
    }
}

#[derive(Debug, Default)]
pub struct Replies {
    pub errors: Errors,
    skipper: Skipper,
    /// Part of a reply was skipped: the next byte does not begin one.
    within: bool,
    /// An unfinished line.
    rest: Vec<u8>,
}

impl Replies {
    /// How many replies end in `input`, which follows upon what was given before.
    pub fn count(&mut self, input: &[u8]) -> Result<u32> {
        if self.rest.is_empty() {
            let (replies, used) = self.count_in(input)?;
            self.rest.extend_from_slice(&input[used..]);
            return Ok(replies);
        }
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(input);
        let (replies, used) = self.count_in(&joined)?;
        joined.drain(..used);
        self.rest = joined;
        Ok(replies)
    }

    fn count_in(&mut self, input: &[u8]) -> Result<(u32, usize)> {
        let (mut replies, mut at) = (0, 0);
        while at < input.len() {
            // An error is one line, which the skipper takes whole or not at all.
            let is_error = !self.within && input[at] == b'-';
            match self.skipper.skip(&input[at..])? {
                Skipped::Whole(len) => {
                    if is_error {
                        self.errors.note(&input[at..at + len]);
                    }
                    replies += 1;
                    at += len;
                    self.within = false;
                }
                Skipped::Part(len) => {
                    self.within |= len > 0;
                    at += len;
                    break;
                }
            }
        }
        Ok((replies, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_and_errors_are_counted_however_they_are_cut() {
        let stream = b"+OK\r\n-ERR one\r\n$7\r\n-x\r\n+y\n\r\n*2\r\n-ERR within\r\n$-1\r\n-ERR two\r\n:5\r\n";
        for piece in 1..=stream.len() {
            let mut replies = Replies::default();
            let counted: u32 = stream.chunks(piece).map(|part| replies.count(part).unwrap()).sum();
            assert_eq!((counted, replies.errors.count), (6, 2), "pieces of {piece}");
            assert_eq!(replies.errors.first.as_deref(), Some("ERR one"));
            assert!(replies.rest.is_empty() && !replies.within);
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
