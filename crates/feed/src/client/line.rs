//! One line: a redundant source of the session.

use super::ConnId;
use super::lines::LineProtocol;
use super::mold::{MoldLine, MoldStats};
use super::session::{ContactPeriod, EndedStream};
use super::soup::{SoupLine, SoupStats};
use crate::base::seq::Seq;
use crate::client::resend::Resender;
use crate::wire::{Info, Protocol, SessionId};
use alloc::vec::Vec;
use core::time::Duration;

/// Protocol of a line's exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    /// Protocol not known yet.
    Unknown,
    /// Original protocol.
    Classic,
    /// Extension.
    Extended,
    /// SoupBinTCP, over which nothing can be requested beside the stream.
    Soup,
    /// MoldUDP64, whose lines have no connections.
    Mold,
}

/// Counters of a line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LineStats {
    /// Protocol of the line.
    pub protocol: Protocol,
    /// Counters of a line that speaks SoupBinTCP.
    pub soup: SoupStats,
    /// Counters of a line that speaks MoldUDP64.
    pub mold: MoldStats,
    /// True if a connection to the line was ever opened.
    pub reached: bool,
    /// True if the line was given up.
    pub given_up: bool,
    /// Time at which bytes last arrived on the line, from the recorder's start.
    pub last_heard: Option<Duration>,
    /// Time since which every attempt to connect has failed, from the recorder's start.
    pub unreachable_since: Option<Duration>,
    /// Latest description by the line's exchange, if it speaks the extension or has accepted a
    /// SoupBinTCP login.
    pub info: Option<Info>,
    /// Packets that arrived on this line first.
    pub first: u64,
    /// Packets that arrived on this line, duplicates included.
    pub packets: u64,
    /// Packets that were missed by the line's subscriptions.
    pub missed: u64,
    /// Subscriptions that ended before the session.
    pub cuts: u32,
    /// Session that the line plays, if it is not the recorded one.
    pub other_session: Option<SessionId>,
}

/// State of a line.
#[derive(Debug)]
pub(super) struct LineState {
    /// Protocol of the line's exchange.
    pub(super) dialect: Dialect,
    /// Number of streams still to be opened.
    pub(super) streams_to_open: u32,
    /// Number of consecutive streams that were cut off.
    pub(super) cut_streams: u32,
    /// Connection for resends, if there is one.
    pub(super) resend: Option<ConnId>,
    /// Number of streams that delivered nothing until they timed out.
    pub(super) silent_streams: u32,
    /// Number of connections that began with a describe call and delivered nothing.
    pub(super) failed_describes: u32,
    /// Highest sequence that arrived on this line.
    pub(super) highest: Seq,
    /// Highest sequence that heartbeats and ends of this line reported and that was believed.
    pub(super) reported_end: Seq,
    /// Highest last sequence in descriptions of this line, believed or not.
    pub(super) described_end: Seq,
    /// Last sequence of the session, once the line has reported that the session is over.
    pub(super) session_end: Option<Seq>,
    /// Time until which the recorder waits for the answer to a describe call.
    pub(super) describe_deadline: Option<Duration>,
    /// Time before which no connection is opened.
    pub(super) retry_at: Duration,
    /// Time since which connecting fails, and the number of consecutive failures.
    pub(super) connect_failures: Option<(Duration, u32)>,
    /// Period in which the line's exchange is known to have played one session.
    pub(super) contact: Option<ContactPeriod>,
    /// Streams that ended before the session was adopted.
    pub(super) ended_streams: Vec<EndedStream>,
    /// True if resends were recorded from a connection whose session is not known.
    pub(super) unattributed_answers: bool,
    /// Requests for resends.
    pub(super) resender: Resender,
    /// Logins of a line that speaks SoupBinTCP.
    pub(super) soup: Option<SoupLine>,
    /// Datagrams of a line that speaks MoldUDP64.
    pub(super) mold: Option<MoldLine>,
    /// Counters.
    pub(super) stats: LineStats,
}

impl LineState {
    pub(super) fn new(window: u32, protocol: LineProtocol) -> Self {
        let (dialect, soup, mold) = match protocol {
            LineProtocol::Betacrew => (Dialect::Unknown, None, None),
            LineProtocol::Soup(login) => (Dialect::Soup, Some(SoupLine::new(login)), None),
            LineProtocol::Mold(_) => (Dialect::Mold, None, Some(MoldLine::new())),
        };
        let mut resender = Resender::new(window);
        resender.given_up = dialect != Dialect::Unknown;
        Self {
            dialect,
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
            resender,
            soup,
            mold,
            stats: LineStats { protocol: protocol.protocol(), ..LineStats::default() },
        }
    }

    /// Returns the highest sequence that the line has reported to exist, believed or not.
    pub(super) fn claimed(&self) -> Seq {
        self.reported_end.max(self.described_end)
    }
}
