//! Subscriptions: which connections of a worker have subscribed to what, and which other workers have subscribers.
//!
//! ```text
//! topics         what somebody here has subscribed to: a channel, a shard channel, a pattern, a prefix or all commands, with its
//!                connections
//! interest       for each name, by its hash, the *other* workers that have such a topic; patterns and prefixes by their text
//! ```
//!
//! A worker tells all others when its first connection subscribes to a name, and when the last one has gone: one message a
//! turn ([`Interest`]), sent when the turn is published. It says what the worker is interested in, not who or how many.
//!
//! **A subscription begins** when all other workers have noted the interest, each after the turn in which it did so was published.
//! So a PUBLISH in a turn that is published behind the reply to SUBSCRIBE goes to this worker, whoever sends it; and who reads after
//! that reply finds what was written before any PUBLISH that has missed it. While somebody here has the same subscription already,
//! nothing is waited for. A subscription ends at once; what still comes finds nobody.
//!
//! **A message** is a request to the workers that are interested: a turn that sends it to several is published under the lock, so
//! that all subscribers see all messages in one order, and what one publisher sends comes in the order in which it was sent,
//! messages and writes alike (`engine/mod.rs`). If only the publisher's own worker has subscribers, it is delivered on the spot. Each
//! worker answers how many have got it: the sum is exact. A worker that was interested a moment ago answers 0.
//!
//! **What a script publishes, or a transaction,** goes out with the turn of the worker that runs it, once it is over and is not to be run
//! anew. What would let others see what it has done, replies and shards, leaves that worker behind it (`worker::notices`). So
//! who sees what it has written and publishes then is later, and messages of transactions over the same shards come in the order in which
//! these ran. It is told how many would get the message at that moment ([`Audience`]). (A transaction that has no keys, or subscribes to
//! something itself, publishes at the worker of its connection, as a PUBLISH by itself does.)
//!
//! **Delivery.** A message is encoded once for each protocol; small ones are copied into the outputs, large ones shared by them. It
//! takes its place in the line of replies (`Connection::answer`), so that it never comes before a reply that it follows.
//!
//! Two names with one hash cost needless messages, not wrong ones: receivers are found by their names.

use super::mail::Dest;
use super::worker::ConnId;
use kv_core::command::RowId;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a subscription is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Shard,
    Pattern,
    /// Not to messages, but to news of keys with a prefix (CLIENT TRACKING BCAST).
    Prefix,
    /// Not to messages, but to all commands (MONITOR). It has one name.
    Monitor,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Channel, Kind::Shard, Kind::Pattern, Kind::Prefix, Kind::Monitor];

    /// A hash that tells the kinds apart.
    fn place(self, hash: u64) -> u64 {
        hash << 3 | self as u64
    }

    fn of_place(place: u64) -> Kind {
        Kind::ALL[(place & 7) as usize]
    }
}

/// A topic's place at its worker. Given anew when it has no subscribers any more.
pub type TopicId = u32;

const NONE: TopicId = TopicId::MAX;

pub struct Topic {
    pub kind: Kind,
    pub name: Box<[u8]>,
    place: u64,
    pub subscribers: Vec<ConnId>,
    /// SUBSCRIBEs under way that name it.
    awaited: usize,
    /// The message of this number tells the other workers.
    told_in: u64,
    /// Another one with the same place.
    next: TopicId,
    /// Of a pattern: where it stands among the patterns.
    position: usize,
}

/// What has changed in a worker's interest since it told the others last.
#[derive(Debug)]
pub struct Interest {
    pub from: usize,
    pub number: u64,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Begins(u64),
    Ends(u64),
    TextBegins(Kind, Box<[u8]>),
    TextEnds(Kind, Box<[u8]>),
}

/// What is begun when the others have noted it.
pub enum Awaited {
    Subscriptions(Vec<TopicId>),
    /// CLIENT TRACKING with prefixes, or MONITOR: it has begun, and is to be answered with OK.
    Ok,
}

/// A SUBSCRIBE, or its like, that waits until the others have noted it.
pub struct Awaiting {
    pub conn: ConnId,
    /// Where its answer belongs.
    pub dest: Dest,
    pub what: Awaited,
    /// The number of the message that all must have noted.
    number: u64,
}

