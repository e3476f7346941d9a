//! The exchange in MoldUDP64: the datagrams of each scenario, an independent receiver in Python,
//! tshark, groups, and requests of peers that do as they like.

use crate::in_time::ChildInTime;
use crate::support::{PATIENCE, ServeProcess, betacrew, python_has, run};
use crate::wires::{has_tshark, mold_complaints};
use betacrew::scenario;
use betacrew::tape::name::{AnyTape, TapeName};
use feed::base::seq::{SeqRange, SeqSet};
use feed::exchange::Exchange;
use feed::exchange::datagrams::DatagramBatch;
use feed::exchange::server::MockExchange;
use feed::exchange::server::mold::{DatagramLimits, LineOptions};
use feed::faults::scenario::Scenario;
use feed::tape::itch_market::ItchMarket;
use feed::tape::source::TapeSource;
use feed::wire::mold::{Content, Datagram, Request, Session};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Time for which the golden files have what a line sends.
const PLAYED: Duration = Duration::from_secs(10);

/// Number of lines in the golden files.
const LINES: usize = 2;

/// Returns what a datagram is, in a word.
fn word(bytes: &[u8]) -> String {
    match Datagram::parse(bytes) {
        Err(_) => format!("{}B", bytes.len()),
        Ok(datagram) => match datagram.content() {
            Content::Heartbeat => format!("H{}", datagram.sequence()),
            Content::EndOfSession => format!("Z{}", datagram.sequence()),
            Content::Messages(_) => {
                format!("{}-{}", datagram.sequence(), datagram.next_sequence() - 1)
            }
        },
    }
}

/// Exchange with lines, without sockets.
struct Lines {
    exchange: MockExchange<AnyTape>,
    now: Duration,
    all: Vec<u8>,
}

impl Lines {
    fn of(name: &str, seed: u64) -> Self {
        let mut resolved = scenario::open(name).unwrap();
        resolved.scenario.seed = seed;
        let mut exchange =
            MockExchange::new(resolved.tape.open(seed).unwrap(), resolved.scenario.clone());
        if let Some(next) = &resolved.next {
            exchange = exchange.with_next_tape(next.open(seed).unwrap());
        }
        // All requests are sent at once.
        let request_rate = 1_000_000;
        let options = LineOptions { lead: Duration::ZERO, request_rate, ..LineOptions::default() };
        let exchange = (0..LINES).fold(exchange, |exchange, _| exchange.with_line(options));
        Self { exchange, now: Duration::ZERO, all: Vec::new() }
    }

    /// Notes the datagrams of a batch in words.
    fn note(&mut self, text: &mut String, batch: &DatagramBatch) {
        for (_, datagram) in batch.iter() {
            let _ = write!(text, " {}", word(datagram));
            self.all.extend_from_slice(datagram);
        }
    }

    /// Returns what a line sends until [`PLAYED`], with the times.
    fn sent(&mut self, line: usize) -> String {
        let (mut text, mut stamped) = (String::new(), Duration::ZERO);
        self.now = Duration::ZERO;
        loop {
            let mut batch = DatagramBatch::default();
            let lines = self.exchange.lines().unwrap();
            lines.send_due(line, &mut batch, self.now);
            if !batch.is_empty() {
                if stamped != self.now {
                    stamped = self.now;
                    let _ = write!(text, " +{}us", self.now.as_micros());
                }
                self.note(&mut text, &batch);
                continue;
            }
            if self.exchange.is_dead() {
                return text + " died";
            }
            let deadline = self.exchange.lines().unwrap().line_deadline(line);
            match deadline.filter(|at| *at < PLAYED) {
                Some(at) => self.now = at.max(self.now),
                None => return text,
            }
        }
    }

