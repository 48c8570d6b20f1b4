//! Export: all keys of a server, read over the wire, into a file.
//!
//! Per database: SCAN, then rounds of keys, each round four trips at most however many keys it has:
//!
//! ```text
//! TYPE, PEXPIRETIME     of every key
//! first part            of every key: the whole of most
//! HPEXPIRETIME          of the hashes' fields, where the server knows it
//! EXISTS                of strings that seem empty
//! ```
//!
//! and then, key by key, the further parts of the big ones. Rounds grow and shrink with the bytes that the last one
//! brought, so that memory stays bounded without asking how large values are.
//!
//! The export is of no single moment: others may write while it is read, and a value that is read in parts may be partly
//! old and partly new. A key that changes its type meanwhile is read again; one that goes is left out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

use kv_core::resp::client::Value as Reply;
use kv_core::resp::number::parse_f64;

use super::file::Writer;
use super::item::{Bytes, Consumer, Entry, Field, Group, Id, Item, Pending, Scored, StreamPart, StreamState, Value};
use crate::progress::Progress;
use crate::wire::{Problem, Wire, error_text, info_field, number, text_of, time_of, unexpected};

/// Keys that a SCAN is asked for, and the most of a round.
const SCAN_KEYS: usize = 1000;
/// A round that brought less is followed by one of twice as many keys; one that brought four times as much by half.
const ROUND_BYTES: usize = 1 << 20;
/// Elements of the first part of a collection.
const FIRST_ELEMENTS: usize = 128;
/// Elements of a further part at most; fewer when they are long.
const PART_ELEMENTS_MAX: usize = 8192;
/// Bytes that a further part should have.
const PART_BYTES: usize = 1 << 20;
const FIRST_STRING_BYTES: usize = 64 << 10;
const PART_STRING_BYTES: usize = 4 << 20;
/// Up to so many pending entries of a group are read with the exact moments of their delivery.
const EXACT_PENDING_MAX: usize = 2000;
/// Fields that one HPEXPIRETIME asks for, and pending entries that one XPENDING does.
const ASKED_AT_ONCE: usize = 1000;

/// What an export did.
#[derive(Debug, Default)]
pub struct Exported {
    pub keys: u64,
    pub databases: usize,
    pub bytes: u64,
    /// Keys of types that have no form in a file, by type.
    pub strange: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    String,
    List,
    Set,
    ZSet,
    Hash,
    Stream,
}

/// A key of a round.
struct Subject {
    key: Bytes,
    kind: Kind,
    expire_at: Option<u64>,
}

/// How a walk over a value goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Done,
    /// The cursor of a SCAN command.
    Cursor(Vec<u8>),
    /// Elements or bytes that are done.
    From(usize),
    /// The last id read.
    After(Id),
    /// The entries of a stream are read; so many pending ones of each group are to be asked for.
    State(usize),
    /// Groups of which more is pending behind an id; the last one is next.
    Pending(Vec<(Bytes, Id)>),
}

/// A part of a value as read.
struct Part {
    value: Value,
    next: Next,
    /// How many elements the next part is to have.
    elements: usize,
}

/// Why a reply gave no part.
enum Miss {
    /// The key has another type now, or is gone.
    Changed,
    Problem(Problem),
}

impl<P: Into<Problem>> From<P> for Miss {
    fn from(problem: P) -> Miss {
        Miss::Problem(problem.into())
    }
}

pub struct Exporter<'a, W> {
    wire: Wire,
    writer: Writer<W>,
    pattern: Option<&'a [u8]>,
    progress: Progress,
    done: Exported,
    db: u32,
    round_keys: usize,
    /// PEXPIRETIME is of 7.0; before it PTTL has to do.
    knows_pexpiretime: bool,
    /// HPEXPIRETIME is of 7.4.
    knows_field_ttls: bool,
}

