//! Counts, events and views of lines in MoldUDP64.

use crate::base::seq::Seq;
use core::net::IpAddr;
use core::time::Duration;

/// Counts of a line in MoldUDP64 since it began. Those of an exchange are the sums of its lines.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct MoldStats {
    /// Number of datagrams with messages sent downstream, copies included.
    pub datagrams: u64,
    /// Number of messages sent downstream, copies not included.
    pub messages: u64,
    /// Number of bytes sent, downstream and in answers.
    pub bytes: u64,
    /// Number of datagrams dropped on purpose.
    pub dropped: u64,
    /// Number of messages dropped on purpose, or sent in a datagram that a fault has damaged.
    pub dropped_messages: u64,
    /// Number of datagrams that a fault has cut short or changed.
    pub damaged: u64,
    /// Number of heartbeats sent.
    pub heartbeats: u64,
    /// Number of ends of the session sent.
    pub ends: u64,
    /// Number of heartbeats and ends of the session that a fault has withheld.
    pub withheld: u64,
    /// Number of messages that are too long for a datagram.
    pub too_long: u64,
    /// Number of requests received, whatever became of them.
    pub requests: u64,
    /// Number of answers sent, copies included.
    pub answers: u64,
    /// Number of messages sent in answers.
    pub answered: u64,
    /// Number of requests that a fault or a pause has left without an answer.
    pub unanswered: u64,
    /// Number of requests that were refused, by silence: the sum of the counts below.
    pub refused: u64,
    /// Number of requests that are no requests.
    pub malformed: u64,
    /// Number of requests for another session.
    pub other_session: u64,
    /// Number of requests for messages that were not sent yet.
    pub out_of_range: u64,
    /// Number of requests for messages that the request server no longer has.
    pub aged_out: u64,
    /// Number of requests above the rate that a client may send.
    pub over_rate: u64,
}

impl MoldStats {
    /// Adds the counts of another line.
    pub fn add(&mut self, other: &Self) {
        let Self {
            datagrams,
            messages,
            bytes,
            dropped,
            dropped_messages,
            damaged,
            heartbeats,
            ends,
            withheld,
            too_long,
            requests,
            answers,
            answered,
            unanswered,
            refused,
            malformed,
            other_session,
            out_of_range,
            aged_out,
            over_rate,
        } = other;
        self.datagrams += datagrams;
        self.messages += messages;
        self.bytes += bytes;
        self.dropped += dropped;
        self.dropped_messages += dropped_messages;
        self.damaged += damaged;
        self.heartbeats += heartbeats;
        self.ends += ends;
        self.withheld += withheld;
        self.too_long += too_long;
        self.requests += requests;
        self.answers += answers;
        self.answered += answered;
        self.unanswered += unanswered;
        self.refused += refused;
        self.malformed += malformed;
        self.other_session += other_session;
        self.out_of_range += out_of_range;
        self.aged_out += aged_out;
        self.over_rate += over_rate;
    }
}

/// Event of a line in MoldUDP64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoldEvent {
    /// The line has sent its first message.
    Began,
    /// The line has sent its last message and announces the end of the session.
    Ended {
        /// Sequence behind the last message.
        next: Seq,
    },
    /// A fault stops the line's messages.
    Stopped {
        /// Next message, which is not sent.
        next: Seq,
    },
    /// A message is too long for a datagram.
    MessageTooLong {
        /// Sequence of the message.
        seq: Seq,
    },
    /// A client sends more requests than it may. Reported at most once a second.
    OverRate {
        /// Address of the client.
        client: IpAddr,
    },
}

/// Snapshot of a line in MoldUDP64, to be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoldLineView {
    /// Number of the line, from 1.
    pub line: u64,
    /// Phase of the line: `playing`, `held`, `silent`, `ending` or `over`.
    pub phase: &'static str,
    /// Next message to be sent.
    pub next: Seq,
    /// Time before which nothing is sent downstream, because of an order or a fault.
    pub held_until: Option<Duration>,
    /// Counts of the line.
    pub stats: MoldStats,
}

#[cfg(test)]
mod tests {
    use super::MoldStats;

    #[test]
    fn a_sum_has_each_count_in_its_place() {
        // Powers of two, so that no other sum of counts is equal.
        let one = MoldStats {
            datagrams: 1,
            messages: 2,
            bytes: 4,
            dropped: 8,
            dropped_messages: 16,
            damaged: 32,
            heartbeats: 64,
            ends: 128,
            withheld: 256,
            too_long: 512,
            requests: 1024,
            answers: 2048,
            answered: 4096,
            unanswered: 8192,
            refused: 16384,
            malformed: 32768,
            other_session: 65536,
            out_of_range: 131072,
            aged_out: 262144,
            over_rate: 524288,
        };
        let mut sum = MoldStats::default();
        sum.add(&one);
        assert_eq!(sum, one);
        sum.add(&one);
        assert_eq!((sum.datagrams, sum.over_rate), (2 * one.datagrams, 2 * one.over_rate));
    }
}
