//! Trust in a connection that has sent undecodable bytes.
//!
//! A frame with one damaged field is ignored, and the frames behind it are believed. Torn bytes,
//! parts of two messages, make the connection *misaligned*, because everything behind them may be
//! shifted. A frame proves alignment if it could hardly look like that by chance: a message of the
//! extension, or a packet with a symbol whose sequence the connection may deliver now. Until then
//! no frame is believed, and after [`GARBAGE_FRAMES_MAX`] undecodable frames the connection is cut.

use super::{Recorder, UndecodableError};
use crate::base::seq::Seq;
use crate::wire::{
    DecodeError, RawFrame, decode, is_near, packet_seq, sequence_field, symbol_fits,
};
use core::time::Duration;

/// Maximum number of consecutive undecodable frames on a connection before it is cut.
pub(super) const GARBAGE_FRAMES_MAX: u32 = 64;

impl Recorder {
    /// Returns whether a frame may be believed. A frame that proves alignment ends the mistrust.
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

    /// Returns whether the bytes behind the last of some frames are torn.
    pub(super) fn torn_behind(&self, frames: &[RawFrame], behind: &RawFrame) -> bool {
        let before = frames.last().and_then(packet_seq);
        before.is_some_and(|seq| self.ledger.torn_behind(seq, Some(behind), false))
    }

    /// Ignores a frame that is not a message, or that must not be believed, and cuts the connection
    /// after too many of them.
    pub(super) fn ignore_frame(&mut self, at: usize, raw: &RawFrame, offset: u64, now: Duration) {
        let error = match decode(raw) {
            Err(error) => error,
            Ok(_) if packet_seq(raw).is_none() => DecodeError::Kind(raw[4]),
            Ok(_) if !symbol_fits(raw) => DecodeError::Symbol([raw[0], raw[1], raw[2], raw[3]]),
            Ok(_) => DecodeError::Sequence(sequence_field(raw).cast_signed()),
        };
        self.violations.undecodable += 1;
        let error = UndecodableError::Frame(error);
        self.violations.first_undecodable.get_or_insert((offset, error));
        let torn = self.ledger.is_torn(raw, self.conns[at].track.position);
        let conn = &mut self.conns[at];
        if torn {
            conn.misaligned.get_or_insert(Seq::MAX);
        }
        conn.garbage_run += 1;
        // A few broken frames can be faults of single packets. Many in a row mean that the
        // connection is read from the wrong byte on, which only a new connection mends.
        if conn.garbage_run > GARBAGE_FRAMES_MAX {
            self.cut(at, now);
        }
    }
}
