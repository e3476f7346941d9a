//! Received bytes: cut into frames, recorded, and judged.
//!
//! Packets go to the ledger in runs. Every other frame is handled here, one at a time: messages of
//! the extension, and frames that are not believed.

use super::alignment::GARBAGE_FRAMES_MAX;
use super::connection::{ConnectionRole, ConnectionState, ConnectionWire};
use super::line::Dialect;
use super::session_payload::SessionPayload;
use super::soup::SoupStream;
use super::timers::DRAIN_WAIT;
use super::{IncompleteReason, Recorder, RecorderEvent};
use crate::base::seq::MAX_SEQ;
use crate::ledger::{Sink, StopReason, TakeResult};
use crate::wire::{Frame, Info, RawFrame, decode, packet_seq, sequence_of};
use core::time::Duration;

impl Recorder {
    /// Handles received bytes.
    pub(super) fn received(
        &mut self,
        at: usize,
        bytes: &[u8],
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let line = self.conns[at].line;
        if self.lines[usize::from(line)].stats.last_heard.replace(now).is_none() {
            self.on_first_bytes(at, now);
        }
        if let ConnectionState::Draining { until, hard } = &mut self.conns[at].state {
            *until = (now + DRAIN_WAIT).min(*hard);
        }
        if self.outcome.is_some() {
            return;
        }
        self.on_heard(at, now);
        let id = self.conns[at].id;
        let mut framer = match &mut self.conns[at].wire {
            ConnectionWire::Frames(framer) => core::mem::take(framer),
            ConnectionWire::Soup(stream) => {
                let stream = core::mem::replace(stream, SoupStream::new());
                return self.soup_received(id, stream, bytes, now, sink);
            }
        };
        let (head, body) = framer.split(bytes);
        for (frames, behind) in [(head.as_slice(), body.first()), (body, None)] {
            if self.outcome.is_some() {
                break;
            }
            let torn = behind.map_or(framer.is_torn(), |frame| self.torn_behind(frames, frame));
            self.conns[at].track.torn = torn;
            self.handle_frames(at, frames, framer.offset, now, sink);
            framer.offset += size_of_val(frames) as u64;
        }
        // These bytes may have ended the recording, and removed connections before this one.
        if let Some(at) = self.find(id) {
            self.conns[at].wire = ConnectionWire::Frames(framer);
        }
    }

    /// Handles whole frames of a connection; `offset` is where they begin in its bytes.
    fn handle_frames(
        &mut self,
        at: usize,
        frames: &[RawFrame],
        offset: u64,
        now: Duration,
        sink: &mut impl Sink,
    ) {
        let mut rest = frames;
        let end = offset + size_of_val(frames) as u64;
        let offset_of = |rest: &[RawFrame]| end - size_of_val(rest) as u64;
        // A connection that was cut for sending garbage is read on, but not believed.
        while !rest.is_empty()
            && self.outcome.is_none()
            && self.conns[at].garbage_run <= GARBAGE_FRAMES_MAX
        {
            let conn = &mut self.conns[at];
            let line = &mut self.lines[usize::from(conn.line)];
            if conn.requested_early
                && line.dialect == Dialect::Unknown
                && packet_seq(&rest[0]).is_some()
            {
                // The exchange has ignored the describe call, so the session of its packets is
                // unknown.
                line.dialect = Dialect::Classic;
                conn.garbage_run = GARBAGE_FRAMES_MAX + 1;
                return self.cut(at, now);
            }
            // Packets of another or an unknown session are skipped; messages are still handled,
            // because one of them may be the description.
            if !self.is_of_session(&self.conns[at]) {
                let packets = rest.iter().take_while(|raw| packet_seq(raw).is_some()).count();
                rest = &rest[packets..];
                let Some((frame, after)) = rest.split_first() else { return };
                self.other_frame(at, frame, (StopReason::NotAPacket, offset_of(rest)), now, sink);
                rest = after;
                continue;
            }
            if !self.believes(at, &rest[0]) {
                self.ignore_frame(at, &rest[0], offset_of(rest), now);
                rest = &rest[1..];
                continue;
            }
            let plausible = self.highest_plausible(&self.lines[usize::from(self.conns[at].line)]);
            let conn = &mut self.conns[at];
            let origin = conn.origin();
            let position = conn.track.position;
            conn.track.plausible = plausible;
            let taken = self.ledger.take(rest, origin, now, &mut conn.track, sink);
            // A duplicate does not count as activity, because a peer could repeat packets for ever.
            if taken.fresh > 0 || conn.track.position > position {
                conn.last_useful = now;
            }
            // The time that the first packets took shows how slow the exchange is to answer.
            if self.passes.complete == 0 && position == 0 && taken.frames > 0 {
                self.on_first_packets(at, now);
            }
            self.count_taken(at, taken);
            if taken.fresh > 0
                && let Some(last) = rest[..taken.frames].last()
            {
                self.mark_answered(at, sequence_of(last));
            }
            rest = &rest[taken.frames..];
            if let (Some(stop), Some((frame, after))) = (taken.stop, rest.split_first()) {
                self.other_frame(at, frame, (stop, offset_of(rest)), now, sink);
                rest = after;
            }
        }
    }

    /// Extends the wait for a description when the first stream delivers its first packets, by a
    /// sixteenth of the time that they took. The answer to a describe call travels as far, and may
    /// be as slow.
    fn on_first_packets(&mut self, at: usize, now: Duration) {
        let conn = &self.conns[at];
        let took = now.saturating_sub(conn.connecting_since + conn.rtt);
        let line = &mut self.lines[usize::from(conn.line)];
        if conn.role != ConnectionRole::Resend {
            line.describe_deadline = line.describe_deadline.map(|by| by.max(now + took / 16));
        }
    }

