//! The state of the feed itself, whatever becomes of a page's link to the program. Pure functions
//! decide it; `client` and `exchange` give them what they see.

use feed::client::LineStats;
use feed::exchange::server::ConnectionView;
use feed::session::completeness::Completeness;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// A line that has brought nothing for this long is silent. Heartbeats come every second, so a
/// subscription that is alive is never that quiet.
pub(crate) const SILENT: Duration = Duration::from_millis(1500);

/// A connection that is held back and has sent nothing for this long is stalled. Faults that pace
/// single writes hold a connection back for less.
pub(crate) const STALLED: Duration = Duration::from_millis(100);

/// What the feed does.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FeedState {
    /// Client: no line has brought anything yet.
    #[default]
    Connecting,
    /// Client: a stream is being recorded.
    Recording,
    /// Client: a live session is followed.
    Following,
    /// Client: lines are connected and have brought nothing since then.
    Silent,
    /// Client: every attempt to connect has failed since then, on every line.
    Unreachable,
    /// Client: the recording is over and has all of its session.
    Complete,
    /// Client: the recording is over and lacks nothing so far. Its live session may go on.
    CompleteSoFar,
    /// Client: the recording is over and packets, or its end, are missing.
    Incomplete,
    /// Exchange: no client is connected.
    NoClient,
    /// Exchange: clients are connected and no stream is open.
    Idle,
    /// Exchange: streams are sent.
    Playing,
    /// Exchange: every open stream is held back by an order or a fault.
    Stalled,
    /// Exchange: all sending is paused by an order.
    Paused,
    /// Exchange: a fault has taken it down for a while.
    Down,
    /// Exchange: the live session is over and sent.
    Over,
}

/// States of a client.
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

/// States of an exchange.
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
    /// Returns the name that JSON and metrics have.
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

/// What a line of a client does.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineState {
    /// It has brought nothing yet.
    #[default]
    Connecting,
    /// It brings a stream.
    Streaming,
    /// It brings a live session.
    Following,
    /// It is connected and brings nothing.
    Silent,
    /// Every attempt to connect fails.
    Unreachable,
    /// It was given up.
    Dead,
}

impl LineState {
    /// Whether packets or heartbeats come.
    pub(crate) fn flows(self) -> bool {
        matches!(self, Self::Streaming | Self::Following)
    }
}

/// Returns what a line does at `now`, and since when; times are from the recorder's start.
pub(crate) fn line(stats: &LineStats, follow: bool, now: Duration) -> (LineState, Duration) {
    let heard = stats.last_heard.unwrap_or_default();
    if stats.given_up {
        return (LineState::Dead, stats.unreachable_since.unwrap_or(heard));
    }
    // While one connection brings packets, another one that cannot be opened is no outage.
    if stats.last_heard.is_some() && now.saturating_sub(heard) < SILENT {
        return (if follow { LineState::Following } else { LineState::Streaming }, heard);
    }
    match stats.unreachable_since {
        Some(since) => (LineState::Unreachable, since),
        None if stats.last_heard.is_none() => (LineState::Connecting, Duration::ZERO),
        None => (LineState::Silent, heard),
    }
}

/// Returns what a client's feed does, and since when where that matters: since when it is silent,
/// unreachable or over. `ended` is when the recording was over and how complete it is.
pub(crate) fn client(
    lines: &[(LineState, Duration)],
    follow: bool,
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
    if let Some(since) = newest(LineState::flows) {
        return (if follow { FeedState::Following } else { FeedState::Recording }, since);
    }
    // The last line to fall silent, or to go, has ended the feed.
    if let Some(since) = newest(|state| state == LineState::Silent) {
        return (FeedState::Silent, since);
    }
    if lines.iter().any(|(state, _)| *state == LineState::Connecting) {
        return (FeedState::Connecting, Duration::ZERO);
    }
    (FeedState::Unreachable, newest(|_| true).unwrap_or_default())
}

/// What an exchange does, apart from its connections.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct ExchangeView {
    pub(crate) paused: bool,
    /// Until when a fault has taken it down. That stays known until a client comes back.
    pub(crate) down_until: Option<Duration>,
    /// It plays a live session, and no more packets will come.
    pub(crate) over: bool,
    /// The last sequence of the tape so far.
    pub(crate) last: u32,
}

/// Whether nothing is sent on a connection because of an order or a fault.
pub(crate) fn is_stalled(seat: &ConnectionView, now: Duration) -> bool {
    seat.held_until.is_some_and(|until| until > now) && now >= seat.active + STALLED
}

