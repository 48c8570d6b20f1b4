use super::*;
use crate::structs::random::Random;

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static HEAP: RefCell<Heap> = const { RefCell::new(Heap::new()) };
}

/// An entry of the test's heap, which finds its way home.
struct Own(Option<Entry>);

impl Own {
    fn new(key: &[u8], value: NewValue<'_>, expire_at: Option<UnixMs>, traits: Traits) -> Own {
        Own(Some(HEAP.with_borrow_mut(|heap| Entry::new(heap, key, value, expire_at, traits))))
    }

    fn moved_to(&mut self, expire_at: Option<UnixMs>) -> Own {
        Own(Some(HEAP.with_borrow_mut(|heap| self.as_mut().moved_to(heap, expire_at))))
    }

    fn into_value(mut self) -> Owned {
        HEAP.with_borrow_mut(|heap| self.0.take().expect("taken at the end only").into_value(heap))
    }
}

impl Deref for Own {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        self.0.as_ref().expect("taken at the end only")
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut Entry {
        self.0.as_mut().expect("taken at the end only")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            HEAP.with_borrow_mut(|heap| entry.free(heap));
        }
    }
}

fn entry(key: &[u8], value: NewValue<'_>, expire_at: Option<UnixMs>) -> Own {
    Own::new(key, value, expire_at, Traits::default())
}

fn long(len: usize) -> NewValue<'static> {
    NewValue::Object(Box::new(Object::Str(vec![b'x'; len].into())))
}

#[test]
fn small_entries_fill_their_blocks_without_waste() {
    let key = b"key:000000000001";
    assert_eq!(entry(key, NewValue::Bytes(&[b'v'; 32]), None).as_ref().alloc_bytes(), 56);
    assert_eq!(entry(key, NewValue::Bytes(&[b'v'; 256]), None).as_ref().alloc_bytes(), 280);
    assert_eq!(entry(key, NewValue::Bytes(&[b'v'; 32]), Some(7)).as_ref().alloc_bytes(), 64);
    assert_eq!(entry(key, NewValue::Int(10_000_000), None).as_ref().alloc_bytes(), 32);
    assert_eq!(entry(key, long(5000), None).as_ref().alloc_bytes(), 32);
}

/// A value with a life of its own.
fn copy_of(value: Value<'_>) -> (u8, Vec<u8>) {
    match value {
        Value::Int(n) => (0, n.to_le_bytes().to_vec()),
        Value::Bytes(text) => (1, text.to_vec()),
        Value::Object(Object::Str(text)) => (2, text.to_vec()),
        Value::Packed(form, bytes) => (3 + form as u8, bytes.to_vec()),
        Value::Object(_) => unreachable!("strings and packed values are stored here"),
    }
}

/// All that can be seen of an entry: key, value, expiry, the rest, memory.
type Seen = (Vec<u8>, (u8, Vec<u8>), Option<UnixMs>, Traits, usize);

fn seen(entry: EntryRef<'_>) -> Seen {
    (entry.key().to_vec(), copy_of(entry.value()), entry.expire_at(), entry.traits(), entry.bytes())
}

