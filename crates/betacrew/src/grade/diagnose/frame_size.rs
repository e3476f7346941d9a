//! Cause in the length of a packet: the client cuts the bytes of a stream into pieces of another
//! length than a packet has.

use super::crashes::ends_abruptly;
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::observe::fields::{OutputField, text_value};
use crate::grade::observe::rows::OutputRow;
use feed::wire::FRAME_LEN;

/// Lengths in bytes that a client may take for that of a packet.
const LENGTHS: std::ops::RangeInclusive<usize> = 13..=40;

/// Minimum number of rows behind the first that show the length.
const ROWS_MIN: usize = 2;

/// Detects that the client takes another number of bytes for a packet.
pub(super) fn frame_size(evidence: &Evidence) -> Option<String> {
    let ClientOutput::Found { rows, .. } = &evidence.output else { return None };
    let stream = evidence.wire.conns.iter().find(|conn| conn.stream_from == Some(0))?;
    let bytes = stream.frames.as_flattened();
    let fits = |length: &usize| {
        let pieces = || (0..bytes.len()).step_by(*length).map(|from| &bytes[from..]);
        let mut exact = 0;
        let all = rows.rows.iter().skip(1).all(|row| {
            let found = pieces().filter_map(|piece| decoded(row, piece)).max();
            exact += usize::from(found == Some(Decoded::Exactly));
            found.is_some()
        });
        all && exact >= ROWS_MIN
    };
    let length = LENGTHS.filter(|length| *length != FRAME_LEN).find(fits)?;
    Some(format!(
        "the output is what every {length} bytes of the stream mean: a packet has {FRAME_LEN} \
         bytes, and the client takes {length}"
    ))
}

/// Agreement of a row with bytes of the stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Decoded {
    /// Some numbers are 0 where the bytes mean a negative one, which some clients cut off.
    CutOff,
    /// At least two numbers are those of the bytes, and not 0.
    Exactly,
}

/// Returns whether the numbers of a row are those of a packet that begins with these bytes. A text
/// may have characters that the output cannot show, and a client may write no sequence.
fn decoded(row: &OutputRow, bytes: &[u8]) -> Option<Decoded> {
    let fields = [(OutputField::Quantity, 5), (OutputField::Price, 9), (OutputField::Sequence, 13)];
    let mut exact = 0;
    for (field, from) in fields {
        let Some(text) = row.get(field) else { continue };
        let number = i32::from_be_bytes(bytes.get(from..from + 4)?.try_into().ok()?);
        let text = text_value(field, text);
        let is_exact = text == number.to_string() || text == number.cast_unsigned().to_string();
        let is_cut_off = text == "0" && number < 0;
        if !is_exact && !is_cut_off {
            return None;
        }
        exact += usize::from(is_exact && number != 0);
    }
    Some(if exact >= NUMBERS_MIN { Decoded::Exactly } else { Decoded::CutOff })
}

/// Minimum number of equal numbers that are no accident.
const NUMBERS_MIN: usize = 2;

/// Returns whether the output has a second packet as it was sent, so that the client takes the
/// right number of bytes for a packet.
pub(super) fn keeps_a_second(evidence: &Evidence) -> bool {
    evidence.has_output()
        && evidence.differences.order.len() > 1
        && evidence.differences.made_up.is_empty()
        && evidence.differences.wrong.is_empty()
}

/// Returns whether a stream has a packet, and the output is not what it brought, or the client
/// crashed or computed without an end, as it does on a misread number.
pub(super) fn may_misframe(evidence: &Evidence) -> bool {
    let is_misread = match evidence.streamed().len() {
        0 => false,
        // A client that takes too many bytes for a packet has none.
        1 => evidence.streamed().iter().all(|seq| evidence.output_lacks(*seq)),
        _ => !keeps_a_second(evidence),
    };
    is_misread && (evidence.has_output() || ends_abruptly(evidence))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{classic_run, named_in};
    use crate::grade::diagnose::testing::RunBuilder;
    use crate::grade::observe::fields::OutputField;
    use crate::grade::run::process::ProcessEnd;
    use feed::base::seq::Seq;
    use feed::tape::in_memory::Tape;
    use feed::wire::Call;

    /// Returns a run whose output is made of every 22 bytes of the stream.
    fn misframed(seqs: impl IntoIterator<Item = Seq> + Clone) -> RunBuilder {
        let tape = Tape::classic();
        let bytes: Vec<u8> = seqs
            .clone()
            .into_iter()
            .flat_map(|seq| tape.frames()[usize::try_from(seq).unwrap() - 1])
            .collect();
        let rows: Vec<[i32; 3]> = bytes
            .chunks_exact(22)
            .map(|piece| {
                [5, 9, 13].map(|from| i32::from_be_bytes(piece[from..from + 4].try_into().unwrap()))
            })
            .collect();
        let run = classic_run().stream(seqs);
        let count = Seq::try_from(rows.len()).unwrap();
        run.write_as(1..=count, move |packet, fields| {
            let row = rows[usize::try_from(packet.sequence).unwrap() - 1];
            for (place, number) in row.into_iter().enumerate() {
                fields[place + 2].1 = Some(number.to_string());
            }
        })
    }

    #[test]
    fn another_length_than_that_of_a_packet_is_recognised() {
        let (id, text) = misframed(1..=14).cause();
        assert_eq!(id, "frame-size");
        assert!(text.contains("what every 22 bytes of the stream mean"), "{text}");
        // A client that takes too many bytes has nothing of a stream with one packet.
        let one = classic_run().stream([14]).write([]);
        let silent = classic_run().connect().call(Call::Stream).send(1..=6).idle().idle();
        let silent = silent.ended(ProcessEnd::Killed);
        let named = named_in(vec![(misframed(1..=14), true), (one, true), (silent, true)]);
        assert_eq!(named, ["frame-size", "frame-size", "waits-for-stream"]);
        let right = classic_run().stream(1..=14).write(1..=14);
        let runs = vec![(misframed(1..=14), true), (right, false)];
        assert_ne!(named_in(runs)[0], "frame-size", "another run has its packets");
    }

    #[test]
    fn a_length_shows_without_sequences_and_with_negative_numbers_cut_off() {
        let tape = Tape::classic();
        let bytes = tape.frames().as_flattened();
        let number = |from: usize| i32::from_be_bytes(bytes[from..from + 4].try_into().unwrap());
        let rows: Vec<[i32; 2]> =
            (0..5).map(|row| [5, 9].map(|field| number(row * 14 + field).max(0))).collect();
        let write = |change: i32| {
            let rows = rows.clone();
            classic_run().stream(1..=14).write_as(1..=5, move |packet, fields| {
                let row = rows[usize::try_from(packet.sequence).unwrap() - 1];
                fields[OutputField::Quantity as usize].1 = Some((row[0] + change).to_string());
                fields[OutputField::Price as usize].1 = Some(row[1].to_string());
                fields[OutputField::Sequence as usize].1 = None;
            })
        };
        let (id, text) = write(0).ended(ProcessEnd::Exited(1)).cause();
        assert_eq!(id, "frame-size");
        assert!(text.contains("what every 14 bytes of the stream mean"), "{text}");
        assert_ne!(write(1).id(), "frame-size");
    }
}
