//! Ledger of a recording: the sequences that have been received and those that are missing. Each
//! received chunk is scanned once, here, and handed to a [`Sink`] in slices as long as possible.
//!
//! A [`Recorder`](crate::Recorder) owns a ledger. A program implements [`Sink`] to receive messages
//! as they arrive, and reads the open gaps from [`gap_set`].

pub mod gap_set;
mod scan;
mod sink;

pub use sink::{Origin, Sink, Source};

use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet, to_index};
use crate::ledger::gap_set::GapSet;
use crate::wire::{
    Messages, RawFrame, Run, is_near, is_torn, packet_seq, sequence_of, symbol_fits,
};
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;
use scan::{AscendingBlock, BLOCK, RunBoundaries};

/// Limits on the claims of a peer, so that one damaged or hostile message cannot exhaust memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Maximum distance of a packet above the highest known sequence. It prevents that one damaged
    /// sequence opens a gap of billions. The distance may be larger where the packet's own line has
    /// described a session that reaches so far and no other line contradicts it.
    ///
    /// The same maximum applies to a heartbeat or an end of session, counted from the highest
    /// sequence that packets have shown or that its line has described.
    pub max_jump: u64,
    /// Maximum number of open gaps, besides the tail. A packet that would open one more gap, or
    /// split one into two, is treated as if it had not arrived: a later pass or a resend brings it
    /// again.
    pub max_gaps: usize,
    /// Number of open gaps from which a stream is no longer read while its line fills gaps.
    pub backpressure_gaps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_jump: 1 << 20, max_gaps: 1 << 24, backpressure_gaps: 1 << 16 }
    }
}

/// Position of one stream: the packets that it has delivered.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct StreamPosition {
    /// Highest sequence that the stream has delivered, or that a heartbeat has reported as sent; 0
    /// before the first.
    pub position: Seq,
    /// Highest sequence that the stream has delivered; 0 before the first.
    pub highest: Seq,
    /// Number of packets that the stream has delivered.
    pub delivered: u64,
    /// True if the bytes behind the frames that are taken next are torn. The last of those frames
    /// is then accepted only if it follows the frame before it.
    pub torn: bool,
    /// Highest sequence that is accepted at any distance from the highest known one. The recorder
    /// sets it from the connection's own description of the session. Packets of other lines stay
    /// limited by [`Limits::max_jump`].
    pub plausible: Seq,
}

impl StreamPosition {
    /// Moves the position to a packet that was taken.
    fn reached(&mut self, seq: Seq) {
        self.position = self.position.max(seq);
        self.highest = self.highest.max(seq);
    }
}

/// Reason why [`Ledger::take`] stopped at a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// The frame is not a packet with a legal side and sequence, or it has no legal symbol and does
    /// not follow the packet before it.
    NotAPacket,
    /// The frame may be parts of two messages: it does not follow the packet before it, and the
    /// bytes behind it are torn.
    Torn,
    /// Sequence that is further ahead than [`Limits::max_jump`] allows.
    Jump(Seq),
    /// The packet would open more gaps than [`Limits::max_gaps`] allows.
    Crowded,
}

/// Result of [`Ledger::take`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TakeResult {
    /// Number of frames taken.
    pub frames: usize,
    /// Number of frames taken whose sequences were missing or new.
    pub fresh: u64,
    /// Number of frames whose sequences were recorded before with different content.
    pub conflicts: u32,
    /// Reason for the stop before the last frame; `None` if all frames were taken.
    pub stop: Option<StopReason>,
}

/// Ledger of one recording: every sequence up to the highest known one is recorded or in a gap.
#[derive(Debug)]
pub struct Ledger {
    next: Seq,
    end: Option<Seq>,
    gaps: GapSet,
    limits: Limits,
    /// Number of ranges that were recorded, then forgotten, and are requested again.
    reopened: usize,
}