/// The databases that have keys, with how many.
pub fn databases(wire: &mut Wire) -> Result<Vec<(u32, u64)>, Problem> {
    let reply = wire.demand(&["INFO", "keyspace"])?;
    let text = text_of(&reply);
    let line = |line: &str| {
        let (name, figures) = line.split_once(':')?;
        let db = name.strip_prefix("db")?.parse().ok()?;
        let keys = figures.split(',').find_map(|figure| figure.strip_prefix("keys="))?.trim().parse().ok()?;
        Some((db, keys))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// The server's name and version, as far as it tells them.
pub fn server_name(wire: &mut Wire) -> Result<String, Problem> {
    let text = wire.server_info()?;
    Ok(match (info_field(&text, "kv_version"), info_field(&text, "redis_version")) {
        (Some(version), _) => format!("kv {version}"),
        (None, Some(version)) => format!("redis {version}"),
        (None, None) => "unknown".to_owned(),
    })
}

impl<'a, W: Write> Exporter<'a, W> {
    pub fn new(
        mut wire: Wire,
        writer: Writer<W>,
        pattern: Option<&'a [u8]>,
        progress: Progress,
    ) -> Result<Self, Problem> {
        let mut knows = |request: &[&str]| -> Result<bool, Problem> {
            let reply = wire.ask(request)?;
            Ok(!error_text(&reply).is_some_and(|text| text.contains("unknown command")))
        };
        let knows_pexpiretime = knows(&["PEXPIRETIME", ""])?;
        let knows_field_ttls = knows(&["HPEXPIRETIME", "", "FIELDS", "1", ""])?;
        Ok(Exporter {
            wire,
            writer,
            pattern,
            progress,
            done: Exported::default(),
            db: 0,
            round_keys: 16,
            knows_pexpiretime,
            knows_field_ttls,
        })
    }

    /// Writes all keys of a database.
    pub fn database(&mut self, db: u32) -> Result<(), Problem> {
        self.wire.demand(&["SELECT", &db.to_string()])?;
        self.db = db;
        let before = self.done.keys;
        let mut cursor = b"0".to_vec();
        loop {
            let count = SCAN_KEYS.to_string();
            let mut request: Vec<&[u8]> = vec![b"SCAN", &cursor, b"COUNT", count.as_bytes()];
            if let Some(pattern) = self.pattern {
                request.extend([&b"MATCH"[..], pattern]);
            }
            let reply = self.wire.ask(&request)?;
            let (next, keys) = scanned("SCAN", reply)?;
            let mut seen = HashSet::new();
            let keys: Vec<Bytes> = keys.into_iter().filter(|key| seen.insert(key.clone())).collect();
            let mut rest = keys.as_slice();
            while !rest.is_empty() {
                let (round, later) = rest.split_at(self.round_keys.min(rest.len()));
                let bytes = self.keys(round)?;
                rest = later;
                if bytes < ROUND_BYTES {
                    self.round_keys = (self.round_keys * 2).min(SCAN_KEYS);
                } else if bytes > 4 * ROUND_BYTES {
                    self.round_keys = (self.round_keys / 2).max(1);
                }
                self.progress.at_least(self.done.keys);
            }
            if next == b"0" {
                break;
            }
            cursor = next;
        }
        self.done.databases += usize::from(self.done.keys > before);
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<Exported, Problem> {
        self.done.bytes = self.writer.bytes();
        self.writer.end(self.done.keys).map_err(|error| output(&error))?;
        Ok(self.done)
    }

    /// Writes some keys, and tells how many bytes their first parts had.
    fn keys(&mut self, keys: &[Bytes]) -> Result<usize, Problem> {
        let mut bytes = 0;
        let mut subjects = self.look_up(keys)?;
        while !subjects.is_empty() {
            let parts = self.first_parts(&subjects)?;
            let mut changed = Vec::new();
            for (subject, part) in subjects.into_iter().zip(parts) {
                match part {
                    Ok(part) => {
                        bytes += part.value.size();
                        self.write(&subject, part)?;
                    }
                    Err(Miss::Changed) => changed.push(subject.key),
                    Err(Miss::Problem(problem)) => return Err(self.with_key(&subject.key, problem)),
                }
            }
            // What changed is looked up again; what is gone is not found again.
            subjects = self.look_up(&changed)?;
        }
        Ok(bytes)
    }

    fn with_key(&self, key: &Bytes, problem: Problem) -> Problem {
        match problem {
            Problem::Failed(text) => Problem::Failed(format!("key {key} of database {}: {text}", self.db)),
            other => other,
        }
    }

    fn look_up(&mut self, keys: &[Bytes]) -> Result<Vec<Subject>, Problem> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let expiry: &[u8] = if self.knows_pexpiretime { b"PEXPIRETIME" } else { b"PTTL" };
        for key in keys {
            self.wire.push(&[&b"TYPE"[..], &key.0]);
            self.wire.push(&[expiry, &key.0]);
        }
        if !self.knows_pexpiretime {
            self.wire.push(&["TIME"]);
        }
        self.wire.send()?;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let (kind, expiry) = (self.wire.read()?, self.wire.read()?);
            for (command, reply) in [("TYPE", &kind), ("its expiry", &expiry)] {
                if let Some(text) = error_text(reply) {
                    return Err(self.with_key(key, Problem::Failed(format!("{command}: {text}"))));
                }
            }
            let kind = match kind.bytes().unwrap_or_default() {
                b"string" => Kind::String,
                b"list" => Kind::List,
                b"set" => Kind::Set,
                b"zset" => Kind::ZSet,
                b"hash" => Kind::Hash,
                b"stream" => Kind::Stream,
                b"none" => continue,
                other => {
                    *self.done.strange.entry(String::from_utf8_lossy(other).into_owned()).or_default() += 1;
                    continue;
                }
            };
            found.push(Subject { key: key.clone(), kind, expire_at: number(&expiry) });
        }
        if !self.knows_pexpiretime {
            let reply = self.wire.read()?;
            let now = time_of(&reply).ok_or_else(|| unexpected("TIME", &reply))?;
            for subject in &mut found {
                subject.expire_at = subject.expire_at.map(|span| span.saturating_add(now));
            }
        }
        Ok(found)
    }

    fn first_parts(&mut self, subjects: &[Subject]) -> Result<Vec<Result<Part, Miss>>, Problem> {
        for subject in subjects {
            let first = match subject.kind {
                Kind::String | Kind::List => Next::From(0),
                Kind::Set | Kind::ZSet | Kind::Hash => Next::Cursor(b"0".to_vec()),
                Kind::Stream => Next::After(Id::new(0, 0)),
            };
            self.ask_part(subject, &first, FIRST_ELEMENTS, FIRST_STRING_BYTES);
            if subject.kind == Kind::Stream {
                self.ask_state(subject, FIRST_ELEMENTS);
            }
        }
        self.wire.send()?;
        let mut parts = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let reply = self.wire.read()?;
            let mut part = read_part(subject.kind, reply, &Next::From(0), FIRST_ELEMENTS, FIRST_STRING_BYTES);
            if subject.kind == Kind::Stream {
                let state = self.wire.read()?;
                part = part.and_then(|mut part| {
                    if part.next == Next::Done {
                        part.add_state(&state, FIRST_ELEMENTS)?;
                    }
                    Ok(part)
                });
            }
            parts.push(part);
        }
        self.leave_out_what_is_gone(subjects, &mut parts)?;
        let hashes = parts.iter_mut().zip(subjects).filter_map(|(part, subject)| match part {
            Ok(Part { value: Value::Hash(fields), .. }) => Some((&subject.key, fields)),
            _ => None,
        });
        field_ttls(&mut self.wire, self.knows_field_ttls, hashes.collect())?;
        Ok(parts)
    }

    /// An empty string may be a key that went between TYPE and GETRANGE. (Empty collections are keys that went.)
    fn leave_out_what_is_gone(
        &mut self,
        subjects: &[Subject],
        parts: &mut [Result<Part, Miss>],
    ) -> Result<(), Problem> {
        let mut seem_empty = Vec::new();
        for (subject, part) in subjects.iter().zip(parts) {
            let Ok(Part { value, next: Next::Done, .. }) = &*part else { continue };
            match value {
                Value::String(bytes) if bytes.0.is_empty() => {
                    self.wire.push(&[&b"EXISTS"[..], &subject.key.0]);
                    seem_empty.push(part);
                }
                Value::String(_) | Value::Stream(_) => {}
                _ if value.is_empty() => *part = Err(Miss::Changed),
                _ => {}
            }
        }
        self.wire.send()?;
        for part in seem_empty {
            if self.wire.read()? != Reply::Int(1) {
                *part = Err(Miss::Changed);
            }
        }
        Ok(())
    }

    fn ask_part(&mut self, subject: &Subject, from: &Next, elements: usize, string_bytes: usize) {
        let key = subject.key.0.as_slice();
        let count = elements.to_string();
        match (subject.kind, from) {
            (_, Next::Done | Next::State(_) | Next::Pending(_)) => {}
            (Kind::String, Next::From(start)) => {
                let end = (start + string_bytes - 1).to_string();
                self.wire.push(&[b"GETRANGE", key, start.to_string().as_bytes(), end.as_bytes()]);
            }
            (_, Next::From(start)) => {
                let end = (start + elements - 1).to_string();
                self.wire.push(&[b"LRANGE", key, start.to_string().as_bytes(), end.as_bytes()]);
            }
            (kind, Next::Cursor(cursor)) => {
                let command: &[u8] = match kind {
                    Kind::Set => b"SSCAN",
                    Kind::ZSet => b"ZSCAN",
                    _ => b"HSCAN",
                };
                self.wire.push(&[command, key, cursor, b"COUNT", count.as_bytes()]);
            }
            (_, Next::After(id)) => {
                let from = match id.0.next() {
                    Some(next) if *id != Id::new(0, 0) => Id(next).to_string(),
                    _ => "-".to_owned(),
                };
                self.wire.push(&[b"XRANGE", key, from.as_bytes(), b"+", b"COUNT", count.as_bytes()]);
            }
        }
    }

    /// Writes a key whose first part is read, reading what follows.
    fn write(&mut self, subject: &Subject, first: Part) -> Result<(), Problem> {
        let mut part = first;
        // A scan may begin with nothing.
        while part.value.is_empty() && part.next != Next::Done {
            part = match self.next_part(subject, part)? {
                Some(part) => part,
                None => return Ok(()),
            };
        }
        if part.value.is_empty() && subject.kind != Kind::Stream {
            return Ok(());
        }
        self.done.keys += 1;
        let mut continued = false;
        loop {
            let more = part.next != Next::Done;
            let value = std::mem::replace(&mut part.value, subject.kind.nothing());
            let elements = (value.size(), value.len());
            let (key, expire_at) = (subject.key.clone(), subject.expire_at);
            let item = Item { db: self.db, key, expire_at, continued, more, value };
            self.writer.item(&item).map_err(|error| output(&error))?;
            if !more {
                return Ok(());
            }
            continued = true;
            part.elements = part_elements(elements.0, elements.1);
            // What is there now may be another value: what was read of the old one is what there is.
            let nothing = Part::last(subject.kind.nothing());
            part = self.next_part(subject, part)?.unwrap_or(nothing);
        }
    }

    /// The part behind one; none when the key is gone or has another type now.
    fn next_part(&mut self, subject: &Subject, before: Part) -> Result<Option<Part>, Problem> {
        match self.try_next_part(subject, before) {
            Ok(part) => Ok(Some(part)),
            Err(Miss::Changed) => Ok(None),
            Err(Miss::Problem(problem)) => Err(self.with_key(&subject.key, problem)),
        }
    }

    fn try_next_part(&mut self, subject: &Subject, before: Part) -> Result<Part, Miss> {
        if let Next::Pending(mut groups) = before.next {
            return match groups.pop() {
                Some((name, after)) => self.more_pending(subject, name, after, groups),
                None => Ok(Part::last(subject.kind.nothing())),
            };
        }
        if let Next::State(count) = before.next {
            self.ask_state(subject, count);
            self.wire.send()?;
            let reply = self.wire.read()?;
            let mut part = Part::last(subject.kind.nothing());
            part.add_state(&reply, count)?;
            return Ok(part);
        }
        self.ask_part(subject, &before.next, before.elements, PART_STRING_BYTES);
        self.wire.send()?;
        let reply = self.wire.read()?;
        let mut part = read_part(subject.kind, reply, &before.next, before.elements, PART_STRING_BYTES)?;
        if subject.kind == Kind::Stream && part.next == Next::Done {
            part.next = Next::State(FIRST_ELEMENTS);
        }
        if let Value::Hash(fields) = &mut part.value {
            field_ttls(&mut self.wire, self.knows_field_ttls, vec![(&subject.key, fields)])?;
        }
        Ok(part)
    }

    fn ask_state(&mut self, subject: &Subject, count: usize) {
        let count = count.to_string();
        self.wire.push(&[b"XINFO".as_slice(), b"STREAM", &subject.key.0, b"FULL", b"COUNT", count.as_bytes()]);
    }

    /// What is pending in a group behind an id, where that is more than XINFO should tell at once. Idle times become moments by the server's
    /// clock, which may be off by what passes between two commands of a pipeline.
    fn more_pending(
        &mut self,
        subject: &Subject,
        name: Bytes,
        after: Id,
        mut groups: Vec<(Bytes, Id)>,
    ) -> Result<Part, Miss> {
        let (from, count) = (format!("({after}"), ASKED_AT_ONCE.to_string());
        self.wire.push(&["TIME"]);
        self.wire.push(&[b"XPENDING", subject.key.0.as_slice(), &name.0, from.as_bytes(), b"+", count.as_bytes()]);
        self.wire.send()?;
        let (now, reply) = (self.wire.read()?, self.wire.read()?);
        let now = time_of(&now).ok_or_else(|| unexpected("TIME", &now))?;
        let Reply::Array(rows) = checked("XPENDING", reply)? else { return Err(Miss::Changed) };
        let mut consumers: Vec<Consumer> = Vec::new();
        for row in &rows {
            let pending = (|| {
                let [id, consumer, idle, deliveries] = array(row)? else { return None };
                let delivered_at = now.saturating_sub(number(idle)?);
                let pending = Pending { id: Id::parse(id.bytes()?)?, delivered_at, deliveries: number(deliveries)? };
                Some((consumer.bytes()?, pending))
            })();
            let (consumer, pending) = pending.ok_or_else(|| unexpected("XPENDING", row))?;
            add_pending(&mut consumers, consumer, pending);
            if rows.len() == ASKED_AT_ONCE && std::ptr::eq(row, &rows[ASKED_AT_ONCE - 1]) {
                groups.push((name.clone(), pending.id));
            }
        }
        let group = Group { name, last_id: None, entries_read: None, consumers };
        let value = Value::Stream(StreamPart { groups: vec![group], ..StreamPart::default() });
        let next = if groups.is_empty() { Next::Done } else { Next::Pending(groups) };
        Ok(Part { value, next, elements: FIRST_ELEMENTS })
    }
}

