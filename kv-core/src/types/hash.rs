//! Hashes: fields with values, and with moments at which fields expire.
//!
//! ```text
//! Packed   field value field value ...         structs/packed; up to the limits of the options
//! Table    HashTable: field -> record          structs/dict; from then on, and as soon as a field has a TTL
//!
//! record   value                               one that does not begin with 0xFF
//!          0xFF 0x00 value                     one that does
//!          0xFF 0x01 [expire_at: u64 LE] value a field with a TTL
//! ```
//!
//! So a TTL costs nothing where there is none, and is read together with the value. The moments are a second time in an
//! ordered set, from which the fields that are due are taken, the earliest first.
//!
//! **A field that is due is gone**, whether it was removed or not: what reads takes the moment `now` and passes it over,
//! what writes treats it as missing. `remove_due` removes such fields in slices; a hash knows nothing of clocks and
//! timers, but keeps for whoever has one what is filed there ([`Filed`]). Only `len` counts fields due but not removed, since
//! they hold memory; `live` does not.
//!
//! A hash that has become a table stays one. Redis keeps small hashes with TTLs in a packed form of its own (`listpackex`);
//! `encoding` tells that name as long as Redis would.

mod fuzz;
mod table;
#[cfg(test)]
mod tests;

pub use self::fuzz::fuzz_hash;
pub use self::table::{Filed, FrozenTable, HashTable};

use super::Limits;
use crate::structs::packed::{Encoded, ITEMS_MAX, Item, Packed, PackedRef};
use crate::structs::random::Random;
use std::fmt;

/// A moment: milliseconds since 1970.
type UnixMs = u64;

/// No packed hash has a field or value larger than this, whatever the options allow.
const PACKED_TEXT_MAX: usize = 1 << 30;
/// Items of a packed hash to a field: itself and its value.
const STRIDE: usize = 2;
/// From how many times as many fields on it is quicker to choose again than to walk through all.
const SAMPLE_BY_LUCK: usize = 3;

/// What becomes of a field's TTL when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    Keep,
    Clear,
    At(UnixMs),
}

/// A hash that can be changed.
#[derive(Clone)]
pub enum Hash {
    Packed(Packed),
    Table(Box<HashTable>),
}

/// A hash that is read where it lies.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    Packed(PackedRef<'a>),
    Table(&'a HashTable),
}

impl Default for Hash {
    fn default() -> Self {
        Hash::new()
    }
}

impl Hash {
    pub const fn new() -> Hash {
        Hash::Packed(Packed::new())
    }

