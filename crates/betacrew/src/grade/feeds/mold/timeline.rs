//! Timeline of a run in MoldUDP64.

use crate::grade::feeds::mold::log::{DatagramKind, MoldEventKind, MoldLog, RequestKind};
use crate::grade::feeds::mold::rules::beyond;
use crate::grade::report::timeline::{SentBy, TimelineLine};
use feed::base::seq::{Seq, SeqRange};
use std::collections::BTreeMap;

/// Returns the timeline of a log. The number of a connection is that of a line.
pub(crate) fn timeline(log: &MoldLog) -> Vec<TimelineLine> {
    let mut lines: Vec<TimelineLine> = Vec::new();
    // Next sequence of each line, to show what it has dropped.
    let mut next: BTreeMap<usize, Seq> = BTreeMap::new();
    // Range and number of datagrams in the last row, if it has messages of a line.
    let mut open: Option<(SeqRange, u64)> = None;
    for event in &log.events {
        let (at, conn) = (event.at, event.line);
        let mut put = |from, text| lines.push(TimelineLine { at, until: at, conn, from, text });
        match &event.what {
            MoldEventKind::Joined => put(SentBy::Client, "has opened the line's port".to_owned()),
            MoldEventKind::Requested(RequestKind::Messages(range)) => {
                put(SentBy::Client, format!("requests {}", messages(*range)));
            }
            MoldEventKind::Requested(RequestKind::Beyond(range)) => {
                put(SentBy::Client, format!("sends {}, which do not exist", beyond(*range)));
            }
            MoldEventKind::Requested(RequestKind::Wrong(what)) => {
                put(SentBy::Client, format!("sends {what}"));
            }
            MoldEventKind::Answered(kind) => {
                put(SentBy::Exchange, format!("answers with {}", datagram(*kind)));
            }
            MoldEventKind::Sent(DatagramKind::Messages(range)) => {
                let expected = next.insert(conn, range.last() + 1).unwrap_or(1);
                let dropped = SeqRange::new(expected, range.first().saturating_sub(1));
                if let (None, Some((before, count)), Some(last)) = (dropped, open, lines.last_mut())
                    && before.last() + 1 == range.first()
                    && last.conn == conn
                {
                    let whole = before.hull(*range);
                    open = Some((whole, count + 1));
                    last.text = format!("sends {} in {} datagrams", messages(whole), count + 1);
                    last.until = at;
                    continue;
                }
                let dropped = dropped.map(|range| format!(", after dropping {}", messages(range)));
                let text = format!("sends {}{}", messages(*range), dropped.unwrap_or_default());
                lines.push(TimelineLine { at, until: at, conn, from: SentBy::Exchange, text });
                open = Some((*range, 1));
                continue;
            }
            MoldEventKind::Sent(kind) => {
                put(SentBy::Exchange, format!("sends {}", datagram(*kind)));
            }
        }
        open = None;
    }
    lines
}

fn messages(range: SeqRange) -> String {
    match range.first() == range.last() {
        true => format!("message {}", range.first()),
        false => format!("messages {}-{}", range.first(), range.last()),
    }
}

fn datagram(kind: DatagramKind) -> String {
    match kind {
        DatagramKind::Messages(range) => messages(range),
        DatagramKind::Heartbeat(next) => format!("a heartbeat: next message {next}"),
        DatagramKind::End(next) => format!("the end of the session: next message {next}"),
        DatagramKind::OtherSession(range) => match range {
            Some(range) => format!("{} under the name of another session", messages(range)),
            None => "a heartbeat of another session".to_owned(),
        },
        DatagramKind::Damaged => "a damaged datagram".to_owned(),
    }
}
