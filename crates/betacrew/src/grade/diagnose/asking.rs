//! How gaps became resend calls, and answers packets.

use crate::grade::observe::evidence::{Evidence, packets, packets_were};
use crate::grade::observe::fields::OutputField;
use crate::grade::observe::wire::{Moment, WireEventKind, packet_of};
use crate::grade::run::process::Ended;
use feed::base::seq::Seq;
use feed::wire::{Call, FRAME_LEN};
use std::collections::BTreeSet;
use std::time::Duration;

/// The exercise's sessions have this many packets.
const USUAL: Seq = 14;

/// A client that closes a connection sooner than this does not wait for answers.
const IMPATIENT: Duration = Duration::from_millis(350);

/// Gaps that were not asked for and are missing.
fn unasked(seen: &Evidence) -> BTreeSet<Seq> {
    let asked = seen.asked();
    seen.gaps().iter().copied().filter(|seq| !asked.contains(seq) && seen.misses(*seq)).collect()
}

/// Streams brought what they could, and it is in the output, if there is one: gaps could be seen. A
/// client that was ended by force may still have been at it.
fn saw_the_rest(seen: &Evidence) -> bool {
    let streamed = seen.streamed();
    let kept = match seen.has_output() {
        true => streamed.iter().all(|seq| !seen.misses(*seq)),
        false => seen.ran.ended != Ended::Killed,
    };
    !streamed.is_empty() && kept
}

/// What is missing was asked for where nothing answers.
pub(crate) fn after_stream(seen: &Evidence) -> Option<String> {
    let late: BTreeSet<Seq> = seen
        .wire
        .history()
        .filter_map(|(_, _, moment)| match moment {
            Moment::Asked { seq, late: true } => Some(seq),
            _ => None,
        })
        .collect();
    let resent = seen.resent();
    let lost = late.iter().any(|seq| seen.misses(*seq) && !resent.contains(seq));
    lost.then(|| {
        format!(
            "it asked for {} on the connection of the stream, where the exchange sends nothing \
             more: resend calls need a connection of their own",
            packets(late)
        )
    })
}

/// Nothing was asked for.
pub(crate) fn never_asks(seen: &Evidence) -> Option<String> {
    let gaps = seen.gaps();
    // One stream that lost the first packets only says less.
    let inner = gaps.iter().any(|seq| *seq > first_streamed(seen));
    let none = seen.asked().is_empty() && seen.wire.streams() == 1;
    let missing = seen.has_output() && gaps.iter().any(|seq| seen.misses(*seq));
    (none && inner && missing && saw_the_rest(seen)).then(|| {
        format!("{} lost, and it never asked for any packet", packets_were(gaps.iter().copied()))
    })
}

fn first_streamed(seen: &Evidence) -> Seq {
    seen.streamed().first().copied().unwrap_or(0)
}

/// The packets before the first one that came were not missed.
pub(crate) fn first_gap(seen: &Evidence) -> Option<String> {
    let first = first_streamed(seen);
    let asked = seen.asked();
    let unasked: Vec<Seq> = (1..first).filter(|seq| !asked.contains(seq)).collect();
    let all = unasked.len() == usize::try_from(first.saturating_sub(1)).unwrap_or(0);
    let others_asked = seen.gaps().iter().all(|seq| *seq < first || asked.contains(seq))
        && asked.range(..first).next().is_none();
    let lost = unasked.iter().all(|seq| seen.misses(*seq));
    (!unasked.is_empty() && all && others_asked && lost && saw_the_rest(seen)).then(|| {
        format!(
            "{} never came, and it did not ask: it takes the first packet that comes ({first}) for \
             the first of the session",
            packets(unasked)
        )
    })
}

