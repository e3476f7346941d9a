//! The ledger's promise, against a map of what was received: each sequence up to the highest is
//! recorded, once and as it first came, or is missing.

use feed::base::seq::{Seq, SeqSet};
use feed::ledger::{Ledger, Limits, Origin, Source, StopReason, StreamPosition};
use feed::tape::recording::MemoryRecording;
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{Frame, MAX_PACKET_SEQ, RawFrame, encode, sequence_of};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const ORIGIN: Origin = Origin { line: 0, source: Source::Resend };

fn frame(sequence: Seq, price: i32) -> RawFrame {
    encode(&Frame::Packet(Packet {
        symbol: Symbol(*b"TEST"),
        side: Side::Buy,
        quantity: 1,
        price,
        sequence,
    }))
}

/// Takes frames in chunks; frames that are refused are skipped. Returns conflicts and refusals.
fn take(
    ledger: &mut Ledger,
    recording: &mut MemoryRecording,
    track: &mut StreamPosition,
    frames: &[RawFrame],
) -> (u32, Vec<StopReason>) {
    let (mut rest, mut conflicts, mut stops) = (frames, 0, Vec::new());
    loop {
        let taken = ledger.take(rest, ORIGIN, Duration::ZERO, track, recording);
        conflicts += taken.conflicts;
        rest = &rest[taken.frames..];
        match taken.stop {
            Some(stop) => {
                stops.push(stop);
                rest = &rest[1..];
            }
            None => return (conflicts, stops),
        }
    }
}

proptest! {
    #[test]
    fn every_sequence_is_recorded_or_missing(
        runs in prop::collection::vec((1u64..120, 1u64..12, 0i32..2), 0..40),
        chunk in 1usize..50,
    ) {
        let frames: Vec<RawFrame> = runs
            .iter()
            .flat_map(|&(first, count, price)| (first..first + count).map(move |s| frame(s, price)))
            .collect();
        let mut ledger = Ledger::new(Limits::default());
        let (mut recording, mut track) = (MemoryRecording::new(), StreamPosition::default());
        let (mut model, mut differing) = (BTreeMap::new(), 0);
        for frame in &frames {
            let first: &mut RawFrame = model.entry(sequence_of(frame)).or_insert(*frame);
            differing += u32::from(first != frame);
        }
        let mut conflicts = 0;
        for frames in frames.chunks(chunk) {
            conflicts += take(&mut ledger, &mut recording, &mut track, frames).0;
            let recorded: Vec<RawFrame> = recording.in_order().flatten().copied().collect();
            prop_assert_eq!(ledger.recorded(), recorded.len() as u64);
        }
        let recorded: Vec<RawFrame> = recording.in_order().flatten().copied().collect();
        prop_assert_eq!(recorded, model.values().copied().collect::<Vec<_>>());
        prop_assert_eq!(conflicts, differing);
        let highest = model.last_key_value().map_or(0, |(&seq, _)| seq);
        prop_assert_eq!(ledger.highest(), highest);
        let missing: Vec<Seq> =
            ledger.gaps().ranges().flat_map(|range| range.first()..=range.last()).collect();
        let expected: Vec<Seq> = (1..=highest).filter(|seq| !model.contains_key(seq)).collect();
        prop_assert_eq!(ledger.frontier(), expected.first().map_or(highest, |seq| seq - 1));
        prop_assert_eq!(missing, expected);
        let mut expected = StreamPosition::default();
        for seq in frames.iter().map(sequence_of).filter(|seq| *seq > 0) {
            let (position, delivered) = (expected.position.max(seq), expected.delivered + 1);
            expected =
                StreamPosition { position, highest: position, delivered, ..Default::default() };
        }
        prop_assert_eq!(track, expected);
        for seq in 0..150 {
            prop_assert_eq!(recording.get(seq), model.get(&seq));
        }
    }
}

