//! Request server of a line: how many requests it takes, and how long its answers need.
//!
//! A server that cannot keep up says nothing: it ignores requests. So the number of requests in
//! flight shrinks to what the server has answered lately if most requests stay unanswered, and
//! grows again while they are answered.

use core::time::Duration;

/// Maximum number of requests in flight to one server.
pub const REQUESTS_IN_FLIGHT_MAX: u32 = 1 << 14;

/// Maximum number of requests to one server within a [`PACE_SLOT`].
pub const PACE_BURST: u32 = 512;

/// Period of [`PACE_BURST`].
pub const PACE_SLOT: Duration = Duration::from_micros(250);

/// Wait for an answer before any answer has shown the round-trip time.
pub const FIRST_ANSWER_WAIT: Duration = Duration::from_millis(500);

/// Shortest wait for an answer. It covers the turns that both ends take to read and write.
pub const ANSWER_WAIT_MIN: Duration = Duration::from_millis(10);

/// Longest wait for an answer.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// Maximum factor by which the wait for an answer grows because answers are late.
const PATIENCE_MAX: u32 = 16;

/// Inverse of the accepted probability that a message counts as not served only because the network
/// dropped all of its requests or answers.
const CHANCE_MAX: u64 = 1_000_000;

/// Maximum number of requests for a message to one server, whatever share of them it answers.
const TRIES_MAX: u32 = 64;

/// Maximum number of answers, and of time-outs, of a round that count for the share of unanswered
/// requests.
const ROUND_MAX: u32 = 1 << 16;

/// Answers and time-outs since a time.
#[derive(Clone, Copy, Default, Debug)]
struct Round {
    since: Duration,
    answered: u32,
    timed_out: u32,
    /// Answers to requests that had been given up, or sent again, too early.
    late: u32,
}

/// Counters of requests to request servers, over all lines.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RequestStats {
    /// Requests sent.
    pub sent: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were not answered in time.
    pub timed_out: u64,
    /// Answers that held fewer messages than requested.
    pub partial: u64,
    /// Longest time from a request to its answer.
    pub slowest: Duration,
}

/// State of a request server.
#[derive(Clone, Debug)]
pub(super) struct RequestServer {
    /// Line that the server belongs to.
    pub(super) line: u16,
    /// Number of the server among those of its line.
    pub(super) number: u16,
    /// True if the server's line plays the recorded session, as far as is known.
    pub(super) is_usable: bool,
    /// Number of requests in flight.
    pub(super) in_flight: u32,
    /// Maximum number of requests in flight.
    limit: u32,
    /// Smoothed round-trip time and its mean deviation.
    trip: Option<(Duration, Duration)>,
    /// Number of consecutive rounds without an answer.
    pub(super) silent_rounds: u32,
    /// Factor of the wait for an answer.
    patience: u32,
    /// Share of the requests that were not answered lately, in parts of 1024.
    unanswered: u32,
    /// Number of requests that were not answered in the rounds without an answer since the last
    /// one with an answer.
    timed_out_in_silence: u32,
    /// True if the server was overloaded in the last round in which it answered.
    was_overloaded: bool,
    round: Round,
    /// Beginning of the present slot, and the number of requests in it.
    slot: (Duration, u32),
}

impl RequestServer {
    /// Returns the state of a server that was asked nothing.
    pub(super) const fn new(line: u16, number: u16) -> Self {
        Self {
            line,
            number,
            is_usable: true,
            in_flight: 0,
            limit: REQUESTS_IN_FLIGHT_MAX,
            trip: None,
            silent_rounds: 0,
            patience: 1,
            unanswered: 0,
            timed_out_in_silence: 0,
            was_overloaded: false,
            round: Round { since: Duration::ZERO, answered: 0, timed_out: 0, late: 0 },
            slot: (Duration::ZERO, 0),
        }
    }

