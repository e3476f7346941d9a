//! Sentences of `docs/protocol.md`, section 1.5, that the cases check.

use super::Requirement;
use crate::grade::example::Lesson;

const fn at(section: &'static str, text: &'static str, lesson: Lesson) -> Requirement {
    Requirement { page: "docs/protocol.md", section, text, lesson: Some(lesson) }
}

pub(crate) const PACKETS: Requirement = at(
    "1.5.1",
    "Join packets that are cut between two reads, and split reads that hold several packets.",
    Lesson::Join,
);
pub(crate) const BIG_ENDIAN: Requirement =
    at("1.5.1", "Read all numbers as big-endian and signed.", Lesson::Parse);
pub(crate) const LENGTH: Requirement = at(
    "1.5.1",
    "Learn the number of packets from the stream: not every session has 14.",
    Lesson::Gaps,
);
pub(crate) const GAPS: Requirement = at(
    "1.5.2",
    "Treat a sequence that is higher than expected as a gap; the first expected sequence is 1.",
    Lesson::Gaps,
);
pub(crate) const WITHIN: Requirement = at(
    "1.5.2",
    "Request missing packets, and only those with a sequence below the highest one seen.",
    Lesson::Gaps,
);
pub(crate) const NOTHING_MISSING: Requirement = at(
    "1.5.2",
    "Accept a stream that has every packet, and one that misses only the tail.",
    Lesson::StreamAgain,
);
pub(crate) const STREAM_AGAIN: Requirement = at(
    "1.5.2",
    "Recover packets that one byte cannot name, and the tail, by streaming again: each stream \
     drops other packets.",
    Lesson::StreamAgain,
);
pub(crate) const COMPLETE: Requirement = at(
    "1.5.3",
    "Write every packet of the session, each once, with all its fields.",
    Lesson::Connection,
);
pub(crate) const ORDER: Requirement =
    at("1.5.3", "Write packets in the order of their sequences.", Lesson::Write);
pub(crate) const NOTHING_MADE_UP: Requirement =
    at("1.5.3", "Write only packets that the exchange has sent.", Lesson::Parse);
pub(crate) const SLOW: Requirement =
    at("1.5.4", "Wait for an exchange that is slow.", Lesson::Silence);
pub(crate) const AGAIN: Requirement =
    at("1.5.4", "Repeat a request that was not answered, on another connection.", Lesson::Request);
pub(crate) const SEQUENCE_SAYS: Requirement =
    at("1.5.4", "Identify a packet by its own sequence, not by the request.", Lesson::Parse);
pub(crate) const FIRST_COPY: Requirement = at(
    "1.5.4",
    "Keep the first copy of a packet, and put a late packet in its place.",
    Lesson::Parse,
);
pub(crate) const SHORT_STREAM: Requirement = at(
    "1.5.4",
    "Treat a stream that ends early, inside a packet or by a reset as one whose other packets \
     are missing.",
    Lesson::StreamAgain,
);
pub(crate) const SKIP: Requirement =
    at("1.5.4", "Skip bytes that are not a valid packet.", Lesson::Parse);
pub(crate) const REACH: Requirement = at(
    "1.5.4",
    "Try for a while to connect to an exchange that cannot be reached.",
    Lesson::StreamCall,
);
pub(crate) const END: Requirement =
    at("1.5.5", "End in every case, however many packets are missing.", Lesson::StreamAgain);
pub(crate) const END_OF_SILENCE: Requirement = at(
    "1.5.5",
    "End even if the exchange falls silent for ever: wait for a limited time. The original never \
     does so.",
    Lesson::Silence,
);
pub(crate) const CLOSE_RESENDS: Requirement = at(
    "1.5.5",
    "Close a resend connection when all answers have arrived: the exchange may never end it.",
    Lesson::Close,
);
pub(crate) const EXIT_CODE: Requirement = at(
    "1.5.5",
    "Report by the exit code whether every packet is recorded: 0 only then.",
    Lesson::ExitCode,
);
pub(crate) const NOT_DEADLY: Requirement = at(
    "1.5.6",
    "Never do anything that crashes the original server (section 1.4).",
    Lesson::Request,
);
pub(crate) const WHOLE_CALLS: Requirement = at(
    "1.5.6",
    "Send two bytes for every call, the stream call too: to the original every two bytes are one.",
    Lesson::StreamCall,
);
pub(crate) const NOTHING_AFTER_STREAM: Requirement = at(
    "1.5.6",
    "Send no further call on a connection after a stream call; read until the exchange ends it.",
    Lesson::Request,
);
pub(crate) const CLEAN_CLOSE: Requirement =
    at("1.5.6", "Close connections without a reset: read all bytes first.", Lesson::Close);
pub(crate) const ONCE: Requirement =
    at("1.5.6", "Request each missing packet once, and no other packet.", Lesson::Request);
pub(crate) const ONE_CONNECTION: Requirement = at(
    "1.5.6",
    "Request all missing packets on one connection, not on one connection each.",
    Lesson::Request,
);
pub(crate) const NOT_OVER_AND_OVER: Requirement =
    at("1.5.6", "Do not connect over and over.", Lesson::StreamAgain);
