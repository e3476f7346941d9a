//! Events between the orders: halts, auctions, an offering, trades of hidden orders.
//!
//! Each round has one event. Halts and other events that have an end stand at fixed places of an
//! era, so that whether a stock is halted can be computed for any round.

use super::flow::STEPS;
use super::{
    Alpha, Day, EncodedMessage, LISTED, Letter, Price4, STOCKS, StockTradingAction, below,
    participant_position, reference,
};
use crate::payload::itch50::messages::{
    BrokenTrade, DirectListingPriceDiscovery, IpoQuotingPeriodUpdate, LuldAuctionCollar,
    MwcbStatus, OperationalHalt, RegShoRestriction, RetailInterest,
};

/// First and last place of the offering in the first era. The last one releases the stock.
const OFFERING: (u64, u64) = (64, 129);
/// Place of the circuit breaker's breach in the second era.
const BREACH: u64 = 200;
/// Rounds from the breach to the first stock that trades again.
const BREACH_LEN: u64 = 300;
/// Last place of the breach: the last stock trades again.
const BREACH_END: u64 = BREACH + BREACH_LEN + STOCKS;
/// Rounds of a limit-up limit-down pause.
const PAUSE_LEN: u64 = 512;
/// Places of an era at which another market halts a stock and lifts the halt.
const OTHER_MARKET: (u64, u64) = (3_000, 3_100);

/// Purpose of random bits: pauses.
const PAUSES: u64 = 32;
/// Purpose of random bits: events.
const EVENTS: u64 = 33;
/// Purpose of random bits: the breach of the circuit breaker.
const BREACHES: u64 = 34;

/// Pause of one stock in an era.
struct Pause {
    stock: u64,
    first: u64,
    last: u64,
}

impl Day {
    /// Returns the pause of an era, or `None` if it would not end before the closing auction.
    fn pause(&self, era: u64) -> Option<Pause> {
        let bits = self.bits(PAUSES, era);
        let first = 600 + u64::from(below(bits, 1_024));
        let last = first + PAUSE_LEN;
        let stock = u64::from(below(bits >> 32, u32::try_from(LISTED).unwrap_or(1)));
        self.calendar.has_place(era, last).then_some(Pause { stock, first, last })
    }

    /// Returns whether this era has a breach of the circuit breaker: on one day in four.
    fn has_breach(&self, era: u64) -> bool {
        era == 1
            && below(self.bits(BREACHES, 0), 4) == 0
            && self.calendar.has_place(era, BREACH_END)
    }

    /// Returns whether the offered stock trades in a round.
    pub(super) fn is_offering_open(&self, round: u64) -> bool {
        let has_offering = self.calendar.has_place(0, OFFERING.1);
        let is_past = match self.calendar.era(round) {
            Some((0, place)) => place > OFFERING.1,
            Some(_) => true,
            None => false,
        };
        has_offering && is_past
    }

    /// Returns whether a stock is halted in a round. The rounds in which a halt begins and ends
    /// count, because the steps of a round may come before or after its event.
    pub(super) fn is_halted(&self, stock: u64, round: u64) -> bool {
        if stock == LISTED && !self.is_offering_open(round) {
            return true;
        }
        let Some((era, place)) = self.calendar.era(round) else { return false };
        let in_breach = (BREACH..=BREACH_END).contains(&place) && self.has_breach(era);
        let in_pause = || {
            self.pause(era).is_some_and(|pause| {
                pause.stock == stock && (pause.first..=pause.last).contains(&place)
            })
        };
        in_breach || in_pause()
    }

    /// Returns the event of a round.
    pub(super) fn event(&self, index: u64, round: u64) -> EncodedMessage {
        self.calendar
            .era(round)
            .and_then(|(era, place)| {
                self.offering_event(index, round, era, place)
                    .or_else(|| self.breach_event(index, era, place))
                    .or_else(|| self.pause_event(index, round, era, place))
                    .or_else(|| self.other_market_event(index, era, place))
            })
            .unwrap_or_else(|| self.ordinary_event(index, round))
    }

    fn trading_action(&self, index: u64, stock: u64, state: u8, reason: [u8; 4]) -> EncodedMessage {
        EncodedMessage::new(&StockTradingAction {
            header: self.header(index, stock),
            stock: Self::symbol(stock),
            trading_state: Letter(state),
            reserved: Letter::default(),
            reason: Alpha(reason),
        })
    }

    /// Returns an event of the offering: release for quotation, indications, cross, trading.
    fn offering_event(
        &self,
        index: u64,
        round: u64,
        era: u64,
        place: u64,
    ) -> Option<EncodedMessage> {
        if era != 0 || !self.calendar.has_place(0, OFFERING.1) {
            return None;
        }
        let header = self.header(index, LISTED);
        let stock = Self::symbol(LISTED);
        let price = self.mid(LISTED, round);
        let event = match place.checked_sub(OFFERING.0)? {
            0 => EncodedMessage::new(&IpoQuotingPeriodUpdate {
                header,
                stock,
                release_time: 37_800,
                release_qualifier: Letter(b'A'),
                ipo_price: Price4(Self::stock(LISTED).start * 100),
            }),
            8 => self.trading_action(index, LISTED, b'Q', *b"IPOQ"),
            16 | 32 | 48 => EncodedMessage::new(&DirectListingPriceDiscovery {
                header,
                stock,
                open_eligibility: Letter(if place > OFFERING.0 + 32 { b'Y' } else { b'N' }),
                minimum_price: Price4(price * 80),
                maximum_price: Price4(price * 180),
                near_execution_price: Price4(price * 100),
                near_execution_time: header.timestamp.nanos(),
                lower_collar: Price4(price * 90),
                upper_collar: Price4(price * 110),
            }),
            24 | 40 | 56 => EncodedMessage::new(&self.imbalance(index, LISTED, round, b'H')),
            64 => EncodedMessage::new(&self.cross(index, LISTED, round, b'H')),
            65 => self.trading_action(index, LISTED, b'T', *b"    "),
            _ => return None,
        };
        Some(event)
    }

