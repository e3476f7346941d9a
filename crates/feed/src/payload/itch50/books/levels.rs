//! Price levels of one side of a book.

use super::{Level, Remainder};
use crate::payload::itch50::Price4;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Place of a level among the levels of its side. An order keeps it, so that an execution changes
/// its level without a search.
pub(super) type LevelId = u32;

/// Shares and orders of one level.
#[derive(Clone, Copy, Default, Debug)]
struct Totals {
    shares: u64,
    orders: u32,
}

/// Price levels of one side.
#[derive(Clone, Default, Debug)]
pub(super) struct Levels {
    by_price: BTreeMap<Price4, LevelId>,
    totals: Vec<Totals>,
    free: Vec<LevelId>,
}

impl Levels {
    /// Adds an order to the level of its price and returns the level.
    pub(super) fn add(&mut self, price: Price4, shares: u32) -> LevelId {
        let (totals, free) = (&mut self.totals, &mut self.free);
        let id = *self.by_price.entry(price).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                totals.push(Totals::default());
                // There are no more levels than orders, and fewer orders than 2^32.
                LevelId::try_from(totals.len() - 1).unwrap_or(LevelId::MAX)
            })
        });
        if let Some(level) = self.totals.get_mut(id as usize) {
            // Fewer than 2^32 orders of fewer than 2^32 shares each fit 64 bits.
            level.shares += u64::from(shares);
            level.orders += 1;
        }
        id
    }

    /// Removes shares of an order from its level, and the order if it is gone.
    pub(super) fn reduce(&mut self, id: LevelId, price: Price4, shares: u32, rest: Remainder) {
        let Some(level) = self.totals.get_mut(id as usize) else { return };
        level.shares -= u64::from(shares);
        if rest == Remainder::Gone {
            level.orders -= 1;
            if level.orders == 0 {
                self.by_price.remove(&price);
                self.free.push(id);
            }
        }
    }

    /// Returns the levels in ascending order of their prices.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Level> + '_ {
        self.by_price.iter().filter_map(|(&price, &id)| {
            let Totals { shares, orders } = *self.totals.get(id as usize)?;
            Some(Level { price, shares, orders })
        })
    }
}
