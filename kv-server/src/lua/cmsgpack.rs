//! `cmsgpack`: MessagePack, as in lua-cmsgpack 0.4.
//!
//! A whole number takes the shortest form, another one a float where that says the same, else a double. A table with the keys 1 to
//! n and no others is an array. What lies deeper than [`NESTING_MAX`] tables, and what MessagePack has no form for, becomes nil.

use super::args::{Call, Raised, number_of};
use mlua::{Error, Lua, MultiValue, String as LuaString, Table, Value};

const NESTING_MAX: usize = 16;
/// How deep what is read may be; Lua's own stack ends there somewhere.
const DEPTH_MAX: usize = 1000;

pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    table.raw_set("pack", lua.create_function(|lua, args| pack(&Call::new(lua, args)))?)?;
    let unpack = |lua: &Lua, args| {
        let call = Call::new(lua, args);
        read(&call, None, 0)
    };
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    let unpack_one = |lua: &Lua, args| {
        let call = Call::new(lua, args);
        let offset = call.integer_or(1, 0)?;
        read(&call, Some(1), offset)
    };
    table.raw_set("unpack_one", lua.create_function(unpack_one)?)?;
    let unpack_limit = |lua: &Lua, args| {
        let call = Call::new(lua, args);
        let (limit, offset) = (call.integer(1)?, call.integer_or(2, 0)?);
        read(&call, Some(limit), offset)
    };
    table.raw_set("unpack_limit", lua.create_function(unpack_limit)?)?;
    Ok(table)
}

// ---- values become bytes ----

fn pack(call: &Call<'_>) -> mlua::Result<LuaString> {
    if call.count() == 0 {
        return call.wrong_number(0, "MessagePack pack needs input.");
    }
    let mut out = Vec::new();
    for value in call.iter() {
        put(&mut out, value, 0)?;
    }
    call.lua.create_string(out)
}

fn put(out: &mut Vec<u8>, value: &Value, level: usize) -> mlua::Result<()> {
    match value {
        Value::String(text) => put_text(out, &text.as_bytes()),
        Value::Boolean(true) => out.push(0xc3),
        Value::Boolean(false) => out.push(0xc2),
        Value::Integer(n) => put_integer(out, *n),
        Value::Number(n) => put_number(out, *n),
        Value::Table(table) if level < NESTING_MAX => put_table(out, table, level)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len @ 0x100..=0xffff => with_u16(out, 0xda, len),
        len => with_u32(out, 0xdb, len),
    }
    out.extend_from_slice(text);
}

fn with_u16(out: &mut Vec<u8>, marker: u8, len: usize) {
    out.push(marker);
    out.extend_from_slice(&(len as u16).to_be_bytes());
}

fn with_u32(out: &mut Vec<u8>, marker: u8, len: usize) {
    out.push(marker);
    out.extend_from_slice(&(len as u32).to_be_bytes());
}

