//! Helpers for the tests of formats.

#![allow(clippy::cast_possible_truncation, clippy::panic, reason = "tests")]

use super::{
    Arrival, DamagePolicy, Encoder, EncoderTarget, Format, Payload, ReadError, RunBuffer, read,
};
use crate::error::Failure;
use feed::base::seq::Seq;
use feed::ledger::{Origin, Source};
use feed::wire::packet::{Packet, Side, Symbol};
use feed::wire::{Frame, MAX_PACKET_SEQ, Messages, RawFrame, encode};
use std::path::Path;

/// Packets and their arrivals, one by one.
pub(super) type Rows = Vec<(RawFrame, Arrival)>;

/// Every byte in a symbol, each special character in each place, and the bounds of all numbers.
pub(super) fn odd() -> Rows {
    let mut symbols: Vec<[u8; 4]> = (0..=255).map(|byte| [byte, b'"', byte, b' ']).collect();
    for byte in *b"\",;\n\r\t\\ '\0\xe9" {
        symbols.extend([[byte; 4], [byte, b' ', b' ', b' '], [b' ', byte, b' ', b'A']]);
    }
    symbols.extend([*b"    ", *b"NULL", *b"NA  ", *b"1   ", *b"-1.5", *b"\xef\xbb\xbfA"]);
    let arrivals = [
        Arrival::UNKNOWN,
        Arrival { at: 1, origin: Some(Origin { line: 0, source: Source::Stream { pass: 1 } }) },
        Arrival { at: i64::MAX as u64, origin: Some(Origin { line: 1, source: Source::Resend }) },
        Arrival { at: 0, origin: Some(Origin { line: u16::MAX, source: Source::Resend }) },
        Arrival { at: 1_700_000_000_123_456_789, origin: None },
    ];
    let last = symbols.len();
    let numbers = [0, 1, -1, i32::MIN, i32::MAX];
    symbols
        .into_iter()
        .enumerate()
        .map(|(at, symbol)| {
            let packet = Packet {
                symbol: Symbol(symbol),
                side: if at % 2 == 0 { Side::Buy } else { Side::Sell },
                quantity: numbers[at % 5],
                price: numbers[at % 3 + 2],
                sequence: if at + 1 == last { MAX_PACKET_SEQ } else { at as u64 + 1 },
            };
            (encode(&Frame::Packet(packet)), arrivals[at / 7 % 5])
        })
        .collect()
}

/// Writes a file of packets of which nothing else is known.
pub(crate) fn write_packets(path: &Path, format: Format, frames: &[RawFrame]) {
    write_file(path, format, &frames.iter().map(|frame| (*frame, Arrival::UNKNOWN)).collect());
}

/// Creates a file and an encoder that writes into it.
fn encoder(path: &Path, format: Format, payload: Option<Payload>) -> Box<dyn Encoder> {
    let mut options = std::fs::File::options();
    let file = options.read(true).write(true).create(true).truncate(true).open(path).unwrap();
    format.encoder(payload, EncoderTarget::File(file, path.to_owned()))
}

/// Writes a file, in slices of packets that came together.
pub(super) fn write_file(path: &Path, format: Format, rows: &Rows) {
    let mut encoder = encoder(path, format, None);
    for slice in rows.chunk_by(|one, other| one.1 == other.1) {
        let frames: Vec<RawFrame> = slice.iter().map(|row| row.0).collect();
        encoder.put(Messages::Packets(&frames), slice[0].1).unwrap();
    }
    encoder.finish().unwrap();
}

pub(super) fn read_file(path: &Path, format: Format) -> Result<Rows, Failure> {
    let mut rows = Vec::new();
    read(path, format, DamagePolicy::Refuse, &mut |messages, arrival| {
        rows.extend(messages.packets().iter().map(|frame| (*frame, arrival)));
        Ok(())
    })?;
    Ok(rows)
}

/// Writes a file of messages that are numbered from 1.
pub(super) fn write_messages(
    path: &Path,
    format: Format,
    payload: Option<Payload>,
    messages: &[Vec<u8>],
) {
    let mut encoder = encoder(path, format, payload);
    let mut buffer = RunBuffer::default();
    for (seq, message) in (1..).zip(messages) {
        buffer.push(seq, message).unwrap();
        if buffer.count() == 100 {
            encoder.put(buffer.messages(), Arrival::UNKNOWN).unwrap();
            buffer.clear();
        }
    }
    encoder.put(buffer.messages(), Arrival::UNKNOWN).unwrap();
    encoder.finish().unwrap();
}

/// Writes a file of messages, whose payload the first one decides.
pub(crate) fn write_payload(path: &Path, format: Format, messages: &[Vec<u8>]) {
    write_messages(path, format, None, messages);
}

/// Reads all messages of a file.
pub(super) fn read_messages(path: &Path, format: Format) -> Result<Vec<(Seq, Vec<u8>)>, Failure> {
    let mut all = Vec::new();
    read(path, format, DamagePolicy::Refuse, &mut |messages, _| {
        all.extend(messages.iter().map(|(seq, message)| (seq, message.to_vec())));
        Ok(())
    })?;
    Ok(all)
}

/// Returns the error of reading a text.
pub(super) fn complaint(text: &str, format: Format) -> String {
    let input = Box::new(std::io::Cursor::new(text.to_owned()));
    match super::read_text(input, format, &mut |_, _| Ok(())) {
        Err(ReadError::Content(reason)) => reason,
        other => panic!("{text}: {other:?}"),
    }
}

/// Two packets as text, the second with all that can be known of it.
pub(super) fn written(format: Format) -> String {
    let mut out = Vec::new();
    let mut encoder = format.encoder(None, EncoderTarget::Stream(Box::new(&mut out)));
    let frames = feed::tape::in_memory::Tape::sample(2);
    let origin = Some(Origin { line: 1, source: Source::Resend });
    encoder.put(Messages::Packets(&frames.frames()[..1]), Arrival::UNKNOWN).unwrap();
    let arrival = Arrival { at: 1_700_000_000_123_456_789, origin };
    encoder.put(Messages::Packets(&frames.frames()[1..]), arrival).unwrap();
    encoder.finish().unwrap();
    String::from_utf8(out).unwrap()
}
