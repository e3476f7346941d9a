//! What a connection owes, put into a buffer.

use crate::base::seq::{Seq, SeqRange};
use crate::exchange::server::faulted_run::{self, SendAction};
use crate::faults::engine::{BLOCK, FaultEngine, RunId};
use crate::tape::source::TapeSource;
use crate::wire::{FRAME_LEN, Frame, RawFrame, encode};
use alloc::collections::VecDeque;

/// Frames in a buffer: the first perhaps without its beginning, the last one whole unless `cut`.
pub(super) struct SendBuffer<'a> {
    pub(super) out: &'a mut [u8],
    pub(super) len: usize,
    /// Bytes of the first frame that are sent already.
    pub(super) skip: usize,
    /// The write ends wherever the buffer does.
    pub(super) cut: bool,
}

impl SendBuffer<'_> {
    /// Puts packets of the tape; whether all of them found room.
    pub(super) fn put_range(&mut self, tape: &mut impl TapeSource, range: SeqRange) -> bool {
        let mut range = range;
        loop {
            let frames = tape.frames(range);
            let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
            if count == 0 || !self.put_all(frames) {
                return false;
            }
            match range.from(range.first() + count) {
                Some(rest) => range = rest,
                None => return true,
            }
        }
    }

    /// Puts what a plain run keeps, a block at a time, as far as there is room for whole blocks;
    /// returns from where on the rest is to be put.
    pub(super) fn put_kept(
        &mut self,
        tape: &mut impl TapeSource,
        faults: &FaultEngine,
        course: RunId,
        (from, to): (Seq, Seq),
    ) -> Seq {
        let mut from = from;
        if self.skip > 0 {
            // The one that was sent in part.
            let first = faults.kept(course, from, to).next();
            match first.map(|part| part.first()) {
                Some(seq) if self.put_range(tape, SeqRange::one(seq)) => from = seq + 1,
                _ => return from,
            }
        }
        while let Some(range) = SeqRange::new(from, from | (BLOCK - 1)).filter(|r| r.last() <= to) {
            let frames = tape.frames(range);
            let kept = !faults.lost(course, from / BLOCK) >> (from % BLOCK);
            if frames.len() < range.len() as usize || !self.compact(frames, kept) {
                break;
            }
            from = range.last() + 1;
        }
        from
    }

    /// Puts those of a block's frames that have a bit; nothing, and `false`, where there is no room
    /// for all. Each is copied and the next copied over it unless it is kept: which ones are cannot
    /// be predicted, and a branch for each would cost more than the copy.
    fn compact(&mut self, frames: &[RawFrame], kept: u64) -> bool {
        const ALL: usize = BLOCK as usize;
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

    /// Puts a lane's items up to where something else than bytes comes.
    pub(super) fn put_items(
        &mut self,
        tape: &mut impl TapeSource,
        items: &VecDeque<SendAction>,
    ) -> bool {
        items.iter().all(|item| match *item {
            SendAction::Packet { seq, len } => match tape.frames(SeqRange::one(seq)).first() {
                Some(frame) => self.put(&frame[..usize::from(len)]),
                None => false,
            },
            SendAction::Changed { seq, field, bits } => {
                match tape.frames(SeqRange::one(seq)).first() {
                    Some(frame) => self.put(&faulted_run::changed(frame, field, bits)),
                    None => false,
                }
            }
            SendAction::Garbage { key, len } => {
                let mut bytes = [0; u8::MAX as usize];
                let bytes = &mut bytes[..usize::from(len)];
                faulted_run::garbage(key, bytes);
                // It may be longer than any buffer need be.
                let cut = core::mem::replace(&mut self.cut, true);
                let whole = self.put(bytes);
                self.cut = cut;
                whole
            }
            SendAction::Refusal(refusal) => self.put(&encode(&Frame::NotAvailable(refusal))),
            SendAction::Write { .. } => self.cut || self.len == 0,
            SendAction::Wait(_) | SendAction::End(_) => false,
        })
    }

    /// Puts frames; whether all of them found room.
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

    /// Puts a frame; whether it found room.
    pub(super) fn put(&mut self, bytes: &[u8]) -> bool {
        let part = &bytes[core::mem::take(&mut self.skip)..];
        let room = self.out.len() - self.len;
        if part.len() > room && !self.cut {
            return false;
        }
        let count = part.len().min(room);
        self.out[self.len..self.len + count].copy_from_slice(&part[..count]);
        self.len += count;
        count == part.len()
    }
}
