//! Opens recordings of every format to be played. All of a recording is read and checked before it
//! is played, because what an exchange has sent cannot be taken back.

use crate::error::Failure;
use crate::format::{DamagePolicy, Format};
use crate::source;
use crate::storage::{FileStorage, is_read_once};
use crate::tape::messages::{MessageIndex, MessageTape, TemporaryMessages};
use crate::tape::name::AnyTape;
use crate::text::formatting::{NO_PACKETS, count, grouped, holes, noun_in};
use crate::text::location::shown;
use feed::analysis::survey::{MissingRanges, SequenceOrder};
use feed::base::seq::{Seq, SeqSet};
use feed::session::completeness::GapPolicy;
use feed::tape::file::{Layout, TapeFile};
use feed::tape::in_memory::Tape;
use feed::tape::source::{FileTapeSource, TapeSource, TapeSourceError};
use feed::wire::packet::Packet;
use feed::wire::{Frame, Messages, SessionId, decode};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Maximum number of packets of a file that is read into memory, 37 bytes each. A .tape file is not
/// read into memory.
pub const LOADED_MAX: usize = 20_000_000;

/// Maximum number of gaps listed; the others are counted.
const LISTED: usize = 8;

/// Opens a recording of any format; JSON if its name does not show one. With
/// [`GapPolicy::Allow`], one with missing packets is played up to the first missing one, as a
/// session of its own.
///
/// # Errors
/// [`Failure::NotWhole`] if packets are missing and `gaps` refuses that, or if the first one is
/// missing; errors of reading the recording.
pub(crate) fn open(path: &Path, gaps: GapPolicy) -> Result<AnyTape, Failure> {
    let format = Format::of(path).unwrap_or(Format::Json);
    format.check_source(path)?;
    match format {
        Format::Tape => play(path, open_tape(path, gaps)?, gaps),
        format if format.is_capture() => {
            play(path, crate::capture::to_tape(path, policy(gaps))?, gaps)
        }
        #[cfg(feature = "nats")]
        Format::Nats => play(path, crate::nats::to_tape(path, gaps)?, gaps),
        // A pipe is copied, because it cannot be played from any place.
        Format::Itch if !is_read_once(path) => match index(path, gaps)? {
            Some(tape) => Ok(AnyTape::Messages(Box::new(tape), path.to_owned())),
            None => load(path, Format::Itch, LOADED_MAX, gaps),
        },
        format => load(path, format, LOADED_MAX, gaps),
    }
}

/// Reads a tape from a file of any format into memory; JSON if its name does not show one.
///
/// # Errors
/// Returns an error if the file cannot be read, or is not a complete tape.
pub fn read(path: &Path) -> Result<Tape, Failure> {
    match load(path, Format::of(path).unwrap_or(Format::Json), LOADED_MAX, GapPolicy::Refuse)? {
        AnyTape::Memory(tape) => Ok(Arc::unwrap_or_clone(tape)),
        _ => Err(Failure::Content {
            path: path.into(),
            reason: "its messages are no order packets".to_owned(),
        }),
    }
}

fn no_file(path: &Path, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::Usage(format!(
            "no tape `{}`: neither one of sample[:N], classic, extremes, lengths, \
             random:N[:SEED], market[:SEED], itch[:N[:SEED]] nor a file",
            shown(path)
        )),
        _ => Failure::Storage { action: "read", path: path.into(), source: error },
    }
}

/// Opens a tape file, and checks all of its bytes, because an index says nothing about damaged
/// blocks.
fn open_tape(path: &Path, gaps: GapPolicy) -> Result<TapeFile<FileStorage>, Failure> {
    let content = |reason: String| Failure::Content { path: path.into(), reason };
    let storage = FileStorage::read(path).map_err(|error| no_file(path, error))?;
    let mut first = None;
    let (file, opened) = TapeFile::check(storage, &mut |place| {
        first.get_or_insert(place);
    })
    .map_err(|error| content(error.to_string()))?;
    let wrong = match first {
        Some(place) => format!(
            "{} in {} of it are damaged, the first at byte {}{}",
            count(opened.damaged_bytes, "byte"),
            count(opened.damages.into(), "place"),
            grouped(place.offset),
            place.span.map(|span| format!(" (of packets {span})")).unwrap_or_default(),
        ),
        None if opened.misleading => "its index is not that of the blocks in it".to_owned(),
        None => return Ok(file),
    };
    if gaps == GapPolicy::Allow {
        tracing::warn!("{}: {wrong}", shown(path));
        return Ok(file);
    }
    Err(content(format!(
        "{wrong}. betacrew inspect --verify shows all; --allow-gaps plays the packets before the \
         first missing one, as a session of its own"
    )))
}

