//! A small world in which commands run without a server: some shards, a clock that is moved by hand, one session.
//!
//! It carries commands out as the server does (by row: on the shards of the keys, in parts, on all shards), one after
//! the other, and shows replies in a short form: `+OK`, `:1`, `"bulk"`, `nil`, `-ERR ...`, `[a b]`, `{key: value}`.

use crate::command::{
    Args, Ctx, Event, Found, Handler, Join, Known, Outcome, Row, Settings, Spread, Stores, keys_of, may_be_anywhere,
    table,
};
use crate::resp::client::{self, ReplyDecoder, Value};
use crate::resp::{Arg, Proto, Reply, line};
use crate::store::{Classes, Key, KeyHasher, Shard, UnixMs};
use crate::types::Limits;
use std::sync::Arc;

pub struct World {
    /// Empty while a command that was given the shard runs.
    shards: Vec<Option<Box<Shard>>>,
    hasher: Arc<KeyHasher>,
    pub settings: Settings,
    pub now: UnixMs,
    /// The number of the client.
    pub client: u64,
    pub db: usize,
    pub proto: Proto,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// How often a walk was cut.
    pub slices: usize,
    /// What was written: database, key, event.
    pub events: Vec<(usize, String, Event)>,
}

/// Runs a session in worlds of one and of several shards: no command may tell the difference.
pub fn session(script: &str) {
    for shards in [1, 4] {
        World::new(shards).session(script);
    }
}

