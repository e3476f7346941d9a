//! A run of packets that something goes wrong with: what is sent in place of each packet.
//!
//! A run goes through its sequences once, in order. Each has a slot, and the faults that strike
//! there decide what comes of it: waits, garbage, the packet itself or something else, copies and
//! packets that were held back until now, or the end of it all.

use crate::base::rng;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange};
use crate::base::span::TimeSpan;
use crate::faults::engine::{BLOCK, FaultEngine, FaultTally, RunId};
use crate::faults::scenario::{CorruptedField, FaultAction, FaultPlace, LATER_MAX, WriteSize};
use crate::wire::{FRAME_LEN, NotAvailable, RawFrame, Reason};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

/// So many items are made at once; bounds what a connection that does not read costs.
const AHEAD: usize = 256;

/// A reset destroys what has not reached the client, so it comes so long after the last bytes.
const SETTLE: Duration = Duration::from_millis(5);

/// What a run sends, or does instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SendAction {
    /// The first `len` bytes of the packet with this sequence.
    Packet { seq: Seq, len: u8 },
    /// That packet with a field changed as these random bits say.
    Changed { seq: Seq, field: CorruptedField, bits: u64 },
    /// Random bytes.
    Garbage { key: u64, len: u8 },
    /// A range that is refused.
    Refusal(NotAvailable),
    /// Nothing, for a while.
    Wait(Duration),
    /// The next write has this size, and then there is a pause.
    Write { size: WriteSize, pause: TimeSpan, key: u64 },
    /// Nothing more.
    End(Ending),
}

/// How a fault ends a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As if there were nothing more to send.
    Close,
    /// With a reset.
    Reset,
    /// Nothing more is sent on it.
    Silence,
    /// With all others, by the exchange going down.
    Restart {
        /// For how long.
        down: Duration,
        /// Whether it plays another tape after that.
        renew: bool,
    },
    /// With all others, by the exchange going down for good.
    Die,
}

impl SendAction {
    /// How many bytes it sends.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Packet { len, .. } | Self::Garbage { len, .. } => len.into(),
            Self::Changed { .. } | Self::Refusal(_) => FRAME_LEN,
            Self::Wait(_) | Self::Write { .. } | Self::End(_) => 0,
        }
    }
}

/// A run with faults.
#[derive(Debug)]
pub(super) struct FaultedRun {
    course: RunId,
    /// The next slot, and the last.
    next: Seq,
    last: Seq,
    /// Which sequences of a block each fault picks.
    masks: (u32, Vec<u64>),
    /// Of which faults the masks are.
    edition: u32,
    /// So many packets more are lost by order.
    losing: u32,
    /// Packets that are sent after the slot with this sequence, in this order.
    late: BTreeMap<(Seq, u64), SendAction>,
    /// How many were late so far.
    held: u64,
    pub(super) items: VecDeque<SendAction>,
    /// What comes after the last slot is in `items`.
    closed: bool,
    /// An end is in `items`.
    ended: bool,
    /// Packets that were not sent since this was asked for last.
    dropped: u64,
    /// Whether refusals can be told.
    extended: bool,
}

impl FaultedRun {
    /// The run of these packets.
    pub(super) fn new(course: RunId, range: Option<SeqRange>, extended: bool) -> Self {
        let (next, last) = range.map_or((FIRST_SEQ, 0), |range| (range.first(), range.last()));
        Self {
            course,
            next,
            last,
            masks: (u32::MAX, Vec::new()),
            edition: 0,
            losing: 0,
            late: BTreeMap::new(),
            held: 0,
            items: VecDeque::new(),
            closed: false,
            ended: false,
            dropped: 0,
            extended,
        }
    }

    /// The next sequence that comes to its turn.
    pub(super) fn next(&self) -> Seq {
        self.next
    }

    /// Whether it is a stream.
    pub(super) fn streams(&self) -> bool {
        self.course.place == FaultPlace::Stream
    }

    /// Whether it goes on for as long as its tape grows.
    pub(super) fn is_open(&self) -> bool {
        self.last == Seq::MAX
    }

