//! JSON that `betacrew inspect --json` prints.

use super::reading::{InspectedTape, Inspection};
use super::{book, messages};
use crate::format::{Arrival, Format};
use crate::record::report::{ReportRange, ms};
use crate::text::formatting::message;
use crate::text::location::shown;
use feed::analysis::compare::Comparison;
use feed::analysis::survey::{MissingRanges, OriginStats};
use feed::tape::file::SessionEnd;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// Maximum number of ranges that are listed.
pub(super) const LISTED: usize = 10_000;

/// Name and version of the schema of a recording's description.
pub(crate) const RECORDING: &str = "urn:betacrew:inspect:1";

/// Name and version of the schema of a comparison.
pub(crate) const COMPARISON: &str = "urn:betacrew:comparison:1";

/// Description of a recording. Times are in nanoseconds since 1970, durations in milliseconds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordingJson {
    /// Name and version of the schema of this description.
    #[schemars(extend("const" = RECORDING))]
    schema: &'static str,
    /// Path of the file, or URL of the log.
    file: String,
    /// Name of the format.
    format: &'static str,
    /// Size in bytes; null for a pipe or a log.
    bytes: Option<u64>,
    /// Number of packets.
    packets: u64,
    /// Lowest sequence.
    first: Option<u64>,
    /// Highest sequence.
    last: Option<u64>,
    /// Missing packets.
    missing: RangesJson,
    /// Number of messages removed from the end of a log. The number of packets in them is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_messages: Option<u64>,
    /// Details of a tape file.
    tape: Option<TapeFileJson>,
    /// Packets that a resend or a later pass recovered.
    recovered: RecoveredJson,
    /// Origins of the packets.
    origins: Vec<OriginJson>,
    /// Statistics of messages that are no order packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<messages::MessagesJson>,
    /// Figures of each symbol.
    symbols: Vec<SymbolJson>,
    /// Number of packets of symbols beyond the maximum number that is counted.
    other_symbols: u64,
    /// Order books, with `--book`.
    #[serde(skip_serializing_if = "Option::is_none")]
    books: Option<BooksJson>,
}

/// Order books of a payload.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum BooksJson {
    /// Books of order packets.
    Orders(Vec<book::BookReport>),
    /// Books of ITCH messages.
    Itch(Vec<messages::ItchBookJson>),
}

/// Ranges of packets. All are counted, the first 10,000 are listed.
#[derive(Serialize, JsonSchema)]
struct RangesJson {
    /// Number of packets.
    packets: u64,
    /// Number of ranges.
    ranges: u64,
    /// First ranges.
    listed: Vec<ReportRange>,
}

/// Details of a tape file.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TapeFileJson {
    /// Version of the file format.
    version: u16,
    /// Id of the session, if it is known.
    session: Option<String>,
    /// Last packet that an exchange has reported.
    session_last: Option<u64>,
    /// Knowledge of the session's end: `confirmed`, `inferred` or `unknown`.
    session_end: &'static str,
    /// Number of packets of another or an unknown session.
    left_out_packets: u64,
    /// Time at which the recording started.
    started: u64,
    /// True if the recording was finished.
    finished: bool,
    /// Number of damaged places.
    damages: u64,
    /// First damaged places.
    damage: Vec<DamageJson>,
    /// Number of places torn by a crash, whose packets are recorded again later.
    torn_and_repaired: u32,
    /// True if the index does not match the blocks.
    index_is_wrong: bool,
    /// Number of packets recorded more than once.
    repeated_packets: u64,
}

/// Damaged place of a tape file.
#[derive(Serialize, JsonSchema)]
struct DamageJson {
    /// Position in bytes from the beginning of the file.
    offset: u64,
    /// Length in bytes.
    bytes: u64,
    /// Range of the packets in the place, if it is known.
    packets: Option<ReportRange>,
}

