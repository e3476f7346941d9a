//! Rules about a client's behaviour towards the exchange.

use crate::grade::observe::call_lengths::CallKind;
use crate::grade::observe::evidence::{Evidence, packets};
use crate::grade::observe::wire::{PacketEvent, WireEventKind};
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::took;
use feed::base::seq::Seq;
use feed::wire::Call;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of connections for one small session; the original exchange has no other limit.
const CONNECTIONS_MAX: usize = 100;
/// Maximum number of connections in a row that bring nothing new, if the client never gives up.
const VAIN_MAX: usize = 20;
/// Minimum number of resend connections, each for one packet, that count as one connection a gap.
const ALONE_MIN: usize = 3;

/// Rule that a client can break; each variant names the breach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProtocolRule {
    /// The client sends a call after a stream call on the same connection.
    AfterStream,
    /// The client sends calls of an odd number of bytes, of which the original leaves one over.
    CallLength,
    /// The client requests sequences that the session does not have.
    BeyondEnd,
    /// The client requests a packet again after the answer.
    Twice,
    /// The client requests a packet that was sent in a stream.
    NotMissing,
    /// The client resets connections.
    Resets,
    /// The client makes a connection for each packet that it requests.
    ConnectionEach,
    /// The client makes more than [`CONNECTIONS_MAX`] connections, or goes on making some that
    /// bring nothing new.
    Storm,
    /// The client makes the original exchange die.
    Kills,
    /// The client writes packets that the exchange has not sent.
    MakesUp,
}

impl ProtocolRule {
    /// Rules that are checked in every run, the most harmful first.
    pub(crate) const ALL: [Self; 8] = [
        Self::CallLength,
        Self::AfterStream,
        Self::BeyondEnd,
        Self::Resets,
        Self::Storm,
        Self::NotMissing,
        Self::Twice,
        Self::ConnectionEach,
    ];

    /// Returns the behaviour that the rule expects.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::AfterStream => "no call after a stream call on its connection",
            Self::CallLength => "no call of one, three or five bytes",
            Self::BeyondEnd => "resend calls for sequences of the session only",
            Self::Twice => "no resend call for a packet that was already resent",
            Self::NotMissing => "resend calls for missing packets only",
            Self::Resets => "connections closed without a reset",
            Self::ConnectionEach => "one connection for all resend calls",
            Self::Storm => "a few connections for a session",
            Self::Kills => "an exchange that is still alive",
            Self::MakesUp => "only packets that the exchange has sent",
        }
    }

    /// Describes the breach, if the client broke the rule.
    pub(crate) fn broken(self, evidence: &Evidence) -> Option<String> {
        match self {
            Self::AfterStream => after_stream(evidence),
            Self::CallLength => long_call(evidence).or_else(|| half_call(evidence)),
            Self::BeyondEnd => beyond_end(evidence),
            Self::Twice => repeated_requests(evidence).0,
            Self::NotMissing => repeated_requests(evidence).1,
            Self::Resets => resets(evidence),
            Self::ConnectionEach => connection_each(evidence),
            Self::Storm => storm(evidence),
            Self::Kills => kills_exchange(evidence),
            Self::MakesUp => made_up_packets(evidence),
        }
    }
}

fn after_stream(evidence: &Evidence) -> Option<String> {
    let real = |call: &Call| !matches!(call, Call::Unknown(_));
    let (conn, call, _) = evidence.wire.calls().find(|(_, call, late)| *late && real(call))?;
    let what = match call {
        Call::Resend(seq) => format!("requested packet {seq}"),
        Call::Stream => "called for a second stream".to_owned(),
        _ => "sent a call".to_owned(),
    };
    Some(format!("it {what} on connection {}, after the stream call", conn + 1))
}

/// Describes the calls of three or five bytes.
pub(crate) fn long_call(evidence: &Evidence) -> Option<String> {
    let conns = evidence.wire.conns.iter().enumerate();
    let mut long = conns.filter_map(|(conn, state)| {
        Some((conn, state.long_call.filter(|call| call.is_harmful())?))
    });
    let (conn, call) = long.next()?;
    let kind = match call.kind {
        CallKind::Stream => "stream",
        CallKind::Resend => "resend",
    };
    let more = match long.count() {
        0 => String::new(),
        more => format!(", and calls on {more} more are too long as well"),
    };
    Some(format!(
        "its {kind} call on connection {} has {} bytes{more}: a call has two, and the original \
         exchange reads two at a time, so that one is left over and spoils the calls after it",
        conn + 1,
        call.len
    ))
}

/// Describes the calls of one byte.
pub(crate) fn half_call(evidence: &Evidence) -> Option<String> {
    let mut halves = evidence.wire.conns.iter().enumerate().filter(|(_, state)| state.half_call);
    let (conn, state) = halves.next()?;
    let call = if state.stream_from.is_some() { "stream" } else { "last" };
    let more = match halves.count() {
        0 => String::new(),
        more => format!(", and on {more} more"),
    };
    // A longer read has bytes that belong to no call, such as a number of 32 bits.
    let has = match state.read_len {
        len if state.stream_from.is_none() && len > 2 => format!("{len} bytes in one read"),
        _ => "one byte".to_owned(),
    };
    Some(format!(
        "its {call} call on connection {} has {has}{more}, which the original exchange never \
         answers",
        conn + 1
    ))
}