/// The last gap was not asked for, and the others were.
pub(crate) fn last_gap(seen: &Evidence) -> Option<String> {
    let (gaps, unasked, asked) = (seen.gaps(), unasked(seen), seen.asked());
    let only = unasked.iter().next().filter(|_| unasked.len() == 1)?;
    let last = gaps.last() == Some(only) && *only + 1 == seen.highest();
    let rest = gaps.iter().filter(|seq| *seq != only).all(|seq| asked.contains(seq));
    // One that counts packets would not have asked for this.
    let beyond = gaps.iter().any(|seq| asked.contains(seq) && *seq > came(seen));
    (last && rest && beyond && saw_the_rest(seen)).then(|| {
        format!(
            "packet {only}, right before the last one, was lost and not asked for: its search for \
             gaps ends one too early"
        )
    })
}

/// How many packets streams brought.
fn came(seen: &Evidence) -> Seq {
    Seq::try_from(seen.streamed().len()).unwrap_or(Seq::MAX)
}

/// Gaps were looked for up to the number of packets instead of the highest sequence.
pub(crate) fn counts_packets(seen: &Evidence) -> Option<String> {
    let (gaps, unasked, asked, came) = (seen.gaps(), unasked(seen), seen.asked(), came(seen));
    let low = |seq: &&Seq| **seq < came;
    let right = gaps.iter().filter(low).all(|seq| asked.contains(seq))
        && unasked.iter().all(|seq| *seq >= came)
        && gaps.iter().filter(|seq| **seq > came).all(|seq| unasked.contains(seq));
    // One whose search ends one too early would have asked for this.
    let more = unasked.iter().any(|seq| *seq + 1 < seen.highest());
    let some = gaps.iter().any(|seq| *seq < came) || seen.asked().contains(&0);
    (right && more && some && saw_the_rest(seen)).then(|| {
        format!(
            "{} lost and not asked for: it looks for gaps up to {came}, the number of packets that \
             came, instead of up to {}, the highest sequence",
            packets_were(unasked),
            seen.highest()
        )
    })
}

/// Gaps were looked for up to the packet that came last, which is not the highest one.
pub(crate) fn last_for_highest(seen: &Evidence) -> Option<String> {
    let (gaps, unasked, asked) = (seen.gaps(), unasked(seen), seen.asked());
    let (_, last) = seen.wire.streamed().last()?;
    let right = last < seen.highest()
        && !unasked.is_empty()
        && unasked.iter().all(|seq| *seq > last)
        && gaps.iter().filter(|seq| **seq < last).all(|seq| asked.contains(seq));
    (right && saw_the_rest(seen)).then(|| {
        format!(
            "{} lost and not asked for: it looks for gaps up to {last}, the packet that came last, \
             instead of up to {}, the highest",
            packets_were(unasked),
            seen.highest()
        )
    })
}

/// A sequence that does not fit into a byte ended it.
pub(crate) fn too_large_to_ask(seen: &Evidence) -> Option<String> {
    let first = seen.gaps().range(256..).next()?;
    let said = String::from_utf8_lossy(&seen.ran.stderr).to_lowercase();
    let words = ["255", "ubyte", "range(0, 256)", "byte must be", "overflow"];
    let crashed = !matches!(seen.ran.ended, Ended::Exited(0) | Ended::Killed | Ended::Lingered);
    (crashed && words.iter().any(|word| said.contains(word))).then(|| {
        format!(
            "it crashed asking for packet {first}: a resend call has one byte for the sequence. \
             What one byte cannot express comes with another stream"
        )
    })
}

/// The wrong neighbours were asked for.
pub(crate) fn off_by_one(seen: &Evidence) -> Option<String> {
    let (gaps, asked) = (seen.gaps(), seen.asked());
    let shifted = |by: i64| -> BTreeSet<Seq> {
        gaps.iter().filter_map(|seq| Seq::try_from(i64::from(*seq) + by).ok()).collect()
    };
    let wrong = !gaps.is_empty() && gaps.iter().all(|seq| seen.misses(*seq)) && asked != gaps;
    let off = [(-1, "below"), (1, "above")].into_iter().find(|(by, _)| *asked == shifted(*by));
    let (_, side) = off.filter(|_| wrong)?;
    Some(format!(
        "{} lost, and it asked for {}: one {side}",
        packets_were(gaps.iter().copied()),
        packets(asked.iter().copied())
    ))
}

