//! Invariants of a simulated run (see [`run`](crate::sim::run)).

use super::disk::Disk;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::client::passes::PASSES_MAX;
use crate::client::{IncompleteReason, Outcome, Recorder, Tail, UndecodableError};
use crate::session::completeness::{Completeness, Facts};
use crate::sim::run::SimRun;
use crate::tape::file::SessionEnd;
use crate::tape::recorder::TapeRecorder;
use crate::wire::packet::Symbol;
use crate::wire::{DecodeError, RawFrame, sequence_of};
use alloc::format;
use alloc::string::String;

impl SimRun {
    /// Checks that the recorded packets are those of the tape, each once and in order.
    pub(super) fn recorded(
        &mut self,
        tape_recorder: &TapeRecorder<Disk>,
    ) -> Result<SeqSet, String> {
        let mut recorded = SeqSet::new();
        let mut reading = tape_recorder.in_order(FIRST_SEQ);
        let (mut before, mut count) = (0, 0);
        let deceived = self.plan.deceives();
        let shifts = self.plan.shifts();
        let mut shifted = 0;
        while let Some(piece) = reading.next().map_err(|error| format!("reading: {error}"))? {
            for frame in piece.packets() {
                let seq = sequence_of(frame);
                if seq <= before {
                    return Err(format!("sequence {seq} is read after {before}"));
                }
                before = seq;
                count += 1;
                if (shifts || !deceived) && !self.plan.is_of(self.session, frame) {
                    if !deceived {
                        return Err(format!(
                            "{} was recorded, and is not on the tape",
                            shown(frame)
                        ));
                    }
                    shifted += 1;
                }
                recorded.insert(SeqRange::one(seq));
            }
        }
        if count != tape_recorder.packets() {
            return Err(format!(
                "the file counts {} packets and has {count}",
                tape_recorder.packets()
            ));
        }
        // A resumed recording has them again.
        self.report.shifted = self.report.shifted.max(shifted);
        Ok(recorded)
    }

    /// Checks that the outcome of a recording is true.
    pub(super) fn outcome_is_true(
        &self,
        outcome: &Outcome,
        recorded: &SeqSet,
        recorder: &Recorder,
    ) -> Result<(), String> {
        let one = self.plan.second.is_none() && !self.plan.deceives();
        if outcome.reason == Some(IncompleteReason::OtherSession) && one {
            return Err("the recorder reports another session, and there is only one".into());
        }
        missing_is_true(outcome, recorded)?;
        let trouble = recorder.violations();
        if trouble.conflicts > 0 && one {
            return Err("the recorder reports a conflict of equal packets".into());
        }
        // A refusal may arrive after all requests count as answered.
        let unasked = |error| matches!(error, UndecodableError::Frame(DecodeError::Kind(b'N')));
        let senseless = trouble.first_undecodable.is_some_and(|(_, error)| !unasked(error));
        if (senseless || trouble.doubtful > 0) && self.plan.is_lawful() {
            return Err("the recorder reports legal messages as undecodable".into());
        }
        Ok(())
    }

    /// Checks that the reported completeness is true. A recording that is complete, or complete so
    /// far, has every packet that an honest exchange has announced, on the wire or in the file. A
    /// recording that was stopped is complete only if it has the whole tape.
    pub(super) fn completeness_is_true(
        &mut self,
        recorder: &Recorder,
        recorded: &SeqSet,
        tape_recorder: &TapeRecorder<Disk>,
        announced: Seq,
    ) -> Result<(), String> {
        let Some(last) = self.plan.tape_of(self.session).map(|tape| tape.last()) else {
            return Ok(());
        };
        if self.plan.deceives() {
            return Ok(());
        }
        let said = Facts::of(recorder, tape_recorder.packets()).completeness();
        let has = |last| SeqRange::new(FIRST_SEQ, last).is_none_or(|all| recorded.covers(all));
        if self.is_unclear(last) {
            return Ok(());
        }
        // An end that enough passes have shown may be wrong, see `complete`.
        let accepted = self.plan.options.tail_miss_probability;
        let is_inferred = recorder.outcome().is_some_and(|outcome| match outcome.tail {
            Tail::Inferred { miss_probability } => miss_probability < accepted,
            Tail::Confirmed | Tail::Unknown => false,
        });
        if self.stopped && said == Completeness::Complete && !is_inferred && !has(last) {
            return Err(format!("a stopped recording of {recorded:.9} is reported complete"));
        }
        let heard = if self.plan.is_lawful() { self.world.announced(|it| !it.lies()) } else { 0 };
        let announced = if self.plan.lie.is_some() { announced.min(last) } else { announced };
        let announced = if self.plan.second.is_some() { announced } else { announced.max(heard) };
        if said != Completeness::Incomplete && !has(announced) {
            return Err(format!(
                "a recording of {recorded:.9} is reported {said:?}, but packets up to \
                 {announced} were announced"
            ));
        }
        if tape_recorder.file().end() != SessionEnd::Open && !has(tape_recorder.file().last_known())
        {
            return Err(format!("the file has an end of the session, and only {recorded:.9}"));
        }
        Ok(())
    }

