//! The exchange in SoupBinTCP: the bytes of each scenario, and the venue's own Python package as a
//! client of ours.

use crate::soup_golden::played;
use crate::support::{ServeProcess, Serving, betacrew, python, python_has, read_all, run};
use crate::wires::{has_tshark, is_complaint, soup_xml, tcp_to};
use betacrew::scenario::{self, catalogue};
use feed::exchange::server::MockExchange;
use feed::exchange::server::users::{FREE_TRIES, Users};
use feed::faults::scenario::{Fault, FaultAction, FaultPlace, FaultSelector, Scenario};
use feed::tape::in_memory::Tape;
use feed::tape::itch_market::ItchMarket;
use feed::tape::source::TapeSource;
use feed::wire::Protocol;
use feed::wire::soup::{LoginRequest, Packet, Password, RawPacket, Text, kind};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Returns a login request.
pub(crate) fn login_at(sequence: u64) -> Vec<u8> {
    let request = LoginRequest {
        user: Text::new("ann").unwrap(),
        password: Password::new(Text::new("secret").unwrap()),
        session: Text::BLANK,
        sequence,
        heartbeat_timeout: None,
    };
    let mut bytes = Vec::new();
    Packet::LoginRequest(request).encode(&mut bytes).unwrap();
    bytes
}

const SCRIPT: &str = "soup_client.py";

fn has_client() -> bool {
    python_has(SCRIPT, "nasdaq-protocols")
}

/// Returns the lines that the client prints: messages by their sequence, and the others.
fn record(address: SocketAddr, first: u64, last: u64) -> (BTreeMap<u64, Vec<u8>>, Vec<String>) {
    let args = [address.port().to_string(), first.to_string(), last.to_string()];
    let args: Vec<&str> = ["record"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let output = python(SCRIPT, &args).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{error}", &text[..text.len().min(2000)]);
    let (mut messages, mut others) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        match line.strip_prefix("# ") {
            Some(other) => others.push(other.to_owned()),
            None => {
                let (sequence, hex) = line.split_once(' ').unwrap_or((line, ""));
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                let bytes = (0..hex.len()).step_by(2).map(byte).collect();
                let before = messages.insert(sequence.parse().unwrap(), bytes);
                assert!(before.is_none(), "{line} twice");
            }
        }
    }
    (messages, others)
}

/// Returns all messages of a tape.
fn messages_of(tape: &mut impl TapeSource) -> BTreeMap<u64, Vec<u8>> {
    let (mut messages, mut next) = (BTreeMap::new(), 1);
    while let Some(range) = feed::base::seq::SeqRange::new(next, tape.last()) {
        let found = tape.messages(range);
        messages.extend(found.iter().map(|(seq, message)| (seq, message.to_vec())));
        next = found.span().unwrap().last() + 1;
    }
    messages
}

#[test]
fn the_sample_reaches_the_venues_client() {
    if !has_client() {
        return;
    }
    let exchange = MockExchange::new(Arc::new(Tape::sample(5)), Scenario::clean(1));
    let serving = Serving::in_soup(exchange);
    let (messages, others) = record(serving.address, 1, u64::MAX);
    assert_eq!(messages, messages_of(&mut Arc::new(Tape::sample(5))));
    assert_eq!(others, ["end of session before 6", "connection ended before 6"]);
    let soup = serving.end().stats().soup;
    assert_eq!((soup.logins, soup.messages, soup.ends), (1, 5, 1));
}

/// Returns the scenarios that show on SoupBinTCP.
fn scenarios() -> impl Iterator<Item = &'static str> {
    let shows = |name: &str| scenario::open(name).unwrap().protocols().contains(Protocol::Soup);
    catalogue::entries().map(|entry| entry.name).filter(move |name| shows(name))
}

/// Splits the bytes of a connection into segments of TCP. Returns the segments and the number of
/// whole packets.
fn segments_of(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut segments, mut packets, mut start, mut end) = (Vec::new(), 0, 0, 0);
    while let Ok(Some((raw, _))) = RawPacket::split_first(&bytes[end..]) {
        (packets, end) = (packets + 1, end + raw.as_bytes().len());
        // The dissector takes an accepted login for the beginning of a connection, and forgets half
        // a packet that its segment ends with. It would read none of the packets behind that.
        if raw.kind() == kind::LOGIN_ACCEPTED {
            segments.extend(bytes[start..end].chunks(1460));
            start = end;
        }
    }
    segments.extend(bytes[start..].chunks(1460));
    (segments, packets)
}

