//! Recovery policy in numbers: how doubtful the end is, how many passes to run, how long to wait.

/// Maximum number of passes that run side by side while a pass is no larger than
/// [`SMALL_PASS_BYTES`].
pub const PARALLEL_PASSES: u32 = 12;
/// Maximum size of a pass that runs beside others, in bytes.
pub const SMALL_PASS_BYTES: usize = 256 * 1024;

/// Maximum number of passes without any packet before the recorder stops.
pub const EMPTY_PASSES_MAX: u32 = 20;

/// Maximum number of consecutive passes without a new packet before the recorder stops.
pub const FRUITLESS_PASSES_MAX: u32 = 64;

/// Maximum number of passes that the policy runs by itself.
pub const PASSES_MAX: u32 = 200;

/// Maximum number of consecutive undecodable frames on a connection before it is cut.
pub const GARBAGE_FRAMES_MAX: u32 = 64;

/// Number of streams that deliver nothing until they time out after which the line is given up.
pub const SILENT_STREAMS_MAX: u32 = 2;

/// Minimum number of passes before an end that no exchange confirms is believed.
pub const TAIL_PASSES_MIN: u32 = 2;

/// Losses that complete passes have shown.
///
/// A pass loses each packet with the same unknown probability, independently of the others, because
/// the original exchange behaves like that. A packet that no pass has shown may then still exist
/// above the highest one seen. The probability of that follows from how many of the known packets
/// the passes have missed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct PassStats {
    /// Number of passes that ran to their end.
    pub complete: u32,
    /// Number of packets that those passes delivered, added up.
    pub delivered: u64,
}

impl PassStats {
    /// Returns the doubt that `passes` passes leave: the probability, given `known` packets, that
    /// one more packet exists and every pass missed it.
    ///
    /// That is the mean of p^passes over the distribution of the loss p, where every p is equally
    /// likely at first. With m of n packets missed, the mean is the product over i < passes of
    /// (m + 1 + i) / (n + 2 + i).
    #[must_use]
    pub fn doubt(&self, known: u32, passes: u32) -> f64 {
        let (lost, of) = self.losses(known);
        doubt(lost, of, passes)
    }

    /// Returns the number of further passes that bring the doubt of `runs` passes below `bound`, if
    /// they miss as many packets as the passes before; `most` at the most.
    #[must_use]
    pub fn more(&self, known: u32, runs: u32, bound: f64, most: u32) -> u32 {
        let (lost, of) = self.losses(known);
        (1..most)
            .find(|&more| {
                let grown = 1.0 + f64::from(more) / f64::from(self.complete.max(1));
                doubt(lost * grown, of * grown, runs + more) < bound
            })
            .unwrap_or(most)
    }

    /// Returns how many packets the passes missed, and how many they should have delivered.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn losses(&self, known: u32) -> (f64, f64) {
        let of = u64::from(known) * u64::from(self.complete);
        (of.saturating_sub(self.delivered) as f64, of as f64)
    }
}

fn doubt(lost: f64, of: f64, passes: u32) -> f64 {
    let mut product = 1.0;
    for i in (0..passes).map(f64::from) {
        product *= (lost + 1.0 + i) / (of + 2.0 + i);
        // A product this small is below any bound, and stopping here limits the work.
        if product < 1e-30 {
            break;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_follows_from_what_was_lost() {
        // Nothing lost in one pass of 13: the next one is lost with 1 in 15.
        let clean = PassStats { complete: 1, delivered: 13 };
        assert!((clean.doubt(13, 1) - 1.0 / 15.0).abs() < 1e-12);
        // A quarter lost: about ten passes leave a doubt of one in a million.
        let quarter = |complete: u32| PassStats { complete, delivered: u64::from(complete) * 750 };
        let enough = (1..).find(|&k| quarter(k).doubt(1000, k) < 1e-6).unwrap();
        assert!((10..=11).contains(&enough), "{enough}");
        assert_eq!(1 + quarter(1).more(1000, 1, 1e-6, 99), enough);
        // Nothing seen at all: no number of passes is proof.
        assert!(PassStats { complete: 20, delivered: 0 }.doubt(0, 20) > 0.04);
        assert_eq!(clean.more(0, 1, 1e-6, 12), 12);
        // No pass yet: all is open.
        assert!((PassStats::default().doubt(5, 0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_clean_feed_of_a_million_needs_no_second_pass_to_speak_of() {
        let clean = PassStats { complete: 1, delivered: 1_000_000 };
        assert!(clean.doubt(1_000_000, 1) < 1e-6);
    }
}
