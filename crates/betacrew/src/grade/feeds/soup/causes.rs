//! Likely causes of a failure in SoupBinTCP. Each is a pattern in the evidence, and is named only
//! if the whole pattern is there.

use crate::grade::diagnose::{Cause, crashed};
use crate::grade::feeds::conditions::FeedCondition;
use crate::grade::feeds::evidence::FeedEvidence;
use crate::grade::feeds::soup::conversation::{SentKind, SoupConversation};
use crate::grade::feeds::soup::framing::{first_of_read, split_packet};
use crate::grade::feeds::soup::logins::{
    from_the_end, gives_up, no_login, retries_for_ever, waits_for_login,
};
use crate::grade::feeds::soup::rules::{SoupRule, conversations, ends_a_side};
use crate::grade::observe::evidence::{ClientOutput, Evidence};
use crate::grade::observe::wire::WireEventKind;
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::{count, took};
use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::wire::soup::{LoginRequest, kind};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time for which a client does nothing more before it counts as one that has given up.
pub(super) const GAVE_UP_AFTER: Duration = Duration::from_millis(100);

/// Maximum number of rows without a message of the tape that are compared with other packets.
const FOREIGN_MAX: usize = 1000;

/// Evidence of a run, with the connections in their order.
pub(super) struct Run<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) feed: &'a FeedEvidence,
    pub(super) all: Vec<&'a SoupConversation>,
}

/// Function that returns the explanation of one cause, if the evidence has its pattern.
type CauseFinder = fn(&Run<'_>) -> Option<String>;

/// Causes of missing, repeated or wrong messages. The first that matches is named, so causes that
/// explain more come first.
const MESSAGE_CAUSES: &[(&str, CauseFinder)] = &[
    ("from-the-end", from_the_end),
    ("crash", crash),
    ("no-login", no_login),
    ("counts-others", counts_others),
    ("stops-at-others", stops_at_others),
    ("part-kept", part_kept),
    ("first-of-read", first_of_read),
    ("split-packet", split_packet),
    ("accepted-sequence-ignored", accepted_sequence_ignored),
    ("starts-over", starts_over),
    ("mixes-sessions", mixes_sessions),
    ("no-length-ignored", no_length_ignored),
    ("gives-up", gives_up),
    ("waits-for-login", waits_for_login),
    ("waits-in-silence", waits_in_silence),
    ("ends-early", ends_early),
    ("end-ignored", end_ignored),
    ("too-slow", too_slow),
];

/// Causes of failures in which the output has every message.
const END_CAUSES: &[(&str, CauseFinder)] =
    &[("crash", crash), ("end-ignored", end_ignored), ("lingers", lingers)];

/// Causes of failures in which the client should have reported an incomplete recording.
const EXIT_CODE_CAUSES: &[(&str, CauseFinder)] = &[
    ("retries-for-ever", retries_for_ever),
    ("waits-in-silence", waits_in_silence),
    ("always-zero", always_zero),
];

/// Returns the likely cause of a run's failure.
pub(crate) fn cause(
    condition: FeedCondition,
    evidence: &Evidence,
    feed: &FeedEvidence,
) -> Option<Cause> {
    let all = conversations(evidence).into_iter().map(|(_, soup)| soup).collect();
    let run = Run { evidence, feed, all };
    let is_complete = evidence.has_output()
        && feed.differences.is_complete()
        && feed.differences.out_of_order.is_none();
    let broken = match condition {
        FeedCondition::Soup(rule) => Some(rule).filter(|rule| rule.broken(evidence).is_some()),
        _ => None,
    };
    let known: &[(&str, CauseFinder)] = match (broken, condition) {
        (Some(SoupRule::Heartbeats), _) => &[("no-heartbeats", no_heartbeats)],
        (Some(SoupRule::Resume), _) => &[("starts-over", restarts_numbering)],
        (Some(SoupRule::EndIsTheEnd), _) => &[("end-ignored", end_ignored)],
        (Some(SoupRule::Logout), _) => &[("ends-early", ends_early)],
        // Another broken rule explains itself.
        (Some(_), _) => return None,
        (None, FeedCondition::ReportsFailure) if feed.differences.is_right() => EXIT_CODE_CAUSES,
        _ if is_complete => END_CAUSES,
        _ => MESSAGE_CAUSES,
    };
    known.iter().find_map(|(id, finder)| finder(&run).map(|text| Cause { id, text, shown_by: 1 }))
}

/// Returns the names of all causes.
#[cfg(test)]
pub(crate) fn ids() -> BTreeSet<&'static str> {
    let lists = [MESSAGE_CAUSES, END_CAUSES, EXIT_CODE_CAUSES].concat();
    lists.iter().map(|(id, _)| *id).chain(["no-heartbeats"]).collect()
}

