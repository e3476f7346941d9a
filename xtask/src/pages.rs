//! Checks of the Markdown pages: what they name exists, and their tables can be read.

use crate::rooms::ROOMS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum number of characters in a cell of a table.
const CELL: usize = 120;

/// Maximum number of steps in a walk.
const STEPS: usize = 12;

/// Pages whose tables have short cells.
const SHORT: [&str; 4] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/README.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the lines of a page outside of fenced blocks, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match line.starts_with("```") {
            true => fenced = !fenced,
            false if !fenced => lines.push((number, line)),
            false => {}
        }
    }
    lines
}

/// Returns the texts in backticks.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Returns whether Rust source defines a function, type, trait or constant of this name.
fn defines(source: &str, name: &str) -> bool {
    const KINDS: [&str; 6] = ["fn", "struct", "enum", "trait", "const", "static"];
    let ends = |c: char| !(c.is_alphanumeric() || c == '_');
    KINDS.iter().any(|kind| {
        let start = format!("{kind} {name}");
        source.match_indices(&start).any(|(at, _)| {
            let before = source[..at].chars().next_back().is_none_or(ends);
            before && source[at + start.len()..].chars().next().is_none_or(ends)
        })
    })
}

/// Returns the complaints about the walks of a page: numbered steps "`file`: `name` ...".
fn walk_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut steps = 0;
    for (number, line) in prose(text) {
        let Some((digits, step)) = line.split_once(". ") else { continue };
        let Ok(position) = digits.parse::<usize>() else { continue };
        if position > STEPS {
            faults.push(format!("line {number}: step {position} of a walk, more than {STEPS}"));
        }
        let [file, name, ..] = quoted(step)[..] else {
            faults.push(format!("line {number}: a step without a file and a name"));
            continue;
        };
        steps += 1;
        match fs::read_to_string(root().join("crates").join(file)) {
            Ok(source) if defines(&source, name) => {}
            Ok(_) => faults.push(format!("line {number}: crates/{file} does not define `{name}`")),
            Err(_) => faults.push(format!("line {number}: there is no file crates/{file}")),
        }
    }
    if steps == 0 {
        faults.push("no walk was found".to_owned());
    }
    faults
}

/// Returns the tables of rooms that a page has: rows "| `room` | text | `import` ... |".
fn rooms_of(section: &str) -> Vec<(String, BTreeSet<String>)> {
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let imports = quoted(cells.last().unwrap()).into_iter().map(str::to_owned).collect();
        (quoted(cells[0])[0].to_owned(), imports)
    })
    .collect()
}

/// Returns the cells of a page's tables that are too long to read.
fn long_cells(text: &str) -> Vec<String> {
    let rows = prose(text).into_iter().filter(|(_, line)| line.starts_with('|'));
    let cells = rows.flat_map(|(number, row)| row.split(" | ").map(move |cell| (number, cell)));
    // A reader sees the text of a link, not its address.
    let visible = |cell: &str| {
        let mut parts = cell.split("](");
        let first = parts.next().unwrap_or_default().chars().count();
        let behind = |part: &str| part.split_once(')').map_or(part, |(_, text)| text).len();
        first + parts.map(behind).sum::<usize>()
    };
    // A list of names is searched, not read.
    let is_list = |cell: &str| {
        let mut words = cell.split_whitespace();
        words.all(|word| word.len() > 1 && word.starts_with('`') && word.ends_with('`'))
    };
    let cells = cells.map(|(number, cell)| (number, cell.trim_matches(['|', ' '])));
    let long = cells.filter(|(_, cell)| visible(cell) > CELL && !is_list(cell));
    long.map(|(number, _)| format!("line {number}: a cell of more than {CELL} characters"))
        .collect()
}

/// Returns the name by which a link finds a heading, as GitHub forms it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns the links of a page whose file or heading does not exist.
fn broken_links(name: &str, text: &str) -> Vec<String> {
    let joined: String = prose(text).into_iter().map(|(_, line)| format!("{line}\n")).collect();
    let mut broken = Vec::new();
    for link in joined.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let link = link.trim();
        if link.contains("://") {
            continue;
        }
        let (path, heading) = link.split_once('#').unwrap_or((link, ""));
        let here = root().join(name);
        let target = match path {
            "" => here,
            path => here.parent().unwrap().join(path),
        };
        if !target.exists() {
            broken.push(format!("{name}: no file {path}"));
        } else if !heading.is_empty() && path.rsplit_once('.').is_none_or(|(_, end)| end == "md") {
            let text = fs::read_to_string(&target).unwrap();
            let headings = prose(&text).into_iter().filter(|(_, line)| line.starts_with('#'));
            if !headings.map(|(_, line)| anchor(line)).any(|known| known == heading) {
                broken.push(format!("{name}: no heading #{heading} in {}", target.display()));
            }
        }
    }
    broken
}

