//! The keeper: decides when an epoch ends, when to sync and when to take a snapshot, and writes the log and the manifest.
//!
//! A state machine without thread, clock or file: `io` (or the simulation) gives it messages, the time and a disk.
//! [`Keeper::handle`] takes a message and touches no disk; [`Keeper::work`] does what has become due and says when it wants to be
//! called again. All that has arrived is handled before work is done, so that one sync serves all.
//!
//! ```text
//! Wanted -> Mail::Mark to worker 0 -> Passed by every shard -> one frame -> sync -> Status::durable, workers are woken
//! ```
//!
//! One marker is under way at a time. With `always` the next is sent as soon as the sync before is over: what arrives during a
//! sync makes one epoch. Otherwise markers have a distance in time, since few large epochs cost less than many small ones.
//!
//! # Switching the log on and off
//!
//! On: a snapshot begins at the marker from which effects are logged. What is logged is written at once, into a segment that
//! the manifest does not name before the snapshot is whole; until then nothing of it counts, and no output is held. If the
//! snapshot or the segment fails, logging ends, and all begins anew a little later.
//!
//! Off: the last epoch is written, and the files stay as they are: who starts then finds the state of that moment, until a
//! snapshot replaces it. Nothing that is logged later is ever put on top of it, since switching on begins with a snapshot.
//!
//! # Trouble
//!
//! When the log cannot be written or synced, writes are refused and the keeper tries again every second, each time with a
//! new segment (see [`log`]). Nothing becomes durable meanwhile, so with `always` nothing is acknowledged that could be lost.

mod files;
mod log;
mod markers;
mod saves;

use self::files::{Files, Kind};
use self::log::{Log, Mode};
use self::markers::{Markers, Whole};
use self::saves::{Answer, Answers, Asker, Saves};
use super::status::{End, Figures};
use super::{Disk, Marker, Status, ToKeeper, ToSaver, words_of};
use crate::config::{Config, Fsync};
use crate::engine::Net;
use crate::engine::mail::{Late, Mail};
use crossbeam_channel::Sender;
use kv_core::persist::manifest::{Base, Manifest};
use kv_core::resp::Reply;
use kv_core::store::UnixMs;
use kv_core::structs::random::Random;
use std::io;
use std::sync::Arc;

pub use self::files::MANIFEST;
pub(super) use self::files::{parse, write_manifest};

/// The distance of two markers when nobody waits for them.
const MARK_EVERY_MS: u64 = 5;
/// How long after a failure the disk is tried again.
const TRY_AGAIN_MS: u64 = 1000;

/// What was loaded at the start.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The one in the folder; without files if there is none.
    pub manifest: Manifest,
    /// The state is the one after this epoch; 0 for nothing.
    pub epoch: u64,
}

impl Loaded {
    /// The marker behind which the workers begin.
    pub fn marker(&self, config: &Config) -> Marker {
        let hold = config.appendonly && config.appendfsync == Fsync::Always;
        Marker { epoch: self.last_ended(), snapshot: None, log: config.appendonly, hold }
    }

    /// The last epoch that is known to have ended. A segment may have been begun behind epochs in which nothing was logged,
    /// and have no frame yet: those are over as well, although nothing of them was loaded.
    fn last_ended(&self) -> u64 {
        let in_front = self.manifest.segments.iter().map(|segment| segment.first_epoch.saturating_sub(1)).max();
        self.epoch.max(in_front.unwrap_or(0))
    }
}

/// What a keeper is made of.
pub struct KeeperSetup {
    pub disk: Arc<dyn Disk>,
    pub net: Arc<Net>,
    pub status: Arc<Status>,
    pub saver: Sender<ToSaver>,
    pub config: Box<Config>,
    pub loaded: Loaded,
    /// For the names that segments bear inside.
    pub seed: u64,
    /// Tells the people who run the server, in one line.
    pub report: Box<dyn FnMut(&str) + Send>,
    pub now: UnixMs,
}

