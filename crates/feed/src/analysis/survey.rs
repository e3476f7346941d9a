//! What is in a recording: counted in one pass, in constant memory, however long it is.

mod chart;
pub(crate) mod sequence_order;
mod strip;

pub use crate::analysis::survey::sequence_order::{Disorder, MissingRanges, SequenceOrder};
pub use chart::{BINS as CHART_BINS, ChartBin, Charts, SYMBOLS_MAX as CHARTS_MAX};
pub use strip::{BINS as STRIP_BINS, Strip, StripColumn};

use crate::analysis::book::Books;
use crate::analysis::figures::MarketStats;
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::ledger::{Origin, Source};
use crate::wire::{Frame, RawFrame, decode};
use alloc::vec::Vec;
use core::time::Duration;

/// So many origins are told apart; what further ones brought is counted together.
pub const ORIGINS_MAX: usize = 256;

/// What one origin has brought that nobody had brought before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OriginStats {
    /// The origin; `None` where it is not known.
    pub origin: Option<Origin>,
    /// How many packets.
    pub packets: u64,
    /// When the earliest and the latest of its blocks came, in nanoseconds since 1970; `None` where
    /// that is not known.
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

/// How long packets were missing that came later.
///
/// A tape file has one time a block, that of its first packet. So this is from the first packet of
/// the block that the stream went on in to the first packet of the block that filled the gap:
/// right to within the time that a block is gathered.
#[derive(Clone, Debug)]
pub struct RecoveryStats {
    /// How many packets came by a resend or a later pass.
    pub packets: u64,
    /// In how many gaps of the stream.
    pub gaps: u64,
    /// Of how many the time is known.
    pub timed: u64,
    /// How many took less than 2^n nanoseconds and not less than half of that, by n.
    ages: [u64; 65],
    /// The longest.
    pub slowest: Duration,
    /// When the stream's first block came and its last, and how many others there are.
    turns: Option<(u64, u64, u64)>,
}

impl RecoveryStats {
    /// A block of the stream came.
    fn turn(&mut self, at: u64) {
        let (first, last, more) = self.turns.unwrap_or((at, at, 0));
        let more = more + u64::from(at != last);
        self.turns = Some((first.min(at), last.max(at), more));
    }

    /// How far blocks are apart on average: nothing shorter is known.
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

    /// A time within which half of those came whose time is known: at most twice the shortest such,
    /// but not less than blocks are apart.
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

/// What is in a recording. Packets are given in the order of their sequences.
#[derive(Clone, Debug)]
pub struct Survey {
    order: SequenceOrder,
    first: Option<Seq>,
    /// By symbol.
    pub market: MarketStats,
    /// By origin, in the order in which their first packets stand in the recording.
    pub brought: Vec<OriginStats>,
    /// How many packets came from origins beyond [`ORIGINS_MAX`].
    pub others: u64,
    /// Everything that came, whoever brought it.
    pub all: OriginStats,
    /// What came later than in its turn.
    pub recovery: RecoveryStats,
    /// Where in the session what came how.
    pub strip: Strip,
    /// Prices and volumes, if they are wanted.
    pub charts: Option<Charts>,
    /// What the packets amount to in price levels, if that is wanted.
    pub books: Option<Books>,
    /// When the stream's block came that was read last.
    passed: Option<u64>,
    /// Up to where the gap reaches that is being filled.
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
            passed: None,
            filling: 0,
        }
    }
}

/// Whether something came by a resend or a later pass, rather than in its turn.
#[must_use]
pub fn is_late(origin: Origin) -> bool {
    !matches!(origin.source, Source::Stream { pass: 0 | 1 })
}

impl Survey {
    /// A survey that lists up to `listed` gaps.
    #[must_use]
    pub fn listing(listed: usize) -> Self {
        Self { order: SequenceOrder::listing(listed), ..Self::default() }
    }

