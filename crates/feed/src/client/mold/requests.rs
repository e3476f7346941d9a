//! Requests for missing messages: which pieces are in flight, at which server, and what is asked
//! again.
//!
//! All servers of all lines share the missing messages. A piece is requested once; if it is not
//! answered in time, the next request goes to another server. What no server has answered after all
//! retries is left out until [`Requests::retry_all`].

use super::answer_size::AnswerSize;
use super::in_flight::{InFlight, Pending};
use super::reach::{Reach, Step};
use super::request_server::{RequestServer, RequestStats};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::ledger::gap_set::GapSet;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Maximum number of pieces that wait for a server with room before new ones are requested.
const RETRIES_LOOKED_AT: u32 = 16;

/// Maximum number of retries, at each server, of a piece of the search for the lowest message that
/// is served.
const PROBE_RETRIES: u32 = 2;

/// Number of requests for a piece that each server has not answered; empty before the first.
pub(super) type Failures = Vec<u16>;

/// Piece that is requested again.
#[derive(Clone, Debug)]
struct Retry {
    range: SeqRange,
    failures: Failures,
}

/// Sequences that may be requested now.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct RequestScope<'a> {
    /// Missing ranges.
    pub(super) gaps: &'a GapSet,
    /// Sequences that are requested no more.
    pub(super) abandoned: &'a SeqSet,
    /// Highest sequence that may be requested.
    pub(super) ceiling: Seq,
}

impl RequestScope<'_> {
    /// Returns the first missing range within `range`.
    fn missing_in(&self, range: SeqRange) -> Option<SeqRange> {
        self.gaps.at_or_after(range.first())?.intersect(range)
    }
}

/// Piece to request, and the server to request it from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NextRequest {
    /// Index of the server.
    pub(super) server: usize,
    /// Messages to request.
    pub(super) piece: SeqRange,
}

/// Requests of a recorder for missing messages.
#[derive(Debug)]
pub(in crate::client) struct Requests {
    servers: Vec<RequestServer>,
    in_flight: InFlight,
    retries: VecDeque<Retry>,
    /// Sequence below which every missing piece was requested, or left out.
    cursor: Seq,
    /// Pieces that no server has answered after all retries, or that were left out in silence.
    unserved: SeqSet,
    /// True if pieces were left out before their retries, because all servers were silent.
    left_out_in_silence: bool,
    /// Sequence below which no server serves anything.
    reach: Reach,
    /// Maximum number of retries of a piece at each server.
    retries_max: u32,
    /// Size of the answers.
    size: AnswerSize,
    /// Time at which a server takes requests again, if that holds one back.
    paced_until: Option<Duration>,
    /// Counters.
    stats: RequestStats,
}

impl Requests {
    /// Returns the state before any request. `servers` has the number of servers of each line.
    pub(in crate::client) fn new(
        servers: impl Iterator<Item = (u16, u16)>,
        retries_max: u32,
    ) -> Self {
        let of_line = |(line, count): (u16, u16)| {
            (0..count).map(move |number| RequestServer::new(line, number))
        };
        Self {
            servers: servers.flat_map(of_line).collect(),
            in_flight: InFlight::default(),
            retries: VecDeque::new(),
            cursor: FIRST_SEQ,
            unserved: SeqSet::new(),
            left_out_in_silence: false,
            reach: Reach::new(),
            retries_max,
            size: AnswerSize::new(),
            paced_until: None,
            stats: RequestStats::default(),
        }
    }

    /// Returns the counters.
    pub(in crate::client) fn stats(&self) -> RequestStats {
        self.stats
    }

    /// Returns a server.
    pub(super) fn server(&self, index: usize) -> Option<&RequestServer> {
        self.servers.get(index)
    }

    /// Returns the index of a line's server.
    pub(super) fn index_of(&self, line: u16, number: u16) -> Option<usize> {
        self.servers.iter().position(|server| (server.line, server.number) == (line, number))
    }

