//! The table against a plain map, with items whose hash is chosen at will.

use super::*;
use crate::structs::random::Random;
use std::collections::{BTreeMap, HashMap, HashSet};

/// An item of the tests: a boxed hash and number.
#[derive(Debug)]
struct Thing(Box<[u64; 2]>);

impl Thing {
    fn new(hash: u64, number: u64) -> Thing {
        Thing(Box::new([hash, number]))
    }
}

// SAFETY: a box of u64 is aligned to 8; the views are plain references.
unsafe impl Item for Thing {
    type Ref<'a> = &'a [u64; 2];
    type Mut<'a> = &'a mut [u64; 2];

    fn into_raw(self) -> NonNull<u8> {
        NonNull::from(Box::leak(self.0)).cast()
    }

    unsafe fn from_raw(raw: NonNull<u8>) -> Thing {
        // SAFETY: as promised by the caller, this is a leaked box.
        Thing(unsafe { Box::from_raw(raw.as_ptr().cast()) })
    }

    unsafe fn borrow<'a>(raw: NonNull<u8>) -> &'a [u64; 2] {
        // SAFETY: as promised by the caller.
        unsafe { raw.cast().as_ref() }
    }

    unsafe fn borrow_mut<'a>(raw: NonNull<u8>) -> &'a mut [u64; 2] {
        // SAFETY: as promised by the caller.
        unsafe { raw.cast().as_mut() }
    }
}

fn hash_of(thing: &[u64; 2]) -> u64 {
    thing[0]
}

fn mixed(number: u64) -> u64 {
    Random::new(number).next_u64()
}

impl Table<Thing> {
    fn put(&mut self, number: u64) {
        self.insert_unique(mixed(number), Thing::new(mixed(number), number), hash_of);
    }

    fn has(&self, number: u64) -> bool {
        self.find(mixed(number), |t| t[1] == number).is_some()
    }

    fn take(&mut self, number: u64) -> bool {
        let Some(slot) = self.find_mut(mixed(number), |t| t[1] == number) else { return false };
        let thing = slot.remove(hash_of);
        assert_eq!(thing.0[1], number);
        true
    }

    /// Asserts every invariant of the module comment.
    fn check(&self) {
        if self.buckets == 0 {
            assert_eq!((self.len, self.overflows, self.segments.len()), (0, 0, 0));
            return;
        }
        assert_eq!(self.buckets, (1 << self.level) + self.split);
        assert!(self.split < 1 << self.level);
        assert_eq!(self.segments.len(), self.buckets.div_ceil(SEGMENT_BUCKETS));
        assert!(self.buckets <= self.first_room || self.first_room == SEGMENT_BUCKETS);
        assert!(self.len <= self.buckets * GROW_LOAD, "{} in {}", self.len, self.buckets);
        assert!(self.buckets == 1 || self.len >= (self.buckets - 1) * SHRINK_LOAD, "{} in {}", self.len, self.buckets);
        let (mut items, mut overflows) = (0, 0);
        for index in 0..self.buckets {
            let mut chunk = self.bucket(index);
            let mut first = true;
            loop {
                // SAFETY: the chain is alive.
                let slots: Vec<Slot> = (0..chunk.width).map(|at| unsafe { chunk.get(at) }).collect();
                let here: Vec<Slot> = slots.iter().copied().filter(|s| s.is_item()).collect();
                assert!(slots[..here.len()].iter().all(|s| s.is_item()), "packed to the front");
                assert!(first || here.len() >= 2, "an overflow chunk with less than two items");
                for slot in &here {
                    // SAFETY: an item of the table.
                    let hash = hash_of(unsafe { Thing::borrow(slot.raw()) });
                    let (home, shift) = self.locate(hash);
                    assert_eq!((home, tag_of(hash, shift)), (index, slot.tag()));
                }
                items += here.len();
                // SAFETY: the chain is alive.
                let Some(next) = (unsafe { chunk.next() }) else { break };
                assert_eq!(here.len(), chunk.width - 1, "a chunk with a link is full");
                (chunk, first) = (next, false);
                overflows += 1;
            }
        }
        assert_eq!((items, overflows), (self.len, self.overflows));
    }
}

#[test]
fn an_empty_table_holds_no_memory_and_answers() {
    let mut table = Table::<Thing>::new();
    assert_eq!((table.len(), table.bytes(), table.is_empty()), (0, 0, true));
    assert!(!table.has(1) && !table.take(1));
    assert_eq!(table.scan(0, |_| panic!("nothing to visit")), 0);
    assert!(table.random(|| 7).is_none());
    table.prefetch_bucket(1);
    table.prefetch_item(1);
    table.prefetch_low(1);
    table.visit_low(1, hash_of, |_| Verdict::Remove, |_| panic!("nothing to remove"));
    table.check();
}

#[test]
fn a_table_agrees_with_a_map_under_random_operations() {
    for seed in 0..if cfg!(miri) { 1 } else { 20 } {
        fuzz_table(seed);
    }
}

