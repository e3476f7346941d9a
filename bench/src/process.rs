//! Exchanges and clients as processes: ours, and those that they are compared with.

use crate::Result;
use crate::measure::{Cost, children_cpu, cpu_of};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Author of the programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    Betacrew,
    Plain,
    Node,
    /// Node.js with everything written in one piece.
    Tuned,
}

fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.with_file_name(name))
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node").join(script));
    command
}

/// `betacrew`, as it is released.
pub(crate) fn betacrew() -> Result<Command> {
    Ok(Command::new(beside("betacrew")?))
}

/// This program again, for what has to be a process of its own.
pub(crate) fn own(part: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(part);
    Ok(command)
}

/// Returns true if Node.js is installed.
pub(crate) fn has_node() -> bool {
    Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Python with the packages of others.
pub(crate) struct Python {
    program: OsString,
}

impl Python {
    /// Returns the Python of `BETACREW_PYTHON`, or `python3`, if it has what a script needs.
    pub(crate) fn with(script: &str) -> Option<Self> {
        let program = std::env::var_os("BETACREW_PYTHON").unwrap_or_else(|| "python3".into());
        let python = Self { program };
        python.run(script, &["check"]).ok().map(|_| python)
    }

    /// Runs a script to its good end and returns what it prints.
    pub(crate) fn run(&self, script: &str, args: &[&str]) -> Result<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/python").join(script);
        let output = Command::new(&self.program).arg(script).args(args).output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }
}

/// A running exchange. It ends with this.
pub(crate) struct Exchange {
    served: Served,
    pub(crate) address: SocketAddr,
    /// Time from the start of the process until it listened.
    pub(crate) ready: Duration,
    pub(crate) descriptors_at_start: usize,
}

impl Exchange {
    /// Plays `packets` of the documents' kind and loses this share of them, but never the last.
    pub(crate) fn start(family: Family, packets: u64, loss: &str) -> Result<Self> {
        let (packets, mut command) = (
            packets.to_string(),
            match family {
                Family::Betacrew => {
                    let tape = format!("sample:{packets}");
                    return Self::serve(&["--tape", &tape, "--drop", loss, "--seed", "7"]);
                }
                Family::Plain => Command::new(beside("plain")?),
                Family::Node | Family::Tuned => node("exchange.js"),
            },
        );
        if family == Family::Plain {
            command.arg("exchange");
        }
        command.args([packets.as_str(), loss]);
        if family == Family::Tuned {
            command.arg("tuned");
        }
        Self::begin(command)
    }

    /// Our exchange.
    pub(crate) fn serve(args: &[&str]) -> Result<Self> {
        let mut command = betacrew()?;
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(args);
        Self::begin(command)
    }

    /// Starts a server that prints its address.
    pub(crate) fn begin(mut command: Command) -> Result<Self> {
        let began = Instant::now();
        let served = Served::begin(&mut command)?;
        let (ready, address) = (began.elapsed(), served.address.parse()?);
        let mut exchange = Self { served, address, ready, descriptors_at_start: 0 };
        exchange.descriptors_at_start = exchange.descriptors()?;
        Ok(exchange)
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.served.cpu()
    }

    /// Returns the resident memory of the process, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        status(self.served.child.id(), "VmRSS").ok_or_else(|| "the exchange has ended".into())
    }

    /// Returns the number of open files and sockets of the process.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.served.child.id()))?.count())
    }
}

/// A process that serves at an address of any kind. It ends with this.
pub(crate) struct Served {
    child: Child,
    address: String,
}

impl Served {
    /// Starts a process that prints its address.
    pub(crate) fn begin(command: &mut Command) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let out = child.stdout.take().ok_or("the exchange has no stdout")?;
        let mut served = Self { child, address: String::new() };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ");
        served.address = address.ok_or_else(|| format!("{command:?} said {line:?}"))?.to_owned();
        Ok(served)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `/proc/PID/status`, in bytes.
fn status(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Returns the CPU time and the resident memory, in bytes, of a running process.
pub(crate) fn cpu_and_memory(process: u32) -> Option<(Duration, u64)> {
    status(process, "VmRSS").map(|resident| (cpu_of(process), resident))
}

/// A client that records from `exchange` into `output`.
pub(crate) fn client(family: Family, exchange: SocketAddr, output: &Path) -> Result<Command> {
    let mut command = match family {
        Family::Betacrew => betacrew()?,
        Family::Plain => Command::new(beside("plain")?),
        Family::Node | Family::Tuned => node("client.js"),
    };
    match family {
        Family::Betacrew => {
            command.args(["fetch", &exchange.to_string(), "-o"]).arg(output);
        }
        Family::Plain => {
            command.args(["client", &exchange.to_string()]).arg(output);
        }
        Family::Node => {
            command.arg(exchange.port().to_string()).arg(output);
        }
        Family::Tuned => {
            command.arg(exchange.port().to_string()).arg(output).arg("tuned");
        }
    }
    Ok(command)
}

/// Runs a command to its good end; its cost is that of both ends.
pub(crate) fn run(command: &mut Command, exchange: Option<&Exchange>) -> Result<Cost> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let other = exchange.map_or(Duration::ZERO, Exchange::cpu);
    let (cpu, began) = (children_cpu()?, Instant::now());
    let status = command.status()?;
    let wall = began.elapsed();
    if !status.success() {
        return Err(format!("{command:?}: {status}").into());
    }
    let other = exchange.map_or(Duration::ZERO, Exchange::cpu) - other;
    Ok(Cost { wall, cpu: children_cpu()? - cpu + other })
}

/// Runs a command to its good end; returns the most memory that it had resident, in bytes.
pub(crate) fn most_memory(command: &mut Command) -> Result<u64> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut most = 0;
    loop {
        // It never falls, but once the process has ended nobody knows it.
        most = most.max(status(child.id(), "VmHWM").unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(most),
                false => Err(format!("{command:?}: {status}").into()),
            };
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