/// Returns what an exchange's feed does, and since when where connections show that: when the last
/// stream was stalled.
pub(crate) fn exchange(
    view: ExchangeView,
    seats: impl Iterator<Item = ConnectionView>,
    now: Duration,
) -> (FeedState, Option<Duration>) {
    let (mut open, mut streaming, mut stalled) = (0_usize, 0_usize, 0_usize);
    let mut since = Duration::ZERO;
    for seat in seats {
        open += 1;
        // Of a session that is over, a stream is open until its last packet is sent.
        if seat.next.is_some_and(|next| !view.over || next <= view.last) {
            streaming += 1;
            if is_stalled(&seat, now) {
                stalled += 1;
                since = since.max(seat.active);
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

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn heard(millis: u64) -> LineStats {
        LineStats { reached: true, last_heard: Some(at(millis)), ..LineStats::default() }
    }

    #[test]
    fn a_line_is_silent_once_heartbeats_should_have_come() {
        let last = at(1000) + SILENT;
        let nearly = last.saturating_sub(at(1));
        assert_eq!(line(&heard(1000), true, nearly), (LineState::Following, at(1000)));
        assert_eq!(line(&heard(1000), false, nearly), (LineState::Streaming, at(1000)));
        assert_eq!(line(&heard(1000), true, last), (LineState::Silent, at(1000)));
    }

    #[test]
    fn a_line_that_cannot_be_reached_says_since_when() {
        let never = LineStats::default();
        assert_eq!(line(&never, true, at(9000)).0, LineState::Connecting);
        let failing = LineStats { unreachable_since: Some(at(5)), ..never };
        assert_eq!(line(&failing, true, at(9000)), (LineState::Unreachable, at(5)));
        let lost = LineStats { unreachable_since: Some(at(1200)), ..heard(1000) };
        assert_eq!(line(&lost, true, at(9000)), (LineState::Unreachable, at(1200)));
        assert!(line(&lost, true, at(1300)).0.flows(), "another connection still brings packets");
        let dead = LineStats { given_up: true, ..lost };
        assert_eq!(line(&dead, true, at(1300)), (LineState::Dead, at(1200)));
    }

    #[test]
    fn a_client_is_as_well_as_its_best_line() {
        use LineState::{Connecting, Dead, Following, Silent, Unreachable};
        let lines = |states: &[(LineState, u64)]| -> (FeedState, Duration) {
            let lines: Vec<_> = states.iter().map(|&(state, since)| (state, at(since))).collect();
            client(&lines, true, None)
        };
        assert_eq!(lines(&[(Connecting, 0)]).0, FeedState::Connecting);
        assert_eq!(lines(&[(Unreachable, 7), (Following, 9)]).0, FeedState::Following);
        assert_eq!(lines(&[(Silent, 7), (Silent, 9)]), (FeedState::Silent, at(9)));
        assert_eq!(lines(&[(Silent, 7), (Unreachable, 9)]), (FeedState::Silent, at(7)));
        assert_eq!(lines(&[(Unreachable, 7), (Dead, 9)]), (FeedState::Unreachable, at(9)));
        assert_eq!(lines(&[(Unreachable, 7), (Connecting, 0)]).0, FeedState::Connecting);
        assert_eq!(client(&[(Following, at(1))], false, None).0, FeedState::Recording);
        let over = |complete| client(&[(Following, at(1))], true, Some((at(50), complete)));
        assert_eq!(over(Completeness::Complete), (FeedState::Complete, at(50)));
        assert_eq!(over(Completeness::SoFar), (FeedState::CompleteSoFar, at(50)));
        assert_eq!(over(Completeness::Incomplete), (FeedState::Incomplete, at(50)));
    }

    #[test]
    fn the_page_has_words_for_each_state() {
        let page = include_str!("../page/feed.js");
        for state in CLIENT.into_iter().chain(EXCHANGE) {
            let name = state.name();
            assert!(page.contains(&format!("\n  {name}: [\"")), "{name}");
        }
    }

    fn seat(next: Option<u32>, active: u64, held_until: Option<u64>) -> ConnectionView {
        ConnectionView {
            connection: 1,
            kind: "subscriber",
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
        let look = |seats: &[ConnectionView]| exchange(view, seats.iter().copied(), now);
        let is = |seats: &[ConnectionView]| look(seats).0;
        assert_eq!(is(&[]), FeedState::NoClient);
        assert_eq!(is(&[seat(None, 0, None)]), FeedState::Idle);
        let flowing = seat(Some(5), 990, None);
        let held = seat(Some(5), 900, Some(1500));
        assert_eq!(is(&[flowing]), FeedState::Playing);
        assert_eq!(is(&[held, flowing]), FeedState::Playing);
        assert_eq!(is(&[held, seat(None, 0, None)]), FeedState::Stalled);
        let earlier = seat(Some(5), 700, Some(2000));
        assert_eq!(look(&[earlier, held]), (FeedState::Stalled, Some(at(900))));
        assert_eq!(is(&[seat(Some(5), 901, Some(1500))]), FeedState::Playing, "a paced write");
        assert_eq!(is(&[seat(Some(5), 0, Some(1000))]), FeedState::Playing, "it has ended");
    }

    #[test]
    fn what_is_done_to_an_exchange_goes_before_what_it_would_do() {
        let seats = || [seat(Some(11), 0, None)].into_iter();
        let view = ExchangeView { last: 10, ..ExchangeView::default() };
        let is = |view| exchange(view, seats(), at(1000)).0;
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
    fn names_are_those_of_the_json() {
        for state in CLIENT.into_iter().chain(EXCHANGE) {
            let json = serde_json::to_value(state).unwrap();
            assert_eq!(json, state.name());
        }
    }
}
