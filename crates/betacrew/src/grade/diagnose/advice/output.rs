//! Advice on mistakes in how a client decodes fields and writes its output.

use super::Advice;
use crate::grade::example::Lesson;

/// Advice on the causes of `diagnose/content.rs`.
pub(super) const ADVICE: &[Advice] = &[
    Advice {
        id: "little-endian",
        mistake: "reads numbers with their bytes in the wrong order",
        harm: "All numbers are wrong, and a wrong sequence makes every packet another one.",
        sign: "Small numbers become huge ones: 1 becomes 16,777,216.",
        fix: "Read all numbers as big-endian: readInt32BE in JavaScript, struct.unpack with '>' in \
              Python, ntohl in C.",
        lesson: Lesson::Parse,
        cases: &["basics/complete-stream"],
    },
    Advice {
        id: "unsigned",
        mistake: "reads negative numbers as unsigned ones",
        harm: "A negative price becomes one of more than two thousand million.",
        sign: "Numbers above 2,147,483,647 are in the output.",
        fix: "Read quantity, price and sequence as signed 32-bit numbers: readInt32BE, 'i' instead \
              of 'I', int32_t.",
        lesson: Lesson::Parse,
        cases: &["basics/extremes"],
    },
    Advice {
        id: "swapped-fields",
        mistake: "writes the value of one field under the name of another",
        harm: "The packets are there and their content is wrong.",
        sign: "Two fields of a row have the same value, or each has the other's.",
        fix: "Read the fields in the order of the wire: symbol (4 bytes), side (1), quantity (4), \
              price (4), sequence (4).",
        lesson: Lesson::Parse,
        cases: &["basics/complete-stream"],
    },
    Advice {
        id: "absent-field",
        mistake: "leaves a field out",
        harm: "Part of each packet is missing.",
        sign: "The rows of the output have fewer than five fields.",
        fix: "Write all five fields of each packet; if one is there under a name of your own, say \
              so by --fields FIELD=NAME.",
        lesson: Lesson::Parse,
        cases: &["basics/complete-stream"],
    },
    Advice {
        id: "not-json",
        mistake: "writes invalid JSON",
        harm: "No program can read the packets, although all may be there.",
        sign: "A JSON parser reports an error for the output.",
        fix: "Collect the packets in a list, and write it once, at the end, by a JSON library.",
        lesson: Lesson::Write,
        cases: &["basics/complete-stream", "basics/as-it-comes"],
    },
    Advice {
        id: "written-twice",
        mistake: "writes its output more than once, so that one write ends behind another",
        harm: "No program can read the packets, although all may be there.",
        sign: "The output is whole JSON, and has the end of another one behind it.",
        fix: "Write the output once, when no packet is missing any more, and wait for a write to \
              end before you begin another one.",
        lesson: Lesson::Write,
        cases: &["gaps/every-second", "gaps/many"],
    },
    Advice {
        id: "no-room",
        mistake: "keeps only a fixed number of packets",
        harm: "All packets after that number are discarded without a word.",
        sign: "Every session longer than that number ends there.",
        fix: "Keep the packets in a container that grows, such as a map from sequence to packet, \
              or report an error when an array is full.",
        lesson: Lesson::Parse,
        cases: &["framing/large-stream"],
    },
    Advice {
        id: "broken-kept",
        mistake: "writes frames that are not valid packets",
        harm: "Damaged bytes are written as if they were an order, and the right packet is not \
               requested.",
        sign: "A row of the output has a side other than B and S, or a sequence below 1.",
        fix: "Keep a packet only if its side is B or S and its sequence is at least 1; skip all \
              others, so that the gap is found and requested.",
        lesson: Lesson::Parse,
        cases: &["robustness/broken-frame", "robustness/odd-sequence", "recovery/broken-answer"],
    },
    Advice {
        id: "duplicates-kept",
        mistake: "writes every copy of a packet",
        harm: "An order that was sent once counts twice.",
        sign: "The output has a sequence more than once.",
        fix: "Keep packets in a map by sequence, and ignore a packet whose sequence is there \
              already.",
        lesson: Lesson::Parse,
        cases: &["robustness/duplicates", "robustness/late-duplicates", "recovery/answered-twice"],
    },
    Advice {
        id: "arrival-order",
        mistake: "writes packets in the order of arrival",
        harm: "Packets that were requested come after later ones, so the order of the orders is \
               wrong.",
        sign: "The sequences of the output do not ascend.",
        fix: "Sort the packets by sequence before you write them.",
        lesson: Lesson::Write,
        cases: &["gaps/order", "robustness/reorder"],
    },
    Advice {
        id: "written-early",
        mistake: "writes its output before the answers arrive",
        harm: "The answers come after the output, so their packets are missing in it.",
        sign: "The output is older than the last answer.",
        fix: "Write the output in one place, after the stream has ended and all answers have \
              arrived.",
        lesson: Lesson::Write,
        cases: &["recovery/late-answers", "gaps/one"],
    },
    Advice {
        id: "seems-early",
        mistake: "seems to write its output before the answers arrive",
        harm: "The answers come after the output, so their packets are missing in it.",
        sign: "The output is about as old as the last answer.",
        fix: "Write the output in one place, after the stream has ended and all answers have \
              arrived.",
        lesson: Lesson::Write,
        cases: &["recovery/late-answers", "gaps/one"],
    },
];
