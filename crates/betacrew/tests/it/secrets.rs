//! Passwords and tokens: nothing that the program says, writes or serves shows one.

use crate::support::{betacrew, run};
use std::path::Path;

const SECRET: &str = "hunter2S3cr3t";

/// No output has the secret, or a part of it.
fn hidden(what: &str, text: &str) {
    for part in [SECRET, "hunter2", "S3cr3t"] {
        assert!(!text.contains(part), "{what} shows {part}:\n{text}");
    }
}

/// Runs the program, which must fail and not show the secret; returns what it said.
fn fails(folder: &Path, args: &[&str]) -> String {
    let (code, out, said) = run(betacrew(args).args(["--log", "trace"]).current_dir(folder));
    let what = args.join(" ");
    assert!(code != 0, "{what}");
    hidden(&what, &out);
    hidden(&what, &said);
    assert!(said.lines().count() > 0, "{what}");
    said
}

#[test]
fn a_mistyped_location_is_not_repeated_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("x.json"), "[]").unwrap();
    for url in [
        "natz://bob:hunter2S3cr3t@h/x",
        "nats:/bob:hunter2S3cr3t@h/x",
        "nats:bob:hunter2S3cr3t@h",
        "nats//bob:hunter2S3cr3t@h",
        "nats://bob:hunter2S3cr3t",
        "nats://bob:hunter2S3cr3t@h:port/x",
        "nats://bob:hunter2/S3cr3t@h/x",
        "nats://bob:hunter2,S3cr3t@h/x",
        "nats://bob:hunter2%40S3cr3t@h:port/x",
        "nats://bob:hunter2 S3cr3t@h:port/x",
        "tls://hunter2S3cr3t@h/a.b",
        "http://bob:hunter2S3cr3t@h/x",
        "bob:hunter2S3cr3t@127.0.0.1:3000",
    ] {
        for args in [
            &["fetch", "127.0.0.1:1", "--timeout", "0s", "--publish", url][..],
            &["fetch", url],
            &["fetch", "127.0.0.1:1", "--timeout", "0s", "-o", url],
            &["fetch", "127.0.0.1:1", "--timeout", "0s", "--tape", url],
            &["fetch", "--sync", url],
            &["fetch", "--publish-block", url],
            &["fetch", "--publish-format", url],
            &["convert", "x.json", url],
            &["convert", "x.json", url, "--to", "csv"],
            &["convert", url, "y.json"],
            &["convert", url, "y.json", "--from", "csv"],
            &["inspect", url],
            &["inspect", url, "x.json"],
            &["inspect", "x.json", "--against", url],
            &["inspect", "x.json", "--plot", url],
            &["serve", "--listen", url],
            &["serve", "--listen", "127.0.0.1:0", "--tape", url],
            &["serve", "--listen", "127.0.0.1:0", "--tape", &format!("random:{url}")],
            &["serve", "--listen", "127.0.0.1:0", "--scenario", url],
            &["serve", "--listen", "127.0.0.1:0", "--http", url],
            &["serve", url],
            &["scenarios", url],
            &["sim", "--seeds", url],
            &["demo", "--scenario", url],
            &["grade", url, "--", "true"],
            &[url],
        ] {
            fails(here, args);
        }
    }
    let said = fails(here, &["convert", "x.json", "natz://bob:hunter2S3cr3t@h/x"]);
    assert!(said.contains("natz://h/x"), "the place is named: {said}");
}

#[test]
fn a_secret_in_a_scenario_or_a_file_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for tape in ["natz://bob:hunter2S3cr3t@h/x", "random:nats://bob:hunter2S3cr3t@h"] {
        std::fs::write(here.join("s.toml"), format!("tape = \"{tape}\"\n")).unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--scenario", "s.toml"];
        fails(here, &serve);
        fails(here, &["demo", "--scenario", "s.toml"]);
    }
    std::fs::write(here.join("secret"), "hunter2S3cr3t\n".repeat(400)).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0", "--http-token-file"];
    fails(here, &[&serve[..], &["secret"]].concat());
    let publish = ["convert", "x.json", "nats://127.0.0.1:1/x"];
    let packet = r#"{"symbol":"A","buySellIndicator":"B","quantity":1,"price":1,"sequence":1}"#;
    std::fs::write(here.join("x.json"), format!("[{packet}]")).unwrap();
    for flag in ["--publish-password-file", "--publish-creds", "--publish-ca"] {
        if cfg!(feature = "nats") && flag != "--publish-ca" {
            fails(here, &[&publish[..], &[flag, "secret"]].concat());
        }
        fails(here, &[&publish[..], &[flag, "nats://bob:hunter2S3cr3t@h"]].concat());
    }
    let two =
        ["convert", "x.json", "nats://bob:hunter2S3cr3t@h/x", "--publish-password-file", "x.json"];
    let said = fails(here, &two);
    assert!(!cfg!(feature = "nats") || said.contains("leave out the one in the URL"), "{said}");
}

