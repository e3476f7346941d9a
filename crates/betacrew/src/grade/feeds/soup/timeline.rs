//! Timeline of a run in SoupBinTCP.

use crate::grade::feeds::soup::conversation::{ReceivedKind, SentKind, SoupConversation};
use crate::grade::observe::wire::{WireEventKind, WireLog};
use crate::grade::report::timeline::{SentBy, TimelineLine};
use feed::wire::soup::kind;
use std::ops::Range;
use std::time::Duration;

/// Returns the timeline of a log.
pub(crate) fn timeline(log: &WireLog) -> Vec<TimelineLine> {
    let mut lines: Vec<TimelineLine> = Vec::new();
    for event in &log.events {
        let soup = log.conns.get(event.conn).and_then(|conn| conn.soup.as_ref());
        let (from, text) = match (&event.what, soup) {
            (WireEventKind::Opened, _) => (SentBy::Client, "connects".to_owned()),
            (WireEventKind::Received(place), Some(soup)) => {
                let Some(packet) = soup.received.get(*place) else { continue };
                (SentBy::Client, received(&packet.what))
            }
            (WireEventKind::Sent { from, to }, Some(soup)) => {
                (SentBy::Exchange, sent(soup, *from..*to))
            }
            (WireEventKind::ClientEnded, _) => (SentBy::Client, "ends its side".to_owned()),
            (WireEventKind::Finished, _) => (SentBy::Exchange, "ends its side".to_owned()),
            (WireEventKind::Closed, _) => (SentBy::Exchange, "closed".to_owned()),
            (WireEventKind::Reset, _) => (SentBy::Client, "RESETS the connection".to_owned()),
            (WireEventKind::ResetByExchange, _) => {
                (SentBy::Exchange, "resets the connection".to_owned())
            }
            (WireEventKind::Called { .. } | WireEventKind::Received(_), _)
            | (WireEventKind::Sent { .. }, None) => continue,
        };
        add(&mut lines, event.at, event.conn, from, text);
    }
    lines
}

/// Adds a line, or extends the last one if it says the same.
fn add(lines: &mut Vec<TimelineLine>, at: Duration, conn: usize, from: SentBy, text: String) {
    if let Some(last) = lines.last_mut().filter(|last| last.conn == conn && last.from == from) {
        if last.text == text {
            last.until = at;
            return;
        }
        if let Some(joined) = joined(&last.text, &text) {
            last.text = joined;
            last.until = at;
            return;
        }
    }
    lines.push(TimelineLine { at, until: at, conn, from, text });
}

/// Returns one text for writes of one message each that follow each other.
fn joined(before: &str, text: &str) -> Option<String> {
    const ONE: &str = "sends message ";
    const MANY: &str = "sends messages ";
    const EACH: &str = ", one write each";
    let next: u64 = text.strip_prefix(ONE)?.parse().ok()?;
    let (first, last) = match before.strip_prefix(ONE) {
        Some(only) => (only, only),
        None => before.strip_prefix(MANY)?.strip_suffix(EACH)?.split_once('-')?,
    };
    let follows = last.parse::<u64>().ok()?.checked_add(1)? == next;
    follows.then(|| format!("{MANY}{first}-{next}{EACH}"))
}

fn received(what: &ReceivedKind) -> String {
    match what {
        ReceivedKind::Login(request, _) => {
            let session = match request.session.is_blank() {
                true => "the current session".to_owned(),
                false => format!("session {}", request.session),
            };
            format!("logs in to {session} from message {}", request.sequence)
        }
        ReceivedKind::Heartbeat => "sends a heartbeat".to_owned(),
        ReceivedKind::Logout => "logs out".to_owned(),
        ReceivedKind::Ignored(kind::DEBUG) => "sends debug text".to_owned(),
        ReceivedKind::Ignored(_) => "sends an unsequenced message".to_owned(),
        ReceivedKind::Illegal(what) => format!("sends {what}"),
    }
}

/// Describes a write by the packets that end in it, and whether it cuts one.
fn sent(soup: &SoupConversation, bytes: Range<u64>) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut messages: Option<(u64, u64)> = None;
    let flush = |messages: &mut Option<(u64, u64)>, parts: &mut Vec<String>| {
        if let Some((first, last)) = messages.take() {
            parts.push(match first == last {
                true => format!("message {first}"),
                false => format!("messages {first}-{last}"),
            });
        }
    };
    let from = soup.sent.partition_point(|packet| packet.bytes.end <= bytes.start);
    let to = soup.sent.partition_point(|packet| packet.bytes.end <= bytes.end);
    let mut end = None;
    for packet in soup.sent.get(from..to).unwrap_or_default() {
        end = Some(packet.bytes.end);
        if let SentKind::Message(seq) = packet.what {
            messages = match messages {
                Some((first, last)) if last + 1 == seq => Some((first, seq)),
                _ => {
                    flush(&mut messages, &mut parts);
                    Some((seq, seq))
                }
            };
            continue;
        }
        flush(&mut messages, &mut parts);
        parts.push(packet_text(&packet.what));
    }
    flush(&mut messages, &mut parts);
    if end.is_none_or(|end| end < bytes.end) {
        parts.push("a part of a packet".to_owned());
    }
    let one_write = if parts.len() > 1 { " in one write" } else { "" };
    format!("sends {}{one_write}", parts.join(", "))
}

fn packet_text(what: &SentKind) -> String {
    match what {
        SentKind::Accepted { session, sequence } => {
            format!("the acceptance: session {session}, next message {sequence}")
        }
        SentKind::Rejected(reason) => format!("a rejection ({})", reason.code().escape_ascii()),
        SentKind::Message(seq) => format!("message {seq}"),
        SentKind::Other { kind: kind::DEBUG, .. } => "debug text".to_owned(),
        SentKind::Other { kind: kind::UNSEQUENCED, .. } => "an unsequenced message".to_owned(),
        SentKind::Other { kind, .. } => {
            format!("a packet of unknown type '{}'", kind.escape_ascii())
        }
        SentKind::Heartbeat => "a heartbeat".to_owned(),
        SentKind::End => "the end of the session".to_owned(),
        SentKind::NoLength => "a length of 0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::grade::feeds::run_builder::{FeedRun, encoded};
    use feed::wire::soup::Packet;

    #[test]
    fn each_write_has_the_packets_that_end_in_it() {
        let packets: Vec<u8> = ["one", "two", "three"]
            .iter()
            .flat_map(|text| encoded(&Packet::Sequenced(text.as_bytes())))
            .collect();
        let run = FeedRun::soup().logs_in("", 1).accepts(1);
        // The second message is cut.
        let run = run.write(&packets[..9]).write(&packets[9..]).exchange(&Packet::EndOfSession);
        let evidence = run.connects().write(&[0, 0]).evidence();
        let lines = super::timeline(&evidence.wire);
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "connects",
                "logs in to the current session from message 1",
                "sends the acceptance: session DAY1, next message 1",
                "sends message 1, a part of a packet in one write",
                "sends messages 2-3",
                "sends the end of the session",
                "connects",
                "sends a length of 0",
            ]
        );
    }
}
