//! Passes: how many to run, how they end, and how doubtful the end of the session is after them.
//!
//! A pass is one whole stream. Packets that cannot be requested are recorded in further passes, and
//! an end that no exchange confirms is inferred from them: passes drop packets independently, so
//! what they missed shows how likely it is that one more packet exists which all of them missed.

use super::connection::{ConnectionRole, ConnectionState, ConnectionSummary};
use super::line::Dialect;
use super::resend::RESEND_FAILURES_MAX;
use super::timers::{STREAM_SILENCE, backoff};
use super::{PassEnd, Recorder, RecorderEvent};
use crate::base::seq::{Seq, to_index};
use crate::ledger::Sink;
use crate::wire::FRAME_LEN;
use alloc::vec::Vec;
use core::time::Duration;

/// Maximum number of passes that run side by side while a pass is no larger than
/// [`SMALL_PASS_BYTES`].
const PARALLEL_PASSES: u32 = 12;

/// Maximum size of a pass that runs beside others, in bytes.
const SMALL_PASS_BYTES: usize = 256 * 1024;

/// Maximum number of passes without any packet before the recorder stops.
const EMPTY_PASSES_MAX: u32 = 20;

/// Maximum number of consecutive passes without a new packet before the recorder stops.
pub const FRUITLESS_PASSES_MAX: u32 = 64;

/// Maximum number of passes that the policy runs by itself.
pub const PASSES_MAX: u32 = 200;

/// Number of streams that deliver nothing until they time out after which the line is given up.
const SILENT_STREAMS_MAX: u32 = 2;

/// Minimum number of passes before an end that no exchange confirms is believed.
const TAIL_PASSES_MIN: u32 = 2;

impl Recorder {
    /// Decides how to go on when no stream runs and none is due.
    pub(super) fn between_passes(&mut self, now: Duration, sink: &mut impl Sink) {
        self.ledger.close_tail(now, sink);
        if self.is_complete() && !self.awaits_other_description(now) {
            return self.adopt_session_and_finish(None, now, sink);
        }
        // An end that no exchange confirms calls for passes in any case.
        let doubtful = self.tail_miss_probability() >= self.options.tail_miss_probability;
        // Nothing is known about the protocol of a line that may still describe itself, so passes
        // wait for it.
        let mut lines = self.lines.iter().filter(|line| !line.stats.given_up);
        if lines.any(|line| self.may_describe(line, now))
            || !doubtful && self.can_fill_by_resend(now)
        {
            return self.open_connections(now);
        }
        let streamable: Vec<usize> = (0..self.lines.len())
            .filter(|&id| {
                !self.lines[id].stats.given_up && self.lines[id].cut_streams <= self.options.retries
            })
            .filter(|&id| !self.lacks_session(&self.lines[id]))
            .collect();
        let passes = self.wanted_passes(now);
        if passes == 0 || streamable.is_empty() {
            // Streams deliver nothing new, but resends still may.
            let mut lines = (0u16..).zip(&self.lines).filter(|(_, line)| !line.stats.given_up);
            if lines.any(|(id, _)| self.can_request(id, now)) {
                return self.open_connections(now);
            }
            let complete = self.retract_unconfirmed_tail(now, sink);
            let reason = if complete { None } else { self.incomplete_reason(passes > 0) };
            return self.adopt_session_and_finish(reason, now, sink);
        }
        self.close_useless_resends(RESEND_FAILURES_MAX, now);
        for (_, &line) in (0..passes).zip(streamable.iter().cycle()) {
            self.lines[line].streams_to_open += 1;
        }
        self.open_connections(now);
    }

