//! The formats of files as others see them: what version 1 wrote stays readable, and what is written can be read by a
//! program in another language that knows docs/persistence.md alone.
//!
//! `tests/fixtures/format-1` was written by `the_fixture_of_version_1_is_read` with `KV_UPDATE_FIXTURES=1`, and is not to be
//! written again: a new version gets a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kv_core::persist::frame::{self, End, Scanner};
use kv_core::persist::manifest::{Base, Manifest, Segment, base_name, segment_name};
use kv_core::persist::record::{self, Record, Records};
use kv_core::persist::snapshot::{Codec, Header, Reader, Writer};
use kv_core::persist::value::{self, Loaded, State};
use kv_core::persist::{kind_of, random_value, write_in_parts};
use kv_core::structs::packed::Item;
use kv_core::structs::random::Random;
use kv_core::types::hash::Ttl;
use kv_core::types::hll;
use kv_core::types::library::{Function, FunctionFlags};
use kv_core::types::list::End as ListEnd;
use kv_core::types::stream::{NodeLimits, Pending, StreamId};
use kv_core::types::{Hash, Library, Limits, List, Set, Stream, ZSet};
use kv_tests::python;
use serde_json::{Value, json};

/// A moment in 2033.
const LATER: u64 = 2_000_000_000_000;

#[derive(Debug)]
struct Key {
    db: usize,
    name: Vec<u8>,
    expire_at: Option<u64>,
    value: Loaded<'static>,
}

/// Every type in every form that it has with the default limits.
fn every_form() -> Vec<Key> {
    let limits = Limits::default();
    let mut keys = Vec::new();
    let mut add = |db, name: &[u8], expire_at, value| keys.push(Key { db, name: name.to_vec(), expire_at, value });
    let text = |bytes: &[u8]| Loaded::Str(bytes.to_vec().into());
    add(0, b"int", None, Loaded::Int(12345));
    add(0, b"int: the smallest", Some(LATER), Loaded::Int(i64::MIN));
    add(0, b"int: the largest", None, Loaded::Int(i64::MAX));
    add(0, b"string: embstr", None, text(b"some text"));
    add(0, b"string: empty", Some(LATER + 1), text(b""));
    add(0, b"string: of all bytes", None, text(&(0..=255).collect::<Vec<u8>>()));
    add(0, b"string: raw", None, text(&b"a longer text, ".repeat(5_000)));
    add(0, b"", None, text(b"the key is empty"));
    add(0, &(0..=255).collect::<Vec<u8>>(), None, text(b"the key has all bytes"));
    for (name, count) in [(&b"hll: sparse"[..], 10), (b"hll: dense", 5_000)] {
        let mut registers = hll::empty();
        for i in 0..count {
            hll::add(&mut registers, format!("element {i}").as_bytes(), 3_000).expect("a HyperLogLog");
        }
        add(0, name, None, text(&registers));
    }

    let element = |i: usize| if i.is_multiple_of(3) { i.to_string() } else { format!("element {i}") };
    for (name, count) in [(&b"list: packed"[..], 10), (b"list: chain", 2_000)] {
        let mut list = List::new();
        (0..count).for_each(|i| list.push(ListEnd::Tail, element(i).as_bytes(), &limits));
        add(1, name, None, Loaded::List(list));
    }
    for (name, factor) in
        [(&b"set: ints of 2 bytes"[..], 7), (b"set: ints of 4 bytes", 70_000), (b"set: ints of 8", 1 << 40)]
    {
        let mut set = Set::new();
        for i in -20..20i64 {
            set.add((i * factor).to_string().as_bytes(), &limits);
        }
        add(1, name, Some(LATER), Loaded::Set(set));
    }
    for (name, count) in [(&b"set: packed"[..], 50), (b"set: table", 500)] {
        let mut set = Set::new();
        for i in 0..count {
            set.add(element(i).as_bytes(), &limits);
        }
        add(1, name, None, Loaded::Set(set));
    }

    for (name, count, timed) in [
        (&b"hash: packed"[..], 50, false),
        (b"hash: table", 1_000, false),
        (b"hash: small with TTLs", 20, true),
        (b"hash: table with TTLs", 1_000, true),
    ] {
        let mut hash = Hash::new();
        for i in 0..count as usize {
            let ttl = if timed && i.is_multiple_of(2) { Ttl::At(LATER + i as u64) } else { Ttl::Clear };
            hash.set_with(element(i).as_bytes(), format!("value {}", element(i)).as_bytes(), ttl, 0, &limits);
        }
        // A value that looks like the escape of one with a TTL.
        hash.set(b"escape", b"\xff\x01 looks like more", 0, &limits);
        add(15, name, None, Loaded::Hash(hash));
    }
    for (name, count) in [(&b"zset: packed"[..], 50), (b"zset: ordered", 1_000)] {
        let mut zset = ZSet::new();
        for i in 0..count {
            let scores = [i as f64, -(i as f64), i as f64 / 8.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, -0.0];
            zset.set(element(i).as_bytes(), scores[i % scores.len()], &limits);
        }
        add(15, name, Some(LATER), Loaded::ZSet(zset));
    }

    add(2, b"stream: empty", None, Loaded::Stream(Box::new(Stream::new())));
    add(2, b"stream", None, Loaded::Stream(stream()));
    keys
}

