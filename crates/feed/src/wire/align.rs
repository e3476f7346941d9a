//! Alignment: checks that bytes can be messages that begin where they are read.
//!
//! The protocol has no framing, so missing or extra bytes shift every message behind them. A
//! shifted message has bytes of other fields in the places of symbol and kind, and nearly always
//! one that is not legal there.

use super::{FRAME_LEN, RawFrame};
use crate::base::seq::Seq;

/// Maximum distance between a packet's sequence and its connection's position at which the sequence
/// counts as evidence of alignment.
const NEAR: u64 = 1024;

const SYMBOL: usize = 4;

/// Returns true if a frame's first four bytes can be a symbol: no control characters, except NUL as
/// padding. A number in their place has leading zero bytes.
#[inline]
pub(crate) fn symbol_fits(raw: &RawFrame) -> bool {
    fits_at_once(raw) || symbol_begins(&raw[..SYMBOL])
}

/// Returns true if none of the four bytes is a control character: each has bit 5 or 6 set.
#[inline]
pub(crate) fn fits_at_once(raw: &RawFrame) -> bool {
    const BITS: u32 = 0x4040_4040;
    let word = u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
    (word | word << 1) & BITS == BITS
}

/// Returns true if a symbol can begin with these bytes.
fn symbol_begins(bytes: &[u8]) -> bool {
    let padding = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    let (text, _) = bytes.split_at(bytes.len() - padding);
    !text.is_empty() && text.iter().all(|byte| byte & 0x60 != 0)
}

/// Returns true if `kind` is the kind of a message.
fn kind_fits(kind: u8) -> bool {
    matches!(kind, b'B' | b'S' | b'I' | b'H' | b'E' | b'N')
}

/// Returns true if an undecodable frame is torn: parts of two messages, not one message with one
/// damaged field. `expected` says that its sequence is one that the connection may deliver now.
pub(crate) fn is_torn(raw: &RawFrame, expected: bool) -> bool {
    !(symbol_fits(raw) && (kind_fits(raw[SYMBOL]) || expected))
}

/// Returns true if a connection at `position` is likely to deliver `sequence` next.
pub(crate) fn is_near(sequence: Seq, position: Seq) -> bool {
    sequence.abs_diff(position) <= NEAR
}

/// Returns true if no message begins with these bytes, which are fewer than a message has.
pub(crate) fn is_torn_beginning(bytes: &[u8]) -> bool {
    debug_assert!(bytes.len() < FRAME_LEN, "a whole message is looked at as one");
    let symbol = &bytes[..bytes.len().min(SYMBOL)];
    let kind = bytes.get(SYMBOL);
    !symbol.is_empty() && !symbol_begins(symbol) || kind.is_some_and(|&kind| !kind_fits(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::packet::{Packet, Side, Symbol};
    use crate::wire::{Frame, NotAvailable, Reason, encode};

    fn packet(symbol: [u8; 4], sequence: Seq) -> RawFrame {
        let (quantity, price) = (240, 13_370);
        let side = Side::Buy;
        encode(&Frame::Packet(Packet { symbol: Symbol(symbol), side, quantity, price, sequence }))
    }

    #[test]
    fn symbols_have_no_control_characters_but_padding() {
        for good in [*b"AAPL", *b"A   ", *b"A\0\0\0", *b"    ", *b"\xe9BCD", [0xff; 4]] {
            assert!(symbol_fits(&packet(good, 1)), "{good:?}");
        }
        for bad in [*b"\0\0\0A", *b"A\0\0B", *b"AB\x1fD", *b"AB\x7f\x80", [0; 4], *b"\nABC"] {
            assert_eq!(symbol_fits(&packet(bad, 1)), bad[2] == 0x7f && bad[3] & 0x60 != 0);
        }
    }

    /// Removes every possible part of a packet, before packets and before other messages.
    #[test]
    fn what_is_shifted_is_torn() {
        let refusal = NotAvailable { first: 300, count: 40, reason: Reason::TooSlow };
        let messages = [
            packet(*b"MSFT", 300),
            packet(*b"SYMB", 301),
            encode(&Frame::Heartbeat(300)),
            encode(&Frame::End(300)),
            encode(&Frame::NotAvailable(refusal)),
        ];
        for first in messages {
            for second in messages {
                let both = [first, second].concat();
                for at in 1..FRAME_LEN {
                    let shifted: RawFrame = both[at..at + FRAME_LEN].try_into().unwrap();
                    let sequence = crate::wire::packet_seq(&shifted);
                    let near = |seq| is_near(seq, 299);
                    let believed = sequence.is_some_and(near) && symbol_fits(&shifted);
                    assert!(!believed, "{at} bytes into {first:?} and {second:?}");
                    // Every shift shows in the first packet behind it.
                    if packets(&[first, second]) && sequence.is_none() {
                        let near = near(crate::wire::sequence_of(&shifted));
                        assert!(is_torn(&shifted, near), "{at} bytes into {first:?}");
                    }
                }
            }
        }
    }

    fn packets(frames: &[RawFrame]) -> bool {
        frames.iter().all(|frame| crate::wire::packet_seq(frame).is_some())
    }

    #[test]
    fn a_message_with_one_damaged_field_is_not_torn() {
        let mut side = packet(*b"AAPL", 7);
        side[4] = 0;
        assert!(is_near(7, 7 + NEAR) && is_near(7 + NEAR, 7) && !is_near(7, 8 + NEAR));
        assert!(!is_torn(&side, true) && is_torn(&side, false));
        let mut sequence = packet(*b"AAPL", 7);
        sequence[13..].fill(0xff);
        assert!(!is_torn(&sequence, false));
    }

    #[test]
    fn beginnings_are_looked_at_as_far_as_they_go() {
        let whole = packet(*b"AAPL", 7);
        let beat = encode(&Frame::Heartbeat(7));
        for len in 0..FRAME_LEN {
            assert!(!is_torn_beginning(&whole[..len]) && !is_torn_beginning(&beat[..len]));
        }
        assert!(is_torn_beginning(&whole[9..]) && is_torn_beginning(&whole[1..]));
        assert!(is_torn_beginning(&beat[1..]) && is_torn_beginning(&beat[9..]));
    }
}
