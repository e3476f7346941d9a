//! Exchanges whose process ends, and which come back.

use super::SimWorld;
use crate::exchange::Exchange;
use core::time::Duration;

impl<E: Exchange> SimWorld<E> {
    /// A line's exchange is killed, and `with` is started in its place `down` from now.
    pub fn restart(&mut self, line: usize, with: E, down: Duration) {
        self.reset_all(line);
        self.exchanges[line] = with;
        self.away[line] = self.now + down;
    }

    /// Every exchange that was killed is back.
    pub fn all_back(&mut self) {
        self.away.fill(Duration::ZERO);
    }

    /// Whether nobody listens at a line.
    pub(super) fn is_down(&self, line: usize) -> bool {
        let exchange = &self.exchanges[line];
        let own = exchange.down_until().is_some_and(|until| self.now < until);
        exchange.is_dead() || own || self.now < self.away[line]
    }
}
