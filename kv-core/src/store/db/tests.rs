use super::*;
use crate::store::Form;

const NOW: UnixMs = 1_700_000_000_000;

struct Fixture {
    db: Db,
    hasher: Arc<KeyHasher>,
}

impl Fixture {
    fn new() -> Fixture {
        let hasher = Arc::new(KeyHasher::new([3; 16]));
        Fixture { db: Db::new(Arc::clone(&hasher)), hasher }
    }

    fn set(&mut self, key: &str, value: &str, expire: Expire) -> Old {
        let key = self.hasher.key(key.as_bytes());
        self.db.set_string(key, StrValue::Bytes(value.as_bytes()), expire, NOW)
    }

    /// The value of a key as text, with its encoding.
    fn get(&mut self, key: &str, now: UnixMs) -> Option<(String, &'static str)> {
        let key = self.hasher.key(key.as_bytes());
        let entry = self.db.get(key, now)?;
        Some(match entry.value() {
            Value::Int(n) => (n.to_string(), "int"),
            Value::Bytes(text) => {
                (String::from_utf8_lossy(text).into(), if entry.is_raw() { "raw bytes" } else { "bytes" })
            }
            Value::Object(Object::Str(text)) => (String::from_utf8_lossy(text).into(), "object"),
            Value::Packed(..) | Value::Object(_) => panic!("a string was stored"),
        })
    }

    fn expire_due(&mut self, now: UnixMs, mut budget: usize) -> Vec<String> {
        let mut expired = Vec::new();
        self.db.expire_due(now, &mut budget, &mut |_, entry| {
            expired.push(String::from_utf8_lossy(entry.key()).into_owned());
        });
        expired
    }
}

/// How many seeds the random tests run: `KV_SEEDS`, or a number that keeps the tests short.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    0..std::env::var("KV_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[test]
fn two_databases_agree_with_maps_under_random_operations() {
    for seed in seeds(if cfg!(miri) { 2 } else { 60 }) {
        println!("seed {seed}");
        fuzz_db(seed);
    }
}

#[test]
fn strings_are_kept_as_integers_bytes_or_objects() {
    let mut f = Fixture::new();
    for (value, encoding) in [
        ("", "bytes"),
        ("0", "int"),
        ("-1", "int"),
        ("9223372036854775807", "int"),
        ("-9223372036854775808", "int"),
        ("9223372036854775808", "bytes"),
        ("-9223372036854775809", "bytes"),
        ("007", "bytes"),
        ("-0", "bytes"),
        ("+1", "bytes"),
        ("1 ", "bytes"),
        (&"v".repeat(EMBED_MAX), "bytes"),
        (&"v".repeat(EMBED_MAX + 1), "object"),
    ] {
        f.set("k", value, Expire::Clear);
        assert_eq!(f.get("k", NOW), Some((value.to_string(), encoding)));
        let key = f.hasher.key(b"k");
        f.db.set_string(key, StrValue::Owned(value.into()), Expire::Clear, NOW);
        assert_eq!(f.get("k", NOW), Some((value.to_string(), encoding)));
    }
}

#[test]
fn a_changed_string_does_not_become_an_integer_again_until_it_is_set() {
    let mut f = Fixture::new();
    f.set("k", "12", Expire::At(NOW + 100));
    let key = f.hasher.key(b"k");
    f.db.edit_string(key, NOW, |text| text.push(b'3'));
    assert_eq!(f.get("k", NOW), Some(("123".into(), "raw bytes")));
    assert_eq!(f.db.expire_at(key, NOW), Some(Some(NOW + 100)), "the expiry stays");
    f.db.edit_string(key, NOW, |text| text.resize(EMBED_MAX + 1, b'x'));
    assert_eq!(f.get("k", NOW).map(|(_, encoding)| encoding), Some("object"));
    f.set("k", "123", Expire::Clear);
    assert_eq!(f.get("k", NOW), Some(("123".into(), "int")));
    f.db.set_int(key, 5, NOW);
    assert_eq!(f.get("k", NOW), Some(("5".into(), "int")));
}

