use super::*;

fn manifest() -> Manifest {
    Manifest {
        hash_seed: *b"0123456789abcdef",
        base: Some(Base { number: 7, epoch: 41, bytes: vec![100, 2_000_000_000_000] }),
        segments: vec![
            Segment { number: 7, id: u64::MAX, first_epoch: 42, shards: 2 },
            Segment { number: 8, id: 1, first_epoch: 42, shards: 2 },
        ],
    }
}

#[test]
fn a_manifest_comes_back_as_it_was() {
    for manifest in [manifest(), Manifest { base: None, segments: Vec::new(), ..manifest() }] {
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Ok(manifest));
    }
}

#[test]
fn a_manifest_that_is_cut_or_changed_anywhere_is_refused() {
    let bytes = manifest().to_bytes();
    for len in 0..bytes.len() {
        assert!(Manifest::from_bytes(&bytes[..len]).is_err(), "cut at {len}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            assert!(Manifest::from_bytes(&bytes).is_err(), "byte {at} bit {bit}");
        }
    }
    assert!(Manifest::from_bytes(&[&bytes[..], b"x"].concat()).is_err());
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused() {
    let segments = |numbers: [u64; 2], epochs: [u64; 2], shards| {
        (0..2).map(|i| Segment { number: numbers[i], id: 1, first_epoch: epochs[i], shards }).collect()
    };
    let wrong = [
        Manifest { base: Some(Base { number: 1, epoch: 1, bytes: Vec::new() }), ..manifest() },
        Manifest { segments: segments([2, 1], [5, 5], 1), ..manifest() },
        Manifest { segments: segments([1, 2], [6, 5], 1), ..manifest() },
        Manifest { segments: segments([1, 2], [5, 5], 0), ..manifest() },
    ];
    for manifest in wrong {
        assert!(Manifest::from_bytes(&manifest.to_bytes()).is_err(), "{manifest:?}");
    }
}

#[test]
fn names_sort_as_their_numbers() {
    assert_eq!(base_name(7, 3), "base-000007-0003.kvsnap");
    assert_eq!(segment_name(7), "log-000007.kvlog");
}
