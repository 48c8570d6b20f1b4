//! The large form of a hash, and the only one with TTLs: records in a dict, and their moments in order.
//!
//! Invariant: `moments` holds (expire_at, handle) of each record that has an expire_at, and nothing else.

use super::{Limits, SAMPLE_BY_LUCK, Ttl, UnixMs};
use crate::structs::dict::{Dict, FrozenDict, Handle};
use crate::structs::packed::Item;
use crate::structs::random::Random;
use std::collections::BTreeSet;

/// Begins a record's rest that is more than the value.
const ESCAPE: u8 = 0xFF;
const PLAIN: u8 = 0;
const TIMED: u8 = 1;

/// Bytes of a moment in the ordered set: nodes have 11 places of 16 bytes, and are filled by half to two thirds.
const MOMENT_BYTES: usize = 28;

/// How often `random` tries again when it meets fields that are due but not yet removed.
const RANDOM_TRIES: usize = 100;

/// A token that a timer keeps for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filed {
    /// Not later than the first moment at which a field is due.
    pub at: UnixMs,
    /// It fires before `at`, and is to be filed again then.
    pub early: bool,
}

pub struct HashTable {
    dict: Dict,
    moments: BTreeSet<(UnixMs, Handle)>,
    /// No limit of packed hashes has been passed.
    small: bool,
    pub(super) filed: Option<Filed>,
}

/// A copy is known to no timer.
impl Clone for HashTable {
    fn clone(&self) -> Self {
        HashTable { dict: self.dict.clone(), moments: self.moments.clone(), small: self.small, filed: None }
    }
}

/// What is stored behind a field.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub value: &'a [u8],
    pub expire_at: Option<UnixMs>,
}

impl<'a> Record<'a> {
    #[inline]
    fn read(rest: &'a [u8]) -> Record<'a> {
        match rest {
            [ESCAPE, rest @ ..] => Record::read_escaped(rest),
            value => Record { value, expire_at: None },
        }
    }

    fn read_escaped(rest: &'a [u8]) -> Record<'a> {
        match rest {
            [PLAIN, value @ ..] => Record { value, expire_at: None },
            [TIMED, a, b, c, d, e, f, g, h, value @ ..] => {
                let expire_at = UnixMs::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                Record { value, expire_at: Some(expire_at) }
            }
            _ => panic!("a record that was not written by its encoder"),
        }
    }

    /// Hands the bytes of the record to `f`.
    #[inline]
    fn with_bytes<R>(self, f: impl FnOnce(&[u8]) -> R) -> R {
        let Some(at) = self.expire_at else {
            if self.value.first() != Some(&ESCAPE) {
                return f(self.value);
            }
            return f(&[&[ESCAPE, PLAIN], self.value].concat());
        };
        f(&[&[ESCAPE, TIMED], &at.to_le_bytes()[..], self.value].concat())
    }

    #[inline]
    fn is_due(self, now: UnixMs) -> bool {
        self.expire_at.is_some_and(|at| at <= now)
    }
}

impl HashTable {
    pub(super) fn new(limits: &Limits) -> HashTable {
        HashTable { dict: Dict::new(limits.hash_seed), moments: BTreeSet::new(), small: true, filed: None }
    }

    pub fn len(&self) -> usize {
        self.dict.len()
    }

    pub fn is_empty(&self) -> bool {
        self.dict.len() == 0
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        size_of::<HashTable>() + self.dict.bytes() + self.moments.len() * MOMENT_BYTES
    }

    pub(super) fn is_small(&self) -> bool {
        self.small
    }

    pub(super) fn ttl_fields(&self) -> usize {
        self.moments.len()
    }

    pub(super) fn next_due(&self) -> Option<UnixMs> {
        self.moments.first().map(|&(at, _)| at)
    }

    pub(super) fn next_due_after(&self, now: UnixMs) -> Option<UnixMs> {
        self.moments.iter().map(|&(at, _)| at).find(|&at| at > now)
    }

    /// How many fields are due and not removed.
    #[inline]
    pub(super) fn due(&self, now: UnixMs) -> usize {
        self.moments.iter().take_while(|(at, _)| *at <= now).count()
    }

    /// Whether all fields are due.
    #[inline]
    pub(super) fn is_gone(&self, now: UnixMs) -> bool {
        self.moments.len() == self.len() && self.moments.last().is_none_or(|&(at, _)| at <= now)
    }

    #[inline]
    fn record(&self, handle: Handle) -> Record<'_> {
        Record::read(self.dict.rest(handle))
    }

    #[inline]
    pub(super) fn get(&self, field: &[u8], now: UnixMs) -> Option<Record<'_>> {
        Some(self.record(self.dict.find(field)?)).filter(|record| !record.is_due(now))
    }

