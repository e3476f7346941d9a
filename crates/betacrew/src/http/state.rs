//! What the HTTP address tells: the JSON of `/api/state`, `/api/strip` and `/api/gaps`. Times are
//! in milliseconds; fields that do not apply are absent.

pub(crate) mod books;
pub(crate) mod chart_history;
pub(crate) mod client;
pub(crate) mod client_watch;
pub(crate) mod connection_watch;
pub(crate) mod exchange;
pub(crate) mod feed_state;
pub(crate) mod gap_history;
pub(crate) mod metrics;
pub(crate) mod strip;

use crate::http::state::chart_history::Point;
use crate::http::state::feed_state::{FeedState, LineState};
use schemars::JsonSchema;
use serde::Serialize;

/// Everything that is told at once.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct State {
    /// `exchange` or `client`.
    pub role: String,
    /// The program's version.
    pub version: String,
    /// When this was looked up, since 1970.
    pub now: u64,
    /// When the program began, since 1970.
    pub started: u64,
    /// When the recording began, since 1970: times of gaps are from then; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_began: Option<u64>,
    /// What the feed does, whatever becomes of the connection over which this is asked.
    pub feed: Feed,
    /// The session, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionView>,
    /// What is played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tape: Option<String>,
    /// What was counted since the program (the recording) began.
    pub counters: Counters,
    /// Over the last second.
    pub rates: Rates,
    /// How long what was missing was missing, over the last seconds; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Everything up to this sequence is recorded; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontier: Option<u32>,
    /// The highest sequence known; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<u32>,
    /// Packets that the stream furthest behind is behind the tape's end, if one is open; on an
    /// exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<u32>,
    /// How many packets are missing; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// In how many gaps; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_gaps: Option<u64>,
    /// The newest 50 gaps, the newest first; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<Vec<GapView>>,
    /// The lines; on a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<LineSnapshot>>,
    /// The first 100 connections; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<ConnectionState>>,
    /// How many connections there are; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_total: Option<u64>,
    /// The books of up to 50 symbols: of a client, of what is recorded without a gap; of an
    /// exchange, of its tape so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub book: Option<Vec<BookView>>,
    /// What goes wrong; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultsInForce>,
    /// The newest 50 events, the newest first.
    pub events: Vec<Event>,
}

/// State of the feed.
#[derive(Clone, Copy, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Feed {
    /// What it does.
    pub state: FeedState,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
}

/// A session.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct SessionView {
    /// Its id.
    pub id: String,
    /// The first sequence.
    pub first: u32,
    /// The last sequence so far; 0 where there is none.
    pub last: u32,
    /// Whether no more packets will come.
    pub over: bool,
    /// Whether it is a live session.
    pub live: bool,
}

/// Counts since the beginning.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Counters {
    /// Packets recorded (client) or sent (exchange).
    pub packets: u64,
    /// Bytes received or sent.
    pub bytes: u64,
    /// Packets that streams brought (client) or sent (exchange).
    pub streamed: u64,
    /// Packets that resends brought (client), or that were requested again (exchange).
    pub resent: u64,
    /// Packets that streams dropped on purpose: of all that came up in streams, the share
    /// `dropped / (streamed + dropped)`; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Resends that were dropped on purpose; on an exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resends_dropped: Option<u64>,
    /// Packets that had been recorded before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeated: Option<u64>,
    /// Packets that were missing and came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<u64>,
    /// Gaps found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<u64>,
    /// Packets that were given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Calls that were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Connections made or accepted.
    pub connections: u64,
    /// Connections that broke, were cut off or could not be opened (client), or that a fault or an
    /// order has ended (exchange).
    pub reconnects: u64,
}

/// What comes or goes in a second.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Rates {
    /// Packets.
    pub packets: f64,
    /// Bytes.
    pub bytes: f64,
}

/// How long what was missing was missing.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Latency {
    /// The median.
    pub resend_p50_ms: f64,
    /// 99 of 100 were no longer missing than this.
    pub resend_p99_ms: f64,
    /// Of so many gaps, or pieces of gaps.
    pub count: u64,
}

/// A gap. Times are since the recording began.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct GapView {
    /// Its number, from 1.
    pub id: u64,
    /// The first sequence that was missing.
    pub first: u32,
    /// The last one.
    pub last: u32,
    /// How many of them are still missing.
    pub missing: u32,
    /// When it was found.
    pub opened: f64,
    /// When it was asked for first.
    pub asked: Option<f64>,
    /// How often it was asked for; in pieces, if it is long.
    pub asks: u32,
    /// When what was still missing was given up; it may have come all the same.
    pub given_up: Option<f64>,
    /// When the last of it came.
    pub filled: Option<f64>,
    /// What brought the last of it: `resend`, `stream`; of several lines `resend, line 2`, `line
    /// 2`.
    pub by: Option<String>,
    /// How it came about, as far as is known: `lost on line 1`, `lost on lines 1, 3`, `lost on
    /// every line`, `late on line 1`, or `at the end`, where nothing that lies behind it has come.
    pub cause: String,
}