    /// Returns the shortest smoothed round-trip time of a line's servers.
    pub(in crate::client) fn round_trip(&self, line: u16) -> Option<Duration> {
        let servers = self.servers.iter().filter(|server| server.line == line);
        servers.filter_map(RequestServer::round_trip).min()
    }

    /// Returns the sequence below which every missing message was requested.
    pub(in crate::client) fn requested_below(&self) -> Seq {
        self.cursor
    }

    /// Returns the lowest sequence that the servers serve, if a search has found that they do not
    /// reach back to the first message.
    pub(in crate::client) fn served_from(&self) -> Option<Seq> {
        self.reach.served_from().filter(|from| *from > FIRST_SEQ)
    }

    /// Returns whether a missing piece is in flight or waits to be requested.
    pub(in crate::client) fn has_hope(&self, scope: RequestScope<'_>) -> bool {
        !scope.gaps.is_empty()
            && self.servers.iter().any(|server| server.is_usable)
            && (!self.in_flight.is_empty()
                || self.reach.probe().is_some()
                || self.retries.iter().any(|retry| scope.missing_in(retry.range).is_some())
                || self.walk(self.cursor, scope).is_some())
    }

    /// Learns from a line's datagram how many messages an answer may have.
    pub(super) fn on_datagram(&mut self, count: usize, bytes: usize) {
        self.size.on_datagram(count, bytes);
    }

    /// Requests everything that is missing again, also what no server has answered. Servers that
    /// are silent get one more request before pieces are left out.
    pub(in crate::client) fn retry_all(&mut self) {
        self.servers.iter_mut().for_each(|server| server.try_again(self.retries_max));
        self.unserved = SeqSet::new();
        self.left_out_in_silence = false;
        self.reach = Reach::new();
        self.cursor = FIRST_SEQ;
    }

    /// Requests everything that is missing again if some of it was left out because all servers
    /// were silent. They may answer by now.
    pub(in crate::client) fn retry_after_silence(&mut self) {
        if self.left_out_in_silence {
            self.retry_all();
        }
    }

    /// Returns whether some missing messages are left out because no server has answered.
    pub(in crate::client) fn leaves_out(&self) -> bool {
        !self.unserved.is_empty() || self.served_from().is_some()
    }

    /// Sets which lines' servers may be asked.
    pub(super) fn set_usable(&mut self, is_usable: impl Fn(u16) -> bool) {
        self.servers.iter_mut().for_each(|server| server.is_usable = is_usable(server.line));
    }

    /// Returns the next piece to request at `now`, and counts it as requested.
    pub(super) fn next(&mut self, scope: RequestScope<'_>, now: Duration) -> Option<NextRequest> {
        self.paced_until = None;
        self.choose(&[], now)?;
        let mut looked_at = 0;
        while looked_at < RETRIES_LOOKED_AT
            && let Some(retry) = self.retries.pop_front()
        {
            let Some(missing) = self.rest_of(retry.range, scope) else { continue };
            // A server's number of tries falls once it answers more.
            if self.is_spent(retry.range, &retry.failures) {
                self.on_failure(retry.range, retry.failures, scope);
                continue;
            }
            let piece = self.cut(missing);
            let Some(server) = self.choose(&retry.failures, now) else {
                // Its servers have no room; another piece may have others.
                self.retries.push_back(retry);
                looked_at += 1;
                continue;
            };
            if let Some(range) = retry.range.from(piece.last() + 1) {
                self.retries.push_front(Retry { range, failures: retry.failures.clone() });
            }
            return self.send(piece, server, retry.failures, now);
        }
        if let Some(probe) = self.reach.probe()
            && self.in_flight.get(probe).is_none()
            && self.retries.is_empty()
        {
            // The piece of the search has arrived by other ways.
            self.reach.reset();
            self.cursor = self.cursor.min(probe);
        }
        let gap = self.walk(self.cursor, scope)?;
        self.reach.begin(gap, self.size.messages());
        let piece = self.cut(gap);
        self.cursor = piece.last() + 1;
        let server = self.choose(&[], now)?;
        self.send(piece, server, Failures::new(), now)
    }

