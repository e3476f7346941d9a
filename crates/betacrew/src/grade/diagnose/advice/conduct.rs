//! Advice on broken rules of the protocol.

use super::Advice;
use crate::grade::example::Lesson;

/// Advice on the cases of the group *conduct*.
pub(super) const ADVICE: &[Advice] = &[
    Advice {
        id: "half-call",
        mistake: "sends half a call",
        harm: "The original exchange waits for the second byte, and sends nothing.",
        sign: "A capture of the connection shows one byte from the client.",
        fix: "Send both bytes of every call in one write: 1 and 0 for the stream, 2 and the \
              sequence for a resend.",
        lesson: Lesson::StreamCall,
        cases: &["conduct/whole-calls"],
    },
    Advice {
        id: "long-call",
        mistake: "sends calls of three or five bytes",
        harm: "The original exchange reads two bytes at a time, so the byte that is left over \
               spoils the calls after it, of all clients; a request for packet 0 makes it crash.",
        sign: "A capture of the connection shows three or five bytes for one call.",
        fix: "Send two bytes for each call and no more: 1 and 0 for the stream, 2 and the sequence \
              as one byte for a resend.",
        lesson: Lesson::StreamCall,
        cases: &["conduct/whole-calls"],
    },
    Advice {
        id: "asks-beyond-end",
        mistake: "requests packets that the session does not have",
        harm: "The original exchange crashes on a sequence that does not exist.",
        sign: "A resend call names a sequence above the highest one received.",
        fix: "Request only sequences below the highest one received, and never a fixed number such \
              as 14.",
        lesson: Lesson::Gaps,
        cases: &["conduct/beyond-end"],
    },
    Advice {
        id: "resets-connections",
        mistake: "closes connections by a reset",
        harm: "A socket that is closed before all bytes are read sends a reset, on which the \
               original exchange crashes.",
        sign: "A capture of the connection shows RST from the client.",
        fix: "Read until every requested packet has arrived, end your side of the connection, and \
              read until the exchange ends the other one.",
        lesson: Lesson::Close,
        cases: &["conduct/resets"],
    },
    Advice {
        id: "conduct/made-up",
        mistake: "writes packets that the exchange has not sent",
        harm: "The output has orders that nobody placed.",
        sign: "A row of the output has a sequence that the exchange never sent.",
        fix: "Write only packets that have arrived; leave out those that are still missing, and \
              report them by the exit code.",
        lesson: Lesson::ExitCode,
        cases: &["conduct/made-up"],
    },
    Advice {
        id: "asks-for-received",
        mistake: "requests packets that it has received",
        harm: "The exchange does work in vain, and answers to real gaps come later.",
        sign: "A resend call names a sequence that was in the stream.",
        fix: "Before you request a sequence, check that no packet with it has arrived.",
        lesson: Lesson::Gaps,
        cases: &["conduct/only-gaps"],
    },
    Advice {
        id: "asks-again",
        mistake: "requests packets again after their answer",
        harm: "The exchange does work in vain, and answers to real gaps come later.",
        sign: "A sequence is requested, answered and requested again.",
        fix: "Compute the missing sequences anew before each round of requests, from what has \
              arrived by then.",
        lesson: Lesson::Request,
        cases: &["conduct/once"],
    },
    Advice {
        id: "connection-each",
        mistake: "opens a connection for each packet that it requests",
        harm: "Each connection costs a round trip, so that many gaps take long.",
        sign: "The exchange logs as many connections as gaps.",
        fix: "Open one connection, send the resend calls for all missing packets on it, and then \
              read all answers.",
        lesson: Lesson::Request,
        cases: &["conduct/one-connection"],
    },
    Advice {
        id: "connects-over-and-over",
        mistake: "connects over and over",
        harm: "An exchange that cannot help is flooded with connections.",
        sign: "The exchange logs connection after connection, and none brings a new packet.",
        fix: "Give up after a few rounds in a row that bring nothing new, and wait half a second \
              after a connection that fails.",
        lesson: Lesson::StreamAgain,
        cases: &["conduct/storm"],
    },
];
