//! When entries are due: a wheel of tokens, one token an entry at least.
//!
//! A token is the low 32 bits of a key's hash: enough to find the bucket. The rule: for every entry with an expiry there is
//! a token in the wheel that fires at its moment, or the entry is *deferred* and there is one that fires earlier. So a
//! deadline that only moves later costs nothing: when the token fires, the entry is filed again. Tokens that no entry
//! needs any more are dropped when they fire, or by a sweep if they become many.
//!
//! The timer sees entries only through what its callers tell it.

use super::UnixMs;
use crate::structs::wheel::{Filed, Wheel};

/// Tokens without an entry that are not worth a sweep.
const STALE_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Timer {
    /// Made when the first expiry is set.
    wheel: Option<Box<Wheel>>,
    /// The moment that the wheel stands at.
    clock: UnixMs,
    /// The clock was set back while there were tokens: some of them may fire before their time.
    rewound: bool,
    sweeping: bool,
    /// No new sweep before the wheel is larger than this: the last one found it full of tokens in use.
    sweep_above: usize,
}

impl Timer {
    /// Sees to a token for a new expiry of an entry that had another, or none. Returns whether the entry is deferred.
    #[inline]
    pub fn schedule(
        &mut self,
        token: u32,
        old: Option<UnixMs>,
        was_deferred: bool,
        new: Option<UnixMs>,
        now: UnixMs,
    ) -> bool {
        match (old, new) {
            (_, None) => false,
            (Some(old), Some(new)) if new == old => was_deferred,
            (Some(old), Some(new)) if new > old => true,
            (_, Some(new)) => self.file(token, new, now),
        }
    }

    /// A token fired for an entry that is not due: files it again if it might have been the entry's last. Returns
    /// whether the entry is deferred.
    pub fn fired_early(&mut self, token: u32, deferred: bool, at: UnixMs, now: UnixMs) -> bool {
        if deferred || self.rewound { self.file(token, at, now) } else { false }
    }

    /// Adds a token; says whether it fires before its moment and is to be filed again then.
    pub fn file(&mut self, token: u32, at: UnixMs, now: UnixMs) -> bool {
        if now < self.clock && self.wheel.is_some() {
            // Else the wheel would take moments between the two for past ones, and fire them when it comes there again.
            self.advance(now, &mut 0, &mut Vec::new());
        }
        let wheel = self.wheel.get_or_insert_with(|| {
            self.clock = now;
            Box::new(Wheel::new(now))
        });
        wheel.add(at, token) == Filed::Early
    }

    /// Appends the tokens that are due to `fired`; each that fires or moves takes 1 from `budget`.
    pub fn advance(&mut self, now: UnixMs, budget: &mut usize, fired: &mut Vec<u32>) {
        if let Some(wheel) = &mut self.wheel {
            self.rewound = !wheel.is_empty() && (self.rewound || now < self.clock);
            self.clock = now;
            wheel.advance(now, budget, fired);
        }
    }

    /// The moment from which `advance` or `sweep` has something to do. `needed`: how many tokens
    /// entries need.
    pub fn next_due(&self, needed: usize) -> Option<UnixMs> {
        if self.wants_sweep(needed) { Some(0) } else { self.wheel.as_ref()?.next_due() }
    }

    fn wants_sweep(&self, needed: usize) -> bool {
        let Some(wheel) = &self.wheel else { return false };
        self.sweeping || wheel.len() > (2 * needed + STALE_MAX).max(self.sweep_above)
    }

    /// If there are many more tokens than entries: drops some that no entry needs. `needs(token, covers)` says whether an
    /// entry with this token has an expiry and state for which `covers(deferred, expire_at)` holds.
    pub fn sweep(
        &mut self,
        needed: usize,
        budget: &mut usize,
        mut needs: impl FnMut(u32, &dyn Fn(bool, UnixMs) -> bool) -> bool,
    ) {
        if !self.wants_sweep(needed) {
            return;
        }
        let (Some(wheel), rewound) = (&mut self.wheel, self.rewound) else { return };
        let complete = wheel.sweep(budget, &mut |token, moment| {
            needs(token, &|deferred, at| moment == at || ((deferred || rewound) && moment < at))
        });
        self.sweeping = !complete;
        if complete {
            self.sweep_above = 2 * wheel.len();
        }
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.wheel.as_ref().map_or(0, |wheel| size_of::<Wheel>() + wheel.bytes())
    }
}
