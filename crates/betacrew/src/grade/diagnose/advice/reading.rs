//! Advice on mistakes in how a client splits its reads into packets.

use super::Advice;
use crate::grade::example::Lesson;

/// Advice on the causes of `diagnose/framing.rs`, and on the crash inside a packet.
pub(super) const ADVICE: &[Advice] = &[
    Advice {
        id: "split-packet",
        mistake: "does not join the end of one read with the beginning of the next",
        harm: "TCP carries bytes, not packets, so a read may end inside a packet. Both halves are \
               then missed, or everything after them is read from the wrong byte on.",
        sign: "A print of each read's length shows one that is not a multiple of 17, and after it \
               a packet is missing or a sequence is in the millions.",
        fix: "Append each read to a buffer of the connection, take 17 bytes off its front while it \
              has that many, and leave the rest there for the next read.",
        lesson: Lesson::Join,
        cases: &[
            "framing/half-packet",
            "framing/odd-pieces",
            "framing/byte-by-byte",
            "framing/answers-in-pieces",
            "framing/large-stream",
        ],
    },
    Advice {
        id: "crash-in-packet",
        mistake: "crashes if a read ends inside a packet",
        harm: "TCP carries bytes, not packets, so a read may hold a part of a packet. The client \
               decodes that part as if it were whole, and its crash abandons the session.",
        sign: "The error is about an index, a buffer's bounds or a length other than 17, directly \
               after a read whose length is not a multiple of 17.",
        fix: "Append each read to a buffer of the connection, decode only while the buffer has 17 \
              bytes or more, and leave the rest there for the next read.",
        lesson: Lesson::Join,
        cases: &["framing/half-packet", "framing/odd-pieces", "robustness/closed-inside"],
    },
    Advice {
        id: "read-size",
        mistake: "misses the packet inside which a read of a usual size ends",
        harm: "If many packets wait, a read fills the whole buffer. Its size is not a multiple of \
               17, so the packet at its end is cut.",
        sign: "The first missing packet is the one in which 1,024, 4,096 or another size of a \
               buffer ends; short sessions are complete.",
        fix: "Keep the bytes after the last whole packet of a read, and put them before the next \
              read: no usual size of a buffer is a multiple of 17.",
        lesson: Lesson::Join,
        cases: &["framing/large-stream"],
    },
    Advice {
        id: "first-of-read",
        mistake: "keeps only the first packet of a read",
        harm: "Packets that arrive close to each other are one read, so the client misses all of \
               them but the first.",
        sign: "A print of each read's length shows 34, 51 or more bytes, and one packet is stored.",
        fix: "Decode packets in a loop, 17 bytes each, until fewer than 17 bytes are left, and \
              keep those for the next read.",
        lesson: Lesson::Join,
        cases: &["framing/one-segment", "framing/pairs", "framing/large-stream"],
    },
    Advice {
        id: "first-answer-of-read",
        mistake: "keeps only the first answer of a read, or waits for one read an answer",
        harm: "Answers that arrive together are one read. The client misses the others, or waits \
               for reads that never come and writes nothing.",
        sign: "A print of each read on the resend connection shows 34 or more bytes, and one \
               packet is stored or counted.",
        fix: "Read answers by the same code as the stream, which takes 17 bytes after 17 off a \
              buffer, and count the packets instead of the reads.",
        lesson: Lesson::Join,
        cases: &["framing/answers-together", "framing/one-segment"],
    },
];
