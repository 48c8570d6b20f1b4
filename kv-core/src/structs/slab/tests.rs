use super::*;

#[test]
fn blocks_keep_their_bytes_whatever_happens_to_others() {
    for seed in 0..if cfg!(miri) { 1 } else { 20 } {
        fuzz_slab(seed);
    }
}

#[test]
fn pages_that_become_empty_serve_other_sizes() {
    let mut slab = Slab::new();
    let keep = slab.alloc(8);
    let mut most = 0;
    for size in [16, 100, 256, 40, 512, 24] {
        let handles: Vec<Handle> = (0..400_000 / size).map(|_| slab.alloc(size)).collect();
        most = most.max(slab.bytes());
        handles.into_iter().for_each(|handle| slab.free(handle));
        slab.check();
    }
    assert!(most < 600_000, "{most}");
    assert!(slab.bytes() < 4_000, "{}", slab.bytes());
    slab.free(keep);
}

#[test]
fn blocks_of_the_same_size_are_told_by_their_lengths() {
    assert!(Slab::same_size(17, 24) && Slab::same_size(0, 8) && Slab::same_size(505, 512));
    assert!(!Slab::same_size(24, 25) && !Slab::same_size(512, 513));
    assert!(!Slab::same_size(600, 601) && Slab::same_size(600, 600));
}

#[test]
fn a_frozen_slab_tells_its_blocks_whatever_becomes_of_the_slab() {
    for size in [24, 600] {
        let mut slab = Slab::new();
        let mut handles: Vec<Handle> = (0..20_000u32).map(|n| numbered(&mut slab, size, n)).collect();
        let before: Vec<u32> = (0..20_000).filter(|n| n % 3 != 0).collect();
        handles.iter().step_by(3).for_each(|&handle| slab.free(handle));
        let (bytes, frozen) = (slab.bytes(), slab.freeze());
        assert_eq!((slab.bytes(), frozen.blocks()), (bytes, before.len()), "freezing takes and gives no memory");
        // Blocks are freed, overwritten and added, then everything goes.
        let kept = handles.split_off(15_000);
        let gone = |(at, _): &(usize, &Handle)| at % 3 != 0;
        handles.iter().enumerate().filter(gone).for_each(|(_, &handle)| slab.free(handle));
        kept.iter().enumerate().filter(gone).for_each(|(_, &handle)| slab.tail_mut(handle)[..4].fill(0xFF));
        for _ in 0..5_000 {
            numbered(&mut slab, size, u32::MAX);
        }
        slab.check();
        let later = slab.freeze();
        drop(slab);
        assert_eq!(numbers(frozen), before);
        let (kept, added) = (kept.iter().enumerate().filter(gone).count(), 5_000);
        assert_eq!(numbers(later), vec![u32::MAX; kept + added]);
    }
}

fn numbered(slab: &mut Slab, size: usize, number: u32) -> Handle {
    let handle = slab.alloc(size);
    slab.tail_mut(handle)[..4].copy_from_slice(&number.to_le_bytes());
    handle
}

fn numbers(frozen: FrozenSlab) -> Vec<u32> {
    let mut all = Vec::new();
    std::thread::spawn(move || {
        frozen.for_each(|tail| all.push(u32::from_le_bytes(*tail.first_chunk().expect("a block"))));
        all.sort_unstable();
        all
    })
    .join()
    .expect("no panic")
}
