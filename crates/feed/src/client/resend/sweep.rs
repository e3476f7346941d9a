//! Sweeps of a line through the gaps.
//!
//! A line goes through the gaps in sweeps, from the lowest sequence to the highest. New gaps open
//! above the cursor of the sweep while the stream runs. So requests in flight need not be stored:
//! they are the packets below the cursor that are still missing.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::client::timers::{ANSWER_WAIT, backoff};
use crate::ledger::gap_set::GapSet;
use crate::wire::{MAX_PACKET_SEQ, NotAvailable, Reason};
use core::time::Duration;

/// Number of consecutive sequences that the peer answers by closing the connection, each after all
/// retries, which shows that it answers none.
const SKIPPED_SEQS_MAX: u32 = 3;

/// Sequences that a line may request now, and by which call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) struct RequestScope {
    /// Highest sequence that may be requested.
    pub(in crate::client) ceiling: Seq,
    /// True if ranges may be requested; otherwise one sequence with each call.
    pub(in crate::client) ranges: bool,
}

/// Sweeps of a line through the gaps.
#[derive(Debug)]
pub(in crate::client) struct Resender {
    /// Sequence below which every missing packet has been requested in this sweep.
    pub(in crate::client) cursor: Seq,
    /// Maximum number of packets in flight. It falls to the number of answers on a connection if
    /// the peer closes connections with requests unanswered.
    in_flight_limit: u64,
    /// Upper bound of `in_flight_limit`, from the options.
    window: u64,
    /// Longest range that the peer resends at once.
    max_range: u64,
    /// True if this sweep has filled anything.
    pub(in crate::client) progressed: bool,
    /// Number of consecutive failures.
    pub(in crate::client) failures: u32,
    /// Time before which nothing is requested.
    pub(in crate::client) retry_at: Duration,
    /// True while nothing new is requested until requests in flight are answered: some answers were
    /// missed, and a new sweep begins then.
    pub(in crate::client) paused: bool,
    /// Time before which the sweep is not paused again.
    pause_check_at: Duration,
    /// First sequence of the lowest gap at the last pause, and the number of consecutive pauses
    /// with the same one.
    lowest_gap: (Seq, u32),
    /// Sequences that the peer will not resend.
    refused: SeqSet,
    /// Reason of the latest refusal.
    pub(in crate::client) refusal_reason: Option<Reason>,
    /// Sequence below which every missing packet was refused.
    refused_below: Seq,
    /// Number of consecutive sequences that the peer answered by closing the connection.
    skipped_in_a_row: u32,
    /// True once requests on this line are given up altogether.
    pub(in crate::client) given_up: bool,
}

impl Resender {
    pub(in crate::client) fn new(window: u32) -> Self {
        Self {
            cursor: FIRST_SEQ,
            in_flight_limit: u64::from(window.max(1)),
            window: u64::from(window.max(1)),
            max_range: u64::MAX,
            progressed: false,
            failures: 0,
            retry_at: Duration::ZERO,
            paused: false,
            pause_check_at: Duration::ZERO,
            lowest_gap: (0, 0),
            refused: SeqSet::new(),
            refusal_reason: None,
            refused_below: FIRST_SEQ,
            skipped_in_a_row: 0,
            given_up: false,
        }
    }

    /// Returns the first missing range at or above `from` that may be requested.
    pub(in crate::client) fn next_requestable(
        &self,
        gaps: &GapSet,
        from: Seq,
        scope: RequestScope,
    ) -> Option<SeqRange> {
        let all = SeqRange::new(FIRST_SEQ, scope.ceiling.min(MAX_PACKET_SEQ))?;
        let mut from = from.max(self.refused_below);
        loop {
            let gap = gaps.at_or_after(from)?.intersect(all)?;
            match self.refused.at_or_after(gap.first()) {
                Some(refused) if refused.contains(gap.first()) => from = refused.last() + 1,
                Some(refused) if refused.first() <= gap.last() => {
                    return SeqRange::new(gap.first(), refused.first() - 1);
                }
                _ => return Some(gap),
            }
        }
    }

    /// Counts the sequences from `from` to `to` that this sweep has requested and that are still
    /// missing. Answers arrive in order, so if a later request is answered, the answers to these
    /// were missed.
    pub(in crate::client) fn count_unanswered(&self, gaps: &GapSet, from: Seq, to: Seq) -> u64 {
        let scope = RequestScope { ceiling: to.min(self.cursor - 1), ranges: true };
        let (mut from, mut count) = (from, 0);
        while let Some(piece) = self.next_requestable(gaps, from, scope) {
            count += piece.len();
            from = piece.last() + 1;
        }
        count
    }

