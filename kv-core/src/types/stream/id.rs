//! The id of a stream's entry: a moment in milliseconds and a number within it.

use std::fmt;

/// Ordered by `ms`, then by `seq`. Written `ms-seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

/// The longest text of an id: two numbers of 20 digits and the dash.
pub const ID_TEXT_MAX: usize = 41;

impl StreamId {
    /// No entry has it: what comes before all entries.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The smallest id above this one; none above the greatest.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| StreamId { ms, seq: 0 }),
        }
    }

    /// The greatest id below this one; none below the smallest.
    pub fn prev(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => self.ms.checked_sub(1).map(|ms| StreamId { ms, seq: u64::MAX }),
        }
    }

    /// Reads `ms-seq`, or `ms` alone, which stands for `ms-missing`. Zeros in front of a number are allowed.
    pub fn parse(text: &[u8], missing: u64) -> Option<StreamId> {
        let dash = text.iter().position(|&byte| byte == b'-');
        let (ms, seq) = match dash {
            Some(at) => (&text[..at], parse_u64(&text[at + 1..])?),
            None => (text, missing),
        };
        Some(StreamId { ms: parse_u64(ms)?, seq })
    }

    /// Reads `ms-*`: the moment of an id whose number is left to the stream.
    pub fn parse_open(text: &[u8]) -> Option<u64> {
        parse_u64(text.strip_suffix(b"-*")?)
    }

    /// Writes `ms-seq` into the buffer and returns what was written.
    #[inline]
    pub fn text(self, buffer: &mut [u8; ID_TEXT_MAX]) -> &[u8] {
        let mut digits = itoa::Buffer::new();
        let ms = digits.format(self.ms).as_bytes();
        let dash = ms.len();
        buffer[..dash].copy_from_slice(ms);
        buffer[dash] = b'-';
        let seq = digits.format(self.seq).as_bytes();
        let end = dash + 1 + seq.len();
        buffer[dash + 1..end].copy_from_slice(seq);
        &buffer[..end]
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A whole number without sign; zeros in front are allowed.
fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
