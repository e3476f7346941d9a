//! Survey of a recording: all counts from one pass over its packets, in constant memory.

mod chart;
pub(crate) mod sequence_order;
mod strip;

pub use crate::analysis::survey::sequence_order::{Disorder, MissingRanges, SequenceOrder};
pub use chart::{BINS as CHART_BINS, ChartBin, Charts, SYMBOLS_MAX as CHARTS_MAX};
pub use strip::{BINS as STRIP_BINS, Strip, StripColumn};

use crate::analysis::book::Books;
use crate::analysis::figures::MarketStats;
use crate::analysis::messages::{MessageMeaning, MessageStats};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::ledger::{Origin, Source};
use crate::payload::itch50;
use crate::wire::{Frame, Messages, Run, decode};
use alloc::vec::Vec;
use core::time::Duration;

/// Maximum number of origins with counts of their own. Packets of further origins are counted
/// together.
pub const ORIGINS_MAX: usize = 256;

/// Packets that one origin was the first to deliver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OriginStats {
    /// Origin of the packets; `None` if unknown.
    pub origin: Option<Origin>,
    /// Number of packets.
    pub packets: u64,
    /// Arrival times of the first and the last of the origin's blocks, in nanoseconds since 1970;
    /// `None` if unknown.
    pub arrived: Option<(u64, u64)>,
}

impl OriginStats {
    fn add(&mut self, packets: u64, at: Option<u64>) {
        self.packets += packets;
        if let Some(at) = at {
            let (first, last) = self.arrived.unwrap_or((at, at));
            self.arrived = Some((first.min(at), last.max(at)));
        }
    }
}

/// Statistics of packets that arrived late: how long they were missing.
///
/// A tape file stores one time for each block, that of its first packet. The time is therefore
/// counted from the block in which the stream went on to the block that filled the gap, and is
/// exact to within the time in which a block is filled.
#[derive(Clone, Debug)]
pub struct RecoveryStats {
    /// Number of packets that arrived by a resend or a later pass.
    pub packets: u64,
    /// Number of gaps of the stream that they filled.
    pub gaps: u64,
    /// Number of late packets whose time is known.
    pub timed: u64,
    /// Number of packets by the logarithm of their time: entry n counts times below 2^n nanoseconds
    /// and at least half of that.
    ages: [u64; 65],
    /// Longest time that a packet was missing.
    pub slowest: Duration,
    /// Arrival times of the stream's first and last block, and the number of other blocks.
    turns: Option<(u64, u64, u64)>,
}

impl RecoveryStats {
    /// Counts a block of the stream.
    fn turn(&mut self, at: u64) {
        let (first, last, more) = self.turns.unwrap_or((at, at, 0));
        let more = more + u64::from(at != last);
        self.turns = Some((first.min(at), last.max(at), more));
    }

    /// Returns the average time between blocks, below which times are not known.
    fn grain(&self) -> Duration {
        let (first, last, more) = self.turns.unwrap_or_default();
        Duration::from_nanos((last - first).checked_div(more).unwrap_or(0))
    }

    fn add(&mut self, packets: u64, age: Option<u64>) {
        self.packets += packets;
        if let Some(age) = age {
            self.timed += packets;
            self.ages[(u64::BITS - age.leading_zeros()) as usize] += packets;
            self.slowest = self.slowest.max(Duration::from_nanos(age));
        }
    }

    /// Returns a time within which half of the timed packets arrived: at most twice the shortest
    /// such time, and at least the average time between blocks.
    #[must_use]
    pub fn half_within(&self) -> Option<Duration> {
        let mut sum = 0;
        let reached = self.ages.iter().position(|count| {
            sum += count;
            sum > 0 && sum * 2 >= self.timed
        })?;
        let power = u32::try_from(reached).unwrap_or(0);
        let bound = Duration::from_nanos(1_u64.checked_shl(power).unwrap_or(u64::MAX));
        Some(bound.max(self.grain()).min(self.slowest))
    }
}

