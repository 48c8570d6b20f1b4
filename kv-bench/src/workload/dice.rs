//! The random numbers of a workload: kv-core's generator in the form that rand_distr's distributions ask for.
//!
//! One thread has one, seeded from the run's seed and the thread's number, so that a run can be repeated.

use std::convert::Infallible;

use kv_core::structs::random::Random;
use rand::TryRng;

#[derive(Clone, Debug)]
pub struct Dice(Random);

impl Dice {
    /// The `stream`-th of the sequences that belong to a seed.
    pub fn new(seed: u64, stream: u64) -> Dice {
        Dice(Random::new(Random::new(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next_u64()))
    }

    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) * (1.0 / (1u64 << 53) as f64) < probability
    }
}

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        rand::rand_core::utils::fill_bytes_via_next_word(bytes, || self.try_next_u64())
    }
}

/// A number in [0, n) from one that a distribution gave, which may lie beyond either end.
pub fn clamp_below(number: f64, n: u64) -> u64 {
    // A float turned into an integer saturates, and not-a-number becomes 0.
    (number as u64).min(n - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_of_a_seed_is_another_sequence_and_each_repeats() {
        let first = |seed, stream| Dice::new(seed, stream).next();
        assert_eq!(first(1, 0), first(1, 0));
        assert_ne!(first(1, 0), first(1, 1));
        assert_ne!(first(1, 0), first(2, 0));
    }

    #[test]
    fn chances_come_true_as_often_as_they_say() {
        let mut dice = Dice::new(3, 0);
        let hits = (0..100_000).filter(|_| dice.chance(0.2)).count();
        assert!((19_000..21_000).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| !dice.chance(0.0) && dice.chance(1.0)));
    }
}
