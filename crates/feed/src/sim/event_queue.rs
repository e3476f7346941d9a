//! What will happen, and when.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

/// A connection of the world; clients that come one after the other do not share them.
pub(super) type PipeId = u64;

/// What happens.
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

/// An event's place: by time and then by order of creation.
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
    /// Whether it is on its way to the client.
    pub(super) fn is_to_client(&self) -> bool {
        matches!(self, Self::ToClient(_) | Self::ToClientEnd | Self::ToClientReset)
    }
}

/// Events to come.
#[derive(Default, Debug)]
pub(super) struct EventQueue {
    events: BinaryHeap<Reverse<QueuedEvent>>,
    created: u64,
}

impl EventQueue {
    /// Has something happen on a connection.
    pub(super) fn add(&mut self, time: Duration, pipe: PipeId, event: SimEvent) {
        self.created += 1;
        self.events.push(Reverse(QueuedEvent { time, created: self.created, pipe, event }));
    }

    /// When the next thing happens.
    pub(super) fn next(&self) -> Option<Duration> {
        self.events.peek().map(|Reverse(due)| due.time)
    }

    /// Takes the next one.
    pub(super) fn pop(&mut self) -> Option<(Duration, PipeId, SimEvent)> {
        self.events.pop().map(|Reverse(due)| (due.time, due.pipe, due.event))
    }
}
