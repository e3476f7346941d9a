//! House rules that a test can check: lengths of lines, functions and files, booleans of public
//! functions, the display of paths, and limits on waits for processes.

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

/// Returns the parameters of a function whose signature begins with this text.
fn parameters(signature: &str) -> &str {
    let Some(open) = signature.find('(') else { return "" };
    let mut depth = 0;
    let close = signature[open..].find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    close.map_or("", |length| &signature[open + 1..open + length])
}

/// Returns whether parameters have a boolean, other than as the result of a function.
fn take_a_boolean(parameters: &str) -> bool {
    parameters.match_indices("bool").any(|(at, word)| {
        let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
        let (before, behind) = (&parameters[..at], &parameters[at + word.len()..]);
        !before.ends_with(part_of_a_name)
            && !behind.starts_with(part_of_a_name)
            && !before.trim_end().ends_with("->")
    })
}

/// Returns the complaints about public functions of the crates that take a boolean: a call with a
/// bare `true` does not say what it switches on.
fn boolean(path: &Path, text: &str) -> Vec<String> {
    let ours = path.to_string_lossy().contains("crates/") && path.iter().any(|part| part == "src");
    if !ours {
        return Vec::new();
    }
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let (mut found, mut at, mut in_trait) = (Vec::new(), 0, false);
    for (number, line) in (1..).zip(code.split_inclusive('\n')) {
        let rest = &code[at..];
        at += line.len();
        if !line.starts_with([' ', '}', '\n']) {
            in_trait = line.starts_with("pub trait ");
        }
        let words = line.trim_start();
        let is_public = words.starts_with("pub ") || in_trait;
        let words = words.trim_start_matches("pub ").trim_start_matches("const ");
        if is_public && words.starts_with("fn ") && take_a_boolean(parameters(rest)) {
            found.push(format!(
                "line {number}: a public function takes a boolean: let an enum, or the names of \
                 two functions, say what it means"
            ));
        }
    }
    found
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
            let all = [
                complaints(&text),
                displayed(path, &text),
                endless(path, &text),
                boolean(path, &text),
            ]
            .concat();
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
    let source = Path::new("x/crates/feed/src/tape/file.rs");
    for takes in [
        "    pub fn open(\n        storage: S,\n        trust: bool,\n    ) -> Self {\n",
        "pub const fn f(pair: (u64, bool)) {}\n",
        "/// Exchange.\npub trait Exchange {\n    fn close(&mut self, is_reset: bool);\n}\n",
    ] {
        assert_eq!(boolean(source, takes).len(), 1, "{takes}");
        assert!(boolean(Path::new("x/xtask/src/tidy.rs"), takes).is_empty());
    }
    for takes_none in [
        "fn f(trust: bool) {}\npub fn g(test: impl Fn(u8) -> bool) -> bool {\n",
        "pub trait A {\n    fn a();\n}\nimpl A for B {\n    fn a(trust: bool) {}\n}\n",
        "pub(crate) fn f(trust: bool) {}\nmod tests {\n    pub fn f(trust: bool) {}\n",
        "pub fn boolean(a: Boolean, is_bool: u8) {}\n",
    ] {
        assert!(boolean(source, takes_none).is_empty(), "{takes_none}");
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
