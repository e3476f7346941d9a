//! Site of the documentation: the pages of the repository as a book, with references that are
//! generated from the program.
//!
//! The pages are staged in `target/site-pages` at their own places, so that their links work as
//! they are. mdBook makes `target/site` from them, and [`links`] checks every link of the result.

mod api;
mod catalogue;
mod commands;
mod links;
mod program;

use crate::{cargo, finish};
use program::Program;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Parts of the book, each with its title and its pages in the order of reading. A page is a title
/// and a file of the repository, or of the generated ones.
const PARTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "Tutorials",
        &[
            ("Your first client", "docs/tutorial.md"),
            ("From a capture to a tested handler", "docs/handler.md"),
        ],
    ),
    (
        "How to",
        &[
            ("Install it", "docs/install.md"),
            ("Grade a client", "docs/grade.md"),
            ("Grade it in CI", "docs/ci.md"),
            ("Test with pytest", "python/README.md"),
            ("Test with node:test, vitest, jest", "npm/betacrew/README.md"),
            ("Learn from example clients", "examples/clients/README.md"),
            ("Record a live session", "docs/live.md"),
            ("Read captures", "docs/captures.md"),
            ("Watch and control it in a browser", "docs/dashboard.md"),
            ("Watch it with Prometheus and Grafana", "docs/monitoring.md"),
            ("Publish into NATS", "docs/gateway.md"),
        ],
    ),
    (
        "Reference",
        &[
            ("Commands", COMMANDS),
            ("Scenario files", "docs/scenarios.md"),
            ("Built-in scenarios", CATALOGUE),
            ("HTTP", "docs/http.md"),
            ("HTTP API, in detail", API),
            ("File formats", "docs/formats.md"),
            ("JSON Schemas", "docs/schemas.md"),
            ("Tape files", "docs/tape.md"),
            ("The exercise's protocol", "docs/protocol.md"),
            ("SoupBinTCP", "docs/soup.md"),
            ("MoldUDP64", "docs/mold.md"),
            ("ITCH 5.0", "docs/itch.md"),
        ],
    ),
    (
        "Explanation",
        &[
            ("Words, and all pages", "docs/README.md"),
            ("Time that recovery takes", "docs/recovery.md"),
            ("How it is tested", "docs/simulator.md"),
            ("Architecture", "ARCHITECTURE.md"),
            ("Contributing", "CONTRIBUTING.md"),
            ("Speed", "bench/README.md"),
            ("Speed: results", "bench/RESULTS.md"),
            ("Changes", "CHANGELOG.md"),
        ],
    ),
];

/// First page.
const FRONT: &str = "README.md";

/// Generated pages.
const COMMANDS: &str = "docs/commands.md";
const CATALOGUE: &str = "docs/catalogue.md";
const API: &str = "docs/api.md";

/// Folders that pages link to, each with the page that stands for it.
const FOLDERS: [(&str, &str); 3] = [
    ("crates/betacrew/scenarios", CATALOGUE),
    ("examples/clients", "examples/clients/README.md"),
    ("docs", "docs/README.md"),
];

/// Settings of mdBook.
const BOOK: &str = include_str!("site/book.toml");

/// Style of generated pages, and of wide tables.
const STYLE: &str = include_str!("site/site.css");

/// Builds the site.
pub(crate) fn run() -> Result<(), String> {
    let installed = Command::new("mdbook").arg("--version").output();
    if !installed.is_ok_and(|done| done.status.success()) {
        return Err("mdbook is not installed: cargo install --locked mdbook@0.5.4".to_owned());
    }
    cargo("build --quiet --package betacrew --all-features", &[])?;
    let root = root();
    let staging = root.join("target/site-pages");
    if staging.exists() {
        fs::remove_dir_all(&staging).map_err(|error| error.to_string())?;
    }
    let stage = Stage { pages: staging.join("src"), root };
    write(&staging.join("book.toml"), BOOK)?;
    write(&staging.join("site.css"), STYLE)?;
    write(&stage.pages.join("SUMMARY.md"), &summary())?;
    stage.generate()?;
    for name in std::iter::once(FRONT).chain(pages()) {
        stage.page(name)?;
    }
    let site = stage.root.join("target/site");
    finish(Command::new("mdbook").arg("build").arg(&staging).arg("--dest-dir").arg(&site))?;
    let count = links::check(&site)?;
    eprintln!("target/site/index.html: {} pages, {count} links", pages().count() + 1);
    Ok(())
}

/// Returns the root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the files of all pages but the first.
fn pages() -> impl Iterator<Item = &'static str> {
    PARTS.iter().flat_map(|(_, pages)| pages.iter().map(|(_, file)| *file))
}

/// Returns mdBook's table of contents.
fn summary() -> String {
    let mut text = format!("# Summary\n\n[betacrew]({FRONT})\n");
    for (title, pages) in PARTS {
        let _ = writeln!(text, "\n# {title}\n");
        for (title, file) in pages {
            let _ = writeln!(text, "- [{title}]({file})");
        }
    }
    text
}