/// The log cannot be written.
struct Trouble {
    text: String,
    try_at: UnixMs,
}

/// The server is to end.
struct Stop {
    save: bool,
    /// The epoch that everything belongs to; none before its marker was sent.
    epoch: Option<u64>,
    /// The snapshot that has to be whole.
    snapshot: Option<u64>,
}

pub struct Keeper {
    net: Arc<Net>,
    status: Arc<Status>,
    saver: Sender<ToSaver>,
    config: Box<Config>,
    report: Box<dyn FnMut(&str) + Send>,
    files: Files,
    log: Log,
    markers: Markers,
    saves: Saves,
    /// Something was logged that no marker was sent for.
    is_marker_wanted: bool,
    /// Output up to the end of this epoch may be held back.
    held_until: u64,
    trouble: Option<Trouble>,
    stop: Option<Stop>,
    answers: Answers,
    now: UnixMs,
}

impl Keeper {
    pub fn new(setup: KeeperSetup) -> Keeper {
        let KeeperSetup { disk, net, status, saver, config, loaded, seed, report, now } = setup;
        let shards = net.workers();
        let marker = loaded.marker(&config);
        status.set_durable(marker.epoch);
        let files = Files::new(disk, loaded.manifest);
        files.remove_leftovers_of_a_crash();
        let mut log = Log::new(marker.log, shards, loaded.epoch, marker.epoch, Random::new(seed), now);
        log.secure_past(&files);
        let keeper = Keeper {
            log,
            markers: Markers::new(marker, shards),
            saves: Saves::new(now),
            files,
            net,
            status,
            saver,
            config,
            report,
            is_marker_wanted: false,
            held_until: 0,
            trouble: None,
            stop: None,
            answers: Vec::new(),
            now,
        };
        keeper.publish();
        keeper
    }

    /// Takes a message; what follows from it happens at the next `work`.
    pub fn handle(&mut self, message: ToKeeper, now: UnixMs) {
        self.now = self.now.max(now);
        match message {
            ToKeeper::Wanted => self.is_marker_wanted = true,
            ToKeeper::Changed => self.saves.changed(self.now),
            ToKeeper::Passed { epoch, shard, log, dirty, .. } => {
                if let Some(whole) = self.markers.passed(epoch, shard, log, dirty) {
                    self.end_epoch(whole);
                }
            }
            ToKeeper::Ask { question, from, dest, proto } => {
                let asker = Asker { from, dest, proto };
                if let Some(answer) = self.saves.ask(question, asker) {
                    self.answers.push((asker, answer));
                }
            }
            ToKeeper::Options(config) => {
                self.config = config;
                self.saves.points_changed(self.now);
                self.refuse();
            }
            ToKeeper::Saved { snapshot, bytes, keys } => self.saved(snapshot, bytes, keys),
            ToKeeper::SaveFailed { snapshot, error } => self.save_failed(snapshot, &error),
            ToKeeper::Stop { save } => {
                self.status.set_end(End::Open);
                self.stop = Some(Stop { save, epoch: None, snapshot: None });
            }
        }
    }

    /// Does what is due. When to call again without a message; never if `None`.
    pub fn work(&mut self, now: UnixMs) -> Option<UnixMs> {
        self.now = self.now.max(now);
        let is_more_durable = self.keep_log();
        self.want_snapshots();
        self.send_marker();
        // After the marker, which so comes with the same turn and is passed before the replies are written that it is about.
        if is_more_durable {
            self.wake_workers();
        }
        self.settle_stop();
        // Who has an answer finds the figures that belong to it.
        self.publish();
        self.answer();
        self.next_moment()
    }

    /// Whether output waits for the marker under way.
    pub fn is_waited_for(&self) -> bool {
        self.markers.is_under_way() && self.markers.last().hold
    }

    // ---- epochs ----