    /// One of fields with their values and moments, in the form that they ask for; none when a field comes twice.
    pub fn of_fields<'f>(
        fields: impl Iterator<Item = (Item<'f>, Item<'f>, Option<UnixMs>)> + Clone,
        limits: &Limits,
    ) -> Option<Hash> {
        let longest = limits.hash_packed_value.min(PACKED_TEXT_MAX);
        let (mut bytes, mut entries_left) = (0, limits.hash_packed_entries.min(ITEMS_MAX / STRIDE));
        let fits = fields.clone().all(|(field, value, expire_at)| {
            bytes += packed_bytes_max(field) + packed_bytes_max(value);
            let room = entries_left > 0;
            entries_left = entries_left.saturating_sub(1);
            room && expire_at.is_none() && field.len().max(value.len()) <= longest
        });
        if fits {
            let mut packed = Packed::with_capacity(bytes);
            fields.for_each(|(field, value, _)| {
                packed.push_encoded(&Encoded::of_item(field));
                packed.push_encoded(&Encoded::of_item(value));
            });
            return packed.as_ref().all_different(STRIDE).then_some(Hash::Packed(packed));
        }
        let mut table = HashTable::new(limits);
        for (field, value, expire_at) in fields {
            let (mut digits, mut value_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
            let ttl = expire_at.map_or(Ttl::Clear, Ttl::At);
            // Nothing is due before time begins.
            if !table.set(field.text(&mut digits), value.text(&mut value_digits), ttl, 0, limits) {
                return None;
            }
        }
        Some(Hash::Table(Box::new(table)))
    }

    #[inline]
    pub fn as_ref(&self) -> HashRef<'_> {
        match self {
            Hash::Packed(packed) => HashRef::Packed(packed.as_ref()),
            Hash::Table(table) => HashRef::Table(table),
        }
    }

    /// Bytes of memory held, the hash itself apart.
    pub fn bytes(&self) -> usize {
        match self {
            Hash::Packed(packed) => packed.capacity(),
            Hash::Table(table) => table.bytes(),
        }
    }

    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    /// Sets the value of a field, which loses its TTL; says whether the field is new.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], now: UnixMs, limits: &Limits) -> bool {
        self.set_with(field, value, Ttl::Clear, now, limits)
    }

    /// Sets the value and the TTL of a field; says whether the field is new. A moment that has passed is as good as any
    /// other.
    pub fn set_with(&mut self, field: &[u8], value: &[u8], ttl: Ttl, now: UnixMs, limits: &Limits) -> bool {
        if let Hash::Packed(packed) = self {
            let fits = field.len().max(value.len()) <= limits.hash_packed_value.min(PACKED_TEXT_MAX);
            let timed = matches!(ttl, Ttl::At(_));
            if fits && !timed {
                let wanted = Encoded::of(field);
                if let Some(at) = packed.as_ref().find(&wanted, STRIDE) {
                    packed.replace_at(packed.as_ref().next(at), value);
                    return false;
                }
                if packed.len() / STRIDE < limits.hash_packed_entries.min(ITEMS_MAX / STRIDE) {
                    packed.push_encoded(&wanted);
                    packed.push(value);
                    return true;
                }
            }
        }
        self.grown(limits).set(field, value, ttl, now, limits)
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8], now: UnixMs) -> bool {
        match self {
            Hash::Packed(packed) => {
                let found = packed.as_ref().find(&Encoded::of(field), STRIDE);
                found.map(|at| packed.remove_at(at, STRIDE)).is_some()
            }
            Hash::Table(table) => table.remove(field, now),
        }
    }

    /// Sets or takes away the TTL of a field; says whether there is such a field. The moment must not have passed, or be
    /// as good as any other.
    pub fn set_expire(&mut self, field: &[u8], expire_at: Option<UnixMs>, now: UnixMs, limits: &Limits) -> bool {
        match (&mut *self, expire_at) {
            (Hash::Packed(packed), None) => packed.as_ref().find(&Encoded::of(field), STRIDE).is_some(),
            (Hash::Packed(packed), Some(_)) if packed.as_ref().find(&Encoded::of(field), STRIDE).is_none() => false,
            _ => self.grown(limits).set_expire(field, expire_at, now),
        }
    }

    /// Removes fields that are due, the earliest first, telling `on_removed` each; each takes 1 from `budget`. If nothing
    /// is left of it, there may be more to do.
    pub fn remove_due(&mut self, now: UnixMs, budget: &mut usize, on_removed: impl FnMut(&[u8])) {
        if let Hash::Table(table) = self {
            table.remove_due(now, budget, on_removed);
        }
    }

    /// Empties the hash when nothing in it is visible any more. Cost: O(fields that are due).
    pub fn clear_if_gone(&mut self, now: UnixMs) {
        if self.as_ref().is_gone(now) {
            *self = Hash::new();
        }
    }

    /// The fields that there are now, those that are due but not removed included, whatever becomes of this hash. Cost:
    /// O(pages) of a table, as much as one write to a packed one.
    pub fn freeze(&mut self) -> FrozenHash {
        match self {
            Hash::Packed(packed) => FrozenHash::Packed(packed.clone()),
            Hash::Table(table) => FrozenHash::Table(table.freeze()),
        }
    }

    /// Notes what is filed with a timer for this hash.
    pub fn set_filed(&mut self, filed: Option<Filed>) {
        if let Hash::Table(table) = self {
            table.filed = filed;
        }
    }

    /// The hash as a table, which it becomes if it is none.
    fn grown(&mut self, limits: &Limits) -> &mut HashTable {
        if let Hash::Packed(packed) = self {
            let mut table = HashTable::new(limits);
            pairs(packed.as_ref()).for_each(|(field, value)| table.take_over(field, value));
            *self = Hash::Table(Box::new(table));
        }
        match self {
            Hash::Table(table) => table,
            Hash::Packed(_) => unreachable!("it has just become one"),
        }
    }
}

