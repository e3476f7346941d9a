//! Steering an exchange while it plays: other faults, losses by order, a pause, a cut, a stall.
//! Pure operations, so that a person, a script and a simulator can give them alike.

use super::{MockExchange, ServerConnection};
use crate::base::seq::Seq;
use crate::exchange::server::faulted_run::Ending;
use crate::faults::engine::FaultEngine;
use crate::faults::scenario::Scenario;
use crate::tape::source::TapeSource;
use core::time::Duration;

/// How a connection is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CutKind {
    /// Nothing more is sent, and it is closed as after the last packet.
    Close,
    /// It is reset.
    Reset,
}

/// A connection, to be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionView {
    /// Its number, from 1 in the order in which connections were accepted.
    pub connection: u64,
    /// `stream`, `subscriber`, `resend` or `idle`.
    pub kind: &'static str,
    /// The next sequence of its stream, if it has one that is not over.
    pub next: Option<Seq>,
    /// Packets sent.
    pub packets: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// When it was accepted, in the driver's time.
    pub opened: Duration,
    /// Time of the last byte sent or received.
    pub active: Duration,
    /// Time before which nothing is sent, because of an order or a fault.
    pub held_until: Option<Duration>,
}

impl<P: TapeSource> MockExchange<P> {
    /// From now on, something else goes wrong: also in streams that run, from the first packet on
    /// that is not begun. Resends that are owed already are not affected. What a fault has ended
    /// stays so. What is counted by rule begins anew.
    pub fn set_scenario(&mut self, scenario: Scenario) {
        self.faults = self.faults.changed(&scenario, self.tape().end());
        self.scenario = scenario;
    }

    /// The faults in force, and what they have done.
    #[must_use]
    pub fn faults(&self) -> &FaultEngine {
        &self.faults
    }

    /// The next `count` packets that streams and subscriptions would send are lost, on whichever
    /// connections they are; packets that are begun are not. Orders add up.
    pub fn drop_next(&mut self, count: u32) {
        self.losing = self.losing.saturating_add(count);
    }

    /// How many packets are still to be lost by order.
    #[must_use]
    pub fn drops_pending(&self) -> u32 {
        self.losing
    }

    pub(super) fn lose_from(&mut self, seat: &mut ServerConnection) {
        if self.losing > 0 {
            let (lost, promised) = seat.lose(&mut self.faults, self.tapes[0].last(), self.losing);
            let lost = u32::try_from(lost).unwrap_or(u32::MAX);
            self.losing = self.losing.saturating_sub(lost.saturating_add(promised));
        }
    }

    /// All sending stands still, heartbeats too, or goes on. A live session goes on growing.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Whether all sending stands still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Ends a connection, in the middle of a packet if need be.
    pub fn cut(&mut self, seat: &mut ServerConnection, how: CutKind) {
        seat.cut(match how {
            CutKind::Close => Ending::Close,
            CutKind::Reset => Ending::Reset,
        });
    }

    /// Nothing is sent on a connection for so long.
    pub fn stall(&mut self, seat: &mut ServerConnection, time: Duration, now: Duration) {
        seat.stall(now + time);
    }

