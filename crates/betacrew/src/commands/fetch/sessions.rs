//! Sessions that follow one another in one run of `fetch --follow`: names of their files, and the
//! limit on how many there may be.

use super::FetchArgs;
use super::recording::{is_stream, own, place};
use crate::error::Failure;
use crate::output::rotating::session_name;
use crate::storage::FileStorage;
use crate::text::formatting::took;
use feed::tape::file::{OpenMode, TapeFile, is_stillborn};
use feed::wire::SessionId;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Number of sessions that may follow one another without a pause.
pub(super) const BURST: u32 = 10;
/// Time after which one more session may follow.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of sessions that one run records, because each has files of its own.
pub(super) const SESSIONS_MAX: usize = 1000;
/// Maximum number of names that are tried for a session's files.
const NAMES_MAX: u32 = 1000;

/// Name of a session after the run's first one, as part of the names of its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SessionName {
    pub(super) session: SessionId,
    /// Number of the name, counted from 1, because other files may have the lower numbers.
    number: u32,
}

impl SessionName {
    /// Returns the part that is appended to the names that were typed.
    pub(super) fn part(self) -> String {
        match self.number {
            1 => session_name(self.session),
            number => format!("{}-{number}", session_name(self.session)),
        }
    }
}

/// Session that is to be recorded next.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct SessionTurn {
    /// Name for the session's files; `None` for the names that were typed.
    pub(super) name: Option<SessionName>,
    /// True if this run has recorded it before.
    pub(super) again: bool,
}

/// Sessions of one run, with the limit on their changes.
#[derive(Debug)]
pub(super) struct SessionOutputs {
    /// Recorded sessions, of which the first one has the names that were typed.
    recorded: Vec<SessionId>,
    /// Number of sessions that may follow at once.
    allowed: u32,
    /// Time up to which `allowed` includes one more for each interval.
    counted: Duration,
    /// Number of changes in this run.
    changes: usize,
    /// Start of the run.
    began: Duration,
}

impl SessionOutputs {
    /// Starts to count changes. `now` is a time of any monotonic clock.
    pub(super) fn new(now: Duration) -> Self {
        let recorded = Vec::new();
        Self { recorded, allowed: BURST, counted: now, changes: 0, began: now }
    }

    /// Counts a change of sessions.
    ///
    /// # Errors
    /// Returns a text with the number of changes and their time if there were too many.
    pub(super) fn change(&mut self, now: Duration) -> Result<(), String> {
        let intervals = (now.saturating_sub(self.counted)).as_nanos() / INTERVAL.as_nanos();
        let intervals = u32::try_from(intervals).unwrap_or(BURST);
        self.allowed = self.allowed.saturating_add(intervals);
        self.counted += INTERVAL * intervals;
        if self.allowed >= BURST {
            // Unused intervals are dropped, or a quiet day would allow a thousand changes at once.
            (self.allowed, self.counted) = (BURST, now);
        }
        self.changes += 1;
        if self.allowed == 0 || self.changes >= SESSIONS_MAX {
            let time = took(now.saturating_sub(self.began));
            return Err(format!("it changed its session {} times in {time}", self.changes));
        }
        self.allowed -= 1;
        Ok(())
    }

    /// Returns names for the files of the session that follows `before`: those of its recording, if
    /// there is one, or else names that no file has. Other files are never replaced, not even those
    /// of this run, because a session that returns may have fewer packets than before.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if files with all possible names exist.
    pub(super) fn next(
        &mut self,
        args: &FetchArgs,
        before: Option<SessionId>,
        next: SessionId,
    ) -> Result<SessionTurn, Failure> {
        if let Some(before) = before.filter(|before| !self.recorded.contains(before)) {
            self.recorded.push(before);
        }
        let again = self.recorded.contains(&next);
        let has_typed_names = self.recorded.first() == Some(&next);
        if has_typed_names && place(args, None).is_none_or(|tape| is_recording_of(&tape, next)) {
            return Ok(SessionTurn { name: None, again });
        }
        let mut names = (1..=NAMES_MAX).map(|number| SessionName { session: next, number });
        let Some(name) = names.find(|&name| is_free(args, name)) else {
            let typed = args.output.first().map_or(Path::new("-"), |path| path.as_path());
            let path = own(typed, Some(SessionName { session: next, number: 1 }));
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(Failure::Storage { action: "write", path, source });
        };
        Ok(SessionTurn { name: Some(name), again })
    }
}

/// Returns whether no file has one of the names, or the tape file is a recording of this session.
fn is_free(args: &FetchArgs, name: SessionName) -> bool {
    let is_there = |path: &Path| own(path, Some(name)).symlink_metadata().is_ok();
    let tape = place(args, Some(name)).filter(|tape| tape.symlink_metadata().is_ok());
    if let Some(tape) = tape {
        return is_recording_of(&tape, name.session);
    }
    let written = args.output.iter().filter(|path| !args.is_streamed(path));
    !written.chain(&args.report).any(|path| !is_stream(path) && is_there(path))
}

