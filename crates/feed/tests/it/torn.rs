//! Connections that end inside a packet. The exchange must send nothing behind the part, and the
//! recorder must not believe what other exchanges send there.

use feed::base::seq::SeqRange;
use feed::client::{Input, Output, Recorder, RecorderOptions};
use feed::exchange::server::{CutKind, MockExchange, ServerConnection};
use feed::exchange::{Exchange, Step};
use feed::faults::scenario::{Fault, FaultAction, FaultPlace, Scenario, SlowSubscriberPolicy};
use feed::tape::growing::GrowingTape;
use feed::tape::in_memory::Tape;
use feed::tape::market::SyntheticMarket;
use feed::tape::recording::MemoryRecording;
use feed::wire::{
    Call, FRAME_LEN, Frame, Info, MAX_PACKET_SEQ, NotAvailable, Protocol, RawFrame, Reason,
    SessionId, encode, sequence_of,
};
use std::time::Duration;

type Exchanger = MockExchange<GrowingTape<SyntheticMarket>>;

/// Event at an exchange while a connection ends.
type Event = (&'static str, fn(&mut Exchanger, &mut ServerConnection, Duration));

const EVENTS: [Event; 7] = [
    ("nothing", |_, _, _| ()),
    ("other faults", |player, _, _| player.set_scenario(Scenario::clean(2))),
    ("slow from now on", |player, _, _| {
        player.set_scenario(Scenario { slow: SlowSubscriberPolicy::Cut(1), ..Scenario::clean(2) });
    }),
    ("lose", |player, _, _| player.drop_next(10)),
    ("stall", |player, conn, now| player.stall(conn, Duration::from_millis(3), now)),
    ("cut", |player, conn, _| player.cut(conn, CutKind::Close)),
    ("the client calls", |player, conn, now| {
        let mut bytes = Vec::new();
        Call::ResendRange { first: 1, count: 3 }.encode(&mut bytes);
        Call::ResendRange { first: MAX_PACKET_SEQ, count: 3 }.encode(&mut bytes);
        player.receive(conn, &bytes, now);
    }),
];

/// Returns the bytes for a subscriber to a session of `last` packets that reads one packet a
/// millisecond and is ended inside packet 51. `before`: the event happens when one byte of that
/// packet is sent.
fn subscribed(
    (end, slow): (FaultAction, SlowSubscriberPolicy),
    last: u64,
    event: Event,
    before: bool,
) -> (Vec<u8>, Step) {
    let mut fault = Fault::new(end, FaultPlace::Stream).unwrap();
    fault.sequences = Some("51".parse().unwrap());
    let scenario = Scenario { slow, ..Scenario::clean(1) }.with(fault);
    let live = GrowingTape::new(SyntheticMarket::seeded(1, last), "1000/s".parse().unwrap(), 3, 0);
    let mut player = MockExchange::new(live, scenario);
    let mut conn = player.open(Protocol::Betacrew, Duration::ZERO);
    let mut text = Vec::new();
    [Call::Describe { version: 1 }, Call::Subscribe { first: 1 }]
        .iter()
        .for_each(|call| call.encode(&mut text));
    player.receive(&mut conn, &text, Duration::ZERO);
    let (mut bytes, mut out) = (Vec::new(), [0; 4096]);
    let mut take = |player: &mut Exchanger, conn: &mut ServerConnection, now, most: usize| {
        let count = player.peek(conn, &mut out, now).min(most);
        bytes.extend_from_slice(&out[..count]);
        player.sent(conn, count, now);
        count
    };
    // The description, 50 packets, and one byte or the whole part of packet 51.
    for ms in 0..60 {
        let most = if before && ms == 51 { 1 } else { FRAME_LEN };
        take(&mut player, &mut conn, Duration::from_millis(ms), most);
        if before && ms == 51 {
            break;
        }
    }
    let mut now = Duration::from_millis(60);
    (event.1)(&mut player, &mut conn, now);
    for _ in 0..50 {
        now += Duration::from_millis(100);
        player.tick(now);
        while take(&mut player, &mut conn, now, 4096) > 0 {}
        let step = player.step(&mut conn, now);
        if step != Step::Wait {
            return (bytes, step);
        }
    }
    (bytes, Step::Wait)
}

#[test]
fn nothing_is_sent_behind_a_part_of_a_packet() {
    let market = SyntheticMarket::seeded(1, MAX_PACKET_SEQ);
    for bytes in 1..16 {
        for end in [FaultAction::Close { bytes }, FaultAction::Reset { bytes }] {
            for slow in [
                SlowSubscriberPolicy::Wait,
                SlowSubscriberPolicy::Skip(5),
                SlowSubscriberPolicy::Cut(5),
            ] {
                for event in EVENTS {
                    for (before, last) in [(false, 900), (true, 900), (false, 51), (true, 51)] {
                        let what = format!("{end:?} {slow:?} {} {before} {last}", event.0);
                        let (sent, step) = subscribed((end, slow), last, event, before);
                        assert_ne!(step, Step::Wait, "{what}");
                        let (frames, rest) = sent.as_chunks::<FRAME_LEN>();
                        for frame in &frames[1..] {
                            let packet = market.packet(sequence_of(frame));
                            assert_eq!(*frame, encode(&Frame::Packet(packet)), "{what}");
                        }
                        let packet = encode(&Frame::Packet(market.packet(51)));
                        assert!(packet.starts_with(rest), "{what}: {rest:?}");
                        let most = usize::from(bytes);
                        assert!(frames.len() == 51 && (1..=most).contains(&rest.len()), "{what}");
                    }
                }
            }
        }
    }
}

const STREAM: u32 = 0;

/// Recorder that follows a session on one connection, and has recorded packets 1 to 4.
struct Follower {
    recorder: Recorder,
    recording: MemoryRecording,
    tape: Tape,
    finished: bool,
}

impl Follower {
    fn new() -> Self {
        let options = RecorderOptions { follow: true, ..RecorderOptions::default() };
        let mut follower = Self {
            recorder: Recorder::new(options, 1),
            recording: MemoryRecording::new(),
            tape: Tape::random(600, 1),
            finished: false,
        };
        follower.give(Input::Wake);
        follower.give(Input::Connected(STREAM));
        let info = Info { session: SessionId::of(*b"TEST"), version: 1, first: 1, last: 4 };
        follower.bytes(&encode(&Frame::Info(info)));
        follower.packets(1, 4);
        assert_eq!(follower.recording.len(), 4);
        follower
    }

    fn give(&mut self, input: Input<'_>) {
        self.recorder.handle(input, Duration::ZERO, &mut self.recording);
        while let Some(output) = self.recorder.poll() {
            self.finished |= output == Output::Finish(STREAM);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.give(Input::Received(STREAM, bytes));
    }

    fn packets(&mut self, first: u64, last: u64) {
        let frames = self.tape.slice(SeqRange::new(first, last).unwrap()).to_vec();
        self.bytes(frames.as_flattened());
    }

    /// Returns whether every recorded packet is the tape's.
    fn matches_tape(&self) -> bool {
        let mut recorded = self.recording.in_order().flatten();
        recorded.all(|frame| self.tape.slice(SeqRange::one(sequence_of(frame))) == [*frame])
    }
}

/// Returns messages that may follow a part of a packet, at least two of each kind.
fn messages(tape: &Tape) -> Vec<(&'static str, Vec<RawFrame>)> {
    let refusal = NotAvailable { first: 5, count: 9, reason: Reason::TooSlow };
    vec![
        ("packets", tape.slice(SeqRange::new(6, 400).unwrap()).to_vec()),
        ("later packets", tape.slice(SeqRange::new(300, 600).unwrap()).to_vec()),
        ("heartbeats", vec![encode(&Frame::Heartbeat(9)); 70]),
        ("ends", vec![encode(&Frame::End(9)); 70]),
        ("a refusal", vec![encode(&Frame::NotAvailable(refusal)); 2]),
    ]
}

#[test]
fn frames_behind_a_part_of_a_packet_are_not_believed() {
    let tape = Tape::random(600, 1);
    let part = tape.slice(SeqRange::one(5))[0];
    for at in 1..FRAME_LEN {
        for (what, frames) in messages(&tape) {
            // The part arrives with the rest, or before it.
            for apart in [false, true] {
                let mut follower = Follower::new();
                if apart {
                    follower.bytes(&part[..at]);
                    follower.bytes(frames.as_flattened());
                } else {
                    let bytes = [&part[..at], frames.as_flattened()].concat();
                    follower.bytes(&bytes);
                }
                let recorder = &follower.recorder;
                assert!(follower.matches_tape(), "{at} bytes and {what}");
                assert_eq!(recorder.ledger().highest(), 4, "{at} bytes and {what}");
                let violations = recorder.violations();
                assert!(
                    violations.conflicts == 0 && violations.undecodable > 0,
                    "{at} bytes and {what}"
                );
                if frames.len() > 64 {
                    assert!(follower.finished, "{at} bytes and {what}: the connection is cut");
                }
            }
        }
    }
}

#[test]
fn a_connection_that_is_aligned_again_is_believed_again() {
    for garbage in [FRAME_LEN, 3 * FRAME_LEN, 60 * FRAME_LEN] {
        let mut follower = Follower::new();
        follower.bytes(&vec![0; garbage]);
        follower.packets(6, 20);
        assert_eq!(follower.recording.len(), 19, "1-4 and 6-20");
        let mut follower = Follower::new();
        follower.bytes(&vec![0; garbage]);
        follower.bytes(&encode(&Frame::Heartbeat(9)));
        assert_eq!(
            follower.recorder.ledger().gaps().missing(),
            4,
            "a heartbeat proves alignment as well"
        );
    }
}

#[test]
fn one_packet_far_from_the_position_does_not_prove_alignment() {
    let tape = Tape::random(6000, 1);
    let mut follower = Follower { tape, ..Follower::new() };
    follower.bytes(&[0; FRAME_LEN]);
    follower.packets(4000, 4000);
    assert_eq!((follower.recording.len(), follower.recorder.violations().undecodable), (4, 2));
    // The packet behind it confirms its sequence.
    follower.packets(4001, 4001);
    follower.packets(4002, 4002);
    assert_eq!(follower.recording.len(), 6);
    let mut follower = Follower { tape: Tape::random(6000, 1), ..Follower::new() };
    follower.bytes(&[0; FRAME_LEN]);
    follower.packets(4 + 1024, 4 + 1024);
    assert_eq!(follower.recording.len(), 5, "the bound");
    let mut follower = Follower { tape: Tape::random(6000, 1), ..Follower::new() };
    follower.bytes(&[0; FRAME_LEN]);
    follower.packets(5 + 1024, 5 + 1024);
    assert_eq!(follower.recording.len(), 4, "one beyond it");
}

#[test]
fn one_damaged_field_loses_one_packet() {
    for field in [4, 13] {
        let mut follower = Follower::new();
        let frames = follower.tape.slice(SeqRange::new(6, 9).unwrap()).to_vec();
        let mut damaged = follower.tape.slice(SeqRange::one(7))[0];
        damaged[field] = 0xff;
        // The packet before the damaged one lies behind a gap.
        let sent = [frames[0], damaged, frames[2], frames[3]];
        follower.bytes(sent.as_flattened());
        assert_eq!(follower.recorder.ledger().gaps().missing(), 2, "5 and 7");
        assert_eq!((follower.recording.len(), follower.recorder.violations().undecodable), (7, 1));
        assert_eq!(follower.recorder.violations().doubtful, 0);
    }
}

#[test]
fn a_packet_with_a_control_character_in_its_symbol_must_follow_its_predecessor() {
    let mut follower = Follower::new();
    let mut strange = follower.tape.slice(SeqRange::new(5, 6).unwrap()).to_vec();
    strange.iter_mut().for_each(|frame| frame[..4].copy_from_slice(&[0, 1, 2, 3]));
    follower.bytes(&strange[1]);
    assert_eq!(follower.recording.len(), 4, "6 does not follow 4");
    let mut follower = Follower::new();
    follower.bytes(strange.as_flattened());
    assert_eq!(follower.recording.len(), 6);
}
