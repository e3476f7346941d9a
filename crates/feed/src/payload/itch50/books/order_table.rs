//! Hash table of resting orders, by their numbers.

use super::Order;
use super::levels::LevelId;
use crate::base::rng::mix;
use crate::payload::itch50::Price4;
use crate::wire::packet::Side;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Number of orders in a bucket. Their numbers fill one cache line.
const WIDTH: usize = 8;
/// Mean number of orders in a bucket from which the table grows. At 3 of 8 fewer than one order in
/// a hundred finds its bucket full.
const LOAD_MAX: usize = 3;
/// Number of buckets of the smallest table; a power of two.
const BUCKETS_MIN: usize = 64;

/// Order with its place in the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Resting {
    pub(super) order: Order,
    /// Level of the order, on its side of its book.
    pub(super) level: LevelId,
}

/// Orders whose numbers have the same hash.
#[derive(Clone, Debug)]
struct Bucket {
    references: [u64; WIDTH],
    /// One bit for each place that has an order. An empty place has the number 0, as an order may
    /// have.
    used: u8,
    orders: [Resting; WIDTH],
}

/// Content of an empty place.
const NO_ORDER: Resting = Resting {
    order: Order { stock_locate: 0, side: Side::Buy, price: Price4(0), shares: 0 },
    level: 0,
};

impl Bucket {
    const EMPTY: Self = Self { references: [0; WIDTH], used: 0, orders: [NO_ORDER; WIDTH] };

    /// Returns the place of an order.
    #[inline]
    fn position(&self, reference: u64) -> Option<usize> {
        // All places are compared, because a loop that ends early is mispredicted: its length
        // varies from order to order.
        let found = self
            .references
            .iter()
            .enumerate()
            .fold(0, |found, (place, &known)| found | u8::from(known == reference) << place);
        let found = found & self.used;
        (found != 0).then_some(found.trailing_zeros() as usize)
    }

    /// Puts an order into an empty place, if there is one.
    #[inline]
    fn insert(&mut self, reference: u64, order: Resting) -> bool {
        let place = self.used.trailing_ones() as usize;
        if place == WIDTH {
            return false;
        }
        self.used |= 1 << place;
        self.references[place] = reference;
        self.orders[place] = order;
        true
    }

    /// Empties a place and returns its order.
    #[inline]
    fn remove(&mut self, place: usize) -> Resting {
        self.used &= !(1 << place);
        self.orders[place]
    }
}

/// Resting orders by their numbers.
///
/// An order whose bucket is full goes into a tree. A hostile feed can therefore choose numbers that
/// fill one bucket, but only slow the table down to the speed of a tree.
#[derive(Clone, Default, Debug)]
pub(super) struct OrderTable {
    buckets: Vec<Bucket>,
    overflow: BTreeMap<u64, Resting>,
    len: usize,
}

impl OrderTable {
    /// Returns the number of orders.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns an order.
    #[inline]
    pub(super) fn get(&self, reference: u64) -> Option<&Resting> {
        let bucket = self.buckets.get(self.bucket_of(reference))?;
        match bucket.position(reference) {
            Some(place) => Some(&bucket.orders[place]),
            None => self.overflow.get(&reference),
        }
    }

