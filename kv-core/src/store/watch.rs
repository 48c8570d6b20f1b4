//! The keys of one shard that sessions watch (WATCH), and whose have been touched since.
//!
//! ```text
//! keys      hash of a key -> who watches it: database, key, client
//! clients   client -> touched or not, the first moment at which time itself touches one of its keys, its keys' hashes
//! ```
//!
//! A write says so where it is said at all (`Ctx::wrote`); the first one touches whoever watches the key, and takes all that
//! he watches here out of `keys`: he has lost already, and later writes pay nothing for him. Expiry needs no such call: as long
//! as nobody writes to a key, what is due of it was known when it was watched, so the client just remembers the moment.
//!
//! A client is a number that is never used twice. What it watches is given back by [`Watches::release`]; the engine sees to it
//! that this happens however a watch ends.

use super::{Db, Key, UnixMs};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

#[derive(Default)]
pub struct Watches {
    keys: Map<Vec<Watch>>,
    clients: Map<Watcher>,
    /// Writes that nobody is told of before it is certain that they stay.
    held_back: Option<Vec<Write>>,
}

/// A database, and a key with its hash.
type Write = (usize, u64, Box<[u8]>);

/// By numbers that are spread already: hashes of keys; clients are counted, so that they are spread in the way of hashes.
pub(super) type Map<V> = HashMap<u64, V, BuildHasherDefault<Spread>>;

#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// One client watches one key.
struct Watch {
    db: usize,
    key: Box<[u8]>,
    client: u64,
    /// Whether there was such a key. As long as it is not touched, there is still one, or it was due.
    exists: bool,
}

#[derive(Default)]
struct Watcher {
    touched: bool,
    /// When the first of its keys, or something of it, is due.
    due: Option<UnixMs>,
    /// The hashes of its keys.
    hashes: Vec<u64>,
}

impl Watches {
    /// Whether nobody watches anything that could still be touched, so that a write has nobody to tell.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many clients have something registered, touched or not.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// A client watches a key from now on. `due`: when the key, or something of it, expires, if there is such a key.
    pub fn watch(&mut self, client: u64, db: usize, key: Key<'_>, exists: bool, due: Option<UnixMs>) {
        let watcher = self.clients.entry(client).or_default();
        if watcher.touched {
            return;
        }
        let list = self.keys.entry(key.hash).or_default();
        if list.iter().any(|w| w.client == client && w.db == db && *w.key == *key.bytes) {
            return;
        }
        list.push(Watch { db, key: key.bytes.into(), client, exists });
        watcher.hashes.push(key.hash);
        watcher.due = watcher.due.into_iter().chain(due).min();
    }

    /// Ends all that a client watches here, and says whether something of it was touched, or was due by now.
    pub fn release(&mut self, client: u64, now: UnixMs) -> bool {
        let Some(watcher) = self.clients.remove(&client) else { return false };
        self.forget_keys(client, &watcher.hashes);
        watcher.touched || watcher.due.is_some_and(|due| due <= now)
    }

    fn forget_keys(&mut self, client: u64, hashes: &[u64]) {
        for hash in hashes {
            if let Some(list) = self.keys.get_mut(hash) {
                list.retain(|w| w.client != client);
                if list.is_empty() {
                    self.keys.remove(hash);
                }
            }
        }
        if self.keys.is_empty() {
            self.keys = Map::default();
        }
    }

    /// A key was written.
    #[cold]
    pub fn touch(&mut self, db: usize, key: Key<'_>) {
        if let Some(held_back) = &mut self.held_back {
            return held_back.push((db, key.hash, key.bytes.into()));
        }
        let Some(list) = self.keys.get(&key.hash) else { return };
        let clients: Vec<u64> = list.iter().filter(|w| w.db == db && *w.key == *key.bytes).map(|w| w.client).collect();
        self.touch_clients(&clients);
    }

    /// Tells nobody of writes for now.
    pub fn hold_back(&mut self) {
        self.held_back = Some(Vec::new());
    }

    /// Tells of those since `hold_back`, if they have stayed (`tells`), and of later ones at once.
    pub fn end_holding_back(&mut self, tells: bool) {
        let held_back = self.held_back.take().filter(|_| tells);
        for (db, hash, key) in held_back.into_iter().flatten() {
            self.touch(db, Key { bytes: &key, hash });
        }
    }

    /// A database is about to be emptied, or to be replaced by another: that touches the keys that are in either.
    #[cold]
    pub fn replace(&mut self, db: usize, by: Option<(&Db, UnixMs)>) {
        debug_assert!(self.held_back.is_none(), "what is done to a whole database cannot be taken back");
        let is_touched = |hash: u64, w: &Watch| {
            w.db == db && (w.exists || by.is_some_and(|(by, now)| by.peek(Key { bytes: &w.key, hash }, now).is_some()))
        };
        let all = self.keys.iter().flat_map(|(&hash, list)| list.iter().map(move |w| (hash, w)));
        let clients: Vec<u64> = all.filter(|(hash, w)| is_touched(*hash, w)).map(|(_, w)| w.client).collect();
        self.touch_clients(&clients);
    }

    fn touch_clients(&mut self, clients: &[u64]) {
        for &client in clients {
            let Some(watcher) = self.clients.get_mut(&client) else { continue };
            watcher.touched = true;
            let hashes = std::mem::take(&mut watcher.hashes);
            self.forget_keys(client, &hashes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: u64, bytes: &[u8]) -> Key<'_> {
        Key { bytes, hash }
    }

    #[test]
    fn who_watches_a_key_is_touched_by_its_first_write_and_nobody_else_is() {
        let mut watches = Watches::default();
        watches.watch(1, 0, key(7, b"a"), true, None);
        watches.watch(1, 0, key(8, b"b"), false, None);
        watches.watch(2, 0, key(7, b"a"), true, None);
        watches.watch(3, 1, key(7, b"a"), true, None);
        // Another key with the same hash.
        watches.watch(4, 0, key(7, b"c"), true, None);
        watches.touch(0, key(7, b"a"));
        let touched: Vec<bool> = (1..=5).map(|client| watches.release(client, 0)).collect();
        assert_eq!(touched, [true, true, false, false, false]);
        assert!(watches.is_idle() && watches.clients() == 0);
    }

    #[test]
    fn who_is_touched_costs_later_writes_nothing_and_watches_no_more() {
        let mut watches = Watches::default();
        watches.watch(1, 0, key(7, b"a"), true, None);
        watches.watch(1, 0, key(8, b"b"), true, None);
        watches.touch(0, key(8, b"b"));
        assert!(watches.is_idle());
        watches.watch(1, 0, key(9, b"c"), true, None);
        assert!(watches.is_idle());
        assert!(watches.release(1, 0));
        assert!(!watches.release(1, 0));
    }

    #[test]
    fn time_touches_what_is_due_by_then() {
        let mut watches = Watches::default();
        for client in [1, 2] {
            watches.watch(client, 0, key(7, b"a"), true, Some(200));
            watches.watch(client, 0, key(8, b"b"), true, Some(100));
            watches.watch(client, 0, key(9, b"c"), true, None);
        }
        assert!(!watches.release(1, 99));
        assert!(watches.release(2, 100));
    }

    #[test]
    fn a_key_watched_twice_counts_once() {
        let mut watches = Watches::default();
        watches.watch(1, 0, key(7, b"a"), false, None);
        watches.watch(1, 0, key(7, b"a"), false, None);
        assert_eq!(watches.keys[&7].len(), 1);
        assert!(!watches.release(1, 0));
        assert!(watches.is_idle());
    }
}
