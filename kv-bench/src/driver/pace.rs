//! When requests are due.
//!
//! Moments are computed from the beginning, never from the one before as it came to be, so that rounding adds up to
//! nothing and lateness is not passed on.

use std::str::FromStr;

use rand_distr::{Distribution, Exp1};

use crate::workload::dice::Dice;

/// How arrivals are spread over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// All at the same distance.
    Fixed,
    /// Independent of each other: what many users together look like.
    Poisson,
    /// So many at the same moment, at the same distance from burst to burst.
    Bursts(u32),
}

impl FromStr for Arrivals {
    type Err = String;

    fn from_str(text: &str) -> Result<Arrivals, String> {
        match text.split_once(':') {
            None if text == "fixed" => Ok(Arrivals::Fixed),
            None if text == "poisson" => Ok(Arrivals::Poisson),
            Some(("bursts", size)) => match size.parse() {
                Ok(size @ 1..) => Ok(Arrivals::Bursts(size)),
                _ => Err(format!("'{size}' is no size of bursts")),
            },
            _ => Err(format!("'{text}' is none of fixed, poisson, bursts:SIZE")),
        }
    }
}

/// The moments of one thread.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    /// Nanoseconds between two arrivals of this thread, on average.
    interval_ns: f64,
    /// Arrivals so far.
    count: u64,
    /// Poisson: the moment of the last arrival. Otherwise where this thread's share begins.
    at_ns: f64,
    dice: Dice,
}

impl Schedule {
    /// `rate` is that of all threads together, a second; it must be positive.
    pub fn new(rate: f64, arrivals: Arrivals, thread: u32, threads: u32, seed: u64) -> Schedule {
        let interval_ns = 1e9 * f64::from(threads) / rate;
        // Threads take turns instead of sending all at once; bursts of all threads are one burst.
        let at_ns = match arrivals {
            Arrivals::Fixed => interval_ns * f64::from(thread) / f64::from(threads),
            Arrivals::Poisson | Arrivals::Bursts(_) => 0.0,
        };
        // Not the numbers that choose keys.
        let dice = Dice::new(!seed, u64::from(thread));
        Schedule { arrivals, interval_ns, count: 0, at_ns, dice }
    }

    /// When the next request is due, in nanoseconds since the beginning.
    pub fn next_ns(&mut self) -> u64 {
        let at_ns = match self.arrivals {
            Arrivals::Fixed => self.at_ns + self.count as f64 * self.interval_ns,
            Arrivals::Poisson => {
                let distance: f64 = Exp1.sample(&mut self.dice);
                self.at_ns += distance * self.interval_ns;
                self.at_ns
            }
            Arrivals::Bursts(size) => {
                let size = u64::from(size);
                (self.count / size * size) as f64 * self.interval_ns
            }
        };
        self.count += 1;
        at_ns as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(arrivals: Arrivals, thread: u32, threads: u32, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(1_000_000.0, arrivals, thread, threads, 3);
        (0..count).map(|_| schedule.next_ns()).collect()
    }

    #[test]
    fn fixed_arrivals_are_evenly_spread_over_time_and_threads() {
        assert_eq!(moments(Arrivals::Fixed, 0, 1, 4), [0, 1000, 2000, 3000]);
        assert_eq!(moments(Arrivals::Fixed, 1, 2, 3), [1000, 3000, 5000]);
        // A third of a nanosecond is not lost a million times.
        let mut schedule = Schedule::new(3e9, Arrivals::Fixed, 0, 1, 1);
        assert_eq!((0..=3_000_000).map(|_| schedule.next_ns()).last(), Some(1_000_000));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_their_kind() {
        let all = moments(Arrivals::Poisson, 0, 1, 100_000);
        let distances: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let deviation = (distances.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / distances.len() as f64).sqrt();
        assert!((980.0..1020.0).contains(&mean), "{mean}");
        assert!((0.97..1.03).contains(&(deviation / mean)), "{deviation}");
        // e^-1 of the distances are longer than the mean.
        let long = distances.iter().filter(|d| **d > 1000.0).count() as f64 / distances.len() as f64;
        assert!((0.36..0.38).contains(&long), "{long}");
        assert_eq!(all, moments(Arrivals::Poisson, 0, 1, 100_000), "the seed repeats them");
        assert_ne!(all[..10], moments(Arrivals::Poisson, 1, 2, 10));
    }

    #[test]
    fn bursts_come_at_once_and_keep_the_rate() {
        assert_eq!(moments(Arrivals::Bursts(3), 0, 1, 7), [0, 0, 0, 3000, 3000, 3000, 6000]);
    }

    #[test]
    fn words_for_arrivals_are_read() {
        assert_eq!("poisson".parse(), Ok(Arrivals::Poisson));
        assert_eq!("bursts:20".parse(), Ok(Arrivals::Bursts(20)));
        for wrong in ["", "bursts", "bursts:0", "bursts:x", "fixed:1"] {
            assert!(wrong.parse::<Arrivals>().is_err(), "{wrong}");
        }
    }
}
