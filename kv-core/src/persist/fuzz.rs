//! Checks of all readers on what was written, on the same with something changed, and on arbitrary bytes: for the smoke runs in
//! the tests, and for cargo-fuzz (`fuzz/`).
//!
//! What a checksum guards is never reached by a change; so each reader is also given changed content whose checksums agree.

use super::frame::{self, End, Scanner};
use super::manifest::{Base, Manifest, Segment};
use super::record::{self, Record, Records};
use super::snapshot::{self, Codec, Open, Writer};
use super::value::{self, Kind, Loaded, State};
use super::{Damage, ReadError, Reader};
use crate::structs::random::Random;
use crate::types::hash::Ttl;
use crate::types::library::{Function, FunctionFlags};
use crate::types::list::End as ListEnd;
use crate::types::stream::{Groups, NodeLimits, Pending, StreamId};
use crate::types::{Hash, Library, Limits, List, ListNodeLimit, Set, Stream, ZSet};
use std::borrow::Cow;

fn random_limits(random: &mut Random) -> Limits {
    let list_node = ListNodeLimit::from_option(random.below(8) as i64 - 5);
    let hash_seed = random.next_u64();
    let mut pick = |numbers: [usize; 4]| numbers[random.index(4)];
    Limits {
        hash_packed_entries: pick([0, 3, 512, 512]),
        hash_packed_value: pick([4, 64, 64, 5_000]),
        set_int_entries: pick([0, 5, 512, 512]),
        set_packed_entries: pick([0, 5, 128, 128]),
        set_packed_value: pick([4, 64, 64, 5_000]),
        zset_packed_entries: pick([0, 5, 128, 128]),
        zset_packed_value: pick([4, 64, 64, 5_000]),
        list_node,
        stream_node_bytes: pick([0, 50, 4096, 4096]),
        stream_node_entries: pick([0, 1, 7, 100]),
        hash_seed,
    }
}

fn random_text(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => (random.next_u64() as i64 >> random.below(64)).to_string().into_bytes(),
        1 => random.below(300).to_string().into_bytes(),
        2 => Vec::new(),
        3 => {
            let len = random.index(600);
            (0..len).map(|_| random.next_u64() as u8).collect()
        }
        _ => {
            let len = 1 + random.index(12);
            random.bytes_of(b"abcdef019-", len)
        }
    }
}

fn random_score(random: &mut Random) -> f64 {
    match random.below(6) {
        0 => [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 9_007_199_254_740_992.0, 1e300, 5e-324][random.index(7)],
        1 => random.next_u64() as i64 as f64,
        2 => random.below(1_000) as f64 / 7.0,
        _ => random.below(50) as f64 - 10.0,
    }
}

/// A value of any type and size.
pub fn random_value(random: &mut Random, limits: &Limits) -> Loaded<'static> {
    let count = [1, 2, 10, 140, 700][random.index(5)];
    match random.below(8) {
        0 => Loaded::Int(random.next_u64() as i64 >> random.below(64)),
        1 => Loaded::Str(Cow::Owned(random_text(random))),
        2 => {
            let len = random.index(100_000);
            Loaded::Str(Cow::Owned(random.bytes_of(b"some text", len)))
        }
        3 => {
            let mut list = List::new();
            (0..count).for_each(|_| list.push(ListEnd::Tail, &random_text(random), limits));
            Loaded::List(list)
        }
        4 => {
            let mut set = Set::new();
            let ints = random.one_in(2);
            for i in 0..count {
                let text = if ints { (i * i).to_string().into_bytes() } else { random_text(random) };
                set.add(&text, limits);
            }
            Loaded::Set(set)
        }
        5 => {
            let mut hash = Hash::new();
            let timed = random.one_in(2);
            for _ in 0..count {
                let ttl = if timed && random.one_in(3) { Ttl::At(1 + random.below(1 << 45)) } else { Ttl::Clear };
                hash.set_with(&random_text(random), &random_text(random), ttl, 0, limits);
            }
            Loaded::Hash(hash)
        }
        6 => {
            let mut zset = ZSet::new();
            (0..count).for_each(|_| zset.set(&random_text(random), random_score(random), limits));
            Loaded::ZSet(zset)
        }
        _ => Loaded::Stream(random_stream(random, count, limits)),
    }
}

