//! Log of the datagrams of one run in MoldUDP64.

use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::wire::mold::{Content, Datagram, Request, Session};
use std::time::Duration;

/// Maximum number of events kept; further events are only counted.
const EVENTS_MAX: usize = 100_000;

/// Event of a line or its request server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MoldEvent {
    /// Time since the exchange began.
    pub(crate) at: Duration,
    /// Index of the line.
    pub(crate) line: usize,
    /// Kind of the event.
    pub(crate) what: MoldEventKind,
}

/// Kind of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum MoldEventKind {
    /// The client has a socket on the line's port.
    Joined,
    /// The line sent a datagram.
    Sent(DatagramKind),
    /// The client sent a request.
    Requested(RequestKind),
    /// The request server sent an answer.
    Answered(DatagramKind),
}

/// Datagram of the exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DatagramKind {
    /// Messages of the session.
    Messages(SeqRange),
    /// Heartbeat, with the sequence of the next message.
    Heartbeat(Seq),
    /// End of the session, with the sequence behind the last message.
    End(Seq),
    /// Datagram under the name of another session.
    OtherSession(Option<SeqRange>),
    /// Datagram that no receiver may believe: cut short, of random bytes or far away.
    Damaged,
}

/// Datagram that the client sent to a request server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RequestKind {
    /// Request for messages of the session.
    Messages(SeqRange),
    /// Request for messages of which some are behind the last one.
    Beyond(SeqRange),
    /// Request that no server answers, described as a noun.
    Wrong(String),
}

/// Log of all lines of one run.
#[derive(Clone, Debug)]
pub(crate) struct MoldLog {
    /// Session that the exchange plays.
    session: Session,
    /// Last sequence of the tape.
    last: Seq,
    /// Events in the order of time.
    pub(crate) events: Vec<MoldEvent>,
    /// Number of events that were not kept.
    pub(crate) not_kept: u64,
    /// Ports of the lines.
    pub(crate) ports: Vec<u16>,
}

impl MoldLog {
    /// Returns an empty log of an exchange that plays `last` messages of a session on these ports.
    pub(crate) fn new(session: Session, last: Seq, ports: Vec<u16>) -> Self {
        Self { session, last, events: Vec::new(), not_kept: 0, ports }
    }

    /// Adds an event, or counts it if there are too many.
    pub(crate) fn add(&mut self, at: Duration, line: usize, what: MoldEventKind) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(MoldEvent { at, line, what });
        } else {
            self.not_kept += 1;
        }
    }

    /// Returns the last sequence of the tape.
    pub(crate) fn last_seq(&self) -> Seq {
        self.last
    }

    /// Returns the kind of a datagram of the exchange.
    pub(crate) fn kind_of(&self, datagram: &[u8]) -> DatagramKind {
        let Ok(datagram) = Datagram::parse(datagram) else { return DatagramKind::Damaged };
        let range = SeqRange::counted(datagram.sequence(), datagram.count().into());
        if datagram.session() != self.session {
            return DatagramKind::OtherSession(range);
        }
        match (datagram.content(), range) {
            (Content::Heartbeat, _) => DatagramKind::Heartbeat(datagram.sequence()),
            (Content::EndOfSession, _) => DatagramKind::End(datagram.sequence()),
            (Content::Messages(_), Some(range)) if range.last() <= self.last => {
                DatagramKind::Messages(range)
            }
            (Content::Messages(_), _) => DatagramKind::Damaged,
        }
    }

    /// Returns the kind of a datagram of the client.
    pub(crate) fn request_of(&self, datagram: &[u8]) -> RequestKind {
        match Request::parse(datagram) {
            Err(error) => RequestKind::Wrong(format!("a datagram that is no request: {error}")),
            Ok(request) if request.session != self.session => RequestKind::Wrong(format!(
                "a request for another session, \"{}\"",
                request.session
            )),
            Ok(request) => match SeqRange::counted(request.sequence, request.count.into()) {
                Some(range) if range.last() <= self.last => RequestKind::Messages(range),
                Some(range) => RequestKind::Beyond(range),
                None => RequestKind::Wrong(format!(
                    "a request for {} messages from {}, which are none",
                    request.count, request.sequence
                )),
            },
        }
    }

    /// Returns the datagrams of messages that the lines sent to which the client listens, with
    /// their times.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (Duration, SeqRange)> {
        let heard: Vec<bool> = (0..self.ports.len()).map(|line| self.listens(line)).collect();
        self.events.iter().filter_map(move |event| match event.what {
            MoldEventKind::Sent(DatagramKind::Messages(range))
                if heard.get(event.line) == Some(&true) =>
            {
                Some((event.at, range))
            }
            _ => None,
        })
    }

    /// Returns the datagrams of messages that answered requests, with their times.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (Duration, SeqRange)> {
        self.events.iter().filter_map(|event| match event.what {
            MoldEventKind::Answered(DatagramKind::Messages(range)) => Some((event.at, range)),
            _ => None,
        })
    }

    /// Returns the requests for messages of the session, with their times.
    pub(crate) fn requested(&self) -> impl Iterator<Item = (Duration, SeqRange)> {
        self.events.iter().filter_map(|event| match event.what {
            MoldEventKind::Requested(RequestKind::Messages(range)) => Some((event.at, range)),
            _ => None,
        })
    }

    /// Returns the time of the first announcement of the end behind the last message.
    pub(crate) fn ended_at(&self) -> Option<Duration> {
        let is_end = |what: &MoldEventKind| match what {
            MoldEventKind::Sent(DatagramKind::End(next)) => *next == self.last + 1,
            _ => false,
        };
        self.events.iter().find(|event| is_end(&event.what)).map(|event| event.at)
    }

    /// Returns whether the client listens to a line, as far as is known.
    pub(crate) fn listens(&self, line: usize) -> bool {
        let joins = |line| {
            move |event: &MoldEvent| event.line == line && event.what == MoldEventKind::Joined
        };
        let is_known = self.events.iter().any(joins(0));
        !is_known || self.events.iter().any(joins(line))
    }

    /// Returns whether the client has sent a request to the server of a line.
    pub(crate) fn asks(&self, line: usize) -> bool {
        let mut of_line = self.events.iter().filter(|event| event.line == line);
        of_line.any(|event| matches!(event.what, MoldEventKind::Requested(_)))
    }

    /// Returns the messages that no line has sent to which the client listens.
    pub(crate) fn gaps(&self) -> SeqSet {
        let mut gaps: SeqSet = SeqRange::new(1, self.last).into_iter().collect();
        self.sent().for_each(|(_, range)| gaps.remove(range));
        gaps
    }
}
