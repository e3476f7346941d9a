//! What `fetch` keeps while it records: the packets and, where asked for, each gap's history.

use feed::ledger::{Origin, Sink, Source};
use feed::recording::Recording;
use feed::seq::SeqRange;
use feed::wire::{Frame, RawFrame, decode, sequence_of};
use std::time::Duration;

/// A gap, or a piece of one, that was filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filled {
    /// What was missing.
    pub range: SeqRange,
    /// When it was found missing, since the recording began.
    pub opened: Duration,
    /// How long it was missing.
    pub after: Duration,
    /// How it came.
    pub by: Origin,
}

/// A recording in memory, with the history of its gaps if that is wanted.
#[derive(Debug)]
pub struct Capture {
    /// The packets.
    pub recording: Recording,
    /// How many gaps were found.
    pub gaps_found: u64,
    /// How many packets were missing at some time.
    pub packets_missed: u64,
    /// How many of them came by resend, and how many by later passes or other lines.
    pub recovered: (u64, u64),
    /// How each gap was filled; `None` if that is not wanted.
    pub filled: Option<Vec<Filled>>,
    /// The longest that anything was missing before it came.
    pub longest: Duration,
    /// The first packets that came again with other content: what was recorded, and what came.
    pub conflicts: Vec<(RawFrame, RawFrame)>,
}

/// So many conflicting packets are kept to be shown.
const CONFLICTS_SHOWN: usize = 8;

impl Capture {
    /// An empty one. `history`: keep how each gap was filled.
    #[must_use]
    pub fn new(history: bool) -> Self {
        Self {
            recording: Recording::new(),
            gaps_found: 0,
            packets_missed: 0,
            recovered: (0, 0),
            filled: history.then(Vec::new),
            longest: Duration::ZERO,
            conflicts: Vec::new(),
        }
    }

    /// The first conflicts as text.
    pub fn conflict_texts(&self) -> impl Iterator<Item = String> + '_ {
        let text = |frame: &RawFrame| match decode(frame) {
            Ok(Frame::Packet(packet)) => packet.to_string(),
            _ => format!("{frame:?}"),
        };
        self.conflicts.iter().map(move |(old, new)| format!("{}, then {}", text(old), text(new)))
    }
}

impl Sink for Capture {
    fn fresh(&mut self, origin: Origin, frames: &[RawFrame]) {
        self.recording.fresh(origin, frames);
    }

    fn again(&mut self, origin: Origin, frames: &[RawFrame]) -> u32 {
        let count = self.recording.again(origin, frames);
        if count > 0 && self.conflicts.len() < CONFLICTS_SHOWN {
            let differing = frames.iter().filter_map(|new| {
                let old = self.recording.get(sequence_of(new)).filter(|old| *old != new)?;
                Some((*old, *new))
            });
            self.conflicts.extend(differing.take(CONFLICTS_SHOWN - self.conflicts.len()));
        }
        count
    }

    fn opened(&mut self, gap: SeqRange, _: Duration) {
        self.gaps_found += 1;
        self.packets_missed += u64::from(gap.len());
    }

    fn filled(&mut self, range: SeqRange, after: Duration, by: Origin, now: Duration) {
        self.longest = self.longest.max(after);
        match by.source {
            Source::Resend => self.recovered.0 += u64::from(range.len()),
            Source::Stream { .. } => self.recovered.1 += u64::from(range.len()),
        }
        if let Some(filled) = &mut self.filled {
            filled.push(Filled { range, opened: now.saturating_sub(after), after, by });
        }
    }
}
