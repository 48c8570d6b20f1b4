use super::*;

const NOW: UnixMs = 1_000;

fn limits() -> Limits {
    Limits { hash_packed_entries: 3, hash_packed_value: 5, ..Limits::default() }
}

fn texts(hash: &Hash, now: UnixMs) -> Vec<String> {
    let show = |item: Item<'_>| String::from_utf8(item.to_vec()).expect("text");
    let mut pairs: Vec<_> = hash.as_ref().iter(now).map(|(field, value)| show(field) + "=" + &show(value)).collect();
    pairs.sort();
    pairs
}

fn hash(fields: &[&str]) -> Hash {
    let mut hash = Hash::new();
    fields.iter().for_each(|field| assert!(hash.set(field.as_bytes(), b"v", NOW, &limits())));
    hash
}

#[test]
fn random_changes_agree_with_a_plain_map() {
    (0..if cfg!(miri) { 3 } else { 400 }).for_each(fuzz_hash);
}

#[test]
fn a_hash_is_packed_up_to_its_limits_and_a_table_from_then_on() {
    let mut full = hash(&["a", "b", "c"]);
    assert_eq!(full.as_ref().encoding(), "listpack");
    assert!(!full.set(b"c", b"12345", NOW, &limits()), "it is not new");
    assert_eq!(full.as_ref().encoding(), "listpack");
    let mut more = full.clone();
    assert!(more.set(b"d", b"v", NOW, &limits()));
    assert_eq!(more.as_ref().encoding(), "hashtable");
    assert_eq!(texts(&more, NOW), ["a=v", "b=v", "c=12345", "d=v"]);
    assert!(!full.set(b"c", b"123456", NOW, &limits()));
    assert_eq!(full.as_ref().encoding(), "hashtable");
    assert!(full.remove(b"c", NOW) && full.remove(b"b", NOW));
    assert_eq!(full.as_ref().encoding(), "hashtable");
    let mut long_field = hash(&["a"]);
    long_field.set(b"123456", b"v", NOW, &limits());
    assert_eq!(
        (long_field.as_ref().encoding(), texts(&long_field, NOW)),
        ("hashtable", vec!["123456=v".into(), "a=v".into()])
    );
}

#[test]
fn a_small_hash_with_a_ttl_is_called_a_listpackex_until_it_passes_a_limit() {
    let mut hash = hash(&["a", "b"]);
    assert!(!hash.set_expire(b"x", Some(2_000), NOW, &limits()), "no such field");
    assert_eq!(hash.as_ref().encoding(), "listpack");
    assert!(hash.set_expire(b"a", Some(2_000), NOW, &limits()));
    assert_eq!(hash.as_ref().encoding(), "listpackex");
    assert!(hash.set_expire(b"a", None, NOW, &limits()));
    assert_eq!((hash.as_ref().encoding(), hash.as_ref().ttl_fields()), ("listpackex", 0));
    hash.set(b"b", b"123456", NOW, &limits());
    assert_eq!(hash.as_ref().encoding(), "hashtable");
}

#[test]
fn a_field_is_gone_from_its_millisecond_on() {
    let mut hash = hash(&["a", "b"]);
    hash.set_expire(b"a", Some(2_000), NOW, &limits());
    let view = hash.as_ref();
    assert!(view.get(b"a", 1_999).is_some() && view.contains(b"a", 1_999) && view.live(1_999) == 2);
    assert!(view.get(b"a", 2_000).is_none() && !view.contains(b"a", 2_000) && view.live(2_000) == 1);
    assert_eq!((view.len(), view.expire_at(b"a", 2_000), view.next_due()), (2, None, Some(2_000)));
    assert_eq!(texts(&hash, 2_000), ["b=v"]);
    let mut set_again = hash.clone();
    assert!(set_again.set_with(b"a", b"w", Ttl::Keep, 2_000, &limits()), "it is a new field, without a TTL");
    assert_eq!((set_again.as_ref().ttl_fields(), texts(&set_again, 9_000).len()), (0, 2));
    assert!(!hash.set_expire(b"a", None, 2_000, &limits()));
    assert!(!hash.remove(b"a", 2_000), "it was gone");
    assert_eq!(hash.len(), 1);
}

#[test]
fn due_fields_are_removed_in_slices_the_earliest_first() {
    let mut hash = hash(&["a", "b", "c"]);
    for (field, at) in [("a", 30), ("b", 10), ("c", 20)] {
        hash.set_expire(field.as_bytes(), Some(NOW + at), NOW, &limits());
    }
    let mut removed = Vec::new();
    let mut budget = 2;
    hash.remove_due(NOW + 100, &mut budget, |field| removed.push(field.to_vec()));
    assert_eq!((removed, budget, hash.len()), (vec![b"b".to_vec(), b"c".to_vec()], 0, 1));
    assert!(hash.as_ref().is_gone(NOW + 30) && !hash.as_ref().is_gone(NOW + 29));
    hash.clear_if_gone(NOW + 29);
    assert_eq!(hash.len(), 1);
    hash.clear_if_gone(NOW + 30);
    assert!(hash.is_empty());
}

#[test]
fn values_that_begin_as_a_record_with_a_ttl_does_are_values() {
    let mut hash = Hash::new();
    let values: [&[u8]; 5] = [b"\xff", b"\xff\x00", b"\xff\x01", b"\xff\x01abcdefghi", b""];
    for (at, value) in values.iter().enumerate() {
        hash.set(&[at as u8], value, NOW, &limits());
    }
    hash.set_expire(&[0], Some(2_000), NOW, &limits());
    for (at, value) in values.iter().enumerate() {
        assert_eq!(hash.as_ref().get(&[at as u8], NOW), Some(Item::Bytes(value)));
    }
    assert_eq!(hash.as_ref().ttl_fields(), 1);
}

#[test]
fn hashes_are_equal_in_whatever_form() {
    let packed = hash(&["a", "b"]);
    let mut table = packed.clone();
    table.set_expire(b"a", Some(2_000), NOW, &limits());
    assert_ne!(packed, table, "a TTL is a difference");
    table.set_expire(b"a", None, NOW, &limits());
    assert_eq!(packed, table);
    table.set(b"a", b"w", NOW, &limits());
    assert_ne!(packed, table);
}

#[test]
fn a_copy_is_known_to_no_timer() {
    let mut hash = hash(&["a"]);
    hash.set_expire(b"a", Some(2_000), NOW, &limits());
    let filed = Some(Filed { at: 2_000, early: false });
    hash.set_filed(filed);
    assert_eq!((hash.as_ref().filed(), hash.clone().as_ref().filed()), (filed, None));
}