#[test]
fn appending_moves_each_byte_a_few_times_only() {
    let mut f = Fixture::new();
    let key = f.hasher.key(b"k");
    let (mut moved, mut capacity) = (0, 0);
    let steps = if cfg!(miri) { 500 } else { 100_000 };
    for _ in 0..steps {
        f.db.edit_string(key, NOW, |text| {
            if text.len() <= EMBED_MAX {
                moved += text.len().min(16); // embedded: bounded by the limit, not by the length
            } else if text.capacity() != capacity {
                moved += text.len();
            }
            capacity = text.capacity();
            text.extend_from_slice(b"0123456789");
        });
    }
    assert_eq!(f.get("k", NOW).map(|(text, _)| text.len()), Some(10 * steps));
    assert!(moved < 50 * steps, "{moved}");
}

#[test]
fn a_due_key_is_invisible_from_its_millisecond_on_and_reported_once() {
    let mut f = Fixture::new();
    f.set("k", "v", Expire::At(NOW + 10));
    let key = f.hasher.key(b"k");
    assert!(f.db.peek(key, NOW + 9).is_some() && f.db.peek(key, NOW + 10).is_none());
    assert!(f.get("k", NOW + 9).is_some());
    assert_eq!((f.db.len(), f.db.ttl_keys()), (1, 1));
    assert_eq!(f.get("k", NOW + 10), None);
    assert_eq!((f.db.len(), f.db.ttl_keys()), (0, 0));
    let mut told = Vec::new();
    assert_eq!(f.db.take_expired(|entry| told.push(entry.key().to_vec())), 1);
    assert_eq!(told, [b"k"]);
    assert_eq!(f.db.take_expired(|_| panic!("told before")), 0);
    assert_eq!(f.expire_due(NOW + 1000, 1000), [""; 0]);
}

#[test]
fn untouched_keys_are_removed_in_their_millisecond_within_the_budget() {
    let mut f = Fixture::new();
    for at in 0..100 {
        f.set(&format!("k{at:02}"), "v", Expire::At(NOW + 1 + at / 10));
    }
    f.set("stays", "v", Expire::Clear);
    for ms in 1..=10 {
        assert!(f.db.next_due().is_some_and(|due| due <= NOW + ms));
        let first = f.expire_due(NOW + ms, 4);
        assert!(first.len() <= 4);
        let mut all: Vec<_> = first.into_iter().chain(f.expire_due(NOW + ms, 100)).collect();
        all.sort();
        assert_eq!(all, (0..10).map(|i| format!("k{:02}", (ms - 1) * 10 + i)).collect::<Vec<_>>());
    }
    assert_eq!((f.db.len(), f.db.ttl_keys()), (1, 0));
}

#[test]
fn a_deadline_that_only_moves_later_adds_no_token() {
    let mut f = Fixture::new();
    let key = f.hasher.key(b"k");
    f.set("k", "v", Expire::At(NOW + 10));
    let bytes = f.db.bytes();
    for later in 1..10_000 {
        assert!(f.db.set_expire(key, Some(NOW + 10 + later), NOW));
    }
    assert_eq!(f.db.bytes(), bytes);
    assert_eq!(f.expire_due(NOW + 10_008, usize::MAX), [""; 0]);
    assert_eq!(f.expire_due(NOW + 10_009, usize::MAX), ["k"]);
}

#[test]
fn a_deadline_that_moves_earlier_or_away_and_back_is_kept() {
    let mut f = Fixture::new();
    let key = f.hasher.key(b"k");
    f.set("k", "v", Expire::At(NOW + 1_000_000));
    assert!(f.db.set_expire(key, Some(NOW + 5), NOW));
    assert!(f.db.set_expire(key, None, NOW));
    assert_eq!((f.expire_due(NOW + 6, usize::MAX), f.db.ttl_keys()), (vec![], 0));
    assert!(f.db.set_expire(key, Some(NOW + 9), NOW + 6));
    assert_eq!(f.expire_due(NOW + 8, usize::MAX), [""; 0]);
    assert_eq!(f.expire_due(NOW + 9, usize::MAX), ["k"]);
    assert!(!f.db.set_expire(key, Some(NOW + 99), NOW + 9), "no such key");
}

#[test]
fn a_deadline_years_ahead_is_met_to_the_millisecond() {
    let mut f = Fixture::new();
    let at = NOW + 40 * 365 * 86_400_000 + 7;
    f.set("k", "v", Expire::At(at));
    let mut now = NOW;
    let mut wakes = 0;
    while let Some(due) = f.db.next_due().filter(|&due| due < at) {
        now = now.max(due);
        assert_eq!(f.expire_due(now, usize::MAX), [""; 0]);
        wakes += 1;
        assert!(wakes < 100, "woken again and again");
    }
    assert_eq!(f.expire_due(at - 1, usize::MAX), [""; 0]);
    assert_eq!(f.expire_due(at, usize::MAX), ["k"]);
}

