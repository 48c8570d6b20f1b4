//! What a reply must look like.

use std::collections::HashMap;

use kv_core::resp::Proto;
use kv_core::resp::client::Value;
use kv_core::types::pattern::matches as glob;

/// | written | in RESP3 | in RESP2 |
/// |---|---|---|
/// | `+OK`, `+"a b"` | simple string | |
/// | `-ERR text to the end of the line`, `-"a b"` | error; within brackets in quotes | |
/// | `:1`, `:90..100` | integer, in a range | |
/// | `"a\r\n"` | bulk string | |
/// | `txt:"..."` | verbatim string | bulk string |
/// | `like "a*"` | any text that matches the glob | |
/// | `nil` | null | null bulk string |
/// | `nil-array` | null | null array |
/// | `true`, `false` | boolean | `:1`, `:0` |
/// | `,1.5` | double | bulk string |
/// | `[a b]`, `[a b ...]` | array; with any further elements | |
/// | `~[a b]` | array in any order | |
/// | `{a b}` | set, in any order | array, in any order |
/// | `{k: v, l: w}`, `{:}` | map, in any order; an empty one | array of twice as many |
/// | `push [a b]` | push | array |
/// | `$name` | any single text or integer: caught, or equal to what was caught before | |
/// | `_` | anything | |
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64, i64),
    Bulk(Vec<u8>),
    Verbatim([u8; 3], Vec<u8>),
    Like(Vec<u8>),
    Nil,
    NilArray,
    Boolean(bool),
    Double(Vec<u8>),
    Array { items: Vec<Pattern>, ordered: bool, more: bool },
    Set { items: Vec<Pattern>, more: bool },
    Map { pairs: Vec<(Pattern, Pattern)>, more: bool },
    Push(Vec<Pattern>),
    Caught(String),
    Anything,
}

/// What patterns have caught.
pub type Bindings = HashMap<String, Vec<u8>>;

impl Pattern {
    /// Whether `value`, received in `proto`, is what the pattern says. Catches what it is to catch.
    pub fn matches(&self, value: &Value, proto: Proto, caught: &mut Bindings) -> bool {
        let resp3 = proto == Proto::Resp3;
        match (self, value) {
            (Pattern::Anything, _) => true,
            (Pattern::Simple(text), Value::Simple(got)) => text == got,
            (Pattern::Error(text), Value::Error(got)) => text == got,
            (Pattern::Int(low, high), Value::Int(got)) => (low..=high).contains(&got),
            (Pattern::Bulk(text), Value::Bulk(got)) => text == got,
            (Pattern::Verbatim(format, text), Value::Verbatim(got_format, got)) => format == got_format && text == got,
            (Pattern::Verbatim(_, text), Value::Bulk(got)) if !resp3 => text == got,
            (Pattern::Like(pattern), _) => value.bytes().is_some_and(|got| glob(pattern, got)),
            (Pattern::Nil, Value::Nil) => true,
            (Pattern::NilArray, Value::NilArray) => !resp3,
            (Pattern::NilArray, Value::Nil) => resp3,
            (Pattern::Boolean(yes), Value::Boolean(got)) => yes == got,
            (Pattern::Boolean(yes), Value::Int(got)) if !resp3 => i64::from(*yes) == *got,
            (Pattern::Double(text), Value::Double(got)) => text == got,
            (Pattern::Double(text), Value::Bulk(got)) if !resp3 => text == got,
            (Pattern::Array { items, ordered: true, more }, Value::Array(got)) => {
                (got.len() == items.len() || (*more && got.len() > items.len()))
                    && items.iter().zip(got).all(|(item, got)| item.matches(got, proto, caught))
            }
            (Pattern::Array { items, ordered: false, more }, Value::Array(got)) => {
                in_any_order(items, got, *more, |item, got| item.matches(got, proto, caught))
            }
            (Pattern::Set { items, more }, Value::Set(got)) if resp3 => {
                in_any_order(items, got, *more, |item, got| item.matches(got, proto, caught))
            }
            (Pattern::Set { items, more }, Value::Array(got)) if !resp3 => {
                in_any_order(items, got, *more, |item, got| item.matches(got, proto, caught))
            }
            (Pattern::Map { pairs, more }, Value::Map(got)) if resp3 => {
                in_any_order(pairs, got, *more, |(key, value), (got_key, got)| {
                    key.matches(got_key, proto, caught) && value.matches(got, proto, caught)
                })
            }
            (Pattern::Map { pairs, more }, Value::Array(got)) if !resp3 && got.len().is_multiple_of(2) => {
                let got: Vec<&[Value]> = got.chunks(2).collect();
                in_any_order(pairs, &got, *more, |(key, value), got| {
                    key.matches(&got[0], proto, caught) && value.matches(&got[1], proto, caught)
                })
            }
            (Pattern::Push(items), Value::Push(got)) => same(items, got, proto, caught),
            (Pattern::Push(items), Value::Array(got)) if !resp3 => same(items, got, proto, caught),
            (Pattern::Caught(name), _) => {
                let text = match value {
                    Value::Int(number) => number.to_string().into_bytes(),
                    _ => match value.bytes() {
                        Some(text) => text.to_vec(),
                        None => return false,
                    },
                };
                text == *caught.entry(name.clone()).or_insert_with(|| text.clone())
            }
            _ => false,
        }
    }
}

fn same(items: &[Pattern], got: &[Value], proto: Proto, caught: &mut Bindings) -> bool {
    items.len() == got.len() && items.iter().zip(got).all(|(item, got)| item.matches(got, proto, caught))
}

/// Whether each of `items` finds one of `got` for itself, and none is left over (unless there may be `more`).
fn in_any_order<P, V>(items: &[P], got: &[V], more: bool, mut fits: impl FnMut(&P, &V) -> bool) -> bool {
    if got.len() < items.len() || (!more && got.len() > items.len()) {
        return false;
    }
    let mut free: Vec<&V> = got.iter().collect();
    items.iter().all(|item| match free.iter().position(|got| fits(item, got)) {
        Some(at) => {
            free.swap_remove(at);
            true
        }
        None => false,
    })
}
