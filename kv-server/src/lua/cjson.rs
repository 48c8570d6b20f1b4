//! `cjson`: JSON, with the forms, limits and errors of lua-cjson 2.1.
//!
//! Strings are bytes and are neither checked nor changed, whatever their encoding. Of a table with nothing but positive whole keys
//! becomes an array, of any other an object, and of an empty one an object, too. `null` is a value of its own, `cjson.null`.

use super::args::{Call, push_general, type_name};
use super::word;
use mlua::{IntoLua, Lua, MultiValue, String as LuaString, Table, Value};
use std::cell::RefCell;
use std::rc::Rc;

/// What scripts may change of it; each `cjson.new()` has its own.
#[derive(Clone, Copy)]
struct Format {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: usize,
    decode_depth: usize,
    precision: usize,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

/// What becomes of numbers that JSON does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Format {
    fn default() -> Format {
        Format {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

type Shared = Rc<RefCell<Format>>;

/// The format of the `cjson` that all scripts share.
#[derive(Clone, Default)]
pub(super) struct Formats(Shared);

impl Formats {
    pub fn restart(&self) {
        *self.0.borrow_mut() = Format::default();
    }
}

/// How deep values may lie in each other, whatever a script sets: they are walked by recursion.
const DEPTH_MAX: usize = 1000;

pub(super) fn table(lua: &Lua, formats: &Formats) -> mlua::Result<Table> {
    module(lua, formats.0.clone())
}

fn module(lua: &Lua, format: Shared) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    table.raw_set("null", Value::NULL)?;
    table.raw_set("new", lua.create_function(|lua, ()| module(lua, Shared::default()))?)?;
    let add = |name: &'static str, f: fn(&Call<'_>, &mut Format) -> mlua::Result<MultiValue>| {
        let format = format.clone();
        let function = move |lua: &Lua, args| f(&Call::new(lua, args), &mut format.borrow_mut());
        table.raw_set(name, lua.create_function(function)?)
    };
    add("encode", encode)?;
    add("decode", decode)?;
    add("encode_sparse_array", |call, format| {
        at_most(call, 3)?;
        if let Some(on) = switch(call, 0, &[])? {
            format.sparse_convert = on == 1;
        }
        if let Some(ratio) = whole(call, 1, 0, i64::from(i32::MAX))? {
            format.sparse_ratio = ratio;
        }
        if let Some(safe) = whole(call, 2, 0, i64::from(i32::MAX))? {
            format.sparse_safe = safe;
        }
        let numbers = [format.sparse_ratio, format.sparse_safe].map(|n| Value::Number(n as f64));
        Ok(super::values([Value::Boolean(format.sparse_convert)].into_iter().chain(numbers)))
    })?;
    add("encode_max_depth", |call, format| one_number(call, &mut format.encode_depth, i32::MAX as usize))?;
    add("decode_max_depth", |call, format| one_number(call, &mut format.decode_depth, i32::MAX as usize))?;
    add("encode_number_precision", |call, format| one_number(call, &mut format.precision, 14))?;
    add("encode_keep_buffer", |call, format| {
        at_most(call, 1)?;
        // There is no buffer to keep; what is set is told.
        if let Some(on) = switch(call, 0, &[])? {
            format.keep_buffer = on == 1;
        }
        Ok(super::values([Value::Boolean(format.keep_buffer)]))
    })?;
    add("encode_invalid_numbers", |call, format| {
        at_most(call, 1)?;
        match switch(call, 0, &["null"])? {
            Some(0) => format.encode_invalid = Invalid::Refused,
            Some(1) => format.encode_invalid = Invalid::Written,
            Some(_) => format.encode_invalid = Invalid::Null,
            None => {}
        }
        Ok(super::values([match format.encode_invalid {
            Invalid::Null => Value::String(call.lua.create_string("null")?),
            other => Value::Boolean(other == Invalid::Written),
        }]))
    })?;
    add("decode_invalid_numbers", |call, format| {
        at_most(call, 1)?;
        if let Some(on) = switch(call, 0, &[])? {
            format.decode_invalid = on == 1;
        }
        Ok(super::values([Value::Boolean(format.decode_invalid)]))
    })?;
    Ok(table)
}

// ---- settings ----

fn at_most(call: &Call<'_>, most: usize) -> mlua::Result<()> {
    if call.count() > most { call.wrong(most, "found too many arguments") } else { Ok(()) }
}

fn whole(call: &Call<'_>, at: usize, least: i64, most: i64) -> mlua::Result<Option<i64>> {
    if matches!(call.get(at), None | Some(Value::Nil)) {
        return Ok(None);
    }
    let number = call.integer(at)?;
    if !(least..=most).contains(&number) {
        return call.wrong(at, format!("expected integer between {least} and {most}"));
    }
    Ok(Some(number))
}

fn one_number(call: &Call<'_>, number: &mut usize, most: usize) -> mlua::Result<MultiValue> {
    at_most(call, 1)?;
    if let Some(value) = whole(call, 0, 1, most as i64)? {
        *number = value as usize;
    }
    Ok(super::values([Value::Number(*number as f64)]))
}

/// `off`, `on`, a boolean, or one of `others`: 0, 1, and from 2 on.
fn switch(call: &Call<'_>, at: usize, others: &[&str]) -> mlua::Result<Option<usize>> {
    match call.get(at) {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Boolean(on)) => Ok(Some(usize::from(*on))),
        Some(_) => {
            let word = call.string(at)?;
            let mut options = ["off", "on"].iter().chain(others);
            match options.position(|option| option.as_bytes() == &*word.as_bytes()) {
                Some(at) => Ok(Some(at)),
                None => call.wrong(at, format!("invalid option '{}'", word.to_string_lossy())),
            }
        }
    }
}

