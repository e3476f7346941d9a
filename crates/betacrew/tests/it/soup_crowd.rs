//! Crowds of SoupBinTCP clients on real sockets: thousands that never log in, and thousands of
//! guessed passwords.

use crate::endless::memory_of;
use crate::http::Program;
use crate::soup_serve::{answer, login_at};
use crate::support::{PATIENCE, ServeProcess, betacrew};
use feed::exchange::server::soup::LOGIN_TIMEOUT;
use feed::exchange::server::users::{FREE_TRIES, TRY_INTERVAL, TURN_MAX};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Number of connections that never log in.
const SILENT: u64 = 10_000;

/// Memory of an exchange with all of them, in KiB.
const MEMORY_MAX: u64 = 96 * 1024;

/// Number of bytes that a client of the five sample packets receives: acceptance, packets, end.
const WHOLE: usize = 33 + 5 * 20 + 3;

fn address_of(serve: &ServeProcess) -> SocketAddr {
    serve.addresses[0].strip_prefix("soup://").unwrap().parse().unwrap()
}

/// Reads the log of an exchange while it runs, because a full pipe would hold it up.
fn log_of(serve: &mut ServeProcess) -> JoinHandle<String> {
    let mut stderr = serve.child.stderr.take().unwrap();
    std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    })
}

/// Ends an exchange, and returns its exit code and its log.
fn ends(serve: ServeProcess, log: JoinHandle<String>) -> (i32, String) {
    serve.signal(rustix::process::Signal::INT);
    let (code, _) = serve.ends();
    (code, log.join().unwrap())
}

/// Lets this process and those that it starts have as many descriptors as the system allows, and
/// returns their number.
fn raise_descriptors() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let most = maximum.unwrap_or(1 << 20).min(1 << 20);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).unwrap();
    most
}

#[test]
fn ten_thousand_clients_that_never_log_in_are_bounded_and_timed_out() {
    let count = SILENT.min((raise_descriptors() / 4 * 3).saturating_sub(256));
    let mut serve = ServeProcess::listening(&["soup://127.0.0.1:0"], &["--tape", "sample"]);
    let log = log_of(&mut serve);
    let address = address_of(&serve);
    let began = Instant::now();
    let mut crowd: Vec<TcpStream> =
        (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(answer(address, &login_at(1)).len(), WHOLE, "others are served meanwhile");
    let memory = memory_of(&serve.child, "VmHWM").unwrap();
    assert!(memory < MEMORY_MAX, "{memory} KiB for {count} connections");
    for stream in &mut crowd {
        stream.set_read_timeout(Some(LOGIN_TIMEOUT + PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0, "closed without a byte");
    }
    assert!(began.elapsed() >= LOGIN_TIMEOUT, "{:?}", began.elapsed());
    let (code, log) = ends(serve, log);
    // Events that come all at once are more than the log takes.
    let timed_out = log.matches("no login within 30 s").count() as u64;
    assert!(code == 0 && (1..=count).contains(&timed_out), "{timed_out}");
}

#[test]
fn clients_that_never_log_in_make_room_for_one_that_does() {
    let on = "soup://127.0.0.1:0";
    let serve = ServeProcess::limited_on(on, "ulimit -n 64", &["--tape", "sample"]);
    let address = address_of(&serve);
    let crowd: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(answer(address, &login_at(1)).len(), WHOLE);
    drop(crowd);
}

#[test]
fn passwords_tried_by_the_thousand_are_slowed_counted_and_in_no_log() {
    const TRIES: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "ann secret\n").unwrap();
    let log = folder.path().join("log");
    let args = ["serve", "--listen", "soup://127.0.0.1:0", "--tape", "sample", "--users"];
    let mut command = betacrew(&args);
    command.arg(&users).stderr(std::fs::File::create(&log).unwrap());
    let exchange = Program::of(command);
    let address: SocketAddr = exchange.feed.strip_prefix("soup://").unwrap().parse().unwrap();
    let began = Instant::now();
    let tries = (0..TRIES).map(|number| {
        let mut login = login_at(1);
        login[9..19].copy_from_slice(format!("guess{number:05}").as_bytes());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&login).unwrap();
        stream
    });
    let tries: Vec<TcpStream> = tries.collect();
    // The right password waits for its turn like the others, and there is none left.
    assert!(answer(address, &login_at(1)).is_empty());
    let mut answered = 0;
    for mut stream in tries {
        let mut said = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut said);
        assert!(said.is_empty() || said == [0, 2, b'J', b'A'], "{said:?}");
        answered += u64::from(!said.is_empty());
    }
    // One answer a second after the first few.
    let turns = (began.elapsed() + TURN_MAX).as_secs() / TRY_INTERVAL.as_secs();
    assert!((1..=u64::from(FREE_TRIES) + turns).contains(&answered), "{answered}");
    assert!(began.elapsed() >= TURN_MAX - Duration::from_secs(1), "{:?}", began.elapsed());
    let state = exchange.get("/api/state");
    let soup = &state["soup"];
    assert_eq!((&soup["logins"], &soup["wrong_passwords"]), (&json!(0), &json!(answered)));
    let slowed = soup["slowed"].as_u64().unwrap();
    assert!(slowed + u64::from(FREE_TRIES) >= TRIES as u64, "{slowed}");
    let metrics = exchange.metrics();
    exchange.interrupt();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("is rejected (A)") && log.contains("login is not answered"), "{log}");
    let all = format!("{log}{state}{metrics}");
    assert!(!all.contains("guess") && !all.contains("secret"), "{all}");
}
