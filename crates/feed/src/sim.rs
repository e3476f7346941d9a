//! The simulator: recorders, exchanges, the network between them, a disk and a clock, all from one
//! seed.
//!
//! * [`world`]: exchanges and a network, in virtual time. Time jumps from event to event, so a
//!   recording that takes seconds takes microseconds here;
//! * [`disk`]: a disk that crashes;
//! * [`draw`]: scenarios and networks drawn from a seed;
//! * [`cost`]: what recovery costs, by loss and round-trip time;
//! * [`run`]: a recording from its beginning to its end, over crashes and restarts, and what must
//!   hold of it.

mod checks;
pub mod cost;
pub mod disk;
pub mod draw;
pub(crate) mod durable_expectation;
pub(crate) mod event_queue;
mod network;
mod outage;
mod plan;
pub(crate) mod report;
pub mod run;
mod session;
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

/// A simulated recording that has come to its end.
#[derive(Debug)]
pub struct SimRecording<E> {
    /// The client's side.
    pub recorder: Recorder,
    /// What it recorded.
    pub recording: MemoryRecording,
    /// The exchanges, a line each.
    pub exchanges: Vec<E>,
    /// How long it took in simulated time.
    pub elapsed: Duration,
}

/// Runs a recorder against one exchange a line until both are done.
///
/// # Errors
/// Where the recorder waits for something that will never come.
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