    /// What can be shown of a connection.
    #[must_use]
    pub fn view(&self, seat: &ServerConnection) -> ConnectionView {
        let (kind, next) = seat.view();
        let (connection, packets, bytes) = (seat.index + 1, seat.packets, seat.bytes);
        ConnectionView {
            connection,
            kind,
            next,
            packets,
            bytes,
            opened: seat.opened,
            active: seat.active,
            held_until: seat.resume_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Exchange, Step};
    use crate::faults::scenario::{Fault, FaultAction, FaultPlace};
    use crate::tape::in_memory::Tape;
    use crate::wire::{Call, FRAME_LEN, sequence_of};
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    const NOW: Duration = Duration::from_secs(1);

    /// An exchange with a client that has called for the stream, and what that got.
    struct Run {
        player: MockExchange,
        seat: ServerConnection,
        got: Vec<u8>,
    }

    fn run(scenario: Scenario) -> Run {
        let mut player = MockExchange::new(Arc::new(Tape::sample(1000)), scenario);
        let mut seat = player.open(NOW);
        let mut bytes = Vec::new();
        Call::Stream.encode(&mut bytes);
        player.receive(&mut seat, &bytes, NOW);
        Run { player, seat, got: Vec::new() }
    }

    impl Run {
        /// The socket takes so many bytes at the most.
        fn take(&mut self, most: usize) -> usize {
            let mut out = vec![0; 1 << 16];
            let count = self.player.peek(&mut self.seat, &mut out, NOW).min(most);
            self.player.sent(&mut self.seat, count, NOW);
            self.got.extend(&out[..count]);
            count
        }

        fn rest(&mut self) -> Vec<u32> {
            while self.take(1 << 16) > 0 {}
            let step = self.player.step(&mut self.seat, NOW);
            assert_eq!(step, Step::Finish);
            let (frames, rest) = self.got.as_chunks::<FRAME_LEN>();
            assert!(rest.is_empty(), "half a packet");
            frames.iter().map(sequence_of).collect()
        }
    }

    fn without(low: u32, high: u32) -> Vec<u32> {
        (1..=1000).filter(|seq| !(low..=high).contains(seq)).collect()
    }

    fn copies() -> Scenario {
        let after = crate::base::span::Span::one(0);
        let twice = FaultAction::Duplicate { copies: 1, after, changed: None };
        Scenario::clean(1).with(Fault::new(twice, FaultPlace::Stream).unwrap())
    }

    #[test]
    fn the_next_packets_are_lost_but_not_what_is_begun() {
        for begun in [0, 1, 16] {
            let mut run = run(Scenario::clean(1));
            run.take(10 * FRAME_LEN + begun);
            run.player.drop_next(200);
            let low = if begun > 0 { 12 } else { 11 };
            assert_eq!(run.rest(), without(low, low + 199), "{begun} bytes begun");
            assert_eq!((run.player.served().dropped, run.player.drops_pending()), (200, 0));
            assert_eq!(run.player.faults().tally().by_order(), 200);
        }
    }

    #[test]
    fn where_more_can_happen_they_are_lost_too() {
        let mut run = run(copies());
        // Both copies of the first ten, and some of the eleventh.
        run.take(20 * FRAME_LEN + 3);
        run.player.drop_next(600);
        let mut got = run.rest();
        got.dedup();
        assert!(run.player.served().dropped == 600 && run.player.drops_pending() == 0);
        assert_eq!(got, without(12, 611), "with all their copies");
    }

    #[test]
    fn other_faults_strike_at_once_but_not_what_is_begun() {
        let mut run = run(Scenario::clean(1));
        run.take(5 * FRAME_LEN + 9);
        run.player.set_scenario(Scenario::skipping("1-400".parse().unwrap()));
        run.take(10 * FRAME_LEN + 9);
        assert_eq!(run.player.faults().struck(0), 394);
        run.player.set_scenario(copies());
        run.take(7);
        run.player.set_scenario(Scenario::clean(1));
        let mut got = run.rest();
        got.dedup();
        assert_eq!(got, without(7, 400));
        let drops = run.player.faults().tally().kinds().next();
        assert_eq!(drops, Some(("drop", 394)), "what was counted in all stays");
    }

    #[test]
    fn a_pause_is_one() {
        let mut run = run(Scenario::clean(1));
        run.take(100);
        run.player.pause(true);
        assert_eq!(run.take(100), 0);
        let far = NOW * 1000;
        assert_eq!(run.player.step(&mut run.seat, far), Step::Wait);
        assert_eq!(run.player.deadline(&run.seat), None);
        run.player.pause(false);
        assert_eq!(run.rest().len(), 1000);
    }

    #[test]
    fn a_stall_ends_and_a_cut_does_not() {
        let mut run = run(Scenario::clean(1));
        run.take(100);
        run.player.stall(&mut run.seat, NOW, NOW);
        assert_eq!((run.take(100), run.player.deadline(&run.seat)), (0, Some(NOW * 2)));
        assert_eq!(run.player.step(&mut run.seat, NOW), Step::Wait);
        let mut out = [0; 100];
        assert!(run.player.peek(&mut run.seat, &mut out, NOW * 2) > 0);
        for (how, step) in [(CutKind::Close, Step::Finish), (CutKind::Reset, Step::Reset)] {
            let mut run = self::run(Scenario::clean(1));
            run.take(100);
            run.player.cut(&mut run.seat, how);
            assert_eq!(run.take(100), 0);
            assert_eq!(run.player.step(&mut run.seat, NOW), step);
            assert_eq!(run.player.served().cut, 1);
        }
    }

    #[test]
    fn a_packet_that_two_rules_pick_counts_for_both_and_is_lost_once() {
        let rule = |text: &str| Fault::skip(text.parse().unwrap());
        let mut run = run(Scenario::clean(1).with(rule("1-100")).with(rule("51-200")));
        run.rest();
        let faults = run.player.faults();
        assert_eq!((faults.struck(0), faults.struck(1)), (100, 150));
        let sum = |of: fn(&crate::faults::engine::TallyCell) -> u64| -> u64 {
            faults.tally().cells().iter().map(of).sum()
        };
        assert_eq!((sum(|cell| cell.sent), sum(|cell| cell.dropped)), (800, 200));
        let dropped = |seq: usize| faults.tally().cells()[seq].dropped;
        assert_eq!([1, 64, 100, 200, 201].map(dropped), [1, 1, 1, 1, 0]);
        assert_eq!(run.player.served().packets, 800);
    }

    #[test]
    fn a_loss_of_25_percent_is_counted_as_that_and_resends_beside_it() {
        let quarter = Fault::loss("25%".parse().unwrap());
        let mut run = run(Scenario::clean(7).with(quarter));
        let got = run.rest();
        let lost: Vec<u32> = (1..=1000).filter(|seq| !got.contains(seq)).collect();
        assert!((200..300).contains(&lost.len()), "{} lost", lost.len());
        // The client has each of them sent again.
        for &seq in &lost {
            let (mut seat, mut calls) = (run.player.open(NOW), Vec::new());
            Call::Describe { version: 1 }.encode(&mut calls);
            Call::ResendRange { first: seq, count: 1 }.encode(&mut calls);
            run.player.receive(&mut seat, &calls, NOW);
        }
        let total = run.player.faults().tally().total();
        assert_eq!((total.sent, total.dropped), (got.len() as u64, lost.len() as u64));
        assert_eq!((total.sent + total.dropped, total.resent), (1000, total.dropped));
        assert_eq!(total.dropped, run.player.served().dropped);
        // Sequence by sequence, on a tape this short.
        let cells = run.player.faults().tally().cells();
        assert!((1..=1000_u32).all(|seq| {
            let cell = cells[seq as usize];
            let dropped = u64::from(lost.contains(&seq));
            (cell.sent, cell.dropped, cell.resent) == (1 - dropped, dropped, dropped)
        }));
    }

    #[test]
    fn a_later_stream_without_losses_leaves_the_earlier_ones_counted() {
        let mut run = run(Scenario::clean(7).with(Fault::skip("11-20".parse().unwrap())));
        run.rest();
        run.player.set_scenario(Scenario::clean(7));
        let (mut seat, mut bytes) = (run.player.open(NOW), Vec::new());
        Call::Stream.encode(&mut bytes);
        run.player.receive(&mut seat, &bytes, NOW);
        run = Run { player: run.player, seat, got: Vec::new() };
        assert_eq!(run.rest().len(), 1000);
        let tally = run.player.faults().tally();
        assert_eq!((tally.total().sent, tally.total().dropped), (1990, 10));
        let at = |seq: usize| (tally.cells()[seq].sent, tally.cells()[seq].dropped);
        assert_eq!([10, 11, 20, 21].map(at), [(2, 0), (1, 1), (1, 1), (2, 0)]);
    }
}
