//! Downstream datagrams of a line: messages as they are due, heartbeats, the end of the session.

use super::strike::{Outcome, random_bytes};
use super::{DatagramLimits, END_ANNOUNCED, HEARTBEAT, LineContext, LineSession, MoldEvent};
use super::{MoldLine, Phase};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::exchange::datagrams::DatagramBatch;
use crate::exchange::server::closing::Ending;
use crate::exchange::server::mold::stage::{Scan, ScanEnd};
use crate::faults::scenario::{Direction, FaultPlace};
use crate::tape::pace::{Pace, STEP, StreamClock};
use crate::tape::source::TapeSource;
use crate::wire::Protocol;
use crate::wire::mold::{BLOCK_HEADER_BYTES, HEADER_BYTES, Header, Session};
use alloc::vec::Vec;
use core::time::Duration;

/// Next datagram of a line.
enum Next {
    /// Messages, ready to be sent.
    Datagram(Scan),
    /// Time before which nothing is due, if it is known.
    Waits(Option<Duration>),
    /// A message that no datagram can carry.
    TooLong(Scan),
    /// No more messages.
    End,
}

impl MoldLine {
    /// Begins a session of the tape: forgets the one before.
    pub(super) fn begin<P: TapeSource>(&mut self, number: u64, context: &LineContext<'_, P>) {
        let (live, now) = (!context.tape.over(), context.now);
        let lead = if live { Duration::ZERO } else { self.options.lead };
        let name = Session(context.tape.session().padded());
        self.session = Some(LineSession { number, name, began: now + lead, live });
        self.phase = Phase::Playing;
        self.next = if number == 0 { self.first } else { FIRST_SEQ };
        self.clock = StreamClock::new(FIRST_SEQ);
        self.shifted_at = 0;
        self.stage.clear();
        self.sized = None;
        self.seen = None;
        self.held_until = None;
        self.held.clear();
        self.delayed.clear();
        self.requests.begin();
        self.heartbeat_at = now;
    }

    /// Returns whether the line plays the session with this number.
    pub(super) fn plays(&self, number: u64) -> bool {
        self.session.is_some_and(|session| session.number == number)
    }

    /// Adds what is due to `out`, until it is full. Returns the end of the exchange if a fault
    /// brings it about.
    pub(super) fn publish<P: TapeSource>(
        &mut self,
        context: &mut LineContext<'_, P>,
        out: &mut DatagramBatch,
    ) -> Option<Ending> {
        let session = self.session?;
        let now = context.now;
        self.adopt_faults(context.faults.version());
        loop {
            self.wake_at = self.held_until.filter(|until| *until > now);
            if self.wake_at.is_some() {
                return None;
            }
            self.held_until = None;
            while let Some(datagram) = self.held.pop_front() {
                self.push(&datagram, out, now);
            }
            if out.is_full() {
                self.wake_at = Some(now);
                return None;
            }
            let ending = match self.phase {
                Phase::Silent | Phase::Over => return None,
                Phase::Held => break,
                // Heartbeats go on while a fault delays the announcement.
                Phase::Ending { since, .. } if now < since => {
                    self.wake_at = Some(since);
                    break;
                }
                Phase::Ending { since, next_at } => {
                    self.announce_end(session, (since, next_at), now, out);
                    return None;
                }
                Phase::Playing => match self.next_datagram(session, context) {
                    Next::Datagram(scan) => self.send_messages(session, scan, context, out),
                    Next::Waits(until) => {
                        self.wake_at = until;
                        break;
                    }
                    Next::TooLong(scan) => {
                        self.stats.too_long += 1;
                        context.report(self.index, MoldEvent::MessageTooLong { seq: self.next });
                        self.skip(scan);
                        None
                    }
                    Next::End => self.end_messages(context, out),
                },
            };
            if ending.is_some() {
                return ending;
            }
        }
        self.add_heartbeat(session, context, out);
        None
    }

    /// Lets a line that a fault has stopped go on once other faults are in force, because no client
    /// can connect to it again.
    fn adopt_faults(&mut self, version: u32) {
        if self.fault_version != version {
            self.fault_version = version;
            self.sized = None;
            if matches!(self.phase, Phase::Held | Phase::Silent) {
                self.phase = Phase::Playing;
            }
        }
    }

