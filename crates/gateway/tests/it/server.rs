//! Real servers, on free ports. The tests of `betacrew` use this file too.

#![allow(dead_code, reason = "not all tests need all of it")]

use crate::in_time::{ChildInTime, CommandInTime};
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Maximum time of any step.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server's program: `BETACREW_NATS_SERVER`, or where packages put it.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("BETACREW_NATS_SERVER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/bin".into()]);
    folders.map(|folder| folder.join("nats-server")).find(|program| program.is_file())
}

/// Returns true if a server is installed; fails if one is required and missing.
pub(crate) fn servers() -> bool {
    if program().is_some() {
        return true;
    }
    assert!(
        std::env::var_os("BETACREW_REQUIRE_NATS").is_none_or(|value| value != "1"),
        "there is no nats-server"
    );
    println!("skipped: no nats-server (apt-get install nats-server, or BETACREW_NATS_SERVER=FILE)");
    false
}

/// Returns the server's version, if it reports one.
pub(crate) fn version() -> Option<(u32, u32)> {
    let said = Command::new(program()?).arg("--version").output_in_time().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let (major, rest) = text.trim().rsplit_once('v')?.1.split_once('.')?;
    Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A server, or one of several; it ends with this.
pub(crate) struct Server {
    child: Option<Child>,
    config: PathBuf,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    /// One server that keeps what it has in files.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One that confirms nothing that is not safe; from version 2.10 on.
    pub(crate) fn synced() -> Self {
        let mut server = Self::new(free_port(), "sync_interval: always", "");
        server.again();
        server
    }

    /// With more configuration.
    pub(crate) fn with(more: &str) -> Self {
        let mut server = Self::new(free_port(), "", more);
        server.again();
        server
    }

    /// Three that keep what they have three times.
    pub(crate) fn cluster() -> [Self; 3] {
        let routes: [u16; 3] = std::array::from_fn(|_| free_port());
        let all = routes.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        let mut servers = routes.map(|port| {
            let cluster = format!(
                "server_name: n{port}\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", \
                 routes: [{all}] }}\n"
            );
            Self::new(free_port(), "", &cluster)
        });
        servers.iter_mut().for_each(Self::again);
        servers
    }

    fn new(port: u16, jetstream: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("server.conf");
        let store = folder.path().join("js");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\"\n{jetstream} }}\n{more}",
            store.display()
        );
        fs::write(&config, text).unwrap();
        Self { child: None, config, port, folder }
    }

    /// Starts the server with its earlier files; returns once it listens.
    pub(crate) fn again(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new(program().unwrap())
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts the server if it was killed.
    pub(crate) fn again_if_killed(&mut self) {
        if self.child.is_none() {
            self.again();
        }
    }

    /// Returns the server's log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill_and_reap();
        }
    }

    /// A URL without a stream.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Asks the server's API, as `nats` the program does, and returns the answer.
    pub(crate) fn request(&self, subject: &str, json: &str) -> String {
        self.ask(format!("PUB {subject} answer {}\r\n{json}\r\n", json.len()).as_bytes())
    }

    /// Sends what is answered to the subject `answer`, and returns the answer.
    fn ask(&self, message: &[u8]) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let hello = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB answer 1\r\n";
        stream.write_all(&[hello, message].concat()).unwrap();
        let mut reader = std::io::BufReader::new(stream);
        let mut line = String::new();
        while !line.starts_with("MSG answer ") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut reader, &mut line).unwrap() > 0, "no answer");
        }
        let mut answer = vec![0; line.trim().rsplit(' ').next().unwrap().parse().unwrap()];
        std::io::Read::read_exact(&mut reader, &mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Makes a stream, or changes one, with these settings beside its name.
    pub(crate) fn stream(&self, verb: &str, name: &str, settings: &str) {
        let json = format!("{{\"name\":\"{name}\",{settings}}}");
        let answer = self.request(&format!("$JS.API.STREAM.{verb}.{name}"), &json);
        assert!(!answer.contains("\"error\""), "{answer}");
    }

    /// Removes a message from a stream.
    pub(crate) fn remove(&self, name: &str, number: u64) {
        let json = format!("{{\"seq\":{number}}}");
        let answer = self.request(&format!("$JS.API.STREAM.MSG.DELETE.{name}"), &json);
        assert!(answer.contains("\"success\":true"), "{answer}");
    }

    /// Publishes a message with headers.
    pub(crate) fn say_message(&self, subject: &str, headers: &[(&str, &str)], payload: &[u8]) {
        let mut head = "NATS/1.0\r\n".to_owned();
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let (len, all) = (head.len(), head.len() + payload.len());
        let line = format!("HPUB {subject} answer {len} {all}\r\n{head}");
        let answer = self.ask(&[line.as_bytes(), payload, b"\r\n"].concat());
        assert!(answer.contains("\"seq\""), "{answer}");
    }

    /// Says a line of the protocol, without waiting for an answer: for what no client would do.
    pub(crate) fn say(&self, lines: &str) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream
            .write_all(format!("CONNECT {{\"verbose\":false}}\r\n{lines}PING\r\n").as_bytes())
            .unwrap();
        // Its answer to PING is behind all else.
        let mut text = String::new();
        let mut reader = std::io::BufReader::new(stream);
        while !text.contains("PONG") {
            assert!(std::io::BufRead::read_line(&mut reader, &mut text).unwrap() > 0, "{text}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
