//! The BetaCrew protocol, version 1, byte by byte (`docs/protocol.md` is its description).
//!
//! A client sends [calls](Call); the exchange answers with [frames](Frame), each [`FRAME_LEN`]
//! bytes long, most of them packets. All numbers are big-endian. There is no other framing, so a
//! byte that is lost cannot be noticed except by frames that stop making sense.

mod align;
mod call;
mod frame;
pub mod mold;
pub mod soup;

pub use call::{Call, CallDecoder};
pub use frame::{
    DecodeError, Frame, Info, NotAvailable, Reason, SessionId, decode, decode_packet, encode,
    packet_seq, sequence_of,
};

pub(crate) use align::{fits_at_once, is_near, is_torn, is_torn_beginning, symbol_fits};
pub(crate) use frame::oddness;

use crate::seq::Seq;

/// The length of every message of the exchange, in bytes.
pub const FRAME_LEN: usize = 17;

/// One message of the exchange, encoded.
pub type RawFrame = [u8; FRAME_LEN];

/// The version of the extension that this crate speaks.
pub const VERSION: u8 = 1;

/// The highest sequence that a call of type 2 can ask for from a server of the original protocol,
/// which reads its one byte signed.
pub const RESEND_MAX: Seq = 127;
