//! Claims of lines about the end of the session, beyond the packets that they deliver.
//!
//! One line can be wrong about the end. Every claimed sequence counts as existing, so that it is
//! requested. The session is over only once every line in contact has reported its end. Sequences
//! that a line claims beyond the end that another line reports count as nonexistent if they have
//! not arrived within [`END_DISPUTE_MAX`]. A description that is more than [`Limits::max_jump`]
//! above the packets received is believed only as long as no other line describes less.
//!
//! [`Limits::max_jump`]: crate::ledger::Limits::max_jump

use super::Recorder;
use super::line::LineState;
use crate::base::seq::{MAX_SEQ, Seq, SeqRange};
use crate::client::timers::{END_DISPUTE_MAX, LINE_ABSENCE_MAX};
use crate::ledger::Sink;
use core::time::Duration;

impl Recorder {
    /// Returns the highest sequence of a received packet.
    pub(super) fn highest_shown(&self) -> Seq {
        self.lines.iter().map(|line| line.highest).max().unwrap_or(0).max(self.resumed_at)
    }

    /// Returns the highest sequence that may be requested from a line: received from it, or claimed
    /// by it. A line would refuse a sequence that only another line claims, although it will have
    /// the packet later.
    pub(super) fn highest_requestable(&self, line: &LineState) -> Seq {
        self.highest_plausible(line).max(line.highest)
    }

    /// Returns the highest sequence that packets of a line may have, however many are missing
    /// before them. The user has given it, or the line itself claims it and no other line denies
    /// it.
    pub(super) fn highest_plausible(&self, line: &LineState) -> Seq {
        self.highest_believed(line).max(self.options.last.unwrap_or(0))
    }

    /// Returns the highest sequence that a line has claimed and that is believed.
    fn highest_believed(&self, line: &LineState) -> Seq {
        if line.described_end <= self.highest_credible(MAX_SEQ, line) {
            line.reported_end.max(line.described_end)
        } else {
            line.reported_end
        }
    }

    /// Returns the highest sequence that a line can credibly claim: [`Limits::max_jump`] above the
    /// packets received, or above `described` and every description by another line.
    ///
    /// [`Limits::max_jump`]: crate::ledger::Limits::max_jump
    fn highest_credible(&self, described: Seq, line: &LineState) -> Seq {
        let others = self.describing_lines().filter(|other| !core::ptr::eq(*other, line));
        let agreed = others.map(LineState::claimed).fold(described, Seq::min);
        self.highest_shown().max(agreed).saturating_add(self.options.limits.max_jump)
    }

    /// Returns the lines that have described the session that is recorded.
    fn describing_lines(&self) -> impl Iterator<Item = &LineState> {
        let expected = self.expected_session();
        let ours = move |session| expected.is_none_or(|expected| expected == session);
        // An accepted SoupBinTCP login says where the messages begin, not where they end, and
        // MoldUDP64 has no description at all.
        let described = move |line: &&LineState| {
            line.soup.is_none()
                && line.mold.is_none()
                && line.stats.info.is_some_and(|info| ours(info.session))
        };
        self.lines.iter().filter(described)
    }

    /// Handles the description of a session that reaches to `last`.
    pub(super) fn on_described_end(
        &mut self,
        at: usize,
        last: Seq,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let line = &mut self.lines[usize::from(self.conns[at].line)];
        line.described_end = line.described_end.max(last);
        self.update_believed_end(now, sink);
    }

    /// Sets the end of the ledger to what lines have described, as far as that is believed now.
    pub(super) fn update_believed_end(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.describing_lines().next().is_none() {
            return;
        }
        let believed =
            self.lines.iter().map(|line| self.highest_plausible(line)).max().unwrap_or(0);
        let last = believed.max(self.believed_resumed_end());
        if self.disbelieved_range(last).is_some()
            && let Some(range) = self.ledger.retract(last.max(self.highest_shown()))
        {
            sink.on_gap_abandoned(range, now);
        }
        self.ledger.reaches(last);
    }