    /// Returns an order, to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, reference: u64) -> Option<&mut Resting> {
        let number = self.bucket_of(reference);
        let bucket = self.buckets.get_mut(number)?;
        match bucket.position(reference) {
            Some(place) => Some(&mut bucket.orders[place]),
            None => self.overflow.get_mut(&reference),
        }
    }

    /// Adds an order. Its number must be new.
    pub(super) fn insert(&mut self, reference: u64, order: Resting) {
        if self.len >= self.buckets.len() * LOAD_MAX {
            self.grow();
        }
        self.place(reference, order);
        self.len += 1;
    }

    /// Removes an order and returns it.
    pub(super) fn remove(&mut self, reference: u64) -> Option<Resting> {
        let number = self.bucket_of(reference);
        let bucket = self.buckets.get_mut(number)?;
        let removed = match bucket.position(reference) {
            Some(place) => Some(bucket.remove(place)),
            None => self.overflow.remove(&reference),
        };
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Returns the number of the bucket of an order.
    #[inline]
    fn bucket_of(&self, reference: u64) -> usize {
        // The number of buckets is a power of two; without buckets, any number is out of bounds.
        let mask = self.buckets.len().wrapping_sub(1) as u64;
        usize::try_from(mix(reference) & mask).unwrap_or(0)
    }

    /// Puts an order into its bucket, or into the tree if the bucket is full.
    fn place(&mut self, reference: u64, order: Resting) {
        let number = self.bucket_of(reference);
        if !self.buckets[number].insert(reference, order) {
            self.overflow.insert(reference, order);
        }
    }

    /// Doubles the number of buckets and places all orders anew.
    fn grow(&mut self) {
        let count = (self.buckets.len() * 2).max(BUCKETS_MIN);
        let mut buckets = Vec::new();
        buckets.resize(count, Bucket::EMPTY);
        let before = core::mem::replace(&mut self.buckets, buckets);
        let overflow = core::mem::take(&mut self.overflow);
        for bucket in before {
            let orders = bucket.references.into_iter().zip(bucket.orders);
            for (place, (reference, order)) in orders.enumerate() {
                if bucket.used >> place & 1 == 1 {
                    self.place(reference, order);
                }
            }
        }
        overflow.into_iter().for_each(|(reference, order)| self.place(reference, order));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(shares: u32) -> Resting {
        let order = Order { stock_locate: 1, side: Side::Buy, price: Price4(1), shares };
        Resting { order, level: 0 }
    }

    /// Returns numbers of which most share one bucket, and some are 0 or neighbours.
    fn references() -> Vec<u64> {
        let colliding = (1u64..).filter(|&number| mix(number) & 0x3ff == 7).take(40);
        colliding.chain(0..10).chain([u64::MAX]).collect()
    }

    #[test]
    fn many_orders_are_found_and_few_overflow() {
        let mut table = OrderTable::default();
        assert!(table.get(5).is_none() && table.remove(5).is_none());
        assert!(table.get_mut(5).is_none());
        for number in 0..100_000u32 {
            table.insert(u64::from(number) * 4, order(number));
        }
        assert_eq!(table.len(), 100_000);
        assert!(table.overflow.len() < 1_000, "{} orders overflow", table.overflow.len());
        for number in 0..100_000u32 {
            assert_eq!(table.get(u64::from(number) * 4), Some(&order(number)));
            assert_eq!(table.get(u64::from(number) * 4 + 1), None);
        }
        for number in 0..100_000u32 {
            assert_eq!(table.remove(u64::from(number) * 4), Some(order(number)));
        }
        assert_eq!((table.len(), table.overflow.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn the_table_equals_a_tree(
            operations in prop::collection::vec((0..3, 0..51usize), 0..400),
        ) {
            let references = references();
            let (mut table, mut tree) = (OrderTable::default(), BTreeMap::new());
            for (number, (operation, which)) in (0u32..).zip(operations) {
                let reference = references[which];
                prop_assert_eq!(table.get(reference), tree.get(&reference));
                match operation {
                    0 => prop_assert_eq!(table.remove(reference), tree.remove(&reference)),
                    _ if tree.contains_key(&reference) => {
                        table.get_mut(reference).unwrap().order.shares = number;
                        tree.insert(reference, order(number));
                    }
                    _ => {
                        table.insert(reference, order(number));
                        tree.insert(reference, order(number));
                    }
                }
                prop_assert_eq!(table.len(), tree.len());
            }
            for reference in references {
                prop_assert_eq!(table.get(reference), tree.get(&reference));
            }
        }
    }
}
