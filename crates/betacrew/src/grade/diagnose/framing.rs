//! Causes in the splitting of reads into packets.

use super::crashes::ends_abruptly;
use super::kept::is_kept;
use super::leaving;
use crate::grade::observe::evidence::{ClientOutput, Evidence, packets};
use crate::grade::observe::wire::{PacketEvent, Segment};
use feed::base::seq::Seq;
use feed::wire::FRAME_LEN;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Maximum time between two writes that a client often receives in one read.
const CLOSE: Duration = Duration::from_millis(2);

/// Minimum number of requests beyond the session that cannot come from a wrong session length
/// alone.
const BEYOND_MIN: usize = 20;

/// Packets that a client probably received in one read: those of one write, or of writes close to
/// each other.
struct Read {
    /// Sequences in the order of the bytes.
    seqs: Vec<Seq>,
    /// True if the packets were one write, so that the read is no guess.
    is_certain: bool,
}

/// Returns the reads of streams, or of answers if `streamed` is false, that hold only complete
/// packets.
fn reads(evidence: &Evidence, streamed: bool) -> Vec<Read> {
    let mut found: Vec<Read> = Vec::new();
    let mut before: Option<(usize, Duration)> = None;
    for (at, segment) in evidence.wire.segments() {
        let state = &evidence.wire.conns[segment.conn];
        let is_stream = is_streamed(evidence, &segment);
        if segment.cut_before || segment.cut_after || is_stream != streamed {
            before = None;
            continue;
        }
        let (first, last) = segment.frames;
        let seqs: Vec<Seq> =
            (first..=last).filter_map(|place| evidence.wire.seq_at(segment.conn, place)).collect();
        if seqs.is_empty() {
            continue;
        }
        let joins = before.is_some_and(|(conn, time)| {
            conn == segment.conn && at < time + CLOSE && !state.read_one_by_one
        });
        match found.last_mut().filter(|_| joins) {
            Some(read) => {
                read.seqs.extend(seqs);
                read.is_certain = false;
            }
            None => found.push(Read { is_certain: seqs.len() > 1, seqs }),
        }
        before = Some((segment.conn, at));
    }
    found
}

/// Returns packets that followed another one in a read and are missing, the first packet of that
/// read, and whether the read is certain. Returns `None` unless this explains all that is missing.
fn behind_the_first(evidence: &Evidence, streamed: bool) -> Option<(Vec<Seq>, Seq, bool)> {
    let reads = reads(evidence, streamed);
    let many: Vec<&Read> = reads.iter().filter(|read| read.seqs.len() > 1).collect();
    let behind = |read: &Read| read.seqs[1..].to_vec();
    // Packets that also arrived first in some read prove nothing.
    let alone: BTreeSet<Seq> = reads_alone(evidence);
    let lacked: BTreeSet<Seq> =
        many.iter().flat_map(|read| behind(read)).filter(|seq| !alone.contains(seq)).collect();
    let kept = many.iter().find(|read| !evidence.output_lacks(read.seqs[0]))?;
    let is_certain = many.iter().all(|read| read.is_certain);
    let missing = lacked.iter().filter(|seq| evidence.output_lacks(**seq)).count();
    // In guessed reads, some packets may have arrived in a read of their own.
    let enough = if is_certain { missing == lacked.len() } else { missing * 2 >= lacked.len() };
    // No packet that was first in its read may be missing.
    let first_lacked = reads.iter().filter(|read| evidence.output_lacks(read.seqs[0])).count();
    let shown: Vec<Seq> =
        behind(kept).into_iter().filter(|seq| evidence.output_lacks(*seq)).collect();
    (evidence.has_output() && !shown.is_empty() && enough && (first_lacked == 0 || !is_certain))
        .then(|| (shown, kept.seqs[0], is_certain))
}

