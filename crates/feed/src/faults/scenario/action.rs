//! Actions of faults, the places where they happen, and the protocols in which they can.

use crate::base::span::{Span, TimeSpan};
use crate::wire::soup::RejectReason;
use crate::wire::{Protocol, Reason};
use core::time::Duration;

/// Place at which a fault is applied.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultPlace {
    /// The moment at which a client connects, before anything else.
    Connect,
    /// Login of a client, before its answer. Only SoupBinTCP has logins.
    Login,
    /// Packets of streams.
    Stream,
    /// The moment after the last packet of a stream, before the connection ends, or before
    /// the end of the session is announced.
    End,
    /// Packets that are resent.
    Resend,
    /// Heartbeats of subscriptions, and of SoupBinTCP.
    Heartbeat,
}

/// Action of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAction {
    /// The packet, the heartbeat or the end of the session is not sent.
    Drop,
    /// Copies of the packet are sent.
    Duplicate {
        /// Number of copies.
        copies: u32,
        /// Number of packets between the packet and its copy; 0 for none.
        after: Span,
        /// Field that is changed in the copy, so that it contradicts the packet.
        changed: Option<CorruptedField>,
    },
    /// The packet is sent after later packets.
    Reorder {
        /// Number of packets that are sent before it.
        by: Span,
    },
    /// The packet waits, and with it everything that follows on the connection.
    Delay {
        /// Length of the wait.
        time: TimeSpan,
    },
    /// No more bytes are sent on the connection, and it is not closed.
    Silence,
    /// The write that begins with the packet has this size; the next write waits for `pause`.
    Write {
        /// Size of the write.
        size: WriteSize,
        /// Time until the next write.
        pause: TimeSpan,
    },
    /// The exchange closes the connection before the packet.
    Close {
        /// Number of bytes of the packet that are still sent (0 to 17).
        bytes: u8,
    },
    /// The exchange resets the connection before the packet.
    Reset {
        /// Number of bytes of the packet that are still sent (0 to 17).
        bytes: u8,
    },
    /// One field of the packet is changed.
    Corrupt {
        /// Field that is changed.
        field: CorruptedField,
    },
    /// The datagram is cut short. Only MoldUDP64 has datagrams.
    Truncate {
        /// Number of bytes that are sent; all but one if the datagram has no more.
        bytes: Span,
    },
    /// Random bytes are sent before the packet.
    Garbage {
        /// Number of bytes.
        bytes: Span,
    },
    /// Another packet is sent in place of the packet.
    Replace {
        /// Distance to the other packet: that many sequences higher, or lower if there is none.
        by: u32,
    },
    /// The packet is refused: by a message of the extension, or by closing the connection of a
    /// client that does not speak it.
    Refuse {
        /// Reason that the message gives.
        reason: Reason,
    },
    /// The exchange goes down: all connections are reset, and for a while no client can connect.
    Restart {
        /// Time for which the exchange is down.
        down: Duration,
        /// True if the exchange plays another session (another tape) afterwards.
        renew: bool,
    },
    /// The exchange goes down for good.
    Die,
    /// A packet of SoupBinTCP that belongs to no message is sent before the packet.
    Insert {
        /// Packet that is sent.
        packet: ExtraPacket,
        /// Number of bytes behind the packet's type.
        bytes: Span,
    },
    /// No more messages are sent on the connection; heartbeats go on.
    Hold,
    /// The end of the session is announced before the message, and the connection ends.
    EndSession,
    /// The login is rejected.
    Reject {
        /// Reason that the answer gives.
        reason: RejectReason,
    },
    /// The login is accepted from another sequence on than the requested one.
    Shift {
        /// Number of messages between the two.
        by: u32,
        /// Side of the requested sequence on which the other one is.
        direction: Direction,
    },
}

