//! `fetch --report`: what happened, for machines.

use crate::error::Exit;
use crate::record::store::{Filled, RecordingStore};
use feed::base::seq::SeqRange;
use feed::client::{LineStats, Outcome, Recorder, Tail};
use feed::ledger::Source;
use feed::session::completeness::{Completeness, Facts};
use serde::Serialize;
use std::time::Duration;

/// The report. Times are in milliseconds since the recording began.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct RecordingReport {
    /// `complete`; `completeSoFar` of a session that goes on; or `incomplete`.
    pub outcome: &'static str,
    /// The program's exit code.
    pub exit_code: u8,
    /// Why it is incomplete.
    pub reason: Option<String>,
    /// The session's id, if an exchange has told it.
    pub session: Option<String>,
    /// The last sequence known to exist; 0 where there is none.
    pub last: u32,
    /// How many packets were recorded.
    pub packets: u64,
    /// What is missing.
    pub missing: Vec<ReportRange>,
    /// What is known of the end.
    pub end: ReportEnd,
    /// How long it took.
    pub took_ms: f64,
    /// How it went.
    pub counts: ReportCounts,
    /// The lines, in the order given.
    pub lines: Vec<ReportLine>,
    /// What peers did wrong.
    pub trouble: ReportViolations,
    /// Every gap, piece by piece as it was filled, and then what was not filled.
    pub gaps: Vec<ReportGap>,
}

/// A range of sequences.
#[derive(Serialize, Debug)]
pub struct ReportRange {
    first: u32,
    last: u32,
}

impl From<SeqRange> for ReportRange {
    fn from(range: SeqRange) -> Self {
        Self { first: range.first(), last: range.last() }
    }
}

/// How well the end is known.
#[derive(Serialize, Debug)]
pub struct ReportEnd {
    /// `confirmed`, `inferred` or `unknown`.
    known: &'static str,
    /// How sure it is, from 0 to 1.
    confidence: f64,
}

/// Counts and rates.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportCounts {
    passes: u32,
    streamed: u64,
    resent: u64,
    repeated: u64,
    silent_passes: u32,
    resend_calls: u64,
    connections: u32,
    failed_connections: u32,
    bytes: u64,
    packets_per_second: f64,
    bytes_per_second: f64,
}

/// One line.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportLine {
    address: String,
    reached: bool,
    given_up: bool,
    extension: bool,
    packets: u64,
    /// Packets that it was the first to bring.
    packets_first: u64,
    /// Number of packets that its subscriptions should have delivered and did not.
    packets_missed: u64,
    /// Subscriptions that ended before the session.
    cuts: u32,
    /// What it plays, if that is not the session that is recorded.
    other_session: Option<String>,
}

/// What no exchange should do.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportViolations {
    conflicting_packets: u64,
    conflicts: Vec<String>,
    undecodable_frames: u64,
    first_undecodable: Option<String>,
    implausible_sequences: u64,
    first_implausible: Option<u32>,
    doubtful_packets: u64,
    /// Sequences that one line claimed and did not bring, beyond the end that another line told.
    contradicted: Option<String>,
    other_session: bool,
}

/// One gap, or a piece of one.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportGap {
    first: u32,
    last: u32,
    /// When it was found; absent for what was never filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_ms: Option<f64>,
    /// How long it was open; absent for what was never filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    filled_after_ms: Option<f64>,
    /// `resend`, `pass N`, with the line where there are several; or `never`.
    filled_by: String,
}

