//! Orders to an exchange while it plays: other faults, drops, a pause, a cut, a stall. They are
//! plain method calls, so that a person, a script and a simulator can give them alike.

use super::betacrew::BetacrewConnection;
use super::closing::EndCause;
use super::{MockExchange, ServerConnection};
use crate::base::seq::Seq;
use crate::exchange::server::closing::Ending;
use crate::faults::engine::FaultEngine;
use crate::faults::scenario::Scenario;
use crate::tape::source::TapeSource;
use crate::wire::Protocol;
use core::time::Duration;

/// Way in which an order ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CutKind {
    /// The connection is closed as after its last packet.
    Close,
    /// The connection is reset.
    Reset,
}

/// Role of a connection and its position in the tape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ConnectionPosition {
    /// Role of the connection in one word.
    pub(super) kind: &'static str,
    /// Next sequence of the stream, if the connection has one that is not over.
    pub(super) next: Option<Seq>,
}

/// Snapshot of a connection, to be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionView {
    /// Number of the connection, from 1 in the order in which connections are accepted.
    pub connection: u64,
    /// Protocol of the connection.
    pub protocol: Protocol,
    /// Role of the connection: `stream`, `subscriber`, `resend`, `login` or `idle`.
    pub kind: &'static str,
    /// Next sequence of the stream, if the connection has one that is not over.
    pub next: Option<Seq>,
    /// Number of packets sent.
    pub packets: u64,
    /// Number of bytes sent.
    pub bytes: u64,
    /// Time at which the connection was accepted, in the driver's time.
    pub opened: Duration,
    /// Time of the last byte sent or received.
    pub active: Duration,
    /// Time before which no bytes are sent, because of an order or a fault.
    pub held_until: Option<Duration>,
}

impl<P: TapeSource> MockExchange<P> {
    /// Replaces the scenario, also for running streams, from their first packet on that is not
    /// partly sent. Replies to resend calls that are already made stay as they are, and connections
    /// that a fault has ended stay ended. The counts of each fault begin at 0.
    pub fn set_scenario(&mut self, scenario: Scenario) {
        self.faults = self.faults.with_scenario(&scenario, self.tape().end());
        self.scenario = scenario;
    }

    /// Returns the faults in force, with their counts.
    #[must_use]
    pub fn faults(&self) -> &FaultEngine {
        &self.faults
    }

    /// Drops the next `count` packets of streams and subscriptions, on any connection, except
    /// packets that are partly sent. Orders add up.
    pub fn drop_next(&mut self, count: u32) {
        self.drops_pending = self.drops_pending.saturating_add(count);
    }

    /// Returns how many packets are still to be dropped by order.
    #[must_use]
    pub fn drops_pending(&self) -> u32 {
        self.drops_pending
    }

    /// Carries out pending drops on a connection.
    pub(super) fn apply_pending_drops(&mut self, conn: &mut BetacrewConnection) {
        if self.drops_pending > 0 {
            let end = self.tapes[0].last();
            let (done, accepted) = conn.drop_next(&mut self.faults, end, self.drops_pending);
            let done = u32::try_from(done).unwrap_or(u32::MAX);
            self.drops_pending = self.drops_pending.saturating_sub(done.saturating_add(accepted));
        }
    }

    /// Pauses all sending, heartbeats included. A live session goes on growing.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Resumes all sending.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// Returns whether all sending is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Ends a connection at once, inside a packet if need be.
    pub fn cut(&mut self, conn: &mut ServerConnection, how: CutKind) {
        let ending = match how {
            CutKind::Close => Ending::Close,
            CutKind::Reset => Ending::Reset,
        };
        let dialog = conn.dialog_mut::<P>();
        dialog.drop_pending();
        dialog.base_mut().held_until = None;
        dialog.base_mut().closing.force(ending, EndCause::Order);
    }

    /// Sends no bytes on a connection for `time`.
    pub fn stall(&mut self, conn: &mut ServerConnection, time: Duration, now: Duration) {
        conn.dialog_mut::<P>().base_mut().stall(now + time);
    }

