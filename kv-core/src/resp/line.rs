//! A line as a person types it, split into arguments and put back into quotes.
//!
//! The quoting is redis-cli's, which is also that of lines sent to a server:
//!
//! - blanks separate arguments;
//! - within `"..."`: `\n \r \t \b \a`, `\xHH` (a byte), and `\` before anything else stands for that character;
//! - within `'...'`: only `\'`;
//! - quotes may begin within an argument, and a closing quote must be followed by a blank or the end.
//!
//! One difference: a NUL is an ordinary byte here, where C ends the line.

use std::fmt;

/// A quote is not closed, or something follows a closing quote at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbalancedQuotes;

impl fmt::Display for UnbalancedQuotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unbalanced quotes")
    }
}

impl std::error::Error for UnbalancedQuotes {}

/// The arguments of a line; none if it is blank.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
    let mut args = Vec::new();
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|byte| is_blank(**byte)).count()..];
        if rest.is_empty() {
            return Ok(args);
        }
        let (arg, after) = take_argument(rest)?;
        args.push(arg);
        rest = after;
    }
}

fn take_argument(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    let mut arg = Vec::new();
    loop {
        match rest {
            [] => return Ok((arg, rest)),
            [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok((arg, rest)),
            [b'"', inside @ ..] => {
                rest = take_double_quoted(inside, &mut arg)?;
                return ends_here(rest).map(|()| (arg, rest));
            }
            [b'\'', inside @ ..] => {
                rest = take_single_quoted(inside, &mut arg)?;
                return ends_here(rest).map(|()| (arg, rest));
            }
            [byte, after @ ..] => {
                arg.push(*byte);
                rest = after;
            }
        }
    }
}

/// What a C locale calls a space.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn ends_here(rest: &[u8]) -> Result<(), UnbalancedQuotes> {
    match rest.first() {
        Some(byte) if !is_blank(*byte) => Err(UnbalancedQuotes),
        _ => Ok(()),
    }
}

fn take_double_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        let (byte, after) = match rest {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
            [] => return Err(UnbalancedQuotes),
        };
        arg.push(byte);
        rest = after;
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        let (byte, after) = match rest {
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
            [] => return Err(UnbalancedQuotes),
        };
        arg.push(byte);
        rest = after;
    }
}

/// What a letter after a backslash stands for within double quotes.
pub(super) fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// The bytes in double quotes, printable in ASCII; [`split`] gives them back.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    quote_into(&mut out, bytes);
    out
}

/// [`quote`], appended.
pub fn quote_into(out: &mut String, bytes: &[u8]) {
    use fmt::Write;
    out.push('"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "\\x{other:02x}"); // a String takes everything
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        let args = split(line.as_bytes()).unwrap_or_else(|_| panic!("{line} is balanced"));
        args.iter().map(|arg| arg.escape_ascii().to_string()).collect()
    }

    #[test]
    fn blanks_separate_arguments() {
        assert_eq!(args(""), [""; 0]);
        assert_eq!(args(" \t\r\n\x0b\x0c "), [""; 0]);
        assert_eq!(args("  set  k\tv \r\n"), ["set", "k", "v"]);
        assert_eq!(args("a\0b"), ["a\\x00b"]);
    }

    #[test]
    fn quotes_keep_blanks_and_escapes_are_resolved() {
        assert_eq!(args(r#"set k "a b""#), ["set", "k", "a b"]);
        assert_eq!(args(r#""" ''"#), ["", ""]);
        assert_eq!(args(r#""\n\r\t\b\a\\\"\q""#), [r#"\n\r\t\x08\x07\\\"q"#]);
        assert_eq!(args(r#""\x00\xfF\xg1\x4""#), [r"\x00\xffxg1x4"]);
        assert_eq!(args(r"'a \n \' b'"), [r"a \\n \' b"]);
        assert_eq!(args(r#"ab"c d" e'f g'"#), ["abc d", "ef g"]);
        assert_eq!(args(r"a\ b"), [r"a\\", "b"]);
    }

    #[test]
    fn open_quotes_and_glued_quotes_are_refused() {
        for line in [r#"""#, r#"set "a"#, r#""a"b"#, "'", "'a'b", r#""\"#, r#""a\""#, r"'a\'", r#""a"'b'"#] {
            assert_eq!(split(line.as_bytes()), Err(UnbalancedQuotes), "{line}");
        }
    }

    #[test]
    fn quoting_is_printable_and_reversible() {
        assert_eq!(quote(b""), r#""""#);
        assert_eq!(quote(b"a\"\\\n\r\t\x07\x08\x00\x7f\xc3\xa4"), r#""a\"\\\n\r\t\a\b\x00\x7f\xc3\xa4""#);
        let all: Vec<u8> = (0..=255).collect();
        let line = quote(&all);
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(split(line.as_bytes()), Ok(vec![all]));
    }
}
