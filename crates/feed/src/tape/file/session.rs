//! Which session a tape file is of, how far that reaches, and which of its blocks count.

use super::block::{IndexEntry, session_payload};
use super::{BlockKind, SessionEnd, TapeFile, TapeFileError};
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::ledger::Origin;
use crate::storage::Storage;
use crate::wire::{Info, SessionId, sequence_of};
use alloc::vec::Vec;

/// What a file knows of its session.
#[derive(Clone, Default, Debug)]
pub(super) struct Told {
    /// Its id. The first one that is told stays.
    pub(super) id: Option<SessionId>,
    /// Its first and last sequence as far as they were told; 0 where they were not.
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) end: SessionEnd,
    /// Blocks that were written before the session was known, and what brought them. Those of an
    /// earlier run have no origin: nothing can tell any more which session they are of.
    untold: Vec<(IndexEntry, Option<Origin>)>,
    /// Places of such blocks that turned out to be of the session, ascending once it is settled.
    vouched: Vec<u64>,
    /// Number of packets in blocks that do not count.
    pub(super) left_out: u64,
}

impl Told {
    /// What the head of a file tells.
    pub(super) fn of_head(session: [u8; 4]) -> Self {
        Self { id: super::block::session_of(session), ..Self::default() }
    }

    /// Whether a block counts that says to be of `session`, as far as is known by now.
    pub(super) fn takes(&mut self, entry: IndexEntry, session: Option<SessionId>) -> bool {
        if session.is_none() {
            self.untold.push((entry, None));
            return true;
        }
        // That a block knows its session tells it, should the block be damaged that told it.
        self.id = self.id.or(session);
        let counts = self.id == session;
        self.left_out += if counts { 0 } else { u64::from(entry.count) };
        counts
    }

    /// Takes in a session block, unless it tells of another session.
    pub(super) fn hear(
        &mut self,
        session: Option<SessionId>,
        (first, last): (Seq, Seq),
        end: SessionEnd,
        vouched: impl Iterator<Item = u64>,
    ) {
        if session.is_some() && self.id.is_some_and(|id| Some(id) != session) {
            return;
        }
        if self.id.is_none() && session.is_some() {
            // What was known until now is of a session that nothing tells.
            (self.last, self.end) = (0, SessionEnd::Open);
        }
        self.id = self.id.or(session);
        let known = self.last;
        self.first = if self.first == 0 { first } else { self.first };
        // A recorder that concludes knows better than what some line described meanwhile.
        self.last = match end {
            SessionEnd::Open => known.max(last.min(MAX_SEQ)),
            SessionEnd::Confirmed | SessionEnd::Inferred => last.min(MAX_SEQ),
        };
        // That a session has ended is not so any more where more of it is told.
        if end != SessionEnd::Open || last > known {
            self.end = end;
        }
        self.vouched.extend(vouched);
    }

    /// Once the session is known, blocks count only if they are known to be of it; returns the
    /// places of those that do not, ascending.
    fn settle(&mut self) -> Vec<u64> {
        if self.id.is_none() {
            return Vec::new();
        }
        self.vouched.sort_unstable();
        let known = |entry: &IndexEntry| self.vouched.binary_search(&entry.offset).is_ok();
        let mut out: Vec<u64> = Vec::new();
        for (entry, _) in self.untold.drain(..).filter(|(entry, _)| !known(entry)) {
            self.left_out += u64::from(entry.count);
            out.push(entry.offset);
        }
        self.vouched.clear();
        out.sort_unstable();
        out
    }

    /// A block was written.
    pub(super) fn wrote(&mut self, entry: IndexEntry, origin: Origin) {
        if self.id.is_none() {
            self.untold.push((entry, Some(origin)));
        }
    }
}

impl<S: Storage> TapeFile<S> {
    /// The session, if an exchange has told it, and how far it reached by then.
    #[must_use]
    pub fn session(&self) -> Option<Info> {
        let Told { id, first, last, .. } = self.told;
        let session = id.filter(|_| first > 0)?;
        Some(Info { session, version: 1, first, last })
    }

