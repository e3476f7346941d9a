//! Scenario files, the catalogue, and that both mean the same on every machine, in every version.

use crate::support::{betacrew, run};
use betacrew::net::{self, Stop};
use betacrew::scenario::{self, EngineSection, ScenarioFile, catalogue};
use betacrew::tape::name::AnyTape;
use feed::base::rng::Rng;
use feed::client::{IncompleteReason, Outcome, Recorder, RecorderOptions};
use feed::exchange::original::OriginalExchange;
use feed::exchange::server::MockExchange;
use feed::exchange::{Exchange, Step};
use feed::sim::draw;
use feed::tape::recording::MemoryRecording;
use feed::tape::source::TapeSource;
use feed::wire::{Call, FRAME_LEN, Protocol, packet_seq};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Writes that a client sees on one connection, each with its time, and the end.
fn transcript(player: &mut MockExchange<AnyTape>, calls: &[Call], now: &mut Duration) -> String {
    let (mut text, mut out) = (String::new(), vec![0; 1 << 18]);
    if let Some(until) = player.down_until().filter(|until| *now < *until) {
        *now = until;
    }
    let mut seat = player.open(Protocol::Betacrew, *now);
    let mut bytes = Vec::new();
    calls.iter().for_each(|call| call.encode(&mut bytes));
    player.receive(&mut seat, &bytes, *now);
    let (began, mut told) = (*now, Duration::ZERO);
    let mut stamp = |text: &mut String, now: Duration| {
        if now - began > told {
            told = now - began;
            let _ = write!(text, " +{}us", told.as_micros());
        }
    };
    let mut received: Vec<u8> = Vec::new();
    loop {
        let count = player.peek(&mut seat, &mut out, *now);
        if count > 0 {
            stamp(&mut text, *now);
            // The packets that this write completes, or how many bytes it has where there is none.
            let before = received.len() / FRAME_LEN;
            received.extend_from_slice(&out[..count]);
            let whole = &received.as_chunks().0[before..];
            match whole.iter().map(packet_seq).collect::<Option<Vec<_>>>() {
                Some(seqs) if !seqs.is_empty() => {
                    let seqs: Vec<String> = seqs.iter().map(u64::to_string).collect();
                    let _ = write!(text, " {}", seqs.join(","));
                }
                _ => {
                    let _ = write!(text, " {count}B");
                }
            }
            player.sent(&mut seat, count, *now);
            continue;
        }
        let step = player.step(&mut seat, *now);
        let end = match (step, player.deadline(&seat)) {
            (Step::Wait, Some(later)) => {
                *now = later.max(*now);
                continue;
            }
            (Step::Wait, None) => "open",
            (Step::Finish | Step::Close, _) if player.died() => "died",
            (Step::Finish | Step::Close, _) => "end",
            (Step::Reset, _) if player.died() => "died",
            (Step::Reset, _) if player.down_until().is_some_and(|t| *now < t) => "down",
            (Step::Reset, _) => "reset",
        };
        stamp(&mut text, *now);
        let _ = write!(text, " {end}");
        let sum = feed::storage::crc32c(&received);
        if text.len() > 400 {
            let sum_of_text = feed::storage::crc32c(text.as_bytes());
            text = format!(" {count} bytes, {sum_of_text:08x}", count = received.len());
        }
        let _ = write!(text, " crc {sum:08x}");
        return text;
    }
}

/// Returns the effects of a scenario on clients that always do the same.
fn golden_of(name: &str, seed: u64) -> String {
    let mut resolved = scenario::open(name).unwrap();
    resolved.scenario.seed = seed;
    let mut text = format!("{name}, seed {seed}\n");
    if resolved.engine == EngineSection::Original {
        return text + "  (the original's own randomness)\n";
    }
    let mut player =
        MockExchange::new(resolved.tape.open(seed).unwrap(), resolved.scenario.clone());
    if let Some(next) = &resolved.next {
        player = player.with_next_tape(next.open(seed).unwrap());
    }
    let mut now = Duration::ZERO;
    let last = player.tape().last();
    let singles: Vec<Call> = (1..=last.min(14)).map(Call::Resend).collect();
    let range = [Call::Describe { version: 1 }, Call::ResendRange { first: 1, count: last }];
    let clients: [(&str, &[Call]); 6] = [
        ("stream", &[Call::Stream]),
        ("stream", &[Call::Stream]),
        ("resends", &singles),
        ("range", &range),
        ("stream", &[Call::Stream]),
        ("resends", &singles),
    ];
    for (what, calls) in clients {
        if player.is_dead() {
            break;
        }
        let line = transcript(&mut player, calls, &mut now);
        let _ = writeln!(text, "  {what:7}{line}");
    }
    text
}

