//! Check of the finished site: every link leads to a file and a place in it, and nothing is loaded
//! from elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Checks all pages below a folder. Returns the number of links.
pub(super) fn check(site: &Path) -> Result<usize, String> {
    let mut pages = BTreeMap::new();
    read(site, &mut pages)?;
    let mut count = 0;
    let mut wrong = Vec::new();
    for (page, text) in &pages {
        // mdBook's page for all others has links relative to the site's root.
        if page.ends_with("404.html") {
            continue;
        }
        for (attribute, link) in links(text) {
            count += 1;
            if let Some(fault) = fault(page, attribute, &link, &pages) {
                wrong.push(format!("{}: {fault}", page.display()));
            }
        }
    }
    if pages.len() < 2 || count < pages.len() {
        wrong.push(format!("{} has {} pages, {count} links", site.display(), pages.len()));
    }
    if wrong.is_empty() { Ok(count) } else { Err(wrong.join("\n")) }
}

/// Reads all pages below a folder.
fn read(folder: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            read(&path, pages)?;
        } else if path.extension().is_some_and(|end| end == "html") {
            let text = fs::read_to_string(&path).map_err(failed)?;
            pages.insert(path, text);
        }
    }
    Ok(())
}

/// Returns the links of a page, each with its attribute.
fn links(text: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for attribute in ["href", "src", "srcset"] {
        for rest in text.split(&format!(" {attribute}=\"")).skip(1) {
            if let Some((link, _)) = rest.split_once('"') {
                found.push((attribute, link.replace("&amp;", "&")));
            }
        }
    }
    found
}

/// Returns what is wrong with a link of a page.
fn fault(
    page: &Path,
    attribute: &str,
    link: &str,
    pages: &BTreeMap<PathBuf, String>,
) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
        let is_loaded = attribute != "href" && !link.starts_with("data:");
        return is_loaded.then(|| format!("{link} is loaded from elsewhere"));
    }
    let (path, place) = link.split_once('#').unwrap_or((link, ""));
    let mut target = match path {
        "" => page.to_owned(),
        path => normal(&page.parent()?.join(path)),
    };
    if target.is_dir() {
        target.push("index.html");
    }
    let Some(text) = pages.get(&target) else {
        return (!target.exists()).then(|| format!("there is no {link}"));
    };
    let is_missing = !place.is_empty() && !ids(text).contains(place);
    is_missing.then(|| format!("there is no place {link}"))
}

/// Returns the places of a page that a link can lead to.
fn ids(text: &str) -> BTreeSet<&str> {
    text.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Returns a path without `..` in it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path {
        match part.to_str() {
            Some("..") => drop(normal.pop()),
            Some(".") => {}
            _ => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_nothing_and_to_elsewhere_are_noticed() {
        let page = Path::new("/site/docs/a.html");
        let other = "<h2 id=\"here\">x</h2>".to_owned();
        let pages = BTreeMap::from([("/site/b.html".into(), other)]);
        let fault = |attribute, link| fault(page, attribute, link, &pages);
        assert_eq!(fault("href", "../b.html#here"), None);
        assert!(fault("href", "../b.html#there").is_some_and(|it| it.contains("no place")));
        assert!(fault("href", "c.html").is_some_and(|it| it.contains("there is no c.html")));
        assert_eq!(fault("href", "https://example.org"), None);
        assert!(fault("src", "https://example.org/x.js").is_some());
        let found = links("<a class=\"x\" href=\"a&amp;b\"><img src=\"y\">");
        assert_eq!(found, [("href", "a&b".to_owned()), ("src", "y".to_owned())]);
    }
}
