//! Table of the cases in SoupBinTCP.

use crate::grade::cases::Severity::{self, Must, Should};
use crate::grade::cases::{Case, CaseSetup, PassCondition, ReadOrder, Requirement};
use crate::grade::feeds::conditions::FeedCondition::{
    self, Complete, Ends, EndsWithZero, NothingWrong, ReportsFailure, Soup,
};
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::feeds::soup::rules::SoupRule;

/// Tape of most cases: messages of several lengths.
const FEW: &str = "itch:14";

const fn at(section: &'static str, text: &'static str) -> Requirement {
    Requirement { page: "docs/soup.md", section, text, lesson: None }
}

const FRAMES: Requirement = at(
    "Packets",
    "Join packets that are cut between two reads, and split reads that hold several packets.",
);
const SKIP: Requirement =
    at("Packets", "Skip packets of other types by their length, and count only sequenced ones.");
const ANY_LENGTH: Requirement =
    at("Packets", "Take messages of any length, from 0 to 65,534 bytes.");
const NO_LENGTH: Requirement =
    at("Packets", "Close a connection on which a length of 0 arrives, and log in again.");
const LOGIN_FORM: Requirement = at(
    "Login",
    "Pad the fields of a login with spaces, texts on the right and numbers on the left.",
);
const LOGIN_FIRST: Requirement =
    at("Login", "Send the login request first, once a connection, and only packets of a client.");
const ACCEPTED: Requirement =
    at("Login", "Count messages from the sequence of the acceptance, not from the one requested.");
const REJECTED: Requirement =
    at("Login", "End with an error if user or password is wrong, and do not repeat such a login.");
const UNAVAILABLE: Requirement =
    at("Login", "Log in again, with pauses, while the session is not available.");
const LOGIN_WAIT: Requirement = at("Login", "Wait for the answer to a login, but not for ever.");
const ALL: Requirement = at("Messages", "Write every message of the session once, in order.");
const BEATS: Requirement =
    at("Heartbeats", "Send a heartbeat when nothing else was sent for a second.");
const PATIENCE: Requirement = at(
    "Heartbeats",
    "Keep a connection that has only heartbeats, and give one up on which nothing arrives.",
);
const RESUME: Requirement =
    at("Breaks", "Log in again after a break, in the same session and from the next message on.");
const OTHER_SESSION: Requirement = at("Breaks", "Never count messages of another session on.");
const END: Requirement =
    at("End", "End at the end of the session, and do not log in again behind it.");
const EXIT_CODE: Requirement = at(
    "End",
    "Report by the exit code whether the session is recorded up to its end: 0 only then.",
);

/// Returns a setup that plays a built-in scenario on a tape of few messages.
const fn play(scenario: &'static str) -> CaseSetup {
    CaseSetup {
        scenario,
        tape: Some(FEW),
        pace: None,
        reads: ReadOrder::Unordered,
        protocol: GradedProtocol::Soup,
        lines: 0,
    }
}

/// Returns a setup that lets each write arrive in a read of its own.
const fn in_pieces(scenario: &'static str) -> CaseSetup {
    CaseSetup { reads: ReadOrder::ReadBeforeWrite, ..play(scenario) }
}

/// Returns a setup that sends each message by itself. A client that takes each read for one packet
/// then still shows whether it can do the rest.
const fn apart(scenario: &'static str) -> CaseSetup {
    CaseSetup { pace: Some("100/s"), reads: ReadOrder::ReadEachPacket, ..play(scenario) }
}

/// Returns a setup that sends so few messages that both sides need heartbeats.
const fn slow(scenario: &'static str) -> CaseSetup {
    CaseSetup { pace: Some("4/s"), ..apart(scenario) }
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
    ("login/late", 2400),
    ("login/unanswered", 5500),
    ("login/unavailable", 5000),
    ("heartbeats/of-the-client", 3700),
    ("heartbeats/of-the-exchange", 2600),
    ("heartbeats/none", 5600),
    ("breaks/again-and-again", 5700),
    ("breaks/other-session", 5000),
    ("end/late", 1900),
    ("end/exchange-dies", 5000),
    ("conduct/legal-packets", 3700),
];

