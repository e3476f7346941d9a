//! The policy of recovery: how sure the end is, how many passes to run, how long to wait.

use core::time::Duration;

/// The least time that a describe call gets for its answer before passes begin without it.
pub const DESCRIBE_WAIT: Duration = Duration::from_millis(25);

/// The least time that it gets where a recording of a known session cannot go on without: from the
/// first bytes that the line brings. A line that brings none has [`Options::timeout`].
///
/// [`Options::timeout`]: crate::client::RecorderOptions::timeout
pub const SESSION_WAIT: Duration = Duration::from_secs(2);

/// The least time that resend calls get for their answers; doubled with each failure.
pub const ANSWER_WAIT: Duration = Duration::from_millis(250);

/// The first pause between two tries, doubled each time, and the max_range.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// See [`BACKOFF_MIN`].
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A stream that brings nothing for so long does not keep the others waiting.
pub const STREAM_LAG: Duration = Duration::from_millis(250);

/// After so long without anything from any stream, the rest of a session whose end is known is
/// asked for instead.
pub const STREAM_SILENCE: Duration = Duration::from_secs(2);

/// After so many failures in a row to have packets sent again, streams are tried beside it.
pub const RESEND_FAILURES_MAX: u32 = 2;

/// Time for which a line that is out of reach keeps a session from being taken for over, once
/// another line plays another one or tells the end.
pub const LINE_ABSENCE_MAX: Duration = Duration::from_secs(10);

/// Time that lines get to agree on the end of a session, from when the first of them tells it. A
/// line that has said nothing of an end by then is not waited for, and packets beyond another
/// line's end that have not come by then do not exist.
pub const END_DISPUTE_MAX: Duration = Duration::from_secs(10);

/// How long a connection that we have finished may stay silent before it is closed. An exchange
/// ends its side at once, so this is only ever waited for where a peer does not; closing earlier
/// could reset a connection that bytes are still on their way on, which an original dies of.
pub const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// Maximum time that a follower which is stopped waits for packets that are missing and can be had
/// by resends. It covers an answer that takes a few round trips, and no user takes it for a hang.
pub const STOP_WAIT: Duration = Duration::from_secs(1);

/// So many passes run side by side while a pass is no larger than [`SMALL_PASS_BYTES`].
pub const PARALLEL_PASSES: u32 = 12;
/// In bytes.
pub const SMALL_PASS_BYTES: usize = 256 * 1024;

/// So many passes that show nothing at all are enough.
pub const EMPTY_PASSES_MAX: u32 = 20;

/// So many passes in a row that bring nothing new bring nothing at all.
pub const FRUITLESS_PASSES_MAX: u32 = 64;

/// The most passes that the policy runs by itself.
pub const PASSES_MAX: u32 = 200;

/// So many frames in a row that make no sense end a connection.
pub const GARBAGE_FRAMES_MAX: u32 = 64;

/// So many connections that begin with a describe call may come to nothing before none does so any
/// more.
pub const FAILED_DESCRIBES_MAX: u32 = 2;

/// So many streams that bring nothing until their time is up make a line that is given up.
pub const SILENT_STREAMS_MAX: u32 = 2;

/// An end that nobody confirms is not believed before so many passes.
pub const TAIL_PASSES_MIN: u32 = 2;

/// So many sequences in a row answered by a closed connection, each tried often enough, mean that
/// the peer answers none.
pub const SKIPPED_SEQS_MAX: u32 = 3;

/// What complete passes have shown about loss.
///
/// A pass loses each packet with the same unknown probability, independently of the others: so
/// the original exchange behaves. A packet that no pass has shown may then still exist, above the
/// highest one seen, and how likely that is follows from how many of the known packets the passes
/// have lost.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct PassStats {
    /// How many passes ran to their end.
    pub complete: u32,
    /// How many packets they brought, added up.
    pub delivered: u64,
}

impl PassStats {
    /// How likely it is, given `known` packets, that one more exists and each of `passes` passes
    /// lost it: the mean of p^passes over what is now known of the loss p, with every p equally
    /// likely at first. With m of n packets lost that is the product over i < passes of
    /// (m + 1 + i) / (n + 2 + i).
    #[must_use]
    pub fn doubt(&self, known: u32, passes: u32) -> f64 {
        let (lost, of) = self.losses(known);
        doubt(lost, of, passes)
    }

    /// How many more passes bring the doubt of `runs` passes below `bound`, should they lose as
    /// much as the ones before; no more than `most`.
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

    /// How many packets were lost of how many.
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
        // Small enough for any bound; and a bound on the work.
        if product < 1e-30 {
            break;
        }
    }
    product
}

/// The pause before try number `tries` (from 1).
#[must_use]
pub fn backoff(tries: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(BACKOFF_MAX)
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

    #[test]
    fn pauses_double_up_to_a_bound() {
        let ms = Duration::from_millis;
        let pauses = [1, 2, 3, 4, 5, 6, 60].map(backoff);
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000].map(ms));
    }
}