#[test]
fn an_entry_gives_back_what_it_was_made_of() {
    let keys = if cfg!(miri) { vec![0, 255, 256] } else { vec![0, 1, 7, 16, 254, 255, 256, 257, 70_000] };
    let values = if cfg!(miri) { vec![0, 1, 1024] } else { vec![0, 1, 8, 44, 255, 256, 1023, 1024] };
    for key in keys {
        let key = vec![b'k'; key];
        for expire_at in [None, Some(0), Some(1_700_000_000_000), Some(UnixMs::MAX)] {
            for traits in
                [Traits::default(), Traits { deferred: true, raw: true, access: 0xff_ffff, stamp: Stamp::ALL[3] }]
            {
                for &len in &values {
                    let value = vec![b'v'; len];
                    let entry = Own::new(&key, NewValue::Bytes(&value), expire_at, traits);
                    assert_eq!(entry.as_ref().key(), key);
                    assert_eq!(entry.as_ref().value(), Value::Bytes(&value));
                    assert_eq!(entry.as_ref().expire_at(), expire_at);
                    assert_eq!(entry.as_ref().traits(), traits);
                    assert_eq!(entry.as_ref().to_value().view(), entry.as_ref().value());
                }
                for n in [0, -1, i64::MIN, i64::MAX] {
                    let entry = Own::new(&key, NewValue::Int(n), expire_at, traits);
                    assert_eq!((entry.as_ref().value(), entry.as_ref().key()), (Value::Int(n), &key[..]));
                    assert_eq!(entry.as_ref().to_value().view(), entry.as_ref().value());
                }
                let entry = Own::new(&key, long(3000), expire_at, traits);
                assert_eq!(entry.as_ref().value(), Value::Object(&Object::Str(vec![b'x'; 3000].into())));
                assert_eq!(entry.as_ref().key(), key);
                assert_eq!(entry.as_ref().to_value().view(), entry.as_ref().value());
            }
        }
    }
}

#[test]
fn an_entry_is_due_from_its_millisecond_on() {
    let entry = entry(b"k", NewValue::Int(1), Some(1000));
    assert!(!entry.as_ref().is_due(999));
    assert!(entry.as_ref().is_due(1000) && entry.as_ref().is_due(1001));
}

#[test]
fn a_value_changes_in_place_exactly_if_the_block_keeps_its_size() {
    let mut random = Random::new(11);
    for round in 0..if cfg!(miri) { 100 } else { 20_000 } {
        let key_len = [3, 16, 30, 255, 256][random.index(5)];
        let key = random.bytes_of(b"abc", key_len);
        let mut pick = || {
            let len = random.index(140);
            let text = random.bytes_of(b"xyz", len);
            let expire_at = random.one_in(2).then(|| random.next_u64());
            let stamp = Stamp::ALL[random.index(4)];
            let traits = Traits { deferred: false, raw: random.one_in(2), access: random.below(1 << 24) as u32, stamp };
            (random.below(4), text, expire_at, traits)
        };
        let ((kind, text, expire_at, traits), (kind2, text2, expire_at2, traits2)) = (pick(), pick());
        let mut entry = Own::new(&key, value(kind, &text), expire_at, traits);
        let want = Own::new(&key, value(kind2, &text2), expire_at2, traits2);
        let (before, block) = (seen(entry.as_ref()), entry.block);
        let fits = entry.as_ref().alloc_bytes() == want.as_ref().alloc_bytes();
        match entry.as_mut().rewrite(value(kind2, &text2), expire_at2, traits2) {
            Ok(replaced) => {
                assert!(fits, "round {round}");
                assert_eq!(replaced.is_some(), kind == 3);
                assert_eq!((seen(entry.as_ref()), entry.block), (seen(want.as_ref()), block), "round {round}");
            }
            Err(back) => {
                assert!(!fits, "round {round}");
                assert_eq!(back.kind(), value(kind2, &text2).kind());
                assert_eq!(seen(entry.as_ref()), before, "round {round}");
            }
        }
        // The same for the expiry alone, which moves key and value.
        let (before, traits) = (copy_of(entry.as_ref().value()), entry.as_ref().traits());
        let was = entry.as_ref().expire_at();
        let expiry = |entry: &mut Own, at: Option<UnixMs>| {
            let done = entry.as_mut().try_set_expiry(at);
            let want = if done { at } else { entry.as_ref().expire_at() };
            assert_eq!(entry.as_ref().expire_at(), want);
            assert_eq!((entry.as_ref().key(), entry.as_ref().traits()), (&key[..], traits));
            assert_eq!(copy_of(entry.as_ref().value()), before);
            done
        };
        if !expiry(&mut entry, expire_at) {
            let moved = entry.moved_to(expire_at);
            assert_eq!((moved.as_ref().key(), moved.as_ref().expire_at()), (&key[..], expire_at));
            assert_eq!(copy_of(moved.as_ref().value()), before);
            assert_ne!(moved.as_ref().alloc_bytes(), entry.as_ref().alloc_bytes());
            entry = moved;
        }
        if was.is_some() {
            expiry(&mut entry, Some(5));
        }
    }
}

