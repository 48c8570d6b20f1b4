//! A hierarchical timing wheel: which tokens are due, to the millisecond, at a constant cost per token.
//!
//! Five levels of 512 slots. A slot of level 0 is 1 ms wide, each further level's 256 times wider; 512 rather than 256,
//! because a level is filled from the next one half a slot *before* that slot begins.
//!
//! ```text
//! level   slot         holds what is due in at least   and knows its moment to
//! 0       1 ms         0                               1 ms
//! 1       256 ms       0.13 s                          1 ms
//! 2       65.5 s       33 s                            1 ms
//! 3       4.7 hours    2.3 hours                       256 ms    rounded down
//! 4       49.7 days    25 days                         65.5 s    rounded down
//! ```
//!
//! Further than some 69 years counts as 69 years. An entry is a token of 4 bytes and an offset of 2: the slot says the
//! rest, so a slot is *drained* into finer ones without asking anybody. What was rounded down is due early: whoever gets a
//! token compares the true deadline, which the wheel does not keep, and adds the token again if there is time left. The same
//! comparison serves tokens whose key was deleted, or got a later deadline meanwhile: neither needs a word to the wheel.
//!
//! All work is sliced: every entry that fires or moves costs 1 of a budget that the caller gives.
//!
//! Invariants. `base[0]` is the moment up to which all has fired; `base[k]` is the start of the first slot of level k that
//! is not yet drained or being drained. An entry with moment m stands in the lowest level k with `m < base[k + 1]`, or in a
//! slot that is being drained. `base[k] <= base[k + 1] <= base[k] + 512 slots of level k`, so no slot has two meanings.
//! A slot being drained lies in `drains` (the soonest last) or, if the sweep took it out, in `swept`. Level 0 is complete
//! up to `base[1]` and the start of the soonest drain; nothing later than that fires.
//!
//! When the clock is set back, all slots are drained into a wheel that stands at the new moment.
//!
//! The wheel knows neither clock nor keys. The idea is Varghese and Lauck's (1987).

mod fuzz;
mod pages;
#[cfg(test)]
mod tests;

pub use self::fuzz::fuzz_wheel;
use self::pages::{NONE, Pages};

/// Slots of a level.
const SLOTS: u64 = 512;
const LEVELS: usize = 5;
/// A slot of level k is `1 << (8 * k)` ms wide.
const SHIFT: [u32; LEVELS] = [0, 8, 16, 24, 32];
/// An offset of level k is in units of `1 << UNIT[k]` ms, so that it fits in 16 bits.
const UNIT: [u32; LEVELS] = [0, 0, 0, 8, 16];
/// No moment is later: far beyond any calendar, and sums of moments and slots do not overflow.
const LAST_MOMENT: u64 = 1 << 62;

/// How a deadline was filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filed {
    /// The token fires at the deadline, or at once if that has passed.
    Exact,
    /// The token fires before the deadline and must be added again then.
    Early,
}

/// The timing wheel of one table. See the module for the order of things.
pub struct Wheel {
    base: [u64; LEVELS],
    levels: [Level; LEVELS],
    /// Slots taken out of their level, to be filed into finer ones; the soonest is the last.
    drains: Vec<Slot>,
    /// The slot that the sweep took out of its level, to be asked about and filed there again.
    swept: Option<Slot>,
    /// Where the sweep goes on: a level and a moment.
    sweep_at: (usize, u64),
    pages: Pages,
    len: usize,
    /// Before this moment `advance` has nothing to do.
    wake: u64,
}

/// The slots of one level; without memory until it is used.
#[derive(Default)]
struct Level {
    heads: Vec<u32>,
    /// Bit set: the slot holds entries.
    used: [u64; SLOTS as usize / 64],
}

/// The entries of one slot outside its level.
struct Slot {
    level: usize,
    start: u64,
    head: u32,
}

impl Wheel {
    /// An empty wheel; nothing is due before `now`.
    pub fn new(now: u64) -> Self {
        let now = now.min(LAST_MOMENT);
        Self {
            base: std::array::from_fn(|level| base_for(level, now)),
            levels: Default::default(),
            drains: Vec::new(),
            swept: None,
            sweep_at: (LEVELS - 1, 0),
            pages: Pages::default(),
            len: 0,
            wake: u64::MAX,
        }
    }

