//! Table of all cases.

use super::PassCondition::{
    Complete, Empty, Ends, EndsAnyhow, EndsWithZero, FollowsRule, InOrder, Original, ReportsFailure,
};
use super::Severity::{Must, Should};
use super::requirement::{
    AGAIN, BIG_ENDIAN, CLEAN_CLOSE, CLOSE_RESENDS, COMPLETE, END, END_OF_SILENCE, EXIT_CODE,
    FIRST_COPY, GAPS, LENGTH, NOT_DEADLY, NOT_OVER_AND_OVER, NOTHING_AFTER_STREAM, NOTHING_MADE_UP,
    NOTHING_MISSING, ONCE, ONE_CONNECTION, ORDER, PACKETS, REACH, SEQUENCE_SAYS, SHORT_STREAM,
    SKIP, SLOW, STREAM_AGAIN, WHOLE_CALLS, WITHIN,
};
use super::{Case, CaseSetup, PassCondition, ReadOrder, Requirement, Severity};
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::judge::protocol_rules::ProtocolRule;

/// Returns a setup that plays a built-in scenario unchanged.
const fn play(scenario: &'static str) -> CaseSetup {
    CaseSetup {
        scenario,
        tape: None,
        pace: None,
        reads: ReadOrder::Unordered,
        protocol: GradedProtocol::Betacrew,
        lines: 0,
    }
}

/// Returns a setup that plays a built-in scenario and lets each piece arrive in a read of its own.
const fn in_pieces(scenario: &'static str) -> CaseSetup {
    CaseSetup { reads: ReadOrder::ReadBeforeWrite, ..play(scenario) }
}

/// Returns a setup that plays a built-in scenario and sends all bytes between two pauses at once.
const fn between_pauses(scenario: &'static str) -> CaseSetup {
    CaseSetup { reads: ReadOrder::ReadBetweenPauses, ..play(scenario) }
}

/// Returns a setup that sends each packet of a stream by itself. A client that takes each read for
/// one packet then still shows whether it can do the rest.
const fn apart(scenario: &'static str) -> CaseSetup {
    CaseSetup { pace: Some("100/s"), ..in_pieces(scenario) }
}