/// Texts, and which workers have them.
type Texts = BTreeMap<Box<[u8]>, Vec<u16>>;

/// How many connections of a worker have subscribed to what: for scripts, which are told at once how many get what they publish.
/// No other way leads through its mutex but SUBSCRIBE and its kin at that worker.
#[derive(Default)]
pub struct Audience(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    places: HashMap<u64, usize>,
    patterns: HashMap<Box<[u8]>, usize>,
}

impl Audience {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self, topic: &Topic, by: isize) {
        fn add<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K, by: isize) {
            match counts.entry(key) {
                Entry::Occupied(count) if count.get().wrapping_add_signed(by) == 0 => _ = count.remove(),
                count => _ = count.and_modify(|count| *count = count.wrapping_add_signed(by)).or_insert(1),
            }
        }
        let mut counts = self.counts();
        match topic.kind {
            Kind::Pattern => add(&mut counts.patterns, topic.name.clone(), by),
            Kind::Channel | Kind::Shard => add(&mut counts.places, topic.place, by),
            // Nobody publishes to these.
            Kind::Prefix | Kind::Monitor => {}
        }
    }

    /// How many messages a PUBLISH would be here.
    pub fn of(&self, kind: Kind, hash: u64, channel: &[u8]) -> usize {
        let counts = self.counts();
        let by_name = counts.places.get(&kind.place(hash)).copied().unwrap_or(0);
        let matching = |pattern: &[u8]| kind == Kind::Channel && kv_core::types::pattern::matches(pattern, channel);
        by_name + counts.patterns.iter().filter(|(pattern, _)| matching(pattern)).map(|(_, count)| count).sum::<usize>()
    }
}

/// A message of a script or a transaction.
pub struct Message {
    /// PUBLISH or SPUBLISH.
    pub row: RowId,
    pub channel: Box<[u8]>,
    pub text: Box<[u8]>,
}

/// Of what a worker knows about subscriptions.
pub struct Hub {
    id: usize,
    workers: usize,
    topics: Vec<Topic>,
    free: Vec<TopicId>,
    /// The first topic of each place.
    places: HashMap<u64, TopicId>,
    /// The own patterns.
    patterns: Vec<TopicId>,
    /// The other workers with an interest: bits, by the place and the number of the 64 workers.
    interest: HashMap<(u64, u16), u64>,
    others_patterns: Texts,
    others_prefixes: Texts,
    /// How many prefixes there are of each length, own and of others.
    prefix_lengths: BTreeMap<usize, usize>,
    /// How many names there are that this worker or another has, by kind; patterns are counted when asked for.
    known: [usize; 2],
    /// What the others are to be told, with the next number.
    changes: Vec<Change>,
    next_number: u64,
    /// Up to which number each worker has noted what it was told.
    noted: Vec<u64>,
    awaiting: VecDeque<Awaiting>,
    /// Whose messages were noted in this turn, and their numbers.
    to_confirm: Vec<(usize, u64)>,
}

impl Hub {
    pub fn new(id: usize, workers: usize) -> Hub {
        let mut noted = vec![0; workers];
        noted[id] = u64::MAX;
        Hub {
            id,
            workers,
            topics: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            patterns: Vec::new(),
            interest: HashMap::new(),
            others_patterns: BTreeMap::new(),
            others_prefixes: BTreeMap::new(),
            prefix_lengths: BTreeMap::new(),
            known: [0; 2],
            changes: Vec::new(),
            next_number: 1,
            noted,
            awaiting: VecDeque::new(),
            to_confirm: Vec::new(),
        }
    }

    // ---- topics ----

    pub fn topic(&self, id: TopicId) -> &Topic {
        &self.topics[id as usize]
    }

