//! A database as it was at the moment of a snapshot, gathered while commands go on changing it.
//!
//! Every entry has a *stamp*, two bits: the snapshot that has it. A snapshot begins by choosing a stamp that no entry has;
//! from then on what has another one is still to be saved, as it is, because whatever changes or removes an entry saves it
//! first, and entries are born with the stamp. So each key of that moment is saved once:
//!
//! ```text
//! step_saving        walks over the table with the cursor of `scan`, in slices, and saves what comes
//! keep               before an entry is changed: saves it
//! part               before it is overwritten or removed: the same, and what is big and not needed is handed over itself
//! take_all           the whole table is handed over, and what is unsaved in it is saved by whoever gets it
//! ```
//!
//! Small values are serialised at once. Big ones are frozen, which takes O(pages): then each write copies the page that it
//! touches until the pages have been written to the file. The walk misses nothing, since `scan` promises to visit what is there from
//! its beginning to its end, whatever the table does meanwhile; what is visited twice has the stamp.
//!
//! **An abort** leaves entries with different stamps behind. There are four, so the next snapshot finds one that no entry has;
//! besides, a walk in slices (`step_sweep`) gives all entries the same again. If three snapshots are aborted one after another
//! and no walk comes to its end in between, the fourth ends the walk at once.
//!
//! What this costs when nothing is saved: one branch a write, and the two bits.

use super::Db;
use crate::persist::record;
use crate::store::entry::{Entry, EntryMut, Stamp};
use crate::store::snapshot::{Frozen, Piece};
use crate::store::{UnixMs, Value};
use crate::structs::table::Table;

/// Records are handed over in pieces of about this size: a block of the file, so that nothing waits long.
const RECORDS_BYTES: usize = 64 * 1024;

/// What a step is charged, in bytes that are serialised in the same time: about 2 ns each.
const BUCKET_COST: usize = 16;
const ENTRY_COST: usize = 32;
/// For each so many bytes of a value that is frozen: a page takes 100 ns, a node of a list as much.
const FROZEN_BYTES_PER_COST: usize = 64;

/// What a snapshot has to know of a database until it has all of it.
pub(in crate::store) struct Saving {
    /// The number that the database had at that moment.
    number: usize,
    moment: UnixMs,
    stamp: Stamp,
    /// Where the walk goes on.
    cursor: u64,
    /// Larger objects are frozen or handed over.
    freeze_above: usize,
    records: Vec<u8>,
    keys: usize,
    pieces: Vec<Piece>,
}

impl Saving {
    /// Saves an entry that is about to be changed. Its memory stays the same.
    #[inline]
    pub(super) fn keep(&mut self, entry: &mut EntryMut<'_>) {
        if entry.view().stamp() != self.stamp {
            self.save(entry, false);
        }
    }

    /// Saves an entry that is about to be overwritten or removed. Unless the value is `needed`, a big one is taken out.
    #[inline]
    pub(super) fn part(&mut self, entry: &mut EntryMut<'_>, needed: bool) {
        if entry.view().stamp() != self.stamp {
            self.save(entry, !needed);
        }
    }

    /// Returns what it cost.
    #[cold]
    fn save(&mut self, entry: &mut EntryMut<'_>, goes: bool) -> usize {
        entry.set_stamp(self.stamp);
        let view = entry.view();
        if view.is_due(self.moment) {
            return 0;
        }
        let (number, expire_at) = (self.number, view.expire_at());
        match view.value() {
            Value::Object(object) if object.bytes() > self.freeze_above => {
                let cost = object.bytes() / FROZEN_BYTES_PER_COST;
                let key = view.key().into();
                let value = match entry.object() {
                    Some(object) if !goes => Frozen::freeze(object),
                    _ => Frozen::Taken(entry.take_object()),
                };
                self.pieces.push(Piece::Value { db: number, key, expire_at, value });
                cost
            }
            value => {
                let before = self.records.len();
                record::put_state(&mut self.records, number, view.key(), expire_at, value.state());
                let cost = self.records.len() - before;
                self.keys += 1;
                if self.records.len() >= RECORDS_BYTES {
                    self.close();
                }
                cost
            }
        }
    }

    /// Makes a piece of the records so far.
    fn close(&mut self) {
        if self.keys > 0 {
            let bytes = std::mem::take(&mut self.records);
            self.pieces.push(Piece::Records { bytes, keys: std::mem::take(&mut self.keys) });
        }
    }

    /// All that has been saved and not been taken.
    fn finish(mut self) -> Vec<Piece> {
        self.close();
        self.pieces
    }
}

/// A table that was handed over whole, and what is to be saved of it.
pub(in crate::store) struct Unsaved {
    db: Box<Db>,
    saving: Box<Saving>,
}