/// So many elements that they should have the bytes of a part, if they are like those of the last one.
fn part_elements(bytes: usize, elements: usize) -> usize {
    (PART_BYTES.saturating_mul(elements.max(1)) / bytes.max(1)).clamp(1, PART_ELEMENTS_MAX)
}

fn add_pending(consumers: &mut Vec<Consumer>, name: &[u8], pending: Pending) {
    match consumers.iter_mut().rfind(|consumer| consumer.name.0 == name) {
        Some(consumer) => consumer.pending.push(pending),
        None => {
            let consumer = Consumer { name: name.into(), seen_at: None, active_at: None, pending: vec![pending] };
            consumers.push(consumer);
        }
    }
}

impl Kind {
    fn nothing(self) -> Value {
        match self {
            Kind::String => Value::String(Bytes::default()),
            Kind::List => Value::List(Vec::new()),
            Kind::Set => Value::Set(Vec::new()),
            Kind::ZSet => Value::ZSet(Vec::new()),
            Kind::Hash => Value::Hash(Vec::new()),
            Kind::Stream => Value::Stream(StreamPart::default()),
        }
    }
}

impl Part {
    fn last(value: Value) -> Part {
        Part { value, next: Next::Done, elements: 0 }
    }

    /// Adds what XINFO STREAM FULL tells of a stream whose entries are read, `count` pending ones of each group. When
    /// there are more it is asked again, for all if they are not too many: it tells exactly when they were delivered.
    fn add_state(&mut self, reply: &Reply, count: usize) -> Result<(), Miss> {
        if let Some(text) = error_text(reply) {
            return Err(miss("XINFO STREAM FULL", text));
        }
        let told = read_state(reply).ok_or_else(|| unexpected("XINFO STREAM FULL", reply))?;
        let FullState { state, groups, rest, most_pending } = told;
        if !rest.is_empty() && count < EXACT_PENDING_MAX && most_pending <= EXACT_PENDING_MAX {
            self.next = Next::State(EXACT_PENDING_MAX);
            return Ok(());
        }
        if let Value::Stream(part) = &mut self.value {
            (part.state, part.groups) = (Some(state), groups);
        }
        if !rest.is_empty() {
            self.next = Next::Pending(rest);
        }
        Ok(())
    }
}

