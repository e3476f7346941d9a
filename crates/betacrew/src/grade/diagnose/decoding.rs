//! Causes in the decoding of fields.

use super::kept::is_kept;
use crate::grade::judge::compare::WrongPacket;
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::observe::fields::OutputField;
use crate::grade::observe::rows::OutputRow;
use feed::base::seq::{Seq, to_index};
use feed::wire::packet::Packet;
use feed::wire::{FRAME_LEN, Frame, RawFrame, encode};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the wrong fields if `mistake` turns each right value into the wrong one.
fn all_wrong_are(
    evidence: &Evidence,
    mistake: impl Fn(&Packet, OutputField) -> Option<String>,
) -> Option<Vec<&WrongPacket>> {
    let wrong: Vec<&WrongPacket> = evidence.differences.wrong.iter().collect();
    let explained = wrong.iter().all(|wrong| {
        let packet = evidence.tape.get(to_index(wrong.seq - 1));
        wrong.actual.is_some()
            && packet.and_then(|packet| mistake(packet, wrong.field)) == wrong.actual
    });
    (!wrong.is_empty() && explained).then_some(wrong)
}

/// Returns the value of a numeric field.
fn number(packet: &Packet, field: OutputField) -> Option<i32> {
    match field {
        OutputField::Quantity => Some(packet.quantity),
        OutputField::Price => Some(packet.price),
        OutputField::Sequence => i32::try_from(packet.sequence).ok(),
        OutputField::Symbol | OutputField::Side => None,
    }
}

/// Detects that the client read numbers as little-endian.
pub(super) fn little_endian(evidence: &Evidence) -> Option<String> {
    let swapped = |packet: &Packet, field| {
        let number = number(packet, field)?.swap_bytes();
        Some(number.to_string())
    };
    if let Some(wrong) = all_wrong_are(evidence, |packet, field| {
        let plain = swapped(packet, field)?;
        let unsigned = number(packet, field)?.swap_bytes().cast_unsigned().to_string();
        let actual = evidence
            .differences
            .wrong
            .iter()
            .find(|wrong| wrong.seq == packet.sequence && wrong.field == field);
        let actual = actual.and_then(|wrong| wrong.actual.clone());
        actual.filter(|actual| *actual == plain || *actual == unsigned)
    }) {
        let first = wrong.first()?;
        return Some(format!(
            "{} of packet {} is {} with its bytes reversed: numbers are big-endian",
            first.field.name(),
            first.seq,
            first.expected
        ));
    }
    // If the sequence is reversed, no row matches a packet of the tape.
    let made_up = &evidence.differences.made_up;
    let turned = |seq: &String| {
        let seq: u32 = seq.parse().ok()?;
        Some((1..=evidence.last()).contains(&Seq::from(seq.swap_bytes())))
    };
    let all = !made_up.is_empty() && made_up.iter().all(|seq| turned(seq) == Some(true));
    all.then(|| {
        format!(
            "sequence {} is {} with its bytes reversed: numbers are big-endian",
            made_up[0],
            made_up[0].parse().map_or(0, u32::swap_bytes)
        )
    })
}

/// Detects that the client read negative numbers as unsigned ones.
pub(super) fn unsigned(evidence: &Evidence) -> Option<String> {
    let wrong = all_wrong_are(evidence, |packet, field| {
        let number = number(packet, field).filter(|number| *number < 0)?;
        Some(number.cast_unsigned().to_string())
    })?;
    let first = wrong.first()?;
    Some(format!(
        "{} of packet {} is {} read as an unsigned number: numbers are signed",
        first.field.name(),
        first.seq,
        first.expected
    ))
}

/// Detects that the client wrote the value of one field under the name of another.
pub(super) fn swapped(evidence: &Evidence) -> Option<String> {
    let fields: BTreeSet<OutputField> =
        evidence.differences.wrong.iter().map(|wrong| wrong.field).collect();
    let taken = |field: OutputField| {
        let wrong: Vec<&WrongPacket> =
            evidence.differences.wrong.iter().filter(|wrong| wrong.field == field).collect();
        OutputField::ALL.into_iter().filter(|other| *other != field).find(|other| {
            wrong.len() > 1
                && wrong.iter().all(|wrong| {
                    let packet = evidence.tape.get(to_index(wrong.seq - 1));
                    packet.map(|packet| other.expected(packet)) == wrong.actual
                })
        })
    };
    let pairs: BTreeMap<OutputField, OutputField> =
        fields.iter().filter_map(|field| Some((*field, taken(*field)?))).collect();
    let (field, other) = pairs.first_key_value()?;
    (pairs.len() == fields.len())
        .then(|| format!("{} has the value of {}", field.name(), other.name()))
}

