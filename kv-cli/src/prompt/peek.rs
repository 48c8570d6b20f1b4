//! `peek KEY`: what a key is, at a glance: type, encoding, size, memory, expiry, and its first elements.
//!
//! Made of small commands only, so that a key of millions of elements is no matter. What the server does not tell (MEMORY
//! USAGE, say) is left out.

use kv_core::resp::client::Value;

use crate::connection::{Connection, Lost};
use crate::format::{Colour, Format, PLAIN, quote_text};
use crate::info::{bytes_text, grouped, span_text};
use crate::modes::keys::length_command;
use crate::wire::number;

/// Elements that are shown.
const FIRST: usize = 10;
/// Bytes of a string that are shown.
const FIRST_BYTES: usize = 300;

/// The text to show. Nothing else may be under way on the connection, and no transaction open.
pub fn peek(connection: &mut Connection, key: &[u8], format: &Format) -> Result<Vec<u8>, Lost> {
    let mut ask = |requests: &[&[&[u8]]]| -> Result<Vec<Value>, Lost> {
        for request in requests {
            connection.send(request)?;
        }
        let mut replies = Vec::new();
        while replies.len() < requests.len() {
            match connection.read()? {
                Value::Push(_) => {}
                reply => replies.push(reply),
            }
        }
        Ok(replies)
    };
    let facts = ask(&[&[b"TYPE", key], &[b"PTTL", key], &[b"OBJECT", b"ENCODING", key], &[b"MEMORY", b"USAGE", key]])?;
    let kind = match &facts[0] {
        Value::Error(text) => return Ok(error(format, text)),
        other => other.bytes().unwrap_or_default().to_vec(),
    };
    if kind == b"none" {
        let text = format!("{} is not there\n", quote_text(key));
        return Ok(text.into_bytes());
    }
    let (mut length, mut elements) = (None, None);
    if let Some(command) = length_command(&kind) {
        let replies = ask(&[&[command.as_bytes(), key]])?;
        length = number(&replies[0]);
    }
    let words = first_elements(&kind);
    if !words.is_empty() {
        let mut request: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        request.insert(1, key);
        elements = ask(&[&request])?.pop();
    }
    let glance = Glance { key, kind: &kind, facts: &facts, length };
    Ok(glance.text(elements, format))
}

fn error(format: &Format, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    format.write(&mut out, &Value::Error(text.to_vec()));
    out
}

/// The request for the first elements, without the key behind its first word.
fn first_elements(kind: &[u8]) -> Vec<String> {
    let last = (FIRST - 1).to_string();
    match kind {
        b"string" => ["GETRANGE", "0", &(FIRST_BYTES - 1).to_string()].map(str::to_owned).to_vec(),
        b"list" => ["LRANGE", "0", &last].map(str::to_owned).to_vec(),
        b"zset" => ["ZRANGE", "0", &last, "WITHSCORES"].map(str::to_owned).to_vec(),
        b"hash" => ["HSCAN", "0", "COUNT", &FIRST.to_string()].map(str::to_owned).to_vec(),
        b"set" => ["SSCAN", "0", "COUNT", &FIRST.to_string()].map(str::to_owned).to_vec(),
        b"stream" => ["XRANGE", "-", "+", "COUNT", &FIRST.to_string()].map(str::to_owned).to_vec(),
        _ => Vec::new(),
    }
}

struct Glance<'a> {
    key: &'a [u8],
    kind: &'a [u8],
    /// Replies to TYPE, PTTL, OBJECT ENCODING, MEMORY USAGE.
    facts: &'a [Value],
    length: Option<u64>,
}

