//! Streams: the messages of one session, as all lines that carry them have brought them together.

use super::timeline::Histogram;
use super::tracker::{DatagramSpan, SequenceTracker};
use feed::base::seq::{Seq, to_index};
use feed::wire::SessionId;

/// Number of messages that are compared with those of other lines: the last ones of a stream.
const WINDOW: usize = 1 << 15;

/// Maximum number of datagrams and messages that a line holds back until its stream is known.
pub(super) const HELD_BACK_MAX: usize = 4_096;

/// First copy of a message.
#[derive(Clone, Copy, Default, Debug)]
struct FirstCopy {
    /// Sequence of the message; 0 if there is none.
    seq: Seq,
    /// Time in nanoseconds since 1970.
    at: u64,
    checksum: u32,
    /// Place of the line among the lines of the stream.
    line: u16,
    /// True once another line has brought the message as well.
    is_paired: bool,
}

/// Messages of a datagram, by their checksums.
#[derive(Clone, Debug)]
pub(super) struct DatagramSums {
    pub(super) span: DatagramSpan,
    pub(super) at: u64,
    /// Checksum of each message that was captured as a whole.
    pub(super) sums: Vec<u32>,
}

/// Line of a stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamMember {
    /// Index of the line in the survey.
    pub(crate) line: usize,
    /// Times by which the line was ahead of the second copy, of all messages that it had first.
    pub(crate) leads: Histogram,
}

/// Messages of one session, from all lines that carry them.
#[derive(Clone, Debug)]
pub(crate) struct CaptureStream {
    /// Session of the messages.
    pub(crate) session: SessionId,
    /// Lines that carry the stream's messages.
    pub(crate) members: Vec<StreamMember>,
    /// Sequences that all lines together have brought.
    pub(crate) tracker: SequenceTracker,
    /// Number of messages that any line has brought.
    pub(crate) messages: u64,
    /// Number of messages that two lines brought at the same time.
    pub(crate) ties: u64,
    /// Number of copies whose content differs from the first one.
    pub(crate) different: u64,
    /// Sequence of the first such copy.
    pub(crate) first_different: Option<Seq>,
    window: Vec<FirstCopy>,
}

/// Result of comparing messages with those of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Likeness {
    /// Some messages have the same sequence and content.
    Same,
    /// A message has the same sequence and another content.
    Different,
    /// No message has a sequence that is still known.
    Unknown,
}

impl CaptureStream {
    pub(super) fn new(session: SessionId) -> Self {
        Self {
            session,
            members: Vec::new(),
            tracker: SequenceTracker::default(),
            messages: 0,
            ties: 0,
            different: 0,
            first_different: None,
            window: vec![FirstCopy::default(); WINDOW],
        }
    }

    fn slot(seq: Seq) -> usize {
        to_index(seq % WINDOW as u64)
    }

    /// Adds a line. Returns its place among the lines of the stream.
    pub(super) fn join(&mut self, line: usize) -> usize {
        self.members.push(StreamMember { line, leads: Histogram::default() });
        self.members.len() - 1
    }

    /// Compares messages with the last ones of the stream.
    pub(super) fn likeness(&self, datagram: &DatagramSums) -> Likeness {
        for (seq, sum) in (datagram.span.first..).zip(&datagram.sums) {
            let copy = self.window[Self::slot(seq)];
            if copy.seq == seq {
                return if copy.checksum == *sum { Likeness::Same } else { Likeness::Different };
            }
        }
        Likeness::Unknown
    }

    /// Takes the messages of a datagram of a line.
    pub(super) fn take(&mut self, member: usize, datagram: &DatagramSums) {
        let DatagramSums { span, at, sums } = datagram;
        let line = u16::try_from(member).unwrap_or(u16::MAX);
        let (window, messages) = (&mut self.window, &mut self.messages);
        self.tracker.take(*span, *at, &mut |range| {
            *messages += range.len();
            for seq in range.first()..=range.last() {
                let sum = sums.get(to_index(seq - span.first)).copied().unwrap_or_default();
                let copy = FirstCopy { seq, at: *at, checksum: sum, line, is_paired: false };
                window[Self::slot(seq)] = copy;
            }
        });
        if self.members.len() < 2 {
            return;
        }
        for (seq, sum) in (span.first..).zip(sums) {
            let copy = &mut self.window[Self::slot(seq)];
            if copy.seq != seq || copy.line == line {
                continue;
            }
            if copy.checksum != *sum {
                self.different += 1;
                self.first_different = self.first_different.or(Some(seq));
            }
            if copy.is_paired {
                continue;
            }
            copy.is_paired = true;
            let lead = at.saturating_sub(copy.at);
            if lead == 0 {
                self.ties += 1;
            } else if let Some(first) = self.members.get_mut(usize::from(copy.line)) {
                first.leads.add(lead);
            }
        }
    }
}

/// Stream of a line's session, or the datagrams that are held back until it is known.
#[derive(Clone, Debug)]
pub(super) enum Membership {
    /// Datagrams so far.
    HeldBack {
        datagrams: Vec<DatagramSums>,
        /// Number of the lines' messages.
        messages: usize,
    },
    /// Index of the stream, and the place of the line among its lines.
    Member { stream: usize, place: usize },
    /// The stream has no place any more, because there are too many.
    LeftOut,
}

impl Membership {
    pub(super) const NEW: Self = Self::HeldBack { datagrams: Vec::new(), messages: 0 };

    /// Returns the number of datagrams that are held back, and of their messages, together.
    pub(super) fn held_back(&self) -> usize {
        match self {
            Self::HeldBack { datagrams, messages } => datagrams.len() + messages,
            _ => 0,
        }
    }
}
