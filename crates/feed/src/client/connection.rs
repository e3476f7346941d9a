//! One connection of a recorder. Framing lives here, so that half a packet dies with it.

use super::ConnId;
use crate::base::seq::Seq;
use crate::ledger::{Origin, Source, StreamPosition};
use crate::wire::{FRAME_LEN, RawFrame, SessionId, is_torn_beginning};
use alloc::vec::Vec;
use core::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ConnectionRole {
    /// Asks for the stream and reads it.
    Stream { pass: u32 },
    /// Describes and resends.
    Resend,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ConnectionState {
    Connecting,
    Open,
    /// We send no more; what still comes is read until the peer ends or time is up.
    Draining {
        until: Duration,
        hard: Duration,
    },
}

#[derive(Debug)]
pub(super) struct ClientConnection {
    pub(super) id: ConnId,
    pub(super) line: u16,
    pub(super) role: ConnectionRole,
    pub(super) state: ConnectionState,
    pub(super) framer: Framer,
    pub(super) outbox: Vec<u8>,
    /// When it began to connect, and how long that took.
    pub(super) connecting_since: Duration,
    pub(super) rtt: Duration,
    /// When it last brought something useful or was asked for something.
    pub(super) last_useful: Duration,
    pub(super) track: StreamPosition,
    /// A subscription begins behind this sequence.
    pub(super) subscribed_after: Seq,
    /// Packets asked for, and answers (or refusals) received.
    pub(super) requested: u64,
    pub(super) answered: u64,
    /// Everything asked for in this sweep up to here is answered, or its answer is lost.
    pub(super) answered_up_to: Seq,
    pub(super) new_packets: u64,
    pub(super) garbage_run: u32,
    /// Sequence of the latest packet that was not believed since torn bytes came, `Seq::MAX` before
    /// the first; `None` while the connection is known to be aligned.
    pub(super) misaligned: Option<Seq>,
    /// A describe call was sent.
    pub(super) described: bool,
    /// The session that its exchange plays, once that is known.
    pub(super) session: Option<SessionId>,
    /// Time of its last input.
    pub(super) last_input: Duration,
    /// Ranges were asked for before it was answered.
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

    /// Origin of the packets that it brings.
    pub(super) fn origin(&self) -> Origin {
        let source = match self.role {
            ConnectionRole::Stream { pass } => Source::Stream { pass },
            ConnectionRole::Resend => Source::Resend,
        };
        Origin { line: self.line, source }
    }

    /// Packets asked for that have not been answered.
    pub(super) fn in_flight(&self) -> u64 {
        self.requested.saturating_sub(self.answered)
    }

    /// What counts once it is over.
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

    /// Whether it is, or was, open.
    pub(super) fn is_open(&self) -> bool {
        self.state != ConnectionState::Connecting
    }

    /// Time when it was open.
    pub(super) fn opened(&self) -> Duration {
        self.connecting_since + self.rtt
    }

    pub(super) fn streams(&self) -> bool {
        matches!(self.role, ConnectionRole::Stream { .. })
            && !matches!(self.state, ConnectionState::Draining { .. })
    }
}

/// What a connection came to.
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
    /// How many sequences it went through.
    pub(super) span: u64,
}

/// Cuts a byte stream into frames.
#[derive(Default, Debug)]
pub(super) struct Framer {
    carry: [u8; FRAME_LEN],
    held: usize,
    /// Bytes of whole frames handed out before the current call.
    pub(super) offset: u64,
}

impl Framer {
    /// The frame that `bytes` completes, if one was begun, and the whole frames after it. What
    /// remains is kept for the next call.
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

    /// Returns whether no message begins with the bytes that remain.
    pub(super) fn torn(&self) -> bool {
        is_torn_beginning(&self.carry[..self.held])
    }

    /// Whether a packet was begun and not ended.
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
