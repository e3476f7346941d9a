//! Inputs that a driver gives a recorder, and outputs that the recorder returns.

use super::ConnId;
use crate::base::seq::{Seq, SeqRange};
use crate::wire::mold::Request;
use crate::wire::soup::RejectReason;
use crate::wire::{Info, SessionId};
use core::time::Duration;

/// Ways in which a pass can end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassEnd {
    /// End of the stream by the exchange, after a whole packet.
    Complete,
    /// Silence for [`RecorderOptions::timeout`](super::RecorderOptions::timeout) after at least one
    /// packet. Silence counts as an end, because there are exchanges that never end a stream.
    Silent,
    /// Broken connection, end in the middle of a packet, or undecodable bytes.
    CutOff,
}

/// Sender of a datagram, as the driver knows it by the socket and the address that it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatagramSource {
    /// Group of the line: the datagram arrived on the group's socket, from a sender that the user
    /// allows.
    Group,
    /// Request server of the line with this number, from 0: the datagram arrived on the socket for
    /// requests, from the server's address.
    Server(u16),
    /// Any other sender.
    Stranger,
}

/// Events that a driver reports to a recorder.
///
/// Concept: [line](crate#line).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input<'a> {
    /// Passing of time alone; also the first input of all.
    Wake,
    /// Opened connection.
    Connected(ConnId),
    /// Connection that could not be opened.
    ConnectFailed(ConnId),
    /// Received bytes.
    Received(ConnId, &'a [u8]),
    /// End of what the peer sends (half-close).
    Ended(ConnId),
    /// Reset or other failure of an open connection.
    Broken(ConnId),
    /// Datagram on a line that speaks MoldUDP64.
    Datagram {
        /// Line of the socket.
        line: u16,
        /// Sender of the datagram.
        source: DatagramSource,
        /// Payload.
        bytes: &'a [u8],
    },
    /// Datagrams that the kernel has dropped on a line's sockets since the last report.
    KernelDrops {
        /// Line of the sockets.
        line: u16,
        /// Number of datagrams.
        count: u64,
    },
    /// Request of the user to end the recording. A second one ends it without waiting.
    Stop,
}

/// Actions that a recorder wants its driver to carry out.
///
/// Concept: [line](crate#line).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Open a connection to a line.
    Connect {
        /// Number of the new connection.
        conn: ConnId,
        /// Line to connect to.
        line: u16,
    },
    /// Join the group of a line, and pass on its datagrams as [`Input::Datagram`].
    Join {
        /// Line to join.
        line: u16,
    },
    /// Send a request to a request server of a line, from the socket that the answer is expected
    /// on.
    Request {
        /// Line of the server.
        line: u16,
        /// Number of the server on its line, from 0.
        server: u16,
        /// Request to send.
        request: Request,
    },
    /// Leave the group of a line.
    Leave {
        /// Line to leave.
        line: u16,
    },
    /// Send no more (half-close), and go on reading.
    Finish(ConnId),
    /// Close the connection and forget it.
    Drop(ConnId),
    /// Show an event; there is nothing else to do.
    Note(RecorderEvent),
}

/// Events that a person who watches a recording may want to see.
///
/// Concepts: [line](crate#line), [pass](crate#pass), [resend](crate#resend).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecorderEvent {
    /// Failed attempt to connect to a line; the next attempt follows after a pause.
    Unreachable {
        /// Line that cannot be reached.
        line: u16,
        /// Time until the next attempt.
        pause: Duration,
    },
    /// Line that was given up.
    LineGivenUp {
        /// Line that was given up.
        line: u16,
    },
    /// First description of the session by a line's exchange, which therefore speaks the extension.
    Described {
        /// Line that described the session.
        line: u16,
        /// Description of the session.
        info: Info,
    },
    /// Accepted SoupBinTCP login.
    LoggedIn {
        /// Line that accepted the login.
        line: u16,
        /// Session of the acceptance.
        session: SessionId,
        /// Sequence of the first message.
        sequence: Seq,
    },
    /// Rejected SoupBinTCP login. The recorder gives a line up whose exchange does not know the
    /// user; otherwise the next login follows after a pause.
    LoginRejected {
        /// Line that rejected the login.
        line: u16,
        /// Reason of the rejection.
        reason: RejectReason,
    },
    /// SoupBinTCP login that was accepted with another sequence than the requested one. The
    /// recorder logs in again, and believes the exchange if it insists.
    LoginMoved {
        /// Line that accepted the login.
        line: u16,
        /// Sequence that was requested.
        requested: Seq,
        /// Sequence that was accepted.
        accepted: Seq,
    },
    /// First datagram of the recorded session on a line.
    Heard {
        /// Line of the datagram.
        line: u16,
        /// Session of the datagram.
        session: SessionId,
        /// Sequence of the datagram's first message, or of the next message if it has none.
        sequence: Seq,
    },
    /// Lowest message that request servers serve, found after they have not answered requests for
    /// earlier ones.
    ServedFrom {
        /// Sequence of the message.
        sequence: Seq,
    },
    /// Begin of a pass.
    PassBegan {
        /// Line of the pass.
        line: u16,
        /// Number of the pass, from 1.
        pass: u32,
    },
    /// End of a pass.
    PassEnded {
        /// Line of the pass.
        line: u16,
        /// Number of the pass, from 1.
        pass: u32,
        /// Number of packets that the pass delivered.
        delivered: u64,
        /// Way in which the pass ended.
        end: PassEnd,
    },
    /// Missing packets that were abandoned: they are requested no more.
    GapAbandoned {
        /// Sequences that were abandoned.
        range: SeqRange,
    },
    /// Recorded packets that are requested again, because they arrived before their exchange
    /// reported its session and may be of another one.
    PacketsForgotten {
        /// Number of packets that are requested again.
        packets: u64,
    },
    /// Line that plays another session than the recorded one. The recorder sets it aside and checks
    /// it again from time to time.
    OtherSession {
        /// Line that was set aside.
        line: u16,
        /// Session that the line plays.
        session: SessionId,
    },
    /// Begin of a stop that waits for connections to an exchange that may be an original, because a
    /// reset would kill it. Packets that arrive meanwhile are recorded.
    Stopping {
        /// Maximum time until the last connection is closed.
        wait: Duration,
    },
    /// Begin of a stop that waits for missing packets which can still be resent. A second stop ends
    /// the recording at once.
    AwaitingResends {
        /// Number of missing packets.
        packets: u64,
        /// Maximum time until the recording ends.
        wait: Duration,
    },
    /// Resend connection that ended without an answer.
    ResendFailed {
        /// Line of the connection.
        line: u16,
        /// Number of consecutive failures.
        tries: u32,
    },
}