/// All cases, each group in one piece, simple groups first.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case("basics/complete-stream", Must, ALL, apart("clean"), Complete),
    case("basics/as-fast-as-possible", Must, FRAMES, play("clean"), Complete),
    case("basics/long-session", Must, ALL, play("clean").on("itch:2000"), Complete),
    case("basics/one-message", Must, ALL, apart("clean").on("itch:1"), Complete),

    case("login/form", Should, LOGIN_FORM, apart("clean"), Soup(SoupRule::LoginForm)),
    case("login/late", Must, LOGIN_WAIT, apart("soup-login-late"), Complete)
        .with_double_timeout(),
    case("login/unanswered", Should, LOGIN_WAIT, apart("soup-login-unanswered"), Complete)
        .with_double_timeout(),
    case("login/cut", Should, RESUME, apart("soup-login-cut"), Complete),
    case("login/refused-once", Should, UNAVAILABLE, apart("soup-refused-once"), Complete),
    case("login/not-authorized", Must, REJECTED, play("soup-not-authorized"), ReportsFailure),
    case("login/not-authorized-once", Should, REJECTED, play("soup-not-authorized"),
        Soup(SoupRule::FewLogins)),
    case("login/unavailable", Should, UNAVAILABLE, play("soup-session-unavailable"),
        Soup(SoupRule::FewLogins)),
    case("login/accepted-twice", Should, ACCEPTED, apart("soup-login-twice"), Complete),
    case("login/accepted-later", Must, ACCEPTED, apart("soup-accepted-later"), NothingWrong),

    case("framing/pairs", Must, FRAMES, in_pieces("pairs"), Complete),
    case("framing/one-write", Must, FRAMES, in_pieces("coalesced"), Complete),
    case("framing/odd-pieces", Must, FRAMES, in_pieces("odd-pieces"), Complete),
    case("framing/byte-by-byte", Must, FRAMES, in_pieces("byte-by-byte"), Complete),
    case("framing/large", Must, FRAMES, play("clean").on("itch:1000"), Complete),

    case("packets/debug", Must, SKIP, apart("soup-debug"), Complete),
    case("packets/unsequenced", Must, SKIP, apart("soup-unsequenced"), Complete),
    case("packets/empty-unsequenced", Must, SKIP, apart("soup-empty"), Complete),
    case("packets/unknown-types", Should, SKIP, apart("soup-unknown-types"), Complete),
    case("packets/largest", Should, ANY_LENGTH, apart("soup-largest"), Complete),
    case("packets/any-length", Should, ANY_LENGTH,
        CaseSetup { tape: None, ..play("soup-lengths") }, Complete),
    case("packets/no-length", Should, NO_LENGTH, apart("soup-no-length"), Complete),

    case("heartbeats/of-the-client", Must, BEATS, slow("clean"), Soup(SoupRule::Heartbeats)),
    case("heartbeats/of-the-exchange", Must, PATIENCE, 
        CaseSetup { tape: Some("itch:3"), pace: Some("16B/s"), ..apart("clean") }, Complete),
    case("heartbeats/none", Should, PATIENCE, apart("soup-no-heartbeats"), Complete)
        .with_double_timeout(),

    case("breaks/inside-a-packet", Must, RESUME, apart("soup-cut-in-length"), Complete),
    case("breaks/reset", Must, RESUME, apart("reset-in-stream"), Complete),
    case("breaks/again-and-again", Should, RESUME, apart("soup-flaky"), Complete)
        .with_double_timeout(),
    case("breaks/restart", Should, RESUME, apart("restart"), Complete),
    case("breaks/resume", Must, RESUME, apart("soup-cut-in-length"), Soup(SoupRule::Resume)),
    case("breaks/accepted-earlier", Must, ACCEPTED, apart("soup-accepted-earlier"), Complete),
    case("breaks/other-session", Should, OTHER_SESSION, apart("session-changes"), NothingWrong)
        .with_double_timeout(),

    case("end/of-the-session", Must, END, apart("clean"), Ends),
    case("end/late", Must, PATIENCE, apart("late-end"), Ends),
    case("end/exit-code", Should, EXIT_CODE, apart("clean"), EndsWithZero),
    case("end/no-login-behind", Should, END, apart("clean"), Soup(SoupRule::EndIsTheEnd)),
    case("end/exchange-dies", Should, EXIT_CODE, apart("dies"), ReportsFailure)
        .with_double_timeout(),

    case("conduct/legal-packets", Must, LOGIN_FIRST, slow("clean"), Soup(SoupRule::LegalPackets)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::run::exchange_host::resolve;
    use feed::wire::Protocol;
    use std::collections::BTreeSet;

    const PAGE: &str = include_str!("../../../../../../docs/soup.md");

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
            assert!(resolved.protocols().contains(Protocol::Soup), "{}", case.id);
            let tape = crate::grade::feeds::tape::CaseTape::open(setup.protocol, Some(&resolved));
            let crate::grade::feeds::tape::CaseTape::Messages(tape) = tape.unwrap() else {
                panic!("{}", case.id)
            };
            // Messages are found by their content, so that equal ones could hide a mistake.
            let is_unique =
                (1..=tape.last()).all(|seq| tape.places(tape.message(seq).unwrap()).len() == 1);
            assert!(is_unique || setup.scenario == "soup-lengths", "{}", case.id);
        }
    }
}
