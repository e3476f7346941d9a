//! What a recorder makes of each input.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState, ConnectionSummary};
use super::line::Dialect;
use super::{ConnId, IncompleteReason, Input, Output, PassEnd, Recorder, RecorderEvent};
use crate::base::seq::{MAX_SEQ, Seq};
use crate::client::recovery::{
    DESCRIBE_WAIT, GARBAGE_MAX, LINGER, PAUSE, PROBES_MAX, TOLD_WAIT, backoff,
};
use crate::ledger::{Sink, StopReason, TakeResult};
use crate::wire::{Call, Frame, Info, RawFrame, VERSION, decode, packet_seq, sequence_of};
use core::time::Duration;

impl Recorder {
    pub(super) fn input(&mut self, input: Input<'_>, now: Duration, sink: &mut impl Sink) {
        let of = |recorder: &Self, id: ConnId| recorder.find(id);
        match input {
            Input::Wake => {}
            Input::Stop => self.stop(now),
            Input::Connected(id) => {
                if let Some(at) = of(self, id) {
                    self.connected(at, now);
                }
            }
            Input::Failed(id) => {
                if let Some(at) = of(self, id) {
                    self.connect_failed(at, now);
                }
            }
            Input::Received(id, bytes) => {
                self.stats.bytes += bytes.len() as u64;
                if let Some(at) = of(self, id) {
                    let line = self.conns[at].line;
                    if self.lines[usize::from(line)].stats.heard.replace(now).is_none() {
                        self.first_heard(at, now);
                    }
                    if let ConnectionState::Draining { until, hard } = &mut self.conns[at].state {
                        *until = (now + LINGER).min(*hard);
                    }
                    if self.outcome.is_none() {
                        self.received(at, bytes, now, sink);
                    }
                }
            }
            Input::Ended(id) => {
                if let Some(at) = of(self, id) {
                    self.closed(at, false, now);
                }
            }
            Input::Broken(id) => {
                if let Some(at) = of(self, id) {
                    self.closed(at, true, now);
                }
            }
        }
    }

    fn connected(&mut self, at: usize, now: Duration) {
        let conn = &mut self.conns[at];
        conn.heard = now;
        let line = &mut self.lines[usize::from(conn.line)];
        conn.state = ConnectionState::Open;
        conn.rtt = now.saturating_sub(conn.begun);
        conn.active = now;
        line.failing = None;
        line.stats.unreachable = None;
        line.stats.reached = true;
        self.stats.connections += 1;
        if let ConnectionRole::Stream { pass } = &mut conn.role {
            self.passes_begun += 1;
            *pass = self.passes_begun;
            if self.options.follow {
                Call::Describe { version: VERSION }.encode(&mut conn.outbox);
                conn.described = true;
            } else {
                // One that is no original tells first which session it streams.
                if line.dialect == Dialect::Extended {
                    Call::Describe { version: VERSION }.encode(&mut conn.outbox);
                    conn.described = true;
                }
                Call::Stream.encode(&mut conn.outbox);
            }
            let (line, pass) = (conn.line, *pass);
            self.note(RecorderEvent::PassBegan { line, pass });
            return;
        }
        // The sweep goes on where the last connection left it.
        conn.settled = line.asker.cursor - 1;
        // Whoever is known to speak it, or must, answers nothing of it on a connection that has not
        // asked for it, however often it ended before it could say so.
        let speaks =
            self.options.follow || line.dialect == Dialect::Extended || self.session.is_some();
        if !self.options.classic
            && (speaks || line.probes_failed < PROBES_MAX)
            && line.dialect != Dialect::Classic
        {
            Call::Describe { version: VERSION }.encode(&mut conn.outbox);
            conn.described = true;
            let wait = match (self.session.is_some(), line.stats.heard.is_some()) {
                (false, _) => DESCRIBE_WAIT,
                (true, true) => TOLD_WAIT,
                // An exchange that is slow to begin may be ours: it gets the time of any other.
                (true, false) => self.options.timeout.max(TOLD_WAIT),
            };
            line.describe_by.get_or_insert(now + wait.max(conn.rtt * 5 / 4));
        }
    }

    pub(super) fn connect_failed(&mut self, at: usize, now: Duration) {
        let conn = self.remove(at);
        self.stats.failures += 1;
        let line = &mut self.lines[usize::from(conn.line)];
        match conn.role {
            ConnectionRole::Stream { .. } => line.to_stream += 1,
            ConnectionRole::Resend => line.resend = None,
        }
        if line.stats.dead {
            // Nobody opens it again.
            line.to_stream = 0;
            return;
        }
        if line.retry_at > now {
            return; // Its other connection failed just now, too.
        }
        let (since, tries) =
            line.failing.map_or((conn.begun, 1), |(since, tries)| (since, tries + 1));
        line.failing = Some((since, tries));
        line.stats.unreachable = Some(since);
        let note = if now.saturating_sub(since) >= self.options.timeout {
            line.stats.dead = true;
            line.to_stream = 0;
            RecorderEvent::Dead { line: conn.line }
        } else {
            let pause = backoff(tries);
            line.retry_at = now + pause;
            RecorderEvent::Unreachable { line: conn.line, pause }
        };
        self.note(note);
    }

