//! What happened to the keys of a shard, in order, for those who want to be told (`notify-keyspace-events`).
//!
//! Events are noted where they are said (`Ctx::wrote`), if their class is wanted. What the store finds out by itself, that a key was
//! due or is a new one, it keeps until the next event or until the engine asks, and it comes first then. The engine takes all
//! that was noted and publishes it. While nobody wants anything, a write costs one look at one word.

use super::{Db, Due, Event, Shard, UnixMs};

/// Classes of events, and in which of two forms they are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u16);

impl Classes {
    pub const NONE: Classes = Classes(0);
    /// The two forms: the event on a channel of the key, the key on a channel of the event.
    pub const KEYSPACE: Classes = Classes(1);
    pub const KEYEVENT: Classes = Classes(1 << 1);
    pub const GENERIC: Classes = Classes(1 << 2);
    pub const STRING: Classes = Classes(1 << 3);
    pub const LIST: Classes = Classes(1 << 4);
    pub const SET: Classes = Classes(1 << 5);
    pub const HASH: Classes = Classes(1 << 6);
    pub const SORTED_SET: Classes = Classes(1 << 7);
    pub const EXPIRED: Classes = Classes(1 << 8);
    pub const EVICTED: Classes = Classes(1 << 9);
    pub const STREAM: Classes = Classes(1 << 10);
    /// Of modules, of which there are none.
    pub const MODULE: Classes = Classes(1 << 11);
    pub const MISS: Classes = Classes(1 << 12);
    pub const NEW: Classes = Classes(1 << 13);
    /// Of what no client is told.
    pub const UNTOLD: Classes = Classes(1 << 14);

    /// The letters of the option, in the order in which it is shown.
    const LETTERS: [(char, Classes); 14] = [
        ('g', Classes::GENERIC),
        ('$', Classes::STRING),
        ('l', Classes::LIST),
        ('s', Classes::SET),
        ('h', Classes::HASH),
        ('z', Classes::SORTED_SET),
        ('x', Classes::EXPIRED),
        ('e', Classes::EVICTED),
        ('t', Classes::STREAM),
        ('d', Classes::MODULE),
        ('n', Classes::NEW),
        ('K', Classes::KEYSPACE),
        ('E', Classes::KEYEVENT),
        ('m', Classes::MISS),
    ];
    /// What `A` stands for: the classes up to that of modules.
    pub const ALL: Classes = Classes(((1 << 12) - 1) & !3);

    /// None when there is another letter.
    pub fn from_letters(letters: &str) -> Option<Classes> {
        letters.chars().try_fold(Classes::NONE, |classes, letter| {
            let more = match letter {
                'A' => Classes::ALL,
                _ => Classes::LETTERS.iter().find(|(known, _)| *known == letter)?.1,
            };
            Some(classes.and(more))
        })
    }

    pub fn letters(self) -> String {
        let mut letters = String::new();
        let all = self.has(Classes::ALL);
        if all {
            letters.push('A');
        }
        let shown = Classes::LETTERS.iter().filter(|(_, class)| self.has(*class) && !(all && Classes::ALL.has(*class)));
        letters.extend(shown.map(|(letter, _)| letter));
        letters
    }

    pub const fn and(self, other: Classes) -> Classes {
        Classes(self.0 | other.0)
    }

    pub const fn without(self, other: Classes) -> Classes {
        Classes(self.0 & !other.0)
    }

    pub const fn has(self, other: Classes) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub db: usize,
    pub event: Event,
    pub key: Box<[u8]>,
}

#[derive(Default)]
pub struct Notices {
    wanted: Classes,
    list: Vec<Notice>,
    /// Reads that have found nothing.
    misses: Vec<(usize, Box<[u8]>)>,
}

impl Notices {
    #[inline]
    pub fn are_wanted(&self) -> bool {
        self.wanted != Classes::NONE
    }

    /// A read has found no such key; it may have been due.
    #[inline]
    pub fn note_miss(&mut self, db: usize, key: &[u8]) {
        if self.wanted.has(Classes::MISS) {
            self.misses.push((db, key.into()));
        }
    }

    fn note(&mut self, db: usize, key: &[u8], event: Event) {
        if self.wanted.has(event.class()) {
            self.list.push(Notice { db, event, key: key.into() });
        }
    }
}

