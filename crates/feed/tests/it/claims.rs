//! What lines claim of how far a session reaches, by hand: two lines, one of them honest.

use feed::base::seq::{MAX_SEQ, Seq, SeqRange};
use feed::client::timers::{END_DISPUTE_MAX, LINE_ABSENCE_MAX};
use feed::client::{ConnId, IncompleteReason, Input, Output, Recorder, RecorderOptions, Tail};
use feed::ledger::Limits;
use feed::tape::in_memory::Tape;
use feed::tape::recording::MemoryRecording;
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{Call, CallDecoder, Frame, Info, NotAvailable, Reason, SessionId, encode};
use std::collections::BTreeMap;
use std::time::Duration;

/// Lines of the same session that are given what they bring.
pub(crate) struct Lines {
    pub(crate) recorder: Recorder,
    pub(crate) recording: MemoryRecording,
    tape: Tape,
    pub(crate) now: Duration,
    /// Open connections, with their lines.
    open: BTreeMap<ConnId, u16>,
}

impl Lines {
    /// So many lines whose exchanges can be reached.
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

    /// Gives an input, and opens whatever connections are wanted.
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

    /// The calls on a connection.
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
        let info = Info { session: SessionId(*b"TEST"), version: 1, first: 1, last };
        self.frame(conn, Frame::Info(info));
    }

    pub(crate) fn packets(&mut self, conn: ConnId, first: Seq, last: Seq) {
        let frames = self.tape.slice(SeqRange::new(first, last).unwrap()).to_vec();
        self.give(Input::Received(conn, frames.as_flattened()));
    }

    /// Gives one packet, whichever tape has it.
    pub(crate) fn packet(&mut self, conn: ConnId, sequence: Seq) {
        let (symbol, side) = (Symbol(*b"TEST"), Side::Buy);
        self.frame(conn, Frame::Packet(Packet { symbol, side, quantity: 1, price: 1, sequence }));
    }

    /// Takes the calls of every connection. With `last` it describes sessions that end there, and
    /// refuses every range. Returns whether anything was answered.
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

    /// Time passes until it is over; what is asked for is refused, or not answered at all.
    pub(crate) fn end(&mut self, refuses: Option<[Seq; 2]>) -> Duration {
        let began = self.now;
        for _ in 0..10_000 {
            if self.recorder.outcome().is_some() {
                return self.now - began;
            }
            if !self.answer(refuses) {
                self.now = self.recorder.deadline().expect("it waits for nothing").max(self.now);
                self.give(Input::Wake);
            }
        }
        panic!("it is never over: {:?}", self.recorder.ledger());
    }

    pub(crate) fn is_complete(&self, last: Seq) {
        let outcome = self.recorder.outcome().unwrap();
        assert!(outcome.is_complete(), "{outcome:?}");
        assert_eq!((outcome.last, outcome.tail), (last, Tail::Confirmed));
        assert_eq!(self.recording.len(), last as usize);
    }
}

/// Each line's subscription; the connections beside them are 1 and 3.
pub(crate) const A: ConnId = 0;
pub(crate) const B: ConnId = 2;

/// Two lines that are followed and have described ten packets; A has brought them.
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
fn a_heartbeat_or_an_end_beyond_belief_is_not_believed() {
    for frame in [Frame::Heartbeat(MAX_SEQ), Frame::End(MAX_SEQ)] {
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
            let trouble = lines.recorder.violations();
            assert_eq!((trouble.implausible, trouble.contradicted), (1, None));
            assert_eq!(trouble.first_implausible, Some(MAX_SEQ - 1));
            assert_eq!(lines.recorder.line(1).unwrap().missed, 0, "nothing is lost by its word");
        }
    }
}

