//! What commands cost: how often each was called, how long that took, and which calls took too long.
//!
//! ```text
//! Meter      of one worker: the run of calls under way
//!   |
//! Costs      shared, written by that worker alone: figures by row, histograms; INFO and LATENCY add them up
//! SlowLog    shared: the calls that took too long, with their words
//! Events     shared: when something took long, for LATENCY
//! ```
//!
//! A look at the clock costs as much as a third of a GET in a pipeline. So time is taken by *runs*: calls of one command, one
//! behind the other, share two looks, and each counts as the run's mean. Calls of commands that are not *quick* (`fast`, or of
//! constant complexity) are runs of their own, and so is every call while the slow log asks for calls of less than a
//! millisecond: only a run of one can be slow. What follows at once begins when the one before was over.
//!
//! In a script every call stands alone, between lines of Lua. There each of the first calls of a quick command is timed, and later
//! one of several, which counts for the others.
//!
//! A command that is carried out in parts is called once, by its first part; the time of all of them is added up.

mod events;
mod histogram;
mod slow_log;

pub use events::{Events, Kind, Sample, Series};
pub use histogram::{Histogram, Spread};
pub use slow_log::{Client, Entry, SlowCall, SlowLog, Words};

use super::host::System;
use super::net::Net;
use crate::config::Config;
use kv_core::command::{self, Flags, RowId, Table};
use kv_core::store::UnixMs;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Calls of a run: so few that their mean says something of each.
const RUN_CALLS: u32 = 64;
/// In scripts: so many calls of a quick command are timed each, and then one of so many.
const TIMED_FIRST: u64 = 64;
const TIMED_OF: u64 = 8;
/// Below this threshold of the slow log each call is timed by itself: no run of quick commands takes as long.
const EXACT_BELOW_US: i32 = 1000;
const NO_ROW: RowId = RowId::MAX;

/// What a command has cost at one worker.
#[derive(Default)]
struct Row {
    calls: AtomicU64,
    ns: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
}

/// The same as plain numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub calls: u64,
    /// The time of all calls, without those that were refused before they began.
    pub ns: u64,
    /// Refused before they began: the wrong number of words, no right to it, the server is loading.
    pub rejected: u64,
    /// Calls that ended with an error.
    pub failed: u64,
}

impl Cost {
    pub fn and(self, other: Cost) -> Cost {
        Cost {
            calls: self.calls + other.calls,
            ns: self.ns + other.ns,
            rejected: self.rejected + other.rejected,
            failed: self.failed + other.failed,
        }
    }

    pub fn is_any(&self) -> bool {
        *self != Cost::default()
    }
}

/// The figures of one worker.
pub struct Costs {
    rows: Box<[Row]>,
    /// By row, of those that were called.
    histograms: Mutex<Vec<Option<Box<Histogram>>>>,
}

impl Default for Costs {
    fn default() -> Costs {
        let rows = kv_core::command::table().len();
        Costs {
            rows: (0..rows).map(|_| Row::default()).collect(),
            histograms: Mutex::new((0..rows).map(|_| None).collect()),
        }
    }
}

/// Only the worker itself adds: no other write can come in between.
fn add(figure: &AtomicU64, more: u64) {
    figure.store(figure.load(Relaxed) + more, Relaxed);
}

impl Costs {
    pub fn cost(&self, row: RowId) -> Cost {
        let row = &self.rows[usize::from(row)];
        let get = |figure: &AtomicU64| figure.load(Relaxed);
        Cost { calls: get(&row.calls), ns: get(&row.ns), rejected: get(&row.rejected), failed: get(&row.failed) }
    }

    /// Adds how long calls took to what others have seen.
    pub fn add_spread(&self, row: RowId, to: &mut Histogram) {
        if let Some(histogram) = &self.histograms()[usize::from(row)] {
            to.add(histogram);
        }
    }

    pub(super) fn rejected(&self, row: RowId) {
        add(&self.rows[usize::from(row)].rejected, 1);
    }

    fn failed(&self, row: RowId) {
        add(&self.rows[usize::from(row)].failed, 1);
    }

    /// `untimed`: so many calls, counted before, took as long as each of these.
    fn ran(&self, row: RowId, calls: u64, ns: u64, untimed: u64, keeps_spread: bool) {
        let figures = &self.rows[usize::from(row)];
        let mean = ns / calls.max(1);
        add(&figures.calls, calls);
        add(&figures.ns, ns + mean * untimed);
        if keeps_spread && calls > 0 {
            self.histograms()[usize::from(row)].get_or_insert_default().record(mean, calls + untimed);
        }
    }

