//! Tests of the fault engine: which packets a fault applies to.

use super::*;
use crate::base::chance::Chance;
use crate::base::seq::MAX_SEQ;
use crate::base::span::Span;
use crate::faults::scenario::only;
use alloc::vec::Vec;

fn run_id(connection: u64, run: u32) -> RunId {
    RunId { protocol: Protocol::Betacrew, place: FaultPlace::Stream, connection, pass: run, run }
}

fn faults(scenario: &Scenario, last: Seq) -> FaultEngine {
    FaultEngine::new(scenario, last)
}

fn lossy(chance: &str, skip: &str) -> Scenario {
    Scenario::losing(42, chance.parse().unwrap()).with(Fault::skip(skip.parse().unwrap()))
}

fn dropped(faults: &FaultEngine, run_id: RunId, upto: Seq) -> Vec<Seq> {
    let is_dropped = |seq: &Seq| faults.drop_mask(run_id, seq / BLOCK) >> (seq % BLOCK) & 1 == 1;
    (1..=upto).filter(is_dropped).collect()
}

#[test]
fn a_seed_always_drops_the_same_packets() {
    let quarter = faults(&lossy("0.25", ""), 1000);
    assert_eq!(dropped(&quarter, run_id(0, 0), 40), GOLDEN_FIRST_PASS);
    assert_ne!(dropped(&quarter, run_id(0, 1), 40), GOLDEN_FIRST_PASS, "another pass");
    assert_ne!(dropped(&quarter, run_id(1, 0), 40), GOLDEN_FIRST_PASS, "another connection");
    let three = faults(&lossy("0.3", ""), 1_000_000);
    assert_eq!(three.drop_mask(run_id(3, 2), 1000), GOLDEN_MASK);
}

// Computed by an independent implementation in Python.
const GOLDEN_FIRST_PASS: [Seq; 11] = [6, 11, 15, 18, 21, 22, 27, 28, 29, 35, 40];
const GOLDEN_MASK: u64 = 0x7872_8083_0a20_a13b;

#[test]
fn the_measured_drop_rate_is_the_requested_one() {
    for (chance, rate) in [("0", 0.0), ("1", 1.0), ("25%", 0.25), ("0.3", 0.3), ("0.999", 0.999)] {
        let faults = faults(&lossy(chance, ""), MAX_SEQ);
        let count: u32 = (0..4000).map(|b| faults.drop_mask(run_id(9, 0), b).count_ones()).sum();
        let measured = f64::from(count) / (4000.0 * 64.0);
        // Five standard deviations.
        let spread = 5.0 * (rate * (1.0 - rate) / 256_000.0_f64).sqrt();
        assert!((measured - rate).abs() <= spread, "{chance}: {measured}");
    }
}

#[test]
fn runs_and_faults_are_independent_of_each_other() {
    let twice = lossy("0.25", "").with(Fault::loss(Chance::of(1, 4).unwrap()));
    let faults = faults(&twice, MAX_SEQ);
    let both = |a: (usize, RunId), b: (usize, RunId)| -> f64 {
        let mask = |(index, run_id), block| faults.mask(index, run_id, block);
        let count: u32 = (0..4000).map(|i| (mask(a, i) & mask(b, i)).count_ones()).sum();
        f64::from(count) / 256_000.0
    };
    let stream = run_id(0, 0);
    let resend = RunId { place: FaultPlace::Resend, ..stream };
    for other in [(0, run_id(0, 1)), (0, run_id(1, 0)), (2, stream)] {
        assert!((both((0, stream), other) - 0.0625).abs() < 0.0024, "{other:?}");
    }
    assert_eq!(faults.mask(0, resend, 1), 0, "a fault of streams does not apply to resends");
}

#[test]
fn after_sending_agrees_with_the_kept_ranges() {
    for (chance, skip) in [("0.25", "60-70,192"), ("0", ""), ("1", "")] {
        let faults = faults(&lossy(chance, skip), 300);
        for (from, to) in [(1, 300), (63, 64), (64, 128), (5, 5), (9, 8)] {
            let kept = faults.kept(run_id(0, 0), from, to);
            let all: Vec<Seq> = kept.flat_map(|range| range.first()..=range.last()).collect();
            for count in 0..all.len() + 2 {
                let sent = count.min(all.len());
                let next = all.get(count).copied().unwrap_or((to + 1).max(from));
                assert_eq!(faults.after_sending(run_id(0, 0), from, to, count), (next, sent));
            }
        }
    }
}

