//! JSON Schemas: those in `docs/schemas` are the program's, and describe what it really writes.

use crate::captures::build::{A, B, Capture, MICRO, end_of, frame, numbered};
use crate::mold_fetch::free_addresses;
use crate::support::{ServeProcess, betacrew, run};
use feed::wire::mold::{Request, Session};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Folder with the schemas for readers of the documentation.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas");

/// Names of all schemas.
const NAMES: [&str; 7] =
    ["scenario", "scenarios", "report", "grade", "inspect", "comparison", "capture"];

/// Keys that no document of the tests has: they need a NATS server, and a request server that does
/// not reach back to the first message.
const UNSEEN: [&str; 2] = ["inspect.removedMessages", "report.servedFrom"];

/// Returns a schema as it is in the folder.
fn documented(name: &str) -> String {
    std::fs::read_to_string(format!("{FOLDER}/{name}.schema.json")).unwrap_or_default()
}

/// Returns what readers of a document may rely on: its keys, and those that are always there.
fn promises(schema: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut promises = BTreeSet::new();
    let empty = serde_json::Map::new();
    let defs = schema["$defs"].as_object().unwrap_or(&empty);
    for (name, kind) in std::iter::once(("", &schema)).chain(defs.iter().map(|(a, b)| (&**a, b))) {
        for key in kind["properties"].as_object().unwrap_or(&empty).keys() {
            promises.insert(format!("{name}.{key}"));
        }
        for key in kind["required"].as_array().into_iter().flatten() {
            promises.insert(format!("{name}.{key} is always there"));
        }
    }
    promises
}

