//! Replies whose form only the command tells, as what they mean: INFO's text as sections of fields, CLIENT LIST's lines as
//! maps, HGETALL's list of RESP2 as a map. For JSON; people see what the server sent.
//!
//! A field that reads as a number is one; `db0:keys=1,expires=0` is a map of its own.

use kv_core::resp::client::Value;

/// `reply` to the command that `words` begin with, in upper case.
pub fn of_reply(words: &[&str], reply: Value) -> Value {
    match words {
        ["INFO", ..] | ["CLUSTER", "INFO", ..] => text(reply, sections),
        ["CLIENT", "LIST", ..] => text(reply, |text| Value::Array(text.lines().map(pairs).collect())),
        ["CLIENT", "INFO", ..] => text(reply, |text| pairs(text.trim_end())),
        ["HGETALL" | "XINFO", ..] | ["CONFIG", "GET", ..] | ["MEMORY", "STATS", ..] | ["HELLO", ..] => map(reply),
        _ => reply,
    }
}

fn text(reply: Value, read: impl FnOnce(&str) -> Value) -> Value {
    match &reply {
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => read(text),
            Err(_) => reply,
        },
        _ => reply,
    }
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

/// `# Server` begins a section; fields in front of the first one stand beside the sections.
fn sections(text: &str) -> Value {
    let mut all: Vec<(Value, Value)> = Vec::new();
    let mut in_section = false;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            all.push((bulk(title), Value::Map(Vec::new())));
            in_section = true;
        } else if let Some((name, value)) = line.split_once(':') {
            let pair = (bulk(name), field(value));
            match all.last_mut() {
                Some((_, Value::Map(fields))) if in_section => fields.push(pair),
                _ => all.push(pair),
            }
        }
    }
    Value::Map(all)
}

/// `keys=1,expires=0` is a map; nothing else with `=` in every part is known.
fn field(value: &str) -> Value {
    let parts: Option<Vec<(&str, &str)>> = value.split(',').map(|part| part.split_once('=')).collect();
    match parts {
        Some(parts) => Value::Map(parts.into_iter().map(|(name, value)| (bulk(name), scalar(value))).collect()),
        None => scalar(value),
    }
}

/// `id=1 addr=127.0.0.1:1 name=`
fn pairs(line: &str) -> Value {
    let pair = |word: &str| word.split_once('=').map(|(name, value)| (bulk(name), scalar(value)));
    Value::Map(line.split(' ').filter_map(pair).collect())
}

/// A number that is written as numbers are: `007` and `1.2.3` are texts.
fn scalar(text: &str) -> Value {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
        return bulk(text);
    }
    match text.parse() {
        Ok(number) => Value::Int(number),
        Err(_) if unsigned.contains('.') => Value::Double(text.as_bytes().to_vec()),
        Err(_) => bulk(text),
    }
}

/// RESP2's list of names and values.
fn map(reply: Value) -> Value {
    match reply {
        Value::Array(items)
            if items.len().is_multiple_of(2) && items.chunks(2).all(|pair| pair[0].bytes().is_some()) =>
        {
            let mut pairs = Vec::with_capacity(items.len() / 2);
            let mut items = items.into_iter();
            while let (Some(name), Some(value)) = (items.next(), items.next()) {
                pairs.push((name, value));
            }
            Value::Map(pairs)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, Style};

    fn json(words: &[&str], reply: Value) -> String {
        let mut out = Vec::new();
        Format::new(Style::Json).write(&mut out, &of_reply(words, reply));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn info_is_sections_of_typed_fields() {
        let text = "# Server\r\nredis_version:7.0.15\r\ngit:00000000\r\nport:6379\r\nratio:1.50\r\n\r\n\
                    # Keyspace\r\ndb0:keys=1,expires=0\r\n# Modules\r\n";
        assert_eq!(
            json(&["INFO"], Value::Verbatim(*b"txt", text.into())),
            "{\"Server\":{\"redis_version\":\"7.0.15\",\"git\":\"00000000\",\"port\":6379,\"ratio\":1.50},\
             \"Keyspace\":{\"db0\":{\"keys\":1,\"expires\":0}},\"Modules\":{}}\n"
        );
        assert_eq!(json(&["INFO"], Value::Error(b"ERR no".to_vec())), "{\"error\":\"ERR no\"}\n");
    }

    #[test]
    fn clients_are_maps() {
        let list = Value::Bulk(b"id=3 addr=127.0.0.1:9 name= db=-1\nid=4 lib-ver=1.2.3\n".to_vec());
        assert_eq!(
            json(&["CLIENT", "LIST"], list),
            "[{\"id\":3,\"addr\":\"127.0.0.1:9\",\"name\":\"\",\"db\":-1},{\"id\":4,\"lib-ver\":\"1.2.3\"}]\n"
        );
        assert_eq!(json(&["CLIENT", "INFO"], Value::Bulk(b"id=3 name=a\n".to_vec())), "{\"id\":3,\"name\":\"a\"}\n");
    }

    #[test]
    fn lists_of_pairs_become_maps_in_resp2() {
        let text = |text: &str| Value::Bulk(text.into());
        let pairs = Value::Array(vec![text("a"), text("1"), text("b"), Value::Int(2)]);
        assert_eq!(json(&["HGETALL", "K"], pairs.clone()), "{\"a\":\"1\",\"b\":2}\n");
        assert_eq!(json(&["HMGET", "K"], pairs), "[\"a\",\"1\",\"b\",2]\n");
        assert_eq!(json(&["CONFIG", "GET", "X"], Value::Array(vec![])), "{}\n");
    }
}
