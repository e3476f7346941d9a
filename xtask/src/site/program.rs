//! The program whose references are generated.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Maximum time that an answer over HTTP may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Program that was built.
pub(super) struct Program {
    path: PathBuf,
}

impl Program {
    /// Returns the program of a debug build. Cargo puts it beside this one, wherever that is.
    pub(super) fn built() -> Result<Self, String> {
        let ours = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(Self { path: ours.with_file_name("betacrew") })
    }

    /// Returns what a command prints.
    pub(super) fn says(&self, args: &[&str]) -> Result<String, String> {
        let done = Command::new(&self.path).args(args).env("COLUMNS", "100").output();
        let done = done.map_err(|error| format!("{}: {error}", self.path.display()))?;
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
            false => Err(format!("betacrew {}: {}", args.join(" "), done.status)),
        }
    }

    /// Starts an exchange, or a client of one, that serves HTTP.
    pub(super) fn serving(&self, args: &[&str]) -> Result<HttpServer, String> {
        let mut command = Command::new(&self.path);
        command.args(args).args(["--http", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let stdout = child.stdout.take();
        let mut server = HttpServer { child, feed: String::new(), http: String::new() };
        for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()).flatten() {
            if let Some(address) = line.strip_prefix("listening on ") {
                address.clone_into(&mut server.feed);
            } else if let Some(address) = line.strip_prefix("http on ") {
                address.clone_into(&mut server.http);
                return Ok(server);
            }
        }
        Err(format!("betacrew {} serves no HTTP", args.join(" ")))
    }
}

/// Running program with an HTTP address; ends with its owner.
pub(super) struct HttpServer {
    child: Child,
    /// Address of the exchange's listener.
    pub(super) feed: String,
    http: String,
}

impl HttpServer {
    /// Returns the body of an answer.
    pub(super) fn get(&self, path: &str) -> Result<String, String> {
        let asked = TcpStream::connect(&self.http).and_then(|mut stream| {
            stream.set_read_timeout(Some(TIMEOUT))?;
            let head = "connection: close\r\n\r\n";
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\n{head}", self.http)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        let answer = asked.map_err(|error| format!("{path}: {error}"))?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(format!("{path}: {answer}")),
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
