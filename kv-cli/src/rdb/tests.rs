//! Values in forms that no server of today writes, what stands between keys, and damage. That real dumps are read rightly
//! is tested against the servers that wrote them (`tests/tests/rdb_import.rs`).

use super::*;
use crate::transfer::item::{Field, Item, Scored, Value};
use kv_core::persist::rdb::checksum;

/// Dumps of real servers; `tests/fixtures/README.md` tells how they are made.
const SAMPLES: [&[u8]; 3] = [
    include_bytes!("../../tests/fixtures/redis-6.2.rdb"),
    include_bytes!("../../tests/fixtures/redis-7.0.rdb"),
    include_bytes!("../../tests/fixtures/redis-8.2.rdb"),
];

fn dump(body: &[u8]) -> Vec<u8> {
    let mut all = b"REDIS0012".to_vec();
    all.extend(body);
    all.push(0xff);
    let sum = checksum(&all);
    all.extend(sum.to_le_bytes());
    all
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![0x80];
    all.extend((bytes.len() as u32).to_be_bytes());
    all.extend(bytes);
    all
}

fn read(file: &[u8]) -> Result<(Vec<Item>, LeftOut), Damage> {
    read_all(file).map(|(items, left_out, _)| (items, left_out))
}

/// Also the libraries of functions.
#[allow(clippy::type_complexity)] // it is what there is to be read
fn read_all(file: &[u8]) -> Result<(Vec<Item>, LeftOut, Vec<(u64, Bytes)>), Damage> {
    let mut reader = Reader::new(file)?;
    let (mut items, mut libraries) = (Vec::new(), Vec::new());
    while let Some((_, item)) = reader.next_item()? {
        items.push(item);
        libraries.extend(reader.take_libraries());
    }
    libraries.extend(reader.take_libraries());
    Ok((items, reader.left_out().clone(), libraries))
}

/// The only value in a dump of a key `k` of type `kind`.
fn value(kind: u8, body: &[u8]) -> Result<Value, Damage> {
    let (mut items, _) = read(&dump(&[&[kind, 1, b'k'], body].concat()))?;
    assert_eq!(items.len(), 1);
    let Item { db: 0, continued: false, more: false, expire_at: None, value, key } = items.remove(0) else {
        panic!("one key without expiry");
    };
    assert_eq!(key.0, b"k");
    Ok(value)
}

fn field(name: &str, value: &str, expire_at: Option<u64>) -> Field {
    Field { name: name.as_bytes().into(), value: value.as_bytes().into(), expire_at }
}

fn listpack(elements: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in elements {
        body.push(0x80 | text.len() as u8);
        body.extend(text.as_bytes());
        body.push(text.len() as u8 + 1);
    }
    let total = body.len() as u32 + 7;
    string(&[&total.to_le_bytes()[..], &(elements.len() as u16).to_le_bytes(), &body, &[0xff]].concat())
}

#[test]
fn old_forms_are_read() {
    let plain = [2, 1, b'a', 0xc0, 7];
    let items = vec![Bytes(b"a".to_vec()), Bytes(b"7".to_vec())];
    assert_eq!(value(1, &plain).unwrap(), Value::List(items.clone()));
    assert_eq!(value(2, &plain).unwrap(), Value::Set(items));
    assert_eq!(value(4, &[1, 1, b'f', 1, b'v']).unwrap(), Value::Hash(vec![field("f", "v", None)]));
    let zipmap = string(&[1, 1, b'f', 1, 0, b'v', 0xff]);
    assert_eq!(value(9, &zipmap).unwrap(), Value::Hash(vec![field("f", "v", None)]));
    let scores = value(3, &[3, 1, b'a', 3, b'1', b'.', b'5', 1, b'b', 254, 1, b'c', 255]).unwrap();
    let scored = |member: &str, score| Scored { member: member.as_bytes().into(), score };
    let wanted = vec![scored("a", 1.5), scored("b", f64::INFINITY), scored("c", f64::NEG_INFINITY)];
    assert_eq!(scores, Value::ZSet(wanted));
    assert!(value(3, &[1, 1, b'a', 253]).is_err() && value(3, &[1, 1, b'a', 1, b'x']).is_err());
    assert!(value(5, &[&[1, 1, b'a'][..], &f64::NAN.to_le_bytes()].concat()).is_err());
}

