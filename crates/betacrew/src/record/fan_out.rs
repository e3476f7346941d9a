//! What is recorded, handed on in order of sequence while it is recorded.

use crate::error::Failure;
use crate::format::{Arrival, StreamMark};
use crate::output::sink::PacketSink;
use crate::record::store::RecordingStore;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::ledger::{Origin, Sink};
use feed::wire::{Info, RawFrame, SessionId, sequence_of};
use std::time::Duration;

/// Where packets never stop coming, nothing is ever idle: then what has become whole is handed on
/// so often.
const HASTE: Duration = Duration::from_millis(5);
/// What is full is looked at again so often.
const FULL: Duration = Duration::from_millis(20);

/// Records into a capture, and hands on to outlets what is there without a gap.
pub(crate) struct FanOut<'a> {
    capture: &'a mut RecordingStore,
    outs: Vec<FanOutTarget>,
    /// What is given up is left out, and does not hold up the rest.
    skip_lost: bool,
    /// Outputs are written once the recording has ended, or have everything in the end.
    outputs: bool,
    skipped: SeqSet,
    /// What ends the recording: an outlet cannot be written on.
    failure: Option<Failure>,
}

struct FanOutTarget {
    outlet: Box<dyn PacketSink>,
    /// Its reader has had enough, or the user has stopped waiting for it: it gets nothing more.
    closed: bool,
    /// The next sequence to be handed on; 0 before it has begun.
    next: Seq,
    /// The recording has more than was handed on: when to read it.
    behind: Option<Duration>,
    /// When the recording was read last for that.
    read: Duration,
}

/// Why not everything was handed on.
enum Until {
    /// The next packet is missing.
    Gap,
    /// The outlet takes no more for now.
    Full,
}

impl<'a> FanOut<'a> {
    /// Records, and hands on what comes; what was recorded before as well. `outputs`: something is
    /// to have all packets, also when the reader of a pipe has had enough.
    ///
    /// # Errors
    /// What an outlet reports.
    pub(crate) fn new(
        capture: &'a mut RecordingStore,
        outlets: Vec<Box<dyn PacketSink>>,
        (skip_lost, outputs): (bool, bool),
    ) -> Result<Self, Failure> {
        let outs = outlets.into_iter().map(|outlet| FanOutTarget {
            outlet,
            closed: false,
            next: 0,
            behind: None,
            read: Duration::ZERO,
        });
        let (outs, session) = (outs.collect(), capture.known_session());
        let mut tee =
            Self { capture, outs, skip_lost, outputs, skipped: SeqSet::new(), failure: None };
        if session.is_some() {
            tee.begin(session, Duration::ZERO);
        }
        tee.failure.take().map_or(Ok(tee), Err)
    }

    /// Hands on what is left.
    ///
    /// # Errors
    /// What went wrong with the recording or an outlet. A pipe that was closed is no error.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.capture.end()?;
        if self.failure.is_none() {
            self.begin(None, Duration::ZERO);
        }
        let mut done = self.failure.take().map_or(Ok(()), Err);
        // A log may have more than was recorded here, and want what comes after that.
        let end = self.capture.highest().saturating_add(1);
        for mut out in self.outs {
            let whole = match done.is_ok() && !out.closed {
                true => out.end(self.capture, &self.skipped, end),
                false => Ok(()),
            };
            for result in [whole, out.outlet.finish()] {
                // One that is closed takes nothing from the others.
                if let Err(failure) = result
                    && !matches!(failure, Failure::Stopped)
                {
                    done = done.and(Err(failure));
                }
            }
        }
        done
    }

    /// Begins what has not begun.
    fn begin(&mut self, session: Option<SessionId>, now: Duration) {
        for out in self.outs.iter_mut().filter(|out| out.next == 0 && !out.closed) {
            match out.outlet.begin(session) {
                Ok(next) => (out.next, out.behind) = (next, Some(now)),
                Err(failure) => out.fails(failure, &mut self.failure),
            }
        }
    }

    /// Hands on what lies in the recording to whatever is behind.
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
                Ok(full) => out.behind = full.then_some(now + FULL),
                Err(failure) => out.fails(failure, &mut self.failure),
            }
        }
    }
}

impl FanOutTarget {
    /// Notes a failure: it ends this outlet, or all of the recording.
    fn fails(&mut self, failure: Failure, recording: &mut Option<Failure>) {
        match failure {
            Failure::Stopped => self.closed = true,
            failure => drop(recording.get_or_insert(failure)),
        }
    }

