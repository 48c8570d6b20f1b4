//! Random strings and ranges: what runs by words must say the same as what looks at one bit after the other.

use super::{Field, Operation, Overflow, combine, count, count_in, find, get, grow, set};
use crate::structs::random::Random;

const OPERATIONS: [Operation; 8] = [
    Operation::And,
    Operation::Or,
    Operation::Xor,
    Operation::Not,
    Operation::Diff,
    Operation::Diff1,
    Operation::AndOr,
    Operation::One,
];

/// Of random bytes, or of long runs of the same; seldom longer than a block.
fn string(random: &mut Random) -> Vec<u8> {
    let most = if random.one_in(8) { 3 * super::BLOCK } else { 700 };
    let len = random.index(most);
    let mut bytes = vec![0; len];
    match random.below(4) {
        0 => {}
        1 => bytes.fill(0xff),
        _ => bytes.iter_mut().for_each(|byte| *byte = random.next_u64() as u8),
    }
    for _ in 0..random.below(3) {
        if let Some(last) = len.checked_sub(1) {
            bytes[random.index(last + 1)] ^= 1 << random.below(8);
        }
    }
    bytes
}

/// The definition of the operations, for one bit of each string.
fn expected(operation: Operation, bits: &[bool]) -> bool {
    let (x, ys) = (bits[0], &bits[1..]);
    let any = ys.contains(&true);
    match operation {
        Operation::And => bits.iter().all(|&bit| bit),
        Operation::Or => x || any,
        Operation::Xor => bits.iter().filter(|&&bit| bit).count() % 2 == 1,
        Operation::Not => !x,
        Operation::Diff => x && !any,
        Operation::Diff1 => any && !x,
        Operation::AndOr => x && any,
        Operation::One => bits.iter().filter(|&&bit| bit).count() == 1,
    }
}

fn fuzz_ranges(random: &mut Random) {
    let bytes = string(random);
    let all = bytes.len() as u64 * 8;
    assert_eq!(count(&bytes), (0..all).filter(|&at| get(&bytes, at)).count() as u64);
    for _ in 0..4 {
        let (a, b) = (random.below(all + 1), random.below(all + 1));
        let range = a.min(b)..a.max(b);
        let on = random.one_in(2);
        assert_eq!(
            count_in(&bytes, range.clone()),
            range.clone().filter(|&at| get(&bytes, at)).count() as u64,
            "{range:?}"
        );
        assert_eq!(find(&bytes, on, range.clone()), range.clone().find(|&at| get(&bytes, at) == on), "{on} {range:?}");
    }
}

fn fuzz_combine(random: &mut Random) {
    let sources: Vec<Vec<u8>> = (0..1 + random.below(5)).map(|_| string(random)).collect();
    let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
    let operation = OPERATIONS[random.index(OPERATIONS.len())];
    let sources = if operation == Operation::Not { &sources[..1] } else { &sources[..] };
    let result = combine(operation, sources);
    assert_eq!(result.len(), sources.iter().map(|source| source.len()).max().unwrap_or(0));
    for at in 0..result.len() as u64 * 8 {
        let bits: Vec<bool> = sources.iter().map(|source| get(source, at)).collect();
        assert_eq!(get(&result, at), expected(operation, &bits), "{operation:?} of {bits:?}, bit {at}");
    }
}

fn fuzz_field(random: &mut Random) {
    let mut bytes: Vec<u8> = (0..32).map(|_| random.next_u64() as u8).collect();
    let signed = random.one_in(2);
    let bits = 1 + random.below(if signed { 64 } else { 63 }) as u32;
    let field = Field { signed, bits, at: random.below(300) };
    let bit_by_bit = |bytes: &[u8]| {
        let start = i64::from(signed && get(bytes, field.at));
        (field.at..field.end()).fold(-start, |value, at| value << 1 | i64::from(get(bytes, at)))
    };
    assert_eq!(field.get(&bytes), bit_by_bit(&bytes), "{field:?}");
    grow(&mut bytes, field.end().div_ceil(8) as usize);
    let before = bytes.clone();
    let value = random.next_u64() as i64 >> random.below(64);
    let wanted = field.meant(value) + i128::from(random.next_u64() as i64 >> random.below(64));
    let fitting = field.fit(wanted, Overflow::Fail);
    assert_eq!(
        fitting.is_some(),
        fitting
            .map(|fitting| field.signed && i128::from(fitting) == wanted || field.meant(fitting) == wanted)
            .unwrap_or(false)
    );
    for overflow in [Overflow::Wrap, Overflow::Saturate] {
        let written = field.fit(wanted, overflow).expect("only FAIL fails");
        assert!(fitting.is_none_or(|fitting| fitting == written));
        field.set(&mut bytes, written);
        assert_eq!(field.get(&bytes), written, "{field:?} {overflow:?} {wanted}");
        if overflow == Overflow::Wrap {
            assert!(
                (wanted - i128::from(written)).trailing_zeros() >= bits,
                "{field:?} {wanted}: the low bits are kept"
            );
        }
    }
    for at in (0..before.len() as u64 * 8).filter(|at| !(field.at..field.end()).contains(at)) {
        assert_eq!(get(&bytes, at), get(&before, at), "{field:?}: bit {at} is none of its own");
    }
}

fn fuzz_set(random: &mut Random) {
    let mut bytes = string(random);
    let at = random.below(bytes.len() as u64 * 8 + 5_000);
    let before = bytes.clone();
    let needed = (at / 8) as usize + 1;
    assert_eq!(grow(&mut bytes, needed), needed > before.len());
    assert_eq!(bytes.len(), needed.max(before.len()));
    let on = random.one_in(2);
    assert_eq!(set(&mut bytes, at, on), get(&before, at));
    for other in 0..bytes.len() as u64 * 8 {
        assert_eq!(get(&bytes, other), if other == at { on } else { get(&before, other) }, "bit {other}");
    }
}

/// One case of each.
///
/// Panics: when they differ.
pub fn fuzz_bits(seed: u64) {
    let random = &mut Random::new(seed);
    fuzz_ranges(random);
    fuzz_combine(random);
    fuzz_field(random);
    fuzz_set(random);
}
