//! Clients that wait for keys of this shard (BLPOP and its like), and which of these keys were written since.
//!
//! ```text
//! lines     hash of a key -> who waits for it: database, key, a line for each kind of value, first come first
//! clients   client -> the hashes of the keys it waits for here
//! ready     keys that have got something while somebody waited for it, in the order of the writes
//! ```
//!
//! A client may stand in lines of several shards at once. What makes its answer the only one is its [`Claim`]: a shard that has
//! something for it, a timeout, and the end of its connection each take that before they do anything. So a shard may find
//! clients in its lines that wait no more; they are passed over, and [`Waits::leave`] takes them out.
//!
//! Here is only who waits. What a client gets is decided by its request, which whoever runs commands on the shard runs again
//! when a key is ready.

use super::watch::Map;
use super::{EntryRef, Key};
use crate::resp::{Arg, Proto};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The right to answer a client that waits.
#[derive(Default)]
pub struct Claim {
    taken: AtomicBool,
}

impl Claim {
    /// Whoever gets true answers, and nobody else.
    pub fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    pub fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }
}

/// Of which kind a value must be for a client to get something of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    List,
    ZSet,
    /// Who waits for a stream may also have to be told that it is gone.
    Stream,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::List, Kind::ZSet, Kind::Stream];

    /// The kind of a value; none of one that nobody waits for.
    pub fn of(entry: EntryRef<'_>) -> Option<Kind> {
        match entry.value().type_name() {
            "list" => Some(Kind::List),
            "zset" => Some(Kind::ZSet),
            "stream" => Some(Kind::Stream),
            _ => None,
        }
    }
}

/// A request that waits.
pub struct Waiter {
    pub claim: Arc<Claim>,
    /// The number of the client.
    pub client: u64,
    pub kind: Kind,
    /// The worker of the client, its connection there, and the answer's place in the connection's line.
    pub worker: usize,
    pub conn: u32,
    pub ticket: u32,
    /// The command's row, and with what it runs.
    pub row: u16,
    pub db: usize,
    pub proto: Proto,
    pub no_touch: bool,
    pub data: Vec<u8>,
    pub words: Vec<Arg>,
    /// The shards of keys that it does not wait for, but is served with.
    pub others: Vec<usize>,
}

/// Who waits for one key.
#[derive(Default)]
pub struct Lines {
    pub db: usize,
    pub key: Box<[u8]>,
    pub hash: u64,
    /// By kind. Who came first stands in front.
    of: [VecDeque<Arc<Waiter>>; 3],
    /// Who stands in front of this line can only be served together with another shard, which has been asked for.
    asked: [bool; 3],
    is_ready: bool,
}

impl Lines {
    pub fn of(&mut self, kind: Kind) -> &mut VecDeque<Arc<Waiter>> {
        &mut self.of[kind as usize]
    }

    pub fn asked(&mut self, kind: Kind) -> &mut bool {
        &mut self.asked[kind as usize]
    }

    fn is_empty(&self) -> bool {
        self.of.iter().all(VecDeque::is_empty)
    }

    /// Whether somebody has to be looked after when the key has got what it holds now.
    fn are_concerned(&self, holds: Option<Kind>) -> bool {
        let has = |kind: Kind| !self.of[kind as usize].is_empty();
        holds.is_some_and(has) || has(Kind::Stream)
    }

    fn remove(&mut self, client: u64) {
        for line in &mut self.of {
            // Most leave from the front.
            if let Some(at) = line.iter().position(|waiter| waiter.client == client) {
                line.remove(at);
            }
        }
    }
}

struct Ready {
    step: usize,
    db: usize,
    hash: u64,
    key: Box<[u8]>,
}

#[derive(Default)]
pub struct Waits {
    lines: Map<Vec<Lines>>,
    clients: Map<Vec<u64>>,
    ready: VecDeque<Ready>,
    /// Counts the commands of a transaction.
    step: usize,
}

impl Waits {
    /// Whether nobody waits for anything, so that a write has nobody to tell.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many clients stand in lines.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How many keys are waited for.
    pub fn keys(&self) -> usize {
        self.lines.values().map(Vec::len).sum()
    }