/// Returns the packets that were the first of some read.
fn reads_alone(evidence: &Evidence) -> BTreeSet<Seq> {
    let reads = [true, false].into_iter().flat_map(|streamed| reads(evidence, streamed));
    reads.filter_map(|read| read.seqs.first().copied()).collect()
}

/// Detects that the client kept only the first packet of each read of the stream.
pub(super) fn first_of_read(evidence: &Evidence) -> Option<String> {
    if let Some((lacked, kept, is_certain)) = behind_the_first(evidence, true) {
        return Some(first_only_text(&lacked, kept, is_certain));
    }
    // Requests for packets sent in the stream show the same mistake.
    let reads = reads(evidence, true);
    let (mut streamed, mut needless) = (BTreeSet::new(), BTreeSet::new());
    for (_, _, packet_event) in evidence.wire.packet_events() {
        match packet_event {
            PacketEvent::Sent { seq, streamed: true } => drop(streamed.insert(seq)),
            PacketEvent::Requested { seq, .. } if streamed.contains(&seq) => {
                needless.insert(seq);
            }
            _ => {}
        }
    }
    let behind: BTreeSet<Seq> = reads.iter().flat_map(|read| &read.seqs[1..]).copied().collect();
    let read = reads.iter().find(|read| read.seqs[1..].iter().any(|seq| needless.contains(seq)))?;
    let most = needless.len() * 2 >= behind.len();
    (most && needless.is_subset(&behind)).then(|| {
        let lacked: Vec<Seq> =
            read.seqs[1..].iter().copied().filter(|seq| needless.contains(seq)).collect();
        format!(
            "{} (and the client requested packets that it had received)",
            first_only_text(&lacked, read.seqs[0], read.is_certain)
        )
    })
}

/// Explains that only the first packet of a read was kept.
fn first_only_text(lacked: &[Seq], kept: Seq, is_certain: bool) -> String {
    let lacked = packets(lacked.iter().copied());
    match is_certain {
        true => format!(
            "{lacked} arrived in one TCP segment with packet {kept}, and only the first was kept: \
             a read is not a packet"
        ),
        false => format!(
            "{lacked} arrived directly after packet {kept}, probably in the same read, and only \
             the first was kept: a read is not a packet"
        ),
    }
}

/// Detects that the client kept or counted only the first answer of each read.
pub(super) fn first_answer_of_read(evidence: &Evidence) -> Option<String> {
    if let Some((lacked, kept, is_certain)) = behind_the_first(evidence, false) {
        return Some(format!("of the answers, {}", first_only_text(&lacked, kept, is_certain)));
    }
    // A client that waits for the other answers writes no output.
    let reads = reads(evidence, false);
    let together = reads.iter().find(|read| read.seqs.len() > 1)?;
    let requested = evidence.requested();
    let resent = evidence.resent();
    let all_came = !requested.is_empty() && requested.is_subset(resent);
    let streamed_well = framed_well(evidence);
    (!evidence.has_output() && all_came && streamed_well).then(|| {
        format!(
            "the answers with {} arrived {}, and the client waits for one read each: a read is not \
             a packet",
            packets(together.seqs.iter().copied()),
            if together.is_certain { "in one TCP segment" } else { "directly after each other" }
        )
    })
}

/// Returns whether every packet of the streams arrived in a read of its own, so that the splitting
/// of the stream cannot be wrong.
fn framed_well(evidence: &Evidence) -> bool {
    let streams = evidence.wire.segments().filter(|(_, segment)| is_streamed(evidence, segment));
    let whole = |segment: &Segment| !segment.cut_before && !segment.cut_after;
    let mut streams = streams.map(|(_, segment)| segment);
    streams.all(|segment| whole(&segment))
        && reads(evidence, true).iter().all(|read| read.seqs.len() == 1)
}

/// Detects that the client does not join the parts of packets that were cut between two reads.
pub(super) fn split(evidence: &Evidence) -> Option<String> {
    not_joined(evidence).or_else(|| leaving::at_a_part(evidence))
}