impl Run<'_> {
    /// Returns the messages that were sent whole on any connection.
    pub(super) fn sent(&self) -> BTreeSet<Seq> {
        self.all.iter().flat_map(|soup| soup.messages()).map(|(seq, _)| seq).collect()
    }

    /// Returns whether the output has no message that is missing, repeated or under another number.
    pub(super) fn has(&self, seq: Seq) -> bool {
        !self.feed.differences.missing.contains(seq)
    }

    /// Returns whether the output has a message, or a row that begins with it.
    pub(super) fn takes(&self, seq: Seq) -> bool {
        let message = self.feed.tape.message(seq).unwrap_or_default();
        let begins = |row: &Vec<u8>| !message.is_empty() && row.starts_with(message);
        self.has(seq) || self.feed.differences.foreign.iter().any(begins)
    }

    pub(super) fn was_killed(&self) -> bool {
        self.evidence.process.ended == ProcessEnd::Killed
    }

    /// Returns whether the client ended its last connection before the exchange did, after its
    /// login was accepted.
    pub(super) fn has_left(&self) -> bool {
        self.all.last().is_some_and(|soup| soup.accepted().is_some()) && self.ends_first()
    }

    /// Returns whether the client ended its last connection before the exchange did.
    pub(super) fn ends_first(&self) -> bool {
        let last = conversations(self.evidence).last().copied();
        last.is_some_and(|(conn, soup)| self.client_ends(conn, soup))
    }

    /// Returns whether the client ended a connection before the exchange did.
    fn client_ends(&self, conn: usize, soup: &SoupConversation) -> bool {
        let mut events = self.evidence.wire.events.iter();
        let end = events.find(|event| event.conn == conn && ends_a_side(&event.what));
        // An exchange ends the connection at once when the client logs out.
        soup.logged_out_at().is_some()
            || end.is_some_and(|end| {
                matches!(end.what, WireEventKind::ClientEnded | WireEventKind::Reset)
            })
    }

    /// Returns the time at which the exchange ended the last connection, if it was the first to end
    /// it.
    pub(super) fn ended_by_exchange(&self) -> Option<Duration> {
        let (last, _) = conversations(self.evidence).last().copied()?;
        let mut events = self.evidence.events_before_kill();
        let end = events.find(|event| event.conn == last && ends_a_side(&event.what))?;
        let is_client = matches!(end.what, WireEventKind::ClientEnded | WireEventKind::Reset);
        (!is_client).then_some(end.at)
    }

    /// Returns the time of the last event of the client or the exchange before the grader's kill.
    fn last_event(&self) -> Duration {
        self.evidence.events_before_kill().last().map_or(Duration::ZERO, |event| event.at)
    }
}

/// Returns messages as a phrase: `message 5`, `messages 2, 5-7`.
fn messages(set: &SeqSet) -> String {
    let s = if set.count() == 1 { "" } else { "s" };
    format!("message{s} {set:.6}")
}

fn crash(run: &Run<'_>) -> Option<String> {
    crashed(run.evidence, "")
}

/// Returns the name of a packet that is no message.
fn other_name(what: &SentKind) -> Option<&'static str> {
    match what {
        SentKind::Heartbeat => Some("heartbeats"),
        SentKind::Other { kind: kind::DEBUG, .. } => Some("debug packets"),
        SentKind::Other { kind: kind::UNSEQUENCED, .. } => Some("unsequenced messages"),
        SentKind::Other { .. } => Some("packets of unknown types"),
        _ => None,
    }
}

