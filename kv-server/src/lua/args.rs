//! Arguments of functions that scripts call, and the errors that these raise, in the words of Lua's own library.

use mlua::{Error, Lua, MultiValue, String as LuaString, Table, Value};
use std::fmt;
use std::io::Write;

/// An error raised by Rust, as a script is to see it.
#[derive(Debug)]
pub(super) struct Raised {
    text: Vec<u8>,
    form: Form,
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    Text,
    /// A table whose `err` is the text.
    Table {
        /// It was a command's, and has been counted.
        counted: bool,
    },
}

impl Raised {
    pub fn text(text: impl Into<Vec<u8>>) -> Raised {
        Raised { text: text.into(), form: Form::Text }
    }

    pub fn table(text: impl Into<Vec<u8>>) -> Raised {
        Raised { text: text.into(), form: Form::Table { counted: false } }
    }

    pub fn counted(text: impl Into<Vec<u8>>) -> Raised {
        Raised { text: text.into(), form: Form::Table { counted: true } }
    }

    pub fn into_value(self: &Raised, lua: &Lua) -> mlua::Result<Value> {
        let text = lua.create_string(&self.text)?;
        match self.form {
            Form::Text => Ok(Value::String(text)),
            Form::Table { counted } => {
                let table = lua.create_table()?;
                table.raw_set("err", text)?;
                if counted {
                    table.raw_set("ignore_error_stats_update", true)?;
                }
                Ok(Value::Table(table))
            }
        }
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl std::error::Error for Raised {}

/// What a script sees of an error: of one raised by Rust the string or the table it stands for.
pub(super) fn plain(lua: &Lua, error: Value) -> mlua::Result<Value> {
    let Value::Error(error) = error else { return Ok(error) };
    let mut error = &*error;
    while let Error::CallbackError { cause, .. } = error {
        error = cause;
    }
    match error.downcast_ref::<Raised>() {
        Some(raised) => raised.into_value(lua),
        None => Ok(Value::String(lua.create_string(error.to_string())?)),
    }
}

/// As far as the place of an error is looked for.
const LEVELS: usize = 7;

/// Makes of any error a table with its text and its place; runs where the error was raised, before the stack is unwound.
pub(super) fn locate(lua: &Lua, error: Value) -> mlua::Result<Table> {
    let table = match plain(lua, error)? {
        Value::Table(table) => table,
        other => {
            let text = match &other {
                Value::String(text) => text.as_bytes().to_vec(),
                other => other.to_string()?.into_bytes(),
            };
            let table = lua.create_table()?;
            table.raw_set("err", lua.create_string([b"ERR ", &text[..]].concat())?)?;
            table
        }
    };
    // The function that raised it, or, of one that is not Lua's, its caller; what the sandbox has put around it does not count.
    let mut seen = 0;
    for level in 1..LEVELS {
        let at = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            (source.what, source.source.map(|s| s.into_owned()), frame.current_line())
        });
        let Some((what, source, line)) = at else { break };
        if what == "tail" || source.as_deref() == Some(super::SANDBOX) {
            continue;
        }
        seen += 1;
        if what != "C" {
            table.raw_set("source", source)?;
            table.raw_set("line", line)?;
            break;
        }
        if seen == 2 {
            break;
        }
    }
    Ok(table)
}

/// Raises an error with a text, behind the place of the call in Lua's code.
pub(super) fn fail<T>(lua: &Lua, text: impl AsRef<str>) -> mlua::Result<T> {
    let place = lua.inspect_stack(1, |frame| {
        let source = frame.source();
        source.short_src.zip(frame.current_line()).map(|(source, line)| format!("{source}:{line}: "))
    });
    let place = place.flatten().unwrap_or_default();
    Err(Error::external(Raised::text(place + text.as_ref())))
}

/// What the function at this level of the stack was called where it was called: `?` if it had no name there.
pub(super) fn called_name(lua: &Lua, level: usize) -> String {
    let name = lua.inspect_stack(level, |frame| frame.names().name.map(|name| name.into_owned()));
    name.flatten().unwrap_or_else(|| "?".into())
}

/// The arguments of a call.
pub(super) struct Call<'a> {
    pub lua: &'a Lua,
    args: MultiValue,
}

