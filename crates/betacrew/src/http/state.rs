//! JSON answers of the HTTP address: `/api/state`, `/api/strip`, `/api/gaps`, `/api/history`.
//!
//! Times are in milliseconds; fields that do not apply to a role are absent. Packets that do not
//! arrive have three names: **dropped** (on purpose, by the exchange), **missed** (not delivered by
//! a line that should have) and **abandoned** (given up by the client). `docs/http.md` lists all
//! names.

pub(crate) mod books;
pub(crate) mod chart_history;
pub(crate) mod client;
pub(crate) mod client_watch;
pub(crate) mod connection_watch;
pub(crate) mod exchange;
pub(crate) mod exchange_events;
pub(crate) mod feed_state;
pub(crate) mod gap_history;
pub(crate) mod metrics;
pub(crate) mod mold_lines;
pub(crate) mod mold_snapshot;
pub(crate) mod recent_rates;
pub(crate) mod scenario_info;
pub(crate) mod soup_counters;
pub(crate) mod strip;

use crate::http::state::chart_history::Point;
use crate::http::state::feed_state::{FeedState, LineState};
use crate::http::state::mold_lines::MoldLineState;
use crate::http::state::mold_snapshot::MoldSnapshot;
use crate::http::state::soup_counters::{ListenerView, SoupCounters};
use schemars::JsonSchema;
use serde::Serialize;

/// State of an exchange or a client: the answer of `/api/state` and each event of `/api/events`.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct State {
    /// Role of the program: `exchange` or `client`.
    pub role: String,
    /// Version of the program.
    pub version: String,
    /// Time of this state, in milliseconds since 1970.
    pub now: u64,
    /// Start of the program, in milliseconds since 1970.
    pub started: u64,
    /// Start of the recording, in milliseconds since 1970; on a client. Times of gaps are relative
    /// to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_began: Option<u64>,
    /// State of the feed itself, independent of the HTTP connection.
    pub feed: Feed,
    /// Session that is played or recorded, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionView>,
    /// Name of the tape that is played; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tape: Option<String>,
    /// Counts since the start of the program (exchange) or of the recording (client).
    pub counters: Counters,
    /// Rates over the last second.
    pub rates: Rates,
    /// Time that recovered packets were missing, over the last five seconds; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Sequence up to which every packet is recorded; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontier: Option<u64>,
    /// Highest sequence known to exist; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<u64>,
    /// Number of packets between the slowest open stream and the tape's end; on an exchange with an
    /// open stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    /// Number of packets missing now; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// Number of open gaps; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_gaps: Option<u64>,
    /// Newest 50 gaps, newest first; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<Vec<GapView>>,
    /// Lines, in the order of the command line; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<LineSnapshot>>,
    /// First 100 connections; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<ConnectionState>>,
    /// Number of open connections; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_total: Option<u64>,
    /// Listeners; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listeners: Option<Vec<ListenerView>>,
    /// Counts of SoupBinTCP; on an exchange with a listener that speaks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soup: Option<SoupCounters>,
    /// Lines in MoldUDP64, in the order of the command line; on an exchange that has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mold: Option<Vec<MoldLineState>>,
    /// Order books of up to 50 symbols, of ITCH those with the most orders; absent if the messages
    /// are opaque. A client's are built from the messages before the first gap, an exchange's from
    /// its tape so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub book: Option<Vec<BookView>>,
    /// Number of all order books; of ITCH, of those with orders.
    pub book_total: u64,
    /// Number of messages that contradicted the order books and changed nothing; of ITCH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub book_refused: Option<u64>,
    /// Faults in force; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultsInForce>,
    /// Newest 50 events, newest first.
    pub events: Vec<Event>,
}

/// State of the feed and its start.
#[derive(Clone, Copy, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Feed {
    /// State of the feed.
    pub state: FeedState,
    /// Start of this state, in milliseconds since 1970.
    pub since: u64,
}

/// Session: its name and extent.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct SessionView {
    /// Id of the session.
    pub id: String,
    /// First sequence.
    pub first: u64,
    /// Last sequence so far; 0 if there is none.
    pub last: u64,
    /// True once no more packets will follow.
    pub over: bool,
    /// True if the session is live.
    pub live: bool,
}

