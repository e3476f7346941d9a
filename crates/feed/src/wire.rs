//! Wire format of the BetaCrew protocol, version 1 (described in `docs/protocol.md`).
//!
//! A client sends [calls](Call). The exchange answers with [frames](Frame) of [`FRAME_LEN`] bytes
//! each, most of them packets. All numbers are big-endian. The protocol has no other framing, so a
//! missing byte shows only in later frames that make no sense.

mod align;
mod call;
mod frame;
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
pub use protocol::{Protocol, ProtocolParseError};
pub use session_id::SessionId;

pub(crate) use align::{fits_at_once, is_near, is_torn, is_torn_beginning, symbol_fits};
pub(crate) use frame::oddness;

use crate::base::seq::Seq;

/// Length of every message of the exchange, in bytes.
pub const FRAME_LEN: usize = 17;

/// Encoded message of the exchange.
pub type RawFrame = [u8; FRAME_LEN];

/// Version of the extension that this crate implements.
pub const VERSION: u8 = 1;

/// Highest sequence that a call of type 2 can request from a server of the original protocol, which
/// reads the sequence as one signed byte.
pub const RESEND_MAX: Seq = 127;
