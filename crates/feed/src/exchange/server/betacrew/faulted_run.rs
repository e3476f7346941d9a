//! Faulted runs: streams and answers with faults that can do more than drop packets.
//!
//! A run goes through its sequences once, in order. Each sequence has a slot. The faults that apply
//! to the slot decide which actions it produces: waits, garbage, the packet or another one in its
//! place, copies, packets that were delayed to this slot, or the end of the connection.

use crate::base::rng;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::base::span::TimeSpan;
use crate::exchange::server::closing::Ending;
use crate::faults::engine::{BLOCK, FaultEngine, FaultTally, RunId};
use crate::faults::scenario::{CorruptedField, FaultAction, FaultPlace, LATER_MAX, WriteSize};
use crate::wire::{FRAME_LEN, MAX_PACKET_SEQ, NotAvailable, RawFrame, Reason, field_bytes};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

/// Maximum number of actions made ahead of the socket, so that a client that does not read costs
/// bounded memory.
const ACTIONS_MAX: usize = 256;

/// Time between the last bytes and a reset, because a reset destroys bytes that have not reached
/// the client.
const RESET_DELAY: Duration = Duration::from_millis(5);

/// Step of a faulted run: bytes to send, or something else to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SendAction {
    /// First `len` bytes of the packet with sequence `seq`.
    Packet { seq: Seq, len: u8 },
    /// The packet with one field changed by random bits.
    Changed { seq: Seq, field: CorruptedField, bits: u64 },
    /// `len` random bytes.
    Garbage { key: u64, len: u8 },
    /// A refusal of a range.
    Refusal(NotAvailable),
    /// A time during which no bytes are sent.
    Wait(Duration),
    /// Size of the writes that begin in the next packet, and pause after each of them.
    Write { size: WriteSize, pause: TimeSpan, key: u64 },
    /// End of the connection.
    End(Ending),
}

/// State of the first packet or message of a run: some of its bytes may be sent already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PartlySent {
    /// Some of the packet's bytes are sent.
    Yes,
    /// None of the packet's bytes is sent.
    No,
}

impl SendAction {
    /// Returns the number of bytes that the action sends.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Packet { len, .. } | Self::Garbage { len, .. } => len.into(),
            Self::Changed { .. } | Self::Refusal(_) => FRAME_LEN,
            Self::Wait(_) | Self::Write { .. } | Self::End(_) => 0,
        }
    }
}

/// Run of packets with faults. See the [module](self).
#[derive(Debug)]
pub(super) struct FaultedRun {
    run_id: RunId,
    /// Next sequence without a slot.
    next: Seq,
    /// Last sequence of the run; [`Seq::MAX`] if the run goes on as long as its tape grows.
    last: Seq,
    /// Number of a block, and the mask of the sequences in it that each fault picks.
    masks: (u64, Vec<u64>),
    /// Version of the faults that the masks belong to.
    fault_version: u32,
    /// Number of packets still to be dropped by order.
    drops_ordered: u32,
    /// Delayed packets, by the sequence of the slot that they follow and by their number.
    delayed: BTreeMap<(Seq, u64), SendAction>,
    /// Number of packets delayed so far.
    delayed_count: u64,
    /// Actions that are not carried out yet.
    pub(super) actions: VecDeque<SendAction>,
    /// True if `actions` holds everything up to the end of the run.
    complete: bool,
    /// True if `actions` holds the end of the connection.
    ended: bool,
    /// Number of packets dropped since [`take_dropped`](Self::take_dropped) was called last.
    dropped: u64,
    /// True if the client speaks the extension, so that refusals can be sent.
    extended: bool,
}

impl FaultedRun {
    /// Creates the run of the packets of `range`; of none if that is `None`.
    pub(super) fn new(run_id: RunId, range: Option<SeqRange>, extended: bool) -> Self {
        let (next, last) = range.map_or((FIRST_SEQ, 0), |range| (range.first(), range.last()));
        Self {
            run_id,
            next,
            last,
            masks: (u64::MAX, Vec::new()),
            fault_version: 0,
            drops_ordered: 0,
            delayed: BTreeMap::new(),
            delayed_count: 0,
            actions: VecDeque::new(),
            complete: false,
            ended: false,
            dropped: 0,
            extended,
        }
    }

    /// Returns the next sequence without a slot.
    pub(super) fn next(&self) -> Seq {
        self.next
    }

    /// Returns whether the run is a stream and has packets to come.
    pub(super) fn is_stream(&self) -> bool {
        self.run_id.place == FaultPlace::Stream
    }

    /// Returns whether the run goes on as long as its tape grows.
    pub(super) fn is_endless(&self) -> bool {
        self.last == Seq::MAX
    }