/// The session was taken to have fourteen packets.
pub(crate) fn fixed_length(seen: &Evidence) -> Option<String> {
    let (asked, last) = (seen.asked(), seen.last());
    let beyond: BTreeSet<Seq> = asked.iter().copied().filter(|seq| *seq > last).collect();
    if last < USUAL && (last + 1..=USUAL).all(|seq| beyond.contains(&seq)) {
        return Some(format!(
            "it asked for {}, which the session does not have: it takes every session for one of \
             {USUAL} packets",
            packets(beyond)
        ));
    }
    // One that gets no answer there may come no further.
    if last < USUAL && beyond.contains(&(last + 1)) && !seen.has_output() {
        return Some(format!(
            "it asked for packet {}, which the session does not have: it knows the session's \
             length from somewhere else than from its packets",
            last + 1
        ));
    }
    let (low, high): (Vec<Seq>, Vec<Seq>) =
        seen.gaps().iter().copied().partition(|seq| *seq <= USUAL);
    let unasked = unasked(seen);
    let stops = !low.is_empty()
        && !high.is_empty()
        && low.iter().all(|seq| asked.contains(seq))
        && high.iter().all(|seq| unasked.contains(seq));
    (stops && saw_the_rest(seen)).then(|| {
        format!(
            "{} not asked for, those up to {USUAL} were: it takes every session for one of {USUAL} \
             packets",
            packets_were(high)
        )
    })
}

/// A sequence above 255 was asked for by its lowest byte.
pub(crate) fn cut_to_a_byte(seen: &Evidence) -> Option<String> {
    let (gaps, asked, streamed) = (seen.gaps(), seen.asked(), seen.streamed());
    let cut = |seq: Seq| seq % 256;
    let high: Vec<Seq> =
        gaps.iter().copied().filter(|seq| *seq > 255 && seen.misses(*seq)).collect();
    let wrong = high.iter().copied().filter(|seq| {
        let low = cut(*seq);
        asked.contains(&low) && (streamed.contains(&low) || low == 0)
    });
    let wrong: Vec<Seq> = wrong.collect();
    let first = wrong.first()?;
    (wrong.len() * 2 >= high.len()).then(|| {
        format!(
            "it asked for packet {} when packet {first} was lost: a resend call has one byte for \
             the sequence, and the rest was cut off. What one byte cannot express comes with \
             another stream",
            cut(*first)
        )
    })
}

/// So many connections are looked at for what was asked for on them.
const ERRANDS_MAX: usize = 200;

/// What was asked for on one connection, and how that ended.
struct Errand {
    asked: Vec<Seq>,
    /// What came before it ended.
    answered: BTreeSet<Seq>,
    /// What came after the client had ended it.
    after: BTreeSet<Seq>,
    /// The client ended it before the exchange did, so long after something had happened on it.
    left_after: Option<Duration>,
    /// The client reset it.
    reset: bool,
}

fn errand(seen: &Evidence, conn: usize) -> Errand {
    let mut errand = Errand {
        asked: Vec::new(),
        answered: BTreeSet::new(),
        after: BTreeSet::new(),
        left_after: None,
        reset: false,
    };
    let mut active = Duration::ZERO;
    let mut over = false;
    let mut answers = seen.wire.conns[conn].frames.iter().map(packet_of);
    for event in seen.deeds().filter(|event| event.conn == conn) {
        match event.what {
            WireEventKind::Called { call: Call::Resend(seq), late: false } => {
                errand.asked.push(seq)
            }
            WireEventKind::Sent { from, to } => {
                let whole = to / FRAME_LEN as u64 - from / FRAME_LEN as u64;
                let came = (0..whole).filter_map(|_| answers.next().flatten());
                if over { errand.after.extend(came) } else { errand.answered.extend(came) }
            }
            WireEventKind::ClientEnded | WireEventKind::Reset if !over => {
                errand.left_after = Some(event.at.saturating_sub(active));
                errand.reset = event.what == WireEventKind::Reset;
                over = true;
            }
            WireEventKind::Reset => errand.reset = true,
            WireEventKind::Finished | WireEventKind::Closed | WireEventKind::ResetByExchange => {
                over = true
            }
            _ => {}
        }
        active = event.at;
    }
    errand
}