    /// Returns a snapshot of a connection.
    #[must_use]
    pub fn view(&self, conn: &ServerConnection) -> ConnectionView {
        let dialog = conn.dialog::<P>();
        let (base, ConnectionPosition { kind, next }) = (dialog.base(), dialog.position());
        ConnectionView {
            connection: base.number(),
            protocol: conn.protocol(),
            kind,
            next,
            packets: base.traffic.packets,
            bytes: base.traffic.bytes,
            opened: base.traffic.opened,
            active: base.traffic.active,
            held_until: base.held_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seq::to_index;
    use crate::exchange::{Exchange, Step};
    use crate::faults::scenario::{Fault, FaultAction, FaultPlace};
    use crate::tape::in_memory::Tape;
    use crate::wire::{Call, FRAME_LEN, sequence_of};
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    const NOW: Duration = Duration::from_secs(1);

    /// Exchange with a client that has called for the stream, and the bytes that the client
    /// received.
    struct Run {
        exchange: MockExchange,
        conn: ServerConnection,
        received: Vec<u8>,
    }

    fn run(scenario: Scenario) -> Run {
        let mut exchange = MockExchange::new(Arc::new(Tape::sample(1000)), scenario);
        let mut conn = exchange.open(Protocol::Betacrew, NOW);
        let mut bytes = Vec::new();
        Call::Stream.encode(&mut bytes);
        exchange.receive(&mut conn, &bytes, NOW);
        Run { exchange, conn, received: Vec::new() }
    }

    impl Run {
        /// Sends at most `most` bytes, as many as the socket takes.
        fn take(&mut self, most: usize) -> usize {
            let mut out = vec![0; 1 << 16];
            let count = self.exchange.peek(&mut self.conn, &mut out, NOW).min(most);
            self.exchange.sent(&mut self.conn, count, NOW);
            self.received.extend(&out[..count]);
            count
        }

        fn rest(&mut self) -> Vec<Seq> {
            while self.take(1 << 16) > 0 {}
            let step = self.exchange.step(&mut self.conn, NOW);
            assert_eq!(step, Step::Finish);
            let (frames, rest) = self.received.as_chunks::<FRAME_LEN>();
            assert!(rest.is_empty(), "half a packet");
            frames.iter().map(sequence_of).collect()
        }
    }

    fn without(low: Seq, high: Seq) -> Vec<Seq> {
        (1..=1000).filter(|seq| !(low..=high).contains(seq)).collect()
    }

    fn copies() -> Scenario {
        let after = crate::base::span::Span::one(0);
        let twice = FaultAction::Duplicate { copies: 1, after, changed: None };
        Scenario::clean(1).with(Fault::new(twice, FaultPlace::Stream).unwrap())
    }

    #[test]
    fn the_next_packets_are_dropped_but_not_one_that_is_partly_sent() {
        for partly_sent in [0, 1, 16] {
            let mut run = run(Scenario::clean(1));
            run.take(10 * FRAME_LEN + partly_sent);
            run.exchange.drop_next(200);
            let low = if partly_sent > 0 { 12 } else { 11 };
            assert_eq!(run.rest(), without(low, low + 199), "{partly_sent} bytes partly_sent");
            assert_eq!((run.exchange.stats().dropped, run.exchange.drops_pending()), (200, 0));
            assert_eq!(run.exchange.faults().tally().dropped_by_order(), 200);
        }
    }

    #[test]
    fn packets_of_a_faulted_run_are_dropped_with_their_copies() {
        let mut run = run(copies());
        // Both copies of the first ten, and some of the eleventh.
        run.take(20 * FRAME_LEN + 3);
        run.exchange.drop_next(600);
        let mut received = run.rest();
        received.dedup();
        assert!(run.exchange.stats().dropped == 600 && run.exchange.drops_pending() == 0);
        assert_eq!(received, without(12, 611), "with all their copies");
    }

    #[test]
    fn changed_faults_apply_at_once_but_not_to_a_packet_that_is_partly_sent() {
        let mut run = run(Scenario::clean(1));
        run.take(5 * FRAME_LEN + 9);
        run.exchange.set_scenario(Scenario::skipping("1-400".parse().unwrap()));
        run.take(10 * FRAME_LEN + 9);
        assert_eq!(run.exchange.faults().times_applied(0), 394);
        run.exchange.set_scenario(copies());
        run.take(7);
        run.exchange.set_scenario(Scenario::clean(1));
        let mut received = run.rest();
        received.dedup();
        assert_eq!(received, without(7, 400));
        let drops = run.exchange.faults().tally().kinds().next();
        assert_eq!(drops, Some(("drop", 394)), "what was counted in all stays");
    }

    #[test]
    fn a_pause_holds_back_bytes_and_the_end() {
        let mut run = run(Scenario::clean(1));
        run.take(100);
        run.exchange.pause();
        assert_eq!(run.take(100), 0);
        let far = NOW * 1000;
        assert_eq!(run.exchange.step(&mut run.conn, far), Step::Wait);
        assert_eq!(run.exchange.deadline(&run.conn), None);
        run.exchange.resume();
        assert_eq!(run.rest().len(), 1000);
    }

    #[test]
    fn a_stall_ends_and_a_cut_does_not() {
        let mut run = run(Scenario::clean(1));
        run.take(100);
        run.exchange.stall(&mut run.conn, NOW, NOW);
        assert_eq!((run.take(100), run.exchange.deadline(&run.conn)), (0, Some(NOW * 2)));
        assert_eq!(run.exchange.step(&mut run.conn, NOW), Step::Wait);
        let mut out = [0; 100];
        assert!(run.exchange.peek(&mut run.conn, &mut out, NOW * 2) > 0);
        for (how, step) in [(CutKind::Close, Step::Finish), (CutKind::Reset, Step::Reset)] {
            let mut run = self::run(Scenario::clean(1));
            run.take(100);
            run.exchange.cut(&mut run.conn, how);
            assert_eq!(run.take(100), 0);
            assert_eq!(run.exchange.step(&mut run.conn, NOW), step);
            assert_eq!(run.exchange.stats().cut, 1);
        }
    }

    #[test]
    fn a_packet_that_two_rules_pick_counts_for_both_and_is_dropped_once() {
        let rule = |text: &str| Fault::skip(text.parse().unwrap());
        let mut run = run(Scenario::clean(1).with(rule("1-100")).with(rule("51-200")));
        run.rest();
        let faults = run.exchange.faults();
        assert_eq!((faults.times_applied(0), faults.times_applied(1)), (100, 150));
        let sum = |of: fn(&crate::faults::engine::TallyCell) -> u64| -> u64 {
            faults.tally().cells().iter().map(of).sum()
        };
        assert_eq!((sum(|cell| cell.sent), sum(|cell| cell.dropped)), (800, 200));
        let dropped = |seq: usize| faults.tally().cells()[seq].dropped;
        assert_eq!([1, 64, 100, 200, 201].map(dropped), [1, 1, 1, 1, 0]);
        assert_eq!(run.exchange.stats().packets, 800);
    }

    #[test]
    fn a_drop_rate_of_25_percent_and_the_resends_are_counted_apart() {
        let quarter = Fault::loss("25%".parse().unwrap());
        let mut run = run(Scenario::clean(7).with(quarter));
        let received = run.rest();
        let dropped: Vec<Seq> = (1..=1000).filter(|seq| !received.contains(seq)).collect();
        assert!((200..300).contains(&dropped.len()), "{} dropped", dropped.len());
        // The client has each of them sent again.
        for &seq in &dropped {
            let (mut conn, mut calls) = (run.exchange.open(Protocol::Betacrew, NOW), Vec::new());
            Call::Describe { version: 1 }.encode(&mut calls);
            Call::ResendRange { first: seq, count: 1 }.encode(&mut calls);
            run.exchange.receive(&mut conn, &calls, NOW);
        }
        let total = run.exchange.faults().tally().total();
        assert_eq!((total.sent, total.dropped), (received.len() as u64, dropped.len() as u64));
        assert_eq!((total.sent + total.dropped, total.resent), (1000, total.dropped));
        assert_eq!(total.dropped, run.exchange.stats().dropped);
        // Sequence by sequence, on a tape this short.
        let cells = run.exchange.faults().tally().cells();
        assert!((1..=1000).all(|seq: Seq| {
            let cell = cells[to_index(seq)];
            let was_dropped = u64::from(dropped.contains(&seq));
            (cell.sent, cell.dropped, cell.resent) == (1 - was_dropped, was_dropped, was_dropped)
        }));
    }

    #[test]
    fn a_later_stream_without_losses_leaves_the_earlier_ones_counted() {
        let mut run = run(Scenario::clean(7).with(Fault::skip("11-20".parse().unwrap())));
        run.rest();
        run.exchange.set_scenario(Scenario::clean(7));
        let (mut conn, mut bytes) = (run.exchange.open(Protocol::Betacrew, NOW), Vec::new());
        Call::Stream.encode(&mut bytes);
        run.exchange.receive(&mut conn, &bytes, NOW);
        run = Run { exchange: run.exchange, conn, received: Vec::new() };
        assert_eq!(run.rest().len(), 1000);
        let tally = run.exchange.faults().tally();
        assert_eq!((tally.total().sent, tally.total().dropped), (1990, 10));
        let at = |seq: usize| (tally.cells()[seq].sent, tally.cells()[seq].dropped);
        assert_eq!([10, 11, 20, 21].map(at), [(2, 0), (1, 1), (1, 1), (2, 0)]);
    }
}
