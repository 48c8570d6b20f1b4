//! What a worker does for the log and for snapshots: it passes markers, asks for them, holds output back until it is durable,
//! and walks its shard.

use super::super::durability::{Marker, Status, ToKeeper};
use super::{ConnId, Worker};
use kv_core::store::{Shard, UnixMs};

/// How much of a shard is saved in a turn, as `Shard::step_snapshot` counts: some 300 us.
const WALK_BUDGET: usize = 150_000;
/// From one such step to the next. A worker that walked without a pause would have used up its share of the processor when
/// a request comes, and others would run first.
const WALK_EVERY_US: u64 = 1000;

/// Where a worker stands between two markers.
pub(super) struct Epochs {
    /// The epoch that what the shard logs now belongs to.
    open: u64,
    /// Whether output waits until what it shows is durable.
    hold: bool,
    /// Connections whose output is held back.
    held: Vec<ConnId>,
    /// What was durable when they were looked at last.
    durable: u64,
    /// The writes of the shard that the keeper may know of.
    dirty: u64,
    /// The snapshot that the shard has not handed over completely.
    snapshot: Option<u64>,
    /// When the shard is walked on.
    walk_at_us: u64,
    /// The shard's log is so long that nobody is read from.
    is_log_long: bool,
    /// Connections were not read from, since too much waits for the disk.
    is_input_held: bool,
    /// A marker for the next turn that is published (worker 0).
    to_publish: Option<Marker>,
    has_published_marker: bool,
}

impl Epochs {
    /// After `last`, the marker that ended the last epoch.
    pub fn after(last: Marker) -> Epochs {
        Epochs {
            open: last.epoch + 1,
            hold: last.hold,
            held: Vec::new(),
            durable: 0,
            dirty: 0,
            snapshot: None,
            walk_at_us: 0,
            is_log_long: false,
            is_input_held: false,
            to_publish: None,
            has_published_marker: false,
        }
    }
}

impl Worker {
    /// Publishes a marker with the next turn. One that comes before the last one went out takes its place: the keeper does
    /// not send one before all workers have passed the last.
    pub(super) fn mark(&mut self, marker: Marker) {
        debug_assert!(self.epochs.to_publish.is_none(), "one marker at a time");
        self.epochs.to_publish = Some(marker);
    }

    /// Puts the marker into all batches of the turn.
    pub(super) fn publish_marker(&mut self) {
        let Some(marker) = self.epochs.to_publish.take() else { return };
        // Before the batches go out: what is logged behind the marker must ask for another.
        self.link.status().marker_comes();
        (0..self.outgoing.len()).for_each(|shard| self.batch_for(shard).marker = Some(marker));
        self.needs_lock = true;
        self.epochs.has_published_marker = true;
    }

    /// Whether a marker went out since this was asked last.
    pub fn has_published_marker(&mut self) -> bool {
        std::mem::take(&mut self.epochs.has_published_marker)
    }

    pub(super) fn has_marker_to_publish(&self) -> bool {
        self.epochs.to_publish.is_some()
    }

    /// Ends an epoch of this worker's shard, which is here.
    pub(super) fn pass(&mut self, marker: Marker) {
        let shard = self.shard.as_mut().expect("batches run only while the shard is here");
        #[cfg(feature = "faults")]
        if let Some(observer) = &self.link.observer {
            observer(marker, shard);
        }
        let passed = ToKeeper::Passed {
            epoch: marker.epoch,
            shard: self.id,
            log: shard.log.take(marker.epoch),
            dirty: shard.dirty,
            now: self.now,
        };
        shard.log.on = marker.log;
        if marker.snapshot.is_some() {
            shard.begin_snapshot(self.now);
            self.epochs.snapshot = marker.snapshot;
        }
        if std::mem::take(&mut self.epochs.is_log_long) && self.link.status().long_log_is_taken() {
            (0..self.net.workers()).for_each(|worker| self.net.wake(worker));
        }
        self.epochs.open = marker.epoch + 1;
        self.epochs.hold = marker.hold;
        self.link.tell(passed);
    }

    /// The epoch of the last write to a shard that is here, or has come together with this worker's; 0 when nobody has to
    /// wait for it.
    pub(super) fn shown_by(&self, shard: &Shard) -> u64 {
        match (self.epochs.hold, shard.log.is_empty()) {
            (false, _) => 0,
            (true, false) => self.epochs.open,
            (true, true) => shard.log.written,
        }
    }

    /// The same of the own shard. One that is away may have been written to.
    pub(super) fn shows(&self) -> u64 {
        match &self.shard {
            Some(shard) => self.shown_by(shard),
            None if self.epochs.hold => self.epochs.open,
            None => 0,
        }
    }