    /// Returns the last sequence of the session according to the recording that is resumed, or 0 if
    /// that is not believed. A lying line may have reported it to the earlier recorder. So it is
    /// not believed if it is more than [`Limits::max_jump`] above what packets and lines show now,
    /// or if they show no more than the user's last sequence.
    ///
    /// [`Limits::max_jump`]: crate::ledger::Limits::max_jump
    pub(super) fn believed_resumed_end(&self) -> Seq {
        let Some(believed) = self.describing_lines().map(|line| self.highest_believed(line)).max()
        else {
            return self.resumed_end;
        };
        let shown = believed.max(self.highest_shown());
        let credible = match self.options.last {
            Some(last) if shown <= last => last,
            _ => shown.saturating_add(self.options.limits.max_jump),
        };
        if self.resumed_end > credible { 0 } else { self.resumed_end }
    }

    /// Returns the sequences above `last` that were claimed and are not believed.
    pub(super) fn disbelieved_range(&self, last: Seq) -> Option<SeqRange> {
        let lines =
            self.lines.iter().filter(|line| self.highest_believed(line) < line.described_end);
        let before = (self.believed_resumed_end() < self.resumed_end).then_some(self.resumed_end);
        SeqRange::new(last + 1, lines.map(|line| line.described_end).chain(before).max()?)
    }

    /// Returns the last sequence that every line has described, or 0 while a line may still
    /// describe the session. Only this end is written to the recording, because a recording cannot
    /// take back what it has written.
    pub(super) fn described_by_all(&self, now: Duration) -> Seq {
        let awaited = |line: &&LineState| {
            let absent = line.stats.given_up
                || line.stats.other_session.is_some()
                || line.connect_failures.is_some();
            !absent && self.may_describe(line, now)
        };
        match self.lines.iter().any(|line| awaited(&line)) {
            true => 0,
            false => self.describing_lines().map(|line| line.described_end).min().unwrap_or(0),
        }
    }

    /// Handles a heartbeat or an end that claims that the session reaches to `last`, and returns
    /// whether the claim is believed. It may be [`Limits::max_jump`] above the packets received and
    /// the line's description (unless another line denies that), because all packets between may
    /// have been missed.
    ///
    /// [`Limits::max_jump`]: crate::ledger::Limits::max_jump
    pub(super) fn accept_claimed_end(&mut self, at: usize, last: Seq) -> bool {
        let id = self.conns[at].line;
        if !self.is_credible(id, last) {
            self.violations.implausible += 1;
            self.violations.first_implausible.get_or_insert(last);
            return false;
        }
        self.accept_line_claim(id, last);
        true
    }

    /// Returns whether a line can credibly claim that the session reaches to `last`.
    pub(super) fn is_credible(&self, id: u16, last: Seq) -> bool {
        let line = &self.lines[usize::from(id)];
        let described = line.stats.info.map_or(0, |info| info.last);
        last <= self.highest_credible(described, line)
    }

    /// Believes the claim of a line that the session reaches to `last`.
    pub(super) fn accept_line_claim(&mut self, id: u16, last: Seq) {
        let line = &mut self.lines[usize::from(id)];
        line.reported_end = line.reported_end.max(last);
        self.ledger.reaches(last);
    }

    /// Handles a line's report that the session is over, with `last`. The report is a claim that
    /// messages up to `last` exist, also if an earlier one was retracted.
    pub(super) fn on_session_over(&mut self, id: u16, last: Seq, now: Duration) {
        self.accept_line_claim(id, last);
        self.lines[usize::from(id)].session_end = Some(last);
        if self.end_reported_at.is_none() {
            self.end_reported_at = Some(now);
            self.requests.retry_after_silence();
        }
    }

    /// Returns the last sequence of a live session that is over: every line in contact has reported
    /// its end, or has run out of time to do so.
    pub(super) fn agreed_session_end(&self, now: Duration) -> Option<Seq> {
        let end = self.lines.iter().filter_map(|line| self.standing_end(line)).max()?;
        // A line that cannot be reached may return before its time is up.
        let is_absent = |(since, _)| now >= since + LINE_ABSENCE_MAX;
        let owes_end = |line: &LineState| {
            let absent = line.stats.given_up
                || line.stats.other_session.is_some()
                || line.connect_failures.is_some_and(is_absent);
            line.session_end.is_none() && !absent
        };
        let waits = self.lines.iter().any(owes_end) && self.is_end_disputed(now);
        (!waits).then_some(end.max(self.highest_shown()))
    }

