//! Pace: the speed at which a stream is played.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::tape::source::TapeSource;
use crate::wire::FRAME_LEN;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// Pace of a stream. Resends are sent at once.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Unlimited: as fast as the client reads.
    #[default]
    Unlimited,
    /// Packets per second, dropped ones included.
    PerSecond(u32),
    /// Bytes of packets per second, dropped ones included. A message of any length counts as a
    /// packet of 17 bytes.
    BytesPerSecond(u32),
    /// Recorded pace, in hundredths of the original speed.
    Recorded(u32),
}

/// Minimum interval between two steps of a paced stream.
pub const STEP: Duration = Duration::from_millis(1);

impl Pace {
    /// Returns the highest sequence that is due after a stream has run for `elapsed`, as far as the
    /// pace alone tells it without the tape.
    #[must_use]
    pub fn limit(self, elapsed: Duration) -> Seq {
        match self {
            Self::Unlimited | Self::Recorded(_) => Seq::MAX,
            Self::PerSecond(rate) => reached(elapsed, rate, 1),
            Self::BytesPerSecond(rate) => reached(elapsed, rate, FRAME_LEN as u64),
        }
    }

    /// Returns the part of `range` that is due after a stream has run for `elapsed`. `range` lies
    /// within the [`limit`](Self::limit).
    pub fn due_of(
        self,
        tape: &mut impl TapeSource,
        range: SeqRange,
        elapsed: Duration,
    ) -> Option<SeqRange> {
        if !matches!(self, Self::Recorded(_)) || self.due(tape, range.last()) <= elapsed {
            return Some(range);
        }
        let late = (range.first()..range.last()).find(|&seq| self.due(tape, seq) > elapsed);
        SeqRange::new(range.first(), late.unwrap_or(range.last()) - 1)
    }

    /// Returns the time at which a packet is due, counted from the beginning of its stream.
    pub fn due(self, tape: &mut impl TapeSource, seq: Seq) -> Duration {
        match self {
            Self::Unlimited => Duration::ZERO,
            Self::PerSecond(rate) => after(seq, rate, 1),
            Self::BytesPerSecond(rate) => after(seq, rate, FRAME_LEN as u64),
            Self::Recorded(percent) => {
                let began = tape.arrived(FIRST_SEQ).unwrap_or(0);
                let after = tape.arrived(seq).unwrap_or(0).saturating_sub(began);
                let nanos = u128::from(after) * 100 / u128::from(percent.max(1));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }
}

/// Returns the highest sequence that is due after `elapsed` at `rate` per second, where a packet
/// counts `size`.
fn reached(elapsed: Duration, rate: u32, size: u64) -> Seq {
    let due = elapsed.as_nanos().saturating_mul(rate.into()) / (1_000_000_000 * u128::from(size));
    Seq::try_from(due).unwrap_or(Seq::MAX).saturating_add(FIRST_SEQ)
}

/// Returns the time at which a packet is due at such a rate.
fn after(seq: Seq, rate: u32, size: u64) -> Duration {
    let nanos = u128::from(seq - FIRST_SEQ) * 1_000_000_000 * u128::from(size);
    let nanos = nanos / u128::from(rate.max(1));
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or(0))
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::PerSecond(rate) => write!(f, "{rate}/s"),
            Self::BytesPerSecond(rate) => write!(f, "{rate}B/s"),
            Self::Recorded(percent) => write!(f, "{}.{:02}x", percent / 100, percent % 100),
        }
    }
}

/// Error: a text is not a pace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PaceParseError;

impl fmt::Display for PaceParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a pace is a whole number of packets or bytes a second from 1 to 4294967295 (5000/s, \
             8000B/s), a multiple of the recorded one from 0.01x (2x, 0.5x), or `recorded`",
        )
    }
}

impl core::error::Error for PaceParseError {}

impl FromStr for Pace {
    type Err = PaceParseError;

    /// Parses `5000/s`, `8000B/s`, `2x`, `0.5x` or `recorded`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value was checked to lie within bounds"
    )]
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "recorded" {
            return Ok(Self::Recorded(100));
        }
        if let Some(rate) = text.strip_suffix("/s") {
            let bytes = rate.strip_suffix('B');
            let number = bytes.unwrap_or(rate).trim().parse().ok().filter(|&rate| rate > 0);
            let rate = number.ok_or(PaceParseError)?;
            return Ok(if bytes.is_some() {
                Self::BytesPerSecond(rate)
            } else {
                Self::PerSecond(rate)
            });
        }
        let factor = text.strip_suffix('x').and_then(|factor| factor.trim().parse::<f64>().ok());
        match factor {
            Some(factor) if (0.01..=1e6).contains(&factor) => {
                Ok(Self::Recorded((factor * 100.0 + 0.5) as u32))
            }
            _ => Err(PaceParseError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::in_memory::Tape;
    use alloc::sync::Arc;

    #[test]
    fn paces_parse() {
        for (text, pace) in [
            ("5000/s", Pace::PerSecond(5000)),
            ("8000B/s", Pace::BytesPerSecond(8000)),
            ("recorded", Pace::Recorded(100)),
            ("1x", Pace::Recorded(100)),
            ("0.5x", Pace::Recorded(50)),
        ] {
            assert_eq!(text.parse(), Ok(pace));
            assert_eq!(alloc::format!("{pace}").parse(), Ok(pace));
        }
        for (text, pace) in [
            ("4294967295/s", Pace::PerSecond(u32::MAX)),
            ("4294967295B/s", Pace::BytesPerSecond(u32::MAX)),
            ("0.01x", Pace::Recorded(1)),
            ("1000000x", Pace::Recorded(100_000_000)),
        ] {
            assert_eq!(text.parse(), Ok(pace), "the extremes");
        }
        for bad in [
            "",
            "0/s",
            "0.01/s",
            "1.5/s",
            "-1/s",
            "x",
            "0x",
            "5",
            "1e9x",
            "NaNx",
            "4294967296/s",
            "infx",
        ] {
            assert_eq!(bad.parse::<Pace>(), Err(PaceParseError), "{bad}");
        }
    }

    #[test]
    fn what_is_due_is_within_the_limit() {
        let mut tape = Arc::new(Tape::sample(5));
        for rate in [1, 3, 50_000, u32::MAX] {
            for pace in [Pace::PerSecond(rate), Pace::BytesPerSecond(rate)] {
                assert_eq!(pace.limit(Duration::ZERO), 1, "the first packet comes at once");
                for seq in [1, 2, 5, 1000, 2_000_000_000] {
                    let due = pace.due(&mut tape, seq);
                    assert!(pace.limit(due + Duration::from_nanos(1)) >= seq, "{pace}: {seq}");
                }
            }
        }
    }
}