/// A line of a client.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct LineSnapshot {
    /// Where it is.
    pub address: String,
    /// What it does.
    pub state: LineState,
    /// Since when it is silent, unreachable or dead, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Packets that it brought.
    pub delivered: u64,
    /// Packets that it was the first to bring.
    pub first: u64,
    /// Packets that its subscriptions should have brought and did not.
    pub lost: u64,
    /// Subscriptions that ended before the session.
    pub reconnects: u64,
}

/// A connection of an exchange.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct ConnectionState {
    /// Its number, from 1 in the order in which they were accepted.
    pub id: u64,
    /// Its client's address.
    pub peer: String,
    /// `stream`, `subscriber`, `resend` or `idle`.
    pub kind: String,
    /// The next sequence of its stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Packets sent.
    pub packets: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// How many packets it is behind the tape's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u32>,
    /// Since when it is open, in milliseconds since 1970.
    pub since: u64,
    /// Whether nothing is sent on it because of an order or a fault.
    pub stalled: bool,
}

/// The best of a symbol's book: price and quantity, the best first.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct BookView {
    /// The symbol.
    pub symbol: String,
    /// The best bid.
    pub bid: Option<(i32, i64)>,
    /// The best ask.
    pub ask: Option<(i32, i64)>,
    /// The price of the last trade.
    pub last: Option<i32>,
    /// Up to five levels.
    pub bids: Vec<(i32, i64)>,
    /// Up to five levels.
    pub asks: Vec<(i32, i64)>,
}

/// What goes wrong.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct FaultsInForce {
    /// The scenario's name.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// What decides everything random.
    pub seed: u64,
    /// With which probability each packet is lost, where that is all that is random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<f64>,
    /// Whether all sending stands still.
    pub paused: bool,
    /// So many packets more are lost by order.
    pub losing: u32,
    /// The rules, in the order in which they are decided.
    pub rules: Vec<Rule>,
}

/// One thing that goes wrong.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Rule {
    /// What, in words.
    pub text: String,
    /// How often it has happened since it is in force.
    pub struck: u64,
}

/// Kind of an event. All but log lines are marked in the charts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// A line of the log.
    #[default]
    Log,
    /// Other faults are in force.
    Faults,
    /// Losses were ordered.
    Lose,
    /// All sending was paused, or goes on.
    Pause,
    /// Connections are stalled, or go on after that.
    Stall,
    /// Connections were cut by order, or the exchange is down.
    Cut,
    /// A connection was opened, or a line came back.
    Connected,
    /// A connection was closed, or a subscription ended before its session.
    Disconnected,
    /// A line fell silent.
    Silent,
    /// A line cannot be reached, or was given up.
    Unreachable,
    /// Another session began.
    Session,
    /// The session, or the recording, is over.
    Over,
}

/// Something that happened.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Event {
    /// When, since 1970.
    pub at: u64,
    /// What kind of thing.
    pub kind: EventKind,
    /// What.
    pub text: String,
}

/// A stretch of sequences, cell by cell.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct StripView {
    /// The first sequence.
    pub from: u32,
    /// The last one.
    pub to: u32,
    /// How many sequences a cell has (the last one fewer).
    pub width: u32,
    /// Cells of fewer sequences than this are estimates: a share of what was counted together, or
    /// of too many gaps to look at each.
    pub exact: u32,
    /// Of a client: received at once, recovered, missing and not asked for, missing and asked for;
    /// of an exchange: sent by streams, requested again, dropped by streams and 0, over all streams
    /// of this session. There, `dropped / (sent + dropped)` is the share that was lost.
    pub cells: Vec<[u64; 4]>,
}

/// The last minutes.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct History {
    /// Time between two points, in milliseconds; longer where the program was too busy.
    pub interval_ms: u64,
    /// Points of the last ten minutes, the oldest first.
    pub points: Vec<Point>,
    /// The newest 200 events other than log lines, the oldest first.
    pub events: Vec<Event>,
}

/// Gaps.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Gaps {
    /// The newest ones, the oldest of them first.
    pub gaps: Vec<GapView>,
    /// What to ask for next: `?after=`.
    pub after: u64,
}

/// A built-in scenario.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct TapeEntry {
    /// Its name.
    pub name: String,
    /// What it is about, in a line.
    pub about: String,
    /// Its TOML.
    pub toml: String,
}

/// An order was carried out.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Done {
    /// What was done.
    pub done: String,
}

/// A request that makes no sense.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct Refused {
    /// What is wrong.
    pub error: String,
    /// What would be right.
    pub allowed: String,
    /// What was named is not there.
    #[serde(skip)]
    pub absent: bool,
}
