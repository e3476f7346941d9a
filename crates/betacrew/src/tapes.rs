//! The tapes that `--tape` can name.

use crate::failure::Failure;
use crate::file::FileStorage;
use crate::format::{self, Damage, Format};
use crate::location::shown;
use crate::words::{count, grouped};
use feed::market::Market;
use feed::packet::Packet;
use feed::play::{FilePlay, Play, PlayError};
use feed::seq::{MAX_SEQ, Seq, SeqRange};
use feed::tape::{Tape, TapeError};
use feed::tape_file::TapeFile;
use feed::wire::{Frame, RawFrame, SessionId, decode};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The longest tape that is made in memory (17 bytes a packet: 1.7 GB).
pub const MADE_MAX: u32 = 100_000_000;

/// Maximum number of packets of a file that is read into memory to be played, 37 bytes each; a
/// .tape file is not.
pub const LOADED_MAX: usize = 20_000_000;

/// A tape as it was named.
#[derive(Clone, PartialEq, Eq)]
pub enum TapeName {
    /// The documents' packets.
    Sample(u32),
    /// The original exchange's packets.
    Classic,
    /// What a field can hold.
    Extremes,
    /// Seeded order flow.
    Random {
        /// How many packets.
        count: u32,
        /// Its own seed, if it has one.
        seed: Option<u64>,
    },
    /// An endless market, for live sessions.
    Market {
        /// Its own seed, if it has one.
        seed: Option<u64>,
    },
    /// A recording.
    File(PathBuf),
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
            ("random", None) => Err("random needs a number of packets: random:1000".to_owned()),
            ("random", Some(rest)) => {
                let (packets, seed) = rest
                    .split_once(':')
                    .map_or((rest, None), |(packets, seed)| (packets, Some(seed)));
                let seed = seed.map(|seed| {
                    seed.parse().map_err(|_| format!("`{seed}` is not a seed: a whole number"))
                });
                Ok(Self::Random { count: count(packets)?, seed: seed.transpose()? })
            }
            ("market", seed) => {
                let seed = seed.map(|seed| {
                    seed.parse().map_err(|_| format!("`{seed}` is not a seed: a whole number"))
                });
                Ok(Self::Market { seed: seed.transpose()? })
            }
            _ => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

impl TapeName {
    /// The name of a tape as a command line has it: the name of a file may be no Unicode text.
    ///
    /// # Errors
    /// As text, where it is meant to be a tape that is made and is none.
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
            Self::Random { count, seed: None } => write!(f, "random:{count}"),
            Self::Random { count, seed: Some(seed) } => write!(f, "random:{count}:{seed}"),
            Self::Market { seed: None } => f.write_str("market"),
            Self::Market { seed: Some(seed) } => write!(f, "market:{seed}"),
            Self::File(path) => shown(path).fmt(f),
        }
    }
}

/// As it is shown: a path can be a URL with a password.
impl fmt::Debug for TapeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TapeName {
    /// Makes or opens the tape. `seed` is for random tapes without one of their own.
    ///
    /// # Errors
    /// Where a file cannot be read or is no complete tape.
    pub fn open(&self, seed: u64) -> Result<AnyTape, Failure> {
        self.open_as(seed, false)
    }

    /// Makes or opens the tape; with `allow_gaps`, of a recording that is not whole the packets
    /// before the first missing one, as a session of its own.
    ///
    /// # Errors
    /// Where a file cannot be read or is no complete tape, and that is not allowed.
    pub fn open_as(&self, seed: u64, allow_gaps: bool) -> Result<AnyTape, Failure> {
        let made = match self {
            Self::Sample(count) => Tape::sample(*count),
            Self::Classic => Tape::classic(),
            Self::Extremes => Tape::extremes(),
            Self::Random { count, seed: own } => Tape::random(*count, own.unwrap_or(seed)),
            Self::Market { seed: own } => {
                let market = Market::seeded(own.unwrap_or(seed), MAX_SEQ);
                return Ok(AnyTape::Market(Box::new(market)));
            }
            Self::File(path) if Format::of(path) == Some(Format::Tape) => {
                return open_file(path, allow_gaps).map(|tape| AnyTape::file(path, tape));
            }
            #[cfg(feature = "nats")]
            Self::File(path) if Format::of(path) == Some(Format::Nats) => {
                let file = crate::publish::to_tape(path)?;
                return play(path, file, allow_gaps).map(|tape| AnyTape::file(path, tape));
            }
            Self::File(path) => read(path)?,
        };
        Ok(AnyTape::Memory(Arc::new(made)))
    }
}