    /// Hands on everything before `end` that was not handed on before.
    fn end(&mut self, capture: &RecordingStore, skipped: &SeqSet, end: Seq) -> Result<(), Failure> {
        loop {
            match self.catch_up(capture, skipped)? {
                true => self.outlet.wait()?,
                false if self.outlet.settled(self.next.min(end))? => return Ok(()),
                false => {}
            }
        }
    }

    /// What is missing next has come, or will not come.
    fn look(&mut self, range: SeqRange, now: Duration) {
        if range.contains(self.next) {
            self.behind.get_or_insert(now);
        }
    }

    /// Nothing comes for now.
    fn idle(&mut self, now: Duration) -> Result<Option<Duration>, Failure> {
        if self.behind.is_none() && self.outlet.wants(self.next)? != self.next {
            self.behind = Some(now);
        }
        self.outlet.idle(now)
    }

    /// Hands on what lies in the recording, up to the next gap. Whether the outlet is full.
    fn catch_up(&mut self, capture: &RecordingStore, skipped: &SeqSet) -> Result<bool, Failure> {
        self.next = self.outlet.wants(self.next)?;
        loop {
            let mut until = None;
            let read = capture.read_from(self.next, &mut |frames, arrival| {
                until = self.put(frames, arrival)?;
                if until.is_some() { Err(Failure::Stopped) } else { Ok(()) }
            });
            match (read, until) {
                (_, Some(Until::Full)) => return Ok(true),
                (Err(failure), None) => return Err(failure),
                _ => {}
            }
            let left_out = skipped.at_or_after(self.next).and_then(|range| range.from(self.next));
            let left_out = left_out.filter(|_| self.outlet.skips());
            let Some(lost) = left_out.filter(|range| range.first() == self.next) else {
                return Ok(false);
            };
            self.outlet.mark(StreamMark::Lost(lost))?;
            self.next = lost.last() + 1;
        }
    }

    /// Hands on the packets that come next.
    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> Result<Option<Until>, Failure> {
        let known = frames.partition_point(|frame| sequence_of(frame) < self.next);
        let next = (self.next..).zip(&frames[known..]);
        let count = next.take_while(|(seq, frame)| sequence_of(frame) == *seq).count();
        let mut taken = 0;
        if count > 0 {
            taken = self.outlet.put(&frames[known..known + count], arrival)?;
            self.next += u32::try_from(taken).unwrap_or(0);
        }
        Ok(if taken < count {
            Some(Until::Full)
        } else {
            (known + count < frames.len()).then_some(Until::Gap)
        })
    }
}

impl Sink for FanOut<'_> {
    fn on_packets(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        self.capture.on_packets(origin, frames, now);
        if self.outs.is_empty() || self.failure.is_some() {
            return;
        }
        let arrival = self.capture.arrival(origin, now);
        let takes = |out: &&mut FanOutTarget| out.next > 0 && out.behind.is_none() && !out.closed;
        for out in self.outs.iter_mut().filter(takes) {
            // What comes after a gap waits in the recording.
            match out.put(frames, arrival) {
                Ok(Some(Until::Full)) => out.behind = Some(now + FULL),
                Ok(_) => {}
                Err(failure) => out.fails(failure, &mut self.failure),
            }
        }
        self.catch_up(now, HASTE);
    }

    fn on_duplicates(&mut self, origin: Origin, frames: &[RawFrame]) -> u32 {
        self.capture.on_duplicates(origin, frames)
    }

    fn on_gap(&mut self, gap: SeqRange, now: Duration) {
        self.capture.on_gap(gap, now);
    }

    fn on_fill(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.capture.on_fill(piece, age, origin, now);
        self.skipped.remove(piece);
        for out in &mut self.outs {
            out.look(piece, now);
        }
    }

    fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        self.capture.on_gap_abandoned(range, now);
        if self.skip_lost {
            self.skipped.insert(range);
            for out in &mut self.outs {
                out.look(range, now);
            }
        }
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        // Nothing was handed on before: whatever is put out of the recording was never shown.
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
                Err(failure) => out.fails(failure, &mut self.failure),
            }
        }
        next
    }

    fn is_closed(&self) -> bool {
        self.outs.iter().any(|out| out.closed)
    }

    fn wants_missing(&self) -> bool {
        self.outputs
    }

    fn has_failed(&self) -> bool {
        self.capture.has_failed() || self.failure.is_some()
    }
}
