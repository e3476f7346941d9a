//! Counters of a recording's gaps: what lines missed, and what filled it.

use feed::base::seq::{Seq, SeqRange, SeqSet};
use feed::ledger::{Origin, Source};
use std::time::Duration;

/// Filled gap, or a filled piece of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filled {
    /// Range of packets that were missing.
    pub range: SeqRange,
    /// Time when the gap was found, since the recording started.
    pub opened: Duration,
    /// Time for which the range was missing.
    pub after: Duration,
    /// Origin of the packets that filled it.
    pub by: Origin,
}

/// Counters of gaps, with an optional history. Packets that are requested though no line missed
/// them do not count: the rest of a continued recording, and packets that came before their session
/// was announced.
#[derive(Debug, Default)]
pub struct GapCounters {
    /// Number of gaps that were found.
    pub found: u64,
    /// Number of packets that were missing at some time.
    pub missed: u64,
    /// Number of missed packets recovered by resend, and by later passes or other lines.
    pub recovered: (u64, u64),
    /// Filled gaps, or `None` if no history is kept.
    pub filled: Option<Vec<Filled>>,
    /// Longest time for which a packet was missing before it arrived.
    pub longest: Duration,
    /// Number of packets that were recorded before the exchange announced its session, and were
    /// requested again because they may belong to another one.
    pub distrusted: u64,
    /// Packets beyond the end of a continued recording, which are requested but were never missed.
    rest: Rest,
    /// Distrusted packets below the highest one that was not distrusted.
    reopened: SeqSet,
    /// True while new gaps are of packets that were distrusted just now.
    distrusts: bool,
}

/// Part of a session beyond the end of a continued recording.
#[derive(Debug, Default)]
enum Rest {
    /// Rest that streams deliver, so that nothing is requested.
    #[default]
    Streamed,
    /// Packets above this sequence; no stream has delivered anything yet.
    Above(Seq),
    /// Range that was requested.
    Requested(SeqRange),
}

impl GapCounters {
    /// Counts the gaps of the recording that is continued.
    pub fn start_with(&mut self, missing: &SeqSet) {
        self.found = missing.ranges().len() as u64;
        self.missed = missing.count();
    }

    /// Keeps a history of filled gaps from now on.
    pub fn keep_history(&mut self) {
        self.filled.get_or_insert_default();
    }

    /// Marks packets above `highest` as requested instead of streamed, so that they count as
    /// [`rest`](Self::rest) and not as missed.
    pub fn request_rest(&mut self, highest: Seq) {
        self.rest = Rest::Above(highest);
    }

    /// Returns the number of requested packets beyond the end of the earlier recording.
    #[must_use]
    pub fn rest(&self) -> u64 {
        match self.rest {
            Rest::Requested(range) => range.len(),
            Rest::Streamed | Rest::Above(_) => 0,
        }
    }

    /// Stops treating later packets as requested once a stream delivers some, because a stream
    /// shows missed packets by gaps.
    pub fn note_stream(&mut self, by: Origin) {
        if matches!((&self.rest, by.source), (Rest::Above(_), Source::Stream { .. })) {
            self.rest = Rest::Streamed;
        }
    }

    /// Notes that new packets arrived.
    pub fn on_arrival(&mut self, origin: Origin) {
        self.note_stream(origin);
        self.distrusts = false;
    }

    /// Counts a gap.
    pub fn on_gap(&mut self, gap: SeqRange) {
        if matches!(self.rest, Rest::Above(highest) if gap.first() > highest) {
            self.rest = Rest::Requested(gap);
            return;
        }
        if self.distrusts {
            self.reopened.insert(gap);
            return;
        }
        self.found += 1;
        self.missed += gap.len();
    }

    /// Counts a filled gap, or a filled piece of one.
    pub fn on_fill(&mut self, range: SeqRange, after: Duration, by: Origin, now: Duration) {
        self.distrusts = false;
        let rest = matches!(self.rest, Rest::Requested(rest) if rest.contains(range.first()));
        let missed = range.len() - overlap(&self.reopened, range);
        if !rest && missed > 0 {
            self.longest = self.longest.max(after);
        }
        match by.source {
            _ if rest => {}
            Source::Resend => self.recovered.0 += missed,
            Source::Stream { .. } => self.recovered.1 += missed,
        }
        if let Some(filled) = &mut self.filled {
            filled.push(Filled { range, opened: now.saturating_sub(after), after, by });
        }
    }

    /// Notes packets that were distrusted; the next gaps are theirs.
    pub fn on_distrusted(&mut self, distrusted: &SeqSet) {
        self.distrusts = !distrusted.is_empty();
        self.distrusted += distrusted.count();
    }
}

/// Returns the number of sequences that a set and a range have in common.
fn overlap(set: &SeqSet, range: SeqRange) -> u64 {
    let (mut rest, mut count) = (Some(range), 0);
    while let Some(range) = rest
        && let Some(piece) = set.at_or_after(range.first())
        && let Some(common) = piece.intersect(range)
    {
        count += common.len();
        rest = SeqRange::new(common.last() + 1, range.last());
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::store::RecordingStore;
    use feed::ledger::Sink;
    use feed::tape::in_memory::Tape;
    use feed::wire::{Info, Messages, SessionId};

    #[test]
    fn distrusted_packets_do_not_count_as_missed_even_next_to_a_gap() {
        let mut store = RecordingStore::unnamed().unwrap();
        let origin = |source| Origin { line: 0, source };
        let (stream, resend) = (origin(Source::Stream { pass: 1 }), origin(Source::Resend));
        let range = |first, last| SeqRange::new(first, last).unwrap();
        let (tape, at) = (Tape::random(100, 1), Duration::from_millis);
        // Packets 11 to 20 are missed before the session is announced, and nothing vouches for the
        // others.
        store.on_messages(stream, Messages::Packets(tape.slice(range(1, 10))), at(1));
        store.on_gap(range(11, 20), at(2));
        store.on_messages(stream, Messages::Packets(tape.slice(range(21, 30))), at(2));
        let info = Info { session: SessionId::of(*b"TOLD"), version: 1, first: 1, last: 100 };
        let distrusted = store.on_session(info, &[], at(3));
        assert_eq!((distrusted.count(), store.gaps.distrusted), (20, 20));
        distrusted.ranges().iter().for_each(|gap| store.on_gap(*gap, at(3)));
        store.on_fill(range(1, 15), at(5), resend, at(8));
        store.on_messages(resend, Messages::Packets(tape.slice(range(1, 15))), at(8));
        store.on_fill(range(16, 30), at(5), stream, at(9));
        store.on_messages(stream, Messages::Packets(tape.slice(range(16, 30))), at(9));
        assert_eq!((store.gaps.found, store.gaps.missed), (1, 10));
        assert_eq!(store.gaps.recovered, (5, 5));
        assert_eq!(overlap(&distrusted, range(5, 7)), 3, "inside one piece");
        assert_eq!(overlap(&distrusted, range(5, 25)), 11);
        // Packets that are missed later count.
        store.on_gap(range(31, 40), at(9));
        store.on_fill(range(31, 40), at(1), resend, at(10));
        assert_eq!((store.gaps.missed, store.gaps.recovered), (20, (15, 5)));
    }
}
