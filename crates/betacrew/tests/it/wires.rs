//! SoupBinTCP and MoldUDP64 beside others: what we encode is read field by field by the venue's
//! Python package and by tshark's dissectors, and we read what the package writes.

use crate::in_time::CommandInTime;
use crate::support::{python, python_has};
use feed::base::rng::Rng;
use feed::wire::mold::{self, Builder, Header, PayloadLimit, Request, Session};
use feed::wire::soup::{
    Framer, LoginAccepted, LoginRequest, Packet, Password, Received, RejectReason, SequencedRun,
    Text,
};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Number of random packets that each comparison takes.
const PACKETS: usize = 10_000;

const SCRIPT: &str = "wires.py";

fn has_nasdaq() -> bool {
    python_has(SCRIPT, "nasdaq-protocols")
}

/// Returns what the script prints, one JSON array a line.
fn nasdaq(args: &[&str]) -> Vec<Value> {
    let output = python(SCRIPT, args).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A packet of a kind that all programs here know, with a copy of its fields.
#[derive(Clone)]
struct Drawn {
    bytes: Vec<u8>,
    row: Value,
}

const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

fn draw_text(rng: &mut Rng, longest: u32) -> String {
    let length = rng.below(longest + 1);
    (0..length).map(|_| char::from(LETTERS[rng.below(36) as usize])).collect()
}

fn draw_bytes(rng: &mut Rng) -> Vec<u8> {
    let length = [0, 1, 30, 30, 30, 500][rng.below(6) as usize];
    (0..length).map(|_| rng.bits() as u8).collect()
}

/// Draws a number of any length, at most `max`.
fn draw_number(rng: &mut Rng, max: u64) -> u64 {
    (rng.bits() >> rng.below(64)).min(max)
}

/// Draws a packet whose sequence, if it has one, is at most `max`.
fn draw_packet(rng: &mut Rng, max: u64) -> Drawn {
    let mut bytes = Vec::new();
    let mut encode = |packet: Packet<'_>| packet.encode(&mut bytes).unwrap();
    let row = match rng.below(12) {
        0 => {
            let (user, password) = (draw_text(rng, 6), draw_text(rng, 10));
            let (session, sequence) = (draw_text(rng, 10), draw_number(rng, max));
            encode(Packet::LoginRequest(LoginRequest {
                user: Text::new(&user).unwrap(),
                password: Password::new(Text::new(&password).unwrap()),
                session: Text::new(&session).unwrap(),
                sequence,
                heartbeat_timeout: None,
            }));
            json!(["L", user, password, session, sequence])
        }
        1 => {
            let (session, sequence) = (draw_text(rng, 10), draw_number(rng, max));
            let accepted = LoginAccepted { session: Text::new(&session).unwrap(), sequence };
            encode(Packet::LoginAccepted(accepted));
            json!(["A", session, sequence])
        }
        2 => {
            let reason = [RejectReason::NotAuthorized, RejectReason::SessionNotAvailable];
            let reason = reason[rng.below(2) as usize];
            encode(Packet::LoginRejected(reason));
            json!(["J", char::from(reason.code()).to_string()])
        }
        3 => {
            let text = draw_text(rng, 60);
            encode(Packet::Debug(text.as_bytes()));
            json!(["+", text])
        }
        4 => {
            let message = draw_bytes(rng);
            encode(Packet::Unsequenced(&message));
            json!(["U", hex(&message)])
        }
        kind @ 5..9 => {
            let kind = kind as usize - 5;
            let simple = [
                Packet::ServerHeartbeat,
                Packet::ClientHeartbeat,
                Packet::EndOfSession,
                Packet::LogoutRequest,
            ];
            encode(simple[kind]);
            json!([char::from(simple[kind].kind()).to_string()])
        }
        _ => {
            let message = draw_bytes(rng);
            encode(Packet::Sequenced(&message));
            json!(["S", hex(&message)])
        }
    };
    Drawn { bytes, row }
}

fn draw_packets(seed: u64, max: u64) -> Vec<Drawn> {
    let mut rng = Rng::new(seed);
    (0..PACKETS).map(|_| draw_packet(&mut rng, max)).collect()
}

#[test]
fn the_venues_package_reads_the_packets_that_we_write() {
    if !has_nasdaq() {
        return;
    }
    let packets = draw_packets(16, u64::MAX);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.bin");
    let bytes: Vec<u8> = packets.iter().flat_map(|packet| packet.bytes.clone()).collect();
    std::fs::write(&path, bytes).unwrap();
    let theirs = nasdaq(&["read", path.to_str().unwrap()]);
    assert_eq!(theirs.len(), PACKETS);
    for (number, (ours, theirs)) in packets.iter().zip(theirs).enumerate() {
        assert_eq!(ours.row, theirs, "packet {number}: {}", ours.bytes.escape_ascii());
    }
}

/// Returns a packet's row; a password is compared with the one of `expected`.
fn row(packet: Packet<'_>, expected: &Value) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let kind = char::from(packet.kind()).to_string();
    match packet {
        Packet::LoginRequest(login) => {
            let password = expected[2].as_str().unwrap();
            let is_right = login.password.matches(&Password::new(Text::new(password).unwrap()));
            let (user, session) = (login.user.as_bytes(), login.session.as_bytes());
            assert_eq!(login.heartbeat_timeout, None);
            let password = if is_right { password } else { "another one" };
            json!([kind, text(user), password, text(session), login.sequence])
        }
        Packet::LoginAccepted(login) => {
            json!([kind, text(login.session.as_bytes()), login.sequence])
        }
        Packet::LoginRejected(reason) => json!([kind, char::from(reason.code()).to_string()]),
        Packet::Debug(payload) => json!([kind, text(payload)]),
        Packet::Sequenced(payload) | Packet::Unsequenced(payload) => json!([kind, hex(payload)]),
        _ => json!([kind]),
    }
}

#[test]
fn we_read_the_packets_that_the_venues_package_writes() {
    if !has_nasdaq() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.bin");
    let theirs = nasdaq(&["write", path.to_str().unwrap(), "16", &PACKETS.to_string()]);
    let bytes = std::fs::read(&path).unwrap();
    let (mut framer, mut rng) = (Framer::new(), Rng::new(16));
    let (mut rest, mut expected) = (&bytes[..], theirs.iter());
    while !rest.is_empty() {
        let (mut piece, after) = rest.split_at((rng.below(2000) as usize).min(rest.len()));
        rest = after;
        while let Some(received) = framer.next(&mut piece).unwrap() {
            match received {
                Received::Sequenced(run) => check_run(run, &mut expected),
                Received::Other(raw) => {
                    let expected = expected.next().unwrap();
                    assert_eq!(&row(raw.decode().unwrap(), expected), expected);
                }
            }
        }
    }
    assert_eq!((expected.next(), framer.held()), (None, 0));
}

fn check_run<'a>(run: SequencedRun<'_>, expected: &mut impl Iterator<Item = &'a Value>) {
    for message in run {
        assert_eq!(Some(&json!(["S", hex(message)])), expected.next());
    }
}