    /// Entries in the wheel, stale ones included.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        let heads: usize = self.levels.iter().map(|level| level.heads.capacity()).sum();
        self.pages.bytes() + heads * size_of::<u32>() + self.drains.capacity() * size_of::<Slot>()
    }

    /// Files a token, to fire at `deadline` or, if that has passed, at the next `advance`.
    pub fn add(&mut self, deadline: u64, token: u32) -> Filed {
        let (level, moment) = self.file(deadline, token);
        self.len += 1;
        self.wake = self.wake.min(work_begins(level, moment));
        if moment < deadline { Filed::Early } else { Filed::Exact }
    }

    /// The earliest moment at which `advance` has something to do; between two such moments it need not be called. `None`: never.
    ///
    /// It may be a moment at which entries only move to a finer level: at most once per slot and level. While it has passed,
    /// work is left, and `advance` should be called again soon.
    pub fn next_due(&self) -> Option<u64> {
        (self.len > 0).then_some(self.wake)
    }

    /// Appends to `out` the tokens that are due at `now`, in the order of their milliseconds, and prepares the next ones.
    ///
    /// Cost: each fired or moved entry takes 1 from `budget`. When nothing is left of it, work may be left for the next call;
    /// what is due goes first. Tokens may be added between calls at any time, also ones due at once.
    ///
    /// A `now` before the last one is taken as a clock that was set back: tokens wait until their moment comes again. After
    /// that, an entry that was filed as exact may fire early.
    pub fn advance(&mut self, now: u64, budget: &mut usize, out: &mut Vec<u32>) {
        let now = now.min(LAST_MOMENT);
        if now < self.base[0] {
            self.set_back(now);
        }
        if now < self.wake {
            // No slot begins to be drained before `wake`, so all those passed over are empty.
            (0..LEVELS).for_each(|level| self.base[level] = self.base[level].max(base_for(level, now)));
            return;
        }
        // A flood of due tokens must not push the draining of the next slots to the last moment: that has a quarter.
        let reserve = if self.drains.is_empty() { 0 } else { *budget / 4 };
        self.fire_until(now, reserve, budget, out);
        while *budget > 0 && !self.drains.is_empty() {
            self.drain(budget);
        }
        self.fire_until(now, 0, budget, out); // what the reserve left
        self.set_wake();
    }

    /// Asks `keep(token, moment)` about entries, one after the other, round and round, and drops those it refuses.
    ///
    /// Returns true when a round is complete; the next call begins another. A round asks about every entry that was there when
    /// it began and has not fired by its end, except those due within half a second and those on their way to a finer level;
    /// it may ask more than once. The moment is the one at which the token would fire.
    /// Cost: each entry takes 1 from `budget`; the call ends when nothing is left of it, or at the end of the round. What a
    /// round keeps may lie scattered over the memory it held; the next one moves it together.
    pub fn sweep(&mut self, budget: &mut usize, keep: &mut impl FnMut(u32, u64) -> bool) -> bool {
        while *budget > 0 {
            let Some(slot) = &mut self.swept else {
                if self.take_next_for_sweep() {
                    continue;
                }
                return true;
            };
            let (level, start) = (slot.level, slot.start);
            while *budget > 0
                && let Some((token, offset)) = self.pages.pop(&mut slot.head)
            {
                *budget -= 1;
                let moment = start + (u64::from(offset) << UNIT[level]);
                if keep(token, moment) {
                    self.levels[level].push(&mut self.pages, level, moment, token);
                } else {
                    self.len -= 1;
                }
            }
            if slot.head == NONE {
                self.swept = None;
                self.set_wake();
            }
        }
        false
    }

    /// Takes the next slot out of its level for the sweep. False: a round is complete, the next one begins.
    ///
    /// From the coarsest level down, since that is how entries move: none slips from what is ahead to what is behind.
    fn take_next_for_sweep(&mut self) -> bool {
        let (mut level, mut from) = self.sweep_at;
        while level > 0 {
            if let Some(start) = self.levels[level].first_used(level, self.base[level], from) {
                let head = self.levels[level].take(level, start);
                self.swept = Some(Slot { level, start, head });
                self.sweep_at = (level, start + (1 << SHIFT[level]));
                return true;
            }
            (level, from) = (level - 1, 0);
        }
        self.sweep_at = (LEVELS - 1, 0);
        false
    }

    /// Puts a token where its deadline belongs; tells the level and the moment at which it will fire.
    fn file(&mut self, deadline: u64, token: u32) -> (usize, u64) {
        let top = LEVELS - 1;
        let last = self.base[top] + (SLOTS << SHIFT[top]) - 1;
        let moment = deadline.clamp(self.base[0], last);
        let level = (0..top).find(|&level| moment < self.base[level + 1]).unwrap_or(top);
        let moment = moment >> UNIT[level] << UNIT[level];
        self.levels[level].push(&mut self.pages, level, moment, token);
        (level, moment)
    }

    /// Fires what is due, and drains what that takes, until `budget` is down to `reserve`.
    fn fire_until(&mut self, now: u64, reserve: usize, budget: &mut usize, out: &mut Vec<u32>) {
        loop {
            let soonest_drain = self.drains.last().map_or(u64::MAX, |slot| slot.start);
            let complete_to = self.base[1].min(soonest_drain);
            match self.levels[0].first_used(0, self.base[0], self.base[0]) {
                Some(moment) if moment <= now && moment < complete_to => {
                    self.go(moment);
                    if *budget <= reserve {
                        return;
                    }
                    self.fire(moment, *budget - reserve, budget, out);
                }
                _ if now < complete_to => return self.go(now),
                _ if *budget == 0 => return,
                _ if soonest_drain <= now => self.drain(budget),
                _ => self.go(now.min(self.first_beyond_level_0())),
            }
        }
    }

    /// Fires at most `max` tokens of a millisecond.
    fn fire(&mut self, moment: u64, max: usize, budget: &mut usize, out: &mut Vec<u32>) {
        let mut head = self.levels[0].take(0, moment);
        let fired = self.pages.pop_tokens(&mut head, max, out);
        self.levels[0].put_back(0, moment, head);
        *budget -= fired;
        self.len -= fired;
    }

    /// Files entries of the soonest slot being drained into finer levels.
    fn drain(&mut self, budget: &mut usize) {
        let Some(mut slot) = self.drains.pop() else { return };
        while *budget > 0
            && let Some((token, offset)) = self.pages.pop(&mut slot.head)
        {
            *budget -= 1;
            self.file(slot.start + (u64::from(offset) << UNIT[slot.level]), token);
        }
        if slot.head != NONE {
            self.drains.push(slot);
        }
    }

    /// All before `moment` has fired. Slots that begin soon after it are taken out to be drained.
    fn go(&mut self, moment: u64) {
        self.base[0] = self.base[0].max(moment);
        for level in 1..LEVELS {
            let base = self.base[level].max(base_for(level, moment));
            while let Some(start) = self.levels[level].first_used(level, self.base[level], self.base[level])
                && start < base
            {
                let head = self.levels[level].take(level, start);
                self.begin_drain(Slot { level, start, head });
            }
            self.base[level] = base;
        }
        if let Some(slot) = self.swept.take_if(|slot| slot.start < self.base[slot.level]) {
            self.begin_drain(slot); // its turn came before the sweep was through with it
        }
    }

    fn begin_drain(&mut self, slot: Slot) {
        let at = self.drains.partition_point(|other| other.start > slot.start);
        self.drains.insert(at, slot);
    }

    /// The start of the first slot that holds something, level 0 and slots being drained apart.
    fn first_beyond_level_0(&self) -> u64 {
        let first =
            (1..LEVELS).find_map(|level| self.levels[level].first_used(level, self.base[level], self.base[level]));
        let swept = self.swept.as_ref().map_or(u64::MAX, |slot| slot.start);
        first.unwrap_or(u64::MAX).min(swept)
    }

    fn set_wake(&mut self) {
        if !self.drains.is_empty() {
            self.wake = self.base[0];
            return;
        }
        let in_levels = (0..LEVELS).filter_map(|level| {
            let start = self.levels[level].first_used(level, self.base[level], self.base[level])?;
            Some(work_begins(level, start))
        });
        let swept = self.swept.iter().map(|slot| work_begins(slot.level, slot.start));
        self.wake = in_levels.chain(swept).min().unwrap_or(u64::MAX);
    }

    /// The clock went back to `now`.
    fn set_back(&mut self, now: u64) {
        if self.base[1] - now <= SLOTS {
            self.base[0] = now; // level 0 has room for these milliseconds
        } else {
            // No slot keeps its place: all are drained, into a wheel that stands at `now`. They are at most 2,560.
            self.drains.extend(self.swept.take());
            for (level, slots) in self.levels.iter_mut().enumerate() {
                while let Some(start) = slots.first_used(level, self.base[level], self.base[level]) {
                    let head = slots.take(level, start);
                    self.drains.push(Slot { level, start, head });
                }
            }
            self.drains.sort_unstable_by_key(|slot| std::cmp::Reverse(slot.start));
            self.base = std::array::from_fn(|level| base_for(level, now));
            self.sweep_at = (LEVELS - 1, 0);
        }
        self.set_wake();
    }
}

