//! Seeded numbers, the same on every machine. Each model draws from a stream of its own, so that what one of them
//! draws changes nothing in another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One stream of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream of this name under this seed.
    pub fn new(seed: u64, stream: &str) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed ^ hash(stream)))
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From `from` to below `to`.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// One of `count`, from 0 on; 0 for none.
    pub fn index(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// Around 0, at most `width` away.
    pub fn noise(&mut self, width: f64) -> f64 {
        (self.unit() + self.unit() - 1.0) * width
    }

    /// Normally distributed around 0 with deviation 1.
    pub fn gaussian(&mut self) -> f64 {
        // 1 - unit() is never 0.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// FNV-1a.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Nearest multiple of `step`.
pub(crate) fn quantise(value: f64, step: f64) -> f64 {
    // Divided once more, so that 0.1 is 0.1 and not 0.1000…01.
    let digits = 1e6;
    ((value / step).round() * step * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, name| {
            let mut random = Random::new(seed, name);
            (0..4).map(|_| random.unit()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "tyre"), draw(1, "tyre"));
        assert_ne!(draw(1, "tyre"), draw(1, "fuel"));
        assert_ne!(draw(1, "tyre"), draw(2, "tyre"));
    }

    #[test]
    fn numbers_are_where_they_should_be() {
        let mut random = Random::new(7, "x");
        let many: Vec<f64> = (0..20_000).map(|_| random.gaussian()).collect();
        let mean = many.iter().sum::<f64>() / 20_000.0;
        let square = many.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (square - 1.0).abs() < 0.05,
            "{mean} {square}"
        );
        assert!((0..1000).all(|_| random.index(3) < 3));
        assert_eq!(random.index(0), 0);
        assert_eq!(quantise(0.14, 0.1), 0.1);
        assert_eq!(quantise(231.0, 1.379), 231.672);
    }
}
