//! Which packets a stream loses: a pure function of seed, connection, pass and sequence.

use crate::rng;
use crate::seq::{Seq, SeqRange, SeqSet};
use core::fmt;
use core::str::FromStr;

/// A probability, exact to 2^-32 so that it means the same on every machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chance {
    /// Of 2^32.
    parts: u64,
}

const WHOLE: u64 = 1 << 32;

impl Chance {
    /// It never happens.
    pub const NEVER: Self = Self { parts: 0 };

    /// `numerator` times in `denominator`.
    #[must_use]
    pub const fn of(numerator: u32, denominator: u32) -> Option<Self> {
        if denominator == 0 || numerator > denominator {
            return None;
        }
        Some(Self { parts: ((numerator as u64) << 32) / denominator as u64 })
    }

    /// As a number from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "33 bits fit a double")]
    pub fn as_f64(self) -> f64 {
        self.parts as f64 / WHOLE as f64
    }

    /// 64 independent draws: a bit is set with this probability. `word` gives random words, always
    /// the same one for the same number.
    ///
    /// It reads the probability's binary digits from the last to the first: OR with a random bit
    /// maps p to (1 + p) / 2 and AND maps it to p / 2, which is what a leading digit 1 or 0 does.
    fn draw(self, word: impl Fn(u64) -> u64) -> u64 {
        if self.parts >= WHOLE {
            return u64::MAX;
        }
        if self.parts == 0 {
            return 0;
        }
        let mut drawn = 0;
        for digit in self.parts.trailing_zeros()..32 {
            let random = word(u64::from(digit));
            drawn = if self.parts >> digit & 1 == 1 { drawn | random } else { drawn & random };
        }
        drawn
    }
}

impl FromStr for Chance {
    type Err = ChanceParseError;

    /// Parses `0.25` or `25%`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the value was checked to lie between 0 and 1"
    )]
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (number, scale) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (text, 1.0),
        };
        match number.parse::<f64>().map(|value| value / scale) {
            Ok(value) if (0.0..=1.0).contains(&value) => {
                Ok(Self { parts: (value * WHOLE as f64 + 0.5) as u64 })
            }
            _ => Err(ChanceParseError),
        }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded to a hundredth of a percent, without zeros at the end.
        let hundredths = (self.parts * 10_000 + WHOLE / 2) / WHOLE;
        match (hundredths / 100, hundredths % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

/// A text is no probability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChanceParseError;

impl fmt::Display for ChanceParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a probability is a number from 0 to 1, or a percentage: 0.25 or 25%")
    }
}

impl core::error::Error for ChanceParseError {}

/// How many sequences one mask covers.
pub const BLOCK: u32 = 64;

/// What the streams of an exchange lose.
#[derive(Clone, Debug)]
pub struct Drops {
    /// Decides the random losses.
    pub seed: u64,
    /// How likely each packet is lost, independently of all others.
    pub chance: Chance,
    /// Sequences that every stream loses.
    pub skip: SeqSet,
    /// Spares this sequence (the tape's last) from random loss. `skip` wins over it.
    pub keep: Option<Seq>,
}

impl Drops {
    /// Nothing is lost.
    #[must_use]
    pub const fn none() -> Self {
        Self { seed: 0, chance: Chance::NEVER, skip: SeqSet::new(), keep: None }
    }

    /// What pass `pass` (from 0) on connection `connection` (from 0) loses of the sequences
    /// `block * 64 .. block * 64 + 64`: bit `i` is set where `block * 64 + i` is lost.
    #[must_use]
    pub fn mask(&self, connection: u64, pass: u32, block: u32) -> u64 {
        let key = rng::nth(rng::nth(self.seed, connection), u64::from(pass));
        let mut mask = self.chance.draw(|digit| rng::nth(key, u64::from(block) * 32 + digit));
        if let Some(keep) = self.keep.filter(|keep| keep / BLOCK == block) {
            mask &= !(1 << (keep % BLOCK));
        }
        if !self.skip.is_empty() {
            mask |= self.skipped(block);
        }
        mask
    }

    fn skipped(&self, block: u32) -> u64 {
        let start = block * BLOCK;
        let Some(all) = SeqRange::counted(start, BLOCK) else { return 0 };
        let from = self.skip.ranges().partition_point(|range| range.last() < start);
        let inside = self.skip.ranges()[from..].iter().map_while(|range| range.intersect(all));
        inside.fold(0, |mask, part| {
            let ones = u64::MAX >> (BLOCK - part.len());
            mask | ones << (part.first() - start)
        })
    }

