//! Texts of `--list` and `--explain`: what each case requires, and what each cause means.

use super::cases::Case;
use super::select::select;
use crate::args::address::PORT;
use crate::grade::diagnose::advice::{self, Advice};
use crate::grade::example::{ExampleClient, Lesson};
use crate::grade::feeds::advice::{self as feed_advice, FeedAdvice};
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::report::terminal::layout::{Emphasis, Paint};
use std::fmt::Write;

/// Returns the text of `--list`.
pub(crate) fn list(cases: &[&Case]) -> String {
    let mut text = String::new();
    let mut group = "";
    for case in cases {
        if std::mem::replace(&mut group, case.group()) != case.group() && !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "{:28} {:6}  {}", case.id, case.severity.as_str(), case.about());
    }
    text
}

/// Settings of an explanation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explainer<'a> {
    /// Command of the client, if the user gave one; empty otherwise.
    pub(crate) client: &'a str,
    /// Seed of the random faults.
    pub(crate) seed: u64,
    /// Style of the text.
    pub(crate) paint: Paint,
    /// Protocol of the client.
    pub(crate) protocol: GradedProtocol,
}

impl Explainer<'_> {
    /// Returns the text of `--explain` for a cause, or for the cases that match a pattern.
    ///
    /// # Errors
    /// Returns a message if `name` is neither.
    pub(crate) fn explain(self, name: &str) -> Result<String, String> {
        if !self.is_case(name) {
            if let Some(advice) = feed_advice::find(self.protocol, name) {
                return Ok(self.feed_cause(advice));
            }
            let is_exercise = self.protocol == GradedProtocol::Betacrew;
            if let Some(advice) = advice::find(name).filter(|_| is_exercise) {
                return Ok(self.cause(advice));
            }
        }
        let chosen =
            select(self.protocol.cases(), &[name.to_owned()]).map_err(|_| self.unknown(name))?;
        let texts: Vec<String> = chosen.iter().map(|case| self.case(case)).collect();
        Ok(texts.join("\n"))
    }

    /// Writes a labelled item.
    fn item(self, text: &mut String, label: &str, told: &str) {
        let _ = write!(text, "  {label:9} ");
        self.paint.block(text, 12, told, Emphasis::None);
    }

    /// Explains a case.
    fn case(self, case: &Case) -> String {
        let mut text = format!("{} ({})\n", self.paint.bold(case.id), case.severity.as_str());
        let requirement = case.requirement;
        let requires = format!("{} ({})", requirement.text, requirement.place());
        self.item(&mut text, "requires", &requires);
        self.item(&mut text, "scenario", &case.about());
        self.item(&mut text, "passes if", case.passes.sentence());
        if !case.why.is_empty() {
            self.item(&mut text, "why", case.why);
        }
        self.item(&mut text, "by hand", &self.by_hand(case));
        if self.protocol != GradedProtocol::Betacrew {
            return text;
        }
        match advice::find(case.id) {
            Some(advice) => self.remedy(&mut text, advice),
            None => {
                let shows = |advice: &&Advice| advice.cases.contains(&case.id);
                let causes: Vec<&str> = advice::all().filter(shows).map(|a| a.id).collect();
                if !causes.is_empty() {
                    self.item(&mut text, "shows", &causes.join(", "));
                }
                let closest = ExampleClient::closest_to(self.client);
                if let Some(lines) = requirement.lesson.and_then(|lesson| closest.lines(lesson)) {
                    self.item(&mut text, "as in", &lines.to_string());
                }
            }
        }
        text
    }

    /// Explains a cause.
    fn cause(self, advice: &Advice) -> String {
        let mut text = self.paint.bold(advice.id);
        let _ = writeln!(text, ": the client {}", advice.mistake);
        self.item(&mut text, "why", advice.harm);
        self.item(&mut text, "sign", advice.sign);
        let cases: Vec<&Case> = advice
            .cases
            .iter()
            .filter_map(|id| self.protocol.cases().iter().find(|case| case.id == *id))
            .collect();
        if let Some(first) = cases.first() {
            self.item(&mut text, "by hand", &self.by_hand(first));
        }
        let named = cases.iter().map(|case| format!("{} ({})", case.id, case.severity.as_str()));
        self.item(&mut text, "shown by", &named.collect::<Vec<_>>().join(", "));
        self.remedy(&mut text, advice);
        text
    }

    /// Explains a cause in another protocol than the exercise's.
    fn feed_cause(self, advice: &FeedAdvice) -> String {
        let mut text = self.paint.bold(advice.id);
        let _ = writeln!(text, ": the client {}", advice.mistake);
        self.item(&mut text, "to do", advice.fix);
        text
    }

    /// Writes what to do, with the lines of an example that does it.
    fn remedy(self, text: &mut String, advice: &Advice) {
        self.item(text, "to do", advice.fix);
        self.example(text, advice.lesson);
    }

    /// Writes the lines of the example in the client's language, and their places in the others.
    fn example(self, text: &mut String, lesson: Lesson) {
        let closest = ExampleClient::closest_to(self.client);
        let Some(lines) = closest.lines(lesson) else { return };
        self.item(text, "as in", &lines.to_string());
        let _ = writeln!(text);
        for line in lines.numbered().lines() {
            let _ = writeln!(text, "  {line}");
        }
        let others = ExampleClient::ALL.into_iter().filter(|client| *client != closest);
        let others = others.filter_map(|client| Some(client.lines(lesson)?.to_string()));
        let _ = writeln!(text);
        self.item(text, "also in", &others.collect::<Vec<_>>().join(", "));
    }

    /// Returns how a person runs a case.
    fn by_hand(self, case: &Case) -> String {
        match case.exchange_setup {
            Some(setup) => format!("{}, then the client", setup.serve_command(self.seed, PORT)),
            None => "the client, while no exchange runs".to_owned(),
        }
    }

    /// Returns whether a name is the id of a case.
    fn is_case(self, name: &str) -> bool {
        self.protocol.cases().iter().any(|case| case.id == name)
    }

    /// Returns the message about a name that means nothing, with names that are close to it.
    fn unknown(self, name: &str) -> String {
        let wanted: Vec<&str> = name.split(['-', '/']).filter(|word| word.len() > 2).collect();
        let causes: Vec<&str> = match self.protocol {
            GradedProtocol::Betacrew => advice::all().map(|advice| advice.id).collect(),
            feed => feed_advice::all(feed).iter().map(|advice| advice.id).collect(),
        };
        let cases = self.protocol.cases().iter().map(|case| case.id);
        let names = causes.into_iter().chain(cases);
        let close = |known: &&str| wanted.iter().any(|word| known.contains(word));
        let mut close: Vec<&str> = names.filter(close).collect();
        close.dedup();
        let close = match &close[..] {
            [] => String::new(),
            close => format!(" Close to it: {}.", close[..close.len().min(5)].join(", ")),
        };
        format!(
            "no case and no cause is named `{name}`.{close} --list lists the cases; docs/grade.md \
             and every report have the names of causes"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::cases::CASES;

    fn explained(name: &str, client: &str) -> Result<String, String> {
        Explainer { client, seed: 7, paint: Paint::PLAIN, protocol: GradedProtocol::Betacrew }
            .explain(name)
    }

    #[test]
    fn a_cause_is_explained_with_the_lines_of_an_example() {
        let text = explained("split-packet", "node x.js").unwrap();
        let head = "split-packet: the client does not join the end of one read";
        assert!(text.starts_with(head), "{text}");
        for part in [
            "betacrew serve --scenario half-packet --seed 7, then the client",
            "framing/half-packet (must)",
            "  to do     Append each read",
            "  as in     examples/clients/client.js:",
            "socket.on('data', (chunk) => {",
            "  also in   examples/clients/client.py:",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = explained("split-packet", "").unwrap();
        assert!(text.contains("chunk = connection.recv(65536)"), "Python by default: {text}");
    }

    #[test]
    fn causes_of_other_protocols_are_explained_by_their_own_advice() {
        let client = "./client";
        let explain = |protocol, name: &str| {
            Explainer { client, seed: 7, paint: Paint::PLAIN, protocol }.explain(name)
        };
        let text = explain(GradedProtocol::Soup, "split-packet").unwrap();
        assert!(text.contains("take a packet only when all its bytes are there"), "{text}");
        let text = explain(GradedProtocol::Mold, "tail-unseen").unwrap();
        assert!(text.contains("the sequence of heartbeats"), "{text}");
        let unknown = explain(GradedProtocol::Soup, "tail-unseen").unwrap_err();
        assert!(unknown.contains("no case and no cause is named `tail-unseen`"), "{unknown}");
        let text = explain(GradedProtocol::Soup, "basics/complete-stream").unwrap();
        assert!(text.contains("docs/soup.md") && !text.contains("examples/clients"), "{text}");
    }

    #[test]
    fn everything_that_a_report_names_can_be_explained() {
        for advice in advice::all() {
            let text = explained(advice.id, "").unwrap();
            assert!(text.contains(advice.fix), "{text}");
        }
        for case in CASES {
            let text = explained(case.id, "").unwrap();
            assert!(text.contains(case.why) && text.contains("examples/clients/"), "{text}");
        }
        let text = explained("gaps", "").unwrap();
        assert!(text.contains("gaps/one (must)") && text.contains("gaps/order (must)"), "{text}");
        assert!(text.contains("  shows     never-asks"), "{text}");
        let message = explained("split-pakcet", "").unwrap_err();
        assert!(message.contains("`split-pakcet`. Close to it: split-packet. "), "{message}");
    }
}
