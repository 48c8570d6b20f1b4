//! What is said of folders that are whole, torn and damaged, and what becomes of the latter.

use super::*;
use crate::engine::durability::recover::Alone;
use crate::engine::durability::recover::testing::{Change, Folder, NOW, content, ordinary};

fn checked(folder: &Folder) -> (Verdict, String) {
    let Report { lines, verdict } = check(&folder.disk, &Alone, NOW);
    (verdict, lines.join("\n"))
}

fn mended(folder: &Folder) -> String {
    repair(&folder.disk, &Alone, NOW, ".bak-1").unwrap().join("\n")
}

#[test]
fn a_whole_folder_is_told_file_by_file() {
    let (folder, _) = ordinary();
    folder.disk.put("log-000001.kvlog", b"left over");
    let before = folder.disk.names();
    let (verdict, text) = checked(&folder);
    assert_eq!(verdict, Verdict::Fine, "{text}");
    for part in [
        "base-000004-0000.kvsnap: ",
        " bytes, 1 epochs, from 6 to 6\n",
        "log-000001.kvlog: manifest.kv does not name it, and a start removes it\n",
        "\n4 keys after epoch 7: 3 of the snapshot, and 2 epochs of the log",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(folder.disk.names(), before);
    assert!(mended(&folder).ends_with("nothing is damaged, and nothing was changed"));
    assert_eq!(folder.disk.names(), before);
}

#[test]
fn a_folder_without_data_is_fine() {
    let disk = crate::engine::durability::testing::TestDisk::new(1);
    assert_eq!(check(&disk, &Alone, NOW).verdict, Verdict::Fine);
    assert_eq!(checked(&Folder::new()).0, Verdict::Fine);
}

#[test]
fn a_torn_end_is_told_with_its_place_and_left_to_the_start() {
    let (folder, _) = ordinary();
    let folder = folder.cut("log-000009.kvlog", 3);
    let (verdict, text) = checked(&folder);
    assert_eq!(verdict, Verdict::Torn, "{text}");
    assert!(text.contains("TORN log-000009.kvlog, at byte 32: the last "), "{text}");
    assert!(mended(&folder).ends_with("nothing is damaged, and nothing was changed"));
}

#[test]
fn more_databases_than_usual_are_no_damage() {
    let folder = Folder::new().base(1, 1, 1, &[(40, "a", 1)]);
    assert_eq!(checked(&folder).0, Verdict::Fine);
}

#[test]
fn damage_in_the_log_is_mended_up_to_there_with_a_copy_of_all() {
    let (folder, _) = ordinary();
    let file = folder.disk.bytes("log-000007.kvlog").unwrap();
    let mut changed = file.clone();
    *changed.last_mut().unwrap() ^= 1;
    folder.disk.put("log-000007.kvlog", &changed);
    let (verdict, text) = checked(&folder);
    assert_eq!(verdict, Verdict::Damaged, "{text}");
    assert!(text.contains("a start refuses: log-000009.kvlog, at byte 32: epoch 7 goes on from epoch 6"), "{text}");
    let text = mended(&folder);
    assert!(text.contains("LOST from here on: log-000009.kvlog, at byte 32"), "{text}");
    let (recovered, found) = folder.load(3).unwrap();
    assert_eq!((recovered.epoch, found), (5, content(&[(0, "a", 1), (0, "b", 2), (3, "a", 3)])));
    assert_eq!(checked(&folder).0, Verdict::Fine);
    assert_eq!(folder.disk.bytes("log-000007.kvlog.bak-1").unwrap(), changed);
    for name in ["manifest.kv.bak-1", "base-000004-0000.kvsnap.bak-1", "log-000009.kvlog.bak-1"] {
        assert!(folder.disk.bytes(name).is_some(), "{name}");
    }
    // A start leaves the copies alone.
    assert!(folder.disk.names().iter().filter(|name| name.ends_with(".bak-1")).all(|name| parse(name).is_none()));
}

#[test]
fn a_base_that_is_lost_costs_its_keys_and_makes_no_wrong_ones() {
    let changes: &[Change<'_>] = &[(0, "a", Some(10)), (0, "n", Some(5)), (0, "b", None)];
    let folder = Folder::new()
        .base(1, 5, 2, &[(0, "a", 1), (0, "b", 2), (0, "c", 3), (0, "d", 4), (0, "e", 5), (0, "f", 6)])
        .segment(2, 6, 2, &[((6, 5, 5), changes)])
        .commands(3, 7, &[((7, 6, 6), &["INCR c", "INCR d", "INCR e", "INCR f", "INCR a"])]);
    let whole = folder.load(2).unwrap().1;
    let lost = "base-000001-0001.kvsnap";
    folder.disk.remove(lost).unwrap();
    assert!(checked(&folder).1.contains("DAMAGED base-000001-0001.kvsnap: the file is missing"));
    let text = mended(&folder);
    assert!(text.contains("LOST from here on: base-000001-0001.kvsnap"), "{text}");
    let found = folder.load(2).unwrap().1;
    assert!(found.len() < whole.len() && found.contains_key(&(0, "a".into())), "{found:?}");
    assert!(found.iter().all(|(key, value)| whole[key] == *value), "{found:?}");
    let missing = whole.len() - found.len();
    assert!(text.contains(&format!("LOST {missing} changes of the log")), "{text}");
}

#[test]
fn without_a_manifest_nothing_is_touched() {
    let (folder, _) = ordinary();
    folder.disk.remove(MANIFEST).unwrap();
    let before = folder.disk.names();
    assert_eq!(checked(&folder).0, Verdict::Damaged);
    let error = repair(&folder.disk, &Alone, NOW, ".bak-1").unwrap_err();
    assert!(error.contains("from a backup"), "{error}");
    assert_eq!(folder.disk.names(), before);
}
