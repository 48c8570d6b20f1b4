//! Random changes to a list, compared with a plain deque of texts.

use super::*;
use crate::structs::random::Random;
use std::collections::VecDeque;

/// Plays a random sequence of changes.
///
/// Panics: with the seed in the message, when the two disagree.
pub fn fuzz_list(seed: u64) {
    let mut random = Random::new(seed);
    let number = [-5, -2, -1, 1, 2, 100][random.index(6)];
    let limits = Limits { list_node: ListNodeLimit::from_option(number), ..Limits::default() };
    let mut list = List::new();
    let mut plain: VecDeque<Vec<u8>> = VecDeque::new();
    let size = [5, 100, 1000][random.index(3)];
    let mut frozen = (list.freeze(), plain.clone());
    for _ in 0..if cfg!(miri) { 100 } else { 500 } {
        let text = text(&mut random);
        let index = random.index(plain.len() + 1);
        let end = if random.one_in(2) { End::Head } else { End::Tail };
        match random.below(10) {
            // Many at once, to come to the longer forms at all.
            0..=4 => {
                for _ in 0..1 + random.index(size / 5) {
                    list.push(end, &text, &limits);
                    match end {
                        End::Head => plain.push_front(text.clone()),
                        End::Tail => plain.push_back(text.clone()),
                    }
                }
            }
            5 => {
                list.insert(index, &text, &limits);
                plain.insert(index, text);
            }
            6 => {
                assert_eq!(list.set(index, &text, &limits), index < plain.len(), "seed {seed}");
                if let Some(old) = plain.get_mut(index) {
                    *old = text;
                }
            }
            7 => {
                let most = [1, 3, usize::MAX][random.index(3)];
                let equal = plain.iter().enumerate().filter(|(_, other)| **other == text).map(|(at, _)| at);
                let mut places: Vec<usize> = match end {
                    End::Head => equal.take(most).collect(),
                    End::Tail => equal.rev().take(most).collect(),
                };
                assert_eq!(list.remove_equal(&text, most, end, &limits), places.len(), "seed {seed}");
                places.sort_unstable();
                places.iter().rev().for_each(|&at| drop(plain.remove(at)));
            }
            _ => {
                let count = if plain.len() > size { index } else { random.index(5) };
                list.remove(end, count, &limits);
                match end {
                    End::Head => drop(plain.drain(..count.min(plain.len()))),
                    End::Tail => plain.truncate(plain.len().saturating_sub(count)),
                }
            }
        }
        check(seed, &mut random, &list, &plain);
        if random.one_in(30) {
            check(seed, &mut random, &frozen.0, &frozen.1);
            frozen = (list.freeze(), plain.clone());
        }
    }
}

fn text(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => ((random.next_u64() as i64) >> random.below(64)).to_string().into_bytes(),
        1 => {
            let len = [100, 300, 511, 600, 5000][random.index(5)];
            random.bytes_of(b"x", len)
        }
        _ => [&b"a"[..], b"b", b"7", b"", b"a longer element", b"-1000"][random.index(6)].to_vec(),
    }
}

fn check(seed: u64, random: &mut Random, list: &List, plain: &VecDeque<Vec<u8>>) {
    let view = list.as_ref();
    let texts = || plain.iter().map(|text| Item::of(text));
    assert_eq!((view.len(), view.is_empty()), (plain.len(), plain.is_empty()), "seed {seed}");
    assert!(view.iter().eq(texts()), "seed {seed}: forwards");
    assert!(view.iter_back().eq(texts().rev()), "seed {seed}: backwards");
    assert_eq!((view.end(End::Head), view.end(End::Tail)), (texts().next(), texts().next_back()), "seed {seed}");
    let (index, count) = (random.index(plain.len() + 2), random.index(plain.len() + 2));
    assert_eq!(view.get(index), texts().nth(index), "seed {seed}: element {index}");
    let mut range = Vec::new();
    view.for_range(index, count, |item| range.push(item));
    assert!(range.into_iter().eq(texts().skip(index).take(count)), "seed {seed}: {count} from {index} on");
    if let Some(text) = plain.get(index) {
        assert_eq!(view.find(text), plain.iter().position(|other| other == text), "seed {seed}");
    }
    if let List::Packed(packed) = list {
        assert!(packed.bytes().len() <= PACKED_BYTES && packed.len() <= PACKED_ITEMS, "seed {seed}: too long");
    }
}
