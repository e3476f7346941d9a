//! Frames, and the framing of a recorder's connections: what is decoded encodes to the same bytes,
//! and bytes that are cut anywhere are recorded as if they had come at once.

use feed::client::{Input, Recorder, RecorderOptions};
use feed::tape::recording::MemoryRecording;
use feed::wire::{FRAME_LEN, Frame, decode, encode, packet_seq, sequence_of};
use std::time::Duration;

/// Records a stream of bytes, passed in pieces of the given sizes.
fn record(bytes: &[u8], sizes: &[u8]) -> (Recorder, MemoryRecording) {
    let mut recorder = Recorder::new(RecorderOptions::default(), 1);
    let mut recording = MemoryRecording::new();
    let mut give = |input: Input<'_>| {
        recorder.handle(input, Duration::ZERO, &mut recording);
        while recorder.poll().is_some() {}
    };
    give(Input::Wake);
    give(Input::Connected(0));
    let mut rest = bytes;
    for size in sizes.iter().map(|&size| usize::from(size)).chain([usize::MAX]) {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        give(Input::Received(0, piece));
        rest = after;
    }
    (recorder, recording)
}

pub(crate) fn run(input: (Vec<u8>, &[u8])) {
    let (sizes, bytes) = input;
    for raw in bytes.as_chunks::<FRAME_LEN>().0 {
        let decoded = decode(raw);
        assert_eq!(packet_seq(raw).is_some(), matches!(decoded, Ok(Frame::Packet(_))));
        if let Ok(frame) = decoded {
            assert_eq!(decode(&encode(&frame)), Ok(frame));
        }
    }
    let (whole, recording) = record(bytes, &[]);
    let (cut, pieces) = record(bytes, &sizes);
    // A packet right before torn bytes is left out only where they have come with it, and a symbol
    // that is none is not seen in the midst of many packets.
    let strange = |raw: &[u8; FRAME_LEN]| raw[..4].iter().any(|byte| byte & 0x60 == 0);
    let plain = !bytes.as_chunks::<FRAME_LEN>().0.iter().any(strange);
    if plain && whole.violations().doubtful == 0 && cut.violations().doubtful == 0 {
        assert!(whole.ledger().gaps().ranges().eq(cut.ledger().gaps().ranges()));
        assert_eq!(whole.ledger().highest(), cut.ledger().highest());
        assert_eq!(whole.stats(), cut.stats());
        assert_eq!(whole.violations(), cut.violations());
        assert!(recording.in_order().flatten().eq(pieces.in_order().flatten()));
    }
    let recorded: Vec<_> = recording.in_order().flatten().collect();
    assert!(recorded.is_sorted_by(|low, high| sequence_of(low) < sequence_of(high)));
    assert_eq!(recorded.len() as u64, whole.ledger().recorded());
}
