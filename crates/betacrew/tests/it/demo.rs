//! The demonstration.

use crate::support::{betacrew, run};

#[test]
fn shows_loss_and_recovery_and_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let demo = |args: &[&str]| run(betacrew(&["demo"]).args(args).current_dir(folder.path()));
    let (code, first, stderr) = demo(&["--seed", "7"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{first}");
    assert!(first.contains("all 480 packets are there, each once, in order, equal"), "{first}");
    assert!(first.contains("(seed 7)") && first.contains('·') && first.contains('◆'), "{first}");
    let written = std::fs::read(folder.path().join("output.json")).unwrap();
    // All but the time it took.
    let again = demo(&["--seed", "7"]).1;
    let without_times = |text: &str| {
        text.lines().filter(|line| !line.contains("took")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_times(&first), without_times(&again));
    assert_eq!(std::fs::read(folder.path().join("output.json")).unwrap(), written);
    assert_eq!(demo(&["--packets", "1", "--drop", "1"]).0, 0);
    assert_eq!(demo(&["-o", "none/x.json"]).0, 6);
}

#[test]
fn it_shows_scenarios() {
    let folder = tempfile::tempdir().unwrap();
    let demo = |args: &[&str]| run(betacrew(&["demo"]).args(args).current_dir(folder.path()));
    let (code, stdout, stderr) = demo(&["--scenario", "burst", "--seed", "1"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.contains("as scenario burst: Five packets in a row"), "{stdout}");
    assert!(stdout.contains("1  ▪▪▪·····▪▪▪▪▪▪\n"), "{stdout}");
    assert!(demo(&["--scenario", "bursts", "--packets", "300"]).1.contains("all 300 packets"));
    for (scenario, reason) in [("firehose", "100000 packets"), ("original", "use serve")] {
        let (code, _, stderr) = demo(&["--scenario", scenario]);
        assert!(code == 2 && stderr.contains(reason), "{stderr}");
    }
}

#[test]
fn its_output_has_the_format_of_its_name_and_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let demo = |output| run(betacrew(&["demo", "-o", output]).current_dir(folder.path()));
    assert_eq!(demo("out.csv").0, 0);
    assert!(std::fs::read(folder.path().join("out.csv")).unwrap().starts_with(b"symbol,"));
    let (code, stdout, stderr) = demo("-");
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("-o FILE"), "{stderr}");
}
