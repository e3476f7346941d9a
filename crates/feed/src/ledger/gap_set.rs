//! Gap set: the missing ranges of sequences below the highest known one.

use crate::base::seq::{Seq, SeqRange};
use crate::base::time::nanos;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

/// Open gaps of a recording: disjoint ranges, each with the time when it opened.
///
/// Memory is used per range, never per sequence: a gap of two billion sequences takes 24 bytes, as
/// a gap of one does. Opening or filling a gap searches for its chunk and moves at most the gaps of
/// that chunk, however many gaps there are.
#[derive(Clone, Default, Debug)]
pub struct GapSet {
    /// Chunks of gaps in ascending order; none is empty.
    pieces: VecDeque<Chunk>,
    /// Number of chunks already removed from the front.
    gone: usize,
    /// Position that [`at_or_after`](Self::at_or_after) found last, counted from the first chunk
    /// and gap that ever were. A walk from gap to gap finds the next one beside it, without a
    /// search.
    near: Cell<GapPosition>,
    len: usize,
    missing: u64,
}

/// Maximum number of gaps in a chunk: few enough to be moved at once. Tests use a small number, so
/// that they need many chunks.
const PIECE: usize = if cfg!(test) { 8 } else { 256 };
/// Number of gaps from which a range that touches the highest gap extends that gap instead of
/// opening another. A peer that announces one sequence after the other then cannot open more gaps.
const MANY: usize = 1 << 16;
/// Number of gaps up to which a chunk counts as sparse and is joined with its neighbour.
const FEW: usize = PIECE / 8;

/// Chunk of neighbouring gaps, in ascending order.
#[derive(Clone, Debug)]
struct Chunk {
    gaps: Vec<Gap>,
    /// Number of gaps at the front that are filled. Most gaps are filled from the front, and
    /// counting them moves nothing.
    gone: usize,
}

impl Chunk {
    fn open(&self) -> &[Gap] {
        &self.gaps[self.gone..]
    }

    fn at(&mut self, place: usize) -> &mut Gap {
        &mut self.gaps[self.gone + place]
    }

    /// Returns true if all gaps of the chunk lie below `seq`.
    fn is_below(&self, seq: Seq) -> bool {
        self.gaps.last().is_none_or(|top| top.last < seq)
    }
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    first: Seq,
    last: Seq,
    /// Time when the gap opened, in nanoseconds since the recorder's start.
    opened: u64,
}

impl Gap {
    fn len(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// Position of a gap: index of its chunk, and index within the chunk.
type GapPosition = (usize, usize);

impl GapSet {
    /// Creates an empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { pieces: VecDeque::new(), gone: 0, near: Cell::new((0, 0)), len: 0, missing: 0 }
    }

    /// Returns the number of gaps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if no gap is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of missing sequences.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Returns the missing ranges in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = SeqRange> + '_ {
        let gaps = self.pieces.iter().flat_map(Chunk::open);
        gaps.filter_map(|gap| SeqRange::new(gap.first, gap.last))
    }