impl<'a> HashRef<'a> {
    /// Fields, those that are due but not yet removed included.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            HashRef::Packed(packed) => packed.len() / STRIDE,
            HashRef::Table(table) => table.len(),
        }
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Fields that are not due. Cost: O(fields that are).
    #[inline]
    pub fn live(self, now: UnixMs) -> usize {
        match self {
            HashRef::Packed(packed) => packed.len() / STRIDE,
            HashRef::Table(table) => table.len() - table.due(now),
        }
    }

    /// Whether nothing in the hash is visible any more.
    #[inline]
    pub fn is_gone(self, now: UnixMs) -> bool {
        match self {
            HashRef::Packed(packed) => packed.is_empty(),
            HashRef::Table(table) => table.is_gone(now),
        }
    }

    /// The name of the form, as Redis would keep this hash.
    pub fn encoding(self) -> &'static str {
        match self {
            HashRef::Packed(_) => "listpack",
            HashRef::Table(table) if table.is_small() => "listpackex",
            HashRef::Table(_) => "hashtable",
        }
    }

    /// The value of a field.
    #[inline]
    pub fn get(self, field: &[u8], now: UnixMs) -> Option<Item<'a>> {
        match self {
            HashRef::Packed(packed) => {
                let at = packed.find(&Encoded::of(field), STRIDE)?;
                Some(packed.get(packed.next(at)))
            }
            HashRef::Table(table) => Some(Item::Bytes(table.get(field, now)?.value)),
        }
    }

    #[inline]
    pub fn contains(self, field: &[u8], now: UnixMs) -> bool {
        match self {
            HashRef::Packed(packed) => packed.find(&Encoded::of(field), STRIDE).is_some(),
            HashRef::Table(table) => table.get(field, now).is_some(),
        }
    }

    /// When a field expires: `None` if there is no such field, `Some(None)` if it has no TTL.
    pub fn expire_at(self, field: &[u8], now: UnixMs) -> Option<Option<UnixMs>> {
        match self {
            HashRef::Packed(_) => self.contains(field, now).then_some(None),
            HashRef::Table(table) => Some(table.get(field, now)?.expire_at),
        }
    }

    /// How many fields have a TTL, those that are due included.
    pub fn ttl_fields(self) -> usize {
        match self {
            HashRef::Packed(_) => 0,
            HashRef::Table(table) => table.ttl_fields(),
        }
    }

    /// The moment at which the first field is due.
    #[inline]
    pub fn next_due(self) -> Option<UnixMs> {
        match self {
            HashRef::Packed(_) => None,
            HashRef::Table(table) => table.next_due(),
        }
    }

    /// The moment at which a field is due that is not due now. Cost: O(fields that are due).
    pub fn next_due_after(self, now: UnixMs) -> Option<UnixMs> {
        match self {
            HashRef::Packed(_) => None,
            HashRef::Table(table) => table.next_due_after(now),
        }
    }

    /// What is filed with a timer for this hash.
    #[inline]
    pub fn filed(self) -> Option<Filed> {
        match self {
            HashRef::Packed(_) => None,
            HashRef::Table(table) => table.filed,
        }
    }

    /// Fields and values; of a packed hash in the order in which the fields came.
    pub fn iter(self, now: UnixMs) -> impl Iterator<Item = (Item<'a>, Item<'a>)> {
        let (packed, table) = match self {
            HashRef::Packed(packed) => (Some(pairs(packed)), None),
            HashRef::Table(table) => (None, Some(table.iter(now))),
        };
        packed.into_iter().flatten().chain(table.into_iter().flatten())
    }

    /// All fields with their values and moments, those that are due but not yet removed included.
    pub fn fields(self) -> impl Iterator<Item = (Item<'a>, Item<'a>, Option<UnixMs>)> {
        let (packed, table) = match self {
            HashRef::Packed(packed) => (Some(pairs(packed)), None),
            HashRef::Table(table) => (None, Some(table.fields())),
        };
        let timeless = packed.into_iter().flatten().map(|(field, value)| (field, value, None));
        timeless.chain(table.into_iter().flatten())
    }

    /// Calls `f` for some of the fields and returns where to go on: begin with 0, end when 0 comes back. A field that is
    /// there all the time is visited at least once. Cost: about `count` fields; all of a packed hash.
    pub fn scan(self, cursor: u64, count: usize, now: UnixMs, mut f: impl FnMut(Item<'a>, Item<'a>)) -> u64 {
        match self {
            HashRef::Packed(packed) => {
                pairs(packed).for_each(|(field, value)| f(field, value));
                0
            }
            HashRef::Table(table) => table.scan(cursor, count, now, f),
        }
    }

    /// A field chosen at random, with its value. Cost: O(n) for a packed hash, and for one whose fields are mostly due.
    pub fn random(self, random: &mut Random, now: UnixMs) -> Option<(Item<'a>, Item<'a>)> {
        match self {
            HashRef::Packed(packed) if packed.is_empty() => None,
            HashRef::Packed(packed) => {
                let at = packed.nth(random.index(packed.len() / STRIDE) * STRIDE);
                Some((packed.get(at), packed.get(packed.next(at))))
            }
            HashRef::Table(table) => table.random(random, now),
        }
    }

    /// `count` fields chosen at random, each time among all, as long as `f` wants more.
    pub fn draw(self, count: usize, random: &mut Random, now: UnixMs, mut f: impl FnMut(Item<'a>, Item<'a>) -> bool) {
        match self {
            // One walk instead of one for each.
            HashRef::Packed(packed) if count > 1 && !packed.is_empty() => {
                let all: Vec<_> = pairs(packed).collect();
                let mut chosen = (0..count).map(|_| all[random.index(all.len())]);
                chosen.all(|(field, value)| f(field, value));
            }
            _ => {
                let mut chosen = (0..count).map_while(|_| self.random(random, now));
                chosen.all(|(field, value)| f(field, value));
            }
        }
    }

    /// `count` different fields chosen at random, or all if there are fewer; returns how many they are. Cost: O(count *
    /// log count) of a table with more than three times as many, else O(n).
    pub fn sample(self, count: usize, random: &mut Random, now: UnixMs, mut f: impl FnMut(Item<'a>, Item<'a>)) {
        let len = self.live(now);
        if let HashRef::Table(table) = self
            && count < len / SAMPLE_BY_LUCK
            && len > table.len() / SAMPLE_BY_LUCK
        {
            return table.sample(count, random, now, f);
        }
        // Each of those left is chosen with the probability that makes it `count` in the end.
        let mut missing = count.min(len);
        for (at, (field, value)) in self.iter(now).enumerate() {
            if missing == 0 {
                break;
            }
            if random.index(len - at) < missing {
                missing -= 1;
                f(field, value);
            }
        }
    }
}