#[test]
fn tshark_finds_no_fault_but_where_a_scenario_asks_for_it() {
    if !has_tshark() {
        return;
    }
    let dissected = |names: &[&str]| {
        let (mut segments, mut packets) = (Vec::new(), 0);
        let connections = names.iter().flat_map(|name| played(name, 1));
        for (client, (_, bytes)) in (30_000..).zip(connections) {
            let mut sequence = 1;
            let (parts, whole) = segments_of(&bytes);
            for part in parts {
                segments.push(tcp_to(client, sequence, part));
                sequence += part.len() as u32;
            }
            packets += whole;
        }
        (soup_xml(&segments), packets)
    };
    let is_wrong = |name: &str| {
        let (xml, packets) = dissected(&[name]);
        is_complaint(&xml) || xml.matches("<proto name=\"soupbintcp\"").count() != packets
    };
    let malformed = ["soup-no-length"];
    let legal: Vec<&str> = scenarios().filter(|name| !malformed.contains(name)).collect();
    let (xml, packets) = dissected(&legal);
    let read = xml.matches("<proto name=\"soupbintcp\"").count();
    if is_complaint(&xml) || read != packets {
        let culprits: Vec<_> = legal.into_iter().filter(|name| is_wrong(name)).collect();
        panic!("{read} of {packets} packets: {culprits:?}");
    }
    assert!(packets > 1000, "{packets} packets");
    assert!(is_complaint(&dissected(&malformed).0));
}

/// A fault at random messages.
fn sometimes(action: FaultAction, chance: &str) -> Fault {
    let mut fault = Fault::new(action, FaultPlace::Stream).unwrap();
    let burst = feed::base::span::Span::one(1);
    fault.pick = FaultSelector::Random { chance: chance.parse().unwrap(), burst };
    fault
}

#[test]
fn a_hundred_thousand_messages_reach_the_venues_client_through_reconnects() {
    if !has_client() {
        return;
    }
    use feed::base::span::{Span, TimeSpan};
    let pause = TimeSpan::one(Duration::ZERO);
    let size = feed::faults::scenario::WriteSize::Bytes(Span::new(1, 3000).unwrap());
    let debug = feed::faults::scenario::ExtraPacket::Debug;
    let scenario = Scenario::clean(5)
        .with(sometimes(FaultAction::Close { bytes: 1 }, "0.02%"))
        .with(sometimes(FaultAction::Reset { bytes: 9 }, "0.02%"))
        .with(sometimes(FaultAction::Write { size, pause }, "5%"))
        .with(sometimes(FaultAction::Insert { packet: debug, bytes: Span::one(9) }, "0.1%"));
    let mut tape = ItchMarket::seeded(3, 100_000);
    let serving = Serving::in_soup(MockExchange::new(tape.clone(), scenario));
    let (messages, others) = record(serving.address, 1, u64::MAX);
    assert!(messages == messages_of(&mut tape), "{} messages", messages.len());
    assert_eq!(others.last().unwrap(), "connection ended before 100001");
    let served = serving.end().stats();
    assert!(served.cut > 10 && served.soup.logins == served.cut + 1, "{served:?}");
    assert!(others.iter().filter(|line| *line == "Debug").count() > 10);
}