impl Shard {
    /// From now on events of these classes are noted.
    pub fn want_notices(&mut self, wanted: Classes) {
        self.notices.wanted = wanted;
        self.dbs.iter_mut().for_each(|db| db.note_newborn(wanted.has(Classes::NEW)));
    }

    /// Moves what the store has found out by itself to `notices`, which may be those of another shard that takes part in the
    /// command.
    fn gather(&mut self, notices: &mut Notices) {
        self.take_expired(|db, entry| notices.note(db, entry.key(), Event::Expired));
        std::mem::take(&mut self.notices.misses)
            .into_iter()
            .for_each(|(db, key)| notices.note(db, &key, Event::KeyMiss));
        for (index, db) in self.dbs.iter_mut().enumerate() {
            db.take_newborn(|key| notices.note(index, key, Event::New));
        }
    }

    /// Notes an event, behind what the store has found out on this shard and on `others`.
    pub fn note<'a>(&mut self, others: impl Iterator<Item = &'a mut Shard>, (db, key, event): (usize, &[u8], Event)) {
        let mut notices = self.lend_notices();
        self.gather(&mut notices);
        others.for_each(|other| other.gather(&mut notices));
        notices.note(db, key, event);
        self.notices = notices;
    }

    /// The notices but for the misses, which are the shard's own.
    fn lend_notices(&mut self) -> Notices {
        let misses = std::mem::take(&mut self.notices.misses);
        std::mem::replace(&mut self.notices, Notices { misses, ..Notices::default() })
    }

    /// As `expire_due`, noting what has gone.
    pub fn expire_due_and_note(&mut self, now: UnixMs, budget: &mut usize) {
        let mut notices = self.lend_notices();
        self.gather(&mut notices);
        self.expire_due(now, budget, |db, due, entry| match due {
            Due::Key => notices.note(db, entry.key(), Event::Expired),
            Due::Fields => notices.note(db, entry.key(), Event::HExpired),
            Due::LastFields => {
                notices.note(db, entry.key(), Event::HExpired);
                notices.note(db, entry.key(), Event::Del);
            }
        });
        self.notices = notices;
    }

    /// Where what was noted so far ends.
    pub(super) fn mark_notices(&mut self) -> usize {
        if self.notices.are_wanted() {
            let mut notices = self.lend_notices();
            self.gather(&mut notices);
            self.notices = notices;
        }
        self.notices.list.len()
    }

    /// Forgets what was noted since, as it has not happened, but for what time itself has done.
    pub(super) fn forget_notices(&mut self, mark: usize) {
        if self.notices.are_wanted() {
            let mut notices = self.lend_notices();
            self.gather(&mut notices);
            let is_of_time = |notice: &Notice| matches!(notice.event, Event::Expired | Event::HExpired);
            let mut at = 0..;
            notices.list.retain(|notice| at.next() < Some(mark) || is_of_time(notice));
            self.notices = notices;
        }
    }

    /// All that was noted, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        let mut notices = self.lend_notices();
        self.gather(&mut notices);
        let list = std::mem::take(&mut notices.list);
        self.notices = notices;
        list
    }
}

/// Keys that were made since somebody asked, if they are wanted.
pub(super) type Newborn = Option<Vec<Box<[u8]>>>;

impl Db {
    fn take_newborn(&mut self, f: impl FnMut(&[u8])) {
        if let Some(newborn) = &mut self.newborn {
            let mut f = f;
            newborn.drain(..).for_each(|key| f(&key));
        }
    }

    fn note_newborn(&mut self, wanted: bool) {
        self.newborn = wanted.then(|| self.newborn.take().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_read_back_as_themselves() {
        for (letters, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("KEg$lshzxetd", "AKE"),
            ("Ex", "xE"),
            ("mnK$", "$nKm"),
            ("AKEmn", "AnKEm"),
            ("KE", "KE"),
        ] {
            let classes = Classes::from_letters(letters).expect("letters of the option");
            assert_eq!(classes.letters(), shown, "{letters}");
            assert_eq!(Classes::from_letters(shown), Some(classes), "{shown}");
        }
        assert_eq!(Classes::from_letters("KEq"), None);
    }
}