/// Bytes that an item takes in a packed sequence, at most.
fn packed_bytes_max(item: Item<'_>) -> usize {
    item.len() + 5
}

/// A hash as it was when it was frozen. It may be read on any thread.
pub enum FrozenHash {
    Packed(Packed),
    Table(FrozenTable),
}

impl FrozenHash {
    pub fn len(&self) -> usize {
        match self {
            FrozenHash::Packed(packed) => packed.len() / STRIDE,
            FrozenHash::Table(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that are kept from being freed, at most.
    pub fn bytes(&self) -> usize {
        match self {
            FrozenHash::Packed(packed) => packed.capacity(),
            FrozenHash::Table(table) => table.bytes(),
        }
    }

    /// Calls `f` with each field, its value and its moment, and lets go of the memory meanwhile.
    pub fn for_each(self, mut f: impl FnMut(Item<'_>, Item<'_>, Option<UnixMs>)) {
        match self {
            FrozenHash::Packed(packed) => pairs(packed.as_ref()).for_each(|(field, value)| f(field, value, None)),
            FrozenHash::Table(table) => table.for_each(f),
        }
    }
}

/// The pairs of a packed hash.
fn pairs<'a>(packed: PackedRef<'a>) -> impl Iterator<Item = (Item<'a>, Item<'a>)> {
    let mut items = packed.iter();
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

/// Equal fields with equal values and TTLs, in whatever form.
impl PartialEq for HashRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        // No field is due at moment 0.
        let same = |(field, value): (Item<'_>, Item<'_>)| {
            let mut digits = itoa::Buffer::new();
            let field = field.text(&mut digits);
            other.get(field, 0).is_some_and(|found| found.compare(value).is_eq())
                && self.expire_at(field, 0) == other.expire_at(field, 0)
        };
        self.len() == other.len() && self.iter(0).all(same)
    }
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl fmt::Debug for HashRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |item: Item<'_>| String::from_utf8_lossy(&item.to_vec()).into_owned();
        f.debug_map().entries(self.iter(0).map(|(field, value)| (show(field), show(value)))).finish()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}