/// Returns the names of all pages of the repository's root, of docs and of the other folders.
fn pages() -> Vec<String> {
    let mut names = ["bench", "examples/clients", "python", "npm/betacrew"]
        .map(|at| format!("{at}/README.md"))
        .to_vec();
    for folder in ["", "docs/"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|end| end == "md") {
                names.push(format!("{folder}{name}"));
            }
        }
    }
    names
}

#[test]
fn every_step_of_a_walk_names_a_file_and_something_in_it() {
    let faults = walk_faults(&page("ARCHITECTURE.md"));
    assert!(faults.is_empty(), "ARCHITECTURE.md:\n{}", faults.join("\n"));
}

#[test]
fn the_tables_of_rooms_are_those_of_the_code() {
    let text = page("ARCHITECTURE.md");
    for (name, rooms) in ROOMS {
        let section = text.split_once(&format!("## Rooms of `{name}`")).unwrap().1;
        let section = section.split("\n## ").next().unwrap();
        let expected: Vec<(String, BTreeSet<String>)> = rooms
            .iter()
            .map(|(room, list)| {
                ((*room).to_owned(), list.split_whitespace().map(str::to_owned).collect())
            })
            .collect();
        assert_eq!(rooms_of(section), expected, "ARCHITECTURE.md: rooms of {name}");
    }
}

#[test]
fn tables_have_short_cells() {
    for name in SHORT {
        assert_eq!(long_cells(&page(name)), [""; 0], "{name}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let broken: Vec<_> = pages().iter().flat_map(|name| broken_links(name, &page(name))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_of_docs_is_in_their_index() {
    let index = page("docs/README.md");
    let missing: Vec<_> = pages()
        .into_iter()
        .filter_map(|name| name.strip_prefix("docs/").map(str::to_owned))
        .filter(|name| name != "README.md" && !index.contains(&format!("]({name}")))
        .collect();
    assert!(missing.is_empty(), "docs/README.md does not name {missing:?}");
}

#[test]
fn files_that_contributing_names_exist() {
    let text = page("CONTRIBUTING.md");
    let mut count = 0;
    for (number, line) in prose(&text) {
        // Capital letters stand for the name of a new file.
        let paths = quoted(line).into_iter().filter(|text| {
            text.contains('/') && !text.contains([' ', '*']) && !text.contains("NEW")
        });
        for path in paths {
            assert!(root().join(path).exists(), "CONTRIBUTING.md:{number}: no file {path}");
            count += 1;
        }
    }
    assert!(count > 15, "CONTRIBUTING.md names only {count} files");
}

#[test]
fn sources_that_pages_about_the_code_name_exist() {
    let folders = ["", "crates", "crates/feed/src"];
    for name in ["ARCHITECTURE.md", "docs/simulator.md"] {
        let text = page(name);
        let lines = prose(&text).into_iter();
        let sources: Vec<(usize, &str)> = lines
            .flat_map(|(number, line)| quoted(line).into_iter().map(move |text| (number, text)))
            .filter(|(_, text)| text.contains('/') && text.ends_with(".rs"))
            .collect();
        assert!(sources.len() > 3, "{name} names only {} sources", sources.len());
        for (number, path) in sources {
            let exists = folders.iter().any(|folder| root().join(folder).join(path).exists());
            assert!(exists, "{name}:{number}: no file {path}");
        }
    }
}

#[test]
fn faults_of_pages_are_noticed() {
    let walk = |step: &str| walk_faults(&format!("1. {step}\n"));
    assert!(walk("`feed/src/ledger.rs`: `take` scans").is_empty());
    assert!(walk("`feed/src/ledger.rs`: `tak` scans")[0].contains("does not define `tak`"));
    assert!(
        walk("`feed/src/none.rs`: `take` scans")[0].contains("no file crates/feed/src/none.rs")
    );
    assert!(walk("something")[0].contains("without a file"));
    assert!(walk_faults("13. `feed/src/ledger.rs`: `take`\n")[0].contains("more than 12"));
    assert_eq!(long_cells(&format!("| a | {} |", "b".repeat(121))).len(), 1);
    assert_eq!(long_cells(&format!("| [a]({}) | b |", "b".repeat(121))).len(), 0);
    assert_eq!(broken_links("README.md", "[a](none.md) [b](https://x) [c](docs/tape.md)").len(), 1);
    assert_eq!(broken_links("README.md", "[a](docs/tape.md#no-such-heading)").len(), 1);
    assert_eq!(anchor("## 2. The extension"), "2-the-extension");
}
