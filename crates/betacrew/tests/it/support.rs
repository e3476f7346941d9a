//! Helpers of the tests: exchanges in threads, processes, sockets, scripted peers.

use crate::in_time::{ChildInTime, CommandInTime};
use betacrew::net::{self, Listener, Stop};
use feed::exchange::Exchange;
use feed::exchange::server::MockExchange;
use feed::faults::scenario::{Fault, Scenario};
use feed::tape::in_memory::Tape;
use feed::wire::{Call, FRAME_LEN, Protocol};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than anything here should take, shorter than anybody's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An exchange in a thread of this process.
pub(crate) struct Serving<E> {
    pub(crate) address: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<E>>,
}

impl<E: Exchange + Send + 'static> Serving<E> {
    pub(crate) fn start(exchange: E) -> Self {
        Self::on(net::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap(), exchange)
    }

    /// Starts an exchange that speaks SoupBinTCP.
    pub(crate) fn in_soup(exchange: E) -> Self {
        let socket = net::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self::on(Listener { socket, protocol: Protocol::Soup }, exchange)
    }

    pub(crate) fn on(listener: impl Into<Listener>, mut exchange: E) -> Self {
        let listener = listener.into();
        let address = listener.socket.local_addr().unwrap();
        let stop = Stop::new();
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                net::serve(vec![listener], &mut exchange, &stop, |_, _| {}).unwrap();
                exchange
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Waits until the exchange dies, and returns it.
    pub(crate) fn dies(mut self) -> E {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Stops the loop of the exchange, and returns the exchange.
    pub(crate) fn end(mut self) -> E {
        self.stop.stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl<E> Drop for Serving<E> {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// Streams lose these sequences, and each packet with this probability.
pub(crate) fn losing(seed: u64, chance: &str, skip: &str) -> Scenario {
    let losing = Scenario::losing(seed, chance.parse().unwrap());
    losing.with(Fault::skip(skip.parse().unwrap()))
}

/// Our exchange in a thread.
pub(crate) fn playing(tape: Tape, scenario: Scenario) -> Serving<MockExchange> {
    Serving::start(MockExchange::new(Arc::new(tape), scenario))
}

/// A connection that fails rather than hangs.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(crate) fn call(stream: &mut TcpStream, call: Call) {
    let mut bytes = Vec::new();
    call.encode(&mut bytes);
    stream.write_all(&bytes).unwrap();
}

/// Reads until the peer ends the connection.
pub(crate) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn read_frame(stream: &mut TcpStream) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    stream.read_exact(&mut frame).unwrap();
    frame
}

/// The sequences of whole frames.
pub(crate) fn sequences(bytes: &[u8]) -> Vec<u64> {
    let (frames, rest) = bytes.as_chunks::<FRAME_LEN>();
    assert!(rest.is_empty(), "half a packet at the end");
    frames.iter().map(feed::wire::sequence_of).collect()
}

/// A peer that does to each connection what `script` says (the number counts from 0).
pub(crate) fn peer(script: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let script = Arc::clone(&script);
            std::thread::spawn(move || script(stream, number));
        }
    });
    address
}

/// A port of this machine that refuses connections. It stays this test's, because it is bound; a
/// program that the test starts may listen there all the same.
pub(crate) struct ReservedPort {
    pub(crate) port: u16,
    #[expect(dead_code, reason = "they hold the port")]
    sockets: Vec<socket2::Socket>,
}

impl ReservedPort {
    pub(crate) fn new() -> Self {
        let bind = |address: SocketAddr| {
            let domain = socket2::Domain::for_address(address);
            let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
            // A listener that sets this as well may have the port.
            socket.set_reuse_address(true)?;
            socket.bind(&address.into()).map(|()| socket)
        };
        let v4 = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = v4.local_addr().unwrap().as_socket().unwrap().port();
        let v6 = bind((std::net::Ipv6Addr::LOCALHOST, port).into());
        Self { port, sockets: [v4].into_iter().chain(v6).collect() }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Reads what a client calls for: the first call's type, or `None` where it ends instead.
pub(crate) fn next_call(stream: &mut TcpStream) -> Option<[u8; 2]> {
    let mut call = [0; 2];
    stream.read_exact(&mut call).ok().map(|()| call)
}

/// Returns a command that runs the program and hears INT and HUP, because the program leaves
/// signals ignored that were ignored at its start, and a shell that runs the tests may ignore them
/// (`nohup`, a shell's `&`).
fn program() -> Command {
    let path = env!("CARGO_BIN_EXE_betacrew");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let (hup, int) = (1 << 0, 1 << 1);
    if mask & (hup | int) == 0 {
        return Command::new(path);
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,HUP", path]);
    command
}

pub(crate) fn betacrew(args: &[&str]) -> Command {
    let mut command = program();
    command.args(args).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

/// Runs the program to its end: exit code, stdout, stderr.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output_in_time().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// `betacrew serve` as a process.
pub(crate) struct ServeProcess {
    pub(crate) child: Child,
    pub(crate) addresses: Vec<String>,
}

impl ServeProcess {
    /// Starts an exchange on a free port; returns once it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::listening(&["127.0.0.1:0"], args)
    }

    pub(crate) fn listening(on: &[&str], args: &[&str]) -> Self {
        let mut command = betacrew(&["serve"]);
        on.iter().for_each(|address| {
            command.args(["--listen", address]);
        });
        command.args(args);
        Self::spawn(command, on.len())
    }

    /// Starts an exchange on a free port once a shell has run `limit`, such as `ulimit -n 64`.
    #[cfg(unix)]
    pub(crate) fn limited(limit: &str, args: &[&str]) -> Self {
        Self::limited_on("127.0.0.1:0", limit, args)
    }

    /// Starts an exchange on a free port of another protocol, such as `soup://127.0.0.1:0`.
    #[cfg(unix)]
    pub(crate) fn limited_on(on: &str, limit: &str, args: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit} && exec \"$@\""), "sh"]);
        let program = program();
        command.arg(program.get_program()).args(program.get_args());
        command.args(["serve", "--listen", on]);
        command.args(args).stdin(Stdio::null()).env("NO_COLOR", "1");
        Self::spawn(command, 1)
    }

    fn spawn(mut command: Command, addresses: usize) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addresses = (0..addresses)
            .map(|_| {
                let line = lines.next().unwrap().unwrap();
                line.strip_prefix("listening on ").unwrap().to_owned()
            })
            .collect();
        Self { child, addresses }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits for the end and returns the exit code and the log.
    pub(crate) fn ends(mut self) -> (i32, String) {
        let output = self.child.ends_with_output();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        self.child.kill_and_reap();
    }
}

/// Runs a script of the tests, in a virtual environment if CI has made one.
pub(crate) fn python(script: &str, args: &[&str]) -> std::io::Result<Output> {
    let script = format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var("BETACREW_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    Command::new(python).arg(script).args(args).output_in_time()
}

/// Returns whether a script finds its modules. Fails if the environment requires them.
pub(crate) fn python_has(script: &str, modules: &str) -> bool {
    let reason = match python(script, &["check"]) {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let reason = reason.trim().lines().last().unwrap_or_default();
    assert!(
        std::env::var_os("BETACREW_REQUIRE_READERS").is_none_or(|value| value != "1"),
        "{script} does not run: {reason}"
    );
    println!("skipped: {reason} (python3 -m pip install {modules})");
    false
}
