//! What is believed of a connection that has brought bytes that are no message.
//!
//! A message with one damaged field is left out, and what follows it is believed. Torn bytes, parts
//! of two messages, put the connection in doubt, for everything behind them may be shifted. A frame
//! then ends the doubt if it could hardly look as it does by chance: a message of the extension, or
//! a packet with a symbol whose sequence is one that the connection may bring now. Until then
//! nothing is believed, and after [`GARBAGE_FRAMES_MAX`] frames the connection is cut.

use super::Recorder;
use crate::base::seq::Seq;
use crate::client::recovery::GARBAGE_FRAMES_MAX;
use crate::wire::{DecodeError, RawFrame, decode, is_near, packet_seq, sequence_of, symbol_fits};
use core::time::Duration;

impl Recorder {
    /// Returns whether a frame may be believed. One that shows alignment ends the doubt.
    pub(super) fn believes(&mut self, at: usize, raw: &RawFrame) -> bool {
        let conn = &self.conns[at];
        let Some(before) = conn.misaligned else { return true };
        let packet = packet_seq(raw);
        let aligned = match packet {
            Some(seq) => {
                let expected = is_near(seq, conn.track.position) || self.ledger.misses(seq);
                symbol_fits(raw) && (expected || Some(seq) == before.checked_add(1))
            }
            None => decode(raw).is_ok(),
        };
        self.conns[at].misaligned = (!aligned).then(|| packet.unwrap_or(Seq::MAX));
        aligned
    }

    /// Returns whether what comes behind the last of some frames is torn.
    pub(super) fn torn_behind(&self, frames: &[RawFrame], behind: &RawFrame) -> bool {
        let before = frames.last().and_then(packet_seq);
        before.is_some_and(|seq| self.ledger.torn_behind(seq, Some(behind), false))
    }

    /// Leaves out a frame that is no message, or none to be believed.
    pub(super) fn garbled(&mut self, at: usize, raw: &RawFrame, offset: u64, now: Duration) {
        let error = match decode(raw) {
            Err(error) => error,
            Ok(_) if packet_seq(raw).is_none() => DecodeError::Kind(raw[4]),
            Ok(_) if !symbol_fits(raw) => DecodeError::Symbol([raw[0], raw[1], raw[2], raw[3]]),
            Ok(_) => DecodeError::Sequence(sequence_of(raw).cast_signed()),
        };
        self.violations.undecodable += 1;
        self.violations.first_undecodable.get_or_insert((offset, error));
        let torn = self.ledger.is_torn(raw, self.conns[at].track.position);
        let conn = &mut self.conns[at];
        if torn {
            conn.misaligned.get_or_insert(Seq::MAX);
        }
        conn.garbage_run += 1;
        if conn.garbage_run > GARBAGE_FRAMES_MAX {
            self.cut(at, now);
        }
    }
}