    /// It ends with this sequence.
    pub(super) fn ends_with(&mut self, last: Seq) {
        self.last = last;
    }

    /// Leaves out what comes before `to`; what was made already is sent. Returns how many packets
    /// that is.
    pub(super) fn skip_to(&mut self, to: Seq) -> u64 {
        let skipped = to.saturating_sub(self.next);
        self.next += skipped;
        skipped.into()
    }

    /// Ends it after its first item, if `begun`, or before that.
    pub(super) fn cut_off(&mut self, begun: bool) {
        self.items.truncate(begun.into());
        self.late.clear();
        (self.closed, self.ended) = (true, true);
    }

    /// Returns whether a fault ends the connection before another whole packet. No message may be
    /// put before that end, because behind a part of a packet it would be read as the rest of it.
    pub(super) fn ends_next(&self) -> bool {
        let mut items = self.items.iter();
        let next =
            items.find(|item| !matches!(item, SendAction::Wait(_) | SendAction::Write { .. }));
        self.ended
            && match next {
                Some(SendAction::Packet { len, .. }) => usize::from(*len) < FRAME_LEN,
                Some(SendAction::End(_)) | None => true,
                Some(_) => false,
            }
    }

    /// Whether there is nothing to come after its items.
    pub(super) fn spent(&self) -> bool {
        self.closed
    }

    /// Whether it will send no more.
    pub(super) fn done(&self) -> bool {
        self.closed && self.items.is_empty()
    }

    /// Loses the next so many sequences, with copies of them, but not one that is begun.
    pub(super) fn lose(&mut self, count: u32, begun: bool, tally: &mut FaultTally) {
        let seq = |item: &SendAction| match *item {
            SendAction::Packet { seq, .. } | SendAction::Changed { seq, .. } => Some(seq),
            _ => None,
        };
        let spared = self.items.front().filter(|_| begun).and_then(seq);
        let mut lost = Vec::new();
        self.items.retain(|item| {
            let Some(seq) = seq(item).filter(|&seq| Some(seq) != spared) else { return true };
            if !lost.contains(&seq) && lost.len() < count as usize {
                lost.push(seq);
            }
            !lost.contains(&seq)
        });
        self.late.retain(|_, item| seq(item).is_none_or(|seq| !lost.contains(&seq)));
        lost.iter().for_each(|&seq| tally.streamed(seq, 0, 1));
        let done = lost.len() as u64;
        self.dropped += done;
        tally.lost_by_order(done);
        self.losing = self.losing.saturating_add(count - u32::try_from(done).unwrap_or(count));
    }

    /// How many packets it has dropped since this was called last.
    pub(super) fn dropped(&mut self) -> u64 {
        core::mem::take(&mut self.dropped)
    }

    /// Makes items until there are enough, for slots up to `due` of a tape that ends with `end`.
    pub(super) fn refill(&mut self, faults: &mut FaultEngine, due: Seq, end: Seq) {
        while self.items.len() < AHEAD && !self.ended && self.next <= self.last.min(due) {
            self.slot(faults, end);
        }
        if self.items.len() < AHEAD && !self.ended && !self.closed && self.next > self.last {
            self.closed = true;
            // What was to come after packets that never came.
            self.items.extend(core::mem::take(&mut self.late).into_values());
            if self.course.place == FaultPlace::Stream {
                self.course.place = FaultPlace::End;
                self.around(faults);
            }
        }
        self.closed |= self.ended;
    }

    /// What strikes a whole connection as it opens, or a stream after its last packet.
    pub(super) fn around(&mut self, faults: &mut FaultEngine) {
        self.closed = true;
        self.recall(faults, 0);
        for index in 0..faults.len() {
            if self.picks(index, 0)
                && let Some((action, key)) = faults.strike(index, self.course, 0)
            {
                let mut fate = SlotOutcome::default();
                self.decide(action, key, 0, &mut fate);
                if let Some((ending, _)) = fate.end {
                    return self.end(ending);
                }
            }
        }
    }