impl Ledger {
    /// Creates the ledger of a recording that has no packets.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { next: FIRST_SEQ, end: None, gaps: GapSet::new(), limits, reopened: 0 }
    }

    /// Creates the ledger of a recording that has all packets up to `highest` except the `missing`
    /// ones.
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

    /// Restarts the age of all gaps at time `now`, because the gaps of an earlier run are requested
    /// from now on.
    pub fn begins(&mut self, now: Duration) {
        self.gaps.redate(now);
    }

    /// Returns the highest sequence known to exist; 0 if there is none. Every sequence up to it is
    /// recorded or in [`gaps`](Self::gaps).
    #[must_use]
    pub fn highest(&self) -> Seq {
        self.next - 1
    }

    /// Returns the gaps below the highest known sequence.
    #[must_use]
    pub fn gaps(&self) -> &GapSet {
        &self.gaps
    }

    /// Returns the frontier: the highest sequence up to which everything is recorded.
    #[must_use]
    pub fn frontier(&self) -> Seq {
        self.gaps.at_or_after(FIRST_SEQ).map_or(self.highest(), |gap| gap.first() - 1)
    }

    /// Returns the number of recorded packets.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.highest() - self.gaps.missing()
    }

    /// Returns the reported last sequence of the session; `None` if none was reported, or if
    /// packets beyond it have arrived since.
    #[must_use]
    pub fn end(&self) -> Option<Seq> {
        self.end.filter(|&end| self.highest() <= end)
    }

    /// Records that the session has packets at least up to `last`; 0 means that it may be empty.
    pub fn reaches(&mut self, last: Seq) {
        self.end = Some(self.end.map_or(last, |end| end.max(last)).min(MAX_SEQ));
    }

    /// Withdraws the claim that sequences above `last` exist, and returns their range. Does nothing
    /// if a packet above `last` is recorded.
    pub fn retract(&mut self, last: Seq) -> Option<SeqRange> {
        let claimed = self.end.unwrap_or(0).max(self.highest());
        let above = SeqRange::new(last + 1, claimed)?;
        if let Some(known) = SeqRange::new(last + 1, self.highest()) {
            let missing = self.gaps.ranges().filter_map(|gap| gap.intersect(known));
            if missing.map(|gap| gap.len()).sum::<u64>() < known.len() {
                return None;
            }
            self.gaps.fill(known, Duration::ZERO, |_, _| {});
            self.next = known.first();
        }
        self.end = Some(last);
        Some(above)
    }

    /// Opens a gap from the highest known sequence to the session's reported end, because no stream
    /// will deliver those packets any more. The tail may exceed [`Limits::max_gaps`] by one gap;
    /// beyond that, nothing is opened until gaps are filled.
    pub fn close_tail(&mut self, now: Duration, sink: &mut impl Sink) {
        if self.is_full() {
            return;
        }
        if let Some(tail) = self.end.and_then(|end| SeqRange::new(self.next, end)) {
            self.gaps.open(tail, now);
            sink.on_gap(tail, now);
            self.next = tail.last() + 1;
        }
    }

    /// Returns whether no further gap can be opened, not even for the tail.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.gaps.len() > self.limits.max_gaps
    }

    /// Returns true if an undecodable frame on a connection at `position` is torn: parts of two
    /// messages, not one message with a damaged field.
    #[must_use]
    pub fn is_torn(&self, frame: &RawFrame, position: Seq) -> bool {
        let seq = sequence_of(frame);
        is_torn(frame, is_near(seq, position) || self.misses(seq))
    }

    /// Returns true if a sequence is in a gap.
    #[must_use]
    pub fn misses(&self, seq: Seq) -> bool {
        self.gaps.at_or_after(seq).is_some_and(|gap| gap.contains(seq))
    }

    /// Returns true if the bytes behind a packet are torn. `behind` is the frame there; without a
    /// whole frame, `torn` says it.
    pub(crate) fn torn_behind(&self, packet: Seq, behind: Option<&RawFrame>, torn: bool) -> bool {
        behind.map_or(torn, |frame| {
            packet_seq(frame) != Some(packet + 1) && self.is_torn(frame, packet)
        })
    }

    /// Returns the number of ranges that were forgotten. The number of open gaps may exceed
    /// [`Limits::max_gaps`] by as many.
    #[must_use]
    pub fn reopened(&self) -> usize {
        self.reopened
    }

    /// Marks sequences as missing again, because the sink has removed them from the recording.
    /// Nothing is known above the highest packet that remains, because only packets prove how far a
    /// session reaches.
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

    /// Takes frames from the front until one cannot be taken, and hands them to `sink`.
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
                // Misaligned bytes stay misaligned to the end of the block, so its last symbol
                // shows it.
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
                track.delivered += run.len();
                track.reached(run.last());
                done += to_index(run.len());
            }
        }
        out.flush();
        TakeResult { frames: done, fresh: out.fresh, conflicts: out.conflicts, stop }
    }

    /// Takes a run of messages, which a protocol has numbered, and hands its new messages to `sink`
    /// and the others as duplicates. Takes the whole run or none of it.
    pub fn take_run(
        &mut self,
        run: Run<'_>,
        origin: Origin,
        now: Duration,
        track: &mut StreamPosition,
        sink: &mut impl Sink,
    ) -> TakeResult {
        let range = run.range();
        let mut result = TakeResult { frames: 0, fresh: 0, conflicts: 0, stop: None };
        if let Err(why) = self.admit(range, track.plausible, now, sink) {
            return TakeResult { stop: Some(why), ..result };
        }
        result.frames = usize::try_from(range.len()).unwrap_or(usize::MAX);
        let repeated = |sink: &mut _, first: Seq, end: Seq| {
            let part = SeqRange::new(first, end.saturating_sub(1)).and_then(|part| run.part(part));
            part.map_or(0, |part| Sink::on_duplicates(sink, origin, Messages::Run(part)))
        };
        if let Some(below) = SeqRange::new(range.first(), range.last().min(self.next - 1)) {
            let mut from = below.first();
            self.gaps.fill(below, now, |piece, age| {
                result.conflicts += repeated(sink, from, piece.first());
                if let Some(part) = run.part(piece) {
                    sink.on_messages(origin, Messages::Run(part), now);
                }
                sink.on_fill(piece, age, origin, now);
                result.fresh += piece.len();
                from = piece.last() + 1;
            });
            result.conflicts += repeated(sink, from, below.last() + 1);
        }
        if let Some(above) = range.from(self.next)
            && let Some(part) = run.part(above)
        {
            sink.on_messages(origin, Messages::Run(part), now);
            result.fresh += above.len();
            self.next = above.last() + 1;
        }
        track.delivered += range.len();
        track.reached(range.last());
        result
    }

    /// Enters a block that lies above the highest known sequence. Returns false and does nothing if
    /// the block comes close to a limit.
    fn enter_rise(
        &mut self,
        rise: &AscendingBlock,
        span: SeqRange,
        now: Duration,
        sink: &mut impl Sink,
    ) -> bool {
        if u64::from(rise.widest) > self.limits.max_jump
            || self.gaps.len() + rise.count > self.limits.max_gaps
        {
            return false;
        }
        self.gaps.open_all(rise.gaps().inspect(|&gap| sink.on_gap(gap, now)), now);
        self.next = span.last() + 1;
        true
    }

    /// Opens the gap before `run`, if there is one and the limits allow it. [`Limits::max_jump`]
    /// does not apply up to `plausible`.
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

    /// Enters an admitted run whose frames begin at index `at`.
    fn enter(
        &mut self,
        run: SeqRange,
        at: usize,
        now: Duration,
        out: &mut SliceCollector<'_, impl Sink>,
    ) {
        let place = |seq: Seq| at + to_index(seq - run.first());
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

/// Collector that joins neighbouring new frames into the longest ascending slices.
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
            // A duplicate may repeat a frame that is still pending.
            self.flush();
            self.conflicts +=
                self.sink.on_duplicates(self.origin, Messages::Packets(&self.frames[place]));
        }
    }

    fn flush(&mut self) {
        let pending = core::mem::replace(&mut self.pending, 0..0);
        self.top = 0;
        if !pending.is_empty() {
            self.fresh += pending.len() as u64;
            self.sink.on_messages(self.origin, Messages::Packets(&self.frames[pending]), self.now);
        }
    }
}
