//! The words of a request, read from left to right.
//!
//! Words are ranges in the buffer the request arrived in; nothing is copied. Word 0 is the command's name (for a
//! subcommand, word 1 its name); reading starts behind it.

use super::CommandError;
use crate::resp::{Arg, number};
use crate::store::{Key, KeyHasher};

/// Hashes of keys that whoever sent the request here has made already.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    first: usize,
    step: usize,
    hashes: &'a [u64],
}

impl<'a> Known<'a> {
    /// Nothing is known.
    pub const NONE: Known<'static> = Known { first: 0, step: 1, hashes: &[] };

    /// The hashes of the keys at word `first` and every `step` words from there.
    pub fn new(first: usize, step: usize, hashes: &'a [u64]) -> Known<'a> {
        Known { first, step: step.max(1), hashes }
    }

    #[inline]
    fn hash(self, at: usize) -> Option<u64> {
        let behind = at.checked_sub(self.first)?;
        match self.hashes {
            [only] => (behind == 0).then_some(*only),
            _ if !behind.is_multiple_of(self.step) => None,
            hashes => hashes.get(behind / self.step).copied(),
        }
    }
}

pub struct Args<'a> {
    buf: &'a [u8],
    words: &'a [Arg],
    at: usize,
    hasher: &'a KeyHasher,
    known: Known<'a>,
}

impl<'a> Args<'a> {
    /// `skip`: words that name the command (1, or 2 for a subcommand).
    pub fn new(buf: &'a [u8], words: &'a [Arg], skip: usize, hasher: &'a KeyHasher, known: Known<'a>) -> Args<'a> {
        Args { buf, words, at: skip, hasher, known }
    }

    /// How many words have not been read yet.
    pub fn left(&self) -> usize {
        self.words.len().saturating_sub(self.at)
    }

    /// How many words the request has, the name included.
    pub fn total(&self) -> usize {
        self.words.len()
    }

    /// Word `i` of the request, 0 being the name; it does not move the reader.
    pub fn word(&self, i: usize) -> &'a [u8] {
        self.words[i].get(self.buf)
    }

    pub fn peek(&self) -> Option<&'a [u8]> {
        self.words.get(self.at).map(|w| w.get(self.buf))
    }

    /// The next word. Errors: syntax, when there is none.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<&'a [u8], CommandError> {
        let word = self.peek().ok_or(CommandError::Syntax)?;
        self.at += 1;
        Ok(word)
    }

    /// The next word as a key, hashed.
    pub fn key(&mut self) -> Result<Key<'a>, CommandError> {
        let at = self.at;
        let bytes = self.next()?;
        Ok(match self.known.hash(at) {
            Some(hash) => Key { bytes, hash },
            _ => self.hasher.key(bytes),
        })
    }

    /// The next word as a whole number. Errors: not an integer.
    pub fn int(&mut self) -> Result<i64, CommandError> {
        number::parse_i64(self.next()?).ok_or(CommandError::NotInteger)
    }

    /// The next word as a finite or infinite number. Errors: not a float.
    pub fn float(&mut self) -> Result<f64, CommandError> {
        number::parse_f64(self.next()?).ok_or(CommandError::NotFloat)
    }

    /// Takes the next word if it is `keyword`, in any case.
    pub fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|w| w.eq_ignore_ascii_case(keyword.as_bytes()));
        self.at += usize::from(found);
        found
    }

    /// A second reader from the same place, for a look ahead.
    pub fn fork(&self) -> Args<'a> {
        Args { buf: self.buf, words: self.words, at: self.at, hasher: self.hasher, known: self.known }
    }

    /// A reader of the next `words` words alone, which this one passes over.
    ///
    /// Panics: when there are fewer.
    pub fn take(&mut self, words: usize) -> Args<'a> {
        let end = self.at + words;
        let taken = Args { words: &self.words[..end], ..self.fork() };
        self.at = end;
        taken
    }

    pub fn hasher(&self) -> &'a KeyHasher {
        self.hasher
    }
}
