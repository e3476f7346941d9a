//! Selection of the packets that the faults of a scenario apply to: pure functions of seed,
//! connection, pass and sequence.

mod masks;

pub use crate::faults::tally::{FaultTally, TallyCell};

use crate::base::rng;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::faults::scenario::{
    COUNTED_MAX, Fault, FaultAction, FaultPlace, FaultSelector, Scenario,
};
use crate::wire::Protocol;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use masks::{bit_run, burst_mask, multiples_mask, set_mask};

/// Number of sequences that one mask covers.
pub const BLOCK: u64 = 64;

/// Identity of one run of packets on a connection: a stream, or the answer to one resend call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunId {
    /// Protocol of the connection.
    pub protocol: Protocol,
    /// Kind of the run.
    pub place: FaultPlace,
    /// Number of the connection, from 0.
    pub connection: u64,
    /// Number of the stream among all of the exchange, from 0. Unused by runs of other kinds.
    pub pass: u32,
    /// Number of the run among those of its kind on the connection, from 0.
    pub run: u32,
}

/// Distance between the random numbers of two kinds of runs, so that kinds share none.
const RUN_KIND_STRIDE: u64 = 1 << 40;

impl RunId {
    fn key(self, salt: u64) -> u64 {
        let kind = match self.place {
            FaultPlace::Stream => 0,
            FaultPlace::Resend => RUN_KIND_STRIDE,
            FaultPlace::End => 2 * RUN_KIND_STRIDE,
            FaultPlace::Connect => 3 * RUN_KIND_STRIDE,
            FaultPlace::Heartbeat => 4 * RUN_KIND_STRIDE,
            FaultPlace::Login => 5 * RUN_KIND_STRIDE,
        };
        rng::nth(rng::nth(salt, self.connection), kind + u64::from(self.run))
    }
}

/// Faults of a scenario, compiled for one tape.
#[derive(Clone, Debug)]
pub struct FaultEngine {
    faults: Vec<CompiledFault>,
    /// Version of the faults. Rises with each change, so that runs notice it.
    fault_version: u32,
    /// Counts of packets sent and of faults applied, over all changes of the faults.
    tally: FaultTally,
}

#[derive(Clone, Debug)]
struct CompiledFault {
    fault: Fault,
    salt: u64,
    /// Sequences that the fault may apply to, the tape's last ones resolved; `None` for all.
    sequences: Option<SeqSet>,
    /// Sequence that random loss never drops.
    spared: Option<Seq>,
    /// Number of times that the fault was applied to each sequence, where that is limited.
    counts: BTreeMap<Seq, u32>,
    /// Number of times that the fault was applied.
    applied: u64,
}

/// Returns the salt that gives each fault of a scenario random numbers of its own. The first
/// fault uses the seed itself.
fn fault_salt(seed: u64, index: u64) -> u64 {
    if index == 0 { seed } else { rng::nth(seed ^ 0x6661_756c_7473, index) }
}

/// Salt that makes the lengths of bursts independent of their positions.
const BURST_LENGTH_SALT: u64 = 0x6275_7273_7473;

impl FaultEngine {
    /// Compiles the faults of `scenario` for a tape that ends with `last`.
    #[must_use]
    pub fn new(scenario: &Scenario, last: Seq) -> Self {
        let compiled = |(index, fault): (u64, &Fault)| {
            let tail = fault.last.map(|count| {
                let first = last.saturating_sub(count.saturating_sub(1).into()).max(FIRST_SEQ);
                SeqRange::new(first, last).filter(|_| count > 0)
            });
            let mut sequences = fault.sequences.clone();
            if let Some(tail) = tail {
                let set = sequences.get_or_insert_default();
                tail.into_iter().for_each(|range| set.insert(range));
            }
            let spares = scenario.keep_last
                && fault.action() == FaultAction::Drop
                && fault.place() == FaultPlace::Stream
                && matches!(fault.pick, FaultSelector::Random { .. });
            CompiledFault {
                salt: fault_salt(scenario.seed, index),
                sequences,
                spared: spares.then_some(last),
                counts: BTreeMap::new(),
                applied: 0,
                fault: fault.clone(),
            }
        };
        let faults = (0..).zip(&scenario.faults).map(compiled).collect();
        Self { faults, fault_version: 0, tally: FaultTally::new(last) }
    }

