use super::*;
use crate::payload::itch50::{Books, Message, TYPES};
use crate::wire::packet::Side;
use alloc::vec::Vec;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Independent check of a day's rules, with its own books.
#[derive(Default)]
struct Checker {
    events: Vec<u8>,
    time: u64,
    stocks: HashMap<u16, [u8; 8]>,
    states: HashMap<u16, u8>,
    /// Locate, side, shares and price of each resting order.
    orders: HashMap<u64, (u16, u8, u32, u32)>,
    used: HashSet<u64>,
    matches: HashSet<u64>,
    /// Number of resting orders for each locate, side and price.
    prices: BTreeMap<(u16, u8, u32), u32>,
    most_orders: usize,
    letters: HashMap<u8, u64>,
}

impl Checker {
    /// Checks the next message of the day.
    fn check(&mut self, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        let time = message.timestamp().unwrap().nanos();
        assert!(self.time <= time, "the time goes back: {message}");
        self.time = time;
        *self.letters.entry(bytes[0]).or_default() += 1;
        let locate = message.stock_locate().unwrap();
        match message {
            Message::SystemEvent(view) => {
                self.events.push(view.event_code().0);
                assert!(b"OSQMEC".starts_with(&self.events), "{message}");
            }
            Message::MwcbDeclineLevel(_) | Message::MwcbStatus(_) => assert_eq!(locate, 0),
            Message::StockDirectory(view) => {
                assert!(!self.stocks.contains_key(&locate) && locate > 0, "{message}");
                assert_eq!(self.events, b"O", "{message}");
                self.stocks.insert(locate, view.stock().0);
            }
            _ => {
                assert!(self.stocks.contains_key(&locate), "no directory before {message}");
                self.check_symbol(&message, locate);
                self.check_stock_message(&message, locate);
            }
        }
        self.most_orders = self.most_orders.max(self.orders.len());
    }

    /// Checks that a message with a symbol has the locate of that symbol.
    fn check_symbol(&self, message: &Message<'_>, locate: u16) {
        for (field, value) in message.fields().filter(|(field, _)| field.name() == "stock") {
            let symbol = self.stocks[&locate].trim_ascii_end();
            assert_eq!(value, crate::payload::itch50::Value::Text(symbol), "{}", field.name());
        }
    }

    fn check_stock_message(&mut self, message: &Message<'_>, locate: u16) {
        let is_open = self.events.len() >= 2 && self.events.len() <= 4;
        let state = self.states.get(&locate).copied();
        let is_trading = is_open && state == Some(b'T');
        match message {
            Message::StockTradingAction(view) => {
                let new = view.trading_state().0;
                assert_ne!(state, Some(new), "no change: {message}");
                self.states.insert(locate, new);
            }
            Message::AddOrder(view) => {
                assert!(is_open && state.is_some(), "{message}");
                let order = (locate, view.side().0, view.shares(), view.price().0);
                self.add(view.order_reference(), order);
            }
            Message::AddOrderWithMpid(view) => {
                assert!(is_open && state.is_some(), "{message}");
                let order = (locate, view.side().0, view.shares(), view.price().0);
                self.add(view.order_reference(), order);
            }
            Message::OrderExecuted(view) => {
                assert!(is_trading, "{message}");
                self.reduce(view.order_reference(), locate, view.executed_shares());
                assert!(self.matches.insert(view.match_number()), "{message}");
            }
            Message::OrderExecutedWithPrice(view) => {
                assert!(is_trading, "{message}");
                self.reduce(view.order_reference(), locate, view.executed_shares());
                assert!(self.matches.insert(view.match_number()), "{message}");
            }
            Message::OrderCancel(view) => {
                self.reduce(view.order_reference(), locate, view.cancelled_shares());
                // A cancel of all shares is a delete.
                assert!(self.orders.contains_key(&view.order_reference()), "{message}");
            }
            Message::OrderDelete(view) => {
                let shares = self.orders[&view.order_reference()].2;
                self.reduce(view.order_reference(), locate, shares);
            }
            Message::OrderReplace(view) => {
                let (original, side, shares, _) = self.orders[&view.original_order_reference()];
                assert_eq!(original, locate, "{message}");
                self.reduce(view.original_order_reference(), locate, shares);
                let order = (locate, side, view.shares(), view.price().0);
                self.add(view.new_order_reference(), order);
            }
            Message::Trade(view) => {
                assert!(is_trading && view.shares() > 0, "{message}");
                assert!(self.matches.insert(view.match_number()), "{message}");
            }
            Message::CrossTrade(view) => {
                assert!(self.matches.insert(view.match_number()), "{message}");
            }
            Message::BrokenTrade(view) => {
                assert!(self.matches.remove(&view.match_number()), "{message}");
            }
            _ => {}
        }
    }

    fn add(&mut self, reference: u64, order: (u16, u8, u32, u32)) {
        let (locate, side, shares, price) = order;
        assert!(self.used.insert(reference), "order {reference} was used before");
        assert!(shares > 0 && price > 0 && price % 100 == 0 && b"BS".contains(&side));
        self.orders.insert(reference, order);
        *self.prices.entry((locate, side, price)).or_default() += 1;
        let bid = self.prices.range((locate, b'B', 0)..=(locate, b'B', u32::MAX)).next_back();
        let ask = self.prices.range((locate, b'S', 0)..=(locate, b'S', u32::MAX)).next();
        if let (Some(((.., bid), _)), Some(((.., ask), _))) = (bid, ask) {
            assert!(bid < ask, "the book of stock {locate} is crossed: {bid} {ask}");
        }
    }