pub(crate) fn ms(time: Duration) -> f64 {
    // To the microsecond.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl RecordingReport {
    /// The report of a recording that has ended.
    #[must_use]
    pub fn new(
        addresses: &[String],
        recorder: &Recorder,
        capture: &RecordingStore,
        took: Duration,
        facts: Facts,
    ) -> Self {
        let unknown = Outcome {
            last: 0,
            missing: feed::base::seq::SeqSet::new(),
            tail: Tail::Unknown,
            why: None,
        };
        let outcome = recorder.outcome().unwrap_or(&unknown);
        let (known, confidence) = match outcome.tail {
            Tail::Confirmed => ("confirmed", 1.0),
            Tail::Inferred { doubt } => ("inferred", 1.0 - doubt),
            Tail::Unknown => ("unknown", 0.0),
        };
        let missing = outcome.missing.ranges();
        let filled = capture.filled.iter().flatten().map(|piece| gap(piece, addresses.len()));
        let never = missing.iter().map(|range| ReportGap {
            first: range.first(),
            last: range.last(),
            opened_ms: None,
            filled_after_ms: None,
            filled_by: "never".to_owned(),
        });
        Self {
            outcome: match facts.completeness() {
                Completeness::Complete => "complete",
                Completeness::SoFar => "completeSoFar",
                Completeness::Incomplete => "incomplete",
            },
            exit_code: Exit::of(&facts) as u8,
            reason: facts.why.map(|why| why.to_string()),
            session: recorder.session().map(|id| id.to_string()),
            last: outcome.last,
            packets: capture.packets(),
            missing: missing.iter().copied().map(ReportRange::from).collect(),
            end: ReportEnd { known, confidence },
            took_ms: ms(took),
            counts: counts(recorder, took),
            lines: (0..)
                .map_while(|id| recorder.line(id))
                .zip(addresses)
                .map(|(line, address)| line_report(line, address))
                .collect(),
            trouble: trouble(addresses, recorder, capture),
            gaps: filled.chain(never).collect(),
        }
    }
}

fn gap(piece: &Filled, lines: usize) -> ReportGap {
    let mut by = match piece.by.source {
        Source::Resend => "resend".to_owned(),
        Source::Stream { pass } => format!("pass {pass}"),
    };
    if lines > 1 {
        by += &format!(", line {}", piece.by.line + 1);
    }
    ReportGap {
        first: piece.range.first(),
        last: piece.range.last(),
        opened_ms: Some(ms(piece.opened)),
        filled_after_ms: Some(ms(piece.after)),
        filled_by: by,
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates")]
fn counts(recorder: &Recorder, took: Duration) -> ReportCounts {
    let stats = recorder.stats();
    let seconds = took.as_secs_f64().max(1e-9);
    let rate = |count: u64| (count as f64 / seconds).round();
    ReportCounts {
        passes: recorder.passes().complete,
        streamed: stats.streamed,
        resent: stats.resent,
        repeated: stats.repeated,
        silent_passes: stats.silent_passes,
        resend_calls: stats.resend_calls,
        connections: stats.connections,
        failed_connections: stats.failures,
        bytes: stats.bytes,
        packets_per_second: rate(stats.streamed + stats.resent),
        bytes_per_second: rate(stats.bytes),
    }
}

fn line_report(line: &LineStats, address: &str) -> ReportLine {
    ReportLine {
        address: address.to_owned(),
        reached: line.reached,
        given_up: line.given_up,
        extension: line.info.is_some(),
        packets: line.packets,
        packets_first: line.first,
        packets_missed: line.missed,
        cuts: line.cuts,
        other_session: line.other_session.map(|session| session.to_string()),
    }
}

fn trouble(
    addresses: &[String],
    recorder: &Recorder,
    capture: &RecordingStore,
) -> ReportViolations {
    let trouble = recorder.violations();
    ReportViolations {
        conflicting_packets: trouble.conflicts,
        conflicts: capture.conflict_texts(addresses),
        undecodable_frames: trouble.undecodable,
        first_undecodable: trouble
            .first_undecodable
            .map(|(offset, error)| format!("at byte {offset} of its connection: {error}")),
        implausible_sequences: trouble.implausible,
        first_implausible: trouble.first_implausible,
        doubtful_packets: trouble.doubtful,
        contradicted: trouble.contradicted.map(|range| range.to_string()),
        other_session: trouble.other_session.is_some(),
    }
}
