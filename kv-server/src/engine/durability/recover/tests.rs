//! Folders as a server leaves them, as a crash leaves them, and as nothing but a fault can have made them.

use super::*;
use crate::config::Config;
use crate::engine::durability::testing::TestDisk;
use crate::engine::worker::settings;
use kv_core::persist::frame;
use kv_core::persist::manifest::Segment;
use kv_core::persist::record;
use kv_core::persist::snapshot::{Codec, Header, Writer};
use kv_core::persist::value::State;
use std::collections::BTreeMap;

const SEED: [u8; 16] = [3; 16];
const NOW: UnixMs = 1_700_000_000_000;

fn hasher() -> KeyHasher {
    KeyHasher::new(SEED)
}

/// What is in the databases: number and expiry by database and key.
type Content = BTreeMap<(usize, String), (i64, Option<UnixMs>)>;

fn content(keys: &[(usize, &str, i64)]) -> Content {
    keys.iter().map(|&(db, key, n)| ((db, key.to_string()), (n, None))).collect()
}

/// A folder under construction.
struct Folder {
    disk: TestDisk,
    manifest: Manifest,
}

/// What a frame does: a key becomes a number, or goes.
type Change<'a> = (usize, &'a str, Option<i64>);

/// A frame: epoch, the one before, the one that was synced; and what it does.
type Frame<'a> = ((u64, u64, u64), &'a [Change<'a>]);

impl Folder {
    fn new() -> Folder {
        let disk = TestDisk::new(1);
        let manifest = begin(&disk, SEED).unwrap();
        Folder { disk, manifest }
    }

    fn base(mut self, number: u64, epoch: u64, shards: usize, keys: &[(usize, &str, i64)]) -> Folder {
        let bytes = (0..shards).map(|shard| {
            let mut file = Vec::new();
            let header = Header { number, epoch, shard: shard as u32, shards: shards as u32, time: NOW };
            let mut sink = |piece: Vec<u8>| file.extend(piece);
            let mut writer = Writer::new(&header, Codec::Lz4, &mut sink);
            for &(db, key, n) in keys.iter().filter(|(_, key, _)| hasher().place(key.as_bytes(), shards) == shard) {
                writer.put(db, key.as_bytes(), None, State::Int(n), &mut sink);
            }
            let written = writer.finish(&mut sink);
            self.disk.put(&base_name(number, shard), &file);
            written.bytes
        });
        self.manifest.base = Some(Base { number, epoch, bytes: bytes.collect() });
        self.named()
    }

    fn segment(mut self, number: u64, first_epoch: u64, shards: usize, frames: &[Frame]) -> Folder {
        let id = 1000 + number;
        let mut file = Vec::new();
        frame::write_header(&mut file, &frame::Header { id, first_epoch });
        for ((epoch, before, synced), changes) in frames {
            let sections: Vec<(usize, Vec<u8>)> = (0..shards)
                .map(|shard| {
                    (shard, section(changes.iter().filter(|c| hasher().place(c.1.as_bytes(), shards) == shard)))
                })
                .filter(|(_, records)| !records.is_empty())
                .collect();
            let sections: Vec<(usize, &[u8])> = sections.iter().map(|(shard, bytes)| (*shard, &**bytes)).collect();
            frame::write_frame(&mut file, id, *epoch, *before, *synced, &sections);
        }
        self.disk.put(&segment_name(number), &file);
        self.manifest.segments.push(Segment { number, id, first_epoch, shards: shards as u32 });
        self.named()
    }

    fn named(self) -> Folder {
        write_manifest(&self.disk, &self.manifest).unwrap();
        self
    }

    fn cut(self, name: &str, bytes: usize) -> Folder {
        let file = self.disk.bytes(name).unwrap();
        self.disk.put(name, &file[..file.len() - bytes]);
        self
    }

    fn load(&self, shards: usize) -> Result<(Recovered, Content), RecoverError> {
        load(&self.disk, shards, 16)
    }

    /// The only sentence that a load says.
    fn refusal(&self) -> String {
        self.load(2).map(|(recovered, _)| recovered.epoch).expect_err("it is refused").to_string()
    }
}

fn section<'a>(changes: impl Iterator<Item = &'a Change<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (db, key, change) in changes {
        record::put_time(&mut out, NOW);
        match change {
            Some(n) => record::put_state(&mut out, *db, key.as_bytes(), None, State::Int(*n)),
            None => record::put_remove(&mut out, *db, key.as_bytes()),
        }
    }
    out
}

fn load(disk: &TestDisk, shards: usize, databases: usize) -> Result<(Recovered, Content), RecoverError> {
    let settings = settings(&Config::default(), &hasher());
    let wanted = Wanted { shards, databases, settings, seed: 1, now: NOW };
    let manifest = read_manifest(disk)?.expect("it was begun");
    let recovered = recover(disk, &manifest, &wanted, &Alone, &Progress::default())?;
    assert_eq!(recovered.shards.len(), shards);
    let mut content = Content::new();
    for shard in &recovered.shards {
        for (index, db) in shard.dbs.iter().enumerate() {
            let mut cursor = 0;
            loop {
                cursor = db.scan(cursor, 0, |entry| {
                    let key = String::from_utf8(entry.key().to_vec()).unwrap();
                    assert_eq!(hasher().place(entry.key(), shards), shard.index, "{key} lies where it belongs");
                    let kv_core::store::Value::Int(n) = entry.value() else { panic!("{key} is a number") };
                    content.insert((index, key), (n, entry.expire_at()));
                });
                if cursor == 0 {
                    break;
                }
            }
        }
    }
    Ok((recovered, content))
}

/// A folder with a base and two segments, and its contents after epoch 7.
fn ordinary() -> (Folder, Content) {
    let folder = Folder::new()
        .base(4, 5, 2, &[(0, "a", 1), (0, "b", 2), (3, "a", 3)])
        .segment(7, 6, 2, &[((6, 5, 5), &[(0, "a", Some(10)), (0, "c", Some(30))])])
        .segment(9, 7, 2, &[((7, 6, 6), &[(0, "b", None), (3, "a", Some(33)), (0, "d", Some(4))])]);
    (folder, content(&[(0, "a", 10), (0, "c", 30), (0, "d", 4), (3, "a", 33)]))
}

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
    let mut loading = Loading { means, crew: &Alone, shards: new_shards(2, &wanted, &hasher) };
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
        let error = load(&folder.disk, 2, 3).map(|(recovered, _)| recovered.epoch).unwrap_err();
        assert!(error.is_by_options);
        assert_eq!(error.to_string(), "the data uses database 3, and the option 'databases' is 3");
        assert!(load(&folder.disk, 2, 4).is_ok());
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