impl Wheel {
    /// Asserts the invariants of the module comment.
    fn check(&self) {
        let mut entries = 0;
        let mut pages = 0;
        let mut count = |level: usize, start: u64, head: u32| {
            let chain = self.pages.check_chain(head);
            entries += chain.len();
            pages += self.pages.check_pages(head);
            let span = 1 << SHIFT[level];
            assert!(chain.iter().all(|&(_, offset)| u64::from(offset) << UNIT[level] < span), "level {level}");
            assert!(start.is_multiple_of(span));
        };
        for (level, slots) in self.levels.iter().enumerate() {
            let base = self.base[level];
            if level + 1 < LEVELS {
                let window = SLOTS << SHIFT[level];
                assert!(base <= self.base[level + 1] && self.base[level + 1] - base <= window, "{:?}", self.base);
            }
            for at in 0..slots.heads.len() {
                let used = slots.used[at / 64] >> (at % 64) & 1 == 1;
                assert_eq!(used, slots.heads[at] != NONE, "slot {at} of level {level}");
                let first = base >> SHIFT[level];
                let start = (first + (at as u64 + SLOTS - first % SLOTS) % SLOTS) << SHIFT[level];
                count(level, start, slots.heads[at]);
                assert!(!used || level + 1 == LEVELS || start < self.base[level + 1], "slot {at} of level {level}");
                assert!(!used || self.wake <= work_begins(level, start), "sleeps over slot {at} of level {level}");
            }
        }
        self.drains.iter().chain(&self.swept).for_each(|slot| count(slot.level, slot.start, slot.head));
        assert!(self.drains.is_sorted_by_key(|slot| std::cmp::Reverse(slot.start)));
        assert!(self.drains.iter().all(|slot| slot.head != NONE));
        assert!(self.drains.is_empty() || self.wake <= self.base[0]);
        assert!(self.swept.iter().all(|slot| self.wake <= work_begins(slot.level, slot.start)));
        assert_eq!(entries, self.len);
        assert_eq!(pages, self.pages.check_arena());
    }
}

