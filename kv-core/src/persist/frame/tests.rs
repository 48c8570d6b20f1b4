use super::*;

const ID: u64 = 0x1234_5678_9abc_def0;

/// A segment of epochs 5, 6 and 9; the frame of the last says that 6 was on the disk.
fn segment() -> (Vec<u8>, Vec<usize>) {
    let mut out = Vec::new();
    write_header(&mut out, &Header { id: ID, first_epoch: 5 });
    let mut starts = vec![out.len()];
    write_frame(&mut out, ID, 5, 3, 3, &[(0, b"five"), (2, b"")]);
    starts.push(out.len());
    write_frame(&mut out, ID, 6, 5, 3, &[(1, b"six")]);
    starts.push(out.len());
    write_frame(&mut out, ID, 9, 6, 6, &[(0, b"nine"), (1, b"9"), (7, b"IX")]);
    (out, starts)
}

type Epochs = Vec<(u64, Vec<(usize, Vec<u8>)>)>;

fn scan(bytes: &[u8]) -> (Epochs, Result<End, ReadError>) {
    let mut scanner = match Scanner::new(bytes) {
        Ok(scanner) => scanner,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut epochs = Vec::new();
    loop {
        match scanner.next_frame() {
            Ok(Some(frame)) => {
                let sections = frame.sections().map(|section| {
                    let at = section.offset as usize;
                    assert_eq!(&bytes[at..at + section.records.len()], section.records);
                    (section.shard, section.records.to_vec())
                });
                epochs.push((frame.epoch, sections.collect()));
            }
            Ok(None) => return (epochs, Ok(scanner.end().expect("it has ended"))),
            Err(error) => return (epochs, Err(error)),
        }
    }
}

#[test]
fn frames_come_back_with_their_sections() {
    let (bytes, _) = segment();
    let (epochs, end) = scan(&bytes);
    assert_eq!(end.expect("no damage"), End::Whole);
    let section = |shard, records: &[u8]| (shard, records.to_vec());
    assert_eq!(
        epochs,
        [
            (5, vec![section(0, b"five"), section(2, b"")]),
            (6, vec![section(1, b"six")]),
            (9, vec![section(0, b"nine"), section(1, b"9"), section(7, b"IX")]),
        ]
    );
}

#[test]
fn a_segment_cut_anywhere_ends_with_its_last_whole_frame() {
    let (bytes, mut starts) = segment();
    let whole = scan(&bytes).0;
    starts.push(bytes.len());
    for len in HEADER..bytes.len() {
        let frames = starts.iter().filter(|&&start| start <= len).count() - 1;
        let (epochs, end) = scan(&bytes[..len]);
        assert_eq!(epochs, whole[..frames], "cut at {len}");
        let offset = starts[frames];
        let torn = End::Torn {
            offset: offset as u64,
            lost_bytes: (len - offset) as u64,
            after_epoch: epochs.last().map(|(epoch, _)| *epoch),
        };
        assert_eq!(end.expect("no damage"), if offset == len { End::Whole } else { torn }, "cut at {len}");
    }
    for len in 0..HEADER {
        assert!(matches!(scan(&bytes[..len]).1, Err(ReadError::Damage(_))), "cut at {len}");
    }
}

#[test]
fn a_bit_that_flipped_in_front_of_a_synced_epoch_is_damage_and_else_a_torn_end() {
    let (bytes, starts) = segment();
    let whole = scan(&bytes).0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let (epochs, end) = scan(&bytes);
            // Epochs 5 and 6 are told to be on the disk by the last frame, which nothing tells of.
            if at < starts[2] {
                assert!(matches!(end, Err(ReadError::Damage(_))), "byte {at} bit {bit}: {end:?}");
            } else {
                let (offset, lost) = (starts[2] as u64, (bytes.len() - starts[2]) as u64);
                let torn = End::Torn { offset, lost_bytes: lost, after_epoch: Some(6) };
                assert_eq!(end.expect("no damage"), torn, "byte {at} bit {bit}");
            }
            assert_eq!(epochs, whole[..epochs.len()], "byte {at} bit {bit}");
        }
    }
}

