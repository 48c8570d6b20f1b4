//! Parts of values that expire by themselves: the fields of hashes.
//!
//! A value with such parts has a token in the wheel for its first moment, and remembers which (`types::hash::Filed`). The
//! rule is that of keys: the token fires at the first moment at which a part is due, or before it. So a moment that moves later
//! costs nothing, and an earlier one gets a token of its own; the one before is dropped when it fires, or by a sweep.
//!
//! A token that fires cannot tell whether it stands for a key or for parts of its value: both are looked at.

use super::{Counts, Db, Due, dispose, token_of};
use crate::store::timer::Timer;
use crate::store::{EntryMut, EntryRef, Object, UnixMs};
use crate::structs::table::Verdict;
use crate::types::hash::Filed;
use std::cell::RefCell;

/// Parts that are removed when a token fires, even if nothing is left of the budget: else parts might starve where keys
/// expire all the time.
const PARTS_MIN: usize = 16;

/// Sees to a token for the first moment at which a part of the value is due, after the value was changed or stored.
#[inline]
pub(super) fn schedule(timer: &mut Timer, token: u32, object: &mut Object, now: UnixMs) {
    if let Object::Hash(hash) = object
        && let Some(at) = hash.as_ref().next_due()
        && hash.as_ref().filed().is_none_or(|filed| at < filed.at)
    {
        let early = timer.file(token, at, now);
        hash.set_filed(Some(Filed { at, early }));
    }
}

/// As `schedule`, for whatever the value of an entry is.
#[inline]
pub(super) fn schedule_entry(timer: &mut Timer, token: u32, entry: &mut EntryMut<'_>, now: UnixMs) {
    if let Some(object) = entry.object() {
        schedule(timer, token, object, now);
    }
}

/// Forgets what was filed where the value was before.
pub(super) fn forget(object: &mut Object) {
    if let Object::Hash(hash) = object {
        hash.set_filed(None);
    }
}

/// What became of a value whose token fired.
enum Fired {
    /// It has no token, or not this one.
    Nothing,
    /// Its token fired early, and is filed again.
    Early,
    /// Parts were removed.
    Removed,
    /// All of its parts were.
    Emptied,
}

impl Db {
    /// Removes parts that are due from values whose token may have fired, as `fire` does for keys.
    pub(super) fn fire_parts(
        &mut self,
        token: u32,
        now: UnixMs,
        budget: &mut usize,
        on_due: &mut impl FnMut(Due, EntryRef<'_>),
    ) {
        let Db { table, heap, timer, counts, hasher, garbage, saving, .. } = self;
        let on_due = RefCell::new(on_due);
        // What the accounts lose by values that stay where they are.
        let mut lost = Counts::default();
        table.visit_low(
            token,
            |entry| hasher.hash(entry.key()),
            |mut entry| {
                let view = entry.view();
                if view.filed().is_none() || token_of(hasher.hash(view.key())) != token {
                    return Verdict::Keep;
                }
                let before = Counts::of(view);
                if let Some(saving) = saving {
                    saving.keep(&mut entry);
                }
                let fired = fire_one(timer, token, &mut entry, now, budget);
                let view = entry.into_view();
                lost.bytes += before.bytes - view.bytes();
                lost.timed += before.timed - usize::from(view.filed().is_some());
                match fired {
                    Fired::Nothing | Fired::Early => Verdict::Keep,
                    Fired::Removed => {
                        (on_due.borrow_mut())(Due::Fields, view);
                        Verdict::Keep
                    }
                    Fired::Emptied => Verdict::Remove,
                }
            },
            |entry| {
                counts.sub(entry.as_ref());
                (on_due.borrow_mut())(Due::LastFields, entry.as_ref());
                dispose(heap, garbage, entry);
            },
        );
        counts.bytes -= lost.bytes;
        counts.timed -= lost.timed;
    }
}

fn fire_one(timer: &mut Timer, token: u32, entry: &mut EntryMut<'_>, now: UnixMs, budget: &mut usize) -> Fired {
    let Some(Object::Hash(hash)) = entry.object() else { return Fired::Nothing };
    let Some(filed) = hash.as_ref().filed() else { return Fired::Nothing };
    if filed.at > now {
        let early = timer.fired_early(token, filed.early, filed.at, now);
        hash.set_filed(Some(Filed { early, ..filed }));
        return Fired::Early;
    }
    let mut removed = 0;
    let mut slice = (*budget).max(PARTS_MIN);
    hash.remove_due(now, &mut slice, |_| removed += 1);
    *budget = budget.saturating_sub(removed);
    // If there was too much for one slice, that is at once.
    let next = hash.as_ref().next_due().map(|at| Filed { at, early: timer.file(token, at, now) });
    hash.set_filed(next);
    match removed {
        0 => Fired::Nothing,
        _ if hash.is_empty() => Fired::Emptied,
        _ => Fired::Removed,
    }
}

#[cfg(test)]
mod tests;
