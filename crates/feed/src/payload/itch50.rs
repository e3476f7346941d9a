//! Nasdaq TotalView-ITCH 5.0: messages about every order, execution and state of a trading day.
//!
//! [`Message::parse`] checks the letter and the length of a message and returns a view of it; no
//! byte is copied. Each view decodes its fields on demand. Each message type is also a struct in
//! [`messages`] that encodes itself. The tables of `docs/itch.md` come from the same source.
//!
//! ```
//! use feed::payload::itch50::messages::AddOrder;
//! use feed::payload::itch50::{Alpha, Header, Layout, Letter, Message, Price4};
//!
//! let order = AddOrder {
//!     header: Header { stock_locate: 7, ..Header::default() },
//!     order_reference: 1_001,
//!     side: Letter(b'B'),
//!     shares: 100,
//!     stock: Alpha(*b"ZXZZT   "),
//!     price: Price4(1_234_500),
//! };
//! let bytes = order.encode();
//! let message = Message::parse(&bytes)?;
//! assert_eq!(
//!     message.to_string(),
//!     "00:00:00.000000000 AddOrder stock_locate=7 tracking_number=0 order_reference=1001 side=B \
//!      shares=100 stock=ZXZZT price=123.4500",
//! );
//! if let Message::AddOrder(view) = message {
//!     assert_eq!(view.to_value(), order);
//! }
//! # Ok::<(), feed::payload::itch50::ParseError>(())
//! ```

mod books;
mod field;
mod layout;
mod market;
pub mod messages;

pub use books::{ApplyError, Book, Books, Level, ORDERS_MAX, Order};
pub use field::{Alpha, Field, FieldType, Kind, Letter, Price4, Price8, TimeOfDay, Value};
pub use layout::{EncodedMessage, Header, Layout, MessageType, View};
pub use market::{DAY_LEN_MAX, DAY_LEN_MIN, SyntheticMarket};
pub use messages::{Message, TYPES};

use core::fmt;

/// Length of the longest message type.
pub const MAX_LEN: usize = layout::longest(TYPES);

/// Maximum number of bytes that the text form of an unknown message shows.
const SHOWN_MAX: usize = 64;

impl<'a> Message<'a> {
    /// Returns the fields in the order of their bytes, with their values; none for an unknown type.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, Value<'a>)> + use<'a> {
        let bytes = self.bytes();
        let fields = self.message_type().map_or(&[][..], MessageType::fields);
        fields.iter().filter_map(move |field| Some((field, field.value(bytes)?)))
    }

    /// Returns the code of the stock, or `None` for an unknown type.
    #[must_use]
    #[inline]
    pub fn stock_locate(&self) -> Option<u16> {
        self.message_type().map(|_| u16::read_at(self.bytes(), layout::LOCATE_OFFSET))
    }

    /// Returns the time of the event, or `None` for an unknown type.
    #[must_use]
    #[inline]
    pub fn timestamp(&self) -> Option<TimeOfDay> {
        self.message_type().map(|_| TimeOfDay::read_at(self.bytes(), layout::TIME_OFFSET))
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(message_type) = self.message_type() else {
            return write_opaque(f, self.bytes());
        };
        if let Some(time) = self.timestamp() {
            write!(f, "{time} ")?;
        }
        f.write_str(message_type.name())?;
        for (field, value) in self.fields().filter(|(field, _)| field.name() != "timestamp") {
            write!(f, " {}={value}", field.name())?;
        }
        Ok(())
    }
}

/// Writes a message of an unknown type: its letter, its length and its first bytes.
fn write_opaque(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
    write!(
        f,
        "Opaque type={} bytes={} hex=",
        shown[..shown.len().min(1)].escape_ascii(),
        bytes.len()
    )?;
    shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
    if shown.len() < bytes.len() { f.write_str("...") } else { Ok(()) }
}

/// Reason why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// Message of no bytes: it has not even a type.
    Empty,
    /// Message whose length is not that of its type.
    Length {
        /// Type that the message's letter names.
        message_type: &'static MessageType,
        /// Number of bytes that the message has.
        found: usize,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an ITCH message of 0 bytes has no message type"),
            Self::Length { message_type, found } => write!(
                f,
                "an ITCH 5.0 message of type {} ({}) has {} bytes, but this one has {found}: is \
                 the feed ITCH 5.0, and is the message complete?",
                char::from(message_type.letter()),
                message_type.name(),
                message_type.len(),
            ),
        }
    }
}

impl core::error::Error for ParseError {}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
