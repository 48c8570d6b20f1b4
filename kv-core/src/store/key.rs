//! A key, its hash, and the shard it belongs to.
//!
//! One 64-bit hash serves all: the low 32 bits address the table's buckets, bits up to 40 are the table's tags, the low
//! 32 bits are the wheel's tokens, and bits 32 to 56 decide on the shard. The hash is XXH3 with a secret made from a
//! random seed, so that nobody outside can choose keys that collide or that all fall on one shard.
//!
//! The seed is kept with the data: the same seed must give the same places for ever, so neither the expansion of the
//! seed nor the choice of bits may change.

use xxhash_rust::xxh3::xxh3_64_with_secret;

/// The size of the reference implementation's own secret; the hash function demands at least 136.
const SECRET: usize = 192;

/// A key with its hash. Made by a `KeyHasher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
}

/// Hashes keys and places them.
pub struct KeyHasher {
    secret: [u8; SECRET],
}

impl KeyHasher {
    /// A hasher; the same seed gives the same hashes and places on every machine and in every version.
    pub fn new(seed: [u8; 16]) -> KeyHasher {
        // Two SplitMix64 sequences, one from each half of the seed, combined: all 128 bits matter in every word.
        let half = |at: usize| u64::from_le_bytes(seed[at..at + 8].try_into().expect("eight bytes"));
        let (mut a, mut b) = (half(0), half(8) ^ 0x6a09_e667_f3bc_c908);
        let mut secret = [0; SECRET];
        for word in secret.chunks_exact_mut(8) {
            let mixed = mix(&mut a).rotate_left(32) ^ mix(&mut b);
            word.copy_from_slice(&mixed.to_le_bytes());
        }
        KeyHasher { secret }
    }

    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.hash(bytes) }
    }

    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_secret(bytes, &self.secret)
    }

    /// A seed for the hashes within collections, as unknown to outsiders as that of keys.
    pub fn member_seed(&self) -> u64 {
        self.hash(b"members of collections")
    }

    /// The shard of a key: by its {tag} if it has one, as in Redis Cluster, else by the whole key.
    pub fn place(&self, key: &[u8], shards: usize) -> usize {
        place_of(self.hash(tag(key).unwrap_or(key)), shards)
    }

    /// As `place`, without hashing a second time unless the key has a {tag}.
    #[inline]
    pub fn place_key(&self, key: Key<'_>, shards: usize) -> usize {
        match tag(key.bytes) {
            None => place_of(key.hash, shards),
            Some(tag) => place_of(self.hash(tag), shards),
        }
    }
}

/// The next number of a SplitMix64 sequence (Steele, Lea, Flood 2014).
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The shard of a hash: its bits 32 to 56, scaled.
#[inline]
pub fn place_of(hash: u64, shards: usize) -> usize {
    ((((hash >> 32) & 0xff_ffff) * shards as u64) >> 24) as usize
}

/// What stands between the first `{` and the next `}`, if that is anything.
#[inline]
fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = memchr::memchr(b'{', key)?;
    let rest = &key[open + 1..];
    let close = memchr::memchr(b'}', rest)?;
    (close > 0).then(|| &rest[..close])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_hashes_for_ever() {
        let hasher = KeyHasher::new(*b"0123456789abcdef");
        let hashes = [&b""[..], b"a", b"key:000000000001", &[b'x'; 100], &[b'y'; 1000]].map(|k| hasher.hash(k));
        assert_eq!(hashes, GOLDEN);
        assert_ne!(KeyHasher::new(*b"0123456789abcdeg").hash(b"a"), hasher.hash(b"a"));
        assert_ne!(KeyHasher::new(*b"1123456789abcdef").hash(b"a"), hasher.hash(b"a"));
    }

    const GOLDEN: [u64; 5] = [
        402_211_950_539_792_134,
        8_998_686_325_711_947_240,
        13_646_695_546_127_421_260,
        1_733_590_913_525_861_430,
        7_123_968_184_843_880_675,
    ];

    #[test]
    fn only_the_tag_decides_about_the_shard() {
        let hasher = KeyHasher::new([7; 16]);
        for i in 0..100 {
            let keys = [format!("{{user{i}}}.a"), format!("b{{user{i}}}"), format!("{{user{i}}}{{x}}")];
            let places = keys.map(|k| hasher.place(k.as_bytes(), 64));
            assert!(places.iter().all(|&p| p == hasher.place(format!("user{i}").as_bytes(), 64)));
        }
    }

    #[test]
    fn a_tag_is_the_first_non_empty_pair_of_braces() {
        assert_eq!(tag(b"foo{bar}baz"), Some(&b"bar"[..]));
        assert_eq!(tag(b"foo{{bar}}"), Some(&b"{bar"[..]));
        assert_eq!(tag(b"foo{bar}{zap}"), Some(&b"bar"[..]));
        assert_eq!(tag(b"foo{}{bar}"), None);
        assert_eq!(tag(b"foo}{"), None);
        assert_eq!(tag(b"foo{bar"), None);
        assert_eq!(tag(b""), None);
    }

    #[test]
    fn places_of_a_key_agree_and_are_spread_evenly() {
        let hasher = KeyHasher::new([1; 16]);
        for shards in [1, 2, 3, 16] {
            let mut count = vec![0usize; shards];
            for i in 0..16_000 {
                let key = format!("key:{i:012}");
                let place = hasher.place(key.as_bytes(), shards);
                assert_eq!(place, hasher.place_key(hasher.key(key.as_bytes()), shards));
                count[place] += 1;
            }
            let mean = 16_000 / shards;
            assert!(count.iter().all(|&n| n.abs_diff(mean) < mean / 4 + 1), "{count:?}");
        }
    }
}
