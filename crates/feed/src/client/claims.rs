//! What lines say of how far the session reaches, beyond the packets that they bring.
//!
//! One line's word is not the session's. What any line claims counts as existing, so that it is
//! asked for; but the session is over only once every line that is there has said so, and what a
//! line claims beyond the end that another line tells counts for nothing if it has not come within
//! [`DISPUTE`]. A description that lies more than [`Limits::jump`] above what packets have shown is
//! believed only as long as no other line describes less.
//!
//! [`Limits::max_jump`]: crate::ledger::Limits::max_jump

use super::Recorder;
use super::line::LineState;
use crate::base::seq::{MAX_SEQ, Seq, SeqRange};
use crate::client::recovery::{ABSENCE, DISPUTE};
use crate::ledger::Sink;
use crate::wire::{NotAvailable, Reason};
use core::time::Duration;

impl Recorder {
    /// Returns the highest sequence that a packet has shown.
    fn shown(&self) -> Seq {
        self.lines.iter().map(|line| line.highest).max().unwrap_or(0).max(self.resumed_at)
    }

    /// Returns the highest sequence that a line can be asked for: what it has brought, or says that
    /// it has. It would refuse what only another line claims, and have it by the time that it is
    /// really lost.
    pub(super) fn has(&self, line: &LineState) -> Seq {
        self.plausible(line).max(line.highest)
    }

    /// Returns the highest sequence that packets of a line may have, however many are missing
    /// before them: the user has given it, or the line itself and no other line denies it.
    pub(super) fn plausible(&self, line: &LineState) -> Seq {
        self.believed(line).max(self.options.last.unwrap_or(0))
    }

    /// Returns the highest sequence that a line has said to exist and that is believed.
    fn believed(&self, line: &LineState) -> Seq {
        if line.described <= self.bound(MAX_SEQ, line) {
            line.told.max(line.described)
        } else {
            line.told
        }
    }

    /// Returns the highest sequence that a line may say to exist: [`Limits::jump`] above what
    /// packets have shown, or above `described` and what every other line has described.
    ///
    /// [`Limits::max_jump`]: crate::ledger::Limits::max_jump
    fn bound(&self, described: Seq, line: &LineState) -> Seq {
        let others = self.describing().filter(|other| !core::ptr::eq(*other, line));
        let agreed = others.map(LineState::claimed).fold(described, Seq::min);
        self.shown().max(agreed).saturating_add(self.options.limits.max_jump)
    }

    /// Returns the lines that have described the session that is recorded.
    fn describing(&self) -> impl Iterator<Item = &LineState> {
        let told = self.told_session();
        let ours = move |session| told.is_none_or(|told| told == session);
        let described =
            move |line: &&LineState| line.stats.info.is_some_and(|info| ours(info.session));
        self.lines.iter().filter(described)
    }

    /// A line has described a session that reaches to `last`.
    pub(super) fn describes(&mut self, at: usize, last: Seq, now: Duration, sink: &mut impl Sink) {
        let line = &mut self.lines[usize::from(self.conns[at].line)];
        line.described = line.described.max(last);
        self.weigh(now, sink);
    }