fn value(kind: u64, text: &[u8]) -> NewValue<'_> {
    match kind {
        0 => NewValue::Int(text.len() as i64),
        1 => NewValue::Bytes(text),
        2 => NewValue::Packed(Form::ALL[text.len() % Form::ALL.len()], text),
        _ => NewValue::Object(Box::new(Object::Str(text.to_vec().into()))),
    }
}

#[test]
fn a_value_leaves_its_entry_with_its_object() {
    for value in [NewValue::Int(5), NewValue::Bytes(b"text"), NewValue::Packed(Form::Set, b"packed"), long(2000)] {
        let mut from = entry(b"from", value, Some(9));
        let want = copy_of(from.as_ref().value());
        let object = |value: Value<'_>| match value {
            Value::Object(object) => Some(ptr::from_ref(object)),
            Value::Int(_) | Value::Bytes(_) | Value::Packed(..) => None,
        };
        let was = object(from.as_ref().value());
        let moved = from.moved_to(None);
        assert_eq!((moved.as_ref().key(), moved.as_ref().expire_at()), (&b"from"[..], None));
        assert_eq!((copy_of(moved.as_ref().value()), object(moved.as_ref().value())), (want.clone(), was));
        assert!(was.is_none() || from.as_ref().value() == Value::Int(0), "what is left has no object");
        let value = moved.into_value();
        assert_eq!((copy_of(value.view()), object(value.view())), (want, was));
    }
}

#[test]
fn an_entry_that_is_too_large_for_a_heap_can_be_dropped_anywhere() {
    for (key, value, alone) in [(3000, long(5000), true), (3000, NewValue::Int(1), true), (200, long(5000), false)] {
        let entry =
            HEAP.with_borrow_mut(|heap| Entry::new(heap, &vec![b'k'; key], value, None, Traits::default()).into_lone());
        assert_eq!(entry.is_ok(), alone);
        match entry {
            Ok(lone) => std::thread::spawn(move || drop(lone)).join().expect("the thread ends well"),
            Err(entry) => drop(Own(Some(entry))),
        }
    }
}

#[test]
fn an_object_can_be_changed_in_place() {
    let mut entry = entry(b"k", long(2000), None);
    let before = entry.as_ref().bytes();
    let mut change = entry.as_mut();
    let Some(Object::Str(text)) = change.object() else { panic!("an object was stored") };
    text.resize(10_000, b'y');
    let Value::Object(Object::Str(text)) = entry.as_ref().value() else { panic!("an object was stored") };
    assert_eq!(text.len(), 10_000);
    assert!(entry.as_ref().bytes() >= before + 8_000);
    assert!(self::entry(b"k", NewValue::Int(1), None).as_mut().object().is_none());
}

#[test]
fn the_access_bits_do_not_touch_their_neighbours() {
    let mut entry = Own::new(
        b"key",
        NewValue::Bytes(b"v"),
        Some(3),
        Traits { deferred: true, raw: true, access: 0, stamp: Stamp::ALL[1] },
    );
    for access in [0xff_ffff, 0, 0xa5_5aa5] {
        entry.as_mut().set_access(access);
        assert_eq!(entry.as_ref().traits(), Traits { deferred: true, raw: true, access, stamp: Stamp::ALL[1] });
        assert_eq!((entry.as_ref().key(), entry.as_ref().value()), (&b"key"[..], Value::Bytes(b"v")));
    }
    entry.as_mut().set_deferred(false);
    entry.as_mut().set_stamp(Stamp::ALL[2]);
    assert_eq!(entry.as_ref().traits(), Traits { deferred: false, raw: true, access: 0xa5_5aa5, stamp: Stamp::ALL[2] });
}
