//! State of the feed itself, independent of a page's connection to the program. Pure functions
//! decide it from what `client` and `exchange` observe.

use feed::client::LineStats;
use feed::exchange::server::ConnectionView;
use feed::session::completeness::Completeness;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// Time without data after which a line is silent. Heartbeats arrive every second, so a working
/// subscription is never quiet for that long.
pub(crate) const SILENT: Duration = Duration::from_millis(1500);

/// Time without sending after which a connection that is held back is stalled. Faults that pace
/// single writes hold a connection back for less.
pub(crate) const STALLED: Duration = Duration::from_millis(100);

/// State of the feed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FeedState {
    /// Client: no line has delivered data yet.
    #[default]
    Connecting,
    /// Client: a stream is being recorded.
    Recording,
    /// Client: a live session is followed.
    Following,
    /// Client: lines are connected, but no data has arrived for 1.5 s.
    Silent,
    /// Client: every attempt to connect fails, on every line.
    Unreachable,
    /// Client: the recording is over and has every packet of its session.
    Complete,
    /// Client: the recording is over and no packet is missing, but its live session may go on.
    CompleteSoFar,
    /// Client: the recording is over; packets are missing, or the end of the session is unknown.
    Incomplete,
    /// Exchange: no client is connected.
    NoClient,
    /// Exchange: clients are connected and no stream is open.
    Idle,
    /// Exchange: streams are sent.
    Playing,
    /// Exchange: every open stream is held back by a command or a fault.
    Stalled,
    /// Exchange: all sending is paused by a command.
    Paused,
    /// Exchange: a fault has taken the exchange down for a while.
    Down,
    /// Exchange: the live session is over and every packet is sent.
    Over,
}

/// States that a client's feed can have.
pub(crate) const CLIENT: [FeedState; 8] = [
    FeedState::Connecting,
    FeedState::Recording,
    FeedState::Following,
    FeedState::Silent,
    FeedState::Unreachable,
    FeedState::Complete,
    FeedState::CompleteSoFar,
    FeedState::Incomplete,
];

/// States that an exchange's feed can have.
pub(crate) const EXCHANGE: [FeedState; 7] = [
    FeedState::NoClient,
    FeedState::Idle,
    FeedState::Playing,
    FeedState::Stalled,
    FeedState::Paused,
    FeedState::Down,
    FeedState::Over,
];

impl FeedState {
    /// Returns the name in JSON and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Recording => "recording",
            Self::Following => "following",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::Complete => "complete",
            Self::CompleteSoFar => "complete_so_far",
            Self::Incomplete => "incomplete",
            Self::NoClient => "no_client",
            Self::Idle => "idle",
            Self::Playing => "playing",
            Self::Stalled => "stalled",
            Self::Paused => "paused",
            Self::Down => "down",
            Self::Over => "over",
        }
    }
}

/// State of a client's line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineState {
    /// No data has arrived yet.
    #[default]
    Connecting,
    /// A stream arrives.
    Streaming,
    /// A live session arrives.
    Following,
    /// Line is connected, but no data arrives.
    Silent,
    /// Every attempt to connect fails.
    Unreachable,
    /// The client has given the line up.
    Dead,
}

impl LineState {
    /// Returns whether packets or heartbeats arrive.
    pub(crate) fn is_receiving(self) -> bool {
        matches!(self, Self::Streaming | Self::Following)
    }
}

/// Mode of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Client that records a session to its end.
    Record,
    /// Follows a live session.
    Follow,
}

/// Returns the state of a line at `now` and the start of that state. Times are from the recorder's
/// start.
pub(crate) fn line(stats: &LineStats, mode: Mode, now: Duration) -> (LineState, Duration) {
    let heard = stats.last_heard.unwrap_or_default();
    if stats.given_up {
        return (LineState::Dead, stats.unreachable_since.unwrap_or(heard));
    }
    // A line has several connections. While one of them receives packets, another one that cannot
    // be opened is no outage.
    if stats.last_heard.is_some() && now.saturating_sub(heard) < SILENT {
        let state = match mode {
            Mode::Record => LineState::Streaming,
            Mode::Follow => LineState::Following,
        };
        return (state, heard);
    }
    match stats.unreachable_since {
        Some(since) => (LineState::Unreachable, since),
        // A line that was never heard is not silent yet.
        None if stats.last_heard.is_none() => (LineState::Connecting, Duration::ZERO),
        None => (LineState::Silent, heard),
    }
}

