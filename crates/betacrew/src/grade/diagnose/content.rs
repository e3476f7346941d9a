//! Causes in the writing of the output.

use super::framing;
use super::kept::{arrivals, is_kept};
use crate::grade::observe::evidence::{ClientOutput, Evidence, packets};
use crate::grade::observe::fields::OutputField;
use crate::grade::observe::wire::{PacketEvent, WireConnection, WireEventKind, packet_of};
use crate::grade::run::process::ProcessEnd;
use crate::text::formatting::took;
use feed::base::seq::Seq;
use feed::wire::decode;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Tolerance between a file's time and the time of an event, because file systems round times to a
/// few milliseconds.
const FILE_TIME_TOLERANCE: Duration = Duration::from_millis(15);

/// Minimum number of packets that is taken for a fixed capacity. No client has room for fewer.
const CAPACITY_MIN: Seq = 50;

/// Detects that the client wrote a JSON file that is not valid.
pub(super) fn not_json(evidence: &Evidence) -> Option<String> {
    match &evidence.output {
        // A client that was killed or crashed may have been writing.
        ClientOutput::Unclear { why, .. }
            if why.contains("EOF") && evidence.process.ended != ProcessEnd::Exited(0) =>
        {
            None
        }
        // A whole value stands before the characters that make it invalid.
        ClientOutput::Unclear { why, .. } if why.contains(TRAILING) => None,
        ClientOutput::Unclear { name, why } if why.contains("incomplete JSON") => Some(format!(
            "{name} is not valid JSON ({}); write it with a JSON library",
            why.rsplit_once("JSON: ").map_or(why.as_str(), |(_, why)| why)
        )),
        _ => None,
    }
}

/// Words with which the JSON parser reports characters behind a whole value.
const TRAILING: &str = "trailing characters";

/// Detects that the client wrote its output more than once, so that the file has the end of one
/// write behind another one.
pub(super) fn written_twice(evidence: &Evidence) -> Option<String> {
    match &evidence.output {
        ClientOutput::Unclear { name, why } if why.contains(TRAILING) => Some(format!(
            "{name} has more behind a whole JSON value ({}): it was written more than once, and \
             the writes overlap or follow each other",
            why.rsplit_once("JSON: ").map_or(why.as_str(), |(_, why)| why)
        )),
        _ => None,
    }
}

/// Returns the resent packets that the output misses, with the time at which each was first sent.
fn resent_but_missing(evidence: &Evidence) -> BTreeMap<Seq, Duration> {
    // Packets sent after the client closed the connection are missing for another reason.
    let mut closed: BTreeMap<usize, Duration> = BTreeMap::new();
    for event in evidence.events_before_kill() {
        if matches!(event.what, WireEventKind::ClientEnded | WireEventKind::Reset) {
            closed.entry(event.conn).or_insert(event.at);
        }
    }
    let mut late: BTreeMap<Seq, Duration> = BTreeMap::new();
    for (at, conn, packet_event) in evidence.wire.packet_events() {
        if let PacketEvent::Sent { seq, streamed: false } = packet_event
            && evidence.output_lacks(seq)
            && closed.get(&conn).is_none_or(|closed| at <= *closed)
        {
            late.entry(seq).or_insert(at);
        }
    }
    late
}

/// Detects that the client wrote its output before the answers arrived.
pub(super) fn written_early(evidence: &Evidence) -> Option<String> {
    let ClientOutput::Found { name, written: Some(written), .. } = &evidence.output else {
        return None;
    };
    let late = resent_but_missing(evidence);
    let first = late.values().min()?;
    late.values().all(|at| *at > *written + FILE_TIME_TOLERANCE).then(|| {
        let asked = last_request_before(evidence, *first);
        let answers = packets(late.keys().copied());
        let rest = match written.checked_sub(asked) {
            None => format!("before the client had requested {answers}"),
            Some(waited) => format!(
                "{} after the client's last request, and {answers} arrived {} after that request",
                took(waited),
                took(first.saturating_sub(asked))
            ),
        };
        format!("{name} was written {rest}: wait for the answers, and write then")
    })
}

/// Returns the time of the last request before a time.
fn last_request_before(evidence: &Evidence, time: Duration) -> Duration {
    let requests = evidence.wire.packet_events().filter_map(|(at, _, event)| match event {
        PacketEvent::Requested { late: false, .. } => Some(at),
        _ => None,
    });
    requests.take_while(|at| *at <= time).last().unwrap_or_default()
}

