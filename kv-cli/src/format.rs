//! Replies as text, in the styles of redis-cli. What its 7.0.15 prints is the reference; the golden tests hold it.
//!
//! Known differences, each because redis-cli's form cannot be read back: JSON errors are `{"error": "..."}`, JSON
//! doubles without a number are strings, quotes within `--quoted-json` are escaped, and `--json` puts U+FFFD where a
//! text is no UTF-8. redis-cli ends at a big number; here it is shown. And for people, text in UTF-8 is shown as text: what
//! is no UTF-8, and what would move the cursor or hide itself, is escaped.

use std::fmt::Write;

use kv_core::resp::client::Value;
use kv_core::resp::line::quote_into;

/// How a reply is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people: types, quotes, numbered and indented elements.
    Typed,
    /// For programs: bare texts, one a line.
    Raw,
    /// For people too, but texts as they are.
    Report,
    Csv,
    Json,
    /// JSON in ASCII; bytes that are not printable are `\xHH`.
    QuotedJson,
}

#[derive(Clone, Debug)]
pub struct Format {
    pub style: Style,
    /// Between the elements of a raw reply.
    pub delimiter: Vec<u8>,
    /// After a raw reply.
    pub end: Vec<u8>,
    /// For people, types and errors have colours.
    pub colours: bool,
}

impl Format {
    pub fn new(style: Style) -> Format {
        Format { style, delimiter: b"\n".to_vec(), end: b"\n".to_vec(), colours: false }
    }

    /// Appends the text of a whole reply with its line end.
    pub fn write(&self, out: &mut Vec<u8>, value: &Value) {
        match self.style {
            Style::Typed => {
                Typed { out, colours: self.colours }.value(value, 0);
                out.push(b'\n');
            }
            Style::Raw => {
                self.raw(out, value);
                out.extend_from_slice(&self.end);
            }
            // Texts made for people, like INFO's, end in a line end of their own; an error is no report.
            Style::Report => {
                match value {
                    Value::Bulk(text) | Value::Verbatim(_, text) => out.extend_from_slice(text),
                    other => Typed { out, colours: self.colours }.value(other, 0),
                }
                if !out.ends_with(b"\n") {
                    out.push(b'\n');
                }
            }
            Style::Csv => {
                csv(out, value);
                out.push(b'\n');
            }
            Style::Json | Style::QuotedJson => {
                let mut text = String::new();
                json(&mut text, value, self.style == Style::QuotedJson);
                out.extend_from_slice(text.as_bytes());
                out.push(b'\n');
            }
        }
    }

    fn raw(&self, out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::Nil | Value::NilArray => {}
            Value::Error(text) => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            Value::Int(n) => push_display(out, n),
            Value::Boolean(is) => out.extend_from_slice(if *is { b"(true)" } else { b"(false)" }),
            Value::Simple(text)
            | Value::Bulk(text)
            | Value::Verbatim(_, text)
            | Value::Double(text)
            | Value::BigNumber(text) => out.extend_from_slice(text),
            Value::Array(items) | Value::Set(items) | Value::Push(items) => {
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.extend_from_slice(&self.delimiter);
                    }
                    self.raw(out, item);
                }
            }
            Value::Map(pairs) => {
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if i > 0 {
                        out.extend_from_slice(&self.delimiter);
                    }
                    self.raw(out, key);
                    out.push(b' ');
                    self.raw(out, value);
                }
            }
        }
    }
}

fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    use std::io::Write;
    let _ = write!(out, "{value}"); // a Vec takes everything
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    let mut quoted = String::new();
    quote_into(&mut quoted, text);
    out.extend_from_slice(quoted.as_bytes());
}

/// Bytes in double quotes: text in UTF-8 as it is, everything else escaped. [`kv_core::resp::line::split`] gives them back.
pub fn quote_text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    let escape = |out: &mut String, bytes: &[u8]| {
        let mut quoted = String::new();
        quote_into(&mut quoted, bytes);
        out.push_str(&quoted[1..quoted.len() - 1]);
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_ascii() || is_unseen(c) {
                escape(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(c);
            }
        }
        escape(&mut out, chunk.invalid());
    }
    out.push('"');
    out
}