fn stream() -> Box<Stream> {
    let mut stream = Box::new(Stream::new());
    let limits = NodeLimits { bytes: 4096, entries: 100 };
    for i in 1..300u64 {
        let (value, other) = (i.to_string(), format!("field {i}"));
        let mut pairs = vec![(&b"field"[..], value.as_bytes())];
        if i.is_multiple_of(10) {
            pairs.push((other.as_bytes(), b""));
        }
        let size = pairs.iter().map(|(field, value)| field.len() + value.len()).sum();
        let id = StreamId::new(LATER + i / 2, i);
        stream.append(id, pairs.len(), size, pairs.iter().copied(), limits);
    }
    for i in (3..200).step_by(3) {
        stream.delete(StreamId::new(LATER + i / 2, i));
    }
    stream.set_last_id(StreamId::new(LATER + 1_000, u64::MAX));
    stream.create_group(b"group", StreamId::new(LATER + 50, 100), Some(100));
    stream.create_group(b"group: nothing read", StreamId::MIN, None);
    stream.edit_group(b"group", |group, _| {
        let numbers = [&b"anne"[..], b"ben", b"idle"].map(|name| group.create(name, LATER).expect("it is new"));
        group.consumer_mut(numbers[0]).active_at = Some(LATER + 1);
        for i in 1..100 {
            let pending = Pending { consumer: numbers[i as usize % 2], delivered_at: LATER + i, deliveries: 1 + i % 4 };
            group.set_pending(StreamId::new(LATER + i / 2, i), pending);
        }
    });
    stream
}

fn written(value: &Loaded<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value::write(&mut out, value.as_state());
    out
}

/// The same to clients. A stream may lie otherwise in memory than before, and an integer may have become its text.
fn same(a: &Loaded<'_>, b: &Loaded<'_>) -> bool {
    match (a, b) {
        (Loaded::Stream(_), Loaded::Stream(_)) => written(a) == written(b),
        (Loaded::List(a), Loaded::List(b)) => a.as_ref().iter().eq(b.as_ref().iter()),
        (Loaded::Int(int), Loaded::Str(text)) | (Loaded::Str(text), Loaded::Int(int)) => {
            int.to_string().as_bytes() == &**text
        }
        _ => a == b,
    }
}

fn snapshot(header: &Header, codec: Codec, in_parts: bool, keys: &[Key]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sink = |piece: Vec<u8>| bytes.extend(piece);
    let mut writer = Writer::new(header, codec, &mut sink);
    for key in keys {
        if in_parts {
            let kind = kind_of(&key.value);
            write_in_parts(writer.begin(key.db, &key.name, key.expire_at, kind, &mut sink), &key.value);
        } else {
            writer.put(key.db, &key.name, key.expire_at, key.value.as_state(), &mut sink);
        }
    }
    writer.finish(&mut sink);
    bytes
}