pub(super) fn output(error: &std::io::Error) -> Problem {
    Problem::Failed(format!("standard output: {error}"))
}

fn miss(command: &str, text: String) -> Miss {
    if text.starts_with("WRONGTYPE") || text.starts_with("ERR no such key") || text.starts_with("NOGROUP") {
        Miss::Changed
    } else {
        Miss::Problem(Problem::Failed(format!("{command}: {text}")))
    }
}

fn checked(command: &str, reply: Reply) -> Result<Reply, Miss> {
    match error_text(&reply) {
        Some(text) => Err(miss(command, text)),
        None => Ok(reply),
    }
}

fn array(reply: &Reply) -> Option<&[Reply]> {
    match reply {
        Reply::Array(items) => Some(items),
        _ => None,
    }
}

fn into_bytes(reply: Reply) -> Option<Bytes> {
    match reply {
        Reply::Bulk(bytes) | Reply::Simple(bytes) => Some(Bytes(bytes)),
        Reply::Int(number) => Some(Bytes(number.to_string().into_bytes())),
        _ => None,
    }
}

fn into_all_bytes(reply: Reply) -> Option<Vec<Bytes>> {
    match reply {
        Reply::Array(items) => items.into_iter().map(into_bytes).collect(),
        _ => None,
    }
}