/// Returns the state of a client's feed and the start of that state. `ended` is the end of the
/// recording and its completeness.
pub(crate) fn client(
    lines: &[(LineState, Duration)],
    mode: Mode,
    ended: Option<(Duration, Completeness)>,
) -> (FeedState, Duration) {
    match ended {
        Some((at, Completeness::Complete)) => return (FeedState::Complete, at),
        Some((at, Completeness::SoFar)) => return (FeedState::CompleteSoFar, at),
        Some((at, Completeness::Incomplete)) => return (FeedState::Incomplete, at),
        None => {}
    }
    let newest = |of: fn(LineState) -> bool| {
        let times = lines.iter().filter(|(state, _)| of(*state)).map(|(_, since)| *since);
        times.max()
    };
    if let Some(since) = newest(LineState::is_receiving) {
        let state = match mode {
            Mode::Record => FeedState::Recording,
            Mode::Follow => FeedState::Following,
        };
        return (state, since);
    }
    // The feed ended when the last line fell silent or became unreachable, so the newest time
    // counts.
    if let Some(since) = newest(|state| state == LineState::Silent) {
        return (FeedState::Silent, since);
    }
    if lines.iter().any(|(state, _)| *state == LineState::Connecting) {
        return (FeedState::Connecting, Duration::ZERO);
    }
    (FeedState::Unreachable, newest(|_| true).unwrap_or_default())
}

/// State of an exchange, apart from its connections.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct ExchangeView {
    pub(crate) paused: bool,
    /// Time until which a fault has taken the exchange down. It is kept until a client returns.
    pub(crate) down_until: Option<Duration>,
    /// True if the exchange plays a live session that is over.
    pub(crate) over: bool,
    /// Last sequence of the tape so far.
    pub(crate) last: u64,
}

/// Returns whether a command or a fault holds back the sending on a connection.
pub(crate) fn is_stalled(connection: &ConnectionView, now: Duration) -> bool {
    connection.held_until.is_some_and(|until| until > now) && now >= connection.active + STALLED
}

