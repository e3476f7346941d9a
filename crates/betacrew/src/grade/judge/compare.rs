//! Comparison of an output with the tape.

use crate::grade::observe::fields::OutputField;
use crate::grade::observe::rows::OutputRows;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::wire::packet::Packet;
use std::fmt::Write;

/// Maximum number of made-up packets that are listed.
const LISTED: usize = 3;
/// Maximum number of ranges of sequences that are listed.
const RANGES: usize = 8;

/// Field of the output that differs from the tape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WrongPacket {
    /// Sequence of the packet.
    pub(crate) seq: Seq,
    /// Field that differs.
    pub(crate) field: OutputField,
    /// Value on the tape.
    pub(crate) expected: String,
    /// Value in the output; `None` if the field is absent.
    pub(crate) actual: Option<String>,
}

/// Differences between an output and the tape.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Differences {
    /// Sequences on the tape that are not in the output.
    pub(crate) missing: SeqSet,
    /// Sequences in the output that are not on the tape, as written.
    pub(crate) made_up: Vec<String>,
    /// Sequences that are in the output more than once.
    pub(crate) doubled: SeqSet,
    /// Fields that differ from the tape.
    pub(crate) wrong: Vec<WrongPacket>,
    /// First sequence that is after a higher one in the output, with that higher one.
    pub(crate) out_of_order: Option<(Seq, Seq)>,
    /// Sequences of the output that are on the tape, in the order of the output, with repeats.
    pub(crate) order: Vec<Seq>,
    /// Number of rows in the output.
    pub(crate) rows: usize,
}

impl Differences {
    /// Compares an output with the tape, whose packets have the sequences 1, 2, 3 and so on.
    pub(crate) fn between(tape: &[Packet], output: &OutputRows) -> Self {
        let mut found = Self { rows: output.rows.len(), ..Self::default() };
        let mut times = vec![0u32; tape.len()];
        let mut highest = 0;
        for row in &output.rows {
            let place = row
                .sequence()
                .and_then(|seq| usize::try_from(seq).ok()?.checked_sub(1))
                .filter(|place| *place < tape.len());
            let Some(place) = place else {
                let seq = row.get(OutputField::Sequence).unwrap_or("none");
                found.made_up.push(seq.chars().take(20).collect());
                continue;
            };
            let packet = &tape[place];
            times[place] += 1;
            if packet.sequence < highest && found.out_of_order.is_none() {
                found.out_of_order = Some((packet.sequence, highest));
            }
            highest = highest.max(packet.sequence);
            found.order.push(packet.sequence);
            for field in OutputField::ALL {
                let (expected, actual) = (field.expected(packet), row.get(field));
                if actual != Some(expected.as_str()) {
                    let (seq, actual) = (packet.sequence, actual.map(str::to_owned));
                    found.wrong.push(WrongPacket { seq, field, expected, actual });
                }
            }
        }
        for (packet, times) in tape.iter().zip(times) {
            match times {
                0 => found.missing.insert(SeqRange::one(packet.sequence)),
                1 => {}
                _ => found.doubled.insert(SeqRange::one(packet.sequence)),
            }
        }
        found
    }

    /// Returns whether the output has exactly the packets of the tape, in any order.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty()
            && self.made_up.is_empty()
            && self.doubled.is_empty()
            && self.wrong.is_empty()
    }

    /// Describes all differences in one line.
    pub(crate) fn summary(&self) -> String {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing {:.*}", RANGES, self.missing));
        }
        if !self.doubled.is_empty() {
            parts.push(format!("more than once {:.*}", RANGES, self.doubled));
        }
        if !self.made_up.is_empty() {
            parts.push(format!("not on the tape: sequence {}", listed(&self.made_up)));
        }
        if !self.wrong.is_empty() {
            parts.push(self.wrong_fields());
        }
        if let Some((seq, before)) = self.out_of_order {
            parts.push(format!("out of order: {seq} after {before}"));
        }
        parts.join("; ")
    }

    fn wrong_fields(&self) -> String {
        let mut text = String::from("wrong");
        for field in OutputField::ALL {
            let wrong: Vec<&WrongPacket> =
                self.wrong.iter().filter(|wrong| wrong.field == field).collect();
            let Some(first) = wrong.first() else { continue };
            let actual = first.actual.as_deref().unwrap_or("absent");
            let actual: String = actual.chars().take(24).collect();
            let _ = write!(
                text,
                "{} {} of packet {} is {actual} instead of {}",
                if text.len() > 5 { "," } else { ":" },
                field.name(),
                first.seq,
                first.expected
            );
            if wrong.len() > 1 {
                let _ = write!(text, " (and {} more)", wrong.len() - 1);
            }
        }
        text
    }
}

fn listed(items: &[String]) -> String {
    let mut text = items.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if items.len() > LISTED {
        let _ = write!(text, " and {} more", items.len() - LISTED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::observe::names::FieldNames;
    use crate::grade::observe::rows::read;
    use feed::wire::packet::{Side, Symbol};

    fn tape() -> Vec<Packet> {
        let packet = |sequence: u64| Packet {
            symbol: Symbol(*b"AB  "),
            side: Side::Buy,
            quantity: 10,
            price: -5,
            sequence,
        };
        (1..=4).map(packet).collect()
    }

    fn differences(rows: &[(i64, &str)]) -> Differences {
        let rows: Vec<String> = rows
            .iter()
            .map(|(seq, rest)| format!(r#"{{"symbol":"AB","side":"B",{rest}"seq":{seq}}}"#))
            .collect();
        let text = format!("[{}]", rows.join(","));
        Differences::between(&tape(), &read(text.as_bytes(), &FieldNames::default()).unwrap())
    }

    const GOOD: &str = r#""quantity":10,"price":-5,"#;

    #[test]
    fn equal_packets_have_no_differences() {
        let same = differences(&[1, 2, 3, 4].map(|seq| (seq, GOOD)));
        assert!(same.is_complete() && same.out_of_order.is_none());
        assert_eq!(same.summary(), "");
    }

    #[test]
    fn every_kind_of_difference_is_reported() {
        let wrong = r#""quantity":10,"price":4294967291,"#;
        let found =
            differences(&[(4, GOOD), (1, GOOD), (4, GOOD), (9, GOOD), (0, GOOD), (2, wrong)]);
        assert_eq!(
            found.summary(),
            "missing 3; more than once 4; not on the tape: sequence 9, 0; wrong: price of packet 2 \
             is 4294967291 instead of -5; out of order: 1 after 4"
        );
        assert!(!found.is_complete());
        let absent = differences(&[1, 2, 3, 4].map(|seq| (seq, r#""quantity":10,"#)));
        assert_eq!(
            absent.summary(),
            "wrong: price of packet 1 is absent instead of -5 (and 3 more)"
        );
        let unsorted = differences(&[1, 3, 2, 4].map(|seq| (seq, GOOD)));
        assert!(unsorted.is_complete() && unsorted.out_of_order == Some((2, 3)));
    }
}