#[test]
fn heartbeats_are_believed_up_to_their_bound() {
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
fn a_bound_does_not_move_with_what_it_lets_through() {
    let mut lines = ten();
    for step in 1..50 {
        lines.frame(B, Frame::Heartbeat(11 + step * 1000));
    }
    assert_eq!(lines.recorder.ledger().highest(), 1010);
    assert_eq!(lines.recorder.violations().implausible, 48);
    // Nor does a packet behind it that shows less.
    lines.packets(B, 11, 11);
    lines.frame(B, Frame::Heartbeat(13 + 1000));
    assert_eq!(
        (lines.recorder.ledger().highest(), lines.recorder.violations().implausible),
        (1010, 49)
    );
    // What packets show moves it.
    let mut lines = ten();
    lines.packets(A, 50, 50);
    lines.frame(B, Frame::Heartbeat(51 + 1000));
    assert_eq!(lines.recorder.ledger().highest(), 1050);
}

#[test]
fn what_one_line_claims_beyond_the_others_end_does_not_keep_it_from_ending() {
    for frame in [Frame::Heartbeat(501), Frame::End(501)] {
        // The ranges that are asked for are refused, or nobody answers.
        for refuses in [None, Some([10, 10])] {
            let mut lines = ten();
            lines.frame(B, frame);
            assert_eq!(lines.recorder.ledger().gaps().missing(), 490, "it is asked for");
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
fn a_line_is_not_asked_for_what_only_the_other_one_claims() {
    let mut lines = ten();
    lines.frame(B, Frame::Heartbeat(501));
    lines.packets(B, 10, 10);
    lines.now += Duration::from_secs(1);
    lines.give(Input::Wake);
    let range = |first, count| vec![Call::ResendRange { first, count }];
    assert_eq!((lines.calls(1), lines.calls(3)), (vec![], range(11, 490)));
    // So that it can be asked for what it has lost of that later.
    lines.packets(A, 15, 20);
    assert_eq!(lines.calls(1), range(11, 4));
}

#[test]
fn what_one_line_claims_and_brings_exists() {
    let mut lines = ten();
    lines.frame(B, Frame::End(13));
    lines.frame(A, Frame::End(11));
    assert_eq!(lines.recorder.outcome(), None);
    lines.packets(3, 11, 12);
    lines.is_complete(12);
    assert_eq!(lines.recorder.violations().contradicted, None);
}

#[test]
fn an_end_that_one_line_tells_early_does_not_end_the_other() {
    let mut lines = ten();
    lines.frame(B, Frame::End(6));
    assert_eq!(lines.recorder.outcome(), None);
    lines.packets(A, 11, 20);
    // Also once every line has had its time to say so.
    for _ in 0..20 {
        lines.now += Duration::from_secs(1);
        lines.frame(A, Frame::Heartbeat(21));
        assert_eq!(lines.recorder.outcome(), None);
    }
    lines.frame(A, Frame::End(21));
    lines.is_complete(20);
    assert_eq!(lines.recorder.violations().contradicted, None);
}

/// A has brought ten packets, and B fails to connect from now on.
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
    // It may be back soon, and deny the end.
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
fn what_a_line_says_of_itself_alone_is_missing() {
    // Nobody contradicts it.
    let mut lines = Lines::follow(1);
    lines.describe(A, 10);
    lines.describe(1, 10);
    lines.packets(A, 1, 10);
    lines.frame(A, Frame::End(501));
    lines.end(Some([10, 10]));
    let outcome = lines.recorder.outcome().unwrap();
    assert_eq!(outcome.missing, "11-500".parse().unwrap());
    assert_eq!(outcome.why, Some(IncompleteReason::Refused(Reason::OutOfRange)));
    assert_eq!(lines.recorder.violations().contradicted, None);
}

#[test]
fn a_description_that_the_other_line_contradicts_does_not_keep_a_session_from_being_whole() {
    for refuses in [None, Some([10, MAX_SEQ])] {
        let mut lines = Lines::new(RecorderOptions { retries: 1, ..RecorderOptions::default() }, 2);
        lines.describe(1, 10);
        lines.describe(3, MAX_SEQ);
        for conn in [A, B] {
            lines.packets(conn, 1, 10);
            lines.give(Input::Ended(conn));
        }
        lines.end(refuses);
        lines.is_complete(10);
        let contradicted = lines.recorder.violations().contradicted;
        assert_eq!(contradicted, SeqRange::new(11, MAX_SEQ), "{refuses:?}");
    }
}

#[test]
fn what_the_user_says_is_no_lines_word() {
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
