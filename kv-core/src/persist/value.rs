//! A key's value in MessagePack.
//!
//! ```text
//! string   bin, or the integer whose text it is
//! list     [1, [element, ...]]
//! set      [2, [member, ...]]
//! hash     [3, {field: value, ...}]        a field that expires: {field: [value, expire_at], ...}
//! zset     [4, {member: score, ...}]       a score: an integer from -2^53 to 2^53, or a double
//! stream   [5, [line, ...]]                lines in this order (ids are two numbers):
//!            [0, id, field, value, ...]                        an entry; ids ascend
//!            [1, last id, max deleted id, entries added]       once, behind the entries
//!            [2, name, last id, entries read or nil]           a group
//!            [3, name, seen at, active at or nil]              a consumer of the group above
//!            [4, id, delivered at, deliveries]                 an entry pending with the consumer above
//! ```
//!
//! Elements, fields, values and members are bin, or the integer whose text they are: which of both is written depends on the
//! form in memory and means nothing. A HyperLogLog is a string. Elements of sets, hashes and sorted sets may come in any
//! order; a sorted set in ascending order is read fastest. Only a stream may be empty.
//!
//! The same elements can be written piece by piece (`begin_hash`, `hash_field` ...), for what is not at hand as one value; and
//! in several parts, which a reader puts together (`Assembly`): so nobody needs a second copy of a large value in memory.

use super::msgpack::{
    EXACT_MAX, Reader, put_array, put_bytes, put_f64, put_int, put_item, put_map, put_optional, put_uint,
};
use super::{Damage, UnixMs};
use crate::structs::packed::Item;
use crate::types::list::End;
use crate::types::stream::{self, ENTRY_BYTES_MAX, NodeLimits, Pending, Stream, StreamId};
use crate::types::{Hash, HashRef, Limits, List, ListRef, Set, SetRef, ZSet, ZSetRef, hash::Ttl, zset};
use std::borrow::Cow;
use std::cell::Cell;

/// No moment is larger: it can be told as a signed number.
const MOMENT_MAX: u64 = i64::MAX as u64;
/// No counter is larger. Clients set none above 2^63; what is counted up from there never comes near this, nor what is
/// counted up from here near 2^64.
const COUNTER_MAX: u64 = 3 << 62;

/// The type of a value, by the number that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Str = 0,
    List = 1,
    Set = 2,
    Hash = 3,
    ZSet = 4,
    Stream = 5,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Str, Kind::List, Kind::Set, Kind::Hash, Kind::ZSet, Kind::Stream];

    pub(super) fn from_number(number: u64) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| u64::from(*kind as u8) == number)
    }
}

