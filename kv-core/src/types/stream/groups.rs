//! Consumer groups of a stream: who has read what, and what was delivered but not acknowledged.
//!
//! ```text
//! Groups    name -> Group                                   in the order of names
//! Group     last delivered id, entries read
//!           pending    id -> consumer, moment, deliveries   all of them, by id
//!           consumers  number -> name, moments, ids         a consumer's own pending ids
//!           numbers    name -> number                       in the order of names
//! ```
//!
//! Invariant: a pending entry is in `pending` and in the ids of exactly the consumer it names.
//!
//! A group does not know the entries themselves: a pending entry may have been deleted from the stream.

use super::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// A moment: milliseconds since 1970.
type UnixMs = u64;

/// Heap bytes of a B-tree's element: what it holds, and the free places of a node that was filled from left to right.
const fn in_tree(size: usize) -> usize {
    size * 11 / 6
}

const PENDING_BYTES: usize = in_tree(size_of::<(StreamId, Pending)>()) + in_tree(size_of::<StreamId>());
/// A consumer, its name in the order of names, its place in the list of consumers.
const CONSUMER_BYTES: usize = in_tree(size_of::<(Box<[u8]>, ConsumerNo)>()) + size_of::<Option<Consumer>>();
const GROUP_BYTES: usize = in_tree(size_of::<(Box<[u8]>, Group)>());

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    by_name: BTreeMap<Box<[u8]>, Group>,
    bytes: usize,
}

impl Groups {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Heap bytes held. Cost: O(1).
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.by_name.get(name)
    }

    /// Names with their groups, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.by_name.iter().map(|(name, group)| (&**name, group))
    }

    /// Makes a group; false when there is one of that name.
    pub fn create(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<u64>) -> bool {
        if self.by_name.contains_key(name) {
            return false;
        }
        self.by_name.insert(name.into(), Group { last_id, entries_read, ..Group::default() });
        self.bytes += GROUP_BYTES + name.len();
        true
    }

    /// Removes a group; false when there is none of that name.
    pub fn destroy(&mut self, name: &[u8]) -> bool {
        match self.by_name.remove(name) {
            Some(group) => {
                self.bytes -= GROUP_BYTES + name.len() + group.bytes();
                true
            }
            None => false,
        }
    }

    /// Changes a group.
    #[inline]
    pub fn edit<R>(&mut self, name: &[u8], edit: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let group = self.by_name.get_mut(name)?;
        let before = group.bytes();
        let result = edit(group);
        self.bytes = self.bytes + group.bytes() - before;
        Some(result)
    }

    /// Panics: when an invariant does not hold. For tests.
    pub fn check(&self) {
        let bytes: usize = self.by_name.iter().map(|(name, group)| GROUP_BYTES + name.len() + group.bytes()).sum();
        assert_eq!(bytes, self.bytes);
        self.by_name.values().for_each(Group::check);
    }
}

/// A consumer's place in its group, as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerNo(u32);

/// What was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub consumer: ConsumerNo,
    pub delivered_at: UnixMs,
    pub deliveries: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last asked for something.
    pub seen_at: UnixMs,
    /// When it last got something.
    pub active_at: Option<UnixMs>,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has not acknowledged.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The ids of these entries from one on.
    pub fn pending_from(&self, from: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.range(from..).copied()
    }

    /// The ids of these entries in a range, which must not be empty backwards.
    pub fn pending_in(&self, range: RangeInclusive<StreamId>) -> impl Iterator<Item = StreamId> {
        self.pending.range(range).copied()
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// The greatest id that was delivered.
    pub last_id: StreamId,
    /// How many of all entries ever added were read up to there; none when that cannot be told.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    consumers: Vec<Option<Consumer>>,
    /// Places of consumers that are gone, for those to come.
    free: Vec<ConsumerNo>,
    numbers: BTreeMap<Box<[u8]>, ConsumerNo>,
    name_bytes: usize,
}

impl Group {
    fn bytes(&self) -> usize {
        self.pending.len() * PENDING_BYTES + self.numbers.len() * CONSUMER_BYTES + 2 * self.name_bytes
    }

