//! Replies: values become bytes, in RESP2 or RESP3.
//!
//! A handler says what it means (a map, a double, nil) and never which protocol the client speaks; the forms that RESP2
//! lacks become those that Redis sends there instead. Nothing is checked against the announced length of an array: the
//! handler writes as many elements as it said.

use super::number;

/// Which protocol the client asked for (HELLO).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Proto {
    #[default]
    Resp2,
    Resp3,
}

/// Room for a marker, a 20-digit number and two CRLFs: what a bulk needs besides its bytes.
const FRAME_MAX: usize = 32;

/// Ends the lines of a text for people within a bulk (INFO), so that this module alone spells it.
pub const TEXT_LINE_END: &str = "\r\n";

/// Appends replies to a buffer.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    proto: Proto,
    elements: u64,
}

impl<'a> Reply<'a> {
    pub fn new(out: &'a mut Vec<u8>, proto: Proto) -> Self {
        Reply { out, proto, elements: 0 }
    }

    pub fn proto(&self) -> Proto {
        self.proto
    }

    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// How many elements were counted: a part of a longer array (KEYS over shards) does not know the whole length, so
    /// whoever joins the parts writes it.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    pub fn count_element(&mut self) {
        self.elements += 1;
    }

    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status. `text` is ours and has no line end.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.bytes().any(|byte| byte == b'\r' || byte == b'\n'), "a status is one line");
        self.one_line(b'+', text.as_bytes());
    }

    /// A status that is not ours: line ends become spaces.
    pub fn simple_bytes(&mut self, text: &[u8]) {
        self.quoted_line(b'+', text);
    }

    /// `text` begins with the error's code (`ERR`, `WRONGTYPE`). It may quote a client: line ends become spaces.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// Like `error`, where what is quoted need not be UTF-8. Line ends at its end are left out.
    pub fn error_bytes(&mut self, text: &[u8]) {
        let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
        self.quoted_line(b'-', &text[..end]);
    }

    fn quoted_line(&mut self, marker: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(marker);
        self.out.extend(text.iter().map(|&byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    #[inline]
    pub fn int(&mut self, value: i64) {
        // Most integers are counts and flags.
        if let 0..=9 = value {
            self.out.extend_from_slice(&[b':', b'0' + value as u8, b'\r', b'\n']);
        } else {
            self.one_line(b':', itoa::Buffer::new().format(value).as_bytes());
        }
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + FRAME_MAX);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// The bulk of an integer's text: a value stored as a number.
    #[inline]
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    #[inline]
    pub fn nil(&mut self) {
        self.out.extend_from_slice(match self.proto {
            Proto::Resp2 => b"$-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// Nil where an array was to be expected: RESP2 tells the two apart.
    pub fn nil_array(&mut self) {
        self.out.extend_from_slice(match self.proto {
            Proto::Resp2 => b"*-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// `pairs` keys, each followed by its value. RESP2: an array of both.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', 2 * pairs),
            Proto::Resp3 => self.header(b'%', pairs),
        }
    }

    pub fn set(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', len),
            Proto::Resp3 => self.header(b'~', len),
        }
    }

    /// A set whose length turns out while its elements are written: `write` does so and returns how many they are. They
    /// are moved once more if that has another number of digits than `likely`.
    pub fn set_counted(&mut self, likely: usize, write: impl FnOnce(&mut Self) -> usize) {
        let start = self.out.len();
        self.set(likely);
        let end = self.out.len();
        let len = write(self);
        if len != likely {
            let mut header = Vec::new();
            Reply::new(&mut header, self.proto).set(len);
            self.out.splice(start..end, header);
        }
    }

    /// An array of `len` pairs, each begun by `pair`. RESP2: an array of twice as many elements.
    pub fn pairs(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', 2 * len),
            Proto::Resp3 => self.header(b'*', len),
        }
    }

    /// The beginning of one of `pairs`.
    #[inline]
    pub fn pair(&mut self) {
        if self.proto == Proto::Resp3 {
            self.header(b'*', 2);
        }
    }

    /// A message that answers no request. RESP2: an array.
    pub fn push(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', len),
            Proto::Resp3 => self.header(b'>', len),
        }
    }

    /// RESP2: a bulk.
    pub fn double(&mut self, value: f64) {
        let mut buffer = number::F64Buffer::new();
        let text = buffer.format(value);
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => self.one_line(b',', text),
        }
    }

    /// A double that is printed in another form than ours. RESP2: a bulk.
    pub fn double_text(&mut self, text: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => self.one_line(b',', text.as_bytes()),
        }
    }

    /// RESP2: the integer 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.proto, value) {
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
        });
    }

    /// Text for people; `format` is three characters, `txt` or `mkd`. RESP2: a bulk.
    pub fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        debug_assert_eq!(format.len(), 3, "the length of a format is fixed by the protocol");
        match self.proto {
            Proto::Resp2 => self.bulk(bytes),
            Proto::Resp3 => {
                self.out.reserve(bytes.len() + FRAME_MAX);
                self.header(b'=', bytes.len() + 4);
                self.out.extend_from_slice(format.as_bytes());
                self.out.push(b':');
                self.out.extend_from_slice(bytes);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size, as text. RESP2: a bulk.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits.as_bytes()),
            Proto::Resp3 => self.one_line(b'(', digits.as_bytes()),
        }
    }

    /// Bytes that are a reply already, in this protocol: the joined parts of other shards.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    fn one_line(&mut self, marker: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(marker);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    /// The marker and a length. Lengths of one and two digits, which are most, are one store.
    #[inline]
    fn header(&mut self, marker: u8, len: usize) {
        match len {
            0..=9 => self.out.extend_from_slice(&[marker, b'0' + len as u8, b'\r', b'\n']),
            10..=99 => {
                let (tens, ones) = ((len / 10) as u8, (len % 10) as u8);
                self.out.extend_from_slice(&[marker, b'0' + tens, b'0' + ones, b'\r', b'\n']);
            }
            _ => self.one_line(marker, itoa::Buffer::new().format(len).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