impl<'a> Call<'a> {
    pub fn new(lua: &'a Lua, args: MultiValue) -> Call<'a> {
        Call { lua, args }
    }

    pub fn count(&self) -> usize {
        self.args.len()
    }

    /// Argument `at`, counted from 0.
    pub fn get(&self, at: usize) -> Option<&Value> {
        self.args.get(at)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.args.iter()
    }

    pub fn fail<T>(&self, text: impl AsRef<str>) -> mlua::Result<T> {
        fail(self.lua, text)
    }

    /// Raises that argument `at`, counted from 0, is wrong.
    pub fn wrong<T>(&self, at: usize, why: impl fmt::Display) -> mlua::Result<T> {
        self.wrong_number(at as i64 + 1, why)
    }

    /// The same, counted from 1.
    pub fn wrong_number<T>(&self, at: i64, why: impl fmt::Display) -> mlua::Result<T> {
        let name = called_name(self.lua, 0);
        self.fail(format!("bad argument #{at} to '{name}' ({why})"))
    }

    pub fn unexpected<T>(&self, at: usize, expected: &str) -> mlua::Result<T> {
        let got = self.get(at).map_or("no value", type_name);
        self.wrong(at, format!("{expected} expected, got {got}"))
    }

    /// A string, or a number as one.
    pub fn string(&self, at: usize) -> mlua::Result<LuaString> {
        match self.get(at) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Integer(_) | Value::Number(_))) => match self.lua.coerce_string(value.clone())? {
                Some(text) => Ok(text),
                None => self.unexpected(at, "string"),
            },
            _ => self.unexpected(at, "string"),
        }
    }

    /// A number, or a string that is one.
    pub fn number(&self, at: usize) -> mlua::Result<f64> {
        match number_or_text(self.lua, self.get(at))? {
            Some(number) => Ok(number),
            None => self.unexpected(at, "number"),
        }
    }

    /// A number as a whole one, as C would convert it.
    pub fn integer(&self, at: usize) -> mlua::Result<i64> {
        Ok(to_i64(self.number(at)?))
    }

    /// The same, or `default` when there is none, or nil.
    pub fn integer_or(&self, at: usize, default: i64) -> mlua::Result<i64> {
        match self.get(at) {
            None | Some(Value::Nil) => Ok(default),
            Some(_) => self.integer(at),
        }
    }
}

/// The most values that a function returns: what Lua's stack takes at once.
pub(super) const RESULTS_MAX: usize = 7900;

/// The names of types as Lua tells them.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) | Value::Other(..) => "userdata",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
    }
}

/// The number of a value that is one; strings are none.
pub(super) fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Number(n) => Some(*n),
        _ => None,
    }
}

/// The same, strings that read as numbers included.
pub(super) fn number_or_text(lua: &Lua, value: Option<&Value>) -> mlua::Result<Option<f64>> {
    match value {
        Some(text @ Value::String(_)) => lua.coerce_number(text.clone()),
        value => Ok(value.and_then(number_of)),
    }
}

/// A double as a whole number, as processors convert it: what does not fit becomes the least.
pub(super) fn to_i64(value: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&value) { value as i64 } else { i64::MIN }
}

/// The most digits that a number is written with.
const DIGITS_MAX: usize = 40;

/// The digits of a number without the zeros behind them, how many these are, and the power of ten of the first; of what is written
/// for `{:e}`.
fn scientific(text: fmt::Arguments<'_>) -> ([u8; DIGITS_MAX], usize, i32) {
    let mut buffer = [0; DIGITS_MAX + 16];
    let mut rest = &mut buffer[..];
    rest.write_fmt(text).expect("a sign, a point and an exponent have room beside the digits");
    let free = rest.len();
    let text = &buffer[..buffer.len() - free];
    let at = memchr::memchr(b'e', text).expect("it is written with an exponent");
    let (mut digits, mut len, mut significant) = ([0; DIGITS_MAX], 0, 1);
    for &digit in text[..at].iter().filter(|byte| byte.is_ascii_digit()) {
        (digits[len], len) = (digit, len + 1);
        significant = if digit == b'0' { significant } else { len };
    }
    let exponent = kv_core::resp::number::parse_i64(&text[at + 1..]).expect("an exponent is a number");
    (digits, significant, exponent as i32)
}

/// A number as C's printf writes it for `%.{digits}g`.
pub(super) fn push_general(out: &mut Vec<u8>, value: f64, digits: usize) {
    if value.is_nan() {
        let text: &[u8] = if value.is_sign_negative() { b"-nan" } else { b"nan" };
        return out.extend_from_slice(text);
    }
    if value.is_infinite() {
        let text: &[u8] = if value > 0.0 { b"inf" } else { b"-inf" };
        return out.extend_from_slice(text);
    }
    let digits = digits.clamp(1, DIGITS_MAX);
    // Whole numbers of so few digits are written as such; most are.
    if value.trunc() == value
        && value.abs() < 10f64.powi(digits.min(15) as i32)
        && !(value == 0.0 && value.is_sign_negative())
    {
        return kv_core::resp::number::push_i64(out, value as i64);
    }
    // The shortest form that reads as the same number is as good, if so many digits are wanted as each number has (15), unless it has
    // more; near zero numbers have fewer.
    let mut form = scientific(format_args!("{value:e}"));
    if digits > 15 || form.1 > digits || value.abs() < 1e-290 {
        form = scientific(format_args!("{value:.*e}", digits - 1));
    }
    let (mantissa, exponent) = (&form.0[..form.1], form.2);
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let (before, after) = if exponent < -4 || exponent >= digits as i32 {
        mantissa.split_at(1)
    } else if exponent < 0 {
        out.extend_from_slice(&b"0.000"[..(1 - exponent) as usize]);
        (mantissa, &[][..])
    } else {
        mantissa.split_at(mantissa.len().min(exponent as usize + 1))
    };
    out.extend_from_slice(before);
    if exponent >= 0 && exponent < digits as i32 {
        out.extend(std::iter::repeat_n(b'0', exponent as usize + 1 - before.len()));
    }
    if !after.is_empty() {
        out.push(b'.');
        out.extend_from_slice(after);
    }
    if exponent < -4 || exponent >= digits as i32 {
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        kv_core::resp::number::push_i64(out, exponent.abs().into());
    }
}