    /// The epoch that what is written now belongs to; 0 when nobody has to wait for it.
    pub(super) fn open_epoch(&self) -> u64 {
        if self.epochs.hold { self.epochs.open } else { 0 }
    }

    /// At the end of a turn: asks for a marker if something was logged, and holds back what must not leave yet.
    pub(super) fn end_turn_of_log(&mut self) {
        if let Some(shard) = &self.shard {
            if !shard.log.is_empty() {
                self.link.want_marker();
                if !self.epochs.is_log_long && Status::is_too_long(shard.log.len()) {
                    self.epochs.is_log_long = true;
                    self.link.status().log_is_long();
                }
            }
            if shard.dirty != self.epochs.dirty {
                self.epochs.dirty = shard.dirty;
                self.link.changed();
            }
        }
        let durable = self.link.status().durable();
        if self.epochs.hold {
            let epoch = self.shows();
            for i in 0..self.dirty.len() {
                let id = self.dirty[i];
                let Some(c) = self.connections[id as usize].as_mut() else { continue };
                // A reply may have waited behind others since it was served: what is shown never becomes less. Who has only
                // asked about the session or the server, or was refused, has seen nothing of the shard.
                if std::mem::take(&mut c.saw_shard) {
                    c.shows = c.shows.max(epoch);
                }
                let epoch = c.shows;
                if epoch > durable {
                    c.output.hold(epoch);
                    // Nothing may be logged in it, if a shard was away that came back as it was: its end is waited for all the same.
                    if epoch >= self.epochs.open {
                        self.link.want_marker();
                    }
                    if !c.in_held {
                        c.in_held = true;
                        self.epochs.held.push(id);
                    }
                }
            }
        }
        if self.epochs.durable != durable {
            self.epochs.durable = durable;
            self.release();
        }
    }

    /// Lets go of what has become durable.
    fn release(&mut self) {
        let durable = self.epochs.durable;
        let mut held = std::mem::take(&mut self.epochs.held);
        held.retain(|&id| {
            let Some(c) = self.connections[id as usize].as_mut() else { return false };
            c.in_held = c.output.is_held(durable);
            let still = c.in_held;
            self.mark_dirty(id);
            still
        });
        held.append(&mut self.epochs.held);
        self.epochs.held = held;
    }

    /// Whether all output may leave that is there.
    pub fn holds_nothing(&self) -> bool {
        self.epochs.held.is_empty()
    }

    /// Up to which epoch output may leave.
    pub(super) fn durable(&self) -> u64 {
        self.epochs.durable
    }

    /// Whether something has become durable that output waits for.
    pub(super) fn may_release(&self) -> bool {
        !self.epochs.held.is_empty() && self.link.status().durable() != self.epochs.durable
    }

    /// Walks a part of the shard for the snapshot under way, if it is here, and hands over what was saved.
    pub(super) fn walk_for_snapshot(&mut self) {
        let Some(shard) = self.shard.as_mut() else { return };
        let is_time = self.now_us >= self.epochs.walk_at_us;
        let Some(snapshot) = self.epochs.snapshot else {
            if is_time && shard.wants_step() {
                self.epochs.walk_at_us = self.now_us + WALK_EVERY_US;
                shard.step_snapshot(WALK_BUDGET);
            }
            return;
        };
        let status = self.link.status();
        if status.aborted() >= snapshot {
            self.epochs.snapshot = None;
            return shard.abort_snapshot();
        }
        let walks = is_time && !status.is_queue_full();
        if walks {
            self.epochs.walk_at_us = self.now_us + WALK_EVERY_US;
        }
        let is_over = walks && shard.step_snapshot(WALK_BUDGET);
        let pieces = shard.take_pieces();
        if is_over || !pieces.is_empty() {
            self.link.save(snapshot, self.id, pieces, is_over);
        }
        if is_over {
            self.epochs.snapshot = None;
        }
    }

    /// Whether nobody is read from for the moment, since too much waits for the disk.
    #[inline]
    pub(super) fn holds_input(&mut self) -> bool {
        self.epochs.is_input_held = self.link.status().is_overfull();
        self.epochs.is_input_held
    }

    /// Whether that is over.
    pub(super) fn may_take_input(&self) -> bool {
        self.epochs.is_input_held && !self.link.status().is_overfull()
    }

    /// When to look again whether `walk_for_snapshot` has something to do.
    pub(super) fn walks_at(&self) -> Option<UnixMs> {
        let shard = self.shard.as_ref()?;
        let next_ms = self.epochs.walk_at_us.div_ceil(1000);
        match self.epochs.snapshot {
            None => shard.wants_step().then_some(next_ms),
            Some(_) if self.link.status().is_queue_full() => Some(self.now + 1),
            Some(_) => Some(next_ms),
        }
    }
}
