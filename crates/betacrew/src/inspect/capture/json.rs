//! JSON that `betacrew inspect --json` prints about captures (`docs/captures.md`).

use super::text::rate;
use super::{LineReport, StreamReport, streams};
use crate::capture::{CaptureGap, CaptureSurvey, GapSummary};
use crate::text::location::shown;
use schemars::JsonSchema;
use serde::Serialize;

/// Name and version of the schema of the description.
pub(crate) const SCHEMA: &str = "urn:betacrew:capture:1";

/// Description of captures. Times are in nanoseconds since 1970, durations in milliseconds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CaptureJson {
    /// Name and version of the schema of this description.
    #[schemars(extend("const" = SCHEMA))]
    schema: &'static str,
    /// Paths of the files.
    files: Vec<String>,
    /// Kind of each file.
    formats: Vec<&'static str>,
    /// Number of packets.
    packets: u64,
    /// Time of the first packet.
    first: Option<u64>,
    /// Time of the last packet.
    last: Option<u64>,
    /// Number of UDP datagrams.
    datagrams: u64,
    /// Number of IP fragments, which are not read.
    fragments: u64,
    /// Number of packets whose headers are cut off or wrong.
    unreadable_packets: u64,
    /// Number of packets that are not UDP.
    other_packets: u64,
    /// Number of packets of link types that are not known.
    unknown_link_packets: u64,
    /// Number of datagrams of lines and destinations beyond the maximum numbers.
    left_out_datagrams: u64,
    /// Damaged places; each ends the reading of its file.
    damage: Vec<DamageJson>,
    /// Streams of messages, each with its lines.
    streams: Vec<StreamJson>,
    /// Requests for messages.
    requests: Vec<RequestsJson>,
    /// Datagrams that are not MoldUDP64.
    not_mold: Vec<OtherJson>,
}

/// Damaged place.
#[derive(Serialize, JsonSchema)]
struct DamageJson {
    /// Path of the file.
    file: String,
    /// Number of the packet that cannot be read.
    packet: u64,
    /// Position in bytes from the beginning of the file, uncompressed.
    offset: u64,
    /// Description.
    reason: String,
}

/// Messages of one session, from all lines that carry them.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StreamJson {
    /// Session.
    session: String,
    /// Lowest sequence.
    first: Option<u64>,
    /// Highest sequence that is known.
    last: Option<u64>,
    /// Number of messages that any line has brought.
    messages: u64,
    /// True if a line has announced the end of the session.
    ended: bool,
    /// Messages that all lines together miss.
    missing: GapsJson,
    /// Number of copies whose content differs from the first one.
    different: u64,
    /// Sequence of the first such copy.
    first_different: Option<u64>,
    /// Number of messages that two lines brought at the same time.
    ties: u64,
    /// Lines.
    lines: Vec<LineJson>,
}

/// Missing messages. All are counted, the first 10,000 gaps are listed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GapsJson {
    /// Number of messages.
    messages: u64,
    /// Number of gaps.
    gaps: u64,
    /// Number of messages of the largest gap.
    largest: Option<u64>,
    /// Time between the datagrams around the longest gap.
    longest_ms: Option<f64>,
    /// First gaps.
    listed: Vec<GapJson>,
}

/// Gap.
#[derive(Serialize, JsonSchema)]
struct GapJson {
    /// First missing sequence.
    first: u64,
    /// Last missing sequence.
    last: u64,
    /// Time of the last datagram before the gap.
    before: u64,
    /// Time of the datagram that showed the gap.
    after: u64,
}

/// Line of a stream.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LineJson {
    /// Letter of the line, or "answers".
    line: String,
    /// Group, or address of the receiver, and port.
    group: String,
    /// Address and port of the sender.
    source: String,
    /// True if the line is the answers to requests.
    answers: bool,
    /// Number of datagrams.
    datagrams: u64,
    /// Number of messages, with duplicates.
    messages: u64,
    /// Number of bytes of the datagrams.
    bytes: u64,
    /// Number of heartbeats.
    heartbeats: u64,
    /// Number of ends of session.
    ends_of_session: u64,
    /// Lowest sequence.
    first: Option<u64>,
    /// Highest sequence that the line has shown.
    last: Option<u64>,
    /// Time of the first datagram.
    first_time: u64,
    /// Time of the last datagram.
    last_time: u64,
    /// Messages a second, between the first and the last datagram.
    rate: Option<u64>,
    /// Highest number of messages in a second of the clock.
    peak_rate: u64,
    /// Messages that the line has missed.
    missed: GapsJson,
    /// Number of missed messages that no other line has brought either.
    missed_by_all: u64,
    /// Number of messages of the stream before the first of the line.
    begins_after: u64,
    /// Number of messages of the stream behind the last of the line.
    ends_before: u64,
    /// Number of messages that the line had brought before.
    duplicates: u64,
    /// Number of messages that came after a higher one.
    late: u64,
    /// Highest number of sequences that a late message was behind.
    late_by: u64,
    /// Highest time that a late message was behind.
    late_ms: f64,
    /// Number of datagrams that the capture has cut.
    cut_datagrams: u64,
    /// Number of messages that are missing from cut datagrams.
    cut_messages: u64,
    /// Number of messages that the line had before another one.
    first_copies: u64,
    /// Time by which half of them were ahead, at most.
    lead_median_ms: Option<f64>,
    /// Time by which 99 % of them were ahead, at most.
    lead_99_ms: Option<f64>,
}

