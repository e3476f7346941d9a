//! Sentences of `docs/protocol.md`, section 1.5, that the cases check.

use super::Requirement;

const fn at(section: &'static str, text: &'static str) -> Requirement {
    Requirement { section, text }
}

pub(crate) const PACKETS: Requirement =
    at("1.5.1", "Put packets together across reads, and take apart reads that hold several.");
pub(crate) const BIG_ENDIAN: Requirement =
    at("1.5.1", "Read all numbers as big-endian and signed.");
pub(crate) const LENGTH: Requirement =
    at("1.5.1", "Learn from the packets how many there are: not every session has 14.");
pub(crate) const GAPS: Requirement = at(
    "1.5.2",
    "Take a sequence that is higher than expected for a gap, the first packet (sequence 1) \
     included.",
);
pub(crate) const WITHIN: Requirement =
    at("1.5.2", "Ask for what is missing, and only for sequences below the highest one seen.");
pub(crate) const NOTHING_MISSING: Requirement =
    at("1.5.2", "Not expect every session to lose something, nor to lose something but its end.");
pub(crate) const STREAM_AGAIN: Requirement = at(
    "1.5.2",
    "Recover what one byte cannot express, and the tail, by streaming again: what one stream \
     loses, another brings.",
);
pub(crate) const COMPLETE: Requirement =
    at("1.5.3", "Write every packet of the session, each once, with all its fields.");
pub(crate) const ORDER: Requirement = at("1.5.3", "Write them in the order of their sequences.");
pub(crate) const NOTHING_MADE_UP: Requirement =
    at("1.5.3", "Write nothing that the exchange has not sent.");
pub(crate) const SLOW: Requirement = at("1.5.4", "Wait for an exchange that is slow.");
pub(crate) const AGAIN: Requirement =
    at("1.5.4", "Ask again, on another connection, for what was not answered.");
pub(crate) const SEQUENCE_SAYS: Requirement =
    at("1.5.4", "Take a packet for what its sequence says, whatever was asked for.");
pub(crate) const FIRST_COPY: Requirement =
    at("1.5.4", "Keep the first copy of a packet, and put one that comes late in its place.");
pub(crate) const SHORT_STREAM: Requirement = at(
    "1.5.4",
    "Take a stream that ends early, inside a packet or by a reset for one that has lost the rest.",
);
pub(crate) const SKIP: Requirement = at("1.5.4", "Skip what is no packet.");
pub(crate) const REACH: Requirement =
    at("1.5.4", "Try for a while to reach an exchange that cannot be reached.");
pub(crate) const END: Requirement =
    at("1.5.5", "End, whatever was lost and whatever the exchange does.");
pub(crate) const CLOSE_RESENDS: Requirement = at(
    "1.5.5",
    "Close a resend connection when all answers are there: the exchange may never end it.",
);
pub(crate) const EXIT_CODE: Requirement =
    at("1.5.5", "Tell by the exit code whether every packet is there: 0 only then.");
pub(crate) const NOT_DEADLY: Requirement =
    at("1.5.6", "Do nothing that the original server dies of (section 1.4).");
pub(crate) const NOTHING_AFTER_STREAM: Requirement = at(
    "1.5.6",
    "Send nothing after a stream call on its connection; read until the exchange ends it.",
);
pub(crate) const CLEAN_CLOSE: Requirement =
    at("1.5.6", "Close without resetting: read everything first.");
pub(crate) const ONCE: Requirement =
    at("1.5.6", "Ask once for what is missing, and for nothing else.");
pub(crate) const ONE_CONNECTION: Requirement =
    at("1.5.6", "Ask for everything on one connection, not on one for each packet.");
pub(crate) const NOT_OVER_AND_OVER: Requirement = at("1.5.6", "Not connect over and over.");
