//! How a command fails: what happened, where, what to do next, and an exit code.

use crate::text::formatting::count;
use crate::text::location::shown;
use feed::session::completeness::{Facts, Fault};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit codes. They are part of the interface: they keep their meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Everything was recorded, or served until stopped.
    Complete = 0,
    /// Something unexpected.
    Unexpected = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The recording is incomplete.
    Incomplete = 3,
    /// The peer did what no exchange should do.
    Misbehaved = 4,
    /// Nothing answers at the address.
    Unreachable = 5,
    /// A file could not be read or written.
    Storage = 6,
    /// A graded client failed.
    ClientFailed = 10,
}

impl Exit {
    /// The exit code of a command whose recording, or file, comes to this.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        match facts.fault() {
            Some(Fault::Unreachable) => Self::Unreachable,
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

/// Why a command could not do its work.
#[derive(thiserror::Error)]
pub enum Failure {
    /// What was typed makes no sense.
    #[error("{0}")]
    Usage(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", Advice(source))]
    Listen {
        /// The address.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The HTTP address cannot be listened on.
    #[error(
        "cannot serve HTTP on {address}: {source}; choose another --http address (port 0 takes \
         any free one)"
    )]
    Http {
        /// The address.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A client expects its exchange at a port that something else has.
    #[error(
        "port {port} is taken: {source}\nEnd what listens there (an exchange?), or tell the client \
         another port: {{port}} in its command, or --port any and BETACREW_PORT"
    )]
    Taken {
        /// The port.
        port: u16,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A graded client cannot be ended.
    #[error(
        "the client (process {process}) cannot be ended and runs on: {source}\nIt may run as \
         another user (sudo, a setuid program): grade what it starts, as this user"
    )]
    Unending {
        /// The process.
        process: u32,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {}{}", shown(path), reason(source), FileAdvice(source))]
    Storage {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("cannot use {}: {reason}", shown(path))]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A scenario makes no sense.
    #[error("{place}: {message}")]
    Scenario {
        /// Where: file, line and column.
        place: String,
        /// Reason, with the line and a marker below it.
        message: String,
    },
    /// Packets are missing from a file, and nobody said that this is all right.
    #[error(
        "{} lacks {missing}; nothing was written. --allow-gaps goes on without them",
        shown(path)
    )]
    Gaps {
        /// The file.
        path: PathBuf,
        /// What is missing, as text.
        missing: String,
    },
    /// Packets are missing from a file, and a log takes none without all before it.
    #[error(
        "{} lacks {missing}, and a log has every packet or none; nothing was published",
        shown(path)
    )]
    Lacking {
        /// The file.
        path: PathBuf,
        /// What is missing, as text.
        missing: String,
    },
    /// A recording is to be played that lacks packets.
    #[error("cannot play {}: it lacks {missing}{}", shown(path), PlayAdvice(path, *before))]
    NotWhole {
        /// The file.
        path: PathBuf,
        /// What is missing, as text.
        missing: String,
        /// Number of packets before the first missing one.
        before: u32,
    },
    /// A log cannot be used.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Log(#[from] gateway::Error),
    /// The user ended it.
    #[error("stopped before it finished")]
    Stopped,
    /// The system refused something that always works.
    #[error("{action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// As it is shown: a path can be a URL with a password.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The system's reason alone: `tempfile` appends the path, which is shown already, as it was typed.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path \"").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

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

struct FileAdvice<'a>(&'a std::io::Error);

impl fmt::Display for FileAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            std::io::ErrorKind::FileTooLarge => {
                f.write_str("; raise the limit of file sizes (ulimit -f)")
            }
            _ => Ok(()),
        }
    }
}

/// What to do about a recording that lacks packets, and with how many packets before the first
/// missing one.
struct PlayAdvice<'a>(&'a Path, u32);

impl fmt::Display for PlayAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, before) = *self;
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tape")) {
            write!(f, "\nLet fetch complete it: betacrew fetch --tape {} ADDR", shown(path))?;
        }
        match before {
            0 => f.write_str("\nNothing is before that, so there is nothing to play"),
            _ => write!(
                f,
                "\nPlay the {} before that, as a session of its own: --allow-gaps",
                count(before.into(), "packet"),
            ),
        }
    }
}

impl Failure {
    /// The exit code.
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