    /// Returns the smoothed round-trip time, once an answer has shown it.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.trip.map(|(mean, _)| mean)
    }

    /// Returns the time after which a request counts as unanswered.
    pub(super) fn answer_wait(&self) -> Duration {
        let wait = self.trip.map_or(FIRST_ANSWER_WAIT, |(mean, deviation)| {
            // A steady network must not make every answer late that takes a little longer.
            mean + (deviation * 4).max(mean / 4)
        });
        let wait = wait.max(ANSWER_WAIT_MIN) * self.patience * (1 << self.silent_rounds.min(10));
        // A server far away must not be asked again before it can have answered.
        let most = self.trip.map_or(ANSWER_WAIT_MAX, |(mean, _)| ANSWER_WAIT_MAX.max(mean * 2));
        wait.min(most)
    }

    /// Returns the number of requests for one message after which it counts as not served: more
    /// than `retries`, and enough that the network did not drop all of them by chance.
    pub(super) fn tries(&self, retries: u32) -> u32 {
        let (mut chance, mut tries) = (1_u64 << 40, 0);
        while chance > (1 << 40) / CHANCE_MAX && tries < TRIES_MAX {
            chance = (chance * u64::from(self.unanswered)) >> 10;
            tries += 1;
        }
        tries.max(retries.saturating_add(1))
    }

    /// Returns whether the server has been silent for longer than chance explains.
    pub(super) fn is_silent(&self, retries: u32) -> bool {
        self.silent_rounds >= self.tries(retries)
    }

    /// Lets a silent server count as silent only after one more round without an answer. It still
    /// gets one request at a time.
    pub(super) fn try_again(&mut self, retries: u32) {
        let rounds = self.tries(retries).saturating_sub(1).max(1);
        self.silent_rounds = self.silent_rounds.min(rounds);
    }

    /// Returns whether the server has room for one more request.
    pub(super) fn has_room(&self) -> bool {
        let limit = if self.silent_rounds > 0 { 1 } else { self.limit };
        self.in_flight < limit
    }

    /// Returns the time until which the server gets no more requests, because it has got
    /// [`PACE_BURST`] in this slot.
    pub(super) fn paced_until(&self, now: Duration) -> Option<Duration> {
        let (began, sent) = self.slot;
        let until = began + PACE_SLOT;
        (sent >= PACE_BURST && now < until).then_some(until)
    }

    /// Counts a request.
    pub(super) fn on_request(&mut self, now: Duration) {
        if now >= self.slot.0 + PACE_SLOT {
            self.slot = (now, 0);
        }
        self.slot.1 += 1;
        if self.in_flight == 0 && self.round.answered + self.round.timed_out == 0 {
            self.round.since = now;
        }
        self.in_flight += 1;
    }

    /// Counts an answer. `trip` is the time since its request, if no other request can have caused
    /// it.
    pub(super) fn on_answer(&mut self, trip: Option<Duration>) {
        self.silent_rounds = 0;
        self.round.answered += 1;
        if let Some(trip) = trip {
            self.trip = Some(match self.trip {
                None => (trip, trip / 8),
                Some((mean, deviation)) => {
                    let off = mean.abs_diff(trip);
                    ((mean * 7 + trip) / 8, (deviation * 3 + off) / 4)
                }
            });
        }
    }

    /// Counts an answer whose request was given up, or sent again and answered. If it was useful,
    /// the server is not silent, only slow.
    pub(super) fn on_late_answer(&mut self, is_useful: bool) {
        self.round.late = self.round.late.saturating_add(1);
        if is_useful {
            self.silent_rounds = 0;
            self.patience = (self.patience * 2).min(PATIENCE_MAX);
        }
    }

    /// Counts a request that was not answered in time.
    pub(super) fn on_timeout(&mut self) {
        self.round.timed_out = self.round.timed_out.saturating_add(1);
    }

    /// Ends the round if it is as long as an answer may take. Called once all requests that have
    /// timed out at `now` are counted.
    pub(super) fn end_round_if_due(&mut self, now: Duration) {
        let counted = self.round.answered + self.round.timed_out;
        if counted > 0 && now >= self.round.since + self.answer_wait() {
            self.end_round(now);
        }
    }

    /// Returns whether requests stay unanswered because there are too many: the server answers some
    /// of them, and less than half.
    pub(super) fn is_overloaded(&self) -> bool {
        let Round { answered, timed_out, .. } = self.round;
        timed_out > answered && (answered > 0 || self.was_overloaded)
    }

    /// Learns from a round which share of the requests is not answered. Rounds without an answer
    /// count once the server answers again: a server with one request in flight would otherwise
    /// seem to answer all of them. The share falls slowly, because a round may have few requests.
    fn learn_unanswered(&mut self, answered: u32, timed_out: u32) {
        let timed_out = timed_out.saturating_add(self.timed_out_in_silence).min(ROUND_MAX);
        if answered == 0 {
            self.timed_out_in_silence = timed_out;
            return;
        }
        self.timed_out_in_silence = 0;
        let share = (timed_out << 10) / (answered.min(ROUND_MAX) + timed_out);
        let (old, weight) = (self.unanswered, if share > self.unanswered { 4 } else { 16 });
        self.unanswered = (old * (weight - 1) + share).div_ceil(weight);
    }

    fn end_round(&mut self, now: Duration) {
        let Round { answered, timed_out, late, .. } = self.round;
        // The round-trip time of a request that was sent again is not known, so answers that come
        // too late would never lengthen the wait.
        self.patience = match late {
            0 => self.patience - u32::from(self.patience > 1),
            _ if late > answered / 4 => (self.patience * 2).min(PATIENCE_MAX),
            _ => self.patience,
        };
        self.learn_unanswered(answered, timed_out);
        // A burst of time-outs may go on in a round without answers. A second such round is
        // silence.
        let is_overloaded = self.is_overloaded() && self.silent_rounds == 0;
        self.was_overloaded = is_overloaded;
        if answered == 0 {
            self.silent_rounds = self.silent_rounds.saturating_add(1);
            self.limit = (self.limit / 2).max(1);
        } else if is_overloaded {
            self.limit = self.limit.min(answered.saturating_mul(2)).max(1);
        } else if timed_out <= answered / 4 {
            self.limit = (self.limit + (self.limit / 4).max(1)).min(REQUESTS_IN_FLIGHT_MAX);
        }
        self.round = Round { since: now, ..Round::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const MS: Duration = Duration::from_millis(1);

    fn answered(server: &mut RequestServer, trip: Option<Duration>, now: Duration) {
        server.on_answer(trip);
        server.end_round_if_due(now);
    }

    #[test]
    fn the_wait_follows_the_round_trip() {
        let mut server = RequestServer::new(0, 0);
        assert_eq!(server.answer_wait(), FIRST_ANSWER_WAIT);
        for at in 0..50 {
            server.on_request(MS * at);
            server.in_flight -= 1;
            answered(&mut server, Some(MS * 20), MS * at);
        }
        let wait = server.answer_wait();
        assert_eq!(wait, MS * 25);
        server.on_timeout();
        server.end_round_if_due(MS * 100);
        assert_eq!(server.silent_rounds, 0, "it has answered in this round");
        server.on_timeout();
        server.end_round_if_due(MS * 200);
        assert_eq!((server.silent_rounds, server.answer_wait()), (1, wait * 2));
        (0..20).for_each(|round| {
            server.on_timeout();
            server.end_round_if_due(MS * 3000 * (round + 1));
        });
        assert_eq!(server.answer_wait(), ANSWER_WAIT_MAX);
    }

    #[test]
    fn an_overloaded_server_gets_as_many_requests_as_it_answers() {
        let mut server = RequestServer::new(0, 0);
        (0..1000).for_each(|_| server.on_request(Duration::ZERO));
        (0..50).for_each(|_| answered(&mut server, None, MS));
        (0..950).for_each(|_| server.on_timeout());
        assert!(server.is_overloaded());
        server.end_round_if_due(MS * 500);
        assert_eq!((server.limit, server.silent_rounds), (100, 0));
        server.on_timeout();
        assert!(server.is_overloaded(), "the burst goes on");
        // Loss of a few answers does not slow the requests.
        (0..100).for_each(|_| answered(&mut server, None, MS * 501));
        (0..4).for_each(|_| server.on_timeout());
        server.end_round_if_due(MS * 1000);
        assert_eq!(server.limit, 125);
    }

    #[test]
    fn a_message_is_requested_more_often_from_a_server_that_answers_seldom() {
        let mut server = RequestServer::new(0, 0);
        assert_eq!(server.tries(4), 5);
        for round in 1..40 {
            (0..50).for_each(|_| server.on_timeout());
            (0..50).for_each(|_| answered(&mut server, None, Duration::ZERO));
            server.end_round_if_due(MS * 1000 * round);
        }
        assert_eq!(server.tries(4), 20, "one in a million");
        assert_eq!(server.tries(30), 31);
    }

    #[test]
    fn a_server_that_loses_many_requests_is_not_taken_for_silent() {
        for (seed, lost_of_100) in (0..20).flat_map(|seed| [(seed, 10), (seed, 40), (seed, 60)]) {
            let (mut server, mut rng) = (RequestServer::new(0, 0), Rng::new(seed));
            let (mut now, mut silent) = (Duration::ZERO, 0);
            // A slow feed: one request or two in each round.
            for round in 0..5000 {
                let room = if server.silent_rounds > 0 { 1 } else { 2 };
                for _ in 0..rng.between(1, room) {
                    match rng.below(100) < lost_of_100 {
                        true => server.on_timeout(),
                        false => answered(&mut server, None, now),
                    }
                }
                now += ANSWER_WAIT_MAX * 2;
                server.end_round_if_due(now);
                // The first rounds know too little.
                silent += u32::from(round > 50 && server.is_silent(4));
            }
            assert!(silent <= 1, "{silent} times at {lost_of_100} %, seed {seed}");
            (0..64).for_each(|_| {
                now += ANSWER_WAIT_MAX * 2;
                server.on_timeout();
                server.end_round_if_due(now);
            });
            assert!(server.is_silent(4), "one that answers nothing any more");
        }
    }

    #[test]
    fn a_silent_server_that_is_tried_again_gets_one_request() {
        for retries in [0, 1, 4] {
            let mut server = RequestServer::new(0, 0);
            server.try_again(retries);
            assert_eq!(server.silent_rounds, 0, "a server that answers stays as it is");
            server.silent_rounds = 20;
            server.try_again(retries);
            assert_eq!(server.is_silent(retries), retries == 0);
            assert!(server.has_room());
            server.on_request(MS);
            assert!(!server.has_room());
            server.on_timeout();
            server.end_round_if_due(MS * 5000);
            assert!(server.is_silent(retries));
        }
    }

    #[test]
    fn late_answers_lengthen_the_wait() {
        let mut server = RequestServer::new(0, 0);
        answered(&mut server, Some(MS), Duration::ZERO);
        assert_eq!(server.answer_wait(), ANSWER_WAIT_MIN);
        for round in 1..9 {
            server.on_late_answer(false);
            answered(&mut server, None, MS * 1000 * round);
        }
        assert_eq!(server.answer_wait(), ANSWER_WAIT_MIN * PATIENCE_MAX);
        (9..30).for_each(|round| answered(&mut server, None, MS * 1000 * round));
        assert_eq!(server.answer_wait(), ANSWER_WAIT_MIN, "answers are in time again");
    }

    #[test]
    fn a_burst_is_bounded() {
        let mut server = RequestServer::new(0, 0);
        let now = MS * 5;
        for _ in 0..PACE_BURST {
            assert_eq!(server.paced_until(now), None);
            server.on_request(now);
        }
        assert_eq!(server.paced_until(now), Some(now + PACE_SLOT));
        assert_eq!(server.paced_until(now + PACE_SLOT), None);
        server.in_flight = REQUESTS_IN_FLIGHT_MAX;
        assert!(!server.has_room());
    }
}