/// A value that is written.
#[derive(Clone, Copy)]
pub enum State<'a> {
    Int(i64),
    Str(&'a [u8]),
    Hash(HashRef<'a>),
    List(ListRef<'a>),
    Set(SetRef<'a>),
    ZSet(ZSetRef<'a>),
    Stream(&'a Stream),
}

/// A value that was read. A string is borrowed from where it was read, unless it came in parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded<'a> {
    Int(i64),
    Str(Cow<'a, [u8]>),
    Hash(Hash),
    List(List),
    Set(Set),
    ZSet(ZSet),
    Stream(Box<Stream>),
}

impl Loaded<'_> {
    /// The value, to be written.
    pub fn as_state(&self) -> State<'_> {
        match self {
            Loaded::Int(int) => State::Int(*int),
            Loaded::Str(text) => State::Str(text),
            Loaded::Hash(hash) => State::Hash(hash.as_ref()),
            Loaded::List(list) => State::List(list.as_ref()),
            Loaded::Set(set) => State::Set(set.as_ref()),
            Loaded::ZSet(zset) => State::ZSet(zset.as_ref()),
            Loaded::Stream(stream) => State::Stream(stream),
        }
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Loaded<'static> {
        match self {
            Loaded::Str(text) => Loaded::Str(Cow::Owned(text.into_owned())),
            Loaded::Int(int) => Loaded::Int(int),
            Loaded::Hash(hash) => Loaded::Hash(hash),
            Loaded::List(list) => Loaded::List(list),
            Loaded::Set(set) => Loaded::Set(set),
            Loaded::ZSet(zset) => Loaded::ZSet(zset),
            Loaded::Stream(stream) => Loaded::Stream(stream),
        }
    }
}

/// Appends a value.
pub fn write(out: &mut Vec<u8>, state: State<'_>) {
    match state {
        State::Int(int) => put_int(out, int),
        State::Str(text) => put_bytes(out, text),
        State::List(list) => {
            begin_list(out, list.len());
            list.iter().for_each(|item| put_item(out, item));
        }
        State::Set(set) => {
            begin_set(out, set.len());
            set.iter().for_each(|member| put_item(out, member));
        }
        State::Hash(hash) => {
            begin_hash(out, hash.len());
            hash.fields().for_each(|(field, value, expire_at)| put_field(out, field, value, expire_at));
        }
        State::ZSet(zset) => {
            begin_zset(out, zset.len());
            zset.all().for_each(|(member, score)| {
                put_item(out, member);
                put_score(out, score);
            });
        }
        State::Stream(stream) => write_stream(out, stream),
    }
}

fn begin(out: &mut Vec<u8>, kind: Kind) {
    put_array(out, 2);
    put_uint(out, kind as u64);
}

/// A string, or an element of a list or set.
#[inline]
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    put_bytes(out, text);
}

pub fn begin_list(out: &mut Vec<u8>, items: usize) {
    begin(out, Kind::List);
    put_array(out, items);
}

#[inline]
pub fn list_item(out: &mut Vec<u8>, item: &[u8]) {
    put_bytes(out, item);
}

pub fn begin_set(out: &mut Vec<u8>, members: usize) {
    begin(out, Kind::Set);
    put_array(out, members);
}

#[inline]
pub fn set_member(out: &mut Vec<u8>, member: &[u8]) {
    put_bytes(out, member);
}

pub fn begin_hash(out: &mut Vec<u8>, fields: usize) {
    begin(out, Kind::Hash);
    put_map(out, fields);
}

#[inline]
pub fn hash_field(out: &mut Vec<u8>, field: &[u8], value: &[u8], expire_at: Option<UnixMs>) {
    put_field(out, Item::Bytes(field), Item::Bytes(value), expire_at);
}

#[inline]
fn put_field(out: &mut Vec<u8>, field: Item<'_>, value: Item<'_>, expire_at: Option<UnixMs>) {
    put_item(out, field);
    if let Some(at) = expire_at {
        put_array(out, 2);
        put_item(out, value);
        put_uint(out, at);
    } else {
        put_item(out, value);
    }
}

pub fn begin_zset(out: &mut Vec<u8>, members: usize) {
    begin(out, Kind::ZSet);
    put_map(out, members);
}

#[inline]
pub fn zset_member(out: &mut Vec<u8>, member: &[u8], score: f64) {
    put_bytes(out, member);
    put_score(out, score);
}

#[inline]
fn put_score(out: &mut Vec<u8>, score: f64) {
    // The bits of -0.0 are no integer's.
    if score.abs() <= EXACT_MAX as f64 && (score as i64 as f64).to_bits() == score.to_bits() {
        put_int(out, score as i64);
    } else {
        put_f64(out, score);
    }
}

/// `lines`: entries, one for the state, groups, consumers and pending entries together.
pub fn begin_stream(out: &mut Vec<u8>, lines: usize) {
    begin(out, Kind::Stream);
    put_array(out, lines);
}

const LINE_ENTRY: u64 = 0;
const LINE_STATE: u64 = 1;
const LINE_GROUP: u64 = 2;
const LINE_CONSUMER: u64 = 3;
const LINE_PENDING: u64 = 4;

fn begin_line(out: &mut Vec<u8>, len: usize, kind: u64) {
    put_array(out, len);
    put_uint(out, kind);
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_uint(out, id.ms);
    put_uint(out, id.seq);
}

pub fn stream_entry(out: &mut Vec<u8>, entry: &stream::Entry<'_>) {
    begin_line(out, 3 + 2 * entry.len(), LINE_ENTRY);
    put_id(out, entry.id);
    entry.pairs().for_each(|(field, value)| {
        put_bytes(out, field);
        put_bytes(out, value);
    });
}

/// The counters of a stream, behind its entries.
pub fn stream_state(out: &mut Vec<u8>, last_id: StreamId, max_deleted_id: StreamId, entries_added: u64) {
    begin_line(out, 6, LINE_STATE);
    put_id(out, last_id);
    put_id(out, max_deleted_id);
    put_uint(out, entries_added);
}

pub fn stream_group(out: &mut Vec<u8>, name: &[u8], group: &stream::Group) {
    begin_line(out, 5, LINE_GROUP);
    put_bytes(out, name);
    put_id(out, group.last_id);
    put_optional(out, group.entries_read);
}

pub fn stream_consumer(out: &mut Vec<u8>, consumer: &stream::Consumer) {
    begin_line(out, 4, LINE_CONSUMER);
    put_bytes(out, consumer.name());
    put_uint(out, consumer.seen_at);
    put_optional(out, consumer.active_at);
}

pub fn stream_pending(out: &mut Vec<u8>, id: StreamId, delivered_at: UnixMs, deliveries: u64) {
    begin_line(out, 5, LINE_PENDING);
    put_id(out, id);
    put_uint(out, delivered_at);
    put_uint(out, deliveries);
}

/// How many lines the groups of a stream take.
fn group_lines(stream: &Stream) -> usize {
    let groups = stream.groups().into_iter().flat_map(stream::Groups::iter);
    groups.map(|(_, group)| 1 + group.consumers() + group.pending()).sum()
}

fn write_stream(out: &mut Vec<u8>, stream: &Stream) {
    begin_stream(out, stream.len() as usize + 1 + group_lines(stream));
    stream.range(StreamId::MIN, StreamId::MAX).for_each(|entry| stream_entry(out, &entry));
    stream_state(out, stream.last_id(), stream.max_deleted_id(), stream.entries_added());
    stream_groups(stream, |line| line(out));
}

/// Calls `each` for every line of a stream's groups, with a function that writes it.
pub fn stream_groups(stream: &Stream, mut each: impl FnMut(&dyn Fn(&mut Vec<u8>))) {
    for (name, group) in stream.groups().into_iter().flat_map(stream::Groups::iter) {
        each(&|out| stream_group(out, name, group));
        for consumer in group.each_consumer() {
            each(&|out| stream_consumer(out, consumer));
            for id in consumer.pending_from(StreamId::MIN) {
                let Some(pending) = group.pending_at(id) else { continue };
                each(&|out| stream_pending(out, id, pending.delivered_at, pending.deliveries));
            }
        }
    }
}

/// Writes the beginning of a part (`Assembly::add`) whose elements are counted later, and returns where their number is to
/// be set (`set_count`). Not for strings, whose parts are strings.
pub(super) fn begin_counted(out: &mut Vec<u8>, kind: Kind) -> usize {
    let marker = match kind {
        Kind::Hash | Kind::ZSet => rmp::Marker::Map32,
        _ => rmp::Marker::Array32,
    };
    out.push(marker.to_u8());
    out.extend_from_slice(&[0; 4]);
    out.len() - 4
}

pub(super) fn set_count(out: &mut [u8], at: usize, count: u32) {
    out[at..at + 4].copy_from_slice(&count.to_be_bytes());
}

/// Reads a value.
///
/// Errors: the bytes are no value that `write` writes. The place of the reader is of no meaning then.
#[inline]
pub fn read<'a>(input: &mut Reader<'a>, limits: &Limits) -> Result<Loaded<'a>, Damage> {
    if input.is_pair() {
        return read_collection(input, limits);
    }
    Ok(match input.item()? {
        Item::Bytes(text) => Loaded::Str(Cow::Borrowed(text)),
        Item::Int(int) => Loaded::Int(int),
    })
}

