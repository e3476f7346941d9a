//! `betacrew grade` with cases side by side: networks of their own, repeats alone, clients that
//! linger, wait for ever or read their input.

use crate::grade::BETACREW;
use crate::support::{betacrew, run};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Grades a client in an empty folder, and returns the exit code, stdout and stderr.
pub(crate) fn grade(args: &[&str], client: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = betacrew(&["grade"]);
    command.args(args).arg("--").args(client).current_dir(folder.path());
    run(&mut command)
}

/// Grades a client, and returns the exit code, stdout and the JSON report.
pub(crate) fn grade_with_report(args: &[&str], client: &[&str]) -> (i32, String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let args = [args, &["--json", path.to_str().unwrap()]].concat();
    let (code, stdout, stderr) = grade(&args, client);
    let report = fs::read(&path).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    (code, stdout, serde_json::from_slice(&report).unwrap())
}

/// Returns the client as a shell script whose arguments are the exchange's address.
pub(crate) fn shell(script: &str) -> Vec<String> {
    ["bash", "-c", script, "client", "{host}", "{port}"].map(str::to_owned).to_vec()
}

/// Returns a script with a client that works only while no other client runs.
fn solitary(folder: &Path) -> String {
    let lock = folder.join("lock");
    format!(
        "mkdir {0} 2>/dev/null || exit 7; {BETACREW} fetch $1:$2; code=$?; rmdir {0}; exit $code",
        lock.display()
    )
}

#[test]
fn a_case_that_fails_beside_others_counts_only_alone() {
    let folder = tempfile::tempdir().unwrap();
    let client = shell(&solitary(folder.path()));
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    let (code, stdout, stderr) = grade(&["gaps", "--jobs", "8"], &client);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("ran again alone or beside a few"), "{stdout}");
    let (code, stdout, _) = grade(&["gaps/one", "gaps/burst", "--jobs", "1"], &client);
    assert!(code == 0 && !stdout.contains("again alone"), "none ran beside others: {stdout}");
}

#[cfg(target_os = "linux")]
#[test]
fn clients_of_a_taken_port_run_side_by_side_in_networks_of_their_own() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    // A client that fails beside others shows that there were others.
    let client = solitary(folder.path()).replace("$1:$2", &format!("127.0.0.1:{port}"));
    let client = ["bash", "-c", &client];
    let args = ["gaps", "--port", &port, "--jobs", "8"];
    let isolated = |when| grade(&[&args[..], &["--isolate", when]].concat(), &client);
    let (code, stdout, stderr) = isolated("auto");
    if stdout.contains("none can have a network of its own") {
        let required = std::env::var_os("BETACREW_REQUIRE_ISOLATION").is_some_and(|v| v == "1");
        assert!(!required, "BETACREW_REQUIRE_ISOLATION=1, but {stdout}");
        println!("skipped: {stdout}");
        return;
    }
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("in a network for each case"), "{stdout}");
    assert!(stdout.contains("ran again alone or beside a few"), "{stdout}");
    let (code, _, stderr) = isolated("never");
    assert!(code == 1 && stderr.contains(&format!("cannot listen on port {port}")), "{stderr}");
    // The client reaches nothing else.
    let reach = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let outside = ["bash", "-c", &reach];
    let other = if port == "3000" { "3001" } else { "3000" };
    let (code, stdout, _) = grade(&["gaps/one", "--port", other, "--isolate", "always"], &outside);
    assert!(code == 10 && stdout.contains("made no connection"), "{stdout}");
}

#[test]
fn clients_that_linger_are_learned() {
    let client = shell(&format!("{BETACREW} fetch $1:$2; sleep 30"));
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    let cases = ["gaps", "--jobs", "4"];
    let (code, stdout, report) = grade_with_report(&cases, &client);
    assert_eq!(code, 0, "{stdout}");
    let once = stdout.matches("the client does not end when it has all packets").count();
    assert_eq!(once, 1, "{stdout}");
    let took = report["cases"].as_array().unwrap().iter();
    let took = took.map(|case| case["run"]["tookMs"].as_f64().unwrap());
    assert!(took.fold(f64::MAX, f64::min) < 2000.0, "the first ones have two seconds: {stdout}");
}

