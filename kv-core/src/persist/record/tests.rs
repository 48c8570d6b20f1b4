use super::*;
use std::borrow::Cow;

fn all(section: &[u8]) -> Vec<Record<'_>> {
    let limits: &'static Limits = Box::leak(Box::default());
    Records::new(section, 0, limits).collect::<Result<_, _>>().expect("whole records")
}

#[test]
fn every_record_comes_back_as_it_was_written() {
    let mut out = Vec::new();
    put_time(&mut out, 1_700_000_000_000);
    put_state(&mut out, 0, b"k", None, State::Str(b"v"));
    put_state(&mut out, 15, b"", Some(7), State::Int(-5));
    put_remove(&mut out, 300, b"gone");
    put_expire(&mut out, 1, b"k", Some(9));
    put_expire(&mut out, 1, b"k", None);
    put_command(&mut out, 2, [&b"APPEND"[..], b"k", b"\0\xff"].into_iter());
    put_flush(&mut out, None);
    put_flush(&mut out, Some(3));
    put_swap(&mut out, 0, 4);
    let function = |name: &[u8], description: Option<&[u8]>, bits| Function {
        name: name.into(),
        description: description.map(Into::into),
        flags: FunctionFlags::from_bits(bits).expect("flags"),
    };
    let functions = vec![function(b"f", None, 0), function(b"G", Some(b"\0"), 31)];
    let library = Library::new(b"lib", b"#!lua name=lib\n", functions).expect("a library");
    put_library(&mut out, &library);
    put_no_library(&mut out, b"lib");
    let records = all(&out);
    let Record::Command { db: 2, words } = &records[6] else { panic!("{:?}", records[6]) };
    assert_eq!(words.clone().collect::<Vec<_>>(), [&b"APPEND"[..], b"k", b"\0\xff"]);
    let text = Loaded::Str(Cow::Borrowed(&b"v"[..]));
    assert_eq!(
        [&records[..6], &records[7..]].concat(),
        [
            Record::Time(1_700_000_000_000),
            Record::Put { db: 0, key: b"k", expire_at: None, value: text },
            Record::Put { db: 15, key: b"", expire_at: Some(7), value: Loaded::Int(-5) },
            Record::Remove { db: 300, key: b"gone" },
            Record::Expire { db: 1, key: b"k", expire_at: Some(9) },
            Record::Expire { db: 1, key: b"k", expire_at: None },
            Record::Flush { db: None },
            Record::Flush { db: Some(3) },
            Record::Swap { a: 0, b: 4 },
            Record::Library(Box::new(library)),
            Record::NoLibrary { name: b"lib" },
        ]
    );
}

#[test]
fn what_is_no_library_is_damage() {
    let limits = Limits::default();
    let damage = |functions: &[u8]| {
        let start = [&[0x94, 10, 0xc4, 1, b'l', 0xc4, 0], functions].concat();
        let error = Records::new(&start, 0, &limits).next().expect("a report").expect_err("damage");
        error.to_string()
    };
    assert_eq!(damage(&[0x90]), "at byte 0: no library: No functions registered");
    assert!(damage(&[0x91, 0x93, 0xc4, 1, b'-', 0xc0, 0]).starts_with("at byte 0: no library: Library names can only"));
    assert_eq!(
        damage(&[0x91, 0x92, 0xc4, 1, b'f', 0xc0]),
        "at byte 8: a function that is not a name, a description and flags"
    );
    assert_eq!(damage(&[0x91, 0x93, 0xc4, 1, b'f', 0xc0, 32]), "at byte 8: a function with flags that there are not");
    assert_eq!(damage(&[0xdd, 0xff, 0xff, 0xff, 0xff]), "at byte 12: the data ends within a record");
}

#[test]
fn records_end_with_the_first_damage() {
    let limits = Limits::default();
    let mut out = Vec::new();
    put_remove(&mut out, 0, b"a");
    let at = out.len() as u64;
    out.push(0xc1);
    put_remove(&mut out, 0, b"b");
    let mut records = Records::new(&out, 1_000, &limits);
    assert_eq!(records.next(), Some(Ok(Record::Remove { db: 0, key: b"a" })));
    assert_eq!(records.next().expect("a report").expect_err("damage").offset, 1_000 + at);
    assert_eq!(records.next(), None);
}