#[test]
fn tokens_of_keys_that_are_gone_are_swept_away() {
    let mut f = Fixture::new();
    let keys = if cfg!(miri) { 200 } else { 150_000 };
    for i in 0..keys {
        f.set(&format!("k{i}"), "v", Expire::At(NOW + 1_000_000_000 + i));
    }
    let full = f.db.timer.bytes();
    for i in 10..keys {
        assert!(f.db.remove(f.hasher.key(format!("k{i}").as_bytes()), NOW));
    }
    let mut calls = 0;
    while f.db.next_due() == Some(0) {
        f.expire_due(NOW + 1, 1000);
        calls += 1;
        assert!(calls < 10_000, "a sweep without end");
    }
    if !cfg!(miri) {
        assert!(f.db.timer.bytes() < full / 2, "{} of {full}", f.db.timer.bytes());
    }
    // Those in use were kept.
    assert_eq!(f.expire_due(NOW + 1_000_000_004, usize::MAX).len(), 5);
    assert_eq!(f.expire_due(NOW + 2_000_000_000, usize::MAX).len(), 5);
}

#[test]
fn keys_whose_tokens_are_equal_expire_each_in_its_time() {
    // Two keys with the same low 32 bits of the hash, found by trying.
    let mut f = Fixture::new();
    let mut seen = std::collections::HashMap::new();
    let pairs = (0..400_000u32).filter_map(|i| {
        let token = f.hasher.hash(format!("k{i}").as_bytes()) as u32;
        seen.insert(token, i).map(|other| (other, i))
    });
    let pairs: Vec<_> = pairs.collect();
    assert!(!pairs.is_empty());
    for &(a, b) in &pairs {
        f.set(&format!("k{a}"), "v", Expire::At(NOW + 10));
        f.set(&format!("k{b}"), "v", Expire::At(NOW + 20));
    }
    assert_eq!(f.expire_due(NOW + 10, usize::MAX).len(), pairs.len());
    assert_eq!(f.expire_due(NOW + 19, usize::MAX).len(), 0);
    assert_eq!(f.expire_due(NOW + 20, usize::MAX).len(), pairs.len());
}

#[test]
fn a_clock_set_back_neither_loses_a_key_nor_delays_it() {
    let mut f = Fixture::new();
    f.set("early", "v", Expire::At(NOW + 100));
    f.set("late", "v", Expire::At(NOW + 100_000));
    assert_eq!(f.expire_due(NOW + 50, usize::MAX), [""; 0]);
    // A minute back; a key is set before the wheel has heard of it.
    let back = NOW - 60_000;
    let key = f.hasher.key(b"new");
    f.db.set_string(key, StrValue::Bytes(b"v"), Expire::At(back + 10), back);
    assert_eq!(f.expire_due(back + 9, usize::MAX), [""; 0]);
    assert_eq!(f.expire_due(back + 10, usize::MAX), ["new"]);
    assert_eq!(f.expire_due(NOW + 99, usize::MAX), [""; 0]);
    assert_eq!(f.expire_due(NOW + 100, usize::MAX), ["early"]);
    assert_eq!(f.expire_due(NOW + 100_000, usize::MAX), ["late"]);
}

#[test]
fn big_values_are_left_to_the_background() {
    let mut f = Fixture::new();
    let big = "x".repeat(GARBAGE_MIN);
    let garbage = |f: &mut Fixture| {
        let mut all = Vec::new();
        f.db.take_garbage(&mut all);
        all.len()
    };
    f.set("k", &big, Expire::Clear);
    f.set("k", &big, Expire::Clear);
    assert_eq!(garbage(&mut f), 1, "overwritten by another big one");
    f.set("k", "small", Expire::Clear);
    assert_eq!(garbage(&mut f), 1, "overwritten by a small one");
    f.set("k", "smaller", Expire::Clear);
    assert_eq!(garbage(&mut f), 0);
    f.set("k", &big, Expire::At(NOW + 5));
    assert!(f.db.remove(f.hasher.key(b"k"), NOW));
    assert_eq!(garbage(&mut f), 1, "removed");
    f.set("k", &big, Expire::At(NOW + 5));
    assert_eq!(f.expire_due(NOW + 5, usize::MAX), ["k"]);
    assert_eq!(garbage(&mut f), 1, "expired");
    f.set("k", &big, Expire::At(NOW + 9));
    assert_eq!(f.get("k", NOW + 9), None);
    f.db.take_expired(|_| {});
    assert_eq!(garbage(&mut f), 1, "found expired");
    assert_eq!(f.db.counts.bytes, 0);
}