    /// The first fields of a table, which come from a packed hash: all different.
    pub(super) fn take_over(&mut self, field: Item<'_>, value: Item<'_>) {
        let (mut digits, mut value_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
        let record = Record { value: value.text(&mut value_digits), expire_at: None };
        record.with_bytes(|rest| self.dict.insert(field.text(&mut digits), rest));
    }

    pub(super) fn set(&mut self, field: &[u8], value: &[u8], ttl: Ttl, now: UnixMs, limits: &Limits) -> bool {
        let given = if let Ttl::At(at) = ttl { Some(at) } else { None };
        let fresh = Record { value, expire_at: given };
        let (handle, added) = fresh.with_bytes(|rest| self.dict.find_or_insert(field, rest));
        let (mut old, mut new) = (None, (given, handle));
        let mut due = false;
        if !added {
            let record = self.record(handle);
            due = record.is_due(now);
            old = Some((record.expire_at, handle));
            let expire_at = if ttl == Ttl::Keep && !due { record.expire_at } else { given };
            new = (expire_at, Record { value, expire_at }.with_bytes(|rest| self.dict.replace_rest(handle, rest)));
        }
        self.moved(old, new);
        let longest = field.len().max(value.len());
        self.small &= longest <= limits.hash_packed_value && self.len() <= limits.hash_packed_entries;
        added || due
    }

    pub(super) fn remove(&mut self, field: &[u8], now: UnixMs) -> bool {
        let Some(handle) = self.dict.find(field) else { return false };
        let record = self.record(handle);
        let (expire_at, due) = (record.expire_at, record.is_due(now));
        if let Some(at) = expire_at {
            self.moments.remove(&(at, handle));
        }
        self.dict.remove(handle);
        !due
    }

    pub(super) fn set_expire(&mut self, field: &[u8], expire_at: Option<UnixMs>, now: UnixMs) -> bool {
        let Some(handle) = self.dict.find(field) else { return false };
        let record = self.record(handle);
        let old_at = record.expire_at;
        if record.is_due(now) {
            return false;
        }
        let new = match (old_at, expire_at) {
            (None, None) => return true,
            (Some(_), Some(at)) => {
                self.dict.rest_mut(handle)[2..10].copy_from_slice(&at.to_le_bytes());
                handle
            }
            _ => {
                let value = record.value.to_vec();
                Record { value: &value, expire_at }.with_bytes(|rest| self.dict.replace_rest(handle, rest))
            }
        };
        self.moved(Some((old_at, handle)), (expire_at, new));
        true
    }

    /// A record has another moment or another place than before.
    #[inline]
    fn moved(&mut self, old: Option<(Option<UnixMs>, Handle)>, new: (Option<UnixMs>, Handle)) {
        if old == Some(new) {
            return;
        }
        if let Some((Some(at), handle)) = old {
            self.moments.remove(&(at, handle));
        }
        if let (Some(at), handle) = new {
            self.moments.insert((at, handle));
        }
    }

    pub(super) fn remove_due(&mut self, now: UnixMs, budget: &mut usize, mut on_removed: impl FnMut(&[u8])) {
        while *budget > 0
            && let Some(&(at, handle)) = self.moments.first()
            && at <= now
        {
            *budget -= 1;
            self.moments.pop_first();
            on_removed(self.dict.key(handle));
            self.dict.remove(handle);
        }
    }

    /// The fields that there are now; they tell their moments themselves.
    pub(super) fn freeze(&mut self) -> FrozenTable {
        FrozenTable { dict: self.dict.freeze() }
    }

    /// A field that is not due, with its value.
    #[inline]
    fn live(&self, handle: Handle, now: UnixMs) -> Option<(Item<'_>, Item<'_>)> {
        let record = self.record(handle);
        (!record.is_due(now)).then(|| (Item::Bytes(self.dict.key(handle)), Item::Bytes(record.value)))
    }

    pub(super) fn iter(&self, now: UnixMs) -> impl Iterator<Item = (Item<'_>, Item<'_>)> {
        self.dict.iter().filter_map(move |handle| self.live(handle, now))
    }

    /// All fields, due or not.
    pub(super) fn fields(&self) -> impl Iterator<Item = (Item<'_>, Item<'_>, Option<UnixMs>)> {
        self.dict.iter().map(|handle| {
            let (field, rest) = self.dict.record(handle);
            let record = Record::read(rest);
            (Item::Bytes(field), Item::Bytes(record.value), record.expire_at)
        })
    }

    pub(super) fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        now: UnixMs,
        mut f: impl FnMut(Item<'a>, Item<'a>),
    ) -> u64 {
        let (mut next, mut visited) = (cursor, 0);
        loop {
            next = self.dict.scan(next, |handle| {
                visited += 1;
                if let Some((field, value)) = self.live(handle, now) {
                    f(field, value);
                }
            });
            // A bucket counts, too: a table may have become nearly empty.
            visited += 1;
            if next == 0 || visited >= count {
                return next;
            }
        }
    }