    /// The contiguous ranges from `from` to `to` that a pass keeps.
    pub fn kept(
        &self,
        connection: u64,
        pass: u32,
        from: Seq,
        to: Seq,
    ) -> impl Iterator<Item = SeqRange> {
        let mut from = from;
        let mut mask = (u32::MAX, 0);
        core::iter::from_fn(move || {
            while from <= to {
                let (block, bit) = (from / BLOCK, from % BLOCK);
                if mask.0 != block {
                    mask = (block, self.mask(connection, pass, block));
                }
                let ahead: u64 = mask.1 >> bit;
                let left = BLOCK - bit;
                let lost = ahead.trailing_ones().min(left);
                if lost == 0 {
                    let run = ahead.trailing_zeros().min(left);
                    let part = SeqRange::new(from, (from + run - 1).min(to));
                    from += run;
                    return part;
                }
                from += lost;
            }
            None
        })
    }

    /// Whether that pass loses that sequence.
    #[must_use]
    pub fn drops(&self, connection: u64, pass: u32, seq: Seq) -> bool {
        self.mask(connection, pass, seq / BLOCK) >> (seq % BLOCK) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn drops(chance: &str, skip: &str, keep: Option<Seq>) -> Drops {
        Drops { seed: 42, chance: chance.parse().unwrap(), skip: skip.parse().unwrap(), keep }
    }

    fn lost(drops: &Drops, pass: u32, upto: Seq) -> Vec<Seq> {
        (1..=upto).filter(|&seq| drops.drops(0, pass, seq)).collect()
    }

    #[test]
    fn the_same_seed_loses_the_same_packets_for_ever() {
        let quarter = drops("0.25", "", None);
        assert_eq!(lost(&quarter, 0, 40), GOLDEN_FIRST_PASS);
        assert_ne!(lost(&quarter, 1, 40), GOLDEN_FIRST_PASS, "another pass, other losses");
        assert_ne!(quarter.mask(1, 0, 0), quarter.mask(0, 0, 0), "another connection too");
        assert_eq!(drops("0.3", "", None).mask(3, 2, 1000), GOLDEN_MASK);
    }

    // Computed by another implementation, in Python.
    const GOLDEN_FIRST_PASS: [Seq; 11] = [6, 11, 15, 18, 21, 22, 27, 28, 29, 35, 40];
    const GOLDEN_MASK: u64 = 0x7872_8083_0a20_a13b;

    #[test]
    fn the_rate_is_the_one_asked_for() {
        for (chance, rate) in
            [("0", 0.0), ("1", 1.0), ("25%", 0.25), ("0.3", 0.3), ("0.999", 0.999)]
        {
            let drops = drops(chance, "", None);
            let count: u32 = (0..4000).map(|block| drops.mask(9, 0, block).count_ones()).sum();
            let measured = f64::from(count) / (4000.0 * 64.0);
            // Five standard deviations.
            let spread = 5.0 * (rate * (1.0 - rate) / 256_000.0_f64).sqrt();
            assert!((measured - rate).abs() <= spread, "{chance}: {measured}");
        }
    }

    #[test]
    fn a_pass_is_independent_of_the_one_before() {
        let quarter = drops("0.25", "", None);
        let both: u32 =
            (0..4000).map(|b| (quarter.mask(0, 0, b) & quarter.mask(0, 1, b)).count_ones()).sum();
        assert!((f64::from(both) / 256_000.0 - 0.0625).abs() < 0.0024, "{both}");
    }

    #[test]
    fn listed_sequences_are_always_lost_and_the_last_is_kept() {
        let listed = drops("0", "2,60-70,192", None);
        let expected: Vec<Seq> = [2].into_iter().chain(60..=70).chain([192]).collect();
        assert_eq!(lost(&listed, 0, 300), expected);
        assert_eq!(lost(&drops("1", "", Some(64)), 0, 65), (1..64).chain([65]).collect::<Vec<_>>());
        assert_eq!(lost(&drops("0", "64", Some(64)), 0, 65), [64], "what is listed wins");
        assert_eq!(lost(&drops("0", "1-2147483647", None), 0, 200).len(), 200);
        assert!(drops("0", "2147483647", None).drops(0, 0, 2_147_483_647));
    }

    #[test]
    fn chances_parse_and_print() {
        for (text, shown) in [("0.25", "25%"), ("25 %", "25%"), ("0.0125", "1.25%"), ("1", "100%")]
        {
            assert_eq!(text.parse::<Chance>().unwrap().to_string(), shown);
        }
        assert_eq!("0.25".parse::<Chance>().ok(), Chance::of(1, 4));
        for bad in ["-0.1", "1.1", "101%", "NaN", "x", ""] {
            assert!(bad.parse::<Chance>().is_err(), "{bad}");
        }
        assert_eq!(Chance::of(2, 1), None);
    }
}
