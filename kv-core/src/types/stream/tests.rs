//! What a stream does, and what it costs.

use super::*;

const LIMITS: NodeLimits = NodeLimits { bytes: 4096, entries: 100 };

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId::new(ms, seq)
}

/// A stream of entries 1-0, 2-0, ... with one field.
fn counted(len: u64) -> Stream {
    let mut stream = Stream::new();
    (1..=len).for_each(|ms| stream.append(id(ms, 0), 1, 10, [(&b"field"[..], &b"value"[..])].into_iter(), LIMITS));
    stream
}

fn ids(entries: Entries<'_>) -> Vec<u64> {
    entries.map(|entry| entry.id.ms).collect()
}

#[test]
fn random_calls_agree_with_plain_maps() {
    for seed in 0..300 {
        fuzz_stream(seed);
    }
}

#[test]
fn ids_are_read_and_written_as_two_numbers() {
    assert_eq!(StreamId::parse(b"12-34", 9), Some(id(12, 34)));
    assert_eq!(StreamId::parse(b"12", 9), Some(id(12, 9)));
    assert_eq!(StreamId::parse(b"007-01", 9), Some(id(7, 1)));
    assert_eq!(StreamId::parse(b"18446744073709551615-18446744073709551615", 0), Some(StreamId::MAX));
    for bad in ["", "-", "1-", "-1", "1-2-3", "a", "1-a", "+1", " 1", "1 ", "18446744073709551616", "1--1", "1\0"] {
        assert_eq!(StreamId::parse(bad.as_bytes(), 0), None, "{bad:?}");
    }
    assert_eq!(StreamId::parse_open(b"5-*"), Some(5));
    assert_eq!((StreamId::parse_open(b"5"), StreamId::parse_open(b"-*")), (None, None));
    let mut buffer = [0; ID_TEXT_MAX];
    assert_eq!(StreamId::MAX.text(&mut buffer), b"18446744073709551615-18446744073709551615");
    assert_eq!(id(0, 10).text(&mut buffer), b"0-10");
    assert_eq!(id(0, 10).to_string(), "0-10");
}

#[test]
fn ids_have_neighbours_but_for_the_ends() {
    assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
    assert_eq!(id(2, 0).prev(), Some(id(1, u64::MAX)));
    assert_eq!((StreamId::MIN.prev(), StreamId::MAX.next()), (None, None));
}

#[test]
fn a_new_id_is_above_the_last_or_none() {
    let mut stream = Stream::new();
    assert_eq!(stream.next_id(NewId::At(0), 5), Some(id(0, 1)), "0-0 is no id of an entry");
    assert_eq!(stream.next_id(NewId::Exactly(StreamId::MIN), 5), None);
    assert_eq!(stream.next_id(NewId::Auto, 5), Some(id(5, 0)));
    stream.set_last_id(id(7, u64::MAX));
    assert_eq!(stream.next_id(NewId::Auto, 5), Some(id(8, 0)), "the clock may be behind");
    assert_eq!((stream.next_id(NewId::At(7), 5), stream.next_id(NewId::At(6), 5)), (None, None));
    stream.set_last_id(StreamId::MAX);
    assert_eq!(stream.next_id(NewId::Auto, u64::MAX), None);
}

