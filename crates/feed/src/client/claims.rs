//! What lines say of how far the session reaches, beyond the packets that they bring.
//!
//! One line's word is not the session's. What any line claims counts as existing, so that it is
//! asked for; but the session is over only once every line that is there has said so, and what a
//! line claims beyond the end that another line tells counts for nothing if it has not come within
//! [`END_DISPUTE_MAX`]. A description that lies more than [`Limits::jump`] above what packets have shown is
//! believed only as long as no other line describes less.
//!
//! [`Limits::max_jump`]: crate::ledger::Limits::max_jump

use super::Recorder;
use super::line::LineState;
use crate::base::seq::{MAX_SEQ, Seq, SeqRange};
use crate::client::recovery::{END_DISPUTE_MAX, LINE_ABSENCE_MAX};
use crate::ledger::Sink;
use crate::wire::{NotAvailable, Reason};
use core::time::Duration;

impl Recorder {
    /// Returns the highest sequence that a packet has shown.
    fn highest_shown(&self) -> Seq {
        self.lines.iter().map(|line| line.highest).max().unwrap_or(0).max(self.resumed_at)
    }

    /// Returns the highest sequence that a line can be asked for: what it has brought, or says that
    /// it has. It would refuse what only another line claims, and have it by the time that it is
    /// really lost.
    pub(super) fn highest_requestable(&self, line: &LineState) -> Seq {
        self.highest_plausible(line).max(line.highest)
    }

    /// Returns the highest sequence that packets of a line may have, however many are missing
    /// before them: the user has given it, or the line itself and no other line denies it.
    pub(super) fn highest_plausible(&self, line: &LineState) -> Seq {
        self.highest_believed(line).max(self.options.last.unwrap_or(0))
    }

    /// Returns the highest sequence that a line has said to exist and that is believed.
    fn highest_believed(&self, line: &LineState) -> Seq {
        if line.described_end <= self.highest_credible(MAX_SEQ, line) {
            line.reported_end.max(line.described_end)
        } else {
            line.reported_end
        }
    }

    /// Returns the highest sequence that a line may say to exist: [`Limits::jump`] above what
    /// packets have shown, or above `described` and what every other line has described.
    ///
    /// [`Limits::max_jump`]: crate::ledger::Limits::max_jump
    fn highest_credible(&self, described: Seq, line: &LineState) -> Seq {
        let others = self.describing_lines().filter(|other| !core::ptr::eq(*other, line));
        let agreed = others.map(LineState::claimed).fold(described, Seq::min);
        self.highest_shown().max(agreed).saturating_add(self.options.limits.max_jump)
    }

    /// Returns the lines that have described the session that is recorded.
    fn describing_lines(&self) -> impl Iterator<Item = &LineState> {
        let told = self.expected_session();
        let ours = move |session| told.is_none_or(|told| told == session);
        let described =
            move |line: &&LineState| line.stats.info.is_some_and(|info| ours(info.session));
        self.lines.iter().filter(described)
    }

    /// A line has described a session that reaches to `last`.
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

    /// Counts as existing what lines have described, as far as it is believed by now, and no more.
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

    /// Returns the last sequence that the recording which is gone on with knows its session to
    /// have. Some line may have told it that; so it is not believed where it lies more than
    /// [`Limits::jump`] above what packets and the lines of this recording show, or where they
    /// show no more than what the user says.
    ///
    /// [`Limits::max_jump`]: crate::ledger::Limits::max_jump
    pub(super) fn believed_resumed_end(&self) -> Seq {
        let Some(told) = self.describing_lines().map(|line| self.highest_believed(line)).max()
        else {
            return self.resumed_end;
        };
        let shown = told.max(self.highest_shown());
        let bound = match self.options.last {
            Some(last) if shown <= last => last,
            _ => shown.saturating_add(self.options.limits.max_jump),
        };
        if self.resumed_end > bound { 0 } else { self.resumed_end }
    }

