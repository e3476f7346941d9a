//! Pace: the speed at which a stream is played.

use crate::base::seq::{Seq, SeqRange};
use crate::tape::source::TapeSource;
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
    /// Bytes of messages per second, dropped ones included. Only the messages themselves count,
    /// not the bytes that a protocol adds: an order packet counts 17 in every protocol.
    BytesPerSecond(u32),
    /// Recorded pace, in hundredths of the original speed.
    Recorded(u32),
}

/// Minimum interval between two steps of a paced stream.
pub const STEP: Duration = Duration::from_millis(1);

/// Clock of a stream: tells when its messages are due, counted from its first message, which is due
/// at once.
///
/// At a pace in bytes a message is due once all bytes of the messages before it have had their
/// time. The clock keeps the number of these bytes up to one message, so that a stream that goes on
/// looks at each message once, however long its tape is.
#[derive(Clone, Copy, Debug)]
pub struct StreamClock {
    first: Seq,
    /// Message up to which bytes are counted.
    next: Seq,
    /// Number of bytes of the messages from `first` to the one before `next`.
    bytes: u64,
}

impl StreamClock {
    /// Creates the clock of a stream that begins with message `first`.
    #[must_use]
    pub fn new(first: Seq) -> Self {
        Self { first, next: first, bytes: 0 }
    }

    /// Returns the highest sequence that is due after a stream has run for `elapsed`, as far as the
    /// pace tells it without a look at the tape's messages.
    #[must_use]
    pub fn limit(&self, pace: Pace, tape: &impl TapeSource, elapsed: Duration) -> Seq {
        let due = match (pace, tape.message_len()) {
            (Pace::PerSecond(rate), _) => reached(elapsed, rate, 1),
            (Pace::BytesPerSecond(rate), Some(len)) if len > 0 => reached(elapsed, rate, len),
            _ => Seq::MAX,
        };
        due.saturating_add(self.first)
    }

    /// Returns the part of `range` that is due after a stream has run for `elapsed`. `range` lies
    /// within the [`limit`](Self::limit).
    pub fn due_of(
        &mut self,
        pace: Pace,
        tape: &mut impl TapeSource,
        range: SeqRange,
        elapsed: Duration,
    ) -> Option<SeqRange> {
        let behind = match pace {
            Pace::BytesPerSecond(rate) if tape.message_len().is_none() => {
                self.behind_bytes(tape, range, in_bytes(elapsed, rate))
            }
            Pace::Recorded(_) if self.due(pace, tape, range.last()) > elapsed => (range.first()
                ..range.last())
                .find(|&seq| self.due(pace, tape, seq) > elapsed)
                .unwrap_or(range.last()),
            _ => return Some(range),
        };
        SeqRange::new(range.first(), behind - 1)
    }

