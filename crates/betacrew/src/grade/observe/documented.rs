//! Tests that the tables of `docs/grade.md` match the code. `BETACREW_BLESS=1` updates the tables.

use crate::grade::cases::CASES;
use crate::grade::diagnose;
use crate::grade::judge::verdict::Letter;
use crate::grade::observe::fields::OutputField;
use std::collections::BTreeSet;
use std::fmt::Write;

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/grade.md");

fn page() -> String {
    std::fs::read_to_string(PLACE).unwrap()
}

/// Returns the text between the marks of a table.
fn table<'a>(page: &'a str, name: &str) -> &'a str {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    page.split_once(&start).unwrap().1.split_once(&end).unwrap().0
}

fn aliases() -> String {
    let mut text = String::from("| field | names |\n|---|---|\n");
    for field in OutputField::ALL {
        let _ = writeln!(text, "| `{}` | {} |", field.name(), field.aliases().join(", "));
    }
    text
}

fn grades() -> String {
    let mut text = String::from("| grade | the client |\n|---|---|\n");
    for letter in Letter::ALL {
        let _ = writeln!(text, "| {letter} | {} |", letter.rule());
    }
    text
}

fn cases() -> String {
    let mut text = String::from("| case | | what happens | passes if |\n|---|---|---|---|\n");
    for case in CASES {
        let (severity, passes) = (case.severity.as_str(), case.passes.sentence());
        let about = case.about().replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {severity} | {about} | {passes} |", case.id);
    }
    text
}

#[test]
fn the_tables_of_the_page_match_the_code() {
    let made = [("aliases", aliases()), ("grades", grades()), ("cases", cases())];
    if std::env::var_os("BETACREW_BLESS").is_some_and(|value| value == "1") {
        let mut page = page();
        for (name, text) in &made {
            page = page.replace(table(&page.clone(), name), text);
        }
        std::fs::write(PLACE, page).unwrap();
    }
    for (name, text) in made {
        assert_eq!(table(&page(), name), text, "BETACREW_BLESS=1 updates the table `{name}`");
    }
}

#[test]
fn the_page_explains_exactly_the_causes_of_the_code() {
    let page = page();
    let documented: BTreeSet<&str> = table(&page, "causes")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|ids| ids.split(", "))
        .map(|id| id.trim_matches('`'))
        .collect();
    assert_eq!(documented, diagnose::ids());
}