    /// Returns the sequences above `last` that were said to exist and are not believed.
    pub(super) fn disbelieved_range(&self, last: Seq) -> Option<SeqRange> {
        let lines =
            self.lines.iter().filter(|line| self.highest_believed(line) < line.described_end);
        let before = (self.believed_resumed_end() < self.resumed_end).then_some(self.resumed_end);
        SeqRange::new(last + 1, lines.map(|line| line.described_end).chain(before).max()?)
    }

    /// Returns the last sequence that every line has described which has described the session or
    /// still may. A recording notes that, because it cannot take back what it has noted.
    pub(super) fn described_by_all(&self, now: Duration) -> Seq {
        let awaited = |line: &&LineState| {
            let away = line.stats.given_up
                || line.stats.other_session.is_some()
                || line.connect_failures.is_some();
            !away && self.may_describe(line, now)
        };
        match self.lines.iter().any(|line| awaited(&line)) {
            true => 0,
            false => self.describing_lines().map(|line| line.described_end).min().unwrap_or(0),
        }
    }

    /// A line refuses to send packets again.
    pub(super) fn on_refusal(&mut self, at: usize, refusal: NotAvailable) {
        let mut refusal = refusal;
        if refusal.reason == Reason::OutOfRange && refusal.first > self.highest_shown() {
            // It claims more than it has. To ask it for all of that could take for ever.
            refusal.count = MAX_SEQ.saturating_sub(refusal.first).saturating_add(1);
        }
        let resender = &mut self.lines[usize::from(self.conns[at].line)].resender;
        resender.on_refusal(refusal, self.ledger.highest());
        resender.skip_refused(self.ledger.gaps());
    }

    /// A line has said, in a heartbeat or an end, that the session reaches to `last`. Returns
    /// whether that is believed: it may lie [`Limits::jump`] above what packets have shown and the
    /// line has described (unless another line denies that), because all between may have been
    /// lost.
    ///
    /// [`Limits::max_jump`]: crate::ledger::Limits::max_jump
    pub(super) fn accept_claimed_end(&mut self, at: usize, last: Seq) -> bool {
        let id = usize::from(self.conns[at].line);
        let described = self.lines[id].stats.info.map_or(0, |info| info.last);
        if last > self.highest_credible(described, &self.lines[id]) {
            self.violations.implausible += 1;
            self.violations.first_implausible.get_or_insert(last);
            return false;
        }
        let line = &mut self.lines[id];
        line.reported_end = line.reported_end.max(last);
        self.ledger.reaches(last);
        true
    }

    /// A line has said that the session is over, with `last`.
    pub(super) fn on_session_over(&mut self, at: usize, last: Seq, now: Duration) {
        self.lines[usize::from(self.conns[at].line)].session_end = Some(last);
        self.end_reported_at.get_or_insert(now);
    }

    /// Returns the last sequence of a live session that is over: every line that is there has said
    /// so, or had its time.
    pub(super) fn agreed_session_end(&self, now: Duration) -> Option<Seq> {
        let end = self.lines.iter().filter_map(|line| self.standing_end(line)).max()?;
        // One that is out of reach may be back before its time is up.
        let gone = |(since, _)| now >= since + LINE_ABSENCE_MAX;
        let silent = |line: &LineState| {
            let away = line.stats.given_up
                || line.stats.other_session.is_some()
                || line.connect_failures.is_some_and(gone);
            line.session_end.is_none() && !away
        };
        let waits = self.lines.iter().any(silent) && self.is_end_disputed(now);
        (!waits).then_some(end.max(self.highest_shown()))
    }

    /// Returns the end that a line has told, unless another line has brought a packet beyond it:
    /// then it is no end.
    fn standing_end(&self, line: &LineState) -> Option<Seq> {
        let end = line.session_end?;
        let mut others = self.lines.iter().filter(|other| !core::ptr::eq(*other, line));
        others.all(|other| other.highest <= end).then_some(end)
    }

