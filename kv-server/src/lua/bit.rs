//! `bit`: operations on 32 bits, as in LuaBitOp.

use super::args::Call;
use mlua::{Lua, MultiValue, Table};

type Shift = fn(u32, u32) -> u32;
type Fold = fn(u32, u32) -> u32;
type Map = fn(u32) -> u32;

/// A number as its lowest 32 bits: rounded to the nearest whole one, which the sum with this one does.
fn bits(number: f64) -> u32 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    (number + ROUND).to_bits() as u32
}

/// Results are signed.
fn signed(bits: u32) -> f64 {
    f64::from(bits as i32)
}

pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let maps: [(&'static str, Map); 3] = [("tobit", |a| a), ("bnot", |a| !a), ("bswap", u32::swap_bytes)];
    for (name, map) in maps {
        let function = move |lua: &Lua, args: MultiValue| Ok(signed(map(bits(Call::new(lua, args).number(0)?))));
        table.raw_set(name, lua.create_function(function)?)?;
    }
    let folds: [(&'static str, Fold); 3] = [("band", |a, b| a & b), ("bor", |a, b| a | b), ("bxor", |a, b| a ^ b)];
    for (name, fold) in folds {
        let function = move |lua: &Lua, args: MultiValue| {
            let call = Call::new(lua, args);
            let mut result = bits(call.number(0)?);
            for at in 1..call.count() {
                result = fold(result, bits(call.number(at)?));
            }
            Ok(signed(result))
        };
        table.raw_set(name, lua.create_function(function)?)?;
    }
    let shifts: [(&'static str, Shift); 5] = [
        ("lshift", |a, n| a << n),
        ("rshift", |a, n| a >> n),
        ("arshift", |a, n| ((a as i32) >> n) as u32),
        ("rol", u32::rotate_left),
        ("ror", u32::rotate_right),
    ];
    for (name, shift) in shifts {
        let function = move |lua: &Lua, args: MultiValue| {
            let call = Call::new(lua, args);
            let value = bits(call.number(0)?);
            Ok(signed(shift(value, bits(call.number(1)?) & 31)))
        };
        table.raw_set(name, lua.create_function(function)?)?;
    }
    let tohex = lua.create_function(|lua, args: MultiValue| {
        let call = Call::new(lua, args);
        let value = bits(call.number(0)?);
        let digits = match call.count() {
            1 => 8,
            _ => bits(call.number(1)?) as i32,
        };
        let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
        let digits = digits.unsigned_abs().min(8) as usize;
        lua.create_string(&text[8 - digits..])
    })?;
    table.raw_set("tohex", tohex)?;
    Ok(table)
}