    /// Returns true if the recorder cannot know which line lies: no honest line was heard, or the
    /// recorder reports that lines contradict each other about the tape's `last` packet.
    fn is_unclear(&self, last: Seq) -> bool {
        let named = self.contradicted.is_some_and(|range| range.contains(last));
        self.plan.lie.is_some() && (!self.heard || named)
    }

    /// Returns true if an honest line has described the session, which is the only way to recognise
    /// a lie.
    pub(super) fn honest_is_heard(&mut self, recorder: &Recorder) -> bool {
        let lines = (0..).zip(self.world.exchanges().iter());
        let mut honest = lines.filter(|(_, exchange)| !exchange.lies());
        honest.any(|(id, _)| recorder.line(id).is_some_and(|line| line.info.is_some()))
    }

    /// Returns true if the recorder follows only the lying line: every honest line is given up, or
    /// has never described the session.
    pub(super) fn lies_alone(&mut self, recorder: &Recorder) -> bool {
        let lines = (0..).zip(self.world.exchanges().iter());
        let mut honest = lines.filter(|(_, exchange)| !exchange.lies());
        let speaks =
            |id| recorder.line(id).is_some_and(|line| line.info.is_some() && !line.given_up);
        self.plan.lie.is_some() && !honest.any(|(id, _)| speaks(id))
    }

    /// Checks that a recording which is reported complete is complete. `healed` says that no fault
    /// struck it.
    pub(super) fn complete(&self, outcome: &Outcome, healed: bool) -> Result<(), String> {
        let Some(last) = self.plan.tape_of(self.session).map(|tape| tape.last()) else {
            return Ok(());
        };
        if !healed && self.is_unclear(last) {
            return Ok(());
        }
        // An inferred end assumes that streams drop packets independently, which scenarios may
        // violate.
        let certain = outcome.tail == Tail::Confirmed || healed;
        if certain && outcome.last != last && !self.plan.deceives() {
            return Err(format!(
                "reported complete up to {}, the tape ends with {last}",
                outcome.last
            ));
        }
        Ok(())
    }

    /// Checks that the number of gaps is bounded. `before` is the number of gaps of the resumed
    /// recording.
    pub(super) fn gaps_are_bounded(
        &self,
        recorder: &Recorder,
        before: usize,
    ) -> Result<(), String> {
        let open = recorder.ledger().gaps().len();
        // A recorder that believes false ends has a tail for each of them.
        let tails = if self.plan.deceives() { PASSES_MAX as usize } else { 0 };
        let again = recorder.ledger().reopened();
        let most = self.plan.options.limits.max_gaps.max(before).saturating_add(tails + again);
        match open > most.saturating_add(1) {
            true => Err(format!("{open} gaps are open, more than {most}")),
            false => Ok(()),
        }
    }

    /// Checks that no exchange was asked for sequences that cannot exist.
    pub(super) fn exchanges_are_content(&mut self) -> Result<(), String> {
        // An exchange that was killed, or is behind the other line, has fewer packets than the
        // client has received.
        let behind = self.plan.scenarios.len() > 1 || self.report.outages > 0;
        if self.plan.session.is_some() && behind || self.plan.second.is_some() {
            return Ok(());
        }
        // A lying exchange is asked for the packets that it claims to have.
        let honest = self.world.exchanges().iter().filter(|it| !it.lies());
        let refused: u64 = honest.map(|it| it.player().stats().refused).sum();
        match refused > 0 && !self.plan.deceives() {
            true => Err(format!("{refused} sequences were requested that do not exist")),
            false => Ok(()),
        }
    }
}

/// Checks that the missing sequences of an outcome are those that are not recorded.
pub(super) fn missing_is_true(outcome: &Outcome, recorded: &SeqSet) -> Result<(), String> {
    let mut absent = SeqSet::new();
    let mut next = FIRST_SEQ;
    for range in recorded.ranges() {
        SeqRange::new(next, range.first() - 1).into_iter().for_each(|gap| absent.insert(gap));
        next = range.last() + 1;
    }
    SeqRange::new(next, outcome.last).into_iter().for_each(|gap| absent.insert(gap));
    match absent == outcome.missing {
        true => Ok(()),
        false => {
            Err(format!("{absent:.9} are missing, {:.9} are reported missing", outcome.missing))
        }
    }
}

pub(super) fn shown(frame: &RawFrame) -> String {
    let symbol = Symbol([frame[0], frame[1], frame[2], frame[3]]);
    format!("{symbol:?} #{}", sequence_of(frame) as Seq)
}
