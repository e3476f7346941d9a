//! Recorder driven by hand: a test gives one input and checks the calls and outputs.

use feed::base::seq::{Seq, SeqRange};
use feed::client::{ConnId, Input, Output, Recorder, RecorderOptions};
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::{
    Call, CallDecoder, Frame, Info, NotAvailable, RawFrame, Reason, SessionId, encode,
};
use std::time::Duration;

/// Connection that a recorder opens first.
pub(crate) const STREAM: ConnId = 0;
pub(crate) const RESEND: ConnId = 1;

pub(crate) struct Steps {
    pub(crate) recorder: Recorder,
    pub(crate) recording: MemoryRecording,
    pub(crate) now: Duration,
    pub(crate) tape: Tape,
}

impl Steps {
    /// Returns a recorder of a hundred packets whose two connections are open.
    pub(crate) fn new(options: RecorderOptions) -> Self {
        let mut steps = Self {
            recorder: Recorder::new(options, 1),
            recording: MemoryRecording::new(),
            now: Duration::ZERO,
            tape: Tape::random(100, 1),
        };
        steps.give(Input::Wake);
        steps.give(Input::Connected(STREAM));
        steps.give(Input::Connected(RESEND));
        assert_eq!(steps.calls(STREAM), [Call::Stream]);
        assert_eq!(steps.calls(RESEND), [Call::Describe { version: 1 }]);
        steps
    }

    /// Returns a follower of a session of a hundred packets whose two connections are open and
    /// described.
    pub(crate) fn following(reorder_wait: Duration) -> Self {
        let options = RecorderOptions { follow: true, reorder_wait, ..RecorderOptions::default() };
        let mut steps = Self {
            recorder: Recorder::new(options, 1),
            recording: MemoryRecording::new(),
            now: Duration::ZERO,
            tape: Tape::random(100, 1),
        };
        steps.give(Input::Wake);
        for conn in [STREAM, RESEND] {
            steps.give(Input::Connected(conn));
            assert_eq!(steps.calls(conn), [Call::Describe { version: 1 }]);
            steps.describe_on(conn, 0);
        }
        assert_eq!(steps.calls(STREAM), [Call::Subscribe { first: 1 }]);
        steps
    }

    pub(crate) fn give(&mut self, input: Input<'_>) -> Vec<Output> {
        self.recorder.handle(input, self.now, &mut self.recording);
        std::iter::from_fn(|| self.recorder.poll()).collect()
    }

    pub(crate) fn frames(&mut self, conn: ConnId, frames: &[RawFrame]) -> Vec<Output> {
        self.give(Input::Received(conn, frames.as_flattened()))
    }

    pub(crate) fn packets(&mut self, conn: ConnId, first: Seq, last: Seq) -> Vec<Output> {
        let frames = self.tape.slice(SeqRange::new(first, last).unwrap()).to_vec();
        self.frames(conn, &frames)
    }

    pub(crate) fn describe(&mut self, last: Seq) {
        self.describe_on(RESEND, last);
    }

    fn describe_on(&mut self, conn: ConnId, last: Seq) {
        let info = Info { session: SessionId::of(*b"TEST"), version: 1, first: 1, last };
        self.frames(conn, &[encode(&Frame::Info(info))]);
    }

    pub(crate) fn refuse(&mut self, first: Seq, count: u64, reason: Reason) {
        let refusal = NotAvailable { first, count, reason };
        self.frames(RESEND, &[encode(&Frame::NotAvailable(refusal))]);
    }

    /// Returns the calls that the recorder sends on a connection now.
    pub(crate) fn calls(&mut self, conn: ConnId) -> Vec<Call> {
        let mut bytes = Vec::new();
        self.recorder.transmit(conn, self.now, &mut self.recording, &mut bytes);
        let mut decoder = CallDecoder::new();
        // The decoder understands extended calls only after a describe call.
        decoder.next(&mut &[3, 1][..]);
        let mut rest = &bytes[..];
        std::iter::from_fn(|| decoder.next(&mut rest)).collect()
    }
}

/// Returns the call for `count` packets from `first` on.
pub(crate) fn range(first: Seq, count: u64) -> Call {
    Call::ResendRange { first, count }
}
