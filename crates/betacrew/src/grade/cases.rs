//! Cases of the grader: what a client must do, where `docs/protocol.md` says so, and which scenario
//! checks it.

mod requirement;
mod table;
mod usual_time;

use crate::grade::example::Lesson;
use crate::grade::feeds::conditions::FeedCondition;
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::run::exchange_host;

pub(crate) use table::CASES;

/// Name of the scenario in which the original exchange plays.
const ORIGINAL: &str = "original";

/// Importance of a case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Severity {
    /// Required: a client that fails the case misses packets, does not end or harms the exchange.
    Must,
    /// Recommended: a client that fails the case is less robust or less polite than it could be.
    Should,
}

impl Severity {
    /// Returns the severity as the reports write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
        }
    }
}

/// Sentence of a protocol's description that a client must fulfil.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Requirement {
    /// Page that describes the protocol, such as "docs/protocol.md".
    pub(crate) page: &'static str,
    /// Number of the section that holds the sentence, such as "1.5.2", or its title.
    pub(crate) section: &'static str,
    /// Sentence, word for word.
    pub(crate) text: &'static str,
    /// Part of the example clients that fulfils it; `None` in protocols whose examples have no
    /// parts.
    pub(crate) lesson: Option<Lesson>,
}

/// Scenario, tape and pace that the exchange of a case plays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CaseSetup {
    /// Name of a built-in scenario.
    pub(crate) scenario: &'static str,
    /// Name of a tape that replaces the scenario's, if any.
    pub(crate) tape: Option<&'static str>,
    /// Pace that replaces the scenario's, if any.
    pub(crate) pace: Option<&'static str>,
    /// Order of writes and reads.
    pub(crate) reads: ReadOrder,
    /// Protocol of the exchange.
    pub(crate) protocol: GradedProtocol,
    /// Number of lines in MoldUDP64; other protocols have none.
    pub(crate) lines: usize,
}

/// Order of the exchange's writes and the client's reads. A client that takes each read for one
/// packet fails in another way if two writes arrive in one read, which depends on how busy the
/// machine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadOrder {
    /// Writes do not wait, so that one read can have several.
    Unordered,
    /// Each write waits until the client has read the one before, so that each arrives in a read
    /// of its own.
    ReadBeforeWrite,
    /// Each write waits as well, and has all bytes up to the next pause of the exchange, so that
    /// the end of a cut packet arrives in one read with the packets behind it.
    ReadBetweenPauses,
    /// Each write waits as well, and has one packet of SoupBinTCP at most.
    ReadEachPacket,
}

impl Requirement {
    /// Returns where the sentence stands, such as "docs/protocol.md, 1.5.2".
    pub(crate) fn place(&self) -> String {
        format!("{}, {}", self.page, self.section)
    }
}

impl CaseSetup {
    /// Replaces the scenario's tape.
    pub(crate) const fn on(self, tape: &'static str) -> Self {
        Self { tape: Some(tape), ..self }
    }

    /// Returns the seed that the exchange plays if the user has chosen `seed`.
    pub(crate) fn seed(&self, seed: u64) -> u64 {
        if self.scenario == ORIGINAL { exchange_host::seed_with_gap(seed) } else { seed }
    }

    /// Returns the `betacrew serve` command that plays this setup on `port`.
    pub(crate) fn serve_command(&self, seed: u64, port: u16) -> String {
        let mut command = format!("betacrew serve --scenario {}", self.scenario);
        for (flag, value) in [("tape", self.tape), ("pace", self.pace)] {
            if let Some(value) = value {
                command += &format!(" --{flag} {value}");
            }
        }
        command += &format!(" --seed {}", self.seed(seed));
        command + &self.protocol.listen_flags(port, self.lines)
    }
}

/// Condition under which a client passes a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PassCondition {
    /// The output has every packet of the tape once, and nothing else.
    Complete,
    /// The client ends by itself and writes no packet, because the tape has none.
    Empty,
    /// `Complete`, and the packets are in the order of their sequences.
    InOrder,
    /// `Complete`, and the client ends by itself.
    Ends,
    /// The client ends by itself, whatever its output has.
    EndsAnyhow,
    /// `Complete`, and the client ends by itself with exit code 0.
    EndsWithZero,
    /// The client ends by itself with another exit code than 0, and writes no packet that is not on
    /// the tape.
    ReportsFailure,
    /// The original exchange is still alive, and the output has every packet up to the highest one
    /// that it has sent, once.
    Original,
    /// The client does not break this rule of the protocol.
    FollowsRule(crate::grade::judge::protocol_rules::ProtocolRule),
    /// Condition of a case in another protocol than the exercise's.
    Feed(FeedCondition),
}

impl PassCondition {
    /// Returns the condition as a sentence for `--explain`.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Complete => "the output has every packet of the tape once, and nothing else",
            Self::Empty => "the client ends by itself, and its output has no packets",
            Self::InOrder => "the output has every packet of the tape once, in order",
            Self::Ends => "the output is complete, and the client ends by itself",
            Self::EndsAnyhow => "the client ends by itself",
            Self::EndsWithZero => "the output is complete, and the client ends with exit code 0",
            Self::ReportsFailure => {
                "the client ends by itself with another exit code than 0, and its output has no \
                 made-up packets"
            }
            Self::Original => {
                "the exchange is still alive, and the output has every packet up to the highest \
                 one sent, once"
            }
            Self::FollowsRule(rule) => rule.expected(),
            Self::Feed(condition) => condition.sentence(),
        }
    }
}

