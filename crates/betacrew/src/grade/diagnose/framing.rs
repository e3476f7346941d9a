//! How reads became packets.

use crate::grade::observe::evidence::{ClientOutput, Evidence, packets};
use crate::grade::observe::wire::{Moment, Segment};
use feed::base::seq::Seq;
use feed::wire::FRAME_LEN;
use std::collections::BTreeSet;
use std::time::Duration;

/// Writes that follow each other faster than this are often one read.
const CLOSE: Duration = Duration::from_millis(2);

/// So many resend calls for what there is not are no mistake about the session's length.
const STRANGE_MIN: usize = 20;

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
        if seqs.is_empty() {
            continue;
        }
        let joins = before
            .is_some_and(|(conn, time)| conn == segment.conn && at < time + CLOSE && !state.apart);
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
pub(crate) fn first_of_read(seen: &Evidence) -> Option<String> {
    if let Some((lost, kept, sure)) = behind_the_first(seen, true) {
        return Some(told(&lost, kept, sure));
    }
    // Packets that the stream had brought and that were asked for again are telling too.
    let reads = reads(seen, true);
    let (mut streamed, mut needless) = (BTreeSet::new(), BTreeSet::new());
    for (_, _, moment) in seen.wire.history() {
        match moment {
            Moment::Brought { seq, streamed: true } => drop(streamed.insert(seq)),
            Moment::Asked { seq, .. } if streamed.contains(&seq) => drop(needless.insert(seq)),
            _ => {}
        }
    }
    let behind: BTreeSet<Seq> = reads.iter().flat_map(|read| &read.seqs[1..]).copied().collect();
    let read = reads.iter().find(|read| read.seqs[1..].iter().any(|seq| needless.contains(seq)))?;
    let most = needless.len() * 2 >= behind.len();
    (most && needless.is_subset(&behind)).then(|| {
        let lost: Vec<Seq> =
            read.seqs[1..].iter().copied().filter(|seq| needless.contains(seq)).collect();
        format!("{} (and it asked for what it had been sent)", told(&lost, read.seqs[0], read.sure))
    })
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
pub(crate) fn first_answer_of_read(seen: &Evidence) -> Option<String> {
    if let Some((lost, kept, sure)) = behind_the_first(seen, false) {
        return Some(format!("of the answers, {}", told(&lost, kept, sure)));
    }
    // A client that waits for the rest writes nothing.
    let reads = reads(seen, false);
    let together = reads.iter().find(|read| read.seqs.len() > 1)?;
    let asked = seen.asked();
    let resent = seen.resent();
    let all_came = !asked.is_empty() && asked.is_subset(resent);
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
pub(crate) fn split(seen: &Evidence) -> Option<String> {
    let FramingCuts { whole, halves, before } = cuts(seen);
    let pieces = halves.first()?;
    if let Some(seq) = shifted(seen, &halves) {
        return Some(format!(
            "packet {pieces} came in pieces, and the bytes at the end of a read were not put \
             together with the next read's: what followed was read from the wrong byte on, \
             {seq} is no sequence"
        ));
    }
    let lost: Vec<Seq> =
        halves.difference(&whole).copied().filter(|seq| seen.misses(*seq)).collect();
    // Half of them may have come well by chance; those before the first cut must have.
    let enough = !lost.is_empty() && lost.len() * 2 >= halves.difference(&whole).count();
    let clean = seen.has_output() && before.iter().all(|seq| !seen.misses(*seq));
    // What is misread as a symbol makes no JSON.
    let unclear = matches!(&seen.output, ClientOutput::Unclear { why, .. } if why.contains("control character"));
    (enough && clean || unclear).then(|| {
        let all = if unclear { halves.iter().copied().collect() } else { lost };
        let pieces = if all.len() == 1 { "came in pieces" } else { "came in pieces each" };
        format!(
            "{} {pieces}, and the bytes at the end of a read were not put together with the next \
             read's",
            packets(all)
        )
    })
}

/// The packets of all writes.
struct FramingCuts {
    /// That some write holds whole.
    whole: BTreeSet<Seq>,
    /// That some write holds a part of.
    halves: BTreeSet<Seq>,
    /// That came whole before any was cut.
    before: BTreeSet<Seq>,
}

fn cuts(seen: &Evidence) -> FramingCuts {
    let (mut whole, mut halves, mut before) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (_, segment) in seen.wire.segments() {
        let (first, last) = segment.frames;
        for place in first..=last {
            let Some(seq) = seen.wire.seq_at(segment.conn, place) else { continue };
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

/// A sequence that is none, if all that are none stand in the bytes that were sent, but not where
/// sequences stand.
fn shifted(seen: &Evidence, halves: &BTreeSet<Seq>) -> Option<String> {
    if halves.is_empty() {
        return None;
    }
    let numbers: BTreeSet<u32> = seen
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
    let made_up = &seen.differences.made_up;
    if let Some(first) = made_up.first().filter(|_| made_up.iter().all(stands)) {
        return Some(first.clone());
    }
    let strange = seen.asked().iter().copied().filter(|seq| *seq > seen.last());
    let strange: Vec<Seq> = strange.collect();
    (strange.len() >= STRANGE_MIN).then(|| strange[strange.len() - 1].to_string())
}

/// Sizes that people give to reads.
const SIZES: [usize; 9] = [256, 512, 1000, 1024, 2048, 4096, 8192, 16_384, 65_536];

/// The first packet that is missing is one that a read of a usual size ends inside of.
pub(crate) fn read_size(seen: &Evidence) -> Option<String> {
    let ranges = seen.differences.missing.ranges();
    let first = ranges.first().map(|range| range.first())?;
    let large = seen.wire.segments().find_map(|(_, segment)| {
        let (from, to) = segment.frames;
        let place =
            (from..=to).find(|place| seen.wire.seq_at(segment.conn, *place) == Some(first))?;
        (to > from).then_some(place - from)
    })?;
    let size = SIZES.iter().find(|size| large > 0 && **size / FRAME_LEN == large)?;
    // A client that lost only what it lost later would have lost nothing here.
    (seen.has_output() && seen.streamed().contains(&first)).then(|| {
        format!(
            "packet {first} is the one that a read of {size} bytes ends inside of, and the bytes \
             at the end of a read were not put together with the next read's"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{on, story};
    use crate::grade::observe::fields::OutputField;
    use feed::base::seq::Seq;
    use feed::tape::in_memory::Tape;
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
    fn what_was_brought_and_asked_for() {
        let pairs = story().connect().call(Call::Stream).together([1, 2]).together([3, 4]);
        let (id, text) = pairs.finished().closed().ask([2]).cause();
        assert_eq!(id, "first-of-read");
        let one = || story().connect().call(Call::Stream).together([1, 2, 3, 4, 5, 6, 7]);
        assert_ne!(one().finished().closed().ask([2]).id(), "first-of-read", "one of six");
        assert!(text.contains("packet 2 came in one TCP segment with packet 1"), "{text}");
    }

    #[test]
    fn a_read_of_a_usual_size() {
        let all: [Seq; 200] = std::array::from_fn(|place| Seq::try_from(place).unwrap() + 1);
        let one = || on(Tape::sample(200)).connect().call(Call::Stream).together(all);
        let lost = one().finished().closed().write((1..=60).chain(62..=200));
        let (id, text) = lost.cause();
        assert_eq!(id, "read-size");
        assert!(text.contains("a read of 1024 bytes"), "{text}");
        let other = one().finished().closed().write((1..=61).chain(63..=200));
        assert_ne!(other.id(), "read-size");
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
        assert!(text.contains("packet 7 came in pieces, and the bytes"), "{text}");
        assert_ne!(done().write((1..=7).chain(9..=14)).id(), "split-packet");
        let strange = done().write_as((1..=6).chain([8]), |packet, fields| {
            if packet.sequence == 8 {
                // The last two bytes of a price and the first two of a sequence.
                fields[OutputField::Sequence as usize].1 = Some((150 << 16).to_string());
            }
        });
        let (id, text) = strange.cause();
        assert_eq!(id, "split-packet");
        assert!(text.contains("9830400 is no sequence"), "{text}");
        let tiny = story().connect().call(Call::Stream).pieces(1..=14, 1).finished().closed();
        assert_eq!(tiny.write([]).id(), "split-packet");
    }
}
