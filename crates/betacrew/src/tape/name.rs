//! Names of tapes, as `--tape` takes them.

pub use crate::tape::recorded::{LOADED_MAX, read};

use crate::error::Failure;
use crate::storage::FileStorage;
use crate::tape::messages::MessageTape;
use crate::text::location::shown;
use feed::base::seq::{MAX_SEQ, Seq, SeqRange};
use feed::payload::itch50::DAY_LEN_MAX;
use feed::session::completeness::GapPolicy;
use feed::tape::in_memory::Tape;
use feed::tape::itch_market::ItchMarket;
use feed::tape::lengths::ExtremeLengths;
use feed::tape::market::SyntheticMarket;
use feed::tape::source::{FileTapeSource, TapeSource};
use feed::wire::{MAX_PACKET_SEQ, Messages, Protocol, Protocols, SessionId};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Maximum number of packets of a generated tape in memory (17 bytes each, 1.7 GB).
pub const MADE_MAX: u32 = 100_000_000;

/// Name of a tape.
#[derive(Clone, PartialEq, Eq)]
pub enum TapeName {
    /// Packets of the exercise's documents.
    Sample(u32),
    /// Packets of the original exchange.
    Classic,
    /// Packets with extreme fields.
    Extremes,
    /// Messages of extreme lengths.
    Lengths,
    /// Seeded order flow.
    Random {
        /// Number of packets.
        count: u32,
        /// Seed of the tape, if given.
        seed: Option<u64>,
    },
    /// Endless market, for live sessions.
    Market {
        /// Seed of the tape, if given.
        seed: Option<u64>,
    },
    /// Market of ITCH messages: a day of a number of messages, or endless for live sessions.
    Itch {
        /// Number of messages of the day, if given.
        count: Option<u64>,
        /// Seed of the tape, if given.
        seed: Option<u64>,
    },
    /// File or URL of a recording.
    File(PathBuf),
}

fn parse_seed(text: &str) -> Result<u64, String> {
    // The text is not repeated, because a mistyped URL may have a password there.
    text.parse().map_err(|_| "the seed behind the last colon is not a whole number".to_owned())
}

impl FromStr for TapeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) =
            text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let count = |text: &str| match text.replace('_', "").parse() {
            Ok(count) if count <= MADE_MAX => Ok(count),
            _ => Err(format!("`{text}` is not a number of packets from 0 to {MADE_MAX}")),
        };
        match (name, rest) {
            ("sample", None) => Ok(Self::Sample(5)),
            ("sample", Some(rest)) => count(rest).map(Self::Sample),
            ("classic", None) => Ok(Self::Classic),
            ("extremes", None) => Ok(Self::Extremes),
            ("lengths", None) => Ok(Self::Lengths),
            ("random", None) => Err("random needs a number of packets: random:1000".to_owned()),
            ("random", Some(rest)) => {
                let (packets, seed) = rest
                    .split_once(':')
                    .map_or((rest, None), |(packets, seed)| (packets, Some(seed)));
                let seed = seed.map(parse_seed).transpose()?;
                Ok(Self::Random { count: count(packets)?, seed })
            }
            ("market", seed) => Ok(Self::Market { seed: seed.map(parse_seed).transpose()? }),
            ("itch", rest) => {
                let (messages, seed) = rest
                    .and_then(|rest| rest.split_once(':'))
                    .map_or((rest, None), |(messages, seed)| (Some(messages), Some(seed)));
                let count = messages.map(|text| match text.replace('_', "").parse() {
                    Ok(count) if (1..=DAY_LEN_MAX).contains(&count) => Ok(count),
                    _ => {
                        Err(format!("`{text}` is not a number of messages from 1 to {DAY_LEN_MAX}"))
                    }
                });
                let seed = seed.map(parse_seed).transpose()?;
                Ok(Self::Itch { count: count.transpose()?, seed })
            }
            _ => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

impl TapeName {
    /// Parses the name of a tape from a command line. A file name need not be Unicode.
    ///
    /// # Errors
    /// Returns the problem as text if the name of a generated tape is wrong.
    pub fn of_argument(argument: &OsStr) -> Result<Self, String> {
        match argument.to_str() {
            Some(text) => text.parse(),
            None => Ok(Self::File(argument.into())),
        }
    }
}

impl fmt::Display for TapeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sample(count) => write!(f, "sample:{count}"),
            Self::Classic => f.write_str("classic"),
            Self::Extremes => f.write_str("extremes"),
            Self::Lengths => f.write_str("lengths"),
            Self::Random { count, seed: None } => write!(f, "random:{count}"),
            Self::Random { count, seed: Some(seed) } => write!(f, "random:{count}:{seed}"),
            Self::Market { seed: None } => f.write_str("market"),
            Self::Market { seed: Some(seed) } => write!(f, "market:{seed}"),
            Self::Itch { count: None, .. } => f.write_str("itch"),
            Self::Itch { count: Some(count), seed: None } => write!(f, "itch:{count}"),
            Self::Itch { count: Some(count), seed: Some(seed) } => {
                write!(f, "itch:{count}:{seed}")
            }
            Self::File(path) => shown(path).fmt(f),
        }
    }
}

