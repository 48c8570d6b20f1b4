//! Import: items from a file become commands of any server, many in flight.
//!
//! Items are gathered into batches. A batch is asked about first (EXISTS, unless everything is to be replaced) and then
//! written; the replies to its writes are read when the next batch has been sent, so that neither side waits:
//!
//! ```text
//! to the server:    EXISTS of batch 1 | writes of 1, EXISTS of 2 | writes of 2, EXISTS of 3 ...
//! ```
//!
//! A key is written by its type's command, many elements at a time, and gets its expiry last, or with its value (SET
//! PXAT): commands that every server since 6.2 knows. A stream is rebuilt by XADD, XSETID, XGROUP and XCLAIM; what no
//! command can set is lost: when a consumer was seen last, and what is pending of entries that are deleted (counted).
//!
//! A library of functions is loaded where it stands, in front of the keys.
//!
//! What is due by the server's clock at the beginning is left out, as Redis does when it loads a file. The first error
//! ends it; it names the place in the file and the key.

use std::collections::{HashSet, VecDeque};

use kv_core::resp::client::Value as Reply;
use kv_core::resp::number::format_f64;

use super::file::Place;
use super::item::{Bytes, Entry, Field, Group, Item, Pending, Scored, StreamPart, StreamState, Value};
use crate::connection::Lost;
use crate::wire::{Problem, Wire, error_text};

/// A batch is sent when it has so many items or bytes.
const BATCH_ITEMS: usize = 1000;
const BATCH_BYTES: usize = 1 << 20;
/// Elements that one command adds.
const ELEMENTS_AT_ONCE: usize = 1000;
/// Name of the group that makes an empty stream and goes at once.
const PASSING_GROUP: &str = "kv-cli import";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Keys that exist are replaced; otherwise they stay as they are.
    pub replace: bool,
    /// All keys go here, whatever the file says.
    pub db: Option<u32>,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub keys: u64,
    /// Left as they were.
    pub existing: u64,
    /// Due already.
    pub expired: u64,
    /// Pending entries of streams whose entries are deleted.
    pub pending_lost: u64,
    pub libraries: Libraries,
}

/// What became of libraries of functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    pub loaded: u64,
    /// Left as they were.
    pub existing: u64,
    /// The server has no functions.
    pub unknown: u64,
}

/// What happens to a key, decided at its first part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Write,
    Exists,
    Due,
}

/// A reply that is due, and what it is about.
struct Awaited {
    place: Place,
    key: Bytes,
    command: String,
    check: Check,
}

#[derive(Clone, Copy)]
enum Check {
    NoError,
    /// Ids of so many entries.
    Claimed(usize),
    /// Whether the key exists.
    Exists,
}

/// The key of the last item.
struct Current {
    db: u32,
    key: Bytes,
    /// Another part is to follow.
    open: bool,
    fate: Fate,
}

pub struct Importer {
    wire: Wire,
    settings: Settings,
    /// The server's clock at the beginning.
    now: u64,
    /// Streams have counters since 7.0.
    knows_counters: bool,
    db: u32,
    batch: Vec<(Place, Item)>,
    batch_bytes: usize,
    /// Keys that begin in the batch: one that begins twice must see what the first one did.
    batch_keys: HashSet<(u32, Bytes)>,
    current: Option<Current>,
    awaited: VecDeque<Awaited>,
    /// Answers about the keys that begin in the batch.
    exists: VecDeque<bool>,
    done: Imported,
}

impl Importer {
    pub fn new(mut wire: Wire, settings: Settings) -> Result<Importer, Problem> {
        let now = wire.time_ms()?;
        let knows_counters = wire.redis_version()?.is_none_or(|major| major >= 7);
        Ok(Importer {
            wire,
            settings,
            now,
            knows_counters,
            db: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            batch_keys: HashSet::new(),
            current: None,
            awaited: VecDeque::new(),
            exists: VecDeque::new(),
            done: Imported::default(),
        })
    }

