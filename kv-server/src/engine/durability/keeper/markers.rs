//! The marker under way, and what the shards have handed over at it.

use super::super::Marker;
use kv_core::store::UnixMs;

/// What an epoch holds: the records of each shard that has some, shards ascending.
pub(super) type Sections = Vec<(usize, Vec<u8>)>;

/// All shards have passed a marker.
pub(super) struct Whole {
    pub marker: Marker,
    pub sections: Sections,
    /// The writes of all shards so far.
    pub dirty: u64,
}

pub(super) struct Markers {
    /// The last one that was sent: what workers do now or will do at once.
    last: Marker,
    sent_at: UnixMs,
    /// Shards that have not passed it.
    missing: usize,
    sections: Sections,
    dirty: u64,
    shards: usize,
}

impl Markers {
    /// After `last`.
    pub fn new(last: Marker, shards: usize) -> Markers {
        Markers { last, sent_at: 0, missing: 0, sections: Vec::new(), dirty: 0, shards }
    }

    pub fn last(&self) -> Marker {
        self.last
    }

    pub fn sent_at(&self) -> UnixMs {
        self.sent_at
    }

    pub fn is_under_way(&self) -> bool {
        self.missing > 0
    }

    /// `marker` is being sent.
    pub fn sent(&mut self, marker: Marker, now: UnixMs) {
        assert!(!self.is_under_way() && marker.epoch == self.last.epoch + 1, "one marker at a time");
        self.last = marker;
        self.sent_at = now;
        self.missing = self.shards;
        self.dirty = 0;
    }

    /// A shard has passed it. The last one makes the epoch whole.
    pub fn passed(&mut self, epoch: u64, shard: usize, records: Vec<u8>, dirty: u64) -> Option<Whole> {
        assert!(self.is_under_way() && epoch == self.last.epoch, "a shard passes the marker that is under way, once");
        if !records.is_empty() {
            self.sections.push((shard, records));
        }
        self.dirty += dirty;
        self.missing -= 1;
        (self.missing == 0).then(|| {
            let mut sections = std::mem::take(&mut self.sections);
            sections.sort_unstable_by_key(|&(shard, _)| shard);
            Whole { marker: self.last, sections, dirty: self.dirty }
        })
    }
}