fn read_collection<'a>(input: &mut Reader<'a>, limits: &Limits) -> Result<Loaded<'a>, Damage> {
    let at = input.at();
    let number = input.uint("the type of a value")?;
    match Kind::from_number(number) {
        Some(Kind::List) => read_list(input, limits).map(Loaded::List),
        Some(Kind::Set) => read_set(input, limits).map(Loaded::Set),
        Some(Kind::Hash) => read_hash(input, limits).map(Loaded::Hash),
        Some(Kind::ZSet) => read_zset(input, limits).map(Loaded::ZSet),
        Some(Kind::Stream) => {
            let mut lines = Lines::default();
            lines.read(input, limits)?;
            lines.finish(input).map(Loaded::Stream)
        }
        Some(Kind::Str) | None => Err(input.damage_at(at, format!("there is no type {number}"))),
    }
}

fn read_list(input: &mut Reader<'_>, limits: &Limits) -> Result<List, Damage> {
    let mut list = List::new();
    add_items(&mut list, input, limits)?;
    if list.is_empty() { Err(input.damage(EMPTY)) } else { Ok(list) }
}

fn add_items(list: &mut List, input: &mut Reader<'_>, limits: &Limits) -> Result<(), Damage> {
    for _ in 0..input.array("the elements of a list")? {
        list.push_item(End::Tail, input.item()?, limits);
    }
    Ok(())
}