fn random_id(random: &mut Random) -> StreamId {
    StreamId::new(random.below(1_000), random.below(3))
}

fn random_stream(random: &mut Random, count: u64, limits: &Limits) -> Box<Stream> {
    let mut stream = Box::new(Stream::new());
    let limits = NodeLimits { bytes: limits.stream_node_bytes, entries: limits.stream_node_entries };
    let mut id = StreamId::new(0, 1);
    for _ in 0..count {
        id = StreamId::new(id.ms + random.below(3), id.seq + if random.one_in(50) { 1 << 53 } else { 1 });
        let pairs = 1 + random.index(3);
        let texts: Vec<_> = (0..2 * pairs).map(|_| random_text(random)).collect();
        let size = texts.iter().map(Vec::len).sum();
        let pairs_of = texts.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1]));
        stream.append(id, pairs, size, pairs_of, limits);
    }
    if random.one_in(3) {
        let ids: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect();
        ids.into_iter().filter(|_| random.one_in(2)).for_each(|id| {
            stream.delete(id);
        });
    }
    if random.one_in(3) {
        stream.set_last_id(StreamId::new(id.ms + 5, 0));
        stream.set_entries_added(random.next_u64() >> 1);
        stream.set_max_deleted_id(random_id(random));
    }
    for group in 0..random.below(4) {
        let name = format!("group {group}").into_bytes();
        let read = random.one_in(2).then(|| random.below(1_000));
        stream.create_group(&name, random_id(random), read);
        stream.edit_group(&name, |group, _| {
            for consumer in 0..random.below(4) {
                let number = group.create(format!("c{consumer}").as_bytes(), random.below(1 << 42));
                let Some(number) = number else { continue };
                group.consumer_mut(number).active_at = random.one_in(2).then(|| random.below(1 << 42));
                for _ in 0..random.below(30) {
                    let (delivered_at, deliveries) = (random.below(1 << 42), random.below(100));
                    group.set_pending(random_id(random), Pending { consumer: number, delivered_at, deliveries });
                }
            }
        });
    }
    stream
}