/// Detects that packets which are no messages were written or counted as messages.
fn counts_others(run: &Run<'_>) -> Option<String> {
    // Heartbeats are all the same, and a client may write any number of rows.
    let mut others: BTreeMap<&[u8], &'static str> = BTreeMap::new();
    for packet in run.all.iter().flat_map(|soup| &soup.sent) {
        let payload: &[u8] = match &packet.what {
            SentKind::Other { payload, .. } => payload,
            SentKind::Heartbeat => &[],
            _ => continue,
        };
        if let Some(name) = other_name(&packet.what) {
            others.entry(payload).or_insert(name);
        }
    }
    for row in run.feed.differences.foreign.iter().take(FOREIGN_MAX) {
        let is_same = |payload: &[u8]| {
            row.starts_with(payload) && (row.len() == payload.len() || payload.len() > 200)
        };
        if let Some((_, name)) = others.iter().find(|(payload, _)| is_same(payload)) {
            return Some(format!(
                "it writes {name} as messages: only sequenced data (type S) are messages"
            ));
        }
    }
    counted(run)
}

/// Detects that a client reads no further at a packet that is no message: it requests the message
/// behind that packet again, although more followed.
fn stops_at_others(run: &Run<'_>) -> Option<String> {
    let left_at = |(conn, soup): (usize, &SoupConversation)| {
        let last = soup.sent.last().filter(|last| matches!(last.what, SentKind::Other { .. }))?;
        run.client_ends(conn, soup).then(|| other_name(&last.what)).flatten()
    };
    // Once may be chance.
    let mut left = conversations(run.evidence).into_iter().filter_map(left_at);
    if let (Some(name), Some(_)) = (left.next(), left.next()) {
        return Some(format!(
            "it ended its connections right behind one of the {name}: skip what is no message by \
             its length"
        ));
    }
    let wanted_again = |pair: &[&SoupConversation]| {
        let [one, next] = pair else { return None };
        let (_, login, _) = next.logins().next()?;
        let (seq, wanted) = (login.sequence, SentKind::Message(login.sequence));
        let place = one.sent.iter().position(|packet| packet.what == wanted)?;
        let before = one.sent.get(place.checked_sub(1)?)?;
        let is_other = matches!(before.what, SentKind::Other { .. });
        let name = other_name(&before.what).filter(|_| is_other)?;
        Some((seq, name, place + 1 == one.sent.len()))
    };
    let found: Vec<_> = run.all.windows(2).filter_map(wanted_again).collect();
    // A break may take the last packet, but hardly twice the same one.
    let (seq, name, _) = found.iter().find(|(seq, _, is_last)| {
        !is_last || found.iter().filter(|(other, ..)| other == seq).count() > 1
    })?;
    Some(format!(
        "message {seq} was sent behind one of the {name}, and the client logged in again for it: \
         skip what is no message by its length"
    ))
}

/// Detects that a client numbers messages as if other packets had sequences, too.
fn counted(run: &Run<'_>) -> Option<String> {
    let names = ["heartbeats", "debug packets", "unsequenced messages", "packets of unknown types"];
    let before = |name: &str, soup: &SoupConversation, seq: Seq| {
        let before = soup.sent.iter().take_while(|packet| packet.what != SentKind::Message(seq));
        let same = before.filter(|packet| other_name(&packet.what) == Some(name));
        same.count() as Seq
    };
    let of = |seq| run.all.iter().find(|soup| soup.messages().any(|(sent, _)| sent == seq));
    for name in names {
        // In the output, messages have higher numbers by as many other packets as came before.
        let numbered = run.feed.differences.misnumbered.iter();
        let mut pairs = numbered.filter_map(|wrong| Some((wrong, of(wrong.actual)?)));
        let is_shifted = !run.feed.differences.misnumbered.is_empty()
            && pairs.all(|(wrong, soup)| {
                let count = before(name, soup, wrong.actual);
                count > 0 && wrong.written == wrong.actual + count
            });
        // On the wire, the next login asks for a message that is too high by their number.
        let skipped = run.all.windows(2).any(|pair| {
            let [one, next] = pair else { return false };
            let Some((last, _)) = one.messages().last() else { return false };
            let count = before(name, one, 0);
            let requested = next.logins().next().map(|(_, login, _)| login.sequence);
            count > 0 && requested == Some(last + 1 + count)
        });
        if is_shifted || skipped {
            return Some(format!(
                "it counts {name} as messages: only sequenced data (type S) have sequences"
            ));
        }
    }
    None
}

