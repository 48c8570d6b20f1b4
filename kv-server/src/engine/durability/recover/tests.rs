//! Folders as a server leaves them, as a crash leaves them, and as nothing but a fault can have made them.

use super::testing::*;
use super::*;
use crate::config::Config;
use crate::engine::durability::testing::TestDisk;
use crate::engine::worker::settings;
use kv_core::persist::frame;
use kv_core::persist::manifest::segment_name;

#[test]
fn a_folder_without_data_gets_a_manifest_and_empty_shards() {
    let disk = TestDisk::new(1);
    disk.put("notes.txt", b"of somebody else");
    assert!(read_manifest(&disk).unwrap().is_none());
    let folder = Folder::new();
    let (recovered, content) = folder.load(3).unwrap();
    assert_eq!((recovered.epoch, recovered.cut, content.len()), (0, None, 0));
}

#[test]
fn a_base_and_the_log_behind_it_are_loaded_into_any_number_of_shards() {
    let (folder, expected) = ordinary();
    for shards in [1, 2, 3, 7] {
        let (recovered, content) = folder.load(shards).unwrap();
        assert_eq!(content, expected, "{shards} shards");
        assert_eq!((recovered.epoch, recovered.base_keys, recovered.epochs, recovered.cut), (7, 3, 2, None));
    }
}

#[test]
fn a_base_alone_and_a_log_alone_are_loaded() {
    let base = Folder::new().base(1, 9, 3, &[(0, "a", 1), (1, "b", 2)]);
    let (recovered, found) = base.load(2).unwrap();
    assert_eq!((recovered.epoch, found), (9, content(&[(0, "a", 1), (1, "b", 2)])));
    let log = Folder::new().segment(1, 1, 2, &[((1, 0, 0), &[(0, "a", Some(1))]), ((3, 1, 1), &[(0, "a", Some(2))])]);
    let (recovered, found) = log.load(2).unwrap();
    assert_eq!((recovered.epoch, found), (3, content(&[(0, "a", 2)])));
}

#[test]
fn keys_move_when_the_number_of_shards_changes_in_the_middle_of_the_log() {
    let folder = Folder::new()
        .segment(1, 1, 2, &[((1, 0, 0), &[(0, "a", Some(1)), (0, "b", Some(2)), (5, "c", Some(3))])])
        .segment(2, 2, 5, &[((2, 1, 1), &[(0, "b", None), (0, "d", Some(4)), (5, "c", Some(6))])])
        .segment(3, 3, 1, &[((3, 2, 2), &[(0, "e", Some(5)), (0, "a", Some(7))])]);
    let expected = content(&[(0, "a", 7), (0, "d", 4), (0, "e", 5), (5, "c", 6)]);
    for shards in [1, 2, 5, 8] {
        assert_eq!(folder.load(shards).unwrap().1, expected);
    }
}

#[test]
fn many_keys_move_with_their_expiries() {
    let keys: Vec<String> = (0..20_000).map(|i| format!("key:{i}")).collect();
    let hasher = Arc::new(hasher());
    let wanted = Wanted { shards: 3, databases: 2, settings: settings(&Config::default(), &hasher), seed: 1, now: NOW };
    let progress = Progress::default();
    let disk = TestDisk::new(1);
    let means = Means { disk: &disk, wanted: &wanted, progress: &progress };
    let mut loading = Loading { means, crew: &Alone, shards: new_shards(2, &wanted, &hasher), losses: None };
    for (i, key) in keys.iter().enumerate() {
        // One in four is due long since, one at the first of all moments.
        let expire_at = [None, Some(NOW + 5), Some(NOW - 5), Some(u64::from(i > 2))][i % 4];
        let shard = &mut loading.shards[hasher.place(key.as_bytes(), 2)];
        shard.load(0, 2, i % 2, key.as_bytes(), expire_at, kv_core::persist::value::Loaded::Int(i as i64)).unwrap();
    }
    loading.reshard(3);
    let mut living = 0;
    for (i, key) in keys.iter().enumerate() {
        let shard = &loading.shards[hasher.place(key.as_bytes(), 3)];
        let entry = shard.dbs[i % 2].peek(hasher.key(key.as_bytes()), NOW);
        assert_eq!(entry.is_some(), i % 4 < 2, "{key}");
        living += usize::from(entry.is_some_and(|entry| entry.expire_at() == [None, Some(NOW + 5)][i % 4]));
    }
    assert_eq!(living, 10_000);
}

#[test]
fn the_end_of_the_log_may_be_torn_anywhere_and_is_cut_to_the_last_whole_epoch() {
    let (folder, _) = ordinary();
    let before = content(&[(0, "a", 10), (0, "b", 2), (0, "c", 30), (3, "a", 3)]);
    let whole = folder.disk.bytes(&segment_name(9)).unwrap();
    for len in frame::HEADER..whole.len() {
        for zeros in [0, 1, whole.len() - len, 500] {
            let mut torn = whole[..len].to_vec();
            torn.resize(len + zeros, 0);
            if torn == whole {
                continue;
            }
            folder.disk.put(&segment_name(9), &torn);
            let (recovered, content) = folder.load(2).unwrap();
            assert_eq!(content, before, "{len} bytes and {zeros} zeros");
            assert_eq!(recovered.epoch, 6);
            let lost = (torn.len() - frame::HEADER) as u64;
            let cut = (lost > 0).then(|| Cut { file: segment_name(9), offset: frame::HEADER as u64, bytes: lost });
            assert_eq!(recovered.cut, cut);
        }
    }
}

