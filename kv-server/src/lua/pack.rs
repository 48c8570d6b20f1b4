//! `struct`: values as bytes in the forms of C, as in Roberto Ierusalimschy's library of that name.
//!
//! A format is read from left to right: `<` `>` byte order, `![n]` alignment, `x` a zero, `b B h H l L T i[n] I[n]` whole numbers
//! (capitals without sign), `f d` floats, `c[n]` so many bytes (`c0`: as many as the value before says), `s` a string up to a zero.

use super::args::Call;
use mlua::{Lua, MultiValue, String as LuaString, Table, Value};

/// Longest whole number, bytes.
const INTEGER_MAX: usize = 32;
/// The alignment of `!` alone.
const ALIGNMENT: usize = 8;

/// What a format says of the bytes that follow.
struct Layout<'a> {
    call: &'a Call<'a>,
    format: &'a [u8],
    at: usize,
    big_endian: bool,
    alignment: usize,
}

/// The next thing of a format.
struct Field {
    option: u8,
    size: usize,
    /// Bytes to be left free before it.
    padding: usize,
}

impl<'a> Layout<'a> {
    fn new(call: &'a Call<'a>, format: &'a [u8]) -> Layout<'a> {
        // C's strings end at a zero.
        let end = memchr::memchr(0, format).unwrap_or(format.len());
        Layout { call, format: &format[..end], at: 0, big_endian: cfg!(target_endian = "big"), alignment: 1 }
    }

    fn number(&mut self, default: usize) -> mlua::Result<usize> {
        let digits = self.format[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let mut number: i32 = 0;
        for digit in &self.format[self.at..self.at + digits] {
            let Some(next) = number.checked_mul(10).and_then(|n| n.checked_add(i32::from(digit - b'0'))) else {
                return self.call.fail("integral size overflow");
            };
            number = next;
        }
        self.at += digits;
        Ok(number as usize)
    }

    /// The next field that stands at `position` or behind it; `None` at the end. Options that only steer are carried out.
    ///
    /// `is_strict`: an option that there is not is an error, and no field of no size.
    fn next(&mut self, position: usize, is_strict: bool) -> mlua::Result<Option<Field>> {
        while let Some(&option) = self.format.get(self.at) {
            self.at += 1;
            let size = match option {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'f' => 4,
                b'c' => self.number(1)?,
                b's' => 0,
                b'i' | b'I' => {
                    let size = self.number(4)?;
                    if size > INTEGER_MAX {
                        let text = format!("integral size {size} is larger than limit of {INTEGER_MAX}");
                        return self.call.fail(text);
                    }
                    size
                }
                b' ' => continue,
                b'>' => {
                    self.big_endian = true;
                    continue;
                }
                b'<' => {
                    self.big_endian = false;
                    continue;
                }
                b'!' => {
                    let alignment = self.number(ALIGNMENT)?;
                    if !alignment.is_power_of_two() {
                        return self.call.fail(format!("alignment {alignment} is not a power of 2"));
                    }
                    self.alignment = alignment;
                    continue;
                }
                other if !is_strict && other.is_ascii_alphanumeric() => 0,
                other => return self.call.wrong(0, format!("invalid format option '{}'", char::from(other))),
            };
            let aligned = size.min(self.alignment);
            let padding = match option {
                b'c' | b's' => 0,
                _ if aligned == 0 => 0,
                _ => aligned.wrapping_sub(position & (aligned.wrapping_sub(1))) & aligned.wrapping_sub(1),
            };
            return Ok(Some(Field { option, size, padding }));
        }
        Ok(None)
    }
}

pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    table.raw_set("unpack", lua.create_function(|lua, args| unpack(&Call::new(lua, args)))?)?;
    table.raw_set("size", lua.create_function(|lua, args| size(&Call::new(lua, args)))?)?;
    Ok(table)
}

fn pack(lua: &Lua, mut args: MultiValue) -> mlua::Result<LuaString> {
    // Behind the values stands a nil of the library's own: the first that is missing is said to be nil.
    if !args.is_empty() {
        args.push_back(Value::Nil);
    }
    let call = &Call::new(lua, args);
    let format = call.string(0)?.as_bytes().to_vec();
    let mut layout = Layout::new(call, &format);
    let mut out = Vec::new();
    let mut arg = 1;
    while let Some(Field { option, size, padding }) = layout.next(out.len(), true)? {
        out.resize(out.len() + padding, 0);
        if option != b'x' {
            arg += 1;
        }
        let value = arg - 1;
        match option {
            b'x' => out.push(0),
            b'f' | b'd' => {
                let start = out.len();
                match option {
                    b'f' => out.extend_from_slice(&(call.number(value)? as f32).to_le_bytes()),
                    _ => out.extend_from_slice(&call.number(value)?.to_le_bytes()),
                }
                if layout.big_endian {
                    out[start..].reverse();
                }
            }
            b'c' | b's' => {
                let text = call.string(value)?;
                let text = text.as_bytes();
                let len = if size == 0 { text.len() } else { size };
                if text.len() < len {
                    return call.wrong(arg, "string too short");
                }
                out.extend_from_slice(&text[..len]);
                if option == b's' {
                    out.push(0);
                }
            }
            _ => {
                let number = call.number(value)?;
                // Above the signed range, the unsigned one; what is beyond that becomes 0, as processors convert it.
                let mut bits = match number {
                    9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0 => number as u64,
                    18_446_744_073_709_551_616.0.. => 0,
                    _ => super::args::to_i64(number) as u64,
                };
                let start = out.len();
                for _ in 0..size {
                    out.push(bits as u8);
                    bits >>= 8;
                }
                if layout.big_endian {
                    out[start..].reverse();
                }
            }
        }
    }
    call.lua.create_string(out)
}

fn integer(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let mut bits: u64 = 0;
    let mut push = |byte: &u8| bits = bits.wrapping_shl(8) | u64::from(*byte);
    if big_endian {
        bytes.iter().for_each(&mut push)
    } else {
        bytes.iter().rev().for_each(&mut push)
    }
    if !signed {
        return bits as f64;
    }
    let mask = u64::MAX.wrapping_shl((bytes.len() as u32).wrapping_mul(8).wrapping_sub(1));
    if bits & mask != 0 {
        bits |= mask;
    }
    bits as i64 as f64
}

fn unpack(call: &Call<'_>) -> mlua::Result<MultiValue> {
    let format = call.string(0)?.as_bytes().to_vec();
    let text = call.string(1)?;
    let data = text.as_bytes();
    let start = call.integer_or(2, 1)?;
    if start < 1 {
        return call.wrong(2, "offset must be 1 or greater");
    }
    let mut layout = Layout::new(call, &format);
    let mut at = start as usize - 1;
    let mut values: Vec<Value> = Vec::new();
    while let Some(Field { option, mut size, padding }) = layout.next(at, true)? {
        at = at.saturating_add(padding);
        let fits = |at: usize, size: usize| size <= data.len() && at <= data.len() - size;
        if !fits(at, size) {
            return call.wrong(1, "data string too short");
        }
        match option {
            b'x' => {}
            b'f' | b'd' => {
                let mut bytes = data[at..at + size].to_vec();
                if layout.big_endian {
                    bytes.reverse();
                }
                let number = match option {
                    b'f' => f64::from(f32::from_le_bytes(bytes.try_into().expect("four bytes"))),
                    _ => f64::from_le_bytes(bytes.try_into().expect("eight bytes")),
                };
                values.push(Value::Number(number));
            }
            b'c' => {
                if size == 0 {
                    let Some(len) = values.pop().as_ref().and_then(super::args::number_of) else {
                        return call.fail("format 'c0' needs a previous size");
                    };
                    size = super::args::to_i64(len) as usize;
                    if !fits(at, size) {
                        return call.wrong(1, "data string too short");
                    }
                }
                values.push(Value::String(call.lua.create_string(&data[at..at + size])?));
            }
            b's' => {
                let Some(len) = memchr::memchr(0, &data[at..]) else { return call.fail("unfinished string in data") };
                values.push(Value::String(call.lua.create_string(&data[at..at + len])?));
                size = len + 1;
            }
            _ => {
                let number = integer(&data[at..at + size], layout.big_endian, option.is_ascii_lowercase());
                values.push(Value::Number(number));
            }
        }
        at += size;
        if values.len() > super::args::RESULTS_MAX {
            return call.fail("stack overflow (too many results)");
        }
    }
    values.push(Value::Number((at + 1) as f64));
    Ok(super::values(values))
}

fn size(call: &Call<'_>) -> mlua::Result<f64> {
    let format = call.string(0)?.as_bytes().to_vec();
    let mut layout = Layout::new(call, &format);
    let mut at: usize = 0;
    while let Some(Field { option, size, padding }) = layout.next(at, false)? {
        match option {
            b's' => return call.wrong(0, "option 's' has no fixed size"),
            b'c' if size == 0 => return call.wrong(0, "option 'c0' has no fixed size"),
            _ => at = at.saturating_add(padding + size),
        }
    }
    Ok(at as f64)
}
