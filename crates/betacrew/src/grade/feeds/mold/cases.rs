//! Table of the cases in MoldUDP64.

use crate::grade::cases::Severity::{self, Must, Should};
use crate::grade::cases::{Case, CaseSetup, PassCondition, ReadOrder, Requirement};
use crate::grade::feeds::conditions::FeedCondition::{
    self, AnyOrder, Complete, Ends, EndsWithZero, Mold, NothingWrong, ReportsFailure,
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

const DEAD: Requirement = at(
    "End",
    "Give up when nothing arrives any more, not even heartbeats, and report what is missing.",
);

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
    Case::new(id, severity, requirement, exchange_setup, PassCondition::Feed(passes))
}

/// Cases that usually take longer than a second, with their usual time in milliseconds.
pub(crate) const LONGER: &[(&str, u64)] = &[
    ("basics/heartbeats", 4500),
    ("requests/storm", 5000),
    ("tail/by-heartbeat", 3500),
    ("tail/late-end", 3500),
    ("robustness/session-changes", 6000),
    ("robustness/weather", 2000),
    ("end/silence", 4500),
    ("end/never-answered", 5000),
    ("end/line-dies", 5500),
    ("end/session-changes", 6000),
];

/// All cases, each group in one piece, simple groups first.
pub(crate) const CASES: &[Case] = &[
    case("basics/one-a-datagram", Must, COUNT, few("clean"), AnyOrder).because(
        "A client that fails here fails everywhere: nothing is missing, and each datagram has \
             one message.",
    ),
    case("basics/many-a-datagram", Must, COUNT, play("clean"), AnyOrder).because(
        "Exchanges put as many messages into a datagram as fit; only the first one's sequence \
             is in it.",
    ),
    case("basics/one-message", Must, COUNT, few("clean").on("itch:1"), AnyOrder)
        .because("The shortest session: the end follows the first message."),
    case("basics/heartbeats", Must, NO_MESSAGES, slow("clean"), AnyOrder).because(
        "A datagram without messages has the length of a header, and its sequence is of the \
             next message.",
    ),
    //
    case("gaps/one", Must, GAPS, few("one-gap"), AnyOrder)
        .because("The simplest recovery: one gap, one request, one answer."),
    case("gaps/first", Must, FIRST, few("first-dropped"), AnyOrder).because(
        "A client that compares each datagram with the one before has none to compare the \
             first one with.",
    ),
    case("gaps/burst", Must, GAPS, few("burst"), AnyOrder)
        .because("Networks drop datagrams in bursts, so that a gap has several messages."),
    case("gaps/every-second", Must, GAPS, few("every-second"), AnyOrder).because(
        "Many small gaps take many requests; a client that keeps one gap only misses the \
             others.",
    ),
    case("gaps/in-many-datagrams", Must, GAPS, play("mold-sizes"), AnyOrder)
        .because("The sizes of datagrams change all the time, so that gaps have any size."),
    case("gaps/in-one-datagram", Must, COUNT, play("one-gap"), AnyOrder)
        .because("One dropped datagram is a gap of as many messages as it had."),
    case("gaps/long", Must, PIECES, play("mold-both-lines"), AnyOrder)
        .because("A gap of two hundred messages does not fit into one answer."),
    case("gaps/left-out", Must, GAPS, play("mold-messages-left-out"), AnyOrder).because(
        "A line may skip messages between two whole datagrams; only the sequences show it.",
    ),
    //
    case("requests/partial-answers", Must, PIECES, play("mold-requests-partial"), AnyOrder)
        .because("An answer is one datagram, however many messages were requested."),
    case("requests/unanswered-once", Must, AGAIN, few("resend-once-unanswered"), AnyOrder)
        .because("Requests are datagrams, too, and get lost on their way."),
    case("requests/late-answers", Must, AGAIN, few("resend-late"), AnyOrder).because(
        "A client that gives up too early, or writes at once, passes only while the server is \
             fast.",
    ),
    case("requests/answered-twice", Must, ONCE, few("resend-twice"), AnyOrder).because(
        "Two requests for a message have two answers, and the second one must not become a \
             row.",
    ),
    case("requests/wrong-answers", Should, AGAIN, play("mold-requests-wrong"), AnyOrder)
        .with_double_timeout()
        .because(
            "A client that trusts its request takes other messages, or damaged ones, for the \
             answer.",
        ),
    case("requests/legal", Must, LEGAL, play("mold-sizes"), Mold(MoldRule::LegalRequests))
        .because("A server ignores a malformed request without a word, so that the gap stays."),
    case("requests/only-missing", Should, LEGAL, few("every-second"), Mold(MoldRule::OnlyMissing))
        .because(
            "Requests for messages that the client has take the server's time from clients that \
             lack some.",
        ),
    case("requests/storm", Should, SPARING, few("never-resent"), Mold(MoldRule::NoStorm)).because(
        "Servers limit the requests of a client; one that repeats them without a pause gets \
             no answer at all.",
    ),
    //
    case("tail/dropped", Must, TAIL, few("tail-dropped"), AnyOrder).because(
        "No message follows the last one, so that nothing but a heartbeat or the end shows \
             its gap.",
    ),
    case("tail/and-others", Must, TAIL, few("every-second"), AnyOrder)
        .because("The tail may be missing together with much before it."),
    case(
        "tail/by-heartbeat",
        Should,
        TAIL,
        play("mold-tail-and-end"),
        Mold(MoldRule::TailByHeartbeat),
    )
    .because("A heartbeat shows a missing tail seconds or hours before the session ends."),
    case("tail/late-end", Must, TAIL, play("mold-tail-and-end"), AnyOrder)
        .because("A silent line with a missing tail looks like a session that is over."),
    //
    case("robustness/duplicates", Must, ONCE, few("duplicates"), AnyOrder).because(
        "Networks repeat datagrams; a message that counts twice is worse than a missing one, \
             because nothing shows it.",
    ),
    case("robustness/late-duplicates", Must, ONCE, few("late-duplicates"), AnyOrder)
        .because("A copy may arrive when its message is long stored, or was just requested."),
    case("robustness/reorder", Must, ONCE, few("reorder"), AnyOrder)
        .because("Datagrams overtake each other; a late one is neither a copy nor an error."),
    case("robustness/order", Must, ORDER, few("reorder"), Complete).because(
        "Readers of the output expect the order of the sequences, whatever the order of \
             arrival.",
    ),
    case("robustness/recovered-in-order", Must, ORDER, few("every-second"), Complete)
        .because("Requested messages arrive last, and belong in the middle."),
    case("robustness/goes-back", Should, ONCE, play("mold-sequence-back"), AnyOrder).because(
        "A line that repeats old messages must neither set the count back nor fill the output \
             with copies.",
    ),
    case("robustness/other-session", Must, SESSION, play("mold-other-session"), AnyOrder).because(
        "Several sessions may share a port; their datagrams are no gap, and what they hide \
             must be requested.",
    ),
    case(
        "robustness/only-this-session",
        Must,
        SESSION,
        play("mold-other-session"),
        Mold(MoldRule::OtherSession),
    )
    .because(
        "Messages of another session under the sequences of this one spoil the recording \
             unnoticed.",
    ),
    case("robustness/session-changes", Must, SESSION, play("mold-session-changes"), NothingWrong)
        .with_double_timeout()
        .because(
            "The next day may begin on the line before this one has ended; its sequences start at \
             1 again.",
        ),
    case("robustness/cut-short", Should, DAMAGED, play("mold-cut-short"), AnyOrder).because(
        "A datagram may be cut by a buffer that is too small; a read beyond its end crashes \
             or makes messages up.",
    ),
    case("robustness/count-too-high", Should, DAMAGED, play("mold-count-too-high"), AnyOrder)
        .because(
            "A count that is believed before it is checked leads behind the end of the datagram.",
        ),
    case("robustness/length-too-high", Should, DAMAGED, play("mold-length-too-high"), AnyOrder)
        .because(
            "A length that is believed before it is checked leads behind the end of the datagram.",
        ),
    case("robustness/garbage", Should, DAMAGED, play("mold-garbage"), AnyOrder)
        .because("Anybody can send datagrams to a port, with anything in them."),
    case("robustness/odd-sequence", Should, DAMAGED, play("mold-odd-sequence"), AnyOrder)
        .with_double_timeout()
        .because(
            "A sequence that cannot be, used as a bound, makes a client request without an end.",
        ),
    case("robustness/weather", Should, AGAIN, play("mold-weather").on("itch:2000"), AnyOrder)
        .with_double_timeout()
        .because("A bad network has all of it at once."),
    //
    case("lines/one-drops", Must, LINES, two_lines("mold-one-line"), AnyOrder)
        .because("A second line is there so that nothing has to be requested."),
    case("lines/both-drop", Must, LINES, two_lines("mold-both-lines"), AnyOrder)
        .because("Lines on one network drop the same datagrams at times."),
    case("lines/one-server-silent", Should, LINES, two_lines("mold-requests-silent"), AnyOrder)
        .with_double_timeout()
        .because("A server may be down while the other one answers."),
    //
    case("end/of-the-session", Must, END, few("clean"), Ends)
        .because("Whatever waits for the end of the day must get it."),
    case("end/after-recovery", Must, END, few("every-second"), Ends)
        .because("After the last answer something must end the wait."),
    case("end/silence", Must, SILENCE, slow("clean"), Ends).because(
        "A quiet market sends heartbeats only; a client that ends then misses the rest of the \
             day.",
    ),
    case("end/inside", Should, INSIDE, play("mold-end-inside"), AnyOrder)
        .because("An announcement may be wrong, or of a break; messages behind it disprove it."),
    case("end/exit-code", Should, EXIT_CODE, few("one-gap"), EndsWithZero)
        .because("Scripts read the exit code, so success must be 0."),
    case("end/never-answered", Should, EXIT_CODE, few("never-resent"), ReportsFailure)
        .with_double_timeout()
        .because(
            "A message that cannot be recovered must be reported, neither waited for nor made up.",
        ),
    case("end/line-dies", Should, DEAD, few("dies"), ReportsFailure).with_double_timeout().because(
        "A line whose exchange has vanished reports nothing; only missing heartbeats show it.",
    ),
    case("end/session-changes", Should, EXIT_CODE, play("mold-session-changes"), ReportsFailure)
        .with_double_timeout()
        .because(
            "If the line has gone on to another session, the rest of the first one never comes.",
        ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::feeds::testing;

    const PAGE: &str = include_str!("../../../../../../docs/mold.md");

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
