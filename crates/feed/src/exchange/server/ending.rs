//! How connections end by themselves: by silence, by a fault.

use super::{Downtime, MockExchange, ServerConnection, ServerEvent, UNCALLED};
use crate::exchange::Step;
use crate::exchange::server::faulted_run::Ending;
use crate::tape::source::TapeSource;
use core::time::Duration;

impl<P: TapeSource> MockExchange<P> {
    /// When silence ends a connection that owes nothing.
    pub(super) fn idle(&self, seat: &ServerConnection) -> Option<Duration> {
        let idle = self.scenario.idle.filter(|_| seat.ending.is_none())?;
        match seat.idles() {
            true => Some(seat.active + idle),
            // An original keeps it for ever; who is slow to call has time enough.
            false if !seat.called() => Some(seat.active + idle.max(UNCALLED)),
            false => None,
        }
    }

    /// What a fault that has ended a connection means for it; `None`: it ends as others do.
    pub(super) fn end(
        &mut self,
        seat: &mut ServerConnection,
        ending: Ending,
        now: Duration,
    ) -> Option<Step> {
        if !core::mem::replace(&mut seat.told, true) {
            self.served.cut += 1;
            self.tell(ServerEvent::Ended {
                connection: seat.index + 1,
                ending,
                by_order: seat.cut_by_order,
            });
        }
        match ending {
            Ending::Close => return None,
            Ending::Silence if seat.client_ended => return Some(Step::Close),
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
    use crate::wire::FRAME_LEN;
    use alloc::sync::Arc;

    /// When a connection on which this was sent is finished for silence, whether it is idle before,
    /// and what becomes of it then.
    fn silent(scenario: Scenario, sent: &[u8]) -> (Option<Duration>, bool, Step) {
        let mut player = MockExchange::new(Arc::new(Tape::sample(5)), scenario);
        let mut seat = player.open(Duration::ZERO);
        player.receive(&mut seat, sent, Duration::ZERO);
        let mut out = [0; 9 * FRAME_LEN];
        while let count @ 1.. = player.peek(&mut seat, &mut out, Duration::ZERO) {
            player.sent(&mut seat, count, Duration::ZERO);
        }
        let (idle, at) = (player.is_idle(&seat), player.deadline(&seat));
        let now = at.unwrap_or(UNCALLED * 1000);
        assert_eq!(player.peek(&mut seat, &mut out, now), 0);
        let step = player.step(&mut seat, now);
        if step == Step::Finish {
            assert_eq!(player.step(&mut seat, now), Step::Wait);
            assert_eq!(player.step(&mut seat, now + LINGER), Step::Close);
        }
        (at, idle, step)
    }

    #[test]
    fn a_connection_that_never_called_does_not_stay_for_ever() {
        let scenario = || Scenario::clean(1);
        let resent = scenario().idle.unwrap();
        for (sent, at, step) in [
            (&[][..], Some(UNCALLED), Step::Finish),
            (&[0, 0, 9, 9], Some(UNCALLED), Step::Finish),
            (&[2, 3], Some(resent), Step::Finish),
            (&[2, 0], Some(resent), Step::Finish),
            // Its client goes on when it has to.
            (&[3, 1], None, Step::Wait),
        ] {
            assert_eq!(silent(scenario(), sent), (at, true, step), "{sent:?}");
        }
        let patient = Scenario { idle: Some(UNCALLED * 2), ..scenario() };
        assert_eq!(silent(patient, &[]).0, Some(UNCALLED * 2));
        assert_eq!(silent(Scenario { idle: None, ..scenario() }, &[]).0, None);
    }

    #[test]
    fn who_gets_something_is_not_idle() {
        let mut player = MockExchange::new(Arc::new(Tape::sample(5)), Scenario::clean(1));
        for sent in [&[1, 0][..], &[2, 3], &[3, 1, 5, 0, 0, 0, 0, 1]] {
            let mut seat = player.open(Duration::ZERO);
            assert!(player.is_idle(&seat));
            player.receive(&mut seat, sent, Duration::ZERO);
            assert!(!player.is_idle(&seat), "{sent:?}");
        }
    }
}
