//! Replies of a connection: what each call adds to the packets and messages to be sent.

use super::{BetacrewConnection, ConnectionRole};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::exchange::server::betacrew::faulted_run::FaultedRun;
use crate::exchange::server::betacrew::subscription::Subscription;
use crate::exchange::server::closing::Ending;
use crate::faults::engine::{FaultEngine, RunId};
use crate::faults::scenario::FaultPlace;
use crate::wire::{Frame, RawFrame, encode};
use alloc::boxed::Box;
use core::time::Duration;

/// Packets or a message that a connection has to send.
#[derive(Debug)]
pub(in crate::exchange::server) enum Reply {
    /// The packets from `next` to `last` that the run does not drop. Always the last reply.
    Stream {
        /// Run that decides which packets are dropped.
        run_id: RunId,
        /// Next sequence.
        next: Seq,
        /// Last sequence; [`Seq::MAX`] if the stream goes on as long as its tape grows.
        last: Seq,
        /// Time of the call.
        began: Duration,
    },
    /// Packets of a range.
    Range(SeqRange),
    /// A message of the extension.
    Message(RawFrame),
    /// A run with faults that can do more than drop packets.
    Faulted {
        /// The run.
        run: Box<FaultedRun>,
        /// Time of the call, if the run is a stream.
        began: Duration,
    },
}

impl Reply {
    /// Creates the reply of a faulted run.
    pub(super) fn faulted(run: FaultedRun, began: Duration) -> Self {
        Self::Faulted { run: Box::new(run), began }
    }

    /// Creates the reply of a stream, as a faulted run if its faults can do more than drop packets.
    pub(super) fn stream(
        run_id: RunId,
        (next, last): (Seq, Seq),
        faults: &FaultEngine,
        began: Duration,
    ) -> Self {
        let end = RunId { place: FaultPlace::End, ..run_id };
        if faults.only_drops(run_id) && faults.is_fault_free(end) {
            Self::Stream { run_id, next, last, began }
        } else {
            Self::faulted(FaultedRun::new(run_id, SeqRange::new(next, last), false), began)
        }
    }
}

impl BetacrewConnection {
    /// Adds the stream of a tape that ends with `last`: the `pass`th of the exchange (from 0).
    pub(in crate::exchange::server) fn begin_stream(
        &mut self,
        pass: u32,
        last: Seq,
        faults: &FaultEngine,
        now: Duration,
    ) {
        self.role = ConnectionRole::Stream;
        self.add_stream(pass, (FIRST_SEQ, last), faults, now);
    }

    /// Adds a subscription to all packets from `first` on, future ones included.
    pub(in crate::exchange::server) fn subscribe(
        &mut self,
        pass: u32,
        first: Seq,
        faults: &FaultEngine,
        now: Duration,
    ) {
        self.role = ConnectionRole::Subscriber(Subscription::new(now));
        self.add_stream(pass, (first, Seq::MAX), faults, now);
    }

    fn add_stream(&mut self, pass: u32, part: (Seq, Seq), faults: &FaultEngine, now: Duration) {
        let run_id = self.run_id(FaultPlace::Stream, pass, self.streams);
        self.streams += 1;
        self.replies.push_back(Reply::stream(run_id, part, faults, now));
    }

    /// Adds packets that a resend call has requested. A range that continues the last reply extends
    /// that one, so that many calls for single packets cost one reply.
    pub(in crate::exchange::server) fn add_range(&mut self, range: SeqRange, faults: &FaultEngine) {
        let run_id = self.run_id(FaultPlace::Resend, 0, self.answers);
        self.answers = self.answers.saturating_add(1);
        if !faults.is_fault_free(run_id) {
            let run = FaultedRun::new(run_id, Some(range), self.calls.extended());
            self.replies.push_back(Reply::faulted(run, Duration::ZERO));
        } else if let Some(Reply::Range(last)) = self.replies.back_mut()
            && last.last() + 1 == range.first()
            && let Some(longer) = SeqRange::new(last.first(), range.last())
        {
            *last = longer;
        } else {
            self.replies.push_back(Reply::Range(range));
        }
    }

    /// Adds a message of the extension.
    pub(in crate::exchange::server) fn add_message(&mut self, frame: &Frame) {
        self.replies.push_back(Reply::Message(encode(frame)));
    }

    /// Adds the end of the connection, and answers no further call.
    pub(in crate::exchange::server) fn add_end(&mut self, ending: Ending) {
        let mut run = FaultedRun::new(self.run_id(FaultPlace::Connect, 0, 0), None, false);
        run.end(ending);
        self.replies.push_back(Reply::faulted(run, Duration::ZERO));
        self.role = ConnectionRole::Refused;
    }

    /// Drops all replies, a partly sent one included.
    pub(super) fn drop_replies(&mut self) {
        self.replies.clear();
        self.write.abort();
        self.base.held_until = None;
    }

    /// Returns the next sequence of a stream or subscription; the one after `end` if no packet is
    /// left.
    pub(in crate::exchange::server) fn next_seq(&self, end: Seq) -> Seq {
        match self.replies.back() {
            Some(Reply::Stream { next, .. }) => *next,
            Some(Reply::Faulted { run, .. }) => run.next(),
            _ => end + 1,
        }
    }

    /// Returns when the first reply began and its next packet, if that packet can be held back by
    /// the pace of the tape.
    pub(in crate::exchange::server) fn paced_packet(&self) -> Option<(Duration, Seq)> {
        match self.replies.front()? {
            Reply::Stream { next, began, .. } => Some((*began, *next)),
            Reply::Faulted { run, began } if run.actions.is_empty() => Some((*began, run.next())),
            _ => None,
        }
    }
}
