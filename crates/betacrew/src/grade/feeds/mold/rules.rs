//! Rules of MoldUDP64 that a client can break without a trace in its output.

use crate::grade::feeds::mold::log::{DatagramKind, MoldEventKind, MoldLog, RequestKind};
use crate::grade::observe::evidence::Evidence;
use crate::text::formatting::took;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Time that a datagram may take to be read. A request before is no request for a known message.
const READ_MAX: Duration = Duration::from_millis(100);
/// Maximum number of requests for a message within a second.
const REPEATS_MAX: usize = 60;

/// Rule of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MoldRule {
    /// Requests are well formed, for this session and for messages that it has.
    LegalRequests,
    /// Only missing messages are requested.
    OnlyMissing,
    /// A request is not repeated over and over.
    NoStorm,
    /// Messages dropped at the end are requested as soon as a heartbeat shows them.
    TailByHeartbeat,
    /// Messages under the name of another session are requested from this one.
    OtherSession,
}

impl MoldRule {
    /// All rules.
    pub(crate) const ALL: [Self; 5] = [
        Self::LegalRequests,
        Self::OnlyMissing,
        Self::NoStorm,
        Self::TailByHeartbeat,
        Self::OtherSession,
    ];

    /// Returns what the rule expects, as a noun.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::LegalRequests => "requests of 20 bytes, for messages of this session",
            Self::OnlyMissing => "requests for missing messages only",
            Self::NoStorm => "pauses between requests for the same message",
            Self::TailByHeartbeat => "a request for the last messages before the session ends",
            Self::OtherSession => "no message from datagrams of another session",
        }
    }

    /// Describes what a client has not done by which the rule could be judged, as a clause; `None`
    /// if it has.
    pub(crate) fn not_shown(self, evidence: &Evidence) -> Option<String> {
        let log = evidence.wire.mold.as_ref()?;
        let asks = (0..log.ports.len()).any(|line| log.asks(line));
        match self {
            Self::LegalRequests | Self::OnlyMissing | Self::NoStorm if !asks => {
                Some("it sent no request".to_owned())
            }
            _ => None,
        }
    }

    /// Describes how a client breaks the rule, as a clause; `None` if it does not.
    pub(crate) fn broken(self, evidence: &Evidence) -> Option<String> {
        let log = evidence.wire.mold.as_ref()?;
        match self {
            Self::LegalRequests => log.events.iter().find_map(|event| match &event.what {
                MoldEventKind::Requested(RequestKind::Wrong(what)) => {
                    Some(format!("it sends {what}"))
                }
                MoldEventKind::Requested(RequestKind::Beyond(range)) => Some(format!(
                    "it sends {}, and the session has {}",
                    beyond(*range),
                    log.last_seq()
                )),
                _ => None,
            }),
            Self::OnlyMissing => needless(log),
            Self::NoStorm => storm(log),
            Self::TailByHeartbeat => late_tail(log),
            Self::OtherSession => other_session(evidence, log),
        }
    }
}

/// Returns a request for messages that do not exist as a noun.
pub(crate) fn beyond(range: SeqRange) -> String {
    format!("a request for {} messages from {}", range.len(), range.first())
}

/// Describes messages of the output that came only under the name of another session.
fn other_session(evidence: &Evidence, log: &MoldLog) -> Option<String> {
    let feed = evidence.feed.as_ref()?;
    let mut foreign = SeqSet::new();
    for event in &log.events {
        if let MoldEventKind::Sent(DatagramKind::OtherSession(Some(range))) = event.what {
            foreign.insert(range);
        }
    }
    log.sent().chain(log.answered()).for_each(|(_, range)| foreign.remove(range));
    feed.differences.missing.ranges().iter().for_each(|range| foreign.remove(*range));
    (evidence.has_output() && !foreign.is_empty())
        .then(|| format!("it took messages {foreign:.6} from datagrams of another session"))
}

/// Describes a request for messages that the client had received.
fn needless(log: &MoldLog) -> Option<String> {
    let mut had: Vec<(Duration, SeqRange)> = log.sent().chain(log.answered()).collect();
    had.sort_by_key(|(at, _)| *at);
    let mut had = had.into_iter().peekable();
    let mut known = SeqSet::new();
    for (at, range) in log.requested() {
        while let Some((_, range)) = had.next_if(|(sent, _)| *sent + READ_MAX < at) {
            known.insert(range);
        }
        if known.covers(range) {
            let what = match range.first() == range.last() {
                true => format!("message {}", range.first()),
                false => format!("messages {}-{}", range.first(), range.last()),
            };
            return Some(format!("it requested {what} although it had received them"));
        }
    }
    None
}

/// Describes a message that was requested over and over.
fn storm(log: &MoldLog) -> Option<String> {
    let mut recent: HashMap<Seq, VecDeque<Duration>> = HashMap::new();
    for (at, range) in log.requested() {
        let times = recent.entry(range.first()).or_default();
        times.push_back(at);
        while times.front().is_some_and(|first| *first + Duration::from_secs(1) <= at) {
            times.pop_front();
        }
        if times.len() > REPEATS_MAX {
            let (seq, times) = (range.first(), times.len());
            return Some(format!(
                "it requested message {seq} more than {} times within a second",
                times - 1
            ));
        }
    }
    None
}

/// Describes that no dropped message at the end was requested before the end was announced.
fn late_tail(log: &MoldLog) -> Option<String> {
    let gaps = log.gaps();
    let tail = gaps.ranges().last().copied().filter(|range| range.last() == log.last_seq())?;
    let shows = MoldEventKind::Sent(DatagramKind::Heartbeat(log.last_seq() + 1));
    let heartbeat = log.events.iter().find(|event| event.what == shows)?.at;
    let ended = log.ended_at().unwrap_or(Duration::MAX);
    let in_time = log.requested().any(|(at, range)| at < ended && range.intersect(tail).is_some());
    (!in_time).then(|| {
        format!(
            "a heartbeat showed after {} that messages {}-{} had been sent, and it requested none \
             of them before the session ended",
            took(heartbeat),
            tail.first(),
            tail.last()
        )
    })
}
