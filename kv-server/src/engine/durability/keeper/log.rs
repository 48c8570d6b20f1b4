//! The log: epochs that are not safe yet, and the segment that they are written to.
//!
//! An epoch stays in memory until a sync has succeeded behind it. So a write or a sync that fails costs nothing: the segment
//! is given up, and what is not safe goes into a new one, from its first byte on. (With `appendfsync no` nothing is synced, and
//! an epoch goes as soon as it is written.)
//!
//! ```text
//! pending   [ epoch epoch epoch | epoch ]     what lies left of `written` is in the open segment, and not known to be safe
//! ```
//!
//! A segment begins when there is something to write to it: the file with its header is made and synced, the manifest names
//! it, and only then its first frame is written. A snapshot at the end of epoch `e` is a *cut*: no segment holds epochs on both
//! sides of it, so that those in front can go when the snapshot is whole.

use super::super::disk::DiskFile;
use super::super::words_of;
use super::files::Files;
use super::markers::Sections;
use crate::config::Fsync;
use kv_core::persist::frame::{self, Header};
use kv_core::persist::manifest::Segment;
use kv_core::store::UnixMs;
use kv_core::structs::random::Random;
use std::collections::VecDeque;
use std::io;

/// How often `everysec` syncs.
const SYNC_EVERY_MS: u64 = 1000;
/// Records that may be waiting in memory for a sync; more of them are not worth the second.
const UNSYNCED_BYTES_MAX: usize = 64 << 20;

/// What is kept of a buffer that was longer once.
const BUFFER_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Off,
    /// Switched on while the server ran: the log is written, and is none of the manifest's until the snapshot is whole that it
    /// goes on from.
    Starting,
    On,
}

struct Epoch {
    epoch: u64,
    sections: Sections,
    bytes: usize,
}

struct Open {
    segment: Segment,
    file: Box<dyn DiskFile>,
    bytes: u64,
}

/// Epochs may be missing on the disk and are not in memory. Only a snapshot helps; until there is one nothing is written
/// behind them, where it would be worth nothing.
struct Doubt {
    /// The last of them.
    epoch: u64,
    why: String,
}

pub(super) struct Log {
    mode: Mode,
    shards: usize,
    pending: VecDeque<Epoch>,
    pending_bytes: usize,
    /// How many of `pending`, from the front, are in the open segment, and their bytes.
    written: usize,
    written_bytes: usize,
    open: Option<Open>,
    /// The last epoch that went out of `pending`, or that was loaded.
    before: u64,
    /// The last epoch that all shards have passed the end of.
    seen: u64,
    /// The last epoch known to be on the disk, as frames tell it.
    synced: u64,
    durable: u64,
    /// The end of the epoch at which a snapshot was begun last.
    cut: u64,
    /// The first epoch of the last segment, or what is known to be over without one: no segment begins in front of it.
    floor: u64,
    last_sync: UnixMs,
    unsynced_since: Option<UnixMs>,
    /// Epochs that are written, are not in memory any more, and are not synced (`appendfsync no`): up to this one.
    loose: Option<u64>,
    doubt: Option<Doubt>,
    random: Random,
    /// For the bytes of a frame.
    buffer: Vec<u8>,
    pub syncs: u64,
    pub delayed_syncs: u64,
}

impl Log {
    /// After what was loaded, up to the end of `epoch`; the epochs up to `ended` are over, too, and nothing is left of them.
    pub fn new(is_on: bool, shards: usize, epoch: u64, ended: u64, random: Random, now: UnixMs) -> Log {
        Log {
            mode: if is_on { Mode::On } else { Mode::Off },
            shards,
            pending: VecDeque::new(),
            pending_bytes: 0,
            written: 0,
            written_bytes: 0,
            open: None,
            before: epoch,
            seen: ended,
            synced: 0,
            durable: ended,
            cut: ended,
            floor: ended + 1,
            last_sync: now.saturating_sub(SYNC_EVERY_MS),
            unsynced_since: None,
            loose: None,
            doubt: None,
            random,
            buffer: Vec::new(),
            syncs: 0,
            delayed_syncs: 0,
        }
    }