    /// Sets the last sequence of the run.
    pub(super) fn set_last(&mut self, last: Seq) {
        self.last = last;
    }

    /// Leaves out the packets before `to` that have no slot yet, and returns their number.
    pub(super) fn skip_to(&mut self, to: Seq) -> u64 {
        let skipped = to.saturating_sub(self.next);
        self.next += skipped;
        skipped
    }

    /// Ends the run after its first action if that is partly sent, or at once.
    pub(super) fn cut_off(&mut self, first: PartlySent) {
        self.actions.truncate((first == PartlySent::Yes).into());
        self.delayed.clear();
        (self.complete, self.ended) = (true, true);
    }

    /// Returns whether a fault ends the connection before another whole packet. No message may be
    /// sent before that end, because a client would read a message behind a part of a packet as the
    /// rest of the packet.
    pub(super) fn ends_next(&self) -> bool {
        let mut actions = self.actions.iter();
        let next = actions
            .find(|action| !matches!(action, SendAction::Wait(_) | SendAction::Write { .. }));
        self.ended
            && match next {
                Some(SendAction::Packet { len, .. }) => usize::from(*len) < FRAME_LEN,
                Some(SendAction::End(_)) | None => true,
                Some(_) => false,
            }
    }

    /// Returns whether no action will be added to those that are there.
    pub(super) fn has_all_actions(&self) -> bool {
        self.complete
    }

    /// Returns whether all of the run is sent.
    pub(super) fn is_done(&self) -> bool {
        self.complete && self.actions.is_empty()
    }

    /// Drops the next `count` packets with all their copies, except a first one that is partly
    /// sent.
    pub(super) fn drop_next(&mut self, count: u32, first: PartlySent, tally: &mut FaultTally) {
        let seq = |action: &SendAction| match *action {
            SendAction::Packet { seq, .. } | SendAction::Changed { seq, .. } => Some(seq),
            _ => None,
        };
        let spared = self.actions.front().filter(|_| first == PartlySent::Yes).and_then(seq);
        let mut dropped = Vec::new();
        self.actions.retain(|action| {
            let Some(seq) = seq(action).filter(|&seq| Some(seq) != spared) else { return true };
            if !dropped.contains(&seq) && dropped.len() < count as usize {
                dropped.push(seq);
            }
            !dropped.contains(&seq)
        });
        self.delayed.retain(|_, action| seq(action).is_none_or(|seq| !dropped.contains(&seq)));
        dropped.iter().for_each(|&seq| tally.count_streamed(seq, 0, 1));
        let done = dropped.len() as u64;
        self.dropped += done;
        tally.count_dropped_by_order(done);
        self.drops_ordered =
            self.drops_ordered.saturating_add(count - u32::try_from(done).unwrap_or(count));
    }

