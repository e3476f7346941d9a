//! Exchanges of a world: the protocols that they speak, and outages, in which their process ends
//! and starts again.

use super::SimWorld;
use crate::exchange::Exchange;
use crate::wire::Protocol;
use core::time::Duration;

impl<E: Exchange> SimWorld<E> {
    /// Sets the protocol of each line, which is the exercise's one otherwise.
    pub fn speak(&mut self, protocols: &[Protocol]) {
        for (own, protocol) in self.protocols.iter_mut().zip(protocols) {
            *own = *protocol;
        }
    }

    /// Kills a line's exchange, and starts `with` in its place after the time `down`.
    pub fn restart(&mut self, line: usize, with: E, down: Duration) {
        self.reset_all(line);
        self.exchanges[line] = with;
        self.away[line] = self.now + down;
    }

    /// Ends all outages.
    pub fn all_back(&mut self) {
        self.away.fill(Duration::ZERO);
    }

    /// Returns true if a line's exchange is down.
    pub(super) fn is_down(&self, line: usize) -> bool {
        let exchange = &self.exchanges[line];
        let own = exchange.down_until().is_some_and(|until| self.now < until);
        exchange.is_dead() || own || self.now < self.away[line]
    }
}
