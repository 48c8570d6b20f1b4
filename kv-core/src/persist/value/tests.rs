use super::*;
use crate::types::zset::Rule;

fn round<'a>(bytes: &'a mut Vec<u8>, state: State<'_>) -> Loaded<'a> {
    bytes.clear();
    write(bytes, state);
    let mut input = Reader::new(bytes, 0);
    let loaded = read(&mut input, &Limits::default()).expect("what was written");
    input.end().expect("nothing behind it");
    loaded
}

#[test]
fn strings_come_back_and_are_borrowed() {
    let mut bytes = Vec::new();
    for len in [0, 1, 31, 32, 255, 256, 65_535, 65_536, 200_000] {
        let text = vec![0xA5; len];
        let loaded = round(&mut bytes, State::Str(&text));
        assert!(matches!(&loaded, Loaded::Str(Cow::Borrowed(found)) if **found == text), "{len} bytes");
    }
    for int in [0, 1, -1, 127, 128, -32, -33, -129, 1 << 31, -(1 << 31), i64::MAX, i64::MIN] {
        assert_eq!(round(&mut bytes, State::Int(int)), Loaded::Int(int));
    }
}

#[test]
fn collections_of_every_size_come_back_in_the_form_they_ask_for() {
    let limits = Limits::default();
    let mut bytes = Vec::new();
    for count in [1, 2, 15, 16, 100, 128, 129, 512, 513, 3_000] {
        for wide in [false, true] {
            let text = |i: usize| match wide {
                true => format!("{i:070}").into_bytes(),
                false if i.is_multiple_of(2) => i.to_string().into_bytes(),
                false => format!("e{i}").into_bytes(),
            };
            let (mut list, mut set, mut hash) = (List::new(), Set::new(), Hash::new());
            let (mut ints, mut timed, mut zset) = (Set::new(), Hash::new(), ZSet::new());
            for i in 0..count {
                list.push(End::Tail, &text(i), &limits);
                set.add(&text(i), &limits);
                ints.add((i as i64 - 700).to_string().as_bytes(), &limits);
                hash.set(&text(i), &text(i + 1), 0, &limits);
                let ttl = if i % 3 == 0 { Ttl::At(5_000 + i as u64) } else { Ttl::Clear };
                timed.set_with(&text(i), &text(i + 1), ttl, 0, &limits);
                let score = [i as f64, 0.1 * i as f64, -0.0, f64::INFINITY, f64::NEG_INFINITY, 1e300][i % 6];
                zset.add(&text(i), score, Rule::default(), &limits).expect("a number");
            }
            let encoding = |set: &Set| set.as_ref().encoding();
            assert_eq!(round(&mut bytes, State::List(list.as_ref())), Loaded::List(list));
            let Loaded::Set(again) = round(&mut bytes, State::Set(set.as_ref())) else { panic!("no set") };
            assert_eq!((&again, encoding(&again)), (&set, encoding(&set)));
            let Loaded::Set(again) = round(&mut bytes, State::Set(ints.as_ref())) else { panic!("no set") };
            assert_eq!((&again, encoding(&again)), (&ints, encoding(&ints)));
            for hash in [hash, timed] {
                let Loaded::Hash(again) = round(&mut bytes, State::Hash(hash.as_ref())) else { panic!("no hash") };
                assert_eq!((&again, again.as_ref().encoding()), (&hash, hash.as_ref().encoding()));
            }
            let Loaded::ZSet(again) = round(&mut bytes, State::ZSet(zset.as_ref())) else { panic!("no zset") };
            assert_eq!((&again, again.as_ref().encoding()), (&zset, zset.as_ref().encoding()));
        }
    }
}

/// What is said of bytes that are no value.
fn refused(bytes: &[u8]) -> String {
    let mut input = Reader::new(bytes, 0);
    match read(&mut input, &Limits::default()) {
        Ok(value) => panic!("{bytes:02x?} are taken for {value:?}"),
        Err(damage) => damage.what,
    }
}

/// An array of a type and what `write` writes behind it.
fn collection(kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&mut out, kind);
    write(&mut out);
    out
}