    /// Counts a call in a script. How many calls one that is timed stands for besides itself; `None`: this one is not timed.
    fn in_script(&self, row: RowId) -> Option<u64> {
        let calls = &self.rows[usize::from(row)].calls;
        let before = calls.load(Relaxed);
        if before < TIMED_FIRST {
            return Some(0);
        }
        if before % TIMED_OF == TIMED_OF - 1 {
            return Some(TIMED_OF - 1);
        }
        add(calls, 1);
        None
    }

    /// Begins anew.
    pub(super) fn reset(&self) {
        for row in &self.rows {
            [&row.calls, &row.ns, &row.rejected, &row.failed].into_iter().for_each(|figure| figure.store(0, Relaxed));
        }
        self.histograms().fill_with(|| None);
    }

    fn histograms(&self) -> MutexGuard<'_, Vec<Option<Box<Histogram>>>> {
        self.histograms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_quick(row: &command::Row) -> bool {
    row.spec.flags.has(Flags::FAST) || row.spec.complexity == "O(1)"
}

/// What a meter is told of the options.
#[derive(Clone, Copy, Debug)]
pub struct Metering {
    /// What is taken for slow; none if nothing is.
    slow_ns: Option<u64>,
    /// What is an event; none if nothing is.
    event_ns: Option<u64>,
    /// Every call is timed by itself.
    is_exact: bool,
    keeps_spread: bool,
}

impl Metering {
    fn of(config: &Config) -> Metering {
        let slower_than = config.slowlog_log_slower_than;
        let threshold_ms = config.latency_monitor_threshold;
        Metering {
            slow_ns: u64::try_from(slower_than).ok().map(|us| us * 1000),
            event_ns: (threshold_ms > 0).then_some(threshold_ms * 1_000_000),
            is_exact: (0..EXACT_BELOW_US).contains(&slower_than),
            keeps_spread: config.latency_tracking,
        }
    }
}

/// Takes the time of the calls of one worker. It is reached through a shared reference by whoever runs a command, and by one at a time.
pub struct Meter {
    net: Arc<Net>,
    system: Arc<dyn System>,
    table: &'static Table,
    worker: Cell<usize>,
    /// The row that goes on with the run under way; `NO_ROW` if none does.
    same: Cell<RowId>,
    /// Of the run under way: its row, its calls, how many of these count as calls, when it began.
    row: Cell<RowId>,
    calls: Cell<u32>,
    counted: Cell<u32>,
    untimed: Cell<u64>,
    begun_ns: Cell<u64>,
    /// When the last run was over, if nothing else has been done since.
    ended_ns: Cell<Option<u64>>,
    /// The run is one call, which is to be ended by itself.
    is_single: Cell<bool>,
    /// Whose requests are being run, and when they came, by the clock of `System::ns`.
    from: Cell<(usize, u64)>,
    /// The moment of the turn.
    now_ms: Cell<UnixMs>,
    metering: Cell<Metering>,
    slow: RefCell<VecDeque<SlowCall>>,
    /// It is a script that calls.
    is_inner: bool,
}

impl Meter {
    pub fn new(net: Arc<Net>, system: Arc<dyn System>, worker: usize) -> Meter {
        Meter {
            net,
            system,
            table: kv_core::command::table(),
            worker: Cell::new(worker),
            same: Cell::new(NO_ROW),
            row: Cell::new(NO_ROW),
            calls: Cell::new(0),
            counted: Cell::new(0),
            untimed: Cell::new(0),
            begun_ns: Cell::new(0),
            ended_ns: Cell::new(None),
            is_single: Cell::new(false),
            from: Cell::new((worker, 0)),
            now_ms: Cell::new(0),
            metering: Cell::new(Metering { slow_ns: None, event_ns: None, is_exact: false, keeps_spread: true }),
            slow: RefCell::default(),
            is_inner: false,
        }
    }

    pub fn options_changed(&self, config: &Config) {
        self.metering.set(Metering::of(config));
    }

    pub fn metering(&self) -> Metering {
        self.metering.get()
    }

    pub fn set_metering(&self, metering: Metering) {
        self.metering.set(metering);
    }

    /// One for the commands that a call of this one calls itself, on the same thread.
    pub fn inner(&self) -> Meter {
        Meter { is_inner: true, ..Meter::new(self.net.clone(), self.system.clone(), self.worker.get()) }
    }

    /// A call of `outer` begins to call others.
    pub fn begin_within(&self, outer: &Meter) {
        self.worker.set(outer.worker.get());
        self.metering.set(outer.metering.get());
        self.now_ms.set(outer.now_ms.get());
        let (from, came_ns) = outer.from.get();
        self.begin(from, came_ns);
    }

    /// It calls no more.
    pub fn end_within(&self, outer: &Meter) {
        self.end();
        outer.slow.borrow_mut().append(&mut self.slow.borrow_mut());
    }

    pub fn set_time(&self, now: UnixMs) {
        self.now_ms.set(now);
    }

    /// The clock that all workers share.
    pub fn now_ns(&self) -> u64 {
        self.system.ns()
    }

