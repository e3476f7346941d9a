//! Rooms: the top-level modules of a crate, and the imports allowed between them.
//!
//! [`ROOMS`] is the whole table. A room may import only the rooms that its row names, and only
//! rooms above it in the table, so that cycles are impossible.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of each crate, each with the rooms that it may import.
pub(crate) const ROOMS: [(&str, &[(&str, &str)]); 2] = [
    (
        "feed",
        &[
            ("base", ""),
            ("storage", ""),
            ("wire", "base"),
            ("payload", "base wire"),
            ("session", "base wire"),
            ("ledger", "base wire"),
            ("tape", "base storage wire payload session ledger"),
            ("faults", "base wire tape"),
            ("exchange", "base wire tape faults"),
            ("client", "base wire session ledger"),
            ("analysis", "base wire payload ledger"),
            ("sim", "base storage wire session ledger tape faults exchange client"),
        ],
    ),
    (
        "betacrew",
        &[
            ("clock", ""),
            ("text", ""),
            ("error", "text"),
            ("args", "text error"),
            ("net", "text error args"),
            ("terminal", "text error args net"),
            ("storage", ""),
            ("format", "clock text error args storage"),
            ("output", "text error args net terminal storage format"),
            ("nats", "text error args net terminal storage format output"),
            ("capture", "args text error storage format"),
            ("source", "error format nats capture"),
            ("tape", "clock text error args storage format output nats capture source"),
            ("scenario", "error args tape"),
            ("http", "clock text error args net terminal format output tape scenario"),
            ("record", "clock text error args terminal storage format output http"),
            (
                "inspect",
                "text error args terminal storage net format output nats capture source record",
            ),
            ("grade", "text error args terminal net output tape scenario"),
            (
                "commands",
                "text error args net terminal storage format output nats source tape scenario http \
                 record",
            ),
            ("schema", "text error terminal output scenario record inspect grade commands"),
            ("cli", "text error args terminal net http inspect grade commands schema"),
        ],
    ),
];

/// Returns the folder of a crate's sources.
fn sources(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("src")
}

/// Returns every Rust file below `folder`.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// Returns the rooms that a file's code names after `crate::`, without unit tests and comments.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("\nmod tests").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` in a macro is a path of the same crate as well.
        let rest = &code[at + "crate::".len()..];
        let list = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default(),
            None => rest,
        };
        let word = |text: &str| {
            let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            text[..end.unwrap_or(text.len())].to_owned()
        };
        match rest.starts_with('{') {
            true => rooms.extend(list.split(',').map(|item| word(item.trim()))),
            false => drop(rooms.insert(word(list))),
        }
    }
    rooms
}

/// Returns the room of a file; `None` for the crate's root.
fn room_of(file: &Path, root: &Path) -> Option<String> {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    let room = path.iter().next()?.to_string_lossy().into_owned();
    (room != "lib" && room != "main").then_some(room)
}

/// Returns the violations of the table in a crate's sources.
fn violations(name: &str, rooms: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut allowed = BTreeMap::new();
    for (at, (room, list)) in rooms.iter().enumerate() {
        let list: BTreeSet<&str> = list.split_whitespace().collect();
        for other in &list {
            if !rooms[..at].iter().any(|(above, _)| above == other) {
                wrong.push(format!("{name}: {room} may not import {other}: it is not above it"));
            }
        }
        allowed.insert(*room, list);
    }
    let root = sources(name);
    for file in rust_files(&root) {
        let Some(room) = room_of(&file, &root) else { continue };
        let Some(may) = allowed.get(room.as_str()) else {
            wrong.push(format!("{name}: the room {room} is not in the table"));
            continue;
        };
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let known = allowed.contains_key(import.as_str());
            if known && import != room && !may.contains(import.as_str()) {
                wrong.push(format!("{}: {room} imports {import}", file.display()));
            }
        }
    }
    wrong
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let wrong: Vec<_> = ROOMS.iter().flat_map(|(name, rooms)| violations(name, rooms)).collect();
    assert!(wrong.is_empty(), "see xtask/src/rooms.rs:\n{}", wrong.join("\n"));
}

#[test]
fn an_import_against_the_table_is_noticed() {
    // The same sources fail once the table forbids what they do, or has a cycle.
    let without = [("base", ""), ("wire", "")];
    let wrong = violations("feed", &without);
    assert!(wrong.iter().any(|line| line.ends_with("wire imports base")), "{wrong:?}");
    assert!(wrong.iter().any(|line| line.contains("the room ledger is not in the table")));
    let cycle = [("base", "wire"), ("wire", "base")];
    assert!(violations("feed", &cycle)[0].contains("base may not import wire"));
    let names = imports("use crate::{a, b::C};\n// crate::no\nfn x() { crate::d::e() }\nmod tests");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b", "d"]);
}