    /// Returns the number of packets dropped since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        core::mem::take(&mut self.dropped)
    }

    /// Makes actions up to their maximum number, for slots up to `due` of a tape that ends with
    /// `end`.
    pub(super) fn refill(&mut self, faults: &mut FaultEngine, due: Seq, end: Seq) {
        while self.actions.len() < ACTIONS_MAX && !self.ended && self.next <= self.last.min(due) {
            self.make_slot(faults, end);
        }
        if self.actions.len() < ACTIONS_MAX
            && !self.ended
            && !self.complete
            && self.next > self.last
        {
            self.complete = true;
            // Packets delayed beyond the last slot follow it.
            self.actions.extend(core::mem::take(&mut self.delayed).into_values());
            if self.run_id.place == FaultPlace::Stream {
                self.run_id.place = FaultPlace::End;
                self.apply_outside_packets(faults);
            }
        }
        self.complete |= self.ended;
    }

    /// Applies the faults that belong to no packet: as a connection opens, or after the last packet
    /// of a stream.
    pub(super) fn apply_outside_packets(&mut self, faults: &mut FaultEngine) {
        self.complete = true;
        self.load_masks(faults, 0);
        for index in 0..faults.len() {
            if self.picks(index, 0)
                && let Some((action, key)) = faults.apply(index, self.run_id, 0)
            {
                let mut outcome = SlotOutcome::default();
                self.apply_action(action, key, 0, &mut outcome);
                if let Some((ending, _)) = outcome.end {
                    return self.end(ending);
                }
            }
        }
    }

    /// Loads the masks of the block that holds `seq`, if they are not loaded.
    fn load_masks(&mut self, faults: &FaultEngine, seq: Seq) {
        let block = seq / BLOCK;
        if self.masks.0 != block || self.fault_version != faults.version() || seq == 0 {
            self.fault_version = faults.version();
            self.masks.0 = block;
            self.masks.1.clear();
            let masks = (0..faults.len()).map(|index| faults.mask(index, self.run_id, block));
            self.masks.1.extend(masks);
        }
    }

    /// Returns whether a fault picks a sequence, by the loaded masks.
    fn picks(&self, index: usize, seq: Seq) -> bool {
        self.masks.1.get(index).is_some_and(|mask| mask >> (seq % BLOCK) & 1 == 1)
    }

    /// Makes the actions of the next slot.
    fn make_slot(&mut self, faults: &mut FaultEngine, end: Seq) {
        let seq = self.next;
        self.next += 1;
        if self.drops_ordered > 0 {
            self.drops_ordered -= 1;
            faults.tally_mut().count_dropped_by_order(1);
            self.drop_packet(seq, faults);
            return self.release_delayed(seq);
        }
        self.load_masks(faults, seq);
        let mut outcome = SlotOutcome { seq, ..SlotOutcome::default() };
        for index in 0..faults.len() {
            if self.picks(index, seq)
                && !faults.is_spared(index, seq)
                && let Some((action, key)) = faults.apply(index, self.run_id, seq)
            {
                self.apply_action(action, key, end, &mut outcome);
            }
        }
        if let Some((ending, bytes)) = outcome.end {
            if bytes > 0 {
                self.actions.push_back(SendAction::Packet { seq: outcome.seq, len: bytes });
            }
            return self.end(ending);
        }
        let action = outcome.action();
        match (outcome.dropped, outcome.refused) {
            (true, _) => self.drop_packet(seq, faults),
            (false, Some(reason)) => self.refuse_sequence(seq, reason),
            (false, None) if outcome.later > 0 => self.delay_packet(seq, outcome.later, action),
            (false, None) => self.actions.push_back(action),
        }
        self.release_delayed(seq);
    }

    /// Moves the packets that were delayed to a slot into the actions.
    fn release_delayed(&mut self, seq: Seq) {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= seq) {
            self.actions.push_back(first.remove());
        }
    }

    /// Counts a packet that is not sent.
    fn drop_packet(&mut self, seq: Seq, faults: &mut FaultEngine) {
        self.dropped += 1;
        if self.is_stream() {
            faults.tally_mut().count_streamed(seq, 0, 1);
        } else {
            faults.tally_mut().count_dropped_resend();
        }
    }

    /// Adds the actions that a fault puts before the packet, and notes its effect on the packet in
    /// `outcome`.
    fn apply_action(&mut self, action: FaultAction, key: u64, end: Seq, outcome: &mut SlotOutcome) {
        let word = |index| rng::nth(key, index);
        match action {
            FaultAction::Drop => outcome.dropped = true,
            FaultAction::Duplicate { copies, after, changed } => {
                for copy in 0..copies {
                    let bits = word(u64::from(copy) * 2);
                    let sent = match changed {
                        Some(field) => SendAction::Changed { seq: outcome.seq, field, bits },
                        None => SendAction::Packet { seq: outcome.seq, len: 17 },
                    };
                    self.delay_packet(outcome.seq, after.draw(word(u64::from(copy) * 2 + 1)), sent);
                }
            }
            FaultAction::Reorder { by } => outcome.later = outcome.later.max(by.draw(word(0))),
            FaultAction::Delay { time } => {
                self.actions.push_back(SendAction::Wait(time.draw(word(0))));
            }
            // Of two faults that end the connection at a packet, the first in the scenario decides.
            FaultAction::Silence => outcome.end = outcome.end.or(Some((Ending::Silence, 0))),
            FaultAction::Write { size, pause } => {
                self.actions.push_back(SendAction::Write { size, pause, key });
            }
            FaultAction::Close { bytes } => {
                outcome.end = outcome.end.or(Some((Ending::Close, bytes)));
            }
            FaultAction::Reset { bytes } => {
                outcome.end = outcome.end.or(Some((Ending::Reset, bytes)));
            }
            FaultAction::Corrupt { field } => outcome.corrupted = Some((field, word(0))),
            FaultAction::Garbage { bytes } => {
                let len = u8::try_from(bytes.draw(word(0))).unwrap_or(u8::MAX);
                self.actions.push_back(SendAction::Garbage { key: word(1), len });
            }
            FaultAction::Replace { by } => {
                let up = outcome.seq.checked_add(by.into()).filter(|&up| up <= end);
                let down = outcome.seq.saturating_sub(by.into()).max(FIRST_SEQ);
                outcome.seq = up.unwrap_or(down);
            }
            FaultAction::Refuse { reason } => outcome.refused = Some(reason),
            FaultAction::Restart { down, renew } => {
                outcome.end = outcome.end.or(Some((Ending::Restart { down, renew }, 0)));
            }
            FaultAction::Die => outcome.end = outcome.end.or(Some((Ending::Die, 0))),
            // Faults of other protocols do not cover this run.
            FaultAction::Insert { .. }
            | FaultAction::Hold
            | FaultAction::EndSession
            | FaultAction::Reject { .. }
            | FaultAction::Shift { .. }
            | FaultAction::Truncate { .. } => {}
        }
    }

    /// Delays an action by `later` slots, at most to the last one.
    fn delay_packet(&mut self, seq: Seq, later: u32, action: SendAction) {
        let after = seq.saturating_add(later.min(LATER_MAX).into()).min(self.last.max(seq));
        self.delayed_count += 1;
        self.delayed.insert((after, self.delayed_count), action);
    }

    /// Refuses a sequence. Neighbours that are refused for the same reason share one refusal.
    fn refuse_sequence(&mut self, seq: Seq, reason: Reason) {
        if !self.extended {
            // A client without the extension understands no refusal.
            return self.end(Ending::Close);
        }
        if let Some(SendAction::Refusal(last)) = self.actions.back_mut()
            && last.reason == reason
            && last.first + last.count == seq
        {
            last.count += 1;
        } else {
            self.actions.push_back(SendAction::Refusal(NotAvailable {
                first: seq,
                count: 1,
                reason,
            }));
        }
    }

    /// Ends the connection after the actions that are there.
    pub(super) fn end(&mut self, ending: Ending) {
        if !matches!(ending, Ending::Close | Ending::Silence) {
            self.actions.push_back(SendAction::Wait(RESET_DELAY));
        }
        self.actions.push_back(SendAction::End(ending));
        self.ended = true;
        self.complete = true;
    }
}