    /// Counts frames that the ledger has taken.
    pub(super) fn count_taken(&mut self, at: usize, taken: TakeResult) {
        if taken.frames == 0 {
            return;
        }
        if self.payload == SessionPayload::Unknown {
            self.payload = SessionPayload::Packets;
        }
        let conn = &mut self.conns[at];
        let line = &mut self.lines[usize::from(conn.line)];
        let frames = taken.frames as u64;
        conn.garbage_run = 0;
        line.highest = line.highest.max(conn.track.highest);
        conn.new_packets += taken.fresh;
        line.stats.packets += frames;
        line.stats.first += taken.fresh;
        self.stats.duplicates += frames - taken.fresh;
        self.violations.conflicts += u64::from(taken.conflicts);
        if conn.role != ConnectionRole::Resend {
            self.stats.streamed += taken.fresh;
            return;
        }
        self.stats.resent += taken.fresh;
        line.unattributed_answers |= conn.session.is_none() && taken.fresh > 0;
        // A duplicate must not count as the answer to a later request.
        conn.answered += frames.min(conn.in_flight());
        if taken.fresh > 0 {
            line.resender.note_progress();
        }
        if conn.described && line.dialect == Dialect::Unknown {
            // The exchange answered a later request first, so it has ignored the describe call.
            line.dialect = Dialect::Classic;
        }
    }

    /// Handles a frame that is no packet, or a packet that is not believed.
    fn other_frame(
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
                self.violations.implausible += 1;
                self.violations.first_implausible.get_or_insert(seq);
                return;
            }
            // Too many gaps are open to open another one: the packet is ignored, and so missed. It
            // answers a request all the same. Uncounted, it would narrow the window for ever.
            (StopReason::Crowded, _) => {
                let is_answer = conn.role == ConnectionRole::Resend && conn.in_flight() > 0;
                conn.answered += u64::from(is_answer);
                return;
            }
            (StopReason::Torn, _) => {
                self.violations.doubtful += 1;
                return;
            }
            (StopReason::NotAPacket, Err(_)) => return self.ignore_frame(at, raw, offset, now),
            (StopReason::NotAPacket, Ok(Frame::Info(info))) if conn.described => {
                return self.described(at, info, now, sink);
            }
            // The other messages are valid only after a description, and in answer to a request.
            (StopReason::NotAPacket, Ok(frame)) if line.dialect == Dialect::Extended => {
                if self.take_message(at, frame, now, sink) {
                    return;
                }
            }
            // A message of the extension without a request for it, or a packet without a symbol.
            (StopReason::NotAPacket, Ok(_)) => {}
        }
        self.ignore_frame(at, raw, offset, now);
    }

    /// Handles a message of the extension on a connection whose exchange has described itself.
    /// Returns false if nothing has requested the message.
    fn take_message(
        &mut self,
        at: usize,
        frame: Frame,
        now: Duration,
        sink: &mut impl Sink,
    ) -> bool {
        let conn = &mut self.conns[at];
        match frame {
            Frame::NotAvailable(refusal) if conn.in_flight() > 0 && refusal.count > 0 => {
                let last = refusal.first.saturating_add(refusal.count - 1);
                conn.answered += refusal.count.min(conn.in_flight());
                conn.last_useful = now;
                self.on_refusal(at, refusal);
                self.mark_answered(at, refusal.first.saturating_sub(1));
                self.conns[at].answered_up_to =
                    self.conns[at].answered_up_to.max(last.min(MAX_SEQ));
                true
            }
            // The subscriber was too slow, or has requested packets that are gone: it
            // subscribes again, unless it already does.
            Frame::NotAvailable(_)
                if self.options.follow && conn.role != ConnectionRole::Resend =>
            {
                if !conn.is_stream() {
                    return true;
                }
                let summary = conn.summary();
                self.drain(at, now);
                self.on_subscription_ended(summary, now);
                true
            }
            Frame::Heartbeat(next) | Frame::End(next)
                if self.options.follow && conn.role != ConnectionRole::Resend =>
            {
                if self.accept_claimed_end(at, next - 1) {
                    if matches!(frame, Frame::End(_)) {
                        self.on_session_over(self.conns[at].line, next - 1, now);
                    }
                    self.on_heartbeat(at, next, now, sink);
                }
                true
            }
            Frame::Heartbeat(next) | Frame::End(next) => {
                self.accept_claimed_end(at, next - 1);
                true
            }
            _ => false,
        }
    }

    /// Handles the description of a session.
    pub(super) fn described(&mut self, at: usize, info: Info, now: Duration, sink: &mut impl Sink) {
        let info = Info { session: self.as_recorded(info.session), ..info };
        let id = self.conns[at].line;
        let line = &mut self.lines[usize::from(id)];
        line.dialect = Dialect::Extended;
        if line.stats.info.replace(info).is_none() {
            self.note(RecorderEvent::Described { line: id, info });
        }
        let other = self.expected_session().is_some_and(|known| known != info.session);
        if other && self.options.follow {
            self.set_line_aside(at, info.session, now);
        } else if other {
            self.violations.other_session = Some(info.session);
            self.lines[usize::from(id)].stats.other_session = Some(info.session);
            self.adopt_session(now, sink);
            self.finish(Some(IncompleteReason::OtherSession), now);
        } else {
            self.lines[usize::from(id)].stats.other_session = None;
            self.on_described_end(at, info.last, now, sink);
            self.on_session_reported(at, info, now, sink);
            if self.options.follow && self.conns[at].is_stream() {
                self.subscribe(at, info);
            }
        }
    }
}
