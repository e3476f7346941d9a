//! Durable expectation: the packets that a recording must still have after a crash.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::ledger::{Origin, Sink};
use crate::sim::disk::Disk;
use crate::tape::recorder::{FLUSH, Resumed, SyncPolicy, TapeRecorder};
use crate::wire::{Info, Messages, sequence_of};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Packets that must be found when a recording is opened again.
#[derive(Default, Debug)]
pub(super) struct DurableExpectation {
    /// Packets that must survive the end of the process.
    kept: SeqSet,
    /// Packets that must survive a loss of power.
    safe: SeqSet,
}

impl DurableExpectation {
    /// Checks that an opened recording has the expected packets, and expects those from now on.
    pub(super) fn found(&mut self, before: &Resumed) -> Result<(), String> {
        let mut there = SeqSet::new();
        let mut next = FIRST_SEQ;
        for gap in before.missing.ranges() {
            SeqRange::new(next, gap.first() - 1).into_iter().for_each(|run| there.insert(run));
            next = gap.last() + 1;
        }
        SeqRange::new(next, before.highest).into_iter().for_each(|run| there.insert(run));
        self.covered_by(&there)?;
        if there.count() != before.packets {
            return Err(format!("the file counts {} packets and has {there:.9}", before.packets));
        }
        self.kept = there;
        Ok(())
    }

    /// Checks that `there` contains all expected packets.
    pub(super) fn covered_by(&self, there: &SeqSet) -> Result<(), String> {
        let lost = self.kept.ranges().iter().find(|run| {
            there.at_or_after(run.first()).is_none_or(|it| it.intersect(**run) != Some(**run))
        });
        match lost {
            Some(run) => Err(format!("{run} were recorded, and a crash has removed some of them")),
            None => Ok(()),
        }
    }

    /// Records that the recording has ended in order.
    pub(super) fn ended(&mut self, recorded: SeqSet, sync: SyncPolicy) {
        if sync != SyncPolicy::Never {
            self.safe = recorded.clone();
        }
        self.kept = recorded;
    }

    /// Removes the packets that the recorder has dropped from the expectation.
    pub(super) fn forget(&mut self, keeper: &DurabilityChecker) {
        for range in keeper.distrusted.ranges() {
            self.kept.remove(*range);
            self.safe.remove(*range);
        }
    }

    /// Records that the process was killed, or the power has failed.
    pub(super) fn crashed(
        &mut self,
        keeper: &DurabilityChecker,
        sync: SyncPolicy,
        power: bool,
        now: Duration,
    ) {
        self.forget(keeper);
        let came_before = |age: Duration| keeper.came.iter().filter(move |it| it.0 + age < now);
        if let SyncPolicy::Every(interval) = sync {
            came_before(interval).for_each(|(_, run)| self.safe.insert(*run));
        }
        match power {
            true => self.kept = self.safe.clone(),
            false => came_before(FLUSH).for_each(|(_, run)| self.kept.insert(*run)),
        }
    }
}

/// Tape recorder that also notes when each packet arrived.
pub(super) struct DurabilityChecker {
    pub(super) keeper: TapeRecorder<Disk>,
    came: VecDeque<(Duration, SeqRange)>,
    /// Last sequence that was announced, in this run or an earlier one that it resumes.
    pub(super) told: Seq,
    /// Sequences that were dropped, because their session was unknown.
    distrusted: SeqSet,
}

impl DurabilityChecker {
    pub(super) fn new(keeper: TapeRecorder<Disk>) -> Self {
        let told = keeper.file().last_known();
        Self { keeper, came: VecDeque::new(), told, distrusted: SeqSet::new() }
    }
}

impl DurabilityChecker {
    /// Returns the time of the last packet that was new.
    pub(super) fn progressed(&self) -> Option<Duration> {
        self.came.back().map(|&(time, _)| time)
    }
}

// A wrapper that forgets a method swallows its calls, because the default does nothing.
#[warn(clippy::missing_trait_methods)]
impl Sink for DurabilityChecker {
    fn on_messages(&mut self, origin: Origin, messages: Messages<'_>, now: Duration) {
        for run in
            messages.packets().chunk_by(|low, high| sequence_of(low) + 1 == sequence_of(high))
        {
            let ends = run.first().zip(run.last());
            let span =
                ends.and_then(|(low, high)| SeqRange::new(sequence_of(low), sequence_of(high)));
            self.came.extend(span.map(|span| (now, span)));
        }
        self.keeper.on_messages(origin, messages, now);
    }

    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        self.keeper.on_duplicates(origin, messages)
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        self.told = self.told.max(info.last);
        let distrusted = self.keeper.on_session(info, vouched, now);
        if !distrusted.is_empty() {
            // Only packets had shown more, and they were dropped.
            self.told = info.last;
            let came = core::mem::take(&mut self.came);
            for (time, run) in came {
                let mut left = SeqSet::from_iter([run]);
                distrusted.ranges().iter().for_each(|range| left.remove(*range));
                self.came.extend(left.ranges().iter().map(|run| (time, *run)));
            }
            distrusted.ranges().iter().for_each(|range| self.distrusted.insert(*range));
        }
        distrusted
    }

    fn on_idle(&mut self, now: Duration) -> Option<Duration> {
        self.keeper.on_idle(now)
    }

    fn has_failed(&self) -> bool {
        self.keeper.has_failed()
    }

    fn on_gap(&mut self, gap: SeqRange, now: Duration) {
        self.keeper.on_gap(gap, now);
    }

    fn on_request(&mut self, piece: SeqRange, now: Duration) {
        self.keeper.on_request(piece, now);
    }

    fn on_fill(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.keeper.on_fill(piece, age, origin, now);
    }

    fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        self.keeper.on_gap_abandoned(range, now);
    }

    fn is_closed(&self) -> bool {
        self.keeper.is_closed()
    }

    fn wants_missing(&self) -> bool {
        self.keeper.wants_missing()
    }
}
