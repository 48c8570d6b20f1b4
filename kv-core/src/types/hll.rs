//! HyperLogLog in Redis's form, byte for byte: how many different elements were added, within 0.81 %.
//!
//! An element's hash chooses one of 16,384 registers with its low 14 bits; the register keeps the longest run of zero bits
//! seen in the others, plus one. The estimate from the registers is Ertl's (2017, arXiv 1702.01284, algorithm 6 with
//! sigma and tau), as in Redis, so both count the same. A value written here can be read there and the other way round, also
//! by `GET` and `SET`: hence a value may hold anything behind a good header, and whatever reads it checks it.
//!
//! ```text
//! "HYLL"  encoding  3 unused   cached count, 8 bytes, little-endian; the top bit set: not valid
//!         0 dense     12,288 bytes: register i is the 6 bits from bit 6 * i on, low bits first
//!         1 sparse    runs of registers:
//!                     00xxxxxx            ZERO   x + 1 registers of 0
//!                     01xxxxxx yyyyyyyy   XZERO  xy + 1 registers of 0 (14 bits)
//!                     1vvvvvxx            VAL    x + 1 registers of v + 1
//! ```
//!
//! A value begins sparse and becomes dense when a register passes 32 or its length would pass a limit (the option
//! hll-sparse-max-bytes). Splitting and joining of runs is done as Redis does it, so that even the bytes are equal.

#[cfg(test)]
mod tests;

use crate::structs::random::Random;

/// Registers of a HyperLogLog, a power of two: their number takes the low 14 bits of a hash.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// Bits of a hash that a register is about; it holds at most one more.
const RUN_BITS: u32 = 64 - INDEX_BITS;

const MAGIC: &[u8; 4] = b"HYLL";
const HEADER: usize = 16;
const ENCODING: usize = 4;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const CACHED: std::ops::Range<usize> = 8..16;
/// In the last byte of the cached count.
const STALE: u8 = 0x80;
/// Length of a dense value, in bytes.
pub const DENSE_LEN: usize = HEADER + REGISTERS * 6 / 8;

/// The longest runs, and the greatest register, that the sparse opcodes can tell.
const ZERO_MAX: usize = 64;
const VAL_MAX: usize = 4;
const VAL_REGISTER_MAX: u8 = 32;

/// The value has the header of a HyperLogLog, but what follows is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Whether a string can be taken for a HyperLogLog by its header and, if dense, its length.
pub fn is_hll(value: &[u8]) -> bool {
    value.len() >= HEADER
        && value.starts_with(MAGIC)
        && match value[ENCODING] {
            DENSE => value.len() == DENSE_LEN,
            SPARSE => true,
            _ => false,
        }
}

/// A HyperLogLog without elements: sparse, 18 bytes, without a valid cached count, as Redis makes it.
pub fn empty() -> Vec<u8> {
    let mut value = vec![0; HEADER];
    value[..4].copy_from_slice(MAGIC);
    value[ENCODING] = SPARSE;
    Run::Zero { len: REGISTERS }.write(&mut value);
    forget_count(&mut value);
    value
}

/// Adds an element. Returns whether a register changed; then the cached count is no longer valid.
///
/// Cost: O(1) when dense, O(length) when sparse.
/// Errors: the value is unchanged.
pub fn add(value: &mut Vec<u8>, element: &[u8], sparse_max: usize) -> Result<bool, Corrupt> {
    check_header(value)?;
    let (index, run) = place(element);
    set(value, index, run, sparse_max)
}

/// The cached count, if it is valid.
pub fn cached_count(value: &[u8]) -> Option<u64> {
    let count = u64::from_le_bytes(value.get(CACHED)?.try_into().ok()?);
    (is_hll(value) && count >> 63 == 0).then_some(count)
}

/// Keeps a count in the value for `cached_count`. The value must be a HyperLogLog.
pub fn cache_count(value: &mut [u8], count: u64) {
    value[CACHED].copy_from_slice(&(count & !(1 << 63)).to_le_bytes());
}

/// Says that the cached count is not valid. The value must be a HyperLogLog.
pub fn forget_count(value: &mut [u8]) {
    value[CACHED.end - 1] |= STALE;
}

