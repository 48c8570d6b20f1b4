//! Random changes to a chain, compared with a plain deque of texts.

use super::*;
use crate::structs::random::Random;

/// Plays a random sequence of changes.
///
/// Panics: with the seed in the message, when the two disagree, or an invariant is broken.
pub fn fuzz_chain(seed: u64) {
    let mut random = Random::new(seed);
    let mut model = Model {
        seed,
        chain: Chain::new(),
        plain: VecDeque::new(),
        limit: NodeLimit { bytes: 1, items: 1 },
        frozen: None,
    };
    model.limit = limit(&mut random);
    let size = [3, 30, 300][random.index(3)];
    for _ in 0..if cfg!(miri) { 60 } else { 500 } {
        if random.one_in(100) {
            model.limit = limit(&mut random);
        }
        model.step(&mut random, size);
        model.check(&mut random);
        if random.one_in(20) {
            model.freeze_or_check();
        }
    }
}

fn limit(random: &mut Random) -> NodeLimit {
    NodeLimit {
        bytes: [16, 64, 300, 4096][random.index(4)],
        items: [1, 2, 5, usize::MAX, usize::MAX, usize::MAX][random.index(6)],
    }
}

struct Model {
    seed: u64,
    chain: Chain,
    plain: VecDeque<Vec<u8>>,
    limit: NodeLimit,
    /// What was frozen, and the items at that moment.
    frozen: Option<(Chain, VecDeque<Vec<u8>>)>,
}

/// Few different ones, so that some are equal; around the limits of the lengths; some larger than a node.
fn text(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => ((random.next_u64() as i64) >> random.below(64)).to_string().into_bytes(),
        1 => {
            let len = [0, 190, 191, 192, 248, 249, 250, 251, 252, 253, 254, 255, 256, 5000][random.index(14)];
            random.bytes_of(b"x", len)
        }
        2 | 3 => {
            let len = random.index(40);
            random.bytes_of(b"ab\0\xff", len)
        }
        _ => [&b"a"[..], b"b", b"7", b"", b"-1000"][random.index(5)].to_vec(),
    }
}

impl Model {
    fn step(&mut self, random: &mut Random, size: usize) {
        let Model { chain, plain, limit, seed, .. } = self;
        let text = text(random);
        let item = &Encoded::of(&text);
        let index = random.index(plain.len() + 1);
        match random.below(16) {
            0..=3 => {
                chain.push_back(item, *limit);
                plain.push_back(text);
            }
            4..=6 => {
                chain.push_front(item, *limit);
                plain.push_front(text);
            }
            7 | 8 => {
                chain.insert(index, item, *limit);
                plain.insert(index, text);
            }
            9 => {
                assert_eq!(chain.set(index, item, *limit), index < plain.len(), "seed {seed}");
                if let Some(old) = plain.get_mut(index) {
                    *old = text;
                }
            }
            10 if random.one_in(4) => {
                let most = [1, 2, 5, usize::MAX][random.index(4)];
                let last_ones = random.one_in(2);
                let equal = plain.iter().enumerate().filter(|(_, other)| **other == text).map(|(at, _)| at);
                let mut places: Vec<usize> =
                    if last_ones { equal.rev().take(most).collect() } else { equal.take(most).collect() };
                assert_eq!(chain.remove_equal(item, most, last_ones, *limit), places.len(), "seed {seed}");
                places.sort_unstable();
                places.iter().rev().for_each(|&at| drop(plain.remove(at)));
            }
            11 | 12 => {
                let count = random.index(4);
                chain.remove_front(count);
                plain.drain(..count.min(plain.len()));
            }
            13 | 14 => {
                let count = random.index(4);
                chain.remove_back(count);
                plain.truncate(plain.len().saturating_sub(count));
            }
            _ if plain.len() > size && random.one_in(2) => {
                chain.remove_front(index);
                plain.drain(..index);
            }
            _ if plain.len() > size => {
                chain.remove_back(index);
                plain.truncate(plain.len() - index);
            }
            _ => {}
        }
    }

    fn freeze_or_check(&mut self) {
        if let Some((frozen, plain)) = self.frozen.replace((self.chain.freeze(), self.plain.clone())) {
            assert_eq!((frozen.len(), frozen.bytes() > 0), (plain.len(), !plain.is_empty()), "seed {}", self.seed);
            assert!(frozen.iter().eq(plain.iter().map(|text| Item::of(text))), "seed {}: frozen", self.seed);
        }
    }

    fn check(&self, random: &mut Random) {
        let Model { chain, plain, seed, .. } = self;
        assert_eq!((chain.len(), chain.is_empty()), (plain.len(), plain.is_empty()), "seed {seed}");
        let texts = || plain.iter().map(|text| Item::of(text));
        assert!(chain.iter().eq(texts()), "seed {seed}: forwards");
        assert_eq!((chain.front(), chain.back()), (texts().next(), texts().next_back()), "seed {seed}");
        let index = random.index(plain.len() + 2);
        assert_eq!(chain.get(index), texts().nth(index), "seed {seed}: item {index}");
        assert!(chain.iter_from(index).eq(texts().skip(index)), "seed {seed}: from {index} on");
        if index < plain.len() {
            assert!(chain.iter_back_from(index).eq(texts().take(index + 1).rev()), "seed {seed}: back from {index}");
        } else {
            assert_eq!(chain.iter_back_from(index).len(), 0, "seed {seed}");
        }
        assert!(chain.nodes.iter().all(|node| node.count() > 0), "seed {seed}: an empty node");
        let sum = |of: fn(&Node) -> usize| chain.nodes.iter().map(of).sum::<usize>();
        assert_eq!(chain.len, sum(Node::count), "seed {seed}: len");
        assert_eq!(chain.used, sum(Node::used), "seed {seed}: used");
        assert_eq!(chain.held, sum(Node::capacity), "seed {seed}: held");
    }
}
