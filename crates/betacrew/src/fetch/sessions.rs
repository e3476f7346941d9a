//! Sessions that follow one another in one run of `fetch --follow`: what the files of each are
//! called, and how many there may be.

use super::Args;
use super::recording::{own, place};
use crate::failure::Failure;
use crate::file::FileStorage;
use crate::pieces::session_name;
use crate::words::took;
use feed::tape_file::{TapeFile, is_stillborn};
use feed::wire::SessionId;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Number of sessions that may follow one another as fast as they like.
pub(super) const BURST: u32 = 10;
/// Time after which one more may follow.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of sessions that one run records: each has files of its own.
pub(super) const SESSIONS_MAX: usize = 1000;
/// Maximum number of names tried for a session's files, should others have them.
const NAMES_MAX: u32 = 1000;

/// The name of a session that came after the run's first one, in the names of its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name {
    pub(super) session: SessionId,
    /// Number of the name, where files of others have the ones before it.
    number: u32,
}

impl Name {
    /// What is appended to the names that were typed.
    pub(super) fn part(self) -> String {
        match self.number {
            1 => session_name(self.session),
            number => format!("{}-{number}", session_name(self.session)),
        }
    }
}

/// A session that is to be recorded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Turn {
    /// `None` for the session whose files have the names that were typed.
    pub(super) name: Option<Name>,
    /// Whether this run has recorded it before.
    pub(super) again: bool,
}

/// The sessions of one run.
#[derive(Debug)]
pub(super) struct Sessions {
    /// The one that has the names that were typed, once it is known.
    first: Option<SessionId>,
    named: Vec<Name>,
    /// Number of sessions that may follow at once, when that was counted, and when the last one
    /// did.
    allowed: u32,
    counted: Duration,
    changes: usize,
    began: Duration,
}

impl Sessions {
    /// No session has followed another yet. `now` is any clock that only goes forward.
    pub(super) fn new(now: Duration) -> Self {
        let named = Vec::new();
        Self { first: None, named, allowed: BURST, counted: now, changes: 0, began: now }
    }

    /// Counts a change of sessions. Where there have been too many it says how many, and how fast.
    pub(super) fn change(&mut self, now: Duration) -> Result<(), String> {
        let intervals = (now.saturating_sub(self.counted)).as_nanos() / INTERVAL.as_nanos();
        let intervals = u32::try_from(intervals).unwrap_or(BURST);
        self.allowed = self.allowed.saturating_add(intervals);
        self.counted += INTERVAL * intervals;
        if self.allowed >= BURST {
            // Nothing is saved up for later.
            (self.allowed, self.counted) = (BURST, now);
        }
        self.changes += 1;
        if self.allowed == 0 || self.changes >= SESSIONS_MAX {
            let time = took(now.saturating_sub(self.began));
            return Err(format!("it has changed its session {} times in {time}", self.changes));
        }
        self.allowed -= 1;
        Ok(())
    }

    /// Finds names for the files of the session that comes after `before`.
    ///
    /// # Errors
    /// [`Failure::Storage`] where others have all of them.
    pub(super) fn next(
        &mut self,
        args: &Args,
        before: Option<SessionId>,
        next: SessionId,
    ) -> Result<Turn, Failure> {
        self.first = self.first.or(before);
        if self.first == Some(next) {
            return Ok(Turn { name: None, again: true });
        }
        if let Some(&name) = self.named.iter().find(|name| name.session == next) {
            return Ok(Turn { name: Some(name), again: true });
        }
        let names = (1..=NAMES_MAX).map(|number| Name { session: next, number });
        let Some(name) = names.into_iter().find(|&name| is_free(args, name)) else {
            let typed = args.output.first().map_or(Path::new("-"), |path| path.as_path());
            let path = own(typed, Some(Name { session: next, number: 1 }));
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(Failure::Storage { action: "write", path, source });
        };
        self.named.push(name);
        Ok(Turn { name: Some(name), again: false })
    }
}

/// Whether no file has one of the names, or they are of a recording of this session.
fn is_free(args: &Args, name: Name) -> bool {
    let is_there = |path: &Path| own(path, Some(name)).symlink_metadata().is_ok();
    let tape = place(args, Some(name)).filter(|tape| tape.symlink_metadata().is_ok());
    if let Some(tape) = tape {
        return is_recording_of(&tape, name.session);
    }
    let written = args.output.iter().filter(|path| !args.is_streamed(path));
    !written.chain(&args.report).any(|path| path != Path::new("-") && is_there(path))
}

/// Whether a tape file has packets of this session, or none yet.
fn is_recording_of(path: &Path, session: SessionId) -> bool {
    let Ok(storage) = FileStorage::read(path) else { return false };
    if is_stillborn(&storage).unwrap_or(false) {
        return true;
    }
    let Ok((file, _)) = TapeFile::open(storage, true) else { return false };
    let told = file.session().map_or(SessionId(file.head().session), |info| info.session);
    told == session || file.packets() == 0 && told == SessionId([0; 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(sessions: &mut Sessions, count: u32, now: Duration) -> u32 {
        (0..count).take_while(|_| sessions.change(now).is_ok()).count() as u32
    }

    #[test]
    fn sessions_change_as_often_as_the_bound_says() {
        let mut sessions = Sessions::new(Duration::ZERO);
        assert_eq!(changes(&mut sessions, BURST + 1, Duration::ZERO), BURST);
        // One more for each interval, and no sooner.
        let soon = INTERVAL - Duration::from_nanos(1);
        let why = sessions.change(soon).unwrap_err();
        assert!(why.contains("12 times in 60 s"), "{why}");
        assert_eq!(changes(&mut sessions, 2, INTERVAL), 1);
        assert_eq!(changes(&mut sessions, 9, 4 * INTERVAL), 3);
        // What was not used is not saved up.
        assert_eq!(changes(&mut sessions, 2 * BURST, 1000 * INTERVAL), BURST);
        // However far time jumps.
        assert!(sessions.change(Duration::MAX).is_ok());
    }

    #[test]
    fn there_is_an_end_however_slowly_sessions_change() {
        let mut sessions = Sessions::new(Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 1..SESSIONS_MAX {
            now += INTERVAL;
            sessions.change(now).unwrap();
        }
        assert!(sessions.change(now + INTERVAL).unwrap_err().contains("1000 times"));
    }
}