    /// Returns the number of faults.
    #[must_use]
    pub fn len(&self) -> usize {
        self.faults.len()
    }

    /// Returns whether there are no faults.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns whether faults of a run can only drop packets, the same ones each time.
    #[must_use]
    pub fn only_drops(&self, run_id: RunId) -> bool {
        self.faults.iter().all(|compiled| compiled.fault.only_drops() || !compiled.covers(run_id))
    }

    /// Returns whether no fault applies to a run.
    #[must_use]
    pub fn is_fault_free(&self, run_id: RunId) -> bool {
        !self.faults.iter().any(|compiled| compiled.covers(run_id))
    }

    /// Compiles the same faults for the next tape and keeps all counts.
    #[must_use]
    pub fn for_next_tape(&self, scenario: &Scenario, last: Seq) -> Self {
        let mut new = Self::new(scenario, last);
        for (new, old) in new.faults.iter_mut().zip(&self.faults) {
            new.counts.clone_from(&old.counts);
            new.applied = old.applied;
        }
        new.tally = self.tally.clone();
        new.tally.restart(last);
        new.fault_version = self.fault_version + 1;
        new
    }

    /// Compiles the faults of another scenario for the same tape. The tally keeps its counts; the
    /// counts of each fault begin at 0.
    #[must_use]
    pub fn with_scenario(&self, scenario: &Scenario, last: Seq) -> Self {
        let tally = self.tally.clone();
        Self { tally, fault_version: self.fault_version + 1, ..Self::new(scenario, last) }
    }

    /// Returns the version of the faults, which rises with each change.
    pub(crate) fn version(&self) -> u32 {
        self.fault_version
    }

    /// Returns how often the fault with this number (from 0) was applied since it is in force.
    #[must_use]
    pub fn times_applied(&self, index: usize) -> u64 {
        self.faults.get(index).map_or(0, |compiled| compiled.applied)
    }

    /// Returns the counts of packets sent and faults applied, over all changes of the faults.
    #[must_use]
    pub fn tally(&self) -> &FaultTally {
        &self.tally
    }

    pub(crate) fn tally_mut(&mut self) -> &mut FaultTally {
        &mut self.tally
    }

    /// Counts the part `from..next` of a run that only drops packets: `sent` packets were sent and
    /// the others dropped. The part must not exceed [`FaultTally::last_countable_together`].
    pub(crate) fn count_run(&mut self, run_id: RunId, from: Seq, next: Seq, sent: u64) {
        let dropped = next - from - sent;
        if self.tally.width() >= BLOCK {
            self.tally.count_streamed(from, sent, dropped);
        } else {
            // Cells smaller than a mask are counted sequence by sequence.
            let mask = self.drop_mask(run_id, from / BLOCK);
            for seq in from..next {
                let dropped = mask >> (seq % BLOCK) & 1;
                self.tally.count_streamed(seq, 1 - dropped, dropped);
            }
        }
        self.count_dropped_by_faults(run_id, from, next, dropped);
    }

    /// Counts the `dropped` packets of the part `from..next` of a run for the faults that dropped
    /// them. A packet that two faults pick counts for both.
    pub(crate) fn count_dropped_by_faults(
        &mut self,
        run_id: RunId,
        from: Seq,
        next: Seq,
        dropped: u64,
    ) {
        let mut covering = self.faults.iter_mut().filter(|compiled| {
            compiled.fault.action() == FaultAction::Drop && compiled.covers(run_id)
        });
        let Some(first) = covering.next().filter(|_| dropped > 0) else { return };
        self.tally.count_applied(FaultAction::Drop, dropped);
        if covering.next().is_none() {
            first.applied += dropped;
            return;
        }
        for block in from / BLOCK..=(next - 1) / BLOCK {
            let start = block * BLOCK;
            let low = from.max(start) - start;
            let within = bit_run(low, (next - start).min(BLOCK) - low);
            for compiled in &mut self.faults {
                if compiled.fault.action() == FaultAction::Drop {
                    let mask =
                        compiled.without_spared(compiled.mask(run_id, block), block) & within;
                    compiled.applied += u64::from(mask.count_ones());
                }
            }
        }
    }

