//! Kind of a session's messages: order packets, or messages of any length.
//!
//! Order packets are recorded alike whatever protocol brings them, so that lines of different
//! protocols are lines of one session. SoupBinTCP does not say what its messages are, so the first
//! one of a recording tells: an order packet carries its own sequence.

use crate::base::seq::Seq;
use crate::client::Recorder;
use crate::ledger::{Origin, Sink, StreamPosition, TakeResult};
use crate::wire::soup::kind::SEQUENCED;
use crate::wire::{
    FRAME_LEN, Framing, MAX_PACKET_SEQ, RawFrame, Run, oddness, packet_seq, sequence_field,
};
use alloc::vec::Vec;
use core::time::Duration;

/// Kind of a session's messages.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum SessionPayload {
    /// No message has shown the kind of payload yet.
    #[default]
    Unknown,
    /// Order packets of 17 bytes, which carry their sequences.
    Packets,
    /// Messages of any length.
    Messages,
}

impl SessionPayload {
    /// Returns the kind of a session, once `run` has arrived.
    pub(in crate::client) fn after(self, run: &Run<'_>) -> Self {
        match (self, run.iter().next()) {
            (Self::Unknown, Some((seq, message))) => match order_packet(seq, message) {
                Some(_) => Self::Packets,
                None => Self::Messages,
            },
            _ => self,
        }
    }
}

/// Returns a message as an order packet if it is one that carries the sequence `seq`.
fn order_packet(seq: Seq, message: &[u8]) -> Option<&RawFrame> {
    let frame: &RawFrame = message.first_chunk()?;
    (message.len() == FRAME_LEN && packet_seq(frame) == Some(seq)).then_some(frame)
}

/// Appends the order packets of a run to `frames`. Returns the sequence of the first message that
/// is none; the messages behind it are left out.
fn order_packets(run: &Run<'_>, frames: &mut Vec<RawFrame>) -> Option<Seq> {
    // An order packet has 17 bytes, and a length of SoupBinTCP counts the type as well.
    let done = match run.framing() {
        Framing::Length => all_order_packets::<2, 19>(run, [0, 17], frames),
        Framing::LengthAndType => all_order_packets::<3, 20>(run, [0, 18, SEQUENCED], frames),
    };
    if done {
        return None;
    }
    for (seq, message) in run.iter() {
        match order_packet(seq, message) {
            Some(frame) => frames.push(*frame),
            None => return Some(seq),
        }
    }
    None
}

/// Appends the messages of a run to `frames` if all of them are order packets behind `header`, each
/// of which has `BLOCK` bytes with it. Returns false and appends nothing otherwise.
///
/// Blocks of one length are checked and copied without a branch for each, and without looking for
/// each behind the one before.
fn all_order_packets<const HEADER: usize, const BLOCK: usize>(
    run: &Run<'_>,
    header: [u8; HEADER],
    frames: &mut Vec<RawFrame>,
) -> bool {
    let (blocks, rest) = run.bytes().as_chunks::<BLOCK>();
    let (range, before) = (run.range(), frames.len());
    let Ok(first) = u32::try_from(range.first()) else { return false };
    let is_numbered = first > 0 && range.last() <= MAX_PACKET_SEQ;
    if !rest.is_empty() || blocks.len() as u64 != range.len() || !is_numbered {
        return false;
    }
    let (mut is_other, mut expected) = (0, first);
    frames.resize(before + blocks.len(), [0; FRAME_LEN]);
    for (frame, block) in frames.iter_mut().skip(before).zip(blocks) {
        if let (Some(own), Some(message)) = (block.first_chunk(), block.last_chunk()) {
            *frame = *message;
            is_other |= u8::from(*own != header) | oddness(message);
            is_other |= u8::from(sequence_field(message) != expected);
            expected = expected.wrapping_add(1);
        }
    }
    if is_other != 0 {
        frames.truncate(before);
    }
    is_other == 0
}

impl Recorder {
    /// Takes messages into the ledger, as order packets if the session's messages are such. Returns
    /// the sequence of the first message that is no order packet although it should be.
    pub(in crate::client) fn take_numbered(
        &mut self,
        run: Run<'_>,
        origin: Origin,
        track: &mut StreamPosition,
        now: Duration,
        sink: &mut impl Sink,
    ) -> (TakeResult, Option<Seq>) {
        if self.payload != SessionPayload::Packets {
            return (self.ledger.take_run(run, origin, now, track, sink), None);
        }
        let mut frames = core::mem::take(&mut self.packet_buffer);
        let foreign = order_packets(&run, &mut frames);
        let taken = self.ledger.take(&frames, origin, now, track, sink);
        frames.clear();
        self.packet_buffer = frames;
        (taken, foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::packet::{Packet, Side, Symbol};
    use crate::wire::{Frame, encode};
    use proptest::prelude::*;

    fn message(seq: Seq, change: u8) -> Vec<u8> {
        let symbol = Symbol(*b"MSFT");
        let packet = Packet { symbol, side: Side::Buy, quantity: 1, price: 2, sequence: seq };
        let mut bytes = encode(&Frame::Packet(packet)).to_vec();
        match change {
            0 => drop(bytes.pop()),
            1 => bytes.push(b'x'),
            2 => bytes[4] = b'X',
            3 => bytes[16] ^= 1,
            _ => {}
        }
        bytes
    }

    proptest! {
        /// Order packets are found up to the first message that is none, whatever comes before it.
        #[test]
        fn order_packets_end_at_the_first_other_message(
            changes in prop::collection::vec(0u8..60, 1..40),
            framing in prop::sample::select(alloc::vec![Framing::Length, Framing::LengthAndType]),
        ) {
            let messages: Vec<_> = (7..).zip(&changes).map(|(seq, it)| message(seq, *it)).collect();
            let mut bytes = Vec::new();
            for message in &messages {
                let kind: &[u8] = if framing == Framing::Length { b"" } else { b"S" };
                let length = u16::try_from(kind.len() + message.len()).unwrap();
                bytes.extend(length.to_be_bytes());
                bytes.extend(kind);
                bytes.extend(message);
            }
            let run = Run::new(7, framing, &bytes).unwrap();
            let mut frames = alloc::vec![[0; FRAME_LEN]];
            let foreign = order_packets(&run, &mut frames);
            let whole = changes.iter().take_while(|change| **change > 3).count();
            let expected = (whole < messages.len()).then_some(7 + whole as Seq);
            prop_assert_eq!(foreign, expected);
            let wanted = messages[..whole].iter().map(|it| RawFrame::try_from(&it[..]).unwrap());
            prop_assert!(frames.into_iter().skip(1).eq(wanted));
        }
    }
}
