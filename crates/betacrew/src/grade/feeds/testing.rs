//! Tests of the requirements of all feeds, and of their tables in `docs/grade.md`.

use crate::grade::cases::{Case, Requirement};
use crate::grade::feeds::{mold, soup};
use std::collections::BTreeSet;
use std::fmt::Write;

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/grade.md");

/// Returns the text between the marks of a table.
fn table<'a>(page: &'a str, name: &str) -> &'a str {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    page.split_once(&start).expect(name).1.split_once(&end).expect(name).0
}

fn cases(all: &[Case]) -> String {
    let mut text = String::from("| case | | what happens | passes if |\n|---|---|---|---|\n");
    for case in all {
        let (severity, passes) = (case.severity.as_str(), case.passes.sentence());
        let _ = writeln!(text, "| `{}` | {severity} | {} | {passes} |", case.id, case.about());
    }
    text
}

#[test]
fn the_tables_of_the_page_match_the_code() {
    let made =
        [("soup-cases", cases(soup::cases::CASES)), ("mold-cases", cases(mold::cases::CASES))];
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
fn the_page_explains_exactly_the_causes_of_the_code() {
    let page = std::fs::read_to_string(PLACE).unwrap();
    for (name, known) in
        [("soup-causes", soup::causes::ids()), ("mold-causes", mold::causes::ids())]
    {
        let rows = table(&page, name).lines();
        let ids = rows.filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(ids.collect::<BTreeSet<&str>>(), known, "{name}");
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