#[test]
fn entries_share_the_fields_of_their_nodes_first() {
    let (mut same, mut own) = (counted(1), counted(1));
    for ms in 2..=100 {
        same.append(id(ms, 0), 1, 10, [(&b"field"[..], &b"value"[..])].into_iter(), LIMITS);
        own.append(id(ms, 0), 1, 10, [(&b"fielD"[..], &b"value"[..])].into_iter(), LIMITS);
    }
    let fields = |stream: &Stream| {
        let last = stream.range(StreamId::MIN, StreamId::MAX).next_back().expect("not empty");
        last.pairs().map(|(field, _)| field.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!((fields(&same), fields(&own)), (vec![b"field".to_vec()], vec![b"fielD".to_vec()]));
    assert!(own.bytes() >= same.bytes() + 600, "{} and {} bytes", own.bytes(), same.bytes());
}

#[test]
fn a_small_stream_is_small_and_a_long_one_has_no_slack() {
    assert!(counted(1).bytes() <= 300, "{} bytes", counted(1).bytes());
    // Two bytes of id, six of value, four of slot; a hundredth of a node and its fields.
    let long = counted(100_000);
    assert!(long.bytes() <= 100_000 * 15, "{} bytes", long.bytes());
    assert_eq!(long.nodes(), 1_000);
}

#[test]
fn a_node_that_is_more_dead_than_alive_gives_its_bytes_back() {
    let mut stream = counted(1_000);
    let before = stream.bytes();
    (1..=1_000).filter(|ms| ms % 10 != 0).for_each(|ms| assert!(stream.delete(id(ms, 0))));
    assert_eq!((stream.len(), stream.nodes()), (100, 10));
    assert!(stream.bytes() < before / 2, "{} of {before} bytes", stream.bytes());
    assert_eq!(ids(stream.range(id(15, 0), id(45, 0))), [20, 30, 40]);
    stream.check();
}

#[test]
fn an_id_below_deleted_ones_can_be_the_last_and_is_built_upon() {
    let mut stream = counted(10);
    (6..=10).for_each(|ms| assert!(stream.delete(id(ms, 0))));
    stream.set_last_id(id(5, 7));
    stream.append(id(6, 0), 1, 6, [(&b"a"[..], &b"value"[..])].into_iter(), LIMITS);
    stream.append(id(7, 0), 1, 6, [(&b"a"[..], &b"value"[..])].into_iter(), LIMITS);
    stream.check();
    assert_eq!(ids(stream.range(id(5, 1), id(6, 9))), [6]);
    assert!(stream.delete(id(6, 0)) && stream.get(id(7, 0)).is_some());
}

#[test]
fn an_entry_with_long_fields_keeps_them_for_itself() {
    let long = vec![b'f'; 600 << 10];
    let none = NodeLimits { bytes: 0, entries: 0 };
    let mut stream = Stream::new();
    for ms in 1..=2 {
        let pairs = [(&long[..], &b"a"[..]), (&long[..], &b"b"[..])];
        stream.append(id(ms, 0), 2, 2 * long.len() + 2, pairs.into_iter(), none);
    }
    stream.append(id(3, 0), 1, 6, [(&b"field"[..], &b"c"[..])].into_iter(), none);
    stream.check();
    assert_eq!(stream.nodes(), 1);
    let values = |ms| stream.get(id(ms, 0)).expect("it was added").pairs().collect::<Vec<_>>();
    assert_eq!(values(2), [(&long[..], &b"a"[..]), (&long[..], &b"b"[..])]);
    assert_eq!(values(3), [(&b"field"[..], &b"c"[..])]);
    // Its first entry begins where an offset can tell, however long fields are.
    assert!(stream.bytes() > 4 * long.len());
}

#[test]
fn trimming_to_a_length_keeps_the_newest() {
    let exact = Trim { to: TrimTo::MaxLen(150), approximate: false, limit: 0 };
    let mut stream = counted(1_000);
    assert_eq!(stream.trim(exact), 850);
    assert_eq!((stream.len(), stream.first_id(), stream.nodes()), (150, id(851, 0), 2));
    assert_eq!(stream.trim(exact), 0);
    // Whole nodes only.
    let mut stream = counted(1_000);
    assert_eq!(stream.trim(Trim { approximate: true, ..exact }), 800);
    assert_eq!((stream.len(), stream.first_id()), (200, id(801, 0)));
    // And no more than the limit.
    let mut stream = counted(1_000);
    assert_eq!(stream.trim(Trim { approximate: true, limit: 299, ..exact }), 200);
    // Everything.
    assert_eq!(stream.trim(Trim { to: TrimTo::MaxLen(0), ..exact }), 800);
    assert_eq!((stream.len(), stream.first_id(), stream.last_id()), (0, StreamId::MIN, id(1_000, 0)));
    assert_eq!((stream.entries_added(), stream.max_deleted_id()), (1_000, StreamId::MIN));
    stream.check();
}

#[test]
fn trimming_by_id_keeps_what_is_not_below() {
    let exact = Trim { to: TrimTo::MinId(id(351, 0)), approximate: false, limit: 0 };
    let mut stream = counted(1_000);
    assert_eq!(stream.trim(Trim { approximate: true, ..exact }), 300);
    assert_eq!(stream.trim(exact), 50);
    assert_eq!(stream.first_id(), id(351, 0));
    assert_eq!(stream.trim(Trim { to: TrimTo::MinId(StreamId::MAX), ..exact }), 650);
    assert!(stream.bytes() <= 256, "{} bytes of an emptied stream", stream.bytes());
}

#[test]
fn a_group_tells_how_far_behind_it_is_unless_deletions_hide_it() {
    let mut stream = counted(5);
    stream.create_group(b"g", StreamId::MIN, None);
    let lag = |stream: &Stream| stream.lag(stream.group(b"g").expect("it is there"));
    let read = |stream: &mut Stream, ms| {
        stream.edit_group(b"g", |group, log| {
            log.count_read(group, id(ms, 0));
            group.entries_read
        })
    };
    assert_eq!(lag(&stream), Some(5));
    assert_eq!(read(&mut stream, 1), Some(Some(1)));
    assert_eq!(read(&mut stream, 2), Some(Some(2)));
    assert_eq!(lag(&stream), Some(3));
    stream.delete(id(4, 0));
    assert_eq!(lag(&stream), None, "it would be two, but nobody counts");
    assert_eq!(read(&mut stream, 3), Some(None));
    assert_eq!(read(&mut stream, 5), Some(Some(5)), "who is at the end has read all");
    assert_eq!(lag(&stream), Some(0));
    stream.append(id(6, 0), 1, 2, [(&b"f"[..], &b"v"[..])].into_iter(), LIMITS);
    assert_eq!((lag(&stream), read(&mut stream, 6)), (Some(1), Some(Some(6))));
}

#[test]
fn pending_entries_belong_to_one_consumer_at_a_time() {
    let mut stream = counted(3);
    stream.create_group(b"g", StreamId::MIN, None);
    stream.edit_group(b"g", |group, _| {
        let (one, made) = group.seen(b"one", 10);
        assert!(made);
        let (two, _) = group.seen(b"two", 10);
        group.deliver(id(1, 0), one, 10);
        group.deliver(id(2, 0), one, 10);
        group.deliver(id(2, 0), two, 20);
        assert_eq!((group.consumer(one).pending(), group.consumer(two).pending()), (1, 1));
        assert_eq!(group.delete(b"one"), Some(1));
        assert_eq!((group.pending(), group.consumers(), group.delete(b"one")), (1, 1, None));
        // The place of a consumer that is gone is taken by the next one.
        let (three, _) = group.seen(b"three", 30);
        assert_eq!((three, group.consumer(three).pending()), (one, 0));
        assert_eq!(group.each_consumer().map(Consumer::name).collect::<Vec<_>>(), [&b"three"[..], b"two"]);
        assert!(group.acknowledge(id(2, 0)) && !group.acknowledge(id(2, 0)));
    });
    stream.check();
}

#[test]
fn places_of_consumers_that_are_gone_are_taken_again() {
    let mut groups = Groups::default();
    assert!(groups.create(b"g", StreamId::MIN, None));
    groups.edit(b"g", |group| {
        let [a, b, c] = [b"a", b"b", b"c"].map(|name| group.create(name, 1).expect("a new name"));
        assert_eq!((group.delete(b"a"), group.delete(b"b")), (Some(0), Some(0)));
        let [d, e, f] = [b"d", b"e", b"f"].map(|name| group.create(name, 2).expect("a new name"));
        assert_eq!((d, e), (b, a));
        assert!(f != c && group.find(b"c") == Some(c));
        assert_eq!(group.each_consumer().map(Consumer::name).collect::<Vec<_>>(), [b"c", b"d", b"e", b"f"]);
    });
    groups.check();
}
