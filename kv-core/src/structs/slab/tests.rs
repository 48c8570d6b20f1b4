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
