//! Live outputs of a recording: packets are handed on in order of sequence while it is made.

use crate::error::Failure;
use crate::format::{Arrival, StreamMark};
use crate::output::sink::PacketSink;
use crate::record::store::RecordingStore;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::ledger::{Origin, Sink};
use feed::wire::{Info, Messages, SessionId, sequence_of};
use std::time::Duration;

/// Interval for handing on packets behind a filled gap while a stream is busy, because such a
/// stream never calls `on_idle`.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);
/// Interval for trying again an output that accepts no more packets.
const FULL_INTERVAL: Duration = Duration::from_millis(20);

/// Sink that records, and hands packets to live outputs as far as no gap is before them.
pub(crate) struct FanOut<'a> {
    /// Recording, from which late outputs read.
    capture: &'a mut RecordingStore,
    outs: Vec<FanOutTarget>,
    abandoned: AbandonedPackets,
    missing: MissingPackets,
    /// Abandoned packets that are left out.
    skipped: SeqSet,
    /// Failure of an output, which ends the recording.
    failure: Option<Failure>,
}

/// Treatment of abandoned packets in live outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AbandonedPackets {
    /// Later packets wait for the missing ones.
    HoldUp,
    /// Later packets follow without the missing ones.
    LeaveOut,
}

/// Use of missing packets once the recording is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MissingPackets {
    /// An output other than stdout needs all packets.
    Wanted,
    /// Stdout is the only output, and its reader has ended.
    Unwanted,
}

/// Live output and the next packet that it gets.
struct FanOutTarget {
    outlet: Box<dyn PacketSink>,
    /// True once the output's reader has closed it, or the user has stopped waiting for it.
    closed: bool,
    /// Next sequence to hand on, or 0 before the output has begun.
    next: Seq,
    /// Time to read the recording, if it has packets that were not handed on.
    behind: Option<Duration>,
    /// Time of the last read of the recording.
    read: Duration,
}

/// Reason why packets were not handed on.
enum Until {
    /// Next packet is missing.
    Gap,
    /// Output accepts no more packets for now.
    Full,
}

impl<'a> FanOut<'a> {
    /// Creates a sink that records, and that hands on earlier and new packets.
    ///
    /// # Errors
    /// Errors of an output.
    pub(crate) fn new(
        capture: &'a mut RecordingStore,
        outlets: Vec<Box<dyn PacketSink>>,
        abandoned: AbandonedPackets,
        missing: MissingPackets,
    ) -> Result<Self, Failure> {
        let outs = outlets.into_iter().map(|outlet| FanOutTarget {
            outlet,
            closed: false,
            next: 0,
            behind: None,
            read: Duration::ZERO,
        });
        let (outs, session) = (outs.collect(), capture.known_session());
        let mut sink =
            Self { capture, outs, abandoned, missing, skipped: SeqSet::new(), failure: None };
        if session.is_some() {
            sink.begin(session, Duration::ZERO);
        }
        sink.failure.take().map_or(Ok(sink), Err)
    }

    /// Ends the recording and hands on the remaining packets.
    ///
    /// # Errors
    /// Errors of the recording or an output. A closed pipe is not an error.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.capture.end()?;
        if self.failure.is_none() {
            self.begin(None, Duration::ZERO);
        }
        let mut done = self.failure.take().map_or(Ok(()), Err);
        // A NATS stream may already have later packets than this recording.
        let end = self.capture.highest().saturating_add(1);
        for mut out in self.outs {
            let whole = match done.is_ok() && !out.closed {
                true => out.end(self.capture, &self.skipped, end),
                false => Ok(()),
            };
            for result in [whole, out.outlet.finish()] {
                // A closed output does not stop the others.
                if let Err(failure) = result
                    && !matches!(failure, Failure::Stopped)
                {
                    done = done.and(Err(failure));
                }
            }
        }
        done
    }

    /// Begins the outputs that have not begun.
    fn begin(&mut self, session: Option<SessionId>, now: Duration) {
        for out in self.outs.iter_mut().filter(|out| out.next == 0 && !out.closed) {
            match out.outlet.begin(session) {
                Ok(next) => (out.next, out.behind) = (next, Some(now)),
                Err(failure) => out.fail(failure, &mut self.failure),
            }
        }
    }

    /// Hands on packets from the recording to outputs that are behind, at most once in `patience`.
    fn catch_up(&mut self, now: Duration, patience: Duration) {
        let due = |out: &FanOutTarget| {
            let behind = out.behind.is_some_and(|time| now >= time);
            behind && now >= out.read + patience && !out.closed
        };
        if self.failure.is_some() || !self.outs.iter().any(due) {
            return;
        }
        self.capture.flush();
        for out in self.outs.iter_mut().filter(|out| due(out)) {
            out.read = now;
            match out.catch_up(self.capture, &self.skipped) {
                Ok(full) => out.behind = full.then_some(now + FULL_INTERVAL),
                Err(failure) => out.fail(failure, &mut self.failure),
            }
        }
    }
}

impl FanOutTarget {
    /// Records a failure, which closes this output or ends the recording.
    fn fail(&mut self, failure: Failure, recording: &mut Option<Failure>) {
        match failure {
            Failure::Stopped => self.closed = true,
            failure => drop(recording.get_or_insert(failure)),
        }
    }

    /// Hands on all remaining packets before `end`.
    fn end(&mut self, capture: &RecordingStore, skipped: &SeqSet, end: Seq) -> Result<(), Failure> {
        loop {
            match self.catch_up(capture, skipped)? {
                true => self.outlet.wait()?,
                false if self.outlet.settled(self.next.min(end))? => return Ok(()),
                false => {}
            }
        }
    }