#[test]
fn one_tape_is_played_in_both_protocols_at_once() {
    let server = ServeProcess::listening(
        &["127.0.0.1:0", "soup://127.0.0.1:0"],
        &["--tape", "random:500:1", "--drop", "0"],
    );
    let soup = server.addresses.iter().find_map(|line| line.strip_prefix("soup://")).unwrap();
    let other = server.addresses.iter().find(|line| !line.contains("://")).unwrap();
    let mut stream = TcpStream::connect(soup).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    stream.write_all(&login_at(1)).unwrap();
    let bytes = read_all(&mut stream);
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while let Some((raw, after)) = RawPacket::split_first(rest).unwrap() {
        if let Packet::Sequenced(message) = raw.decode().unwrap() {
            messages.extend_from_slice(message);
        }
        rest = after;
    }
    let mut stream = TcpStream::connect(other).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    stream.write_all(&[1, 0]).unwrap();
    assert!(read_all(&mut stream) == messages);
    server.signal(rustix::process::Signal::INT);
    let (code, log) = server.ends();
    assert!(code == 0 && log.contains("user \"ann\" logs in from message 1"), "{log}");
    assert!(log.contains("SoupBinTCP: 1 login, 0 rejected, 500 messages"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn users_and_passwords_are_checked() {
    if !has_client() {
        return;
    }
    let user = (Text::new("ann").unwrap(), Password::new(Text::new("Secret").unwrap()));
    let exchange = MockExchange::new(Arc::new(Tape::sample(5)), Scenario::clean(1))
        .with_users(Users::new(vec![user]));
    let serving = Serving::in_soup(exchange);
    let port = serving.address.port().to_string();
    let login = |args: [&str; 4]| {
        let args: Vec<&str> = ["login", &port].into_iter().chain(args).collect();
        String::from_utf8(python(SCRIPT, &args).unwrap().stdout).unwrap()
    };
    assert!(login(["ANN", "secret", "", "3"]).trim().ends_with(" 3"));
    assert!(login(["ann", "guess", "", "3"]).contains("NOT_AUTHORIZED"));
    assert!(login(["bob", "secret", "", "3"]).contains("NOT_AUTHORIZED"));
    assert!(login(["ann", "secret", "OTHER", "1"]).contains("SESSION_NOT_AVAILABLE"));
    let soup = serving.end().stats().soup;
    assert_eq!((soup.logins, soup.rejects, soup.wrong_passwords), (1, 3, 2));
    assert!(u64::from(FREE_TRIES) > soup.wrong_passwords && soup.slowed == 0);
}

#[test]
fn what_cannot_be_played_is_refused_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "ann topsecret\nbarbara topsecret\n").unwrap();
    let users = users.to_str().unwrap();
    let soup = ["--listen", "soup://127.0.0.1:0"];
    let plain = ["--listen", "127.0.0.1:0"];
    for (listen, args, code, words) in [
        (soup, &["--drop", "0.1"][..], 2, "--drop: SoupBinTCP never loses a message"),
        (soup, &["--skip", "3"], 2, "--skip: SoupBinTCP never loses a message"),
        (soup, &["--scenario", "burst"], 2, "never loses, repeats or changes a message"),
        (soup, &["--scenario", "original"], 2, "the original exchange speaks its own protocol"),
        (soup, &["--live", "--slow", "skip:5"], 2, "cannot leave messages out"),
        (soup, &["--tape", "itch"], 2, "itch is endless: add --live"),
        (soup, &["--users", users], 6, "line 2: user: text of 7 characters"),
        (plain, &["--scenario", "soup-debug"], 2, "it needs a soup:// listener"),
        (plain, &["--users", users], 2, "only SoupBinTCP has logins"),
        (plain, &["--tape", "itch:50"], 2, "are no order packets"),
        (["--listen", "ftp://127.0.0.1:0"], &[], 2, "protocols are betacrew://"),
        (
            ["--listen", "127.0.0.1:9"],
            &["--listen", "soup://127.0.0.1:9"],
            2,
            "127.0.0.1:9 cannot speak both betacrew:// and soup://",
        ),
    ] {
        let (found, stdout, stderr) = run(betacrew(&["serve"]).args(listen).args(args));
        assert!(stderr.contains(words), "{args:?}: {stderr}");
        assert_eq!((found, stdout.as_str()), (code, ""), "{args:?}: {stderr}");
        assert!(!stderr.contains("topsecret"), "{stderr}");
    }
}

/// Sends bytes to an exchange in SoupBinTCP, and returns all that it answers until it closes.
pub(crate) fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    // The exchange may have closed the connection before all is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn hostile_clients_harm_nobody() {
    let exchange = MockExchange::new(Arc::new(Tape::sample(5)), Scenario::clean(1));
    let serving = Serving::in_soup(exchange);
    let whole = answer(serving.address, &login_at(1));
    assert_eq!(whole.len(), 33 + 5 * 20 + 3);
    let login = login_at(1);
    let with = |before: &[u8], after: &[u8]| [before, &login[..], after].concat();
    let mut bad_sequence = login.clone();
    bad_sequence[48] = b'!';
    let mut far = login_at(u64::MAX);
    // Nothing that follows a login may change what a client receives: these are read too late.
    for (bytes, expected) in [
        (vec![0, 0], 0),
        (vec![0xff, 0xff, b'L'], 0),
        (vec![0, 1, b'L'], 0),
        (vec![0, 9, b'U', 1, 2, 3, 4, 5, 6, 7, 8], 0),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0),
        (bad_sequence, 4),
        (std::mem::take(&mut far), 4),
        (with(&[0, 1, b'R'], &[]), whole.len()),
        (with(&[0, 4, b'+', 1, 2, 3], &[0, 1, b'R']), whole.len()),
        (with(&[0, 1, b'O'], &[]), 0),
    ] {
        assert_eq!(answer(serving.address, &bytes).len(), expected, "{bytes:?}");
    }
    // Anything at all.
    let mut rng = feed::base::rng::Rng::new(4);
    for _ in 0..200 {
        let length = rng.below(200);
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.bits() as u8).collect();
        if rng.below(2) == 0 {
            bytes.splice(0..0, login_at(u64::from(rng.below(8))));
        }
        // Ends a connection that waits for the rest of a packet: zeros fill it, and two more are a
        // length of 0.
        bytes.extend([0; 60]);
        let answer = answer(serving.address, &bytes);
        assert!(answer.is_empty() || [b'A', b'J'].contains(&answer[2]), "{bytes:?}: {answer:?}");
    }
    assert_eq!(answer(serving.address, &login_at(1)), whole, "others are served as before");
    let served = serving.end().stats();
    assert!(served.soup.violations > 100, "{served:?}");
}