/// The elements of a collection, walked as often as wanted: once to see how long they are, then to take them over. Reading is
/// cheap beside making room for elements. Where damage is, the walk ends and tells `outcome`.
#[derive(Clone)]
struct Elements<'a, 'o, F> {
    input: Reader<'a>,
    left: usize,
    read: F,
    outcome: &'o Outcome,
}

/// How walks ended.
#[derive(Default)]
struct Outcome {
    damage: Cell<Option<Damage>>,
    /// The place behind the last element.
    end: Cell<usize>,
}

impl<'a, T, F: Fn(&mut Reader<'a>) -> Result<T, Damage>> Iterator for Elements<'a, '_, F> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        match (self.read)(&mut self.input) {
            Ok(element) => {
                if self.left == 0 {
                    self.outcome.end.set(self.input.at());
                }
                Some(element)
            }
            Err(damage) => {
                self.left = 0;
                self.outcome.damage.set(Some(damage));
                None
            }
        }
    }
}

const EMPTY: &str = "a collection without elements";
const TWICE: &str = "an element that comes twice";

/// Makes a collection of `len` elements that are read by `read`. `build` may walk over them again and again, at last over all;
/// none: an element comes twice.
#[inline]
fn collect<'a, T, F: Fn(&mut Reader<'a>) -> Result<T, Damage> + Clone, C>(
    input: &mut Reader<'a>,
    len: usize,
    read: F,
    build: impl FnOnce(Elements<'a, '_, F>) -> Option<C>,
) -> Result<C, Damage> {
    let at = input.at();
    if len == 0 {
        return Err(input.damage(EMPTY));
    }
    let outcome = Outcome::default();
    let collection = build(Elements { input: input.clone(), left: len, read, outcome: &outcome });
    match (outcome.damage.take(), collection) {
        (Some(damage), _) => Err(damage),
        (None, None) => Err(input.damage_at(at, TWICE)),
        (None, Some(collection)) => {
            input.go_to(outcome.end.get());
            Ok(collection)
        }
    }
}

fn read_set(input: &mut Reader<'_>, limits: &Limits) -> Result<Set, Damage> {
    let len = input.array("the members of a set")?;
    collect(input, len, Reader::item, |members| Set::of_members(members, limits))
}

type Field<'a> = (Item<'a>, Item<'a>, Option<UnixMs>);

#[inline]
fn field<'a>(input: &mut Reader<'a>) -> Result<Field<'a>, Damage> {
    let name = input.item()?;
    if input.is_pair() {
        return Ok((name, input.item()?, Some(moment(input, "when a field expires")?)));
    }
    Ok((name, input.item()?, None))
}

fn read_hash(input: &mut Reader<'_>, limits: &Limits) -> Result<Hash, Damage> {
    let len = input.map("the fields of a hash")?;
    collect(input, len, field, |fields| Hash::of_fields(fields, limits))
}

#[inline]
fn pair<'a>(input: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), Damage> {
    Ok((input.string("a field")?, input.string("a value")?))
}

#[inline]
fn scored<'a>(input: &mut Reader<'a>) -> Result<(Item<'a>, f64), Damage> {
    Ok((input.item()?, input.score()?))
}

fn read_zset(input: &mut Reader<'_>, limits: &Limits) -> Result<ZSet, Damage> {
    let len = input.map("the members of a sorted set")?;
    collect(input, len, scored, |members| ZSet::of_members(members, limits))
}

/// A moment.
#[inline]
pub(super) fn moment(input: &mut Reader<'_>, what: &str) -> Result<UnixMs, Damage> {
    limited(input, MOMENT_MAX, what)
}

/// A moment, or that there is none.
#[inline]
pub(super) fn optional_moment(input: &mut Reader<'_>, what: &str) -> Result<Option<UnixMs>, Damage> {
    optional_limited(input, MOMENT_MAX, what)
}

#[inline]
fn limited(input: &mut Reader<'_>, max: u64, what: &str) -> Result<u64, Damage> {
    let at = input.at();
    match input.uint(what)? {
        number if number > max => Err(input.damage_at(at, format!("{number} is too large for {what}"))),
        number => Ok(number),
    }
}

