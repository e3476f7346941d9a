//! Advice on crashes, endless waits and wrong exit codes.

use super::Advice;
use crate::grade::example::Lesson;

/// Advice on the causes of `diagnose/ending.rs`.
pub(super) const ADVICE: &[Advice] = &[
    Advice {
        id: "crash",
        mistake: "crashes",
        harm: "The packets that it has are never written.",
        sign: "The client prints the error of its runtime, which the report shows after `stderr`.",
        fix: "Mend the line that the error names: a read may end inside a packet, and a connection \
              may fail at any time, and neither may end the client.",
        lesson: Lesson::Connection,
        cases: &["robustness/reset", "robustness/refused", "gaps/one"],
    },
    Advice {
        id: "spins",
        mistake: "computes for ever",
        harm: "The client never ends, and its packets are never written.",
        sign: "The client needs a whole processor while the exchange is silent.",
        fix: "Find the loop that does not end: usually a search for gaps up to a sequence that was \
              misread, or a read that goes on after the end of its connection.",
        lesson: Lesson::Connection,
        cases: &["basics/complete-stream"],
    },
    Advice {
        id: "hangs-complete",
        mistake: "received every packet, and waits for resends that it never requested",
        harm: "A session without a gap never ends, and its packets are never written.",
        sign: "The stream has ended with all packets, and the client opens a connection and waits.",
        fix: "If no packet is missing, skip the resends and write the output at once.",
        lesson: Lesson::Request,
        cases: &["termination/nothing-missing", "basics/complete-stream"],
    },
    Advice {
        id: "waits-for-answer",
        mistake: "waits for ever for packets that the exchange does not send",
        harm: "One request without an answer stops the client, and all its packets are never \
               written.",
        sign: "The exchange is silent after a resend call, and the client does not end.",
        fix: "Give each connection a time limit of two to three seconds without a byte, close it \
              then, and request what is missing on a new one, a few times.",
        lesson: Lesson::Silence,
        cases: &["recovery/unanswered-once", "termination/never-resent"],
    },
    Advice {
        id: "waits-for-stream",
        mistake: "waits for ever for a stream that has fallen silent",
        harm: "One stalled connection stops the client, and all its packets are never written.",
        sign: "The exchange is silent in the middle of a stream, and the client does not end.",
        fix: "Give each connection a time limit of two to three seconds without a byte, close it \
              then, and stream again.",
        lesson: Lesson::Silence,
        cases: &["robustness/silent", "robustness/deaf"],
    },
    Advice {
        id: "waits-for-end",
        mistake: "waits for the exchange to end a resend connection",
        harm: "The exchange keeps resend connections open, so the client never ends, or only by a \
               time-out for each packet.",
        sign: "All answers have arrived, and the client still reads from the connection.",
        fix: "Count the packets that you requested, and close the resend connection yourself when \
              the last one has arrived.",
        lesson: Lesson::Close,
        cases: &["termination/open-connection"],
    },
    Advice {
        id: "lingers",
        mistake: "has all packets, and something keeps it running",
        harm: "A program that waits for the client waits for ever.",
        sign: "The output is complete, and the prompt of the shell does not come back.",
        fix: "Close every socket, timer and listener when the output is written, or end the \
              process then.",
        lesson: Lesson::Close,
        cases: &["termination/nothing-missing", "termination/after-recovery"],
    },
    Advice {
        id: "gives-up",
        mistake: "ends after one connection fails",
        harm: "An exchange that restarts or is busy for a moment costs the whole session.",
        sign: "The first connection is reset, and the client makes no second one.",
        fix: "Try to connect again a few times, half a second apart, before you give up.",
        lesson: Lesson::StreamCall,
        cases: &["robustness/refused", "robustness/restart"],
    },
    Advice {
        id: "too-slow",
        mistake: "was still active at the time limit",
        harm: "The client may be right and is too slow to tell, and its packets are not written.",
        sign: "The exchange logs call after call until the client is ended.",
        fix: "Request all missing packets on one connection without a pause between the calls, and \
              stop when a round brings nothing new.",
        lesson: Lesson::Request,
        cases: &["gaps/many", "gaps/beyond-one-byte"],
    },
    Advice {
        id: "always-zero",
        mistake: "ends with exit code 0 even if packets are missing",
        harm: "Scripts and people take an incomplete recording for a complete one.",
        sign: "A shell shows 0 for `echo $?` after the client has failed.",
        fix: "End with an exit code other than 0 if a packet is missing or the exchange cannot be \
              reached: process.exitCode, sys.exit, the return value of main.",
        lesson: Lesson::ExitCode,
        cases: &[
            "termination/never-resent",
            "termination/exchange-dies",
            "termination/no-exchange",
        ],
    },
];