/// Reads packets until one of this type has been read.
#[cfg(feature = "web")]
fn read_until(stream: &mut TcpStream, kind: u8) {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut packet = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut packet).unwrap();
        if packet[0] == kind {
            return;
        }
    }
}

#[cfg(feature = "web")]
#[test]
fn http_shows_connections_and_logins_and_refuses_what_cannot_happen() {
    use crate::http::Program;
    use serde_json::json;
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "# people\nann secret\n").unwrap();
    let mut command = betacrew(&["serve", "--listen", "soup://127.0.0.1:0", "--tape", "itch:40"]);
    command.args(["--scenario", "soup-end-missing", "--users", users.to_str().unwrap()]);
    command.stderr(std::process::Stdio::null());
    let exchange = Program::of(command);
    let address: SocketAddr = exchange.feed.strip_prefix("soup://").unwrap().parse().unwrap();
    let mut wrong = login_at(1);
    wrong[9..19].copy_from_slice(b"guess     ");
    assert_eq!(answer(address, &wrong), [0, 2, b'J', b'A']);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    stream.write_all(&login_at(31)).unwrap();
    // The end of the session is missing, so heartbeats follow.
    read_until(&mut stream, kind::SERVER_HEARTBEAT);
    let state = exchange.until(|state| state["soup"]["heartbeats"] == 1);
    let soup = &state["soup"];
    for (name, count) in [
        ("logins", 1),
        ("rejects", 1),
        ("wrong_passwords", 1),
        ("messages", 10),
        ("withheld", 1),
        ("ends", 0),
    ] {
        assert_eq!(soup[name], count, "{name}: {soup}");
    }
    assert_eq!(state["listeners"], json!([{ "protocol": "soup", "address": address.to_string() }]));
    let connection = &state["connections"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&connection["protocol"], &connection["kind"]),
        (&json!("soup"), &json!("subscriber"))
    );
    assert_eq!((&connection["packets"], &connection["position"]), (&json!(10), &json!(41)));
    let metrics = exchange.metrics();
    assert!(metrics.contains("betacrew_exchange_soup_logins_total 1\n"), "{metrics}");
    assert!(metrics.contains("betacrew_exchange_soup_withheld_total 1\n"), "{metrics}");
    let page = format!("{state}{metrics}{}", exchange.get("/api/history"));
    assert!(!page.contains("secret") && !page.contains("guess"), "{page}");

    for (path, body, words) in [
        ("/api/drop", json!({ "next": 1 }), "SoupBinTCP never loses a message"),
        ("/api/faults", json!({ "drop": 0.5 }), "SoupBinTCP never loses a message"),
        ("/api/faults", json!({ "scenario": "burst" }), "never apply"),
    ] {
        let (status, answer) = exchange.post(path, &body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(words), "{path} {body}: {status} {answer}");
    }
    let scenarios = exchange.get("/api/scenarios");
    let protocols = |name: &str| {
        let all = scenarios.as_array().unwrap();
        all.iter().find(|it| it["name"] == name).unwrap()["protocols"].clone()
    };
    assert_eq!(protocols("soup-debug"), json!(["soup"]));
    assert_eq!(protocols("burst"), json!(["betacrew", "mold"]));
    assert_eq!(protocols("clean"), json!(["betacrew", "soup", "mold"]));
    // Another scenario ends the session after all.
    let (status, answer) = exchange.post("/api/faults", &json!({ "scenario": "clean" }));
    assert_eq!(status, 200, "{answer}");
    read_until(&mut stream, kind::END_OF_SESSION);
}