#[inline]
fn optional_limited(input: &mut Reader<'_>, max: u64, what: &str) -> Result<Option<u64>, Damage> {
    let at = input.at();
    match input.optional(what)? {
        Some(number) if number > max => Err(input.damage_at(at, format!("{number} is too large for {what}"))),
        number => Ok(number),
    }
}

fn id(input: &mut Reader<'_>) -> Result<StreamId, Damage> {
    Ok(StreamId::new(input.uint("the id of an entry")?, input.uint("the id of an entry")?))
}

/// A stream as far as its lines have been read.
#[derive(Default)]
struct Lines {
    stream: Box<Stream>,
    /// Its counters are set: no more entries.
    has_state: bool,
    group: Option<Box<[u8]>>,
    consumer: Option<stream::ConsumerNo>,
}

impl Lines {
    fn read(&mut self, input: &mut Reader<'_>, limits: &Limits) -> Result<(), Damage> {
        for _ in 0..input.array("the lines of a stream")? {
            self.line(input, limits)?;
        }
        Ok(())
    }

    fn finish(self, input: &Reader<'_>) -> Result<Box<Stream>, Damage> {
        if self.has_state { Ok(self.stream) } else { Err(input.damage("a stream without its last id")) }
    }

    fn line(&mut self, input: &mut Reader<'_>, limits: &Limits) -> Result<(), Damage> {
        let at = input.at();
        let len = input.array("a line of a stream")?;
        let kind = input.uint("the kind of a line")?;
        match (kind, len) {
            (LINE_ENTRY, 5..) if len % 2 == 1 && !self.has_state => self.entry(input, (len - 3) / 2, limits),
            (LINE_STATE, 6) if !self.has_state => self.state(input),
            (LINE_GROUP, 5) if self.has_state => self.new_group(input),
            (LINE_CONSUMER, 4) => self.new_consumer(input),
            (LINE_PENDING, 5) => self.pending(input),
            _ => Err(input.damage_at(at, format!("a line of kind {kind} with {len} elements does not belong here"))),
        }
    }

    fn entry(&mut self, input: &mut Reader<'_>, count: usize, limits: &Limits) -> Result<(), Damage> {
        let at = input.at();
        let id = id(input)?;
        if id <= self.stream.last_id() {
            return Err(input.damage_at(at, format!("entry {id} behind entry {}", self.stream.last_id())));
        }
        let (mut walk, mut size) = (input.clone(), 0);
        for _ in 0..count {
            let (field, value) = pair(&mut walk)?;
            size += field.len() + value.len();
        }
        if size > ENTRY_BYTES_MAX {
            return Err(input.damage_at(at, format!("an entry of {size} bytes")));
        }
        let limits = NodeLimits { bytes: limits.stream_node_bytes, entries: limits.stream_node_entries };
        collect(input, count, pair, |pairs| {
            self.stream.append(id, count, size, pairs, limits);
            Some(())
        })
    }

    fn state(&mut self, input: &mut Reader<'_>) -> Result<(), Damage> {
        let at = input.at();
        let last_id = id(input)?;
        if last_id < self.stream.last_id() {
            return Err(input.damage_at(at, format!("{last_id} as the last id behind entry {}", self.stream.last_id())));
        }
        self.stream.set_last_id(last_id);
        self.stream.set_max_deleted_id(id(input)?);
        self.stream.set_entries_added(limited(input, COUNTER_MAX, "how many entries were added")?);
        self.has_state = true;
        Ok(())
    }

    fn new_group(&mut self, input: &mut Reader<'_>) -> Result<(), Damage> {
        let at = input.at();
        let name = input.string("the name of a group")?;
        let (last_id, entries_read) = (id(input)?, optional_limited(input, COUNTER_MAX, "how many entries were read")?);
        if !self.stream.create_group(name, last_id, entries_read) {
            return Err(input.damage_at(at, "a group that comes twice"));
        }
        (self.group, self.consumer) = (Some(name.into()), None);
        Ok(())
    }