    /// All shards have passed the marker under way.
    fn end_epoch(&mut self, Whole { marker, sections, dirty }: Whole) {
        self.log.push(marker.epoch, sections);
        if marker.hold {
            self.held_until = u64::MAX;
        } else if self.held_until == u64::MAX {
            self.held_until = marker.epoch;
        }
        let mut has_begun = false;
        if let Some(snapshot) = marker.snapshot {
            self.log.cut_after(marker.epoch);
            has_begun = self.saves.begun(snapshot, dirty, &mut self.answers);
        }
        match (marker.log, self.log.mode()) {
            (true, Mode::Off) if has_begun => self.log.start(),
            (false, Mode::Starting | Mode::On) => self.stop_log(),
            _ => {}
        }
    }

    fn send_marker(&mut self) {
        if self.markers.is_under_way() {
            return;
        }
        let stops = self.stop.as_ref().is_some_and(|stop| stop.epoch.is_none());
        if stops && self.saves.running().is_some_and(|_| self.log.mode() != Mode::Starting) {
            // The last snapshot must not wait for one that nobody needs any more.
            self.abort("the server ends");
        }
        let is_free = self.saves.running().is_none();
        let wants_log = self.config.appendonly;
        let may_start = wants_log && self.log.mode() == Mode::Off && is_free && self.stop.is_none();
        let starts = may_start && self.saves.want_rewrite(self.now);
        if stops && is_free && self.stop.as_ref().is_some_and(|stop| stop.save) {
            self.saves.want_save();
        }
        // Nothing but the last snapshot begins once the server is to end.
        let begins = is_free && self.saves.is_wanted() && (stops || self.stop.is_none());
        let last = self.markers.last();
        let log = wants_log && (starts || self.log.mode() != Mode::Off);
        let hold = log && self.log.mode() == Mode::On && self.config.appendfsync == Fsync::Always;
        let must = stops || begins || log != last.log || hold != last.hold;
        let is_time = self.config.appendfsync == Fsync::Always || self.now >= self.markers.sent_at() + MARK_EVERY_MS;
        let may = self.is_marker_wanted && last.log && is_time && self.trouble.is_none();
        if !must && !may {
            return;
        }
        let epoch = last.epoch + 1;
        let snapshot = begins.then(|| self.begin_snapshot(epoch));
        let marker = Marker { epoch, snapshot, log, hold };
        if let Some(stop) = &mut self.stop
            && stop.epoch.is_none()
        {
            stop.epoch = Some(epoch);
            stop.snapshot = self.saves.running().map(|running| running.number);
        }
        self.is_marker_wanted = false;
        self.markers.sent(marker, self.now);
        self.net.send(0, Mail::Mark(marker));
    }

    // ---- the log ----

    /// Writes and syncs what is due. Whether more is durable, and workers may wait for it.
    fn keep_log(&mut self) -> bool {
        let stops = self.stop.is_some();
        if self.trouble.as_ref().is_some_and(|trouble| self.now < trouble.try_at) && !stops {
            return false;
        }
        if self.log.mode() != Mode::Off {
            // After trouble a write proves little: many disks find out that they are full when they are synced.
            let all = stops || self.trouble.is_some();
            let kept = self.log.keep(&mut self.files, self.config.appendfsync, all, self.now);
            match kept {
                Ok(()) => self.log_is_well(),
                Err(error) if self.log.mode() == Mode::Starting => {
                    let why = format!("the log could not be begun: {}", words_of(&error));
                    self.stop_log();
                    self.abort(&why);
                }
                Err(error) => self.log_fails(&error),
            }
        }
        let before = self.status.durable();
        let durable = self.log.durable();
        if durable > before {
            self.status.set_durable(durable);
        }
        durable > before && before < self.held_until
    }

    fn log_is_well(&mut self) {
        if self.trouble.take().is_some() {
            (self.report)("The log can be written again: writes are accepted.");
            self.refuse();
        }
    }

    fn log_fails(&mut self, error: &io::Error) {
        let text = words_of(error);
        if self.trouble.as_ref().is_none_or(|trouble| trouble.text != text) {
            (self.report)(&format!("The log cannot be written: {text}. Writes are refused until it can be."));
        }
        self.trouble = Some(Trouble { text, try_at: self.now + TRY_AGAIN_MS });
        self.refuse();
    }

