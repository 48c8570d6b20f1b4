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
