use super::*;
use crate::structs::random::Random;

/// Seeds of a normal run.
const SEEDS: u64 = if cfg!(miri) { 2 } else { 60 };

fn member(n: usize) -> Vec<u8> {
    format!("member:{n:010}").into_bytes()
}

fn filled(records: usize) -> Dict {
    let mut dict = Dict::new(1);
    (0..records).for_each(|n| {
        dict.insert(&member(n), b"");
    });
    dict
}

#[test]
fn random_calls_agree_with_a_plain_map() {
    for seed in 0..SEEDS {
        fuzz_dict(seed);
    }
}

#[test]
fn lengths_are_written_in_as_few_bytes_as_they_need() {
    for (n, len) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (512 << 20, 5)] {
        let mut bytes = [0; 8];
        assert_eq!((varint_len(n), write_varint(n, &mut bytes), read_varint(&bytes)), (len, len, (n, len)));
    }
}

#[test]
fn keys_and_rests_of_any_length_are_kept() {
    let mut dict = Dict::new(9);
    let huge = vec![7; 20 << 20];
    let handle = dict.insert(&huge, b"rest");
    let empty = dict.insert(b"", b"");
    assert_eq!((dict.find(&huge), dict.rest(handle)), (Some(handle), &b"rest"[..]));
    assert_eq!(dict.find(b""), Some(empty));
    let moved = dict.replace_rest(empty, &huge);
    assert_eq!(dict.record(moved), (&b""[..], &huge[..]));
    assert!(dict.bytes() > 40 << 20);
    dict.remove(moved);
    dict.remove(handle);
    assert_eq!(dict.bytes(), 0);
}

#[test]
fn a_big_table_of_17_byte_keys_costs_at_most_34_bytes_a_record() {
    // Over a whole doubling: buckets, chunks, pages and what is free in them; 24 of the bytes are the record.
    let mut dict = filled(60_000);
    for n in 60_000..120_000 {
        dict.insert(&member(n), b"");
        if n % 5_000 == 0 {
            let each = dict.bytes() as f64 / dict.len() as f64;
            assert!(each <= 34.0, "{each} bytes a record with {n}");
        }
    }
}

#[test]
fn a_table_of_thousands_costs_little_more_a_record_than_a_big_one() {
    let mut dict = filled(1_000);
    for n in 1_000..20_000 {
        dict.insert(&member(n), b"");
        let each = dict.bytes() as f64 / dict.len() as f64;
        assert!(each <= 44.0, "{each} bytes a record with {n}");
    }
}

#[test]
fn a_small_table_costs_little_more_than_its_records() {
    let dict = filled(130);
    assert!(dict.bytes() <= 130 * 46, "{}", dict.bytes());
    let mut dict = Dict::new(1);
    dict.insert(&[1; 100], b"");
    dict.insert(&[2; 100], b"");
    assert!(dict.bytes() <= 600, "{}", dict.bytes());
}

#[test]
fn what_is_removed_serves_what_is_added() {
    let mut dict = filled(5_000);
    let before = dict.bytes();
    for n in 5_000..200_000 {
        assert!(dict.remove_key(&member(n - 5_000)));
        dict.insert(&member(n), b"");
    }
    assert!(dict.bytes() <= before + before / 8, "{} of {before}", dict.bytes());
    // Longer ones take the pages over that the others leave.
    for n in 195_000..200_000 {
        assert!(dict.remove_key(&member(n)));
        dict.insert(&[&member(n)[..], &[b'y'; 40]].concat(), b"");
    }
    assert!(dict.bytes() <= 5_000 * 78, "{}", dict.bytes());
}

#[test]
fn a_table_that_shrinks_gives_memory_back() {
    let mut dict = filled(100_000);
    for n in 10..100_000 {
        assert!(dict.remove_key(&member(n)));
    }
    assert_eq!(dict.len(), 10);
    // The ten that stay are neighbours in one page of 64 KiB.
    assert!(dict.bytes() <= (64 << 10) + 6_000, "{}", dict.bytes());
    assert!((0..10).all(|n| dict.contains(&member(n))));
}

#[test]
fn a_random_record_is_each_of_them_equally_often() {
    for records in [1, 10, 11, 37, 300] {
        let dict = filled(records);
        let mut random = Random::new(records as u64);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..1_000 * records {
            *counts.entry(dict.random(|| random.next_u64()).expect("not empty")).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), records);
        // Six standard deviations of a count whose mean is 1,000.
        assert!(counts.values().all(|&n: &i32| (810..=1_190).contains(&n)), "{records}: {counts:?}");
    }
}

#[test]
fn a_copy_has_the_same_handles_and_goes_its_own_way() {
    let mut dict = filled(1_000);
    let copy = dict.clone();
    let handle = dict.find(&member(500)).expect("inserted");
    dict.remove(handle);
    assert_eq!(copy.key(handle), member(500));
    assert!(copy.contains(&member(500)) && !dict.contains(&member(500)));
    assert!(copy.bytes() <= filled(1_000).bytes());
}

#[test]
fn a_chain_of_any_length_is_copied() {
    let handles: Vec<Option<Handle>> = (1..=100).map(Handle::from_raw).collect();
    let tags: Vec<u16> = (1..=100).collect();
    let mut chain = Chain::default();
    chain.extend(&tags[..50], &handles[..50]);
    chain.extend(&[&tags[50..], &[7]].concat(), &[&handles[50..], &[None]].concat());
    chain.iter_mut().for_each(|slot| slot.goes_up = slot.tag.is_multiple_of(5));
    for (goes_up, count) in [(true, 20), (false, 80)] {
        let line = chain.fill(goes_up);
        let mut tags: Vec<u16> = line.tags.to_vec();
        chain.beyond_line(goes_up, |slot| tags.push(slot.tag));
        assert_eq!(tags.len(), count);
        assert!(tags.is_sorted() && tags.iter().all(|tag| tag.is_multiple_of(5) == goes_up));
        assert!(line.tags.iter().zip(&line.handles).all(|(&tag, handle)| *handle == Handle::from_raw(tag.into())));
    }
}