fn read_snapshot(bytes: &[u8], header: &Header) -> Vec<Key> {
    let limits = Limits::default();
    let mut reader = Reader::new(bytes).expect("a header");
    assert_eq!(reader.header(), header);
    let mut keys = Vec::new();
    while let Some(put) = reader.next_key(&limits).expect("no damage") {
        let name = put.key.to_vec();
        keys.push(Key { db: put.db, name, expire_at: put.expire_at, value: put.value.into_owned() });
    }
    keys
}

fn assert_same(found: &[Key], expected: &[Key]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let about = |key: &Key| (key.db, key.name.clone(), key.expire_at);
        assert_eq!(about(found), about(expected));
        assert!(same(&found.value, &expected.value), "{expected:?} became {:?}", found.value);
    }
}

const SEGMENT_ID: u64 = 0x0123_4567_89ab_cdef;

fn header(shard: u32) -> Header {
    Header { number: 7, epoch: 41, shard, shards: 2, time: LATER - 1_000_000_000_000 }
}

/// The records of two shards in epoch 42, and of one in epoch 44.
fn sections() -> [Vec<u8>; 3] {
    let (mut first, mut second, mut third) = (Vec::new(), Vec::new(), Vec::new());
    record::put_time(&mut first, LATER);
    for key in every_form().iter().take(6) {
        record::put_state(&mut first, key.db, &key.name, key.expire_at, key.value.as_state());
    }
    record::put_remove(&mut second, 3, b"removed");
    record::put_expire(&mut second, 3, b"expires", Some(LATER));
    record::put_expire(&mut second, 3, b"stays", None);
    record::put_command(&mut second, 3, [&b"APPEND"[..], b"key", b"\x00\xff"].into_iter());
    record::put_flush(&mut third, Some(9));
    record::put_flush(&mut third, None);
    record::put_swap(&mut third, 0, 1);
    [first, second, third]
}

fn log() -> Vec<u8> {
    let sections = sections();
    let mut out = Vec::new();
    frame::write_header(&mut out, &frame::Header { id: SEGMENT_ID, first_epoch: 42 });
    frame::write_frame(&mut out, SEGMENT_ID, 42, 40, 40, &[(0, &sections[0]), (1, &sections[1])]);
    frame::write_frame(&mut out, SEGMENT_ID, 44, 42, 42, &[(1, &sections[2])]);
    out
}

fn manifest(sizes: Vec<u64>) -> Manifest {
    Manifest {
        hash_seed: *b"0123456789abcdef",
        base: Some(Base { number: 7, epoch: 41, bytes: sizes }),
        segments: vec![Segment { number: 8, id: SEGMENT_ID, first_epoch: 42, shards: 2 }],
    }
}

