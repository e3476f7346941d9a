//! How reads became packets.

use super::super::evidence::{Evidence, packets};
use super::super::wire::Segment;
use feed::seq::Seq;
use std::collections::BTreeSet;
use std::time::Duration;

/// Writes that follow each other faster than this are often one read.
const CLOSE: Duration = Duration::from_millis(2);

/// What a client would read at once, as far as the exchange can tell: the packets of one write, or
/// of writes close to each other.
struct Read {
    /// In their order.
    seqs: Vec<Seq>,
    /// One write, so that it is no guess.
    sure: bool,
}

/// The reads of streams, or of answers, that hold only whole packets.
fn reads(seen: &Evidence, streamed: bool) -> Vec<Read> {
    let mut found: Vec<Read> = Vec::new();
    let mut before: Option<(usize, Duration)> = None;
    for (at, segment) in seen.wire.segments() {
        let state = &seen.wire.conns[segment.conn];
        let is_stream = state.stream_from.is_some_and(|from| segment.frames.0 >= from);
        if segment.cut_before || segment.cut_after || is_stream != streamed {
            before = None;
            continue;
        }
        let (first, last) = segment.frames;
        let seqs: Vec<Seq> =
            (first..=last).filter_map(|place| seen.wire.seq_at(segment.conn, place)).collect();
        let joins = before.is_some_and(|(conn, time)| conn == segment.conn && at < time + CLOSE);
        match found.last_mut().filter(|_| joins) {
            Some(read) => {
                read.seqs.extend(seqs);
                read.sure = false;
            }
            None => found.push(Read { sure: seqs.len() > 1, seqs }),
        }
        before = Some((segment.conn, at));
    }
    found
}

/// Packets that came in one read behind another, each of them missing, while the first of some
/// such read is there.
fn behind_the_first(seen: &Evidence, streamed: bool) -> Option<(Vec<Seq>, Seq, bool)> {
    let reads = reads(seen, streamed);
    let many: Vec<&Read> = reads.iter().filter(|read| read.seqs.len() > 1).collect();
    let behind = |read: &Read| read.seqs[1..].to_vec();
    // Those that came again by themselves are no evidence.
    let alone: BTreeSet<Seq> = reads_alone(seen);
    let lost: BTreeSet<Seq> =
        many.iter().flat_map(|read| behind(read)).filter(|seq| !alone.contains(seq)).collect();
    let kept = many.iter().find(|read| !seen.misses(read.seqs[0]))?;
    let sure = many.iter().all(|read| read.sure);
    let missing = lost.iter().filter(|seq| seen.misses(**seq)).count();
    // Where reads are guessed, some packets may have come by themselves.
    let enough = if sure { missing == lost.len() } else { missing * 2 >= lost.len() };
    // And nothing else that streams or answers brought is missing.
    let first_lost = reads.iter().filter(|read| seen.misses(read.seqs[0])).count();
    let shown: Vec<Seq> = behind(kept).into_iter().filter(|seq| seen.misses(*seq)).collect();
    (seen.has_output() && !shown.is_empty() && enough && (first_lost == 0 || !sure))
        .then(|| (shown, kept.seqs[0], sure))
}

/// Packets that came in some read as the first.
fn reads_alone(seen: &Evidence) -> BTreeSet<Seq> {
    let reads = [true, false].into_iter().flat_map(|streamed| reads(seen, streamed));
    reads.filter_map(|read| read.seqs.first().copied()).collect()
}

/// Only the first packet of each read was kept.
pub(super) fn first_of_read(seen: &Evidence) -> Option<String> {
    let (lost, kept, sure) = behind_the_first(seen, true)?;
    Some(told(&lost, kept, sure))
}

fn told(lost: &[Seq], kept: Seq, sure: bool) -> String {
    let lost = packets(lost.iter().copied());
    match sure {
        true => format!(
            "{lost} came in one TCP segment with packet {kept}, and only the first was kept: a \
             read is not a packet"
        ),
        false => format!(
            "{lost} came right behind packet {kept}, likely in the same read, and only the first \
             was kept: a read is not a packet"
        ),
    }
}

/// Only the first answer of each read was kept, or counted.
pub(super) fn first_answer_of_read(seen: &Evidence) -> Option<String> {
    if let Some((lost, kept, sure)) = behind_the_first(seen, false) {
        return Some(format!("of the answers, {}", told(&lost, kept, sure)));
    }
    // A client that waits for the rest writes nothing.
    let reads = reads(seen, false);
    let together = reads.iter().find(|read| read.seqs.len() > 1)?;
    let asked = seen.asked();
    let resent = seen.resent();
    let all_came = !asked.is_empty() && asked.is_subset(&resent);
    let streamed_well = framed_well(seen);
    (!seen.has_output() && all_came && streamed_well).then(|| {
        format!(
            "the answers with {} came {}, and it waits for one read each: a read is not a packet",
            packets(together.seqs.iter().copied()),
            if together.sure { "in one TCP segment" } else { "right behind each other" }
        )
    })
}

