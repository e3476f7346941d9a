//! Datagrams that arrive on a MoldUDP64 line: checked, recorded, and counted.

use super::line::{EndClaim, MoldPhase, OtherSession};
use super::requests::RequestScope;
use super::violation::MoldViolation;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use crate::client::event::DatagramSource;
use crate::client::timers::END_WAIT;
use crate::client::{Recorder, RecorderEvent, SessionPayload};
use crate::ledger::{Origin, Sink, Source, StopReason, StreamPosition, TakeResult};
use crate::wire::mold::{Content, Datagram, Session};
use crate::wire::{Framing, Info, Run, SessionId, VERSION};
use alloc::vec::Vec;
use core::time::Duration;

/// Number of datagrams of another session after which a silent line counts as playing it.
const OTHER_SESSION_DATAGRAMS: u32 = 2;

impl Recorder {
    /// Handles a datagram of a line.
    pub(in crate::client) fn on_datagram(
        &mut self,
        id: u16,
        source: DatagramSource,
        bytes: &[u8],
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let index = usize::from(id);
        let is_joined = |phase| matches!(phase, MoldPhase::Joined { .. });
        let mold = self.lines.get(index).and_then(|line| line.mold.as_ref());
        if !mold.is_some_and(|mold| is_joined(mold.phase)) || self.outcome.is_some() {
            return;
        }
        let from_group = match source {
            DatagramSource::Stranger => {
                self.lines[index].stats.mold.strangers += 1;
                self.violations.datagrams.strangers += 1;
                return;
            }
            // A stopped recorder waits for missing messages alone.
            DatagramSource::Group if self.stopping.is_some() => return,
            DatagramSource::Group => true,
            DatagramSource::Server(_) => false,
        };
        let datagram = match checked(bytes) {
            Ok(datagram) => datagram,
            Err(violation) => return self.on_malformed(id, violation),
        };
        if !self.is_of_mold_session(id, &datagram, from_group, now, sink) {
            return;
        }
        match (datagram.content(), source) {
            (Content::Messages(_), _) => self.on_mold_messages(id, source, &datagram, now, sink),
            // What an answer without messages means is not specified.
            (_, DatagramSource::Server(_) | DatagramSource::Stranger) => {}
            (Content::Heartbeat, _) => {
                let line = &mut self.lines[index];
                line.stats.mold.heartbeats += 1;
                if let Some(mold) = &mut line.mold {
                    // A session that is over sends no heartbeats.
                    mold.end = None;
                }
                self.on_mold_claim(id, datagram.sequence() - 1, now, sink);
            }
            (Content::EndOfSession, _) => {
                self.lines[index].stats.mold.ends += 1;
                let last = datagram.sequence() - 1;
                if self.on_mold_claim(id, last, now, sink) {
                    self.on_mold_end(id, last, now);
                }
            }
        }
    }

    /// Counts a datagram that cannot be read.
    fn on_malformed(&mut self, id: u16, violation: MoldViolation) {
        self.lines[usize::from(id)].stats.mold.malformed += 1;
        self.violations.datagrams.malformed += 1;
        self.violations.datagrams.first_malformed.get_or_insert(violation);
    }

    /// Returns whether a datagram is of the recorded session. The first datagram of a group says
    /// which session that is.
    fn is_of_mold_session(
        &mut self,
        id: u16,
        datagram: &Datagram<'_>,
        from_group: bool,
        now: Duration,
        sink: &mut impl Sink,
    ) -> bool {
        let name = datagram.session();
        let index = usize::from(id);
        let known = self.lines[index].mold.as_ref().and_then(|mold| mold.session);
        if known != Some(name) {
            let session = self.as_recorded(name.id());
            let expected = self.expected_session();
            if expected.is_some_and(|expected| expected != session)
                || expected.is_none() && !from_group
            {
                self.on_other_mold_session(id, session, from_group, now);
                return false;
            }
            if from_group {
                self.on_mold_session(id, (name, session), datagram.sequence(), now, sink);
            }
        }
        if from_group {
            let line = &mut self.lines[index];
            line.stats.given_up = false;
            line.stats.unreachable_since = None;
            line.stats.other_session = None;
            line.stats.last_heard = Some(now);
            line.stats.mold.datagrams += 1;
            if let Some(mold) = &mut line.mold {
                mold.phase = MoldPhase::Joined { heard_at: now };
                mold.other = None;
            }
        }
        true
    }