/// Returns whether a tape file has packets of this session, or no packets yet.
fn is_recording_of(path: &Path, session: SessionId) -> bool {
    let Ok(storage) = FileStorage::read(path) else { return false };
    if is_stillborn(&storage).unwrap_or(false) {
        return true;
    }
    let Ok((file, _)) = TapeFile::open(storage, OpenMode::Index) else { return false };
    file.session_id().map_or(file.packets() == 0, |told| told == session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::wire::Messages;

    fn changes(sessions: &mut SessionOutputs, count: u32, now: Duration) -> u32 {
        (0..count).find(|_| sessions.change(now).is_err()).unwrap_or(count)
    }

    #[test]
    fn sessions_change_as_often_as_the_bound_says() {
        let mut sessions = SessionOutputs::new(Duration::ZERO);
        assert_eq!(changes(&mut sessions, BURST + 1, Duration::ZERO), BURST);
        // One more for each interval, and no sooner.
        let soon = INTERVAL - Duration::from_nanos(1);
        let why = sessions.change(soon).unwrap_err();
        assert!(why.contains("12 times in 60 s"), "{why}");
        assert_eq!(changes(&mut sessions, 2, INTERVAL), 1);
        assert_eq!(changes(&mut sessions, 9, 4 * INTERVAL), 3);
        // Unused intervals are not saved up.
        assert_eq!(changes(&mut sessions, 2 * BURST, 1000 * INTERVAL), BURST);
        // A jump of the clock does not overflow.
        assert!(sessions.change(Duration::MAX).is_ok());
    }

    /// Parses `fetch --follow -o x.json` and more flags, with places in a folder.
    fn typed(folder: &Path, more: &[&str]) -> FetchArgs {
        use clap::{Args as _, FromArgMatches};
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let mut line = vec!["fetch".to_owned(), "-f".to_owned(), "-o".to_owned(), path("x.json")];
        line.extend(more.iter().map(|text| match text.starts_with('-') {
            true => (*text).to_owned(),
            false => path(text),
        }));
        let matches = FetchArgs::augment_args(clap::Command::new("fetch")).get_matches_from(line);
        FetchArgs::from_arg_matches(&matches).unwrap()
    }

    fn parts(
        sessions: &mut SessionOutputs,
        args: &FetchArgs,
        ids: &[&[u8; 4]],
    ) -> Vec<(String, bool)> {
        let mut turns = Vec::new();
        for pair in ids.windows(2) {
            let [before, next] = [pair[0], pair[1]].map(|id| SessionId::of(*id));
            let turn = sessions.next(args, Some(before), next).unwrap();
            turns.push((turn.name.map_or(String::new(), SessionName::part), turn.again));
        }
        turns
    }

    #[test]
    fn a_session_gets_names_that_no_file_has() {
        let folder = tempfile::tempdir().unwrap();
        let mut args = typed(folder.path(), &["--report", "r.json"]);
        args.output.push("/dev/null".into());
        let touch = |name: &str| std::fs::write(folder.path().join(name), "precious").unwrap();
        touch("x-BBBB.json");
        touch("r-BBBB-2.json");
        touch("x-CCCC.json.tape");
        let mut sessions = SessionOutputs::new(Duration::ZERO);
        let turns = parts(&mut sessions, &args, &[b"AAAA", b"BBBB", b"CCCC", b"DDDD", b"AAAA"]);
        let names = ["BBBB-3", "CCCC-2", "DDDD", "AAAA"].map(str::to_owned);
        let name = SessionName { session: SessionId::of(*b"AAAA"), number: 1 };
        assert_eq!(own(Path::new("/dev/null"), Some(name)), Path::new("/dev/null"));
        // The recording of the first session was removed, so its output keeps its name.
        assert_eq!(turns, names.into_iter().zip([false, false, false, true]).collect::<Vec<_>>());
    }

    #[test]
    fn a_recorded_session_is_continued() {
        use crate::record::store::{RecordingStore, SyncPolicy};
        use feed::ledger::{Origin, Sink, Source};
        let folder = tempfile::tempdir().unwrap();
        let args = typed(folder.path(), &["--tape", "x.tape"]);
        for (name, session) in [("x.tape", b"AAAA"), ("x-BBBB.tape", b"BBBB")] {
            let (mut store, _) =
                RecordingStore::open(&folder.path().join(name), SyncPolicy::Never).unwrap();
            let (origin, tape) = (
                Origin { line: 0, source: Source::Stream { pass: 1 } },
                feed::tape::in_memory::Tape::classic(),
            );
            let session = SessionId::of(*session);
            let info = feed::wire::Info { session, version: 1, first: 1, last: 14 };
            store.on_session(info, &[], Duration::ZERO);
            store.on_messages(origin, Messages::Packets(tape.frames()), Duration::ZERO);
            store.finish().unwrap();
        }
        std::fs::write(folder.path().join("x-BBBB.json"), "its output").unwrap();
        let mut sessions = SessionOutputs::new(Duration::ZERO);
        let turns = parts(&mut sessions, &args, &[b"AAAA", b"BBBB", b"AAAA", b"BBBB"]);
        let expected = [("BBBB", false), ("", true), ("BBBB", true)];
        assert_eq!(turns, expected.map(|(name, again)| (name.to_owned(), again)));
    }

    #[test]
    fn the_number_of_sessions_is_limited_however_slowly_they_change() {
        let mut sessions = SessionOutputs::new(Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 1..SESSIONS_MAX {
            now += INTERVAL;
            sessions.change(now).unwrap();
        }
        assert!(sessions.change(now + INTERVAL).unwrap_err().contains("1000 times"));
    }
}
