//! Flow of orders. Traders enter the market one after another; each makes [`STEPS`] steps.
//!
//! A trader's steps lie [`LAGS`] rounds after its first one. Every round therefore has one step of
//! each kind, of different traders, and a step can be computed from the trader's earlier steps
//! alone. That makes any message computable without the messages before it, and bounds the number
//! of resting orders.

use super::calendar::SLOTS;
use super::{Alpha, Day, EncodedMessage, LISTED, Letter, PARTICIPANTS, Price4, below, reference};
use crate::base::rng::nth;
use crate::payload::itch50::messages::{
    AddOrder, AddOrderWithMpid, OrderCancel, OrderDelete, OrderExecuted, OrderExecutedWithPrice,
    OrderReplace, RetailInterest, Trade,
};
use crate::wire::packet::Side;

/// Number of steps of a trader.
pub(super) const STEPS: usize = 9;

/// Rounds from a trader's first step to each of its steps.
const LAGS: [u64; STEPS] = [0, 1, 3, 10, 30, 100, 400, 1_500, 6_000];

/// Number of the trader whose first step is in round 0. Traders with lower numbers came before the
/// day; their steps before round 0 did not happen.
const FIRST_TRADER: u64 = LAGS[STEPS - 1];

/// Waves of a stock's price. Each has the length, as a power of two of rounds, and the height in
/// cents above and below the middle.
const WAVES: [(u32, i64); 3] = [(10, 4), (13, 32), (16, 256)];

/// Purpose of random bits: trades of hidden orders.
const HIDDEN_TRADES: u64 = 4;
/// Purpose of random bits: waves of prices.
const PRICES: u64 = 16;
/// Purpose of random bits: order of the steps in a round.
const ROTATION: u64 = 17;
/// Purpose of random bits: the traders.
const TRADERS: u64 = 18;

/// Resting order of a trader.
#[derive(Clone, Copy)]
struct Resting {
    reference: u64,
    shares: u32,
    /// Price in cents.
    price: u32,
}

/// Trader: enters, changes and removes orders on one side of one stock.
struct Trader {
    number: u64,
    key: u64,
    stock: u64,
    side: Side,
}

/// Action of a trader at one step.
enum Action {
    Add(Resting),
    Execute {
        order: Resting,
        shares: u32,
    },
    ExecuteWithPrice {
        order: Resting,
        shares: u32,
    },
    Cancel {
        order: Resting,
        shares: u32,
    },
    Replace {
        original: Resting,
        new: Resting,
    },
    Delete(Resting),
    /// Trade of an order that is not displayed.
    HiddenTrade,
    /// Message that concerns no order.
    Interest,
}

/// Returns how far, in cents, the middle price can move in this many rounds.
///
/// Each wave rises by at most twice its height within its length: 1/128 cent a round. Rounding
/// adds up to one cent for each wave.
const fn reach(rounds: u64) -> u64 {
    rounds * 3 / 128 + 4
}

impl Day {
    /// Returns the middle price of a stock in a round, in cents. Bids lie below, asks above.
    pub(super) fn mid(&self, stock: u64, round: u64) -> u32 {
        let key = self.bits(PRICES, stock);
        let start = i64::from(Self::stock(stock).start);
        let waves: i64 = WAVES
            .into_iter()
            .map(|(shift, height)| {
                let (knot, into) = (round >> shift, round & ((1 << shift) - 1));
                let at = |knot: u64| {
                    let span = u32::try_from(2 * height + 1).unwrap_or(1);
                    i64::from(below(nth(nth(key, shift.into()), knot), span)) - height
                };
                let (from, to) = (at(knot), at(knot + 1));
                from + (((to - from) * into.cast_signed()) >> shift)
            })
            .sum();
        // The waves together stay within 292 cents, which is less than any stock's price.
        u32::try_from(start + waves).unwrap_or(1)
    }

    /// Returns the message at a position of the flow.
    pub(super) fn flow(&self, position: u64) -> EncodedMessage {
        let (round, slot) = (position / SLOTS, position % SLOTS);
        let job = (slot + self.rotation(round)) % SLOTS;
        let index = self.calendar.index_of(position);
        match usize::try_from(job) {
            Ok(step) if step < STEPS => {
                self.step(index, round + FIRST_TRADER - LAGS[step], step, round)
            }
            _ => self.event(index, round),
        }
    }

