//! What is between a client and its exchanges.

use crate::base::rng::Rng;
use crate::sim::event_queue::SimEvent;
use crate::wire::{FRAME_LEN, RawFrame};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// How the network behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// The least time from one end to the other.
    pub latency: Duration,
    /// Up to so much more for each segment.
    pub jitter: Duration,
    /// The longest segment, in bytes; lengths are drawn up to it, and sockets may take only a part
    /// of a write. 0: writes stay whole.
    pub segment: u32,
    /// Whether what clients send is cut, too. (The original exchange does not survive that, nor
    /// do two bytes sent in one write ever arrive apart on a real network.)
    pub cut_calls: bool,
}

impl Network {
    /// How many of so many bytes a socket takes at once: sometimes only some where networks cut.
    pub(super) fn taken(&self, count: usize, rng: &mut Rng) -> usize {
        match self.segment > 0 && rng.below(8) == 0 {
            true => rng.between(1, u32::try_from(count).unwrap_or(u32::MAX - 1)) as usize,
            false => count,
        }
    }
}

/// A connection: an ordered byte pipe in both directions.
pub(super) struct Pipe<C> {
    pub(super) line: usize,
    /// The exchange's end, while it has one.
    pub(super) server: Option<C>,
    /// The client has not dropped it.
    pub(super) client: bool,
    /// The exchange sends no more.
    pub(super) finished: bool,
    /// From when on the network loses whatever is sent on it, and nobody is told.
    pub(super) silent_from: Option<Duration>,
    /// Times before which nothing sent later may arrive, to the client and to the server.
    pub(super) busy: [Duration; 2],
    /// Segments on their way to the client.
    pub(super) inbound: u32,
    /// What has arrived and the client does not read yet.
    pub(super) held: VecDeque<SimEvent>,
    pub(super) wake: Option<Duration>,
    /// Bytes that the exchange has sent of its latest message.
    pub(super) begun: Vec<u8>,
    /// Bytes that the client was given of the latest message.
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

/// Takes bytes behind those that were `begun`, and hands each message that is whole then to `each`.
pub(super) fn cut(begun: &mut Vec<u8>, bytes: &[u8], each: impl FnMut(&RawFrame)) {
    begun.extend_from_slice(bytes);
    let (frames, rest) = begun.as_chunks::<FRAME_LEN>();
    frames.iter().for_each(each);
    let whole = begun.len() - rest.len();
    begun.drain(..whole);
}
