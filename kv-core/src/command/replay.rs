//! Does again what a log says that was done.
//!
//! Each record is applied at the moment that stands in front of it, so what was due then is due now. Commands run through the
//! handlers of their rows; nothing is sent, counted or logged. What a log that was written by `ctx::effects` cannot hold is
//! damage: a command that fails, or whose row is not logged by its words, a key of another shard, a database that is not
//! there. Nothing a log can say is a panic.

mod fuzz;

pub use fuzz::fuzz_replay;

use super::{Args, Ctx, Found, Handler, Known, LogAs, Outcome, Settings, Stores, keys_of, table};
use crate::persist::Damage;
use crate::persist::record::{Record, Records, Words};
use crate::resp::{Arg, Proto, Reply};
use crate::store::{Key, KeyHasher, Shard, UnixMs};
use std::sync::Arc;

/// What replayed commands may make at least, whatever the options say now: the most that they could say then, bytes.
const STRING_MAX: usize = u32::MAX as usize;

/// Records between two times of seeing to what the shard has collected of removed entries and values.
const RECORDS_PER_SWEEP: usize = 1024;

/// Replays one section of the log on its shard, which is one of `shards`. `offset` is where the section begins in its file.
///
/// Errors: damage, with the place of the record. What stands in front of it has been done.
pub fn replay(
    shard: &mut Box<Shard>,
    shards: usize,
    section: &[u8],
    offset: u64,
    settings: &Settings,
) -> Result<(), Damage> {
    run(shard, shards, section, offset, &Settings { string_max: STRING_MAX, ..*settings })
}

fn run(shard: &mut Box<Shard>, shards: usize, section: &[u8], offset: u64, settings: &Settings) -> Result<(), Damage> {
    let (log_was_on, dirty, stats) = (shard.log.on, shard.dirty, shard.stats);
    shard.log.on = false;
    let hasher = Arc::clone(&shard.hasher);
    let (data, words, reply) = Default::default();
    let mut replay = Replay { shard, shards, settings, hasher, now: None, data, words, reply };
    let result = replay.section(Records::new(section, offset, &settings.limits));
    replay.sweep();
    (shard.log.on, shard.dirty, shard.stats) = (log_was_on, dirty, stats);
    result
}

struct Replay<'a> {
    shard: &'a mut Box<Shard>,
    shards: usize,
    settings: &'a Settings,
    hasher: Arc<KeyHasher>,
    /// None before the section's first moment.
    now: Option<UnixMs>,
    /// The command at hand: its bytes, and its words in them.
    data: Vec<u8>,
    words: Vec<Arg>,
    reply: Vec<u8>,
}

impl Replay<'_> {
    fn section(&mut self, mut records: Records<'_>) -> Result<(), Damage> {
        let mut count = 0;
        loop {
            let offset = records.offset();
            let Some(record) = records.next() else { return Ok(()) };
            self.record(record?).map_err(|what| Damage::new(offset, what))?;
            count += 1;
            if count % RECORDS_PER_SWEEP == 0 {
                self.sweep();
            }
        }
    }

    fn sweep(&mut self) {
        self.shard.take_expired(|_, _| {});
        self.shard.take_garbage();
    }

    /// Errors: what is wrong with it.
    fn record(&mut self, record: Record<'_>) -> Result<(), String> {
        if let Record::Time(now) = record {
            self.pass_to(now);
            return Ok(());
        }
        let now = self.now.ok_or("something that happened at no moment")?;
        match record {
            Record::Time(_) => {}
            Record::Put { db, key, expire_at, value } => {
                self.shard.load(now, self.shards, db, key, expire_at, value)?;
            }
            Record::Remove { db, key } => {
                let key = self.shard.own_key(key, self.shards)?;
                self.shard.own_db(db)?.remove(key, now);
            }
            Record::Expire { db, key, expire_at } => {
                let key = self.shard.own_key(key, self.shards)?;
                if !self.shard.own_db(db)?.set_expire(key, expire_at, now) {
                    return Err("an expiry of a key that is not there".into());
                }
            }
            Record::Command { db, words } => self.command(now, db, words)?,
            Record::Flush { db: Some(db) } => {
                self.shard.own_db(db)?;
                self.shard.flush(db);
            }
            Record::Flush { db: None } => (0..self.shard.dbs.len()).for_each(|db| {
                self.shard.flush(db);
            }),
            Record::Swap { a, b } => {
                self.shard.own_db(a)?;
                self.shard.own_db(b)?;
                self.shard.swap_dbs(a, b);
            }
            Record::Library(library) => self.shard.load_library(*library)?,
            Record::NoLibrary { name } => self.shard.unload_library(name)?,
        }
        Ok(())
    }

    /// The moment of what follows. What is due by then is removed, so that it takes no memory.
    fn pass_to(&mut self, now: UnixMs) {
        self.shard.expire_due(now, &mut { usize::MAX }, |_, _, _| {});
        self.now = Some(now);
    }

    fn command(&mut self, now: UnixMs, db: usize, words: Words<'_>) -> Result<(), String> {
        self.shard.own_db(db)?;
        let Replay { shard, shards, settings, hasher, data, words: args, reply, .. } = self;
        data.clear();
        args.clear();
        for word in words {
            let (Ok(start), Ok(len)) = (u32::try_from(data.len()), u32::try_from(word.len())) else {
                return Err("a command of more than 4 GiB".into());
            };
            args.push(Arg { start, len });
            data.extend_from_slice(word);
        }
        let word = |at: usize| args[at].get(data);
        let found = table().find(word(0), args.get(1).map(|arg| arg.get(data)));
        let row = match found {
            Found::Row(id) => table().row(id),
            _ => return Err(format!("the command \"{}\", which there is not", shown(word(0)))),
        };
        let name = &row.full_name;
        let Handler::Store(handler) = row.spec.handler else {
            return Err(format!("the command {name}, which writes nothing"));
        };
        if row.spec.log != LogAs::Words {
            return Err(format!("the command {name}, which is not logged by its words"));
        }
        if !row.spec.arity.accepts(args.len()) {
            return Err(format!("the command {name} with {} words", args.len()));
        }
        let mut keys: Result<Option<(usize, Key<'_>)>, String> = Ok(None);
        keys_of(row.spec, args.len(), word, |at| {
            keys = match &keys {
                Ok(None) => shard.own_key(word(at), *shards).map(|key| Some((at, key))),
                Ok(Some(_)) => Err(format!("the command {name} with several keys")),
                Err(what) => Err(what.clone()),
            }
        });
        let (at, key) = keys?.ok_or_else(|| format!("the command {name} without a key"))?;
        let hashes = [key.hash];
        reply.clear();
        let mut ctx = Ctx::new(Stores::One(shard), *shards, now, db, settings);
        let mut reader = Args::new(data, args, row.name_words, hasher, Known::new(at, 1, &hashes));
        match handler(&mut ctx, &mut reader, &mut Reply::new(reply, Proto::Resp2)) {
            Ok(Outcome::Done) => Ok(()),
            Ok(Outcome::Again(_)) => Err(format!("the command {name}, which only walks")),
            Ok(Outcome::Wait) => unreachable!("nothing waits in a replay"),
            Err(error) => Err(format!("the command {name}, which fails: {error}")),
        }
    }
}

/// A word of a file as a person may read it.
fn shown(word: &[u8]) -> String {
    word[..word.len().min(64)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
