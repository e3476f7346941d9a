//! Steering an exchange while it plays: other faults, losses by order, a pause, a cut, a stall.
//! Pure operations, so that a person, a script and a simulator can give them alike.

use super::lane::Ending;
use super::{Player, Seat};
use crate::faults::Faults;
use crate::play::Play;
use crate::scenario::Scenario;
use crate::seq::Seq;
use core::time::Duration;

/// How a connection is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Nothing more is sent, and it is closed as after the last packet.
    Close,
    /// It is reset.
    Reset,
}

/// A connection, to be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeatView {
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
}

impl<P: Play> Player<P> {
    /// From now on, something else goes wrong: also in streams that run, from the first packet on
    /// that is not begun. Resends that are owed already are not affected. What a fault has ended
    /// stays so. What is counted by rule begins anew.
    pub fn change(&mut self, scenario: Scenario) {
        self.faults = self.faults.changed(&scenario, self.tape().end());
        self.scenario = scenario;
    }

    /// The faults in force, and what they have done.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The next `count` packets that streams and subscriptions would send are lost, on whichever
    /// connections they are; packets that are begun are not. Orders add up.
    pub fn lose(&mut self, count: u32) {
        self.losing = self.losing.saturating_add(count);
    }

    /// How many packets are still to be lost by order.
    #[must_use]
    pub fn losing(&self) -> u32 {
        self.losing
    }

    pub(super) fn lose_from(&mut self, seat: &mut Seat) {
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
    pub fn cut(&mut self, seat: &mut Seat, how: Cut) {
        seat.cut(match how {
            Cut::Close => Ending::Close,
            Cut::Reset => Ending::Reset,
        });
    }

    /// Nothing is sent on a connection for so long.
    pub fn stall(&mut self, seat: &mut Seat, time: Duration, now: Duration) {
        seat.stall(now + time);
    }

    /// What can be shown of a connection.
    #[must_use]
    pub fn view(&self, seat: &Seat) -> SeatView {
        let (kind, next) = seat.view();
        let (connection, packets, bytes) = (seat.index + 1, seat.packets, seat.bytes);
        SeatView { connection, kind, next, packets, bytes, opened: seat.opened }
    }
}
