use super::*;
use crate::structs::random::Random;

/// Members are needed only where scores are equal, which they are not here.
fn no_member(handle: u32) -> &'static [u8] {
    panic!("asked for the member of {handle}")
}

fn bytes_per_entry(tree: &Ranked) -> f64 {
    tree.bytes() as f64 / tree.len() as f64
}

#[test]
fn random_calls_agree_with_a_sorted_list() {
    for seed in 0..if cfg!(miri) { 1 } else { 12 } {
        fuzz_ranked(seed);
    }
}

#[test]
fn an_entry_takes_few_bytes_in_whatever_order_it_comes() {
    let n = 200_000;
    let mut random = Random::new(1);
    let mut shuffled: Vec<u32> = (0..n).collect();
    (1..shuffled.len()).for_each(|at| shuffled.swap(at, random.index(at + 1)));
    let orders = [(shuffled, 16.5), ((0..n).collect(), 13.2), ((0..n).rev().collect(), 13.6)];
    for (handles, bytes_max) in orders {
        let mut tree = Ranked::new();
        for handle in handles {
            tree.insert(Entry { score: f64::from(handle), handle }, no_member);
        }
        let bytes = bytes_per_entry(&tree);
        assert!(bytes <= bytes_max, "{bytes} bytes an entry");
        assert!(tree.iter(0..tree.len()).map(|entry| entry.handle).eq(0..n));
    }
    let built = Ranked::from_sorted((0..n).map(|handle| Entry { score: f64::from(handle), handle }));
    assert!(bytes_per_entry(&built) <= 15.0);
    assert_eq!(built.nth(77_777).map(|entry| entry.handle), Some(77_777));
}

#[test]
fn memory_goes_as_entries_go() {
    let n = 100_000;
    let mut tree = Ranked::from_sorted((0..n).map(|handle| Entry { score: f64::from(handle), handle }));
    let full = tree.bytes();
    let mut random = Random::new(2);
    let mut handles: Vec<u32> = (0..n).collect();
    while handles.len() > 1_000 {
        let handle = handles.swap_remove(random.index(handles.len()));
        tree.remove(Entry { score: f64::from(handle), handle }, no_member);
    }
    tree.check();
    assert!(tree.bytes() < full / 15, "{} of {full} bytes are left", tree.bytes());
    let small = Ranked::from_sorted((0..129).map(|handle| Entry { score: f64::from(handle), handle }));
    assert!(small.bytes() < 5_000, "{} bytes for 129 entries", small.bytes());
}

#[test]
#[should_panic = "the entry is there"]
fn removing_what_is_not_there_is_a_mistake() {
    let mut tree = Ranked::from_sorted((0..9).map(|handle| Entry { score: f64::from(handle), handle }));
    tree.remove(Entry { score: 4.5, handle: 4 }, no_member);
}
