//! Random changes to sorted integers, compared with a plain set.

use super::*;
use crate::structs::random::Random;
use std::collections::BTreeSet;

/// Plays a random sequence of changes.
///
/// Panics: with the seed in the message, when the two disagree.
pub fn fuzz_ints(seed: u64) {
    let mut random = Random::new(seed);
    let mut ints = Ints::new();
    let mut plain = BTreeSet::new();
    // Few bits first, so that every width is met in most runs.
    for bits in [6, 15, 20, 33, 64] {
        for _ in 0..60 {
            let int = (random.next_u64() as i64) >> (64 - bits);
            match random.below(8) {
                0..=3 => assert_eq!(ints.insert(int), plain.insert(int), "seed {seed}"),
                4 => assert_eq!(ints.remove(int), plain.remove(&int), "seed {seed}"),
                5 if !plain.is_empty() => {
                    let rank = random.index(plain.len());
                    let gone = *plain.iter().nth(rank).expect("a rank below the length");
                    ints.remove_at(rank);
                    plain.remove(&gone);
                }
                _ => assert_eq!(ints.as_ref().contains(int), plain.contains(&int), "seed {seed}"),
            }
            assert!(ints.as_ref().iter().eq(plain.iter().copied()), "seed {seed}");
            assert_eq!(ints.len(), plain.len(), "seed {seed}");
            assert_eq!(Ints::from_bytes(ints.bytes().to_vec()), ints, "seed {seed}");
        }
    }
}
