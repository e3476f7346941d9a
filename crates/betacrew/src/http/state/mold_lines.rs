//! Lines of an exchange in MoldUDP64, with their counts.

use feed::exchange::server::mold::MoldLineView;
use schemars::JsonSchema;
use serde::Serialize;

/// Line of an exchange in MoldUDP64.
#[derive(Clone, Default, Debug, Serialize, JsonSchema)]
pub(crate) struct MoldLineState {
    /// Number of the line, from 1.
    pub line: u64,
    /// Phase of the line: `playing`, `held`, `silent`, `ending` or `over`.
    pub phase: &'static str,
    /// Next message to be sent.
    pub next: u64,
    /// Number of datagrams with messages sent downstream.
    pub datagrams: u64,
    /// Number of messages sent downstream.
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
    /// Number of heartbeats and ends of the session withheld on purpose.
    pub withheld: u64,
    /// Number of messages left out because they are too long for a datagram.
    pub too_long: u64,
    /// Number of requests received.
    pub requests: u64,
    /// Number of answers sent.
    pub answers: u64,
    /// Number of messages sent in answers.
    pub answered: u64,
    /// Number of requests that a fault or a pause has left without an answer.
    pub unanswered: u64,
    /// Number of requests refused, by silence: the sum of the next five counts.
    pub refused: u64,
    /// Number of requests that are no requests.
    pub malformed: u64,
    /// Number of requests for another session.
    pub other_session: u64,
    /// Number of requests for messages that were not sent yet.
    pub out_of_range: u64,
    /// Number of requests for messages that are too old.
    pub aged_out: u64,
    /// Number of requests above the rate of their client.
    pub over_rate: u64,
}

impl MoldLineState {
    /// Returns the lines of an exchange, if there are some.
    pub(crate) fn all(lines: impl ExactSizeIterator<Item = MoldLineView>) -> Option<Vec<Self>> {
        (lines.len() > 0).then(|| lines.map(|line| Self::new(&line)).collect())
    }

    fn new(view: &MoldLineView) -> Self {
        let stats = view.stats;
        Self {
            line: view.line,
            phase: view.phase,
            next: view.next,
            datagrams: stats.datagrams,
            messages: stats.messages,
            bytes: stats.bytes,
            dropped: stats.dropped,
            dropped_messages: stats.dropped_messages,
            damaged: stats.damaged,
            heartbeats: stats.heartbeats,
            ends: stats.ends,
            withheld: stats.withheld,
            too_long: stats.too_long,
            requests: stats.requests,
            answers: stats.answers,
            answered: stats.answered,
            unanswered: stats.unanswered,
            refused: stats.refused,
            malformed: stats.malformed,
            other_session: stats.other_session,
            out_of_range: stats.out_of_range,
            aged_out: stats.aged_out,
            over_rate: stats.over_rate,
        }
    }

    /// Returns the counts as metrics: name, description and value.
    pub(crate) fn metrics(&self) -> [(&'static str, &'static str, u64); 10] {
        [
            ("datagrams_sent_total", "MoldUDP64 datagrams sent, by line.", self.datagrams),
            ("messages_sent_total", "MoldUDP64 messages sent downstream, by line.", self.messages),
            (
                "datagrams_dropped_total",
                "MoldUDP64 datagrams dropped on purpose, by line.",
                self.dropped,
            ),
            (
                "messages_dropped_total",
                "MoldUDP64 messages dropped or damaged on purpose, by line.",
                self.dropped_messages,
            ),
            ("heartbeats_sent_total", "MoldUDP64 heartbeats sent, by line.", self.heartbeats),
            ("requests_total", "MoldUDP64 requests received, by line.", self.requests),
            ("answers_sent_total", "MoldUDP64 answers sent, by line.", self.answers),
            (
                "messages_answered_total",
                "MoldUDP64 messages sent in answers, by line.",
                self.answered,
            ),
            ("requests_refused_total", "MoldUDP64 requests refused, by line.", self.refused),
            (
                "requests_unanswered_total",
                "MoldUDP64 requests left without an answer on purpose, by line.",
                self.unanswered,
            ),
        ]
    }
}