/// Random inserts, removals, replacements and lookups against a map; the balance between inserts and removals drifts, so that
/// the table grows and shrinks several times.
fn fuzz_table(seed: u64) {
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (mut table, mut model) = (Table::new(), HashMap::new());
    let range = if cfg!(miri) { 200 } else { 1 + random.below(20_000) };
    for round in 0..8 {
        let insert_percent = if round % 2 == 0 { 80 } else { 15 };
        for _ in 0..range / 2 {
            let number = random.below(range);
            let hash = mixed(number);
            assert_eq!(table.has(number), model.contains_key(&number));
            if random.below(100) < insert_percent {
                match table.find_mut(hash, |t| t[1] == number) {
                    Some(mut slot) if random.one_in(2) => {
                        assert_eq!(slot.get()[1], number);
                        let old = slot.replace(Thing::new(hash, number));
                        assert_eq!(*old.0, [hash, number]);
                    }
                    Some(mut slot) => assert_eq!(slot.get_mut()[0], hash),
                    None => {
                        table.insert_unique(hash, Thing::new(hash, number), hash_of);
                        model.insert(number, ());
                    }
                }
            } else {
                assert_eq!(table.take(number), model.remove(&number).is_some());
            }
            assert_eq!(table.len(), model.len());
        }
        table.check();
        let mut seen = HashSet::new();
        table.for_each(|t| assert!(seen.insert(t[1]), "visited once"));
        assert_eq!(seen, model.keys().copied().collect());
    }
}

#[test]
fn growing_and_shrinking_keeps_every_invariant_at_every_size() {
    let most = if cfg!(miri) { 60 } else { 2_000 };
    let mut table = Table::new();
    for number in 0..most {
        table.put(number);
        table.check();
    }
    for number in 0..most {
        assert!(table.take(number));
        table.check();
    }
    assert!(table.is_empty() && table.buckets() == 1 && table.bytes() < 200);
}

#[test]
fn items_with_equal_hashes_chain_without_limit() {
    let mut table = Table::new();
    for number in 0..100 {
        table.insert_unique(77, Thing::new(77, number), hash_of);
        table.check();
    }
    assert_eq!(table.find(77, |t| t[1] == 99).map(|t| t[1]), Some(99));
    for number in (0..100).rev().step_by(2).chain((0..100).step_by(2)) {
        let slot = table.find_mut(77, |t| t[1] == number).expect("was inserted");
        assert_eq!(slot.remove(hash_of).0[1], number);
        table.check();
    }
    assert!(table.is_empty());
}

#[test]
fn a_visit_by_the_low_bits_sees_all_of_them_and_removes_what_it_is_told_to() {
    let mut table = Table::new();
    let most = if cfg!(miri) { 200 } else { 5_000 };
    let mut by_low = BTreeMap::<u32, Vec<u64>>::new();
    for number in 0..most {
        // Few different low halves, so that many items share one.
        let hash = mixed(number) << 32 | u64::from(mixed(number % (most / 7)) as u32);
        table.insert_unique(hash, Thing::new(hash, number), hash_of);
        by_low.entry(hash as u32).or_default().push(number);
    }
    for (low, numbers) in by_low {
        let mut seen = Vec::new();
        let mut removed = Vec::new();
        assert!(table.any_low(low, |t| t[0] as u32 == low && t[1] == numbers[0]));
        table.prefetch_low(low);
        table.visit_low(
            low,
            hash_of,
            |t| {
                if t[0] as u32 != low {
                    return Verdict::Keep;
                }
                seen.push(t[1]);
                if t[1] % 3 == 0 { Verdict::Remove } else { Verdict::Keep }
            },
            |thing| removed.push(thing.0[1]),
        );
        seen.sort_unstable();
        assert_eq!(seen, numbers, "each once");
        assert!(removed.iter().all(|n| n % 3 == 0));
        assert_eq!(removed.len(), numbers.iter().filter(|&n| n % 3 == 0).count());
        table.check();
    }
    assert_eq!(table.len() as u64, most - most.div_ceil(3));
}

#[test]
fn a_scan_visits_what_stays_while_the_table_grows_to_a_million_and_back() {
    let most = if cfg!(miri) { 300 } else { 1_000_000 };
    // Every tenth item stays; its number is its place in `seen`, which holds the walk that saw it last.
    let stay = most / 10;
    let mut table = Table::new();
    (0..stay).for_each(|n| table.put(n));
    let (mut walks, mut cursor, mut seen) = (0, 0, vec![usize::MAX; stay as usize]);
    let mut step = |table: &Table<Thing>| {
        cursor = table.scan(cursor, |t| {
            if t[1] < stay {
                seen[t[1] as usize] = walks;
            }
        });
        assert!(cursor < 1 << 32);
        if cursor == 0 {
            assert!(seen.iter().all(|&walk| walk == walks), "a walk missed an item that was there all the time");
            walks += 1;
        }
    };
    for number in stay..most {
        table.put(number);
        step(&table);
    }
    for number in stay..most {
        assert!(table.take(number));
        step(&table);
    }
    assert!(walks >= 5, "only {walks} walks");
    table.check();
}