/// Returns the time that the first of the answers needed that came after the output was written.
fn unkept_delay(evidence: &Evidence) -> Option<Duration> {
    let first = *resent_but_missing(evidence).values().min()?;
    Some(first.saturating_sub(last_request_before(evidence, first)))
}

/// Returns whether a run has an answer in its output that needed at least as much time as those
/// that another run seemed not to wait for.
pub(super) fn waits_for_answers(claimed: &Evidence, other: &Evidence) -> bool {
    let Some(delay) = unkept_delay(claimed) else { return false };
    other.wire.packet_events().any(|(at, _, event)| match event {
        PacketEvent::Sent { seq, streamed: false } => {
            let kept = is_kept(other, seq) && !other.streamed().contains(&seq);
            kept && at.saturating_sub(last_request_before(other, at)) >= delay
        }
        _ => false,
    })
}

/// Detects that the client seems to have written its output before the answers arrived, within the
/// accuracy of file times.
pub(super) fn seems_early(evidence: &Evidence) -> Option<String> {
    let ClientOutput::Found { name, written: Some(written), .. } = &evidence.output else {
        return None;
    };
    let late = resent_but_missing(evidence);
    let all = !late.is_empty() && late.values().all(|at| *at >= *written);
    all.then(|| {
        format!(
            "{name} seems to be written before {} arrived: the client does not wait for the \
             answers to its requests",
            packets(late.keys().copied())
        )
    })
}

/// Detects that the output has the first packets up to a bound, and none after it.
pub(super) fn no_room(evidence: &Evidence) -> Option<String> {
    let [range] = evidence.differences.missing.ranges() else { return None };
    let streamed = evidence.streamed();
    let kept = range.first() - 1;
    let all = range.last() == evidence.last()
        && (range.first()..=range.last()).all(|s| streamed.contains(&s));
    let full = usize::try_from(kept) == Ok(evidence.differences.rows) && kept >= CAPACITY_MIN;
    (all && full && evidence.wire.streams() == 1)
        .then(|| format!("the client keeps only the first {kept} packets: its buffer is too small"))
}

/// Detects that the client wrote every copy of a packet that was sent more than once.
pub(super) fn duplicates(evidence: &Evidence) -> Option<String> {
    let mut times: BTreeMap<Seq, u32> = BTreeMap::new();
    for (_, _, packet_event) in evidence.wire.packet_events() {
        if let PacketEvent::Sent { seq, .. } = packet_event {
            *times.entry(seq).or_default() += 1;
        }
    }
    let doubled: Vec<Seq> =
        evidence.differences.doubled.ranges().iter().flat_map(|r| r.first()..=r.last()).collect();
    let came_twice = doubled.iter().all(|seq| times.get(seq).is_some_and(|times| *times > 1));
    (!doubled.is_empty() && came_twice).then(|| {
        let why = match doubled.iter().all(|seq| requested_in_vain(evidence, *seq)) {
            true if doubled.len() == 1 => {
                ", because the client requested it when it had it or would get it,"
            }
            true => ", because the client requested them when it had them or would get them,",
            false => "",
        };
        format!("{} arrived more than once{why} and each copy was written", packets(doubled))
    })
}

/// Returns whether the client requested a packet twice, or one that a stream sent as well.
fn requested_in_vain(evidence: &Evidence, seq: Seq) -> bool {
    let requests = evidence.wire.requested().filter(|requested| *requested == seq).count();
    requests > 1 || requests == 1 && evidence.streamed().contains(&seq)
}

/// Places in which a packet is sent twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TwiceIn {
    /// In a stream, directly after each other.
    Pair,
    /// In one stream, or in two, with other packets between them.
    Streams,
    /// In answers.
    Answers,
    /// In a stream and in an answer.
    Both,
}

/// Returns where a packet was sent twice, if it was.
fn twice_in(evidence: &Evidence, seq: Seq) -> Option<TwiceIn> {
    let times = |sent: &mut dyn Iterator<Item = (usize, Seq)>| sent.filter(|s| s.1 == seq).count();
    let streamed = times(&mut evidence.wire.streamed());
    let in_stream: Vec<Seq> = evidence.wire.streamed().map(|(_, seq)| seq).collect();
    let is_pair = in_stream.windows(2).any(|pair| pair == [seq, seq]);
    match (streamed, times(&mut evidence.wire.resent())) {
        (2.., _) if is_pair => Some(TwiceIn::Pair),
        (2.., _) => Some(TwiceIn::Streams),
        (_, 2..) => Some(TwiceIn::Answers),
        (1, 1) => Some(TwiceIn::Both),
        _ => None,
    }
}