/// How many different elements were added: the cached count, or else an estimate.
pub fn count(value: &[u8]) -> Result<u64, Corrupt> {
    check_header(value)?;
    if let Some(count) = cached_count(value) {
        return Ok(count);
    }
    let mut histogram = Histogram::new();
    for_each_run(value, |_, register, len| histogram.add(register, len))?;
    Ok(histogram.estimate())
}

/// All registers, one byte each: what several HyperLogLogs amount to together.
#[derive(Clone)]
pub struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Registers {
    /// Those of no element at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the elements of a value.
    ///
    /// Errors: a part of them may have been taken.
    pub fn merge(&mut self, value: &[u8]) -> Result<(), Corrupt> {
        check_header(value)?;
        for_each_run(value, |first, register, len| {
            self.0[first..first + len].iter_mut().for_each(|own| *own = register.max(*own));
        })
    }

    /// Takes in the elements of others, as if they had been added here.
    pub fn merge_registers(&mut self, others: &Registers) {
        self.0.iter_mut().zip(others.0.iter()).for_each(|(own, &other)| *own = other.max(*own));
    }

    /// How many different elements.
    pub fn count(&self) -> u64 {
        let mut histogram = Histogram::new();
        self.0.iter().for_each(|&register| histogram.add(register, 1));
        histogram.estimate()
    }

    /// Adds these elements to a value, which then has no valid cached count.
    ///
    /// `dense` makes the value dense even if it could stay sparse: Redis does so when one of the merged values was dense.
    /// Errors: as `add`, but a part may have been added.
    pub fn store_into(&self, value: &mut Vec<u8>, dense: bool, sparse_max: usize) -> Result<(), Corrupt> {
        check_header(value)?;
        if dense {
            make_dense(value)?;
        }
        for (index, &register) in self.0.iter().enumerate().filter(|&(_, &register)| register > 0) {
            set(value, index, register, sparse_max)?;
        }
        forget_count(value);
        Ok(())
    }
}

/// Whether a HyperLogLog has the dense form.
pub fn is_dense(value: &[u8]) -> bool {
    value.get(ENCODING) == Some(&DENSE)
}

fn check_header(value: &[u8]) -> Result<(), Corrupt> {
    if is_hll(value) { Ok(()) } else { Err(Corrupt) }
}

/// The register of an element, and what it should hold at least.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur_hash_64a(element);
    let index = hash as usize % REGISTERS;
    let rest = hash >> INDEX_BITS | 1 << RUN_BITS;
    (index, rest.trailing_zeros() as u8 + 1)
}

/// Raises a register to `register`, which is not 0.
fn set(value: &mut Vec<u8>, index: usize, register: u8, sparse_max: usize) -> Result<bool, Corrupt> {
    let changed = if is_dense(value) {
        set_dense(&mut value[HEADER..], index, register)
    } else {
        set_sparse(value, index, register, sparse_max)?
    };
    if changed {
        forget_count(value);
    }
    Ok(changed)
}