    /// Returns the highest sequence that a packet has shown, the user has given, or every line
    /// claims which has described the session.
    pub(super) fn undisputed_end(&self) -> Seq {
        let claimed = self.describing_lines().map(LineState::claimed).min().unwrap_or(0);
        claimed.max(self.highest_shown()).max(self.options.last.unwrap_or(0))
    }

    /// Returns whether lines still have time to agree on the end.
    fn is_end_disputed(&self, now: Duration) -> bool {
        self.end_reported_at.is_some_and(|since| now < since + END_DISPUTE_MAX)
    }

    /// When lines have had their time to agree on the end.
    pub(super) fn dispute_deadline(&self) -> Option<Duration> {
        let until = self.end_reported_at? + END_DISPUTE_MAX;
        (self.outcome.is_none() && self.now < until).then_some(until)
    }

    /// Takes what lines claim beyond the end that another one tells for what does not exist, once
    /// it has not come in time, or `refused`: nothing more can be asked for. Returns whether
    /// anything was claimed so.
    pub(super) fn retract_contradicted(
        &mut self,
        refused: bool,
        now: Duration,
        sink: &mut impl Sink,
    ) -> bool {
        let told = self.lines.iter().filter_map(|line| self.standing_end(line)).min();
        let time = refused || self.end_reported_at.is_some() && !self.is_end_disputed(now);
        told.is_some_and(|told| time && self.retract_contradiction(told, now, sink))
    }

    /// Nothing more will come of a session that is not followed. Returns whether all that is
    /// missing lies beyond the end that some line has described, so that it is whole without it.
    pub(super) fn retract_unconfirmed_tail(&mut self, now: Duration, sink: &mut impl Sink) -> bool {
        let last = self.undisputed_end();
        let beyond = self.ledger.gaps().at_or_after(0).is_none_or(|gap| gap.first() > last);
        beyond && self.retract_contradiction(last, now, sink)
    }

    /// The user has stopped the recording. Takes what lines claim and other lines deny for what
    /// does not exist; but of a live session only an end denies it, for a line may be behind.
    pub(super) fn retract_on_stop(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.options.follow {
            self.retract_contradicted(true, now, sink);
        } else {
            // There was no time to ask for it: nobody is blamed.
            self.retract(self.undisputed_end(), now, sink);
        }
    }

    /// Takes what is claimed beyond `told` for what does not exist, and says that lines contradict
    /// one another. Returns whether anything was claimed so.
    fn retract_contradiction(&mut self, told: Seq, now: Duration, sink: &mut impl Sink) -> bool {
        let range = self.retract(told, now, sink);
        self.violations.contradicted = self.violations.contradicted.or(range);
        range.is_some()
    }

    /// Takes what is claimed beyond `told` for what does not exist, unless a packet has shown that
    /// it does, the user has said so, or no line denies it. Returns what that is.
    fn retract(&mut self, told: Seq, now: Duration, sink: &mut impl Sink) -> Option<SeqRange> {
        let last = told.max(self.highest_shown()).max(self.options.last.unwrap_or(0));
        let denies = |line: &LineState| {
            let disproved = line.session_end.is_some() && self.standing_end(line).is_none();
            line.stats.info.is_some()
                && !disproved
                && line.session_end.unwrap_or(line.claimed()) <= last
        };
        // A line may deny what it has claimed itself: it then tells an end below that.
        // An earlier recording has its claims of lines as well, and only an end denies those.
        let before = self.options.follow && self.resumed_end > last;
        let claimed = before || self.lines.iter().any(|line| line.claimed() > last);
        if !claimed || !self.lines.iter().any(denies) {
            return None;
        }
        let range = self.ledger.retract(last)?;
        for line in &mut self.lines {
            line.reported_end = line.reported_end.min(last);
            line.described_end = line.described_end.min(last);
            line.session_end = line.session_end.map(|end| end.min(last));
        }
        self.resumed_end = self.resumed_end.min(last);
        sink.on_gap_abandoned(range, now);
        Some(range)
    }
}
