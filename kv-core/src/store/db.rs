//! One database of one shard: a table of entries, and a timer that says when some of them are due.
//!
//! **Expiry.** A key that is due is invisible from its millisecond on: whoever meets it removes it then, and if nobody
//! does, `expire_due` does.
//!
//! **What is removed.** Entries that were found expired wait in `expired` until the shard has told whom it concerns;
//! values over `GARBAGE_MIN` wait in `garbage` until somebody frees them in the background.
//!
//! **Memory.** All entries of a database, in `table` and `expired`, have their blocks in its `heap`, and go back there
//! before they leave it: what waits in `garbage` are values, and entries too large for the heap.
//!
//! **Snapshots.** Whatever changes or removes an entry saves it first, if a snapshot is under way that does not have it (`saving`).
//!
//! A database knows nothing of commands, and of types only as much as strings and the trait `Collection` need.

mod fuzz;
mod parts;
pub(super) mod saving;
#[cfg(test)]
mod tests;

pub use self::fuzz::fuzz_db;
use self::saving::Saving;
use super::entry::{EMBED_MAX, NewValue, Owned, Stamp, Traits};
use super::notices::Newborn;
use super::timer::Timer;
use super::{Collection, Entry, EntryRef, Garbage, Key, KeyHasher, Object, UnixMs, Value, WrongType};
use crate::resp::number;
use crate::structs::heap::Heap;
use crate::structs::random::Random;
use crate::structs::table::{Table, Verdict};
use std::sync::Arc;

/// Values of at least so many bytes are not freed on the spot: giving 64 KiB back takes some 10 us.
const GARBAGE_MIN: usize = 64 * 1024;

/// Tokens whose buckets and entries are loaded at the same time.
const GROUP: usize = 16;

/// How often `random` tries again when it meets entries that are due but not yet removed.
const RANDOM_TRIES: usize = 100;

/// A string to store.
#[derive(Debug)]
pub enum StrValue<'a> {
    /// Stored as an integer if it is the canonical form of one.
    Bytes(&'a [u8]),
    /// The same, but long ones are kept without copying.
    Owned(Vec<u8>),
    Int(i64),
}

/// What becomes of the expiry when a value is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    Keep,
    Clear,
    At(UnixMs),
}

/// What was there before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Old {
    pub existed: bool,
}

/// A value with its expiry, taken or copied from its key, to be stored under another.
pub struct Detached {
    value: Owned,
    traits: Traits,
    pub expire_at: Option<UnixMs>,
}

impl Detached {
    pub fn value(&self) -> Value<'_> {
        self.value.view()
    }
}

/// One database of one shard.
pub struct Db {
    table: Table<Entry>,
    heap: Heap,
    timer: Timer,
    counts: Counts,
    hasher: Arc<KeyHasher>,
    expired: Vec<Entry>,
    garbage: Vec<Garbage>,
    pub(super) newborn: Newborn,
    /// Entries are born with this stamp.
    stamp: Stamp,
    /// Stamps that entries may have, one bit each.
    stamps: u8,
    /// While a snapshot does not have all entries.
    saving: Option<Box<Saving>>,
    /// Where the walk goes on that gives all entries the same stamp, if it is needed.
    sweep: Option<u64>,
    /// Where strings are changed, and tokens fired; empty between calls.
    text: Vec<u8>,
    fired: Vec<u32>,
}

/// What became due at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Key,
    /// Fields of a hash, which has others.
    Fields,
    /// The last fields of a hash, and with them the key.
    LastFields,
}

/// Sums over all entries.
#[derive(Default)]
struct Counts {
    bytes: usize,
    ttl_keys: usize,
    /// Values with parts that expire by themselves.
    timed: usize,
}

impl Counts {
    #[inline]
    fn of(entry: EntryRef<'_>) -> Counts {
        Counts {
            bytes: entry.bytes(),
            ttl_keys: usize::from(entry.expire_at().is_some()),
            timed: usize::from(entry.filed().is_some()),
        }
    }

