//! Failures of commands: messages that say what failed and what to do next, and exit codes.

use crate::text::formatting::count;
use crate::text::location::shown;
use feed::session::completeness::{Facts, Fault};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit codes of the program. Their meaning never changes, because scripts depend on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Success: a complete recording, or an exchange that ran until it was stopped.
    Complete = 0,
    /// Unexpected error of the system or of this program.
    Unexpected = 1,
    /// Wrong command line or scenario.
    Usage = 2,
    /// Incomplete recording or file.
    Incomplete = 3,
    /// Exchange that violated the protocol.
    Misbehaved = 4,
    /// Exchange that cannot be reached, or that rejects the login.
    Unreachable = 5,
    /// File that cannot be read or written, or is damaged.
    Storage = 6,
    /// Graded client that failed a case.
    ClientFailed = 10,
}

impl Exit {
    /// Returns the exit code of a command with these facts about its recording or file.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        match facts.fault() {
            Some(Fault::Unreachable | Fault::Rejected) => Self::Unreachable,
            Some(Fault::Misbehaved) => Self::Misbehaved,
            Some(Fault::Damaged) => Self::Storage,
            None if facts.is_success() => Self::Complete,
            None => Self::Incomplete,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Error of a command, with everything that its message needs.
#[derive(thiserror::Error)]
pub enum Failure {
    /// Wrong command line, with the reason.
    #[error("{0}")]
    Usage(String),
    /// Address that the exchange cannot listen on.
    #[error("cannot listen on {address}: {source}{}", Advice(source))]
    Listen {
        /// Address as it was typed or resolved.
        address: String,
        /// Error of the system.
        source: std::io::Error,
    },
    /// Address that the HTTP server cannot listen on.
    #[error(
        "cannot serve HTTP on {address}: {source}; choose another --http address (port 0 takes \
         any free one)"
    )]
    Http {
        /// Address as it was typed or resolved.
        address: String,
        /// Error of the system.
        source: std::io::Error,
    },
    /// Port that a graded client connects to, but another program listens on.
    #[error(
        "cannot listen on port {port}: {source}\nEnd the program that listens there (another \
         exchange?), or give the client another port: {{port}} in its command, or --port any and \
         BETACREW_PORT"
    )]
    Taken {
        /// Port of this machine.
        port: u16,
        /// Error of the system.
        source: std::io::Error,
    },
    /// Graded client that cannot be killed.
    #[error(
        "cannot kill the client (process {process}), which is still running: {source}\nIt may run \
         as another user (sudo, a setuid program): grade the program that it starts, as this user"
    )]
    Unending {
        /// Process id of the client.
        process: u32,
        /// Error of the system.
        source: std::io::Error,
    },
    /// File that cannot be read or written.
    #[error("cannot {action} {}: {}{}", shown(path), reason(source), FileAdvice(source))]
    Storage {
        /// Verb for the failed operation, such as "read".
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// File with wrong content.
    #[error("cannot use {}: {reason}", shown(path))]
    Content {
        /// Path of the file.
        path: PathBuf,
        /// Description of the mistake.
        reason: String,
    },
    /// Scenario that cannot be played.
    #[error("{place}: {message}")]
    Scenario {
        /// Place of the mistake: file, line and column.
        place: String,
        /// Reason, with the line and a marker below it.
        message: String,
    },
    /// File with missing packets, without `--allow-gaps`.
    #[error(
        "{} lacks {missing}; nothing was written. --allow-gaps converts it without them",
        shown(path)
    )]
    Gaps {
        /// Path of the file.
        path: PathBuf,
        /// Description of the missing packets.
        missing: String,
    },
    /// File with missing packets, which cannot be published to a NATS stream.
    #[error(
        "{} lacks {missing}; nothing was published, because a NATS stream needs every packet",
        shown(path)
    )]
    Lacking {
        /// Path of the file.
        path: PathBuf,
        /// Description of the missing packets.
        missing: String,
    },
    /// Recording with missing packets, which cannot be played.
    #[error("cannot play {}: it lacks {missing}{}", shown(path), PlayAdvice(path, *before))]
    NotWhole {
        /// Path of the file.
        path: PathBuf,
        /// Description of the missing packets.
        missing: String,
        /// Number of packets before the first missing one.
        before: u64,
    },
    /// Failure of a NATS stream.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Log(#[from] gateway::Error),
    /// Command that the user stopped.
    #[error("stopped before it finished")]
    Stopped,
    /// Failure of a system call that is expected to work.
    #[error("{action}: {source}")]
    System {
        /// Description of the failed operation.
        action: &'static str,
        /// Error of the system.
        source: std::io::Error,
    },
}

/// Shows the message, because the derived form would show a password in a URL.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the error of the system without the path that `tempfile` appends, because the message
/// shows the path already, as it was typed.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path \"").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// Advice after an error of listening.
struct Advice<'a>(&'a std::io::Error);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            std::io::ErrorKind::AddrInUse => f.write_str(
                "\nAnother exchange may be running there. End it, or choose another port: \
                 --listen 127.0.0.1:3001 (port 0 takes any free one)",
            ),
            std::io::ErrorKind::PermissionDenied => {
                f.write_str("\nPorts below 1024 need privileges: choose a higher one")
            }
            _ => Ok(()),
        }
    }
}

/// Advice after an error of a file.
struct FileAdvice<'a>(&'a std::io::Error);

impl fmt::Display for FileAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            std::io::ErrorKind::FileTooLarge => {
                f.write_str("; raise the file size limit (ulimit -f)")
            }
            _ => Ok(()),
        }
    }
}

/// Advice for a recording with missing packets: its path, and the number of packets before the
/// first missing one.
struct PlayAdvice<'a>(&'a Path, u64);

impl fmt::Display for PlayAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, before) = *self;
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tape")) {
            write!(f, "\nTo complete it: betacrew fetch --tape {} ADDR", shown(path))?;
        }
        match before {
            0 => f.write_str("\nThe first packet is missing, so there is nothing to play"),
            _ => write!(
                f,
                "\nTo play the {} before the gap, as a session of its own: --allow-gaps",
                count(before, "packet"),
            ),
        }
    }
}

impl Failure {
    /// Returns the exit code of the program.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            #[cfg(feature = "nats")]
            Self::Log(error) => match error {
                gateway::Error::Usage(_) | gateway::Error::Unsuitable { .. } => Exit::Usage,
                gateway::Error::Missing { .. } => Exit::Incomplete,
                gateway::Error::Unreachable { .. }
                | gateway::Error::Refused { .. }
                | gateway::Error::Unfinished { .. } => Exit::Unreachable,
                gateway::Error::Conflict { .. } | gateway::Error::Content { .. } => {
                    Exit::Misbehaved
                }
                gateway::Error::System(_) => Exit::Unexpected,
            },
            Self::Usage(_) | Self::Scenario { .. } => Exit::Usage,
            Self::Listen { .. }
            | Self::Http { .. }
            | Self::Taken { .. }
            | Self::Unending { .. }
            | Self::System { .. } => Exit::Unexpected,
            Self::Gaps { .. } | Self::Lacking { .. } | Self::NotWhole { .. } | Self::Stopped => {
                Exit::Incomplete
            }
            Self::Storage { .. } | Self::Content { .. } => Exit::Storage,
        }
    }
}
