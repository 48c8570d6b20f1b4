//! Snapshots: which are wanted, the one under way, and what became of the last ones.
//!
//! A snapshot is a *save* (SAVE, BGSAVE, save points, the end of the server), a *rewrite* (BGREWRITEAOF, a log that has grown,
//! a log that is switched on) or both: files and work are the same. There is one at a time; what is asked for meanwhile
//! comes in one more after it.

use super::super::Question;
use super::super::status::Figures;
use crate::config::{Config, SavePoints};
use crate::engine::mail::Dest;
use kv_core::resp::Proto;
use kv_core::store::UnixMs;

/// After a save that failed, save points wait so long.
const SAVE_AGAIN_MS: u64 = 5000;
/// How long nothing is tried again that the keeper wants by itself.
const TRY_AGAIN_MS: u64 = 1000;
/// So many rewrites may fail in a row before the next waits for minutes.
const QUICK_FAILURES: u32 = 3;
const SLOW_AGAIN_MS: u64 = 60_000;
const SLOW_AGAIN_MAX_MS: u64 = 3_600_000;
/// How often changes are compared with the save points.
const CHECK_EVERY_MS: u64 = 1000;

/// A client that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub from: usize,
    pub dest: Dest,
    pub proto: Proto,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    Status(&'static str),
    /// The whole text.
    Error(&'static str),
}

pub(super) const SAVE_IN_PROGRESS: Answer = Answer::Error("ERR Background save already in progress");
pub(super) const REWRITE_IN_PROGRESS: Answer =
    Answer::Error("ERR Background append only file rewriting already in progress");
pub(super) const REWRITE_FIRST: Answer = Answer::Error(
    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE \
     whenever possible.",
);
const SAVE_STARTED: Answer = Answer::Status("Background saving started");
const SAVE_SCHEDULED: Answer = Answer::Status("Background saving scheduled");
const REWRITE_STARTED: Answer = Answer::Status("Background append only file rewriting started");
const REWRITE_SCHEDULED: Answer = Answer::Status("Background append only file rewriting scheduled");

/// Why there is to be a snapshot.
#[derive(Default)]
struct Wanted {
    save: bool,
    rewrite: bool,
    /// Told when it begins.
    at_begin: Vec<(Asker, Answer)>,
    /// Told when it is over.
    at_end: Vec<Asker>,
}

impl Wanted {
    fn is_any(&self) -> bool {
        self.save || self.rewrite
    }
}

pub(super) struct Running {
    pub number: u64,
    /// The end of the epoch whose state it holds.
    pub epoch: u64,
    since: UnixMs,
    dirty: u64,
    why: Wanted,
}

/// Answers that are due.
pub(super) type Answers = Vec<(Asker, Answer)>;

pub(super) struct Saves {
    next: Wanted,
    running: Option<Running>,
    figures: Figures,
    last_try: UnixMs,
    failed_rewrites: u32,
    rewrite_not_before: UnixMs,
    /// When changes are to be compared with the save points.
    check_at: Option<UnixMs>,
    last_check: UnixMs,
}

impl Saves {
    pub fn new(now: UnixMs) -> Saves {
        Saves {
            next: Wanted::default(),
            running: None,
            figures: Figures { last_save: now, ..Figures::default() },
            last_try: 0,
            failed_rewrites: 0,
            rewrite_not_before: 0,
            check_at: Some(now),
            last_check: 0,
        }
    }

    pub fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    pub fn is_wanted(&self) -> bool {
        self.next.is_any()
    }

    /// Figures about snapshots; the rest is as by default.
    pub fn figures(&self) -> Figures {
        let running = self.running.as_ref();
        Figures {
            saving_since: running.map(|running| running.since),
            is_save: running.is_some_and(|running| running.why.save),
            is_rewrite: running.is_some_and(|running| running.why.rewrite),
            is_save_scheduled: self.next.save,
            is_rewrite_scheduled: self.next.rewrite,
            ..self.figures.clone()
        }
    }

    /// A client asks for one.
    pub fn ask(&mut self, question: Question, asker: Asker) -> Option<Answer> {
        let running = self.running.as_ref().map(|running| &running.why);
        // One that begins in a moment counts as begun: the client could not tell.
        let why = running.unwrap_or(&self.next);
        let (save, rewrite, is_running) = (why.save, why.rewrite, running.is_some());
        match question {
            Question::Save | Question::BackgroundSave { .. } if save => Some(SAVE_IN_PROGRESS),
            Question::Save => {
                self.next.save = true;
                self.next.at_end.push(asker);
                None
            }
            Question::BackgroundSave { schedule } if is_running || rewrite => {
                self.next.save |= schedule;
                Some(if schedule { SAVE_SCHEDULED } else { REWRITE_FIRST })
            }
            Question::BackgroundSave { .. } => {
                self.next.save = true;
                self.next.at_begin.push((asker, SAVE_STARTED));
                None
            }
            Question::BackgroundRewrite if rewrite => Some(REWRITE_IN_PROGRESS),
            Question::BackgroundRewrite => {
                self.next.rewrite = true;
                if is_running || save {
                    return Some(REWRITE_SCHEDULED);
                }
                self.next.at_begin.push((asker, REWRITE_STARTED));
                None
            }
        }
    }

    /// The keeper wants one, for the end of the server.
    pub fn want_save(&mut self) {
        self.next.save = true;
    }

    /// The keeper wants one, for the log; whether it may have one now.
    pub fn want_rewrite(&mut self, now: UnixMs) -> bool {
        let may = now >= self.rewrite_not_before;
        self.next.rewrite |= may;
        may
    }

    /// When `want_rewrite` may be called again with success, if that is later.
    pub fn rewrite_not_before(&self) -> UnixMs {
        self.rewrite_not_before
    }

    /// There was a write after a time without any.
    pub fn changed(&mut self, now: UnixMs) {
        self.check_at = Some(now.max(self.last_check + CHECK_EVERY_MS));
    }

    /// Options have changed.
    pub fn points_changed(&mut self, now: UnixMs) {
        self.check_at = Some(now);
    }

    /// Wants a save if one of the points is reached. `dirty` gives the writes of all shards so far; `await_change` asks to
    /// hear of the next, and comes before it.
    pub fn check_points(
        &mut self,
        points: &SavePoints,
        now: UnixMs,
        await_change: impl FnOnce(),
        dirty: impl FnOnce() -> u64,
    ) {
        if points.0.is_empty() {
            self.check_at = None;
        }
        if self.check_at.is_none_or(|at| now < at) || self.running.is_some() || self.next.save {
            return;
        }
        self.last_check = now;
        await_change();
        let changes = dirty().saturating_sub(self.figures.dirty_at_last_save);
        let last_try = if self.figures.last_save_failed { self.last_try + SAVE_AGAIN_MS } else { 0 };
        // Of those with changes enough; others have to wait for more changes, which are told.
        let reached = points.0.iter().filter(|point| changes > 0 && changes >= point.changes);
        let due = reached.map(|point| (self.figures.last_save + point.seconds * 1000 + 1).max(last_try)).min();
        self.check_at = due;
        if due.is_some_and(|due| now >= due) {
            self.check_at = None;
            self.next.save = true;
        }
    }

    /// When `check_points` has something to do.
    pub fn next_check(&self) -> Option<UnixMs> {
        self.check_at.filter(|_| self.running.is_none() && !self.next.save)
    }

    /// The marker of a snapshot is being sent, which ends `epoch`.
    pub fn begin(&mut self, number: u64, epoch: u64, now: UnixMs) {
        debug_assert!(self.running.is_none(), "one at a time");
        self.last_try = now;
        self.running = Some(Running { number, epoch, since: now, dirty: 0, why: std::mem::take(&mut self.next) });
    }

    /// All shards have passed the marker of a snapshot. False: it has failed already.
    pub fn begun(&mut self, number: u64, dirty: u64, answers: &mut Answers) -> bool {
        let Some(running) = self.running.as_mut().filter(|running| running.number == number) else { return false };
        running.dirty = dirty;
        answers.append(&mut running.why.at_begin);
        true
    }

    /// The snapshot under way is whole, and the manifest names it; or it has failed.
    pub fn end(&mut self, keys: Option<u64>, now: UnixMs) -> Answers {
        let Some(Running { since, dirty, why, .. }) = self.running.take() else { return Vec::new() };
        let took = now.saturating_sub(since);
        let figures = &mut self.figures;
        // A rewrite is a snapshot as well: there is nothing that a save could add.
        if let Some(keys) = keys {
            figures.dirty_at_last_save = dirty;
            figures.last_save = now;
            figures.last_save_keys = keys;
            figures.last_save_failed = false;
        } else if why.save {
            figures.last_save_failed = true;
        }
        if why.save {
            figures.last_save_ms = Some(took);
            figures.saves += u64::from(keys.is_some());
        }
        if why.rewrite {
            figures.last_rewrite_ms = Some(took);
            figures.last_rewrite_failed = keys.is_none();
            figures.rewrites += u64::from(keys.is_some());
        }
        if keys.is_some() {
            self.failed_rewrites = 0;
        } else if why.rewrite {
            self.failed_rewrites += 1;
            let slow = self.failed_rewrites.saturating_sub(QUICK_FAILURES);
            let wait = match slow {
                0 => TRY_AGAIN_MS,
                slow => (SLOW_AGAIN_MS << (slow - 1).min(6)).min(SLOW_AGAIN_MAX_MS),
            };
            self.rewrite_not_before = now + wait;
        }
        self.check_at = Some(now);
        let answer = if keys.is_some() { Answer::Ok } else { Answer::Error("ERR") };
        // Those who were to be told of the beginning, too: there may have been none.
        why.at_end.into_iter().chain(why.at_begin.into_iter().map(|(asker, _)| asker)).map(|a| (a, answer)).collect()
    }

    /// Whether writes are to be refused since snapshots fail.
    pub fn refuses_writes(&self, config: &Config) -> bool {
        self.figures.last_save_failed && config.stop_writes_on_bgsave_error && !config.save.0.is_empty()
    }
}