    /// Has the masks of the block that holds `seq`.
    fn recall(&mut self, faults: &FaultEngine, seq: Seq) {
        let block = seq / BLOCK;
        if self.masks.0 != block || self.edition != faults.edition() || seq == 0 {
            self.edition = faults.edition();
            self.masks.0 = block;
            self.masks.1.clear();
            let masks = (0..faults.len()).map(|index| faults.mask(index, self.course, block));
            self.masks.1.extend(masks);
        }
    }

    fn picks(&self, index: usize, seq: Seq) -> bool {
        self.masks.1.get(index).is_some_and(|mask| mask >> (seq % BLOCK) & 1 == 1)
    }

    /// Makes the items of the next slot.
    fn slot(&mut self, faults: &mut FaultEngine, end: Seq) {
        let seq = self.next;
        self.next += 1;
        if self.losing > 0 {
            self.losing -= 1;
            faults.tally_mut().lost_by_order(1);
            self.drop(seq, faults);
            return self.send_late(seq);
        }
        self.recall(faults, seq);
        let mut fate = SlotOutcome { seq, ..SlotOutcome::default() };
        for index in 0..faults.len() {
            if self.picks(index, seq)
                && !faults.spares(index, seq)
                && let Some((action, key)) = faults.strike(index, self.course, seq)
            {
                self.decide(action, key, end, &mut fate);
            }
        }
        if let Some((ending, bytes)) = fate.end {
            if bytes > 0 {
                self.items.push_back(SendAction::Packet { seq: fate.seq, len: bytes });
            }
            return self.end(ending);
        }
        let item = fate.item();
        match (fate.dropped, fate.refused) {
            (true, _) => self.drop(seq, faults),
            (false, Some(reason)) => self.refuse(seq, reason),
            (false, None) if fate.later > 0 => self.hold(seq, fate.later, item),
            (false, None) => self.items.push_back(item),
        }
        self.send_late(seq);
    }

    /// Sends what was to come after a slot.
    fn send_late(&mut self, seq: Seq) {
        while let Some(first) = self.late.first_entry().filter(|first| first.key().0 <= seq) {
            self.items.push_back(first.remove());
        }
    }

    fn drop(&mut self, seq: Seq, faults: &mut FaultEngine) {
        self.dropped += 1;
        if self.streams() {
            faults.tally_mut().streamed(seq, 0, 1);
        } else {
            faults.tally_mut().resend_dropped();
        }
    }

    /// Does what can be done at once, and notes the rest.
    fn decide(&mut self, action: FaultAction, key: u64, end: Seq, fate: &mut SlotOutcome) {
        let word = |index| rng::nth(key, index);
        match action {
            FaultAction::Drop => fate.dropped = true,
            FaultAction::Duplicate { copies, after, changed } => {
                for copy in 0..copies {
                    let bits = word(u64::from(copy) * 2);
                    let item = match changed {
                        Some(field) => SendAction::Changed { seq: fate.seq, field, bits },
                        None => SendAction::Packet { seq: fate.seq, len: 17 },
                    };
                    self.hold(fate.seq, after.draw(word(u64::from(copy) * 2 + 1)), item);
                }
            }
            FaultAction::Reorder { by } => fate.later = fate.later.max(by.draw(word(0))),
            FaultAction::Delay { time } => {
                self.items.push_back(SendAction::Wait(time.draw(word(0))))
            }
            FaultAction::Silence => fate.end = fate.end.or(Some((Ending::Silence, 0))),
            FaultAction::Write { size, pause } => {
                self.items.push_back(SendAction::Write { size, pause, key })
            }
            FaultAction::Close { bytes } => fate.end = fate.end.or(Some((Ending::Close, bytes))),
            FaultAction::Reset { bytes } => fate.end = fate.end.or(Some((Ending::Reset, bytes))),
            FaultAction::Corrupt { field } => fate.changed = Some((field, word(0))),
            FaultAction::Garbage { bytes } => {
                let len = u8::try_from(bytes.draw(word(0))).unwrap_or(u8::MAX);
                self.items.push_back(SendAction::Garbage { key: word(1), len });
            }
            FaultAction::Replace { by } => {
                let up = fate.seq.checked_add(by).filter(|&up| up <= end);
                let down = fate.seq.saturating_sub(by).max(FIRST_SEQ);
                fate.seq = up.unwrap_or(down);
            }
            FaultAction::Refuse { reason } => fate.refused = Some(reason),
            FaultAction::Restart { down, renew } => {
                fate.end = fate.end.or(Some((Ending::Restart { down, renew }, 0)));
            }
            FaultAction::Die => fate.end = fate.end.or(Some((Ending::Die, 0))),
        }
    }

