//! Deadlines of a recorder: one table of named timers, and the waits that they are made of.
//!
//! No timer is stored. The table is a function of the recorder's state, so that a timer can neither
//! be forgotten nor outlive its reason. [`Recorder::deadline`] is the minimum of the table, and
//! [`Recorder::timers`] prints it for traces.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState, ConnectionWire};
use super::line::{Dialect, LineState};
use super::{ConnId, Recorder};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Minimum wait for the answer to a describe call before passes begin without it.
pub const DESCRIBE_WAIT: Duration = Duration::from_millis(25);

/// Minimum wait for the answer to a describe call if a recording of a known session cannot go on
/// without it, from the first bytes that the line sends. A line that sends nothing has
/// [`RecorderOptions::timeout`].
///
/// [`RecorderOptions::timeout`]: crate::client::RecorderOptions::timeout
pub const SESSION_WAIT: Duration = Duration::from_secs(2);

/// Minimum wait for the answer to a resend request; doubled with each failure.
pub const ANSWER_WAIT: Duration = Duration::from_millis(250);

/// First pause between two attempts; doubled with each failure.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// Longest pause between two attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Silence after which a stream does not keep the other lines waiting.
pub const STREAM_LAG: Duration = Duration::from_millis(250);

/// Silence of all streams after which the rest of a session whose end is known is requested
/// instead.
pub const STREAM_SILENCE: Duration = Duration::from_secs(2);

/// Time for which an unreachable line keeps a session from counting as over, once another line
/// plays another session or reports the end.
pub const LINE_ABSENCE_MAX: Duration = Duration::from_secs(10);

/// Time that lines have to agree on the end of a session, from the first report of an end. A line
/// that has reported no end by then is not waited for. Packets beyond another line's end that have
/// not arrived by then count as nonexistent.
pub const END_DISPUTE_MAX: Duration = Duration::from_secs(10);

/// Maximum silence on a half-closed connection before it is closed. An exchange ends its side at
/// once, so this wait only happens with a peer that does not. Closing earlier could reset a
/// connection with bytes still on their way, and a reset kills an original.
pub const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// Maximum time that an exchange may take to answer a SoupBinTCP login. Exchanges wait as long for
/// the login.
pub const LOGIN_WAIT: Duration = Duration::from_secs(30);

/// Time after which a MoldUDP64 end of session is believed that is neither repeated nor followed by
/// anything. Exchanges repeat it each second.
pub const END_WAIT: Duration = Duration::from_secs(2);

/// Time after which messages of a session that goes on are requested again that no request server
/// has answered.
pub const UNSERVED_WAIT: Duration = Duration::from_secs(10);

/// Time without a packet after which a SoupBinTCP client sends a heartbeat, as specified.
pub const CLIENT_HEARTBEAT: Duration = Duration::from_secs(1);

/// Maximum time that a SoupBinTCP connection is read after a logout request.
pub const LOGOUT_WAIT: Duration = Duration::from_millis(500);

/// Maximum time that a stopped follower waits for missing packets that can be resent. It covers an
/// answer that takes a few round trips, and is too short to look like a hang.
pub const STOP_WAIT: Duration = Duration::from_secs(1);

/// Deadlines of a recorder, each named by what happens then.
///
/// Timers of connections carry the connection's number, timers of lines the line's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// Attempt to connect fails.
    Connect(ConnId),
    /// Half-closed connection is closed.
    Drain(ConnId),
    /// Silent stream stops keeping other lines, and resends, waiting.
    StreamLag(ConnId),
    /// Rest of a silent stream is requested instead.
    StreamSilence(ConnId),
    /// Silent stream counts as ended.
    StreamTimeout(ConnId),
    /// Silent subscription is renewed.
    SubscriptionSilence(ConnId),
    /// Login that is not answered fails.
    Login(ConnId),
    /// Heartbeat is sent to the exchange.
    ClientHeartbeat(ConnId),
    /// Unanswered resend requests count as failed.
    Answer(ConnId),
    /// Stopped follower waits no longer for resends.
    Stop(ConnId),
    /// Line may be connected to again.
    Reconnect(u16),
    /// Line may request resends again.
    RetryResend(u16),
    /// Line may check again whether an answer of its sweep was missed.
    CheckSweep(u16),
    /// Line counts as an exchange of the original protocol if it has not described itself.
    Describe(u16),
    /// Gap that may have been filled late is old enough to be requested.
    Reorder(u16),
    /// Line that has delivered nothing is not waited for.
    LineSilence(u16),
    /// Silent line that speaks MoldUDP64 is given up.
    GroupSilence(u16),
    /// Line that speaks MoldUDP64 does not keep requests waiting any more.
    GroupLag(u16),
    /// End of session that a line has announced is believed.
    ConfirmEnd(u16),
    /// Requests to request servers are sent, or count as unanswered.
    Requests,
    /// Old gaps are abandoned.
    Abandon,
    /// Lines that disagree on the end of the session have run out of time.
    EndDispute,
}

