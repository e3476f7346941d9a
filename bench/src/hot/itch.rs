//! The paths of ITCH 5.0 messages: decoding, order books, the synthetic market.

use super::{PACKETS, SEED};
use feed::payload::itch50::{Books, EncodedMessage, Message, SyntheticMarket};
use std::hint::black_box;

/// Makes a day of messages.
fn day() -> Vec<EncodedMessage> {
    let market = SyntheticMarket::new(SEED, PACKETS);
    (0..PACKETS).map(|index| market.message(index)).collect()
}

/// Decodes every field of a message of any of these types.
macro_rules! decode_fields {
    ($message:expr, $($name:ident)+) => {
        match $message {
            $(Message::$name(view) => {
                black_box(view.to_value());
            })+
            Message::Opaque(bytes) => {
                black_box(bytes);
            }
        }
    };
}

/// Decodes every field of a message.
#[inline]
pub fn decode_every_field(message: &Message<'_>) {
    decode_fields!(
        message,
        SystemEvent StockDirectory StockTradingAction RegShoRestriction
        MarketParticipantPosition MwcbDeclineLevel MwcbStatus IpoQuotingPeriodUpdate
        LuldAuctionCollar OperationalHalt AddOrder AddOrderWithMpid OrderExecuted
        OrderExecutedWithPrice OrderCancel OrderDelete OrderReplace Trade CrossTrade
        BrokenTrade NetOrderImbalance RetailInterest DirectListingPriceDiscovery
    );
}

pub(super) fn decode() -> Box<dyn FnMut()> {
    let day = day();
    Box::new(move || {
        for bytes in &day {
            let message = Message::parse(bytes);
            let message = message.unwrap_or_else(|error| unreachable!("a legal day: {error}"));
            decode_every_field(&message);
        }
    })
}

pub(super) fn books() -> Box<dyn FnMut()> {
    let day = day();
    Box::new(move || {
        let mut books = Books::new();
        for bytes in &day {
            let applied = Message::parse(bytes).map(|message| books.apply(&message));
            assert!(matches!(applied, Ok(Ok(()))));
        }
        black_box(books.order_count());
    })
}

pub(super) fn market() -> Box<dyn FnMut()> {
    let market = SyntheticMarket::new(SEED, PACKETS);
    Box::new(move || {
        (0..PACKETS).for_each(|index| {
            black_box(market.message(index));
        });
    })
}
