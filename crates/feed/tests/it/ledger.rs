//! The ledger's promise, against a map of what was received: each sequence up to the highest is
//! recorded, once and as it first came, or is missing.

use feed::ledger::{Ledger, Limits, Origin, Source, Stop, Track};
use feed::packet::{Packet, Side, Symbol};
use feed::recording::Recording;
use feed::seq::{MAX_SEQ, Seq};
use feed::wire::{Frame, RawFrame, encode, sequence_of};
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
    recording: &mut Recording,
    track: &mut Track,
    frames: &[RawFrame],
) -> (u32, Vec<Stop>) {
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
        runs in prop::collection::vec((1u32..120, 1u32..12, 0i32..2), 0..40),
        chunk in 1usize..50,
    ) {
        let frames: Vec<RawFrame> = runs
            .iter()
            .flat_map(|&(first, count, price)| (first..first + count).map(move |s| frame(s, price)))
            .collect();
        let mut ledger = Ledger::new(Limits::default());
        let (mut recording, mut track) = (Recording::new(), Track::default());
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
        let mut expected = Track::default();
        for seq in frames.iter().map(sequence_of).filter(|seq| *seq > 0) {
            let (position, delivered) = (expected.position.max(seq), expected.delivered + 1);
            expected = Track { position, delivered };
        }
        prop_assert_eq!(track, expected);
        for seq in 0..150 {
            prop_assert_eq!(recording.get(seq), model.get(&seq));
        }
    }
}

#[test]
fn a_jump_is_believed_up_to_its_limit_or_up_to_what_was_told() {
    let limits = Limits { jump: 100, gaps: 10, ..Limits::default() };
    let mut ledger = Ledger::new(limits);
    let (mut recording, mut track) = (Recording::new(), Track::default());
    let mut one =
        |ledger: &mut Ledger, seq| take(ledger, &mut recording, &mut track, &[frame(seq, 0)]).1;
    assert_eq!(one(&mut ledger, 1), []);
    assert_eq!(one(&mut ledger, 103), [Stop::Jump(103)]);
    assert_eq!(one(&mut ledger, 102), [], "a gap of a hundred");
    assert_eq!(one(&mut ledger, MAX_SEQ), [Stop::Jump(MAX_SEQ)]);
    ledger.reaches(5000);
    assert_eq!(one(&mut ledger, 5001), [Stop::Jump(5001)]);
    assert_eq!(one(&mut ledger, 5000), []);
    assert_eq!(ledger.end(), Some(5000));
    assert_eq!(one(&mut ledger, 5001), []);
    assert_eq!(ledger.end(), None, "what was told has proved to be too low");
}

#[test]
fn one_gap_more_than_allowed_counts_as_not_received() {
    let mut ledger = Ledger::new(Limits { jump: 100, gaps: 3, ..Limits::default() });
    let (mut recording, mut track) = (Recording::new(), Track::default());
    let frames: Vec<RawFrame> = (1..=5).map(|i| frame(2 * i, 0)).collect();
    let stops = take(&mut ledger, &mut recording, &mut track, &frames).1;
    assert_eq!(stops, [Stop::Crowded, Stop::Crowded]);
    assert_eq!((ledger.highest(), ledger.gaps().len()), (6, 3));
    // Once a gap is filled there is room for another.
    let again = [frame(1, 0), frame(8, 0)];
    assert_eq!(take(&mut ledger, &mut recording, &mut track, &again).1, []);
    assert_eq!(ledger.highest(), 8);
}
