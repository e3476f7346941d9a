//! The ledger of a recording: which sequences have been seen and which are missing. Every received
//! chunk is scanned once, here, and handed on in whole slices.

pub mod gap_set;
mod scan;
mod sink;

pub use sink::{Origin, Sink, Source};

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::ledger::gap_set::GapSet;
use crate::wire::{RawFrame, is_near, is_torn, packet_seq, sequence_of, symbol_fits};
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;
use scan::{AscendingBlock, BLOCK, RunBoundaries};

/// Bounds on what a peer can make a recording believe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How far a packet may lie above the highest known sequence, unless its own line has said
    /// that the session reaches that far and no other line denies it. Keeps one damaged sequence
    /// from opening a gap of billions.
    ///
    /// Bounds as well how far a heartbeat or an end may lie above what packets have shown and its
    /// line has described.
    pub max_jump: u32,
    /// How many gaps may be open, besides the tail. Packets that would open one more, or make two
    /// of one, count as lost on the way: a later pass or a resend brings them again.
    pub max_gaps: usize,
    /// With so many gaps open a stream is not read as long as its line fills them.
    pub backpressure_gaps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_jump: 1 << 20, max_gaps: 1 << 24, backpressure_gaps: 1 << 16 }
    }
}

/// How far one stream has come.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct StreamPosition {
    /// The highest sequence it has brought, or a heartbeat has said to be sent; 0 before the first.
    pub position: Seq,
    /// The highest sequence it has brought; 0 before the first.
    pub highest: Seq,
    /// How many packets it has brought.
    pub delivered: u64,
    /// Whether the bytes behind the frames that are taken next are torn. The last of those frames
    /// is then believed only if it follows the one before it.
    pub torn: bool,
    /// Highest sequence that is taken however far it lies above the highest known one; set by the
    /// recorder, as the connection's line has described the session. Other lines' packets keep
    /// to [`Limits::max_jump`] whatever that line says.
    pub plausible: Seq,
}

impl StreamPosition {
    /// A packet with this sequence was taken.
    fn reached(&mut self, seq: Seq) {
        self.position = self.position.max(seq);
        self.highest = self.highest.max(seq);
    }
}

/// Why [`Ledger::take`] stopped at a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// It is not a packet with a legal side and sequence, or does not follow the packet before it
    /// and has no legal symbol.
    NotAPacket,
    /// It may be parts of two messages: it does not follow the packet before it, and what comes
    /// behind it is torn.
    Torn,
    /// Its sequence is further ahead than [`Limits::max_jump`] allows.
    Jump(Seq),
    /// It would open more gaps than [`Limits::max_gaps`] allows.
    Crowded,
}

/// What [`Ledger::take`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TakeResult {
    /// How many frames it took.
    pub frames: usize,
    /// How many of them were new.
    pub fresh: u64,
    /// How many had been recorded before with other content.
    pub conflicts: u32,
    /// Why it stopped before the last frame, if it did.
    pub stop: Option<StopReason>,
}

/// What a recording has seen.
#[derive(Debug)]
pub struct Ledger {
    next: Seq,
    end: Option<Seq>,
    gaps: GapSet,
    limits: Limits,
    /// Number of ranges that were seen and are to be asked for again.
    reopened: usize,
}

