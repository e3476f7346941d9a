//! Event queue of the simulator.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

/// Identifier of a connection, unique over all clients of a world.
pub(super) type PipeId = u64;

/// Event on a connection.
#[derive(Debug)]
pub(super) enum SimEvent {
    Connected,
    ToClient(Vec<u8>),
    ToClientEnd,
    ToClientReset,
    ToServer(Vec<u8>),
    ToServerEnd,
    ToServerReset,
    ServerWake,
}

/// Event with its time, ordered by time and then by creation.
#[derive(Debug)]
struct QueuedEvent {
    time: Duration,
    created: u64,
    pipe: PipeId,
    event: SimEvent,
}

impl PartialEq for QueuedEvent {
    fn eq(&self, other: &Self) -> bool {
        self.created == other.created
    }
}

impl Eq for QueuedEvent {}

impl PartialOrd for QueuedEvent {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for QueuedEvent {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.time, self.created).cmp(&(other.time, other.created))
    }
}

impl SimEvent {
    /// Returns true if the event is on its way to the client.
    pub(super) fn is_to_client(&self) -> bool {
        matches!(self, Self::ToClient(_) | Self::ToClientEnd | Self::ToClientReset)
    }
}

/// Queue of future events.
#[derive(Default, Debug)]
pub(super) struct EventQueue {
    events: BinaryHeap<Reverse<QueuedEvent>>,
    created: u64,
}

impl EventQueue {
    /// Adds an event on a connection.
    pub(super) fn add(&mut self, time: Duration, pipe: PipeId, event: SimEvent) {
        self.created += 1;
        self.events.push(Reverse(QueuedEvent { time, created: self.created, pipe, event }));
    }

    /// Returns the time of the next event.
    pub(super) fn next(&self) -> Option<Duration> {
        self.events.peek().map(|Reverse(due)| due.time)
    }

    /// Removes and returns the next event.
    pub(super) fn pop(&mut self) -> Option<(Duration, PipeId, SimEvent)> {
        self.events.pop().map(|Reverse(due)| (due.time, due.pipe, due.event))
    }
}
