//! One line: a source of the session.

use super::ConnId;
use super::session::{ContactPeriod, EndedConnection};
use crate::base::seq::Seq;
use crate::client::resend::Resender;
use crate::wire::{Info, SessionId};
use alloc::vec::Vec;
use core::time::Duration;

/// What a line's exchange speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    /// It has been asked, or will be.
    Unknown,
    /// The original protocol.
    Classic,
    /// The extension.
    Extended,
}

/// What was counted of a line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LineStats {
    /// Whether it was ever reached.
    pub reached: bool,
    /// Whether it was given up.
    pub given_up: bool,
    /// Time at which bytes last arrived from it, from the recorder's start.
    pub last_heard: Option<Duration>,
    /// Time since which every attempt to connect has failed, from the recorder's start.
    pub unreachable_since: Option<Duration>,
    /// What it said of itself, if it speaks the extension.
    pub info: Option<Info>,
    /// Packets that it was the first to bring.
    pub first: u64,
    /// Packets that it brought, also the ones that others had brought.
    pub packets: u64,
    /// Packets that its subscriptions should have brought and did not.
    pub missed: u64,
    /// Subscriptions that ended before the session.
    pub cuts: u32,
    /// The session that it plays, where that is not the one that is recorded.
    pub other_session: Option<SessionId>,
}

#[derive(Debug)]
pub(super) struct LineState {
    pub(super) dialect: Dialect,
    /// Streams still to be opened.
    pub(super) streams_to_open: u32,
    /// Streams that were cut off.
    pub(super) cut_streams: u32,
    pub(super) resend: Option<ConnId>,
    /// Streams that brought nothing at all until their time was up.
    pub(super) silent_streams: u32,
    /// Connections that began with a describe call and brought nothing.
    pub(super) failed_describes: u32,
    /// The highest sequence that it has brought itself.
    pub(super) highest: Seq,
    /// Highest sequence that its heartbeats and ends have said to exist and that was believed.
    pub(super) reported_end: Seq,
    /// Highest last sequence that its descriptions of the session have given, believed or not.
    pub(super) described_end: Seq,
    /// Last sequence of the session, once it has said that the session is over.
    pub(super) session_end: Option<Seq>,
    /// Until when an answer to the describe call is waited for.
    pub(super) describe_deadline: Option<Duration>,
    /// No new connection before this.
    pub(super) retry_at: Duration,
    /// Since when, and how often in a row, connecting has failed.
    pub(super) connect_failures: Option<(Duration, u32)>,
    /// Time in which its exchange is known to have played one session.
    pub(super) contact: Option<ContactPeriod>,
    /// Streams that have ended before the session was settled.
    pub(super) ended_streams: Vec<EndedConnection>,
    /// Resend calls were answered on a connection whose session is not known.
    pub(super) unattributed_answers: bool,
    pub(super) resender: Resender,
    pub(super) stats: LineStats,
}

impl LineState {
    pub(super) fn new(window: u32) -> Self {
        Self {
            dialect: Dialect::Unknown,
            streams_to_open: 1,
            cut_streams: 0,
            resend: None,
            silent_streams: 0,
            failed_describes: 0,
            highest: 0,
            reported_end: 0,
            described_end: 0,
            session_end: None,
            describe_deadline: None,
            retry_at: Duration::ZERO,
            connect_failures: None,
            contact: None,
            ended_streams: Vec::new(),
            unattributed_answers: false,
            resender: Resender::new(window),
            stats: LineStats::default(),
        }
    }

    /// Returns the highest sequence that it has said to exist, believed or not.
    pub(super) fn claimed(&self) -> Seq {
        self.reported_end.max(self.described_end)
    }
}
