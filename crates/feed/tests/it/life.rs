//! Simulated runs over crashes and restarts, drawn from seeds: see `feed::sim::run`.

use feed::sim::run::{SimPlan, SimReport, Violation, live};
use feed::wire::Protocol;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Seeds that once broke an invariant: by messages behind parts of packets, by slow exchanges, and
/// by answers that opened too many gaps and narrowed the window of requests.
const BROKEN_ONCE: [u64; 6] =
    [5_500_120_609, 6_600_142_982, 6_600_378_796, 92_000_008_085, 95_001_153_645, 21_001_564_850];

/// Simulates the runs of these seeds, until one breaks an invariant.
fn lives(seeds: u64) -> Result<SimReport, Violation> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = SimReport::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return Ok(sum);
            }
            // A thread that finds one stops the others.
            let lived = live(seed).inspect_err(|_| next.store(seeds, Ordering::Relaxed))?;
            sum.crashes += lived.crashes;
            sum.incomplete += lived.incomplete;
            sum.delivered += lived.delivered;
            sum.shifted += lived.shifted;
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let sums: Vec<Result<SimReport, Violation>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    sums.into_iter().try_fold(SimReport::default(), |sum, lived| {
        let lived = lived?;
        Ok(SimReport {
            crashes: sum.crashes + lived.crashes,
            incomplete: sum.incomplete + lived.incomplete,
            delivered: sum.delivered + lived.delivered,
            shifted: sum.shifted + lived.shifted,
            ..sum
        })
    })
}

#[test]
fn lives_are_safe_and_come_to_their_end() {
    // Mutants are tested with fewer seeds.
    let seeds = std::env::var("BETACREW_LIVES").map_or(20_000, |text| text.parse().unwrap());
    let once = BROKEN_ONCE.iter().try_for_each(|&seed| live(seed).map(drop));
    match lives(seeds).and_then(|sum| once.map(|()| sum)) {
        Ok(sum) => {
            assert!(u64::from(sum.crashes) > seeds / 20, "{sum:?}");
            // Some shifted bytes cannot be told from packets.
            assert!(sum.shifted <= seeds / 1000, "{sum:?}");
            assert!(u64::from(sum.incomplete) > seeds / 20 && sum.delivered > 0, "{sum:?}");
        }
        Err(Violation { seed, what, .. }) => {
            panic!("seed {seed}: {what}; betacrew sim --narrate {seed}")
        }
    }
}

/// Simulates the runs of `count` seeds whose plans have SoupBinTCP lines.
#[test]
fn lives_over_soup_are_safe_and_come_to_their_end() {
    let count = std::env::var("BETACREW_LIVES").map_or(20_000, |text| text.parse().unwrap()) / 6;
    let over_soup = |seed: &u64| SimPlan::draw(*seed).protocols.contains(&Protocol::Soup);
    let mut complete = 0;
    for seed in (1_000_000..).filter(over_soup).take(count) {
        match live(seed) {
            Ok(lived) => complete += u32::from(lived.tries > 0),
            Err(Violation { seed, what, .. }) => {
                panic!("seed {seed}: {what}; betacrew sim --narrate {seed}")
            }
        }
    }
    assert!(complete > 0);
}