/// Packet of SoupBinTCP that belongs to no message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExtraPacket {
    /// Debug text.
    Debug,
    /// Unsequenced message.
    Unsequenced,
    /// Heartbeat.
    Heartbeat,
    /// Packet of a type that no version has, to be skipped by clients.
    Unknown,
    /// Length field of 0, behind which nothing can be read.
    NoLength,
}

/// Side of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Higher sequences.
    Later,
    /// Lower sequences.
    Earlier,
}

/// Maximum number of bytes behind the type of an inserted packet: as many as one can carry.
pub const INSERTED_MAX: u32 = 65_534;

/// Size of one write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteSize {
    /// Number of bytes, which may end inside a packet.
    Bytes(Span),
    /// Number of whole packets, or fewer if fewer are due.
    Packets(Span),
}

/// A field of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CorruptedField {
    /// The symbol: other letters.
    Symbol,
    /// The side: a byte that is neither `B` nor `S`, so that the frame cannot be decoded.
    Side,
    /// The quantity: another number.
    Quantity,
    /// The price: another number.
    Price,
    /// The sequence: a number that no packet can have (0, negative or far away).
    Sequence,
    /// The session of a datagram: another one.
    Session,
    /// The count of a datagram: more messages than it has.
    Count,
    /// The length of a datagram's first message: beyond the end of the datagram.
    Length,
}

impl CorruptedField {
    /// Returns whether MoldUDP64's datagrams have the field, and an order packet not.
    const fn is_of_datagram(self) -> bool {
        matches!(self, Self::Session | Self::Count | Self::Length)
    }
}

impl FaultAction {
    /// Names of the kinds of actions, as scenario files spell them.
    pub const KINDS: [&'static str; 20] = [
        "drop",
        "duplicate",
        "reorder",
        "delay",
        "silence",
        "write",
        "close",
        "reset",
        "corrupt",
        "garbage",
        "replace",
        "refuse",
        "restart",
        "die",
        "insert",
        "hold",
        "end-session",
        "reject",
        "shift",
        "truncate",
    ];

    /// Returns the index of the action's name in [`KINDS`](Self::KINDS).
    #[must_use]
    pub const fn kind(self) -> usize {
        match self {
            Self::Drop => 0,
            Self::Duplicate { .. } => 1,
            Self::Reorder { .. } => 2,
            Self::Delay { .. } => 3,
            Self::Silence => 4,
            Self::Write { .. } => 5,
            Self::Close { .. } => 6,
            Self::Reset { .. } => 7,
            Self::Corrupt { .. } => 8,
            Self::Garbage { .. } => 9,
            Self::Replace { .. } => 10,
            Self::Refuse { .. } => 11,
            Self::Restart { .. } => 12,
            Self::Die => 13,
            Self::Insert { .. } => 14,
            Self::Hold => 15,
            Self::EndSession => 16,
            Self::Reject { .. } => 17,
            Self::Shift { .. } => 18,
            Self::Truncate { .. } => 19,
        }
    }

    /// Returns whether the action can happen at this place, in any protocol.
    #[must_use]
    pub fn fits(self, place: FaultPlace) -> bool {
        Protocol::ALL.into_iter().any(|protocol| self.happens_on(protocol, place))
    }

    /// Returns whether the action can happen at this place of a protocol.
    #[must_use]
    pub const fn happens_on(self, protocol: Protocol, place: FaultPlace) -> bool {
        match protocol {
            Protocol::Betacrew => self.happens_on_betacrew(place),
            Protocol::Soup => self.happens_on_soup(place),
            Protocol::Mold => self.happens_on_mold(place),
        }
    }