impl Ledger {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { next: FIRST_SEQ, end: None, gaps: GapSet::new(), limits, reopened: 0 }
    }

    /// Has seen everything up to `highest` but what is `missing`.
    #[must_use]
    pub fn resume(limits: Limits, highest: Seq, missing: &SeqSet) -> Self {
        let mut ledger = Self { next: highest.min(MAX_SEQ) + 1, ..Self::new(limits) };
        let below = missing.ranges().iter().filter_map(|gap| {
            SeqRange::new(gap.first().max(FIRST_SEQ), gap.last().min(ledger.next - 1))
        });
        for gap in below {
            ledger.gaps.open(gap, Duration::ZERO);
        }
        ledger
    }

    /// It goes on at time `now`: what another recording left missing counts as missing from then.
    pub fn begins(&mut self, now: Duration) {
        self.gaps.redate(now);
    }

    /// The highest sequence known to exist; 0 where there is none. Everything up to it has been
    /// recorded or is in [`gaps`](Self::gaps).
    #[must_use]
    pub fn highest(&self) -> Seq {
        self.next - 1
    }

    /// What is missing below the highest known sequence.
    #[must_use]
    pub fn gaps(&self) -> &GapSet {
        &self.gaps
    }

    /// The frontier: everything up to this sequence has been recorded.
    #[must_use]
    pub fn frontier(&self) -> Seq {
        self.gaps.at_or_after(FIRST_SEQ).map_or(self.highest(), |gap| gap.first() - 1)
    }

    /// How many packets have been recorded.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        u64::from(self.highest()) - self.gaps.missing()
    }

    /// The session's last sequence as it was told; `None` where it was not, or where packets
    /// beyond have been seen since.
    #[must_use]
    pub fn end(&self) -> Option<Seq> {
        self.end.filter(|&end| self.highest() <= end)
    }

    /// Notes that the session reaches at least to `last` (0: is possibly empty).
    pub fn reaches(&mut self, last: Seq) {
        self.end = Some(self.end.map_or(last, |end| end.max(last)).min(MAX_SEQ));
    }

    /// Takes everything above `last` for what does not exist after all, and returns what that was.
    /// Nothing changes where a packet above it has been recorded.
    pub fn retract(&mut self, last: Seq) -> Option<SeqRange> {
        let claimed = self.end.unwrap_or(0).max(self.highest());
        let above = SeqRange::new(last + 1, claimed)?;
        if let Some(known) = SeqRange::new(last + 1, self.highest()) {
            let missing = self.gaps.ranges().filter_map(|gap| gap.intersect(known));
            if missing.map(|gap| u64::from(gap.len())).sum::<u64>() < u64::from(known.len()) {
                return None;
            }
            self.gaps.fill(known, Duration::ZERO, |_, _| {});
            self.next = known.first();
        }
        self.end = Some(last);
        Some(above)
    }

    /// Turns what is known to exist above the highest sequence seen into a gap: nothing more is
    /// expected to come by itself. It may be one more than the limits allow, but not another one
    /// beside that: then it has to wait.
    pub fn close_tail(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.gaps.len() > self.limits.max_gaps {
            return;
        }
        if let Some(tail) = self.end.and_then(|end| SeqRange::new(self.next, end)) {
            self.gaps.open(tail, now);
            sink.on_gap(tail, now);
            self.next = tail.last() + 1;
        }
    }

    /// Returns whether a frame that is no message, on a connection that has come to `position`, is
    /// torn: parts of two messages, not one with a damaged field.
    #[must_use]
    pub fn is_torn(&self, frame: &RawFrame, position: Seq) -> bool {
        let seq = sequence_of(frame);
        is_torn(frame, is_near(seq, position) || self.misses(seq))
    }

    /// Returns whether a sequence is missing.
    #[must_use]
    pub fn misses(&self, seq: Seq) -> bool {
        self.gaps.at_or_after(seq).is_some_and(|gap| gap.contains(seq))
    }

    /// Returns whether what comes behind a packet, a frame or what `torn` says of the bytes there,
    /// is torn.
    pub(crate) fn torn_behind(&self, packet: Seq, behind: Option<&RawFrame>, torn: bool) -> bool {
        behind.map_or(torn, |frame| {
            packet_seq(frame) != Some(packet + 1) && self.is_torn(frame, packet)
        })
    }

    /// Returns the number of ranges that were forgotten. As many gaps more than [`Limits::max_gaps`]
    /// may be open.
    #[must_use]
    pub fn reopened(&self) -> usize {
        self.reopened
    }

    /// Forgets that these were seen: the sink has put them out of the recording. Only packets show
    /// how far a session reaches, so nothing is known above the highest one that is left.
    pub fn forget(&mut self, unseen: &SeqSet, now: Duration, sink: &mut impl Sink) {
        if unseen.is_empty() {
            return;
        }
        self.reopened += unseen.ranges().len();
        let mut ranges: Vec<SeqRange> = self.gaps.ranges().collect();
        ranges.extend(unseen.ranges());
        ranges.sort_unstable_by_key(|range| range.first());
        let missing: SeqSet = ranges.into_iter().collect();
        let above = missing.ranges().last().filter(|range| range.contains(self.highest()));
        let top = above.map_or(self.highest(), |range| range.first() - 1);
        self.next = top + 1;
        let below = |range: &SeqRange| SeqRange::new(range.first(), range.last().min(top));
        self.gaps = GapSet::new();
        self.gaps.open_all(missing.ranges().iter().filter_map(below), now);
        unseen.ranges().iter().filter_map(below).for_each(|gap| sink.on_gap(gap, now));
    }

    /// Takes frames from the front until one cannot be taken.
    pub fn take(
        &mut self,
        frames: &[RawFrame],
        origin: Origin,
        now: Duration,
        track: &mut StreamPosition,
        sink: &mut impl Sink,
    ) -> TakeResult {
        let mut out = SliceCollector {
            frames,
            origin,
            now,
            pending: 0..0,
            top: 0,
            fresh: 0,
            conflicts: 0,
            sink,
        };
        let mut done = 0;
        let mut stop = None;
        let mut rise = AscendingBlock::new();
        while stop.is_none() && done < frames.len() {
            let block = &frames[done..frames.len().min(done + BLOCK)];
            let behind = frames.get(done + block.len());
            if let Some(span) = rise.of(block, self.next)
                // Shifted bytes that look like packets go on to the end of the block.
                && block.last().is_some_and(symbol_fits)
                && !(rise.jumps_last(span) && self.torn_behind(span.last(), behind, track.torn))
                && self.enter_rise(&rise, span, now, out.sink)
            {
                out.collect_fresh(done..done + block.len(), span);
                track.delivered += block.len() as u64;
                track.reached(span.last());
                done += block.len();
                continue;
            }
            let cuts = RunBoundaries::of(block, track.position + 1);
            let end = done + block.len();
            while done < end {
                let at = block.len() - (end - done);
                let Some(run) = cuts.run(block, at) else {
                    stop = Some(StopReason::NotAPacket);
                    break;
                };
                if run.len() == 1
                    && cuts.jumps(at)
                    && cuts.odd_behind(at)
                    && self.torn_behind(run.last(), frames.get(done + 1), track.torn)
                {
                    stop = Some(StopReason::Torn);
                    break;
                }
                if let Err(why) = self.admit(run, track.plausible, now, out.sink) {
                    stop = Some(why);
                    break;
                }
                self.enter(run, done, now, &mut out);
                track.delivered += u64::from(run.len());
                track.reached(run.last());
                done += run.len() as usize;
            }
        }
        out.flush();
        TakeResult { frames: done, fresh: out.fresh, conflicts: out.conflicts, stop }
    }

    /// Enters a block that lies above everything known; whether the limits are far enough away for
    /// that. Otherwise nothing is done.
    fn enter_rise(
        &mut self,
        rise: &AscendingBlock,
        span: SeqRange,
        now: Duration,
        sink: &mut impl Sink,
    ) -> bool {
        if rise.widest > self.limits.max_jump || self.gaps.len() + rise.count > self.limits.max_gaps
        {
            return false;
        }
        self.gaps.open_all(rise.gaps().inspect(|&gap| sink.on_gap(gap, now)), now);
        self.next = span.last() + 1;
        true
    }

    /// Opens the gap that lies before `run`, if there is one and the limits allow it.
    /// Up to `plausible` [`Limits::max_jump`] is none of them.
    fn admit(
        &mut self,
        run: SeqRange,
        plausible: Seq,
        now: Duration,
        sink: &mut impl Sink,
    ) -> Result<(), StopReason> {
        let Some(gap) = SeqRange::new(self.next, run.first() - 1) else {
            let full = self.gaps.len() >= self.limits.max_gaps && self.gaps.splits(run);
            return if full { Err(StopReason::Crowded) } else { Ok(()) };
        };
        if gap.len() > self.limits.max_jump && run.first() > plausible {
            return Err(StopReason::Jump(run.first()));
        }
        if self.gaps.len() >= self.limits.max_gaps {
            return Err(StopReason::Crowded);
        }
        self.gaps.open(gap, now);
        sink.on_gap(gap, now);
        self.next = run.first();
        Ok(())
    }

    /// Enters an admitted run whose frames begin at `at`.
    fn enter(
        &mut self,
        run: SeqRange,
        at: usize,
        now: Duration,
        out: &mut SliceCollector<'_, impl Sink>,
    ) {
        let place = |seq: Seq| at + (seq - run.first()) as usize;
        if let Some(age) = self.gaps.fill_lowest(run, now) {
            out.collect_fresh(at..place(run.last() + 1), run);
            out.sink.on_fill(run, age, out.origin, now);
            return;
        }
        if let Some(below) = SeqRange::new(run.first(), run.last().min(self.next - 1)) {
            let mut from = below.first();
            self.gaps.fill(below, now, |piece, age| {
                out.collect_duplicates(place(from)..place(piece.first()));
                out.collect_fresh(place(piece.first())..place(piece.last() + 1), piece);
                out.sink.on_fill(piece, age, out.origin, now);
                from = piece.last() + 1;
            });
            out.collect_duplicates(place(from)..place(below.last() + 1));
        }
        if let Some(above) = run.from(self.next) {
            out.collect_fresh(place(above.first())..place(above.last() + 1), above);
            self.next = above.last() + 1;
        }
    }
}

/// Gathers neighbouring fresh frames into the longest ascending slices.
struct SliceCollector<'a, S> {
    frames: &'a [RawFrame],
    origin: Origin,
    now: Duration,
    pending: Range<usize>,
    top: Seq,
    fresh: u64,
    conflicts: u32,
    sink: &'a mut S,
}

impl<S: Sink> SliceCollector<'_, S> {
    fn collect_fresh(&mut self, place: Range<usize>, run: SeqRange) {
        if self.pending.end != place.start || run.first() <= self.top {
            self.flush();
            self.pending = place;
        } else {
            self.pending.end = place.end;
        }
        self.top = run.last();
    }

    fn collect_duplicates(&mut self, place: Range<usize>) {
        if !place.is_empty() {
            // What repeats may be in what is pending.
            self.flush();
            self.conflicts += self.sink.on_duplicates(self.origin, &self.frames[place]);
        }
    }

    fn flush(&mut self) {
        let pending = core::mem::replace(&mut self.pending, 0..0);
        self.top = 0;
        if !pending.is_empty() {
            self.fresh += pending.len() as u64;
            self.sink.on_packets(self.origin, &self.frames[pending], self.now);
        }
    }
}
