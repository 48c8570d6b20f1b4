//! The values that requests carry: how long they are, and what they hold.
//!
//! Plain values are letters and digits drawn once from the seed, so that a server that compresses gains nothing that it
//! would not gain on real data. Values that are to be verified tell what they are:
//!
//! ```text
//! +-- 12 --+--- 12 ---+----- 8 ------+---- the rest ----+
//! |  key   |  stamp   | check, hex   | letters          |
//! +--------+----------+--------------+------------------+
//! ```
//!
//! The key is the number in the key's name, the stamp makes two writes of a key differ, and the check is a hash of all
//! the rest: a value of another key, a torn one and one of other bytes are all found.

use std::str::FromStr;
use std::sync::Arc;

use rand_distr::{Distribution, LogNormal};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::dice::Dice;

/// The longest value that a Redis server takes by default.
pub const SIZE_MAX: usize = 512 << 20;

/// Bytes of letters that values are cut from; longer ones repeat them.
const POOL_BYTES: usize = 1 << 20;

const DIGITS: usize = 12;
const CHECK_AT: usize = 2 * DIGITS;
const LETTERS_AT: usize = CHECK_AT + 8;

/// The shortest value that can be verified.
pub const VERIFIED_MIN: usize = LETTERS_AT;

/// How many bytes a value has.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueSize {
    Fixed(usize),
    /// Uniform, both ends included.
    Range(usize, usize),
    /// Sizes with their weights, which add up to the last.
    Weighted(Vec<(usize, f64)>),
    /// The median, and the deviation of the logarithm: what sizes in real caches look like.
    LogNormal(usize, f64),
}

impl FromStr for ValueSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ValueSize, String> {
        let size = |text: &str| match text.parse() {
            Ok(size) if size <= SIZE_MAX => Ok(size),
            _ => Err(format!("'{text}' is no number of bytes up to {SIZE_MAX}")),
        };
        if let Some(rest) = text.strip_prefix("lognormal:") {
            let (median, deviation) = rest.split_once(':').unwrap_or((rest, "1"));
            let deviation = deviation.parse().ok().filter(|deviation| (0.0..=5.0).contains(deviation));
            return Ok(ValueSize::LogNormal(size(median)?, deviation.ok_or("the deviation is from 0 to 5")?));
        }
        if text.contains(':') {
            let mut sum = 0.0;
            let mut sizes = Vec::new();
            for item in text.split(',') {
                let (bytes, weight) = item.split_once(':').ok_or_else(|| format!("'{item}' has no weight"))?;
                let weight = weight.parse().ok().filter(|weight: &f64| *weight > 0.0 && weight.is_finite());
                sum += weight.ok_or_else(|| format!("'{item}' has no positive weight"))?;
                sizes.push((size(bytes)?, sum));
            }
            return Ok(ValueSize::Weighted(sizes));
        }
        match text.split_once('-') {
            None => Ok(ValueSize::Fixed(size(text)?)),
            Some((low, high)) => match (size(low)?, size(high)?) {
                (low, high) if low <= high => Ok(ValueSize::Range(low, high)),
                _ => Err(format!("'{text}' goes down")),
            },
        }
    }
}

impl ValueSize {
    /// The least that can come.
    pub fn least(&self) -> usize {
        match self {
            ValueSize::Fixed(size) | ValueSize::Range(size, _) => *size,
            ValueSize::Weighted(sizes) => sizes.iter().map(|(size, _)| *size).min().unwrap_or(0),
            ValueSize::LogNormal(..) => 1,
        }
    }
}

/// Makes values for one thread.
#[derive(Clone, Debug)]
pub struct ValueMaker {
    size: ValueSize,
    log_normal: Option<LogNormal<f64>>,
    letters: Arc<[u8]>,
    verified: bool,
    /// Makes two verified values of a key differ.
    stamp: u64,
}

