//! What one thread counts, and how the counts of threads are added up.
//!
//! Times are nanoseconds in histograms of three digits. Several replies read at once have the same times in the closed
//! loop, and are recorded by one step.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Class, ClientUse, Look, Outcome, Shared, Verification};
use crate::replies::Errors;

/// A histogram for times from 1 ns to an hour, exact to three digits.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are good")
}

const SECOND_NS: u64 = 1_000_000_000;

/// One second of the measurement, of one thread or of all.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Counted from 0 at the end of the warm-up.
    pub number: u64,
    pub start_ns: u64,
    /// Shorter at the end.
    pub length_ns: u64,
    pub latency: Histogram<u64>,
    pub errors: u64,
}

impl Interval {
    fn new(number: u64) -> Interval {
        let start_ns = number * SECOND_NS;
        Interval { number, start_ns, length_ns: SECOND_NS, latency: latency_histogram(), errors: 0 }
    }

    pub fn add(&mut self, other: &Interval) {
        self.length_ns = self.length_ns.max(other.length_ns);
        self.latency.add(&other.latency).expect("both have the same bounds");
        self.errors += other.errors;
    }
}

/// Replies that came together and have the same times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub class: u16,
    pub due_ns: u64,
    pub sent_ns: u64,
}

#[derive(Debug)]
struct ClassTally {
    errors: u64,
    misses: u64,
    /// Empty in a closed loop, where it would be the same as `service`.
    latency: Histogram<u64>,
    service: Histogram<u64>,
}

#[derive(Debug)]
pub struct Tally {
    classes: Vec<ClassTally>,
    open: bool,
    measure_ns: u64,
    interval: Interval,
    /// In nanoseconds since the beginning of the run.
    interval_end_ns: u64,
    pub lag: Histogram<u64>,
    pub requests: u64,
    slowest_ns: u64,
    slowest_at: u64,
    last_ns: u64,
    pub errors: Errors,
    pub unsent: u64,
    pub verification: Option<Verification>,
    pub client: ClientUse,
}

impl Tally {
    pub fn new(classes: usize, open: bool, verified: bool, measure_ns: u64) -> Tally {
        let class = || ClassTally { errors: 0, misses: 0, latency: latency_histogram(), service: latency_histogram() };
        Tally {
            classes: (0..classes.max(1)).map(|_| class()).collect(),
            open,
            measure_ns,
            interval: Interval::new(0),
            interval_end_ns: measure_ns + SECOND_NS,
            lag: latency_histogram(),
            requests: 0,
            slowest_ns: 0,
            slowest_at: 0,
            last_ns: measure_ns,
            errors: Errors::default(),
            unsent: 0,
            verification: verified.then(Verification::default),
            client: ClientUse::default(),
        }
    }

    /// Whether a request that was due then counts.
    pub fn measures(&self, due_ns: u64) -> bool {
        due_ns >= self.measure_ns
    }

    /// `count` operations were answered.
    pub fn answered(&mut self, answered: Answered, now_ns: u64, count: u64) {
        let Answered { class, due_ns, sent_ns } = answered;
        if !self.measures(due_ns) {
            return;
        }
        let latency_ns = now_ns.saturating_sub(due_ns);
        let class = &mut self.classes[usize::from(class)];
        class.service.saturating_record_n(now_ns.saturating_sub(sent_ns), count);
        if self.open {
            class.latency.saturating_record_n(latency_ns, count);
        }
        self.interval.latency.saturating_record_n(latency_ns, count);
        if latency_ns > self.slowest_ns {
            self.slowest_ns = latency_ns;
            self.slowest_at = self.requests;
        }
        self.requests += count;
        self.last_ns = now_ns;
    }

    pub fn failed(&mut self, class: u16, due_ns: u64, text: &[u8]) {
        self.errors.note(text);
        if self.measures(due_ns) {
            self.classes[usize::from(class)].errors += 1;
            self.interval.errors += 1;
        }
    }

