//! Causes that show in which of the received packets the output has.

use super::hypotheses::CaseRun;
use super::{framing, leaving};
use crate::grade::observe::evidence::{ClientOutput, Evidence, packets};
use crate::grade::observe::wire::{PacketEvent, packet_of};
use feed::base::seq::{Seq, to_index};
use feed::wire::packet::Packet;
use feed::wire::{Frame, decode};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the packets that the exchange sent, in the order of their first arrival.
pub(super) fn arrivals(evidence: &Evidence) -> Vec<Seq> {
    let mut seen = BTreeSet::new();
    let sent = evidence.wire.packet_events().filter_map(|(_, _, event)| match event {
        PacketEvent::Sent { seq, .. } => Some(seq),
        PacketEvent::Requested { .. } => None,
    });
    sent.filter(|seq| (1..=evidence.last()).contains(seq) && seen.insert(*seq)).collect()
}

/// Returns the packets that the exchange sent, in the order of their last arrival.
fn last_arrivals(evidence: &Evidence) -> Vec<Seq> {
    let sent: Vec<Seq> = evidence
        .wire
        .packet_events()
        .filter_map(|(_, _, event)| match event {
            PacketEvent::Sent { seq, .. } => Some(seq),
            PacketEvent::Requested { .. } => None,
        })
        .collect();
    let mut seen = BTreeSet::new();
    let known = 1..=evidence.last();
    let is_last = |seq: &Seq| known.contains(seq) && seen.insert(*seq);
    let mut last: Vec<Seq> = sent.into_iter().rev().filter(is_last).collect();
    last.reverse();
    last
}

/// Returns whether the output has a packet.
pub(super) fn is_kept(evidence: &Evidence, seq: Seq) -> bool {
    evidence.has_output() && (1..=evidence.last()).contains(&seq) && !evidence.output_lacks(seq)
}

/// Detects that the client keeps nothing behind the first gap of a stream.
pub(super) fn stops_at_gap(evidence: &Evidence) -> Option<String> {
    let gap = *evidence.gaps().first()?;
    let behind: Vec<Seq> = evidence.streamed().range(gap + 1..=evidence.last()).copied().collect();
    let kept_before = (1..gap).all(|seq| is_kept(evidence, seq));
    let none_behind = behind.iter().all(|seq| evidence.output_lacks(*seq));
    (evidence.has_output() && kept_before && none_behind && behind.len() > 1).then(|| {
        format!(
            "packet {gap} was dropped, and none of {} that arrived after it was kept: a gap must \
             not end the reading of the stream",
            packets(behind)
        )
    })
}

/// Returns whether the output has no more than the packets that arrived in the order of their
/// sequences, and some arrived out of it.
pub(super) fn may_stop(evidence: &Evidence) -> bool {
    let mut next = 1;
    let mut out_of_order = 0;
    for seq in arrivals(evidence) {
        match seq == next {
            true => next += 1,
            false => out_of_order += 1,
        }
        if seq >= next && is_kept(evidence, seq) {
            return false;
        }
    }
    evidence.has_output() && evidence.differences.made_up.is_empty() && out_of_order > 0
}

/// Detects that the output has only what arrived last, because each read or each connection
/// overwrites the file.
pub(super) fn overwrites(evidence: &Evidence) -> Option<String> {
    let arrived = last_arrivals(evidence);
    let first_kept = arrived.iter().position(|seq| is_kept(evidence, *seq))?;
    let (before, kept) = arrived.split_at(first_kept);
    // A client that misses only the first packet has another mistake.
    let is_rest = before.len() > 1 && kept.iter().all(|seq| is_kept(evidence, *seq));
    let resent_only = kept.iter().all(|seq| !evidence.streamed().contains(seq));
    is_rest.then(|| {
        let what = if resent_only { "the answers overwrite" } else { "each read overwrites" };
        format!(
            "the output has only {}, which arrived last: {what} what the client had before",
            packets(kept.iter().copied())
        )
    })
}

/// Returns whether an output lacks the packet that arrived first and has the one that arrived last,
/// or only packets that arrived together, as that of a client that overwrites its output.
pub(super) fn may_overwrite(evidence: &Evidence) -> bool {
    let arrived = last_arrivals(evidence);
    let kept: Vec<usize> =
        (0..arrived.len()).filter(|place| is_kept(evidence, arrived[*place])).collect();
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return false };
    // If the writes overtake each other, the last one is not that of the last read.
    let is_one_read = last - first + 1 == kept.len() && kept.len() * 2 < arrived.len();
    *first > 0 && (last + 1 == arrived.len() || is_one_read)
}