/// Effect of all faults on the packet of one slot.
#[derive(Default)]
struct SlotOutcome {
    /// Sequence of the packet that is sent, which a fault can replace.
    seq: Seq,
    /// True if the packet is dropped.
    dropped: bool,
    /// Reason for which the packet is refused.
    refused: Option<Reason>,
    /// Number of slots by which the packet is delayed.
    later: u32,
    /// Field that is changed, and the random bits that change it.
    corrupted: Option<(CorruptedField, u64)>,
    /// End of the connection, and the number of bytes of the packet that are sent before it.
    end: Option<(Ending, u8)>,
}

impl SlotOutcome {
    /// Returns the action that sends the packet.
    fn action(&self) -> SendAction {
        match self.corrupted {
            Some((field, bits)) => SendAction::Changed { seq: self.seq, field, bits },
            None => SendAction::Packet { seq: self.seq, len: 17 },
        }
    }
}

/// Returns the packet with one field changed. The result always differs from the packet.
pub(super) fn corrupt(frame: &RawFrame, field: CorruptedField, bits: u64) -> RawFrame {
    let mut frame = *frame;
    let random = bits.to_be_bytes();
    let mut flip = |place: core::ops::Range<usize>| {
        for (byte, random) in frame[place.clone()].iter_mut().zip(random) {
            *byte ^= random;
        }
        // Random bits may all be zero and would then change nothing.
        frame[place.start] ^= u8::from(bits >> 32 == 0);
    };
    match field {
        CorruptedField::Quantity => flip(5..9),
        CorruptedField::Price => flip(9..13),
        CorruptedField::Symbol => {
            for (byte, random) in frame[..4].iter_mut().zip(random) {
                // Always another letter than before.
                let letter = b'A' + random % 26;
                *byte = if letter == *byte { b'A' + (random % 26 + 1) % 26 } else { letter };
            }
        }
        CorruptedField::Side => {
            let legal = |byte: u8| byte.is_ascii_alphabetic();
            frame[4] = random.into_iter().find(|byte| !legal(*byte)).unwrap_or(0);
        }
        CorruptedField::Sequence => {
            frame[13..].copy_from_slice(&match random[0] % 4 {
                0 => [0; 4],
                1 => field_bytes(MAX_PACKET_SEQ),
                _ => [random[1] | 0x80, random[2], random[3], random[4]],
            });
        }
        // An order packet does not have these fields.
        CorruptedField::Session | CorruptedField::Count | CorruptedField::Length => {}
    }
    frame
}

/// Fills `out` with random bytes.
pub(super) fn fill_garbage(key: u64, out: &mut [u8]) {
    for (at, byte) in (0u64..).zip(out) {
        *byte = rng::nth(key, at / 8).to_be_bytes()[(at % 8) as usize];
    }
}
