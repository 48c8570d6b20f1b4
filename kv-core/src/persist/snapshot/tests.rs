use super::*;
use crate::persist::write_in_parts;
use crate::types::list::End as ListEnd;
use crate::types::stream::{NodeLimits, Pending};
use crate::types::zset::Rule;
use crate::types::{Hash, List, Set, Stream, ZSet};
use std::borrow::Cow;

const HEADER_OF: Header = Header { number: 7, epoch: 41, shard: 1, shards: 2, time: 1_700_000_000_000 };

fn file(codec: Codec, write: impl FnOnce(&mut Writer, &mut dyn FnMut(Vec<u8>))) -> (Vec<u8>, Written) {
    let mut bytes = Vec::new();
    let mut sink = |piece: Vec<u8>| bytes.extend(piece);
    let mut writer = Writer::new(&HEADER_OF, codec, &mut sink);
    write(&mut writer, &mut sink);
    let written = writer.finish(&mut sink);
    assert_eq!(bytes.len() as u64, written.bytes);
    (bytes, written)
}

#[derive(Debug, PartialEq)]
struct Owned {
    db: usize,
    key: Vec<u8>,
    expire_at: Option<u64>,
    value: Loaded<'static>,
}

fn owned(put: Put<'_>) -> Owned {
    Owned { db: put.db, key: put.key.to_vec(), expire_at: put.expire_at, value: put.value.into_owned() }
}

/// The keys of a file up to its end or to damage.
fn read(bytes: &[u8]) -> (Vec<Owned>, Result<(), ReadError>) {
    let limits = Limits::default();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Err(error)),
    };
    assert_eq!(*reader.header(), HEADER_OF);
    let mut keys = Vec::new();
    loop {
        match reader.next_key(&limits) {
            Ok(Some(put)) => keys.push(owned(put)),
            Ok(None) => {
                assert_eq!((reader.keys(), reader.bytes()), (keys.len() as u64, bytes.len() as u64));
                assert!(reader.next_key(&limits).expect("nothing more to go wrong").is_none());
                return (keys, Ok(()));
            }
            Err(error) => return (keys, Err(error)),
        }
    }
}

fn small_file(codec: Codec) -> Vec<u8> {
    let limits = Limits::default();
    let mut list = List::new();
    (0..5).for_each(|i| list.push(ListEnd::Tail, format!("item {i}").as_bytes(), &limits));
    file(codec, |writer, mut sink| {
        writer.put(0, b"text", None, State::Str(b"some text some text some text"), &mut sink);
        writer.put(0, b"int", Some(1_800_000_000_000), State::Int(-77), &mut sink);
        writer.put(3, b"list", None, State::List(list.as_ref()), &mut sink);
        let mut hash = writer.begin(3, b"hash", Some(5), Kind::Hash, &mut sink);
        hash.hash_field(b"f", b"v", None);
        hash.hash_field(b"g", b"w", Some(1_800_000_000_001));
        hash.end();
        let mut text = writer.begin(0, b"in parts", None, Kind::Str, &mut sink);
        text.string(b"one ");
        text.string(b"two");
        text.end();
    })
    .0
}

#[test]
fn keys_come_back_in_order() {
    for codec in [Codec::Plain, Codec::Lz4] {
        let (keys, end) = read(&small_file(codec));
        end.expect("a whole file");
        let names: Vec<_> = keys.iter().map(|key| (key.db, &key.key[..], key.expire_at)).collect();
        let expiry = Some(1_800_000_000_000);
        assert_eq!(
            names,
            [
                (0, &b"text"[..], None),
                (0, b"int", expiry),
                (3, b"list", None),
                (3, b"hash", Some(5)),
                (0, b"in parts", None)
            ]
        );
        assert_eq!(keys[4].value, Loaded::Str(Cow::Borrowed(b"one two")));
        let Loaded::Hash(hash) = &keys[3].value else { panic!("no hash") };
        assert_eq!(hash.as_ref().expire_at(b"g", 0), Some(Some(1_800_000_000_001)));
        assert_eq!(hash.as_ref().expire_at(b"f", 0), Some(None));
    }
}

#[test]
fn a_file_without_keys_is_whole() {
    let (bytes, written) = file(Codec::Lz4, |_, _| {});
    assert_eq!(written, Written { keys: 0, bytes: (HEADER + BLOCK_HEAD + FOOTER) as u64 });
    let (keys, end) = read(&bytes);
    end.expect("a whole file");
    assert!(keys.is_empty());
}