impl World {
    pub fn new(shards: usize) -> World {
        let hasher = Arc::new(KeyHasher::new([7; 16]));
        let shard = |index| {
            let mut shard = Box::new(Shard::new(index, 16, Arc::clone(&hasher), index as u64 + 1));
            // What follows from the commands themselves.
            shard.want_notices(Classes::ALL.without(Classes::EXPIRED).and(Classes::UNTOLD));
            Some(shard)
        };
        World {
            shards: (0..shards).map(shard).collect(),
            hasher,
            settings: Settings { string_max: 512 << 20, hll_sparse_max: 3000, limits: Limits::default() },
            now: 1_700_000_000_000,
            client: 1,
            db: 0,
            proto: Proto::Resp2,
            no_touch: false,
            slices: 0,
            events: Vec::new(),
        }
    }

    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        self.hasher.key(bytes)
    }

    pub fn shard(&mut self, index: usize) -> &mut Box<Shard> {
        self.shards[index].as_mut().expect("no command is running")
    }

    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Writes so far, over all shards.
    pub fn dirty(&self) -> u64 {
        self.shards.iter().flatten().map(|shard| shard.dirty).sum()
    }

    /// Hits and misses so far, over all shards.
    pub fn hits(&self) -> (u64, u64) {
        let stats = || self.shards.iter().flatten().map(|shard| shard.stats);
        (stats().map(|s| s.hits).sum(), stats().map(|s| s.misses).sum())
    }

    /// Runs a line and shows its reply in the short form.
    ///
    /// Panics: when the line's quotes are not balanced or the reply is no whole value.
    pub fn run(&mut self, text: &str) -> String {
        let words = line::split(text.as_bytes()).expect("balanced quotes");
        show(&decode(&self.run_words(&words)))
    }

    /// Runs a script: lines after `> ` are commands, the line below each is the reply expected, in the short form. Blank
    /// lines and the space in front of lines are free.
    ///
    /// Panics: when a reply is not what the script says, naming the command.
    pub fn session(&mut self, script: &str) {
        let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("> ").unwrap_or_else(|| panic!("no command: {line}"));
            let expected = lines.next().unwrap_or_else(|| panic!("no reply below: {command}"));
            assert_eq!(self.run(command), expected, "{command} (with {} shards)", self.shards.len());
        }
    }

    /// Runs a line and returns its reply as it goes over the wire.
    pub fn wire(&mut self, text: &str) -> String {
        let words = line::split(text.as_bytes()).expect("balanced quotes");
        String::from_utf8_lossy(&self.run_words(&words)).into_owned()
    }

    /// Runs a request and returns the reply's bytes.
    pub fn run_words<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Vec<u8> {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        let mut out = Vec::new();
        let row = match table().find(words[0], words.get(1).copied()) {
            Found::Row(id) => table().row(id),
            Found::UnknownCommand => panic!("no such command: {words:?}"),
            Found::UnknownSubcommand(_) | Found::MissingSubcommand(_) => panic!("no such subcommand: {words:?}"),
        };
        if !row.spec.arity.accepts(words.len()) {
            let text = format!("ERR wrong number of arguments for '{}' command", row.full_name);
            Reply::new(&mut out, self.proto).error(&text);
            return out;
        }
        match row.spec.spread {
            Spread::Keys | Spread::Session | Spread::Transaction | Spread::Channel { .. } => {
                let mut involved = self.involved(row, &words);
                if involved.is_empty() {
                    involved.push(0);
                }
                self.run_on(&involved, row, &words).0
            }
            Spread::Parts { unit, join } => self.run_parts(row, &words, usize::from(unit), join),
            Spread::All { join } => {
                let parts = (0..self.shards.len()).map(|index| self.run_on(&[index], row, &words)).collect();
                self.join(join, parts, &[])
            }
            Spread::Cursor { at } => {
                let cursor = std::str::from_utf8(words[usize::from(at)]).ok().and_then(|word| word.parse().ok());
                let index = (cursor.unwrap_or(0u64) % self.shards.len() as u64) as usize;
                self.run_on(&[index], row, &words).0
            }
        }
    }

    /// The shards of a request's keys, ascending.
    fn involved(&self, row: &Row, words: &[&[u8]]) -> Vec<usize> {
        if may_be_anywhere(row.spec, words.len(), |i| words[i]) {
            return (0..self.shards.len()).collect();
        }
        let mut involved = Vec::new();
        keys_of(row.spec, words.len(), |i| words[i], |at| involved.push(self.place(words[at])));
        involved.sort_unstable();
        involved.dedup();
        involved
    }

    fn place(&self, key: &[u8]) -> usize {
        self.hasher.place(key, self.shards.len())
    }

    fn run_parts(&mut self, row: &Row, words: &[&[u8]], unit: usize, join: Join) -> Vec<u8> {
        let mut keys = Vec::new();
        keys_of(row.spec, words.len(), |i| words[i], |at| keys.push(at));
        // A request that does not divide into units is not split: its handler refuses it.
        let involved = self.involved(row, words);
        if keys.is_empty() || !(words.len() - keys[0]).is_multiple_of(unit) {
            return self.run_on(&involved[..1], row, words).0;
        }
        let mut parts = Vec::new();
        for &index in &involved {
            let mut part = words[..keys[0]].to_vec();
            for &at in keys.iter().filter(|&&at| self.place(words[at]) == index) {
                part.extend_from_slice(&words[at..at + unit]);
            }
            parts.push(self.run_on(&[index], row, &part));
        }
        let part_of_key = |&at: &usize| involved.iter().position(|&index| index == self.place(words[at]));
        let order: Vec<usize> = keys.iter().filter_map(part_of_key).collect();
        self.join(join, parts, &order)
    }

    /// Runs a request on some shards together; returns the reply and how many elements it counted.
    fn run_on(&mut self, involved: &[usize], row: &Row, words: &[&[u8]]) -> (Vec<u8>, u64) {
        let Handler::Store(handler) = row.spec.handler else { panic!("{} is no command of the store", row.full_name) };
        let mut buf = Vec::new();
        let mut args = Vec::new();
        for word in words {
            args.push(Arg { start: buf.len() as u32, len: word.len() as u32 });
            buf.extend_from_slice(word);
        }
        let mut lent: Vec<Box<Shard>> =
            involved.iter().map(|&index| self.shards[index].take().expect("no command is running")).collect();
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.proto);
        let hash: Vec<u64> = row.single_key.iter().map(|&at| self.hasher.key(words[usize::from(at)]).hash).collect();
        let known = Known::new(row.single_key.map_or(0, usize::from), 1, &hash);
        let mut cursor = 0;
        loop {
            let stores = match lent.as_mut_slice() {
                [one] => Stores::One(one),
                many => Stores::Many(many),
            };
            let mut ctx = Ctx::new(stores, self.shards.len(), self.now, self.db, &self.settings);
            ctx.log_as(row.spec.log, &buf, &args);
            ctx.cursor = cursor;
            ctx.client = self.client;
            ctx.touch = !self.no_touch && !row.spec.flags.has(crate::command::Flags::NO_TOUCH);
            let mut reader = Args::new(&buf, &args, row.name_words, &self.hasher, known);
            match handler(&mut ctx, &mut reader, &mut reply) {
                Ok(Outcome::Done) => break,
                Ok(Outcome::Again(at)) => {
                    self.slices += 1;
                    cursor = at;
                }
                Ok(Outcome::Wait) => unreachable!("nobody may wait here"),
                Err(error) => {
                    assert!(reply.out().is_empty(), "{words:?}: an error behind half a reply");
                    reply.error(&error.to_string());
                    break;
                }
            }
        }
        let elements = reply.elements();
        for mut shard in lent {
            let told = shard.take_notices();
            self.events.extend(told.into_iter().map(|n| (n.db, String::from_utf8_lossy(&n.key).into_owned(), n.event)));
            let index = shard.index;
            self.shards[index] = Some(shard);
        }
        (out, elements)
    }

    fn join(&self, join: Join, parts: Vec<(Vec<u8>, u64)>, order: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some((error, _)) = parts.iter().find(|(part, _)| part.starts_with(b"-")) {
            return error.clone();
        }
        let mut reply = Reply::new(&mut out, self.proto);
        match join {
            Join::First => return parts[0].0.clone(),
            Join::Sum => reply.int(parts.iter().map(|(part, _)| int(&decode(part))).sum()),
            Join::Concat => {
                reply.array(parts.iter().map(|(_, elements)| *elements as usize).sum());
                parts.iter().for_each(|(part, _)| reply.raw(part));
            }
            Join::AnyOf => {
                let some = parts.iter().find(|(part, _)| decode(part) != Value::Nil).unwrap_or(&parts[0]);
                return some.0.clone();
            }
            Join::InOrder => {
                let mut elements: Vec<_> = parts.iter().map(|(part, _)| array(decode(part)).into_iter()).collect();
                reply.array(order.len());
                for &part in order {
                    match elements[part].next().expect("as many answers as keys") {
                        Value::Bulk(bytes) => reply.bulk(&bytes),
                        Value::Nil => reply.nil(),
                        other => panic!("{other:?} is no element of a joined array"),
                    }
                }
                assert!(elements.iter_mut().all(|rest| rest.next().is_none()), "more answers than keys");
            }
            Join::Text | Join::Found | Join::Union | Join::SumEach => {
                panic!("{join:?} is for commands of the server alone")
            }
        }
        out
    }
}