    fn stop_log(&mut self) {
        if let Err(error) = self.log.stop(&mut self.files, self.now) {
            (self.report)(&format!("The end of the log could not be written: {}", words_of(&error)));
        }
        if self.trouble.take().is_some() {
            self.refuse();
        }
    }

    /// Refuses writes, or no longer.
    fn refuse(&self) {
        let text = match &self.trouble {
            Some(trouble) => Some(format!("MISCONF Errors writing to the AOF file: {}", trouble.text)),
            None if self.saves.refuses_writes(&self.config) => Some(SAVES_FAIL.to_owned()),
            None => None,
        };
        if text.is_some() != self.status.refuses_writes() {
            self.status.refuse_writes(text);
            // Those who wait until there is less to write need not wait for that.
            self.wake_workers();
        } else {
            self.status.refuse_writes(text);
        }
    }

    fn wake_workers(&self) {
        (0..self.net.workers()).for_each(|worker| self.net.wake(worker));
    }

    // ---- snapshots ----

    /// Snapshots that nobody asks for.
    fn want_snapshots(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let (status, net) = (&self.status, &self.net);
        self.saves.check_points(&self.config.save, self.now, || status.await_change(), || net.total(|s| s.dirty()));
        let is_long = self.is_log_long();
        if (is_long || self.log.needs_snapshot()) && self.saves.running().is_none() {
            self.saves.want_rewrite(self.now);
        }
    }

    /// Whether the log has grown so much that a new snapshot is worth its while.
    fn is_log_long(&self) -> bool {
        let percentage = u64::from(self.config.auto_aof_rewrite_percentage);
        let base = self.files.base_bytes();
        let bytes = base + self.log_bytes();
        let growth = bytes.saturating_sub(base).saturating_mul(100) / base.max(1);
        self.log.mode() == Mode::On
            && percentage > 0
            && bytes > self.config.auto_aof_rewrite_min_size
            && growth >= percentage
    }

    fn log_bytes(&self) -> u64 {
        self.files.closed_bytes() + self.log.open_bytes()
    }

    /// A snapshot is to begin at the end of `epoch`.
    fn begin_snapshot(&mut self, epoch: u64) -> u64 {
        let number = self.files.take_snapshot_number();
        self.saves.begin(number, epoch, self.now);
        let shards = self.net.workers();
        let compress = self.config.rdbcompression;
        // Before the marker: pieces follow it.
        let _ = self.saver.send(ToSaver::Begin { snapshot: number, epoch, shards, now: self.now, compress });
        (self.report)("A snapshot has begun.");
        number
    }

    fn saved(&mut self, snapshot: u64, bytes: Vec<u64>, keys: u64) {
        let Some(running) = self.saves.running().filter(|running| running.number == snapshot) else { return };
        let epoch = running.epoch;
        let total: u64 = bytes.iter().sum();
        match self.files.name_base(Base { number: snapshot, epoch, bytes }, self.log.unnamed()) {
            Ok(()) => {
                self.log.goes_on_from(epoch);
                if let Some(trouble) = &mut self.trouble {
                    trouble.try_at = self.now;
                }
                self.files.count_closed(self.log.open_number());
                let open = self.log.open_number();
                self.files.remove_leftovers(|kind, number| kind == Kind::Segment && Some(number) == open);
                (self.report)(&format!("The snapshot is on disk: {keys} keys, {total} bytes."));
                self.answers.append(&mut self.saves.end(Some(keys), self.now));
                self.refuse();
            }
            Err(error) => {
                self.save_failed(snapshot, &format!("the manifest could not be replaced: {}", words_of(&error)))
            }
        }
    }

