//! `--latency` and its kin: round trips of PING on one connection, and how long this machine itself lets a process wait.
//!
//! A round trip is measured every 10 ms: often enough to see a stall of some ms, too rarely to be a load.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Pace, Stop, now, print, wait_until};
use crate::args::Target;
use crate::format::{Format, Style};
use crate::wire::{Problem, Wire};

/// Between two round trips.
const STEP: Duration = Duration::from_millis(10);

/// How the round trips are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// One line that changes, until Ctrl-C.
    Live,
    /// One result.
    Once,
    /// A line after each interval.
    History,
    /// A line after each interval: how many were how slow.
    Spectrum,
}

pub fn run(target: &Target, kind: Latency, pace: Pace, format: &Format) -> Result<(), Problem> {
    let mut wire = Wire::open(target)?;
    let stop = Stop::listen()?;
    let usual = if kind == Latency::History { 15 } else { 1 };
    let interval = pace.interval.unwrap_or(Duration::from_secs(usual));
    match kind {
        Latency::Once => {
            let mut samples = Samples::default();
            sample(&mut wire, now() + interval, &stop, |took| samples.add(took))?;
            print(&once(&samples, format))
        }
        Latency::Live => {
            let mut samples = Samples::default();
            let mut shown = now();
            let terminal = std::io::stdout().is_terminal();
            let line =
                |samples: &Samples| if terminal { format!("\r\x1b[K{}", samples.text()) } else { samples.text() };
            while !stop.is_asked() {
                shown += interval.min(Duration::from_millis(100));
                sample(&mut wire, shown, &stop, |took| samples.add(took))?;
                if terminal {
                    print(&line(&samples))?;
                }
            }
            print(&(line(&samples) + "\n"))
        }
        Latency::History | Latency::Spectrum => {
            let begin = now();
            let mut due = begin;
            let mut lines = 0;
            if kind == Latency::Spectrum {
                print(&legend(format.colours))?;
            }
            while pace.lines.is_none_or(|wanted| lines < wanted) && !stop.is_asked() {
                due += interval;
                let mut samples = Samples::default();
                sample(&mut wire, due, &stop, |took| samples.add(took))?;
                print(&match kind {
                    Latency::Spectrum => spectrum(&samples, format.colours),
                    _ => format!("{:>6.0} s  {}\n", now().duration_since(begin).as_secs_f64(), samples.text()),
                })?;
                lines += 1;
            }
            Ok(())
        }
    }
}

/// Round trips until a moment, at least one.
fn sample(wire: &mut Wire, until: Instant, stop: &Stop, mut each: impl FnMut(Duration)) -> Result<(), Problem> {
    loop {
        let begin = now();
        // Whatever the answer is: LOADING came back over the same way.
        wire.ask(&["PING"])?;
        each(now().duration_since(begin));
        if stop.is_asked() || begin + STEP >= until {
            wait_until(until, stop);
            return Ok(());
        }
        wait_until(begin + STEP, stop);
    }
}

/// Times, in microseconds and to three digits.
#[derive(Clone)]
pub struct Samples(Histogram<u64>);

impl Default for Samples {
    fn default() -> Self {
        Samples(Histogram::new(3).expect("three digits are possible"))
    }
}

impl Samples {
    pub fn add(&mut self, took: Duration) {
        /// Nobody waits for days.
        const MAX_US: u128 = 1 << 40;
        let us = took.as_micros().min(MAX_US) as u64;
        self.0.record(us).expect("the histogram grows with what it gets");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `share` of the samples do not exceed.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share).min(self.0.max()) as f64 / 1000.0
    }

    fn average_ms(&self) -> f64 {
        self.0.mean() / 1000.0
    }

    fn min_ms(&self) -> f64 {
        self.0.min() as f64 / 1000.0
    }

    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }

    fn text(&self) -> String {
        format!(
            "min {:.2} ms, avg {:.2}, p50 {:.2}, p99 {:.2}, max {:.2} ({} samples)",
            self.min_ms(),
            self.average_ms(),
            self.percentile_ms(0.5),
            self.percentile_ms(0.99),
            self.max_ms(),
            self.count()
        )
    }
}

/// `min max avg samples` in ms, as redis-cli writes it for programs.
fn once(samples: &Samples, format: &Format) -> String {
    let (min, max, avg, count) = (samples.min_ms(), samples.max_ms(), samples.average_ms(), samples.count());
    match format.style {
        Style::Csv => format!("{min:.3},{max:.3},{avg:.3},{count}\n"),
        Style::Json | Style::QuotedJson => {
            let [p50, p99] = [0.5, 0.99].map(|share| samples.percentile_ms(share));
            let object = serde_json::json!({
                "min": min, "max": max, "avg": avg, "p50": p50, "p99": p99, "count": count
            });
            format!("{object}\n")
        }
        Style::Typed | Style::Raw | Style::Report => format!("{min:.3} {max:.3} {avg:.3} {count}\n"),
    }
}

