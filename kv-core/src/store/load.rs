//! What was kept on disk goes into a shard again.
//!
//! Nothing here trusts what it is given: a database that is not there or a key of another shard is refused with the rest of
//! a sentence about it, for whoever knows the file.

use super::{Db, Expire, Key, Shard, StrValue, UnixMs};
use crate::persist::value::Loaded;
use std::borrow::Cow;

impl Shard {
    /// A key as it lies in this shard, one of `shards`.
    ///
    /// Errors: it belongs to another shard.
    #[inline]
    pub fn own_key<'k>(&self, key: &'k [u8], shards: usize) -> Result<Key<'k>, String> {
        let key = self.hasher.key(key);
        match self.hasher.place_key(key, shards) {
            place if place == self.index => Ok(key),
            place => Err(format!("the key {} of shard {place}, in shard {}", quoted(key.bytes), self.index)),
        }
    }

    /// A database by its number.
    ///
    /// Errors: there is none.
    #[inline]
    pub fn own_db(&mut self, db: usize) -> Result<&mut Db, String> {
        let count = self.dbs.len();
        self.dbs.get_mut(db).ok_or_else(|| format!("database {db}, where there are {count}"))
    }

    /// Stores a key that was read, whatever was there. `now` is the moment that it was written at: what is due since then
    /// is removed later, as ever.
    ///
    /// Errors: no such database; a key of another shard.
    #[inline]
    pub fn load(
        &mut self,
        now: UnixMs,
        shards: usize,
        db: usize,
        key: &[u8],
        expire_at: Option<UnixMs>,
        value: Loaded<'_>,
    ) -> Result<(), String> {
        let key = self.own_key(key, shards)?;
        let db = self.own_db(db)?;
        let expire = expire_at.map_or(Expire::Clear, Expire::At);
        match value {
            Loaded::Str(Cow::Borrowed(text)) => db.set_string(key, StrValue::Bytes(text), expire, now),
            Loaded::Str(Cow::Owned(text)) => db.set_string(key, StrValue::Owned(text), expire, now),
            Loaded::Int(int) => db.set_string(key, StrValue::Int(int), expire, now),
            Loaded::Hash(hash) => db.store(key, hash, expire, now),
            Loaded::List(list) => db.store(key, list, expire, now),
            Loaded::Set(set) => db.store(key, set, expire, now),
            Loaded::ZSet(zset) => db.store(key, zset, expire, now),
            Loaded::Stream(stream) => db.store(key, *stream, expire, now),
        };
        Ok(())
    }
}

/// A key as a person may read it, not all of a long one.
fn quoted(key: &[u8]) -> String {
    const SHOWN: usize = 64;
    let dots = if key.len() > SHOWN { "..." } else { "" };
    format!("\"{}{dots}\"", key[..key.len().min(SHOWN)].escape_ascii())
}
