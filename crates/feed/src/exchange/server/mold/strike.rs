//! Faults on datagrams: which ones strike a datagram, and what it becomes.

use super::DatagramLimits;
use crate::base::rng;
use crate::base::seq::{Seq, SeqRange};
use crate::exchange::server::closing::Ending;
use crate::faults::engine::{BLOCK, FaultEngine, RunId};
use crate::faults::scenario::{CorruptedField, Direction, FaultAction, FaultPlace, WriteSize};
use crate::wire::SessionId;
use crate::wire::mold::{BLOCK_HEADER_BYTES, COUNT_MAX, HEADER_BYTES, PayloadLimit, field};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// Maximum number of datagrams that wait to be sent after others. Further ones are sent at once.
pub(super) const DELAYED_MAX: usize = 4096;

/// Effect of faults on one datagram, or on one answer of a request server.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// True if the datagram is not sent.
    pub(super) dropped: bool,
    /// Time before the datagram.
    pub(super) delay: Option<Duration>,
    /// End of the line, or of the exchange, before the datagram.
    pub(super) ending: Option<Ending>,
    /// True if no more messages follow, only heartbeats.
    pub(super) hold: bool,
    /// True if an end of session is sent before the datagram.
    pub(super) end_session: bool,
    /// Distance to the message with which the line goes on, and its side.
    pub(super) shift: Option<(u32, Direction)>,
    /// Lengths of datagrams of random bytes that are sent before the datagram, with their keys.
    pub(super) garbage: Vec<(u32, u64)>,
    /// Number of datagrams that are sent before this one.
    pub(super) later: u32,
    /// Copies, each with the number of datagrams that are sent before it.
    pub(super) copies: Vec<u32>,
    /// Distance to the messages that an answer has in place of the requested ones.
    pub(super) replace: Option<u32>,
    /// Size limits.
    pub(super) limits: Option<DatagramLimits>,
    /// Changes of the bytes.
    damage: Vec<Damage>,
}

/// Change of a datagram's bytes.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Number of bytes that are sent; all but one if the datagram is not longer.
    Truncate(u32),
    /// One field is changed, by random bits.
    Corrupt(CorruptedField, u64),
}

impl Outcome {
    /// Returns whether the datagram's bytes are changed.
    pub(super) fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    /// Changes the bytes of a datagram.
    pub(super) fn damage(&self, datagram: &mut Vec<u8>) {
        for damage in &self.damage {
            match *damage {
                Damage::Truncate(bytes) => {
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                    datagram.truncate(bytes.min(datagram.len().saturating_sub(1)));
                }
                Damage::Corrupt(field, key) => corrupt(datagram, field, key),
            }
        }
    }

    fn apply(&mut self, action: FaultAction, key: u64, base: DatagramLimits) {
        let word = |index| rng::nth(key, index);
        let mut end = |ending| self.ending = self.ending.or(Some(ending));
        match action {
            FaultAction::Drop => self.dropped = true,
            FaultAction::Duplicate { copies, after, .. } => {
                let drawn = (0..copies).map(|copy| after.draw(word(u64::from(copy))));
                self.copies.extend(drawn);
            }
            FaultAction::Reorder { by } => self.later += by.draw(word(0)),
            FaultAction::Delay { time } => {
                let time = time.draw(word(0));
                self.delay = Some(self.delay.map_or(time, |before| before + time));
            }
            FaultAction::Truncate { bytes } => {
                self.damage.push(Damage::Truncate(bytes.draw(word(0))));
            }
            FaultAction::Corrupt { field } => self.damage.push(Damage::Corrupt(field, word(0))),
            FaultAction::Garbage { bytes } => self.garbage.push((bytes.draw(word(0)), word(1))),
            FaultAction::Hold => self.hold = true,
            FaultAction::EndSession => self.end_session = true,
            FaultAction::Shift { by, direction } => self.shift = Some((by, direction)),
            FaultAction::Replace { by } => self.replace = Some(by),
            FaultAction::Write { size, .. } => self.limits = Some(sized(size, word(0), base)),
            FaultAction::Silence => end(Ending::Silence),
            FaultAction::Restart { down, renew } => end(Ending::Restart { down, renew }),
            FaultAction::Die => end(Ending::Die),
            // Faults of other protocols do not cover this run.
            FaultAction::Close { .. }
            | FaultAction::Reset { .. }
            | FaultAction::Refuse { .. }
            | FaultAction::Insert { .. }
            | FaultAction::Reject { .. } => {}
        }
    }
}

/// Returns the size limits that a fault sets.
fn sized(size: WriteSize, bits: u64, base: DatagramLimits) -> DatagramLimits {
    match size {
        WriteSize::Packets(count) => {
            let messages = u16::try_from(count.draw(bits)).unwrap_or(COUNT_MAX);
            DatagramLimits { payload: PayloadLimit::MAX, messages: messages.clamp(1, COUNT_MAX) }
        }
        WriteSize::Bytes(count) => {
            let bytes = usize::try_from(count.draw(bits)).unwrap_or(usize::MAX);
            let bytes = bytes.clamp(PayloadLimit::MIN.bytes(), PayloadLimit::MAX.bytes());
            let payload = PayloadLimit::new(bytes).unwrap_or(base.payload);
            DatagramLimits { payload, messages: COUNT_MAX }
        }
    }
}

