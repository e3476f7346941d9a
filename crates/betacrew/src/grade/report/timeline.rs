//! Timeline of a run: the events on the wire, joined into a few readable lines.

use crate::grade::feeds;
use crate::grade::observe::call_lengths::{CallKind, LongCall};
use crate::grade::observe::evidence::{packets, packets_of_set};
use crate::grade::observe::wire::{Segment, WireEventKind, WireLog};
use feed::base::seq::{Seq, SeqRange};
use feed::wire::Call;
use std::collections::BTreeSet;
use std::time::Duration;

/// Line of a timeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TimelineLine {
    /// Time of the row's first event, since the exchange began to listen.
    pub(crate) at: Duration,
    /// Time of the row's last event.
    pub(crate) until: Duration,
    /// Index of the connection.
    pub(crate) conn: usize,
    /// Side that caused the events.
    pub(crate) from: SentBy,
    /// Description of the row: a sentence without a subject.
    pub(crate) text: String,
}

/// Side of a connection that causes an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SentBy {
    Client,
    Exchange,
}

/// Line under construction: events of one kind that follow each other on a connection.
enum OpenSpan {
    /// Resend calls.
    Calls { seqs: Vec<Seq>, late: bool },
    /// Writes of one complete packet each.
    Plain { segments: Vec<Segment> },
    /// Writes that cut packets.
    Cut { segments: Vec<Segment>, bytes: u64 },
}

/// Builder of a timeline.
struct TimelineBuilder<'a> {
    log: &'a WireLog,
    lines: Vec<TimelineLine>,
    open: Option<(Duration, Duration, usize, OpenSpan)>,
}

/// Returns the timeline of a log.
pub(crate) fn timeline(log: &WireLog) -> Vec<TimelineLine> {
    if let Some(lines) = feeds::timeline(log) {
        return lines;
    }
    let mut builder = TimelineBuilder { log, lines: Vec::new(), open: None };
    for event in &log.events {
        builder.event(event.at, event.conn, &event.what);
    }
    builder.close();
    if log.exchange_died {
        let (at, conn) = log.events.last().map_or_else(Default::default, |e| (e.at, e.conn));
        builder.line(at, conn, SentBy::Exchange, "the whole exchange dies".to_owned());
    }
    builder.lines
}