// ---- values become JSON ----

fn encode(call: &Call<'_>, format: &mut Format) -> mlua::Result<MultiValue> {
    if call.count() != 1 {
        return call.wrong(0, "expected 1 argument");
    }
    let mut encoder = Encoder { call, format: *format, out: Vec::with_capacity(256) };
    encoder.value(call.get(0).unwrap_or(&Value::Nil), 0)?;
    Ok(super::values([Value::String(call.lua.create_string(encoder.out)?)]))
}

struct Encoder<'a> {
    call: &'a Call<'a>,
    format: Format,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn refuse<T>(&self, what: &str, why: &str) -> mlua::Result<T> {
        self.call.fail(format!("Cannot serialise {what}: {why}"))
    }

    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        match value {
            Value::String(text) => self.string(text),
            Value::Integer(n) => self.number(*n as f64)?,
            Value::Number(n) => self.number(*n)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return self.refuse(type_name(other), "type not supported"),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        if depth > self.format.encode_depth.min(DEPTH_MAX) {
            return self.call.fail(format!("Cannot serialise, excessive depth ({depth})"));
        }
        match self.array_len(table)? {
            Some((len, is_whole)) if len > 0 => {
                self.out.push(b'[');
                if is_whole {
                    table.for_each_value(|value: Value| self.element(&value, depth))?;
                } else {
                    (1..=len).try_for_each(|i| self.element(&table.raw_get(i)?, depth))?;
                }
                self.close(b']');
            }
            _ => {
                self.out.push(b'{');
                table.for_each(|key: Value, value: Value| {
                    match &key {
                        Value::String(text) => self.string(text),
                        Value::Integer(_) | Value::Number(_) => {
                            self.out.push(b'"');
                            self.number(super::args::number_of(&key).unwrap_or_default())?;
                            self.out.push(b'"');
                        }
                        _ => return self.refuse(type_name(&key), "table key must be a number or string"),
                    }
                    self.out.push(b':');
                    self.element(&value, depth)
                })?;
                self.close(b'}');
            }
        }
        Ok(())
    }

    /// A value of a table, and the comma behind it.
    fn element(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        self.value(value, depth)?;
        self.out.push(b',');
        Ok(())
    }

    /// The end of a table, in place of the last comma.
    fn close(&mut self, bracket: u8) {
        match self.out.last_mut() {
            Some(last @ b',') => *last = bracket,
            _ => self.out.push(bracket),
        }
    }

    /// The length of a table that is an array, and whether it has all elements. The length is an int of C's: a larger key has it begin
    /// anew with the least, as in Redis.
    fn array_len(&self, table: &Table) -> mlua::Result<Option<(i64, bool)>> {
        let (mut most, mut count) = (0, 0);
        // Most objects show with their first key that they are none; a boolean is read without a handle for the value.
        for pair in table.pairs::<Value, bool>() {
            match super::args::number_of(&pair?.0) {
                Some(key) if key >= 1.0 && key.floor() == key => {
                    if key > most as f64 {
                        most = i64::from(i32::try_from(super::args::to_i64(key)).unwrap_or(i32::MIN));
                    }
                    count += 1;
                }
                _ => return Ok(None),
            }
        }
        let Format { sparse_convert, sparse_ratio, sparse_safe, .. } = self.format;
        if sparse_ratio > 0 && most > i64::saturating_mul(count, sparse_ratio) && most > sparse_safe {
            if !sparse_convert {
                return self.refuse("table", "excessively sparse array");
            }
            return Ok(None);
        }
        Ok(Some((most, most == count)))
    }

    fn number(&mut self, number: f64) -> mlua::Result<()> {
        if !number.is_finite() {
            match self.format.encode_invalid {
                Invalid::Refused => return self.refuse("number", "must not be NaN or Inf"),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Written if number.is_nan() => {
                    self.out.extend_from_slice(b"nan");
                    return Ok(());
                }
                Invalid::Written => {}
            }
        }
        push_general(&mut self.out, number, self.format.precision);
        Ok(())
    }

    fn string(&mut self, text: &LuaString) {
        self.out.push(b'"');
        let bytes = text.as_bytes();
        let mut rest = &bytes[..];
        // What needs no escape goes in at once.
        while let Some(at) = rest.iter().position(|&byte| IS_ESCAPED[usize::from(byte)]) {
            self.out.extend_from_slice(&rest[..at]);
            let escape: &[u8] = match rest[at] {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'/' => b"\\/",
                8 => b"\\b",
                9 => b"\\t",
                10 => b"\\n",
                12 => b"\\f",
                13 => b"\\r",
                byte => &format!("\\u{byte:04x}").into_bytes(),
            };
            self.out.extend_from_slice(escape);
            rest = &rest[at + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }
}

/// The bytes that are written in another way inside a string.
const IS_ESCAPED: [bool; 256] = {
    let mut is_escaped = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        is_escaped[byte] = byte < 32 || byte == 127 || matches!(byte as u8, b'"' | b'\\' | b'/');
        byte += 1;
    }
    is_escaped
};

