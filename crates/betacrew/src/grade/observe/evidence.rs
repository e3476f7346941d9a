//! Evidence of one run: the tape, the wire, the process and the output.

use crate::grade::feeds::evidence::FeedEvidence;
use crate::grade::judge::compare::Differences;
use crate::grade::observe::rows::OutputRows;
use crate::grade::observe::wire::{WireEvent, WireEventKind, WireLog};
use crate::grade::run::process::FinishedProcess;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::faults::scenario::IDLE;
use feed::wire::Call;
use feed::wire::packet::Packet;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Output of a client, as far as it was found. `R` is what was read from it.
#[derive(Clone, Debug)]
pub(crate) enum ClientOutput<R = OutputRows> {
    /// No file or text that could be an output.
    None,
    /// An output that cannot be read.
    Unclear {
        /// Path of the file, which is relative in the client's folder, or `stdout`.
        name: String,
        /// Reason, such as "empty".
        why: String,
    },
    /// An output with packets that are not understood.
    Foreign {
        /// Path of the file, which is relative in the client's folder, or `stdout`.
        name: String,
        /// Reason, as a clause.
        why: String,
        /// Option that settles it, as a clause.
        remedy: String,
    },
    /// An output with packets, perhaps none.
    Found {
        /// Path of the file, which is relative in the client's folder, or `stdout`.
        name: String,
        /// Packets of the output.
        rows: R,
        /// Time of the last write to the file, since the exchange began.
        written: Option<Duration>,
    },
}

impl<R> ClientOutput<R> {
    /// Returns the name of the output, if there is one.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Unclear { name, .. } | Self::Foreign { name, .. } | Self::Found { name, .. } => {
                Some(name)
            }
        }
    }

    /// Returns whether the output is a file outside of the folder in which the client runs.
    pub(crate) fn is_outside(&self) -> bool {
        self.name().is_some_and(|name| Path::new(name).is_absolute())
    }

    /// Returns why an output with packets is not understood, and what settles it, as clauses.
    pub(crate) fn not_understood(&self) -> Option<(String, &str)> {
        match self {
            Self::Foreign { name, why, remedy } => Some((format!("{name} {why}"), remedy)),
            Self::None | Self::Unclear { .. } | Self::Found { .. } => None,
        }
    }
}

/// Evidence of one run of the client in one case.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// Packets of the tape that the exchange plays.
    pub(crate) tape: Vec<Packet>,
    /// Record of the wire.
    pub(crate) wire: WireLog,
    /// End of the client's process.
    pub(crate) process: FinishedProcess,
    /// Output of the client.
    pub(crate) output: ClientOutput,
    /// Differences between output and tape; without an output, every packet is missing.
    pub(crate) differences: Differences,
    /// Evidence of a case in another protocol than the exercise's, with its own tape and output.
    pub(crate) feed: Option<FeedEvidence>,
    /// Sets of sequences computed once, because many rules need them.
    facts: CaseFacts,
}

/// Sets of sequences that follow from the wire.
#[derive(Clone, Debug)]
struct CaseFacts {
    /// Sequences sent in a stream.
    streamed: BTreeSet<Seq>,
    /// Sequences sent as an answer.
    resent: BTreeSet<Seq>,
    /// Sequences that the client requested where the exchange answers.
    requested: BTreeSet<Seq>,
    /// Sequences that the client requested, also where the exchange answers nothing.
    asked: BTreeSet<Seq>,
    /// Sequences below the highest streamed one not sent in any stream.
    gaps: BTreeSet<Seq>,
}

impl CaseFacts {
    fn of(wire: &WireLog, last: Seq) -> Self {
        let streamed: BTreeSet<Seq> = wire.streamed().map(|(_, seq)| seq).collect();
        // A damaged packet may have any number as its sequence, so only those of the tape count.
        let highest = streamed.range(..=last).next_back().copied().unwrap_or(0);
        Self {
            gaps: (1..highest).filter(|seq| !streamed.contains(seq)).collect(),
            resent: wire.resent().map(|(_, seq)| seq).collect(),
            requested: wire.requested().collect(),
            asked: wire.asked().collect(),
            streamed,
        }
    }
}

impl Evidence {
    /// Compares the output with the tape, and collects the evidence of a run.
    pub(crate) fn new(
        tape: Vec<Packet>,
        wire: WireLog,
        process: FinishedProcess,
        output: ClientOutput,
    ) -> Self {
        let none = OutputRows::default();
        let rows = if let ClientOutput::Found { rows, .. } = &output { rows } else { &none };
        let differences = Differences::between(&tape, rows);
        let facts = CaseFacts::of(&wire, tape.last().map_or(0, |packet| packet.sequence));
        Self { tape, wire, process, output, differences, feed: None, facts }
    }

    /// Collects the evidence of a run in another protocol than the exercise's.
    pub(crate) fn of_feed(wire: WireLog, process: FinishedProcess, feed: FeedEvidence) -> Self {
        let plain = Self::new(Vec::new(), wire, process, ClientOutput::None);
        Self { feed: Some(feed), ..plain }
    }

    /// Returns whether the output is a file outside of the folder in which the client runs.
    pub(crate) fn has_output_outside(&self) -> bool {
        let feed = self.feed.as_ref().is_some_and(|feed| feed.output.is_outside());
        feed || self.output.is_outside()
    }