proptest! {
    #[test]
    fn many_frames_at_once_are_what_they_are_one_by_one(
        steps in prop::collection::vec((0u32..12, 0u32..400), 0..400),
        limits in (1u64..300, 1usize..60),
        resent in any::<bool>(),
    ) {
        let mut top = 0;
        let mut frames: Vec<RawFrame> = Vec::new();
        for (kind, size) in steps {
            // Mostly what a stream has: the next packet, or one a little further on.
            let seq = match kind {
                0 if size < 20 => top - top.min(size),
                1 if size < 20 => top.wrapping_add(1 << 31),
                2 | 3 => top + 2 + size % 3,
                4 if size < 40 => top + size * 20,
                _ => top + 1,
            };
            let mut frame = frame(1, 0);
            frame[13..].copy_from_slice(&seq.to_be_bytes());
            if kind == 11 && size < 20 {
                frame[4] = b"HIX\0"[size as usize % 4];
            }
            frames.push(frame);
            top = top.max(seq % (1 << 31));
        }
        if resent {
            frames.extend_from_within(..);
        }
        let limits = Limits { max_jump: limits.0, max_gaps: limits.1, ..Limits::default() };
        let came = |chunk: usize| {
            let mut ledger = Ledger::new(limits);
            let (mut recording, mut track) = (MemoryRecording::new(), StreamPosition::default());
            let mut seen = (0, Vec::new());
            for frames in frames.chunks(chunk) {
                let (conflicts, stops) = take(&mut ledger, &mut recording, &mut track, frames);
                seen.0 += conflicts;
                seen.1.extend(stops);
            }
            let recorded: Vec<RawFrame> = recording.in_order().flatten().copied().collect();
            let gaps: Vec<_> = ledger.gaps().ranges().collect();
            (seen, recorded, gaps, ledger.highest(), ledger.gaps().missing(), track)
        };
        let one_by_one = came(1);
        let crowded = |stops: &[StopReason]| stops.contains(&StopReason::Crowded);
        for chunk in [3, 64, 200, 1000] {
            let at_once = came(chunk);
            // With as many gaps open as there may be, a run can fill one whose packets would each
            // have split it. What is left out then differs, and is missing all the same.
            if crowded(&at_once.0.1) || crowded(&one_by_one.0.1) {
                let (_, recorded, gaps, highest, missing, _) = at_once;
                prop_assert!(gaps.len() <= limits.max_gaps);
                prop_assert_eq!(recorded.len() as u64 + missing, highest);
            } else {
                prop_assert_eq!(at_once, one_by_one.clone());
            }
        }
    }
}

#[test]
fn where_numbers_end_nothing_wraps_around() {
    let limits = Limits { max_jump: u64::MAX, ..Limits::default() };
    let raw = |seq: Seq| {
        let mut frame = frame(1, 0);
        frame[13..].copy_from_slice(&u32::try_from(seq).unwrap().to_be_bytes());
        frame
    };
    for (seqs, highest, refused) in [
        (vec![MAX_PACKET_SEQ - 1, MAX_PACKET_SEQ, MAX_PACKET_SEQ + 1], MAX_PACKET_SEQ, 1),
        (
            vec![MAX_PACKET_SEQ - 4, MAX_PACKET_SEQ - 9, MAX_PACKET_SEQ - 4, MAX_PACKET_SEQ - 2],
            MAX_PACKET_SEQ - 2,
            0,
        ),
        (vec![MAX_PACKET_SEQ - 4, 0, u32::MAX.into(), MAX_PACKET_SEQ], MAX_PACKET_SEQ, 2),
    ] {
        let mut ledger = Ledger::resume(limits, MAX_PACKET_SEQ - 10, &SeqSet::new());
        let (mut recording, mut track) = (MemoryRecording::new(), StreamPosition::default());
        let frames: Vec<RawFrame> = seqs.iter().map(|&seq| raw(seq)).collect();
        let stops = take(&mut ledger, &mut recording, &mut track, &frames).1;
        assert_eq!(stops, vec![StopReason::NotAPacket; refused], "{seqs:?}");
        let mut seqs: Vec<Seq> =
            seqs.into_iter().filter(|s| (1..=MAX_PACKET_SEQ).contains(s)).collect();
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(ledger.highest(), highest);
        assert_eq!(ledger.recorded(), (MAX_PACKET_SEQ - 10) + seqs.len() as u64);
    }
}