/// Detects that the client never takes the last packet of a connection.
pub(super) fn last_unread(evidence: &Evidence) -> Option<String> {
    let missing: Vec<Seq> = arrivals(evidence)
        .into_iter()
        .filter(|seq| evidence.output_lacks(*seq) && evidence.has_output())
        .collect();
    let lasts: BTreeSet<Seq> = last_of_streams(evidence).collect();
    let streamed: Vec<Seq> = missing.iter().copied().filter(|seq| lasts.contains(seq)).collect();
    let only = streamed.len() == 1 && missing.len() == 1 && evidence.streamed().len() > 2;
    only.then(|| {
        format!(
            "packet {} arrived complete as the last one of its stream, and only this one was not \
             kept: the client leaves the last bytes in its buffer",
            missing[0]
        )
    })
}

/// Returns the last packet of each stream.
pub(super) fn last_of_streams(evidence: &Evidence) -> impl Iterator<Item = Seq> {
    // A later packet of the connection replaces an earlier one.
    evidence.wire.streamed().collect::<BTreeMap<usize, Seq>>().into_values()
}

/// Detects that the client wrote its output before it had taken all that it had received.
pub(super) fn rest_unread(evidence: &Evidence) -> Option<String> {
    let arrived = arrivals(evidence);
    let kept = arrived.iter().take_while(|seq| is_kept(evidence, **seq)).count();
    let rest = &arrived[kept..];
    let none = rest.iter().all(|seq| evidence.output_lacks(*seq));
    let is_clean = evidence.differences.made_up.is_empty();
    (evidence.has_output() && is_clean && kept > 0 && none && rest.len() > 1).then(|| {
        format!(
            "the output has the first {kept} packets that arrived, and none of {}: it was written \
             before the client had taken all that it had received",
            packets(rest.iter().copied())
        )
    })
}

/// Detects that the client kept the last copy of a packet instead of the first.
pub(super) fn last_copy(evidence: &Evidence) -> Option<String> {
    let mut copies: BTreeMap<Seq, Vec<Packet>> = BTreeMap::new();
    for frame in evidence.wire.conns.iter().flat_map(|conn| &conn.frames) {
        if let Ok(Frame::Packet(packet)) = decode(frame) {
            copies.entry(packet.sequence).or_default().push(packet);
        }
    }
    evidence.differences.wrong.iter().find_map(|wrong| {
        let (first, later) = copies.get(&wrong.seq)?.split_first()?;
        let actual = wrong.actual.as_ref()?;
        let is_later = later.iter().any(|copy| wrong.field.expected(copy) == *actual);
        (is_later && wrong.field.expected(first) == wrong.expected).then(|| {
            format!(
                "packet {} was sent twice, with the {} {} and then {actual}, and the client kept \
                 the last copy: the first one counts",
                wrong.seq,
                wrong.field.name(),
                wrong.expected
            )
        })
    })
}

/// Property of a packet for which a client rejects it, although it is valid.
#[derive(Clone, Copy)]
pub(super) struct RejectRule {
    /// Rule as a phrase behind "packets".
    pub(super) text: &'static str,
    /// Returns whether the rule rejects a packet.
    pub(super) rejects: fn(&Packet) -> bool,
}

/// Symbols of the original exercise.
const SYMBOLS: [&[u8]; 4] = [b"AAPL", b"META", b"MSFT", b"AMZN"];

/// Rules by which clients reject packets; those that reject fewer packets come first.
pub(super) const REJECT_RULES: [RejectRule; 11] = [
    RejectRule { text: "with a negative price", rejects: |packet| packet.price < 0 },
    RejectRule { text: "with a negative quantity", rejects: |packet| packet.quantity < 0 },
    RejectRule {
        text: "with a negative price or quantity",
        rejects: |packet| packet.price < 0 || packet.quantity < 0,
    },
    RejectRule { text: "with a price of 0", rejects: |packet| packet.price == 0 },
    RejectRule { text: "with a quantity of 0", rejects: |packet| packet.quantity == 0 },
    RejectRule { text: "with a price of 0 or less", rejects: |packet| packet.price <= 0 },
    RejectRule { text: "with a quantity of 0 or less", rejects: |packet| packet.quantity <= 0 },
    RejectRule {
        text: "with a price or a quantity of 0 or less",
        rejects: |packet| packet.price <= 0 || packet.quantity <= 0,
    },
    RejectRule {
        text: "with a symbol of less than four characters",
        rejects: |packet| packet.symbol.trimmed().len() < 4,
    },
    RejectRule {
        text: "with a symbol of less than four characters, or a price or a quantity of 0 or less",
        rejects: |packet| {
            packet.symbol.trimmed().len() < 4 || packet.price <= 0 || packet.quantity <= 0
        },
    },
    RejectRule {
        text: "with other symbols than AAPL, META, MSFT and AMZN",
        rejects: |packet| !SYMBOLS.contains(&packet.symbol.trimmed()),
    },
];