/// Detects packets cut by two reads that the output misses, or that made the client read on from
/// the wrong byte.
fn not_joined(evidence: &Evidence) -> Option<String> {
    let FramingCuts { whole, halves, before } = cuts(evidence);
    let pieces = halves.first()?;
    if let Some(seq) = shifted(evidence, &halves) {
        return Some(format!(
            "packet {pieces} arrived in pieces, and the client did not join the end of one read \
             with the beginning of the next: what followed was read from the wrong byte on, and \
             {seq} is not a sequence"
        ));
    }
    let lacked: Vec<Seq> =
        halves.difference(&whole).copied().filter(|seq| evidence.output_lacks(*seq)).collect();
    // Half of the cut packets may have arrived in one read by chance; those before the first cut
    // must be there.
    let enough = !lacked.is_empty() && lacked.len() * 2 >= halves.difference(&whole).count();
    let clean = evidence.has_output() && before.iter().all(|seq| !evidence.output_lacks(*seq));
    // A misread symbol with a control character makes the client's JSON invalid.
    let unclear = match &evidence.output {
        ClientOutput::Unclear { why, .. } => why.contains("control character"),
        ClientOutput::None | ClientOutput::Foreign { .. } | ClientOutput::Found { .. } => false,
    };
    (enough && clean || unclear).then(|| {
        let all = if unclear { halves.iter().copied().collect() } else { lacked };
        let pieces = if all.len() == 1 { "arrived in pieces" } else { "arrived in pieces each" };
        format!(
            "{} {pieces}, and the client did not join the end of one read with the beginning of \
             the next",
            packets(all)
        )
    })
}

/// Packets of all writes, by whether a write cut them.
struct FramingCuts {
    /// Packets that are complete in some write.
    whole: BTreeSet<Seq>,
    /// Packets of which some write has only a part.
    halves: BTreeSet<Seq>,
    /// Packets that were complete in a write before the first cut.
    before: BTreeSet<Seq>,
}

/// Returns whether a packet of a stream, or of answers if `streamed` is false, was cut by a write.
fn has_cuts(evidence: &Evidence, streamed: bool) -> bool {
    !cut_packets(evidence, streamed).is_empty()
}

/// Returns the packets that no write of a stream, or of answers, had as a whole.
fn cut_packets(evidence: &Evidence, streamed: bool) -> BTreeSet<Seq> {
    // A packet that was cut in a stream may have come as a whole in an answer.
    let is_wanted = |segment: &Segment| is_streamed(evidence, segment) == streamed;
    let FramingCuts { whole, halves, .. } = cuts_in(evidence, is_wanted);
    halves.difference(&whole).copied().collect()
}

/// Returns whether the run shows that the client joins the parts of a packet where another run
/// seemed to show that it does not: in streams, or in answers.
pub(super) fn joins_parts(claimed: &Evidence, other: &Evidence) -> bool {
    if !other.has_output() || !other.wire.conns.iter().all(|conn| conn.read_one_by_one) {
        return false;
    }
    let lacks = |seq: &Seq| !claimed.has_output() || claimed.output_lacks(*seq);
    let lacked = |streamed| cut_packets(claimed, streamed).iter().any(lacks);
    // A client that ended in an answer had read its stream.
    let is_answer = |s: &Segment| !is_streamed(claimed, s) && (s.cut_before || s.cut_after);
    let ended_in_answer =
        !claimed.has_output() && claimed.wire.segments().any(|(_, segment)| is_answer(&segment));
    let place = match (lacked(true), lacked(false)) {
        _ if ended_in_answer => false,
        (true, _) => true,
        (false, true) => false,
        (false, false) => has_cuts(claimed, true),
    };
    let joined = |seq: &Seq| {
        is_kept(other, *seq) && other.streamed().contains(seq) != other.resent().contains(seq)
    };
    cut_packets(other, place).iter().any(joined)
}