    fn new_consumer(&mut self, input: &mut Reader<'_>) -> Result<(), Damage> {
        let at = input.at();
        let name = input.string("the name of a consumer")?;
        let seen_at = moment(input, "when a consumer was seen")?;
        let active_at = optional_moment(input, "when a consumer was active")?;
        let Some(group) = &self.group else { return Err(input.damage_at(at, "a consumer without a group")) };
        self.consumer = self
            .stream
            .edit_group(group, |group, _| {
                let number = group.create(name, seen_at)?;
                group.consumer_mut(number).active_at = active_at;
                Some(number)
            })
            .flatten();
        self.consumer.map(|_| ()).ok_or_else(|| input.damage_at(at, "a consumer that comes twice"))
    }

    fn pending(&mut self, input: &mut Reader<'_>) -> Result<(), Damage> {
        let at = input.at();
        let id = id(input)?;
        let delivered_at = moment(input, "when an entry was delivered")?;
        let deliveries = limited(input, COUNTER_MAX, "how often an entry was delivered")?;
        let (Some(group), Some(consumer)) = (&self.group, self.consumer) else {
            return Err(input.damage_at(at, "a pending entry without a consumer"));
        };
        let fresh = self.stream.edit_group(group, |group, _| {
            let fresh = group.pending_at(id).is_none();
            group.set_pending(id, Pending { consumer, delivered_at, deliveries });
            fresh
        });
        if fresh == Some(true) { Ok(()) } else { Err(input.damage_at(at, format!("entry {id} is pending twice"))) }
    }
}

/// A value that comes in parts.
pub struct Assembly(Parts);

enum Parts {
    Str(Vec<u8>),
    List(List),
    Set(Set),
    Hash(Hash),
    ZSet(Box<zset::Builder>),
    Stream(Lines),
}

impl Assembly {
    pub fn new(kind: Kind, limits: &Limits) -> Assembly {
        Assembly(match kind {
            Kind::Str => Parts::Str(Vec::new()),
            Kind::List => Parts::List(List::new()),
            Kind::Set => Parts::Set(Set::new()),
            Kind::Hash => Parts::Hash(Hash::new()),
            Kind::ZSet => Parts::ZSet(Box::new(zset::Builder::new(limits))),
            Kind::Stream => Parts::Stream(Lines::default()),
        })
    }

    /// Reads a part: a bin of a string, a map or array of elements of everything else.
    pub fn add(&mut self, input: &mut Reader<'_>, limits: &Limits) -> Result<(), Damage> {
        let at = input.at();
        let fresh = match &mut self.0 {
            Parts::Str(text) => {
                text.extend_from_slice(input.string("a part of a string")?);
                true
            }
            Parts::List(list) => {
                add_items(list, input, limits)?;
                true
            }
            Parts::Set(set) => each(input.array("members of a set")?, || Ok(set.add_member(input.item()?, limits)))?,
            Parts::Hash(hash) => each(input.map("fields of a hash")?, || {
                let (name, value, expire_at) = field(input)?;
                let (mut digits, mut value_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
                let ttl = expire_at.map_or(Ttl::Clear, Ttl::At);
                // Nothing is due before time begins.
                Ok(hash.set_with(name.text(&mut digits), value.text(&mut value_digits), ttl, 0, limits))
            })?,
            Parts::ZSet(zset) => each(input.map("members of a sorted set")?, || {
                let (member, score) = scored(input)?;
                Ok(zset.add(member, score))
            })?,
            Parts::Stream(lines) => {
                lines.read(input, limits)?;
                true
            }
        };
        if fresh { Ok(()) } else { Err(input.damage_at(at, TWICE)) }
    }

    /// The value. `input`: behind the last part.
    pub fn finish(self, input: &Reader<'_>, limits: &Limits) -> Result<Loaded<'static>, Damage> {
        let (len, loaded) = match self.0 {
            Parts::Str(text) => return Ok(Loaded::Str(Cow::Owned(text))),
            Parts::Stream(lines) => return lines.finish(input).map(Loaded::Stream),
            Parts::List(list) => (list.len(), Loaded::List(list)),
            Parts::Set(set) => (set.len(), Loaded::Set(set)),
            Parts::Hash(hash) => (hash.len(), Loaded::Hash(hash)),
            Parts::ZSet(zset) => {
                let zset = zset.finish(limits);
                (zset.len(), Loaded::ZSet(zset))
            }
        };
        if len == 0 { Err(input.damage(EMPTY)) } else { Ok(loaded) }
    }
}

/// Whether `one` said yes each of so many times.
fn each(len: usize, mut one: impl FnMut() -> Result<bool, Damage>) -> Result<bool, Damage> {
    for _ in 0..len {
        if !one()? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
