//! Where packets go on to in order of sequence while they are recorded.

use crate::error::Failure;
use crate::format::{Arrival, EncoderTarget, Format, StreamMark};
use crate::net::Stop;
use crate::output::counters::WriteCounters;
use crate::terminal::signals::UNREAD;
use feed::base::seq::{FIRST_SEQ, Seq};
use feed::wire::{RawFrame, SessionId};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A place that takes packets one after the other: what is offered next is always the sequence
/// after the last one taken, or after a mark that leaves sequences out.
///
/// It need not be as fast as the recording: what it does not take is offered again from there.
pub trait PacketSink {
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
    fn mark(&mut self, mark: StreamMark) -> Result<(), Failure>;

    /// Nothing more comes for now: hands on what was put. Returns when to call this again should
    /// nothing come until then.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn idle(&mut self, now: Duration) -> Result<Option<Duration>, Failure>;

    /// The sequence that it wants to be offered next, where that would be `next`. It may have been
    /// found to have more than that, or less.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn wants(&mut self, next: Seq) -> Result<Seq, Failure> {
        Ok(next)
    }

    /// Whether it can go on behind packets that are left out.
    fn skips(&self) -> bool {
        true
    }

    /// Waits until it is not full any more, or for a while.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn wait(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Nothing comes from `next` on: whether all before it is where it should be. It may wait for
    /// that for a while.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn settled(&mut self, next: Seq) -> Result<bool, Failure> {
        let _ = next;
        Ok(true)
    }

    /// Nothing comes any more: hands on what is left.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// So many packets wait for whoever reads stdout; the others wait in the recording.
const WAITING: usize = 1 << 16;

/// Standard output, in a format that goes through pipes, written by a thread of its own: a reader
/// that stalls keeps nothing else waiting. One that closes the pipe ends the recording.
pub(crate) struct Stdout {
    /// None once it has ended.
    items: Option<Sender<QueuedItem>>,
    writer: Option<JoinHandle<Result<(), Failure>>>,
    /// Packets in `items`.
    waiting: Arc<AtomicUsize>,
    /// Other sessions were written there before.
    later: bool,
    /// Packets before this one are not wanted.
    from: Seq,
    written: WriteCounters,
    stop: Stop,
    /// Bytes written when that was looked at, and since when they are so many.
    progress: Option<(u64, Instant)>,
}

enum QueuedItem {
    Packets(Vec<RawFrame>, Arrival),
    Mark(StreamMark),
}

impl Stdout {
    /// `later`: other sessions were written there before. Packets below `from` are left out.
    ///
    /// # Errors
    /// [`Failure::System`] where there can be no more threads.
    pub(crate) fn new(
        format: Format,
        later: bool,
        from: Seq,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let (items, taken) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let written = WriteCounters::default();
        let counted = written.clone();
        let writer = std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || write(format, &counted, &taken, &left).map_err(unwritten))
            .map_err(unwritten)?;
        let (items, writer, stop, progress) = (Some(items), Some(writer), stop.clone(), None);
        Ok(Self { items, writer, waiting, later, from, written, stop, progress })
    }

    /// What it has written.
    pub(crate) fn written(&self) -> WriteCounters {
        self.written.clone()
    }

    /// Hands an item on.
    fn send(&mut self, item: QueuedItem) -> Result<(), Failure> {
        match &self.items {
            Some(items) if items.send(item).is_ok() => Ok(()),
            _ => self.end(),
        }
    }

    /// Waits a moment for the thread.
    ///
    /// # Errors
    /// [`Failure::Stopped`] where the user has stopped the recording and nobody reads.
    fn pause(&mut self) -> Result<(), Failure> {
        std::thread::sleep(Duration::from_millis(1));
        let bytes = self.written.look().1;
        let since = match self.progress.filter(|&(before, _)| before == bytes) {
            Some((_, since)) if self.stop.asked() => since,
            _ => Instant::now(),
        };
        self.progress = Some((bytes, since));
        let unread = since.elapsed();
        if self.stop.times() > 1 || self.stop.asked() && unread >= UNREAD {
            crate::terminal::message::message!(
                "stopped: stdout is not read; what it was to get is left out"
            );
            // The thread is left where it is blocked.
            self.writer = None;
            return Err(Failure::Stopped);
        }
        Ok(())
    }

    /// What became of the thread, which ends or has ended.
    fn end(&mut self) -> Result<(), Failure> {
        self.items = None;
        while self.writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            self.pause()?;
        }
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            // Said already, or a panic that has been shown.
            _ => Err(Failure::Stopped),
        }
    }
}

/// Writes what is taken until nothing more can come.
fn write(
    format: Format,
    written: &WriteCounters,
    taken: &Receiver<QueuedItem>,
    waiting: &AtomicUsize,
) -> io::Result<()> {
    let mut out = io::stdout();
    let mut encoder = written.encoder(format, EncoderTarget::Stream(Box::new(&mut out)))?;
    loop {
        let item = match taken.try_recv() {
            Err(TryRecvError::Empty) => {
                encoder.flush()?;
                taken.recv().ok()
            }
            item => item.ok(),
        };
        match item {
            Some(QueuedItem::Packets(frames, arrival)) => {
                encoder.put(&frames, arrival)?;
                waiting.fetch_sub(frames.len(), Ordering::SeqCst);
            }
            Some(QueuedItem::Mark(mark)) => encoder.mark(mark)?,
            None => return encoder.finish(),
        }
    }
}

fn unwritten(source: io::Error) -> Failure {
    match source.kind() {
        io::ErrorKind::BrokenPipe => Failure::Stopped,
        _ => Failure::Storage { action: "write to", path: "stdout".into(), source },
    }
}

impl PacketSink for Stdout {
    fn begin(&mut self, session: Option<SessionId>) -> Result<Seq, Failure> {
        if let Some(session) = session.filter(|_| self.later) {
            self.mark(StreamMark::Session(session))?;
        }
        Ok(self.from)
    }

    fn put(&mut self, frames: &[RawFrame], arrival: Arrival) -> Result<usize, Failure> {
        let room = WAITING.saturating_sub(self.waiting.load(Ordering::SeqCst));
        let taken = &frames[..frames.len().min(room)];
        if !taken.is_empty() {
            self.waiting.fetch_add(taken.len(), Ordering::SeqCst);
            self.send(QueuedItem::Packets(taken.to_vec(), arrival))?;
        }
        Ok(taken.len())
    }

    fn mark(&mut self, mark: StreamMark) -> Result<(), Failure> {
        self.send(QueuedItem::Mark(mark))
    }

    fn idle(&mut self, _: Duration) -> Result<Option<Duration>, Failure> {
        match self.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            true => self.end().map(|()| None),
            false => Ok(None),
        }
    }

    fn wait(&mut self) -> Result<(), Failure> {
        self.pause()?;
        self.idle(Duration::ZERO).map(drop)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.end()
    }
}
