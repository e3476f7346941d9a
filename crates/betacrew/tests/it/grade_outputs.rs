//! `betacrew grade` on outputs of unusual form: printed for people, not understood, or not the
//! client's.

use crate::grade::BETACREW;
use crate::grade_jobs::{grade, grade_with_report, shell};
use crate::in_time::ChildInTime;
use crate::support::betacrew;
use std::fs::{self, File};

/// Returns a client that records a session with our own client, and prints its rows as changed by
/// this script of sed.
fn printing(sed: &str) -> Vec<String> {
    let rows = "sed 's/,\"arrived.*/}/' x.ndjson";
    shell(&format!("{BETACREW} fetch $1:$2 -o x.ndjson && {rows} | sed '{sed}' && rm x.ndjson"))
}

fn words(client: &[String]) -> Vec<&str> {
    client.iter().map(String::as_str).collect()
}

#[test]
fn rows_that_are_printed_for_people_are_read() {
    for (sed, form) in [
        (r#"s/"//g; s/,/ /g"#, "stdout is read as names with values"),
        (r#"s/["{}]//g; s/,/\n/g"#, "stdout is read as names with values"),
        (r#"s/[^:]*:\([^,}]*\)[,}]/\1 /g; s/"//g"#, "stdout is read as rows without names"),
    ] {
        let client = printing(sed);
        let (code, stdout, stderr) = grade(&["gaps/one", "gaps/burst"], &words(&client));
        assert_eq!(code, 0, "{sed}: {stdout}{stderr}");
        assert!(stdout.contains(form), "{sed}: {stdout}");
    }
}

#[test]
fn an_output_that_is_not_understood_is_not_judged() {
    let client = printing("s/price\":/cost\":9/");
    let client = words(&client);
    let cases = ["gaps/one", "gaps/burst", "conduct/resets"];
    let (code, stdout, report) = grade_with_report(&cases, &client);
    assert_eq!(code, 3, "{stdout}");
    let (_, details) = stdout.split_once("the output is not understood: ").expect(&stdout);
    assert!(details.starts_with("2 cases could not be judged, because stdout has"), "{stdout}");
    assert!(details.contains("--fields says which is which, such as price=cost"), "{stdout}");
    assert!(stdout.contains("grade none"), "{stdout}");
    assert_eq!((&report["grade"], &report["notJudged"]), (&serde_json::Value::Null, &2.into()));
    assert_eq!(report["cases"][0]["verdict"], "not judged");
    assert_eq!(report["cases"][2]["verdict"], "pass", "its conduct can be judged");
    // The user says what the name means, so that its values count.
    let named = [&cases[..], &["--fields", "Price=Cost"]].concat();
    let (code, stdout, _) = grade(&named, &client);
    assert!(code == 10 && stdout.contains("wrong: price of packet 1 is 9"), "{stdout}");
    let nowhere = printing("s/.*/& { &/; s/\"[a-zA-Z]*\"://g; s/[^A-Z0-9]/ und /g");
    let (code, stdout, _) = grade(&["gaps/one"], &words(&nowhere));
    assert!(code == 3 && stdout.contains("in no known form"), "{stdout}");
    assert!(stdout.contains("--output FILE names another output"), "{stdout}");
}

#[test]
fn the_report_of_the_grader_is_never_the_output_of_a_client() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.txt");
    // The client writes nothing. The file of the grader's report looks like an output.
    let client =
        "exec 3<>/dev/tcp/$BETACREW_HOST/$BETACREW_PORT; printf '\\1\\0' >&3; cat <&3 >/dev/null";
    fs::write(folder.path().join("client.sh"), client).unwrap();
    let rows: String = (1..=14)
        .map(|n| format!("{{\"symbol\":\"A\",\"side\":\"B\",\"qty\":1,\"price\":1,\"seq\":{n}}}\n"))
        .collect();
    fs::write(&report, rows).unwrap();
    let mut command = betacrew(&["grade", "gaps/one", "--port", "any", "--", "bash", "client.sh"]);
    command.current_dir(folder.path()).stdout(File::options().append(true).open(&report).unwrap());
    let status = command.spawn().unwrap().ends();
    let text = fs::read_to_string(&report).unwrap();
    assert_eq!(status.code(), Some(10), "{text}");
    assert!(text.contains("actual    no output"), "{text}");
}

#[test]
fn the_original_exchange_shows_a_client_that_writes_nothing() {
    let call =
        "exec 3<>/dev/tcp/$1/$2; printf '\\1\\0' >&3; cat <&3 >/dev/null; echo [] > output.json";
    let client = shell(call);
    let (code, stdout, _) = grade(&["conduct/original"], &words(&client));
    assert!(code == 10 && stdout.contains("actual    missing 1"), "{stdout}");
    let client = shell(&format!("{BETACREW} fetch $1:$2 -o output.json"));
    let (code, stdout, _) = grade(&["conduct/original"], &words(&client));
    assert_eq!(code, 0, "{stdout}");
}

#[test]
fn a_client_that_prints_and_lingers_is_learned_too() {
    let rows = "sed 's/,\"arrived.*/}/' x.ndjson";
    let record = format!("{BETACREW} fetch $1:$2 -o x.ndjson && {rows}; rm x.ndjson; sleep 30");
    let client = shell(&record);
    let args = ["gaps/one", "gaps/burst", "gaps/order", "gaps/only-last", "gaps/before-last"];
    let args = [&args[..], &["--timeout", "4s", "--jobs", "1"]].concat();
    let (code, stdout, report) = grade_with_report(&args, &words(&client));
    assert_eq!(code, 0, "{stdout}");
    let took = |place: usize| report["cases"][place]["run"]["tookMs"].as_f64().unwrap();
    // The first case cannot know that no file follows.
    assert!(took(0) > 3900.0 && took(4) < 3000.0, "{stdout}");
}
