//! Simulated run of a seed, over connections or over datagrams.

use super::groups::{self, GroupPlan};
use super::report::{SimReport, Violation};
use super::run::{self, SimPlan};
use alloc::boxed::Box;

/// Number of seeds of which one draws lines of MoldUDP64.
const GROUPS_OF: u64 = 8;

/// Remainder of such a seed.
const GROUPS_AT: u64 = 3;

/// Plan that a seed draws.
#[derive(Clone, Debug)]
pub enum SeedPlan {
    /// Lines over connections: the exercise's protocol and SoupBinTCP.
    Connections(Box<SimPlan>),
    /// Lines of MoldUDP64.
    Groups(Box<GroupPlan>),
}

impl SeedPlan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        match seed % GROUPS_OF == GROUPS_AT {
            true => Self::Groups(Box::new(GroupPlan::draw(seed))),
            false => Self::Connections(Box::new(SimPlan::draw(seed))),
        }
    }
}

/// Simulates the run of a seed.
///
/// # Errors
/// Returns the violation if a promise was broken.
pub fn simulate(seed: u64) -> Result<SimReport, Violation> {
    match SeedPlan::draw(seed) {
        SeedPlan::Connections(plan) => run::simulate(seed, *plan),
        SeedPlan::Groups(plan) => groups::simulate(seed, *plan),
    }
}

/// Simulates the run of a seed, and adds the trace of its events to the result.
///
/// # Errors
/// Returns the violation if a promise was broken.
pub fn simulate_traced(seed: u64) -> Result<SimReport, Violation> {
    match SeedPlan::draw(seed) {
        SeedPlan::Connections(plan) => run::simulate_traced(seed, *plan),
        SeedPlan::Groups(plan) => groups::simulate_traced(seed, *plan),
    }
}
