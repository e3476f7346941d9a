//! Causes in the search for gaps: which missing packets a client notices.

use super::ending;
use super::hypotheses::CaseRun;
use crate::grade::observe::evidence::{Evidence, packets, packets_with_verb};
use crate::grade::observe::wire::{PacketEvent, packet_of};
use crate::grade::run::process::ProcessEnd;
use feed::base::seq::Seq;
use std::collections::BTreeSet;

/// Number of packets in a session of the original exercise.
pub(super) const EXERCISE_LEN: Seq = 14;

/// Returns the gaps that the client did not request and that its output misses.
pub(super) fn unrequested_gaps(evidence: &Evidence) -> BTreeSet<Seq> {
    let requested = evidence.asked();
    evidence
        .gaps()
        .iter()
        .copied()
        .filter(|seq| !requested.contains(seq) && evidence.output_lacks(*seq))
        .collect()
}

/// Returns whether the client could see its gaps: its output has every packet sent in a
/// stream. Without an output, a client that was killed may still have been reading, so it does not
/// count. One that computes until it is killed does not come to its search.
pub(super) fn could_see_gaps(evidence: &Evidence) -> bool {
    let streamed = evidence.streamed();
    let kept = match evidence.has_output() {
        true => streamed.iter().all(|seq| !evidence.output_lacks(*seq)),
        false => evidence.process.ended != ProcessEnd::Killed,
    };
    !streamed.is_empty() && kept && ending::spins(evidence).is_none()
}

/// Detects that the client requested no packet although its stream had gaps.
pub(super) fn never_asks(evidence: &Evidence) -> Option<String> {
    let gaps = evidence.gaps();
    // A gap at the beginning alone is the cause `first-gap-unseen`.
    let inner = gaps.iter().any(|seq| *seq > first_streamed(evidence));
    let none = evidence.asked().is_empty() && evidence.wire.streams() == 1;
    let missing = evidence.has_output() && gaps.iter().any(|seq| evidence.output_lacks(*seq));
    (none && inner && missing && could_see_gaps(evidence)).then(|| {
        format!(
            "{} missing, and no request for a packet arrived from the client",
            packets_with_verb(gaps.iter().copied())
        )
    })
}

/// Returns the lowest sequence sent in a stream; 0 if there is none.
pub(super) fn first_streamed(evidence: &Evidence) -> Seq {
    evidence.streamed().first().copied().unwrap_or(0)
}

/// Detects that the client did not notice that packets before the first received one are missing.
pub(super) fn first_gap(evidence: &Evidence) -> Option<String> {
    let first = first_streamed(evidence);
    let requested = evidence.asked();
    let unrequested_gaps: Vec<Seq> = (1..first).filter(|seq| !requested.contains(seq)).collect();
    let all = unrequested_gaps.len() == usize::try_from(first.saturating_sub(1)).unwrap_or(0);
    let others_requested =
        evidence.gaps().iter().all(|seq| *seq < first || requested.contains(seq))
            && requested.range(..first).next().is_none();
    let missing = unrequested_gaps.iter().all(|seq| evidence.output_lacks(*seq));
    (!unrequested_gaps.is_empty() && all && others_requested && missing && could_see_gaps(evidence))
        .then(|| {
            format!(
                "{} missing and not requested: the client takes the first packet that it receives \
                 ({first}) for the first of the session",
                packets_with_verb(unrequested_gaps)
            )
        })
}

/// Detects that the client requested every gap but the last, which is directly before the last
/// packet.
pub(super) fn last_gap(evidence: &Evidence) -> Option<String> {
    let (gaps, unrequested_gaps, requested) =
        (evidence.gaps(), unrequested_gaps(evidence), evidence.asked());
    let only = unrequested_gaps.iter().next().filter(|_| unrequested_gaps.len() == 1)?;
    let last = gaps.last() == Some(only) && *only + 1 == evidence.highest();
    let rest = gaps.iter().filter(|seq| *seq != only).all(|seq| requested.contains(seq));
    // A client with the cause `counts-packets` would not have requested this one.
    let beyond = gaps.iter().any(|seq| requested.contains(seq) && *seq > streamed_count(evidence));
    (last && rest && beyond && could_see_gaps(evidence)).then(|| {
        format!(
            "packet {only}, directly before the last one, was missing and not requested: the \
             client's search for gaps ends one too early"
        )
    })
}