/// Calls back for each run of equal registers: the first one's number, what they hold, how many they are.
///
/// Errors: the runs called back so far lie within the registers.
fn for_each_run(value: &[u8], mut run_of: impl FnMut(usize, u8, usize)) -> Result<(), Corrupt> {
    let body = &value[HEADER..];
    if is_dense(value) {
        (0..REGISTERS).for_each(|index| run_of(index, get_dense(body, index), 1));
        return Ok(());
    }
    let (mut at, mut first) = (0, 0);
    while at < body.len() {
        let (run, size) = Run::read(&body[at..])?;
        let (register, len) = run.registers();
        if first + len > REGISTERS {
            return Err(Corrupt);
        }
        run_of(first, register, len);
        (at, first) = (at + size, first + len);
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

// Dense

/// The two bytes in which a register lies, as a number, and how far up it begins. The last register ends with the last byte.
fn dense_word(body: &[u8], index: usize) -> (usize, u32, u16) {
    let (at, shift) = (index * 6 / 8, index as u32 * 6 % 8);
    (at, shift, u16::from_le_bytes([body[at], body.get(at + 1).copied().unwrap_or(0)]))
}

fn get_dense(body: &[u8], index: usize) -> u8 {
    let (_, shift, word) = dense_word(body, index);
    (word >> shift) as u8 & 63
}

fn set_dense(body: &mut [u8], index: usize, register: u8) -> bool {
    let (at, shift, word) = dense_word(body, index);
    if (word >> shift) as u8 & 63 >= register {
        return false;
    }
    let word = word & !(63 << shift) | u16::from(register) << shift;
    let [low, high] = word.to_le_bytes();
    body[at] = low;
    if let Some(byte) = body.get_mut(at + 1) {
        *byte = high;
    }
    true
}

/// Errors: the value is unchanged.
fn make_dense(value: &mut Vec<u8>) -> Result<(), Corrupt> {
    if is_dense(value) {
        return Ok(());
    }
    let mut dense = vec![0; DENSE_LEN];
    dense[..HEADER].copy_from_slice(&value[..HEADER]);
    dense[ENCODING] = DENSE;
    let body = &mut dense[HEADER..];
    for_each_run(value, |first, register, len| {
        if register > 0 {
            (first..first + len).for_each(|index| _ = set_dense(body, index, register));
        }
    })?;
    *value = dense;
    Ok(())
}

// Sparse

/// A run of equal registers in the sparse form. `len` is never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Zero { len: usize },
    Val { register: u8, len: usize },
}

impl Run {
    /// The run at the start of `bytes`, which are not empty, and its size.
    fn read(bytes: &[u8]) -> Result<(Run, usize), Corrupt> {
        let first = bytes[0];
        match first >> 6 {
            0 => Ok((Run::Zero { len: usize::from(first) + 1 }, 1)),
            1 => {
                let second = *bytes.get(1).ok_or(Corrupt)?;
                Ok((Run::Zero { len: (usize::from(first & 0x3f) << 8 | usize::from(second)) + 1 }, 2))
            }
            _ => Ok((Run::Val { register: (first >> 2 & 0x1f) + 1, len: usize::from(first & 3) + 1 }, 1)),
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Run::Zero { len } if len <= ZERO_MAX => out.push((len - 1) as u8),
            Run::Zero { len } => out.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]),
            Run::Val { register, len } => out.push(0x80 | (register - 1) << 2 | (len - 1) as u8),
        }
    }

    /// What the registers of the run hold, and how many they are.
    fn registers(self) -> (u8, usize) {
        match self {
            Run::Zero { len } => (0, len),
            Run::Val { register, len } => (register, len),
        }
    }

    fn with_len(self, len: usize) -> Run {
        match self {
            Run::Zero { .. } => Run::Zero { len },
            Run::Val { register, .. } => Run::Val { register, len },
        }
    }
}

/// Errors: the value is unchanged.
fn set_sparse(value: &mut Vec<u8>, index: usize, register: u8, sparse_max: usize) -> Result<bool, Corrupt> {
    if register > VAL_REGISTER_MAX {
        return promote(value, index, register);
    }
    // The run that has the register, and the one before it: it may join with what is put here.
    let (mut at, mut first, mut before) = (HEADER, 0, None);
    let (run, size, last) = loop {
        let (run, size) = Run::read(value.get(at..).filter(|rest| !rest.is_empty()).ok_or(Corrupt)?)?;
        let last = first + run.registers().1 - 1;
        if index <= last {
            break (run, size, last);
        }
        before = Some(at);
        (at, first) = (at + size, last + 1);
    };
    if last >= REGISTERS {
        return Err(Corrupt);
    }
    if run.registers().0 >= register {
        return Ok(false);
    }
    let mut parts = Vec::with_capacity(5);
    if index > first {
        run.with_len(index - first).write(&mut parts);
    }
    Run::Val { register, len: 1 }.write(&mut parts);
    if index < last {
        run.with_len(last - index).write(&mut parts);
    }
    if parts.len() > size && value.len() + parts.len() - size > sparse_max {
        return promote(value, index, register);
    }
    value.splice(at..at + size, parts);
    join_equal(value, before.unwrap_or(HEADER));
    Ok(true)
}