/// Returns whether tshark is installed. It is an error if it has to be there.
pub(crate) fn has_tshark() -> bool {
    let found = Command::new("tshark").arg("--version").output_in_time();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let is_required = std::env::var_os("BETACREW_REQUIRE_READERS").is_some_and(|it| it == "1");
    assert!(!is_required, "tshark is not installed (apt-get install tshark)");
    println!("skipped: tshark is not installed (apt-get install tshark)");
    false
}

/// Port that the captures have, of either protocol.
const PORT: u16 = 26_400;

/// Returns an IPv4 packet from 127.0.0.1 to itself, whose checksum is left out as a network card's
/// offloading leaves it out.
fn ip_packet(protocol: u8, transport: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + transport.len() + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    packet.extend(transport);
    packet.extend(payload);
    packet
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(PORT.to_be_bytes());
    header.extend(PORT.to_be_bytes());
    header.extend((8 + payload.len() as u16).to_be_bytes());
    header.extend([0, 0]);
    ip_packet(17, &header, payload)
}

fn tcp(sequence: u32, payload: &[u8]) -> Vec<u8> {
    tcp_to(40_000, sequence, payload)
}

/// Returns a segment from the exchange to the port of a client.
pub(crate) fn tcp_to(client: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(PORT.to_be_bytes());
    header.extend(client.to_be_bytes());
    header.extend(sequence.to_be_bytes());
    header.extend(1u32.to_be_bytes());
    // Five words of header; PSH and ACK; the window; no checksum, no urgent data.
    header.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    ip_packet(6, &header, payload)
}

/// Writes a capture file of raw IP packets, a millisecond apart.
fn write_capture(path: &Path, packets: &[Vec<u8>]) {
    let mut file = Vec::new();
    // Magic of microseconds, version 2.4, no zone, no accuracy, packets of any length, raw IP.
    for word in [0xa1b2_c3d4u32, 0x0002_0004, 0, 0, 262_144, 101] {
        file.extend(word.to_be_bytes());
    }
    for (number, packet) in (0u32..).zip(packets) {
        let length = packet.len() as u32;
        for word in [number / 1000, number % 1000 * 1000, length, length] {
            file.extend(word.to_be_bytes());
        }
        file.extend(packet);
    }
    std::fs::write(path, file).unwrap();
}

