//! Durable expectation: the packets that a recording must still have after a crash.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::ledger::{Origin, Sink};
use crate::sim::disk::Disk;
use crate::tape::recorder::{FLUSH, Resumed, SyncPolicy, TapeRecorder};
use crate::wire::{Info, Messages};
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
    pub(super) fn forget(&mut self, checker: &DurabilityChecker) {
        for range in checker.distrusted.ranges() {
            self.kept.remove(*range);
            self.safe.remove(*range);
        }
    }

    /// Records that the process was killed, or the power has failed.
    pub(super) fn crashed(
        &mut self,
        checker: &DurabilityChecker,
        sync: SyncPolicy,
        power: bool,
        now: Duration,
    ) {
        self.forget(checker);
        let came_before = |age: Duration| checker.came.iter().filter(move |it| it.0 + age < now);
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
    pub(super) tape_recorder: TapeRecorder<Disk>,
    came: VecDeque<(Duration, SeqRange)>,
    /// Last sequence that was announced, in this run or an earlier one that it resumes.
    pub(super) announced: Seq,
    /// Sequences that were dropped, because their session was unknown.
    distrusted: SeqSet,
}

impl DurabilityChecker {
    pub(super) fn new(tape_recorder: TapeRecorder<Disk>) -> Self {
        let announced = tape_recorder.file().last_known();
        Self { tape_recorder, came: VecDeque::new(), announced, distrusted: SeqSet::new() }
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
        self.came.extend(messages.ranges().map(|span| (now, span)));
        self.tape_recorder.on_messages(origin, messages, now);
    }

    fn on_duplicates(&mut self, origin: Origin, messages: Messages<'_>) -> u32 {
        self.tape_recorder.on_duplicates(origin, messages)
    }

    fn on_session(&mut self, info: Info, vouched: &[Origin], now: Duration) -> SeqSet {
        self.announced = self.announced.max(info.last);
        let distrusted = self.tape_recorder.on_session(info, vouched, now);
        if !distrusted.is_empty() {
            // Only packets had shown more, and they were dropped.
            self.announced = info.last;
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
        self.tape_recorder.on_idle(now)
    }

    fn has_failed(&self) -> bool {
        self.tape_recorder.has_failed()
    }

    fn on_gap(&mut self, gap: SeqRange, now: Duration) {
        self.tape_recorder.on_gap(gap, now);
    }

    fn on_request(&mut self, piece: SeqRange, now: Duration) {
        self.tape_recorder.on_request(piece, now);
    }

    fn on_fill(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.tape_recorder.on_fill(piece, age, origin, now);
    }

    fn on_gap_abandoned(&mut self, range: SeqRange, now: Duration) {
        self.tape_recorder.on_gap_abandoned(range, now);
    }

    fn is_closed(&self) -> bool {
        self.tape_recorder.is_closed()
    }

    fn wants_missing(&self) -> bool {
        self.tape_recorder.wants_missing()
    }
}