impl Level {
    /// The start of the first slot at or after `from` that holds entries; `base` is where the level begins.
    fn first_used(&self, level: usize, base: u64, from: u64) -> Option<u64> {
        let from = from.max(base) >> SHIFT[level];
        let (word, bit) = ((from % SLOTS / 64) as usize, from % 64);
        let words = self.used.len();
        // The first word counts twice: the bits from `from` on first, those before it last.
        let found = (0..=words).find_map(|step| {
            let mask = match step {
                0 => u64::MAX << bit,
                _ if step == words => !(u64::MAX << bit),
                _ => u64::MAX,
            };
            let at = (word + step) % words;
            let bits = self.used[at] & mask;
            (bits != 0).then(|| at as u64 * 64 + u64::from(bits.trailing_zeros()))
        })?;
        let start = from + (found + SLOTS - from % SLOTS) % SLOTS;
        (start < (base >> SHIFT[level]) + SLOTS).then_some(start << SHIFT[level])
    }

    fn push(&mut self, pages: &mut Pages, level: usize, moment: u64, token: u32) {
        if self.heads.is_empty() {
            self.heads = vec![NONE; SLOTS as usize];
        }
        let at = slot_of(level, moment);
        let offset = (moment & ((1 << SHIFT[level]) - 1)) >> UNIT[level];
        pages.push(&mut self.heads[at], token, offset as u16);
        self.used[at / 64] |= 1 << (at % 64);
    }

    /// Takes the entries out of the slot of `moment`.
    fn take(&mut self, level: usize, moment: u64) -> u32 {
        let at = slot_of(level, moment);
        self.used[at / 64] &= !(1 << (at % 64));
        std::mem::replace(&mut self.heads[at], NONE)
    }

    fn put_back(&mut self, level: usize, moment: u64, head: u32) {
        if head != NONE {
            let at = slot_of(level, moment);
            self.used[at / 64] |= 1 << (at % 64);
            self.heads[at] = head;
        }
    }
}

fn slot_of(level: usize, moment: u64) -> usize {
    (moment >> SHIFT[level]) as usize % SLOTS as usize
}

/// Where a level begins when all before `now` has fired: slots that begin within half a slot have left it.
fn base_for(level: usize, now: u64) -> u64 {
    match level {
        0 => now,
        _ => (((now + (1 << (SHIFT[level] - 1))) >> SHIFT[level]) + 1) << SHIFT[level],
    }
}

/// When an entry of a level gives work: it fires, or its slot begins to be drained.
fn work_begins(level: usize, moment: u64) -> u64 {
    match level {
        0 => moment,
        _ => (moment >> SHIFT[level] << SHIFT[level]) - (1 << (SHIFT[level] - 1)),
    }
}