/// Returns whether a run shows that the client joins the parts of a packet, or ends its streams for
/// another reason than a part of a packet.
pub(super) fn has_no_split(claimed: &Evidence, other: &Evidence) -> bool {
    let left = || leaving::at_a_part(claimed).is_some() && leaving::leaves_anyway(other);
    joins_parts(claimed, other) || left()
}

/// Returns whether the run gives a client an occasion not to join the parts of a packet, and
/// failed as such a client fails.
pub(super) fn may_not_join(evidence: &Evidence) -> bool {
    // Whether a large write was cut by reads is not known, so what came of it must show it.
    let is_large = || {
        let mut segments = evidence.wire.segments();
        segments.any(|(_, segment)| segment.frames.1 - segment.frames.0 > LARGE)
            && (evidence.has_output() || ends_abruptly(evidence))
    };
    (has_cuts(evidence, true) || has_cuts(evidence, false) || is_large()) && misses(evidence)
}

/// Number of packets in one write above which a usual read does not hold it.
const LARGE: usize = 60;

/// Returns whether the output misses packets that arrived, and no more is wrong with it.
fn misses(evidence: &Evidence) -> bool {
    let mut sent = evidence.streamed().union(evidence.resent());
    !evidence.has_output()
        || evidence.differences.doubled.is_empty() && sent.any(|seq| evidence.output_lacks(*seq))
}

/// Returns whether the client kept a packet that followed another one in the same read, and that
/// was sent only once.
fn keeps_behind_the_first(evidence: &Evidence, streamed: bool) -> bool {
    let mut times: BTreeMap<Seq, u32> = BTreeMap::new();
    for (_, _, packet_event) in evidence.wire.packet_events() {
        if let PacketEvent::Sent { seq, .. } = packet_event {
            *times.entry(seq).or_default() += 1;
        }
    }
    let once = |seq: &Seq| times.get(seq) == Some(&1) && is_kept(evidence, *seq);
    reads(evidence, streamed)
        .iter()
        .filter(|read| read.is_certain)
        .any(|read| read.seqs[1..].iter().any(once))
}

/// Returns whether the client kept several packets of one read of a stream.
pub(super) fn keeps_several(evidence: &Evidence) -> bool {
    keeps_behind_the_first(evidence, true)
}

/// Returns whether the client kept several answers of one read.
pub(super) fn keeps_several_answers(evidence: &Evidence) -> bool {
    keeps_behind_the_first(evidence, false)
}

/// Returns whether several packets of a stream may have arrived in one read, and the run failed as
/// that of a client that keeps only the first.
pub(super) fn may_keep_first(evidence: &Evidence) -> bool {
    reads(evidence, true).iter().any(|read| read.seqs.len() > 1) && misses(evidence)
}

/// Returns whether several answers may have arrived in one read, and the run failed as that of a
/// client that keeps only the first.
pub(super) fn may_keep_first_answer(evidence: &Evidence) -> bool {
    reads(evidence, false).iter().any(|read| read.seqs.len() > 1) && misses(evidence)
}

/// Returns whether a write belongs to a stream.
fn is_streamed(evidence: &Evidence, segment: &Segment) -> bool {
    let state = &evidence.wire.conns[segment.conn];
    state.stream_from.is_some_and(|from| segment.frames.0 >= from)
}

/// Returns the index of each write with the packets that are complete in it.
pub(super) fn whole_in_writes(evidence: &Evidence) -> Vec<Vec<Seq>> {
    let whole = |segment: &Segment| {
        let (first, last) = segment.frames;
        let from = first + usize::from(segment.cut_before);
        let to = last + usize::from(!segment.cut_after);
        (from..to).filter_map(|place| evidence.wire.seq_at(segment.conn, place)).collect()
    };
    evidence.wire.segments().map(|(_, segment)| whole(&segment)).collect()
}