/// Returns the number of packets sent in streams.
pub(super) fn streamed_count(evidence: &Evidence) -> Seq {
    Seq::try_from(evidence.streamed().len()).unwrap_or(Seq::MAX)
}

/// Detects that the client searched for gaps up to the number of packets instead of the highest
/// sequence.
pub(super) fn counts_packets(evidence: &Evidence) -> Option<String> {
    let (gaps, unrequested_gaps, requested, streamed_count) =
        (evidence.gaps(), unrequested_gaps(evidence), evidence.asked(), streamed_count(evidence));
    let low = |seq: &&Seq| **seq < streamed_count;
    let right = gaps.iter().filter(low).all(|seq| requested.contains(seq))
        && unrequested_gaps.iter().all(|seq| *seq >= streamed_count)
        && gaps
            .iter()
            .filter(|seq| **seq > streamed_count)
            .all(|seq| unrequested_gaps.contains(seq));
    // A client with the cause `last-gap-unseen` would have requested this one.
    let more = unrequested_gaps.iter().any(|seq| *seq + 1 < evidence.highest());
    let some = gaps.iter().any(|seq| *seq < streamed_count) || evidence.asked().contains(&0);
    (right && more && some && could_see_gaps(evidence)).then(|| {
        format!(
            "{} missing and not requested: the client searches for gaps up to {streamed_count}, \
             the number of packets received, instead of up to {}, the highest sequence",
            packets_with_verb(unrequested_gaps),
            evidence.highest()
        )
    })
}

/// Detects that the client searched for gaps up to the packet received last, which is not the
/// highest one.
pub(super) fn last_for_highest(evidence: &Evidence) -> Option<String> {
    let (gaps, unrequested_gaps, requested) =
        (evidence.gaps(), unrequested_gaps(evidence), evidence.asked());
    let (_, last) = evidence.wire.streamed().last()?;
    let right = last < evidence.highest()
        && !unrequested_gaps.is_empty()
        && unrequested_gaps.iter().all(|seq| *seq > last)
        && gaps.iter().filter(|seq| **seq < last).all(|seq| requested.contains(seq));
    (right && could_see_gaps(evidence)).then(|| {
        format!(
            "{} missing and not requested: the client searches for gaps up to {last}, the packet \
             received last, instead of up to {}, the highest sequence",
            packets_with_verb(unrequested_gaps),
            evidence.highest()
        )
    })
}

/// Returns whether all packets that an output misses are above the one that arrived last.
pub(super) fn may_stop_at_the_last(evidence: &Evidence) -> bool {
    let sent = evidence.wire.packet_events().filter_map(|(_, _, event)| match event {
        PacketEvent::Sent { seq, .. } => Some(seq),
        PacketEvent::Requested { .. } => None,
    });
    let Some(last) = sent.last() else { return false };
    let mut lacking = evidence.gaps().iter().filter(|seq| evidence.output_lacks(**seq)).peekable();
    evidence.has_output()
        && last < evidence.highest()
        && lacking.peek().is_some()
        && lacking.all(|seq| *seq > last)
}

