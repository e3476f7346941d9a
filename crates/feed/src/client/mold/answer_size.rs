//! Number of messages that one answer of a request server has room for.
//!
//! A request is answered by at most one datagram, and no server says how large that may be. So the
//! number is learnt from the datagrams and messages that arrive.

use crate::wire::mold::{BLOCK_HEADER_BYTES, COUNT_MAX, HEADER_BYTES, PAYLOAD_MAX, PayloadLimit};

/// Number of complete answers after which a server whose answers were too small is tried with
/// larger requests.
const COMPLETE_ANSWERS: u32 = 64;

/// Estimate of how many messages one answer has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerSize {
    /// Bytes that an answer is assumed to have room for.
    bytes: usize,
    /// Mean bytes of a message with its length, times 16.
    message: usize,
    /// Most messages that arrived in one datagram.
    most: usize,
    /// Number of answers since the last one that was cut short.
    complete: u32,
}

impl AnswerSize {
    /// Returns the estimate before anything has arrived.
    pub(super) const fn new() -> Self {
        Self { bytes: PayloadLimit::DEFAULT.bytes(), message: 0, most: 1, complete: 0 }
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
    }

    /// Learns from an answer that was `bytes` long, to a request for `requested` messages.
    pub(super) fn on_answer(&mut self, requested: u64, count: u64, bytes: usize) {
        if count >= requested {
            self.complete += 1;
            if self.complete >= COMPLETE_ANSWERS {
                self.complete = 0;
                self.bytes = (self.bytes * 5 / 4).min(PayloadLimit::DEFAULT.bytes()).max(bytes);
            }
        } else {
            self.complete = 0;
            self.bytes = bytes.clamp(HEADER_BYTES + BLOCK_HEADER_BYTES, PAYLOAD_MAX);
            self.most = usize::try_from(count).unwrap_or(usize::MAX).max(1);
        }
    }

    /// Returns the number of messages to request at once.
    pub(super) fn messages(&self) -> u64 {
        let room = (self.bytes - HEADER_BYTES) * 16;
        // An eighth more than the mean message, because an answer that is cut short costs a round
        // trip more.
        let message = (self.message * 9 / 8).max(BLOCK_HEADER_BYTES * 16);
        (room / message).max(self.most).clamp(1, COUNT_MAX.into()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        size.on_answer(40, 10, HEADER_BYTES + 10 * 32);
        assert_eq!(size.messages(), 10);
        for _ in 0..COMPLETE_ANSWERS {
            size.on_answer(10, 10, HEADER_BYTES + 10 * 32);
        }
        assert_eq!(size.messages(), 11, "larger requests are tried again");
    }

    #[test]
    fn the_size_stays_within_what_a_request_can_ask() {
        let mut size = AnswerSize::new();
        assert_eq!(size.messages(), 690, "nothing is known about the messages");
        size.on_datagram(usize::from(COUNT_MAX), PAYLOAD_MAX);
        assert_eq!(size.messages(), u64::from(COUNT_MAX));
        size.on_answer(9, 1, 0);
        assert_eq!(size.messages(), 1);
    }
}