    /// Returns an event of a breach: its level, then a halt and a release of each stock.
    fn breach_event(&self, index: u64, era: u64, place: u64) -> Option<EncodedMessage> {
        let place = place.checked_sub(BREACH)?;
        if !self.has_breach(era) {
            return None;
        }
        if place == 0 {
            let header = self.market_header(index);
            return Some(EncodedMessage::new(&MwcbStatus { header, breached_level: Letter(b'1') }));
        }
        if (1..=STOCKS).contains(&place) {
            return Some(self.trading_action(index, place - 1, b'H', *b"MWC1"));
        }
        let stock = place.checked_sub(BREACH_LEN + 1)?;
        (stock < STOCKS).then(|| self.trading_action(index, stock, b'T', *b"MWCR"))
    }

    /// Returns an event of a pause: its beginning, its collar, indications, cross, trading.
    fn pause_event(&self, index: u64, round: u64, era: u64, place: u64) -> Option<EncodedMessage> {
        let pause = self.pause(era)?;
        if place > pause.last {
            return None;
        }
        let stock = pause.stock;
        let event = match place.checked_sub(pause.first)? {
            0 => self.trading_action(index, stock, b'P', *b"LUDP"),
            1 => {
                let price = self.mid(stock, round);
                EncodedMessage::new(&LuldAuctionCollar {
                    header: self.header(index, stock),
                    stock: Self::symbol(stock),
                    reference_price: Price4(price * 100),
                    upper_price: Price4(price * 105),
                    lower_price: Price4(price * 95),
                    extension: 0,
                })
            }
            since if since + 1 == PAUSE_LEN => {
                EncodedMessage::new(&self.cross(index, stock, round, b'H'))
            }
            PAUSE_LEN => self.trading_action(index, stock, b'T', *b"    "),
            since if since % 32 == 0 => {
                EncodedMessage::new(&self.imbalance(index, stock, round, b'H'))
            }
            _ => return None,
        };
        Some(event)
    }

    /// Returns an event of another market's halt, which does not stop executions here.
    fn other_market_event(&self, index: u64, era: u64, place: u64) -> Option<EncodedMessage> {
        let action = match place {
            _ if !self.calendar.has_place(era, OTHER_MARKET.1) => return None,
            place if place == OTHER_MARKET.0 => b'H',
            place if place == OTHER_MARKET.1 => b'T',
            _ => return None,
        };
        let stock = era % LISTED;
        Some(EncodedMessage::new(&OperationalHalt {
            header: self.header(index, stock),
            stock: Self::symbol(stock),
            market_code: Letter(b'B'),
            halt_action: Letter(action),
        }))
    }

    /// Returns an event without an end: most often a trade of a hidden order.
    fn ordinary_event(&self, index: u64, round: u64) -> EncodedMessage {
        let bits = self.bits(EVENTS, round);
        let stock = self.ordinary_stock(round);
        let symbol = Self::symbol(stock);
        let header = self.header(index, stock);
        match below(bits >> 32, 64) {
            0..2 => {
                let state = if bits & 1 == 0 { b'E' } else { b'A' };
                EncodedMessage::new(&participant_position(header, symbol, bits >> 16 & 3, state))
            }
            2 => EncodedMessage::new(&RegShoRestriction {
                header,
                stock: symbol,
                reg_sho_action: Letter(b'1'),
            }),
            3..8 => EncodedMessage::new(&self.imbalance(index, stock, round, b'C')),
            8..20 => {
                let interest_flag = Letter(*b"BSAN".get((bits & 3) as usize).unwrap_or(&b'N'));
                EncodedMessage::new(&RetailInterest { header, stock: symbol, interest_flag })
            }
            20 if round > 0 && self.is_ordinary_trade(round - 1) => {
                let broken = self.index_of_job(round - 1, STEPS as u64);
                let stock = self.ordinary_stock(round - 1);
                EncodedMessage::new(&BrokenTrade {
                    header: self.header(index, stock),
                    match_number: reference(broken),
                })
            }
            _ if self.is_halted(stock, round) => {
                EncodedMessage::new(&self.imbalance(index, stock, round, b'H'))
            }
            _ => EncodedMessage::new(&self.hidden_trade(index, stock, round)),
        }
    }

    /// Returns the stock of a round's ordinary event.
    fn ordinary_stock(&self, round: u64) -> u64 {
        let bits = self.bits(EVENTS, round);
        let listed = u32::try_from(LISTED).unwrap_or(1);
        u64::from(below(bits, listed).min(below(bits >> 8, listed)))
    }

    /// Returns whether the event of a round is a trade of a hidden order.
    fn is_ordinary_trade(&self, round: u64) -> bool {
        self.event(self.index_of_job(round, STEPS as u64), round).first() == Some(&b'P')
    }
}
