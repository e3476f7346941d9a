//! Formatting of counts, durations, ranges and packets for people.

use crate::text::escape;
use feed::analysis::survey::{MissingRanges, SequenceOrder};
use feed::base::seq::Seq;
use feed::client::{Recorder, SessionPayload};
use feed::payload::itch50::Message;
use feed::wire::{Frame, Protocol, RawFrame, decode, packet_seq};

/// Returns a count with its noun: `14 packets`, `1 packet`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(number))
}

/// Returns the word for one message of a recording: `packet` if it is an order packet, or may
/// become one because a line speaks the exercise's protocol.
pub(crate) fn noun(recorder: &Recorder) -> &'static str {
    let mut lines = (0..).map_while(|line| recorder.line(line));
    match recorder.payload() {
        SessionPayload::Packets => "packet",
        SessionPayload::Messages => "message",
        SessionPayload::Unknown if lines.any(|line| line.protocol == Protocol::Betacrew) => {
            "packet"
        }
        SessionPayload::Unknown => "message",
    }
}

/// Returns a count with separators: `1,234,567`. Sequences are never grouped, because users type
/// them again (`--from 1234567`, `--skip 5-1200`).
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the word for one message of a file: `packet` if all are order packets.
pub(crate) fn noun_in(order: &SequenceOrder) -> &'static str {
    if order.has_runs() { "message" } else { "packet" }
}

/// Returns a list of gaps: `12 packets in 3 gaps: 5, 9-12, 20-26`, and the number of further gaps.
/// `noun` is the word for one message.
pub(crate) fn holes(noun: &str, holes: &MissingRanges) -> String {
    let (packets, gaps) = (count(holes.packets(), noun), count(holes.gaps(), "gap"));
    let more = match holes.unlisted() {
        0 => String::new(),
        more => format!(" and {} more", grouped(more)),
    };
    format!("{packets} in {gaps}: {}{more}", holes.listed())
}

/// Description of the missing packets of an empty recording, unless its session is known to be
/// empty.
pub(crate) const NO_PACKETS: &str =
    "every packet: it has none, and its session is not known to be empty";

/// Returns a packet as text: `#5 META B 40 @ 50`.
pub(crate) fn packet(frame: &RawFrame) -> String {
    match decode(frame) {
        Ok(Frame::Packet(packet)) => escape::line(&packet.to_string()).into_owned(),
        _ => format!("{frame:?}"),
    }
}

/// Returns a message as text: an order packet as [`packet`] does, an ITCH message with its fields,
/// and any other message as hexadecimal digits.
pub(crate) fn message(seq: Seq, bytes: &[u8]) -> String {
    if let Ok(frame) = RawFrame::try_from(bytes)
        && packet_seq(&frame) == Some(seq)
    {
        return packet(&frame);
    }
    match Message::parse(bytes) {
        Ok(message) => format!("#{seq} {message}"),
        Err(_) => format!("#{seq} {}", Message::Opaque(bytes)),
    }
}

/// Seconds in a minute.
const MINUTE: u64 = 60;
/// Seconds in an hour.
const HOUR: u64 = 60 * MINUTE;
/// Seconds in a day.
const DAY: u64 = 24 * HOUR;

/// Returns a duration as text: `2.3 ms`, `45 s`, `1m 30s`, `2h 05m`, `3d 04h`.
pub(crate) fn took(time: std::time::Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        ..1e3 => (micros, "µs"),
        ..1e6 => (micros / 1e3, "ms"),
        ..60e6 => (micros / 1e6, "s"),
        _ => {
            let all = time.as_secs();
            return match all {
                ..HOUR => format!("{}m {:02}s", all / MINUTE, all % MINUTE),
                HOUR..DAY => format!("{}h {:02}m", all / HOUR, all % HOUR / MINUTE),
                _ => format!("{}d {:02}h", grouped(all / DAY), all % DAY / HOUR),
            };
        }
    };
    match value {
        ..10.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// Returns a signed number with grouped digits: `1,234`, `-1,234`.
pub(crate) fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn gaps_are_listed_up_to_a_bound() {
        use feed::base::seq::SeqRange;
        let mut missing = MissingRanges::listing(100);
        (0..100).for_each(|i| missing.add(SeqRange::one(2 * i + 1)));
        assert!(holes("packet", &missing).starts_with("100 packets in 100 gaps: 1, 3, 5, "));
        assert!(holes("packet", &missing).ends_with(", 199"));
        missing.add(SeqRange::new(300, 310).unwrap());
        assert!(holes("packet", &missing).starts_with("111 packets in 101 gaps: 1, "));
        assert!(holes("packet", &missing).ends_with(", 199 and 1 more"));
    }

    #[test]
    fn numbers_and_times_read_well() {
        let grouped = [0, 999, 1_234_567].map(grouped);
        assert_eq!(grouped, ["0", "999", "1,234,567"]);
        assert_eq!([1, 2].map(|n| count(n, "gap")), ["1 gap", "2 gaps"]);
        for (micros, text) in [
            (12, "12 µs"),
            (2_300, "2.3 ms"),
            (45_000, "45 ms"),
            (1_420_000, "1.4 s"),
            (90_000_000, "1m 30s"),
            (3_599_000_000, "59m 59s"),
            (3_600_000_000, "1h 00m"),
            (86_399_000_000, "23h 59m"),
            (86_400_000_000, "1d 00h"),
            (599_184_000_000_000, "6,935d 00h"),
        ] {
            assert_eq!(took(Duration::from_micros(micros)), text);
        }
    }
}