fn pairs(kind: Kind, elements: &[&[u8]]) -> Vec<u8> {
    collection(kind, |out| {
        put_map(out, elements.len());
        elements.iter().for_each(|element| {
            put_bytes(out, element);
            put_int(out, 1);
        });
    })
}

#[test]
fn what_a_type_would_refuse_is_damage() {
    type Put = fn(&mut Vec<u8>, usize);
    let nothing: [(Kind, Put); 4] =
        [(Kind::List, put_array), (Kind::Set, put_array), (Kind::Hash, put_map), (Kind::ZSet, put_map)];
    for (kind, put) in nothing {
        assert!(refused(&collection(kind, |out| put(out, 0))).contains("without elements"), "{kind:?}");
    }
    // In every form: the integer and its text, few and many, long ones.
    let long = [b'x'; 100];
    let many: Vec<Vec<u8>> = (0..1_000).map(|i| format!("e{}", i % 999).into_bytes()).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    for twice in [&[&b"a"[..], b"b", b"a"][..], &[b"5", b"5"], &[&long, &long], &many] {
        assert_eq!(refused(&pairs(Kind::Hash, twice)), TWICE);
        assert_eq!(refused(&pairs(Kind::ZSet, twice)), TWICE);
        let set = collection(Kind::Set, |out| {
            put_array(out, twice.len());
            twice.iter().for_each(|member| put_bytes(out, member));
        });
        assert_eq!(refused(&set), TWICE);
    }
    let int_and_text = collection(Kind::Set, |out| {
        put_array(out, 2);
        put_int(out, 5);
        put_bytes(out, b"5");
    });
    assert_eq!(refused(&int_and_text), TWICE);
    // The same member with two scores, which are in order.
    let scores = collection(Kind::ZSet, |out| {
        put_map(out, 2);
        zset_member(out, b"m", 1.0);
        zset_member(out, b"m", 2.0);
    });
    assert_eq!(refused(&scores), TWICE);
    let score = |write: &dyn Fn(&mut Vec<u8>)| {
        collection(Kind::ZSet, |out| {
            put_map(out, 1);
            put_bytes(out, b"m");
            write(out);
        })
    };
    assert!(refused(&score(&|out| put_f64(out, f64::NAN))).contains("not a number"));
    for too_large in [i64::MAX, i64::MIN, (1 << 53) + 1, -(1 << 53) - 1] {
        assert!(refused(&score(&|out| put_int(out, too_large))).contains("no double"));
    }
    let late = collection(Kind::Hash, |out| {
        put_map(out, 1);
        hash_field(out, b"f", b"v", Some(MOMENT_MAX + 1));
    });
    assert!(refused(&late).contains("too large"));
}

fn entry(out: &mut Vec<u8>, id: (u64, u64), words: usize) {
    begin_line(out, 3 + words, LINE_ENTRY);
    put_id(out, StreamId::new(id.0, id.1));
    (0..words).for_each(|_| put_bytes(out, b"w"));
}

fn state(out: &mut Vec<u8>, last: (u64, u64)) {
    stream_state(out, StreamId::new(last.0, last.1), StreamId::MIN, 9);
}

fn group(out: &mut Vec<u8>, name: &[u8]) {
    begin_line(out, 5, LINE_GROUP);
    put_bytes(out, name);
    put_id(out, StreamId::MIN);
    put_optional(out, None);
}

fn consumer(out: &mut Vec<u8>, name: &[u8]) {
    begin_line(out, 4, LINE_CONSUMER);
    put_bytes(out, name);
    put_uint(out, 5);
    put_optional(out, None);
}