/// Detects that the client's output lacks a field in every packet.
pub(super) fn absent(evidence: &Evidence) -> Option<String> {
    let lacking = |field: OutputField| {
        let lacks = |wrong: &&WrongPacket| wrong.field == field && wrong.actual.is_none();
        evidence.differences.wrong.iter().filter(lacks).count()
    };
    let fields: Vec<&str> = OutputField::ALL
        .into_iter()
        .filter(|field| {
            evidence.differences.rows > 0 && lacking(*field) == evidence.differences.rows
        })
        .map(OutputField::name)
        .collect();
    (!fields.is_empty()).then(|| format!("no packet in the output has a {}", fields.join(", a ")))
}

/// Detects that the client's sequences are all one too low or too high, because it counts from
/// another number than the exchange.
pub(super) fn sequence_shifted(evidence: &Evidence) -> Option<String> {
    let ClientOutput::Found { rows, .. } = &evidence.output else { return None };
    let others =
        [OutputField::Symbol, OutputField::Side, OutputField::Quantity, OutputField::Price];
    let fits = |row: &OutputRow, by: i64| {
        let seq = row.sequence().and_then(|seq| seq.checked_add(by));
        let place = seq.and_then(|seq| usize::try_from(seq).ok()?.checked_sub(1));
        let packet = place.and_then(|place| evidence.tape.get(place));
        packet.is_some_and(|packet| {
            others.iter().all(|field| row.get(*field) == Some(field.expected(packet).as_str()))
        })
    };
    let shift = [1, -1].into_iter().find(|by| rows.rows.iter().all(|row| fits(row, *by)));
    let by = shift.filter(|_| rows.rows.len() >= ROWS_MIN)?;
    let first = rows.rows.first()?.sequence()?;
    Some(format!(
        "packet {} is written with the sequence {first}, and all others are shifted as well: the \
         sequence is the packet's own field, and sequences begin at 1",
        first.saturating_add(by)
    ))
}

/// Minimum number of rows from which a mistake in all of them is no accident.
const ROWS_MIN: usize = 2;

/// Decoding of some bytes of a frame.
struct Decoding {
    /// Name of the decoding, with the bytes that it reads.
    name: String,
    decode: Box<dyn Fn(&RawFrame) -> String>,
}

/// Returns all usual decodings of one field: texts and numbers of every length, at every place.
fn decodings(field: OutputField) -> Vec<Decoding> {
    let is_text = matches!(field, OutputField::Symbol | OutputField::Side);
    let mut all = Vec::new();
    for from in 0..FRAME_LEN {
        if is_text {
            all.extend((from + 1..=FRAME_LEN.min(from + TEXT_MAX)).map(|to| Decoding {
                name: format!("from bytes {from} to {}", to - 1),
                decode: Box::new(move |frame| {
                    let text: String = frame[from..to].iter().copied().map(char::from).collect();
                    crate::grade::observe::fields::text_value(field, &text)
                }),
            }));
            continue;
        }
        for size in [1usize, 2, 4].into_iter().filter(|size| from + size <= FRAME_LEN) {
            for is_little in [false, true].into_iter().take(if size == 1 { 1 } else { 2 }) {
                let order = if is_little { ", as little-endian" } else { "" };
                let name = format!("from {size} bytes at offset {from}{order}");
                let decode = move |frame: &RawFrame| {
                    let bytes = &frame[from..from + size];
                    let push = |number: i64, byte: &u8| number << 8 | i64::from(*byte);
                    let number = match is_little {
                        true => bytes.iter().rev().fold(0, push),
                        false => bytes.iter().fold(0, push),
                    };
                    // Fields are signed.
                    let limit = 1i64 << (8 * size - 1);
                    let number = if number >= limit { number - 2 * limit } else { number };
                    number.to_string()
                };
                all.push(Decoding { name, decode: Box::new(decode) });
            }
        }
    }
    all
}

/// Maximum number of bytes that a client takes for a text.
const TEXT_MAX: usize = 8;

