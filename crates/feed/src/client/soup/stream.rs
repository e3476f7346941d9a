//! One SoupBinTCP connection, from the login to the end of the session, as a state machine that
//! knows no recorder.

use super::violation::SoupViolation;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq};
use crate::client::lines::SoupLogin;
use crate::client::timers::CLIENT_HEARTBEAT;
use crate::wire::soup::{
    END_OF_STREAM, Framer, LoginRequest, Packet, Received, RejectReason, Text,
};
use crate::wire::{Framing, Run};
use alloc::vec::Vec;
use core::time::Duration;

/// Session and first message that a login requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) struct Requested {
    /// Session by name; blank stands for the current one.
    pub(in crate::client) session: Text<10>,
    /// Sequence of the first message; `None` for the end of the stream.
    pub(in crate::client) sequence: Option<Seq>,
}

/// Session and first message that an exchange has accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) struct Accepted {
    /// Session of the messages.
    pub(in crate::client) session: Text<10>,
    /// Sequence of the first message that the exchange sends.
    pub(in crate::client) sequence: Seq,
}

/// Phase of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// No login is sent, because the connection is not open.
    Connecting,
    /// Login is sent and not answered.
    LoggingIn(Requested),
    /// Login is accepted; `next` is the sequence of the next message.
    Streaming { next: u64 },
    /// Session is over; `next` is the sequence behind its last message.
    Over { next: u64 },
    /// End of the conversation: bytes that arrive are not read.
    Left,
}

/// Event on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) enum SoupEvent<'a> {
    /// Accepted login.
    Accepted(Requested, Accepted),
    /// Rejected login.
    Rejected(RejectReason),
    /// Messages of the session.
    Messages(Run<'a>),
    /// Heartbeat of the exchange.
    Heartbeat,
    /// Packet without a meaning for a recording: debug text, an unsequenced message, a type that
    /// the specification does not have.
    Skipped,
    /// End of the session after the message `last`.
    End {
        /// Sequence of the last message; 0 for an empty session.
        last: Seq,
    },
}

/// SoupBinTCP connection of a recorder.
#[derive(Debug)]
pub(in crate::client) struct SoupStream {
    framer: Framer,
    phase: Phase,
    /// Time at which the connection last sent a packet.
    sent_at: Duration,
    /// Time at which a whole packet last arrived.
    heard_at: Duration,
}

impl SoupStream {
    /// Returns the state of a connection that is not open yet.
    pub(in crate::client) const fn new() -> Self {
        Self {
            framer: Framer::new(),
            phase: Phase::Connecting,
            sent_at: Duration::ZERO,
            heard_at: Duration::ZERO,
        }
    }

    /// Appends a login request to `out`.
    pub(in crate::client) fn log_in(
        &mut self,
        login: &SoupLogin,
        requested: Requested,
        now: Duration,
        out: &mut Vec<u8>,
    ) {
        self.phase = Phase::LoggingIn(requested);
        self.heard_at = now;
        let &SoupLogin { user, password, heartbeat_timeout, .. } = login;
        let Requested { session, sequence } = requested;
        let sequence = sequence.unwrap_or(END_OF_STREAM);
        self.send(
            Packet::LoginRequest(LoginRequest {
                user,
                password,
                session,
                sequence,
                heartbeat_timeout,
            }),
            now,
            out,
        );
    }

    /// Appends a packet to `out`.
    fn send(&mut self, packet: Packet<'_>, now: Duration, out: &mut Vec<u8>) {
        self.sent_at = now;
        // Only messages can be too long for a packet, and a recorder sends none.
        let _ = packet.encode(out);
    }

    /// Appends a heartbeat to `out` if one is due. `out` is what the socket has not taken yet: if
    /// that is not empty, the exchange reads too slowly for another packet.
    pub(in crate::client) fn send_heartbeat(&mut self, now: Duration, out: &mut Vec<u8>) {
        if self.heartbeat_at().is_some_and(|at| now >= at) {
            self.sent_at = now;
            if out.is_empty() {
                self.send(Packet::ClientHeartbeat, now, out);
            }
        }
    }

    /// Returns the time of the next heartbeat, if the exchange expects one.
    pub(in crate::client) fn heartbeat_at(&self) -> Option<Duration> {
        matches!(self.phase, Phase::Streaming { .. }).then_some(self.sent_at + CLIENT_HEARTBEAT)
    }

    /// Returns the time at which the unanswered login was sent.
    pub(in crate::client) fn login_sent_at(&self) -> Option<Duration> {
        matches!(self.phase, Phase::LoggingIn(_)).then_some(self.sent_at)
    }

    /// Returns the time at which a whole packet last arrived, or the login was sent.
    pub(in crate::client) fn heard_at(&self) -> Duration {
        self.heard_at
    }

