//! Files that are written one after the other while a session is live. Each is named after its
//! packets, `out-SESSION-FIRST-LAST.csv`, and gets that name once it is complete.

use crate::args::parse::duration;
use crate::error::Failure;
use crate::format::{
    self, Arrival, DamagePolicy, Encoder, EncoderTarget, Format, Payload, StreamMark,
};
use crate::output::atomic::{self, Partial};
use crate::output::counters::WriteCounters;
use crate::output::place::{fitting_name, folder};
use crate::output::sink::PacketSink;
use crate::storage::Durability;
use crate::text::location::shown;
use feed::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use feed::wire::{Messages, SessionId};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Condition for starting the next file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rotate {
    /// Age of the file.
    Time(Duration),
    /// Approximate size of the file in bytes.
    Size(u64),
    /// End of the session.
    Session,
}

/// Units of sizes, the longest names first.
const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Maximum number of files of the same packets.
const NAMES_MAX: u64 = 1000;

/// Parses a size such as `1GiB`, in bytes.
fn size(text: &str) -> Option<u64> {
    let (unit, factor) = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    number.checked_mul(factor).filter(|&bytes| bytes > 0)
}

impl FromStr for Rotate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "session" {
            return Ok(Self::Session);
        }
        if let Some(bytes) = size(text) {
            return Ok(Self::Size(bytes));
        }
        match duration(text) {
            Ok(time) if !time.is_zero() => Ok(Self::Time(time)),
            _ => Err(format!("`{text}` is not a time such as 1h, a size such as 1GiB, or session")),
        }
    }
}