    /// Sends an item so many slots later, or after the last one.
    fn hold(&mut self, seq: Seq, later: u32, item: SendAction) {
        let after = seq.saturating_add(later.min(LATER_MAX)).min(self.last.max(seq));
        self.held += 1;
        self.late.insert((after, self.held), item);
    }

    /// Refuses a sequence; neighbours that are refused for the same reason are refused together.
    fn refuse(&mut self, seq: Seq, reason: Reason) {
        if !self.extended {
            return self.end(Ending::Close);
        }
        if let Some(SendAction::Refusal(last)) = self.items.back_mut()
            && last.reason == reason
            && last.first + last.count == seq
        {
            last.count += 1;
        } else {
            self.items.push_back(SendAction::Refusal(NotAvailable {
                first: seq,
                count: 1,
                reason,
            }));
        }
    }

    /// Ends the connection after its items.
    pub(super) fn end(&mut self, ending: Ending) {
        if !matches!(ending, Ending::Close | Ending::Silence) {
            self.items.push_back(SendAction::Wait(SETTLE));
        }
        self.items.push_back(SendAction::End(ending));
        self.ended = true;
        self.closed = true;
    }
}

/// What comes of one slot.
#[derive(Default)]
struct SlotOutcome {
    seq: Seq,
    dropped: bool,
    refused: Option<Reason>,
    later: u32,
    changed: Option<(CorruptedField, u64)>,
    end: Option<(Ending, u8)>,
}

impl SlotOutcome {
    fn item(&self) -> SendAction {
        match self.changed {
            Some((field, bits)) => SendAction::Changed { seq: self.seq, field, bits },
            None => SendAction::Packet { seq: self.seq, len: 17 },
        }
    }
}

/// A packet with one field changed, so that it always differs.
pub(super) fn changed(frame: &RawFrame, field: CorruptedField, bits: u64) -> RawFrame {
    let mut frame = *frame;
    let random = bits.to_be_bytes();
    let mut turn = |place: core::ops::Range<usize>| {
        for (byte, random) in frame[place.clone()].iter_mut().zip(random) {
            *byte ^= random;
        }
        // Random bits may all be zero.
        frame[place.start] ^= u8::from(bits >> 32 == 0);
    };
    match field {
        CorruptedField::Quantity => turn(5..9),
        CorruptedField::Price => turn(9..13),
        CorruptedField::Symbol => {
            for (byte, random) in frame[..4].iter_mut().zip(random) {
                // Another letter.
                let letter = b'A' + random % 26;
                *byte = if letter == *byte { b'A' + (random % 26 + 1) % 26 } else { letter };
            }
        }
        CorruptedField::Side => {
            let legal = |byte: u8| byte.is_ascii_alphabetic();
            frame[4] = random.into_iter().find(|byte| !legal(*byte)).unwrap_or(0);
        }
        CorruptedField::Sequence => {
            let sequence: u32 = match random[0] % 4 {
                0 => 0,
                1 => MAX_SEQ,
                _ => u32::from_be_bytes([random[1] | 0x80, random[2], random[3], random[4]]),
            };
            frame[13..].copy_from_slice(&sequence.to_be_bytes());
        }
    }
    frame
}

/// The random bytes of a piece of garbage.
pub(super) fn garbage(key: u64, out: &mut [u8]) {
    for (at, byte) in (0u64..).zip(out) {
        *byte = rng::nth(key, at / 8).to_be_bytes()[(at % 8) as usize];
    }
}