    /// Handles the first datagram of a line that is of the recorded session, or shows which one is
    /// recorded.
    fn on_mold_session(
        &mut self,
        id: u16,
        (name, session): (Session, SessionId),
        sequence: Seq,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let line = &mut self.lines[usize::from(id)];
        if let Some(mold) = &mut line.mold {
            mold.session = Some(name);
        }
        line.stats.reached = true;
        let info = Info { session, version: VERSION, first: FIRST_SEQ, last: 0 };
        line.stats.info = Some(info);
        self.note(RecorderEvent::Heard { line: id, session, sequence });
        self.on_session_heard(info, now, sink);
    }

    /// Handles a datagram of another session. A line plays another session once it is silent about
    /// the recorded one, because a single datagram may come from anywhere.
    fn on_other_mold_session(
        &mut self,
        id: u16,
        session: SessionId,
        from_group: bool,
        now: Duration,
    ) {
        self.violations.datagrams.other_session += 1;
        let silence = self.options.silence;
        let line = &mut self.lines[usize::from(id)];
        line.stats.mold.other_session += 1;
        let Some(mold) = line.mold.as_mut().filter(|_| from_group) else { return };
        let count = mold.other.filter(|other| other.session == session).map_or(0, |o| o.count);
        let other = OtherSession { session, count: count.saturating_add(1) };
        mold.other = Some(other);
        let is_silent = mold.heard_at().is_some_and(|at| now >= at.saturating_add(silence));
        if is_silent
            && other.count >= OTHER_SESSION_DATAGRAMS
            && line.stats.other_session.replace(session) != Some(session)
        {
            self.note(RecorderEvent::OtherSession { line: id, session });
        }
    }

    /// Handles messages of the recorded session.
    fn on_mold_messages(
        &mut self,
        id: u16,
        source: DatagramSource,
        datagram: &Datagram<'_>,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let count = u64::from(datagram.count());
        let blocks = datagram.blocks();
        let run = Run::counted(datagram.sequence(), count, Framing::Length, blocks);
        let Some(run) = run else { return };
        let bytes = blocks.len() + crate::wire::mold::HEADER_BYTES;
        let pass = self.lines[usize::from(id)].mold.as_ref().map_or(0, |mold| mold.pass);
        let kind = match source {
            DatagramSource::Server(_) => Source::Resend,
            _ => Source::Stream { pass },
        };
        let origin = Origin { line: id, source: kind };
        // A datagram that is not believed, perhaps a damaged one, says nothing about the others.
        let payload_before = self.payload;
        self.payload = self.payload.after(&run);
        let highest = self.ledger.highest();
        let taken = match source {
            DatagramSource::Server(_) => self.take_answer(id, run, origin, now, sink),
            _ => self.take_mold_run(id, run, origin, now, sink),
        };
        let Some((taken, range)) = taken else {
            self.payload = payload_before;
            return;
        };
        self.requests.on_datagram(usize::from(datagram.count()), bytes);
        self.count_mold_run(id, origin, range.last(), taken);
        let line = &mut self.lines[usize::from(id)];
        let Some(mold) = &mut line.mold else { return };
        let stats = &mut line.stats.mold;
        if let DatagramSource::Server(number) = source {
            stats.answers += 1;
            let Some(server) = self.requests.index_of(id, number) else { return };
            let scope = RequestScope {
                gaps: self.ledger.gaps(),
                abandoned: &self.abandoned,
                ceiling: MAX_SEQ,
            };
            self.requests.on_answer(server, range, taken.fresh > 0, scope, now);
            stats.round_trip = self.requests.round_trip(id);
            return;
        }
        stats.duplicates += u64::from(taken.fresh == 0);
        stats.reordered += u64::from(mold.on_messages(range, now));
        if range.first() <= highest && taken.fresh > 0 {
            self.requests.on_filled(range);
        }
    }