impl ValueMaker {
    /// Verified values are made at least [`VERIFIED_MIN`] bytes long. `stamp` is where this thread begins to count.
    pub fn new(size: &ValueSize, verified: bool, seed: u64, stamp: u64) -> ValueMaker {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let longest = match size {
            ValueSize::Fixed(size) | ValueSize::Range(_, size) => *size,
            ValueSize::Weighted(sizes) => sizes.iter().map(|(size, _)| *size).max().unwrap_or(0),
            ValueSize::LogNormal(..) => POOL_BYTES,
        };
        let mut dice = Dice::new(seed, u64::MAX);
        let letters = (0..longest.clamp(VERIFIED_MIN, POOL_BYTES)).map(|_| LETTERS[dice.below(64) as usize]).collect();
        let log_normal = match *size {
            ValueSize::LogNormal(median, deviation) => LogNormal::new((median.max(1) as f64).ln(), deviation).ok(),
            _ => None,
        };
        ValueMaker { size: size.clone(), log_normal, letters, verified, stamp }
    }

    /// The one value that all requests can share, if they can.
    pub fn constant(&self) -> Option<Vec<u8>> {
        match self.size {
            ValueSize::Fixed(size) if !self.verified => {
                let mut value = Vec::new();
                self.fill(&mut value, 0, size);
                Some(value)
            }
            _ => None,
        }
    }

    /// Appends a value for a key.
    pub fn append(&mut self, out: &mut Vec<u8>, key: u64, dice: &mut Dice) {
        let size = self.draw_size(dice);
        if !self.verified {
            // Not always from the start: two values that follow upon each other are to differ.
            let start =
                if self.letters.len() > size { dice.below((self.letters.len() - size) as u64) as usize } else { 0 };
            return self.fill(out, start, size);
        }
        let start = out.len();
        out.resize(start + LETTERS_AT, b'0');
        self.stamp += 1;
        write_digits(&mut out[start..start + DIGITS], key);
        write_digits(&mut out[start + DIGITS..start + CHECK_AT], self.stamp);
        self.fill(out, key as usize % self.letters.len(), size.saturating_sub(LETTERS_AT));
        let check = check(&out[start..]);
        out[start + CHECK_AT..start + LETTERS_AT].copy_from_slice(&check);
    }

    fn draw_size(&self, dice: &mut Dice) -> usize {
        match &self.size {
            ValueSize::Fixed(size) => *size,
            ValueSize::Range(low, high) => low + dice.below((high - low + 1) as u64) as usize,
            ValueSize::Weighted(sizes) => {
                let sum = sizes.last().map_or(0.0, |(_, sum)| *sum);
                let drawn = (dice.next() >> 11) as f64 / (1u64 << 53) as f64 * sum;
                sizes.iter().find(|(_, until)| drawn < *until).or(sizes.last()).map_or(0, |(size, _)| *size)
            }
            ValueSize::LogNormal(..) => {
                self.log_normal.map_or(1, |normal| (normal.sample(dice).round() as usize).clamp(1, SIZE_MAX))
            }
        }
    }

    fn fill(&self, out: &mut Vec<u8>, start: usize, mut len: usize) {
        let mut at = start;
        while len > 0 {
            let here = len.min(self.letters.len() - at);
            out.extend_from_slice(&self.letters[at..at + here]);
            len -= here;
            at = 0;
        }
    }
}

/// Writes a number into a field of zeros, at its right end; what does not fit is cut off.
pub fn write_digits(field: &mut [u8], mut number: u64) {
    for digit in field.iter_mut().rev() {
        if number == 0 {
            return;
        }
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The eight digits that belong to a value, whatever stands in their place now.
fn check(value: &[u8]) -> [u8; 8] {
    let sum = xxh3_64_with_seed(&value[LETTERS_AT..], xxh3_64(&value[..CHECK_AT])) as u32;
    let mut digits = [0; 8];
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(sum >> (28 - 4 * i)) as usize & 15];
    }
    digits
}

/// Why a value is not one that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongValue {
    /// Too short, or its check does not fit: other bytes than were written.
    Damaged,
    /// Whole, but the value of this key.
    OfKey(u64),
}