#[test]
fn a_jump_is_believed_up_to_its_limit_or_up_to_what_was_told() {
    let limits = Limits { max_jump: 100, max_gaps: 10, ..Limits::default() };
    let mut ledger = Ledger::new(limits);
    let (mut recording, mut track) = (MemoryRecording::new(), StreamPosition::default());
    let mut one = |ledger: &mut Ledger, seq, plausible| {
        track.plausible = plausible;
        take(ledger, &mut recording, &mut track, &[frame(seq, 0)]).1
    };
    assert_eq!(one(&mut ledger, 1, 0), []);
    assert_eq!(one(&mut ledger, 103, 0), [StopReason::Jump(103)]);
    assert_eq!(one(&mut ledger, 102, 0), [], "a gap of a hundred");
    assert_eq!(one(&mut ledger, MAX_PACKET_SEQ, 0), [StopReason::Jump(MAX_PACKET_SEQ)]);
    ledger.reaches(5000);
    assert_eq!(one(&mut ledger, 5000, 0), [StopReason::Jump(5000)], "another line has told it");
    assert_eq!(one(&mut ledger, 5001, 5000), [StopReason::Jump(5001)]);
    assert_eq!(one(&mut ledger, 5000, 5000), []);
    assert_eq!(ledger.end(), Some(5000));
    assert_eq!(one(&mut ledger, 5001, 5000), []);
    assert_eq!(ledger.end(), None, "what was told has proved to be too low");
}

#[test]
fn one_gap_more_than_allowed_counts_as_not_received() {
    let mut ledger = Ledger::new(Limits { max_jump: 100, max_gaps: 3, ..Limits::default() });
    let (mut recording, mut track) = (MemoryRecording::new(), StreamPosition::default());
    let frames: Vec<RawFrame> = (1..=5).map(|i| frame(2 * i, 0)).collect();
    let stops = take(&mut ledger, &mut recording, &mut track, &frames).1;
    assert_eq!(stops, [StopReason::Crowded, StopReason::Crowded]);
    assert_eq!((ledger.highest(), ledger.gaps().len()), (6, 3));
    // Once a gap is filled there is room for another.
    let again = [frame(1, 0), frame(8, 0)];
    assert_eq!(take(&mut ledger, &mut recording, &mut track, &again).1, []);
    assert_eq!(ledger.highest(), 8);
}

#[test]
fn tails_that_are_told_one_after_the_other_are_bounded_as_well() {
    let mut ledger = Ledger::new(Limits { max_jump: 100, max_gaps: 3, ..Limits::default() });
    let (mut recording, mut track) = (MemoryRecording::new(), StreamPosition::default());
    for next in (1..).step_by(2).take(9) {
        take(&mut ledger, &mut recording, &mut track, &[frame(next, 0)]);
        ledger.reaches(next + 1);
        ledger.close_tail(Duration::ZERO, &mut recording);
    }
    assert_eq!((ledger.highest(), ledger.gaps().len()), (9, 4), "one more than the limit");
    // Once one is filled, the rest is missing as well.
    take(&mut ledger, &mut recording, &mut track, &[frame(4, 0)]);
    ledger.close_tail(Duration::ZERO, &mut recording);
    assert_eq!((ledger.highest(), ledger.gaps().len()), (18, 4));
}

#[test]
fn a_recording_beyond_the_wire_takes_packets_into_its_gaps() {
    let highest = 1 << 40;
    let missing: SeqSet = "7".parse().unwrap();
    let mut ledger = Ledger::resume(Limits::default(), highest, &missing);
    let (mut recording, mut track) = (MemoryRecording::new(), StreamPosition::default());
    track.position = highest;
    let frames: Vec<RawFrame> = (1..100).map(|seq| frame(seq, 0)).collect();
    assert_eq!(take(&mut ledger, &mut recording, &mut track, &frames), (0, vec![]));
    assert_eq!((ledger.highest(), ledger.gaps().missing(), recording.len()), (highest, 0, 1));
    assert_eq!(ledger.recorded(), highest);
}