/// Returns the name of a session for names of files: hexadecimal if it is not alphanumeric.
pub(crate) fn session_name(session: SessionId) -> String {
    match session.as_bytes().iter().all(u8::is_ascii_alphanumeric) && !session.as_bytes().is_empty()
    {
        true => session.to_string(),
        false => session.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Returns the stem of a file's name, and its end that says the format, which may have two parts:
/// `x.itch.gz`.
fn stem_and_end(name: &Path) -> (&OsStr, OsString) {
    let mut stem = name.file_stem().unwrap_or_default();
    let mut ends: Vec<&OsStr> = name.extension().into_iter().collect();
    if Format::of(name) == Some(Format::ItchGz) {
        ends.extend(Path::new(stem).extension());
        stem = Path::new(stem).file_stem().unwrap_or_default();
    }
    let mut end = OsString::new();
    for part in ends.into_iter().rev() {
        end.push(".");
        end.push(part);
    }
    (stem, end)
}

/// Returns `path` with `-PART` at the end of its stem.
pub(crate) fn with_part(path: &Path, part: &str) -> PathBuf {
    let (stem, extension) = stem_and_end(path);
    let mut end = OsString::from(format!("-{part}"));
    end.push(extension);
    path.with_file_name(fitting_name(stem, &end))
}

/// Returns a pattern for the names of all files of a session: `out-SESSION-*.csv`.
pub(crate) fn series(path: &Path, session: Option<SessionId>) -> PathBuf {
    with_part(path, &session.map_or("*".to_owned(), |id| format!("{}-*", session_name(id))))
}

/// Live output that writes files one after the other.
pub(crate) struct RotatingFiles {
    path: PathBuf,
    format: Format,
    payload: Option<Payload>,
    rotate: Vec<Rotate>,
    durability: Durability,
    session: String,
    open: Option<RotatedFile>,
    /// Sequence after the last one taken.
    next: Seq,
    written: WriteCounters,
}

/// File that is being written.
struct RotatedFile {
    file: Partial,
    encoder: Box<dyn Encoder>,
    first: Seq,
    begun: Instant,
}

impl RotatingFiles {
    /// Creates an output whose files stand beside `path` and are named after it.
    ///
    /// # Errors
    /// Returns [`Failure::Usage`] if the format is not built in or `path` is not a file, and
    /// [`Failure::Storage`] if the folder cannot be written.
    pub(crate) fn new(
        path: &Path,
        format: Format,
        rotate: &[Rotate],
        durability: Durability,
    ) -> Result<Self, Failure> {
        format.check()?;
        if path == Path::new("-") || path.metadata().is_ok_and(|found| !found.is_file()) {
            let why = format!("--rotate needs the name of a file, and {} is not one", shown(path));
            return Err(Failure::Usage(why));
        }
        let files = Self {
            path: path.to_owned(),
            format,
            payload: None,
            rotate: rotate.to_vec(),
            durability,
            session: String::new(),
            open: None,
            next: FIRST_SEQ,
            written: WriteCounters::default(),
        };
        Partial::beside(path).map_err(|source| files.failed(source))?;
        atomic::sweep(path);
        Ok(files)
    }

    /// Sets the payload of the messages, which the first message of each file decides otherwise.
    #[must_use]
    pub(crate) fn with_payload(self, payload: Option<Payload>) -> Self {
        Self { payload, ..self }
    }

    /// Returns the counters of all its files.
    pub(crate) fn written(&self) -> WriteCounters {
        self.written.clone()
    }

    fn failed(&self, source: io::Error) -> Failure {
        Failure::Storage { action: "write", path: self.path.clone(), source }
    }

    /// Returns the path of the file for these packets.
    fn place(&self, range: SeqRange) -> PathBuf {
        let (first, last) = (range.first(), range.last());
        with_part(&self.path, &format!("{}-{first:010}-{last:010}", self.session))
    }

    /// Returns an unused path for these packets. A file with the same packets may exist from
    /// before, after a gap.
    fn free_place(&self, range: SeqRange) -> Result<PathBuf, Failure> {
        let place = self.place(range);
        let others = (2..=NAMES_MAX).map(|number| with_part(&place, &number.to_string()));
        let mut places = std::iter::once(place.clone()).chain(others);
        let free = places.find(|place| place.symlink_metadata().is_err());
        let source = io::Error::from(io::ErrorKind::AlreadyExists);
        free.ok_or(Failure::Storage { action: "write", path: place, source })
    }

    /// Returns the packets that a file of this name is for, if it is one of this session's.
    fn range_of(&self, name: &OsStr) -> Option<SeqRange> {
        let stem = stem_and_end(Path::new(name)).0.to_string_lossy();
        let mut numbers = stem.rsplit('-').map(|number| number.parse().ok());
        let (last, before, first) = (numbers.next()??, numbers.next()??, numbers.next());
        let is_named = |place: &Path| place.file_name() == Some(name);
        let plain = SeqRange::new(before, last).filter(|range| is_named(&self.place(*range)));
        // A file whose name was in use has a number at the end.
        let numbered = || {
            let range = SeqRange::new(first??, before)?;
            let place = with_part(&self.place(range), &last.to_string());
            // The first file of a name has no number, so numbers begin at 2.
            (last > 1 && last <= NAMES_MAX && is_named(&place)).then_some(range)
        };
        plain.or_else(numbered)
    }

    /// Returns whether the file for these packets has them. Its name alone proves nothing: another
    /// program may have created it, and a power failure may have emptied it.
    fn holds(&self, place: &Path, range: SeqRange) -> bool {
        let (mut first, mut last, mut ascends) = (None, 0, true);
        // Files without sequences are numbered from 1.
        let before = match self.format.has_sequences() {
            true => 0,
            false => range.first() - FIRST_SEQ,
        };
        let read = place.is_file().then(|| {
            format::read(place, self.format, DamagePolicy::Refuse, &mut |messages, _| {
                let shift = if matches!(messages, Messages::Run(_)) { before } else { 0 };
                for seq in messages.iter().map(|(seq, _)| seq.saturating_add(shift)) {
                    ascends &= seq > last;
                    first.get_or_insert(seq);
                    last = seq;
                }
                Ok(())
            })
        });
        // Packets that were abandoned at its beginning are not in it.
        let begins = first.is_some_and(|first| range.contains(first));
        read.is_some_and(|read| read.is_ok()) && ascends && begins && last == range.last()
    }

    /// Returns the last sequence before the first gap in the files of this session.
    fn in_place(&self) -> io::Result<Seq> {
        let (mut written, mut doubtful) = (SeqSet::new(), Vec::new());
        for entry in std::fs::read_dir(folder(&self.path))? {
            let name = entry?.file_name();
            let Some(range) = self.range_of(&name) else { continue };
            let place = self.path.with_file_name(&name);
            match self.holds(&place, range) {
                true => written.insert(range),
                // Another file may have these packets.
                false => doubtful.push((place, range)),
            }
        }
        for (place, _) in doubtful.iter().filter(|(_, range)| !written.covers(*range)) {
            tracing::warn!("{} lacks packets of its name; they are written again", shown(place));
        }
        let first = written.at_or_after(FIRST_SEQ).filter(|range| range.first() == FIRST_SEQ);
        Ok(first.map_or(0, SeqRange::last))
    }

    /// Returns the open file, creating one if there is none.
    fn open(&mut self) -> Result<&mut RotatedFile, Failure> {
        if self.open.is_none() {
            let begin = || {
                let file = Partial::beside(&self.path)?;
                let same = file.file().try_clone()?;
                let place = EncoderTarget::File(same, file.path().to_owned());
                let encoder = self.written.encoder(self.format, self.payload, place)?;
                Ok(RotatedFile { file, encoder, first: self.next, begun: Instant::now() })
            };
            self.open = Some(begin().map_err(|source| self.failed(source))?);
        }
        Ok(self.open.as_mut().expect("it is open"))
    }

    /// Returns the time at which the open file reaches its maximum age.
    fn due(&self) -> Option<Instant> {
        let file = self.open.as_ref()?;
        let times = self.rotate.iter().filter_map(|rotate| match rotate {
            Rotate::Time(time) => file.begun.checked_add(*time),
            _ => None,
        });
        times.min()
    }

    /// Ends the open file if it has reached its maximum age or size.
    fn rotate(&mut self) -> Result<(), Failure> {
        let Some(open) = &self.open else { return Ok(()) };
        let old = self.due().is_some_and(|time| Instant::now() >= time);
        let most = self.rotate.iter().filter_map(|rotate| match rotate {
            Rotate::Size(bytes) => Some(*bytes),
            _ => None,
        });
        let full = most
            .min()
            .is_some_and(|most| open.file.file().metadata().is_ok_and(|found| found.len() >= most));
        if old || full { self.close() } else { Ok(()) }
    }

    /// Ends the open file and gives it its name.
    fn close(&mut self) -> Result<(), Failure> {
        let Some(RotatedFile { file, encoder, first, .. }) = self.open.take() else {
            return Ok(());
        };
        let Some(range) = SeqRange::new(first, self.next - 1) else { return Ok(()) };
        let place = self.free_place(range)?;
        let put = || file.persist(&place, Some(self.format), self.durability);
        let done = encoder.finish().and_then(|()| put());
        done.map_err(|source| Failure::Storage { action: "write", path: place.clone(), source })?;
        tracing::info!("{}: packets {range}", shown(&place));
        Ok(())
    }
}

impl PacketSink for RotatingFiles {
    fn begin(&mut self, session: Option<SessionId>) -> Result<Seq, Failure> {
        self.session = session.map_or_else(|| "unnamed".to_owned(), session_name);
        self.next = self.in_place().map_err(|source| self.failed(source))? + 1;
        Ok(self.next)
    }

    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> Result<u64, Failure> {
        if let Err(source) = self.open()?.encoder.put(messages, arrival) {
            // Part of a row may be in the file, which gets no name then.
            self.open = None;
            return Err(self.failed(source));
        }
        self.next = messages.span().map_or(self.next, |span| span.last() + 1);
        self.rotate()?;
        Ok(messages.len())
    }

    fn mark(&mut self, mark: StreamMark) -> Result<(), Failure> {
        let StreamMark::Abandoned(range) = mark else { return Ok(()) };
        let done = self.open()?.encoder.mark(mark);
        done.map_err(|source| self.failed(source))?;
        self.next = range.last() + 1;
        Ok(())
    }

    fn idle(&mut self, now: Duration) -> Result<Option<Duration>, Failure> {
        self.rotate()?;
        let left = self.due().map(|time| time.saturating_duration_since(Instant::now()));
        Ok(left.map(|left| now + left))
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::in_memory::Tape;
    use feed::wire::RawFrame;

    fn packets(range: std::ops::RangeInclusive<usize>) -> Vec<RawFrame> {
        let tape = Tape::random(50_000, 1);
        tape.frames()[range.start() - 1..*range.end()].to_vec()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn begun(path: &Path, rotate: &[Rotate]) -> (Box<RotatingFiles>, Seq) {
        let mut pieces =
            Box::new(RotatingFiles::new(path, Format::Csv, rotate, Durability::Buffered).unwrap());
        let next = pieces.begin(Some(SessionId::of(*b"ABCD"))).unwrap();
        (pieces, next)
    }

    #[test]
    fn files_are_ended_by_size_and_gone_on_with_where_they_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let (mut pieces, next) = begun(&path, &[Rotate::Size(1)]);
        assert_eq!(next, 1);
        pieces.put(Messages::Packets(&packets(1..=20_000)), Arrival::UNKNOWN).unwrap();
        pieces.put(Messages::Packets(&packets(20_001..=40_000)), Arrival::UNKNOWN).unwrap();
        // A crash: what was not in place is gone.
        pieces.rotate = vec![Rotate::Session];
        pieces.put(Messages::Packets(&packets(40_001..=41_000)), Arrival::UNKNOWN).unwrap();
        drop(pieces);
        let whole = ["out-ABCD-0000000001-0000020000.csv", "out-ABCD-0000020001-0000040000.csv"];
        assert_eq!(names(folder.path()), whole);
        let (mut pieces, next) = begun(&path, &[Rotate::Session]);
        assert_eq!(next, 40_001);
        pieces.put(Messages::Packets(&packets(40_001..=41_000)), Arrival::UNKNOWN).unwrap();
        pieces.finish().unwrap();
        assert_eq!(names(folder.path())[2], "out-ABCD-0000040001-0000041000.csv");
        let text = std::fs::read_to_string(folder.path().join(whole[1])).unwrap();
        assert_eq!(text.lines().count(), 20_001);
    }

    #[test]
    fn a_name_alone_does_not_make_a_file_ours() {
        for left in ["MINE", "", "half of it"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.csv");
            let (mut pieces, _) = begun(&path, &[Rotate::Session]);
            pieces.put(Messages::Packets(&packets(1..=900)), Arrival::UNKNOWN).unwrap();
            pieces.finish().unwrap();
            assert_eq!(begun(&path, &[Rotate::Session]).1, 901);
            let piece = folder.path().join("out-ABCD-0000000001-0000000900.csv");
            let whole = std::fs::read_to_string(&piece).unwrap();
            let content = if left.starts_with("half") { &whole[..whole.len() / 2] } else { left };
            std::fs::write(&piece, content).unwrap();
            let (mut pieces, next) = begun(&path, &[Rotate::Session]);
            assert_eq!(next, 1);
            pieces.put(Messages::Packets(&packets(1..=900)), Arrival::UNKNOWN).unwrap();
            pieces.finish().unwrap();
            assert_eq!(
                std::fs::read_to_string(&piece).unwrap(),
                content,
                "it belongs to another program"
            );
            let again = folder.path().join("out-ABCD-0000000001-0000000900-2.csv");
            assert_eq!(std::fs::read_to_string(again).unwrap().lines().count(), 901);
            // It is found again, whatever stands in the file that has its name.
            assert_eq!(begun(&path, &[Rotate::Session]).1, 901);
        }
    }

    #[test]
    fn numbers_behind_names_are_those_that_are_given() {
        let folder = tempfile::tempdir().unwrap();
        let (pieces, _) = begun(&folder.path().join("out-7.csv"), &[Rotate::Session]);
        let found = |numbers: &str| {
            let name = format!("out-7-ABCD-{numbers}.csv");
            pieces.range_of(OsStr::new(&name)).map(|range| (range.first(), range.last()))
        };
        assert_eq!(found("0000000003-0000000009"), Some((3, 9)));
        assert_eq!(found("0000000003-0000000009-2"), Some((3, 9)));
        assert_eq!(found("0000000003-0000000009-1000"), Some((3, 9)));
        for other in ["3-9", "0000000003-0000000009-1", "0000000003-0000000009-1001"] {
            assert_eq!(found(other), None, "{other}");
        }
        for other in ["0000000003-0000000009-02", "0000000009-0000000003", "-", "5"] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn files_that_are_there_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let names_of = |numbers: &str| format!("out-ABCD-{numbers}.csv");
        // The file lies behind a gap, and so it is not counted as written.
        let old = folder.path().join(names_of("0000000003-0000000009"));
        std::fs::write(&old, "precious").unwrap();
        let (mut pieces, next) = begun(&path, &[Rotate::Session]);
        assert_eq!(next, 1);
        pieces.put(Messages::Packets(&packets(1..=2)), Arrival::UNKNOWN).unwrap();
        pieces.close().unwrap();
        pieces.put(Messages::Packets(&packets(3..=9)), Arrival::UNKNOWN).unwrap();
        pieces.finish().unwrap();
        assert_eq!(std::fs::read_to_string(old).unwrap(), "precious");
        let numbers = ["0000000001-0000000002", "0000000003-0000000009-2", "0000000003-0000000009"];
        assert_eq!(names(folder.path()), numbers.map(names_of));
    }

    #[test]
    fn a_name_that_is_cut_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n".repeat(250) + ".csv");
        let (mut pieces, _) = begun(&path, &[Rotate::Session]);
        pieces.put(Messages::Packets(&packets(1..=9)), Arrival::UNKNOWN).unwrap();
        pieces.finish().unwrap();
        assert_eq!(begun(&path, &[Rotate::Session]).1, 10);
    }

    #[test]
    fn files_are_ended_by_time_also_when_nothing_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let (mut pieces, _) = begun(&path, &[Rotate::Time(Duration::from_nanos(1))]);
        pieces.rotate = vec![Rotate::Time(Duration::from_secs(3600))];
        pieces.put(Messages::Packets(&packets(1..=9)), Arrival::UNKNOWN).unwrap();
        let wake = pieces.idle(Duration::ZERO).unwrap().unwrap();
        assert!((3590..=3600).contains(&wake.as_secs()), "{wake:?}");
        assert_eq!(names(folder.path()).len(), 1, "beside its place");
        pieces.rotate = vec![Rotate::Time(Duration::from_nanos(1))];
        pieces.idle(Duration::ZERO).unwrap();
        assert_eq!(names(folder.path()), ["out-ABCD-0000000001-0000000009.csv"]);
        assert_eq!(pieces.idle(Duration::ZERO).unwrap(), None);
    }

    #[test]
    fn rotations_are_read_as_people_write_them() {
        for (text, rotate) in [
            ("1h", Rotate::Time(Duration::from_secs(3600))),
            ("90", Rotate::Time(Duration::from_secs(90))),
            ("1GiB", Rotate::Size(1 << 30)),
            ("500 kB", Rotate::Size(500_000)),
            ("session", Rotate::Session),
        ] {
            assert_eq!(text.parse(), Ok(rotate), "{text}");
        }
        for bad in ["", "0", "0B", "-1MB", "often", "99999999999999GiB", "1.5GiB"] {
            assert!(bad.parse::<Rotate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sessions_have_names_that_files_can_have() {
        assert_eq!(session_name(SessionId::of(*b"A1b2")), "A1b2");
        assert_eq!(session_name(SessionId::of(*b"../\0")), "2e2e2f00");
        assert_eq!(with_part(Path::new("a/out.json"), "X"), Path::new("a/out-X.json"));
        assert_eq!(with_part(Path::new("out"), "X"), Path::new("out-X"));
        assert_eq!(with_part(Path::new("out.itch.gz"), "X"), Path::new("out-X.itch.gz"));
        assert_eq!(with_part(Path::new("out.json.gz"), "X"), Path::new("out.json-X.gz"));
    }

    #[test]
    fn a_file_with_part_of_a_row_gets_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, _) = begun(&folder.path().join("out.csv"), &[Rotate::Session]);
        let day = feed::payload::itch50::SyntheticMarket::new(3, 2000);
        let mut run = format::RunBuffer::default();
        run.push(1, &day.message(0)).unwrap();
        files.put(run.messages(), Arrival::UNKNOWN).unwrap();
        run.push(2, b"S").unwrap();
        let failure = files.put(run.messages(), Arrival::UNKNOWN).unwrap_err();
        assert!(failure.to_string().contains("message 2 does not fit"), "{failure}");
        files.finish().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_without_sequences_are_continued_too() {
        let folder = tempfile::tempdir().unwrap();
        for end in ["itch", "itch.gz"] {
            let path = folder.path().join(format!("x.{end}"));
            let format = Format::of(&path).unwrap();
            let rotate = [Rotate::Session];
            let begin = || {
                let files = RotatingFiles::new(&path, format, &rotate, Durability::Buffered);
                let mut files = Box::new(files.unwrap());
                let next = files.begin(Some(SessionId::of(*b"K7QD"))).unwrap();
                (files, next)
            };
            for (first, count) in [(1, 40), (41, 9)] {
                let (mut files, next) = begin();
                assert_eq!(next, first);
                let mut run = format::RunBuffer::default();
                (first..first + count).for_each(|seq| run.push(seq, b"message").unwrap());
                files.put(run.messages(), Arrival::UNKNOWN).unwrap();
                files.finish().unwrap();
            }
            let last = folder.path().join(format!("x-K7QD-0000000041-0000000049.{end}"));
            assert!(last.exists());
            assert_eq!(begin().1, 50);
        }
    }
}