#[test]
fn a_segment_that_was_given_up_counts_up_to_the_next_one() {
    // Epoch 3 could not be synced: it and 4 were written again.
    let changes = |n| -> [Change<'static>; 1] { [(0, "a", Some(n))] };
    let (one, two, three, four) = (changes(1), changes(2), changes(3), changes(4));
    let folder = Folder::new()
        .segment(1, 1, 2, &[((1, 0, 0), &one), ((2, 1, 1), &two), ((3, 2, 2), &changes(99)), ((4, 3, 2), &changes(98))])
        .segment(2, 3, 2, &[((3, 2, 2), &three), ((4, 3, 3), &four)]);
    let (recovered, found) = folder.load(2).unwrap();
    assert_eq!((recovered.epoch, recovered.epochs, found), (4, 4, content(&[(0, "a", 4)])));
    for lost in 1..40 {
        // Nothing of the first segment counts that the second does not need.
        let (recovered, _) = Folder::new()
            .segment(1, 1, 2, &[((1, 0, 0), &one), ((2, 1, 1), &two), ((3, 2, 2), &changes(99))])
            .cut(&segment_name(1), lost)
            .segment(2, 3, 2, &[((3, 2, 2), &three)])
            .load(2)
            .unwrap();
        assert_eq!((recovered.epoch, recovered.cut), (3, None), "{lost}");
    }
}

#[test]
fn what_a_crash_cannot_have_left_is_refused_with_file_and_place() {
    let one: &[Change] = &[(0, "a", Some(1))];
    let torn_in_the_middle = Folder::new()
        .segment(1, 1, 2, &[((1, 0, 0), one), ((2, 1, 1), one)])
        .cut(&segment_name(1), 3)
        .segment(2, 3, 2, &[((3, 2, 2), one)]);
    assert_eq!(
        torn_in_the_middle.refusal(),
        "log-000002.kvlog, at byte 32: epoch 3 goes on from epoch 2, and 1 stands in front"
    );
    let (folder, _) = ordinary();
    folder.disk.remove(&segment_name(7)).unwrap();
    assert_eq!(folder.refusal(), "log-000007.kvlog: the file is missing, and manifest.kv names it");
    let (folder, _) = ordinary();
    folder.disk.remove(&base_name(4, 1)).unwrap();
    assert_eq!(folder.refusal(), "base-000004-0001.kvsnap: the file is missing, and manifest.kv names it");
    let (folder, _) = ordinary();
    let refusal = folder.cut(&base_name(4, 1), 1).refusal();
    assert!(refusal.starts_with("base-000004-0001.kvsnap: the file has "), "{refusal}");
    let (folder, _) = ordinary();
    folder.disk.put(&base_name(4, 1), &folder.disk.bytes(&base_name(4, 0)).unwrap());
    let refusal = folder.refusal();
    assert!(refusal.starts_with("base-000004-0001.kvsnap: the file "), "{refusal}");
    let (folder, _) = ordinary();
    folder.disk.put(&segment_name(9), &folder.disk.bytes(&segment_name(7)).unwrap());
    assert_eq!(folder.refusal(), "log-000009.kvlog, at byte 0: not the segment that manifest.kv names");
    let (folder, _) = ordinary();
    folder.disk.remove(MANIFEST).unwrap();
    assert_eq!(folder.refusal(), "manifest.kv: the file is missing, and there is base-000004-0000.kvsnap");
    let (folder, _) = ordinary();
    let mut manifest = folder.disk.bytes(MANIFEST).unwrap();
    manifest[8] = 2;
    folder.disk.put(MANIFEST, &manifest);
    let refusal = folder.refusal();
    assert!(refusal.starts_with("manifest.kv, at byte 8: ") && refusal.contains("version 2"), "{refusal}");
}

#[test]
fn too_few_databases_are_refused_as_an_option() {
    let (folder, _) = ordinary();
    let log = Folder::new().segment(1, 1, 1, &[((1, 0, 0), &[(3, "a", Some(1))])]);
    for folder in [folder, log] {
        let error = load_from(&folder.disk, 2, 3).map(|(recovered, _)| recovered.epoch).unwrap_err();
        assert_eq!(error.databases_needed, Some(4));
        assert_eq!(error.to_string(), "the data uses database 3, and the option 'databases' is 3");
        assert!(load_from(&folder.disk, 2, 4).is_ok());
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused_or_cuts_the_end_and_never_changes_a_value() {
    let (folder, whole) = ordinary();
    let states = [whole, content(&[(0, "a", 10), (0, "b", 2), (0, "c", 30), (3, "a", 3)])];
    let mut refused = 0;
    for name in folder.disk.names() {
        let file = folder.disk.bytes(&name).unwrap();
        for at in 0..file.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = file.clone();
                changed[at] ^= change;
                folder.disk.put(&name, &changed);
                match folder.load(2) {
                    Ok((_, content)) => assert!(states.contains(&content), "{name} at {at}: {content:?}"),
                    Err(_) => refused += 1,
                }
            }
        }
        folder.disk.put(&name, &file);
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn jobs_run_side_by_side_give_the_same() {
    struct Backwards;
    impl Crew for Backwards {
        fn run<'a>(&self, jobs: Vec<Job<'a>>) {
            jobs.into_iter().rev().for_each(|job| job());
        }
    }
    let (folder, expected) = ordinary();
    let manifest = read_manifest(&folder.disk).unwrap().unwrap();
    let wanted =
        Wanted { shards: 3, databases: 16, settings: settings(&Config::default(), &hasher()), seed: 1, now: NOW };
    let progress = Progress::default();
    let recovered = recover(&folder.disk, &manifest, &wanted, &Backwards, &progress).unwrap();
    let keys: usize = recovered.shards.iter().flat_map(|shard| &shard.dbs).map(kv_core::store::Db::len).sum();
    assert_eq!((keys, progress.keys()), (expected.len(), 3));
    assert_eq!((progress.read_bytes(), progress.percent()), (progress.total_bytes(), 100.0));
}