#[test]
fn ttls_of_fields_are_read_in_all_four_forms() {
    let wanted = Value::Hash(vec![field("f", "v", Some(1000)), field("g", "w", None)]);
    // Before their release, moments stood as they are.
    let moment = [0x43, 0xe8];
    assert_eq!(value(22, &[&[2][..], &moment, b"\x01f\x01v\x00\x01g\x01w"].concat()).unwrap(), wanted);
    let triples = listpack(&["f", "v", "1000", "g", "w", "0"]);
    assert_eq!(value(23, &triples).unwrap(), wanted);
    // Since then they count from the least.
    let least = 990u64.to_le_bytes();
    assert_eq!(value(24, &[&least[..], b"\x02\x0b\x01f\x01v\x00\x01g\x01w"].concat()).unwrap(), wanted);
    assert_eq!(value(25, &[&least[..], &triples].concat()).unwrap(), wanted);

    let damage = value(24, &[&u64::MAX.to_le_bytes()[..], b"\x01\x02\x01f\x01v"].concat()).unwrap_err();
    assert_eq!(damage.to_string(), "offset 22, key \"k\": the expiry of a field is out of range");
    assert!(value(23, &listpack(&["f", "v"])).is_err());
    assert!(value(23, &listpack(&["f", "v", "-1"])).is_err());
    assert!(value(16, &listpack(&["f"])).is_err());
}

#[test]
fn what_stands_between_keys_is_understood() {
    let key = |name: u8| [0, 1, name, 1, b'v'];
    let body = [
        &[0xfa, 9][..],
        b"redis-ver\x058.2.3",
        &[0xfe, 3, 0xfb, 2, 1, 244, 1, 2, 3],
        &[0xfd, 100, 0, 0, 0, 0xf8, 5],
        &key(b'a'),
        &[0xfc, 1, 1, 0, 0, 0, 0, 0, 0, 0xf9, 7],
        &key(b'b'),
        // Data of a module, and a value of one, with every kind of part.
        &[247, 0x81, 0, 0, 0, 0, 0, 0, 4, 1, 2, 1, 5, 1, b'x', 0],
        &[7, 1, b'm', 0x81, 0, 0, 0, 0, 0, 0, 4, 1, 1, 9, 2, 9, 3, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0],
        &[245, 1, b'l'],
        &[0xfe, 15],
        &key(b'c'),
        // An empty list, which Redis leaves out as well.
        &[1, 1, b'e', 0],
    ]
    .concat();
    let (items, left_out, libraries) = read_all(&dump(&body)).unwrap();
    let facts: Vec<_> = items.iter().map(|item| (item.db, &item.key.0[..], item.expire_at)).collect();
    assert_eq!(facts, [(3, &b"a"[..], Some(100_000)), (3, b"b", Some(257)), (15, b"c", None)]);
    let place = body.windows(3).position(|bytes| bytes == [245, 1, b'l']).unwrap() + 9;
    assert_eq!(libraries, [(place as u64, Bytes(b"l".to_vec()))]);
    let module = "AAAAAAAAB".to_owned();
    assert_eq!(left_out.module_keys.into_iter().collect::<Vec<_>>(), [(module.clone(), 1)]);
    assert_eq!(left_out.module_data.into_iter().collect::<Vec<_>>(), [(module, 1)]);
}

