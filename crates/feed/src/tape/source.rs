//! Tapes as an exchange plays them: any packet at any time, wherever the tape lies.

use crate::base::rng::mix;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, SeqSet};
use crate::ledger::Source;
use crate::session::completeness::{Completeness, Facts};
use crate::storage::Storage;
use crate::tape::file::{BlockKind, TapeFile, TapeFileError};
use crate::tape::in_memory::Tape;
use crate::wire::{RawFrame, SessionId, sequence_of};
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// A complete tape: every sequence from [`FIRST_SEQ`] to [`last`](Self::last).
pub trait TapeSource {
    /// Its last sequence; 0 where it is empty.
    fn last(&self) -> Seq;

    /// The session that it is the tape of.
    fn session(&self) -> SessionId;

    /// Packets from the beginning of `range`: all of it, or as many as are at hand, but at least
    /// one. None where the tape has ended before, or can no longer be read.
    fn frames(&mut self, range: SeqRange) -> &[RawFrame];

    /// When a packet was received when the tape was recorded, in nanoseconds since 1970; never
    /// earlier than the one before it. `None` where that is not known.
    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        let _ = seq;
        None
    }

    /// Why the tape can no longer be read, if that has happened.
    fn failure(&self) -> Option<&str> {
        None
    }

    /// Of a live tape: from now on, what is due at `now` is there.
    fn grow(&mut self, now: Duration) {
        let _ = now;
    }

    /// When the next packet of a live tape will be there.
    fn grows_at(&self) -> Option<Duration> {
        None
    }

    /// The sequence that it will end with.
    fn end(&self) -> Seq {
        self.last()
    }

    /// Whether no more packets will come.
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

    fn frames(&mut self, range: SeqRange) -> &[RawFrame] {
        self.slice(range)
    }
}

/// So many packets of a tape file are put in order at once.
const WINDOW: u32 = 4096;
/// So many windows are kept (2 MiB in all): one for each of as many connections that stream.
const WINDOWS: usize = 32;

#[derive(Debug)]
struct Window {
    frames: Vec<RawFrame>,
    /// From which sequence on packets had arrived when, both ascending.
    arrived: Vec<(Seq, u64)>,
}

/// What a file has and lacks of its session.
struct Held {
    /// The highest sequence in it; 0 where it has no packet.
    last: Seq,
    /// What is missing up to the last sequence that its session is known to have.
    missing: SeqSet,
    /// Number of packets that are there once more.
    repeated: u64,
}

impl Held {
    fn of<S: Storage>(file: &mut TapeFile<S>) -> Result<Self, TapeSourceError<S::Error>> {
        let last = file.span().map_or(0, SeqRange::last);
        let from_first = file.packets() == u64::from(last) && file.is_contiguous();
        // Blocks of a stream and of its resends overlap: then all of them are read.
        let mut missing = match from_first {
            true => SeqSet::new(),
            false => file.missing().map_err(TapeSourceError::File)?.0,
        };
        // Where damaged blocks were forgotten the last packet may be another one now.
        let last = file.span().map_or(0, SeqRange::last);
        let found = u64::from(last).saturating_sub(missing.count());
        let repeated = file.packets().saturating_sub(found);
        let tail = SeqRange::new(last + 1, file.last_known());
        tail.into_iter().for_each(|tail| missing.insert(tail));
        Ok(Self { last, missing, repeated })
    }
}

/// A tape file, played without loading it.
#[derive(Debug)]
pub struct FileTapeSource<S> {
    file: TapeFile<S>,
    last: Seq,
    /// Whether that is known to be the end of the session that was recorded.
    whole: bool,
    /// The windows read last, the latest first: which one, and its packets.
    windows: VecDeque<(u32, Window)>,
    failure: Option<String>,
}

impl<S: Storage> FileTapeSource<S> {
    /// Plays a file, if nothing is missing in it, not even of what it knows its session to have.
    /// Where the session is known to end with it, that is the session it plays; otherwise there may
    /// be more of that one, and it is a session of its own.
    ///
    /// That blocks match their checksums is for [`TapeFile::check`] to find out before; a damaged
    /// one is otherwise noticed when it is to be played.
    ///
    /// # Errors
    /// What is missing, where something is; or what is wrong with the file.
    pub fn new(file: TapeFile<S>) -> Result<Self, TapeSourceError<S::Error>> {
        let mut file = file;
        let Held { last, missing, repeated } = Held::of(&mut file)?;
        if repeated > 0 {
            return Err(TapeSourceError::Repeated(repeated));
        }
        let facts = Facts::of_file(file.packets(), missing.count(), Some(file.end()), false);
        match facts.completeness() {
            Completeness::Incomplete if missing.is_empty() => Err(TapeSourceError::Empty),
            Completeness::Incomplete => Err(TapeSourceError::Gaps(missing)),
            Completeness::Complete => Ok(Self::up_to(file, last, true)),
            Completeness::SoFar => Ok(Self::up_to(file, last, false)),
        }
    }

