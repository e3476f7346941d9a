//! Parts of a tape file that were read last, for exchanges that play it from many places at once.

use crate::base::seq::{FIRST_SEQ, Seq, SeqRange, to_index};
use crate::ledger::Source;
use crate::storage::Storage;
use crate::tape::file::{BlockHead, BlockKind, Layout, TapeFile};
use crate::wire::{Framing, Messages, RawFrame, Run, sequence_of};
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Number of packets that are sorted together.
const PACKETS: u64 = 4096;
/// Number of bytes of a run from which a part is not continued with the next block.
const RUN_BYTES: usize = 32 * 1024;
/// Maximum number of parts kept (3 MiB of packets or of short messages in all), one for each of as
/// many streams.
const WINDOWS: usize = 32;

/// Parts of a tape file that were read last, the latest first.
#[derive(Default, Debug)]
pub(super) struct Windows(VecDeque<Window>);

impl Windows {
    /// Returns the part of the file that has a sequence, with the message of that sequence. `last`
    /// is the last sequence that is played.
    ///
    /// # Errors
    /// Returns the reason if the file cannot be read, or lacks a message.
    pub(super) fn with<S: Storage>(
        &mut self,
        file: &TapeFile<S>,
        seq: Seq,
        last: Seq,
    ) -> Result<Option<&mut Window>, String> {
        if let Some(at) = self.0.iter().position(|held| held.span.contains(seq)) {
            if let Some(found) = self.0.remove(at) {
                self.0.push_front(found);
            }
            return Ok(self.0.front_mut());
        }
        // A part that follows another one does not arrive before it.
        let before = self.0.iter().find(|held| held.span.last() + 1 == seq);
        let since = before.and_then(|held| held.arrived.last()).map_or(0, |(_, time)| *time);
        let read = match file.layout() {
            Some(Layout::Run(_)) => Window::of_run(file, seq, last, since),
            _ => Window::of_packets(file, seq, last),
        };
        self.0.truncate(WINDOWS - 1);
        self.0.push_front(read?);
        Ok(self.0.front_mut())
    }
}

/// Part of a tape file.
#[derive(Debug)]
pub(super) struct Window {
    span: SeqRange,
    content: Content,
    /// Sequences, each with the arrival time that applies from there on; both ascend.
    arrived: Vec<(Seq, u64)>,
}

#[derive(Debug)]
enum Content {
    Packets(Vec<RawFrame>),
    Run {
        framing: Framing,
        bytes: Vec<u8>,
        /// Sequence and offset of the message behind the last one that was returned.
        next: (Seq, usize),
    },
}

impl Window {
    /// Reads the packets around `seq`.
    fn of_packets<S: Storage>(file: &TapeFile<S>, seq: Seq, last: Seq) -> Result<Self, String> {
        let first = FIRST_SEQ + (seq - FIRST_SEQ) / PACKETS * PACKETS;
        let end = (first + PACKETS).min(last + 1);
        let mut frames = Vec::with_capacity(to_index(PACKETS));
        let mut arrived: Vec<(Seq, u64)> = Vec::new();
        let mut latest = 0;
        let mut reading = file.in_order(first);
        while let Some(piece) = reading.next().map_err(|error| error.to_string())? {
            let packets = piece.packets();
            let fits = packets.partition_point(|frame| sequence_of(frame) < end);
            frames.extend_from_slice(&packets[..fits]);
            if let Some(frame) =
                packets.first().filter(|_| in_time(&piece.block) && piece.block.arrived > latest)
            {
                latest = piece.block.arrived;
                arrived.push((sequence_of(frame), latest));
            }
            if fits < packets.len() {
                break;
            }
        }
        let is_whole = (first..).zip(&frames).all(|(seq, frame)| sequence_of(frame) == seq);
        let span = SeqRange::counted(first, frames.len() as u64).filter(|span| span.contains(seq));
        let span = span.filter(|_| is_whole).ok_or_else(missing)?;
        Ok(Self { span, content: Content::Packets(frames), arrived })
    }

