//! How long calls took: an HDR histogram of nanoseconds, and what INFO and LATENCY tell of it.

use hdrhistogram::Histogram as Hdr;

/// The longest time that is told from longer ones, and how exactly: Redis's.
const LONGEST_NS: u64 = 1_000_000_000;
const DIGITS: u8 = 2;

pub struct Histogram(Hdr<u64>);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram(Hdr::new_with_bounds(1, LONGEST_NS, DIGITS).expect("bounds and digits are in the range"))
    }
}

/// Microseconds, powers of two, and how many calls took at most as long; those at which there are more than at the one before.
pub type Spread = Vec<(u64, u64)>;

impl Histogram {
    pub fn record(&mut self, ns: u64, calls: u64) {
        self.0.saturating_record_n(ns, calls);
    }

    pub fn add(&mut self, other: &Histogram) {
        self.0.add(&other.0).expect("they have the same bounds");
    }

    pub fn calls(&self) -> u64 {
        self.0.len()
    }

    /// In microseconds.
    pub fn percentile(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1000.0
    }

    pub fn spread(&self) -> Spread {
        let mut spread = Spread::new();
        let mut before = 0;
        // A microsecond of 1024 ns, as Redis counts them.
        for ns in (0..).map(|power| 1024u64 << power) {
            let calls = self.0.count_between(0, ns);
            if calls > before {
                spread.push(((ns + 500) / 1000, calls));
            }
            before = calls;
            if calls == self.calls() {
                break;
            }
        }
        spread
    }
}