    #[inline]
    fn add(&mut self, entry: EntryRef<'_>) {
        let more = Counts::of(entry);
        self.bytes += more.bytes;
        self.ttl_keys += more.ttl_keys;
        self.timed += more.timed;
    }

    #[inline]
    fn sub(&mut self, entry: EntryRef<'_>) {
        let less = Counts::of(entry);
        self.bytes -= less.bytes;
        self.ttl_keys -= less.ttl_keys;
        self.timed -= less.timed;
    }

    /// How many tokens are needed.
    fn tokens(&self) -> usize {
        self.ttl_keys + self.timed
    }
}

/// The access data of an entry that is used now.
#[inline]
fn access_at(now: UnixMs) -> u32 {
    (now / 1000) as u32 & ((1 << super::entry::ACCESS_BITS) - 1)
}

#[inline]
fn token_of(hash: u64) -> u32 {
    hash as u32
}

fn classify(bytes: &[u8]) -> NewValue<'_> {
    /// "-9223372036854775808"
    const INT_MAX: usize = 20;
    if bytes.len() <= INT_MAX
        && let Some(n) = number::parse_i64(bytes)
    {
        return NewValue::Int(n);
    }
    plain(bytes)
}

fn plain(bytes: &[u8]) -> NewValue<'_> {
    if bytes.len() <= EMBED_MAX {
        NewValue::Bytes(bytes)
    } else {
        NewValue::Object(Box::new(Object::Str(bytes.to_vec().into())))
    }
}