    /// Plays the packets of a file before the first missing one, as a session of its own, and
    /// returns what is missing; plays all of them where none is, as [`new`](Self::new) does.
    ///
    /// # Errors
    /// What is missing, where no packet is before it; or what is wrong with the file.
    pub fn before_gaps(file: TapeFile<S>) -> Result<(Self, SeqSet), TapeSourceError<S::Error>> {
        let mut file = file;
        let Held { last, missing, .. } = Held::of(&mut file)?;
        let facts = Facts::of_file(file.packets(), missing.count(), Some(file.end()), false);
        let whole = facts.completeness() == Completeness::Complete;
        let last = missing.ranges().first().map_or(last, |gap| last.min(gap.first() - 1));
        match last {
            0 if missing.is_empty() && !whole => Err(TapeSourceError::Empty),
            0 if !whole => Err(TapeSourceError::Gaps(missing)),
            _ => Ok((Self::up_to(file, last, whole), missing)),
        }
    }

    fn up_to(file: TapeFile<S>, last: Seq, whole: bool) -> Self {
        Self { file, last, whole, windows: VecDeque::new(), failure: None }
    }

    /// Whether it has all of its session, which ends with it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    fn read(&mut self, window: u32) -> Result<Window, TapeFileError<S::Error>> {
        let first = FIRST_SEQ + window * WINDOW;
        let end = (first + WINDOW).min(self.last + 1);
        let mut frames = Vec::with_capacity(WINDOW as usize);
        let mut arrived: Vec<(Seq, u64)> = Vec::new();
        let mut latest = 0;
        let mut reading = self.file.in_order(first);
        while let Some(piece) = reading.next()? {
            let fits = piece.frames.partition_point(|frame| sequence_of(frame) < end);
            frames.extend_from_slice(&piece.frames[..fits]);
            // What was lost and came later does not hold back what came in time.
            let streamed =
                matches!(piece.block.kind, BlockKind::Packets(o) if o.source != Source::Resend);
            if let Some(frame) =
                piece.frames.first().filter(|_| streamed && piece.block.arrived > latest)
            {
                latest = piece.block.arrived;
                arrived.push((sequence_of(frame), latest));
            }
            if fits < piece.frames.len() {
                break;
            }
        }
        Ok(Window { frames, arrived })
    }

    /// Puts a window at the front.
    fn fetch(&mut self, window: u32) -> Result<(), String> {
        if let Some(at) = self.windows.iter().position(|(held, _)| *held == window) {
            if let Some(found) = self.windows.remove(at) {
                self.windows.push_front(found);
            }
            return Ok(());
        }
        let read = self.read(window).map_err(|error| error.to_string())?;
        let first = FIRST_SEQ + window * WINDOW;
        if !(first..).zip(&read.frames).all(|(seq, frame)| sequence_of(frame) == seq) {
            return Err("packets are missing in it that its index has".to_string());
        }
        self.windows.truncate(WINDOWS - 1);
        self.windows.push_front((window, read));
        Ok(())
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
            // Nobody has named it: a name that stays with the file.
            (None, true) => SessionId::from_bits(mix(salt)),
            // Nor may it have the name of what it is a part of, or of a longer part.
            (recorded, false) => {
                let names = (0..).map(|more| mix(salt ^ u64::from(self.last) << 20 ^ more));
                let names = names.map(SessionId::from_bits);
                let mut others = names.filter(|name| Some(*name) != recorded);
                others.next().unwrap_or_else(|| SessionId::from_bits(salt))
            }
        }
    }

    fn frames(&mut self, range: SeqRange) -> &[RawFrame] {
        if range.first() > self.last || range.first() < FIRST_SEQ || self.failure.is_some() {
            return &[];
        }
        let offset = range.first() - FIRST_SEQ;
        if let Err(failure) = self.fetch(offset / WINDOW) {
            self.failure = Some(failure);
            return &[];
        }
        let start = (offset % WINDOW) as usize;
        self.windows.front().map_or(&[], |(_, Window { frames, .. })| {
            let end = (start + range.len() as usize).min(frames.len());
            &frames[start.min(end)..end]
        })
    }

    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        if !(FIRST_SEQ..=self.last).contains(&seq) || self.failure.is_some() {
            return None;
        }
        if let Err(failure) = self.fetch((seq - FIRST_SEQ) / WINDOW) {
            self.failure = Some(failure);
            return None;
        }
        let (_, Window { arrived, .. }) = self.windows.front()?;
        let before = arrived.partition_point(|(first, _)| *first <= seq);
        arrived.get(before.saturating_sub(1)).map(|(_, time)| *time)
    }

    fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// Why a tape file cannot be played.
#[derive(Debug)]
pub enum TapeSourceError<E> {
    /// Packets are missing.
    Gaps(SeqSet),
    /// It has no packets, and its session is not known to have none.
    Empty,
    /// So many packets are in it more than once.
    Repeated(u64),
    /// The file cannot be read.
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