/// The cursor and the elements of a reply of the SCAN family.
fn scanned(command: &str, reply: Reply) -> Result<(Vec<u8>, Vec<Bytes>), Problem> {
    if let Some(text) = error_text(&reply) {
        return Err(Problem::Failed(format!("{command}: {text}")));
    }
    let bad = || Problem::failed(format!("{command}: an unexpected reply"));
    let Reply::Array(parts) = reply else { return Err(bad()) };
    let [cursor, elements] = <[Reply; 2]>::try_from(parts).map_err(|_| bad())?;
    let cursor = into_bytes(cursor).ok_or_else(bad)?.0;
    Ok((cursor, into_all_bytes(elements).ok_or_else(bad)?))
}

/// What a reply to the request of [`Exporter::ask_part`] holds.
fn read_part(kind: Kind, reply: Reply, from: &Next, elements: usize, string_bytes: usize) -> Result<Part, Miss> {
    let reply = checked("reading it", reply)?;
    let bad = || Miss::Problem(Problem::failed("an unexpected reply"));
    let begun = match from {
        Next::From(start) => *start,
        _ => 0,
    };
    let scan = |reply| {
        let (cursor, items) = scanned("reading it", reply)?;
        let next = if cursor == b"0" { Next::Done } else { Next::Cursor(cursor) };
        Ok::<_, Miss>((items, next))
    };
    let (value, next) = match kind {
        Kind::String => {
            let bytes = into_bytes(reply).ok_or_else(bad)?;
            let next = if bytes.0.len() < string_bytes { Next::Done } else { Next::From(begun + string_bytes) };
            (Value::String(bytes), next)
        }
        Kind::List => {
            let items = into_all_bytes(reply).ok_or_else(bad)?;
            let next = if items.len() < elements { Next::Done } else { Next::From(begun + elements) };
            (Value::List(items), next)
        }
        Kind::Set => {
            let (items, next) = scan(reply)?;
            (Value::Set(items), next)
        }
        Kind::ZSet => {
            let (items, next) = scan(reply)?;
            let scored = pairs(items).map(|(member, score)| {
                let score = parse_f64(&score.0).ok_or_else(bad)?;
                Ok::<_, Miss>(Scored { member, score })
            });
            (Value::ZSet(scored.collect::<Result<_, _>>()?), next)
        }
        Kind::Hash => {
            let (items, next) = scan(reply)?;
            let fields = pairs(items).map(|(name, value)| Field { name, value, expire_at: None });
            (Value::Hash(fields.collect()), next)
        }
        Kind::Stream => {
            let Reply::Array(rows) = reply else { return Err(bad()) };
            let rows: Option<Vec<Entry>> = rows.into_iter().map(read_entry).collect();
            let entries = rows.ok_or_else(bad)?;
            let next = match entries.last() {
                Some(last) if entries.len() >= elements => Next::After(last.id),
                _ => Next::Done,
            };
            (Value::Stream(StreamPart { entries, ..StreamPart::default() }), next)
        }
    };
    Ok(Part { value, next, elements })
}

