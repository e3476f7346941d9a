//! What a line asks to have sent again.
//!
//! A line goes through the gaps in sweeps, from the lowest sequence to the highest, and new gaps
//! open above the sweep's cursor while the stream runs. So what is in flight need not be stored:
//! it is what is still missing below the cursor.

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::client::recovery::{ANSWER_WAIT, STRIKES_MAX, backoff};
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
    depth: u64,
    /// And never more than this.
    window: u64,
    /// The longest range that the peer gives at once.
    longest: u32,
    /// Whether this sweep brought anything.
    pub(super) fruitful: bool,
    /// Failures in a row, and when to try again.
    pub(super) tries: u32,
    pub(super) retry_at: Duration,
    /// Nothing new is asked for until what is in flight is answered: some answers were lost, and
    /// the sweep begins anew then. Never before `again_at`; the lowest gap at the last time, and
    /// how often in a row it was that.
    pub(super) held: bool,
    again_at: Duration,
    lowest: (Seq, u32),
    /// What the peer will not send again, and the reason it gave last.
    refused: SeqSet,
    pub(super) reason: Option<Reason>,
    /// Whatever is missing below was refused.
    floor: Seq,
    /// Sequences refused in a row by closing the connection.
    strikes: u32,
    /// Given up altogether.
    pub(super) failed: bool,
}

impl Resender {
    pub(super) fn new(window: u32) -> Self {
        Self {
            cursor: FIRST_SEQ,
            depth: u64::from(window.max(1)),
            window: u64::from(window.max(1)),
            longest: u32::MAX,
            fruitful: false,
            tries: 0,
            retry_at: Duration::ZERO,
            held: false,
            again_at: Duration::ZERO,
            lowest: (0, 0),
            refused: SeqSet::new(),
            reason: None,
            floor: FIRST_SEQ,
            strikes: 0,
            failed: false,
        }
    }

    /// The first missing piece at or above `from` that may be asked for.
    pub(super) fn askable(
        &self,
        gaps: &GapSet,
        from: Seq,
        reach: RequestScope,
    ) -> Option<SeqRange> {
        let all = SeqRange::new(FIRST_SEQ, reach.ceiling.min(MAX_SEQ))?;
        let mut from = from.max(self.floor);
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
    pub(super) fn overdue(&self, gaps: &GapSet, from: Seq, to: Seq) -> u64 {
        let reach = RequestScope { ceiling: to.min(self.cursor - 1), ranges: true };
        let (mut from, mut count) = (from, 0);
        while let Some(piece) = self.askable(gaps, from, reach) {
            count += u64::from(piece.len());
            from = piece.last() + 1;
        }
        count
    }

    /// The next piece to ask for with so much in flight; the cursor moves behind it.
    pub(super) fn next(
        &mut self,
        gaps: &GapSet,
        in_flight: u64,
        reach: RequestScope,
    ) -> Option<SeqRange> {
        let room = u32::try_from(self.depth.saturating_sub(in_flight)).unwrap_or(u32::MAX);
        let most = if reach.ranges { room.min(self.longest) } else { room.min(1) };
        let gap = self.askable(gaps, self.cursor, reach)?;
        let piece = SeqRange::counted(gap.first(), most)?.intersect(gap)?;
        self.cursor = piece.last() + 1;
        Some(piece)
    }

    /// Notes up to where everything that is missing was refused, so that it need not be looked at
    /// again and again.
    pub(super) fn settle(&mut self, gaps: &GapSet) {
        while let Some(gap) = gaps.at_or_after(self.floor)
            && let Some(refused) = self.refused.at_or_after(gap.first())
            && refused.contains(gap.first())
        {
            self.floor = refused.last().min(gap.last()) + 1;
        }
    }

    /// Asks again for what was refused, but not for what is `lost`.
    pub(super) fn pardon(&mut self, lost: &SeqSet) {
        self.refused.clone_from(lost);
        (self.floor, self.reason, self.failed) = (FIRST_SEQ, None, false);
    }

    /// Does not ask for these any more.
    pub(super) fn leave(&mut self, range: SeqRange) {
        self.refused.insert(range);
    }

    /// Something that was missing came.
    pub(super) fn progress(&mut self) {
        self.fruitful = true;
        self.tries = 0;
        self.strikes = 0;
    }

    /// Goes back to the lowest gap.
    pub(super) fn rewind(&mut self) {
        self.cursor = FIRST_SEQ;
        self.fruitful = false;
        self.held = false;
    }

    /// A sweep that never ends, for new gaps keep opening: where an answer at or below `settled` is
    /// lost, it is ended, so that the next one can begin.
    pub(super) fn hold(&mut self, gaps: &GapSet, settled: Seq, now: Duration) {
        let reach = RequestScope { ceiling: settled.min(self.cursor - 1), ranges: true };
        if self.held || now < self.again_at {
            return;
        }
        if let Some(gap) = self.askable(gaps, FIRST_SEQ, reach) {
            self.held = true;
            let times = if gap.first() == self.lowest.0 { self.lowest.1 + 1 } else { 0 };
            self.lowest = (gap.first(), times);
            self.again_at = now + backoff(times).min(ANSWER_WAIT);
        }
    }

    /// When [`hold`](Self::hold) may find something that it may not yet.
    pub(super) fn holds_at(&self) -> Duration {
        self.again_at
    }

    /// The peer refuses a range.
    ///
    /// Of a refusal that goes beyond `highest`, the highest sequence known, the rest is ignored.
    pub(super) fn refuse(&mut self, refusal: NotAvailable, highest: Seq) {
        let NotAvailable { first, count, reason } = refusal;
        self.reason = Some(reason);
        match reason {
            Reason::Quota => {}
            // Asking for less each time comes to an end.
            Reason::TooMany if count > 1 && count / 2 < self.longest => {
                self.longest = count / 2;
                self.fruitful = true;
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
    pub(super) fn closed_early(&mut self, answered: u64) {
        self.depth = answered.clamp(1, self.depth);
    }

    /// A connection that has answered many times as much as is asked for at once can be asked for
    /// more at once.
    pub(super) fn trust(&mut self, answered: u64, in_flight: u64) {
        if in_flight == 0 && answered >= self.depth * 8 {
            self.depth = (self.depth * 2).min(self.window);
        }
    }

    /// After too many failures with the lowest gap: leaves that sequence out, or gives up.
    pub(super) fn strike(&mut self, gaps: &GapSet, reach: RequestScope) {
        self.tries = 0;
        self.strikes += 1;
        match self.askable(gaps, FIRST_SEQ, reach) {
            Some(gap) if self.strikes < STRIKES_MAX => {
                self.refused.insert(SeqRange::one(gap.first()));
            }
            _ => self.failed = true,
        }
    }
}
