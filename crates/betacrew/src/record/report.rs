//! `fetch --report`: the result of a recording and its gaps, as JSON.

mod datagrams;

use crate::error::Exit;
use crate::record::gap_counters::Filled;
use crate::record::store::RecordingStore;
use datagrams::{ReportMold, ReportRequests};
use feed::base::seq::SeqRange;
use feed::client::{LineStats, Outcome, Recorder, Tail};
use feed::ledger::Source;
use feed::session::completeness::{Completeness, Facts};
use feed::wire::Protocol;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// Name and version of the report's schema.
pub const SCHEMA: &str = "urn:betacrew:report:1";

/// Report of a recording. Times are in milliseconds since the recording started.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct RecordingReport {
    /// Name and version of the schema of this report.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: &'static str,
    /// Result: `complete`, `completeSoFar` if the session continues, or `incomplete`.
    pub outcome: &'static str,
    /// Exit code of the program.
    pub exit_code: u8,
    /// Reason why the recording is incomplete.
    pub reason: Option<String>,
    /// Session id, if an exchange announced it.
    pub session: Option<String>,
    /// Last sequence known to exist, or 0 if there is none.
    pub last: u64,
    /// Number of recorded packets.
    pub packets: u64,
    /// Ranges of missing packets.
    pub missing: Vec<ReportRange>,
    /// Certainty about the last sequence.
    pub end: ReportEnd,
    /// Duration of the recording.
    pub took_ms: f64,
    /// Counts and rates.
    pub counts: ReportCounts,
    /// Lines, in the order of the command line.
    pub lines: Vec<ReportLine>,
    /// Requests to request servers, if a line speaks MoldUDP64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<ReportRequests>,
    /// Violations of the protocol by exchanges.
    pub violations: ReportViolations,
    /// Gaps: filled pieces in the order in which they were filled, then pieces that are still open.
    pub gaps: Vec<ReportGap>,
}

/// Range of sequences, both ends included.
#[derive(Serialize, JsonSchema, Debug)]
pub struct ReportRange {
    /// First sequence.
    first: u64,
    /// Last sequence.
    last: u64,
}

impl From<SeqRange> for ReportRange {
    fn from(range: SeqRange) -> Self {
        Self { first: range.first(), last: range.last() }
    }
}

/// Certainty about the end of the session.
#[derive(Serialize, JsonSchema, Debug)]
pub struct ReportEnd {
    /// Source of the end: `confirmed`, `inferred` or `unknown`.
    known: &'static str,
    /// Probability, from 0 to 1, that the last sequence is known.
    confidence: f64,
}

/// Counts and rates of a recording.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportCounts {
    /// Number of complete streams.
    passes: u32,
    /// Number of recorded packets that came from streams.
    streamed: u64,
    /// Number of recorded packets that were sent again on request.
    resent: u64,
    /// Number of packets that had been recorded before.
    duplicates: u64,
    /// Number of streams without a new packet at the end of the recording.
    silent_passes: u32,
    /// Number of resend calls.
    resend_calls: u64,
    /// Number of connections that were made.
    connections: u32,
    /// Number of connections that could not be made or that broke.
    failed_connections: u32,
    /// Number of bytes received.
    bytes: u64,
    /// Recorded packets a second.
    packets_per_second: f64,
    /// Received bytes a second.
    bytes_per_second: f64,
}

/// Statistics of one line.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportLine {
    /// Address as it was typed, without a password.
    address: String,
    /// True if the line has answered.
    reached: bool,
    /// True if the client has given up the line.
    given_up: bool,
    /// Protocol of the line: `betacrew`, `soup` or `mold`.
    protocol: &'static str,
    /// True if the exchange has the extension of the exercise's protocol.
    extension: bool,
    /// Number of packets that the line delivered.
    packets: u64,
    /// Number of packets that this line delivered first.
    packets_first: u64,
    /// Number of packets that the subscriptions of this line missed.
    packets_missed: u64,
    /// Number of subscriptions that ended before the session.
    cuts: u32,
    /// Session that the line plays, if it is not the recorded one.
    other_session: Option<String>,
    /// Counters of a line that speaks SoupBinTCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    soup: Option<ReportSoup>,
    /// Counters of a line that speaks MoldUDP64.
    #[serde(skip_serializing_if = "Option::is_none")]
    mold: Option<ReportMold>,
}

/// Statistics of a SoupBinTCP line.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportSoup {
    /// Logins that were accepted.
    logins: u32,
    /// Logins that were rejected.
    rejects: u32,
    /// Reason of the latest rejection, if no login was accepted since.
    rejection: Option<String>,
    /// Logins that were accepted with another sequence than the requested one.
    moved_logins: u32,
    /// Connections given up because no packet came for too long.
    silences: u32,
    /// Heartbeats of the exchange.
    heartbeats: u64,
    /// Debug texts, unsequenced messages and packets of unknown types.
    skipped_packets: u64,
}

/// Violations of the protocol by exchanges.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportViolations {
    /// Number of packets whose content differs from that of an earlier copy.
    conflicting_packets: u64,
    /// First conflicts.
    conflicts: Vec<String>,
    /// Number of frames that are no packets.
    undecodable_frames: u64,
    /// Position and error of the first such frame.
    first_undecodable: Option<String>,
    /// Number of packets ignored because their sequence is too high to be plausible.
    implausible_sequences: u64,
    /// First such sequence.
    first_implausible: Option<u64>,
    /// Number of packets ignored because nothing confirmed their sequence.
    doubtful_packets: u64,
    /// Sequences that one line claimed but did not send, beyond the end that another line
    /// announced.
    contradicted: Option<String>,
    /// True if an exchange announced another session during the recording.
    other_session: bool,
}

