//! Session of a tape file: its id, its last known sequence, and the blocks that belong to it.

use super::block::{IndexEntry, session_payload};
use super::{BlockKind, SessionEnd, TapeFile, TapeFileError};
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::ledger::Origin;
use crate::storage::Storage;
use crate::wire::{Info, SessionId};
use alloc::vec::Vec;

/// Knowledge of a file about its session.
#[derive(Clone, Default, Debug)]
pub(super) struct KnownSession {
    /// Id of the session. The first one that is reported stays.
    pub(super) id: Option<SessionId>,
    /// First and last sequence of the session; 0 if not reported.
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) end: SessionEnd,
    /// Blocks that were written before the session was known, each with its origin. Blocks of an
    /// earlier run have none: their session cannot be found out any more.
    undecided: Vec<(IndexEntry, Option<Origin>)>,
    /// Offsets of such blocks that proved to belong to the session, ascending once the session is
    /// known.
    vouched: Vec<u64>,
    /// Number of packets in blocks that do not belong to the session.
    pub(super) left_out: u64,
}

impl KnownSession {
    /// Returns the knowledge that the head of a file gives.
    pub(super) fn of_head(session: Option<SessionId>) -> Self {
        Self { id: session, ..Self::default() }
    }

    /// Returns true if a block of `session` belongs to the file's session, as far as is known.
    pub(super) fn counts(&mut self, entry: IndexEntry, session: Option<SessionId>) -> bool {
        if session.is_none() {
            self.undecided.push((entry, None));
            return true;
        }
        // A block with a session id also reports it, in case the session block is damaged.
        self.id = self.id.or(session);
        let counts = self.id == session;
        self.left_out += if counts { 0 } else { u64::from(entry.count) };
        counts
    }

    /// Reads a session block, unless it describes another session.
    pub(super) fn take_report(
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
            // The knowledge until now belongs to an unknown session.
            (self.last, self.end) = (0, SessionEnd::Open);
        }
        self.id = self.id.or(session);
        let known = self.last;
        self.first = if self.first == 0 { first } else { self.first };
        // The result of a recorder outweighs the description of a line, which may have been wrong.
        self.last = match end {
            SessionEnd::Open => known.max(last.min(MAX_SEQ)),
            SessionEnd::Confirmed | SessionEnd::Inferred => last.min(MAX_SEQ),
        };
        // A session that reports more packets has not ended.
        if end != SessionEnd::Open || last > known {
            self.end = end;
        }
        self.vouched.extend(vouched);
    }

    /// Once the session is known, keeps only blocks that are known to belong to it. Returns the
    /// offsets of the other blocks in ascending order.
    fn settle(&mut self) -> Vec<u64> {
        if self.id.is_none() {
            return Vec::new();
        }
        self.vouched.sort_unstable();
        let known = |entry: &IndexEntry| self.vouched.binary_search(&entry.offset).is_ok();
        let mut out: Vec<u64> = Vec::new();
        for (entry, _) in self.undecided.drain(..).filter(|(entry, _)| !known(entry)) {
            self.left_out += u64::from(entry.count);
            out.push(entry.offset);
        }
        self.vouched.clear();
        out.sort_unstable();
        out
    }

    /// Records that a block was written.
    pub(super) fn wrote(&mut self, entry: IndexEntry, origin: Origin) {
        if self.id.is_none() {
            self.undecided.push((entry, Some(origin)));
        }
    }
}

impl<S: Storage> TapeFile<S> {
    /// Returns the session as an exchange has described it last; `None` if none has.
    #[must_use]
    pub fn session(&self) -> Option<Info> {
        let KnownSession { id, first, last, .. } = self.session;
        let session = id.filter(|_| first > 0)?;
        Some(Info { session, version: 1, first, last })
    }