    /// Returns the end that a line has reported, unless a packet of another line beyond it
    /// disproves it.
    pub(super) fn standing_end(&self, line: &LineState) -> Option<Seq> {
        let end = line.session_end?;
        let mut others = self.lines.iter().filter(|other| !core::ptr::eq(*other, line));
        others.all(|other| other.highest <= end).then_some(end)
    }

    /// Returns the highest sequence that exists beyond doubt: received, given by the user, or
    /// claimed by every line that has described the session, or by every MoldUDP64 line.
    pub(super) fn undisputed_end(&self) -> Seq {
        let claimed = self.describing_lines().map(LineState::claimed).min().unwrap_or(0);
        let mold = self.lines.iter().filter(|line| line.mold.is_some() && line.stats.reached);
        let mold = mold.map(LineState::claimed).min().unwrap_or(0);
        claimed.max(mold).max(self.highest_shown()).max(self.options.last.unwrap_or(0))
    }

    /// Returns whether lines still have time to agree on the end.
    fn is_end_disputed(&self, now: Duration) -> bool {
        // A line that lags behind may still report packets beyond the end of a faster one.
        self.end_reported_at.is_some_and(|since| now < since + END_DISPUTE_MAX)
    }

    /// Retracts what lines claim beyond the end that another line reports, once it has not arrived
    /// in time, or if everything that can be requested is `refused`. Returns whether anything was
    /// retracted.
    pub(super) fn retract_contradicted(
        &mut self,
        refused: bool,
        now: Duration,
        sink: &mut impl Sink,
    ) -> bool {
        let end = self.lines.iter().filter_map(|line| self.standing_end(line)).min();
        let is_time = refused || self.end_reported_at.is_some() && !self.is_end_disputed(now);
        end.is_some_and(|end| is_time && self.retract_contradiction(end, now, sink))
    }

    /// Retracts the missing tail of a session that is not followed, if it lies beyond the end that
    /// some line has described. Returns whether the recording is complete without it. Called when
    /// no more packets can be expected.
    pub(super) fn retract_unconfirmed_tail(&mut self, now: Duration, sink: &mut impl Sink) -> bool {
        let last = self.undisputed_end();
        let beyond = self.ledger.gaps().at_or_after(0).is_none_or(|gap| gap.first() > last);
        beyond && self.retract_contradiction(last, now, sink)
    }

    /// Retracts, when the user stops the recording, what lines claim and other lines deny. In
    /// follow mode only a reported end denies a claim, because a line may lag behind.
    pub(super) fn retract_on_stop(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.options.follow {
            self.retract_contradicted(true, now, sink);
        } else {
            // There was no time to request those packets, so their absence is not recorded as a
            // contradiction.
            self.retract(self.undisputed_end(), now, sink);
        }
    }

    /// Retracts what is claimed beyond `end`, and records that lines contradict one another.
    /// Returns whether anything was retracted.
    fn retract_contradiction(&mut self, end: Seq, now: Duration, sink: &mut impl Sink) -> bool {
        let range = self.retract(end, now, sink);
        self.violations.contradicted = self.violations.contradicted.or(range);
        range.is_some()
    }

    /// Retracts what is claimed beyond `end`, unless a packet or the user shows that it exists, or
    /// no line denies it. Returns the retracted sequences.
    fn retract(&mut self, end: Seq, now: Duration, sink: &mut impl Sink) -> Option<SeqRange> {
        let last = end.max(self.highest_shown()).max(self.options.last.unwrap_or(0));
        let denies = |line: &LineState| {
            let disproved = line.session_end.is_some() && self.standing_end(line).is_none();
            line.stats.info.is_some()
                && !disproved
                && line.session_end.unwrap_or(line.claimed()) <= last
        };
        // A line can deny its own claim, by reporting an end below it. The claims of an earlier
        // recording count as well, and only an end denies those.
        let before = self.options.follow && self.resumed_end > last;
        let claimed = before || self.lines.iter().any(|line| line.claimed() > last);
        if !claimed || !self.lines.iter().any(denies) {
            return None;
        }
        let range = self.ledger.retract(last)?;
        for line in &mut self.lines {
            line.reported_end = line.reported_end.min(last);
            line.described_end = line.described_end.min(last);
            line.session_end = line.session_end.map(|reported| reported.min(last));
        }
        self.resumed_end = self.resumed_end.min(last);
        sink.on_gap_abandoned(range, now);
        Some(range)
    }
}
