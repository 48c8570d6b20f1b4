//! Memory in huge pages, made and touched ahead of use by a thread that has nothing else to do.
//!
//! A lookup in a large keyspace misses the processor's table of addresses as often as its caches; with pages of 2 MiB it
//! does not. But the first touch of such a page zeroes it, and on a virtual machine may have to wait for the host, for
//! milliseconds: too long for the thread that serves clients. So whoever needs memory takes a slice of what is ready, and
//! when nothing is, ordinary memory must do.
//!
//! ```text
//! piece: one huge page of 2 MiB   | slice: 256 KiB | slice | ... |        a slice is out, ready (touched), or bare (not there)
//!
//! refill: new piece, or bare slices touched again -> ready --take--> heap, table --drop--> ready
//! trim:   whole pieces go back to the system, other ready slices become bare
//! ```
//!
//! Slices are small against a piece, so that many heaps and tables waste little; and what lies ready goes back when nobody
//! has asked for a while, so that a server at rest holds what it needs. A piece with bare slices is no huge page any more.
//!
//! There is one pool in a process, and nothing in it until `enable` was called. It knows no thread: who calls `refill` and
//! `trim`, is called by `wake` when it is time. Where the system has no huge pages, slices are ordinary memory, still
//! touched ahead.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A huge page of most machines, bytes.
const PIECE: usize = 2 << 20;
pub const SLICE: usize = 256 << 10;
const SLICES: usize = PIECE / SLICE;

/// With fewer slices than this ready there is something to do for `refill`: 1 MiB is some 10,000 small entries.
const READY_MIN: usize = 4;

/// Memory of `SLICE` bytes, aligned to as much.
pub struct Slice {
    memory: NonNull<u8>,
    /// It may hold something else than zeros.
    used: bool,
}

// SAFETY: a slice owns its memory.
unsafe impl Send for Slice {}

/// The slices of a piece, one bit each; those without any bit are out.
#[derive(Clone, Copy, Default)]
struct Piece {
    ready: u8,
    /// Of those ready: not zeroed.
    used: u8,
    bare: u8,
}

const ALL: u8 = u8::MAX;
const _: () = assert!(SLICES == ALL.count_ones() as usize);

struct Pool {
    wake: Option<fn()>,
    /// By address.
    pieces: BTreeMap<usize, Piece>,
    /// Pieces with slices that are ready.
    stocked: Vec<usize>,
    ready: usize,
    bare: usize,
}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { wake: None, pieces: BTreeMap::new(), stocked: Vec::new(), ready: 0, bare: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    // What is done under the lock does not panic half-way.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to serve. `wake` is called, under a lock, when there is something to do for `refill` or, later, for `trim`.
pub fn enable(wake: fn()) {
    pool().wake = Some(wake);
}

/// A slice, if one is ready.
pub(super) fn take() -> Option<Slice> {
    let mut pool = pool();
    let wake = pool.wake?;
    let slice = pool.take();
    if pool.ready < READY_MIN {
        wake();
    }
    slice
}

/// Makes some slices ready if few are; says whether it did. Cost: up to milliseconds.
pub fn refill() -> bool {
    let mut pool = pool();
    if pool.ready >= READY_MIN {
        return false;
    }
    if pool.bare > 0
        && let Some((&address, piece)) = pool.pieces.iter_mut().find(|(_, piece)| piece.bare != 0)
    {
        // They are nobody's meanwhile.
        let bare = std::mem::take(&mut piece.bare);
        pool.bare -= bare.count_ones() as usize;
        drop(pool);
        slices_of(bare).for_each(|index| system::touch(memory_at(address + index * SLICE), SLICE));
        self::pool().add_ready(address, bare, 0);
        return true;
    }
    drop(pool);
    let Some(memory) = system::map() else { return false };
    let address = memory.as_ptr().expose_provenance();
    self::pool().add_ready(address, ALL, 0);
    true
}

/// Gives back to the system what lies ready.
pub fn trim() {
    let mut pool = pool();
    for address in std::mem::take(&mut pool.stocked) {
        let Some(&piece) = pool.pieces.get(&address) else { continue };
        pool.ready -= piece.ready.count_ones() as usize;
        if piece.ready | piece.bare == ALL {
            pool.bare -= piece.bare.count_ones() as usize;
            pool.pieces.remove(&address);
            // SAFETY: no slice of the piece is out, and none will be.
            unsafe { system::unmap(memory_at(address), PIECE) }
        } else {
            // SAFETY: the slices are nobody's.
            slices_of(piece.ready)
                .for_each(|index| unsafe { system::strip(memory_at(address + index * SLICE), SLICE) });
            pool.bare += piece.ready.count_ones() as usize;
            pool.pieces.insert(address, Piece { ready: 0, used: 0, bare: piece.bare | piece.ready });
        }
    }
}

/// Bytes that lie ready and that nobody uses.
pub fn ready_bytes() -> usize {
    pool().ready * SLICE
}

fn slices_of(mask: u8) -> impl Iterator<Item = usize> {
    (0..SLICES).filter(move |index| mask & (1 << index) != 0)
}

/// Memory of a piece in the pool.
fn memory_at(address: usize) -> NonNull<u8> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(address)).expect("a piece lies somewhere")
}

