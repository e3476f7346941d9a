//! What a recorder does next: connections, resend calls, further passes, the end.

use super::connection::{ClientConnection, ConnectionRole, ConnectionState};
use super::line::{Dialect, LineState};
use super::{ConnId, IncompleteReason, Outcome, Output, PassEnd, Recorder, Tail};
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, SeqRange, SeqSet};
use crate::client::recovery::{
    ANSWER_WAIT, DOUBTFUL, DRY_PASSES, EMPTY_PASSES, LAG, LINGER, MUTE, PARALLEL, PASSES_MAX,
    PROBES_MAX, SILENCES_MAX, SMALL_PASS, TAIL_PASSES,
};
use crate::client::resend::RequestScope;
use crate::ledger::Sink;
use crate::wire::{Call, FRAME_LEN};
use alloc::vec::Vec;
use core::time::Duration;

/// Resend calls are written in pieces of about this many bytes.
const ASK_BYTES: usize = 16 * 1024;

impl Recorder {
    /// Ends what has run out of time.
    pub(super) fn expire(&mut self, now: Duration) {
        for id in self.conns.iter().map(|conn| conn.id).collect::<Vec<_>>() {
            let Some(at) = self.find(id) else { continue };
            let conn = &self.conns[at];
            if self.conn_deadline(conn).is_none_or(|deadline| now < deadline) {
                continue;
            }
            let tally = conn.tally();
            match (conn.state, conn.role) {
                (ConnectionState::Draining { .. }, _) => drop(self.remove(at)),
                (ConnectionState::Connecting, _) => self.connect_failed(at, now),
                (ConnectionState::Open, ConnectionRole::Stream { .. }) if self.options.follow => {
                    if now >= conn.active + self.options.silence && self.outcome.is_none() {
                        self.drain(at, now);
                        self.feed_lost(tally, now);
                    }
                }
                (ConnectionState::Open, ConnectionRole::Stream { .. }) => {
                    // One that brought packets and fell silent has probably ended.
                    if self.outcome.is_none() && now >= conn.active + self.options.timeout {
                        self.drain(at, now);
                        match tally.delivered {
                            0 => {
                                self.pass_cut(tally, now);
                                self.fell_silent(tally.line);
                            }
                            _ => self.pass_complete(tally, PassEnd::Silent),
                        }
                    }
                }
                (ConnectionState::Open, ConnectionRole::Resend) => {
                    self.drain(at, now);
                    self.lines[usize::from(tally.line)].resend = None;
                    if !self.probe_failed(tally) {
                        self.resend_failed(tally, now);
                    }
                }
            }
        }
    }

    /// A stream brought nothing in all its time. That may happen once.
    fn fell_silent(&mut self, line: u16) {
        let line = &mut self.lines[usize::from(line)];
        line.silences += 1;
        if line.silences >= SILENCES_MAX {
            line.cuts = u32::MAX;
        }
    }

    /// When something is to be done about a connection if nothing happens on it.
    pub(super) fn conn_deadline(&self, conn: &ClientConnection) -> Option<Duration> {
        match (conn.state, conn.role) {
            (ConnectionState::Connecting, _) => Some(conn.begun + self.options.timeout),
            (ConnectionState::Draining { until, .. }, _) => Some(until),
            (ConnectionState::Open, ConnectionRole::Stream { .. }) if self.options.follow => {
                Some(self.feed_deadline(conn))
            }
            (ConnectionState::Open, ConnectionRole::Stream { .. }) => {
                // First it may no longer keep the others waiting, then it is done without, and
                // later it is given up.
                let (lag, mute) = (conn.active + LAG, conn.active + MUTE);
                let given_up = conn.active + self.options.timeout;
                Some(if self.now < lag && (self.lines.len() > 1 || self.whole()) {
                    lag
                } else if self.now < mute && self.ledger.end().is_some() {
                    mute.min(given_up)
                } else {
                    given_up
                })
            }
            (ConnectionState::Open, ConnectionRole::Resend) => {
                if let Some(leaving) = self.leaving.filter(|_| self.outcome.is_none()) {
                    return Some(leaving.until);
                }
                let tries = self.lines[usize::from(conn.line)].asker.tries;
                // Whoever follows has no end of tries, and wants it soon once it is answered.
                let most = if self.options.follow { 3 } else { 8 };
                let wait = ANSWER_WAIT.max(conn.rtt * 4) * (1 << tries.min(most));
                (conn.in_flight() > 0).then(|| conn.active + wait)
            }
        }
    }

