//! What lines say of how far the session reaches, beyond the packets that they bring.
//!
//! One line's word is not the session's. What any line claims counts as existing, so that it is
//! asked for; but the session is over only once every line that is there has said so, and what a
//! line claims beyond the end that another line tells counts for nothing if it has not come within
//! [`DISPUTE`].

use super::Recorder;
use super::line::Line;
use crate::ledger::Sink;
use crate::recovery::DISPUTE;
use crate::seq::Seq;
use core::time::Duration;

impl Recorder {
    /// Returns the highest sequence that a packet has shown.
    fn shown(&self) -> Seq {
        self.lines.iter().map(|line| line.highest).max().unwrap_or(0).max(self.resumed_at)
    }

    /// Returns the highest sequence that a line can be asked for: what it has brought, or says that
    /// it has. It would refuse what only another line claims, and have it by the time that it is
    /// really lost.
    pub(super) fn has(&self, line: &Line) -> Seq {
        line.told.max(line.highest).max(self.options.last.unwrap_or(0))
    }

    /// A line has described a session that reaches to `last`.
    pub(super) fn describes(&mut self, at: usize, last: Seq) {
        let line = &mut self.lines[usize::from(self.conns[at].line)];
        line.told = line.told.max(last);
        self.ledger.reaches(last);
    }

    /// A line has said, in a heartbeat or an end, that the session reaches to `last`. Returns
    /// whether that is believed: it may lie [`Limits::jump`] above what packets have shown and the
    /// line has described, because all between may have been lost.
    ///
    /// [`Limits::jump`]: crate::ledger::Limits::jump
    pub(super) fn claims(&mut self, at: usize, last: Seq) -> bool {
        let shown = self.shown();
        let line = &mut self.lines[usize::from(self.conns[at].line)];
        let described = line.stats.info.map_or(0, |info| info.last);
        if last.saturating_sub(shown.max(described)) > self.options.limits.jump {
            self.trouble.implausible += 1;
            self.trouble.first_implausible.get_or_insert(last);
            return false;
        }
        line.told = line.told.max(last);
        self.ledger.reaches(last);
        true
    }

    /// A line has said that the session is over, with `last`.
    pub(super) fn says_over(&mut self, at: usize, last: Seq, now: Duration) {
        self.lines[usize::from(self.conns[at].line)].over = Some(last);
        self.over_since.get_or_insert(now);
    }

    /// Returns the last sequence of a live session that is over: every line that is there has said
    /// so, or had its time.
    pub(super) fn session_over(&self, now: Duration) -> Option<Seq> {
        let end = self.lines.iter().filter_map(|line| self.standing_end(line)).max()?;
        let silent = |line: &Line| {
            let away = line.stats.dead || line.stats.other.is_some() || line.failing.is_some();
            line.over.is_none() && !away
        };
        let waits = self.lines.iter().any(silent) && self.disputed(now);
        (!waits).then_some(end.max(self.shown()))
    }

    /// Returns the end that a line has told, unless another line has brought a packet beyond it:
    /// then it is no end.
    fn standing_end(&self, line: &Line) -> Option<Seq> {
        let end = line.over?;
        let mut others = self.lines.iter().filter(|other| !core::ptr::eq(*other, line));
        others.all(|other| other.highest <= end).then_some(end)
    }

    /// Returns the highest sequence that a packet has shown or that every line claims which has
    /// described the session.
    pub(super) fn agreed(&self) -> Seq {
        let described = self.lines.iter().filter(|line| line.stats.info.is_some());
        described.map(|line| line.told).min().unwrap_or(0).max(self.shown())
    }

    /// Returns whether lines still have time to agree on the end.
    fn disputed(&self, now: Duration) -> bool {
        self.over_since.is_some_and(|since| now < since + DISPUTE)
    }

    /// When lines have had their time to agree on the end.
    pub(super) fn dispute_deadline(&self) -> Option<Duration> {
        let until = self.over_since? + DISPUTE;
        (self.outcome.is_none() && self.now < until).then_some(until)
    }

    /// Takes what lines claim beyond the end that another one tells for what does not exist, once
    /// it has not come in time, or `refused`: nothing more can be asked for. Returns whether
    /// anything was claimed so.
    pub(super) fn drop_contradicted(
        &mut self,
        refused: bool,
        now: Duration,
        sink: &mut impl Sink,
    ) -> bool {
        let told = self.lines.iter().filter_map(|line| self.standing_end(line)).min();
        let time = refused || self.over_since.is_some() && !self.disputed(now);
        told.is_some_and(|told| time && self.retract(told, now, sink))
    }

    /// Nothing more will come of a session that is not followed. Returns whether all that is
    /// missing lies beyond the end that some line has described, so that it is whole without it.
    pub(super) fn whole_without_claims(&mut self, now: Duration, sink: &mut impl Sink) -> bool {
        let described = self.lines.iter().filter(|line| line.stats.info.is_some());
        let Some(told) = described.map(|line| line.told).min() else { return false };
        let last = told.max(self.shown());
        let beyond = self.ledger.gaps().at_or_after(0).is_none_or(|gap| gap.first() > last);
        beyond && self.retract(told, now, sink)
    }

    /// Takes what is claimed beyond `told` for what does not exist, unless a packet has shown that
    /// it does, the user has said so, or every line has.
    fn retract(&mut self, told: Seq, now: Duration, sink: &mut impl Sink) -> bool {
        let last = told.max(self.shown());
        let denies = |line: &Line| {
            let disproved = line.over.is_some() && self.standing_end(line).is_none();
            line.stats.info.is_some() && !disproved && line.over.unwrap_or(line.told) <= last
        };
        if self.options.last.is_some()
            || !self.lines.iter().any(|line| line.told > last && !denies(line))
            || !self.lines.iter().any(denies)
        {
            return false;
        }
        let Some(range) = self.ledger.retract(last) else { return false };
        for line in &mut self.lines {
            line.told = line.told.min(last);
            line.over = line.over.map(|end| end.min(last));
        }
        self.trouble.contradicted.get_or_insert(range);
        sink.lost(range, now);
        true
    }
}