/// Returns the offset of a field in a packet, and its number of bytes.
const fn place(field: OutputField) -> (usize, usize) {
    match field {
        OutputField::Symbol => (0, 4),
        OutputField::Side => (4, 1),
        OutputField::Quantity => (5, 4),
        OutputField::Price => (9, 4),
        OutputField::Sequence => (13, 4),
    }
}

/// Returns the wrong values of the output by field. A field counts if at least [`ROWS_MIN`] packets
/// have a wrong value in it.
fn wrong_by_field(evidence: &Evidence) -> BTreeMap<OutputField, Vec<&WrongPacket>> {
    let mut by_field: BTreeMap<OutputField, Vec<&WrongPacket>> = BTreeMap::new();
    for wrong in &evidence.differences.wrong {
        by_field.entry(wrong.field).or_default().push(wrong);
    }
    by_field.retain(|_, wrong| wrong.len() >= ROWS_MIN);
    by_field
}

/// Detects that the client reads a field from the wrong bytes of a packet.
pub(super) fn wrong_bytes(evidence: &Evidence) -> Option<String> {
    wrong_by_field(evidence).into_iter().find_map(|(field, wrong)| {
        let frames: Vec<RawFrame> =
            evidence.tape.iter().map(|packet| encode(&Frame::Packet(*packet))).collect();
        let right: Vec<&Packet> = evidence
            .tape
            .iter()
            .filter(|packet| evidence.differences.order.contains(&packet.sequence))
            .filter(|packet| wrong.iter().all(|wrong| wrong.seq != packet.sequence))
            .collect();
        let frame = |seq: Seq| frames.get(to_index(seq - 1));
        let fits = |decoding: &Decoding| {
            let is = |seq, value: &str| frame(seq).map(&decoding.decode).as_deref() == Some(value);
            wrong.iter().all(|wrong| wrong.actual.as_deref().is_some_and(|v| is(wrong.seq, v)))
                && right.iter().all(|packet| is(packet.sequence, &field.expected(packet)))
        };
        let found = decodings(field).into_iter().find(fits)?;
        let (first, (offset, size)) = (wrong.first()?, place(field));
        let bytes = match size {
            1 => format!("is byte {offset}"),
            _ => format!("has the bytes {offset} to {}", offset + size - 1),
        };
        Some(format!(
            "{} of packet {} is {} instead of {}: it was read {}, and the field {bytes} of a \
             packet",
            field.name(),
            first.seq,
            first.actual.as_deref().unwrap_or_default(),
            first.expected,
            found.name,
        ))
    })
}

/// Detects that the client decodes a field wrongly, in a way that has no name.
pub(super) fn garbled(evidence: &Evidence) -> Option<String> {
    let by_field = wrong_by_field(evidence);
    let (field, wrong) = by_field.iter().max_by_key(|(_, wrong)| wrong.len())?;
    let first = wrong.iter().find(|wrong| wrong.actual.is_some())?;
    let actual: String = first.actual.iter().flat_map(|text| text.chars()).take(24).collect();
    Some(format!(
        "{} is wrong in {} of {} packets, such as {actual} instead of {} in packet {}: the client \
         decodes this field in another way than docs/protocol.md, 1.2 says",
        field.name(),
        wrong.len(),
        evidence.differences.rows,
        first.expected,
        first.seq
    ))
}

/// Returns whether a run has the right value in a field in which another run has the same packet
/// wrong. A client decodes equal bytes in equal ways.
pub(super) fn has_right_field(claimed: &Evidence, other: &Evidence) -> bool {
    claimed.differences.wrong.iter().any(|wrong| {
        let packet = claimed.tape.get(to_index(wrong.seq - 1));
        let same = other.tape.get(to_index(wrong.seq - 1));
        let is_wrong = |w: &WrongPacket| w.seq == wrong.seq && w.field == wrong.field;
        packet == same && is_kept(other, wrong.seq) && !other.differences.wrong.iter().any(is_wrong)
    })
}

