//! Advice on broken rules of the protocol, by the case that checks the rule.

use super::Advice;
use crate::grade::example::Lesson;

/// Advice on the cases of the group *conduct*.
pub(super) const ADVICE: &[Advice] = &[
    Advice {
        id: "conduct/original",
        mistake: "makes the original exchange crash",
        harm: "The crash ends the session for every client of that exchange.",
        sign: "The original server ends with an error after one of the client's calls.",
        fix: "Send two bytes a call, nothing after a stream call, and only sequences below the \
              highest one received; read everything before you close a connection.",
        lesson: Lesson::Request,
        cases: &["conduct/original"],
    },
    Advice {
        id: "conduct/whole-calls",
        mistake: "sends half a call",
        harm: "The original exchange waits for the second byte, and sends nothing.",
        sign: "A capture of the connection shows one byte from the client.",
        fix: "Send both bytes of every call in one write: 1 and 0 for the stream, 2 and the \
              sequence for a resend.",
        lesson: Lesson::StreamCall,
        cases: &["conduct/whole-calls"],
    },
    Advice {
        id: "conduct/after-stream",
        mistake: "sends a call after a stream call on the same connection",
        harm: "The exchange reads nothing after a stream call, and the original may crash.",
        sign: "The exchange logs a call on the connection of the stream.",
        fix: "Read the stream until the exchange ends its connection, and then open a new \
              connection for the resend calls.",
        lesson: Lesson::Request,
        cases: &["conduct/after-stream"],
    },
    Advice {
        id: "conduct/beyond-end",
        mistake: "requests packets that the session does not have",
        harm: "The original exchange crashes on a sequence that does not exist.",
        sign: "A resend call names a sequence above the highest one received.",
        fix: "Request only sequences below the highest one received, and never a fixed number such \
              as 14.",
        lesson: Lesson::Gaps,
        cases: &["conduct/beyond-end"],
    },
    Advice {
        id: "conduct/resets",
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
        id: "conduct/only-gaps",
        mistake: "requests packets that it has received",
        harm: "The exchange does work in vain, and answers to real gaps come later.",
        sign: "A resend call names a sequence that was in the stream.",
        fix: "Before you request a sequence, check that no packet with it has arrived.",
        lesson: Lesson::Gaps,
        cases: &["conduct/only-gaps"],
    },
    Advice {
        id: "conduct/once",
        mistake: "requests packets again after their answer",
        harm: "The exchange does work in vain, and answers to real gaps come later.",
        sign: "A sequence is requested, answered and requested again.",
        fix: "Compute the missing sequences anew before each round of requests, from what has \
              arrived by then.",
        lesson: Lesson::Request,
        cases: &["conduct/once"],
    },
    Advice {
        id: "conduct/one-connection",
        mistake: "opens a connection for each packet that it requests",
        harm: "Each connection costs a round trip, so that many gaps take long.",
        sign: "The exchange logs as many connections as gaps.",
        fix: "Open one connection, send the resend calls for all missing packets on it, and then \
              read all answers.",
        lesson: Lesson::Request,
        cases: &["conduct/one-connection"],
    },
    Advice {
        id: "conduct/storm",
        mistake: "connects over and over",
        harm: "An exchange that cannot help is flooded with connections.",
        sign: "The exchange logs more than a hundred connections.",
        fix: "Give up after a few rounds in a row that bring nothing new, and wait half a second \
              after a connection that fails.",
        lesson: Lesson::StreamAgain,
        cases: &["conduct/storm"],
    },
];