/// Changes one field of a datagram so that it is wrong for certain.
fn corrupt(datagram: &mut [u8], part: CorruptedField, key: u64) {
    let own: Vec<u8> = datagram.to_vec();
    let mut set = |range: core::ops::Range<usize>, bytes: &[u8]| {
        if let Some(place) = datagram.get_mut(range) {
            place.copy_from_slice(bytes);
        }
    };
    match part {
        CorruptedField::Session => {
            let names = (0..).map(|more| SessionId::from_bits(rng::nth(key, more)).padded());
            let mut others = names.filter(|name| own.get(field::SESSION) != Some(&name[..]));
            set(field::SESSION, &others.next().unwrap_or([b'?'; SessionId::LEN]));
        }
        CorruptedField::Sequence => {
            let sequence = match key % 4 {
                0 => 0,
                1 => u64::MAX,
                2 => 1 << 63 | key >> 1,
                _ => 1 << 62 | key >> 2,
            };
            set(field::SEQUENCE, &sequence.to_be_bytes());
        }
        CorruptedField::Count => {
            let count = own.get(field::COUNT).and_then(|count| count.try_into().ok());
            let count = count.map_or(0, u16::from_be_bytes);
            let more = 1 + u16::try_from(key % 1000).unwrap_or(0);
            set(field::COUNT, &count.saturating_add(more).min(COUNT_MAX).to_be_bytes());
        }
        CorruptedField::Length => {
            let start = HEADER_BYTES;
            set(start..start + BLOCK_HEADER_BYTES, &u16::MAX.to_be_bytes());
        }
        CorruptedField::Symbol
        | CorruptedField::Side
        | CorruptedField::Quantity
        | CorruptedField::Price => {}
    }
}

/// Returns random bytes.
pub(super) fn random_bytes(len: u32, key: u64) -> Vec<u8> {
    (0..u64::from(len)).map(|index| rng::nth(key, index).to_le_bytes()[0]).collect()
}

/// Numbers of datagrams that each fault picks, for one block of them.
#[derive(Debug, Default)]
pub(super) struct PickedNumbers {
    /// Run, block and version of the faults that `masks` belong to.
    of: Option<(RunId, u64, u32)>,
    masks: Vec<u64>,
}

impl PickedNumbers {
    /// Returns whether a fault may strike the datagram with this number.
    fn load(&mut self, faults: &FaultEngine, run_id: RunId, number: u64) {
        let of = Some((run_id, number / BLOCK, faults.version()));
        if self.of != of {
            self.of = of;
            self.masks.clear();
            let indexes = 0..faults.len();
            self.masks
                .extend(indexes.map(|index| faults.number_mask(index, run_id, number / BLOCK)));
        }
    }

    /// Applies the faults that strike a datagram with this number, which has or is to have the
    /// messages of `range`. Those that set its size are applied by [`size`](Self::size).
    pub(super) fn strike(
        &mut self,
        faults: &mut FaultEngine,
        run_id: RunId,
        number: u64,
        range: SeqRange,
    ) -> Outcome {
        let strikes = |action: FaultAction| {
            run_id.place != FaultPlace::Stream || !matches!(action, FaultAction::Write { .. })
        };
        self.apply(faults, run_id, (number, range), DatagramLimits::default(), strikes)
    }

    /// Applies the faults that set the size of the datagram with this number, which begins with
    /// `first`.
    pub(super) fn size(
        &mut self,
        faults: &mut FaultEngine,
        run_id: RunId,
        (number, first): (u64, Seq),
        base: DatagramLimits,
    ) -> Option<DatagramLimits> {
        let sizes = |action| matches!(action, FaultAction::Write { .. });
        self.apply(faults, run_id, (number, SeqRange::one(first)), base, sizes).limits
    }

    fn apply(
        &mut self,
        faults: &mut FaultEngine,
        run_id: RunId,
        (number, range): (u64, SeqRange),
        base: DatagramLimits,
        wanted: impl Fn(FaultAction) -> bool,
    ) -> Outcome {
        self.load(faults, run_id, number);
        let mut outcome = Outcome::default();
        for (index, mask) in self.masks.iter().enumerate() {
            if mask >> (number % BLOCK) & 1 == 1
                && faults.action(index).is_some_and(&wanted)
                && faults.reaches(index, range)
                && let Some((action, key)) = faults.apply(index, run_id, range.first())
            {
                outcome.apply(action, key, base);
            }
        }
        outcome
    }
}

/// Datagrams that are sent after others.
#[derive(Debug, Default)]
pub(super) struct DelayedDatagrams {
    /// Datagrams by the number of the one that they follow, and by their own number.
    datagrams: BTreeMap<(u64, u64), Vec<u8>>,
    /// Number of datagrams delayed so far.
    count: u64,
}

impl DelayedDatagrams {
    /// Delays a datagram until the one with the number `after` was sent or dropped. Returns it if
    /// too many wait.
    pub(super) fn push(&mut self, after: u64, datagram: Vec<u8>) -> Option<Vec<u8>> {
        if self.datagrams.len() >= DELAYED_MAX {
            return Some(datagram);
        }
        self.count += 1;
        self.datagrams.insert((after, self.count), datagram);
        None
    }

    /// Removes the next datagram that follows one with a number up to `number`.
    pub(super) fn pop(&mut self, number: u64) -> Option<Vec<u8>> {
        let first = self.datagrams.first_entry()?;
        (first.key().0 <= number).then(|| first.remove())
    }

    /// Forgets all datagrams.
    pub(super) fn clear(&mut self) {
        self.datagrams.clear();
    }
}