    fn save_failed(&mut self, snapshot: u64, error: &str) {
        if self.saves.running().is_none_or(|running| running.number != snapshot) {
            return;
        }
        (self.report)(&format!("The snapshot has failed: {error}"));
        self.end_snapshot(snapshot);
        if self.log.mode() == Mode::Starting {
            self.stop_log();
        }
        if let Some(stop) = &self.stop
            && stop.snapshot == Some(snapshot)
        {
            self.fail_stop(error);
        }
    }

    /// Gives up the snapshot that is under way, if there is one.
    fn abort(&mut self, why: &str) {
        let Some(snapshot) = self.saves.running().map(|running| running.number) else { return };
        let _ = self.saver.send(ToSaver::Abort { snapshot });
        self.save_failed(snapshot, why);
    }

    fn end_snapshot(&mut self, snapshot: u64) {
        self.answers.append(&mut self.saves.end(None, self.now));
        self.status.abort(snapshot);
        self.wake_workers();
        self.refuse();
    }

    // ---- the end ----

    /// Says whether everything is kept, as soon as that is known.
    fn settle_stop(&mut self) {
        let Some(Stop { epoch: Some(epoch), snapshot, .. }) = self.stop else { return };
        if self.markers.is_under_way() || self.markers.last().epoch < epoch {
            return;
        }
        let is_saved = self.saves.running().is_none_or(|running| Some(running.number) != snapshot);
        if let Some(trouble) = self.trouble.as_ref().filter(|_| is_saved || !self.log.needs_snapshot()) {
            let text = format!("the log cannot be written: {}", trouble.text);
            return self.fail_stop(&text);
        }
        if is_saved && !self.log.has_unsynced() {
            self.status.set_end(End::Kept);
            self.stop = None;
        }
    }

    fn fail_stop(&mut self, why: &str) {
        self.stop = None;
        self.status.set_end(End::Failed(why.to_owned()));
    }

    // ---- what others learn ----

    fn answer(&mut self) {
        for (asker, answer) in self.answers.drain(..) {
            let mut text = Vec::new();
            let mut reply = Reply::new(&mut text, asker.proto);
            match answer {
                Answer::Ok => reply.ok(),
                Answer::Status(words) => reply.simple(words),
                Answer::Error(words) => reply.error(words),
            }
            let late = Late { dest: asker.dest, reply: vec![text], elements: 0, shows: 0 };
            self.net.send(asker.from, Mail::Late(Box::new(late)));
        }
    }

    fn publish(&self) {
        self.status.set_figures(Figures {
            is_log_on: self.log.mode() != Mode::Off,
            last_log_write_failed: self.trouble.is_some(),
            base_bytes: self.files.base_bytes(),
            log_bytes: self.log_bytes(),
            unwritten_bytes: self.log.unwritten_bytes() as u64,
            unsynced_bytes: self.log.pending_bytes() as u64,
            delayed_syncs: self.log.delayed_syncs,
            syncs: self.log.syncs,
            ..self.saves.figures()
        });
    }

    fn next_moment(&self) -> Option<UnixMs> {
        // While a marker is under way, messages will come.
        let is_quiet = !self.markers.is_under_way() && self.stop.is_none();
        let marks = is_quiet && self.is_marker_wanted && self.markers.last().log && self.trouble.is_none();
        let mark = marks.then(|| self.markers.sent_at() + MARK_EVERY_MS);
        let sync = match &self.trouble {
            Some(trouble) => Some(trouble.try_at),
            None => self.log.next_moment(self.config.appendfsync),
        };
        let starts = self.config.appendonly && self.log.mode() == Mode::Off;
        let rewrites =
            is_quiet && self.saves.running().is_none() && (starts || self.log.needs_snapshot() || self.is_log_long());
        let rewrite = rewrites.then(|| self.saves.rewrite_not_before());
        let check = self.saves.next_check().filter(|_| self.stop.is_none());
        [mark, sync, rewrite, check].into_iter().flatten().min()
    }
}

/// Redis's words.
const SAVES_FAIL: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
     Commands that may modify the data set are disabled, because this instance is configured to report errors during writes \
     if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB \
     error.";

#[cfg(test)]
mod tests;