/// Looks whether a value is whole and, if one is expected, belongs to that key.
pub fn verify(value: &[u8], key: Option<u64>) -> Result<(), WrongValue> {
    if value.len() < VERIFIED_MIN || value[CHECK_AT..LETTERS_AT] != check(value) {
        return Err(WrongValue::Damaged);
    }
    let found = std::str::from_utf8(&value[..DIGITS]).ok().and_then(|digits| digits.parse().ok());
    match (found, key) {
        (Some(found), Some(key)) if found != key => Err(WrongValue::OfKey(found)),
        (None, _) => Err(WrongValue::Damaged),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(size: &str, verified: bool) -> ValueMaker {
        ValueMaker::new(&size.parse().unwrap(), verified, 1, 0)
    }

    fn sizes(size: &str) -> Vec<usize> {
        let (mut maker, mut dice) = (maker(size, false), Dice::new(4, 0));
        let mut draw = || {
            let mut value = Vec::new();
            maker.append(&mut value, 0, &mut dice);
            value.len()
        };
        (0..10_000).map(|_| draw()).collect()
    }

    #[test]
    fn sizes_follow_what_was_asked_for() {
        assert!(sizes("17").iter().all(|size| *size == 17));
        let range = sizes("10-12");
        assert!((10..=12).all(|size| (3000..3700).contains(&range.iter().filter(|s| **s == size).count())));
        let weighted = sizes("64:90,4096:9,65536:1");
        let count = |size| weighted.iter().filter(|s| **s == size).count();
        assert_eq!(count(64) + count(4096) + count(65_536), 10_000);
        assert!((8800..9200).contains(&count(64)) && (50..170).contains(&count(65_536)), "{}", count(64));
        let mut log = sizes("lognormal:200:0.5");
        log.sort_unstable();
        assert!((190..210).contains(&log[5000]), "the median is {}", log[5000]);
        // One deviation up is e^0.5 times as much.
        assert!((310..350).contains(&log[8413]), "{}", log[8413]);
    }

    #[test]
    fn wrong_sizes_are_told() {
        for wrong in ["", "x", "5-", "9-3", "64:0", "64:1,9", "lognormal:x", "lognormal:5:9", "999999999999"] {
            assert!(wrong.parse::<ValueSize>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_verified_value_is_accepted_and_every_change_of_it_found() {
        let (mut maker, mut dice) = (maker("50", true), Dice::new(1, 1));
        let mut value = Vec::new();
        maker.append(&mut value, 42, &mut dice);
        assert_eq!(value.len(), 50);
        assert!(value.starts_with(b"000000000042000000000001"));
        assert_eq!(verify(&value, Some(42)), Ok(()));
        assert_eq!(verify(&value, None), Ok(()));
        assert_eq!(verify(&value, Some(43)), Err(WrongValue::OfKey(42)));
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert_eq!(verify(&changed, Some(42)), Err(WrongValue::Damaged), "byte {at}");
        }
        assert_eq!(verify(&value[..49], Some(42)), Err(WrongValue::Damaged));
        let mut second = Vec::new();
        maker.append(&mut second, 42, &mut dice);
        assert_ne!(value, second, "two writes of a key differ");
    }

    #[test]
    fn a_verified_value_is_long_enough_to_be_one() {
        let mut value = Vec::new();
        maker("3", true).append(&mut value, 7, &mut Dice::new(1, 0));
        assert_eq!((value.len(), verify(&value, Some(7))), (VERIFIED_MIN, Ok(())));
    }

    #[test]
    fn only_plain_values_of_one_size_are_constant() {
        assert_eq!(maker("5", false).constant().map(|value| value.len()), Some(5));
        assert_eq!(maker("5", true).constant(), None);
        assert_eq!(maker("5-6", false).constant(), None);
        assert_eq!(maker("3000000", false).constant().map(|value| value.len()), Some(3_000_000));
    }
}