#[test]
fn lines_of_a_stream_that_are_not_in_order_are_damage() {
    type Line<'a> = &'a dyn Fn(&mut Vec<u8>);
    let stream = |lines: &[Line<'_>]| {
        collection(Kind::Stream, |out| {
            put_array(out, lines.len());
            lines.iter().for_each(|line| line(out));
        })
    };
    let (one, two): (Line, Line) = (&|out| entry(out, (1, 1), 2), &|out| entry(out, (2, 0), 4));
    let (end, other_end): (Line, Line) = (&|out| state(out, (2, 0)), &|out| state(out, (2, 0)));
    let (a, b): (Line, Line) = (&|out| group(out, b"a"), &|out| group(out, b"b"));
    let (c, d): (Line, Line) = (&|out| consumer(out, b"c"), &|out| consumer(out, b"d"));
    let pending: Line = &|out| stream_pending(out, StreamId::new(1, 1), 5, 1);
    let good = stream(&[one, two, end, a, c, pending, d, b, c, pending]);
    let Ok(Loaded::Stream(read)) = read(&mut Reader::new(&good, 0), &Limits::default()) else { panic!("no stream") };
    read.check();
    assert_eq!((read.len(), read.entries_added(), read.groups().map_or(0, stream::Groups::len)), (2, 9, 2));

    let wrong: [(&[Line], &str); 17] = [
        (&[], "without its last id"),
        (&[one, two], "without its last id"),
        (&[two, one, end], "behind entry"),
        (&[one, one, end], "behind entry"),
        (&[&|out| entry(out, (0, 0), 2), end], "behind entry"),
        (&[&|out| entry(out, (1, 1), 0), end], "does not belong"),
        (&[&|out| entry(out, (1, 1), 3), end], "does not belong"),
        (&[one, &|out| state(out, (1, 0))], "as the last id"),
        (&[one, end, other_end], "does not belong"),
        (&[end, one], "does not belong"),
        (&[a, end], "does not belong"),
        (&[end, a, a], "a group that comes twice"),
        (&[end, c], "without a group"),
        (&[end, a, c, c], "a consumer that comes twice"),
        (&[end, a, pending], "without a consumer"),
        (&[end, a, c, b, pending], "without a consumer"),
        (&[end, a, c, pending, d, pending], "pending twice"),
    ];
    for (lines, what) in wrong {
        let said = refused(&stream(lines));
        assert!(said.contains(what), "{said} and not {what}");
    }
}

#[test]
fn what_does_not_begin_a_value_is_refused() {
    // Nil, false, true, a 32-bit float, a str of each size, an extension, the unused byte, a map, arrays of other lengths, a
    // type that is a string, one that there is not, an unsigned integer that is too large.
    let starts: [&[u8]; 17] = [
        &[0xc0],
        &[0xc2],
        &[0xc3],
        &[0xca, 0, 0, 0, 0],
        &[0xa1, b'x'],
        &[0xd9, 1, b'x'],
        &[0xdb, 0, 0, 0, 1, b'x'],
        &[0xd4, 0, 0],
        &[0xc1],
        &[0x81, 1, 1],
        &[0x91, 1],
        &[0x93, 1, 0x91, 1, 1],
        &[0x92, 0, 0x91, 1],
        &[0x92, 6, 0x91, 1],
        &[0x92, 0xc0, 0x91, 1],
        &[0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0],
        &[],
    ];
    starts.into_iter().for_each(|bytes| drop(refused(bytes)));
}

#[test]
fn announced_lengths_and_nesting_take_neither_memory_nor_stack() {
    let announce: [&[u8]; 7] = [
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0x92, 1, 0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0x92, 2, 0xdd, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x92, 3, 0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2],
        &[0x92, 4, 0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2],
        &[0x92, 5, 0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0x92, 5, 0x91, 0xdd, 0xff, 0xff, 0xff, 0xff, 0, 1, 1],
    ];
    announce.into_iter().for_each(|bytes| drop(refused(bytes)));
    for nested in [0x91, 0x92, 0x81] {
        refused(&vec![nested; 1 << 20]);
        refused(&[&[0x92, 1], &*vec![nested; 1 << 20]].concat());
    }
}

#[test]
fn a_value_that_is_cut_anywhere_is_refused() {
    let limits = Limits::default();
    let random = &mut crate::structs::random::Random::new(5);
    for _ in 0..60 {
        let value = crate::persist::random_value(random, &limits);
        let mut bytes = Vec::new();
        write(&mut bytes, value.as_state());
        let step = 1 + bytes.len() / 300;
        for len in (0..bytes.len()).step_by(step) {
            assert!(read(&mut Reader::new(&bytes[..len], 0), &limits).is_err(), "{value:?} cut at {len}");
        }
    }
}
