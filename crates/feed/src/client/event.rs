//! What a driver tells a recorder, and what a recorder tells its driver.

use super::ConnId;
use crate::base::seq::SeqRange;
use crate::wire::{Info, SessionId};
use core::time::Duration;

/// How a pass ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PassEnd {
    /// The exchange ended it after a whole packet.
    Complete,
    /// The pass brought packets, then nothing for
    /// [`Options::timeout`](super::RecorderOptions::timeout). That counts as an end, because there are
    /// exchanges that never end a stream.
    Silent,
    /// It broke, ended in the middle of a packet, or made no sense.
    CutOff,
}

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input<'a> {
    /// Nothing but time (also the first input of all).
    Wake,
    /// A connection is open.
    Connected(ConnId),
    /// A connection could not be opened.
    ConnectFailed(ConnId),
    /// Bytes arrived.
    Received(ConnId, &'a [u8]),
    /// The peer will send no more.
    Ended(ConnId),
    /// The connection was reset or failed otherwise.
    Broken(ConnId),
    /// The user wants it to end. Given again, it ends without waiting for anything.
    Stop,
}

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Open a connection to this line.
    Connect {
        /// Its number from now on.
        conn: ConnId,
        /// Where to.
        line: u16,
    },
    /// Send no more (half-close) and go on reading.
    Finish(ConnId),
    /// Close the connection and forget it.
    Drop(ConnId),
    /// Nothing to do, something to tell.
    Note(RecorderEvent),
}

/// What a person watching might want to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecorderEvent {
    /// A line cannot be reached; the next try comes after this pause.
    Unreachable {
        /// The line.
        line: u16,
        /// The pause.
        pause: Duration,
    },
    /// A line was given up.
    LineGivenUp {
        /// The line.
        line: u16,
    },
    /// A line's exchange speaks the extension.
    Described {
        /// The line.
        line: u16,
        /// What it said.
        info: Info,
    },
    /// A pass began.
    PassBegan {
        /// The line.
        line: u16,
        /// Its number, from 1.
        pass: u32,
    },
    /// A pass ended.
    PassEnded {
        /// The line.
        line: u16,
        /// Its number, from 1.
        pass: u32,
        /// How many packets it brought.
        delivered: u64,
        /// How it ended.
        end: PassEnd,
    },
    /// What is missing here was given up.
    GapAbandoned {
        /// What.
        range: SeqRange,
    },
    /// What was recorded before an exchange told its session is not known to be of that session,
    /// and is asked for again.
    PacketsForgotten {
        /// Number of packets.
        packets: u64,
    },
    /// A line plays another session than the one that is recorded. It is left alone, and asked
    /// again now and then.
    OtherSession {
        /// The line.
        line: u16,
        /// What it plays.
        session: SessionId,
    },
    /// The recording was told to stop, and waits for connections to an exchange that may be an
    /// original, which a reset would kill. What they bring is recorded.
    Stopping {
        /// Maximum time until the last of them is closed.
        wait: Duration,
    },
    /// The recording is to end, and waits for packets that are missing and can still be had. Told
    /// to stop once more, it ends at once.
    AwaitingResends {
        /// Number of packets that are missing.
        packets: u64,
        /// Maximum time until it ends.
        wait: Duration,
    },
    /// A resend connection brought no answer; this is the number of failures in a row.
    ResendFailed {
        /// The line.
        line: u16,
        /// Failures in a row.
        tries: u32,
    },
}