/// Returns the packets that were sent only in writes of one whole packet.
pub(super) fn sent_alone(evidence: &Evidence) -> BTreeSet<Seq> {
    let mut shared = BTreeSet::new();
    let mut alone = BTreeSet::new();
    for (_, segment) in evidence.wire.segments() {
        let (first, last) = segment.frames;
        let is_alone = first == last && !segment.cut_before && !segment.cut_after;
        let seqs = (first..=last).filter_map(|place| evidence.wire.seq_at(segment.conn, place));
        match is_alone {
            true => alone.extend(seqs),
            false => shared.extend(seqs),
        }
    }
    alone.difference(&shared).copied().collect()
}

/// Sorts the packets of all writes.
fn cuts(evidence: &Evidence) -> FramingCuts {
    cuts_in(evidence, |_| true)
}

/// Sorts the packets of some writes.
fn cuts_in(evidence: &Evidence, is_wanted: impl Fn(&Segment) -> bool) -> FramingCuts {
    let (mut whole, mut halves, mut before) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let segments = evidence.wire.segments().map(|(_, segment)| segment);
    for segment in segments.filter(|segment| is_wanted(segment)) {
        let (first, last) = segment.frames;
        for place in first..=last {
            let Some(seq) = evidence.wire.seq_at(segment.conn, place) else { continue };
            if place == first && segment.cut_before || place == last && segment.cut_after {
                halves.insert(seq);
                continue;
            }
            whole.insert(seq);
            if halves.is_empty() {
                before.insert(seq);
            }
        }
    }
    FramingCuts { whole, halves, before }
}

/// Returns a made-up sequence that the client has read at a wrong position: all made-up sequences
/// occur somewhere in the bytes sent.
fn shifted(evidence: &Evidence, halves: &BTreeSet<Seq>) -> Option<String> {
    if halves.is_empty() {
        return None;
    }
    let numbers: BTreeSet<u32> = evidence
        .wire
        .conns
        .iter()
        .flat_map(|conn| {
            let bytes = conn.frames.as_flattened().windows(4);
            bytes.map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        })
        .collect();
    let stands = |seq: &String| {
        let number = seq.parse::<i64>().ok().and_then(|seq| {
            u32::try_from(seq).ok().or_else(|| i32::try_from(seq).ok().map(i32::cast_unsigned))
        });
        number.is_some_and(|number| numbers.contains(&number))
    };
    let made_up = &evidence.differences.made_up;
    if let Some(first) = made_up.first().filter(|_| made_up.iter().all(stands)) {
        return Some(first.clone());
    }
    let strange = evidence.requested().iter().copied().filter(|seq| *seq > evidence.last());
    let strange: Vec<Seq> = strange.collect();
    (strange.len() >= BEYOND_MIN).then(|| strange[strange.len() - 1].to_string())
}

/// Usual sizes of read buffers, in bytes.
const SIZES: [usize; 9] = [256, 512, 1000, 1024, 2048, 4096, 8192, 16_384, 65_536];

