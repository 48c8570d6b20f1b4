use super::*;

const SPARSE_MAX: usize = 3_000;

fn with_elements(range: std::ops::Range<u64>, sparse_max: usize) -> Vec<u8> {
    let mut value = empty();
    for n in range {
        add(&mut value, format!("element:{n}").as_bytes(), sparse_max).unwrap();
    }
    value
}

/// FNV-1a: what the golden values keep of the bytes that redis-server had.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn an_empty_one_has_the_bytes_that_redis_gives_it() {
    assert_eq!(empty(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff");
    assert_eq!(count(&empty()), Ok(0));
}

#[test]
fn sparse_and_dense_values_have_the_bytes_and_the_count_of_redis() {
    // From redis-server 7.0.15 and 8.2.3: PFADD h element:0, element:1, ...; length and digest of GET h; PFCOUNT h.
    let golden = [
        (1, 21, 0x5db2_e01c_3370_7b73, 1),
        (2, 24, 0xf025_e8e2_dad2_663a, 2),
        (10, 48, 0x77f1_dfb6_ec0d_7ad9, 10),
        (100, 285, 0x67b3_25af_8799_02d0, 99),
        (500, 1_050, 0x78db_6725_0c4f_c8c0, 502),
        (1_000, 1_897, 0x0f28_a9d9_3d31_64c9, 997),
        (1_500, 2_722, 0xf838_0719_71f9_3338, 1_500),
        (2_000, 12_304, 0xcce1_8855_76fa_ad71, 2_004),
        (5_000, 12_304, 0x71b5_9976_ab1a_a332, 5_005),
        (20_000, 12_304, 0x50d6_b0a9_6d37_3a57, 19_986),
        (100_000, 12_304, 0x8c61_5f2c_0212_2d45, 100_039),
    ];
    for (elements, len, bytes, estimate) in golden {
        let value = with_elements(0..elements, SPARSE_MAX);
        assert_eq!((value.len(), digest(&value)), (len, bytes), "{elements} elements");
        assert_eq!(count(&value), Ok(estimate), "{elements} elements");
        assert!(is_hll(&value));
    }
}

#[test]
fn merged_values_have_the_bytes_and_the_count_of_redis() {
    // As above, with a second key of element:1000000, element:1000001, ... and PFMERGE.
    let golden = [
        (100, 100, 493, 0xac86_1559_6ed6_ad7f, 198),
        (700, 900, 2_897, 0x94ed_affb_6bb2_bcef, 1_612),
        (100, 5_000, 12_304, 0xad9d_7293_7301_a139, 5_115),
        (5_000, 100, 12_304, 0x5fcc_7bf5_bbfb_ce0d, 5_108),
        (1_500, 1_500, 12_304, 0x2875_0915_2227_3e6e, 2_997),
    ];
    for (left, right, len, bytes, estimate) in golden {
        let mut left = with_elements(0..left, SPARSE_MAX);
        let right = with_elements(1_000_000..1_000_000 + right, SPARSE_MAX);
        let mut registers = Registers::new();
        registers.merge(&left).unwrap();
        let mut others = Registers::new();
        others.merge(&right).unwrap();
        registers.merge_registers(&others);
        assert_eq!(registers.count(), estimate);
        let dense = is_dense(&left) || is_dense(&right);
        for dest in [&mut left, &mut empty()] {
            registers.store_into(dest, dense, SPARSE_MAX).unwrap();
            assert_eq!((dest.len(), digest(dest), count(dest)), (len, bytes, Ok(estimate)));
        }
    }
}

#[test]
fn a_lower_limit_makes_the_value_dense_earlier_as_in_redis() {
    for (elements, bytes) in
        [(100, 0x5ea4_dbb1_181b_e205), (900, 0x34d4_32cb_0e1e_0832), (1_500, 0x6d02_59db_a21b_c2b6)]
    {
        assert_eq!(digest(&with_elements(0..elements, 200)), bytes, "{elements} elements");
    }
}

#[test]
fn the_error_stays_within_a_few_times_its_standard_deviation() {
    let mut value = empty();
    for n in 1..=1_000_000_u64 {
        add(&mut value, &n.to_le_bytes(), SPARSE_MAX).unwrap();
        if [10, 100, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000].contains(&n) {
            let error = count(&value).unwrap().abs_diff(n) as f64 / n as f64;
            assert!(error < 3.0 * 0.0081, "{n} elements: error {error}");
        }
    }
}

#[test]
fn an_element_added_again_changes_nothing() {
    for elements in [100, 5_000] {
        let mut value = with_elements(0..elements, SPARSE_MAX);
        cache_count(&mut value, 7);
        let before = value.clone();
        for n in 0..elements {
            assert_eq!(add(&mut value, format!("element:{n}").as_bytes(), SPARSE_MAX), Ok(false));
        }
        assert_eq!(value, before);
    }
}

#[test]
fn a_cached_count_is_told_until_a_register_changes() {
    let mut value = with_elements(0..10, SPARSE_MAX);
    assert_eq!(cached_count(&value), None);
    cache_count(&mut value, 1_234);
    assert_eq!((cached_count(&value), count(&value)), (Some(1_234), Ok(1_234)));
    assert_eq!(add(&mut value, b"another", SPARSE_MAX), Ok(true));
    assert_eq!((cached_count(&value), count(&value)), (None, Ok(11)));
}

#[test]
fn an_element_with_a_long_run_of_zeros_makes_a_sparse_value_dense() {
    let mut value = with_elements(0..10, SPARSE_MAX);
    assert_eq!(set(&mut value, 5, 32, SPARSE_MAX), Ok(true));
    assert!(!is_dense(&value));
    assert_eq!(set(&mut value, 5, 33, SPARSE_MAX), Ok(true));
    assert!(is_dense(&value) && get_dense(&value[HEADER..], 5) == 33);
    assert_eq!(count(&value), Ok(11));
}

#[test]
fn every_dense_register_is_apart_from_its_neighbours() {
    let mut value = empty();
    make_dense(&mut value).unwrap();
    let body = &mut value[HEADER..];
    let expected: Vec<u8> = (0..REGISTERS).map(|index| 1 + (index * 7 % 51) as u8).collect();
    for (index, &register) in expected.iter().enumerate().rev() {
        assert!(set_dense(body, index, register));
        assert!(!set_dense(body, index, register));
    }
    assert!((0..REGISTERS).all(|index| get_dense(body, index) == expected[index]));
}

#[test]
fn what_is_no_hyperloglog_is_told_by_its_header() {
    assert!(!is_hll(b"") && !is_hll(b"HYLL") && !is_hll(&[0; DENSE_LEN]));
    let mut value = with_elements(0..5_000, SPARSE_MAX);
    assert!(is_hll(&value));
    value.push(0);
    assert!(!is_hll(&value)); // a dense one has one length
    value.pop();
    value[ENCODING] = 2;
    assert!(!is_hll(&value));
    assert_eq!(add(&mut value, b"x", SPARSE_MAX), Err(Corrupt));
}

#[test]
fn a_sparse_value_whose_runs_do_not_make_up_all_registers_is_corrupt() {
    let good = with_elements(0..100, SPARSE_MAX);
    let longer = [&good[..], &[0]].concat();
    let shorter = good[..good.len() - 1].to_vec();
    let bare = good[..HEADER].to_vec();
    for value in [longer, shorter, bare] {
        assert!(is_hll(&value));
        assert_eq!(count(&value), Err(Corrupt));
        assert_eq!(Registers::new().merge(&value), Err(Corrupt));
        assert_eq!(Registers::new().store_into(&mut value.clone(), true, SPARSE_MAX), Err(Corrupt));
    }
}

#[test]
fn random_and_damaged_values_never_panic() {
    (0..300).for_each(fuzz_hll);
}
