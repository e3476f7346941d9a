//! Synthetic market: endless trading days whose messages follow from a seed and their index alone.
//!
//! An exchange can therefore play any message, resend any, and restart, without keeping one. Each
//! day is legal: system events in order, a directory before the first order, executions, cancels,
//! deletes and replaces only of resting orders and never for more shares than are left, no crossed
//! book, no execution while a stock is halted.
//!
//! Two simplifications: executions do not keep price-time priority, and orders may be entered
//! while a stock is halted.

mod calendar;
mod events;
mod flow;

use super::field::{Alpha, Letter, Price4, Price8, TimeOfDay};
use super::layout::{EncodedMessage, Header};
use super::messages::{
    CrossTrade, MarketParticipantPosition, MwcbDeclineLevel, NetOrderImbalance, RegShoRestriction,
    StockDirectory, StockTradingAction, SystemEvent,
};
use crate::base::rng::{mix, nth};
use calendar::{Calendar, Part};

/// Smallest number of messages in a day: those that every day has, and no order.
pub const DAY_LEN_MIN: u64 = calendar::FIXED;

/// Largest number of messages in a day. The numbers of orders and matches fit 64 bits up to here.
pub const DAY_LEN_MAX: u64 = 1 << 40;

/// Endless trading days from a seed.
#[derive(Clone, Debug)]
pub struct SyntheticMarket {
    key: u64,
    day_len: u64,
}

impl SyntheticMarket {
    /// Returns the market of a seed with this many messages a day, from [`DAY_LEN_MIN`] to
    /// [`DAY_LEN_MAX`]; a number beyond them is replaced by the nearer one.
    #[must_use]
    pub fn new(seed: u64, day_len: u64) -> Self {
        Self { key: mix(!seed), day_len: day_len.clamp(DAY_LEN_MIN, DAY_LEN_MAX) }
    }

    /// Returns the number of messages of a day.
    #[must_use]
    pub fn day_len(&self) -> u64 {
        self.day_len
    }

    /// Returns the message with this index, counted from 0. Day follows day without an end.
    #[must_use]
    pub fn message(&self, index: u64) -> EncodedMessage {
        let key = nth(self.key, index / self.day_len);
        Day { key, calendar: Calendar::new(self.day_len) }.message(index % self.day_len)
    }
}

/// Stock of the synthetic market.
struct Stock {
    symbol: [u8; 8],
    /// Price around which the stock trades, in cents.
    start: u32,
    /// Listing tier.
    category: u8,
    /// Flag of exchange-traded products.
    etp: u8,
}

/// Returns a stock of the list below.
const fn stock(symbol: [u8; 8], start: u32, category: u8, etp: u8) -> Stock {
    Stock { symbol, start, category, etp }
}

/// Number of stocks.
const STOCKS: u64 = STOCK_LIST.len() as u64;
/// Number of stocks that trade from the start of the day: all but the last one, an offering.
const LISTED: u64 = STOCKS - 1;

/// All stocks. The last one is offered to the public during the day.
const STOCK_LIST: [Stock; 12] = [
    stock(*b"AAPL    ", 19_000, b'Q', b'N'),
    stock(*b"MSFT    ", 41_500, b'Q', b'N'),
    stock(*b"QQQ     ", 44_000, b'G', b'Y'),
    stock(*b"NVDA    ", 12_000, b'Q', b'N'),
    stock(*b"AMZN    ", 18_000, b'Q', b'N'),
    stock(*b"TSLA    ", 22_000, b'Q', b'N'),
    stock(*b"INTC    ", 3_100, b'Q', b'N'),
    stock(*b"CSCO    ", 4_900, b'Q', b'N'),
    stock(*b"SIRI    ", 2_400, b'Q', b'N'),
    stock(*b"IBM     ", 17_000, b'N', b'N'),
    stock(*b"ZXZZT   ", 5_000, b'S', b'N'),
    stock(*b"NEWCO   ", 2_800, b'G', b'N'),
];

