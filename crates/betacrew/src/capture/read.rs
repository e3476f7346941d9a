//! Messages of captures, merged from all lines: the first copy of each, in the order of sequences.

use super::datagram::{self, MoldKind};
use super::file::CapturedPacket;
use super::line::Route;
use super::link::{self, PacketContent};
use super::merge::{CaptureFiles, CaptureInput};
use super::survey::CaptureSurvey;
use super::tracker::{SequenceTracker, is_jump};
use crate::args::parse::random;
use crate::error::Failure;
use crate::format::{Arrival, DamagePolicy, MessageConsumer, SessionFacts};
use crate::storage::FileStorage;
use crate::text::formatting::grouped;
use crate::text::location::shown;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::ledger::{Origin, Source};
use feed::tape::file::{FileHead, SessionEnd, TapeFile, TapeFileError};
use feed::wire::{Framing, Info, Messages, RawFrame, Run, SessionId, packet_seq};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Number of blocks of the temporary tape after which its times become ten times as coarse, because
/// its index is in memory.
const BLOCKS_PER_RESOLUTION: u64 = 1_000_000;

/// Coarsest resolution of times in nanoseconds.
const RESOLUTION_MAX: u64 = 10_000_000_000;

/// Stream of a capture, chosen by the name of its session, and by a destination if several streams
/// have that name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamChoice {
    session: String,
    destination: Option<SocketAddr>,
}

impl FromStr for StreamChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (session, destination) = match text.rsplit_once('@') {
            None => (text, None),
            Some((session, destination)) => {
                let parsed = destination.parse().map_err(|_| {
                    format!(
                        "`{destination}` is no address with a port, such as 233.54.12.111:26477"
                    )
                })?;
                (session, Some(parsed))
            }
        };
        Ok(Self { session: session.trim_end().to_owned(), destination })
    }
}

/// Reads the messages of one stream of captures in the order of sequences. Returns the facts about
/// its session.
///
/// The captures are read twice: first to see which lines carry the stream, then to copy its
/// messages into a temporary tape file, which puts them in order. What can be read only once, such
/// as a pipe, is copied into a temporary file before.
///
/// # Errors
/// Returns [`Failure::Usage`] if the captures have several streams and `choice` does not decide,
/// [`Failure::Content`] if they have none, or are damaged and `damage` is
/// [`Refuse`](DamagePolicy::Refuse), and errors of the files and of `each`.
pub fn read(
    paths: &[PathBuf],
    choice: Option<&StreamChoice>,
    damage: DamagePolicy,
    each: &mut MessageConsumer<'_>,
) -> Result<SessionFacts, Failure> {
    let merger = merge(paths, choice, damage)?;
    merger.hand_on(paths.first().map_or(Path::new(""), PathBuf::as_path), each)
}

/// Copies the messages of a capture with a single stream into a temporary tape file, with the times
/// of the capture.
///
/// # Errors
/// As [`read`].
pub(crate) fn to_tape(path: &Path, damage: DamagePolicy) -> Result<TapeFile<FileStorage>, Failure> {
    let Merger { mut tape, session, tracker, end, .. } = merge(&[path.to_owned()], None, damage)?;
    let last = tracker.span().map_or(0, SeqRange::last);
    let info = Info { session, version: 1, first: FIRST_SEQ, last };
    tape.note_session(info, 0)
        .and_then(|()| tape.note_end(last, end, 0))
        .and_then(|()| tape.flush())
        .map_err(tape_failure)?;
    Ok(tape)
}

/// Copies the messages of one stream.
fn merge(
    paths: &[PathBuf],
    choice: Option<&StreamChoice>,
    damage: DamagePolicy,
) -> Result<Merger, Failure> {
    let inputs = CaptureInput::reopened(paths)?;
    let survey = CaptureSurvey::of(&inputs, paths.to_owned(), || Ok(()))?;
    if let Some(place) = survey.damage.first()
        && damage == DamagePolicy::Refuse
    {
        return Err(Failure::Content {
            path: place.path.clone(),
            reason: format!(
                "packet {} at byte {}: {}; --allow-gaps reads the packets before",
                grouped(place.packet),
                grouped(place.offset),
                place.reason
            ),
        });
    }
    let stream = choose(&survey, choice)?;
    let mut merger = Merger::new(&survey, stream)?;
    CaptureFiles::open(&inputs)?.read(|packet, data| merger.take(packet, data))?;
    Ok(merger)
}

