//! Session of each packet. Packets that are not known to be of the recorded session are requested
//! again, or the recording is refused.

use feed::base::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::client::{ConnId, IncompleteReason, Input, Output, Recorder, RecorderOptions, Tail};
use feed::ledger::{Limits, Origin, Sink, Source};
use feed::session::completeness::Facts;
use feed::sim::disk::Disk;
use feed::tape::file::{OpenMode, SessionEnd, TapeFile};
use feed::tape::in_memory::Tape;
use feed::tape::recorder::{SyncPolicy, TapeRecorder};
use feed::tape::recording::MemoryRecording;
use feed::wire::{Frame, Info, MAX_PACKET_SEQ, Messages, RawFrame, SessionId, encode, sequence_of};
use std::time::Duration;

const OURS: SessionId = SessionId::of(*b"OURS");
const ELSE: SessionId = SessionId::of(*b"ELSE");

fn info(session: SessionId, last: Seq) -> RawFrame {
    encode(&Frame::Info(Info { session, version: 1, first: 1, last }))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Recorder with the sink that it records into.
struct Run<S> {
    recorder: Recorder,
    sink: S,
    opened: Vec<(ConnId, u16)>,
}

impl<S: Sink> Run<S> {
    fn new(recorder: Recorder, sink: S) -> Self {
        let mut run = Self { recorder, sink, opened: Vec::new() };
        run.at(0, Input::Wake);
        run
    }

    fn at(&mut self, time: u64, input: Input<'_>) {
        self.recorder.handle(input, ms(time), &mut self.sink);
        while let Some(output) = self.recorder.poll() {
            if let Output::Connect { conn, line } = output {
                self.opened.push((conn, line));
            }
        }
        let mut out = Vec::new();
        for &(conn, _) in &self.opened {
            self.recorder.transmit(conn, ms(time), &mut self.sink, &mut out);
        }
    }

    fn frames(&mut self, time: u64, conn: ConnId, frames: &[RawFrame]) {
        self.at(time, Input::Received(conn, frames.as_flattened()));
    }

    fn missing(&self) -> String {
        let gaps = self.recorder.ledger().gaps();
        gaps.ranges().map(|gap| gap.to_string()).collect::<Vec<_>>().join(",")
    }
}

fn range(first: Seq, last: Seq) -> SeqRange {
    SeqRange::new(first, last).unwrap()
}

/// Checks that a recording is complete, and that all its packets are of one tape.
fn assert_complete(run: &Run<MemoryRecording>, tape: &Tape) {
    assert!(run.recorder.outcome().unwrap().is_complete(), "{:?}", run.recorder.outcome());
    let recorded: Vec<RawFrame> = run.sink.in_order().flatten().copied().collect();
    assert_eq!(recorded, tape.frames());
}

#[test]
fn a_stream_is_of_the_session_that_is_reported_while_it_runs() {
    let tape = Tape::random(10, 1);
    let mut run = Run::new(Recorder::new(RecorderOptions::default(), 1), MemoryRecording::new());
    run.at(1, Input::Connected(0));
    run.at(2, Input::Connected(1));
    run.frames(3, 0, tape.slice(range(1, 10)));
    run.at(4, Input::Ended(0));
    run.frames(5, 1, &[info(OURS, 10)]);
    assert_complete(&run, &tape);
    assert_eq!(run.recorder.stats().resend_calls, 0, "nothing is requested again");
}

#[test]
fn everything_is_requested_from_an_exchange_that_restarts_before_it_reports_its_session() {
    let (old, new) = (Tape::random(14, 1), Tape::random(10, 2));
    let mut run = Run::new(Recorder::new(RecorderOptions::default(), 1), MemoryRecording::new());
    run.at(1, Input::Connected(0));
    run.frames(2, 0, old.slice(range(1, 14)));
    run.at(3, Input::Ended(0));
    // Another process answers now.
    run.at(4, Input::Connected(1));
    run.frames(5, 1, &[info(ELSE, 10)]);
    assert_eq!((run.sink.len(), run.missing().as_str()), (0, "1-10"));
    run.frames(6, 1, new.slice(range(1, 10)));
    assert_complete(&run, &new);
}

#[test]
fn only_packets_of_one_session_are_kept() {
    let (ours, others) = (Tape::random(100, 1), Tape::random(100, 2));
    let disk = TapeRecorder::create(Disk::new(), SyncPolicy::Never, ms(9), 7).unwrap();
    let mut run = Run::new(Recorder::new(RecorderOptions::default(), 2), disk);
    // Each line has a stream and a resend connection.
    for conn in 0..4 {
        run.at(1, Input::Connected(conn));
    }
    let of = |run: &Run<TapeRecorder<Disk>>, line| {
        let conns = run.opened.iter().filter(|it| it.1 == line).map(|it| it.0);
        conns.collect::<Vec<_>>()
    };
    let (one, two) = (of(&run, 0), of(&run, 1));
    run.frames(2, one[0], ours.slice(range(1, 40)));
    run.frames(3, two[0], others.slice(range(41, 60)));
    run.frames(4, one[0], ours.slice(range(50, 70)));
    run.frames(5, one[1], &[info(OURS, 100)]);
    run.frames(6, two[1], &[info(ELSE, 100)]);
    assert_eq!(run.recorder.outcome().unwrap().reason, Some(IncompleteReason::OtherSession));
    run.sink.end().unwrap();
    let (mut tape_recorder, was) =
        TapeRecorder::open(run.sink.into_storage(), SyncPolicy::Never, ms(9)).unwrap();
    assert_eq!(was.session.map(|info| (info.session, info.last)), Some((OURS, 100)));
    assert_eq!((was.missing.to_string().as_str(), was.highest), ("41-60", 70));
    tape_recorder.end().unwrap();
    let mut reading = tape_recorder.in_order(FIRST_SEQ);
    while let Some(piece) = reading.next().unwrap() {
        let expected =
            |frame: &&RawFrame| ours.frames()[sequence_of(frame) as usize - 1] == **frame;
        assert!(piece.packets().iter().all(|frame| expected(&frame)));
    }
}

#[test]
fn packets_of_an_unknown_session_are_requested_again() {
    let (old, new) = (Tape::random(134, 1), Tape::random(20, 2));
    let tape_recorder = TapeRecorder::create(Disk::new(), SyncPolicy::Never, ms(9), 7).unwrap();
    let mut run = Run::new(Recorder::new(RecorderOptions::default(), 1), tape_recorder);
    run.at(1, Input::Connected(0));
    run.frames(2, 0, old.slice(range(1, 134)));
    // The recorder is killed before the exchange has reported its session.
    run.sink.flush();
    let (tape_recorder, was) =
        TapeRecorder::open(run.sink.into_storage(), SyncPolicy::Never, ms(9)).unwrap();
    assert_eq!((was.packets, was.session), (134, None));
    let options = RecorderOptions::default();
    let recorder = Recorder::resume(options, 1, was.highest, &was.missing, was.session);
    let mut run = Run::new(recorder, tape_recorder);
    run.at(1, Input::Connected(0));
    run.frames(2, 0, &[info(ELSE, 20)]);
    assert_eq!((run.sink.packets(), run.missing().as_str()), (0, "1-20"));
    run.frames(3, 0, new.slice(range(1, 20)));
    let outcome = run.recorder.outcome().unwrap().clone();
    assert!(outcome.is_complete(), "{outcome:?}");
    run.sink.end().unwrap();
    let facts = Facts::of(&run.recorder, run.sink.packets());
    run.sink.conclude(outcome.last, facts.end(), ms(9)).unwrap();
    // The file is read with an index and without.
    for finish in [false, true] {
        if finish {
            run.sink.finish(ms(9)).unwrap();
        }
        let disk = run.sink.file().storage().clone();
        let (file, opened) = TapeFile::open(disk, OpenMode::Index).unwrap();
        assert_eq!((opened.indexed, file.end()), (finish, SessionEnd::Confirmed));
        assert_eq!((file.packets(), file.session_id()), (20, Some(ELSE)));
        assert_eq!(file.left_out(), if finish { 0 } else { 134 });
        let mut reading = file.in_order(FIRST_SEQ);
        assert_eq!(reading.merged().unwrap().packets(), new.frames());
    }
}

#[test]
fn packets_of_a_line_without_session_are_forgotten_once_another_line_reports_one() {
    let (ours, others) = (Tape::random(100, 1), Tape::random(100, 2));
    let mut run = Run::new(Recorder::new(RecorderOptions::default(), 2), MemoryRecording::new());
    for conn in 0..4 {
        run.at(1, Input::Connected(conn));
    }
    let of = |run: &Run<MemoryRecording>, line| {
        let conns = run.opened.iter().filter(|it| it.1 == line).map(|it| it.0);
        conns.collect::<Vec<_>>()
    };
    let (one, two) = (of(&run, 0), of(&run, 1));
    run.frames(2, two[0], others.slice(range(1, 50)));
    run.frames(3, one[1], &[info(OURS, 100)]);
    run.frames(4, one[0], ours.slice(range(1, 100)));
    // The other line is an original, and is waited for until the timeout.
    run.at(5000, Input::Wake);
    run.frames(5001, two[0], others.slice(range(51, 100)));
    let asked = run.missing();
    assert_eq!(asked, "1-50", "what the other line was the first to bring");
    run.frames(5002, one[1], ours.slice(range(1, 50)));
    assert_complete(&run, &ours);
}

#[test]
fn a_recording_of_a_known_session_does_not_resume_by_the_original_protocol() {
    let known = Info { session: OURS, version: 1, first: 1, last: 20 };
    let options = RecorderOptions { classic: true, ..RecorderOptions::default() };
    let missing = "3".parse().unwrap();
    let recorder = Recorder::resume(options, 1, 10, &missing, Some(known));
    let run = Run::new(recorder, MemoryRecording::new());
    let outcome = run.recorder.outcome().unwrap();
    assert_eq!(outcome.reason, Some(IncompleteReason::SessionUntold));
    // All packets that the session was known to have are missing.
    assert_eq!(outcome.missing.to_string(), "3, 11-20");
}

#[test]
fn packets_that_a_resumed_recording_knew_are_missing_if_the_exchange_has_fewer_now() {
    let known = Info { session: OURS, version: 1, first: 1, last: 20 };
    let tape = Tape::random(20, 1);
    let missing = "3".parse().unwrap();
    let recorder = Recorder::resume(RecorderOptions::default(), 1, 10, &missing, Some(known));
    let mut run = Run::new(recorder, MemoryRecording::new());
    run.at(1, Input::Connected(0));
    run.frames(2, 0, &[info(OURS, 15)]);
    run.frames(3, 0, &[tape.frames()[2]]);
    run.frames(4, 0, tape.slice(range(11, 15)));
    run.at(5, Input::Stop);
    let outcome = run.recorder.outcome().unwrap();
    assert_eq!((outcome.missing.to_string().as_str(), outcome.last), ("16-20", 20));
}

#[test]
fn a_live_session_that_is_stopped_has_no_confirmed_end() {
    let tape = Tape::random(20, 1);
    let options = RecorderOptions { follow: true, ..RecorderOptions::default() };
    let mut run = Run::new(Recorder::new(options, 1), MemoryRecording::new());
    run.at(1, Input::Connected(0));
    run.frames(2, 0, &[info(OURS, 0)]);
    run.frames(3, 0, tape.slice(range(1, 20)));
    run.frames(4, 0, &[encode(&Frame::Heartbeat(21))]);
    run.at(5, Input::Stop);
    let outcome = run.recorder.outcome().unwrap();
    assert_eq!((outcome.tail, outcome.missing.count(), outcome.last), (Tail::Unknown, 0, 20));
}

#[test]
fn a_follower_forgets_packets_of_an_unknown_session() {
    let (old, new) = (Tape::random(20, 1), Tape::random(5, 2));
    let tape_recorder = TapeRecorder::create(Disk::new(), SyncPolicy::Never, ms(9), 7).unwrap();
    let options = RecorderOptions { follow: true, ..RecorderOptions::default() };
    let mut tape_recorder = tape_recorder;
    let resend = Origin { line: 0, source: Source::Resend };
    tape_recorder.on_messages(resend, Messages::Packets(old.frames()), ms(1));
    // The recording has ended before, and has noted how far that session reached.
    tape_recorder.conclude(30, SessionEnd::Open, ms(2)).unwrap();
    let (tape_recorder, was) =
        TapeRecorder::open(tape_recorder.into_storage(), SyncPolicy::Never, ms(9)).unwrap();
    let recorder = Recorder::resume(options, 1, was.highest, &was.missing, was.session);
    let mut run = Run::new(recorder, tape_recorder);
    run.at(1, Input::Connected(0));
    run.frames(2, 0, &[info(ELSE, 3)]);
    assert_eq!((run.sink.packets(), run.missing().as_str()), (0, ""));
    run.frames(3, 0, new.slice(range(1, 5)));
    run.frames(4, 0, &[encode(&Frame::End(6))]);
    let outcome = run.recorder.outcome().unwrap();
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!((outcome.last, outcome.tail, run.sink.packets()), (5, Tail::Confirmed, 5));
    run.sink.end().unwrap();
    let (tape_recorder, was) =
        TapeRecorder::open(run.sink.into_storage(), SyncPolicy::Never, ms(9)).unwrap();
    assert_eq!((tape_recorder.file().last_known(), was.session.unwrap().session), (5, ELSE));
}

/// Returns two lines that are followed into a file. The first one, which connects first, describes
/// packets that do not exist.
fn lied_to() -> Run<TapeRecorder<Disk>> {
    let tape_recorder = TapeRecorder::create(Disk::new(), SyncPolicy::Never, ms(9), 7).unwrap();
    let options = RecorderOptions { follow: true, ..RecorderOptions::default() };
    let mut run = Run::new(Recorder::new(options, 2), tape_recorder);
    run.at(1, Input::Connected(0));
    run.frames(2, 0, &[info(OURS, MAX_PACKET_SEQ)]);
    run
}

/// Resumes that recording on the honest line alone, to its end.
fn honest(run: Run<TapeRecorder<Disk>>, known: Seq) -> Run<TapeRecorder<Disk>> {
    let tape = Tape::random(100, 1);
    let (tape_recorder, was) =
        TapeRecorder::open(run.sink.into_storage(), SyncPolicy::Never, ms(9)).unwrap();
    assert_eq!(was.session.map(|info| (info.session, info.last)), Some((OURS, known)));
    let options = RecorderOptions::default();
    let recorder = Recorder::resume(options, 1, was.highest, &was.missing, was.session);
    let mut run = Run::new(recorder, tape_recorder);
    run.at(1, Input::Connected(0));
    run.frames(2, 0, &[info(OURS, 100)]);
    run.frames(3, 0, tape.slice(range(1, 100)));
    let outcome = run.recorder.outcome().unwrap().clone();
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!((outcome.last, outcome.tail), (100, Tail::Confirmed));
    let facts = Facts::of(&run.recorder, run.sink.packets());
    run.sink.conclude(outcome.last, facts.end(), ms(9)).unwrap();
    assert_eq!((run.sink.file().last_known(), run.sink.file().end()), (100, SessionEnd::Confirmed));
    run
}

#[test]
fn an_end_is_written_only_once_both_lines_describe_it() {
    let run = lied_to();
    assert_eq!(run.sink.file().last_known(), 0, "the other may yet deny it");
    let mut run = run;
    let second = run.opened.iter().find(|it| it.1 == 1).unwrap().0;
    run.at(3, Input::Connected(second));
    run.frames(4, second, &[info(OURS, 100)]);
    assert_eq!(run.sink.file().last_known(), 100);
    let run = honest(run, 100);
    assert_eq!(run.recorder.violations().contradicted, None);
}

#[test]
fn a_description_by_the_only_line_is_denied_by_the_next_one() {
    let mut run = lied_to();
    // The other line cannot be reached.
    let second = run.opened.iter().find(|it| it.1 == 1).unwrap().0;
    run.at(3, Input::ConnectFailed(second));
    assert_eq!(run.sink.file().last_known(), MAX_PACKET_SEQ);
    let run = honest(run, MAX_PACKET_SEQ);
    assert_eq!(run.recorder.violations().contradicted, SeqRange::new(101, MAX_PACKET_SEQ));
}

#[test]
fn the_end_of_a_resumed_recording_is_believed_up_to_max_jump() {
    let limits = Limits { max_jump: 1000, ..Limits::default() };
    let options = RecorderOptions { limits, ..RecorderOptions::default() };
    for (known, missing) in [(1015, "3, 11-1015"), (1016, "3, 11-15")] {
        let info_of = Info { session: OURS, version: 1, first: 1, last: known };
        let gap = "3".parse().unwrap();
        let recorder = Recorder::resume(options.clone(), 1, 10, &gap, Some(info_of));
        let mut run = Run::new(recorder, MemoryRecording::new());
        run.at(1, Input::Connected(0));
        run.frames(2, 0, &[info(OURS, 15)]);
        run.at(5, Input::Stop);
        assert_eq!(run.recorder.outcome().unwrap().missing.to_string(), missing);
    }
}
