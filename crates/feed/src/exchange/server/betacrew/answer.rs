//! Answers to calls.

use super::{BetacrewConnection, ConnectionRole};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::exchange::server::closing::Ending;
use crate::exchange::server::{MockExchange, ServerEvent};
use crate::faults::scenario::UnknownSequencePolicy;
use crate::tape::source::TapeSource;
use crate::wire::{Call, Frame, Info, MAX_PACKET_SEQ, NotAvailable, Reason, VERSION};
use core::time::Duration;

impl<P: TapeSource> MockExchange<P> {
    /// Returns the description of the session, for a client that speaks `version`.
    fn info(&self, version: u8) -> Frame {
        Frame::Info(Info {
            session: self.tape().session(),
            version: version.min(VERSION),
            first: FIRST_SEQ,
            last: self.tape().last(),
        })
    }

    /// Answers a call: adds what it calls for to the replies of the connection.
    pub(super) fn answer(&mut self, conn: &mut BetacrewConnection, call: Call, now: Duration) {
        match call {
            Call::Stream => {
                let pass = u32::try_from(self.stats.streams).unwrap_or(u32::MAX);
                conn.begin_stream(pass, self.tape().last(), &self.faults, now);
                self.stats.streams += 1;
                let connection = conn.base.index + 1;
                self.report(ServerEvent::Stream { connection, pass: self.stats.streams });
            }
            Call::Resend(seq) => match self.available(seq, 1) {
                Some(range) => {
                    self.stats.resends += 1;
                    self.faults.tally_mut().count_resent(range);
                    conn.role = ConnectionRole::Resend;
                    conn.add_range(range, &self.faults);
                }
                None => self.answer_unknown(conn, seq),
            },
            Call::Describe { version } => conn.add_message(&self.info(version)),
            Call::ResendRange { first, count } => self.resend_range(conn, first, count),
            Call::Subscribe { first } => self.subscribe(conn, first, now),
            Call::Unknown(_) => {}
        }
    }

    /// Answers a subscribe call.
    fn subscribe(&mut self, conn: &mut BetacrewConnection, first: Seq, now: Duration) {
        // A subscription begins at the latest with the next packet, so that it never waits for
        // packets far in the future.
        if !(FIRST_SEQ..=self.tape().last() + 1).contains(&first) {
            return self.refuse(conn, first, 0, Reason::OutOfRange);
        }
        let pass = u32::try_from(self.stats.streams).unwrap_or(u32::MAX);
        conn.subscribe(pass, first, &self.faults, now);
        self.stats.streams += 1;
        let connection = conn.base.index + 1;
        self.report(ServerEvent::Subscribed { connection, pass: self.stats.streams, first });
    }

    /// Answers a resend call of the original protocol for a sequence that does not exist.
    fn answer_unknown(&mut self, conn: &mut BetacrewConnection, seq: Seq) {
        self.count_refusal(conn, seq, Reason::OutOfRange);
        match self.scenario.unknown {
            UnknownSequencePolicy::Close => conn.role = ConnectionRole::Refused,
            UnknownSequencePolicy::Silence => conn.role = ConnectionRole::Resend,
            UnknownSequencePolicy::Reset => conn.add_end(Ending::Reset),
            UnknownSequencePolicy::Die => conn.add_end(Ending::Die),
        }
    }

    /// Answers a resend call of the extension: sends what the tape has, and refuses the rest.
    fn resend_range(&mut self, conn: &mut BetacrewConnection, first: Seq, count: u64) {
        // No tape can have such sequences, so the reason names the call and not the tape.
        if count == 0 || !(FIRST_SEQ..=MAX_PACKET_SEQ).contains(&first) {
            return self.refuse(conn, first, count, Reason::Malformed);
        }
        let given = self.available(first, count).map_or(0, |range| {
            self.faults.tally_mut().count_resent(range);
            conn.add_range(range, &self.faults);
            range.len()
        });
        self.stats.resends += given;
        if given < count {
            self.refuse(conn, first.saturating_add(given), count - given, Reason::OutOfRange);
        }
    }

    /// Returns the part of the `count` sequences from `first` that the tape has; `None` if it does
    /// not have `first`.
    fn available(&self, first: Seq, count: u64) -> Option<SeqRange> {
        SeqRange::counted(first, count)?
            .intersect(SeqRange::new(FIRST_SEQ, self.tape().last())?)
            .filter(|range| range.first() == first)
    }

    /// Refuses sequences with a message of the extension.
    fn refuse(&mut self, conn: &mut BetacrewConnection, first: Seq, count: u64, reason: Reason) {
        self.count_refusal(conn, first, reason);
        let refusal = NotAvailable { first, count, reason };
        conn.add_message(&Frame::NotAvailable(refusal));
    }

    /// Counts and reports a refusal.
    fn count_refusal(&mut self, conn: &BetacrewConnection, seq: Seq, reason: Reason) {
        self.stats.refused += 1;
        self.report(ServerEvent::Refused { connection: conn.base.index + 1, seq, reason });
    }
}