    /// What is run from here on came from a worker, at this moment of the common clock.
    pub fn begin(&self, from: usize, came_ns: u64) {
        self.from.set((from, came_ns));
        self.ended_ns.set(None);
    }

    /// What is run from here on belongs to a request of a client of that worker, which waits here; or, with what this gave, goes on
    /// with what was run before.
    pub fn set_from(&self, from: (usize, u64)) -> (usize, u64) {
        self.from.replace(from)
    }

    /// A call begins. `counts`: false for a further part of one.
    #[inline]
    pub fn call(&self, row: RowId, counts: bool) {
        if row == self.same.get() && self.calls.get() < RUN_CALLS {
            self.calls.set(self.calls.get() + 1);
            self.counted.set(self.counted.get() + u32::from(counts));
        } else {
            self.begin_run(row, counts);
        }
    }

    fn begin_run(&self, row: RowId, counts: bool) {
        let is_single = self.metering.get().is_exact || !is_quick(self.table.row(row));
        let mut untimed = 0;
        if self.is_inner && counts && !is_single && self.metering.get().event_ns.is_none() {
            debug_assert!(self.calls.get() == 0, "a script ends each call");
            match self.net.costs(self.worker.get()).in_script(row) {
                Some(others) => untimed = others,
                None => return,
            }
        }
        let now = self.ended_ns.take().unwrap_or_else(|| self.now_ns());
        self.end_run(now);
        self.untimed.set(untimed);
        self.same.set(if is_single { NO_ROW } else { row });
        self.row.set(row);
        self.calls.set(1);
        self.counted.set(u32::from(counts));
        self.is_single.set(is_single);
        self.begun_ns.set(now);
    }

    /// A call was refused before it began.
    pub fn rejected(&self, row: RowId) {
        self.net.costs(self.worker.get()).rejected(row);
    }

    /// The call at hand ended with an error.
    pub fn failed(&self, row: RowId) {
        self.net.costs(self.worker.get()).failed(row);
    }

    /// Whether the call at hand, which is over, has to be ended with `end_call`.
    #[inline]
    pub fn is_single(&self) -> bool {
        self.is_single.get()
    }

    /// Ends a run of one call; `words` tells what was asked for, if it was slow.
    pub fn end_call(&self, client: u64, words: impl FnOnce() -> Words) {
        let now = self.now_ns();
        let ns = now.saturating_sub(self.begun_ns.get());
        let row = self.row.get();
        if self.metering.get().slow_ns.is_some_and(|slow| ns >= slow)
            && !self.table.row(row).spec.flags.has(Flags::SKIP_SLOWLOG)
        {
            let (from, came_ns) = self.from.get();
            let wait_us = self.begun_ns.get().saturating_sub(came_ns) / 1000;
            let call = SlowCall { client, from, shard: self.worker.get(), us: ns / 1000, wait_us, words: words() };
            self.slow.borrow_mut().push_back(call);
        }
        self.end_run(now);
        self.ended_ns.set(Some(now));
    }

    /// The call at hand has come to nothing, and begins anew somewhere else: its time counts, the call does not.
    pub fn begins_anew(&self) {
        self.counted.set(0);
        self.end();
    }

    /// Nothing more is run for now.
    pub fn end(&self) {
        self.ended_ns.set(None);
        if self.calls.get() > 0 {
            self.end_run(self.now_ns());
        }
    }

    fn end_run(&self, now: u64) {
        if self.calls.get() > 0 {
            let ns = now.saturating_sub(self.begun_ns.get());
            let (row, counted) = (self.row.get(), self.counted.get().into());
            let untimed = self.untimed.get();
            self.net.costs(self.worker.get()).ran(row, counted, ns, untimed, self.metering.get().keeps_spread);
            if self.metering.get().event_ns.is_some_and(|event| ns >= event) {
                self.event(if is_quick(self.table.row(row)) { Kind::FastCommand } else { Kind::Command }, ns);
            }
            self.calls.set(0);
            self.same.set(NO_ROW);
            self.is_single.set(false);
        }
    }

    /// Runs something that is no command, and notes if it took long.
    pub fn watched<T>(&self, kind: Kind, run: impl FnOnce() -> T) -> T {
        let Some(event_ns) = self.metering.get().event_ns else { return run() };
        let begun = self.now_ns();
        let result = run();
        let ns = self.now_ns().saturating_sub(begun);
        if ns >= event_ns {
            self.event(kind, ns);
        }
        result
    }

    fn event(&self, kind: Kind, ns: u64) {
        self.net.events().add(kind, ns / 1_000_000, self.now_ms.get());
    }

    /// The next slow call, in the order in which they were over.
    pub fn next_slow(&self) -> Option<SlowCall> {
        self.slow.borrow_mut().pop_front()
    }
}

#[cfg(test)]
mod tests;