    /// Returns the next datagram.
    fn next_datagram<P: TapeSource>(
        &mut self,
        session: LineSession,
        context: &mut LineContext<'_, P>,
    ) -> Next {
        let (last, is_over) = (context.tape.last(), context.tape.over());
        let Some(all) = SeqRange::new(self.next, last) else {
            // A tape that fails has no last message that could be trusted.
            let is_end = is_over && context.tape.failure().is_none();
            return if is_end { Next::End } else { Next::Waits(None) };
        };
        let now = context.now;
        let pace = if session.live { Pace::Unlimited } else { context.pace };
        let Some(elapsed) = now.checked_sub(session.began) else {
            return Next::Waits(Some(session.began));
        };
        let due = self.clock.due(pace, context.tape, self.next);
        if due > elapsed {
            return Next::Waits(Some((session.began + due).max(now + STEP)));
        }
        let limits = self.limits(context);
        // Messages that may share the datagram, and those of them that are due.
        let clock = (&mut self.clock, pace);
        let together = due_before(clock, context.tape, all, limits, due + self.options.flush);
        let clock = (&mut self.clock, pace);
        let available = due_before(clock, context.tape, together, limits, elapsed);
        let scan = self.stage.scan(context.tape, available, limits);
        let flush_at = match session.live {
            true => self.seen_at(now) + self.options.flush,
            false if pace == Pace::Unlimited => now,
            false => session.began + due + self.options.flush,
        };
        match scan.end {
            ScanEnd::TooLong => Next::TooLong(scan),
            ScanEnd::Full => Next::Datagram(scan),
            ScanEnd::Done if scan.count == 0 => Next::Waits(None),
            ScanEnd::Done if now >= flush_at => Next::Datagram(scan),
            ScanEnd::Done if is_over && available.last() == last => Next::Datagram(scan),
            ScanEnd::Done => Next::Waits(Some(flush_at)),
        }
    }

    /// Returns the time at which the next message of a live tape was first seen.
    fn seen_at(&mut self, now: Duration) -> Duration {
        match self.seen {
            Some((seq, at)) if seq == self.next => at,
            _ => {
                self.seen = Some((self.next, now));
                now
            }
        }
    }

    /// Returns the size limits of the next datagram.
    fn limits<P>(&mut self, context: &mut LineContext<'_, P>) -> DatagramLimits {
        let (number, own) = (self.datagrams + 1, self.options.limits);
        match self.sized {
            Some((sized, limits)) if sized == number => limits,
            _ => {
                let (run_id, first) = (self.run_id(FaultPlace::Stream), self.next);
                let by_fault = self.picked.size(context.faults, run_id, (number, first), own);
                let limits = by_fault.unwrap_or(own);
                self.sized = Some((number, limits));
                limits
            }
        }
    }

