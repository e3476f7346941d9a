//! Table of the cases in MoldUDP64.

use crate::grade::cases::Severity::{self, Must, Should};
use crate::grade::cases::{Case, CaseSetup, PassCondition, ReadOrder, Requirement};
use crate::grade::feeds::conditions::FeedCondition::{
    self, AnyOrder, Complete, Ends, EndsWithZero, Mold, ReportsFailure,
};
use crate::grade::feeds::mold::rules::MoldRule;
use crate::grade::feeds::protocol::GradedProtocol;

const fn at(section: &'static str, text: &'static str) -> Requirement {
    Requirement { page: "docs/mold.md", section, text, lesson: None }
}

const COUNT: Requirement = at(
    "Datagrams",
    "Take every message of a datagram: the first has its sequence, each further one the next.",
);
const NO_MESSAGES: Requirement = at(
    "Datagrams",
    "Take a count of 0 for a heartbeat and one of 65,535 for the end, not for messages.",
);
const SESSION: Requirement = at("Datagrams", "Ignore datagrams of other sessions.");
const DAMAGED: Requirement = at(
    "Datagrams",
    "Ignore datagrams that are cut short or that their count or lengths do not fit.",
);
const GAPS: Requirement = at(
    "Gaps",
    "Treat a sequence that is higher than expected as a gap, and request the messages in it.",
);
const FIRST: Requirement =
    at("Gaps", "Expect message 1 first: what comes before the first datagram is a gap, too.");
const PIECES: Requirement = at(
    "Gaps",
    "Request the rest if an answer has fewer messages than requested: it is one datagram.",
);
const AGAIN: Requirement =
    at("Gaps", "Repeat a request that is not answered in time: datagrams get lost.");
const TAIL: Requirement = at(
    "Gaps",
    "Notice by a heartbeat, and by the end of the session, that the last messages are missing.",
);
const LEGAL: Requirement =
    at("Gaps", "Request only missing messages of this session, one of them at least.");
const SPARING: Requirement = at("Gaps", "Do not repeat requests over and over.");
const ONCE: Requirement =
    at("Messages", "Write every message once, however often and in whichever order it arrives.");
const ORDER: Requirement = at("Messages", "Write messages in the order of their sequences.");
const LINES: Requirement = at(
    "Messages",
    "Take each message from whichever line has it, and request what all lines lack.",
);
const SILENCE: Requirement = at("End", "Wait in silence: only the end of the session ends it.");
const END: Requirement =
    at("End", "End at the end of the session, once every message is there or given up.");
const INSIDE: Requirement = at("End", "Go on if messages follow the end of the session.");
const EXIT_CODE: Requirement =
    at("End", "Report by the exit code whether every message is recorded: 0 only then.");

/// Returns a setup that plays a built-in scenario on a tape of 600 messages, ten a datagram.
const fn play(scenario: &'static str) -> CaseSetup {
    CaseSetup {
        scenario,
        tape: Some("itch:600"),
        pace: Some("2000/s"),
        reads: ReadOrder::Unordered,
        protocol: GradedProtocol::Mold,
        lines: 1,
    }
}

/// Returns a setup of few messages, a datagram each.
const fn few(scenario: &'static str) -> CaseSetup {
    CaseSetup { tape: Some("itch:30"), pace: Some("100/s"), ..play(scenario) }
}

/// Returns a setup of three messages with heartbeats between them.
const fn slow(scenario: &'static str) -> CaseSetup {
    CaseSetup { tape: Some("itch:3"), pace: Some("16B/s"), ..play(scenario) }
}

/// Returns a setup with two lines.
const fn two_lines(scenario: &'static str) -> CaseSetup {
    CaseSetup { lines: 2, ..play(scenario) }
}

const fn case(
    id: &'static str,
    severity: Severity,
    requirement: Requirement,
    exchange_setup: CaseSetup,
    passes: FeedCondition,
) -> Case {
    Case {
        id,
        severity,
        requirement,
        exchange_setup: Some(exchange_setup),
        passes: PassCondition::Feed(passes),
        timeout_factor: 1,
        why: "",
    }
}

/// Cases that usually take longer than a second, with their usual time in milliseconds.
pub(crate) const LONGER: &[(&str, u64)] = &[
    ("basics/heartbeats", 4500),
    ("requests/storm", 5000),
    ("tail/by-heartbeat", 3500),
    ("tail/late-end", 3500),
    ("robustness/weather", 2000),
    ("end/silence", 4500),
    ("end/never-answered", 5000),
];

