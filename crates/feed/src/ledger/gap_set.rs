//! What is missing: ranges of sequences below the highest one seen.

use crate::base::seq::{Seq, SeqRange};
use crate::base::time::nanos;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

/// The open gaps of a recording: disjoint ranges, each with the time when it opened.
///
/// Cost is per range, never per sequence: a gap of two billion sequences takes the room of one,
/// 16 bytes. Gaps open at the top and are filled from the bottom or anywhere: each of that is a
/// search and a move of a few of them, however many there are.
#[derive(Clone, Default, Debug)]
pub struct GapSet {
    /// Ascending; none is empty.
    pieces: VecDeque<Chunk>,
    /// So many pieces at the beginning are gone.
    gone: usize,
    /// What was [asked for last](Self::at_or_after), counted from the first piece and the first gap
    /// in it that ever were: whoever walks from one gap to the next finds it there.
    near: Cell<GapPosition>,
    len: usize,
    missing: u64,
}

/// So many gaps lie together: few enough to be moved at once. In tests, few enough to be many.
const PIECE: usize = if cfg!(test) { 8 } else { 256 };
/// With so many gaps, what touches the highest one makes that longer: then nobody can have more of
/// them by telling sequence after sequence.
const MANY: usize = 1 << 16;
/// So many that are left of them are few.
const FEW: usize = PIECE / 8;

/// Gaps that lie together.
#[derive(Clone, Debug)]
struct Chunk {
    gaps: Vec<Gap>,
    /// So many at the beginning were filled: that is where most are, and moves nothing.
    gone: usize,
}

impl Chunk {
    fn open(&self) -> &[Gap] {
        &self.gaps[self.gone..]
    }

    fn at(&mut self, place: usize) -> &mut Gap {
        &mut self.gaps[self.gone + place]
    }

    /// Whether all of it lies below `seq`.
    fn is_below(&self, seq: Seq) -> bool {
        self.gaps.last().is_none_or(|top| top.last < seq)
    }
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    first: Seq,
    last: Seq,
    /// In nanoseconds.
    opened: u64,
}

impl Gap {
    fn len(&self) -> u64 {
        u64::from(self.last - self.first) + 1
    }
}

/// Where a gap is: its piece, and its place in it.
type GapPosition = (usize, usize);

impl GapSet {
    /// No gaps.
    #[must_use]
    pub const fn new() -> Self {
        Self { pieces: VecDeque::new(), gone: 0, near: Cell::new((0, 0)), len: 0, missing: 0 }
    }

    /// How many ranges are missing.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many sequences are missing.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The missing ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = SeqRange> + '_ {
        let gaps = self.pieces.iter().flat_map(Chunk::open);
        gaps.filter_map(|gap| SeqRange::new(gap.first, gap.last))
    }

    /// The missing ranges, ascending, and when each was found missing.
    pub fn dated(&self) -> impl Iterator<Item = (SeqRange, Duration)> + '_ {
        let gaps = self.pieces.iter().flat_map(Chunk::open);
        gaps.filter_map(|gap| {
            Some((SeqRange::new(gap.first, gap.last)?, Duration::from_nanos(gap.opened)))
        })
    }

    /// The first gap that ends at `seq` or above.
    fn find(&self, seq: Seq) -> Option<(GapPosition, Gap)> {
        // What is looked for is the lowest of all more often than not.
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

    /// The same, if that is where the last walk was, or the one above it.
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

    /// The first missing range at or above `seq`, without what lies below it.
    #[must_use]
    pub fn at_or_after(&self, seq: Seq) -> Option<SeqRange> {
        let ((piece, place), gap) = self.find_near(seq).or_else(|| self.find(seq))?;
        self.near.set((self.gone + piece, self.pieces[piece].gone + place));
        SeqRange::new(gap.first.max(seq), gap.last)
    }

    /// Of the gaps that opened after `time`, the lowest of those above all older ones, and when it
    /// opened. Costs as much as there are.
    #[must_use]
    pub fn younger(&self, time: Duration) -> Option<(Seq, Duration)> {
        let time = nanos(time);
        let gaps = self.pieces.iter().rev().flat_map(|piece| piece.open().iter().rev());
        let young = gaps.take_while(|gap| gap.opened > time);
        young.last().map(|gap| (gap.first, Duration::from_nanos(gap.opened)))
    }

    /// Whether filling `run` would leave two gaps where one is now.
    #[must_use]
    pub fn splits(&self, run: SeqRange) -> bool {
        self.find(run.last() + 1).is_some_and(|(_, gap)| gap.first < run.first())
    }

    /// From now on, all of them count as opened at time `now`.
    pub fn redate(&mut self, now: Duration) {
        let gaps = self.pieces.iter_mut().flat_map(|piece| &mut piece.gaps);
        gaps.for_each(|gap| gap.opened = nanos(now));
    }

    /// Opens a gap at time `now`. It must lie above all others; if it touches one that opened just
    /// now, that becomes longer.
    pub fn open(&mut self, range: SeqRange, now: Duration) {
        self.open_gap(Gap { first: range.first(), last: range.last(), opened: nanos(now) });
    }

    /// Opens several, ascending and apart from each other.
    pub fn open_all(&mut self, ranges: impl IntoIterator<Item = SeqRange>, now: Duration) {
        let opened = nanos(now);
        let gap = |range: SeqRange| Gap { first: range.first(), last: range.last(), opened };
        let mut gaps = ranges.into_iter().map(gap);
        while let Some(gap) = gaps.next() {
            self.open_gap(gap);
            // As many as its piece has room for need no further thought.
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

    /// Fills the lowest gap if that is `run` and nothing else, as nearly all that is sent again is;
    /// returns how long it had been missing.
    pub fn fill_lowest(&mut self, run: SeqRange, now: Duration) -> Option<Duration> {
        let gap = *self.pieces.front()?.open().first()?;
        if (gap.first, gap.last) != (run.first(), run.last()) {
            return None;
        }
        self.missing -= gap.len();
        self.remove((0, 0));
        Some(Duration::from_nanos(nanos(now).saturating_sub(gap.opened)))
    }

    /// Fills whatever of `run` is missing, and tells `filled` each piece, ascending, with how long
    /// it had been missing.
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
            self.missing -= u64::from(part.len());
            filled(part, Duration::from_nanos(now.saturating_sub(gap.opened)));
            rest = run.from(part.last() + 1);
        }
    }

    /// Takes `part` out of the one gap that holds it.
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

    /// Few that are left of many do not keep the room of many: they join the next ones, if there
    /// is room.
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
    fn a_gap_of_two_billion_costs_one_entry() {
        let mut gaps = GapSet::new();
        gaps.open(range(2, crate::base::seq::MAX_SEQ), Duration::ZERO);
        gaps.fill(SeqRange::one(1_000_000_000), Duration::ZERO, |_, _| {});
        assert_eq!((gaps.len(), gaps.missing()), (2, 2_147_483_645));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_sequences(
            opened in prop::collection::vec((1u32..5, 0u32..9), 0..60),
            at_once in prop::collection::vec((1u32..5, 0u32..9), 0..60),
            filled in prop::collection::vec((1u32..900, 0u32..9), 0..300),
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
                // One after the other: each search begins where the last one ended.
                let (mut walked, mut from) = (Vec::new(), first);
                for _ in 0..=more {
                    let Some(gap) = gaps.at_or_after(from) else { break };
                    from = gap.last() + 1;
                    walked.push(gap);
                }
                let above = gaps.ranges().filter_map(|gap| gap.from(first));
                prop_assert_eq!(walked, above.take(more as usize + 1).collect::<Vec<_>>());
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