    /// Returns the number of passes to run next.
    fn wanted_passes(&self, now: Duration) -> u32 {
        let known = self.ledger.highest();
        let max_probability = self.options.tail_miss_probability;
        // Small passes run side by side, because each costs a round trip whatever its size.
        let small = to_index(known).saturating_mul(FRAME_LEN) <= SMALL_PASS_BYTES;
        let left = self.options.passes.unwrap_or(PASSES_MAX).saturating_sub(self.passes_started);
        let most = left.min(if small { PARALLEL_PASSES } else { 1 });
        let runs = if self.may_fill_by_pass(known) && !self.can_fill_by_resend(now) {
            self.fruitless_passes
        } else if (self.tail_miss_probability() >= max_probability
            || self.has_no_sign_of_exchange())
            && (known > 0 || self.passes.complete < EMPTY_PASSES_MAX)
        {
            self.passes.complete
        } else {
            return 0;
        };
        // Before the first complete pass nothing is known about loss.
        if self.passes.complete == 0 {
            most.min(1)
        } else {
            self.passes.more(known, runs, max_probability, most)
        }
    }

    /// Returns whether something is missing that another pass may deliver.
    fn may_fill_by_pass(&self, known: Seq) -> bool {
        let promising = self.fruitless_passes < FRUITLESS_PASSES_MAX
            && self.passes.miss_probability(known, self.fruitless_passes)
                >= self.options.tail_miss_probability;
        promising && !self.ledger.gaps().is_empty()
    }

    /// Returns the probability that a packet exists beyond the highest one, 0 if the end is
    /// confirmed.
    pub(super) fn tail_miss_probability(&self) -> f64 {
        if self.ledger.end().is_some() {
            return 0.0;
        }
        // A single pass shows nothing about its own end: a dropped last packet leaves no gap.
        if self.passes.complete < TAIL_PASSES_MIN {
            return 1.0;
        }
        self.passes.miss_probability(self.ledger.highest(), self.passes.complete)
    }

    /// Returns whether every stream has been silent for long, and the rest can be requested.
    pub(super) fn is_every_stream_silent(&self, now: Duration) -> bool {
        let mut streams = self.conns.iter().filter(|conn| conn.is_stream()).peekable();
        streams.peek().is_some()
            && streams.all(|conn| {
                conn.state == ConnectionState::Open && now >= conn.last_useful + STREAM_SILENCE
            })
            && self
                .lines
                .iter()
                .any(|line| line.dialect == Dialect::Extended && !line.resender.given_up)
    }

    /// Counts a pass that ran to its end.
    pub(super) fn on_pass_complete(&mut self, summary: ConnectionSummary, end: PassEnd) {
        // Copies that the exchange sends twice count as delivered, and must not hide losses.
        let delivered = summary.delivered.min(self.ledger.highest());
        self.lines[usize::from(summary.line)].cut_streams = 0;
        self.stats.silent_passes += u32::from(end == PassEnd::Silent);
        self.passes.complete += 1;
        self.passes.delivered += delivered;
        self.fruitless_passes =
            if summary.new_packets == 0 { self.fruitless_passes + 1 } else { 0 };
        self.report_pass(summary, end);
    }

    /// Counts a pass that was cut off, and delays the next one.
    pub(super) fn on_pass_cut_off(&mut self, summary: ConnectionSummary, now: Duration) {
        let line = &mut self.lines[usize::from(summary.line)];
        // Passes that are cut off together count once. A pass that delivered something new does not
        // count as a failure.
        if summary.new_packets > 0 {
            line.cut_streams = 1;
        } else if line.retry_at <= now {
            line.cut_streams = line.cut_streams.saturating_add(1);
        }
        line.retry_at = now + backoff(line.cut_streams);
        self.report_pass(summary, PassEnd::CutOff);
    }

    /// Handles a stream that was silent for [`RecorderOptions::timeout`](super::RecorderOptions).
    pub(super) fn on_stream_timeout(&mut self, at: usize, now: Duration) {
        if self.outcome.is_some() {
            return;
        }
        let summary = self.conns[at].summary();
        self.drain(at, now);
        if summary.delivered > 0 {
            // A stream that delivered packets and fell silent has probably ended.
            self.on_pass_complete(summary, PassEnd::Silent);
        } else {
            self.on_pass_cut_off(summary, now);
            self.count_silent_stream(summary.line);
        }
    }

