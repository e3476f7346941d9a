//! Detection of faults that can never apply to a tape, before it is played.

use feed::base::seq::Seq;
use feed::base::span::Span;
use feed::faults::engine::{FaultEngine, RunId};
use feed::faults::scenario::{
    Fault, FaultAction, FaultPlace, FaultSelector, Impossible, Played, Scenario,
};
use feed::wire::{Protocol, Protocols};

const fn played(last: Option<Seq>, live: bool) -> Played {
    Played { last, live, protocols: Protocols::of(Protocol::Betacrew), lines: 0 }
}

const FIVE: Played = played(Some(5), false);
const ENDLESS: Played = played(None, true);

fn drop_on(place: FaultPlace) -> Fault {
    Fault::new(FaultAction::Drop, place).unwrap()
}

fn skip(text: &str) -> Fault {
    Fault::skip(text.parse().unwrap())
}

fn with(mut fault: Fault, change: impl FnOnce(&mut Fault)) -> Fault {
    change(&mut fault);
    fault
}

fn random(chance: &str) -> FaultSelector {
    FaultSelector::Random { chance: chance.parse().unwrap(), burst: Span::one(1) }
}

#[test]
fn a_fault_that_can_never_apply_is_reported_with_its_reason() {
    let clean = Scenario::clean(1);
    let why = |fault: &Fault, played| clean.impossible(fault, played);
    let last = |count| with(drop_on(FaultPlace::Stream), |fault| fault.last = Some(count));
    assert_eq!(why(&skip("5"), FIVE), None, "at the bound");
    assert_eq!(why(&skip("6"), FIVE), Some(Impossible::Beyond(5)));
    assert_eq!(why(&skip("5-100"), FIVE), None);
    assert_eq!(why(&skip("100"), ENDLESS), None);
    assert_eq!(why(&skip("1"), played(Some(0), false)), Some(Impossible::Empty));
    assert_eq!(why(&last(1), FIVE), None);
    assert_eq!(why(&last(1), ENDLESS), Some(Impossible::NoLast));
    assert_eq!(why(&with(skip("9"), |fault| fault.last = Some(1)), FIVE), None, "the last one");
    let every = |n, fault| with(fault, |fault| fault.pick = FaultSelector::Every(n));
    assert_eq!(why(&every(5, drop_on(FaultPlace::Stream)), FIVE), None);
    assert_eq!(why(&every(6, drop_on(FaultPlace::Stream)), FIVE), Some(Impossible::NoMultiple(6)));
    assert_eq!(why(&every(4, skip("1-3,5")), FIVE), Some(Impossible::NoMultiple(4)));
    let chance = |chance, fault| with(fault, |fault| fault.pick = random(chance));
    assert_eq!(why(&chance("0", skip("1")), FIVE), Some(Impossible::NoChance));
    assert_eq!(why(&chance("1", skip("5")), FIVE), Some(Impossible::Kept));
    assert_eq!(why(&chance("1", skip("4-5")), FIVE), None);
    assert_eq!(why(&drop_on(FaultPlace::Heartbeat), FIVE), Some(Impossible::NotLive));
    assert_eq!(why(&drop_on(FaultPlace::Heartbeat), ENDLESS), None);
    let far = with(drop_on(FaultPlace::Resend), |fault| fault.sequences = "256".parse().ok());
    let long = played(Some(1000), false);
    assert_eq!(why(&far, long), None);
    let classic = Scenario { extension: false, ..Scenario::clean(1) };
    assert_eq!(classic.impossible(&far, long), Some(Impossible::Beyond(255)));
    let silence = Fault::new(FaultAction::Silence, FaultPlace::Connect).unwrap();
    assert_eq!(why(&silence, played(Some(0), false)), None);
}

#[test]
fn all_faults_that_can_never_apply_are_listed() {
    let scenario = Scenario::clean(1).with(skip("9")).with(skip("2")).with(skip("7-8"));
    let found: Vec<usize> = scenario.all_impossible(FIVE).map(|(index, ..)| index).collect();
    assert_eq!(found, [0, 2]);
}

/// Compares `impossible` with the packets that the engine picks, over all small cases.
#[test]
fn a_fault_is_impossible_exactly_if_it_picks_no_packet() {
    for last in 0..8 {
        for sequences in ["", "1", "3-4", "6", "9-20"] {
            for pick in [
                FaultSelector::All,
                FaultSelector::Every(3),
                FaultSelector::Every(7),
                random("1"),
                random("0"),
            ] {
                for tail in [None, Some(0), Some(1), Some(3)] {
                    let mut fault = drop_on(FaultPlace::Stream);
                    (fault.pick, fault.last) = (pick, tail);
                    let set: feed::base::seq::SeqSet = sequences.parse().unwrap();
                    fault.sequences = Some(set).filter(|set| !set.is_empty());
                    let scenario = Scenario::clean(1).with(fault);
                    let faults = FaultEngine::new(&scenario, last);
                    let run_id = RunId {
                        protocol: Protocol::Betacrew,
                        place: FaultPlace::Stream,
                        connection: 0,
                        pass: 0,
                        run: 0,
                    };
                    let within = (1..=last).fold(0_u64, |bits, seq| bits | 1 << seq);
                    let picks = faults.drop_mask(run_id, 0) & within != 0;
                    let played = played(Some(last), false);
                    let why = scenario.impossible(&scenario.faults[0], played);
                    assert_eq!(picks, why.is_none(), "{last} {scenario:?}: {why:?}");
                }
            }
        }
    }
}