    fn received(&mut self, at: usize, bytes: &[u8], now: Duration, sink: &mut impl Sink) {
        self.heard(at, now);
        let id = self.conns[at].id;
        let mut framer = core::mem::take(&mut self.conns[at].framer);
        let (head, body) = framer.split(bytes);
        for (frames, behind) in [(head.as_slice(), body.first()), (body, None)] {
            if self.outcome.is_some() {
                break;
            }
            let torn = behind.map_or(framer.torn(), |frame| self.torn_behind(frames, frame));
            self.conns[at].track.torn = torn;
            self.frames(at, frames, framer.offset, now, sink);
            framer.offset += size_of_val(frames) as u64;
        }
        // What came may have ended the recording, and connections before this one with it.
        if let Some(at) = self.find(id) {
            self.conns[at].framer = framer;
        }
    }

    fn frames(
        &mut self,
        at: usize,
        frames: &[RawFrame],
        offset: u64,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let mut rest = frames;
        let end = offset + size_of_val(frames) as u64;
        let place = |rest: &[RawFrame]| end - size_of_val(rest) as u64;
        // A connection that was cut for sending garbage is read on, but not believed.
        while !rest.is_empty()
            && self.outcome.is_none()
            && self.conns[at].garbage_run <= GARBAGE_MAX
        {
            let conn = &mut self.conns[at];
            let line = &mut self.lines[usize::from(conn.line)];
            if conn.ahead && line.dialect == Dialect::Unknown && packet_seq(&rest[0]).is_some() {
                // It has ignored the describe call: nobody knows which session this is of.
                line.dialect = Dialect::Classic;
                conn.garbage_run = GARBAGE_MAX + 1;
                return self.cut(at, now);
            }
            if !self.is_ours(at) {
                let packets = rest.iter().take_while(|raw| packet_seq(raw).is_some()).count();
                rest = &rest[packets..];
                let Some((odd, after)) = rest.split_first() else { return };
                self.odd_frame(at, odd, (StopReason::NotAPacket, place(rest)), now, sink);
                rest = after;
                continue;
            }
            if !self.believes(at, &rest[0]) {
                self.garbled(at, &rest[0], place(rest), now);
                rest = &rest[1..];
                continue;
            }
            let plausible = self.plausible(&self.lines[usize::from(self.conns[at].line)]);
            let conn = &mut self.conns[at];
            let origin = conn.origin();
            let position = conn.track.position;
            conn.track.plausible = plausible;
            let taken = self.ledger.take(rest, origin, now, &mut conn.track, sink);
            // What repeats is no sign of life: it could go on for ever.
            if taken.fresh > 0 || conn.track.position > position {
                conn.active = now;
            }
            if self.passes.complete == 0 && position == 0 && taken.frames > 0 {
                self.answered_first(at, now);
            }
            self.count(at, taken);
            if taken.fresh > 0
                && let Some(last) = rest[..taken.frames].last()
            {
                self.settle(at, sequence_of(last));
            }
            rest = &rest[taken.frames..];
            if let (Some(stop), Some((odd, after))) = (taken.stop, rest.split_first()) {
                self.odd_frame(at, odd, (stop, place(rest)), now, sink);
                rest = after;
            }
        }
    }

    /// The first stream brings its first packets. What answers a describe call is as far away, and
    /// may be as slow.
    fn answered_first(&mut self, at: usize, now: Duration) {
        let conn = &self.conns[at];
        let took = now.saturating_sub(conn.begun + conn.rtt);
        let line = &mut self.lines[usize::from(conn.line)];
        if conn.role != ConnectionRole::Resend {
            line.describe_by = line.describe_by.map(|by| by.max(now + took / 16));
        }
    }