/// Returns whether a run keeps one copy of a packet that was sent twice in the same place as one of
/// which another run has several copies.
pub(super) fn keeps_one_copy(claimed: &Evidence, other: &Evidence) -> bool {
    let doubled = claimed.differences.doubled.ranges().first().map(|range| range.first());
    let Some(place) = doubled.and_then(|seq| twice_in(claimed, seq)) else { return false };
    // A client that has lost the first copy keeps the second one only.
    if !other.has_output() || !other.wire.conns.iter().all(|conn| conn.read_one_by_one) {
        return false;
    }
    // A client that left after the first copy of the last packet has not seen the second one.
    let conns = other.wire.conns.iter();
    let last_packet = |conn: &WireConnection| conn.frames.iter().rev().find_map(packet_of);
    let lasts: BTreeSet<Seq> = conns.filter_map(last_packet).collect();
    let is_one = |seq: &Seq| {
        is_kept(other, *seq)
            && !other.differences.doubled.contains(*seq)
            && !lasts.contains(seq)
            && twice_in(other, *seq) == Some(place)
    };
    let one: Vec<Seq> = (1..=other.last()).filter(is_one).collect();
    !one.is_empty() && {
        let alone = framing::sent_alone(other);
        one.iter().any(|seq| alone.contains(seq))
    }
}

/// Detects that the client wrote a frame that is not a valid packet.
pub(super) fn broken(evidence: &Evidence) -> Option<String> {
    let frames = evidence.wire.conns.iter().flat_map(|conn| &conn.frames);
    let broken: Vec<_> = frames.filter(|frame| decode(frame).is_err()).collect();
    let texts = |frame: &[u8; 17]| {
        let number = |at: usize| {
            i32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]).to_string()
        };
        (char::from(frame[4]), number(13))
    };
    let shown = |side: char| match side.is_ascii() {
        true => format!("side {:?}", side.to_string()),
        false => format!("side byte 0x{:02x}", u32::from(side)),
    };
    let hit = broken.iter().find_map(|frame| {
        let (side, seq) = texts(frame);
        let as_wrong = evidence
            .differences
            .wrong
            .iter()
            .any(|wrong| wrong.field == OutputField::Side && wrong.seq.to_string() == seq);
        let as_odd = evidence.differences.made_up.contains(&seq);
        (as_wrong || as_odd).then_some((side, seq, as_odd))
    });
    hit.map(|(side, seq, as_odd)| match as_odd {
        true => {
            format!("a frame with the sequence {seq}, which is not a packet, was written as one")
        }
        false => format!(
            "a frame with the {}, which is neither B nor S, was written as packet {seq}",
            shown(side)
        ),
    })
}

/// Detects that the output has the order in which the packets arrived.
pub(super) fn arrival_order(evidence: &Evidence) -> Option<String> {
    let (seq, before) = evidence.differences.out_of_order?;
    let mut arrived = arrivals(evidence);
    let known: BTreeSet<Seq> = evidence.differences.order.iter().copied().collect();
    arrived.retain(|seq| known.contains(seq));
    (evidence.differences.is_complete() && arrived == evidence.differences.order).then(|| {
        match is_answer(evidence, seq) {
            true => format!(
                "answers are written behind the packets of the stream ({seq} after {before}); \
                 sort all packets by sequence"
            ),
            false => format!(
                "packets are written in the order of arrival ({seq} after {before}); sort them by \
                 sequence"
            ),
        }
    })
}

/// Returns whether a packet came only as an answer.
fn is_answer(evidence: &Evidence, seq: Seq) -> bool {
    evidence.resent().contains(&seq) && !evidence.streamed().contains(&seq)
}

/// Returns whether an output has more packets than another one that seemed to be full.
pub(super) fn has_more_room(claimed: &Evidence, other: &Evidence) -> bool {
    other.has_output() && other.differences.order.len() > claimed.differences.rows
}

/// Returns whether an output is sorted although its packets arrived in another order, in the same
/// place as in another run: in the stream, or as answers behind it.
pub(super) fn is_sorted(claimed: &Evidence, other: &Evidence) -> bool {
    let is_complete = other.has_output() && other.differences.is_complete();
    let answers = claimed.differences.out_of_order.is_some_and(|(seq, _)| is_answer(claimed, seq));
    let mut highest = 0;
    let was_disordered = arrivals(other).into_iter().any(|seq| {
        let is_late = seq < highest && is_answer(other, seq) == answers;
        highest = highest.max(seq);
        is_late
    });
    is_complete && other.differences.out_of_order.is_none() && was_disordered
}

