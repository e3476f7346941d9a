//! Causes in the decoding of fields and in the writing of the output.

use crate::grade::judge::compare::WrongPacket;
use crate::grade::observe::evidence::{ClientOutput, Evidence, packets};
use crate::grade::observe::fields::OutputField;
use crate::grade::observe::wire::{PacketEvent, WireEventKind};
use crate::text::formatting::took;
use feed::base::seq::{Seq, to_index};
use feed::wire::decode;
use feed::wire::packet::Packet;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Tolerance between a file's time and the time of an event, because file systems round times to a
/// few milliseconds.
const FILE_TIME_TOLERANCE: Duration = Duration::from_millis(15);

/// Minimum number of packets that is taken for a fixed capacity. No client has room for fewer.
const CAPACITY_MIN: Seq = 50;

/// Detects that the client wrote a JSON file that is not valid.
pub(crate) fn not_json(evidence: &Evidence) -> Option<String> {
    match &evidence.output {
        ClientOutput::Unclear { name, why } if why.contains("incomplete JSON") => Some(format!(
            "{name} is not valid JSON ({}); write it with a JSON library",
            why.rsplit_once("JSON: ").map_or(why.as_str(), |(_, why)| why)
        )),
        _ => None,
    }
}

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
pub(crate) fn little_endian(evidence: &Evidence) -> Option<String> {
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
pub(crate) fn unsigned(evidence: &Evidence) -> Option<String> {
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
pub(crate) fn swapped(evidence: &Evidence) -> Option<String> {
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
pub(crate) fn absent(evidence: &Evidence) -> Option<String> {
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

/// Returns the resent packets that the output misses, with the time at which each was first sent.
fn resent_but_missing(evidence: &Evidence) -> BTreeMap<Seq, Duration> {
    // Packets sent after the client closed the connection are missing for another reason.
    let mut closed: BTreeMap<usize, Duration> = BTreeMap::new();
    for event in evidence.events_before_kill() {
        if matches!(event.what, WireEventKind::ClientEnded | WireEventKind::Reset) {
            closed.entry(event.conn).or_insert(event.at);
        }
    }
    let mut late: BTreeMap<Seq, Duration> = BTreeMap::new();
    for (at, conn, packet_event) in evidence.wire.packet_events() {
        if let PacketEvent::Sent { seq, streamed: false } = packet_event
            && evidence.output_lacks(seq)
            && closed.get(&conn).is_none_or(|closed| at <= *closed)
        {
            late.entry(seq).or_insert(at);
        }
    }
    late
}

/// Detects that the client wrote its output before the answers arrived.
pub(crate) fn written_early(evidence: &Evidence) -> Option<String> {
    let ClientOutput::Found { name, written: Some(written), .. } = &evidence.output else {
        return None;
    };
    let late = resent_but_missing(evidence);
    let first = late.values().min()?;
    late.values().all(|at| *at > *written + FILE_TIME_TOLERANCE).then(|| {
        format!(
            "{name} was written at {}, before {} arrived at {}: the client does not wait \
             for the answers to its requests",
            took(*written),
            packets(late.keys().copied()),
            took(*first)
        )
    })
}

/// Detects that the client seems to have written its output before the answers arrived, within the
/// accuracy of file times.
pub(crate) fn seems_early(evidence: &Evidence) -> Option<String> {
    let ClientOutput::Found { name, written: Some(written), .. } = &evidence.output else {
        return None;
    };
    let late = resent_but_missing(evidence);
    let all = !late.is_empty() && late.values().all(|at| *at >= *written);
    all.then(|| {
        format!(
            "{name} seems to be written before {} arrived: the client does not wait for the \
             answers to its requests",
            packets(late.keys().copied())
        )
    })
}

/// Detects that the output has the first packets up to a bound, and none after it.
pub(crate) fn no_room(evidence: &Evidence) -> Option<String> {
    let [range] = evidence.differences.missing.ranges() else { return None };
    let streamed = evidence.streamed();
    let kept = range.first() - 1;
    let all = range.last() == evidence.last()
        && (range.first()..=range.last()).all(|s| streamed.contains(&s));
    let full = usize::try_from(kept) == Ok(evidence.differences.rows) && kept >= CAPACITY_MIN;
    (all && full && evidence.wire.streams() == 1)
        .then(|| format!("the client keeps only the first {kept} packets: its buffer is too small"))
}

/// Detects that the client wrote every copy of a packet that was sent more than once.
pub(crate) fn duplicates(evidence: &Evidence) -> Option<String> {
    let mut times: BTreeMap<Seq, u32> = BTreeMap::new();
    for (_, _, packet_event) in evidence.wire.packet_events() {
        if let PacketEvent::Sent { seq, .. } = packet_event {
            *times.entry(seq).or_default() += 1;
        }
    }
    let doubled: Vec<Seq> =
        evidence.differences.doubled.ranges().iter().flat_map(|r| r.first()..=r.last()).collect();
    let came_twice = doubled.iter().all(|seq| times.get(seq).is_some_and(|times| *times > 1));
    (!doubled.is_empty() && came_twice)
        .then(|| format!("{} arrived more than once, and each copy was written", packets(doubled)))
}

/// Detects that the client wrote a frame that is not a valid packet.
pub(crate) fn broken(evidence: &Evidence) -> Option<String> {
    let frames = evidence.wire.conns.iter().flat_map(|conn| &conn.frames);
    let broken: Vec<_> = frames.filter(|frame| decode(frame).is_err()).collect();
    let texts = |frame: &[u8; 17]| {
        let number = |at: usize| {
            i32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]).to_string()
        };
        (char::from(frame[4]).to_string(), number(13))
    };
    let hit = broken.iter().find_map(|frame| {
        let (side, seq) = texts(frame);
        let as_wrong = evidence
            .differences
            .wrong
            .iter()
            .any(|wrong| wrong.field == OutputField::Side && wrong.seq.to_string() == seq);
        let as_odd = evidence.differences.made_up.contains(&seq);
        (as_wrong || as_odd).then_some((side, seq, as_odd))
    });
    hit.map(|(side, seq, as_odd)| match as_odd {
        true => {
            format!("a frame with the sequence {seq}, which is not a packet, was written as one")
        }
        false => format!(
            "a frame with the side {side:?}, which is neither B nor S, was written as packet {seq}"
        ),
    })
}

/// Detects that the output has the order in which the packets arrived.
pub(crate) fn arrival_order(evidence: &Evidence) -> Option<String> {
    let (seq, before) = evidence.differences.out_of_order?;
    let mut arrived: Vec<Seq> = Vec::new();
    for (_, _, packet_event) in evidence.wire.packet_events() {
        if let PacketEvent::Sent { seq, .. } = packet_event
            && !arrived.contains(&seq)
        {
            arrived.push(seq);
        }
    }
    let known: BTreeSet<Seq> = evidence.differences.order.iter().copied().collect();
    arrived.retain(|seq| known.contains(seq));
    (evidence.differences.is_complete() && arrived == evidence.differences.order).then(|| {
        format!(
            "packets are written in the order of arrival ({seq} after {before}); sort them by \
             sequence"
        )
    })
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
    fn invalid_json_is_recognised() {
        let why = "invalid or incomplete JSON: trailing comma at line 16 column 1";
        let (id, text) = classic_run().stream(1..=14).unclear("output.json", why).cause();
        assert_eq!(id, "not-json");
        assert!(text.contains("(trailing comma at line 16 column 1)"), "{text}");
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
        assert_eq!(classic_run().stream(1..=14).write_as(1..=14, off).id(), "none");
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
    fn a_fixed_capacity_is_recognised() {
        let one = |kept| run_on(Tape::sample(300)).stream(1..=300).write(1..=kept);
        let (id, text) = one(100).cause();
        assert_eq!((id, &text[..39]), ("no-room", "the client keeps only the first 100 pac"));
        assert_ne!(one(10).id(), "no-room");
    }

    #[test]
    fn an_output_written_before_the_answers_is_recognised() {
        let rest = || (1..=4).chain(6..=14);
        let early = classic_run().stream(rest()).ask([5]).write(rest()).send([5]).hang_up();
        let (id, text) = early.cause();
        assert_eq!(id, "written-early");
        assert!(text.contains("before packet 5 arrived"), "{text}");
        assert_ne!(classic_run().stream(rest()).fill([5]).write(rest()).id(), "written-early");
    }

    #[test]
    fn duplicates_arrival_order_and_broken_frames_are_recognised() {
        let twice = || [1, 2, 3, 3].into_iter().chain(4..=14);
        assert_eq!(classic_run().stream(twice()).write(twice()).id(), "duplicates-kept");
        assert_eq!(classic_run().stream(1..=14).write(twice()).id(), "none", "it came once");
        let unsorted = || (1..=4).chain(6..=14).chain([5]);
        let late = classic_run().stream((1..=4).chain(6..=14)).fill([5]).write(unsorted());
        assert_eq!(late.id(), "arrival-order");
        let broken = classic_run().connect().call(feed::wire::Call::Stream).send(1..=5);
        let broken = broken.damaged(6, 4, b'a').send(7..=14).finished().closed();
        let kept = broken.write_as(1..=14, |packet, fields| {
            if packet.sequence == 6 {
                put(fields, OutputField::Side, &'a');
            }
        });
        assert_eq!(kept.id(), "broken-kept");
    }
}
