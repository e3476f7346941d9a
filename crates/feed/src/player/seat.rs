//! One connection of the player: what it owes, and how far that is sent.
//!
//! Nothing to be sent is stored: it is made when the socket takes it, and made again from where
//! the socket stopped. So a client that does not read costs no buffer.

use crate::drops::Drops;
use crate::pace::Pace;
use crate::play::Play;
use crate::seq::{FIRST_SEQ, Seq, SeqRange};
use crate::wire::{CallDecoder, FRAME_LEN, RawFrame};
use alloc::collections::VecDeque;
use core::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    /// The rest of the tape from `next`, without what the pass loses. Always the last reply; called
    /// for at `began`.
    Stream { pass: u32, next: Seq, began: Duration },
    /// These packets.
    Range(SeqRange),
    /// A message of the extension.
    Message(RawFrame),
}

/// One connection of a [`Player`](super::Player).
#[derive(Debug)]
pub struct Seat {
    pub(super) index: u64,
    passes: u32,
    pub(super) calls: CallDecoder,
    replies: VecDeque<Reply>,
    /// Bytes of the first owed frame that are sent already.
    offset: u8,
    streamed: bool,
    /// It asked for what does not exist, and will be closed.
    pub(super) refused: bool,
    pub(super) resent: bool,
    pub(super) client_ended: bool,
    /// When we finished sending for good.
    pub(super) finished: Option<Duration>,
    pub(super) active: Duration,
}

impl Seat {
    pub(super) fn new(index: u64, now: Duration) -> Self {
        Self {
            index,
            passes: 0,
            calls: CallDecoder::new(),
            replies: VecDeque::new(),
            offset: 0,
            streamed: false,
            refused: false,
            resent: false,
            client_ended: false,
            finished: None,
            active: now,
        }
    }

    /// Whether no further call will be answered.
    pub(super) fn settled(&self) -> bool {
        self.streamed || self.refused
    }

    /// Whether silence ends it.
    pub(super) fn idles(&self) -> bool {
        (self.resent || self.calls.stuck()) && !self.calls.extended()
    }

    pub(super) fn owed(&self) -> usize {
        self.replies.len()
    }

    pub(super) fn offset(&self) -> usize {
        usize::from(self.offset)
    }

    pub(super) fn begin_stream(&mut self, now: Duration) -> u32 {
        let pass = self.passes;
        self.passes += 1;
        self.streamed = true;
        self.replies.push_back(Reply::Stream { pass, next: FIRST_SEQ, began: now });
        pass
    }

    /// When the stream that is owed first began, and its next packet.
    pub(super) fn held_back(&self) -> Option<(Duration, Seq)> {
        match self.replies.front() {
            Some(Reply::Stream { next, began, .. }) => Some((*began, *next)),
            _ => None,
        }
    }

    pub(super) fn owe(&mut self, reply: Reply) {
        self.replies.push_back(reply);
    }

    /// Owes packets; a range that goes on where the last one ends makes that one longer.
    pub(super) fn owe_range(&mut self, range: SeqRange) {
        if let Some(Reply::Range(last)) = self.replies.back_mut()
            && last.last() + 1 == range.first()
            && let Some(longer) = SeqRange::new(last.first(), range.last())
        {
            *last = longer;
        } else {
            self.replies.push_back(Reply::Range(range));
        }
    }

    /// Puts what is owed into `out`, whole frames but for the first, and returns how many bytes.
    pub(super) fn peek(
        &self,
        tape: &mut impl Play,
        (drops, pace, now): (&Drops, Pace, Duration),
        out: &mut [u8],
    ) -> usize {
        let mut out = Frames { out, len: 0, skip: self.offset() };
        for reply in &self.replies {
            let room = match reply {
                Reply::Message(frame) => out.put(frame),
                Reply::Range(range) => out.put_range(tape, *range),
                Reply::Stream { pass, next, began } => {
                    let elapsed = now.saturating_sub(*began);
                    let to = tape.last().min(pace.limit(elapsed));
                    drops.kept(self.index, *pass, *next, to).all(|part| {
                        let due = pace.due_of(tape, part, elapsed);
                        due.is_some_and(|due| out.put_range(tape, due)) && due == Some(part)
                    })
                }
            };
            if !room {
                break;
            }
        }
        out.len
    }

    /// `count` bytes of what is owed are sent. Returns how many packets the stream lost between
    /// what was sent before and the next packet to be sent.
    pub(super) fn advance(&mut self, last: Seq, drops: &Drops, count: usize) -> u64 {
        let mut bytes = self.offset() + count;
        while let Some(reply) = self.replies.front_mut() {
            match reply {
                Reply::Stream { pass, next, .. } => {
                    let kept = drops.kept(self.index, *pass, *next, last);
                    let (after, sent) = skip(kept, last + 1, bytes / FRAME_LEN);
                    bytes -= sent * FRAME_LEN;
                    let lost = u64::from(after - *next) - sent as u64;
                    *next = after;
                    if after > last {
                        self.replies.pop_front();
                    }
                    self.offset = u8::try_from(bytes).unwrap_or(0);
                    return lost;
                }
                Reply::Range(range) => {
                    let sent =
                        u32::try_from(bytes / FRAME_LEN).unwrap_or(u32::MAX).min(range.len());
                    bytes -= sent as usize * FRAME_LEN;
                    if let Some(rest) = range.from(range.first() + sent) {
                        *range = rest;
                        break;
                    }
                }
                Reply::Message(_) => match bytes.checked_sub(FRAME_LEN) {
                    Some(rest) => bytes = rest,
                    None => break,
                },
            }
            self.replies.pop_front();
        }
        self.offset = u8::try_from(bytes).unwrap_or(0);
        0
    }
}

/// Whole frames (the first perhaps without its beginning) in a buffer.
struct Frames<'a> {
    out: &'a mut [u8],
    len: usize,
    skip: usize,
}

impl Frames<'_> {
    /// Puts packets of the tape; whether all of them found room.
    fn put_range(&mut self, tape: &mut impl Play, range: SeqRange) -> bool {
        let mut range = range;
        loop {
            let frames = tape.frames(range);
            let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
            if count == 0 || !frames.iter().all(|frame| self.put(frame)) {
                return false;
            }
            match range.from(range.first() + count) {
                Some(rest) => range = rest,
                None => return true,
            }
        }
    }

    fn put(&mut self, frame: &RawFrame) -> bool {
        let part = &frame[core::mem::take(&mut self.skip)..];
        let Some(place) = self.out.get_mut(self.len..self.len + part.len()) else { return false };
        place.copy_from_slice(part);
        self.len += part.len();
        true
    }
}

/// The next kept sequence (or the one after the last) once `frames` of the `parts` that begin with
/// `next` are sent, and how many of them there were.
fn skip(parts: impl Iterator<Item = SeqRange>, end: Seq, frames: usize) -> (Seq, usize) {
    let mut sent = 0;
    for part in parts {
        let more = frames - sent;
        if more < part.len() as usize {
            return (part.first() + u32::try_from(more).unwrap_or(0), sent + more);
        }
        sent += part.len() as usize;
    }
    (end, sent)
}
