//! Simulated network between a client and its exchanges.

use crate::base::rng::Rng;
use crate::sim::event_queue::SimEvent;
use crate::wire::{FRAME_LEN, RawFrame};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Behaviour of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Minimum time from one end to the other.
    pub latency: Duration,
    /// Maximum extra time of a segment.
    pub jitter: Duration,
    /// Maximum length of a segment in bytes. Lengths are drawn up to it, and sockets may take only
    /// part of a write. 0 keeps writes whole.
    pub segment: u32,
    /// True if the calls of clients are cut as well. The original exchange does not survive that,
    /// and a real network hardly ever separates two bytes of one write.
    pub cut_calls: bool,
}

impl Network {
    /// Returns how many of `count` bytes a socket takes at once: sometimes only a part, if the
    /// network cuts.
    pub(super) fn taken(&self, count: usize, rng: &mut Rng) -> usize {
        match self.segment > 0 && rng.below(8) == 0 {
            true => rng.between(1, u32::try_from(count).unwrap_or(u32::MAX - 1)) as usize,
            false => count,
        }
    }
}

/// Connection: an ordered byte pipe in both directions.
pub(super) struct Pipe<C> {
    pub(super) line: usize,
    /// Exchange's end of the connection, while it is open.
    pub(super) server: Option<C>,
    /// True until the client drops the connection.
    pub(super) client: bool,
    /// True once the exchange sends no more.
    pub(super) finished: bool,
    /// Time from which the network silently drops all bytes of the connection.
    pub(super) silent_from: Option<Duration>,
    /// Earliest arrival times of later bytes, at the client and at the server, because bytes stay
    /// in order.
    pub(super) busy: [Duration; 2],
    /// Number of segments on their way to the client.
    pub(super) inbound: u32,
    /// Events that have arrived and that the client does not read yet.
    pub(super) held: VecDeque<SimEvent>,
    pub(super) wake: Option<Duration>,
    /// Bytes of the exchange's latest message that were sent so far.
    pub(super) begun: Vec<u8>,
    /// Bytes of the latest message that the client has received so far.
    pub(super) given: Vec<u8>,
}

impl<C> Pipe<C> {
    pub(super) fn new(line: usize) -> Self {
        Self {
            line,
            server: None,
            client: true,
            finished: false,
            silent_from: None,
            busy: [Duration::ZERO; 2],
            inbound: 0,
            held: VecDeque::new(),
            wake: None,
            begun: Vec::new(),
            given: Vec::new(),
        }
    }
}

/// Appends bytes to those that were `begun`, and calls `each` with every whole message.
pub(super) fn cut(begun: &mut Vec<u8>, bytes: &[u8], each: impl FnMut(&RawFrame)) {
    begun.extend_from_slice(bytes);
    let (frames, rest) = begun.as_chunks::<FRAME_LEN>();
    frames.iter().for_each(each);
    let whole = begun.len() - rest.len();
    begun.drain(..whole);
}