fn pairs(items: Vec<Bytes>) -> impl Iterator<Item = (Bytes, Bytes)> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

fn read_entry(row: Reply) -> Option<Entry> {
    let Reply::Array(row) = row else { return None };
    let [id, fields] = <[Reply; 2]>::try_from(row).ok()?;
    Some(Entry { id: Id::parse(id.bytes()?)?, fields: into_all_bytes(fields)? })
}

/// Names and values by turns.
struct Named<'a>(HashMap<&'a [u8], &'a Reply>);

impl<'a> Named<'a> {
    fn of(reply: &'a Reply) -> Option<Named<'a>> {
        let pairs = array(reply)?.chunks_exact(2);
        pairs.map(|pair| Some((pair[0].bytes()?, &pair[1]))).collect::<Option<_>>().map(Named)
    }

    fn get(&self, name: &str) -> Option<&'a Reply> {
        self.0.get(name.as_bytes()).copied()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(number)
    }

    fn bytes(&self, name: &str) -> Option<Bytes> {
        self.get(name)?.bytes().map(Bytes::from)
    }

    fn id(&self, name: &str) -> Option<Id> {
        Id::parse(self.get(name)?.bytes()?)
    }
}

/// The reply to XINFO STREAM FULL, but for the entries.
struct FullState {
    state: StreamState,
    groups: Vec<Group>,
    /// Groups in whose list of pending entries some are missing, with the last id that is told.
    rest: Vec<(Bytes, Id)>,
    most_pending: usize,
}

