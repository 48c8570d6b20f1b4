//! The time: unix microseconds made of the monotonic clock and an offset.
//!
//! Steps of the wall clock below 100 ms (slewing, leap smearing) are ignored, larger ones are adopted and said, so that
//! expiry follows the wall clock as in Redis while time never runs unevenly in small.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const STEP_US: i64 = 100_000;
const CHECK_EVERY_US: u64 = 1_000_000;

pub struct Clock {
    start: Instant,
    /// Unix time at `start`, in microseconds.
    offset_us: AtomicI64,
    /// When the wall clock was last looked at, microseconds since `start`.
    checked_us: AtomicU64,
}

impl Clock {
    #[allow(clippy::disallowed_methods)] // the one place that reads the clocks
    pub fn new() -> Clock {
        let clock = Clock { start: Instant::now(), offset_us: AtomicI64::new(0), checked_us: AtomicU64::new(0) };
        clock.offset_us.store(wall_us() - clock.start.elapsed().as_micros() as i64, Ordering::Relaxed);
        clock
    }

    #[inline]
    pub fn now_us(&self) -> u64 {
        let elapsed = self.start.elapsed().as_micros() as u64;
        let checked = self.checked_us.load(Ordering::Relaxed);
        if elapsed.saturating_sub(checked) >= CHECK_EVERY_US
            && self.checked_us.compare_exchange(checked, elapsed, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.follow_wall_clock(elapsed);
        }
        (elapsed as i64 + self.offset_us.load(Ordering::Relaxed)).max(0) as u64
    }

    /// Nanoseconds since the start, which no setting of the wall clock changes.
    #[inline]
    pub fn ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn follow_wall_clock(&self, elapsed: u64) {
        let offset = self.offset_us.load(Ordering::Relaxed);
        let step = wall_us() - elapsed as i64 - offset;
        if step.abs() > STEP_US {
            self.offset_us.store(offset + step, Ordering::Relaxed);
            super::machine::log(&format!("the wall clock was set by {} ms; expiry follows it", step / 1000));
        }
    }
}

#[allow(clippy::disallowed_methods)]
fn wall_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}