/// Returns the source of a tape file whose blocks are good.
fn play(path: &Path, file: TapeFile<FileStorage>, gaps: GapPolicy) -> Result<AnyTape, Failure> {
    let held = file.packets();
    let noun = match file.layout() {
        Some(Layout::Run(_)) => "message",
        Some(Layout::Packets) | None => "packet",
    };
    let opened = match gaps {
        GapPolicy::Allow => FileTapeSource::before_gaps(file),
        GapPolicy::Refuse => FileTapeSource::new(file).map(|play| (play, SeqSet::new())),
    };
    let (play, missing) = opened.map_err(|error| {
        let not_whole = |missing, before| Failure::NotWhole { path: path.into(), missing, before };
        match error {
            TapeSourceError::Gaps(missing) => {
                let first = missing.ranges().first().map_or(0, |gap| gap.first() - 1);
                not_whole(listed(noun, &missing), first)
            }
            TapeSourceError::Empty => not_whole(NO_PACKETS.to_owned(), 0),
            error => Failure::Content { path: path.into(), reason: error.to_string() },
        }
    })?;
    if !play.is_whole() {
        let why = match missing.is_empty() {
            true => "where its session ends is not known".to_owned(),
            false => format!("it lacks {}", listed(noun, &missing)),
        };
        tell_own_session(path, &why, play.last(), &count(held, noun), play.session());
    }
    Ok(AnyTape::File(Box::new(play), path.to_owned()))
}

/// Logs that a recording is played as another session than the recorded one.
fn tell_own_session(path: &Path, why: &str, played: Seq, held: &str, session: SessionId) {
    tracing::warn!(
        "{}: {why}; playing {} of {held} as a session of its own, {session}",
        shown(path),
        grouped(played),
    );
}

/// Formats missing packets: `12 packets in 3 gaps: 5, 9-12, 20-26`, and the number of gaps not
/// listed.
fn listed(noun: &str, missing: &SeqSet) -> String {
    let mut listed = MissingRanges::listing(LISTED);
    missing.ranges().iter().for_each(|gap| listed.add(*gap));
    holes(noun, &listed)
}

/// Returns the tape of a file of messages, which is played from the file itself. `None` if it has
/// order packets, or is compressed.
fn index(path: &Path, gaps: GapPolicy) -> Result<Option<MessageTape>, Failure> {
    let storage = FileStorage::read(path).map_err(|error| no_file(path, error))?;
    if crate::format::is_gzip(&storage).map_err(|error| no_file(path, error))? {
        return Ok(None);
    }
    let (mut index, mut has_packets) = (MessageIndex::new(), false);
    let read = source::read(path, Format::Itch, policy(gaps), &mut |messages, _| {
        match messages {
            Messages::Run(run) => index.add(run),
            Messages::Packets(_) => {
                has_packets = true;
                return Err(Failure::Stopped);
            }
        }
        Ok(())
    });
    match read {
        Err(Failure::Stopped) if has_packets => Ok(None),
        Err(failure) => Err(failure),
        Ok(_) if index.last() == 0 => Ok(None),
        Ok(_) => Ok(Some(MessageTape::new(storage, index))),
    }
}

/// Returns the treatment of damaged files.
fn policy(gaps: GapPolicy) -> DamagePolicy {
    match gaps {
        GapPolicy::Allow => DamagePolicy::Skip,
        GapPolicy::Refuse => DamagePolicy::Refuse,
    }
}

/// Reads a recording up to its first gap: order packets into memory, other messages into a
/// temporary file.
fn load(path: &Path, format: Format, most: usize, gaps: GapPolicy) -> Result<AnyTape, Failure> {
    let mut order = SequenceOrder::listing(LISTED);
    let mut loaded = LoadedMessages { packets: Vec::new(), copy: None, path, most };
    let content = |reason: String| Failure::Content { path: path.into(), reason };
    source::read(path, format, policy(gaps), &mut |messages, _| {
        // After the first gap, messages are only counted.
        let gapless = order.missing().is_empty();
        order.take(messages, |_| {}).map_err(|disorder| content(disorder.to_string()))?;
        if gapless { loaded.add(messages) } else { Ok(()) }
    })
    .map_err(|failure| match failure {
        Failure::Storage { action: "read", source, .. } => no_file(path, source),
        other => other,
    })?;
    let before = loaded.last();
    let missing = order.missing();
    let noun = noun_in(&order);
    if !missing.is_empty() && (gaps == GapPolicy::Refuse || before == 0) {
        return Err(Failure::NotWhole { path: path.into(), missing: holes(noun, missing), before });
    }
    let tape = loaded.into_tape()?;
    if !missing.is_empty() {
        let why = format!("it lacks {}", holes(noun, missing));
        // The session id is derived from the messages, so it differs from that of the whole
        // recording.
        tell_own_session(path, &why, tape.last(), &count(order.packets(), noun), tape.session());
    }
    Ok(tape)
}

/// Messages of a recording before its first gap.
struct LoadedMessages<'a> {
    packets: Vec<Packet>,
    /// Messages that are no order packets.
    copy: Option<TemporaryMessages>,
    path: &'a Path,
    /// Maximum number of order packets.
    most: usize,
}

