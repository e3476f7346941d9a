//! Causes that `betacrew grade` names only if all runs of a client agree: clients with a planted
//! fault, each graded in several cases.

use crate::grade::grade;
use crate::in_time::CommandInTime;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Client with a planted fault, and the causes that its cases must have.
struct Planted {
    /// Replacements in the text of the client without a fault.
    changes: &'static [(&'static str, &'static str)],
    /// Ids of cases with the ids of their causes; `none` if the case has none, `pass` if it passes.
    named: &'static [(&'static str, &'static str)],
}

const SORTED: &str = "packets.sort(key=lambda packet: packet[\"sequence\"])";

/// Line of the client that requests all missing packets on one connection.
const ASK: &str = "        talk(b\"\".join(bytes([2, seq]) for seq in missing), len(missing))\n";

/// Change that adds a function which pauses between two requests.
#[rustfmt::skip]
const SLOWLY: (&str, &str) = ("def write", concat!(
    "def slowly(missing):\n",
    "    import time\n",
    "    with socket.create_connection(ADDRESS) as connection:\n",
    "        for seq in missing:\n",
    "            connection.sendall(bytes([2, seq]))\n",
    "            answer = connection.recv(17)\n",
    "            if len(answer) < 17:\n",
    "                return\n",
    "            keep(answer)\n",
    "            time.sleep(0.6)\n",
    "\n",
    "\n",
    "def write"));