/// Calls `f` with the form in which a collection is stored; the buffer of an embedded one is kept for the next.
#[inline]
fn with_form<C: Collection, R>(value: C, scratch: &mut Vec<u8>, f: impl FnOnce(NewValue<'_>) -> R) -> R {
    match value.into_packed() {
        Ok((form, mut bytes)) if bytes.len() <= EMBED_MAX => {
            let result = f(NewValue::Packed(form, &bytes));
            bytes.clear();
            bytes.shrink_to(2 * EMBED_MAX);
            *scratch = bytes;
            result
        }
        Ok((form, bytes)) => match C::from_packed(form, bytes) {
            Ok(value) => f(NewValue::Object(Box::new(value.into_object()))),
            Err(_) => unreachable!("a value's own form"),
        },
        Err(value) => f(NewValue::Object(Box::new(value.into_object()))),
    }
}

/// Frees an entry, or leaves what is big of it to the background.
#[inline]
fn dispose(heap: &mut Heap, garbage: &mut Vec<Garbage>, entry: Entry) {
    if entry.as_ref().bytes() >= GARBAGE_MIN {
        dispose_big(heap, garbage, entry);
    } else {
        entry.free(heap);
    }
}

#[cold]
fn dispose_big(heap: &mut Heap, garbage: &mut Vec<Garbage>, entry: Entry) {
    match entry.into_lone() {
        Ok(entry) => garbage.push(Garbage::Entry(entry)),
        Err(mut entry) => {
            garbage.push(Garbage::Object(entry.as_mut().take_object()));
            entry.free(heap);
        }
    }
}

impl Db {
    pub fn new(hasher: Arc<KeyHasher>) -> Db {
        Db {
            table: Table::new(),
            heap: Heap::new(),
            timer: Timer::default(),
            counts: Counts::default(),
            hasher,
            expired: Vec::new(),
            garbage: Vec::new(),
            newborn: None,
            stamp: Stamp::default(),
            stamps: Stamp::default().bit(),
            saving: None,
            sweep: None,
            text: Vec::new(),
            fired: Vec::new(),
        }
    }

    /// Keys, those that are due but not yet removed included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keys with an expiry.
    pub fn ttl_keys(&self) -> usize {
        self.counts.ttl_keys
    }

    /// Bytes of memory held: entries, table, wheel.
    pub fn bytes(&self) -> usize {
        self.counts.bytes + self.table.bytes() + self.timer.bytes()
    }

    /// First step of a lookup that is known ahead.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        self.table.prefetch_bucket(hash);
    }

    /// Second step: needs the bucket.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.table.prefetch_item(hash);
    }

    /// The entry of a key, which counts as a use of it. A due one is removed.
    #[inline]
    pub fn get(&mut self, key: Key<'_>, now: UnixMs) -> Option<EntryRef<'_>> {
        let mut slot = self.table.find_mut(key.hash, |entry| entry.key() == key.bytes)?;
        if slot.get().is_due(now) {
            let hasher = &self.hasher;
            let mut entry = slot.remove(|entry| hasher.hash(entry.key()));
            self.counts.sub(entry.as_ref());
            if let Some(saving) = &mut self.saving {
                saving.keep(&mut entry.as_mut());
            }
            self.expired.push(entry);
            return None;
        }
        let access = access_at(now);
        if slot.get().access() != access {
            slot.get_mut().set_access(access);
        }
        Some(slot.into_ref())
    }

    /// The entry of a key, without any effect.
    #[inline]
    pub fn peek(&self, key: Key<'_>, now: UnixMs) -> Option<EntryRef<'_>> {
        self.table.find(key.hash, |entry| entry.key() == key.bytes).filter(|entry| !entry.is_due(now))
    }

    /// Stores a string, whatever was there.
    #[inline]
    pub fn set_string(&mut self, key: Key<'_>, value: StrValue<'_>, expire: Expire, now: UnixMs) -> Old {
        let owned;
        let value = match value {
            StrValue::Int(n) => NewValue::Int(n),
            StrValue::Bytes(bytes) => classify(bytes),
            StrValue::Owned(text) if text.len() > EMBED_MAX => {
                NewValue::Object(Box::new(Object::Str(fitting(text).into())))
            }
            StrValue::Owned(text) => {
                owned = text;
                classify(&owned)
            }
        };
        self.put(key, value, false, expire, now)
    }

    /// Stores a string without expiry, whatever was there; it is never turned into an integer.
    pub fn set_text(&mut self, key: Key<'_>, text: Vec<u8>, now: UnixMs) -> Old {
        if text.len() <= EMBED_MAX {
            self.put(key, NewValue::Bytes(&text), true, Expire::Clear, now)
        } else {
            self.put(key, NewValue::Object(Box::new(Object::Str(text.into()))), true, Expire::Clear, now)
        }
    }

    /// Stores an integer and keeps the expiry.
    #[inline]
    pub fn set_int(&mut self, key: Key<'_>, n: i64, now: UnixMs) -> Old {
        self.put(key, NewValue::Int(n), false, Expire::Keep, now)
    }

    /// Changes a string in place, an empty one if there is none; keeps the expiry. The result is never turned into an
    /// integer again. Appending costs O(1) a byte, amortised.
    ///
    /// Panics: when the value is no string.
    pub fn edit_string<R>(&mut self, key: Key<'_>, now: UnixMs, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut text = std::mem::take(&mut self.text);
        if let Some(mut slot) = self.table.find_mut(key.hash, |entry| entry.key() == key.bytes)
            && !slot.get().is_due(now)
        {
            let before = slot.get().bytes();
            if let Some(saving) = &mut self.saving {
                saving.keep(&mut slot.get_mut());
            }
            if let Some(Object::Str(long)) = slot.get_mut().object() {
                let result = f(long);
                self.counts.bytes = self.counts.bytes + slot.get().bytes() - before;
                slot.get_mut().set_access(access_at(now));
                self.text = text;
                return result;
            }
            match slot.get().value() {
                Value::Int(n) => number::push_i64(&mut text, n),
                Value::Bytes(bytes) => text.extend_from_slice(bytes),
                Value::Packed(..) | Value::Object(_) => panic!("the caller has looked at the type"),
            }
        }
        let result = f(&mut text);
        if text.len() <= EMBED_MAX {
            self.put(key, NewValue::Bytes(&text), true, Expire::Keep, now);
            text.clear();
            text.shrink_to(2 * EMBED_MAX);
            self.text = text;
        } else {
            self.put(key, NewValue::Object(Box::new(Object::Str(text.into()))), true, Expire::Keep, now);
        }
        result
    }

    /// Changes a collection with `f`, and keeps its expiry; when there is no such key, an empty one if `create` says so. One
    /// that is empty afterwards goes, with its key.
    ///
    /// Reply: what `f` returned; `None` when there was nothing to change.
    /// Errors: the key holds another type; nothing is changed then, and `f` is not called.
    pub fn edit<C: Collection, R>(
        &mut self,
        key: Key<'_>,
        create: bool,
        now: UnixMs,
        f: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<R>, WrongType> {
        let Db { table, heap, timer, counts, garbage, saving, hasher, text, .. } = self;
        let found = table.find_mut(key.hash, |entry| entry.key() == key.bytes);
        let Some(mut slot) = found.filter(|slot| !slot.get().is_due(now)) else {
            if !create {
                return Ok(None);
            }
            let mut value = C::default();
            let result = f(&mut value);
            if C::KEPT_EMPTY || !value.is_empty() {
                self.store(key, value, Expire::Keep, now);
            }
            return Ok(Some(result));
        };
        if let Some(saving) = saving {
            saving.keep(&mut slot.get_mut());
        }
        let (result, value) = match slot.get().value() {
            Value::Int(_) | Value::Bytes(_) => return Err(WrongType),
            Value::Packed(form, bytes) => {
                let mut buffer = std::mem::take(text);
                buffer.extend_from_slice(bytes);
                let mut value = C::from_packed(form, buffer).map_err(|buffer| {
                    *text = buffer;
                    text.clear();
                    WrongType
                })?;
                (f(&mut value), Some(value))
            }
            Value::Object(_) => {
                let mut entry = slot.get_mut();
                let object = entry.object().ok_or(WrongType)?;
                let (bytes, filed) = (object.bytes(), object.filed());
                let value = C::of(object).ok_or(WrongType)?;
                let result = f(value);
                let gone = value.is_empty() && !C::KEPT_EMPTY;
                if !gone {
                    parts::schedule(timer, token_of(key.hash), object, now);
                }
                counts.bytes = counts.bytes + object.bytes() - bytes;
                counts.timed = counts.timed + usize::from(object.filed().is_some()) - usize::from(filed.is_some());
                if !gone {
                    entry.set_access(access_at(now));
                    return Ok(Some(result));
                }
                (result, None)
            }
        };
        let Some(value) = value.filter(|value| C::KEPT_EMPTY || !value.is_empty()) else {
            let entry = slot.remove(|entry| hasher.hash(entry.key()));
            counts.sub(entry.as_ref());
            dispose(heap, garbage, entry);
            return Ok(Some(result));
        };
        counts.sub(slot.get());
        with_form(value, text, |value| {
            let (expire_at, traits) = (slot.get().expire_at(), slot.get().traits());
            let traits = Traits { access: access_at(now), ..traits };
            if let Err(value) = slot.get_mut().rewrite(value, expire_at, traits) {
                slot.replace(Entry::new(heap, key.bytes, value, expire_at, traits)).free(heap);
            }
        });
        parts::schedule_entry(timer, token_of(key.hash), &mut slot.get_mut(), now);
        counts.add(slot.get());
        Ok(Some(result))
    }

    /// Stores a collection, whatever was there; an empty one removes the key.
    pub fn store<C: Collection>(&mut self, key: Key<'_>, value: C, expire: Expire, now: UnixMs) -> Old {
        if value.is_empty() && !C::KEPT_EMPTY {
            return Old { existed: self.remove(key, now) };
        }
        let mut scratch = std::mem::take(&mut self.text);
        let old = with_form(value, &mut scratch, |value| self.put(key, value, false, expire, now));
        self.text = scratch;
        old
    }

    fn put(&mut self, key: Key<'_>, value: NewValue<'_>, raw: bool, expire: Expire, now: UnixMs) -> Old {
        let hasher = &self.hasher;
        let access = access_at(now);
        let token = token_of(key.hash);
        let Some(mut slot) = self.table.find_mut(key.hash, |entry| entry.key() == key.bytes) else {
            let expire_at = match expire {
                Expire::Keep | Expire::Clear => None,
                Expire::At(at) => Some(at),
            };
            let deferred = self.timer.schedule(token, None, false, expire_at, now);
            let traits = Traits { deferred, raw, access, stamp: self.stamp };
            let mut entry = Entry::new(&mut self.heap, key.bytes, value, expire_at, traits);
            parts::schedule_entry(&mut self.timer, token, &mut entry.as_mut(), now);
            self.counts.add(entry.as_ref());
            self.table.insert_unique(key.hash, entry, |entry| hasher.hash(entry.key()));
            self.is_born(key);
            return Old { existed: false };
        };
        let old = slot.get();
        let (old_at, due) = (old.expire_at(), old.is_due(now));
        let expire_at = match expire {
            Expire::Keep => old_at.filter(|_| !due),
            Expire::Clear => None,
            Expire::At(at) => Some(at),
        };
        let deferred = self.timer.schedule(token, old_at, old.deferred(), expire_at, now);
        let traits = Traits { deferred, raw, access, stamp: self.stamp };
        self.counts.sub(old);
        if let Some(saving) = &mut self.saving {
            saving.part(&mut slot.get_mut(), due);
        }
        let fresh = if due { Err(value) } else { slot.get_mut().rewrite(value, expire_at, traits) };
        match fresh {
            Ok(None) => {}
            Ok(Some(object)) => {
                if object.bytes() >= GARBAGE_MIN {
                    self.garbage.push(Garbage::Object(object));
                }
            }
            Err(value) => {
                let gone = slot.replace(Entry::new(&mut self.heap, key.bytes, value, expire_at, traits));
                if due {
                    self.expired.push(gone);
                } else {
                    dispose(&mut self.heap, &mut self.garbage, gone);
                }
            }
        }
        parts::schedule_entry(&mut self.timer, token, &mut slot.get_mut(), now);
        self.counts.add(slot.get());
        if due {
            self.is_born(key);
        }
        Old { existed: !due }
    }

    /// There was no such key before.
    #[inline]
    fn is_born(&mut self, key: Key<'_>) {
        if let Some(newborn) = &mut self.newborn {
            newborn.push(key.bytes.into());
        }
    }

    /// `lives`: whether the value is still needed.
    fn take_entry(&mut self, key: Key<'_>, lives: bool, now: UnixMs) -> Option<Entry> {
        let hasher = &self.hasher;
        let slot = self.table.find_mut(key.hash, |entry| entry.key() == key.bytes)?;
        let mut entry = slot.remove(|entry| hasher.hash(entry.key()));
        self.counts.sub(entry.as_ref());
        let due = entry.as_ref().is_due(now);
        if let Some(saving) = &mut self.saving {
            saving.part(&mut entry.as_mut(), lives || due);
        }
        if due {
            self.expired.push(entry);
            return None;
        }
        Some(entry)
    }

    /// Removes a key; says whether it was there. The value is freed, or left to the background if it is big.
    pub fn remove(&mut self, key: Key<'_>, now: UnixMs) -> bool {
        let entry = self.take_entry(key, false, now);
        entry.map(|entry| dispose(&mut self.heap, &mut self.garbage, entry)).is_some()
    }

    /// Removes a key and returns its value with its expiry.
    pub fn take(&mut self, key: Key<'_>, now: UnixMs) -> Option<Detached> {
        let entry = self.take_entry(key, true, now)?;
        let (expire_at, traits) = (entry.as_ref().expire_at(), entry.as_ref().traits());
        Some(Detached { value: entry.into_value(&mut self.heap), traits, expire_at })
    }

    /// A copy of the value of a key, with its expiry. Cost: O(size of the value).
    pub fn copy(&mut self, key: Key<'_>, now: UnixMs) -> Option<Detached> {
        let entry = self.get(key, now)?;
        Some(Detached { value: entry.to_value(), traits: entry.traits(), expire_at: entry.expire_at() })
    }

    /// Stores a value that was taken from another key or database, whatever was there.
    pub fn insert(&mut self, key: Key<'_>, value: Detached, now: UnixMs) -> Old {
        let existed = self.remove(key, now);
        let Detached { value, traits, expire_at } = value;
        let token = token_of(key.hash);
        let deferred = self.timer.schedule(token, None, false, expire_at, now);
        let bytes;
        let value = match value {
            Owned::Int(n) => NewValue::Int(n),
            Owned::Object(mut object) => {
                parts::forget(&mut object);
                NewValue::Object(object)
            }
            Owned::Bytes(text) => {
                bytes = text;
                NewValue::Bytes(&bytes)
            }
            Owned::Packed(form, packed) => {
                bytes = packed;
                NewValue::Packed(form, &bytes)
            }
        };
        let traits = Traits { deferred, stamp: self.stamp, ..traits };
        let mut entry = Entry::new(&mut self.heap, key.bytes, value, expire_at, traits);
        parts::schedule_entry(&mut self.timer, token, &mut entry.as_mut(), now);
        self.counts.add(entry.as_ref());
        let hasher = &self.hasher;
        self.table.insert_unique(key.hash, entry, |entry| hasher.hash(entry.key()));
        // Also when another value was in its place: that one is gone.
        self.is_born(key);
        Old { existed }
    }

    /// When a key expires: `None` if there is no such key, `Some(None)` if it has no expiry.
    pub fn expire_at(&self, key: Key<'_>, now: UnixMs) -> Option<Option<UnixMs>> {
        Some(self.peek(key, now)?.expire_at())
    }

    /// Sets or removes the expiry of a key; says whether there is such a key.
    pub fn set_expire(&mut self, key: Key<'_>, expire_at: Option<UnixMs>, now: UnixMs) -> bool {
        if self.get(key, now).is_none() {
            return false;
        }
        let Some(mut slot) = self.table.find_mut(key.hash, |entry| entry.key() == key.bytes) else { return false };
        if let Some(saving) = &mut self.saving {
            saving.keep(&mut slot.get_mut());
        }
        let old = slot.get();
        let (old_at, was_deferred) = (old.expire_at(), old.deferred());
        self.counts.sub(old);
        let deferred = self.timer.schedule(token_of(key.hash), old_at, was_deferred, expire_at, now);
        if !slot.get_mut().try_set_expiry(expire_at) {
            let moved = slot.get_mut().moved_to(&mut self.heap, expire_at);
            slot.replace(moved).free(&mut self.heap);
        }
        slot.get_mut().set_deferred(deferred);
        self.counts.add(slot.get());
        true
    }

    /// The moment from which `expire_due` has something to do.
    pub fn next_due(&self) -> Option<UnixMs> {
        self.timer.next_due(self.counts.tokens())
    }

    /// Removes what is due, telling `on_due` before each key is freed, and after fields are gone. Each token that fires or
    /// moves and each field takes 1 from `budget`; if nothing is left of it, there may be more to do.
    pub fn expire_due(&mut self, now: UnixMs, budget: &mut usize, on_due: &mut impl FnMut(Due, EntryRef<'_>)) {
        let mut fired = std::mem::take(&mut self.fired);
        self.timer.advance(now, budget, &mut fired);
        for group in fired.chunks(GROUP) {
            group.iter().for_each(|&token| self.table.prefetch_bucket(u64::from(token)));
            group.iter().for_each(|&token| self.table.prefetch_low(token));
            group.iter().for_each(|&token| self.fire(token, now, on_due));
        }
        if self.counts.timed > 0 {
            fired.iter().for_each(|&token| self.fire_parts(token, now, budget, on_due));
        }
        fired.clear();
        fired.shrink_to(4096);
        self.fired = fired;
        let (table, hasher) = (&self.table, &self.hasher);
        self.timer.sweep(self.counts.tokens(), budget, |token, covers| {
            table.any_low(token, |entry| {
                let key = entry.expire_at().is_some_and(|at| covers(entry.deferred(), at));
                (key || entry.filed().is_some_and(|filed| covers(filed.early, filed.at)))
                    && token_of(hasher.hash(entry.key())) == token
            })
        });
    }

    fn fire(&mut self, token: u32, now: UnixMs, on_due: &mut impl FnMut(Due, EntryRef<'_>)) {
        let Db { table, heap, timer, counts, hasher, garbage, saving, .. } = self;
        table.visit_low(
            token,
            |entry| hasher.hash(entry.key()),
            |mut entry| {
                let view = entry.view();
                let Some(at) = view.expire_at() else { return Verdict::Keep };
                if token_of(hasher.hash(view.key())) != token {
                    return Verdict::Keep;
                }
                if at <= now {
                    return Verdict::Remove;
                }
                let deferred = timer.fired_early(token, view.deferred(), at, now);
                entry.set_deferred(deferred);
                Verdict::Keep
            },
            |mut entry| {
                counts.sub(entry.as_ref());
                on_due(Due::Key, entry.as_ref());
                if let Some(saving) = saving {
                    saving.part(&mut entry.as_mut(), false);
                }
                dispose(heap, garbage, entry);
            },
        );
    }

    /// Removes from `expired` what was met since the last call, telling `f` before each is freed.
    pub fn take_expired(&mut self, mut f: impl FnMut(EntryRef<'_>)) -> usize {
        let count = self.expired.len();
        for entry in self.expired.drain(..) {
            f(entry.as_ref());
            dispose(&mut self.heap, &mut self.garbage, entry);
        }
        count
    }

    /// Big values to be freed somewhere else.
    pub(super) fn take_garbage(&mut self, into: &mut Vec<Garbage>) {
        into.append(&mut self.garbage);
    }

    /// Calls `f` for some of the keys that are not due and returns where to go on: begin with 0, end when 0 comes back.
    /// A key that is there all the time is visited at least once, possibly twice. Cost: one or two buckets.
    pub fn scan(&self, cursor: u64, now: UnixMs, mut f: impl FnMut(EntryRef<'_>)) -> u64 {
        self.table.scan(cursor, |entry| {
            if !entry.is_due(now) {
                f(entry);
            }
        })
    }

    /// A key chosen at random, none that is due.
    pub fn random(&self, random: &mut Random, now: UnixMs) -> Option<EntryRef<'_>> {
        (0..RANDOM_TRIES).find_map(|_| self.table.random(|| random.next_u64()).filter(|entry| !entry.is_due(now)))
    }

    /// Empties the database in O(1); what was in it is to be dropped somewhere else.
    ///
    /// What is being saved goes with it (`take_unsaved`).
    pub fn take_all(&mut self) -> Db {
        let mut fresh = Db::new(Arc::clone(&self.hasher));
        for mut entry in self.expired.drain(..) {
            // They are still to be told, and their heap goes.
            let expire_at = entry.as_ref().expire_at();
            fresh.expired.push(entry.as_mut().moved_to(&mut fresh.heap, expire_at));
            entry.free(&mut self.heap);
        }
        fresh.garbage = std::mem::take(&mut self.garbage);
        std::mem::replace(self, fresh)
    }

    /// Frees all entries. Cost: O(keys).
    fn give_back(&mut self) {
        self.table.drain(|entry| entry.free(&mut self.heap));
        self.expired.drain(..).for_each(|entry| entry.free(&mut self.heap));
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A string with little spare room, since it is to be kept.
fn fitting(mut text: Vec<u8>) -> Vec<u8> {
    if text.capacity() - text.len() > text.len() / 8 {
        text.shrink_to_fit();
    }
    text
}