    /// Returns the time at which a message is due, counted from the beginning of the stream.
    pub fn due(&mut self, pace: Pace, tape: &mut impl TapeSource, seq: Seq) -> Duration {
        let before = seq.saturating_sub(self.first);
        match pace {
            Pace::Unlimited => Duration::ZERO,
            Pace::PerSecond(rate) => after(before.into(), rate),
            Pace::BytesPerSecond(rate) => match tape.message_len() {
                Some(len) => after(u128::from(before) * u128::from(len), rate),
                None => after(self.bytes_before(tape, seq).into(), rate),
            },
            Pace::Recorded(percent) => {
                let began = tape.arrived(self.first).unwrap_or(0);
                let after = tape.arrived(seq).unwrap_or(0).saturating_sub(began);
                let nanos = u128::from(after) * 100 / u128::from(percent.max(1));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }

    /// Returns the number of bytes of the stream's messages before `seq`.
    fn bytes_before(&mut self, tape: &mut impl TapeSource, seq: Seq) -> u64 {
        if seq > self.next {
            self.bytes += bytes_of(tape, self.next, seq);
        } else if seq < self.next {
            self.bytes = self.bytes.saturating_sub(bytes_of(tape, seq, self.next));
        }
        self.next = seq;
        self.bytes
    }

    /// Returns the sequence behind the messages of `range` before which the stream has at most
    /// `bytes`.
    fn behind_bytes(&mut self, tape: &mut impl TapeSource, range: SeqRange, bytes: u128) -> Seq {
        let mut before = u128::from(self.bytes_before(tape, range.first()));
        let mut next = range.first();
        while let Some(rest) = range.from(next).filter(|_| before <= bytes) {
            let messages = tape.messages(rest);
            if messages.is_empty() {
                // Whoever sends the messages meets the failure of the tape.
                return range.last() + 1;
            }
            for (_, message) in messages.iter() {
                if before > bytes {
                    break;
                }
                before += message.len() as u128;
                next += 1;
            }
        }
        next
    }
}

/// Returns the number of bytes of the messages from `from` to the one before `to`.
fn bytes_of(tape: &mut impl TapeSource, from: Seq, to: Seq) -> u64 {
    let (mut next, mut bytes) = (from, 0);
    while let Some(rest) = SeqRange::new(next, to.saturating_sub(1)) {
        let messages = tape.messages(rest);
        if messages.is_empty() {
            break;
        }
        bytes += messages.bytes();
        next += messages.len();
    }
    bytes
}

/// Returns the number of units of `size` that are over after `elapsed` at `rate` per second.
fn reached(elapsed: Duration, rate: u32, size: u64) -> Seq {
    let due = elapsed.as_nanos().saturating_mul(rate.into()) / (1_000_000_000 * u128::from(size));
    Seq::try_from(due).unwrap_or(Seq::MAX)
}

/// Returns the maximum number of bytes before a message that is due after `elapsed`.
fn in_bytes(elapsed: Duration, rate: u32) -> u128 {
    // As the times of messages are whole nanoseconds, rounded down, the nanosecond that has begun
    // counts.
    (elapsed.as_nanos() + 1).saturating_mul(rate.into()).saturating_sub(1) / 1_000_000_000
}

/// Returns the time that `count` units take at `rate` per second.
fn after(count: u128, rate: u32) -> Duration {
    let nanos = count * 1_000_000_000 / u128::from(rate.max(1));
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
    use crate::base::rng::Rng;
    use crate::base::seq::to_index;
    use crate::tape::in_memory::Tape;
    use crate::tape::itch_market::ItchMarket;
    use alloc::sync::Arc;
    use alloc::vec::Vec;

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
                let mut clock = StreamClock::new(7);
                let first = clock.limit(pace, &tape, Duration::ZERO);
                assert_eq!(first, 7, "the first packet comes at once");
                for seq in [7, 8, 11, 1000, 2_000_000_000] {
                    let due = clock.due(pace, &mut tape, seq);
                    let limit = clock.limit(pace, &tape, due + Duration::from_nanos(1));
                    assert!(limit >= seq, "{pace}: {seq}");
                }
            }
        }
    }

    /// Returns a market of ITCH messages, and the bytes before each message and before the end.
    fn itch(len: Seq) -> (ItchMarket, Vec<u64>) {
        let mut tape = ItchMarket::seeded(4, len);
        let mut before = alloc::vec![0, 0];
        for seq in 1..=len {
            let message = tape.messages(SeqRange::one(seq)).iter().next().unwrap().1.len() as u64;
            before.push(before.last().unwrap() + message);
        }
        (tape, before)
    }

    #[test]
    fn a_pace_in_bytes_counts_the_bytes_of_messages() {
        let (mut tape, before) = itch(5000);
        let pace = Pace::BytesPerSecond(1000);
        let mut rng = Rng::new(2);
        for first in [1, 17, 4000] {
            let mut clock = StreamClock::new(first);
            for _ in 0..300 {
                // Forwards and backwards.
                let seq = Seq::from(rng.between(u32::try_from(first).unwrap(), 5001));
                let bytes = before[to_index(seq)] - before[to_index(first)];
                assert_eq!(clock.due(pace, &mut tape, seq), Duration::from_millis(bytes), "{seq}");
            }
        }
    }

    #[test]
    fn messages_of_any_length_are_due_when_their_times_say() {
        let (mut tape, _) = itch(3000);
        for rate in [1, 999, 1_000_003, u32::MAX] {
            let pace = Pace::BytesPerSecond(rate);
            let (mut clock, mut times) = (StreamClock::new(1), StreamClock::new(1));
            for range in [(1, 3000), (1024, 1030), (5, 5)] {
                let range = SeqRange::new(range.0, range.1).unwrap();
                for seq in [range.first(), range.first() + 3, 2000].map(|seq| seq.min(range.last()))
                {
                    let at = times.due(pace, &mut tape, seq);
                    let late = (range.first()..=range.last())
                        .find(|&seq| times.due(pace, &mut tape, seq) > at);
                    let last = late.unwrap_or(range.last() + 1) - 1;
                    let due = clock.due_of(pace, &mut tape, range, at);
                    assert_eq!(due, SeqRange::new(range.first(), last), "{rate} {seq}");
                    let early = at.checked_sub(Duration::from_nanos(1));
                    let due = early.and_then(|at| clock.due_of(pace, &mut tape, range, at));
                    assert!(due.is_none_or(|due| due.last() < seq), "{rate} {seq}");
                }
            }
        }
    }
}