/// Controls, and what changes the direction of text or has no width: it could show another text than there is.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// What a colour says.
#[derive(Clone, Copy)]
pub enum Colour {
    /// What kv-cli adds: numbers of elements, types.
    Aside,
    Error,
    Number,
    Text,
    /// The name in a pair.
    Name,
}

impl Colour {
    pub fn code(self) -> &'static str {
        match self {
            Colour::Aside => "\x1b[90m",
            Colour::Error => "\x1b[31m",
            Colour::Number => "\x1b[36m",
            Colour::Text => "\x1b[32m",
            Colour::Name => "\x1b[34m",
        }
    }
}

pub const PLAIN: &str = "\x1b[0m";

/// The style for people, without the last line end. Elements after the first stand `indent` columns from the left.
struct Typed<'o> {
    out: &'o mut Vec<u8>,
    colours: bool,
}

impl Typed<'_> {
    fn put(&mut self, colour: Colour, text: &[u8]) {
        if self.colours {
            self.out.extend_from_slice(colour.code().as_bytes());
        }
        self.out.extend_from_slice(text);
        if self.colours {
            self.out.extend_from_slice(PLAIN.as_bytes());
        }
    }

    /// A value behind the name of its type.
    fn named(&mut self, name: &str, colour: Colour, text: &[u8]) {
        self.put(Colour::Aside, name.as_bytes());
        self.out.push(b' ');
        self.put(colour, text);
    }

    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Simple(text) | Value::Verbatim(_, text) => self.out.extend_from_slice(text),
            Value::Error(text) => self.put(Colour::Error, &[b"(error) ", &text[..]].concat()),
            Value::Int(n) => self.named("(integer)", Colour::Number, n.to_string().as_bytes()),
            Value::Bulk(text) => self.put(Colour::Text, quote_text(text).as_bytes()),
            Value::Nil | Value::NilArray => self.put(Colour::Aside, b"(nil)"),
            Value::Double(text) => self.named("(double)", Colour::Number, text),
            Value::BigNumber(text) => self.named("(big number)", Colour::Number, text),
            Value::Boolean(is) => self.put(Colour::Number, if *is { b"(true)" } else { b"(false)" }),
            Value::Array(items) if items.is_empty() => self.put(Colour::Aside, b"(empty array)"),
            Value::Set(items) if items.is_empty() => self.put(Colour::Aside, b"(empty set)"),
            Value::Push(items) if items.is_empty() => self.put(Colour::Aside, b"(empty push)"),
            Value::Map(pairs) if pairs.is_empty() => self.put(Colour::Aside, b"(empty hash)"),
            Value::Array(items) => self.items(items, ')', indent),
            Value::Set(items) => self.items(items, '~', indent),
            Value::Push(items) => self.items(items, '>', indent),
            Value::Map(pairs) => {
                let mut numbers = Numbers::new(pairs.len(), '#', indent);
                for (key, value) in pairs {
                    numbers.next(self);
                    match key {
                        Value::Bulk(text) => self.put(Colour::Name, quote_text(text).as_bytes()),
                        other => self.value(other, numbers.inner),
                    }
                    self.out.extend_from_slice(b" => ");
                    // Several elements get lines of their own; one goes on in this line.
                    if elements(value) > 1 {
                        self.out.push(b'\n');
                        push_blanks(self.out, numbers.inner);
                    }
                    self.value(value, numbers.inner);
                }
            }
        }
    }

    fn items(&mut self, items: &[Value], separator: char, indent: usize) {
        let mut numbers = Numbers::new(items.len(), separator, indent);
        for item in items {
            numbers.next(self);
            self.value(item, numbers.inner);
        }
    }
}

/// The numbers before elements: ` 1) `, right-aligned, each on a line of its own.
struct Numbers {
    last: usize,
    width: usize,
    separator: char,
    indent: usize,
    /// Columns before what stands behind the number.
    inner: usize,
}