impl Pool {
    fn take(&mut self) -> Option<Slice> {
        let &address = self.stocked.last()?;
        let piece = self.pieces.get_mut(&address).expect("stocked pieces are known");
        let index = piece.ready.trailing_zeros();
        let used = piece.used & (1 << index) != 0;
        piece.ready &= !(1 << index);
        piece.used &= !(1 << index);
        if piece.ready == 0 {
            self.stocked.pop();
        }
        self.ready -= 1;
        Some(Slice { memory: memory_at(address + index as usize * SLICE), used })
    }

    fn add_ready(&mut self, address: usize, ready: u8, used: u8) {
        let piece = self.pieces.entry(address).or_default();
        if piece.ready == 0 {
            self.stocked.push(address);
        }
        piece.ready |= ready;
        piece.used |= used;
        self.ready += ready.count_ones() as usize;
    }
}

impl Slice {
    /// The memory, which is the caller's until `from_raw`.
    pub(super) fn into_raw(self) -> NonNull<u8> {
        let memory = self.memory;
        std::mem::forget(self);
        memory
    }

    /// As `into_raw`; all bytes are 0.
    pub(super) fn into_zeroed(self) -> NonNull<u8> {
        if self.used {
            // SAFETY: the slice owns so many bytes.
            unsafe { self.memory.write_bytes(0, SLICE) }
        }
        self.into_raw()
    }

    /// # Safety
    /// The memory came from `into_raw` or `into_zeroed`, and is given back once.
    pub(super) unsafe fn from_raw(memory: NonNull<u8>) -> Slice {
        Slice { memory, used: true }
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        let address = self.memory.as_ptr().addr();
        let bit = 1 << (address % PIECE / SLICE);
        let mut pool = pool();
        pool.add_ready(address - address % PIECE, bit, bit);
        if let Some(wake) = pool.wake {
            // So that it is trimmed later.
            wake();
        }
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use super::PIECE;
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
    use std::ptr::{self, NonNull};

    /// A piece, touched.
    pub(super) fn map() -> Option<NonNull<u8>> {
        // Recent kernels align mappings of this size by themselves, and place them side by side.
        let memory = map_bytes(PIECE)?;
        let memory = if memory.as_ptr().addr().is_multiple_of(PIECE) {
            memory
        } else {
            // SAFETY: it was mapped just now.
            unsafe { unmap(memory, PIECE) }
            // Twice as much holds an aligned piece wherever it lies; the rest goes back at once.
            let whole = map_bytes(2 * PIECE)?;
            let before = whole.as_ptr().align_offset(PIECE);
            // SAFETY: all parts are within the mapping, and what is given back is not used.
            unsafe {
                unmap(whole, before);
                unmap(whole.add(before + PIECE), PIECE - before);
                whole.add(before)
            }
        };
        // SAFETY: the range is ours, and the advice changes nothing that is in it. A system without huge pages says no.
        let _ = unsafe { madvise(memory.as_ptr().cast(), PIECE, Advice::LinuxHugepage) };
        touch(memory, PIECE);
        Some(memory)
    }

    fn map_bytes(bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: a new mapping at an address that the system chooses touches nothing that exists.
        let memory =
            unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
        NonNull::new(memory.ok()?.cast())
    }

    /// Makes the pages of a mapped range exist. What is in them stays.
    pub(super) fn touch(memory: NonNull<u8>, bytes: usize) {
        // SAFETY: the advice changes nothing that is in the range; called for ranges that nobody uses meanwhile.
        unsafe {
            if madvise(memory.as_ptr().cast(), bytes, Advice::LinuxPopulateWrite).is_err() {
                // Kernels before 5.14.
                for at in (0..bytes).step_by(4096) {
                    let byte = memory.as_ptr().add(at);
                    byte.write_volatile(byte.read_volatile());
                }
            }
        }
    }

    /// Gives the pages of a range back; it stays mapped, and reads as zeros.
    ///
    /// # Safety
    /// The range was mapped here, and nobody needs what is in it.
    pub(super) unsafe fn strip(memory: NonNull<u8>, bytes: usize) {
        // SAFETY: as promised. On failure the pages stay and hold something: nothing here fails for a mapped range.
        unsafe { madvise(memory.as_ptr().cast(), bytes, Advice::LinuxDontNeed) }.expect("a mapped range");
    }

    /// # Safety
    /// The range was mapped here, and is not used again.
    pub(super) unsafe fn unmap(memory: NonNull<u8>, bytes: usize) {
        if bytes > 0 {
            // It fails only when the system has no memory for its own notes; the range stays mapped then, which harms nobody.
            // SAFETY: as promised.
            let _ = unsafe { munmap(memory.as_ptr().cast(), bytes) };
        }
    }
}

/// Other systems: nothing is ever ready.
#[cfg(not(all(target_os = "linux", not(miri))))]
mod system {
    use std::ptr::NonNull;

