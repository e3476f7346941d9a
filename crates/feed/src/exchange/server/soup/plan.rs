//! Plan of a connection: what is sent next, with the faults between.

use super::SERVER_HEARTBEAT;
use crate::base::rng;
use crate::base::seq::{Seq, SeqRange};
use crate::base::span::TimeSpan;
use crate::exchange::server::closing::Ending;
use crate::faults::engine::{BLOCK, FaultEngine, RunId};
use crate::faults::scenario::{
    Direction, ExtraPacket, FaultAction, FaultPlace, INSERTED_MAX, WriteSize,
};
use crate::tape::pace::{Pace, StreamClock};
use crate::tape::source::TapeSource;
use crate::wire::soup::{Packet, RejectReason, kind};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Maximum number of actions made ahead of the socket, so that a client that does not read costs
/// bounded memory.
const ACTIONS_MAX: usize = 256;

/// Maximum number of messages that are planned together while faults are possible, or while each
/// has a time of its own.
const PLANNED_MAX: Seq = 4096;

/// Time between the last bytes and a reset, because a reset destroys bytes that have not reached
/// the client.
const RESET_DELAY: Duration = Duration::from_millis(5);

/// Type of inserted packets that no version of the protocol has.
const UNKNOWN_KIND: u8 = b'?';

/// Step of a plan: bytes to send, or something else to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum SendAction {
    /// Packet of at most a few dozen bytes.
    Packet(Vec<u8>),
    /// Packet of a type with random text.
    Filler { kind: u8, len: u16, key: u64 },
    /// Messages, each in a packet of its own.
    Messages(SeqRange),
    /// First bytes of the packet of a message.
    Part { seq: Seq, bytes: u8 },
    /// A time during which no bytes are sent.
    Wait(Duration),
    /// Size of the writes that begin in the next packet, and pause after each of them.
    Write { size: WriteSize, pause: TimeSpan, key: u64 },
    /// Orderly end of the connection: no more bytes follow.
    Finish,
    /// End of the connection by a fault.
    End(Ending),
}

/// Messages of a client that has logged in.
#[derive(Debug)]
pub(super) struct Stream {
    /// Run that decides which messages meet a fault.
    pub(super) run_id: RunId,
    /// Next message that is not in the plan.
    pub(super) next: Seq,
    /// Clock that begins with the first message of the login.
    pub(super) clock: StreamClock,
    /// Time of the login.
    pub(super) began: Duration,
    /// Pace of the stream; unlimited in a live session, which has a pace of its own.
    pub(super) pace: Option<Pace>,
    /// Time without a packet of the client after which the connection ends.
    pub(super) timeout: Duration,
    /// Further messages.
    pub(super) flow: Flow,
    /// Number of a block, and the mask of the sequences in it that faults pick.
    pub(super) mask: Option<(Seq, u64)>,
    /// True once the client was up to date. Before that, a client that catches up is not too slow.
    pub(super) caught_up: bool,
}

/// Further messages of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// Messages follow as they are due.
    Open,
    /// No messages follow, only heartbeats.
    Held,
    /// The plan has the end of the connection.
    Ended,
}

/// Parts of the exchange that a plan is made of.
pub(super) struct PlanContext<'a, P> {
    /// Tape that is played.
    pub(super) tape: &'a mut P,
    /// Faults in force.
    pub(super) faults: &'a mut FaultEngine,
    /// Speed of streams on a tape that is complete.
    pub(super) pace: Pace,
    /// Time of the write.
    pub(super) now: Duration,
}

/// Actions that are not carried out yet.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) actions: VecDeque<SendAction>,
    /// Number of bytes of the first action that are sent already.
    pub(super) offset: usize,
}

/// Effect of faults on a login, besides the actions in the plan.
#[derive(Debug, Default)]
pub(super) struct LoginOutcome {
    /// Reason for a rejection.
    pub(super) reject: Option<RejectReason>,
    /// Distance to the sequence that is accepted, and its side.
    pub(super) shift: Option<(u32, Direction)>,
    /// Number of further acceptances.
    pub(super) copies: u32,
    /// True if the end of the connection is in the plan.
    pub(super) ended: bool,
}

/// Effect of faults on the slot of a message, or of the end of the session.
#[derive(Default)]
struct SlotOutcome {
    login: LoginOutcome,
    /// End of the connection, and the number of bytes of the message that are sent before it.
    end: Option<(Ending, u8)>,
    /// True if the session ends here.
    end_session: bool,
    /// True if no more messages follow.
    hold: bool,
    /// True if the end of the session is not sent.
    dropped: bool,
}

impl Plan {
    /// Adds a packet of a few bytes.
    pub(super) fn push(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        // Only messages can be too long, and these are not added here.
        if packet.encode(&mut bytes).is_ok() {
            self.actions.push_back(SendAction::Packet(bytes));
        }
    }

    /// Drops all actions.
    pub(super) fn clear(&mut self) {
        self.actions.clear();
        self.offset = 0;
    }