    /// Takes the next item of the file, and sends what has gathered when that is enough.
    pub fn put(&mut self, place: Place, mut item: Item) -> Result<(), Problem> {
        if let Some(db) = self.settings.db {
            item.db = db;
        }
        if !item.continued && !self.batch_keys.insert((item.db, item.key.clone())) {
            self.turn()?;
            self.batch_keys.insert((item.db, item.key.clone()));
        }
        self.batch_bytes += item.value.size() + item.key.0.len();
        self.batch.push((place, item));
        if self.batch.len() >= BATCH_ITEMS || self.batch_bytes >= BATCH_BYTES {
            self.turn()?;
        }
        Ok(())
    }

    /// Loads a library of functions. (They stand in front of the keys, and are few.)
    pub fn library(&mut self, place: Place, code: &Bytes) -> Result<(), Problem> {
        self.turn()?;
        self.read_all(0)?;
        let mut request = vec![&b"FUNCTION"[..], b"LOAD"];
        request.extend(self.settings.replace.then_some(&b"REPLACE"[..]));
        request.push(&code.0);
        let reply = self.wire.ask(&request).map_err(|lost| self.lost(lost))?;
        let libraries = &mut self.done.libraries;
        match error_text(&reply) {
            None => libraries.loaded += 1,
            Some(text) if text.starts_with("ERR Library '") => libraries.existing += 1,
            Some(text) if text.starts_with("ERR unknown command") => libraries.unknown += 1,
            Some(text) => return Err(Problem::failed(format!("{place}, a library of functions: {text}"))),
        }
        Ok(())
    }

    /// Sends the rest and waits for all replies.
    pub fn finish(mut self) -> Result<Imported, Problem> {
        self.turn()?;
        self.read_all(0)?;
        match self.current {
            Some(Current { open: true, key, .. }) => {
                Err(Problem::failed(format!("the file ends within key {key}: its last part is missing")))
            }
            _ => Ok(self.done),
        }
    }

    /// Keys that are done or under way.
    pub fn keys(&self) -> u64 {
        self.done.keys
    }