    /// Returns the mask of the sequences `block * 64 .. block * 64 + 64` that a run drops: bit `i`
    /// stands for `block * 64 + i`.
    #[must_use]
    pub fn drop_mask(&self, run_id: RunId, block: u64) -> u64 {
        let drops =
            self.faults.iter().filter(|compiled| compiled.fault.action() == FaultAction::Drop);
        drops.fold(0, |mask, compiled| {
            mask | compiled.without_spared(compiled.mask(run_id, block), block)
        })
    }

    /// Returns the mask of the sequences of a block that the fault with this number picks in a run.
    pub(crate) fn mask(&self, index: usize, run_id: RunId, block: u64) -> u64 {
        self.faults.get(index).map_or(0, |compiled| compiled.mask(run_id, block))
    }

    /// Returns the mask of the sequences of a block that any fault picks in a run.
    pub(crate) fn any_mask(&self, run_id: RunId, block: u64) -> u64 {
        self.faults.iter().fold(0, |mask, compiled| mask | compiled.mask(run_id, block))
    }

    /// Returns whether a fault drops the heartbeats of a connection (from 0).
    #[must_use]
    pub fn drops_heartbeats(&self, protocol: Protocol, connection: u64) -> bool {
        let place = FaultPlace::Heartbeat;
        let run_id = RunId { protocol, place, connection, pass: 0, run: 0 };
        self.faults.iter().any(|compiled| compiled.covers(run_id))
    }

    /// Returns the action of the fault with this number.
    pub(crate) fn action(&self, index: usize) -> Option<FaultAction> {
        self.faults.get(index).map(|compiled| compiled.fault.action())
    }

    /// Returns the mask of the datagrams of a block, by their numbers, that the fault with this
    /// number picks in a run, whatever messages they have.
    pub(crate) fn number_mask(&self, index: usize, run_id: RunId, block: u64) -> u64 {
        let covering = self.faults.get(index).filter(|compiled| compiled.covers(run_id));
        covering.map_or(0, |compiled| compiled.picked_mask(run_id, block))
    }

    /// Returns whether the fault with this number may apply to a datagram with these messages.
    pub(crate) fn reaches(&self, index: usize, range: SeqRange) -> bool {
        let Some(compiled) = self.faults.get(index) else { return false };
        let is_spared = compiled.spared.is_some_and(|seq| range.contains(seq));
        let sequences = compiled.sequences.as_ref();
        let has_one = |set: &SeqSet| {
            set.at_or_after(range.first()).is_some_and(|next| next.first() <= range.last())
        };
        !is_spared && sequences.is_none_or(has_one)
    }

    /// Returns whether the fault with this number must not drop a sequence.
    pub(crate) fn is_spared(&self, index: usize, seq: Seq) -> bool {
        self.faults.get(index).is_some_and(|compiled| compiled.spared == Some(seq))
    }

    /// Applies the fault with this number to a sequence that it has picked, and counts that.
    /// Returns the action with a key of random words that is always the same for this sequence;
    /// `None` if the fault has been applied to it as often as it may.
    pub(crate) fn apply(
        &mut self,
        index: usize,
        run_id: RunId,
        seq: Seq,
    ) -> Option<(FaultAction, u64)> {
        let compiled = self.faults.get_mut(index)?;
        if let Some(times) = compiled.fault.times {
            let room = compiled.counts.len() < COUNTED_MAX;
            let count = match compiled.counts.get_mut(&seq) {
                Some(count) => count,
                None if room => compiled.counts.entry(seq).or_insert(0),
                None => return None,
            };
            if *count >= times {
                return None;
            }
            *count += 1;
        }
        compiled.applied += 1;
        self.tally.count_applied(compiled.fault.action(), 1);
        // Inverted, because the key itself gave the random numbers that picked the sequence.
        let words = rng::nth(!run_id.key(compiled.salt), seq);
        Some((compiled.fault.action(), words))
    }

