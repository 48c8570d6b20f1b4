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
        ]
    );
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
