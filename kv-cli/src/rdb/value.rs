//! Values, by the number that stands in front of their key.
//!
//! A value begins with [`Rest::begin`], and is then read part by part. Those that lie in one string come whole.

use std::io::BufRead;

use kv_core::resp::number::parse_f64;

use super::input::Input;
use super::listpack::{self, Element};
use super::stream::StreamRest;
use super::{Damage, Malformed, small, ziplist};
use crate::transfer::item::{Bytes, Field, Scored, Value};

/// A part ends when it has so many elements or bytes.
pub(super) const PART_ELEMENTS: usize = 1000;
pub(super) const PART_BYTES: usize = 256 << 10;

/// What is still to be read of a value.
pub(super) enum Rest {
    Whole(Value),
    Elements {
        kind: Kind,
        left: u64,
    },
    /// Nodes of a list.
    Nodes {
        form: Node,
        left: u64,
    },
    Stream(Box<StreamRest>),
    Done,
}

/// Collections whose elements stand one by one.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    List,
    Set,
    ZSetOfTexts,
    ZSet,
    Hash,
    /// Each field with its expiry, which counts from one before the least of all; 0: none.
    HashFromLeast(u64),
    /// Each field with its expiry; 0: none.
    HashOfMoments,
}

#[derive(Clone, Copy)]
pub(super) enum Node {
    Ziplist,
    /// A number tells whether a node is one long element or a listpack.
    PlainOrListpack,
}

/// What a type's number stands for.
pub(super) enum Begun {
    Value(Rest),
    /// A value that only its module understands; it is skipped.
    Module,
}

impl Rest {
    pub(super) fn begin<R: BufRead>(input: &mut Input<R>, number: u8) -> Result<Begun, Damage> {
        let elements = |input: &mut Input<R>, kind| Ok(Rest::Elements { kind, left: input.number()? });
        let rest = match number {
            0 => Rest::Whole(Value::String(input.string()?)),
            1 => elements(input, Kind::List)?,
            2 => elements(input, Kind::Set)?,
            3 => elements(input, Kind::ZSetOfTexts)?,
            4 => elements(input, Kind::Hash)?,
            5 => elements(input, Kind::ZSet)?,
            7 => return Ok(Begun::Module),
            9 => Rest::Whole(Value::Hash(packed(input, small::zipmap)?)),
            10 => Rest::Whole(Value::List(packed(input, |bytes| texts(ziplist::elements(bytes)?))?)),
            11 => Rest::Whole(Value::Set(packed(input, small::intset)?)),
            12 => Rest::Whole(Value::ZSet(packed(input, |bytes| scored(ziplist::elements(bytes)?))?)),
            13 => Rest::Whole(Value::Hash(packed(input, |bytes| fields(ziplist::elements(bytes)?))?)),
            14 => Rest::Nodes { form: Node::Ziplist, left: input.number()? },
            15 | 19 | 21 => Rest::Stream(Box::new(StreamRest::begin(input, number)?)),
            16 => Rest::Whole(Value::Hash(packed(input, |bytes| fields(listpack::elements(bytes)?))?)),
            17 => Rest::Whole(Value::ZSet(packed(input, |bytes| scored(listpack::elements(bytes)?))?)),
            18 => Rest::Nodes { form: Node::PlainOrListpack, left: input.number()? },
            20 => Rest::Whole(Value::Set(packed(input, |bytes| texts(listpack::elements(bytes)?))?)),
            22 => elements(input, Kind::HashOfMoments)?,
            23 => Rest::Whole(Value::Hash(packed(input, expiring_fields)?)),
            24 => {
                let least = u64::from_le_bytes(input.exact()?);
                elements(input, Kind::HashFromLeast(least))?
            }
            25 => {
                // The least expiry, which the elements tell, too.
                input.exact::<8>()?;
                Rest::Whole(Value::Hash(packed(input, expiring_fields)?))
            }
            6 => return Err(input.damage("a value of a module in a form that only Redis 4.0 test versions wrote")),
            other => return Err(input.damage(format!("a value of the unknown type {other}"))),
        };
        Ok(Begun::Value(rest))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Rest::Done)
    }

    /// The next part. There is at least one, which may be empty.
    pub(super) fn next_part<R: BufRead>(&mut self, input: &mut Input<R>) -> Result<Value, Damage> {
        let (value, done) = match self {
            Rest::Whole(_) | Rest::Done => match std::mem::replace(self, Rest::Done) {
                Rest::Whole(value) => (value, true),
                _ => return Err(input.damage("nothing is left of the value")),
            },
            Rest::Elements { kind, left } => {
                let value = elements(input, *kind, left)?;
                (value, *left == 0)
            }
            Rest::Nodes { form, left } => {
                let value = Value::List(nodes(input, *form, left)?);
                (value, *left == 0)
            }
            Rest::Stream(stream) => {
                let part = stream.next_part(input)?;
                (Value::Stream(part), stream.is_done())
            }
        };
        if done {
            *self = Rest::Done;
        }
        Ok(value)
    }
}

/// Elements until a part is full.
fn some<R: BufRead, T>(
    input: &mut Input<R>,
    left: &mut u64,
    mut read: impl FnMut(&mut Input<R>) -> Result<T, Damage>,
) -> Result<Vec<T>, Damage> {
    let begin = input.offset();
    let mut all = Vec::new();
    while *left > 0 && all.len() < PART_ELEMENTS && input.offset() - begin < PART_BYTES as u64 {
        all.push(read(input)?);
        *left -= 1;
    }
    Ok(all)
}