    /// Counts a piece as requested from a server.
    fn send(
        &mut self,
        piece: SeqRange,
        server: usize,
        failures: Failures,
        now: Duration,
    ) -> Option<NextRequest> {
        let state = self.servers.get_mut(server)?;
        state.on_request(now);
        let deadline = now + state.answer_wait();
        let pending = Pending { last: piece.last(), server, sent: now, deadline, failures };
        self.in_flight.insert(piece.first(), pending);
        self.stats.sent += 1;
        Some(NextRequest { server, piece })
    }

    /// Returns the first part of a piece that is missing and not requested.
    fn rest_of(&self, range: SeqRange, scope: RequestScope<'_>) -> Option<SeqRange> {
        let mut from = range.first();
        loop {
            let missing = scope.missing_in(range.from(from)?)?;
            let mut busy = [self.in_flight.at_or_after(missing.first()), None];
            busy[1] = scope.abandoned.at_or_after(missing.first());
            let busy = busy.into_iter().flatten().filter(|busy| busy.first() <= missing.last());
            match busy.min_by_key(|busy| busy.first()) {
                Some(busy) if busy.contains(missing.first()) => from = busy.last() + 1,
                Some(busy) => return SeqRange::new(missing.first(), busy.first() - 1),
                None => return Some(missing),
            }
        }
    }

    /// Returns the part of a missing range that one answer has room for.
    fn cut(&self, missing: SeqRange) -> SeqRange {
        let most = self.size.messages();
        let piece = SeqRange::counted(missing.first(), most);
        piece.and_then(|piece| piece.intersect(missing)).unwrap_or(missing)
    }

    /// Returns the first range at or above `from` that was not requested yet.
    fn walk(&self, from: Seq, scope: RequestScope<'_>) -> Option<SeqRange> {
        let mut from = from.max(self.reach.served_from().unwrap_or(FIRST_SEQ));
        loop {
            let all = SeqRange::new(from, scope.ceiling)?;
            let gap = scope.gaps.at_or_after(from)?.intersect(all)?;
            let excluded = [scope.abandoned, &self.unserved]
                .into_iter()
                .filter_map(|set| set.at_or_after(gap.first()))
                .chain(self.in_flight.at_or_after(gap.first()))
                .chain(self.reach.searched())
                .filter(|range| range.first() <= gap.last())
                .min_by_key(|range| range.first());
            match excluded {
                Some(range) if range.contains(gap.first()) => from = range.last() + 1,
                Some(range) => return SeqRange::new(gap.first(), range.first() - 1),
                None => return Some(gap),
            }
        }
    }

    /// Chooses the usable server that has failed least with a piece, and has the fewest requests in
    /// flight. A server that has used up its retries is not asked for the piece again.
    fn choose(&mut self, failures: &[u16], now: Duration) -> Option<usize> {
        let mut best = None;
        for (index, server) in self.servers.iter().enumerate() {
            let failed = failures.get(index).copied().unwrap_or(0);
            let is_spent = u32::from(failed) >= server.tries(self.retries_max);
            if is_spent || !server.is_usable || !server.has_room() {
                continue;
            }
            if let Some(until) = server.paced_until(now) {
                self.paced_until = Some(self.paced_until.map_or(until, |before| before.min(until)));
                continue;
            }
            let rank = (failed, server.silent_rounds > 0, server.in_flight, index);
            best = best.min(Some(rank)).or(Some(rank));
        }
        best.map(|(_, _, _, index)| index)
    }