#[test]
fn a_file_that_is_cut_or_changed_anywhere_is_damaged_and_tells_no_wrong_key() {
    for codec in [Codec::Plain, Codec::Lz4] {
        let bytes = small_file(codec);
        let (whole, _) = read(&bytes);
        for len in 0..bytes.len() {
            let (keys, end) = read(&bytes[..len]);
            assert!(matches!(end, Err(ReadError::Damage(_))), "cut at {len}");
            assert_eq!(keys, whole[..keys.len()], "cut at {len}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                let (keys, end) = read(&bytes);
                assert!(matches!(end, Err(ReadError::Damage(_))), "byte {at} bit {bit}");
                assert_eq!(keys, whole[..keys.len()], "byte {at} bit {bit}");
            }
        }
        assert!(read(&[&bytes[..], b"x"].concat()).1.is_err());
    }
}

#[test]
fn blocks_that_are_missing_doubled_or_exchanged_are_damage() {
    let mut pieces = Vec::new();
    let mut sink = |piece| pieces.push(piece);
    let mut writer = Writer::new(&HEADER_OF, Codec::Plain, &mut sink);
    for i in 0..3 {
        writer.put(0, format!("k{i}").as_bytes(), None, State::Str(&vec![b'a' + i; BLOCK_BYTES]), &mut sink);
    }
    writer.finish(&mut sink);
    assert_eq!(pieces.len(), 5, "the header, three blocks, the footer");
    let of = |order: &[usize]| order.iter().flat_map(|&at| pieces[at].clone()).collect::<Vec<u8>>();
    read(&of(&[0, 1, 2, 3, 4])).1.expect("a whole file");
    for order in [&[0, 1, 3, 4][..], &[0, 1, 2, 2, 3, 4], &[0, 2, 1, 3, 4], &[0, 1, 2, 4], &[0, 4], &[0, 1, 2, 3]] {
        assert!(read(&of(order)).1.is_err(), "{order:?}");
    }
}