/// Returns what tshark prints of a capture of these packets.
fn dissect(packets: &[Vec<u8>], decode_as: &str, args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcap");
    write_capture(&path, packets);
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&path).args(["-d", decode_as]).args(args);
    let output = command.output_in_time().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the value of an attribute of an XML element.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = element.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// Returns the row of one packet as tshark describes it in XML.
fn soup_row(packet: &str) -> Value {
    let field = |name: &str| {
        let begin = format!("<field name=\"soupbintcp.{name}\"");
        packet.split_once(&begin).and_then(|(_, rest)| rest.split_once("/>")).map(|(it, _)| it)
    };
    let bytes = |name| field(name).and_then(|it| attribute(it, "value")).unwrap_or_default();
    let shown = |name| {
        let shown = field(name).and_then(|it| attribute(it, "showname")).unwrap();
        shown.split_once(':').unwrap().1.trim().to_owned()
    };
    let number = |name| shown(name).parse::<u64>().unwrap();
    let kind = u8::from_str_radix(bytes("packet_type"), 16).map(char::from).unwrap().to_string();
    match kind.as_str() {
        "L" => {
            let number = number("req_seq_num");
            json!([kind, shown("username"), shown("password"), shown("session"), number])
        }
        "A" => json!([kind, shown("session"), number("next_seq_num")]),
        "J" => {
            let code = shown("reject_code");
            json!([kind, if code.contains("Not authorized") { "A" } else { "S" }])
        }
        "+" => json!([kind, field("text").map(|_| shown("text")).unwrap_or_default()]),
        "S" | "U" => json!([kind, bytes("message")]),
        _ => json!([kind]),
    }
}

/// Returns the SoupBinTCP packets of a connection, as tshark describes them in XML.
pub(crate) fn soup_xml(segments: &[Vec<u8>]) -> String {
    // OUCH is what messages may mean, and tshark tries it on ours.
    let args = ["--disable-protocol", "ouch", "-T", "pdml", "-J", "soupbintcp _ws.malformed"];
    dissect(segments, &format!("tcp.port=={PORT},soupbintcp"), &args)
}

/// Returns whether tshark has found something that is not as it should be.
pub(crate) fn is_complaint(xml: &str) -> bool {
    xml.contains("_ws.malformed") || xml.contains("_ws.expert")
}

#[test]
fn tshark_calls_an_accepted_login_malformed_that_is_padded_on_the_right() {
    if !has_tshark() {
        return;
    }
    let ours = b"\x00\x1fA      DAY1                  42";
    assert!(!is_complaint(&soup_xml(&[tcp(1, ours)])));
    let right = b"\x00\x1fADAY1      42                  ";
    assert!(is_complaint(&soup_xml(&[tcp(1, right)])));
}

#[test]
fn tshark_reads_the_soup_packets_that_we_write_however_tcp_cuts_them() {
    if !has_tshark() {
        return;
    }
    // The dissector reads sequences as 32 bits with a sign.
    let drawn = draw_packets(17, i32::MAX as u64);
    let (mut rng, mut segments, mut sequence) = (Rng::new(17), Vec::new(), 1);
    // The dissector takes an accepted login for the beginning of a connection, and forgets half a
    // packet that its segment ends with: a segment ends where such a packet does.
    for packets in drawn.split_inclusive(|packet| packet.row[0] == "A") {
        let bytes: Vec<u8> = packets.iter().flat_map(|packet| packet.bytes.clone()).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (segment, after) = rest.split_at((rng.between(1, 1460) as usize).min(rest.len()));
            segments.push(tcp(sequence, segment));
            sequence += segment.len() as u32;
            rest = after;
        }
    }
    let xml = soup_xml(&segments);
    assert!(!is_complaint(&xml));
    let theirs: Vec<Value> =
        xml.split("<proto name=\"soupbintcp\"").skip(1).map(soup_row).collect();
    assert_eq!(theirs.len(), PACKETS);
    for (number, (ours, theirs)) in drawn.iter().zip(theirs).enumerate() {
        assert_eq!(ours.row, theirs, "packet {number}: {}", ours.bytes.escape_ascii());
    }
}

/// Separator of a field's values in one datagram.
const BETWEEN: &str = "|";