fn elements<R: BufRead>(input: &mut Input<R>, kind: Kind, left: &mut u64) -> Result<Value, Damage> {
    Ok(match kind {
        Kind::List => Value::List(some(input, left, Input::string)?),
        Kind::Set => Value::Set(some(input, left, Input::string)?),
        Kind::ZSetOfTexts => {
            Value::ZSet(some(input, left, |input| Ok(Scored { member: input.string()?, score: text_score(input)? }))?)
        }
        Kind::ZSet => Value::ZSet(some(input, left, |input| {
            let member = input.string()?;
            let score = f64::from_le_bytes(input.exact()?);
            if score.is_nan() {
                return Err(input.damage("a score that is no number"));
            }
            Ok(Scored { member, score })
        })?),
        Kind::Hash => Value::Hash(some(input, left, |input| {
            Ok(Field { name: input.string()?, value: input.string()?, expire_at: None })
        })?),
        Kind::HashFromLeast(_) | Kind::HashOfMoments => Value::Hash(some(input, left, |input| {
            let told = input.number()?;
            let expire_at = match (kind, told) {
                (_, 0) => None,
                (Kind::HashFromLeast(least), _) => Some(
                    least.checked_add(told - 1).ok_or_else(|| input.damage("the expiry of a field is out of range"))?,
                ),
                _ => Some(told),
            };
            Ok(Field { name: input.string()?, value: input.string()?, expire_at })
        })?),
    })
}

/// A score as text: its length, or one of three that stand for no number, and both infinities.
fn text_score<R: BufRead>(input: &mut Input<R>) -> Result<f64, Damage> {
    match input.byte()? {
        253 => Err(input.damage("a score that is no number")),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        length => {
            let text = input.bytes(u64::from(length))?;
            parse_f64(&text).ok_or_else(|| input.damage("a score that is no number"))
        }
    }
}

fn nodes<R: BufRead>(input: &mut Input<R>, form: Node, left: &mut u64) -> Result<Vec<Bytes>, Damage> {
    let begin = input.offset();
    let mut items = Vec::new();
    while *left > 0 && items.len() < PART_ELEMENTS && input.offset() - begin < PART_BYTES as u64 {
        *left -= 1;
        match form {
            Node::Ziplist => items.extend(packed(input, |bytes| texts(ziplist::elements(bytes)?))?),
            Node::PlainOrListpack => match input.number()? {
                1 => items.push(input.string()?),
                2 => items.extend(packed(input, |bytes| texts(listpack::elements(bytes)?))?),
                other => return Err(input.damage(format!("a node of the unknown form {other}"))),
            },
        }
    }
    Ok(items)
}

/// A string that holds a packed form.
fn packed<R: BufRead, T>(input: &mut Input<R>, read: impl FnOnce(&[u8]) -> Result<T, Malformed>) -> Result<T, Damage> {
    let offset = input.offset();
    let bytes = input.string()?;
    read(&bytes.0).map_err(|malformed| malformed.in_file(offset))
}

const ODD: Malformed = Malformed { at: 0, what: "elements do not make up pairs" };

fn texts<'a>(elements: impl Iterator<Item = Result<Element<'a>, Malformed>>) -> Result<Vec<Bytes>, Malformed> {
    elements.map(|element| element.map(Element::to_bytes)).collect()
}

fn pairs<'a, T>(
    mut elements: impl Iterator<Item = Result<Element<'a>, Malformed>>,
    make: impl Fn(Element<'a>, Element<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut all = Vec::new();
    while let Some(first) = elements.next() {
        let second = elements.next().ok_or(ODD)?;
        all.push(make(first?, second?)?);
    }
    Ok(all)
}

fn fields<'a>(elements: impl Iterator<Item = Result<Element<'a>, Malformed>>) -> Result<Vec<Field>, Malformed> {
    pairs(elements, |name, value| Ok(Field { name: name.to_bytes(), value: value.to_bytes(), expire_at: None }))
}

fn scored<'a>(elements: impl Iterator<Item = Result<Element<'a>, Malformed>>) -> Result<Vec<Scored>, Malformed> {
    pairs(elements, |member, score| {
        let score = match score {
            Element::Int(number) => Some(number as f64),
            Element::Text(text) => parse_f64(text),
        };
        let score = score.ok_or(Malformed { at: 0, what: "a score that is no number" })?;
        Ok(Scored { member: member.to_bytes(), score })
    })
}

/// Fields, values and expiries by turns; 0: none.
fn expiring_fields(bytes: &[u8]) -> Result<Vec<Field>, Malformed> {
    let mut elements = listpack::elements(bytes)?;
    let mut all = Vec::new();
    while let Some(name) = elements.next() {
        let (name, value) = (name?.to_bytes(), elements.need()?.to_bytes());
        let at = elements.offset();
        let moment = u64::try_from(elements.need_int()?);
        let moment = moment.map_err(|_| Malformed { at, what: "the expiry of a field is out of range" })?;
        all.push(Field { name, value, expire_at: (moment > 0).then_some(moment) });
    }
    Ok(all)
}