    /// When a line may do something that it may not do yet.
    pub(super) fn line_deadline(&self, id: u16, line: &LineState) -> Option<Duration> {
        let leaving = self.leaving.is_some() && !self.options.follow;
        if self.outcome.is_some() || leaving || line.stats.dead {
            return None;
        }
        let unknown = line.dialect == Dialect::Unknown;
        let grace = line.describe_by.filter(|_| unknown);
        let young = self.ledger.gaps().younger(self.ripe(self.now));
        let ripens = young.map(|(_, opened)| opened + self.options.reorder_wait);
        let held = self.options.follow.then(|| line.asker.holds_at());
        let tells = self.tells_by(id).filter(|_| unknown && self.lines.len() > 1);
        [Some(line.retry_at), Some(line.asker.retry_at), held, grace, ripens, tells]
            .into_iter()
            .flatten()
            .filter(|&time| time > self.now)
            .min()
    }

    /// Does whatever the state of things calls for.
    pub(super) fn advance(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.outcome.is_some() {
            return;
        }
        if let Some(leaving) = self.leaving {
            return self.finish_stopped(leaving, now, sink);
        }
        if self.lines.len() > 1 {
            self.weigh(now, sink);
        }
        self.settle_in_time(now, sink);
        self.note_reach(now, sink);
        for at in 0..self.conns.len() {
            if self.conns[at].role == ConnectionRole::Resend
                && self.conns[at].state == ConnectionState::Open
            {
                self.sweep_again(at, now);
            }
        }
        if self.options.follow {
            return self.follow(now, sink);
        }
        if self.mute(now) {
            self.ledger.close_tail(now, sink);
        }
        if self.passes.complete > 0 {
            self.make_room(u32::MAX, now);
        }
        self.open_connections(now);
        let streams = self.conns.iter().filter(|conn| conn.streams());
        // A stream that still brings packets may go beyond the end that was told.
        let alone = self.lines.len() == 1;
        let mut live = streams.clone().filter(|conn| {
            let position = conn.track.position;
            let goes_on = position >= self.ledger.highest() && now < conn.active + LAG;
            goes_on || alone && position == 0 && now < conn.active + MUTE
        });
        if self.whole() && live.next().is_none() && !self.strangers(now) {
            self.finish_settled(None, now, sink);
        } else if streams.count() == 0 && self.lines.iter().all(|line| line.to_stream == 0) {
            self.between_passes(now, sink);
        }
    }

    /// Whether every stream has been silent for long, and the rest can be asked for.
    fn mute(&self, now: Duration) -> bool {
        let mut streams = self.conns.iter().filter(|conn| conn.streams()).peekable();
        streams.peek().is_some()
            && streams.all(|conn| conn.state == ConnectionState::Open && now >= conn.active + MUTE)
            && self.lines.iter().any(|line| line.dialect == Dialect::Extended && !line.asker.failed)
    }

    /// Whether everything up to a confirmed end has been recorded.
    pub(super) fn whole(&self) -> bool {
        let ledger = &self.ledger;
        if self.nothing_shown() {
            return false;
        }
        // An earlier recording may know of more than the user says.
        let last = ledger.end().map(|end| end.max(self.known_before()));
        ledger.gaps().is_empty() && last.is_some_and(|last| ledger.highest() >= last)
    }

