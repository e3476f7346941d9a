//! Detection of faults that can never apply to the tape that is played.

use super::{Fault, FaultAction, FaultPlace, FaultSelector, Scenario};
use crate::base::chance::Chance;
use crate::base::seq::{FIRST_SEQ, MAX_SEQ, Seq, SeqRange, SeqSet};
use crate::wire::{MAX_PACKET_SEQ, Protocol, Protocols};
use core::fmt;

/// Facts about the tape that decide whether a fault can apply.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Played {
    /// Last sequence of the tape, or of the longest one if several follow each other; `None` if it
    /// is unknown or the tape is endless.
    pub last: Option<Seq>,
    /// True if the tape grows while it is played.
    pub live: bool,
    /// Protocols of the listeners.
    pub protocols: Protocols,
    /// Number of lines in MoldUDP64.
    pub lines: u16,
}

/// Reason for which a fault can never apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Impossible {
    /// The tape has no packets.
    Empty,
    /// All sequences of the fault are above this one, the last that can be sent.
    Beyond(Seq),
    /// No sequence of the fault is a multiple of this number.
    NoMultiple(u32),
    /// The chance of the fault is 0.
    NoChance,
    /// Only the last packet is left to the fault, and random loss never drops that one.
    Kept,
    /// No listener speaks a protocol in which the fault can happen: one of these.
    Protocol(Protocols),
    /// The fault needs a live session.
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
            Self::Protocol(protocols) => {
                f.write_str("it needs a ")?;
                for (place, protocol) in protocols.iter().enumerate() {
                    write!(f, "{}{protocol}://", if place == 0 { "" } else { " or " })?;
                }
                f.write_str(
                    " listener; SoupBinTCP never loses, repeats or changes a message: it can lose \
                     connections, logins, heartbeats and ends of sessions; MoldUDP64 has no \
                     connections and no logins",
                )
            }
            Self::NotLive => f.write_str("only a live session has heartbeats"),
            Self::NoLast => f.write_str("a live session does not know which packets are its last"),
        }
    }
}

/// Highest sequence that a call of the original protocol can request, in one byte.
const ORIGINAL_MAX: Seq = 255;

impl Scenario {
    /// Returns why a fault of this scenario can never apply to the tape; `None` if it can.
    #[must_use]
    pub fn impossible(&self, fault: &Fault, played: Played) -> Option<Impossible> {
        if let FaultSelector::Random { chance: Chance::NEVER, .. } = fault.pick {
            return Some(Impossible::NoChance);
        }
        let possible = fault.protocols();
        if !possible.iter().any(|protocol| played.protocols.contains(protocol)) {
            return Some(Impossible::Protocol(possible));
        }
        match fault.place {
            FaultPlace::Connect | FaultPlace::Login | FaultPlace::End => None,
            // Listeners of these protocols send heartbeats whatever the tape is.
            FaultPlace::Heartbeat if played.protocols.contains(Protocol::Soup) => None,
            FaultPlace::Heartbeat if played.protocols.contains(Protocol::Mold) => None,
            FaultPlace::Heartbeat => (!played.live).then_some(Impossible::NotLive),
            FaultPlace::Stream | FaultPlace::Resend => self.no_packet(fault, played),
        }
    }

    /// Returns the faults that name a line in MoldUDP64 which does not exist, each with that line.
    /// Exchanges without such lines have none of these faults.
    pub fn unknown_lines(&self, played: Played) -> impl Iterator<Item = (&Fault, Seq)> {
        let has_lines = played.protocols.contains(Protocol::Mold);
        self.faults.iter().filter_map(move |fault| {
            let highest = fault.lines.as_ref()?.ranges().last()?.last();
            (has_lines && highest > played.lines.into()).then_some((fault, highest))
        })
    }

    /// Returns the faults that can never apply to the tape, each with its index and the reason.
    pub fn all_impossible(
        &self,
        played: Played,
    ) -> impl Iterator<Item = (usize, &Fault, Impossible)> {
        let faults = self.faults.iter().enumerate();
        faults.filter_map(move |(i, fault)| Some((i, fault, self.impossible(fault, played)?)))
    }

    /// Returns why a fault of packets can meet no packet.
    fn no_packet(&self, fault: &Fault, played: Played) -> Option<Impossible> {
        let has_order_packets = played.protocols.contains(Protocol::Betacrew);
        let endless = if has_order_packets { MAX_PACKET_SEQ } else { MAX_SEQ };
        let sent = played.last.unwrap_or(endless);
        let requestable = match played.protocols.contains(Protocol::Mold) {
            true if fault.happens_on(Protocol::Mold) => MAX_SEQ,
            _ if self.extension => MAX_PACKET_SEQ,
            _ => ORIGINAL_MAX,
        };
        let last = if fault.place == FaultPlace::Resend { sent.min(requestable) } else { sent };
        let Some(all) = SeqRange::new(FIRST_SEQ, last) else { return Some(Impossible::Empty) };
        let covered = match (&fault.sequences, fault.last) {
            (None, None) => core::iter::once(all).collect(),
            (None, Some(_)) if played.live => return Some(Impossible::NoLast),
            (sequences, tail) => {
                let listed = sequences.iter().flat_map(SeqSet::ranges);
                let mut set: SeqSet = listed.filter_map(|range| range.intersect(all)).collect();
                let first = sent.saturating_sub(tail.unwrap_or(0).saturating_sub(1).into());
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
            FaultSelector::Every(every) => {
                let n = Seq::from(every.max(1));
                let multiple = |range: &SeqRange| range.last() / n > (range.first() - 1) / n;
                (!covered.ranges().iter().any(multiple)).then_some(Impossible::NoMultiple(every))
            }
            FaultSelector::Random { .. } => {
                let only_last = covered.count() == 1 && covered.contains(sent);
                (spared && only_last && !played.live).then_some(Impossible::Kept)
            }
        }
    }
}
