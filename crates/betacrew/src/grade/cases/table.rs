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
use crate::grade::judge::protocol_rules::ProtocolRule;

/// Returns a setup that plays a built-in scenario unchanged.
const fn play(scenario: &'static str) -> CaseSetup {
    CaseSetup { scenario, tape: None, pace: None, reads: ReadOrder::Unordered }
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
    Case {
        id,
        severity,
        requirement,
        exchange_setup: Some(exchange_setup),
        passes,
        timeout_factor: 1,
    }
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    case("basics/complete-stream", Must, COMPLETE, apart("clean"), Complete),
    case("basics/as-it-comes", Must, COMPLETE, play("quarter"), Complete),
    case("basics/short-session", Must, LENGTH, apart("every-second").on("sample:5"), Complete),
    case("basics/long-session", Must, LENGTH, apart("far-gap"), Complete),
    case("basics/one-packet", Must, LENGTH, apart("clean").on("sample:1"), Complete),
    case("basics/no-packets", Should, LENGTH, play("clean").on("sample:0"), Empty)
        .with_double_timeout(),
    case("basics/extremes", Should, BIG_ENDIAN, apart("clean").on("extremes"), Complete),
    //
    case("gaps/one", Must, GAPS, apart("one-gap"), Complete),
    case("gaps/first-packet", Must, GAPS, apart("first-dropped"), Complete),
    case("gaps/first-three", Must, GAPS, apart("first-three-dropped"), Complete),
    case("gaps/before-last", Must, GAPS, apart("before-last-dropped"), Complete),
    case("gaps/burst", Must, GAPS, apart("burst"), Complete),
    case("gaps/every-second", Must, GAPS, apart("every-second").on("sample:15"), Complete),
    case("gaps/only-last", Must, GAPS, apart("only-last"), Complete),
    case("gaps/order", Must, ORDER, apart("one-gap"), InOrder),
    case("gaps/many", Must, GAPS, apart("quarter").on("sample:40"), Complete),
    case("gaps/beyond-one-byte", Should, STREAM_AGAIN, play("beyond-255"), Complete),
    //
    case("framing/half-packet", Must, PACKETS, between_pauses("half-packet"), Complete),
    case("framing/pairs", Must, PACKETS, in_pieces("pairs"), Complete),
    case("framing/one-segment", Must, PACKETS, play("coalesced"), Complete),
    case("framing/large-stream", Must, PACKETS, play("clean").on("sample:1000"), Complete),
    case("framing/odd-pieces", Must, PACKETS, in_pieces("odd-pieces"), Complete),
    case("framing/byte-by-byte", Must, PACKETS, in_pieces("byte-by-byte"), Complete),
    case("framing/answers-together", Must, PACKETS, apart("resend-coalesced"), Complete),
    case("framing/answers-in-pieces", Must, PACKETS, in_pieces("resend-pieces"), Complete),
    //
    case("recovery/late-answers", Must, SLOW, apart("resend-late"), Complete),
    case("recovery/unanswered-once", Should, AGAIN, apart("resend-once-unanswered"), Complete),
    case("recovery/one-answer-each", Should, AGAIN, apart("resend-one-each"), Complete),
    case("recovery/reset", Should, AGAIN, apart("resend-reset"), Complete),
    case("recovery/closed-inside", Should, AGAIN, apart("resend-closed-inside"), Complete),
    case("recovery/broken-answer", Should, AGAIN, apart("resend-broken"), Complete),
    case("recovery/answered-twice", Should, FIRST_COPY, apart("resend-twice"), Complete),
    case("recovery/other-packet", Should, SEQUENCE_SAYS, apart("resend-other"), Complete),
    //
    case("tail/last-dropped", Should, STREAM_AGAIN, apart("last-dropped"), Complete),
    case("tail/all-dropped", Should, STREAM_AGAIN, play("all-dropped"), Complete),
    case("tail/closed-early", Should, SHORT_STREAM, apart("closed-early"), Complete),
    case("tail/as-the-original", Should, STREAM_AGAIN, apart("quarter-and-last"), Complete),
    //
    case("robustness/stall", Must, SLOW, apart("stall"), Complete).with_double_timeout(),
    case("robustness/slow", Must, SLOW, play("slow"), Complete).with_double_timeout(),
    case("robustness/slow-start", Must, SLOW, apart("slow-start"), Complete).with_double_timeout(),
    case("robustness/late-end", Must, SLOW, apart("late-end"), Complete).with_double_timeout(),
    case("robustness/duplicates", Should, FIRST_COPY, apart("duplicates"), Complete),
    case("robustness/late-duplicates", Should, FIRST_COPY, apart("late-duplicates"), Complete),
    case("robustness/contradiction", Should, FIRST_COPY, apart("contradiction"), Complete),
    case("robustness/reorder", Should, FIRST_COPY, apart("reorder"), InOrder),
    case("robustness/closed-inside", Should, SHORT_STREAM, apart("closed-inside"), Complete),
    case("robustness/reset", Should, SHORT_STREAM, apart("reset-in-stream"), Complete),
    case("robustness/silent", Should, SHORT_STREAM, apart("silent"), Complete)
        .with_double_timeout(),
    case("robustness/broken-frame", Should, SKIP, apart("broken-frame"), Complete),
    case("robustness/odd-sequence", Should, SKIP, apart("odd-sequence"), Complete),
    case("robustness/deaf", Should, REACH, apart("deaf"), Complete).with_double_timeout(),
    case("robustness/refused", Should, REACH, apart("refused-at-first"), Complete),
    case("robustness/restart", Should, REACH, apart("restart"), Complete),
    //
    case("termination/nothing-missing", Must, NOTHING_MISSING, apart("clean"), Ends)
        .with_double_timeout(),
    case("termination/after-recovery", Must, END, apart("every-second").on("sample:15"), Ends)
        .with_double_timeout(),
    case("termination/open-connection", Must, CLOSE_RESENDS, apart("unknown-silent"), Ends)
        .with_double_timeout(),
    case("termination/silent", Should, END_OF_SILENCE, apart("silent"), EndsAnyhow)
        .with_double_timeout(),
    case("termination/exit-code", Should, EXIT_CODE, apart("one-gap"), EndsWithZero)
        .with_double_timeout(),
    case("termination/never-resent", Should, EXIT_CODE, apart("never-resent"), ReportsFailure)
        .with_double_timeout(),
    case("termination/exchange-dies", Should, EXIT_CODE, apart("dies"), ReportsFailure)
        .with_double_timeout(),
    Case {
        id: "termination/no-exchange",
        severity: Should,
        requirement: EXIT_CODE,
        exchange_setup: None,
        passes: ReportsFailure,
        timeout_factor: 2,
    },
    //
    case("conduct/original", Must, NOT_DEADLY, in_pieces("original"), Original),
    case(
        "conduct/whole-calls",
        Must,
        WHOLE_CALLS,
        apart("clean"),
        FollowsRule(ProtocolRule::HalfCall),
    ),
    case(
        "conduct/after-stream",
        Must,
        NOTHING_AFTER_STREAM,
        apart("one-gap"),
        FollowsRule(ProtocolRule::AfterStream),
    ),
    case(
        "conduct/beyond-end",
        Must,
        WITHIN,
        apart("every-second").on("sample:5"),
        FollowsRule(ProtocolRule::BeyondEnd),
    ),
    case("conduct/resets", Must, CLEAN_CLOSE, apart("burst"), FollowsRule(ProtocolRule::Resets)),
    case(
        "conduct/made-up",
        Must,
        NOTHING_MADE_UP,
        apart("never-resent"),
        FollowsRule(ProtocolRule::MakesUp),
    )
    .with_double_timeout(),
    case(
        "conduct/only-gaps",
        Should,
        ONCE,
        apart("every-second").on("sample:15"),
        FollowsRule(ProtocolRule::NotMissing),
    ),
    case("conduct/once", Should, ONCE, apart("quarter"), FollowsRule(ProtocolRule::Twice)),
    case(
        "conduct/one-connection",
        Should,
        ONE_CONNECTION,
        apart("every-second").on("sample:15"),
        FollowsRule(ProtocolRule::ConnectionEach),
    ),
    case(
        "conduct/storm",
        Should,
        NOT_OVER_AND_OVER,
        apart("never-resent"),
        FollowsRule(ProtocolRule::Storm),
    )
    .with_double_timeout(),
];