/// Requests of a client.
#[derive(Serialize, JsonSchema)]
struct RequestsJson {
    /// Address and port of the client.
    client: String,
    /// Address and port of the request server.
    server: String,
    /// Number of requests.
    requests: u64,
    /// Number of messages that the requests name.
    messages: u64,
}

/// Datagrams to one destination that are not MoldUDP64.
#[derive(Serialize, JsonSchema)]
struct OtherJson {
    /// Group or address, and port.
    destination: String,
    /// Number of datagrams.
    datagrams: u64,
    /// Number of the first one in its file.
    packet: u64,
    /// Reason for which the first one is not MoldUDP64.
    reason: String,
    /// True if most datagrams to the destination are MoldUDP64, so that these are malformed.
    malformed: bool,
}

/// Returns nanoseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a duration to be shown")]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn gaps(summary: &GapSummary) -> GapsJson {
    let gap = |gap: &CaptureGap| GapJson {
        first: gap.range.first(),
        last: gap.range.last(),
        before: gap.before,
        after: gap.after,
    };
    GapsJson {
        messages: summary.messages,
        gaps: summary.gaps,
        largest: summary.largest.map(|gap| gap.range.len()),
        longest_ms: summary.longest.map(|gap| millis(gap.nanos())),
        listed: summary.listed.iter().map(gap).collect(),
    }
}

/// Returns the description of captures.
pub(super) fn report(survey: &CaptureSurvey) -> String {
    let counts = &survey.counts;
    let with_requests = survey.lines.iter().filter(|line| line.requests > 0);
    let report = CaptureJson {
        schema: SCHEMA,
        files: survey.files.iter().map(|path| shown(path).to_string()).collect(),
        formats: survey.kinds.iter().map(|kind| kind.name()).collect(),
        packets: counts.packets,
        first: survey.times.map(|(first, _)| first),
        last: survey.times.map(|(_, last)| last),
        datagrams: counts.datagrams,
        fragments: counts.fragments,
        unreadable_packets: counts.unreadable,
        other_packets: counts.others,
        unknown_link_packets: counts.unknown_links.values().sum(),
        left_out_datagrams: counts.left_out,
        damage: survey
            .damage
            .iter()
            .map(|place| DamageJson {
                file: shown(&place.path).to_string(),
                packet: place.packet,
                offset: place.offset,
                reason: place.reason.clone(),
            })
            .collect(),
        streams: streams(survey).iter().map(stream).collect(),
        requests: with_requests
            .map(|line| RequestsJson {
                client: line.route.source.to_string(),
                server: line.route.destination.to_string(),
                requests: line.requests,
                messages: line.requested,
            })
            .collect(),
        not_mold: survey
            .other_traffic
            .iter()
            .map(|other| OtherJson {
                destination: other.destination.to_string(),
                datagrams: other.datagrams,
                packet: other.packet,
                reason: other.reason.to_string(),
                malformed: other.is_malformed,
            })
            .collect(),
    };
    // Strings, numbers and lists always have a JSON form, so the default is never used.
    serde_json::to_string(&report).unwrap_or_default() + "\n"
}

fn stream(report: &StreamReport<'_>) -> StreamJson {
    let stream = report.stream;
    StreamJson {
        session: stream.session.to_string(),
        first: stream.tracker.span().map(|span| span.first()),
        last: stream.tracker.span().map(|span| span.last()),
        messages: stream.messages,
        ended: report.is_ended(),
        missing: gaps(&report.missing),
        different: stream.different,
        first_different: stream.first_different,
        ties: stream.ties,
        lines: report.lines.iter().map(line).collect(),
    }
}

fn line(report: &LineReport<'_>) -> LineJson {
    let LineReport { line, session, .. } = report;
    let tracker = &session.tracker;
    LineJson {
        line: report.name.clone(),
        group: line.route.destination.to_string(),
        source: line.route.source.to_string(),
        answers: line.answers,
        datagrams: session.datagrams,
        messages: session.messages,
        bytes: session.bytes,
        heartbeats: session.heartbeats,
        ends_of_session: session.ends,
        first: tracker.span().map(|span| span.first()),
        last: tracker.span().map(|span| span.last()),
        first_time: session.seen.0,
        last_time: session.seen.1,
        rate: rate(session.messages, session.seen),
        peak_rate: session.rate.peak(),
        missed: gaps(&report.missed),
        missed_by_all: report.missed_by_all,
        begins_after: report.begins_after,
        ends_before: report.ends_before,
        duplicates: tracker.duplicates,
        late: tracker.late,
        late_by: tracker.late_by,
        late_ms: millis(tracker.late_nanos),
        cut_datagrams: session.cut_datagrams,
        cut_messages: session.cut_messages,
        first_copies: report.first_copies,
        lead_median_ms: report.lead_median.map(millis),
        lead_99_ms: report.lead_99.map(millis),
    }
}