/// Case of the grader: one scenario and one condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Group and name, separated by a slash. An id never changes its meaning, because reports of
    /// different versions are compared by it.
    pub(crate) id: &'static str,
    /// Importance of the case, which `--strict` overrides.
    pub(crate) severity: Severity,
    /// Sentence of the protocol that the case checks.
    pub(crate) requirement: Requirement,
    /// Scenario that the exchange plays; `None` if no exchange runs.
    pub(crate) exchange_setup: Option<CaseSetup>,
    /// Condition under which the client passes.
    pub(crate) passes: PassCondition,
    /// Factor by which `--timeout` is multiplied. Cases with a slow or silent exchange have 2,
    /// because a client is right to wait for it.
    pub(crate) timeout_factor: u32,
    /// Reason for the case: the mistake that it finds, or the event that it stands for.
    pub(crate) why: &'static str,
}

impl Case {
    /// Returns a case with the normal time limit.
    pub(crate) const fn new(
        id: &'static str,
        severity: Severity,
        requirement: Requirement,
        exchange_setup: CaseSetup,
        passes: PassCondition,
    ) -> Self {
        let exchange_setup = Some(exchange_setup);
        Self { id, severity, requirement, exchange_setup, passes, timeout_factor: 1, why: "" }
    }

    /// Doubles the time limit, for cases in which a client is right to wait.
    pub(crate) const fn with_double_timeout(self) -> Self {
        Self { timeout_factor: 2, ..self }
    }

    /// Gives the reason for the case.
    pub(crate) const fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// Returns whether the case is about the end of the client, so that a client that lingers must
    /// be left alone until the time limit.
    pub(crate) fn is_about_the_end(&self) -> bool {
        match self.passes {
            PassCondition::Ends
            | PassCondition::EndsAnyhow
            | PassCondition::EndsWithZero
            | PassCondition::ReportsFailure
            | PassCondition::Empty => true,
            PassCondition::Feed(condition) => condition.is_about_the_end(),
            PassCondition::Complete
            | PassCondition::InOrder
            | PassCondition::Original
            | PassCondition::FollowsRule(_) => false,
        }
    }

    /// Returns the part of the id before the slash.
    pub(crate) fn group(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(group, _)| group)
    }

    /// Returns the part of the id after the slash.
    pub(crate) fn name(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(_, name)| name)
    }

    /// Returns the order of writes and reads.
    pub(crate) fn read_order(&self) -> ReadOrder {
        self.exchange_setup.map_or(ReadOrder::Unordered, |setup| setup.reads)
    }

    /// Returns the description of the scenario, in one line.
    pub(crate) fn about(&self) -> String {
        let Some(exchange_setup) = self.exchange_setup else {
            return "No exchange runs".to_owned();
        };
        let about = crate::scenario::open(exchange_setup.scenario).map(|resolved| resolved.about);
        let about = about.unwrap_or_default();
        match exchange_setup.tape {
            Some(tape) => format!("{about} (tape {tape})"),
            None => about,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");

    #[test]
    fn every_requirement_is_a_sentence_of_the_protocol_s_description() {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for case in CASES {
            let Requirement { section, text, .. } = case.requirement;
            let heading = format!("#### {section} ");
            let (_, after) = PROTOCOL.split_once(&heading).unwrap_or_else(|| panic!("{section}"));
            let part = after.split("\n#").next().unwrap_or_default();
            assert!(plain(part).contains(&format!("* {text}")), "{}: {section} {text}", case.id);
        }
    }

    #[test]
    fn every_requirement_is_checked() {
        let (_, after) = PROTOCOL.split_once("### 1.5 ").unwrap();
        let section = after.split("\n### ").next().unwrap().replace("\n  ", " ");
        let sentences = section.lines().filter_map(|line| line.strip_prefix("* "));
        let sentences = sentences.map(|line| line.trim_end_matches(" (*should*)"));
        let checked: BTreeSet<&str> = CASES.iter().map(|case| case.requirement.text).collect();
        let unchecked: Vec<&str> =
            sentences.filter(|sentence| !checked.contains(sentence)).collect();
        assert_eq!(unchecked, [""; 0]);
    }

    #[test]
    fn ids_are_unique_and_groups_are_contiguous() {
        let ids: BTreeSet<&str> = CASES.iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), CASES.len());
        assert!(ids.iter().all(|id| id.split('/').count() == 2));
        let mut groups: Vec<&str> = CASES.iter().map(Case::group).collect();
        groups.dedup();
        let all = ["basics", "gaps", "framing", "recovery", "tail", "robustness", "termination"];
        assert_eq!(groups, [&all[..], &["conduct"]].concat(), "each group in one piece");
        assert!(CASES.iter().all(|case| !case.about().is_empty()));
    }

    #[test]
    fn every_case_has_a_reason_of_its_own() {
        let reasons: BTreeSet<&str> = CASES.iter().map(|case| case.why).collect();
        assert_eq!(reasons.len(), CASES.len());
        let is_sentence = |why: &&str| why.ends_with('.') && why.starts_with(char::is_uppercase);
        assert!(reasons.iter().all(is_sentence), "{reasons:?}");
    }
}