    const fn happens_on_betacrew(self, place: FaultPlace) -> bool {
        use FaultPlace::{Connect, End, Heartbeat, Login, Resend, Stream};
        match self {
            Self::Drop => matches!(place, Stream | Resend | Heartbeat),
            Self::Duplicate { changed: Some(field), .. } | Self::Corrupt { field } => {
                matches!(place, Stream | Resend) && !field.is_of_datagram()
            }
            Self::Duplicate { .. }
            | Self::Reorder { .. }
            | Self::Write { .. }
            | Self::Replace { .. } => matches!(place, Stream | Resend),
            Self::Refuse { .. } => matches!(place, Resend),
            // After the last packet of a stream the exchange closes the connection anyway, so
            // `Close` would have no effect at `End`.
            Self::Close { bytes } => match place {
                Stream | Resend => bytes <= 17,
                Connect => bytes == 0,
                Login | End | Heartbeat => false,
            },
            Self::Reset { bytes } => match place {
                Stream | Resend => bytes <= 17,
                Connect | End => bytes == 0,
                Login | Heartbeat => false,
            },
            Self::Delay { .. }
            | Self::Silence
            | Self::Garbage { .. }
            | Self::Restart { .. }
            | Self::Die => !matches!(place, Heartbeat | Login),
            Self::Insert { .. }
            | Self::Hold
            | Self::EndSession
            | Self::Reject { .. }
            | Self::Shift { .. }
            | Self::Truncate { .. } => false,
        }
    }

    /// SoupBinTCP never loses, repeats, reorders or changes a message: what it can lose are
    /// connections, logins, heartbeats, sessions and pieces.
    const fn happens_on_soup(self, place: FaultPlace) -> bool {
        use FaultPlace::{Connect, End, Heartbeat, Login, Resend, Stream};
        match self {
            Self::Drop => matches!(place, Heartbeat | End),
            Self::Duplicate { changed, .. } => changed.is_none() && matches!(place, Login),
            Self::Write { .. } | Self::Hold | Self::EndSession => matches!(place, Stream),
            Self::Close { bytes } => match place {
                Stream => bytes <= 17,
                Connect | Login => bytes == 0,
                End | Resend | Heartbeat => false,
            },
            Self::Reset { bytes } => match place {
                Stream => bytes <= 17,
                Connect | Login | End => bytes == 0,
                Resend | Heartbeat => false,
            },
            Self::Delay { .. }
            | Self::Silence
            | Self::Insert { .. }
            | Self::Restart { .. }
            | Self::Die => matches!(place, Connect | Login | Stream | End),
            Self::Reject { .. } | Self::Shift { .. } => matches!(place, Login),
            Self::Reorder { .. }
            | Self::Corrupt { .. }
            | Self::Garbage { .. }
            | Self::Replace { .. }
            | Self::Truncate { .. }
            | Self::Refuse { .. } => false,
        }
    }

    /// MoldUDP64 loses datagrams, on its lines and between a client and its request server. It has
    /// no connections and no logins.
    const fn happens_on_mold(self, place: FaultPlace) -> bool {
        use FaultPlace::{End, Heartbeat, Resend, Stream};
        match self {
            Self::Drop => matches!(place, Stream | Resend | Heartbeat | End),
            Self::Duplicate { changed, .. } => {
                changed.is_none() && matches!(place, Stream | Resend)
            }
            Self::Truncate { .. } | Self::Write { .. } => matches!(place, Stream | Resend),
            Self::Corrupt { field } => {
                let has_field = field.is_of_datagram() || matches!(field, CorruptedField::Sequence);
                has_field && matches!(place, Stream | Resend)
            }
            Self::Delay { .. } | Self::Silence => matches!(place, Stream | Resend | End),
            Self::Reorder { .. }
            | Self::Garbage { .. }
            | Self::Hold
            | Self::EndSession
            | Self::Shift { .. } => matches!(place, Stream),
            Self::Replace { .. } => matches!(place, Resend),
            Self::Restart { .. } | Self::Die => matches!(place, Stream | End),
            Self::Close { .. }
            | Self::Reset { .. }
            | Self::Refuse { .. }
            | Self::Insert { .. }
            | Self::Reject { .. } => false,
        }
    }
}
