//! Everything that a server holds, as text: what two servers are compared by after keys have moved from one to the other.
//!
//! Values are read by the commands of their types, with expiries, TTLs of fields, and streams with their groups, consumers
//! and pending entries. What no command can move is left out: when a consumer was seen last.

use std::collections::BTreeMap;
use std::fmt::Write;

use kv_core::resp::client::Value;
use kv_core::resp::number::{format_f64, parse_f64};

use crate::client::Client;

/// By database and key.
pub type Contents = BTreeMap<(u32, Vec<u8>), String>;

/// All keys of the first 16 databases.
pub fn contents(client: &mut Client) -> Contents {
    let knows_field_ttls = !matches!(
        client.ask(&["HPEXPIRETIME", "", "FIELDS", "1", ""]),
        Value::Error(text) if text.starts_with(b"ERR unknown command")
    );
    let mut all = Contents::new();
    for db in 0..16 {
        client.ask(&["SELECT", &db.to_string()]);
        for key in items(client.ask(&["KEYS", "*"])) {
            let key = bytes(key);
            let text = describe(client, &key, knows_field_ttls);
            assert_eq!(all.insert((db, key), text), None, "KEYS tells each key once");
        }
    }
    client.ask(&["SELECT", "0"]);
    all
}

/// Panics: when they differ, telling the first difference.
pub fn assert_same(got: &Contents, wanted: &Contents) {
    for (key, value) in wanted {
        let name = format!("key \"{}\" of database {}", key.1.escape_ascii(), key.0);
        match got.get(key) {
            None => panic!("{name} is missing"),
            Some(found) => assert!(found == value, "{name} is\n{}\ninstead of\n{}", short(found), short(value)),
        }
    }
    for (db, key) in got.keys() {
        assert!(wanted.contains_key(&(*db, key.clone())), "\"{}\" in database {db} is too much", key.escape_ascii());
    }
}

fn short(text: &str) -> &str {
    text.get(..4000).unwrap_or(text)
}

fn items(reply: Value) -> Vec<Value> {
    match reply {
        Value::Array(items) => items,
        other => panic!("no array: {other:?}"),
    }
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::Int(number) => number.to_string().into_bytes(),
        other => other.bytes().unwrap_or_else(|| panic!("no bytes: {other:?}")).to_vec(),
    }
}

fn texts(reply: Value) -> Vec<String> {
    items(reply).into_iter().map(|item| bytes(item).escape_ascii().to_string()).collect()
}

fn describe(client: &mut Client, key: &[u8], knows_field_ttls: bool) -> String {
    let mut ask = |words: &[&[u8]]| client.ask(words);
    let kind = String::from_utf8(bytes(ask(&[b"TYPE", key]))).expect("a name");
    let mut text = format!("{kind}, expires at {:?}\n", ask(&[b"PEXPIRETIME", key]));
    match kind.as_str() {
        "string" => write!(text, "{}", bytes(ask(&[b"GET", key])).escape_ascii()),
        "list" => write!(text, "{:?}", texts(ask(&[b"LRANGE", key, b"0", b"-1"]))),
        "set" => {
            let mut members = texts(ask(&[b"SMEMBERS", key]));
            members.sort_unstable();
            write!(text, "{members:?}")
        }
        "zset" => {
            let pairs = texts(ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]));
            let pairs: Vec<_> = pairs
                .chunks(2)
                // Redis and ours keep the sign of a zero in some forms of a sorted set and not in others.
                .map(|pair| (&pair[0], format_f64(parse_f64(pair[1].as_bytes()).expect("a score") + 0.0)))
                .collect();
            write!(text, "{pairs:?}")
        }
        "hash" => {
            let fields: Vec<Vec<u8>> = items(ask(&[b"HGETALL", key])).into_iter().map(bytes).collect();
            let names = fields.chunks(2).map(|pair| &pair[0][..]);
            let count = names.len().to_string();
            let request: Vec<&[u8]> =
                [&b"HPEXPIRETIME"[..], key, b"FIELDS", count.as_bytes()].into_iter().chain(names).collect();
            let expiries = if knows_field_ttls { items(ask(&request)) } else { vec![Value::Int(-1); fields.len() / 2] };
            assert_eq!(expiries.len() * 2, fields.len());
            let mut rows: Vec<String> = fields
                .chunks(2)
                .zip(expiries)
                .map(|(pair, expiry)| format!("{} = {}, {expiry:?}", pair[0].escape_ascii(), pair[1].escape_ascii()))
                .collect();
            rows.sort_unstable();
            write!(text, "{rows:#?}")
        }
        "stream" => {
            let _ = writeln!(text, "{:?}", ask(&[b"XRANGE", key, b"-", b"+"]));
            let full = ask(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]);
            for (name, value) in pairs(&full) {
                match name.as_str() {
                    "length"
                    | "last-generated-id"
                    | "max-deleted-entry-id"
                    | "entries-added"
                    | "recorded-first-entry-id" => {
                        let _ = writeln!(text, "{name} {value:?}");
                    }
                    "groups" => groups(&mut text, value),
                    _ => {}
                }
            }
            Ok(())
        }
        other => panic!("a type that no test makes: {other}"),
    }
    .expect("a text can be written to");
    text
}

fn pairs(reply: &Value) -> Vec<(String, &Value)> {
    let Value::Array(items) = reply else { panic!("no array: {reply:?}") };
    items.chunks_exact(2).map(|pair| (String::from_utf8(bytes(pair[0].clone())).expect("a name"), &pair[1])).collect()
}

fn groups(text: &mut String, reply: &Value) {
    let Value::Array(groups) = reply else { panic!("no groups: {reply:?}") };
    for group in groups {
        for (name, value) in pairs(group) {
            match name.as_str() {
                // How far behind it is follows from the rest, where a server knows it.
                "lag" => {}
                "consumers" => {
                    let Value::Array(consumers) = value else { panic!("no consumers: {value:?}") };
                    for consumer in consumers {
                        let told = pairs(consumer).into_iter().filter(|(name, _)| !name.ends_with("-time"));
                        let _ = writeln!(text, "  consumer {:?}", told.collect::<Vec<_>>());
                    }
                }
                _ => {
                    let _ = writeln!(text, "group {name} {value:?}");
                }
            }
        }
    }
}