/// Answers came after the client had closed the connection, or it was reset by closing it.
pub(crate) fn answers_unread(seen: &Evidence) -> Option<String> {
    (0..seen.wire.conns.len().min(ERRANDS_MAX)).find_map(|conn| {
        let Errand { asked, answered, after, left_after, reset } = errand(seen, conn);
        let waited = left_after.filter(|waited| *waited < IMPATIENT)?;
        // What had been sent can be unread as well, and then the connection is reset.
        let unread = |seq: &Seq| after.contains(seq) || reset;
        let open = asked.into_iter().filter(|seq| unread(seq) && seen.misses(*seq));
        let lost: Vec<Seq> = open.collect();
        // Other packets may have come for what was asked for.
        (!lost.is_empty() && (reset || !answered.contains(&lost[0]))).then(|| {
            let waited = match waited.as_millis() {
                ..10 => "without waiting for".to_owned(),
                waited => format!("after {waited} ms, before it had read"),
            };
            let s = if lost.len() == 1 { "" } else { "s" };
            format!(
                "it closed connection {} {waited} the answer{s} with {}",
                conn + 1,
                packets(lost)
            )
        })
    })
}

/// A packet was filed under the sequence that was asked for.
pub(crate) fn trusts_the_request(seen: &Evidence) -> Option<String> {
    let sent: BTreeSet<Seq> = seen.streamed().union(seen.resent()).copied().collect();
    let invented = seen.differences.order.iter().find(|seq| !sent.contains(seq))?;
    let asked = seen.asked().contains(invented);
    let content = seen
        .differences
        .wrong
        .iter()
        .any(|wrong| wrong.seq == *invented && wrong.field != OutputField::Sequence);
    (asked && content).then(|| {
        format!(
            "packet {invented} was asked for and another one came; it was written as {invented}: \
             what a packet is stands in it"
        )
    })
}

/// What was asked for once and not answered was given up.
pub(crate) fn not_asked_again(seen: &Evidence) -> Option<String> {
    let resent = seen.resent();
    let mut times = std::collections::BTreeMap::new();
    seen.wire.asked().for_each(|seq| *times.entry(seq).or_insert(0u32) += 1);
    let lost: Vec<Seq> = times
        .iter()
        .filter(|(seq, times)| **times == 1 && !resent.contains(seq) && seen.misses(**seq))
        .map(|(seq, _)| *seq)
        .filter(|seq| (1..=seen.last()).contains(seq))
        .collect();
    let streams = seen.wire.streams();
    (!lost.is_empty() && streams == 1).then(|| {
        format!(
            "it asked for {} once{}, and neither asked again nor streamed again",
            packets(lost),
            fate_of_asking(seen)
        )
    })
}

fn fate_of_asking(seen: &Evidence) -> &'static str {
    let resets = seen.wire.events.iter().any(|event| event.what == WireEventKind::ResetByExchange);
    let other = seen.resent().iter().any(|seq| !seen.asked().contains(seq));
    match (resets, other) {
        (true, _) => ", the connection was reset",
        (_, true) => ", got another packet instead",
        _ => ", got no answer",
    }
}

/// A stream that ended early was taken for a whole one.
pub(crate) fn short_stream(seen: &Evidence) -> Option<String> {
    let highest = seen.highest();
    let tail_missing = (highest + 1..=seen.last()).all(|seq| seen.misses(seq));
    let reset = seen.wire.events.iter().any(|event| {
        event.what == WireEventKind::ResetByExchange
            && seen.wire.conns.get(event.conn).is_some_and(|conn| conn.stream_from.is_some())
    });
    let inside = seen
        .wire
        .conns
        .iter()
        .any(|conn| conn.stream_from.is_some() && conn.sent % FRAME_LEN as u64 != 0);
    // One that was ended by force may have been about to.
    let done = seen.has_output() || seen.ran.ended != Ended::Killed;
    let early =
        done && (1..seen.last()).contains(&highest) && tail_missing && seen.wire.streams() == 1;
    (early && (reset || inside)).then(|| {
        let how = if inside { "inside a packet" } else { "by a reset" };
        format!(
            "the stream ended {how} after packet {highest}, and it did not stream again: what came \
             after was never sent to it"
        )
    })
}