/// Returns the index of the stream to be read.
fn choose(survey: &CaptureSurvey, choice: Option<&StreamChoice>) -> Result<usize, Failure> {
    let wanted = |index: &usize| {
        let Some(choice) = choice else { return true };
        let Some(stream) = survey.streams.get(*index) else { return false };
        let goes_to = |destination: SocketAddr| {
            let lines = stream.members.iter().filter_map(|member| survey.lines.get(member.line));
            lines.into_iter().any(|line| line.route.destination == destination)
        };
        stream.session.to_string() == choice.session && choice.destination.is_none_or(goes_to)
    };
    let live: Vec<usize> = survey.live_streams().map(|(index, _)| index).collect();
    let found: Vec<usize> = live.iter().copied().filter(|index| wanted(index)).collect();
    if let [stream] = found.as_slice() {
        return Ok(*stream);
    }
    let path = survey.files.first().cloned().unwrap_or_default();
    if live.is_empty() {
        let reason = "it has no MoldUDP64 messages: betacrew inspect says what it has".to_owned();
        return Err(Failure::Content { path, reason });
    }
    let names: Vec<String> = live.iter().map(|index| survey.choice_text(*index)).collect();
    let names = names.join(", ");
    Err(Failure::Usage(match found.is_empty() {
        true => format!("{} has no such session; it has {names}", shown(&path)),
        false => {
            // `serve` has no such flag, and plays what `convert` has written.
            format!(
                "{} has several sessions; `betacrew convert --session NAME` chooses one: {names}",
                shown(&path)
            )
        }
    }))
}

/// Line of the stream that is copied.
struct CopiedLine {
    /// Origin of the line's messages.
    origin: Origin,
    /// Sequence behind the highest that it has shown; 0 before its first datagram.
    next: Seq,
}

/// Copy of a stream's messages.
struct Merger {
    session: SessionId,
    lines: HashMap<Route, CopiedLine>,
    tracker: SequenceTracker,
    tape: TapeFile<FileStorage>,
    /// Time of the pending messages of each origin.
    at: HashMap<Origin, u64>,
    /// Number of blocks so far.
    blocks: u64,
    /// Time in nanoseconds by which the messages of a block may differ.
    resolution: u64,
    end: SessionEnd,
}

impl Merger {
    fn new(survey: &CaptureSurvey, stream: usize) -> Result<Self, Failure> {
        let file = tempfile::tempfile().map_err(temporary)?;
        let storage = FileStorage::of(file).map_err(temporary)?;
        let head = FileHead { session: None, created: 0, salt: random() };
        let tape = TapeFile::create(storage, head).map_err(tape_failure)?;
        let stream = survey.streams.get(stream);
        let members = stream.into_iter().flat_map(|stream| &stream.members);
        let mut lines = HashMap::new();
        for (place, member) in members.enumerate() {
            let Some(line) = survey.lines.get(member.line) else { continue };
            let source = match line.answers {
                true => Source::Resend,
                false => Source::Stream { pass: 1 },
            };
            let place = u16::try_from(place).unwrap_or(u16::MAX);
            let origin = Origin { line: place, source };
            lines.insert(line.route, CopiedLine { origin, next: 0 });
        }
        Ok(Self {
            session: stream.map_or(SessionId::of(*b"    "), |stream| stream.session),
            lines,
            tracker: SequenceTracker::default(),
            tape,
            at: HashMap::new(),
            blocks: 0,
            resolution: 0,
            end: SessionEnd::Open,
        })
    }

    fn take(&mut self, packet: &CapturedPacket, data: &[u8]) -> Result<(), Failure> {
        let PacketContent::Udp(udp) = link::content(packet.link, data) else { return Ok(()) };
        let route = Route { source: udp.source, destination: udp.destination };
        let Some(line) = self.lines.get_mut(&route) else { return Ok(()) };
        let Ok(mold) = datagram::parse(udp.payload, udp.cut) else { return Ok(()) };
        if mold.session != self.session || mold.kind == MoldKind::Request {
            return Ok(());
        }
        // The survey has counted such a datagram as malformed.
        if is_jump(line.next, mold.span) {
            return Ok(());
        }
        line.next = line.next.max(mold.span.next);
        let origin = line.origin;
        if mold.kind == MoldKind::EndOfSession {
            self.end = SessionEnd::Confirmed;
        }
        let run = Run::counted(mold.span.first, mold.span.held, Framing::Length, mold.blocks);
        let mut fresh: Vec<SeqRange> = Vec::new();
        self.tracker.take(mold.span, packet.at, &mut |range| fresh.push(range));
        for part in fresh.into_iter().filter_map(|range| run?.part(range)) {
            self.append(origin, packet.at, part)?;
        }
        Ok(())
    }

