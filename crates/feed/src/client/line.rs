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
    pub dead: bool,
    /// Time at which bytes last arrived from it, from the recorder's start.
    pub heard: Option<Duration>,
    /// Time since which every attempt to connect has failed, from the recorder's start.
    pub unreachable: Option<Duration>,
    /// What it said of itself, if it speaks the extension.
    pub info: Option<Info>,
    /// Packets that it was the first to bring.
    pub first: u64,
    /// Packets that it brought, also the ones that others had brought.
    pub packets: u64,
    /// Packets that its subscriptions should have brought and did not.
    pub lost: u64,
    /// Subscriptions that ended before the session.
    pub cuts: u32,
    /// The session that it plays, where that is not the one that is recorded.
    pub other: Option<SessionId>,
}

#[derive(Debug)]
pub(super) struct LineState {
    pub(super) dialect: Dialect,
    /// Streams still to be opened.
    pub(super) to_stream: u32,
    /// Streams that were cut off.
    pub(super) cuts: u32,
    pub(super) resend: Option<ConnId>,
    /// Streams that brought nothing at all until their time was up.
    pub(super) silences: u32,
    /// Connections that began with a describe call and brought nothing.
    pub(super) probes_failed: u32,
    /// The highest sequence that it has brought itself.
    pub(super) highest: Seq,
    /// Highest sequence that its heartbeats and ends have said to exist and that was believed.
    pub(super) told: Seq,
    /// Highest last sequence that its descriptions of the session have given, believed or not.
    pub(super) described: Seq,
    /// Last sequence of the session, once it has said that the session is over.
    pub(super) over: Option<Seq>,
    /// Until when an answer to the describe call is waited for.
    pub(super) describe_by: Option<Duration>,
    /// No new connection before this.
    pub(super) retry_at: Duration,
    /// Since when, and how often in a row, connecting has failed.
    pub(super) failing: Option<(Duration, u32)>,
    /// Time in which its exchange is known to have played one session.
    pub(super) spell: Option<ContactPeriod>,
    /// Streams that have ended before the session was settled.
    pub(super) ended: Vec<EndedConnection>,
    /// Resend calls were answered on a connection whose session is not known.
    pub(super) untold_answers: bool,
    pub(super) asker: Resender,
    pub(super) stats: LineStats,
}

impl LineState {
    pub(super) fn new(window: u32) -> Self {
        Self {
            dialect: Dialect::Unknown,
            to_stream: 1,
            cuts: 0,
            resend: None,
            silences: 0,
            probes_failed: 0,
            highest: 0,
            told: 0,
            described: 0,
            over: None,
            describe_by: None,
            retry_at: Duration::ZERO,
            failing: None,
            spell: None,
            ended: Vec::new(),
            untold_answers: false,
            asker: Resender::new(window),
            stats: LineStats::default(),
        }
    }

    /// Returns the highest sequence that it has said to exist, believed or not.
    pub(super) fn claimed(&self) -> Seq {
        self.told.max(self.described)
    }
}
