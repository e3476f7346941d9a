//! Kind of a session's messages: order packets, or messages of any length.
//!
//! Order packets are recorded alike whatever protocol brings them, so that lines of different
//! protocols are lines of one session. SoupBinTCP does not say what its messages are, so the first
//! one of a recording tells: an order packet carries its own sequence.

use crate::base::seq::Seq;
use crate::client::Recorder;
use crate::ledger::{Origin, Sink, StreamPosition, TakeResult};
use crate::wire::{FRAME_LEN, RawFrame, Run, packet_seq};
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
    for (seq, message) in run.iter() {
        match order_packet(seq, message) {
            Some(frame) => frames.push(*frame),
            None => return Some(seq),
        }
    }
    None
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