    /// Appends a logout request to `out`, and returns true, if the exchange waits for one. Messages
    /// that arrive after a logout are still read; a login that is answered after it is not.
    pub(in crate::client) fn log_out(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        let phase = self.phase;
        if !matches!(phase, Phase::Streaming { .. }) {
            self.phase = Phase::Left;
        }
        let has_session = matches!(phase, Phase::Streaming { .. } | Phase::LoggingIn(_));
        if has_session {
            self.send(Packet::LogoutRequest, now, out);
        }
        has_session
    }

    /// Stops reading what arrives.
    pub(in crate::client) fn leave(&mut self) {
        self.phase = Phase::Left;
    }

    /// Returns the offset in the connection's bytes of the packet that
    /// [`next`](Self::next) reads next.
    pub(in crate::client) fn offset(&self) -> u64 {
        self.framer.offset()
    }

    /// Takes the next event off the front of `input`. `None` means that all of `input` was taken.
    ///
    /// # Errors
    /// Returns the violation if the exchange breaks the protocol. Nothing more is read after it.
    pub(in crate::client) fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
        now: Duration,
    ) -> Result<Option<SoupEvent<'s>>, SoupViolation> {
        if self.phase == Phase::Left {
            *input = &[];
            return Ok(None);
        }
        let phase = &mut self.phase;
        let event = match self.framer.next(input) {
            Ok(None) => return Ok(None),
            Ok(Some(received)) => phase.on_packet(received),
            Err(error) => Err(error.into()),
        };
        match event {
            Ok(_) => self.heard_at = now,
            Err(_) => *phase = Phase::Left,
        }
        event.map(Some)
    }
}

impl Phase {
    /// Handles a packet, or sequenced messages in a row.
    fn on_packet<'a>(&mut self, received: Received<'a>) -> Result<SoupEvent<'a>, SoupViolation> {
        let packet = match received {
            Received::Sequenced(run) => {
                let Self::Streaming { next } = self else { return Err(self.out_of_place()) };
                let count = run.count() as u64;
                let first = Seq::try_from(*next).map_err(|_| SoupViolation::SequenceTooHigh)?;
                let run = Run::counted(first, count, Framing::LengthAndType, run.as_bytes())
                    .ok_or(SoupViolation::SequenceTooHigh)?;
                *next += count;
                return Ok(SoupEvent::Messages(run));
            }
            Received::Other(raw) => raw.decode()?,
        };
        match packet {
            Packet::LoginAccepted(accepted) => {
                let sequence = accepted.sequence;
                let legal = Seq::try_from(sequence).ok();
                let legal = legal.filter(|seq| (FIRST_SEQ..=MAX_SEQ).contains(seq));
                let first = legal.ok_or(SoupViolation::AcceptedSequence(sequence))?;
                let requested = match *self {
                    Self::LoggingIn(requested) => requested,
                    // An exchange that says twice what is true does no harm.
                    Self::Streaming { next } | Self::Over { next } if next == sequence => {
                        return Ok(SoupEvent::Skipped);
                    }
                    Self::Streaming { next } | Self::Over { next } => {
                        return Err(SoupViolation::AcceptedAgain {
                            accepted: sequence,
                            expected: next,
                        });
                    }
                    Self::Connecting | Self::Left => return Ok(SoupEvent::Skipped),
                };
                *self = Self::Streaming { next: sequence };
                let accepted = Accepted { session: accepted.session, sequence: first };
                Ok(SoupEvent::Accepted(requested, accepted))
            }
            Packet::LoginRejected(reason) => match self {
                Self::LoggingIn(_) => {
                    *self = Self::Left;
                    Ok(SoupEvent::Rejected(reason))
                }
                _ => Err(SoupViolation::RejectedLate(reason)),
            },
            Packet::EndOfSession => match *self {
                Self::Streaming { next } => {
                    *self = Self::Over { next };
                    let last = Seq::try_from(next - 1).unwrap_or(MAX_SEQ);
                    Ok(SoupEvent::End { last })
                }
                Self::Over { .. } => Ok(SoupEvent::Skipped),
                _ => Err(self.out_of_place()),
            },
            Packet::ServerHeartbeat => Ok(SoupEvent::Heartbeat),
            Packet::Debug(_)
            | Packet::Unsequenced(_)
            | Packet::Unknown { .. }
            // Packets that only clients send mean nothing from an exchange.
            | Packet::LoginRequest(_)
            | Packet::ClientHeartbeat
            | Packet::LogoutRequest => Ok(SoupEvent::Skipped),
            Packet::Sequenced(_) => Err(self.out_of_place()),
        }
    }

    /// Returns the violation of a sequenced message, or an end, in this phase.
    fn out_of_place(self) -> SoupViolation {
        match self {
            Self::Over { .. } => SoupViolation::AfterEnd,
            _ => SoupViolation::BeforeLogin,
        }
    }
}