    pub fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        &mut self.topics[id as usize]
    }

    pub fn find(&self, kind: Kind, hash: u64, name: &[u8]) -> Option<TopicId> {
        let mut at = *self.places.get(&kind.place(hash))?;
        while at != NONE && *self.topic(at).name != *name {
            at = self.topic(at).next;
        }
        (at != NONE).then_some(at)
    }

    /// The topic of a name, made if there is none, for a SUBSCRIBE that [`Hub::subscribed`] ends.
    pub fn await_topic(&mut self, kind: Kind, hash: u64, name: &[u8]) -> TopicId {
        let id = match self.find(kind, hash, name) {
            Some(id) => id,
            None => self.make_topic(kind, hash, name),
        };
        self.topic_mut(id).awaited += 1;
        id
    }

    fn make_topic(&mut self, kind: Kind, hash: u64, name: &[u8]) -> TopicId {
        let place = kind.place(hash);
        if !self.is_known(place) {
            self.count(place, 1);
        }
        let next = self.places.get(&place).copied().unwrap_or(NONE);
        let told_in = if self.workers > 1 { self.next_number } else { 0 };
        let topic = Topic {
            kind,
            name: name.into(),
            place,
            subscribers: Vec::new(),
            awaited: 0,
            told_in,
            next,
            position: self.patterns.len(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.topics[id as usize] = topic;
                id
            }
            None => {
                self.topics.push(topic);
                (self.topics.len() - 1) as TopicId
            }
        };
        self.places.insert(place, id);
        self.change(kind, Change::Begins(place), Change::TextBegins, name);
        match kind {
            Kind::Pattern => self.patterns.push(id),
            Kind::Prefix => self.count_prefix(name.len(), 1),
            Kind::Channel | Kind::Shard | Kind::Monitor => {}
        }
        id
    }

    fn change(&mut self, kind: Kind, change: Change, of_text: fn(Kind, Box<[u8]>) -> Change, name: &[u8]) {
        if self.workers > 1 {
            self.changes.push(match kind {
                Kind::Channel | Kind::Shard | Kind::Monitor => change,
                Kind::Pattern | Kind::Prefix => of_text(kind, name.into()),
            });
        }
    }

    /// A SUBSCRIBE that has named the topic is over.
    pub fn subscribed(&mut self, id: TopicId) {
        self.topic_mut(id).awaited -= 1;
        self.drop_if_idle(id);
    }

    /// Forgets a topic that nobody has or is about to have.
    pub fn drop_if_idle(&mut self, id: TopicId) {
        let topic = self.topic(id);
        if !topic.subscribers.is_empty() || topic.awaited > 0 {
            return;
        }
        let (kind, place, next) = (topic.kind, topic.place, topic.next);
        let name = std::mem::take(&mut self.topic_mut(id).name);
        self.topic_mut(id).subscribers = Vec::new();
        let first = self.places[&place];
        if first != id {
            let mut before = first;
            while self.topic(before).next != id {
                before = self.topic(before).next;
            }
            self.topic_mut(before).next = next;
        } else if next != NONE {
            self.places.insert(place, next);
        } else {
            self.places.remove(&place);
            if !self.is_known(place) {
                self.count(place, -1);
            }
        }
        let by_text = matches!(kind, Kind::Pattern | Kind::Prefix);
        if by_text || !self.places.contains_key(&place) {
            self.change(kind, Change::Ends(place), Change::TextEnds, &name);
        }
        if kind == Kind::Prefix {
            self.count_prefix(name.len(), -1);
        }
        if kind == Kind::Pattern {
            let at = self.topic(id).position;
            self.patterns.swap_remove(at);
            if let Some(&moved) = self.patterns.get(at) {
                self.topic_mut(moved).position = at;
            }
        }
        self.free.push(id);
        // Maps that were huge do not stay so.
        if self.places.is_empty() && self.places.capacity() > KEEP_PLACES {
            self.places = HashMap::new();
            self.topics = Vec::new();
            self.free = Vec::new();
        }
    }

    /// The own patterns.
    pub fn patterns(&self) -> &[TopicId] {
        &self.patterns
    }

    /// The topics of a kind that have subscribers here.
    pub fn topics(&self, kind: Kind) -> impl Iterator<Item = &Topic> {
        // Free places have no name to be found by, and no subscribers.
        self.topics.iter().filter(move |topic| topic.kind == kind && !topic.subscribers.is_empty())
    }

    // ---- who is interested ----

    fn is_known(&self, place: u64) -> bool {
        self.places.contains_key(&place) || self.blocks().any(|block| self.interest.contains_key(&(place, block)))
    }

    fn count(&mut self, place: u64, by: isize) {
        if let Some(known) = self.known.get_mut(Kind::of_place(place) as usize) {
            *known = known.wrapping_add_signed(by);
        }
    }

    /// How many names of a kind have subscribers anywhere.
    pub fn known(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Shard => self.known[kind as usize],
            Kind::Pattern => {
                let others = self.others_patterns.keys();
                let own = self.patterns.iter().filter(|&&id| !self.others_patterns.contains_key(&self.topic(id).name));
                others.count() + own.count()
            }
            Kind::Prefix => {
                let own = self.topics(kind).filter(|topic| !self.others_prefixes.contains_key(&topic.name));
                self.others_prefixes.len() + own.count()
            }
            Kind::Monitor => usize::from(self.is_known(kind.place(0))),
        }
    }

    fn blocks(&self) -> std::ops::Range<u16> {
        0..self.workers.div_ceil(64) as u16
    }

    /// The workers that have subscribers of a channel, ascending, into `to` (emptied first).
    pub fn targets(&self, kind: Kind, hash: u64, channel: &[u8], to: &mut Vec<u16>) {
        to.clear();
        let place = kind.place(hash);
        if !self.interest.is_empty() {
            for block in self.blocks() {
                let bits = self.interest.get(&(place, block)).copied().unwrap_or(0);
                to.extend((0..64).filter(|bit| bits & (1 << bit) != 0).map(|bit| block * 64 + bit));
            }
        }
        let mut own = self.places.contains_key(&place);
        if kind == Kind::Channel && !(self.patterns.is_empty() && self.others_patterns.is_empty()) {
            // Of the own patterns it is found out when the message is delivered.
            own |= !self.patterns.is_empty();
            let fits = |pattern: &[u8]| kv_core::types::pattern::matches(pattern, channel);
            self.others_patterns.iter().filter(|(text, _)| fits(text)).for_each(|(_, workers)| to.extend(workers));
        }
        if own {
            to.push(self.id as u16);
        }
        if to.len() > 1 {
            to.sort_unstable();
            to.dedup();
        }
    }

    fn texts(&mut self, kind: Kind) -> &mut Texts {
        match kind {
            Kind::Pattern => &mut self.others_patterns,
            Kind::Prefix => &mut self.others_prefixes,
            Kind::Channel | Kind::Shard | Kind::Monitor => unreachable!("they are told by their hashes"),
        }
    }

    // ---- prefixes ----

    fn count_prefix(&mut self, len: usize, by: isize) {
        let count = self.prefix_lengths.entry(len).or_default();
        *count = count.wrapping_add_signed(by);
        if *count == 0 {
            self.prefix_lengths.remove(&len);
        }
    }

    /// Whether there are prefixes, here or elsewhere.
    pub fn has_prefixes(&self) -> bool {
        !self.prefix_lengths.is_empty()
    }

    /// Adds the own prefixes of a key to `own`, and the other workers that have some to `others`.
    pub fn prefixes_of(&self, key: &[u8], hash: impl Fn(&[u8]) -> u64, own: &mut Vec<TopicId>, others: &mut Vec<u16>) {
        for &len in self.prefix_lengths.keys().take_while(|&&len| len <= key.len()) {
            let prefix = &key[..len];
            own.extend(self.find(Kind::Prefix, hash(prefix), prefix));
            others.extend(self.others_prefixes.get(prefix).into_iter().flatten());
        }
    }

    /// Notes another worker's message.
    pub fn note(&mut self, interest: &Interest) {
        let Interest { from, number, changes } = interest;
        let (block, bit) = ((from / 64) as u16, 1u64 << (from % 64));
        for change in changes {
            match change {
                Change::Begins(place) => {
                    if !self.is_known(*place) {
                        self.count(*place, 1);
                    }
                    *self.interest.entry((*place, block)).or_default() |= bit;
                }
                Change::Ends(place) => {
                    let Some(bits) = self.interest.get_mut(&(*place, block)) else { continue };
                    *bits &= !bit;
                    if *bits == 0 {
                        self.interest.remove(&(*place, block));
                        if !self.is_known(*place) {
                            self.count(*place, -1);
                        }
                    }
                }
                Change::TextBegins(kind, text) => {
                    self.texts(*kind).entry(text.clone()).or_default().push(*from as u16);
                    if *kind == Kind::Prefix {
                        self.count_prefix(text.len(), 1);
                    }
                }
                Change::TextEnds(kind, text) => {
                    let texts = self.texts(*kind);
                    let Some(workers) = texts.get_mut(text) else { continue };
                    workers.retain(|&worker| usize::from(worker) != *from);
                    if workers.is_empty() {
                        texts.remove(text);
                    }
                    if *kind == Kind::Prefix {
                        self.count_prefix(text.len(), -1);
                    }
                }
            }
        }
        self.to_confirm.push((*from, *number));
    }

    // ---- what the workers tell each other ----

    /// What the others are to be told of this turn.
    pub fn take_changes(&mut self) -> Option<Interest> {
        if self.changes.is_empty() {
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        Some(Interest { from: self.id, number, changes: std::mem::take(&mut self.changes) })
    }

    pub fn take_to_confirm(&mut self) -> Vec<(usize, u64)> {
        std::mem::take(&mut self.to_confirm)
    }

    /// Whether something is to be told with the next turn.
    pub fn has_news(&self) -> bool {
        !self.changes.is_empty() || !self.to_confirm.is_empty()
    }

    /// A worker has noted the message of this number, and all before.
    pub fn confirmed(&mut self, by: usize, number: u64) {
        self.noted[by] = number;
    }

    fn noted_by_all(&self) -> u64 {
        self.noted.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// Which message must be noted by all before a subscription to these topics begins; `None`: no more than are.
    pub fn must_await(&self, topics: &[TopicId]) -> Option<u64> {
        let number = topics.iter().map(|&id| self.topic(id).told_in).max()?;
        (number > self.noted_by_all()).then_some(number)
    }

    pub fn await_noted(&mut self, conn: ConnId, dest: Dest, topics: Vec<TopicId>, number: u64) {
        self.awaiting.push_back(Awaiting { conn, dest, what: Awaited::Subscriptions(topics), number });
    }

    /// As `await_noted`, for what has begun and is to be answered with OK.
    pub fn await_ok(&mut self, conn: ConnId, dest: Dest, number: u64) {
        self.awaiting.push_back(Awaiting { conn, dest, what: Awaited::Ok, number });
    }

    /// The next SUBSCRIBE that has waited long enough.
    pub fn next_noted(&mut self) -> Option<Awaiting> {
        let noted = self.noted_by_all();
        if self.awaiting.front()?.number > noted {
            return None;
        }
        self.awaiting.pop_front()
    }

    /// Whether something is under way between this worker and others.
    #[cfg(any(test, feature = "faults"))]
    pub fn is_telling(&self) -> bool {
        !self.awaiting.is_empty() || self.has_news()
    }
}

/// Places for more names than these are let go when there are none any more.
const KEEP_PLACES: usize = 1024;

/// The subscriptions of one connection: for each topic, where the connection stands among its subscribers.
#[derive(Default)]
pub struct Subscriptions {
    topics: HashMap<TopicId, u32>,
    counts: [usize; Kind::ALL.len()],
}

impl Subscriptions {
    pub fn has(&self, topic: TopicId) -> bool {
        self.topics.contains_key(&topic)
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// What answers to SUBSCRIBE and its kin count: shard channels by themselves.
    pub fn told_count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard | Kind::Prefix | Kind::Monitor => self.count(kind),
            Kind::Channel | Kind::Pattern => self.count(Kind::Channel) + self.count(Kind::Pattern),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.topics.keys().copied()
    }

    pub fn begin(&mut self, kind: Kind, topic: TopicId, position: usize) {
        self.topics.insert(topic, position as u32);
        self.counts[kind as usize] += 1;
    }

    /// It stands elsewhere among the subscribers.
    pub fn move_to(&mut self, topic: TopicId, position: usize) {
        self.topics.insert(topic, position as u32);
    }

    /// Where it has stood among the subscribers.
    pub fn end(&mut self, kind: Kind, topic: TopicId) -> Option<usize> {
        let position = self.topics.remove(&topic)?;
        self.counts[kind as usize] -= 1;
        Some(position as usize)
    }

    pub fn memory(&self) -> usize {
        size_of::<Subscriptions>() + self.topics.capacity() * size_of::<(TopicId, u32)>()
    }
}

#[cfg(test)]
mod tests;