    /// Returns by how many slots the steps of a round are rotated, so that they do not always come
    /// in the same order.
    fn rotation(&self, round: u64) -> u64 {
        self.bits(ROTATION, round) % SLOTS
    }

    /// Returns the index in the day of the message for a job of a round.
    pub(super) fn index_of_job(&self, round: u64, job: u64) -> u64 {
        let slot = (job + SLOTS - self.rotation(round)) % SLOTS;
        self.calendar.index_of(round * SLOTS + slot)
    }

    /// Returns the trader with this number.
    fn trader(&self, number: u64) -> Trader {
        let key = self.bits(TRADERS, number);
        let bits = nth(key, u64::MAX);
        // The smaller of two draws: some stocks trade more than others.
        let listed = u32::try_from(LISTED).unwrap_or(1);
        let mut stock = u64::from(below(bits, listed).min(below(bits >> 24, listed)));
        let first_round = number.saturating_sub(FIRST_TRADER);
        if below(bits >> 16, 16) == 0 && self.is_offering_open(first_round) {
            stock = LISTED;
        }
        let side = if bits >> 63 == 0 { Side::Buy } else { Side::Sell };
        Trader { number, key, stock, side }
    }

    /// Returns the message of a trader's step.
    fn step(&self, index: u64, number: u64, step: usize, round: u64) -> EncodedMessage {
        let trader = self.trader(number);
        let mut resting = None;
        for (earlier, lag) in LAGS.into_iter().enumerate().take(step) {
            // A step before the day's first round did not happen.
            let Some(round) = (number + lag).checked_sub(FIRST_TRADER) else { continue };
            let index = self.index_of_job(round, earlier as u64);
            resting = self.action(&trader, earlier, round, index, resting).resting_after();
        }
        let action = self.action(&trader, step, round, index, resting);
        self.encode(&trader, step, index, round, &action)
    }

    /// Decides what a trader does at a step.
    fn action(
        &self,
        trader: &Trader,
        step: usize,
        round: u64,
        index: u64,
        resting: Option<Resting>,
    ) -> Action {
        let bits = nth(trader.key, step as u64);
        let is_halted = self.is_halted(trader.stock, round);
        let Some(order) = resting else {
            return match LAGS.get(step + 1) {
                // A trader's last step leaves no order behind.
                None if is_halted => Action::Interest,
                None => Action::HiddenTrade,
                Some(next) => {
                    Action::Add(self.new_order(trader, round, next - LAGS[step], index, bits))
                }
            };
        };
        let Some(next) = LAGS.get(step + 1) else {
            return if is_halted || bits & 1 == 0 {
                Action::Delete(order)
            } else {
                Action::Execute { order, shares: order.shares }
            };
        };
        let rounds = next - LAGS[step];
        let part = 1 + below(bits >> 8, order.shares.min(0xffff));
        match below(bits >> 32, 100) {
            0..20 if !is_halted && self.can_rest(trader, &order, round, rounds) => {
                Action::Execute { order, shares: part.min(order.shares) }
            }
            20..25 if !is_halted && self.can_rest(trader, &order, round, rounds) => {
                Action::ExecuteWithPrice { order, shares: part.min(order.shares) }
            }
            25..32 if !is_halted => Action::Execute { order, shares: order.shares },
            32..42 if part < order.shares && self.can_rest(trader, &order, round, rounds) => {
                Action::Cancel { order, shares: part }
            }
            42..75 => Action::Replace {
                original: order,
                new: self.new_order(trader, round, rounds, index, bits),
            },
            _ => Action::Delete(order),
        }
    }

    /// Returns an order that can rest for some rounds without being crossed by the middle price.
    fn new_order(
        &self,
        trader: &Trader,
        round: u64,
        rounds: u64,
        index: u64,
        bits: u64,
    ) -> Resting {
        let mid = self.mid(trader.stock, round);
        // Most orders stand close to the middle price, few far from it.
        let away = 1 + below(bits >> 4, 24).min(below(bits >> 20, 24));
        let away = away + u32::try_from(reach(rounds)).unwrap_or(u32::MAX);
        let price = match trader.side {
            Side::Buy => mid.saturating_sub(away).max(1),
            Side::Sell => mid.saturating_add(away),
        };
        let lots = 1 + below(bits >> 12, 8).min(below(bits >> 28, 8));
        let odd = if bits >> 61 == 0 { below(bits >> 16, 100) } else { 0 };
        Resting { reference: reference(index), shares: lots * 100 + odd, price }
    }