impl TimelineBuilder<'_> {
    fn event(&mut self, at: Duration, conn: usize, what: &WireEventKind) {
        match *what {
            WireEventKind::Opened => self.line(at, conn, SentBy::Client, "connects".to_owned()),
            WireEventKind::Called { call: Call::Resend(seq), late } => {
                self.requested(at, conn, seq, late);
            }
            // The other bytes of a long call stand in its own line.
            WireEventKind::Called { call: Call::Unknown(_), .. }
                if self.long_call(conn).is_some() => {}
            WireEventKind::Called { call, late } => self.called(at, conn, call, late),
            WireEventKind::Sent { from, to } => self.sent(at, conn, (from, to)),
            // Packets of feeds have a timeline of their own.
            WireEventKind::Received(_) => {}
            WireEventKind::ClientEnded => {
                self.line(at, conn, SentBy::Client, "ends its side".to_owned());
            }
            WireEventKind::Finished => {
                self.line(at, conn, SentBy::Exchange, "ends its side".to_owned());
            }
            WireEventKind::Closed => self.line(at, conn, SentBy::Exchange, "closed".to_owned()),
            WireEventKind::Reset => {
                self.line(at, conn, SentBy::Client, "RESETS the connection".to_owned());
            }
            WireEventKind::ResetByExchange => {
                self.line(at, conn, SentBy::Exchange, "resets the connection".to_owned());
            }
        }
    }

    fn line(&mut self, at: Duration, conn: usize, from: SentBy, text: String) {
        self.close();
        self.lines.push(TimelineLine { at, until: at, conn, from, text });
    }

    fn called(&mut self, at: Duration, conn: usize, call: Call, late: bool) {
        let what = match call {
            Call::Stream => match self.long_call(conn) {
                Some(long) if long.kind == CallKind::Stream => {
                    format!("calls for the stream with {} bytes", long.len)
                }
                _ => "calls for the stream".to_owned(),
            },
            Call::Describe { .. } => "requests the session's description".to_owned(),
            Call::ResendRange { first, count } => {
                let more = count.checked_sub(1);
                match more.and_then(|more| SeqRange::new(first, first.saturating_add(more))) {
                    Some(range) => {
                        format!("requests {}", packets_of_set(&[range].into_iter().collect()))
                    }
                    None => "requests no packets".to_owned(),
                }
            }
            Call::Subscribe { first } => format!("subscribes from packet {first}"),
            Call::Unknown(kind) => format!("sends unknown call {kind}"),
            Call::Resend(seq) => format!("requests packet {seq}"),
        };
        self.line(at, conn, SentBy::Client, what + too_late(late));
    }

    /// Returns the longest call of a connection, if it has more than two bytes.
    fn long_call(&self, conn: usize) -> Option<LongCall> {
        self.log.conns.get(conn)?.long_call
    }

    fn requested(&mut self, at: Duration, conn: usize, seq: Seq, late: bool) {
        if let Some((_, until, open_conn, OpenSpan::Calls { seqs, late: open_late })) =
            &mut self.open
            && *open_conn == conn
            && *open_late == late
        {
            seqs.push(seq);
            *until = at;
            return;
        }
        self.close();
        self.open = Some((at, at, conn, OpenSpan::Calls { seqs: vec![seq], late }));
    }

    fn sent(&mut self, at: Duration, conn: usize, (from, to): (u64, u64)) {
        let segment = Segment::of(conn, from, to);
        let cuts = segment.cut_before || segment.cut_after;
        let whole = !cuts && segment.frames.0 == segment.frames.1;
        match &mut self.open {
            Some((_, until, open, OpenSpan::Plain { segments })) if *open == conn && whole => {
                segments.push(segment);
                *until = at;
                return;
            }
            Some((_, until, open, OpenSpan::Cut { segments, bytes })) if *open == conn && cuts => {
                segments.push(segment);
                *bytes += to - from;
                *until = at;
                return;
            }
            _ => self.close(),
        }
        self.open = match (whole, cuts) {
            (true, _) => Some((at, at, conn, OpenSpan::Plain { segments: vec![segment] })),
            (_, true) => {
                Some((at, at, conn, OpenSpan::Cut { segments: vec![segment], bytes: to - from }))
            }
            _ => {
                let text = format!("sends {} in one segment", self.frames(&segment));
                return self.line(at, conn, SentBy::Exchange, text);
            }
        };
    }

    fn close(&mut self) {
        let Some((at, until, conn, open)) = self.open.take() else { return };
        let (from, text) = match open {
            OpenSpan::Calls { seqs, late } => {
                let bytes = self.long_call(conn).filter(|long| long.kind == CallKind::Resend);
                let bytes = match (bytes, seqs.len()) {
                    (None, _) => String::new(),
                    (Some(long), 1) => format!(" with {} bytes", long.len),
                    (Some(long), _) => format!(" with {} bytes each", long.len),
                };
                (SentBy::Client, format!("requests {}{bytes}{}", packets(seqs), too_late(late)))
            }
            OpenSpan::Plain { segments } => {
                let each = if segments.len() > 1 { ", one write each" } else { "" };
                (SentBy::Exchange, format!("sends {}{each}", self.all_frames(&segments)))
            }
            OpenSpan::Cut { segments, bytes } => (SentBy::Exchange, self.cut(&segments, bytes)),
        };
        self.lines.push(TimelineLine { at, until, conn, from, text });
    }

    /// Describes writes that cut packets: a single write in detail, several by their number.
    fn cut(&self, segments: &[Segment], bytes: u64) -> String {
        if let [segment] = segments {
            let (first, last) = segment.frames;
            let name = |place| match self.log.seq_at(segment.conn, place) {
                Some(seq) => format!("packet {seq}"),
                None => "a packet".to_owned(),
            };
            let parts = match (first == last, segment.cut_before, segment.cut_after) {
                (true, true, true) => format!("the middle of {}", name(first)),
                (true, true, false) => format!("the end of {}", name(first)),
                (true, false, _) => format!("the beginning of {}", name(first)),
                (false, true, true) => {
                    format!("the end of {} to the beginning of {}", name(first), name(last))
                }
                (false, true, false) => format!("the end of {} to {}", name(first), name(last)),
                (false, false, _) => format!("{} to the beginning of {}", name(first), name(last)),
            };
            return format!("sends {bytes} bytes: {parts}");
        }
        format!("sends {bytes} bytes in {} writes that cut packets", segments.len())
    }

    /// Describes the packets of one write.
    fn frames(&self, segment: &Segment) -> String {
        self.all_frames(std::slice::from_ref(segment))
    }

    /// Describes the packets of several writes.
    fn all_frames(&self, segments: &[Segment]) -> String {
        let places = segments.iter().flat_map(|s| {
            (s.frames.0..=s.frames.1).map(move |place| self.log.seq_at(s.conn, place))
        });
        let places: Vec<Option<Seq>> = places.collect();
        let seqs: Vec<Seq> = places.iter().flatten().copied().collect();
        let others = places.len() - seqs.len();
        let ascending = seqs.windows(2).all(|pair| pair[0] < pair[1]);
        let described = match seqs.len() {
            0 => None,
            _ if ascending => Some(packets(seqs)),
            _ if seqs.len() > LISTED_MAX => Some(unordered(seqs)),
            _ => {
                let list: Vec<String> = seqs.iter().map(Seq::to_string).collect();
                Some(format!("packets {}", list.join(", ")))
            }
        };
        match (described, others) {
            (Some(described), 0) => described,
            (Some(described), _) => format!("{described} and {others} other frames"),
            (None, 1) => "a frame that is not a packet".to_owned(),
            (None, _) => format!("{others} frames that are not packets"),
        }
    }
}