    /// Puts a client at the end of a key's line.
    pub fn join(&mut self, key: Key<'_>, waiter: &Arc<Waiter>) {
        let hashes = self.clients.entry(waiter.client).or_default();
        let list = self.lines.entry(key.hash).or_default();
        let at = list.iter().position(|lines| lines.db == waiter.db && *lines.key == *key.bytes).unwrap_or_else(|| {
            let (db, key, hash) = (waiter.db, key.bytes.into(), key.hash);
            list.push(Lines { db, key, hash, of: Default::default(), asked: [false; 3], is_ready: false });
            list.len() - 1
        });
        let line = list[at].of(waiter.kind);
        // A key may be named twice.
        if line.back().is_none_or(|last| last.client != waiter.client) {
            line.push_back(Arc::clone(waiter));
            hashes.push(key.hash);
        }
    }

    /// A client waits no longer.
    pub fn leave(&mut self, client: u64) {
        for hash in self.clients.remove(&client).unwrap_or_default() {
            if let Some(list) = self.lines.get_mut(&hash) {
                list.iter_mut().for_each(|lines| lines.remove(client));
                list.retain(|lines| !lines.is_empty());
                if list.is_empty() {
                    self.lines.remove(&hash);
                }
            }
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.lines.is_empty() {
            self.lines = Map::default();
            self.ready.clear();
        }
    }

    /// What is written from here on comes behind what was written in an earlier step, on whichever shard.
    pub fn at_step(&mut self, step: usize) {
        self.step = step;
    }

    pub fn step(&self) -> usize {
        self.step
    }

    /// A key was written; `holds` looks what it holds now.
    #[cold]
    pub fn touch(&mut self, db: usize, key: Key<'_>, holds: impl FnOnce() -> Option<Kind>) {
        let mut list = self.lines.get_mut(&key.hash).into_iter().flatten();
        if let Some(lines) = list.find(|lines| lines.db == db && *lines.key == *key.bytes)
            && lines.are_concerned(holds())
        {
            mark(lines, self.step, &mut self.ready);
        }
    }

    /// A database was emptied, or replaced by another; `holds` looks what a key holds now.
    #[cold]
    pub fn touch_all(&mut self, db: usize, holds: impl Fn(Key<'_>) -> Option<Kind>) {
        for lines in self.lines.values_mut().flatten().filter(|lines| lines.db == db) {
            if lines.are_concerned(holds(Key { bytes: &lines.key, hash: lines.hash })) {
                mark(lines, self.step, &mut self.ready);
            }
        }
    }

    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// In which step the first of the keys was written that are ready.
    pub fn first_step(&self) -> Option<usize> {
        self.ready.front().map(|ready| ready.step)
    }

    /// Takes the lines of the key that was written first; they come back by `put_back`.
    pub fn take_ready(&mut self) -> Option<Lines> {
        while let Some(ready) = self.ready.pop_front() {
            let Some(list) = self.lines.get_mut(&ready.hash) else { continue };
            let found = list.iter().position(|lines| lines.db == ready.db && lines.key == ready.key);
            if let Some(at) = found {
                return Some(Lines { is_ready: false, ..list.swap_remove(at) });
            }
        }
        None
    }

    pub fn put_back(&mut self, lines: Lines) {
        let list = self.lines.entry(lines.hash).or_default();
        if !lines.is_empty() {
            list.push(lines);
        } else if list.is_empty() {
            self.lines.remove(&lines.hash);
        }
        self.shrink();
    }

    /// The shards that a line has waited for are here.
    pub fn end_asking(&mut self, db: usize, key: Key<'_>) {
        if let Some(list) = self.lines.get_mut(&key.hash) {
            for lines in list.iter_mut().filter(|lines| lines.db == db && *lines.key == *key.bytes) {
                lines.asked = [false; 3];
                mark(lines, self.step, &mut self.ready);
            }
        }
    }
}

fn mark(lines: &mut Lines, step: usize, ready: &mut VecDeque<Ready>) {
    if !std::mem::replace(&mut lines.is_ready, true) {
        ready.push_back(Ready { step, db: lines.db, hash: lines.hash, key: lines.key.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::KeyHasher;

    fn waiter(client: u64, kind: Kind) -> Arc<Waiter> {
        Arc::new(Waiter {
            claim: Arc::default(),
            client,
            kind,
            worker: 0,
            conn: 0,
            ticket: 0,
            row: 0,
            db: 0,
            proto: Proto::Resp2,
            no_touch: false,
            data: Vec::new(),
            words: Vec::new(),
            others: Vec::new(),
        })
    }

    struct Keys(KeyHasher);

    impl Keys {
        fn key<'k>(&self, name: &'k str) -> Key<'k> {
            self.0.key(name.as_bytes())
        }

        /// The keys that are ready, in order, and who waits for lists in each; all lines are put back.
        fn ready(&self, waits: &mut Waits) -> Vec<(String, Vec<u64>)> {
            let mut all = Vec::new();
            while let Some(mut lines) = waits.take_ready() {
                let line = lines.of(Kind::List).iter().map(|waiter| waiter.client).collect();
                all.push((String::from_utf8(lines.key.to_vec()).unwrap(), line));
                waits.put_back(lines);
            }
            all
        }
    }

    fn keys() -> Keys {
        Keys(KeyHasher::new([1; 16]))
    }

    #[test]
    fn a_claim_is_taken_once() {
        let claim = Claim::default();
        assert!(!claim.is_taken());
        let got: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| claim.take())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!((got.iter().filter(|&&took| took).count(), claim.is_taken()), (1, true));
    }

    #[test]
    fn keys_are_ready_once_in_the_order_of_their_writes_with_who_came_first_in_front() {
        let (keys, mut waits) = (keys(), Waits::default());
        for (client, names) in [(7, vec!["a", "b", "a"]), (3, vec!["b"]), (5, vec!["b", "c"])] {
            let waiter = waiter(client, Kind::List);
            names.into_iter().for_each(|name| waits.join(keys.key(name), &waiter));
        }
        assert_eq!((waits.clients(), waits.keys()), (3, 3));
        for name in ["b", "nobody", "a", "b"] {
            waits.touch(0, keys.key(name), || Some(Kind::List));
        }
        waits.touch(1, keys.key("c"), || Some(Kind::List));
        assert!(waits.has_ready());
        assert_eq!(keys.ready(&mut waits), [("b".into(), vec![7, 3, 5]), ("a".into(), vec![7])]);
        assert!(!waits.has_ready());
        waits.touch(0, keys.key("b"), || Some(Kind::List));
        assert_eq!(keys.ready(&mut waits), [("b".into(), vec![7, 3, 5])]);
    }

    #[test]
    fn who_leaves_stands_in_no_line_and_empty_lines_go() {
        let (keys, mut waits) = (keys(), Waits::default());
        let (first, second) = (waiter(1, Kind::List), waiter(2, Kind::List));
        waits.join(keys.key("a"), &first);
        waits.join(keys.key("a"), &second);
        waits.join(keys.key("b"), &first);
        waits.touch_all(0, |_| Some(Kind::List));
        waits.leave(1);
        waits.leave(1);
        // A key that nobody waits for any more is not ready.
        assert_eq!(keys.ready(&mut waits), [("a".into(), vec![2])]);
        waits.leave(2);
        assert!(waits.is_idle() && !waits.has_ready());
        assert_eq!((waits.clients(), waits.keys()), (0, 0));
    }

    #[test]
    fn kinds_and_databases_have_lines_of_their_own() {
        let (keys, mut waits) = (keys(), Waits::default());
        waits.join(keys.key("k"), &waiter(1, Kind::List));
        waits.join(keys.key("k"), &waiter(2, Kind::ZSet));
        let elsewhere = Arc::new(Waiter { db: 3, ..Arc::into_inner(waiter(3, Kind::List)).unwrap() });
        waits.join(keys.key("k"), &elsewhere);
        assert_eq!(waits.keys(), 2);
        waits.touch(0, keys.key("k"), || Some(Kind::List));
        let mut lines = waits.take_ready().unwrap();
        let of = |lines: &mut Lines, kind| lines.of(kind).iter().map(|w| w.client).collect::<Vec<_>>();
        assert_eq!((of(&mut lines, Kind::List), of(&mut lines, Kind::ZSet)), (vec![1], vec![2]));
        assert!(of(&mut lines, Kind::Stream).is_empty() && waits.take_ready().is_none());
        waits.put_back(lines);
        waits.touch_all(3, |_| Some(Kind::List));
        assert_eq!(keys.ready(&mut waits), [("k".into(), vec![3])]);
    }

    #[test]
    fn a_key_is_ready_by_what_somebody_waits_for_alone_or_when_a_stream_may_be_gone() {
        let (keys, mut waits) = (keys(), Waits::default());
        waits.join(keys.key("l"), &waiter(1, Kind::List));
        waits.join(keys.key("s"), &waiter(2, Kind::Stream));
        for holds in [None, Some(Kind::ZSet), Some(Kind::Stream)] {
            waits.touch(0, keys.key("l"), || holds);
        }
        waits.touch_all(0, |_| None);
        assert_eq!(keys.ready(&mut waits), [("s".into(), vec![])]);
        waits.touch(0, keys.key("nobody"), || unreachable!("nobody has to know"));
        waits.touch(0, keys.key("l"), || Some(Kind::List));
        waits.touch(0, keys.key("s"), || None);
        assert_eq!(keys.ready(&mut waits), [("l".into(), vec![1]), ("s".into(), vec![])]);
    }

    #[test]
    fn who_leaves_while_his_line_is_being_served_is_not_missed() {
        let (keys, mut waits) = (keys(), Waits::default());
        let (first, second) = (waiter(1, Kind::List), waiter(2, Kind::List));
        [&first, &second].into_iter().for_each(|waiter| waits.join(keys.key("a"), waiter));
        waits.join(keys.key("b"), &first);
        waits.touch(0, keys.key("a"), || Some(Kind::List));
        let mut lines = waits.take_ready().unwrap();
        // As whoever serves does: out of the line at hand, and of the others.
        lines.of(Kind::List).pop_front();
        waits.leave(1);
        assert_eq!((waits.clients(), waits.keys()), (1, 0));
        waits.put_back(lines);
        waits.touch_all(0, |_| Some(Kind::List));
        assert_eq!(keys.ready(&mut waits), [("a".into(), vec![2])]);
    }

    #[test]
    fn what_a_later_step_writes_is_ready_later_than_on_any_shard_before() {
        let (keys, mut one, mut other) = (keys(), Waits::default(), Waits::default());
        one.join(keys.key("a"), &waiter(1, Kind::List));
        other.join(keys.key("b"), &waiter(2, Kind::List));
        [&mut one, &mut other].into_iter().for_each(|waits| waits.at_step(4));
        other.touch(0, keys.key("b"), || Some(Kind::List));
        [&mut one, &mut other].into_iter().for_each(|waits| waits.at_step(5));
        one.touch(0, keys.key("a"), || Some(Kind::List));
        assert_eq!((one.first_step(), other.first_step()), (Some(5), Some(4)));
    }

    #[test]
    fn a_line_that_asked_for_shards_asks_again_when_they_have_come() {
        let (keys, mut waits) = (keys(), Waits::default());
        waits.join(keys.key("a"), &waiter(1, Kind::List));
        waits.touch(0, keys.key("a"), || Some(Kind::List));
        let mut lines = waits.take_ready().unwrap();
        *lines.asked(Kind::List) = true;
        waits.put_back(lines);
        waits.touch(0, keys.key("a"), || Some(Kind::List));
        let mut lines = waits.take_ready().unwrap();
        assert!(*lines.asked(Kind::List));
        waits.put_back(lines);
        waits.end_asking(0, keys.key("a"));
        assert!(!*waits.take_ready().unwrap().asked(Kind::List));
    }
}
