//! Random changes to a sequence, compared with a plain vector of texts.

use super::*;
use crate::structs::random::Random;

/// Plays a random sequence of changes.
///
/// Panics: with the seed in the message, when the two disagree.
pub fn fuzz_packed(seed: u64) {
    let mut random = Random::new(seed);
    let mut packed = Packed::new();
    let mut plain: Vec<Vec<u8>> = Vec::new();
    let size = [3, 20, 200][random.index(3)];
    for _ in 0..if cfg!(miri) { 50 } else { 300 } {
        let text = text(&mut random);
        let index = random.index(plain.len() + 1);
        let at = if index == plain.len() { packed.as_ref().end() } else { packed.as_ref().nth(index) };
        match random.below(8) {
            0 | 1 => {
                packed.push(&text);
                plain.push(text);
            }
            2 | 3 => {
                packed.insert_at(at, &text);
                plain.insert(index, text);
            }
            4 if index < plain.len() => {
                packed.replace_at(at, &text);
                plain[index] = text;
            }
            5 => {
                let items = random.index((plain.len() - index).min(size) + 1);
                packed.remove_at(at, items);
                plain.drain(index..index + items);
            }
            6 if plain.len() > size => {
                packed.remove_at(at, plain.len() - index);
                plain.truncate(index);
            }
            7 if random.one_in(50) => {
                packed.clear();
                plain.clear();
            }
            _ => find(seed, &mut random, packed.as_ref(), &plain, &text),
        }
        check(seed, packed.as_ref(), &plain);
    }
}

/// Texts around every limit of the encoding, a few of them often.
fn text(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => ((random.next_u64() as i64) >> random.below(64)).to_string().into_bytes(),
        1 => {
            let edge = 1i64.checked_shl(random.below(64) as u32).unwrap_or(0);
            edge.wrapping_sub(random.below(3) as i64).to_string().into_bytes()
        }
        2 => [&b""[..], b"-0", b"+1", b"007", b"-", b"9223372036854775808"][random.index(6)].to_vec(),
        3 => {
            let len = [0, 1, SHORT_MAX - 1, SHORT_MAX, SHORT_MAX + 1, 300, 70_000][random.index(6 + 1)];
            random.bytes_of(b"0123456789", len)
        }
        4 => random.below(10).to_string().into_bytes(),
        _ => {
            let len = random.index(12);
            random.bytes_of(b"ab\0\xff", len)
        }
    }
}

fn find(seed: u64, random: &mut Random, packed: PackedRef<'_>, plain: &[Vec<u8>], text: &[u8]) {
    let wanted = if random.one_in(2) && !plain.is_empty() { &plain[random.index(plain.len())] } else { text };
    let strides = if plain.len().is_multiple_of(2) { 2 } else { 1 };
    for stride in 1..=strides {
        let want = plain.iter().step_by(stride).position(|text| text == wanted).map(|nth| packed.nth(nth * stride));
        assert_eq!(packed.find(&Encoded::of(wanted), stride), want, "seed {seed}");
    }
    let mut places = packed.iter();
    for other in plain {
        let (at, item) = (places.at(), places.next().expect("as many items"));
        assert_eq!(packed.get(at), item, "seed {seed}");
        assert_eq!(packed.next(at), places.at(), "seed {seed}");
        assert_eq!(item.is(wanted), other == wanted, "seed {seed}");
        assert_eq!(item.compare(Item::of(wanted)), other[..].cmp(wanted), "seed {seed}");
    }
    assert_eq!(places.at(), packed.end(), "seed {seed}");
}

fn check(seed: u64, packed: PackedRef<'_>, plain: &[Vec<u8>]) {
    assert_eq!((packed.len(), packed.is_empty()), (plain.len(), plain.is_empty()), "seed {seed}");
    let mut written = Vec::new();
    let mut lens = 0;
    for (item, text) in packed.iter().zip(plain) {
        assert_eq!((item, item.len()), (Item::of(text), text.len()), "seed {seed}");
        assert_eq!(item.to_vec(), *text, "seed {seed}");
        item.append_to(&mut written);
        lens += Encoded::from(item).len();
    }
    assert_eq!(written, plain.concat(), "seed {seed}");
    assert_eq!(HEADER + lens, packed.end(), "seed {seed}: bytes between the items");
    assert_eq!(packed.bytes().is_empty(), plain.is_empty(), "seed {seed}: an empty sequence has one form");
}