    /// Returns the session's id, from the file's head or from an exchange; `None` if unknown.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.session.id
    }

    /// Returns the last sequence that the session is known to have, recorded or not; 0 if there is
    /// none.
    #[must_use]
    pub fn last_known(&self) -> Seq {
        self.span().map_or(0, SeqRange::last).max(self.session.last)
    }

    /// Returns the knowledge of the session's end.
    #[must_use]
    pub fn end(&self) -> SessionEnd {
        // Packets beyond the noted end have arrived since.
        let beyond = self.span().is_some_and(|span| span.last() > self.session.last);
        if beyond { SessionEnd::Open } else { self.session.end }
    }

    /// Returns the number of packets in the file that belong to another or to an unknown session.
    /// They are not read, and an index does not list them.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.session.left_out
    }

    /// Returns the origin of a packet; `None` if the packet is not in the file, or its block begins
    /// before the offset `from`, because an earlier run may have had other lines.
    ///
    /// # Errors
    /// Errors of the storage, or a damaged block.
    pub fn origin_of(
        &mut self,
        seq: Seq,
        from: u64,
    ) -> Result<Option<Origin>, TapeFileError<S::Error>> {
        if let Some(origin) = self.gathering.origin_of(seq) {
            return Ok(Some(origin));
        }
        for entry in self.index.holders(seq).filter(|entry| entry.offset >= from) {
            let (head, content) = self.load(entry)?;
            if let BlockKind::Messages(origin, _) = head.kind
                && content.find(seq).is_some()
            {
                return Ok(Some(origin));
            }
        }
        Ok(None)
    }

    /// Stores an exchange's description of the session. All packets of the file belong to this
    /// session, and those that are added later. A file has one session: the description of another
    /// one is ignored.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn note_session(&mut self, info: Info, now: u64) -> Result<(), TapeFileError<S::Error>> {
        self.tell(info, &|_| true, now).map(drop)
    }

    /// Stores an exchange's description of the session after packets were recorded without it. Only
    /// the packets that the origins in `vouched` have delivered since the file was opened are kept.
    /// Returns the sequences of the others, which are missing from now on.
    ///
    /// # Errors
    /// As [`append`](Self::append), or a damaged block among those that are dropped.
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
        if self.session.id.is_some_and(|id| id != info.session) {
            return Ok(SeqSet::new());
        }
        let is_first = self.session.id.is_none();
        let mut places = Vec::new();
        let mut ranges = Vec::new();
        if is_first {
            for at in 0..self.session.undecided.len() {
                let (entry, origin) = self.session.undecided[at];
                if vouched(origin) {
                    places.push(entry.offset);
                } else {
                    ranges.extend(self.load(entry)?.1.messages().ranges());
                }
            }
            let unvouched = self.gathering.give_up(&|origin| vouched(Some(origin)));
            ranges.extend(unvouched);
        }
        let first = info.first.max(FIRST_SEQ);
        self.session.take_report(
            Some(info.session),
            (first, info.last),
            SessionEnd::Open,
            places.iter().copied(),
        );
        self.leave_out();
        let (last, payload) = (self.session.last, session_payload(Some(info.session), &places));
        self.write(BlockKind::Session(self.session.end), (first, last, 0), now, &payload)?;
        ranges.sort_unstable_by_key(|range| range.first());
        Ok(ranges.into_iter().collect())
    }

    /// Stores the last known sequence at the end of a recording, and the knowledge of the session's
    /// end. Packets or descriptions that are added later make the end open again.
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
        if last <= self.session.last && (end == SessionEnd::Open || self.session.end == end) {
            return Ok(());
        }
        let first = self.session.first.max(FIRST_SEQ);
        let id = self.session.id;
        self.session.take_report(id, (self.session.first, last), end, core::iter::empty());
        let payload = session_payload(id, &[]);
        self.write(BlockKind::Session(end), (first, last, 0), now, &payload)
    }

    /// Removes the blocks that do not belong to the session.
    pub(super) fn leave_out(&mut self) {
        let out = self.session.settle();
        if !out.is_empty() {
            self.index.retain(|entry| out.binary_search(&entry.offset).is_err());
            self.cache.clear();
        }
    }
}
