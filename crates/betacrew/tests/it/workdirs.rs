//! Isolation of graded clients: their folders, their processes, and the removal of both.

use crate::grade::{BETACREW, example};
use crate::in_time::{ChildInTime, CommandInTime};
use crate::support::{PATIENCE, betacrew, run};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Waits until a file has a complete line, and returns it.
fn line_of(path: &Path) -> String {
    let began = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => assert!(began.elapsed() < PATIENCE, "{} is not written", path.display()),
        }
        std::thread::yield_now();
    }
}

fn runs(pid: &str) -> bool {
    // A zombie, which has ended and has not been waited for, counts as ended.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !matches!(
        stat.rsplit(')').next().map(str::trim_start).and_then(|s| s.chars().next()),
        None | Some('Z')
    )
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_grader_ends_all_processes_of_its_client() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    // The client has a child in a session of its own, outside the client's process group.
    let script = format!(
        "setsid sh -c 'echo $$ > {1}; exec sleep 100' & exec 3<>/dev/tcp/127.0.0.1/$BETACREW_PORT; \
         echo $$ > {0}; sleep 100",
        one.display(),
        two.display()
    );
    let mut command = betacrew(&["grade", "--port", "any", "--timeout", "90s"]);
    command.args(["gaps", "--", "bash", "-c", &script]);
    let mut child = command.current_dir(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let pids = [line_of(&one), line_of(&two)];
    assert!(pids.iter().all(|pid| runs(pid)));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.ends_with_output();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(pids.iter().all(|pid| !runs(pid)), "{pids:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_next_grader_cleans_up_after_a_killed_one() {
    let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let grade = |client: &[&str]| {
        let mut command = betacrew(&["grade", "--port", "any", "--timeout", "90s", "gaps/one"]);
        command.arg("--").args(client).current_dir(folder.path()).env("TMPDIR", temporary.path());
        command.stdout(Stdio::null());
        command
    };
    let left = || fs::read_dir(temporary.path()).unwrap().count();
    let outside = tempfile::tempdir().unwrap();
    let (one, two) = (outside.path().join("one"), outside.path().join("two"));
    // The client has a child in a session of its own, outside the client's process group.
    let script = format!(
        "setsid sh -c 'echo $$ > {1}; exec sleep 100' & echo $$ > {0}; exec sleep 100",
        one.display(),
        two.display()
    );
    let mut killed = grade(&["bash", "-c", &script]).spawn().unwrap();
    let pids = [line_of(&one), line_of(&two)];
    // A grader must not touch the folder and the client of another that still runs.
    run(&mut grade(&["true"]));
    assert!(pids.iter().all(|pid| runs(pid)) && left() == 1);
    killed.kill_and_reap();
    assert!(pids.iter().all(|pid| runs(pid)) && left() == 1, "no grader has cleaned up yet");
    run(&mut grade(&["true"]));
    let began = Instant::now();
    while pids.iter().any(|pid| runs(pid)) {
        assert!(began.elapsed() < PATIENCE, "{pids:?}");
        std::thread::yield_now();
    }
    assert_eq!(left(), 0);
}

#[cfg(unix)]
#[test]
fn writes_through_links_reach_only_the_copy() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("out")).unwrap();
    fs::write(path("out/real.json"), "mine").unwrap();
    fs::write(elsewhere.path().join("real.json"), "mine").unwrap();
    std::os::unix::fs::symlink("out/real.json", path("output.json")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("real.json"), path("log.json")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), path("data")).unwrap();
    // TMPDIR is inside the folder that is copied, so the copy must leave itself out.
    fs::create_dir(path("tmp")).unwrap();
    fs::write(path("tmp/mine"), "mine").unwrap();
    let script = format!(
        "{BETACREW} fetch 127.0.0.1:$BETACREW_PORT -o x.json && cat x.json > output.json && rm \
         x.json && echo theirs > log.json && echo theirs > data/real.json && echo theirs > \
         data/new.json && echo theirs > tmp/mine"
    );
    let mut command = betacrew(&["grade", "gaps/one", "--port", "any", "--", "sh", "-c", &script]);
    let command = command.current_dir(folder.path()).env("TMPDIR", "tmp");
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("✓ one"), "the output is found behind the link: {stdout}");
    for mine in [path("out/real.json"), elsewhere.path().join("real.json"), path("tmp/mine")] {
        assert_eq!(fs::read(&mine).unwrap(), b"mine", "{}", mine.display());
    }
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!([names(elsewhere.path()), names(&path("tmp")), names(&path("out"))], [1, 1, 1]);
}

/// The client is a setuid program that runs as another user, so the grader may not kill it. Only
/// root can make such a program, and only on some file systems.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_cannot_be_killed_is_reported_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let setpriv = folder.path().join("setpriv");
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.args(args).current_dir(folder.path()).env("TMPDIR", folder.path());
        command
    };
    let copied = fs::copy("/usr/bin/setpriv", &setpriv).is_ok()
        && fs::set_permissions(&setpriv, fs::Permissions::from_mode(0o4755)).is_ok();
    let root = [setpriv.to_str().unwrap(), "--reuid", "0"];
    let able = copied
        && as_nobody(&[&root[..], &["true"]].concat())
            .output_in_time()
            .is_ok_and(|output| output.status.success());
    let program = folder.path().join("betacrew");
    let able = able && fs::copy(BETACREW, &program).is_ok();
    if !able {
        println!("skipped: this user cannot make a setuid program");
        return;
    }
    let script = "echo $$ > pid; exec sleep 100";
    let grader = [program.to_str().unwrap(), "grade", "gaps/one", "--port", "any"];
    let limit = ["--timeout", "500ms", "--workdir", "here", "--"];
    let client = [&root[..], &["sh", "-c", script]].concat();
    let began = Instant::now();
    let (code, _, stderr) = run(&mut as_nobody(&[&grader[..], &limit, &client].concat()));
    let pid = line_of(&folder.path().join("pid"));
    assert!(runs(&pid), "it cannot be killed");
    let id = Pid::from_raw(pid.parse().unwrap()).unwrap();
    kill_process(id, Signal::KILL).unwrap();
    assert_eq!(code, 1, "{stderr}");
    let said = stderr.contains("cannot kill the client (process") && stderr.contains(&pid);
    assert!(said && began.elapsed() < PATIENCE, "{stderr}");
}

/// A package finds the packages that it needs in the folder above its own, by the name
/// `node_modules`. All cases share one copy of that folder.
#[test]
fn packages_of_a_node_client_find_each_other() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(node) = example("client.js", folder.path()) else { return };
    for (package, code) in [
        ("logger", "exports.log = (text) => require('form')(text);"),
        ("form", "module.exports = (text) => `formed ${text}`;"),
    ] {
        let place = folder.path().join("node_modules").join(package);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("index.js"), code).unwrap();
    }
    let client = "const text = require('logger').log('text');
        require('fs').writeFileSync(process.argv[2], text);";
    fs::write(folder.path().join("client.js"), client).unwrap();
    let said = elsewhere.path().join("said");
    let mut command = betacrew(&["grade", "--port", "any", "gaps/one", "--", &node[0]]);
    let (_, stdout, stderr) = run(command.arg("client.js").arg(&said).current_dir(folder.path()));
    assert_eq!(fs::read_to_string(&said).unwrap_or_default(), "formed text", "{stdout}{stderr}");
}