/// Whether every packet of the streams came by itself, so that whatever is wrong is not how the
/// stream was read.
fn framed_well(seen: &Evidence) -> bool {
    let streams = seen.wire.segments().filter(|(_, segment)| {
        let state = &seen.wire.conns[segment.conn];
        state.stream_from.is_some_and(|from| segment.frames.0 >= from)
    });
    let whole = |segment: &Segment| !segment.cut_before && !segment.cut_after;
    let mut streams = streams.map(|(_, segment)| segment);
    streams.all(|segment| whole(&segment))
        && reads(seen, true).iter().all(|read| read.seqs.len() == 1)
}

/// Packets that were cut between writes were lost, and with them what came after.
pub(super) fn split(seen: &Evidence) -> Option<String> {
    let mut whole: BTreeSet<Seq> = BTreeSet::new();
    let mut halves: BTreeSet<Seq> = BTreeSet::new();
    let mut before_first = BTreeSet::new();
    for (_, segment) in seen.wire.segments() {
        let (first, last) = segment.frames;
        for place in first..=last {
            let Some(seq) = seen.wire.seq_at(segment.conn, place) else { continue };
            let cut =
                (place == first && segment.cut_before) || (place == last && segment.cut_after);
            if cut {
                halves.insert(seq);
            } else {
                whole.insert(seq);
                if halves.is_empty() {
                    before_first.insert(seq);
                }
            }
        }
    }
    let lost: Vec<Seq> =
        halves.difference(&whole).copied().filter(|seq| seen.misses(*seq)).collect();
    lost.first()?;
    // Half of them may have come well by chance; those before the first cut must have.
    let enough = lost.len() * 2 >= halves.difference(&whole).count();
    let clean = !seen.has_output() || before_first.iter().all(|seq| !seen.misses(*seq));
    let differences = &seen.differences;
    let shifted = !differences.made_up.is_empty() || !differences.wrong.is_empty();
    (enough && clean).then(|| {
        let pieces = if lost.len() == 1 { "came in pieces" } else { "came in pieces each" };
        let shifted = match shifted {
            true => ", so what followed was read from the wrong byte on",
            false => ", so that was lost",
        };
        format!(
            "{} {pieces}, and the bytes at the end of a read were not put together with the next \
             read's{shifted}",
            packets(lost)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::story;
    use feed::wire::Call;

    #[test]
    fn only_the_first_packet_of_a_read() {
        let one = story().connect().call(Call::Stream).send(1..=3).together([4, 5]);
        let (id, text) = one
            .send(6..=14)
            .finished()
            .closed()
            .write([1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14])
            .cause();
        assert_eq!(id, "first-of-read");
        assert!(text.starts_with("packet 5 came in one TCP segment with packet 4"), "{text}");
    }

    #[test]
    fn a_packet_in_one_read_with_another_that_is_there_is_no_such_thing() {
        let one = story().connect().call(Call::Stream).together([1, 2]).together([3, 4]);
        let id =
            one.send(5..=14).finished().closed().write([1, 2, 3].into_iter().chain(5..=14)).id();
        assert_ne!(id, "first-of-read");
    }

    #[test]
    fn answers_that_come_together() {
        let ask = || story().stream([1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]).ask([2, 3]);
        let kept = ask().together([2, 3]).hang_up().write([1, 2].into_iter().chain(4..=14));
        assert_eq!(kept.id(), "first-answer-of-read");
        assert_eq!(ask().together([2, 3]).finished().hang_up().id(), "first-answer-of-read");
        assert_ne!(ask().send([2, 3]).finished().hang_up().id(), "first-answer-of-read");
    }

    #[test]
    fn a_packet_in_two_pieces() {
        let one = || story().connect().call(Call::Stream).send(1..=6).pieces([7], 9).send(8..=14);
        let done = || one().finished().closed();
        let (id, text) = done().write((1..=6).chain(8..=14)).cause();
        assert_eq!(id, "split-packet");
        assert!(text.contains("packet 7 came in pieces"), "{text}");
        assert!(text.contains("so that was lost"), "{text}");
        assert_ne!(done().write((1..=7).chain(9..=14)).id(), "split-packet");
        let tiny = story().connect().call(Call::Stream).pieces(1..=14, 1).finished().closed();
        assert_eq!(tiny.write([]).id(), "split-packet");
    }
}