    /// Returns whether the exchange has ended a connection for no other reason than the client's
    /// silence between two resend calls, when the client had not requested all missing packets yet.
    pub(crate) fn was_ended_while_silent(&self) -> bool {
        let (mut last, mut asked) = (BTreeMap::new(), BTreeSet::new());
        self.wire.events.iter().any(|event| {
            match event.what {
                WireEventKind::Called { call: Call::Resend(seq), late: false } => {
                    asked.insert(seq);
                }
                WireEventKind::Sent { .. } => {}
                WireEventKind::Finished => {
                    let conn = self.wire.conns.get(event.conn);
                    let has_stream = conn.is_none_or(|conn| conn.stream_from.is_some());
                    let called = last.get(&event.conn).filter(|_| !has_stream);
                    let was_silent = called.is_some_and(|at| event.at.saturating_sub(*at) >= IDLE);
                    return was_silent && self.gaps().iter().any(|seq| !asked.contains(seq));
                }
                _ => return false,
            }
            last.insert(event.conn, event.at);
            false
        })
    }

    /// Returns the name of the output, if there is one.
    pub(crate) fn output_name(&self) -> Option<&str> {
        match &self.feed {
            Some(feed) => feed.output.name(),
            None => self.output.name(),
        }
    }

    /// Returns the name of the output, and the shape in which it was read or why it was not.
    pub(crate) fn output_description(&self) -> Option<String> {
        fn described<R>(output: &ClientOutput<R>, shape: impl Fn(&R) -> String) -> Option<String> {
            match output {
                ClientOutput::None => None,
                ClientOutput::Unclear { name, why } => Some(format!("{name}: {why}")),
                ClientOutput::Foreign { name, why, .. } => Some(format!("{name} {why}")),
                ClientOutput::Found { name, rows, .. } => Some(format!("{name}: {}", shape(rows))),
            }
        }
        match &self.feed {
            Some(feed) => described(&feed.output, |rows| rows.shape.to_owned()),
            None => described(&self.output, OutputRows::understood),
        }
    }

    /// Returns the last sequence of the tape; 0 if the tape is empty.
    pub(crate) fn last(&self) -> Seq {
        self.tape.last().map_or(0, |packet| packet.sequence)
    }

    /// Returns whether a readable output was found.
    pub(crate) fn has_output(&self) -> bool {
        match &self.feed {
            Some(feed) => matches!(feed.output, ClientOutput::Found { .. }),
            None => matches!(self.output, ClientOutput::Found { .. }),
        }
    }

    /// Returns the events on the wire before the grader killed the client. Later events, such as a
    /// reset, are caused by the kill and not by the client.
    pub(crate) fn events_before_kill(&self) -> impl Iterator<Item = &WireEvent> {
        let killed_at = self.process.killed_at.zip(self.wire.began);
        let ours =
            killed_at.map_or(Duration::MAX, |(at, (began, _))| at.saturating_duration_since(began));
        self.wire.events.iter().filter(move |event| event.at < ours)
    }

    /// Returns the sequences sent in a stream.
    pub(crate) fn streamed(&self) -> &BTreeSet<Seq> {
        &self.facts.streamed
    }

    /// Returns the sequences sent as an answer.
    pub(crate) fn resent(&self) -> &BTreeSet<Seq> {
        &self.facts.resent
    }

    /// Returns the sequences that the client requested where the exchange answers.
    pub(crate) fn requested(&self) -> &BTreeSet<Seq> {
        &self.facts.requested
    }

    /// Returns the sequences that the client requested, also after a stream call, where the
    /// exchange answers nothing.
    pub(crate) fn asked(&self) -> &BTreeSet<Seq> {
        &self.facts.asked
    }

    /// Returns the highest sequence sent in a stream; 0 if there is none.
    pub(crate) fn highest(&self) -> Seq {
        self.streamed().range(..=self.last()).next_back().copied().unwrap_or(0)
    }

    /// Returns the sequences below the highest streamed one not sent in any stream.
    pub(crate) fn gaps(&self) -> &BTreeSet<Seq> {
        &self.facts.gaps
    }

    /// Returns whether a sequence is missing in the output.
    pub(crate) fn output_lacks(&self, seq: Seq) -> bool {
        self.differences.missing.contains(seq)
    }
}

/// Returns sequences with a verb: `packet 5 was`, `packets 2, 5-7 were`.
pub(crate) fn packets_with_verb(seqs: impl IntoIterator<Item = Seq>) -> String {
    let text = packets(seqs);
    let verb = if text.starts_with("packet ") { "was" } else { "were" };
    format!("{text} {verb}")
}

/// Returns sequences as a phrase: `packet 5`, `packets 2, 5-7`.
pub(crate) fn packets(seqs: impl IntoIterator<Item = Seq>) -> String {
    packets_of_set(&seqs.into_iter().map(SeqRange::one).collect())
}

/// Returns a set of sequences as a phrase, shortened to 6 ranges because a client may request any
/// number of sequences.
pub(crate) fn packets_of_set(set: &SeqSet) -> String {
    let s = if set.count() == 1 { "" } else { "s" };
    format!("packet{s} {set:.6}")
}