    /// Handles a datagram of a server. `is_useful` says that it brought a missing message.
    pub(super) fn on_answer(
        &mut self,
        server: usize,
        range: SeqRange,
        is_useful: bool,
        scope: RequestScope<'_>,
        now: Duration,
    ) {
        let asked = self.in_flight.at_or_after(range.first());
        let asked = asked.filter(|asked| is_useful && asked.contains(range.first()));
        if let Some(asked) = asked
            && let Some(pending) = self.in_flight.get(asked.first()).cloned()
            && pending.server == server
        {
            self.release(asked.first());
            self.retry_after_silence();
            let trip = now.saturating_sub(pending.sent);
            self.stats.answered += 1;
            self.stats.slowest = self.stats.slowest.max(trip);
            // A round ends once the requests that have timed out by then are counted.
            let is_counted = !self.is_overdue(now);
            if let Some(state) = self.servers.get_mut(server) {
                let is_first = state.round_trip().is_none();
                state.on_answer(pending.failures.is_empty().then_some(trip));
                if is_counted {
                    state.end_round_if_due(now);
                }
                if is_first && state.round_trip().is_some() {
                    let wait = state.answer_wait();
                    self.in_flight.shorten(server, wait);
                }
            }
            let requested = asked.last() - range.first() + 1;
            self.size.on_answer(requested, range.len());
            self.stats.partial += u64::from(range.len() < requested);
            let missing = scope.missing_in(asked);
            if missing.is_some_and(|missing| missing.first() == asked.first()) {
                // An answer that begins behind the first message has failed for that one.
                let failures = self.failed(pending.failures, server);
                self.on_failure(asked, failures, scope);
            } else {
                let rest = Retry { range: asked, failures: Failures::new() };
                self.retries.extend(missing.map(|_| rest));
                let step = self.reach.on_served(asked.first(), self.size.messages());
                self.search_on(step, scope);
            }
        } else if let Some(state) = self.servers.get_mut(server) {
            state.on_late_answer(is_useful);
        }
        self.on_filled(range);
    }

    /// Returns the failures of a piece with one more at a server.
    fn failed(&self, mut failures: Failures, server: usize) -> Failures {
        failures.resize(self.servers.len(), 0);
        if let Some(count) = failures.get_mut(server) {
            *count = count.saturating_add(1);
        }
        failures
    }

    /// Forgets the requests for messages that have arrived, whatever brought them.
    pub(super) fn on_filled(&mut self, range: SeqRange) {
        let mut from = range.first();
        while let Some(piece) = self.in_flight.at_or_after(from)
            && piece.first() <= range.last()
        {
            if range.first() <= piece.first() && piece.last() <= range.last() {
                self.release(piece.first());
            }
            from = piece.last() + 1;
        }
    }

    /// Ends a request, so that its server has room for another.
    fn release(&mut self, first: Seq) {
        if let Some(pending) = self.in_flight.remove(first)
            && let Some(server) = self.servers.get_mut(pending.server)
        {
            server.in_flight = server.in_flight.saturating_sub(1);
        }
    }

    /// Handles requests that were not answered in time.
    pub(super) fn expire(&mut self, scope: RequestScope<'_>, now: Duration) {
        let mut expired = Vec::new();
        while let Some((first, pending)) = self.in_flight.first_due(now) {
            let pending = pending.clone();
            self.release(first);
            let range = SeqRange::new(first, pending.last);
            let Some(range) = range.filter(|range| scope.missing_in(*range).is_some()) else {
                continue;
            };
            self.stats.timed_out += 1;
            if let Some(server) = self.servers.get_mut(pending.server) {
                server.on_timeout();
            }
            expired.push((range, pending));
        }
        for (range, pending) in expired {
            // A server that answers only some of many requests may answer this one later.
            let server = self.servers.get(pending.server);
            let failures = match server.is_some_and(RequestServer::is_overloaded) {
                true => pending.failures,
                false => self.failed(pending.failures, pending.server),
            };
            self.on_failure(range, failures, scope);
        }
        self.servers.iter_mut().for_each(|server| server.end_round_if_due(now));
        let is_dead =
            |server: &RequestServer| !server.is_usable || server.is_silent(self.retries_max);
        if !self.servers.is_empty() && self.servers.iter().all(is_dead) {
            // Pieces that still wait need not be tried one after the other.
            let probe = self.reach.probe();
            let is_probe = |retry: &Retry| Some(retry.range.first()) == probe;
            let (probes, others) = self.retries.drain(..).partition(is_probe);
            self.retries = probes;
            let others: VecDeque<Retry> = others;
            self.left_out_in_silence |= !others.is_empty();
            others.into_iter().for_each(|retry| self.unserved.insert(retry.range));
            if probe.is_none() {
                self.leave_out_unrequested(scope);
            }
        }
    }