/// Shows the name without secrets, because a path can be a URL with a password.
impl fmt::Debug for TapeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TapeName {
    /// Returns the protocols that can carry the tape's messages, as far as its name tells.
    #[must_use]
    pub fn protocols(&self) -> Protocols {
        match self {
            Self::Itch { .. } => Protocols::from_iter([Protocol::Soup, Protocol::Mold]),
            // No datagram has room for the longest ones.
            Self::Lengths => Protocols::of(Protocol::Soup),
            _ => Protocols::from_iter(Protocol::ALL),
        }
    }

    /// Generates or opens the tape. `seed` is used for random tapes without a seed of their own.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or is not a complete tape.
    pub fn open(&self, seed: u64) -> Result<AnyTape, Failure> {
        self.open_as(seed, GapPolicy::Refuse)
    }

    /// Generates or opens the tape. With [`GapPolicy::Allow`], a recording with missing packets
    /// is played up to the first missing one, as a session of its own.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or is not complete and `gaps` refuses that.
    pub fn open_as(&self, seed: u64, gaps: GapPolicy) -> Result<AnyTape, Failure> {
        let made = match self {
            Self::Sample(count) => Tape::sample((*count).into()),
            Self::Classic => Tape::classic(),
            Self::Extremes => Tape::extremes(),
            Self::Lengths => return Ok(AnyTape::Lengths(Box::default())),
            Self::Random { count, seed: own } => Tape::random((*count).into(), own.unwrap_or(seed)),
            Self::Market { seed: own } => {
                let market = SyntheticMarket::seeded(own.unwrap_or(seed), MAX_PACKET_SEQ);
                return Ok(AnyTape::Market(Box::new(market)));
            }
            Self::Itch { count, seed: own } => {
                let last = count.unwrap_or(MAX_SEQ);
                let market = ItchMarket::seeded(own.unwrap_or(seed), last);
                return Ok(AnyTape::Itch(Box::new(market)));
            }
            Self::File(path) => return crate::tape::recorded::open(path, gaps),
        };
        Ok(AnyTape::Memory(Arc::new(made)))
    }
}

/// Tape of any kind.
#[derive(Debug)]
pub enum AnyTape {
    /// Tape in memory.
    Memory(Arc<Tape>),
    /// Market, generated while it is played.
    Market(Box<SyntheticMarket>),
    /// Tape file, which is not loaded into memory.
    File(Box<FileTapeSource<FileStorage>>, PathBuf),
    /// Messages of any length, which are not loaded into memory.
    Messages(Box<MessageTape>, PathBuf),
    /// Market of ITCH messages, generated while it is played.
    Itch(Box<ItchMarket>),
    /// Messages of extreme lengths.
    Lengths(Box<ExtremeLengths>),
}

impl AnyTape {
    /// Returns whether the tape has order packets, the only messages of the exercise's protocol.
    #[must_use]
    pub fn has_order_packets(&self) -> bool {
        match self {
            Self::Memory(_) | Self::Market(_) => true,
            Self::File(tape, _) => tape.has_order_packets(),
            Self::Messages(..) | Self::Itch(_) | Self::Lengths(_) => false,
        }
    }

    /// Returns whether the tape has no last message, so that only a live session can play it.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        match self {
            Self::Market(_) => true,
            Self::Itch(tape) => tape.is_endless(),
            _ => false,
        }
    }
}

/// Tape that may fail while it is played.
pub trait FailingTape {
    /// Returns the failure if the tape can no longer be played.
    fn failed(&self) -> Option<Failure>;
}