/// A datagram, and the fields that tshark should find in it.
fn draw_datagram(rng: &mut Rng) -> (Vec<u8>, Vec<String>) {
    let name = draw_text(rng, 10);
    let session = Session::new(&name).unwrap();
    let sequence = draw_number(rng, u64::MAX - 100);
    let row = |count: u16, messages: &[Vec<u8>]| {
        let each = |show: &dyn Fn(usize, &Vec<u8>) -> String| {
            let shown: Vec<String> =
                messages.iter().enumerate().map(|(at, it)| show(at, it)).collect();
            shown.join(BETWEEN)
        };
        vec![
            format!("{name:10}"),
            sequence.to_string(),
            count.to_string(),
            each(&|at, _| (sequence + at as u64).to_string()),
            each(&|_, message| message.len().to_string()),
            each(&|_, message| match message.len() {
                0 => "<MISSING>".to_owned(),
                _ => hex(message),
            }),
        ]
    };
    match rng.below(8) {
        0 => (Header::heartbeat(session, sequence).encode().to_vec(), row(0, &[])),
        1 => (Header::end_of_session(session, sequence).encode().to_vec(), row(0xffff, &[])),
        2 => {
            let count = 1 + rng.below(0xfffe) as u16;
            (Request { session, sequence, count }.encode().to_vec(), row(count, &[]))
        }
        _ => {
            let mut bytes = Vec::new();
            let limit = PayloadLimit::new(rng.between(522, 1472) as usize).unwrap();
            let mut builder = Builder::new(&mut bytes, session, sequence, limit);
            let mut messages = Vec::new();
            for _ in 0..rng.between(1, 40) {
                let message = draw_bytes(rng);
                if builder.push(&message).is_err() {
                    break;
                }
                messages.push(message);
            }
            let count = builder.count();
            assert_eq!(builder.finish(), sequence + messages.len() as u64);
            (bytes, row(count, &messages))
        }
    }
}

#[test]
fn tshark_reads_the_mold_datagrams_that_we_write() {
    if !has_tshark() {
        return;
    }
    let mut rng = Rng::new(18);
    let drawn: Vec<_> = (0..PACKETS).map(|_| draw_datagram(&mut rng)).collect();
    let datagrams: Vec<Vec<u8>> = drawn.iter().map(|(bytes, _)| udp(bytes)).collect();
    let aggregator = format!("aggregator={BETWEEN}");
    let mut args = vec!["-T", "fields", "-E", "separator=/t", "-E", &aggregator];
    for field in [
        "moldudp64.session",
        "moldudp64.sequence",
        "moldudp64.count",
        "moldudp64.msgseq",
        "moldudp64.msglen",
        "moldudp64.msgdata",
        "_ws.expert.message",
    ] {
        args.extend(["-e", field]);
    }
    let text = dissect(&datagrams, &format!("udp.port=={PORT},moldudp64"), &args);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), PACKETS);
    for (number, ((bytes, expected), row)) in drawn.iter().zip(rows).enumerate() {
        let [fields @ .., complaint] = &row[..] else { panic!() };
        let same = fields.iter().zip(expected).all(|(theirs, ours)| is_same(ours, theirs));
        assert!(same, "datagram {number}: {fields:?} instead of {expected:?}");
        // A count above the messages that are there, as in a request and an end of session.
        let is_header = bytes.len() == mold::HEADER_BYTES && expected[2] != "0";
        assert_eq!(*complaint, if is_header { "Number of Requested Messages" } else { "" });
    }
}

/// Returns what tshark finds wrong with each of some datagrams of MoldUDP64.
pub(crate) fn mold_complaints(datagrams: &[Vec<u8>]) -> Vec<String> {
    let packets: Vec<Vec<u8>> = datagrams.iter().map(|bytes| udp(bytes)).collect();
    let args = ["-T", "fields", "-e", "moldudp64.sequence", "-e", "_ws.expert.message"];
    let args = [&args[..], &["-e", "_ws.malformed"]].concat();
    let text = dissect(&packets, &format!("udp.port=={PORT},moldudp64"), &args);
    let complaint =
        |line: &str| line.split_once('\t').map_or("", |(_, rest)| rest).trim().to_owned();
    let complaints: Vec<String> = text.lines().map(complaint).collect();
    assert_eq!(complaints.len(), datagrams.len());
    complaints
}

/// Returns whether a field has the expected values. tshark shows nothing of fields that are all
/// empty, and marks the empty ones among others.
fn is_same(expected: &str, shown: &str) -> bool {
    let empty = |text: &str| text.replace("<MISSING>", "").replace(BETWEEN, "");
    expected == shown || empty(expected).is_empty() && empty(shown).is_empty()
}
