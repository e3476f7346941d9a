//! Live outputs of a recording, which take messages in order of sequence.

use crate::error::Failure;
use crate::format::{Arrival, EncoderTarget, Format, OwnedMessages, Payload, StreamMark};
use crate::net::Stop;
use crate::output::counters::WriteCounters;
use crate::terminal::signals::UNREAD;
use feed::base::seq::{FIRST_SEQ, Seq};
use feed::wire::{Messages, SessionId};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Output that takes packets in order of sequence. Each offer starts with the sequence after the
/// last one taken, or after a mark that leaves sequences out.
///
/// An output may be slower than the recording: packets that it does not take are offered again.
pub trait PacketSink {
    /// Begins with a session, or with `None` if the exchange does not announce one. Returns the
    /// first sequence that the output wants, because it may have packets of an earlier run.
    ///
    /// # Errors
    /// Failures of the output, which end the recording.
    fn begin(&mut self, session: Option<SessionId>) -> Result<Seq, Failure> {
        let _ = session;
        Ok(FIRST_SEQ)
    }

    /// Takes messages with contiguous sequences. Returns the number taken; a full output takes
    /// fewer than all.
    ///
    /// # Errors
    /// Failures of the output, which end the recording.
    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> Result<u64, Failure>;

    /// Takes a mark that stands between packets.
    ///
    /// # Errors
    /// Failures of the output, which end the recording.
    fn mark(&mut self, mark: StreamMark) -> Result<(), Failure>;

    /// Flushes packets while no more arrive. Returns the time for the next call if none arrive
    /// until then.
    ///
    /// # Errors
    /// Failures of the output, which end the recording.
    fn idle(&mut self, now: Duration) -> Result<Option<Duration>, Failure>;

    /// Returns the sequence that the output wants next, usually `next`. A NATS stream may turn out
    /// to have more packets, or fewer.
    ///
    /// # Errors
    /// Failures of the output, which end the recording.
    fn wants(&mut self, next: Seq) -> Result<Seq, Failure> {
        Ok(next)
    }

    /// Returns whether the output can continue after packets that are left out.
    fn skips(&self) -> bool {
        true
    }

    /// Waits for a moment, or until the output is no longer full.
    ///
    /// # Errors
    /// Failures of the output, which end the recording.
    fn wait(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Returns whether all packets before `next`, the end of the recording, have reached their
    /// destination. May wait for a moment.
    ///
    /// # Errors
    /// Failures of the output, which end the recording.
    fn settled(&mut self, next: Seq) -> Result<bool, Failure> {
        let _ = next;
        Ok(true)
    }

    /// Ends the output and writes what is left.
    ///
    /// # Errors
    /// Failures of the output, which end the recording.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// Number of bytes queued for stdout from which later messages wait in the recording. Messages may
/// be 65,535 bytes long, so their number would bound nothing.
const QUEUE_MAX: u64 = 1 << 20;

/// Standard output, written by a thread of its own so that a slow reader delays nothing else. A
/// reader that closes the pipe ends the recording.
pub(crate) struct Stdout {
    /// Queue of the thread, `None` once it has ended.
    items: Option<Sender<QueuedItem>>,
    writer: Option<JoinHandle<Result<(), Failure>>>,
    /// Number of bytes in `items`.
    waiting: Arc<AtomicU64>,
    /// True if other sessions were written to stdout before.
    order: SessionOrder,
    /// First sequence to write.
    from: Seq,
    written: WriteCounters,
    stop: Stop,
    /// Number of bytes written, and the time since which it has not changed.
    progress: Option<(u64, Instant)>,
}

/// Place of a session among those that one run writes to stdout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SessionOrder {
    /// First session.
    First,
    /// Another session, which begins behind a marker line.
    Later,
}

/// Item in the queue of the thread.
enum QueuedItem {
    Messages(OwnedMessages, Arrival),
    Mark(StreamMark),
}

impl QueuedItem {
    /// Returns the number of bytes that messages take in the queue.
    fn size(messages: &OwnedMessages) -> u64 {
        (size_of::<Self>() + messages.bytes()) as u64
    }
}

impl Stdout {
    /// Starts the thread. `order` is that of the session among those written to stdout.
    /// Packets below `from` are left out. The first message decides the payload unless `payload`
    /// does.
    ///
    /// # Errors
    /// Returns [`Failure::Storage`] if no thread can be started.
    pub(crate) fn new(
        (format, payload): (Format, Option<Payload>),
        order: SessionOrder,
        from: Seq,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let (items, taken) = channel();
        let waiting = Arc::new(AtomicU64::new(0));
        let left = Arc::clone(&waiting);
        let written = WriteCounters::default();
        let counted = written.clone();
        let writer = std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || {
                write((format, payload), &counted, &taken, &left).map_err(stdout_failure)
            })
            .map_err(stdout_failure)?;
        let (items, writer, stop, progress) = (Some(items), Some(writer), stop.clone(), None);
        Ok(Self { items, writer, waiting, order, from, written, stop, progress })
    }

