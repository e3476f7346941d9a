//! Build script: tells the program its target and, in release builds, the commit of its sources.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=BETACREW_COMMIT");
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=BETACREW_TARGET={target}");
    println!("cargo:rustc-env=BETACREW_BUILT_FROM={}", commit());
}

/// Returns the commit: the one of `BETACREW_COMMIT`, or in release builds the one that git names.
fn commit() -> String {
    if let Ok(given) = std::env::var("BETACREW_COMMIT") {
        return given.chars().filter(char::is_ascii_graphic).collect();
    }
    // Each commit would compile the program again, so builds for tests do without.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return "not recorded in debug builds".to_owned();
    }
    // Sources without a repository of their own may lie in one of somebody else.
    if git(&["rev-parse", "--show-prefix"]).as_deref() != Some("crates/betacrew/") {
        return "unknown: built outside of its git repository".to_owned();
    }
    // Any change of the sources may turn a clean tree into a changed one.
    for place in ["src", "../feed/src", "../gateway/src"] {
        println!("cargo:rerun-if-changed={place}");
    }
    for name in ["HEAD", "index"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let described = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    described.unwrap_or_else(|| "unknown: git names none".to_owned())
}

/// Runs git, and returns the line that it prints.
fn git(args: &[&str]) -> Option<String> {
    let done = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    let line = text.trim();
    (done.status.success() && !line.is_empty()).then(|| line.to_owned())
}
