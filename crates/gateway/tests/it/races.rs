//! Races of gateways: in the end, the log has every packet once and in order.

use crate::world::{Plan, World};
use feed::base::rng::Rng;

const CALM: Plan = Plan {
    packets: 400,
    gateways: 1,
    block: 16,
    window: 4,
    old: true,
    check: false,
    lost: [0; 3],
    kills: [0; 3],
    pause: 2000,
    forgetful: false,
    patience: 100,
};

/// Draws the plan of a seed.
fn draw(seed: u64) -> Plan {
    let rng = &mut Rng::new(seed ^ 0x6761_7465);
    let mut below = |bound: u32| rng.below(bound);
    Plan {
        packets: 100 + u64::from(below(600)),
        gateways: 1 + below(3) as usize,
        block: [1, 2, 7, 16, 64][below(5) as usize],
        window: [1, 2, 8, 32][below(4) as usize],
        old: below(2) == 0,
        check: below(3) == 0,
        lost: [below(30), below(60), [0, 20, 100][below(3) as usize]],
        kills: [below(4), below(4), 0],
        pause: [20, 1000, 10_000][below(3) as usize],
        forgetful: false,
        patience: [0, 0, 20, 100][below(4) as usize],
    }
}

fn passes(plan: &Plan, seed: u64) -> World {
    let mut world = World::new(plan.clone(), seed);
    if let Err(wrong) = world.run() {
        panic!("seed {seed}, {plan:?}: {wrong}");
    }
    let events = world.happened();
    assert!(events < 40_000, "seed {seed}, {plan:?}: {events} events are a driver that spins");
    world
}

#[test]
fn one_gateway_and_a_log_that_answers() {
    for block in [1, 16, 1000] {
        for old in [true, false] {
            let world = passes(&Plan { block, old, ..CALM }, 1);
            assert_eq!(world.races(), 0, "one alone never loses a race");
        }
    }
}

#[test]
fn lost_answers_kills_and_others_at_once() {
    let mut races = 0;
    for seed in 0..4000 {
        races += passes(&draw(seed), seed).races();
    }
    assert!(races > 4000, "only {races} races");
}

#[test]
fn a_log_that_loses_what_it_confirmed_is_made_again() {
    for seed in 0..1000 {
        let plan = Plan { kills: [0, 3, 5], ..draw(seed) };
        passes(&plan, seed);
    }
}

#[test]
fn without_the_second_condition_the_log_gets_holes() {
    let busy = Plan { forgetful: true, gateways: 3, block: 6, pause: 400, patience: 0, ..CALM };
    let plan = || Plan { window: 8, lost: [20, 40, 20], kills: [8, 3, 0], ..busy.clone() };
    let holes = (0..1000).filter(|&seed| World::new(plan(), seed).run().is_err()).count();
    assert!(holes > 5, "the simulation sees only {holes} of 1000");
}