    /// Sends a datagram of messages as the faults that strike it will have it.
    fn send_messages<P: TapeSource>(
        &mut self,
        session: LineSession,
        scan: Scan,
        context: &mut LineContext<'_, P>,
        out: &mut DatagramBatch,
    ) -> Option<Ending> {
        let range = SeqRange::counted(self.next, scan.count.into())?;
        self.datagrams += 1;
        let number = self.datagrams;
        let header = Header { session: session.name, sequence: self.next, count: scan.count };
        if number == 1 {
            context.report(self.index, MoldEvent::Began);
        }
        let run_id = self.run_id(FaultPlace::Stream);
        let mut outcome = self.picked.strike(context.faults, run_id, number, range);
        if let Some(ending) = outcome.ending {
            return self.stop(ending, context);
        }
        if outcome.hold {
            self.phase = Phase::Held;
            context.report(self.index, MoldEvent::Stopped { next: self.next });
            return None;
        }
        if let Some(shift) = outcome.shift.take().filter(|_| self.next > self.shifted_at) {
            self.shift(shift, context);
            return None;
        }
        let by_order = *context.drops_pending > 0;
        if by_order {
            let count = u32::from(scan.count).min(*context.drops_pending);
            *context.drops_pending -= count;
            context.faults.tally_mut().count_dropped_by_order(count.into());
        }
        outcome.dropped |= by_order;
        let is_lost = outcome.dropped || outcome.is_damaged();
        context.faults.tally_mut().count_streamed_range(range, u64::from(!is_lost));
        self.stats.dropped += u64::from(outcome.dropped);
        self.stats.damaged += u64::from(!outcome.dropped && outcome.is_damaged());
        match is_lost {
            true => self.stats.dropped_messages += range.len(),
            false => self.stats.messages += range.len(),
        }
        let is_plain = outcome.copies.is_empty()
            && outcome.garbage.is_empty()
            && (outcome.delay, outcome.later, outcome.end_session) == (None, 0, false);
        if is_plain && !is_lost {
            out.push_parts(&header.encode(), self.stage.blocks(scan));
            self.count_sent(HEADER_BYTES + scan.bytes, context.now);
        } else {
            let mut datagram = Vec::with_capacity(HEADER_BYTES + scan.bytes);
            datagram.extend_from_slice(&header.encode());
            datagram.extend_from_slice(self.stage.blocks(scan));
            self.send_struck(number, header, datagram, &outcome, context.now, out);
        }
        self.skip(scan);
        self.release(number, context.now, out);
        None
    }

    /// Sends a datagram that faults have struck, with everything that they put around it.
    fn send_struck(
        &mut self,
        number: u64,
        header: Header,
        datagram: Vec<u8>,
        outcome: &Outcome,
        now: Duration,
        out: &mut DatagramBatch,
    ) {
        let mut datagram = datagram;
        self.held_until = outcome.delay.map(|delay| now + delay);
        if outcome.end_session {
            let end = Header::end_of_session(header.session, header.sequence);
            self.send(&end.encode(), now, out);
            self.stats.ends += 1;
        }
        for &(len, key) in &outcome.garbage {
            self.send(&random_bytes(len, key), now, out);
        }
        if outcome.dropped {
            return;
        }
        outcome.damage(&mut datagram);
        for &after in &outcome.copies {
            if after > 0 {
                // A copy that finds no place among the delayed ones is sent at once.
                let copy = self.delayed.push(number + u64::from(after), datagram.clone());
                copy.iter().for_each(|copy| self.send(copy, now, out));
            }
        }
        let direct = 1 + outcome.copies.iter().filter(|after| **after == 0).count();
        for _ in 0..direct {
            let datagram = match outcome.later {
                0 => Some(datagram.clone()),
                later => self.delayed.push(number + u64::from(later), datagram.clone()),
            };
            datagram.iter().for_each(|datagram| self.send(datagram, now, out));
        }
    }

    /// Sends the datagrams that were delayed until this number.
    fn release(&mut self, number: u64, now: Duration, out: &mut DatagramBatch) {
        while let Some(datagram) = self.delayed.pop(number) {
            self.send(&datagram, now, out);
        }
    }

    /// Sends a datagram, once the time is over that a fault has set.
    fn send(&mut self, datagram: &[u8], now: Duration, out: &mut DatagramBatch) {
        match self.held_until {
            Some(_) => self.held.push_back(datagram.to_vec()),
            None => self.push(datagram, out, now),
        }
    }

    fn push(&mut self, datagram: &[u8], out: &mut DatagramBatch, now: Duration) {
        out.push(datagram);
        self.count_sent(datagram.len(), now);
    }

    fn count_sent(&mut self, bytes: usize, now: Duration) {
        self.stats.datagrams += u64::from(bytes > HEADER_BYTES);
        self.stats.bytes += bytes as u64;
        self.heartbeat_at = now + HEARTBEAT;
    }

    /// Goes on behind the messages of a datagram.
    fn skip(&mut self, scan: Scan) {
        self.stage.advance(scan);
        self.next += Seq::from(scan.count.max(1));
    }