/// Returns the state of an exchange's feed; if it is stalled, with the time at which the last
/// stream was stalled.
pub(crate) fn exchange(
    view: ExchangeView,
    connections: impl Iterator<Item = ConnectionView>,
    now: Duration,
) -> (FeedState, Option<Duration>) {
    let (mut open, mut streaming, mut stalled) = (0_usize, 0_usize, 0_usize);
    let mut since = Duration::ZERO;
    for connection in connections {
        open += 1;
        // After the end of a session, a stream counts until its last packet is sent.
        if connection.next.is_some_and(|next| !view.over || next <= view.last) {
            streaming += 1;
            if is_stalled(&connection, now) {
                stalled += 1;
                since = since.max(connection.active);
            }
        }
    }
    let state = match () {
        () if view.down_until.is_some_and(|until| until > now) => FeedState::Down,
        () if view.paused => FeedState::Paused,
        () if streaming > 0 && stalled == streaming => FeedState::Stalled,
        () if streaming > 0 => FeedState::Playing,
        () if view.over => FeedState::Over,
        () if open > 0 => FeedState::Idle,
        () => FeedState::NoClient,
    };
    (state, (state == FeedState::Stalled).then_some(since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::wire::Protocol;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn heard(millis: u64) -> LineStats {
        LineStats { reached: true, last_heard: Some(at(millis)), ..LineStats::default() }
    }

    #[test]
    fn a_line_is_silent_once_a_heartbeat_is_overdue() {
        let last = at(1000) + SILENT;
        let nearly = last.saturating_sub(at(1));
        assert_eq!(line(&heard(1000), Mode::Follow, nearly), (LineState::Following, at(1000)));
        assert_eq!(line(&heard(1000), Mode::Record, nearly), (LineState::Streaming, at(1000)));
        assert_eq!(line(&heard(1000), Mode::Follow, last), (LineState::Silent, at(1000)));
    }

    #[test]
    fn an_unreachable_line_has_the_time_since_when() {
        let never = LineStats::default();
        assert_eq!(line(&never, Mode::Follow, at(9000)).0, LineState::Connecting);
        let failing = LineStats { unreachable_since: Some(at(5)), ..never };
        assert_eq!(line(&failing, Mode::Follow, at(9000)), (LineState::Unreachable, at(5)));
        let broken = LineStats { unreachable_since: Some(at(1200)), ..heard(1000) };
        assert_eq!(line(&broken, Mode::Follow, at(9000)), (LineState::Unreachable, at(1200)));
        assert!(
            line(&broken, Mode::Follow, at(1300)).0.is_receiving(),
            "another connection still receives packets"
        );
        let dead = LineStats { given_up: true, ..broken };
        assert_eq!(line(&dead, Mode::Follow, at(1300)), (LineState::Dead, at(1200)));
    }

    #[test]
    fn a_clients_feed_has_the_state_of_its_best_line() {
        use LineState::{Connecting, Dead, Following, Silent, Unreachable};
        let lines = |states: &[(LineState, u64)]| -> (FeedState, Duration) {
            let lines: Vec<_> = states.iter().map(|&(state, since)| (state, at(since))).collect();
            client(&lines, Mode::Follow, None)
        };
        assert_eq!(lines(&[(Connecting, 0)]).0, FeedState::Connecting);
        assert_eq!(lines(&[(Unreachable, 7), (Following, 9)]).0, FeedState::Following);
        assert_eq!(lines(&[(Silent, 7), (Silent, 9)]), (FeedState::Silent, at(9)));
        assert_eq!(lines(&[(Silent, 7), (Unreachable, 9)]), (FeedState::Silent, at(7)));
        assert_eq!(lines(&[(Unreachable, 7), (Dead, 9)]), (FeedState::Unreachable, at(9)));
        assert_eq!(lines(&[(Unreachable, 7), (Connecting, 0)]).0, FeedState::Connecting);
        assert_eq!(client(&[(Following, at(1))], Mode::Record, None).0, FeedState::Recording);
        let over = |complete| client(&[(Following, at(1))], Mode::Follow, Some((at(50), complete)));
        assert_eq!(over(Completeness::Complete), (FeedState::Complete, at(50)));
        assert_eq!(over(Completeness::SoFar), (FeedState::CompleteSoFar, at(50)));
        assert_eq!(over(Completeness::Incomplete), (FeedState::Incomplete, at(50)));
    }

    #[test]
    fn the_page_has_a_label_for_each_state() {
        let page = include_str!("../page/feed_badge.js");
        for state in CLIENT.into_iter().chain(EXCHANGE) {
            let name = state.name();
            assert!(page.contains(&format!("\n  {name}: [\"")), "{name}");
        }
    }

    fn connection(next: Option<u64>, active: u64, held_until: Option<u64>) -> ConnectionView {
        ConnectionView {
            connection: 1,
            kind: "subscriber",
            protocol: Protocol::Betacrew,
            next,
            packets: 0,
            bytes: 0,
            opened: Duration::ZERO,
            active: at(active),
            held_until: held_until.map(at),
        }
    }

    #[test]
    fn an_exchange_is_stalled_once_every_stream_is() {
        let view = ExchangeView { last: 10, ..ExchangeView::default() };
        let now = at(1000);
        let look =
            |connections: &[ConnectionView]| exchange(view, connections.iter().copied(), now);
        let is = |connections: &[ConnectionView]| look(connections).0;
        assert_eq!(is(&[]), FeedState::NoClient);
        assert_eq!(is(&[connection(None, 0, None)]), FeedState::Idle);
        let flowing = connection(Some(5), 990, None);
        let held = connection(Some(5), 900, Some(1500));
        assert_eq!(is(&[flowing]), FeedState::Playing);
        assert_eq!(is(&[held, flowing]), FeedState::Playing);
        assert_eq!(is(&[held, connection(None, 0, None)]), FeedState::Stalled);
        let earlier = connection(Some(5), 700, Some(2000));
        assert_eq!(look(&[earlier, held]), (FeedState::Stalled, Some(at(900))));
        assert_eq!(
            is(&[connection(Some(5), 901, Some(1500))]),
            FeedState::Playing,
            "a paced write"
        );
        assert_eq!(is(&[connection(Some(5), 0, Some(1000))]), FeedState::Playing, "it has ended");
    }

    #[test]
    fn pauses_and_outages_override_the_state_of_streams() {
        let connections = || [connection(Some(11), 0, None)].into_iter();
        let view = ExchangeView { last: 10, ..ExchangeView::default() };
        let is = |view| exchange(view, connections(), at(1000)).0;
        assert_eq!(is(view), FeedState::Playing, "a live one waits for the next packet");
        let over = ExchangeView { over: true, ..view };
        assert_eq!(is(over), FeedState::Over);
        assert_eq!(is(ExchangeView { last: 11, ..over }), FeedState::Playing, "one is unsent");
        let paused = ExchangeView { paused: true, ..over };
        assert_eq!(is(paused), FeedState::Paused);
        let down = |until| is(ExchangeView { down_until: Some(at(until)), ..paused });
        assert_eq!((down(1001), down(1000)), (FeedState::Down, FeedState::Paused));
    }

    #[test]
    fn names_equal_the_json_names() {
        for state in CLIENT.into_iter().chain(EXCHANGE) {
            let json = serde_json::to_value(state).unwrap();
            assert_eq!(json, state.name());
        }
    }
}
