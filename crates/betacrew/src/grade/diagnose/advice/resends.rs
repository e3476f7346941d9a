//! Advice on mistakes in how a client finds gaps, requests packets and reads the answers.

use super::Advice;
use crate::grade::example::Lesson;

/// Advice on the causes of `diagnose/resends.rs`.
pub(super) const ADVICE: &[Advice] = &[
    Advice {
        id: "never-asks",
        mistake: "requests no missing packet",
        harm: "Packets that the stream drops are not sent again unless the client requests them.",
        sign: "The exchange logs a stream and no resend, and the output has a gap.",
        fix: "When the stream has ended, look for each sequence from 1 to the highest one \
              received, and send a resend call for each that is absent, on a new connection.",
        lesson: Lesson::Request,
        cases: &["gaps/one", "gaps/burst", "gaps/order"],
    },
    Advice {
        id: "first-gap-unseen",
        mistake: "takes the first packet that it receives for the first of the session",
        harm: "If packet 1 is dropped, no packet before it shows the gap, so the client never \
               requests it.",
        sign: "The first packet received has a sequence above 1, and nothing below it is \
               requested.",
        fix: "Start the search for gaps at sequence 1, whatever the first packet received is: \
              expect 1 before anything has arrived.",
        lesson: Lesson::Gaps,
        cases: &["gaps/first-packet", "gaps/first-three", "gaps/only-last"],
    },
    Advice {
        id: "last-gap-unseen",
        mistake: "ends its search for gaps one packet too early",
        harm: "The packet directly before the highest one received is never requested.",
        sign: "Only the last packet before the highest one is missing in the output.",
        fix: "Let the search for gaps include the sequence directly before the highest one \
              received: the bound of the loop is too low by one.",
        lesson: Lesson::Gaps,
        cases: &["gaps/before-last"],
    },
    Advice {
        id: "counts-packets",
        mistake: "searches for gaps up to the number of packets received",
        harm: "If packets are missing, that number is lower than the highest sequence, so gaps \
               near the end are not found.",
        sign: "The last sequence that is requested is not above the number of packets received.",
        fix: "Search up to the highest sequence received, not up to the number of packets \
              received.",
        lesson: Lesson::Gaps,
        cases: &["gaps/every-second", "gaps/only-last"],
    },
    Advice {
        id: "last-for-highest",
        mistake: "searches for gaps up to the packet received last",
        harm: "A packet may arrive late, after higher ones, so gaps above it are not found.",
        sign: "The last packet received is not the highest one, and gaps above it are not \
               requested.",
        fix: "Keep the maximum of all sequences received, and search for gaps up to that one.",
        lesson: Lesson::Gaps,
        cases: &["robustness/late-duplicates", "robustness/reorder"],
    },
    Advice {
        id: "off-by-one",
        mistake: "requests the neighbours of the missing packets",
        harm: "The exchange answers with packets that the client has, and the missing ones stay \
               missing.",
        sign: "Each resend call names a sequence that is one too low or one too high.",
        fix: "Send the missing sequence itself in the call: sequences begin with 1, and indexes of \
              lists with 0.",
        lesson: Lesson::Request,
        cases: &["gaps/one", "gaps/burst"],
    },
    Advice {
        id: "fixed-length",
        mistake: "assumes that every session has the same length",
        harm: "Packets after that length are missed in a longer session, and in a shorter one the \
               client requests packets that do not exist.",
        sign: "Sessions of 14 packets are complete, and no others.",
        fix: "Replace the fixed number of packets by the highest sequence received, and request \
              only what is missing below that one.",
        lesson: Lesson::Gaps,
        cases: &["basics/long-session", "basics/short-session", "gaps/many"],
    },
    Advice {
        id: "sequence-cut",
        mistake: "cuts a sequence to the one byte of a resend call",
        harm: "A request for packet 300 becomes one for packet 44, so the exchange resends a \
               packet that the client has.",
        sign: "Packets above 255 are missing, and low sequences are requested that had arrived.",
        fix: "Send resend calls only for sequences up to 127, and stream again for the packets \
              above, because each stream drops other ones.",
        lesson: Lesson::StreamAgain,
        cases: &["gaps/beyond-one-byte"],
    },
    Advice {
        id: "too-large-to-ask",
        mistake: "crashes on a sequence that does not fit into the byte of a resend call",
        harm: "One missing packet above 255 ends the client, and the packets that it has are never \
               written.",
        sign: "The error says that a value is out of range, and is raised where the call is made.",
        fix: "Send resend calls only for sequences up to 127, and stream again for the packets \
              above, because each stream drops other ones.",
        lesson: Lesson::StreamAgain,
        cases: &["gaps/beyond-one-byte"],
    },
    Advice {
        id: "after-stream",
        mistake: "sends resend calls after the stream call, where the exchange does not answer",
        harm: "The exchange reads nothing after a stream call on that connection, so no request is \
               answered; the original exchange may even crash.",
        sign: "The exchange logs calls on the connection of the stream, and sends no answer.",
        fix: "Read the stream until the exchange ends its connection, and then open a new \
              connection for the resend calls.",
        lesson: Lesson::Request,
        cases: &["gaps/one", "conduct/after-stream"],
    },
    Advice {
        id: "answers-unread",
        mistake: "closes the connection before it has read the answers",
        harm: "Answers that arrive after that are discarded by the system, so their packets stay \
               missing.",
        sign: "The client closes the resend connection while the exchange still answers.",
        fix: "Read from the resend connection until every requested packet has arrived, and close \
              it only then.",
        lesson: Lesson::Request,
        cases: &["recovery/late-answers", "gaps/burst"],
    },
    Advice {
        id: "not-asked-again",
        mistake: "gives up a packet after one request without an answer",
        harm: "A request or an answer may be dropped with its connection. One more request would \
               recover the packet.",
        sign: "Each missing sequence is requested once, and the client ends or waits without its \
               answer.",
        fix: "When a resend connection is over, search for gaps again, and request what is still \
              missing on a new connection, until a round brings nothing new.",
        lesson: Lesson::Request,
        cases: &["recovery/unanswered-once", "recovery/one-answer-each", "recovery/other-packet"],
    },
    Advice {
        id: "trusts-the-request",
        mistake: "stores an answer under the sequence that it requested",
        harm: "An answer may hold another packet. The output then has a packet with the wrong \
               content, which is worse than a missing one.",
        sign: "A row of the output has the symbol and price of another sequence.",
        fix: "Take the sequence of every packet from its own last four bytes, in answers as in the \
              stream.",
        lesson: Lesson::Parse,
        cases: &["recovery/other-packet"],
    },
    Advice {
        id: "short-stream",
        mistake: "takes a stream that was cut off for a complete one",
        harm: "All packets after the cut are missing, and no gap shows that.",
        sign: "The output ends with the last packet before the connection ended.",
        fix: "Stream again, and keep the new packets, until a further stream brings nothing new: a \
              cut and a proper end look alike.",
        lesson: Lesson::StreamAgain,
        cases: &["tail/closed-early", "robustness/reset", "robustness/closed-inside"],
    },
    Advice {
        id: "tail-unseen",
        mistake: "streams only once, so it never notices a dropped tail",
        harm: "A packet at the end has none after it that could show the gap.",
        sign: "The last packets are missing, and the client made one stream call.",
        fix: "Make the stream call again after the gaps are filled, and keep the new packets, \
              until enough streams in a row bring nothing new.",
        lesson: Lesson::StreamAgain,
        cases: &["tail/last-dropped", "tail/all-dropped", "tail/as-the-original"],
    },
];