#[test]
fn listed_sequences_are_always_dropped_and_random_loss_keeps_the_last() {
    let listed = faults(&lossy("0", "2,60-70,192"), 1000);
    let expected: Vec<Seq> = [2].into_iter().chain(60..=70).chain([192]).collect();
    assert_eq!(dropped(&listed, run_id(5, 3), 300), expected);
    let keeping = Scenario { keep_last: true, ..lossy("1", "") };
    let all: Vec<Seq> = (1..64).collect();
    assert_eq!(dropped(&faults(&keeping, 64), run_id(0, 0), 64), all);
    let keeping = Scenario { keep_last: true, ..lossy("0", "64") };
    assert_eq!(
        dropped(&faults(&keeping, 64), run_id(0, 0), 64),
        [64],
        "a listed sequence is dropped even if it is the last"
    );
    let everything = faults(&lossy("0", &alloc::format!("1-{MAX_SEQ}")), MAX_SEQ);
    assert_eq!(dropped(&everything, run_id(0, 0), 200).len(), 200);
    assert_eq!(everything.drop_mask(run_id(0, 0), MAX_SEQ / BLOCK), u64::MAX);
}

#[test]
fn a_fault_applies_only_to_its_connections_passes_and_sequences() {
    let mut fault = Fault::skip("3".parse().unwrap());
    fault.connections = Some(only(2));
    fault.passes = Some("1,3-4".parse().unwrap());
    fault.last = Some(2);
    let faults = faults(&Scenario::clean(1).with(fault), 100);
    let at = |connection, pass| {
        dropped(
            &faults,
            RunId {
                protocol: Protocol::Betacrew,
                place: FaultPlace::Stream,
                connection,
                pass,
                run: 0,
            },
            100,
        )
    };
    assert_eq!(at(1, 0), [3, 99, 100]);
    assert_eq!((at(1, 2), at(1, 3)), (alloc::vec![3, 99, 100], alloc::vec![3, 99, 100]));
    assert!(at(0, 0).is_empty() && at(1, 1).is_empty() && at(2, 0).is_empty());
}

#[test]
fn every_nth_picks_the_multiples_of_n() {
    for n in [1, 2, 3, 7, 64, 65, 1000] {
        let mut fault = Fault::skip("1-3000".parse().unwrap());
        fault.pick = FaultSelector::Every(n);
        let faults = faults(&Scenario::clean(1).with(fault), 3000);
        let expected: Vec<Seq> = (1..=3000).filter(|seq| seq % u64::from(n) == 0).collect();
        assert_eq!(dropped(&faults, run_id(0, 0), 3000), expected, "{n}");
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
        let run = run_id(0, 0);
        let key = run.key(7);
        let starts = |block| chance.draw(|d| rng::nth(key, block * 32 + d));
        let mut expected = Vec::new();
        for seq in (0..20_000u64).filter(|seq| starts(seq / 64) >> (seq % 64) & 1 == 1) {
            let length = u64::from(burst.draw(rng::nth(key ^ BURST_LENGTH_SALT, seq)));
            expected.extend((seq..seq + length).filter(|seq| (1..=20_000).contains(seq)));
        }
        expected.sort_unstable();
        expected.dedup();
        assert!(expected.len() > 20);
        assert_eq!(dropped(&faults, run, 20_000), expected, "{low}-{high}");
    }
}

#[test]
fn a_limited_fault_counts_its_applications_by_sequence() {
    let mut fault = Fault::skip("1-9".parse().unwrap());
    fault.times = Some(2);
    let mut faults = faults(&Scenario::clean(7).with(fault), 100);
    assert!(!faults.only_drops(run_id(0, 0)));
    let applied = |faults: &mut FaultEngine, connection, seq| {
        faults.apply(0, run_id(connection, 0), seq).is_some()
    };
    assert!(applied(&mut faults, 0, 5) && applied(&mut faults, 1, 5));
    assert!(!applied(&mut faults, 0, 5) && applied(&mut faults, 0, 6));
}