/// Writes a file and the folders above it.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Folder in which the book's sources are collected.
struct Stage {
    /// Folder of the pages.
    pages: PathBuf,
    /// Root of the repository.
    root: PathBuf,
}

impl Stage {
    /// Writes the generated pages.
    fn generate(&self) -> Result<(), String> {
        let program = Program::built()?;
        write(&self.pages.join(COMMANDS), &commands::page(&program)?)?;
        write(&self.pages.join(CATALOGUE), &catalogue::page(&program, &self.root)?)?;
        write(&self.pages.join(API), &api::page(&program)?)
    }

    /// Copies a page, unless it was generated, and the files that it links to.
    fn page(&self, name: &str) -> Result<(), String> {
        if [COMMANDS, CATALOGUE, API].contains(&name) {
            return Ok(());
        }
        let source = self.root.join(name);
        let text = fs::read_to_string(&source)
            .map_err(|error| format!("{}: {error}", source.display()))?;
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let mut staged = text;
        // Pictures that differ between light and dark are HTML.
        for (opening, closing) in [("](", ')'), (" src=\"", '"'), (" srcset=\"", '"')] {
            staged = replaced(&staged, opening, closing, |link| self.target(folder, link))?;
        }
        write(&self.pages.join(name), &staged)
    }

    /// Returns the link of a page in `folder` as the book needs it. Copies the file that it leads
    /// to, if that is no page.
    fn target(&self, folder: &Path, link: &str) -> Result<String, String> {
        let (path, place) = link.split_once('#').unwrap_or((link, ""));
        let there = normal(&folder.join(path));
        let file = self.root.join(&there);
        let is_page = pages().any(|page| page == there) || there == FRONT;
        if is_page && there.ends_with("README.md") {
            // mdBook gives such pages this name.
            let hash = if place.is_empty() { "" } else { "#" };
            return Ok(format!("{}{hash}{place}", path.replace("README.md", "index.md")));
        }
        if path.is_empty() || link.contains("://") || is_page || !file.exists() {
            return Ok(link.to_owned());
        }
        if file.is_dir() {
            let page = FOLDERS.iter().find(|(name, _)| *name == there);
            let (_, page) = page.ok_or(format!("{link}: xtask/src/site.rs has no page for it"))?;
            let up = "../".repeat(folder.iter().count());
            return Ok(format!("{up}{}", page.replace("README.md", "index.md")));
        }
        if there.ends_with(".md") {
            return Err(format!("{link} is not in the table of pages in xtask/src/site.rs"));
        }
        let place = self.pages.join(&there);
        fs::create_dir_all(place.parent().unwrap_or(&place))
            .and_then(|()| fs::copy(&file, &place))
            .map_err(|error| format!("{}: {error}", place.display()))?;
        Ok(link.to_owned())
    }
}

/// Returns a text with each part between `opening` and `closing` replaced.
fn replaced(
    text: &str,
    opening: &str,
    closing: char,
    with: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut parts = text.split(opening);
    let mut done = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        done += opening;
        match part.split_once(closing) {
            Some((link, behind)) => {
                done += &with(link)?;
                done.push(closing);
                done += behind;
            }
            None => done += part,
        }
    }
    Ok(done)
}

/// Returns a relative path without `..` in it, with slashes.
fn normal(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.iter().filter_map(|part| part.to_str()) {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_docs_is_in_the_book() {
        for entry in fs::read_dir(root().join("docs")).unwrap() {
            let name = format!("docs/{}", entry.unwrap().file_name().to_str().unwrap());
            assert!(!name.ends_with(".md") || pages().any(|page| page == name), "{name}");
        }
    }

    #[test]
    fn every_page_of_the_book_exists() {
        for page in pages().filter(|page| ![COMMANDS, CATALOGUE, API].contains(page)) {
            assert!(root().join(page).is_file(), "{page}");
        }
        assert!(summary().contains("# How to\n\n- [Install it](docs/install.md)\n"));
    }

    #[test]
    fn links_lead_to_copies_and_to_pages_for_folders() {
        let folder = std::env::temp_dir().join(format!("betacrew-site-{}", std::process::id()));
        let stage = Stage { pages: folder.clone(), root: root() };
        let target = |link| stage.target(Path::new("docs"), link);
        assert_eq!(target("grade.md#verdicts").unwrap(), "grade.md#verdicts");
        assert_eq!(target("../crates/betacrew/scenarios").unwrap(), "../docs/catalogue.md");
        assert_eq!(target("README.md#words").unwrap(), "index.md#words");
        assert_eq!(target("../compose.yaml").unwrap(), "../compose.yaml");
        assert!(folder.join("compose.yaml").is_file());
        assert!(target("../crates/feed").is_err() && target("../.github/x.md").is_ok());
        fs::remove_dir_all(folder).unwrap();
    }
}