/// The value that a whole reply is.
pub fn decode(bytes: &[u8]) -> Value {
    let len = client::skip_value(bytes).expect("a valid reply");
    assert_eq!(len, Some(bytes.len()), "one whole reply: {:?}", String::from_utf8_lossy(bytes));
    let mut decoder = ReplyDecoder::default();
    decoder.feed(bytes);
    decoder.next_value().expect("a valid reply").expect("a whole reply")
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        other => panic!("an integer, not {other:?}"),
    }
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(elements) => elements,
        other => panic!("an array, not {other:?}"),
    }
}

/// The short form of a reply.
pub fn show(value: &Value) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let list = |values: &[Value]| values.iter().map(show).collect::<Vec<_>>().join(" ");
    match value {
        Value::Simple(bytes) => format!("+{}", text(bytes)),
        Value::Error(bytes) => format!("-{}", text(bytes)),
        Value::Int(number) => format!(":{number}"),
        Value::Bulk(bytes) => line::quote(bytes),
        Value::Nil => "nil".into(),
        Value::NilArray => "nil array".into(),
        Value::Array(values) => format!("[{}]", list(values)),
        Value::Set(values) => format!("set [{}]", list(values)),
        Value::Push(values) => format!("push [{}]", list(values)),
        Value::Map(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{}: {}", show(key), show(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Double(bytes) => format!(",{}", text(bytes)),
        Value::Boolean(yes) => format!("#{yes}"),
        Value::Verbatim(_, bytes) => format!("verbatim {}", line::quote(bytes)),
        Value::BigNumber(bytes) => format!("({}", text(bytes)),
    }
}