/// Detects a message that is in the output although only its beginning was received.
fn part_kept(run: &Run<'_>) -> Option<String> {
    let is_part = |row: &Vec<u8>| {
        let whole = (1..=run.feed.tape.last()).find(|seq| {
            let message = run.feed.tape.message(*seq).unwrap_or_default();
            row.len() < message.len() && !row.is_empty() && message.starts_with(row)
        });
        whole.filter(|_| run.all.len() > 1)
    };
    let seq = run.feed.differences.foreign.iter().find_map(is_part)?;
    Some(format!(
        "it writes the first bytes of message {seq}, whose connection ended inside it: only a \
         whole packet is a message"
    ))
}

/// Returns the logins that were accepted, each with the requested and the accepted sequence.
fn shifted_logins<'a>(run: &'a Run<'_>) -> impl Iterator<Item = (Seq, Seq)> + use<'a> {
    run.all.iter().filter_map(|soup| {
        let (_, login, _) = soup.logins().next()?;
        let (_, _, accepted) = soup.accepted()?;
        (login.sequence > 0 && login.sequence != accepted).then_some((login.sequence, accepted))
    })
}

/// Detects that a client counts on from the sequence that it requested, whatever was accepted.
fn accepted_sequence_ignored(run: &Run<'_>) -> Option<String> {
    let differences = &run.feed.differences;
    let (requested, accepted) = shifted_logins(run).find(|(requested, accepted)| {
        let is_numbered = differences.misnumbered.iter().any(|wrong| {
            wrong.written.wrapping_sub(wrong.actual) == requested.wrapping_sub(*accepted)
        });
        let repeated = SeqRange::new(*accepted, requested.saturating_sub(1));
        let is_repeated = repeated
            .is_some_and(|repeated| differences.doubled == [repeated].into_iter().collect());
        is_numbered || is_repeated
    })?;
    Some(format!(
        "it requested message {requested}, was accepted from message {accepted}, and counts from \
         {requested}: the sequence of the acceptance is the one that holds"
    ))
}

/// Detects that a client logs in from the first message again and keeps the copies.
fn starts_over(run: &Run<'_>) -> Option<String> {
    let differences = &run.feed.differences;
    let copies = !differences.doubled.is_empty() || !differences.misnumbered.is_empty();
    restarts_numbering(run).filter(|_| copies).map(|text| text + ", and keeps the copies")
}

/// Detects that a client requests messages again that it has received.
fn restarts_numbering(run: &Run<'_>) -> Option<String> {
    let mut next = 1;
    for soup in &run.all {
        let requested = soup.logins().next().map(|(_, login, _)| login.sequence);
        if let Some(requested) = requested.filter(|requested| *requested < next) {
            return Some(format!(
                "it had messages up to {} and logged in again for message {requested}",
                next - 1
            ));
        }
        next = soup.messages().map(|(seq, _)| seq + 1).fold(next, Seq::max);
    }
    None
}

/// Detects messages of the next session in the output.
fn mixes_sessions(run: &Run<'_>) -> Option<String> {
    let tape = &run.feed.tape;
    let mixed = run.feed.differences.foreign.iter().any(|row| tape.is_of_next_session(row));
    mixed.then(|| {
        "it writes messages of another session behind those of the first: name the session in each \
         further login, and compare the one that is accepted"
            .to_owned()
    })
}

/// Detects a client that keeps a connection behind a length of 0, or reads on behind it.
fn no_length_ignored(run: &Run<'_>) -> Option<String> {
    let last = run.all.last()?;
    let broken = last.sent.iter().find(|packet| packet.what == SentKind::NoLength)?;
    let what = match run.feed.differences.foreign.is_empty() {
        true if run.was_killed() => "kept the connection",
        true => return None,
        false => "took what came behind it for packets",
    };
    Some(format!(
        "a length of 0 came after {}, and the client {what}: nothing behind it can be read, so \
         close the connection and log in again",
        took(broken.at)
    ))
}

/// Detects a client that keeps a connection on which nothing arrives any more.
fn waits_in_silence(run: &Run<'_>) -> Option<String> {
    let last = run.all.last().filter(|_| run.was_killed())?;
    last.accepted().filter(|_| last.ended_at().is_none())?;
    let heard = last.writes.last().map_or(Duration::ZERO, |(at, _)| *at);
    let silence = run.evidence.process.took.saturating_sub(heard);
    // An exchange that has nothing to send still sends heartbeats, one a second.
    (silence > Duration::from_secs(3)).then(|| {
        format!(
            "nothing arrived for {}, not even heartbeats, and it was still waiting: give such a \
             connection up, and log in again",
            took(silence)
        )
    })
}

