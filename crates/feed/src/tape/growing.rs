//! Live tapes: packets become available as time passes.

use crate::base::rng::{Rng, nth};
use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::tape::pace::Pace;
use crate::tape::source::TapeSource;
use crate::wire::{Messages, SessionId};
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// Arrival rate of a live session's packets.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ArrivalRate {
    /// Packets per second, evenly spaced.
    Steady(u32),
    /// Average packets per second, each independent of the others.
    Poisson(u32),
    /// Bursts of packets.
    Bursts {
        /// Average packets per second.
        rate: u32,
        /// Packets per burst.
        size: u32,
    },
    /// Recorded times, in hundredths of the original speed.
    Recorded(u32),
}

/// Maximum rate of a live session, in packets per second, because a machine must generate them in
/// time.
pub const RATE_MAX: u32 = 10_000_000;

/// Maximum number of packets that become available at once. It bounds the pause while a tape
/// catches up after its program stood still, or after a large burst.
pub const GROWTH_MAX: u64 = 1 << 20;

/// Error: a text is not an arrival rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArrivalRateParseError {
    /// Unknown form.
    Form,
    /// Rate is not a whole number from 1 to [`RATE_MAX`].
    Rate,
}

impl fmt::Display for ArrivalRateParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "the pace of a live session is 5000/s, poisson:5000/s, bursts:5000/s:100 (100 \
                 at once), or for tape files recorded, 2x",
            ),
            Self::Rate => {
                write!(
                    f,
                    "the rate of a live session is a whole number of packets a second, from 1 to \
                     {RATE_MAX}"
                )
            }
        }
    }
}

impl core::error::Error for ArrivalRateParseError {}

impl FromStr for ArrivalRate {
    type Err = ArrivalRateParseError;

    fn from_str(text: &str) -> Result<Self, ArrivalRateParseError> {
        let rate = |text: &str| {
            let digits =
                text.trim().strip_suffix("/s").ok_or(ArrivalRateParseError::Form)?.trim_end();
            let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let (units, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
            if units.is_empty() || !is_number(units) || !is_number(fraction) {
                return Err(ArrivalRateParseError::Form);
            }
            // A number with a fraction, or too large for the type, is not a rate either.
            let rate = digits.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
            rate.ok_or(ArrivalRateParseError::Rate)
        };
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("poisson:") {
            return rate(rest).map(Self::Poisson);
        }
        if let Some(rest) = text.strip_prefix("bursts:") {
            let (of, size) = rest.split_once(':').ok_or(ArrivalRateParseError::Form)?;
            let size = size.trim().parse().ok().filter(|&size| size > 0);
            return Ok(Self::Bursts {
                rate: rate(of)?,
                size: size.ok_or(ArrivalRateParseError::Form)?,
            });
        }
        match text.parse() {
            Ok(Pace::Recorded(percent)) => Ok(Self::Recorded(percent)),
            _ => rate(text).map(Self::Steady),
        }
    }
}

impl fmt::Display for ArrivalRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Steady(rate) => write!(f, "{rate}/s"),
            Self::Poisson(rate) => write!(f, "poisson:{rate}/s"),
            Self::Bursts { rate, size } => write!(f, "bursts:{rate}/s:{size}"),
            Self::Recorded(percent) => Pace::Recorded(percent).fmt(f),
        }
    }
}

/// Key that separates the random numbers of arrival times from all others of a seed.
const TIMES: u64 = 0x0074_696d_6573;

/// Tape that grows: the packets of another tape become available when they are due.
#[derive(Clone, Debug)]
pub struct GrowingTape<P> {
    tape: P,
    tempo: ArrivalRate,
    seed: u64,
    /// Highest available sequence.
    there: Seq,
    /// Highest available sequence at the start, and the time of the start.
    began: Option<(Seq, Duration)>,
    /// Time of the next packet, counted from the start.
    next: Duration,
}

impl<P: TapeSource> GrowingTape<P> {
    /// Creates a tape on which the packets up to `there` are available; those of `tape` after it
    /// follow in time. 0 begins a session.
    #[must_use]
    pub fn new(tape: P, tempo: ArrivalRate, seed: u64, there: Seq) -> Self {
        let there = there.min(tape.last());
        Self { tape, tempo, seed: nth(seed, TIMES), there, began: None, next: Duration::ZERO }
    }

    /// Returns the tape from which packets are taken.
    #[must_use]
    pub fn tape(&self) -> &P {
        &self.tape
    }