/// The tail was lost, and one stream was all.
pub(crate) fn tail(seen: &Evidence) -> Option<String> {
    let highest = seen.highest();
    let lost: Vec<Seq> = (highest + 1..=seen.last()).collect();
    let all = seen.has_output() && !lost.is_empty() && lost.iter().all(|seq| seen.misses(*seq));
    let rest = seen.differences.missing.count() == lost.len() as u64;
    (all && rest && seen.wire.streams() == 1).then(|| match highest {
        0 => "no packet came in the stream, and it streamed only once".to_owned(),
        _ => format!(
            "{} lost at the end, which nothing that came shows, and it streamed only once",
            packets_were(lost)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{on, story};
    use crate::grade::run::process::Ended;
    use feed::base::seq::Seq;
    use feed::tape::in_memory::Tape;
    use feed::wire::Call;

    fn without(last: Seq, lost: &[Seq]) -> Vec<Seq> {
        (1..=last).filter(|seq| !lost.contains(seq)).collect()
    }

    #[test]
    fn the_stream_s_connection_answers_nothing() {
        let late = story().connect().call(Call::Stream).send(without(14, &[5])).finished();
        let (id, text) = late.call(Call::Resend(5)).hang_up().write(without(14, &[5])).cause();
        assert_eq!(id, "after-stream");
        assert!(text.contains("asked for packet 5 on the connection of the stream"), "{text}");
    }

    #[test]
    fn nothing_asked_for() {
        let (id, text) = story().stream(without(14, &[5, 6])).write(without(14, &[5, 6])).cause();
        assert_eq!((id, &text[..23]), ("never-asks", "packets 5-6 were lost, "));
        assert_eq!(story().stream(1..=14).write(1..=14).id(), "none");
    }

    #[test]
    fn the_first_gap_unseen() {
        let (id, text) = story().stream(2..=14).write(2..=14).cause();
        assert_eq!(id, "first-gap-unseen");
        assert!(text.starts_with("packet 1 never came"), "{text}");
        let both = without(14, &[1, 2, 7]);
        let asked = story().stream(both.clone()).fill([7]).write(3..=14);
        assert_eq!(asked.id(), "first-gap-unseen");
        // One that asks for the first packet knows that there is one.
        let asked = story().stream(both).ask([1, 2, 7]).finished().closed();
        let asked = asked.write(without(14, &[1, 2, 7]));
        assert_ne!(asked.id(), "first-gap-unseen");
    }

    #[test]
    fn the_last_gap_unseen() {
        let lost = [10, 12, 13];
        let one = story().stream(without(14, &lost)).fill([10, 12]).write(without(14, &[13]));
        assert_eq!(one.id(), "last-gap-unseen");
        // Both that and counting explain this, so nothing is claimed.
        let either = story().stream(without(14, &[3, 13])).fill([3]).write(without(14, &[13]));
        assert_eq!(either.id(), "none");
    }

    #[test]
    fn packets_counted_instead_of_sequences() {
        // Nine came, the highest is 14: 10 to 13 are not looked at.
        let lost = [2, 3, 10, 11, 12];
        let one = story().stream(without(14, &lost)).fill([2, 3]);
        let (id, text) = one.write(without(14, &[10, 11, 12])).cause();
        assert_eq!(id, "counts-packets");
        assert!(text.contains("up to 9, the number of packets"), "{text}");
    }

    #[test]
    fn the_last_to_come_taken_for_the_highest() {
        let came = [1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 14, 11];
        let one = story().stream(came).fill([3]).write(without(14, &[13]));
        assert_eq!(one.id(), "last-for-highest");
    }

    #[test]
    fn sequences_too_large_for_a_byte() {
        let one = on(Tape::sample(300)).stream(without(300, &[290])).connect().hang_up();
        let crash = one.ended(Ended::Exited(1)).says("RangeError: It must be >= 0 and <= 255.");
        assert_eq!(crash.id(), "too-large-to-ask");
    }

    #[test]
    fn neighbours_asked_for() {
        let lost = [5, 9];
        let one = story().stream(without(14, &lost)).fill([4, 8]).write(without(14, &lost));
        assert_eq!(one.id(), "off-by-one");
    }

    #[test]
    fn every_session_taken_for_fourteen() {
        let (id, text) = on(Tape::sample(5)).stream(1..=5).ask(6..=14).hang_up().cause();
        assert_eq!(id, "fixed-length");
        assert!(text.contains("asked for packets 6-14"), "{text}");
        let long = on(Tape::sample(20)).stream(without(20, &[4, 17])).fill([4]);
        assert_eq!(long.write(without(20, &[17])).id(), "fixed-length");
        let unanswered = on(Tape::sample(5)).stream(1..=5).ask([6]).finished();
        assert_eq!(unanswered.id(), "fixed-length");
    }

    #[test]
    fn sequences_cut_to_a_byte() {
        let one = on(Tape::sample(300)).stream(without(300, &[290])).fill([34]);
        let (id, text) = one.write(without(300, &[290])).cause();
        assert_eq!(id, "sequence-cut");
        assert!(text.contains("asked for packet 34 when packet 290"), "{text}");
    }

    #[test]
    fn answers_left_on_the_wire() {
        let ask = || story().stream(without(14, &[5, 9])).ask([5, 9]);
        assert_eq!(ask().send([5]).reset().write(without(14, &[9])).id(), "answers-unread");
        let (id, text) = ask().send([5]).ends().send([9]).closed().write(without(14, &[9])).cause();
        assert_eq!(id, "answers-unread");
        assert!(text.contains("closed connection 2 after 20 ms, before it had read"), "{text}");
        // What came before and is missing was lost in another way.
        let read = ask().send([5, 9]).hang_up().write(without(14, &[9]));
        assert_ne!(read.id(), "answers-unread");
        // An early end of one side harms nobody; what the exchange does not send is not unread.
        let half = ask().ends().finished().closed().write(without(14, &[5, 9]));
        assert_eq!(half.id(), "not-asked-again");
    }

    #[test]
    fn the_request_trusted() {
        use crate::grade::observe::fields::OutputField;
        let one = story().stream(without(14, &[5])).ask([5]).send([6]).hang_up();
        let wrong = one.write_as(1..=14, |packet, fields| {
            if packet.sequence == 5 {
                fields[OutputField::Price as usize].1 = Some("1".to_owned());
            }
        });
        assert_eq!(wrong.id(), "trusts-the-request");
    }

    #[test]
    fn not_asked_again() {
        let one = story().stream(without(14, &[5])).ask([5]).finished().closed();
        let (id, text) = one.write(without(14, &[5])).cause();
        assert_eq!(id, "not-asked-again");
        assert!(text.contains("asked for packet 5 once, got no answer"), "{text}");
    }

    #[test]
    fn tails_and_short_streams() {
        assert_eq!(story().stream(1..=12).write(1..=12).id(), "tail-unseen");
        let cut = story().connect().call(Call::Stream).send(1..=6).pieces([7], 9);
        let whole = cut.finished().closed().write(1..=6);
        assert_ne!(whole.id(), "short-stream", "a packet that came whole");
        let reset = story().connect().call(Call::Stream).send(1..=6).reset_by_exchange();
        assert_eq!(reset.write(1..=6).id(), "short-stream");
        let again = story().stream(1..=12).stream(1..=13).write(1..=13);
        assert_eq!(again.id(), "none");
    }
}