// ---- JSON becomes values ----

fn decode(call: &Call<'_>, format: &mut Format) -> mlua::Result<MultiValue> {
    if call.count() != 1 {
        return call.wrong(0, "expected 1 argument");
    }
    let text = call.string(0)?;
    let bytes = text.as_bytes();
    if bytes.len() >= 2 && (bytes[0] == 0 || bytes[1] == 0) {
        return call.fail("JSON parser does not support UTF-16 or UTF-32");
    }
    // It ends at a zero, if there is one.
    let end = memchr::memchr(0, &bytes).unwrap_or(bytes.len());
    let mut decoder = Decoder { call, format: *format, bytes: &bytes[..end], at: 0, depth: 0, text: Vec::new() };
    let first = decoder.token();
    let value = decoder.value(first)?;
    match decoder.token() {
        (Token::End, _) => Ok(super::values([value])),
        found => decoder.unexpected("the end", found),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Text {
    Plain { start: usize, end: usize },
    Resolved,
}

#[derive(Clone, Copy, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Where its text lies in the bytes, or, if something had to be resolved, that it is in `Decoder::text`.
    Text(Text),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Text(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(what) => what,
        }
    }
}

/// A token and where it begins.
type Found = (Token, usize);

struct Decoder<'a> {
    call: &'a Call<'a>,
    format: Format,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    text: Vec<u8>,
}