#[test]
fn the_fixture_of_version_1_is_read() {
    let folder = fixture();
    let keys = every_form();
    if std::env::var_os("KV_UPDATE_FIXTURES").is_some() {
        let plain = snapshot(&header(0), Codec::Plain, false, &keys);
        let packed = snapshot(&header(1), Codec::Lz4, true, &keys);
        let manifest = manifest(vec![plain.len() as u64, packed.len() as u64]).to_bytes();
        fs::create_dir_all(&folder).expect("a folder for the fixture");
        let files = [(base_name(7, 0), plain), (base_name(7, 1), packed), (segment_name(8), log())];
        for (name, bytes) in files.into_iter().chain([("manifest.kv".to_owned(), manifest)]) {
            fs::write(folder.join(name), bytes).expect("the fixture can be written");
        }
    }
    let read = |name: String| fs::read(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let files = [read(base_name(7, 0)), read(base_name(7, 1))];
    assert_same(&read_snapshot(&files[0], &header(0)), &keys);
    assert_same(&read_snapshot(&files[1], &header(1)), &keys);
    let sizes = files.iter().map(|file| file.len() as u64).collect();
    assert_eq!(Manifest::from_bytes(&read("manifest.kv".to_owned())), Ok(manifest(sizes)));
    assert_log(&read(segment_name(8)));
}

fn assert_log(bytes: &[u8]) {
    let sections = sections();
    let mut scanner = Scanner::new(bytes).expect("a header");
    assert_eq!(*scanner.header(), frame::Header { id: SEGMENT_ID, first_epoch: 42 });
    let mut found = Vec::new();
    while let Some(frame) = scanner.next_frame().expect("no damage") {
        let shards: Vec<_> = frame.sections().map(|section| (section.shard, section.records.to_vec())).collect();
        found.push((frame.epoch, frame.before, frame.synced, shards));
    }
    assert_eq!(scanner.end(), Some(End::Whole));
    let [first, second, third] = &sections;
    let expected =
        [(42, 40, 40, vec![(0, first.clone()), (1, second.clone())]), (44, 42, 42, vec![(1, third.clone())])];
    assert_eq!(found, expected);
    let limits = Limits::default();
    let records = |section| Records::new(section, 0, &limits).map(|record| record.expect("no damage"));
    let kinds: Vec<_> = [first, second, third].into_iter().flat_map(|section| records(section)).collect();
    assert_eq!(kinds.len(), 1 + 6 + 4 + 3);
    assert_eq!(kinds[0], Record::Time(LATER));
    assert_eq!(kinds[8], Record::Expire { db: 3, key: b"expires", expire_at: Some(LATER) });
    assert_eq!(kinds[13], Record::Swap { a: 0, b: 1 });
}

#[test]
fn python_reads_the_fixture_of_version_1() {
    let Some(python) = python::with("msgpack") else { return };
    for shard in 0..2 {
        let path = fixture().join(base_name(7, shard));
        assert_lines(&read_with_python(python, &path).expect("a whole file"), &every_form());
    }
}

#[test]
fn python_reads_values_of_all_kinds() {
    let Some(python) = python::with("msgpack") else { return };
    let seed = std::env::var("KV_TESTS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("KV_TESTS_SEED={seed}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("random.kvsnap");
    for round in 0..4 {
        let random = &mut Random::new(seed + round);
        let keys: Vec<_> = (0..30)
            .map(|number| {
                let value = random_value(random, &Limits::default());
                Key { db: 0, name: format!("key {number}").into_bytes(), expire_at: None, value }
            })
            .collect();
        let codec = if round.is_multiple_of(2) { Codec::Plain } else { Codec::Lz4 };
        let bytes = snapshot(&header(0), codec, round >= 2, &keys);
        fs::write(&path, &bytes).expect("a file");
        assert_lines(&read_with_python(python, &path).expect("a whole file"), &keys);
        // That it checks what it reads.
        for at in [20, bytes.len() / 2] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 4;
            fs::write(&path, &bytes).expect("a file");
            assert!(read_with_python(python, &path).is_none(), "byte {at} is changed");
        }
    }
}

#[test]
fn libraries_of_functions_come_back_and_python_reads_them() {
    let function =
        Function { name: b"f"[..].into(), description: Some(b"does"[..].into()), flags: FunctionFlags::NO_WRITES };
    let code = "#!lua name=lib\n...";
    let library = Library::new(b"lib", code.as_bytes(), vec![function]).expect("a library");
    let (mut bytes, mut records) = (Vec::new(), Vec::new());
    let mut sink = |piece: Vec<u8>| bytes.extend(piece);
    let mut writer = Writer::new(&header(0), Codec::Plain, &mut sink);
    record::put_library(&mut records, &library);
    writer.add(&records, 0, &mut sink);
    writer.put(3, b"k", None, State::Int(7), &mut sink);
    writer.finish(&mut sink);
    let mut reader = Reader::new(&bytes[..]).expect("a header");
    let limits = Limits::default();
    assert!(reader.next_key(&limits).expect("no damage").is_some_and(|put| put.key == b"k"));
    assert_eq!(reader.take_libraries(), [library]);
    assert!(reader.next_key(&limits).expect("no damage").is_none() && reader.take_libraries().is_empty());
    let Some(python) = python::with("msgpack") else { return };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), &bytes).expect("a file");
    let lines = read_with_python(python, file.path()).expect("a whole file");
    assert_eq!(lines[0], json!({"library": "lib", "code": code, "functions": [["f", "does", 1]]}));
    assert_eq!((lines.len(), &lines[1]["key"]), (2, &json!("k")));
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace").to_owned()
}