    pub(super) fn random(&self, random: &mut Random, now: UnixMs) -> Option<(Item<'_>, Item<'_>)> {
        let lucky = (0..RANDOM_TRIES).find_map(|_| self.live(self.dict.random(|| random.next_u64())?, now));
        lucky.or_else(|| {
            let live = self.len() - self.due(now);
            (live > 0).then(|| self.iter(now).nth(random.index(live)))?
        })
    }

    /// `count` different fields that are not due; much fewer than there are.
    pub(super) fn sample<'a>(
        &'a self,
        count: usize,
        random: &mut Random,
        now: UnixMs,
        mut f: impl FnMut(Item<'a>, Item<'a>),
    ) {
        debug_assert!(count < self.len() / SAMPLE_BY_LUCK, "luck would take long");
        let mut chosen = BTreeSet::new();
        while chosen.len() < count {
            let Some(handle) = self.dict.random(|| random.next_u64()) else { return };
            if let Some((field, value)) = self.live(handle, now)
                && chosen.insert(handle)
            {
                f(field, value);
            }
        }
    }

    /// Asserts the invariant of the module comment.
    pub(super) fn check(&self) {
        let moments: BTreeSet<_> =
            self.dict.iter().filter_map(|handle| Some((self.record(handle).expire_at?, handle))).collect();
        assert_eq!(moments, self.moments);
        assert!(self.filed.is_none_or(|filed| self.next_due().is_none_or(|at| filed.at <= at)));
    }
}

/// The fields of a table as they were when it was frozen.
pub struct FrozenTable {
    dict: FrozenDict,
}

impl FrozenTable {
    pub fn len(&self) -> usize {
        self.dict.len()
    }

    pub fn is_empty(&self) -> bool {
        self.dict.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.dict.bytes()
    }

    pub(super) fn for_each(self, mut f: impl FnMut(Item<'_>, Item<'_>, Option<UnixMs>)) {
        self.dict.for_each(|field, rest| {
            let Record { value, expire_at } = Record::read(rest);
            f(Item::Bytes(field), Item::Bytes(value), expire_at);
        });
    }
}
