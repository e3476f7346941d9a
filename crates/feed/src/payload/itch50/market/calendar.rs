//! Calendar of a synthetic day: which message stands where, and when.

use super::{LISTED, STOCKS, TimeOfDay};

/// Number of messages before the first order: two system events, the circuit breaker's levels, and
/// four messages for each stock.
const PROLOGUE: u64 = 3 + 4 * STOCKS;
/// Number of messages of an auction: an imbalance and a cross for each stock, and a system event.
const AUCTION: u64 = 2 * LISTED + 1;
/// Number of messages at the end of the day.
const EPILOGUE: u64 = 2;
/// Number of messages that every day has.
pub(super) const FIXED: u64 = PROLOGUE + 2 * AUCTION + EPILOGUE;

/// Number of messages of a round: one for each step of an order's life, and one event.
pub(super) const SLOTS: u64 = super::flow::STEPS as u64 + 1;

/// Number of rounds in which halts and other rare events happen once.
pub(super) const ERA: u64 = 4_096;

/// Part of the day to which a message belongs, with the message's place in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Before the first order.
    Prologue(u64),
    /// Flow of orders, counted through the whole day.
    Flow(u64),
    /// Opening auction.
    Opening(u64),
    /// Closing auction.
    Closing(u64),
    /// End of the day.
    Epilogue(u64),
}

/// Lengths of the parts of a day.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    /// Messages of the flow before the opening auction.
    early: u64,
    /// Messages of the flow between the auctions.
    regular: u64,
    /// Messages of the flow after the closing auction.
    late: u64,
}

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// Nanoseconds since midnight at the start of messages, 03:05.
const MESSAGES_START: u64 = 11_100 * SECOND;
/// Nanoseconds since midnight at the start of system hours, 04:00.
const SYSTEM_START: u64 = 14_400 * SECOND;
/// Nanoseconds since midnight at the first indication of the opening cross, 09:28.
const INDICATION_START: u64 = 34_080 * SECOND;
/// Nanoseconds since midnight at the opening, 09:30.
const MARKET_START: u64 = 34_200 * SECOND;
/// Nanoseconds since midnight at the closing, 16:00.
const MARKET_END: u64 = 57_600 * SECOND;
/// Nanoseconds since midnight at the end of system hours, 20:00.
const SYSTEM_END: u64 = 72_000 * SECOND;
/// Nanoseconds since midnight at the end of messages, 20:05.
const MESSAGES_END: u64 = 72_300 * SECOND;

impl Calendar {
    /// Returns the calendar of a day with this many messages, at least [`FIXED`].
    pub(super) fn new(day_len: u64) -> Self {
        let flow = day_len.saturating_sub(FIXED);
        let (early, late) = (flow / 10, flow / 20);
        Self { early, regular: flow - early - late, late }
    }

    /// Returns the part of the day to which the message at `index` belongs.
    pub(super) fn part(&self, index: u64) -> Part {
        let opening = PROLOGUE + self.early;
        let regular = opening + AUCTION;
        let closing = regular + self.regular;
        let late = closing + AUCTION;
        let epilogue = late + self.late;
        if index < PROLOGUE {
            Part::Prologue(index)
        } else if index < opening {
            Part::Flow(index - PROLOGUE)
        } else if index < regular {
            Part::Opening(index - opening)
        } else if index < closing {
            Part::Flow(index - PROLOGUE - AUCTION)
        } else if index < late {
            Part::Closing(index - closing)
        } else if index < epilogue {
            Part::Flow(index - PROLOGUE - 2 * AUCTION)
        } else {
            Part::Epilogue(index - epilogue)
        }
    }

    /// Returns the index in the day of a message of the flow.
    pub(super) fn index_of(&self, position: u64) -> u64 {
        let mut index = PROLOGUE + position;
        if position >= self.early {
            index += AUCTION;
        }
        if position >= self.early + self.regular {
            index += AUCTION;
        }
        index
    }

    /// Returns the round that is under way at `index`; that of the nearest flow in an auction.
    pub(super) fn round_near(&self, index: u64) -> u64 {
        let position = match self.part(index) {
            Part::Prologue(_) => 0,
            Part::Flow(position) => position,
            Part::Opening(_) => self.early,
            Part::Closing(_) => self.early + self.regular,
            Part::Epilogue(_) => self.early + self.regular + self.late,
        };
        position / SLOTS
    }

    /// Returns the era of a round between the auctions, and the round's place in it.
    pub(super) fn era(&self, round: u64) -> Option<(u64, u64)> {
        let from_opening = round.checked_sub(self.first_regular_round())?;
        Some((from_opening / ERA, from_opening % ERA))
    }

    /// Returns whether the place `last` of an era comes before the closing auction. An event that
    /// has an end may begin only if this holds for its end, so that no halt outlives the day.
    pub(super) fn has_place(&self, era: u64, last: u64) -> bool {
        let closing = (self.early + self.regular) / SLOTS;
        self.first_regular_round() + era * ERA + last < closing
    }

    fn first_regular_round(&self) -> u64 {
        self.early.div_ceil(SLOTS)
    }

    /// Returns the time of the message at `index`. Times never decrease within a day.
    pub(super) fn time(&self, index: u64, bits: u64) -> TimeOfDay {
        let nanos = match self.part(index) {
            // The last message of the prologue opens the system hours.
            Part::Prologue(place) if place + 1 == PROLOGUE => SYSTEM_START,
            Part::Prologue(place) => {
                spread(MESSAGES_START, SYSTEM_START - SECOND, place, PROLOGUE, bits)
            }
            Part::Flow(position) if position < self.early => {
                spread(SYSTEM_START, INDICATION_START, position, self.early, bits)
            }
            Part::Flow(position) if position < self.early + self.regular => {
                let place = position - self.early;
                let end = MARKET_END - SECOND;
                spread(MARKET_START + SECOND, end, place, self.regular, bits)
            }
            Part::Flow(position) => {
                let place = position - self.early - self.regular;
                spread(MARKET_END + SECOND, SYSTEM_END, place, self.late, bits)
            }
            Part::Opening(place) if place < LISTED => {
                spread(INDICATION_START, MARKET_START, place, LISTED, bits)
            }
            Part::Opening(place) => {
                spread(MARKET_START, MARKET_START + SECOND, place - LISTED, LISTED + 1, bits)
            }
            Part::Closing(place) if place < LISTED => {
                spread(MARKET_END - SECOND, MARKET_END, place, LISTED, bits)
            }
            Part::Closing(place) => {
                spread(MARKET_END, MARKET_END + SECOND, place - LISTED, LISTED + 1, bits)
            }
            Part::Epilogue(0) => SYSTEM_END,
            Part::Epilogue(_) => MESSAGES_END,
        };
        TimeOfDay::from_nanos(nanos).unwrap_or(TimeOfDay::MAX)
    }
}

/// Returns a time for message `place` of `count` between two times, with some chance in it.
fn spread(from: u64, to: u64, place: u64, count: u64, bits: u64) -> u64 {
    let step = (to - from) / count.max(1);
    from + step * place + bits % step.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_its_part() {
        for day_len in [FIXED, FIXED + 1, FIXED + 100, 1_000, 12_345] {
            let calendar = Calendar::new(day_len);
            let mut position = 0;
            for index in 0..day_len {
                if let Part::Flow(found) = calendar.part(index) {
                    assert_eq!((found, calendar.index_of(position)), (position, index));
                    position += 1;
                }
            }
            assert_eq!(position, day_len - FIXED);
            assert_eq!(calendar.part(day_len - 1), Part::Epilogue(1));
        }
    }
}