    /// Makes safe what was loaded: it may only have been read from the system's memory, and whoever is shown it, or builds on it,
    /// takes it for kept.
    pub fn secure_past(&mut self, files: &Files) {
        if self.mode == Mode::Off {
            return;
        }
        match files.manifest().segments.iter().try_for_each(|segment| files.sync_segment(segment.number)) {
            Ok(()) => self.synced = self.before,
            Err(error) => self.doubt = Some(Doubt { epoch: self.before, why: words_of(&error) }),
        }
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// All shards have ended an epoch.
    pub fn push(&mut self, epoch: u64, sections: Sections) {
        self.seen = epoch;
        if self.mode == Mode::Off || sections.is_empty() {
            return;
        }
        let bytes = sections.iter().map(|(_, records)| records.len()).sum();
        self.pending_bytes += bytes;
        self.pending.push_back(Epoch { epoch, sections, bytes });
    }

    /// A snapshot begins at the end of this epoch.
    pub fn cut_after(&mut self, epoch: u64) {
        self.cut = epoch;
    }

    /// Up to which epoch nothing can be lost any more, as far as the options ask for that.
    pub fn durable(&mut self) -> u64 {
        let durable = match self.pending.front() {
            Some(epoch) => epoch.epoch - 1,
            None => self.seen,
        };
        if self.doubt.is_none() {
            self.durable = self.durable.max(durable);
        }
        self.durable
    }

    /// Whether only a snapshot can make the log whole again.
    pub fn needs_snapshot(&self) -> bool {
        self.doubt.is_some() && self.mode == Mode::On
    }

    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    pub fn unwritten_bytes(&self) -> usize {
        self.pending_bytes - self.written_bytes
    }

    pub fn has_unsynced(&self) -> bool {
        !self.pending.is_empty() || self.loose.is_some()
    }

    pub fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.bytes)
    }

    pub fn open_number(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.segment.number)
    }

    /// When there is something to do for time alone.
    pub fn next_moment(&self, fsync: Fsync) -> Option<UnixMs> {
        let waits = fsync == Fsync::EverySecond && self.mode != Mode::Off && self.has_unsynced();
        waits.then_some(self.last_sync + SYNC_EVERY_MS)
    }

    /// Writes what is to be written, and syncs as `fsync` asks for it, or in any case if `all`.
    ///
    /// Errors: the segment is given up. Another call goes on in a new one.
    pub fn keep(&mut self, files: &mut Files, fsync: Fsync, all: bool, now: UnixMs) -> io::Result<()> {
        if let Some(doubt) = self.doubt.as_ref().filter(|_| self.mode == Mode::On) {
            return Err(io::Error::other(doubt.why.clone()));
        }
        self.write(files, now).inspect_err(|error| self.give_up(files, error))?;
        if self.has_unsynced() {
            self.unsynced_since.get_or_insert(now);
        }
        let is_due = match fsync {
            Fsync::Always => true,
            Fsync::EverySecond => now >= self.last_sync + SYNC_EVERY_MS || self.written_bytes > UNSYNCED_BYTES_MAX,
            Fsync::No => false,
        };
        if (all || is_due) && (self.written > 0 || self.loose.is_some()) {
            let due = self.unsynced_since.map_or(now, |since| since.max(self.last_sync + SYNC_EVERY_MS));
            if fsync == Fsync::EverySecond && now >= due + SYNC_EVERY_MS {
                self.delayed_syncs += 1;
            }
            self.sync(files, now)?;
        } else if fsync == Fsync::No && self.written > 0 {
            self.forget_written();
            self.loose = Some(self.before);
        }
        Ok(())
    }

    fn write(&mut self, files: &mut Files, now: UnixMs) -> io::Result<()> {
        while self.written < self.pending.len() {
            let epoch = self.pending[self.written].epoch;
            if self.open.as_ref().is_some_and(|open| open.segment.first_epoch <= self.cut && self.cut < epoch) {
                self.close(files, now)?;
                continue;
            }
            let before = self.written.checked_sub(1).map_or(self.before, |last| self.pending[last].epoch);
            if self.open.is_none() {
                self.begin(files, before)?;
            }
            let open = self.open.as_mut().expect("just made");
            let Epoch { sections, bytes, .. } = &self.pending[self.written];
            let sections: Vec<(usize, &[u8])> =
                sections.iter().map(|(shard, records)| (*shard, records.as_slice())).collect();
            let out = &mut self.buffer;
            out.clear();
            frame::write_frame(out, open.segment.id, epoch, before, self.synced.min(before), &sections);
            open.file.write_all(out)?;
            open.bytes += out.len() as u64;
            self.written += 1;
            self.written_bytes += bytes;
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
        Ok(())
    }

    /// Begins a segment behind epoch `before`.
    fn begin(&mut self, files: &mut Files, before: u64) -> io::Result<()> {
        // A cut keeps what stands in front of it and behind it apart also where nothing was logged in between. Another may come
        // before this segment is given up: the next one begins no earlier for that.
        let cut = if self.pending[self.written].epoch > self.cut { self.cut } else { 0 };
        let first_epoch = (before.max(cut) + 1).max(self.floor);
        self.floor = first_epoch;
        let id = self.random.next_u64();
        let mut header = Vec::with_capacity(frame::HEADER);
        frame::write_header(&mut header, &Header { id, first_epoch });
        let (number, file) = files.create_segment(&header)?;
        let segment = Segment { number, id, first_epoch, shards: self.shards as u32 };
        if self.mode == Mode::On {
            files.name_segment(segment.clone())?;
        }
        self.open = Some(Open { segment, file, bytes: header.len() as u64 });
        Ok(())
    }

    /// Ends the open segment: what is in it is made safe.
    fn close(&mut self, files: &mut Files, now: UnixMs) -> io::Result<()> {
        if self.written > 0 || self.loose.is_some() {
            self.sync(files, now)?;
        }
        if let Some(open) = self.open.take() {
            files.closed(open.bytes);
        }
        Ok(())
    }

    fn sync(&mut self, files: &mut Files, now: UnixMs) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            self.syncs += 1;
            if let Err(error) = open.file.sync() {
                // Nobody knows which bytes are on the disk, and no later sync would tell.
                if let Some(epoch) = self.loose.take() {
                    self.doubt = Some(Doubt { epoch, why: words_of(&error) });
                }
                self.give_up(files, &error);
                return Err(error);
            }
        }
        self.last_sync = now;
        self.unsynced_since = None;
        self.forget_written();
        self.loose = None;
        self.synced = self.synced.max(self.before);
        Ok(())
    }

    /// What is written is not needed in memory any more.
    fn forget_written(&mut self) {
        for epoch in self.pending.drain(..self.written) {
            self.before = epoch.epoch;
            self.pending_bytes -= epoch.bytes;
        }
        self.written = 0;
        self.written_bytes = 0;
    }

    /// Nothing more is written to the open segment.
    fn give_up(&mut self, files: &mut Files, error: &io::Error) {
        if let Some(mut open) = self.open.take() {
            files.closed(open.bytes);
            // What was written before may be well, and is nowhere else.
            if self.loose.is_some() && open.file.sync().is_ok() {
                self.loose = None;
            }
        }
        if let Some(epoch) = self.loose.take() {
            self.doubt = Some(Doubt { epoch, why: words_of(error) });
        }
        self.written = 0;
        self.written_bytes = 0;
    }

    /// Effects are logged from here on, behind a snapshot that begins here.
    pub fn start(&mut self) {
        self.mode = Mode::Starting;
        self.before = self.seen;
        self.doubt = None;
    }

    /// Effects are not logged any more. What is pending is written if that is possible, and nothing in front of it may be missing.
    pub fn stop(&mut self, files: &mut Files, now: UnixMs) -> io::Result<()> {
        let kept = match &self.doubt {
            _ if self.mode != Mode::On => Ok(()),
            Some(doubt) => Err(io::Error::other(doubt.why.clone())),
            None => self.write(files, now).and_then(|()| self.close(files, now)),
        };
        self.mode = Mode::Off;
        self.open = None;
        self.written = self.pending.len();
        self.forget_written();
        (self.loose, self.doubt) = (None, None);
        kept
    }

    /// What the manifest does not know yet of a log that is being started.
    pub fn unnamed(&self) -> Option<Segment> {
        let open = self.open.as_ref().filter(|_| self.mode == Mode::Starting);
        open.map(|open| open.segment.clone())
    }

    /// The snapshot at the end of `epoch` is what the log goes on from now.
    pub fn goes_on_from(&mut self, epoch: u64) {
        if self.mode == Mode::Starting {
            self.mode = Mode::On;
        }
        // What is not safe so far is in the snapshot, and the segment in front of it goes.
        if self.open.as_ref().is_some_and(|open| open.segment.first_epoch <= epoch) {
            self.open = None;
            self.loose = None;
            self.forget_written();
        }
        while self.written == 0 && self.pending.front().is_some_and(|first| first.epoch <= epoch) {
            let first = self.pending.pop_front().expect("just seen");
            self.before = first.epoch;
            self.pending_bytes -= first.bytes;
        }
        if self.doubt.as_ref().is_some_and(|doubt| doubt.epoch <= epoch) {
            self.doubt = None;
        }
        self.synced = self.synced.max(epoch.min(self.before));
    }
}