/// Upper limits of the spectrum's columns, in ms, with the sign of each.
const COLUMNS: [(f64, char); 14] = [
    (0.125, '.'),
    (0.25, '-'),
    (0.5, '*'),
    (1.0, '#'),
    (2.0, '1'),
    (4.0, '4'),
    (8.0, '8'),
    (16.0, 'A'),
    (32.0, 'B'),
    (64.0, 'C'),
    (128.0, 'D'),
    (256.0, 'E'),
    (1000.0, 'F'),
    (f64::INFINITY, 'X'),
];

fn legend(colours: bool) -> String {
    let mut text = String::from("Times up to ");
    for (limit, sign) in COLUMNS {
        let limit = if limit.is_finite() { format!("{limit} ms") } else { "longer".to_owned() };
        text += &format!("{sign} {limit}  ");
    }
    let how = if colours { "the brighter, the more" } else { "in percent" };
    text.trim_end().to_owned() + &format!("; {how}\n")
}

/// A column for each range of times. With colours its background tells the share, else a number.
fn spectrum(samples: &Samples, colours: bool) -> String {
    let mut shares = [0u64; COLUMNS.len()];
    for value in samples.0.iter_recorded() {
        let ms = value.value_iterated_to() as f64 / 1000.0;
        let column = COLUMNS.iter().position(|(limit, _)| ms <= *limit).unwrap_or(COLUMNS.len() - 1);
        shares[column] += value.count_at_value();
    }
    let mut text = String::new();
    for ((_, sign), count) in COLUMNS.iter().zip(shares) {
        let share = count as f64 / samples.count().max(1) as f64;
        if !colours {
            text += &format!("{sign}{:<4.0}", share * 100.0);
        } else if count == 0 {
            text += "   ";
        } else {
            // From dark to light, what is rare being seen as well.
            let light = 235 + (share.sqrt() * 20.0).round() as u8;
            let text_colour = if light > 245 { 16 } else { 231 };
            text += &format!("\x1b[48;5;{light};38;5;{text_colour}m {sign} \x1b[0m");
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// `--intrinsic-latency`: a loop that does nothing but look at the clock; what it misses, the system took.
pub fn intrinsic(span: Duration) -> Result<(), Problem> {
    let stop = Stop::listen()?;
    let begin = now();
    let (mut before, mut longest, mut turns) = (begin, Duration::ZERO, 0u64);
    let terminal = std::io::stdout().is_terminal();
    while before.duration_since(begin) < span && !stop.is_asked() {
        let at = now();
        let gap = at.duration_since(before);
        if gap > longest {
            longest = gap;
            if terminal {
                print(&format!("Longest wait so far: {} us\n", gap.as_micros()))?;
            }
        }
        before = at;
        turns += 1;
    }
    let ran = before.duration_since(begin);
    print(&format!(
        "{turns} looks at the clock in {:.1} s, {:.3} us each; the longest wait was {} us.\n",
        ran.as_secs_f64(),
        ran.as_secs_f64() * 1e6 / turns.max(1) as f64,
        longest.as_micros()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[u64]) -> Samples {
        let mut samples = Samples::default();
        times.iter().for_each(|us| samples.add(Duration::from_micros(*us)));
        samples
    }

    #[test]
    fn percentiles_lie_between_the_shortest_and_the_longest() {
        let samples = of(&[100, 200, 300, 400, 10_000]);
        assert_eq!((samples.percentile_ms(0.5), samples.percentile_ms(1.0)), (0.3, samples.max_ms()));
        assert_eq!(of(&[70]).text(), "min 0.07 ms, avg 0.07, p50 0.07, p99 0.07, max 0.07 (1 samples)");
        assert_eq!(Samples::default().percentile_ms(0.5), 0.0);
    }

    #[test]
    fn one_result_is_in_the_order_of_redis_cli() {
        let samples = of(&[100, 300]);
        assert_eq!(once(&samples, &Format::new(Style::Raw)), "0.100 0.300 0.200 2\n");
        assert_eq!(once(&samples, &Format::new(Style::Csv)), "0.100,0.300,0.200,2\n");
        let json: serde_json::Value = serde_json::from_str(&once(&samples, &Format::new(Style::Json))).unwrap();
        assert_eq!((&json["max"], &json["count"]), (&0.3.into(), &2.into()));
    }

    #[test]
    fn a_spectrum_has_a_column_for_each_range() {
        let line = spectrum(&of(&[100, 100, 100, 3_000_000]), false);
        assert_eq!(line, ".75  -0   *0   #0   10   40   80   A0   B0   C0   D0   E0   F0   X25\n");
        let coloured = spectrum(&of(&[100, 3_000_000]), true);
        assert!(coloured.contains(" . \x1b[0m") && coloured.contains(" X \x1b[0m"), "{coloured:?}");
    }
}
