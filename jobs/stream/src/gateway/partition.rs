//! In which partition a key's records lie.

use std::collections::BTreeSet;

const SEED: u32 = 0x9747_b28c;
const FACTOR: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The partitions of these keys in a topic of `count` partitions, as Kafka's clients choose them.
#[must_use]
pub fn of_keys(keys: &[String], count: i32) -> BTreeSet<i32> {
    keys.iter()
        .map(|key| of_key(key.as_bytes(), count))
        .collect()
}

fn of_key(key: &[u8], count: i32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    let count = u32::try_from(count.max(1)).unwrap_or(1);
    i32::try_from(positive % count).unwrap_or_default()
}

// MurmurHash2 by Austin Appleby (public domain), 32 bits, with the seed of Kafka's Java client.
fn murmur2(data: &[u8]) -> u32 {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = word
            .iter()
            .rev()
            .fold(0_u32, |all, byte| (all << 8) | u32::from(*byte))
            .wrapping_mul(FACTOR);
        k ^= k >> SHIFT;
        hash = hash.wrapping_mul(FACTOR) ^ k.wrapping_mul(FACTOR);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest
            .iter()
            .rev()
            .fold(0_u32, |all, byte| (all << 8) | u32::from(*byte));
        hash = hash.wrapping_mul(FACTOR);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_java_client() {
        for (text, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()), hash.cast_unsigned(), "{text}");
        }
    }

    #[test]
    fn every_key_has_a_partition() {
        let keys: Vec<String> = (0..100).map(|n| format!("car-{n}")).collect();
        assert_eq!(of_keys(&keys, 3), BTreeSet::from([0, 1, 2]));
        assert_eq!(of_keys(&keys, 1), BTreeSet::from([0]));
        assert!(of_keys(&[], 3).is_empty());
    }
}
