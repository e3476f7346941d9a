//! Which packets the faults of a scenario pick: pure functions of seed, connection, pass and
//! sequence.

pub use crate::faults::tally::{FaultTally, TallyCell};

use crate::base::rng;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::faults::scenario::{
    COUNTED_MAX, Fault, FaultAction, FaultPlace, FaultSelector, Scenario,
};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How many sequences one mask covers.
pub const BLOCK: u32 = 64;

/// One run of packets on a connection: a stream, or the answer to one resend call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunId {
    /// What it is.
    pub place: FaultPlace,
    /// The connection, from 0.
    pub connection: u64,
    /// Which stream of the exchange, from 0; of no meaning elsewhere.
    pub pass: u32,
    /// Which run of its kind on the connection, from 0.
    pub run: u32,
}

/// Keeps the random numbers of the kinds of runs apart.
const APART: u64 = 1 << 40;

impl RunId {
    fn key(self, salt: u64) -> u64 {
        let kind = match self.place {
            FaultPlace::Stream => 0,
            FaultPlace::Resend => APART,
            FaultPlace::End => 2 * APART,
            FaultPlace::Connect => 3 * APART,
            FaultPlace::Heartbeat => 4 * APART,
        };
        rng::nth(rng::nth(salt, self.connection), kind + u64::from(self.run))
    }
}

/// A scenario's faults, made ready for one tape.
#[derive(Clone, Debug)]
pub struct FaultEngine {
    faults: Vec<CompiledFault>,
    /// Rises with each change, so that runs notice.
    edition: u32,
    /// What was sent and struck, over all changes.
    tally: FaultTally,
}

#[derive(Clone, Debug)]
struct CompiledFault {
    fault: Fault,
    salt: u64,
    /// Where it may happen, with the tape's end worked in; `None`: everywhere.
    sequences: Option<SeqSet>,
    /// Spared from random loss.
    keep: Option<Seq>,
    /// How often it has happened to each sequence, where that is limited.
    counts: BTreeMap<Seq, u32>,
    /// How often it has happened.
    struck: u64,
}

/// Keeps the random numbers of a scenario's faults apart. The first fault's are the seed's own.
fn salt(seed: u64, index: u64) -> u64 {
    if index == 0 { seed } else { rng::nth(seed ^ 0x6661_756c_7473, index) }
}

/// Keeps the lengths of bursts apart from where they begin.
const LENGTHS: u64 = 0x6275_7273_7473;

