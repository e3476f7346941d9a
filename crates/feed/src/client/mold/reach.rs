//! Search for the first message that request servers still serve.
//!
//! Servers forget old messages and say nothing when such a message is requested. A recorder that
//! joins late may miss millions of them, and must not request them all without an answer. So the
//! beginning of a long gap is requested alone. If no server answers, a search by halves finds
//! the lowest message that is served.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};

/// Number of answers that a gap must need to count as long.
const LONG_GAP: u64 = 64;

/// State of the search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No long gap has been met.
    Unknown,
    /// Piece that begins at `probe` is requested, and nothing else between `low` and `end`.
    Searching {
        /// Lowest sequence that may be served.
        low: Seq,
        /// First sequence of the requested piece.
        probe: Seq,
        /// Lowest sequence that is known to be served.
        high: Option<Seq>,
        /// Last sequence of the gap.
        end: Seq,
    },
    /// Messages from `from` on are served.
    Known {
        /// Lowest sequence that is served.
        from: Seq,
    },
}

/// Step of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// No search runs.
    Idle,
    /// Piece to request next, by its first sequence.
    Probe(Seq),
    /// End of the search: everything that is served is known.
    Ended,
}

/// Search for the first message that is served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach(State);

impl Reach {
    /// Returns the state before any long gap.
    pub(super) const fn new() -> Self {
        Self(State::Unknown)
    }

    /// Returns the lowest sequence that is served, once it is known.
    pub(super) fn served_from(&self) -> Option<Seq> {
        match self.0 {
            State::Known { from } => Some(from),
            _ => None,
        }
    }

    /// Returns the range in which nothing but the piece of the search is requested.
    pub(super) fn searched(&self) -> Option<SeqRange> {
        match self.0 {
            State::Searching { low, end, .. } => SeqRange::new(low, end),
            _ => None,
        }
    }

    /// Returns the first sequence of the piece that the search has requested.
    pub(super) fn probe(&self) -> Option<Seq> {
        match self.0 {
            State::Searching { probe, .. } => Some(probe),
            _ => None,
        }
    }

    /// Begins a search if `gap`, of which nothing was requested yet, is long. Answers have room for
    /// `most` messages. The search requests the piece at the gap's beginning.
    pub(super) fn begin(&mut self, gap: SeqRange, most: u64) {
        if self.0 == State::Unknown && gap.len() / LONG_GAP >= most {
            let (low, end) = (gap.first(), gap.last());
            self.0 = State::Searching { low, probe: low, high: None, end };
        }
    }

    /// Handles the answer to a piece that begins at `first`. Returns the next step of the search.
    pub(super) fn on_served(&mut self, first: Seq, most: u64) -> Step {
        let State::Searching { low, probe, high, end } = self.0 else { return Step::Idle };
        if first != probe {
            return Step::Idle;
        }
        if probe == low {
            // Nothing below a gap whose beginning is served was found to be unserved.
            let from = if high.is_none() { FIRST_SEQ } else { low };
            return self.end(from);
        }
        self.go_on(low, probe, end, most)
    }

    /// Handles a piece of `gap` that no server has answered. Returns the next step of the search
    /// that goes on or begins.
    pub(super) fn on_unserved(&mut self, piece: SeqRange, gap: SeqRange, most: u64) -> Step {
        match self.0 {
            State::Searching { probe, high, end, .. } if probe == piece.first() => {
                let low = piece.last() + 1;
                match high {
                    Some(high) => self.go_on(low, high, end, most),
                    None if low > end => self.end(low),
                    None => self.look_at_top(low, end, most),
                }
            }
            State::Searching { .. } => Step::Idle,
            State::Unknown | State::Known { .. } => match gap.from(piece.last() + 1) {
                Some(rest) if rest.len() / LONG_GAP >= most => {
                    self.look_at_top(rest.first(), rest.last(), most)
                }
                _ => Step::Idle,
            },
        }
    }

    /// Searches on at the end of the gap, because nothing at its beginning is served.
    fn look_at_top(&mut self, low: Seq, end: Seq, most: u64) -> Step {
        let probe = end.saturating_sub(most - 1).max(low);
        self.0 = State::Searching { low, probe, high: None, end };
        Step::Probe(probe)
    }

    /// Searches on between `low` and `high`, which is served.
    fn go_on(&mut self, low: Seq, high: Seq, end: Seq, most: u64) -> Step {
        if high <= low {
            return self.end(high);
        }
        // A last piece that ends where the served messages begin needs no halving.
        let probe = match high - low > most {
            true => low + (high - low) / 2,
            false => low,
        };
        self.0 = State::Searching { low, probe, high: Some(high), end };
        Step::Probe(probe)
    }

    fn end(&mut self, from: Seq) -> Step {
        self.0 = State::Known { from };
        Step::Ended
    }

    /// Forgets a search whose piece has arrived by other ways.
    pub(super) fn reset(&mut self) {
        self.0 = State::Unknown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a gap of messages 1 to `end` of which those from `served` on are served, in pieces
    /// of `most`. Returns the lowest sequence found, and the number of pieces requested.
    fn search(served: Seq, end: Seq, most: u64) -> (Option<Seq>, u32) {
        let gap = SeqRange::new(1, end).unwrap();
        let mut reach = Reach::new();
        reach.begin(gap, most);
        let (mut step, mut count) = (Step::Probe(1), 0);
        while let Step::Probe(first) = step {
            count += 1;
            assert_eq!(reach.probe(), Some(first));
            let piece = SeqRange::new(first, end.min(first + most - 1)).unwrap();
            step = match first >= served {
                true => reach.on_served(first, most),
                false => reach.on_unserved(piece, gap, most),
            };
        }
        assert_eq!((step, reach.searched()), (Step::Ended, None));
        (reach.served_from(), count)
    }

    #[test]
    fn the_lowest_served_message_is_found() {
        assert_eq!(search(1, 100_000, 40), (Some(1), 1));
        for served in [2, 41, 777, 50_000, 99_961, 99_999] {
            let (found, count) = search(served, 100_000, 40);
            let found = found.unwrap();
            assert!((served..served + 40).contains(&found), "{served}: {found}");
            assert!(count < 20, "{served}: {count} requests");
        }
        assert_eq!(search(100_001, 100_000, 40), (Some(100_001), 2), "nothing is served");
        let (found, count) = search(999_999_999, 1 << 40, 40);
        assert!(found.unwrap() < 999_999_999 + 40 && count < 60);
    }

    #[test]
    fn a_short_gap_is_requested_without_a_search() {
        let mut reach = Reach::new();
        let short = SeqRange::new(1, 64 * 40 - 1).unwrap();
        reach.begin(short, 40);
        assert_eq!(reach.probe(), None);
        assert_eq!(reach.on_unserved(SeqRange::new(1, 40).unwrap(), short, 40), Step::Idle);
    }

    #[test]
    fn a_long_gap_that_a_server_forgets_meanwhile_is_searched_again() {
        let mut reach = Reach::new();
        let gap = SeqRange::new(1, 100_000).unwrap();
        reach.begin(gap, 40);
        reach.on_served(1, 40);
        let piece = SeqRange::new(41, 80).unwrap();
        assert_eq!(reach.on_unserved(piece, gap, 40), Step::Probe(99_961));
        assert_eq!(reach.searched(), SeqRange::new(81, 100_000));
    }
}
