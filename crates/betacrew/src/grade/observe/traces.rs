//! Search for the values of packets in a text of no known form.

use crate::grade::observe::fields::OutputField;
use feed::wire::packet::Packet;
use std::collections::BTreeMap;

/// Number of words around a symbol in which the other values of its packet must be.
const NEAR: usize = 16;
/// Maximum number of packets that are searched.
const PACKETS_MAX: usize = 50;
/// Minimum number of packets that show that a text is an output, unless the tape has fewer.
const FOUND_MIN: usize = 3;

/// Returns whether a text has the symbol, the quantity, the price and the sequence of several
/// packets close together, so that it is an output even if nothing else is known about it.
pub(crate) fn has_packets(text: &str, tape: &[Packet]) -> bool {
    let is_between = |c: char| !c.is_alphanumeric() && c != '-';
    let words: Vec<&str> = text.split(is_between).filter(|word| !word.is_empty()).collect();
    let mut symbols: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, word) in words.iter().enumerate() {
        symbols.entry(word).or_default().push(place);
    }
    let is_there = |packet: &&Packet| {
        let symbol = OutputField::Symbol.expected(packet);
        let numbers = [OutputField::Quantity, OutputField::Price, OutputField::Sequence]
            .map(|field| field.expected(packet));
        symbols.get(symbol.as_str()).into_iter().flatten().any(|place| {
            let end = words.len().min(place + NEAR);
            let near = &words[place.saturating_sub(NEAR)..end];
            numbers.iter().all(|number| near.contains(&number.as_str()))
        })
    };
    let found = tape.iter().take(PACKETS_MAX).filter(is_there).count();
    found > 0 && found >= FOUND_MIN.min(tape.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::in_memory::Tape;
    use feed::wire::{Frame, decode};
    use std::fmt::Write;

    #[test]
    fn packets_are_found_in_any_form() {
        let packet = |frame| match decode(frame) {
            Ok(Frame::Packet(packet)) => Some(packet),
            _ => None,
        };
        let tape: Vec<Packet> = Tape::classic().frames().iter().filter_map(packet).collect();
        let mut text = String::from("Bericht\n");
        for packet in &tape[..5] {
            let Packet { symbol, quantity, price, sequence, .. } = packet;
            let _ = writeln!(text, "Nr. {sequence}: {quantity} mal {symbol} zu <{price}>");
        }
        assert!(has_packets(&text, &tape));
        for text in ["", "received 14 packets", "AAPL MSFT META AMZN", "1 2 3 4 5 50 100"] {
            assert!(!has_packets(text, &tape), "{text}");
        }
        assert!(!has_packets(&text, &[]));
    }
}
