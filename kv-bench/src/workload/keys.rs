//! Which key a request names: a number, drawn by a pattern from a key space that inserts may enlarge.
//!
//! Popular numbers are the small ones (zipfian: 0 is the most popular), or with `latest` the newest. Servers place keys by
//! a hash, so popular keys need no scattering here, and a report can tell them by name.
//!
//! Inserts: thread `t` of `T` makes the keys `base + t`, `base + t + T` ..., so that threads share nothing, none meets
//! another's key before it exists, and a run can be repeated.

use std::str::FromStr;

use rand_distr::{Distribution, Normal, Zipf};

use super::dice::{Dice, clamp_below};

/// How the number of a key is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeyPattern {
    Uniform,
    /// The n-th key is drawn with a probability proportional to 1 / n^exponent.
    Zipfian {
        exponent: f64,
    },
    /// Around the middle; the deviation is a share of the key space.
    Gaussian {
        deviation: f64,
    },
    /// 0, 1, 2 ... over all threads together, and from the start again.
    Sequential,
    /// A share of the keys gets a share of the requests; both parts are uniform.
    HotSet {
        keys: f64,
        requests: f64,
    },
    /// Zipfian, the newest key being the most popular.
    Latest {
        exponent: f64,
    },
}

/// YCSB's exponent.
const ZIPFIAN_EXPONENT: f64 = 0.99;

impl FromStr for KeyPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<KeyPattern, String> {
        let (name, detail) = text.split_once(':').map_or((text, None), |(name, detail)| (name, Some(detail)));
        let number = |default: f64, range: std::ops::RangeInclusive<f64>| match detail {
            None => Ok(default),
            Some(detail) => match detail.parse::<f64>() {
                Ok(number) if range.contains(&number) => Ok(number),
                _ => Err(format!("'{detail}' is no number from {} to {}", range.start(), range.end())),
            },
        };
        Ok(match name {
            "uniform" if detail.is_none() => KeyPattern::Uniform,
            "sequential" if detail.is_none() => KeyPattern::Sequential,
            "zipfian" => KeyPattern::Zipfian { exponent: number(ZIPFIAN_EXPONENT, 0.01..=10.0)? },
            "latest" => KeyPattern::Latest { exponent: number(ZIPFIAN_EXPONENT, 0.01..=10.0)? },
            "gaussian" => KeyPattern::Gaussian { deviation: number(0.1, 0.0001..=10.0)? },
            "hotset" => {
                let shares = detail.unwrap_or("0.2/0.8").split_once('/');
                let share = |text: &str| text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
                match shares.and_then(|(keys, requests)| Some((share(keys)?, share(requests)?))) {
                    Some((keys, requests)) => KeyPattern::HotSet { keys, requests },
                    None => return Err("hotset wants two shares: hotset:0.2/0.8".to_owned()),
                }
            }
            _ => {
                return Err(format!(
                    "'{text}' is none of uniform, zipfian[:EXPONENT], gaussian[:DEVIATION], sequential, \
                     hotset[:KEYS/REQUESTS], latest[:EXPONENT]"
                ));
            }
        })
    }
}

/// Draws keys for one thread.
#[derive(Clone, Debug)]
pub struct KeyPicker {
    /// Keys that were there before this run; at least 1.
    base: u64,
    draw: Draw,
    thread: u64,
    threads: u64,
    /// Keys of the sequence that this thread has drawn.
    drawn: u64,
    /// Keys that this thread has inserted.
    inserted: u64,
}

/// A pattern with what it needs at hand.
#[derive(Clone, Debug)]
enum Draw {
    Uniform,
    Zipfian(Zipf<f64>),
    Gaussian(Normal<f64>),
    Sequential,
    HotSet { hot: u64, requests: f64 },
    Latest(Zipf<f64>),
}

impl KeyPicker {
    /// Panics: when `keys` is 0.
    pub fn new(pattern: KeyPattern, keys: u64, thread: u64, threads: u64) -> KeyPicker {
        assert!(keys > 0, "there is a key to draw");
        let zipf = |exponent| Zipf::new(keys as f64, exponent).expect("the exponent is positive and there is a key");
        let draw = match pattern {
            KeyPattern::Uniform => Draw::Uniform,
            KeyPattern::Sequential => Draw::Sequential,
            KeyPattern::Zipfian { exponent } => Draw::Zipfian(zipf(exponent)),
            KeyPattern::Latest { exponent } => Draw::Latest(zipf(exponent)),
            KeyPattern::Gaussian { deviation } => {
                let normal = Normal::new(keys as f64 / 2.0, keys as f64 * deviation);
                Draw::Gaussian(normal.expect("the deviation is finite"))
            }
            KeyPattern::HotSet { keys: share, requests } => {
                Draw::HotSet { hot: ((keys as f64 * share) as u64).clamp(1, keys), requests }
            }
        };
        KeyPicker { base: keys, draw, thread, threads, drawn: 0, inserted: 0 }
    }

