//! Requests that are not answered yet.

use super::requests::Failures;
use crate::base::seq::{Seq, SeqRange};
use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

/// Piece that was requested and is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Last sequence of the piece.
    pub(super) last: Seq,
    /// Index of the server.
    pub(super) server: usize,
    /// Time of the request.
    pub(super) sent: Duration,
    /// Time from which an answer is not expected any more.
    pub(super) deadline: Duration,
    /// Number of earlier requests that each server has not answered.
    pub(super) failures: Failures,
}

/// Pieces in flight, which do not overlap, by first sequence and by deadline.
#[derive(Default, Debug)]
pub(super) struct InFlight {
    pending: BTreeMap<Seq, Pending>,
    deadlines: BTreeSet<(Duration, Seq)>,
}

impl InFlight {
    /// Returns whether no piece is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns the piece that begins with `first`.
    pub(super) fn get(&self, first: Seq) -> Option<&Pending> {
        self.pending.get(&first)
    }

    /// Returns the range of the piece that contains `seq`, or else of the next one above it.
    pub(super) fn at_or_after(&self, seq: Seq) -> Option<SeqRange> {
        let range = |(first, pending): (&Seq, &Pending)| SeqRange::new(*first, pending.last);
        let below = self.pending.range(..=seq).next_back().and_then(range);
        let below = below.filter(|below| below.last() >= seq);
        below.or_else(|| self.pending.range(seq..).next().and_then(range))
    }

    /// Adds a piece that begins with `first`.
    pub(super) fn insert(&mut self, first: Seq, pending: Pending) {
        self.deadlines.insert((pending.deadline, first));
        self.pending.insert(first, pending);
    }

    /// Removes the piece that begins with `first`.
    pub(super) fn remove(&mut self, first: Seq) -> Option<Pending> {
        let pending = self.pending.remove(&first)?;
        self.deadlines.remove(&(pending.deadline, first));
        Some(pending)
    }

    /// Waits no longer than `wait` for the answers of a server whose round-trip time is known now.
    pub(super) fn shorten(&mut self, server: usize, wait: Duration) {
        for (first, pending) in self.pending.iter_mut().filter(|(_, it)| it.server == server) {
            let deadline = pending.deadline.min(pending.sent + wait);
            if self.deadlines.remove(&(pending.deadline, *first)) {
                self.deadlines.insert((deadline, *first));
            }
            pending.deadline = deadline;
        }
    }

    /// Returns the earliest deadline.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Returns the first piece whose deadline is not after `now`, with its first sequence.
    pub(super) fn first_due(&self, now: Duration) -> Option<(Seq, &Pending)> {
        let (_, first) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        self.pending.get(first).map(|pending| (*first, pending))
    }
}