    pub fn missed(&mut self, class: u16, due_ns: u64) {
        if self.measures(due_ns) {
            self.classes[usize::from(class)].misses += 1;
        }
    }

    /// An operation was due and could not be sent until the end.
    pub fn not_sent(&mut self, due_ns: u64, end_ns: u64) {
        if self.measures(due_ns) {
            self.unsent += 1;
            // Which operation it would have been nobody knows.
            self.classes[0].latency.saturating_record(end_ns.saturating_sub(due_ns));
            self.interval.latency.saturating_record(end_ns.saturating_sub(due_ns));
        }
    }

    /// Gives intervals away that are over.
    pub fn tick(&mut self, now_ns: u64, give: &dyn Fn(Interval)) {
        while now_ns >= self.interval_end_ns {
            let next = Interval::new(self.interval.number + 1);
            give(std::mem::replace(&mut self.interval, next));
            self.interval_end_ns += SECOND_NS;
        }
    }

    /// Nanoseconds until an interval is over.
    pub fn until_tick(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(self.interval_end_ns.saturating_sub(now_ns))
    }

    /// Gives the interval that is cut short by the end of the run away.
    pub fn finish(&mut self, now_ns: u64, give: &dyn Fn(Interval)) {
        self.tick(now_ns, give);
        let next = Interval::new(self.interval.number + 1);
        let mut last = std::mem::replace(&mut self.interval, next);
        last.length_ns = now_ns.saturating_sub(self.measure_ns).saturating_sub(last.start_ns).max(1);
        if !last.latency.is_empty() {
            give(last);
        }
    }

    pub fn add(&mut self, other: Tally) {
        for (own, other) in self.classes.iter_mut().zip(&other.classes) {
            own.errors += other.errors;
            own.misses += other.misses;
            own.latency.add(&other.latency).expect("both have the same bounds");
            own.service.add(&other.service).expect("both have the same bounds");
        }
        self.lag.add(&other.lag).expect("both have the same bounds");
        if other.slowest_ns > self.slowest_ns {
            self.slowest_ns = other.slowest_ns;
            self.slowest_at = other.slowest_at;
        }
        self.requests += other.requests;
        self.last_ns = self.last_ns.max(other.last_ns);
        self.errors.add(other.errors);
        self.unsent += other.unsent;
        if let (Some(own), Some(other)) = (&mut self.verification, other.verification) {
            own.checked += other.checked;
            own.wrong += other.wrong;
            own.first = own.first.take().or(other.first);
        }
        self.client.cpu_ns += other.client.cpu_ns;
        self.client.queued_ns += other.client.queued_ns;
        self.client.busiest = self.client.busiest.max(other.client.busiest);
    }

