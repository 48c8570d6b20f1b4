//! Folders made by hand, for tests.

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

pub const SEED: [u8; 16] = [3; 16];
pub const NOW: UnixMs = 1_700_000_000_000;

pub fn hasher() -> KeyHasher {
    KeyHasher::new(SEED)
}

/// What is in the databases: number and expiry by database and key.
pub type Content = BTreeMap<(usize, String), (i64, Option<UnixMs>)>;

pub fn content(keys: &[(usize, &str, i64)]) -> Content {
    keys.iter().map(|&(db, key, n)| ((db, key.to_string()), (n, None))).collect()
}

/// A folder under construction.
pub struct Folder {
    pub disk: TestDisk,
    pub manifest: Manifest,
}

/// What a frame does: a key becomes a number, or goes.
pub type Change<'a> = (usize, &'a str, Option<i64>);

/// A frame: epoch, the one before, the one that was synced; and what it does.
pub type Frame<'a> = ((u64, u64, u64), &'a [Change<'a>]);
pub type CommandFrame<'a> = ((u64, u64, u64), &'a [&'a str]);

impl Folder {
    pub fn new() -> Folder {
        let disk = TestDisk::new(1);
        let manifest = begin(&disk, SEED).unwrap();
        Folder { disk, manifest }
    }

    pub fn base(mut self, number: u64, epoch: u64, shards: usize, keys: &[(usize, &str, i64)]) -> Folder {
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

    pub fn segment(mut self, number: u64, first_epoch: u64, shards: usize, frames: &[Frame]) -> Folder {
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

    /// A segment of two shards whose frames are commands, each of a key in database 0.
    pub fn commands(mut self, number: u64, first_epoch: u64, frames: &[CommandFrame]) -> Folder {
        let id = 1000 + number;
        let mut file = Vec::new();
        frame::write_header(&mut file, &frame::Header { id, first_epoch });
        for ((epoch, before, synced), commands) in frames {
            let mut sections = [(0, Vec::new()), (1, Vec::new())];
            for command in *commands {
                let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
                let out = &mut sections[hasher().place(words[1], 2)].1;
                record::put_time(out, NOW);
                record::put_command(out, 0, words.into_iter());
            }
            let sections: Vec<(usize, &[u8])> = sections.iter().map(|(shard, bytes)| (*shard, &**bytes)).collect();
            frame::write_frame(&mut file, id, *epoch, *before, *synced, &sections);
        }
        self.disk.put(&segment_name(number), &file);
        self.manifest.segments.push(Segment { number, id, first_epoch, shards: 2 });
        self.named()
    }

    fn named(self) -> Folder {
        write_manifest(&self.disk, &self.manifest).unwrap();
        self
    }

    pub fn cut(self, name: &str, bytes: usize) -> Folder {
        let file = self.disk.bytes(name).unwrap();
        self.disk.put(name, &file[..file.len() - bytes]);
        self
    }

    pub fn load(&self, shards: usize) -> Result<(Recovered, Content), RecoverError> {
        load_from(&self.disk, shards, 16)
    }

    /// The only sentence that a load says.
    pub fn refusal(&self) -> String {
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

pub fn load_from(disk: &TestDisk, shards: usize, databases: usize) -> Result<(Recovered, Content), RecoverError> {
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
pub fn ordinary() -> (Folder, Content) {
    let folder = Folder::new()
        .base(4, 5, 2, &[(0, "a", 1), (0, "b", 2), (3, "a", 3)])
        .segment(7, 6, 2, &[((6, 5, 5), &[(0, "a", Some(10)), (0, "c", Some(30))])])
        .segment(9, 7, 2, &[((7, 6, 6), &[(0, "b", None), (3, "a", Some(33)), (0, "d", Some(4))])]);
    (folder, content(&[(0, "a", 10), (0, "c", 30), (0, "d", 4), (3, "a", 33)]))
}