    fn reduce(&mut self, reference: u64, locate: u16, shares: u32) {
        let order = self.orders.get_mut(&reference).expect("the order rests");
        assert_eq!(order.0, locate);
        assert!(shares > 0 && shares <= order.2, "{shares} of {}", order.2);
        order.2 -= shares;
        if order.2 == 0 {
            let (locate, side, _, price) = self.orders.remove(&reference).unwrap();
            let count = self.prices.get_mut(&(locate, side, price)).unwrap();
            *count -= 1;
            if *count == 0 {
                self.prices.remove(&(locate, side, price));
            }
        }
    }
}

/// Seed whose first day has a breach of the circuit breaker.
const SEED_WITH_BREACH: u64 = 3;

#[test]
fn a_million_messages_are_a_legal_day() {
    let market = SyntheticMarket::new(SEED_WITH_BREACH, 1_000_000);
    let mut checker = Checker::default();
    let mut books = Books::new();
    for index in 0..market.day_len() {
        let message = market.message(index);
        checker.check(&message);
        books.apply(&Message::parse(&message).unwrap()).unwrap();
    }
    assert_eq!(checker.events, b"OSQMEC");
    assert!(checker.most_orders < 8_000, "{} orders at once", checker.most_orders);
    for known in TYPES {
        let count = checker.letters.get(&known.letter()).copied().unwrap_or(0);
        assert!(count > 0, "no message of type {}", known.name());
    }
    assert!(checker.letters[&b'A'] > 100_000 && checker.letters[&b'E'] > 30_000);
    assert_eq!(books.order_count(), checker.orders.len());
    for (&(locate, side, price), &count) in &checker.prices {
        let side = Side::from_letter(side).unwrap();
        let book = books.book(locate).unwrap();
        let level = book.levels(side).find(|level| level.price == Price4(price)).unwrap();
        assert_eq!(level.orders, count);
    }
}

#[test]
fn days_of_any_length_are_legal_and_follow_one_another() {
    for (seed, day_len) in [(1, 0), (2, DAY_LEN_MIN + 1), (3, 1_000), (4, 20_011), (5, 77_777)] {
        let market = SyntheticMarket::new(seed, day_len);
        assert_eq!(market.day_len(), day_len.max(DAY_LEN_MIN));
        for day in 0..3 {
            let mut checker = Checker::default();
            for index in 0..market.day_len() {
                checker.check(&market.message(day * market.day_len() + index));
            }
            assert_eq!(checker.events, b"OSQMEC");
            // A short day may end before the offering, which is then never released.
            let halted = checker.states.values().filter(|&&state| state != b'T').count();
            assert!(halted <= usize::from(day_len < 20_000), "{day_len}: {:?}", checker.states);
        }
    }
}

#[test]
fn any_message_can_be_computed_at_any_time() {
    let market = SyntheticMarket::new(7, 1_000_000);
    let far = [0, 1, 62, 63, 64, 99_999, 100_000, 999_999, 1_000_000, 12_345_678_901, u64::MAX];
    for index in far.into_iter().chain(far.into_iter().rev()) {
        let message = market.message(index);
        assert_eq!(message, SyntheticMarket::new(7, 1_000_000).message(index));
        assert!(Message::parse(&message).is_ok_and(|parsed| parsed.message_type().is_some()));
    }
    let other = SyntheticMarket::new(8, 1_000_000);
    assert!((100..200).any(|index| other.message(index) != market.message(index)));
    assert!((100..200).any(|index| market.message(index + 1_000_000) != market.message(index)));
    let longest = SyntheticMarket::new(7, u64::MAX);
    assert_eq!(longest.day_len(), DAY_LEN_MAX);
    assert!(Message::parse(&longest.message(DAY_LEN_MAX / 2)).is_ok());
}

/// Returns a hash (FNV-1a) of the bytes of a market's first messages.
fn hash(market: &SyntheticMarket, count: u64) -> u64 {
    (0..count)
        .flat_map(|index| market.message(index).to_vec())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[test]
fn a_seed_gives_the_same_bytes_in_every_version() {
    let hashed = hash(&SyntheticMarket::new(1, 1_000_000), 200_000);
    assert_eq!(hashed, 10_745_467_698_546_959_999);
}

#[test]
fn prices_move_and_stay_near_their_start() {
    let market = SyntheticMarket::new(7, 10_000_000);
    let day = Day { key: market.key, calendar: Calendar::new(market.day_len) };
    for number in 0..STOCKS {
        let prices: Vec<u32> = (0..1_000_000).step_by(100).map(|r| day.mid(number, r)).collect();
        let (low, high) = (*prices.iter().min().unwrap(), *prices.iter().max().unwrap());
        assert!(high - low > 50, "stock {number} hardly moves");
        let start = Day::stock(number).start;
        assert!(low + 292 >= start && high <= start + 292, "stock {number}: {low} {high}");
    }
}