impl Numbers {
    fn new(count: usize, separator: char, indent: usize) -> Numbers {
        let width = count.to_string().len();
        Numbers { last: 0, width, separator, indent, inner: indent + width + 2 }
    }

    fn next(&mut self, to: &mut Typed<'_>) {
        if self.last > 0 {
            to.out.push(b'\n');
            push_blanks(to.out, self.indent);
        }
        self.last += 1;
        let number = format!("{:>width$}{} ", self.last, self.separator, width = self.width);
        to.put(Colour::Aside, number.as_bytes());
    }
}

fn push_blanks(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, b' ');
}

fn elements(value: &Value) -> usize {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => items.len(),
        Value::Map(pairs) => pairs.len(),
        _ => 0,
    }
}

/// Nested values are written flat, as redis-cli does.
fn csv(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Error(text) => {
            out.extend_from_slice(b"ERROR,");
            push_quoted(out, text);
        }
        Value::Int(n) => push_display(out, n),
        Value::Double(text) | Value::BigNumber(text) => out.extend_from_slice(text),
        Value::Simple(text) | Value::Bulk(text) | Value::Verbatim(_, text) => push_quoted(out, text),
        Value::Nil | Value::NilArray => out.extend_from_slice(b"NULL"),
        Value::Boolean(is) => push_display(out, is),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                csv(out, item);
            }
        }
        Value::Map(pairs) => {
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                csv(out, key);
                out.push(b',');
                csv(out, value);
            }
        }
    }
}

fn json(out: &mut String, value: &Value, quoted: bool) {
    match value {
        Value::Error(text) => {
            out.push_str("{\"error\":");
            json_text(out, text, quoted);
            out.push('}');
        }
        Value::Simple(text) | Value::Bulk(text) | Value::Verbatim(_, text) => json_text(out, text, quoted),
        Value::Int(n) => {
            let _ = write!(out, "{n}");
        }
        // Numbers without an integer part or with a sign before infinity are no JSON.
        Value::Double(text) if is_json_number(text) => out.push_str(&String::from_utf8_lossy(text)),
        Value::BigNumber(text) => out.push_str(String::from_utf8_lossy(text).trim_start_matches('+')),
        Value::Double(text) => json_text(out, text, quoted),
        Value::Nil | Value::NilArray => out.push_str("null"),
        Value::Boolean(is) => {
            let _ = write!(out, "{is}");
        }
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                json(out, item, quoted);
            }
            out.push(']');
        }
        Value::Map(pairs) => {
            out.push('{');
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                json_key(out, key, quoted);
                out.push(':');
                json(out, value, quoted);
            }
            out.push('}');
        }
    }
}

/// Keys must be texts in JSON: another value is written as JSON and that text is quoted.
fn json_key(out: &mut String, key: &Value, quoted: bool) {
    match key {
        Value::Simple(text) | Value::Bulk(text) | Value::Verbatim(_, text) => json_text(out, text, quoted),
        other => {
            let mut inner = String::new();
            json(&mut inner, other, quoted);
            json_text(out, inner.as_bytes(), false);
        }
    }
}

fn json_text(out: &mut String, text: &[u8], quoted: bool) {
    let shown = if quoted {
        let mut ascii = String::new();
        quote_into(&mut ascii, text);
        ascii[1..ascii.len() - 1].to_owned().into()
    } else {
        String::from_utf8_lossy(text)
    };
    out.push('"');
    for c in shown.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// True if a double reads as a number in JSON: `-1`, `0.5`, `1e+20`; not `inf`, `nan`, `.5`.
fn is_json_number(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let exponent_at = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = unsigned.split_at(exponent_at.unwrap_or(unsigned.len()));
    let dot_at = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = mantissa.split_at(dot_at);
    let exponent_ok = match exponent {
        [] => true,
        [_, b'+' | b'-', power @ ..] | [_, power @ ..] => digits(power),
    };
    digits(whole)
        && (whole.len() == 1 || whole[0] != b'0')
        && (fraction.is_empty() || digits(&fraction[1..]))
        && exponent_ok
}

#[cfg(test)]
mod tests;