/// Survey of a recording. Packets are passed in the order of their sequences.
#[derive(Clone, Debug)]
pub struct Survey {
    order: SequenceOrder,
    first: Option<Seq>,
    /// Statistics by symbol.
    pub market: MarketStats,
    /// Statistics by origin, in the order of each origin's first packet in the recording.
    pub brought: Vec<OriginStats>,
    /// Number of packets from origins beyond [`ORIGINS_MAX`].
    pub others: u64,
    /// Statistics of all origins together.
    pub all: OriginStats,
    /// Statistics of packets that arrived late.
    pub recovery: RecoveryStats,
    /// Parts of the session with received, recovered and missing packets.
    pub strip: Strip,
    /// Prices and volumes, if requested.
    pub charts: Option<Charts>,
    /// Order books, if requested.
    pub books: Option<Books>,
    /// Meaning of messages that are no order packets; `None` if the first message decides.
    pub meaning: Option<MessageMeaning>,
    /// Statistics of messages that are no order packets; `None` as long as there are none.
    pub messages: Option<MessageStats>,
    /// Order books of ITCH messages, if books are requested and there are such messages.
    pub itch_books: Option<itch50::Books>,
    /// Arrival time of the stream's block that was read last.
    passed: Option<u64>,
    /// Last sequence of the gap that is being filled.
    filling: Seq,
}

impl Default for Survey {
    fn default() -> Self {
        let none = OriginStats { origin: None, packets: 0, arrived: None };
        Self {
            order: SequenceOrder::default(),
            first: None,
            market: MarketStats::default(),
            brought: Vec::new(),
            others: 0,
            all: none,
            recovery: RecoveryStats {
                packets: 0,
                gaps: 0,
                timed: 0,
                ages: [0; 65],
                slowest: Duration::ZERO,
                turns: None,
            },
            strip: Strip::default(),
            charts: None,
            books: None,
            meaning: None,
            messages: None,
            itch_books: None,
            passed: None,
            filling: 0,
        }
    }
}

/// Returns true if packets of this origin arrived by a resend or a later pass.
#[must_use]
pub fn is_late(origin: Origin) -> bool {
    !matches!(origin.source, Source::Stream { pass: 0 | 1 })
}

impl Survey {
    /// Creates a survey that lists up to `listed` gaps.
    #[must_use]
    pub fn listing(listed: usize) -> Self {
        Self { order: SequenceOrder::listing(listed), ..Self::default() }
    }

    /// Takes messages that arrived together. `at` is their arrival in nanoseconds since 1970, if
    /// known.
    ///
    /// # Errors
    /// Returns an error if sequences do not ascend.
    pub fn take(
        &mut self,
        messages: Messages<'_>,
        at: Option<u64>,
        origin: Option<Origin>,
    ) -> Result<(), Disorder> {
        let late = origin.is_some_and(is_late);
        let (first, passed) = (&mut self.first, self.passed);
        let (strip, recovery, filling) = (&mut self.strip, &mut self.recovery, &mut self.filling);
        self.order.take(messages, |run| {
            first.get_or_insert(run.first());
            if late {
                strip.add_recovered(run);
                let age = at.zip(passed).map(|(at, passed)| at.saturating_sub(passed));
                recovery.add(run.len(), age);
                recovery.gaps += u64::from(*filling != run.first());
                *filling = run.last() + 1;
            } else {
                strip.add_received(run);
            }
        })?;
        for frame in messages.packets() {
            if let Ok(Frame::Packet(packet)) = decode(frame) {
                self.market.add(&packet);
                self.charts.iter_mut().for_each(|charts| charts.add(&packet));
                self.books.iter_mut().for_each(|books| {
                    books.add(&packet);
                });
            }
        }
        if let Messages::Run(run) = messages {
            self.add_run(&run);
        }
        if !late {
            self.passed = at;
            at.into_iter().for_each(|at| self.recovery.turn(at));
        }
        let packets = messages.len();
        self.all.add(packets, at);
        let known = self.brought.iter().position(|brought| brought.origin == origin);
        if known.is_none() && self.brought.len() < ORIGINS_MAX {
            self.brought.push(OriginStats { origin, packets: 0, arrived: None });
        }
        let place = known.unwrap_or(self.brought.len() - 1);
        match self.brought.get_mut(place).filter(|brought| brought.origin == origin) {
            Some(brought) => brought.add(packets, at),
            None => self.others += packets,
        }
        Ok(())
    }

    /// Adds messages that are no order packets to their statistics.
    fn add_run(&mut self, run: &Run<'_>) {
        let meaning = self.meaning;
        let stats = self.messages.get_or_insert_with(|| MessageStats::with_meaning(meaning));
        for (_, bytes) in run.iter() {
            let message = stats.add(bytes);
            if let Some(message) = message.filter(|_| self.books.is_some()) {
                // Messages that contradict the books are counted by them.
                let _ = self.itch_books.get_or_insert_default().apply(&message);
            }
        }
    }