/// Verdicts, bytes and times of every built-in scenario are promises to users: a change here is a
/// breaking change. `BETACREW_BLESS=1` writes the file anew.
#[test]
fn scenarios_do_the_same_for_ever() {
    compare(Protocol::Betacrew, "scenarios.txt", golden_of);
    compare(Protocol::Mold, "mold_scenarios.txt", crate::mold_serve::golden_of);
    compare(Protocol::Soup, "soup_scenarios.txt", crate::soup_golden::golden_of);
}

/// Compares what the scenarios of a protocol do with a golden file.
fn compare(protocol: Protocol, file: &str, golden_of: fn(&str, u64) -> String) {
    let has = |name: &str| scenario::open(name).unwrap().protocols().contains(protocol);
    let text: String = catalogue::entries()
        .filter(|entry| has(entry.name))
        .flat_map(|entry| [1, 2_000_000_011].map(|seed| golden_of(entry.name, seed)))
        .collect();
    let place = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let place = place.as_str();
    if std::env::var_os("BETACREW_BLESS").is_some() {
        std::fs::write(place, &text).unwrap();
    }
    let golden = std::fs::read_to_string(place).unwrap();
    for (now, then) in text.lines().zip(golden.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(text.len(), golden.len());
}

/// Our client, against a scenario over real sockets.
fn fetched(name: &str) -> (Outcome, bool) {
    let resolved = scenario::open(name).unwrap();
    let tape = resolved.tape.open(7).unwrap();
    let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let lines = [vec![listener.local_addr().unwrap()]];
    let stop = Stop::new();
    let AnyTape::Memory(frames) = &tape else { panic!("{name}: a file") };
    let frames = frames.clone();
    let exchange = std::thread::spawn({
        let (stop, mut resolved) = (stop.clone(), resolved);
        resolved.scenario.seed = 7;
        move || match resolved.engine {
            EngineSection::Original => {
                let AnyTape::Memory(tape) = tape else { unreachable!() };
                let mut original = OriginalExchange::new((*tape).clone(), 7);
                net::serve(vec![listener], &mut original, &stop, |_, _| {}).unwrap();
            }
            EngineSection::Betacrew => {
                let mut player = MockExchange::new(tape, resolved.scenario);
                if let Some(next) = &resolved.next {
                    player = player.with_next_tape(next.open(7).unwrap());
                }
                net::serve(vec![listener], &mut player, &stop, |_, _| {}).unwrap();
            }
        }
    });
    let options = RecorderOptions { timeout: Duration::from_secs(4), ..RecorderOptions::default() };
    let mut recorder = Recorder::new(options, 1);
    let mut recording = MemoryRecording::new();
    let lines = lines.map(Into::into);
    net::fetch(&lines, &mut recorder, &mut recording, &Stop::new(), |_| {}).unwrap();
    stop.stop();
    exchange.join().unwrap();
    let recorded: Vec<_> = recording.in_order().flatten().copied().collect();
    (recorder.outcome().unwrap().clone(), recorded == feed::tape::in_memory::Tape::frames(&frames))
}

#[test]
fn our_client_gets_through_every_scenario() {
    let is_ours =
        |name: &str| scenario::open(name).unwrap().protocols().contains(Protocol::Betacrew);
    let entries: Vec<_> = catalogue::entries().filter(|entry| is_ours(entry.name)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (outcome, equal) = fetched(entry.name);
            let expected = match entry.name {
                // There is nobody to ask any more.
                "dies" => outcome.reason == Some(IncompleteReason::Unreachable) && !equal,
                // Neither streams nor resends have it.
                "never-resent" => outcome.missing == "5".parse().unwrap(),
                "session-changes" => outcome.reason == Some(IncompleteReason::OtherSession),
                _ => outcome.is_complete() && equal,
            };
            assert_eq!(entry.is_recoverable(), outcome.is_complete(), "{}", entry.name);
            if !expected {
                failures.lock().unwrap().push(format!("{}: {equal} {outcome:?}", entry.name));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_built_in_scenario_has_one_line_about_it_and_reads_back_equal() {
    let (code, list, _) = run(&mut betacrew(&["scenarios"]));
    assert_eq!(code, 0);
    assert!(catalogue::entries().count() > 100, "README.md says more than a hundred");
    let json = run(&mut betacrew(&["scenarios", "--json"])).1;
    let listed: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(listed.len(), catalogue::entries().count());
    assert_eq!(listed[1]["name"], "one-gap");
    assert_eq!(listed[1]["tape"], "classic");
    assert_eq!(listed[1]["protocols"], serde_json::json!(["betacrew", "mold"]));
    let mut files = 0;
    for entry in catalogue::entries() {
        let resolved = scenario::open(entry.name).unwrap();
        assert!((10..=90).contains(&resolved.about.chars().count()), "{}: its about", entry.name);
        assert!(list.contains(&resolved.about), "{}", entry.name);
        let printed = run(&mut betacrew(&["scenarios", entry.name])).1;
        assert!(printed.starts_with("#:schema ./scenario.schema.json\n# "), "{printed}");
        assert!(printed.ends_with(entry.text), "{printed}");
        let added = &printed[..printed.len() - entry.text.len()];
        assert!(added.lines().all(|line| line.starts_with('#')), "{added}");
        // What is written again means the same.
        let again = ScenarioFile { tape: None, ..ScenarioFile::from(&resolved.scenario) };
        let text = toml::to_string(&again).unwrap();
        let next = if resolved.next.is_some() { "next = \"classic\"\n" } else { "" };
        let text = format!("{next}{text}");
        let read: ScenarioFile =
            text.parse().unwrap_or_else(|e| panic!("{}: {e}\n{text}", entry.name));
        assert_eq!(read.resolve("", &text).unwrap().scenario, resolved.scenario, "{text}");
        files += 1;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), files, "a file that is not listed");
}

#[test]
fn whatever_is_drawn_can_be_written_and_read() {
    for seed in 0..3000 {
        let scenario = draw::scenario(&mut Rng::new(seed), 500, 6);
        // TOML's whole numbers have 63 bits.
        let scenario = feed::faults::scenario::Scenario { seed: scenario.seed >> 1, ..scenario };
        let text = toml::to_string(&ScenarioFile::from(&scenario)).unwrap();
        let file: ScenarioFile = text.parse().unwrap_or_else(|e| panic!("{seed}: {e}\n{text}"));
        assert_eq!(file.resolve("", &text).unwrap().scenario, scenario, "{seed}:\n{text}");
    }
}

/// Files with a mistake, the line and column in the message, and a part of it.
const MISTAKES: [(&str, (usize, usize), &str); 41] = [
    ("tape = ", (1, 8), "string values must be quoted"),
    ("tape = 5", (1, 8), "the tape to play: sample"),
    ("tape = \"random\"", (1, 8), "random needs a number of packets"),
    ("tapes = \"classic\"", (1, 1), "unknown field `tapes`, expected one of `about`, `tape`"),
    ("seed = -1", (1, 8), "u64"),
    ("seed = \"x\"", (1, 8), "u64"),
    ("pace = \"fast\"", (1, 8), "a pace is a whole number of packets or bytes a second"),
    ("keep-last = 1", (1, 13), "expected a boolean"),
    ("unknown = \"shrug\"", (1, 11), "expected one of `close`, `silence`, `reset`, `die`"),
    ("idle = \"soon\"", (1, 8), "is not a duration"),
    ("exchange = \"nyse\"", (1, 12), "expected `betacrew` or `original`"),
    (
        "exchange = \"original\"\npace = \"5/s\"",
        (2, 1),
        "has no `pace`: it needs exchange = \"betacrew\"",
    ),
    ("fault = 3", (1, 9), "expected a sequence"),
    ("[[fault]]\n", (1, 1), "missing field `what`"),
    ("[[fault]]\nwhat = \"drip\"", (2, 8), "expected one of `drop`, `duplicate`"),
    ("[[fault]]\nwhat = \"drop\"\nbytes = 3", (3, 1), "is not a parameter of `drop`, but of split"),
    ("[[fault]]\nwhat = \"drop\"\nsession = \"next\"", (3, 1), "is a parameter of `restart`"),
    (
        "[[fault]]\nwhat = \"drop\"\non = \"connect\"",
        (3, 1),
        "cannot happen on connect; it can on stream, end, resend, heartbeat",
    ),
    ("[[fault]]\nwhat = \"refuse\"\non = \"stream\"", (3, 1), "it can on resend"),
    ("[[fault]]\nwhat = \"reset\"\non = \"end\"\nbytes = 3", (3, 1), "`reset` with `bytes` cannot"),
    ("[[fault]]\nwhat = \"silence\"\non = \"end\"\nsequences = 3", (4, 1), "there is no packet"),
    ("[[fault]]\nwhat = \"drop\"\non = \"resend\"\npasses = 1", (4, 1), "`passes` counts streams"),
    (
        "[[fault]]\nwhat = \"drop\"\nsequences = \"7-5\"",
        (3, 13),
        "from its lower to its higher end",
    ),
    ("[[fault]]\nwhat = \"drop\"\nsequences = 0", (3, 13), "whole numbers from 1, with"),
    (
        "[[fault]]\nwhat = \"drop\"\nchance = \"250%\"",
        (3, 10),
        "a probability is a number from 0 to 1",
    ),
    ("[[fault]]\nwhat = \"drop\"\nburst = 3", (3, 1), "`burst` needs `chance`"),
    ("[[fault]]\nwhat = \"drop\"\nevery = 3\nchance = 0.5", (3, 1), "exclude each other"),
    ("[[fault]]\nwhat = \"drop\"\nevery = 0", (3, 1), "`every` must be 1 or more"),
    ("[[fault]]\nwhat = \"split\"", (2, 1), "`split` needs `bytes`"),
    ("[[fault]]\nwhat = \"split\"\nbytes = 0", (3, 1), "`bytes` must be from 1 to 1048576, not 0"),
    ("[[fault]]\nwhat = \"close\"\nbytes = 18", (3, 1), "`bytes` must be from 0 to 17, not 18"),
    ("[[fault]]\nwhat = \"close\"\nbytes = \"1-2\"", (3, 1), "one number here"),
    ("[[fault]]\nwhat = \"delay\"\ntime = \"9s-1s\"", (3, 8), "the shorter time comes first"),
    ("[[fault]]\nwhat = \"restart\"\nsession = \"next\"", (3, 1), "needs `next`, the tape of that"),
    ("[[fault]]\nwhat = \"reject\"\non = \"stream\"", (3, 1), "it can on login"),
    (
        "[[fault]]\nwhat = \"reject\"\nreason = \"quota\"",
        (3, 1),
        "`quota` is no reason of `reject`",
    ),
    (
        "[[fault]]\nwhat = \"refuse\"\nreason = \"not-authorized\"",
        (3, 1),
        "`not-authorized` is no reason of `refuse`",
    ),
    ("[[fault]]\nwhat = \"insert\"\nbytes = 65535", (3, 1), "must be from 0 to 65534, not 65535"),
    ("[[fault]]\nwhat = \"insert\"\npacket = \"login\"", (3, 10), "expected one of `debug`"),
    ("[[fault]]\nwhat = \"drop\"\npacket = \"debug\"", (3, 1), "is not a parameter of `drop`"),
    ("fault = [[\"drop\"]]", (1, 10), "expected an object with named keys"),
];

/// The schema works with another validator. (It cannot describe every mistake.)
#[test]
fn others_understand_the_schema() {
    if !crate::support::python_has("schema.py", "jsonschema") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |kind: &str, name: &str, text: &str| {
        std::fs::create_dir_all(folder.path().join(kind)).unwrap();
        std::fs::write(folder.path().join(kind).join(format!("{name}.toml")), text).unwrap();
    };
    for entry in catalogue::entries() {
        write("good", entry.name, entry.text);
    }
    for seed in 0..200 {
        let scenario = draw::scenario(&mut Rng::new(seed), 500, 6);
        let scenario = feed::faults::scenario::Scenario { seed: scenario.seed >> 1, ..scenario };
        write("good", &seed.to_string(), &toml::to_string(&ScenarioFile::from(&scenario)).unwrap());
    }
    let shapes = ["unknown field", "expected", "missing field", "u64", "must be quoted", "a pace"];
    let told = |what: &str| shapes.iter().any(|shape| what.starts_with(shape));
    for (number, (text, ..)) in MISTAKES.iter().enumerate().filter(|(_, mistake)| told(mistake.2)) {
        write("bad", &number.to_string(), text);
    }
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/scenario.schema.json");
    let args = [schema, folder.path().to_str().unwrap()];
    let output = crate::support::python("schema.py", &args).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" good, 1"), "ten mistakes or more: {said}");
}

#[test]
fn mistakes_are_named_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    for (text, at, what) in MISTAKES {
        let refusal = text.parse().and_then(|file: ScenarioFile| file.resolve("mine", text));
        let refusal = refusal.expect_err(text);
        assert!(refusal.message.contains(what), "{text}\n{refusal}");
        assert_eq!(refusal.at, Some(at), "{text}\n{refusal}");
    }
    let (text, (line, column), what) = MISTAKES[15];
    std::fs::write(&path, text).unwrap();
    let name = path.to_str().unwrap();
    for command in ["serve", "scenarios"] {
        let mut typed = betacrew(&[command]);
        if command == "serve" {
            typed.arg("--scenario");
        }
        let (code, stdout, stderr) = run(typed.arg(name));
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(&format!("{name}:{line}:{column}: ")), "{stderr}");
        assert!(stderr.contains(what) && stderr.contains("3 | bytes = 3"), "{stderr}");
    }
    let (code, _, stderr) = run(&mut betacrew(&["serve", "--scenario", "busrt"]));
    assert!(code == 2 && stderr.contains("did you mean `burst`?"), "{stderr}");
    let (code, _, stderr) = run(&mut betacrew(&["serve", "--scenario", "burst", "--drop", "1%"]));
    assert!(code == 2 && stderr.contains("--drop"), "{stderr}");
}