/// Detects that the client requested the neighbours of the missing packets.
pub(super) fn off_by_one(evidence: &Evidence) -> Option<String> {
    let (gaps, requested) = (evidence.gaps(), evidence.asked());
    let shifted = |by: i64| -> BTreeSet<Seq> {
        gaps.iter().filter_map(|seq| seq.checked_add_signed(by)).collect()
    };
    let wrong =
        !gaps.is_empty() && gaps.iter().all(|seq| evidence.output_lacks(*seq)) && requested != gaps;
    let off = [(-1, "below"), (1, "above")].into_iter().find(|(by, _)| *requested == shifted(*by));
    let (_, side) = off.filter(|_| wrong)?;
    Some(format!(
        "{} missing, and the client requested {}: one {side}",
        packets_with_verb(gaps.iter().copied()),
        packets(requested.iter().copied())
    ))
}

/// Detects that the client assumes that every session has 14 packets.
pub(super) fn fixed_length(evidence: &Evidence) -> Option<String> {
    let (requested, last) = (evidence.asked(), evidence.last());
    let beyond: BTreeSet<Seq> = requested.iter().copied().filter(|seq| *seq > last).collect();
    if last < EXERCISE_LEN && (last + 1..=EXERCISE_LEN).all(|seq| beyond.contains(&seq)) {
        return Some(format!(
            "the client requested {}, which the session does not have: it assumes that every \
             session has {EXERCISE_LEN} packets",
            packets(beyond)
        ));
    }
    // A client that waits for the answer to this request makes no further ones.
    if last < EXERCISE_LEN && beyond.contains(&(last + 1)) && !evidence.has_output() {
        return Some(format!(
            "the client requested packet {}, which the session does not have: it does not learn \
             the session's length from the packets",
            last + 1
        ));
    }
    let (low, high): (Vec<Seq>, Vec<Seq>) =
        evidence.gaps().iter().copied().partition(|seq| *seq <= EXERCISE_LEN);
    let unrequested_gaps = unrequested_gaps(evidence);
    let stops = !low.is_empty()
        && !high.is_empty()
        && low.iter().all(|seq| requested.contains(seq))
        && high.iter().all(|seq| unrequested_gaps.contains(seq));
    (stops && could_see_gaps(evidence)).then(|| {
        format!(
            "{} not requested, those up to {EXERCISE_LEN} were: the client assumes that every \
             session has {EXERCISE_LEN} packets",
            packets_with_verb(high)
        )
    })
}

/// Detects that the client requested nothing although packets before the first received one were
/// missing. In this run alone that is also the pattern of an unseen first gap.
pub(super) fn asks_nothing(evidence: &Evidence) -> Option<String> {
    let missing: Vec<Seq> =
        evidence.gaps().iter().copied().filter(|seq| evidence.output_lacks(*seq)).collect();
    let none = evidence.asked().is_empty() && evidence.wire.streams() == 1;
    (evidence.has_output() && none && !missing.is_empty() && could_see_gaps(evidence)).then(|| {
        format!(
            "{} missing, and no request for a packet arrived from the client",
            packets_with_verb(missing)
        )
    })
}

/// Detects that the client's search for gaps does not begin at the first sequence.
pub(super) fn search_starts_late(evidence: &Evidence) -> Option<String> {
    let unrequested = unrequested_gaps(evidence);
    let last = *unrequested.last()?;
    let begins = (1..=last).all(|seq| unrequested.contains(&seq));
    let rest = evidence.gaps().iter().all(|seq| *seq <= last || evidence.asked().contains(seq));
    let start = last + 1;
    (begins && rest && start < EXERCISE_LEN && could_see_gaps(evidence)).then(|| {
        format!(
            "{} missing and not requested: the client's search for gaps begins at {start} and not \
             at 1, the first sequence of a session",
            packets_with_verb(unrequested)
        )
    })
}