#[test]
fn the_bytes_of_a_database_follow_its_content() {
    let mut f = Fixture::new();
    assert_eq!(f.db.bytes(), 0, "an empty one costs nothing");
    let keys = if cfg!(miri) { 50 } else { 10_000 };
    for i in 0..keys {
        f.set(&format!("key:{i:012}"), &"v".repeat(32), Expire::Clear);
    }
    assert_eq!(f.db.counts.bytes, 56 * keys);
    assert_eq!(f.db.bytes(), f.db.counts.bytes + f.db.table.bytes());
    let old = f.db.take_all();
    assert_eq!((old.len(), f.db.len(), f.db.bytes()), (keys, 0, 0));
}

#[test]
fn what_was_found_expired_is_told_even_if_the_database_is_emptied_meanwhile() {
    let mut f = Fixture::new();
    let big = "x".repeat(GARBAGE_MIN);
    for (key, value) in [("small", "v"), ("big", &big)] {
        f.set(key, value, Expire::At(NOW + 5));
        assert_eq!(f.get(key, NOW + 5), None);
    }
    drop(f.db.take_all());
    let mut told = Vec::new();
    f.db.take_expired(|entry| told.push((entry.key().to_vec(), entry.bytes() >= GARBAGE_MIN)));
    assert_eq!(told, [(b"small".to_vec(), false), (b"big".to_vec(), true)]);
    assert_eq!(f.db.heap.blocks(), 0);
    let mut garbage = Vec::new();
    f.db.take_garbage(&mut garbage);
    assert_eq!(garbage.len(), 1);
}

#[test]
fn a_database_that_is_dropped_gives_all_its_blocks_back() {
    let mut f = Fixture::new();
    let long = "k".repeat(3_000);
    for key in ["a", "b", "due", &long] {
        f.set(key, &"x".repeat(1 + key.len() * 700), Expire::At(NOW + key.len() as u64));
    }
    assert_eq!(f.get("due", NOW + 3), None);
    let Db { table, heap, expired, .. } = &mut f.db;
    assert_eq!((heap.blocks(), table.len(), expired.len()), (3, 3, 1), "a long key has a block of its own");
    f.db.give_back();
    assert_eq!((f.db.heap.blocks(), f.db.table.len(), f.db.expired.len()), (0, 0, 0));
}

#[test]
fn a_use_marks_the_second_and_a_look_does_not() {
    let mut f = Fixture::new();
    f.set("k", "v", Expire::Clear);
    let key = f.hasher.key(b"k");
    let at = |f: &Fixture| f.db.peek(key, NOW).expect("it is there").access();
    assert_eq!(at(&f), access_at(NOW));
    f.db.peek(key, NOW + 5_000);
    assert_eq!(at(&f), access_at(NOW));
    f.get("k", NOW + 5_000);
    assert_eq!(at(&f), access_at(NOW + 5_000));
}

#[test]
fn a_database_moves_between_threads() {
    let mut f = Fixture::new();
    f.set("k", &"x".repeat(5_000), Expire::At(NOW + 1));
    let db = f.db.take_all();
    let len = std::thread::spawn(move || db.len()).join().expect("the thread ends well");
    assert_eq!(len, 1);
}

/// The least that is a collection: one byte an element, and a string as its object.
#[derive(Default, Debug, PartialEq)]
struct Bag(Vec<u8>);

impl Collection for Bag {
    type Ref<'a> = &'a [u8];

