//! What moves between servers and files: a key, or a part of a big one.
//!
//! A collection that is large comes as several items, one behind the other and with no other key between them: all but
//! the first say `continued`, all but the last `more`. So neither side ever holds a large key as a whole.
//!
//! The same words serve both formats of files (see [`super::file`]). Bytes are a text of JSON where they are UTF-8 and
//! `{"base64": "..."}` where they are not; in MessagePack they are `bin`. Ids of streams are texts in both.
//!
//! This module knows no server and no file.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kv_core::types::stream::{ID_TEXT_MAX, StreamId};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A key with its value, or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub db: u32,
    pub key: Bytes,
    /// Unix time in milliseconds; every part of a key tells it.
    pub expire_at: Option<u64>,
    /// Adds to the key of the item before.
    pub continued: bool,
    /// The next item adds to this key.
    pub more: bool,
    pub value: Value,
}

/// A value or a part of it: elements are added to those of earlier parts, bytes follow theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    String(Bytes),
    List(Vec<Bytes>),
    Set(Vec<Bytes>),
    ZSet(Vec<Scored>),
    Hash(Vec<Field>),
    Stream(StreamPart),
}

impl Value {
    /// About how many bytes it takes: what buffers are bounded by.
    pub fn size(&self) -> usize {
        const EACH: usize = 16;
        let all = |items: &[Bytes]| items.iter().map(|item| item.0.len() + EACH).sum();
        match self {
            Value::String(bytes) => bytes.0.len(),
            Value::List(items) | Value::Set(items) => all(items),
            Value::ZSet(members) => members.iter().map(|scored| scored.member.0.len() + 2 * EACH).sum(),
            Value::Hash(fields) => fields.iter().map(|field| field.name.0.len() + field.value.0.len() + 2 * EACH).sum(),
            Value::Stream(part) => {
                let entries: usize = part.entries.iter().map(|entry| all(&entry.fields) + 2 * EACH).sum();
                let pending = |group: &Group| group.consumers.iter().map(|c| c.pending.len() + 1).sum::<usize>();
                entries + part.groups.iter().map(|group| (pending(group) + 1) * 2 * EACH).sum::<usize>()
            }
        }
    }

    /// The number of its elements; a string is one.
    pub fn len(&self) -> usize {
        match self {
            Value::String(_) => 1,
            Value::List(items) | Value::Set(items) => items.len(),
            Value::ZSet(members) => members.len(),
            Value::Hash(fields) => fields.len(),
            Value::Stream(part) => part.entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A member of a sorted set: `["member", 1.5]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    pub member: Bytes,
    pub score: f64,
}

/// A field of a hash: `["field", "value"]` or `["field", "value", expire_at]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: Bytes,
    pub value: Bytes,
    pub expire_at: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamPart {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// Comes with or behind the last entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StreamState>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

/// `["1-1", ["field", "value", ...]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: Id,
    /// Fields and values by turns.
    pub fields: Vec<Bytes>,
}

/// What a stream remembers besides its entries. The counters are missing where a server older than 7.0 was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    pub last_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries_added: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deleted_id: Option<Id>,
}

/// A group of consumers, or more of what is pending in it: then `last_id` is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_id: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries_read: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<Consumer>,
}

/// The moments are told for the reader's sake: no command sets them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    pub name: Bytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
}

/// An entry that was handed out and not acknowledged: `["1-1", delivered_at, how often]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: Id,
    pub delivered_at: u64,
    pub deliveries: u64,
}

/// The bytes of a key, an element or a name.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Quoted, and short enough for a message.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 100;
        match self.0.get(..SHOWN) {
            Some(start) if self.0.len() > SHOWN => write!(f, "\"{}...\"", start.escape_ascii()),
            _ => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes(bytes.to_vec())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&self.0);
        }
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &BASE64.encode(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct AnyForm;
        impl<'de> Visitor<'de> for AnyForm {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, bytes or {\"base64\": text}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
                let Some((name, text)) = map.next_entry::<String, String>()? else {
                    return Err(de::Error::custom("no base64"));
                };
                if name != "base64" || map.next_key::<String>()?.is_some() {
                    return Err(de::Error::custom("only base64 may stand for bytes"));
                }
                BASE64.decode(&text).map(Bytes).map_err(|error| de::Error::custom(format!("base64: {error}")))
            }
        }
        deserializer.deserialize_any(AnyForm)
    }
}

/// The id of an entry, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub StreamId);

impl Id {
    pub fn new(ms: u64, seq: u64) -> Id {
        Id(StreamId::new(ms, seq))
    }

    pub fn parse(text: &[u8]) -> Option<Id> {
        StreamId::parse(text, 0).map(Id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.ms, self.0.seq)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; ID_TEXT_MAX];
        serializer.serialize_str(&String::from_utf8_lossy(self.0.text(&mut buffer)))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let text = String::deserialize(deserializer)?;
        Id::parse(text.as_bytes()).ok_or_else(|| de::Error::custom(format!("{text:?} is no id of an entry")))
    }
}

/// JSON has no infinite numbers: they are texts there.
#[derive(Clone, Copy)]
struct Score(f64);

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            score if score.is_finite() || !serializer.is_human_readable() => serializer.serialize_f64(score),
            score => serializer.serialize_str(if score > 0.0 { "inf" } else { "-inf" }),
        }
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Score, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = f64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a score: a number, \"inf\" or \"-inf\"")
            }

            fn visit_f64<E: de::Error>(self, score: f64) -> Result<f64, E> {
                if score.is_nan() { Err(E::custom("a score is a number")) } else { Ok(score) }
            }

            fn visit_u64<E: de::Error>(self, score: u64) -> Result<f64, E> {
                Ok(score as f64)
            }

            fn visit_i64<E: de::Error>(self, score: i64) -> Result<f64, E> {
                Ok(score as f64)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
                match text {
                    "inf" => Ok(f64::INFINITY),
                    "-inf" => Ok(f64::NEG_INFINITY),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Number).map(Score)
    }
}

impl Serialize for Scored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.member, Score(self.score)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scored, D::Error> {
        let (member, Score(score)) = Deserialize::deserialize(deserializer)?;
        Ok(Scored { member, score })
    }
}

impl Serialize for Pending {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.id, self.delivered_at, self.deliveries).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pending {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pending, D::Error> {
        let (id, delivered_at, deliveries) = Deserialize::deserialize(deserializer)?;
        Ok(Pending { id, delivered_at, deliveries })
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(2 + usize::from(self.expire_at.is_some()))?;
        tuple.serialize_element(&self.name)?;
        tuple.serialize_element(&self.value)?;
        if let Some(moment) = self.expire_at {
            tuple.serialize_element(&moment)?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field, D::Error> {
        struct TwoOrThree;
        impl<'de> Visitor<'de> for TwoOrThree {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field: [name, value] or [name, value, expire_at]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
                let missing = |at| de::Error::invalid_length(at, &self);
                let name = seq.next_element()?.ok_or_else(|| missing(0))?;
                let value = seq.next_element()?.ok_or_else(|| missing(1))?;
                Ok(Field { name, value, expire_at: seq.next_element()? })
            }
        }
        deserializer.deserialize_seq(TwoOrThree)
    }
}