impl Decoder<'_> {
    fn unexpected<T>(&self, expected: &str, (token, at): Found) -> mlua::Result<T> {
        self.call.fail(format!("Expected {expected} but found {} at character {}", token.name(), at + 1))
    }

    fn value(&mut self, found: Found) -> mlua::Result<Value> {
        Ok(match found.0 {
            Token::Text(text) => Value::String(self.call.lua.create_string(self.text(text))?),
            Token::Number(number) => Value::Number(number),
            Token::Boolean(value) => Value::Boolean(value),
            Token::Null => Value::NULL,
            Token::ObjectBegin => self.object()?,
            Token::ArrayBegin => self.array()?,
            _ => return self.unexpected("value", found),
        })
    }

    fn text(&self, text: Text) -> &[u8] {
        match text {
            Text::Plain { start, end } => &self.bytes[start..end],
            Text::Resolved => &self.text,
        }
    }

    /// Puts a value into a table; text goes in without a handle.
    fn put(&mut self, table: &Table, key: impl IntoLua, found: Found) -> mlua::Result<()> {
        match found.0 {
            Token::Text(text) => table.raw_set(key, word(self.text(text))),
            Token::Number(number) => table.raw_set(key, number),
            _ => table.raw_set(key, self.value(found)?),
        }
    }

    fn descend(&mut self) -> mlua::Result<()> {
        self.depth += 1;
        if self.depth > self.format.decode_depth.min(DEPTH_MAX) {
            let text = format!("Found too many nested data structures ({}) at character {}", self.depth, self.at);
            return self.call.fail(text);
        }
        Ok(())
    }

    fn object(&mut self) -> mlua::Result<Value> {
        self.descend()?;
        let table = self.call.lua.create_table()?;
        let mut found = self.token();
        if found.0 == Token::ObjectEnd {
            self.depth -= 1;
            return Ok(Value::Table(table));
        }
        loop {
            let Token::Text(text) = found.0 else {
                return self.unexpected("object key string", found);
            };
            // What had to be resolved makes room for the next text.
            let resolved = (text == Text::Resolved).then(|| self.text.clone());
            let colon = self.token();
            if colon.0 != Token::Colon {
                return self.unexpected("colon", colon);
            }
            let first = self.token();
            let bytes = self.bytes;
            let key = match (&resolved, text) {
                (None, Text::Plain { start, end }) => &bytes[start..end],
                (resolved, _) => resolved.as_deref().unwrap_or_default(),
            };
            self.put(&table, word(key), first)?;
            let next = self.token();
            match next.0 {
                Token::ObjectEnd => break,
                Token::Comma => found = self.token(),
                _ => return self.unexpected("comma or object end", next),
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> mlua::Result<Value> {
        self.descend()?;
        let table = self.call.lua.create_table()?;
        let mut found = self.token();
        if found.0 == Token::ArrayEnd {
            self.depth -= 1;
            return Ok(Value::Table(table));
        }
        for i in 1.. {
            self.put(&table, i, found)?;
            let next = self.token();
            match next.0 {
                Token::ArrayEnd => break,
                Token::Comma => found = self.token(),
                _ => return self.unexpected("comma or array end", next),
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    /// The next token. Behind one that is wrong nothing is read.
    fn token(&mut self) -> Found {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        let start = self.at;
        let rest = &self.bytes[start..];
        let Some(&first) = rest.first() else { return (Token::End, start) };
        let (token, len) = match first {
            b'{' => (Token::ObjectBegin, 1),
            b'}' => (Token::ObjectEnd, 1),
            b'[' => (Token::ArrayBegin, 1),
            b']' => (Token::ArrayEnd, 1),
            b',' => (Token::Comma, 1),
            b':' => (Token::Colon, 1),
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' if !self.format.decode_invalid && is_invalid_number(rest) => {
                (Token::Error("invalid number"), 0)
            }
            b'-' | b'0'..=b'9' => number(rest),
            _ if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            _ if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            _ if rest.starts_with(b"null") => (Token::Null, 4),
            _ if self.format.decode_invalid && is_invalid_number(rest) => number(rest),
            _ => (Token::Error("invalid token"), 0),
        };
        self.at += len;
        (token, start)
    }

    fn string(&mut self) -> Found {
        let start = self.at;
        self.at += 1;
        let ends = |bytes: &[u8]| memchr::memchr2(b'"', b'\\', bytes).map(|at| (at, bytes[at] == b'"'));
        let mut is_plain = true;
        self.text.clear();
        loop {
            let rest = &self.bytes[self.at..];
            let Some((len, is_end)) = ends(rest) else {
                return (Token::Error("unexpected end of string"), self.bytes.len());
            };
            if is_end && is_plain {
                let text = Text::Plain { start: self.at, end: self.at + len };
                self.at += len + 1;
                return (Token::Text(text), start);
            }
            self.text.extend_from_slice(&rest[..len]);
            self.at += len + 1;
            if is_end {
                return (Token::Text(Text::Resolved), start);
            }
            is_plain = false;
            let escaped = match self.bytes.get(self.at) {
                Some(b'u') => {
                    if !self.unicode() {
                        return (Token::Error("invalid unicode escape code"), self.at - 1);
                    }
                    continue;
                }
                Some(&plain @ (b'"' | b'\\' | b'/')) => plain,
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => 10,
                Some(b'r') => 13,
                Some(b't') => 9,
                _ => return (Token::Error("invalid escape code"), self.at - 1),
            };
            self.text.push(escaped);
            self.at += 1;
        }
    }

    /// `u` and four hexadecimal digits, or two such units, as UTF-8.
    fn unicode(&mut self) -> bool {
        let unit = |at: usize| -> Option<u32> {
            let digits = self.bytes.get(at..at + 4)?;
            digits.iter().try_fold(0, |n, &b| Some(n << 4 | char::from(b).to_digit(16)?))
        };
        let Some(first) = unit(self.at + 1) else { return false };
        let (point, len) = match first {
            0xd800..=0xdbff => {
                let second = unit(self.at + 7).filter(|_| self.bytes[self.at + 5..].starts_with(b"\\u"));
                match second {
                    Some(second @ 0xdc00..=0xdfff) => ((((first & 0x3ff) << 10) | (second & 0x3ff)) + 0x10000, 11),
                    _ => return false,
                }
            }
            0xdc00..=0xdfff => return false,
            _ => (first, 5),
        };
        let Some(letter) = char::from_u32(point) else { return false };
        self.text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        true
    }
}

/// Whether what begins like a number is one that C reads and JSON does not have.
fn is_invalid_number(text: &[u8]) -> bool {
    let text = match text.first() {
        Some(b'+') => return true,
        Some(b'-') => &text[1..],
        _ => text,
    };
    match text {
        [b'0', next, ..] => matches!(next, b'x' | b'X' | b'0'..=b'9'),
        [first, ..] if *first <= b'9' => false,
        _ => text.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")),
    }
}

/// The number that C's `strtod` finds at the beginning, and how long it is.
fn number(text: &[u8]) -> (Token, usize) {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let body = &text[sign..];
    let is_word = |word: &[u8]| body.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let (value, len) = if is_word(b"infinity") {
        (f64::INFINITY, 8)
    } else if is_word(b"inf") {
        (f64::INFINITY, 3)
    } else if is_word(b"nan") {
        (f64::NAN, 3)
    } else if is_word(b"0x") {
        hexadecimal(body)
    } else {
        let digits = |from: usize| body[from.min(body.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
        let whole = digits(0);
        let mut len = whole;
        if body.get(whole) == Some(&b'.') {
            let decimals = digits(whole + 1);
            if whole + decimals > 0 {
                len = whole + 1 + decimals;
            }
        }
        if len > 0 && matches!(body.get(len), Some(b'e' | b'E')) {
            let signed = usize::from(matches!(body.get(len + 1), Some(b'+' | b'-')));
            let exponent = digits(len + 1 + signed);
            if exponent > 0 {
                len += 1 + signed + exponent;
            }
        }
        let parsed = std::str::from_utf8(&body[..len]).ok().and_then(|text| text.parse().ok());
        (parsed.unwrap_or(0.0), len)
    };
    if len == 0 {
        return (Token::Error("invalid number"), 0);
    }
    (Token::Number(if text[0] == b'-' { -value } else { value }), sign + len)
}

/// `0x` and digits; of a `0x` without digits the zero.
fn hexadecimal(text: &[u8]) -> (f64, usize) {
    let (mut value, mut exponent, mut at, mut digits) = (0.0f64, 0i32, 2, 0);
    let mut in_fraction = false;
    while let Some(&byte) = text.get(at) {
        match (byte, char::from(byte).to_digit(16)) {
            (_, Some(digit)) => {
                value = value * 16.0 + f64::from(digit);
                exponent -= if in_fraction { 4 } else { 0 };
                digits += 1;
            }
            (b'.', None) if !in_fraction => in_fraction = true,
            _ => break,
        }
        at += 1;
    }
    if digits == 0 {
        return (0.0, 1);
    }
    if let Some(b'p' | b'P') = text.get(at) {
        let minus = text.get(at + 1) == Some(&b'-');
        let from = at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let len = text[from.min(text.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
        if len > 0 {
            let more = std::str::from_utf8(&text[from..from + len]).ok().and_then(|t| t.parse::<i32>().ok());
            let more = more.unwrap_or(1 << 20);
            exponent = exponent.saturating_add(if minus { -more } else { more });
            at = from + len;
        }
    }
    (value * 2f64.powi(exponent), at)
}