    pub(super) fn open_connections(&mut self, now: Duration) {
        for id in 0..self.lines.len() {
            let line = &self.lines[id];
            if line.stats.dead || now < line.retry_at {
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "there are at most 65 536 lines")]
            let id16 = id as u16;
            for _ in 0..core::mem::take(&mut self.lines[id].to_stream) {
                self.connect(id16, ConnectionRole::Stream { pass: 0 }, now);
            }
            // One that plays another session has nothing to send again.
            if self.lines[id].stats.other.is_none() && self.wants_resend(id16, now) {
                self.lines[id].resend = Some(self.connect(id16, ConnectionRole::Resend, now));
            }
        }
    }

    fn connect(&mut self, line: u16, role: ConnectionRole, now: Duration) -> ConnId {
        let conn = self.next_conn;
        self.next_conn += 1;
        self.conns.push(ClientConnection::new(conn, line, role, now));
        self.outputs.push_back(Output::Connect { conn, line });
        conn
    }

    fn wants_resend(&self, id: u16, now: Duration) -> bool {
        let line = &self.lines[usize::from(id)];
        let probe =
            self.undescribed(line, now) && (line.describe_by.is_none() || self.is_untold(line));
        line.resend.is_none()
            && !line.asker.failed
            && now >= line.asker.retry_at
            && (probe || self.can_ask(id, now))
    }

    /// Whether it may still turn out that a line speaks the extension.
    pub(super) fn undescribed(&self, line: &LineState, now: Duration) -> bool {
        line.dialect == Dialect::Unknown
            && !(self.options.classic || line.asker.failed)
            && (line.probes_failed < PROBES_MAX || self.is_untold(line))
            && line.describe_by.is_none_or(|by| now < by)
    }

    pub(super) fn can_ask(&self, id: u16, now: Duration) -> bool {
        let asker = &self.lines[usize::from(id)].asker;
        let reach = self.reach(id, now);
        !asker.failed && asker.askable(self.ledger.gaps(), FIRST_SEQ, reach).is_some()
    }

    /// What a line may ask for now.
    pub(super) fn reach(&self, id: u16, now: Duration) -> RequestScope {
        // What another stream may yet bring is not lost.
        let streams = self
            .conns
            .iter()
            .filter(|conn| {
                conn.streams() && conn.state == ConnectionState::Open && now < conn.active + LAG
            })
            .filter(|conn| !self.is_untold(&self.lines[usize::from(conn.line)]));
        let mut ceiling = streams.map(|conn| conn.track.position).min().unwrap_or(MAX_SEQ);
        let line = &self.lines[usize::from(id)];
        let ahead = self.asks_ahead(line, now);
        if (self.resumed && self.undescribed(line, now) || self.is_untold(line)) && !ahead {
            // It may yet turn out to play another session.
            ceiling = 0;
        }
        if let Some((young, _)) = self.ledger.gaps().younger(self.ripe(now)) {
            ceiling = ceiling.min(young - 1);
        }
        let has = self.has(line);
        match line.dialect {
            Dialect::Extended => RequestScope { ceiling: ceiling.min(has), ranges: true },
            _ if ahead => RequestScope { ceiling, ranges: true },
            // An original dies when asked for what it does not have.
            _ => RequestScope {
                ceiling: ceiling.min(self.options.resend_max).min(has),
                ranges: false,
            },
        }
    }

    /// Whether ranges are asked for right behind the describe call: the exchange described itself
    /// when this session was recorded before. What it answers is of no use before it does again.
    fn asks_ahead(&self, line: &LineState, now: Duration) -> bool {
        self.resumed
            && self.session.is_some()
            && self.undescribed(line, now)
            && line.probes_failed == 0
            && self.lines.len() == 1
            && !self.options.follow
    }

    /// Gaps that opened after this time are not asked for yet.
    fn ripe(&self, now: Duration) -> Duration {
        // Once its streams are closed nothing comes late.
        match self.options.reorder_wait.is_zero() || self.leaving.is_some() {
            true => Duration::MAX,
            false => now.saturating_sub(self.options.reorder_wait),
        }
    }

    /// Appends resend calls.
    pub(super) fn ask(
        &mut self,
        at: usize,
        now: Duration,
        sink: &mut impl Sink,
        out: &mut Vec<u8>,
    ) {
        let reach = self.reach(self.conns[at].line, now);
        let conn = &mut self.conns[at];
        let line = &mut self.lines[usize::from(conn.line)];
        let ahead = reach.ranges && line.dialect == Dialect::Unknown;
        let asker = &mut line.asker;
        if now < asker.retry_at || asker.failed || asker.held {
            return;
        }
        asker.trust(conn.answered, conn.in_flight());
        let full = out.len() + ASK_BYTES;
        while out.len() < full
            && let Some(piece) = asker.next(self.ledger.gaps(), conn.in_flight(), reach)
        {
            let call = if reach.ranges {
                Call::ResendRange { first: piece.first(), count: piece.len() }
            } else {
                Call::Resend(piece.first())
            };
            call.encode(out);
            sink.on_request(piece, now);
            conn.ahead |= ahead;
            if conn.in_flight() == 0 {
                conn.active = now;
            }
            conn.asked += u64::from(piece.len());
            self.stats.calls += 1;
        }
    }

    /// No stream runs and none is to come: what now?
    fn between_passes(&mut self, now: Duration, sink: &mut impl Sink) {
        self.ledger.close_tail(now, sink);
        if self.whole() && !self.strangers(now) {
            return self.finish_settled(None, now, sink);
        }
        // An end that nobody confirms calls for passes anyway.
        let doubtful = self.tail_doubt() >= self.options.tail_miss_probability;
        let mut alive = self.lines.iter().filter(|line| !line.stats.dead);
        if alive.any(|line| self.undescribed(line, now)) || !doubtful && self.filling(now) {
            return self.open_connections(now);
        }
        let streamable: Vec<usize> = (0..self.lines.len())
            .filter(|&id| !self.lines[id].stats.dead && self.lines[id].cuts <= self.options.retries)
            .filter(|&id| !self.is_untold(&self.lines[id]))
            .collect();
        let passes = self.passes_wanted(now);
        if passes == 0 || streamable.is_empty() {
            // Streams bring no more; what is asked for may still come.
            let mut alive = (0u16..).zip(&self.lines).filter(|(_, line)| !line.stats.dead);
            if alive.any(|(id, _)| self.can_ask(id, now)) {
                return self.open_connections(now);
            }
            let whole = self.whole_without_claims(now, sink);
            let why = if whole { None } else { self.why(passes > 0) };
            return self.finish_settled(why, now, sink);
        }
        self.make_room(DOUBTFUL, now);
        for (_, &line) in (0..passes).zip(streamable.iter().cycle()) {
            self.lines[line].to_stream += 1;
        }
        self.open_connections(now);
    }

    /// Whether what is missing can be asked for, and is likely to be answered.
    fn filling(&self, now: Duration) -> bool {
        (0u16..).zip(&self.lines).any(|(id, line)| {
            !line.stats.dead && line.asker.tries < DOUBTFUL && self.can_ask(id, now)
        })
    }

    /// Ends resend connections that serve no purpose, or whose line has failed so often in a row:
    /// an exchange may take one connection at a time.
    fn make_room(&mut self, tries: u32, now: Duration) {
        for at in 0..self.conns.len() {
            let conn = &self.conns[at];
            let (id, line) = (conn.line, &self.lines[usize::from(conn.line)]);
            if conn.role != ConnectionRole::Resend
                || conn.state != ConnectionState::Open
                || line.dialect == Dialect::Extended
            {
                continue;
            }
            let asks = conn.in_flight() > 0 || self.can_ask(id, now);
            if !(asks && line.asker.tries < tries || self.undescribed(line, now)) {
                self.drain(at, now);
                self.lines[usize::from(id)].resend = None;
            }
        }
    }

    /// How many passes to run next.
    fn passes_wanted(&self, now: Duration) -> u32 {
        let known = self.ledger.highest();
        let bound = self.options.tail_miss_probability;
        let small = known as usize * FRAME_LEN <= SMALL_PASS;
        let left = self.options.passes.unwrap_or(PASSES_MAX).saturating_sub(self.passes_begun);
        let most = left.min(if small { PARALLEL } else { 1 });
        let runs = if self.hope(known) && !self.filling(now) {
            self.dry
        } else if (self.tail_doubt() >= bound || self.nothing_shown())
            && (known > 0 || self.passes.complete < EMPTY_PASSES)
        {
            self.passes.complete
        } else {
            return 0;
        };
        // Before the first complete pass nothing is known about loss.
        if self.passes.complete == 0 {
            most.min(1)
        } else {
            self.passes.more(known, runs, bound, most)
        }
    }

    /// Whether something is missing that another pass may bring.
    fn hope(&self, known: u32) -> bool {
        let dry = self.dry < DRY_PASSES
            && self.passes.doubt(known, self.dry) >= self.options.tail_miss_probability;
        dry && !self.ledger.gaps().is_empty()
    }

    fn tail_doubt(&self) -> f64 {
        if self.ledger.end().is_some() {
            return 0.0;
        }
        if self.passes.complete < TAIL_PASSES {
            return 1.0;
        }
        self.passes.doubt(self.ledger.highest(), self.passes.complete)
    }

    /// Why the recording cannot get better, if it is not good enough. `cut_off`: more passes were
    /// wanted but no line can stream.
    fn why(&self, cut_off: bool) -> Option<IncompleteReason> {
        if self.ledger.highest() == 0 && !self.lines.iter().any(|line| line.stats.reached) {
            return Some(IncompleteReason::Unreachable);
        }
        let lost = !self.ledger.gaps().is_empty();
        let doubtful = self.tail_doubt() >= self.options.tail_miss_probability;
        let settled = self.options.passes.is_some() && self.passes.complete > 0;
        let mute = self.nothing_shown();
        if !lost && !mute && (!doubtful || settled && self.ledger.highest() > 0) {
            return None;
        }
        let reason = self.lines.iter().find_map(|line| line.asker.reason).filter(|_| lost);
        Some(if self.lines.iter().all(|line| line.stats.dead) {
            IncompleteReason::Unreachable
        } else if self.lines.iter().all(|line| line.stats.dead || self.is_untold(line)) {
            IncompleteReason::SessionUntold
        } else if mute && self.trouble.undecodable == 0 {
            IncompleteReason::NoAnswer
        } else if let Some(reason) = reason {
            IncompleteReason::Refused(reason)
        } else if cut_off {
            IncompleteReason::CutOff
        } else if lost {
            IncompleteReason::NotServed
        } else {
            IncompleteReason::EndUnknown
        })
    }

    pub(super) fn finish(&mut self, why: Option<IncompleteReason>, now: Duration) {
        if self.outcome.is_some() {
            return;
        }
        let ledger = &self.ledger;
        // What is told of a live session that goes on is how far it reaches so far.
        let told = if self.options.follow { self.session_over(now) } else { ledger.end() };
        let tail = match told {
            Some(_) => Tail::Confirmed,
            None if self.passes.complete > 0 && ledger.highest() > 0 => {
                Tail::Inferred { doubt: self.passes.doubt(ledger.highest(), self.passes.complete) }
            }
            None => Tail::Unknown,
        };
        let mut missing: SeqSet = ledger.gaps().ranges().collect();
        let last = ledger.end().unwrap_or(0).max(ledger.highest()).max(self.known_before());
        let tail_gap = SeqRange::new(ledger.highest() + 1, last);
        tail_gap.into_iter().for_each(|range| missing.insert(range));
        self.trouble.contradicted = self.trouble.contradicted.or(self.denied(last));
        self.outcome = Some(Outcome { last, missing, tail, why });
        self.ended = Some(now);
        // What ends before it is complete does not wait for an exchange that survives it.
        self.close_or_drain(why.is_some(), now);
    }

    /// Whether nothing more can come on a connection, of an exchange that is no original: it may be
    /// closed without waiting for its end.
    pub(super) fn owes_nothing(&self, conn: &ClientConnection) -> bool {
        let line = &self.lines[usize::from(conn.line)];
        conn.role == ConnectionRole::Resend
            && line.dialect == Dialect::Extended
            && conn.in_flight() == 0
    }

    pub(super) fn drain(&mut self, at: usize, now: Duration) {
        let conn = &mut self.conns[at];
        // A peer that goes on sending is not listened to for ever.
        let hard = now + self.options.timeout.min(LINGER * 5);
        conn.state = ConnectionState::Draining { until: now + LINGER, hard };
        let id = conn.id;
        self.outputs.push_back(Output::Finish(id));
    }
}