/// Table of the timers that run, as of the latest input.
///
/// `Display` and `Debug` print it for traces, earliest first, with the time left.
#[derive(Clone, Copy)]
pub struct Timers<'a>(&'a Recorder);

impl Timers<'_> {
    /// Returns each timer with its deadline, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Timer, Duration)> {
        let recorder = self.0;
        let conns = recorder.conns.iter().filter_map(|conn| recorder.conn_timer(conn));
        let lines = (0..).zip(&recorder.lines);
        let lines = lines.flat_map(|(id, line)| recorder.line_timers(id, line));
        let heartbeats = recorder.conns.iter().filter_map(|conn| recorder.heartbeat_timer(conn));
        let conns = conns.chain(heartbeats);
        let requests = recorder.request_deadline().map(|at| (Timer::Requests, at));
        let lines = lines.chain(recorder.group_timers()).chain(requests);
        conns.chain(lines).chain(recorder.abandon_timer()).chain(recorder.dispute_timer())
    }
}

impl fmt::Display for Timers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut timers: Vec<_> = self.iter().map(|(timer, at)| (at, timer)).collect();
        timers.sort_unstable();
        for (place, (at, timer)) in timers.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{timer:?} in {:?}", at.saturating_sub(self.0.now))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Timers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl Recorder {
    /// Returns the table of the timers that run.
    #[must_use]
    pub fn timers(&self) -> Timers<'_> {
        Timers(self)
    }

    /// Returns the time at which to give [`Input::Wake`](super::Input::Wake) if there is no other
    /// input before.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.timers().iter().map(|(_, at)| at).min()
    }

    /// Handles the timers of connections that have expired.
    pub(super) fn expire(&mut self, now: Duration) {
        // One expiry can remove other connections, so each is looked up when its turn comes.
        for id in self.conns.iter().map(|conn| conn.id).collect::<Vec<_>>() {
            if let Some(at) = self.find(id)
                && self.heartbeat_timer(&self.conns[at]).is_some_and(|(_, due)| now >= due)
            {
                self.send_client_heartbeat(at, now);
            }
            if let Some(at) = self.find(id)
                && let Some((timer, deadline)) = self.conn_timer(&self.conns[at])
                && now >= deadline
            {
                self.on_timer(timer, at, now);
            }
        }
    }

    /// Handles an expired timer of the connection with index `at`.
    fn on_timer(&mut self, timer: Timer, at: usize, now: Duration) {
        match timer {
            Timer::Connect(_) => self.connect_failed(at, now),
            Timer::Drain(_) => drop(self.remove(at)),
            Timer::StreamTimeout(_) => self.on_stream_timeout(at, now),
            Timer::Login(_) => self.on_soup_silence(at, now),
            Timer::SubscriptionSilence(_) if self.conns[at].wire.soup().is_some() => {
                self.on_soup_silence(at, now);
            }
            Timer::SubscriptionSilence(_) => self.on_subscription_silence(at, now),
            Timer::Answer(_) | Timer::Stop(_) => self.on_answer_timeout(at, now),
            // Heartbeats are sent by `expire`. The others only wake the driver: `advance` looks at
            // the state that they have changed.
            Timer::ClientHeartbeat(_)
            | Timer::StreamLag(_)
            | Timer::StreamSilence(_)
            | Timer::Reconnect(_)
            | Timer::RetryResend(_)
            | Timer::CheckSweep(_)
            | Timer::Describe(_)
            | Timer::Reorder(_)
            | Timer::LineSilence(_)
            | Timer::GroupSilence(_)
            | Timer::GroupLag(_)
            | Timer::ConfirmEnd(_)
            | Timer::Requests
            | Timer::Abandon
            | Timer::EndDispute => {}
        }
    }

    /// Returns the timer that runs on a connection, if one does.
    fn conn_timer(&self, conn: &ClientConnection) -> Option<(Timer, Duration)> {
        let id = conn.id;
        Some(match (conn.state, conn.role) {
            (ConnectionState::Connecting, _) => {
                (Timer::Connect(id), conn.connecting_since + self.options.timeout)
            }
            (ConnectionState::Draining { until, .. }, _) => (Timer::Drain(id), until),
            (ConnectionState::Open, ConnectionRole::Stream { .. }) if self.options.follow => {
                self.subscription_timer(conn)
            }
            (ConnectionState::Open, ConnectionRole::Stream { .. }) => self.stream_timer(conn),
            (ConnectionState::Open, ConnectionRole::Resend) => return self.answer_timer(conn),
        })
    }

    /// Returns the timer of an open stream. A silent stream first stops keeping the others waiting,
    /// then its rest is requested, and later it is given up.
    fn stream_timer(&self, conn: &ClientConnection) -> (Timer, Duration) {
        let lag = conn.last_useful + STREAM_LAG;
        let silence = conn.last_useful + STREAM_SILENCE;
        let timeout = conn.last_useful + self.options.timeout;
        if self.now < lag && (self.lines.len() > 1 || self.is_complete()) {
            (Timer::StreamLag(conn.id), lag)
        } else if self.now < silence && silence < timeout && self.ledger.end().is_some() {
            (Timer::StreamSilence(conn.id), silence)
        } else {
            (Timer::StreamTimeout(conn.id), timeout)
        }
    }

    /// Returns the timer of an open subscription.
    fn subscription_timer(&self, conn: &ClientConnection) -> (Timer, Duration) {
        let lag = conn.last_useful + STREAM_LAG;
        let silence = match &conn.wire {
            ConnectionWire::Frames(_) => conn.last_useful + self.options.silence,
            ConnectionWire::Soup(stream) => {
                if let Some(sent) = stream.login_sent_at() {
                    return (Timer::Login(conn.id), sent + self.login_wait());
                }
                stream.heard_at() + self.options.soup_silence
            }
        };
        if self.now < lag && lag < silence && !self.ledger.gaps().is_empty() {
            (Timer::StreamLag(conn.id), lag)
        } else {
            (Timer::SubscriptionSilence(conn.id), silence)
        }
    }

    /// Returns the timer of the next heartbeat of an open connection, if its exchange expects one.
    fn heartbeat_timer(&self, conn: &ClientConnection) -> Option<(Timer, Duration)> {
        let ConnectionWire::Soup(stream) = &conn.wire else { return None };
        let is_open = conn.state == ConnectionState::Open;
        let at = stream.heartbeat_at().filter(|_| is_open)?;
        Some((Timer::ClientHeartbeat(conn.id), at))
    }

    /// Returns the timer of an open resend connection, if it waits for answers.
    fn answer_timer(&self, conn: &ClientConnection) -> Option<(Timer, Duration)> {
        if let Some(stopping) = self.stopping.filter(|_| self.outcome.is_none()) {
            return Some((Timer::Stop(conn.id), stopping.until));
        }
        let failures = self.lines[usize::from(conn.line)].resender.failures;
        // Follow mode retries for ever, so the exponent is capped at 3: an answer must not wait for
        // minutes after the exchange is back.
        let most = if self.options.follow { 3 } else { 8 };
        let wait = ANSWER_WAIT.max(conn.rtt * 4) * (1 << failures.min(most));
        (conn.in_flight() > 0).then(|| (Timer::Answer(conn.id), conn.last_useful + wait))
    }

    /// Returns the timers of a line: times at which it may do something that it may not do yet.
    fn line_timers(
        &self,
        id: u16,
        line: &LineState,
    ) -> impl Iterator<Item = (Timer, Duration)> + use<> {
        let stopping = self.stopping.is_some() && !self.options.follow;
        let timers = if self.outcome.is_some() || stopping || line.stats.given_up {
            [None; 6]
        } else {
            let unknown = line.dialect == Dialect::Unknown;
            let sweep = self.options.follow.then(|| line.resender.pause_check_at());
            let describe = line.describe_deadline.filter(|_| unknown);
            let young = self.ledger.gaps().younger(self.reorder_cutoff(self.now));
            let reorder = young.map(|(_, opened)| opened + self.options.reorder_wait);
            let silence = self.silent_from(id).filter(|_| unknown && self.lines.len() > 1);
            [
                Some((Timer::Reconnect(id), line.retry_at)),
                Some((Timer::RetryResend(id), line.resender.retry_at)),
                sweep.map(|at| (Timer::CheckSweep(id), at)),
                describe.map(|at| (Timer::Describe(id), at)),
                reorder.map(|at| (Timer::Reorder(id), at)),
                silence.map(|at| (Timer::LineSilence(id), at)),
            ]
        };
        let now = self.now;
        timers.into_iter().flatten().filter(move |&(_, at)| at > now)
    }

    /// Returns the timers of lines that speak MoldUDP64.
    fn group_timers(&self) -> impl Iterator<Item = (Timer, Duration)> {
        let lines = (0u16..).zip(&self.lines).filter(|(_, line)| line.mold.is_some());
        let stopping = self.stopping.filter(|_| self.outcome.is_none() && self.conns.is_empty());
        lines.flat_map(move |(id, _)| {
            let deadlines = self.mold_line_deadlines(id, self.now);
            let timers = match stopping {
                Some(stopping) => [Some((Timer::GroupSilence(id), stopping.until)), None, None],
                None => [
                    deadlines.silence.map(|at| (Timer::GroupSilence(id), at)),
                    deadlines.lag.map(|at| (Timer::GroupLag(id), at)),
                    deadlines.end.map(|at| (Timer::ConfirmEnd(id), at)),
                ],
            };
            timers.into_iter().flatten()
        })
    }

    /// Returns the timer of the search for gaps to abandon, if packets are missing.
    fn abandon_timer(&self) -> Option<(Timer, Duration)> {
        let over = self.outcome.is_some() || self.stopping.is_some();
        let waits = self.options.give_up.is_some() && !over;
        (waits && !self.ledger.gaps().is_empty()).then_some((Timer::Abandon, self.give_up_at))
    }

    /// Returns the timer of a dispute on the end of the session.
    fn dispute_timer(&self) -> Option<(Timer, Duration)> {
        let until = self.end_reported_at? + END_DISPUTE_MAX;
        (self.outcome.is_none() && self.now < until).then_some((Timer::EndDispute, until))
    }
}