    fn count(&mut self, at: usize, taken: TakeResult) {
        if taken.frames == 0 {
            return;
        }
        let conn = &mut self.conns[at];
        let line = &mut self.lines[usize::from(conn.line)];
        let frames = taken.frames as u64;
        conn.garbage_run = 0;
        line.highest = line.highest.max(conn.track.highest);
        conn.fresh += taken.fresh;
        line.stats.packets += frames;
        line.stats.first += taken.fresh;
        self.stats.repeated += frames - taken.fresh;
        self.trouble.conflicts += u64::from(taken.conflicts);
        if conn.role != ConnectionRole::Resend {
            self.stats.streamed += taken.fresh;
            return;
        }
        self.stats.resent += taken.fresh;
        line.untold_answers |= conn.session.is_none() && taken.fresh > 0;
        // What comes twice is no answer to what is asked for later.
        conn.answered += frames.min(conn.in_flight());
        if taken.fresh > 0 {
            line.asker.progress();
        }
        if conn.described && line.dialect == Dialect::Unknown {
            // It answered a later request first, so it has ignored the describe call.
            line.dialect = Dialect::Classic;
        }
    }

    /// A resend connection has answered for `seq`: what was asked for before it and is still
    /// missing will not come any more.
    fn settle(&mut self, at: usize, seq: Seq) {
        let seq = seq.min(MAX_SEQ);
        let conn = &mut self.conns[at];
        if conn.role == ConnectionRole::Resend && seq > conn.settled {
            let asker = &self.lines[usize::from(conn.line)].asker;
            let lost = asker.overdue(self.ledger.gaps(), conn.settled + 1, seq);
            conn.answered += lost.min(conn.in_flight());
            conn.settled = seq;
        }
    }

    /// A frame that is no packet, or none to be believed.
    fn odd_frame(
        &mut self,
        at: usize,
        raw: &RawFrame,
        (stop, offset): (StopReason, u64),
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let conn = &mut self.conns[at];
        let line = &mut self.lines[usize::from(conn.line)];
        match (stop, decode(raw)) {
            (StopReason::Jump(seq), _) => {
                self.trouble.implausible += 1;
                self.trouble.first_implausible.get_or_insert(seq);
                return;
            }
            (StopReason::Crowded, _) => return,
            (StopReason::Torn, _) => {
                self.trouble.doubtful += 1;
                return;
            }
            (StopReason::NotAPacket, Err(_)) => return self.garbled(at, raw, offset, now),
            (StopReason::NotAPacket, Ok(Frame::Info(info))) if conn.described => {
                return self.described(at, info, now, sink);
            }
            // The rest is for those that have been described, and answers what they asked.
            (StopReason::NotAPacket, Ok(frame)) if line.dialect == Dialect::Extended => match frame
            {
                Frame::NotAvailable(refusal) if conn.in_flight() > 0 && refusal.count > 0 => {
                    let last = refusal.first.saturating_add(refusal.count - 1);
                    conn.answered += u64::from(refusal.count).min(conn.in_flight());
                    conn.active = now;
                    self.refused(at, refusal);
                    self.settle(at, refusal.first.saturating_sub(1));
                    self.conns[at].settled = self.conns[at].settled.max(last.min(MAX_SEQ));
                    return;
                }
                // Too slow, or behind: it begins anew where it is, unless it has already.
                Frame::NotAvailable(_)
                    if self.options.follow && conn.role != ConnectionRole::Resend =>
                {
                    if !conn.streams() {
                        return;
                    }
                    let tally = conn.tally();
                    self.drain(at, now);
                    return self.feed_lost(tally, now);
                }
                Frame::Heartbeat(next) | Frame::End(next)
                    if self.options.follow && conn.role != ConnectionRole::Resend =>
                {
                    if self.claims(at, next - 1) {
                        if matches!(frame, Frame::End(_)) {
                            self.says_over(at, next - 1, now);
                        }
                        self.beat(at, next, now, sink);
                    }
                    return;
                }
                Frame::Heartbeat(next) | Frame::End(next) => {
                    self.claims(at, next - 1);
                    return;
                }
                _ => {}
            },
            // A message of the extension that nobody asked for, or a packet without a symbol.
            (StopReason::NotAPacket, Ok(_)) => {}
        }
        self.garbled(at, raw, offset, now);
    }

    fn described(&mut self, at: usize, info: Info, now: Duration, sink: &mut impl Sink) {
        let id = self.conns[at].line;
        let line = &mut self.lines[usize::from(id)];
        line.dialect = Dialect::Extended;
        if line.stats.info.replace(info).is_none() {
            self.note(RecorderEvent::Described { line: id, info });
        }
        let other = self.told_session().is_some_and(|known| known != info.session);
        if other && self.options.follow {
            self.put_aside(at, info.session, now);
        } else if other {
            self.trouble.other_session = Some(info.session);
            self.lines[usize::from(id)].stats.other = Some(info.session);
            self.settle_session(now, sink);
            self.finish(Some(IncompleteReason::OtherSession), now);
        } else {
            self.lines[usize::from(id)].stats.other = None;
            self.describes(at, info.last, now, sink);
            self.session_told(at, info, now, sink);
            if self.options.follow && self.conns[at].streams() {
                self.subscribe(at, info);
            }
        }
    }

