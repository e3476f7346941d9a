//! Claims of lines about the end of a session, by hand: two lines, one of them honest.

use feed::base::seq::{Seq, SeqRange};
use feed::client::timers::{END_DISPUTE_MAX, LINE_ABSENCE_MAX};
use feed::client::{ConnId, IncompleteReason, Input, Output, Recorder, RecorderOptions, Tail};
use feed::ledger::Limits;
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{
    Call, CallDecoder, Frame, Info, MAX_PACKET_SEQ, NotAvailable, Reason, SessionId, encode,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Recorder of several lines of one session, driven by hand.
pub(crate) struct Lines {
    pub(crate) recorder: Recorder,
    pub(crate) recording: MemoryRecording,
    tape: Tape,
    pub(crate) now: Duration,
    /// Open connections, with their lines.
    open: BTreeMap<ConnId, u16>,
}

impl Lines {
    /// Returns a recorder of `lines` lines whose exchanges can be reached.
    pub(crate) fn new(options: RecorderOptions, lines: u16) -> Self {
        let mut lines = Self {
            recorder: Recorder::new(options, lines),
            recording: MemoryRecording::new(),
            tape: Tape::random(100, 1),
            now: Duration::ZERO,
            open: BTreeMap::new(),
        };
        lines.give(Input::Wake);
        lines
    }

    pub(crate) fn follow(lines: u16) -> Self {
        let limits = Limits { max_jump: 1000, ..Limits::default() };
        Self::new(RecorderOptions { follow: true, limits, ..RecorderOptions::default() }, lines)
    }

    /// Gives an input, and opens the connections that the recorder wants.
    pub(crate) fn give(&mut self, input: Input<'_>) {
        self.recorder.handle(input, self.now, &mut self.recording);
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Connect { conn, line } => {
                    self.open.insert(conn, line);
                    self.give(Input::Connected(conn));
                }
                Output::Drop(conn) => drop(self.open.remove(&conn)),
                _ => {}
            }
        }
    }

    /// Returns the calls on a connection.
    fn calls(&mut self, conn: ConnId) -> Vec<Call> {
        let mut bytes = Vec::new();
        self.recorder.transmit(conn, self.now, &mut self.recording, &mut bytes);
        let mut decoder = CallDecoder::new();
        decoder.next(&mut &[3, 1][..]);
        let mut rest = &bytes[..];
        std::iter::from_fn(|| decoder.next(&mut rest)).collect()
    }

    pub(crate) fn frame(&mut self, conn: ConnId, frame: Frame) {
        self.give(Input::Received(conn, &encode(&frame)));
    }

    pub(crate) fn describe(&mut self, conn: ConnId, last: Seq) {
        let info = Info { session: SessionId::of(*b"TEST"), version: 1, first: 1, last };
        self.frame(conn, Frame::Info(info));
    }

    pub(crate) fn packets(&mut self, conn: ConnId, first: Seq, last: Seq) {
        let frames = self.tape.slice(SeqRange::new(first, last).unwrap()).to_vec();
        self.give(Input::Received(conn, frames.as_flattened()));
    }

    /// Gives one packet that need not be on the tape.
    pub(crate) fn packet(&mut self, conn: ConnId, sequence: Seq) {
        let (symbol, side) = (Symbol(*b"TEST"), Side::Buy);
        self.frame(conn, Frame::Packet(Packet { symbol, side, quantity: 1, price: 1, sequence }));
    }

    /// Takes the calls of every connection. With `last` it describes sessions that end there, and
    /// refuses every range. Returns whether any range was refused.
    fn answer(&mut self, last: Option<[Seq; 2]>) -> bool {
        let mut asked = false;
        for (conn, line) in self.open.clone() {
            for call in self.calls(conn) {
                let Some(last) = last else { continue };
                match call {
                    Call::Describe { .. } => self.describe(conn, last[usize::from(line)]),
                    Call::ResendRange { first, count } => {
                        asked = true;
                        let reason = Reason::OutOfRange;
                        self.frame(
                            conn,
                            Frame::NotAvailable(NotAvailable { first, count, reason }),
                        );
                    }
                    _ => {}
                }
            }
        }
        asked
    }

    /// Lets time pass until the recording is over, and returns how long that took. Requests are
    /// refused, or not answered at all.
    pub(crate) fn end(&mut self, refuses: Option<[Seq; 2]>) -> Duration {
        let began = self.now;
        for _ in 0..10_000 {
            if self.recorder.outcome().is_some() {
                return self.now - began;
            }
            if !self.answer(refuses) {
                self.now =
                    self.recorder.deadline().expect("the recorder has no deadline").max(self.now);
                self.give(Input::Wake);
            }
        }
        panic!("the recording never ends: {:?}", self.recorder.ledger());
    }

    pub(crate) fn is_complete(&self, last: Seq) {
        let outcome = self.recorder.outcome().unwrap();
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_eq!((outcome.last, outcome.tail), (last, Tail::Confirmed));
        assert_eq!(self.recording.len(), last as usize);
    }
}

