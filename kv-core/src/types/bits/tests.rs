use super::*;

#[test]
fn what_runs_by_words_says_the_same_as_bit_by_bit() {
    for seed in 0..400 {
        let found = std::panic::catch_unwind(|| fuzz_bits(seed));
        assert!(found.is_ok(), "seed {seed}");
    }
}

#[test]
fn bit_0_is_the_highest_of_the_first_byte() {
    let mut bytes = vec![0; 2];
    assert!(!set(&mut bytes, 0, true) && !set(&mut bytes, 15, true) && set(&mut bytes, 15, true));
    assert_eq!(bytes, [0x80, 0x01]);
    assert!(get(&bytes, 0) && get(&bytes, 15) && !get(&bytes, 1) && !get(&bytes, 16) && !get(&bytes, u64::MAX));
}

#[test]
fn a_search_does_not_leave_its_range() {
    let bytes = [0, 0b0001_0000, 0xff];
    assert_eq!(find(&bytes, true, 0..24), Some(11));
    assert_eq!(find(&bytes, true, 0..11), None);
    assert_eq!(find(&bytes, true, 12..16), None);
    assert_eq!(find(&bytes, true, 12..17), Some(16));
    assert_eq!(find(&bytes, false, 16..24), None);
    assert_eq!(find(&bytes, true, 5..5), None);
    assert_eq!(count_in(&bytes, 11..18), 3);
    assert_eq!(count_in(&bytes, 3..3), 0);
}

#[test]
fn a_bit_is_found_behind_many_zeros_wherever_it_is() {
    for at in (0..9_000).step_by(7) {
        let mut bytes = vec![0; 1_200];
        set(&mut bytes, at, true);
        assert_eq!(find(&bytes, true, 0..9_600), Some(at));
        assert_eq!((count(&bytes), count_in(&bytes, 0..at), count_in(&bytes, at..9_600)), (1, 0, 1));
        let opposite = combine(Operation::Not, &[&bytes]);
        assert_eq!(find(&opposite, false, 0..9_600), Some(at));
    }
}

#[test]
fn shorter_strings_go_on_with_zeros() {
    let (long, short) = ([0xff; 3], [0x0f; 1]);
    let both: [&[u8]; 2] = [&long, &short];
    assert_eq!(combine(Operation::And, &both), [0x0f, 0, 0]);
    assert_eq!(combine(Operation::Or, &both), [0xff, 0xff, 0xff]);
    assert_eq!(combine(Operation::Xor, &both), [0xf0, 0xff, 0xff]);
    assert_eq!(combine(Operation::Diff, &both), [0xf0, 0xff, 0xff]);
    assert_eq!(combine(Operation::Diff1, &both), [0, 0, 0]);
    assert_eq!(combine(Operation::AndOr, &both), [0x0f, 0, 0]);
    assert_eq!(combine(Operation::One, &[&long, &short, &short]), [0xf0, 0xff, 0xff]);
    assert_eq!(combine(Operation::Not, &[&short]), [0xf0]);
    assert_eq!(combine(Operation::And, &[b"", b""]), b"");
}

#[test]
fn a_field_lies_across_bytes_and_ends_behind_the_string() {
    let mut bytes = vec![0xff; 3];
    let field = Field { signed: false, bits: 7, at: 5 };
    field.set(&mut bytes, 0b010_1010);
    assert_eq!(bytes, [0b1111_1010, 0b1010_1111, 0xff]);
    assert_eq!(field.get(&bytes), 0b010_1010);
    assert_eq!(Field { signed: true, bits: 64, at: 20 }.get(&bytes), 0xf << 60);
    assert_eq!(Field { signed: true, bits: 64, at: 24 }.get(&bytes), 0);
    assert_eq!(Field { signed: false, bits: 63, at: 1 << 40 }.get(&bytes), 0);
}

#[test]
fn a_value_that_does_not_fit_wraps_saturates_or_fails() {
    let i8 = Field { signed: true, bits: 8, at: 0 };
    let u63 = Field { signed: false, bits: 63, at: 0 };
    let i64 = Field { signed: true, bits: 64, at: 0 };
    for (field, wanted, wrapped, nearest) in [
        (i8, 128, -128, 127),
        (i8, -129, 127, -128),
        (i8, i128::from(i64::MIN), 0, -128),
        (u63, -1, i64::MAX, 0),
        (u63, i128::from(i64::MAX) + 1, 0, i64::MAX),
        (i64, i128::from(i64::MAX) + 1, i64::MIN, i64::MAX),
        (i64, i128::from(i64::MIN) - 1, i64::MAX, i64::MIN),
    ] {
        assert_eq!(field.fit(wanted, Overflow::Wrap), Some(wrapped), "{field:?} {wanted}");
        assert_eq!(field.fit(wanted, Overflow::Saturate), Some(nearest), "{field:?} {wanted}");
        assert_eq!(field.fit(wanted, Overflow::Fail), None, "{field:?} {wanted}");
    }
    assert_eq!(i8.fit(-128, Overflow::Fail), Some(-128));
    assert_eq!(i8.fit(u63.meant(-1), Overflow::Saturate), Some(127), "without a sign, -1 is the largest of all");
}