/// Returns whether wrong fields are all that is wrong with an output.
pub(super) fn is_only_wrong(evidence: &Evidence) -> bool {
    let differences = &evidence.differences;
    evidence.has_output()
        && !differences.wrong.is_empty()
        && differences.missing.is_empty()
        && differences.made_up.is_empty()
        && differences.doubled.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{classic_run, run_on};
    use crate::grade::observe::fields::OutputField;
    use feed::tape::in_memory::Tape;
    use feed::wire::packet::Packet;

    type FieldErrors = Vec<(OutputField, Option<String>)>;

    fn put(fields: &mut FieldErrors, field: OutputField, value: &impl ToString) {
        fields[field as usize].1 = Some(value.to_string());
    }

    #[test]
    fn numbers_of_the_wrong_kind_are_recognised() {
        let little = |packet: &Packet, fields: &mut FieldErrors| {
            put(fields, OutputField::Quantity, &packet.quantity.swap_bytes());
            put(fields, OutputField::Price, &packet.price.swap_bytes());
        };
        assert_eq!(classic_run().stream(1..=14).write_as(1..=14, little).id(), "little-endian");
        let all = |packet: &Packet, fields: &mut FieldErrors| {
            put(
                fields,
                OutputField::Sequence,
                &u32::try_from(packet.sequence).unwrap().swap_bytes(),
            );
        };
        let (id, text) = classic_run().stream(1..=14).write_as(1..=14, all).cause();
        assert_eq!(id, "little-endian");
        assert!(text.contains("sequence 16777216 is 1 with"), "{text}");
        let unsigned = |packet: &Packet, fields: &mut FieldErrors| {
            put(fields, OutputField::Price, &packet.price.cast_unsigned());
        };
        let extremes = run_on(Tape::extremes()).stream(1..=14).write_as(1..=14, unsigned);
        assert_eq!(extremes.id(), "unsigned");
        let off = |packet: &Packet, fields: &mut FieldErrors| {
            put(fields, OutputField::Price, &(packet.price + 1));
        };
        assert_eq!(classic_run().stream(1..=14).write_as(1..=14, off).id(), "garbled-field");
    }

    #[test]
    fn swapped_and_absent_fields_are_recognised() {
        let swapped = |packet: &Packet, fields: &mut FieldErrors| {
            put(fields, OutputField::Price, &packet.quantity);
            put(fields, OutputField::Quantity, &packet.price);
        };
        let (id, text) = classic_run().stream(1..=14).write_as(1..=14, swapped).cause();
        assert_eq!((id, text.as_str()), ("swapped-fields", "quantity has the value of price"));
        let absent =
            |_: &Packet, fields: &mut FieldErrors| fields[OutputField::Price as usize].1 = None;
        assert_eq!(classic_run().stream(1..=14).write_as(1..=14, absent).id(), "absent-field");
    }

    #[test]
    fn fields_read_from_the_wrong_bytes_are_recognised() {
        let short = |packet: &Packet, fields: &mut FieldErrors| {
            put(fields, OutputField::Symbol, &&packet.symbol.to_string()[..3]);
        };
        let (id, text) = classic_run().stream(1..=14).write_as(1..=14, short).cause();
        assert_eq!(id, "wrong-bytes");
        assert!(text.contains("is AAP instead of AAPL: it was read from bytes 0 to 2"), "{text}");
        let low = |packet: &Packet, fields: &mut FieldErrors| {
            put(fields, OutputField::Price, &(packet.price % 256));
        };
        let (id, text) = classic_run().stream(1..=14).write_as(1..=8, low).cause();
        assert_ne!(id, "wrong-bytes", "the bytes of these prices are the same: {text}");
        let garbled = |packet: &Packet, fields: &mut FieldErrors| {
            put(fields, OutputField::Symbol, &format!("x{}", packet.symbol));
        };
        let (id, text) = classic_run().stream(1..=14).write_as(1..=14, garbled).cause();
        assert_eq!(id, "garbled-field");
        assert!(text.contains("such as xAAPL instead of AAPL in packet 1"), "{text}");
    }

    #[test]
    fn sequences_that_begin_at_another_number_are_recognised() {
        let by = |by: i64| {
            move |packet: &Packet, fields: &mut FieldErrors| {
                let seq = i64::try_from(packet.sequence).unwrap() + by;
                put(fields, OutputField::Sequence, &seq);
            }
        };
        let (id, text) = classic_run().stream(1..=14).write_as(1..=14, by(-1)).cause();
        assert_eq!(id, "sequence-shifted");
        assert!(text.starts_with("packet 1 is written with the sequence 0"), "{text}");
        assert_eq!(classic_run().stream(1..=14).write_as(1..=14, by(1)).id(), "sequence-shifted");
        assert_ne!(classic_run().stream(1..=14).write_as(1..=14, by(2)).id(), "sequence-shifted");
    }
}