/// All cases, each group in one piece, simple groups first.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case("basics/one-a-datagram", Must, COUNT, few("clean"), AnyOrder),
    case("basics/many-a-datagram", Must, COUNT, play("clean"), AnyOrder),
    case("basics/one-message", Must, COUNT, few("clean").on("itch:1"), AnyOrder),
    case("basics/heartbeats", Must, NO_MESSAGES, slow("clean"), AnyOrder),

    case("gaps/one", Must, GAPS, few("one-gap"), AnyOrder),
    case("gaps/first", Must, FIRST, few("first-dropped"), AnyOrder),
    case("gaps/burst", Must, GAPS, few("burst"), AnyOrder),
    case("gaps/every-second", Must, GAPS, few("every-second"), AnyOrder),
    case("gaps/in-many-datagrams", Must, GAPS, play("mold-sizes"), AnyOrder),
    case("gaps/in-one-datagram", Must, COUNT, play("one-gap"), AnyOrder),
    case("gaps/long", Must, PIECES, play("mold-both-lines"), AnyOrder),
    case("gaps/left-out", Must, GAPS, play("mold-messages-left-out"), AnyOrder),

    case("requests/partial-answers", Must, PIECES, play("mold-requests-partial"), AnyOrder),
    case("requests/unanswered-once", Must, AGAIN, few("resend-once-unanswered"), AnyOrder),
    case("requests/late-answers", Must, AGAIN, few("resend-late"), AnyOrder),
    case("requests/answered-twice", Must, ONCE, few("resend-twice"), AnyOrder),
    case("requests/wrong-answers", Should, AGAIN, play("mold-requests-wrong"), AnyOrder)
        .with_double_timeout(),
    case("requests/legal", Must, LEGAL, play("mold-sizes"), Mold(MoldRule::LegalRequests)),
    case("requests/only-missing", Should, LEGAL, few("every-second"), Mold(MoldRule::OnlyMissing)),
    case("requests/storm", Should, SPARING, few("never-resent"), Mold(MoldRule::NoStorm)),

    case("tail/dropped", Must, TAIL, few("tail-dropped"), AnyOrder),
    case("tail/and-others", Must, TAIL, few("every-second"), AnyOrder),
    case("tail/by-heartbeat", Should, TAIL, play("mold-tail-and-end"),
        Mold(MoldRule::TailByHeartbeat)),
    case("tail/late-end", Must, TAIL, play("mold-tail-and-end"), AnyOrder),

    case("robustness/duplicates", Must, ONCE, few("duplicates"), AnyOrder),
    case("robustness/late-duplicates", Must, ONCE, few("late-duplicates"), AnyOrder),
    case("robustness/reorder", Must, ONCE, few("reorder"), AnyOrder),
    case("robustness/order", Must, ORDER, few("reorder"), Complete),
    case("robustness/recovered-in-order", Must, ORDER, few("every-second"), Complete),
    case("robustness/goes-back", Should, ONCE, play("mold-sequence-back"), AnyOrder),
    case("robustness/other-session", Must, SESSION, play("mold-other-session"), AnyOrder),
    case("robustness/only-this-session", Must, SESSION, play("mold-other-session"),
        Mold(MoldRule::OtherSession)),
    case("robustness/cut-short", Should, DAMAGED, play("mold-cut-short"), AnyOrder),
    case("robustness/count-too-high", Should, DAMAGED, play("mold-count-too-high"), AnyOrder),
    case("robustness/length-too-high", Should, DAMAGED, play("mold-length-too-high"), AnyOrder),
    case("robustness/garbage", Should, DAMAGED, play("mold-garbage"), AnyOrder),
    case("robustness/odd-sequence", Should, DAMAGED, play("mold-odd-sequence"), AnyOrder)
        .with_double_timeout(),
    case("robustness/weather", Should, AGAIN, play("mold-weather").on("itch:2000"), AnyOrder)
        .with_double_timeout(),

    case("lines/one-drops", Must, LINES, two_lines("mold-one-line"), AnyOrder),
    case("lines/both-drop", Must, LINES, two_lines("mold-both-lines"), AnyOrder),
    case("lines/one-server-silent", Should, LINES, two_lines("mold-requests-silent"), AnyOrder)
        .with_double_timeout(),

    case("end/of-the-session", Must, END, few("clean"), Ends),
    case("end/after-recovery", Must, END, few("every-second"), Ends),
    case("end/silence", Must, SILENCE, slow("clean"), Ends),
    case("end/inside", Should, INSIDE, play("mold-end-inside"), AnyOrder),
    case("end/exit-code", Should, EXIT_CODE, few("one-gap"), EndsWithZero),
    case("end/never-answered", Should, EXIT_CODE, few("never-resent"), ReportsFailure)
        .with_double_timeout(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::feeds::tape::CaseTape;
    use crate::grade::run::exchange_host::resolve;
    use feed::wire::Protocol;
    use std::collections::BTreeSet;

    const PAGE: &str = include_str!("../../../../../../docs/mold.md");

    #[test]
    fn every_requirement_is_a_sentence_of_the_page() {
        crate::grade::feeds::testing::assert_requirements(PAGE, CASES);
    }

    #[test]
    fn every_scenario_can_be_played() {
        let ids: BTreeSet<&str> = CASES.iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), CASES.len());
        for case in CASES {
            let setup = case.exchange_setup.unwrap();
            let resolved = resolve(&setup, 1).unwrap();
            assert!(resolved.protocols().contains(Protocol::Mold), "{}", case.id);
            let tape = CaseTape::open(setup.protocol, Some(&resolved)).unwrap();
            let CaseTape::Messages(tape) = tape else { panic!("{}", case.id) };
            let is_unique =
                (1..=tape.last()).all(|seq| tape.places(tape.message(seq).unwrap()).len() == 1);
            assert!(is_unique, "{}", case.id);
        }
    }
}
