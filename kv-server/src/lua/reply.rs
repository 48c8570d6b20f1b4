//! Replies become values of Lua, and values become replies.
//!
//! What RESP2 has is a value of its own kind: a number, a string, a table; nil is `false`, a status `{ok=..}`, an error `{err=..}`.
//! What only RESP3 has is a table with one field that tells the kind: `map`, `set`, `double`, `big_number`, `verbatim_string`;
//! nil is nil then.

use super::args::{Raised, number_of, to_i64};
use kv_core::resp::{Proto, Reply, number};
use mlua::{Lua, Table, Value};

/// How deep the tables of a reply may lie in each other; Redis ends somewhere above a thousand.
const DEPTH_MAX: usize = 1000;

/// Reads a reply, which we have written ourselves.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    /// The text of an error, if it is one.
    pub fn error(&mut self) -> Option<&'a [u8]> {
        if self.bytes.first() != Some(&b'-') {
            return None;
        }
        Some(self.line().1)
    }

    /// The marker and the text of a line.
    #[inline]
    fn line(&mut self) -> (u8, &'a [u8]) {
        let end = memchr::memchr(b'\r', self.bytes).expect("a reply of ours");
        let line = &self.bytes[..end];
        self.bytes = &self.bytes[end + 2..];
        (line[0], &line[1..])
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let bytes = &self.bytes[..len];
        self.bytes = &self.bytes[len + 2..];
        bytes
    }

    /// The next value.
    pub fn value(&mut self, lua: &Lua) -> mlua::Result<Value> {
        let (marker, text) = self.line();
        let len = || number::parse_i64(text).and_then(|n| usize::try_from(n).ok());
        Ok(match marker {
            b'$' => match len() {
                Some(len) => Value::String(lua.create_string(self.bytes(len))?),
                None => Value::Boolean(false),
            },
            b':' => Value::Number(number::parse_i64(text).unwrap_or_default() as f64),
            b'+' => tagged(lua, "ok", Value::String(lua.create_string(text)?))?,
            b'-' => Raised::counted(text).into_value(lua)?,
            b'*' => match len() {
                Some(len) => self.array(lua, len)?,
                None => Value::Boolean(false),
            },
            b'_' => Value::Nil,
            b'#' => Value::Boolean(text == b"t"),
            b',' => {
                let double = number::parse_f64(text).unwrap_or(f64::NAN);
                tagged(lua, "double", Value::Number(double))?
            }
            b'(' => tagged(lua, "big_number", Value::String(lua.create_string(text)?))?,
            b'%' => {
                let map = lua.create_table()?;
                for _ in 0..len().unwrap_or(0) {
                    let key = self.value(lua)?;
                    let value = self.value(lua)?;
                    map.raw_set(key, value)?;
                }
                tagged(lua, "map", Value::Table(map))?
            }
            b'~' => {
                let set = lua.create_table()?;
                for _ in 0..len().unwrap_or(0) {
                    set.raw_set(self.value(lua)?, true)?;
                }
                tagged(lua, "set", Value::Table(set))?
            }
            b'=' => {
                let text = self.bytes(len().unwrap_or(0));
                let verbatim = lua.create_table()?;
                verbatim.raw_set("format", lua.create_string(&text[..3])?)?;
                verbatim.raw_set("string", lua.create_string(&text[4..])?)?;
                tagged(lua, "verbatim_string", Value::Table(verbatim))?
            }
            // A message (`>`) answers no command.
            _ => self.array(lua, len().unwrap_or(0))?,
        })
    }

    fn array(&mut self, lua: &Lua, len: usize) -> mlua::Result<Value> {
        let array = lua.create_table_with_capacity(len, 0)?;
        for i in 1..=len {
            array.raw_set(i, self.value(lua)?)?;
        }
        Ok(Value::Table(array))
    }
}

/// A table with one field.
fn tagged(lua: &Lua, field: &str, value: Value) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(field, value)?;
    Ok(Value::Table(table))
}

/// Writes a script's result. `wanted`: in which protocol it wanted replies itself.
pub(super) fn write(value: &Value, wanted: Proto, reply: &mut Reply<'_>) {
    write_at(value, wanted, reply, 0);
}

fn write_at(value: &Value, wanted: Proto, reply: &mut Reply<'_>, depth: usize) {
    match value {
        Value::String(text) => reply.bulk(&text.as_bytes()),
        Value::Integer(n) => reply.int(*n),
        Value::Number(n) => reply.int(to_i64(*n)),
        Value::Boolean(yes) if wanted == Proto::Resp3 => reply.boolean(*yes),
        Value::Boolean(true) => reply.int(1),
        Value::Table(_) if depth == DEPTH_MAX => reply.error("ERR reached lua stack limit"),
        Value::Table(table) => write_table(table, wanted, reply, depth),
        _ => reply.nil(),
    }
}

fn write_table(table: &Table, wanted: Proto, reply: &mut Reply<'_>, depth: usize) {
    let field = |name: &str| table.raw_get::<Value>(name).unwrap_or(Value::Nil);
    if let Value::String(text) = field("err") {
        return reply.error_bytes(&text.as_bytes());
    }
    if let Value::String(text) = field("ok") {
        return reply.simple_bytes(&text.as_bytes());
    }
    if let Some(double) = number_of(&field("double")) {
        return reply.double(double);
    }
    if let Value::Table(map) = field("map") {
        reply.map(map.pairs::<Value, Value>().count());
        for (key, value) in map.pairs::<Value, Value>().flatten() {
            write_at(&key, wanted, reply, depth + 1);
            write_at(&value, wanted, reply, depth + 1);
        }
        return;
    }
    if let Value::Table(set) = field("set") {
        reply.set(set.pairs::<Value, Value>().count());
        set.pairs::<Value, Value>().flatten().for_each(|(key, _)| write_at(&key, wanted, reply, depth + 1));
        return;
    }
    if let Value::String(digits) = field("big_number") {
        let digits: Vec<u8> =
            digits.as_bytes().iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }).collect();
        return reply.big_number(&String::from_utf8_lossy(&digits));
    }
    if let Value::Table(verbatim) = field("verbatim_string") {
        let part = |name: &str| verbatim.raw_get::<Value>(name);
        if let (Ok(Value::String(format)), Ok(Value::String(text))) = (part("format"), part("string")) {
            // The form is three characters, whatever the script says.
            let mut three = String::from_utf8_lossy(&format.as_bytes()).into_owned();
            three.retain(|letter| letter.is_ascii_graphic());
            three.truncate(3);
            return reply.verbatim(&format!("{three:<3}"), &text.as_bytes());
        }
    }
    let mut len = 0;
    while !matches!(table.raw_get::<Value>(len + 1), Ok(Value::Nil) | Err(_)) {
        len += 1;
    }
    reply.array(len);
    for i in 1..=len {
        write_at(&table.raw_get::<Value>(i).unwrap_or(Value::Nil), wanted, reply, depth + 1);
    }
}
