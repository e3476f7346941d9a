//! Packages for other languages: their own tests, with the program that was just built.

use crate::in_time::CommandInTime;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Returns a folder of the repository.
fn folder(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", name].iter().collect()
}

/// Returns a command that runs in a folder of the repository and finds the program.
fn tool(program: &str, name: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder(name)).env("BETACREW_BINARY", env!("CARGO_BIN_EXE_betacrew"));
    command
}

/// Runs a command that succeeds. Returns false if its program is missing, or prints `missing`, and
/// the variable `required` is not set.
fn succeeds(command: &mut Command, missing: Option<&str>, required: &str) -> bool {
    let text = match command.output_in_time() {
        Ok(Output { status, stdout, stderr }) => {
            let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
            if status.success() {
                return true;
            }
            assert!(missing.is_some_and(|missing| text.contains(missing)), "{text}");
            text
        }
        Err(error) => error.to_string(),
    };
    let is_required = std::env::var_os(required).is_some_and(|value| value == "1");
    assert!(!is_required, "{command:?} does not run: {text}");
    println!("skipped: {text}");
    false
}

#[test]
fn python_s_tests_pass_and_its_types_are_right() {
    let python = std::env::var("BETACREW_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let modules = ["pytest", "mypy", "pyarrow"];
    for module in modules {
        let mut import = tool(&python, "python");
        import.args(["-c", &format!("import {module}")]);
        if !succeeds(&mut import, Some("No module named"), "BETACREW_REQUIRE_READERS") {
            return;
        }
    }
    // Nothing is written beside the sources.
    for args in [
        &["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"][..],
        &["-m", "mypy", "--cache-dir=/dev/null", "src"],
    ] {
        let mut command = tool(&python, "python");
        command.args(args).env("PYTHONPATH", folder("python/src"));
        assert!(succeeds(&mut command, None, "BETACREW_REQUIRE_READERS"));
    }
}

#[test]
fn javascript_s_tests_pass_and_its_types_are_right() {
    let mut tests = tool("node", "npm");
    let files = ["betacrew", "readme"].map(|name| format!("betacrew/test/{name}.test.mjs"));
    // A runner around this one would take its results.
    tests.arg("--test").args(files).env_remove("NODE_TEST_CONTEXT");
    if !succeeds(&mut tests, None, "BETACREW_REQUIRE_CLIENTS") {
        return;
    }
    let mut types = tool("node", "npm");
    types.args(["node_modules/typescript/bin/tsc", "--project", "betacrew/test/tsconfig.json"]);
    succeeds(&mut types, Some("Cannot find module"), "BETACREW_REQUIRE_CLIENTS");
}

/// The packages have one version, which publishing needs.
#[test]
fn all_packages_have_the_version_of_the_program() {
    let read = |name: &str| {
        let path = folder("npm").join(name).join("package.json");
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let version = env!("CARGO_PKG_VERSION");
    let main = read("betacrew");
    assert_eq!(main["version"], version);
    let platforms = main["optionalDependencies"].as_object().unwrap();
    assert!(!platforms.is_empty());
    for (name, needed) in platforms {
        assert_eq!(needed, version, "{name}");
        assert_eq!(read(name)["version"], version, "{name}");
    }
}