    /// Returns the first message in the plan.
    pub(super) fn first_seq(&self) -> Option<Seq> {
        self.actions.iter().find_map(|action| match action {
            SendAction::Messages(range) => Some(range.first()),
            SendAction::Part { seq, .. } => Some(*seq),
            _ => None,
        })
    }

    /// Adds messages. Those that continue the last action extend it.
    fn push_messages(&mut self, range: SeqRange) {
        if let Some(SendAction::Messages(last)) = self.actions.back_mut()
            && last.last() + 1 == range.first()
            && let Some(longer) = SeqRange::new(last.first(), range.last())
        {
            *last = longer;
        } else {
            self.actions.push_back(SendAction::Messages(range));
        }
    }

    /// Adds the end of the connection by a fault.
    fn push_end(&mut self, ending: Ending) {
        if !matches!(ending, Ending::Close | Ending::Silence) {
            self.actions.push_back(SendAction::Wait(RESET_DELAY));
        }
        self.actions.push_back(SendAction::End(ending));
    }

    /// Adds what faults do at a place without messages, and returns their effect on a login.
    pub(super) fn add_faults(
        &mut self,
        faults: &mut FaultEngine,
        run_id: RunId,
        seq: Seq,
    ) -> LoginOutcome {
        let mut outcome = self.apply_faults(faults, run_id, seq);
        if let Some((ending, _)) = outcome.end {
            self.push_end(ending);
            outcome.login.ended = true;
        }
        outcome.login
    }

    /// Applies the faults that pick a sequence: adds the actions before it.
    fn apply_faults(&mut self, faults: &mut FaultEngine, run_id: RunId, seq: Seq) -> SlotOutcome {
        let mut outcome = SlotOutcome::default();
        for index in 0..faults.len() {
            if faults.mask(index, run_id, seq / BLOCK) >> (seq % BLOCK) & 1 == 1
                && let Some((action, key)) = faults.apply(index, run_id, seq)
            {
                self.apply_action(action, key, &mut outcome);
            }
        }
        outcome
    }

    fn apply_action(&mut self, action: FaultAction, key: u64, outcome: &mut SlotOutcome) {
        let word = |index| rng::nth(key, index);
        // Of two faults that end the connection, the first in the scenario decides.
        let mut end = |ending, bytes| outcome.end = outcome.end.or(Some((ending, bytes)));
        match action {
            FaultAction::Delay { time } => {
                self.actions.push_back(SendAction::Wait(time.draw(word(0))));
            }
            FaultAction::Write { size, pause } => {
                self.actions.push_back(SendAction::Write { size, pause, key });
            }
            FaultAction::Insert { packet, bytes } => {
                let len = bytes.draw(word(0)).min(INSERTED_MAX);
                let len = u16::try_from(len).unwrap_or(0);
                self.actions.push_back(inserted(packet, len, word(1)));
            }
            FaultAction::Silence => end(Ending::Silence, 0),
            FaultAction::Close { bytes } => end(Ending::Close, bytes),
            FaultAction::Reset { bytes } => end(Ending::Reset, bytes),
            FaultAction::Restart { down, renew } => end(Ending::Restart { down, renew }, 0),
            FaultAction::Die => end(Ending::Die, 0),
            FaultAction::Drop => outcome.dropped = true,
            FaultAction::Hold => outcome.hold = true,
            FaultAction::EndSession => outcome.end_session = true,
            FaultAction::Reject { reason } => outcome.login.reject = Some(reason),
            FaultAction::Shift { by, direction } => outcome.login.shift = Some((by, direction)),
            FaultAction::Duplicate { copies, .. } => outcome.login.copies += copies,
            // Faults of other protocols do not cover this run.
            FaultAction::Reorder { .. }
            | FaultAction::Corrupt { .. }
            | FaultAction::Garbage { .. }
            | FaultAction::Replace { .. }
            | FaultAction::Truncate { .. }
            | FaultAction::Refuse { .. } => {}
        }
    }

    /// Makes actions up to their maximum number. Returns the number of ends of the session that a
    /// fault has withheld.
    pub(super) fn refill<P: TapeSource>(
        &mut self,
        stream: &mut Stream,
        context: &mut PlanContext<'_, P>,
    ) -> u64 {
        while stream.flow == Flow::Open && self.actions.len() < ACTIONS_MAX {
            if stream.next > context.tape.last() {
                // A tape that fails has no last message that could be trusted.
                return match context.tape.over() && context.tape.failure().is_none() {
                    true => self.add_end(stream, context),
                    false => 0,
                };
            }
            let Some(due) = stream.due(context) else { return 0 };
            match stream.before_faults(context.faults, due) {
                Some(range) => {
                    self.push_messages(range);
                    stream.next = range.last() + 1;
                }
                None => self.add_faulted_message(stream, context.faults),
            }
        }
        0
    }