#[test]
fn outputs_outside_of_the_case_s_folder_are_never_those_of_another_case() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output.json");
    // Only the first run writes, so that every other run would find its output.
    let script = folder.path().join("client.sh");
    let client = format!(
        "[ -e {0}/once ] && {{ exec 3<>/dev/tcp/$1/$2; exit; }}; : > {0}/once; {BETACREW} fetch \
         $1:$2 -o {1}",
        folder.path().display(),
        output.display()
    );
    fs::write(&script, client).unwrap();
    let client = ["bash", script.to_str().unwrap(), "{host}", "{port}"];
    let (code, stdout, stderr) = grade(&["gaps", "--jobs", "8"], &client);
    assert_eq!(code, 10, "{stdout}{stderr}");
    assert!(stdout.contains("a folder that all cases share"), "{stdout}");
    assert!(stdout.contains("grade F   must 1 of 9"), "{stdout}");
}

#[test]
fn input_is_typed_for_a_client_with_a_menu() {
    let client = shell(&format!(
        "printf 'Choice: '; read -r choice; [ \"$choice\" = 2 ] && {BETACREW} fetch $1:$2"
    ));
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    let (code, stdout, _) = grade(&["gaps/one", "--stdin", r"{wait 10ms}2\n"], &client);
    assert_eq!(code, 0, "{stdout}");
    let (code, stdout, _) = grade(&["gaps/one"], &client);
    assert_eq!(code, 10, "its input is empty: {stdout}");
    assert!(stdout.contains("it prints `Choice:` and no more"), "{stdout}");
    let (code, _, stderr) = grade(&["gaps/one", "--stdin", "{wait soon}"], &client);
    assert!(code == 2 && stderr.contains("{wait soon}"), "{stderr}");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_client_that_waits_for_ever_does_not_cost_its_time_limit() {
    let client = shell("exec 3<>/dev/tcp/$1/$2; printf '\\1\\0' >&3; cat <&3 > out");
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    // Twice the time limit is longer than any test may take.
    let args = ["robustness/silent", "--timeout", "10m", "--strict"];
    let (code, stdout, report) = grade_with_report(&args, &client);
    assert_eq!(code, 10, "{stdout}");
    let run = &report["cases"][0]["run"];
    assert!(run["ended"].as_str().unwrap().contains("it waits for ever"), "{run}");
    assert_eq!(run["cause"]["id"], "waits-for-stream", "{run}");
}

#[test]
fn a_client_that_prints_without_end_does_not_cost_its_time_limit() {
    let client = shell("exec 3<>/dev/tcp/$1/$2; printf '\\1\\0' >&3; cat <&3 > out; exec yes menu");
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    // A menu often begins again and again when its input has ended.
    for input in [&[][..], &["--stdin", r"1\n"]] {
        let args = [&["gaps/one", "--timeout", "10m"][..], input].concat();
        let (code, stdout, report) = grade_with_report(&args, &client);
        assert_eq!(code, 10, "{stdout}");
        let run = &report["cases"][0]["run"];
        assert!(run["ended"].as_str().unwrap().contains("it printed more than 32 MiB"), "{run}");
        assert_eq!(run["cause"]["id"], "spins", "{run}");
    }
}

#[test]
fn a_stream_call_of_one_byte_fails_although_our_exchange_answers_it() {
    let half = shell("exec 3<>/dev/tcp/$1/$2; printf '\\1' >&3; cat <&3 > out");
    let whole = shell("exec 3<>/dev/tcp/$1/$2; printf '\\1\\0' >&3; cat <&3 > out");
    for (client, expected) in [(half, 10), (whole, 0)] {
        let client: Vec<&str> = client.iter().map(String::as_str).collect();
        let (code, stdout, _) = grade(&["conduct/whole-calls"], &client);
        assert_eq!(code, expected, "{stdout}");
        let is_told = stdout.contains("its stream call on connection 1 has one byte");
        assert_eq!(is_told, expected == 10, "{stdout}");
    }
}

#[test]
fn fields_are_found_by_their_values() {
    let renamed = "sed -e s/symbol/assetCode/g -e s/buySellIndicator/orderDirection/g -e \
                   s/price/cost/g -e s/sequence/nth/g";
    let client = shell(&format!(
        "{BETACREW} fetch $1:$2 -o raw.json && {renamed} raw.json > output.json && rm raw.json"
    ));
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    let (code, stdout, stderr) = grade(&["gaps", "basics/extremes"], &client);
    assert_eq!(code, 0, "{stdout}{stderr}");
    for name in ["assetCode is symbol", "orderDirection is", "cost is price", "nth is sequence"] {
        assert!(stdout.contains(name), "{name}: {stdout}");
    }
    let given = "symbol=assetCode,buySellIndicator=orderDirection,price=nth,sequence=cost";
    let (code, stdout, _) = grade(&["gaps/one", "--fields", given], &client);
    assert!(code == 10 && stdout.contains("nth is price"), "the user knows better: {stdout}");
}
