//! House rules that a test can check: lengths of lines, functions and files, the display of paths,
//! and limits on waits for processes.

use std::fs;
use std::path::{Path, PathBuf};

const LINE: usize = 100;
const FUNCTION: usize = 70;
const FILE: usize = 500;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// File of the program that may display paths, because a path can be a URL with a password.
const SHOWS: &str = "location.rs";

/// Returns the complaints about paths that are displayed without hiding secrets.
fn displayed(path: &Path, text: &str) -> Vec<String> {
    let ours = ["crates/betacrew/src", "crates/gateway/src"].map(Path::new);
    let ours = ours.iter().any(|folder| {
        let (path, folder) = (path.to_string_lossy(), folder.to_string_lossy());
        path.contains(&*folder) && !path.ends_with(SHOWS)
    });
    let code = text.lines().take_while(|line| !line.starts_with("mod tests {"));
    let shown = (1..).zip(code).filter(|(_, line)| ours && line.contains(".display()"));
    shown.map(|(number, _)| format!("line {number} displays a path: use location::shown")).collect()
}

/// File whose functions wait for processes with a limit.
const WAITS: &str = "in_time.rs";

/// Methods that wait for a process without a limit.
const ENDLESS: [&str; 4] = [".wait()", ".wait_with_output()", ".output()", ".status()"];

/// Returns the complaints about integration tests that could wait for a process for ever.
fn endless(path: &Path, text: &str) -> Vec<String> {
    let in_tests = path.components().any(|part| part.as_os_str() == "tests");
    let lines = (1..).zip(text.lines()).filter(|_| in_tests && !path.ends_with(WAITS));
    let waits = lines.filter(|(_, line)| ENDLESS.iter().any(|wait| line.contains(wait)));
    waits.map(|(number, _)| format!("line {number} waits without a limit: see {WAITS}")).collect()
}

/// Returns the complaints about one source text.
fn complaints(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let in_tests =
        lines.iter().position(|line| line.starts_with("mod tests {")).unwrap_or(lines.len());
    if in_tests > FILE {
        found.push(format!("{in_tests} lines before its tests, more than {FILE}"));
    }
    let mut open: Option<(usize, usize)> = None;
    for (number, line) in (1..).zip(&lines) {
        if line.chars().count() > LINE {
            found.push(format!("line {number} has more than {LINE} columns"));
        }
        let indent = line.len() - line.trim_start().len();
        let begins = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        let begins = begins.trim_start_matches("pub(super) ").trim_start_matches("const ");
        if open.is_none() && begins.starts_with("fn ") && !line.ends_with([';', '}']) {
            open = Some((number, indent));
        }
        if let Some((start, depth)) = open
            && line.trim_end() == format!("{}}}", " ".repeat(depth))
        {
            if number - start + 1 > FUNCTION {
                found.push(format!("the function at line {start} has more than {FUNCTION} lines"));
            }
            open = None;
        }
    }
    found
}

/// Returns every Rust file of the repository.
pub(crate) fn rust_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
    assert!(found.len() > 30, "the sources are somewhere else");
    found
}

#[test]
fn sources_keep_the_house_rules() {
    let complaints: Vec<String> = rust_sources()
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let all = [complaints(&text), displayed(path, &text), endless(path, &text)].concat();
            all.into_iter().map(move |what| format!("{}: {what}", path.display()))
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_rules_can_be_broken() {
    let long_line = "x".repeat(LINE + 1);
    let long_function = format!("    pub(crate) fn f() {{\n{}    }}\n", "a;\n".repeat(FUNCTION));
    let long_file = "\n".repeat(FILE + 1);
    for text in [long_line, long_function, long_file] {
        assert_eq!(complaints(&text).len(), 1);
    }
    assert!(complaints("fn f() {\n    g();\n}\n").is_empty());
    let shows = "path.display();\nmod tests {\n    path.display();\n";
    assert_eq!(displayed(Path::new("x/crates/betacrew/src/commands/fetch.rs"), shows).len(), 1);
    for elsewhere in
        ["x/crates/betacrew/src/text/location.rs", "x/crates/betacrew/tests/it/fetch.rs"]
    {
        assert!(displayed(Path::new(elsewhere), shows).is_empty());
    }
    for method in ENDLESS {
        let waits = format!("child\n    {method}\n    .unwrap();\n");
        let found = endless(Path::new("crates/betacrew/tests/it/fetch.rs"), &waits);
        assert_eq!(found.len(), 1, "{method}");
        for elsewhere in ["crates/betacrew/tests/it/in_time.rs", "xtask/src/mutants.rs"] {
            assert!(endless(Path::new(elsewhere), &waits).is_empty());
        }
    }
}