    fn view(value: Value<'_>) -> Option<&[u8]> {
        match value {
            Value::Packed(Form::Set, bytes) => Some(bytes),
            Value::Object(Object::Str(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn of(_: &mut Object) -> Option<&mut Bag> {
        None
    }

    fn from_packed(form: Form, bytes: Vec<u8>) -> Result<Bag, Vec<u8>> {
        if form == Form::Set { Ok(Bag(bytes)) } else { Err(bytes) }
    }

    fn into_packed(self) -> Result<(Form, Vec<u8>), Bag> {
        Ok((Form::Set, self.0))
    }

    fn into_object(self) -> Object {
        Object::Str(self.0.into())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[test]
fn a_collection_is_made_changed_in_its_entry_and_gone_when_empty() {
    let mut f = Fixture::new();
    let hasher = Arc::clone(&f.hasher);
    let key = hasher.key(b"bag");
    assert_eq!(f.db.edit(key, false, NOW, |_: &mut Bag| ()), Ok(None));
    assert_eq!(f.db.edit(key, true, NOW, |_: &mut Bag| 7), Ok(Some(7)), "an empty one is not stored");
    assert!(f.db.is_empty());
    for len in 1..=EMBED_MAX {
        assert_eq!(f.db.edit(key, true, NOW, |bag: &mut Bag| bag.0.push(len as u8)), Ok(Some(())));
        if len == 100 {
            assert!(f.db.set_expire(key, Some(NOW + 1000), NOW));
        }
        let entry = f.db.peek(key, NOW).unwrap();
        assert_eq!(Bag::view(entry.value()).map(<[u8]>::len), Some(len));
        assert_eq!(f.db.counts.bytes, entry.bytes());
    }
    assert_eq!(f.db.expire_at(key, NOW), Some(Some(NOW + 1000)));
    let half = |bag: &mut Bag| bag.0.truncate(EMBED_MAX / 2);
    assert_eq!(f.db.edit(key, false, NOW, half), Ok(Some(())));
    assert_eq!(f.db.expire_at(key, NOW), Some(Some(NOW + 1000)));
    // Due: as if it were not there, and what is made in its place has no expiry.
    assert_eq!(f.db.edit(key, false, NOW + 1000, |_: &mut Bag| ()), Ok(None));
    assert_eq!(f.db.edit(key, true, NOW + 1000, |bag: &mut Bag| bag.0.push(1)), Ok(Some(())));
    assert_eq!((f.db.expire_at(key, NOW + 1000), f.db.take_expired(|_| ())), (Some(None), 1));
    assert_eq!(f.db.edit(key, false, NOW, |bag: &mut Bag| bag.0.clear()), Ok(Some(())));
    assert_eq!((f.db.len(), f.db.counts.bytes, f.db.ttl_keys()), (0, 0, 0));
}

#[test]
fn a_collection_too_long_for_its_entry_becomes_an_object() {
    let mut f = Fixture::new();
    let hasher = Arc::clone(&f.hasher);
    let key = hasher.key(b"bag");
    for len in [EMBED_MAX, EMBED_MAX + 1, 100_000, 3] {
        assert_eq!(f.db.store(key, Bag(vec![1; len]), Expire::Clear, NOW), Old { existed: len != EMBED_MAX });
        let entry = f.db.peek(key, NOW).unwrap();
        assert_eq!(matches!(entry.value(), Value::Object(_)), len > EMBED_MAX, "{len}");
        assert_eq!(Bag::view(entry.value()), Some(&vec![1; len][..]));
        assert_eq!(f.db.counts.bytes, entry.bytes());
    }
    assert_eq!(f.db.store(key, Bag::default(), Expire::Clear, NOW), Old { existed: true });
    assert_eq!((f.db.len(), f.db.counts.bytes, f.db.garbage.len()), (0, 0, 1));
}

#[test]
fn a_collection_of_another_type_is_left_alone() {
    let mut f = Fixture::new();
    let hasher = Arc::clone(&f.hasher);
    let key = hasher.key(b"k");
    let edit = |f: &mut Fixture| f.db.edit(key, true, NOW, |_: &mut Bag| -> () { panic!("not to be called") });
    for value in ["12", "text", &"long".repeat(EMBED_MAX)] {
        f.db.set_string(key, StrValue::Bytes(value.as_bytes()), Expire::Clear, NOW);
        let before = f.db.peek(key, NOW).unwrap().to_value();
        assert_eq!(edit(&mut f), Err(WrongType));
        assert_eq!(f.db.peek(key, NOW).unwrap().to_value(), before);
    }
    f.db.put(key, NewValue::Packed(Form::Hash, b"hash"), false, Expire::Clear, NOW);
    assert_eq!(edit(&mut f), Err(WrongType));
    assert_eq!(f.db.peek(key, NOW).unwrap().value(), Value::Packed(Form::Hash, b"hash"));
}