#[test]
fn whole_frames_behind_a_torn_one_are_lost_with_it_when_nothing_tells_that_it_was_synced() {
    let (mut bytes, starts) = segment();
    bytes.truncate(starts[2]);
    write_frame(&mut bytes, ID, 9, 6, 5, &[(0, b"nine")]);
    // The frame of epoch 6 was not yet on the disk, that of epoch 9 was.
    bytes[starts[1]..starts[2]].fill(0);
    let (epochs, end) = scan(&bytes);
    assert_eq!(epochs.len(), 1);
    let lost_bytes = (bytes.len() - starts[1]) as u64;
    let torn = End::Torn { offset: starts[1] as u64, lost_bytes, after_epoch: Some(5) };
    assert_eq!(end.expect("no damage"), torn);
}

#[test]
fn a_frame_that_is_missing_in_between_is_damage() {
    let (bytes, starts) = segment();
    for missing in 0..2 {
        let without = [&bytes[..starts[missing]], &bytes[starts[missing + 1]..]].concat();
        let (epochs, end) = scan(&without);
        assert_eq!(epochs.len(), missing);
        let Err(ReadError::Damage(damage)) = end else { panic!("{end:?}") };
        assert_eq!(damage.offset, starts[missing] as u64);
    }
}

#[test]
fn a_frame_of_another_segment_is_no_frame() {
    let (mut bytes, starts) = segment();
    bytes.truncate(starts[2]);
    write_frame(&mut bytes, ID + 1, 9, 6, 6, &[(0, b"nine")]);
    let (epochs, end) = scan(&bytes);
    assert_eq!(epochs.len(), 2);
    assert!(matches!(end, Ok(End::Torn { .. })), "{end:?}");
}

#[test]
fn damage_far_in_front_of_a_frame_that_tells_of_it_is_found() {
    let (mut bytes, starts) = segment();
    bytes.truncate(starts[2]);
    let filler = vec![b'x'; 3 * SEARCH_BYTES as usize];
    write_frame(&mut bytes, ID, 7, 6, 5, &[(0, &filler)]);
    bytes[starts[1]] ^= 1;
    assert!(matches!(scan(&bytes).1, Ok(End::Torn { .. })));
    for shift in [0, 1, 43, 44, 45] {
        let mut bytes = bytes.clone();
        bytes.extend(vec![0; shift]);
        write_frame(&mut bytes, ID, 8, 7, 6, &[]);
        assert!(matches!(scan(&bytes).1, Err(ReadError::Damage(_))), "behind {shift} bytes");
    }
}

#[test]
fn an_announced_length_takes_no_memory() {
    let (mut bytes, starts) = segment();
    bytes.truncate(starts[2]);
    let at = bytes.len();
    write_frame(&mut bytes, ID, 7, 6, 5, &[(0, b"x")]);
    bytes[at..at + 8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    let crc = head_crc(ID, &bytes[at..]);
    bytes[at + HEAD_CRC_AT..at + BODY_CRC_AT].copy_from_slice(&crc.to_le_bytes());
    let (epochs, end) = scan(&bytes);
    assert_eq!(epochs.len(), 2);
    assert!(matches!(end, Ok(End::Torn { .. })), "{end:?}");
}

#[test]
fn sections_that_do_not_fill_their_frame_are_damage() {
    let sections: [(&[u8], &str); 3] = [
        (&[0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, b'x'], "longer"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x'], "shorter"),
        (&[0, 0, 0], "room"),
    ];
    for (body, word) in sections {
        let (mut bytes, starts) = segment();
        bytes.truncate(starts[2]);
        let at = bytes.len();
        write_frame(&mut bytes, ID, 7, 6, 5, &[(0, b"")]);
        bytes.truncate(at + FRAME_HEAD);
        bytes.extend_from_slice(body);
        bytes[at..at + 8].copy_from_slice(&(body.len() as u64).to_le_bytes());
        let crc = head_crc(ID, &bytes[at..]);
        bytes[at + HEAD_CRC_AT..at + BODY_CRC_AT].copy_from_slice(&crc.to_le_bytes());
        bytes[at + BODY_CRC_AT..at + FRAME_HEAD].copy_from_slice(&crc32c_append(crc, body).to_le_bytes());
        let Err(ReadError::Damage(damage)) = scan(&bytes).1 else { panic!("{body:?} is taken") };
        assert!(damage.what.contains(word), "{damage}");
    }
}

#[test]
fn a_newer_version_is_told_as_such() {
    let (mut bytes, _) = segment();
    bytes[8] = 2;
    let Err(ReadError::Damage(damage)) = scan(&bytes).1 else { panic!("it is taken") };
    assert!(damage.what.contains("version 2"), "{damage}");
}