/// Returns the rule by which a client may have left out the packets that it received and did not
/// keep. If the output has no packets at all, only other runs show that it is the rule.
pub(super) fn reject_rule(evidence: &Evidence) -> Option<&'static RejectRule> {
    let sent: Vec<&Packet> =
        arrivals(evidence).iter().filter_map(|seq| evidence.tape.get(to_index(seq - 1))).collect();
    // Without an output, no packet counts as kept.
    let kept = |packet: &Packet| is_kept(evidence, packet.sequence);
    if sent.iter().all(|packet| kept(packet)) {
        return None;
    }
    let fits =
        |rule: &&RejectRule| sent.iter().all(|packet| (rule.rejects)(packet) != kept(packet));
    REJECT_RULES.iter().find(fits)
}

/// Detects that the client leaves out valid packets by a rule of its own.
pub(super) fn rejects(evidence: &Evidence) -> Option<String> {
    if matches!(evidence.output, ClientOutput::Unclear { .. }) {
        return None;
    }
    if let Some(text) = rejects_openly(evidence) {
        return Some(text);
    }
    let rule = reject_rule(evidence)?;
    let left_out: Vec<Seq> =
        arrivals(evidence).into_iter().filter(|seq| evidence.output_lacks(*seq)).collect();
    let are = if left_out.len() == 1 { "is" } else { "are" };
    Some(format!(
        "the client leaves out {}, which arrived and {are} valid: it rejects packets {}",
        packets(left_out),
        rule.text
    ))
}

/// Returns the explanation if the client treats a valid packet as an error.
fn rejects_openly(evidence: &Evidence) -> Option<String> {
    leaving::at_a_valid_packet(evidence).or_else(|| requested_anew(evidence))
}

/// Returns the explanation if the client requested exactly those received packets that one rule
/// rejects.
fn requested_anew(evidence: &Evidence) -> Option<String> {
    let (anew, rule) = anew(evidence)?;
    Some(format!(
        "the client requested {}, received before and valid: it rejects packets {}",
        packets(anew),
        rule.text
    ))
}

/// Returns the received packets that the client requested, if they are exactly those that one rule
/// rejects.
fn anew(evidence: &Evidence) -> Option<(BTreeSet<Seq>, &'static RejectRule)> {
    let anew: BTreeSet<Seq> =
        evidence.requested().intersection(evidence.streamed()).copied().collect();
    let streamed = || evidence.tape.iter().filter(|p| evidence.streamed().contains(&p.sequence));
    let fits = |rule: &&RejectRule| {
        streamed().all(|packet| (rule.rejects)(packet) == anew.contains(&packet.sequence))
    };
    let rule = REJECT_RULES.iter().find(fits).filter(|_| !anew.is_empty())?;
    Some((anew, rule))
}

/// Returns the rule that the claim about a run names.
fn claimed_rule(evidence: &Evidence) -> Option<&'static RejectRule> {
    let open = leaving::rejected_packet(evidence).map(|(.., rule)| rule);
    open.or_else(|| anew(evidence).map(|(_, rule)| rule)).or_else(|| reject_rule(evidence))
}

/// Returns whether a run has packets that the rule of another run rejects, and the client kept one.
pub(super) fn keeps_rejected(claimed: &Evidence, other: &Evidence) -> bool {
    let Some(rule) = claimed_rule(claimed) else { return false };
    let mut kept = other.tape.iter().filter(|packet| is_kept(other, packet.sequence));
    kept.any(|packet| (rule.rejects)(packet))
}

/// Returns whether a rule of another run may have rejected all packets of this one.
pub(super) fn may_reject(evidence: &Evidence) -> bool {
    let is_foreign = |packet: &Packet| !SYMBOLS.contains(&packet.symbol.trimmed());
    let mut kept = evidence.tape.iter().filter(|packet| is_kept(evidence, packet.sequence));
    evidence.tape.iter().any(is_foreign) && !evidence.tape.is_empty() && kept.next().is_none()
}