    /// Returns the answers to requests for all messages, as many at once as an answer may have.
    fn answers(&mut self, line: usize) -> String {
        let mut text = String::new();
        self.now = PLAYED;
        let session = Session(self.exchange.tape().session().padded());
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        for sequence in (1..=self.exchange.tape().last()).step_by(20) {
            let request = Request { session, sequence, count: 20 }.encode();
            let mut batch = DatagramBatch::default();
            let lines = self.exchange.lines().unwrap();
            lines.receive_request(line, client, &request, &mut batch, self.now);
            let _ = write!(text, " ?{sequence}");
            self.note(&mut text, &batch);
        }
        let mut batch = DatagramBatch::default();
        self.now += PLAYED;
        let lines = self.exchange.lines().unwrap();
        lines.send_late_answers(line, &mut batch, self.now);
        text += " later";
        self.note(&mut text, &batch);
        text
    }
}

/// Returns what the lines of a scenario send, and how its request servers answer.
pub(crate) fn golden_of(name: &str, seed: u64) -> String {
    let mut text = format!("{name}, seed {seed}\n");
    let mut lines = Lines::of(name, seed);
    let add = |what: &str, line: String, text: &mut String| {
        let line = match line.len() > 400 {
            true => format!(
                " {} words, {:08x}",
                line.split(' ').count(),
                feed::storage::crc32c(line.as_bytes())
            ),
            false => line,
        };
        let _ = writeln!(text, "  {what}{line}");
    };
    for line in 0..LINES {
        let sent = lines.sent(line);
        add(&format!("line {}", line + 1), sent, &mut text);
    }
    for line in 0..LINES {
        let answers = lines.answers(line);
        add(&format!("requests {}", line + 1), answers, &mut text);
    }
    let _ = writeln!(text, "  crc {:08x}", feed::storage::crc32c(&lines.all));
    text
}

const SCRIPT: &str = "mold_receiver.py";