/// Returns the pause before attempt number `tries` (from 1).
#[must_use]
pub fn backoff(tries: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Input, Output, RecorderOptions};
    use crate::ledger::{Origin, Sink};
    use crate::wire::Messages;
    use alloc::string::ToString;

    struct NoSink;

    impl Sink for NoSink {
        fn on_messages(&mut self, _: Origin, _: Messages<'_>, _: Duration) {}

        fn on_duplicates(&mut self, _: Origin, _: Messages<'_>) -> u32 {
            0
        }
    }

    #[test]
    fn the_table_prints_its_timers_with_the_earliest_first() {
        let mut recorder = Recorder::new(RecorderOptions::default(), 1);
        recorder.handle(Input::Wake, Duration::ZERO, &mut NoSink);
        let opened = |output| matches!(output, Output::Connect { .. });
        assert!(core::iter::from_fn(|| recorder.poll()).all(opened));
        recorder.handle(Input::Connected(0), Duration::from_secs(1), &mut NoSink);
        let table = recorder.timers().to_string();
        assert_eq!(table, "Connect(1) in 9s, StreamTimeout(0) in 10s");
        assert_eq!(recorder.deadline(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let ms = Duration::from_millis;
        let pauses = [1, 2, 3, 4, 5, 6, 60].map(backoff);
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000].map(ms));
    }
}