    /// Goes on with another message.
    fn shift<P: TapeSource>(
        &mut self,
        (by, side): (u32, Direction),
        context: &mut LineContext<'_, P>,
    ) {
        self.shifted_at = self.next;
        self.stage.clear();
        match side {
            Direction::Earlier => {
                self.next = self.next.saturating_sub(by.into()).max(FIRST_SEQ);
            }
            Direction::Later => {
                let behind = self.next.saturating_add(by.into()).min(context.tape.last() + 1);
                if let Some(range) = SeqRange::new(self.next, behind - 1) {
                    context.faults.tally_mut().count_streamed_range(range, 0);
                    self.stats.dropped_messages += range.len();
                }
                self.next = behind;
            }
        }
    }

    /// Stops the line, or the exchange.
    fn stop<P>(&mut self, ending: Ending, context: &mut LineContext<'_, P>) -> Option<Ending> {
        context.report(self.index, MoldEvent::Stopped { next: self.next });
        if ending == Ending::Silence {
            self.phase = Phase::Silent;
            return None;
        }
        Some(ending)
    }

    /// Sends what was delayed beyond the last message, and decides how the session ends.
    fn end_messages<P>(
        &mut self,
        context: &mut LineContext<'_, P>,
        out: &mut DatagramBatch,
    ) -> Option<Ending> {
        let now = context.now;
        self.release(u64::MAX, now, out);
        let run_id = self.run_id(FaultPlace::End);
        let outcome = self.picked.strike(context.faults, run_id, 0, SeqRange::one(0));
        if let Some(ending) = outcome.ending {
            return self.stop(ending, context);
        }
        if outcome.dropped {
            self.phase = Phase::Held;
            self.stats.withheld += 1;
            return None;
        }
        let since = now + outcome.delay.unwrap_or_default();
        self.phase = Phase::Ending { since, next_at: since };
        context.report(self.index, MoldEvent::Ended { next: self.next });
        None
    }

    /// Announces the end of the session, for a while.
    fn announce_end(
        &mut self,
        session: LineSession,
        (since, next_at): (Duration, Duration),
        now: Duration,
        out: &mut DatagramBatch,
    ) {
        if now >= since + END_ANNOUNCED {
            self.phase = Phase::Over;
            return;
        }
        let mut next_at = next_at;
        if now >= next_at {
            self.push(&Header::end_of_session(session.name, self.next).encode(), out, now);
            self.stats.ends += 1;
            next_at = now + HEARTBEAT;
        }
        self.phase = Phase::Ending { since, next_at };
        self.wake_at = Some(next_at);
    }

    /// Sends a heartbeat if nothing was sent for a while.
    fn add_heartbeat<P>(
        &mut self,
        session: LineSession,
        context: &mut LineContext<'_, P>,
        out: &mut DatagramBatch,
    ) {
        let now = context.now;
        if now >= self.heartbeat_at {
            if context.faults.drops_heartbeats(Protocol::Mold, self.index) {
                self.stats.withheld += 1;
                self.heartbeat_at = now + HEARTBEAT;
            } else {
                self.push(&Header::heartbeat(session.name, self.next).encode(), out, now);
                self.stats.heartbeats += 1;
            }
        }
        self.wake_at = Some(self.wake_at.map_or(self.heartbeat_at, |at| at.min(self.heartbeat_at)));
    }
}

/// Returns the part of `range` that a datagram may have and that is due after `elapsed`; its first
/// message always is.
fn due_before<P: TapeSource>(
    (clock, pace): (&mut StreamClock, Pace),
    tape: &mut P,
    range: SeqRange,
    limits: DatagramLimits,
    elapsed: Duration,
) -> SeqRange {
    let first = range.first();
    if pace == Pace::Unlimited {
        return range;
    }
    // No further than a datagram of empty messages reaches: the times of far messages cost much.
    let room = limits.payload.bytes().saturating_sub(HEADER_BYTES) / BLOCK_HEADER_BYTES;
    let most = first.saturating_add(Seq::from(limits.messages.max(1) - 1).min(room as Seq));
    let last = range.last().min(most).min(clock.limit(pace, tape, elapsed)).max(first);
    let due = SeqRange::new(first, last).and_then(|due| clock.due_of(pace, tape, due, elapsed));
    due.unwrap_or(SeqRange::one(first))
}
