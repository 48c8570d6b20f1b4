//! Random calls to a stream, compared with plain maps.

use super::*;
use crate::structs::random::Random;
use std::collections::BTreeMap;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Plays a random sequence of calls against maps of entries and of pending entries.
///
/// Panics: with the seed in the message, when they disagree.
pub fn fuzz_stream(seed: u64) {
    let mut model = Model::new(seed);
    for step in 0..1_500 {
        model.step();
        if step % 50 == 0 {
            model.check();
            model.freeze_and_check();
        }
    }
    model.check();
}

#[derive(Default)]
struct PlainGroup {
    last_id: StreamId,
    /// Consumer, moment, deliveries.
    pending: BTreeMap<StreamId, (Vec<u8>, u64, u64)>,
}

struct Model {
    seed: u64,
    random: Random,
    limits: NodeLimits,
    now: u64,
    stream: Stream,
    entries: BTreeMap<StreamId, Fields>,
    added: u64,
    max_deleted: StreamId,
    groups: BTreeMap<Vec<u8>, PlainGroup>,
    /// More entries are kept in some runs than in others.
    len_max: usize,
    /// What was frozen, and a copy of that moment.
    frozen: Option<(Stream, Stream)>,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random::new(seed);
        let limits =
            NodeLimits { bytes: [0, 1, 100, 300, 4096][random.index(5)], entries: [0, 1, 2, 5, 100][random.index(5)] };
        let len_max = [5, 100, 1_000][random.index(3)];
        Model {
            seed,
            limits,
            now: random.below(3),
            stream: Stream::new(),
            entries: BTreeMap::new(),
            added: 0,
            max_deleted: StreamId::MIN,
            groups: BTreeMap::new(),
            len_max,
            frozen: None,
            random,
        }
    }

    fn word(&mut self) -> Vec<u8> {
        let len = match self.random.below(40) {
            0 => 127 + self.random.index(3),
            1 => 16_383 + self.random.index(3),
            _ => self.random.index(5),
        };
        self.random.bytes_of(b"ab\0\xff", len)
    }

    fn fields(&mut self) -> Fields {
        let usual = self.random.one_in(2);
        let count = if usual { 2 } else { 1 + self.random.index(4) };
        (0..count).map(|i| (if usual { vec![b'f', i as u8] } else { self.word() }, self.word())).collect()
    }

    /// An id that is or was there, or lies near one, or anywhere.
    fn some_id(&mut self) -> StreamId {
        let last = self.stream.last_id();
        match self.random.below(8) {
            0 => StreamId::MIN,
            1 => StreamId::MAX,
            2 => last,
            3 => StreamId::new(self.random.below(last.ms.saturating_add(2)), self.random.below(4)),
            _ if self.entries.is_empty() => last,
            _ => {
                let at = self.random.index(self.entries.len());
                let id = *self.entries.keys().nth(at).expect("within the length");
                match self.random.below(6) {
                    0 => id.next().unwrap_or(id),
                    1 => id.prev().unwrap_or(id),
                    _ => id,
                }
            }
        }
    }

    fn step(&mut self) {
        self.now += self.random.below(3);
        if self.random.one_in(100) {
            self.now += 1 << self.random.below(40);
        }
        match self.random.below(20) {
            0..=8 => self.append(),
            9 if self.entries.len() > self.len_max => self.trim(),
            9 if self.random.one_in(10) => self.trim(),
            10 | 11 => self.delete(),
            12..=14 => self.read(),
            15 => self.edit_groups(),
            _ => self.use_group(),
        }
    }

    fn append(&mut self) {
        let fields = self.fields();
        let last = self.stream.last_id();
        let wanted = match self.random.below(4) {
            0 => NewId::At(self.now),
            1 => NewId::Exactly(StreamId::new(last.ms + self.random.below(3), self.random.below(200))),
            2 if self.random.one_in(20) => NewId::Exactly(StreamId::new(last.ms, u64::MAX - self.random.below(2))),
            _ => NewId::Auto,
        };
        let id = self.stream.next_id(wanted, self.now);
        let expected = match wanted {
            NewId::Exactly(id) => id,
            NewId::At(ms) if ms == last.ms => StreamId::new(ms, last.seq.wrapping_add(1)),
            NewId::At(ms) => StreamId::new(ms, 0),
            NewId::Auto if self.now > last.ms => StreamId::new(self.now, 0),
            NewId::Auto => last.next().unwrap_or(StreamId::MIN),
        };
        assert_eq!(id, Some(expected).filter(|&id| id > last), "seed {}: {wanted:?} after {last}", self.seed);
        let Some(id) = id else { return };
        let pairs = fields.iter().map(|(field, value)| (&field[..], &value[..]));
        let size = pairs.clone().map(|(field, value)| field.len() + value.len()).sum();
        self.stream.append(id, fields.len(), size, pairs, self.limits);
        self.entries.insert(id, fields);
        self.added += 1;
    }

    fn delete(&mut self) {
        // Runs of deletions make nodes small and empty.
        let mut id = self.some_id();
        for _ in 0..1 + self.random.below(4) * self.random.below(8) {
            let there = self.entries.remove(&id).is_some();
            assert_eq!(self.stream.delete(id), there, "seed {}: {id}", self.seed);
            if there {
                self.max_deleted = self.max_deleted.max(id);
            }
            match self.entries.range(id..).next() {
                Some((&next, _)) => id = next,
                None => break,
            }
        }
    }

    fn trim(&mut self) {
        let to = match self.random.below(2) {
            0 => TrimTo::MaxLen(self.random.below(self.entries.len() as u64 + 3)),
            _ => TrimTo::MinId(self.some_id()),
        };
        let approximate = self.random.one_in(2);
        let limit = if approximate { self.random.below(3) * self.random.below(50) } else { 0 };
        let removed = self.stream.trim(Trim { to, approximate, limit });
        let doomed = match to {
            TrimTo::MaxLen(max) => (self.entries.len() as u64).saturating_sub(max),
            TrimTo::MinId(min) => self.entries.range(..min).count() as u64,
        };
        if approximate {
            assert!(removed <= doomed && (limit == 0 || removed <= limit), "seed {}: {to:?}", self.seed);
        } else {
            assert_eq!(removed, doomed, "seed {}: {to:?}", self.seed);
        }
        (0..removed).for_each(|_| {
            self.entries.pop_first();
        });
    }

    fn read(&mut self) {
        let (from, to) = (self.some_id(), self.some_id());
        let own = |entry: Entry<'_>| {
            let pairs: Fields = entry.pairs().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
            assert_eq!(entry.len(), pairs.len());
            (entry.id, pairs)
        };
        let range = self.stream.range(from, to);
        let expected: Vec<(StreamId, &Fields)> = match from <= to {
            true => self.entries.range(from..=to).map(|(&id, fields)| (id, fields)).collect(),
            false => Vec::new(),
        };
        let max = self.random.index(self.entries.len() + 2);
        assert_eq!(range.count_up_to(max), expected.len().min(max), "seed {}: {from} to {to}", self.seed);
        // From both ends, until they meet.
        let (mut ours, mut theirs) = (range, expected.iter());
        let forwards = self.random.below(4);
        loop {
            let (got, wanted) = match self.random.below(3) < forwards {
                true => (ours.next(), theirs.next()),
                false => (ours.next_back(), theirs.next_back()),
            };
            let wanted = wanted.map(|&(id, fields)| (id, fields.clone()));
            assert_eq!(got.map(own), wanted, "seed {}: {from} to {to}", self.seed);
            if wanted.is_none() {
                break;
            }
        }
        assert_eq!(self.stream.get(from).map(own).map(|(_, fields)| fields).as_ref(), self.entries.get(&from));
    }

    fn edit_groups(&mut self) {
        let name = self.random.bytes_of(b"xyz", 1);
        if self.random.one_in(3) {
            let there = self.groups.remove(&name).is_some();
            assert_eq!(self.stream.destroy_group(&name), there, "seed {}", self.seed);
        } else {
            let last_id = self.some_id().min(self.stream.last_id());
            let new = !self.groups.contains_key(&name);
            assert_eq!(self.stream.create_group(&name, last_id, None), new, "seed {}", self.seed);
            self.groups.entry(name).or_insert(PlainGroup { last_id, ..PlainGroup::default() });
        }
    }

    fn use_group(&mut self) {
        let name = self.random.bytes_of(b"xyz", 1);
        let consumer = self.random.bytes_of(b"kl", 2);
        let (seed, now, what) = (self.seed, self.now, self.random.below(6));
        let (id, count) = (self.some_id(), self.random.index(20));
        let Some(plain) = self.groups.get_mut(&name) else {
            assert!(self.stream.edit_group(&name, |_, _| ()).is_none(), "seed {seed}");
            return;
        };
        let entries = &self.entries;
        self.stream
            .edit_group(&name, |group, log| match what {
                0..=2 => {
                    let (number, _) = group.seen(&consumer, now);
                    let behind = plain.last_id.next().unwrap_or(StreamId::MAX);
                    let read: Vec<StreamId> = entries.range(behind..).take(count).map(|(&id, _)| id).collect();
                    let ours: Vec<StreamId> =
                        log.range(behind, StreamId::MAX).take(count).map(|entry| entry.id).collect();
                    assert_eq!(ours, read, "seed {seed}");
                    for id in read {
                        log.count_read(group, id);
                        group.deliver(id, number, now);
                        plain.pending.insert(id, (consumer.clone(), now, 1));
                        plain.last_id = id;
                    }
                }
                3 => {
                    let there = plain.pending.remove(&id).is_some();
                    assert_eq!(group.acknowledge(id), there, "seed {seed}: {id}");
                }
                4 => {
                    if let Some((_, _, deliveries)) = plain.pending.get(&id).cloned() {
                        let (number, _) = group.seen(&consumer, now);
                        let pending = Pending { consumer: number, delivered_at: now, deliveries: deliveries + 1 };
                        group.set_pending(id, pending);
                        plain.pending.insert(id, (consumer.clone(), now, deliveries + 1));
                    }
                }
                _ => {
                    let lost = plain.pending.values().filter(|(name, ..)| *name == consumer).count();
                    let there = group.find(&consumer).is_some();
                    assert_eq!(group.delete(&consumer), there.then_some(lost), "seed {seed}");
                    plain.pending.retain(|_, (name, ..)| *name != consumer);
                }
            })
            .unwrap_or_else(|| panic!("seed {seed}: the group is there"));
    }

    fn freeze_and_check(&mut self) {
        let fresh = (self.stream.freeze(), self.stream.clone());
        if let Some((frozen, then)) = self.frozen.replace(fresh) {
            frozen.check();
            assert_eq!(frozen, then, "seed {}: what was frozen has changed", self.seed);
        }
    }

    fn check(&self) {
        let (seed, stream) = (self.seed, &self.stream);
        stream.check();
        assert_eq!(stream.len(), self.entries.len() as u64, "seed {seed}");
        let ids: Vec<StreamId> = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect();
        assert!(ids.iter().eq(self.entries.keys()), "seed {seed}");
        assert_eq!((stream.entries_added(), stream.max_deleted_id()), (self.added, self.max_deleted), "seed {seed}");
        assert_eq!(stream.groups().map_or(0, Groups::len), self.groups.len(), "seed {seed}");
        for (name, plain) in &self.groups {
            let group = stream.group(name).unwrap_or_else(|| panic!("seed {seed}: {name:?} is there"));
            let pending: BTreeMap<_, _> = group
                .pending_from(StreamId::MIN)
                .map(|(id, p)| (id, (group.consumer(p.consumer).name().to_vec(), p.delivered_at, p.deliveries)))
                .collect();
            assert_eq!((group.last_id, pending), (plain.last_id, plain.pending.clone()), "seed {seed}");
            let own: usize = group.each_consumer().map(Consumer::pending).sum();
            assert_eq!(own, plain.pending.len(), "seed {seed}");
            // What can be told about a group's distance is true.
            let unread = plain.last_id.next().map_or(0, |next| self.entries.range(next..).count());
            if let Some(lag) = stream.lag(group) {
                assert_eq!(lag, unread as i64, "seed {seed}: {name:?} at {}", plain.last_id);
            }
        }
        let mut copy = stream.clone();
        copy.check();
        assert_eq!(copy, *stream, "seed {seed}");
        if let Some(&first) = self.entries.keys().next() {
            assert!(copy.delete(first) && stream.get(first).is_some(), "seed {seed}: a copy is its own");
        }
    }
}
