//! Wire formats: the bytes of each protocol, checked before they are used.
//!
//! * **The exercise's protocol** (`docs/protocol.md`): a client sends [calls](Call), the exchange
//!   answers with [frames](Frame) of [`FRAME_LEN`] bytes each, most of them
//!   [packets](packet::Packet). All numbers are big-endian. There is no other framing, so a missing
//!   byte shows only in later frames that cannot be decoded.
//! * **SoupBinTCP** ([`soup`]): packets with a length and a type over TCP; one type has a message.
//! * **MoldUDP64** ([`mold`]): datagrams of consecutive messages under one sequence, and requests.
//!
//! [`messages`] has messages as they lie in a buffer, whatever protocol has brought them.

mod align;
mod call;
mod frame;
mod framer;
pub mod messages;
pub mod mold;
pub mod packet;
mod protocol;
mod session_id;
pub mod soup;

pub use call::{Call, CallDecoder};
pub use frame::{
    DecodeError, Frame, Info, NotAvailable, Reason, decode, decode_packet, encode, packet_seq,
    sequence_of,
};

pub use messages::{Framing, MESSAGE_MAX, Messages, Run};
pub use protocol::{Protocol, ProtocolParseError, Protocols};
pub use session_id::SessionId;

pub(crate) use align::{fits_at_once, is_near, is_torn, is_torn_beginning, symbol_fits};
pub(crate) use frame::{oddness, sequence_field};
pub(crate) use framer::Framer;

use crate::base::seq::Seq;

/// Length of every message of the exchange, in bytes.
pub const FRAME_LEN: usize = 17;

/// Encoded message of the exchange.
pub type RawFrame = [u8; FRAME_LEN];

/// Version of the extension that this crate implements.
pub const VERSION: u8 = 1;

/// Highest sequence of a packet (2 147 483 647), because the wire carries it as a signed 32-bit
/// integer.
pub const MAX_PACKET_SEQ: Seq = HIGHEST_FIELD as Seq;

/// Highest sequence of a packet, in the 32 bits of its field.
const HIGHEST_FIELD: u32 = i32::MAX.cast_unsigned();

/// Field in the place of a number above 32 bits. As a sequence it is that of no packet, so a peer
/// refuses the message; as a count it covers all packets that a session can have.
const TOO_HIGH: u32 = u32::MAX;

/// Encodes a sequence, or a number of sequences, as a field of the wire.
pub(crate) fn field_bytes(number: u64) -> [u8; 4] {
    u32::try_from(number).unwrap_or(TOO_HIGH).to_be_bytes()
}

/// Highest sequence that a call of type 2 can request from a server of the original protocol, which
/// reads the sequence as one signed byte.
pub const RESEND_MAX: Seq = 127;
