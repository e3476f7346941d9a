//! How a command fails: what happened, where, what to do next, and an exit code.

use feed::completeness::{Facts, Fault};
use std::fmt;
use std::path::PathBuf;
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
#[derive(thiserror::Error, Debug)]
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
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Storage {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("cannot use {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A scenario makes no sense.
    #[error("{place}: {refusal}")]
    Scenario {
        /// Where: file, line and column.
        place: String,
        /// What is wrong.
        refusal: crate::scenario::Refusal,
    },
    /// Packets are missing from a file, and nobody said that this is all right.
    #[error(
        "{} lacks {missing}; nothing was written. --allow-gaps goes on without them",
        path.display()
    )]
    Gaps {
        /// The file.
        path: PathBuf,
        /// What is missing, as text.
        missing: String,
    },
    /// A recording is to be played that lacks packets.
    #[error(
        "cannot play {}: it lacks {missing}\nLet fetch complete it (betacrew fetch --tape {0} \
         ADDR), or play what is before, as a session of its own: --allow-gaps",
        path.display()
    )]
    NotWhole {
        /// The file.
        path: PathBuf,
        /// What is missing, as text.
        missing: String,
    },
    /// A log cannot be used.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Log(#[from] gateway::Error),
    /// The user ended it.
    #[error("stopped before it was through")]
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

impl Failure {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            #[cfg(feature = "nats")]
            Self::Log(error) => match error {
                gateway::Error::Usage(_) => Exit::Usage,
                gateway::Error::Unreachable { .. }
                | gateway::Error::Refused { .. }
                | gateway::Error::Unfinished { .. } => Exit::Unreachable,
                gateway::Error::Conflict { .. } | gateway::Error::Content { .. } => {
                    Exit::Misbehaved
                }
                gateway::Error::System(_) => Exit::Unexpected,
            },
            Self::Usage(_) | Self::Scenario { .. } => Exit::Usage,
            Self::Listen { .. } | Self::Http { .. } | Self::Taken { .. } | Self::System { .. } => {
                Exit::Unexpected
            }
            Self::Gaps { .. } | Self::NotWhole { .. } | Self::Stopped => Exit::Incomplete,
            Self::Storage { .. } | Self::Content { .. } => Exit::Storage,
        }
    }
}