/// Writes a value element by element, as nobody needs to who has it as a whole.
pub fn write_in_parts<S: FnMut(Vec<u8>)>(mut open: Open<'_, S>, value: &Loaded<'_>) {
    let (mut digits, mut value_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    match value {
        Loaded::Int(int) => open.string(digits.format(*int).as_bytes()),
        Loaded::Str(text) => open.string(text),
        Loaded::List(list) => list.as_ref().iter().for_each(|item| open.list_item(item.text(&mut digits))),
        Loaded::Set(set) => set.as_ref().iter().for_each(|member| open.set_member(member.text(&mut digits))),
        Loaded::Hash(hash) => hash.as_ref().fields().for_each(|(field, text, expire_at)| {
            open.hash_field(field.text(&mut digits), text.text(&mut value_digits), expire_at);
        }),
        // Not in order.
        Loaded::ZSet(zset) => zset.as_ref().iter_back(0..usize::MAX).for_each(|(member, score)| {
            open.zset_member(member.text(&mut digits), score);
        }),
        Loaded::Stream(stream) => {
            stream.range(StreamId::MIN, StreamId::MAX).for_each(|entry| open.stream_entry(&entry));
            open.stream_state(stream.last_id(), stream.max_deleted_id(), stream.entries_added());
            for (name, group) in stream.groups().into_iter().flat_map(Groups::iter) {
                open.stream_group(name, group);
                for consumer in group.each_consumer() {
                    open.stream_consumer(consumer);
                    for id in consumer.pending_from(StreamId::MIN) {
                        let pending = group.pending_at(id).expect("it is pending with a consumer");
                        open.stream_pending(id, pending.delivered_at, pending.deliveries);
                    }
                }
            }
        }
    }
    open.end();
}

/// The type that parts of a value have.
pub fn kind_of(value: &Loaded<'_>) -> Kind {
    match value {
        Loaded::Int(_) | Loaded::Str(_) => Kind::Str,
        Loaded::List(_) => Kind::List,
        Loaded::Set(_) => Kind::Set,
        Loaded::Hash(_) => Kind::Hash,
        Loaded::ZSet(_) => Kind::ZSet,
        Loaded::Stream(_) => Kind::Stream,
    }
}

/// The value as it is written, which for equal values of most types is the same bytes.
fn written(value: &Loaded<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value::write(&mut out, value.as_state());
    out
}

/// Whether two values are the same to clients.
fn same(a: &Loaded<'_>, b: &Loaded<'_>) -> bool {
    match (a, b) {
        (Loaded::Stream(a_stream), Loaded::Stream(b_stream)) => {
            a_stream.check();
            b_stream.check();
            written(a) == written(b)
        }
        (Loaded::List(a_list), Loaded::List(b_list)) => a_list.as_ref().iter().eq(b_list.as_ref().iter()),
        // What comes in parts is text.
        (Loaded::Int(int), Loaded::Str(text)) | (Loaded::Str(text), Loaded::Int(int)) => {
            itoa::Buffer::new().format(*int).as_bytes() == &**text
        }
        // The sign of a zero is forgotten by one of the forms.
        _ => a == b,
    }
}

/// Changes something in the bytes.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.push(random.next_u64() as u8);
    }
    let at = random.index(bytes.len());
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.next_u64() as u8,
        3 => {
            // A head that announces much, or another type.
            const HEADS: [u8; 12] = [0xc4, 0xc6, 0xdc, 0xdd, 0xde, 0xdf, 0x90, 0x80, 0xc0, 0xcb, 0xcf, 0xd3];
            bytes[at] = HEADS[random.index(HEADS.len())];
        }
        4 => {
            let end = (at + random.index(40)).min(bytes.len());
            bytes[at..end].fill(if random.one_in(2) { 0 } else { 0xff });
        }
        5 => {
            let end = (at + random.index(40)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            let to = random.index(bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => {
            let end = (at + random.index(40)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
}

fn random_bytes(random: &mut Random) -> Vec<u8> {
    let len = random.index(300);
    (0..len).map(|_| random.next_u64() as u8).collect()
}

/// Writes and reads values, whole and broken.
///
/// Panics: with the seed in the message, when a value does not come back.
pub fn fuzz_values(seed: u64) {
    let random = &mut Random::new(seed);
    let (limits, other_limits) = (random_limits(random), random_limits(random));
    let value = random_value(random, &limits);
    let bytes = written(&value);
    for limits in [&limits, &other_limits] {
        let mut input = Reader::new(&bytes, 0);
        let again = value::read(&mut input, limits).unwrap_or_else(|damage| panic!("seed {seed}: {damage}"));
        assert!(same(&again, &value), "seed {seed}: {value:?} became {again:?}");
        assert!(input.end().is_ok(), "seed {seed}: something was left");
    }
    for _ in 0..8 {
        let mut bytes = bytes.clone();
        (0..1 + random.below(3)).for_each(|_| damage(random, &mut bytes));
        read_anything(seed, &bytes, &limits);
    }
    read_anything(seed, &random_bytes(random), &limits);
}

/// What is taken for a value is one: it can be written and read again.
fn read_anything(seed: u64, bytes: &[u8], limits: &Limits) {
    if let Ok(value) = value::read(&mut Reader::new(bytes, 0), limits) {
        let bytes = written(&value);
        let again = value::read(&mut Reader::new(&bytes, 0), limits);
        assert!(again.is_ok_and(|again| same(&again, &value)), "seed {seed}: {value:?} does not come back");
    }
}

/// Appends a random record.
fn put_random(random: &mut Random, out: &mut Vec<u8>, limits: &Limits) {
    let (db, key) = (random.index(20), random_text(random));
    let expire_at = random.one_in(3).then(|| random.below(1 << 45));
    match random.below(10) {
        0 => record::put_time(out, random.below(1 << 45)),
        1 => record::put_remove(out, db, &key),
        2 => record::put_expire(out, db, &key, expire_at),
        3 => {
            let words: Vec<_> = (0..1 + random.index(5)).map(|_| random_text(random)).collect();
            record::put_command(out, db, words.iter().map(Vec::as_slice));
        }
        4 => record::put_flush(out, random.one_in(2).then_some(db)),
        5 => record::put_swap(out, db, random.index(20)),
        6 => record::put_library(out, &random_library(random)),
        7 => record::put_no_library(out, &key),
        _ => record::put_state(out, db, &key, expire_at, random_value(random, limits).as_state()),
    }
}

/// Any library.
pub fn random_library(random: &mut Random) -> Library {
    let functions = (0..1 + random.index(4)).map(|at| Function {
        name: format!("f{}_{at}", random.below(100)).into_bytes().into(),
        description: random.one_in(2).then(|| random_text(random).into()),
        flags: FunctionFlags::from_bits(random.below(32)).expect("five bits"),
    });
    let functions = functions.collect();
    Library::new(format!("l{}", random.below(5)).as_bytes(), &random_text(random), functions)
        .expect("names that differ")
}

fn put_again(out: &mut Vec<u8>, record: &Record<'_>) {
    match record {
        Record::Time(now) => record::put_time(out, *now),
        Record::Put { db, key, expire_at, value } => record::put_state(out, *db, key, *expire_at, value.as_state()),
        Record::Remove { db, key } => record::put_remove(out, *db, key),
        Record::Expire { db, key, expire_at } => record::put_expire(out, *db, key, *expire_at),
        Record::Command { db, words } => record::put_command(out, *db, words.clone()),
        Record::Flush { db } => record::put_flush(out, *db),
        Record::Swap { a, b } => record::put_swap(out, *a, *b),
        Record::Library(library) => record::put_library(out, library),
        Record::NoLibrary { name } => record::put_no_library(out, name),
    }
}

/// Whether the second is what the first became by being written and read.
fn same_record(a: &Record<'_>, b: &Record<'_>) -> bool {
    match (a, b) {
        (
            Record::Put { db, key, expire_at, value },
            Record::Put { db: b_db, key: b_key, expire_at: b_at, value: b },
        ) => (db, key, expire_at) == (b_db, b_key, b_at) && same(value, b),
        _ => a == b,
    }
}

/// Writes and reads the records of a section, whole and broken.
///
/// Panics: with the seed in the message, when one does not come back.
pub fn fuzz_records(seed: u64) {
    let random = &mut Random::new(seed);
    let limits = random_limits(random);
    let mut section = Vec::new();
    (0..1 + random.below(6)).for_each(|_| put_random(random, &mut section, &limits));
    check_records(seed, &section, &limits).unwrap_or_else(|damage| panic!("seed {seed}: {damage}"));
    for _ in 0..8 {
        let mut section = section.clone();
        (0..1 + random.below(3)).for_each(|_| damage(random, &mut section));
        let _ = check_records(seed, &section, &limits);
    }
    let _ = check_records(seed, &random_bytes(random), &limits);
}

/// What is taken for records are some: written and read again, they are the same.
fn check_records(seed: u64, section: &[u8], limits: &Limits) -> Result<(), Damage> {
    for record in Records::new(section, 0, limits) {
        let record = record?;
        let mut again = Vec::new();
        put_again(&mut again, &record);
        let again = Records::new(&again, 0, limits).next();
        let came_back = again.is_some_and(|again| again.is_ok_and(|again| same_record(&record, &again)));
        assert!(came_back, "seed {seed}: {record:?} does not come back");
    }
    Ok(())
}

/// An epoch of a segment to be.
struct Epoch {
    epoch: u64,
    synced: u64,
    start: usize,
    sections: Vec<(usize, Vec<u8>)>,
}

/// Writes a segment, and reads it cut, changed and with something behind it.
///
/// Panics: with the seed in the message, when an epoch is wrong, or one is missing that a frame told to be synced.
pub fn fuzz_segment(seed: u64) {
    let random = &mut Random::new(seed);
    let (id, first_epoch) = (random.next_u64(), 1 + random.below(1_000));
    let mut bytes = Vec::new();
    frame::write_header(&mut bytes, &frame::Header { id, first_epoch });
    let (mut before, mut synced) = (random.below(first_epoch), 0);
    let mut epochs: Vec<Epoch> = Vec::new();
    let mut epoch = first_epoch;
    for _ in 0..random.below(8) {
        let shards = (0..random.below(4) as usize).map(|shard| shard * (1 + seed as usize % 3));
        let sections: Vec<_> = shards.map(|shard| (shard, random_text(random))).collect();
        let given: Vec<_> = sections.iter().map(|(shard, records)| (*shard, records.as_slice())).collect();
        synced += random.below(before - synced + 1);
        let start = bytes.len();
        frame::write_frame(&mut bytes, id, epoch, before, synced, &given);
        epochs.push(Epoch { epoch, synced, start, sections });
        before = epoch;
        epoch += 1 + random.below(3);
    }
    check_segment(seed, &bytes, &epochs, None);
    for _ in 0..12 {
        let mut broken = bytes.clone();
        (0..1 + random.below(2)).for_each(|_| damage(random, &mut broken));
        if random.one_in(4) {
            broken.extend(random_bytes(random));
        }
        check_segment(seed, &broken, &epochs, Some(&bytes));
    }
    check_segment(seed, &random_bytes(random), &epochs, Some(&bytes));
}

/// `whole`: what the bytes were before something was changed.
fn check_segment(seed: u64, bytes: &[u8], epochs: &[Epoch], whole: Option<&[u8]>) {
    let mut expected = epochs.iter();
    let mut last = 0;
    let end = Scanner::new(bytes).and_then(|mut scanner| {
        while let Some(found) = scanner.next_frame()? {
            let Some(expected) = expected.next() else { panic!("seed {seed}: one epoch too many: {}", found.epoch) };
            let sections: Vec<_> = found.sections().map(|section| (section.shard, section.records.to_vec())).collect();
            assert_eq!((found.epoch, &sections), (expected.epoch, &expected.sections), "seed {seed}");
            last = found.epoch;
        }
        Ok(scanner.end())
    });
    match (end, whole) {
        (Ok(end), None) => {
            assert_eq!((end, expected.next().is_none()), (Some(End::Whole), true), "seed {seed}");
        }
        (Err(error), None) => panic!("seed {seed}: {error}"),
        (Err(ReadError::Io(error)), _) => panic!("seed {seed}: a slice cannot fail: {error}"),
        (Err(ReadError::Damage(_)), Some(_)) => {}
        (Ok(end), Some(whole)) => {
            assert!(end.is_some(), "seed {seed}");
            // A head that stands in its place, or anywhere, tells of what was synced.
            for lost in expected {
                let head = &whole[lost.start..lost.start + frame::FRAME_HEAD];
                let told = bytes.windows(head.len()).any(|window| window == head);
                let was_synced = epochs.iter().any(|one| one.epoch > last && one.epoch <= lost.synced);
                assert!(!told || !was_synced, "seed {seed}: {last} is the last epoch, {} was synced", lost.synced);
            }
        }
    }
}

/// Writes a snapshot and reads it, whole and broken, with and without agreeing checksums.
///
/// Panics: with the seed in the message, when a key does not come back.
pub fn fuzz_snapshot(seed: u64) {
    let random = &mut Random::new(seed);
    let limits = random_limits(random);
    let header = snapshot::Header {
        number: random.next_u64(),
        epoch: random.next_u64(),
        shard: random.next_u64() as u32,
        shards: random.next_u64() as u32,
        time: random.next_u64(),
    };
    let codec = if random.one_in(2) { Codec::Plain } else { Codec::Lz4 };
    let keys: Vec<_> = (0..random.below(6)).map(|_| (random_text(random), random_value(random, &limits))).collect();
    let mut bytes = Vec::new();
    let mut sink = |piece: Vec<u8>| bytes.extend(piece);
    let mut writer = Writer::new(&header, codec, &mut sink);
    for (key, value) in &keys {
        if random.one_in(2) {
            writer.put(1, key, Some(5), value.as_state(), &mut sink);
        } else {
            write_in_parts(writer.begin(1, key, Some(5), kind_of(value), &mut sink), value);
        }
    }
    writer.finish(&mut sink);
    read_snapshot(seed, &bytes, &limits, &keys).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    for _ in 0..6 {
        let mut broken = bytes.clone();
        (0..1 + random.below(2)).for_each(|_| damage(random, &mut broken));
        if broken != bytes {
            assert!(read_snapshot(seed, &broken, &limits, &keys).is_err(), "seed {seed}: a broken file is taken");
        }
    }
    assert!(read_snapshot(seed, &random_bytes(random), &limits, &keys).is_err(), "seed {seed}");
    // Broken records, well wrapped.
    let mut records = Vec::new();
    for (key, value) in &keys {
        record::put_state(&mut records, 0, key, None, value.as_state());
        record::put_begin(&mut records, 0, key, Kind::List, None);
        record::put_part(&mut records);
        let mut list = Vec::new();
        value::write(&mut list, State::List(List::new().as_ref()));
        // What follows the type of a value is what a part consists of.
        records.extend_from_slice(&list[2..]);
        record::put_end(&mut records);
    }
    (0..random.below(4)).for_each(|_| damage(random, &mut records));
    let mut bytes = Vec::new();
    let mut sink = |piece: Vec<u8>| bytes.extend(piece);
    let mut writer = Writer::new(&header, codec, &mut sink);
    writer.add(&records, keys.len(), &mut sink);
    writer.finish(&mut sink);
    if let Ok(mut reader) = snapshot::Reader::new(&*bytes) {
        while let Ok(Some(_)) = reader.next_key(&limits) {}
    }
}

/// All that is read up to damage is what was written.
fn read_snapshot(
    seed: u64,
    bytes: &[u8],
    limits: &Limits,
    keys: &[(Vec<u8>, Loaded<'static>)],
) -> Result<(), ReadError> {
    let mut reader = snapshot::Reader::new(bytes)?;
    let mut expected = keys.iter();
    while let Some(put) = reader.next_key(limits)? {
        let Some((key, value)) = expected.next() else { panic!("seed {seed}: one key too many") };
        assert_eq!((put.db, put.key, put.expire_at), (1, &**key, Some(5)), "seed {seed}");
        assert!(same(&put.value, value), "seed {seed}: another value of {key:?}");
    }
    assert!(expected.next().is_none(), "seed {seed}: keys are missing");
    Ok(())
}

/// Writes a manifest and reads it, whole and broken.
///
/// Panics: with the seed in the message, when it does not come back, or a broken one is taken.
pub fn fuzz_manifest(seed: u64) {
    let random = &mut Random::new(seed);
    let mut first_epoch = 0;
    let mut number = 0;
    let mut segment = |random: &mut Random| {
        first_epoch += random.below(1_000);
        number += 1 + random.below(5);
        Segment { number, id: random.next_u64(), first_epoch, shards: 1 + random.below(300) as u32 }
    };
    let mut hash_seed = [0; 16];
    hash_seed.fill_with(|| random.next_u64() as u8);
    let bytes_of = (0..1 + random.below(5)).map(|_| random.next_u64()).collect();
    let base = random.one_in(2).then(|| Base { number: random.next_u64(), epoch: random.next_u64(), bytes: bytes_of });
    let segments = (0..random.below(4)).map(|_| segment(random)).collect();
    let manifest = Manifest { hash_seed, base, segments };
    let bytes = manifest.to_bytes();
    assert_eq!(Manifest::from_bytes(&bytes).as_ref(), Ok(&manifest), "seed {seed}");
    for _ in 0..6 {
        let mut broken = bytes.clone();
        (0..1 + random.below(2)).for_each(|_| damage(random, &mut broken));
        assert!(broken == bytes || Manifest::from_bytes(&broken).is_err(), "seed {seed}: a broken manifest is taken");
    }
    assert!(Manifest::from_bytes(&random_bytes(random)).is_err(), "seed {seed}");
    let mut body = bytes[super::manifest::HEAD..].to_vec();
    (0..1 + random.below(3)).for_each(|_| damage(random, &mut body));
    if let Ok(taken) = Manifest::from_bytes(&super::manifest::wrap(&body)) {
        assert_eq!(Manifest::from_bytes(&taken.to_bytes()), Ok(taken), "seed {seed}");
    }
}