/// Subscription of line A; the connection beside it is 1.
pub(crate) const A: ConnId = 0;
/// Subscription of line B; the connection beside it is 3.
pub(crate) const B: ConnId = 2;

/// Returns two lines that are followed and have described ten packets, which A has delivered.
pub(crate) fn ten() -> Lines {
    let mut lines = Lines::follow(2);
    for conn in [A, 1, B, 3] {
        lines.describe(conn, 10);
    }
    lines.packets(A, 1, 10);
    lines.answer(None);
    lines
}

#[test]
fn a_heartbeat_or_an_end_far_beyond_the_packets_is_ignored() {
    for frame in [Frame::Heartbeat(MAX_PACKET_SEQ), Frame::End(MAX_PACKET_SEQ)] {
        for (frame_first, refuses) in [(true, None), (false, Some([10, 10]))] {
            let mut lines = ten();
            if frame_first {
                lines.frame(B, frame);
                lines.frame(A, Frame::End(11));
            } else {
                lines.frame(A, Frame::End(11));
                lines.frame(B, frame);
            }
            let took = lines.end(refuses);
            lines.is_complete(10);
            assert!(took <= END_DISPUTE_MAX, "{took:?}");
            let violations = lines.recorder.violations();
            assert_eq!((violations.implausible, violations.contradicted), (1, None));
            assert_eq!(violations.first_implausible, Some(MAX_PACKET_SEQ - 1));
            assert_eq!(
                lines.recorder.line(1).unwrap().missed,
                0,
                "a claim counts no packet as missed"
            );
        }
    }
}

#[test]
fn heartbeats_are_believed_up_to_max_jump() {
    for (next, believed) in [(11 + 1000, true), (12 + 1000, false)] {
        for frame in [Frame::Heartbeat(next), Frame::End(next)] {
            let mut lines = ten();
            lines.frame(B, frame);
            assert_eq!(lines.recorder.ledger().highest(), if believed { next - 1 } else { 10 });
            assert_eq!(lines.recorder.violations().implausible, u64::from(!believed));
        }
    }
}

#[test]
fn only_packets_move_the_bound_on_heartbeats() {
    let mut lines = ten();
    for step in 1..50 {
        lines.frame(B, Frame::Heartbeat(11 + step * 1000));
    }
    assert_eq!(lines.recorder.ledger().highest(), 1010);
    assert_eq!(lines.recorder.violations().implausible, 48);
    // A packet behind the bound that shows less does not move it either.
    lines.packets(B, 11, 11);
    lines.frame(B, Frame::Heartbeat(13 + 1000));
    assert_eq!(
        (lines.recorder.ledger().highest(), lines.recorder.violations().implausible),
        (1010, 49)
    );
    // Received packets move the bound.
    let mut lines = ten();
    lines.packets(A, 50, 50);
    lines.frame(B, Frame::Heartbeat(51 + 1000));
    assert_eq!(lines.recorder.ledger().highest(), 1050);
}

#[test]
fn packets_claimed_beyond_the_other_lines_end_do_not_delay_the_end() {
    for frame in [Frame::Heartbeat(501), Frame::End(501)] {
        // The requested ranges are refused, or not answered.
        for refuses in [None, Some([10, 10])] {
            let mut lines = ten();
            lines.frame(B, frame);
            assert_eq!(
                lines.recorder.ledger().gaps().missing(),
                490,
                "the claimed packets are missing"
            );
            lines.frame(A, Frame::End(11));
            let took = lines.end(refuses);
            lines.is_complete(10);
            assert!(took <= END_DISPUTE_MAX, "{took:?}");
            let contradicted = lines.recorder.violations().contradicted;
            assert_eq!(contradicted, SeqRange::new(11, 500), "{frame:?} {refuses:?}");
        }
    }
}

#[test]
fn packets_that_one_line_claims_are_not_requested_from_the_other() {
    let mut lines = ten();
    lines.frame(B, Frame::Heartbeat(501));
    lines.packets(B, 10, 10);
    lines.now += Duration::from_secs(1);
    lines.give(Input::Wake);
    let range = |first, count| vec![Call::ResendRange { first, count }];
    assert_eq!((lines.calls(1), lines.calls(3)), (vec![], range(11, 490)));
    // Line A can be asked for packets that it has missed once it has shown later ones.
    lines.packets(A, 15, 20);
    assert_eq!(lines.calls(1), range(11, 4));
}

