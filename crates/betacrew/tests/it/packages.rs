//! Packages for other languages: their own tests, with the program that was just built.

use crate::in_time::CommandInTime;
use std::path::{Path, PathBuf};
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

/// Returns a folder with the example clients in `clients` and the program in `bin`. They are apart,
/// because the grader copies the clients' folder for each case.
fn workplace() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("clients")).unwrap();
    for entry in std::fs::read_dir(folder("examples/clients")).unwrap().map(Result::unwrap) {
        let copy = place.path().join("clients").join(entry.file_name());
        std::fs::copy(entry.path(), copy).unwrap();
    }
    let bin = place.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_betacrew"), bin.join("betacrew")).unwrap();
    place
}

/// Returns a command that runs a line of shell in the clients' folder of a workplace.
fn shell(place: &Path, line: &str) -> Command {
    let mut bash = Command::new("bash");
    let path = std::env::var("PATH").unwrap_or_default();
    bash.args(["--norc", "-eo", "pipefail", "-c", line]).current_dir(place.join("clients"));
    bash.env("PATH", format!("{}:{path}", place.join("bin").display())).env("NO_COLOR", "1");
    bash
}

/// Returns the scripts of an action's steps: the lines below `run: |`, without their indentation.
fn scripts(action: &str) -> Vec<String> {
    let mut scripts: Vec<String> = Vec::new();
    let mut is_script = false;
    for line in action.lines() {
        match line.strip_prefix("        ") {
            Some(code) if is_script => scripts.last_mut().unwrap().push_str(&format!("{code}\n")),
            _ if line == "      run: |" => {
                scripts.push(String::new());
                is_script = true;
            }
            _ => is_script = false,
        }
    }
    scripts
}

/// Runs the steps of `action.yml` as GitHub does, on a client that passes and on one that fails.
#[test]
fn the_action_grades_annotates_and_reports() {
    if !succeeds(Command::new("node").arg("--version"), None, "BETACREW_REQUIRE_CLIENTS") {
        return;
    }
    let action = std::fs::read_to_string(folder("action.yml")).unwrap();
    let scripts = scripts(&action);
    let [install, grade] = &scripts[..] else { panic!("two scripts: {scripts:?}") };
    let root = folder("").canonicalize().unwrap();
    for (client, passes) in [("client.js", true), ("'naive.js'", false)] {
        let place = workplace();
        let at = |name: &str| place.path().join(name);
        // In place of cargo, which would compile for minutes.
        let cargo = "#!/bin/sh\necho \"$*\" > ../cargo.txt\nfor last; do :; done\n\
                     mkdir -p \"$last/bin\"\ncp -L ../bin/betacrew \"$last/bin\"\n";
        std::fs::write(at("bin/cargo"), cargo).unwrap();
        let run_with = |script: &str, baseline: &str| {
            let mut bash = shell(place.path(), script);
            let command = format!("node {client} {{host}} {{port}}");
            bash.env("GITHUB_ACTION_PATH", &root).env("RUNNER_TEMP", at("temp"));
            bash.env("GITHUB_OUTPUT", at("output")).env("GITHUB_STEP_SUMMARY", at("summary"));
            bash.env("COMMAND", command).env("STRICT", "false").env("BASELINE", baseline);
            bash.env("CASES", "gaps/one\nframing/half-packet\n");
            bash.output_in_time().unwrap()
        };
        let run = |script: &str| run_with(script, "");
        let made_executable =
            shell(place.path(), "chmod +x ../bin/cargo").output_in_time().unwrap();
        assert!(made_executable.status.success());
        let done = run(install);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let cargo = std::fs::read_to_string(at("cargo.txt")).unwrap();
        assert!(cargo.contains("/crates/betacrew --root "), "{cargo}");
        let done = run(grade);
        let printed = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert_eq!(done.status.code(), Some(if passes { 0 } else { 10 }), "{printed}");
        assert_eq!(printed.contains("::error title=framing/half-packet::"), !passes, "{printed}");
        assert_eq!(printed.contains("%0AAs in examples/clients/client.js:"), !passes, "{printed}");
        let output = std::fs::read_to_string(at("output")).unwrap();
        assert_eq!(output.contains("grade=A\n"), passes, "{output}");
        let summary = std::fs::read_to_string(at("summary")).unwrap();
        assert_eq!(
            summary.contains("| `framing/half-packet` | must | fail |"),
            !passes,
            "{summary}"
        );
        for report in ["grade.json", "grade.xml", "grade.html", "grade.svg"] {
            assert!(at("temp/betacrew-reports").join(report).exists(), "{report}");
        }
        // With its own report as the baseline, nothing got worse.
        let baseline = at("baseline.json");
        std::fs::copy(at("temp/betacrew-reports/grade.json"), &baseline).unwrap();
        let done = run_with(grade, baseline.to_str().unwrap());
        let printed = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert_eq!(done.status.code(), Some(0), "{printed}");
        assert!(!printed.contains("::error "), "{printed}");
    }
}

/// Runs each command that `docs/ci.md` has for a CI.
#[test]
fn the_commands_for_other_ci_systems_work() {
    if !succeeds(Command::new("node").arg("--version"), None, "BETACREW_REQUIRE_CLIENTS") {
        return;
    }
    let text = std::fs::read_to_string(folder("docs/ci.md")).unwrap();
    let starts = ["- betacrew ", "sh 'betacrew ", "entry: betacrew ", "betacrew "];
    let commands: Vec<&str> = text
        .lines()
        .filter_map(|line| starts.iter().find_map(|start| line.trim().strip_prefix(start)))
        .map(|rest| rest.trim_end_matches('\''))
        .collect();
    assert_eq!(commands.len(), 5, "{commands:?}");
    let with_baseline = workplace();
    for command in commands {
        // The two commands about a baseline share a folder.
        let own = workplace();
        let place = if command.contains("baseline.json") { &with_baseline } else { &own };
        // All cases take long; a CI's command is the same with a few.
        let few = match command.contains("gaps/one") {
            true => command.to_owned(),
            false => command.replace(" -- ", " gaps/one -- "),
        };
        let done = shell(place.path(), &format!("betacrew {few}")).output_in_time().unwrap();
        let printed = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success() && printed.contains("grade A"), "{few}: {printed}");
        assert_eq!(
            place.path().join("clients/grade.xml").exists(),
            few.contains("grade.xml"),
            "{few}"
        );
    }
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