    /// Returns the next range to request with `in_flight` packets in flight, and moves the cursor
    /// behind it.
    pub(in crate::client) fn next_request(
        &mut self,
        gaps: &GapSet,
        in_flight: u64,
        scope: RequestScope,
    ) -> Option<SeqRange> {
        let room = self.in_flight_limit.saturating_sub(in_flight);
        let most = if scope.ranges { room.min(self.max_range) } else { room.min(1) };
        let gap = self.next_requestable(gaps, self.cursor, scope)?;
        let piece = SeqRange::counted(gap.first(), most)?.intersect(gap)?;
        self.cursor = piece.last() + 1;
        Some(piece)
    }

    /// Moves `refused_below` up to the first missing packet that was not refused, so that later
    /// searches skip the refused ones.
    pub(in crate::client) fn skip_refused(&mut self, gaps: &GapSet) {
        while let Some(gap) = gaps.at_or_after(self.refused_below)
            && let Some(refused) = self.refused.at_or_after(gap.first())
            && refused.contains(gap.first())
        {
            self.refused_below = refused.last().min(gap.last()) + 1;
        }
    }

    /// Allows requests for refused sequences again, except for `abandoned` ones.
    pub(in crate::client) fn retry_refused(&mut self, abandoned: &SeqSet) {
        self.refused.clone_from(abandoned);
        (self.refused_below, self.refusal_reason, self.given_up) = (FIRST_SEQ, None, false);
    }

    /// Excludes a range from further requests.
    pub(in crate::client) fn exclude(&mut self, range: SeqRange) {
        self.refused.insert(range);
    }

    /// Resets the failure counters after a missing packet has arrived.
    pub(in crate::client) fn note_progress(&mut self) {
        self.progressed = true;
        self.failures = 0;
        self.skipped_in_a_row = 0;
    }

    /// Restarts the sweep at the lowest gap.
    pub(in crate::client) fn restart_sweep(&mut self) {
        self.cursor = FIRST_SEQ;
        self.progressed = false;
        self.paused = false;
    }

    /// Pauses the sweep if an answer at or below `answered_up_to` was missed, so that the next
    /// sweep can begin. Without the pause a sweep would never end while new gaps keep opening.
    pub(in crate::client) fn pause_if_answer_missed(
        &mut self,
        gaps: &GapSet,
        answered_up_to: Seq,
        now: Duration,
    ) {
        let scope = RequestScope { ceiling: answered_up_to.min(self.cursor - 1), ranges: true };
        if self.paused || now < self.pause_check_at {
            return;
        }
        if let Some(gap) = self.next_requestable(gaps, FIRST_SEQ, scope) {
            self.paused = true;
            let times = if gap.first() == self.lowest_gap.0 { self.lowest_gap.1 + 1 } else { 0 };
            self.lowest_gap = (gap.first(), times);
            self.pause_check_at = now + backoff(times).min(ANSWER_WAIT);
        }
    }

    /// Returns the time before which [`pause_if_answer_missed`](Self::pause_if_answer_missed) does
    /// nothing.
    pub(in crate::client) fn pause_check_at(&self) -> Duration {
        self.pause_check_at
    }

    /// Handles the refusal of a range by the peer.
    ///
    /// Of a refusal beyond `highest`, the highest sequence known, the rest is ignored.
    pub(in crate::client) fn on_refusal(&mut self, refusal: NotAvailable, highest: Seq) {
        let NotAvailable { first, count, reason } = refusal;
        self.refusal_reason = Some(reason);
        match reason {
            Reason::Quota => {}
            // Halving the range each time comes to an end.
            Reason::TooMany if count > 1 && count / 2 < self.max_range => {
                self.max_range = count / 2;
                self.progressed = true;
            }
            _ => {
                let known = SeqRange::new(FIRST_SEQ, highest);
                let refused = SeqRange::counted(first, count);
                if let Some(range) = refused.zip(known).and_then(|(r, known)| r.intersect(known)) {
                    self.refused.insert(range);
                }
            }
        }
    }

    /// Lowers the in-flight limit after the peer has closed the connection with requests
    /// unanswered, after answering `answered`.
    pub(in crate::client) fn on_early_close(&mut self, answered: u64) {
        self.in_flight_limit = answered.clamp(1, self.in_flight_limit);
    }

    /// Raises the in-flight limit for a connection that has answered many times as many packets.
    pub(in crate::client) fn raise_in_flight_limit(&mut self, answered: u64, in_flight: u64) {
        if in_flight == 0 && answered >= self.in_flight_limit * 8 {
            self.in_flight_limit = (self.in_flight_limit * 2).min(self.window);
        }
    }

    /// Skips the lowest missing sequence after too many failures with it, or gives up all requests.
    pub(in crate::client) fn skip_lowest(&mut self, gaps: &GapSet, scope: RequestScope) {
        self.failures = 0;
        self.skipped_in_a_row += 1;
        match self.next_requestable(gaps, FIRST_SEQ, scope) {
            Some(gap) if self.skipped_in_a_row < SKIPPED_SEQS_MAX => {
                self.refused.insert(SeqRange::one(gap.first()));
            }
            _ => self.given_up = true,
        }
    }
}