impl FaultEngine {
    /// The faults of `scenario` for a tape that ends with `last`.
    #[must_use]
    pub fn new(scenario: &Scenario, last: Seq) -> Self {
        let ready = |(index, fault): (u64, &Fault)| {
            let tail = fault.last.map(|count| {
                let first = last.saturating_sub(count.saturating_sub(1)).max(FIRST_SEQ);
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
                salt: salt(scenario.seed, index),
                sequences,
                keep: spares.then_some(last),
                counts: BTreeMap::new(),
                struck: 0,
                fault: fault.clone(),
            }
        };
        let faults = (0..).zip(&scenario.faults).map(ready).collect();
        Self { faults, edition: 0, tally: FaultTally::new(last) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.faults.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether nothing but loss can happen in a run, the same whenever it is asked for.
    #[must_use]
    pub fn plain(&self, course: RunId) -> bool {
        self.faults.iter().all(|ready| ready.fault.only_drops() || !ready.covers(course))
    }

    /// Whether nothing at all can happen in a run.
    #[must_use]
    pub fn untouched(&self, course: RunId) -> bool {
        !self.faults.iter().any(|ready| ready.covers(course))
    }

    /// The same faults for another tape; what has been counted stays counted.
    #[must_use]
    pub fn renewed(&self, scenario: &Scenario, last: Seq) -> Self {
        let mut new = Self::new(scenario, last);
        for (new, old) in new.faults.iter_mut().zip(&self.faults) {
            new.counts.clone_from(&old.counts);
            new.struck = old.struck;
        }
        new.tally = self.tally.clone();
        new.tally.restart(last);
        new.edition = self.edition + 1;
        new
    }

    /// Other faults for the same tape; what was counted in all stays counted.
    #[must_use]
    pub fn changed(&self, scenario: &Scenario, last: Seq) -> Self {
        let tally = self.tally.clone();
        Self { tally, edition: self.edition + 1, ..Self::new(scenario, last) }
    }

    /// Rises with each change.
    pub(crate) fn edition(&self) -> u32 {
        self.edition
    }

    /// How often the fault with this number has happened since it is in force.
    #[must_use]
    pub fn struck(&self, index: usize) -> u64 {
        self.faults.get(index).map_or(0, |ready| ready.struck)
    }

    /// What was sent and struck, over all changes.
    #[must_use]
    pub fn tally(&self) -> &FaultTally {
        &self.tally
    }

    pub(crate) fn tally_mut(&mut self) -> &mut FaultTally {
        &mut self.tally
    }

    /// Counts a plain run that has come from `from` to before `next`, no further than
    /// [`FaultTally::end`] allows: `sent` packets were sent and the others dropped.
    pub(crate) fn count_run(&mut self, course: RunId, from: Seq, next: Seq, sent: u64) {
        let dropped = u64::from(next - from) - sent;
        if self.tally.width() >= BLOCK {
            self.tally.streamed(from, sent, dropped);
        } else {
            let lost = self.lost(course, from / BLOCK);
            for seq in from..next {
                let dropped = lost >> (seq % BLOCK) & 1;
                self.tally.streamed(seq, 1 - dropped, dropped);
            }
        }
        self.count_lost(course, from, next, dropped);
    }

    /// A plain run has come from `from` to before `next`, and lost `lost` packets there: counts
    /// whose doing that was. Where two faults pick the same packet it counts for both.
    pub(crate) fn count_lost(&mut self, course: RunId, from: Seq, next: Seq, lost: u64) {
        let mut covering = self
            .faults
            .iter_mut()
            .filter(|ready| ready.fault.action() == FaultAction::Drop && ready.covers(course));
        let Some(first) = covering.next().filter(|_| lost > 0) else { return };
        self.tally.struck(FaultAction::Drop, lost);
        if covering.next().is_none() {
            first.struck += lost;
            return;
        }
        for block in from / BLOCK..=(next - 1) / BLOCK {
            let start = block * BLOCK;
            let low = from.max(start) - start;
            let within = ones(low, (next - start).min(BLOCK) - low);
            for ready in &mut self.faults {
                if ready.fault.action() == FaultAction::Drop {
                    let mask = ready.spared(ready.mask(course, block), block) & within;
                    ready.struck += u64::from(mask.count_ones());
                }
            }
        }
    }

    /// Which of the sequences `block * 64 .. block * 64 + 64` a run loses: bit `i` is set where
    /// `block * 64 + i` is lost.
    #[must_use]
    pub fn lost(&self, course: RunId, block: u32) -> u64 {
        let drops = self.faults.iter().filter(|ready| ready.fault.action() == FaultAction::Drop);
        drops.fold(0, |lost, ready| lost | ready.spared(ready.mask(course, block), block))
    }

    /// Which of the sequences of a block the fault with this number picks in a run.
    pub(crate) fn mask(&self, index: usize, course: RunId, block: u32) -> u64 {
        self.faults.get(index).map_or(0, |ready| ready.mask(course, block))
    }

    /// Whether a connection (from 0) is sent no heartbeats.
    #[must_use]
    pub fn silences(&self, connection: u64) -> bool {
        let course = RunId { place: FaultPlace::Heartbeat, connection, pass: 0, run: 0 };
        self.faults.iter().any(|ready| ready.covers(course))
    }

    /// Whether the fault with this number spares a sequence.
    pub(crate) fn spares(&self, index: usize, seq: Seq) -> bool {
        self.faults.get(index).is_some_and(|ready| ready.keep == Some(seq))
    }

    /// What the fault with this number does to a sequence that it has picked, if it has not done
    /// so often enough; counts it. With it come random words, always the same for this sequence.
    pub(crate) fn strike(
        &mut self,
        index: usize,
        course: RunId,
        seq: Seq,
    ) -> Option<(FaultAction, u64)> {
        let ready = self.faults.get_mut(index)?;
        if let Some(times) = ready.fault.times {
            let room = ready.counts.len() < COUNTED_MAX;
            let count = match ready.counts.get_mut(&seq) {
                Some(count) => count,
                None if room => ready.counts.entry(seq).or_insert(0),
                None => return None,
            };
            if *count >= times {
                return None;
            }
            *count += 1;
        }
        ready.struck += 1;
        self.tally.struck(ready.fault.action(), 1);
        // Apart from the numbers that have picked it.
        let words = rng::nth(!course.key(ready.salt), u64::from(seq));
        Some((ready.fault.action(), words))
    }

    /// The next sequence that a plain run keeps (or the one after `to`) once `count` of those that
    /// it keeps from `from` on are sent, and how many of them there were.
    #[must_use]
    pub fn skip(&self, course: RunId, from: Seq, to: Seq, count: usize) -> (Seq, usize) {
        let (mut from, mut sent) = (from, 0);
        while from <= to {
            let (block, bit) = (from / BLOCK, from % BLOCK);
            let left = (BLOCK - bit).min(to - from + 1);
            let mut kept = !self.lost(course, block) >> bit & ones(0, left);
            let here = kept.count_ones() as usize;
            if sent + here > count {
                // Whatever is sent of them is taken off from below.
                (sent..count).for_each(|_| kept &= kept - 1);
                return (from + kept.trailing_zeros(), count);
            }
            sent += here;
            from += left;
        }
        (from, sent)
    }

    /// The contiguous ranges from `from` to `to` that a plain run keeps.
    pub fn kept(&self, course: RunId, from: Seq, to: Seq) -> impl Iterator<Item = SeqRange> {
        let mut from = from;
        let mut mask = (u32::MAX, 0);
        core::iter::from_fn(move || {
            while from <= to {
                let (block, bit) = (from / BLOCK, from % BLOCK);
                if mask.0 != block {
                    mask = (block, self.lost(course, block));
                }
                let ahead: u64 = mask.1 >> bit;
                let left = BLOCK - bit;
                let lost = ahead.trailing_ones().min(left);
                if lost == 0 {
                    let run = ahead.trailing_zeros().min(left);
                    let part = SeqRange::new(from, (from + run - 1).min(to));
                    from += run;
                    return part;
                }
                from += lost;
            }
            None
        })
    }
}

impl CompiledFault {
    /// Whether it may happen in a run.
    fn covers(&self, course: RunId) -> bool {
        let number = |from_zero: u64| Seq::try_from(from_zero + 1).unwrap_or(Seq::MAX);
        let holds =
            |set: &Option<SeqSet>, number: Seq| set.as_ref().is_none_or(|set| set.contains(number));
        let streams = matches!(course.place, FaultPlace::Stream | FaultPlace::End);
        self.fault.place() == course.place
            && holds(&self.fault.connections, number(course.connection))
            && (!streams || holds(&self.fault.passes, number(course.pass.into())))
    }

    /// Which of the sequences of a block it picks.
    fn mask(&self, course: RunId, block: u32) -> u64 {
        if !self.covers(course) {
            return 0;
        }
        let within = self.sequences.as_ref().map_or(u64::MAX, |set| bits(set, block));
        if within == 0 {
            return 0;
        }
        let picked = match self.fault.pick {
            FaultSelector::All => u64::MAX,
            FaultSelector::Every(n) => every(n, block),
            FaultSelector::Random { chance, burst } => {
                let key = course.key(self.salt);
                let starts =
                    |block: u32| chance.draw(|digit| rng::nth(key, u64::from(block) * 32 + digit));
                match burst.high() {
                    0 | 1 => starts(block),
                    longest => runs(block, longest, starts, |start| {
                        burst.draw(rng::nth(key ^ LENGTHS, u64::from(start)))
                    }),
                }
            }
        };
        picked & within
    }

    fn spared(&self, mask: u64, block: u32) -> u64 {
        match self.keep.filter(|keep| keep / BLOCK == block) {
            Some(keep) => mask & !(1 << (keep % BLOCK)),
            None => mask,
        }
    }
}

/// The sequences of a block that are in a set.
fn bits(set: &SeqSet, block: u32) -> u64 {
    let start = block * BLOCK;
    let Some(all) = SeqRange::new(start, (start + (BLOCK - 1)).min(MAX_SEQ)) else { return 0 };
    let from = set.ranges().partition_point(|range| range.last() < start);
    let inside = set.ranges()[from..].iter().map_while(|range| range.intersect(all));
    inside.fold(0, |mask, part| mask | ones(part.first() - start, part.len()))
}

/// `count` bits (1 to 64) from bit `from` on, cut off at 64.
fn ones(from: u32, count: u32) -> u64 {
    u64::MAX >> (BLOCK - count.min(BLOCK)) << from
}

/// The sequences of a block that `n` divides.
fn every(n: u32, block: u32) -> u64 {
    let n = n.max(1);
    let start = block * BLOCK;
    let first = (n - start % n) % n;
    (first..BLOCK).step_by(n as usize).fold(0, |mask, bit| mask | 1 << bit)
}

/// The sequences of a block that lie in runs which begin there or before it.
fn runs(block: u32, longest: u32, starts: impl Fn(u32) -> u64, length: impl Fn(Seq) -> u32) -> u64 {
    let end = u64::from(block) * u64::from(BLOCK);
    let mut mask = 0;
    for from in block.saturating_sub(longest.div_ceil(BLOCK))..=block {
        let mut left = starts(from);
        while left != 0 {
            let start = from * BLOCK + left.trailing_zeros();
            left &= left - 1;
            let stop = u64::from(start) + u64::from(length(start));
            let reach = u32::try_from(stop.saturating_sub(end)).unwrap_or(u32::MAX);
            match start.checked_sub(block * BLOCK) {
                Some(bit) if stop > u64::from(start) => mask |= ones(bit, reach - bit),
                None if reach > 0 => mask |= ones(0, reach),
                _ => {}
            }
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chance::Chance;
    use crate::base::span::Span;
    use crate::faults::scenario::only;
    use alloc::vec::Vec;

    fn course(connection: u64, run: u32) -> RunId {
        RunId { place: FaultPlace::Stream, connection, pass: run, run }
    }

    fn faults(scenario: &Scenario, last: Seq) -> FaultEngine {
        FaultEngine::new(scenario, last)
    }

    fn losing(chance: &str, skip: &str) -> Scenario {
        Scenario::losing(42, chance.parse().unwrap()).with(Fault::skip(skip.parse().unwrap()))
    }

    fn lost(faults: &FaultEngine, course: RunId, upto: Seq) -> Vec<Seq> {
        let is_lost = |seq: &Seq| faults.lost(course, seq / BLOCK) >> (seq % BLOCK) & 1 == 1;
        (1..=upto).filter(is_lost).collect()
    }

    #[test]
    fn the_same_seed_loses_the_same_packets_for_ever() {
        let quarter = faults(&losing("0.25", ""), 1000);
        assert_eq!(lost(&quarter, course(0, 0), 40), GOLDEN_FIRST_PASS);
        assert_ne!(lost(&quarter, course(0, 1), 40), GOLDEN_FIRST_PASS, "another pass");
        assert_ne!(lost(&quarter, course(1, 0), 40), GOLDEN_FIRST_PASS, "another connection");
        let three = faults(&losing("0.3", ""), 1_000_000);
        assert_eq!(three.lost(course(3, 2), 1000), GOLDEN_MASK);
    }

    // Computed by another implementation, in Python.
    const GOLDEN_FIRST_PASS: [Seq; 11] = [6, 11, 15, 18, 21, 22, 27, 28, 29, 35, 40];
    const GOLDEN_MASK: u64 = 0x7872_8083_0a20_a13b;

    #[test]
    fn the_rate_is_the_one_asked_for() {
        for (chance, rate) in
            [("0", 0.0), ("1", 1.0), ("25%", 0.25), ("0.3", 0.3), ("0.999", 0.999)]
        {
            let faults = faults(&losing(chance, ""), MAX_SEQ);
            let count: u32 = (0..4000).map(|b| faults.lost(course(9, 0), b).count_ones()).sum();
            let measured = f64::from(count) / (4000.0 * 64.0);
            // Five standard deviations.
            let spread = 5.0 * (rate * (1.0 - rate) / 256_000.0_f64).sqrt();
            assert!((measured - rate).abs() <= spread, "{chance}: {measured}");
        }
    }

    #[test]
    fn runs_and_faults_are_independent_of_each_other() {
        let twice = losing("0.25", "").with(Fault::loss(Chance::of(1, 4).unwrap()));
        let faults = faults(&twice, MAX_SEQ);
        let both = |a: (usize, RunId), b: (usize, RunId)| -> f64 {
            let mask = |(index, course), block| faults.mask(index, course, block);
            let count: u32 = (0..4000).map(|i| (mask(a, i) & mask(b, i)).count_ones()).sum();
            f64::from(count) / 256_000.0
        };
        let stream = course(0, 0);
        let resend = RunId { place: FaultPlace::Resend, ..stream };
        for other in [(0, course(0, 1)), (0, course(1, 0)), (2, stream)] {
            assert!((both((0, stream), other) - 0.0625).abs() < 0.0024, "{other:?}");
        }
        assert_eq!(faults.mask(0, resend, 1), 0, "a fault of streams is none of resends");
    }

    #[test]
    fn what_is_skipped_is_what_is_kept() {
        for (chance, skip) in [("0.25", "60-70,192"), ("0", ""), ("1", "")] {
            let faults = faults(&losing(chance, skip), 300);
            for (from, to) in [(1, 300), (63, 64), (64, 128), (5, 5), (9, 8)] {
                let kept = faults.kept(course(0, 0), from, to);
                let all: Vec<Seq> = kept.flat_map(|range| range.first()..=range.last()).collect();
                for count in 0..all.len() + 2 {
                    let sent = count.min(all.len());
                    let next = all.get(count).copied().unwrap_or((to + 1).max(from));
                    assert_eq!(faults.skip(course(0, 0), from, to, count), (next, sent));
                }
            }
        }
    }

    #[test]
    fn listed_sequences_are_always_lost_and_the_last_is_kept() {
        let listed = faults(&losing("0", "2,60-70,192"), 1000);
        let expected: Vec<Seq> = [2].into_iter().chain(60..=70).chain([192]).collect();
        assert_eq!(lost(&listed, course(5, 3), 300), expected);
        let keeping = Scenario { keep_last: true, ..losing("1", "") };
        let all: Vec<Seq> = (1..64).collect();
        assert_eq!(lost(&faults(&keeping, 64), course(0, 0), 64), all);
        let keeping = Scenario { keep_last: true, ..losing("0", "64") };
        assert_eq!(lost(&faults(&keeping, 64), course(0, 0), 64), [64], "what is listed wins");
        let everything = faults(&losing("0", "1-2147483647"), MAX_SEQ);
        assert_eq!(lost(&everything, course(0, 0), 200).len(), 200);
        assert_eq!(everything.lost(course(0, 0), MAX_SEQ / BLOCK), u64::MAX);
    }

    #[test]
    fn faults_keep_to_where_they_belong() {
        let mut fault = Fault::skip("3".parse().unwrap());
        fault.connections = Some(only(2));
        fault.passes = Some("1,3-4".parse().unwrap());
        fault.last = Some(2);
        let faults = faults(&Scenario::clean(1).with(fault), 100);
        let at = |connection, pass| {
            lost(&faults, RunId { place: FaultPlace::Stream, connection, pass, run: 0 }, 100)
        };
        assert_eq!(at(1, 0), [3, 99, 100]);
        assert_eq!((at(1, 2), at(1, 3)), (alloc::vec![3, 99, 100], alloc::vec![3, 99, 100]));
        assert!(at(0, 0).is_empty() && at(1, 1).is_empty() && at(2, 0).is_empty());
    }

    #[test]
    fn every_nth_is_every_nth() {
        for n in [1, 2, 3, 7, 64, 65, 1000] {
            let mut fault = Fault::skip("1-3000".parse().unwrap());
            fault.pick = FaultSelector::Every(n);
            let faults = faults(&Scenario::clean(1).with(fault), 3000);
            let expected: Vec<Seq> = (1..=3000).filter(|seq| seq % n == 0).collect();
            assert_eq!(lost(&faults, course(0, 0), 3000), expected, "{n}");
        }
    }

    #[test]
    fn bursts_are_runs_of_their_length() {
        let chance = Chance::of(1, 500).unwrap();
        for (low, high) in [(1, 1), (5, 5), (3, 70), (200, 200)] {
            let burst = Span::new(low, high).unwrap();
            let mut fault = Fault::loss(chance);
            fault.pick = FaultSelector::Random { chance, burst };
            let faults = faults(&Scenario::clean(7).with(fault), MAX_SEQ);
            let run = course(0, 0);
            let key = run.key(7);
            let starts = |block| chance.draw(|d| rng::nth(key, u64::from(block) * 32 + d));
            let mut expected = Vec::new();
            for seq in (0..20_000u32).filter(|seq| starts(seq / 64) >> (seq % 64) & 1 == 1) {
                let length = burst.draw(rng::nth(key ^ LENGTHS, u64::from(seq)));
                expected.extend((seq..seq + length).filter(|seq| (1..=20_000).contains(seq)));
            }
            expected.sort_unstable();
            expected.dedup();
            assert!(expected.len() > 20);
            assert_eq!(lost(&faults, run, 20_000), expected, "{low}-{high}");
        }
    }

    #[test]
    fn what_happens_a_number_of_times_is_counted_by_sequence() {
        let mut fault = Fault::skip("1-9".parse().unwrap());
        fault.times = Some(2);
        let mut faults = faults(&Scenario::clean(7).with(fault), 100);
        assert!(!faults.plain(course(0, 0)));
        let struck = |faults: &mut FaultEngine, connection, seq| {
            faults.strike(0, course(connection, 0), seq).is_some()
        };
        assert!(struck(&mut faults, 0, 5) && struck(&mut faults, 1, 5));
        assert!(!struck(&mut faults, 0, 5) && struck(&mut faults, 0, 6));
    }
}
