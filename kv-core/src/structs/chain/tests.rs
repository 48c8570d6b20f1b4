use super::*;

const LIMIT: NodeLimit = NodeLimit { bytes: 8192, items: usize::MAX };

fn push_back(chain: &mut Chain, text: &str) {
    chain.push_back(&Encoded::of(text.as_bytes()), LIMIT);
}

fn push_front(chain: &mut Chain, text: &str) {
    chain.push_front(&Encoded::of(text.as_bytes()), LIMIT);
}

#[test]
fn random_changes_agree_with_a_deque_of_texts() {
    (0..if cfg!(miri) { 3 } else { 300 }).for_each(fuzz_chain);
}

#[test]
fn items_of_18_bytes_take_less_than_21_each_pushed_at_either_end() {
    for push in [push_back, push_front] {
        let mut chain = Chain::new();
        (0..100_000).for_each(|n| push(&mut chain, &format!("element:{n:010}")));
        let each = chain.bytes() as f64 / 100_000.0;
        assert!(each < 20.4, "{each} bytes an item in {} nodes", chain.nodes());
    }
}

#[test]
fn a_node_holds_as_many_items_as_its_limit_says() {
    let mut chain = Chain::new();
    let limit = NodeLimit { bytes: 8192, items: 3 };
    (0..10).for_each(|_| chain.push_back(&Encoded::of(b"x"), limit));
    assert_eq!(chain.nodes(), 4);
    (0..3).for_each(|_| chain.push_front(&Encoded::of(b"x"), limit));
    assert_eq!(chain.nodes(), 5);
}

#[test]
fn an_item_larger_than_a_node_is_alone_in_one_of_its_size() {
    let big = "x".repeat(10_000);
    let mut chain = Chain::new();
    ["a", &big, "b"].iter().for_each(|text| push_back(&mut chain, text));
    assert_eq!(chain.nodes(), 3);
    chain.insert(1, &Encoded::of(big.as_bytes()), LIMIT);
    assert_eq!(chain.nodes(), 4);
    chain.set(0, &Encoded::of(big.as_bytes()), LIMIT);
    assert_eq!(chain.nodes(), 4);
    assert!(chain.bytes() < 31_000 + 8192, "{}", chain.bytes());
}

#[test]
fn what_goes_through_as_through_a_queue_stays_in_little_memory() {
    for depth in [1, 10, 100, 390, 1000] {
        let mut chain = Chain::new();
        (0..depth).for_each(|n| push_back(&mut chain, &format!("element:{n:010}")));
        for n in 0..20_000 {
            push_back(&mut chain, &format!("element:{n:010}"));
            chain.remove_front(1);
            assert!(chain.nodes() <= 2 + depth / 400, "{} nodes for {depth} items", chain.nodes());
        }
        for n in 0..20_000 {
            push_front(&mut chain, &format!("element:{n:010}"));
            chain.remove_back(1);
            assert!(chain.nodes() <= 2 + depth / 400, "{} nodes for {depth} items", chain.nodes());
        }
        assert_eq!(chain.len(), depth);
    }
}

#[test]
fn a_chain_that_has_lost_items_all_over_gives_their_memory_back() {
    let mut chain = Chain::new();
    for n in 0..50_000 {
        push_back(&mut chain, if n % 100 == 0 { "stays" } else { "this one goes" });
    }
    let before = chain.bytes();
    assert_eq!(chain.remove_equal(&Encoded::of(b"this one goes"), usize::MAX, false, LIMIT), 49_500);
    assert_eq!(chain.len(), 500);
    assert!(chain.bytes() < before / 50, "{} bytes of {before}", chain.bytes());
    chain.remove_back(500);
    assert!(chain.bytes() < 100, "{} bytes for nothing", chain.bytes());
}

#[test]
fn nodes_that_were_split_to_insert_are_joined_with_their_neighbours_again() {
    let mut chain = Chain::new();
    (0..4000).for_each(|n| push_back(&mut chain, &format!("element:{n:010}")));
    for n in 0..4000 {
        chain.insert(2000, &Encoded::of(format!("element:{n:010}").as_bytes()), LIMIT);
    }
    assert!(chain.nodes() <= 2 * 8000 / 400, "{} nodes", chain.nodes());
}

#[test]
fn chains_with_the_same_items_in_other_nodes_are_equal() {
    let (mut a, mut b) = (Chain::new(), Chain::new());
    (0..2000).for_each(|n| push_back(&mut a, &n.to_string()));
    (0..2000).rev().for_each(|n| push_front(&mut b, &n.to_string()));
    assert_eq!(a, b);
    b.set(1000, &Encoded::of(b"other"), LIMIT);
    assert_ne!(a, b);
    assert_eq!(a, a.clone());
}