impl Unsaved {
    /// Frees the entries and calls `f` with what was to be saved, in pieces.
    pub fn for_each(self, mut f: impl FnMut(Piece)) {
        let Unsaved { mut db, mut saving } = self;
        let Db { table, heap, .. } = &mut *db;
        table.drain(|mut entry| {
            saving.part(&mut entry.as_mut(), false);
            entry.free(heap);
            saving.pieces.drain(..).for_each(&mut f);
        });
        saving.finish().into_iter().for_each(f);
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.db.bytes()
    }
}

/// Calls `visit` for entries that do not have the stamp, which gives it to them and returns what it costs, until the budget is
/// used up; says whether the walk is over. At least one of them is visited, if there are any left.
fn walk(
    table: &mut Table<Entry>,
    stamp: Stamp,
    cursor: &mut u64,
    budget: &mut usize,
    mut visit: impl FnMut(&mut EntryMut<'_>) -> usize,
) -> bool {
    loop {
        let next = table.scan_mut(*cursor, |mut entry| {
            // Those that have the stamp cost nothing: when the same part comes again, it must come to its end.
            if entry.view().stamp() == stamp {
                return true;
            }
            *budget = budget.saturating_sub(ENTRY_COST + visit(&mut entry));
            *budget > 0
        });
        let Some(next) = next else { return false };
        *cursor = next;
        if next == 0 {
            return true;
        }
        *budget = budget.saturating_sub(BUCKET_COST);
        if *budget == 0 {
            return false;
        }
    }
}

impl Db {
    /// Begins to save what is in the database now, as what it is at this moment. What was being saved before is aborted.
    pub(in crate::store) fn begin_saving(&mut self, number: usize, moment: UnixMs, freeze_above: usize) {
        self.abort_saving();
        if self.table.is_empty() {
            self.stamps = self.stamp.bit();
        }
        let unused = |db: &Db| Stamp::ALL.into_iter().find(|stamp| db.stamps & stamp.bit() == 0);
        if unused(self).is_none() {
            self.sweep.get_or_insert(0);
            self.step_sweep(&mut { usize::MAX });
        }
        self.stamp = unused(self).expect("after a sweep all entries have one stamp");
        self.stamps |= self.stamp.bit();
        self.sweep = None;
        if !self.table.is_empty() {
            let (stamp, pieces, records) = (self.stamp, Vec::new(), Vec::new());
            let saving = Saving { number, moment, stamp, cursor: 0, freeze_above, records, keys: 0, pieces };
            self.saving = Some(Box::new(saving));
        }
    }

    #[inline]
    pub(in crate::store) fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Goes on with the walk; says whether the database is saved. `budget`: bytes to be serialised, or what takes as long. It
    /// may be overdrawn by one value, which is no larger than what is not frozen.
    pub(in crate::store) fn step_saving(&mut self, budget: &mut usize) -> bool {
        let Db { table, saving: Some(saving), .. } = self else { return true };
        let mut cursor = saving.cursor;
        let over = walk(table, saving.stamp, &mut cursor, budget, |entry| saving.save(entry, false));
        saving.cursor = cursor;
        if over {
            self.stamps = self.stamp.bit();
        }
        over
    }

    /// Takes what has been saved since the last call; all there is once the walk is over (`over`), which ends it.
    pub(in crate::store) fn take_saved(&mut self, over: bool, into: &mut Vec<Piece>) {
        if over {
            into.extend(self.saving.take().into_iter().flat_map(|saving| saving.finish()));
        } else if let Some(saving) = &mut self.saving {
            into.append(&mut saving.pieces);
        }
    }

    /// Gives up what is being saved, and returns it to be freed.
    pub(in crate::store) fn abort_saving(&mut self) -> Vec<Piece> {
        let Some(saving) = self.saving.take() else { return Vec::new() };
        self.sweep = Some(0);
        saving.pieces
    }

    /// Whether entries have different stamps, so that `step_sweep` has something to do.
    pub(in crate::store) fn wants_sweep(&self) -> bool {
        self.sweep.is_some()
    }

    /// Goes on giving all entries the same stamp. `budget` as of `step_saving`.
    pub(in crate::store) fn step_sweep(&mut self, budget: &mut usize) {
        let Db { table, stamp, sweep: Some(cursor), .. } = self else { return };
        let sweep = |entry: &mut EntryMut<'_>| {
            entry.set_stamp(*stamp);
            0
        };
        if walk(table, *stamp, cursor, budget, sweep) {
            (self.stamps, self.sweep) = (self.stamp.bit(), None);
        }
    }

    /// Empties the database in O(1). Of a table that is not saved yet, what was saved so far goes into `into`.
    ///
    /// Errors: there is nothing to be saved of it; it is garbage.
    pub(in crate::store) fn take_unsaved(&mut self, into: &mut Vec<Piece>) -> Result<Unsaved, Box<Db>> {
        let mut db = Box::new(self.take_all());
        match db.saving.take() {
            Some(mut saving) => {
                saving.close();
                into.append(&mut saving.pieces);
                Ok(Unsaved { db, saving })
            }
            None => Err(db),
        }
    }
}
