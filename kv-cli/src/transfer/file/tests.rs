use super::*;
use crate::transfer::item::{Consumer, Entry, Field, Group, Id, Pending, Scored, StreamPart, StreamState};

fn bytes(text: &[u8]) -> Bytes {
    Bytes(text.to_vec())
}

fn item(value: Value) -> Item {
    Item { db: 3, key: bytes(b"k\xff\n"), expire_at: Some(u64::MAX), continued: false, more: false, value }
}

fn samples() -> Vec<Item> {
    let scores = [0.0, -0.0, 0.1, 1e300, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, -3.0, 9007199254740993.0];
    let odd = [&b""[..], b"\x00", b"\xff\xfe", b"\r\n\"\\", "grün".as_bytes(), b"{\"base64\":\"x\"}"];
    let id = Id::new(u64::MAX, 1);
    let stream = StreamPart {
        entries: vec![Entry { id: Id::new(0, 1), fields: vec![bytes(b"f"), bytes(b"\xff")] }],
        state: Some(StreamState { last_id: id, entries_added: Some(7), max_deleted_id: None }),
        groups: vec![Group {
            name: bytes(b"g\xff"),
            last_id: Some(id),
            entries_read: None,
            consumers: vec![Consumer {
                name: bytes(b"c"),
                seen_at: Some(1),
                active_at: None,
                pending: vec![Pending { id, delivered_at: 5, deliveries: u64::MAX }],
            }],
        }],
    };
    let mut items: Vec<Item> = odd.iter().map(|text| item(Value::String(bytes(text)))).collect();
    items.extend([
        item(Value::List(odd.iter().map(|text| bytes(text)).collect())),
        item(Value::Set(vec![])),
        item(Value::ZSet(scores.map(|score| Scored { member: bytes(b"\xff"), score }).to_vec())),
        item(Value::Hash(vec![
            Field { name: bytes(b"f"), value: bytes(b"v"), expire_at: None },
            Field { name: bytes(b"\xff"), value: bytes(b""), expire_at: Some(1) },
        ])),
        item(Value::Stream(stream)),
        item(Value::Stream(StreamPart::default())),
        Item { expire_at: None, more: true, db: 0, ..item(Value::List(vec![])) },
        Item { continued: true, ..item(Value::List(vec![])) },
    ]);
    items
}

fn write(format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, format, "test").unwrap();
    let mut keys = 0;
    for item in samples() {
        keys += u64::from(!item.continued);
        writer.item(&item).unwrap();
    }
    assert!(writer.bytes() > 100);
    writer.end(keys).unwrap();
    out
}

fn read(file: &[u8], format: Format) -> Result<Vec<Item>, BadFile> {
    let mut reader = Reader::new(file, format);
    let mut items = Vec::new();
    while let Some((_, item)) = reader.next_item()? {
        items.push(item);
    }
    assert_eq!(reader.bytes(), file.len() as u64);
    Ok(items)
}

fn problem(file: &str) -> String {
    read(file.as_bytes(), Format::Jsonl).unwrap_err().to_string()
}

#[test]
fn items_are_read_as_they_were_written() {
    for format in [Format::Jsonl, Format::Msgpack] {
        let file = write(format);
        assert_eq!(Format::of_first_byte(file[0]), Some(format));
        let items = read(&file, format).unwrap();
        assert_eq!(items, samples());
        // Equality does not tell the zeros apart.
        assert_eq!(format!("{items:?}"), format!("{:?}", samples()));
    }
}

#[test]
fn the_lines_are_as_documented() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Format::Jsonl, "redis 7.0.15").unwrap();
    writer.item(&Item { expire_at: None, db: 0, ..item(Value::String(bytes(b"x"))) }).unwrap();
    writer.end(1).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"kv_export\":1,\"server\":\"redis 7.0.15\"}\n\
         {\"db\":0,\"key\":{\"base64\":\"a/8K\"},\"value\":{\"string\":\"x\"}}\n\
         {\"end\":1}\n"
    );
}

#[test]
fn a_file_made_by_hand_needs_no_header_and_no_end() {
    let file = b"\r\n{ \"value\" : {\"zset\":[[\"m\",1],[\"n\",-2],[\"o\",\"inf\"]]}, \"key\":\"z\" }\r\n\n";
    let [Item { db: 0, key, value: Value::ZSet(members), .. }] = &read(file, Format::Jsonl).unwrap()[..] else {
        panic!("one sorted set");
    };
    assert_eq!(key.0, b"z");
    assert_eq!(members.iter().map(|scored| scored.score).collect::<Vec<_>>(), [1.0, -2.0, f64::INFINITY]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let header = "{\"kv_export\":1}\n";
    assert_eq!(problem(header), "line 2: the file is cut off: its end is missing");
    assert_eq!(problem(&format!("{header}{{\"end\":1}}")), "line 2: the end tells of 1 keys, but there are 0");
    assert_eq!(problem(&format!("{header}{header}")), "line 2: a second header");
    assert_eq!(problem(&format!("{header}{{\"end\":0}}\n{header}")), "line 3: something follows the end");
    assert_eq!(problem("{\"kv_export\":2}\n"), "line 1: version 2 of the format; this kv-cli knows 1");
    assert_eq!(problem("{\"key\":\"k\"}"), "line 1: an item has a key and a value");
    assert_eq!(problem("{}"), "line 1: an item has a key and a value");
    for bad in [
        "{\"key\":\"k\",\"value\":{\"string\":{\"base64\":\"?\"}}}",
        "{\"key\":\"k\",\"value\":{\"string\":{\"hex\":\"00\"}}}",
        "{\"key\":\"k\",\"value\":{\"string\":{}}}",
        "{\"key\":\"k\",\"value\":{\"hash\":[[\"f\"]]}}",
        "{\"key\":\"k\",\"value\":{\"zset\":[[\"m\",\"many\"]]}}",
        "{\"key\":\"k\",\"value\":{\"stream\":{\"entries\":[[\"x\",[]]]}}}",
        "{\"key\":\"k\",\"value\":{\"list\":[]},\"ttl\":5}",
        "{\"key\":\"k\",\"value\":{\"list\":[]},\"expire_at\":-5}",
        "[1]",
        "{",
    ] {
        assert!(problem(bad).starts_with("line 1: "), "{bad}");
    }
    let mut maps = write(Format::Msgpack);
    maps.truncate(maps.len() - 3);
    let offset = read(&maps, Format::Msgpack).unwrap_err().place;
    assert!(matches!(offset, Place::Offset(1000..)), "{offset}");
}

#[test]
fn any_bytes_are_read_or_refused() {
    for format in [Format::Jsonl, Format::Msgpack] {
        let file = write(format);
        for cut in 0..file.len() {
            let _ = read_all(&file[..cut], format);
        }
        for at in 0..file.len() {
            for byte in [0, 0x7f, 0x80, 0xc6, 0xdd, 0xdf, 0xff, file[at] ^ 1, file[at].wrapping_add(1)] {
                let mut bad = file.clone();
                bad[at] = byte;
                let _ = read_all(&bad, format);
            }
        }
    }
}

fn read_all(file: &[u8], format: Format) -> Result<usize, BadFile> {
    let mut reader = Reader::new(file, format);
    let mut items = 0;
    while reader.next_item()?.is_some() {
        items += 1;
    }
    Ok(items)
}
