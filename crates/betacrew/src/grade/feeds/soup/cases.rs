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
const SAME_USER: Requirement =
    at("Login", "Send the same user and the same password in each login.");
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

const LOGOUT: Requirement = at("End", "Do not log out before the end of the session.");

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
    Case::new(id, severity, requirement, exchange_setup, PassCondition::Feed(passes))
}

/// Cases that usually take longer than a second, with their usual time in milliseconds.
pub(crate) const LONGER: &[(&str, u64)] = &[
    ("login/late", 2400),
    ("login/unanswered", 5500),
    ("login/unavailable", 5000),
    ("login/never-available", 5000),
    ("heartbeats/of-the-client", 3700),
    ("heartbeats/of-the-exchange", 2600),
    ("heartbeats/none", 5600),
    ("breaks/again-and-again", 5700),
    ("breaks/other-session", 5000),
    ("breaks/session-replaced", 5000),
    ("end/late", 1900),
    ("end/exchange-dies", 5000),
    ("end/not-announced", 4500),
    ("conduct/legal-packets", 3700),
];

/// All cases, each group in one piece, simple groups first.
pub(crate) const CASES: &[Case] = &[
    case("basics/complete-stream", Must, ALL, apart("clean"), Complete).because(
        "A client that fails here fails everywhere; this case runs first, with each message \
             in a read of its own.",
    ),
    case("basics/as-fast-as-possible", Must, FRAMES, play("clean"), Complete)
        .because("On a fast network a read has many packets, or a part of one."),
    case("basics/long-session", Must, ALL, play("clean").on("itch:2000"), Complete).because(
        "Two thousand messages fill every buffer of a client, and show a fixed number of \
             messages.",
    ),
    case("basics/one-message", Must, ALL, apart("clean").on("itch:1"), Complete)
        .because("The shortest session: the end follows the first message."),
    //
    case("login/form", Should, LOGIN_FORM, apart("clean"), Soup(SoupRule::LoginForm)).because(
        "Exchanges that follow the specification by the letter reject a login whose fields \
             are padded otherwise.",
    ),
    case("login/late", Must, LOGIN_WAIT, apart("soup-login-late"), Complete)
        .with_double_timeout()
        .because("An exchange is busy at its opening, and answers a login after seconds."),
    case("login/unanswered", Should, LOGIN_WAIT, apart("soup-login-unanswered"), Complete)
        .with_double_timeout()
        .because(
            "A connection may be accepted by a machine whose exchange hangs; without a time limit \
             the client waits for ever.",
        ),
    case("login/cut", Should, RESUME, apart("soup-login-cut"), Complete).because(
        "A connection that ends before its login is answered says nothing about the user.",
    ),
    case("login/refused-once", Should, UNAVAILABLE, apart("soup-refused-once"), Complete)
        .because("A session is often not available yet when a client is started early."),
    case("login/not-authorized", Must, REJECTED, play("soup-not-authorized"), ReportsFailure)
        .because(
            "A wrong password stays wrong: the client must end, and say by its exit code that \
             nothing is recorded.",
        ),
    case(
        "login/not-authorized-once",
        Should,
        REJECTED,
        play("soup-not-authorized"),
        Soup(SoupRule::FewLogins),
    )
    .because("Exchanges lock users after some wrong passwords."),
    case(
        "login/unavailable",
        Should,
        UNAVAILABLE,
        play("soup-session-unavailable"),
        Soup(SoupRule::FewLogins),
    )
    .because("A client that logs in without a pause floods an exchange that is about to start."),
    case(
        "login/never-available",
        Should,
        EXIT_CODE,
        play("soup-session-unavailable"),
        ReportsFailure,
    )
    .with_double_timeout()
    .because("If the session never comes, something must tell whoever started the client."),
    case("login/accepted-twice", Should, ACCEPTED, apart("soup-login-twice"), Complete).because(
        "An acceptance that is repeated must not set the count of messages back or forward.",
    ),
    case("login/accepted-later", Must, ACCEPTED, apart("soup-accepted-later"), NothingWrong)
        .because(
            "Each message that is numbered from the request instead of the acceptance has a wrong \
             sequence.",
        ),
    //
    case("framing/pairs", Must, FRAMES, in_pieces("pairs"), Complete).because(
        "Two packets in one read are usual on a fast network, and rare on the machine of a \
             developer.",
    ),
    case("framing/one-write", Must, FRAMES, in_pieces("coalesced"), Complete)
        .because("Login, messages and end may all arrive in one read."),
    case("framing/odd-pieces", Must, FRAMES, in_pieces("odd-pieces"), Complete).because(
        "Reads of any length: half a length, a packet and a half, and everything between.",
    ),
    case("framing/byte-by-byte", Must, FRAMES, in_pieces("byte-by-byte"), Complete).because(
        "The smallest reads: a client passes only if it never relies on the length of a read.",
    ),
    case("framing/large", Must, FRAMES, play("clean").on("itch:1000"), Complete).because(
        "A stream that is larger than the buffer of a read is cut inside a packet, wherever \
             the buffer ends.",
    ),
    //
    case("packets/debug", Must, SKIP, apart("soup-debug"), Complete).because(
        "Exchanges send debug text at any time; counted as a message, it shifts all sequences \
             behind it.",
    ),
    case("packets/unsequenced", Must, SKIP, apart("soup-unsequenced"), Complete)
        .because("Unsequenced messages look like messages, and have no sequence."),
    case("packets/empty-unsequenced", Must, SKIP, apart("soup-empty"), Complete).because(
        "A packet without a payload has the shortest length, which is easily taken for none.",
    ),
    case("packets/unknown-types", Should, SKIP, apart("soup-unknown-types"), Complete)
        .because("Later versions add types; a client must live through them."),
    case("packets/largest", Should, ANY_LENGTH, apart("soup-largest"), Complete).because(
        "A length above 32,767 is negative in 16 bits with a sign, and larger than many \
             buffers.",
    ),
    case(
        "packets/any-length",
        Should,
        ANY_LENGTH,
        CaseSetup { tape: None, ..play("soup-lengths") },
        Complete,
    )
    .because("A message of no bytes has a sequence, too, and the longest one fills all 16 bits."),
    case("packets/no-length", Should, NO_LENGTH, apart("soup-no-length"), Complete)
        .because("No packet has a length of 0, so that the stream cannot be read any further."),
    //
    case("heartbeats/of-the-client", Must, BEATS, slow("clean"), Soup(SoupRule::Heartbeats))
        .because("Exchanges close the connection of a client that is silent for 15 seconds."),
    case(
        "heartbeats/of-the-exchange",
        Must,
        PATIENCE,
        CaseSetup { tape: Some("itch:3"), pace: Some("16B/s"), ..apart("clean") },
        Complete,
    )
    .because("A quiet market sends heartbeats only, for minutes."),
    case("heartbeats/none", Should, PATIENCE, apart("soup-no-heartbeats"), Complete)
        .with_double_timeout()
        .because(
            "A connection whose other end has vanished reports nothing; only missing heartbeats \
             show it.",
        ),
    //
    case("breaks/inside-a-packet", Must, RESUME, apart("soup-cut-in-length"), Complete).because(
        "A connection may end inside a packet; the half must be dropped, and its message \
             requested again.",
    ),
    case("breaks/reset", Must, RESUME, apart("reset-in-stream"), Complete).because(
        "A reset raises an error in most languages, which must cost one connection and not \
             the session.",
    ),
    case("breaks/again-and-again", Should, RESUME, apart("soup-flaky"), Complete)
        .with_double_timeout()
        .because(
            "A client that survives one break may still count its tries, or its messages, wrongly \
             at the second.",
        ),
    case("breaks/restart", Should, RESUME, apart("restart"), Complete)
        .because("While an exchange restarts, it refuses connections for a while."),
    case("breaks/resume", Must, RESUME, apart("soup-cut-in-length"), Soup(SoupRule::Resume))
        .because(
            "A login from message 1 repeats a whole day, and a login without a session may be for \
             the next day.",
        ),
    case(
        "breaks/same-user",
        Must,
        SAME_USER,
        apart("soup-cut-in-length"),
        Soup(SoupRule::SameUser),
    )
    .because(
        "A second login is often other code than the first, and an exchange rejects it if it \
             lacks the password.",
    ),
    case("breaks/accepted-earlier", Must, ACCEPTED, apart("soup-accepted-earlier"), Complete)
        .because("Messages that the client has already arrive again, under their own sequences."),
    case("breaks/other-session", Should, OTHER_SESSION, apart("session-changes"), NothingWrong)
        .with_double_timeout()
        .because(
            "Message 7 of another session is another message; numbered on, it spoils the \
             recording unnoticed.",
        ),
    case("breaks/session-replaced", Should, EXIT_CODE, apart("session-changes"), ReportsFailure)
        .with_double_timeout()
        .because(
            "If the exchange has gone on to another session, the rest of the first one never \
             comes.",
        ),
    //
    case("end/of-the-session", Must, END, apart("clean"), Ends)
        .because("Whatever waits for the end of the day must get it."),
    case("end/late", Must, PATIENCE, apart("late-end"), Ends)
        .because("A market is quiet at its close; only the announcement ends a session."),
    case("end/exit-code", Should, EXIT_CODE, apart("clean"), EndsWithZero)
        .because("Scripts read the exit code, so success must be 0."),
    case("end/no-login-behind", Should, END, apart("clean"), Soup(SoupRule::EndIsTheEnd)).because(
        "A client that logs in again after the end records nothing, and may get the next \
             session.",
    ),
    case("end/exchange-dies", Should, EXIT_CODE, apart("dies"), ReportsFailure)
        .with_double_timeout()
        .because(
            "If the exchange is gone, the client must end, and say by its exit code that messages \
             are missing.",
        ),
    case("end/not-announced", Should, EXIT_CODE, apart("reset-each-end"), ReportsFailure)
        .with_double_timeout()
        .because(
            "A connection that ends without the announcement may hide further messages, so that \
             this is no success.",
        ),
    //
    case("conduct/legal-packets", Must, LOGIN_FIRST, slow("clean"), Soup(SoupRule::LegalPackets))
        .because(
            "Exchanges cut off a client that sends packets of an exchange, or a second login.",
        ),
    case("conduct/logout", Should, LOGOUT, apart("clean"), Soup(SoupRule::Logout)).because(
        "A client that logs out early misses the rest, and an exchange reads nothing behind a \
             logout request.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::feeds::testing;

    const PAGE: &str = include_str!("../../../../../../docs/soup.md");

    #[test]
    fn every_requirement_is_a_sentence_of_the_page() {
        testing::assert_requirements(PAGE, CASES);
    }

    #[test]
    fn every_scenario_can_be_played() {
        testing::assert_playable(CASES);
    }

    #[test]
    fn every_case_has_a_reason_of_its_own() {
        testing::assert_reasons(CASES);
    }
}
