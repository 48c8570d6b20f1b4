//! The state of a shard at one moment, handed out in pieces while the shard goes on.
//!
//! ```text
//! shard's thread    begin_snapshot, then slices: step_snapshot, take_pieces          (what is saved when: `db::saving`)
//!   | Piece         records that are serialised already; a big value, frozen or taken; the table of a flushed database
//! another thread    Piece::write, in any order of pieces
//! ```
//!
//! A shard's pieces together have each key that was there when the snapshot began, and was not due then, exactly once, with
//! the value, the expiry and the number of the database that it had at that moment. The first shard's have the libraries of functions.
//!
//! This module knows no file and no thread: a piece is written with the writer that is given, and may be moved anywhere.

use super::db::saving::Unsaved;
use super::{Db, Garbage, Object, Shard, UnixMs};
use crate::persist::snapshot::{Open, Writer};
use crate::persist::value::Kind;
use crate::types::List;
use crate::types::hash::FrozenHash;
use crate::types::set::FrozenSet;
use crate::types::stream::{Groups, Stream, StreamId};
use crate::types::zset::FrozenZSet;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Objects of more bytes are frozen, smaller ones serialised on the spot, which takes up to 100 us.
const FREEZE_ABOVE: usize = 64 * 1024;

/// What a shard knows of its snapshot besides what its databases do.
pub(super) struct Snapshot {
    /// One has begun, and not all keys are saved.
    walking: bool,
    /// A database may want a sweep.
    sweeping: bool,
    pieces: Vec<Piece>,
    pub freeze_above: usize,
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot { walking: false, sweeping: false, pieces: Vec::new(), freeze_above: FREEZE_ABOVE }
    }
}

impl Shard {
    /// Begins a snapshot of what is there now. One that is under way is aborted.
    ///
    /// Cost: O(databases); of two that were aborted one after the other, see `abort_snapshot`.
    pub fn begin_snapshot(&mut self, now: UnixMs) {
        self.abort_snapshot();
        let freeze_above = self.snapshot.freeze_above;
        self.dbs.iter_mut().enumerate().for_each(|(number, db)| db.begin_saving(number, now, freeze_above));
        (self.snapshot.walking, self.snapshot.sweeping) = (true, false);
        self.snapshot.pieces.extend(self.piece_of_libraries());
    }

    /// Saves a part of what is still to be saved; says whether nothing is left to be done. What was saved waits in
    /// `take_pieces`, the last of it too. After an abort it sweeps (`wants_step`).
    ///
    /// `budget`: so many bytes are serialised, or something else is done that takes as long: 1,000 take 2 us. It may be
    /// overdrawn by one value: by up to 64 KiB, or by freezing a larger one.
    pub fn step_snapshot(&mut self, mut budget: usize) -> bool {
        let Shard { dbs, snapshot, .. } = self;
        if snapshot.walking {
            for db in dbs.iter_mut().filter(|db| db.is_saving()) {
                let over = db.step_saving(&mut budget);
                db.take_saved(over, &mut snapshot.pieces);
                if !over {
                    return false;
                }
            }
            snapshot.walking = false;
        } else if snapshot.sweeping {
            for db in dbs.iter_mut().filter(|db| db.wants_sweep()) {
                if budget == 0 {
                    return false;
                }
                db.step_sweep(&mut budget);
            }
            snapshot.sweeping = dbs.iter().any(Db::wants_sweep);
        }
        !snapshot.sweeping
    }

    /// Whether a snapshot has begun and its walk is not over.
    #[inline]
    pub fn is_saving(&self) -> bool {
        self.snapshot.walking
    }

    /// Whether `step_snapshot` has something to do.
    #[inline]
    pub fn wants_step(&self) -> bool {
        self.snapshot.walking || self.snapshot.sweeping
    }

    /// What was saved or handed over since the last call. Small records wait until there are enough of them, or the walk is
    /// over.
    pub fn take_pieces(&mut self) -> Vec<Piece> {
        let Shard { dbs, snapshot, .. } = self;
        if snapshot.walking {
            dbs.iter_mut().filter(|db| db.is_saving()).for_each(|db| db.take_saved(false, &mut snapshot.pieces));
        }
        std::mem::take(&mut snapshot.pieces)
    }

    /// Gives the snapshot up; what has not been taken of it becomes garbage. The next may begin at once.
    ///
    /// Cost: O(databases). Keys are left with different marks, which is mended in later steps (`wants_step`). Only if that is never
    /// given a chance, the fourth snapshot after three that were aborted has to do it when it begins, in O(keys).
    pub fn abort_snapshot(&mut self) {
        let Shard { dbs, snapshot, garbage, .. } = self;
        let mut pieces = std::mem::take(&mut snapshot.pieces);
        dbs.iter_mut().for_each(|db| pieces.append(&mut db.abort_saving()));
        snapshot.sweeping = dbs.iter().any(Db::wants_sweep);
        snapshot.walking = false;
        if !pieces.is_empty() {
            garbage.push(Garbage::Pieces(pieces));
        }
    }

    /// Empties a database in O(1); what was in it becomes garbage, or, if it is not saved yet, a piece of the snapshot.
    /// Returns how many keys it had.
    pub fn flush(&mut self, db: usize) -> usize {
        let count = self.dbs[db].len();
        let newborn = self.dbs[db].newborn.take();
        match self.dbs[db].take_unsaved(&mut self.snapshot.pieces) {
            Ok(table) => self.snapshot.pieces.push(Piece::Table(Table(table))),
            Err(garbage) if count > 0 => self.garbage.push(Garbage::Db(garbage)),
            Err(_) => {}
        }
        self.dbs[db].newborn = newborn;
        count
    }
}