    /// Takes messages into the ledger, and returns which. Returns `None` if they are too far ahead
    /// to be believed, would open too many gaps, or are no order packets of these sequences
    /// although the session's are: then they count as not received, and say nothing about their
    /// line.
    fn take_mold_run(
        &mut self,
        id: u16,
        run: Run<'_>,
        origin: Origin,
        now: Duration,
        sink: &mut impl Sink,
    ) -> Option<(TakeResult, SeqRange)> {
        loop {
            let plausible = self.highest_plausible(&self.lines[usize::from(id)]);
            let mut track = StreamPosition { plausible, ..StreamPosition::default() };
            let (taken, foreign) = self.take_numbered(run, origin, &mut track, now, sink);
            let mut range = run.range();
            if let Some(seq) = foreign {
                self.on_malformed(id, MoldViolation::NotAnOrderPacket(seq));
                range = SeqRange::new(range.first(), seq - 1)?;
            }
            match taken.stop {
                None => {
                    self.on_plausible_sequence(id);
                    return Some((taken, range));
                }
                Some(StopReason::Jump(seq)) if taken.frames == 0 => {
                    // A damaged datagram that arrives several times does not agree with itself.
                    let mold = self.lines[usize::from(id)].mold.as_ref();
                    let is_repeated = mold.is_some_and(|mold| mold.was_far_ahead(seq));
                    if is_repeated || !self.believes_far_ahead(id, seq) {
                        return None;
                    }
                }
                Some(_) => return None,
            }
        }
    }

    /// Takes the messages of an answer as [`take_mold_run`](Self::take_mold_run) does, those that
    /// are recorded already first. If these differ, the answer has a wrong sequence, and its other
    /// messages count as not received: they are requested again.
    fn take_answer(
        &mut self,
        id: u16,
        run: Run<'_>,
        origin: Origin,
        now: Duration,
        sink: &mut impl Sink,
    ) -> Option<(TakeResult, SeqRange)> {
        // Servers exist that number each datagram of a long answer like its first one.
        let range = run.range();
        let parts = match self.payload {
            // Order packets have their own sequence, which is checked.
            SessionPayload::Packets => Vec::new(),
            _ => self.recorded_parts(range),
        };
        if parts.is_empty() {
            return self.take_mold_run(id, run, origin, now, sink);
        }
        for part in parts {
            let (taken, _) = self.take_mold_run(id, run.part(part)?, origin, now, sink)?;
            self.count_mold_run(id, origin, part.last(), taken);
            if taken.conflicts > 0 {
                return None;
            }
        }
        let mut all = TakeResult { frames: 0, fresh: 0, conflicts: 0, stop: None };
        let mut last = None;
        for part in self.missing_parts(range) {
            let Some((taken, taken_range)) =
                run.part(part).and_then(|run| self.take_mold_run(id, run, origin, now, sink))
            else {
                break;
            };
            all.frames += taken.frames;
            all.fresh += taken.fresh;
            last = Some(taken_range.last());
        }
        Some((all, SeqRange::new(range.first(), last?)?))
    }

    /// Returns the recorded parts of a range that has missing or new messages as well; none of a
    /// range that is recorded as a whole.
    fn recorded_parts(&self, range: SeqRange) -> Vec<SeqRange> {
        let mut parts = Vec::new();
        let mut from = range.first();
        for missing in self.missing_parts(range) {
            parts.extend(SeqRange::new(from, missing.first() - 1));
            from = missing.last() + 1;
        }
        let is_mixed = from > range.first();
        parts.extend(range.from(from).filter(|_| is_mixed));
        parts
    }

    /// Returns the missing and new parts of a range.
    fn missing_parts(&self, range: SeqRange) -> Vec<SeqRange> {
        let (mut parts, mut rest) = (Vec::new(), Some(range));
        while let Some(left) = rest
            && let Some(gap) = self.ledger.gaps().at_or_after(left.first())
            && let Some(part) = gap.intersect(left)
        {
            parts.push(part);
            rest = range.from(part.last() + 1);
        }
        parts.extend(range.from(range.first().max(self.ledger.highest() + 1)));
        parts
    }

    /// Returns whether a sequence far ahead is believed now, because datagrams in a row agree on
    /// it. A line that joins late begins so.
    fn believes_far_ahead(&mut self, id: u16, seq: Seq) -> bool {
        let line = &mut self.lines[usize::from(id)];
        let Some(mold) = &mut line.mold else { return false };
        let before = line.described_end;
        if mold.on_far_ahead(seq, &self.options.limits) {
            line.described_end = line.described_end.max(seq);
            if let Some(info) = &mut line.stats.info {
                info.last = line.described_end;
            }
        }
        let line = &self.lines[usize::from(id)];
        line.described_end > before && self.highest_plausible(line) >= seq
    }

