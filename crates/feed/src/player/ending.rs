//! How connections end by themselves: by silence, by a fault.

use super::lane::Ending;
use super::{Note, Outage, Player, Seat};
use crate::exchange::Step;
use crate::play::Play;
use core::time::Duration;

impl<P: Play> Player<P> {
    /// When silence ends a connection that owes nothing.
    pub(super) fn idle(&self, seat: &Seat) -> Option<Duration> {
        let idle = self.scenario.idle.filter(|_| seat.idles() && seat.ending.is_none())?;
        Some(seat.active + idle)
    }

    /// What a fault that has ended a connection means for it; `None`: it ends as others do.
    pub(super) fn end(&mut self, seat: &mut Seat, ending: Ending, now: Duration) -> Option<Step> {
        if !core::mem::replace(&mut seat.told, true) {
            self.served.cut += 1;
            self.tell(Note::Ended {
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
                self.outage.get_or_insert(Outage { until: now + down, renew });
            }
            Ending::Die => self.died = true,
        }
        Some(Step::Reset)
    }
}
