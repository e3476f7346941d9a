//! All that one run of a client has shown.

use crate::grade::judge::compare::Differences;
use crate::grade::observe::rows::OutputRows;
use crate::grade::observe::wire::{WireEvent, WireLog};
use crate::grade::run::process::FinishedProcess;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::wire::packet::Packet;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a client has written, if it could be found.
#[derive(Clone, Debug)]
pub(crate) enum ClientOutput {
    /// Nothing that could be an output.
    None,
    /// It was found but not understood: where, and why not.
    Unclear { place: String, why: String },
    /// Packets, perhaps none.
    Found {
        /// A file's name, or `stdout`.
        place: String,
        rows: OutputRows,
        /// When the file was written, since the exchange began.
        written: Option<Duration>,
    },
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// What the exchange plays.
    pub(crate) tape: Vec<Packet>,
    pub(crate) wire: WireLog,
    pub(crate) ran: FinishedProcess,
    pub(crate) output: ClientOutput,
    /// Against the tape; everything is missing where there is no output.
    pub(crate) differences: Differences,
    facts: CaseFacts,
}

/// What is asked of the wire again and again.
#[derive(Clone, Debug)]
struct CaseFacts {
    streamed: BTreeSet<Seq>,
    resent: BTreeSet<Seq>,
    asked: BTreeSet<Seq>,
    gaps: BTreeSet<Seq>,
}

impl CaseFacts {
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
    pub(crate) fn new(
        tape: Vec<Packet>,
        wire: WireLog,
        ran: FinishedProcess,
        output: ClientOutput,
    ) -> Self {
        let none = OutputRows::default();
        let rows = if let ClientOutput::Found { rows, .. } = &output { rows } else { &none };
        let differences = Differences::between(&tape, rows);
        let facts = CaseFacts::of(&wire, tape.last().map_or(0, |packet| packet.sequence));
        Self { tape, wire, ran, output, differences, facts }
    }

    /// The tape's last sequence.
    pub(crate) fn last(&self) -> Seq {
        self.tape.last().map_or(0, |packet| packet.sequence)
    }

    /// Whether packets were found in an output.
    pub(crate) fn has_output(&self) -> bool {
        matches!(self.output, ClientOutput::Found { .. })
    }

    /// What happened on the wire before we ended the client, if we did: the rest is our doing.
    pub(crate) fn deeds(&self) -> impl Iterator<Item = &WireEvent> {
        let forced = self.ran.forced.zip(self.wire.began);
        let ours =
            forced.map_or(Duration::MAX, |(at, (began, _))| at.saturating_duration_since(began));
        self.wire.events.iter().filter(move |event| event.at < ours)
    }

    /// Sequences that some stream brought.
    pub(crate) fn streamed(&self) -> &BTreeSet<Seq> {
        &self.facts.streamed
    }

    /// Sequences that answers brought.
    pub(crate) fn resent(&self) -> &BTreeSet<Seq> {
        &self.facts.resent
    }

    /// Sequences that were asked for where they can be answered.
    pub(crate) fn asked(&self) -> &BTreeSet<Seq> {
        &self.facts.asked
    }

    /// The highest sequence that streams brought; 0 where they brought none.
    pub(crate) fn highest(&self) -> Seq {
        self.streamed().range(..=self.last()).next_back().copied().unwrap_or(0)
    }

    /// Sequences that no stream brought though they brought a higher one.
    pub(crate) fn gaps(&self) -> &BTreeSet<Seq> {
        &self.facts.gaps
    }

    /// Whether a sequence is missing in the output.
    pub(crate) fn misses(&self, seq: Seq) -> bool {
        self.differences.missing.contains(seq)
    }
}

/// The same with the verb: `packet 5 was`, `packets 2, 5-7 were`.
pub(crate) fn packets_were(seqs: impl IntoIterator<Item = Seq>) -> String {
    let text = packets(seqs);
    let verb = if text.starts_with("packet ") { "was" } else { "were" };
    format!("{text} {verb}")
}

/// Sequences as they are said: `packet 5`, `packets 2, 5-7`.
pub(crate) fn packets(seqs: impl IntoIterator<Item = Seq>) -> String {
    packets_in(&seqs.into_iter().map(SeqRange::one).collect())
}

/// The same for a set that may be as large as a client has asked for.
pub(crate) fn packets_in(set: &SeqSet) -> String {
    let s = if set.count() == 1 { "" } else { "s" };
    format!("packet{s} {set:.6}")
}
