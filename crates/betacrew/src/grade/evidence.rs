//! All that one run of a client has shown.

use super::compare::Differences;
use super::process::Ran;
use super::rows::Rows;
use super::wire::{Event, WireLog};
use feed::packet::Packet;
use feed::seq::{Seq, SeqRange, SeqSet};
use std::collections::BTreeSet;
use std::time::Duration;

/// What a client has written, if it could be found.
#[derive(Clone, Debug)]
pub(super) enum Output {
    /// Nothing that could be an output.
    None,
    /// It was found but not understood: where, and why not.
    Unclear { place: String, why: String },
    /// Packets, perhaps none.
    Found {
        /// A file's name, or `stdout`.
        place: String,
        rows: Rows,
        /// When the file was written, since the exchange began.
        written: Option<Duration>,
    },
}

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// What the exchange plays.
    pub(super) tape: Vec<Packet>,
    pub(super) wire: WireLog,
    pub(super) ran: Ran,
    pub(super) output: Output,
    /// Against the tape; everything is missing where there is no output.
    pub(super) differences: Differences,
    facts: Facts,
}

/// What is asked of the wire again and again.
#[derive(Clone, Debug)]
struct Facts {
    streamed: BTreeSet<Seq>,
    resent: BTreeSet<Seq>,
    asked: BTreeSet<Seq>,
    gaps: BTreeSet<Seq>,
}

impl Facts {
    fn of(wire: &WireLog, last: Seq) -> Self {
        let streamed: BTreeSet<Seq> = wire.streamed().map(|(_, seq)| seq).collect();
        // A damaged sequence may be any number.
        let highest = streamed.range(..=last).next_back().copied().unwrap_or(0);
        Self {
            gaps: (1..highest).filter(|seq| !streamed.contains(seq)).collect(),
            resent: wire.resent().map(|(_, seq)| seq).collect(),
            asked: wire.asked().collect(),
            streamed,
        }
    }
}

impl Evidence {
    pub(super) fn new(tape: Vec<Packet>, wire: WireLog, ran: Ran, output: Output) -> Self {
        let none = Rows::default();
        let rows = if let Output::Found { rows, .. } = &output { rows } else { &none };
        let differences = Differences::between(&tape, rows);
        let facts = Facts::of(&wire, tape.last().map_or(0, |packet| packet.sequence));
        Self { tape, wire, ran, output, differences, facts }
    }

    /// The tape's last sequence.
    pub(super) fn last(&self) -> Seq {
        self.tape.last().map_or(0, |packet| packet.sequence)
    }

    /// Whether packets were found in an output.
    pub(super) fn has_output(&self) -> bool {
        matches!(self.output, Output::Found { .. })
    }

    /// What happened on the wire before we ended the client, if we did: the rest is our doing.
    pub(super) fn deeds(&self) -> impl Iterator<Item = &Event> {
        let forced = self.ran.forced.zip(self.wire.began);
        let ours =
            forced.map_or(Duration::MAX, |(at, (began, _))| at.saturating_duration_since(began));
        self.wire.events.iter().filter(move |event| event.at < ours)
    }

    /// Sequences that some stream brought.
    pub(super) fn streamed(&self) -> &BTreeSet<Seq> {
        &self.facts.streamed
    }

    /// Sequences that answers brought.
    pub(super) fn resent(&self) -> &BTreeSet<Seq> {
        &self.facts.resent
    }

    /// Sequences that were asked for where they can be answered.
    pub(super) fn asked(&self) -> &BTreeSet<Seq> {
        &self.facts.asked
    }

    /// The highest sequence that streams brought; 0 where they brought none.
    pub(super) fn highest(&self) -> Seq {
        self.streamed().range(..=self.last()).next_back().copied().unwrap_or(0)
    }

    /// Sequences that no stream brought though they brought a higher one.
    pub(super) fn gaps(&self) -> &BTreeSet<Seq> {
        &self.facts.gaps
    }

    /// Whether a sequence is missing in the output.
    pub(super) fn misses(&self, seq: Seq) -> bool {
        self.differences.missing.contains(seq)
    }
}

/// The same with the verb: `packet 5 was`, `packets 2, 5-7 were`.
pub(super) fn packets_were(seqs: impl IntoIterator<Item = Seq>) -> String {
    let text = packets(seqs);
    let verb = if text.starts_with("packet ") { "was" } else { "were" };
    format!("{text} {verb}")
}

/// Sequences as they are said: `packet 5`, `packets 2, 5-7`.
pub(super) fn packets(seqs: impl IntoIterator<Item = Seq>) -> String {
    packets_in(&seqs.into_iter().map(SeqRange::one).collect())
}

/// The same for a set that may be as large as a client has asked for.
pub(super) fn packets_in(set: &SeqSet) -> String {
    let s = if set.count() == 1 { "" } else { "s" };
    format!("packet{s} {set:.6}")
}