    /// Takes packets that came together: at that time (in nanoseconds since 1970) and from there,
    /// if that is known.
    ///
    /// # Errors
    /// Where sequences do not ascend.
    pub fn take(
        &mut self,
        frames: &[RawFrame],
        at: Option<u64>,
        origin: Option<Origin>,
    ) -> Result<(), Disorder> {
        let late = origin.is_some_and(is_late);
        let (first, passed) = (&mut self.first, self.passed);
        let (strip, recovery, filling) = (&mut self.strip, &mut self.recovery, &mut self.filling);
        self.order.take(frames, |run| {
            first.get_or_insert(run.first());
            strip.add(run, late);
            if late {
                let age = at.zip(passed).map(|(at, passed)| at.saturating_sub(passed));
                recovery.add(run.len().into(), age);
                recovery.gaps += u64::from(*filling != run.first());
                *filling = run.last() + 1;
            }
        })?;
        for frame in frames {
            if let Ok(Frame::Packet(packet)) = decode(frame) {
                self.market.add(&packet);
                self.charts.iter_mut().for_each(|charts| charts.add(&packet));
                self.books.iter_mut().for_each(|books| {
                    books.add(&packet);
                });
            }
        }
        if !late {
            self.passed = at;
            at.into_iter().for_each(|at| self.recovery.turn(at));
        }
        let packets = frames.len() as u64;
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

    /// The session is known to reach to `last`: what is not there is missing.
    pub fn reaches(&mut self, last: Seq) {
        self.order.reaches(last);
        self.strip.reaches(last);
    }

    /// The lowest and the highest sequence in it.
    #[must_use]
    pub fn span(&self) -> Option<SeqRange> {
        SeqRange::new(self.first?, self.order.highest())
    }

    /// What is missing between [`FIRST_SEQ`] and the highest sequence known to exist.
    #[must_use]
    pub fn missing(&self) -> &MissingRanges {
        self.order.missing()
    }

    /// The highest sequence known to exist; 0 where there is none.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.strip.last()
    }

    /// How many packets.
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
        survey.take(&frames[..5], Some(1000), STREAM).unwrap();
        survey.take(&frames[5..7], Some(1700), RESEND).unwrap();
        survey.take(&frames[7..8], Some(9000), RESEND).unwrap();
        survey.take(&frames[9..15], Some(2000), STREAM).unwrap();
        survey.take(&frames[16..18], Some(1900), RESEND).unwrap();
        survey.reaches(20);
        assert_eq!((survey.packets(), survey.last()), (16, 20));
        assert_eq!(survey.span(), SeqRange::new(1, 18));
        let missing = survey.missing();
        assert_eq!((missing.packets(), missing.gaps()), (4, 3));
        assert_eq!(missing.listed().ranges(), [SeqRange::one(9)]);
        let RecoveryStats { packets, gaps, timed, slowest, .. } = survey.recovery;
        assert_eq!((packets, gaps, timed, slowest.as_nanos()), (5, 2, 5, 8000));
        // Two took 700 ns, one 8,000 and two came before what they fill was known to be missing.
        assert_eq!(survey.recovery.half_within().unwrap().as_nanos(), 1024);
        let brought = [(STREAM, 11, Some((1000, 2000))), (RESEND, 5, Some((1700, 9000)))]
            .map(|(origin, packets, arrived)| OriginStats { origin, packets, arrived });
        assert_eq!(survey.brought, brought);
        assert_eq!(survey.all.arrived, Some((1000, 9000)));
        assert_eq!(survey.market.symbols().map(|(_, figures)| figures.packets).sum::<u64>(), 16);
        survey.take(&frames[18..19], Some(6000), STREAM).unwrap();
        // Blocks are 2,500 ns apart: less is not known.
        assert_eq!(survey.recovery.half_within().unwrap().as_nanos(), 2500);
    }

    #[test]
    fn origins_without_end_cost_no_memory_without_end() {
        let tape = Tape::random(300, 1);
        let mut survey = Survey::default();
        for (pass, frame) in (1..).zip(tape.frames()) {
            let origin = Origin { line: 0, source: Source::Stream { pass } };
            survey.take(&[*frame], None, Some(origin)).unwrap();
        }
        assert_eq!((survey.brought.len(), survey.others), (ORIGINS_MAX, 44));
        assert_eq!((survey.all.packets, survey.recovery.half_within()), (300, None));
    }

    #[test]
    fn what_does_not_ascend_is_an_error() {
        let tape = Tape::random(20, 1);
        let mut survey = Survey::default();
        survey.take(&tape.frames()[..9], None, None).unwrap();
        let error = survey.take(&tape.frames()[8..], None, None).unwrap_err();
        assert_eq!(error, Disorder { packet: 10, seq: 9, after: 9 });
    }
}