/// Gap, or a piece of one.
#[derive(Serialize, JsonSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ReportGap {
    /// First missing sequence.
    first: u64,
    /// Last missing sequence.
    last: u64,
    /// Time when the gap was found; absent if it was never filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_ms: Option<f64>,
    /// Time for which the gap was open; absent if it was never filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    filled_after_ms: Option<f64>,
    /// Origin of the fill: `resend` or `pass N`, with the line if there are several, or `never`.
    filled_by: String,
}

/// Returns a time in milliseconds, rounded to the microsecond.
pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl RecordingReport {
    /// Returns the report of a recording that has ended.
    #[must_use]
    pub fn new(
        addresses: &[String],
        recorder: &Recorder,
        store: &RecordingStore,
        took: Duration,
        facts: Facts,
    ) -> Self {
        let unknown = Outcome {
            last: 0,
            missing: feed::base::seq::SeqSet::new(),
            tail: Tail::Unknown,
            reason: None,
        };
        let outcome = recorder.outcome().unwrap_or(&unknown);
        let (known, confidence) = match outcome.tail {
            Tail::Confirmed => ("confirmed", 1.0),
            Tail::Inferred { miss_probability } => ("inferred", 1.0 - miss_probability),
            Tail::Unknown => ("unknown", 0.0),
        };
        let missing = outcome.missing.ranges();
        let filled = store.gaps.filled.iter().flatten().map(|piece| gap(piece, addresses.len()));
        let never = missing.iter().map(|range| ReportGap {
            first: range.first(),
            last: range.last(),
            opened_ms: None,
            filled_after_ms: None,
            filled_by: "never".to_owned(),
        });
        Self {
            schema: SCHEMA,
            outcome: match facts.completeness() {
                Completeness::Complete => "complete",
                Completeness::SoFar => "completeSoFar",
                Completeness::Incomplete => "incomplete",
            },
            exit_code: Exit::of(&facts) as u8,
            reason: facts.reason.map(|reason| reason.to_string()),
            session: recorder.session().map(|id| id.to_string()),
            last: outcome.last,
            packets: store.packets(),
            missing: missing.iter().copied().map(ReportRange::from).collect(),
            end: ReportEnd { known, confidence },
            took_ms: ms(took),
            counts: counts(recorder, took),
            lines: (0..)
                .map_while(|id| recorder.line(id))
                .zip(addresses)
                .map(|(line, address)| line_report(line, address))
                .collect(),
            requests: ReportRequests::of(recorder, store, outcome),
            violations: violations(addresses, recorder, store),
            gaps: filled.chain(never).collect(),
        }
    }
}

/// Returns the entry of a filled piece of a gap.
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

/// Returns the counts of a recorder and its rates.
#[expect(clippy::cast_precision_loss, reason = "rates")]
fn counts(recorder: &Recorder, took: Duration) -> ReportCounts {
    let stats = recorder.stats();
    let seconds = took.as_secs_f64().max(1e-9);
    let rate = |count: u64| (count as f64 / seconds).round();
    ReportCounts {
        passes: recorder.passes().complete,
        streamed: stats.streamed,
        resent: stats.resent,
        duplicates: stats.duplicates,
        silent_passes: stats.silent_passes,
        resend_calls: stats.resend_calls,
        connections: stats.connections,
        failed_connections: stats.failures,
        bytes: stats.bytes,
        packets_per_second: rate(stats.streamed + stats.resent),
        bytes_per_second: rate(stats.bytes),
    }
}

/// Returns the entry of a line.
fn line_report(line: &LineStats, address: &str) -> ReportLine {
    ReportLine {
        address: address.to_owned(),
        reached: line.reached,
        given_up: line.given_up,
        protocol: line.protocol.name(),
        extension: line.info.is_some() && line.protocol == Protocol::Betacrew,
        packets: line.packets,
        packets_first: line.first,
        packets_missed: line.missed,
        cuts: line.cuts,
        other_session: line.other_session.map(|session| session.to_string()),
        mold: (line.protocol == Protocol::Mold).then(|| ReportMold::from(&line.mold)),
        soup: (line.protocol == Protocol::Soup).then(|| ReportSoup {
            logins: line.soup.logins,
            rejects: line.soup.rejects,
            rejection: line.soup.rejection.map(|reason| reason.to_string()),
            moved_logins: line.soup.moved,
            silences: line.soup.silences,
            heartbeats: line.soup.heartbeats,
            skipped_packets: line.soup.skipped,
        }),
    }
}

/// Returns the violations that a recorder has counted.
fn violations(
    addresses: &[String],
    recorder: &Recorder,
    store: &RecordingStore,
) -> ReportViolations {
    let found = recorder.violations();
    ReportViolations {
        conflicting_packets: found.conflicts,
        conflicts: store.conflict_texts(addresses),
        undecodable_frames: found.undecodable,
        first_undecodable: found
            .first_undecodable
            .map(|(offset, error)| format!("at byte {offset} of its connection: {error}")),
        implausible_sequences: found.implausible,
        first_implausible: found.first_implausible,
        doubtful_packets: found.doubtful,
        contradicted: found.contradicted.map(|range| range.to_string()),
        other_session: found.other_session.is_some(),
    }
}