    pub fn pick(&mut self, dice: &mut Dice) -> u64 {
        match &self.draw {
            Draw::Uniform => dice.below(self.base),
            Draw::Zipfian(zipf) => clamp_below(zipf.sample(dice) - 1.0, self.base),
            Draw::Gaussian(normal) => clamp_below(normal.sample(dice), self.base),
            Draw::Sequential => {
                let key = (self.drawn * self.threads + self.thread) % self.base;
                self.drawn += 1;
                key
            }
            &Draw::HotSet { hot, requests } => {
                let cold = self.base - hot;
                if cold == 0 || dice.chance(requests) { dice.below(hot) } else { hot + dice.below(cold) }
            }
            Draw::Latest(zipf) => {
                let age = clamp_below(zipf.sample(dice) - 1.0, self.base);
                match self.inserted.checked_sub(age + 1) {
                    Some(n) => self.base + n * self.threads + self.thread,
                    None => (self.base + self.inserted - 1 - age) % self.base,
                }
            }
        }
    }

    /// A key that was there before this run: behind the last one comes the first.
    pub fn within(&self, key: u64) -> u64 {
        key % self.base
    }

    /// A key that nobody has made before.
    pub fn insert(&mut self) -> u64 {
        let key = self.base + self.inserted * self.threads + self.thread;
        self.inserted += 1;
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 1000;
    const DRAWS: usize = 100_000;

    fn counts(pattern: &str) -> Vec<u32> {
        let mut picker = KeyPicker::new(pattern.parse().unwrap(), KEYS, 0, 1);
        let mut dice = Dice::new(11, 0);
        let mut counts = vec![0; KEYS as usize];
        (0..DRAWS).for_each(|_| counts[picker.pick(&mut dice) as usize] += 1);
        counts
    }

    fn share(counts: &[u32]) -> f64 {
        f64::from(counts.iter().sum::<u32>()) / DRAWS as f64
    }

    #[test]
    fn uniform_keys_are_all_drawn_alike() {
        assert!(counts("uniform").iter().all(|n| (50..=160).contains(n)));
    }

    #[test]
    fn zipfian_keys_are_drawn_by_their_rank() {
        let counts = counts("zipfian:1");
        // The harmonic number of 1000 is 7.485.
        let expected = |rank: f64| DRAWS as f64 / 7.485 / rank;
        for rank in [1, 2, 10] {
            let ratio = f64::from(counts[rank - 1]) / expected(rank as f64);
            assert!((0.9..1.1).contains(&ratio), "rank {rank}: {ratio}");
        }
        assert!(counts.iter().filter(|n| **n > 0).count() > 900, "the tail is drawn too");
    }

    #[test]
    fn gaussian_keys_lie_around_the_middle() {
        let counts = counts("gaussian:0.1");
        // 68 % lie within one deviation, 95 % within two.
        assert!((0.67..0.70).contains(&share(&counts[400..600])), "{}", share(&counts[400..600]));
        assert!((0.94..0.96).contains(&share(&counts[300..700])), "{}", share(&counts[300..700]));
        // What would lie outside is at the ends, not lost.
        assert!((share(&self::counts("gaussian:10")) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_hot_set_gets_its_share() {
        let counts = counts("hotset:0.1/0.9");
        assert!((0.89..0.91).contains(&share(&counts[..100])), "{}", share(&counts[..100]));
        assert!(counts[100..].iter().all(|n| *n < 40));
        assert!((share(&self::counts("hotset:1/0")) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_sequence_over_several_threads_names_every_key_once() {
        let mut seen = Vec::new();
        for thread in 0..3 {
            let mut picker = KeyPicker::new(KeyPattern::Sequential, 10, thread, 3);
            let own = (10 - thread).div_ceil(3);
            seen.extend((0..own).map(|_| picker.pick(&mut Dice::new(1, thread))));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<u64>>());
    }

    #[test]
    fn the_latest_keys_are_the_inserted_ones_once_there_are_some() {
        let mut picker = KeyPicker::new("latest".parse().unwrap(), 100, 1, 2);
        let mut dice = Dice::new(5, 0);
        let before: Vec<u64> = (0..1000).map(|_| picker.pick(&mut dice)).collect();
        assert!(before.iter().all(|key| *key < 100));
        assert!(before.iter().filter(|key| **key == 99).count() > 100, "the newest is the most popular");
        let inserted: Vec<u64> = (0..20).map(|_| picker.insert()).collect();
        assert_eq!(inserted[..3], [101, 103, 105]);
        let after: Vec<u64> = (0..1000).map(|_| picker.pick(&mut dice)).collect();
        assert!(after.iter().filter(|key| **key == inserted[19]).count() > 100);
        assert!(after.iter().all(|key| *key < 100 || inserted.contains(key)), "nobody reads a key of another thread");
    }

    #[test]
    fn patterns_are_read_and_wrong_ones_told() {
        let read = |text: &str| text.parse::<KeyPattern>();
        assert_eq!(read("zipfian:1.2"), Ok(KeyPattern::Zipfian { exponent: 1.2 }));
        assert_eq!(read("hotset:0.5/0.6"), Ok(KeyPattern::HotSet { keys: 0.5, requests: 0.6 }));
        assert_eq!(read("latest"), Ok(KeyPattern::Latest { exponent: ZIPFIAN_EXPONENT }));
        for wrong in
            ["", "zipf", "zipfian:x", "zipfian:-1", "zipfian:nan", "uniform:3", "hotset:2/1", "hotset:1", "gaussian:0"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