fn put_number(out: &mut Vec<u8>, number: f64) {
    let whole = super::args::to_i64(number);
    if whole as f64 == number {
        return put_integer(out, whole);
    }
    let short = number as f32;
    if f64::from(short) == number {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn put_integer(out: &mut Vec<u8>, n: i64) {
    match n {
        0..=0x7f => out.push(n as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, n as u8]),
        0x100..=0xffff => with_u16(out, 0xcd, n as usize),
        0x1_0000..=0xffff_ffff => with_u32(out, 0xce, n as usize),
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&n.to_be_bytes());
        }
        -32..=-1 => out.push(n as u8),
        -0x80..=-33 => out.extend_from_slice(&[0xd0, n as u8]),
        -0x8000..=-0x81 => {
            out.push(0xd1);
            out.extend_from_slice(&(n as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend_from_slice(&(n as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

fn put_table(out: &mut Vec<u8>, table: &Table, level: usize) -> mlua::Result<()> {
    let (mut most, mut count, mut is_array) = (0.0f64, 0usize, true);
    for pair in table.pairs::<Value, Value>() {
        let key = number_of(&pair?.0).filter(|key| *key > 0.0 && key.fract() == 0.0);
        is_array &= key.is_some();
        most = most.max(key.unwrap_or(0.0));
        count += 1;
    }
    if is_array && most == count as f64 {
        match count {
            0..=15 => out.push(0x90 | count as u8),
            16..=0xffff => with_u16(out, 0xdc, count),
            _ => with_u32(out, 0xdd, count),
        }
        for i in 1..=count {
            put(out, &table.raw_get(i)?, level + 1)?;
        }
        return Ok(());
    }
    match count {
        0..=15 => out.push(0x80 | count as u8),
        16..=0xffff => with_u16(out, 0xde, count),
        _ => with_u32(out, 0xdf, count),
    }
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        put(out, &key, level + 1)?;
        put(out, &value, level + 1)?;
    }
    Ok(())
}

// ---- bytes become values ----

/// Reads `limit` values, or all. With a limit, the first result is where to go on: -1 at the end.
fn read(call: &Call<'_>, limit: Option<i64>, offset: i64) -> mlua::Result<MultiValue> {
    let text = call.string(0)?;
    let bytes = text.as_bytes();
    let len = bytes.len();
    let most = limit.unwrap_or(i64::MAX);
    if offset < 0 || most < 0 {
        return call.fail(format!("Invalid request to unpack with offset of {offset} and limit of {len}."));
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)) else {
        return call.fail(format!("Start offset {offset} greater than input length {len}."));
    };
    let mut source = Source { rest };
    let mut values = Vec::new();
    while !source.rest.is_empty() && (values.len() as i64) < most {
        if values.len() == super::args::RESULTS_MAX {
            return call.fail("stack overflow (in function mp_unpack_full)");
        }
        match source.value(call.lua, 0) {
            Ok(value) => values.push(value),
            Err(Wrong::Short) => return call.fail("Missing bytes in input."),
            Err(Wrong::Format) => return call.fail("Bad data format in input."),
            Err(Wrong::Deep) => return call.fail("stack overflow (in function mp_decode_to_lua_array)"),
            // Raised by Lua itself, on behalf of a function that is not Lua's: without a place.
            Err(Wrong::Index) => return Err(Error::external(Raised::text("table index is nil"))),
            Err(Wrong::Lua(error)) => return Err(error),
        }
    }
    if limit.is_some() {
        let next = if source.rest.is_empty() { -1.0 } else { (len - source.rest.len()) as f64 };
        values.insert(0, Value::Number(next));
    }
    Ok(super::values(values))
}

enum Wrong {
    Short,
    Format,
    Deep,
    /// A key that no table takes.
    Index,
    Lua(mlua::Error),
}

impl From<mlua::Error> for Wrong {
    fn from(error: mlua::Error) -> Wrong {
        Wrong::Lua(error)
    }
}

struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Wrong> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Wrong::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        Ok(self.take(N)?.try_into().expect("so many were taken"))
    }

    /// A length in `bytes` bytes.
    fn len(&mut self, bytes: usize) -> Result<usize, Wrong> {
        Ok(self.take(bytes)?.iter().fold(0, |n, &byte| n << 8 | usize::from(byte)))
    }

    fn value(&mut self, lua: &Lua, depth: usize) -> Result<Value, Wrong> {
        let [marker] = self.array()?;
        let number = |n: f64| Ok(Value::Number(n));
        match marker {
            0..=0x7f => number(f64::from(marker)),
            0xe0..=0xff => number(f64::from(marker as i8)),
            0xcc => number(f64::from(u8::from_be_bytes(self.array()?))),
            0xcd => number(f64::from(u16::from_be_bytes(self.array()?))),
            0xce => number(f64::from(u32::from_be_bytes(self.array()?))),
            // Redis takes what is above 2^63 for negative, too.
            0xcf => number(i64::from_be_bytes(self.array()?) as f64),
            0xd0 => number(f64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => number(f64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => number(f64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => number(i64::from_be_bytes(self.array()?) as f64),
            0xc0 => Ok(Value::Nil),
            0xc2 => Ok(Value::Boolean(false)),
            0xc3 => Ok(Value::Boolean(true)),
            0xca => number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => number(f64::from_be_bytes(self.array()?)),
            0xa0..=0xbf => self.text(lua, usize::from(marker & 0x1f)),
            0xd9 => self.long(1, |s, len| s.text(lua, len)),
            0xda => self.long(2, |s, len| s.text(lua, len)),
            0xdb => self.long(4, |s, len| s.text(lua, len)),
            0x90..=0x9f => self.list(lua, usize::from(marker & 0xf), depth),
            0xdc => self.long(2, |s, len| s.list(lua, len, depth)),
            0xdd => self.long(4, |s, len| s.list(lua, len, depth)),
            0x80..=0x8f => self.map(lua, usize::from(marker & 0xf), depth),
            0xde => self.long(2, |s, len| s.map(lua, len, depth)),
            0xdf => self.long(4, |s, len| s.map(lua, len, depth)),
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd8 => Err(Wrong::Format),
        }
    }

    fn long(
        &mut self,
        bytes: usize,
        read: impl FnOnce(&mut Self, usize) -> Result<Value, Wrong>,
    ) -> Result<Value, Wrong> {
        let len = self.len(bytes)?;
        read(self, len)
    }

    fn text(&mut self, lua: &Lua, len: usize) -> Result<Value, Wrong> {
        Ok(Value::String(lua.create_string(self.take(len)?)?))
    }

    fn list(&mut self, lua: &Lua, len: usize, depth: usize) -> Result<Value, Wrong> {
        if depth == DEPTH_MAX {
            return Err(Wrong::Deep);
        }
        let table = lua.create_table()?;
        for i in 1..=len {
            table.raw_set(i, self.value(lua, depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, lua: &Lua, len: usize, depth: usize) -> Result<Value, Wrong> {
        if depth == DEPTH_MAX {
            return Err(Wrong::Deep);
        }
        let table = lua.create_table()?;
        for _ in 0..len {
            let key = self.value(lua, depth + 1)?;
            let value = self.value(lua, depth + 1)?;
            if key.is_nil() || number_of(&key).is_some_and(f64::is_nan) {
                return Err(Wrong::Index);
            }
            table.raw_set(key, value)?;
        }
        Ok(Value::Table(table))
    }
}