/// Planted faults, each with a case in which its run alone would show another cause.
#[rustfmt::skip]
const PLANTED: &[Planted] = &[
    // A client that requests nothing has no search that begins late.
    Planted {
        changes: &[("if missing:", "if False:")],
        named: &[("gaps/first-packet", "never-asks"), ("gaps/one", "never-asks")],
    },
    Planted {
        changes: &[("range(1, highest)", "range(2, highest)")],
        named: &[("gaps/first-packet", "search-starts-late"),
            ("gaps/first-three", "search-starts-late"), ("gaps/one", "pass")],
    },
    // A misread sequence keeps it busy, or fills its memory.
    Planted {
        changes: &[("held += chunk", "held = chunk")],
        named: &[("framing/half-packet", "split-packet"),
            ("framing/answers-in-pieces", "split-packet"), ("gaps/one", "pass")],
    },
    Planted {
        changes: &[("while len(held) >= 17", "while len(held) >= 22"),
            ("keep(held[:17])", "keep(held[:17])"), ("held = held[17:]", "held = held[22:]"),
            ("if side not in (b\"B\", b\"S\"):", "if False:"),
            ("highest = max(seen)", "highest = 1")],
        named: &[("basics/complete-stream", "frame-size"), ("framing/half-packet", "frame-size"),
            ("framing/one-segment", "frame-size")],
    },
    Planted {
        changes: &[("    packets.append({", concat!(
                "    if sequence != len(packets) + 1:\n",
                "        return\n",
                "    packets.append({"))],
        named: &[("gaps/one", "stops-at-gap"), ("gaps/burst", "stops-at-gap"),
            ("framing/one-segment", "stops-at-gap"), ("basics/complete-stream", "pass")],
    },
    Planted {
        changes: &[("            held += chunk\n",
            "            held += chunk\n            packets.clear()\n")],
        named: &[("basics/complete-stream", "overwrites-output"),
            ("gaps/one", "overwrites-output")],
    },
    // The tapes of other cases have other symbols than the exercise.
    Planted {
        changes: &[("    if sequence in seen:",
            concat!(
                "    if symbol not in (b\"AAPL\", b\"META\", b\"MSFT\", b\"AMZN\"):\n",
                "        return\n",
                "    if sequence in seen:"))],
        named: &[("basics/long-session", "rejects-valid"),
            ("framing/large-stream", "rejects-valid"),
            ("gaps/one", "pass")],
    },
    Planted {
        changes: &[("    if sequence in seen:",
            "    if price < 0:\n        return\n    if sequence in seen:")],
        named: &[("basics/extremes", "rejects-valid"), ("gaps/one", "pass")],
    },
    Planted {
        changes: &[("settimeout(3)", "settimeout(0.5)"),
            ("chunk = connection.recv(4096)", concat!(
                "try:\n",
                "                chunk = connection.recv(4096)\n",
                "            except TimeoutError:\n",
                "                break"))],
        named: &[("robustness/stall", "own-timeout"), ("basics/complete-stream", "pass")],
    },
    Planted {
        changes: &[("settimeout(3)", "settimeout(0.1)"),
            ("chunk = connection.recv(4096)", concat!(
                "try:\n",
                "                chunk = connection.recv(4096)\n",
                "            except TimeoutError:\n",
                "                break"))],
        named: &[("recovery/late-answers", "own-timeout"), ("gaps/one", "pass")],
    },
    Planted {
        changes: &[("    if sequence in seen:",
            "    if sequence in seen and not missing_wanted(sequence):"),
            ("def talk", concat!(
                "def missing_wanted(sequence):\n",
                "    for at, packet in enumerate(packets):\n",
                "        if packet[\"sequence\"] == sequence:\n",
                "            del packets[at]\n",
                "            return True\n",
                "    return False\n",
                "\n",
                "\n",
                "def talk"))],
        named: &[("robustness/contradiction", "last-copy-kept"), ("gaps/one", "pass")],
    },
    // It writes only after resends, which is no cause for a client that never writes.
    Planted {
        changes: &[("    write()\n", "    if missing:\n        write()\n")],
        named: &[("basics/complete-stream", "hangs-complete"),
            ("framing/large-stream", "hangs-complete"), ("gaps/one", "pass")],
    },
    Planted {
        changes: &[("    write()\n", "")],
        named: &[("basics/complete-stream", "never-writes"), ("gaps/one", "never-writes"),
            ("gaps/burst", "never-writes")],
    },
    Planted {
        changes: &[("symbol.decode(\"latin-1\")", "symbol.decode(\"latin-1\")[::-1]")],
        named: &[("basics/complete-stream", "garbled-field"), ("gaps/one", "garbled-field"),
            ("conduct/made-up", "garbled-field")],
    },
    Planted {
        changes: &[("symbol.decode(\"latin-1\")", "symbol[:2].decode(\"latin-1\")")],
        named: &[("basics/complete-stream", "wrong-bytes"), ("gaps/one", "wrong-bytes")],
    },
    Planted {
        changes: &[("\"sequence\": sequence,", "\"sequence\": sequence - 1,")],
        named: &[("basics/complete-stream", "sequence-shifted"), ("gaps/one", "sequence-shifted")],
    },
    Planted {
        changes: &[("while len(held) >= 17", "while len(held) > 17"), (SORTED, SORTED)],
        named: &[("basics/complete-stream", "last-packet-unread")],
    },
    // One byte is a stream call, and the second one must not be taken from the next call.
    Planted {
        changes: &[("talk(bytes([1, 0]), None)", "late()"),
            ("def write", concat!(
                "def late():\n",
                "    with socket.create_connection(ADDRESS) as connection:\n",
                "        connection.settimeout(3)\n",
                "        connection.sendall(b\"\\x01\")\n",
                "        held = b\"\"\n",
                "        while chunk := connection.recv(4096):\n",
                "            held += chunk\n",
                "        for at in range(0, len(held), 17):\n",
                "            keep(held[at:at + 17])\n",
                "        for seq in range(1, max(seen)):\n",
                "            if seq not in seen:\n",
                "                connection.sendall(bytes([2, seq]))\n",
                "        connection.shutdown(socket.SHUT_WR)\n",
                "        connection.recv(1)\n",
                "\n",
                "\n",
                "def write")),
            ("if missing:", "if False:")],
        named: &[("gaps/one", "after-stream"), ("gaps/first-packet", "after-stream"),
            ("conduct/whole-calls", "half-call"), ("conduct/after-stream", "after-stream")],
    },
    Planted {
        changes: &[("    talk(bytes([1, 0]), None)\n",
            concat!(
                "    socket.create_connection(ADDRESS)\n",
                "    raise SystemExit(\"NameError: payload\")\n"))],
        named: &[("basics/complete-stream", "never-calls"), ("gaps/one", "never-calls")],
    },
    Planted {
        changes: &[(concat!(
                "    if missing:\n",
                "        talk(b\"\".join(bytes([2, seq]) for seq in missing), len(missing))\n"),
            concat!(
                "    while missing:\n",
                "        talk(bytes([1, 0]), None)\n",
                "        missing = [seq for seq in range(1, highest) if seq not in seen]\n"))],
        named: &[("gaps/one", "streams-instead"), ("gaps/burst", "streams-instead"),
            ("basics/complete-stream", "pass")],
    },
    // The original exchange waits for the second byte, and sends no packet that could be missing.
    Planted {
        changes: &[("talk(bytes([1, 0]), None)", "talk(b\"\\x01\", None)")],
        named: &[("conduct/original", "half-call"), ("conduct/whole-calls", "half-call"),
            ("gaps/one", "pass")],
    },
    // It sorts the stream, and appends the answers.
    Planted {
        changes: &[(SORTED, "pass"), ("    highest = max(seen)", concat!(
                "    packets.sort(key=lambda packet: packet[\"sequence\"])\n",
                "    highest = max(seen)"))],
        named: &[("gaps/order", "arrival-order"), ("robustness/reorder", "pass")],
    },
    // The exchange of this case closes a connection after each answer.
    Planted {
        changes: &[("    if missing:\n        talk(", concat!(
                "    for _ in range(3):\n",
                "        missing = [seq for seq in range(1, highest) if seq not in seen]\n",
                "        missing and talk("))],
        named: &[("recovery/one-answer-each", "tries-too-few"), ("gaps/before-last", "pass")],
    },
    // The exchange ends a connection that is silent between two calls, and the original does not.
    Planted {
        changes: &[(ASK, "        slowly(missing)\n"), SLOWLY],
        named: &[("gaps/burst", "pass"), ("gaps/one", "pass"),
            ("recovery/one-answer-each", "not-asked-again")],
    },
    // It goes on where a connection ended, and keeps a copy.
    Planted {
        changes: &[(ASK, "        slowly(missing)\n"), SLOWLY,
            ("                return\n            keep(answer)", concat!(
                "                packets.extend(packets[-1:])\n",
                "                return slowly(missing[missing.index(seq):])\n",
                "            keep(answer)"))],
        named: &[("gaps/burst", "pass"), ("gaps/one", "pass")],
    },
    Planted {
        changes: &[(ASK, "        while True:\n            print(missing)\n")],
        named: &[("gaps/burst", "spins"), ("basics/complete-stream", "pass")],
    },
    // The original exchange reads two bytes at a time, and ignores those that are no call.
    Planted {
        changes: &[("bytes([1, 0])", "bytes([1, 0, 0, 0, 0, 0])"),
            ("bytes([2, seq])", "bytes([2, seq, 0, 0, 0, 0])")],
        named: &[("conduct/whole-calls", "pass"), ("conduct/original", "pass"),
            ("gaps/one", "pass")],
    },
    Planted {
        changes: &[("bytes([2, seq])", "bytes([2, seq, 0, 0, 0])")],
        named: &[("conduct/whole-calls", "long-call"), ("gaps/one", "pass")],
    },
    Planted {
        changes: &[("bytes([1, 0])", "bytes([1])")],
        named: &[("conduct/whole-calls", "half-call"), ("conduct/original", "half-call"),
            ("gaps/one", "pass")],
    },
    // Packet 0 kills the original, and is never answered.
    Planted {
        changes: &[("range(1, highest) if seq not in seen]\n    if",
                "range(1, highest) if seq not in seen] + [0]\n    if"),
            ("settimeout(3)", "settimeout(None)")],
        named: &[("conduct/original", "asks-beyond-end"),
            ("conduct/beyond-end", "asks-beyond-end"),
            ("termination/open-connection", "waits-for-answer"), ("gaps/one", "pass")],
    },
    Planted {
        changes: &[("settimeout(3)", "settimeout(0.1)"),
            ("chunk = connection.recv(4096)", concat!(
                "try:\n",
                "                chunk = connection.recv(4096)\n",
                "            except TimeoutError:\n",
                "                break")),
            ("    if missing:\n        talk(", "    while missing:\n        talk("),
            ("    abandoned", concat!(
                "        missing = [seq for seq in missing if seq not in seen]\n",
                "    abandoned"))],
        named: &[("conduct/storm", "connects-over-and-over"),
            ("termination/never-resent", "asks-for-ever"), ("gaps/one", "pass")],
    },
    // A sequence that does not fit into a byte is no read that ends inside a packet.
    Planted {
        changes: &[("while len(held) >= 17", "while held"), ("recv(4096)", "recv(1 << 20)")],
        named: &[("framing/half-packet", "crash-in-packet"),
            ("framing/odd-pieces", "crash-in-packet"),
            ("framing/byte-by-byte", "crash-in-packet"),
            ("gaps/beyond-one-byte", "too-large-to-ask"), ("gaps/one", "pass")],
    },
];