    pub(super) fn map() -> Option<NonNull<u8>> {
        None
    }

    pub(super) fn touch(_: NonNull<u8>, _: usize) {}

    pub(super) unsafe fn strip(_: NonNull<u8>, _: usize) {}

    pub(super) unsafe fn unmap(_: NonNull<u8>, _: usize) {}
}

#[cfg(all(test, target_os = "linux", not(miri)))]
pub(super) mod tests {
    use super::*;

    /// Tests share the pool: one at a time may look at what is in it.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Runs `f` with so many slices ready, and nobody else taking some.
    pub fn with_slices<R>(count: usize, f: impl FnOnce() -> R) -> R {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        enable(|| ());
        let mut kept = Vec::new();
        while kept.len() < count {
            refill();
            kept.extend(take());
        }
        drop(kept);
        let result = f();
        pool().wake = None;
        trim();
        result
    }

    /// Pieces, bare slices, ready ones.
    fn state() -> (usize, usize, usize) {
        let pool = pool();
        (pool.pieces.len(), pool.bare, pool.ready)
    }

    #[test]
    fn slices_are_aligned_apart_and_zeroed_when_they_are_said_to_be() {
        with_slices(20, || {
            for round in 0..2 {
                let slices: Vec<NonNull<u8>> = (0..20).map(|_| take().expect("ready").into_zeroed()).collect();
                for (at, &slice) in slices.iter().enumerate() {
                    assert!(slice.as_ptr().addr().is_multiple_of(SLICE));
                    // SAFETY: a slice has so many bytes, and it is ours.
                    let bytes = unsafe { std::slice::from_raw_parts_mut(slice.as_ptr(), SLICE) };
                    assert!(bytes.iter().all(|&byte| byte == 0), "round {round}");
                    bytes.fill(at as u8 + 1);
                }
                for (at, slice) in slices.into_iter().enumerate() {
                    // SAFETY: as above; then it is given back.
                    unsafe {
                        assert_eq!((*slice.as_ptr(), *slice.as_ptr().add(SLICE - 1)), (at as u8 + 1, at as u8 + 1));
                        drop(Slice::from_raw(slice));
                    }
                }
            }
        });
    }

    #[test]
    fn what_lies_ready_goes_back_and_comes_again() {
        with_slices(SLICES, || {
            let kept = take().expect("ready");
            assert!(ready_bytes() >= (SLICES - 1) * SLICE);
            trim();
            assert_eq!(ready_bytes(), 0);
            let (pieces, bare, ready) = state();
            assert_eq!((pieces, bare, ready), (1, SLICES - 1, 0), "the piece with the slice that is out");
            assert!(take().is_none());
            assert!(refill(), "the bare ones first");
            assert_eq!(state(), (1, bare - (SLICES - 1), SLICES - 1));
            let again = take().expect("ready");
            assert!(!again.used);
            drop((kept, again));
            trim();
            assert_eq!(state(), (0, 0, 0));
        });
    }
}