/// Returns whether a client that has ended by itself left an output that cannot be read.
pub(super) fn is_unclear(evidence: &Evidence) -> bool {
    let is_over = evidence.process.ended == ProcessEnd::Exited(0);
    matches!(&evidence.output, ClientOutput::Unclear { why, .. } if is_over && why != "empty")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{classic_run, named_in, run_on};
    use crate::grade::observe::fields::OutputField;
    use feed::tape::in_memory::Tape;
    use feed::wire::Call;

    #[test]
    fn invalid_json_is_recognised() {
        let why = "invalid or incomplete JSON: trailing comma at line 16 column 1";
        let (id, text) = classic_run().stream(1..=14).unclear("output.json", why).cause();
        assert_eq!(id, "not-json");
        assert!(text.contains("(trailing comma at line 16 column 1)"), "{text}");
    }

    #[test]
    fn a_fixed_capacity_is_recognised() {
        let one = |kept| run_on(Tape::sample(300)).stream(1..=300).write(1..=kept);
        let (id, text) = one(100).cause();
        assert_eq!((id, &text[..39]), ("no-room", "the client keeps only the first 100 pac"));
        assert_ne!(one(10).id(), "no-room");
    }

    #[test]
    fn an_output_written_before_the_answers_is_recognised() {
        let rest = || (1..=4).chain(6..=14);
        let early = classic_run().stream(rest()).ask([5]).write(rest()).send([5]).hang_up();
        let (id, text) = early.cause();
        assert_eq!(id, "written-early");
        assert!(
            text.contains(
                "20 ms after the client's last request, and packet 5 arrived 40 ms after"
            ),
            "{text}"
        );
        assert_ne!(classic_run().stream(rest()).fill([5]).write(rest()).id(), "written-early");
    }

    #[test]
    fn duplicates_arrival_order_and_broken_frames_are_recognised() {
        let twice = || [1, 2, 3, 3].into_iter().chain(4..=14);
        assert_eq!(classic_run().stream(twice()).write(twice()).id(), "duplicates-kept");
        assert_eq!(classic_run().stream(1..=14).write(twice()).id(), "none", "it came once");
        let unsorted = || (1..=4).chain(6..=14).chain([5]);
        let late = classic_run().stream((1..=4).chain(6..=14)).fill([5]).write(unsorted());
        assert_eq!(late.id(), "arrival-order");
        let broken = classic_run().connect().call(Call::Stream).send(1..=5);
        let broken = broken.damaged(6, 4, b'a').send(7..=14).finished().closed();
        let kept = broken.write_as(1..=14, |packet, fields| {
            if packet.sequence == 6 {
                fields[OutputField::Side as usize].1 = Some("a".to_owned());
            }
        });
        assert_eq!(kept.id(), "broken-kept");
    }

    #[test]
    fn writes_that_follow_each_other_are_recognised() {
        let why = "invalid or incomplete JSON: trailing characters at line 100 column 4";
        let (id, text) = classic_run().stream(1..=14).unclear("output.json", why).cause();
        assert_eq!(id, "written-twice");
        assert!(text.contains("more behind a whole JSON value (trailing characters"), "{text}");
    }

    #[test]
    fn copies_that_a_client_may_not_have_read_prove_nothing() {
        let rest = || (1..=14).filter(|seq| ![2, 4].contains(seq));
        let twice = || {
            let run = classic_run().connect().one_by_one().call(Call::Stream).send(rest());
            let run = run.finished().closed().connect().one_by_one();
            run.call(Call::Resend(2)).call(Call::Resend(4))
        };
        // The second copy of packet 4 comes when the client has all that it requested.
        let doubled =
            || twice().send([2, 2, 4, 4]).hang_up().write([1, 2].into_iter().chain(2..=14));
        assert_eq!(doubled().id(), "duplicates-kept");
        let kept = twice().send([2, 2, 4]).hang_up().write(1..=14);
        let named = named_in(vec![(doubled(), true), (kept, false)]);
        assert_ne!(named[0], "duplicates-kept", "another run keeps one copy");
        // A client may have missed the first copy, which followed another packet in its read.
        let lost = classic_run().connect().one_by_one().call(Call::Stream).send(1..=5);
        let lost = lost.together([6, 7]).send(8..=14).finished().closed().fill([7]).write(1..=14);
        let both = || classic_run().stream(1..=14).fill([7]).write((1..=14).chain([7]));
        let named = named_in(vec![(both(), true), (lost, false)]);
        assert_eq!(named[0], "duplicates-kept");
    }
}
