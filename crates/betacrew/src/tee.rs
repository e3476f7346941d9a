//! What is recorded, written on in order of sequence while it is recorded.

use crate::capture::Capture;
use crate::failure::Failure;
use crate::format::{Arrival, Encoder};
use feed::ledger::{Origin, Sink};
use feed::seq::{FIRST_SEQ, Seq, SeqRange};
use feed::wire::{Info, RawFrame, sequence_of};
use std::io;
use std::time::Duration;

/// Where packets never stop coming, nothing is ever idle: then what has become whole is written on
/// so often.
const HASTE: Duration = Duration::from_millis(5);

/// Records into a capture, and writes what is there without a gap.
pub(crate) struct Tee<'a> {
    capture: &'a mut Capture,
    out: Option<Out<'a>>,
}

struct Out<'a> {
    encoder: Box<dyn Encoder + 'a>,
    /// The next sequence to be written.
    next: Seq,
    /// A gap was filled, so that more may be there in the recording.
    behind: bool,
    /// When the recording was read last for that.
    read: Duration,
    /// Something was written that may not have left yet.
    unflushed: bool,
    failure: Option<io::Error>,
}

impl<'a> Tee<'a> {
    /// Records, and writes with this encoder what comes; what was recorded before as well.
    pub(crate) fn new(capture: &'a mut Capture, encoder: Option<Box<dyn Encoder + 'a>>) -> Self {
        let behind = capture.packets() > 0;
        let out = encoder.map(|encoder| Out {
            encoder,
            next: FIRST_SEQ,
            behind,
            read: Duration::ZERO,
            unflushed: false,
            failure: None,
        });
        Self { capture, out }
    }

    /// Writes what is left. Whoever closed the pipe does not want more.
    ///
    /// # Errors
    /// What went wrong with the recording or the place.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.capture.end()?;
        self.catch_up();
        let Some(out) = self.out else { return Ok(()) };
        let done = match out.failure {
            Some(error) => Err(error),
            None => out.encoder.finish(),
        };
        match done {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::System { action: "cannot write to stdout", source: error })
            }
            _ => Ok(()),
        }
    }

    /// Writes what lies in the recording, up to the next gap.
    fn catch_up(&mut self) {
        let Some(out) = self.out.as_mut().filter(|out| out.behind && out.failure.is_none()) else {
            return;
        };
        out.behind = false;
        let mut gap = false;
        let read = self.capture.read_from(out.next, &mut |frames, arrival| {
            if !gap {
                let written = out.put(frames, arrival);
                gap = written < frames.len();
            }
            if gap { Err(Failure::Stopped) } else { Ok(()) }
        });
        match read {
            Ok(()) | Err(Failure::Stopped) => {}
            // The recording's failure is told by it.
            Err(_) => out.behind = true,
        }
    }
}

impl Out<'_> {
    /// Writes the packets that come next; returns how many that was.
    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> usize {
        let known = frames.partition_point(|frame| sequence_of(frame) < self.next);
        let next = (self.next..).zip(&frames[known..]);
        let count = next.take_while(|(seq, frame)| sequence_of(frame) == *seq).count();
        if count > 0 && self.failure.is_none() {
            let fresh = &frames[known..known + count];
            if let Err(error) = self.encoder.put(fresh, arrival) {
                self.failure = Some(error);
            }
            self.next += u32::try_from(count).unwrap_or(0);
            self.unflushed = true;
        }
        known + count
    }
}

impl Sink for Tee<'_> {
    fn fresh(&mut self, origin: Origin, frames: &[RawFrame], now: Duration) {
        self.capture.fresh(origin, frames, now);
        match &mut self.out {
            // What comes after a gap waits in the recording.
            Some(out) if !out.behind => {
                out.put(frames, self.capture.arrival(origin, now));
            }
            Some(out) if now >= out.read + HASTE => {
                out.read = now;
                self.capture.flush();
                self.catch_up();
            }
            _ => {}
        }
    }

    fn again(&mut self, origin: Origin, frames: &[RawFrame]) -> u32 {
        self.capture.again(origin, frames)
    }

    fn opened(&mut self, gap: SeqRange, now: Duration) {
        self.capture.opened(gap, now);
    }

    fn filled(&mut self, piece: SeqRange, age: Duration, origin: Origin, now: Duration) {
        self.capture.filled(piece, age, origin, now);
        if let Some(out) = &mut self.out {
            out.behind |= piece.first() <= out.next;
        }
    }

    fn session(&mut self, info: Info, now: Duration) {
        self.capture.session(info, now);
    }

    fn idle(&mut self, now: Duration) -> Option<Duration> {
        if self.out.as_ref().is_some_and(|out| out.behind) {
            self.capture.flush();
            self.catch_up();
        }
        if let Some(out) = self.out.as_mut().filter(|out| out.unflushed) {
            out.unflushed = false;
            if let Err(error) = out.encoder.flush() {
                out.failure.get_or_insert(error);
            }
        }
        self.capture.idle(now)
    }

    fn failed(&self) -> bool {
        self.capture.failed() || self.out.as_ref().is_some_and(|out| out.failure.is_some())
    }
}
