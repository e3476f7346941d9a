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

/// Runs a command that succeeds. Returns false if its program is missing and not required.
fn succeeds(command: &mut Command, missing: &str, required: &str) -> bool {
    let text = match command.output_in_time() {
        Ok(Output { status, stdout, stderr }) => {
            let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
            if status.success() {
                return true;
            }
            assert!(text.contains(missing), "{text}");
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
        if !succeeds(&mut import, "No module named", "BETACREW_REQUIRE_READERS") {
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
        let done = command.output_in_time().unwrap();
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{text}");
    }
}