/// Returns a case with the normal time limit.
const fn case(
    id: &'static str,
    severity: Severity,
    requirement: Requirement,
    exchange_setup: CaseSetup,
    passes: PassCondition,
) -> Case {
    Case::new(id, severity, requirement, exchange_setup, passes)
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    case("basics/complete-stream", Must, COMPLETE, apart("clean"), Complete).because(
        "A client that fails here fails everywhere; this case runs first, and shows where the \
         client connects and writes.",
    ),
    case("basics/as-it-comes", Must, COMPLETE, play("quarter"), Complete).because(
        "The exercise as it is: its packets arrive as fast as they can be sent, several in one \
         read.",
    ),
    case("basics/short-session", Must, LENGTH, apart("every-second").on("sample:5"), Complete)
        .because(
            "Clients of the exercise often take 14 for the length of every session; here that \
             requests packets that do not exist.",
        ),
    case("basics/long-session", Must, LENGTH, apart("far-gap"), Complete)
        .because("Clients of the exercise often stop after packet 14, or have room for no more."),
    case("basics/one-packet", Must, LENGTH, apart("clean").on("sample:1"), Complete).because(
        "The shortest session with a packet: no second packet starts the search for gaps.",
    ),
    case("basics/no-packets", Should, LENGTH, play("clean").on("sample:0"), Empty)
        .with_double_timeout()
        .because(
            "Before a market opens there is nothing to record, and the maximum of no sequences \
             is an error in many languages.",
        ),
    case("basics/extremes", Should, BIG_ENDIAN, apart("clean").on("extremes"), Complete).because(
        "Prices may be negative and quantities large; only the lowest and highest numbers show \
         an unsigned or a rounded one.",
    ),
    //
    case("gaps/one", Must, GAPS, apart("one-gap"), Complete)
        .because("The simplest recovery: one gap, one resend call, one answer."),
    case("gaps/first-packet", Must, GAPS, apart("first-dropped"), Complete).because(
        "A client that compares each packet with the one before has none to compare the first \
         one with.",
    ),
    case("gaps/first-three", Must, GAPS, apart("first-three-dropped"), Complete).because(
        "A gap at the beginning may be longer than one packet, so special treatment of packet 1 \
         is not enough.",
    ),
    case("gaps/before-last", Must, GAPS, apart("before-last-dropped"), Complete).because(
        "A search for gaps whose bound is too low by one misses only the packet before the last.",
    ),
    case("gaps/burst", Must, GAPS, apart("burst"), Complete).because(
        "Networks drop packets in bursts; a client that reads one answer for each gap misses the \
         others.",
    ),
    case("gaps/every-second", Must, GAPS, apart("every-second").on("sample:15"), Complete).because(
        "Many small gaps take many requests, and the number of packets received is far from the \
         highest sequence.",
    ),
    case("gaps/only-last", Must, GAPS, apart("only-last"), Complete)
        .because("Nearly everything has to be requested, so that nothing works by chance."),
    case("gaps/order", Must, ORDER, apart("one-gap"), InOrder).because(
        "Readers of the output expect the order of the sequences, and requested packets arrive \
         last.",
    ),
    case("gaps/many", Must, GAPS, apart("quarter").on("sample:40"), Complete).because(
        "A longer session with random gaps, as on a real network: what depends on 14 packets or \
         on one gap shows.",
    ),
    case("gaps/beyond-one-byte", Should, STREAM_AGAIN, play("beyond-255"), Complete).because(
        "A resend call has one byte for the sequence, so packets above 255 need another way.",
    ),
    //
    case("framing/half-packet", Must, PACKETS, between_pauses("half-packet"), Complete).because(
        "Networks cut packets between two reads; a pause between the halves makes sure of it.",
    ),
    case("framing/pairs", Must, PACKETS, in_pieces("pairs"), Complete).because(
        "Two packets in one read are usual on a fast network, and rare on the machine of a \
         developer.",
    ),
    case("framing/one-segment", Must, PACKETS, play("coalesced"), Complete)
        .because("On a fast network a whole session is one read."),
    case("framing/large-stream", Must, PACKETS, play("clean").on("sample:1000"), Complete).because(
        "A stream that is larger than the buffer of a read is cut inside a packet, wherever the \
         buffer ends.",
    ),
    case("framing/odd-pieces", Must, PACKETS, in_pieces("odd-pieces"), Complete).because(
        "Reads of any length: half a packet, a packet and a half, and everything between.",
    ),
    case("framing/byte-by-byte", Must, PACKETS, in_pieces("byte-by-byte"), Complete).because(
        "The smallest reads: a client passes only if it never relies on the length of a read.",
    ),
    case("framing/answers-together", Must, PACKETS, apart("resend-coalesced"), Complete)
        .because("Clients often split the stream well and take each answer for a read of its own."),
    case("framing/answers-in-pieces", Must, PACKETS, in_pieces("resend-pieces"), Complete).because(
        "Answers are cut between two reads like the stream, and often by code that was written \
         twice.",
    ),
    //
    case("recovery/late-answers", Must, SLOW, apart("resend-late"), Complete).because(
        "A client that writes its output at once, or closes too early, passes only while the \
         exchange is fast.",
    ),
    case("recovery/unanswered-once", Should, AGAIN, apart("resend-once-unanswered"), Complete)
        .because(
            "Requests and answers may be dropped with their connection; asking twice costs little.",
        ),
    case("recovery/one-answer-each", Should, AGAIN, apart("resend-one-each"), Complete).because(
        "An exchange may end a connection after each answer; the rest has to be requested on \
         another one.",
    ),
    case("recovery/reset", Should, AGAIN, apart("resend-reset"), Complete).because(
        "A reset raises an error in most languages, which must cost one connection and not the \
         session.",
    ),
    case("recovery/closed-inside", Should, AGAIN, apart("resend-closed-inside"), Complete).because(
        "A connection may end inside a packet; the half must neither be written nor be joined to \
         the next answer.",
    ),
    case("recovery/broken-answer", Should, AGAIN, apart("resend-broken"), Complete)
        .because("A damaged answer must not count as the packet, or nothing requests it again."),
    case("recovery/answered-twice", Should, FIRST_COPY, apart("resend-twice"), Complete).because(
        "Copies of an answer must not become rows, and must not be counted as answers to other \
         requests.",
    ),
    case("recovery/other-packet", Should, SEQUENCE_SAYS, apart("resend-other"), Complete).because(
        "A client that trusts its request writes one packet under the sequence of another.",
    ),
    //
    case("tail/last-dropped", Should, STREAM_AGAIN, apart("last-dropped"), Complete).because(
        "The original exchange drops the last packet of every fourth session, and nothing in \
         that stream shows it.",
    ),
    case("tail/all-dropped", Should, STREAM_AGAIN, play("all-dropped"), Complete)
        .because("A stream without a packet looks like a session without one."),
    case("tail/closed-early", Should, SHORT_STREAM, apart("closed-early"), Complete)
        .because("A stream that ends early looks like a short session."),
    case("tail/as-the-original", Should, STREAM_AGAIN, apart("quarter-and-last"), Complete)
        .because("The original exchange as it really is: gaps and a dropped tail together."),
    //
    case("robustness/stall", Must, SLOW, apart("stall"), Complete).with_double_timeout().because(
        "A pause is not an end: time-outs that are too short turn a slow network into \
             missing packets.",
    ),
    case("robustness/slow", Must, SLOW, play("slow"), Complete).with_double_timeout().because(
        "A market is quiet at times; a client must not take its own patience for the end of \
             the session.",
    ),
    case("robustness/slow-start", Must, SLOW, apart("slow-start"), Complete)
        .with_double_timeout()
        .because("A busy exchange answers late, and each connection starts late as well."),
    case("robustness/late-end", Must, SLOW, apart("late-end"), Complete)
        .with_double_timeout()
        .because(
            "The end of the stream is what the exchange says, not the first pause after the last \
             packet.",
        ),
    case("robustness/duplicates", Should, FIRST_COPY, apart("duplicates"), Complete).because(
        "Feeds repeat packets; an order that counts twice is worse than a missing one, because \
         nothing shows it.",
    ),
    case("robustness/late-duplicates", Should, FIRST_COPY, apart("late-duplicates"), Complete)
        .because("A copy may arrive when its packet is long stored, or was just requested."),
    case("robustness/contradiction", Should, FIRST_COPY, apart("contradiction"), Complete)
        .because("If two copies differ, the first is kept, so that all clients agree."),
    case("robustness/reorder", Should, FIRST_COPY, apart("reorder"), InOrder).because(
        "Packets may arrive late; a client that takes each step back for an error, or each jump \
         for a gap, shows here.",
    ),
    case("robustness/closed-inside", Should, SHORT_STREAM, apart("closed-inside"), Complete)
        .because(
            "A stream may break inside a packet; the half must not be written, and the rest must \
             be recovered.",
        ),
    case("robustness/reset", Should, SHORT_STREAM, apart("reset-in-stream"), Complete)
        .because("A reset discards what was not read yet, and raises an error in most languages."),
    case("robustness/silent", Should, SHORT_STREAM, apart("silent"), Complete)
        .with_double_timeout()
        .because(
            "Without a time-out a client waits for ever, because a silent connection reports \
             nothing.",
        ),
    case("robustness/broken-frame", Should, SKIP, apart("broken-frame"), Complete)
        .because("One damaged packet must cost one packet, and not the session."),
    case("robustness/odd-sequence", Should, SKIP, apart("odd-sequence"), Complete).because(
        "A sequence that cannot be, used as an index or a bound, breaks a client in many ways.",
    ),
    case("robustness/deaf", Should, REACH, apart("deaf"), Complete)
        .with_double_timeout()
        .because("A connection that is accepted is not yet answered: the exchange may hang."),
    case("robustness/refused", Should, REACH, apart("refused-at-first"), Complete)
        .because("Exchanges refuse connections while they start; one try is too few."),
    case("robustness/restart", Should, REACH, apart("restart"), Complete).because(
        "Exchanges restart in the middle of a session, and clients must find their way back.",
    ),
    //
    case("termination/nothing-missing", Must, NOTHING_MISSING, apart("clean"), Ends)
        .with_double_timeout()
        .because("The happy path often waits for resends that nobody requested."),
    case("termination/after-recovery", Must, END, apart("every-second").on("sample:15"), Ends)
        .with_double_timeout()
        .because("After the last answer something must end the wait, and close what is open."),
    case("termination/open-connection", Must, CLOSE_RESENDS, apart("unknown-silent"), Ends)
        .with_double_timeout()
        .because(
            "The exchange never ends a resend connection, so the client has to count its answers.",
        ),
    case("termination/silent", Should, END_OF_SILENCE, apart("silent"), EndsAnyhow)
        .with_double_timeout()
        .because("A client that waits for ever has to be killed by hand, and nothing says why."),
    case("termination/exit-code", Should, EXIT_CODE, apart("one-gap"), EndsWithZero)
        .with_double_timeout()
        .because("Scripts read the exit code, so success must be 0."),
    case("termination/never-resent", Should, EXIT_CODE, apart("never-resent"), ReportsFailure)
        .with_double_timeout()
        .because(
            "A packet that cannot be recovered must be reported, not waited for and not invented.",
        ),
    case("termination/exchange-dies", Should, EXIT_CODE, apart("dies"), ReportsFailure)
        .with_double_timeout()
        .because(
            "If the exchange is gone, the client must end, and say by its exit code that packets \
             are missing.",
        ),
    Case {
        id: "termination/no-exchange",
        severity: Should,
        requirement: EXIT_CODE,
        exchange_setup: None,
        passes: ReportsFailure,
        timeout_factor: 2,
        why: "A client that is started too early must neither hang nor report success.",
    },
    //
    case("conduct/original", Must, NOT_DEADLY, in_pieces("original"), Original).because(
        "One crash of the original exchange ends the session of every client, so nothing that \
             crashes it may be sent.",
    ),
    case(
        "conduct/whole-calls",
        Must,
        WHOLE_CALLS,
        apart("one-gap"),
        FollowsRule(ProtocolRule::CallLength),
    )
    .because(
        "The original exchange reads two bytes at a time, and one that is left over spoils the \
         next call.",
    ),
    case(
        "conduct/after-stream",
        Must,
        NOTHING_AFTER_STREAM,
        apart("one-gap"),
        FollowsRule(ProtocolRule::AfterStream),
    )
    .because("The original exchange crashes on any call after the stream call."),
    case(
        "conduct/beyond-end",
        Must,
        WITHIN,
        apart("every-second").on("sample:5"),
        FollowsRule(ProtocolRule::BeyondEnd),
    )
    .because("The original exchange crashes on a sequence that the session does not have."),
    case("conduct/resets", Must, CLEAN_CLOSE, apart("burst"), FollowsRule(ProtocolRule::Resets))
        .because(
            "The original exchange crashes on a reset, and a socket that is closed with unread \
             bytes sends one.",
        ),
    case(
        "conduct/made-up",
        Must,
        NOTHING_MADE_UP,
        apart("never-resent"),
        FollowsRule(ProtocolRule::MakesUp),
    )
    .with_double_timeout()
    .because(
        "A recording with an invented packet is worse than one that lacks it, because \
             nothing shows it.",
    ),
    case(
        "conduct/only-gaps",
        Should,
        ONCE,
        apart("every-second").on("sample:15"),
        FollowsRule(ProtocolRule::NotMissing),
    )
    .because("Requests for packets that have arrived delay the answers that are needed."),
    case("conduct/once", Should, ONCE, apart("quarter"), FollowsRule(ProtocolRule::Twice))
        .because("Requests for packets that are being answered delay the answers that are needed."),
    case(
        "conduct/one-connection",
        Should,
        ONE_CONNECTION,
        apart("every-second").on("sample:15"),
        FollowsRule(ProtocolRule::ConnectionEach),
    )
    .because(
        "A connection for each packet costs a round trip each, and the exchange a place each.",
    ),
    case(
        "conduct/storm",
        Should,
        NOT_OVER_AND_OVER,
        apart("never-resent"),
        FollowsRule(ProtocolRule::Storm),
    )
    .with_double_timeout()
    .because("A client that connects without end keeps an exchange from helping the others."),
];
