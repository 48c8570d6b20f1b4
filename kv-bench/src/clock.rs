//! The clocks a measurement reads: monotonic time, the CPU time of threads and of the process, and a timer exact enough
//! for sending at a given microsecond.
//!
//! All moments within a run are nanoseconds since its beginning ([`Clock`]), so that threads can compare them.

#![allow(clippy::disallowed_methods)] // measuring time is what this program is for

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

pub fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970, by the wall clock.
pub fn unix_ns() -> u64 {
    nanos(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

pub fn pause(span: Duration) {
    if !span.is_zero() {
        std::thread::sleep(span);
    }
}

pub fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A span given in seconds on the command line; negative and not-a-number are no time, too much is as long as it gets.
pub fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// CPU time of the calling thread.
pub fn thread_cpu_ns() -> u64 {
    cpu_ns(ClockId::ThreadCPUTime)
}

fn cpu_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How long the calling thread was ready to run and had no core, where the kernel tells (Linux).
pub fn thread_queued_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// The beginning of a run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn begin() -> Clock {
        Clock { start: now() }
    }

    /// Nanoseconds since the beginning.
    pub fn now_ns(self) -> u64 {
        nanos(self.start.elapsed())
    }
}

/// Wakes a poll at a moment. A poll's own timeout is in milliseconds, which is too coarse to send 50,000 requests a second.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Timer(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Timer {
    /// A timer that makes `token` readable.
    pub fn new(poll: &mio::Poll, token: mio::Token) -> std::io::Result<Timer> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use std::os::fd::AsRawFd;
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        poll.registry().register(&mut mio::unix::SourceFd(&fd.as_raw_fd()), token, mio::Interest::READABLE)?;
        Ok(Timer(fd))
    }

    /// Rings once after `span`, instead of when it was asked to ring before. Setting it anew also makes it unreadable.
    pub fn ring_after(&self, span: Duration) -> std::io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Nothing at all would disarm it.
        let span = span.max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: span.as_secs() as i64, tv_nsec: i64::from(span.subsec_nanos()) };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: none, it_value: value })?;
        Ok(())
    }
}
