//! Dashboard in a headless browser: `tests/browser`, which needs Node.js, Chromium and `npm ci`.

use crate::in_time::CommandInTime;
use std::path::Path;
use std::process::{Command, Output};

fn node(args: &[&str]) -> std::io::Result<Output> {
    Command::new("node")
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser"))
        .env("BETACREW_PROGRAM", env!("CARGO_BIN_EXE_betacrew"))
        .output_in_time()
}

/// Returns whether the browser tests can run. With BETACREW_REQUIRE_BROWSER=1 they must.
fn browser() -> bool {
    let reason = match node(&["dashboard.mjs", "check"]) {
        Ok(output) if output.status.success() => return true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let error = said.lines().find(|line| line.starts_with("Error"));
            error.unwrap_or(&said).trim().to_owned()
        }
        Err(error) => format!("node: {error}"),
    };
    assert!(
        std::env::var_os("BETACREW_REQUIRE_BROWSER").is_none_or(|value| value != "1"),
        "the dashboard cannot be tested: {reason}"
    );
    println!(
        "skipped: {reason} (it takes Node.js 20, chromium and \
         `npm ci --prefix crates/betacrew/tests/browser`)"
    );
    false
}

#[test]
fn the_dashboard_works_in_a_browser() {
    if !browser() {
        return;
    }
    let output = node(&["dashboard.mjs"]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
