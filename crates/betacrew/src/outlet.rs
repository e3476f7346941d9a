//! Where packets go on to in order of sequence while they are recorded.

use crate::failure::Failure;
use crate::format::{Arrival, Encoder, Format, Mark, Place};
use feed::seq::{FIRST_SEQ, Seq};
use feed::wire::{RawFrame, SessionId};
use std::io;
use std::time::Duration;

/// A place that takes packets one after the other: what is offered next is always the sequence
/// after the last one taken, or after a mark that leaves sequences out.
///
/// It need not be as fast as the recording: what it does not take is offered again from there.
pub trait Outlet {
    /// Begins with a session, or with one that nobody has told. Returns the first sequence that it
    /// wants; it may have some from before.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn begin(&mut self, session: Option<SessionId>) -> Result<Seq, Failure> {
        let _ = session;
        Ok(FIRST_SEQ)
    }

    /// Takes packets with contiguous sequences; returns how many. Fewer than all: it is full for
    /// now.
    ///
    /// # Errors
    /// What ends the recording, for it cannot be written on.
    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> Result<usize, Failure>;

    /// Takes something that is no packet.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn mark(&mut self, mark: Mark) -> Result<(), Failure>;

    /// Nothing more comes for now: hands on what was put. Returns when to call this again should
    /// nothing come until then.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn idle(&mut self, now: Duration) -> Result<Option<Duration>, Failure>;

    /// Waits until it is not full any more.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn wait(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Nothing comes any more: hands on what is left.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// Standard output, in a format that goes through pipes. Whoever closes the pipe ends the recording
/// and does not want more.
pub(crate) struct Stdout {
    encoder: Box<dyn Encoder>,
    /// Other sessions were written there before.
    later: bool,
    /// Packets before this one are not wanted.
    from: Seq,
    /// Something was written that may not have left yet.
    unflushed: bool,
}

impl Stdout {
    /// `later`: other sessions were written there before. Packets below `from` are left out.
    ///
    /// # Errors
    /// What the place reports.
    pub(crate) fn new(format: Format, later: bool, from: Seq) -> Result<Self, Failure> {
        let encoder = format.encoder(Place::Stream(Box::new(io::stdout()))).map_err(unwritten)?;
        Ok(Self { encoder, later, from, unflushed: false })
    }
}

fn unwritten(source: io::Error) -> Failure {
    match source.kind() {
        io::ErrorKind::BrokenPipe => Failure::Stopped,
        _ => Failure::System { action: "cannot write to stdout", source },
    }
}

impl Outlet for Stdout {
    fn begin(&mut self, session: Option<SessionId>) -> Result<Seq, Failure> {
        if let Some(session) = session.filter(|_| self.later) {
            self.mark(Mark::Session(session))?;
        }
        Ok(self.from)
    }

    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> Result<usize, Failure> {
        self.unflushed = true;
        self.encoder.put(frames, arrival).map(|()| frames.len()).map_err(unwritten)
    }

    fn mark(&mut self, mark: Mark) -> Result<(), Failure> {
        self.unflushed = true;
        self.encoder.mark(mark).map_err(unwritten)
    }

    fn idle(&mut self, _: Duration) -> Result<Option<Duration>, Failure> {
        if std::mem::take(&mut self.unflushed) {
            self.encoder.flush().map_err(unwritten)?;
        }
        Ok(None)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.encoder.finish().map_err(unwritten)
    }
}
