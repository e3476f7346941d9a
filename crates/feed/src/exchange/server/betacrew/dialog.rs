//! Dialog of a connection in the exercise's protocol.

use super::{BetacrewConnection, Closing, SendContext};
use crate::base::seq::FIRST_SEQ;
use crate::exchange::Step;
use crate::exchange::server::closing::LINGER;
use crate::exchange::server::connection::{ConnectionBase, Dialog};
use crate::exchange::server::control::ConnectionPosition;
use crate::exchange::server::{MockExchange, ONE_BY_ONE, OWED_MAX};
use crate::faults::scenario::Scenario;
use crate::tape::pace::{Pace, STEP, StreamClock};
use crate::tape::source::TapeSource;
use core::time::Duration;

impl<P: TapeSource> Dialog<P> for BetacrewConnection {
    fn base(&self) -> &ConnectionBase {
        &self.base
    }

    fn base_mut(&mut self) -> &mut ConnectionBase {
        &mut self.base
    }

    fn wants_input(&self) -> bool {
        self.owed() < OWED_MAX
    }

    fn receive(&mut self, exchange: &mut MockExchange<P>, bytes: &[u8], now: Duration) {
        let mut rest = bytes;
        // Bytes after a stream call, or after a call that ends the connection, are discarded.
        while self.accepts_calls() {
            let Some(call) = self.calls.next(&mut rest) else { break };
            exchange.answer(self, call, now);
        }
    }

    fn input_ended(&mut self) {
        self.unsubscribe();
    }

    fn peek(&mut self, exchange: &mut MockExchange<P>, out: &mut [u8], now: Duration) -> usize {
        exchange.apply_slow_policy(self, now);
        exchange.apply_pending_drops(self);
        let tape = &mut exchange.tapes[0];
        let one_by_one = tape.last() <= ONE_BY_ONE;
        let MockExchange { faults, scenario: Scenario { pace, .. }, .. } = exchange;
        self.fill(&mut SendContext { tape, faults, pace: *pace, now, one_by_one }, out)
    }

    fn sent(&mut self, exchange: &mut MockExchange<P>, count: usize, now: Duration) {
        let before = self.base.traffic.packets;
        let end = exchange.tape().last();
        exchange.stats.dropped += self.advance(end, &mut exchange.faults, count, now);
        exchange.stats.packets += self.base.traffic.packets - before;
    }

    fn step(&mut self, exchange: &mut MockExchange<P>, now: Duration) -> Step {
        exchange.apply_slow_policy(self, now);
        if self.owed() > 0 {
            return match self.base.closing {
                // A client that was cut off and does not even read the refusal.
                Closing::CutOff { since } if now >= since + LINGER => Step::Reset,
                _ => Step::Wait,
            };
        }
        let is_over = |it: &super::subscription::Subscription| it.is_over(now);
        let ended = self.base.client_ended;
        if self.role.subscription().is_some_and(|it| !(ended || is_over(it))) {
            return Step::Wait;
        }
        if let Some(step) = self.base.lingering_step(now) {
            return step;
        }
        let is_idle_too_long = || exchange.idle_deadline(self).is_some_and(|idle| now >= idle);
        if self.accepts_calls() && !ended && !is_idle_too_long() {
            return Step::Wait;
        }
        self.base.closing.finish(now);
        Step::Finish
    }

    fn deadline(&self, exchange: &mut MockExchange<P>) -> Option<Duration> {
        let held_until = self.base.held_until;
        if let Some(subscription) = self.role.subscription() {
            let growth = exchange.tape().grows_at();
            let next = growth.into_iter().chain([subscription.next_notice_at]).min();
            return held_until.or(next);
        }
        if held_until.is_some() || self.owed() == 0 {
            return held_until.or_else(|| exchange.idle_deadline(self));
        }
        if exchange.scenario.pace == Pace::Unlimited {
            return None;
        }
        let (began, next) = self.paced_packet()?;
        let (pace, tape) = (exchange.scenario.pace, &mut exchange.tapes[0]);
        let due = began + StreamClock::new(FIRST_SEQ).due(pace, tape, next);
        Some(due.max(self.base.traffic.active + STEP))
    }

    fn is_idle(&self) -> bool {
        self.owed() == 0 && self.role.subscription().is_none()
    }

    fn drop_pending(&mut self) {
        self.drop_replies();
        self.role.end_subscription();
    }

    fn position(&self) -> ConnectionPosition {
        self.view()
    }
}
