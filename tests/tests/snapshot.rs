//! Snapshots taken while random commands of every family go on: a file has exactly what there was when it began.
//!
//! The commands are those of the comparison with Redis (`kv_tests::requests`), so a new command is among them by itself;
//! what matters to snapshots alone (time, aborts, slices of every size) is tried in the core (`store::snapshot`).

use kv_core::families::testing::World;
use kv_core::persist::snapshot::{Codec, Header, Reader, Writer};
use kv_core::persist::value::Loaded;
use kv_core::store::{Piece, Shard};
use kv_core::structs::packed::Item;
use kv_core::types::Limits;
use kv_tests::requests::{Grammar, Step, setting};
use std::collections::BTreeMap;

const CASES: u64 = 150;

/// The keys of a file, with what they were written with, in the file's own words.
type Keys = BTreeMap<(usize, Vec<u8>), String>;

fn keys_of(pieces: Vec<Piece>, limits: &Limits) -> Keys {
    let mut file = Vec::new();
    let mut sink = |bytes: Vec<u8>| file.extend(bytes);
    let header = Header { number: 1, epoch: 1, shard: 0, shards: 1, time: 1 };
    let mut writer = Writer::new(&header, Codec::Plain, &mut sink);
    pieces.into_iter().for_each(|piece| piece.write(&mut writer, &mut sink));
    writer.finish(&mut sink);
    let mut reader = Reader::new(&file[..]).expect("a header");
    let mut keys = Keys::new();
    while let Some(put) = reader.next_key(limits).expect("a whole file") {
        let value = shown(&put.value);
        assert!(keys.insert((put.db, put.key.to_vec()), format!("{:?}, {value}", put.expire_at)).is_none());
    }
    keys
}

/// A value in an order of its own.
fn shown(value: &Loaded<'_>) -> String {
    let mut lines: Vec<String> = match value {
        Loaded::Set(set) => set.as_ref().iter().map(|member| format!("{:?}", member.to_vec())).collect(),
        Loaded::Hash(hash) => {
            let line = |(field, value, at): (Item<'_>, Item<'_>, Option<u64>)| {
                format!("{:?}: {:?}, {at:?}", field.to_vec(), value.to_vec())
            };
            hash.as_ref().fields().map(line).collect()
        }
        Loaded::ZSet(zset) => {
            zset.as_ref().all().map(|(member, score)| format!("{:?}: {score}", member.to_vec())).collect()
        }
        Loaded::Int(int) => vec![format!("{:?}", int.to_string().as_bytes())],
        Loaded::Str(text) => vec![format!("{text:?}")],
        Loaded::List(list) => vec![format!("{list:?}")],
        Loaded::Stream(stream) => vec![format!("{stream:?}")],
    };
    lines.sort_unstable();
    lines.join("; ")
}

/// A snapshot without anything in between.
fn at_once(shard: &mut Shard, now: u64, limits: &Limits) -> Keys {
    shard.begin_snapshot(now);
    while !shard.step_snapshot(usize::MAX) {}
    keys_of(shard.take_pieces(), limits)
}

#[test]
fn a_snapshot_during_random_commands_is_the_one_that_would_have_been_taken_at_its_beginning() {
    let grammar = Grammar::of_store();
    let first = setting("KV_TESTS_SEED", 1);
    for seed in first..first + setting("KV_TESTS_CASES", CASES) {
        let mut world = World::new(1);
        let limits = world.settings.limits;
        let mut snapshot: Option<Keys> = None;
        for (number, step) in grammar.case(seed).iter().enumerate() {
            if let Step::Select(db) = step {
                world.db = *db;
                continue;
            }
            step.requests().iter().for_each(|words| drop(world.run_words(words)));
            let now = world.now;
            let shard = world.shard(0);
            match &snapshot {
                None if number % 50 == 20 => {
                    let wanted = at_once(shard, now, &limits);
                    shard.begin_snapshot(now);
                    snapshot = Some(wanted);
                }
                // About as many keys are saved by the walk as by the commands.
                Some(wanted) if number % 4 == 0 && shard.step_snapshot(seed as usize % 200) => {
                    assert_eq!(&keys_of(shard.take_pieces(), &limits), wanted, "seed {seed}");
                    snapshot = None;
                }
                _ => {}
            }
        }
    }
}
