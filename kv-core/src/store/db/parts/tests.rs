use super::*;
use crate::store::{Expire, KeyHasher, StrValue};
use crate::types::{Hash, Limits};
use std::sync::Arc;

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

    /// Sets a field, and lets it expire so many milliseconds after `NOW`.
    fn set(&mut self, key: &str, field: &str, ttl_ms: Option<u64>) {
        let at = ttl_ms.map(|ttl| NOW + ttl);
        let key = self.hasher.key(key.as_bytes());
        let edited = self.db.edit(key, true, NOW, |hash: &mut Hash| {
            hash.set(field.as_bytes(), b"v", NOW, &Limits::default());
            hash.set_expire(field.as_bytes(), at, NOW, &Limits::default());
        });
        assert_eq!(edited, Ok(Some(())));
    }

    /// Lets time pass as a worker does, with a small budget each time; tells what became due, and how often it took.
    fn pass(&mut self, now: UnixMs, budget: usize) -> (Vec<(String, Due)>, usize) {
        let (mut told, mut turns) = (Vec::new(), 0);
        while self.db.next_due().is_some_and(|at| at <= now) {
            self.db.expire_due(now, &mut budget.clone(), &mut |due, entry| {
                told.push((String::from_utf8_lossy(entry.key()).into_owned(), due));
            });
            turns += 1;
            assert!(turns < 10_000, "work without end");
        }
        (told, turns)
    }

    fn fields(&self, key: &str) -> Option<usize> {
        let entry = self.db.peek(self.hasher.key(key.as_bytes()), NOW)?;
        match entry.value() {
            crate::store::Value::Object(Object::Hash(hash)) => Some(hash.len()),
            other => panic!("a hash with TTLs, not {other:?}"),
        }
    }
}

fn told(events: &[(&str, Due)]) -> Vec<(String, Due)> {
    events.iter().map(|&(key, due)| (key.to_string(), due)).collect()
}

#[test]
fn fields_go_at_their_millisecond_and_the_key_with_the_last() {
    let mut f = Fixture::new();
    f.set("h", "a", Some(30));
    f.set("h", "b", Some(10));
    f.set("h", "c", Some(20));
    assert_eq!(f.db.next_due(), Some(NOW + 10), "nothing but a field has a TTL");
    assert_eq!(f.pass(NOW + 9, 100).0, []);
    assert_eq!(f.pass(NOW + 10, 100).0, told(&[("h", Due::Fields)]));
    assert_eq!((f.fields("h"), f.db.next_due()), (Some(2), Some(NOW + 20)));
    assert_eq!(f.pass(NOW + 25, 100).0, told(&[("h", Due::Fields)]));
    assert_eq!(f.pass(NOW + 30, 100).0, told(&[("h", Due::LastFields)]));
    assert_eq!((f.db.len(), f.db.next_due()), (0, None));
}

#[test]
fn many_due_fields_go_in_slices_of_the_budget() {
    let mut f = Fixture::new();
    (0..1_000).for_each(|n| f.set("h", &format!("f{n}"), Some(50)));
    f.set("h", "stays", None);
    let (events, turns) = f.pass(NOW + 50, 100);
    assert!((10..=25).contains(&turns), "{turns} turns");
    assert!(events.len() >= 10 && events.iter().all(|(_, due)| *due == Due::Fields), "{events:?}");
    assert_eq!((f.fields("h"), f.db.next_due()), (Some(1), None));
}

#[test]
fn fields_make_progress_where_keys_take_the_whole_budget() {
    let mut f = Fixture::new();
    (0..PARTS_MIN).for_each(|n| f.set("h", &format!("f{n}"), Some(50)));
    f.set("h", "stays", None);
    let mut budget = 1;
    f.db.expire_due(NOW + 50, &mut budget, &mut |_, _| {});
    assert_eq!((budget, f.fields("h")), (0, Some(1)));
}

#[test]
fn a_ttl_that_moves_is_followed() {
    let mut f = Fixture::new();
    f.set("h", "a", Some(1_000));
    f.set("h", "b", Some(100));
    assert_eq!(f.db.next_due(), Some(NOW + 100), "an earlier one");
    f.set("h", "b", Some(5_000));
    assert_eq!(f.pass(NOW + 999, 100).0, []);
    assert_eq!(f.pass(NOW + 1_000, 100).0, told(&[("h", Due::Fields)]));
    f.set("h", "b", None);
    assert_eq!(f.pass(NOW + 10_000, 100).0, []);
    assert_eq!((f.fields("h"), f.db.next_due()), (Some(1), None));
}

#[test]
fn a_value_is_filed_where_it_goes() {
    let mut f = Fixture::new();
    f.set("h", "a", Some(50));
    f.set("h", "b", None);
    let (h, copy, moved) = (f.hasher.key(b"h"), f.hasher.key(b"copy"), f.hasher.key(b"moved"));
    let mut other = Db::new(Arc::clone(&f.hasher));
    let value = f.db.copy(h, NOW).expect("it is there");
    f.db.insert(copy, value, NOW);
    let value = f.db.take(h, NOW).expect("it is there");
    other.insert(moved, value, NOW);
    assert_eq!(other.next_due(), Some(NOW + 50));
    let mut events = Vec::new();
    other.expire_due(NOW + 50, &mut 100, &mut |due, entry| events.push((entry.key().to_vec(), due)));
    assert_eq!(events, [(b"moved".to_vec(), Due::Fields)]);
    assert_eq!(f.pass(NOW + 50, 100).0, told(&[("copy", Due::Fields)]));
    assert_eq!((other.next_due(), f.db.next_due()), (None, None));
}

#[test]
fn a_key_and_its_fields_expire_apart_from_each_other() {
    let mut f = Fixture::new();
    let key = f.hasher.key(b"h");
    for (field_ttl, key_ttl) in [(10, 20), (20, 10), (10, 10)] {
        f.set("h", "a", Some(field_ttl));
        f.set("h", "b", None);
        assert!(f.db.set_expire(key, Some(NOW + key_ttl), NOW));
        let events = f.pass(NOW + 20, 100).0;
        let fields_first = told(&[("h", Due::Fields), ("h", Due::Key)]);
        if field_ttl < key_ttl && events.len() == 2 {
            assert_eq!(events, fields_first);
        } else {
            assert_eq!(events, told(&[("h", Due::Key)]), "{field_ttl} {key_ttl}");
        }
        assert!(f.db.is_empty());
    }
    f.set("h", "a", Some(10));
    f.db.set_string(key, StrValue::Bytes(b"text"), Expire::Clear, NOW);
    assert_eq!(f.pass(NOW + 20, 100).0, [], "the token of a value that is gone");
    assert_eq!((f.db.len(), f.db.counts.timed), (1, 0));
}

#[test]
fn tokens_that_hashes_need_survive_a_sweep() {
    let mut f = Fixture::new();
    f.set("far", "a", Some(1 << 26));
    f.set("far", "b", None);
    // Each earlier moment leaves a token behind.
    for n in (0..150_000u64).rev() {
        f.set("h", "a", Some(100_000 + n));
    }
    for _ in 0..100 {
        f.db.expire_due(NOW, &mut 10_000, &mut |_, _| panic!("nothing is due"));
    }
    assert!(f.db.timer.bytes() < 1 << 20, "{} bytes of tokens", f.db.timer.bytes());
    assert_eq!(f.pass(NOW + 100_000, 1_000_000).0, told(&[("h", Due::LastFields)]));
    assert_eq!(f.pass(NOW + (1 << 26), 1_000_000).0, told(&[("far", Due::Fields)]));
}