    /// Records that the session has packets up to `last`; those that are not in the recording are
    /// missing.
    pub fn reaches(&mut self, last: Seq) {
        self.order.reaches(last);
        self.strip.reaches(last);
    }

    /// Returns the range from the lowest to the highest sequence of the recording.
    #[must_use]
    pub fn span(&self) -> Option<SeqRange> {
        SeqRange::new(self.first?, self.order.highest())
    }

    /// Returns the missing ranges between [`FIRST_SEQ`] and the highest sequence known to exist.
    #[must_use]
    pub fn missing(&self) -> &MissingRanges {
        self.order.missing()
    }

    /// Returns the highest sequence known to exist; 0 if there is none.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.strip.last()
    }

    /// Returns the number of packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.order.packets()
    }
}

const _: () = assert!(FIRST_SEQ == 1, "the strip and the charts count from 1");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::in_memory::Tape;

    const STREAM: Option<Origin> = Some(Origin { line: 0, source: Source::Stream { pass: 1 } });
    const RESEND: Option<Origin> = Some(Origin { line: 0, source: Source::Resend });

    #[test]
    fn what_came_how_and_when() {
        let tape = Tape::random(20, 1);
        let frames = tape.frames();
        let mut survey = Survey::listing(1);
        survey.take(Messages::Packets(&frames[..5]), Some(1000), STREAM).unwrap();
        survey.take(Messages::Packets(&frames[5..7]), Some(1700), RESEND).unwrap();
        survey.take(Messages::Packets(&frames[7..8]), Some(9000), RESEND).unwrap();
        survey.take(Messages::Packets(&frames[9..15]), Some(2000), STREAM).unwrap();
        survey.take(Messages::Packets(&frames[16..18]), Some(1900), RESEND).unwrap();
        survey.reaches(20);
        assert_eq!((survey.packets(), survey.last()), (16, 20));
        assert_eq!(survey.span(), SeqRange::new(1, 18));
        let missing = survey.missing();
        assert_eq!((missing.packets(), missing.gaps()), (4, 3));
        assert_eq!(missing.listed().ranges(), [SeqRange::one(9)]);
        let RecoveryStats { packets, gaps, timed, slowest, .. } = survey.recovery;
        assert_eq!((packets, gaps, timed, slowest.as_nanos()), (5, 2, 5, 8000));
        // Two took 700 ns, one 8,000 ns, and two arrived before their gap was known.
        assert_eq!(survey.recovery.half_within().unwrap().as_nanos(), 1024);
        let brought = [(STREAM, 11, Some((1000, 2000))), (RESEND, 5, Some((1700, 9000)))]
            .map(|(origin, packets, arrived)| OriginStats { origin, packets, arrived });
        assert_eq!(survey.brought, brought);
        assert_eq!(survey.all.arrived, Some((1000, 9000)));
        assert_eq!(survey.market.symbols().map(|(_, figures)| figures.packets).sum::<u64>(), 16);
        survey.take(Messages::Packets(&frames[18..19]), Some(6000), STREAM).unwrap();
        // Blocks are 2,500 ns apart, so shorter times are not known.
        assert_eq!(survey.recovery.half_within().unwrap().as_nanos(), 2500);
    }

    #[test]
    fn origins_without_end_cost_no_memory_without_end() {
        let tape = Tape::random(300, 1);
        let mut survey = Survey::default();
        for (pass, frame) in (1..).zip(tape.frames()) {
            let origin = Origin { line: 0, source: Source::Stream { pass } };
            survey.take(Messages::Packets(&[*frame]), None, Some(origin)).unwrap();
        }
        assert_eq!((survey.brought.len(), survey.others), (ORIGINS_MAX, 44));
        assert_eq!((survey.all.packets, survey.recovery.half_within()), (300, None));
    }

    #[test]
    fn what_does_not_ascend_is_an_error() {
        let tape = Tape::random(20, 1);
        let mut survey = Survey::default();
        survey.take(Messages::Packets(&tape.frames()[..9]), None, None).unwrap();
        let error = survey.take(Messages::Packets(&tape.frames()[8..]), None, None).unwrap_err();
        assert_eq!(error, Disorder { packet: 10, seq: 9, after: 9 });
    }
}
