//! One connection of a recorder. The framer is part of the connection, so that half a packet is
//! discarded with it and never joined to bytes of the next connection.

use super::ConnId;
use crate::base::seq::Seq;
use crate::ledger::{Origin, Source, StreamPosition};
use crate::wire::{FRAME_LEN, RawFrame, SessionId, is_torn_beginning};
use alloc::vec::Vec;
use core::time::Duration;

/// Purpose of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ConnectionRole {
    /// Requests the stream (or a subscription) and reads it.
    Stream { pass: u32 },
    /// Requests the description and resends.
    Resend,
}

/// State of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ConnectionState {
    /// Not open yet.
    Connecting,
    /// Open in both directions.
    Open,
    /// Half-closed by us: remaining bytes are read until the peer ends its side or time is up.
    Draining {
        /// Time at which the connection is closed if it stays silent.
        until: Duration,
        /// Time at which the connection is closed in any case.
        hard: Duration,
    },
}

/// Connection of a recorder to the exchange of one line.
#[derive(Debug)]
pub(super) struct ClientConnection {
    pub(super) id: ConnId,
    pub(super) line: u16,
    pub(super) role: ConnectionRole,
    pub(super) state: ConnectionState,
    pub(super) framer: Framer,
    pub(super) outbox: Vec<u8>,
    /// Time at which connecting began.
    pub(super) connecting_since: Duration,
    /// Time that connecting took.
    pub(super) rtt: Duration,
    /// Time at which the connection last delivered something useful, or was asked for something
    /// while idle.
    pub(super) last_useful: Duration,
    pub(super) track: StreamPosition,
    /// Sequence before the first one of the subscription.
    pub(super) subscribed_after: Seq,
    /// Number of packets requested.
    pub(super) requested: u64,
    /// Number of requested packets that were answered or refused.
    pub(super) answered: u64,
    /// Sequence up to which every request of this sweep is answered, or its answer was missed.
    pub(super) answered_up_to: Seq,
    /// Number of packets that were recorded from this connection.
    pub(super) new_packets: u64,
    /// Number of consecutive undecodable frames.
    pub(super) garbage_run: u32,
    /// Sequence of the latest packet that was not believed since torn bytes arrived, `Seq::MAX`
    /// before the first; `None` while the connection is known to be aligned.
    pub(super) misaligned: Option<Seq>,
    /// True once a describe call was sent.
    pub(super) described: bool,
    /// Session that the exchange plays, once it is known.
    pub(super) session: Option<SessionId>,
    /// Time of the last input.
    pub(super) last_input: Duration,
    /// True if ranges were requested before the describe call was answered.
    pub(super) requested_early: bool,
}

impl ClientConnection {
    pub(super) fn new(id: ConnId, line: u16, role: ConnectionRole, now: Duration) -> Self {
        Self {
            id,
            line,
            role,
            state: ConnectionState::Connecting,
            framer: Framer::default(),
            outbox: Vec::new(),
            connecting_since: now,
            rtt: Duration::ZERO,
            last_useful: now,
            track: StreamPosition::default(),
            subscribed_after: 0,
            requested: 0,
            answered: 0,
            answered_up_to: 0,
            new_packets: 0,
            garbage_run: 0,
            misaligned: None,
            described: false,
            session: None,
            last_input: now,
            requested_early: false,
        }
    }

    /// Returns the origin of the packets that the connection delivers.
    pub(super) fn origin(&self) -> Origin {
        let source = match self.role {
            ConnectionRole::Stream { pass } => Source::Stream { pass },
            ConnectionRole::Resend => Source::Resend,
        };
        Origin { line: self.line, source }
    }

    /// Returns the number of requested packets that are not answered yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.requested.saturating_sub(self.answered)
    }

    /// Returns the figures that count once the connection is over.
    pub(super) fn summary(&self) -> ConnectionSummary {
        ConnectionSummary {
            line: self.line,
            role: self.role,
            described: self.described,
            requested: self.requested > 0,
            answered: self.answered,
            unanswered: self.in_flight() > 0,
            new_packets: self.new_packets,
            delivered: self.track.delivered,
            span: u64::from(self.track.position.saturating_sub(self.subscribed_after)),
        }
    }

    /// Returns whether the connection is open, or was.
    pub(super) fn is_open(&self) -> bool {
        self.state != ConnectionState::Connecting
    }

    /// Returns the time at which the connection was opened.
    pub(super) fn opened(&self) -> Duration {
        self.connecting_since + self.rtt
    }

    /// Returns whether the connection is a stream that is connecting or open.
    pub(super) fn streams(&self) -> bool {
        matches!(self.role, ConnectionRole::Stream { .. })
            && !matches!(self.state, ConnectionState::Draining { .. })
    }
}

/// Figures of a connection that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionSummary {
    pub(super) line: u16,
    pub(super) role: ConnectionRole,
    pub(super) described: bool,
    pub(super) requested: bool,
    pub(super) answered: u64,
    pub(super) unanswered: bool,
    pub(super) new_packets: u64,
    pub(super) delivered: u64,
    /// Number of sequences that the stream passed through.
    pub(super) span: u64,
}

/// Cuts a byte stream into frames.
#[derive(Default, Debug)]
pub(super) struct Framer {
    carry: [u8; FRAME_LEN],
    held: usize,
    /// Number of bytes in whole frames returned before the current call.
    pub(super) offset: u64,
}

impl Framer {
    /// Returns the frame that `bytes` completes, if one was begun, and the whole frames after it.
    /// The framer keeps the remaining bytes for the next call.
    pub(super) fn split<'a>(&mut self, bytes: &'a [u8]) -> (Option<RawFrame>, &'a [RawFrame]) {
        let mut bytes = bytes;
        let mut head = None;
        if self.held > 0 {
            let (begin, rest) = bytes.split_at(bytes.len().min(FRAME_LEN - self.held));
            self.carry[self.held..self.held + begin.len()].copy_from_slice(begin);
            self.held += begin.len();
            bytes = rest;
            if self.held < FRAME_LEN {
                return (None, &[]);
            }
            self.held = 0;
            head = Some(self.carry);
        }
        let (frames, rest) = bytes.as_chunks();
        self.carry[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
        (head, frames)
    }

    /// Returns whether no message begins with the bytes that are kept.
    pub(super) fn torn(&self) -> bool {
        is_torn_beginning(&self.carry[..self.held])
    }

    /// Returns whether a packet was begun and not finished.
    pub(super) fn partial(&self) -> bool {
        self.held > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_frames(bytes in prop::collection::vec(any::<u8>(), 0..200),
            sizes in prop::collection::vec(0usize..40, 0..60)) {
            let (mut framer, mut rest, mut frames) = (Framer::default(), &bytes[..], Vec::new());
            for size in sizes.into_iter().chain([usize::MAX]) {
                let (chunk, after) = rest.split_at(size.min(rest.len()));
                let (head, body) = framer.split(chunk);
                frames.extend(head);
                frames.extend_from_slice(body);
                rest = after;
            }
            prop_assert_eq!(&frames[..], bytes.as_chunks::<FRAME_LEN>().0);
            prop_assert_eq!(framer.partial(), bytes.len() % FRAME_LEN > 0);
        }
    }
}