    /// Returns the counters of the output.
    pub(crate) fn written(&self) -> WriteCounters {
        self.written.clone()
    }

    /// Queues an item.
    fn send(&mut self, item: QueuedItem) -> Result<(), Failure> {
        match &self.items {
            Some(items) if items.send(item).is_ok() => Ok(()),
            _ => self.end(),
        }
    }

    /// Waits a moment for the thread.
    ///
    /// # Errors
    /// Returns [`Failure::Stopped`] if the user has stopped the recording and stdout is not read.
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
                "stopped: stdout is not read, so its remaining packets are left out"
            );
            // The thread stays blocked in its write and ends with the program.
            self.writer = None;
            return Err(Failure::Stopped);
        }
        Ok(())
    }

    /// Waits for the thread to end and returns its result.
    fn end(&mut self) -> Result<(), Failure> {
        self.items = None;
        while self.writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            self.pause()?;
        }
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            // The error was returned before, or the thread has printed its panic.
            _ => Err(Failure::Stopped),
        }
    }
}

/// Writes queued items until the queue is closed.
fn write(
    (format, payload): (Format, Option<Payload>),
    written: &WriteCounters,
    taken: &Receiver<QueuedItem>,
    waiting: &AtomicU64,
) -> io::Result<()> {
    let mut out = io::stdout();
    let mut encoder =
        written.encoder(format, payload, EncoderTarget::Stream(Box::new(&mut out)))?;
    loop {
        let item = match taken.try_recv() {
            Err(TryRecvError::Empty) => {
                encoder.flush()?;
                taken.recv().ok()
            }
            item => item.ok(),
        };
        match item {
            Some(QueuedItem::Messages(owned, arrival)) => {
                let messages = owned.messages();
                encoder.put(messages, arrival)?;
                waiting.fetch_sub(QueuedItem::size(&owned), Ordering::SeqCst);
            }
            Some(QueuedItem::Mark(mark)) => encoder.mark(mark)?,
            None => return encoder.finish(),
        }
    }
}

/// Returns the failure for an error of stdout; a closed pipe only stops the output.
fn stdout_failure(source: io::Error) -> Failure {
    match source.kind() {
        io::ErrorKind::BrokenPipe => Failure::Stopped,
        _ => Failure::Storage { action: "write to", path: "stdout".into(), source },
    }
}

impl PacketSink for Stdout {
    fn begin(&mut self, session: Option<SessionId>) -> Result<Seq, Failure> {
        if let Some(session) = session.filter(|_| self.order == SessionOrder::Later) {
            self.mark(StreamMark::Session(session))?;
        }
        Ok(self.from)
    }

    fn put(&mut self, messages: Messages<'_>, arrival: Arrival) -> Result<u64, Failure> {
        if messages.is_empty() || self.waiting.load(Ordering::SeqCst) >= QUEUE_MAX {
            return Ok(0);
        }
        let owned = OwnedMessages::of(messages);
        self.waiting.fetch_add(QueuedItem::size(&owned), Ordering::SeqCst);
        self.send(QueuedItem::Messages(owned, arrival))?;
        Ok(messages.len())
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