impl LoadedMessages<'_> {
    fn last(&self) -> Seq {
        match &self.copy {
            Some(copy) => copy.last(),
            None => Seq::try_from(self.packets.len()).unwrap_or(Seq::MAX),
        }
    }

    fn content(&self, reason: String) -> Failure {
        Failure::Content { path: self.path.into(), reason }
    }

    fn add(&mut self, messages: Messages<'_>) -> Result<(), Failure> {
        let frames = match messages {
            Messages::Packets(frames) => frames,
            Messages::Run(run) if run.range().first() == self.last() + 1 => {
                let copy = match &mut self.copy {
                    Some(copy) => copy,
                    None => self.copy.insert(TemporaryMessages::new()?),
                };
                return copy.add(run);
            }
            Messages::Run(_) => return Ok(()),
        };
        for frame in frames {
            let Ok(Frame::Packet(packet)) = decode(frame) else { continue };
            if packet.sequence != self.packets.len() as u64 + 1 {
                break;
            }
            // A few kilobytes of a compressed file can be millions of packets.
            if self.packets.len() >= self.most {
                return Err(self.content(format!(
                    "it has more than {} packets, which is too much to be played from memory: \
                     betacrew convert it to a .tape",
                    self.most
                )));
            }
            self.packets.push(packet);
        }
        Ok(())
    }

    fn into_tape(self) -> Result<AnyTape, Failure> {
        if let Some(copy) = self.copy {
            return Ok(AnyTape::Messages(Box::new(copy.into_tape()?), self.path.to_owned()));
        }
        match Tape::new(self.packets) {
            Ok(tape) => Ok(AnyTape::Memory(Arc::new(tape))),
            Err(error) => {
                Err(Failure::Content { path: self.path.into(), reason: error.to_string() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use crate::format::json;

    #[test]
    fn what_is_played_from_memory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape.json");
        let mut text = Vec::new();
        json::write([Tape::classic().frames()], &mut text).unwrap();
        std::fs::write(&path, text).unwrap();
        let loaded = load(&path, Format::Json, 14, GapPolicy::Refuse).unwrap();
        assert!(matches!(loaded, AnyTape::Memory(tape) if *tape == Tape::classic()));
        let message = load(&path, Format::Json, 13, GapPolicy::Refuse).unwrap_err().to_string();
        assert!(message.contains("more than 13 packets") && message.contains(".tape"), "{message}");
    }

    #[test]
    fn files_are_read_or_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape.json");
        let load = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read(&path)
        };
        let mut text = Vec::new();
        json::write([Tape::classic().frames()], &mut text).unwrap();
        assert_eq!(load(std::str::from_utf8(&text).unwrap()).unwrap(), Tape::classic());
        let second =
            r#"[{"symbol":"A","buySellIndicator":"B","quantity":1,"price":1,"sequence":2}]"#;
        let failure = load(second).unwrap_err();
        assert_eq!(failure.exit(), Exit::Incomplete);
        let message = failure.to_string();
        assert!(message.contains("it lacks 1 packet in 1 gap: 1"), "{message}");
        // No packet is before the gap, so there is nothing to play.
        assert!(!message.contains("--allow-gaps"), "{message}");
        assert_eq!(open(&path, GapPolicy::Allow).unwrap_err().exit(), Exit::Incomplete);
        let twice = format!("[{0},{0}]", &second[1..second.len() - 1]);
        assert_eq!(load(&twice).unwrap_err().exit(), Exit::Storage);
        assert!(load("[").unwrap_err().to_string().contains("line 1"));
        let none = open(&folder.path().join("none"), GapPolicy::Refuse).unwrap_err();
        assert!(matches!(none, Failure::Usage(_)) && none.to_string().contains("classic"));
    }

    #[test]
    fn of_every_format_the_packets_before_the_first_gap_are_played_if_that_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let tape = Tape::random(100, 1);
        let frames = tape.frames();
        let built = [Format::Json, Format::Ndjson, Format::Csv, Format::Tape];
        #[cfg(feature = "sqlite")]
        let built = [&built[..], &[Format::Sqlite]].concat();
        #[cfg(feature = "columnar")]
        let built = [&built[..], &[Format::Parquet, Format::Arrow]].concat();
        for format in built {
            let path = folder.path().join(format!("x.{}", format.name().to_lowercase()));
            let rows = [&frames[..60], &frames[63..70], &frames[71..]].concat();
            crate::format::testing::write_packets(&path, format, &rows);
            let failure = open(&path, GapPolicy::Refuse).unwrap_err();
            let said = failure.to_string();
            assert_eq!(failure.exit(), Exit::Incomplete, "{said}");
            assert!(said.contains("it lacks 4 packets in 2 gaps: 61-63, 71"), "{said}");
            assert!(said.contains("--allow-gaps") && said.contains("60 packets before"), "{said}");
            let mut played = open(&path, GapPolicy::Allow).unwrap();
            assert_eq!(played.last(), 60, "{format:?}");
            assert_ne!(played.session(), tape.session(), "{format:?}");
            let all = feed::base::seq::SeqRange::new(1, 60).unwrap();
            assert!(played.messages(all).packets() == &frames[..60], "{format:?}");
        }
    }
}