    /// Reads messages from `seq` on. `since` is the time of the message before; 0 if it is unknown.
    ///
    /// Where messages are missed and resent, blocks are small and alternate, so a part joins many
    /// of them: those that arrived in time then tell the time of those that were resent.
    fn of_run<S: Storage>(
        file: &TapeFile<S>,
        seq: Seq,
        last: Seq,
        since: u64,
    ) -> Result<Self, String> {
        let (mut bytes, mut arrived, mut latest) = (Vec::new(), Vec::new(), since);
        let mut found: Option<(SeqRange, Framing)> = None;
        if since > 0 {
            arrived.push((seq, since));
        }
        let mut begun = 0;
        let mut reading = file.in_order(seq);
        while bytes.len() < RUN_BYTES
            && let Some(piece) = reading.next().map_err(|error| error.to_string())?
        {
            let next = found.map_or(seq, |(span, _)| span.last() + 1);
            let wanted = SeqRange::new(next, last.max(seq));
            let (Messages::Run(run), Some(wanted)) = (piece.messages, wanted) else { break };
            let run = run.part(wanted).filter(|run| run.range().first() == next);
            let same = |run: &Run<'_>| found.is_none_or(|(_, framing)| framing == run.framing());
            let Some(run) = run.filter(same) else { break };
            if in_time(&piece.block) && piece.block.arrived > latest {
                latest = piece.block.arrived;
                arrived.push((next, latest));
            }
            if found.is_none() {
                begun = piece.block.arrived;
            }
            bytes.extend_from_slice(run.bytes());
            let span = SeqRange::new(seq, run.range().last()).ok_or_else(missing)?;
            found = Some((span, run.framing()));
        }
        if arrived.is_empty() && seq == FIRST_SEQ && begun > 0 {
            // The beginning of the session was resent to a client that joined it late.
            arrived.push((seq, begun));
        }
        let (span, framing) = found.ok_or_else(missing)?;
        Ok(Self { span, content: Content::Run { framing, bytes, next: (seq, 0) }, arrived })
    }

    /// Returns the messages of `range` that are in this part. The first of them must be.
    pub(super) fn messages(&mut self, range: SeqRange) -> Messages<'_> {
        let Some(common) = self.span.intersect(range) else { return Messages::NONE };
        match &mut self.content {
            Content::Packets(frames) => {
                let start = to_index(common.first() - self.span.first());
                let end = start + to_index(common.len());
                Messages::Packets(frames.get(start..end).unwrap_or_default())
            }
            Content::Run { framing, bytes, next } => {
                // Streams go on where they stopped, so that their messages need not be counted from
                // the beginning of the part.
                let (seq, offset) = match *next {
                    (seq, offset) if seq <= common.first() => (seq, offset),
                    _ => (self.span.first(), 0),
                };
                let rest = bytes.get(offset..).unwrap_or_default();
                let count = (self.span.last() + 1).saturating_sub(seq);
                let rest = Run::counted(seq, count, *framing, rest);
                let Some((skipped, part)) = rest.and_then(|rest| rest.part_at(common)) else {
                    return Messages::NONE;
                };
                *next = (common.last() + 1, offset + skipped + part.bytes().len());
                Messages::Run(part)
            }
        }
    }

    /// Returns the arrival time of a message, in nanoseconds since 1970.
    pub(super) fn arrived(&self, seq: Seq) -> Option<u64> {
        let before = self.arrived.partition_point(|(first, _)| *first <= seq);
        self.arrived.get(before.saturating_sub(1)).map(|(_, time)| *time)
    }
}

/// Returns true if a block arrived when its messages were sent. A message that was resent arrived
/// late, and must not delay those that arrived in time.
fn in_time(block: &BlockHead) -> bool {
    matches!(block.kind, BlockKind::Messages(origin, _) if origin.source != Source::Resend)
}

fn missing() -> String {
    "messages are missing in it that its index has".to_string()
}
