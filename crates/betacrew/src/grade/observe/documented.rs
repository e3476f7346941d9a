//! Tests that the tables of `docs/grade.md` match the code. `BETACREW_BLESS=1` updates the tables.

use crate::grade::cases::{CASES, PassCondition};
use crate::grade::diagnose::{self, advice};
use crate::grade::judge::verdict::Letter;
use crate::grade::observe::fields::OutputField;
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
    let mut text = String::from("| case | | what happens | why |\n|---|---|---|---|\n");
    for case in CASES {
        let about = case.about().replace('|', "\\|");
        let passes = match case.passes {
            PassCondition::Complete => String::new(),
            other => format!(" *Passes if:* {}.", other.sentence()),
        };
        let severity = case.severity.as_str();
        let _ = writeln!(text, "| `{}` | {severity} | {about}.{passes} | {} |", case.id, case.why);
    }
    text
}

fn causes() -> String {
    let mut text = String::from("| cause | the client | what to do |\n|---|---|---|\n");
    let causes = diagnose::ids();
    for advice in advice::all().filter(|advice| causes.contains(advice.id)) {
        let _ = writeln!(text, "| `{}` | {} | {} |", advice.id, advice.mistake, advice.fix);
    }
    text
}

#[test]
fn the_tables_of_the_page_match_the_code() {
    let made =
        [("aliases", aliases()), ("grades", grades()), ("cases", cases()), ("causes", causes())];
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
