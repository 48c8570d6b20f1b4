//! The longest common subsequence of two strings, and where it lies in them: LCS.
//!
//! Redis fills a table of `L(i, j)`, the length for the first i bytes of a and the first j of b, with 4 bytes a cell, and
//! walks back from its end. Here a cell is one bit, and 64 cells are found in one step: bit j of row i tells whether
//! `L(i, j) > L(i, j - 1)`, and the next row comes from this one with an addition and some logic (Hyyrö 2004, after Allison and
//! Dix 1986). The bit is also all that the way back needs: where the bytes differ, Redis goes up if `L(i - 1, j)` is
//! greater than `L(i, j - 1)`, and that is so exactly if the bit is set. So the result is Redis's, also among several of the
//! same length, for 1/32 of the memory and a fraction of the time.
//!
//! Rows hold the complement of these bits, as the addition wants it.

/// Why there is no answer. What Redis would refuse is refused here too, although it would fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Redis's table would be bigger than allowed.
    TableTooBig,
    /// The memory for the rows could not be had.
    OutOfMemory,
}

/// A run of bytes that both strings have: `len` bytes from `a_start` and from `b_start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub a_start: usize,
    pub b_start: usize,
    pub len: usize,
}

/// The solution for two strings.
pub struct Lcs<'a> {
    a: &'a [u8],
    b: &'a [u8],
    rows: Vec<u64>,
    len: usize,
}

/// The length of the longest common subsequence.
///
/// Errors: `table_bytes_max` is what Redis's table, of 4 bytes a cell, may have.
pub fn length(a: &[u8], b: &[u8], table_bytes_max: u64) -> Result<usize, Refused> {
    check_table(a, b, table_bytes_max)?;
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let mut row = first_row(short)?;
    let masks = Masks::new(long, short)?;
    long.iter().for_each(|&byte| advance(&mut row, masks.of(byte)));
    Ok(count_zeros(&row))
}

impl<'a> Lcs<'a> {
    /// Solves it, keeping what `string` and `matches` need: a bit for each pair of bytes.
    ///
    /// Errors: as `length`.
    pub fn new(a: &'a [u8], b: &'a [u8], table_bytes_max: u64) -> Result<Self, Refused> {
        check_table(a, b, table_bytes_max)?;
        let mut row = first_row(b)?;
        let masks = Masks::new(a, b)?;
        let mut rows = reserve(a.len().checked_mul(row.len()).ok_or(Refused::OutOfMemory)?)?;
        for &byte in a {
            advance(&mut row, masks.of(byte));
            rows.extend_from_slice(&row);
        }
        let len = count_zeros(&row);
        Ok(Self { a, b, rows, len })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The subsequence itself; among several, the one that Redis finds.
    pub fn string(&self) -> Vec<u8> {
        let mut string = Vec::with_capacity(self.len);
        self.walk_back(|i, _| string.push(self.a[i]));
        string.reverse();
        string
    }

    /// The runs of the subsequence that have at least `len_min` bytes, the last first.
    pub fn matches(&self, len_min: usize) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        self.walk_back(|i, j| match matches.last_mut() {
            Some(run) if run.a_start == i + 1 && run.b_start == j + 1 => {
                *run = Match { a_start: i, b_start: j, len: run.len + 1 };
            }
            _ => matches.push(Match { a_start: i, b_start: j, len: 1 }),
        });
        matches.retain(|run| run.len >= len_min);
        matches
    }

    /// Tells the pairs of equal bytes that make up the subsequence, the last first.
    fn walk_back(&self, mut pair: impl FnMut(usize, usize)) {
        let words = self.b.len().div_ceil(64);
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                (i, j) = (i - 1, j - 1);
                pair(i, j);
            } else if self.rows[(i - 1) * words + (j - 1) / 64] >> ((j - 1) % 64) & 1 == 0 {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }
}

/// For each byte that occurs in one string, where it stands in the other.
struct Masks {
    /// Where a byte's mask begins, in masks; `NO_MASK` for a byte that does not occur.
    index: [u16; 256],
    words: usize,
    bits: Vec<u64>,
}

const NO_MASK: u16 = u16::MAX;

impl Masks {
    fn new(bytes: &[u8], places: &[u8]) -> Result<Self, Refused> {
        let mut index = [NO_MASK; 256];
        let mut count = 0;
        for &byte in bytes {
            if index[usize::from(byte)] == NO_MASK {
                index[usize::from(byte)] = count;
                count += 1;
            }
        }
        let words = places.len().div_ceil(64);
        let len = words.checked_mul(usize::from(count)).ok_or(Refused::OutOfMemory)?;
        let mut bits = reserve(len)?;
        bits.resize(len, 0);
        for (at, &byte) in places.iter().enumerate() {
            let mask = index[usize::from(byte)];
            if mask != NO_MASK {
                bits[usize::from(mask) * words + at / 64] |= 1 << (at % 64);
            }
        }
        Ok(Self { index, words, bits })
    }

    /// The mask of a byte that was among `bytes`.
    fn of(&self, byte: u8) -> &[u64] {
        &self.bits[usize::from(self.index[usize::from(byte)]) * self.words..][..self.words]
    }
}

