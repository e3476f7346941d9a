//! The cases: what is asked of a client, where that is written, and how it is tried.

mod requirement;
mod table;

use crate::args::address::PORT;

pub(crate) use table::CASES;

/// How much a case matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Severity {
    /// A client that fails it loses packets, does not end or harms the exchange.
    Must,
    /// A client that fails it is not as good as it could be.
    Should,
}

impl Severity {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
        }
    }
}

/// What a client is required to do, as it stands in `docs/protocol.md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Requirement {
    /// Where it stands.
    pub(crate) section: &'static str,
    /// As it stands there.
    pub(crate) text: &'static str,
}

/// What the exchange plays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CaseSetup {
    /// A built-in scenario.
    pub(crate) scenario: &'static str,
    /// Its tape, where it is not the scenario's.
    pub(crate) tape: Option<&'static str>,
    /// Its pace, where it is not the scenario's.
    pub(crate) pace: Option<&'static str>,
}

impl CaseSetup {
    /// On another tape than the scenario's.
    const fn on(self, tape: &'static str) -> Self {
        Self { tape: Some(tape), ..self }
    }

    /// The command that plays it.
    pub(crate) fn by_hand(&self, seed: u64, port: u16) -> String {
        let mut command = format!("betacrew serve --scenario {}", self.scenario);
        for (flag, value) in [("tape", self.tape), ("pace", self.pace)] {
            if let Some(value) = value {
                command += &format!(" --{flag} {value}");
            }
        }
        command += &format!(" --seed {seed}");
        if port != PORT {
            command += &format!(" --listen 127.0.0.1:{port}");
        }
        command
    }
}

/// What a client must have done to pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passes {
    /// Written all packets, each once, nothing else.
    Complete,
    /// Ended by itself, and written no packet: there are none.
    Empty,
    /// The same, in the order of their sequences.
    InOrder,
    /// The same as `Complete`, and ended by itself.
    Ends,
    /// The same, with exit code 0.
    EndsWithZero,
    /// Ended by itself with another exit code than 0, and written nothing that is not on the tape.
    Admits,
    /// Done nothing on the wire that this finds.
    Conduct(crate::grade::judge::protocol_rules::ProtocolRule),
}

impl Passes {
    /// What passes, in words.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Complete => "the output has every packet of the tape once, and nothing else",
            Self::Empty => "the client ends by itself, and its output has no packets",
            Self::InOrder => "the output has every packet of the tape once, in order",
            Self::Ends => "the output is complete, and the client ends by itself",
            Self::EndsWithZero => "the output is complete, and the client ends with exit code 0",
            Self::Admits => {
                "the client ends by itself with another exit code than 0, and has made nothing up"
            }
            Self::Conduct(rule) => rule.expected(),
        }
    }
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Group and name. It never changes its meaning.
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    /// What it checks.
    pub(crate) requirement: Requirement,
    /// `None`: nothing listens.
    pub(crate) scene: Option<CaseSetup>,
    pub(crate) passes: Passes,
    /// It may take so many times as long as others: clients that wait for an exchange that is slow
    /// or says nothing are right to wait a while.
    pub(crate) patience: u32,
}

impl Case {
    /// With time for a client to lose its patience.
    const fn patient(self) -> Self {
        Self { patience: 2, ..self }
    }

    /// The part of the id before the slash.
    pub(crate) fn group(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(group, _)| group)
    }

    /// The part of the id behind the slash.
    pub(crate) fn name(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(_, name)| name)
    }

    /// Returns whether each write has to be a read of its own, because packets come one by one.
    pub(crate) fn is_apart(&self) -> bool {
        self.scene.is_some_and(|scene| scene.pace.is_some())
    }

    /// What the exchange does, in a line.
    pub(crate) fn about(&self) -> String {
        let Some(scene) = self.scene else { return "Nothing listens".to_owned() };
        let about = crate::scenario::open(scene.scenario).map(|plot| plot.about);
        let about = about.unwrap_or_default();
        match scene.tape {
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
    fn every_requirement_stands_in_the_protocol_s_description() {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for case in CASES {
            let Requirement { section, text } = case.requirement;
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
    fn cases_are_in_groups_and_have_names_of_their_own() {
        let ids: BTreeSet<&str> = CASES.iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), CASES.len());
        assert!(ids.iter().all(|id| id.split('/').count() == 2));
        let mut groups: Vec<&str> = CASES.iter().map(Case::group).collect();
        groups.dedup();
        let all = ["basics", "gaps", "framing", "recovery", "tail", "robustness", "termination"];
        assert_eq!(groups, [&all[..], &["conduct"]].concat(), "each in one piece");
        assert!(CASES.iter().all(|case| !case.about().is_empty()));
    }
}
