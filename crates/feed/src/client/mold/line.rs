//! State of a MoldUDP64 line: what its datagrams have shown, and what they have missed.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::ledger::Limits;
use crate::ledger::gap_set::GapSet;
use crate::wire::SessionId;
use crate::wire::mold::Session;
use core::time::Duration;

/// Maximum number of ranges that a line has missed and that may still arrive late.
const MISSED_RANGES_MAX: usize = 1 << 16;

/// Number of consecutive datagrams that must agree before a sequence far ahead is believed.
const FAR_AHEAD_DATAGRAMS: u32 = 3;

/// Settings of a line that speaks MoldUDP64. The driver knows its addresses.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct MoldFeed {
    /// Number of request servers of the line.
    pub servers: u16,
}

/// Counters of a MoldUDP64 line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct MoldStats {
    /// Datagrams of the session on the line's group.
    pub datagrams: u64,
    /// Heartbeats among them.
    pub heartbeats: u64,
    /// Ends of session among them.
    pub ends: u64,
    /// Datagrams whose messages had all arrived before, on this line or another one.
    pub duplicates: u64,
    /// Datagrams that arrived after one with higher sequences, and brought messages that the line
    /// had missed.
    pub reordered: u64,
    /// Datagrams of the line's request servers.
    pub answers: u64,
    /// Requests to the line's servers.
    pub requests: u64,
    /// Smoothed time from a request to its answer.
    pub round_trip: Option<Duration>,
    /// Datagrams that the kernel dropped because the receive buffer was full.
    pub kernel_drops: u64,
    /// Datagrams that were ignored because their session is another one.
    pub other_session: u64,
    /// Datagrams that were ignored because their sender is not the line's.
    pub strangers: u64,
    /// Datagrams that were ignored because they are not as MoldUDP64 demands.
    pub malformed: u64,
}

/// End of session that a line has announced.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndClaim {
    /// Last sequence of the session.
    pub(super) last: Seq,
    /// Time of the first announcement.
    pub(super) since: Duration,
    /// Number of announcements.
    pub(super) count: u32,
}

/// Session that a line plays instead of the recorded one.
#[derive(Clone, Copy, Debug)]
pub(super) struct OtherSession {
    /// Session of the datagrams.
    pub(super) session: SessionId,
    /// Number of datagrams of it since the last one of the recorded session.
    pub(super) count: u32,
}

/// Phase of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) enum MoldPhase {
    /// The group is not joined.
    Idle,
    /// The group is joined.
    Joined {
        /// Time at which a datagram of the session last arrived, or the group was joined.
        heard_at: Duration,
    },
    /// The group is left.
    Left,
}

/// State of a MoldUDP64 line.
#[derive(Debug)]
pub(in crate::client) struct MoldLine {
    pub(super) phase: MoldPhase,
    /// Session exactly as the line's datagrams name it.
    pub(super) session: Option<Session>,
    /// Highest sequence that the line's exchange is known to have sent.
    position: Seq,
    /// Number of the line's stream among all streams.
    pub(super) pass: u32,
    /// First sequence that the line has shown.
    pub(super) first: Option<Seq>,
    /// Ranges that the line has missed and that may still arrive.
    missed: GapSet,
    /// Number of missed messages that are not in `missed` any more.
    missed_before: u64,
    /// Sequence that is too far ahead to be believed, and the number of datagrams that agree on it.
    far_ahead: Option<(Seq, u32)>,
    /// End of session that is not believed yet.
    pub(super) end: Option<EndClaim>,
    /// Session that the line plays instead of the recorded one.
    pub(super) other: Option<OtherSession>,
}

impl MoldLine {
    /// Returns the state of a line whose group is not joined.
    pub(in crate::client) fn new() -> Self {
        Self {
            phase: MoldPhase::Idle,
            session: None,
            position: 0,
            pass: 0,
            first: None,
            missed: GapSet::new(),
            missed_before: 0,
            far_ahead: None,
            end: None,
            other: None,
        }
    }

    /// Returns the time at which the line was last heard, if its group is joined.
    pub(in crate::client) fn heard_at(&self) -> Option<Duration> {
        match self.phase {
            MoldPhase::Joined { heard_at } => Some(heard_at),
            MoldPhase::Idle | MoldPhase::Left => None,
        }
    }

    /// Returns the highest sequence that the line has shown.
    pub(in crate::client) fn position(&self) -> Seq {
        self.position
    }