/// Packets that a resend or a later pass recovered.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RecoveredJson {
    /// Number of packets.
    packets: u64,
    /// Number of gaps that recovered packets have filled.
    gaps: u64,
    /// Time within which half of them were recovered.
    half_within_ms: Option<f64>,
    /// Time after which the last was recovered.
    slowest_ms: Option<f64>,
}

/// Packets of one origin.
#[derive(Serialize, JsonSchema)]
struct OriginJson {
    /// Origin, such as "pass 1"; null if it is unknown.
    origin: Option<String>,
    /// Number of packets.
    packets: u64,
    /// Time of the first packet.
    first: Option<u64>,
    /// Time of the last packet.
    last: Option<u64>,
}

/// Figures of one symbol.
#[derive(Serialize, JsonSchema)]
struct SymbolJson {
    /// Symbol.
    symbol: String,
    /// Number of packets.
    packets: u64,
    /// Quantity bought.
    bought: i64,
    /// Quantity sold.
    sold: i64,
    /// Average price, weighted by quantity.
    vwap: Option<f64>,
    /// Lowest price.
    low: i32,
    /// Highest price.
    high: i32,
    /// Last price.
    last: i32,
}

/// Returns a value as one line of JSON.
fn line(value: &impl Serialize) -> String {
    // Strings, numbers and lists always have a JSON form, so the default is never used.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

fn ranges(found: &MissingRanges) -> RangesJson {
    let listed = found.listed().ranges().iter().copied().map(ReportRange::from).collect();
    RangesJson { packets: found.packets(), ranges: found.gaps(), listed }
}

/// Returns the description of a recording.
pub(super) fn found(found: &Inspection) -> String {
    let survey = &found.survey;
    let recovery = &survey.recovery;
    let half = recovery.half_within();
    line(&RecordingJson {
        schema: RECORDING,
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
        messages: survey.messages.as_ref().map(messages::json),
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
        books: match &survey.itch_books {
            Some(books) => Some(BooksJson::Itch(messages::books_json(books))),
            None => survey.books.as_ref().map(|books| BooksJson::Orders(book::json(books))),
        },
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
        session_last: tape.session_facts.session.map(|_| tape.session_facts.last),
        session_end: match tape.session_facts.end {
            None | Some(SessionEnd::Open) => "unknown",
            Some(SessionEnd::Confirmed) => "confirmed",
            Some(SessionEnd::Inferred) => "inferred",
        },
        left_out_packets: tape.left_out,
        started: tape.head.created,
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
        torn_and_repaired: tape.torn_places,
        index_is_wrong: tape.has_wrong_index,
        repeated_packets: tape.repeated,
    }
}

/// Differences between two recordings.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ComparisonJson {
    /// Name and version of the schema of this comparison.
    #[schemars(extend("const" = COMPARISON))]
    schema: &'static str,
    /// Paths of the two files.
    files: [String; 2],
    /// True if both have the same packets.
    same: bool,
    /// Lowest sequence at which the files differ.
    first_difference: Option<u64>,
    /// Number of packets that are equal in both.
    equal: u64,
    /// Packets that are only in the first file, and only in the second.
    only_in: [RangesJson; 2],
    /// Packets that are in both and differ.
    different: RangesJson,
    /// First packets that differ, each as it is in the first and in the second file.
    shown: Vec<[String; 2]>,
}

/// Returns the description of how two recordings differ.
pub(super) fn comparison(places: [&Path; 2], comparison: &Comparison) -> String {
    let first_difference = comparison.first_difference();
    line(&ComparisonJson {
        schema: COMPARISON,
        files: places.map(|path| shown(path).to_string()),
        same: first_difference.is_none(),
        first_difference,
        equal: comparison.equal(),
        only_in: [0, 1].map(|side| ranges(comparison.only_in(side))),
        different: ranges(comparison.different()),
        shown: comparison
            .shown()
            .iter()
            .map(|shown| [message(shown.seq, &shown.left), message(shown.seq, &shown.right)])
            .collect(),
    })
}