/// Returns whether the client notices gaps in some run, or no run has a gap behind the first
/// received packet. A client that never requests any has no search that begins at the wrong place.
pub(super) fn asks_elsewhere(claimed: &Evidence, runs: &[CaseRun<'_>]) -> bool {
    let has_inner = |evidence: &Evidence| {
        evidence.gaps().iter().any(|seq| *seq > first_streamed(evidence))
            && could_see_gaps(evidence)
    };
    // A client that always streams again does not do so because of a gap.
    let streams_once = claimed.wire.streams() == 1;
    let is_noticed =
        runs.iter().any(|run| asks(run.evidence) || streams_once && streams_for_gaps(run.evidence));
    is_noticed || !runs.iter().any(|run| has_inner(run.evidence))
}

/// Returns whether the client called for another stream after one with a gap behind its first
/// packet, instead of requesting what was missing.
fn streams_for_gaps(evidence: &Evidence) -> bool {
    let conns = &evidence.wire.conns;
    let first = conns.iter().find(|conn| conn.stream_from.is_some());
    let seqs: Vec<Seq> =
        first.into_iter().flat_map(|conn| &conn.frames).filter_map(packet_of).collect();
    evidence.wire.streams() > 1 && seqs.windows(2).any(|pair| pair[1] > pair[0] + 1)
}

/// Returns whether the client requested any packet, even where the exchange does not answer.
pub(super) fn asks(evidence: &Evidence) -> bool {
    !evidence.asked().is_empty()
}

/// Returns whether the client requested a packet before the first that it had received.
pub(super) fn asks_before_the_first(evidence: &Evidence) -> bool {
    evidence.asked().range(1..first_streamed(evidence).max(1)).next().is_some()
}

/// Returns whether the client requested a packet below the one at which its search for gaps seemed
/// to begin in another run.
pub(super) fn asks_below(claimed: &Evidence, other: &Evidence) -> bool {
    let start = unrequested_gaps(claimed).last().copied().unwrap_or(0) + 1;
    other.gaps().range(1..start).any(|seq| other.asked().contains(seq))
}

/// Returns whether the client requested the packet directly before the last one.
pub(super) fn asks_before_the_last(evidence: &Evidence) -> bool {
    let before = evidence.highest().saturating_sub(1);
    evidence.gaps().contains(&before) && evidence.asked().contains(&before)
}

/// Returns whether the client requested a gap above the number of packets received.
pub(super) fn asks_above_the_count(evidence: &Evidence) -> bool {
    let above = evidence.gaps().range(streamed_count(evidence) + 1..);
    above.into_iter().any(|seq| evidence.asked().contains(seq))
}

/// Returns whether the client requested a gap above the packet received last.
pub(super) fn asks_above_the_last(evidence: &Evidence) -> bool {
    let Some((_, last)) = evidence.wire.streamed().last() else { return false };
    evidence.gaps().range(last + 1..).any(|seq| evidence.asked().contains(seq))
}

/// Returns whether the client requested missing packets and no others.
pub(super) fn asks_for_gaps(evidence: &Evidence) -> bool {
    asks(evidence) && evidence.asked().is_subset(evidence.gaps())
}

/// Returns whether the client requested packets beyond the end of a session that is shorter than
/// usual.
pub(super) fn may_assume_length(evidence: &Evidence) -> bool {
    let last = evidence.last();
    last < EXERCISE_LEN && evidence.asked().contains(&(last + 1))
}

/// Returns whether the client shows that it does not assume the length that another run seemed to
/// show: it stays within a shorter session, or requests gaps of a longer one.
pub(super) fn learns_the_length(claimed: &Evidence, other: &Evidence) -> bool {
    let is_beyond = claimed.asked().range(claimed.last() + 1..).next().is_some();
    if is_beyond {
        // A client that requests one packet too many of the usual session assumes no length.
        let one_more = other.last() == EXERCISE_LEN && other.asked().contains(&(EXERCISE_LEN + 1));
        let stays = asks(other)
            && other.last() < EXERCISE_LEN
            && other.has_output()
            && other.asked().range(other.last() + 1..).next().is_none();
        return one_more || stays;
    }
    other.gaps().range(EXERCISE_LEN + 1..).any(|seq| other.asked().contains(seq))
}