    /// Returns whether an order can rest for some more rounds without being crossed.
    fn can_rest(&self, trader: &Trader, order: &Resting, round: u64, rounds: u64) -> bool {
        let (mid, price) = (u64::from(self.mid(trader.stock, round)), u64::from(order.price));
        match trader.side {
            Side::Buy => price + reach(rounds) < mid,
            Side::Sell => price > mid + reach(rounds),
        }
    }

    fn encode(
        &self,
        trader: &Trader,
        step: usize,
        index: u64,
        round: u64,
        action: &Action,
    ) -> EncodedMessage {
        let header = self.header(index, trader.stock);
        let stock = Self::symbol(trader.stock);
        let match_number = reference(index);
        let bits = nth(trader.key, step as u64);
        match *action {
            Action::Add(order) => self.new_order_message(trader, bits, index, &order),
            Action::Execute { order, shares } => EncodedMessage::new(&OrderExecuted {
                header,
                order_reference: order.reference,
                executed_shares: shares,
                match_number,
            }),
            Action::ExecuteWithPrice { order, shares } => {
                EncodedMessage::new(&OrderExecutedWithPrice {
                    header,
                    order_reference: order.reference,
                    executed_shares: shares,
                    match_number,
                    printable: Letter(if bits & 7 == 0 { b'N' } else { b'Y' }),
                    execution_price: Price4(self.mid(trader.stock, round) * 100),
                })
            }
            Action::Cancel { order, shares } => EncodedMessage::new(&OrderCancel {
                header,
                order_reference: order.reference,
                cancelled_shares: shares,
            }),
            Action::Replace { original, new } => EncodedMessage::new(&OrderReplace {
                header,
                original_order_reference: original.reference,
                new_order_reference: new.reference,
                shares: new.shares,
                price: Price4(new.price * 100),
            }),
            Action::Delete(order) => {
                EncodedMessage::new(&OrderDelete { header, order_reference: order.reference })
            }
            Action::HiddenTrade => {
                EncodedMessage::new(&self.hidden_trade(index, trader.stock, round))
            }
            Action::Interest => {
                EncodedMessage::new(&RetailInterest { header, stock, interest_flag: Letter(b'N') })
            }
        }
    }

    /// Returns the message of a new order; every fifth trader is named.
    fn new_order_message(
        &self,
        trader: &Trader,
        bits: u64,
        index: u64,
        order: &Resting,
    ) -> EncodedMessage {
        let header = self.header(index, trader.stock);
        let stock = Self::symbol(trader.stock);
        let side = Letter(trader.side.letter());
        let Resting { reference: order_reference, shares, price } = *order;
        let price = Price4(price * 100);
        if trader.number.is_multiple_of(5) {
            let attribution = Alpha(PARTICIPANTS[(bits & 3) as usize]);
            EncodedMessage::new(&AddOrderWithMpid {
                header,
                order_reference,
                side,
                shares,
                stock,
                price,
                attribution,
            })
        } else {
            let add = AddOrder { header, order_reference, side, shares, stock, price };
            EncodedMessage::new(&add)
        }
    }

    /// Returns a trade of an order that is not displayed.
    pub(super) fn hidden_trade(&self, index: u64, stock: u64, round: u64) -> Trade {
        Trade {
            header: self.header(index, stock),
            order_reference: 0,
            // The venue reports every such trade as one of a buyer.
            side: Letter(b'B'),
            shares: 1 + below(self.bits(HIDDEN_TRADES, index), 500),
            stock: Self::symbol(stock),
            price: Price4(self.mid(stock, round) * 100),
            match_number: reference(index),
        }
    }
}

impl Action {
    /// Returns the trader's order after the action.
    fn resting_after(&self) -> Option<Resting> {
        match *self {
            Self::Add(order) | Self::Replace { new: order, .. } => Some(order),
            Self::Execute { order, shares }
            | Self::ExecuteWithPrice { order, shares }
            | Self::Cancel { order, shares } => {
                let left = order.shares.saturating_sub(shares);
                (left > 0).then_some(Resting { shares: left, ..order })
            }
            Self::Delete(_) | Self::HiddenTrade | Self::Interest => None,
        }
    }
}