#[cfg(all(feature = "nats", feature = "web"))]
mod with_a_log {
    use super::{SECRET, hidden};
    use crate::http::Program;
    use crate::server::{Server, servers};
    use crate::support::{PATIENCE, betacrew, run};
    use std::fs::{self, File};
    use std::process::Command;
    use std::time::Instant;

    /// Returns all texts of the HTTP address.
    const SHOWN: [&str; 5] = ["/metrics", "/api/state", "/openapi.json", "/api/scenario", "/none"];

    fn shows(program: &Program) -> String {
        let pages = SHOWN.map(|path| program.ask("GET", path, "", "").1);
        pages.iter().for_each(|page| hidden("HTTP", page));
        pages.concat()
    }

    fn start(mut command: Command, log: &std::path::Path) -> Program {
        command.args(["--log", "trace", "--http-token", SECRET]).stderr(File::create(log).unwrap());
        Program::of(command)
    }

    #[test]
    fn a_run_with_a_password_and_a_token_shows_neither() {
        if !servers() {
            return;
        }
        let server = Server::with(&format!("authorization {{ user: bob, password: {SECRET} }}\n"));
        let (folder, host) = (tempfile::tempdir().unwrap(), server.url());
        let url = host.replace("nats://", &format!("nats://bob:{SECRET}@"));
        let at = |name: &str| folder.path().join(name);
        let serve = ["serve", "--listen", "127.0.0.1:0", "--live", "--pace", "5000/s"];
        let exchange = start(betacrew(&serve), &at("exchange.log"));
        let fetch = ["fetch", "-f", &exchange.feed, "--publish", &url];
        let mut command = betacrew(&[&fetch[..], &["--report", "report.json"]].concat());
        command.current_dir(folder.path());
        let client = start(command, &at("client.log"));
        let began = Instant::now();
        let label = format!("output_packets_written_total{{output=\"{host}\"}} ");
        let published = |page: &str| {
            let line = page.lines().find_map(|line| line.split_once(&label));
            line.is_some_and(|(_, count)| count != "0")
        };
        while !published(&shows(&client)) {
            assert!(began.elapsed() < PATIENCE, "{}", shows(&client));
        }
        shows(&exchange);
        client.interrupt();
        exchange.interrupt();
        for file in ["client.log", "exchange.log", "report.json"] {
            hidden(file, &fs::read_to_string(at(file)).unwrap());
        }
        let log = fs::read_to_string(at("client.log")).unwrap();
        let (_, stream) = log.split_once(&format!(" to {host}/")).unwrap();
        let stream = stream.split(':').next().unwrap().to_owned();

        // An exchange that plays the log, with the password from the environment.
        let place = format!("{host}/{stream}").replace("nats://", "nats://bob@");
        let typed = format!("{url}/{stream}");
        let mut by_env = betacrew(&["serve", "--listen", "127.0.0.1:0", "--tape", &place]);
        by_env.env("BETACREW_NATS_PASSWORD", SECRET);
        let by_url = betacrew(&["serve", "--listen", "127.0.0.1:0", "--tape", &typed]);
        for command in [by_env, by_url] {
            let exchange = start(command, &at("exchange.log"));
            assert!(shows(&exchange).contains(&format!("{host}/{stream}")));
            exchange.interrupt();
            hidden("log", &fs::read_to_string(at("exchange.log")).unwrap());
        }
    }

    #[test]
    fn a_password_comes_from_a_file_and_is_not_shown() {
        if !servers() {
            return;
        }
        let server = Server::with(&format!("authorization {{ user: bob, password: {SECRET} }}\n"));
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let log = format!("{}/again", server.url().replace("nats://", "nats://bob@"));
        let typed = log.replace("bob@", &format!("bob:{SECRET}@"));
        let wrong = typed.replace("bob", "eve");
        fs::write(at("password"), format!("{SECRET}\n")).unwrap();
        let packet = r#"{"symbol":"A","buySellIndicator":"B","quantity":1,"price":1,"sequence":1}"#;
        fs::write(at("x.json"), format!("[{packet}]")).unwrap();
        let convert = ["convert", "x.json", &log, "--publish-password-file", "password"];
        for (args, variable, code) in [
            (&convert[..], "NONE", 0),
            (&["inspect", "--json", &log], "BETACREW_NATS_PASSWORD_FILE", 0),
            (&["inspect", &log], "NONE", 5),
            (&["inspect", &typed], "NONE", 0),
            (&["inspect", &wrong], "NONE", 5),
        ] {
            let mut command = betacrew(args);
            command.env(variable, "password").args(["--log", "trace"]);
            let (found, out, said) = run(command.current_dir(folder.path()));
            assert_eq!(found, code, "{args:?}: {said}");
            hidden("stdout", &out);
            hidden("stderr", &said);
        }
        let mut help = betacrew(&["fetch", "--help"]);
        for name in ["NATS_PASSWORD", "NATS_CREDS", "NATS_CA", "HTTP_TOKEN"] {
            help.env(format!("BETACREW_{name}"), SECRET);
        }
        hidden("help", &run(&mut help).1);
    }
}
