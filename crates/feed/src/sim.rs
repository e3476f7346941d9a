//! Simulator: recorders, exchanges, the network between them, a disk and a clock, all drawn from
//! one seed.
//!
//! * [`world`]: exchanges and a network in virtual time, which jumps from event to event, so that a
//!   recording of seconds takes microseconds;
//! * [`disk`]: a disk that crashes;
//! * [`draw`]: scenarios and networks drawn from a seed;
//! * [`cost`]: the cost of recovery by loss and round-trip time;
//! * `groups`: lines of MoldUDP64 over networks that lose datagrams;
//! * [`seeded`]: the run of a seed, over connections or over datagrams;
//! * [`mod@run`]: a recording from its beginning to its end, over crashes and restarts, with its
//!   invariants.

mod checks;
#[doc(hidden)]
pub mod cost;
pub mod disk;
#[doc(hidden)]
pub mod draw;
pub(crate) mod durable_expectation;
pub(crate) mod event_queue;
#[doc(hidden)]
pub mod groups;
mod network;
mod outage;
mod plan;
mod recording_file;
pub(crate) mod report;
pub mod run;
pub mod seeded;
mod session;
mod soup;
mod trace;
mod venue;
mod watch;
pub mod world;

pub use watch::Lawful;
pub use world::{Network, Progress, SimWorld, Stuck};

use crate::client::Recorder;
use crate::exchange::Exchange;
use crate::tape::recording::MemoryRecording;
use alloc::vec::Vec;
use core::time::Duration;

/// Simulated recording that has ended.
#[derive(Debug)]
pub struct SimRecording<E> {
    /// Recorder of the client.
    pub recorder: Recorder,
    /// Packets recorded.
    pub recording: MemoryRecording,
    /// Exchanges, one for each line.
    pub exchanges: Vec<E>,
    /// Duration in simulated time.
    pub elapsed: Duration,
}

/// Runs a recorder against one exchange for each line until both are done.
///
/// # Errors
/// Returns an error if the recorder waits for an event that never happens.
pub fn run<E: Exchange>(
    recorder: Recorder,
    exchanges: Vec<E>,
    network: Network,
    seed: u64,
) -> Result<SimRecording<E>, Stuck> {
    let mut world = SimWorld::new(exchanges, network, seed);
    let (mut recorder, mut recording) = (recorder, MemoryRecording::new());
    world.drive(&mut recorder, &mut recording, None)?;
    let elapsed = world.now();
    Ok(SimRecording { recorder, recording, exchanges: world.into_exchanges(), elapsed })
}