    /// The session's id, if that is known: from its head, or because an exchange has told it.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.told.id
    }

    /// The last sequence that the session is known to have, recorded or not; 0 where there is none.
    #[must_use]
    pub fn last_known(&self) -> Seq {
        self.span().map_or(0, SeqRange::last).max(self.told.last)
    }

    /// What is known of where the session ends.
    #[must_use]
    pub fn end(&self) -> SessionEnd {
        // Packets beyond it have come since.
        let beyond = self.span().is_some_and(|span| span.last() > self.told.last);
        if beyond { SessionEnd::Open } else { self.told.end }
    }

    /// The number of packets in it that are of another session, or of one that nothing tells.
    /// They do not count and are not read. An index does not know of them.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.told.left_out
    }

    /// Returns which line brought a packet, and how; `None` if the packet is not there or its block
    /// begins before `from`, an offset in the file, because the lines of an earlier run may have
    /// been others.
    ///
    /// # Errors
    /// What the medium reports, or that the block is damaged.
    pub fn origin_of(
        &mut self,
        seq: Seq,
        from: u64,
    ) -> Result<Option<Origin>, TapeFileError<S::Error>> {
        if let Some(origin) = self.gathering.origin_of(seq) {
            return Ok(Some(origin));
        }
        for entry in self.index.holders(seq).filter(|entry| entry.offset >= from) {
            let (head, frames) = self.load(entry)?;
            if let BlockKind::Packets(origin) = head.kind
                && frames.binary_search_by_key(&seq, sequence_of).is_ok()
            {
                return Ok(Some(origin));
            }
        }
        Ok(None)
    }

    /// Notes what the exchange has said of the session. All that the file has is of this session,
    /// and so is what is added to it later. A file is of one session: what is said of another one
    /// is not noted.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn note_session(&mut self, info: Info, now: u64) -> Result<(), TapeFileError<S::Error>> {
        self.tell(info, &|_| true, now).map(drop)
    }

    /// Notes what the exchange has said of the session, where packets were recorded before it was
    /// known. Only those that `vouched` has brought since the file was opened count from now on;
    /// the sequences of the others, which are missing from now on, are returned.
    ///
    /// # Errors
    /// As [`append`](Self::append); or where a block that does not count any more is damaged.
    pub fn note_session_of(
        &mut self,
        info: Info,
        vouched: &[Origin],
        now: u64,
    ) -> Result<SeqSet, TapeFileError<S::Error>> {
        self.tell(info, &|origin| origin.is_some_and(|it| vouched.contains(&it)), now)
    }

    fn tell(
        &mut self,
        info: Info,
        vouched: &dyn Fn(Option<Origin>) -> bool,
        now: u64,
    ) -> Result<SeqSet, TapeFileError<S::Error>> {
        if self.told.id.is_some_and(|id| id != info.session) {
            return Ok(SeqSet::new());
        }
        let first_told = self.told.id.is_none();
        let mut places = Vec::new();
        let mut ranges = Vec::new();
        if first_told {
            for at in 0..self.told.untold.len() {
                let (entry, origin) = self.told.untold[at];
                if vouched(origin) {
                    places.push(entry.offset);
                } else {
                    let frames = self.load(entry)?.1;
                    ranges.extend(frames.iter().map(|frame| SeqRange::one(sequence_of(frame))));
                }
            }
            let unvouched = self.gathering.give_up(&|origin| vouched(Some(origin)));
            ranges.extend(unvouched.into_iter().map(SeqRange::one));
        }
        let first = info.first.max(FIRST_SEQ);
        self.told.hear(
            Some(info.session),
            (first, info.last),
            SessionEnd::Open,
            places.iter().copied(),
        );
        self.leave_out();
        let (last, payload) = (self.told.last, session_payload(Some(info.session), &places));
        self.write(BlockKind::Session(self.told.end), (first, last, 0), now, &payload)?;
        ranges.sort_unstable_by_key(|range| range.first());
        Ok(ranges.into_iter().collect())
    }

    /// Notes how far the session reaches at the end of a recording, and whether that is its end and
    /// everything was recorded. The next time that more is told or added it is not any more.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn note_end(
        &mut self,
        last: Seq,
        end: SessionEnd,
        now: u64,
    ) -> Result<(), TapeFileError<S::Error>> {
        self.flush()?;
        if last <= self.told.last && (end == SessionEnd::Open || self.told.end == end) {
            return Ok(());
        }
        let first = self.told.first.max(FIRST_SEQ);
        let id = self.told.id;
        self.told.hear(id, (self.told.first, last), end, core::iter::empty());
        let payload = session_payload(id, &[]);
        self.write(BlockKind::Session(end), (first, last, 0), now, &payload)
    }

    /// Forgets the blocks that do not count.
    pub(super) fn leave_out(&mut self) {
        let out = self.told.settle();
        if !out.is_empty() {
            self.index.retain(|entry| out.binary_search(&entry.offset).is_err());
            self.cache.clear();
        }
    }
}
