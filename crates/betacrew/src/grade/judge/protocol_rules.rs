//! How a client behaves towards the exchange.

use crate::grade::observe::evidence::{Evidence, packets};
use crate::grade::observe::wire::{Moment, WireEventKind};
use feed::base::seq::Seq;
use feed::wire::Call;
use std::collections::{BTreeMap, BTreeSet};

/// More connections than this for one small session are a storm.
const CONNECTIONS_MAX: usize = 100;
/// So many resend connections, each for one packet, are one connection a gap.
const ALONE_MIN: usize = 3;

/// Something that a client should not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProtocolRule {
    /// Sends calls after a stream call on its connection.
    AfterStream,
    /// Asks for sequences that the session does not have.
    BeyondEnd,
    /// Asks again for what was answered.
    Twice,
    /// Asks for what is not missing.
    NotMissing,
    /// Resets connections.
    Resets,
    /// Makes a connection for each packet that it asks for.
    ConnectionEach,
    /// Connects over and over.
    Storm,
    /// Kills the original exchange.
    Kills,
    /// Writes what the exchange has not sent.
    MakesUp,
}

impl ProtocolRule {
    /// Those that are looked for in every run, the worst first.
    pub(crate) const ALL: [Self; 7] = [
        Self::AfterStream,
        Self::BeyondEnd,
        Self::Resets,
        Self::Storm,
        Self::NotMissing,
        Self::Twice,
        Self::ConnectionEach,
    ];

    /// What is expected instead.
    pub(crate) const fn expected(self) -> &'static str {
        match self {
            Self::AfterStream => "no call after a stream call on its connection",
            Self::BeyondEnd => "resend calls for sequences of the session only",
            Self::Twice => "no resend call for what was already answered",
            Self::NotMissing => "resend calls for missing packets only",
            Self::Resets => "connections closed without a reset",
            Self::ConnectionEach => "one connection for all resend calls",
            Self::Storm => "a few connections for a session",
            Self::Kills => "an exchange that is still alive",
            Self::MakesUp => "nothing but packets as the exchange has sent them",
        }
    }

    /// What the client did, if it did it.
    pub(crate) fn broken(self, seen: &Evidence) -> Option<String> {
        match self {
            Self::AfterStream => after_stream(seen),
            Self::BeyondEnd => beyond_end(seen),
            Self::Twice => again(seen).0,
            Self::NotMissing => again(seen).1,
            Self::Resets => resets(seen),
            Self::ConnectionEach => connection_each(seen),
            Self::Storm => storm(seen),
            Self::Kills => kills(seen),
            Self::MakesUp => makes_up(seen),
        }
    }
}

fn after_stream(seen: &Evidence) -> Option<String> {
    let real = |call: &Call| !matches!(call, Call::Unknown(_));
    let (conn, call, _) = seen.wire.calls().find(|(_, call, late)| *late && real(call))?;
    let what = match call {
        Call::Resend(seq) => format!("asked for packet {seq}"),
        Call::Stream => "called for a second stream".to_owned(),
        _ => "sent a call".to_owned(),
    };
    Some(format!("it {what} on connection {}, where the stream was", conn + 1))
}

fn beyond_end(seen: &Evidence) -> Option<String> {
    let known = 1..=seen.last();
    let beyond: BTreeSet<Seq> =
        seen.asked().iter().copied().filter(|s| !known.contains(s)).collect();
    (!beyond.is_empty())
        .then(|| format!("it asked for {}; the session has 1 to {}", packets(beyond), seen.last()))
}

/// What was asked for again after an answer, and what was asked for after a stream had brought it.
fn again(seen: &Evidence) -> (Option<String>, Option<String>) {
    let (mut answered, mut streamed) = (BTreeSet::new(), BTreeSet::new());
    let (mut twice, mut needless) = (BTreeSet::new(), BTreeSet::new());
    for (_, _, moment) in seen.wire.history() {
        match moment {
            Moment::Brought { seq, streamed: true } => drop(streamed.insert(seq)),
            Moment::Brought { seq, streamed: false } => drop(answered.insert(seq)),
            Moment::Asked { seq, late: false } => {
                if answered.contains(&seq) {
                    twice.insert(seq);
                } else if streamed.contains(&seq) {
                    needless.insert(seq);
                }
            }
            Moment::Asked { late: true, .. } => {}
        }
    }
    let told = |seqs: BTreeSet<Seq>, what: &str| {
        (!seqs.is_empty()).then(|| format!("it asked for {}{what}", packets(seqs)))
    };
    (told(twice, " again after the answer"), told(needless, ", which a stream had brought"))
}

fn resets(seen: &Evidence) -> Option<String> {
    let mut resets = seen.deeds().filter(|event| event.what == WireEventKind::Reset);
    let first = resets.next()?;
    let state = seen.wire.conns.get(first.conn)?;
    let asked = seen.wire.events.iter().filter(|event| {
        event.conn == first.conn
            && matches!(event.what, WireEventKind::Called { call: Call::Resend(_), late: false })
    });
    let (asked, answered) = (asked.count(), state.frames.len());
    let how = match state.stream_from {
        Some(_) => "in the stream".to_owned(),
        None if answered < asked => format!("with {answered} of {asked} answers sent"),
        None => "with answers unread".to_owned(),
    };
    let more = match resets.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(format!("it reset connection {} {how}{more}", first.conn + 1))
}

fn connection_each(seen: &Evidence) -> Option<String> {
    let mut calls: BTreeMap<usize, BTreeSet<Seq>> = BTreeMap::new();
    for (conn, call, late) in seen.wire.calls() {
        if let (Call::Resend(seq), false) = (call, late) {
            calls.entry(conn).or_default().insert(seq);
        }
    }
    let distinct = seen.asked().len();
    (distinct >= ALONE_MIN && calls.values().all(|seqs| seqs.len() == 1))
        .then(|| format!("it made {} connections to ask for {distinct} packets", calls.len()))
}

fn storm(seen: &Evidence) -> Option<String> {
    let conns = seen.wire.conns.len();
    (conns > CONNECTIONS_MAX).then(|| match seen.wire.forgotten {
        0 => format!("it made {conns} connections"),
        _ => format!("it made more than {conns} connections"),
    })
}

fn kills(seen: &Evidence) -> Option<String> {
    seen.wire.died.then(|| {
        let how = [ProtocolRule::AfterStream, ProtocolRule::BeyondEnd, ProtocolRule::Resets];
        let how = how.into_iter().find_map(|rule| rule.broken(seen));
        let how = how.unwrap_or_else(|| "it is not clear by what".to_owned());
        format!("the exchange died: {how}")
    })
}

fn makes_up(seen: &Evidence) -> Option<String> {
    let sent: BTreeSet<Seq> = seen.streamed().union(seen.resent()).copied().collect();
    let differences = &seen.differences;
    let invented = differences.order.iter().any(|seq| !sent.contains(seq));
    let odd = invented || !differences.made_up.is_empty() || !differences.wrong.is_empty();
    odd.then(|| match differences.summary() {
        summary if invented => format!("a packet that was never sent; {summary}"),
        summary => summary,
    })
}