fn read_state(reply: &Reply) -> Option<FullState> {
    let stream = Named::of(reply)?;
    let state = StreamState {
        last_id: stream.id("last-generated-id")?,
        entries_added: stream.number("entries-added"),
        max_deleted_id: stream.id("max-deleted-entry-id"),
    };
    let (mut groups, mut rest, mut most_pending) = (Vec::new(), Vec::new(), 0);
    for row in array(stream.get("groups")?)? {
        let group = Named::of(row)?;
        let name = group.bytes("name")?;
        let mut consumers = Vec::new();
        for row in array(group.get("consumers")?)? {
            let consumer = Named::of(row)?;
            consumers.push(Consumer {
                name: consumer.bytes("name")?,
                seen_at: consumer.number("seen-time"),
                active_at: consumer.number("active-time"),
                pending: Vec::new(),
            });
        }
        let pending = array(group.get("pending")?)?;
        for row in pending {
            let [id, consumer, delivered_at, deliveries] = array(row)? else { return None };
            let (delivered_at, deliveries) = (number(delivered_at)?, number(deliveries)?);
            let pending = Pending { id: Id::parse(id.bytes()?)?, delivered_at, deliveries };
            add_pending(&mut consumers, consumer.bytes()?, pending);
        }
        let all = usize::try_from(group.number("pel-count")?).ok()?;
        most_pending = most_pending.max(all);
        if all > pending.len() {
            let last = pending.last().and_then(|row| Id::parse(array(row)?.first()?.bytes()?))?;
            rest.push((name.clone(), last));
        }
        let (last_id, entries_read) = (group.id("last-delivered-id"), group.number("entries-read"));
        groups.push(Group { name, last_id, entries_read, consumers });
    }
    Some(FullState { state, groups, rest, most_pending })
}

/// Asks when fields expire.
fn field_ttls(wire: &mut Wire, known: bool, hashes: Vec<(&Bytes, &mut Vec<Field>)>) -> Result<(), Problem> {
    if !known {
        return Ok(());
    }
    for (key, fields) in &hashes {
        for some in fields.chunks(ASKED_AT_ONCE) {
            let count = some.len().to_string();
            let mut request: Vec<&[u8]> = vec![b"HPEXPIRETIME", &key.0, b"FIELDS", count.as_bytes()];
            request.extend(some.iter().map(|field| field.name.0.as_slice()));
            wire.push(&request);
        }
    }
    wire.send()?;
    for (key, fields) in hashes {
        for some in fields.chunks_mut(ASKED_AT_ONCE) {
            match wire.read()? {
                Reply::Array(moments) if moments.len() == some.len() => {
                    // -1: none, -2: the field went meanwhile.
                    for (field, moment) in some.iter_mut().zip(&moments) {
                        field.expire_at = number(moment);
                    }
                }
                // The key is gone or changed: what was read before stays.
                Reply::Array(_) | Reply::Nil | Reply::NilArray => {}
                other => match error_text(&other) {
                    Some(text) if text.starts_with("WRONGTYPE") => {}
                    Some(text) => return Err(Problem::Failed(format!("key {key}: HPEXPIRETIME: {text}"))),
                    None => return Err(unexpected("HPEXPIRETIME", &other)),
                },
            }
        }
    }
    Ok(())
}
