//! What a line asks to have sent again.
//!
//! A line goes through the gaps in sweeps, from the lowest sequence to the highest, and new gaps
//! open above the sweep's cursor while the stream runs. So what is in flight need not be stored:
//! it is what is still missing below the cursor.

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::client::recovery::{ANSWER_WAIT, SKIPPED_SEQS_MAX, backoff};
use crate::ledger::gap_set::GapSet;
use crate::wire::{NotAvailable, Reason};
use core::time::Duration;

/// What a line may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RequestScope {
    /// Nothing above this sequence.
    pub(super) ceiling: Seq,
    /// In ranges, not one by one.
    pub(super) ranges: bool,
}

#[derive(Debug)]
pub(super) struct Resender {
    /// Everything missing below has been asked for in this sweep.
    pub(super) cursor: Seq,
    /// Packets in flight at most. Falls to what the peer answers a connection, if it closes
    /// connections with requests unanswered.
    in_flight_limit: u64,
    /// And never more than this.
    window: u64,
    /// The max_range range that the peer gives at once.
    max_range: u32,
    /// Whether this sweep brought anything.
    pub(super) progressed: bool,
    /// Failures in a row, and when to try again.
    pub(super) failures: u32,
    pub(super) retry_at: Duration,
    /// Nothing new is asked for until what is in flight is answered: some answers were lost, and
    /// the sweep begins anew then. Never before `pause_check_at`; the lowest gap at the last time, and
    /// how often in a row it was that.
    pub(super) paused: bool,
    pause_check_at: Duration,
    lowest_gap: (Seq, u32),
    /// What the peer will not send again, and the reason it gave last.
    refused: SeqSet,
    pub(super) refusal_reason: Option<Reason>,
    /// Whatever is missing below was refused.
    refused_below: Seq,
    /// Sequences refused in a row by closing the connection.
    skipped_in_a_row: u32,
    /// Given up altogether.
    pub(super) given_up: bool,
}

impl Resender {
    pub(super) fn new(window: u32) -> Self {
        Self {
            cursor: FIRST_SEQ,
            in_flight_limit: u64::from(window.max(1)),
            window: u64::from(window.max(1)),
            max_range: u32::MAX,
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

    /// The first missing piece at or above `from` that may be asked for.
    pub(super) fn next_requestable(
        &self,
        gaps: &GapSet,
        from: Seq,
        scope: RequestScope,
    ) -> Option<SeqRange> {
        let all = SeqRange::new(FIRST_SEQ, scope.ceiling.min(MAX_SEQ))?;
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

    /// How many sequences from `from` to `to` this sweep has asked for and are still missing. Where
    /// what was asked for after them is answered, their answers are lost: answers come in order.
    pub(super) fn count_unanswered(&self, gaps: &GapSet, from: Seq, to: Seq) -> u64 {
        let scope = RequestScope { ceiling: to.min(self.cursor - 1), ranges: true };
        let (mut from, mut count) = (from, 0);
        while let Some(piece) = self.next_requestable(gaps, from, scope) {
            count += u64::from(piece.len());
            from = piece.last() + 1;
        }
        count
    }

    /// The next piece to ask for with so much in flight; the cursor moves behind it.
    pub(super) fn next_request(
        &mut self,
        gaps: &GapSet,
        in_flight: u64,
        scope: RequestScope,
    ) -> Option<SeqRange> {
        let room =
            u32::try_from(self.in_flight_limit.saturating_sub(in_flight)).unwrap_or(u32::MAX);
        let most = if scope.ranges { room.min(self.max_range) } else { room.min(1) };
        let gap = self.next_requestable(gaps, self.cursor, scope)?;
        let piece = SeqRange::counted(gap.first(), most)?.intersect(gap)?;
        self.cursor = piece.last() + 1;
        Some(piece)
    }

    /// Notes up to where everything that is missing was refused, so that it need not be looked at
    /// again and again.
    pub(super) fn skip_refused(&mut self, gaps: &GapSet) {
        while let Some(gap) = gaps.at_or_after(self.refused_below)
            && let Some(refused) = self.refused.at_or_after(gap.first())
            && refused.contains(gap.first())
        {
            self.refused_below = refused.last().min(gap.last()) + 1;
        }
    }

    /// Asks again for what was refused, but not for what is `lost`.
    pub(super) fn retry_refused(&mut self, abandoned: &SeqSet) {
        self.refused.clone_from(abandoned);
        (self.refused_below, self.refusal_reason, self.given_up) = (FIRST_SEQ, None, false);
    }

    /// Does not ask for these any more.
    pub(super) fn exclude(&mut self, range: SeqRange) {
        self.refused.insert(range);
    }

    /// Something that was missing came.
    pub(super) fn note_progress(&mut self) {
        self.progressed = true;
        self.failures = 0;
        self.skipped_in_a_row = 0;
    }

    /// Goes back to the lowest gap.
    pub(super) fn restart_sweep(&mut self) {
        self.cursor = FIRST_SEQ;
        self.progressed = false;
        self.paused = false;
    }

    /// A sweep that never ends, for new gaps keep opening: where an answer at or below `settled` is
    /// lost, it is ended, so that the next one can begin.
    pub(super) fn pause_if_answer_missed(&mut self, gaps: &GapSet, settled: Seq, now: Duration) {
        let scope = RequestScope { ceiling: settled.min(self.cursor - 1), ranges: true };
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

    /// When [`hold`](Self::hold) may find something that it may not yet.
    pub(super) fn pause_check_at(&self) -> Duration {
        self.pause_check_at
    }

    /// The peer refuses a range.
    ///
    /// Of a refusal that goes beyond `highest`, the highest sequence known, the rest is ignored.
    pub(super) fn on_refusal(&mut self, refusal: NotAvailable, highest: Seq) {
        let NotAvailable { first, count, reason } = refusal;
        self.refusal_reason = Some(reason);
        match reason {
            Reason::Quota => {}
            // Asking for less each time comes to an end.
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

    /// The peer closed with requests unanswered, after answering `answered`.
    pub(super) fn on_early_close(&mut self, answered: u64) {
        self.in_flight_limit = answered.clamp(1, self.in_flight_limit);
    }

    /// A connection that has answered many times as much as is asked for at once can be asked for
    /// more at once.
    pub(super) fn raise_in_flight_limit(&mut self, answered: u64, in_flight: u64) {
        if in_flight == 0 && answered >= self.in_flight_limit * 8 {
            self.in_flight_limit = (self.in_flight_limit * 2).min(self.window);
        }
    }

    /// After too many failures with the lowest gap: leaves that sequence out, or gives up.
    pub(super) fn skip_lowest(&mut self, gaps: &GapSet, scope: RequestScope) {
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