    /// Returns the number of messages that the line has missed.
    pub(in crate::client) fn missed(&self) -> u64 {
        self.missed_before + self.missed.missing()
    }

    /// Notes that messages have arrived on the line. Returns true if they come late: the line
    /// counted some of them as missed.
    pub(super) fn on_messages(&mut self, range: SeqRange, now: Duration) -> bool {
        let before = self.missed.missing();
        self.missed.fill(range, now, |_, _| {});
        let is_late = self.missed.missing() < before;
        if range.last() > self.position {
            self.on_reached(range.first() - 1, now);
            self.position = range.last();
        }
        is_late
    }

    /// Notes that the line's exchange has sent everything up to `last`.
    pub(super) fn on_reached(&mut self, last: Seq, now: Duration) {
        match self.first {
            // What was sent before the line joined was not missed by it.
            None => self.first = Some(last + 1),
            Some(_) => {
                if let Some(gap) = SeqRange::new(self.position + 1, last) {
                    self.missed.open(gap, now);
                }
            }
        }
        self.position = self.position.max(last);
        while self.missed.len() > MISSED_RANGES_MAX
            && let Some(oldest) = self.missed.at_or_after(FIRST_SEQ)
        {
            self.missed_before += oldest.len();
            self.missed.fill(oldest, now, |_, _| {});
        }
    }

    /// Notes a sequence that is too far above what is known. Returns true once enough datagrams in
    /// a row agree, so that one damaged datagram cannot open a gap of billions.
    pub(super) fn on_far_ahead(&mut self, seq: Seq, limits: &Limits) -> bool {
        let count = match self.far_ahead {
            Some((before, count)) if seq.abs_diff(before) <= limits.max_jump => count + 1,
            _ => 1,
        };
        self.far_ahead = Some((seq, count));
        count >= FAR_AHEAD_DATAGRAMS
    }

    /// Returns whether the latest datagram that was too far ahead had this sequence.
    pub(super) fn was_far_ahead(&self, seq: Seq) -> bool {
        self.far_ahead.is_some_and(|(before, _)| before == seq)
    }

    /// Forgets the sequence that was too far ahead, because a plausible one has arrived. Returns it
    /// with the number of datagrams.
    pub(super) fn on_plausible(&mut self) -> Option<(Seq, u32)> {
        self.far_ahead.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seqs(first: Seq, last: Seq) -> SeqRange {
        SeqRange::new(first, last).unwrap()
    }

    #[test]
    fn a_line_misses_what_does_not_arrive_late_either() {
        let (mut line, now) = (MoldLine::new(), Duration::ZERO);
        assert!(!line.on_messages(seqs(100, 109), now));
        assert_eq!(line.missed(), 0, "the line joined late");
        assert!(!line.on_messages(seqs(120, 129), now));
        assert_eq!(line.missed(), 10);
        assert!(line.on_messages(seqs(110, 114), now), "reordered");
        assert!(!line.on_messages(seqs(110, 114), now), "duplicate");
        assert_eq!(line.missed(), 5);
        line.on_reached(139, now);
        assert_eq!((line.missed(), line.position()), (15, 139));
        // Datagrams before the join are none that the line has missed.
        assert!(!line.on_messages(seqs(1, 9), now));
        assert_eq!(line.missed(), 15);
    }

    #[test]
    fn ranges_are_bounded_and_still_counted() {
        let mut line = MoldLine::new();
        line.on_messages(seqs(1, 1), Duration::ZERO);
        for place in 0..MISSED_RANGES_MAX as u64 + 10 {
            let seq = 3 + 2 * place;
            line.on_messages(seqs(seq, seq), Duration::ZERO);
        }
        assert_eq!(line.missed(), MISSED_RANGES_MAX as u64 + 10);
        assert_eq!(line.missed.len(), MISSED_RANGES_MAX);
    }

    #[test]
    fn a_sequence_far_ahead_is_believed_when_datagrams_agree() {
        let (mut line, limits) = (MoldLine::new(), Limits::default());
        assert!(!line.on_far_ahead(1 << 40, &limits));
        assert!(!line.on_far_ahead(1 << 50, &limits));
        assert!(!line.on_far_ahead((1 << 50) + 3, &limits));
        assert_eq!(line.on_plausible(), Some(((1 << 50) + 3, 2)));
        assert!(!line.on_far_ahead((1 << 50) + 4, &limits));
        assert!(!line.on_far_ahead((1 << 50) + 5, &limits));
        assert!(line.on_far_ahead((1 << 50) + 6, &limits));
    }
}