    /// Returns the time of packet `seq`, the next one, counted from the start. The packet before it
    /// arrived at `before`.
    fn due(&mut self, seq: Seq, from: Seq, before: Duration) -> Duration {
        let nth = seq - from;
        let even = |count: u64, rate: u32| {
            let nanos = u128::from(count) * 1_000_000_000 / u128::from(rate.max(1));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        match self.tempo {
            ArrivalRate::Steady(rate) => even(nth - 1, rate),
            ArrivalRate::Poisson(rate) => before + gap(self.seed, seq, rate),
            ArrivalRate::Bursts { rate, size } => {
                let burst = (nth - 1) / u64::from(size.max(1));
                even(burst * u64::from(size), rate)
            }
            ArrivalRate::Recorded(percent) => {
                let first = self.tape.arrived(FIRST_SEQ.max(from + 1)).unwrap_or(0);
                let after = self.tape.arrived(seq).unwrap_or(0).saturating_sub(first);
                let nanos = u128::from(after) * 100 / u128::from(percent.max(1));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }
}

/// Returns the time between two independent packets: exponentially distributed, computed by
/// comparisons of random numbers only (von Neumann, 1951), so that it is the same on every machine.
fn gap(seed: u64, seq: Seq, rate: u32) -> Duration {
    let mut rng = Rng::new(nth(seed, seq));
    let mut whole = 0u64;
    loop {
        let first = rng.bits();
        let mut before = first;
        let mut falls = true;
        loop {
            let next = rng.bits();
            if next >= before {
                break;
            }
            before = next;
            falls = !falls;
        }
        if falls {
            // The time is `whole` plus `first` / 2^64, in units of the mean 1 / rate.
            let of_mean = (u128::from(whole) << 32) + u128::from(first >> 32);
            let nanos = (of_mean * 1_000_000_000 / u128::from(rate.max(1))) >> 32;
            return Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
        whole += 1;
    }
}

impl<P: TapeSource> TapeSource for GrowingTape<P> {
    fn last(&self) -> Seq {
        self.there
    }

    fn session(&self) -> SessionId {
        self.tape.session()
    }

    fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let there = SeqRange::new(FIRST_SEQ, self.there).and_then(|there| range.intersect(there));
        match there.filter(|there| there.first() == range.first()) {
            Some(range) => self.tape.messages(range),
            None => Messages::NONE,
        }
    }

    fn message_len(&self) -> Option<u64> {
        self.tape.message_len()
    }

    fn arrived(&mut self, seq: Seq) -> Option<u64> {
        self.tape.arrived(seq)
    }

    fn failure(&self) -> Option<&str> {
        self.tape.failure()
    }

    fn grow(&mut self, now: Duration) {
        let (from, began) = *self.began.get_or_insert((self.there, now));
        let elapsed = now.saturating_sub(began);
        // `next` is the time of packet `there + 1` once it is known.
        if self.there == from && self.next.is_zero() && self.there < self.tape.last() {
            self.next = self.due(from + 1, from, Duration::ZERO);
        }
        for _ in 0..GROWTH_MAX {
            if self.there >= self.tape.last() || self.next > elapsed {
                break;
            }
            self.there += 1;
            if self.there < self.tape.last() {
                self.next = self.due(self.there + 1, from, self.next);
            }
        }
    }

    fn grows_at(&self) -> Option<Duration> {
        let (_, began) = self.began?;
        (self.there < self.tape.last()).then(|| began + self.next)
    }

    fn end(&self) -> Seq {
        self.tape.last()
    }

    fn over(&self) -> bool {
        self.there >= self.tape.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::market::SyntheticMarket;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn live(tempo: &str, last: Seq, there: Seq) -> GrowingTape<SyntheticMarket> {
        GrowingTape::new(SyntheticMarket::seeded(1, last), tempo.parse().unwrap(), 9, there)
    }

    /// Returns the time of each packet, if the tape is grown exactly at the times that it reports.
    fn times(live: &mut GrowingTape<SyntheticMarket>, count: usize) -> Vec<Duration> {
        let (mut now, mut times) = (Duration::from_secs(5), Vec::new());
        let began = now;
        let mut there = live.last();
        live.grow(now);
        while times.len() < count {
            times.extend((there..live.last()).map(|_| now - began));
            there = live.last();
            let Some(next) = live.grows_at() else { break };
            assert!(next > now || there < live.last());
            now = next;
            live.grow(now);
        }
        times
    }

    #[test]
    fn tempos_parse_and_print() {
        for text in ["5000/s", "poisson:7/s", "bursts:100/s:20", "2.00x"] {
            assert_eq!(text.parse::<ArrivalRate>().unwrap().to_string(), text);
        }
        for bad in ["", "fast", "poisson:", "poisson:x/s", "bursts:5/s", "bursts:5/s:0", "8B/s"] {
            assert_eq!(bad.parse::<ArrivalRate>(), Err(ArrivalRateParseError::Form), "{bad}");
        }
    }

    #[test]
    fn rates_have_a_bound() {
        for form in ["RATE/s", "poisson:RATE/s", "bursts:RATE/s:5"] {
            let parsed = |rate: &str| form.replace("RATE", rate).parse::<ArrivalRate>();
            assert!(parsed("1").is_ok() && parsed("10000000").is_ok(), "{form}");
            for rate in ["0", "10000001", "100000000", "4294967295", "99999999999", "0.01", "1.5"] {
                assert_eq!(parsed(rate), Err(ArrivalRateParseError::Rate), "{form} {rate}");
            }
            for rate in ["-1", "1e9", "", "NaN", ".5", "1.5.1"] {
                assert_eq!(parsed(rate), Err(ArrivalRateParseError::Form), "{form} {rate}");
            }
        }
    }

    #[test]
    fn a_tape_that_is_far_behind_catches_up_in_bounded_steps() {
        for tempo in ["10000000/s", "poisson:10000000/s", "bursts:1/s:4294967295", "1000000x"] {
            let mut live = live(tempo, 3_000_000, 0);
            live.grow(Duration::ZERO);
            let (mut steps, mut before) = (0, live.last());
            while !live.over() {
                live.grow(Duration::from_secs(100));
                assert!(live.last() > before && live.last() - before <= GROWTH_MAX, "{tempo}");
                (steps, before) = (steps + 1, live.last());
                assert!(live.grows_at().is_none_or(|next| next <= Duration::from_secs(100)));
            }
            assert!((2..=3).contains(&steps), "{tempo}: {steps}");
        }
    }

    #[test]
    fn the_slowest_paces_come_in_time() {
        for tempo in ["1/s", "poisson:1/s", "bursts:1/s:1", "0.01x"] {
            let mut live = live(tempo, 5, 0);
            live.grow(Duration::ZERO);
            live.grow(Duration::from_secs(1 << 40));
            assert!(live.over(), "{tempo}");
        }
    }

    #[test]
    fn packets_come_when_they_are_due() {
        let millis =
            |times: Vec<Duration>| -> Vec<u128> { times.iter().map(Duration::as_millis).collect() };
        assert_eq!(millis(times(&mut live("100/s", 4, 0), 9)), [0, 10, 20, 30]);
        assert_eq!(millis(times(&mut live("100/s", 4, 2), 9)), [0, 10], "it goes on");
        assert_eq!(millis(times(&mut live("bursts:100/s:2", 5, 0), 9)), [0, 0, 20, 20, 40]);
        let mut over = live("1/s", 3, 3);
        over.grow(Duration::ZERO);
        assert!(over.over() && over.grows_at().is_none());
    }

    #[test]
    fn looking_seldom_or_often_makes_no_difference() {
        for tempo in ["1000/s", "poisson:1000/s", "bursts:1000/s:7"] {
            let (mut often, mut seldom) = (live(tempo, 5000, 0), live(tempo, 5000, 0));
            let mut rng = Rng::new(3);
            let mut now = Duration::ZERO;
            for _ in 0..400 {
                for _ in 0..rng.below(9) {
                    now += Duration::from_micros(rng.below(3000).into());
                    often.grow(now);
                }
                seldom.grow(now);
                often.grow(now);
                assert_eq!(often.last(), seldom.last(), "{tempo}");
            }
            assert!(often.last() > 1000);
        }
    }

    #[test]
    fn independent_packets_come_at_their_rate_and_spread() {
        let times = times(&mut live("poisson:1000/s", 200_000, 0), 100_000);
        let gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]).as_secs_f64() * 1e3).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let long = gaps.iter().filter(|&&gap| gap > 1.0).count() as f64 / gaps.len() as f64;
        let longer = gaps.iter().filter(|&&gap| gap > 3.0).count() as f64 / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        // 1/e and 1/e^3.
        assert!(
            (long - 0.3679).abs() < 0.008 && (longer - 0.0498).abs() < 0.004,
            "{long} {longer}"
        );
    }

    #[test]
    fn what_is_not_there_yet_cannot_be_had() {
        let mut live = live("100/s", 50, 0);
        live.grow(Duration::ZERO);
        live.grow(Duration::from_millis(40));
        assert_eq!((live.last(), live.over()), (5, false));
        assert_eq!(live.messages(SeqRange::new(4, 9).unwrap()).len(), 2);
        assert!(live.messages(SeqRange::one(6)).is_empty());
    }
}