#[test]
fn a_scan_at_rest_visits_each_item_exactly_once() {
    for size in [1, 7, 8, 50, if cfg!(miri) { 100 } else { 1000 }] {
        let mut table = Table::new();
        (0..size).for_each(|n| table.put(n));
        let (mut cursor, mut seen) = (0, HashSet::new());
        loop {
            cursor = table.scan(cursor, |t| assert!(seen.insert(t[1])));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len() as u64, size);
    }
}

#[test]
fn any_cursor_is_harmless() {
    let mut table = Table::new();
    let most = if cfg!(miri) { 50 } else { 1000 };
    (0..most).for_each(|n| table.put(n));
    let mut random = Random::new(3);
    for cursor in [u64::MAX, 1 << 63, 1 << 32].into_iter().chain((0..most).map(|_| random.next_u64())) {
        assert!(table.scan(cursor, |_| {}) < 1 << 32);
    }
}

#[test]
fn random_items_are_all_about_equally_likely() {
    let size = if cfg!(miri) { 5 } else { 700 };
    let draws = size * 200;
    let mut table = Table::new();
    (0..size).for_each(|n| table.put(n));
    let (mut random, mut counts) = (Random::new(5), vec![0u32; size as usize]);
    for _ in 0..draws {
        counts[table.random(|| random.next_u64()).expect("not empty")[1] as usize] += 1;
    }
    assert!(counts.iter().all(|&n| (120..290).contains(&n)), "{counts:?}");
}

#[test]
fn dropping_a_table_drops_its_items() {
    struct Counted(Box<(std::rc::Rc<()>,)>);
    // SAFETY: as for Thing: a box is aligned and its pointer has 48 bits.
    unsafe impl Item for Counted {
        type Ref<'a> = PhantomData<&'a ()>;
        type Mut<'a> = PhantomData<&'a mut ()>;
        fn into_raw(self) -> NonNull<u8> {
            NonNull::from(Box::leak(self.0)).cast()
        }
        unsafe fn from_raw(raw: NonNull<u8>) -> Counted {
            // SAFETY: a leaked box.
            Counted(unsafe { Box::from_raw(raw.as_ptr().cast()) })
        }
        unsafe fn borrow<'a>(_: NonNull<u8>) -> PhantomData<&'a ()> {
            PhantomData
        }
        unsafe fn borrow_mut<'a>(_: NonNull<u8>) -> PhantomData<&'a mut ()> {
            PhantomData
        }
    }
    let token = std::rc::Rc::new(());
    let mut table = Table::new();
    // Hashes of one bucket and its neighbours only: long chains are dropped as well.
    (0..100u64).for_each(|n| {
        table.insert_unique(n % 3, Counted(Box::new((token.clone(),))), |_| unreachable!("too few buckets"))
    });
    assert_eq!(std::rc::Rc::strong_count(&token), 101);
    drop(table);
    assert_eq!(std::rc::Rc::strong_count(&token), 1);
}

#[test]
fn a_panic_while_hashing_again_loses_nothing() {
    let mut table = Table::new();
    let mut number = 0;
    // The first split that looks at items is the one that takes the address bits from 7 to 8.
    while table.buckets() < 128 {
        table.put(number);
        number += 1;
    }
    while table.len() < 128 * GROW_LOAD {
        table.put(number);
        number += 1;
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        table.insert_unique(mixed(number), Thing::new(mixed(number), number), |_| panic!("no hash today"));
    }));
    assert!(result.is_err());
    table.check();
    assert!((0..number).all(|n| table.has(n)) && !table.has(number));
    for more in number..number + 500 {
        table.put(more);
    }
    table.check();
}

#[test]
fn the_table_costs_about_eleven_bytes_an_item_at_every_size() {
    let mut table = Table::new();
    let most = if cfg!(miri) { 100 } else { 200_000u64 };
    for number in 0..most {
        table.put(number);
        // Before, half a segment not yet in use weighs more than a byte an item.
        if number > 50_000 {
            let per_item = table.bytes() as f64 / table.len() as f64;
            assert!((10.0..12.5).contains(&per_item), "{per_item} at {number}");
        }
    }
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn segments_lie_in_huge_pages_while_some_are_ready_and_give_them_back() {
    huge::tests::with_slices(8, || {
        let mut table = Table::new();
        let most = (HUGE_FROM + 60) * SEGMENT_BUCKETS * GROW_LOAD;
        for _ in 0..2 {
            (0..most as u64).for_each(|number| table.put(number));
            assert!(table.slices.len() >= 2 && table.slices.len() * SLICE_SEGMENTS < table.segments.len());
            table.check();
            (0..most as u64).for_each(|number| assert!(table.take(number)));
            assert_eq!(table.slices.len(), 0);
            table.check();
        }
    });
}
