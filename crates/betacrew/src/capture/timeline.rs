//! Counts over time in a fixed number of parts, whose width doubles as the capture goes on.

/// Number of parts.
pub(crate) const PARTS: usize = 480;

/// Width of a part at the beginning, in nanoseconds.
const FIRST_WIDTH: u64 = 1_000;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// Counts of messages over time.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// Time at which the first part begins, in nanoseconds since 1970.
    begin: u64,
    width: u64,
    parts: Vec<u64>,
}

impl Timeline {
    /// Creates the timeline of a capture that begins at a time.
    pub(crate) fn new(begin: u64) -> Self {
        Self { begin, width: FIRST_WIDTH, parts: vec![0; PARTS] }
    }

    /// Returns the width of a part in nanoseconds.
    pub(crate) fn width(&self) -> u64 {
        self.width
    }

    /// Returns the part of a time.
    pub(crate) fn part(&self, at: u64) -> usize {
        usize::try_from(at.saturating_sub(self.begin) / self.width).unwrap_or(usize::MAX)
    }

    /// Adds to the count at a time.
    pub(crate) fn add(&mut self, at: u64, count: u64) {
        let since = at.saturating_sub(self.begin);
        while since / self.width >= PARTS as u64 {
            self.widen(self.width.saturating_mul(2));
        }
        let part = self.part(at);
        if let Some(part) = self.parts.get_mut(part) {
            *part += count;
        }
    }

    /// Makes the parts wider, up to a width that is a power of two times the present one.
    pub(crate) fn widen(&mut self, width: u64) {
        while self.width < width {
            for at in 0..PARTS {
                let pair = self.parts.get(2 * at..2 * at + 2).unwrap_or_default();
                self.parts[at] = pair.iter().sum();
            }
            self.width = self.width.saturating_mul(2);
        }
    }

    /// Returns the counts of all parts.
    pub(crate) fn parts(&self) -> &[u64] {
        &self.parts
    }
}

/// Highest count within a second.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct PeakRate {
    second: u64,
    count: u64,
    peak: u64,
}

impl PeakRate {
    /// Adds to the count at a time in nanoseconds.
    pub(crate) fn add(&mut self, at: u64, count: u64) {
        if at / SECOND != self.second {
            (self.second, self.count) = (at / SECOND, 0);
        }
        self.count += count;
        self.peak = self.peak.max(self.count);
    }

    /// Returns the highest count within a second of the clock.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }
}

/// Number of parts of a power of two in a [`Histogram`], so that a value is known to 3 %.
const SUB_PARTS: u64 = 32;

/// Histogram of times in nanoseconds, which knows each to 3 %.
#[derive(Clone, Default, Debug)]
pub(crate) struct Histogram {
    /// Number of values in each slot; empty before the first value.
    counts: Vec<u64>,
    count: u64,
    highest: u64,
}

/// Returns the slot of a value: values below 32 have one each, each higher power of two has 32.
fn slot(value: u64) -> usize {
    let power = u64::from(value.max(SUB_PARTS).ilog2() - SUB_PARTS.ilog2());
    let within = value >> power;
    usize::try_from(power * SUB_PARTS + within).unwrap_or(usize::MAX)
}

/// Returns the highest value of a slot.
fn highest_in(slot: u64) -> u64 {
    match slot {
        ..SUB_PARTS => slot,
        _ => {
            let power = slot / SUB_PARTS - 1;
            let within = u128::from(slot % SUB_PARTS + SUB_PARTS + 1);
            u64::try_from((within << power) - 1).unwrap_or(u64::MAX)
        }
    }
}

impl Histogram {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; slot(u64::MAX) + 1];
        }
        if let Some(count) = self.counts.get_mut(slot(value)) {
            *count += 1;
        }
        self.count += 1;
        self.highest = self.highest.max(value);
    }

    /// Returns the number of values.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the value that a share of all values in thousandths does not exceed; `None` without
    /// values.
    pub(crate) fn at_most(&self, thousandths: u64) -> Option<u64> {
        let rank = u128::from(self.count) * u128::from(thousandths);
        let rank = u64::try_from(rank.div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        let mut below = 0;
        for (slot, count) in (0..).zip(&self.counts) {
            below += count;
            if below >= rank {
                return Some(highest_in(slot).min(self.highest));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_keeps_its_sum_while_it_widens() {
        let mut timeline = Timeline::new(1_000);
        for at in 0..10_000_u64 {
            timeline.add(1_000 + at * 77_777, 1);
        }
        timeline.add(0, 1);
        assert_eq!(timeline.parts().iter().sum::<u64>(), 10_001);
        assert_eq!(timeline.parts().len(), PARTS);
        timeline.add(u64::MAX, 1);
        assert_eq!(timeline.parts().iter().sum::<u64>(), 10_002);
    }

    #[test]
    fn a_histogram_knows_each_value_to_three_percent() {
        for value in [0, 1, 31, 32, 33, 1_000, 123_456_789, u64::MAX - 1, u64::MAX] {
            let highest = highest_in(slot(value) as u64);
            assert!(highest >= value && highest - value <= value / 32, "{value}: {highest}");
        }
        let mut histogram = Histogram::default();
        assert_eq!(histogram.at_most(500), None);
        (1..=1000).for_each(|value| histogram.add(value));
        let median = histogram.at_most(500).unwrap();
        assert!((500..=516).contains(&median), "{median}");
        assert_eq!(histogram.at_most(1000), Some(1000));
    }

    #[test]
    fn the_peak_is_that_of_a_second() {
        let mut rate = PeakRate::default();
        for (at, count) in [(0, 5), (999_999_999, 5), (1_000_000_000, 7), (5_000_000_000, 2)] {
            rate.add(at, count);
        }
        assert_eq!(rate.peak(), 10);
    }
}