    /// Returns the next sequence to send once `count` packets of `from..=to` were sent, and how
    /// many packets there were to send. The sequence is `to + 1` if no further one is kept. For
    /// runs that only drop packets.
    #[must_use]
    pub fn after_sending(&self, run_id: RunId, from: Seq, to: Seq, count: usize) -> (Seq, usize) {
        let (mut from, mut sent) = (from, 0);
        while from <= to {
            let (block, bit) = (from / BLOCK, from % BLOCK);
            let left = (BLOCK - bit).min(to - from + 1);
            let mut kept = !self.drop_mask(run_id, block) >> bit & bit_run(0, left);
            let here = kept.count_ones() as usize;
            if sent + here > count {
                // Clears the lowest bits: these packets were sent.
                (sent..count).for_each(|_| kept &= kept - 1);
                return (from + u64::from(kept.trailing_zeros()), count);
            }
            sent += here;
            from += left;
        }
        (from, sent)
    }

    /// Returns the contiguous ranges of `from..=to` that are not dropped, for a run that only drops
    /// packets.
    pub fn kept(&self, run_id: RunId, from: Seq, to: Seq) -> impl Iterator<Item = SeqRange> {
        let mut from = from;
        let mut mask = (u64::MAX, 0);
        core::iter::from_fn(move || {
            while from <= to {
                let (block, bit) = (from / BLOCK, from % BLOCK);
                if mask.0 != block {
                    mask = (block, self.drop_mask(run_id, block));
                }
                let ahead: u64 = mask.1 >> bit;
                let left = BLOCK - bit;
                let dropped = u64::from(ahead.trailing_ones()).min(left);
                if dropped == 0 {
                    let run = u64::from(ahead.trailing_zeros()).min(left);
                    let part = SeqRange::new(from, (from + run - 1).min(to));
                    from += run;
                    return part;
                }
                from += dropped;
            }
            None
        })
    }
}

impl CompiledFault {
    /// Returns whether the fault may apply to a run.
    fn covers(&self, run_id: RunId) -> bool {
        let holds = |set: &Option<SeqSet>, from_zero: u64| {
            set.as_ref().is_none_or(|set| set.contains(from_zero.saturating_add(1)))
        };
        let streams = matches!(run_id.place, FaultPlace::Stream | FaultPlace::End);
        self.fault.place() == run_id.place
            && self.fault.happens_on(run_id.protocol)
            && match run_id.protocol {
                Protocol::Mold => holds(&self.fault.lines, run_id.connection),
                Protocol::Betacrew | Protocol::Soup => {
                    holds(&self.fault.connections, run_id.connection)
                }
            }
            && (!streams || holds(&self.fault.passes, run_id.pass.into()))
    }

    /// Returns the mask of the sequences of a block that the fault picks.
    fn mask(&self, run_id: RunId, block: u64) -> u64 {
        if !self.covers(run_id) {
            return 0;
        }
        let within = self.sequences.as_ref().map_or(u64::MAX, |set| set_mask(set, block));
        if within == 0 {
            return 0;
        }
        self.picked_mask(run_id, block) & within
    }

    /// Returns the mask of the numbers of a block that the selector picks.
    fn picked_mask(&self, run_id: RunId, block: u64) -> u64 {
        match self.fault.pick {
            FaultSelector::All => u64::MAX,
            FaultSelector::Every(n) => multiples_mask(n, block),
            FaultSelector::Random { chance, burst } => {
                let key = run_id.key(self.salt);
                let starts = |block: u64| chance.draw(|digit| rng::nth(key, block * 32 + digit));
                match burst.high() {
                    0 | 1 => starts(block),
                    longest => burst_mask(block, longest, starts, |start| {
                        burst.draw(rng::nth(key ^ BURST_LENGTH_SALT, start))
                    }),
                }
            }
        }
    }

    /// Clears the bit of the sequence that random loss never drops.
    fn without_spared(&self, mask: u64, block: u64) -> u64 {
        match self.spared.filter(|seq| seq / BLOCK == block) {
            Some(seq) => mask & !(1 << (seq % BLOCK)),
            None => mask,
        }
    }
}

#[cfg(test)]
mod tests;
