//! Moments at which the server was slow, by kind: what LATENCY tells.

use kv_core::store::UnixMs;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Samples that are kept of a kind; Redis's.
const SAMPLES: usize = 160;

/// What took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A call of a command that is not `fast`.
    Command,
    /// A run of calls of one that is.
    FastCommand,
    /// Removing what was due.
    ExpireCycle,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Command, Kind::FastCommand, Kind::ExpireCycle];

    /// Redis's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Command => "command",
            Kind::FastCommand => "fast-command",
            Kind::ExpireCycle => "expire-cycle",
        }
    }

    pub fn from_name(name: &[u8]) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// The longest of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Seconds since 1970.
    pub time_s: u64,
    pub ms: u64,
}

/// What is known of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The earliest first; there is one at least.
    pub samples: VecDeque<Sample>,
    pub max_ms: u64,
}

impl Series {
    pub fn last(&self) -> Sample {
        *self.samples.back().expect("a series begins with a sample")
    }
}

/// Shared by all workers.
#[derive(Default)]
pub struct Events(Mutex<BTreeMap<Kind, Series>>);

impl Events {
    pub fn add(&self, kind: Kind, ms: u64, now: UnixMs) {
        let mut all = self.all();
        let series = all.entry(kind).or_default();
        let time_s = now / 1000;
        series.max_ms = series.max_ms.max(ms);
        match series.samples.back_mut() {
            Some(last) if last.time_s == time_s => last.ms = last.ms.max(ms),
            _ => series.samples.push_back(Sample { time_s, ms }),
        }
        if series.samples.len() > SAMPLES {
            series.samples.pop_front();
        }
    }

    /// All kinds of which there is something.
    pub fn series(&self) -> Vec<(Kind, Series)> {
        self.all().iter().map(|(kind, series)| (*kind, series.clone())).collect()
    }

    pub fn of(&self, kind: Kind) -> Option<Series> {
        self.all().get(&kind).cloned()
    }

    /// Forgets all of a kind; whether there was something.
    pub fn forget(&self, kind: Kind) -> bool {
        self.all().remove(&kind).is_some()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Kind, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