fn beyond_end(evidence: &Evidence) -> Option<String> {
    let known = 1..=evidence.last();
    let beyond: BTreeSet<Seq> =
        evidence.requested().iter().copied().filter(|s| !known.contains(s)).collect();
    (!beyond.is_empty()).then(|| {
        format!("it requested {}; the session has 1 to {}", packets(beyond), evidence.last())
    })
}

/// Describes the packets requested again after an answer, and those requested after a stream had
/// had sent them.
fn repeated_requests(evidence: &Evidence) -> (Option<String>, Option<String>) {
    let (mut answered, mut streamed) = (BTreeSet::new(), BTreeSet::new());
    let (mut twice, mut needless) = (BTreeSet::new(), BTreeSet::new());
    for (_, _, packet_event) in evidence.wire.packet_events() {
        match packet_event {
            PacketEvent::Sent { seq, streamed: true } => drop(streamed.insert(seq)),
            PacketEvent::Sent { seq, streamed: false } => drop(answered.insert(seq)),
            PacketEvent::Requested { seq, late: false } => {
                if answered.contains(&seq) {
                    twice.insert(seq);
                } else if streamed.contains(&seq) {
                    needless.insert(seq);
                }
            }
            PacketEvent::Requested { late: true, .. } => {}
        }
    }
    let describe = |seqs: BTreeSet<Seq>, what: &str| {
        (!seqs.is_empty()).then(|| format!("it requested {}{what}", packets(seqs)))
    };
    (
        describe(twice, " again after the answer"),
        describe(needless, ", already received in a stream"),
    )
}

fn resets(evidence: &Evidence) -> Option<String> {
    let mut resets =
        evidence.events_before_kill().filter(|event| event.what == WireEventKind::Reset);
    let first = resets.next()?;
    let state = evidence.wire.conns.get(first.conn)?;
    let requested = evidence.wire.events.iter().filter(|event| {
        event.conn == first.conn
            && matches!(event.what, WireEventKind::Called { call: Call::Resend(_), late: false })
    });
    let (requested, answered) = (requested.count(), state.frames.len());
    let how = match state.stream_from {
        Some(_) => "in the stream".to_owned(),
        None if answered < requested => format!("with {answered} of {requested} answers sent"),
        None => "with answers unread".to_owned(),
    };
    let more = match resets.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(format!("it reset connection {} {how}{more}", first.conn + 1))
}

fn connection_each(evidence: &Evidence) -> Option<String> {
    let mut calls: BTreeMap<usize, BTreeSet<Seq>> = BTreeMap::new();
    for (conn, call, late) in evidence.wire.calls() {
        if let (Call::Resend(seq), false) = (call, late) {
            calls.entry(conn).or_default().insert(seq);
        }
    }
    let distinct = evidence.requested().len();
    (distinct >= ALONE_MIN && calls.values().all(|seqs| seqs.len() == 1))
        .then(|| format!("it made {} connections to request {distinct} packets", calls.len()))
}

fn storm(evidence: &Evidence) -> Option<String> {
    let conns = evidence.wire.conns.len();
    if conns > CONNECTIONS_MAX {
        return Some(match evidence.wire.not_kept {
            0 => format!("it made {conns} connections"),
            _ => format!("it made more than {conns} connections"),
        });
    }
    // A client that ends by itself, however late, has given up.
    let vain = vain_connections(evidence);
    let goes_on = evidence.process.ended == ProcessEnd::Killed && vain > VAIN_MAX;
    goes_on.then(|| {
        format!(
            "it made {conns} connections in {}, the last {vain} of which brought nothing new, and \
             did not give up",
            took(evidence.process.took)
        )
    })
}

/// Returns the number of connections behind the last one that brought a packet for the first time.
fn vain_connections(evidence: &Evidence) -> usize {
    let mut seen = BTreeSet::new();
    let news = evidence.wire.packet_events().filter_map(|(_, conn, event)| match event {
        PacketEvent::Sent { seq, .. } => seen.insert(seq).then_some(conn),
        PacketEvent::Requested { .. } => None,
    });
    let last = news.max().map_or(0, |conn| conn + 1);
    evidence.wire.conns.len().saturating_sub(last)
}

fn kills_exchange(evidence: &Evidence) -> Option<String> {
    evidence.wire.exchange_died.then(|| {
        let how = [ProtocolRule::AfterStream, ProtocolRule::BeyondEnd];
        let how = how.into_iter().find_map(|rule| rule.broken(evidence));
        let how = how.or_else(|| long_call(evidence).filter(|_| ends_in_long_calls(evidence)));
        let how = how.or_else(|| resets(evidence)).or_else(|| long_call(evidence));
        let how = how.unwrap_or_else(|| "no rule explains it".to_owned());
        format!("the exchange died: {how}")
    })
}

/// Returns whether the original exchange takes the client's long calls for others that kill it: a
/// number of 32 bits begins with a 0, and packet 0 does not exist.
fn ends_in_long_calls(evidence: &Evidence) -> bool {
    let mut long = evidence.wire.conns.iter().filter_map(|state| state.long_call);
    long.any(|call| call.kind == CallKind::Resend && call.is_harmful())
}

fn made_up_packets(evidence: &Evidence) -> Option<String> {
    let sent: BTreeSet<Seq> = evidence.streamed().union(evidence.resent()).copied().collect();
    let differences = &evidence.differences;
    let never_sent = differences.order.iter().any(|seq| !sent.contains(seq));
    let is_broken = never_sent || !differences.made_up.is_empty() || !differences.wrong.is_empty();
    is_broken.then(|| match differences.summary() {
        summary if never_sent => format!("a packet that was never sent; {summary}"),
        summary => summary,
    })
}
