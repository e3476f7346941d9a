//! Sources of tapes, as an exchange plays them: any packet at any time, from memory, a file or a
//! generator.

use crate::base::rng::mix;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::session::completeness::{Completeness, Facts};
use crate::storage::Storage;
use crate::tape::file::{Layout, TapeFile, TapeFileError};
use crate::tape::in_memory::Tape;
use crate::tape::windows::{Window, Windows};
use crate::wire::{FRAME_LEN, Messages, SessionId};
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

/// Complete tape: every sequence from [`FIRST_SEQ`] to [`last`](Self::last).
///
/// Concept: [tape](crate#tape).
pub trait TapeSource {
    /// Returns the last sequence; 0 if the tape is empty.
    fn last(&self) -> Seq;

    /// Returns the id of the tape's session.
    fn session(&self) -> SessionId;

    /// Returns messages from the beginning of `range`: all of them, or as many as are at hand, at
    /// least one. Returns none if the tape ends before, or can no longer be read.
    fn messages(&mut self, range: SeqRange) -> Messages<'_>;

    /// Returns the number of bytes of each message, if all have the same and none must be looked at
    /// for it; `None` otherwise.
    fn message_len(&self) -> Option<u64> {
        None
    }

    /// Returns the time when a packet was received as the tape was recorded, in nanoseconds since
    /// 1970. It is never earlier than that of the packet before. `None` if unknown.
    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        let _ = seq;
        None
    }

    /// Returns the reason why the tape can no longer be read, if it cannot.
    fn failure(&self) -> Option<&str> {
        None
    }

    /// Makes the packets of a live tape available that are due at `now`.
    fn grow(&mut self, now: Duration) {
        let _ = now;
    }

    /// Returns the time at which the next packet of a live tape becomes available.
    fn grows_at(&self) -> Option<Duration> {
        None
    }

    /// Returns the sequence with which the tape will end.
    fn end(&self) -> Seq {
        self.last()
    }

    /// Returns true if no more packets will become available.
    fn over(&self) -> bool {
        true
    }
}

impl TapeSource for Arc<Tape> {
    fn last(&self) -> Seq {
        Tape::last(self)
    }

    fn session(&self) -> SessionId {
        Tape::session(self)
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        Messages::Packets(self.slice(range))
    }

    fn message_len(&self) -> Option<u64> {
        Some(FRAME_LEN as u64)
    }
}

/// Packets that a file has and lacks of its session.
struct Held {
    /// Highest sequence of the file; 0 without packets.
    last: Seq,
    /// Sequences missing up to the last one that the session is known to have.
    missing: SeqSet,
    /// Number of packets that are in the file more than once.
    repeated: u64,
}

impl Held {
    fn of<S: Storage>(file: &mut TapeFile<S>) -> Result<Self, TapeSourceError<S::Error>> {
        let last = file.span().map_or(0, SeqRange::last);
        let from_first = file.packets() == last && file.is_contiguous();
        // Blocks of a stream and of its resends overlap; only reading them shows what is missing.
        let mut missing = match from_first {
            true => SeqSet::new(),
            false => file.missing().map_err(TapeSourceError::File)?.0,
        };
        // Reading drops damaged blocks, so the last packet may have changed.
        let last = file.span().map_or(0, SeqRange::last);
        let found = last.saturating_sub(missing.count());
        let repeated = file.packets().saturating_sub(found);
        let tail = SeqRange::new(last + 1, file.last_known());
        tail.into_iter().for_each(|tail| missing.insert(tail));
        Ok(Self { last, missing, repeated })
    }
}

/// Tape file, played without loading it into memory.
#[derive(Debug)]
pub struct FileTapeSource<S> {
    file: TapeFile<S>,
    last: Seq,
    /// True if the last packet is known to be the end of the recorded session.
    whole: bool,
    windows: Windows,
    failure: Option<String>,
}