/// Counts since the start of the program (exchange) or of the recording (client).
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Counters {
    /// Number of packets recorded (client) or sent (exchange).
    pub packets: u64,
    /// Number of bytes received (client) or sent (exchange).
    pub bytes: u64,
    /// Number of packets recorded from streams (client) or sent in streams (exchange).
    pub streamed: u64,
    /// Number of packets recorded from resends (client), or requested again by clients (exchange).
    pub resent: u64,
    /// Number of packets dropped from streams on purpose; on an exchange. SoupBinTCP loses none, so
    /// none of its messages count here. The share of dropped
    /// packets is `dropped / (streamed + dropped)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Number of resends dropped on purpose; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resends_dropped: Option<u64>,
    /// Number of packets received again after they were recorded; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<u64>,
    /// Number of packets that were missing and then arrived; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<u64>,
    /// Number of gaps found; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<u64>,
    /// Number of packets given up while they were missing; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<u64>,
    /// Number of calls refused; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Number of connections opened (client) or accepted (exchange).
    pub connections: u64,
    /// Number of connections that broke, were cut or could not be opened (client), or that a fault
    /// or a command ended (exchange).
    pub reconnects: u64,
}

/// Rates a second: received (client) or sent (exchange).
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Rates {
    /// Packets a second.
    pub packets: f64,
    /// Bytes a second.
    pub bytes: f64,
}

/// Time that recovered packets were missing.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Latency {
    /// Median, in milliseconds.
    pub resend_p50_ms: f64,
    /// 99th percentile, in milliseconds.
    pub resend_p99_ms: f64,
    /// Number of gaps, or pieces of gaps, that were measured.
    pub count: u64,
}

/// Gap of a recording. Times are in milliseconds since the start of the recording.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct GapView {
    /// Number of the gap, from 1 in the order of discovery.
    pub id: u64,
    /// First missing sequence.
    pub first: u64,
    /// Last missing sequence.
    pub last: u64,
    /// Number of packets of the gap that are still missing.
    pub missing: u64,
    /// Time at which the gap was found.
    pub opened: f64,
    /// Time of the first resend request for it.
    pub requested: Option<f64>,
    /// Number of requests for the gap. The pieces of a long gap count as one request.
    pub requests: u32,
    /// Time at which the gap's missing packets were given up. They may have arrived later.
    pub abandoned: Option<f64>,
    /// Time at which the gap's last missing packet arrived.
    pub filled: Option<f64>,
    /// Source of the gap's last missing packet: `resend` or `stream`; with several lines `resend,
    /// line 2` or `line 2`.
    pub filled_by: Option<String>,
    /// Cause of the gap, as far as it is known: `missed on line 1`, `missed on lines 1, 3`, `missed
    /// on every line`, `late on line 1`, or `at the end` if no later packet has arrived.
    pub cause: String,
}

/// Line of a client: one address of an exchange.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct LineSnapshot {
    /// Address of the exchange.
    pub address: String,
    /// State of the line.
    pub state: LineState,
    /// Time since which the line is silent, unreachable or dead, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Number of packets that the line delivered.
    pub delivered: u64,
    /// Number of packets that the line delivered before any other line.
    pub first: u64,
    /// Number of packets that the line's subscriptions should have delivered and did not.
    pub missed: u64,
    /// Number of subscriptions that ended before the session did.
    pub reconnects: u64,
    /// Protocol of the line: `betacrew`, `soup` or `mold`.
    pub protocol: String,
    /// Counters of a line that speaks SoupBinTCP, which has no gaps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soup: Option<SoupSnapshot>,
    /// Counters of a line that speaks MoldUDP64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mold: Option<MoldSnapshot>,
}

/// Counters of a line that speaks SoupBinTCP.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct SoupSnapshot {
    /// Number of logins that were accepted.
    pub logins: u64,
    /// Number of logins that were rejected.
    pub rejects: u64,
    /// Reason of the latest rejection, if no login was accepted since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection: Option<String>,
    /// Number of connections given up because no packet came for too long.
    pub silences: u64,
    /// Number of heartbeats of the exchange.
    pub heartbeats: u64,
}

/// Connection of an exchange.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct ConnectionState {
    /// Number of the connection, from 1 in the order of acceptance.
    pub id: u64,
    /// Address of the connection's client.
    pub peer: String,
    /// Protocol of the connection: `betacrew` or `soup`.
    pub protocol: String,
    /// Kind of the connection: `stream`, `subscriber`, `resend`, `login` (not logged in yet) or
    /// `idle`.
    pub kind: String,
    /// Next sequence of the connection's stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Number of packets sent.
    pub packets: u64,
    /// Number of bytes sent.
    pub bytes: u64,
    /// Number of packets between the connection's stream and the tape's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Time at which the connection was opened, in milliseconds since 1970.
    pub since: u64,
    /// True while a command or a fault holds back its sending.
    pub stalled: bool,
}