/// Detects a client that ends although messages still come.
fn ends_early(run: &Run<'_>) -> Option<String> {
    let has_ended = run.all.iter().any(|soup| soup.ended_at().is_some());
    let missing = &run.feed.differences.missing;
    let had = missing.ranges().first()?.first().saturating_sub(1);
    let is_rest = SeqRange::new(had + 1, run.feed.tape.last())
        .is_some_and(|rest| *missing == [rest].into_iter().collect());
    let is_left = matches!(run.evidence.process.ended, ProcessEnd::Exited(_));
    (is_left && is_rest && !has_ended && run.has_left()).then(|| {
        let heartbeats = run.all.iter().flat_map(|soup| &soup.sent);
        let heartbeats = heartbeats.filter(|packet| packet.what == SentKind::Heartbeat).count();
        let idle = match heartbeats {
            0 => String::new(),
            some => format!(" (with {} before)", count(some as u64, "heartbeat")),
        };
        format!(
            "it ends after message {had}{idle}, and no end of the session has come: only that ends \
             a session"
        )
    })
}

/// Detects a client that takes no notice of the end of the session.
fn end_ignored(run: &Run<'_>) -> Option<String> {
    // A client that takes a read for a packet does not see an end behind another packet.
    let hides_end = |soup: &&SoupConversation| {
        let end = soup.sent.iter().find(|packet| packet.what == SentKind::End);
        end.is_some_and(|end| {
            let write = soup.writes.get(soup.writes_of(end).0);
            write.is_some_and(|(_, bytes)| bytes.start != end.bytes.start)
        })
    };
    if run.all.iter().any(hides_end) && !run.feed.differences.is_complete() {
        return None;
    }
    let ended = run.all.iter().filter_map(|soup| soup.ended_at()).min()?;
    let had = run.sent().last().copied().unwrap_or(0);
    // A client that lacks a part of what was sent has not read up to the end.
    let has_read = |login: &LoginRequest| login.sequence <= 1 || login.sequence > had;
    let again = run.all.iter().flat_map(|soup| soup.logins()).find(|(at, ..)| *at > ended);
    if again.is_some_and(|(_, login, _)| !has_read(login)) {
        return None;
    }
    let again = again.is_some();
    let is_alive = matches!(run.evidence.process.ended, ProcessEnd::Killed | ProcessEnd::Lingered);
    if again {
        return Some(
            "it logs in again after the end of the session (type Z): no more messages follow it"
                .to_owned(),
        );
    }
    let waited = run.evidence.process.took.saturating_sub(ended);
    let lasts = is_alive && waited > GAVE_UP_AFTER;
    // A client that has ended its side has noticed the end.
    let leaves = run
        .evidence
        .events_before_kill()
        .any(|event| event.at >= ended && event.what == WireEventKind::ClientEnded);
    // Without an output, the client may not have read the end yet.
    let is_idle = run.feed.differences.is_complete() || run.evidence.process.was_stuck();
    (lasts && !leaves && is_idle).then(|| {
        format!(
            "the end of the session (type Z) came after {}, and the client went on waiting",
            took(ended)
        )
    })
}

fn lingers(run: &Run<'_>) -> Option<String> {
    let is_alive = matches!(run.evidence.process.ended, ProcessEnd::Killed | ProcessEnd::Lingered);
    is_alive.then(|| "it has all messages, and something keeps it running".to_owned())
}

fn no_heartbeats(run: &Run<'_>) -> Option<String> {
    SoupRule::Heartbeats
        .broken(run.evidence)
        .map(|text| format!("{text}; an exchange closes such a connection, typically after 15 s"))
}

fn always_zero(run: &Run<'_>) -> Option<String> {
    (run.evidence.process.ended == ProcessEnd::Exited(0)).then(|| {
        "it ends with exit code 0 although it knows that the session is incomplete".to_owned()
    })
}

fn too_slow(run: &Run<'_>) -> Option<String> {
    let took = run.evidence.process.took;
    let written = match run.feed.output {
        ClientOutput::Found { written, .. } => written.unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let recent = run.last_event().max(written) + Duration::from_millis(1500) > took;
    (run.was_killed() && recent).then(|| {
        format!(
            "{} were not written at the time limit, and it was still active",
            messages(&run.feed.differences.missing)
        )
    })
}