/// Joins neighbours of equal registers, from the run before the changed one on: five runs can have become neighbours.
fn join_equal(value: &mut Vec<u8>, mut at: usize) {
    for _ in 0..5 {
        let Some(Ok((run, size))) = value.get(at..).filter(|rest| !rest.is_empty()).map(Run::read) else { return };
        let next = value.get(at + size..).filter(|rest| !rest.is_empty()).map(Run::read);
        match (run, next) {
            (Run::Val { register, len }, Some(Ok((Run::Val { register: same, len: more }, _))))
                if register == same && len + more <= VAL_MAX =>
            {
                value.remove(at);
                value[at] = 0x80 | (register - 1) << 2 | (len + more - 1) as u8; // and perhaps once more with the next
            }
            _ => at += size,
        }
    }
}

fn promote(value: &mut Vec<u8>, index: usize, register: u8) -> Result<bool, Corrupt> {
    make_dense(value)?;
    Ok(set_dense(&mut value[HEADER..], index, register))
}

// Estimate

/// How many registers hold what. A register of 6 bits can hold more than a hash can give.
struct Histogram([u32; 64]);

impl Histogram {
    fn new() -> Self {
        Self([0; 64])
    }

    fn add(&mut self, register: u8, len: usize) {
        self.0[usize::from(register)] += len as u32;
    }

    fn estimate(&self) -> u64 {
        const M: f64 = REGISTERS as f64;
        const ALPHA: f64 = 0.721_347_520_444_481_7; // 1 / (2 ln 2)
        let of = |register: u32| f64::from(self.0[register as usize]);
        let mut z = M * tau((M - of(RUN_BITS + 1)) / M);
        for register in (1..=RUN_BITS).rev() {
            z = (z + of(register)) * 0.5;
        }
        z += M * sigma(of(0) / M);
        (ALPHA * M * M / z).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// MurmurHash64A (Appleby, public domain) with the seed that Redis uses for HyperLogLogs.
fn murmur_hash_64a(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xadc8_3b19;
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 47;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 47).wrapping_mul(M);
    hash ^ hash >> 47
}

/// Random bytes behind a good header, and damaged good values: whatever reads them must end without a panic.
///
/// Panics: with the seed in the message, when a refused change has changed the value, or a changed value is not readable.
pub fn fuzz_hll(seed: u64) {
    let mut random = Random::new(seed);
    let mut value = empty();
    match random.below(4) {
        0 => {
            let len = random.index(40);
            value.truncate(HEADER);
            value.extend((0..len).map(|_| random.next_u64() as u8));
        }
        1 => {
            value.resize(DENSE_LEN, 0);
            value[ENCODING] = DENSE;
            value[HEADER..].iter_mut().for_each(|byte| *byte = random.next_u64() as u8);
        }
        _ => {
            for _ in 0..random.below(300) {
                add(&mut value, &random.next_u64().to_le_bytes(), 3_000).expect("a good value takes elements");
            }
            for _ in 0..random.below(4) {
                match random.index(value.len()) {
                    at if random.one_in(3) => value.truncate(at),
                    at => value[at] ^= 1 << random.below(8),
                }
                if value.is_empty() {
                    return;
                }
            }
        }
    }
    let good = check_header(&value).and_then(|()| Registers::new().merge(&value));
    if good.is_ok() {
        count(&value).unwrap_or_else(|_| panic!("seed {seed}: merged, but not counted"));
    }
    for _ in 0..6 {
        let before = value.clone();
        match add(&mut value, &random.next_u64().to_le_bytes(), 3_000) {
            Ok(true) => assert!(good.is_err() || cached_count(&value).is_none(), "seed {seed}: count is kept"),
            Ok(false) | Err(Corrupt) => assert!(value == before, "seed {seed}: changed all the same"),
        }
        let merged = Registers::new().merge(&value);
        assert_eq!(merged, good, "seed {seed}: another verdict after a change");
    }
    let _ = Registers::new().store_into(&mut value, random.one_in(2), 3_000);
}