    /// Adds a message that faults pick.
    fn add_faulted_message(&mut self, stream: &mut Stream, faults: &mut FaultEngine) {
        let seq = stream.next;
        let outcome = self.apply_faults(faults, stream.run_id, seq);
        if let Some((ending, bytes)) = outcome.end {
            if bytes > 0 {
                self.actions.push_back(SendAction::Part { seq, bytes });
            }
            self.push_end(ending);
            stream.flow = Flow::Ended;
        } else if outcome.end_session {
            self.push(&Packet::EndOfSession);
            self.actions.push_back(SendAction::Finish);
            stream.flow = Flow::Ended;
        } else if outcome.hold {
            stream.flow = Flow::Held;
        } else {
            self.actions.push_back(SendAction::Messages(SeqRange::one(seq)));
            stream.next += 1;
        }
    }

    /// Adds the end of the session, and returns how many of them a fault has withheld.
    fn add_end<P: TapeSource>(
        &mut self,
        stream: &mut Stream,
        context: &mut PlanContext<'_, P>,
    ) -> u64 {
        let run_id = RunId { place: FaultPlace::End, ..stream.run_id };
        let outcome = self.apply_faults(context.faults, run_id, 0);
        stream.flow = Flow::Ended;
        if let Some((ending, _)) = outcome.end {
            self.push_end(ending);
        } else if outcome.dropped {
            stream.flow = Flow::Held;
            return 1;
        } else {
            self.push(&Packet::EndOfSession);
            self.actions.push_back(SendAction::Finish);
        }
        0
    }

    /// Drops the plan from its first message on that is not partly sent, because other faults are
    /// in force.
    pub(super) fn replan(&mut self, stream: &mut Stream) {
        let is_message = |action: &SendAction| {
            matches!(action, SendAction::Messages(_) | SendAction::Part { .. })
        };
        stream.mask = None;
        let Some(at) = self.actions.iter().position(is_message) else {
            if stream.flow == Flow::Held {
                stream.flow = Flow::Open;
            }
            return;
        };
        if let Some(seq) = self.first_seq() {
            let is_begun = at == 0 && self.offset > 0;
            self.actions.truncate(at);
            stream.next = seq;
            stream.flow = Flow::Open;
            if is_begun {
                // The rest of a message that is partly sent must follow.
                self.actions.push_back(SendAction::Messages(SeqRange::one(seq)));
                stream.next = seq + 1;
            }
        }
    }
}

/// Returns the action of an inserted packet.
fn inserted(packet: ExtraPacket, len: u16, key: u64) -> SendAction {
    match packet {
        ExtraPacket::Debug => SendAction::Filler { kind: kind::DEBUG, len, key },
        ExtraPacket::Unsequenced => SendAction::Filler { kind: kind::UNSEQUENCED, len, key },
        ExtraPacket::Unknown => SendAction::Filler { kind: UNKNOWN_KIND, len, key },
        ExtraPacket::Heartbeat => SendAction::Filler { kind: kind::SERVER_HEARTBEAT, len: 0, key },
        ExtraPacket::NoLength => SendAction::Packet(alloc::vec![0, 0]),
    }
}

impl Stream {
    /// Returns the next messages that are due, a bounded number of them.
    fn due<P: TapeSource>(&mut self, context: &mut PlanContext<'_, P>) -> Option<SeqRange> {
        let pace = self.pace.unwrap_or(context.pace);
        let elapsed = context.now.saturating_sub(self.began);
        let last = context.tape.last();
        if pace == Pace::Unlimited {
            return SeqRange::new(self.next, last);
        }
        let most = self.next.saturating_add(PLANNED_MAX - 1);
        let limit = self.clock.limit(pace, context.tape, elapsed);
        let range = SeqRange::new(self.next, last.min(most).min(limit))?;
        self.clock.due_of(pace, context.tape, range, elapsed)
    }

    /// Returns the time at which the next message is due that is on the tape already.
    pub(super) fn next_due<P: TapeSource>(
        &self,
        context: &mut PlanContext<'_, P>,
    ) -> Option<Duration> {
        let is_open = self.flow == Flow::Open && self.next <= context.tape.last();
        let pace = self.pace.unwrap_or(context.pace);
        is_open.then(|| {
            let mut clock = self.clock;
            let due = clock.due(pace, context.tape, self.next);
            context.now.max(self.began + due)
        })
    }

    /// Returns the part of `range` before the first message that a fault picks; `None` if that is
    /// the first.
    fn before_faults(&mut self, faults: &FaultEngine, range: SeqRange) -> Option<SeqRange> {
        if faults.is_fault_free(self.run_id) {
            return Some(range);
        }
        let last = range.last().min(range.first().saturating_add(PLANNED_MAX - 1));
        let mut seq = range.first();
        while seq <= last {
            let (block, bit) = (seq / BLOCK, seq % BLOCK);
            let mask = match self.mask {
                Some((cached, mask)) if cached == block => mask,
                _ => faults.any_mask(self.run_id, block),
            };
            self.mask = Some((block, mask));
            let ahead = mask >> bit;
            if ahead == 0 {
                seq += BLOCK - bit;
                continue;
            }
            seq += Seq::from(ahead.trailing_zeros());
            break;
        }
        SeqRange::new(range.first(), last.min(seq - 1))
    }

    /// Returns the time of the next heartbeat after bytes that were sent at `now`.
    pub(super) fn heartbeat_after(now: Duration) -> Duration {
        now + SERVER_HEARTBEAT
    }
}