/// Order book of a symbol. Levels are pairs of price and quantity, the best first.
#[derive(Clone, Default, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct BookView {
    /// Name of the symbol.
    pub symbol: String,
    /// Code of the stock; of ITCH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock_locate: Option<u16>,
    /// Number of resting orders; of ITCH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orders: Option<u64>,
    /// Best bid: price and quantity.
    pub bid: Option<(BookPrice, i64)>,
    /// Best ask: price and quantity.
    pub ask: Option<(BookPrice, i64)>,
    /// Price of the last trade; of order packets.
    pub last: Option<BookPrice>,
    /// Best bids, up to five levels.
    pub bids: Vec<(BookPrice, i64)>,
    /// Best asks, up to five levels.
    pub asks: Vec<(BookPrice, i64)>,
}

impl BookView {
    /// Creates the book of these levels.
    fn of_levels(bids: Vec<(BookPrice, i64)>, asks: Vec<(BookPrice, i64)>) -> Self {
        let (bid, ask) = (bids.first().copied(), asks.first().copied());
        Self { bid, ask, bids, asks, ..Self::default() }
    }
}

/// Price in an order book.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum BookPrice {
    /// Price of an order packet, which has no unit.
    Units(i32),
    /// Price of an ITCH message, with at most four decimals.
    Dollars(f64),
}

/// Faults in force on an exchange.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct FaultsInForce {
    /// Name of the scenario.
    pub scenario: String,
    /// Description of the scenario.
    pub about: String,
    /// Seed of all random decisions.
    pub seed: u64,
    /// Probability with which each packet is dropped, if the scenario has no other fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<f64>,
    /// True while all sending is paused.
    pub paused: bool,
    /// Number of packets still to be dropped by `/api/drop`.
    pub drops_pending: u32,
    /// Fault rules, in the order of evaluation.
    pub rules: Vec<Rule>,
}

/// Fault rule.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Rule {
    /// Fault, in words.
    pub text: String,
    /// Number of times that the rule was applied since it came into force.
    pub applied: u64,
}

/// Kind of an event. Charts mark every kind except log lines.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// Line of the log.
    #[default]
    Log,
    /// Faults in force were changed.
    Faults,
    /// Drops were commanded (`/api/drop`).
    Drop,
    /// All sending was paused or resumed.
    Pause,
    /// Connections were stalled, or send again after a stall.
    Stall,
    /// Connections were cut by a command, or the exchange went down.
    Cut,
    /// Connection was opened, or a line returned.
    Connected,
    /// Connection was closed, or a subscription ended before its session did.
    Disconnected,
    /// Line fell silent.
    Silent,
    /// Line cannot be reached, or was given up.
    Unreachable,
    /// Session with another id began.
    Session,
    /// Session (exchange) or recording (client) is over.
    Over,
}

/// Event: a log line, or a change of the feed that charts mark.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Event {
    /// Time, in milliseconds since 1970.
    pub at: u64,
    /// Kind of the event.
    pub kind: EventKind,
    /// Description, one line.
    pub text: String,
}

/// Part of the sequence strip: counts of a range of sequences, cell by cell.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct StripView {
    /// First sequence.
    pub from: u64,
    /// Last sequence.
    pub to: u64,
    /// Number of sequences a cell; the last cell may have fewer.
    pub width: u64,
    /// Smallest cell width whose counts are exact. Counts of narrower cells are estimates, because
    /// sequences are counted in blocks, or because there are too many gaps to look at each.
    pub exact: u64,
    /// Four counts a cell. A client's: received at once, recovered, missing and not requested,
    /// missing and requested. An exchange's, over all streams of this session: sent in streams,
    /// requested again, dropped from streams, and 0. Its share of dropped packets is
    /// `dropped / (sent + dropped)`.
    pub cells: Vec<[u64; 4]>,
}

/// Chart history of the last ten minutes: the answer of `/api/history`.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct History {
    /// Interval between two points, in milliseconds; longer if the program was too busy.
    pub interval_ms: u64,
    /// Points of the last ten minutes, oldest first.
    pub points: Vec<Point>,
    /// Newest 200 events other than log lines, oldest first.
    pub events: Vec<Event>,
}

/// Page of gaps: the answer of `/api/gaps`.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Gaps {
    /// Gaps after the requested number, oldest first.
    pub gaps: Vec<GapView>,
    /// Value of `?after=` for the next page.
    pub after: u64,
}

/// Built-in scenario.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct ScenarioEntry {
    /// Name of the scenario.
    pub name: String,
    /// Description, one line.
    pub about: String,
    /// Protocols in which the scenario does something.
    pub protocols: Vec<String>,
    /// Scenario file, in TOML.
    pub toml: String,
}

/// Answer to a command that was carried out.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct CommandDone {
    /// Description of the effect.
    pub done: String,
}

/// Answer to a request that was refused.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Refusal {
    /// Reason of the refusal.
    pub error: String,
    /// Values that are allowed.
    pub allowed: String,
    /// True if the connection or scenario that a command names does not exist (status 404).
    #[serde(skip)]
    pub not_found: bool,
}
