//! Rows, which all formats share: a row is a packet with its arrival, and a batch arrived together.

use super::{Arrival, MessageConsumer};
use crate::error::Failure;
use feed::base::seq::{FIRST_SEQ, Seq};
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{Frame, MAX_PACKET_SEQ, Messages, RawFrame, decode_packet, encode};
use std::io;

/// Names of the columns, in their order.
pub(super) const COLUMNS: [&str; 7] =
    ["symbol", "buySellIndicator", "quantity", "price", "sequence", "arrived", "origin"];

/// Maximum number of packets that are passed on at once.
pub(super) const BATCH: usize = 4096;

/// Reader side of rows, which passes them on in slices that arrived together.
pub(super) struct Batch<'a, 'b> {
    frames: Vec<RawFrame>,
    arrival: Arrival,
    each: &'a mut MessageConsumer<'b>,
}

impl<'a, 'b> Batch<'a, 'b> {
    pub(super) fn new(each: &'a mut MessageConsumer<'b>) -> Self {
        Self { frames: Vec::with_capacity(BATCH), arrival: Arrival::UNKNOWN, each }
    }

    pub(super) fn push(&mut self, packet: Packet, arrival: Arrival) -> Result<(), Failure> {
        if self.frames.len() == BATCH || arrival != self.arrival {
            self.flush()?;
            self.arrival = arrival;
        }
        self.frames.push(encode(&Frame::Packet(packet)));
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let done = (self.each)(Messages::Packets(&self.frames), self.arrival);
        self.frames.clear();
        done
    }
}

/// Returns the packet of a frame that is to be written.
#[inline]
pub(super) fn packet(frame: &RawFrame) -> io::Result<Packet> {
    let odd = |_| io::Error::new(io::ErrorKind::InvalidData, "a frame is no packet");
    decode_packet(frame).map_err(odd)
}

/// Returns the beginning of a text, for an error message.
pub(super) fn shown(text: &str) -> &str {
    text.char_indices().nth(20).map_or(text, |(end, _)| &text[..end])
}

pub(super) fn symbol(text: &str) -> Result<Symbol, String> {
    Symbol::from_text(text).ok_or_else(|| {
        format!("symbol {:?} is longer than four bytes or not Latin text", shown(text))
    })
}

pub(super) fn side(text: &str) -> Result<Side, String> {
    match text.as_bytes() {
        [letter] => Side::from_letter(*letter),
        _ => None,
    }
    .ok_or_else(|| format!("buySellIndicator is {:?}, not \"B\" or \"S\"", shown(text)))
}

/// Returns a packet's sequence as a value of a 32-bit column.
#[cfg(any(feature = "columnar", feature = "sqlite"))]
pub(super) fn short_sequence(seq: Seq) -> io::Result<u32> {
    let wide = |_| io::Error::new(io::ErrorKind::InvalidData, "a sequence has more than 32 bits");
    u32::try_from(seq).map_err(wide)
}

pub(super) fn sequence(number: i64) -> Result<Seq, String> {
    Seq::try_from(number)
        .ok()
        .filter(|seq| (FIRST_SEQ..=MAX_PACKET_SEQ).contains(seq))
        .ok_or_else(|| format!("sequence {number} is not in 1..{MAX_PACKET_SEQ}"))
}