fn fixture() -> PathBuf {
    workspace().join("tests/fixtures/format-1")
}

/// What docs/read_snapshot.py prints, or none when it refuses the file.
fn read_with_python(python: &str, file: &Path) -> Option<Vec<Value>> {
    let output = Command::new(python).arg(workspace().join("docs/read_snapshot.py")).arg(file).output();
    let output = output.expect("python runs");
    let parse = |line| serde_json::from_slice(line).expect("a line of JSON");
    let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    output.status.success().then(|| lines.map(parse).collect())
}

fn assert_lines(lines: &[Value], keys: &[Key]) {
    assert_eq!(lines.len(), keys.len());
    for (line, key) in lines.iter().zip(keys) {
        let mut line = line.clone();
        if line["type"] == "set" {
            sort(&mut line["value"]);
        }
        if line["type"] == "zset" {
            let scores = line["value"].as_object_mut().expect("members with scores");
            let parse = |score: &Value| score.as_str().expect("a text").parse().expect("a number");
            scores.values_mut().for_each(|score| *score = score_of(parse(score)));
        }
        assert_eq!(line, json_of(key));
    }
}

fn sort(array: &mut Value) {
    array.as_array_mut().expect("an array").sort_by_key(|element| element.as_str().expect("a text").to_owned());
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn score_of(score: f64) -> Value {
    // Zeros of both signs are the same, and infinities are no JSON.
    if score.is_finite() { json!(score + 0.0) } else { json!(score.to_string()) }
}

/// The line that is to be printed for a key.
fn json_of(key: &Key) -> Value {
    let text = |item: Item<'_>| latin1(&item.to_vec());
    let id = |id: StreamId| [json!(id.ms), json!(id.seq)];
    let (name, value) = match &key.value {
        Loaded::Int(int) => ("string", json!(int.to_string())),
        Loaded::Str(bytes) => ("string", json!(latin1(bytes))),
        Loaded::List(list) => ("list", list.as_ref().iter().map(text).collect()),
        Loaded::Set(set) => {
            let mut members = set.as_ref().iter().map(text).collect();
            sort(&mut members);
            ("set", members)
        }
        Loaded::Hash(hash) => {
            let value = |value, expire_at: Option<u64>| match expire_at {
                Some(at) => json!([text(value), at]),
                None => json!(text(value)),
            };
            let fields = hash.as_ref().fields().map(|(field, item, expire_at)| (text(field), value(item, expire_at)));
            ("hash", Value::Object(fields.collect()))
        }
        Loaded::ZSet(zset) => {
            let members = zset.as_ref().all().map(|(member, score)| (text(member), score_of(score)));
            ("zset", Value::Object(members.collect()))
        }
        Loaded::Stream(stream) => {
            let mut lines = Vec::new();
            for entry in stream.range(StreamId::MIN, StreamId::MAX) {
                let words = entry.pairs().flat_map(|(field, value)| [json!(latin1(field)), json!(latin1(value))]);
                lines.push([json!(0)].into_iter().chain(id(entry.id)).chain(words).collect());
            }
            let ids = [id(stream.last_id()), id(stream.max_deleted_id())].concat();
            lines.push([vec![json!(1)], ids, vec![json!(stream.entries_added())]].concat().into());
            for (name, group) in stream.groups().into_iter().flat_map(|groups| groups.iter()) {
                let [ms, seq] = id(group.last_id);
                lines.push(json!([2, latin1(name), ms, seq, group.entries_read]));
                for consumer in group.each_consumer() {
                    lines.push(json!([3, latin1(consumer.name()), consumer.seen_at, consumer.active_at]));
                    for pending_id in consumer.pending_from(StreamId::MIN) {
                        let pending = group.pending_at(pending_id).expect("it is pending");
                        let [ms, seq] = id(pending_id);
                        lines.push(json!([4, ms, seq, pending.delivered_at, pending.deliveries]));
                    }
                }
            }
            ("stream", Value::Array(lines))
        }
    };
    json!({ "db": key.db, "key": latin1(&key.name), "type": name, "expire_at": key.expire_at, "value": value })
}