#[test]
fn damage_is_told_with_its_place() {
    let told = |file: &[u8]| read(file).unwrap_err().to_string();
    assert_eq!(told(b"REDIS"), "offset 0: the file is cut off");
    assert_eq!(told(b"RADIS0009"), "offset 0: not a dump of Redis: it does not begin with REDIS");
    assert_eq!(told(b"REDISabcd"), "offset 0: not a dump of Redis: no version behind REDIS");
    assert!(told(b"REDIS0013").starts_with("offset 0: RDB version 13; versions 1 to 12"));
    assert_eq!(told(b"REDIS0012"), "offset 9: the file is cut off");
    assert_eq!(told(&dump(&[99, 1, b'k'])), "offset 12, key \"k\": a value of the unknown type 99");
    assert_eq!(told(&dump(&[0xfe, 0x81, 1, 0, 0, 0, 0, 0, 0, 0])), "offset 19: database 72057594037927936");
    assert!(told(&dump(&[246])).contains("test versions of Redis 7.0"));
    assert!(told(&dump(&[6, 1, b'k'])).contains("Redis 4.0 test versions"));
    assert!(told(&dump(&[18, 1, b'k', 1, 3, 0])).contains("a node of the unknown form 3"));
    let bad = told(&dump(&[&[16, 1, b'k'][..], &string(b"\x00")].concat()));
    assert_eq!(bad, "offset 12, key \"k\": byte 0 of a packed value: a listpack without its header");

    let mut file = dump(&[0, 1, b'k', 1, b'v']);
    let length = file.len();
    assert_eq!(verify(&file[..], length as u64), Ok(()));
    file[13] ^= 1;
    assert!(told(&file).contains("offset 15: the checksum is ") && verify(&file[..], length as u64).is_err());
    file[length - 8..].fill(0);
    assert_eq!(read(&file).unwrap().0.len(), 1);
    assert_eq!(verify(&file[..], length as u64), Ok(()));
}

#[test]
fn a_large_collection_comes_in_parts() {
    let mut body = vec![2, 1, b'k', 0x80, 0, 0, 0x0f, 0xa1];
    for number in 0..4001u16 {
        body.extend([0xc1, number as u8, (number >> 8) as u8]);
    }
    let (items, _) = read(&dump(&body)).unwrap();
    assert_eq!(items.iter().map(|item| item.value.len()).sum::<usize>(), 4001);
    let marks: Vec<_> = items.iter().map(|item| (item.continued, item.more)).collect();
    assert_eq!(marks, [(false, true), (true, true), (true, true), (true, true), (true, false)]);
}

#[test]
fn entries_with_long_names_of_fields_come_in_parts() {
    // 2,000 entries of 11 bytes, each with a name of 60 KB that stands once.
    const NAME: usize = 60_000;
    const ENTRIES: usize = 2000;
    let mut body = vec![1, 1, 0, 1, 1, 1, 0xf0];
    body.extend((NAME as u32).to_le_bytes());
    body.extend([b'n'; NAME]);
    body.extend([0, 0, 0, 0, 1]);
    for number in 0..ENTRIES as u16 {
        let distance = [0xf1, number as u8, (number >> 8) as u8, 3];
        body.extend([&[2, 1][..], &distance, &[1, 1, 7, 1, 4, 1]].concat());
    }
    let listpack = [&(body.len() as u32 + 7).to_le_bytes()[..], &[0xff, 0xff], &body, &[0xff]].concat();
    let value = [&[15, 1, b'k', 1, 16][..], &[0; 16], &string(&listpack), &[0x40, 200, 5, 5, 0]].concat();
    let file = dump(&value);
    let mut reader = Reader::new(&file[..]).unwrap();
    let (mut entries, mut parts) = (0, 0);
    while let Some((_, item)) = reader.next_item().unwrap() {
        assert!(item.value.size() < 400_000, "{}", item.value.size());
        entries += item.value.len();
        parts += 1;
    }
    assert_eq!((entries, parts > 100), (ENTRIES, true));
}

#[test]
fn kept_dumps_are_whole() {
    for (sample, version) in SAMPLES.iter().zip([9, 10, 12]) {
        assert_eq!(verify(*sample, sample.len() as u64), Ok(()));
        assert_eq!(Reader::new(*sample).unwrap().version(), version);
        assert!(read(sample).unwrap().0.len() > 30);
    }
}

#[test]
fn a_dump_that_is_cut_off_anywhere_is_damaged() {
    for sample in SAMPLES {
        for end in (0..sample.len()).step_by(97).chain(sample.len() - 9..sample.len()) {
            assert!(read(&sample[..end]).is_err(), "{end}");
        }
    }
}

#[test]
fn changed_dumps_do_no_harm() {
    for sample in SAMPLES {
        for seed in 0..500 {
            fuzz_rdb(sample, seed);
        }
    }
}
