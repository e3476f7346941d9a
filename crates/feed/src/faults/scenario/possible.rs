//! Whether a fault can happen at all to what is played.

use super::{Fault, FaultAction, FaultPlace, FaultSelector, Scenario};
use crate::base::chance::Chance;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use core::fmt;

/// What is played, as far as it decides whether a fault can happen.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Played {
    /// Last sequence of the tape, the longest one if several follow each other; `None` where it is
    /// not known or there is none.
    pub last: Option<Seq>,
    /// Packets come into being while it is played.
    pub live: bool,
}

/// Why a fault can never happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Impossible {
    /// The tape has no packets.
    Empty,
    /// All its sequences are above this one, the last that can be sent.
    Beyond(Seq),
    /// No sequence that it covers is a multiple of this number.
    NoMultiple(u32),
    /// Its chance is 0.
    NoChance,
    /// Only the last packet is left to it, which is never lost at random.
    Kept,
    /// It needs a live session.
    NotLive,
    /// A live session does not know its last packets.
    NoLast,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no packets"),
            Self::Beyond(last) => write!(f, "no packet above {last} is sent there"),
            Self::NoMultiple(n) => write!(f, "no packet's sequence is a multiple of {n}"),
            Self::NoChance => f.write_str("its chance is 0"),
            Self::Kept => f.write_str("the last packet is kept, and there is no other"),
            Self::NotLive => f.write_str("only a live session has heartbeats"),
            Self::NoLast => f.write_str("a live session does not know which packets are its last"),
        }
    }
}

/// The highest sequence that a call of the original protocol can ask for.
const ONE_BYTE: Seq = 255;

impl Scenario {
    /// Why a fault of this scenario can never happen to what is played; `None` where it can.
    #[must_use]
    pub fn impossible(&self, fault: &Fault, played: Played) -> Option<Impossible> {
        if let FaultSelector::Random { chance: Chance::NEVER, .. } = fault.pick {
            return Some(Impossible::NoChance);
        }
        match fault.place {
            FaultPlace::Connect | FaultPlace::End => None,
            FaultPlace::Heartbeat => (!played.live).then_some(Impossible::NotLive),
            FaultPlace::Stream | FaultPlace::Resend => self.no_packet(fault, played),
        }
    }

    /// The faults that can never happen to what is played, by their number, and why.
    pub fn all_impossible(
        &self,
        played: Played,
    ) -> impl Iterator<Item = (usize, &Fault, Impossible)> {
        let faults = self.faults.iter().enumerate();
        faults.filter_map(move |(i, fault)| Some((i, fault, self.impossible(fault, played)?)))
    }

    /// Why no packet can meet a fault of packets.
    fn no_packet(&self, fault: &Fault, played: Played) -> Option<Impossible> {
        let sent = played.last.unwrap_or(MAX_SEQ);
        let asked_for = if self.extension { MAX_SEQ } else { ONE_BYTE };
        let last = if fault.place == FaultPlace::Resend { sent.min(asked_for) } else { sent };
        let Some(all) = SeqRange::new(FIRST_SEQ, last) else { return Some(Impossible::Empty) };
        let covered = match (&fault.sequences, fault.last) {
            (None, None) => core::iter::once(all).collect(),
            (None, Some(_)) if played.live => return Some(Impossible::NoLast),
            (sequences, tail) => {
                let listed = sequences.iter().flat_map(SeqSet::ranges);
                let mut set: SeqSet = listed.filter_map(|range| range.intersect(all)).collect();
                let first = sent.saturating_sub(tail.unwrap_or(0).saturating_sub(1));
                let tail = tail.filter(|&count| count > 0 && !played.live);
                let tail = tail.and_then(|_| SeqRange::new(first.max(FIRST_SEQ), last));
                tail.into_iter().for_each(|range| set.insert(range));
                set
            }
        };
        if covered.is_empty() {
            return Some(Impossible::Beyond(last));
        }
        let spared = self.keep_last
            && fault.action == FaultAction::Drop
            && fault.place == FaultPlace::Stream;
        match fault.pick {
            FaultSelector::All => None,
            FaultSelector::Every(n) => {
                let multiple =
                    |range: &SeqRange| range.last() / n.max(1) > (range.first() - 1) / n.max(1);
                (!covered.ranges().iter().any(multiple)).then_some(Impossible::NoMultiple(n))
            }
            FaultSelector::Random { .. } => {
                let only_last = covered.count() == 1 && covered.contains(sent);
                (spared && only_last && !played.live).then_some(Impossible::Kept)
            }
        }
    }
}
