//! Tables of `docs/itch.md`, made from the table of messages. `BETACREW_BLESS=1` writes them.

use super::TYPES;
use std::fmt::Write;
use std::string::String;
use std::{env, fs};

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/itch.md");

/// Returns the text between a table's marks.
fn table<'a>(page: &'a str, name: &str) -> &'a str {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    page.split_once(&start).unwrap().1.split_once(&end).unwrap().0
}

fn types() -> String {
    let mut text = String::from("| type | name | bytes | meaning |\n|---|---|---|---|\n");
    for known in TYPES {
        let (letter, name) = (char::from(known.letter()), known.name());
        let (len, about) = (known.len(), known.about());
        writeln!(text, "| `{letter}` | [{name}](#{}) | {len} | {about} |", name.to_lowercase())
            .unwrap();
    }
    text
}

fn fields() -> String {
    let mut text = String::new();
    for known in TYPES {
        writeln!(text, "### {}\n", known.name()).unwrap();
        writeln!(text, "Type `{}`, {} bytes.\n", char::from(known.letter()), known.len()).unwrap();
        text.push_str(
            "| offset | bytes | field | kind | unit | meaning |\n|---|---|---|---|---|---|\n",
        );
        for field in known.fields().iter().skip(3) {
            let (offset, width, name) = (field.offset(), field.width(), field.name());
            let (kind, unit, about) = (field.kind().name(), field.unit(), field.about());
            writeln!(text, "| {offset} | {width} | `{name}` | {kind} | {unit} | {about} |")
                .unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_tables_of_the_documentation_are_those_of_the_code() {
    let made = [("types", types()), ("fields", fields())];
    let mut page = fs::read_to_string(PLACE).unwrap();
    if env::var_os("BETACREW_BLESS").is_some_and(|value| value == "1") {
        for (name, text) in &made {
            let old = table(&page, name);
            let start = page.find(&format!("<!-- {name} -->\n")).unwrap() + name.len() + 10;
            page.replace_range(start..start + old.len(), text);
        }
        fs::write(PLACE, &page).unwrap();
    }
    for (name, text) in made {
        assert_eq!(table(&page, name), text, "BETACREW_BLESS=1 writes the table `{name}`");
    }
}