    /// Counts the sequences of a line that were too far ahead, because plausible ones go on.
    fn on_plausible_sequence(&mut self, id: u16) {
        let line = &mut self.lines[usize::from(id)];
        let Some((seq, count)) = line.mold.as_mut().and_then(|mold| mold.on_plausible()) else {
            return;
        };
        if seq > line.described_end {
            self.violations.implausible += u64::from(count);
            self.violations.first_implausible.get_or_insert(seq);
        }
    }

    /// Counts messages that the ledger has taken.
    fn count_mold_run(&mut self, id: u16, origin: Origin, last: Seq, taken: TakeResult) {
        let line = &mut self.lines[usize::from(id)];
        line.highest = line.highest.max(last);
        line.stats.packets += taken.frames as u64;
        line.stats.first += taken.fresh;
        if line.session_end.is_some_and(|end| last > end) {
            line.session_end = None;
        }
        if let Some(mold) = &mut line.mold
            && mold.end.is_some_and(|end| last > end.last)
        {
            mold.end = None;
        }
        self.stats.duplicates += taken.frames as u64 - taken.fresh.min(taken.frames as u64);
        self.violations.conflicts += u64::from(taken.conflicts);
        match origin.source {
            Source::Resend => self.stats.resent += taken.fresh,
            Source::Stream { .. } => self.stats.streamed += taken.fresh,
        }
    }

    /// Handles the claim of a heartbeat or an end that the line has sent everything up to `last`.
    /// Returns whether it is believed.
    fn on_mold_claim(&mut self, id: u16, last: Seq, now: Duration, sink: &mut impl Sink) -> bool {
        if !self.is_credible(id, last) && !self.believes_far_ahead(id, last) {
            return false;
        }
        self.on_plausible_sequence(id);
        self.accept_line_claim(id, last);
        if let Some(mold) = &mut self.lines[usize::from(id)].mold {
            mold.on_reached(last, now);
        }
        if self.ledger.highest() < last {
            self.ledger.close_tail(now, sink);
        }
        true
    }

    /// Handles an end of session. One that stands in the middle of a stream by mistake must not end
    /// the recording, so it is believed once it is repeated, on this line or another one, or
    /// nothing follows it.
    fn on_mold_end(&mut self, id: u16, last: Seq, now: Duration) {
        if last < self.highest_shown() {
            return;
        }
        let line = &mut self.lines[usize::from(id)];
        let Some(mold) = &mut line.mold else { return };
        let claim = match mold.end.filter(|end| end.last == last) {
            Some(end) => EndClaim { count: end.count.saturating_add(1), ..end },
            None => EndClaim { last, since: now, count: 1 },
        };
        mold.end = Some(claim);
        self.confirm_end(id, now);
    }

    /// Believes the end of session that a line has announced, if it is time.
    pub(super) fn confirm_end(&mut self, id: u16, now: Duration) {
        let index = usize::from(id);
        let line = &self.lines[index];
        let claim = line.mold.as_ref().and_then(|mold| mold.end);
        let Some(claim) = claim.filter(|_| line.session_end.is_none()) else { return };
        let agrees = |(other, line): (usize, &crate::client::line::LineState)| {
            let claimed = line.mold.as_ref().and_then(|mold| mold.end).map(|end| end.last);
            other != index && (claimed == Some(claim.last) || line.session_end == Some(claim.last))
        };
        if claim.count >= 2
            || now >= claim.since + END_WAIT
            || self.lines.iter().enumerate().any(agrees)
        {
            self.on_session_over(id, claim.last, now);
        }
    }
}

/// Checks the bytes of a datagram.
fn checked(bytes: &[u8]) -> Result<Datagram<'_>, MoldViolation> {
    let datagram = Datagram::parse(bytes).map_err(MoldViolation::Datagram)?;
    let last = datagram.next_sequence().saturating_sub(1);
    match datagram.sequence() {
        0 => Err(MoldViolation::Sequence(0)),
        _ if last > MAX_SEQ => Err(MoldViolation::Sequence(last)),
        _ => Ok(datagram),
    }
}