/// Maximum number of packets that are listed in the order in which they were sent.
const LISTED_MAX: usize = 20;

/// Describes packets that were not sent in ascending order, or were sent again.
fn unordered(seqs: Vec<Seq>) -> String {
    let mut known = BTreeSet::new();
    let again: Vec<Seq> = seqs.iter().copied().filter(|seq| !known.insert(*seq)).collect();
    match again.is_empty() {
        true => format!("{}, not in order", packets(seqs)),
        false => format!("{}, and again {}", packets(seqs), packets(again)),
    }
}

/// Returns the addition for calls after a stream call, which the exchange does not answer.
const fn too_late(late: bool) -> &'static str {
    if late { ", after the stream call" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::tape::in_memory::Tape;
    use feed::wire::Protocol;

    fn described(log: &WireLog) -> Vec<String> {
        timeline(log).into_iter().map(|line| format!("#{} {}", line.conn + 1, line.text)).collect()
    }

    #[test]
    fn events_of_one_kind_are_joined() {
        let mut log = WireLog::default();
        let tape = Tape::classic();
        let frames = tape.frames();
        let at = Duration::from_millis;
        let one = log.open(Protocol::Betacrew, at(0));
        log.call(at(1), one, Call::Stream);
        (0..3).for_each(|place| log.send(at(2), one, &frames[place]));
        log.send(at(3), one, frames[3..5].as_flattened());
        log.send(at(4), one, &frames[5][..9]);
        log.send(at(5), one, &frames[5][9..]);
        log.add_event(at(6), one, WireEventKind::Finished);
        log.call(at(6), one, Call::Resend(9));
        let two = log.open(Protocol::Betacrew, at(7));
        for seq in [7, 8, 12] {
            log.call(at(8), two, Call::Resend(seq));
        }
        log.send(at(9), two, &frames[7][..4]);
        log.add_event(at(9), two, WireEventKind::Reset);
        assert_eq!(
            described(&log),
            [
                "#1 connects",
                "#1 calls for the stream",
                "#1 sends packets 1-3, one write each",
                "#1 sends packets 4-5 in one segment",
                "#1 sends 17 bytes in 2 writes that cut packets",
                "#1 ends its side",
                "#1 requests packet 9, after the stream call",
                "#2 connects",
                "#2 requests packets 7-8, 12",
                "#2 sends 4 bytes: the beginning of a packet",
                "#2 RESETS the connection",
            ]
        );
    }

    #[test]
    fn packets_that_are_sent_again_are_seen() {
        let mut log = WireLog::default();
        let (tape, at) = (Tape::classic(), Duration::ZERO);
        let frames = tape.frames();
        let conn = log.open(Protocol::Betacrew, at);
        [0, 1, 1, 2].iter().for_each(|place| log.send(at, conn, &frames[*place]));
        log.call(at, conn, Call::Stream);
        let all = (0..14).chain([4, 6]).chain(0..5);
        all.for_each(|place| log.send(at, conn, &frames[place]));
        let lines = described(&log);
        assert_eq!(lines[1], "#1 sends packets 1, 2, 2, 3, one write each");
        assert_eq!(lines[3], "#1 sends packets 1-14, and again packets 1-5, 7, one write each");
    }

    #[test]
    fn a_request_for_billions_of_packets_is_one_line() {
        let mut log = WireLog::default();
        let conn = log.open(Protocol::Betacrew, Duration::ZERO);
        for (first, count) in [(1, u32::MAX.into()), (u32::MAX.into(), 2), (5, 0)] {
            log.call(Duration::ZERO, conn, Call::ResendRange { first, count });
        }
        let lines = described(&log);
        assert_eq!(lines[1], "#1 requests packets 1-4294967295");
        assert_eq!(lines[3], "#1 requests no packets");
    }
}