    /// Counts a stream that delivered nothing until it timed out. One such stream is tolerated.
    fn count_silent_stream(&mut self, line: u16) {
        let line = &mut self.lines[usize::from(line)];
        line.silent_streams += 1;
        // Each silent stream costs a whole timeout, so a line that has had its tries is not
        // streamed from again.
        if line.silent_streams >= SILENT_STREAMS_MAX {
            line.cut_streams = u32::MAX;
        }
    }

    /// Reports the end of a pass to the driver.
    pub(super) fn report_pass(&mut self, summary: ConnectionSummary, end: PassEnd) {
        if let ConnectionRole::Stream { pass } = summary.role {
            let delivered = summary.delivered;
            self.note(RecorderEvent::PassEnded { line: summary.line, pass, delivered, end });
        }
    }
}

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
    /// Number of packets that the counted passes have delivered together.
    pub delivered: u64,
}

impl PassStats {
    /// Returns the probability, given `known` packets, that one more packet exists and each of
    /// `passes` passes missed it.
    ///
    /// The probability is the mean of p^passes over the distribution of the loss p, where every p
    /// is equally likely at first. With m of n packets missed, the mean is the product over
    /// i < passes of (m + 1 + i) / (n + 2 + i).
    #[must_use]
    pub fn miss_probability(&self, known: Seq, passes: u32) -> f64 {
        let (missed, of) = self.losses(known);
        missed_by_all(missed, of, passes)
    }

    /// Returns the number of further passes, at most `most`, that bring the miss probability of
    /// `runs` passes below `bound`, if they miss as many packets as the passes before.
    #[must_use]
    pub fn more(&self, known: Seq, runs: u32, bound: f64, most: u32) -> u32 {
        let (missed, of) = self.losses(known);
        (1..most)
            .find(|&more| {
                let grown = 1.0 + f64::from(more) / f64::from(self.complete.max(1));
                missed_by_all(missed * grown, of * grown, runs + more) < bound
            })
            .unwrap_or(most)
    }

    /// Returns how many packets the passes missed, and how many they should have delivered.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn losses(&self, known: Seq) -> (f64, f64) {
        let of = known.saturating_mul(self.complete.into());
        (of.saturating_sub(self.delivered) as f64, of as f64)
    }
}

fn missed_by_all(missed: f64, of: f64, passes: u32) -> f64 {
    let mut product = 1.0;
    for i in (0..passes).map(f64::from) {
        product *= (missed + 1.0 + i) / (of + 2.0 + i);
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
    fn the_miss_probability_follows_from_missed_packets() {
        // No packet missed in one pass of 13: the next one is missed with probability 1 in 15.
        let clean = PassStats { complete: 1, delivered: 13 };
        assert!((clean.miss_probability(13, 1) - 1.0 / 15.0).abs() < 1e-12);
        // A quarter missed: about ten passes bring the probability to one in a million.
        let quarter = |complete: u32| PassStats { complete, delivered: u64::from(complete) * 750 };
        let enough = (1..).find(|&k| quarter(k).miss_probability(1000, k) < 1e-6).unwrap();
        assert!((10..=11).contains(&enough), "{enough}");
        assert_eq!(1 + quarter(1).more(1000, 1, 1e-6, 99), enough);
        // Nothing seen at all: no number of passes is proof.
        assert!(PassStats { complete: 20, delivered: 0 }.miss_probability(0, 20) > 0.04);
        assert_eq!(clean.more(0, 1, 1e-6, 12), 12);
        // No pass yet: all is open.
        assert!((PassStats::default().miss_probability(5, 0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_clean_feed_of_a_million_needs_no_second_pass_to_speak_of() {
        let clean = PassStats { complete: 1, delivered: 1_000_000 };
        assert!(clean.miss_probability(1_000_000, 1) < 1e-6);
    }
}
