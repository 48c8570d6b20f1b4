//! Random calls to a wheel, compared with a plain map of deadlines.

use std::collections::{BTreeMap, BTreeSet};

use super::{Filed, LAST_MOMENT, Wheel};
use crate::structs::random::Random;

/// Plays a random sequence of calls against a map and the wheel's own invariants.
///
/// Panics: with the seed in the message, when they disagree.
pub fn fuzz_wheel(seed: u64) {
    let mut model = Model::new(seed);
    for step in 0..300 {
        match model.random.below(10) {
            0..=3 => model.add_some(),
            4..=7 => model.advance(),
            8 => model.sweep(),
            _ if model.sets_back && model.random.one_in(4) => model.set_back(),
            _ => model.sleep_until_due(),
        }
        if step % 10 == 0 {
            model.wheel.check();
        }
    }
    model.fire_all();
}

struct Model {
    seed: u64,
    random: Random,
    sets_back: bool,
    now: u64,
    wheel: Wheel,
    entries: BTreeMap<u32, Entry>,
    next_token: u32,
    /// Tokens that the running round of the sweep must still ask about; `None` when that cannot be told.
    unasked: Option<BTreeSet<u32>>,
}

struct Entry {
    deadline: u64,
    /// It must not fire before.
    earliest: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Around the widths of the slots everything happens; the present is 2^40.7.
        let now = match random.below(4) {
            0 => 0,
            1 => (1 << 40) + random.below(1 << 38),
            2 => (1 << 40) - random.below(300),
            _ => (3 << 24) - random.below(100_000),
        };
        let sets_back = random.one_in(4);
        Self {
            seed,
            sets_back,
            now,
            wheel: Wheel::new(now),
            entries: BTreeMap::new(),
            next_token: 0,
            unasked: Some(BTreeSet::new()),
            random,
        }
    }

    /// Mostly short spans, now and then very long ones.
    fn span(&mut self, longest: u32) -> u64 {
        let bits = self.random.below(u64::from(longest)).min(self.random.below(64)) as u32;
        self.random.below(1 << bits.min(62))
    }

    fn add_some(&mut self) {
        let near = self.span(45);
        for _ in 0..self.span(9) {
            let deadline = match self.random.below(10) {
                0 => self.now.saturating_sub(self.span(20)),
                1..=4 => self.now + near + self.random.below(300),
                5 if self.random.one_in(20) => u64::MAX - self.random.below(2),
                _ => self.now + self.span(45),
            };
            let token = self.next_token;
            self.next_token += 1;
            self.add(deadline, token);
        }
    }

    fn add(&mut self, deadline: u64, token: u32) {
        let filed = self.wheel.add(deadline, token);
        // The wheel may be behind, when budgets were small.
        let span = deadline.saturating_sub(self.wheel.base[0].min(self.now));
        let rounding = match span {
            0..0x80_0000 => 0,
            0x80_0000..0x8000_0000 => 255,
            0x8000_0000..0x200_0000_0000 => 65_535,
            _ => span - 0x200_0000_0000,
        };
        assert!(filed == Filed::Exact || rounding > 0 || self.sets_back, "seed {}: {deadline} early", self.seed);
        let earliest = if filed == Filed::Exact { deadline } else { deadline - rounding.min(deadline) };
        self.entries.insert(token, Entry { deadline, earliest });
    }

    fn advance(&mut self) {
        self.now += self.span(40);
        let budget = match self.random.below(4) {
            0 => self.random.index(10),
            1 => self.random.index(300),
            _ => usize::MAX,
        };
        self.advance_to_now(budget);
    }

    fn advance_to_now(&mut self, budget: usize) {
        let seed = self.seed;
        let (mut left, mut out) = (budget, Vec::new());
        self.wheel.advance(self.now, &mut left, &mut out);
        assert!(out.len() <= budget - left, "seed {seed}: more fired than paid for");
        for token in out {
            let entry =
                self.entries.remove(&token).unwrap_or_else(|| panic!("seed {seed}: {token} fired, but is not there"));
            if let Some(unasked) = &mut self.unasked {
                unasked.remove(&token);
            }
            let early = !self.sets_back && self.now < entry.earliest;
            assert!(!early, "seed {seed}: {token} of {} fired at {}", entry.deadline, self.now);
            if self.now < entry.deadline {
                self.add(entry.deadline, token);
            }
        }
        if left == 0 {
            self.unasked = None;
            return;
        }
        let late = self.entries.iter().find(|(_, entry)| entry.deadline <= self.now);
        let late = late.map(|(token, entry)| (token, entry.deadline));
        assert!(late.is_none(), "seed {seed}: {late:?} is late at {}", self.now);
        let first = self.entries.values().map(|entry| entry.deadline).min();
        match (self.wheel.next_due(), first) {
            (None, None) => {}
            (Some(due), Some(first)) => {
                assert!(due <= first.max(self.now), "seed {seed}: sleeps to {due} over {first}")
            }
            (due, first) => panic!("seed {seed}: next is {due:?}, should be {first:?}"),
        }
    }

    fn sleep_until_due(&mut self) {
        if let Some(due) = self.wheel.next_due().filter(|&due| due < LAST_MOMENT) {
            self.now = self.now.max(due);
            self.advance_to_now(usize::MAX);
        }
    }

    fn sweep(&mut self) {
        let seed = self.seed;
        let (refused, now) = (self.random.below(20) as u32, self.now);
        let mut budget = self.random.index(200);
        let (entries, unasked) = (&mut self.entries, &mut self.unasked);
        let complete = self.wheel.sweep(&mut budget, &mut |token, moment| {
            let entry = entries.get(&token).unwrap_or_else(|| panic!("seed {seed}: {token} swept, but is not there"));
            assert!(moment <= entry.deadline || entry.deadline < now, "seed {seed}: {moment} for {}", entry.deadline);
            if let Some(unasked) = unasked {
                unasked.remove(&token);
            }
            let keep = token % 20 != refused;
            if !keep {
                entries.remove(&token);
            }
            keep
        });
        if complete {
            let missed = self.unasked.iter().flatten().find(|token| self.entries[token].earliest > now + 512);
            assert!(missed.is_none(), "seed {seed}: the sweep missed {missed:?}");
            self.unasked = self.wheel.drains.is_empty().then(|| self.entries.keys().copied().collect());
        }
    }

    fn set_back(&mut self) {
        // What was due and has not fired stands at the old moment: it would be late by the new clock.
        self.advance_to_now(usize::MAX);
        let span = if self.random.one_in(2) { self.random.below(300) } else { self.span(45) };
        self.now -= span.min(self.now);
        self.unasked = None;
        let (mut budget, mut out) = (self.random.index(100), Vec::new());
        self.wheel.advance(self.now, &mut budget, &mut out);
        out.iter().for_each(|token| assert!(self.entries.remove(token).is_some(), "seed {}: {token}", self.seed));
    }

    /// Goes from one moment with work to the next, as an idle server does, until nothing is left.
    fn fire_all(&mut self) {
        // A deadline in a thousand years takes 16 turns through all levels.
        let count = self.entries.len();
        let mut calls = 0;
        while self.entries.values().any(|entry| entry.deadline < LAST_MOMENT) {
            self.sleep_until_due();
            calls += 1;
            assert!(calls < 10 + 200 * count, "seed {}: {calls} calls for {count} tokens", self.seed);
        }
        self.wheel.check();
    }
}