/// Market participants that quote.
const PARTICIPANTS: [[u8; 4]; 4] = [*b"MMKA", *b"MMKB", *b"MMKC", *b"MMKD"];

/// Purpose of random bits: imbalances.
const IMBALANCES: u64 = 2;
/// Purpose of random bits: crosses.
const CROSSES: u64 = 3;

/// One day of the market.
struct Day {
    key: u64,
    calendar: Calendar,
}

/// Returns a number below `bound` (at most 2^16) from the lowest 32 bits.
const fn below(bits: u64, bound: u32) -> u32 {
    (((bits & 0xffff_ffff) * bound as u64) >> 32) as u32
}

impl Day {
    /// Returns the stock with this number, from 0; the last one for numbers beyond.
    fn stock(number: u64) -> &'static Stock {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        &STOCK_LIST[place.min(STOCK_LIST.len() - 1)]
    }

    /// Returns the symbol of a stock.
    fn symbol(number: u64) -> Alpha<8> {
        Alpha(Self::stock(number).symbol)
    }

    /// Returns the fields that every message has, for a message about a stock.
    fn header(&self, index: u64, stock: u64) -> Header {
        let locate = u16::try_from(stock + 1).unwrap_or(0);
        Header { stock_locate: locate, ..self.market_header(index) }
    }

    /// Returns the fields that every message has, for a message about the whole market.
    fn market_header(&self, index: u64) -> Header {
        let bits = nth(self.key, index);
        let timestamp = self.calendar.time(index, bits);
        // Most messages of the venue have the tracking number 0, some a small one.
        let tracking_number = if bits >> 60 == 0 { 2 } else { 0 };
        Header { stock_locate: 0, tracking_number, timestamp }
    }

    /// Returns random bits for one purpose, the same each time.
    fn bits(&self, purpose: u64, number: u64) -> u64 {
        nth(nth(self.key, u64::MAX - purpose), number)
    }

    /// Returns the message at an index of the day.
    fn message(&self, index: u64) -> EncodedMessage {
        match self.calendar.part(index) {
            Part::Prologue(place) => self.prologue(index, place),
            Part::Flow(position) => self.flow(position),
            Part::Opening(place) => self.auction(index, place, b'Q', b'O'),
            Part::Closing(place) => self.auction(index, place, b'M', b'C'),
            Part::Epilogue(0) => self.system_event(index, b'E'),
            Part::Epilogue(_) => self.system_event(index, b'C'),
        }
    }

    fn system_event(&self, index: u64, code: u8) -> EncodedMessage {
        let header = self.market_header(index);
        EncodedMessage::new(&SystemEvent { header, event_code: Letter(code) })
    }

    /// Returns a message from before the first order.
    fn prologue(&self, index: u64, place: u64) -> EncodedMessage {
        let Some(place) = place.checked_sub(1) else { return self.system_event(index, b'O') };
        let (kind, number) = (place / STOCKS, place % STOCKS);
        let header = self.header(index, number);
        let stock = Self::symbol(number);
        let is_offering = number == LISTED;
        match kind {
            0 => EncodedMessage::new(&Self::directory(header, number)),
            1 => EncodedMessage::new(&StockTradingAction {
                header,
                stock,
                trading_state: Letter(if is_offering { b'H' } else { b'T' }),
                reserved: Letter::default(),
                reason: Alpha(if is_offering { *b"IPO1" } else { *b"    " }),
            }),
            2 => {
                let reg_sho_action = Letter(b'0' + u8::from(number == 8) * 2);
                EncodedMessage::new(&RegShoRestriction { header, stock, reg_sho_action })
            }
            3 => EncodedMessage::new(&participant_position(header, stock, number, b'A')),
            _ if number == 0 => EncodedMessage::new(&MwcbDeclineLevel {
                header: self.market_header(index),
                level1: Price8(480_000_000_000),
                level2: Price8(450_000_000_000),
                level3: Price8(410_000_000_000),
            }),
            _ => self.system_event(index, b'S'),
        }
    }

    fn directory(header: Header, number: u64) -> StockDirectory {
        let listing = Self::stock(number);
        let is_offering = number == LISTED;
        StockDirectory {
            header,
            stock: Alpha(listing.symbol),
            market_category: Letter(listing.category),
            financial_status: Letter(b'N'),
            round_lot_size: 100,
            round_lots_only: Letter(b'N'),
            issue_classification: Letter(if listing.etp == b'Y' { b'Q' } else { b'C' }),
            issue_sub_type: Alpha(if listing.etp == b'Y' { *b"E " } else { *b"Z " }),
            authenticity: Letter(b'P'),
            short_sale_threshold: Letter(b'N'),
            ipo_flag: Letter(if is_offering { b'Y' } else { b'N' }),
            luld_tier: Letter(b'1' + u8::from(number > 7)),
            etp_flag: Letter(listing.etp),
            etp_leverage_factor: u32::from(listing.etp == b'Y'),
            inverse_indicator: Letter(b'N'),
        }
    }

    /// Returns a message of an auction: imbalances, the system event, the crosses.
    fn auction(&self, index: u64, place: u64, event: u8, cross: u8) -> EncodedMessage {
        let round = self.calendar.round_near(index);
        if place < LISTED {
            return EncodedMessage::new(&self.imbalance(index, place, round, cross));
        }
        match place - LISTED {
            0 => self.system_event(index, event),
            number => EncodedMessage::new(&self.cross(index, number - 1, round, cross)),
        }
    }

    /// Returns the indication of a coming cross.
    fn imbalance(&self, index: u64, stock: u64, round: u64, cross: u8) -> NetOrderImbalance {
        let bits = self.bits(IMBALANCES, index);
        let price = Price4(self.mid(stock, round) * 100);
        let (direction, shares) = match below(bits, 3) {
            0 => (b'N', 0),
            1 => (b'B', u64::from(below(bits >> 32, 50)) * 100 + 100),
            _ => (b'S', u64::from(below(bits >> 32, 50)) * 100 + 100),
        };
        NetOrderImbalance {
            header: self.header(index, stock),
            paired_shares: u64::from(below(bits >> 16, 10_000)) * 10,
            imbalance_shares: shares,
            imbalance_direction: Letter(direction),
            stock: Self::symbol(stock),
            far_price: price,
            near_price: price,
            reference_price: price,
            cross_type: Letter(cross),
            price_variation: Letter(b'L'),
        }
    }

    /// Returns the result of a cross.
    fn cross(&self, index: u64, stock: u64, round: u64, cross: u8) -> CrossTrade {
        CrossTrade {
            header: self.header(index, stock),
            shares: u64::from(below(self.bits(CROSSES, index), 60_000)),
            stock: Self::symbol(stock),
            cross_price: Price4(self.mid(stock, round) * 100),
            match_number: reference(index),
            cross_type: Letter(cross),
        }
    }
}

/// Returns the number of an order or a match that the message at this index creates.
const fn reference(index: u64) -> u64 {
    // No two messages have the same index, so no two orders of a day have the same number.
    1_000 + index * 4
}

/// Returns a quoting participant's state in a stock.
fn participant_position(
    header: Header,
    stock: Alpha<8>,
    number: u64,
    state: u8,
) -> MarketParticipantPosition {
    let place = usize::try_from(number).unwrap_or(0) % PARTICIPANTS.len();
    MarketParticipantPosition {
        header,
        mpid: Alpha(PARTICIPANTS[place]),
        stock,
        primary_market_maker: Letter(if place == 0 { b'Y' } else { b'N' }),
        market_maker_mode: Letter(b'N'),
        participant_state: Letter(state),
    }
}

#[cfg(test)]
mod tests;
