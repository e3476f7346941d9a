//! Reproducible randomness: a seed gives the same numbers on every machine and in every version.
//! The generators are published ones, implemented here because libraries may change the numbers of
//! a seed.

use crate::base::seq::Seq;

/// Applies the finalizer of SplitMix64 (Steele, Lea and Flood, 2014): a bijection of 64 bits in
/// which each input bit flips each output bit with probability 1/2.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let z = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns number `index` of the SplitMix64 sequence of `key`, without computing the numbers before
/// it.
#[must_use]
pub const fn nth(key: u64, index: u64) -> u64 {
    mix(key.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// SplitMix64 generator.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Creates the generator of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        let bits = nth(self.state, 0);
        self.state = self.state.wrapping_add(GOLDEN);
        bits
    }

    /// Returns a number from 0 to `bound - 1`, uniform to within 2^-32 (Lemire's multiplication); 0
    /// if `bound` is 0.
    pub const fn below(&mut self, bound: u32) -> u32 {
        let product = (self.bits() >> 32) * bound as u64;
        (product >> 32) as u32
    }

    /// Returns a number from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        debug_assert!(low <= high && high - low < u32::MAX);
        low + self.below(high - low + 1)
    }

    /// Returns a sequence from `low` to `high`, both included and at most 2^32 - 2 apart.
    pub fn seq_between(&mut self, low: Seq, high: Seq) -> Seq {
        debug_assert!(low <= high && high - low < u64::from(u32::MAX));
        low + Seq::from(self.below(u32::try_from(high - low + 1).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_numbers() {
        // SplitMix64 with seed 1234567: the vector that several libraries test against.
        let mut rng = Rng::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(expected.map(|_| rng.bits()), expected);
        assert_eq!(nth(1_234_567, 3), expected[3]);
    }

    #[test]
    fn bounds_hold() {
        let mut rng = Rng::new(7);
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            seen[rng.below(6) as usize] += 1;
            assert!((3..=5).contains(&rng.between(3, 5)));
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }
}