impl<S: Storage> FileTapeSource<S> {
    /// Creates the source of a file that lacks no packet of its session. If the session is known to
    /// end with the file, the file is played as that session. Else the session may have more
    /// packets, and the file is played as a session of its own.
    ///
    /// Checksums of blocks are checked before by [`TapeFile::check`]; without it, a damaged block
    /// is noticed when it is played.
    ///
    /// # Errors
    /// Returns the missing sequences, if there are some, or the error of the file.
    pub fn new(file: TapeFile<S>) -> Result<Self, TapeSourceError<S::Error>> {
        let mut file = file;
        let Held { last, missing, repeated } = Held::of(&mut file)?;
        if repeated > 0 {
            return Err(TapeSourceError::Repeated(repeated));
        }
        let facts = Facts::of_file(file.packets(), missing.count(), Some(file.end()));
        match facts.completeness() {
            Completeness::Incomplete if missing.is_empty() => Err(TapeSourceError::Empty),
            Completeness::Incomplete => Err(TapeSourceError::Gaps(missing)),
            Completeness::Complete => Ok(Self::up_to(file, last, true)),
            Completeness::SoFar => Ok(Self::up_to(file, last, false)),
        }
    }

    /// Creates the source of the packets before the first missing one, as a session of its own, and
    /// returns the missing sequences. If none are missing, the result is that of
    /// [`new`](Self::new).
    ///
    /// # Errors
    /// Returns the missing sequences if no packet is before them, or the error of the file.
    pub fn before_gaps(file: TapeFile<S>) -> Result<(Self, SeqSet), TapeSourceError<S::Error>> {
        let mut file = file;
        let Held { last, missing, .. } = Held::of(&mut file)?;
        let facts = Facts::of_file(file.packets(), missing.count(), Some(file.end()));
        let whole = facts.completeness() == Completeness::Complete;
        let last = missing.ranges().first().map_or(last, |gap| last.min(gap.first() - 1));
        match last {
            0 if missing.is_empty() && !whole => Err(TapeSourceError::Empty),
            0 if !whole => Err(TapeSourceError::Gaps(missing)),
            _ => Ok((Self::up_to(file, last, whole), missing)),
        }
    }

    fn up_to(file: TapeFile<S>, last: Seq, whole: bool) -> Self {
        Self { file, last, whole, windows: Windows::default(), failure: None }
    }

    /// Returns whether the file has order packets, or no messages.
    #[must_use]
    pub fn has_order_packets(&self) -> bool {
        matches!(self.file.layout(), None | Some(Layout::Packets))
    }

    /// Returns true if the file has all packets of its session, whose end is known.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Returns the part of the file with the message of a sequence; `None` if the tape does not
    /// have it, or can no longer be read.
    fn window(&mut self, seq: Seq) -> Option<&mut Window> {
        if !(FIRST_SEQ..=self.last).contains(&seq) || self.failure.is_some() {
            return None;
        }
        match self.windows.with(&self.file, seq, self.last) {
            Ok(window) => window,
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }
}

impl<S: Storage> TapeSource for FileTapeSource<S> {
    fn last(&self) -> Seq {
        self.last
    }

    fn session(&self) -> SessionId {
        let recorded = self.file.session_id();
        let salt = self.file.head().salt;
        match (recorded, self.whole) {
            (Some(id), true) => id,
            // The session is unknown, so its id is derived from the file and stays the same.
            (None, true) => SessionId::from_bits(mix(salt)),
            // The id must differ from that of the whole session, and of a longer part of it.
            (recorded, false) => {
                let names = (0..).map(|more| mix(salt ^ self.last << 20 ^ more));
                let names = names.map(SessionId::from_bits);
                let mut others = names.filter(|name| Some(*name) != recorded);
                others.next().unwrap_or_else(|| SessionId::from_bits(salt))
            }
        }
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        self.window(range.first()).map_or(Messages::NONE, |window| window.messages(range))
    }

    fn message_len(&self) -> Option<u64> {
        self.has_order_packets().then_some(FRAME_LEN as u64)
    }

    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        self.window(seq)?.arrived(seq)
    }

    fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// Reason why a tape file cannot be played.
#[derive(Debug)]
pub enum TapeSourceError<E> {
    /// Packets are missing.
    Gaps(SeqSet),
    /// File without packets, whose session is not known to have none.
    Empty,
    /// Number of packets that are in the file more than once.
    Repeated(u64),
    /// Error of the file.
    File(TapeFileError<E>),
}

impl<E: core::fmt::Display> core::fmt::Display for TapeSourceError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Gaps(missing) => write!(
                f,
                "packets are missing in it: {missing:.8}. Let fetch complete it: \
                 fetch --tape FILE ADDR"
            ),
            Self::Empty => {
                f.write_str("it has no packets, and nothing tells that its session has none")
            }
            Self::Repeated(packets) => write!(f, "{packets} of its packets are in it twice"),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for TapeSourceError<E> {}