/// Detects that the first missing packet is the one inside which a read of a usual size ends.
pub(super) fn read_size(evidence: &Evidence) -> Option<String> {
    let ranges = evidence.differences.missing.ranges();
    let first = ranges.first().map(|range| range.first())?;
    let large = evidence.wire.segments().find_map(|(_, segment)| {
        let (from, to) = segment.frames;
        let place =
            (from..=to).find(|place| evidence.wire.seq_at(segment.conn, *place) == Some(first))?;
        (to > from).then_some(place - from)
    })?;
    let size = SIZES.iter().find(|size| large > 0 && **size / FRAME_LEN == large)?;
    // A packet not sent in any stream cannot have been cut by a read.
    (evidence.has_output() && evidence.streamed().contains(&first)).then(|| {
        format!(
            "a read of {size} bytes ends inside packet {first}, and the client did not join the \
             end of one read with the beginning of the next"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{classic_run, run_on};
    use crate::grade::observe::fields::OutputField;
    use feed::base::seq::Seq;
    use feed::tape::in_memory::Tape;
    use feed::wire::Call;

    #[test]
    fn keeping_only_the_first_packet_of_a_read_is_recognised() {
        let one = classic_run().connect().call(Call::Stream).send(1..=3).together([4, 5]);
        let (id, text) = one
            .send(6..=14)
            .finished()
            .closed()
            .write([1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14])
            .cause();
        assert_eq!(id, "first-of-read");
        assert!(text.starts_with("packet 5 arrived in one TCP segment with packet 4"), "{text}");
    }

    #[test]
    fn a_read_whose_second_packet_is_kept_rules_the_cause_out() {
        let one = classic_run().connect().call(Call::Stream).together([1, 2]).together([3, 4]);
        let id =
            one.send(5..=14).finished().closed().write([1, 2, 3].into_iter().chain(5..=14)).id();
        assert_ne!(id, "first-of-read");
    }

    #[test]
    fn requests_for_received_packets_are_recognised() {
        let pairs = classic_run().connect().call(Call::Stream).together([1, 2]).together([3, 4]);
        let (id, text) = pairs.finished().closed().ask([2]).cause();
        assert_eq!(id, "first-of-read");
        let one = || classic_run().connect().call(Call::Stream).together([1, 2, 3, 4, 5, 6, 7]);
        assert_ne!(one().finished().closed().ask([2]).id(), "first-of-read", "one of six");
        assert!(text.contains("packet 2 arrived in one TCP segment with packet 1"), "{text}");
    }

    #[test]
    fn a_read_of_a_usual_size_is_recognised() {
        let all: [Seq; 200] = std::array::from_fn(|place| Seq::try_from(place).unwrap() + 1);
        let one = || run_on(Tape::sample(200)).connect().call(Call::Stream).together(all);
        let lacked = one().finished().closed().write((1..=60).chain(62..=200));
        let (id, text) = lacked.cause();
        assert_eq!(id, "read-size");
        assert!(text.contains("a read of 1024 bytes"), "{text}");
        let other = one().finished().closed().write((1..=61).chain(63..=200));
        assert_ne!(other.id(), "read-size");
    }

    #[test]
    fn keeping_only_the_first_answer_of_a_read_is_recognised() {
        let ask = || classic_run().stream([1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]).ask([2, 3]);
        let kept = ask().together([2, 3]).hang_up().write([1, 2].into_iter().chain(4..=14));
        assert_eq!(kept.id(), "first-answer-of-read");
        assert_eq!(ask().together([2, 3]).finished().hang_up().id(), "first-answer-of-read");
        assert_ne!(ask().send([2, 3]).finished().hang_up().id(), "first-answer-of-read");
    }

    #[test]
    fn losing_a_packet_in_two_pieces_is_recognised() {
        let one =
            || classic_run().connect().call(Call::Stream).send(1..=6).pieces([7], 9).send(8..=14);
        let done = || one().finished().closed();
        let (id, text) = done().write((1..=6).chain(8..=14)).cause();
        assert_eq!(id, "split-packet");
        assert!(text.contains("packet 7 arrived in pieces, and the client"), "{text}");
        assert_ne!(done().write((1..=7).chain(9..=14)).id(), "split-packet");
        let strange = done().write_as((1..=6).chain([8]), |packet, fields| {
            if packet.sequence == 8 {
                // The last two bytes of a price and the first two of a sequence, read as a
                // sequence.
                fields[OutputField::Sequence as usize].1 = Some((150 << 16).to_string());
            }
        });
        let (id, text) = strange.cause();
        assert_eq!(id, "split-packet");
        assert!(text.contains("9830400 is not a sequence"), "{text}");
        let tiny = classic_run().connect().call(Call::Stream).pieces(1..=14, 1).finished().closed();
        assert_eq!(tiny.write([]).id(), "split-packet");
    }
}
