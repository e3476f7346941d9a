//! Buffer of one write, filled with the frames that a connection has to send.

use crate::base::seq::{Seq, SeqRange, to_index};
use crate::exchange::server::betacrew::faulted_run::{self, SendAction};
use crate::faults::engine::{BLOCK, FaultEngine, RunId};
use crate::tape::source::TapeSource;
use crate::wire::{FRAME_LEN, Frame, RawFrame, encode};
use alloc::collections::VecDeque;

/// Frames of one write. The first may lack bytes that are sent already; the last one is whole
/// unless frames may be split.
pub(super) struct SendBuffer<'a> {
    /// Room of the buffer.
    pub(super) out: &'a mut [u8],
    /// Number of bytes in the buffer.
    pub(super) len: usize,
    /// Number of bytes of the first frame that are sent already.
    pub(super) skip: usize,
    /// True if the write may end inside a frame.
    pub(super) may_split: bool,
}

impl SendBuffer<'_> {
    /// Appends packets of the tape. Returns whether all of them fitted.
    pub(super) fn put_range(&mut self, tape: &mut impl TapeSource, range: SeqRange) -> bool {
        let mut range = range;
        loop {
            let frames = tape.messages(range).packets();
            let count = frames.len() as u64;
            if count == 0 || !self.put_all(frames) {
                return false;
            }
            match range.from(range.first() + count) {
                Some(rest) => range = rest,
                None => return true,
            }
        }
    }

    /// Appends the packets of a run that only drops packets, a block of 64 sequences at a time,
    /// while whole blocks fit. Returns the first sequence that is not appended.
    pub(super) fn put_kept(
        &mut self,
        tape: &mut impl TapeSource,
        faults: &FaultEngine,
        run_id: RunId,
        (from, to): (Seq, Seq),
    ) -> Seq {
        let mut from = from;
        if self.skip > 0 {
            // The packet that is partly sent.
            let first = faults.kept(run_id, from, to).next();
            match first.map(|part| part.first()) {
                Some(seq) if self.put_range(tape, SeqRange::one(seq)) => from = seq + 1,
                _ => return from,
            }
        }
        while let Some(range) = SeqRange::new(from, from | (BLOCK - 1)).filter(|r| r.last() <= to) {
            let frames = tape.messages(range).packets();
            let kept = !faults.drop_mask(run_id, from / BLOCK) >> (from % BLOCK);
            if frames.len() < to_index(range.len()) || !self.put_masked(frames, kept) {
                break;
            }
            from = range.last() + 1;
        }
        from
    }

    /// Appends the frames of a block whose bit is set. Returns `false`, and appends no frame, if
    /// there is no room for the whole block.
    ///
    /// Copies every frame, and copies the next one over it unless it is kept, because a processor
    /// cannot predict which ones are kept: a branch for each would cost more than the copy.
    fn put_masked(&mut self, frames: &[RawFrame], kept: u64) -> bool {
        const ALL: usize = u64::BITS as usize;
        let room = self.out[self.len..].as_chunks_mut().0.first_chunk_mut::<ALL>();
        let Some(room) = room else { return false };
        let mut count = 0;
        for (bit, frame) in frames.iter().take(ALL).enumerate() {
            room[count % ALL] = *frame;
            count += usize::from(kept >> bit & 1 == 1);
        }
        self.len += count * FRAME_LEN;
        true
    }

    /// Appends the actions of a faulted run up to the first that is no bytes. Returns whether all
    /// were bytes and fitted.
    pub(super) fn put_actions(
        &mut self,
        tape: &mut impl TapeSource,
        actions: &VecDeque<SendAction>,
    ) -> bool {
        actions.iter().all(|action| match *action {
            SendAction::Packet { seq, len } => {
                match tape.messages(SeqRange::one(seq)).packets().first() {
                    Some(frame) => self.put(&frame[..usize::from(len)]),
                    None => false,
                }
            }
            SendAction::Changed { seq, field, bits } => {
                match tape.messages(SeqRange::one(seq)).packets().first() {
                    Some(frame) => self.put(&faulted_run::corrupt(frame, field, bits)),
                    None => false,
                }
            }
            SendAction::Garbage { key, len } => {
                let mut bytes = [0; u8::MAX as usize];
                let bytes = &mut bytes[..usize::from(len)];
                faulted_run::fill_garbage(key, bytes);
                // Garbage may be longer than the buffer, so it may always be split.
                let may_split = core::mem::replace(&mut self.may_split, true);
                let whole = self.put(bytes);
                self.may_split = may_split;
                whole
            }
            SendAction::Refusal(refusal) => self.put(&encode(&Frame::NotAvailable(refusal))),
            SendAction::Write { .. } => self.may_split || self.len == 0,
            SendAction::Wait(_) | SendAction::End(_) => false,
        })
    }

    /// Appends frames. Returns whether all of them fitted.
    fn put_all(&mut self, frames: &[RawFrame]) -> bool {
        let bytes = frames.as_flattened();
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if self.skip == 0 => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
                true
            }
            _ => frames.iter().all(|frame| self.put(frame)),
        }
    }

    /// Appends a frame. Returns whether all of it fitted.
    pub(super) fn put(&mut self, bytes: &[u8]) -> bool {
        let part = &bytes[core::mem::take(&mut self.skip)..];
        let room = self.out.len() - self.len;
        if part.len() > room && !self.may_split {
            return false;
        }
        let count = part.len().min(room);
        self.out[self.len..self.len + count].copy_from_slice(&part[..count]);
        self.len += count;
        count == part.len()
    }
}
