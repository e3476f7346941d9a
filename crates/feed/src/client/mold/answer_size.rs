//! Number of messages that one answer of a request server has room for.
//!
//! A request is answered by at most one datagram, and no server says how large that may be. So the
//! number is learnt from the datagrams and messages that arrive.

use crate::wire::mold::{BLOCK_HEADER_BYTES, COUNT_MAX, HEADER_BYTES, PayloadLimit};

/// Number of complete answers after which larger requests are tried again; doubled each time that
/// they fail.
const COMPLETE_ANSWERS: u32 = 64;

/// Upper bound of that number.
const COMPLETE_ANSWERS_MAX: u32 = 1 << 14;

/// Estimate of how many messages one answer has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerSize {
    /// Bytes of the largest datagram, or what is usual until a larger one arrives.
    bytes: usize,
    /// Mean bytes of a message with its length, times 16.
    message: usize,
    /// Most messages that arrived in one datagram.
    most: usize,
    /// Number of messages of an answer that was cut short.
    limit: Option<u64>,
    /// Number of answers since the last one that was cut short.
    complete: u32,
    /// Number of complete answers after which larger requests are tried.
    needed: u32,
}

impl AnswerSize {
    /// Returns the estimate before anything has arrived.
    pub(super) const fn new() -> Self {
        let bytes = PayloadLimit::DEFAULT.bytes();
        Self { bytes, message: 0, most: 1, limit: None, complete: 0, needed: COMPLETE_ANSWERS }
    }

    /// Learns from a datagram with `count` messages, `bytes` long.
    pub(super) fn on_datagram(&mut self, count: usize, bytes: usize) {
        if count == 0 {
            return;
        }
        let mean = bytes.saturating_sub(HEADER_BYTES) * 16 / count;
        self.message = match self.message {
            0 => mean,
            known => (known * 15 + mean) / 16,
        };
        self.most = self.most.max(count);
        self.bytes = self.bytes.max(bytes);
    }

    /// Learns from an answer with `count` messages, to a request for `requested` messages.
    pub(super) fn on_answer(&mut self, requested: u64, count: u64) {
        if count < requested {
            if self.complete > 0 {
                self.needed = (self.needed * 2).min(COMPLETE_ANSWERS_MAX);
            }
            (self.limit, self.complete) = (Some(count.max(1)), 0);
            return;
        }
        self.complete += 1;
        if self.complete >= self.needed {
            self.complete = 0;
            self.limit = self.limit.map(|limit| limit + (limit / 4).max(1));
        }
    }

    /// Returns the number of messages to request at once.
    pub(super) fn messages(&self) -> u64 {
        let room = (self.bytes - HEADER_BYTES) * 16;
        // An eighth more than the mean message, because an answer that is cut short costs a round
        // trip more.
        let message = (self.message * 9 / 8).max(BLOCK_HEADER_BYTES * 16);
        let likely = (room / message).max(self.most).clamp(1, COUNT_MAX.into()) as u64;
        self.limit.map_or(likely, |limit| likely.min(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mold::PAYLOAD_MAX;

    #[test]
    fn a_request_is_as_large_as_an_answer_is_likely_to_be() {
        let mut size = AnswerSize::new();
        size.on_datagram(1, HEADER_BYTES + 32);
        assert_eq!(size.messages(), 38, "1,380 bytes have room for 43 messages of 32 bytes");
        // A lost datagram is requested as a whole.
        size.on_datagram(42, HEADER_BYTES + 42 * 32);
        assert_eq!(size.messages(), 42);
    }

    #[test]
    fn a_server_with_small_answers_gets_small_requests() {
        let mut size = AnswerSize::new();
        size.on_datagram(40, HEADER_BYTES + 40 * 32);
        size.on_answer(40, 10);
        size.on_datagram(40, HEADER_BYTES + 40 * 32);
        assert_eq!(size.messages(), 10);
        for _ in 0..COMPLETE_ANSWERS {
            size.on_answer(10, 10);
        }
        assert_eq!(size.messages(), 12, "larger requests are tried again");
    }

    #[test]
    fn the_size_stays_within_what_a_request_can_ask() {
        let mut size = AnswerSize::new();
        assert_eq!(size.messages(), 690, "nothing is known about the messages");
        size.on_datagram(usize::from(COUNT_MAX), PAYLOAD_MAX);
        assert_eq!(size.messages(), u64::from(COUNT_MAX));
        size.on_answer(9, 0);
        assert_eq!(size.messages(), 1);
    }
}
