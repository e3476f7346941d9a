//! Licences and sources of all dependencies, of every platform and feature.

use crate::command;
use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

/// Licences under which a dependency may be used.
const ALLOWED: [&str; 9] = [
    "MIT",
    "Apache-2.0",
    "Unicode-3.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "Zlib",
    // Of libFuzzer, which nothing that is handed out contains.
    "NCSA",
];

/// The only source of dependencies.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Workspaces of the repository.
const WORKSPACES: [&str; 3] = ["Cargo.toml", "bench/Cargo.toml", "fuzz/Cargo.toml"];

/// Checks the dependencies of all workspaces.
pub(crate) fn run() -> Result<(), String> {
    let mut odd = Vec::new();
    for manifest in WORKSPACES {
        let args = format!(
            "metadata --format-version 1 --all-features --locked --quiet --manifest-path {manifest}"
        );
        let output = command(&args, &[]).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let metadata: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let packages = metadata["packages"].as_array().ok_or("metadata without packages")?;
        eprintln!("{manifest}: {} packages", packages.len());
        odd.extend(packages.iter().filter_map(objection));
    }
    if odd.is_empty() { Ok(()) } else { Err(odd.join("\n")) }
}

/// Returns why a package may not be used.
fn objection(package: &Value) -> Option<String> {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let name = format!("{} {}", text("name"), text("version"));
    match package["source"].as_str() {
        None => return wildcard(package).map(|of| format!("{name}: any version of {of} will do")),
        Some(REGISTRY) => {}
        Some(source) => return Some(format!("{name} comes from {source}")),
    }
    let licence = text("license");
    match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) if expression.evaluate(is_allowed) => None,
        Ok(_) => Some(format!("{name} has the licence {licence}")),
        Err(error) => Some(format!("{name} has the licence {licence:?}: {}", error.reason)),
    }
}

fn is_allowed(licence: &LicenseReq) -> bool {
    licence.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
}

/// Returns a dependency of a package of ours that any version satisfies.
fn wildcard(package: &Value) -> Option<&str> {
    let all = package["dependencies"].as_array()?;
    let loose = all.iter().find(|it| it["req"] == "*" && it["path"].is_null())?;
    loose["name"].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn other_licences_and_sources_are_refused() {
        let package = |licence: &str, source: Value| {
            let package = json!({ "name": "x", "version": "1.0.0", "license": licence,
                "source": source, "dependencies": [{ "name": "y", "req": "*" }] });
            objection(&package)
        };
        let registry = || REGISTRY.into();
        for licence in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR (ISC AND Unicode-3.0)"] {
            assert_eq!(package(licence, registry()), None);
        }
        for licence in ["GPL-3.0", "MIT AND GPL-2.0-only", "nonsense", ""] {
            let said = package(licence, registry()).unwrap();
            assert!(said.starts_with("x 1.0.0 has the licence"), "{said}");
        }
        let said = package("MIT", "git+https://example.com/x".into()).unwrap();
        assert_eq!(said, "x 1.0.0 comes from git+https://example.com/x");
        assert_eq!(package("", Value::Null).unwrap(), "x 1.0.0: any version of y will do");
    }
}