impl FailingTape for AnyTape {
    fn failed(&self) -> Option<Failure> {
        let (reason, path) = match self {
            Self::File(tape, path) => (tape.failure(), path),
            Self::Messages(tape, path) => (tape.failure(), path),
            Self::Memory(_) | Self::Market(_) | Self::Itch(_) | Self::Lengths(_) => return None,
        };
        let reason = reason?.to_owned();
        Some(Failure::Content { path: path.clone(), reason })
    }
}

impl TapeSource for AnyTape {
    fn last(&self) -> Seq {
        match self {
            Self::Memory(tape) => TapeSource::last(tape),
            Self::Market(tape) => tape.last(),
            Self::File(tape, _) => tape.last(),
            Self::Messages(tape, _) => tape.last(),
            Self::Itch(tape) => tape.last(),
            Self::Lengths(tape) => tape.last(),
        }
    }

    fn session(&self) -> SessionId {
        match self {
            Self::Memory(tape) => TapeSource::session(tape),
            Self::Market(tape) => tape.session(),
            Self::File(tape, _) => tape.session(),
            Self::Messages(tape, _) => tape.session(),
            Self::Itch(tape) => tape.session(),
            Self::Lengths(tape) => tape.session(),
        }
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        match self {
            Self::Memory(tape) => tape.messages(range),
            Self::Market(tape) => tape.messages(range),
            Self::File(tape, _) => tape.messages(range),
            Self::Messages(tape, _) => tape.messages(range),
            Self::Itch(tape) => tape.messages(range),
            Self::Lengths(tape) => tape.messages(range),
        }
    }

    fn message_len(&self) -> Option<u64> {
        match self {
            Self::Memory(tape) => tape.message_len(),
            Self::Market(tape) => tape.message_len(),
            Self::File(tape, _) => tape.message_len(),
            Self::Messages(tape, _) => tape.message_len(),
            Self::Itch(tape) => tape.message_len(),
            Self::Lengths(tape) => tape.message_len(),
        }
    }

    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        match self {
            Self::Memory(tape) => tape.arrived(seq),
            Self::Market(tape) => tape.arrived(seq),
            Self::File(tape, _) => tape.arrived(seq),
            Self::Messages(tape, _) => tape.arrived(seq),
            Self::Itch(tape) => tape.arrived(seq),
            Self::Lengths(tape) => tape.arrived(seq),
        }
    }

    fn failure(&self) -> Option<&str> {
        match self {
            Self::Memory(tape) => tape.failure(),
            Self::Market(tape) => tape.failure(),
            Self::File(tape, _) => tape.failure(),
            Self::Messages(tape, _) => tape.failure(),
            Self::Itch(tape) => tape.failure(),
            Self::Lengths(tape) => tape.failure(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        let name = |text: &str| text.parse::<TapeName>();
        assert_eq!(name("sample"), Ok(TapeName::Sample(5)));
        assert_eq!(name("sample:1_000"), Ok(TapeName::Sample(1000)));
        assert_eq!(name("classic"), Ok(TapeName::Classic));
        assert_eq!(name("extremes"), Ok(TapeName::Extremes));
        assert_eq!(name("lengths"), Ok(TapeName::Lengths));
        assert_eq!(name("random:10"), Ok(TapeName::Random { count: 10, seed: None }));
        assert_eq!(name("random:10:7"), Ok(TapeName::Random { count: 10, seed: Some(7) }));
        assert_eq!(name("itch"), Ok(TapeName::Itch { count: None, seed: None }));
        assert_eq!(name("itch:1_000"), Ok(TapeName::Itch { count: Some(1000), seed: None }));
        assert_eq!(name("itch:9:7"), Ok(TapeName::Itch { count: Some(9), seed: Some(7) }));
        assert_eq!(name("out.json"), Ok(TapeName::File("out.json".into())));
        for bad in [
            "itch:",
            "itch:0",
            "itch:x",
            "itch:5:x",
            "itch:1099511627777",
            "random",
            "random:",
            "random:x",
            "sample:-1",
            "random:1:x",
            "sample:999999999",
        ] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_may_have_a_name_that_is_no_text() {
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(b"tape-\xff.json");
        assert_eq!(TapeName::of_argument(name), Ok(TapeName::File(name.into())));
        assert_eq!(TapeName::of_argument(OsStr::new("sample")), Ok(TapeName::Sample(5)));
        assert!(TapeName::of_argument(OsStr::new("random:x")).is_err());
    }
}