    /// Asks about the batch, takes the replies to the writes of the one before, and writes this one.
    fn turn(&mut self) -> Result<(), Problem> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.batch_keys.clear();
        if batch.is_empty() {
            return Ok(());
        }
        if !self.settings.replace {
            for (place, item) in batch.iter().filter(|(_, item)| !item.continued) {
                self.select(*place, item);
                self.push(*place, item, Check::Exists, &[&b"EXISTS"[..], &item.key.0]);
            }
            self.send()?;
            self.read_all(0)?;
        }
        let written_before = self.awaited.len();
        for (place, item) in batch {
            self.write(place, item)?;
        }
        let due_later = self.awaited.len() - written_before;
        self.send()?;
        self.read_all(due_later)
    }

    /// Writes an item if its key is to be written.
    fn write(&mut self, place: Place, item: Item) -> Result<(), Problem> {
        let fate = self.fate(place, &item)?;
        if fate != Fate::Write {
            return Ok(());
        }
        self.select(place, &item);
        if self.settings.replace && !item.continued && !matches!(item.value, Value::String(_)) {
            self.push(place, &item, Check::NoError, &[&b"DEL"[..], &item.key.0]);
        }
        let mut expiry = item.expire_at.filter(|_| !item.more).map(|moment| moment.to_string());
        match &item.value {
            Value::String(bytes) if item.continued => self.command(place, &item, "APPEND", [&bytes.0[..]]),
            Value::String(bytes) => {
                let expiry = expiry.take();
                let option = expiry.iter().flat_map(|moment| [&b"PXAT"[..], moment.as_bytes()]);
                self.command(place, &item, "SET", [&bytes.0[..]].into_iter().chain(option));
            }
            Value::List(items) => self.bytes(place, &item, "RPUSH", items),
            Value::Set(items) => self.bytes(place, &item, "SADD", items),
            Value::ZSet(members) => self.members(place, &item, members),
            Value::Hash(fields) => self.fields(place, &item, fields),
            Value::Stream(part) => self.stream(place, &item, part)?,
        }
        if let Some(moment) = expiry {
            self.command(place, &item, "PEXPIREAT", [moment.as_bytes()]);
        }
        // A part may be large, and so may be what follows it in its batch.
        if self.wire.waiting_bytes() > 4 * BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    /// What happens to the key of an item: decided once, at its first part.
    fn fate(&mut self, place: Place, item: &Item) -> Result<Fate, Problem> {
        let out_of_line = |what: &str| Err(at(place, &item.key, what));
        if item.continued {
            return match &mut self.current {
                Some(current) if current.open && current.db == item.db && current.key == item.key => {
                    current.open = item.more;
                    Ok(current.fate)
                }
                _ => out_of_line("its first part is not the item before"),
            };
        }
        if let Some(Current { open: true, key, .. }) = &self.current {
            return out_of_line(&format!("it stands where another part of {key} is due"));
        }
        let exists = !self.settings.replace && self.exists.pop_front().unwrap_or(false);
        let (fate, count) = if exists {
            (Fate::Exists, &mut self.done.existing)
        } else if item.expire_at.is_some_and(|moment| moment <= self.now) {
            (Fate::Due, &mut self.done.expired)
        } else {
            (Fate::Write, &mut self.done.keys)
        };
        *count += 1;
        self.current = Some(Current { db: item.db, key: item.key.clone(), open: item.more, fate });
        Ok(fate)
    }

    fn select(&mut self, place: Place, item: &Item) {
        if self.db != item.db {
            self.db = item.db;
            self.push(place, item, Check::NoError, &["SELECT", &item.db.to_string()]);
        }
    }

    /// A command whose first argument is the key.
    fn command<'w>(&mut self, place: Place, item: &'w Item, name: &'w str, words: impl IntoIterator<Item = &'w [u8]>) {
        let request: Vec<&[u8]> = [name.as_bytes(), &item.key.0].into_iter().chain(words).collect();
        self.push(place, item, Check::NoError, &request);
    }

    fn push<A: AsRef<[u8]>>(&mut self, place: Place, item: &Item, check: Check, request: &[A]) {
        self.wire.push(request);
        let command = request.first().map_or_else(String::new, |name| String::from_utf8_lossy(name.as_ref()).into());
        self.awaited.push_back(Awaited { place, key: item.key.clone(), command, check });
    }

    fn bytes(&mut self, place: Place, item: &Item, name: &str, items: &[Bytes]) {
        for some in items.chunks(ELEMENTS_AT_ONCE) {
            self.command(place, item, name, some.iter().map(|item| &item.0[..]));
        }
    }

    fn members(&mut self, place: Place, item: &Item, members: &[Scored]) {
        for some in members.chunks(ELEMENTS_AT_ONCE) {
            let scores: Vec<String> = some.iter().map(|scored| format_f64(scored.score)).collect();
            let words = scores.iter().zip(some).flat_map(|(score, scored)| [score.as_bytes(), &scored.member.0]);
            self.command(place, item, "ZADD", words);
        }
    }

    fn fields(&mut self, place: Place, item: &Item, fields: &[Field]) {
        let now = self.now;
        let alive: Vec<&Field> = fields.iter().filter(|field| field.expire_at.is_none_or(|at| at > now)).collect();
        for some in alive.chunks(ELEMENTS_AT_ONCE) {
            let words = some.iter().flat_map(|field| [&field.name.0[..], &field.value.0]);
            self.command(place, item, "HSET", words);
            for same in some.chunk_by(|a, b| a.expire_at == b.expire_at) {
                let Some(moment) = same[0].expire_at else { continue };
                let (moment, count) = (moment.to_string(), same.len().to_string());
                let options = [moment.as_bytes(), b"FIELDS", count.as_bytes()];
                let names = same.iter().map(|field| &field.name.0[..]);
                self.command(place, item, "HPEXPIREAT", options.into_iter().chain(names));
            }
        }
    }

    fn stream(&mut self, place: Place, item: &Item, part: &StreamPart) -> Result<(), Problem> {
        if !item.continued && part.entries.is_empty() {
            // Only a group can make a stream without entries.
            self.push(place, item, Check::NoError, &group_request("CREATE", item, PASSING_GROUP, &["0", "MKSTREAM"]));
            self.push(place, item, Check::NoError, &group_request("DESTROY", item, PASSING_GROUP, &[]));
        }
        for Entry { id, fields } in &part.entries {
            if fields.is_empty() || fields.len() % 2 != 0 {
                return Err(at(place, &item.key, &format!("entry {id} has no value to each field")));
            }
            let id = id.to_string();
            self.command(
                place,
                item,
                "XADD",
                [id.as_bytes()].into_iter().chain(fields.iter().map(|field| &field.0[..])),
            );
        }
        if let Some(StreamState { last_id, entries_added, max_deleted_id }) = part.state {
            let mut words = vec![last_id.to_string()];
            if let Some(count) = entries_added.filter(|_| self.knows_counters) {
                words.extend(["ENTRIESADDED".to_owned(), count.to_string()]);
            }
            if let Some(id) = max_deleted_id.filter(|_| self.knows_counters) {
                words.extend(["MAXDELETEDID".to_owned(), id.to_string()]);
            }
            self.command(place, item, "XSETID", words.iter().map(|word| word.as_bytes()));
        }
        for group in &part.groups {
            self.group(place, item, group);
        }
        Ok(())
    }

    fn group(&mut self, place: Place, item: &Item, group: &Group) {
        let name = &group.name.0[..];
        let key = &item.key.0[..];
        if let Some(last_id) = group.last_id {
            let (last_id, read) = (last_id.to_string(), group.entries_read.filter(|_| self.knows_counters));
            let read = read.map(|count| count.to_string());
            let mut request = vec![b"XGROUP", &b"CREATE"[..], key, name, last_id.as_bytes()];
            request.extend(read.iter().flat_map(|count| [&b"ENTRIESREAD"[..], count.as_bytes()]));
            self.push(place, item, Check::NoError, &request);
        }
        for consumer in &group.consumers {
            self.push(
                place,
                item,
                Check::NoError,
                &[b"XGROUP".as_slice(), b"CREATECONSUMER", key, name, &consumer.name.0],
            );
            let alike = |a: &Pending, b: &Pending| (a.delivered_at, a.deliveries) == (b.delivered_at, b.deliveries);
            for same in consumer.pending.chunk_by(alike).flat_map(|same| same.chunks(ELEMENTS_AT_ONCE)) {
                let (time, count) = (same[0].delivered_at.to_string(), same[0].deliveries.to_string());
                let ids: Vec<String> = same.iter().map(|pending| pending.id.to_string()).collect();
                let mut request: Vec<&[u8]> = vec![b"XCLAIM", key, name, &consumer.name.0, b"0"];
                request.extend(ids.iter().map(|id| id.as_bytes()));
                request.extend([b"TIME", time.as_bytes(), b"RETRYCOUNT", count.as_bytes(), b"FORCE", b"JUSTID"]);
                self.push(place, item, Check::Claimed(same.len()), &request);
            }
        }
    }

    fn send(&mut self) -> Result<(), Problem> {
        self.wire.send().map_err(|lost| self.lost(lost))
    }

    /// Reads replies until only so many are due.
    fn read_all(&mut self, left: usize) -> Result<(), Problem> {
        while self.awaited.len() > left {
            let reply = self.wire.read().map_err(|lost| self.lost(lost))?;
            let Some(awaited) = self.awaited.pop_front() else { break };
            let Awaited { place, key, command, check } = awaited;
            if let Some(text) = error_text(&reply) {
                return Err(at(place, &key, &format!("{command}: {text}")));
            }
            match (check, reply) {
                (Check::NoError, _) => {}
                (Check::Exists, Reply::Int(count)) => self.exists.push_back(count > 0),
                (Check::Claimed(asked), Reply::Array(ids)) => {
                    self.done.pending_lost += asked.saturating_sub(ids.len()) as u64;
                }
                (Check::Exists | Check::Claimed(_), other) => {
                    return Err(at(place, &key, &format!("{command}: an unexpected reply: {other:?}")));
                }
            }
        }
        Ok(())
    }

    /// Nobody knows what became of the requests that were under way.
    fn lost(&self, lost: Lost) -> Problem {
        match self.awaited.front() {
            Some(first) => Problem::Unreachable(format!("{lost}, at {} or behind it (key {})", first.place, first.key)),
            None => lost.into(),
        }
    }
}

fn at(place: Place, key: &Bytes, what: &str) -> Problem {
    Problem::failed(format!("{place}, key {key}: {what}"))
}

fn group_request<'w>(subcommand: &'w str, item: &'w Item, group: &'w str, rest: &[&'w str]) -> Vec<&'w [u8]> {
    let front: [&[u8]; 4] = [b"XGROUP", subcommand.as_bytes(), &item.key.0, group.as_bytes()];
    front.into_iter().chain(rest.iter().map(|word| word.as_bytes())).collect()
}
