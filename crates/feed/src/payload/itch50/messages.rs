//! The table of message types.

use super::ParseError;
use super::field::{Alpha, Field, FieldType, Letter, Price4, Price8, TimeOfDay};
use super::layout::{
    Header, LOCATE_OFFSET, Layout, MessageType, TIME_OFFSET, TRACKING_OFFSET, View, is_contiguous,
    messages,
};

/// Meaning of the first field of every message.
const LOCATE_ABOUT: &str = "Code of the stock for this day; 0 if the message concerns the market.";
/// Meaning of the second field of every message.
const TRACKING_ABOUT: &str = "Internal tracking number of the venue.";
/// Meaning of the third field of every message.
const TIME_ABOUT: &str = "Time of the event.";

messages! {
    /// Step of the trading day.
    SystemEvent = b'S', 12 {
        /// Step: `O` start of messages, `S` start of system hours, `Q` start of market hours, `M`
        /// end of market hours, `E` end of system hours, `C` end of messages.
        11 event_code: Letter;
    }

    /// Description of a stock, sent before its first order.
    StockDirectory = b'R', 39 {
        /// Symbol of the stock.
        11 stock: Alpha<8>;
        /// Listing market or tier: `Q`, `G`, `S` Nasdaq, `N` NYSE, `A` NYSE American, `P` NYSE
        /// Arca, `Z` BATS, `V` IEX.
        19 market_category: Letter;
        /// State of the issuer: `N` normal, `D` deficient, `E` delinquent, `Q` bankrupt, `S`
        /// suspended, `G`, `H`, `J`, `K` combinations, `C` creations suspended.
        20 financial_status: Letter;
        /// Size of a round lot.
        21 round_lot_size: u32, "shares";
        /// `Y` if only round lots are accepted, otherwise `N`.
        25 round_lots_only: Letter;
        /// Class of the security, for example `C` common stock, `A` depositary share.
        26 issue_classification: Letter;
        /// Subtype of the security, for example `Z` not applicable, `E` fund.
        27 issue_sub_type: Alpha<2>;
        /// `P` production, `T` test symbol.
        29 authenticity: Letter;
        /// `Y` if short sales are restricted by Reg SHO, otherwise `N`.
        30 short_sale_threshold: Letter;
        /// `Y` if the stock is set up for an initial public offering, otherwise `N`.
        31 ipo_flag: Letter;
        /// Tier of the limit-up limit-down rule: `1` or `2`.
        32 luld_tier: Letter;
        /// `Y` if the security is an exchange-traded product, otherwise `N`.
        33 etp_flag: Letter;
        /// Leverage of an exchange-traded product, as a whole factor.
        34 etp_leverage_factor: u32;
        /// `Y` if the exchange-traded product is inverse, otherwise `N`.
        38 inverse_indicator: Letter;
    }

    /// Change of a stock's trading state.
    StockTradingAction = b'H', 25 {
        /// Symbol of the stock.
        11 stock: Alpha<8>;
        /// State: `H` halted, `P` paused, `Q` quotation only, `T` trading.
        19 trading_state: Letter;
        /// Reserved byte.
        20 reserved: Letter;
        /// Reason of the change, for example `LUDP`.
        21 reason: Alpha<4>;
    }

    /// Short sale price test of a stock.
    RegShoRestriction = b'Y', 20 {
        /// Symbol of the stock.
        11 stock: Alpha<8>;
        /// Test: `0` none, `1` in effect after a fall during the day, `2` remains in effect.
        19 reg_sho_action: Letter;
    }

    /// State of one market participant in one stock.
    MarketParticipantPosition = b'L', 26 {
        /// Identifier of the market participant.
        11 mpid: Alpha<4>;
        /// Symbol of the stock.
        15 stock: Alpha<8>;
        /// `Y` if the participant is a primary market maker, otherwise `N`.
        23 primary_market_maker: Letter;
        /// Mode: `N` normal, `P` passive, `S` syndicate, `R` pre-syndicate, `L` penalty.
        24 market_maker_mode: Letter;
        /// State: `A` active, `E` excused, `W` withdrawn, `S` suspended, `D` deleted.
        25 participant_state: Letter;
    }

    /// Levels at which the market-wide circuit breaker halts the market on this day.
    MwcbDeclineLevel = b'V', 35 {
        /// Index value of level 1.
        11 level1: Price8;
        /// Index value of level 2.
        19 level2: Price8;
        /// Index value of level 3.
        27 level3: Price8;
    }

    /// Breach of a level of the market-wide circuit breaker.
    MwcbStatus = b'W', 12 {
        /// Level: `1`, `2` or `3`.
        11 breached_level: Letter;
    }

    /// Release of an initial public offering for quotation.
    IpoQuotingPeriodUpdate = b'K', 28 {
        /// Symbol of the stock.
        11 stock: Alpha<8>;
        /// Time at which quotation begins.
        19 release_time: u32, "seconds since midnight";
        /// `A` anticipated release, `C` cancelled or postponed.
        23 release_qualifier: Letter;
        /// Price of the offering.
        24 ipo_price: Price4;
    }

    /// Price range of an auction that ends a limit-up limit-down pause.
    LuldAuctionCollar = b'J', 35 {
        /// Symbol of the stock.
        11 stock: Alpha<8>;
        /// Price from which the range is computed.
        19 reference_price: Price4;
        /// Highest price of the auction.
        23 upper_price: Price4;
        /// Lowest price of the auction.
        27 lower_price: Price4;
        /// Number of extensions of the auction so far.
        31 extension: u32;
    }

    /// Interruption of one market's service for a stock.
    OperationalHalt = b'h', 21 {
        /// Symbol of the stock.
        11 stock: Alpha<8>;
        /// Market: `Q` Nasdaq, `B` BX, `X` PSX.
        19 market_code: Letter;
        /// `H` halted, `T` halt lifted.
        20 halt_action: Letter;
    }

    /// New order of an unnamed participant.
    AddOrder = b'A', 36 {
        /// Number that names the order for the rest of the day.
        11 order_reference: u64;
        /// Side: `B` buy, `S` sell.
        19 side: Letter;
        /// Number of shares.
        20 shares: u32, "shares";
        /// Symbol of the stock.
        24 stock: Alpha<8>;
        /// Price at which the order is displayed.
        32 price: Price4;
    }

    /// New order of a named participant.
    AddOrderWithMpid = b'F', 40 {
        /// Number that names the order for the rest of the day.
        11 order_reference: u64;
        /// Side: `B` buy, `S` sell.
        19 side: Letter;
        /// Number of shares.
        20 shares: u32, "shares";
        /// Symbol of the stock.
        24 stock: Alpha<8>;
        /// Price at which the order is displayed.
        32 price: Price4;
        /// Identifier of the market participant.
        36 attribution: Alpha<4>;
    }

    /// Execution of an order, in whole or in part, at its displayed price.
    OrderExecuted = b'E', 31 {
        /// Number of the order.
        11 order_reference: u64;
        /// Number of shares executed.
        19 executed_shares: u32, "shares";
        /// Number that names the match for the rest of the day.
        23 match_number: u64;
    }

    /// Execution of an order, in whole or in part, at another price than its displayed one.
    OrderExecutedWithPrice = b'C', 36 {
        /// Number of the order.
        11 order_reference: u64;
        /// Number of shares executed.
        19 executed_shares: u32, "shares";
        /// Number that names the match for the rest of the day.
        23 match_number: u64;
        /// `Y` if the execution counts for time and sales, `N` if a cross trade reports it too.
        31 printable: Letter;
        /// Price of the execution.
        32 execution_price: Price4;
    }

    /// Reduction of an order.
    OrderCancel = b'X', 23 {
        /// Number of the order.
        11 order_reference: u64;
        /// Number of shares removed from the order.
        19 cancelled_shares: u32, "shares";
    }

    /// Removal of an order.
    OrderDelete = b'D', 19 {
        /// Number of the order.
        11 order_reference: u64;
    }

    /// Replacement of an order by a new one of the same side and stock.
    OrderReplace = b'U', 35 {
        /// Number of the order that is removed.
        11 original_order_reference: u64;
        /// Number of the order that takes its place.
        19 new_order_reference: u64;
        /// Number of shares of the new order.
        27 shares: u32, "shares";
        /// Price of the new order.
        31 price: Price4;
    }

    /// Execution against an order that is not displayed. The displayed book does not change.
    Trade = b'P', 44 {
        /// Number of the order; 0 in the venue's present practice.
        11 order_reference: u64;
        /// Side of the order; `B` in the venue's present practice.
        19 side: Letter;
        /// Number of shares.
        20 shares: u32, "shares";
        /// Symbol of the stock.
        24 stock: Alpha<8>;
        /// Price of the trade.
        32 price: Price4;
        /// Number that names the match for the rest of the day.
        36 match_number: u64;
    }

    /// Result of a cross: one trade for all of its volume. The displayed book does not change.
    CrossTrade = b'Q', 40 {
        /// Number of shares; 0 if nothing was matched.
        11 shares: u64, "shares";
        /// Symbol of the stock.
        19 stock: Alpha<8>;
        /// Price of the cross.
        27 cross_price: Price4;
        /// Number that names the match for the rest of the day.
        31 match_number: u64;
        /// Cross: `O` opening, `C` closing, `H` after a halt, a pause or for an offering, `I`
        /// intraday.
        39 cross_type: Letter;
    }

    /// Withdrawal of an execution. The displayed book does not change.
    BrokenTrade = b'B', 19 {
        /// Number of the match.
        11 match_number: u64;
    }

    /// Indicative prices and imbalance of a coming cross.
    NetOrderImbalance = b'I', 50 {
        /// Number of shares that would match at the reference price.
        11 paired_shares: u64, "shares";
        /// Number of shares that would remain unmatched.
        19 imbalance_shares: u64, "shares";
        /// Side of the imbalance: `B` buy, `S` sell, `N` none, `O` too few orders, `P` paused.
        27 imbalance_direction: Letter;
        /// Symbol of the stock.
        28 stock: Alpha<8>;
        /// Price of a cross among the orders for the cross alone.
        36 far_price: Price4;
        /// Price of a cross among all orders.
        40 near_price: Price4;
        /// Price from which the imbalance is computed.
        44 reference_price: Price4;
        /// Cross: `O` opening, `C` closing, `H` after a halt or a pause, `A` extended trading.
        48 cross_type: Letter;
        /// Deviation of the near price from the reference price: `L` below 1 %, `1` to `9` for 1 %
        /// to 9.99 %, `A` from 10 %, `B` from 20 %, `C` from 30 %, blank if unknown.
        49 price_variation: Letter;
    }

    /// Presence of retail interest that improves prices.
    RetailInterest = b'N', 20 {
        /// Symbol of the stock.
        11 stock: Alpha<8>;
        /// Interest: `B` buy, `S` sell, `A` both sides, `N` none.
        19 interest_flag: Letter;
    }

    /// Price range of a direct listing that raises capital.
    DirectListingPriceDiscovery = b'O', 48 {
        /// Symbol of the stock.
        11 stock: Alpha<8>;
        /// `Y` if the stock may be released for trading, otherwise `N`.
        19 open_eligibility: Letter;
        /// Lowest price at which the stock may open.
        20 minimum_price: Price4;
        /// Highest price at which the stock may open.
        24 maximum_price: Price4;
        /// Price at which the cross would execute now.
        28 near_execution_price: Price4;
        /// Time at which the near execution price was set.
        32 near_execution_time: u64, "nanoseconds since midnight";
        /// Lowest price of the collar around the near execution price.
        40 lower_collar: Price4;
        /// Highest price of the collar around the near execution price.
        44 upper_collar: Price4;
    }
}