/// A tape in memory or in a file.
#[derive(Debug)]
pub enum AnyTape {
    /// In memory.
    Memory(Arc<Tape>),
    /// Made as it is played.
    Market(Box<Market>),
    /// In a tape file, which is not loaded.
    File(Box<FilePlay<FileStorage>>, PathBuf),
}

/// A tape that may fail while it is played.
pub trait Failing {
    /// Returns why the tape can no longer be played, if that has happened.
    fn failed(&self) -> Option<Failure>;
}

impl Failing for AnyTape {
    fn failed(&self) -> Option<Failure> {
        let Self::File(tape, path) = self else { return None };
        let reason = tape.failure()?.to_owned();
        Some(Failure::Content { path: path.clone(), reason })
    }
}

impl AnyTape {
    fn file(path: &Path, tape: FilePlay<FileStorage>) -> Self {
        Self::File(Box::new(tape), path.to_owned())
    }
}

impl Play for AnyTape {
    fn last(&self) -> Seq {
        match self {
            Self::Memory(tape) => Play::last(tape),
            Self::Market(tape) => tape.last(),
            Self::File(tape, _) => tape.last(),
        }
    }

    fn session(&self) -> SessionId {
        match self {
            Self::Memory(tape) => Play::session(tape),
            Self::Market(tape) => tape.session(),
            Self::File(tape, _) => tape.session(),
        }
    }

    fn frames(&mut self, range: SeqRange) -> &[RawFrame] {
        match self {
            Self::Memory(tape) => tape.frames(range),
            Self::Market(tape) => tape.frames(range),
            Self::File(tape, _) => tape.frames(range),
        }
    }

    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        match self {
            Self::Memory(tape) => tape.arrived(seq),
            Self::Market(tape) => tape.arrived(seq),
            Self::File(tape, _) => tape.arrived(seq),
        }
    }

    fn failure(&self) -> Option<&str> {
        match self {
            Self::Memory(tape) => tape.failure(),
            Self::Market(tape) => tape.failure(),
            Self::File(tape, _) => tape.failure(),
        }
    }
}

fn no_file(path: &Path, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::Usage(format!(
            "no tape `{}`: neither one of sample[:N], classic, extremes, random:N[:SEED], \
             market[:SEED] nor a file",
            shown(path)
        )),
        _ => Failure::Storage { action: "read", path: path.into(), source: error },
    }
}

fn open_file(path: &Path, allow_gaps: bool) -> Result<FilePlay<FileStorage>, Failure> {
    let content = |reason: String| Failure::Content { path: path.into(), reason };
    let storage = FileStorage::read(path).map_err(|error| no_file(path, error))?;
    let (file, opened) =
        TapeFile::open(storage, true).map_err(|error| content(error.to_string()))?;
    if opened.damages > 0 && !allow_gaps {
        return Err(content(format!(
            "{} in {} of it are damaged. betacrew inspect --verify shows them; --allow-gaps plays \
             the packets before the first missing one, as a session of its own",
            count(opened.damaged_bytes, "byte"),
            count(opened.damages.into(), "place"),
        )));
    }
    play(path, file, allow_gaps)
}

fn play(
    path: &Path,
    file: TapeFile<FileStorage>,
    allow_gaps: bool,
) -> Result<FilePlay<FileStorage>, Failure> {
    let held = file.packets();
    let play = if allow_gaps { FilePlay::before_gaps(file) } else { FilePlay::new(file) };
    let play = play.map_err(|error| match error {
        PlayError::Gaps(missing) => {
            Failure::NotWhole { path: path.into(), missing: format!("{missing:.8}") }
        }
        error => Failure::Content { path: path.into(), reason: error.to_string() },
    })?;
    if !play.is_whole() {
        let (played, session) = (grouped(play.last().into()), play.session());
        tracing::warn!(
            "{}: where its session ends is not known; playing {played} of {} as a session of its \
             own, {session}",
            shown(path),
            count(held, "packet"),
        );
    }
    Ok(play)
}