/// Number of clients that are graded at a time.
const SIDE_BY_SIDE: usize = 2;

/// Returns the causes that the grader names for a client with a planted fault, by case.
fn causes(python: &str, folder: &Path, planted: &Planted) -> BTreeMap<String, String> {
    let Planted { changes, named } = planted;
    let folder = tempfile::tempdir_in(folder).unwrap();
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plain.py");
    let mut text = fs::read_to_string(plain).unwrap();
    for (right, planted) in *changes {
        assert!(text.contains(right), "{right}");
        text = text.replacen(right, planted, 1);
    }
    let client = folder.path().join("client.py");
    let report = folder.path().join("report.json");
    fs::write(&client, text).unwrap();
    let mut args: Vec<&str> = named.iter().map(|(case, _)| *case).collect();
    args.extend(["--port", "any", "--timeout", "6s", "--json", report.to_str().unwrap()]);
    let (_, stdout, stderr) = grade(&args, &[python, client.to_str().unwrap()]);
    println!("{stdout}{stderr}");
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let found = report["cases"].as_array().unwrap().iter().map(|case| {
        let cause = case["run"]["cause"]["id"].as_str().unwrap_or("none");
        let cause = if case["verdict"] == "pass" { "pass" } else { cause };
        (case["id"].as_str().unwrap().to_owned(), cause.to_owned())
    });
    found.collect()
}

#[test]
fn causes_agree_with_all_runs_of_a_client() {
    let required = std::env::var_os("BETACREW_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    let python = "python3";
    let version = Command::new(python).arg("--version").output_in_time();
    if !version.is_ok_and(|output| output.status.success()) {
        assert!(!required, "{python} is not installed, and BETACREW_REQUIRE_CLIENTS=1");
        println!("skipped: {python} is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    // Graded clients mostly wait.
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(planted) = PLANTED.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = causes(python, folder.path(), planted);
                    let named = planted.named.iter();
                    let expected: BTreeMap<String, String> =
                        named.map(|(case, id)| ((*case).to_owned(), (*id).to_owned())).collect();
                    if found != expected {
                        wrong.lock().unwrap().push(format!(
                            "{:?}\n  expected {expected:?}\n  found    {found:?}",
                            planted.changes
                        ));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), PLANTED.len(), wrong.join("\n"));
}
