//! Simulated runs over crashes and restarts, drawn from seeds: see `feed::sim::seeded`.

use feed::sim::run::{SimReport, Violation};
use feed::sim::seeded::{SeedPlan, simulate};
use feed::wire::Protocol;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Seeds that once broke an invariant: by messages behind parts of packets, by slow exchanges, and
/// by answers that opened too many gaps and narrowed the window of requests.
const BROKEN_ONCE: [u64; 9] = [
    5_500_120_609,
    6_600_142_982,
    6_600_378_796,
    92_000_008_085,
    95_001_153_645,
    21_001_564_850,
    900_199_051,
    900_344_891,
    900_984_504,
];

/// Simulates the runs of these seeds, until one breaks an invariant.
fn simulate_all(seeds: u64) -> Result<SimReport, Violation> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = SimReport::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return Ok(sum);
            }
            // A thread that finds one stops the others.
            let report = simulate(seed).inspect_err(|_| next.store(seeds, Ordering::Relaxed))?;
            sum.crashes += report.crashes;
            sum.incomplete += report.incomplete;
            sum.delivered += report.delivered;
            sum.shifted += report.shifted;
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let sums: Vec<Result<SimReport, Violation>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    sums.into_iter().try_fold(SimReport::default(), |sum, report| {
        let report = report?;
        Ok(SimReport {
            crashes: sum.crashes + report.crashes,
            incomplete: sum.incomplete + report.incomplete,
            delivered: sum.delivered + report.delivered,
            shifted: sum.shifted + report.shifted,
            ..sum
        })
    })
}

#[test]
fn runs_are_safe_and_come_to_their_end() {
    // Mutants are tested with fewer seeds.
    let seeds = std::env::var("BETACREW_SIM_RUNS").map_or(20_000, |text| text.parse().unwrap());
    let once = BROKEN_ONCE.iter().try_for_each(|&seed| simulate(seed).map(drop));
    match simulate_all(seeds).and_then(|sum| once.map(|()| sum)) {
        Ok(sum) => {
            assert!(u64::from(sum.crashes) > seeds / 20, "{sum:?}");
            // Some shifted bytes look like packets.
            assert!(sum.shifted <= seeds / 1000, "{sum:?}");
            assert!(u64::from(sum.incomplete) > seeds / 20 && sum.delivered > 0, "{sum:?}");
        }
        Err(Violation { seed, what, .. }) => {
            panic!("seed {seed}: {what}; betacrew sim --narrate {seed}")
        }
    }
}

/// Simulates the runs of `count` seeds that `is_wanted` chooses.
fn simulate_those(is_wanted: impl Fn(&SeedPlan) -> bool) {
    let count = std::env::var("BETACREW_SIM_RUNS").map_or(20_000, |text| text.parse().unwrap()) / 6;
    let mut complete = 0;
    for seed in (1_000_000..).filter(|&seed| is_wanted(&SeedPlan::draw(seed))).take(count) {
        match simulate(seed) {
            Ok(report) => complete += u32::from(report.tries > 0),
            Err(Violation { seed, what, .. }) => {
                panic!("seed {seed}: {what}; betacrew sim --narrate {seed}")
            }
        }
    }
    assert!(complete > 0);
}

#[test]
fn runs_over_soup_are_safe_and_come_to_their_end() {
    let speaks_soup = |plan: &SeedPlan| match plan {
        SeedPlan::Connections(plan) => plan.protocols.contains(&Protocol::Soup),
        SeedPlan::Groups(_) => false,
    };
    simulate_those(speaks_soup);
}

#[test]
fn runs_over_mold_are_safe_and_come_to_their_end() {
    simulate_those(|plan| matches!(plan, SeedPlan::Groups(_)));
}