#[test]
fn the_schemas_in_the_documentation_are_the_programs() {
    let list = run(&mut betacrew(&["schema"])).1;
    let listed: Vec<&str> = list.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(listed, NAMES);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    assert_eq!(run(&mut betacrew(&["schema", "--folder", place])).0, 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), NAMES.len());
    for name in NAMES {
        let (_, text, _) = run(&mut betacrew(&["schema", name]));
        let file = folder.path().join(format!("{name}.schema.json"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        let id =
            |text: &str| -> Value { serde_json::from_str::<Value>(text).unwrap()["$id"].clone() };
        let version = format!("urn:betacrew:{name}:");
        assert!(id(&text).as_str().unwrap().starts_with(&version), "{name}: {}", id(&text));
        let before = documented(name);
        if !before.is_empty() && id(&before) == id(&text) {
            // A scenario is read, so for it a new key that must be there breaks a promise.
            let (old, new) = (promises(&before), promises(&text));
            let broken: Vec<_> = old.difference(&new).collect();
            assert!(broken.is_empty(), "{broken:?} need another version of the schema {name}");
        }
        if std::env::var_os("BETACREW_BLESS").is_some() {
            std::fs::write(format!("{FOLDER}/{name}.schema.json"), &text).unwrap();
        }
        assert!(documented(name) == text, "docs/schemas/{name}.schema.json: BETACREW_BLESS=1");
    }
    assert_eq!(std::fs::read_dir(FOLDER).unwrap().count(), NAMES.len());
    let (code, _, stderr) = run(&mut betacrew(&["schema", "raport"]));
    assert!(code == 2 && stderr.contains("the schemas are scenario, scenarios"), "{stderr}");
}

/// Runs a command in a folder and checks its exit code; returns stdout.
fn done(folder: &Path, code: i32, args: &[&str]) -> String {
    let (ended, stdout, stderr) = run(betacrew(args).current_dir(folder));
    assert_eq!(ended, code, "{args:?}: {stderr}");
    stdout
}

/// Records from an exchange into `report.NAME.json`, `NAME.tape` and `NAME.json`.
fn record(folder: &Path, name: &str, code: i32, addresses: &[&str]) {
    let (report, tape) = (format!("report.{name}.json"), format!("{name}.tape"));
    let json = format!("{name}.json");
    let mut args = vec!["fetch", "--report", &report, "--tape", &tape, "-o", &json];
    args.push("--allow-gaps");
    args.extend(addresses);
    done(folder, code, &args);
}

/// Records sessions in all protocols, with and without missing packets.
fn record_all(folder: &Path) {
    let plain = ServeProcess::start(&["--tape", "random:300", "--drop", "20%", "--seed", "3"]);
    record(folder, "plain", 0, &[&plain.addresses[0], &plain.addresses[0]]);
    let gaps = ServeProcess::start(&["--scenario", "never-resent", "--tape", "random:300"]);
    record(folder, "gaps", 3, &[&gaps.addresses[0]]);
    let soup = ServeProcess::listening(&["soup://127.0.0.1:0"], &["--tape", "itch:300"]);
    record(folder, "soup", 0, &[&soup.addresses[0]]);
    let target = &free_addresses(1)[0];
    let group = format!("mold://{target}?request=127.0.0.1:0");
    let mold = ServeProcess::listening(&[&group], &["--tape", "itch:9000", "--drop", "30%"]);
    record(folder, "mold", 0, &[&mold.addresses[0]]);
}

/// Writes a capture of two lines with a gap, a request and a datagram that is not MoldUDP64, and
/// the same capture without its end.
fn capture(folder: &Path) {
    let mut capture = Capture::ethernet();
    let request = Request { session: Session::new("DAY1").unwrap(), sequence: 3, count: 1 };
    let packets = [
        frame(A, &numbered("DAY1", 1, 2)),
        frame(B, &numbered("DAY1", 1, 2)),
        frame((3, [10, 0, 0, 9], 18_002), &request.encode()),
        frame((4, [10, 0, 0, 8], 53), b"no MoldUDP64"),
        frame(A, &numbered("DAY1", 4, 1)),
        frame(A, &end_of("DAY1", 5)),
    ];
    for (number, packet) in (0..).zip(&packets) {
        capture.add(number * MICRO, packet);
    }
    capture.write(&folder.join("lines.pcap"));
    let cut = &capture.bytes()[..capture.bytes().len() - 5];
    std::fs::write(folder.join("cut.pcap"), cut).unwrap();
}

/// Writes what the program prints about recordings and captures.
fn inspect_all(folder: &Path) {
    let mut tape = std::fs::read(folder.join("plain.tape")).unwrap();
    tape[200] ^= 1;
    std::fs::write(folder.join("damaged.tape"), tape).unwrap();
    let shown: [(&str, i32, &[&str]); 8] = [
        ("inspect.complete", 0, &["plain.tape", "--book"]),
        ("inspect.gaps", 0, &["gaps.tape"]),
        ("inspect.soup", 0, &["soup.tape", "--book"]),
        ("inspect.damaged", 0, &["damaged.tape"]),
        ("comparison.equal", 0, &["plain.tape", "--against", "plain.json"]),
        ("comparison.differ", 4, &["plain.tape", "--against", "gaps.json"]),
        ("capture.lines", 3, &["lines.pcap"]),
        ("capture.cut", 6, &["cut.pcap"]),
    ];
    for (name, code, args) in shown {
        let text = done(folder, code, &[&["inspect", "--json"], args].concat());
        std::fs::write(folder.join(format!("{name}.json")), text).unwrap();
    }
}

/// Grades a client that fails, and one that passes in comparison with it.
fn grade_all(folder: &Path) {
    let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/clients");
    let python = std::env::var("BETACREW_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let naive = format!("{clients}/naive.py");
    let ours = env!("CARGO_BIN_EXE_betacrew");
    let grade = ["grade", "--json"];
    let passing = [ours, "fetch", "{host}:{port}", "-o", "output.json"];
    let failing = [python.as_str(), &naive];
    let args = ["framing/half-packet", "--workdir", "empty", "--port", "any", "--"];
    let failed = [&grade[..], &["grade.naive.json"], &args, &failing].concat();
    done(folder, 10, &failed);
    // What got better since the run before is a part of the report.
    let baseline = ["grade.good.json", "--baseline", "grade.naive.json"];
    done(folder, 0, &[&grade[..], &baseline, &args, &passing].concat());
}

#[test]
fn documents_of_the_program_are_valid() {
    if !crate::support::python_has("schemas.py", "jsonschema") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let list = done(folder.path(), 0, &["scenarios", "--json"]);
    std::fs::write(folder.path().join("scenarios.all.json"), list).unwrap();
    record_all(folder.path());
    capture(folder.path());
    inspect_all(folder.path());
    grade_all(folder.path());
    let args = [FOLDER, folder.path().to_str().unwrap()];
    let output = crate::support::python("schemas.py", &args).unwrap();
    let (text, errors) = (output.stdout, output.stderr);
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&errors));
    assert_eq!(text.lines().collect::<Vec<_>>(), UNSEEN, "keys that no document has");
}