/// Reads a tape from a file of any format; JSON where its name does not say which.
///
/// # Errors
/// Where the file cannot be read or is no complete tape.
pub fn read(path: &Path) -> Result<Tape, Failure> {
    read_at_most(path, LOADED_MAX)
}

fn read_at_most(path: &Path, most: usize) -> Result<Tape, Failure> {
    let format = Format::of(path).unwrap_or(Format::Json);
    let mut packets: Vec<Packet> = Vec::new();
    let content = |reason: String| Failure::Content { path: path.into(), reason };
    format::read(path, format, Damage::Refuse, &mut |frames, _| {
        for frame in frames {
            let Ok(Frame::Packet(packet)) = decode(frame) else { continue };
            // A few kilobytes of a compressed file can be millions of packets.
            if packets.len() >= most {
                return Err(content(format!(
                    "it has more than {most} packets, which is too much to be played from \
                     memory: betacrew convert it to a .tape"
                )));
            }
            let place = packets.len() as u64;
            if u64::from(packet.sequence) != place + 1 {
                let error = TapeError::OutOfOrder { place, sequence: packet.sequence };
                return Err(content(error.to_string()));
            }
            packets.push(packet);
        }
        Ok(())
    })
    .map_err(|failure| match failure {
        Failure::Storage { source, .. } => no_file(path, source),
        other => other,
    })?;
    Tape::new(packets)
        .map_err(|error| Failure::Content { path: path.into(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json;

    #[test]
    fn names_are_understood() {
        let name = |text: &str| text.parse::<TapeName>();
        assert_eq!(name("sample"), Ok(TapeName::Sample(5)));
        assert_eq!(name("sample:1_000"), Ok(TapeName::Sample(1000)));
        assert_eq!(name("classic"), Ok(TapeName::Classic));
        assert_eq!(name("extremes"), Ok(TapeName::Extremes));
        assert_eq!(name("random:10"), Ok(TapeName::Random { count: 10, seed: None }));
        assert_eq!(name("random:10:7"), Ok(TapeName::Random { count: 10, seed: Some(7) }));
        assert_eq!(name("out.json"), Ok(TapeName::File("out.json".into())));
        for bad in ["random", "random:", "random:x", "sample:-1", "random:1:x", "sample:999999999"]
        {
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

    #[test]
    fn what_is_played_from_memory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape.json");
        let mut text = Vec::new();
        json::write([Tape::classic().frames()], &mut text).unwrap();
        std::fs::write(&path, text).unwrap();
        assert_eq!(read_at_most(&path, 14).unwrap(), Tape::classic());
        let message = read_at_most(&path, 13).unwrap_err().to_string();
        assert!(message.contains("more than 13 packets") && message.contains(".tape"), "{message}");
    }

    #[test]
    fn files_are_read_or_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let load = |content: &str| {
            let path = folder.path().join("tape.json");
            std::fs::write(&path, content).unwrap();
            read(&path)
        };
        let mut text = Vec::new();
        json::write([Tape::classic().frames()], &mut text).unwrap();
        assert_eq!(load(std::str::from_utf8(&text).unwrap()).unwrap(), Tape::classic());
        let second =
            r#"[{"symbol":"A","buySellIndicator":"B","quantity":1,"price":1,"sequence":2}]"#;
        let message = load(second).unwrap_err().to_string();
        assert!(message.contains("packet 1 of the tape has sequence 2"), "{message}");
        assert!(load("[").unwrap_err().to_string().contains("line 1"));
        let none = TapeName::File(folder.path().join("none")).open(0).unwrap_err();
        assert!(matches!(none, Failure::Usage(_)) && none.to_string().contains("classic"));
    }
}