    fn append(&mut self, origin: Origin, at: u64, run: Run<'_>) -> Result<(), Failure> {
        let held = self.at.get(&origin);
        if held.is_none_or(|held| at.abs_diff(*held) > self.resolution) {
            self.tape.flush_origin(origin).map_err(tape_failure)?;
            self.at.insert(origin, at);
            self.blocks += 1;
            if self.blocks.is_multiple_of(BLOCKS_PER_RESOLUTION) {
                self.resolution = (self.resolution * 10).clamp(1_000_000, RESOLUTION_MAX);
            }
        }
        self.tape.append(origin, at, run).map_err(tape_failure)
    }

    /// Passes the messages on in the order of sequences.
    fn hand_on(
        mut self,
        path: &Path,
        each: &mut MessageConsumer<'_>,
    ) -> Result<SessionFacts, Failure> {
        self.tape.flush().map_err(tape_failure)?;
        let mut reading = self.tape.in_order(FIRST_SEQ);
        let mut frames: Vec<RawFrame> = Vec::new();
        let mut are_orders = None;
        while let Some(piece) = reading.next().map_err(tape_failure)? {
            let arrival = Arrival::of(&piece.block);
            let frame = |(seq, message): (u64, &[u8])| {
                let frame = RawFrame::try_from(message).ok()?;
                (packet_seq(&frame) == Some(seq)).then_some(frame)
            };
            let are_orders = *are_orders
                .get_or_insert_with(|| piece.messages.iter().next().and_then(frame).is_some());
            if !are_orders {
                each(piece.messages, arrival)?;
                continue;
            }
            frames.clear();
            for (seq, message) in piece.messages.iter() {
                let Some(frame) = frame((seq, message)) else {
                    let reason =
                        format!("its messages are order packets, but message {seq} is none");
                    return Err(Failure::Content { path: path.to_owned(), reason });
                };
                frames.push(frame);
            }
            each(Messages::Packets(&frames), arrival)?;
        }
        let last = self.tracker.span().map_or(0, SeqRange::last);
        Ok(SessionFacts { session: Some(self.session), last, end: Some(self.end), removed: 0 })
    }
}

fn tape_failure(error: TapeFileError<io::Error>) -> Failure {
    let source = match error {
        TapeFileError::Storage(source) => source,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    };
    temporary(source)
}

/// Returns the failure of a temporary file.
pub(super) fn temporary(source: io::Error) -> Failure {
    Failure::Storage { action: "copy a capture into", path: std::env::temp_dir(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::base::rng::Rng;

    /// Seeds of the fuzz target: captures of every kind, with two lines.
    const CAPTURES: [&[u8]; 4] = [
        include_bytes!("../../../../fuzz/seeds/capture/pcap"),
        include_bytes!("../../../../fuzz/seeds/capture/pcapng"),
        include_bytes!("../../../../fuzz/seeds/capture/cut"),
        include_bytes!("../../../../fuzz/seeds/capture/gzip"),
    ];

    #[test]
    fn any_damage_ends_the_reading_and_never_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pcap");
        let mut rng = Rng::new(17);
        let mut whole = 0;
        for round in 0..800 {
            let mut bytes = CAPTURES[round % CAPTURES.len()].to_vec();
            let mut below = |limit: usize| rng.below(u32::try_from(limit).unwrap()) as usize;
            for _ in 0..below(4) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes.truncate(at + 1),
                    1 => bytes[at] ^= 1 << below(8),
                    _ => bytes[at] = [0, 0xff, 0x7f, 1][below(4)],
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            let (mut last, paths) = (0, [path.clone()]);
            let read = read(&paths, None, DamagePolicy::Skip, &mut |messages, _| {
                for (seq, _) in messages.iter() {
                    assert!(seq > last, "{round}: {seq} after {last}");
                    last = seq;
                }
                Ok(())
            });
            whole += usize::from(read.is_ok());
        }
        assert!(whole > 200, "{whole}");
    }

    #[test]
    fn a_choice_is_a_session_and_perhaps_a_destination() {
        let choice = |text: &str| text.parse::<StreamChoice>();
        let plain = StreamChoice { session: "DAY 1".to_owned(), destination: None };
        assert_eq!(choice("DAY 1"), Ok(plain.clone()));
        let destination = "233.54.12.111:26477".parse().ok();
        let full = StreamChoice { destination, ..plain };
        assert_eq!(choice("DAY 1@233.54.12.111:26477"), Ok(full));
        assert!(choice("DAY 1@26477").unwrap_err().contains("no address with a port"));
    }
}