/// Returns whether a claim that the client rejects packets is shown: the client treats one as an
/// error, or keeps some packets of the run and leaves out others. A run without any packet in the
/// output says nothing alone, so there must be several, and one without such packets that passed.
pub(super) fn keeps_others(claimed: &Evidence, runs: &[CaseRun<'_>]) -> bool {
    let keeps =
        |evidence: &Evidence| evidence.tape.iter().any(|packet| is_kept(evidence, packet.sequence));
    let foreign = || runs.iter().filter(|run| may_reject(run.evidence)).count();
    let passed = || runs.iter().any(|run| !run.failed && keeps(run.evidence));
    keeps(claimed) || rejects_openly(claimed).is_some() || foreign() >= FOREIGN_MIN && passed()
}

/// Minimum number of runs without any packet in the output that show that all were rejected.
const FOREIGN_MIN: usize = 2;

/// Returns whether the client kept a packet that arrived behind the first gap of a stream.
pub(super) fn goes_on_behind_a_gap(evidence: &Evidence) -> bool {
    let Some(gap) = evidence.gaps().first() else { return false };
    // A frame that is not a packet may have moved the position that the client expects.
    let frames = evidence.wire.conns.iter().flat_map(|conn| &conn.frames);
    if frames.into_iter().any(|frame| packet_of(frame).is_none_or(|s| s > evidence.last())) {
        return false;
    }
    // A client that keeps a second copy may have dropped the first one.
    let is_single = |seq: Seq| {
        let sent = evidence.wire.streamed().chain(evidence.wire.resent());
        sent.filter(|(_, sent)| *sent == seq).count() == 1
    };
    evidence.streamed().range(gap + 1..).any(|seq| is_kept(evidence, *seq) && is_single(*seq))
}

/// Maximum number of writes whose packets may stand in an output that each read overwrites.
const WRITES_MAX: usize = 2;

/// Returns whether an output has packets of several reads, or of streams and answers, where that of
/// another run had only the last ones.
pub(super) fn keeps_earlier(claimed: &Evidence, other: &Evidence) -> bool {
    let kept = |seq: &&Seq| is_kept(other, **seq);
    let is_resent = |seq: &Seq| !other.streamed().contains(seq);
    let answers_only = claimed.has_output()
        && arrivals(claimed)
            .iter()
            .filter(|seq| is_kept(claimed, **seq))
            .all(|seq| !claimed.streamed().contains(seq));
    let streamed = other.streamed().iter().filter(kept).count();
    let resent = other.resent().iter().filter(kept).filter(|seq| is_resent(seq)).count();
    let is_single = |seq: &Seq| other.streamed().contains(seq) != other.resent().contains(seq);
    let has_kept = |seqs: &&Vec<Seq>| seqs.iter().any(|seq| is_kept(other, *seq) && is_single(seq));
    let writes = || framing::whole_in_writes(other).iter().filter(has_kept).count();
    match answers_only {
        true => streamed > 0 && resent > 0,
        // Writes that wait for the client arrive in reads of their own.
        false => {
            streamed + resent > WRITES_MAX
                && other.wire.conns.iter().all(|conn| conn.read_one_by_one)
                && writes() > WRITES_MAX
        }
    }
}

/// Returns whether an output has the last packet of its only stream.
pub(super) fn keeps_last(evidence: &Evidence) -> bool {
    let is_one = evidence.wire.streams() == 1;
    is_one
        && last_of_streams(evidence)
            .any(|seq| is_kept(evidence, seq) && !evidence.resent().contains(&seq))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{classic_run, named_in, run_on};
    use crate::grade::observe::fields::OutputField;
    use feed::base::seq::Seq;
    use feed::tape::in_memory::Tape;
    use feed::wire::Call;

    fn without(missing: Seq) -> impl Iterator<Item = Seq> + Clone {
        (1..=14).filter(move |seq| *seq != missing)
    }

    #[test]
    fn a_stream_that_is_not_read_behind_a_gap_is_recognised() {
        let (id, text) = classic_run().stream(without(5)).write(1..=4).cause();
        assert_eq!(id, "stops-at-gap");
        assert!(text.contains("none of packets 6-14 that arrived after it"), "{text}");
        assert_ne!(
            classic_run().stream(without(5)).write((1..=4).chain([14])).id(),
            "stops-at-gap"
        );
        let stops = || (classic_run().stream(without(5)).write(1..=4), true);
        let goes_on = classic_run().stream(without(9)).write(without(9));
        assert_ne!(named_in(vec![stops(), (goes_on, true)])[0], "stops-at-gap");
        // A damaged sequence may have moved the position that the client expects.
        let moved = classic_run().connect().call(Call::Stream).send(1..=5).damaged(6, 16, 0);
        let moved = moved.send(7..=14).finished().closed().write(without(6));
        assert_eq!(named_in(vec![stops(), (moved, true)])[0], "stops-at-gap");
        let twice = classic_run().stream(without(5).chain([11])).write((1..=4).chain([11]));
        assert_eq!(named_in(vec![stops(), (twice, true)])[0], "stops-at-gap");
    }

    #[test]
    fn outputs_that_are_overwritten_are_recognised() {
        let (id, text) = classic_run().stream(1..=14).write([14]).cause();
        assert_eq!(id, "overwrites-output");
        assert!(text.contains("only packet 14, which arrived last: each read"), "{text}");
        let answers = classic_run().stream(without(5)).fill([5]).write([5]).cause();
        assert!(answers.0 == "overwrites-output" && answers.1.contains("the answers overwrite"));
        assert_ne!(classic_run().stream(1..=14).write([1, 14]).id(), "overwrites-output");
        let again = classic_run().stream((1..=14).chain([11])).write([11]).cause();
        assert!(
            again.0 == "overwrites-output" && again.1.contains("packet 11, which arrived last")
        );
        // Writes that overtake each other leave the packets of an earlier read.
        let last = || (classic_run().stream(1..=14).write([14]), true);
        let overtaken = classic_run().stream(1..=14).write([9]);
        assert_eq!(named_in(vec![last(), last(), (overtaken, true)])[2], "overwrites-output");
        // Four packets in one read prove nothing, three reads do.
        let read = classic_run().connect().one_by_one().call(Call::Stream);
        let together = read.send(1..=8).together([9, 10, 11, 12]).send([13, 14]);
        let together = together.finished().closed().write([9, 10, 11, 12]);
        assert_eq!(named_in(vec![last(), (together, true)])[0], "overwrites-output");
        let apart = classic_run().connect().one_by_one().call(Call::Stream).send(1..=14);
        let apart = apart.finished().closed().write(9..=12);
        assert_ne!(named_in(vec![last(), (apart, true)])[0], "overwrites-output");
    }

    #[test]
    fn a_last_packet_that_stays_in_the_buffer_is_recognised() {
        let last = || classic_run().stream(1..=14).write(1..=13);
        assert_eq!(last().id(), "last-packet-unread");
        let read = classic_run().stream(1..=14).write(1..=14);
        let named = named_in(vec![(last(), true), (read, false)]);
        assert_ne!(named[0], "last-packet-unread", "another run has its last packet");
        assert_eq!(classic_run().stream(1..=14).write(1..=9).id(), "rest-unread");
    }

    #[test]
    fn the_last_copy_of_a_packet_is_recognised() {
        let twice = classic_run().connect().call(Call::Stream).send(1..=7);
        let twice = twice.damaged(6, 12, 56).send(8..=14).finished().closed();
        let kept = twice.write_as(1..=14, |packet, fields| {
            if packet.sequence == 6 {
                fields[OutputField::Price as usize].1 = Some("56".to_owned());
            }
        });
        let (id, text) = kept.cause();
        assert_eq!(id, "last-copy-kept");
        assert!(text.contains("with the price 55 and then 56"), "{text}");
    }

    #[test]
    fn rules_that_reject_valid_packets_are_recognised() {
        let positive = [1, 2, 3, 4, 10, 11, 14].into_iter();
        let extremes = || run_on(Tape::extremes()).stream(1..=14).write(positive.clone());
        let (id, text) = extremes().cause();
        assert_eq!(id, "rejects-valid");
        assert!(text.ends_with("packets with a price or a quantity of 0 or less"), "{text}");
        // A run without any packet of the four symbols says nothing alone.
        let sample = || run_on(Tape::sample(5)).stream(1..=5).write([]);
        let classic = || classic_run().stream(1..=14).write(1..=14);
        let named = named_in(vec![(classic(), false), (sample(), true), (sample(), true)]);
        assert_eq!(named[1..], ["rejects-valid"; 2]);
        assert_ne!(named_in(vec![(sample(), true)])[0], "rejects-valid");
        let other = || run_on(Tape::sample(15)).stream(1..=15).write(1..=14);
        let named = named_in(vec![(classic(), false), (sample(), true), (other(), true)]);
        assert_ne!(named[1], "rejects-valid", "another run has such packets");
    }
}