    /// Returns the missing ranges in ascending order, each with the time when it opened.
    pub fn dated(&self) -> impl Iterator<Item = (SeqRange, Duration)> + '_ {
        let gaps = self.pieces.iter().flat_map(Chunk::open);
        gaps.filter_map(|gap| {
            Some((SeqRange::new(gap.first, gap.last)?, Duration::from_nanos(gap.opened)))
        })
    }

    /// Finds the first gap that ends at `seq` or above.
    fn find(&self, seq: Seq) -> Option<(GapPosition, Gap)> {
        // Most searches look for the lowest gap, so it is tried first.
        let piece = match self.pieces.front()?.is_below(seq) {
            false => 0,
            true => self.pieces.partition_point(|piece| piece.is_below(seq)),
        };
        let gaps = self.pieces.get(piece)?.open();
        let place = match gaps.first()?.last < seq {
            false => 0,
            true => gaps.partition_point(|gap| gap.last < seq),
        };
        Some(((piece, place), *gaps.get(place)?))
    }

    /// Finds that gap without a search if it is the one that was found last, or the next one.
    fn find_near(&self, seq: Seq) -> Option<(GapPosition, Gap)> {
        let (piece, place) = self.near.get();
        let piece = piece.checked_sub(self.gone)?;
        let held = self.pieces.get(piece)?;
        let place = place.checked_sub(held.gone)?;
        let gaps = held.open();
        if gaps.get(place)?.last >= seq {
            let is_first = match place {
                0 => piece == 0 || self.pieces[piece - 1].is_below(seq),
                _ => gaps[place - 1].last < seq,
            };
            return is_first.then_some(((piece, place), gaps[place]));
        }
        let (above, place) = match gaps.get(place + 1) {
            Some(gap) => (*gap, (piece, place + 1)),
            None => (*self.pieces.get(piece + 1)?.open().first()?, (piece + 1, 0)),
        };
        (above.last >= seq).then_some((place, above))
    }

    /// Returns the first missing range at or above `seq`, without its part below `seq`.
    #[must_use]
    pub fn at_or_after(&self, seq: Seq) -> Option<SeqRange> {
        let ((piece, place), gap) = self.find_near(seq).or_else(|| self.find(seq))?;
        self.near.set((self.gone + piece, self.pieces[piece].gone + place));
        SeqRange::new(gap.first.max(seq), gap.last)
    }

    /// Returns the lowest gap above all gaps that opened at `time` or before, with the time when it
    /// opened. Takes time proportional to the number of such gaps.
    #[must_use]
    pub fn younger(&self, time: Duration) -> Option<(Seq, Duration)> {
        let time = nanos(time);
        let gaps = self.pieces.iter().rev().flat_map(|piece| piece.open().iter().rev());
        let young = gaps.take_while(|gap| gap.opened > time);
        young.last().map(|gap| (gap.first, Duration::from_nanos(gap.opened)))
    }

    /// Returns true if filling `run` would split one gap into two.
    #[must_use]
    pub fn splits(&self, run: SeqRange) -> bool {
        self.find(run.last() + 1).is_some_and(|(_, gap)| gap.first < run.first())
    }

    /// Sets the opening time of all gaps to `now`.
    pub fn redate(&mut self, now: Duration) {
        let gaps = self.pieces.iter_mut().flat_map(|piece| &mut piece.gaps);
        gaps.for_each(|gap| gap.opened = nanos(now));
    }

    /// Opens a gap at time `now`. The gap must lie above all others. If it touches the highest gap
    /// and that one opened at the same time, the two become one.
    pub fn open(&mut self, range: SeqRange, now: Duration) {
        self.open_gap(Gap { first: range.first(), last: range.last(), opened: nanos(now) });
    }

    /// Opens several gaps, in ascending order and not touching each other.
    pub fn open_all(&mut self, ranges: impl IntoIterator<Item = SeqRange>, now: Duration) {
        let opened = nanos(now);
        let gap = |range: SeqRange| Gap { first: range.first(), last: range.last(), opened };
        let mut gaps = ranges.into_iter().map(gap);
        while let Some(gap) = gaps.next() {
            self.open_gap(gap);
            // Gaps that fit into the last chunk need no check for each of them.
            if let Some(Chunk { gaps: held, .. }) = self.pieces.back_mut() {
                let before = held.len();
                let fitting = gaps.by_ref().take(PIECE - before);
                held.extend(fitting.inspect(|gap| self.missing += gap.len()));
                self.len += held.len() - before;
            }
        }
    }

    fn open_gap(&mut self, gap: Gap) {
        self.missing += gap.len();
        if let Some(piece) = self.pieces.back_mut() {
            if let Some(top) = piece.gaps.last_mut() {
                debug_assert!(top.last < gap.first);
                let same = top.opened == gap.opened || self.len >= MANY;
                if top.last + 1 == gap.first && same {
                    top.last = gap.last;
                    return;
                }
            }
            if piece.gaps.len() < PIECE {
                self.len += 1;
                return piece.gaps.push(gap);
            }
        }
        self.len += 1;
        let mut gaps = Vec::with_capacity(PIECE);
        gaps.push(gap);
        self.pieces.push_back(Chunk { gaps, gone: 0 });
    }

    /// Fills the lowest gap if it is exactly `run`, which is the case for nearly all resends.
    /// Returns the time for which the gap was open.
    pub fn fill_lowest(&mut self, run: SeqRange, now: Duration) -> Option<Duration> {
        let gap = *self.pieces.front()?.open().first()?;
        if (gap.first, gap.last) != (run.first(), run.last()) {
            return None;
        }
        self.missing -= gap.len();
        self.remove((0, 0));
        Some(Duration::from_nanos(nanos(now).saturating_sub(gap.opened)))
    }

    /// Fills the missing parts of `run`. Calls `filled` with each part in ascending order and the
    /// time for which it was open.
    pub fn fill(
        &mut self,
        run: SeqRange,
        now: Duration,
        mut filled: impl FnMut(SeqRange, Duration),
    ) {
        let now = nanos(now);
        let mut rest = Some(run);
        while let Some(left) = rest
            && let Some((place, gap)) = self.find(left.first())
            && let Some(part) = SeqRange::new(gap.first, gap.last).and_then(|g| g.intersect(left))
        {
            self.cut(place, gap, part);
            self.missing -= part.len();
            filled(part, Duration::from_nanos(now.saturating_sub(gap.opened)));
            rest = run.from(part.last() + 1);
        }
    }

    /// Removes `part` from the gap that contains it.
    fn cut(&mut self, (piece, place): GapPosition, gap: Gap, part: SeqRange) {
        let below = Gap { last: part.first() - 1, ..gap };
        let above = Gap { first: part.last() + 1, ..gap };
        match (gap.first < part.first(), part.last() < gap.last) {
            (false, false) => self.remove((piece, place)),
            (false, true) => *self.pieces[piece].at(place) = above,
            (true, false) => *self.pieces[piece].at(place) = below,
            (true, true) => {
                *self.pieces[piece].at(place) = below;
                self.insert((piece, place + 1), above);
            }
        }
    }

    fn insert(&mut self, (piece, place): GapPosition, gap: Gap) {
        self.len += 1;
        let low = &mut self.pieces[piece];
        let place = low.gone + place;
        low.gaps.insert(place, gap);
        if low.gaps.len() > PIECE {
            let middle = usize::midpoint(low.gone, low.gaps.len());
            let high = Chunk { gaps: low.gaps.split_off(middle), gone: 0 };
            self.pieces.insert(piece + 1, high);
        }
    }

    fn remove(&mut self, (piece, place): GapPosition) {
        self.len -= 1;
        let low = &mut self.pieces[piece];
        if place == 0 {
            low.gone += 1;
        } else {
            low.gaps.remove(low.gone + place);
        }
        match low.open().len() {
            0 => self.drop_piece(piece),
            FEW => self.join(piece),
            _ => {}
        }
    }

    fn drop_piece(&mut self, piece: usize) {
        self.pieces.remove(piece);
        self.gone += usize::from(piece == 0);
    }

    /// Joins a sparse chunk with its neighbour if both fit into one, so that a few gaps do not keep
    /// the memory of many.
    fn join(&mut self, piece: usize) {
        let few = self.pieces[piece].open().to_vec();
        match self.pieces.get_mut(piece + 1) {
            Some(next) if next.open().len() + few.len() <= PIECE => {
                next.gaps.splice(..next.gone, few);
                next.gone = 0;
                self.drop_piece(piece);
            }
            _ => self.pieces[piece] = Chunk { gaps: few, gone: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seq::to_index;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn range(first: Seq, last: Seq) -> SeqRange {
        SeqRange::new(first, last).unwrap()
    }

    #[test]
    fn a_gap_filled_in_its_middle_is_two_gaps_of_the_same_age() {
        let mut gaps = GapSet::new();
        gaps.open(range(10, 19), Duration::from_millis(5));
        let mut pieces = Vec::new();
        let later = Duration::from_millis(9);
        gaps.fill(range(13, 14), later, |piece, age| pieces.push((piece, age)));
        gaps.fill(range(1, 100), later, |piece, age| pieces.push((piece, age)));
        let age = Duration::from_millis(4);
        assert_eq!(pieces, [(range(13, 14), age), (range(10, 12), age), (range(15, 19), age)]);
        assert!(gaps.is_empty() && gaps.missing() == 0);
    }

    #[test]
    fn the_longest_gap_costs_one_entry() {
        let mut gaps = GapSet::new();
        gaps.open(range(2, crate::base::seq::MAX_SEQ), Duration::ZERO);
        gaps.fill(SeqRange::one(1_000_000_000), Duration::ZERO, |_, _| {});
        assert_eq!((gaps.len(), gaps.missing()), (2, crate::base::seq::MAX_SEQ - 2));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_sequences(
            opened in prop::collection::vec((1u64..5, 0u64..9), 0..60),
            at_once in prop::collection::vec((1u64..5, 0u64..9), 0..60),
            filled in prop::collection::vec((1u64..900, 0u64..9), 0..300),
        ) {
            let (mut gaps, mut model, mut top) = (GapSet::new(), BTreeSet::new(), 0);
            for (skip, more) in opened {
                gaps.open(range(top + skip, top + skip + more), Duration::ZERO);
                model.extend(top + skip..=top + skip + more);
                top += skip + more;
            }
            let mut together = Vec::new();
            for (skip, more) in at_once {
                together.push(range(top + 1 + skip, top + 1 + skip + more));
                model.extend(top + 1 + skip..=top + 1 + skip + more);
                top += 1 + skip + more;
            }
            gaps.open_all(together, Duration::ZERO);
            for (first, more) in filled {
                let mut pieces = Vec::new();
                let mut take = |piece: SeqRange| pieces.extend(piece.first()..=piece.last());
                let lowest = gaps.ranges().next();
                let run = match lowest.filter(|_| more == 8) {
                    Some(lowest) => lowest,
                    None => range(first, first + more),
                };
                match gaps.fill_lowest(run, Duration::ZERO) {
                    Some(_) => take(run),
                    None => gaps.fill(run, Duration::ZERO, |piece, _| take(piece)),
                }
                let (first, more) = (run.first(), run.len() - 1);
                let expected: Vec<Seq> =
                    (first..=first + more).filter(|seq| model.remove(seq)).collect();
                prop_assert_eq!(pieces, expected);
                prop_assert_eq!(gaps.missing(), model.len() as u64);
                let left: BTreeSet<Seq> =
                    gaps.ranges().flat_map(|r| r.first()..=r.last()).collect();
                prop_assert_eq!(&left, &model);
                let next = gaps.at_or_after(first).map(SeqRange::first);
                prop_assert_eq!(next, model.range(first..).next().copied());
                // Each search begins where the one before it ended.
                let (mut walked, mut from) = (Vec::new(), first);
                for _ in 0..=more {
                    let Some(gap) = gaps.at_or_after(from) else { break };
                    from = gap.last() + 1;
                    walked.push(gap);
                }
                let above = gaps.ranges().filter_map(|gap| gap.from(first));
                prop_assert_eq!(walked, above.take(to_index(more) + 1).collect::<Vec<_>>());
                prop_assert_eq!(gaps.len(), gaps.ranges().count());
                let lens = gaps.pieces.iter().map(|piece| piece.open().len());
                prop_assert!(lens.into_iter().all(|len| (1..=PIECE).contains(&len)));
                let held = |seq: Seq| model.contains(&seq);
                let splits = first > 1 && (first - 1..=first + more + 1).all(held);
                prop_assert_eq!(gaps.splits(range(first, first + more)), splits);
            }
        }
    }
}