fn large_values(limits: &Limits) -> Vec<(Kind, Loaded<'static>)> {
    let (mut list, mut set, mut hash, mut zset) = (List::new(), Set::new(), Hash::new(), ZSet::new());
    let mut stream = Box::new(Stream::new());
    for i in 0..20_000u64 {
        let text = format!("element {i}").into_bytes();
        list.push(ListEnd::Tail, &text, limits);
        set.add(&text, limits);
        let ttl = if i % 5 == 0 { crate::types::hash::Ttl::At(i + 1) } else { crate::types::hash::Ttl::Clear };
        hash.set_with(&text, &text, ttl, 0, limits);
        zset.add(&text, (i % 100) as f64 / 3.0, Rule::default(), limits).expect("a number");
        let pair = [(&b"field"[..], &text[..])];
        let limits = NodeLimits { bytes: 4096, entries: 100 };
        stream.append(StreamId::new(i + 1, i), 1, 5 + text.len(), pair.into_iter(), limits);
    }
    stream.create_group(b"group", StreamId::new(5, 0), Some(5));
    stream.create_group(b"second", StreamId::MIN, None);
    stream.edit_group(b"group", |group, _| {
        let consumers = [b"a", b"b"].map(|name| group.create(name, 12).expect("it is new"));
        group.consumer_mut(consumers[0]).active_at = Some(13);
        for i in 0..9_000 {
            let consumer = consumers[i as usize % 2];
            group.set_pending(StreamId::new(i + 1, i), Pending { consumer, delivered_at: i, deliveries: 1 + i % 3 });
        }
    });
    stream.delete(StreamId::new(3, 2));
    let text = (0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    vec![
        (Kind::List, Loaded::List(list)),
        (Kind::Set, Loaded::Set(set)),
        (Kind::Hash, Loaded::Hash(hash)),
        (Kind::ZSet, Loaded::ZSet(zset)),
        (Kind::Stream, Loaded::Stream(stream)),
        (Kind::Str, Loaded::Str(Cow::Owned(text))),
    ]
}

fn written_stream(stream: &Stream) -> Vec<u8> {
    stream.check();
    let mut out = Vec::new();
    value::write(&mut out, State::Stream(stream));
    out
}

#[test]
fn large_values_come_back_from_parts_and_no_piece_is_large() {
    let limits = Limits::default();
    let values = large_values(&limits);
    for codec in [Codec::Plain, Codec::Lz4] {
        let mut largest = 0;
        let mut bytes = Vec::new();
        let mut sink = |piece: Vec<u8>| {
            largest = largest.max(piece.len());
            bytes.extend(piece);
        };
        let mut writer = Writer::new(&HEADER_OF, codec, &mut sink);
        for (kind, value) in &values {
            write_in_parts(writer.begin(1, b"large", Some(99), *kind, &mut sink), value);
        }
        assert_eq!(writer.finish(&mut sink).keys, values.len() as u64);
        assert!(largest < 2 * BLOCK_BYTES + 1_000, "a piece of {largest} bytes");
        let (keys, end) = read(&bytes);
        end.expect("a whole file");
        let expected = values.iter().map(|(_, value)| Owned {
            db: 1,
            key: b"large".to_vec(),
            expire_at: Some(99),
            value: value.clone(),
        });
        for (found, expected) in keys.iter().zip(expected) {
            if let (Loaded::Stream(found), Loaded::Stream(expected)) = (&found.value, &expected.value) {
                // Its deleted entry has left no trace but in the counters.
                assert!(written_stream(found) == written_stream(expected), "a stream that differs");
                continue;
            }
            assert!(*found == expected, "a {:?} that differs", std::mem::discriminant(&expected.value));
        }
        assert_eq!(keys.len(), values.len());
    }
}

#[test]
fn a_value_whose_parts_do_not_belong_together_is_damage() {
    type Write = dyn Fn(&mut Vec<u8>);
    let broken: [&Write; 8] = [
        &|out| record::put_end(out),
        &|out| record::put_part(out),
        &|out| record::put_begin(out, 0, b"k", Kind::Hash, None),
        &|out| {
            record::put_begin(out, 0, b"k", Kind::Hash, None);
            record::put_end(out);
        },
        &|out| {
            record::put_begin(out, 0, b"k", Kind::Str, None);
            record::put_begin(out, 0, b"k", Kind::Str, None);
        },
        &|out| {
            record::put_begin(out, 0, b"k", Kind::Str, None);
            record::put_state(out, 0, b"k", None, State::Int(1));
        },
        &|out| {
            record::put_begin(out, 0, b"k", Kind::Stream, None);
            record::put_end(out);
        },
        &|out| {
            record::put_begin(out, 0, b"k", Kind::Set, None);
            for _ in 0..2 {
                record::put_part(out);
                let at = value::begin_counted(out, Kind::Set);
                value::set_member(out, b"twice");
                value::set_count(out, at, 1);
            }
            record::put_end(out);
        },
    ];
    for (at, write) in broken.iter().enumerate() {
        let mut records = Vec::new();
        write(&mut records);
        let (bytes, _) = file(Codec::Plain, |writer, mut sink| writer.add(&records, 1, &mut sink));
        let (keys, end) = read(&bytes);
        assert!(keys.is_empty() && matches!(end, Err(ReadError::Damage(_))), "case {at}: {end:?}");
    }
}

#[test]
fn records_that_belong_to_the_log_are_damage() {
    let mut records = Vec::new();
    record::put_remove(&mut records, 0, b"k");
    let (bytes, _) = file(Codec::Plain, |writer, mut sink| writer.add(&records, 0, &mut sink));
    assert!(read(&bytes).1.is_err());
}

#[test]
fn a_block_that_says_it_becomes_huge_is_refused() {
    let mut bytes = file(Codec::Lz4, |_, _| {}).0;
    bytes.truncate(HEADER);
    let crc = u32_at(&bytes, HEADER - 4);
    let payload = block::compress(&[0; 1_000]);
    let mut head = [0; BLOCK_CRC_AT];
    head[..8].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    head[16] = Codec::Lz4 as u8;
    for raw in [999, 1_001, 1 << 24, 1 << 25, u64::MAX] {
        head[8..16].copy_from_slice(&raw.to_le_bytes());
        let crc = crc32c_append(crc32c_append(crc, &head), &payload);
        let bytes = [&bytes, &head[..], &crc.to_le_bytes(), &payload].concat();
        let Err(ReadError::Damage(damage)) = read(&bytes).1 else { panic!("{raw} bytes are believed") };
        assert_eq!(damage.offset, HEADER as u64, "{damage}");
    }
}