    /// Counts as existing what lines have described, as far as it is believed by now, and no more.
    pub(super) fn weigh(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.describing().next().is_none() {
            return;
        }
        let believed = self.lines.iter().map(|line| self.plausible(line)).max().unwrap_or(0);
        let last = believed.max(self.known_before());
        if self.denied(last).is_some()
            && let Some(range) = self.ledger.retract(last.max(self.shown()))
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
    pub(super) fn known_before(&self) -> Seq {
        let Some(told) = self.describing().map(|line| self.believed(line)).max() else {
            return self.known_before;
        };
        let shown = told.max(self.shown());
        let bound = match self.options.last {
            Some(last) if shown <= last => last,
            _ => shown.saturating_add(self.options.limits.max_jump),
        };
        if self.known_before > bound { 0 } else { self.known_before }
    }

    /// Returns the sequences above `last` that were said to exist and are not believed.
    pub(super) fn denied(&self, last: Seq) -> Option<SeqRange> {
        let lines = self.lines.iter().filter(|line| self.believed(line) < line.described);
        let before = (self.known_before() < self.known_before).then_some(self.known_before);
        SeqRange::new(last + 1, lines.map(|line| line.described).chain(before).max()?)
    }

    /// Returns the last sequence that every line has described which has described the session or
    /// still may. A recording notes that, because it cannot take back what it has noted.
    pub(super) fn described_by_all(&self, now: Duration) -> Seq {
        let awaited = |line: &&LineState| {
            let away = line.stats.dead || line.stats.other.is_some() || line.failing.is_some();
            !away && self.undescribed(line, now)
        };
        match self.lines.iter().any(|line| awaited(&line)) {
            true => 0,
            false => self.describing().map(|line| line.described).min().unwrap_or(0),
        }
    }

    /// A line refuses to send packets again.
    pub(super) fn refused(&mut self, at: usize, refusal: NotAvailable) {
        let mut refusal = refusal;
        if refusal.reason == Reason::OutOfRange && refusal.first > self.shown() {
            // It claims more than it has. To ask it for all of that could take for ever.
            refusal.count = MAX_SEQ.saturating_sub(refusal.first).saturating_add(1);
        }
        let asker = &mut self.lines[usize::from(self.conns[at].line)].asker;
        asker.refuse(refusal, self.ledger.highest());
        asker.settle(self.ledger.gaps());
    }

    /// A line has said, in a heartbeat or an end, that the session reaches to `last`. Returns
    /// whether that is believed: it may lie [`Limits::jump`] above what packets have shown and the
    /// line has described (unless another line denies that), because all between may have been
    /// lost.
    ///
    /// [`Limits::max_jump`]: crate::ledger::Limits::max_jump
    pub(super) fn claims(&mut self, at: usize, last: Seq) -> bool {
        let id = usize::from(self.conns[at].line);
        let described = self.lines[id].stats.info.map_or(0, |info| info.last);
        if last > self.bound(described, &self.lines[id]) {
            self.trouble.implausible += 1;
            self.trouble.first_implausible.get_or_insert(last);
            return false;
        }
        let line = &mut self.lines[id];
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
        // One that is out of reach may be back before its time is up.
        let gone = |(since, _)| now >= since + ABSENCE;
        let silent = |line: &LineState| {
            let away =
                line.stats.dead || line.stats.other.is_some() || line.failing.is_some_and(gone);
            line.over.is_none() && !away
        };
        let waits = self.lines.iter().any(silent) && self.disputed(now);
        (!waits).then_some(end.max(self.shown()))
    }

    /// Returns the end that a line has told, unless another line has brought a packet beyond it:
    /// then it is no end.
    fn standing_end(&self, line: &LineState) -> Option<Seq> {
        let end = line.over?;
        let mut others = self.lines.iter().filter(|other| !core::ptr::eq(*other, line));
        others.all(|other| other.highest <= end).then_some(end)
    }

    /// Returns the highest sequence that a packet has shown, the user has given, or every line
    /// claims which has described the session.
    pub(super) fn agreed(&self) -> Seq {
        let claimed = self.describing().map(LineState::claimed).min().unwrap_or(0);
        claimed.max(self.shown()).max(self.options.last.unwrap_or(0))
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
        told.is_some_and(|told| time && self.contradict(told, now, sink))
    }

    /// Nothing more will come of a session that is not followed. Returns whether all that is
    /// missing lies beyond the end that some line has described, so that it is whole without it.
    pub(super) fn whole_without_claims(&mut self, now: Duration, sink: &mut impl Sink) -> bool {
        let last = self.agreed();
        let beyond = self.ledger.gaps().at_or_after(0).is_none_or(|gap| gap.first() > last);
        beyond && self.contradict(last, now, sink)
    }

    /// The user has stopped the recording. Takes what lines claim and other lines deny for what
    /// does not exist; but of a live session only an end denies it, for a line may be behind.
    pub(super) fn drop_denied(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.options.follow {
            self.drop_contradicted(true, now, sink);
        } else {
            // There was no time to ask for it: nobody is blamed.
            self.retract(self.agreed(), now, sink);
        }
    }

    /// Takes what is claimed beyond `told` for what does not exist, and says that lines contradict
    /// one another. Returns whether anything was claimed so.
    fn contradict(&mut self, told: Seq, now: Duration, sink: &mut impl Sink) -> bool {
        let range = self.retract(told, now, sink);
        self.trouble.contradicted = self.trouble.contradicted.or(range);
        range.is_some()
    }

    /// Takes what is claimed beyond `told` for what does not exist, unless a packet has shown that
    /// it does, the user has said so, or no line denies it. Returns what that is.
    fn retract(&mut self, told: Seq, now: Duration, sink: &mut impl Sink) -> Option<SeqRange> {
        let last = told.max(self.shown()).max(self.options.last.unwrap_or(0));
        let denies = |line: &LineState| {
            let disproved = line.over.is_some() && self.standing_end(line).is_none();
            line.stats.info.is_some() && !disproved && line.over.unwrap_or(line.claimed()) <= last
        };
        // A line may deny what it has claimed itself: it then tells an end below that.
        // An earlier recording has its claims of lines as well, and only an end denies those.
        let before = self.options.follow && self.known_before > last;
        let claimed = before || self.lines.iter().any(|line| line.claimed() > last);
        if !claimed || !self.lines.iter().any(denies) {
            return None;
        }
        let range = self.ledger.retract(last)?;
        for line in &mut self.lines {
            line.told = line.told.min(last);
            line.described = line.described.min(last);
            line.over = line.over.map(|end| end.min(last));
        }
        self.known_before = self.known_before.min(last);
        sink.on_gap_abandoned(range, now);
        Some(range)
    }
}