    /// Plans a read of the recording if `range` has the next packet, because that packet was filled
    /// or abandoned.
    fn gap_closed(&mut self, range: SeqRange, now: Duration) {
        if range.contains(self.next) {
            self.behind.get_or_insert(now);
        }
    }

    /// Lets the output work while no packets arrive. Returns the time of its next call.
    fn idle(&mut self, now: Duration) -> Result<Option<Duration>, Failure> {
        if self.behind.is_none() && self.outlet.wants(self.next)? != self.next {
            self.behind = Some(now);
        }
        self.outlet.idle(now)
    }

    /// Hands on packets from the recording up to the next gap. Returns whether the output is full.
    fn catch_up(&mut self, capture: &RecordingStore, skipped: &SeqSet) -> Result<bool, Failure> {
        self.next = self.outlet.wants(self.next)?;
        loop {
            let mut until = None;
            let read = capture.read_from(self.next, &mut |messages, arrival| {
                until = self.put(messages, arrival)?;
                if until.is_some() { Err(Failure::Stopped) } else { Ok(()) }
            });
            match (read, until) {
                (_, Some(Until::Full)) => return Ok(true),
                (Err(failure), None) => return Err(failure),
                _ => {}
            }
            let left_out = skipped.at_or_after(self.next).and_then(|range| range.from(self.next));
            let left_out = left_out.filter(|_| self.outlet.skips());
            let Some(abandoned) = left_out.filter(|range| range.first() == self.next) else {
                return Ok(false);
            };
            self.outlet.mark(StreamMark::Abandoned(abandoned))?;
            self.next = abandoned.last() + 1;
        }
    }

    /// Hands on those of the messages that are next in order.
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> Result<Option<Until>, Failure> {
        let (next, is_rest_behind_gap) = next_in_order(messages, self.next);
        let mut taken = 0;
        if !next.is_empty() {
            taken = self.outlet.put(next, arrival)?;
            let last = next.first(taken).span().map(|span| span.last());
            self.next = last.map_or(self.next, |last| last + 1);
        }
        Ok(match taken < next.len() {
            true => Some(Until::Full),
            false => is_rest_behind_gap.then_some(Until::Gap),
        })
    }
}

/// Returns the consecutive messages from `next` on, and whether others follow behind a gap.
fn next_in_order(messages: Messages<'_>, next: Seq) -> (Messages<'_>, bool) {
    match messages {
        Messages::Packets(frames) => {
            let known = frames.partition_point(|frame| sequence_of(frame) < next);
            let ahead = &frames[known..];
            let ascending = (next..).zip(ahead);
            let count = ascending.take_while(|(seq, frame)| sequence_of(frame) == *seq).count();
            (Messages::Packets(&ahead[..count]), count < ahead.len())
        }
        Messages::Run(run) if run.range().first() > next => (Messages::NONE, true),
        Messages::Run(run) => {
            let ahead = SeqRange::new(next, run.range().last());
            let ahead = ahead.and_then(|range| run.part(range));
            (ahead.map_or(Messages::NONE, Messages::Run), false)
        }
    }
}

// A wrapper that forgets a method swallows its calls, because the default does nothing.
#[warn(clippy::missing_trait_methods)]
impl Sink for FanOut<'_> {
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration) {
        self.capture.on_messages(origin, messages, now);
        if self.outs.is_empty() || self.failure.is_some() {
            return;
        }
        let arrival = self.capture.arrival(origin, now);
        let takes = |out: &&mut FanOutTarget| out.next > 0 && out.behind.is_none() && !out.closed;
        for out in self.outs.iter_mut().filter(takes) {
            // Packets after a gap wait in the recording.
            match out.put(messages, arrival) {
                Ok(Some(Until::Full)) => out.behind = Some(now + FULL_INTERVAL),
                Ok(_) => {}
                Err(failure) => out.fail(failure, &mut self.failure),
            }
        }
        self.catch_up(now, BUSY_INTERVAL);
    }

    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        self.capture.on_duplicates(origin, messages)
    }

    fn on_gap(&mut self, gap: SeqRange, now: Duration) {
        self.capture.on_gap(gap, now);
    }

    fn on_fill(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.capture.on_fill(piece, age, origin, now);
        self.skipped.remove(piece);
        for out in &mut self.outs {
            out.gap_closed(piece, now);
        }
    }

    fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        self.capture.on_gap_abandoned(range, now);
        if self.abandoned == AbandonedPackets::LeaveOut {
            self.skipped.insert(range);
            for out in &mut self.outs {
                out.gap_closed(range, now);
            }
        }
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        // Outputs begin only now, so packets that the recording discards were never handed on.
        let distrusted = self.capture.on_session(info, vouched, now);
        self.begin(Some(info.session), now);
        distrusted
    }

    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
        self.catch_up(now, Duration::ZERO);
        let mut next = self.capture.on_idle(now);
        for out in self.outs.iter_mut().filter(|out| !out.closed) {
            match out.idle(now) {
                Ok(time) => next = [next, time, out.behind].into_iter().flatten().min(),
                Err(failure) => out.fail(failure, &mut self.failure),
            }
        }
        next
    }

    fn is_closed(&self) -> bool {
        self.outs.iter().any(|out| out.closed)
    }

    fn wants_missing(&self) -> bool {
        self.missing == MissingPackets::Wanted
    }

    fn has_failed(&self) -> bool {
        self.capture.has_failed() || self.failure.is_some()
    }

    fn on_request(&mut self, piece: SeqRange, now: Duration) {
        self.capture.on_request(piece, now);
    }
}