impl Glance<'_> {
    fn text(&self, elements: Option<Value>, format: &Format) -> Vec<u8> {
        let mut facts = vec![String::from_utf8_lossy(self.kind).into_owned()];
        let unit = match self.kind {
            b"string" => "bytes",
            b"hash" => "fields",
            b"stream" => "entries",
            b"list" => "elements",
            _ => "members",
        };
        facts.extend(self.length.map(|length| format!("{} {unit}", grouped(length))));
        if let Value::Bulk(encoding) = &self.facts[2] {
            facts.push(String::from_utf8_lossy(encoding).into_owned());
        }
        if let Value::Int(bytes) = self.facts[3] {
            facts.push(format!("{} of memory", bytes_text(bytes.unsigned_abs())));
        }
        facts.extend(match self.facts[1] {
            Value::Int(-1) => Some("no expiry".to_owned()),
            Value::Int(ms @ 0..) => Some(format!("expires in {}", span_text(ms.unsigned_abs()))),
            _ => None,
        });
        let (bold, plain) = if format.colours { ("\x1b[1m", PLAIN) } else { ("", "") };
        let mut out = format!("{bold}{}{plain}  {}\n", quote_text(self.key), facts.join(", ")).into_bytes();
        if let Some((shown, value)) = elements.and_then(|value| self.first(value)) {
            format.write(&mut out, &value);
            if let Some(more) = self.length.and_then(|length| length.checked_sub(shown)).filter(|more| *more > 0) {
                let (aside, plain) = if format.colours { (Colour::Aside.code(), PLAIN) } else { ("", "") };
                out.extend_from_slice(format!("{aside}... {} {unit} more{plain}\n", grouped(more)).as_bytes());
            }
        }
        out
    }

    /// The elements in the form in which they are shown, and how many they are.
    fn first(&self, reply: Value) -> Option<(u64, Value)> {
        if reply.is_error() {
            return None;
        }
        let scanned = matches!(self.kind, b"hash" | b"set");
        let value = match reply {
            Value::Array(mut parts) if scanned => parts.pop()?,
            other => other,
        };
        Some(match value {
            Value::Array(items) if matches!(self.kind, b"hash" | b"zset") => {
                let flat = items.iter().all(|item| !matches!(item, Value::Array(_)));
                // RESP3 has pairs of member and score.
                let mut pairs = Vec::new();
                if flat {
                    let mut items = items.into_iter();
                    while let (Some(name), Some(value)) = (items.next(), items.next()) {
                        pairs.push((name, value));
                    }
                } else {
                    for item in items {
                        let Value::Array(mut pair) = item else { continue };
                        if let (Some(score), Some(member)) = (pair.pop(), pair.pop()) {
                            pairs.push((member, score));
                        }
                    }
                }
                pairs.truncate(FIRST);
                (pairs.len() as u64, Value::Map(pairs))
            }
            Value::Array(mut items) => {
                items.truncate(FIRST);
                (items.len() as u64, Value::Array(items))
            }
            Value::Bulk(text) => (text.len() as u64, Value::Bulk(text)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Style;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    fn glance(kind: &[u8], ttl: i64, length: u64, elements: Value) -> String {
        let facts = [Value::Simple(kind.to_vec()), Value::Int(ttl), bulk("listpack"), Value::Int(2048)];
        let glance = Glance { key: "grün".as_bytes(), kind, facts: &facts, length: Some(length) };
        String::from_utf8(glance.text(Some(elements), &Format::new(Style::Typed))).unwrap()
    }

    #[test]
    fn a_glance_tells_the_facts_and_the_first_elements() {
        let pairs = Value::Array(vec![bulk("0"), Value::Array(vec![bulk("f"), bulk("v")])]);
        assert_eq!(
            glance(b"hash", 65_000, 3, pairs),
            "\"grün\"  hash, 3 fields, listpack, 2.0K of memory, expires in 1m 5s\n1# \"f\" => \"v\"\n... 2 fields more\n"
        );
        assert_eq!(
            glance(b"string", -1, 2, bulk("ab")),
            "\"grün\"  string, 2 bytes, listpack, 2.0K of memory, no expiry\n\"ab\"\n"
        );
    }

    #[test]
    fn scores_stand_beside_members_in_both_protocols() {
        let flat = Value::Array(vec![bulk("m"), bulk("1")]);
        let nested = Value::Array(vec![Value::Array(vec![bulk("m"), Value::Double(b"1".to_vec())])]);
        assert!(glance(b"zset", -1, 1, flat).ends_with("1# \"m\" => \"1\"\n"));
        assert!(glance(b"zset", -1, 1, nested).ends_with("1# \"m\" => (double) 1\n"));
    }
}