/// From the row of the first i bytes to that of i + 1, given where byte i + 1 stands in the other string.
fn advance(row: &mut [u64], mask: &[u64]) {
    let mut carry = false;
    for (word, &mask) in row.iter_mut().zip(mask) {
        let hits = *word & mask;
        let (sum, over) = word.overflowing_add(hits);
        let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
        carry = over || over_by_carry;
        *word = sum | (*word & !mask);
    }
}

/// The row of no bytes at all.
fn first_row(places: &[u8]) -> Result<Vec<u64>, Refused> {
    let words = places.len().div_ceil(64);
    let mut row = reserve(words)?;
    row.resize(words, u64::MAX);
    Ok(row)
}

/// The bits past the end of the string have no byte in any mask: a carry passes over them, but does not clear them.
fn count_zeros(row: &[u64]) -> usize {
    row.iter().map(|word| word.count_zeros() as usize).sum()
}

fn check_table(a: &[u8], b: &[u8], table_bytes_max: u64) -> Result<(), Refused> {
    let table = (a.len() as u128 + 1) * (b.len() as u128 + 1) * 4;
    if table > u128::from(table_bytes_max) { Err(Refused::TableTooBig) } else { Ok(()) }
}

fn reserve(words: usize) -> Result<Vec<u64>, Refused> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(words).map_err(|_| Refused::OutOfMemory)?;
    Ok(vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structs::random::Random;

    const NO_LIMIT: u64 = u64::MAX;

    /// Redis's way: the whole table, and back through it.
    fn by_table(a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let mut table = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] =
                    if a[i - 1] == b[j - 1] { table[i - 1][j - 1] + 1 } else { table[i - 1][j].max(table[i][j - 1]) };
            }
        }
        let (mut string, mut matches) = (Vec::new(), Vec::<Match>::new());
        let (mut i, mut j) = (a.len(), b.len());
        let mut in_run = false;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                string.insert(0, a[i]);
                let len = if in_run { matches.pop().map_or(0, |run| run.len) } else { 0 };
                matches.push(Match { a_start: i, b_start: j, len: len + 1 });
                in_run = true;
            } else {
                in_run = false;
                if table[i - 1][j] > table[i][j - 1] { i -= 1 } else { j -= 1 }
            }
        }
        (string, matches)
    }

    #[test]
    fn the_example_of_the_manual_gives_the_same_runs() {
        let lcs = Lcs::new(b"ohmytext", b"mynewtext", NO_LIMIT).unwrap();
        assert_eq!((lcs.len(), lcs.string()), (6, b"mytext".to_vec()));
        let run = |a_start, b_start, len| Match { a_start, b_start, len };
        assert_eq!(lcs.matches(0), [run(4, 5, 4), run(2, 0, 2)]);
        assert_eq!(lcs.matches(4), [run(4, 5, 4)]);
        assert_eq!(length(b"ohmytext", b"mynewtext", NO_LIMIT), Ok(6));
    }

    #[test]
    fn random_strings_give_what_the_whole_table_gives() {
        for seed in 0..600 {
            let mut random = Random::new(seed);
            let letters = &b"abcdefgh"[..1 + random.index(8)];
            // Around the borders of words too.
            let (a_len, b_len) = (random.index(140), random.index(140));
            let (a, b) = (random.bytes_of(letters, a_len), random.bytes_of(letters, b_len));
            let lcs = Lcs::new(&a, &b, NO_LIMIT).unwrap();
            let (string, matches) = by_table(&a, &b);
            assert_eq!(lcs.string(), string, "seed {seed}");
            assert_eq!(lcs.matches(0), matches, "seed {seed}");
            assert_eq!((lcs.len(), length(&a, &b, NO_LIMIT)), (string.len(), Ok(string.len())), "seed {seed}");
        }
    }

    #[test]
    fn empty_strings_have_an_empty_subsequence() {
        for (a, b) in [("", ""), ("a", ""), ("", "a")] {
            let lcs = Lcs::new(a.as_bytes(), b.as_bytes(), NO_LIMIT).unwrap();
            assert!(lcs.is_empty() && lcs.string().is_empty() && lcs.matches(0).is_empty());
            assert_eq!(length(a.as_bytes(), b.as_bytes(), NO_LIMIT), Ok(0));
        }
    }

    #[test]
    fn what_redis_finds_too_big_is_refused_to_the_byte() {
        let (a, b) = (vec![b'a'; 99], vec![b'a'; 199]);
        assert_eq!(length(&a, &b, 100 * 200 * 4), Ok(99));
        assert_eq!(length(&a, &b, 100 * 200 * 4 - 1), Err(Refused::TableTooBig));
        assert_eq!(Lcs::new(&a, &b, 100 * 200 * 4 - 1).err(), Some(Refused::TableTooBig));
    }

    #[test]
    fn two_strings_of_the_greatest_size_redis_takes_are_solved_within_small_memory() {
        let mut random = Random::new(1);
        let (a, b) = (random.bytes_of(b"acgt", 11_584), random.bytes_of(b"acgt", 11_584));
        let lcs = Lcs::new(&a, &b, 512 << 20).unwrap();
        assert_eq!(length(&a, &b, 512 << 20), Ok(lcs.len()));
        assert_eq!(lcs.string().len(), lcs.len());
        assert!(lcs.rows.capacity() * 8 < 17 << 20);
    }
}