    /// The peer closed a connection, or it broke.
    fn closed(&mut self, at: usize, broken: bool, now: Duration) {
        self.conns[at].heard = now;
        let conn = self.remove(at);
        self.stats.failures += u32::from(broken);
        if self.outcome.is_some() || matches!(conn.state, ConnectionState::Draining { .. }) {
            return;
        }
        let tally = conn.tally();
        match tally.role {
            ConnectionRole::Stream { .. } if self.options.follow => self.feed_lost(tally, now),
            ConnectionRole::Stream { .. } if broken || conn.framer.partial() => {
                self.pass_cut(tally, now)
            }
            ConnectionRole::Stream { .. } => self.pass_complete(tally, PassEnd::Whole),
            ConnectionRole::Resend => self.resend_closed(tally, now),
        }
    }

    fn resend_closed(&mut self, tally: ConnectionSummary, now: Duration) {
        let line = &mut self.lines[usize::from(tally.line)];
        line.resend = None;
        if self.probe_failed(tally) {
            return;
        }
        let line = &mut self.lines[usize::from(tally.line)];
        if tally.unanswered && line.dialect != Dialect::Extended {
            line.asker.closed_early(tally.answered);
        }
        if tally.unanswered || !tally.asked {
            self.resend_failed(tally, now);
        }
    }

    /// Whether a connection came to nothing that began with a describe call, which may be why:
    /// there are servers that close, or wait, on what they do not know.
    pub(super) fn probe_failed(&mut self, tally: ConnectionSummary) -> bool {
        let line = &mut self.lines[usize::from(tally.line)];
        // Whoever follows needs the extension anyway.
        let told = tally.answered > 0 || self.options.follow;
        if !tally.described || line.dialect != Dialect::Unknown || told {
            return false;
        }
        line.probes_failed += 1;
        line.asker.rewind();
        if self.session.is_some() {
            // Nothing goes on without its answer: it is asked again, but not at once.
            line.asker.retry_at = self.now + backoff(line.probes_failed);
        }
        true
    }

    /// A resend connection ended with something unanswered.
    pub(super) fn resend_failed(&mut self, tally: ConnectionSummary, now: Duration) {
        let reach = self.reach(tally.line, now);
        let line = &mut self.lines[usize::from(tally.line)];
        let asker = &mut line.asker;
        if tally.fresh == 0 {
            asker.tries += 1;
            asker.retry_at = now + backoff(asker.tries);
            let note = RecorderEvent::ResendFailed { line: tally.line, tries: asker.tries };
            // Who follows all day waits for an exchange that does not answer now.
            if asker.tries > self.options.retries && !self.options.follow {
                asker.strike(self.ledger.gaps(), reach);
            }
            self.note(note);
        }
        self.lines[usize::from(tally.line)].asker.rewind();
    }

    /// A sweep has asked for everything and some of it was not answered.
    pub(super) fn sweep_again(&mut self, at: usize, now: Duration) {
        let conn = &self.conns[at];
        let reach = self.reach(conn.line, now);
        let gaps = self.ledger.gaps();
        let line = &mut self.lines[usize::from(conn.line)];
        let asker = &mut line.asker;
        if self.options.follow {
            asker.hold(gaps, conn.settled, now);
        }
        if conn.in_flight() > 0
            || !asker.held && asker.askable(gaps, asker.cursor, reach).is_some()
            || asker.askable(gaps, crate::base::seq::FIRST_SEQ, reach).is_none()
        {
            return;
        }
        if !asker.fruitful {
            asker.tries += 1;
            asker.retry_at = now + backoff(asker.tries);
            if asker.tries > self.options.retries && !self.options.follow {
                asker.strike(gaps, reach);
            }
        }
        asker.rewind();
        self.conns[at].settled = 0;
    }

    /// Stops believing a connection that sends garbage.
    pub(super) fn cut(&mut self, at: usize, now: Duration) {
        self.stats.failures += 1;
        self.outputs.push_back(Output::Finish(self.conns[at].id));
        // Nothing that it still sends keeps it open for long.
        self.conns[at].state = ConnectionState::Draining { until: now + PAUSE, hard: now + PAUSE };
        let tally = self.conns[at].tally();
        match tally.role {
            ConnectionRole::Stream { .. } if self.options.follow => self.feed_lost(tally, now),
            ConnectionRole::Stream { .. } => self.pass_cut(tally, now),
            ConnectionRole::Resend => {
                self.lines[usize::from(tally.line)].resend = None;
                self.resend_failed(tally, now);
            }
        }
    }

    pub(super) fn remove(&mut self, at: usize) -> ClientConnection {
        let conn = self.conns.remove(at);
        self.leaves_untold(&conn);
        self.outputs.push_back(Output::Drop(conn.id));
        conn
    }
}
