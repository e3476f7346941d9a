//! Tests of the requirements of all feeds, and of their tables in `docs/grade.md`.

use crate::grade::cases::{Case, Requirement};
use crate::grade::feeds::advice::{self, FeedAdvice};
use crate::grade::feeds::protocol::GradedProtocol;
use crate::grade::feeds::tape::CaseTape;
use crate::grade::feeds::{mold, soup};
use crate::grade::run::exchange_host::resolve;
use std::collections::BTreeSet;
use std::fmt::Write;

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/grade.md");

/// Returns the text between the marks of a table.
fn table<'a>(page: &'a str, name: &str) -> &'a str {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    page.split_once(&start).expect(name).1.split_once(&end).expect(name).0
}

fn cases(all: &[Case]) -> String {
    let mut text = String::from("| case | | what happens | why |\n|---|---|---|---|\n");
    for case in all {
        let (severity, passes) = (case.severity.as_str(), case.passes.sentence());
        let (id, about, why) = (case.id, case.about(), case.why);
        let _ = writeln!(text, "| `{id}` | {severity} | {about}. *Passes if:* {passes}. | {why} |");
    }
    text
}

fn causes(protocol: GradedProtocol) -> String {
    let mut text = String::from("| id | the client | what to do |\n|---|---|---|\n");
    for FeedAdvice { id, mistake, fix } in advice::all(protocol) {
        let _ = writeln!(text, "| `{id}` | {mistake} | {fix} |");
    }
    text
}

#[test]
fn the_tables_of_the_page_match_the_code() {
    let made = [
        ("soup-cases", cases(soup::cases::CASES)),
        ("mold-cases", cases(mold::cases::CASES)),
        ("soup-causes", causes(GradedProtocol::Soup)),
        ("mold-causes", causes(GradedProtocol::Mold)),
    ];
    let mut page = std::fs::read_to_string(PLACE).unwrap();
    if std::env::var_os("BETACREW_BLESS").is_some_and(|value| value == "1") {
        for (name, text) in &made {
            let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
            let before = format!("{start}{}{end}", table(&page, name));
            page = page.replace(&before, &format!("{start}{text}{end}"));
        }
        std::fs::write(PLACE, &page).unwrap();
    }
    for (name, text) in made {
        assert_eq!(table(&page, name), text, "BETACREW_BLESS=1 updates the table `{name}`");
    }
}

#[test]
fn every_cause_has_advice_in_whole_sentences_and_every_advice_a_cause() {
    for (protocol, known) in
        [(GradedProtocol::Soup, soup::causes::ids()), (GradedProtocol::Mold, mold::causes::ids())]
    {
        let ids = advice::all(protocol).iter().map(|advice| advice.id);
        assert_eq!(ids.collect::<BTreeSet<&str>>(), known, "{protocol:?}");
        for FeedAdvice { id, mistake, fix } in advice::all(protocol) {
            assert!(mistake.starts_with(char::is_lowercase) && !mistake.ends_with('.'), "{id}");
            assert!(fix.starts_with(char::is_uppercase) && fix.ends_with('.'), "{id}");
            assert!(!fix.contains(". ") && fix.len() <= 200, "{id}: {} characters", fix.len());
        }
    }
}

/// Asserts that the exchange can play each case, and that equal messages hide no mistake.
pub(crate) fn assert_playable(cases: &[Case]) {
    let ids: BTreeSet<&str> = cases.iter().map(|case| case.id).collect();
    assert_eq!(ids.len(), cases.len());
    for case in cases {
        let setup = case.exchange_setup.unwrap();
        let resolved = resolve(&setup, 1).unwrap();
        assert!(resolved.protocols().contains(setup.protocol.on_the_wire()), "{}", case.id);
        let tape = CaseTape::open(setup.protocol, Some(&resolved)).unwrap();
        let CaseTape::Messages(tape) = tape else { panic!("{}", case.id) };
        // Messages are found by their content.
        let is_unique =
            (1..=tape.last()).all(|seq| tape.places(tape.message(seq).unwrap()).len() == 1);
        assert!(is_unique || setup.scenario == "soup-lengths", "{}", case.id);
    }
}

/// Asserts that each case has a reason of its own, which is one sentence.
pub(crate) fn assert_reasons(cases: &[Case]) {
    let reasons: BTreeSet<&str> = cases.iter().map(|case| case.why).collect();
    assert_eq!(reasons.len(), cases.len(), "a reason stands twice");
    for why in reasons {
        let is_sentence = why.starts_with(char::is_uppercase) && why.ends_with('.');
        assert!(is_sentence && !why.contains(". ") && !why.contains('|'), "{why}");
    }
}

/// Asserts that each case checks a sentence of its page, and that each sentence has a case.
pub(crate) fn assert_requirements(page: &str, cases: &[Case]) {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, part) = page.split_once("## What a client must do").unwrap();
    let part = part.split("\n## ").next().unwrap();
    for case in cases {
        let Requirement { section, text, .. } = case.requirement;
        let (_, after) = part.split_once(&format!("### {section}\n")).expect(section);
        let section = after.split("\n#").next().unwrap();
        assert!(plain(section).contains(&format!("* {text}")), "{}: {text}", case.id);
    }
    let checked: BTreeSet<&str> = cases.iter().map(|case| case.requirement.text).collect();
    let sentences = part.replace("\n  ", " ");
    let sentences = sentences.lines().filter_map(|line| line.strip_prefix("* "));
    let sentences = sentences.map(|line| line.rsplit_once(" (").map_or(line, |(line, _)| line));
    let unchecked: Vec<&str> = sentences.filter(|line| !checked.contains(line)).collect();
    assert_eq!(unchecked, [""; 0]);
}
