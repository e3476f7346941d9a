//! Likely causes of a failure in MoldUDP64. Each is a pattern in the evidence, and is named only if
//! the whole pattern is there.

use crate::grade::diagnose::{Cause, crashed};
use crate::grade::feeds::conditions::FeedCondition;
use crate::grade::feeds::evidence::FeedEvidence;
use crate::grade::feeds::mold::log::{DatagramKind, MoldEventKind, MoldLog, RequestKind};
use crate::grade::feeds::mold::rules::MoldRule;
use crate::grade::observe::evidence::Evidence;
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::took;
use feed::base::seq::{Seq, SeqRange, SeqSet};
use std::collections::BTreeMap;
use std::time::Duration;

/// Time before the end of a client from which on a datagram may not have been read.
const UNREAD: Duration = Duration::from_millis(50);

/// Minimum silence of a line that a client should take for its end: heartbeats come each second.
const SILENCE_MIN: Duration = Duration::from_secs(3);

/// Evidence of a run.
struct Run<'a> {
    evidence: &'a Evidence,
    feed: &'a FeedEvidence,
    log: &'a MoldLog,
    /// Messages that no line has sent.
    gaps: SeqSet,
    /// Messages that the client requested.
    requested: SeqSet,
    /// Messages that were sent as an answer.
    answered: SeqSet,
}

