use super::*;

fn limits(option: i64) -> Limits {
    Limits { list_node: ListNodeLimit::from_option(option), ..Limits::default() }
}

fn pushed(count: usize, text: &str, option: i64) -> List {
    let mut list = List::new();
    (0..count).for_each(|_| list.push(End::Tail, text.as_bytes(), &limits(option)));
    list
}

#[test]
fn random_changes_agree_with_a_deque_of_texts() {
    (0..if cfg!(miri) { 3 } else { 40 }).for_each(fuzz_list);
}

#[test]
fn the_encoding_follows_the_limit_of_a_node_up_and_half_of_it_down() {
    let mut list = pushed(128, "x", 128);
    assert_eq!(list.as_ref().encoding(), "listpack");
    list.push(End::Head, b"x", &limits(128));
    assert_eq!(list.as_ref().encoding(), "quicklist");
    list.remove(End::Head, 64, &limits(128));
    assert_eq!((list.len(), list.as_ref().encoding()), (65, "quicklist"));
    list.remove(End::Tail, 1, &limits(128));
    assert_eq!((list.len(), list.as_ref().encoding()), (64, "listpack"));
}

#[test]
fn bytes_are_limited_by_negative_numbers() {
    for (option, kilobytes) in [(-1, 4), (-2, 8), (-3, 16), (-4, 32), (-5, 64)] {
        let fits = (kilobytes * 1024 - LISTPACK_FRAME) / 20;
        let list = pushed(fits, "eighteen bytes ...", option);
        assert_eq!(list.as_ref().encoding(), "listpack", "{option}");
        let list = pushed(fits + 1, "eighteen bytes ...", option);
        assert_eq!(list.as_ref().encoding(), "quicklist", "{option}");
    }
}

#[test]
fn a_short_list_is_packed_and_becomes_so_again() {
    let mut list = pushed(20, "eighteen bytes ...", -2);
    assert!(matches!(list, List::Packed(_)));
    (0..20).for_each(|_| list.push(End::Head, b"eighteen bytes ...", &limits(-2)));
    assert!(matches!(list, List::Chain(_)));
    list.remove(End::Tail, 30, &limits(-2));
    assert!(matches!(list, List::Packed(_)));
    assert_eq!(list.len(), 10);
}

#[test]
fn one_huge_element_is_a_list_of_a_node() {
    let huge = vec![b'x'; 1 << 20];
    let mut list = List::new();
    list.push(End::Tail, &huge, &limits(-2));
    assert_eq!(list.as_ref().encoding(), "quicklist");
    assert!(list.set(0, b"small", &limits(-2)));
    assert_eq!(list.as_ref().encoding(), "listpack");
    assert!(list.bytes() < 100, "{}", list.bytes());
}
