//! Rows of formats whose values are nullable integers of 64 bits.

use super::rows::{sequence, side, symbol};
use super::{Arrival, ReadError};
use feed::wire::packet::Packet;

/// Row with values that are not checked yet.
pub(super) struct Wide<'a> {
    pub(super) symbol: &'a str,
    pub(super) side: &'a str,
    pub(super) quantity: i64,
    pub(super) price: i64,
    pub(super) sequence: i64,
    pub(super) arrived: Option<i64>,
    pub(super) origin: Option<&'a str>,
}

impl Wide<'_> {
    pub(super) fn narrow(&self) -> Result<(Packet, Arrival), String> {
        let number = |name: &str, value: i64| {
            i32::try_from(value).map_err(|_| format!("{name} {value} does not fit in 32 bits"))
        };
        let packet = Packet {
            symbol: symbol(self.symbol)?,
            side: side(self.side)?,
            quantity: number("quantity", self.quantity)?,
            price: number("price", self.price)?,
            sequence: sequence(self.sequence)?,
        };
        Ok((packet, Arrival::parse(self.arrived, self.origin)?))
    }
}

/// Adds the number of the row to an error.
pub(super) fn in_row(number: u64, reason: &str) -> ReadError {
    ReadError::Content(format!("row {number}: {reason}"))
}
