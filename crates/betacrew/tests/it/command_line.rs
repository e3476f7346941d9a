//! The command line itself: completions, manual pages, the version, suggestions, `-q` and `-v`.

use crate::in_time::CommandInTime;
use crate::support::{ReservedPort, ServeProcess, betacrew, run};
use rustix::process::Signal;
use std::process::{Command, Stdio};

/// Runs a command that succeeds, and returns its stdout.
fn printed(args: &[&str]) -> String {
    let (code, stdout, stderr) = run(&mut betacrew(args));
    assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
    stdout
}

/// Returns the completions that bash offers for the last of these words.
fn completed(script: &str, words: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("script"), script).unwrap();
    let typed = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let (last, before) = (words.last().unwrap(), words[words.len() - 2]);
    let complete = format!(
        "source ./script; COMP_WORDS=({typed}); COMP_CWORD={}; \
         _betacrew betacrew '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.len() - 1
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &complete]).current_dir(folder.path()).stdin(Stdio::null());
    let done = bash.output_in_time().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let script = printed(&["completions", "bash"]);
    assert_eq!(completed(&script, &["betacrew", "se"]), ["serve"]);
    assert_eq!(completed(&script, &["betacrew", "serve", "--sce"]), ["--scenario"]);
    assert_eq!(completed(&script, &["betacrew", "completions", "el"]), ["elvish"]);
    // A flag that is read only to explain itself is not offered.
    let hidden = completed(&script, &["betacrew", "fetch", "--publish"]);
    assert_eq!(hidden.iter().any(|flag| flag == "--publish"), cfg!(feature = "nats"), "{hidden:?}");
}

#[test]
fn every_shell_gets_all_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&["completions", shell]);
        for command in ["serve", "fetch", "grade", "inspect", "convert", "scenarios", "man"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(!script.contains("\\u00"), "{shell}: a character is escaped");
    }
    let (code, _, stderr) = run(&mut betacrew(&["completions", "tcsh"]));
    assert!(code == 2 && stderr.contains("[possible values: bash,"), "{stderr}");
}

#[test]
fn manual_pages_have_the_flags_and_no_date() {
    let folder = tempfile::tempdir().unwrap();
    printed(&["man", "--folder", folder.path().to_str().unwrap()]);
    let mut pages = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(text.contains(&format!(".TH {name} 1 ")), "{text}");
        assert!(!text.contains("202"), "{name} has a date");
        let command = name.strip_prefix("betacrew-");
        let args = command.map_or(vec!["man"], |command| vec!["man", command]);
        assert_eq!(printed(&args), text, "{name}");
        pages += 1;
    }
    assert_eq!(pages, 14);
    let serve = printed(&["man", "serve"]);
    let lines: Vec<&str> = serve.lines().collect();
    let without_text: Vec<_> =
        lines.windows(3).filter(|lines| lines[0] == ".TP" && lines[2].is_empty()).collect();
    assert!(without_text.is_empty(), "{without_text:?}");
    for part in ["\\-\\-scenario", "\\-\\-log\\-format", "betacrew serve \\-\\-tape random"] {
        assert!(serve.contains(part), "{part}: {serve}");
    }
    let (code, _, stderr) = run(&mut betacrew(&["man", "serv"]));
    assert!(code == 2 && stderr.contains("the commands are serve, fetch"), "{stderr}");
    let missing = folder.path().join("none");
    let (code, _, stderr) = run(&mut betacrew(&["man", "--folder", missing.to_str().unwrap()]));
    assert!(code == 6 && stderr.contains("betacrew.1"), "{code} {stderr}");
}

#[test]
fn help_and_version_are_commands_too() {
    assert_eq!(printed(&["help", "serve"]), printed(&["serve", "--help"]));
    assert_eq!(printed(&["help"]), printed(&["--help"]));
    let version = printed(&["version"]);
    let lines: Vec<&str> = version.lines().collect();
    assert_eq!(lines[0], concat!("betacrew ", env!("CARGO_PKG_VERSION")));
    assert_eq!(lines[1].contains("web"), cfg!(feature = "web"), "{version}");
    assert_eq!(lines[1].contains("sqlite"), cfg!(feature = "sqlite"), "{version}");
    assert!(lines[2].starts_with("commit    ") && lines[2].len() > 10, "{version}");
    assert!(lines[3].contains(std::env::consts::ARCH) && lines.len() == 4, "{version}");
}