/// A part of a snapshot. Dropping one may take long, as it may own much.
pub enum Piece {
    /// Records as `persist::record::put_state` writes them, or `put_library`, which are no keys.
    Records { bytes: Vec<u8>, keys: usize },
    /// A key with a big value.
    Value { db: usize, key: Box<[u8]>, expire_at: Option<UnixMs>, value: Frozen },
    /// A database that was flushed.
    Table(Table),
}

/// The entries of a flushed database, some of which are part of the snapshot.
pub struct Table(Unsaved);

/// A big value as it was at one moment.
pub enum Frozen {
    /// It was removed or overwritten, and this is the only one that has it.
    Taken(Box<Object>),
    Str(Arc<Vec<u8>>),
    List(List),
    Stream(Box<Stream>),
    Hash(FrozenHash),
    Set(FrozenSet),
    ZSet(FrozenZSet),
}

impl Frozen {
    /// The object as it is now, whatever becomes of it. Cost: O(pages) and O(nodes); a stream's groups are copied.
    pub(super) fn freeze(object: &mut Object) -> Frozen {
        match object {
            Object::Str(text) => Frozen::Str(text.freeze()),
            Object::List(list) => Frozen::List(list.freeze()),
            Object::Stream(stream) => Frozen::Stream(Box::new(stream.freeze())),
            Object::Hash(hash) => Frozen::Hash(hash.freeze()),
            Object::Set(set) => Frozen::Set(set.freeze()),
            Object::ZSet(zset) => Frozen::ZSet(zset.freeze()),
        }
    }

    /// Bytes of memory that are kept from being freed.
    fn bytes(&self) -> usize {
        match self {
            Frozen::Taken(object) => object.bytes(),
            Frozen::Str(text) => text.capacity(),
            Frozen::List(list) => list.bytes(),
            Frozen::Stream(stream) => stream.bytes(),
            Frozen::Hash(hash) => hash.bytes(),
            Frozen::Set(set) => set.bytes(),
            Frozen::ZSet(zset) => zset.bytes(),
        }
    }
}

impl Piece {
    /// Bytes of memory that the piece holds, alone or, if it is frozen, together with the shard: about what is to be written.
    pub fn bytes(&self) -> usize {
        match self {
            Piece::Records { bytes, .. } => bytes.capacity(),
            Piece::Value { key, value, .. } => key.len() + value.bytes(),
            Piece::Table(Table(unsaved)) => unsaved.bytes(),
        }
    }

    /// Writes the piece and frees it on the way; `sink` gets the finished blocks. However much there is to write, no more memory
    /// is needed for it than for some blocks.
    pub fn write(self, to: &mut Writer, sink: &mut impl FnMut(Vec<u8>)) {
        match self {
            Piece::Records { bytes, keys } => to.add(&bytes, keys, sink),
            Piece::Value { db, key, expire_at, value } => value.write(db, &key, expire_at, to, sink),
            Piece::Table(Table(unsaved)) => unsaved.for_each(|piece| piece.write(to, sink)),
        }
    }
}

impl Frozen {
    fn kind(&self) -> Kind {
        match self {
            Frozen::Taken(object) => match **object {
                Object::Str(_) => Kind::Str,
                Object::List(_) => Kind::List,
                Object::Hash(_) => Kind::Hash,
                Object::Set(_) => Kind::Set,
                Object::ZSet(_) => Kind::ZSet,
                Object::Stream(_) => Kind::Stream,
            },
            Frozen::Str(_) => Kind::Str,
            Frozen::List(_) => Kind::List,
            Frozen::Hash(_) => Kind::Hash,
            Frozen::Set(_) => Kind::Set,
            Frozen::ZSet(_) => Kind::ZSet,
            Frozen::Stream(_) => Kind::Stream,
        }
    }

    /// Writes the value element by element.
    fn write<S: FnMut(Vec<u8>)>(self, db: usize, key: &[u8], expire_at: Option<UnixMs>, to: &mut Writer, sink: &mut S) {
        let value = match self {
            // What is frozen of it is let go page by page; the rest is not needed.
            Frozen::Taken(mut object) => Frozen::freeze(&mut object),
            value => value,
        };
        let (mut digits, mut more_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
        let mut open = to.begin(db, key, expire_at, value.kind(), sink);
        match value {
            Frozen::Taken(_) => unreachable!("it was just frozen"),
            Frozen::Str(text) => open.string(&text),
            Frozen::List(list) => list.as_ref().iter().for_each(|item| open.list_item(item.text(&mut digits))),
            Frozen::Hash(hash) => hash.for_each(|field, value, at| {
                open.hash_field(field.text(&mut digits), value.text(&mut more_digits), at);
            }),
            Frozen::Set(set) => set.for_each(|member| open.set_member(member.text(&mut digits))),
            Frozen::ZSet(zset) => {
                zset.for_each(|member, score| open.zset_member(member.text(&mut digits), score));
            }
            Frozen::Stream(stream) => write_stream(&stream, &mut open),
        }
        open.end();
    }
}

fn write_stream<S: FnMut(Vec<u8>)>(stream: &Stream, open: &mut Open<'_, S>) {
    stream.range(StreamId::MIN, StreamId::MAX).for_each(|entry| open.stream_entry(&entry));
    open.stream_state(stream.last_id(), stream.max_deleted_id(), stream.entries_added());
    for (name, group) in stream.groups().into_iter().flat_map(Groups::iter) {
        open.stream_group(name, group);
        for consumer in group.each_consumer() {
            open.stream_consumer(consumer);
            for id in consumer.pending_from(StreamId::MIN) {
                let Some(pending) = group.pending_at(id) else { continue };
                open.stream_pending(id, pending.delivered_at, pending.deliveries);
            }
        }
    }
}