    pub(super) fn into_outcome(self, names: Vec<String>, closed: bool, shared: &Shared, looks: Vec<Look>) -> Outcome {
        let (mut latency, mut service) = (latency_histogram(), latency_histogram());
        let mut misses = 0;
        let classes = self.classes.into_iter().zip(names).map(|(class, name)| {
            let own = if closed { class.service.clone() } else { class.latency };
            latency.add(&own).expect("both have the same bounds");
            service.add(&class.service).expect("both have the same bounds");
            misses += class.misses;
            let requests = class.service.len();
            Class { name, requests, errors: class.errors, misses: class.misses, latency: own, service: class.service }
        });
        let classes = classes.collect();
        Outcome {
            elapsed: Duration::from_nanos(self.last_ns.saturating_sub(shared.measure_ns)),
            requests: self.requests,
            classes,
            latency,
            service,
            lag: self.lag,
            slowest_at: self.slowest_at,
            errors: self.errors,
            misses,
            unsent: self.unsent,
            verification: self.verification,
            looks,
            client: self.client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn tally(open: bool) -> Tally {
        Tally::new(2, open, true, 1000)
    }

    fn answer(tally: &mut Tally, class: u16, due_ns: u64, sent_ns: u64, now_ns: u64) {
        tally.answered(Answered { class, due_ns, sent_ns }, now_ns, 1);
    }

    fn outcome(tally: Tally, closed: bool) -> Outcome {
        let shared = Shared {
            clock: crate::clock::Clock::begin(),
            measure_ns: 1000,
            end_ns: u64::MAX,
            stop: std::sync::atomic::AtomicBool::new(false),
        };
        tally.into_outcome(vec!["a".to_owned(), "b".to_owned()], closed, &shared, Vec::new())
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due_and_service_from_when_it_was_sent() {
        let mut tally = tally(true);
        answer(&mut tally, 0, 2000, 5000, 6000);
        let outcome = outcome(tally, false);
        let times = (outcome.latency.max(), outcome.service.max());
        assert!((3990..=4010).contains(&times.0) && (995..=1005).contains(&times.1), "{times:?}");
        assert_eq!((outcome.elapsed, outcome.requests), (Duration::from_nanos(5000), 1));
    }

    #[test]
    fn what_was_due_in_the_warm_up_does_not_count() {
        let mut tally = tally(true);
        answer(&mut tally, 0, 999, 999, 2000);
        tally.missed(0, 999);
        tally.not_sent(999, 5000);
        tally.failed(0, 999, b"ERR told all the same");
        let outcome = outcome(tally, false);
        assert_eq!((outcome.requests, outcome.misses, outcome.unsent, outcome.latency.len()), (0, 0, 0, 0));
        assert_eq!((outcome.errors.count, outcome.classes[0].errors), (1, 0));
    }

    #[test]
    fn what_could_not_be_sent_counts_as_latency_but_not_as_a_reply() {
        let mut tally = tally(true);
        tally.not_sent(2000, 9000);
        let outcome = outcome(tally, false);
        assert_eq!((outcome.requests, outcome.unsent), (0, 1));
        assert!((6990..=7010).contains(&outcome.latency.max()));
    }

    #[test]
    fn threads_are_added_up_class_by_class() {
        let (mut one, mut two) = (tally(false), tally(false));
        answer(&mut one, 0, 1000, 1000, 2000);
        answer(&mut one, 1, 1000, 1000, 4000);
        answer(&mut two, 1, 1000, 1000, 9000);
        two.missed(1, 1000);
        one.verification.as_mut().unwrap().checked = 2;
        two.verification = Some(Verification { checked: 3, wrong: 1, first: Some("x".to_owned()) });
        one.client.busiest = 0.5;
        two.client.busiest = 0.9;
        one.add(two);
        let outcome = outcome(one, true);
        assert_eq!(outcome.classes.iter().map(|class| class.requests).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((outcome.latency.len(), outcome.service.len(), outcome.misses), (3, 3, 1));
        assert!((7990..=8010).contains(&outcome.latency.max()), "{}", outcome.latency.max());
        assert_eq!(outcome.client.busiest, 0.9);
        let verification = outcome.verification.unwrap();
        assert_eq!((verification.checked, verification.wrong, verification.first.as_deref()), (5, 1, Some("x")));
    }

    #[test]
    fn every_second_is_given_away_once_and_the_last_is_shorter() {
        let given = RefCell::new(Vec::new());
        let give = |interval: Interval| given.borrow_mut().push(interval);
        let mut tally = tally(true);
        answer(&mut tally, 0, 1000, 1000, 2000);
        tally.tick(SECOND_NS, &give);
        assert!(given.borrow().is_empty(), "the second began with the measurement");
        tally.tick(3 * SECOND_NS + 2000, &give);
        answer(&mut tally, 0, 3 * SECOND_NS + 2000, 3 * SECOND_NS + 2000, 3 * SECOND_NS + 3000);
        tally.finish(3 * SECOND_NS + SECOND_NS / 2 + 1000, &give);
        let seen: Vec<_> = given.borrow().iter().map(|i| (i.number, i.latency.len(), i.length_ns)).collect();
        assert_eq!(seen, [(0, 1, SECOND_NS), (1, 0, SECOND_NS), (2, 0, SECOND_NS), (3, 1, SECOND_NS / 2)]);
    }
}
