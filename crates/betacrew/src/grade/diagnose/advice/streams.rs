//! Advice on mistakes in the stream: what is taken from it, how long it is read, and what is kept.

use super::Advice;
use crate::grade::example::Lesson;

/// Advice on these causes.
pub(super) const ADVICE: &[Advice] = &[
    Advice {
        id: "never-calls",
        mistake: "connects and sends no call",
        harm: "The exchange sends nothing before it is called.",
        sign: "The exchange logs a connection and no call.",
        fix: "Send the two bytes 1 and 0 as soon as the connection is open.",
        lesson: Lesson::StreamCall,
        cases: &["basics/complete-stream"],
    },
    Advice {
        id: "frame-size",
        mistake: "takes another number of bytes than 17 for a packet",
        harm: "Every packet behind the first one is read from the wrong byte on.",
        sign: "The first row of the output is right, and all others are garbled.",
        fix: "Take exactly 17 bytes for each packet: 4 for the symbol, 1 for the side, and 4 each \
              for quantity, price and sequence.",
        lesson: Lesson::Join,
        cases: &["basics/complete-stream", "framing/one-segment"],
    },
    Advice {
        id: "last-packet-unread",
        mistake: "never takes the last packet of a stream",
        harm: "The highest sequence is missing in every session, and no gap shows it.",
        sign: "The output ends one packet before the stream.",
        fix: "Take packets while the buffer has 17 bytes or more: the comparison is >= and not >.",
        lesson: Lesson::Join,
        cases: &["basics/complete-stream", "basics/one-packet"],
    },
    Advice {
        id: "rest-unread",
        mistake: "writes its output before it has taken all that it has received",
        harm: "What is still in the buffer or on its way is missing.",
        sign: "The output ends earlier than the stream did on the wire.",
        fix: "Write the output only when the exchange has ended the connection and every byte read \
              before it has been decoded.",
        lesson: Lesson::Connection,
        cases: &["basics/as-it-comes", "framing/large-stream"],
    },
    Advice {
        id: "stops-at-gap",
        mistake: "keeps no packet behind the first gap",
        harm: "One dropped packet costs the whole rest of the stream.",
        sign: "The output ends directly before the first missing sequence.",
        fix: "Keep every valid packet when it arrives, whatever its sequence is, and look for gaps \
              when the stream has ended.",
        lesson: Lesson::Parse,
        cases: &["gaps/one", "gaps/burst"],
    },
    Advice {
        id: "rejects-valid",
        mistake: "rejects valid packets by a rule of its own",
        harm: "Packets that the exchange may send are missing, and are requested in vain.",
        sign: "The missing packets have a symbol, a price or a quantity in common.",
        fix: "Check only what the protocol says: the side is B or S, and the sequence is at least \
              1; any symbol, quantity and price is valid.",
        lesson: Lesson::Parse,
        cases: &["basics/extremes", "basics/one-packet"],
    },
    Advice {
        id: "leaves-at-broken",
        mistake: "ends the stream at a frame that is not a valid packet",
        harm: "One damaged packet costs the whole rest of the stream.",
        sign: "The client ends its connection directly after the damaged frame.",
        fix: "Skip the 17 bytes of a frame that is not valid, go on with the next 17, and request \
              the missing sequence afterwards.",
        lesson: Lesson::Parse,
        cases: &["robustness/broken-frame", "robustness/odd-sequence"],
    },
    Advice {
        id: "leaves-stream",
        mistake: "ends a stream while the exchange is still sending",
        harm: "All packets that were still to come are missing.",
        sign: "The client ends its connection before the exchange does.",
        fix: "Read the stream until the exchange ends the connection, which is the only sign of \
              its end.",
        lesson: Lesson::Connection,
        cases: &["robustness/stall", "robustness/late-end"],
    },
    Advice {
        id: "never-writes",
        mistake: "writes no packets in any case",
        harm: "Nothing that was received is kept.",
        sign: "No file changes, and nothing is printed, even if no packet is dropped.",
        fix: "Write all packets to output.json as soon as none is missing, also if none ever was.",
        lesson: Lesson::Write,
        cases: &["basics/complete-stream"],
    },
    Advice {
        id: "overwrites-output",
        mistake: "writes only what the last read brought, over what it had before",
        harm: "Only the packets of the last read are left.",
        sign: "The output has the end of the session alone.",
        fix: "Collect the packets of all reads in one map, and write it once, when everything has \
              arrived.",
        lesson: Lesson::Write,
        cases: &["basics/complete-stream", "basics/as-it-comes"],
    },
    Advice {
        id: "streams-instead",
        mistake: "streams again and again instead of requesting what is missing",
        harm: "Each stream costs a whole session, and a packet may be dropped in all of them.",
        sign: "The exchange logs many stream calls and no resend call.",
        fix: "Request each missing sequence with a resend call, and stream again only for a tail \
              that may be missing.",
        lesson: Lesson::Request,
        cases: &["gaps/one", "gaps/many"],
    },
    Advice {
        id: "search-starts-late",
        mistake: "begins its search for gaps behind the first sequence",
        harm: "Gaps at the beginning of a session are never requested.",
        sign: "The output begins with a later sequence than 1.",
        fix: "Start the search for gaps at sequence 1, and include it.",
        lesson: Lesson::Gaps,
        cases: &["gaps/first-packet", "gaps/first-three"],
    },
    Advice {
        id: "counts-answers",
        mistake: "counts answers, and so takes a second copy for another packet",
        harm: "It stops reading while an answer is still on its way.",
        sign: "The client closes its connection after as many answers as requests, although one \
               came twice.",
        fix: "Close the connection when no requested sequence is missing any more, not after a \
              number of answers.",
        lesson: Lesson::Close,
        cases: &["recovery/answered-twice"],
    },
    Advice {
        id: "joins-connections",
        mistake: "joins the first bytes of a packet, inside which its connection ended, with the \
                  bytes of the next connection",
        harm: "Every packet of the next connection is read from the wrong byte on.",
        sign: "After a connection that ended inside a packet, the sequences are garbage.",
        fix: "Use a new buffer for each connection, and drop the bytes that are left in the old \
              one when its connection ends.",
        lesson: Lesson::Join,
        cases: &["recovery/closed-inside", "robustness/closed-inside"],
    },
    Advice {
        id: "own-timeout",
        mistake: "has a time-out that is shorter than the pause of the exchange",
        harm: "A slow network looks like the end of the session.",
        sign: "The client ends its connection in the middle of a pause.",
        fix: "Wait at least three seconds without a byte before you take a connection for dead, \
              and then request again what is missing.",
        lesson: Lesson::Silence,
        cases: &["robustness/stall", "recovery/late-answers"],
    },
    Advice {
        id: "asks-for-ever",
        mistake: "requests a packet that never comes again and again, without an end",
        harm: "The client never ends, and the exchange is kept busy.",
        sign: "The exchange logs the same resend call until the client is killed.",
        fix: "Stop when two rounds of requests in a row bring nothing new, and report by the exit \
              code what is missing.",
        lesson: Lesson::StreamAgain,
        cases: &["termination/never-resent"],
    },
    Advice {
        id: "tries-too-few",
        mistake: "repeats its requests on some connections, and gives up while they still bring \
                  packets",
        harm: "Packets that one more round would have brought are missing.",
        sign: "The last connection still brought a packet.",
        fix: "Go on with further rounds as long as a round brings something new.",
        lesson: Lesson::StreamAgain,
        cases: &["recovery/one-answer-each"],
    },
    Advice {
        id: "last-copy-kept",
        mistake: "replaces the first copy of a packet by a later one",
        harm: "If two copies differ, clients disagree about the session.",
        sign: "The output has the content of the second copy.",
        fix: "Store a packet only if no packet with its sequence is stored yet.",
        lesson: Lesson::Parse,
        cases: &["robustness/contradiction"],
    },
    Advice {
        id: "wrong-bytes",
        mistake: "reads a field from the wrong bytes",
        harm: "The field is wrong in every packet.",
        sign: "The same field of all rows differs from what was sent.",
        fix: "Read the fields at their offsets: symbol 0, side 4, quantity 5, price 9, sequence \
              13.",
        lesson: Lesson::Parse,
        cases: &["basics/complete-stream"],
    },
    Advice {
        id: "garbled-field",
        mistake: "decodes a field in a wrong way",
        harm: "The field is wrong in some or all packets.",
        sign: "The same field of several rows differs from what was sent.",
        fix: "Decode the symbol and the side as ASCII text, and the three numbers as signed \
              big-endian numbers of 32 bits.",
        lesson: Lesson::Parse,
        cases: &["basics/complete-stream", "basics/extremes"],
    },
    Advice {
        id: "sequence-shifted",
        mistake: "writes every sequence one too low or too high",
        harm: "Every row has the sequence of another packet.",
        sign: "The first row has the sequence 0 or 2.",
        fix: "Write the sequence of the packet as it was read, and not an index that begins with \
              0.",
        lesson: Lesson::Parse,
        cases: &["basics/complete-stream"],
    },
    Advice {
        id: "reports-error",
        mistake: "ends with an error code and an error message of its own",
        harm: "The client gives up where it could have recovered.",
        sign: "The message stands on stderr.",
        fix: "Handle the situation that the message names: request what is missing once more \
              before you give up.",
        lesson: Lesson::ExitCode,
        cases: &["recovery/reset"],
    },
    Advice {
        id: "all-or-nothing",
        mistake: "ends with an error code and writes none of the packets that it has",
        harm: "Everything that was received is gone with what is missing.",
        sign: "No output is written, although packets arrived.",
        fix: "Write the packets that you have, and report by the exit code that some are missing.",
        lesson: Lesson::ExitCode,
        cases: &["termination/never-resent"],
    },
];