/// Function that returns the explanation of one cause, if the evidence has its pattern.
type CauseFinder = fn(&Run<'_>) -> Option<String>;

/// Causes of missing, repeated or wrong messages. The first that matches is named, so causes that
/// explain more come first.
const MESSAGE_CAUSES: &[(&str, CauseFinder)] = &[
    ("crash", crash),
    ("heartbeat-as-message", heartbeat_as_message),
    ("end-as-count", end_as_count),
    ("other-session-kept", next_session_kept),
    ("damaged-kept", damaged_kept),
    ("end-believed", end_believed),
    ("stops-in-silence", stops_in_silence),
    ("first-of-datagram", first_of_datagram),
    ("damaged-counted", damaged_counted),
    ("never-requests", never_requests),
    ("first-gap-only", first_gap_only),
    ("start-unseen", start_unseen),
    ("tail-unseen", tail_unseen),
    ("one-server-only", one_server_only),
    ("partial-answer", partial_answer),
    ("not-asked-again", not_asked_again),
    ("answers-unread", answers_unread),
    ("duplicates-kept", duplicates_kept),
    ("arrival-order", arrival_order),
    ("end-ignored", end_ignored),
    ("too-slow", too_slow),
];

/// Causes of failures in which the output has every message.
const END_CAUSES: &[(&str, CauseFinder)] = &[
    ("crash", crash),
    ("end-as-count", end_as_count),
    ("arrival-order", arrival_order),
    ("end-ignored", end_ignored),
];

/// Causes of failures in which the client should have reported an incomplete recording.
const EXIT_CODE_CAUSES: &[(&str, CauseFinder)] = &[
    ("never-gives-up", never_gives_up),
    ("waits-in-silence", waits_in_silence),
    ("always-zero", always_zero),
];

/// Returns the likely cause of a run's failure.
pub(crate) fn cause(
    condition: FeedCondition,
    evidence: &Evidence,
    feed: &FeedEvidence,
    log: &MoldLog,
) -> Option<Cause> {
    let set = |ranges: &mut dyn Iterator<Item = (Duration, SeqRange)>| {
        let mut set = SeqSet::new();
        ranges.for_each(|(_, range)| set.insert(range));
        set
    };
    let requested = set(&mut log.requested());
    let answered = set(&mut log.answered());
    let run = Run { evidence, feed, log, gaps: log.gaps(), requested, answered };
    let is_complete = evidence.has_output() && feed.differences.is_complete();
    let broken = match condition {
        FeedCondition::Mold(rule) => Some(rule).filter(|rule| rule.broken(evidence).is_some()),
        _ => None,
    };
    let known: &[(&str, CauseFinder)] = match (broken, condition) {
        (Some(MoldRule::OtherSession), _) => &[("other-session-kept", other_session_kept)],
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
pub(crate) fn ids() -> std::collections::BTreeSet<&'static str> {
    let lists = [MESSAGE_CAUSES, END_CAUSES, EXIT_CODE_CAUSES].concat();
    lists.iter().map(|(id, _)| *id).chain(["other-session-kept"]).collect()
}

impl Run<'_> {
    fn has(&self, seq: Seq) -> bool {
        !self.feed.differences.missing.contains(seq)
    }

    /// Returns whether a datagram of the exchange was damaged.
    fn has_damaged(&self) -> bool {
        self.log.events.iter().any(|event| {
            matches!(
                event.what,
                MoldEventKind::Sent(DatagramKind::Damaged)
                    | MoldEventKind::Answered(DatagramKind::Damaged)
            )
        })
    }

    fn missing(&self) -> &SeqSet {
        &self.feed.differences.missing
    }

    /// Returns whether the client ended by itself.
    fn has_left(&self) -> bool {
        matches!(self.evidence.process.ended, ProcessEnd::Exited(_) | ProcessEnd::Signal(_))
    }

    /// Returns whether the client lives until the grader kills it.
    fn was_killed(&self) -> bool {
        matches!(self.evidence.process.ended, ProcessEnd::Killed | ProcessEnd::Lingered)
    }

    /// Returns the missing messages that a line sent in a datagram of the session.
    fn missing_although_sent(&self) -> SeqSet {
        let mut sent = self.missing().clone();
        self.gaps.ranges().iter().for_each(|range| sent.remove(*range));
        sent
    }
}

/// Returns messages as a phrase: `message 5 was`, `messages 2, 5-7 were`.
fn with_verb(set: &SeqSet) -> String {
    match set.count() {
        1 => format!("message {set:.6} was"),
        _ => format!("messages {set:.6} were"),
    }
}

fn crash(run: &Run<'_>) -> Option<String> {
    crashed(run.evidence, "")
}

/// Detects that a heartbeat or an end of session is in the output.
fn heartbeat_as_message(run: &Run<'_>) -> Option<String> {
    let is_empty = run.feed.differences.foreign.iter().any(Vec::is_empty);
    let has_empty = (1..=run.feed.tape.last())
        .any(|seq| run.feed.tape.message(seq).is_some_and(<[u8]>::is_empty));
    // A datagram that was cut short may have left such a row, too.
    (is_empty && !has_empty && !run.has_damaged()).then(|| {
        "it writes a message of 0 bytes for a datagram without messages: a count of 0 is a \
         heartbeat, and one of 65,535 the end of the session"
            .to_owned()
    })
}

/// Detects that a client expects 65,535 messages of the end of the session.
fn end_as_count(run: &Run<'_>) -> Option<String> {
    let last = run.feed.tape.last();
    let ended = run.log.ended_at()?;
    let beyond = run.log.events.iter().any(|event| {
        let is_beyond = matches!(event.what, MoldEventKind::Requested(RequestKind::Beyond(_)));
        is_beyond && ended <= event.at
    });
    // A damaged datagram may have any sequence, which a client may believe.
    (beyond && !run.has_damaged()).then(|| {
        format!(
            "it requests messages above {last}, the last one: a count of 65,535 is the end of the \
             session, not a number of messages"
        )
    })
}

/// Detects contents of damaged datagrams in the output.
fn damaged_kept(run: &Run<'_>) -> Option<String> {
    let is_wrong =
        !run.feed.differences.foreign.is_empty() || !run.feed.differences.misnumbered.is_empty();
    (run.has_damaged() && is_wrong).then(|| {
        "it writes what is in damaged datagrams: check that the count and the lengths fill a \
         datagram exactly before taking anything out of it"
            .to_owned()
    })
}

/// Detects a client that takes the sequence and the count of damaged datagrams.
fn damaged_counted(run: &Run<'_>) -> Option<String> {
    let asks =
        |range: &SeqRange| run.requested.ranges().iter().any(|r| r.intersect(*range).is_some());
    let unasked = !run.missing().ranges().iter().any(asks);
    let is_gap = run.missing_although_sent().is_empty() && !run.missing().is_empty();
    (run.has_damaged() && is_gap && unasked).then(|| {
        format!(
            "{} in damaged datagrams, and not requested: take nothing from such a datagram, not \
             even its sequence and count",
            with_verb(run.missing())
        )
    })
}

/// Detects a client that ends in a silence of the line.
fn stops_in_silence(run: &Run<'_>) -> Option<String> {
    let left = run.evidence.process.took;
    let is_before_end = run.log.ended_at().is_none();
    let sent = run.log.events.iter().filter(|event| matches!(event.what, MoldEventKind::Sent(_)));
    let last = sent.map(|event| event.at).filter(|at| *at < left).max()?;
    let tail = run.missing().ranges().last().copied();
    let is_rest = tail.is_some_and(|tail| tail.last() == run.feed.tape.last());
    (run.has_left() && is_before_end && is_rest).then(|| {
        format!(
            "it ended {} after the last datagram, and the session had not ended: a line may be \
             silent, and only a count of 65,535 ends a session",
            took(left.saturating_sub(last))
        )
    })
}

/// Detects a client that believes an end of session which messages follow.
fn end_believed(run: &Run<'_>) -> Option<String> {
    let early = run.log.events.iter().find(|event| {
        matches!(event.what, MoldEventKind::Sent(DatagramKind::End(next))
            if next <= run.feed.tape.last())
    })?;
    let MoldEventKind::Sent(DatagramKind::End(next)) = early.what else { return None };
    let rest: SeqSet = SeqRange::new(next, run.feed.tape.last()).into_iter().collect();
    let lacks_rest = rest.ranges().iter().all(|range| run.missing().covers(*range));
    (run.has_left() && lacks_rest).then(|| {
        format!(
            "it ended at an end of session before message {next}, although messages followed it"
        )
    })
}

/// Detects a client that takes only the first message of a datagram.
fn first_of_datagram(run: &Run<'_>) -> Option<String> {
    let sent: Vec<SeqRange> = run.log.sent().chain(run.log.answered()).map(|(_, r)| r).collect();
    let (mut firsts, mut others) = (SeqSet::new(), SeqSet::new());
    for range in &sent {
        firsts.insert(SeqRange::one(range.first()));
        SeqRange::new(range.first() + 1, range.last()).into_iter().for_each(|r| others.insert(r));
    }
    firsts.ranges().iter().for_each(|range| others.remove(*range));
    let all_lack = !others.is_empty() && others.ranges().iter().all(|r| run.missing().covers(*r));
    let first_there = sent.iter().filter(|range| run.has(range.first())).count();
    (all_lack && first_there * 10 >= sent.len() * 9).then(|| {
        "it takes only the first message of a datagram: the count says how many there are, each \
         behind its length"
            .to_owned()
    })
}

/// Detects a client that requests nothing.
fn never_requests(run: &Run<'_>) -> Option<String> {
    let is_gap = !run.gaps.is_empty() && run.missing_although_sent().is_empty();
    let nothing =
        !run.log.events.iter().any(|event| matches!(event.what, MoldEventKind::Requested(_)));
    // A gap at the start or at the end may be one that the client does not see.
    let last = run.feed.tape.last();
    let is_inside = |gap: &SeqRange| gap.first() > 1 && gap.last() < last;
    let has_inside = run.gaps.ranges().iter().any(is_inside);
    let is_certain = has_inside && !run.has_damaged() && !run.missing().is_empty();
    (is_gap && nothing && is_certain).then(|| {
        format!("{} dropped and not requested: the client requests nothing", with_verb(&run.gaps))
    })
}

/// Detects a client that requests its first gap and no other.
fn first_gap_only(run: &Run<'_>) -> Option<String> {
    let [first, rest @ ..] = run.gaps.ranges() else { return None };
    let is_first = run.requested.ranges().iter().any(|r| r.intersect(*first).is_some());
    let others =
        rest.iter().all(|gap| run.requested.ranges().iter().all(|r| r.intersect(*gap).is_none()));
    (is_first && !rest.is_empty() && others).then(|| {
        format!(
            "it requested the first gap (from message {}), and none of the {} others",
            first.first(),
            rest.len()
        )
    })
}

/// Detects a client that takes the first message that it receives for the first of the session.
fn start_unseen(run: &Run<'_>) -> Option<String> {
    let first = run.gaps.ranges().first().filter(|range| range.first() == 1)?;
    let start: SeqSet = std::iter::once(*first).collect();
    (*run.missing() == start && !run.requested.contains(1)).then(|| {
        format!(
            "{} dropped and not requested: a session begins with message 1, whatever comes first",
            with_verb(&start)
        )
    })
}

/// Detects a client that does not notice that the last messages are missing.
fn tail_unseen(run: &Run<'_>) -> Option<String> {
    let tail = run.gaps.ranges().last().filter(|r| r.last() == run.feed.tape.last())?;
    let set: SeqSet = std::iter::once(*tail).collect();
    let unasked = run.requested.ranges().iter().all(|r| r.intersect(*tail).is_none());
    (*run.missing() == set && unasked).then(|| {
        format!(
            "{} dropped and not requested: no later message shows such a gap, but the heartbeats \
             and the end of the session have the next sequence",
            with_verb(&set)
        )
    })
}

/// Detects a client that asks only a request server that never answers.
fn one_server_only(run: &Run<'_>) -> Option<String> {
    let lines = run.log.ports.len();
    let asked: Vec<usize> = (0..lines).filter(|line| run.log.asks(*line)).collect();
    let [only] = asked[..] else { return None };
    (lines > 1 && run.answered.is_empty() && !run.missing().is_empty()).then(|| {
        format!(
            "it requested messages only from the server of line {}, which answered nothing: the \
             server of the other line has the same messages",
            only + 1
        )
    })
}

/// Detects a client that does not request the rest of a partial answer.
fn partial_answer(run: &Run<'_>) -> Option<String> {
    let answers: Vec<SeqRange> = run.log.answered().map(|(_, range)| range).collect();
    let (_, partial, rest) = run.log.requested().find_map(|(at, range)| {
        let answer =
            answers.iter().find(|a| a.first() == range.first() && a.last() < range.last())?;
        let rest = SeqRange::new(answer.last() + 1, range.last())?;
        let lacks = run.missing().covers(rest);
        let again = run.log.requested().any(|(later, r)| later > at && r.first() == rest.first());
        (lacks && !again).then_some((at, *answer, rest))
    })?;
    Some(format!(
        "a request from message {} was answered with messages up to {}, and the rest (up to {}) \
         not requested again: an answer is one datagram",
        partial.first(),
        partial.last(),
        rest.last()
    ))
}

/// Detects a client that does not repeat a request that was not answered.
fn not_asked_again(run: &Run<'_>) -> Option<String> {
    let mut times: BTreeMap<Seq, u32> = BTreeMap::new();
    for (_, range) in run.log.requested() {
        *times.entry(range.first()).or_insert(0) += 1;
    }
    let unanswered = run.log.requested().map(|(_, range)| range.first()).find(|seq| {
        run.missing().contains(*seq) && !run.answered.contains(*seq) && times.get(seq) == Some(&1)
    })?;
    Some(format!(
        "its request from message {unanswered} was not answered, and not repeated: requests and \
         answers are datagrams, and may get lost"
    ))
}

/// Detects a client that does not take the answers that it requested.
fn answers_unread(run: &Run<'_>) -> Option<String> {
    let left = run.evidence.process.took.saturating_sub(UNREAD);
    let mut read = SeqSet::new();
    run.log.answered().filter(|(at, _)| *at < left).for_each(|(_, range)| read.insert(range));
    let unread = run.missing().ranges().iter().all(|range| read.covers(*range));
    let is_answered = unread && !run.missing().is_empty() && run.missing_although_sent().is_empty();
    is_answered.then(|| {
        format!(
            "{} requested and sent as an answer, and did not come into the output",
            with_verb(run.missing())
        )
    })
}

/// Detects a client that keeps each copy of a message.
fn duplicates_kept(run: &Run<'_>) -> Option<String> {
    let doubled = &run.feed.differences.doubled;
    if doubled.is_empty() {
        return None;
    }
    let mut times: BTreeMap<Seq, u32> = BTreeMap::new();
    for (_, range) in run.log.sent().chain(run.log.answered()) {
        (range.first()..=range.last()).for_each(|seq| *times.entry(seq).or_insert(0) += 1);
    }
    let mut all = doubled.ranges().iter().flat_map(|range| range.first()..=range.last());
    all.all(|seq| times.get(&seq).is_some_and(|times| *times > 1))
        .then(|| format!("{} sent more than once, and it keeps each copy", with_verb(doubled)))
}

/// Detects a client that writes messages as they arrive.
fn arrival_order(run: &Run<'_>) -> Option<String> {
    let (seq, before) = run.feed.differences.out_of_order?;
    (run.feed.differences.is_complete()).then(|| {
        format!(
            "it writes messages in the order of their arrival: {seq} stands after {before}; hold \
             back what comes behind a gap, or sort before writing"
        )
    })
}

/// Detects a client that takes no notice of the end of the session.
fn end_ignored(run: &Run<'_>) -> Option<String> {
    // What a damaged datagram makes a client expect is not known.
    let ended = run.log.ended_at().filter(|_| run.was_killed() && !run.has_damaged())?;
    let waited = run.evidence.process.took.saturating_sub(ended);
    let is_all_sent = run.missing().is_empty() || run.missing_although_sent() == *run.missing();
    (is_all_sent && waited > Duration::from_secs(1)).then(|| {
        format!(
            "the end of the session (count 65,535) came after {}, and the client went on for {}",
            took(ended),
            took(waited)
        )
    })
}

fn other_session_kept(run: &Run<'_>) -> Option<String> {
    MoldRule::OtherSession
        .broken(run.evidence)
        .map(|text| text + ": compare the session of each datagram with that of the first")
}

/// Detects messages of the session that follows on the line.
fn next_session_kept(run: &Run<'_>) -> Option<String> {
    let tape = &run.feed.tape;
    run.feed.differences.foreign.iter().any(|row| tape.is_of_next_session(row)).then(|| {
        "it writes messages of the session that follows on the line: compare the session of each \
         datagram with that of the first"
            .to_owned()
    })
}

fn never_gives_up(run: &Run<'_>) -> Option<String> {
    let unanswered = run.requested.ranges().iter().find(|range| !run.answered.covers(**range))?;
    run.was_killed().then(|| {
        format!(
            "it requested message {} until it was killed, and no answer came: give a message up \
             after some tries",
            unanswered.first()
        )
    })
}

/// Detects a client that waits for a line which has nothing of the session any more.
fn waits_in_silence(run: &Run<'_>) -> Option<String> {
    let is_of_session = |what: &MoldEventKind| {
        matches!(
            what,
            MoldEventKind::Sent(
                DatagramKind::Messages(_) | DatagramKind::Heartbeat(_) | DatagramKind::End(_)
            )
        )
    };
    let heard = run.log.events.iter().rev().find(|event| is_of_session(&event.what))?;
    let silence = run.evidence.process.took.saturating_sub(heard.at);
    // A client that nothing can wake any more is killed early.
    let is_long = silence > SILENCE_MIN || run.evidence.process.was_stuck();
    (run.was_killed() && run.log.ended_at().is_none() && is_long).then(|| {
        format!(
            "nothing of the session arrived after {}, not even heartbeats, and it went on waiting",
            took(heard.at)
        )
    })
}

fn always_zero(run: &Run<'_>) -> Option<String> {
    (run.evidence.process.ended == ProcessEnd::Exited(0))
        .then(|| "it ends with exit code 0 although messages are missing".to_owned())
}

fn too_slow(run: &Run<'_>) -> Option<String> {
    let took = run.evidence.process.took;
    let is_recent = |at: Duration| at + Duration::from_secs(1) > took;
    let asks = run.log.requested().any(|(at, _)| at < took && is_recent(at));
    (run.was_killed() && asks).then(|| {
        format!(
            "{} missing at the time limit, and it was still requesting",
            with_verb(run.missing())
        )
    })
}