    /// How many entries are pending.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    pub fn pending_at(&self, id: StreamId) -> Option<Pending> {
        self.pending.get(&id).copied()
    }

    /// Pending entries from an id on.
    pub fn pending_from(&self, from: StreamId) -> impl Iterator<Item = (StreamId, Pending)> {
        self.pending.range(from..).map(|(&id, &pending)| (id, pending))
    }

    /// Smallest and greatest pending id.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        Some((*self.pending.first_key_value()?.0, *self.pending.last_key_value()?.0))
    }

    /// How many consumers there are.
    pub fn consumers(&self) -> usize {
        self.numbers.len()
    }

    /// Consumers in the order of their names.
    pub fn each_consumer(&self) -> impl Iterator<Item = &Consumer> {
        self.numbers.values().map(|&number| self.consumer(number))
    }

    pub fn find(&self, name: &[u8]) -> Option<ConsumerNo> {
        self.numbers.get(name).copied()
    }

    pub fn consumer(&self, number: ConsumerNo) -> &Consumer {
        self.consumers[number.0 as usize].as_ref().expect("the number of a consumer")
    }

    pub fn consumer_mut(&mut self, number: ConsumerNo) -> &mut Consumer {
        self.consumers[number.0 as usize].as_mut().expect("the number of a consumer")
    }

    /// Makes a consumer; none when there is one of that name.
    pub fn create(&mut self, name: &[u8], now: UnixMs) -> Option<ConsumerNo> {
        if self.numbers.contains_key(name) {
            return None;
        }
        let consumer = Consumer { name: name.into(), seen_at: now, active_at: None, pending: BTreeSet::new() };
        let number = self.free.pop().unwrap_or(ConsumerNo(self.consumers.len() as u32));
        if number.0 as usize == self.consumers.len() {
            self.consumers.push(None);
        }
        self.consumers[number.0 as usize] = Some(consumer);
        self.numbers.insert(name.into(), number);
        self.name_bytes += name.len();
        Some(number)
    }

    /// The consumer of a name, made if there is none; it was seen now. Says whether it was made.
    #[inline]
    pub fn seen(&mut self, name: &[u8], now: UnixMs) -> (ConsumerNo, bool) {
        match self.find(name) {
            Some(number) => {
                self.consumer_mut(number).seen_at = now;
                (number, false)
            }
            None => (self.create(name, now).expect("there is none"), true),
        }
    }

    /// Removes a consumer and what was pending with it; tells how much that was.
    pub fn delete(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.numbers.remove(name)?;
        let consumer = self.consumers[number.0 as usize].take().expect("the number of a consumer");
        consumer.pending.iter().for_each(|id| {
            self.pending.remove(id);
        });
        self.name_bytes -= name.len();
        self.free.push(number);
        Some(consumer.pending.len())
    }

    /// Marks an entry as delivered to a consumer now for the first time, whoever had it before.
    #[inline]
    pub fn deliver(&mut self, id: StreamId, consumer: ConsumerNo, now: UnixMs) {
        self.set_pending(id, Pending { consumer, delivered_at: now, deliveries: 1 });
    }

    /// Sets the state of a pending entry, whoever had it before.
    #[inline]
    pub fn set_pending(&mut self, id: StreamId, pending: Pending) {
        let before = self.pending.insert(id, pending);
        match before {
            Some(before) if before.consumer == pending.consumer => return,
            Some(before) => self.consumer_mut(before.consumer).pending.remove(&id),
            None => false,
        };
        self.consumer_mut(pending.consumer).pending.insert(id);
    }

    /// Takes an entry off the pending ones; says whether it was one.
    #[inline]
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        match self.pending.remove(&id) {
            Some(pending) => self.consumer_mut(pending.consumer).pending.remove(&id),
            None => false,
        }
    }

    fn check(&self) {
        assert_eq!(self.consumers.iter().flatten().count(), self.numbers.len());
        assert_eq!(self.consumers.len() - self.free.len(), self.numbers.len());
        assert!(self.free.iter().all(|number| self.consumers[number.0 as usize].is_none()));
        let mut own = 0;
        for (name, &number) in &self.numbers {
            let consumer = self.consumer(number);
            assert_eq!(consumer.name, *name);
            assert!(consumer.pending.iter().all(|id| self.pending[id].consumer == number));
            own += consumer.pending.len();
        }
        assert_eq!(own, self.pending.len());
        assert_eq!(self.numbers.keys().map(|name| name.len()).sum::<usize>(), self.name_bytes);
    }
}