#[test]
fn flags_of_other_programs_are_answered_with_ours() {
    for (args, tip) in [
        (&["serve", "--port", "3000"][..], "'--listen'"),
        (&["serve", "--rate=5"], "'--pace'"),
        (&["serve", "--loss", "5%"], "'--drop'"),
        (&["--log", "warn", "demo", "--loss", "5%"], "'--drop'"),
        (&["fetch", "--port", "3000"], "give the value without a flag: 'betacrew fetch PORT'"),
        (&["grade", "--client", "x"], "'betacrew grade -- COMMAND'"),
        (&["serve", "--taep", "classic"], "'--tape'"),
    ] {
        let (code, stdout, stderr) = run(&mut betacrew(args));
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}");
        assert!(stderr.contains("\n  tip: ") && stderr.contains(tip), "{args:?}: {stderr}");
    }
    // No tip where nothing means the same, and none for a value that looks like a flag's name.
    let (_, _, stderr) = run(&mut betacrew(&["inspect", "--loss"]));
    assert!(!stderr.contains("--drop"), "{stderr}");
    let (_, _, stderr) = run(&mut betacrew(&["fetch", "--port=soup://me:secret@x"]));
    assert!(!stderr.contains("secret"), "{stderr}");
}

#[test]
fn a_quiet_command_tells_stderr_only_of_failures() {
    let folder = tempfile::tempdir().unwrap();
    let serving = ServeProcess::start(&["--tape", "classic", "-q"]);
    let fetch = |args: &[&str]| {
        run(betacrew(&["fetch", &serving.addresses[0]]).args(args).current_dir(folder.path()))
    };
    assert_eq!(fetch(&["-q"]), (0, String::new(), String::new()));
    assert!(fetch(&["--log", "error"]).2.contains("complete: 14 packets"));
    // The messages before a failure explain it.
    let short = ["--last", "20", "--passes", "1", "--classic", "--retries", "0"];
    let (code, _, stderr) = fetch(&[&short[..], &["--quiet"]].concat());
    assert!(code == 3 && stderr.contains("\n  missing  6 packets: 15-20\n"), "{code} {stderr}");
    serving.signal(Signal::TERM);
    assert_eq!(serving.ends(), (0, String::new()));
    let reserved = ReservedPort::new();
    let (code, _, stderr) =
        run(&mut betacrew(&["fetch", &reserved.address(), "-q", "--timeout", "100ms"]));
    assert!(code == 5 && !stderr.is_empty(), "{code} {stderr}");
}

#[test]
fn each_v_logs_more_and_contradictions_are_refused() {
    let serving = ServeProcess::start(&["--tape", "classic"]);
    let levels = |args: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut fetch = betacrew(&["fetch", &serving.addresses[0]]);
        let (code, _, stderr) = run(fetch.args(args).current_dir(folder.path()));
        assert_eq!(code, 0, "{stderr}");
        ["DEBUG ", "TRACE "].map(|level| stderr.contains(level))
    };
    assert_eq!(levels(&[]), [false, false]);
    assert_eq!(levels(&["-v"]), [false, false]);
    assert_eq!(levels(&["-vv"]), [true, false]);
    assert_eq!(levels(&["-vvv"]), [true, true]);
    for args in [["-q", "-v"], ["-q", "--log=info"], ["-vv", "--log=info"]] {
        let (code, _, stderr) = run(betacrew(&["scenarios"]).args(args));
        assert!(code == 2 && stderr.contains("cannot be used with"), "{stderr}");
    }
}

#[cfg(feature = "web")]
#[test]
fn health_is_that_of_the_program_at_the_address() {
    use crate::http::Program;
    use std::io::Write;
    let exchange = Program::exchange(&["--tape", "classic"]);
    let health = |address: &str| run(&mut betacrew(&["health", address, "--timeout", "5s"]));
    let (code, stdout, stderr) = health(&exchange.http);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.ends_with(" is ready\n"), "{stdout}");
    // Nothing, something that is no HTTP server, and one that never answers.
    let (code, _, stderr) = health(&ReservedPort::new().address());
    assert!(code == 5 && stderr.contains("not ready"), "{code} {stderr}");
    let other = crate::support::peer(|mut stream, _| drop(stream.write_all(b"SSH-2.0-x\r\n")));
    let (code, _, stderr) = health(&other.to_string());
    assert!(code == 5 && stderr.contains("not HTTP"), "{code} {stderr}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let (code, _, stderr) = run(&mut betacrew(&["health", &address, "--timeout", "50ms"]));
    assert!(code == 5 && stderr.contains(&address), "{code} {stderr}");
    assert_eq!(health("no such host").0, 2);
}