    /// Leaves out what was not requested yet. Servers that are silent would otherwise be asked for
    /// one piece after the other, for hours.
    fn leave_out_unrequested(&mut self, scope: RequestScope<'_>) {
        while let Some(gap) = self.walk(self.cursor, scope) {
            self.unserved.insert(gap);
            self.left_out_in_silence = true;
            self.cursor = gap.last() + 1;
        }
    }

    /// Returns whether a piece has failed too often at every server.
    fn is_spent(&self, range: SeqRange, failures: &[u16]) -> bool {
        let is_probe = self.reach.probe() == Some(range.first());
        let retries = if is_probe { PROBE_RETRIES.min(self.retries_max) } else { self.retries_max };
        self.servers.iter().enumerate().all(|(index, server)| {
            let failed = failures.get(index).copied().unwrap_or(0);
            !server.is_usable || u32::from(failed) >= server.tries(retries)
        })
    }

    /// Requests a piece again, or leaves it out after too many failures at every server.
    fn on_failure(&mut self, range: SeqRange, failures: Failures, scope: RequestScope<'_>) {
        if !self.is_spent(range, &failures) {
            self.retries.push_back(Retry { range, failures });
            return;
        }
        self.unserved.insert(range);
        let gap = scope.gaps.at_or_after(range.first());
        let most = self.size.messages();
        let step = gap.map_or(Step::Idle, |gap| self.reach.on_unserved(range, gap, most));
        self.search_on(step, scope);
    }

    /// Requests the piece that the search for the lowest served message wants next. Once the search
    /// has ended, everything above that message is requested.
    fn search_on(&mut self, step: Step, scope: RequestScope<'_>) {
        match step {
            Step::Idle => {}
            Step::Ended => {
                // The search has asked for messages that no server has, so silence was no fault.
                self.servers.iter_mut().for_each(|server| server.silent_rounds = 0);
                self.cursor = self.cursor.min(self.reach.served_from().unwrap_or(FIRST_SEQ));
            }
            Step::Probe(first) => {
                let gap = scope.gaps.at_or_after(first).filter(|gap| gap.first() == first);
                if let Some(range) = gap.map(|gap| self.cut(gap)) {
                    self.retries.push_front(Retry { range, failures: Failures::new() });
                }
            }
        }
    }

    /// Returns whether a request should have expired before `now`, because the driver has paused.
    pub(in crate::client) fn is_overdue(&self, now: Duration) -> bool {
        self.in_flight.deadline().is_some_and(|deadline| deadline < now)
    }

    /// Returns the time at which [`expire`](Self::expire) or [`next`](Self::next) has something to
    /// do again.
    pub(in crate::client) fn deadline(&self) -> Option<Duration> {
        let due = self.in_flight.deadline();
        due.into_iter().chain(self.paced_until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_another_session_are_no_hope() {
        let mut requests = Requests::new([(0, 1), (1, 0)].into_iter(), 4);
        let (abandoned, mut gaps) = (SeqSet::new(), GapSet::new());
        gaps.open(SeqRange::new(1, 1 << 20).unwrap(), Duration::ZERO);
        let scope = RequestScope { gaps: &gaps, abandoned: &abandoned, ceiling: 1 << 20 };
        // The search for the lowest served message has begun.
        assert!(requests.next(scope, Duration::ZERO).is_some());
        assert!(requests.has_hope(scope));
        requests.set_usable(|line| line == 1);
        assert!(!requests.has_hope(scope));
    }
}
