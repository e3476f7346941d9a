//! What was found, for machines.

use super::book;
use super::reading::{InspectedTape, Inspection};
use crate::format::{Arrival, Format};
use crate::record::report::{ReportRange, ms};
use crate::text::formatting::packet;
use crate::text::location::shown;
use feed::analysis::compare::Comparison;
use feed::analysis::survey::{MissingRanges, OriginStats};
use feed::tape::file::SessionEnd;
use serde::Serialize;
use std::path::Path;

/// So many ranges are listed.
pub(super) const LISTED: usize = 10_000;

/// A file. Times are in nanoseconds since 1970, durations in milliseconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordingJson {
    file: String,
    format: &'static str,
    bytes: Option<u64>,
    packets: u64,
    /// The lowest and the highest sequence in it.
    first: Option<u32>,
    last: Option<u32>,
    missing: RangesJson,
    /// Number of messages removed from the end of a log, of whose packets nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_messages: Option<u64>,
    tape: Option<TapeFileJson>,
    /// What came by a resend or a later pass.
    recovered: RecoveredJson,
    origins: Vec<OriginJson>,
    symbols: Vec<SymbolJson>,
    /// Packets of symbols that are not told apart.
    other_symbols: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    books: Option<Vec<book::BookReport>>,
}

/// Ranges: all of them counted, the first 10,000 listed.
#[derive(Serialize)]
struct RangesJson {
    packets: u64,
    ranges: u64,
    listed: Vec<ReportRange>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TapeFileJson {
    version: u16,
    session: Option<String>,
    /// The last packet that an exchange has told of.
    session_last: Option<u32>,
    /// What is known of where the session ends: `confirmed`, `inferred` or `unknown`.
    session_end: &'static str,
    /// Packets in it that are of another session, or of none that is known.
    left_out_packets: u64,
    begun: u64,
    finished: bool,
    damages: u64,
    damage: Vec<DamageJson>,
    torn_and_mended: u32,
    index_is_wrong: bool,
    repeated_packets: u64,
}

#[derive(Serialize)]
struct DamageJson {
    offset: u64,
    bytes: u64,
    packets: Option<ReportRange>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecoveredJson {
    packets: u64,
    gaps: u64,
    half_within_ms: Option<f64>,
    slowest_ms: Option<f64>,
}

#[derive(Serialize)]
struct OriginJson {
    origin: Option<String>,
    packets: u64,
    first: Option<u64>,
    last: Option<u64>,
}

#[derive(Serialize)]
struct SymbolJson {
    symbol: String,
    packets: u64,
    bought: i64,
    sold: i64,
    vwap: Option<f64>,
    low: i32,
    high: i32,
    last: i32,
}

fn line(value: &impl Serialize) -> String {
    // Texts, numbers and lists always have a JSON form.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

fn ranges(found: &MissingRanges) -> RangesJson {
    let listed = found.listed().ranges().iter().copied().map(ReportRange::from).collect();
    RangesJson { packets: found.packets(), ranges: found.gaps(), listed }
}

pub(super) fn found(found: &Inspection) -> String {
    let survey = &found.survey;
    let recovery = &survey.recovery;
    let half = recovery.half_within();
    line(&RecordingJson {
        file: shown(&found.path).to_string(),
        format: found.format.name(),
        bytes: found.bytes,
        packets: survey.packets(),
        first: survey.span().map(|span| span.first()),
        last: survey.span().map(|span| span.last()),
        missing: ranges(survey.missing()),
        removed_messages: (found.format == Format::Nats).then_some(found.removed),
        tape: found.tape.as_ref().map(tape),
        recovered: RecoveredJson {
            packets: recovery.packets,
            gaps: recovery.gaps,
            half_within_ms: half.map(ms),
            slowest_ms: half.map(|_| ms(recovery.slowest)),
        },
        origins: survey.brought.iter().map(origin).collect(),
        symbols: survey
            .market
            .symbols()
            .map(|(symbol, figures)| SymbolJson {
                symbol: symbol.to_string(),
                packets: figures.packets,
                bought: figures.bought,
                sold: figures.sold,
                vwap: figures.average(),
                low: figures.low,
                high: figures.high,
                last: figures.last,
            })
            .collect(),
        other_symbols: survey.market.others(),
        books: survey.books.as_ref().map(book::json),
    })
}

fn origin(brought: &OriginStats) -> OriginJson {
    OriginJson {
        origin: Arrival { at: 0, origin: brought.origin }.origin_text(),
        packets: brought.packets,
        first: brought.arrived.map(|(first, _)| first),
        last: brought.arrived.map(|(_, last)| last),
    }
}

fn tape(tape: &InspectedTape) -> TapeFileJson {
    TapeFileJson {
        version: feed::tape::file::VERSION,
        session: tape.id(),
        session_last: tape.told.session.map(|_| tape.told.last),
        session_end: match tape.told.end {
            None | Some(SessionEnd::Open) => "unknown",
            Some(SessionEnd::Confirmed) => "confirmed",
            Some(SessionEnd::Inferred) => "inferred",
        },
        left_out_packets: tape.left_out,
        begun: tape.head.created,
        finished: tape.indexed,
        damages: tape.damages,
        damage: tape
            .damage
            .iter()
            .map(|place| DamageJson {
                offset: place.offset,
                bytes: place.bytes,
                packets: place.span.map(ReportRange::from),
            })
            .collect(),
        torn_and_mended: tape.scars,
        index_is_wrong: tape.misleading,
        repeated_packets: tape.repeated,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ComparisonJson {
    files: [String; 2],
    same: bool,
    first_difference: Option<u32>,
    equal: u64,
    only_in: [RangesJson; 2],
    different: RangesJson,
    /// The first packets that differ, as they are in the one file and in the other.
    shown: Vec<[String; 2]>,
}

pub(super) fn comparison(places: [&Path; 2], comparison: &Comparison) -> String {
    let first_difference = comparison.first_difference();
    line(&ComparisonJson {
        files: places.map(|path| shown(path).to_string()),
        same: first_difference.is_none(),
        first_difference,
        equal: comparison.equal(),
        only_in: [0, 1].map(|side| ranges(comparison.only_in(side))),
        different: ranges(comparison.different()),
        shown: comparison.shown().iter().map(|(a, b)| [packet(a), packet(b)]).collect(),
    })
}