/// Runs the receiver in Python against an exchange that plays `tape` on two lines, and returns what
/// it has counted, and the messages, each behind its length.
fn received(tape: &str, args: &[&str]) -> (Value, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.itch");
    let script = format!("{}/tests/{SCRIPT}", env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var("BETACREW_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut receiver = Command::new(python)
        .args([script.as_str(), "record", "2"])
        .arg(&out)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let ports = lines.next().unwrap().unwrap();
    let lines_of =
        ports.split(' ').map(|port| format!("mold://127.0.0.1:{port}?request=127.0.0.1:0&start=0"));
    let typed: Vec<String> = lines_of.collect();
    let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
    let args = [&["--tape", tape], args].concat();
    let serve = ServeProcess::listening(&typed, &args);
    let mut input = receiver.stdin.take().unwrap();
    for address in &serve.addresses {
        let (_, port) = address.rsplit_once(':').unwrap();
        writeln!(input, "{port}").unwrap();
    }
    let report = lines.next().and_then(Result::ok).unwrap_or_default();
    let output = receiver.ends_with_output();
    assert!(output.status.success(), "the receiver failed");
    drop(serve);
    (serde_json::from_str(&report).unwrap(), std::fs::read(out).unwrap())
}

/// Returns all messages of a tape, each behind its length.
pub(crate) fn framed(mut tape: impl TapeSource) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = 1;
    while let Some(rest) = SeqRange::new(next, tape.last()) {
        for (seq, message) in tape.messages(rest).iter() {
            bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
            bytes.extend(message);
            next = seq + 1;
        }
    }
    bytes
}

#[test]
fn a_receiver_in_python_gets_a_hundred_thousand_messages_from_two_lines_that_drop() {
    if !python_has(SCRIPT, "nothing") {
        return;
    }
    let args = ["--drop", "5%", "--seed", "3", "--pace", "200000/s", "--datagram", "1400,20"];
    let (report, messages) = received("itch:100000:7", &args);
    assert!(messages == framed(ItchMarket::seeded(7, 100_000)), "other messages");
    let missed: Vec<u64> =
        report["missed"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert!(missed.iter().all(|missed| (2000..20_000).contains(missed)), "{report}");
    let counts = [&report["requests"], &report["answers"]].map(|it| it.as_u64().unwrap());
    assert!(counts[0] > 5 && counts[1] > 5 && counts[1] <= counts[0], "{report}");
}

#[test]
fn a_receiver_in_python_gets_order_packets_in_any_weather() {
    if !python_has(SCRIPT, "nothing") {
        return;
    }
    for scenario in
        ["mold-both-lines", "mold-singles", "mold-messages-left-out", "mold-tail-and-end"]
    {
        let (report, messages) =
            received("random:1000:7", &["--scenario", scenario, "--seed", "7"]);
        let name: TapeName = "random:1000:7".parse().unwrap();
        assert!(messages == framed(name.open(7).unwrap()), "{scenario}: {report}");
    }
}

#[test]
fn tshark_finds_nothing_wrong_with_any_datagram_but_where_a_scenario_asks_for_it() {
    if !has_tshark() {
        return;
    }
    for (name, is_damaging) in [
        ("quarter", false),
        ("mold-singles", false),
        ("mold-sizes", false),
        ("mold-sequence-back", false),
        ("mold-cut-short", true),
        ("mold-length-too-high", true),
    ] {
        let mut lines = Lines::of(name, 1);
        let (mut datagrams, client) = (Vec::new(), SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
        let session = Session(lines.exchange.tape().session().padded());
        let mut batch = DatagramBatch::default();
        let exchange = lines.exchange.lines().unwrap();
        loop {
            batch.clear();
            exchange.send_due(0, &mut batch, Duration::ZERO);
            if batch.is_empty() {
                break;
            }
            datagrams.extend(batch.iter().map(|(_, datagram)| datagram.to_vec()));
        }
        let request = Request { session, sequence: 1, count: 9 }.encode();
        exchange.receive_request(0, client, &request, &mut batch, Duration::ZERO);
        datagrams.extend(batch.iter().map(|(_, datagram)| datagram.to_vec()));
        let complaints = mold_complaints(&datagrams);
        // The count of an end of session is above the number of its messages.
        let odd = complaints.iter().filter(|it| !it.is_empty()).count();
        assert_eq!(odd > 1, is_damaging, "{name}: {complaints:?}");
    }
}

/// Socket that has joined a group on this machine, if the system lets it.
fn joined(group: Ipv4Addr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind((group, 0)).ok()?;
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Some(socket)
}

#[test]
#[cfg(target_os = "linux")]
fn lines_go_to_groups_of_this_machine_and_to_further_receivers() {
    let group = Ipv4Addr::new(239, 255, 17, 3);
    let Some(member) = joined(group) else {
        println!("skipped: this machine has no groups on its loopback interface");
        return;
    };
    let further = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    further.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let address = format!(
        "mold://{group}:{}?request=127.0.0.1:0&to=127.0.0.1:{}&start=0",
        port(&member),
        port(&further)
    );
    let serve = ServeProcess::listening(&[&address], &["--tape", "random:100"]);
    let shown = &serve.addresses[0];
    let begin = format!("mold://{group}:{}?request=127.0.0.1:", port(&member));
    assert!(shown.starts_with(&begin) && shown.ends_with("&interface=127.0.0.1"), "{shown}");
    for socket in [member, further] {
        let (mut got, mut buffer) = (SeqSet::new(), [0; 2048]);
        while got.count() < 100 {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            assert!(from.ip().is_loopback());
            let datagram = Datagram::parse(&buffer[..length]).unwrap();
            for (seq, _) in datagram.messages().numbered() {
                got.insert(SeqRange::one(seq));
            }
        }
    }
}

#[test]
fn requests_of_any_kind_get_one_answer_or_none_and_the_limit_holds() {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let address = format!("mold://127.0.0.1:{port}?request=127.0.0.1:0&start=0&rate=500");
    let serve = ServeProcess::listening(&[&address], &["--tape", "random:1000", "--drop", "0"]);
    let server: SocketAddr = serve.addresses[0].split_once("request=").unwrap().1.parse().unwrap();
    let mut buffer = [0; 2048];
    let session = loop {
        let length = receiver.recv(&mut buffer).unwrap();
        let datagram = Datagram::parse(&buffer[..length]).unwrap();
        if matches!(datagram.content(), Content::EndOfSession) {
            break datagram.session();
        }
    };
    let asker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    let legal = Request { session, sequence: 5, count: 3 }.encode();
    let other = Request { session: Session::new("OTHER").unwrap(), sequence: 5, count: 3 };
    let beyond = Request { session, sequence: 1001, count: 3 }.encode();
    let wrong: [&[u8]; 6] = [&[], &legal[..19], &[0; 20], &[0xff; 1400], &other.encode(), &beyond];
    for request in wrong {
        asker.send_to(request, server).unwrap();
    }
    asker.send_to(&legal, server).unwrap();
    let (length, from) = asker.recv_from(&mut buffer).unwrap();
    let answer = Datagram::parse(&buffer[..length]).unwrap();
    assert_eq!((from, answer.sequence(), answer.count()), (server, 5, 3));
    // As many requests at once as it takes to meet the limit; the rest of them is not answered.
    asker.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let answered = std::thread::scope(|scope| {
        let answers = scope.spawn(|| {
            let mut buffer = [0; 2048];
            std::iter::from_fn(|| asker.recv(&mut buffer).ok()).count()
        });
        for _ in 0..5000 {
            asker.send_to(&legal, server).unwrap();
        }
        answers.join().unwrap()
    });
    // 500 at once, and as many in each second that this takes. The system may lose some.
    assert!((200..4000).contains(&answered), "{answered} answers");
    serve.signal(rustix::process::Signal::TERM);
    let (_, log) = serve.ends();
    assert!(log.contains("sends more requests than it may"), "{log}");
}

#[test]
fn flags_and_addresses_that_do_not_fit_are_refused_with_words() {
    let mold = "mold://127.0.0.1:9";
    for (args, word) in [
        (&["--datagram", "1400"][..], "only MoldUDP64 has datagrams"),
        (&["--flush", "1ms", "--listen", "soup://127.0.0.1:0"], "only MoldUDP64 has datagrams"),
        (&["--listen", mold, "--datagram", "9"], "a datagram has 22 to 65507 bytes"),
        (&["--listen", "mold://127.0.0.1:0"], "has port 0"),
        (&["--listen", "mold://127.0.0.1:9?loss=1"], "is not a key"),
        (&["--listen", mold, "--scenario", "original"], "leave soup:// and mold://"),
        (&["--listen", mold, "--scenario", "soup-refused-once"], "none of the faults can happen"),
        (&["--listen", mold, "--scenario", "closed-early"], "MoldUDP64 has no connections"),
        (&["--listen", mold, "--users", "/dev/null"], "only SoupBinTCP has logins"),
        (
            &["--listen", "127.0.0.1:0", "--listen", mold, "--tape", "itch:9"],
            "are no order packets",
        ),
        (&["--listen", "soup://127.0.0.1:0", "--scenario", "mold-cut-short"], "needs a mold://"),
    ] {
        let (code, _, error) = run(betacrew(&["serve"]).args(args));
        assert!(code == 2 && error.contains(word), "{args:?}: {code}: {error}");
    }
}

#[test]
fn limits_of_lines_reach_their_datagrams() {
    let limits = DatagramLimits { messages: 3, ..DatagramLimits::default() };
    let options = LineOptions { limits, lead: Duration::ZERO, ..LineOptions::default() };
    let market = ItchMarket::seeded(1, 9);
    let mut exchange = MockExchange::new(market, Scenario::clean(1)).with_line(options);
    let mut batch = DatagramBatch::default();
    exchange.lines().unwrap().send_due(0, &mut batch, Duration::ZERO);
    let words: Vec<String> = batch.iter().map(|(_, datagram)| word(datagram)).collect();
    assert_eq!(words, ["1-3", "4-6", "7-9", "Z10"]);
}