#[test]
fn packets_that_one_line_claims_and_delivers_are_recorded() {
    let mut lines = ten();
    lines.frame(B, Frame::End(13));
    lines.frame(A, Frame::End(11));
    assert_eq!(lines.recorder.outcome(), None);
    lines.packets(3, 11, 12);
    lines.is_complete(12);
    assert_eq!(lines.recorder.violations().contradicted, None);
}

#[test]
fn an_end_that_one_line_reports_early_does_not_end_the_other_line() {
    let mut lines = ten();
    lines.frame(B, Frame::End(6));
    assert_eq!(lines.recorder.outcome(), None);
    lines.packets(A, 11, 20);
    // The recording goes on when every line has had its time to report the end.
    for _ in 0..20 {
        lines.now += Duration::from_secs(1);
        lines.frame(A, Frame::Heartbeat(21));
        assert_eq!(lines.recorder.outcome(), None);
    }
    lines.frame(A, Frame::End(21));
    lines.is_complete(20);
    assert_eq!(lines.recorder.violations().contradicted, None);
}

/// Returns lines of which A has delivered ten packets, and B fails to connect from now on.
fn unreachable() -> Lines {
    let mut lines = Lines::follow(2);
    lines.describe(A, 0);
    lines.packets(A, 1, 10);
    lines.give(Input::Broken(B));
    let mut failed = false;
    while !failed {
        lines.now = lines.recorder.deadline().unwrap();
        lines.recorder.handle(Input::Wake, lines.now, &mut lines.recording);
        while let Some(output) = lines.recorder.poll() {
            if let Output::Connect { conn, .. } = output {
                failed = true;
                lines.recorder.handle(Input::ConnectFailed(conn), lines.now, &mut lines.recording);
            }
        }
    }
    lines
}

#[test]
fn a_line_that_cannot_be_reached_is_waited_for_up_to_a_bound() {
    // The line may return soon, and deny the end.
    for (away, over) in
        [(LINE_ABSENCE_MAX - Duration::from_millis(200), false), (LINE_ABSENCE_MAX, true)]
    {
        let mut lines = unreachable();
        lines.now += away;
        lines.frame(A, Frame::End(11));
        assert_eq!(lines.recorder.outcome().is_some(), over, "{away:?}");
    }
    let mut lines = unreachable();
    lines.frame(A, Frame::End(11));
    assert!(lines.end(None) <= END_DISPUTE_MAX);
    lines.is_complete(10);
}

#[test]
fn packets_that_no_line_denies_are_missing() {
    // No line contradicts the claim.
    let mut lines = Lines::follow(1);
    lines.describe(A, 10);
    lines.describe(1, 10);
    lines.packets(A, 1, 10);
    lines.frame(A, Frame::End(501));
    lines.end(Some([10, 10]));
    let outcome = lines.recorder.outcome().unwrap();
    assert_eq!(outcome.missing, "11-500".parse().unwrap());
    assert_eq!(outcome.reason, Some(IncompleteReason::Refused(Reason::OutOfRange)));
    assert_eq!(lines.recorder.violations().contradicted, None);
}

#[test]
fn a_description_that_the_other_line_denies_does_not_make_a_recording_incomplete() {
    for refuses in [None, Some([10, MAX_PACKET_SEQ])] {
        let mut lines = Lines::new(RecorderOptions { retries: 1, ..RecorderOptions::default() }, 2);
        lines.describe(1, 10);
        lines.describe(3, MAX_PACKET_SEQ);
        for conn in [A, B] {
            lines.packets(conn, 1, 10);
            lines.give(Input::Ended(conn));
        }
        lines.end(refuses);
        lines.is_complete(10);
        let contradicted = lines.recorder.violations().contradicted;
        assert_eq!(contradicted, SeqRange::new(11, MAX_PACKET_SEQ), "{refuses:?}");
    }
}

#[test]
fn an_end_given_by_the_user_is_not_retracted() {
    let mut lines =
        Lines::new(RecorderOptions { last: Some(20), retries: 1, ..RecorderOptions::default() }, 2);
    lines.describe(1, 10);
    lines.describe(3, 30);
    for conn in [A, B] {
        lines.packets(conn, 1, 10);
        lines.give(Input::Ended(conn));
    }
    lines.end(Some([10, 30]));
    assert!(!lines.recorder.outcome().unwrap().is_complete());
}
