//! Ends of connections by silence, by a fault or by an order.

use super::betacrew::{BetacrewConnection, ConnectionRole};
use super::connection::ConnectionBase;
use super::{Downtime, MockExchange, ServerEvent, UNCALLED};
use crate::exchange::Step;
use crate::exchange::server::closing::Ending;
use crate::tape::source::TapeSource;
use core::time::Duration;

impl<P: TapeSource> MockExchange<P> {
    /// Returns when silence ends a connection that has no replies to send.
    pub(super) fn idle_deadline(&self, conn: &BetacrewConnection) -> Option<Duration> {
        let idle = self.scenario.idle.filter(|_| conn.base.closing.forced_end().is_none())?;
        // Clients of the extension are not ended: they close their connections themselves.
        if conn.calls.extended() {
            return None;
        }
        let active = conn.base.traffic.active;
        match conn.role {
            // Clients of the original protocol exist that wait for the exchange to end a connection
            // after their resend calls.
            ConnectionRole::Resend => Some(active + idle),
            _ if conn.calls.stuck() => Some(active + idle),
            // The original keeps such a connection for ever. This time is enough for any client
            // that is slow to call.
            ConnectionRole::Idle => Some(active + idle.max(UNCALLED)),
            _ => None,
        }
    }

    /// Reports and carries out the end of a connection by a fault or an order. Returns `None` if
    /// there is none, or if the connection closes as after its last packet.
    pub(super) fn carry_out_forced_end(
        &mut self,
        base: &mut ConnectionBase,
        now: Duration,
    ) -> Option<Step> {
        let ending = base.closing.forced_end()?.ending;
        if let Some(end) = base.closing.take_report() {
            self.stats.cut += 1;
            self.report(ServerEvent::Ended { connection: base.number(), ending, cause: end.cause });
        }
        match ending {
            Ending::Close => return None,
            Ending::Silence if base.client_ended => return Some(Step::Close),
            Ending::Silence => return Some(Step::Wait),
            Ending::Reset => {}
            Ending::Restart { down, renew } => {
                self.outage.get_or_insert(Downtime { until: now + down, renew });
            }
            Ending::Die => self.died = true,
        }
        Some(Step::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::LINGER;
    use super::*;
    use crate::exchange::Exchange;
    use crate::faults::scenario::Scenario;
    use crate::tape::in_memory::Tape;
    use crate::wire::{FRAME_LEN, Protocol};
    use alloc::sync::Arc;

    /// Returns when a connection is finished because its client is silent after `sent`, whether the
    /// connection is idle before, and the step at that time.
    fn idle_end(scenario: Scenario, sent: &[u8]) -> (Option<Duration>, bool, Step) {
        let mut exchange = MockExchange::new(Arc::new(Tape::sample(5)), scenario);
        let mut conn = exchange.open(Protocol::Betacrew, Duration::ZERO);
        exchange.receive(&mut conn, sent, Duration::ZERO);
        let mut out = [0; 9 * FRAME_LEN];
        while let count @ 1.. = exchange.peek(&mut conn, &mut out, Duration::ZERO) {
            exchange.sent(&mut conn, count, Duration::ZERO);
        }
        let (idle, at) = (exchange.is_idle(&conn), exchange.deadline(&conn));
        let now = at.unwrap_or(UNCALLED * 1000);
        assert_eq!(exchange.peek(&mut conn, &mut out, now), 0);
        let step = exchange.step(&mut conn, now);
        if step == Step::Finish {
            assert_eq!(exchange.step(&mut conn, now), Step::Wait);
            assert_eq!(exchange.step(&mut conn, now + LINGER), Step::Close);
        }
        (at, idle, step)
    }

    #[test]
    fn a_connection_without_a_call_is_ended_after_a_while() {
        let scenario = || Scenario::clean(1);
        let idle = scenario().idle.unwrap();
        for (sent, at, step) in [
            (&[][..], Some(UNCALLED), Step::Finish),
            (&[0, 0, 9, 9], Some(UNCALLED), Step::Finish),
            (&[2, 3], Some(idle), Step::Finish),
            (&[2, 0], Some(idle), Step::Finish),
            // A client of the extension may be silent for any time.
            (&[3, 1], None, Step::Wait),
        ] {
            assert_eq!(idle_end(scenario(), sent), (at, true, step), "{sent:?}");
        }
        let patient = Scenario { idle: Some(UNCALLED * 2), ..scenario() };
        assert_eq!(idle_end(patient, &[]).0, Some(UNCALLED * 2));
        assert_eq!(idle_end(Scenario { idle: None, ..scenario() }, &[]).0, None);
    }

    #[test]
    fn a_connection_with_replies_is_not_idle() {
        let mut exchange = MockExchange::new(Arc::new(Tape::sample(5)), Scenario::clean(1));
        for sent in [&[1, 0][..], &[2, 3], &[3, 1, 5, 0, 0, 0, 0, 1]] {
            let mut conn = exchange.open(Protocol::Betacrew, Duration::ZERO);
            assert!(exchange.is_idle(&conn));
            exchange.receive(&mut conn, sent, Duration::ZERO);
            assert!(!exchange.is_idle(&conn), "{sent:?}");
        }
    }
}
